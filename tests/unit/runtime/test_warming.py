"""The warm start of a daemon that is up: the account first, turns for everything else, and no order that meets the past."""

import asyncio
import itertools
from decimal import Decimal
from functools import partial

import pytest

from smartmoney.adapters.capture import CaptureWriter, read_capture
from smartmoney.adapters.heartbeat import read_heartbeat
from smartmoney.core.domain.commands import RequestAccount
from smartmoney.core.domain.entries import AccountReported, EntryKind, OrderFilled, WarmUpEnded
from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderType, PositionReport, Purpose, Side
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime import heartbeats as beating
from smartmoney.runtime import loop as stepping
from smartmoney.runtime import warming as module
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.clock import now
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.gateway import NoGateway, PaperGateway
from smartmoney.runtime.heartbeats import Heartbeats
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.warm_start import warm_blocks
from smartmoney.runtime.warming import Warming
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters
from tests.fills import fill_of
from tests.waiting import until

from .market import loop_of, record

SECONDS = 60
LOTS = 1000


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    recordings, instruments = record(folder, SECONDS, now().wall_ns)
    return recordings["BTCUSDT"], instruments


class Stage:
    """A run that is open and cold, with its capture, and what its warming takes."""

    def __init__(self, past, folder, gateway=None, **known):
        recording, self.instruments = past
        self.folder = folder / "current"
        self.capture = CaptureWriter(self.folder)
        self.engine, self.loop = loop_of(self.instruments, self.capture)
        blocks = partial(warm_blocks, self.instruments, {"BTCUSDT": recording}, folder, "current")
        self.warming = Warming(self.loop, self.instruments, blocks, self.capture, gateway or NoGateway(), **known)

    def say(self, payload):
        self.loop.process(Item(EntryKind.EVENT, now(), payload=payload))

    def kinds(self):
        """Close the capture and return it, entry by entry."""
        self.capture.close()
        return list(read_capture(self.folder))


def where(entries, kind):
    return [number for number, entry in enumerate(entries) if isinstance(entry.payload, kind)]


async def test_the_account_is_known_before_the_past_is_folded_and_the_run_replays(past, tmp_path):
    known, told = [], []
    stage = Stage(past, tmp_path, is_known=lambda: bool(known), while_unknown=lambda: told.append(stage.loop.seq))
    task = asyncio.create_task(stage.warming.run(lambda: None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert stage.loop.seq == 1, "nothing of the past yet"
    assert set(told) == {1}, "whoever waits hears that it recovers"
    stage.say(AccountReported(orders=(), positions=()))
    assert stage.engine.is_reconciled
    assert stage.engine.is_warming
    known.append(True)
    await task
    assert stage.warming.ended.is_set()
    assert not stage.engine.is_warming
    entries = stage.kinds()
    assert where(entries, AccountReported) == [1]
    assert where(entries, WarmUpEnded) == [len(entries) - 1]
    assert len([entry for entry in entries if entry.kind is EntryKind.FRAME]) > 300
    again = Engine(binance_codec(), strategy_factory(None))
    for entry in entries:
        again.step(entry)
    assert again.digest == stage.engine.digest


async def test_an_account_that_does_not_answer_holds_the_past_up_for_a_while_only(past, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ACCOUNT_S_MAX", 0.0)
    stage = Stage(past, tmp_path, is_known=lambda: False)
    await stage.warming.run(lambda: None)
    assert not stage.engine.is_warming
    assert not stage.engine.is_reconciled
    stage.kinds()


async def test_what_happens_meanwhile_is_stepped_between_the_slices_and_valued_at_no_price_of_the_past(past, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SLICE_S", 0.0)
    stage = Stage(past, tmp_path)
    seen = []

    async def account():
        await until(lambda: stage.engine.market.frames, "a slice of the past is folded", every_s=0)
        stage.say(AccountReported(orders=(), positions=()))
        for number in itertools.count():
            await asyncio.sleep(0)
            if int(stage.engine.market.states[0]["phase"]) == 1 and number > 50:
                break
        assert stage.engine.is_warming
        assert min(stage.engine.market.touch(0)) > 0, "the book of the past is there"
        stage.say(OrderFilled(fill=fill_of(Side.BUY, LOTS, 6_000_000, "stranger", ts_event_ns=now().wall_ns)))
        seen.extend((stage.engine.quotes(), stage.engine.money.equity, stage.engine.is_reconciled))

    await asyncio.gather(stage.warming.run(lambda: None), account())
    quotes, equity, is_reconciled = seen
    assert is_reconciled
    assert equity is None
    assert not any(quote.is_usable for quote in quotes)
    entries = stage.kinds()
    (at,) = where(entries, OrderFilled)
    assert 1 < at < where(entries, WarmUpEnded)[0]
    assert entries[at - 1].ts_mono_ns < entries[at].ts_mono_ns > entries[at + 1].ts_mono_ns


async def test_a_paper_stop_does_not_trigger_at_what_was_paid_before_the_start(past, tmp_path):
    instruments = past[1]
    # Above whatever was paid in the past: a sell stop there triggers as soon as it meets that market.
    intent = OrderIntent(
        client_order_id="sm1-1-0",
        instrument=0,
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        lots=LOTS,
        purpose=Purpose.STOP,
        stop_ticks=9_000_000,
        reduce_only=True,
    )
    held = PositionReport(instrument=0, quantity=instruments[0].quantity(LOTS), cost=Decimal(600))
    venue = PaperVenue(
        instruments,
        PaperParameters(),
        run_id="1",
        cash=Decimal(1000),
        positions=(held,),
        orders=(OrderReport(intent=intent, venue_order_id="paper-1", filled_lots=0),),
    )
    stage = Stage(past, tmp_path)
    stage.warming._gateway = PaperGateway(venue, stage.engine.market, stage.engine.executor.portfolio)
    await stage.warming.run(lambda: None)
    assert [order.intent.client_order_id for order in venue.report().orders] == ["sm1-1-0"]
    assert venue.account.position_lots(0) == LOTS
    assert where(stage.kinds(), OrderFilled) == []


class AwakeSender:
    """A sender that has just turned."""

    @property
    def turned_mono_ns(self):
        return now().mono_ns


async def test_while_a_past_is_looked_for_the_loop_turns_and_the_guard_hears_of_it(past, tmp_path, monkeypatch):
    """Nothing comes then, neither ticks nor news: who takes that for a loop that is stuck ends the process, again at each start."""
    monkeypatch.setattr(stepping, "IDLE_S", 0.0)
    monkeypatch.setattr(beating, "EVERY_S", 0.0)
    stage = Stage(past, tmp_path)
    outbox, turns, heard = stage.loop._outbox, [], set()
    heartbeats = Heartbeats(tmp_path / "heartbeat", stage.engine)
    tasks = [
        asyncio.create_task(stage.loop.run(lambda: turns.append(stage.loop.seq))),
        asyncio.create_task(heartbeats.run(lambda: None, stage.loop, AwakeSender())),
    ]
    opening = await outbox.get()
    assert any(isinstance(command, RequestAccount) for command in opening.commands), "what a start asks for waits for no news"
    while len(turns) < 20 or len(heard) < 5:
        await asyncio.sleep(0)
        beat = read_heartbeat(tmp_path / "heartbeat")
        heard |= set() if beat is None else {beat.mono_ns}
    assert stage.loop.seq == 1, "nothing came"
    assert (beat.carried[0].bid, beat.carried[0].ask) == (None, None), "there is no market yet"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    heartbeats.close()
    stage.kinds()


async def test_a_past_is_cut_short_where_what_is_held_needs_time_to_go_on(past, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SLICE_S", 0.0)
    stage = Stage(past, tmp_path, is_pressed=lambda: stage.engine.market.frames > 0)
    await stage.warming.run(lambda: None)
    assert stage.warming.ended.is_set()
    assert not stage.engine.is_warming
    entries = stage.kinds()
    assert 0 < len([entry for entry in entries if entry.kind is EntryKind.FRAME]) < 300
    assert where(entries, WarmUpEnded) == [len(entries) - 1]


async def test_a_disk_that_is_slow_is_waited_for_with_beats(past, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SLICE_S", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    stage = Stage(past, tmp_path)
    beats, waits = [], iter([module.UNWRITTEN_MAX + 1] * 50)

    class Slow:
        failure = None

        @property
        def waiting(self):
            return next(waits, 0)

    stage.warming._capture = Slow()
    task = asyncio.create_task(stage.warming.run(lambda: beats.append(stage.loop.seq)))
    await task
    assert beats.count(beats[0]) > 50, "one a look"
    stage.kinds()

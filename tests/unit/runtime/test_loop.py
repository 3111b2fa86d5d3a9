"""The loop: numbered, captured, stepped, handed over; and nothing lost when it is told to stop."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.domain.entries import AccountReported, EntryKind, HaltRequested, Tick, WarmUpEnded
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.clock import now
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.gateway import NoGateway, PaperGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.loop import ITEMS_PER_TURN, Loop
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters
from tests.grids import SPOT_BTC
from tests.waiting import until

from .market import started

BTC = msgspec.structs.replace(SPOT_BTC, venue="sim")


class Recorder:
    def __init__(self):
        self.entries = []

    def append(self, entry):
        self.entries.append(entry)
        return True


class Running:
    """A loop over a fresh engine, its run open and live."""

    def __init__(self, *, outbox=0, gateway=None):
        self.recorder, self.inbox, self.outbox = Recorder(), Inbox(), asyncio.Queue(outbox)
        self.engine = Engine(binance_codec(), strategy_factory(None))
        self.loop = Loop(self.engine, self.inbox, self.recorder, NoGateway(), self.outbox)
        self.say(started((BTC,)))
        if gateway is not None:
            self.loop.use_gateway(gateway(self.engine))
        self.say(WarmUpEnded())

    def say(self, payload):
        self.loop.process(Item(EntryKind.EVENT, now(), payload=payload))


def paper(engine):
    return PaperGateway(
        PaperVenue((BTC,), PaperParameters(), run_id="1abcdefghjk", cash=Decimal(1000)), engine.market, engine.executor.portfolio
    )


def test_entries_are_numbered_without_holes_and_captured_before_they_are_stepped():
    running = Running()
    seen = []
    step = running.engine.step
    running.engine.step = lambda entry: (seen.append((entry.seq, running.recorder.entries[-1].seq)), step(entry))[1]
    for _ in range(5):
        running.say(Tick())
    assert seen == [(number, number) for number in range(3, 8)]
    assert [entry.seq for entry in running.recorder.entries] == list(range(1, 8))


def test_the_paper_venues_answer_is_the_next_entry():
    running = Running(gateway=paper)
    gateway = running.loop._gateway
    gateway.request_account(now().mono_ns)
    running.say(Tick())
    question, answer = running.recorder.entries[-2:]
    assert isinstance(question.payload, Tick)
    assert isinstance(answer.payload, AccountReported)
    assert answer.seq == question.seq + 1
    assert (answer.ts_wall_ns, answer.ts_mono_ns) == (question.ts_wall_ns, question.ts_mono_ns)
    assert running.engine.is_reconciled


def test_what_gathered_is_taken_once_with_a_checkpoint_of_its_last_entry():
    running = Running()
    first = running.loop.take()
    assert first.last_seq == 2
    assert first.checkpoint.digest == running.engine.digest
    assert running.loop.take() is None
    running.say(HaltRequested(reason="x"))
    second = running.loop.take()
    assert [type(line.what).__name__ for line in second.lines] == ["RecordHalt", "Notify"]
    assert {line.seq for line in second.lines} == {3}
    assert not second.has_orders
    assert second.checkpoint is None, "one each second is enough"


async def test_running_takes_a_burst_in_turns_so_that_others_are_heard():
    running = Running()
    for _ in range(3 * ITEMS_PER_TURN):
        running.inbox.post(Tick())
    task = asyncio.ensure_future(running.loop.run(lambda: None))
    turns = 0
    while len(running.inbox):
        await running.loop.next_turn()
        turns += 1
    assert turns >= 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_loop_that_is_stopped_while_the_disk_is_behind_keeps_what_it_wanted_to_say():
    running = Running(outbox=1)
    running.loop.take()
    running.inbox.post(HaltRequested(reason="one"))
    task = asyncio.ensure_future(running.loop.run(lambda: None))
    await running.loop.next_turn()
    running.inbox.post(HaltRequested(reason="again"))
    running.inbox.post(Tick())
    from smartmoney.core.domain.entries import ResumeRequested

    running.inbox.post(ResumeRequested(reason="two"))
    await until(lambda: not len(running.inbox), "everything is taken", every_s=0)
    await asyncio.sleep(0)
    assert running.outbox.full()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kinds = [type(line.what).__name__ for line in running.outbox.get_nowait().lines]
    kept = running.loop.take()
    assert kinds[0] == "RecordHalt"
    assert "RecordResume" in [type(line.what).__name__ for line in kept.lines]
    assert kept.commands == tuple(line.what for line in kept.lines)

"""A venue whose queues, misses and slippage are known is put in place of the real one: calibration finds what was planted, and no more."""

import itertools
from decimal import Decimal
from functools import partial

import msgspec
import pytest

from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.entries import Entry, EntryKind, OrderFilled, RunStarted, Tick
from smartmoney.core.domain.orders import OrderIntent, OrderType, PositionReport, Purpose, Side, TimeInForce
from smartmoney.core.engine.market import Market
from smartmoney.core.engine.parameters import decode_parameters
from smartmoney.runtime.codecs import binance_codec, codec_of
from smartmoney.runtime.fill_calibration import FILLS_MIN, CapturedOrders, Sent, calibrate
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters

from .market import S, record, started

ORIGIN = 1_700_000_000_000_000_000
SECONDS = 900
RESTS_NS = 20 * S
LOTS = 200


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    files, instruments = record(tmp_path_factory.mktemp("feed"), SECONDS, ORIGIN)
    return list(read_recording(files["BTCUSDT"])), instruments


class Exchange:
    """Trade at a paper venue over recorded frames: a resting order each four seconds, a market order between them."""

    def __init__(self, feed, parameters, worse_ticks=0):
        self.frames, instruments = feed
        self.start = msgspec.structs.replace(started(instruments), mode="live")
        engine = decode_parameters(self.start.parameters)
        self.market = Market(binance_codec(), instruments, engine.features, engine.trust)
        self.view = KernelDepth(self.market.states, 0, partial(self.market.is_synced, 0))
        held = (PositionReport(instrument=0, quantity=instruments[0].quantity(10**9), cost=Decimal(1)),)
        self.venue = PaperVenue(instruments, parameters, run_id="real", cash=Decimal(10**9), positions=held)
        self.worse_ticks = worse_ticks
        self.entries, self.sent, self.numbers = [], {}, itertools.count(1)

    def run(self):
        due, withdrawals = 5 * S, []
        for frame in self.frames:
            mono = frame.ts_wall_ns - self.frames[0].ts_wall_ns + S
            kind = EntryKind.SNAPSHOT if frame.is_snapshot else EntryKind.FRAME
            entry = self.enter(mono, kind=kind, instrument=0 if frame.is_snapshot else -1, frame=frame.frame)
            (self.market.on_snapshot if frame.is_snapshot else self.market.on_frame)(entry)
            self.answer(mono)
            if mono >= due and self.view.synced:
                due = mono + 4 * S
                withdrawals.append((mono + RESTS_NS, self.send(mono, rests=True)))
                self.send(mono, rests=False)
            while withdrawals and withdrawals[0][0] <= mono:
                self.venue.cancel(withdrawals.pop(0)[1], mono)
        return CapturedOrders(start=self.start, entries=self.entries, sent=self.sent)

    def enter(self, mono, **more):
        entry = Entry(seq=next(self.numbers), ts_wall_ns=ORIGIN + mono, ts_mono_ns=mono, **more)
        self.entries.append(entry)
        return entry

    def send(self, mono, *, rests):
        side = Side.BUY if len(self.sent) // 2 % 2 else Side.SELL
        touch = self.view.best_bid_ticks if side is Side.BUY else self.view.best_ask_ticks
        intent = OrderIntent(
            client_order_id=f"o{len(self.sent)}",
            instrument=0,
            side=side,
            type=OrderType.LIMIT if rests else OrderType.MARKET,
            lots=LOTS,
            purpose=Purpose.ENTRY,
            time_in_force=TimeInForce.GTC if rests else TimeInForce.IOC,
            price_ticks=touch if rests else None,
        )
        self.sent[intent.client_order_id] = Sent(intent, ORIGIN + mono)
        self.venue.submit(intent, mono)
        return intent.client_order_id

    def answer(self, mono):
        for reply in self.venue.advance(mono, self.view.last_event_ns, [self.view]):
            if isinstance(reply, OrderFilled) and self.sent[reply.fill.client_order_id].intent.type is OrderType.MARKET:
                price = reply.fill.price_ticks + self.worse_ticks * reply.fill.side.sign
                reply = OrderFilled(fill=msgspec.structs.replace(reply.fill, price_ticks=price))
            self.enter(mono, kind=EntryKind.EVENT, payload=reply)


def model_of(feed, worse_ticks=0, **venue):
    return calibrate([Exchange(feed, PaperParameters(latency_ms=80.0, **venue), worse_ticks).run()], codec_of)


@pytest.mark.parametrize("queue", ["careful", "even"])
def test_a_venue_that_is_the_model_is_found_to_be_it(feed, queue):
    model = model_of(feed, queue=queue)
    assert model.queue == queue
    assert model.fill_ratio.value == pytest.approx(1.0, abs=0.02)
    assert model.slippage_bps.value == pytest.approx(0.0, abs=1e-9)
    assert (model.passive_share, model.taker_extra_bps) == (1.0, 0.0)
    assert model.acknowledgement_ms.low <= model.acknowledgement_ms.value <= model.acknowledgement_ms.high
    assert 80.0 <= model.acknowledgement_ms.value < 400.0
    assert 0.0 < model.filled_if_reached.value <= 1.0
    assert len(model.delays_ms) == model.acknowledgement_ms.n > 300
    assert model.latency(OrderLatency()).samples_ms == model.delays_ms


def test_orders_that_miss_their_turn_and_takers_that_pay_more_are_found_with_their_intervals(feed):
    model = model_of(feed, worse_ticks=60, passive_share=0.4)
    assert model.fill_ratio.high < 1.0
    assert model.passive_share == model.fill_ratio.value < 0.97
    middle = 60_000.0
    tick = float(feed[1][0].tick_size)
    assert model.slippage_bps.low <= 60 * tick / middle * 1e4 * 1.05
    assert model.slippage_bps.value == pytest.approx(60 * tick / middle * 1e4, rel=0.1)
    paper = model.paper(PaperParameters())
    assert paper.passive_share == model.passive_share
    assert float(paper.taker_bps) == pytest.approx(10.0 + model.slippage_bps.value, abs=1e-3)
    assert any("get their turn" in line for line in model.words)
    assert any("added to the taker's fee" in line for line in model.words)


def test_too_few_fills_are_refused_and_change_nothing(feed):
    run = Exchange(feed, PaperParameters(latency_ms=80.0)).run()
    few = msgspec.structs.replace(run, sent=dict(list(run.sent.items())[:40]))
    model = calibrate([few], codec_of)
    [line] = model.words
    assert f"{FILLS_MIN} are wanted; the default stands" in line
    assert model.paper(PaperParameters(queue="even")) == PaperParameters(queue="even")
    assert model.latency(OrderLatency(median_ms=7.0)) == OrderLatency(median_ms=7.0)
    assert "in no run" in calibrate([], codec_of).words[0]


def test_fills_of_the_paper_venue_itself_are_called_that(feed):
    run = Exchange(feed, PaperParameters(latency_ms=80.0)).run()
    model = calibrate([msgspec.structs.replace(run, start=msgspec.structs.replace(run.start, mode="paper"))], codec_of)
    assert "they measure the model, not an exchange" in model.words[1]
    assert isinstance(run.start, RunStarted)
    assert not any(isinstance(entry.payload, Tick) for entry in run.entries)

"""A venue whose queues, misses and slippage are known is put in place of the real one: calibration finds what was planted, and no more."""

import itertools
from decimal import Decimal
from functools import partial

import msgspec
import pytest

from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.domain.entries import Entry, EntryKind, OrderFilled, RunStarted, Tick
from smartmoney.core.domain.instruments import Market as MarketKind
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.engine.market import Market
from smartmoney.core.engine.parameters import decode_parameters
from smartmoney.runtime.codecs import binance_codec, codec_of
from smartmoney.runtime.fill_calibration import FILLS_MIN, CapturedOrders, Sent, calibrate
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters
from smartmoney.venues.binance.grid_inference import infer_grid

from .market import S, started

ORIGIN = 1_700_000_000_000_000_000
CYCLES = 160
CYCLE_NS = 4 * S
RESTS_NS = 3 * S
LOTS = 20
MS = 1_000_000


def frames():
    """Yield cycles in which more joins a level of 1.00, half of all leaves it, and a trade takes less, or more, than stood there first."""
    last = 1

    def stamp(number, at_s):
        return ORIGIN + number * CYCLE_NS + round(at_s * S)

    def update(wall, *sizes):
        nonlocal last
        last += 1
        levels = ",".join(f'["{price}","{size}"]' for price, size in zip(("100.0", "99.9"), sizes, strict=False))
        asks = levels.replace("100.0", "100.2").replace("99.9", "100.3")
        head = f'"e":"depthUpdate","E":{wall // MS},"T":{wall // MS},"s":"XUSDT","U":{last},"u":{last},"pu":{last - 1}'
        return RecordedFrame(wall, f'{{"stream":"x","data":{{{head},"b":[{levels}],"a":[{asks}]}}}}'.encode(), False, None)

    def trade(wall, number, price, size, maker):
        head = f'"e":"trade","E":{wall // MS},"T":{wall // MS},"s":"XUSDT","t":{number},"p":"{price}","q":"{size}","X":"MARKET","m":{maker}'
        return RecordedFrame(wall, f'{{"stream":"x","data":{{{head}}}}}'.encode(), False, None)

    levels = '"bids":[["100.0","1.00"],["99.9","9.00"]],"asks":[["100.2","1.00"],["100.3","9.00"]]'
    yield RecordedFrame(ORIGIN, f'{{"lastUpdateId":1,"E":{ORIGIN // MS},"T":{ORIGIN // MS},{levels}}}'.encode(), True, "XUSDT")
    for number in range(1, CYCLES):
        size = "0.80" if number % 4 < 2 else "1.30"
        for at_s, shown in ((0.0, "1.00"), (0.2, "1.00"), (1.0, "2.60"), (1.5, "1.60")):
            yield update(stamp(number, at_s), shown, f"9.{number % 97:02}")
        yield trade(stamp(number, 2.0), 2 * number, "100.0", size, "true")
        yield trade(stamp(number, 2.1), 2 * number + 1, "100.2", size, "false")
        yield update(stamp(number, 2.2), "0.50")
        yield update(stamp(number, 3.5), "1.00")


@pytest.fixture(scope="module")
def feed():
    found = list(frames())
    return found, infer_grid(((one.frame, one.symbol) for one in found), MarketKind.USDM)


class Exchange:
    """Trade at a paper venue over the cycles: in each, one order that rests at the touch and one that takes."""

    def __init__(self, feed, parameters, worse_ticks=0):
        self.frames, instruments = feed
        self.start = msgspec.structs.replace(started(instruments), mode="live")
        engine = decode_parameters(self.start.parameters)
        self.market = Market(binance_codec(), instruments, engine.features, engine.trust)
        self.view = KernelDepth(self.market.states, 0, partial(self.market.is_synced, 0))
        self.venue = PaperVenue(instruments, parameters, run_id="real", cash=Decimal(10**9))
        self.worse_ticks = worse_ticks
        self.entries, self.sent, self.numbers = [], {}, itertools.count(1)

    def run(self):
        due, withdrawals = CYCLE_NS, []
        for frame in self.frames:
            mono = frame.ts_wall_ns - ORIGIN + S
            kind = EntryKind.SNAPSHOT if frame.is_snapshot else EntryKind.FRAME
            entry = self.enter(mono, kind=kind, instrument=0 if frame.is_snapshot else -1, frame=frame.frame)
            (self.market.on_snapshot if frame.is_snapshot else self.market.on_frame)(entry)
            self.answer(mono)
            if mono - S >= due and self.view.synced:
                due += CYCLE_NS
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
    return calibrate([Exchange(feed, PaperParameters(latency_ms=80.0, leverage=Decimal(10**6), **venue), worse_ticks).run()], codec_of)


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
    assert len(model.delays_ms) == model.acknowledgement_ms.n > 250
    assert model.latency(OrderLatency()).samples_ms == model.delays_ms


def test_orders_that_are_missed_and_takers_that_pay_more_are_found_with_their_intervals(feed):
    model = model_of(feed, worse_ticks=1, queue="even", passive_share=0.4)
    assert model.fill_ratio.low < 0.4 < model.fill_ratio.high < 0.6
    assert model.passive_share == model.fill_ratio.value
    assert model.slippage_bps.low <= model.slippage_bps.value <= model.slippage_bps.high
    assert model.slippage_bps.value == pytest.approx(0.1 / 100.1 * 1e4, rel=0.01)
    paper = model.paper(PaperParameters())
    assert paper.passive_share == model.passive_share
    assert float(paper.taker_bps) == pytest.approx(10.0 + model.slippage_bps.value, abs=1e-3)
    assert any("are filled where it fills them" in line for line in model.words)
    assert any("added to the taker's fee" in line for line in model.words)


def test_too_few_fills_are_refused_and_change_nothing(feed):
    run = Exchange(feed, PaperParameters(latency_ms=80.0, leverage=Decimal(10**6))).run()
    few = msgspec.structs.replace(run, sent=dict(list(run.sent.items())[:20]))
    model = calibrate([few], codec_of)
    [line] = model.words
    assert f"{FILLS_MIN} are wanted; the default stands" in line
    assert model.paper(PaperParameters(queue="even")) == PaperParameters(queue="even")
    assert model.latency(OrderLatency(median_ms=7.0)) == OrderLatency(median_ms=7.0)
    assert "in no run" in calibrate([], codec_of).words[0]


def test_fills_of_the_paper_venue_itself_are_called_that(feed):
    run = Exchange(feed, PaperParameters(latency_ms=80.0, leverage=Decimal(10**6))).run()
    model = calibrate([msgspec.structs.replace(run, start=msgspec.structs.replace(run.start, mode="paper"))], codec_of)
    assert "they measure the model, not an exchange" in model.words[1]
    assert isinstance(run.start, RunStarted)
    assert not any(isinstance(entry.payload, Tick) for entry in run.entries)

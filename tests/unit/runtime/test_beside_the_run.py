"""A backtest beside the run whose capture it is: the waits of that run's requests, and what of its fills is the same."""

import math

import msgspec

from smartmoney.adapters.journal import JournalReader, record
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import CancelOrder, SubmitOrder
from smartmoney.core.domain.entries import CancelRejected, Entry, EntryKind, OrderAccepted, OrderCanceled, OrderFilled, OrderRejected
from smartmoney.core.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side
from smartmoney.runtime.beside_the_run import OwnFills, recorded_latency, set_otherwise, waits_in_words
from smartmoney.runtime.storage import open_run
from smartmoney.settings.load import load_settings
from smartmoney.simulation.order_latency import OrderLatency
from tests.fills import cost_of, fill_of
from tests.grids import SPOT_BTC as INSTRUMENT

MS = 1_000_000


def test_requests_wait_as_those_of_the_run_did_and_later_ones_as_told():
    latency = recorded_latency([120.0, math.nan, 3.0], OrderLatency(median_ms=50.0), 10.0)
    assert [round(latency.delay_ns(name) / MS, 3) for name in "abcd"] == [129.9, 50.0, 12.9, 50.0]
    assert recorded_latency([0.0], OrderLatency(), 0.0).delay_ns("a") == 0
    assert waits_in_words([120.0, math.nan, 3.0]) == "as long as each did in the run (2 requests, median 120.0 ms)"


def submit(name):
    intent = OrderIntent(client_order_id=name, instrument=0, side=Side.BUY, type=OrderType.MARKET, lots=1, purpose=Purpose.ENTRY)
    return SubmitOrder(approved=Approved(intent=intent, valid_until_mono_ns=1, halt_epoch=0))


def test_the_journal_knows_what_each_order_and_each_cancel_took(tmp_path):
    layout = StateLayout(tmp_path)
    told = [
        (5, 0, submit("a")),
        (5, 0, submit("b")),
        (7, 100, OrderAccepted(client_order_id="a", venue_order_id="1")),
        (8, 130, OrderRejected(client_order_id="b", reason="no")),
        (9, 200, CancelOrder(client_order_id="a", instrument=0, reason="x")),
        (11, 300, OrderCanceled(client_order_id="a", reason="x")),
        (12, 400, submit("c")),
        (13, 500, CancelOrder(client_order_id="c", instrument=0, reason="x")),
        (14, 540, CancelRejected(client_order_id="c", reason="x")),
    ]
    with open_run(load_settings(overrides={"model": "prior"}), layout, (INSTRUMENT,)) as run:
        name = run.started.run_id
        run.journal.commit([record(seq, (1_700_000_000_000 + ms) * MS, item) for seq, ms, item in told])
    with JournalReader.open(layout.journal) as reader:
        waits = reader.request_waits_ms(name)
        assert reader.request_waits_ms("another") == []
    assert waits[:3] == [100.0, 130.0, 100.0]
    assert math.isnan(waits[3]), "it was never acknowledged"
    assert waits[4:] == [40.0]


def test_what_is_set_otherwise_than_in_the_run_is_named(tmp_path):
    given = ({"model": "prior"}, {"model": "prior", "strategy.max_drawdown": 0.03, "strategy.confidence_threshold": 0.6})
    started = []
    for place, overrides in enumerate(given):
        layout = StateLayout(tmp_path / str(place))
        layout.root.mkdir()
        with open_run(load_settings(overrides=overrides), layout, (INSTRUMENT,)) as run:
            started.append(run.started)
    assert set_otherwise(started[0], started[0]) == ()
    [line] = set_otherwise(*started)
    assert "-c with its file" in line
    assert "confidence_threshold 0.75 there, 0.6 here" in line
    assert "drawdown" in line
    [line] = set_otherwise(started[0], msgspec.structs.replace(started[0], model="m-1"))
    assert line.endswith(f"model {started[0].model} there, m-1 here")


def filled(side, ticks):
    return Entry(seq=1, kind=EntryKind.EVENT, ts_wall_ns=1, ts_mono_ns=1, payload=OrderFilled(fill=fill_of(side, 3, ticks)))


def costed(side, ticks):
    return cost_of(side, INSTRUMENT.price(ticks), INSTRUMENT.quantity(3), delay_bps=None, spread_bps=None, impact_bps=None)


def test_fills_are_told_beside_those_of_the_run():
    own = OwnFills((INSTRUMENT,))
    entries = [filled(Side.BUY, 100_000), filled(Side.SELL, 200_000)]
    assert list(own.noting(entries)) == entries
    here = [costed(Side.BUY, 100_000), costed(Side.SELL, 200_000)]
    assert "the same 2 fills by side and quantity, prices at most 0.00 bps apart, 0 of them" in own.beside(here, is_recorded=False)
    far = [here[0], costed(Side.SELL, 200_020)]
    assert "at most 1.00 bps apart, 1 of them more than 0.2; its orders waited" in own.beside(far, is_recorded=False)
    assert own.beside(far, is_recorded=True).endswith("1 of them more than 0.2")
    assert own.beside(here[:1], is_recorded=True) == "beside the run itself: 2 fills there, 1 here, the first 1 alike by side and quantity"
    assert OwnFills((INSTRUMENT,)).beside([], is_recorded=True) == "beside the run itself: no fill there, none here"

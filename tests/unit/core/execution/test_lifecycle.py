from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderStatus, OrderType, Purpose, Side
from smartmoney.core.execution.lifecycle import TABLE, TERMINAL, ReportKind, is_correction, next_status
from smartmoney.core.execution.orders import FINISHED_ORDERS_KEPT, OrderLedger
from smartmoney.core.execution.parameters import EntryStyle, ExecutionParameters, round_trip_cost_bps
from smartmoney.core.execution.view import collar_ticks, protective_ticks, target_ticks

S, K = OrderStatus, ReportKind
GRID = Instrument(
    venue="v", market=Market.USDM, symbol="A", name="A/Q", base="A", quote="Q", tick_size=Decimal("0.5"), lot_size=Decimal("0.1")
)


def intent(name="a", lots=10, group=None, reduce_only=False, side=Side.BUY):
    return OrderIntent(
        client_order_id=name,
        instrument=0,
        side=side,
        type=OrderType.LIMIT,
        lots=lots,
        price_ticks=5,
        purpose=Purpose.EXIT if reduce_only else Purpose.ENTRY,
        reduce_only=reduce_only,
        oco_group=group,
    )


def test_terminal_states_are_left_only_by_a_late_fill_that_completes():
    leaving = {(status, kind, after) for (status, kind), after in TABLE.items() if status in TERMINAL and after is not status}
    assert leaving == {(status, K.FILL, S.FILLED) for status in TERMINAL - {S.FILLED}}


def test_no_step_leads_back_to_before_the_order_was_sent():
    assert all(after not in {S.INITIALIZED, S.SUBMITTED} or status is S.INITIALIZED for (status, _), after in TABLE.items())


def test_unknown_is_left_only_by_proof():
    proof = {K.ACCEPT, K.PARTIAL_FILL, K.FILL, K.REJECT, K.CANCEL, K.EXPIRE, K.FIND, K.MISS, K.CANCEL_REQUEST, K.SEND_REFUSED}
    assert {kind for (status, kind), after in TABLE.items() if status is S.UNKNOWN and after is not S.UNKNOWN} == proof


def test_a_missing_order_that_was_never_acknowledged_is_not_given_up():
    assert next_status(S.SUBMITTED, K.MISS) is None


@pytest.mark.parametrize("status", [S.CANCELED, S.EXPIRED, S.REJECTED, S.DENIED])
def test_a_fill_after_the_end_is_a_correction(status):
    assert is_correction(status, K.PARTIAL_FILL)
    assert next_status(status, K.PARTIAL_FILL) is status


@given(st.lists(st.one_of(st.sampled_from([kind for kind in K if kind not in {K.FILL, K.PARTIAL_FILL}]), st.integers(1, 6)), max_size=30))
def test_any_sequence_of_reports_keeps_filled_monotone_and_illegal_ones_change_nothing(events):
    ledger = OrderLedger()
    record = ledger.add(intent(), 0)
    total = 0
    for event in events:
        before = (record.status, record.filled_lots, record.leaves)
        if isinstance(event, int):
            step = ledger.fill("a", event)
            total += event
            assert record.filled_lots == total, "A fill is booked whatever the status says"
            assert step.excess_lots == min(event, max(0, total - 10))
        else:
            step = ledger.report("a", event)
            if not step.is_legal:
                assert (record.status, record.filled_lots, record.leaves) == before
        assert 0 <= record.leaves <= 10
        assert (record.leaves == 0) if record.status in TERMINAL else True
        assert len(ledger) == (record.status not in TERMINAL)


def test_worst_case_counts_everything_that_is_not_proven_dead():
    ledger = OrderLedger()
    for name, kinds in {
        "sent": [],
        "lost": [K.LOSE],
        "open": [K.ACCEPT],
        "leaving": [K.ACCEPT, K.CANCEL_REQUEST],
        "dead": [K.REJECT],
    }.items():
        ledger.add(intent(name), 0)
        for kind in kinds:
            assert ledger.report(name, kind).is_legal
    ledger.fill("open", 4)
    ledger.add(intent("exit", 7, reduce_only=True, side=Side.SELL), 0)
    assert ledger.risk_lots(0) == (36, 0)
    assert ledger.risk_lots(1) == (0, 0)


def test_an_oco_group_counts_once_and_shrinks_together():
    ledger = OrderLedger()
    ledger.add(intent("stop", group="g", reduce_only=True, side=Side.SELL), 0)
    ledger.add(intent("target", group="g", reduce_only=True, side=Side.SELL), 0)
    ledger.add(intent("exit", 3, reduce_only=True, side=Side.SELL), 0)
    assert ledger.reducing_lots(0, None) == 13
    assert ledger.reducing_lots(0, "g") == 3
    ledger.fill("target", 4)
    assert [record.leaves for record in ledger.working()] == [6, 6, 3]
    assert ledger.fill("stop", 6).excess_lots == 0
    assert ledger.get("stop").status is S.FILLED
    assert {report.intent.client_order_id: report.intent.lots for report in ledger.reports()} == {"target": 4, "exit": 3}


def test_memory_of_finished_orders_is_bounded_and_working_orders_stay():
    ledger = OrderLedger()
    ledger.add(intent("keep"), 0)
    for n in range(FINISHED_ORDERS_KEPT + 10):
        ledger.add(intent(f"o{n}"), 0)
        ledger.report(f"o{n}", K.REJECT)
    assert ledger.get("keep") is not None
    assert ledger.get("o9") is None
    assert ledger.get("o10") is not None
    assert len(ledger._orders) == FINISHED_ORDERS_KEPT + 1


def test_adopted_orders_keep_what_they_had_filled():
    record = OrderLedger().adopt(OrderReport(intent=intent(), venue_order_id="v1", filled_lots=3), 5)
    assert (record.status, record.leaves, record.venue_order_id) == (S.PARTIALLY_FILLED, 7, "v1")


def test_reports_of_strangers_are_counted_and_change_nothing():
    ledger = OrderLedger()
    assert not ledger.report("x", K.ACCEPT).is_legal
    assert not ledger.fill("x", 1).is_legal
    assert ledger.illegal_reports == 2


def test_prices_round_to_the_safe_side():
    assert protective_ticks(GRID, Side.BUY, 99.6) == 200
    assert protective_ticks(GRID, Side.SELL, 100.4) == 200
    assert target_ticks(GRID, Side.BUY, 100.4) == 200
    assert target_ticks(GRID, Side.SELL, 99.6) == 200
    assert protective_ticks(GRID, Side.BUY, 100.0) == 200
    for wrong in (float("nan"), float("inf"), 0.0, -1.0):
        assert protective_ticks(GRID, Side.BUY, wrong) is None
    assert collar_ticks(Side.BUY, 10_005, Decimal(10)) == 10_015
    assert collar_ticks(Side.SELL, 10_005, Decimal(10)) == 9_995
    assert collar_ticks(Side.SELL, 1, Decimal(10_000)) == 1


def test_round_trip_cost_counts_fees_and_the_spread_that_is_crossed():
    assert round_trip_cost_bps(ExecutionParameters(), 2.0) == 22.0
    assert round_trip_cost_bps(ExecutionParameters(entry=EntryStyle.MAKER, maker_bps=Decimal(-1)), 2.0) == 10.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"collar_bps": -1},
        {"taker_bps": "NaN"},
        {"entry_timeout_s": 0},
        {"max_holding_s": -1},
        {"default_stop_fraction": 1},
        {"approval_valid_ms": 0},
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="execution"):
        ExecutionParameters(**wrong)

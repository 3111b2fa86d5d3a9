"""Ticks that are passed over while what reduces is on its way had nothing to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.entries import CancelRejected, OrderAccepted, OrderCanceled, OrderExpired, OrderRejected
from smartmoney.core.domain.orders import OrderStatus
from smartmoney.core.domain.signals import SignalType
from smartmoney.core.execution.parameters import ExecutionParameters
from tests.unit.core.execution.test_executor import Bench, S, intents
from tests.unit.core.execution.test_resting import acted, is_passed_over

ACK_NS = int(ExecutionParameters().ack_timeout_s * S)
CANCEL_NS = int(ExecutionParameters().cancel_timeout_s * S)
SELL = {"stop": 102.0, "target": 96.0}
HAPPENS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 1, 2, 5, 30])),
    st.tuples(st.just("answer"), st.tuples(st.integers(0, 3), st.sampled_from(["plain", "plain", "fill", "part", "refuse"]))),
    st.tuples(st.just("signal"), st.sampled_from([SignalType.BUY, SignalType.SELL])),
    st.tuples(st.just("move"), st.sampled_from([-150, -3, 3, 150])),
)


def hand_on(bench):
    """Take what the engine takes after each reply."""
    bench.executor.take_executed_signals()
    bench.executor.take_closed_trades()
    bench.executor.take_halt_request()


def due_ns(bench):
    hand_on(bench)
    return bench.executor.settled_until_ns(bench.now, is_halted=False)


def answer(bench, which, how):
    """Let the venue answer to one of the orders that work: as it was asked, by a fill, or by a no."""
    working = [*bench.executor.ledger.working()]
    if not working:
        return
    record = working[which % len(working)]
    intent, name = record.intent, record.intent.client_order_id
    if how in {"fill", "part"}:
        lots = record.leaves if how == "fill" else max(1, record.leaves // 3)
        if lots:
            bench.fill(intent, lots, ticks=bench.ask)
    elif record.status is OrderStatus.PENDING_CANCEL:
        refused = CancelRejected(client_order_id=name, reason="unknown order")
        bench.reply(refused if how == "refuse" else OrderCanceled(client_order_id=name, reason="requested"))
    elif record.status is OrderStatus.SUBMITTED:
        refused = OrderRejected(client_order_id=name, reason="no")
        bench.reply(refused if how == "refuse" else OrderAccepted(client_order_id=name, venue_order_id="v"))
    elif how == "refuse":
        bench.reply(OrderExpired(client_order_id=name, reason="no more depth"))


@settings(max_examples=150)
@given(st.booleans(), st.sampled_from([None, 7.0]), st.lists(HAPPENS, min_size=5, max_size=60))
def test_what_is_passed_over_had_nothing_to_do(is_linked, horizon_s, happens):
    bench = Bench(linked_pairs=is_linked)
    (entry,) = intents(bench.open(horizon_s=horizon_s))
    bench.fill(entry)
    for number, (what, value) in enumerate(happens):
        if what == "answer":
            answer(bench, *value)
        elif what == "move":
            bench.bid, bench.ask = bench.bid + value, bench.ask + value
        elif what == "signal":
            bench.open(value, signal_id=f"sig{number}", horizon_s=horizon_s, **({} if value is SignalType.BUY else SELL))
        else:
            hand_on(bench)
            for _ in range(value):
                bench.now += S // 10
                before, is_spared = acted(bench), is_passed_over(bench)
                commands = bench.executor.on_tick(bench.view())
                assert not is_spared or (commands, acted(bench)) == ([], before)


@pytest.mark.parametrize("is_linked", [True, False])
def test_protection_on_its_way_is_passed_over_until_its_answer_is_overdue(is_linked):
    bench = Bench(linked_pairs=is_linked)
    (entry,) = intents(bench.open())
    sent = bench.fill(entry)
    assert len(intents(sent)) == 2
    assert due_ns(bench) == ACK_NS
    assert bench.tick(ACK_NS / S - 0.1) == []
    bench.accept(*sent)
    assert due_ns(bench) > ACK_NS


def test_protection_that_makes_room_is_passed_over_until_its_answer_is_overdue_and_the_exit_after_it_too():
    bench = Bench(linked_pairs=True)
    bench.long()
    cancelled = bench.open(SignalType.SELL, lots=500, signal_id="other", **SELL)
    assert due_ns(bench) == CANCEL_NS
    bench.now += S // 20
    (leaving,) = intents(bench.cancelled(*cancelled))
    assert leaving.reduce_only
    assert due_ns(bench) == bench.now + ACK_NS
    bench.fill(leaving, ticks=bench.bid)
    assert bench.executor.portfolio.position_lots(0) == 0


def test_protection_of_what_is_sold_is_passed_over_while_it_is_withdrawn():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    bench.fill(target, ticks=target.price_ticks)
    assert bench.executor.ledger.get(stop.client_order_id).status is OrderStatus.PENDING_CANCEL
    assert due_ns(bench) == CANCEL_NS

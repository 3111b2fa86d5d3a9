"""Ticks that are passed over while an entry waits had nothing to do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.core.book.state import BID
from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.entries import OrderAccepted, OrderCanceled, OrderRejected
from smartmoney.core.domain.orders import OrderStatus
from smartmoney.core.domain.signals import SignalType
from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.core.risk.parameters import RiskLimits
from tests.unit.core.execution.test_entering import PATIENT, move, resting, withdrawn
from tests.unit.core.execution.test_executor import Bench, S

HAPPENS = st.one_of(
    st.tuples(st.just("move"), st.integers(-4, 4)),
    st.tuples(st.just("pass"), st.sampled_from([0.1, 0.1, 0.4, 1.0, 2.0, 5.0])),
    st.tuples(st.just("answer"), st.sampled_from(["accept", "accept", "cancel", "fill", "reject", "late", "halt"])),
)


def acted(bench):
    """Everything that a tick may change."""
    desk = bench.executor._desk
    records = [(one.intent, one.status, one.cancel_mono_ns, one.filled_lots) for one in desk.ledger.working()]
    return repr((records, desk.pursuits, desk.plans, desk.order_count, desk.wants_account, desk.halt_request))


def is_passed_over(bench):
    """Whether the executor says that this tick has nothing to do: by its times, and by the touch that it follows."""
    better = [
        bench.now >= one.from_mono_ns and (bench.bid > one.ticks if one.side == BID else bench.ask < one.ticks)
        for one in bench.executor.chases()
    ]
    return bench.now < bench.executor.settled_until_ns(bench.now - S // 10, is_halted=bench.halted) and not any(better)


def answer(bench, how):
    """Let the venue answer to the newest order that works, whatever it was asked; or fill one after its end; or a person halt."""
    record = next(reversed([*bench.executor.ledger.working()]), None)
    for pursuit in bench.executor._desk.pursuits.values() if how == "late" else ():
        bench.fill(bench.executor.ledger.get(pursuit.order_ids[-1]).intent, pursuit.lots, ticks=bench.ask)
        return
    if how == "halt":
        bench.halted = True
    if record is None:
        return
    intent, name = record.intent, record.intent.client_order_id
    if how == "fill":
        bench.fill(intent, max(1, min(record.leaves, 300)), ticks=intent.price_ticks or bench.ask)
    elif how == "reject" and record.status is OrderStatus.SUBMITTED:
        bench.reply(OrderRejected(client_order_id=name, reason="post only would cross"))
    elif how == "cancel" and record.status is OrderStatus.PENDING_CANCEL:
        bench.reply(OrderCanceled(client_order_id=name, reason="requested"))
    elif how == "accept" and record.status is OrderStatus.SUBMITTED:
        bench.reply(OrderAccepted(client_order_id=name, venue_order_id="v"))


@settings(max_examples=150)
@given(
    st.sampled_from([EntryStyle.MAKER, EntryStyle.AUTO]),
    st.sampled_from([SignalType.BUY, SignalType.SELL]),
    st.sampled_from([0.55, 0.9]),
    st.sampled_from([2, 6, 60]),
    st.sampled_from([1.0, 3.0, 12.0]),
    st.lists(HAPPENS, min_size=5, max_size=60),
)
def test_what_is_passed_over_had_nothing_to_do(style, side, confidence, per_minute, timeout_s, happens):
    limits = RiskLimits(max_orders_per_minute=per_minute + 4, reserved_orders_per_minute=4)
    bench = Bench(entry=style, maker_bps=2, taker_bps=5, limits=limits, entry_timeout_s=timeout_s, signal_decay_time_s=40.0)
    levels = {} if side is SignalType.BUY else {"stop": 102.0, "target": 96.0}
    bench.open(side, outlook=PATIENT, confidence=confidence, **levels)
    for what, value in happens:
        if what == "move":
            move(bench, value)
        elif what == "answer":
            answer(bench, value)
        else:
            for _ in range(round(value * 10)):
                bench.now += S // 10
                before, is_spared = acted(bench), is_passed_over(bench)
                commands = bench.executor.on_tick(bench.view())
                assert not is_spared or (commands, acted(bench)) == ([], before)


def test_an_entry_that_rests_is_passed_over_until_its_times_or_its_touch_come():
    bench, first = resting()
    (chase,) = bench.executor.chases()
    assert (chase.side, chase.ticks, chase.from_mono_ns) == (BID, first.price_ticks, 2 * S)
    assert bench.executor.settled_until_ns(0, is_halted=False) > 10 * S
    move(bench, 3)
    bench.tick(2.0)
    asked = bench.now
    assert bench.executor.settled_until_ns(asked, is_halted=False) == asked + 3 * S, "its cancel is asked for once more then"
    assert bench.executor.chases()[0].from_mono_ns == NEVER


@pytest.mark.parametrize(("timeout_s", "due_s"), [(30.0, 2.6), (2.3, 2.299)])
def test_between_two_orders_ticks_are_passed_over_until_the_pause_or_the_time_is_over(timeout_s, due_s):
    bench, _ = resting(entry_timeout_s=timeout_s)
    move(bench, 3)
    withdrawn(bench)
    assert bench.executor.settled_until_ns(bench.now, is_halted=False) == 0, "its end is to be seen first"
    bench.tick(0.1)
    assert bench.executor.settled_until_ns(bench.now, is_halted=False) == int(due_s * S)
    assert bench.executor.settled_until_ns(bench.now, is_halted=True) == 0, "it ends with the next tick"

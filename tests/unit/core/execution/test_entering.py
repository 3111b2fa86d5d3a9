"""Resting entries: following the touch, going on after a refusal, crossing at the time-out, and everything that ends them."""

import math

import msgspec
import pytest

from smartmoney.core.domain.commands import CancelOrder
from smartmoney.core.domain.entries import (
    CancelRejected,
    OrderCanceled,
    OrderExpired,
    OrderRejected,
    OutcomeUnknown,
    SendRefused,
)
from smartmoney.core.domain.orders import OrderStatus, PositionReport, Purpose, Side, TimeInForce
from smartmoney.core.domain.signals import FeedTrust, RefusalCode, SignalType
from smartmoney.core.execution.entering import BLIND, OVERTAKEN, REPRICED, TIMED_OUT
from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.core.strategy.outlook import Outlook
from tests.unit.core.execution.test_executor import Bench, D, account, cancels, codes, intents, subjects

PATIENT = Outlook(gross_bps=200.0, horizon_s=3600.0, sigma_bps=1.0)
URGENT = Outlook(gross_bps=200.0, horizon_s=60.0, sigma_bps=1.0)


def resting(entry=EntryStyle.MAKER, outlook=PATIENT, side=SignalType.BUY, **parameters):
    """An entry that rests, acknowledged; (bench, its intent)."""
    bench = Bench(entry=entry, **{"maker_bps": 2, "taker_bps": 5, **parameters})
    levels = {} if side is SignalType.BUY else {"stop": 102.0, "target": 96.0}
    commands = bench.open(side, outlook=outlook, **levels)
    bench.accept(*commands)
    (intent,) = intents(commands)
    return bench, intent


def move(bench, ticks):
    bench.bid, bench.ask = bench.bid + ticks, bench.ask + ticks


def withdrawn(bench, seconds=2.0):
    """Pass time until the entry is withdrawn; return the commands that the venue's answer leads to, and the reason."""
    (cancel,) = [one for one in bench.tick(seconds) if isinstance(one, CancelOrder)]
    return bench.cancelled(cancel), cancel.reason


@pytest.mark.parametrize(("side", "ticks"), [(SignalType.BUY, 3), (SignalType.SELL, -3)])
def test_an_entry_that_the_touch_left_behind_follows_it_once_it_is_proven_gone(side, ticks):
    bench, first = resting(side=side)
    move(bench, ticks)
    assert bench.tick(1.9) == [], "it keeps its place for a while"
    answer, reason = withdrawn(bench, 0.1)
    assert (reason, intents(answer)) == (REPRICED, [])
    assert bench.tick(0.1) == bench.tick(0.4) == [], "its fills may still be told"
    assert bench.executor.working_lots(0) == first.side.sign * first.lots, "meanwhile it counts as working"
    (second,) = intents(bench.tick(0.1))
    expected = first.price_ticks + ticks
    assert (second.price_ticks, second.lots, second.post_only, second.signal_id) == (expected, first.lots, True, first.signal_id)
    assert first.client_order_id in second.why
    assert REPRICED in second.why


def test_a_touch_that_came_back_or_moved_on_toward_us_is_not_followed():
    bench, _ = resting()
    move(bench, -3)
    assert bench.tick(5.0) == []


def test_an_entry_that_buys_dust_of_the_other_side_back_goes_on():
    bench = Bench(entry=EntryStyle.MAKER, positions=(PositionReport(instrument=0, quantity=D("-0.01"), cost=D(-1)),))
    commands = bench.open()
    bench.accept(*commands)
    (entry,) = intents(commands)
    told = bench.fill(entry, 300, ticks=9_999)
    assert entry.client_order_id not in cancels(told)
    assert bench.executor.is_entering(0)
    assert bench.executor.working_lots(0) == 700


def test_an_entry_keeps_its_place_while_the_minute_is_short_of_orders():
    bench, _ = resting(limits=RiskLimits(max_orders_per_minute=12, reserved_orders_per_minute=4), entry_timeout_s=90.0)
    for _ in range(10):
        move(bench, 1)
        bench.cancelled(*bench.tick(2.1))
        for seconds in (0.1, 0.6):
            bench.accept(*bench.tick(seconds))
    assert bench.executor.order_count == 4, "half of the eight that entries have"
    assert bench.executor.is_entering(0), "it is not given up"
    assert len(cancels(bench.tick(35.0))) == 1, "a minute later it follows on"


def test_what_was_filled_before_is_not_bought_again():
    bench, first = resting()
    move(bench, 3)
    bench.tick(2.0)
    bench.accept(*bench.fill(first, 300, ticks=9_999))
    bench.reply(OrderCanceled(client_order_id=first.client_order_id))
    bench.tick(0.1)
    (second,) = [one for one in intents(bench.tick(0.6)) if one.purpose is Purpose.ENTRY]
    assert second.lots == 700
    bench.accept()
    bench.fill(second, 700, ticks=10_002)
    assert bench.executor.portfolio.position_lots(0) == 1000
    assert bench.executor.take_executed_signals() == ("sig",), "a signal is executed once, whatever orders it took"
    bench.tick(0.1)
    assert not bench.executor.is_entering(0)


def test_a_fill_that_is_told_after_the_end_is_taken_off_what_follows():
    bench, first = resting()
    move(bench, 3)
    withdrawn(bench)
    bench.tick(0.1)
    bench.fill(first, 400, ticks=9_999)
    (second,) = [one for one in intents(bench.tick(0.6)) if one.purpose is Purpose.ENTRY]
    assert second.lots == 600


def test_a_fill_that_is_told_after_another_was_sent_takes_that_back_for_what_is_left():
    bench, first = resting()
    move(bench, 3)
    withdrawn(bench)
    bench.tick(0.1)
    bench.accept(*bench.tick(0.6))
    told = bench.fill(first, 400, ticks=9_999)
    (cancel,) = [one for one in told if isinstance(one, CancelOrder)]
    assert cancel.reason == OVERTAKEN
    bench.accept(*told)
    bench.cancelled(cancel)
    bench.tick(0.1)
    (third,) = [one for one in intents(bench.tick(0.6)) if one.purpose is Purpose.ENTRY]
    assert third.lots == 600
    assert bench.executor.working_lots(0) + bench.executor.portfolio.position_lots(0) == 1000


@pytest.mark.parametrize("ticks", [-300, 500])
@pytest.mark.parametrize("entry", [EntryStyle.MAKER, EntryStyle.AUTO])
def test_an_entry_does_not_go_on_where_the_market_is_past_its_stop_or_its_target(entry, ticks):
    bench, _ = resting(entry, outlook=Outlook(gross_bps=2_000.0, horizon_s=36_000.0, sigma_bps=1.0), collar_bps=1_000)
    move(bench, 3)
    withdrawn(bench)
    bench.tick(0.1)
    move(bench, ticks)
    assert intents(bench.tick(0.6)) == []
    assert not bench.executor.is_entering(0)


@pytest.mark.parametrize("linked", [True, False])
def test_an_entry_that_fills_bit_by_bit_does_not_use_up_the_orders_of_a_minute(linked):
    """On spot each larger stop is a cancel and two orders: one for every bit of 60 left nothing for the next stop, nor for an exit."""
    bench, first = resting(linked_pairs=linked)

    def carry_out(commands):
        while commands:
            assert codes(commands) == []
            commands = [*bench.accept(*commands), *bench.cancelled(*commands)]

    def stops():
        return [one.leaves for one in bench.executor.ledger.working(0) if one.intent.purpose is Purpose.STOP]

    for bit in range(90):
        carry_out(bench.fill(first, 10, ticks=9_999))
        assert bit > 10 or stops() == [bench.executor.portfolio.position_lots(0)], "a few bits are covered one by one"
        for _ in range(3):
            carry_out(bench.tick(0.1))
        assert 2 * sum(stops()) >= bench.executor.portfolio.position_lots(0)
        assert bench.executor.is_protected(0)
    assert bench.executor.order_count < 80
    for _ in range(21):
        carry_out(bench.tick(0.1))
    assert stops() == [bench.executor.portfolio.position_lots(0)] == [900]


def test_it_follows_no_further_than_a_marketable_limit_would_have_reached():
    bench, _first = resting()
    move(bench, 40)
    withdrawn(bench)
    bench.tick(0.1)
    (second,) = intents(bench.tick(0.6))
    assert second.price_ticks == 10_011, "ten bps past the touch of the decision"
    bench.accept(*bench.tick(0.0))
    assert bench.tick(5.0) == [], "and stays there"


def test_it_follows_no_further_than_the_forecast_pays():
    bench, _ = resting(outlook=Outlook(gross_bps=13.0, horizon_s=3600.0, sigma_bps=1.0))
    move(bench, 6)
    withdrawn(bench)
    assert intents(bench.tick(0.1) + bench.tick(0.6)) == []
    assert not bench.executor.is_entering(0)


@pytest.mark.parametrize("answer", [OrderRejected, OrderExpired])
def test_what_the_venue_refuses_because_it_would_have_crossed_is_sent_again_at_the_new_touch(answer):
    bench = Bench(entry=EntryStyle.MAKER)
    (first,) = intents(bench.open())
    bench.reply(answer(client_order_id=first.client_order_id, reason="post only would cross"))
    move(bench, -2)
    assert intents(bench.tick(0.1)) == []
    (second,) = intents(bench.tick(2.0))
    assert second.price_ticks == first.price_ticks - 2
    tried = 2
    while sent := intents(bench.reply(answer(client_order_id=second.client_order_id, reason="again")) + bench.tick(0.1) + bench.tick(2.0)):
        (second,) = sent
        tried += 1
    assert tried == 4, "three more times, then it is given up"
    assert not bench.executor.is_entering(0)


def test_a_refusal_of_what_would_have_crossed_wakes_nobody():
    bench = Bench(entry=EntryStyle.MAKER)
    (first,) = intents(bench.open())
    (said,) = bench.reply(OrderRejected(client_order_id=first.client_order_id, reason="post only would cross"))
    assert (said.subject, said.severity) == ("order refused", "info")


def test_a_refusal_that_ends_an_entry_is_a_warning():
    bench = Bench(entry=EntryStyle.MAKER)
    (first,) = intents(bench.open())
    (said,) = bench.reply(SendRefused(client_order_id=first.client_order_id, reason="the money does not suffice"))
    assert said.severity == "warning"
    bench = Bench(entry=EntryStyle.MAKER)
    (newest,) = intents(bench.open())
    told = []
    while newest is not None:
        told += [one.severity for one in bench.reply(OrderRejected(client_order_id=newest.client_order_id, reason="no"))]
        newest = next(iter(intents(bench.tick(0.1) + bench.tick(2.0))), None)
    assert told == ["info"] * 3 + ["warning"]


def test_auto_crosses_at_the_time_out_what_still_pays():
    bench, first = resting(EntryStyle.AUTO)
    assert first.post_only
    assert "waiting is expected to cost" in first.why
    _, reason = withdrawn(bench, 30.0)
    assert reason == TIMED_OUT
    bench.tick(0.1)
    (last,) = intents(bench.tick(0.6))
    assert (last.time_in_force, last.post_only, last.price_ticks, last.lots) == (TimeInForce.IOC, False, 10_011, first.lots)
    bench.reply(OrderExpired(client_order_id=last.client_order_id, reason="ioc"))
    assert intents(bench.tick(5.0)) == []
    assert not bench.executor.is_entering(0)


def test_auto_lets_go_what_no_longer_pays_and_never_crosses_beyond_the_collar():
    bench, _ = resting(EntryStyle.AUTO, outlook=Outlook(gross_bps=12.1, horizon_s=900.0, sigma_bps=1.0))
    withdrawn(bench, 30.0)
    assert intents(bench.tick(0.1) + bench.tick(0.6)) == []
    bench, _ = resting(EntryStyle.AUTO)
    move(bench, -50)
    withdrawn(bench, 30.0)
    bench.tick(0.1)
    (last,) = intents(bench.tick(0.6))
    assert last.price_ticks == 9_960, "ten bps past the touch that is, not past the one that was"


def test_maker_withdraws_at_the_time_out_and_that_is_all():
    bench, _ = resting()
    withdrawn(bench, 30.0)
    assert intents(bench.tick(0.1) + bench.tick(0.6)) == []
    assert not bench.executor.is_entering(0)
    assert bench.executor.rests()


def test_all_orders_of_an_entry_wait_together():
    bench, _ = resting(entry_timeout_s=5.0)
    move(bench, 1)
    withdrawn(bench)
    bench.tick(0.1)
    bench.accept(*bench.tick(0.6))
    assert cancels(bench.tick(2.0)) == []
    (cancel,) = [one for one in bench.tick(0.4) if isinstance(one, CancelOrder)]
    assert cancel.reason == TIMED_OUT


def test_an_urgent_forecast_crosses_at_once_and_says_why():
    bench = Bench(entry=EntryStyle.AUTO)
    (entry,) = intents(bench.open(outlook=URGENT))
    assert entry.time_in_force is TimeInForce.IOC
    assert entry.why.startswith("taker: waiting is expected to cost")
    assert not bench.executor._desk.pursuits


def test_without_a_forecast_auto_crosses():
    (entry,) = intents(Bench(entry=EntryStyle.AUTO).open())
    assert entry.time_in_force is TimeInForce.IOC
    assert "not known" in entry.why


def test_while_it_is_between_two_orders_no_other_entry_is_made():
    bench, first = resting()
    move(bench, 3)
    withdrawn(bench)
    assert codes(bench.open(delta=500)) == [RefusalCode.ORDER_IN_FLIGHT]
    assert not bench.executor.rests()
    assert bench.executor.settled_until_ns(bench.now, is_halted=False) == 0
    assert bench.executor.working_lots(0) == first.lots


@pytest.mark.parametrize("how", ["halt", "withdrawal", "flatten", "a person"])
def test_what_ends_an_entry_ends_what_would_follow(how):
    bench, first = resting()
    move(bench, 3)
    if how == "a person":
        bench.reply(OrderCanceled(client_order_id=first.client_order_id, reason="by hand"))
    else:
        withdrawn(bench)
    if how == "halt":
        bench.halted = True
    elif how == "withdrawal":
        bench.executor.cancel_entries("feed lost", bench.view())
    elif how == "flatten":
        bench.executor.flatten("test", bench.view())
    assert [one for seconds in (0.1, 0.6, 3.0) for one in intents(bench.tick(seconds))] == []
    assert not bench.executor.is_entering(0)


@pytest.mark.parametrize("is_between", [False, True])
def test_an_opposite_signal_takes_back_an_entry_before_another_one_is_made(is_between):
    bench, first = resting()
    if is_between:
        move(bench, 3)
        withdrawn(bench)
    opposite = {"side": SignalType.SELL, "stop": 102.0, "target": 96.0, "signal_id": "other"}
    commands = bench.open(**opposite)
    assert (cancels(commands), intents(commands)) == ([] if is_between else [first.client_order_id], [])
    if not is_between:
        assert codes(bench.open(**opposite)) == [RefusalCode.ORDER_IN_FLIGHT], "until it is proven gone"
        bench.cancelled(*commands)
    assert not bench.executor.is_entering(0)
    (other,) = intents(bench.open(**opposite))
    assert other.side is Side.SELL


def test_an_exit_ends_what_would_follow():
    bench, first = resting()
    bench.accept(*bench.fill(first, 300, ticks=9_999))
    move(bench, 3)
    withdrawn(bench)
    bench.open(SignalType.SELL, stop=102.0, target=96.0, lots=300)
    sent = [one for seconds in (0.1, 0.6, 3.0) for one in intents(bench.tick(seconds)) if one.purpose is Purpose.ENTRY]
    assert sent == []
    assert not bench.executor.is_entering(0)


def test_a_cancel_that_came_to_nothing_does_not_make_a_persons_later_cancel_ours():
    bench, first = resting()
    move(bench, 3)
    bench.tick(2.0)
    bench.reply(CancelRejected(client_order_id=first.client_order_id, reason="too late"))
    move(bench, -3)
    bench.executor.reconcile(account(orders=[first]), bench.view())
    bench.tick(0.1)
    bench.reply(OrderCanceled(client_order_id=first.client_order_id, reason="by hand"))
    assert [one for seconds in (0.1, 0.6, 3.0) for one in intents(bench.tick(seconds))] == []
    assert not bench.executor.is_entering(0)


def test_an_unknown_end_is_not_followed_before_it_is_proven_and_a_missing_order_not_at_all():
    bench, first = resting()
    move(bench, 3)
    bench.tick(2.0)
    bench.reply(OutcomeUnknown(client_order_id=first.client_order_id, reason="timeout"))
    assert intents(bench.tick(0.1) + bench.tick(1.0)) == []
    bench.tick(8.0)
    bench.executor.reconcile(account(), bench.view())
    assert bench.executor.ledger.get(first.client_order_id).status is OrderStatus.CANCELED
    assert intents(bench.tick(0.1) + bench.tick(1.0)) == [], "it may have been filled, and nobody has said so yet"


def test_an_entry_does_not_rest_where_the_market_cannot_be_seen():
    bench, first = resting()
    bench.trust = FeedTrust.RESYNCING
    assert bench.tick(1.0) == bench.tick(1.9) == [], "a gap is soon closed, and a place in the queue is worth something"
    bench.trust = FeedTrust.SYNCED
    assert bench.tick(5.0) == []
    bench.trust = FeedTrust.STALE
    assert bench.tick(0.1) == []
    _, reason = withdrawn(bench, 2.0)
    assert reason == BLIND
    assert intents(bench.tick(0.1) + bench.tick(5.0)) == []
    bench.trust = FeedTrust.SYNCED
    move(bench, -3)
    (second,) = intents(bench.tick(0.1))
    assert (second.price_ticks, second.lots) == (first.price_ticks - 3, first.lots)


def test_an_entry_that_sees_the_market_no_more_is_let_go_in_time():
    bench, _ = resting(EntryStyle.AUTO)
    bench.trust = FeedTrust.STALE
    bench.tick(0.1)
    withdrawn(bench)
    assert [one for _ in range(140) for one in intents(bench.tick(1.0))] == []
    assert not bench.executor.is_entering(0)


def test_a_book_out_of_sync_is_waited_for():
    bench, _ = resting()
    move(bench, 3)
    withdrawn(bench)
    bench.tick(0.1)
    bench.trust = FeedTrust.RESYNCING
    assert intents(bench.tick(1.0)) == []
    bench.trust = FeedTrust.SYNCED
    (second,) = intents(bench.tick(0.1))
    assert second.side is Side.BUY


def test_its_signal_becoming_void_ends_it_between_two_orders():
    bench, _ = resting(entry_timeout_s=200.0)
    bench.tick(127.0)  # 0.9 decays below one half after 127.2 s
    move(bench, 3)
    withdrawn(bench, 0.1)
    assert intents(bench.tick(0.1) + bench.tick(0.6)) == []
    assert not bench.executor.is_entering(0)


def test_a_denied_successor_is_told_and_ends_it():
    bench, _ = resting()
    move(bench, 3)
    withdrawn(bench)
    bench.tick(0.1)
    bench.executor._desk.limits = msgspec.structs.replace(bench.executor._desk.limits, max_order_notional=5)
    commands = bench.tick(0.6)
    assert codes(commands) == [RefusalCode.ABOVE_MAX_ORDER]
    assert not bench.executor.is_entering(0)
    assert subjects(commands) == []


def test_no_outlook_is_the_default_and_is_not_known():
    assert not Outlook().is_known
    assert math.isnan(Outlook().drift_bps)

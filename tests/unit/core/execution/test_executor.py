import math
from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.domain.commands import CancelOrder, Notify, RecordRefusal, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import (
    AccountReported,
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
)
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import (
    Fill,
    Liquidity,
    OrderIntent,
    OrderReport,
    OrderStatus,
    OrderType,
    PositionReport,
    Purpose,
    Side,
    TimeInForce,
)
from smartmoney.core.domain.signals import FeedTrust, RefusalCode, Signal, SignalType
from smartmoney.core.execution.desk import ClientIds
from smartmoney.core.execution.executor import Executor
from smartmoney.core.execution.parameters import EntryStyle, ExecutionParameters
from smartmoney.core.execution.view import ExecutionView, Quote
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.core.strategy.outlook import Outlook

D = Decimal
S = 1_000_000_000
PERP = Instrument(
    venue="v",
    market=Market.USDM,
    symbol="A",
    name="A/Q",
    base="A",
    quote="Q",
    tick_size=D("0.01"),
    lot_size=D("0.01"),
    min_lots=2,
    min_notional=D(5),
)


class Bench:
    """An executor driven by hand: what it sends is kept, nothing answers unless told to."""

    def __init__(self, positions=(), limits=None, run="run1", **parameters):
        self.executor = Executor(
            run, [PERP], Portfolio([PERP], D(10_000), positions), ExecutionParameters(**parameters), limits or RiskLimits()
        )
        self.now, self.seq, self.trades = 0, 100, 0
        self.bid, self.ask, self.trust, self.halted = 9_999, 10_001, FeedTrust.SYNCED, False

    def view(self):
        self.seq += 1
        quote = Quote(best_bid_ticks=self.bid, best_ask_ticks=self.ask, trust=self.trust)
        return ExecutionView(seq=self.seq, now_mono_ns=self.now, quotes=(quote,), equity=D(10_000), halted=self.halted)

    def open(
        self,
        side=SignalType.BUY,
        lots=1000,
        stop=98.0,
        target=104.0,
        delta=None,
        confidence=0.9,
        signal_id="sig",
        horizon_s=None,
        outlook=None,
    ):
        signal = Signal(
            signal_type=side,
            symbol="A/Q",
            price=100.0,
            quantity=0.1,
            confidence=confidence,
            stop_loss=stop,
            take_profit=target,
            signal_id=signal_id,
        )
        target_lots = lots if side is SignalType.BUY else -lots
        delta = target_lots - self.executor.portfolio.position_lots(0) if delta is None else delta
        return self.executor.open(
            signal, 0, target_lots, delta, self.view(), outlook or Outlook(horizon_s=math.nan if horizon_s is None else horizon_s)
        )

    def reply(self, reply):
        return self.executor.on_reply(reply, self.view())

    def accept(self, *commands):
        return [
            c
            for i in intents(commands)
            for c in self.reply(OrderAccepted(client_order_id=i.client_order_id, venue_order_id="v" + i.client_order_id))
        ]

    def fill(self, intent, lots=None, ticks=10_001, **changes):
        self.trades += 1
        fill = Fill(
            trade_id=str(self.trades),
            client_order_id=intent.client_order_id,
            instrument=0,
            side=intent.side,
            price_ticks=ticks,
            lots=lots or intent.lots,
            fee=D("0.1"),
            fee_asset="Q",
            liquidity=Liquidity.TAKER,
            ts_event_ns=self.now,
        )
        return self.reply(OrderFilled(fill=msgspec.structs.replace(fill, **changes)))

    def cancelled(self, *commands):
        out = []
        for command in commands:
            if isinstance(command, CancelOrder):
                out += self.reply(OrderCanceled(client_order_id=command.client_order_id))
        return out

    def tick(self, seconds=0.1):
        self.now += int(seconds * S)
        return self.executor.on_tick(self.view())

    def long(self, lots=1000, **fields):
        """Enter and be protected; return (stop, target)."""
        (entry,) = intents(self.open(lots=lots, **fields))
        protection = self.fill(entry)
        self.accept(*protection)
        return tuple(intents(protection))


def intents(commands):
    return [command.approved.intent for command in commands if isinstance(command, SubmitOrder)]


def cancels(commands):
    return [command.client_order_id for command in commands if isinstance(command, CancelOrder)]


def codes(commands):
    return [command.refusal.code for command in commands if isinstance(command, RecordRefusal)]


def subjects(commands):
    return [command.subject for command in commands if isinstance(command, Notify)]


def test_a_taker_entry_is_an_ioc_limit_inside_the_collar():
    (entry,) = intents(Bench().open())
    assert entry == OrderIntent(
        client_order_id="smrun1-101-0",
        instrument=0,
        side=Side.BUY,
        type=OrderType.LIMIT,
        lots=1000,
        purpose=Purpose.ENTRY,
        time_in_force=TimeInForce.IOC,
        price_ticks=10_011,
        signal_id="sig",
    )


def test_a_maker_entry_joins_the_queue_post_only():
    (entry,) = intents(Bench(entry=EntryStyle.MAKER).open(SignalType.SELL, stop=102.0, target=96.0))
    assert (entry.price_ticks, entry.time_in_force, entry.post_only, entry.side) == (10_001, TimeInForce.GTC, True, Side.SELL)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"delta": 0}, RefusalCode.AT_TARGET),
        ({"delta": -5}, RefusalCode.AT_TARGET),
        ({"stop": float("nan")}, RefusalCode.NOT_WARM),
        ({"target": float("inf")}, RefusalCode.NOT_WARM),
        ({"confidence": float("nan")}, RefusalCode.NOT_WARM),
        ({"stop": 101.0}, RefusalCode.STRATEGY_FAULT),
        ({"target": 99.0}, RefusalCode.STRATEGY_FAULT),
        ({"lots": 1}, RefusalCode.BELOW_MIN_NOTIONAL),
        ({"lots": 10**6}, RefusalCode.ABOVE_MAX_POSITION),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(fields, code):
    assert codes(Bench().open(**fields)) == [code]


def test_an_entry_is_refused_without_a_usable_book_and_while_one_is_working():
    bench = Bench()
    bench.trust = FeedTrust.STALE
    assert codes(bench.open()) == [RefusalCode.FEED_NOT_SYNCED]
    bench.trust = FeedTrust.SYNCED
    bench.open()
    assert codes(bench.open(delta=500)) == [RefusalCode.ORDER_IN_FLIGHT]
    bench.halted = True
    assert codes(Bench.open(bench, delta=0)) == [RefusalCode.AT_TARGET]


def test_halted_refuses_entries_and_lets_exits_pass():
    bench = Bench()
    stop, target = bench.long()
    bench.halted = True
    assert codes(bench.open(lots=2000)) == [RefusalCode.HALTED]
    assert cancels(bench.open(SignalType.SELL, lots=1000, stop=102.0, target=96.0)) == [stop.client_order_id, target.client_order_id]


def test_a_filled_entry_gets_one_stop_and_one_target_for_what_is_held():
    bench = Bench()
    stop, target = bench.long(stop=98.004, target=103.999)
    assert (stop.type, stop.side, stop.lots, stop.stop_ticks, stop.reduce_only) == (OrderType.STOP_MARKET, Side.SELL, 1000, 9_801, True)
    assert (target.type, target.side, target.lots, target.price_ticks, target.reduce_only) == (
        OrderType.LIMIT,
        Side.SELL,
        1000,
        10_399,
        True,
    )
    assert stop.oco_group == target.oco_group is not None
    assert bench.executor.take_executed_signals() == ("sig",)


def test_an_immediate_entry_is_protected_once_when_it_has_ended_or_after_the_delay():
    bench = Bench()
    (entry,) = intents(bench.open())
    assert intents(bench.fill(entry, 400)) == []
    assert intents(bench.fill(entry, 300)) == []
    assert [i.lots for i in intents(bench.reply(OrderExpired(client_order_id=entry.client_order_id)))] == [700, 700]
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.fill(entry, 400)
    assert intents(bench.tick(0.3)) == []
    assert [i.lots for i in intents(bench.tick(0.1))] == [400, 400]


def test_a_second_entry_resizes_protection_after_the_old_pair_is_gone_and_only_tightens():
    bench = Bench()
    stop, target = bench.long()
    (entry,) = intents(bench.open(lots=1500, stop=97.0, target=105.0, signal_id="two"))
    assert entry.lots == 500
    commands = bench.fill(entry)
    assert (cancels(commands), intents(commands)) == ([stop.client_order_id, target.client_order_id], [])
    first, second = (c for c in commands if isinstance(c, CancelOrder))
    assert intents(bench.cancelled(first)) == [], "the other one still works"
    new_stop, new_target = intents(bench.cancelled(second))
    assert (new_stop.lots, new_stop.stop_ticks) == (1500, 9_800), "never loosened from 98 to 97"
    assert (new_target.lots, new_target.price_ticks) == (1500, 10_500)


def test_a_partly_filled_target_shrinks_the_stop_and_needs_no_new_orders():
    bench = Bench()
    stop, target = bench.long()
    assert bench.fill(target, 400, 10_400) == []
    assert bench.executor.ledger.get(stop.client_order_id).leaves == 600
    assert bench.tick() == []


def test_where_stop_and_target_are_not_linked_a_partly_filled_target_has_the_stop_resized():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    commands = bench.fill(target, 400, 10_400)
    (new_stop,) = intents(commands)
    assert (new_stop.purpose, new_stop.lots, new_stop.oco_group) == (Purpose.STOP, 600, stop.oco_group)
    assert cancels(commands) == [], "the old one stands until the new one does; what reduces only never sells twice"
    assert bench.tick() == []
    assert cancels(bench.accept(*commands)) == [stop.client_order_id]
    assert intents(bench.reply(OrderCanceled(client_order_id=stop.client_order_id))) == [], "the target has its right size by itself"


def test_where_stop_and_target_are_not_linked_a_stop_that_vanished_is_placed_at_once_beside_the_target():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    commands = bench.reply(OrderCanceled(client_order_id=stop.client_order_id))
    assert cancels(commands) == []
    (again,) = intents(commands)
    assert (again.purpose, again.lots, again.oco_group) == (Purpose.STOP, 1000, target.oco_group)


def test_where_stop_and_target_are_not_linked_a_target_of_an_earlier_life_keeps_no_stop_back():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    again = Bench(linked_pairs=False, positions=(PositionReport(instrument=0, quantity=D(10), cost=D(1000)),))
    listed = OrderReport(intent=msgspec.structs.replace(target, oco_group=None), venue_order_id="v1")
    told = AccountReported(orders=(listed,), positions=(PositionReport(instrument=0, quantity=D(10), cost=D(0)),))
    (placed,) = intents(again.executor.reconcile(told, again.view()))
    assert (placed.purpose, placed.lots) == (Purpose.STOP, stop.lots)


@pytest.mark.parametrize("linked_pairs", [False, True])
def test_a_stop_that_lies_elsewhere_at_the_venue_is_told_once_and_replaced(linked_pairs):
    bench = Bench(linked_pairs=linked_pairs)
    stop, target = bench.long()
    moved = msgspec.structs.replace(stop, stop_ticks=9_000)
    reports = tuple(OrderReport(intent=each, venue_order_id="v" + each.client_order_id) for each in (moved, target))
    told = AccountReported(orders=reports, positions=(PositionReport(instrument=0, quantity=D(10), cost=D(0)),))
    commands = bench.executor.reconcile(told, bench.view())
    assert [each.subject for each in commands if isinstance(each, Notify)] == ["stop moved by somebody"]
    if linked_pairs:
        commands = bench.cancelled(*commands)
    again = next(each for each in intents(commands) if each.purpose is Purpose.STOP)
    assert (again.stop_ticks, again.lots) == (stop.stop_ticks, 1000)


@pytest.mark.parametrize("is_told", [True, False])
def test_where_stop_and_target_are_not_linked_a_life_that_ended_between_two_stops_is_followed_by_one_with_one(is_told):
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    commands = bench.fill(target, 400, 10_400)
    if is_told:
        bench.accept(*commands)
    reports = bench.executor.ledger.reports()
    held = (PositionReport(instrument=0, quantity=D(6), cost=D(600)),)
    later = Bench(linked_pairs=False, positions=held, run="run2")
    later.executor.restore(reports, later.view())
    listed = tuple(msgspec.structs.replace(each, venue_order_id="v" + each.intent.client_order_id) for each in reports)
    told = AccountReported(orders=listed, positions=(PositionReport(instrument=0, quantity=D(6), cost=D(0)),))
    commands = later.executor.reconcile(told, later.view())
    assert (intents(commands), cancels(commands)) == ([], [stop.client_order_id])
    later.cancelled(*commands)
    assert [record.leaves for record in later.executor.ledger.working(0) if record.intent.purpose is Purpose.STOP] == [600]


def test_where_stop_and_target_are_not_linked_a_resized_stop_that_is_refused_leaves_the_old_one():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    for attempt in range(3):
        (new_stop,) = intents(bench.fill(target, 400, 10_400) if attempt == 0 else bench.tick(2))
        gone = bench.reply(OrderRejected(client_order_id=new_stop.client_order_id, reason="no"))
        assert cancels(gone) == ([] if attempt < 2 else [stop.client_order_id, target.client_order_id])
    assert bench.executor.plan(0).exit.reason == "unprotectable"


def test_where_stop_and_target_are_not_linked_many_fills_leave_few_stops_and_never_less_than_was_covered():
    bench = Bench(linked_pairs=False, entry=EntryStyle.MAKER)
    (entry,) = intents(bench.open())
    covered = most = 0
    for _ in range(20):
        commands = bench.fill(entry, 50)
        for _ in range(3):
            commands += bench.accept(*commands)
            bench.cancelled(*commands)
            commands = bench.tick()
        stops = [record for record in bench.executor.ledger.working(0) if record.intent.purpose is Purpose.STOP]
        assert sum(record.leaves for record in stops) >= covered
        covered, most = max(record.leaves for record in stops), max(most, len(stops))
    assert (covered, most) == (1000, 1)


def test_where_stop_and_target_are_not_linked_a_lost_target_is_replaced_and_the_stop_stays():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    commands = bench.reply(OrderCanceled(client_order_id=target.client_order_id))
    assert cancels(commands) == []
    (again,) = intents(commands)
    assert (again.purpose, again.lots, again.oco_group) == (Purpose.TARGET, 1000, stop.oco_group)
    bench = Bench()
    stop, target = bench.long()
    assert cancels(bench.reply(OrderCanceled(client_order_id=target.client_order_id))) == [stop.client_order_id]


def test_where_stop_and_target_are_not_linked_a_lost_target_that_is_crossed_closes_the_position():
    bench = Bench(linked_pairs=False)
    stop, target = bench.long()
    bench.bid, bench.ask = 10_450, 10_452
    assert cancels(bench.reply(OrderCanceled(client_order_id=target.client_order_id))) == [stop.client_order_id]
    assert bench.executor.plan(0).exit.reason == "target_crossed"


@pytest.mark.parametrize("linked_pairs", [False, True])
def test_an_exit_of_unknown_outcome_keeps_no_stop_back_where_the_venue_enforces_reduce_only(linked_pairs):
    bench = Bench(linked_pairs=linked_pairs)
    bench.long()
    commands = bench.open(SignalType.SELL, lots=1000, stop=102.0, target=96.0)
    (exit_order,) = intents(bench.cancelled(*commands))
    found = bench.reply(OutcomeUnknown(client_order_id=exit_order.client_order_id, reason="503"))
    found += bench.tick(6)
    assert [each.purpose for each in intents(found)] == ([] if linked_pairs else [Purpose.STOP, Purpose.TARGET])
    bench.accept(*found)
    gone = bench.fill(exit_order, ticks=9_999)
    assert set(cancels(gone)) == {each.client_order_id for each in intents(found)}
    assert bench.executor.portfolio.position_lots(0) == 0


def test_an_exit_that_never_came_is_tried_again_after_the_stop_that_stood_in_for_it_is_gone():
    bench = Bench(linked_pairs=False)
    bench.long()
    (exit_order,) = intents(bench.cancelled(*bench.open(SignalType.SELL, lots=1000, stop=102.0, target=96.0)))
    stood_in = bench.reply(OutcomeUnknown(client_order_id=exit_order.client_order_id, reason="503")) + bench.tick(6)
    bench.accept(*stood_in)
    reports = tuple(OrderReport(intent=each, venue_order_id="v" + each.client_order_id) for each in intents(stood_in))
    told = AccountReported(orders=reports, positions=(PositionReport(instrument=0, quantity=D(10), cost=D(0)),))
    assert cancels(bench.executor.reconcile(told, bench.view())) == [], "asked before it could be missing"
    bench.tick(3)
    commands = bench.executor.reconcile(told, bench.view())
    assert set(cancels(commands)) == {each.client_order_id for each in intents(stood_in)}
    (again,) = intents(bench.cancelled(*commands))
    assert (again.purpose, again.lots) == (Purpose.EXIT, 1000)


def test_a_filled_stop_cancels_the_target_and_reports_the_round_trip():
    bench = Bench()
    stop, target = bench.long()
    assert cancels(bench.fill(stop, ticks=9_790)) == [target.client_order_id]
    (closed,) = bench.executor.take_closed_trades()
    assert (closed.reason, closed.signal_id, closed.net_profit) == ("stop", "sig", D("-21.10") - D("0.2"))
    assert bench.executor.take_closed_trades() == ()
    bench.reply(OrderCanceled(client_order_id=target.client_order_id))
    assert bench.executor.is_flat


def test_an_opposite_signal_closes_and_does_not_reverse():
    bench = Bench()
    stop, target = bench.long()
    commands = bench.open(SignalType.SELL, lots=1000, stop=102.0, target=96.0, signal_id="sell")
    assert cancels(commands) == [stop.client_order_id, target.client_order_id]
    assert codes(bench.open(SignalType.SELL, lots=1000, stop=102.0, target=96.0)) == [RefusalCode.ORDER_IN_FLIGHT]
    (exit_order,) = intents(bench.cancelled(*commands))
    assert (exit_order.purpose, exit_order.lots, exit_order.reduce_only, exit_order.price_ticks) == (Purpose.EXIT, 1000, True, 9_990)
    bench.fill(exit_order, ticks=9_999)
    assert bench.executor.is_flat
    assert bench.executor.take_closed_trades()[0].reason == "signal"
    assert bench.executor.take_executed_signals() == ("sig", "sell")


def test_a_smaller_target_reduces_and_protects_the_rest():
    bench = Bench()
    bench.long()
    (exit_order,) = intents(bench.cancelled(*bench.open(lots=400)))
    assert exit_order.lots == 600
    rest = intents(bench.fill(exit_order, ticks=9_999))
    assert [(i.purpose, i.lots, i.stop_ticks) for i in rest] == [(Purpose.STOP, 400, 9_800), (Purpose.TARGET, 400, None)]
    assert codes(bench.open(lots=399)) == [RefusalCode.AT_TARGET]


def test_an_exit_that_found_no_depth_is_tried_again_at_market():
    bench = Bench()
    bench.long()
    (first,) = intents(bench.cancelled(*bench.open(SignalType.SELL, stop=102.0, target=96.0)))
    assert bench.reply(OrderExpired(client_order_id=first.client_order_id)) == []
    (second,) = intents(bench.tick(0.25))
    assert (second.type, second.lots, second.price_ticks) == (OrderType.MARKET, 1000, None)


def test_an_exit_that_waits_long_gets_a_stop_meanwhile():
    bench = Bench()
    bench.long()
    (order,) = intents(bench.cancelled(*bench.open(SignalType.SELL, stop=102.0, target=96.0)))
    for _ in range(2):
        bench.reply(OrderRejected(client_order_id=order.client_order_id, reason="no"))
        (order,) = intents(bench.tick(0.5))
    assert [i.purpose for i in intents(bench.reply(OrderRejected(client_order_id=order.client_order_id, reason="no")))] == [
        Purpose.STOP,
        Purpose.TARGET,
    ]


def test_the_horizon_ends_a_position():
    bench = Bench()
    stop, target = bench.long(horizon_s=60.0)
    assert bench.tick(59.9) == []
    commands = bench.tick(0.1)
    assert cancels(commands) == [stop.client_order_id, target.client_order_id]
    (exit_order,) = intents(bench.cancelled(*commands))
    bench.fill(exit_order, ticks=9_999)
    assert bench.executor.take_closed_trades()[0].reason == "horizon_exit"


def test_max_holding_overrides_the_horizon():
    bench = Bench(max_holding_s=10.0)
    bench.long(horizon_s=60.0)
    assert cancels(bench.tick(10.0)) != []


@pytest.mark.parametrize(
    ("confidence", "timeout_s", "wait", "reason"),
    [(0.9, 30.0, 30.0, "entry_timeout"), (0.6, 200.0, 39.6, "signal_void"), (1.0, 400.0, 150.1, "signal_void")],
)
def test_a_resting_entry_is_withdrawn_when_too_old_or_its_signal_is_void(confidence, timeout_s, wait, reason):
    bench = Bench(entry=EntryStyle.MAKER, entry_timeout_s=timeout_s)
    commands = bench.open(confidence=confidence)
    bench.accept(*commands)
    assert cancels(bench.tick(wait - 0.3)) == []
    (cancel,) = [c for c in bench.tick(0.3) if isinstance(c, CancelOrder)]
    assert cancel.reason == reason
    assert bench.tick(1.0) == [], "asked once"
    assert cancels(bench.tick(2.0)) == [cancel.client_order_id], "and again when it is not answered"


def test_a_vanished_stop_is_restored_within_a_tick_and_only_one():
    bench = Bench()
    stop, target = bench.long()
    commands = bench.reply(OrderCanceled(client_order_id=stop.client_order_id, reason="human"))
    assert cancels(commands) == [target.client_order_id]
    new = intents(bench.cancelled(*commands))
    assert [(i.purpose, i.lots, i.stop_ticks) for i in new] == [(Purpose.STOP, 1000, 9_800), (Purpose.TARGET, 1000, None)]
    assert bench.tick() == []


def test_a_vanished_target_is_restored_too():
    bench = Bench()
    stop, target = bench.long()
    commands = bench.reply(OrderCanceled(client_order_id=target.client_order_id, reason="human"))
    assert cancels(commands) == [stop.client_order_id]


def test_a_stop_that_the_venue_keeps_refusing_ends_in_an_exit_and_a_halt():
    bench = Bench()
    (entry,) = intents(bench.open())
    commands = bench.fill(entry)
    for wait in (0.2, 0.5):
        stop, target = intents(commands)
        assert bench.executor.is_pressed == (wait > 0.2)
        bench.reply(OrderRejected(client_order_id=stop.client_order_id, reason="would trigger"))
        assert bench.executor.is_pressed, "time has to go on"
        assert bench.executor.is_pressed
        bench.reply(OrderCanceled(client_order_id=target.client_order_id))
        commands = bench.tick(wait)
    stop, target = intents(commands)
    commands = bench.reply(OrderRejected(client_order_id=stop.client_order_id, reason="would trigger"))
    assert "halt requested" in subjects(commands)
    assert "refuses a stop" in bench.executor.take_halt_request()
    assert bench.executor.take_halt_request() is None
    (exit_order,) = intents(bench.cancelled(*commands))
    assert (exit_order.type, exit_order.lots) == (OrderType.MARKET, 1000)


def test_stops_that_are_refused_for_one_short_position_after_the_other_halt_too():
    bench = Bench()
    for number in range(3):
        (entry,) = intents(bench.open(signal_id=f"sig{number}"))
        stop, target = intents(bench.fill(entry, trade_id=f"in{number}"))
        commands = bench.reply(OrderRejected(client_order_id=stop.client_order_id, reason="would trigger"))
        commands += bench.reply(OrderCanceled(client_order_id=target.client_order_id))
        if number < 2:
            commands = bench.open(SignalType.SELL, lots=1000, stop=102.0, target=96.0, signal_id=f"sell{number}")
        (exit_order,) = intents(commands)
        bench.fill(exit_order, ticks=9_999, trade_id=f"out{number}")
        assert bench.executor.is_flat
    assert "refuses a stop" in bench.executor.take_halt_request()


def test_a_target_that_the_venue_keeps_refusing_is_given_up_and_the_stop_stays():
    bench = Bench()
    (entry,) = intents(bench.open())
    commands = bench.fill(entry)
    for _ in range(3):
        stop, target = intents(commands)
        bench.accept(commands[0])
        bench.reply(OrderRejected(client_order_id=target.client_order_id, reason="price band"))
        gone = bench.tick(5.0)
        commands = bench.cancelled(*gone) if cancels(gone) else []
    assert commands == []
    assert bench.executor.plan(0).target_ticks is None
    assert [r.intent.client_order_id for r in bench.executor.ledger.working()] == [stop.client_order_id]


def test_a_market_already_past_the_stop_exits_at_once():
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.bid, bench.ask = 9_700, 9_702
    (exit_order,) = intents(bench.fill(entry))
    assert (exit_order.purpose, exit_order.type) == (Purpose.EXIT, OrderType.MARKET)


def test_an_untrusted_book_does_not_count_as_past_the_stop():
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.bid, bench.ask, bench.trust = 9_700, 9_702, FeedTrust.SUSPECT
    assert [i.purpose for i in intents(bench.fill(entry))] == [Purpose.STOP, Purpose.TARGET]


def test_a_fill_reported_twice_counts_once():
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.fill(entry, 400)
    assert bench.fill(entry, 400, trade_id="1") == []
    assert bench.executor.portfolio.position_lots(0) == 400


def test_a_fill_before_the_ack_and_an_ack_after_the_end_are_in_order():
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.fill(entry)
    record = bench.executor.ledger.get(entry.client_order_id)
    assert record.status is OrderStatus.FILLED
    assert subjects(bench.reply(OrderAccepted(client_order_id=entry.client_order_id, venue_order_id="v"))) == []
    assert record.status is OrderStatus.FILLED


def test_an_overfill_is_booked_halts_and_is_protected():
    bench = Bench()
    (entry,) = intents(bench.open())
    commands = bench.fill(entry, 1100)
    assert bench.executor.portfolio.position_lots(0) == 1100
    assert "over-filled by 100" in bench.executor.take_halt_request()
    assert [i.lots for i in intents(commands)] == [1100, 1100]


def test_a_fill_of_an_order_that_is_not_ours_is_booked_halts_and_is_protected_with_default_levels():
    bench = Bench()
    stranger = OrderIntent(client_order_id="web", instrument=0, side=Side.SELL, type=OrderType.MARKET, lots=50, purpose=Purpose.ENTRY)
    commands = bench.fill(stranger, ticks=10_000)
    assert bench.executor.portfolio.position_lots(0) == -50
    assert "not ours" in bench.executor.take_halt_request()
    stop, target = intents(commands)
    assert (stop.side, stop.stop_ticks, target.price_ticks) == (Side.BUY, 10_200, 9_600)


def test_what_the_guard_traded_is_booked_and_halts_under_its_name():
    bench = Bench()
    bench.long()
    order = OrderIntent(client_order_id="smg1a-1-0", instrument=0, side=Side.SELL, type=OrderType.MARKET, lots=1000, purpose=Purpose.EXIT)
    bench.fill(order)
    assert bench.executor.portfolio.position_lots(0) == 0
    said = bench.executor.take_halt_request()
    assert "the guard traded" in said
    assert "sell" in said


def test_an_overfilled_stop_flips_and_the_new_side_gets_its_own_levels():
    bench = Bench()
    stop, _ = bench.long()
    bench.bid, bench.ask = 9_789, 9_791
    commands = bench.fill(stop, 1010, ticks=9_790)
    assert bench.executor.portfolio.position_lots(0) == -10
    assert bench.executor.take_halt_request() is not None
    assert bench.executor.plan(0).stop_ticks > 9_790, "a short's stop lies above"
    (new_stop, _) = intents(bench.cancelled(*commands))
    assert (new_stop.side, new_stop.lots) == (Side.BUY, 10)


def test_a_fill_of_an_unknown_instrument_halts():
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.fill(entry, instrument=7)
    assert "not ours" in bench.executor.take_halt_request()


def test_a_fill_after_the_cancel_is_booked_protected_and_said_aloud():
    bench = Bench(entry=EntryStyle.MAKER)
    (entry,) = intents(bench.open())
    bench.reply(OrderCanceled(client_order_id=entry.client_order_id))
    commands = bench.fill(entry, 300)
    assert subjects(commands) == ["late fill"]
    assert [i.lots for i in intents(commands)] == [300, 300]
    assert bench.executor.ledger.get(entry.client_order_id).status is OrderStatus.CANCELED


def test_an_unknown_outcome_asks_the_venue_counts_in_full_and_is_not_replaced():
    bench = Bench()
    (entry,) = intents(bench.open())
    commands = bench.reply(OutcomeUnknown(client_order_id=entry.client_order_id, reason="timeout"))
    assert [type(c) for c in commands] == [RequestAccount]
    assert bench.executor.working_lots(0) == 1000
    assert codes(bench.open(delta=1000)) == [RefusalCode.ORDER_IN_FLIGHT]
    assert bench.tick(1.0) == [], "one question at a time"
    assert [type(c) for c in bench.tick(1.0)] == [RequestAccount]


def account(orders=(), quantity="0", cost="0"):
    positions = (PositionReport(instrument=0, quantity=D(quantity), cost=D(cost)),) if D(quantity) else ()
    return AccountReported(orders=tuple(OrderReport(intent=i, venue_order_id="v") for i in orders), positions=positions)


def test_an_unknown_order_is_given_up_only_after_the_proof_window():
    bench = Bench()
    (entry,) = intents(bench.open())
    bench.reply(OutcomeUnknown(client_order_id=entry.client_order_id, reason="timeout"))
    bench.executor.reconcile(account(), bench.view())
    assert [type(c) for c in bench.tick(2.5)] == [RequestAccount]
    bench.executor.reconcile(account(), bench.view())
    assert bench.executor.working_lots(0) == 1000
    assert [type(c) for c in bench.tick(3.0)] == [RequestAccount]
    assert subjects(bench.executor.reconcile(account(), bench.view())) == ["order missing"]
    assert bench.executor.working_lots(0) == 0


def test_an_order_that_an_earlier_run_sent_long_ago_needs_no_proof_window():
    bench = Bench(positions=(PositionReport(instrument=0, quantity=D(10), cost=D(1000)),))
    stop = OrderIntent(
        client_order_id="smold-1-0",
        instrument=0,
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        lots=1000,
        purpose=Purpose.STOP,
        stop_ticks=9_800,
        reduce_only=True,
        oco_group="smold-1-0",
    )
    bench.executor.restore([OrderReport(intent=stop, venue_order_id="", age_ns=6_000_000_000)], bench.view())
    bench.now += S // 10
    sent = intents(bench.executor.reconcile(account(quantity="10", cost="1000"), bench.view()))
    assert [(each.purpose, each.stop_ticks) for each in sent if each.purpose is Purpose.STOP] == [(Purpose.STOP, 9_800)]


def test_an_order_that_turns_up_after_it_was_given_up_is_cancelled():
    bench = Bench(entry=EntryStyle.MAKER)
    (entry,) = intents(bench.open())
    bench.reply(OutcomeUnknown(client_order_id=entry.client_order_id, reason="timeout"))
    bench.executor.reconcile(account(), bench.view())
    bench.tick(8.0)
    bench.executor.reconcile(account(), bench.view())
    assert bench.executor.working_lots(0) == 0
    commands = bench.executor.reconcile(account([entry]), bench.view())
    assert (subjects(commands), cancels(commands)) == (["late order"], [entry.client_order_id])
    assert bench.executor.working_lots(0) == 1000, "until it is proven dead it counts"


def test_a_silent_order_becomes_unknown():
    bench = Bench(entry=EntryStyle.MAKER)
    (entry,) = intents(bench.open())
    bench.tick(9.0)
    commands = bench.tick(1.0)
    assert bench.executor.ledger.get(entry.client_order_id).status is OrderStatus.UNKNOWN
    assert [type(c) for c in commands] == [RequestAccount]


def test_a_refused_cancel_asks_the_venue_and_is_not_repeated_at_once():
    bench = Bench(entry=EntryStyle.MAKER)
    commands = bench.open()
    bench.accept(*commands)
    (entry,) = intents(commands)
    bench.executor.cancel_entries("test", bench.view())
    commands = bench.reply(CancelRejected(client_order_id=entry.client_order_id, reason="unknown order"))
    assert [type(c) for c in commands] == [RequestAccount]
    assert bench.executor.cancel_entries("test", bench.view()) == []


def test_reconciling_twice_is_reconciling_once():
    bench = Bench()
    stop, target = bench.long()
    report = account([stop, target], "10", "1000.1")
    bench.tick(10.0)
    assert bench.executor.reconcile(report, bench.view()) == []
    assert bench.executor.reconcile(report, bench.view()) == []


def test_a_stop_missing_at_the_venue_is_restored():
    bench = Bench()
    _, target = bench.long()
    bench.tick(10.0)
    commands = bench.executor.reconcile(account([target], "10", "1000.1"), bench.view())
    assert cancels(commands) == [target.client_order_id]
    assert [i.purpose for i in intents(bench.cancelled(*commands))] == [Purpose.STOP, Purpose.TARGET]


def test_a_position_that_differs_twice_in_a_row_halts():
    bench = Bench()
    stop, target = bench.long()
    bench.tick(10.0)
    report = account([stop, target], "9", "900")
    bench.executor.reconcile(report, bench.view())
    assert bench.executor.take_halt_request() is None
    assert [type(c) for c in bench.tick(2.0)] == [RequestAccount]
    bench.executor.reconcile(report, bench.view())
    assert "10.00 here and 9 at the venue" in bench.executor.take_halt_request()


def test_restart_adopts_protection_cancels_entries_and_restores_what_is_missing():
    held = [PositionReport(instrument=0, quantity=D(10), cost=D(1000))]
    stop = OrderIntent(
        client_order_id="smold-1-0",
        instrument=0,
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        lots=1000,
        purpose=Purpose.STOP,
        stop_ticks=9_900,
        reduce_only=True,
        oco_group="g",
        signal_id="old",
    )
    entry = OrderIntent(
        client_order_id="smold-1-1", instrument=0, side=Side.BUY, type=OrderType.LIMIT, lots=5, purpose=Purpose.ENTRY, price_ticks=9_000
    )
    bench = Bench(held)
    reports = [OrderReport(intent=i, venue_order_id="v") for i in (stop, entry)]
    commands = bench.executor.restore(reports, bench.view())
    assert (cancels(commands), intents(commands)) == (["smold-1-1"], [])
    bench.fill(stop, ticks=9_900)
    (closed,) = bench.executor.take_closed_trades()
    assert (closed.signal_id, closed.gross_profit) == ("old", D(-10))
    naked = Bench(held)
    assert naked.executor.restore([], naked.view()) == [], "no order before the venue was asked"
    commands = naked.executor.reconcile(account(quantity="10", cost="1000"), naked.view())
    assert [(i.purpose, i.stop_ticks) for i in intents(commands)] == [(Purpose.STOP, 9_800), (Purpose.TARGET, None)]


def test_restart_replaces_a_stop_that_the_venue_no_longer_has():
    held = [PositionReport(instrument=0, quantity=D(10), cost=D(1000))]
    stop = OrderIntent(
        client_order_id="smold-1-0",
        instrument=0,
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        lots=1000,
        purpose=Purpose.STOP,
        stop_ticks=9_900,
        reduce_only=True,
    )
    bench = Bench(held)
    bench.executor.restore([OrderReport(intent=stop, venue_order_id="v")], bench.view())
    commands = bench.executor.reconcile(account(quantity="10", cost="1000"), bench.view())
    assert subjects(commands) == ["order missing"]
    assert [(i.purpose, i.stop_ticks) for i in intents(commands)] == [(Purpose.STOP, 9_900)]


def test_restart_does_not_know_an_order_that_was_never_acknowledged_until_the_venue_says():
    entry = OrderIntent(
        client_order_id="smold-1-1", instrument=0, side=Side.BUY, type=OrderType.LIMIT, lots=50, purpose=Purpose.ENTRY, price_ticks=9_000
    )
    bench = Bench()
    assert cancels(bench.executor.restore([OrderReport(intent=entry, venue_order_id="")], bench.view())) == ["smold-1-1"]
    bench.executor.reconcile(account(), bench.view())
    assert bench.executor.working_lots(0) == 50
    for _ in range(4):
        bench.tick(3.0)
        bench.executor.reconcile(account(), bench.view())
    assert bench.executor.working_lots(0) == 0


def test_restart_with_two_stops_ends_with_one():
    held = [PositionReport(instrument=0, quantity=D(10), cost=D(1000))]
    stops = [
        OrderIntent(
            client_order_id=f"smold-1-{n}",
            instrument=0,
            side=Side.SELL,
            type=OrderType.STOP_MARKET,
            lots=1000,
            purpose=Purpose.STOP,
            stop_ticks=9_900,
            reduce_only=True,
        )
        for n in range(2)
    ]
    bench = Bench(held)
    bench.executor.restore([OrderReport(intent=i, venue_order_id="v") for i in stops], bench.view())
    commands = bench.executor.reconcile(account(stops, "10", "1000"), bench.view())
    assert cancels(commands) == ["smold-1-0", "smold-1-1"]
    assert [i.purpose for i in intents(bench.cancelled(*commands))] == [Purpose.STOP]


def test_flatten_cancels_everything_then_closes_at_market_and_goes_on_until_flat():
    bench = Bench()
    stop, target = bench.long()
    bench.halted = True
    commands = bench.executor.flatten("drawdown", bench.view())
    assert cancels(commands) == [stop.client_order_id, target.client_order_id]
    (first,) = intents(bench.cancelled(*commands))
    assert (first.type, first.purpose, first.reduce_only, first.lots) == (OrderType.MARKET, Purpose.FLATTEN, True, 1000)
    bench.fill(first, 600, 9_999)
    bench.reply(OrderExpired(client_order_id=first.client_order_id))
    (second,) = intents(bench.tick(0.25))
    assert second.lots == 400
    bench.fill(second, ticks=9_999)
    assert bench.executor.is_flat
    assert subjects(bench.tick()) == ["flat"]
    assert bench.tick() == []
    assert bench.executor.is_flattening, "sticky while halted: a late fill would be closed too"
    bench.halted = False
    bench.tick()
    assert not bench.executor.is_flattening


def test_a_late_fill_after_a_flatten_is_closed_while_halted():
    bench = Bench(entry=EntryStyle.MAKER)
    (entry,) = intents(bench.open())
    bench.halted = True
    bench.cancelled(*bench.executor.flatten("kill", bench.view()))
    bench.tick()
    (order,) = intents(bench.fill(entry, 10))
    assert (order.purpose, order.lots) == (Purpose.FLATTEN, 10)


def test_dust_below_the_smallest_order_is_flat():
    bench = Bench()
    (entry,) = intents(bench.open())
    assert intents(bench.fill(entry, 1)) == []
    bench.reply(OrderExpired(client_order_id=entry.client_order_id))
    assert bench.tick() == []
    assert bench.executor.is_flat


def test_where_small_reductions_are_not_exempt_a_position_below_the_smallest_notional_is_left_alone():
    bench = Bench(limits=RiskLimits(reduce_only_exempt=False))
    (entry,) = intents(bench.open())
    assert intents(bench.fill(entry, 4)) == []
    assert intents(bench.reply(OrderExpired(client_order_id=entry.client_order_id))) == []


def test_without_a_price_what_may_be_dust_is_no_alarm_and_is_judged_once_there_is_one():
    bench = Bench(limits=RiskLimits(reduce_only_exempt=False), positions=(PositionReport(instrument=0, quantity=D("0.04"), cost=D(4)),))
    bench.bid = bench.ask = -1
    bench.trust = FeedTrust.RESYNCING
    told = [command for command in bench.tick() if isinstance(command, Notify)]
    assert [(each.severity, each.subject) for each in told if "default" not in each.subject] == [("warning", "perhaps dust")]
    bench.bid, bench.ask = 9_999, 10_001
    assert intents(bench.tick(2.0)) == []
    assert subjects(bench.tick(2.0)) == []
    bench.bid, bench.ask = 19_999, 20_001
    (stop,) = intents(bench.tick(2.0))
    assert (stop.purpose, stop.lots) == (Purpose.STOP, 4)


def test_client_ids_are_unique_derived_and_fit_every_venue():
    ids = ClientIds("A" * 16)
    made = [ids.next(seq) for seq in (5, 5, 6, 6, 10**11)]
    assert made[:4] == [f"sm{'A' * 16}-{tail}" for tail in ("5-0", "5-1", "6-0", "6-1")]
    assert all(len(name) <= 36 for name in made)
    for wrong in ("", "a-b", "x" * 17, "é"):
        with pytest.raises(ValueError, match="run id"):
            ClientIds(wrong)

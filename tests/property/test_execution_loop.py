"""The executor and the paper venue in a closed loop under random books, signals, halts and faults."""

from collections import deque
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.commands import CancelOrder, RecordRefusal, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import AccountReported, OrderFilled, OrderRejected, OutcomeUnknown, SendRefused
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderStatus, Purpose, Side
from smartmoney.core.domain.signals import FeedTrust, Signal, SignalType
from smartmoney.core.execution.executor import NO_OUTLOOK, Executor
from smartmoney.core.execution.parameters import EntryStyle, ExecutionParameters
from smartmoney.core.execution.view import ExecutionView, Quote
from smartmoney.core.portfolio.portfolio import Portfolio, mark_price
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.core.strategy.outlook import Outlook
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_depth import LastTrade
from smartmoney.simulation.paper_parameters import PaperParameters

D = Decimal
MS = 1_000_000
CASH = D(10_000)


def instrument(market):
    return Instrument(
        venue="v",
        market=market,
        symbol="A",
        name="A/Q",
        base="A",
        quote="Q",
        tick_size=D("0.1"),
        lot_size=D("0.01"),
        min_lots=2,
        min_notional=D(5),
    )


class Book:
    def __init__(self, mid=10_000):
        self.synced = True
        self.trade = LastTrade(0, 0, 0, -1)
        self.printed = 0
        self.version = 0
        self.move(mid, 2, 40)

    def move(self, mid, spread, lots):
        self.version += 1
        low, high = mid - spread // 2 - 1, mid + (spread + 1) // 2
        size = lots + self.version % 2
        self.sides = [{low - n: size + n for n in range(5)}, {high + n: size + n for n in range(5)}]

    @property
    def best_bid_ticks(self):
        return max(self.sides[0], default=-1)

    @property
    def best_ask_ticks(self):
        return min(self.sides[1], default=-1)

    def levels(self, side, limit):
        ticks = sorted(self.sides[side], reverse=side == 0)[:limit]
        return ticks, [self.sides[side][tick] for tick in ticks]

    def level_lots(self, side, ticks):
        return self.sides[side].get(ticks, 0)

    def last_trade(self):
        return self.trade

    def funding(self):
        return None

    def print(self, sign, lots):
        self.trade = LastTrade(self.best_ask_ticks if sign > 0 else self.best_bid_ticks, lots, sign, self.trade.trade_id + 1)


class Loop:
    def __init__(self, market=Market.USDM, limits=None, parameters=None, positions=(), orders=(), run="r1", cash=CASH, **paper):
        self.grid = instrument(market)
        self.book = Book()
        self.limits = limits or RiskLimits(max_orders_per_minute=100_000, reserved_orders_per_minute=50_000)
        self.executor = Executor(
            run, [self.grid], Portfolio([self.grid], cash, positions), parameters or ExecutionParameters(), self.limits
        )
        self.venue = PaperVenue([self.grid], PaperParameters(**paper), run_id=run, cash=cash, positions=positions, orders=orders)
        self.now, self.seq, self.halted, self.epoch = 0, 0, False, 0
        self.sent, self.notices, self.refusals, self.replies, self.closed = [], [], [], [], []
        self.lose_next = None
        self.inbox = deque()
        self.stop_floor = None
        self.wanted = {}

    def view(self):
        self.seq += 1
        book, account = self.book, self.executor.portfolio
        mark = mark_price(self.grid, account.position(0).quantity, book.best_bid_ticks, book.best_ask_ticks)
        quote = Quote(
            best_bid_ticks=book.best_bid_ticks,
            best_ask_ticks=book.best_ask_ticks,
            trust=FeedTrust.SYNCED if book.synced else FeedTrust.RESYNCING,
        )
        return ExecutionView(
            seq=self.seq, now_mono_ns=self.now, quotes=(quote,), equity=account.equity([mark]), halted=self.halted, halt_epoch=self.epoch
        )

    def carry_out(self, commands):
        for command in commands:
            if isinstance(command, SubmitOrder):
                self.send(command.approved.intent)
            elif isinstance(command, CancelOrder):
                self.venue.cancel(command.client_order_id, self.now)
            elif isinstance(command, RequestAccount):
                self.inbox.append(self.venue.report())
            elif isinstance(command, RecordRefusal):
                self.refusals.append(command.refusal)
            else:
                self.notices.append(command)
        self.closed += self.executor.take_closed_trades()

    def send(self, intent):
        assert not (self.halted and not intent.reduce_only), "after a halt nothing raises risk (K3)"
        assert intent.client_order_id not in {other.client_order_id for other in self.sent}, "client ids are unique (O1)"
        self.sent.append(intent)
        fault, self.lose_next = self.lose_next, None
        if fault == "refused":
            self.inbox.append(SendRefused(client_order_id=intent.client_order_id, reason="too late"))
            return
        if fault != "lost":
            self.venue.submit(intent, self.now)
        if fault in {"lost", "unanswered"}:
            self.inbox.append(OutcomeUnknown(client_order_id=intent.client_order_id, reason="timeout"))

    def step(self, ms=100, *, tick=True, twice=False):
        """Be the inbox: replies in the order in which they came to be, then a tick."""
        self.now += ms * MS
        self.inbox.extend(self.venue.advance(self.now, self.now, [self.book]))
        while self.inbox:
            reply = self.inbox.popleft()
            self.replies.append(reply)
            fold = self.executor.reconcile if isinstance(reply, AccountReported) else self.executor.on_reply
            for _ in range(2 if twice else 1):
                self.carry_out(fold(reply, self.view()))
            self.check()
        if tick:
            self.carry_out(self.executor.on_tick(self.view()))
        self.check()

    def check(self):
        stops = [o for o in self.venue.report().orders if o.intent.purpose is Purpose.STOP]
        assert len(stops) <= 1, "at most one stop (P1)"
        held = self.executor.portfolio.position_lots(0)
        believed = [
            o for o in self.executor.ledger.working(0) if o.intent.purpose is Purpose.STOP and o.status is not OrderStatus.PENDING_CANCEL
        ]
        assert len(believed) <= 1
        assert len([o for o in self.venue.report().orders if o.intent.purpose is Purpose.ENTRY]) <= 1, "one entry at a time"
        for signal_id, lots in self.wanted.items():
            filled = sum(r.filled_lots for r in map(self.executor.ledger.get, self.orders_of(signal_id)) if r is not None)
            assert filled <= lots, "the orders of a signal never fill more than it asked for"
        assert (
            self.executor.ledger.reducing_lots(0, None) <= max(abs(held), 0)
            or held == 0
            or any(o.status in {OrderStatus.PENDING_CANCEL, OrderStatus.UNKNOWN} for o in self.executor.ledger.working(0))
        ), "reducing orders never add up to more than is held"
        for record in self.executor.ledger.working():
            assert 0 <= record.filled_lots <= record.intent.lots
        if held == 0:
            self.stop_floor = None
        elif believed:
            level = believed[0].intent.stop_ticks * (1 if held > 0 else -1)
            assert self.stop_floor is None or self.stop_floor[0] != (held > 0) or level >= self.stop_floor[1], "a stop never loosens (P2)"
            self.stop_floor = (held > 0, level)

    def orders_of(self, signal_id):
        return [one.client_order_id for one in self.sent if one.signal_id == signal_id and one.purpose is Purpose.ENTRY]

    def agree(self):
        """What the executor books is what the venue booked (A1, A2)."""
        ours, theirs = self.executor.portfolio, self.venue.account
        assert (ours.cash, ours.position(0)) == (theirs.cash, theirs.position(0))

    def settle(self, steps=60):
        for _ in range(steps):
            self.step()
        self.agree()

    def signal(self, side, lots, stop_bps=100, target_bps=200, confidence=0.9, outlook=NO_OUTLOOK):
        mid = (self.book.best_bid_ticks + self.book.best_ask_ticks) / 20
        sign = 1 if side is SignalType.BUY else -1
        signal = Signal(
            signal_type=side,
            symbol="A/Q",
            price=mid,
            quantity=0.1,
            confidence=confidence,
            stop_loss=mid * (1 - sign * stop_bps / 1e4),
            take_profit=mid * (1 + sign * target_bps / 1e4),
            signal_id=f"s{self.seq}",
        )
        held = self.executor.portfolio.position_lots(0)
        target = sign * lots if self.grid.allows_short else max(0, sign * lots)
        delta = target - held - self.executor.working_lots(0)
        before = len(self.sent)
        self.wanted[signal.signal_id] = abs(delta)
        self.carry_out(self.executor.open(signal, 0, target, delta, self.view(), outlook))
        return self.sent[before:]

    def protection(self):
        orders = self.venue.report().orders
        return (
            [(o.intent.lots - o.filled_lots, o.intent.stop_ticks) for o in orders if o.intent.purpose is Purpose.STOP],
            [(o.intent.lots - o.filled_lots, o.intent.price_ticks) for o in orders if o.intent.purpose is Purpose.TARGET],
        )

    def assert_quiet_and_protected(self):
        held = self.executor.portfolio.position_lots(0)
        stops, targets = self.protection()
        if held == 0:
            assert (stops, targets) == ([], [])
        else:
            assert [lots for lots, _ in stops] == [abs(held)]
            assert [lots for lots, _ in targets] in ([abs(held)], [])


outlooks = st.sampled_from(
    [NO_OUTLOOK, *(Outlook(gross_bps=gross, horizon_s=300.0, sigma_bps=sigma) for gross in (30.0, 400.0) for sigma in (0.5, 5.0))]
)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(-150, 150), st.integers(1, 6), st.integers(0, 60)),
        st.tuples(st.just("print"), st.sampled_from([-1, 1]), st.integers(1, 200)),
        st.tuples(st.just("signal"), st.sampled_from(SignalType), st.integers(1, 240), outlooks),
        st.tuples(st.just("wait"), st.integers(1, 40)),
        st.tuples(st.just("unsync"), st.integers(1, 8)),
        st.tuples(st.just("empty"), st.integers(0, 1)),
        st.tuples(st.just("fault"), st.sampled_from(["refused", "lost", "unanswered"])),
        st.tuples(st.just("halt"), st.booleans()),
        st.tuples(st.just("flatten")),
    ),
    max_size=40,
)


def act(loop, action):
    name, *arguments = action
    if name == "move":
        drift, spread, lots = arguments
        loop.book.move(max(2_000, (loop.book.best_bid_ticks if loop.book.best_bid_ticks > 0 else 10_000) + drift), spread, lots + 1)
    elif name == "print" and loop.book.best_bid_ticks > 0 and loop.book.best_ask_ticks > 0:
        loop.book.print(*arguments)
    elif name == "signal" and loop.book.best_bid_ticks > 0 and loop.book.best_ask_ticks > 0:
        *order, outlook = arguments
        loop.signal(*order, outlook=outlook)
    elif name == "wait":
        for _ in range(arguments[0]):
            loop.step()
    elif name == "unsync":
        loop.book.synced = False
        for _ in range(arguments[0]):
            loop.step()
        loop.book.synced = True
    elif name == "empty":
        loop.book.sides[arguments[0]] = {}
    elif name == "fault":
        loop.lose_next = arguments[0]
    elif name == "halt":
        loop.halted, loop.epoch = arguments[0], loop.epoch + 1
        if loop.halted:
            loop.carry_out(loop.executor.cancel_entries("halted", loop.view()))
    elif name == "flatten":
        loop.carry_out(loop.executor.flatten("test", loop.view()))
    loop.step(20, tick=False)


styles = st.sampled_from(EntryStyle)
markets = st.sampled_from([Market.SPOT, Market.USDM])


@given(actions, styles, markets, st.booleans(), st.sampled_from([0, 5, 50, 250]), st.booleans())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_random_markets_never_break_protection_accounts_or_a_halt(steps, style, market, in_base, latency, watched):
    parameters = ExecutionParameters(entry=style, watched_targets=watched)
    loop = Loop(market, parameters=parameters, fee_in_base=in_base, latency_ms=latency)
    for action in steps:
        act(loop, action)
    loop.book.synced = True
    loop.book.move(10_000, 2, 50)
    loop.lose_next = None
    loop.settle(150)
    loop.assert_quiet_and_protected()
    assert not (watched and any(intent.purpose is Purpose.TARGET for intent in loop.sent)), "a watched target is no order"
    assert loop.executor.take_halt_request() is None
    reducing = {intent.client_order_id for intent in loop.sent if intent.reduce_only}
    rejections = [r.reason for r in loop.replies if isinstance(r, OrderRejected) and r.client_order_id in reducing]
    assert not any("insufficient" in reason for reason in rejections), "protection and exits never fight for the same inventory"
    loop.halted = True
    loop.carry_out(loop.executor.flatten("end", loop.view()))
    for n in range(200):
        loop.book.move(10_000, 2, 50 + n % 3)
        loop.step()
    assert loop.executor.is_flat
    loop.agree()
    assert loop.venue.report().orders == ()


drifts = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(-4, 6), st.just(2), st.integers(5, 60)),
        st.tuples(st.just("print"), st.sampled_from([-1, 1]), st.integers(1, 60)),
        st.tuples(st.just("wait"), st.integers(5, 40)),
        st.tuples(st.just("fault"), st.sampled_from(["lost", "unanswered"])),
    ),
    min_size=10,
    max_size=30,
)


@given(drifts, st.sampled_from([EntryStyle.MAKER, EntryStyle.AUTO]), markets, st.sampled_from([5, 250, 900]), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_an_entry_that_follows_the_touch_never_fills_more_than_was_asked_for(steps, style, market, latency, twice):
    parameters = ExecutionParameters(entry=style, maker_bps=D(2), taker_bps=D(5), reprice_s=0.5, entry_timeout_s=20.0)
    loop = Loop(market, parameters=parameters, latency_ms=latency)
    for action in steps:
        if not loop.executor.is_entering(0) and loop.executor.portfolio.position_lots(0) == 0:
            loop.signal(SignalType.BUY, 120, stop_bps=300, target_bps=600, outlook=Outlook(gross_bps=90.0, horizon_s=900.0, sigma_bps=3.0))
        act(loop, action)
        loop.step(twice=twice)
    loop.settle(400)
    loop.assert_quiet_and_protected()
    assert not loop.executor.is_entering(0)
    assert loop.executor.take_halt_request() is None


@given(actions, markets)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_same_inputs_give_the_same_orders(steps, market):
    runs = []
    for _ in range(2):
        loop = Loop(market)
        for action in steps:
            act(loop, action)
        runs.append((loop.sent, loop.replies, loop.notices, loop.refusals, loop.closed))
    assert runs[0] == runs[1]


@given(actions)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_venue_that_repeats_every_reply_changes_nothing(steps):
    loop = Loop()
    for action in steps:
        act(loop, action)
        loop.step(twice=True)
    loop.settle(20)


@given(actions, st.integers(0, 39), st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_restart_at_any_point_keeps_the_position_and_ends_with_one_stop(steps, cut, watched):
    parameters = ExecutionParameters(watched_targets=watched)
    loop = Loop(parameters=parameters)
    for action in steps[:cut]:
        act(loop, action)
    report = loop.venue.report()
    again = Loop(
        parameters=parameters, positions=loop.venue.account.reports(), orders=report.orders, run="r2", cash=loop.venue.account.cash
    )
    again.book = loop.book
    again.book.synced = True
    again.book.move(max(loop.book.best_bid_ticks, 9_000), 2, 400)  # deep enough for an exit that is due at once
    again.now = loop.now
    again.carry_out([*again.executor.restore(report.orders, again.view()), RequestAccount(reason="start")])
    assert not again.sent, "no order before reconciliation (R1)"
    again.settle(100)
    again.assert_quiet_and_protected()
    assert not [o for o in again.venue.report().orders if o.intent.purpose is Purpose.ENTRY]


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_fills_conserve_lots_between_signal_and_flat(market):
    loop = Loop(market)
    loop.signal(SignalType.BUY, 120)
    loop.settle(10)
    bought = sum(r.fill.lots for r in loop.replies if isinstance(r, OrderFilled) and r.fill.side is Side.BUY)
    assert loop.executor.portfolio.position_lots(0) == bought == 120
    loop.carry_out(loop.executor.flatten("end", loop.view()))
    loop.settle(50)
    assert loop.executor.is_flat
    assert loop.closed[0].reason == "end"
    assert loop.executor.portfolio.cash == CASH + loop.closed[0].net_profit

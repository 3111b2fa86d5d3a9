"""The order path cut at every request, on both sides of its answer: executor and live gateway in one process, the built-in exchange on real
sockets, and a journal that keeps exactly what the sender would have committed by then. Hundreds of lives in minutes, where whole daemons
(`test_kill_points.py`) take seconds each. After every cut a new life recovers from that journal, and the exchange's ledger judges.
"""

import asyncio
import os
from decimal import Decimal

import pytest

from smartmoney.core.domain.commands import CancelOrder, RecordOrderClosed, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import (
    AccountReported,
    HaltRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    SendRefused,
)
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import OrderReport, Purpose
from smartmoney.core.domain.signals import FeedTrust, Signal, SignalType
from smartmoney.core.execution.executor import Executor
from smartmoney.core.execution.parameters import ExecutionParameters
from smartmoney.core.execution.view import ExecutionView, Quote
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.runtime.live_account import Beginning
from tests.contract.venues import live_under, orders_named

CUTS = int(os.environ.get("SMARTMONEY_CUTS", "50"))
PHASES = ("before", "after")
ENDS = (OrderCanceled, OrderExpired, OrderRejected, SendRefused, RecordOrderClosed)
CASH = Decimal(5000)
PROTECTED_WITHIN_S = 3.0
"""... of the first report, though a life begins right after the last was cut: a stop of unknown outcome is sent again under its own id."""
SPOT_EXIT_S = 6.0
"""On spot nothing is placed beside an exit of unknown outcome before that is proven never to have come: two sales could both be filled."""


class Journal:
    """Keep what would be durable: a batch's lines, before the first of its commands leaves."""

    def __init__(self):
        self.lines = []
        self._pending = []
        self._sent_at = {}

    def note(self, line):
        self._pending.append(line)
        if isinstance(line, SubmitOrder):
            self._sent_at[line.approved.intent.client_order_id] = asyncio.get_running_loop().time()

    def commit(self):
        self.lines += self._pending
        self._pending = []

    def lose(self):
        self._pending = []

    def intents(self):
        return {each.approved.intent.client_order_id: each.approved.intent for each in self.lines if isinstance(each, SubmitOrder)}

    def fills(self):
        return [each.fill for each in self.lines if isinstance(each, OrderFilled)]

    def open_orders(self):
        """Return the orders without a known end, as the journal's own fold does."""
        numbers = {each.client_order_id: each.venue_order_id for each in self.lines if isinstance(each, OrderAccepted)}
        closed = {each.client_order_id for each in self.lines if isinstance(each, ENDS)}
        reports = []
        for name, intent in self.intents().items():
            filled = sum(fill.lots for fill in self.fills() if fill.client_order_id == name)
            if name not in closed and filled < intent.lots:
                age_ns = round(1e9 * (asyncio.get_running_loop().time() - self._sent_at[name]))
                reports.append(OrderReport(intent=intent, venue_order_id=numbers.get(name, ""), filled_lots=filled, age_ns=age_ns))
        return tuple(reports)


class Cut:
    """Cut one life at its n-th request of a kind that moves orders or reads them."""

    def __init__(self, account, nth, phase):
        self.happened = asyncio.Event()
        self.at = ""
        self._ask = account._ccxt.request
        self._left = nth
        self._phase = phase
        account._ccxt.request = self.request

    async def request(self, path, sections, method, params):
        self._left -= path != "time"
        if self._left != 0 or path == "time":
            return await self._ask(path, sections, method, params)
        self.at = f"{self._phase} {method} {path}"
        if self._phase == "after":
            await asyncio.gather(self._ask(path, sections, method, params), return_exceptions=True)
        self._left = -1
        self.happened.set()
        await asyncio.Event().wait()  # whoever asked is dead
        return None


class Life:
    """One life of a trader: the executor, a gateway, a clock of ticks; what it remembers is the journal."""

    def __init__(self, venue, journal, number):
        self.venue, self.journal = venue, journal
        grid = venue.instrument
        booked = Portfolio([grid], CASH)
        for fill in journal.fills():
            booked.apply(fill)
        self.known = [(0, fill.trade_id) for fill in journal.fills()]
        self.orders = journal.open_orders()
        linked = venue.market is Market.SPOT
        limits = RiskLimits(
            max_orders_per_minute=100_000,
            reserved_orders_per_minute=50_000,
            reduce_only_exempt=not linked,
            max_position_fraction=Decimal(1),
        )
        parameters = ExecutionParameters(account_retry_s=1.0, protect_delay_s=0.05, linked_pairs=linked)
        self.executor = Executor(f"life{number}", [grid], Portfolio([grid], booked.cash, booked.reports()), parameters, limits)
        self.positions = booked.reports()
        self.halted = None
        self.reconciled = False
        self.seq = 0
        self.age = 0
        self.heard = 0

    def view(self):
        self.seq += 1
        bid, ask = self.venue.touch()
        quote = Quote(best_bid_ticks=bid, best_ask_ticks=ask, trust=FeedTrust.SYNCED)
        now = asyncio.get_running_loop().time()
        return ExecutionView(seq=self.seq, now_mono_ns=int(now * 1e9), quotes=(quote,), equity=CASH, halted=self.halted is not None)

    def carry_out(self, commands):
        for command in commands:
            if isinstance(command, (SubmitOrder, RecordOrderClosed)):
                self.journal.note(command)
        if any(isinstance(command, (SubmitOrder, CancelOrder)) for command in commands):
            self.journal.commit()
        gateway = self.venue.gateway
        for command in commands:
            if isinstance(command, SubmitOrder):
                gateway.submit(command.approved, 0)
            elif isinstance(command, CancelOrder):
                gateway.cancel(command.client_order_id, 0)
            elif isinstance(command, RequestAccount):
                gateway.request_account(0)

    def take(self, payload):
        if isinstance(payload, HaltRequested):
            self.halted = payload.reason
        elif isinstance(payload, AccountReported):
            self.carry_out(self.executor.reconcile(payload, self.view()))
            self.reconciled = self.reconciled or not self.executor.is_in_doubt
        else:
            self.journal.note(payload)
            self.carry_out(self.executor.on_reply(payload, self.view()))
        self.halted = self.executor.take_halt_request() or self.halted

    def tick(self, *, trades):
        if not self.reconciled:
            return
        self.carry_out(self.executor.on_tick(self.view()))
        self.journal.commit()
        self.age += 1
        if trades and self.age % 4 == 0:
            self.decide()

    def decide(self):
        held = self.executor.portfolio.position_lots(0)
        price = float(self.venue.instrument.price(self.venue.touch()[0]))
        kind, target, (stop, goal) = (
            (SignalType.BUY, self.venue.lots(300), (0.98, 1.02)) if not held else (SignalType.SELL, 0, (1.02, 0.98))
        )
        signal = Signal(
            signal_type=kind, symbol="BTC/USDT", price=price, quantity=0.1, confidence=0.9, stop_loss=price * stop, take_profit=price * goal
        )
        delta = target - held - self.executor.working_lots(0)
        if delta:
            self.carry_out(self.executor.open(signal, 0, target, delta, self.view()))

    async def live(self, until, *, trades):
        """Tick and take what comes until a condition holds."""
        async with asyncio.timeout(40):
            while not until():
                said = self.venue.said.all
                while self.heard < len(said):
                    self.heard += 1
                    self.take(said[self.heard - 1])
                self.tick(trades=trades)
                await self.venue.turn()


async def one_life(venue, journal, number, cut=None):
    """Live until the cut, or, without one, until everything is settled; return the life, and where it was cut or how long that took."""
    life = Life(venue, journal, number)
    since = venue.server.now_ns() // 1_000_000 - 600_000
    venue.said = type(venue.said)()
    venue.make(life.orders, life.known, Beginning(orders=life.orders, positions=life.positions, since_ms=since))
    wire = None if cut is None else Cut(venue.account, *cut)
    tasks = [asyncio.create_task(venue.gateway.run(lambda: None)), asyncio.create_task(venue.stream.run())]
    try:
        life.carry_out(life.executor.restore(life.orders, life.view()))
        venue.gateway.request_account(0)
        if wire is not None:
            await life.live(wire.happened.is_set, trades=True)
            return life, wire.at
        return life, await recovers(venue, life)
    finally:
        journal.lose()
        for task in [*tasks, *venue.gateway._tasks]:
            task.cancel()
        await asyncio.gather(*tasks, *venue.gateway._tasks, return_exceptions=True)
        await venue.account.close()


async def recovers(venue, life):
    """Wait, within the limit of protection, until ledger and life agree: one stop for what is held, nothing else that is ours.

    Return how long that took from the first report on.
    """
    loop = asyncio.get_running_loop()
    is_doubtful = any(order.intent.purpose in {Purpose.EXIT, Purpose.FLATTEN} for order in life.orders)
    patience_s = SPOT_EXIT_S if is_doubtful and venue.market is Market.SPOT else 0.0
    await life.live(lambda: life.reconciled, trades=False)
    ready = loop.time()
    wrong = ["not looked yet"]
    while wrong:
        assert loop.time() < ready + PROTECTED_WITHIN_S + patience_s, (wrong, life.venue.said.all[-30:])
        await life.live(after(loop, 0.1), trades=False)
        wrong = await problems(venue, life)
    return 0.0 if patience_s else loop.time() - ready


def after(loop, seconds):
    until = loop.time() + seconds
    return lambda: loop.time() > until


async def problems(venue, life):
    account = await venue.ledger()
    found = [] if life.halted is None else [f"halted: {life.halted}"]
    names = [o["client_id"] for o in account["orders"] if o["market"] == venue.market.value]
    names = set(names) | {a["client_id"] for a in account["algos"]}
    for name in names:
        if orders_named(account, venue.market, name) > 1:
            found.append(f"{name} is two orders")
        if name not in life.journal.intents():
            found.append(f"{name} was sent without an intent")
    held = await venue.held_lots()
    if life.executor.portfolio.position_lots(0) != held:
        found.append(f"{life.executor.portfolio.position_lots(0)} lots here, {held} at the exchange")
    stops = [
        o["lots"] for o in account["orders"] if o["kind"] == "STOP_LOSS" and o["status"] == "NEW" and o["market"] == venue.market.value
    ]
    stops += [a["lots"] for a in account["algos"] if a["status"] == "NEW"]
    is_dust = venue.market is Market.SPOT and venue.instrument.notional(venue.touch()[0], held) < venue.instrument.min_notional
    if stops != ([] if held == 0 or is_dust else [held]):
        found.append(f"{held} lots are held, stops are {stops}")
    buys = [
        o
        for o in account["orders"]
        if o["side"] == "BUY" and o["status"] in {"NEW", "PARTIALLY_FILLED"} and o["market"] == venue.market.value
    ]
    return [*found, *(f"an entry is left: {o['client_id']}" for o in buys)]


@pytest.mark.campaign
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM], ids=["spot", "usdm"])
async def test_cut_at_every_request_nothing_is_doubled_lost_or_left_naked(market):
    async with live_under(market, patience_s=2900) as venue:
        journal = Journal()
        met = {}
        slowest_s = 0.0
        for number in range(CUTS):
            cut = (2 + number * 7 % 37, PHASES[number % 2])
            _, at = await one_life(venue, journal, f"{number}a", cut)
            met[at] = met.get(at, 0) + 1
            try:
                _, took_s = await one_life(venue, journal, f"{number}b")
                slowest_s = max(slowest_s, took_s)
            except AssertionError as wrong:
                raise AssertionError(f"after cut {number} {at}: {wrong}") from None
        print(f"{CUTS} cuts: {met}; protected within {slowest_s:.2f} s of the first report")
        orders = {at.split(" ", 1)[1] for at in met}
        assert any(each.startswith("POST") for each in orders)
        assert any(each.startswith("DELETE") for each in orders)

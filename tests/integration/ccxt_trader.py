"""An executor behind the live gateway on a scripted venue: it enters, protects and leaves as in a daemon, and the venue's ledger judges."""

import asyncio
import time
from contextlib import asynccontextmanager
from decimal import Decimal

from smartmoney.core.domain.commands import CancelOrder, Notify, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import AccountReported, FundingPaid, HaltRequested, MoneyMoved
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.signals import FeedTrust, Signal, SignalType
from smartmoney.core.execution.executor import Executor
from smartmoney.core.execution.parameters import AttachedStops, EntryStyle, ExecutionParameters
from smartmoney.core.execution.view import ExecutionView, Quote
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.core.risk.parameters import RiskLimits
from tests.steady_clock import CLOCK
from tests.waiting import PATIENCE_S

from .ccxt_gateways import trading

MODES = {"bybit": AttachedStops.POSITION, "okx": AttachedStops.ORDER}
BID, ASK = 600_000, 600_001


class Trader:
    """Drive an executor with what the gateway says; `turn` takes what is new and ticks."""

    def __init__(self, under, *, entry=EntryStyle.MAKER, attached=None, positions=()):
        self.under, self.heard, self.halted = under, 0, None
        is_spot = under.market is Market.SPOT
        usual = AttachedStops.NONE if is_spot else MODES[under.terms.venue]
        parameters = ExecutionParameters(
            entry=entry,
            account_retry_s=0.5,
            reprice_s=0.2,
            linked_pairs=is_spot,
            attached=usual if attached is None else attached,
            watched_targets=is_spot,
        )
        limits = RiskLimits(reduce_only_exempt=not is_spot, max_position_fraction=Decimal(1), max_orders_per_minute=1_000)
        portfolio = Portfolio([under.instrument], Decimal(100_000), positions)
        self.executor = Executor(f"t{time.time_ns() % 10**6}", [under.instrument], portfolio, parameters, limits)
        self.seq, self.sent, self.notes = 0, [], []
        self.bid, self.ask = BID, ASK

    def view(self):
        self.seq += 1
        quote = Quote(best_bid_ticks=self.bid, best_ask_ticks=self.ask, trust=FeedTrust.SYNCED)
        now_ns = CLOCK.monotonic_ns()
        return ExecutionView(seq=self.seq, now_mono_ns=now_ns, quotes=(quote,), equity=Decimal(100_000), halted=self.halted is not None)

    def carry_out(self, commands):
        gateway = self.under.gateway
        for command in commands:
            if isinstance(command, SubmitOrder):
                self.sent.append(command.approved.intent)
                gateway.submit(command.approved, CLOCK.monotonic_ns())
            elif isinstance(command, CancelOrder):
                gateway.cancel(command.client_order_id, 0)
            elif isinstance(command, Notify):
                self.notes.append(command)
            elif isinstance(command, RequestAccount):
                gateway.request_account(0)

    def enter(self, lots, stop=58_000.0, target=66_000.0):
        """Buy up to a number of lots; return the entry's intent."""
        signal = Signal(
            signal_type=SignalType.BUY,
            symbol="BTC/USDT",
            price=60_000.0,
            quantity=0.1,
            confidence=0.9,
            stop_loss=stop,
            take_profit=target,
            signal_id=f"s{lots}",
        )
        delta = lots - self.executor.portfolio.position_lots(0)
        self.carry_out(self.executor.open(signal, 0, lots, delta, self.view()))
        return self.sent[-1]

    def told(self, subject):
        return [note for note in self.notes if note.subject == subject]

    def turn(self):
        said = self.under.said.all
        while self.heard < len(said):
            payload = said[self.heard]
            self.heard += 1
            if isinstance(payload, HaltRequested):
                self.halted = payload.reason
            elif isinstance(payload, AccountReported):
                self.carry_out(self.executor.reconcile(payload, self.view()))
            elif not isinstance(payload, FundingPaid | MoneyMoved):
                self.carry_out(self.executor.on_reply(payload, self.view()))
            self.halted = self.executor.take_halt_request() or self.halted
        self.carry_out(self.executor.on_tick(self.view()))

    async def until(self, condition):
        """Trade until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.under.turn()
                self.turn()

    async def for_a_while(self, turns=12):
        for _ in range(turns):
            await self.under.turn()
            self.turn()

    async def resting(self, lots, **more):
        """Send an entry and wait until it rests; return its intent."""
        entry = self.enter(lots, **more)
        await self.until(lambda: self.executor.ledger.get(entry.client_order_id).venue_order_id)
        return entry

    @property
    def is_covered(self):
        """Tell whether one stop stands at the venue, acknowledged here, for exactly what is held."""
        venue = self.under.venue
        stops = venue.stops()
        held = abs(self.executor.portfolio.position_lots(0))
        sizes = [venue.base(stop.quantity - stop.filled) for stop in stops]
        return sizes == [self.under.instrument.quantity(held)] and self.executor.is_protected(0)


@asynccontextmanager
async def trader_at(make_venue, name, **more):
    async with trading(make_venue, name) as under:
        yield Trader(under, **more), under.venue

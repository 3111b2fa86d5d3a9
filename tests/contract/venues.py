"""Order venues under test, all driven through the one `OrderGateway`: the paper venue, and a live gateway on the built-in exchange.

What a test needs of a market besides orders (where it stands, to move it, what the venue itself believes) each harness does in its own way.
"""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random

import msgspec

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.binance_money import BinanceMoney
from smartmoney.adapters.binance_orders import BinanceOrders
from smartmoney.adapters.ccxt_account import open_ccxt_account
from smartmoney.adapters.ccxt_feed import instruments_of
from smartmoney.adapters.ccxt_orders import CcxtOrders
from smartmoney.adapters.ccxt_stream import CcxtStream
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.private_stream import PrivatePolicy, PrivateStream
from smartmoney.adapters.rest import VenueRest
from smartmoney.core.domain.entries import AccountReported, OrderAccepted, OrderFilled, OutcomeUnknown
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.runtime.live_account import Beginning
from smartmoney.runtime.live_gateway import LiveGateway
from smartmoney.runtime.live_money import LiveMoney, MoneyBeginning
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters
from smartmoney.venues.binance.money_news import BOOKED, MOVED
from smartmoney.venues.binance.protocol import endpoints
from smartmoney.venues.ccxt_news import Sized
from smartmoney.venues.ccxt_terms import VENUES
from smartmoney.venues.followed import FollowedOrders
from tests.integration.faulty import reader
from tests.integration.tradable import KEY, SECRET, ask, exchange
from tests.property.test_execution_loop import Book
from tests.steady_clock import CLOCK
from tests.waiting import PATIENCE_S, SCENE_S

VALID_NS = 600 * 10**9
"""An approval holds for as long as a test may take: here nothing is about its end."""


class Said:
    """Collect what a gateway posts, and let tests wait for some of it."""

    def __init__(self):
        self.all = []
        self._changed = asyncio.Event()

    def post(self, payload):
        self.all.append(payload)
        self._changed.set()

    def of(self, name, *kinds):
        """Return what was said about an order, fills included."""
        return [each for each in self.all if (not kinds or isinstance(each, kinds)) and name == self._name(each)]

    def filled(self, name):
        return sum(each.fill.lots for each in self.of(name, OrderFilled))

    def reports(self):
        return [each for each in self.all if isinstance(each, AccountReported)]

    async def wait(self):
        self._changed.clear()
        async with asyncio.timeout(0.05):
            await self._changed.wait()

    @staticmethod
    def _name(payload):
        return payload.fill.client_order_id if isinstance(payload, OrderFilled) else getattr(payload, "client_order_id", None)


class Under:
    """Make orders and wait for what becomes of them; the same words for every venue."""

    market: Market
    instrument: Instrument
    at_once = 8
    holds_both = True
    """A stop and a target stand side by side for the same lots; else the stop stands alone."""

    def __init__(self):
        self.said = Said()
        self._count = 0

    def lots(self, ten_thousandths):
        """Return lots of a size in ten thousandths of a coin, at least one."""
        return max(1, self.instrument.floor_lots(Decimal(ten_thousandths) / 10_000))

    def intent(self, side=Side.BUY, kind=OrderType.LIMIT, lots=None, **more):
        self._count += 1
        more.setdefault("client_order_id", f"smcontract-{self._count}-{int(time.time() * 1000) % 10**6}")
        more.setdefault("purpose", Purpose.EXIT if more.get("reduce_only") else Purpose.ENTRY)
        return OrderIntent(instrument=0, side=side, type=kind, lots=self.lots(500) if lots is None else lots, **more)

    def submit(self, *intents):
        now = CLOCK.monotonic_ns()
        for intent in intents:
            self.gateway.submit(Approved(intent=intent, valid_until_mono_ns=now + VALID_NS, halt_epoch=0), now)

    def cancel(self, *names):
        for name in names:
            self.gateway.cancel(name, CLOCK.monotonic_ns())

    async def until(self, condition, patience_s=PATIENCE_S):
        try:
            async with asyncio.timeout(patience_s):
                while not condition():
                    await self.turn()
        except TimeoutError:
            raise AssertionError(f"not in time; it said {self.said.all[-20:]}") from None

    async def accepted(self, intent):
        self.submit(intent)
        await self.until(lambda: self.said.of(intent.client_order_id, OrderAccepted))

    async def bought(self, ten_thousandths=1000):
        """Hold something."""
        lots = self.lots(ten_thousandths)
        intent = self.intent(lots=lots, price_ticks=round(self.touch()[1] * 1.004), time_in_force=TimeInForce.IOC)
        self.submit(intent)
        await self.until(lambda: self.said.filled(intent.client_order_id) == lots)
        return intent

    async def report(self):
        """Return a report that was asked for now."""
        before = len(self.said.reports())
        self.gateway.request_account(CLOCK.monotonic_ns())
        await self.until(lambda: len(self.said.reports()) > before)
        return self.said.reports()[-1]

    def protection(self, lots, stop, target):
        """Return what the executor sends to protect some lots: a stop and its target, in that order, or the stop alone."""
        first = self.intent(Side.SELL, OrderType.STOP_MARKET, lots, stop_ticks=stop, reduce_only=True, purpose=Purpose.STOP)
        first = msgspec.structs.replace(first, oco_group=first.client_order_id)
        second = self.intent(Side.SELL, OrderType.LIMIT, lots, price_ticks=target, reduce_only=True, purpose=Purpose.TARGET)
        return (first, msgspec.structs.replace(second, oco_group=first.client_order_id))[: 2 if self.holds_both else 1]


class PaperUnder(Under):
    """The paper venue on a book that stands where a test puts it."""

    def __init__(self, market):
        super().__init__()
        self.market = market
        self.instrument = Instrument(
            venue="v",
            market=market,
            symbol="AQ",
            name="A/Q",
            base="A",
            quote="Q",
            tick_size=Decimal("0.01"),
            lot_size=Decimal("0.0001"),
            min_notional=Decimal(10),
        )
        self.book = Book(mid=6_000_000)
        self.book.move(6_000_000, 2, 4_000)
        self.now = CLOCK.monotonic_ns()
        parameters = PaperParameters(latency_ms=5, fee_in_base=market is Market.SPOT, leverage=Decimal(5))
        self.paper = PaperVenue([self.instrument], parameters, run_id="c", cash=Decimal(100_000))
        self.gateway = self

    # the gateway's face, over a paper venue without an engine behind it

    def submit_one(self, intent):
        self.paper.submit(intent, self.now)

    def submit(self, *intents):
        for intent in intents:
            if not isinstance(intent, Approved):
                self.submit_one(intent)

    def cancel(self, *names):
        for name in names:
            if isinstance(name, str):
                self.paper.cancel(name, self.now)

    def request_account(self, _now):
        self.said.post(self.paper.report())

    async def turn(self):
        self.now += 10_000_000
        for payload in self.paper.advance(self.now, self.now, [self.book]):
            self.said.post(payload)
        await asyncio.sleep(0)

    def touch(self):
        return self.book.best_bid_ticks, self.book.best_ask_ticks

    async def shift(self, bps):
        mid = round(self.touch()[0] * (1 + bps / 10_000))
        self.book.move(mid, 2, 4_000)

    async def held_lots(self):
        return self.paper.account.position_lots(0)

    async def orders_named(self, name):
        return sum(1 for each in self.said.of(name, OrderAccepted))

    async def working(self):
        return sorted(report.intent.client_order_id for report in self.paper.report().orders)


class LiveUnder(Under):
    """A live gateway on the built-in exchange, judged by the exchange's own ledger."""

    def __init__(self, market, server, where, instrument):
        super().__init__()
        self.market = market
        self.server = server
        self.where = where
        self.instrument = instrument
        self.latched = False
        self._book = server.market.books[market, instrument.symbol]
        self.account = None
        self.money = None

    def _no_money(self):
        now_ms = self.server.now_ns() // 1_000_000
        return MoneyBeginning(from_ms=dict.fromkeys((*BOOKED, *MOVED), now_ms))

    def make(self, orders=(), known=(), beginning=None, money=None):
        clock = CLOCK
        place = self.where[self.market]
        found = endpoints(self.market, rest=place.rest, stream=place.ws, ws_api=place.ws_api or "")
        self.account = BinanceAccount(self.market, found, Credentials(KEY, SECRET), clock=clock, sapi=self.where[Market.SPOT].rest)
        side = BinanceOrders(self.account)
        self.followed = FollowedOrders([self.instrument], side.is_algo, known)
        for report in orders:
            self.followed.follow(report.intent, report.venue_order_id, report.filled_lots)
        beginning = beginning or Beginning(since_ms=self.server.now_ns() // 1_000_000 - 1)
        self.money = LiveMoney(BinanceMoney(self.account), [self.instrument], money or self._no_money(), self.said.post, clock=clock)
        self.gateway = LiveGateway(
            side,
            self.followed,
            beginning,
            self.said.post,
            clock=clock,
            is_latched=lambda: self.latched,
            money=self.money if self.market is Market.USDM else None,
        )
        policy = PrivatePolicy(ping_interval_s=1.0, half_open_s=2.0)
        self.stream = PrivateStream(self.account, found, self.gateway, clock=clock, jitter=Random(1), policy=policy)

    async def turn(self):
        try:
            await self.said.wait()
        except TimeoutError:
            return

    async def make_by_ccxt(self):
        """Make the same gateway on ccxt.pro's own class, pointed at the exchange."""
        clock = CLOCK
        spot, here = self.where[Market.SPOT], self.where[self.market]
        terms = VENUES["binance" if self.market is Market.SPOT else "binanceusdm"]
        self.account = await open_ccxt_account(
            terms, self.market, Credentials(KEY, SECRET), clock=clock, urls=ccxt_urls(spot, here), is_rehearsal=True
        )
        name = "BTC/USDT" if self.market is Market.SPOT else "BTC/USDT:USDT"
        ((self.instrument, size),) = instruments_of(self.account.client, [name])
        side = CcxtOrders(self.account, [Sized(instrument=self.instrument, contract_size=size)])
        self.followed = FollowedOrders([self.instrument], side.is_algo)
        beginning = Beginning(since_ms=self.server.now_ns() // 1_000_000 - 1)
        self.gateway = LiveGateway(side, self.followed, beginning, self.said.post, clock=clock, is_latched=lambda: self.latched)
        self.stream = CcxtStream(self.account, self.gateway, clock=clock, jitter=Random(1))

    @asynccontextmanager
    async def running(self, with_stream=True):
        tasks = [asyncio.create_task(self.gateway.run(lambda: None))]
        if with_stream:
            tasks.append(asyncio.create_task(self.stream.run()))
        if self.market is Market.USDM and self.money is not None:
            tasks.append(asyncio.create_task(self.money.run(lambda: None)))
        try:
            await self.until(lambda: self.said.reports() and (self.gateway.is_stream_up or not with_stream))
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.gateway.close()
            await self.account.close()

    def touch(self):
        return self._book.touch[0], self._book.touch[2]

    async def shift(self, bps):
        self._book.worlds["anchor_ticks"][0] *= 1.0 + bps / 10_000

    async def ledger(self):
        _, body, _ = await ask(self.server, self.where[Market.SPOT].rest + "/sim/ledger")
        return body["accounts"][0]

    async def fills(self):
        return [fill for fill in (await self.ledger())["fills"] if fill["market"] == self.market.value]

    async def held_lots(self):
        """Return what the exchange's ledger says that our orders hold, in whole lots."""
        if self.market is Market.USDM:
            (found,) = [p["lots"] for p in (await self.ledger())["positions"] if p["symbol"] == self.instrument.symbol]
            return found
        total = Decimal(0)
        for fill in await self.fills():
            sign = 1 if fill["side"] == "BUY" else -1
            total += sign * self.instrument.quantity(fill["lots"])
            total -= Decimal(fill["commission"]) if fill["commission_asset"] == self.instrument.base else 0
        return self.instrument.floor_lots(total)

    async def orders_named(self, name):
        return orders_named(await self.ledger(), self.market, name)

    async def working(self):
        account = await self.ledger()
        plain = [
            o["client_id"] for o in account["orders"] if o["market"] == self.market.value and o["status"] in {"NEW", "PARTIALLY_FILLED"}
        ]
        return sorted(plain + [a["client_id"] for a in account["algos"] if a["status"] == "NEW"])

    @asynccontextmanager
    async def fault(self, kind, **keys):
        name = f"f{CLOCK.monotonic_ns()}"
        self.server.faults.add(reader({"kind": kind, "name": name, "market": self.market.value, **keys}), self.server.now_ns())
        try:
            yield lambda: next(r.acted for r in self.server.faults.reports(self.server.now_ns()) if r.fault.name == name)
        finally:
            self.server.faults.remove(name)

    async def by_hand(self, method, call, **params):
        """Do something on the account that the gateway knows nothing of."""
        root = "/api/v3/" if self.market is Market.SPOT else "/fapi/v1/"
        status, body, _ = await ask(
            self.server, self.where[self.market].rest + root + call, method, symbol=self.instrument.symbol, **params
        )
        assert status == 200, body
        return body


def ccxt_urls(spot, here):
    """Return what lays ccxt's Binance classes over the exchange."""
    api = {"public": spot.rest + "/api/v3", "private": spot.rest + "/api/v3", "sapi": spot.rest + "/sapi/v1"}
    for name, version in (("", "v1"), ("V2", "v2"), ("V3", "v3")):
        api["fapiPublic" + name] = api["fapiPrivate" + name] = f"{here.rest}/fapi/{version}"
    streams = {"spot": spot.ws + "/stream", "linear": here.ws + "/ws", "ws-api": {"spot": spot.ws_api}}
    return {"api": {**api, "ws": streams}}


def orders_named(account, market, name):
    """Return how many orders of an account's ledger bear a client id."""
    plain = [o for o in account["orders"] if o["market"] == market.value and o["client_id"] == name]
    algos = [a for a in account["algos"] if a["client_id"] == name]
    # The order that an algo order sends bears its name: it is the same order.
    return len(algos) if algos else len(plain)


@asynccontextmanager
async def live_under(market, patience_s=SCENE_S, begins=lambda now_ns: now_ns):
    """Serve an exchange and yield a harness that has not begun: call `make`, then `running`."""
    CLOCK.begin()
    async with exchange(read_fault=reader, patience_s=patience_s, begins=begins, mono_ns=CLOCK.monotonic_ns) as (server, where):
        rest = VenueRest(market, where[market].rest, clock=CLOCK, jitter=Random(1))
        (instrument,) = await rest.instruments(("BTC/USDT",))
        await rest.close()
        yield LiveUnder(market, server, where, instrument)


@asynccontextmanager
async def under_test(name):
    """Yield a running harness: paper, live (native) or ccxt, each -spot or -usdm, or a scripted venue by its name."""
    if name in {"bybit", "okx", "bybit-spot"}:
        from tests.contract.scripted import scripted_under  # it is made of this module

        async with scripted_under(name) as under:
            yield under
        return
    kind, market = name.split("-")
    if kind == "paper":
        yield PaperUnder(Market(market))
        return
    async with live_under(Market(market)) as under:
        if kind == "ccxt":
            await under.make_by_ccxt()
        else:
            under.make()
        async with under.running():
            yield under


__all__ = ["LiveUnder", "OutcomeUnknown", "PaperUnder", "json", "live_under", "orders_named", "under_test"]

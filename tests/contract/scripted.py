"""Bybit and OKX under the contract: the scripted venues, with a market of two prices that takes what crosses it."""

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

from smartmoney.core.domain.instruments import Market
from tests.integration.bybit_spot_venue import BybitSpotVenue
from tests.integration.bybit_venue import MARKET as BYBIT_MARKET
from tests.integration.bybit_venue import BybitVenue
from tests.integration.ccxt_gateways import CcxtUnder
from tests.integration.okx_venue import MARKET as OKX_MARKET
from tests.integration.okx_venue import OkxVenue
from tests.integration.scripted_venue import serving

MONEY = Decimal(1_000_000)


class TwoPrices:
    """Match what is sent against a bid and an ask; what rests never trades by itself. A mix-in for a scripted venue."""

    bid, ask = Decimal("59999.9"), Decimal(60000)

    def __init__(self):
        super().__init__()
        self._telling = set()

    def answer(self, path, params):
        refusal = self.why_not(path, params)
        if refusal is not None:
            return refusal
        before, was_live = set(self.orders), {number for number, order in self.orders.items() if order.is_live}
        body = super().answer(path, params)
        for number in self.orders.keys() - before:
            self._tell(self._match(self.orders[number]))
        for number in was_live:
            if not self.orders[number].is_live:
                self._tell(self.say(self.orders[number]))
        return body

    async def shift(self, bps):
        """Move both prices; what is reached by them acts."""
        self.bid = (self.bid * (1 + Decimal(bps) / 10_000)).quantize(Decimal("0.1"))
        self.ask = self.bid + Decimal("0.1")
        for stop in self.stops():
            is_sale = stop.side.lower() == "sell"
            if self.bid <= Decimal(stop.trigger) if is_sale else self.ask >= Decimal(stop.trigger):
                await self.act(stop, self.bid if is_sale else self.ask)

    def _tell(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _match(self, order):
        await self.say(order)
        is_buy = order.side.lower() == "buy"
        touch = self.ask if is_buy else self.bid
        is_market = not order.price
        if order.trigger:
            return
        crosses = is_market or (Decimal(order.price) - touch) * (1 if is_buy else -1) >= 0
        if not crosses or self.is_maker(order):
            if crosses or self.is_immediate(order):
                self.drop(order)
                await self.say(order)
            return
        quantity = min(order.quantity, abs(self.position)) if order.reduces else order.quantity
        await self.take(order, quantity, touch)
        if order.is_live:
            self.drop(order)
            await self.say(order)


class MatchingBybit(TwoPrices, BybitVenue):
    def __init__(self):
        super().__init__()
        self.market = {**BYBIT_MARKET, "lotSizeFilter": {**BYBIT_MARKET["lotSizeFilter"], "minNotionalValue": "100"}}

    def why_not(self, path, params):
        if path != "v5/order/create":
            return None
        notional = Decimal(params["qty"]) * Decimal(params.get("price") or self.bid)
        if params.get("reduceOnly"):
            return None if self.position else self._no(110017, "Reduce-only rule not satisfied")
        if notional < 100:
            return self._no(110094, "Order notional value below the lower limit")
        return self._no(110007, "ab not enough for new order") if notional > MONEY else None

    def is_maker(self, order):
        return order.force == "PostOnly"

    def is_immediate(self, order):
        return order.force == "IOC"

    def drop(self, order):
        order.is_live, order.status = False, "PartiallyFilledCanceled" if order.filled else "Cancelled"

    async def say(self, order):
        await self.push("order", self.order_frame(order))

    async def take(self, order, quantity, price):
        await self.fill(order.client_id, quantity, price)

    async def act(self, stop, price):
        await self.trigger(stop, price)


class MatchingBybitSpot(TwoPrices, BybitSpotVenue):
    def __init__(self):
        super().__init__()
        self.coins["USDT"] = MONEY

    def why_not(self, path, params):
        if path != "v5/order/create" or Decimal(params["qty"]) * Decimal(params.get("price") or self.bid) >= 5:
            return None
        return self._no(170140, "Order value exceeded lower limit.")

    is_maker, is_immediate, drop = MatchingBybit.is_maker, MatchingBybit.is_immediate, MatchingBybit.drop
    say, take, act = MatchingBybit.say, MatchingBybit.take, MatchingBybit.act


class MatchingOkx(TwoPrices, OkxVenue):
    def __init__(self):
        super().__init__()
        self.market = {**OKX_MARKET, "minSz": "1"}

    def why_not(self, path, params):
        if path != "api/v5/trade/order" or "sz" not in params:
            return None
        size = Decimal(params["sz"])
        if params.get("reduceOnly"):
            return None if self.position else self._each(51169, "You don't have any positions in this direction to reduce.")
        if size < 1:
            return self._each(51020, "Your order should meet or exceed the minimum order amount.")
        return self._each(51008, "Insufficient USDT margin") if size * self.bid / 100 > MONEY else None

    def is_maker(self, order):
        return order.kind == "post_only"

    def is_immediate(self, order):
        return order.kind == "ioc"

    def drop(self, order):
        self.end(order)

    async def say(self, order):
        await self.tell_order(order)

    async def take(self, order, quantity, price):
        await self.fill(order, quantity, price)

    async def act(self, stop, price):
        algo, child = self.trigger(stop.client_id)
        await self.say(algo)
        await self.fill(child, child.quantity, price)


VENUES = {"bybit": (MatchingBybit, "bybit"), "okx": (MatchingOkx, "okx"), "bybit-spot": (MatchingBybitSpot, "bybit")}


class ScriptedUnder(CcxtUnder):
    """A scripted venue in the words of the contract. Of what a venue takes in a second, six tenths are for entries."""

    at_once = 5

    @property
    def holds_both(self):
        return self.market is Market.USDM

    def touch(self):
        return self.instrument.ticks(self.venue.bid), self.instrument.ticks(self.venue.ask)

    async def shift(self, bps):
        await self.venue.shift(bps)

    async def held_lots(self):
        return self.instrument.floor_lots(abs(self.venue.position_base()))

    async def orders_named(self, name):
        return self.venue.made(self.terms.to_wire(name))

    async def working(self):
        live = (order for order in self.venue.orders.values() if order.is_live)
        return sorted(self.terms.from_wire(order.client_id) for order in live)


@asynccontextmanager
async def scripted_under(name):
    make, terms = VENUES[name]
    async with serving(make(), 90) as venue:
        under = ScriptedUnder(venue, terms)
        await under.make()
        async with under.running():
            yield under

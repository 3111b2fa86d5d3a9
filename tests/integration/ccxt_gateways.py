"""The live gateway on ccxt.pro's own class of a venue, against a scripted one on loopback: signing, parsing and sockets are ccxt's."""

import asyncio
from contextlib import asynccontextmanager
from random import Random

from smartmoney.adapters.ccxt_account import open_ccxt_account
from smartmoney.adapters.ccxt_feed import instruments_of
from smartmoney.adapters.ccxt_money import CcxtMoney
from smartmoney.adapters.ccxt_orders import CcxtOrders
from smartmoney.adapters.ccxt_stream import CcxtStream
from smartmoney.adapters.credentials import Credentials
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import OrderType, Purpose, Side, TimeInForce
from smartmoney.runtime.live_account import Beginning
from smartmoney.runtime.live_gateway import LiveGateway
from smartmoney.runtime.live_money import LiveMoney, MoneyBeginning
from smartmoney.venues.ccxt_news import Sized
from smartmoney.venues.ccxt_terms import VENUES
from smartmoney.venues.followed import FollowedOrders
from tests.contract.venues import Under
from tests.steady_clock import CLOCK
from tests.waiting import SCENE_S

from .scripted_venue import KEY, PASSPHRASE, SECRET, serving

CREDENTIALS = Credentials(KEY, SECRET, PASSPHRASE)


def urls(venue, name):
    if name == "bybit":
        rest = dict.fromkeys(("spot", "futures", "v2", "public", "private"), venue.rest)
        return {"api": {**rest, "ws": {"private": {"contract": venue.ws + "/v5/private"}}}}
    return {"api": {"rest": venue.rest, "ws": venue.ws + "/ws/v5"}}


async def open_account(venue, name, **more):
    return await open_ccxt_account(
        VENUES[name], venue.trades_on, CREDENTIALS, clock=CLOCK, urls=urls(venue, name), is_rehearsal=True, **more
    )


class CcxtUnder(Under):
    def __init__(self, venue, name):
        super().__init__()
        self.venue, self.market = venue, venue.trades_on
        self.terms = VENUES[name]
        self.latched = False

    async def make(self, since_ms=None, money=None, orders=()):
        clock = CLOCK
        self.account = await open_account(self.venue, self.terms.venue)
        ((self.instrument, size),) = instruments_of(self.account.client, [self.venue.symbol_name])
        self.side = CcxtOrders(self.account, [Sized(instrument=self.instrument, contract_size=size)])
        self.followed = FollowedOrders([self.instrument], self.side.is_algo)
        for report in orders:
            self.followed.follow(report.intent, report.venue_order_id, report.filled_lots)
        beginning = Beginning(orders=tuple(orders), since_ms=self.account.venue_ms() - 1_000 if since_ms is None else since_ms)
        self.money = self._money(money, clock) if self.market is Market.USDM else None
        self.gateway = LiveGateway(
            self.side, self.followed, beginning, self.said.post, clock=clock, is_latched=lambda: self.latched, money=self.money
        )
        self.stream = CcxtStream(self.account, self.gateway, clock=clock, jitter=Random(1))

    def _money(self, money, clock):
        listed = CcxtMoney(self.account)
        since = dict.fromkeys((*listed.booked, *listed.moved), self.account.venue_ms() - 60_000)
        return LiveMoney(listed, [self.instrument], money or MoneyBeginning(from_ms=since), self.said.post, clock=clock)

    async def turn(self):
        try:
            await self.said.wait()
        except TimeoutError:
            return

    @asynccontextmanager
    async def running(self, sockets=2):
        running = [self.gateway.run(lambda: None), self.stream.run()]
        running += [] if self.money is None else [self.money.run(lambda: None)]
        tasks = [asyncio.create_task(each) for each in running]
        try:
            await self.until(lambda: self.said.reports() and self.gateway.is_stream_up)
            await self.venue.subscribed(sockets)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.gateway.close()
            await self.account.close()

    async def resting(self, **more):
        """Return an entry that the venue has accepted."""
        order = self.entry(**more)
        await self.accepted(order)
        return order

    def record(self, order):
        """Return what the venue keeps of an order."""
        return self.venue.named(self.terms.to_wire(order.client_order_id))

    # ---- orders of a book around 60,000

    def entry(self, **more):
        return self.intent(price_ticks=590_001, lots=12, **more)

    def stop(self, lots=12, **more):
        return self.intent(Side.SELL, OrderType.STOP_MARKET, lots, stop_ticks=580_000, reduce_only=True, purpose=Purpose.STOP, **more)

    def exit(self, lots=12):
        return self.intent(Side.SELL, OrderType.MARKET, lots, reduce_only=True, purpose=Purpose.EXIT, time_in_force=TimeInForce.IOC)

    def kinds(self, name):
        return [type(each).__name__ for each in self.said.of(name)]


@asynccontextmanager
async def trading(make_venue, name, sockets=2, patience_s=SCENE_S):
    """Yield a running gateway on a scripted venue."""
    async with serving(make_venue(), patience_s) as venue:
        under = CcxtUnder(venue, name)
        await under.make()
        async with under.running(sockets):
            yield under

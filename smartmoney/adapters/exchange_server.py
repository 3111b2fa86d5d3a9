"""Run a synthetic venue's clock and serve its markets, on loopback, over real sockets.

One `ExchangeServer` runs one clock: it advances every book, settles the accounts' orders, writes the frames of every subscribed stream, and
hands them to bounded per-client queues. Spot and USD-M listen on separate ports. While an account waits for something, time passes on a
fixed grid of 10 ms, at whose points timers, margins and what the books cannot trigger are looked at: how the clock is cut into steps does
not change what happens.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from smartmoney.adapters.exchange_control import AccountControl
from smartmoney.adapters.exchange_fault_control import FaultControl, FaultReader
from smartmoney.adapters.exchange_faults import HaltedBooks, SiteFaults
from smartmoney.adapters.exchange_feed import Desk, quiet
from smartmoney.adapters.exchange_private_side import PrivateSide
from smartmoney.adapters.exchange_rest import Rest
from smartmoney.adapters.exchange_site import Endpoints, MarketSite
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.accounts import AccountSpec
from smartmoney.simulation.fault_accounts import AccountFaults
from smartmoney.simulation.faults import FaultPlan
from smartmoney.simulation.first_orders import trade_a_little
from smartmoney.simulation.market import Rows, SyntheticMarket

_PUMP_S = 0.02
_SLICE_NS = 500_000_000
_GRID_NS = 10_000_000


class ExchangeServer:
    """Run a synthetic market on the wall clock and serve it.

    `origin_ns` is the wall time of the market's time 0; the market runs `speed` simulated seconds a second. At `start` a market that is
    behind the wall clock makes the difference up first; one that was run ahead of it goes on from there. `mono_ns` is what it goes by then.
    """

    def __init__(
        self,
        market: SyntheticMarket,
        origin_ns: int,
        *,
        speed: float = 1.0,
        desks: dict[tuple[Market, str], Desk] | None = None,
        faults: FaultPlan | None = None,
        read_fault: FaultReader | None = None,
        accounts: tuple[AccountSpec, ...] = (),
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.market = market
        self._speed = speed
        self._mono_ns = mono_ns
        self._desks = desks or {key: Desk(book, origin_ns) for key, book in market.books.items()}
        self._origin_ns = origin_ns
        self._started_at = 0
        self._start_ns = 0
        self._advanced_ns = 0
        self.faults = faults or FaultPlan()
        self._halts = HaltedBooks(self.faults, origin_ns)
        self.venue = TradingVenue(self._desks, accounts, origin_ns)
        v = self.venue
        self._account_faults = AccountFaults(self.faults, v.spot, v.usdm, v.algos, v.clock)
        controls = (FaultControl(self.faults, self.now_ns, read_fault), AccountControl(v, self.act))
        self.sites = {which: self._site(which, controls) for which in dict.fromkeys(key[0] for key in market.books)}
        self._runners: list[web.AppRunner] = []
        self._pump: asyncio.Task[None] | None = None

    def _site(self, which: Market, controls: tuple[FaultControl, AccountControl]) -> MarketSite:
        desks = {symbol: desk for (owner, symbol), desk in self._desks.items() if owner is which}
        is_spot = which is Market.SPOT
        faults = SiteFaults(self.faults, which.value, desks, is_spot=is_spot, now_ns=self.now_ns, speed=self._speed)

        def told_ns() -> int:
            return self.now_ns() + faults.offset_ns()

        rest = Rest(desks, is_spot=is_spot, now_ns=told_ns)
        salt = f"{self.market.seed}:{which.value}"
        private = PrivateSide(self.venue, rest.weights, self.faults, which, now_ns=told_ns, act=self.act, salt=salt)
        return MarketSite(desks, rest, private, faults, controls, is_spot=is_spot)

    def now_ns(self) -> int:
        """Return the exchange's clock: wall time, faster if `speed` is."""
        return self._origin_ns + self._market_ns()

    def _market_ns(self) -> int:
        if not self._started_at:
            return self._reached_ns()
        return self._start_ns + int((self._mono_ns() - self._started_at) * self._speed)

    async def start(self, port: int = 0) -> dict[Market, Endpoints]:
        """Listen (the first market on `port`, the next on `port + 1`; 0 chooses free ones) and start the clock.

        Raises:
            OSError: a port is in use; nothing is left listening.
        """
        if self.venue.accounts.all:
            # An order that had to wait for a kernel to compile would be answered too late.
            trade_a_little()
        try:
            for place, site in enumerate(self.sites.values()):
                site.port = await self._listen(site.handle, port + place if port else 0)
        except OSError:
            await self.stop()
            raise
        self._start_ns = max(self._reached_ns(), time.time_ns() - self._origin_ns)
        self._started_at = self._mono_ns()
        # Not the wall's time: what the market has to make up first is sent to clients too, and must find the faults standing.
        self.faults.begin(self._origin_ns + self._reached_ns())
        self._pump = asyncio.create_task(self._run(), name="exchange clock")
        return {which: site.endpoints for which, site in self.sites.items()}

    def _reached_ns(self) -> int:
        return max(self._advanced_ns, *(book.now_ns for book in self.market.books.values()))

    async def stop(self) -> None:
        """Disconnect everybody and close the ports."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None
        for site in self.sites.values():
            await asyncio.gather(*(client.close(1001, b"going away") for client in list(site.clients)), return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def wait(self) -> None:
        """Wait until the clock stops; a fault in it is raised here."""
        if self._pump is not None:
            await asyncio.shield(self._pump)

    async def _listen(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int) -> int:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        return int(runner.addresses[0][1])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PUMP_S)
            target_ns = self._market_ns()
            reached_ns = self._reached_ns()
            while reached_ns < target_ns:
                # After a long pause the past is made up in slices, and clients are served in between.
                reached_ns = min(target_ns, reached_ns + _SLICE_NS)
                self.advance(reached_ns)
                await asyncio.sleep(0)

    def act(self, what: Callable[[], Any]) -> Any:
        """Do something for an account at the present time, after all that came before it, and tell what it brought."""
        behind_ns = self._market_ns() - self._reached_ns()
        if 0 < behind_ns <= _SLICE_NS:
            self.advance(self._market_ns())
        result = what()
        for site in self.sites.values():
            site.private.publish()
        return result

    def advance(self, to_ns: int) -> None:
        """Advance every book to a market time, settle the accounts' orders, and publish what happened."""
        reached_ns = self._reached_ns()
        while reached_ns < to_ns:
            grid_ns = (reached_ns // _GRID_NS + 1) * _GRID_NS
            reached_ns = min(grid_ns, to_ns) if self.venue.is_busy else to_ns
            self._step(reached_ns)

    def _step(self, to_ns: int) -> None:
        crosses_grid = to_ns // _GRID_NS > self._reached_ns() // _GRID_NS
        self._advanced_ns = max(self._advanced_ns, to_ns)
        batches: dict[Market, dict[str, Any]] = {which: {} for which in self.sites}
        found: dict[tuple[Market, str], Rows] = {}
        for (which, symbol), book in self.market.books.items():
            rows = self._halts.advance(which.value, symbol, book, to_ns)
            if rows is not None:
                found[which, symbol] = rows
        self.venue.settle(found)
        for key in self.market.books:
            taken = self._desks[key].take(found[key]) if key in found else quiet(self._origin_ns + to_ns)
            batches[key[0]][key[1]] = taken
        if crosses_grid:
            self.venue.watch()
            self._account_faults.act(self._origin_ns + to_ns)
        for which, site in self.sites.items():
            site.publish(batches[which], self._origin_ns + to_ns)
            site.private.publish()

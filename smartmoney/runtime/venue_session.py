"""Where the market comes from: a venue's feed and snapshots, the built-in exchange, or any exchange through ccxt, behind one face.

Invariant: whatever the source, the loop sees raw frames and events; `close` leaves no task, socket or process behind.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Protocol

import structlog

from smartmoney.adapters.ccxt_feed import CcxtFeed, instruments_of, open_exchange
from smartmoney.adapters.ccxt_funding import CcxtFunding, beside
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.feed import MarketFeed
from smartmoney.adapters.rest import RestError, VenueRest
from smartmoney.core.domain.entries import FeedConnected, FeedDisconnected, SnapshotFailed
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.engine.market import VenueCodec
from smartmoney.runtime.builtin_exchange import builtin_exchange
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.inbox import Inbox
from smartmoney.runtime.modes import is_rehearsal
from smartmoney.runtime.supervisor import Beat
from smartmoney.settings.models import Settings
from smartmoney.settings.scenario import path_of
from smartmoney.venues.binance.exchange_info import parse_exchange_info
from smartmoney.venues.binance.protocol import endpoints, plan_connections, streams_of
from smartmoney.venues.unified import unified_names

log = structlog.get_logger("venue")

SNAPSHOT_LEVELS = {Market.SPOT: 5000, Market.USDM: 1000}
"""As deep as the venue gives: levels beyond stay unknown until they change."""
_BEAT_S = 1.0


class VenueSession(Protocol):
    """Be what the daemon needs of a market's source."""

    codec: VenueCodec
    instruments: tuple[Instrument, ...]
    warm_recordings: Mapping[str, Path]
    """Recordings of the recent past, by symbol."""

    async def feed(self, beat: Beat) -> None:
        """Deliver frames until cancelled."""

    async def funding(self) -> None:
        """Deliver what the venue tells of funding, where that does not come with the feed."""

    def request_snapshot(self, instrument: int, reason: str) -> None:
        """Fetch a depth snapshot in the background."""

    def reconnect(self, instrument: int, reason: str) -> None:
        """Rebuild an instrument's feed."""


class _Sink:
    """Deliver what a feed says into the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def frame(self, connection: int, raw: bytes) -> bool:
        """Take a frame if there is room."""
        return self._inbox.offer_frame(connection, raw)

    def snapshot(self, connection: int, instrument: int, raw: bytes) -> bool:
        """Take a whole book if there is room."""
        return self._inbox.offer_snapshot(instrument, raw, connection)

    def event(self, payload: FeedConnected | FeedDisconnected) -> None:
        """Take a change of connection."""
        if isinstance(payload, FeedConnected):
            log.info("feed connected", connection=payload.connection, planned=payload.planned)
        else:
            log.warning("feed lost", connection=payload.connection, reason=payload.reason)
        self._inbox.post(payload)


class BinanceSession:
    """Follow a Binance market: the real one, or whatever speaks its protocol at the given addresses."""

    def __init__(
        self,
        market: Market,
        rest: VenueRest,
        stream_base: str,
        instruments: tuple[Instrument, ...],
        inbox: Inbox,
        seed: int,
        exchange_info: bytes = b"",
    ) -> None:
        self.codec = binance_codec()
        self.instruments = instruments
        self.exchange_info = exchange_info
        """What the venue publishes about the instruments."""
        self.warm_recordings: Mapping[str, Path] = {}
        self.source_ended: Callable[[], Awaitable[None]] | None = None
        """Waits for, and raises, the end of what the frames come from, where that is a process of ours."""
        self._rest = rest
        self._inbox = inbox
        self._fetching: dict[int, asyncio.Task[None]] = {}
        plans = plan_connections(market, stream_base, instruments, streams_of(market))
        self._make_feed: Callable[[], MarketFeed] = lambda: MarketFeed(plans, _Sink(inbox), clock=SystemClock(), jitter=Random(seed))
        self._feed = self._make_feed()

    async def feed(self, beat: Beat) -> None:
        """Deliver frames until cancelled; a restarted child starts with a fresh feed."""
        self._feed = self._make_feed()
        if self.source_ended is None:
            await _beating(self._feed.run(), beat)
            return
        await _beating(_until_either_ends(self._feed.run(), self.source_ended()), beat)

    async def funding(self) -> None:
        """Return: mark prices are among the feed's streams."""

    def request_snapshot(self, instrument: int, reason: str) -> None:
        """Fetch a depth snapshot in the background; one at a time per instrument."""
        if instrument in self._fetching:
            return
        log.info("snapshot requested", instrument=self.instruments[instrument].name, reason=reason)
        task = asyncio.ensure_future(self._fetch(instrument))
        self._fetching[instrument] = task
        task.add_done_callback(lambda _: self._fetching.pop(instrument, None))

    def reconnect(self, instrument: int, reason: str) -> None:
        """Rebuild an instrument's connections."""
        self._feed.reconnect(reason, instrument)

    async def close(self) -> None:
        """End what runs in the background."""
        for task in list(self._fetching.values()):
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)
        await self._rest.close()

    async def _fetch(self, instrument: int) -> None:
        grid = self.instruments[instrument]
        try:
            body = await self._rest.depth_snapshot(grid.symbol, SNAPSHOT_LEVELS[grid.market])
        except RestError as error:
            log.warning("snapshot failed", instrument=self.instruments[instrument].name, error=str(error))
            self._inbox.post(SnapshotFailed(instrument=instrument, reason=str(error)))
        else:
            self._inbox.offer_snapshot(instrument, body)


@contextlib.asynccontextmanager
async def open_venue(settings: Settings, inbox: Inbox, scratch: Path, seed: int) -> AsyncIterator[VenueSession]:
    """Open the source that the settings name; yield it with its instruments known.

    Args:
        settings: venue, market, instruments, addresses.
        inbox: where frames and events go.
        scratch: folder for the warm-up recording of the built-in exchange.
        seed: of the built-in market and of all jitter.

    Raises:
        ExchangeFailed, RestError, ProtocolError: it cannot be reached, or does not have an instrument.
    """
    if settings.venue.startswith("ccxt:"):
        async with _open_ccxt(settings, inbox, seed) as session:
            yield session
        return
    if settings.venue == "sim":
        symbols = [name.partition(":")[0].replace("/", "") for name in settings.instruments]
        async with builtin_exchange(symbols, str(path_of(settings)), seed, settings.sim.prerun_s, scratch) as exchange:
            address = exchange.ready.binance[settings.market]
            async with _open_binance(settings, inbox, address.rest, address.ws, seed) as session:
                session.warm_recordings = {symbol: Path(path) for symbol, path in exchange.ready.warm.get(settings.market, {}).items()}
                session.source_ended = exchange.ended
                yield session
        return
    async with _open_binance(settings, inbox, settings.endpoints.rest or "", settings.endpoints.ws or "", seed) as session:
        yield session


@contextlib.asynccontextmanager
async def _open_binance(settings: Settings, inbox: Inbox, rest_base: str, stream_base: str, seed: int) -> AsyncIterator[BinanceSession]:
    market = Market(settings.market)
    addresses = endpoints(market, rest=rest_base, stream=stream_base)
    rest = VenueRest(market, addresses.rest, clock=SystemClock(), jitter=Random(seed))
    try:
        names = tuple(settings.instruments)
        exchange_info = await rest.exchange_info(names)
        instruments = parse_exchange_info(exchange_info, names, market)
        session = BinanceSession(market, rest, addresses.stream, instruments, inbox, seed, exchange_info)
    except BaseException:
        await rest.close()
        raise
    try:
        yield session
    finally:
        await session.close()


async def _beating(work: Awaitable[None], beat: Beat) -> None:
    """Run some work to its end, beating for it while the event loop turns."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            beat()
            await asyncio.wait({task}, timeout=_BEAT_S)
        await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _until_either_ends(*works: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class CcxtSession:
    """Follow any exchange through ccxt.pro. It can prove no sequence, so trust in it is conservative."""

    def __init__(self, exchange: Any, instruments: Sequence[tuple[Instrument, Decimal]], inbox: Inbox, seed: int) -> None:
        self.codec = binance_codec(proves_sequence=False)
        self.instruments = tuple(instrument for instrument, _ in instruments)
        self.warm_recordings: Mapping[str, Path] = {}
        sink = _Sink(inbox)
        self._feed = CcxtFeed(exchange, instruments, sink, clock=SystemClock(), jitter=Random(seed))
        self._funding = CcxtFunding(beside(exchange), self.instruments, sink.frame, clock=SystemClock(), jitter=Random(seed))

    async def feed(self, beat: Beat) -> None:
        """Deliver books and trades until cancelled."""
        await _beating(self._feed.run(), beat)

    async def funding(self) -> None:
        """Deliver what the venue tells of funding until cancelled; its trouble is none of the books'."""
        await self._funding.run()

    def request_snapshot(self, instrument: int, reason: str) -> None:
        """Let the next book that ccxt delivers be sent whole."""
        log.info("snapshot requested", instrument=self.instruments[instrument].name, reason=reason)
        self._feed.show_whole(instrument)

    def reconnect(self, instrument: int, reason: str) -> None:
        """Rebuild the exchange's connections."""
        self._feed.reconnect(reason, instrument)

    async def close(self) -> None:
        """Close the exchange's connections."""
        await self._funding.close()
        await self._feed.close()


@contextlib.asynccontextmanager
async def _open_ccxt(settings: Settings, inbox: Inbox, seed: int) -> AsyncIterator[CcxtSession]:
    exchange_id = settings.venue.removeprefix("ccxt:")
    names = unified_names(settings.instruments, Market(settings.market))
    exchange = await open_exchange(
        exchange_id,
        names,
        urls=settings.endpoints.ccxt_urls,
        options=_ccxt_options(settings),
        is_rehearsal=is_rehearsal(settings),
    )
    session = CcxtSession(exchange, instruments_of(exchange, names), inbox, seed)
    try:
        yield session
    finally:
        await session.close()


def _ccxt_options(settings: Settings) -> dict[str, Any]:
    kind = "spot" if settings.market == "spot" else "swap"
    return {"defaultType": kind}

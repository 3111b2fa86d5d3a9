"""Market data of any exchange that ccxt.pro knows, delivered in the same form as a native feed.

Per instrument one loop watches the book and one the trades; a third, for all, looks for silence. ccxt reconnects by itself when it is asked
again, so a failure here means: report the loss, wait, ask again.

Invariants: `FeedConnected` precedes the first book after every loss; numbers given to books and trades rise strictly, over restarts too
(they start at the wall clock's milliseconds); a book is sent at most each `book_interval_s`, and the last state of a burst is always sent;
the first book after every loss is sent whole, the others as changes of the one before; what a connection gave is not sent once it was
given up; `proves_sequence` is False. ccxt is imported
only when a feed is opened (it costs a second).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import structlog

from smartmoney.adapters.backoff import BackoffPolicy
from smartmoney.adapters.ccxt_asking import CLOSED, Retry, answered
from smartmoney.adapters.ccxt_lazily import exchange_class
from smartmoney.adapters.clock import Clock
from smartmoney.adapters.feed import FeedStatus
from smartmoney.adapters.websocket_transport import LOOPBACK, InsecureAddressError, check_address
from smartmoney.core.domain.entries import FeedConnected, FeedDisconnected
from smartmoney.core.domain.instruments import Instrument
from smartmoney.venues.unified import (
    MAKER_SIDE_VENUES,
    Grid,
    RecentIds,
    Shown,
    UnifiedError,
    addresses,
    encode_change,
    encode_shown,
    encode_trade,
    grid_of,
    instrument_of,
    merge_urls,
    shown_book,
)

_NS = 1_000_000_000
_MS = 1_000_000
_log = structlog.get_logger("smartmoney.feed")


class UnifiedSink(Protocol):
    """Be where a ccxt feed delivers. No method may block or raise."""

    def frame(self, connection: int, raw: bytes) -> bool:
        """Take a frame, of a trade or of a book's change; False when there is no room for it."""
        ...

    def snapshot(self, connection: int, instrument: int, raw: bytes) -> bool:
        """Take a snapshot body, an inbox entry of kind SNAPSHOT; False when there is no room for it."""
        ...

    def event(self, payload: FeedConnected | FeedDisconnected) -> None:
        """Take a change of connection."""
        ...


class UnifiedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure a ccxt feed, in seconds. `silent_s`: no book and no trade of any instrument."""

    silent_s: float = 30.0
    watch_interval_s: float = 1.0
    book_interval_s: float = 0.1
    backoff: BackoffPolicy = BackoffPolicy()


class _Watched:
    """Hold what is known of one instrument."""

    def __init__(self, index: int, instrument: Instrument, grid: Grid) -> None:
        self.index = index
        self.market = instrument.market
        self.name = instrument.name
        self.grid = grid
        self.connection = 0
        self.connected = False
        self.seen = RecentIds()
        self.book: Mapping[str, Any] | None = None
        self.shown: Shown | None = None
        """The book as it was sent last; None: the next one must be whole."""
        self.sent_ns = 0


async def open_exchange(
    exchange_id: str,
    names: Sequence[str],
    *,
    urls: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    is_rehearsal: bool = False,
) -> Any:
    """Return ccxt.pro's exchange with its markets loaded; `close` it (a `CcxtFeed` does).

    `urls` is laid over ccxt's own addresses, `options` over its options; a rehearsal forgets every address that is not on this machine.
    On the Binance classes only the kinds of market that `names` need are loaded, so that an override of one kind is enough.

    Raises:
        UnifiedError: no such exchange, no watchable books or trades there, a wrong address key, or the markets cannot be loaded.
        InsecureAddressError: an overriding address is neither encrypted nor on this machine.
    """
    # Half a second of work, only where it is needed.
    kind = exchange_class("pro", exchange_id)
    if kind is None:
        raise UnifiedError(f"ccxt:{exchange_id}: ccxt.pro has no such exchange")
    from ccxt.base.errors import BaseError

    exchange = kind({"newUpdates": True})
    loaded = False
    try:
        _configure(exchange, names, urls or {}, options or {})
        if is_rehearsal:
            exchange.urls["api"] = only_here(exchange.urls["api"])
            exchange.has = {**exchange.has, "fetchCurrencies": False}
        await exchange.load_markets()
        loaded = True
    except BaseError as failure:
        raise UnifiedError(f"ccxt:{exchange_id}: markets cannot be loaded: {type(failure).__name__}: {failure}") from failure
    finally:
        if not loaded:
            await exchange.close()
    return exchange


def _configure(exchange: Any, names: Sequence[str], urls: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    missing = [call for call in ("watchOrderBook", "watchTrades") if not exchange.has.get(call)]
    if missing:
        raise UnifiedError(f"ccxt:{exchange.id}: ccxt.pro offers no {' and no '.join(missing)} there")
    for address in addresses(urls):
        check_either(address)
    exchange.urls = merge_urls(exchange.urls, urls)
    if exchange.id.startswith("binance"):
        kinds = sorted({_binance_kind(name) for name in names})
        exchange.options["fetchMarkets"] = {**(exchange.options.get("fetchMarkets") or {}), "types": kinds}
    exchange.options.update(options)


def only_here(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree of addresses without those that are not on this machine."""
    return {
        key: only_here(value) if isinstance(value, Mapping) else value if urlsplit(str(value)).hostname in LOOPBACK else ""
        for key, value in tree.items()
    }


def check_either(address: str) -> None:
    """Refuse an address, of a socket or not, that is neither encrypted nor on this machine. Raises: InsecureAddressError."""
    try:
        check_address(address, "wss", "ws")
    except InsecureAddressError:
        check_address(address, "https", "http")


def _binance_kind(name: str) -> str:
    pair, contract, settled = name.partition(":")
    if not contract:
        return "spot"
    quote = pair.partition("/")[2]
    return "linear" if settled.partition("-")[0] == quote else "inverse"


def instruments_of(exchange: Any, names: Sequence[str]) -> tuple[tuple[Instrument, Decimal], ...]:
    """Return, per name (ccxt's unified symbol, or the venue's own), the instrument and the base units of one ccxt amount.

    Raises:
        UnifiedError: unknown, inactive, or two names that frames could not tell apart.
    """
    found: list[tuple[Instrument, Decimal]] = []
    for name in names:
        known = exchange.markets.get(name) or next(iter(exchange.markets_by_id.get(name) or ()), None)
        if known is None:
            raise UnifiedError(f"{name}: ccxt:{exchange.id} has no such market; ccxt writes BTC/USDT for spot, BTC/USDT:USDT for a swap")
        found.append(instrument_of(f"ccxt:{exchange.id}", known, exchange.precisionMode))
    symbols = [instrument.symbol for instrument, _ in found]
    if len(set(symbols)) != len(symbols):
        raise UnifiedError(f"ccxt:{exchange.id}: {', '.join(names)}: two of them share one venue symbol; run them in two daemons")
    return tuple(found)


class CcxtFeed:
    """Watch instruments through an exchange from `open_exchange`, which it owns from then on. One `run`, from one event loop."""

    proves_sequence = False
    """ccxt shows books, not the venue's sequence: nothing here can prove that none was missed."""

    def __init__(
        self,
        exchange: Any,
        instruments: Sequence[tuple[Instrument, Decimal]],
        sink: UnifiedSink,
        *,
        clock: Clock,
        jitter: Random,
        policy: UnifiedPolicy | None = None,
    ) -> None:
        self._exchange = exchange
        self._sink = sink
        self._clock = clock
        self._jitter = jitter
        self._policy = policy or UnifiedPolicy()
        self._side_is_makers = exchange.id in MAKER_SIDE_VENUES
        self._watched = [
            _Watched(index, instrument, grid_of(instrument, contract_size)) for index, (instrument, contract_size) in enumerate(instruments)
        ]
        self._number = 0
        self._connections = 0
        self._traffic_ns = 0
        self._has_run = False
        self._stopping = asyncio.Event()
        self._dropping = asyncio.Event()
        self._drop_reason = ""
        self._may_ask = asyncio.Event()
        self._may_ask.set()
        self._asks: set[asyncio.Future[Any]] = set()
        self._torn_down = 0
        """How often all connections were given up; what was asked before the last time speaks of a connection that is gone."""
        self._losses = 0
        self._frames = 0
        self._refused = 0
        self._last_failure = ""

    def status(self) -> FeedStatus:
        """Return the counters, as a native feed does; a lane is an instrument here."""
        return FeedStatus(
            lanes=len(self._watched),
            connected=sum(watched.connected for watched in self._watched),
            attempts=self._connections,
            losses=self._losses,
            renewals=0,
            frames=self._frames,
            refused=self._refused,
            last_failure=self._last_failure,
        )

    async def run(self) -> None:
        """Deliver until `close` is called, then release ccxt's connections."""
        self._has_run = True
        self._traffic_ns = self._clock.monotonic_ns()
        loops: list[asyncio.Task[None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for watched in self._watched:
                    loops.append(group.create_task(self._books(watched)))
                    loops.append(group.create_task(self._trades(watched)))
                    loops.append(group.create_task(self._flushes(watched)))
                loops.append(group.create_task(self._silence()))
                loops.append(group.create_task(self._drops()))
                await self._stopping.wait()
                for loop in loops:
                    loop.cancel()
        finally:
            await self._exchange.close()

    def reconnect(self, reason: str, instrument: int | None = None) -> None:
        """Tear down and rebuild ccxt's connections. It keeps instruments on shared ones, so all of them go, whichever is named."""
        if instrument is None or any(watched.index == instrument for watched in self._watched):
            self._drop_all(reason)

    def show_whole(self, instrument: int) -> None:
        """Send the next book of an instrument whole: the one that is followed was dropped."""
        for watched in self._watched:
            if watched.index == instrument:
                watched.shown = None

    async def close(self) -> None:
        """End `run`; release ccxt's connections where it was never begun."""
        self._stopping.set()
        if not self._has_run:
            await self._exchange.close()

    # The loops.

    async def _books(self, watched: _Watched) -> None:
        retry = Retry(self._policy.backoff, self._jitter)
        while True:
            book = await self._ask(watched, lambda: self._exchange.watch_order_book(watched.name), retry)
            if book is None:
                continue
            watched.book = book
            if not watched.connected:
                self._connect(watched)
            if self._clock.monotonic_ns() - watched.sent_ns >= self._policy.book_interval_s * _NS:
                self._send_book(watched)

    async def _flushes(self, watched: _Watched) -> None:
        """Send what came too soon after the book before it, so that a quiet moment never shows a stale book."""
        while True:
            await self._clock.sleep(self._policy.book_interval_s)
            self._send_book(watched)

    async def _trades(self, watched: _Watched) -> None:
        retry = Retry(self._policy.backoff, self._jitter)
        while True:
            trades = await self._ask(watched, lambda: self._exchange.watch_trades(watched.name), retry)
            if trades is None:
                continue
            for trade in trades:
                self._send_trade(watched, trade)

    async def _silence(self) -> None:
        while True:
            await self._clock.sleep(self._policy.watch_interval_s)
            if self._clock.monotonic_ns() - self._traffic_ns > self._policy.silent_s * _NS:
                self._drop_all(f"silent: no book and no trade for {self._policy.silent_s:g} s")

    async def _drops(self) -> None:
        """Report every instrument as lost and close ccxt's sockets, when asked to; the other loops see a failure and ask again after it."""
        while True:
            await self._dropping.wait()
            self._dropping.clear()
            for watched in self._watched:
                self._lose(watched, self._drop_reason)
            # ccxt forgets its sockets only when the last of them is closed; asked before, it would wait for ever on one that it forgets.
            self._may_ask.clear()
            self._torn_down += 1
            await self._exchange.close_ws_clients()
            for ask in self._asks:
                ask.cancel()
            self._may_ask.set()

    async def _ask(self, watched: _Watched, call: Callable[[], Awaitable[Any]], retry: Retry) -> Any:
        """Return what ccxt gives, or None after a failure that was reported and waited for."""
        await self._may_ask.wait()
        torn_down = self._torn_down
        ask = asyncio.ensure_future(call())
        self._asks.add(ask)
        try:
            answer, reason = await answered(ask)
        finally:
            self._asks.discard(ask)
        if not reason and torn_down == self._torn_down:
            self._traffic_ns = self._clock.monotonic_ns()
            retry.note_answer(self._traffic_ns)
            return answer
        # What was given in the instant in which its connection was given up would pass for the next connection's first book.
        self._lose(watched, reason or CLOSED)
        await self._clock.sleep(retry.delay_s(self._clock.monotonic_ns()))
        return None

    # What they deliver.

    def _connect(self, watched: _Watched) -> None:
        self._connections += 1
        watched.connection = self._connections
        watched.connected = True
        self._sink.event(FeedConnected(connection=watched.connection, instruments=(watched.index,)))

    def _lose(self, watched: _Watched, reason: str) -> None:
        self._last_failure = reason
        _log.warning("ccxt_feed_failed", instrument=watched.name, reason=reason)
        if not watched.connected:
            return
        watched.connected = False
        watched.book = watched.shown = None
        self._losses += 1
        self._sink.event(FeedDisconnected(connection=watched.connection, instruments=(watched.index,), reason=reason))

    def _drop_all(self, reason: str) -> None:
        self._traffic_ns = self._clock.monotonic_ns()
        self._drop_reason = reason
        self._dropping.set()

    def _send_book(self, watched: _Watched) -> None:
        book = watched.book
        if book is None:
            return
        watched.book = None
        watched.sent_ns = self._clock.monotonic_ns()
        before, ts_event_ms = watched.shown, self._event_ms(book)
        after = shown_book(watched.grid, book["bids"], book["asks"], number=self._next_number())
        if before is None:
            is_taken = self._sink.snapshot(watched.connection, watched.index, encode_shown(after, ts_event_ms=ts_event_ms))
        else:
            raw = encode_change(watched.grid, watched.market, before, after, ts_event_ms=ts_event_ms)
            is_taken = self._sink.frame(watched.connection, raw)
        # What was not taken cannot be built upon.
        watched.shown = after if is_taken else None
        self._count(is_taken)

    def _send_trade(self, watched: _Watched, trade: Mapping[str, Any]) -> None:
        identifier = trade.get("id")
        if identifier is not None and not watched.seen.is_new(str(identifier)):
            return
        raw = encode_trade(
            watched.grid,
            trade,
            number=self._next_number(),
            ts_event_ms=self._event_ms(trade),
            side_is_makers=self._side_is_makers,
        )
        if raw is not None:
            self._count(self._sink.frame(watched.connection, raw))

    def _next_number(self) -> int:
        self._number = max(self._number + 1, self._clock.wall_ns() // _MS)
        return self._number

    def _event_ms(self, shown: Mapping[str, Any]) -> int:
        """Return the venue's time, or ours where the venue gives none."""
        stamp = shown.get("timestamp")
        return int(stamp) if isinstance(stamp, int | float) and 0 < stamp < 1e15 else self._clock.wall_ns() // _MS

    def _count(self, accepted: bool) -> None:
        self._frames += 1
        self._refused += not accepted

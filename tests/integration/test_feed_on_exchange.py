"""The native feed and the ccxt feed against the built-in exchange, judged by the real decoder and the exchange's own snapshots."""

import asyncio
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import numpy as np
import pytest

from smartmoney.adapters.ccxt_feed import CcxtFeed, instruments_of, open_exchange
from smartmoney.adapters.ccxt_funding import CcxtFunding, beside
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.adapters.exchange_site import Endpoints
from smartmoney.adapters.feed import FeedPolicy, MarketFeed
from smartmoney.adapters.rest import VenueRest
from smartmoney.core.book.codes import APPLIED, BUFFER, GAP, IGNORED, SNAPSHOT, TRADE
from smartmoney.core.book.kernel import top_levels
from smartmoney.core.domain.entries import FeedConnected, FeedDisconnected
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.binance.codec import fold_frame, new_states
from smartmoney.venues.binance.protocol import endpoints, plan_connections
from smartmoney.venues.unified import UnifiedError
from tests.waiting import dead_port, until

SPEED = 5.0
"""Simulated seconds a second: a depth frame each 20 ms."""


class Inbox:
    """Collect what arrives, in one order, as (connection, instrument or -1, bytes)."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, bytes]] = []
        self.events: list[FeedConnected | FeedDisconnected] = []

    def frame(self, connection: int, raw: bytes) -> bool:
        self.frames.append((connection, -1, raw))
        return True

    def snapshot(self, connection: int, instrument: int, raw: bytes) -> bool:
        self.frames.append((connection, instrument, raw))
        return True

    def event(self, payload: FeedConnected | FeedDisconnected) -> None:
        self.events.append(payload)


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile the exchange's kernels before anything is served: a loop that compiles for half a minute answers nobody."""
    for book in SyntheticMarket(1, symbols=("BTCUSDT",)).books.values():
        desk = Desk(book, 0)
        streams = [desk.open_stream(kind) for kind in ("depth@100ms", "trade")]
        batch = desk.take(book.advance(2 * 10**9))
        assert all(write is not None and write(batch) for write in streams)
        assert desk.snapshot(1000)


@pytest.fixture
async def exchange(compiled: None) -> AsyncIterator[dict[Market, Endpoints]]:
    server = ExchangeServer(SyntheticMarket(11, symbols=("BTCUSDT",)), time.time_ns() - 10**10, speed=SPEED)
    yield await server.start()
    await server.stop()


def fold(states: Any, raw: bytes, hint: int = -1) -> int:
    return fold_frame(raw, states, hint, time.time_ns()) & 0xFF


def top(states: Any, side: int, count: int = 500) -> list[tuple[int, int]]:
    ticks, lots = np.zeros(count, np.int64), np.zeros(count, np.int64)
    found = top_levels(states[0], side, count, ticks, lots)
    return list(zip(ticks[:found].tolist(), lots[:found].tolist(), strict=True))


def rebuilt(instrument: Instrument, snapshot: bytes, frames: list[bytes]) -> tuple[Any, dict[int, int]]:
    """Return the states after a snapshot and the frames after it, and how often each code came."""
    states = new_states([instrument], FeatureParameters())
    codes: dict[int, int] = {}
    for raw, hint in [(snapshot, 0), *((frame, -1) for frame in frames)]:
        code = fold(states, raw, hint)
        codes[code] = codes.get(code, 0) + 1
    return states, codes


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
async def test_book_from_diffs_over_a_planned_renewal_equals_the_exchanges_own(exchange: dict[Market, Endpoints], market: Market) -> None:
    where = endpoints(market, rest=exchange[market].rest, stream=exchange[market].ws)
    clock, inbox = SystemClock(), Inbox()
    rest = VenueRest(market, where.rest, clock=clock, jitter=Random(1))
    (instrument,) = await rest.instruments(("BTC/USDT",))
    policy = FeedPolicy(renew_after_s=0.8, renew_jitter_s=0.0, overlap_s=0.1)
    feed = MarketFeed(plan_connections(market, where.stream, [instrument]), inbox, clock=clock, jitter=Random(2), policy=policy)
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: len(inbox.frames) > 5)
        before = await rest.depth_snapshot(instrument.symbol)
        await until(lambda: feed.renewals >= 1 and len([f for f in inbox.frames if f[0] > 1]) > 50)
        after = await rest.depth_snapshot(instrument.symbol)
        seen = len(inbox.frames)
        await until(lambda: len(inbox.frames) > seen + 30)
    finally:
        await feed.close()
        await running
        await rest.close()

    frames = [raw for _, _, raw in inbox.frames]
    long, codes = rebuilt(instrument, before, frames)
    short, _ = rebuilt(instrument, after, frames)
    assert codes.get(GAP, 0) == codes.get(BUFFER, 0) == 0
    assert codes[SNAPSHOT] == 1
    assert codes[APPLIED] > 20
    assert codes[TRADE] > 0
    assert codes[IGNORED] > 0, "the overlap must have delivered something twice"
    assert set(codes) == {SNAPSHOT, APPLIED, TRADE, IGNORED}
    assert long[0]["last_update_id"] == short[0]["last_update_id"]
    for side in (0, 1):
        assert len(top(long, side)) > 20
        assert top(long, side) == top(short, side)
    assert [type(event) for event in inbox.events] == [FeedConnected] * len(inbox.events)
    assert [event.planned for event in inbox.events if isinstance(event, FeedConnected)][:2] == [False, True]


def ccxt_urls(exchange: dict[Market, Endpoints]) -> dict[str, Any]:
    spot, usdm = exchange[Market.SPOT], exchange[Market.USDM]
    return {
        "api": {
            "public": f"{spot.rest}/api/v3",
            "fapiPublic": f"{usdm.rest}/fapi/v1",
            "ws": {"spot": f"{spot.ws}/stream", "linear": f"{usdm.ws}/ws"},
        }
    }


@pytest.mark.parametrize(("name", "market"), [("BTC/USDT", Market.SPOT), ("BTC/USDT:USDT", Market.USDM)])
async def test_ccxts_own_binance_feeds_book_and_trades(exchange: dict[Market, Endpoints], name: str, market: Market) -> None:
    clock, inbox = SystemClock(), Inbox()
    client = await open_exchange("binance", [name], urls=ccxt_urls(exchange))
    found = instruments_of(client, [name])
    feed = CcxtFeed(client, found, inbox, clock=clock, jitter=Random(3))
    running = asyncio.create_task(feed.run())
    try:
        await until(
            lambda: any(b"depthUpdate" in raw for _, _, raw in inbox.frames[5:]) and any(b'"trade"' in raw for _, _, raw in inbox.frames)
        )
        feed.reconnect("test")
        seen = len(inbox.frames)
        await until(lambda: len(inbox.events) >= 3 and len(inbox.frames) > seen + 10, seen=lambda: inbox.events)
    finally:
        await feed.close()
        await running
    instrument = found[0][0]
    assert (instrument.venue, instrument.market, instrument.symbol, instrument.name) == ("ccxt:binance", market, "BTCUSDT", name)
    assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected, FeedConnected]
    states = new_states([instrument], FeatureParameters())
    codes = [fold(states, raw, hint) for _, hint, raw in inbox.frames]
    # Whole at the beginning and after the loss, changes otherwise.
    assert set(codes) == {SNAPSHOT, APPLIED, TRADE}
    assert codes.count(SNAPSHOT) == 2
    assert states[0]["crossed"] == 0
    bids, asks = top(states, 0), top(states, 1)
    assert len(bids) > 20
    assert bids[0][0] < asks[0][0]
    touch = instrument.price(bids[0][0])
    assert 0 < touch < 10**6


@pytest.mark.parametrize("last", [0, 1])
async def test_ccxts_feed_comes_back_where_one_socket_takes_longer_to_close_than_the_other(
    exchange: dict[Market, Endpoints], monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    clock, inbox = SystemClock(), Inbox()
    client = await open_exchange("binance", ["BTC/USDT"], urls=ccxt_urls(exchange))
    from ccxt.async_support.base.ws.client import Client

    closes = Client.aiohttp_close

    async def slowly(self: Any) -> None:
        if self is sockets[last]:
            await asyncio.sleep(2.0)  # several times as long as the feed waits before it asks again
        await closes(self)

    monkeypatch.setattr(Client, "aiohttp_close", slowly)
    feed = CcxtFeed(client, instruments_of(client, ["BTC/USDT"]), inbox, clock=clock, jitter=Random(3))
    running = asyncio.create_task(feed.run())
    try:
        await until(lambda: all(any(kind in raw for _, _, raw in inbox.frames) for kind in (b"depthUpdate", b'"trade"')))
        sockets = list(client.clients.values())
        feed.reconnect("test")
        seen = len(inbox.frames)
        await until(lambda: len(inbox.events) >= 3 and len(inbox.frames) > seen + 30, seen=lambda: inbox.events)
        assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected, FeedConnected]
        await until(lambda: any(b'"trade"' in raw for _, _, raw in inbox.frames[seen:]))
        assert list(client.clients.values()) != sockets
        assert len(client.clients) == 2
    finally:
        await feed.close()
        await running


async def test_unknown_exchange_and_unreachable_markets_are_refused_with_the_reason(exchange: dict[Market, Endpoints]) -> None:
    with pytest.raises(UnifiedError, match=r"ccxt:binanze: ccxt\.pro has no such exchange"):
        await open_exchange("binanze", ["BTC/USDT"])
    with dead_port() as port, pytest.raises(UnifiedError, match="markets cannot be loaded"):
        await open_exchange("binance", ["BTC/USDT"], urls={"api": {"public": f"http://127.0.0.1:{port}/api/v3"}})
    with pytest.raises(UnifiedError, match=r"urls\.api\.pubic: this exchange has no such address"):
        await open_exchange("binance", ["BTC/USDT"], urls={"api": {"pubic": "https://x"}})
    with pytest.raises(ValueError, match="must be https"):
        await open_exchange("binance", ["BTC/USDT"], urls={"api": {"public": "http://example.com/api/v3"}})


async def test_ccxts_own_binance_tells_of_funding_beside_the_books(exchange: dict[Market, Endpoints]) -> None:
    name = "BTC/USDT:USDT"
    client = await open_exchange("binance", [name], urls=ccxt_urls(exchange))
    ((instrument, _),) = instruments_of(client, [name])
    states, marks = new_states([instrument], FeatureParameters()), []

    def take(_connection: int, raw: bytes) -> bool:
        marks.append(raw)
        fold(states, raw, -1)
        return True

    follower = CcxtFunding(beside(client), [instrument], take, clock=SystemClock(), jitter=Random(3))
    running = asyncio.create_task(follower.run())
    try:
        await until(lambda: len(marks) >= 3, seen=lambda: marks)
    finally:
        await follower.close()
        await running
        await client.close()
    told = KernelDepth(states, 0, lambda: True).funding()
    assert told is not None
    assert told.next.at_ns % (8 * 3_600 * 10**9) == 0
    assert told.next.mark > 1_000
    assert abs(told.next.rate) < 1

"""The ccxt feed against a hand-written exchange that behaves as ccxt.pro does, time by a jump clock."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any

import ccxt
import pytest

from smartmoney.adapters.ccxt_feed import CcxtFeed, UnifiedPolicy, instruments_of
from smartmoney.adapters.clock import JumpClock
from smartmoney.core.domain.entries import FeedConnected, FeedDisconnected
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.unified import UnifiedError

Answer = dict[str, Any] | list[dict[str, Any]] | BaseException


class Exchange:
    """Answer `watch_*` as ccxt.pro does: each call waits for news; closing its sockets cancels the waiting futures."""

    def __init__(self, exchange_id: str = "kraken") -> None:
        self.id = exchange_id
        self.calls = {"book": 0, "trades": 0}
        self.closed = False
        self.sockets_closed = 0
        self.is_slow_to_close: asyncio.Event | None = None
        self._futures: dict[str, asyncio.Future[Any]] = {}

    async def watch_order_book(self, name: str) -> Any:
        return await self._wait("book")

    async def watch_trades(self, name: str) -> Any:
        return await self._wait("trades")

    async def _wait(self, what: str) -> Any:
        self.calls[what] += 1
        future = self._futures[what] = asyncio.get_running_loop().create_future()
        return await future

    async def close_ws_clients(self) -> None:
        self.sockets_closed += 1
        for future in self._futures.values():
            future.cancel()
        if self.is_slow_to_close is not None:
            await self.is_slow_to_close.wait()
        # Who asked meanwhile waits for a socket that is forgotten here, and for ever.
        self._futures.clear()

    async def close(self) -> None:
        self.closed = True

    async def give(self, what: str, answer: Answer) -> None:
        future = self._futures[what]
        assert not future.done(), f"nobody waits for {what}"
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        await turn()


class Inbox:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.room = True

    def frame(self, connection: int, raw: bytes) -> bool:
        body = json.loads(raw)
        self.log.append(("change" if body["e"] == "depthUpdate" else "trade", connection, body))
        return self.room

    def snapshot(self, connection: int, instrument: int, raw: bytes) -> bool:
        self.log.append(("book", connection, json.loads(raw)))
        return self.room

    def event(self, payload: FeedConnected | FeedDisconnected) -> None:
        self.log.append(payload)

    def bodies(self, what: str) -> list[dict[str, Any]]:
        return [item[2] for item in self.log if isinstance(item, tuple) and item[0] == what]

    @property
    def events(self) -> list[Any]:
        return [item for item in self.log if not isinstance(item, tuple)]


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def btc() -> Instrument:
    return Instrument(
        venue="ccxt:kraken",
        market=Market.SPOT,
        symbol="XXBTZUSD",
        name="BTC/USD",
        base="BTC",
        quote="USD",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.0001"),
    )


def book(bid: float, **more: Any) -> dict[str, Any]:
    return {"bids": [[bid, 1.0]], "asks": [[bid + 0.1, 2.0]], "timestamp": 1_700_000_000_123, **more}


def trade(identifier: str | None, side: str = "sell", **more: Any) -> dict[str, Any]:
    return {"id": identifier, "side": side, "price": 100.1, "amount": 0.5, "timestamp": 1_700_000_000_456, **more}


@asynccontextmanager
async def feeding(exchange: Exchange, inbox: Inbox, clock: JumpClock, policy: UnifiedPolicy | None = None) -> AsyncIterator[CcxtFeed]:
    feed = CcxtFeed(exchange, [(btc(), Decimal(1))], inbox, clock=clock, jitter=Random(3), policy=policy)
    task = asyncio.create_task(feed.run())
    await turn()
    try:
        yield feed
        assert not task.done()
    finally:
        await feed.close()
        await task
        assert exchange.closed


async def test_first_book_connects_and_is_sent_on_the_grid_with_the_venues_time() -> None:
    exchange, inbox = Exchange(), Inbox()
    async with feeding(exchange, inbox, JumpClock()) as feed:
        await exchange.give("book", book(100.0))
        assert inbox.log[0] == FeedConnected(connection=1, instruments=(0,), planned=False)
        (body,) = inbox.bodies("book")
        assert (body["bids"], body["asks"], body["E"]) == ([["100.0", "1.0000"]], [["100.1", "2.0000"]], 1_700_000_000_123)
        assert feed.proves_sequence is False


async def test_numbers_rise_over_books_and_trades_and_start_at_the_wall_clock() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock(wall_ns=1_800_000_000_000_000_000)
    async with feeding(exchange, inbox, clock):
        for n in range(3):
            await exchange.give("book", book(100.0 + n))
            await exchange.give("trades", [trade(str(n))])
            await clock.advance(0.2)
    numbers = [
        body.get("lastUpdateId") or body.get("u") or body["t"] for item in inbox.log if isinstance(item, tuple) for body in [item[2]]
    ]
    assert len(numbers) == 6
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1_800_000_000_000


async def test_trade_shown_twice_counts_once_and_trades_without_an_id_always() -> None:
    exchange, inbox = Exchange(), Inbox()
    async with feeding(exchange, inbox, JumpClock()):
        await exchange.give("trades", [trade("a"), trade("b")])
        await exchange.give("trades", [trade("b"), trade("c"), trade(None), trade(None)])
        assert len(inbox.bodies("trade")) == 5
        assert all(body["m"] is True for body in inbox.bodies("trade"))


async def test_coinbase_sides_are_the_makers_and_are_inverted() -> None:
    exchange, inbox = Exchange("coinbase"), Inbox()
    async with feeding(exchange, inbox, JumpClock()):
        await exchange.give("trades", [trade("a", "sell"), trade("b", "buy")])
        assert [body["m"] for body in inbox.bodies("trade")] == [False, True]


async def test_burst_of_books_sends_the_first_at_once_and_the_last_after_the_interval() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock):
        for n in range(20):
            await exchange.give("book", book(100.0 + n))
        assert [body["bids"][0][0] for body in inbox.bodies("book")] == ["100.0"]
        await clock.advance(0.1)
        assert len(inbox.bodies("book")) == 1, "only the first is whole"
        (change,) = inbox.bodies("change")
        assert sorted(change["b"]) == [["100.0", "0"], ["119.0", "1.0000"]]
        assert change["U"] == inbox.bodies("book")[0]["lastUpdateId"] + 1 <= change["u"]
        await clock.advance(5.0)
        assert len(inbox.bodies("change")) == 1


@pytest.mark.parametrize(
    "failure",
    [
        ccxt.NetworkError("gone"),
        ccxt.ChecksumError("book"),
        ccxt.ExchangeError("odd"),
        ConnectionResetError(),
        KeyError("price"),
        TypeError("NoneType"),
        TimeoutError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_failure_is_reported_once_and_asked_again_after_a_wait(failure: Exception) -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock) as feed:
        await exchange.give("book", book(100.0))
        await exchange.give("book", failure)
        await exchange.give("trades", failure)
        assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected]
        assert exchange.calls["book"] == 2
        await clock.advance(0.6)
        assert exchange.calls["book"] == 3
        await exchange.give("book", book(101.0))
        assert inbox.events[2] == FeedConnected(connection=2, instruments=(0,), planned=False)
        assert feed.status().losses == 1


async def test_failing_for_ever_waits_longer_and_longer() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock, UnifiedPolicy(silent_s=1e9)):
        for _ in range(12):
            await exchange.give("book", ccxt.NetworkError("down"))
            calls = exchange.calls["book"]
            await clock.advance(30.0)
            assert exchange.calls["book"] == calls + 1
        await exchange.give("book", ccxt.NetworkError("down"))
        calls = exchange.calls["book"]
        await clock.advance(14.9)
        assert exchange.calls["book"] == calls
        assert inbox.events == []


async def test_silence_closes_the_sockets_and_starts_again() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock):
        await exchange.give("book", book(100.0))
        await clock.advance(29.0)
        assert exchange.sockets_closed == 0
        await clock.advance(3.0)
        assert exchange.sockets_closed == 1
        assert isinstance(inbox.events[1], FeedDisconnected)
        assert inbox.events[1].reason.startswith("silent")
        await exchange.give("book", book(100.0))
        assert inbox.events[2] == FeedConnected(connection=2, instruments=(0,), planned=False)


async def test_reconnect_on_command_reports_its_reason() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock) as feed:
        await exchange.give("book", book(100.0))
        feed.reconnect("other instrument", instrument=5)
        await turn()
        assert exchange.sockets_closed == 0
        feed.reconnect("book implausible", instrument=0)
        await turn()
        assert inbox.events[1] == FeedDisconnected(connection=1, instruments=(0,), reason="book implausible")
        await clock.advance(1.0)
        await exchange.give("book", book(100.0))
        assert len(inbox.events) == 3


async def test_sockets_that_are_slow_to_close_are_waited_for_before_anything_is_asked_again() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock) as feed:
        await exchange.give("book", book(100.0))
        exchange.is_slow_to_close = asyncio.Event()
        asked = dict(exchange.calls)
        feed.reconnect("test")
        await turn()
        await clock.advance(5.0)
        assert exchange.sockets_closed == 1
        assert exchange.calls == asked, "the time to ask again has come, but the sockets are not closed"
        exchange.is_slow_to_close.set()
        await turn()
        await exchange.give("book", book(101.0))
        assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected, FeedConnected]


async def test_a_question_that_ccxt_forgets_when_it_closes_its_sockets_is_asked_again() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock) as feed:
        await exchange.give("book", book(100.0))
        exchange._futures.clear()  # it waits for a socket that is only being made, which ccxt does not know of yet
        asked = dict(exchange.calls)
        feed.reconnect("test")
        await turn()
        await clock.advance(5.0)
        assert exchange.calls == {what: count + 1 for what, count in asked.items()}
        await exchange.give("book", book(101.0))
        assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected, FeedConnected]


@pytest.mark.parametrize("what", ["book", "trades"])
async def test_what_comes_in_the_instant_in_which_its_connection_is_given_up_is_not_taken(what: str) -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock) as feed:
        await exchange.give("book", book(100.0))
        exchange.is_slow_to_close = asyncio.Event()
        feed.reconnect("test")
        exchange._futures[what].set_result(book(99.0) if what == "book" else [trade("1")])  # not yet seen by the feed, nor is the command
        await turn()
        exchange.is_slow_to_close.set()
        await turn()
        assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected], "not yet connected again"
        await clock.advance(5.0)
        await exchange.give("book", book(101.0))
        assert [type(event) for event in inbox.events] == [FeedConnected, FeedDisconnected, FeedConnected]
        await clock.advance(5.0)
        assert [body["bids"][0][0] for body in inbox.bodies("book")] == ["100.0", "101.0"]
        assert inbox.bodies("trade") == []


async def test_book_of_a_lost_connection_is_not_sent_afterwards() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock):
        await exchange.give("book", book(100.0))
        await exchange.give("book", book(105.0))  # waits for the interval
        await exchange.give("book", ccxt.NetworkError("gone"))
        await clock.advance(0.2)
        assert [body["bids"][0][0] for body in inbox.bodies("book")] == ["100.0"]


async def test_a_book_is_whole_again_after_a_refusal_and_when_it_was_asked_for() -> None:
    exchange, inbox, clock = Exchange(), Inbox(), JumpClock()
    async with feeding(exchange, inbox, clock) as feed:
        for bid, has_room in ((100.0, True), (101.0, False), (102.0, True), (103.0, True)):
            inbox.room = has_room
            await exchange.give("book", book(bid))
            await clock.advance(0.2)
        feed.show_whole(0)
        await exchange.give("book", book(104.0))
        kinds = [item[0] for item in inbox.log if isinstance(item, tuple)]
        assert kinds == ["book", "change", "book", "change", "book"]
        assert [body["bids"][0][0] for body in inbox.bodies("book")] == ["100.0", "102.0", "104.0"]


async def test_refused_frames_are_counted() -> None:
    exchange, inbox = Exchange(), Inbox()
    inbox.room = False
    async with feeding(exchange, inbox, JumpClock()) as feed:
        await exchange.give("trades", [trade("a"), trade("b", "?")])
        assert (feed.status().frames, feed.status().refused) == (1, 1)


class Markets:
    id = "x"
    precisionMode = 4

    def __init__(self, *markets: dict[str, Any]) -> None:
        self.markets = {market["symbol"]: market for market in markets}
        self.markets_by_id: dict[str, list[dict[str, Any]]] = {}
        for market in markets:
            self.markets_by_id.setdefault(market["id"], []).append(market)


def described(symbol: str, identifier: str) -> dict[str, Any]:
    return {"symbol": symbol, "id": identifier, "spot": True, "precision": {"price": 0.1, "amount": 0.1}, "limits": {}}


def test_market_is_found_by_either_name_and_an_unknown_one_is_refused() -> None:
    exchange = Markets(described("BTC/USD", "XXBTZUSD"))
    assert [i.name for i, _ in instruments_of(exchange, ["BTC/USD"])] == [i.name for i, _ in instruments_of(exchange, ["XXBTZUSD"])]
    with pytest.raises(UnifiedError, match="no such market"):
        instruments_of(exchange, ["BTC/EUR"])


def test_two_markets_with_one_symbol_are_refused_because_frames_could_not_tell_them_apart() -> None:
    exchange = Markets(described("BTC/USDT", "BTCUSDT"), described("BTC/USDT:USDT", "BTCUSDT"))
    with pytest.raises(UnifiedError, match="share one venue symbol"):
        instruments_of(exchange, ["BTC/USDT", "BTC/USDT:USDT"])

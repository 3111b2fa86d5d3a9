"""The market feed against scripted venues on real loopback sockets; time is a jump clock."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from random import Random

import msgspec
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from smartmoney.adapters.clock import JumpClock
from smartmoney.adapters.connection_budget import ConnectionBudget
from smartmoney.adapters.feed import FeedPolicy, MarketFeed
from smartmoney.adapters.feed_link import LinkPolicy
from smartmoney.adapters.websocket_transport import InsecureAddressError
from smartmoney.core.domain.entries import FeedConnected, FeedDisconnected
from smartmoney.venues.binance.protocol import ConnectionPlan, subscribe
from tests.waiting import until

PATIENT = LinkPolicy(silent_s=1e7, half_open_s=1e7, ping_interval_s=1e7, watch_interval_s=1e7)
"""Watches nothing: for tests that jump over hours in which no real traffic can flow."""


class Inbox:
    """Collect what the feed delivers, in one order."""

    def __init__(self, *, room: int = 10**9) -> None:
        self.log: list[FeedConnected | FeedDisconnected | tuple[int, bytes]] = []
        self.room = room

    def frame(self, connection: int, raw: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.log.append((connection, raw))
        return True

    def event(self, payload: FeedConnected | FeedDisconnected) -> None:
        self.log.append(payload)

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        return [item for item in self.log if isinstance(item, tuple)]

    @property
    def events(self) -> list[FeedConnected | FeedDisconnected]:
        return [item for item in self.log if not isinstance(item, tuple)]

    def numbers(self) -> list[int]:
        return [json.loads(raw)["u"] for _, raw in self.frames if raw.startswith((b'{"e":"depthUpdate"', b'{"e":"markPriceUpdate"'))]


class Venue:
    """A scripted exchange: acknowledges subscriptions and sends numbered frames to whoever subscribed."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[ServerConnection] = []
        self.subscribed: list[ServerConnection] = []
        self.requests: list[dict[str, object]] = []
        self.handshakes = 0
        self.number = 0
        self.on_message: Callable[[ServerConnection, dict[str, object]], Awaitable[None]] = self.acknowledge
        self.refusal: Response | None = None

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            async for message in connection:
                request = json.loads(message)
                self.requests.append(request)
                await self.on_message(connection, request)
        except ConnectionClosed:
            pass
        finally:
            self.connections.remove(connection)
            if connection in self.subscribed:
                self.subscribed.remove(connection)

    def screen(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        return self.refusal

    async def acknowledge(self, connection: ServerConnection, request: dict[str, object]) -> None:
        await connection.send(json.dumps({"result": None, "id": request["id"]}))
        if connection not in self.subscribed:
            self.subscribed.append(connection)

    async def publish(self, count: int = 1) -> None:
        """Send the next numbered frames to every subscriber."""
        for _ in range(count):
            self.number += 1
            await self.send(f'{{"e":"depthUpdate","s":"BTCUSDT","U":{self.number},"u":{self.number},"b":[],"a":[]}}')

    async def publish_mark(self) -> None:
        """Send the next numbered mark price to every subscriber."""
        self.number += 1
        await self.send(f'{{"e":"markPriceUpdate","s":"BTCUSDT","u":{self.number},"p":"1.5","r":"0.0001","T":1}}')

    async def send(self, frame: str | bytes) -> None:
        """Send something to every subscriber."""
        for connection in list(self.subscribed):
            try:
                await connection.send(frame)
            except ConnectionClosed:
                pass


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    scripted = Venue()
    server: Server = await serve(
        scripted.handle, "127.0.0.1", 0, process_request=scripted.screen, ping_interval=None, close_timeout=0.05, compression="deflate"
    )
    scripted.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    yield scripted
    for connection in list(scripted.connections):
        connection.transport.abort()
    server.close()
    await server.wait_closed()


def plan(url: str, messages: int = 1) -> ConnectionPlan:
    streams = tuple(f"s{n}@depth@100ms" for n in range(messages))
    return ConnectionPlan(
        url=url, streams=streams, instruments=(0, 1), subscriptions=tuple((n, subscribe([name], n)) for n, name in enumerate(streams, 1))
    )


@asynccontextmanager
async def feeding(
    venue_url: str,
    inbox: Inbox,
    clock: JumpClock,
    *,
    policy: FeedPolicy | None = None,
    budget: ConnectionBudget | None = None,
    messages: int = 1,
) -> AsyncIterator[MarketFeed]:
    feed = MarketFeed([plan(venue_url, messages)], inbox, clock=clock, jitter=Random(7), policy=policy, budget=budget)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
        assert not task.done(), "the feed's task must survive everything"
    finally:
        await feed.close()
        await task


async def until_advancing(clock: JumpClock, condition: Callable[[], bool], *, within_s: float, step_s: float = 0.5) -> float:
    """Move the clock in steps until something happens; return how long it took on that clock."""
    start_ns = clock.monotonic_ns()
    while not condition():
        assert (clock.monotonic_ns() - start_ns) / 1e9 <= within_s, f"did not happen within {within_s} s of the clock"
        await clock.advance(step_s)
        await asyncio.sleep(0.001)
    return (clock.monotonic_ns() - start_ns) / 1e9


async def connected(venue: Venue, inbox: Inbox) -> None:
    await until(lambda: bool(venue.subscribed))
    await venue.publish()
    await until(lambda: any(isinstance(event, FeedConnected) for event in inbox.events))


async def test_frames_arrive_as_the_bytes_of_the_wire_after_the_connection_is_reported(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await until(lambda: bool(venue.subscribed))
        await venue.subscribed[0].send('{"s": "BTCUSDT",  "é":1}')
        await venue.subscribed[0].send(b"\x00\xff binary")
        await until(lambda: len(inbox.frames) == 2)
        assert inbox.log[0] == FeedConnected(connection=1, instruments=(0, 1), planned=False)
        assert inbox.frames == [(1, '{"s": "BTCUSDT",  "é":1}'.encode()), (1, b"\x00\xff binary")]
        assert type(inbox.frames[0][1]) is bytes
        assert feed.status().connected == 1
        assert venue.requests == [{"method": "SUBSCRIBE", "params": ["s0@depth@100ms"], "id": 1}]


async def test_compression_is_not_negotiated(venue: Venue) -> None:
    inbox = Inbox()
    async with feeding(venue.url, inbox, JumpClock()):
        await until(lambda: bool(venue.subscribed))
        assert "Sec-WebSocket-Extensions" not in venue.subscribed[0].response.headers


async def test_many_subscriptions_are_paced_below_the_message_budget(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock, messages=5, policy=FeedPolicy(link=PATIENT)):
        await until(lambda: len(venue.requests) == 1)
        await clock.advance(0.4)
        await asyncio.sleep(0.005)
        assert len(venue.requests) == 1
        await until_advancing(clock, lambda: len(venue.requests) == 5, within_s=3.0, step_s=0.1)
        assert clock.monotonic_ns() - 1_000_000_000 >= 2_000_000_000
        await until(lambda: bool(inbox.events))


async def test_refused_subscription_is_retried_and_named(venue: Venue) -> None:
    async def refuse(connection: ServerConnection, request: dict[str, object]) -> None:
        await connection.send(json.dumps({"code": 2, "msg": "Invalid request: unknown stream"}))

    venue.on_message = refuse
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await until(lambda: feed.last_failure != "")
        assert feed.last_failure == "subscription refused: 2 Invalid request: unknown stream"
        venue.on_message = venue.acknowledge
        await until_advancing(clock, lambda: bool(inbox.events), within_s=5.0)
        assert inbox.events == [FeedConnected(connection=2, instruments=(0, 1), planned=False)]


async def test_unacknowledged_subscription_is_not_trusted(venue: Venue) -> None:
    async def ignore(connection: ServerConnection, request: dict[str, object]) -> None:
        pass

    venue.on_message = ignore
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await until(lambda: len(venue.requests) == 1)
        await until_advancing(clock, lambda: feed.last_failure != "", within_s=12.0)
        assert feed.last_failure == "1 of 1 subscriptions not acknowledged"
        assert inbox.events == []


async def test_silent_feed_with_answered_pings_is_rebuilt(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock):
        await connected(venue, inbox)
        took_s = await until_advancing(clock, lambda: len(inbox.events) >= 2, within_s=33.0)
        lost = inbox.events[1]
        assert isinstance(lost, FeedDisconnected)
        assert lost.reason.startswith("silent: no frame for 30 s")
        assert took_s > 29.0
        await until_advancing(clock, lambda: len(inbox.events) >= 3, within_s=3.0)
        assert inbox.events[2] == FeedConnected(connection=2, instruments=(0, 1), planned=False)


async def test_half_open_connection_is_found_within_fifteen_seconds(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock):
        await connected(venue, inbox)
        venue.subscribed[0].transport.pause_reading()  # the server is there, and reads and answers nothing any more
        took_s = await until_advancing(clock, lambda: len(inbox.events) >= 2, within_s=15.0)
        lost = inbox.events[1]
        assert isinstance(lost, FeedDisconnected)
        assert lost.reason.startswith("half-open")
        assert took_s > 9.0


async def test_answered_pings_keep_a_slow_feed_alive(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await connected(venue, inbox)
        [lane] = feed._lanes
        link = lane._current.link
        for _ in range(8):
            for _ in range(25):  # 25 s without a frame: below the silence limit, beyond the half-open one
                await clock.advance(1.0)
                # The ping is due each five seconds; its answer comes through a socket, which knows nothing of this clock.
                await until(lambda: clock.monotonic_ns() - link._traffic_ns <= 5 * 10**9 or len(inbox.events) > 1)
            seen = len(inbox.frames)
            await venue.publish()
            await until(lambda seen=seen: len(inbox.frames) > seen)
        assert len(inbox.events) == 1


async def test_planned_renewal_overlaps_and_misses_no_number(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    policy = FeedPolicy(link=PATIENT, renew_after_s=23 * 3600.0, renew_jitter_s=600.0)
    async with feeding(venue.url, inbox, clock, policy=policy) as feed:
        await connected(venue, inbox)
        await venue.publish(50)
        await clock.advance(22.8 * 3600.0)
        assert venue.handshakes == 1
        await clock.advance(0.4 * 3600.0 - 1.0)
        for _ in range(200):
            await venue.publish()
            await clock.advance(0.05)
            if feed.renewals and len(venue.connections) == 1 and len(inbox.events) == 2:
                break
        assert feed.renewals == 1
        await until(lambda: len(venue.connections) == 1)
        await venue.publish(50)
        await until(lambda: inbox.numbers()[-1] == venue.number)
        assert inbox.events[1:] == [FeedConnected(connection=2, instruments=(0, 1), planned=True)]
        assert sorted(set(inbox.numbers())) == list(range(1, venue.number + 1))
        both = {n for c, raw in inbox.frames if c == 1 for n in [json.loads(raw)["u"]]} & {
            n for c, raw in inbox.frames if c == 2 for n in [json.loads(raw)["u"]]
        }
        assert len(both) >= 10, "the overlap must be real"
        assert feed.losses == 0


async def test_server_shutdown_brings_a_new_connection_before_the_old_one_ends(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock, policy=FeedPolicy(link=PATIENT)) as feed:
        await connected(venue, inbox)
        await clock.advance(3600.0)
        old = venue.subscribed[0]
        await old.send('{"e":"serverShutdown","E":1770123456789}')
        for _ in range(200):
            await venue.publish()
            await clock.advance(0.05)
            if feed.renewals and len(venue.connections) == 1:
                break
        await until(lambda: len(venue.connections) == 1)
        await venue.publish()
        await until(lambda: inbox.numbers()[-1] == venue.number)
        assert inbox.events[1:] == [FeedConnected(connection=2, instruments=(0, 1), planned=True)]
        assert sorted(set(inbox.numbers())) == list(range(1, venue.number + 1))
        assert all(b"serverShutdown" not in raw for _, raw in inbox.frames)


async def test_old_connection_lost_before_its_successor_delivers_is_reported_as_a_loss(venue: Venue) -> None:
    async def slow(connection: ServerConnection, request: dict[str, object]) -> None:
        pass

    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock, policy=FeedPolicy(link=PATIENT)):
        await connected(venue, inbox)
        await clock.advance(3600.0)
        venue.on_message = slow
        old = venue.subscribed[0]
        await old.send('{"e":"serverShutdown","E":1}')
        await until(lambda: len(venue.requests) == 2)
        old.transport.abort()
        await until(lambda: len(inbox.events) == 2)
        assert isinstance(inbox.events[1], FeedDisconnected)
        await venue.acknowledge(venue.connections[-1], {"id": 1})
        await until(lambda: len(inbox.events) == 3)
        assert inbox.events[2] == FeedConnected(connection=2, instruments=(0, 1), planned=False)


async def test_failing_renewal_keeps_the_old_connection_delivering(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    policy = FeedPolicy(link=PATIENT, renew_after_s=1000.0, renew_jitter_s=0.0)
    async with feeding(venue.url, inbox, clock, policy=policy) as feed:
        await connected(venue, inbox)
        venue.refusal = Response(503, "Service Unavailable", Headers(), b"")
        await clock.advance(1000.0)
        await until_advancing(clock, lambda: venue.handshakes >= 4, within_s=60.0)
        await venue.publish(10)
        await until(lambda: len(inbox.frames) == 11)
        assert len(inbox.events) == 1
        venue.refusal = None
        await until_advancing(clock, lambda: len(venue.subscribed) == 2, within_s=60.0)
        await venue.publish()
        await until(lambda: feed.renewals == 1)
        assert inbox.events[1] == FeedConnected(connection=feed.attempts, instruments=(0, 1), planned=True)


async def test_reconnect_on_command_is_an_unplanned_loss_with_its_reason(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await connected(venue, inbox)
        feed.reconnect("not of this feed", instrument=9)
        await clock.advance(0.1)
        assert len(inbox.events) == 1
        feed.reconnect("book implausible", instrument=1)
        await until_advancing(clock, lambda: len(inbox.events) == 3, within_s=3.0, step_s=0.1)
        assert inbox.events[1:] == [
            FeedDisconnected(connection=1, instruments=(0, 1), reason="book implausible"),
            FeedConnected(connection=2, instruments=(0, 1), planned=False),
        ]


async def test_a_connection_that_carries_no_book_is_kept_up_and_nothing_is_said_of_it(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    marks = msgspec.structs.replace(plan(venue.url), carries_books=False)
    feed = MarketFeed([marks], inbox, clock=clock, jitter=Random(7), policy=FeedPolicy(link=PATIENT))
    task = asyncio.create_task(feed.run())
    await until(lambda: bool(venue.subscribed))
    await venue.publish_mark()
    await until(lambda: inbox.numbers() == [1])
    feed.reconnect("the book moved on", 0)
    await venue.publish_mark()
    await until(lambda: inbox.numbers() == [1, 2])
    assert venue.handshakes == 1, "it is not what a book's trouble rebuilds"
    await venue.subscribed[0].close()
    await until_advancing(clock, lambda: bool(venue.subscribed), within_s=60)
    await venue.publish_mark()
    await until(lambda: inbox.numbers() == [1, 2, 3])
    assert inbox.events == []
    assert feed.status().losses == 1
    await feed.close()
    await task


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        b"\xff\xfe",
        '{"e":"markPriceUpdate","p":"1',
        "<html>",
        "[" * 10_000,
        '{"e":"news"}',
        '{"e":"markPriceUpdate","b":[["1","2"]]}',
        "[]",
        "1",
    ],
    ids=["cut", "binary", "half", "page", "deep", "unknown", "levels", "list", "number"],
)
async def test_what_comes_beside_the_books_and_is_no_mark_price_costs_no_book_its_trust(venue: Venue, frame: str | bytes) -> None:
    inbox, clock = Inbox(), JumpClock()
    marks = msgspec.structs.replace(plan(venue.url), carries_books=False)
    feed = MarketFeed([marks], inbox, clock=clock, jitter=Random(7), policy=FeedPolicy(link=PATIENT))
    task = asyncio.create_task(feed.run())
    await until(lambda: bool(venue.subscribed))
    await venue.send(frame)
    await venue.publish_mark()
    await until(lambda: bool(inbox.frames))
    assert inbox.numbers() == [1]
    assert feed.status().refused == 1
    await feed.close()
    await task


async def test_a_thousand_flaps_stay_within_the_connection_budget(venue: Venue) -> None:
    """The venue cuts every connection at once; the backoff is made useless on purpose, so only the budget holds."""

    async def cut(connection: ServerConnection, request: dict[str, object]) -> None:
        connection.transport.abort()

    venue.on_message = cut
    inbox, clock = Inbox(), JumpClock()
    policy = msgspec.structs.replace(FeedPolicy(), backoff=msgspec.structs.replace(FeedPolicy().backoff, cap_s=0.1))
    budget = ConnectionBudget(clock, attempts=10, window_s=300.0)
    async with feeding(venue.url, inbox, clock, policy=policy, budget=budget) as feed:
        await until_advancing(clock, lambda: feed.attempts == 10, within_s=20.0, step_s=0.2)
        await clock.advance(250.0)
        assert feed.attempts == 10
        await until_advancing(clock, lambda: feed.attempts == 20, within_s=80.0, step_s=0.5)
        assert venue.handshakes <= 20


async def test_flapping_venue_is_met_with_growing_delays_that_a_stable_minute_forgives(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock, policy=FeedPolicy(link=PATIENT)):
        gaps: list[float] = []
        for n in range(1, 7):
            await until(lambda n=n: len(venue.requests) == n and bool(venue.subscribed))
            venue.subscribed[0].transport.abort()
            await until(lambda n=n: len([e for e in inbox.events if isinstance(e, FeedDisconnected)]) == n)
            gaps.append(await until_advancing(clock, lambda n=n: len(venue.requests) == n + 1, within_s=35.0, step_s=0.05))
        assert gaps[-1] > 5 * gaps[0]
        await until(lambda: bool(venue.subscribed))
        await clock.advance(61.0)
        venue.subscribed[0].transport.abort()
        await until(lambda: len([e for e in inbox.events if isinstance(e, FeedDisconnected)]) == 7)
        assert await until_advancing(clock, lambda: len(venue.requests) == 8, within_s=35.0, step_s=0.05) < 1.0


async def test_too_many_requests_at_the_handshake_is_waited_for(venue: Venue) -> None:
    venue.refusal = Response(HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests", Headers({"Retry-After": "90"}), b"")
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await until(lambda: feed.last_failure == "handshake refused with HTTP 429")
        venue.refusal = None
        await clock.advance(89.0)
        assert venue.handshakes == 1
        await until_advancing(clock, lambda: bool(venue.subscribed), within_s=3.0)


async def test_refused_connection_is_retried_until_the_venue_is_there() -> None:
    inbox, clock = Inbox(), JumpClock()
    address = socket.socket()
    # Bound, so that it is nobody else's, and nobody listens yet: every connection is refused.
    address.bind(("127.0.0.1", 0))
    async with feeding(f"ws://127.0.0.1:{address.getsockname()[1]}/ws", inbox, clock) as feed:
        await until_advancing(clock, lambda: feed.attempts >= 5, within_s=60.0)
        assert "cannot connect" in feed.last_failure
        assert inbox.log == []
        late = Venue()
        async with serve(late.handle, sock=address, close_timeout=0.05):
            await until_advancing(clock, lambda: bool(late.subscribed), within_s=40.0)
            await until(lambda: bool(inbox.events))
            assert inbox.events == [FeedConnected(connection=feed.attempts, instruments=(0, 1), planned=False)]


async def test_handshake_that_never_answers_is_given_up() -> None:
    came = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    inbox, clock = Inbox(), JumpClock()
    async with feeding(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws", inbox, clock) as feed:
        await until(came.is_set, "somebody connects")
        await until_advancing(clock, lambda: feed.last_failure != "", within_s=12.0)
        assert feed.last_failure == "cannot connect: no handshake within 10 s"
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"\x00\x01\x02" * 100 + b"\r\n\r\n", b"x" * 100_000, b""],
    ids=["not a websocket", "binary", "endless line", "empty"],
)
async def test_garbage_instead_of_a_handshake_is_survived(answer: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    inbox, clock = Inbox(), JumpClock()
    async with feeding(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws", inbox, clock) as feed:
        await until_advancing(clock, lambda: feed.attempts >= 3, within_s=30.0)
        assert inbox.log == []
    server.close()
    await server.wait_closed()


async def test_garbage_frames_pass_through_and_an_oversized_one_only_costs_the_connection(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    garbage = [b"", b"{", b"\xff" * 1000, b"[" * 100_000, b'{"result":' + b"[" * 900, b'"code"', b'{"id":1,"result":null']
    async with feeding(venue.url, inbox, clock):
        await connected(venue, inbox)
        for frame in garbage:
            await venue.subscribed[0].send(frame)
        await until(lambda: len(inbox.frames) == 1 + len(garbage))
        assert [raw for _, raw in inbox.frames[1:]] == garbage
        await venue.subscribed[0].send(b"x" * (8 * 1024 * 1024 + 1))
        await until(lambda: len(inbox.events) == 2)
        assert "1009" in inbox.events[1].reason
        assert max(len(raw) for _, raw in inbox.frames) <= 100_000
        await until_advancing(clock, lambda: len(inbox.events) == 3, within_s=3.0)


async def test_broken_websocket_framing_only_costs_the_connection(venue: Venue) -> None:
    inbox, clock = Inbox(), JumpClock()
    async with feeding(venue.url, inbox, clock):
        await connected(venue, inbox)
        venue.subscribed[0].transport.write(b"\xff\xff\xff\xff garbage on the wire")
        await until(lambda: len(inbox.events) == 2)
        assert "1002" in inbox.events[1].reason
        await until_advancing(clock, lambda: len(inbox.events) == 3, within_s=3.0)


async def test_frames_that_the_sink_refuses_are_counted_and_not_kept(venue: Venue) -> None:
    inbox, clock = Inbox(room=3), JumpClock()
    async with feeding(venue.url, inbox, clock) as feed:
        await until(lambda: bool(venue.subscribed))
        await venue.publish(10)
        await until(lambda: feed.frames == 10)
        assert inbox.numbers() == [1, 2, 3]
        assert feed.status().refused == 7
        inbox.room = 10
        await venue.publish()
        await until(lambda: feed.frames == 11)
        assert inbox.numbers() == [1, 2, 3, 11]


async def test_close_ends_with_a_closing_handshake_and_says_nothing(venue: Venue) -> None:
    inbox = Inbox()
    async with feeding(venue.url, inbox, JumpClock()):
        await connected(venue, inbox)
        server_side = venue.subscribed[0]
    await until(lambda: not venue.connections)
    assert server_side.close_code == 1000
    assert len(inbox.events) == 1


def test_unencrypted_address_of_another_host_is_refused() -> None:
    with pytest.raises(InsecureAddressError, match="must be wss"):
        MarketFeed([plan("ws://stream.binance.com/ws")], Inbox(), clock=JumpClock(), jitter=Random(1))

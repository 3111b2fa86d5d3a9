"""The product's own feed, decoder and trust against an exchange that misbehaves: no trust while anything is wrong, and back when it is right.

Everything is stamped with the exchange's clock, which runs five times as fast, so that limits of seconds are reached in fractions of one.
"""

import asyncio
import re
from contextlib import asynccontextmanager
from random import Random

import pytest

from smartmoney.adapters.backoff import BackoffPolicy
from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.feed import FeedPolicy, MarketFeed
from smartmoney.adapters.feed_link import LinkPolicy
from smartmoney.adapters.rest import RestError, RestPolicy, VenueRest
from smartmoney.core.book.codes import FoldCode
from smartmoney.core.book.trust import TrustLimits
from smartmoney.core.domain.commands import ReconnectFeed, RequestSnapshot
from smartmoney.core.domain.entries import Entry, EntryKind, FeedDisconnected
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine.market import Market as Books
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.runtime.codecs import binance_codec
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.binance.protocol import endpoints as venue_endpoints
from smartmoney.venues.binance.protocol import plan_connections
from tests.steady_clock import SteadyClock
from tests.waiting import until

from .faulty import acted, exchange

TICK_S = 0.01
POLICY = FeedPolicy(
    link=LinkPolicy(silent_s=5.0, half_open_s=0.7, ping_interval_s=0.3, watch_interval_s=0.05, open_timeout_s=2.0, ack_timeout_s=2.0),
    backoff=BackoffPolicy(first_s=0.02, cap_s=0.1),
    overlap_s=0.1,
)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Load the kernels before anything is served: a loop that compiles answers nobody, and then all is late."""
    for market in (Market.SPOT, Market.USDM):
        desk = Desk(SyntheticMarket(1, symbols=("BTCUSDT",), markets=(market,)).books[market, "BTCUSDT"], 0)
        books = Books(binance_codec(), [desk.book.instrument], FeatureParameters(), TrustLimits())
        writers = [desk.open_stream(kind) for kind in ("depth@100ms", "trade")]
        snapshot = Entry(seq=1, kind=EntryKind.SNAPSHOT, ts_wall_ns=1, ts_mono_ns=1, frame=desk.snapshot(1000).encode(), instrument=0)
        books.on_snapshot(snapshot)
        batch = desk.take(desk.book.advance(2 * 10**9))
        for write in writers:
            for at_ns, frame in write(batch):
                books.on_frame(Entry(seq=2, kind=EntryKind.FRAME, ts_wall_ns=at_ns, ts_mono_ns=at_ns, frame=frame.encode()))
                books.on_frame(Entry(seq=2, kind=EntryKind.FRAME, ts_wall_ns=at_ns, ts_mono_ns=at_ns, frame=frame[:30].encode()))
        books.on_tick(3 * 10**9)
        assert books.trust(0)


_EVENT = re.compile(rb'"E":([0-9]+)')


class Product:
    """Follow one instrument as the daemon does: feed to books, commands to feed and REST; remember each judgement."""

    def __init__(self, server, instrument, rest):
        self.server = server
        self.books = Books(binance_codec(), [instrument], FeatureParameters(), TrustLimits())
        self.rest = rest
        self.feed = None
        self.trusts = []
        self.judged = []
        self.commands = []
        self.connections = []
        self.rest_errors = []
        self._tasks = set()
        self._seq = 0

    @property
    def trust(self):
        return self.books.trust(0).state

    def entry(self, kind, frame):
        self._seq += 1
        now = self.server.now_ns()
        return Entry(
            seq=self._seq, kind=kind, ts_wall_ns=now, ts_mono_ns=now, frame=frame, instrument=0 if kind is EntryKind.SNAPSHOT else -1
        )

    def frame(self, connection, raw):
        entry = self.entry(EntryKind.FRAME, raw)
        self._obey(self.books.on_frame(entry))
        found = _EVENT.search(raw)
        if found is not None:
            self.judged.append((entry.ts_wall_ns / 1e9 - int(found[1]) / 1e3, self.trust))
        return True

    def event(self, payload):
        self.connections.append(payload)
        if isinstance(payload, FeedDisconnected):
            self.books.on_feed_lost(payload.instruments, self.server.now_ns())

    def tick(self):
        self._obey(self.books.on_tick(self.server.now_ns()))

    def _obey(self, commands):
        self.trusts.append(self.trust)
        for command in commands:
            self.commands.append(command)
            if isinstance(command, RequestSnapshot):
                task = asyncio.ensure_future(self._snapshot())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            elif isinstance(command, ReconnectFeed):
                self.feed.reconnect(command.reason)

    async def _snapshot(self):
        try:
            body = await self.rest.depth_snapshot("BTCUSDT")
        except RestError as error:
            self.rest_errors.append(error)
            self._obey(self.books.on_snapshot_failed(0, self.server.now_ns(), str(error)))
        else:
            self._obey(self.books.on_snapshot(self.entry(EntryKind.SNAPSHOT, body)))

    async def close(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def product(*faults, market=Market.SPOT, speed=5.0):
    """Follow the market of an exchange; the faults come once the product trusts its book."""
    clock = SteadyClock()
    async with exchange(speed=speed, clock=clock) as (server, served):
        where = venue_endpoints(market, rest=served[market].rest, stream=served[market].ws)
        rest = VenueRest(
            market,
            where.rest,
            clock=clock,
            jitter=Random(1),
            policy=RestPolicy(timeout_s=2.0, backoff=BackoffPolicy(first_s=0.02, cap_s=0.1)),
        )
        (instrument,) = await rest.instruments(("BTC/USDT" if market is Market.SPOT else "BTC/USDT:USDT",))
        it = Product(server, instrument, rest)
        it.feed = MarketFeed(plan_connections(market, where.stream, [instrument]), it, clock=clock, jitter=Random(2), policy=POLICY)
        running = asyncio.create_task(it.feed.run())
        ticking = asyncio.create_task(tick(it))
        try:
            await until(lambda: it.trust is FeedTrust.SYNCED)
            it.trusts.clear()
            for fault in faults:
                ask_for(server, fault)
            yield server, it
        finally:
            ticking.cancel()
            await it.feed.close()
            await asyncio.gather(running, ticking, return_exceptions=True)
            await it.close()
            await rest.close()


async def tick(it):
    while True:
        await asyncio.sleep(TICK_S)
        it.tick()


def ask_for(server, fault):
    from smartmoney.settings.faults import read_fault

    return server.faults.add(read_fault(fault), server.now_ns())


def books_agree(server, it, market=Market.SPOT):
    known = server.market.books[market, "BTCUSDT"]
    state = it.books.states[0]
    return int(state["last_update_id"]) == known.update_id and top_of_book(state) == (known.touch[0], known.touch[2])


async def recovers(server, it, market=Market.SPOT):
    """Wait until trust is back and the book is the engine's, touch for touch."""
    await until(lambda: it.trust is FeedTrust.SYNCED and books_agree(server, it, market))


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
async def test_a_gap_makes_the_book_invalid_until_a_new_snapshot(market):
    async with product({"kind": "gap", "count": 1}, market=market) as (server, it):
        before = it.books.resyncs
        await until(lambda: it.books.gaps == 1)
        assert FeedTrust.RESYNCING in it.trusts
        await recovers(server, it, market)
        assert it.books.resyncs == before + 1
        assert acted(server) == 1


async def test_duplicates_change_nothing():
    async with product({"kind": "duplicate", "times": 3}) as (server, it):
        await until(lambda: acted(server) > 30)
        await recovers(server, it)
        assert it.books.gaps == 0
        assert set(it.trusts) == {FeedTrust.SYNCED}
        assert it.books.codes[FoldCode.IGNORED] >= 60


async def test_reordered_depth_is_a_gap_and_recovers():
    async with product({"kind": "reorder", "stream": "*@depth*", "count": 1}) as (server, it):
        await until(lambda: it.books.gaps >= 1)
        await recovers(server, it)


async def test_silence_makes_the_book_stale_within_its_limit_and_ends_in_a_new_connection():
    async with product({"kind": "silence", "name": "quiet"}) as (server, it):
        began_ns = server.now_ns()
        await until(lambda: it.trust is not FeedTrust.SYNCED)
        assert server.now_ns() - began_ns < 8e9, "5 s, and the probe's answer"
        await until(lambda: any(isinstance(command, ReconnectFeed) for command in it.commands))
        server.faults.remove("quiet")
        await recovers(server, it)
        assert any(isinstance(event, FeedDisconnected) for event in it.connections)


async def test_a_half_open_connection_is_noticed_and_replaced():
    async with product({"kind": "half_open", "connection": 1}) as (server, it):
        await until(lambda: it.feed.losses == 1)
        assert it.feed.last_failure.startswith(("half-open", "the book moved on"))
        await recovers(server, it)


async def test_a_storm_of_resets_is_survived():
    async with product({"kind": "disconnect", "life_s": 0.5, "count": 6}) as (server, it):
        await until(lambda: acted(server) == 6)
        await recovers(server, it)
        assert it.feed.losses >= 5
        assert FeedTrust.RESYNCING in it.trusts


async def test_an_announced_shutdown_is_bridged_without_a_gap():
    async with product({"kind": "server_shutdown", "count": 1, "lead_s": 10}) as (server, it):
        await until(lambda: it.feed.renewals == 1)
        await recovers(server, it)
        assert it.books.gaps == 0
        assert it.feed.losses == 0
        assert set(it.trusts) == {FeedTrust.SYNCED}


@pytest.mark.parametrize(
    "form",
    ["not_json", "binary", "deep", "empty", "nan", "bare_nan", "infinity", "bare_infinity", "exponent", "negative", "zero", "off_grid"],
)
async def test_garbage_is_dropped_and_counted_and_takes_trust_away(form):
    fault = {"kind": "garbage", "form": form, "size": 100_000, "count": 1, "stream": "*@depth*", "instead": False}
    async with product(fault) as (server, it):
        await until(lambda: acted(server) == 1)
        await until(lambda: sum(it.books.codes[code] for code in (FoldCode.MALFORMED, FoldCode.OFF_GRID, FoldCode.UNKNOWN)) >= 1)
        assert it.trust is not FeedTrust.SYNCED
        await recovers(server, it)
        assert it.feed.losses == 0


async def test_a_frame_over_the_bound_ends_the_connection_only():
    async with product({"kind": "garbage", "form": "large", "count": 1, "connection": 1}) as (server, it):
        await until(lambda: it.feed.losses == 1)
        assert "1009" in it.feed.last_failure
        await recovers(server, it)


async def test_a_truncated_frame_is_dropped_and_the_gap_that_it_leaves_is_seen():
    async with product({"kind": "truncate", "stream": "*@depth*", "count": 1}) as (server, it):
        await until(lambda: it.books.gaps == 1)
        assert it.books.codes[FoldCode.MALFORMED] + it.books.codes[FoldCode.UNKNOWN] == 1
        await recovers(server, it)


@pytest.mark.parametrize("ticks", [0, 5])
async def test_a_crossed_or_locked_book_is_not_trusted(ticks):
    async with product({"kind": "crossed_book", "name": "x", "ticks": ticks}) as (server, it):
        await until(lambda: it.trust is FeedTrust.SUSPECT)
        assert "crossed" in it.books.trust(0).reason
        server.faults.remove("x")
        await recovers(server, it)


async def test_an_empty_book_has_no_touch_and_comes_back():
    async with product({"kind": "empty_book", "name": "x"}) as (server, it):
        await until(lambda: top_of_book(it.books.states[0]) == (-1, -1))
        server.faults.remove("x")
        await recovers(server, it)


@pytest.mark.parametrize("fault", [{"kind": "stale_timestamps", "age_s": 60}, {"kind": "delay", "delay_s": 7}])
async def test_late_frames_are_stale_by_the_venues_clock(fault):
    async with product({**fault, "name": "late"}) as (server, it):
        await until(lambda: it.trust is FeedTrust.STALE)
        await until(lambda: "late by the venue" in it.books.trust(0).reason)
        assert FeedTrust.SYNCED not in {trust for age_s, trust in it.judged if age_s > 8}
        server.faults.remove("late")
        await recovers(server, it)


async def test_a_backlog_that_comes_at_once_is_not_traded_on():
    async with product({"kind": "backlog", "hold_s": 20, "for_s": 20}) as (server, it):
        await until(lambda: sum(age_s > 10 for age_s, _ in it.judged) > 20)
        await recovers(server, it)
        assert FeedTrust.SYNCED not in {trust for age_s, trust in it.judged if age_s > 8}, "five seconds, and the usual delay"


async def test_a_constant_clock_offset_does_not_hide_or_invent_staleness():
    async with product({"kind": "clock_offset", "offset_s": -3}) as (server, it):
        await until(lambda: acted(server) > 30)
        assert set(it.trusts[-20:]) == {FeedTrust.SYNCED}


async def test_a_halted_symbol_is_quiet_but_its_book_is_the_venues():
    async with product({"kind": "symbol_halt", "symbol": "BTCUSDT", "for_s": 10}) as (server, it):
        await until(lambda: acted(server) >= 1)
        await until(lambda: any(isinstance(c, RequestSnapshot) and "no depth" in c.reason for c in it.commands))
        await until(lambda: not server.faults.is_open("symbol_halt-1", server.now_ns()))
        await recovers(server, it)
        assert it.books.gaps == 0


async def test_maintenance_is_waited_out():
    async with product({"kind": "maintenance", "for_s": 4}) as (server, it):
        await until(lambda: it.feed.losses == 1)
        assert it.trust is FeedTrust.RESYNCING
        await until(lambda: "HTTP 503" in it.feed.last_failure)
        await recovers(server, it)
        assert not server.faults.is_open("maintenance-1", server.now_ns())


async def test_a_rate_limit_is_honoured_for_as_long_as_it_asks():
    async with product({"kind": "rate_limit", "call": "GET depth", "retry_after_s": 1, "count": 1}, {"kind": "gap", "count": 1}) as (
        server,
        it,
    ):
        await until(lambda: acted(server, "rate_limit-1") == 1)
        asked = it.rest.requests
        limited_ns = server.now_ns()
        await until(lambda: it.rest.requests > asked)
        assert server.now_ns() - limited_ns >= 4.5e9, "one second of ours is five of the exchange's"
        await recovers(server, it)


async def test_a_ban_stops_every_request():
    async with product({"kind": "rate_limit", "call": "GET *", "banned": True, "ban_s": 120}, {"kind": "gap", "count": 1}) as (server, it):
        await until(lambda: bool(it.rest_errors))
        assert it.rest_errors[0].banned
        count = acted(server, "rate_limit-1")
        await until(lambda: len(it.rest_errors) >= 3)
        assert acted(server, "rate_limit-1") == count == 1, "what is banned is not asked again"
        assert it.trust is FeedTrust.RESYNCING


@pytest.mark.parametrize("fault", [{"status": 503, "code": -1001}, {"status": 502, "code": 0}])
async def test_server_errors_of_the_snapshot_are_retried(fault):
    async with product({"kind": "server_error", "call": "GET depth", "count": 2, **fault}, {"kind": "gap", "count": 1}) as (server, it):
        await until(lambda: acted(server, "server_error-1") == 2)
        await recovers(server, it)


async def test_a_lost_and_a_slow_snapshot_are_asked_for_again():
    async with product(
        {"kind": "lost_answer", "call": "GET depth", "how": "hang", "count": 1},
        {"kind": "slow_answer", "call": "GET depth", "delay_s": 2, "skip": 1, "count": 1},
        {"kind": "gap", "count": 1},
    ) as (server, it):
        await until(lambda: acted(server, "slow_answer-2") == 1)
        await recovers(server, it)


async def test_one_print_far_away_moves_no_quote():
    async with product({"kind": "price_spike", "percent": 50}) as (server, it):
        await until(lambda: acted(server) == 1)
        await recovers(server, it)
        assert set(it.trusts) <= {FeedTrust.SYNCED, FeedTrust.SUSPECT}


async def test_a_burst_of_a_hundred_times_the_frames_is_taken_in():
    async with product({"kind": "burst", "for_s": 2}) as (server, it):
        await until(lambda: acted(server) > 10 and not server.faults.is_open("burst-1", server.now_ns()))
        await recovers(server, it)
        assert it.books.codes[FoldCode.IGNORED] > 500 or it.feed.losses

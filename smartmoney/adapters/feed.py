"""The market feed: websocket connections that stay up, and say so when they could not.

A lane per planned connection keeps one link carrying it. An unplanned loss is `FeedDisconnected`, then backoff, then
`FeedConnected(planned=False)`. A lane that carries nobody's book (mark prices) is kept up likewise, and nothing is said of it: what it
misses leaves no hole. A planned change (the venue's 24 h limit, a serverShutdown) is make-before-break: the new link is
acknowledged and delivering before the old one is closed, frames of both are delivered in between (the decoder drops what it has seen, by
sequence), and only `FeedConnected(planned=True)` is said.

Invariants: every frame goes to the sink in its connection's order and exactly once per connection; `FeedConnected` precedes the first
frame of an unplanned connection; the feed queues nothing: a frame that the sink refuses is gone, and the sink is who must say so; attempts
never exceed the connection budget.
"""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from random import Random
from typing import Protocol

import msgspec
import structlog

from smartmoney.adapters.backoff import Backoff, BackoffPolicy
from smartmoney.adapters.clock import Clock, cancel, first_of
from smartmoney.adapters.connection_budget import ConnectionBudget
from smartmoney.adapters.feed_link import Link, LinkPolicy, Recogniser
from smartmoney.adapters.websocket_transport import Connector, check_address, connect_websockets
from smartmoney.core.domain.entries import FeedConnected, FeedDisconnected
from smartmoney.venues.binance.protocol import ConnectionPlan, is_mark_price, recognise

_log = structlog.get_logger("smartmoney.feed")


class FeedSink(Protocol):
    """Be where the feed delivers: the inbox, which stamps and orders. Neither method may block or raise."""

    def frame(self, connection: int, raw: bytes) -> bool:
        """Take a frame; False when there is no room for it."""
        ...

    def event(self, payload: FeedConnected | FeedDisconnected) -> None:
        """Take a change of connection."""
        ...


class FeedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the feed, in seconds. `renew_after_s` ± `renew_jitter_s` must stay below the venue's life of a connection (24 h).

    `overlap_s` is for how long both connections deliver after the new one is ready: longer than the venue's own skew between servers.
    `renew_timeout_s` is after what a new connection that is acknowledged but shows no frame yet counts as ready (a quiet instrument).
    """

    link: LinkPolicy = LinkPolicy()
    backoff: BackoffPolicy = BackoffPolicy()
    renew_after_s: float = 23 * 3600.0
    renew_jitter_s: float = 1200.0
    overlap_s: float = 2.0
    renew_timeout_s: float = 10.0


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Count what the feed did since it was made. `refused` frames found no room, or came beside the books and are no mark price."""

    lanes: int
    connected: int
    attempts: int
    losses: int
    renewals: int
    frames: int
    refused: int
    last_failure: str


class MarketFeed:
    """Keep the planned connections up and deliver their frames. One `run`, from one event loop."""

    proves_sequence = True
    """The venue's frames carry ids that prove completeness."""

    def __init__(
        self,
        plans: Sequence[ConnectionPlan],
        sink: FeedSink,
        *,
        clock: Clock,
        jitter: Random,
        budget: ConnectionBudget | None = None,
        policy: FeedPolicy | None = None,
        connector: Connector = connect_websockets,
        recogniser: Recogniser = recognise,
    ) -> None:
        for plan in plans:
            check_address(plan.url, "wss", "ws")
        self.sink = sink
        self.clock = clock
        self.jitter = jitter
        self.budget = budget or ConnectionBudget(clock)
        self.policy = policy or FeedPolicy()
        self.connector = connector
        self.recogniser = recogniser
        self.attempts = 0
        self.losses = 0
        self.renewals = 0
        self.frames = 0
        self.refused = 0
        self.last_failure = ""
        self._stopping = asyncio.Event()
        self._lanes = [_Lane(self, plan) for plan in plans]

    def status(self) -> FeedStatus:
        """Return the counters."""
        return FeedStatus(
            lanes=len(self._lanes),
            connected=sum(lane.is_connected for lane in self._lanes),
            attempts=self.attempts,
            losses=self.losses,
            renewals=self.renewals,
            frames=self.frames,
            refused=self.refused,
            last_failure=self.last_failure,
        )

    async def run(self) -> None:
        """Deliver until `close` is called. Cancelling it drops the connections at once."""
        async with asyncio.TaskGroup() as lanes:
            for lane in self._lanes:
                lanes.create_task(lane.run(self._stopping))

    def reconnect(self, reason: str, instrument: int | None = None) -> None:
        """Tear down and rebuild the connections that carry the book of `instrument`, or all that carry one.

        Answered by FeedDisconnected and FeedConnected.

        A lane that is already reconnecting goes on as it is; the backoff bounds how often commands can do this.
        """
        for lane in self._lanes:
            if lane.plan.carries_books and (instrument is None or instrument in lane.plan.instruments):
                lane.tear_down(reason)

    async def close(self) -> None:
        """End `run`, with closing handshakes. Says nothing to the sink: the run is over."""
        self._stopping.set()

    def new_link(self, lane: "_Lane") -> Link:
        """Return a link for a lane, with the next number, and count the attempt."""
        self.attempts += 1
        return Link(
            self.attempts,
            lane.plan,
            lane,
            connector=self.connector,
            recogniser=self.recogniser,
            clock=self.clock,
            policy=self.policy.link,
        )

    def note_failure(self, link: Link, reason: str) -> None:
        """Remember and log why a link ended."""
        self.last_failure = reason
        _log.warning("feed_link_ended", connection=link.number, url=link.plan.url, reason=reason)


class _Lane:
    """Keep one planned connection up. `_current` is the link that carries it; a successor exists only during a renewal."""

    def __init__(self, feed: MarketFeed, plan: ConnectionPlan) -> None:
        self.plan = plan
        self._feed = feed
        self._backoff = Backoff(feed.policy.backoff, feed.jitter)
        self._current: _Running | None = None
        self._successor: _Running | None = None

    @property
    def is_connected(self) -> bool:
        return self._current is not None and self._current.link.announced

    def tear_down(self, reason: str) -> None:
        for running in (self._current, self._successor):
            if running is not None:
                running.link.fail(reason)

    # What links report.

    def link_alive(self, link: Link) -> None:
        if self._current is not None and link is self._current.link:
            self._announce(link, planned=False)

    def link_frame(self, link: Link, frame: bytes) -> None:
        feed = self._feed
        feed.frames += 1
        is_welcome = self.plan.carries_books or is_mark_price(frame)
        if not (is_welcome and feed.sink.frame(link.number, frame)):
            feed.refused += 1

    # The life of the lane.

    async def run(self, stopping: asyncio.Event) -> None:
        life = asyncio.ensure_future(self._live())
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait((life, stop), return_when=asyncio.FIRST_COMPLETED)
            await cancel(stop)
            if life.done():
                life.result()
        finally:
            # The order matters: a lane that still lived would take a link closed below for a loss, and reconnect.
            await cancel(life, stop)
            still = [running for running in (self._successor, self._current) if running is not None]
            if stopping.is_set():
                await asyncio.gather(*(running.stop("closed by the operator") for running in still))
            else:
                await cancel(*(running.task for running in still))
            self._current = self._successor = None

    async def _live(self) -> None:
        while True:
            if self._current is None:
                await self._feed.budget.acquire()
                self._current = _Running(self._feed.new_link(self))
            running = self._current
            outcome = await first_of(running.ended(), self._due(running.link))
            if outcome is _Outcome.ENDED or not await self._renew(running):
                await self._lose(running)

    async def _due(self, link: Link) -> "_Outcome":
        """Return when a link is to be replaced while it still works: it grows old, or the venue announced its end."""
        policy, feed = self._feed.policy, self._feed
        age_s = policy.renew_after_s + policy.renew_jitter_s * (2.0 * feed.jitter.random() - 1.0)
        return await first_of(self._wait(age_s - link.lived_s()), _wait_for(link.shutdown_announced, _Outcome.DUE))

    async def _lose(self, running: "_Running") -> None:
        """Report the loss of a link and wait before the next attempt; a successor that is under way takes its place at once."""
        link, reason = running.link, await running.reason()
        self._current, self._successor = self._successor, None
        self._feed.note_failure(link, reason)
        self._backoff.note_lived(link.lived_s())
        if link.announced:
            self._feed.losses += 1
            self._say(FeedDisconnected(connection=link.number, instruments=self.plan.instruments, reason=reason))
        if self._current is None:
            await self._wait(max(self._backoff.next_delay_s(), link.retry_after_s))
        elif self._current.link.alive:
            self._announce(self._current.link, planned=False)

    async def _renew(self, old: "_Running") -> bool:
        """Replace a working link by a new one without a gap; return False when the old one ended before that was done."""
        lived_s = old.link.lived_s()
        self._backoff.note_lived(lived_s)
        # A venue that shuts down every connection it takes must not make us connect as fast as it can refuse.
        delay_s = 0.0 if lived_s >= self._feed.policy.backoff.stable_s else self._backoff.next_delay_s()
        while True:
            if await first_of(old.ended(), self._wait(delay_s)) is _Outcome.ENDED:
                return False
            if await first_of(old.ended(), self._allowed()) is _Outcome.ENDED:
                return False
            new = self._successor = _Running(self._feed.new_link(self))
            outcome = await first_of(old.ended(), new.failed(), self._ready(new.link))
            if outcome is _Outcome.READY:
                await self._hand_over(old, new)
                return True
            if outcome is _Outcome.ENDED:
                return False
            self._successor = None
            self._feed.note_failure(new.link, await new.reason())
            delay_s = max(self._backoff.next_delay_s(), new.link.retry_after_s)

    async def _hand_over(self, old: "_Running", new: "_Running") -> None:
        """Let both links deliver for the overlap, then close the old one. From here on a loss of the old one is no loss."""
        self._current, self._successor = new, old
        self._feed.renewals += 1
        self._announce(new.link, planned=True)
        await first_of(old.ended(), new.failed(), self._wait(self._feed.policy.overlap_s))
        await old.stop("replaced before its end")
        self._successor = None

    async def _ready(self, link: Link) -> "_Outcome":
        """Return when a link is acknowledged and delivers, or is acknowledged and so quiet that waiting longer proves nothing."""

        async def grow_quiet() -> _Outcome:
            await link.acknowledged.wait()
            await self._wait(self._feed.policy.renew_timeout_s)
            return _Outcome.READY

        return await first_of(_wait_for(link.ready, _Outcome.READY), grow_quiet())

    async def _allowed(self) -> "_Outcome":
        await self._feed.budget.acquire()
        return _Outcome.DUE

    async def _wait(self, seconds: float) -> "_Outcome":
        await self._feed.clock.sleep(seconds)
        return _Outcome.DUE

    def _announce(self, link: Link, *, planned: bool) -> None:
        if not link.announced:
            link.announced = True
            self._say(FeedConnected(connection=link.number, instruments=self.plan.instruments, planned=planned))

    def _say(self, payload: FeedConnected | FeedDisconnected) -> None:
        if self.plan.carries_books:
            self._feed.sink.event(payload)


class _Outcome(Enum):
    """Name what a lane can be waiting for."""

    ENDED = auto()
    FAILED = auto()
    READY = auto()
    DUE = auto()


class _Running:
    """Pair a link with the task that runs it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.task = asyncio.ensure_future(link.run())

    async def reason(self) -> str:
        # The shield keeps the task when a waiter is cancelled: several may wait for it.
        return await asyncio.shield(self.task)

    async def ended(self) -> _Outcome:
        await self.reason()
        return _Outcome.ENDED

    async def failed(self) -> _Outcome:
        await self.reason()
        return _Outcome.FAILED

    async def stop(self, reason: str) -> None:
        self.link.finish(reason)
        await self.reason()


async def _wait_for(event: asyncio.Event, outcome: _Outcome) -> _Outcome:
    await event.wait()
    return outcome

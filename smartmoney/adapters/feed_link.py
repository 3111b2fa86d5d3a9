"""One websocket connection of a market feed, from its opening to its end.

A link opens, subscribes within the venue's message budget, verifies every acknowledgement, pumps frames, and ends for exactly one stated
reason: the venue closed it, it fell silent, it is half-open, a subscription was refused, or it was told to. It never reconnects; that is
the lane's business (feed.py).

Invariants: `run` returns its reason and raises only what is a bug; frames go to the observer in order of arrival, as the bytes of the wire;
control frames stay here; nothing is queued.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from smartmoney.adapters.clock import Clock, first_of, within
from smartmoney.adapters.websocket_transport import Connector, Transport, TransportError
from smartmoney.venues.binance.protocol import Ack, ConnectionPlan, Control, Fault, ServerShutdown

_NS = 1_000_000_000

Recogniser = Callable[[bytes], Control | None]
"""Tells a venue's control frames from market data; None for the latter."""


class LinkPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure how a connection is watched, in seconds.

    `silent_s`: no frame although pings answer. `half_open_s`: no traffic of any kind; with a ping each `ping_interval_s` and a look each
    `watch_interval_s`, a dead peer is found within half_open_s + watch_interval_s (11 s).
    """

    open_timeout_s: float = 10.0
    ack_timeout_s: float = 10.0
    silent_s: float = 30.0
    half_open_s: float = 10.0
    ping_interval_s: float = 5.0
    watch_interval_s: float = 1.0
    messages_per_s: float = 2.0


class LinkObserver(Protocol):
    """Be told what happens on a link."""

    def link_alive(self, link: "Link") -> None:
        """Take note, once, that data or all acknowledgements arrived; called before the first frame."""
        ...

    def link_frame(self, link: "Link", frame: bytes) -> None:
        """Take a frame; must not block."""
        ...


class Link:
    """Be one connection.

    `number` is unique in the feed; `acknowledged` is set when every subscription is, `ready` when data flows after that.
    """

    def __init__(
        self,
        number: int,
        plan: ConnectionPlan,
        observer: LinkObserver,
        *,
        connector: Connector,
        recogniser: Recogniser,
        clock: Clock,
        policy: LinkPolicy,
    ) -> None:
        self.number = number
        self.plan = plan
        self.alive = False
        self.announced = False
        self.retry_after_s = 0.0
        self.opened_ns = 0
        self.ready = asyncio.Event()
        self.shutdown_announced = asyncio.Event()
        self._observer = observer
        self._connector = connector
        self._recognise = recogniser
        self._clock = clock
        self._policy = policy
        self._pending = {identifier for identifier, _ in plan.subscriptions}
        self.acknowledged = asyncio.Event()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._frame_ns = 0
        self._traffic_ns = 0
        self._orderly = False

    @property
    def last_frame_ns(self) -> int:
        """Return when the last frame came, on the monotonic clock; 0 before the first."""
        return self._frame_ns if self.alive else 0

    def lived_s(self) -> float:
        """Return for how long the link has been open; 0 when it never was."""
        return (self._clock.monotonic_ns() - self.opened_ns) / _NS if self.opened_ns else 0.0

    def fail(self, reason: str) -> None:
        """End the link at once, without a closing handshake: its peer cannot be trusted to take part in one."""
        if not self._end.done():
            self._end.set_result(reason)

    def finish(self, reason: str) -> None:
        """End the link with a closing handshake."""
        self._orderly = True
        self.fail(reason)

    async def run(self) -> str:
        """Open, subscribe and pump until the link ends; return why it ended."""
        try:
            transport = await within(self._clock, self._policy.open_timeout_s, self._open())
        except TransportError as failure:
            self.retry_after_s = failure.retry_after_s
            return failure.reason
        except TimeoutError:
            return f"cannot connect: no handshake within {self._policy.open_timeout_s:g} s"
        if isinstance(transport, str):
            return transport
        self.opened_ns = self._frame_ns = self._traffic_ns = self._clock.monotonic_ns()
        try:
            return await first_of(
                self._told(), transport.pump(self._take), self._subscribe(transport), self._watch(), self._ping(transport)
            )
        finally:
            if self._orderly:
                await transport.close()
            else:
                transport.abort()

    async def _open(self) -> Transport | str:
        async def connect() -> Transport | str:
            return await self._connector(self.plan.url)

        return await first_of(connect(), self._told())

    async def _told(self) -> str:
        # The shield keeps the future when one of its waiters is cancelled.
        return await asyncio.shield(self._end)

    def _take(self, frame: bytes) -> None:
        now_ns = self._clock.monotonic_ns()
        self._traffic_ns = now_ns
        control = self._recognise(frame)
        if control is not None:
            self._obey(control)
            return
        self._frame_ns = now_ns
        if not self.alive:
            self._become_alive()
        self._observer.link_frame(self, frame)
        if not self._pending and not self.ready.is_set():
            self.ready.set()

    def _obey(self, control: Control) -> None:
        if isinstance(control, Ack):
            if isinstance(control.identifier, int):
                self._pending.discard(control.identifier)
            if not self._pending:
                self.acknowledged.set()
                self._become_alive()
        elif isinstance(control, Fault):
            self.fail(f"subscription refused: {control.code} {control.message}")
        elif isinstance(control, ServerShutdown):
            self.shutdown_announced.set()

    def _become_alive(self) -> None:
        if not self.alive:
            self.alive = True
            self._observer.link_alive(self)

    async def _subscribe(self, transport: Transport) -> str:
        """Send the subscriptions, slower than the venue's message budget, and wait until all are acknowledged."""
        try:
            for position, (_, message) in enumerate(self.plan.subscriptions):
                if position:
                    await self._clock.sleep(1.0 / self._policy.messages_per_s)
                await transport.send(message)
        except TransportError as failure:
            return failure.reason
        if self._pending:
            try:
                await within(self._clock, self._policy.ack_timeout_s, self.acknowledged.wait())
            except TimeoutError:
                return f"{len(self._pending)} of {len(self.plan.subscriptions)} subscriptions not acknowledged"
        return await self._told()

    async def _watch(self) -> str:
        policy = self._policy
        while True:
            await self._clock.sleep(policy.watch_interval_s)
            now_ns = self._clock.monotonic_ns()
            if now_ns - self._traffic_ns > policy.half_open_s * _NS:
                return f"half-open: no traffic for {policy.half_open_s:g} s, pings unanswered"
            if now_ns - self._frame_ns > policy.silent_s * _NS:
                return f"silent: no frame for {policy.silent_s:g} s although pings are answered"

    async def _ping(self, transport: Transport) -> str:
        try:
            while True:
                await self._clock.sleep(self._policy.ping_interval_s)
                await transport.ping()
                self._traffic_ns = self._clock.monotonic_ns()
        except TransportError as failure:
            return failure.reason

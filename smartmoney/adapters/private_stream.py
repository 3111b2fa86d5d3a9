"""An account's own stream: spot by a signed subscription on the WebSocket API, USD-M by a listen key on `/private`.

One connection, rebuilt for ever with backoff. It may lose anything while it is down (and a venue may lose events while it is up), so
whoever listens reads the account by REST at every `up`, and regularly besides.

Invariants: an event is handed on unread and in order; a peer that answers no pings is found within `half_open_s` and a look; a refused key
is tried again once a minute at most; no message holds a key or a listen key. Sources: binance-spot-api-docs web-socket-api.md "User Data
Stream requests" (listen keys are gone there since 2026-02-20); USD-M "User data streams" (a key lives 60 minutes; `/private` since
2026-04-23, with the events that are wanted named).
"""

import asyncio
from random import Random
from typing import Any, Protocol

import msgspec

from smartmoney.adapters.backoff import Backoff, BackoffPolicy
from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.clock import Clock, first_of, within
from smartmoney.adapters.websocket_transport import Connector, Transport, TransportError, check_address, connect_websockets
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.order_calls import listen_key
from smartmoney.venues.binance.outcomes import classify
from smartmoney.venues.binance.protocol import Endpoints
from smartmoney.venues.outcomes import Outcome

_NS = 1_000_000_000
EVENTS = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "ALGO_UPDATE",
    "MARGIN_CALL",
    "ACCOUNT_CONFIG_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
    "listenKeyExpired",
)
"""What is asked of USD-M by name: some say that nothing is delivered otherwise (reference: venue's own pages are silent)."""


class PrivatePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the stream, in seconds. `life_s` is shorter than the venue's day; `key_refused_s` is the wait after a refused key."""

    open_timeout_s: float = 10.0
    ping_interval_s: float = 5.0
    half_open_s: float = 10.0
    life_s: float = 86_000.0
    keepalive_s: float = 1_500.0
    key_refused_s: float = 60.0
    backoff: BackoffPolicy = BackoffPolicy(first_s=0.25, cap_s=15.0)


class StreamListener(Protocol):
    """Be told what the stream says. No method may block."""

    def private_up(self) -> None:
        """Take note that events flow from now on."""

    def private_down(self, reason: str, *, key_refused: bool) -> None:
        """Take note that events may be lost from now on."""

    def private_event(self, event: Any) -> None:
        """Take an event, in the form that the account's order side reads."""


class _KeyRefused(Exception):
    """Say that the venue does not take the key."""


class PrivateStream:
    """Keep an account's stream open. `run` it until cancelled."""

    def __init__(
        self,
        account: BinanceAccount,
        where: Endpoints,
        listener: StreamListener,
        *,
        clock: Clock,
        jitter: Random,
        policy: PrivatePolicy | None = None,
        connector: Connector = connect_websockets,
    ) -> None:
        check_address(where.ws_api if account.market is Market.SPOT else where.stream, "wss", "ws")
        self._account = account
        self._where = where
        self._listener = listener
        self._clock = clock
        self._policy = policy or PrivatePolicy()
        self._backoff = Backoff(self._policy.backoff, jitter)
        self._connector = connector
        self._traffic_ns = 0
        self._end: asyncio.Future[str] | None = None
        self.is_up = False

    async def run(self) -> None:
        """Connect, listen, and do it again when it ends."""
        while True:
            started_ns = self._clock.monotonic_ns()
            refused = False
            try:
                reason = await self._live()
            except TransportError as failure:
                reason = failure.reason
            except _KeyRefused as failure:
                reason, refused = str(failure), True
            self.is_up = False
            self._listener.private_down(reason, key_refused=refused)
            self._backoff.note_lived((self._clock.monotonic_ns() - started_ns) / _NS)
            await self._clock.sleep(self._policy.key_refused_s if refused else self._backoff.next_delay_s())

    def renew(self, reason: str) -> None:
        """End the present connection, so that another is made."""
        if self._end is not None and not self._end.done():
            self._end.set_result(reason)

    async def _live(self) -> str:
        try:
            transport = await within(self._clock, self._policy.open_timeout_s, self._open())
        except TimeoutError:
            return f"no handshake within {self._policy.open_timeout_s:g} s"
        self._traffic_ns = self._clock.monotonic_ns()
        self._end = asyncio.get_running_loop().create_future()
        subscribed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        try:
            return await first_of(
                self._told(),
                transport.pump(lambda raw: self._take(raw, subscribed)),
                self._subscribe(transport, subscribed),
                self._ping(transport),
                self._watch(),
                self._keep_alive(),
            )
        finally:
            transport.abort()

    async def _open(self) -> Transport:
        if self._account.market is Market.SPOT:
            return await self._connector(self._where.ws_api)
        answer = await self._account.ask(listen_key("POST"))
        if answer.outcome is Outcome.KEY:
            raise _KeyRefused(answer.why())
        if not answer.is_done:
            raise TransportError(f"no listen key: {answer.why()}")
        key = str(answer.body.get("listenKey", ""))
        try:
            return await self._connector(f"{self._where.stream}/private/ws?listenKey={key}&events={'/'.join(EVENTS)}")
        except TransportError as failure:
            raise TransportError(failure.reason.replace(key, "…")) from None

    async def _told(self) -> str:
        assert self._end is not None
        return await asyncio.shield(self._end)

    async def _subscribe(self, transport: Transport, subscribed: "asyncio.Future[tuple[int, str]]") -> str:
        """Ask for the account's events where that is needed, and say `up` once they flow."""
        if self._account.market is Market.SPOT:
            params: dict[str, Any] = {"apiKey": self._account.key, "timestamp": self._account.venue_ms()}
            params["signature"] = self._account.signature("&".join(f"{name}={params[name]}" for name in sorted(params)))
            request = {"id": 1, "method": "userDataStream.subscribe.signature", "params": params}
            await transport.send(msgspec.json.encode(request))
            try:
                async with asyncio.timeout(self._policy.open_timeout_s):
                    code, words = await asyncio.shield(subscribed)
            except TimeoutError:
                return "the subscription was not answered"
            if code and classify(400, code, words) is Outcome.KEY:
                raise _KeyRefused(f"{code} {words}")
            if code:
                return f"subscription refused: {code} {words}"
        self.is_up = True
        self._listener.private_up()
        return await self._told()

    def _take(self, raw: bytes, subscribed: "asyncio.Future[tuple[int, str]]") -> None:
        self._traffic_ns = self._clock.monotonic_ns()
        if self._account.market is Market.SPOT and not subscribed.done():
            reply = _reply(raw)
            if reply is not None:
                subscribed.set_result(reply)
                return
        if b"listenKeyExpired" in raw or b"eventStreamTerminated" in raw:
            self.renew("the venue ended the stream")
        elif b"serverShutdown" in raw:
            self.renew("the venue is about to end the connection")
        else:
            self._listener.private_event(raw)

    async def _ping(self, transport: Transport) -> str:
        while True:
            await self._clock.sleep(self._policy.ping_interval_s)
            await transport.ping()
            self._traffic_ns = self._clock.monotonic_ns()

    async def _watch(self) -> str:
        opened_ns = self._clock.monotonic_ns()
        while True:
            await self._clock.sleep(1.0)
            now_ns = self._clock.monotonic_ns()
            if now_ns - self._traffic_ns > self._policy.half_open_s * _NS:
                return f"half-open: no traffic for {self._policy.half_open_s:g} s, pings unanswered"
            if now_ns - opened_ns > self._policy.life_s * _NS:
                return "renewed before the venue's daily disconnect"

    async def _keep_alive(self) -> str:
        while True:
            await self._clock.sleep(self._policy.keepalive_s)
            if self._account.market is Market.SPOT:
                continue
            answer = await self._account.ask(listen_key("PUT"))
            if answer.code == -1125:
                return "the listen key is gone"


def _reply(raw: bytes) -> tuple[int, str] | None:
    """Return code and words of an answer to the subscription, code 0 for yes; None for a message that is no answer."""
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
    if body.get("id") != 1:
        return None
    error = body.get("error")
    if body.get("status") == 200:
        return 0, ""
    return (int(error.get("code", -1)), str(error.get("msg", ""))) if isinstance(error, dict) else (-1, "without a reason")

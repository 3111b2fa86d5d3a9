"""Signed requests to a Binance account, through ccxt's own calls: one at a time what is asked, with what the answer proves.

ccxt signs and carries; what an answer means is decided here by the venue's code (`venues.binance.outcomes`), because ccxt's exception
classes lose it: it chooses its table of errors by the stock address, has no class for a duplicate client id, keeps one clock offset for
ever, and throttles by instance, blind to the venue's own counters. Nothing is retried but a request that the venue refused for its
timestamp, which proves that it was not carried out.

Invariants: a request's outcome is never better than what was proven; nothing leaves while a Retry-After runs; calls that may wait use at
most a part of the budgets, so that stops, exits and cancels find room; no message holds a key, a signature or an address with one.
"""

import hashlib
import hmac
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from smartmoney.adapters.ccxt_lazily import exchange_class
from smartmoney.adapters.clock import Clock
from smartmoney.adapters.connection_budget import WeightBudget
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.order_side import Answer, left_alone
from smartmoney.adapters.venue_clock import VenueClock
from smartmoney.adapters.websocket_transport import check_address
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.order_calls import Call
from smartmoney.venues.binance.outcomes import classify
from smartmoney.venues.binance.protocol import LIMITS, Endpoints, parse_rejection, throttle, used_weight
from smartmoney.venues.outcomes import Outcome

_NS = 1_000_000_000
RECEIVE_WINDOW_MS = 3_000
"""A request that arrives later than this is refused, so that one of unknown outcome cannot come to life later."""
TIMEOUT_MS = 5_000
PATIENCE_S = 30.0
"""An urgent request, or a read, waits so long for the end of a Retry-After."""
_ORDERS_PER_10_S = {Market.SPOT: 100, Market.USDM: 300}
_SHARE = 0.6
"""What may wait uses this share of the venue's limits."""


class _Refusal(Exception):
    """Carry an answer that is not a success out of ccxt."""

    def __init__(self, status: int, code: int, message: str, retry_after: str | None) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


class BinanceAccount:
    """Ask one account of one market. `close` it. `ask` may run many times side by side."""

    def __init__(self, market: Market, where: Endpoints, credentials: Credentials, *, clock: Clock, sapi: str = "") -> None:
        """Get ready; nothing is sent.

        Raises:
            InsecureAddressError: an address is neither encrypted nor on this machine.
        """
        for address in (where.rest, *([sapi] if sapi else [])):
            check_address(address, "https", "http")
        self.market = market
        self._credentials = credentials
        self._clock = clock
        self._ccxt = _ccxt_client(market, where.rest, sapi, credentials)
        self._ccxt.handle_errors = self._judge
        self._ccxt.nonce = self.venue_ms
        self._weight = WeightBudget(clock, per_minute=LIMITS[market].weight_per_minute, share=_SHARE)
        self._orders_ns: deque[int] = deque()
        self._quiet_until_ns = 0
        self._venue_clock = VenueClock(clock)
        self.requests = 0

    @property
    def key(self) -> str:
        """Return the public half of the key."""
        return self._credentials.key

    @property
    def clock_offset_ms(self) -> int | None:
        """Return the venue's clock less ours, in ms; None before it was measured."""
        return self._venue_clock.offset_ms

    @property
    def is_clock_good(self) -> bool:
        """Tell whether the last two measurements of the venue's clock agree."""
        return self._venue_clock.is_good

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""
        return self._venue_clock.venue_ms()

    def signature(self, text: str) -> str:
        """Return the signature of a text, by the kind of key that this is (HMAC, or an RSA or Ed25519 key in PEM)."""
        secret = self._credentials.secret
        if "PRIVATE KEY" not in secret:
            return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        sign = self._ccxt.rsa if len(secret) > 120 else self._ccxt.eddsa
        arguments = (text, secret, "sha256") if len(secret) > 120 else (text.encode(), secret, "ed25519")
        return str(sign(*arguments))

    async def sync_clock(self) -> Answer:
        """Measure the venue's clock. Not while it asked to be left alone."""
        return await self._venue_clock.measure(self._ask_time, self._quiet_s)

    async def _ask_time(self) -> tuple[Answer, int | None]:
        section = "public" if self.market is Market.SPOT else "fapiPublic"
        answer = await self._send(Call(section=section, method="GET", path="time"))
        return answer, int(answer.body["serverTime"]) if answer.is_done else None

    async def ask(self, call: Call, last_look: Callable[[], str | None] | None = None) -> Answer:
        """Send a request and return what its answer proves; nothing is raised but a cancellation.

        Args:
            call: what to ask.
            last_look: called right before the request leaves; a reason ends it there.
        """
        refusal = await self._wait_for_room(call)
        if refusal is not None:
            return refusal
        answer = await self._look_and_send(call, last_look)
        if answer.outcome is Outcome.CLOCK and (await self.sync_clock()).is_done:
            answer = await self._look_and_send(call, last_look)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._ccxt.close()

    async def _wait_for_room(self, call: Call) -> Answer | None:
        """Wait for the end of a Retry-After and for the budget; return the refusal where waiting is no use."""
        quiet_s = self._quiet_s()
        may_wait = call.is_urgent or not call.orders
        if quiet_s > 0 and (not may_wait or quiet_s > PATIENCE_S):
            return left_alone(quiet_s)
        if quiet_s > 0:
            await self._clock.sleep(quiet_s)
        if call.is_urgent:
            return None
        if call.orders and self._orders_in_window() + call.orders > _SHARE * _ORDERS_PER_10_S[self.market]:
            return Answer(outcome=Outcome.LIMITED, message="too many orders in 10 s; the rest is kept for stops and exits", is_local=True)
        await self._weight.acquire(call.weight)
        return None

    def _quiet_s(self) -> float:
        return (self._quiet_until_ns - self._clock.monotonic_ns()) / _NS

    def _orders_in_window(self) -> int:
        oldest_ns = self._clock.monotonic_ns() - 10 * _NS
        while self._orders_ns and self._orders_ns[0] < oldest_ns:
            self._orders_ns.popleft()
        return len(self._orders_ns)

    async def _look_and_send(self, call: Call, last_look: Callable[[], str | None] | None) -> Answer:
        reason = last_look() if last_look is not None else None
        if reason is not None:
            return Answer(outcome=Outcome.REFUSED, message=reason, is_local=True)
        return await self._send(call)

    async def _send(self, call: Call) -> Answer:
        from ccxt.base.errors import BaseError

        self.requests += 1
        self._orders_ns.extend([self._clock.monotonic_ns()] * call.orders)
        try:
            body = await self._ccxt.request(call.path, [call.section], call.method, dict(call.params))
        except _Refusal as refusal:
            demand = throttle(refusal.status, refusal.retry_after)
            if demand is not None:
                self._quiet_until_ns = max(self._quiet_until_ns, self._clock.monotonic_ns() + round(demand.wait_s * _NS))
            outcome = classify(refusal.status, refusal.code, refusal.message)
            return Answer(outcome=outcome, status=refusal.status, code=refusal.code, message=refusal.message)
        except BaseError as failure:
            # Its text holds the whole address, signature included: only its kind is told.
            cause = type(failure.__cause__ or failure).__name__
            return Answer(outcome=Outcome.UNKNOWN, message=f"no answer ({cause})")
        if not isinstance(body, (dict, list)):
            return Answer(outcome=Outcome.UNKNOWN, status=200, message="the answer is no JSON")
        return Answer(outcome=Outcome.DONE, status=200, body=body)

    def _judge(self, status: int, reason: str, _url: str, _method: str, headers: Mapping[str, str], text: str, *_rest: Any) -> None:
        """Look at every answer in ccxt's place: keep the counters, and raise what is no success."""
        used = used_weight(headers)
        if used is not None:
            self._weight.note_used(used)
        fault = parse_rejection(text.encode()) if text.startswith("{") else None
        code = fault.code if fault is not None and fault.code < 0 else 0
        if 200 <= status < 300 and code == 0:
            return
        wait = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
        raise _Refusal(status, code, fault.message if fault is not None and code else reason, wait)


def _ccxt_client(market: Market, rest: str, sapi: str, credentials: Credentials) -> Any:
    """Return ccxt's client, pointed at the given addresses only. Importing ccxt takes long: only here, and one class."""
    client = exchange_class("async_support", "binance")(
        {
            "apiKey": credentials.key,
            "secret": credentials.secret,
            "enableRateLimit": False,
            "timeout": TIMEOUT_MS,
            "options": {"recvWindow": RECEIVE_WINDOW_MS, "adjustForTimeDifference": False, "maxRetriesOnFailure": 0},
        }
    )
    base = rest.rstrip("/")
    api = dict.fromkeys(client.urls["api"], "")
    if market is Market.SPOT:
        api |= {"public": f"{base}/api/v3", "private": f"{base}/api/v3"}
    else:
        for name, version in (("", "v1"), ("V2", "v2"), ("V3", "v3")):
            api |= {f"fapiPublic{name}": f"{base}/fapi/{version}", f"fapiPrivate{name}": f"{base}/fapi/{version}"}
    if sapi or market is Market.SPOT:
        api["sapi"] = f"{(sapi or base).rstrip('/')}/sapi/v1"
    client.urls["api"] = api
    # ccxt logs requests, headers included, at the level of debugging.
    client.logger = logging.getLogger("smartmoney.unheard")
    client.logger.disabled = True
    return client

"""Public REST reads of a venue, polite by construction: weight budget, Retry-After, bounded retries, bounded bodies.

Only reads go through here, so that a retry can never do anything twice. Bodies come back as raw bytes.

    RestError
    ├── RequestRejectedError      the venue understood and refused (4xx): asking again would not help
    ├── RateLimitedError          429 or 418: nothing may be asked before `retry_after_s` is over
    ├── VenueUnavailableError     5xx, no connection, no answer in time, and the retries are used up
    └── ResponseTooLargeError     the body exceeds the bound; it was not read further

Invariants: no request leaves while the venue's Retry-After runs; attempts per call are bounded; the address is https, or loopback.
"""

from random import Random

import aiohttp
import msgspec

from smartmoney.adapters.backoff import Backoff, BackoffPolicy
from smartmoney.adapters.clock import Clock, within
from smartmoney.adapters.connection_budget import WeightBudget
from smartmoney.adapters.websocket_transport import check_address
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance.exchange_info import parse_exchange_info
from smartmoney.venues.binance.protocol import (
    LIMITS,
    RestRequest,
    depth_request,
    exchange_info_request,
    parse_rejection,
    parse_time,
    throttle,
    time_request,
    used_weight,
)

_NS = 1_000_000_000


class RestError(Exception):
    """Say that a read gave nothing; see the tree at the top of the file."""

    exit_code = 1


class RequestRejectedError(RestError):
    """Carry the venue's refusal: HTTP status, its own code (0 when it gave none) and text."""

    def __init__(self, target: str, status: int, code: int, message: str) -> None:
        super().__init__(f"{target}: HTTP {status}, code {code}: {message}")
        self.status = status
        self.code = code


class RateLimitedError(RestError):
    """Carry for how long the address must be quiet, in seconds; `banned` when the venue banned it (418)."""

    def __init__(self, target: str, retry_after_s: float, *, banned: bool) -> None:
        super().__init__(f"{target}: {'banned' if banned else 'rate limited'}, retry after {retry_after_s:g} s")
        self.retry_after_s = retry_after_s
        self.banned = banned


class VenueUnavailableError(RestError):
    """Say that the venue could not answer."""


class ResponseTooLargeError(RestError):
    """Say that an answer exceeded the bound."""


class RestPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure reads: seconds and bytes. A Retry-After up to `patience_s` is waited for, a longer one is an error at once."""

    timeout_s: float = 10.0
    attempts: int = 4
    patience_s: float = 15.0
    body_size_max: int = 64 * 1024 * 1024
    weight_share: float = 0.8
    backoff: BackoffPolicy = BackoffPolicy(first_s=0.25, cap_s=5.0)


class VenueRest:
    """Read a Binance market's public REST interface. One per address and market; `close` it."""

    def __init__(
        self,
        market: Market,
        base: str,
        *,
        clock: Clock,
        jitter: Random,
        policy: RestPolicy | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        check_address(base, "https", "http")
        self._market = market
        self._base = base.rstrip("/")
        self._clock = clock
        self._jitter = jitter
        self._policy = policy or RestPolicy()
        self._session = session
        self._owns_session = session is None
        self._quiet_until_ns = 0
        self._banned = False
        self._weight = WeightBudget(clock, per_minute=LIMITS[market].weight_per_minute, share=self._policy.weight_share)
        self.requests = 0
        self.failures = 0

    @property
    def weight_available(self) -> float:
        """Return the request weight that could be spent now."""
        return self._weight.available

    async def depth_snapshot(self, symbol: str, limit: int = 1000) -> bytes:
        """Return the raw body of a depth snapshot. Raises: RestError."""
        return await self.get(depth_request(self._market, symbol, limit))

    async def exchange_info(self, names: tuple[str, ...] = ()) -> bytes:
        """Return the raw body of exchangeInfo, narrowed to `names` where the venue can. Raises: RestError."""
        return await self.get(exchange_info_request(self._market, names))

    async def instruments(self, names: tuple[str, ...]) -> tuple[Instrument, ...]:
        """Return the instruments that `names` mean, in that order. Raises: RestError, ProtocolError."""
        return parse_exchange_info(await self.exchange_info(names), names, self._market)

    async def server_time_ms(self) -> int:
        """Return the venue's clock. Raises: RestError, ProtocolError."""
        return parse_time(await self.get(time_request(self._market)))

    async def get(self, request: RestRequest) -> bytes:
        """Return the raw body of a read, after as many attempts as the policy allows.

        Raises:
            RestError: one of the tree at the top of the file.
        """
        backoff = Backoff(self._policy.backoff, self._jitter)
        failure: RestError = VenueUnavailableError(f"{request.path}: no attempt allowed")
        for attempt in range(self._policy.attempts):
            if attempt and not isinstance(failure, RateLimitedError):
                await self._clock.sleep(backoff.next_delay_s())
            await self._keep_quiet(request)
            await self._weight.acquire(request.weight)
            self.requests += 1
            try:
                return await within(self._clock, self._policy.timeout_s, self._ask(request))
            except (RateLimitedError, VenueUnavailableError) as caught:
                failure = caught
            except TimeoutError:
                failure = VenueUnavailableError(f"{request.path}: no answer within {self._policy.timeout_s:g} s")
            except (aiohttp.ClientError, OSError) as caught:
                failure = VenueUnavailableError(f"{request.path}: {type(caught).__name__}: {caught}")
            self.failures += 1
        raise failure

    async def close(self) -> None:
        """Close the connections, unless the session is someone else's."""
        if self._owns_session and self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _keep_quiet(self, request: RestRequest) -> None:
        """Wait out a Retry-After that is bearable; refuse to ask while a longer one runs."""
        left_s = (self._quiet_until_ns - self._clock.monotonic_ns()) / _NS
        if left_s <= 0:
            return
        if left_s > self._policy.patience_s:
            raise RateLimitedError(request.path, left_s, banned=self._banned)
        await self._clock.sleep(left_s)

    async def _ask(self, request: RestRequest) -> bytes:
        if self._session is None:
            # Timeouts are ours, by the injected clock; aiohttp's own would run beside them.
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), auto_decompress=True)
        async with self._session.get(self._base + request.target(), allow_redirects=False) as response:
            used = used_weight(response.headers)
            if used is not None:
                self._weight.note_used(used)
            demand = throttle(response.status, response.headers.get("Retry-After"))
            if demand is not None:
                self._quiet_until_ns = self._clock.monotonic_ns() + round(demand.wait_s * _NS)
                self._banned = demand.banned
                raise RateLimitedError(request.path, demand.wait_s, banned=demand.banned)
            if response.status >= 500:
                raise VenueUnavailableError(f"{request.path}: HTTP {response.status}")
            body = await self._read(request, response)
            if response.status != 200:
                fault = parse_rejection(body)
                code, text = (fault.code, fault.message) if fault else (0, response.reason or "")
                raise RequestRejectedError(request.target(), response.status, code, text)
            return body

    async def _read(self, request: RestRequest, response: aiohttp.ClientResponse) -> bytes:
        size_max = self._policy.body_size_max
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > size_max:
                response.close()
                raise ResponseTooLargeError(f"{request.path}: the answer exceeds {size_max} bytes")
            parts.append(part)
        return b"".join(parts)

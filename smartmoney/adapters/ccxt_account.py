"""One account at any venue through ccxt's own client: signed calls, and what their answers prove.

ccxt signs, carries and parses; what an answer means is decided here by the venue's code (`venues.ccxt_terms`), because ccxt's classes lose
it. Its retries, its throttle (per instance, blind to what the account has used elsewhere) and its one measurement of the clock are switched
off: the budgets and the clock of this module stand in their place. So there is one instance per account and process, and the lock of
`runtime.live` sees to one process per account.

Invariants: a request's outcome is never better than what was proven; a last look is taken right before the bytes leave; nothing leaves
while the venue asked to be left alone; numbers stay the venue's texts; in a rehearsal no address but this machine's is known; no message
holds a key, a signature or an address with one.
"""

import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from smartmoney.adapters.ccxt_feed import check_either, only_here
from smartmoney.adapters.clock import Clock
from smartmoney.adapters.connection_budget import WeightBudget
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.order_side import Answer, LastLook, left_alone
from smartmoney.adapters.venue_clock import VenueClock
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.ccxt_terms import VenueTerms, classify, is_answer, read_fault
from smartmoney.venues.outcomes import Outcome
from smartmoney.venues.unified import addresses, merge_urls

_NS = 1_000_000_000
RECEIVE_WINDOW_MS = 3_000
TIMEOUT_MS = 5_000
PATIENCE_S = 30.0
KEEP_ALIVE_MS = 5_000
"""A private socket that answers no pings is found within about twice this."""
_SHARE = 0.6
"""What may wait uses this share of the venue's limits."""


class _Refusal(Exception):
    """Carry an answer that is not a success out of ccxt."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code
        self.message = message


class _HeldBack(Exception):
    """Carry the reason of a last look out of ccxt."""


class _Unreadable(Exception):
    """Say that an answer is none of the venue's."""


class _Trip:
    """Follow one call through ccxt: whether anything of it left, and what is to be looked at before it does."""

    def __init__(self, last_look: LastLook | None) -> None:
        self.last_look = last_look
        self.has_left = False


_trip: contextvars.ContextVar[_Trip | None] = contextvars.ContextVar("ccxt_trip", default=None)


class CcxtAccount:
    """Ask one account of one market. `open` it, `close` it. Calls may run side by side."""

    def __init__(self, terms: VenueTerms, market: Market, client: Any, *, clock: Clock) -> None:
        """Take over ccxt's client, whose addresses were checked; nothing is sent."""
        self.terms = terms
        self.market = market
        self.client = client
        self._clock = clock
        self._fetch = client.fetch
        client.handle_errors = self._judge
        client.fetch = self._send
        client.nonce = self.venue_ms
        self._budget = WeightBudget(clock, per_minute=terms.requests_per_minute, share=_SHARE)
        self._orders_ns: deque[int] = deque()
        self._quiet_until_ns = 0
        self._venue_clock = VenueClock(clock)
        self.requests = 0

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

    async def sync_clock(self) -> Answer:
        """Measure the venue's clock. Not while it asked to be left alone."""
        return await self._venue_clock.measure(self._ask_time, self._quiet_s)

    async def _ask_time(self) -> tuple[Answer, int | None]:
        answer = await self._carry(self.client.fetch_time, None)
        return answer, answer.body if isinstance(answer.body, int) else None

    async def load_markets(self) -> Answer:
        """Load the venue's markets into ccxt's client."""
        return await self._carry(self.client.load_markets, None)

    async def ask(
        self,
        call: Callable[[], Awaitable[Any]],
        *,
        orders: int = 0,
        is_urgent: bool = False,
        last_look: LastLook | None = None,
    ) -> Answer:
        """Make a call of ccxt's and return what its answer proves; nothing is raised but a cancellation.

        Args:
            call: makes ccxt's coroutine; it is made anew where the call is repeated.
            orders: as how many orders it counts.
            is_urgent: it may use what is reserved for stops, exits and cancels.
            last_look: called right before the request leaves; a reason ends it there.
        """
        refusal = await self._wait_for_room(orders, is_urgent=is_urgent)
        if refusal is not None:
            return refusal
        self._orders_ns.extend([self._clock.monotonic_ns()] * orders)
        answer = await self._carry(call, last_look)
        # Refused for its timestamp it was not carried out, and the clock is measured again, however often that happens.
        if answer.outcome is Outcome.CLOCK and (await self.sync_clock()).is_done:
            answer = await self._carry(call, last_look)
        return answer

    async def close(self) -> None:
        """Close the connections, private sockets included."""
        await self.client.close()

    async def _wait_for_room(self, orders: int, *, is_urgent: bool) -> Answer | None:
        quiet_s = self._quiet_s()
        may_wait = is_urgent or not orders
        if quiet_s > 0 and (not may_wait or quiet_s > PATIENCE_S):
            return left_alone(quiet_s)
        if quiet_s > 0:
            await self._clock.sleep(quiet_s)
        if is_urgent:
            return None
        terms = self.terms.markets[self.market]
        oldest_ns = self._clock.monotonic_ns() - round(terms.orders_window_s * _NS)
        while self._orders_ns and self._orders_ns[0] < oldest_ns:
            self._orders_ns.popleft()
        if orders and len(self._orders_ns) + orders > _SHARE * terms.orders_max:
            return Answer(outcome=Outcome.LIMITED, message="too many orders at once; the rest is kept for stops and exits", is_local=True)
        await self._budget.acquire(1)
        return None

    def _quiet_s(self) -> float:
        return (self._quiet_until_ns - self._clock.monotonic_ns()) / _NS

    async def _carry(self, call: Callable[[], Awaitable[Any]], last_look: LastLook | None) -> Answer:
        import ccxt

        trip = _Trip(last_look)
        token = _trip.set(trip)
        try:
            body = await call()
        except _HeldBack as held:
            return Answer(outcome=Outcome.REFUSED, message=str(held), is_local=True)
        except _Refusal as refusal:
            outcome = classify(self.terms, refusal.status, refusal.code, refusal.message)
            return Answer(outcome=outcome, status=refusal.status, code=refusal.code, message=refusal.message)
        except _Unreadable:
            return Answer(outcome=Outcome.UNKNOWN, message="the answer is none of the venue's")
        except ccxt.OrderNotFound:
            # ccxt's own word for an empty list that it was given as an answer.
            return Answer(outcome=Outcome.NOT_FOUND, message="the venue lists no such order")
        except (ccxt.BaseError, aiohttp.ClientError, OSError) as failure:
            if not trip.has_left:
                return Answer(outcome=Outcome.REFUSED, message=f"it was not sent: {failure}"[:300], is_local=True)
            # Its text may hold a whole address, signature included: only its kind is told.
            return Answer(outcome=Outcome.UNKNOWN, message=f"no answer ({type(failure.__cause__ or failure).__name__})")
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as failure:
            outcome = Outcome.UNKNOWN if trip.has_left else Outcome.REFUSED
            return Answer(outcome=outcome, message=f"ccxt cannot read the answer ({type(failure).__name__})", is_local=not trip.has_left)
        finally:
            _trip.reset(token)
        return Answer(outcome=Outcome.DONE, status=200, body=body)

    async def _send(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Stand in the place of ccxt's `fetch`: look for the last time, then let it go."""
        trip = _trip.get()
        if trip is not None:
            reason = trip.last_look() if trip.last_look is not None else None
            if reason is not None:
                raise _HeldBack(reason)
            trip.has_left = True
        self.requests += 1
        if self.terms.deadline_header and method == "POST":
            headers = {**(headers or {}), self.terms.deadline_header: str(self.venue_ms() + RECEIVE_WINDOW_MS)}
        return await self._fetch(url, method, headers, body)

    def _judge(self, status: int, reason: str, _url: str, _method: str, headers: Mapping[str, str], _text: str, *rest: Any) -> None:
        """Look at every answer in ccxt's place, and raise what is no success."""
        body = rest[0] if rest else None
        fault = read_fault(self.terms.faults, body)
        if 200 <= status < 300 and fault is None:
            if not is_answer(self.terms.faults, body):
                raise _Unreadable
            return
        code, message = fault or (0, reason or "")
        outcome = classify(self.terms, status, code, message)
        if outcome is Outcome.LIMITED or status == 403:
            wait_s = self._pause_s(status, headers)
            self._quiet_until_ns = max(self._quiet_until_ns, self._clock.monotonic_ns() + round(wait_s * _NS))
        raise _Refusal(status, code, message[:300])

    def _pause_s(self, status: int, headers: Mapping[str, str]) -> float:
        """Return for how long to be quiet: the venue's word, else its row's."""
        if status == 403 and self.terms.forbidden_s:
            return self.terms.forbidden_s
        told = {name.lower(): value for name, value in headers.items()}
        try:
            if "retry-after" in told:
                return max(0.0, float(told["retry-after"]))
            if self.terms.reset_header in told:
                return min(PATIENCE_S, max(0.05, (float(told[self.terms.reset_header]) - self.venue_ms()) / 1_000))
        except ValueError:
            pass
        return self.terms.limited_s


async def open_ccxt_account(
    terms: VenueTerms,
    market: Market,
    credentials: Credentials,
    *,
    clock: Clock,
    urls: Mapping[str, Any] | None = None,
    is_rehearsal: bool = False,
    session: aiohttp.ClientSession | None = None,
) -> CcxtAccount:
    """Return an account whose markets are loaded and whose clock is measured.

    Args:
        terms: the venue's row.
        market: which of its markets.
        credentials: key, secret, and a passphrase where the venue wants one.
        clock: time.
        urls: laid over ccxt's own addresses.
        is_rehearsal: every address that is not on this machine is forgotten.
        session: carries REST and sockets in the place of ccxt's own; it is not closed.

    Raises:
        UnifiedError: a wrong address key.
        InsecureAddressError: an address is neither encrypted nor on this machine.
        CcxtAccountError: the venue does not answer.
    """
    account = CcxtAccount(terms, market, _client(terms, market, credentials, urls or {}, session, is_rehearsal=is_rehearsal), clock=clock)
    is_open = False
    try:
        for what, call in (("its clock", account.sync_clock), ("its markets", account.load_markets)):
            answer = await call()
            if not answer.is_done:
                raise CcxtAccountError(f"ccxt:{terms.venue} does not tell {what} ({answer.why()})", answer)
        is_open = True
    finally:
        if not is_open:
            await account.close()
    return account


class CcxtAccountError(Exception):
    """Say that an account cannot be opened; `answer` is the one that failed."""

    def __init__(self, text: str, answer: Answer) -> None:
        super().__init__(text)
        self.answer = answer


def _client(
    terms: VenueTerms,
    market: Market,
    credentials: Credentials,
    urls: Mapping[str, Any],
    session: aiohttp.ClientSession | None,
    *,
    is_rehearsal: bool,
) -> Any:
    """Return ccxt.pro's client, quiet, exact and without habits of its own. Importing it takes a second: only here."""
    import ccxt.pro

    row = terms.markets[market]
    options = {
        "defaultType": row.type,
        # On spot it would turn Binance's calls to the derivatives' host.
        **({} if market is Market.SPOT else {"defaultSubType": "linear"}),
        "fetchMarkets": {"types": list(row.kinds)},
        "adjustForTimeDifference": False,
        "maxRetriesOnFailure": 0,
        **terms.options,
    }
    settings: dict[str, Any] = {
        "apiKey": credentials.key,
        "secret": credentials.secret,
        "enableRateLimit": False,
        "timeout": TIMEOUT_MS,
        "newUpdates": True,
        "number": str,
        "options": options,
    }
    if credentials.passphrase:
        settings["password"] = credentials.passphrase
    if session is not None:
        settings["session"] = session
    client = getattr(ccxt.pro, terms.venue)(settings)
    for address in addresses(urls):
        check_either(address)
    client.urls = merge_urls(client.urls, urls)
    if is_rehearsal:
        client.urls["api"] = only_here(client.urls["api"])
    # Its currencies are a private call that nothing here needs.
    client.has = {**client.has, "fetchCurrencies": False}
    client.streaming = {**client.streaming, "keepAlive": KEEP_ALIVE_MS}
    # ccxt logs requests, headers included, at the level of debugging.
    client.logger = logging.getLogger("smartmoney.unheard")
    client.logger.disabled = True
    return client

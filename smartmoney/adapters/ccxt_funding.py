"""Funding of perpetuals at any exchange that ccxt knows, delivered as mark price frames beside the books.

Per instrument a loop for each call that the venue pushes by, and one that asks for what it does not push, or did not lately: each minute, a
moment before a payment, and after it until the venue names the next one. It has an exchange object, and so sockets, of its own: what a
venue says of a channel there fails every question on that socket, and no book shall pay for it.

Invariants: nothing that happens here ends `run`, but a bug of ours and `close`; a failure is logged and tried again after a backoff; a
venue that cannot tell is named once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

import msgspec
import structlog

from smartmoney.adapters.backoff import BackoffPolicy
from smartmoney.adapters.ccxt_asking import Retry, answered
from smartmoney.adapters.clock import Clock, within
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.ccxt_funding import FundingNews, Told, Way, read, tells_rate, ways_of

_MS = 1_000_000
_CONNECTION = 0
"""Of frames that come beside the books: no connection of a book has it."""
_CALLS = {
    Way.TICKER: "watch_ticker",
    Way.MARK: "watch_mark_price",
    Way.RATE: "watch_funding_rate",
    Way.ASK_RATE: "fetch_funding_rate",
    Way.ASK_MARK: "fetch_mark_price",
}
_log = structlog.get_logger("smartmoney.funding")


class FundingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure when is asked, in seconds. `pushed_s`: how long a venue that pushes may be silent; `around_s`: when a payment is near."""

    asked_s: float = 60.0
    pushed_s: float = 120.0
    before_s: float = 3.0
    after_s: float = 3.0
    again_s: float = 5.0
    around_s: float = 65.0
    look_s: float = 1.0
    backoff: BackoffPolicy = BackoffPolicy(first_s=1.0, cap_s=60.0)


class _Followed:
    def __init__(self, name: str, symbol: str) -> None:
        self.name = name
        self.news = FundingNews(symbol)
        self.asked_ms = self.mark_asked_ms = 0


class CcxtFunding:
    """Follow the funding of those instruments that are perpetuals, through an exchange that it owns. One `run`, from one event loop."""

    def __init__(
        self,
        exchange: Any,
        instruments: Sequence[Instrument],
        take: Callable[[int, bytes], bool],
        *,
        clock: Clock,
        jitter: Random,
        policy: FundingPolicy | None = None,
    ) -> None:
        self._exchange = exchange
        self._take = take
        self._clock = clock
        self._jitter = jitter
        self._policy = policy or FundingPolicy()
        self._followed = [_Followed(one.name, one.symbol) for one in instruments if is_perpetual(exchange, one)]
        self._ways = ways_of(exchange.id, exchange.has)
        self._pushed = [way for way in self._ways if way not in {Way.ASK_RATE, Way.ASK_MARK}]
        self._is_rate_pushed = any(tells_rate(exchange.id, way) for way in self._pushed)
        self._has_run = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Deliver until `close` is called; return at once where nothing can be followed. Releases ccxt's connections."""
        self._has_run = True
        names = [one.name for one in self._followed]
        try:
            if not names:
                return
            if not self._ways:
                _log.warning("funding_not_told", venue=self._exchange.id, instruments=names, paid="at the assumed rate")
                return
            _log.info("funding_followed", venue=self._exchange.id, instruments=names, by=[str(way) for way in self._ways])
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._watch(one, way)) for one in self._followed for way in self._pushed]
                loops += [group.create_task(self._ask(one)) for one in self._followed]
                loops.append(group.create_task(self._flushes()))
                await self._stopping.wait()
                for loop in loops:
                    loop.cancel()
        finally:
            await self._exchange.close()

    async def close(self) -> None:
        """End `run`; release ccxt's connections where it was never begun."""
        self._stopping.set()
        if not self._has_run:
            await self._exchange.close()

    async def _watch(self, one: _Followed, way: Way) -> None:
        """Take what the venue pushes."""
        retry = Retry(self._policy.backoff, self._jitter)
        while True:
            await self._once(one, way, retry)

    async def _ask(self, one: _Followed) -> None:
        """Ask for what is not pushed, or was not lately."""
        retry = Retry(self._policy.backoff, self._jitter)
        while True:
            now_ms, patience_s = self._now_ms(), self._policy.pushed_s
            if Way.ASK_RATE in self._ways and now_ms >= self._asks_at_ms(one):
                one.asked_ms, patience_s = now_ms, self._policy.asked_s / 2
                await self._once(one, Way.ASK_RATE, retry)
            if Way.ASK_MARK in self._ways and self._now_ms() - max(one.news.mark_heard_ms, one.mark_asked_ms) > 1000 * patience_s:
                one.mark_asked_ms = self._now_ms()
                await self._once(one, Way.ASK_MARK, retry)
            await self._clock.sleep(self._policy.look_s)

    async def _flushes(self) -> None:
        """Say what came too soon after what was said before it."""
        while True:
            await self._clock.sleep(self._policy.look_s)
            for one in self._followed:
                self._say(one.news.flush(self._now_ms()))

    async def _pushed_within(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return what is pushed next. Where nothing comes for long, subscribe anew: ccxt takes a channel that was refused for subscribed.

        Raises:
            TimeoutError: nothing came, and the sockets were closed.
        """
        try:
            return await within(self._clock, self._policy.pushed_s, call)
        except TimeoutError:
            await self._exchange.close_ws_clients()
            raise TimeoutError(f"nothing was pushed for {self._policy.pushed_s:g} s") from None

    def _asks_at_ms(self, one: _Followed) -> int:
        """Return from when on a rate is asked for, by our wall clock: before a payment, after it, and where none was told for long."""
        policy, heard_ms, at_ms = self._policy, one.news.rate_heard_ms, one.news.at_ms
        patience_ms = round(1000 * (policy.pushed_s if self._is_rate_pushed else policy.asked_s))
        if heard_ms is None or at_ms is None:
            return one.asked_ms + patience_ms
        before_ms, after_ms = at_ms - round(1000 * policy.before_s), at_ms + round(1000 * policy.after_s)
        due_ms = min(heard_ms + patience_ms, after_ms)
        if not self._is_rate_pushed and heard_ms < before_ms:
            due_ms = min(due_ms, before_ms)
        is_near = abs(self._now_ms() - at_ms) <= policy.around_s * 1000
        return max(due_ms, one.asked_ms + round(1000 * (policy.again_s if is_near else policy.asked_s)))

    async def _once(self, one: _Followed, way: Way, retry: Retry) -> None:
        """Ask or wait once; a failure is logged and waited for."""
        call: Callable[[str], Coroutine[Any, Any, Any]] = getattr(self._exchange, _CALLS[way])
        answer, reason = await answered(self._pushed_within(call(one.name)) if way in self._pushed else call(one.name))
        if not reason:
            told, reason = _read(self._exchange.id, way, answer)
            self._say(one.news.take(told, self._now_ms()))
        if reason:
            _log.warning("funding_feed_failed", instrument=one.name, by=str(way), reason=reason)
            await self._clock.sleep(retry.delay_s(self._clock.monotonic_ns()))
        else:
            retry.note_answer(self._clock.monotonic_ns())

    def _say(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._take(_CONNECTION, frame)

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // _MS


def is_perpetual(exchange: Any, instrument: Instrument) -> bool:
    """Tell whether an instrument pays funding: a linear contract without an end."""
    return instrument.market is Market.USDM and bool(exchange.markets[instrument.name].get("swap"))


def beside(exchange: Any) -> Any:
    """Return another object of an exchange of ccxt, with its addresses, options and markets, and connections of its own."""
    other = type(exchange)({"newUpdates": True})
    other.urls, other.has, other.options = exchange.urls, exchange.has, {**exchange.options}
    other.set_markets_from_exchange(exchange)
    return other


def _read(exchange_id: str, way: Way, answer: Any) -> tuple[Told, str]:
    """Return what an answer tells, and why it cannot be used."""
    if not isinstance(answer, dict):
        return Told(), f"no answer of a known form: {type(answer).__name__}"
    told = read(exchange_id, way, answer)
    if not tells_rate(exchange_id, way):
        return told, "" if told.mark is not None else "no mark price in it"
    return told, "" if told.rate is not None and told.at_ms is not None else "no rate or no time of funding in it"

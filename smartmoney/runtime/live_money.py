"""Bring home what moved an account's money without a trade: funding is booked, transfers are told.

The venue's list of incomes is the truth, and each of its rows has a number that is unique for ever; the stream, whose events have none,
only says that the list is worth a look now. So a payment is booked once, whichever of the two speaks first, is late, doubled or lost, and
over restarts: the journal says up to when payments are booked, and under which numbers.

Invariants: a row is posted once in a life of this object; the rows of a kind leave oldest first, so that a crash between two loses none; a
reading that failed posts nothing and moves no cursor; every loop is bounded.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from smartmoney.adapters.clock import Clock
from smartmoney.adapters.money_list import MoneyList
from smartmoney.core.domain.entries import FundingPaid, HaltRequested, MoneyMoved, Payload
from smartmoney.core.domain.instruments import Instrument
from smartmoney.runtime.live_account import ReadFailed
from smartmoney.runtime.supervisor import Beat
from smartmoney.venues.incomes import Income
from smartmoney.venues.order_news import NewsError
from smartmoney.venues.outcomes import Outcome

log = structlog.get_logger("money")

EVERY_S = 60.0
"""The list is read this often without being told."""
LOOKS_S = (0.5, 2.0, 8.0, 30.0)
"""Waits between looks after the stream has told of something: the list may have it later."""
AFTER_UP_S = 5.0
"""So long after the stream came up the list is read: what was paid before that was told to nobody."""
FIRST_S_MAX = 8.0
"""A start waits so long for the payments of the time before it."""
KEPT = 4096
LOOK_BACK_MS = 86_400_000
"""A row may come into the list so long after its own time."""
_TURN_S = 0.5
_S = 1_000_000_000


class MoneyBeginning(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the journal knows: the names of payments that are booked, and, by kind, from when on (ms, venue) rows may be unknown."""

    from_ms: Mapping[str, int]
    booked: tuple[str, ...] = ()


class LiveMoney:
    """Read the list and post what is new. `run` it until cancelled; `first` once before the account is reported."""

    def __init__(
        self,
        money: MoneyList,
        instruments: Sequence[Instrument],
        beginning: MoneyBeginning,
        post: Callable[[Payload], None],
        *,
        clock: Clock,
    ) -> None:
        self._list = money
        self._index = {instrument.symbol: number for number, instrument in enumerate(instruments)}
        self._quotes = [instrument.quote for instrument in instruments]
        self._post = post
        self._clock = clock
        self._known = dict.fromkeys(beginning.booked)
        self._from_ms = dict(beginning.from_ms)
        self._read_until_ms = dict(self._from_ms)
        self._told = asyncio.Event()
        self._wanted: set[str] = set()
        self._looks_left = 0
        self._regular_ns = clock.monotonic_ns() + round(EVERY_S * _S)
        self._look_ns = 0
        self._puzzling: set[str] = set()
        """Kinds that could not be understood, or were refused, at the last look: a halt was asked for already."""

    def note(self, reason: str) -> None:
        """Take note that the stream told of money that moved, and why in the venue's words."""
        log.info("money moved at the venue", reason=reason)
        self._look_soon(self._list.kinds_of(reason))

    def stream_up(self) -> None:
        """Take note that the stream begins to tell: what happened before was told to nobody."""
        self._regular_ns = min(self._regular_ns, self._clock.monotonic_ns() + round(AFTER_UP_S * _S))

    async def first(self) -> None:
        """Post the payments of the time before this start, within a patience; what it did not reach comes with the next turn."""
        try:
            async with asyncio.timeout(FIRST_S_MAX):
                await self._read(self._list.booked[0], is_urgent=True)
        except TimeoutError:
            log.warning("funding before this start could not be read in time")
        except (ReadFailed, NewsError) as failure:
            self._failed(self._list.booked[0], failure)

    async def run(self, beat: Beat) -> None:
        """Read the list regularly, and for a while after the stream has told of something."""
        while True:
            beat()
            now_ns = self._clock.monotonic_ns()
            if now_ns >= self._regular_ns:
                self._regular_ns = now_ns + round(EVERY_S * _S)
                await self.look((*self._list.booked, *self._list.moved))
            elif self._wanted and now_ns >= self._look_ns:
                await self._look_again()
            try:
                async with asyncio.timeout(_TURN_S):
                    await self._told.wait()
                self._told.clear()
            except TimeoutError:
                continue

    async def look(self, kinds: Sequence[str], *, is_urgent: bool = False) -> None:
        """Read some kinds once and post what is new; one that cannot be understood keeps the others from nothing."""
        for kind in kinds:
            try:
                await self._read(kind, is_urgent=is_urgent)
            except NewsError as failure:
                self._failed(kind, failure)
            except ReadFailed as failure:
                self._failed(kind, failure)
                return

    def _look_soon(self, kinds: tuple[str, ...]) -> None:
        self._wanted.update(kinds)
        self._looks_left = len(LOOKS_S)
        self._look_ns = 0
        self._told.set()

    async def _look_again(self) -> None:
        left = self._looks_left = self._looks_left - 1
        self._look_ns = self._clock.monotonic_ns() + round(LOOKS_S[-1 - left] * _S)
        kinds = sorted(self._wanted)
        if left <= 0:
            self._wanted.clear()
        await self.look(kinds, is_urgent=True)

    async def _read(self, kind: str, *, is_urgent: bool) -> None:
        """Post what is new of a kind, once all of it was read."""
        now_ms = self._list.venue_ms()
        for row in await self._rows(kind, now_ms, is_urgent=is_urgent):
            self._take(row)
        self._read_until_ms[kind] = max(self._read_until_ms[kind], now_ms)
        self._puzzling.discard(kind)

    async def _rows(self, kind: str, now_ms: int, *, is_urgent: bool) -> list[Income]:
        """Return the rows of a kind that may be new, window by window."""
        found: list[Income] = []
        start_ms = max(self._read_until_ms[kind] - LOOK_BACK_MS, self._from_ms[kind], now_ms - self._list.history_ms)
        while True:
            end_ms = start_ms + self._list.window_ms - 1
            listed = await self._list.incomes(kind, start_ms, end_ms, is_urgent=is_urgent)
            if not listed.answer.is_done:
                raise ReadFailed(f"incomes of kind {kind}", listed.answer)
            found += listed.rows
            start_ms = end_ms + 1
            # Asked once in any case: a clock of ours that is behind, and was not measured yet, says that nothing can have happened.
            if start_ms > now_ms:
                return found

    def _take(self, row: Income) -> None:
        index = self._index.get(row.symbol)
        is_ours = row.kind in self._list.moved or (row.kind in self._list.booked and index is not None)
        if row.reference in self._known or row.amount == 0 or not is_ours:
            return
        self._known[row.reference] = None
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        at_ns = row.time_ms * 1_000_000
        if row.kind in self._list.booked and index is not None and row.asset == self._quotes[index]:
            self._post(FundingPaid(instrument=index, amount=row.amount, reference=row.reference, ts_event_ns=at_ns))
            return
        self._post(MoneyMoved(asset=row.asset, amount=row.amount, reason=row.kind, reference=row.reference, ts_event_ns=at_ns))

    def _failed(self, kind: str, failure: Exception) -> None:
        log.warning("the list of incomes could not be read", kind=kind, problem=str(failure))
        self._regular_ns = self._clock.monotonic_ns() + round(AFTER_UP_S * _S)
        is_refused = isinstance(failure, ReadFailed) and failure.answer is not None and failure.answer.outcome is Outcome.KEY
        if (is_refused or isinstance(failure, NewsError)) and kind not in self._puzzling:
            # Equity without its funding is a number that nobody may trade by.
            self._puzzling.add(kind)
            what = f"the key may not read them; {self._list.permission}" if is_refused else "they cannot be understood"
            self._post(HaltRequested(reason=f"the venue's incomes: {what} ({failure})"))

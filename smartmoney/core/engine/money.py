"""Equity, the kill switch and the day's loss, as the engine looks at them.

Invariants: whatever goes wrong while the kill switch looks is a halt; a position in a book that is not synced is not marked for the kill
switch (it counts as blind from that moment); for sizing and for the screen the last mark serves within its grace; without a position
equity is cash.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from operator import is_

import msgspec

from smartmoney.core.domain.commands import RecordDay
from smartmoney.core.domain.entries import DayState, HaltState
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.engine.stretch import Glance
from smartmoney.core.execution.view import Quote
from smartmoney.core.portfolio.portfolio import Portfolio, mark_price
from smartmoney.core.risk.daily_loss import DayClock, day_of, loss_fraction, observe_day, read_clock
from smartmoney.core.risk.kill_switch import (
    KillEvent,
    KillState,
    ResumeDenied,
    ResumeEvent,
    drawdown,
    halt,
    is_closing,
    observe,
    rescaled,
    resume,
    transfer,
)
from smartmoney.core.risk.parameters import RiskLimits

_S = 1_000_000_000


class _Bounded(msgspec.Struct, frozen=True):
    """Remember bounds of marks, and what they were told from."""

    peak: Decimal
    cash: Decimal
    quantities: Sequence[Decimal]
    ranges: Sequence[tuple[int, int]]

    def holds(self, peak: Decimal, cash: Decimal, quantities: Sequence[Decimal], marks: Mapping[int, int]) -> bool:
        """Tell whether they are still true: of the very same money, and no mark has left them; where the only one is does not matter."""
        if peak is not self.peak or cash is not self.cash or len(quantities) != len(self.quantities):
            return False
        is_same = all(map(is_, quantities, self.quantities))
        if len(self.ranges) == 1:
            return is_same
        return is_same and all(low <= ticks <= high for (low, high), ticks in zip(self.ranges, marks.values(), strict=True))


class Money:
    """Carry the kill switch and the marks of a run."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        portfolio: Portfolio,
        limits: RiskLimits,
        initial: HaltState,
        day: DayState = DayState(),  # noqa: B008 - frozen
    ) -> None:
        self._instruments = instruments
        self._portfolio = portfolio
        self._limits = limits
        self._kill = KillState(halt=initial)
        self._day = day
        self._recorded_day = day
        self._clock: DayClock | None = None
        self._today = -1
        self._last_marks: list[tuple[Decimal, int] | None] = [None for _ in instruments]
        self._at_rest: tuple[Decimal, KillState] | None = None
        """Cash and switch as of a look with nothing held that found nothing: while both stand, another look finds nothing either."""
        self._bounded: _Bounded | None = None
        """The latest answer of `bounds`, with what it was told from."""
        self.equity: Decimal | None = None
        """Equity with marks no older than their grace; None when even those are missing."""

    @property
    def state(self) -> HaltState:
        """Return the durable part of the kill switch."""
        return self._kill.halt

    @property
    def must_be_flat(self) -> bool:
        """Tell whether the halt in force was one that closes every position: a restart in its middle goes on closing."""
        return is_closing(self.state)

    @property
    def drawdown(self) -> Decimal | None:
        """Return the fraction lost from the peak."""
        return drawdown(self.equity, self._kill.halt.peak)

    @property
    def daily_loss(self) -> Decimal | None:
        """Return the fraction of the day's first equity that is lost."""
        return loss_fraction(self._day, self.equity)

    @property
    def is_steady(self) -> bool:
        """Tell whether the kill switch waits for nothing but another equity: no breach and no blindness has begun."""
        return self._kill.breach_since_ns is None and self._kill.blind_since_ns is None

    def is_new_day(self, wall_ns: int) -> bool:
        """Tell whether a look at this time would open a new day."""
        return observe_day(self._day, self.equity, wall_ns) is not self._day

    def bounds(self, marks: Mapping[int, int]) -> Sequence[tuple[int, int]]:
        """Return within which ticks the marks of all positions, which are at `marks` now, tell the kill switch nothing new.

        Inside them equity makes no new peak and stays above the allowed drawdown, wherever the others are inside theirs: positions have
        equal shares of the room that is left. A tick is left at either end for rounding; a range that does not hold its mark is none.
        """
        peak, cash = self._kill.halt.peak, self._portfolio.cash
        if peak is None:
            return [(1, 0)] * len(marks)
        quantities = [self._portfolio.position(index).quantity for index in marks]
        known = self._bounded
        if known is None or not known.holds(peak, cash, quantities, marks):
            known = self._bounded = _Bounded(peak, cash, quantities, self._shared(peak, cash, quantities, marks))
        return known.ranges

    def _shared(self, peak: Decimal, cash: Decimal, quantities: Sequence[Decimal], marks: Mapping[int, int]) -> list[tuple[int, int]]:
        worths = [self._instruments[index].tick_size * quantity for index, quantity in zip(marks, quantities, strict=True)]
        equity = cash + sum(worth * ticks for worth, ticks in zip(worths, marks.values(), strict=True))
        up, down = (peak - equity) / len(marks), (equity - peak * (1 - self._limits.max_drawdown)) / len(marks)
        ranges = []
        for worth, ticks in zip(worths, marks.values(), strict=True):
            better, worse = (int((room / abs(worth)).to_integral_value(ROUND_FLOOR)) - 1 for room in (up, down))
            ranges.append((ticks - worse, ticks + better) if worth > 0 else (ticks - better, ticks + worse))
        return ranges

    def observe(self, quotes: Sequence[Quote], mono_ns: int, wall_ns: int) -> KillEvent | None:
        """Mark everything and let the kill switch look; return the halt that this caused. It fails closed: an error is a halt."""
        try:
            return self._observe(quotes, mono_ns, wall_ns)
        except Exception as error:  # noqa: BLE001 - the kill switch fails closed
            self.equity = None
            return self.halt(f"the kill switch could not look: {type(error).__name__}: {error}")

    def equity_at(self, glances: Sequence[Glance]) -> Decimal | None:
        """Return equity at touches of all instruments, as a look would find it."""
        portfolio = self._portfolio
        if not portfolio.is_exposed:
            return portfolio.cash
        seen = enumerate(zip(self._instruments, glances, strict=True))
        return portfolio.equity([mark_price(one, portfolio.position(i).quantity, at.bid_ticks, at.ask_ticks) for i, (one, at) in seen])

    @property
    def has_day(self) -> bool:
        """Tell whether there is a day's opening that is not journaled yet."""
        return self._day != self._recorded_day and self._day.opening is not None

    def take_day(self) -> RecordDay | None:
        """Return the day's opening when it is not journaled yet, once."""
        if not self.has_day or self._day.opening is None:
            return None
        self._recorded_day = self._day
        return RecordDay(day=self._day.day, opening=self._day.opening)

    def transfer(self, amount: Decimal, reason: str) -> str | None:
        """Book a deposit or a withdrawal and move the peak and the day's opening with it; return why not, None when it is done."""
        equity = self.equity
        if not reason.strip():
            return "a transfer needs a reason"
        if not amount.is_finite() or amount == 0:
            return f"{amount} is no amount"
        if equity is None:
            return "equity is unknown: a position is held in a book that is not synced"
        if not (equity > 0 and equity + amount > 0 and self._portfolio.cash + amount >= 0):
            return f"{amount} cannot be taken from equity {equity:.2f}, cash {self._portfolio.cash:.2f}"
        self._kill = transfer(self._kill, equity, amount)
        if self._day.opening is not None:
            self._day = DayState(day=self._day.day, opening=rescaled(self._day.opening, equity, amount))
        self._portfolio.apply_transfer(amount)
        self.equity = equity + amount
        return None

    def _observe(self, quotes: Sequence[Quote], mono_ns: int, wall_ns: int) -> KillEvent | None:
        portfolio = self._portfolio
        rest = self._at_rest
        if rest is not None and not portfolio.is_exposed and rest[0] is portfolio.cash and rest[1] is self._kill:
            self.equity = portfolio.cash
            self._look_at_day(mono_ns, wall_ns)
            return None
        fresh: list[Decimal | None] = []
        recent: list[Decimal | None] = []
        for index, quote in enumerate(quotes):
            quantity = portfolio.position(index).quantity
            mark = self._mark(index, quantity, quote)
            if mark is not None:
                self._last_marks[index] = (mark, mono_ns)
            fresh.append(mark)
            recent.append(mark if mark is not None else self._remembered(index, mono_ns))
        self.equity = portfolio.equity(recent)
        self._look_at_day(mono_ns, wall_ns)
        marked = self.equity if recent == fresh else portfolio.equity(fresh)
        self._kill, event = observe(self._kill, marked, portfolio.has_position(), mono_ns, self._limits)
        self._at_rest = (portfolio.cash, self._kill) if event is None and self.is_steady and not portfolio.is_exposed else None
        return event

    def _look_at_day(self, mono_ns: int, wall_ns: int) -> None:
        self._clock, day_ns = read_clock(self._clock, wall_ns, mono_ns)
        self._today = day_of(day_ns)
        self._day = observe_day(self._day, self.equity, day_ns)

    def halt(self, reason: str, *, must_flatten: bool = False) -> KillEvent | None:
        """Halt on request; None when it is halted already."""
        self._kill, event = halt(self._kill, reason, self.equity, must_flatten=must_flatten)
        return event

    def resume(self, reason: str) -> ResumeEvent | ResumeDenied:
        """Re-arm on an operator's word. A day that lies ahead (a clock was wrong) ends then: nothing else could end it."""
        self._kill, outcome = resume(self._kill, self.equity, reason)
        if isinstance(outcome, ResumeEvent) and self._day.day > self._today >= 0:
            self._day = DayState(day=self._today, opening=self.equity)
        return outcome

    def _mark(self, index: int, quantity: Decimal, quote: Quote) -> Decimal | None:
        if quantity == 0 or not quote.is_usable:
            return None
        return mark_price(self._instruments[index], quantity, quote.best_bid_ticks, quote.best_ask_ticks)

    def _remembered(self, index: int, mono_ns: int) -> Decimal | None:
        last = self._last_marks[index]
        return None if last is None or mono_ns - last[1] > self._limits.mark_grace_s * _S else last[0]

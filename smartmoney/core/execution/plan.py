"""What the executor wants for each instrument: protective levels, a deadline, an exit; and what each entry order will want once it fills.

Invariants: a stop in a plan only tightens while the position lasts; a plan ends with its position.
"""

import msgspec

from smartmoney.core.domain.orders import Purpose, Side
from smartmoney.core.strategy.outlook import Outlook

_MS = 1_000_000
_EXIT_BACKOFF_NS = (0, 250 * _MS, 500 * _MS, 1_000 * _MS, 2_000 * _MS, 5_000 * _MS)
_NOTHING = (None,) * 5
_PROTECT_BACKOFF_NS = (0, 200 * _MS, 500 * _MS, 1_000 * _MS, 2_000 * _MS, 5_000 * _MS)


class EntryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Say what an entry order's fills bring with them. Times in monotonic ns, durations in s."""

    signal_id: str
    confidence: float
    stop_ticks: int
    target_ticks: int
    holding_ns: int | None
    created_mono_ns: int


class Pursuit(msgspec.Struct, kw_only=True):
    """Follow a resting entry over the orders that take each other's place, the newest last (`core.execution.entering`).

    `lots` are what all of them may fill together, `limit_ticks` is how far they may follow the touch, `mid_ticks` the mid of the decision.
    `withdrawn` says why the newest one was taken back, None while it was not; `ended_mono_ns` when its end was seen, `blind_mono_ns` since
    when there has been no book to follow.
    """

    plan: EntryPlan
    side: Side
    lots: int
    limit_ticks: int
    mid_ticks: float
    outlook: Outlook
    order_ids: list[str] = []
    withdrawn: str | None = None
    ended_mono_ns: int | None = None
    blind_mono_ns: int | None = None
    refusals: int = 0


class ExitPlan(msgspec.Struct, kw_only=True):
    """Follow an exit until the position is down to `keep_lots` (unsigned)."""

    reason: str
    keep_lots: int = 0
    purpose: Purpose = Purpose.EXIT
    at_market: bool = False
    attempts: int = 0
    not_before_ns: int = 0
    signal_id: str | None = None
    is_told: bool = False

    def note_attempt(self, now_mono_ns: int) -> None:
        """Count an order sent and put the next one off, longer each time, 5 s at most."""
        self.attempts += 1
        self.not_before_ns = now_mono_ns + _EXIT_BACKOFF_NS[min(self.attempts, len(_EXIT_BACKOFF_NS) - 1)]


class PositionPlan(msgspec.Struct, kw_only=True):
    """Hold what is wanted for one instrument while it holds a position."""

    stop_ticks: int | None = None
    target_ticks: int | None = None
    deadline_mono_ns: int | None = None
    signal_id: str | None = None
    exit: ExitPlan | None = None
    protect_failures: int = 0
    target_failures: int = 0
    protect_not_before_ns: int = 0
    passed_since_ns: int | None = None
    """Since when the market has been beyond a stop that stands and does not act (`core.execution.watched`)."""

    @property
    def is_clear(self) -> bool:
        """Tell whether there is nothing to forget."""
        wishes = (self.stop_ticks, self.target_ticks, self.deadline_mono_ns, self.signal_id, self.exit)
        return wishes == _NOTHING and self.target_failures == self.protect_not_before_ns == 0

    def clear(self) -> None:
        """Forget everything: the position is gone. Stops that were refused count until one is taken: the next position's may be, too."""
        self.stop_ticks = None
        self.target_ticks = None
        self.deadline_mono_ns = None
        self.signal_id = None
        self.exit = None
        self.target_failures = 0
        self.protect_not_before_ns = 0
        self.passed_since_ns = None

    def take(self, entry: EntryPlan, side: Side, now_mono_ns: int) -> None:
        """Take over an entry's levels at its fill: the tighter stop of the two, the newer target and deadline."""
        if self.stop_ticks is None:
            self.stop_ticks = entry.stop_ticks
        else:
            tighter = max if side is Side.BUY else min
            self.stop_ticks = tighter(self.stop_ticks, entry.stop_ticks)
        self.target_ticks = entry.target_ticks
        if self.signal_id != entry.signal_id:
            self.deadline_mono_ns = None if entry.holding_ns is None else now_mono_ns + entry.holding_ns
        self.signal_id = entry.signal_id

    def want_exit(self, exit_plan: ExitPlan) -> None:
        """Take an exit on; one that closes more, or at market, replaces one that is less."""
        current = self.exit
        if current is None or exit_plan.keep_lots < current.keep_lots or (exit_plan.at_market and not current.at_market):
            self.exit = exit_plan

    def note_protect_failure(self, now_mono_ns: int) -> None:
        """Count a stop that was refused and put the next one off, longer each time, 5 s at most."""
        self.protect_failures += 1
        self._put_off(self.protect_failures, now_mono_ns)

    def note_target_failure(self, now_mono_ns: int, attempts_max: int) -> None:
        """Count a target that was refused; after `attempts_max` the position does without one."""
        self.target_failures += 1
        self._put_off(self.target_failures, now_mono_ns)
        if self.target_failures >= attempts_max:
            self.target_ticks = None

    def _put_off(self, failures: int, now_mono_ns: int) -> None:
        index = min(failures, len(_PROTECT_BACKOFF_NS) - 1)
        self.protect_not_before_ns = now_mono_ns + _PROTECT_BACKOFF_NS[index]

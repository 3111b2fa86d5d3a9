"""How much of the day's first equity has been lost since 00:00 UTC.

Invariants: the day is the wall clock's, because the limit is a person's, but read so that a clock that is set moves it only after an hour;
it never turns back, so that a clock set back renews no allowance; its opening survives a restart.
"""

from decimal import Decimal

import msgspec

from smartmoney.core.domain.entries import DayState

_S = 1_000_000_000
_DAY_NS = 86_400 * _S
_SLACK_NS = 60 * _S
"""A wall clock that is corrected by less than this is followed at once."""
_DISBELIEF_NS = 3_600 * _S
"""A wall clock that was set by more is believed when it has stayed so for this long, on the monotonic clock."""


class DayClock(msgspec.Struct, frozen=True, kw_only=True):
    """Carry the last pair of clocks that was believed, and since when (monotonic ns) the wall clock says otherwise."""

    wall_ns: int = 0
    mono_ns: int = 0
    doubted_since_ns: int | None = None


def read_clock(clock: DayClock | None, wall_ns: int, mono_ns: int) -> tuple[DayClock, int]:
    """Return the clock after a look at both clocks, and the time of day to go by, ns since 1970."""
    if clock is None:
        return DayClock(wall_ns=wall_ns, mono_ns=mono_ns), wall_ns
    expected_ns = clock.wall_ns + mono_ns - clock.mono_ns
    if abs(wall_ns - expected_ns) <= _SLACK_NS:
        return DayClock(wall_ns=wall_ns, mono_ns=mono_ns), wall_ns
    since_ns = mono_ns if clock.doubted_since_ns is None else clock.doubted_since_ns
    if mono_ns - since_ns >= _DISBELIEF_NS:
        return DayClock(wall_ns=wall_ns, mono_ns=mono_ns), wall_ns
    return msgspec.structs.replace(clock, doubted_since_ns=since_ns), expected_ns


def day_of(wall_ns: int) -> int:
    """Return the UTC day of a time, in days since 1970."""
    return wall_ns // _DAY_NS


def observe_day(state: DayState, equity: Decimal | None, ts_wall_ns: int) -> DayState:
    """Start a new day when the clock says so; its opening is the first equity that could be computed."""
    day = day_of(ts_wall_ns)
    is_known = equity is not None and equity.is_finite()
    if day > state.day:
        return DayState(day=day, opening=equity if is_known else None)
    if state.opening is None and is_known:
        return msgspec.structs.replace(state, opening=equity)
    return state


def loss_fraction(state: DayState, equity: Decimal | None) -> Decimal | None:
    """Return today's loss as a fraction of the day's opening equity (0 for a gain); None when it cannot be told."""
    if equity is None or not equity.is_finite() or state.opening is None or state.opening <= 0:
        return None
    return max(Decimal(0), (state.opening - equity) / state.opening)

"""How much of the day's first equity has been lost since 00:00 UTC.

Invariants: the day is the wall clock's, because the limit is a person's; it never turns back, so that a clock set back renews no allowance.
"""

from decimal import Decimal

import msgspec

_DAY_NS = 86_400 * 1_000_000_000


class DailyLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Carry the UTC day (days since 1970) and its first known equity, in quote."""

    day: int = -1
    opening: Decimal | None = None


def observe_day(state: DailyLoss, equity: Decimal | None, ts_wall_ns: int) -> DailyLoss:
    """Start a new day when the wall clock says so; its opening is the first equity that could be computed."""
    day = ts_wall_ns // _DAY_NS
    is_known = equity is not None and equity.is_finite()
    if day > state.day:
        return DailyLoss(day=day, opening=equity if is_known else None)
    if state.opening is None and is_known:
        return msgspec.structs.replace(state, opening=equity)
    return state


def loss_fraction(state: DailyLoss, equity: Decimal | None) -> Decimal | None:
    """Return today's loss as a fraction of the day's opening equity (0 for a gain); None when it cannot be told."""
    if equity is None or not equity.is_finite() or state.opening is None or state.opening <= 0:
        return None
    return max(Decimal(0), (state.opening - equity) / state.opening)

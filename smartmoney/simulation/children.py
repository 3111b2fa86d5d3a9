"""Work the parents' orders in one market's book: pace, child size, taking or resting, and what is done when the price runs away.

TWAP and jittered children come at planned times, Poisson children at random, POV children with the market's volume. An iceberg shows one
child's worth at the touch, refills it when it is eaten, and takes what it is behind at the end. A parent never trades more than it has.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.ladder import BID, slot_of
from smartmoney.simulation.latent import GRID_S, NEVER, PARENTS
from smartmoney.simulation.matching import MARKET_PRICE, cancel_plain
from smartmoney.simulation.parents import FIRST_PARENT_OWNER, FREE, ICEBERG, JITTERED, POV, TWAP
from smartmoney.simulation.random import draw, normal
from smartmoney.simulation.requests import FIRST_CHILD, JOIN, NOT_KEPT, TAKE, ask

CHILD_FIELDS: list[Any] = [
    ("p_seen", "i8", (PARENTS,)),
    ("p_begun_at", "f8", (PARENTS,)),
    ("p_rate", "f8", (PARENTS,)),
    ("p_pace", "f8", (PARENTS,)),
    ("p_next", "i8", (PARENTS,)),
    ("p_total", "f8"),
    ("child_next", "i8"),
    ("volume_fast", "f8"),
    ("volume_slow", "f8"),
]
"""Per slot: the parent that this market works there, the mid when it began, children a second (drawn, and planned), and
the time of the next planned child. `volume_*` are lots a second, over 20 s and 20 minutes."""

_SHOWN = 3.0
_REFILL_NS = 5_000_000
_FAST_S, _SLOW_S = 20.0, 1200.0
_LATE = 0.7
_SLOWEST = 1e-6
"""Children a second: the time to the next one of a slower parent would be no number of nanoseconds any more."""


@inner
def plan_children(b: Any, mid: float) -> None:
    """Set every parent's pace for the next grid step, and withdraw what the ended ones left in the book."""
    b.volume_fast *= 1.0 - GRID_S / _FAST_S
    b.volume_slow *= 1.0 - GRID_S / _SLOW_S
    b.p_total = 0.0
    b.child_next = NEVER
    for k in range(PARENTS):
        if b.p_seen[k] != b.p_id[k] or b.p_kind[k] == FREE or b.p_left[k] <= 0:
            _withdraw(b, k)
            b.p_rate[k] = 0.0
            if b.p_kind[k] == FREE or b.p_left[k] <= 0:
                b.p_next[k] = NEVER
                continue
            b.p_seen[k] = b.p_id[k]
            b.p_begun_at[k] = mid
            b.p_next[k] = 0
        _pace(b, k, mid)
        b.p_total += b.p_rate[k]
        b.child_next = min(b.child_next, b.p_next[k])


@inner
def planned_children(b: Any) -> None:
    """Send the children whose planned time has come."""
    b.child_next = NEVER
    for k in range(PARENTS):
        if b.p_next[k] <= b.now and b.p_kind[k] != FREE:
            if b.p_style[k] == ICEBERG:
                b.p_next[k] = NEVER
                _show(b, k)
            else:
                b.p_next[k] = b.now + _gap(b, k)
                send_child(b, k)
        b.child_next = min(b.child_next, b.p_next[k])


@inner
def send_child(b: Any, k: int) -> None:
    """Send one child of a parent: an order that takes, or one that rests at the touch in place of the last."""
    if b.p_left[k] <= 0:
        return
    words = b.words4
    if b.p_style[k] == ICEBERG:
        _look(b, k)
        return
    if draw(words) >= b.p_passive[k]:
        _take(b, k)
        return
    _show(b, k)


@inner
def _pace(b: Any, k: int, mid: float) -> None:
    child = max(b.p_child[k] * math.exp(0.5 * b.p_child_spread[k] * b.p_child_spread[k]) * b.lots_per_unit, 1.0)
    plan = b.p_lots[k] / (child * max((b.p_end[k] - b.p_start[k]) * 1e-9, GRID_S))
    need = b.p_left[k] / (child * max((b.p_end[k] - b.now) * 1e-9, 1.0))
    runs = (mid - b.p_begun_at[k]) / (10.0 * b.ticks_per_bp)
    if b.p_side[k] != BID:
        runs = -runs
    rate = need * math.exp(min(max(b.p_on_adverse[k] * runs, -1.0), 1.0))
    if b.p_style[k] == POV:
        rate *= min(max(b.volume_fast / _FAST_S / max(b.volume_slow / _SLOW_S, 1e-9), 0.2), 3.0)
    rate = min(max(rate, 0.3 * plan), 3.0 * plan)
    b.p_pace[k] = rate
    if b.p_style[k] == TWAP or b.p_style[k] == JITTERED:
        if b.p_next[k] == 0:
            b.p_next[k] = b.now + int(1e9 * draw(b.words4) / max(rate, _SLOWEST))
        b.p_rate[k] = 0.0
        return
    if b.p_next[k] == 0:
        b.p_next[k] = NEVER
    b.p_rate[k] = rate


@inner
def _gap(b: Any, k: int) -> Any:
    gap = 1.0 / max(b.p_pace[k], _SLOWEST)
    if b.p_style[k] == JITTERED:
        gap *= 1.0 + b.p_jitter[k] * (2.0 * draw(b.words4) - 1.0)
    return max(1_000_000, int(1e9 * gap))


@inner
def _child_lots(b: Any, k: int, factor: float) -> Any:
    units = factor * b.p_child[k] * math.exp(b.p_child_spread[k] * normal(b.words4))
    # What rests already is spoken for.
    slot = slot_of(b, b.kept[FIRST_CHILD + k])
    free = b.p_left[k] - b.order_lots[slot] if slot >= 0 else b.p_left[k]
    return min(free, max(1, int(units * b.lots_per_unit)))


@inner
def _take(b: Any, k: int) -> None:
    lots = _child_lots(b, k, 1.0)
    if lots > 0:
        ask(b, b.p_side[k], MARKET_PRICE, lots, TAKE, FIRST_PARENT_OWNER + k, b.p_id[k], NOT_KEPT)


@inner
def _show(b: Any, k: int) -> None:
    _withdraw(b, k)
    best = b.best_bid if b.p_side[k] == BID else b.best_ask
    if best <= 0 or b.p_left[k] <= 0:
        return
    ask(b, b.p_side[k], best, _child_lots(b, k, _SHOWN), JOIN, FIRST_PARENT_OWNER + k, b.p_id[k], FIRST_CHILD + k)


@inner
def _look(b: Any, k: int) -> None:
    elapsed = (b.now - b.p_start[k]) / max(b.p_end[k] - b.p_start[k], 1)
    if elapsed > _LATE and b.p_left[k] > (1.0 - elapsed) * b.p_lots[k]:
        _take(b, k)
        return
    slot = slot_of(b, b.kept[FIRST_CHILD + k])
    best = b.best_bid if b.p_side[k] == BID else b.best_ask
    if slot < 0 or b.order_ticks[slot] != best:
        _show(b, k)


@inner
def _withdraw(b: Any, k: int) -> None:
    if b.kept[FIRST_CHILD + k] != 0:
        cancel_plain(b, b.kept[FIRST_CHILD + k])
        b.kept[FIRST_CHILD + k] = 0


@inner
def note_fill(b: Any, owner: int, parent: int, lots: int, order: int) -> None:
    """Take a fill of a parent's order off what is left of it; an iceberg that was eaten is refilled a moment later."""
    k = owner - FIRST_PARENT_OWNER
    if k < 0 or k >= PARENTS or b.p_id[k] != parent or parent == 0:
        return
    b.p_left[k] = max(b.p_left[k] - lots, 0)
    if order != 0 and order == b.kept[FIRST_CHILD + k] and slot_of(b, order) < 0:
        b.kept[FIRST_CHILD + k] = 0
        if b.p_style[k] == ICEBERG and b.p_left[k] > 0 and b.p_kind[k] != FREE:
            b.p_next[k] = b.now + _REFILL_NS
            b.child_next = min(b.child_next, b.p_next[k])

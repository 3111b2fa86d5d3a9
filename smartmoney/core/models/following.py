"""What the built-in strategy, the gates and the target make of an offer, as far as it comes to nothing, compiled.

The rules are those of `core.strategy.rules`, `follower`, `gates` and `target`, of which Python keeps the exact form: money is a float here,
and where a float cannot tell for sure what exact arithmetic would say, the answer is UNSURE, as it is wherever an order would follow.
Invariants: an answer other than UNSURE is the one that Python would give, its numbers bit for bit.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner, int64
from smartmoney.core.domain.signals import Regime

UNSURE, NOTHING_OFFERED, MISSING, LOW_CONFIDENCE, LOW_LIQUIDITY, MAKERS_ABSENT, BELOW_MIN_CONFIDENCE, EDGE_TOO_SMALL = map(int64, range(8))
NO_POSITION, BELOW_MIN_NOTIONAL, AT_TARGET = map(int64, range(8, 11))
"""What a decision came to; UNSURE is for Python to say."""

_REGIMES = len(Regime)
FOLLOWING = [
    ("threshold", "<f8", _REGIMES),  # confidence that is followed, by regime as all of these
    ("min_liquidity", "<f8", _REGIMES),  # the strategy's
    ("gate_liquidity", "<f8", _REGIMES),
    ("weights", "<f8", (_REGIMES, 3)),  # of regime, imbalance and liquidity in the market score
    ("base_score", "<f8", _REGIMES),
    ("size_factor", "<f8", _REGIMES),
    ("max_size", "<f8", _REGIMES),
    ("band", "<f8", _REGIMES),  # share of a position below which a difference is not worth an order
    ("is_plain", "<i8"),  # 1: what the strategy says is always a usable signal
    ("stable", "<f8"),  # probability above which a regime is stable, ...
    ("unstable_factor", "<f8"),  # ... and what a confidence is worth where it is not
    ("size_floor", "<f8"),
    ("min_makers", "<f8"),
    ("min_confidence", "<f8"),
    ("cost_factor", "<f8"),  # gross return must be worth so many costs
    ("imbalance_at", "<i8"),  # columns
    ("stress_at", "<i8"),
    ("liquidity_at", "<i8"),
    ("makers_at", "<i8"),
]
"""Fields of the record by which offers are judged."""

HOLDING = [("may_follow", "<i8"), ("held_lots", "<i8"), ("working_lots", "<i8"), ("quantity", "<f8")]
"""Whether offers of an instrument may be judged here at all (equity is known, sizes are whole), what is held of it, and what works."""

TERMS = [("tick", "<f8"), ("lot", "<f8"), ("min_notional", "<f8"), ("min_lots", "<i8"), ("allows_short", "<i8")]
"""What an instrument's orders must be."""

_NO_LOTS = int64(0)
_HAIR = 1e-6
"""Nearer than this share to a limit, or to a whole lot, a float is not sure."""
_LOTS_MAX = 1e9


@inner
def _is_near(value: float, limit: float) -> bool:
    return abs(value - limit) <= _HAIR * max(abs(value), abs(limit))


@inner
def _size(q: Any, label: int, confidence: float, probability: float, row: Any) -> float:
    """Return the target as a fraction of equity (`rules.market_score`, `rules.position_size`)."""
    stress, most = row[q.stress_at], q.max_size[label]
    imbalance = min(1.0, 2.0 * abs(row[q.imbalance_at]))
    liquidity = max(0.0, 1.0 - stress)
    score = q.base_score[label] * probability * q.weights[label, 0] + imbalance * q.weights[label, 1] + liquidity * q.weights[label, 2]
    size = most * confidence * q.size_factor[label] * max(0.5, 1.0 - stress) * score
    return float(min(max(q.size_floor, size), most))


@inner
def _aim(q: Any, w: Any, s: Any, label: int, sign: int, size: float) -> Any:
    """Return what the target comes to, and the target in signed lots (`target.plan_order`); UNSURE where an order would follow."""
    price = (s.best_ask_tick if sign > 0 else s.best_bid_tick) * w.tick
    held, working = sign * w.held_lots, sign * w.working_lots
    least = max(1, w.min_lots)
    unit = w.lot * price
    nothing = (UNSURE, _NO_LOTS)
    if not s.best_bid_tick < s.best_ask_tick or (held != 0 and _is_near(abs(held) * unit, w.min_notional)):
        return nothing
    is_held = abs(held) >= least and abs(held) * unit >= w.min_notional
    if is_held and held < 0:
        return nothing
    if sign < 0 and w.allows_short == 0:
        return (NO_POSITION if working >= 0 else UNSURE), _NO_LOTS
    lots = size * q.equity / unit
    if not _HAIR < lots < _LOTS_MAX or lots - math.floor(lots) < _HAIR or math.ceil(lots) - lots < _HAIR:
        return nothing
    target = math.floor(lots)
    wanted = target - held - working
    if wanted < 0:
        wanted = -min(-wanted, max(0, held + min(0, working)))
    if wanted != 0 and _is_near(abs(wanted) * unit, w.min_notional):
        return nothing
    is_tradable = abs(wanted) >= least and abs(wanted) * unit >= w.min_notional
    band = q.band[label] * max(target, held) if is_held else 0.0
    if is_tradable and abs(wanted) >= band:
        return nothing
    return (AT_TARGET if is_held or working > 0 else BELOW_MIN_NOTIONAL), sign * target


@inner
def judge(q: Any, w: Any, s: Any, mind: Any, head: int, cost_bps: float, row: Any, one: Any) -> int:
    """Return what becomes of the offer of a head, and write to the log which number missed which limit.

    Args:
        q: a record with the fields FOLLOWING, and `equity` as of this tick, NaN where it is not known for sure.
        w: the instrument's own, with the fields HOLDING and TERMS.
        s: the instrument's state.
        mind: its MIND record, after the analysis.
        head: that speaks.
        cost_bps: of a round trip.
        row: features.
        one: the log's record; `value` and `limit` are written, and `sized`: the confidence of the signal, NaN where there is none.
    """
    label = mind.label
    confidence = mind.confidence[head]
    one.value, one.limit = confidence, q.threshold[label]
    one.sized = math.nan
    if not confidence >= one.limit:
        return LOW_CONFIDENCE
    if w.may_follow == 0 or q.is_plain == 0:
        return UNSURE
    # What could give back something that is held, or works, passes some gates, and from nothing nothing can be given back.
    is_flat = w.held_lots == 0 and w.working_lots == 0
    one.value, one.limit = row[q.liquidity_at], q.min_liquidity[label]
    if not one.value >= one.limit:
        return LOW_LIQUIDITY if is_flat else UNSURE
    probability = mind.smoothed[label]
    if not probability > q.stable:
        confidence *= q.unstable_factor
    one.sized = confidence
    one.limit = q.gate_liquidity[label]
    if not one.value >= one.limit:
        return LOW_LIQUIDITY if is_flat else UNSURE
    one.value, one.limit = row[q.makers_at], q.min_makers
    if not one.value >= one.limit:
        return MAKERS_ABSENT if is_flat else UNSURE
    one.value, one.limit = confidence, q.min_confidence
    if not confidence >= one.limit:
        return BELOW_MIN_CONFIDENCE
    one.value, one.limit = mind.gross[head], cost_bps * q.cost_factor
    is_dear = not one.value >= one.limit
    if is_dear and is_flat:
        return EDGE_TOO_SMALL
    if not math.isfinite(q.equity):
        return UNSURE
    code, target = _aim(q, w, s, label, 1 if mind.lean[head] > 0.0 else -1, _size(q, label, confidence, probability, row))
    if code == UNSURE:
        return UNSURE
    if is_dear:
        return EDGE_TOO_SMALL
    one.value, one.limit = 0.0, float(target)
    return int(code)

"""Is a liquidity trap noticed before most of its move is over? Warnings by features and by the model's regime, at one false alarm an hour.

A trap's move is that of the mid from the second before it began to its farthest while depth stays away. It was warned of when a score
stood above its threshold in a second since the beginning and before the first in which 60 % of that move were done. The threshold is what
the highest of minutes without a trap reach once an hour; the published label *volatile* has no threshold, and its share of such minutes
is told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]
Heard = tuple[Rows, Said]

MOVE_SHARE = 0.6
MOVE_BPS_MIN = 3.0
LABEL = "regime volatile"
_WARM_S = 300
_MINUTE_S = 60
_AFTER_S = 120
"""Seconds after a trap that count neither as trap nor as quiet: depth is still coming back."""
_VOLATILE = list(Regime).index(Regime.VOLATILE)


class WarnedBy(msgspec.Struct, frozen=True, kw_only=True):
    """Say of one score which share of traps it warned of in time, and how often it is false: minutes without a trap, per hour."""

    name: str
    share: float
    false_per_hour: float


class TrapScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score traps. `median_s` is how long it takes until 60 % of the move are done; `warned_by` has the best first."""

    worlds: int
    events: int
    median_s: float
    warned_by: tuple[WarnedBy, ...]


class Event(msgspec.Struct, frozen=True):
    """Be one trap of a world: its first row, and the first row at which 60 % of its move are done."""

    first: int
    late: int


def _feature(name: str, sign: float) -> Callable[[Heard], Floats]:
    return lambda heard: sign * heard[0].values[:, FEATURE_INDEX[name]].astype(np.float64)


def _near_depth(heard: Heard) -> Floats:
    """Return how far the depth within 5 bps lies below its mean of the last minute, in logs."""
    values = heard[0].values
    near = np.nan_to_num(sum(values[:, FEATURE_INDEX[name]].astype(np.float64) for name in ("depth_bid_5bps", "depth_ask_5bps")))
    total = np.r_[0.0, np.cumsum(near)]
    at = np.arange(len(near))
    since = np.maximum(at - _MINUTE_S, 0)
    usual = (total[at] - total[since]) / np.maximum(at - since, 1)
    return np.asarray(np.log((1e-9 + usual) / (1e-9 + near)), np.float64)


OF_A_MODEL = "probability of volatile"
"""The only score that a model has to do with; the others are features."""
SCORES: Mapping[str, Callable[[Heard], Floats]] = {
    "liquidity_stress": _feature("liquidity_stress", 1.0),
    "mm_presence, low": _feature("mm_presence", -1.0),
    "liquidity_score, low": _feature("liquidity_score", -1.0),
    "cancel_add_ratio_10s": _feature("cancel_add_ratio_10s", 1.0),
    "spread_bps": _feature("spread_bps", 1.0),
    "depth within 5 bps, drop": _near_depth,
    OF_A_MODEL: lambda heard: heard[1].posterior[:, _VOLATILE],
}


def score_traps(worlds: Sequence[Heard], names: Sequence[str] = tuple(SCORES)) -> TrapScore | None:
    """Score warnings, and the label, on worlds with bars; None where no trap moved anything."""
    events = [list(events_of(rows)) for rows, _ in worlds]
    count = sum(len(one) for one in events)
    if not count:
        return None
    quiet = [_quiet(rows) for rows, _ in worlds]
    hours = sum(int(one.sum()) for one in quiet) / 3600.0
    found = []
    for name in names:
        scores = [np.nan_to_num(SCORES[name](heard), nan=-np.inf) for heard in worlds]
        limit = _threshold(scores, quiet, hours)
        found.append(_warned(name, [score >= limit for score in scores], events, quiet, hours))
    found.sort(key=lambda one: -one.share)
    label = _warned(LABEL, [said.label == _VOLATILE for _, said in worlds], events, quiet, hours)
    late = [event.late - event.first for one in events for event in one]
    return TrapScore(worlds=len(worlds), events=count, median_s=float(np.median(late)), warned_by=(*found, label))


def events_of(rows: Rows) -> Iterator[Event]:
    """Yield the traps of a world that move the mid by at least `MOVE_BPS_MIN`, after the first minutes."""
    active = rows.extras["is_trap"] > 0.5
    mid = rows.extras["mid_ticks"]
    edges = np.flatnonzero(np.diff(np.r_[False, active, False].astype(np.int8))).reshape(-1, 2)
    for first, end in edges.tolist():
        if first < _WARM_S or not np.isfinite(mid[first - 1]):
            continue
        away = np.abs(mid[first:end] / mid[first - 1] - 1.0) * 1e4
        if not np.nanmax(away, initial=0.0) >= MOVE_BPS_MIN:
            continue
        late = np.flatnonzero(away >= MOVE_SHARE * np.nanmax(away))[0]
        yield Event(first, first + int(late))


def _quiet(rows: Rows) -> NDArray[np.bool_]:
    """Tell which rows are far from any trap."""
    near = np.nan_to_num(rows.extras["is_trap"], nan=1.0) > 0.5
    since = np.cumsum(np.r_[np.zeros(_AFTER_S), near])
    free = since[_AFTER_S:] == since[:-_AFTER_S]
    free &= ~near
    free[:_WARM_S] = False
    return np.asarray(free, np.bool_)


def _minutes(values: Floats, quiet: NDArray[np.bool_]) -> Floats:
    """Return the highest value of each whole minute without a trap."""
    whole = len(values) // _MINUTE_S * _MINUTE_S
    table, free = values[:whole].reshape(-1, _MINUTE_S), quiet[:whole].reshape(-1, _MINUTE_S).all(axis=1)
    return np.asarray(table[free].max(axis=1), np.float64)


def _threshold(scores: Sequence[Floats], quiet: Sequence[NDArray[np.bool_]], hours: float) -> float:
    """Return what is exceeded by as many quiet minutes as there are whole hours: in less than one, by none."""
    highest = np.sort(np.concatenate([_minutes(score, free) for score, free in zip(scores, quiet, strict=True)]))[::-1]
    allowed = int(hours)
    return float(np.nextafter(highest[allowed], np.inf)) if len(highest) > allowed else float("inf")


def _warned(
    name: str,
    above: Sequence[NDArray[np.bool_]],
    events: Sequence[Sequence[Event]],
    quiet: Sequence[NDArray[np.bool_]],
    hours: float,
) -> WarnedBy:
    in_time = [bool(one[event.first : event.late].any()) for one, of in zip(above, events, strict=True) for event in of]
    false = sum(float(_minutes(one.astype(np.float64), free).sum()) for one, free in zip(above, quiet, strict=True))
    return WarnedBy(name=name, share=float(np.mean(in_time)), false_per_hour=false / hours if hours > 0.0 else float("nan"))

"""How soon the model's alarm comes after the oracle's, both at one false alarm per day with uninformed splitters about.

The model's watch is Page's CUSUM of each side's log-odds x, once a second: S = max(0, S + (x - k) / σ). What k and σ are is decided on
windows (k halfway between what the detector says without and with a target, σ the spread without), the thresholds on quiet hours, the
delays on targets: three sets of worlds, none of them seen twice. The oracle's CUSUM is that of its exact log-likelihood ratio over the
same events. A false alarm is one excursion, of either side. A target that is not noticed while it lasts has an endless delay.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.simulation.oracle_score import alarm, threshold_of

Floats = NDArray[np.float64]
Heard = tuple[Rows, Said]

POOLED = "all"
_RESAMPLES = 400
_EPS = 1e-6
_LEAST_STEP = 0.25
"""A reference is at least this many σ above what is said without a target: a CUSUM that drifts upwards by itself watches nothing."""


class DelayScore(msgspec.Struct, frozen=True, kw_only=True):
    """Compare median delays, in s from a target's beginning, infinite where fewer than half were noticed. Intervals are 95 %.

    The interval draws quiet hours and worlds anew. Of all kinds together each delay counts in units of its kind's oracle's median.
    """

    kind: str
    quiet_hours: int
    worlds: int
    lasts_s: float
    median_s: float
    oracle_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    caught_share: float
    oracle_caught_share: float
    direction: float
    """Share of the model's alarms that name the right side."""


class Watch(msgspec.Struct, frozen=True):
    """Hold a CUSUM's reference and scale."""

    reference: float
    scale: float


class Climbs(msgspec.Struct, frozen=True):
    """Hold what a watch did: per quiet hour the heights of its excursions, per target its new highs (delay in s, height, side)."""

    peaks: tuple[Floats, ...]
    highs: tuple[Floats, ...]


class Rehearsed(msgspec.Struct, frozen=True):
    """Hold both watches on the same worlds of one kind."""

    kind: str
    lasts_s: float
    sides: NDArray[np.int64]
    model: Climbs
    oracle: Climbs


def score_delays(windows: Sequence[Heard], quiet: Sequence[Heard], targets: Sequence[Heard], seed: int = 7) -> tuple[DelayScore, ...]:
    """Score every kind that has windows, quiet hours and targets, and all of them together."""
    found = rehearsals(windows, quiet, targets)
    if not found:
        return ()
    rng = np.random.default_rng(seed)
    each = [alarms_of(one, *everything(one)) for one in found]
    again = [[_drawn(one, rng) for one in found] for _ in range(_RESAMPLES)]
    scores = [_score((one,), (alarms,), [(draw[k],) for draw in again]) for k, (one, alarms) in enumerate(zip(found, each, strict=True))]
    return (*scores, _score(found, each, again)) if len(found) > 1 else tuple(scores)


def rehearsals(windows: Sequence[Heard], quiet: Sequence[Heard], targets: Sequence[Heard]) -> list[Rehearsed]:
    """Return both watches of every kind that has windows, quiet hours and targets."""
    return [one for heard in targets if (one := _rehearse(heard, windows, quiet)) is not None]


def everything(one: Rehearsed) -> tuple[Sequence[int], Sequence[int]]:
    """Return every quiet hour and every target, by number."""
    return range(len(one.model.peaks)), range(len(one.sides))


def watch_for(windows: Sequence[Heard]) -> Watch | None:
    """Return the watch of a detector on a kind of target, as windows of that kind show what it says; None where it says nothing."""
    without, with_target = [np.empty(0)], [np.empty(0)]
    for rows, said in windows:
        end = rows.extras["end"].astype(np.int64)
        both = np.column_stack([log_odds(said.buying[end]), log_odds(said.selling[end])])
        is_target = rows.extras["target"] > 0.5
        without.append(both[~is_target].ravel())
        with_target.append(both[is_target, rows.extras["side"][is_target].astype(np.int64)])
    empty, there = (column[np.isfinite(column)] for column in (np.concatenate(without), np.concatenate(with_target)))
    if not len(empty) or not len(there):
        return None
    scale = max(float(empty.std()), 1e-9)
    low = float(empty.mean())
    return Watch(max(0.5 * (low + float(there.mean())), low + _LEAST_STEP * scale), scale)


def cusum(x: Floats, watch: Watch) -> Floats:
    """Return Page's CUSUM after each value; one that is not a number leaves it as it was."""
    steps = np.nan_to_num((x - watch.reference) / watch.scale, nan=0.0).tolist()
    total, found = 0.0, []
    for step in steps:
        total = max(0.0, total + step)
        found.append(total)
    return np.array(found, np.float64)


def excursions(total: Floats) -> Floats:
    """Return the height of each excursion of a CUSUM from zero; the last one need not have ended."""
    edges = np.flatnonzero(np.diff(np.r_[False, total > 0.0, False].astype(np.int8)))
    return np.array([total[one:end].max() for one, end in edges.reshape(-1, 2).tolist()], np.float64)


def log_odds(p: Floats) -> Floats:
    """Return ln(p / (1 - p)), bounded; NaN stays."""
    held = np.clip(p, _EPS, 1.0 - _EPS)
    return np.asarray(np.log(held) - np.log1p(-held), np.float64)


def _rehearse(heard: Heard, windows: Sequence[Heard], quiet: Sequence[Heard]) -> Rehearsed | None:
    rows, said = heard
    kind = rows.family.removeprefix("oracle_")
    watch = watch_for([one for one in windows if one[0].family == rows.family])
    calm = [one for one in quiet if f"peaks.{kind}" in one[0].extras]
    if watch is None or not calm:
        return None
    begin, end = rows.extras["begin"].astype(np.int64), rows.extras["end"].astype(np.int64)
    return Rehearsed(
        kind=kind,
        lasts_s=float((end - begin).max()),
        sides=rows.extras["side"].astype(np.int64),
        model=Climbs(
            peaks=tuple(hour for one in calm for hour in _peaks(*one, watch)),
            highs=tuple(_highs(rows, said, watch, n) for n in range(len(begin))),
        ),
        oracle=Climbs(
            peaks=tuple(hour for one, _ in calm for hour in _by_world(one.extras[f"peaks.{kind}"], len(one.extras["first"]))),
            highs=tuple(_by_world(rows.extras["highs"], len(begin))),
        ),
    )


def _by_world(table: Floats, count: int) -> list[Floats]:
    """Return the parts of a table whose first column is a world's number, without that column."""
    parts = [table[table[:, 0] == n, 1:] for n in range(count)]
    return [part[:, 0] if part.shape[1] == 1 else part for part in parts]


def _totals(rows: Rows, said: Said, watch: Watch, n: int) -> tuple[Floats, int]:
    """Return both sides' CUSUM `(rows, 2)` in a world, and from which row on it is watched."""
    first, begin, end = (int(rows.extras[name][n]) for name in ("first", "begin", "end"))
    both = [cusum(log_odds(one[first:end]), watch) for one in (said.buying, said.selling)]
    return np.column_stack(both), begin - first


def _peaks(rows: Rows, said: Said, watch: Watch) -> list[Floats]:
    found = []
    for n in range(len(rows.extras["first"])):
        totals, begin = _totals(rows, said, watch, n)
        found.append(np.concatenate([excursions(totals[begin:, side]) for side in range(2)]))
    return found


def _highs(rows: Rows, said: Said, watch: Watch, n: int) -> Floats:
    totals, begin = _totals(rows, said, watch, n)
    watched = totals[begin:]
    best, side = watched.max(axis=1), watched.argmax(axis=1)
    is_new = best > np.r_[0.0, np.maximum.accumulate(best)[:-1]]
    at = rows.times[int(rows.extras["begin"][n]) :][: len(best)]
    # The first row that is watched is the second after the target's beginning.
    delay = (at - at[0]) / SECOND_NS + 1.0
    return np.column_stack([delay[is_new], best[is_new], side[is_new]])


Alarms = tuple[Floats, NDArray[np.int64], Floats, NDArray[np.int64]]
"""The model's delays and sides, the oracle's, and the true sides are known by world."""


def alarms_of(one: Rehearsed, hours: Sequence[int], worlds: Sequence[int]) -> Alarms:
    """Return the alarms on some targets, their thresholds set on some quiet hours, which may be drawn more than once."""
    days = len(one.model.peaks) / 24.0
    said: list[NDArray[np.float64]] = []
    for climbs in (one.model, one.oracle):
        height = threshold_of(np.concatenate([climbs.peaks[hour] for hour in hours]), days)
        said.append(np.array([alarm(climbs.highs[n], height) for n in worlds], np.float64).reshape(-1, 2))
    right = one.sides[list(worlds)]
    return said[0][:, 0], (said[0][:, 1] == right).astype(np.int64), said[1][:, 0], right


def _drawn(one: Rehearsed, rng: np.random.Generator) -> Alarms:
    hours, worlds = (rng.integers(0, count, count).tolist() for count in (len(one.model.peaks), len(one.sides)))
    return alarms_of(one, hours, worlds)


def _score(kinds: Sequence[Rehearsed], alarms: Sequence[Alarms], again: Sequence[Sequence[Alarms]]) -> DelayScore:
    model, right, oracle = (np.concatenate([one[k] for one in alarms]) for k in range(3))
    caught = np.isfinite(model)
    is_one = len(kinds) == 1
    ratios = [found for draw in again if not math.isnan(found := ratio_of(draw))]
    low, high = np.quantile(ratios, (0.025, 0.975), method="nearest").tolist() if ratios else (math.nan, math.nan)
    return DelayScore(
        kind=kinds[0].kind if is_one else POOLED,
        quiet_hours=min(len(one.model.peaks) for one in kinds),
        worlds=len(model),
        lasts_s=max(one.lasts_s for one in kinds),
        median_s=_median(model),
        oracle_s=_median(oracle),
        ratio=ratio_of(alarms),
        ratio_low=low,
        ratio_high=high,
        caught_share=float(caught.mean()),
        oracle_caught_share=float(np.isfinite(oracle).mean()),
        direction=float(right[caught].mean()) if caught.any() else math.nan,
    )


def ratio_of(alarms: Sequence[Alarms]) -> float:
    """Return the model's median delay over the oracle's, of several kinds in units of each kind's oracle's median."""
    units = [_median(one[2]) for one in alarms]
    if not all(math.isfinite(unit) and unit > 0.0 for unit in units):
        return math.nan
    model, oracle = (np.concatenate([one[k] / unit for one, unit in zip(alarms, units, strict=True)]) for k in (0, 2))
    return _median(model) / _median(oracle)


def _median(delays: Floats) -> float:
    """Return the upper median, infinite where not more than half were noticed."""
    return float(np.sort(delays)[len(delays) // 2])

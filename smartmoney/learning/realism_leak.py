"""Does anything public give the informed away where nothing may?

In worlds where parents that are right and parents that are mistaken have the same schedules, and where no drift follows, a detector must be
at chance: if the interval of its AUC leaves out .50, the generator leaks. Splitters are the background: they come at other times.

The detector sees what the public sees over a parent's life, on the parent's side: the move, the flow of the book and of trades, the queue,
volume and volatility, in thirds. Folds are worlds, so that no world is both learned and judged; the interval is a bootstrap over
worlds.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from smartmoney.learning.feature_study import FINE_NS
from smartmoney.learning.realism_series import INFORMED, MISTAKEN, Ints, Observed
from smartmoney.learning.resampling import Floats

PARTS = 3
WORLDS_MIN = 4
PARENTS_MIN = 200
RESAMPLES = 2000
_SEED = 20_140_101
_BARS_MIN = 2 * PARTS


class Lives(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the public saw of one world's parents: a row each, and whether it was informed."""

    rows: Floats
    informed: Ints


def lives_of(observed: Observed) -> Lives:
    """Return a row for each informed or uninformed parent that lived for three seconds or more."""
    parents, bars = observed.parents, observed.bars
    if parents is None:
        return Lives(rows=np.empty((0, 6 * PARTS)), informed=np.empty(0, np.int64))
    move = np.nan_to_num(np.diff(bars.mid, prepend=bars.mid[:1]))
    volume = np.bincount(
        np.clip(np.searchsorted(bars.times, observed.fills.times), 0, len(bars.times) - 1), observed.fills.lots, len(bars.times)
    )
    odd = (move, bars.order_flow, bars.trade_flow, np.nan_to_num(bars.queue_imbalance))
    even = (volume, np.abs(move))
    sums = [np.concatenate(([0.0], np.cumsum(column))) for column in (*odd, *even)]
    rows, labels = [], []
    for kind, sign, start, end in zip(
        *(column.tolist() for column in (parents.kinds, parents.signs, parents.starts, parents.ends)), strict=True
    ):
        first, last = ((at - int(bars.times[0])) // FINE_NS + 1 for at in (start, end))
        if kind not in {INFORMED, MISTAKEN} or first < 0 or last > len(bars.times) or last - first < _BARS_MIN:
            continue
        edges = np.linspace(first, last, PARTS + 1).astype(np.int64)
        means = np.array([np.diff(total[edges]) / np.diff(edges) for total in sums])
        means[: len(odd)] *= sign
        rows.append(means.ravel())
        labels.append(int(kind == INFORMED))
    return Lives(rows=np.array(rows).reshape(len(rows), 6 * PARTS), informed=np.array(labels, np.int64))


def detector_auc(worlds: Sequence[Lives]) -> tuple[float, float, float]:
    """Return the detector's AUC over worlds that it did not learn from, and its 95 % interval; NaN for too few worlds or parents."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    y = np.concatenate([world.informed for world in worlds]) if worlds else np.empty(0, np.int64)
    nothing = (float("nan"),) * 3
    if len(worlds) < WORLDS_MIN or min(int(y.sum()), int((1 - y).sum())) < PARENTS_MIN:
        return nothing
    x = np.concatenate([world.rows for world in worlds])
    world_of = np.repeat(np.arange(len(worlds)), [len(world.informed) for world in worlds])
    fold = world_of % WORLDS_MIN
    scores = np.zeros(len(y))
    with threadpool_limits(1):
        for k in range(WORLDS_MIN):
            model = HistGradientBoostingClassifier(max_iter=60, max_depth=3, random_state=_SEED)
            model.fit(x[fold != k], y[fold != k])
            scores[fold == k] = model.predict_proba(x[fold == k])[:, 1]
    return _with_interval(scores, y, world_of)


def _with_interval(scores: Floats, y: Ints, world_of: Ints) -> tuple[float, float, float]:
    """Return the mean AUC within worlds, and its bootstrap interval over worlds: parents of one world share its hours."""
    from sklearn.metrics import roc_auc_score

    members = [np.flatnonzero(world_of == world) for world in np.unique(world_of)]
    areas = np.array([roc_auc_score(y[one], scores[one]) for one in members if 0 < y[one].sum() < len(one)])
    drawn = np.random.default_rng(_SEED).integers(0, len(areas), (RESAMPLES, len(areas)))
    low, high = np.quantile(areas[drawn].mean(axis=1), (0.025, 0.975)).tolist()
    return float(areas.mean()), low, high

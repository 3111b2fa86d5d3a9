"""Can a classifier tell two markets apart from single seconds? The area under its ROC curve says how well: .5 not at all, 1 always.

Rows have no scale: every size is over its own market's mean size. Folds are blocks of a minute, since neighbouring seconds are alike. Two
real markets are told apart, too; a simulated one is good enough if it is no stranger to the real ones than they are to each other.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from smartmoney.learning.feature_study import SECOND_NS, bar_sums, moves_bps
from smartmoney.learning.realism_series import Ints, Observed
from smartmoney.learning.resampling import Floats

COLUMNS = ("move", "move before", "queue imbalance", "order flow", "trade flow", "size of moves, 10 s")
"""Counts of orders and lots are left out: over their mean they lie on a grid whose step gives the market away at once."""
STRETCH_S = 600
"""Seconds of a simulated market that are set against a whole recording: about as long."""
STRETCHES = 3
BLOCK_S = 60
FOLDS = 5
_TREES = 60
_SEED = 20_140_101


def second_rows(observed: Observed) -> Floats:
    """Return a row of `COLUMNS` per second, those with a hole left out. Shape `(seconds, 6)`."""
    bars = observed.bars
    first = -(-int(bars.times[0]) // SECOND_NS) * SECOND_NS
    ends = np.arange(first + SECOND_NS, int(bars.times[-1]) + 1, SECOND_NS, dtype=np.int64)
    move = moves_bps(bars, ends - SECOND_NS, ends)
    columns = (
        move,
        np.concatenate(([np.nan], move[:-1])),
        bars.queue_imbalance[np.minimum(np.searchsorted(bars.times, ends), len(bars.times) - 1)],
        bar_sums(bars, bars.order_flow, ends, SECOND_NS),
        bar_sums(bars, bars.trade_flow, ends, SECOND_NS),
        _trailing(np.abs(move), 10),
    )
    rows = np.column_stack(columns)
    whole: Floats = rows[np.isfinite(rows).all(axis=1)]
    return whole


def without_scale(rows: Floats) -> Floats:
    """Return rows over the mean size of each column, the queue imbalance as it is."""
    scale = np.abs(rows).mean(axis=0)
    scale[COLUMNS.index("queue imbalance")] = 1.0
    scaled: Floats = rows / np.where(scale > 0.0, scale, 1.0)
    return scaled


def stretches_of(observed: Observed, count: int = STRETCHES, seconds: int = STRETCH_S) -> list[Floats]:
    """Return so many stretches of a long market's rows, evenly spread, each scaled by itself as a recording is."""
    rows = second_rows(observed)
    if len(rows) < seconds:
        return [without_scale(rows)]
    starts = np.linspace(0, len(rows) - seconds, count).astype(np.int64)
    return [without_scale(rows[start : start + seconds]) for start in starts]


def told_apart(a: Floats, b: Floats) -> float:
    """Return the block cross-validated AUC of boosted trees that tell rows of `a` from rows of `b`. Cost: a third of a second."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    x = np.concatenate((a, b))
    y = np.concatenate((np.zeros(len(a)), np.ones(len(b))))
    fold = np.concatenate((_folds(len(a)), _folds(len(b))))
    scores = np.zeros(len(x))
    # One thread: the same rows then give the same trees on any machine.
    with threadpool_limits(1):
        for k in range(FOLDS):
            model = HistGradientBoostingClassifier(max_iter=_TREES, max_depth=3, random_state=_SEED)
            model.fit(x[fold != k], y[fold != k])
            scores[fold == k] = model.predict_proba(x[fold == k])[:, 1]
    return float(roc_auc_score(y, scores))


def likeness(stretches: Sequence[Floats], real: Sequence[Floats]) -> dict[str, float]:
    """Return the median AUC over every stretch against every real market's rows, which are without scale; NaN without real ones."""
    areas = [told_apart(one, other) for one in stretches for other in real]
    return {"likeness": float(np.median(areas)) if areas else float("nan")}


def real_against_real(real: Sequence[Floats]) -> list[float]:
    """Return the AUC of each pair of real markets."""
    return [told_apart(one, other) for one, other in combinations(real, 2)]


def _folds(rows: int) -> Ints:
    return np.arange(rows) // BLOCK_S % FOLDS


def _trailing(values: Floats, count: int) -> Floats:
    totals = np.concatenate(([0.0], np.cumsum(np.nan_to_num(values))))
    found = np.full(len(values), np.nan)
    found[count - 1 :] = totals[count:] - totals[:-count]
    return found

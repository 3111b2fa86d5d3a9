"""Would this training notice if it looked ahead? Three plants that must be found, in every training.

* a feature shifted from the future must be noticed, and none of the real columns may be like it at any horizon that is learned (`leaks`);
* shuffled labels must teach nothing: the out-of-sample AUC of a model of them has to contain one half;
* time reversed, the features know what came before: a model of the future must not do better than the model of the past, by more than
  chance, else the "future" is in the features.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.boosting.models import Layout
from smartmoney.learning.boosting.trees import Matrix, TrainingRefused, TreeSettings
from smartmoney.learning.calibration import weighted_auc
from smartmoney.learning.fitting.heads import HeadRows
from smartmoney.learning.fitting.leaks import LEAK_FROM, Leak, find_leaks
from smartmoney.learning.fitting.plan import Fold, Recipe, Sample
from smartmoney.learning.fitting.run import folds_of
from smartmoney.learning.fitting.stages import fit_head, lacking
from smartmoney.learning.sets.labels import moves_bps
from smartmoney.learning.sets.rows import SECOND_NS, Rows

Floats = NDArray[np.float64]

_SHUFFLES = 4
_TREES = TreeSettings(rounds=30, depth=3, leaf_rows_min=10.0, penalty=10.0, columns_max=16)
_CHANCE_SIGMAS = 3.0


class Canaries(msgspec.Struct, frozen=True, kw_only=True):
    """Report the plants. AUCs are out of sample; `shuffled_most` is the largest distance from ½, `shuffled_limit` what chance allows.

    Columns are looked at for `horizons_s`, all that were learned; `named` are those that know the future. The rest is of `horizon_s`.
    """

    horizon_s: int
    future_found: bool
    horizons_s: tuple[int, ...]
    named: tuple[Leak, ...]
    shuffled_most: float
    shuffled_limit: float
    forward_auc: float
    reversed_auc: float

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is wrong, in words; empty where everything was caught."""
        found = []
        if not self.future_found:
            found.append("a planted feature of the future was not noticed")
        for column in dict.fromkeys(one.column for one in self.named):
            horizons = ", ".join(f"{one.horizon_s} s" for one in self.named if one.column == column)
            found.append(f"{column} foretells the direction of {horizons} as only the future can")
        if self.shuffled_most > self.shuffled_limit:
            found.append(
                f"shuffled labels were learned: AUC {self.shuffled_most:.3f} from one half, chance allows {self.shuffled_limit:.3f}"
            )
        # Where both are chance, or both sure, noise decides which is higher: more than noise is needed.
        if self.forward_auc > self.reversed_auc + self.shuffled_limit:
            found.append(f"the future (AUC {self.forward_auc:.3f}) is better known than the past ({self.reversed_auc:.3f})")
        return tuple(found)


def canary_fold(sources: Sequence[Rows], made: Sample, rows: HeadRows, recipe: Recipe, horizon_s: int) -> Fold:
    """Return the last fold that has enough to learn from, and something to test on.

    Raises:
        TrainingRefused: there is none.
    """
    for fold in reversed(folds_of(sources, recipe)):
        usable = made.train(fold, horizon_s)[rows.at]
        if made.test(fold)[rows.at].any() and not lacking(rows.up[usable], rows.weight[usable]):
            return fold
    raise TrainingRefused("no fold of the canaries has enough to learn from; give a longer recording")


def canaries(
    sources: Sequence[Rows], made: Sample, asked: Mapping[int, HeadRows], fold: Fold, shape: Layout, recipe: Recipe, horizon_s: int
) -> Canaries:
    """Look for columns that know one of the horizons `asked`; plant, and train small, at one of them, on one fold (`canary_fold`)."""
    rows = asked[horizon_s]
    test = made.test(fold)[rows.at]
    usable = made.train(fold, horizon_s)
    x_test, up, weight = made.x[rows.at[test]], rows.up[test], rows.weight[test]
    rng = np.random.default_rng(recipe.seed)
    named = [one for h, own in asked.items() for one in find_leaks(sources, made, own, shape.names, h)]
    planted = weighted_auc(rows.moved_bps * np.exp(0.5 * rng.standard_normal(len(rows.moved_bps))), rows.up, rows.weight)
    forward = _auc(made, rows, usable, shape, horizon_s, x_test, up, weight)
    most = 0.0
    for _ in range(_SHUFFLES):
        shuffled = msgspec.structs.replace(rows, up=_shuffled(rows, made, horizon_s, rng))
        off = abs(_auc(made, shuffled, usable, shape, horizon_s, x_test, shuffled.up[test], weight) - 0.5)
        most = max(most, 0.0 if np.isnan(off) else off)
    past = _reversed(sources, made, rows, horizon_s)
    back = _auc(made, past, usable, shape, horizon_s, made.x[past.at[made.test(fold)[past.at]]], *_of(past, made.test(fold)[past.at]))
    return Canaries(
        horizon_s=horizon_s,
        future_found=planted >= LEAK_FROM,
        horizons_s=tuple(asked),
        named=tuple(named),
        shuffled_most=float(most),
        # The standard error of an AUC of so many independent rows, half of each kind.
        shuffled_limit=float(_CHANCE_SIGMAS / np.sqrt(3.0 * max(float(weight.sum()), 1.0))),
        forward_auc=forward,
        reversed_auc=back,
    )


def _auc(
    made: Sample, rows: HeadRows, usable: NDArray[np.bool_], shape: Layout, horizon_s: int, x_test: Matrix, up: Floats, weight: Floats
) -> float:
    try:
        head = fit_head(made, rows, usable, shape, _TREES, horizon_s)
    except TrainingRefused:  # by chance labels of a short recording are of one direction, which teaches nothing
        return float("nan")
    return weighted_auc(head.raw(x_test), up, weight)


def _of(rows: HeadRows, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    return rows.up[chosen], rows.weight[chosen]


def _shuffled(rows: HeadRows, made: Sample, horizon_s: int, rng: np.random.Generator) -> Floats:
    """Return labels whose sign is drawn anew for each stretch of one horizon, so that neighbours still agree as they did."""
    stretch = made.source[rows.at] * 1_000_000 + made.times[rows.at] // (horizon_s * SECOND_NS) % 1_000_000
    _, place = np.unique(stretch, return_inverse=True)
    flips = rng.random(int(place.max()) + 1) < 0.5
    return np.asarray(np.where(flips[place], 1.0 - rows.up, rows.up), np.float64)


def _reversed(sources: Sequence[Rows], made: Sample, rows: HeadRows, horizon_s: int) -> HeadRows:
    """Return the same rows labelled by the move over the horizon before them."""
    before = np.full(len(made.row), np.nan)
    for place, one in enumerate(sources):
        move = moves_bps(one, horizon_s)
        ago = np.searchsorted(one.times, one.times - horizon_s * SECOND_NS)
        known = one.times[ago] == one.times - horizon_s * SECOND_NS
        at = np.flatnonzero(made.source == place)
        # Up to one second ago: what happens within the latency is not known yet.
        before[at] = np.where(known, move[ago], np.nan)[np.maximum(made.row[at] - 1, 0)]
    moved = before[rows.at]
    kept = np.isfinite(moved) & (moved != 0.0)
    return HeadRows(at=rows.at[kept], up=(moved[kept] > 0).astype(np.float64), moved_bps=moved[kept], weight=rows.weight[kept])

"""Grow forests with XGBoost, twice: on every column to see which matter, and again on those alone.

Each row is learned together with its mirror, so that neither side is learned better. Weights are uniqueness: their sum is the number of
independent rows, which is what the regularisation (`min_child_weight`, lambda) is in units of. Deterministic for a seed and thread count.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Labels = NDArray[np.int64] | Floats

THREADS = 1
"""Fixed, since sums in another order make other trees: the same bundle must come out on any machine."""
SCOUT_ROUNDS = 20
"""Trees on all columns that show which ones matter: the first ones find most of the gain, and each of them reads every column."""


LEAVES_MAX = 1 << 13
"""Of a tree, which deeper ones than 13 may come to: more than twice as many nodes are too far apart for `core.alpha.forest`."""


class TrainingRefused(Exception):
    """Say why nothing can be trained on some rows, and what to do."""

    exit_code = 1


class TreeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Configure a forest. `columns_max` are kept after the first growth, fewer where fewer matter; `leaf_rows_min` in independent rows."""

    rounds: int
    depth: int
    rate: float = 0.1
    leaf_rows_min: float = 8.0
    penalty: float = 2.0
    columns_max: int = 40
    gain_share_min: float = 0.003
    """A column with less than this share of all gain is dropped by growing anew without it."""
    seed: int = 7


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a forest: the Booster, the numbers of its columns, and each one's share of the gain."""

    booster: Any
    columns: NDArray[np.int64]
    gains: Floats


def grow(
    x: Matrix,
    y: Labels,
    weights: Floats,
    settings: TreeSettings,
    *,
    classes: int = 2,
    rounds: int | None = None,
    base: Floats | None = None,
) -> Grown:
    """Grow a forest on the columns that matter.

    Args:
        x: `(rows, columns)` float32, NaN where unknown; mirrored rows are the caller's.
        y: `(rows,)` class numbers; with two classes also probabilities of the second one.
        weights: `(rows,)` independent rows that each row is worth.
        settings: size and regularisation.
        classes: 2 for one logistic output, more for a softmax.
        rounds: stop after so many of the settings' rounds; the trees are the first ones of the whole forest.
        base: margins of another forest that this one goes on from, as `margins` returns them.

    Raises:
        TrainingRefused: one class only, or no column that varies.
    """
    present = np.unique(y[weights > 0])
    if len(present) < 2:
        raise TrainingRefused(f"the labels hold one class only ({present.tolist()}); give data in which both happen")
    alive = usable_columns(x)
    if not len(alive):
        raise TrainingRefused("every column is constant or unknown; is the recording whole?")
    scout = msgspec.structs.replace(settings, rounds=min(SCOUT_ROUNDS, max(10, settings.rounds)), depth=min(settings.depth, 4))
    gains = _gains(_train(x[:, alive], y, weights, scout, classes, base), len(alive))
    order = np.argsort(-gains, kind="stable")[: settings.columns_max]
    kept = np.sort(order[gains[order] >= settings.gain_share_min])
    if not len(kept):
        kept = np.sort(order[: min(8, len(order))])
    chosen = alive[kept]
    whole = settings if rounds is None else msgspec.structs.replace(settings, rounds=min(rounds, settings.rounds))
    booster = _train(x[:, chosen], y, weights, whole, classes, base)
    return Grown(booster=booster, columns=chosen, gains=_gains(booster, len(chosen)))


def usable_columns(x: Matrix) -> NDArray[np.int64]:
    """Return the numbers of columns that are known somewhere and not constant where they are."""
    low, high = (np.array([reduce(column[np.isfinite(column)], initial=start) for column in x.T]) for reduce, start in _EXTREMES)
    return np.flatnonzero(high > low)


_EXTREMES: Sequence[tuple[Any, float]] = ((np.min, np.inf), (np.max, -np.inf))


def cut(grown: Grown, rounds: int) -> Grown:
    """Return a forest's first rounds; its columns and gains stay those of the whole."""
    return msgspec.structs.replace(grown, booster=grown.booster[:rounds])


def margins(grown: Grown, x: Matrix, base: Floats | None = None) -> Floats:
    """Return raw margins of rows over all columns: `(rows,)`, or `(rows, classes)`; `base` as the forest was grown with."""
    import xgboost as xgb

    rows = xgb.DMatrix(x[:, grown.columns], base_margin=base, missing=np.nan, nthread=THREADS)
    found = grown.booster.predict(rows, output_margin=True)
    return np.asarray(found, np.float64)


def _train(x: Matrix, y: Labels, weights: Floats, settings: TreeSettings, classes: int, base: Floats | None) -> Any:
    import xgboost as xgb

    parameters: dict[str, Any] = {
        "objective": "binary:logistic" if classes == 2 else "multi:softprob",
        "tree_method": "hist",
        "max_bin": 64,
        "max_depth": settings.depth,
        "max_leaves": LEAVES_MAX,
        "eta": settings.rate,
        "min_child_weight": 0.25 * settings.leaf_rows_min,
        "lambda": settings.penalty,
        "gamma": 0.1,
        "nthread": THREADS,
        "seed": settings.seed,
        "verbosity": 0,
    }
    if classes > 2:
        parameters["num_class"] = classes
    else:
        parameters["base_score"] = 0.5
    rows = xgb.DMatrix(x, label=y, weight=weights, base_margin=base, missing=np.nan, nthread=THREADS)
    return xgb.train(parameters, rows, settings.rounds)


def _gains(booster: Any, columns: int) -> Floats:
    score = booster.get_score(importance_type="total_gain")
    gains = np.array([score.get(f"f{k}", 0.0) for k in range(columns)])
    total = gains.sum()
    return np.asarray(gains / total if total > 0.0 else gains, np.float64)

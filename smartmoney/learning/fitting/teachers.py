"""What windows of oracle worlds teach the detector: what small forests make of their rows, one per way of acting, not their bare labels.

Of a few hundred windows, each worth one independent row, a forest that may be large learns by heart which ones had a target, and the
kinds of target stand in each other's way. A teacher is too small for that, and knows one way of acting: windows with such a target against
all without any. Their answers joined, 1 - Π (1 - p), are what the detector's forest then learns from those rows (Hinton, Vinyals, Dean
2015, "Distilling the knowledge in a neural network"). Teachers see the rows that the detector may learn from, and no others.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.boosting.trees import Grown, Matrix, TreeSettings, grow, margins

Floats = NDArray[np.float64]

WAYS: tuple[tuple[str, ...], ...] = (("poisson",), ("twap", "jittered"), ("iceberg",))
"""Kinds of target that act alike: at random, by a clock, by refilling."""
NO_WAY = -1
TEACHER = TreeSettings(rounds=60, depth=1, rate=0.15, leaf_rows_min=8.0, columns_max=1024, gain_share_min=0.0)
"""A teacher may read every column: sixty trees of one question each choose few, and add up what each says, as evidence does."""


def way_of(family: str) -> int:
    """Return the number in `WAYS` of an oracle family, `NO_WAY` for any other."""
    kind = family.removeprefix("oracle_")
    return next((number for number, kinds in enumerate(WAYS) if kind in kinds), NO_WAY)


def taught(x: Matrix, is_there: NDArray[np.bool_], has_target: NDArray[np.bool_], way: NDArray[np.int64], weights: Floats) -> Floats:
    """Return what the teachers say of rows of windows: the probability that somebody informed buys.

    Args:
        x: `(rows, columns)` rows and their mirrors.
        is_there: `(rows,)` whether somebody informed buys, in the row as it stands there.
        has_target: `(rows,)` whether a target of any side acts.
        way: `(rows,)` how its target acts, or would.
        weights: `(rows,)` independent rows that each is worth.

    A way of which there are no windows with a target, or none without, has no teacher; with no teacher at all the labels stay.
    """
    teachers = [one for number in range(len(WAYS)) if (one := _teacher(x, is_there, has_target, way == number, weights)) is not None]
    return somebody(teachers, x) if teachers else is_there.astype(np.float64)


def somebody(teachers: Sequence[Grown], x: Matrix) -> Floats:
    """Return 1 - Π (1 - p) of some forests."""
    silent = sum(np.logaddexp(0.0, margins(one, x)) for one in teachers)
    return np.asarray(-np.expm1(-silent), np.float64)


def _teacher(
    x: Matrix, is_there: NDArray[np.bool_], has_target: NDArray[np.bool_], mine: NDArray[np.bool_], weights: Floats
) -> Grown | None:
    shown = (mine | ~has_target) & (weights > 0.0)
    if not (shown & is_there).any() or is_there[shown].all():
        return None
    return grow(x[shown], is_there[shown].astype(np.int64), weights[shown], TEACHER)

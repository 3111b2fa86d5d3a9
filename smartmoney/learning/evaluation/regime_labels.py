"""Labels of regimes against truth on scored seconds, and the F1 of what was said: one way of scoring for whoever says them."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.calibration import Reliability, reliability
from smartmoney.learning.evaluation.said import RegimesSaid, Said
from smartmoney.learning.fitting.stages import TRUTH_TO_REGIME
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]

AROUND_S = 30
"""Seconds around a change of regime that are not scored: nobody can be right to the second."""
WARM_S = 300
"""Seconds at the beginning of a world that are not scored: features are cold."""
THIN_S = 10
"""Of the seconds that may be scored each so manieth is: neighbours say the same."""


class Labels(msgspec.Struct, frozen=True):
    """Hold the seconds that are scored: label and truth (index of `Regime`), probability of the label, number of the world."""

    label: NDArray[np.int64]
    truth: NDArray[np.int64]
    p: Floats
    world: NDArray[np.int64]

    def counts(self, worlds: int) -> Floats:
        """Return each world's `(truth, label)` counts, `(worlds, 5, 5)`."""
        found = np.zeros((worlds, 5, 5))
        np.add.at(found, (self.world, self.truth, self.label), 1.0)
        return found

    def quality(self, times: Floats | None = None) -> Reliability:
        """Return how true the labels' probabilities are, worlds counted so many `times`; intervals are over worlds."""
        weight = np.full(len(self.label), THIN_S / 60.0) * (1.0 if times is None else times[self.world])
        return reliability(self.p, (self.label == self.truth).astype(np.float64), weight, self.world)


def scored_labels(worlds: Sequence[tuple[Rows, Said | RegimesSaid]]) -> Labels:
    """Return published labels and truth, each tenth second, ±`AROUND_S` around changes left out."""
    said, true, top, world = [], [], [], []
    for number, (rows, one) in enumerate(worlds):
        assert rows.truth is not None
        regime = rows.truth.regime
        usable = (regime >= 0) & ~_near_change(regime, AROUND_S)
        usable[:WARM_S] = False
        at = np.flatnonzero(usable)[::THIN_S]
        said.append(one.label[at])
        true.append(TRUTH_TO_REGIME[regime[at]])
        top.append(one.posterior[at, one.label[at]])
        world.append(np.full(len(at), number))
    return Labels(*(np.concatenate(column) for column in (said, true, top, world)))


def _near_change(regime: NDArray[np.int8], around: int) -> NDArray[np.bool_]:
    changes = np.flatnonzero(np.diff(regime) != 0) + 1
    marks = np.zeros(len(regime) + 1, np.int64)
    np.add.at(marks, np.maximum(changes - around, 0), 1)
    np.add.at(marks, np.minimum(changes + around, len(regime)), -1)
    return np.asarray(np.cumsum(marks)[: len(regime)] > 0, np.bool_)


def macro_f1(counts: Floats) -> float:
    """Return the macro-F1 of a confusion matrix, over the regimes that are true or said somewhere."""
    right, true, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    total = true + said
    there = total > 0.0
    return float((2.0 * right[there] / total[there]).mean()) if there.any() else float("nan")


def f1_of(counts: Floats) -> Floats:
    """Return each regime's F1 of a confusion matrix; 0 where it is never said right."""
    total = counts.sum(axis=1) + counts.sum(axis=0)
    return np.asarray(2.0 * np.diag(counts) / np.where(total > 0.0, total, 1.0), np.float64)

"""The bundle on held-out full markets: regimes against truth, forecasts against what came, by family."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.calibration import Reliability, reliability, reliability_by, weighted_auc
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.fitting.stages import TRUTH_TO_REGIME
from smartmoney.learning.sets.families import is_held_out, is_unseen
from smartmoney.learning.sets.labels import labels_of
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]

AROUND_S = 30
"""Seconds around a change of regime that are not scored: nobody can be right to the second."""
_WARM_S = 300
_THIN_S = 10
_RESAMPLES = 300


class RegimeScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score regimes on worlds with truth. `filter` is the public filter's macro-F1, NaN while there is none for full markets."""

    worlds: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    f1: dict[str, float]
    by_family: dict[str, float]
    scored_share: float
    macro_f1_filter: float = float("nan")
    quality: Reliability


class UnseenScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score one horizon's forecasts on the worlds of families that no training had: what a market unlike all of them may expect.

    Where `is_known` is false some are somebody else's, whose families nobody knows; a training may have had them.
    """

    auc: float
    effective: float
    quality: Reliability
    is_known: bool = True

    @property
    def name(self) -> str:
        """Return what may be said of those families."""
        return "families that no training had" if self.is_known else "unknown families"


class HeadScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score one horizon's forecasts on worlds; `unseen` is None where all families were learned from.

    `by_regime` is `quality` by the regime that was published when the forecast was made, where it holds enough independent rows.
    """

    horizon_s: int
    auc: float
    effective: float
    quality: Reliability
    unseen: UnseenScore | None = None
    by_regime: dict[str, Reliability] = {}


class Forecasts(msgspec.Struct, frozen=True):
    """Hold one horizon's labelled rows: probability of up, 1 where up came, independent rows that it is worth, world, published regime."""

    up: Floats
    came: Floats
    weight: Floats
    world: NDArray[np.int64]
    regime: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> "Forecasts":
        """Return some of the rows."""
        return Forecasts(self.up[chosen], self.came[chosen], self.weight[chosen], self.world[chosen], self.regime[chosen])

    def drawn(self, times: Floats) -> "Forecasts":
        """Return the rows with each world counted so many times, as rows of one world: a draw has no interval of its own."""
        return Forecasts(self.up, self.came, self.weight * times[self.world], np.zeros_like(self.world), self.regime)

    @property
    def auc(self) -> float:
        """Return the area under the ROC curve."""
        return weighted_auc(self.up, self.came, self.weight)

    @property
    def effective(self) -> float:
        """Return the number of independent forecasts."""
        return float(self.weight[np.isfinite(self.up)].sum())

    def quality(self) -> Reliability:
        """Return how true the probabilities are; intervals are over worlds."""
        return reliability(self.up, self.came, self.weight, self.world)

    def by_regime(self) -> dict[str, Reliability]:
        """Return the same for each published regime with enough rows."""
        return reliability_by(self.up, self.came, self.weight, self.world, self.regime, [one.value for one in Regime])


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
        """Return how true the labels' probabilities are, worlds counted so many `times`; without, with intervals over worlds."""
        weight = np.full(len(self.label), _THIN_S / 60.0) * (1.0 if times is None else times[self.world])
        group = self.world if times is None else np.zeros_like(self.world)
        return reliability(self.p, (self.label == self.truth).astype(np.float64), weight, group)


def scored_labels(worlds: Sequence[tuple[Rows, Said]]) -> Labels:
    """Return published labels and truth, each tenth second, ±`AROUND_S` around changes left out."""
    said, true, top, world = [], [], [], []
    for number, (rows, one) in enumerate(worlds):
        assert rows.truth is not None
        regime = rows.truth.regime
        usable = (regime >= 0) & ~_near_change(regime, AROUND_S)
        usable[:_WARM_S] = False
        at = np.flatnonzero(usable)[::_THIN_S]
        said.append(one.label[at])
        true.append(TRUTH_TO_REGIME[regime[at]])
        top.append(one.posterior[at, one.label[at]])
        world.append(np.full(len(at), number))
    return Labels(*(np.concatenate(column) for column in (said, true, top, world)))


def score_regimes(worlds: Sequence[tuple[Rows, Said]]) -> RegimeScore:
    """Score published labels, ±`AROUND_S` around changes left out."""
    scored = scored_labels(worlds)
    counts = scored.counts(len(worlds))
    rng = np.random.default_rng(9)
    again = [macro_f1(counts[rng.integers(0, len(worlds), len(worlds))].sum(axis=0)) for _ in range(_RESAMPLES)]
    low, high = np.quantile(again, (0.025, 0.975)).tolist()
    families = [rows.family for rows, _ in worlds]
    seconds = sum(len(rows) - _WARM_S for rows, _ in worlds)
    return RegimeScore(
        worlds=len(worlds),
        macro_f1=macro_f1(counts.sum(axis=0)),
        macro_f1_low=low,
        macro_f1_high=high,
        f1=dict(zip([one.value for one in Regime], f1_of(counts.sum(axis=0)).tolist(), strict=True)),
        by_family={
            name: macro_f1(counts[[k for k, family in enumerate(families) if family == name]].sum(axis=0))
            for name in dict.fromkeys(families)
        },
        scored_share=_THIN_S * len(scored.label) / max(seconds, 1),
        quality=scored.quality(),
    )


def score_heads(bundle: Bundle, worlds: Sequence[tuple[Rows, Said]]) -> tuple[HeadScore, ...]:
    """Score every head's probabilities of up."""
    unseen = np.array([is_unseen(rows.family) for rows, _ in worlds])
    is_known = all(is_held_out(rows.family) for rows, _ in worlds if is_unseen(rows.family))
    found = []
    for head in bundle.spec.heads:
        one = forecasts_of(bundle, worlds, head.horizon_s)
        other = one.of(unseen[one.world])
        found.append(
            HeadScore(
                horizon_s=head.horizon_s,
                auc=one.auc,
                effective=one.effective,
                quality=one.quality(),
                by_regime=one.by_regime(),
                unseen=UnseenScore(auc=other.auc, effective=other.effective, quality=other.quality(), is_known=is_known)
                if unseen.any()
                else None,
            )
        )
    return tuple(found)


def forecasts_of(bundle: Bundle, worlds: Sequence[tuple[Rows, Said]], horizon_s: int) -> Forecasts:
    """Return what a bundle's head said of every labelled row, each tenth second."""
    k = [head.horizon_s for head in bundle.spec.heads].index(horizon_s)
    p, up, weight, group, regime = [], [], [], [], []
    for number, (rows, said) in enumerate(worlds):
        labels = labels_of(rows, horizon_s, _THIN_S)
        p.append(said.up[labels.rows, k])
        up.append((labels.sign > 0).astype(np.float64))
        weight.append(labels.uniqueness)
        group.append(np.full(len(labels.rows), number))
        regime.append(said.label[labels.rows])
    return Forecasts(*(np.concatenate(column) for column in (p, up, weight, group, regime)))


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

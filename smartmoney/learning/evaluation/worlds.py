"""The bundle on held-out full markets: regimes against truth, forecasts against what came, by family."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.calibration import Reliability, reliability, weighted_auc
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.fitting.run import f1_scores
from smartmoney.learning.fitting.stages import TRUTH_TO_REGIME
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


class HeadScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score one horizon's forecasts on worlds."""

    horizon_s: int
    auc: float
    effective: float
    quality: Reliability


def score_regimes(worlds: Sequence[tuple[Rows, Said]]) -> RegimeScore:
    """Score published labels, ±`AROUND_S` around changes left out."""
    said, true, world, top = [], [], [], []
    seconds = 0
    for number, (rows, one) in enumerate(worlds):
        assert rows.truth is not None
        regime = rows.truth.regime
        usable = (regime >= 0) & ~_near_change(regime, AROUND_S)
        usable[:_WARM_S] = False
        at = np.flatnonzero(usable)[::_THIN_S]
        seconds += len(regime) - _WARM_S
        said.append(one.label[at])
        true.append(TRUTH_TO_REGIME[regime[at]])
        world.append(np.full(len(at), number))
        top.append(one.posterior[at, one.label[at]])
    label, truth, which, p = (np.concatenate(column) for column in (said, true, world, top))
    weight = np.full(len(label), _THIN_S / 60.0)
    rng = np.random.default_rng(9)
    counts = np.zeros((len(worlds), 5, 5))
    np.add.at(counts, (which, truth, label), 1.0)
    again = [_macro(counts[rng.integers(0, len(worlds), len(worlds))].sum(axis=0)) for _ in range(_RESAMPLES)]
    low, high = np.quantile(again, (0.025, 0.975)).tolist()
    families = [rows.family for rows, _ in worlds]
    return RegimeScore(
        worlds=len(worlds),
        macro_f1=_macro(counts.sum(axis=0)),
        macro_f1_low=low,
        macro_f1_high=high,
        f1=dict(zip([one.value for one in Regime], f1_scores(label, truth, weight).tolist(), strict=True)),
        by_family={
            name: _macro(counts[[k for k, family in enumerate(families) if family == name]].sum(axis=0)) for name in dict.fromkeys(families)
        },
        scored_share=_THIN_S * len(label) / max(seconds, 1),
        quality=reliability(p, (label == truth).astype(np.float64), weight, which),
    )


def score_heads(bundle: Bundle, worlds: Sequence[tuple[Rows, Said]]) -> tuple[HeadScore, ...]:
    """Score every head's probabilities of up."""
    found = []
    for k, head in enumerate(bundle.spec.heads):
        p, up, weight, group = [], [], [], []
        for number, (rows, said) in enumerate(worlds):
            labels = labels_of(rows, head.horizon_s, _THIN_S)
            p.append(said.up[labels.rows, k])
            up.append((labels.sign > 0).astype(np.float64))
            weight.append(labels.uniqueness)
            group.append(np.full(len(labels.rows), number))
        said_up, came, worth, which = (np.concatenate(column) for column in (p, up, weight, group))
        found.append(
            HeadScore(
                horizon_s=head.horizon_s,
                auc=weighted_auc(said_up, came, worth),
                effective=float(worth[np.isfinite(said_up)].sum()),
                quality=reliability(said_up, came, worth, which),
            )
        )
    return tuple(found)


def _near_change(regime: NDArray[np.int8], around: int) -> NDArray[np.bool_]:
    changes = np.flatnonzero(np.diff(regime) != 0) + 1
    marks = np.zeros(len(regime) + 1, np.int64)
    np.add.at(marks, np.maximum(changes - around, 0), 1)
    np.add.at(marks, np.minimum(changes + around, len(regime)), -1)
    return np.asarray(np.cumsum(marks)[: len(regime)] > 0, np.bool_)


def _macro(counts: Floats) -> float:
    """Return the macro-F1 of a confusion matrix, over the regimes that are true or said somewhere."""
    right, true, said = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    total = true + said
    there = total > 0.0
    return float((2.0 * right[there] / total[there]).mean()) if there.any() else float("nan")

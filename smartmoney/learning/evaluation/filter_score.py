"""A bundle's regimes as a share of what filters of the very same laws know, world for world.

The filters are learned from samples (`regime_filter`), so their macro-F1 is a lower bound of the exact public filter's, and the share of it
that a bundle has is an upper bound of its true share: a share above 1 says that the bound is loose there, nothing else, and is not clipped.
Both are scored on the same seconds by the same counts. Worlds whose generator is not known have no filter, and are left out.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.learning.evaluation.paired import RESAMPLES, Ranged, counts_of, ranged, stretch
from smartmoney.learning.evaluation.regime_labels import f1_of, macro_f1, scored_labels
from smartmoney.learning.evaluation.said import RegimesSaid, Said
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]

GOAL_FLOOR = 0.90
GOAL = 0.95
BOUND = "lower bound of the exact public filter's macro-F1, so that the ratio is an upper bound of the bundle's true one"


class Filtered(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what filters say of each scored world, None of one without; `half` is what those say that learned from half as many worlds.

    `per_law` is how many worlds each filter has learned from.
    """

    per_law: int
    said: Sequence[RegimesSaid | None]
    half: Sequence[RegimesSaid | None]


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the macro-F1 of both on the same worlds, and the first's share of the second; NaN where the filter has none."""

    model: float
    filter: float
    ratio: float


class FilterScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score filters beside a bundle, on the `worlds` that have one; `left_out` have none.

    `macro_f1` is the filters', a lower bound of the exact one's, `macro_f1_half` theirs had they learned from half as many worlds: how far
    the bound still rises. `ratio` is the bundle's share, an upper bound; intervals draw worlds, for both at once.
    """

    per_law: int
    worlds: int
    left_out: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    macro_f1_half: float
    macro_f1_model: float
    ratio: float
    ratio_low: float
    ratio_high: float
    f1: dict[str, float]
    f1_model: dict[str, float]
    by_family: dict[str, Beside]

    @property
    def loose(self) -> tuple[str, ...]:
        """Return the families in which the bundle scores above the filter: there the bound says nothing."""
        return tuple(name for name, one in self.by_family.items() if one.model > one.filter)


def score_filter(worlds: Sequence[tuple[Rows, Said]], filtered: Filtered) -> FilterScore | None:
    """Score filters and a bundle on the worlds that have a filter; None where none has."""
    model, others = paired_counts(worlds, filtered.said)
    count = len(model)
    if not count:
        return None
    _, half = paired_counts(worlds, filtered.half)
    found, ratio = _ranged(model, others)
    families = [rows.family for (rows, _), one in zip(worlds, filtered.said, strict=True) if one is not None]
    names = [one.value for one in Regime]
    return FilterScore(
        per_law=filtered.per_law,
        worlds=count,
        left_out=len(worlds) - count,
        macro_f1=found.value,
        macro_f1_low=found.low,
        macro_f1_high=found.high,
        macro_f1_half=macro_f1(half.sum(axis=0)) if len(half) == count else math.nan,
        macro_f1_model=macro_f1(model.sum(axis=0)),
        ratio=ratio.value,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        f1=dict(zip(names, f1_of(others.sum(axis=0)).tolist(), strict=True)),
        f1_model=dict(zip(names, f1_of(model.sum(axis=0)).tolist(), strict=True)),
        by_family={name: _beside(model, others, [one == name for one in families]) for name in dict.fromkeys(families)},
    )


def paired_counts(worlds: Sequence[tuple[Rows, Said]], said: Sequence[RegimesSaid | None]) -> tuple[Floats, Floats]:
    """Return each world's `(truth, label)` counts of a bundle and of its filter, of the worlds that have one, `(worlds, 5, 5)` each."""
    both = [(rows, mine, other) for (rows, mine), other in zip(worlds, said, strict=True) if other is not None] if said else []
    if not both:
        return np.zeros((0, 5, 5)), np.zeros((0, 5, 5))
    return (
        scored_labels([(rows, mine) for rows, mine, _ in both]).counts(len(both)),
        scored_labels([(rows, other) for rows, _, other in both]).counts(len(both)),
    )


def share_of(model: Floats, others: Floats) -> float:
    """Return the share that one confusion matrix's macro-F1 has of another's; NaN where that has none."""
    best = macro_f1(others)
    return macro_f1(model) / best if best > 0.0 else math.nan


def _ranged(model: Floats, others: Floats) -> tuple[Ranged, Ranged]:
    """Return the filter's macro-F1 and the ratio, with intervals over worlds that are drawn for both at once."""
    count = len(model)
    whole, draw = counts_of(count)
    rng = np.random.default_rng(9)
    drawn = [draw(rng) for _ in range(RESAMPLES if count > 1 else 0)]

    def values(times: Floats) -> tuple[float, float]:
        mine, best = (np.tensordot(times, one, axes=1) for one in (model, others))
        return macro_f1(best), share_of(mine, best)

    again = np.array([values(times) for times in drawn]).reshape(-1, 2)
    best, ratio = values(whole)
    return ranged(best, again[:, 0]), ranged(ratio, again[:, 1], stretch(count))


def _beside(model: Floats, others: Floats, chosen: Sequence[bool]) -> Beside:
    mine, best = model[np.array(chosen)].sum(axis=0), others[np.array(chosen)].sum(axis=0)
    return Beside(model=macro_f1(mine), filter=macro_f1(best), ratio=share_of(mine, best))

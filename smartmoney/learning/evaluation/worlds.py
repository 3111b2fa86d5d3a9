"""The bundle on held-out full markets: regimes against truth, forecasts against what came, by family."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.calibration import Reliability, reliability, reliability_by, weighted_auc
from smartmoney.learning.evaluation.filter_score import Filtered, FilterScore, score_filter
from smartmoney.learning.evaluation.regime_labels import THIN_S, WARM_S, f1_of, macro_f1, scored_labels
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.sets.families import is_held_out, is_unseen
from smartmoney.learning.sets.labels import labels_of
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]

_RESAMPLES = 300


class RegimeScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score regimes on worlds with truth; `filter` is None where no world has one."""

    worlds: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    f1: dict[str, float]
    by_family: dict[str, float]
    scored_share: float
    filter: FilterScore | None = None
    quality: Reliability

    @property
    def macro_f1_filter(self) -> float:
        """Return the filter's macro-F1, NaN where there is none."""
        return float("nan") if self.filter is None else self.filter.macro_f1


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
        """Return the rows with each world counted so many times."""
        return Forecasts(self.up, self.came, self.weight * times[self.world], self.world, self.regime)

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


def score_regimes(worlds: Sequence[tuple[Rows, Said]], filtered: Filtered | None = None) -> RegimeScore:
    """Score published labels, ±`AROUND_S` around changes left out, and hold them against what filters say of the same seconds."""
    scored = scored_labels(worlds)
    counts = scored.counts(len(worlds))
    rng = np.random.default_rng(9)
    again = [macro_f1(counts[rng.integers(0, len(worlds), len(worlds))].sum(axis=0)) for _ in range(_RESAMPLES)]
    low, high = np.quantile(again, (0.025, 0.975)).tolist()
    families = [rows.family for rows, _ in worlds]
    seconds = sum(len(rows) - WARM_S for rows, _ in worlds)
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
        scored_share=THIN_S * len(scored.label) / max(seconds, 1),
        filter=None if filtered is None else score_filter(worlds, filtered),
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
        labels = labels_of(rows, horizon_s, THIN_S)
        p.append(said.up[labels.rows, k])
        up.append((labels.sign > 0).astype(np.float64))
        weight.append(labels.uniqueness)
        group.append(np.full(len(labels.rows), number))
        regime.append(said.label[labels.rows])
    return Forecasts(*(np.concatenate(column) for column in (p, up, weight, group, regime)))

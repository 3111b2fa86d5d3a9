"""What a head needs beside its forest: volatility at the horizon, the scale of gross returns, conformal thresholds, terciles of risk.

All of it from out-of-fold probabilities. gross = s σ̂ Φ⁻¹(confidence); s is the slope of what moves in the forecast's direction on that, so
a head that foretells nothing gets s near 0 and never offers a return above its cost. A family of worlds counts as the root of its rows
here: one of many worlds does not say alone what confidence is worth, and one of few does not say as much as it. A head
that foretells one family only gets what s is without that one; one whose returns vanish so in families that folds had not seen keeps
silent.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.bundle import Calibrator, Sigma
from smartmoney.learning.boosting.models import calibrated_up
from smartmoney.learning.calibration import calibrate, conformal_thresholds
from smartmoney.learning.fitting.plan import Sample
from smartmoney.learning.sets.labels import age_weights, labels_of
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]

SIGMA_FEATURES = ("sigma_bar_bps", "rv_600s", "rv_3600s", "bipower_600s")
"""What a head's volatility may be made of: the last minutes say little of an hour in which news comes and goes. The likeliest is taken."""
_KNOWN_MIN = 0.95
"""A volatility that is missing more often than the first one by more than a twentieth would keep a head silent for too long."""
_FLOOR_SHARE = 0.1
_CONFIDENCE_MAX = 0.999
ONE_FAMILY = 0.5
"""Where s falls below this share of itself without one family, that family makes it, and it is no law of markets."""


class HeadRows(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the labelled rows of a sample at one horizon: numbers in the sample, sign, move in bps, weight (independent rows)."""

    at: NDArray[np.int64]
    up: Floats
    moved_bps: Floats
    weight: Floats

    @property
    def effective(self) -> float:
        """Return the number of independent rows."""
        return float(self.weight.sum())


class Calibrating(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what folds said of labelled rows `(rows,)`, of each kind of folds: those that leave out families, or walk forward; fresh worlds.

    `raw_up` are uncalibrated probabilities of up, NaN where no fold of that kind tested the row; `regime` is an index of `Regime`, by which
    a decision chooses its conformal threshold; `share` is the weight that the kind has, and all of them sum to 1.
    """

    raw_up: tuple[Floats, ...]
    regime: tuple[NDArray[np.int64], ...]
    share: tuple[float, ...]

    @property
    def confidence(self) -> Floats:
        """Return the confidence of every kind, one after the other."""
        raw = np.concatenate(self.raw_up)
        return np.asarray(np.maximum(raw, 1.0 - raw), np.float64)

    def right(self, up: Floats) -> Floats:
        """Return 1 where the side that a kind leans to came true, one kind after the other; `up` is 1 where the mid rose."""
        return np.concatenate([np.where(raw >= 0.5, up, 1.0 - up) for raw in self.raw_up])

    def weights(self, weight: Floats, family: NDArray[np.int64]) -> Floats:
        """Return what each row counts for, one kind after the other: a family as the root of its rows, 0 where nothing was said."""
        found = []
        for raw, share in zip(self.raw_up, self.share, strict=True):
            known = np.isfinite(raw)
            counts = np.zeros(len(weight))
            counts[known] = share * by_family(weight[known], family[known])
            found.append(counts)
        return np.concatenate(found)


class HeadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what is fitted on out-of-fold probabilities."""

    calibrator: Calibrator
    return_scale: float
    sigma: Sigma
    conformal: tuple[float, ...]
    terciles_bps: tuple[float, float]


def head_rows(sources: Sequence[Rows], made: Sample, horizon_s: int, every_s: int, half_life_s: float) -> HeadRows:
    """Return the labelled rows of a sample at a horizon, weighted by uniqueness and age.

    Oracle worlds have none: several lie in one source, an hour apart, and nothing moves from one into the next.
    """
    start = {}
    place = 0
    counts = np.bincount(made.source, minlength=len(sources))
    for source, count in enumerate(counts.tolist()):
        start[source] = place
        place += count
    parts: list[tuple[NDArray[np.int64], Floats, Floats, Floats]] = []
    for source, one in enumerate(sources):
        if "target" in one.extras:
            continue
        labels = labels_of(one, horizon_s, every_s)
        own = made.row[start[source] : start[source] + counts[source]]
        at = start[source] + np.searchsorted(own, labels.rows)
        weight = labels.uniqueness * age_weights(one.times, half_life_s)[labels.rows]
        parts.append((at, (labels.sign > 0).astype(np.float64), labels.moved_bps, weight))
    if not parts:
        nothing = np.empty(0)
        return HeadRows(at=np.empty(0, np.int64), up=nothing, moved_bps=nothing, weight=nothing)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return HeadRows(at=columns[0].astype(np.int64), up=columns[1], moved_bps=columns[2], weight=columns[3])


def fit_sigma(volatility: Floats, moved_bps: Floats, weight: Floats, feature: str = SIGMA_FEATURES[0]) -> Sigma:
    """Return σ = max(floor, scale × volatility^power) of the moves: power by regression of logs, scale so that (move/σ)² has mean 1."""
    known = np.isfinite(volatility) & (volatility > 0.0) & (moved_bps != 0.0)
    v, m, w = volatility[known], np.abs(moved_bps[known]), weight[known]
    if len(v) < 10 or np.ptp(v) <= 0.0:
        spread = float(np.sqrt((weight * moved_bps**2).sum() / max(weight.sum(), 1e-12))) if len(moved_bps) else 1.0
        return Sigma(feature=feature, power=0.0, scale=max(spread, 1e-3), floor_bps=max(_FLOOR_SHARE * spread, 1e-3))
    log_v, log_m = np.log(v), np.log(m)
    centred = log_v - np.average(log_v, weights=w)
    slope = float((w * centred * (log_m - np.average(log_m, weights=w))).sum() / (w * centred**2).sum())
    power = float(np.clip(slope, 0.0, 1.0))
    scale = float(np.sqrt(np.average((m / v**power) ** 2, weights=w)))
    floor = max(_FLOOR_SHARE * float(np.sqrt(np.average(m**2, weights=w))), 1e-3)
    return Sigma(feature=feature, power=power, scale=max(scale, 1e-6), floor_bps=floor)


def likeliest_sigma(volatilities: Sequence[Floats], moved_bps: Floats, weight: Floats) -> tuple[Sigma, Floats]:
    """Return the σ under which normal moves of that size are likeliest, and its value in bps at each row.

    Args:
        volatilities: `(rows,)` of each of `SIGMA_FEATURES`.
        moved_bps: `(rows,)` moves.
        weight: `(rows,)` independent rows.
    """
    usual = np.isfinite(volatilities[0])
    best: tuple[float, Sigma, Floats] | None = None
    for feature, volatility in zip(SIGMA_FEATURES, volatilities, strict=True):
        known = np.isfinite(volatility)
        if best is not None and (known & usual).sum() < _KNOWN_MIN * usual.sum():
            continue
        sigma = fit_sigma(volatility, moved_bps, weight, feature)
        spread = sigmas(sigma, volatility)
        used = np.isfinite(spread)
        z = moved_bps[used] / spread[used]
        surprise = float(np.average(np.log(spread[used]) + 0.5 * z**2, weights=weight[used])) if used.any() else np.inf
        if best is None or surprise < best[0]:
            best = (surprise, sigma, spread)
    assert best is not None
    return best[1], best[2]


def sigmas(sigma: Sigma, volatility: Floats) -> Floats:
    """Return σ of rows in bps; NaN where the volatility is not known."""
    return np.asarray(np.maximum(sigma.floor_bps, sigma.scale * volatility**sigma.power), np.float64)


def fit_facts(told: Calibrating, rows: HeadRows, made: Sample, family: NDArray[np.int64]) -> HeadFacts:
    """Fit calibrator, return scale, volatility, conformal thresholds and terciles on out-of-fold rows.

    Args:
        told: what folds said of the rows.
        rows: the labelled rows; arrays of the same length.
        made: the sample that they are rows of.
        family: `(rows,)` number of the family that the row's world is of.
    """
    kinds = len(told.share)
    weights = told.weights(rows.weight, family)
    used = weights > 0.0
    place = np.tile(np.arange(len(rows.at)), kinds)[used]
    raw, weight = np.concatenate(told.raw_up)[used], weights[used]
    up, moved, whose = rows.up[place], rows.moved_bps[place], family[place]
    calibrator = calibrate(told.confidence[used], told.right(rows.up)[used], weight)
    p = calibrated_up(calibrator, raw)
    volatilities = [made.x[rows.at[place], FEATURE_INDEX[name]].astype(np.float64) for name in SIGMA_FEATURES]
    sigma, spread = likeliest_sigma(volatilities, moved, weight)
    kind = np.repeat(np.arange(kinds), len(rows.at))[used]
    alone = [common_scale(*(values[kind == one] for values in (p, moved, weight, spread, whose))) for one in np.unique(kind).tolist()]
    counted = np.concatenate([share * rows.weight for share in told.share])[used]
    return HeadFacts(
        calibrator=calibrator,
        return_scale=common_scale(p, moved, weight, spread, whose) if min(alone, default=0.0) > 0.0 else 0.0,
        sigma=sigma,
        conformal=conformal_thresholds(np.where(up > 0.5, p, 1.0 - p), np.concatenate(told.regime)[used], weight, 5, counted=counted),
        terciles_bps=_terciles(spread),
    )


def by_family(weight: Floats, family: NDArray[np.int64]) -> Floats:
    """Return weights by which a family counts as the root of its rows does, which sum to the rows that an average by them is worth."""
    totals = np.bincount(family, weight)
    held = totals > 0.0
    if not held.any():
        return weight
    shares = np.divide(1.0, np.sqrt(totals), out=np.zeros_like(totals), where=held)
    # Independent rows behind a weighted mean: (sum of weights)² / sum of squared weights.
    worth = np.sqrt(totals).sum() / held.sum()
    return np.asarray(weight * shares[family] * worth, np.float64)


def common_scale(p_up: Floats, moved_bps: Floats, weight: Floats, sigma_bps: Floats, family: NDArray[np.int64]) -> float:
    """Return s of gross = s σ Φ⁻¹(confidence); where one family makes most of it, s without that family."""
    scale = return_scale(p_up, moved_bps, weight, sigma_bps)
    named = np.unique(family)
    if len(named) < 2:
        return scale
    without = [return_scale(*(values[family != one] for values in (p_up, moved_bps, weight, sigma_bps))) for one in named.tolist()]
    return min(without) if min(without) < ONE_FAMILY * scale else scale


def return_scale(p_up: Floats, moved_bps: Floats, weight: Floats, sigma_bps: Floats) -> float:
    """Return s of gross = s σ Φ⁻¹(confidence): the weighted slope through zero, never below 0."""
    from scipy.special import ndtri

    expected = sigma_bps * ndtri(np.clip(p_up, 1.0 - _CONFIDENCE_MAX, _CONFIDENCE_MAX))
    usable = np.isfinite(expected)
    total = float((weight * expected**2)[usable].sum())
    return max(0.0, float((weight * expected * moved_bps)[usable].sum()) / total) if total > 0.0 else 0.0


def _terciles(spread: Floats) -> tuple[float, float]:
    known = spread[np.isfinite(spread)]
    if not len(known):
        return 1.0, 1.0
    low, high = np.quantile(known, (1.0 / 3.0, 2.0 / 3.0)).tolist()
    return max(low, 1e-6), max(high, low, 1e-6)

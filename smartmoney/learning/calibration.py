"""Make scores mean what they say, and measure whether they do. Out-of-fold scores only: in-sample scores are sharper than the truth.

Which calibrator is fitted follows the effective number of rows, not their count: overlapping labels are no evidence. Below 1,000 Platt's
two parameters, below 5,000 beta's three (Kull, Silva Filho, Flach 2017), from there isotonic regression.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Calibrator
from smartmoney.learning.calibration_error import BINS, gaps_of
from smartmoney.learning.coverage import MISS

Floats = NDArray[np.float64]

BETA_FROM = 1_000.0
ISOTONIC_FROM = 5_000.0
KNOTS = 64
"""Most knots of an isotonic calibrator: a step a quantile is as fine as its own error."""
APART = 5
"""Calibrators that are fitted to judge one: each without a fifth of the groups."""
PART_ROWS = 20.0
"""Independent rows of a regime without which nothing is told of its calibration."""
_EPS = 1e-9
"""Probabilities are held this far from 0 and 1, as the daemon holds them."""


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Say how well probabilities are calibrated.

    `ece` is debiased: the root of the mean squared gap over equal-mass bins less what chance alone makes of it (Kumar, Liang, Ma 2019;
    chance by `calibration_error`), so a perfect forecaster scores about 0; `ece_low` and `ece_high` are its 95 % interval. All three are
    NaN where too few independent labels tell them. `ece_squared` is its square before it is held at 0, however few there are, for
    resamples; `ece_plain` the usual mean absolute gap. `slope` and `intercept` are of the logit; `skill` is the Brier skill against
    the base rate.
    """

    ece: float
    ece_low: float
    ece_high: float
    ece_squared: float
    ece_plain: float
    slope: float
    intercept: float
    brier: float
    skill: float
    log_loss: float
    rows: int
    effective: float
    bins: tuple[tuple[float, float, float], ...]
    """Per bin: mean probability, share that came true, effective rows."""


def calibrate(p: Floats, outcome: Floats, weights: Floats) -> Calibrator:
    """Return the calibrator of raw probabilities `(rows,)` for outcomes 0 or 1; identity where there is only one class.

    `weights` sum to the effective number of rows.
    """
    effective = float(weights.sum())
    known = np.isfinite(p) & (weights > 0.0)
    p, outcome, weights = np.clip(p[known], _EPS, 1.0 - _EPS), outcome[known], weights[known]
    if len(p) < 2 or np.ptp(outcome) == 0.0 or np.ptp(p) < 1e-9:
        return Calibrator()
    if effective >= ISOTONIC_FROM:
        return _isotonic(p, outcome, weights)
    if effective >= BETA_FROM:
        a, b, c = logistic(np.column_stack((np.log(p), -np.log1p(-p))), outcome, weights)
        # A falling map would turn the forecast round: then two parameters have to do.
        if a >= 0.0 and b >= 0.0:
            return Calibrator(kind="beta", parameters=(a, b, c))
    a, b = logistic(_logit(p)[:, None], outcome, weights)
    return Calibrator(kind="platt", parameters=(max(a, 0.0), b))


def apply(calibrator: Calibrator, p: Floats) -> Floats:
    """Return calibrated probabilities; NaN stays."""
    clipped = np.clip(p, _EPS, 1.0 - _EPS)
    match calibrator.kind:
        case "platt":
            a, b = calibrator.parameters
            return _sigmoid(a * _logit(clipped) + b)
        case "beta":
            a, b, c = calibrator.parameters
            return _sigmoid(a * np.log(clipped) - b * np.log1p(-clipped) + c)
        case "isotonic":
            found = np.interp(clipped, calibrator.x, calibrator.y)
            return np.asarray(np.where(np.isfinite(p), found, np.nan), np.float64)
    return np.asarray(p, np.float64)


def calibrated_apart(
    p: Floats, outcome: Floats, weights: Floats, groups: NDArray[np.int64], parts: int = APART, *, judged: Floats | None = None
) -> Floats:
    """Return each row's probability by a calibrator that was fitted without its group: what a calibrator is worth on rows it has not seen.

    A calibrator judged on the scores that it was fitted on looks right even where the scores are noise.

    Args:
        p: `(rows,)` raw out-of-fold probabilities, NaN where there is none.
        outcome: `(rows,)` 0 or 1.
        weights: `(rows,)` independent rows that each row is worth.
        groups: `(rows,)` numbers of what is independent: worlds, days, blocks of time. Groups that follow each other stay together.
        parts: how many calibrators are fitted, at most one per group; NaN everywhere with a single group.
        judged: `(rows,)` raw probabilities of the same rows to calibrate, where they are not those that calibrators are fitted on.
    """
    known = np.isfinite(p) & (weights > 0.0)
    named, number = np.unique(groups, return_inverse=True)
    found = np.full(len(p), np.nan)
    count = min(parts, len(named))
    if count < 2:
        return found
    part = number * count // len(named)
    judged = p if judged is None else judged
    for k in range(count):
        inside = part == k
        fitted = calibrate(p[known & ~inside], outcome[known & ~inside], weights[known & ~inside])
        found[inside] = apply(fitted, judged[inside])
    return found


def fit_temperature(margins: Floats, classes: NDArray[np.int64], weights: Floats) -> float:
    """Return the temperature that makes softmax(margins / T) of `(rows, classes)` out-of-fold margins likeliest."""
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        scaled = margins / math.exp(log_t)
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float((weights * (total - scaled[np.arange(len(classes)), classes])).sum() / weights.sum())

    return math.exp(float(minimize_scalar(loss, bounds=(-2.5, 2.5), method="bounded").x))


def reliability(p: Floats, outcome: Floats, weights: Floats, groups: NDArray[np.int64], seed: int = 1) -> Reliability:
    """Measure probabilities against outcomes 0 or 1. `groups` `(rows,)` number what is independent, in the order of time.

    They are worlds, or blocks of time of at least twice what labels reach ahead (`time_blocks`).
    """
    known = np.isfinite(p) & (weights > 0.0)
    p, outcome, weights, groups = p[known], outcome[known], weights[known], groups[known]
    nothing = float("nan")
    if len(p) < BINS:
        return Reliability(
            ece=nothing, ece_low=nothing, ece_high=nothing, ece_squared=nothing, ece_plain=nothing, slope=nothing, intercept=nothing,
            brier=nothing, skill=nothing, log_loss=nothing, rows=len(p), effective=float(weights.sum()), bins=(),
        )  # fmt: skip
    gaps = gaps_of(p, outcome, weights, groups)
    told = gaps.told(seed)
    total = weights.sum()
    base = float((weights * outcome).sum() / total)
    brier = float((weights * (p - outcome) ** 2).sum() / total)
    slope, intercept = logistic(_logit(np.clip(p, _EPS, 1 - _EPS))[:, None], outcome, weights) if 0.0 < base < 1.0 else (nothing, nothing)
    return Reliability(
        ece=told.error,
        ece_low=told.low,
        ece_high=told.high,
        ece_squared=told.squared,
        ece_plain=gaps.plain,
        slope=slope,
        intercept=intercept,
        brier=brier,
        skill=1.0 - brier / (base * (1.0 - base)) if 0.0 < base < 1.0 else nothing,
        log_loss=log_loss(p, outcome, weights),
        rows=len(p),
        effective=float(total),
        bins=gaps.bins,
    )


def reliability_by(
    p: Floats, outcome: Floats, weights: Floats, groups: NDArray[np.int64], part: NDArray[np.int64], names: Sequence[str]
) -> dict[str, Reliability]:
    """Return `reliability` of each part `(rows,)`, an index of `names`; parts with fewer than `PART_ROWS` independent rows are left out."""
    found = {}
    known = np.isfinite(p) & (weights > 0.0)
    for k, name in enumerate(names):
        inside = known & (part == k)
        if weights[inside].sum() >= PART_ROWS:
            found[name] = reliability(p[inside], outcome[inside], weights[inside], groups[inside])
    return found


def log_loss(p: Floats, outcome: Floats, weights: Floats) -> float:
    """Return the weighted mean log-loss of probabilities for outcomes 0 or 1, in nats."""
    return float((weights * row_losses(p, outcome)).sum() / weights.sum())


def row_losses(p: Floats, outcome: Floats) -> Floats:
    """Return each row's log-loss in nats; probabilities are held within 1e-9 of 0 and 1."""
    clipped = np.clip(p, _EPS, 1.0 - _EPS)
    return np.asarray(-(outcome * np.log(clipped) + (1.0 - outcome) * np.log1p(-clipped)), np.float64)


def weighted_auc(score: Floats, outcome: Floats, weights: Floats) -> float:
    """Return the area under the ROC curve with weights, ties counting half; NaN with one class."""
    known = np.isfinite(score) & (weights > 0.0)
    score, outcome, weights = score[known], outcome[known], weights[known]
    values, place = np.unique(score, return_inverse=True)
    up = np.bincount(place, weights * (outcome > 0.5), len(values))
    down = np.bincount(place, weights * (outcome <= 0.5), len(values))
    if not len(values) or up.sum() <= 0.0 or down.sum() <= 0.0:
        return float("nan")
    below = np.cumsum(down) - down
    return float((up * (below + 0.5 * down)).sum() / (up.sum() * down.sum()))


def _isotonic(p: Floats, outcome: Floats, weights: Floats) -> Calibrator:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, outcome, sample_weight=weights)
    at = np.unique(np.quantile(p, np.linspace(0.0, 1.0, KNOTS)))
    y = np.maximum.accumulate(np.clip(model.predict(at), 0.0, 1.0))
    return Calibrator(kind="isotonic", x=tuple(at.tolist()), y=tuple(y.tolist()))


def logistic(x: Floats, outcome: Floats, weights: Floats) -> tuple[float, ...]:
    """Return coefficients and intercept of a weighted logistic regression, by Newton's method with a trace of ridge.

    A step that does not lessen the loss is halved until it does: where columns nearly agree, as those of the beta map do, a whole one can
    lead to where every outcome is unlikely and nothing leads back.
    """
    design = np.column_stack((x, np.ones(len(x))))
    ridge = 1e-6 * float(weights.sum())

    def loss(beta: Floats) -> float:
        z = design @ beta
        return float((weights * (np.logaddexp(0.0, z) - outcome * z)).sum() + 0.5 * ridge * (beta**2).sum())

    beta = np.zeros(design.shape[1])
    reached = loss(beta)
    for _ in range(50):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (weights * (outcome - p)) - ridge * beta
        hessian = (design * (weights * p * (1.0 - p))[:, None]).T @ design + ridge * np.eye(len(beta))
        step = np.linalg.solve(hessian, gradient)
        for _halved in range(40):
            tried = loss(beta + step)
            if tried <= reached:
                break
            step = 0.5 * step
        else:
            break
        beta, reached = beta + step, tried
        if np.abs(step).max() < 1e-10:
            break
    return tuple(beta.tolist())


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p), np.float64)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -500.0, 500.0))), np.float64)


def conformal_thresholds(
    p_true: Floats,
    group: Sequence[int] | NDArray[np.int64],
    weights: Floats,
    groups: int,
    miss: float = MISS,
    *,
    counted: Floats | None = None,
) -> tuple[float, ...]:
    """Return per group the threshold q of a Mondrian conformal set: a side is in it when its probability is at least 1 − q.

    `p_true` is the calibrated out-of-fold probability of what came true; q is its (1 − miss) quantile of 1 − p_true, with the finite-sample
    correction by effective rows. A group with fewer than 20 effective rows gets 1: both sides are in, nothing is traded. Exchangeability
    does not hold over time, so coverage is monitored (`drift`). `counted` is what each row is worth where `weights` say what it counts for:
    a scarce row that counts for many is no more evidence.
    """
    found = []
    chosen = np.asarray(group)
    for k in range(groups):
        inside = (chosen == k) & np.isfinite(p_true)
        total = float(weights[inside].sum())
        if total < 20.0 or (counted is not None and float(counted[inside].sum()) < 20.0):
            found.append(1.0)
            continue
        scores = 1.0 - p_true[inside]
        order = np.argsort(scores)
        mass = np.cumsum(weights[inside][order]) / total
        level = min(1.0, (1.0 - miss) * (total + 1.0) / total)
        place = min(int(np.searchsorted(mass, level - 1e-12)), len(order) - 1)
        found.append(float(scores[order][place]))
    return tuple(found)

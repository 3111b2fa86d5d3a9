"""Sharpe ratios that admit how they were found: probabilistic, and deflated by the number of trials.

Bailey and López de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (5), 2014. Ratios are per period, not annualised.
What cannot be computed is NaN, so that a comparison with a limit refuses it.
"""

from math import e, nan, sqrt
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NORMAL = NormalDist()
_EULER = 0.5772156649015329


class SharpeEstimate(msgspec.Struct, frozen=True):
    """Be the Sharpe ratio of `count` periods with what its error depends on; `kurtosis` of a normal distribution is 3."""

    ratio: float
    count: int
    skewness: float
    kurtosis: float


def sharpe_ratios(returns: Floats) -> Floats:
    """Return mean over deviation of each column of `(periods, trials)`; 0 for a column that never moves, such as one that never trades."""
    mean, deviation = returns.mean(axis=0), returns.std(axis=0, ddof=1)
    moves = deviation > 1e-12 * np.maximum(np.abs(returns).max(axis=0), 1e-300)
    ratios: Floats = np.where(moves, mean / np.where(moves, deviation, 1.0), 0.0)
    return ratios


def estimate_sharpe(returns: Floats) -> SharpeEstimate:
    """Return the estimate from `(periods,)` returns. Skewness and kurtosis are those of the sample, biased as in the paper."""
    count = len(returns)
    if count < 2:
        return SharpeEstimate(nan, count, nan, nan)
    ratio = float(sharpe_ratios(returns[:, None])[0])
    centred = returns - returns.mean()
    variance = float((centred**2).mean())
    if variance <= 0.0 or ratio == 0.0:
        return SharpeEstimate(ratio, count, 0.0, 3.0)
    return SharpeEstimate(ratio, count, float((centred**3).mean()) / variance**1.5, float((centred**4).mean()) / variance**2)


def probabilistic_sharpe(estimate: SharpeEstimate, benchmark: float = 0.0) -> float:
    """Return the probability that the true ratio is above `benchmark`: Φ((SR−SR*)√(T−1)/√(1−γ₃SR+(γ₄−1)/4·SR²))."""
    ratio = estimate.ratio
    spread = 1.0 - estimate.skewness * ratio + (estimate.kurtosis - 1.0) / 4.0 * ratio**2
    if not (estimate.count >= 2 and spread > 0.0):
        return nan
    return _NORMAL.cdf((ratio - benchmark) * sqrt(estimate.count - 1) / sqrt(spread))


def luckiest_sharpe(trials: int, variance: float) -> float:
    """Return the ratio that the best of `trials` without any skill is expected to show: SR*; `variance` is that of the trials' ratios.

    SR* = √variance·((1−γ)Φ⁻¹(1−1/N)+γΦ⁻¹(1−1/(Ne))), γ = Euler's constant. One trial was not selected, and deserves no deflation.
    """
    if trials <= 1:
        return 0.0
    if not variance >= 0.0:
        return nan
    return sqrt(variance) * ((1.0 - _EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / trials) + _EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (trials * e)))


def deflated_sharpe(estimate: SharpeEstimate, trials: int, variance: float) -> float:
    """Return the probability that the true ratio is above what the luckiest of all trials would show by chance.

    `trials` counts every trial ever made on that market's past, not the ones that were kept.
    """
    return probabilistic_sharpe(estimate, luckiest_sharpe(trials, variance))

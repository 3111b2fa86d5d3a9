"""What takers' orders are like: the long memory of their signs, and how they come in clusters. Fills are merged per aggressor before.

The branching ratio of a self-exciting process is read off its counts: n = 1 - sqrt(mean / variance) over windows that are long against its
memory (Hardiman, Bouchaud 2014, "Branching-ratio approximation for the self-exciting Hawkes process"). Slow changes of activity raise it,
and windows that are not long enough lower it, alike for the simulated and the recorded.
"""

from itertools import pairwise

import numpy as np

from smartmoney.learning.realism_returns import autocorrelation
from smartmoney.learning.realism_series import Fills
from smartmoney.learning.resampling import Floats

WINDOW_S = 10
LAGS_MAX = 100
_EDGES = (1, 2, 3, 4, 6, 9, 13, 19, 28, 42, 64, LAGS_MAX + 1)
"""Lags are averaged over [edge, next edge) before the fit."""
_FAR = range(91, 111)
_BINS_MIN = 6


def sign_correlations(fills: Fills, lags: int = LAGS_MAX) -> Floats:
    """Return the autocorrelation of the signs at lags 1 to `lags`."""
    signs = fills.signs.astype(np.float64)
    return np.array([autocorrelation(signs, lag) for lag in range(1, lags + 1)])


def sign_memory(fills: Fills) -> dict[str, float]:
    """Return C(1), the exponent of C(l) ~ l^-exponent, and C(100), which is the mean over lags 91 to 110."""
    found = sign_correlations(fills, _FAR[-1])
    return {"sign_acf_1": float(found[0]), "sign_decay": decay_exponent(found), "sign_acf_100": float(found[_FAR[0] - 1 : _FAR[-1]].mean())}


def decay_exponent(correlations: Floats) -> float:
    """Return the exponent of a power law fitted to correlations at lags 1, 2, …, by least squares of logarithms over bins of lags.

    Bins whose mean is not positive have no logarithm and are left out; NaN where fewer than six are left.
    """
    lags, means = [], []
    for low, high in pairwise(_EDGES):
        mean = float(correlations[low - 1 : high - 1].mean())
        if mean > 0.0:
            lags.append(np.log(np.arange(low, high)).mean())
            means.append(np.log(mean))
    if len(means) < _BINS_MIN:
        return float("nan")
    return float(-np.polyfit(lags, means, 1)[0])


def clustering(fills: Fills) -> dict[str, float]:
    """Return the coefficient of variation of the time between orders, and the branching ratio."""
    gaps = np.diff(fills.times)
    cv = float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.mean() > 0.0 else float("nan")
    return {"arrival_cv": cv, "branching": branching_ratio(fills)}


def branching_ratio(fills: Fills, window_s: float = WINDOW_S) -> float:
    """Return the branching ratio from counts in windows; 0 where they vary no more than a Poisson process's do; NaN for fewer than ten."""
    if not len(fills.times):
        return float("nan")
    place = (fills.times - fills.times[0]) // round(window_s * 1e9)
    counts = np.bincount(place)[:-1]  # the last window is cut short
    if len(counts) < 10 or counts.var() == 0.0:
        return float("nan")
    return float(max(0.0, 1.0 - np.sqrt(counts.mean() / counts.var())))

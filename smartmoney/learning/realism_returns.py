"""What returns are like: their memory, their tails, the memory of their size, and how variance grows with the horizon.

Moves are of the mid in bps; NaN is a move that nobody knows, and leaves out only the sums it takes part in. The slow statistics need
weeks: `Slow` holds what they are made of, and the same functions take one seed's or many seeds' together.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from smartmoney.learning.realism_series import Observed, returns_bps, summed
from smartmoney.learning.resampling import Floats

LAGS_S = range(2, 31)
MINUTES_MIN = 120
"""Fewer minutes than this tell nothing of tails or of the memory of volatility."""
HILL_SHARE = 0.025
_HILL_MIN = 20
ACTIVITY_S = 10
"""Window of volume and volatility: short enough that the recordings hold some dozens."""
_GAP_MINUTES = 60


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a stretch's moves over whole minutes, and the mean squared move per second at 1 s and at 5 min."""

    minutes: Floats
    variance_1s: float
    variance_5min: float


def autocorrelation(values: Floats, lag: int) -> float:
    """Return the autocorrelation at a lag, over pairs that are both known; NaN without any."""
    known = np.isfinite(values)
    if lag >= len(values) or known.sum() < 3:
        return float("nan")
    centred = values - values[known].mean()
    variance = float((centred[known] ** 2).mean())
    products = centred[lag:] * centred[:-lag]
    products = products[np.isfinite(products)]
    return float(products.mean() / variance) if len(products) and variance > 0.0 else float("nan")


def return_memory(observed: Observed) -> dict[str, float]:
    """Return the autocorrelation of 1 s moves at lag 1, and the largest in size at lags 2 to 30."""
    moves = returns_bps(observed.bars, 1)
    return {"return_acf_1": autocorrelation(moves, 1), "return_acf_2_30": max(abs(autocorrelation(moves, lag)) for lag in LAGS_S)}


def volume_volatility(observed: Observed) -> dict[str, float]:
    """Return the correlation of traded lots with realised volatility (root of summed squared 1 s moves) over windows of ten seconds."""
    moves = returns_bps(observed.bars, 1)
    lots = summed(observed.fills, observed.fills.lots, observed.bars, 1)
    windows = len(moves) // ACTIVITY_S
    volatility = np.sqrt((moves[: windows * ACTIVITY_S].reshape(windows, ACTIVITY_S) ** 2).sum(axis=1))
    volume = lots[: windows * ACTIVITY_S].reshape(windows, ACTIVITY_S).sum(axis=1)
    known = np.isfinite(volatility)
    if known.sum() < 3 or volatility[known].std() == 0.0 or volume[known].std() == 0.0:
        return {"volume_volatility": float("nan")}
    return {"volume_volatility": float(np.corrcoef(volume[known], volatility[known])[0, 1])}


def slow_part(observed: Observed) -> Slow:
    """Return what one stretch adds to the slow statistics."""
    second, five = returns_bps(observed.bars, 1), returns_bps(observed.bars, 300)
    return Slow(minutes=returns_bps(observed.bars, 60), variance_1s=_mean_square(second), variance_5min=_mean_square(five) / 300.0)


def slow_statistics(parts: Sequence[Slow]) -> dict[str, float]:
    """Return tails, memory of |r| and the variance ratio of one or many stretches; NaN where there are too few minutes."""
    gap = np.full(_GAP_MINUTES, np.nan)
    minutes = np.concatenate([piece for part in parts for piece in (part.minutes, gap)])
    # A variance of 5 min moves from a few of them is none.
    names = ("kurtosis_1min", "kurtosis_rise", "hill", "abs_acf_1min", "abs_acf_30min", "variance_ratio")
    if np.isfinite(minutes).sum() < MINUTES_MIN:
        return dict.fromkeys(names, float("nan"))
    kurtosis = [excess_kurtosis(np.concatenate([_summed_steps(part.minutes, steps) for part in parts])) for steps in (1, 5, 30)]
    five = sum(part.variance_5min for part in parts)
    size = np.abs(minutes)
    values = (
        kurtosis[0],
        max(kurtosis[1] - kurtosis[0], kurtosis[2] - kurtosis[1]),
        hill_index(size),
        autocorrelation(size, 1),
        autocorrelation(size, 30),
        sum(part.variance_1s for part in parts) / five if five > 0.0 else float("nan"),
    )
    return dict(zip(names, values, strict=True))


def excess_kurtosis(values: Floats) -> float:
    """Return the fourth moment over the squared second, less three; NaN for fewer than ten values."""
    known = values[np.isfinite(values)]
    if len(known) < 10 or known.std() == 0.0:
        return float("nan")
    return float(((known - known.mean()) ** 4).mean() / known.var() ** 2 - 3.0)


def hill_index(sizes: Floats) -> float:
    """Return the tail index of sizes by Hill's estimator (1975) over the largest `HILL_SHARE` of them; NaN where those are too few."""
    known = np.sort(sizes[np.isfinite(sizes) & (sizes > 0.0)])[::-1]
    count = int(HILL_SHARE * len(known))
    if count < _HILL_MIN:
        return float("nan")
    return float(1.0 / np.log(known[:count] / known[count]).mean())


def _summed_steps(minutes: Floats, steps: int) -> Floats:
    whole = len(minutes) // steps
    totals: Floats = minutes[: whole * steps].reshape(whole, steps).sum(axis=1)
    return totals


def _mean_square(moves: Floats) -> float:
    known = moves[np.isfinite(moves)]
    return float((known**2).mean()) if len(known) else float("nan")

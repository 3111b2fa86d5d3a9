"""What pictures of the stylised facts are made of: small curves of one market, simulated or recorded, in the same form."""

import msgspec
import numpy as np

from smartmoney.learning.realism_orders import sign_correlations
from smartmoney.learning.realism_returns import autocorrelation
from smartmoney.learning.realism_series import SPREADS, Observed, returns_bps
from smartmoney.learning.resampling import Floats

MOVE_EDGES = np.concatenate(([-np.inf], np.linspace(-12.0, 12.0, 97), [np.inf]))
"""Edges of the histogram of 1 s moves, in their standard deviations."""
LAGS_S = (1, 2, 3, 5, 8, 13, 20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 1800, 3600)
SIGN_LAGS = 100
_DAY_PARTS = 48
_DAY_S = 86_400


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """Hold shares of 1 s moves by size, autocorrelations of r, |r| and signs, shares of spreads, volatility by half hour of the day."""

    name: str
    moves: Floats
    move_acf: Floats
    size_acf: Floats
    sign_acf: Floats
    spreads: Floats
    volatility: Floats


def curves_of(observed: Observed) -> Curves:
    """Return the curves of a market; NaN where it is too short for a lag."""
    move = returns_bps(observed.bars, 1)
    known = move[np.isfinite(move)]
    scale = known.std() if len(known) and known.std() > 0.0 else 1.0
    counted = np.histogram(np.clip(known / scale, -1e6, 1e6), MOVE_EDGES)[0]
    valid = max(1, int(observed.spreads[1:].sum()))
    lags = [lag if lag < len(move) / 4 else len(move) for lag in LAGS_S]
    return Curves(
        name=observed.name,
        moves=counted / max(1, len(known)),
        move_acf=np.array([autocorrelation(move, lag) for lag in lags]),
        size_acf=np.array([autocorrelation(np.abs(move), lag) for lag in lags]),
        sign_acf=sign_correlations(observed.fills, SIGN_LAGS),
        spreads=observed.spreads[1:SPREADS] / valid,
        volatility=_by_half_hour(move),
    )


def _by_half_hour(move: Floats) -> Floats:
    """Return the standard deviation of 1 s moves in each half hour of a day that begins with the series; NaN where there is none."""
    part = np.arange(len(move)) % _DAY_S // (_DAY_S // _DAY_PARTS)
    known = np.isfinite(move)
    count = np.bincount(part[known], minlength=_DAY_PARTS)
    squares = np.bincount(part[known], move[known] ** 2, _DAY_PARTS)
    return np.where(count > 0, np.sqrt(squares / np.maximum(count, 1)), np.nan)

"""What large orders do to the price: the exponent and the prefactor of impact against size, and what is left of it later.

Of each order: the mid's move in its direction from its start to its end, and to as long again after its end, over the day's volatility; its
lots over the day's volume. Only orders that know nothing are taken: the move of one that knows is not its own doing. I = Y (Q/V)^delta is
fitted to means over bins of log size, weighted by their errors; the exponent comes from a grid of 1/200.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from smartmoney.learning.feature_study import FINE_NS, SECOND_NS
from smartmoney.learning.realism_series import SPLITTER, Ints, Observed, returns_bps
from smartmoney.learning.resampling import Floats
from smartmoney.learning.top_watch import Bars

ORDERS_MIN = 4000
BINS = 16
BIN_ORDERS_MIN = 20
_EXPONENTS = np.linspace(0.0, 1.5, 301)
_DAY_S = 86_400.0


class Impacts(msgspec.Struct, frozen=True, kw_only=True):
    """Hold, per order: lots over a day's volume, and moves in its direction over a day's volatility, at its end and twice as late."""

    sizes: Floats
    at_end: Floats
    later: Floats


def impacts_of(observed: Observed) -> Impacts:
    """Return the impacts of a stretch's uninformed orders; none where parents are unknown."""
    parents, bars = observed.parents, observed.bars
    nothing = np.empty(0)
    moves = returns_bps(bars, 60)
    moves = moves[np.isfinite(moves)]
    if parents is None or not len(moves):
        return Impacts(sizes=nothing, at_end=nothing, later=nothing)
    volatility = float(np.sqrt((moves**2).mean() * _DAY_S / 60.0))
    seconds = (int(bars.times[-1]) - int(bars.times[0])) / SECOND_NS
    volume = float(observed.fills.lots.sum()) * _DAY_S / seconds
    chosen = (parents.kinds == SPLITTER) & (2 * parents.ends - parents.starts <= bars.times[-1]) & (parents.starts >= bars.times[0])
    starts, ends, signs = parents.starts[chosen], parents.ends[chosen], parents.signs[chosen]
    before = _mid_at(bars, starts)
    at_end = signs * (_mid_at(bars, ends) / before - 1.0) * 1e4 / volatility
    later = signs * (_mid_at(bars, 2 * ends - starts) / before - 1.0) * 1e4 / volatility
    known = np.isfinite(at_end) & np.isfinite(later)
    return Impacts(sizes=parents.lots[chosen][known] / volume, at_end=at_end[known], later=later[known])


def impact_statistics(parts: Sequence[Impacts], orders_min: int = ORDERS_MIN) -> dict[str, float]:
    """Return exponent, prefactor at exponent 1/2, decades of size, and what is left at twice the duration; NaN for too few orders."""
    sizes, at_end, later = (np.concatenate([getattr(part, name) for part in parts]) for name in ("sizes", "at_end", "later"))
    names = ("impact_exponent", "impact_prefactor", "impact_decades", "impact_left")
    if len(sizes) < max(orders_min, 2 * BINS):
        return dict.fromkeys(names, float("nan"))
    x, y, error = impact_curve(sizes, at_end)
    if not len(x):
        return dict.fromkeys(names, float("nan"))
    peak = float(at_end.mean())
    values = (
        _exponent(x, y, error),
        _scale(np.sqrt(x), y, error)[0],
        float(np.log10(x[-1] / x[0])),
        float(later.mean()) / peak if peak > 0.0 else float("nan"),
    )
    return dict(zip(names, values, strict=True))


def impact_curve(sizes: Floats, at_end: Floats) -> tuple[Floats, Floats, Floats]:
    """Return size, mean impact and its standard error in bins of equal width in log size, by rising size; sparse bins are left out."""
    edges = np.geomspace(sizes.min(), sizes.max(), BINS + 1)
    place = np.clip(np.searchsorted(edges, sizes, "right") - 1, 0, BINS - 1)
    bins = [one for k in range(BINS) if len(one := np.flatnonzero(place == k)) >= BIN_ORDERS_MIN]
    x = np.array([np.exp(np.log(sizes[one]).mean()) for one in bins])
    y = np.array([at_end[one].mean() for one in bins])
    error = np.array([at_end[one].std() / np.sqrt(len(one)) for one in bins])
    return x, y, np.maximum(error, 1e-12)


def _exponent(x: Floats, y: Floats, error: Floats) -> float:
    losses = [_scale(x**exponent, y, error)[1] for exponent in _EXPONENTS]
    return float(_EXPONENTS[int(np.argmin(losses))])


def _scale(shape: Floats, y: Floats, error: Floats) -> tuple[float, float]:
    """Return the factor that fits `shape` best to `y`, and the loss it leaves."""
    weight = 1.0 / error**2
    factor = float((weight * shape * y).sum() / (weight * shape**2).sum())
    return factor, float((weight * (y - factor * shape) ** 2).sum())


def _mid_at(bars: Bars, at_ns: Ints) -> Floats:
    """Return the mid of the last bar that had ended by each time."""
    place = np.clip((at_ns - bars.times[0]) // FINE_NS, 0, len(bars.times) - 1)
    mids: Floats = bars.mid[place]
    return mids

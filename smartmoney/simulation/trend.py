"""Trend followers: they compare the price with its own averages, buy what has risen, sell what has fallen, and leave when it is over."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.fair import lots_of
from smartmoney.simulation.ladder import ASK, BID
from smartmoney.simulation.latent import GRID_S
from smartmoney.simulation.matching import MARKET_PRICE, NO_PARENT
from smartmoney.simulation.random import draw
from smartmoney.simulation.requests import NOT_KEPT, TAKE, ask

TREND = int64(3)
FOLLOWERS = 3
_LEAVES_BELOW = 0.3

TREND_FIELDS: list[Any] = [("trend_mean", "f8", (FOLLOWERS,)), ("trend_held", "i8", (FOLLOWERS,)), ("trend_acts", "i8")]
"""Each follower's average price and position, and whose order was sent last."""


@inner
def watch_trend(b: Any, mid: float) -> None:
    """Fold the mid into each follower's average; called on the latent grid."""
    for j in range(FOLLOWERS):
        b.trend_mean[j] += (mid - b.trend_mean[j]) * min(GRID_S / b.trend_lookbacks_s[j], 1.0)


@inner
def follow_trend(b: Any, mid: float) -> None:
    """Let one follower look: it goes towards its full position while the trend is strong, and out once the trend is gone."""
    j = int(draw(b.words4) * FOLLOWERS)
    strength = (mid - b.trend_mean[j]) / (b.trend_threshold_bps * b.ticks_per_bp)
    full = lots_of(b, b.trend_size)
    wanted = b.trend_held[j]
    if strength > 1.0:
        wanted = full
    elif strength < -1.0:
        wanted = -full
    elif abs(strength) < _LEAVES_BELOW:
        wanted = 0
    missing = wanted - b.trend_held[j]
    if missing == 0:
        return
    lots = min(abs(missing), lots_of(b, b.trend_child * (0.5 + draw(b.words4))))
    side = BID if missing > 0 else ASK
    ask(b, side, MARKET_PRICE, lots, TAKE, TREND, NO_PARENT, NOT_KEPT)
    b.trend_acts = j


@inner
def note_trend_fill(b: Any, side: int, lots: int) -> None:
    """Take a fill into the position of the follower who sent the last order."""
    b.trend_held[b.trend_acts] += lots if side == BID else -lots

"""Noise takers whose arrivals excite each other: a Hawkes process with four exponentials a side, sampled by thinning.

`hawkes[side, j]` is the excitement that decay j still carries, in orders a second; an order on a side adds `same_side[j] × decay` there
and `other_side[j] × decay` across, so that each share is the mean number of orders that one brings about (Hawkes 1971; Bacry et al. 2015).
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.fair import NOISE, lots_of, off_centre
from smartmoney.simulation.ladder import ASK, BID
from smartmoney.simulation.matching import MARKET_PRICE, NO_PARENT
from smartmoney.simulation.random import draw, normal
from smartmoney.simulation.requests import NOT_KEPT, TAKE, ask

DECAYS = 4
_TILT_BPS = 2.0

TAKER_FIELDS: list[Any] = [("hawkes", "f8", (2, DECAYS)), ("taker_base", "f8")]
"""Excitement, and the base rate now (it follows volatility)."""


@inner
def start_takers(b: Any) -> None:
    """Begin with the excitement that the base rate sustains."""
    share = 0.0
    for j in range(DECAYS):
        share += b.takers_same_side[j] + b.takers_other_side[j]
    rate = b.takers_base_rate / max(1.0 - share, 0.05)
    for j in range(DECAYS):
        excited = rate * (b.takers_same_side[j] + b.takers_other_side[j])
        b.hawkes[0, j] = excited
        b.hawkes[1, j] = excited
    pace_takers(b)


@inner
def pace_takers(b: Any) -> None:
    """Let the base rate follow volatility; called on the latent grid."""
    b.taker_base = b.takers_base_rate
    if b.takers_volatility_reaction > 0.0:
        b.taker_base *= math.pow(min(b.vol_mult, 8.0), b.takers_volatility_reaction)


@inner
def taker_bound(b: Any, side: int) -> Any:
    """Return a rate that one side's intensity does not exceed before the next event."""
    total = b.taker_base * (1.0 + b.takers_value_tilt)
    for j in range(DECAYS):
        total += b.hawkes[side, j]
    return total


@inner
def decay_takers(b: Any, dt: float) -> None:
    """Let excitement fade."""
    for j in range(DECAYS):
        kept = math.exp(-b.takers_decays_per_s[j] * dt)
        b.hawkes[0, j] *= kept
        b.hawkes[1, j] *= kept


@inner
def maybe_take(b: Any, pick: float, bound_buy: float) -> None:
    """Keep a candidate arrival with the share of its bound that the decayed intensity still has, and send its order."""
    tilt = b.takers_value_tilt * off_centre(b, _TILT_BPS)
    side = BID
    if pick >= bound_buy:
        pick -= bound_buy
        side = ASK
        tilt = -tilt
    intensity = b.taker_base * (1.0 + tilt)
    for j in range(DECAYS):
        intensity += b.hawkes[side, j]
    if pick >= intensity:
        return
    units = b.takers_size * math.exp(b.takers_size_spread * normal(b.words4))
    if draw(b.words4) < b.takers_large_share:
        units *= b.takers_large_factor
    for j in range(DECAYS):
        b.hawkes[side, j] += b.takers_same_side[j] * b.takers_decays_per_s[j]
        b.hawkes[1 - side, j] += b.takers_other_side[j] * b.takers_decays_per_s[j]
    ask(b, side, MARKET_PRICE, lots_of(b, units), TAKE, NOISE, NO_PARENT, NOT_KEPT)

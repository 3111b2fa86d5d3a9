"""Say where the makers think the price is, and how far what takers did still moves it.

The makers know what the public knows of the efficient price. Takers' orders push their price by a concave function of size; the push is
spread over memories between the shortest and the longest so that what is left of it falls as a power of time (a propagator: Bouchaud et al.
2004; concave in size and metaorders' impact about the root of their size when the exponent is near one half).
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import ASK, BID, lots_at_tick
from smartmoney.simulation.latent import GRID_S

MEMORIES = 10
FIRST_MAKER = int64(8)
NOISE = int64(1)
"""Owner of noise takers; below it is the crowd."""

FAIR_FIELDS: list[Any] = [
    ("ticks_per_bp", "f8"),
    ("lots_per_unit", "f8"),
    ("basis", "f8"),
    ("basis_sd", "f8"),
    ("impact", "f8"),
    ("impacts", "f8", (MEMORIES,)),
    ("impact_weights", "f8", (MEMORIES,)),
    ("impact_kept", "f8", (MEMORIES,)),
    ("maker_count", "i8"),
    ("centre", "i8"),
]


def memory_of(exponent: float, shortest_s: float, longest_s: float) -> tuple[Any, Any]:
    """Return each memory's weight (they sum to 1) and what it keeps over a grid step.

    Exponentials with memories evenly spaced in logarithm and weights of memory^-exponent follow t^-exponent between the two ends.
    """
    times = np.geomspace(shortest_s, longest_s, MEMORIES)
    weights = times**-exponent
    return weights / weights.sum(), np.exp(-GRID_S / times)


@inner
def fair(b: Any) -> Any:
    """Return where makers think the price is, in ticks: what is known, basis, takers' push, and their own inventory."""
    held = np.int64(0)
    for k in range(b.maker_count):
        held += b.position[FIRST_MAKER + k]
    lean = -b.makers_inventory_bps * math.tanh(held / (40.0 * b.lots_per_unit))
    return b.reference + (b.basis + b.impact + lean) * b.ticks_per_bp


@inner
def off_centre(b: Any, scale_bps: float) -> Any:
    """Return, within ±1, how far the makers' price has left the quoted one."""
    return math.tanh((fair(b) - b.centre - 0.5) / (scale_bps * b.ticks_per_bp))


@inner
def push(b: Any, side: int, lots: int, owner: int) -> None:
    """Let one taker's order move the makers' price."""
    bps = min(b.impact_bps * math.pow(lots / b.lots_per_unit, b.impact_volume_exponent), b.impact_most_bps)
    if owner <= NOISE:
        bps *= b.impact_noise_share
    if b.impact_volatility_reaction > 0.0:
        bps *= math.pow(b.vol_mult, b.impact_volatility_reaction)
    if side != BID:
        bps = -bps
    for j in range(MEMORIES):
        b.impacts[j] += bps * b.impact_weights[j]
    b.impact += bps


@inner
def forget(b: Any) -> None:
    """Let pushes and basis fade over one grid step."""
    total = 0.0
    for j in range(MEMORIES):
        b.impacts[j] *= b.impact_kept[j]
        total += b.impacts[j]
    b.impact = total


@inner
def imbalance(b: Any) -> Any:
    """Return (bid lots − ask lots) / (bid lots + ask lots) of the touch, 0 where a side is empty."""
    if b.best_bid < 0 or b.best_ask < 0:
        return 0.0
    bid = lots_at_tick(b, b.best_bid)
    ask = lots_at_tick(b, b.best_ask)
    return (bid - ask) / (bid + ask)


@inner
def best_of(b: Any, side: int) -> Any:
    """Return the best price of a side, or where the makers quote when nobody stands there."""
    if side == BID:
        return b.best_bid if b.best_bid >= 0 else b.centre
    return b.best_ask if b.best_ask >= 0 else b.centre + 1


@inner
def middle(b: Any) -> Any:
    """Return the mid price in ticks."""
    return 0.5 * (best_of(b, BID) + best_of(b, ASK))


@inner
def lots_of(b: Any, units: float) -> Any:
    """Return a size in lots, at least one."""
    return max(1, int(units * b.lots_per_unit))

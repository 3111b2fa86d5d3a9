"""The anonymous many: limit orders, cancels and market orders whose chances depend on the queues and the spread (queue-reactive).

After Huang, Lehalle and Rosenbaum (2015): intensities are functions of the book's state. Arrivals and cancels balance at a target count.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.fair import best_of, imbalance, lots_of, off_centre
from smartmoney.simulation.ladder import ASK, BID, CROWD, POOL
from smartmoney.simulation.matching import MARKET_PRICE, NO_PARENT, cancel_plain
from smartmoney.simulation.random import draw, normal
from smartmoney.simulation.requests import JOIN, NOT_KEPT, TAKE, ask

_FURTHEST_BPS = 90.0
_TRIES = 4
_LEAN_BPS = 0.5


@inner
def crowd_limit(b: Any) -> None:
    """Place one limit order, more likely on the side that the price moves towards, joining the touch, inside it, or behind it."""
    if b.crowd_count >= 2 * b.crowd_target_orders or b.live >= POOL // 2:
        return
    words = b.words4
    lean = 0.5 * b.crowd_value_reaction * off_centre(b, _LEAN_BPS) + 0.5 * b.crowd_imbalance_reaction * imbalance(b)
    side = BID if draw(words) < 0.5 + lean else ASK
    best = best_of(b, side)
    u = draw(words)
    distance = 0.0
    if u > b.crowd_touch_share:
        distance = b.crowd_distance_bps * (math.pow(1.0 - draw(words), -b.crowd_distance_tail) - 1.0)
        distance = min(distance, _FURTHEST_BPS)
    # While a trap is open nobody new stands near the touch.
    if b.now < b.trap_until and distance < b.traps_reach_bps and draw(words) < b.trap_share:
        return
    away = int(distance * b.ticks_per_bp)
    tick = best - away if side == BID else best + away
    if u < b.crowd_improve_share and b.best_bid >= 0 and b.best_ask - b.best_bid > 1:
        tick = best + 1 if side == BID else best - 1
    units = b.crowd_size * math.exp(b.crowd_size_spread * normal(words)) * (1.0 + 0.15 * min(distance, 30.0))
    if tick > 0:
        ask(b, side, tick, lots_of(b, units), JOIN, CROWD, NO_PARENT, NOT_KEPT)


@inner
def crowd_cancel(b: Any) -> None:
    """Look at resting orders; near ones live shorter, and shorter still on the side that the price leaves or whose queue is short."""
    words = b.words4
    for _ in range(_TRIES):
        if b.crowd_count == 0 or draw(words) * b.crowd_target_orders > b.crowd_count:
            return
        slot = b.crowd[int(draw(words) * b.crowd_count)]
        side = b.order_sides[slot]
        away = abs(best_of(b, side) - b.order_ticks[slot]) / b.ticks_per_bp
        wrong = 0.6 * b.crowd_value_reaction * off_centre(b, _LEAN_BPS) + b.crowd_imbalance_reaction * imbalance(b)
        if side == BID:
            wrong = -wrong
        if draw(words) < (0.15 + 0.65 / (1.0 + away)) * (1.0 + wrong):
            cancel_plain(b, b.order_ids[slot])
            return


@inner
def crowd_market(b: Any) -> None:
    """Take a little, more likely against the shorter queue, and less likely the wider the spread."""
    words = b.words4
    if b.best_bid < 0 or b.best_ask < 0:
        return
    wide = min(b.best_ask - b.best_bid - 1, 100)
    if wide > 0 and draw(words) >= math.pow(b.crowd_spread_patience, wide):
        return
    side = BID if draw(words) < 0.5 + 0.5 * b.crowd_imbalance_reaction * imbalance(b) else ASK
    units = 0.5 * b.crowd_size * math.exp(b.crowd_size_spread * normal(words))
    ask(b, side, MARKET_PRICE, lots_of(b, units), TAKE, CROWD, NO_PARENT, NOT_KEPT)

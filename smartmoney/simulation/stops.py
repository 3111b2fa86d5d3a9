"""Holders of stop orders: a population of levels that become market orders when a trade reaches them, and set off each other.

Buy stops stand above the price, sell stops below; some at round prices, where several fire together. What fired within about five
seconds is counted, and enough of it is a cascade.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.fair import lots_of
from smartmoney.simulation.ladder import ASK, BID, CASCADE, NIL, emit
from smartmoney.simulation.latent import GRID_S, NEVER
from smartmoney.simulation.matching import MARKET_PRICE, NO_PARENT
from smartmoney.simulation.random import draw, exponential, normal
from smartmoney.simulation.requests import NOT_KEPT, TAKE, ask

STOPS = int64(4)
STOPS_MAX = 256
_FIRED_MEMORY_S = 5.0
_AT_ONCE = 32
_SIZE_SPREAD = 1.0
_HIGHEST = int64(1 << 60)

STOP_FIELDS: list[Any] = [
    ("stop_count", "i8", (2,)),
    ("stop_ticks", "i8", (2, STOPS_MAX)),
    ("stop_lots", "i8", (2, STOPS_MAX)),
    ("stop_nearest", "i8", (2,)),
    ("stop_reached", "i8", (2,)),
    ("stop_at", "i8"),
    ("stop_fired", "f8"),
    ("cascade_seq", "i8"),
]
"""Stops by the side that they will take (a buy stop is at index 0), each side's nearest, and the furthest price that trades reached."""


@inner
def start_stops(b: Any, mid: float) -> None:
    """Place the first stops."""
    b.stop_count[:] = 0
    b.stop_fired = 0.0
    b.stop_at = NEVER
    b.cascade_seq = 0
    b.stop_nearest[0] = _HIGHEST
    b.stop_nearest[1] = 0
    b.stop_reached[0] = 0
    b.stop_reached[1] = _HIGHEST
    for _ in range(2 * b.stops_target_orders):
        move_stop(b, mid)


@inner
def move_stop(b: Any, mid: float) -> None:
    """Place a stop on one side, in place of a random one once there are enough."""
    words = b.words4
    side = BID if draw(words) < 0.5 else ASK
    count = b.stop_count[side]
    if b.stops_target_orders == 0:
        return
    if count >= b.stops_target_orders:
        _drop(b, side, int(draw(words) * count))
        count -= 1
    away = (b.stops_least_bps + b.stops_distance_bps * exponential(words)) * b.ticks_per_bp
    tick = int(mid + away) if side == BID else int(mid - away)
    if draw(words) < b.stops_round_share:
        step = max(int(b.stops_round_bps * b.ticks_per_bp), 1)
        tick = (tick // step + 1) * step if side == BID else tick // step * step
    if tick <= 0:
        return
    b.stop_ticks[side, count] = tick
    b.stop_lots[side, count] = lots_of(b, b.stops_size * math.exp(_SIZE_SPREAD * normal(words)))
    b.stop_count[side] = count + 1
    b.stop_nearest[side] = min(b.stop_nearest[side], tick) if side == BID else max(b.stop_nearest[side], tick)


@inner
def watch_stops(b: Any, tick: int) -> None:
    """Take a trade's price, and plan the moment when the stops that it reached become orders."""
    reached = False
    if tick >= b.stop_nearest[BID]:
        b.stop_reached[BID] = max(b.stop_reached[BID], tick)
        reached = True
    if tick <= b.stop_nearest[ASK]:
        b.stop_reached[ASK] = min(b.stop_reached[ASK], tick)
        reached = True
    if reached and b.stop_at == NEVER:
        b.stop_at = b.now + 1_000_000 + int(1e6 * b.stops_latency_ms * exponential(b.words4))


@inner
def fire_stops(b: Any) -> None:
    """Send what has been reached, the nearest table entries first, and tell of a cascade when it has become one."""
    b.stop_at = NEVER
    fired = 0
    side_fired = BID
    for side in (BID, ASK):
        n = 0
        while n < b.stop_count[side] and fired < _AT_ONCE:
            tick = b.stop_ticks[side, n]
            if tick > b.stop_reached[side] if side == BID else tick < b.stop_reached[side]:
                n += 1
                continue
            lots = b.stop_lots[side, n]
            _drop(b, side, n)
            ask(b, side, MARKET_PRICE, lots, TAKE, STOPS, NO_PARENT, NOT_KEPT)
            fired += 1
            side_fired = side
        _find_nearest(b, side)
    b.stop_fired += fired
    if fired == _AT_ONCE:
        b.stop_at = b.now + 1_000_000
    else:
        b.stop_reached[0] = 0
        b.stop_reached[1] = _HIGHEST
    if b.stop_fired >= b.stops_cascade_orders and b.now >= b.cascade_until:
        b.cascade_until = b.now + int(1e9 * b.stops_cascade_hold_s)
        b.cascade_seq += 1
        emit(b, CASCADE, b.cascade_seq, side_fired, NIL, int(b.stop_fired), NIL, NIL, NIL, NIL, NIL, NIL)


@inner
def forget_stops(b: Any) -> None:
    """Let the count of fired stops fade over one grid step."""
    b.stop_fired *= 1.0 - GRID_S / _FIRED_MEMORY_S


@inner
def _drop(b: Any, side: int, n: int) -> None:
    last = b.stop_count[side] - 1
    b.stop_ticks[side, n] = b.stop_ticks[side, last]
    b.stop_lots[side, n] = b.stop_lots[side, last]
    b.stop_count[side] = last


@inner
def _find_nearest(b: Any, side: int) -> None:
    nearest = _HIGHEST if side == BID else NIL
    for n in range(b.stop_count[side]):
        nearest = min(nearest, b.stop_ticks[side, n]) if side == BID else max(nearest, b.stop_ticks[side, n])
    b.stop_nearest[side] = nearest

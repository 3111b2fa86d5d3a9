"""Drive a book with a living flow of orders: one compiled next-event loop over everybody who trades in it.

Who there is: the crowd (limit orders and cancels that react to the queues), noise takers whose arrivals excite each other (Hawkes),
market makers who re-quote in blocks around the efficient price and step back when it is wild, an arbitrageur who takes what stands on
the wrong side of a re-quote, and the parents of `latent`. Times are nanoseconds of simulated time; prices in the flow are float ticks.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import (
    ASK,
    BID,
    BOOK_FIELDS,
    CROWD,
    KIND,
    LOTS,
    MAKER_OWNER,
    OUT_ROWS,
    POOL,
    SIDE,
    TAKER_OWNER,
    TRADE,
    emit_touch,
    reset,
    slot_of,
)
from smartmoney.simulation.latent import FIRST_PARENT_OWNER, LATENT_FIELDS, PARENTS, start_latent, step_latent
from smartmoney.simulation.matching import GTC, IOC, MARKET_PRICE, MAY_TAKE, NO_PARENT, POST_ONLY, RESTING, cancel, settle, submit
from smartmoney.simulation.random import draw, exponential, normal

NOISE = int64(1)
ARBITRAGE = int64(2)
FIRST_MAKER = int64(8)
MAKERS = 4
LAYERS = 5

FLOW_FIELDS = [
    ("words4", "u8", (4,)),
    ("clock", "f8"),
    ("pending_at", "f8"),
    ("pending_rate", "f8"),
    ("ticks_per_bp", "f8"),
    ("lots_per_unit", "f8"),
    ("basis", "f8"),
    ("basis_sd", "f8"),
    ("impact", "f8"),
    ("impact_bps_per_unit", "f8"),
    ("centre", "i8"),
    ("trigger_bps", "f8"),
    ("reprice_at", "i8"),
    ("rows_seen", "i8"),
    ("crowd_rate", "f8"),
    ("crowd_target", "i8"),
    ("crowd_size", "f8"),
    ("noise_base", "f8"),
    ("noise_size", "f8"),
    ("hawkes", "f8", (2, 2)),
    ("refresh_rate", "f8"),
    ("maker_size", "f8"),
    ("maker_centre", "i8", (MAKERS,)),
    ("maker_orders", "i8", (MAKERS, 2, LAYERS)),
    ("reprices", "i8"),
    ("events", "i8"),
]
WORLD = np.dtype([*LATENT_FIELDS, *FLOW_FIELDS, *BOOK_FIELDS], align=True)
"""One market of one symbol: its latent world, its traders and its book.

The book's fields come last: numba takes a record that begins with another's fields for its subtype, and then mixes up their kernels.
"""

# Distance of each maker's layers from the touch, in bps, and the size of each layer in units. The first two quote the touch.
_LAYER_BPS = np.array([[0.0, 0.25, 0.7, 1.5, 3.0], [0.0, 0.4, 1.0, 2.2, 4.0], [0.15, 0.9, 2.0, 3.5, 6.0], [0.3, 1.3, 3.0, 6.0, 12.0]])
_LAYER_SIZE = np.array([[1.0, 0.5, 0.6, 0.8, 1.0], [0.7, 0.4, 0.5, 0.7, 1.0], [0.5, 0.7, 1.0, 1.3, 1.8], [0.5, 0.8, 1.2, 2.0, 3.0]])
_MAKER_TRIGGER_BPS = np.array([0.0, 0.0, 0.8, 1.5])
_HAWKES_DECAY = np.array([3.0, 0.12])
_HAWKES_SELF = np.array([0.30, 0.25])
_HAWKES_CROSS = np.array([0.12, 0.0])
_IMPACT_DECAY = 0.05
_ONE_LOT = int64(1)
_LOWEST_CENTRE = int64(2)
_NEVER = int64(1 << 62)


@njit(cache=True, nogil=True)
def begin(b: Any, update_stride: int, trade_id: int, update_id: int) -> None:
    """Fill an empty world whose parameters and random streams are set: the book gets its first orders."""
    reset(b, int(b.anchor_ticks), update_stride)
    b.trade_id = trade_id
    b.update_id = update_id
    b.now = 0
    b.clock = 0.0
    b.pending_at = -1.0
    start_latent(b)
    b.centre = int(b.anchor_ticks)
    b.trigger_bps = 0.3
    b.reprice_at = _NEVER
    for k in range(MAKERS):
        _quote(b, k)
    for _ in range(b.crowd_target):
        _crowd_limit(b)
    b.hawkes[:, :] = 0.5
    b.out_len = 0
    b.rows_seen = 0


@njit(cache=True, nogil=True)
def run(worlds: npt.NDArray[Any], i: int, until: int) -> bool:
    """Run one world to a time in ns and return True, or False when `out` must be drained first (set `out_len` to 0, call again)."""
    b = worlds[i]
    while True:
        if b.out_len > 0 and OUT_ROWS - b.out_len < 4 * (b.live + b.parts) + 8 * b.s_used + 512:
            return False
        if not settle(b):
            return False
        if b.pending_at < 0.0:
            b.pending_rate = _total_rate(b)
            b.pending_at = b.clock + exponential(b.words4) / b.pending_rate
        certain_at = min(b.grid_next, b.reprice_at)
        drawn_at = np.int64(b.pending_at * 1e9)
        if min(certain_at, drawn_at) > until:
            # The draw is kept: how a caller cuts time into steps must not change what happens.
            return True
        if drawn_at < certain_at:
            b.now = drawn_at
            bound_buy = 1.5 * b.noise_base + b.hawkes[0, 0] + b.hawkes[0, 1]
            _decay(b, b.pending_at)
            _event(b, draw(b.words4) * b.pending_rate, bound_buy)
        else:
            b.now = certain_at
            _decay(b, certain_at * 1e-9)
            if b.reprice_at == certain_at:
                b.reprice_at = _NEVER
                _reprice(b)
            else:
                step_latent(b)
                _on_grid(b)
        b.pending_at = -1.0
        b.events += 1
        heed(b)


@njit(cache=True, nogil=True)
def heed(b: Any) -> None:
    """Let everybody notice what just happened: to be called after any event, and after an order from outside."""
    _learn_from_trades(b)
    _watch(b)
    emit_touch(b)


@njit(cache=True, nogil=True)
def settle_outside(worlds: npt.NDArray[Any], i: int) -> bool:
    """Carry out what an order from outside has made due and let everybody notice; return False when `out` must be drained first."""
    b = worlds[i]
    done = settle(b)
    heed(b)
    return done


@njit(cache=True, nogil=True)
def _total_rate(b: Any) -> Any:
    total = 2.0 * b.crowd_rate + b.refresh_rate + 2.0 * 1.5 * b.noise_base
    for side in range(2):
        for j in range(2):
            total += b.hawkes[side, j]
    for k in range(PARENTS):
        total += b.p_rate[k]
    return total


@njit(cache=True, nogil=True)
def _decay(b: Any, at: float) -> None:
    dt = at - b.clock
    if dt <= 0.0:
        return
    for j in range(2):
        factor = math.exp(-_HAWKES_DECAY[j] * dt)
        b.hawkes[0, j] *= factor
        b.hawkes[1, j] *= factor
    b.impact *= math.exp(-_IMPACT_DECAY * dt)
    b.clock = at


@njit(cache=True, nogil=True)
def _event(b: Any, pick: float, bound_buy: float) -> None:
    pick -= b.crowd_rate
    if pick < 0.0:
        if b.crowd_count < 2 * b.crowd_target and b.live < POOL // 2:
            _crowd_limit(b)
        return
    pick -= b.crowd_rate
    if pick < 0.0:
        _crowd_cancel(b)
        return
    pick -= b.refresh_rate
    if pick < 0.0:
        _refresh(b)
        return
    for k in range(PARENTS):
        pick -= b.p_rate[k]
        if pick < 0.0:
            _parent_child(b, k)
            return
    # What is left is the noise takers' bound; thinning keeps the share that their decayed intensity still has.
    tilt = 0.5 * math.tanh((_fair(b) - b.centre - 0.5) / (2.0 * b.ticks_per_bp))
    side = BID
    if pick >= bound_buy:
        pick -= bound_buy
        side = ASK
        tilt = -tilt
    if pick < b.noise_base * (1.0 + tilt) + b.hawkes[side, 0] + b.hawkes[side, 1]:
        _noise(b, side)


@njit(cache=True, nogil=True)
def _fair(b: Any) -> Any:
    """Return where makers think the price is: efficient price, basis, what recent takers moved, and their own inventory."""
    held = np.int64(0)
    for k in range(MAKERS):
        held += b.position[FIRST_MAKER + k]
    lean = -0.4 * math.tanh(held / (40.0 * b.lots_per_unit))
    return b.efficient + (b.basis + b.impact + lean) * b.ticks_per_bp


@njit(cache=True, nogil=True)
def _lots(b: Any, units: float) -> Any:
    return max(_ONE_LOT, np.int64(units * b.lots_per_unit))


@njit(cache=True, nogil=True)
def _crowd_limit(b: Any) -> None:
    words = b.words4
    lean = math.tanh((_fair(b) - b.centre - 0.5) / (0.5 * b.ticks_per_bp))
    side = BID if draw(words) < 0.5 + 0.2 * lean else ASK
    best = b.best_bid if side == BID else b.best_ask
    if best < 0:
        best = b.centre if side == BID else b.centre + 1
    u = draw(words)
    distance = 0.0
    if u > 0.25:
        distance = min(0.12 * (math.pow(1.0 - draw(words), -1.1) - 1.0), 90.0)
    away = int(distance * b.ticks_per_bp)
    tick = best - away if side == BID else best + away
    if u < 0.03 and b.best_bid >= 0 and b.best_ask - b.best_bid > 1:
        tick = best + 1 if side == BID else best - 1
    units = b.crowd_size * math.exp(1.1 * normal(words)) * (1.0 + 0.15 * min(distance, 30.0))
    if tick > 0:
        submit(b, side, tick, _lots(b, units), GTC, POST_ONLY, CROWD, NO_PARENT)


@njit(cache=True, nogil=True)
def _crowd_cancel(b: Any) -> None:
    words = b.words4
    # Cancels balance arrivals at the target population; near orders live shorter, and shorter still on the side the price leaves.
    for _ in range(4):
        if b.crowd_count == 0 or draw(words) * b.crowd_target > b.crowd_count:
            return
        slot = b.crowd[int(draw(words) * b.crowd_count)]
        side = b.order_sides[slot]
        best = b.best_bid if side == BID else b.best_ask
        away = abs(best - b.order_ticks[slot]) / b.ticks_per_bp
        lean = math.tanh((_fair(b) - b.centre - 0.5) / (0.5 * b.ticks_per_bp))
        wrong = -lean if side == BID else lean
        if draw(words) < (0.15 + 0.65 / (1.0 + away)) * (1.0 + 0.25 * wrong):
            cancel(b, b.order_ids[slot])
            return


@njit(cache=True, nogil=True)
def _noise(b: Any, side: int) -> None:
    units = b.noise_size * math.exp(1.25 * normal(b.words4))
    if draw(b.words4) < 0.012:
        units *= 15.0
    for j in range(2):
        b.hawkes[side, j] += _HAWKES_SELF[j] * _HAWKES_DECAY[j]
        b.hawkes[1 - side, j] += _HAWKES_CROSS[j] * _HAWKES_DECAY[j]
    submit(b, side, MARKET_PRICE, _lots(b, units), IOC, MAY_TAKE, NOISE, NO_PARENT)


@njit(cache=True, nogil=True)
def _parent_child(b: Any, k: int) -> None:
    words = b.words4
    side = b.p_side[k]
    owner = FIRST_PARENT_OWNER + k
    units = b.p_size[k] * math.exp(0.6 * normal(words))
    if draw(words) >= b.p_passive[k]:
        submit(b, side, MARKET_PRICE, _lots(b, units), IOC, MAY_TAKE, owner, b.p_id[k])
        return
    if b.p_order[k] != 0:
        cancel(b, b.p_order[k])
        b.p_order[k] = 0
    best = b.best_bid if side == BID else b.best_ask
    if best > 0 and submit(b, side, best, _lots(b, 3.0 * units), GTC, POST_ONLY, owner, b.p_id[k]) == RESTING:
        b.p_order[k] = b.order_id
        b.p_order_parent[k] = b.p_id[k]


@njit(cache=True, nogil=True)
def _on_grid(b: Any) -> None:
    if b.basis_sd > 0.0:
        dt = 0.05
        b.basis += -b.basis * dt / 20.0 + b.basis_sd * math.sqrt(2.0 * dt / 20.0) * normal(b.words4)
    for k in range(PARENTS):
        if b.p_order[k] != 0 and (b.p_rate[k] == 0.0 or b.p_order_parent[k] != b.p_id[k]):
            cancel(b, b.p_order[k])
            b.p_order[k] = 0


@njit(cache=True, nogil=True)
def _watch(b: Any) -> None:
    """Plan a re-quote, some milliseconds from now, once the makers' price has left the quoted one far enough."""
    off = abs(_fair(b) - b.centre - 0.5)
    if off > b.trigger_bps * b.ticks_per_bp and b.reprice_at > b.grid_next + 1_000_000_000:
        b.reprice_at = b.now + 1_000_000 + int(12e6 * exponential(b.words4))


@njit(cache=True, nogil=True)
def _reprice(b: Any) -> None:
    """Move the makers' quotes as a block; what stands on the wrong side of the new price is pulled, or taken by the arbitrageur."""
    target = max(_LOWEST_CENTRE, math.floor(_fair(b)))
    up = target > b.centre
    b.centre = target
    b.reprices += 1
    b.trigger_bps = 0.22 + 0.3 * draw(b.words4)
    moved = np.zeros(MAKERS, np.bool_)
    for k in range(MAKERS):
        far = abs(target - b.maker_centre[k]) > _MAKER_TRIGGER_BPS[k] * b.ticks_per_bp
        if far or _is_in_the_way(b, k, target):
            _pull_quotes(b, k)
            moved[k] = True
    _clear_the_way(b, up, target)
    for k in range(MAKERS):
        if moved[k]:
            _quote(b, k)


@njit(cache=True, nogil=True)
def _is_in_the_way(b: Any, k: int, target: int) -> bool:
    for side in range(2):
        for j in range(LAYERS):
            slot = slot_of(b, b.maker_orders[k, side, j])
            if slot >= 0 and (b.order_ticks[slot] > target if side == BID else b.order_ticks[slot] <= target):
                return True
    return False


@njit(cache=True, nogil=True)
def _clear_the_way(b: Any, up: bool, target: int) -> None:
    side = ASK if up else BID
    limit = target if up else target + 1
    for _ in range(4096):
        best = b.best_ask if up else b.best_bid
        if best < 0 or (best > limit if up else best < limit):
            return
        slot = _first_of_best(b, best)
        if slot >= 0 and b.order_owners[slot] == CROWD and draw(b.words4) < 0.97:
            cancel(b, b.order_ids[slot])
        elif slot >= 0:
            submit(b, 1 - side, limit, b.order_lots[slot], IOC, MAY_TAKE, ARBITRAGE, NO_PARENT)
        else:
            return


@njit(cache=True, nogil=True)
def _first_of_best(b: Any, tick: int) -> Any:
    i = tick - b.base
    return b.heads[i] if 0 <= i < b.heads.size else -1


@njit(cache=True, nogil=True)
def _pull_quotes(b: Any, k: int) -> None:
    for side in range(2):
        for j in range(LAYERS):
            if b.maker_orders[k, side, j] != 0:
                cancel(b, b.maker_orders[k, side, j])
                b.maker_orders[k, side, j] = 0


@njit(cache=True, nogil=True)
def _quote(b: Any, k: int) -> None:
    b.maker_centre[k] = b.centre
    for side in (BID, ASK):
        for j in range(LAYERS):
            _place(b, k, side, j)


@njit(cache=True, nogil=True)
def _place(b: Any, k: int, side: int, j: int) -> None:
    words = b.words4
    wild = min(max(b.vol_fast - 1.6, 0.0), 6.0)
    bps = _LAYER_BPS[k, j]
    if bps > 0.0:
        bps *= 0.8 + 0.4 * draw(words)
    if wild > 0.0 and draw(words) < 0.5:
        bps += 0.1 * wild * draw(words)
    away = int(bps * b.ticks_per_bp)
    lean = math.tanh((_fair(b) - b.centre - 0.5) / (0.4 * b.ticks_per_bp))
    held = math.tanh(b.position[FIRST_MAKER + k] / (15.0 * b.lots_per_unit))
    favour = 0.7 * lean - 0.3 * held
    if side == ASK:
        favour = -favour
    units = b.maker_size * _LAYER_SIZE[k, j] * math.exp(0.5 * normal(words) + favour) / (1.0 + 0.4 * wild)
    if side == BID:
        tick = b.centre - away
        if b.best_ask >= 0:
            tick = min(tick, b.best_ask - 1)
    else:
        tick = max(b.centre + 1 + away, b.best_bid + 1)
    if tick > 0 and submit(b, side, tick, _lots(b, units), GTC, POST_ONLY, FIRST_MAKER + k, NO_PARENT) == RESTING:
        b.maker_orders[k, side, j] = b.order_id


@njit(cache=True, nogil=True)
def _refresh(b: Any) -> None:
    """Let one maker look at one of its layers: replace it if it was eaten, or now and then anyway."""
    words = b.words4
    k = int(draw(words) * MAKERS)
    side = BID if draw(words) < 0.5 else ASK
    j = int(draw(words) * draw(words) * LAYERS)
    slot = slot_of(b, b.maker_orders[k, side, j])
    if slot >= 0:
        if draw(words) > 0.35:
            return
        cancel(b, b.maker_orders[k, side, j])
    b.maker_orders[k, side, j] = 0
    _place(b, k, side, j)


@njit(cache=True, nogil=True)
def _learn_from_trades(b: Any) -> None:
    """Let takers' fills move the makers' price for a while."""
    for row in range(b.rows_seen, b.out_len):
        if b.out[row, KIND] == TRADE and b.out[row, TAKER_OWNER] != ARBITRAGE and b.out[row, MAKER_OWNER] != b.out[row, TAKER_OWNER]:
            units = b.out[row, LOTS] / b.lots_per_unit
            sign = 1.0 if b.out[row, SIDE] == 0 else -1.0
            b.impact += sign * min(b.impact_bps_per_unit * units, 0.5)
    b.rows_seen = b.out_len

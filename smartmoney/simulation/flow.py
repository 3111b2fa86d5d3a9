"""Drive a book with everybody who trades in it: one compiled next-event loop over the population.

The parts, each in its module: latent price, parents and their children, crowd, takers, makers, trend followers, stops, spoofers, traps.
Times are nanoseconds of simulated time; prices in the flow are float ticks. Random arrivals are drawn at the total rate and picked; what
has a certain time (the latent grid, re-quotes, planned children, reached stops) comes at that time, in this order where times are equal.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.children import CHILD_FIELDS, note_fill, plan_children, planned_children, send_child
from smartmoney.simulation.crowd import crowd_cancel, crowd_limit, crowd_market
from smartmoney.simulation.fair import FAIR_FIELDS, forget, middle, push
from smartmoney.simulation.ladder import (
    ASK,
    BOOK_FIELDS,
    KIND,
    LOTS,
    MAKER,
    MAKER_OWNER,
    MAKER_PARENT,
    OUT_ROWS,
    SIDE,
    TAKER,
    TAKER_OWNER,
    TAKER_PARENT,
    TICK,
    TRADE,
    emit_touch,
    reset,
)
from smartmoney.simulation.latent import GRID_S, LATENT_FIELDS, NEVER, PARENTS, start_latent, step_latent
from smartmoney.simulation.makers import ARBITRAGE, MAKER_FIELDS, next_in_the_way, refresh, requote, start_makers, watch_price
from smartmoney.simulation.matching import GTC, IOC, MAY_TAKE, POST_ONLY, RESTING, settle, submit
from smartmoney.simulation.parents import PARENT_FIELDS, start_parents, step_parents
from smartmoney.simulation.random import draw, exponential, normal
from smartmoney.simulation.requests import (
    CLEAR,
    NOT_KEPT,
    R_KEPT,
    R_LOTS,
    R_MANNER,
    R_OWNER,
    R_PARENT,
    R_SIDE,
    R_TICK,
    REQUEST_FIELDS,
    STEP_BACK,
    TAKE,
)
from smartmoney.simulation.scenario import PARAMETER_FIELDS
from smartmoney.simulation.spoofers import SPOOF_FIELDS, start_spoofers, watch_walls
from smartmoney.simulation.stops import STOP_FIELDS, fire_stops, forget_stops, move_stop, start_stops, watch_stops
from smartmoney.simulation.takers import TAKER_FIELDS, decay_takers, maybe_take, pace_takers, start_takers, taker_bound
from smartmoney.simulation.traps import TRAP_FIELDS, carry_out_trap
from smartmoney.simulation.trend import TREND, TREND_FIELDS, follow_trend, note_trend_fill, watch_trend
from smartmoney.simulation.truth_bar import tell_bar

LOOP_FIELDS: list[Any] = [
    ("words4", "u8", (4,)),
    ("clock", "f8"),
    ("pending_at", "f8"),
    ("pending_rate", "f8"),
    ("rows_seen", "i8"),
    ("events", "i8"),
]
FLOW_FIELDS: list[Any] = [
    *PARAMETER_FIELDS,
    *PARENT_FIELDS,
    *LOOP_FIELDS,
    *REQUEST_FIELDS,
    *FAIR_FIELDS,
    *TAKER_FIELDS,
    *MAKER_FIELDS,
    *CHILD_FIELDS,
    *TREND_FIELDS,
    *STOP_FIELDS,
    *SPOOF_FIELDS,
    *TRAP_FIELDS,
]
WORLD = np.dtype([*LATENT_FIELDS, *FLOW_FIELDS, *BOOK_FIELDS], align=True)
"""One market of one symbol: its latent world, its traders and its book.

The book's fields come last: numba takes a record that begins with another's fields for its subtype, and then mixes up their kernels.
"""


@entry
def begin(b: Any, update_stride: int, trade_id: int, update_id: int) -> None:
    """Fill an empty world whose parameters and random streams are set: the book gets its first orders."""
    reset(b, int(b.anchor_ticks), update_stride)
    b.trade_id = trade_id
    b.update_id = update_id
    b.now = 0
    b.clock = 0.0
    b.pending_at = -1.0
    b.p_next[:] = NEVER
    b.child_next = NEVER
    start_latent(b)
    start_parents(b)
    b.request_count = 0
    b.kept[:] = 0
    start_makers(b)
    for _ in range(b.crowd_target_orders):
        carry_out(b)
        crowd_limit(b)
    carry_out(b)
    mid = middle(b)
    b.trend_mean[:] = mid
    start_takers(b)
    start_stops(b, mid)
    start_spoofers(b)
    b.out_len = 0
    b.rows_seen = 0


@entry
def run(worlds: npt.NDArray[Any], i: int, until: int) -> bool:
    """Run one world to a time in ns and return True, or False when `out` must be drained first (set `out_len` to 0, call again)."""
    b = worlds[i]
    while True:
        if b.out_len > 0 and OUT_ROWS - b.out_len < 4 * (b.live + b.parts) + 8 * b.s_used + 1024:
            return False
        if not settle(b):
            return False
        if b.pending_at < 0.0:
            b.pending_rate = _total_rate(b)
            b.pending_at = b.clock + exponential(b.words4) / b.pending_rate
        certain_at = min(b.grid_next, b.reprice_at, b.child_next, b.stop_at)
        drawn_at = np.int64(b.pending_at * 1e9)
        if min(certain_at, drawn_at) > until:
            # The draw is kept: how a caller cuts time into steps must not change what happens.
            return True
        if drawn_at < certain_at:
            b.now = drawn_at
            bound_buy = taker_bound(b, 0)
            _decay(b, b.pending_at)
            _event(b, draw(b.words4) * b.pending_rate, bound_buy)
        else:
            b.now = certain_at
            _decay(b, certain_at * 1e-9)
            _certain_event(b, certain_at)
        carry_out(b)
        b.pending_at = -1.0
        b.events += 1
        heed(b)


@inner
def carry_out(b: Any) -> None:
    """Send the orders that the population has asked for, in the order of asking, and keep the ids of those that rest."""
    i = 0
    while i < b.request_count:
        side, tick, lots, manner = b.requests[i, R_SIDE], b.requests[i, R_TICK], b.requests[i, R_LOTS], b.requests[i, R_MANNER]
        takes = manner in (TAKE, CLEAR)
        if manner == CLEAR:
            lots = next_in_the_way(b, side, tick)
        elif manner == STEP_BACK:
            tick = _stepped_back(b, side, tick)
        if lots <= 0 or (tick <= 0 and not takes):
            i += 1
            continue
        owner, parent, kept = b.requests[i, R_OWNER], b.requests[i, R_PARENT], b.requests[i, R_KEPT]
        status = submit(b, side, tick, lots, IOC if takes else GTC, MAY_TAKE if takes else POST_ONLY, owner, parent)
        if kept != NOT_KEPT and status == RESTING:
            b.kept[kept] = b.order_id
        # The way is cleared order by order: the request stays until nothing is in the way, or nothing more can be done.
        if manner != CLEAR or status < 0:
            i += 1
    b.request_count = 0


@inner
def _stepped_back(b: Any, side: int, tick: int) -> Any:
    if side == ASK:
        return max(tick, b.best_bid + 1)
    return tick if b.best_ask < 0 else min(tick, b.best_ask - 1)


@inner
def heed(b: Any) -> None:
    """Let everybody notice what just happened: to be called after any event, and after an order from outside."""
    _learn_from_trades(b)
    watch_price(b)
    emit_touch(b)


@entry
def settle_outside(worlds: npt.NDArray[Any], i: int) -> bool:
    """Carry out what an order from outside has made due and let everybody notice; return False when `out` must be drained first."""
    b = worlds[i]
    done = settle(b)
    heed(b)
    return done


@inner
def _total_rate(b: Any) -> Any:
    total = b.crowd_limit_rate + b.crowd_cancel_rate + b.crowd_market_rate + b.makers_refresh_rate + b.trend_rate + b.stops_rate + b.p_total
    return total + taker_bound(b, 0) + taker_bound(b, 1)


@inner
def _decay(b: Any, at: float) -> None:
    dt = at - b.clock
    if dt > 0.0:
        decay_takers(b, dt)
        b.clock = at


@inner
def _event(b: Any, pick: float, bound_buy: float) -> None:
    pick -= b.crowd_limit_rate
    if pick < 0.0:
        crowd_limit(b)
        return
    pick -= b.crowd_cancel_rate
    if pick < 0.0:
        crowd_cancel(b)
        return
    pick -= b.makers_refresh_rate
    if pick < 0.0:
        refresh(b)
        return
    pick -= b.crowd_market_rate
    if pick < 0.0:
        crowd_market(b)
        return
    pick -= b.trend_rate
    if pick < 0.0:
        follow_trend(b, middle(b))
        return
    pick -= b.stops_rate
    if pick < 0.0:
        move_stop(b, middle(b))
        return
    if pick < b.p_total:
        for k in range(PARENTS):
            pick -= b.p_rate[k]
            if pick < 0.0:
                send_child(b, k)
                return
        return
    # What is left is the takers' bound.
    maybe_take(b, pick - b.p_total, bound_buy)


@inner
def _certain_event(b: Any, at: int) -> None:
    if b.reprice_at == at:
        requote(b)
    elif b.stop_at == at:
        fire_stops(b)
    elif b.child_next == at:
        planned_children(b)
    else:
        step_latent(b)
        step_parents(b, at)
        _on_grid(b)


@inner
def _on_grid(b: Any) -> None:
    tell_bar(b)
    if b.basis_sd > 0.0:
        pull = GRID_S / b.price_basis_s
        sd = b.basis_sd
        if b.price_basis_reaction > 0.0:
            sd *= math.pow(b.vol_mult, b.price_basis_reaction)
        b.basis += -b.basis * pull + sd * math.sqrt(2.0 * pull) * normal(b.words4)
    forget(b)
    pace_takers(b)
    forget_stops(b)
    carry_out_trap(b)
    watch_walls(b)
    mid = middle(b)
    watch_trend(b, mid)
    plan_children(b, mid)


@inner
def _learn_from_trades(b: Any) -> None:
    """Let each taker's order, whole, move the makers' price; take fills off the parents; look whether stops were reached."""
    taker = 0
    lots = 0
    side = 0
    owner = 0
    for row in range(b.rows_seen, b.out_len):
        if b.out[row, KIND] != TRADE:
            continue
        size = b.out[row, LOTS]
        b.volume_fast += size
        b.volume_slow += size
        watch_stops(b, b.out[row, TICK])
        note_fill(b, b.out[row, MAKER_OWNER], b.out[row, MAKER_PARENT], size, b.out[row, MAKER])
        note_fill(b, b.out[row, TAKER_OWNER], b.out[row, TAKER_PARENT], size, 0)
        if b.out[row, TAKER_OWNER] == ARBITRAGE:
            continue
        if b.out[row, TAKER_OWNER] == TREND:
            note_trend_fill(b, b.out[row, SIDE], size)
        if b.out[row, TAKER] != taker and lots > 0:
            push(b, side, lots, owner)
            lots = 0
        taker = b.out[row, TAKER]
        side = b.out[row, SIDE]
        owner = b.out[row, TAKER_OWNER]
        lots += size
    if lots > 0:
        push(b, side, lots, owner)
    b.rows_seen = b.out_len

"""Match orders by price, then time, over integer ticks and lots, in compiled kernels.

Invariants, which `invariants.check` verifies: the book is never crossed; a queue holds its orders in arrival order; lots in = resting +
twice traded + withdrawn; positions and cash of all owners sum to zero. Kernels never raise: a refusal is a status. Events go to the
bounded array `out`; an order that might not find room there is refused with `REJECTED_NO_ROOM` before it changes anything, so drain `out`
and submit again.
"""

from typing import Any

from numba import njit

from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import (
    ASK,
    BID,
    CROWD,
    FIRST_ACCOUNT,
    LADDER,
    MAX_TICK,
    NO_SLOT,
    OUT_ROWS,
    OWNERS,
    TRADE,
    append,
    append_overflow,
    emit,
    emit_level,
    first_at,
    following_at,
    keep_centred,
    next_best,
    refresh_best,
    remove,
    slot_of,
)

MARKET_PRICE = int64(0)
"""The tick of an order without a limit; such an order cannot rest."""
NO_PARENT = int64(0)
MAY_TAKE, POST_ONLY = int64(0), int64(1)

GTC, IOC, FOK = int64(0), int64(1), int64(2)

RESTING, FILLED, EXPIRED = 1, 2, 3
REJECTED_POST_ONLY, REJECTED_POOL_FULL, REJECTED_INPUT, REJECTED_NO_ROOM = -1, -2, -3, -4
UNKNOWN_ORDER = -5

_LOWEST, _HIGHEST = int64(1), int64(MAX_TICK)


@njit(cache=True, nogil=True)
def has_room(b: Any) -> Any:
    """Tell whether any one order can be taken without overrunning `out`."""
    return OUT_ROWS - b.out_len >= 2 * b.live + 8


@njit(cache=True, nogil=True)
def submit(b: Any, side: int, tick: int, lots: int, tif: int, post_only: int, owner: int, parent: int) -> int:
    """Take an order and return a status; `b.order_id` and `b.filled` tell the rest.

    `tick` MARKET_PRICE means no limit (IOC or FOK only). Self-trade prevention expires what is left of the taker.
    """
    b.filled = 0
    b.prevented = 0
    b.order_seq += 1
    b.order_id = (b.order_seq << 16) | NO_SLOT
    if not _is_sane(side, tick, lots, tif, post_only, owner):
        return REJECTED_INPUT
    if not has_room(b):
        return REJECTED_NO_ROOM
    if tif == GTC and b.free < 0:
        return REJECTED_POOL_FULL
    limit = tick
    if tick == MARKET_PRICE:
        limit = _HIGHEST if side == BID else _LOWEST
    if post_only == POST_ONLY and _crosses(b, side, limit):
        return REJECTED_POST_ONLY
    b.lots_in += lots
    if tif == FOK and not _can_fill(b, side, limit, lots, owner):
        b.lots_withdrawn += lots
        return EXPIRED
    slot = -1
    if tif == GTC:
        # Taken before matching, so that the trades already carry the id under which the rest will stand.
        slot = b.free
        b.free = b.order_next[slot]
        b.order_id = (b.order_seq << 16) | slot
    left = _match(b, side, limit, lots, owner, parent)
    b.filled = lots - left
    if left > 0 and tif == GTC and b.prevented == 0:
        _rest(b, slot, side, tick, left, owner, parent)
        keep_centred(b)
        return RESTING
    if slot >= 0:
        b.order_next[slot] = b.free
        b.free = slot
    b.lots_withdrawn += left
    keep_centred(b)
    return EXPIRED if left > 0 else FILLED


@njit(cache=True, nogil=True)
def cancel(b: Any, order_id: int) -> Any:
    """Withdraw a resting order and return the lots that were left of it, or UNKNOWN_ORDER, or REJECTED_NO_ROOM."""
    slot = slot_of(b, order_id)
    if slot < 0:
        return UNKNOWN_ORDER
    if b.out_len >= OUT_ROWS:
        return REJECTED_NO_ROOM
    side = b.order_sides[slot]
    tick = b.order_ticks[slot]
    lots = b.order_lots[slot]
    b.lots_withdrawn += lots
    remove(b, slot)
    emit_level(b, side, tick)
    if tick == (b.best_bid if side == BID else b.best_ask):
        refresh_best(b, side, tick)
        keep_centred(b)
    return lots


@njit(cache=True, nogil=True)
def _is_sane(side: int, tick: int, lots: int, tif: int, post_only: int, owner: int) -> Any:
    if side not in (BID, ASK) or lots <= 0 or tif not in (GTC, IOC, FOK) or owner < 0 or owner >= OWNERS:
        return False
    if tick < 0 or tick > MAX_TICK or post_only not in (MAY_TAKE, POST_ONLY):
        return False
    can_rest = tick != MARKET_PRICE
    return (can_rest or tif != GTC) and (post_only == MAY_TAKE or (can_rest and tif == GTC))


@njit(cache=True, nogil=True)
def _crosses(b: Any, side: int, limit: int) -> Any:
    if side == BID:
        return b.best_ask >= 0 and b.best_ask <= limit
    return b.best_bid >= 0 and b.best_bid >= limit


@njit(cache=True, nogil=True)
def _can_fill(b: Any, side: int, limit: int, lots: int, owner: int) -> bool:
    opposite = ASK if side == BID else BID
    tick = b.best_ask if side == BID else b.best_bid
    left = lots
    while tick >= 0 and (tick <= limit if side == BID else tick >= limit):
        slot = first_at(b, tick)
        while slot >= 0:
            if owner >= FIRST_ACCOUNT and b.order_owners[slot] == owner:
                return False
            left -= b.order_lots[slot]
            if left <= 0:
                return True
            slot = following_at(b, slot, tick)
        tick = next_best(b, opposite, tick)
    return False


@njit(cache=True, nogil=True)
def _match(b: Any, side: int, limit: int, lots: int, owner: int, parent: int) -> int:
    left = lots
    opposite = ASK if side == BID else BID
    while left > 0 and b.prevented == 0:
        tick = b.best_ask if side == BID else b.best_bid
        if tick < 0 or (tick > limit if side == BID else tick < limit):
            break
        before = left
        left = _match_level(b, side, tick, left, owner, parent)
        if left != before:
            emit_level(b, opposite, tick)
            if first_at(b, tick) < 0:
                refresh_best(b, opposite, tick)
    return left


@njit(cache=True, nogil=True)
def _match_level(b: Any, side: int, tick: int, left: int, owner: int, parent: int) -> int:
    sign = 1 if side == BID else -1
    while left > 0:
        slot = first_at(b, tick)
        if slot < 0:
            break
        maker = b.order_owners[slot]
        if owner >= FIRST_ACCOUNT and maker == owner:
            b.prevented = 1
            break
        lots = min(left, b.order_lots[slot])
        b.trade_id += 1
        emit(b, TRADE, b.trade_id, side, tick, lots, b.order_ids[slot], b.order_id, maker, owner, b.order_parents[slot], parent)
        b.lots_traded += lots
        b.position[owner] += sign * lots
        b.position[maker] -= sign * lots
        b.cash[owner] -= sign * lots * tick
        b.cash[maker] += sign * lots * tick
        left -= lots
        if lots == b.order_lots[slot]:
            remove(b, slot)
        else:
            b.order_lots[slot] -= lots
            if 0 <= tick - b.base < LADDER:
                b.level_lots[tick - b.base] -= lots
    return left


@njit(cache=True, nogil=True)
def _rest(b: Any, slot: int, side: int, tick: int, lots: int, owner: int, parent: int) -> None:
    b.live += 1
    b.order_ids[slot] = b.order_id
    b.order_ticks[slot] = tick
    b.order_lots[slot] = lots
    b.order_sides[slot] = side
    b.order_owners[slot] = owner
    b.order_parents[slot] = parent
    if owner == CROWD:
        b.crowd[b.crowd_count] = slot
        b.crowd_place[slot] = b.crowd_count
        b.crowd_count += 1
    if 0 <= tick - b.base < LADDER:
        append(b, slot)
    else:
        append_overflow(b, slot)
        b.over_count[side, 1 if tick >= b.base else 0] += 1
    emit_level(b, side, tick)
    if side == BID:
        b.best_bid = max(b.best_bid, tick)
    elif b.best_ask < 0 or tick < b.best_ask:
        b.best_ask = tick

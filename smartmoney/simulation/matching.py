"""Take orders: the doors of the matching engine, in compiled kernels over one book record.

Price, then time, over integer ticks and lots. Invariants, which `invariants.check` verifies: the book is never crossed; a queue holds its
orders in arrival order; lots in = resting + hidden + twice traded + withdrawn; positions and cash of all owners sum to zero. Kernels never
raise: a refusal is a status. Events go to the bounded array `out`; an order that might not find room there is refused with
`REJECTED_NO_ROOM` before it changes anything, so drain `out` and submit again.
"""

from typing import Any

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.centring import keep_centred
from smartmoney.simulation.crossing import MARKET_PRICE, can_fill, cross, crosses, limit_of, stand
from smartmoney.simulation.entry import (
    ANY_POSITION,
    EXPIRED,
    FILLED,
    FOK,
    GTC,
    IOC,
    MAY_TAKE,
    NO_PARENT,
    POST_ONLY,
    REJECTED_INPUT,
    REJECTED_NO_ROOM,
    REJECTED_POOL_FULL,
    REJECTED_POST_ONLY,
    RESTING,
    UNKNOWN_ORDER,
    has_room,
    hold,
    is_sane,
    let_act,
    settle,
)
from smartmoney.simulation.ladder import (
    BID,
    FIRST_ACCOUNT,
    NIL,
    NO_SLOT,
    ORDER_EXPIRED,
    ORDER_RESTED,
    ORDER_WITHDRAWN,
    OUT_ROWS,
    emit_level,
    refresh_best,
    remove,
    slot_of,
    tell,
)
from smartmoney.simulation.leaving import abandon, shorten, withdraw
from smartmoney.simulation.order_table import ASKED, EXPIRE_TAKER, KILLED, LIQUIDITY, NO_STP, SELF_TRADE, row_of

__all__ = [
    "ANY_POSITION",
    "EXPIRED",
    "FILLED",
    "FOK",
    "GTC",
    "IOC",
    "MARKET_PRICE",
    "MAY_TAKE",
    "NO_PARENT",
    "POST_ONLY",
    "REJECTED_INPUT",
    "REJECTED_NO_ROOM",
    "REJECTED_POOL_FULL",
    "REJECTED_POST_ONLY",
    "RESTING",
    "UNKNOWN_ORDER",
    "amend",
    "cancel",
    "cancel_plain",
    "place",
    "settle",
    "submit",
]


@entry
def submit(b: Any, side: int, tick: int, lots: int, tif: int, post_only: int, owner: int, parent: int) -> Any:
    """Take a plain order and return a status; `b.order_id` and `b.filled` tell the rest.

    `tick` MARKET_PRICE means no limit (IOC or FOK only). Self-trade prevention expires what is left of the taker.
    """
    b.filled = 0
    b.prevented = 0
    b.order_seq += 1
    b.order_id = (b.order_seq << 16) | NO_SLOT
    if not is_sane(side, tick, lots, tif, post_only, owner):
        return REJECTED_INPUT
    if not has_room(b):
        return REJECTED_NO_ROOM
    if tif == GTC and b.free < 0:
        return REJECTED_POOL_FULL
    limit = limit_of(side, tick)
    is_taker = crosses(b, side, limit)
    if post_only == POST_ONLY and is_taker:
        return REJECTED_POST_ONLY
    stp = EXPIRE_TAKER if owner >= FIRST_ACCOUNT else NO_STP
    b.lots_in += lots
    why = LIQUIDITY
    left = lots
    slot = NIL - 1
    if tif == GTC:
        # Taken before matching, so that the trades already carry the id under which the rest will stand.
        slot = b.free
        b.order_id = (b.order_seq << 16) | slot
        b.free = b.order_next[slot]
    if tif == FOK and not can_fill(b, side, limit, lots, owner, stp):
        why = KILLED
    elif is_taker:
        left = cross(b, side, limit, lots, owner, parent, stp)
    b.filled = lots - left
    if slot >= 0:
        b.order_next[slot] = b.free
        b.free = slot
    status = FILLED
    if left > 0:
        status = _leave_rest(b, side, tick, left, tif, why, owner, parent)
    keep_centred(b)
    if b.due_head >= 0:
        settle(b)
    return status


@inner
def _leave_rest(b: Any, side: int, tick: int, left: int, tif: int, why: int, owner: int, parent: int) -> Any:
    """Let what is left of a plain order rest or expire."""
    if tif == GTC and b.prevented == 0:
        stand(b, b.order_id, NIL, side, tick, left, owner, parent)
        emit_level(b, side, tick)
        tell(b, ORDER_RESTED, b.order_id, side, tick, left, left, NIL, owner, parent)
        return RESTING
    b.lots_withdrawn += left
    tell(b, ORDER_EXPIRED, b.order_id, side, tick, left, NIL, SELF_TRADE if b.prevented != 0 else why, owner, parent)
    return EXPIRED


@entry
def cancel(b: Any, order_id: int) -> Any:
    """Withdraw an order, resting or waiting, and what is tied to it; return the lots left of it, UNKNOWN_ORDER or REJECTED_NO_ROOM."""
    slot = slot_of(b, order_id)
    if slot < 0:
        return _cancel_waiting(b, order_id)
    if b.order_special[slot] != 0:
        return _cancel_special(b, slot)
    return cancel_plain(b, order_id)


@inner
def cancel_plain(b: Any, order_id: int) -> Any:
    """Withdraw a resting order to which nothing is tied and of which nothing is hidden, as those of the population; returns as `cancel`."""
    slot = slot_of(b, order_id)
    if slot < 0:
        return UNKNOWN_ORDER
    if b.out_len >= OUT_ROWS - 1:
        return REJECTED_NO_ROOM
    side = b.order_sides[slot]
    tick = b.order_ticks[slot]
    lots = b.order_lots[slot]
    b.lots_withdrawn += lots
    tell(b, ORDER_WITHDRAWN, order_id, side, tick, lots, NIL, ASKED, b.order_owners[slot], b.order_parents[slot])
    remove(b, slot)
    emit_level(b, side, tick)
    if tick == (b.best_bid if side == BID else b.best_ask):
        refresh_best(b, side, tick)
        keep_centred(b)
    return lots


@inner
def _cancel_special(b: Any, slot: int) -> Any:
    if b.out_len >= OUT_ROWS - 8:
        return REJECTED_NO_ROOM
    lots = withdraw(b, slot, ORDER_WITHDRAWN, ASKED)
    keep_centred(b)
    return lots


@inner
def _cancel_waiting(b: Any, order_id: int) -> Any:
    s = row_of(b, order_id)
    if s < 0:
        return UNKNOWN_ORDER
    if b.out_len >= OUT_ROWS - 8:
        return REJECTED_NO_ROOM
    lots = abandon(b, s, ORDER_WITHDRAWN, ASKED)
    keep_centred(b)
    return lots


@entry
def amend(b: Any, order_id: int, left: int) -> Any:
    """Leave a resting order fewer lots, hidden ones going first, and its place in the queue; return the lots that it has then.

    UNKNOWN_ORDER if it does not rest, REJECTED_INPUT unless 0 < left < what it has, REJECTED_NO_ROOM. Source: Binance spot, "Order Amend
    Keep Priority": only the quantity, only downwards.
    """
    slot = slot_of(b, order_id)
    if slot < 0:
        return UNKNOWN_ORDER
    if b.out_len >= OUT_ROWS - 1:
        return REJECTED_NO_ROOM
    s = b.order_special[slot] - 1
    has = b.order_lots[slot] + (b.s_hidden[s] if s >= 0 else NIL)
    if left <= 0 or left >= has:
        return REJECTED_INPUT
    shorten(b, slot, left, ASKED)
    emit_level(b, b.order_sides[slot], b.order_ticks[slot])
    return left


@entry
def place(
    b: Any,
    side: int,
    tick: int,
    lots: int,
    tif: int,
    post_only: int,
    owner: int,
    parent: int,
    stp: int,
    reduce_only: int,
    display: int,
    trigger: int,
    at: int,
) -> Any:
    """Take an order of any kind and return a status; `b.order_id` and `b.filled` tell the rest. Arguments: see `entry.hold`."""
    b.filled = 0
    b.prevented = 0
    order_id = hold(b, side, tick, lots, tif, post_only, owner, parent, stp, reduce_only, display, trigger, at)
    if order_id < 0:
        b.order_id = NIL
        return order_id
    return let_act(b, order_id)

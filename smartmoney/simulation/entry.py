"""Carry out special orders: accept them into the table, let them act, and settle what trades have made due.

Order of events: an order trades and rests; then what it made due acts, one order after the other, first made due first; each of those may
make more due, which goes behind. So a cascade of stops is a queue, not a recursion.
"""

from typing import Any

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.centring import keep_centred
from smartmoney.simulation.crossing import MARKET_PRICE, can_fill, completed, cross, crosses, limit_of, show
from smartmoney.simulation.ladder import BID, MAX_TICK, NIL, ORDER_EXPIRED, ORDER_REDUCED, ORDER_RESTED, OUT_ROWS, OWNERS, tell
from smartmoney.simulation.leaving import abandon, end_ties, parts_of, reducible
from smartmoney.simulation.order_table import (
    ARMED,
    EXPIRE_BOTH,
    FALLS_TO,
    IN_BOOK,
    KILLED,
    LIQUIDITY,
    NO_STP,
    NO_TRIGGER,
    NOTHING_TO_REDUCE,
    PENDING,
    REDUCING,
    REFUSED,
    RISES_TO,
    SELF_TRADE,
    WAITS,
    free_row,
    is_reached,
    let_wait,
    row_of,
    stop_waiting,
    take_row,
)

NO_PARENT = int64(0)
MAY_TAKE, POST_ONLY = int64(0), int64(1)
ANY_POSITION, REDUCE_ONLY = int64(0), int64(1)
GTC, IOC, FOK = int64(0), int64(1), int64(2)
PARTS_MAX = 100
"""Parts that an iceberg may have, as on Binance spot (filter ICEBERG_PARTS)."""
PARTS_IN_BOOK_MAX = 8192
"""Refills that all resting icebergs together may need: with pool and table full, the rows of any one order still fit into `out`."""

RESTING, FILLED, EXPIRED, WAITING = 1, 2, 3, 4
"""Statuses of accepted orders; WAITING: for a trigger, or for another order."""
REJECTED_POST_ONLY, REJECTED_POOL_FULL, REJECTED_INPUT, REJECTED_NO_ROOM = -1, -2, -3, -4
UNKNOWN_ORDER = -5
REJECTED_REDUCE_ONLY, REJECTED_WOULD_TRIGGER, REJECTED_PRICES = -6, -7, -8
"""No position to reduce; the last trade has reached the trigger already; a pair's prices are not on both sides of the market."""


@inner
def has_room(b: Any) -> Any:
    """Tell whether any one order, without what it makes due, can be taken without overrunning `out`."""
    return OUT_ROWS - b.out_len >= 2 * (b.live + b.parts + b.reducing_count) + 3 * b.s_used + 16


@inner
def is_sane(side: int, tick: int, lots: int, tif: int, post_only: int, owner: int) -> Any:
    """Tell whether the plain part of an order makes sense."""
    if side not in (0, 1) or lots <= 0 or tif not in (0, 1, 2) or owner < 0 or owner >= OWNERS:
        return False
    if tick < 0 or tick > MAX_TICK or post_only not in (0, 1):
        return False
    can_rest = tick != MARKET_PRICE
    return (can_rest or tif != GTC) and (post_only == MAY_TAKE or (can_rest and tif == GTC))


@inner
def _is_special_sane(tick: int, lots: int, tif: int, stp: int, reduce_only: int, display: int, trigger: int, at: int) -> Any:
    if stp < NO_STP or stp > EXPIRE_BOTH or reduce_only not in (0, 1) or trigger < NO_TRIGGER or trigger > FALLS_TO:
        return False
    if trigger != NO_TRIGGER and (at <= 0 or at > MAX_TICK):
        return False
    if display == 0:
        return True
    return 0 < display <= lots and tif == GTC and tick != MARKET_PRICE and parts_of(lots, display) <= PARTS_MAX


@entry
def hold(
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
    """Take an order of any kind into the table, where it waits, and return its id, or a refusal.

    Next is `let_act`, `let_act_pair`, `let_act_list` or `let_go`, before anything else happens in the book. `display` 0 shows all of it.
    `trigger` RISES_TO or FALLS_TO makes it wait until a trade reaches the tick `at`.
    """
    if not is_sane(side, tick, lots, tif, post_only, owner):
        return REJECTED_INPUT
    if not _is_special_sane(tick, lots, tif, stp, reduce_only, display, trigger, at):
        return REJECTED_INPUT
    s = take_row(b)
    if s < 0:
        return REJECTED_POOL_FULL
    b.s_side[s] = side
    b.s_tick[s] = tick
    b.s_lots[s] = lots
    b.s_tif[s] = tif
    b.s_post[s] = post_only
    b.s_owner[s] = owner
    b.s_parent[s] = parent
    b.s_stp[s] = stp
    b.s_reduce[s] = reduce_only
    b.s_display[s] = display
    b.s_trigger[s] = trigger
    b.s_at[s] = at
    let_wait(b, s, PENDING)
    return b.s_id[s]


@entry
def let_act(b: Any, order_id: int) -> Any:
    """Let a held order act alone and return its status; a refused one is gone. `b.filled` tells what it traded."""
    b.filled = 0
    b.prevented = 0
    b.order_id = order_id
    s = row_of(b, order_id)
    if s < 0 or b.s_state[s] != PENDING:
        return UNKNOWN_ORDER
    status = _start(b, s)
    settle(b)
    return status


@entry
def let_act_pair(b: Any, first_id: int, second_id: int) -> Any:
    """Let two held orders act as a pair (OCO): one a post-only limit or a stop, the other a stop, on one side, for one owner.

    Returns RESTING or WAITING, or the refusal of the whole pair. Source: Binance spot, "Order list OCO": for SELL the price above is a
    limit maker's or a take-profit's and the one below a stop's, with the last trade between them; for BUY the other way round.
    """
    b.filled = 0
    b.prevented = 0
    x = row_of(b, first_id)
    y = row_of(b, second_id)
    if x < 0 or y < 0 or x == y or b.s_state[x] != PENDING or b.s_state[y] != PENDING:
        return UNKNOWN_ORDER
    status = REJECTED_INPUT
    if is_pair(b, x, y):
        b.s_other[x] = y + 1
        b.s_other[y] = x + 1
        status = _open_pair(b, x)
    if status < 0:
        _refuse(b, x)
        _refuse(b, y)
    settle(b)
    return status


@entry
def let_act_list(b: Any, working_id: int, first_id: int, second_id: int) -> Any:
    """Let a held limit order act, and a held pair once it has been filled whole (OTOCO). Returns the working order's status."""
    b.filled = 0
    b.prevented = 0
    b.order_id = working_id
    w = row_of(b, working_id)
    x = row_of(b, first_id)
    y = row_of(b, second_id)
    if w < 0 or x < 0 or y < 0 or w in (x, y) or x == y:
        return UNKNOWN_ORDER
    if b.s_state[w] != PENDING or b.s_state[x] != PENDING or b.s_state[y] != PENDING:
        return UNKNOWN_ORDER
    is_list = is_pair(b, x, y) and b.s_trigger[w] == NO_TRIGGER and b.s_tick[w] != MARKET_PRICE and b.s_owner[w] == b.s_owner[x]
    if not is_list:
        _refuse(b, w)
        _refuse(b, x)
        _refuse(b, y)
        return REJECTED_INPUT
    b.s_other[x] = y + 1
    b.s_other[y] = x + 1
    b.s_working[x] = w + 1
    b.s_working[y] = w + 1
    b.s_pending[w] = x + 1
    status = _start(b, w)
    if status < 0:
        _refuse(b, x)
        _refuse(b, y)
    settle(b)
    return status


@entry
def let_go(b: Any, order_id: int) -> None:
    """Forget a held order that is not to act after all."""
    s = row_of(b, order_id)
    if s >= 0:
        _refuse(b, s)


@entry
def untie(b: Any, working_id: int) -> Any:
    """Let a working order go on alone: forget, without a row, the pair that waits for it. Returns its id, or UNKNOWN_ORDER."""
    w = row_of(b, working_id)
    if w < 0 or b.s_pending[w] == 0:
        return UNKNOWN_ORDER
    x = b.s_pending[w] - 1
    y = b.s_other[x] - 1
    b.s_pending[w] = 0
    _refuse(b, x)
    _refuse(b, y)
    return working_id


@inner
def is_pair(b: Any, x: int, y: int) -> Any:
    """Tell whether two orders can be one pair."""
    if b.s_side[x] != b.s_side[y] or b.s_owner[x] != b.s_owner[y]:
        return False
    for s in (x, y):
        if b.s_trigger[s] == NO_TRIGGER and b.s_post[s] == MAY_TAKE:
            return False
    return (b.s_trigger[x] != NO_TRIGGER or b.s_trigger[y] != NO_TRIGGER) and _direction(b, x) != _direction(b, y)


@inner
def _direction(b: Any, s: int) -> Any:
    """Return which way the price must go for an order to act."""
    if b.s_trigger[s] != NO_TRIGGER:
        return b.s_trigger[s]
    return FALLS_TO if b.s_side[s] == BID else RISES_TO


@inner
def _refuse(b: Any, s: int) -> None:
    """Forget a held order without a row: the caller gets the refusal as a status. Nothing of an order that is gone is left."""
    if b.s_id[s] == 0 or b.s_state[s] != PENDING:
        return
    b.s_other[s] = 0
    b.s_working[s] = 0
    b.s_pending[s] = 0
    stop_waiting(b, s)
    free_row(b, s)


@inner
def _start(b: Any, s: int) -> Any:
    """Let a held order act now, or arm it; forget it if it is refused."""
    if not has_room(b):
        _refuse(b, s)
        return REJECTED_NO_ROOM
    if b.s_trigger[s] == NO_TRIGGER:
        stop_waiting(b, s)
        return execute(b, s)
    if is_reached(b.s_trigger[s], b.s_at[s], b.last_trade):
        _refuse(b, s)
        return REJECTED_WOULD_TRIGGER
    _arm(b, s)
    return WAITING


@inner
def _arm(b: Any, s: int) -> None:
    stop_waiting(b, s)
    let_wait(b, s, ARMED)
    tell(b, ORDER_RESTED, b.s_id[s], b.s_side[s], b.s_tick[s], NIL, b.s_lots[s], WAITS, b.s_owner[s], b.s_parent[s])


@inner
def execute(b: Any, s: int) -> Any:
    """Let an order that no longer waits trade and rest; return its status. Its row is free again unless it rests."""
    status = _refusal(b, s)
    if status < 0:
        b.s_pending[s] = 0
        free_row(b, s)
        return status
    side, tick, owner, parent, tif, stp = b.s_side[s], b.s_tick[s], b.s_owner[s], b.s_parent[s], b.s_tif[s], b.s_stp[s]
    asked = b.s_lots[s]
    lots = asked if b.s_reduce[s] == 0 else min(asked, reducible(b, owner, side))
    b.order_id = b.s_id[s]
    b.prevented = 0
    if lots < asked:
        tell(b, ORDER_REDUCED, b.order_id, side, tick, asked - lots, lots, NOTHING_TO_REDUCE, owner, parent)
    limit = limit_of(side, tick)
    b.lots_in += lots
    why = LIQUIDITY
    left = lots
    if tif == FOK and not can_fill(b, side, limit, lots, owner, stp):
        why = KILLED
    else:
        left = cross(b, side, limit, lots, owner, parent, stp)
    b.filled = lots - left
    if left > 0 and tif == GTC and b.prevented == 0:
        b.s_state[s] = IN_BOOK
        show(b, s, left)
        tell(b, ORDER_RESTED, b.order_id, side, tick, b.order_lots[b.s_slot[s]], left, NIL, owner, parent)
        keep_centred(b)
        return RESTING
    b.lots_withdrawn += left
    if left > 0:
        why = SELF_TRADE if b.prevented != 0 else why
        tell(b, ORDER_EXPIRED, b.order_id, side, tick, left, NIL, why, owner, parent)
        end_ties(b, s, ORDER_EXPIRED)
    else:
        completed(b, s)
    free_row(b, s)
    keep_centred(b)
    return EXPIRED if left > 0 else FILLED


@inner
def _refusal(b: Any, s: int) -> Any:
    rests = b.s_tif[s] == GTC
    if b.s_reduce[s] != 0 and reducible(b, b.s_owner[s], b.s_side[s]) == 0:
        return REJECTED_REDUCE_ONLY
    if rests and (b.free < 0 or (b.s_reduce[s] != 0 and b.reducing_count >= REDUCING)):
        return REJECTED_POOL_FULL
    if b.s_display[s] > 0 and b.parts + parts_of(b.s_lots[s], b.s_display[s]) > PARTS_IN_BOOK_MAX:
        return REJECTED_POOL_FULL
    if b.s_post[s] == POST_ONLY and crosses(b, b.s_side[s], limit_of(b.s_side[s], b.s_tick[s])):
        return REJECTED_POST_ONLY
    return RESTING


@inner
def _open_pair(b: Any, x: int) -> Any:
    """Put a tied pair to work: the limit maker into the book, stops into waiting. On a refusal nothing has changed."""
    y = b.s_other[x] - 1
    if not has_room(b):
        return REJECTED_NO_ROOM
    for s in (x, y):
        at = b.s_at[s] if b.s_trigger[s] != NO_TRIGGER else b.s_tick[s]
        if is_reached(_direction(b, s), at, b.last_trade):
            return REJECTED_WOULD_TRIGGER if b.s_trigger[s] != NO_TRIGGER else REJECTED_PRICES
        if b.s_trigger[s] == NO_TRIGGER:
            status = _refusal(b, s)
            if status < 0:
                return status
    status = WAITING
    for s in (x, y):
        if b.s_trigger[s] == NO_TRIGGER:
            stop_waiting(b, s)
            status = execute(b, s)
        else:
            _arm(b, s)
    return status


@entry
def settle(b: Any) -> bool:
    """Carry out what is due, in order; return False if `out` must be drained first (drain it and call again before anything else)."""
    if b.due_head < 0:
        return True
    filled, order_id, prevented = b.filled, b.order_id, b.prevented
    done = True
    while b.due_head >= 0:
        if not has_room(b):
            done = False
            break
        _take_turn(b, b.due_head)
    b.filled, b.order_id, b.prevented = filled, order_id, prevented
    return done


@inner
def _take_turn(b: Any, s: int) -> None:
    if b.s_other[s] != 0:
        stop_waiting(b, s)
        let_wait(b, s, PENDING)
        if _open_pair(b, s) < 0:
            abandon(b, s, ORDER_EXPIRED, REFUSED)
        return
    stop_waiting(b, s)
    order_id, side, tick, lots, owner, parent = b.s_id[s], b.s_side[s], b.s_tick[s], b.s_lots[s], b.s_owner[s], b.s_parent[s]
    status = execute(b, s)
    if status < 0:
        why = NOTHING_TO_REDUCE if status == REJECTED_REDUCE_ONLY else REFUSED
        tell(b, ORDER_EXPIRED, order_id, side, tick, lots, NIL, why, owner, parent)

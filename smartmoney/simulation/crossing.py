"""Let an order trade with what stands against it, and rest: the core that every kind of order goes through.

Price, then time. An iceberg's refill goes to the back of its queue; a reduce-only order is cut to its owner's position before it trades; a
pair's other order ends when one of it trades. What trades reach (stops) becomes due here and is carried out by `entry.settle`.
"""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import (
    ASK,
    BID,
    CROWD,
    LADDER,
    MAX_TICK,
    NIL,
    ORDER_EXPIRED,
    ORDER_REPLENISHED,
    TRADE,
    append,
    append_overflow,
    emit,
    emit_level,
    first_at,
    following_at,
    next_best,
    refresh_best,
    remove,
    tell,
)
from smartmoney.simulation.leaving import end_ties, fit_reducing, forget, parts_of, reach, reducible, shorten, take_out
from smartmoney.simulation.order_table import (
    DUE,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    NO_STP,
    NOTHING_TO_REDUCE,
    SELF_TRADE,
    let_wait,
    stop_waiting,
)

MARKET_PRICE = int64(0)
"""The tick of an order without a limit; such an order cannot rest."""
_LOWEST, _HIGHEST = int64(1), int64(MAX_TICK)


@inner
def limit_of(side: int, tick: int) -> Any:
    """Return the worst tick that an order would trade at."""
    if tick != MARKET_PRICE:
        return tick
    return _HIGHEST if side == BID else _LOWEST


@inner
def crosses(b: Any, side: int, limit: int) -> Any:
    """Tell whether an order would trade at once."""
    if side == BID:
        return b.best_ask >= 0 and b.best_ask <= limit
    return b.best_bid >= 0 and b.best_bid >= limit


@inner
def can_fill(b: Any, side: int, limit: int, lots: int, owner: int, stp: int) -> bool:
    """Tell whether an order would be filled whole, hidden lots included."""
    opposite = ASK if side == BID else BID
    tick = b.best_ask if side == BID else b.best_bid
    left = lots
    while tick >= 0 and (tick <= limit if side == BID else tick >= limit):
        slot = first_at(b, tick)
        while slot >= 0:
            if stp != NO_STP and b.order_owners[slot] == owner:
                if stp != EXPIRE_MAKER:
                    return False
            else:
                left -= _takeable(b, slot)
            if left <= 0:
                return True
            slot = following_at(b, slot, tick)
        tick = next_best(b, opposite, tick)
    return False


@inner
def _takeable(b: Any, slot: int) -> Any:
    s = b.order_special[slot] - 1
    return b.order_lots[slot] + b.s_hidden[s] if s >= 0 else b.order_lots[slot]


@inner
def cross(b: Any, side: int, limit: int, lots: int, owner: int, parent: int, stp: int) -> Any:
    """Trade the order `b.order_id` against the book and return the lots left; `b.prevented` is 1 if it expired on its owner's own."""
    left = lots
    opposite = ASK if side == BID else BID
    trades = b.lots_traded
    first = NIL - 1
    while left > 0 and b.prevented == 0:
        tick = b.best_ask if side == BID else b.best_bid
        if tick < 0 or (tick > limit if side == BID else tick < limit):
            break
        before = left
        withdrawn = b.lots_withdrawn
        left = _cross_level(b, side, tick, left, owner, parent, stp)
        if left != before:
            b.last_trade = tick
            if first < 0:
                first = tick
        if left != before or b.lots_withdrawn != withdrawn:
            emit_level(b, opposite, tick)
            if first_at(b, tick) < 0:
                refresh_best(b, opposite, tick)
    if b.lots_traded != trades:
        low = min(first, b.last_trade)
        high = max(first, b.last_trade)
        if high >= b.rise_at or low <= b.fall_at:
            reach(b, low, high)
        if b.reducing_count > 0:
            fit_reducing(b)
    return left


@inner
def _cross_level(b: Any, side: int, tick: int, left: int, owner: int, parent: int, stp: int) -> Any:
    sign = 1 if side == BID else -1
    while left > 0:
        slot = first_at(b, tick)
        if slot < 0:
            break
        maker = b.order_owners[slot]
        if maker == owner and stp != NO_STP:
            if stp != EXPIRE_TAKER:
                take_out(b, slot, ORDER_EXPIRED, SELF_TRADE)
            if stp != EXPIRE_MAKER:
                b.prevented = 1
                break
            continue
        if b.order_special[slot] != 0 and not _may_trade(b, slot):
            continue
        lots = min(left, b.order_lots[slot])
        b.trade_id += 1
        emit(b, TRADE, b.trade_id, side, tick, lots, b.order_ids[slot], b.order_id, maker, owner, b.order_parents[slot], parent)
        b.lots_traded += lots
        b.position[owner] += sign * lots
        b.position[maker] -= sign * lots
        b.cash[owner] -= sign * lots * tick
        b.cash[maker] += sign * lots * tick
        left -= lots
        if b.order_special[slot] != 0:
            _special_traded(b, slot, lots)
        elif lots == b.order_lots[slot]:
            remove(b, slot)
        else:
            _lose_lots(b, slot, lots)
    return left


@inner
def _lose_lots(b: Any, slot: int, lots: int) -> None:
    b.order_lots[slot] -= lots
    i = b.order_ticks[slot] - b.base
    if 0 <= i < LADDER:
        b.level_lots[i] -= lots


@inner
def _may_trade(b: Any, slot: int) -> bool:
    """Cut a reduce-only order to its owner's position; tell whether anything of it is left to trade."""
    s = b.order_special[slot] - 1
    if b.s_reduce[s] == 0:
        return True
    allowed = reducible(b, b.order_owners[slot], b.order_sides[slot])
    if allowed == 0:
        take_out(b, slot, ORDER_EXPIRED, NOTHING_TO_REDUCE)
        return False
    if allowed < b.order_lots[slot] + b.s_hidden[s]:
        shorten(b, slot, allowed, NOTHING_TO_REDUCE)
    return True


@inner
def _special_traded(b: Any, slot: int, lots: int) -> None:
    """Take traded lots off a special order: refill an iceberg, end a pair, make due what waited for the order to be filled."""
    s = b.order_special[slot] - 1
    whole = lots == b.order_lots[slot] and b.s_hidden[s] == 0
    if whole:
        completed(b, s)
    if b.s_pending[s] == 0:
        end_ties(b, s, ORDER_EXPIRED)
    if whole:
        remove(b, slot)
        forget(b, s)
    elif lots == b.order_lots[slot]:
        _replenish(b, slot, s)
    else:
        _lose_lots(b, slot, lots)


@inner
def completed(b: Any, s: int) -> None:
    """Make due the pair that waited for an order to be filled whole."""
    first = b.s_pending[s] - 1
    if first < 0:
        return
    b.s_pending[s] = 0
    b.s_working[first] = 0
    b.s_working[b.s_other[first] - 1] = 0
    stop_waiting(b, first)
    let_wait(b, first, DUE)


@inner
def _replenish(b: Any, slot: int, s: int) -> None:
    """Show an iceberg's next part at the back of its queue."""
    hidden = b.s_hidden[s]
    shown = min(hidden, b.s_display[s])
    order_id, tick, side = b.order_ids[slot], b.order_ticks[slot], b.order_sides[slot]
    owner, parent = b.order_owners[slot], b.order_parents[slot]
    b.s_hidden[s] = hidden - shown
    b.lots_hidden -= shown
    b.parts -= 1
    remove(b, slot)
    stand(b, order_id, s + 1, side, tick, shown, owner, parent)
    tell(b, ORDER_REPLENISHED, order_id, side, tick, shown, hidden, NIL, owner, parent)


@inner
def show(b: Any, s: int, lots: int) -> None:
    """Put what is left of a special order into the book: an iceberg shows one part and hides the rest."""
    display = b.s_display[s]
    shown = min(lots, display) if display > 0 else lots
    b.s_hidden[s] = lots - shown
    b.lots_hidden += lots - shown
    b.parts += parts_of(lots - shown, display)
    if b.s_reduce[s] != 0:
        b.reducing[b.reducing_count] = s
        b.reducing_count += 1
    stand(b, b.s_id[s], s + 1, b.s_side[s], b.s_tick[s], shown, b.s_owner[s], b.s_parent[s])
    emit_level(b, b.s_side[s], b.s_tick[s])


@inner
def stand(b: Any, order_id: int, special: int, side: int, tick: int, lots: int, owner: int, parent: int) -> None:
    """Put an order at the end of its queue: in the first free place of the pool, under an id. Telling the level is the caller's."""
    slot = b.free
    b.free = b.order_next[slot]
    b.live += 1
    b.order_ids[slot] = order_id
    b.order_ticks[slot] = tick
    b.order_lots[slot] = lots
    b.order_sides[slot] = side
    b.order_owners[slot] = owner
    b.order_parents[slot] = parent
    b.order_special[slot] = special
    if special != 0:
        b.order_seq += 1
        b.s_rank[special - 1] = b.order_seq
        b.s_slot[special - 1] = slot
    if owner == CROWD:
        b.crowd[b.crowd_count] = slot
        b.crowd_place[slot] = b.crowd_count
        b.crowd_count += 1
    if 0 <= tick - b.base < LADDER:
        append(b, slot)
    else:
        append_overflow(b, slot)
        b.over_count[side, 1 if tick >= b.base else 0] += 1
    if side == BID:
        b.best_bid = max(b.best_bid, tick)
    elif b.best_ask < 0 or tick < b.best_ask:
        b.best_ask = tick

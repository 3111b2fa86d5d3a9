"""Take orders out of the book or out of waiting, with everything that is tied to them, and tell their owners.

Ties: a pair (OCO) is two orders of which the first that acts ends the other; a list (OTOCO) is a working order and a pair that waits for it
to be filled whole. Withdrawing any of a list withdraws all of it.
"""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.ladder import (
    ASK,
    BID,
    LADDER,
    NIL,
    ORDER_EXPIRED,
    ORDER_REDUCED,
    ORDER_TRIGGERED,
    emit_level,
    refresh_best,
    remove,
    tell,
)
from smartmoney.simulation.order_table import (
    DUE,
    IN_BOOK,
    NOTHING_TO_REDUCE,
    OTHER_ORDER,
    free_row,
    let_wait,
    next_due,
    stop_waiting,
)


@inner
def take_out(b: Any, slot: int, kind: int, why: int) -> Any:
    """Take a resting order and its ties out of the book and return its lots; its level and the best price are the caller's to tell."""
    s = b.order_special[slot] - 1
    lots = _out(b, slot, kind, why)
    if s >= 0:
        end_ties(b, s, kind)
        forget(b, s)
    return lots


@inner
def _out(b: Any, slot: int, kind: int, why: int) -> Any:
    s = b.order_special[slot] - 1
    lots = b.order_lots[slot]
    if s >= 0:
        hidden = b.s_hidden[s]
        lots += hidden
        b.lots_hidden -= hidden
        b.parts -= parts_of(hidden, b.s_display[s])
        b.s_hidden[s] = 0
    b.lots_withdrawn += lots
    order_id = b.order_ids[slot]
    tell(b, kind, order_id, b.order_sides[slot], b.order_ticks[slot], lots, NIL, why, b.order_owners[slot], b.order_parents[slot])
    remove(b, slot)
    return lots


@inner
def withdraw(b: Any, slot: int, kind: int, why: int) -> Any:
    """Take a resting order out of the book, tell its level, and return its lots."""
    side = b.order_sides[slot]
    tick = b.order_ticks[slot]
    lots = take_out(b, slot, kind, why)
    emit_level(b, side, tick)
    if tick == (b.best_bid if side == BID else b.best_ask):
        refresh_best(b, side, tick)
    return lots


@inner
def abandon(b: Any, s: int, kind: int, why: int) -> Any:
    """Take a waiting order and its ties away and return its lots."""
    lots = b.s_lots[s]
    stop_waiting(b, s)
    tell(b, kind, b.s_id[s], b.s_side[s], b.s_tick[s], lots, NIL, why, b.s_owner[s], b.s_parent[s])
    end_ties(b, s, kind)
    free_row(b, s)
    return lots


@inner
def forget(b: Any, s: int) -> None:
    """Give back the row of an order that just left the book."""
    if b.s_reduce[s] != 0:
        for i in range(b.reducing_count):
            if b.reducing[i] == s:
                b.reducing_count -= 1
                b.reducing[i] = b.reducing[b.reducing_count]
                break
    free_row(b, s)


@inner
def end_ties(b: Any, s: int, kind: int) -> None:
    """End the orders that are tied to an order that acts or leaves; the order itself stays, alone."""
    other = b.s_other[s] - 1
    working = b.s_working[s] - 1
    first = b.s_pending[s] - 1
    b.s_other[s] = 0
    b.s_working[s] = 0
    b.s_pending[s] = 0
    if other >= 0:
        _end(b, other, kind)
    if working >= 0:
        _end(b, working, kind)
    if first >= 0:
        second = b.s_other[first] - 1
        _end(b, first, kind)
        if second >= 0:
            _end(b, second, kind)


@inner
def _end(b: Any, s: int, kind: int) -> None:
    """End one tied order. Its own ties are the caller's, so that nothing calls itself."""
    b.s_other[s] = 0
    b.s_working[s] = 0
    b.s_pending[s] = 0
    side = b.s_side[s]
    if b.s_state[s] != IN_BOOK:
        stop_waiting(b, s)
        tell(b, kind, b.s_id[s], side, b.s_tick[s], b.s_lots[s], NIL, OTHER_ORDER, b.s_owner[s], b.s_parent[s])
        free_row(b, s)
        return
    slot = b.s_slot[s]
    tick = b.order_ticks[slot]
    _out(b, slot, kind, OTHER_ORDER)
    forget(b, s)
    emit_level(b, side, tick)
    if tick == (b.best_bid if side == BID else b.best_ask):
        refresh_best(b, side, tick)


@inner
def parts_of(hidden: int, display: int) -> Any:
    """Return how often an iceberg will show itself again."""
    return (hidden + display - 1) // display if hidden > 0 else NIL


@inner
def shorten(b: Any, slot: int, left: int, why: int) -> None:
    """Leave a resting order fewer lots (at least one), hidden ones going first; it keeps its place. Its level is the caller's to tell."""
    s = b.order_special[slot] - 1
    excess = b.order_lots[slot] - left
    total = excess
    if s >= 0:
        hidden = b.s_hidden[s]
        total += hidden
        excess += hidden
        kept = max(NIL, hidden - total)
        b.lots_hidden -= hidden - kept
        b.parts -= parts_of(hidden, b.s_display[s]) - parts_of(kept, b.s_display[s])
        b.s_hidden[s] = kept
        excess -= hidden - kept
    b.lots_withdrawn += total
    tick = b.order_ticks[slot]
    if excess > 0:
        b.order_lots[slot] -= excess
        if 0 <= tick - b.base < LADDER:
            b.level_lots[tick - b.base] -= excess
    tell(b, ORDER_REDUCED, b.order_ids[slot], b.order_sides[slot], tick, total, left, why, b.order_owners[slot], b.order_parents[slot])


@inner
def reducible(b: Any, owner: int, side: int) -> Any:
    """Return how many lots an order of a side could take off its owner's position."""
    held = b.position[owner] if side == ASK else -b.position[owner]
    return max(NIL, held)


@inner
def fit_reducing(b: Any) -> None:
    """Cut every resting reduce-only order to its owner's position; expire those whose position is gone."""
    i = b.reducing_count - 1
    while i >= 0:
        slot = b.s_slot[b.reducing[i]]
        side = b.order_sides[slot]
        tick = b.order_ticks[slot]
        allowed = reducible(b, b.order_owners[slot], side)
        if allowed == 0:
            withdraw(b, slot, ORDER_EXPIRED, NOTHING_TO_REDUCE)
        elif allowed < b.order_lots[slot] + b.s_hidden[b.reducing[i]]:
            shorten(b, slot, allowed, NOTHING_TO_REDUCE)
            emit_level(b, side, tick)
        # One withdrawal may end tied orders as well, and each takes the last of the list into its place.
        i = min(i, b.reducing_count) - 1


@inner
def reach(b: Any, low: int, high: int) -> None:
    """Make due every stop that trades between two ticks have reached, nearest first; what is tied to it ends."""
    s = next_due(b, low, high)
    while s >= 0:
        stop_waiting(b, s)
        let_wait(b, s, DUE)
        tell(b, ORDER_TRIGGERED, b.s_id[s], b.s_side[s], b.last_trade, b.s_lots[s], b.s_lots[s], NIL, b.s_owner[s], b.s_parent[s])
        end_ties(b, s, ORDER_EXPIRED)
        s = next_due(b, low, high)

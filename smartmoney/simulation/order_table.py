"""Keep what the pool does not know of special orders: trigger, hidden lots, reduce-only, ties to other orders. A bounded table.

A special order takes a row (`s_…`) when it is accepted and keeps it, and its id, until it is gone: while it waits for its trigger or for
another order, while it is due, and while it rests in the book (`s_slot` is then its place in the pool; `order_special` there is row + 1).
Waiting stops stand in two heaps by trigger price, then age; due orders stand in one queue.
"""

from typing import Any

import numpy as np

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.bits import int64

SPECIALS = 1 << 12
"""Special orders that can wait, be due or rest at once."""
REDUCING = 256
"""Reduce-only orders that can rest at once."""
FIRST_SPECIAL = int64(0x8000)
"""The low 16 bits of a special order's id are its row plus this."""

FREE, ARMED, DUE, PENDING, IN_BOOK = int64(0), int64(1), int64(2), int64(3), int64(4)
"""States of a row. PENDING waits for a working order, ARMED for its trigger, DUE for its turn."""
NO_TRIGGER, RISES_TO, FALLS_TO = int64(0), int64(1), int64(2)
NO_STP, EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH = int64(0), int64(1), int64(2), int64(3)
"""Self-trade prevention: what expires when an order would trade with one of the same owner."""

ASKED, LIQUIDITY, KILLED, SELF_TRADE, NOTHING_TO_REDUCE, OTHER_ORDER, REFUSED = (int64(why) for why in range(7))
"""Why an order changed: its owner asked; it was immediate and more did not stand there; it was fill-or-kill; it would have traded with
its owner; its owner's position is too small; an order that it is tied to acted; it was not acceptable when its turn came."""
WAITS = int64(1)
"""Why of an ORDER_RESTED row that tells of a stop that now waits for its trigger, not of an order in the book."""

NEVER = int64(1 << 62)
_RISING, _FALLING = int64(0), int64(1)
_COLUMNS = (
    *("id", "state", "side", "tick", "lots", "hidden", "tif", "post", "reduce", "display", "trigger", "at", "stp", "owner", "parent"),
    *("rank", "other", "pending", "working", "next", "place", "slot"),
)

ORDER_TABLE_FIELDS = [
    ("s_free", "i8"),
    ("s_used", "i8"),
    ("lots_waiting", "i8"),
    ("due_head", "i8"),
    ("due_tail", "i8"),
    ("rise_at", "i8"),
    ("fall_at", "i8"),
    ("parts", "i8"),
    ("heap_count", "i8", (2,)),
    ("heap", "i8", (2, SPECIALS)),
    ("reducing_count", "i8"),
    ("reducing", "i8", (REDUCING,)),
    *((f"s_{name}", "i8", (SPECIALS,)) for name in _COLUMNS),
]
"""`lots_waiting` sums the lots of rows that wait; `parts` the refills that resting icebergs may still need; `rise_at` and `fall_at` are the
nearest triggers. `s_other` is the other leg of a pair, `s_pending` the first leg that waits for this order, `s_working` the order that a
leg waits for: row + 1, or 0."""


@inner
def reset_table(b: Any) -> None:
    """Make the table empty."""
    b.s_used = 0
    b.lots_waiting = 0
    b.due_head = -1
    b.due_tail = -1
    b.rise_at = NEVER
    b.fall_at = -1
    b.parts = 0
    b.heap_count[:] = 0
    b.reducing_count = 0
    b.s_free = 0
    for s in range(SPECIALS):
        b.s_id[s] = 0
        b.s_state[s] = FREE
        b.s_next[s] = s + 1
    b.s_next[SPECIALS - 1] = -1


@inner
def special_slot(b: Any, order_id: int) -> Any:
    """Return the pool slot of a special order that rests in the book, or -1."""
    s = row_of(b, order_id)
    return b.s_slot[s] if s >= 0 and b.s_state[s] == IN_BOOK else -1


@inner
def row_of(b: Any, order_id: int) -> Any:
    """Return the table row of a special order, or -1."""
    s = (order_id & 0xFFFF) - FIRST_SPECIAL
    if order_id <= 0 or s < 0 or s >= SPECIALS or b.s_id[s] != order_id:
        return -1
    return s


@inner
def take_row(b: Any) -> Any:
    """Take a free row for a new order and give it its id, or return -1."""
    s = b.s_free
    if s < 0:
        return s
    b.s_free = b.s_next[s]
    b.s_used += 1
    b.order_seq += 1
    b.s_id[s] = (b.order_seq << 16) | (FIRST_SPECIAL + s)
    b.s_hidden[s] = 0
    b.s_rank[s] = b.order_seq
    b.s_other[s] = 0
    b.s_pending[s] = 0
    b.s_working[s] = 0
    b.s_slot[s] = -1
    return s


@inner
def free_row(b: Any, s: int) -> None:
    """Give back the row of an order that is gone: out of heap, queue and book, and tied to nothing."""
    b.s_id[s] = 0
    b.s_state[s] = FREE
    b.s_next[s] = b.s_free
    b.s_free = s
    b.s_used -= 1


@inner
def let_wait(b: Any, s: int, state: int) -> None:
    """Let an order wait: for its trigger (ARMED), for another order (PENDING), or for its turn (DUE). Its lots count as waiting."""
    b.lots_waiting += b.s_lots[s]
    b.s_state[s] = state
    if state == ARMED:
        _arm(b, s)
    elif state == DUE:
        _queue(b, s)


@inner
def stop_waiting(b: Any, s: int) -> None:
    """Take an order from wherever it waits."""
    b.lots_waiting -= b.s_lots[s]
    if b.s_state[s] == ARMED:
        _disarm(b, s)
    elif b.s_state[s] == DUE:
        _unqueue(b, s)


@inner
def next_due(b: Any, low: int, high: int) -> Any:
    """Return the row of the next stop that trades between two ticks reach, or -1: nearest first on a side, the older of the two sides."""
    rises = b.rise_at <= high
    falls = b.fall_at >= low
    if not (rises or falls):
        return -1
    if rises and falls:
        rises = b.s_rank[b.heap[_RISING, 0]] < b.s_rank[b.heap[_FALLING, 0]]
    return b.heap[_RISING, 0] if rises else b.heap[_FALLING, 0]


@entry
def is_reached(trigger: int, at: int, last_trade: int) -> Any:
    """Tell whether the last trade has already reached a trigger."""
    if last_trade < 0 or trigger == NO_TRIGGER:
        return False
    return last_trade >= at if trigger == RISES_TO else last_trade <= at


@inner
def _queue(b: Any, s: int) -> None:
    b.s_next[s] = -1
    if b.due_tail >= 0:
        b.s_next[b.due_tail] = s
    else:
        b.due_head = s
    b.due_tail = s


@inner
def _unqueue(b: Any, s: int) -> None:
    before = np.int64(-1)
    at = b.due_head
    while at != s:
        before = at
        at = b.s_next[at]
    if before < 0:
        b.due_head = b.s_next[s]
    else:
        b.s_next[before] = b.s_next[s]
    if b.due_tail == s:
        b.due_tail = before


@inner
def _arm(b: Any, s: int) -> None:
    h = _RISING if b.s_trigger[s] == RISES_TO else _FALLING
    b.order_seq += 1
    b.s_rank[s] = b.order_seq
    i = b.heap_count[h]
    b.heap_count[h] = i + 1
    b.heap[h, i] = s
    _sift_up(b, h, i)
    _note_nearest(b, h)


@inner
def _disarm(b: Any, s: int) -> None:
    h = _RISING if b.s_trigger[s] == RISES_TO else _FALLING
    i = b.s_place[s]
    count = b.heap_count[h] - 1
    b.heap_count[h] = count
    if i != count:
        b.heap[h, i] = b.heap[h, count]
        _sift_down(b, h, _sift_up(b, h, i))
    _note_nearest(b, h)


@inner
def is_nearer(b: Any, h: int, x: int, y: int) -> Any:
    """Tell whether a heap's order x goes before y: nearer trigger, then armed earlier."""
    if b.s_at[x] == b.s_at[y]:
        return b.s_rank[x] < b.s_rank[y]
    return b.s_at[x] < b.s_at[y] if h == _RISING else b.s_at[x] > b.s_at[y]


@inner
def _sift_up(b: Any, h: int, i: int) -> Any:
    s = b.heap[h, i]
    while i > 0:
        parent = (i - 1) >> 1
        above = b.heap[h, parent]
        if not is_nearer(b, h, s, above):
            break
        b.heap[h, i] = above
        b.s_place[above] = i
        i = parent
    b.heap[h, i] = s
    b.s_place[s] = i
    return i


@inner
def _sift_down(b: Any, h: int, i: int) -> None:
    s = b.heap[h, i]
    count = b.heap_count[h]
    while True:
        child = 2 * i + 1
        if child >= count:
            break
        if child + 1 < count and is_nearer(b, h, b.heap[h, child + 1], b.heap[h, child]):
            child += 1
        below = b.heap[h, child]
        if not is_nearer(b, h, below, s):
            break
        b.heap[h, i] = below
        b.s_place[below] = i
        i = child
    b.heap[h, i] = s
    b.s_place[s] = i


@inner
def _note_nearest(b: Any, h: int) -> None:
    if h == _RISING:
        b.rise_at = b.s_at[b.heap[h, 0]] if b.heap_count[h] > 0 else NEVER
    else:
        b.fall_at = b.s_at[b.heap[h, 0]] if b.heap_count[h] > 0 else -1

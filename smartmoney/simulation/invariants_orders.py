"""Verify the table of special orders: stops, icebergs, reduce-only orders, ties. Cost: two passes over the table, some ten µs."""

from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner
from smartmoney.simulation.leaving import parts_of, reducible
from smartmoney.simulation.order_table import ARMED, DUE, FREE, IN_BOOK, NEVER, PENDING, SPECIALS, is_nearer

SOUND = 0
ORDER_VIOLATIONS = {
    13: "special orders were leaked, or their places in the book are wrong",
    14: "the waiting stops are out of order",
    15: "a stop waits although trades have reached it",
    16: "the queue of due orders is wrong",
    17: "lots of waiting orders were made or lost",
    18: "hidden lots were made or lost",
    19: "orders are tied to orders that know nothing of it",
    20: "a reduce-only order is larger than its owner's position",
}


@inner
def check_orders(b: Any) -> Any:
    """Return SOUND or the first violation's number."""
    for fault in (_check_rows(b), _check_stops(b), _check_due(b), _check_sums(b), _check_ties(b), _check_reducing(b)):
        if fault != SOUND:
            return fault
    return SOUND


@inner
def _check_rows(b: Any) -> Any:
    used = np.int64(0)
    for s in range(SPECIALS):
        state = b.s_state[s]
        if (state == FREE) != (b.s_id[s] == 0):
            return 13
        if state == FREE:
            continue
        used += 1
        if state == IN_BOOK:
            slot = b.s_slot[s]
            if b.order_ids[slot] != b.s_id[s] or b.order_special[slot] != s + 1 or b.order_owners[slot] != b.s_owner[s]:
                return 13
    free = np.int64(0)
    s = b.s_free
    while s >= 0 and free <= SPECIALS:
        free += 1
        s = b.s_next[s]
    return SOUND if used == b.s_used and used + free == SPECIALS else 13


@inner
def _check_stops(b: Any) -> Any:
    armed = np.int64(0)
    for s in range(SPECIALS):
        armed += 1 if b.s_state[s] == ARMED else 0
    for h in range(2):
        for i in range(b.heap_count[h]):
            s = b.heap[h, i]
            if b.s_state[s] != ARMED or b.s_place[s] != i or (i > 0 and not is_nearer(b, h, b.heap[h, (i - 1) >> 1], s)):
                return 14
    if armed != b.heap_count[0] + b.heap_count[1]:
        return 14
    rise = b.s_at[b.heap[0, 0]] if b.heap_count[0] > 0 else NEVER
    fall = b.s_at[b.heap[1, 0]] if b.heap_count[1] > 0 else -1
    if b.rise_at != rise or b.fall_at != fall:
        return 14
    return 15 if b.last_trade >= 0 and (b.last_trade >= rise or b.last_trade <= fall) else SOUND


@inner
def _check_due(b: Any) -> Any:
    due = np.int64(0)
    for s in range(SPECIALS):
        due += 1 if b.s_state[s] == DUE else 0
    queued = np.int64(0)
    last = np.int64(-1)
    s = b.due_head
    while s >= 0 and queued <= SPECIALS:
        if b.s_state[s] != DUE:
            return 16
        queued += 1
        last = s
        s = b.s_next[s]
    return SOUND if queued == due and last == b.due_tail else 16


@inner
def _check_sums(b: Any) -> Any:
    waiting = np.int64(0)
    hidden = np.int64(0)
    parts = np.int64(0)
    for s in range(SPECIALS):
        if b.s_state[s] == IN_BOOK:
            if b.s_hidden[s] < 0 or (b.s_display[s] > 0 and b.order_lots[b.s_slot[s]] > b.s_display[s]):
                return 18
            hidden += b.s_hidden[s]
            parts += parts_of(b.s_hidden[s], b.s_display[s])
        elif b.s_state[s] != FREE:
            waiting += b.s_lots[s]
    if waiting != b.lots_waiting:
        return 17
    return SOUND if hidden == b.lots_hidden and parts == b.parts else 18


@inner
def _check_ties(b: Any) -> Any:
    for s in range(SPECIALS):
        if b.s_state[s] == FREE:
            continue
        other = b.s_other[s] - 1
        working = b.s_working[s] - 1
        first = b.s_pending[s] - 1
        if other >= 0 and (b.s_state[other] == FREE or b.s_other[other] != s + 1):
            return 19
        if first >= 0 and (b.s_state[s] != IN_BOOK or b.s_working[first] != s + 1 or b.s_other[first] == 0):
            return 19
        if working >= 0 and (b.s_state[s] != PENDING or b.s_pending[working] - 1 not in (s, other)):
            return 19
    return SOUND


@inner
def _check_reducing(b: Any) -> Any:
    reducing = np.int64(0)
    for s in range(SPECIALS):
        if b.s_state[s] == IN_BOOK and b.s_reduce[s] != 0:
            reducing += 1
            slot = b.s_slot[s]
            if b.order_lots[slot] + b.s_hidden[s] > reducible(b, b.order_owners[slot], b.order_sides[slot]):
                return 20
    return SOUND if reducing == b.reducing_count else 20

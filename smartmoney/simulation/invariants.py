"""Verify a book against everything that must always hold; cheap enough for a test to call after each order."""

from typing import Any

import numpy as np

from smartmoney.core.book.typed import allocating, entry, inner
from smartmoney.simulation.bits import int64, next_bit
from smartmoney.simulation.invariants_orders import ORDER_VIOLATIONS, check_orders
from smartmoney.simulation.ladder import ASK, BID, CROWD, LADDER, OWNERS, POOL

_FIRST = int64(0)
SOUND = 0
CLIENT_POSITION = 21
VIOLATIONS = {
    1: "a level's lots differ from the sum of its orders",
    2: "an order stands at the wrong price, on the wrong side, or its links are broken",
    3: "a queue is out of arrival order",
    4: "the bitmap and the queues disagree",
    5: "the book is crossed",
    6: "the best price is not the best order's",
    7: "lots were made or lost",
    8: "positions do not sum to zero",
    9: "cash does not sum to zero",
    10: "orders were leaked or counted twice",
    11: "the crowd's list is wrong",
    12: "the overflow's counts are wrong",
    **ORDER_VIOLATIONS,
    CLIENT_POSITION: "a client's position is not the sum of its trades",
}


@entry
def check(b: Any) -> Any:
    """Return SOUND or the first violation's number (`VIOLATIONS` says what it means). Cost: one pass over pool and ladder."""
    fault, lots, count, bid, ask = _check_ladder(b)
    if fault != SOUND:
        return fault
    fault, over_lots, over_count, bid, ask = _check_overflow(b, bid, ask)
    if fault != SOUND:
        return fault
    if bid >= 0 and ask >= 0 and bid >= ask:
        return 5
    if bid != b.best_bid or ask != b.best_ask:
        return 6
    if b.lots_in != lots + over_lots + b.lots_hidden + 2 * b.lots_traded + b.lots_withdrawn:
        return 7
    fault = _check_accounts(b)
    if fault != SOUND:
        return fault
    fault = _check_pool(b, count + over_count)
    return fault if fault != SOUND else check_orders(b)


@entry
def check_quickly(b: Any) -> Any:
    """Return SOUND or the first violation that a look at levels and accounts finds. Cost: some ten µs, for a market that runs."""
    lots = b.lots_hidden
    i: Any = next_bit(b.words, b.summary, _FIRST)
    while i >= 0:
        if b.level_lots[i] <= 0:
            return 1
        lots += b.level_lots[i]
        i = next_bit(b.words, b.summary, i + 1) if i + 1 < LADDER else -1
    slot = b.over_head
    while slot >= 0:
        lots += b.order_lots[slot]
        slot = b.order_next[slot]
    if b.best_bid >= 0 and b.best_ask >= 0 and b.best_bid >= b.best_ask:
        return 5
    if b.lots_in != lots + 2 * b.lots_traded + b.lots_withdrawn:
        return 7
    fault = _check_accounts(b)
    return fault if fault != SOUND else check_orders(b)


@inner
def _check_accounts(b: Any) -> Any:
    position = np.int64(0)
    cash = np.int64(0)
    for owner in range(OWNERS):
        position += b.position[owner]
        cash += b.cash[owner]
    if position != 0:
        return 8
    return SOUND if cash == 0 else 9


@inner
def rank_of(b: Any, slot: int) -> Any:
    """Return when a resting order came to the end of its queue, in the book's own count of orders."""
    s = b.order_special[slot] - 1
    return b.s_rank[s] if s >= 0 else b.order_ids[slot] >> 16


@inner
def _check_ladder(b: Any) -> tuple[Any, ...]:
    lots = np.int64(0)
    count = np.int64(0)
    bid = np.int64(-1)
    ask = np.int64(-1)
    for i in range(LADDER):
        occupied = next_bit(b.words, b.summary, i) == i
        if occupied != (b.heads[i] >= 0) or (b.heads[i] < 0) != (b.tails[i] < 0):
            return 4, lots, count, bid, ask
        if not occupied:
            if b.level_lots[i] != 0:
                return 1, lots, count, bid, ask
            continue
        slot = b.heads[i]
        side = b.order_sides[slot]
        previous = np.int64(-1)
        level = np.int64(0)
        while slot >= 0:
            at_home = b.order_ticks[slot] == b.base + i and b.order_sides[slot] == side
            if not at_home or b.order_prev[slot] != previous or b.order_lots[slot] <= 0:
                return 2, lots, count, bid, ask
            if previous >= 0 and rank_of(b, int(previous)) >= rank_of(b, slot):
                return 3, lots, count, bid, ask
            level += b.order_lots[slot]
            count += 1
            previous = slot
            slot = b.order_next[slot]
        if previous != b.tails[i]:
            return 2, lots, count, bid, ask
        if level != b.level_lots[i]:
            return 1, lots, count, bid, ask
        lots += level
        if side == BID:
            bid = b.base + i
        elif ask < 0:
            ask = b.base + i
    return SOUND, lots, count, bid, ask


@allocating
def _check_overflow(b: Any, bid: int, ask: int) -> tuple[Any, ...]:
    lots = np.int64(0)
    count = np.int64(0)
    seen = np.zeros((2, 2), np.int64)
    previous = np.int64(-1)
    slot = b.over_head
    while slot >= 0:
        tick = b.order_ticks[slot]
        if 0 <= tick - b.base < LADDER or b.order_prev[slot] != previous or b.order_lots[slot] <= 0:
            return 2, lots, count, bid, ask
        side = b.order_sides[slot]
        seen[side, 1 if tick >= b.base else 0] += 1
        if side == BID:
            bid = max(bid, tick)
        elif ask < 0 or tick < ask:
            ask = tick
        lots += b.order_lots[slot]
        count += 1
        previous = slot
        slot = b.order_next[slot]
    for side in (BID, ASK):
        for end in range(2):
            if seen[side, end] != b.over_count[side, end]:
                return 12, lots, count, bid, ask
    return SOUND, lots, count, bid, ask


@inner
def _check_pool(b: Any, linked: int) -> int:
    used = np.int64(0)
    crowd = np.int64(0)
    for slot in range(POOL):
        if b.order_ids[slot] == 0:
            continue
        used += 1
        if b.order_owners[slot] == CROWD:
            crowd += 1
            if b.crowd[b.crowd_place[slot]] != slot:
                return 11
    free = np.int64(0)
    slot = b.free
    while slot >= 0 and free <= POOL:
        if b.order_ids[slot] != 0:
            return 10
        free += 1
        slot = b.order_next[slot]
    if used != b.live or used != linked or used + free != POOL:
        return 10
    return SOUND if crowd == b.crowd_count else 11

"""Keep the orders of one book: pool, price ladder, overflow, and the rows that tell what changed.

A book is one record of `BOOK_FIELDS` (plus whatever fields a caller's own kernels add). Orders live in a pool and form a doubly linked
queue per tick. Ticks near the touch live in a bounded ladder with an occupancy bitmap; every other order keeps its place in one exact
overflow queue, and re-centring the ladder moves orders between the two without changing any priority.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.bits import clear_bit, int64, next_bit, previous_bit, set_bit
from smartmoney.simulation.order_table import ORDER_TABLE_FIELDS, reset_table, special_slot

LADDER = 1 << 17
"""Ticks of the ladder."""
POOL = 1 << 14
"""Orders that can rest at once."""
OUT_ROWS = 1 << 16
OWNERS = 256
MAX_TICK = 1 << 40
NO_SLOT = 0xFFFF

CROWD = int64(0)
"""Owner of the anonymous many."""
FIRST_ACCOUNT = int64(8)
"""Owners from here on are one person each: unless asked otherwise, their orders never trade with each other."""
FIRST_CLIENT = int64(192)
"""Owners from here on are accounts of people outside: what happens to their orders is told in rows."""
BID, ASK = int64(0), int64(1)

TRADE, LEVEL, TOUCH, PARENT_STARTED, PARENT_ENDED = int64(1), int64(2), int64(3), int64(8), int64(9)
TRUTH_BAR, CASCADE, TRAP, SPOOF = int64(10), int64(11), int64(12), int64(13)
"""Kinds of rows. TOUCH has bid tick and lots in TICK and LOTS, ask tick and lots in MAKER and TAKER. From 8 on: truth, never public.

Of the truth (a bar's columns: see `truth_bar`), ID numbers the parent, cascade, trap or wall, and SIDE is its side (a trap's: where it
runs to). A parent's rows have its kind in TICK, its lots (ended: what is left) in LOTS, its style in MAKER and, when it starts, the planned
end in TAKER. A trap has 1 in TICK for a run, 0 for a fake-out, and the pulled share in LOTS, in hundredths. A wall has 1 in TICK when it is
put up, 0 when it comes down, its lots in LOTS and its owner in MAKER_OWNER.
"""
ORDER_RESTED, ORDER_WITHDRAWN, ORDER_EXPIRED = int64(16), int64(17), int64(18)
ORDER_TRIGGERED, ORDER_REPLENISHED, ORDER_REDUCED = int64(19), int64(20), int64(21)
"""What happens to an order besides trades, for its owner: see `tell` for the columns."""
KIND, TIME, ID, SIDE, TICK, LOTS, MAKER, TAKER, MAKER_OWNER, TAKER_OWNER, MAKER_PARENT, TAKER_PARENT = range(12)
"""Columns of `out`. SIDE is the level's side, or the aggressor's for a trade. ID is the update id or the trade id."""

NIL = int64(0)

BOOK_FIELDS = [
    ("now", "i8"),
    ("best_bid", "i8"),
    ("best_ask", "i8"),
    ("base", "i8"),
    ("free", "i8"),
    ("live", "i8"),
    ("order_seq", "i8"),
    ("update_id", "i8"),
    ("update_stride", "i8"),
    ("trade_id", "i8"),
    ("out_len", "i8"),
    ("order_id", "i8"),
    ("filled", "i8"),
    ("prevented", "i8"),
    ("recentred", "i8"),
    ("over_head", "i8"),
    ("over_tail", "i8"),
    ("over_count", "i8", (2, 2)),
    ("lots_in", "i8"),
    ("lots_traded", "i8"),
    ("lots_withdrawn", "i8"),
    ("tells", "i8"),
    ("quiet", "i8"),
    ("last_trade", "i8"),
    ("lots_hidden", "i8"),
    ("touch", "i8", (4,)),
    ("position", "i8", (OWNERS,)),
    ("cash", "i8", (OWNERS,)),
    ("crowd_count", "i8"),
    ("crowd", "i8", (POOL,)),
    ("crowd_place", "i8", (POOL,)),
    ("order_ids", "i8", (POOL,)),
    ("order_ticks", "i8", (POOL,)),
    ("order_lots", "i8", (POOL,)),
    ("order_sides", "i8", (POOL,)),
    ("order_owners", "i8", (POOL,)),
    ("order_parents", "i8", (POOL,)),
    ("order_next", "i8", (POOL,)),
    ("order_prev", "i8", (POOL,)),
    ("order_special", "i8", (POOL,)),
    *ORDER_TABLE_FIELDS,
    ("heads", "i8", (LADDER,)),
    ("tails", "i8", (LADDER,)),
    ("level_lots", "i8", (LADDER,)),
    ("words", "u8", (LADDER // 64,)),
    ("summary", "u8", (LADDER // 4096,)),
    ("out", "i8", (OUT_ROWS, 12)),
]


@entry
def reset(b: Any, centre_tick: int, update_stride: int) -> None:
    """Make an empty book around a tick. `update_stride` 1 numbers level changes without holes, more leaves random holes."""
    b.now = 0
    b.order_seq = 0
    b.update_id = 0
    b.trade_id = 0
    b.order_id = 0
    b.filled = 0
    b.prevented = 0
    b.recentred = 0
    b.lots_in = 0
    b.lots_traded = 0
    b.lots_withdrawn = 0
    b.tells = 0
    b.quiet = 0
    b.last_trade = -1
    b.lots_hidden = 0
    b.touch[:] = -1
    b.position[:] = 0
    b.cash[:] = 0
    b.best_bid = -1
    b.best_ask = -1
    b.base = max(1, centre_tick - LADDER // 2)
    b.live = 0
    b.update_stride = update_stride
    b.out_len = 0
    b.over_head = -1
    b.over_tail = -1
    b.over_count[:, :] = 0
    b.crowd_count = 0
    b.heads[:] = -1
    b.tails[:] = -1
    b.level_lots[:] = 0
    b.words[:] = np.uint64(0)
    b.summary[:] = np.uint64(0)
    b.free = 0
    for slot in range(POOL):
        b.order_ids[slot] = 0
        b.order_next[slot] = slot + 1
    b.order_next[POOL - 1] = -1
    reset_table(b)


@inner
def slot_of(b: Any, order_id: int) -> Any:
    """Return the pool slot of a resting order, or -1."""
    slot = order_id & NO_SLOT
    if order_id <= 0:
        return -1
    if slot >= POOL:
        return special_slot(b, order_id)
    return slot if b.order_ids[slot] == order_id else -1


@entry
def lots_at(b: Any, side: int, tick: int) -> Any:
    """Return the lots that rest on one side at a tick."""
    best = b.best_bid if side == BID else b.best_ask
    if best < 0 or (tick > best if side == BID else tick < best):
        return 0
    return lots_at_tick(b, tick)


@entry
def top(b: Any, side: int, count: int, ticks: npt.NDArray[np.int64], lots: npt.NDArray[np.int64]) -> int:
    """Write up to `count` levels, best first, and return how many there are."""
    written = 0
    tick = b.best_bid if side == BID else b.best_ask
    while tick >= 0 and written < count:
        ticks[written] = tick
        lots[written] = lots_at_tick(b, tick)
        written += 1
        tick = next_best(b, side, tick)
    return written


@inner
def emit_touch(b: Any) -> None:
    """Write a TOUCH row if the best prices or their lots differ from the last one written."""
    bid_lots = lots_at_tick(b, b.best_bid) if b.best_bid >= 0 else 0
    ask_lots = lots_at_tick(b, b.best_ask) if b.best_ask >= 0 else 0
    if b.touch[0] == b.best_bid and b.touch[1] == bid_lots and b.touch[2] == b.best_ask and b.touch[3] == ask_lots:
        return
    b.touch[0] = b.best_bid
    b.touch[1] = bid_lots
    b.touch[2] = b.best_ask
    b.touch[3] = ask_lots
    emit(b, TOUCH, b.update_id, NIL, b.best_bid, bid_lots, b.best_ask, ask_lots, NIL, NIL, NIL, NIL)


@inner
def emit(
    b: Any,
    kind: int,
    number: int,
    side: int,
    tick: int,
    lots: int,
    maker: int,
    taker: int,
    maker_owner: int,
    taker_owner: int,
    maker_parent: int,
    taker_parent: int,
) -> None:
    """Append a row to `out` if there is room for it and the book is not quiet."""
    n = b.out_len
    if n >= OUT_ROWS or b.quiet != 0:
        return
    b.out[n, KIND] = kind
    b.out[n, TIME] = b.now
    b.out[n, ID] = number
    b.out[n, SIDE] = side
    b.out[n, TICK] = tick
    b.out[n, LOTS] = lots
    b.out[n, MAKER] = maker
    b.out[n, TAKER] = taker
    b.out[n, MAKER_OWNER] = maker_owner
    b.out[n, TAKER_OWNER] = taker_owner
    b.out[n, MAKER_PARENT] = maker_parent
    b.out[n, TAKER_PARENT] = taker_parent
    b.out_len = n + 1


@inner
def tell(b: Any, kind: int, order_id: int, side: int, tick: int, lots: int, left: int, why: int, owner: int, parent: int) -> None:
    """Write what happened to an order if its owner is a client, or if the book tells everything.

    Columns: ID the order; SIDE; TICK its price, or for ORDER_TRIGGERED the trade that reached it; LOTS how many it happened to; MAKER how
    many are left of it, hidden ones included; TAKER why (`order_table`); MAKER_OWNER and TAKER_OWNER its owner; MAKER_PARENT its parent.
    """
    if b.tells != 0 or owner >= FIRST_CLIENT:
        emit(b, kind, order_id, side, tick, lots, left, why, owner, owner, parent, NIL)


@inner
def remove(b: Any, slot: int) -> None:
    """Take an order out of its queue and give its slot back; the best price is the caller's to refresh."""
    tick = b.order_ticks[slot]
    i = tick - b.base
    if 0 <= i < LADDER:
        before = b.order_prev[slot]
        after = b.order_next[slot]
        b.level_lots[i] -= b.order_lots[slot]
        if before >= 0:
            b.order_next[before] = after
        else:
            b.heads[i] = after
        if after >= 0:
            b.order_prev[after] = before
        else:
            b.tails[i] = before
        if b.heads[i] < 0:
            clear_bit(b.words, b.summary, i)
    else:
        unlink_overflow(b, slot)
        b.over_count[b.order_sides[slot], 1 if i >= 0 else 0] -= 1
    if b.order_owners[slot] == CROWD:
        b.crowd_count -= 1
        last = b.crowd[b.crowd_count]
        b.crowd[b.crowd_place[slot]] = last
        b.crowd_place[last] = b.crowd_place[slot]
    b.order_ids[slot] = 0
    b.order_next[slot] = b.free
    b.free = slot
    b.live -= 1


@inner
def append(b: Any, slot: int) -> None:
    """Put an order at the end of its tick's queue in the ladder."""
    i = b.order_ticks[slot] - b.base
    last = b.tails[i]
    b.order_prev[slot] = last
    b.order_next[slot] = -1
    if last >= 0:
        b.order_next[last] = slot
    else:
        b.heads[i] = slot
        set_bit(b.words, b.summary, i)
    b.tails[i] = slot
    b.level_lots[i] += b.order_lots[slot]


@inner
def append_overflow(b: Any, slot: int) -> None:
    """Put an order at the end of the overflow."""
    b.order_prev[slot] = b.over_tail
    b.order_next[slot] = -1
    if b.over_tail >= 0:
        b.order_next[b.over_tail] = slot
    else:
        b.over_head = slot
    b.over_tail = slot


@inner
def unlink_overflow(b: Any, slot: int) -> None:
    """Take an order out of the overflow."""
    before = b.order_prev[slot]
    after = b.order_next[slot]
    if before >= 0:
        b.order_next[before] = after
    else:
        b.over_head = after
    if after >= 0:
        b.order_prev[after] = before
    else:
        b.over_tail = before


@inner
def emit_level(b: Any, side: int, tick: int) -> None:
    """Number a level change and write it down."""
    step = NIL + 1
    if b.update_stride > 1:
        # A venue that numbers all its symbols together leaves holes; a fixed hash keeps them reproducible.
        mixed = (np.uint64(b.update_id) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        step += int(mixed % np.uint64(b.update_stride))
    b.update_id += step
    emit(b, LEVEL, b.update_id, side, tick, lots_at_tick(b, tick), NIL, NIL, NIL, NIL, NIL, NIL)


@inner
def lots_at_tick(b: Any, tick: int) -> Any:
    """Return the lots at a tick, whichever side owns it."""
    i = tick - b.base
    if 0 <= i < LADDER:
        return b.level_lots[i]
    total = np.int64(0)
    slot = b.over_head
    while slot >= 0:
        if b.order_ticks[slot] == tick:
            total += b.order_lots[slot]
        slot = b.order_next[slot]
    return total


@entry
def first_at(b: Any, tick: int) -> Any:
    """Return the slot of the first order at a tick, or -1."""
    i = tick - b.base
    if 0 <= i < LADDER:
        return b.heads[i]
    slot = b.over_head
    while slot >= 0 and b.order_ticks[slot] != tick:
        slot = b.order_next[slot]
    return slot


@entry
def following_at(b: Any, slot: int, tick: int) -> Any:
    """Return the slot of the next order at the same tick, or -1."""
    slot = b.order_next[slot]
    while slot >= 0 and b.order_ticks[slot] != tick:
        slot = b.order_next[slot]
    return slot


@inner
def refresh_best(b: Any, side: int, tick: int) -> None:
    """Find the best price of a side again if its tick is empty now."""
    if first_at(b, tick) >= 0:
        return
    if side == BID:
        b.best_bid = next_best(b, BID, tick)
    else:
        b.best_ask = next_best(b, ASK, tick)


@inner
def next_best(b: Any, side: int, tick: int) -> Any:
    """Return the next level of a side behind a tick, or -1.

    In order: overflow beyond the ladder's near end, the ladder, overflow beyond its far end.
    """
    near, far = (1, 0) if side == BID else (0, 1)
    if b.over_count[side, near] > 0:
        found = best_overflow(b, side, tick)
        if found >= 0 and (found >= b.base + LADDER if side == BID else found < b.base):
            return found
    if side == BID:
        start = min(tick - 1 - b.base, LADDER - 1)
        i = previous_bit(b.words, b.summary, start) if start >= 0 else -1
    else:
        start = max(tick + 1 - b.base, 0)
        i = next_bit(b.words, b.summary, start) if start < LADDER else -1
    if i >= 0:
        return b.base + i
    if b.over_count[side, far] > 0:
        return best_overflow(b, side, tick)
    return -1


@inner
def best_overflow(b: Any, side: int, tick: int) -> Any:
    """Return the best overflow tick of a side behind a tick, or -1."""
    best = np.int64(-1)
    slot = b.over_head
    while slot >= 0:
        t = b.order_ticks[slot]
        is_better = best < t < tick if side == BID else t > tick and (best < 0 or t < best)
        if is_better and b.order_sides[slot] == side:
            best = t
        slot = b.order_next[slot]
    return best

"""Match orders by price, then time, over integer ticks and lots, in compiled kernels.

A book is one record of `BOOK_FIELDS` (plus whatever fields a caller's own kernels add). Orders live in a pool and form a doubly linked
queue per tick. Ticks near the touch live in a bounded ladder with an occupancy bitmap; every other order keeps its place in one exact
overflow queue, and re-centring the ladder moves orders between the two without changing any priority.

Invariants, which `check` verifies: the book is never crossed; a queue holds its orders in arrival order; lots in = resting + twice traded
+ withdrawn; positions and cash of all owners sum to zero. Kernels never raise: a refusal is a status. Events go to the bounded array `out`;
an order that might not find room there is refused with `REJECTED_NO_ROOM` before it changes anything, so drain `out` and submit again.
"""

import numpy as np
from numba import njit

from smartmoney.simulation.bits import clear_bit, next_bit, previous_bit, set_bit

LADDER = 1 << 17
"""Ticks of the ladder."""
POOL = 1 << 14
"""Orders that can rest at once."""
OUT_ROWS = 1 << 16
OWNERS = 256
MAX_TICK = 1 << 40
NO_SLOT = 0xFFFF

# Typed, not literal: numba would compile a kernel again for each literal it is called with.
MARKET_PRICE = np.int64(0)
"""The tick of an order without a limit; such an order cannot rest."""
CROWD = np.int64(0)
"""Owner of the anonymous many."""
FIRST_ACCOUNT = np.int64(8)
"""Owners from here on are one person each: their orders never trade with each other."""
NO_PARENT = np.int64(0)
MAY_TAKE, POST_ONLY = np.int64(0), np.int64(1)

BID, ASK = np.int64(0), np.int64(1)
GTC, IOC, FOK = np.int64(0), np.int64(1), np.int64(2)

RESTING, FILLED, EXPIRED = 1, 2, 3
REJECTED_POST_ONLY, REJECTED_POOL_FULL, REJECTED_INPUT, REJECTED_NO_ROOM = -1, -2, -3, -4
UNKNOWN_ORDER = -5

TRADE, LEVEL, TOUCH, PARENT_STARTED, PARENT_ENDED = np.int64(1), np.int64(2), np.int64(3), np.int64(8), np.int64(9)
"""Kinds of rows. TOUCH has bid tick and lots in TICK and LOTS, ask tick and lots in MAKER and TAKER. From 8 on: truth, never public."""
KIND, TIME, ID, SIDE, TICK, LOTS, MAKER, TAKER, MAKER_OWNER, TAKER_OWNER, MAKER_PARENT, TAKER_PARENT = range(12)
"""Columns of `out`. SIDE is the level's side, or the aggressor's for a trade. ID is the update id or the trade id."""

_NIL = np.int64(0)
_LOWEST, _HIGHEST = np.int64(1), np.int64(MAX_TICK)

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
    ("heads", "i8", (LADDER,)),
    ("tails", "i8", (LADDER,)),
    ("level_lots", "i8", (LADDER,)),
    ("words", "u8", (LADDER // 64,)),
    ("summary", "u8", (LADDER // 4096,)),
    ("out", "i8", (OUT_ROWS, 12)),
]
BOOK = np.dtype(BOOK_FIELDS, align=True)


@njit(cache=True, nogil=True)
def reset(b, centre_tick, update_stride):
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


@njit(cache=True, nogil=True)
def has_room(b):
    """Tell whether any one order can be taken without overrunning `out`."""
    return OUT_ROWS - b.out_len >= 2 * b.live + 8


@njit(cache=True, nogil=True)
def submit(b, side, tick, lots, tif, post_only, owner, parent):
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
        _keep_centred(b)
        return RESTING
    if slot >= 0:
        b.order_next[slot] = b.free
        b.free = slot
    b.lots_withdrawn += left
    _keep_centred(b)
    return EXPIRED if left > 0 else FILLED


@njit(cache=True, nogil=True)
def cancel(b, order_id):
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
    _remove(b, slot)
    _emit_level(b, side, tick)
    if tick == (b.best_bid if side == BID else b.best_ask):
        _refresh_best(b, side, tick)
        _keep_centred(b)
    return lots


@njit(cache=True, nogil=True)
def slot_of(b, order_id):
    """Return the pool slot of a resting order, or -1."""
    slot = order_id & NO_SLOT
    if order_id <= 0 or slot >= POOL or b.order_ids[slot] != order_id:
        return -1
    return slot


@njit(cache=True, nogil=True)
def lots_at(b, side, tick):
    """Return the lots that rest on one side at a tick."""
    best = b.best_bid if side == BID else b.best_ask
    if best < 0 or (tick > best if side == BID else tick < best):
        return 0
    return _lots_at(b, tick)


@njit(cache=True, nogil=True)
def top(b, side, count, ticks, lots):
    """Write up to `count` levels, best first, and return how many there are."""
    written = 0
    tick = b.best_bid if side == BID else b.best_ask
    while tick >= 0 and written < count:
        ticks[written] = tick
        lots[written] = _lots_at(b, tick)
        written += 1
        tick = _next_best(b, side, tick)
    return written


@njit(cache=True, nogil=True)
def emit_touch(b):
    """Write a TOUCH row if the best prices or their lots differ from the last one written."""
    bid_lots = _lots_at(b, b.best_bid) if b.best_bid >= 0 else 0
    ask_lots = _lots_at(b, b.best_ask) if b.best_ask >= 0 else 0
    if b.touch[0] == b.best_bid and b.touch[1] == bid_lots and b.touch[2] == b.best_ask and b.touch[3] == ask_lots:
        return
    b.touch[0] = b.best_bid
    b.touch[1] = bid_lots
    b.touch[2] = b.best_ask
    b.touch[3] = ask_lots
    emit(b, TOUCH, b.update_id, _NIL, b.best_bid, bid_lots, b.best_ask, ask_lots, _NIL, _NIL, _NIL, _NIL)


@njit(cache=True, nogil=True)
def emit(b, kind, number, side, tick, lots, maker, taker, maker_owner, taker_owner, maker_parent, taker_parent):
    """Append a row to `out` if there is room for it."""
    n = b.out_len
    if n >= OUT_ROWS:
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


@njit(cache=True, nogil=True)
def recentre(b, centre_tick):
    """Move the ladder so that a tick is in its middle; every order keeps its price and its place in its queue."""
    base = max(1, centre_tick - LADDER // 2)
    shift = base - b.base
    if shift == 0:
        return
    b.recentred += 1
    b.base = base
    i = next_bit(b.words, b.summary, _NIL) if shift > 0 else previous_bit(b.words, b.summary, np.int64(LADDER - 1))
    while i >= 0:
        _move_level(b, i, i - shift)
        if shift > 0:
            i = next_bit(b.words, b.summary, i + 1) if i + 1 < LADDER else -1
        else:
            i = previous_bit(b.words, b.summary, i - 1) if i > 0 else -1
    b.over_count[:, :] = 0
    slot = b.over_head
    while slot >= 0:
        after = b.order_next[slot]
        tick = b.order_ticks[slot]
        if 0 <= tick - base < LADDER:
            _unlink_overflow(b, slot)
            _append(b, slot)
        else:
            b.over_count[b.order_sides[slot], 1 if tick >= base else 0] += 1
        slot = after


@njit(cache=True, nogil=True)
def _is_sane(side, tick, lots, tif, post_only, owner):
    if side not in (BID, ASK) or lots <= 0 or tif not in (GTC, IOC, FOK) or owner < 0 or owner >= OWNERS:
        return False
    if tick < 0 or tick > MAX_TICK or post_only not in (MAY_TAKE, POST_ONLY):
        return False
    can_rest = tick != MARKET_PRICE
    return (can_rest or tif != GTC) and (post_only == MAY_TAKE or (can_rest and tif == GTC))


@njit(cache=True, nogil=True)
def _crosses(b, side, limit):
    if side == BID:
        return b.best_ask >= 0 and b.best_ask <= limit
    return b.best_bid >= 0 and b.best_bid >= limit


@njit(cache=True, nogil=True)
def _can_fill(b, side, limit, lots, owner):
    opposite = ASK if side == BID else BID
    tick = b.best_ask if side == BID else b.best_bid
    left = lots
    while tick >= 0 and (tick <= limit if side == BID else tick >= limit):
        slot = _first_at(b, tick)
        while slot >= 0:
            if owner >= FIRST_ACCOUNT and b.order_owners[slot] == owner:
                return False
            left -= b.order_lots[slot]
            if left <= 0:
                return True
            slot = _following_at(b, slot, tick)
        tick = _next_best(b, opposite, tick)
    return False


@njit(cache=True, nogil=True)
def _match(b, side, limit, lots, owner, parent):
    left = lots
    opposite = ASK if side == BID else BID
    while left > 0 and b.prevented == 0:
        tick = b.best_ask if side == BID else b.best_bid
        if tick < 0 or (tick > limit if side == BID else tick < limit):
            break
        before = left
        left = _match_level(b, side, tick, left, owner, parent)
        if left != before:
            _emit_level(b, opposite, tick)
            if _first_at(b, tick) < 0:
                _refresh_best(b, opposite, tick)
    return left


@njit(cache=True, nogil=True)
def _match_level(b, side, tick, left, owner, parent):
    sign = 1 if side == BID else -1
    while left > 0:
        slot = _first_at(b, tick)
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
            _remove(b, slot)
        else:
            b.order_lots[slot] -= lots
            if 0 <= tick - b.base < LADDER:
                b.level_lots[tick - b.base] -= lots
    return left


@njit(cache=True, nogil=True)
def _rest(b, slot, side, tick, lots, owner, parent):
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
        _append(b, slot)
    else:
        _append_overflow(b, slot)
        b.over_count[side, 1 if tick >= b.base else 0] += 1
    _emit_level(b, side, tick)
    if side == BID:
        b.best_bid = max(b.best_bid, tick)
    elif b.best_ask < 0 or tick < b.best_ask:
        b.best_ask = tick


@njit(cache=True, nogil=True)
def _remove(b, slot):
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
        _unlink_overflow(b, slot)
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


@njit(cache=True, nogil=True)
def _append(b, slot):
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


@njit(cache=True, nogil=True)
def _append_overflow(b, slot):
    b.order_prev[slot] = b.over_tail
    b.order_next[slot] = -1
    if b.over_tail >= 0:
        b.order_next[b.over_tail] = slot
    else:
        b.over_head = slot
    b.over_tail = slot


@njit(cache=True, nogil=True)
def _unlink_overflow(b, slot):
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


@njit(cache=True, nogil=True)
def _move_level(b, i, target):
    slot = b.heads[i]
    last = b.tails[i]
    lots = b.level_lots[i]
    b.heads[i] = -1
    b.tails[i] = -1
    b.level_lots[i] = 0
    clear_bit(b.words, b.summary, i)
    if 0 <= target < LADDER:
        b.heads[target] = slot
        b.tails[target] = last
        b.level_lots[target] = lots
        set_bit(b.words, b.summary, target)
        return
    while slot >= 0:
        after = b.order_next[slot]
        _append_overflow(b, slot)
        slot = after


@njit(cache=True, nogil=True)
def _keep_centred(b):
    bid, ask = b.best_bid, b.best_ask
    if bid < 0 and ask < 0:
        return
    reference = ask if bid < 0 else bid if ask < 0 else (bid + ask) // 2
    centre = b.base + LADDER // 2
    if abs(reference - centre) > LADDER // 4 and not (b.base == 1 and reference < centre):
        recentre(b, reference)


@njit(cache=True, nogil=True)
def _emit_level(b, side, tick):
    step = 1
    if b.update_stride > 1:
        # A venue that numbers all its symbols together leaves holes; a fixed hash keeps them reproducible.
        mixed = (np.uint64(b.update_id) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        step += np.int64(mixed % np.uint64(b.update_stride))
    b.update_id += step
    emit(b, LEVEL, b.update_id, side, tick, _lots_at(b, tick), _NIL, _NIL, _NIL, _NIL, _NIL, _NIL)


@njit(cache=True, nogil=True)
def _lots_at(b, tick):
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


@njit(cache=True, nogil=True)
def _first_at(b, tick):
    i = tick - b.base
    if 0 <= i < LADDER:
        return b.heads[i]
    slot = b.over_head
    while slot >= 0 and b.order_ticks[slot] != tick:
        slot = b.order_next[slot]
    return slot


@njit(cache=True, nogil=True)
def _following_at(b, slot, tick):
    slot = b.order_next[slot]
    while slot >= 0 and b.order_ticks[slot] != tick:
        slot = b.order_next[slot]
    return slot


@njit(cache=True, nogil=True)
def _refresh_best(b, side, tick):
    if _first_at(b, tick) >= 0:
        return
    if side == BID:
        b.best_bid = _next_best(b, BID, tick)
    else:
        b.best_ask = _next_best(b, ASK, tick)


@njit(cache=True, nogil=True)
def _next_best(b, side, tick):
    """Return the next level of a side behind a tick, or -1: overflow beyond the ladder's near end, the ladder, overflow beyond its far end."""
    near, far = (1, 0) if side == BID else (0, 1)
    if b.over_count[side, near] > 0:
        found = _best_overflow(b, side, tick)
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
        return _best_overflow(b, side, tick)
    return -1


@njit(cache=True, nogil=True)
def _best_overflow(b, side, tick):
    best = np.int64(-1)
    slot = b.over_head
    while slot >= 0:
        t = b.order_ticks[slot]
        if b.order_sides[slot] == side:
            if side == BID and t < tick and t > best:
                best = t
            elif side == ASK and t > tick and (best < 0 or t < best):
                best = t
        slot = b.order_next[slot]
    return best

"""Compiled kernels of the book: levels in and out, the touch, sums and depth, on one state record.

Invariants after every call: a level is stored once, in the window if its tick is inside it and in the tail otherwise; a bit of `occupied`
is set exactly where `window_lots` is positive; tail keys ascend strictly and their lots are positive; `best_*_tick` is the best stored
price or -1. Nothing here allocates except `rebase`, and nothing raises.
"""

from typing import Any

import numpy as np

from smartmoney.core.book.state import TAIL, WINDOW, WORDS
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, allocating, entry, inlined, inner, int64, spliced

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_FIRST_OFFSET = int64(0)
_LAST_OFFSET = int64(WINDOW - 1)
_EDGE = WINDOW // 8
"""The touch may come this near to the window's edge before the window moves."""
_MOVE_MIN = WINDOW // 32
"""A move smaller than this is not worth it (a spread wider than the window would ask for one per frame)."""

_DE_BRUIJN = np.uint64(0x03F7_9D71_B4CB_0A89)
"""Its 64 windows of six bits all differ: a power of two times it is told by its top six bits."""
_BIT_OF = np.zeros(64, np.int64)
for _place in range(64):
    _BIT_OF[((0x03F7_9D71_B4CB_0A89 << _place) & 0xFFFF_FFFF_FFFF_FFFF) >> 58] = _place


@inner
def _bit_of(power: Any) -> Any:
    """Return the place of the one bit of a power of two."""
    return _BIT_OF[np.int64((power * _DE_BRUIJN) >> np.uint64(58))]


@inner
def _lowest_bit(word: Any) -> Any:
    return _bit_of(word & (~word + _ONE))


@inner
def _highest_bit(word: Any) -> Any:
    word |= word >> _ONE
    word |= word >> np.uint64(2)
    word |= word >> np.uint64(4)
    word |= word >> np.uint64(8)
    word |= word >> np.uint64(16)
    word |= word >> np.uint64(32)
    return _bit_of(word ^ (word >> _ONE))


@inner
def occupied_at_or_below(s: Any, side: int, offset: int) -> Any:
    """Return the largest occupied window offset <= `offset`, -1 if none. At most `WORDS` steps of 64 ticks."""
    if offset < 0:
        return -1
    if offset >= WINDOW:
        offset = WINDOW - 1
    words = s.occupied[side]
    w = offset >> 6
    word = words[w] & (_ALL >> np.uint64(63 - (offset & 63)))
    while word == _NONE:
        w -= 1
        if w < 0:
            return -1
        word = words[w]
    return (w << 6) + _highest_bit(word)


@inner
def occupied_at_or_above(s: Any, side: int, offset: int) -> Any:
    """Return the smallest occupied window offset >= `offset`, -1 if none. At most `WORDS` steps of 64 ticks."""
    if offset >= WINDOW:
        return -1
    offset = max(offset, 0)
    words = s.occupied[side]
    w = offset >> 6
    word = words[w] & (_ALL << np.uint64(offset & 63))
    while word == _NONE:
        w += 1
        if w >= WORDS:
            return -1
        word = words[w]
    return (w << 6) + _lowest_bit(word)


@inner
def _tail_find(s: Any, side: int, key: int) -> int:
    """Return the first tail position whose key is >= `key` (the count if none)."""
    keys = s.tail_keys[side]
    low = 0
    high = s.tail_count[side]
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def _tail_set(s: Any, side: int, tick: int, lots: int) -> bool:
    key = -tick if side == 0 else tick
    keys = s.tail_keys[side]
    quantities = s.tail_lots[side]
    count = s.tail_count[side]
    at = _tail_find(s, side, key)
    if at < count and keys[at] == key:
        if lots > 0:
            quantities[at] = lots
            return True
        for k in range(at, count - 1):
            keys[k] = keys[k + 1]
            quantities[k] = quantities[k + 1]
        s.tail_count[side] = count - 1
        return True
    if lots == 0:
        return True
    if count == TAIL:
        s.tail_evicted += 1
        if at == count:
            return False
        count -= 1
    for k in range(count, at, -1):
        keys[k] = keys[k - 1]
        quantities[k] = quantities[k - 1]
    keys[at] = key
    quantities[at] = lots
    s.tail_count[side] = count + 1
    return True


@inner
def _find_best(s: Any, side: int) -> Any:
    """Return the best stored tick of a side, -1 if it is empty."""
    base = s.base_tick
    if side == 0:
        if s.tail_count[0] > 0 and -s.tail_keys[0, 0] >= base + WINDOW:
            return -s.tail_keys[0, 0]
        offset = occupied_at_or_below(s, BID_SIDE, _LAST_OFFSET)
        if offset >= 0:
            return base + offset
        return -s.tail_keys[0, 0] if s.tail_count[0] > 0 else -1
    if s.tail_count[1] > 0 and s.tail_keys[1, 0] < base:
        return s.tail_keys[1, 0]
    offset = occupied_at_or_above(s, ASK_SIDE, _FIRST_OFFSET)
    if offset >= 0:
        return base + offset
    return s.tail_keys[1, 0] if s.tail_count[1] > 0 else -1


@inner
def _best_after_removal(s: Any, side: int, tick: int) -> Any:
    """Return the best tick now that `tick`, which was the best, is gone."""
    offset = tick - s.base_tick
    if 0 <= offset < WINDOW:
        # Nothing better than `tick` exists, so the next one in the window, where there is one, is the best.
        found = occupied_at_or_below(s, BID_SIDE, offset) if side == 0 else occupied_at_or_above(s, ASK_SIDE, offset)
        if found >= 0:
            return s.base_tick + found
    return _find_best(s, side)


@spliced
def store_level(s: Any, side: int, tick: int, lots: int) -> None:
    """Store a level's absolute quantity; `lots` 0 deletes it (an absent one too). `side` 0 bid, 1 ask; `tick` >= 1."""
    offset = tick - s.base_tick
    if 0 <= offset < WINDOW:
        s.window_lots[side, offset] = lots
        w = offset >> 6
        bit = _ONE << np.uint64(offset & 63)
        if lots > 0:
            s.occupied[side, w] |= bit
        else:
            s.occupied[side, w] &= ~bit
        stored = True
    else:
        stored = _tail_set(s, side, tick, lots)
    if side == 0:
        best = s.best_bid_tick
        if lots > 0:
            if tick > best and stored:
                s.best_bid_tick = tick
        elif tick == best:
            s.best_bid_tick = _best_after_removal(s, side, tick)
    else:
        best = s.best_ask_tick
        if lots > 0:
            if (tick < best or best < 0) and stored:
                s.best_ask_tick = tick
        elif tick == best:
            s.best_ask_tick = _best_after_removal(s, side, tick)


@entry
def set_level(s: Any, side: int, tick: int, lots: int) -> None:
    """Do `store_level`."""
    store_level(s, side, tick, lots)


@entry
def level_lots(s: Any, side: int, tick: int) -> Any:
    """Return the quantity stored at a price, 0 if none, in lots."""
    offset = tick - s.base_tick
    if 0 <= offset < WINDOW:
        return s.window_lots[side, offset]
    key = -tick if side == 0 else tick
    at = _tail_find(s, side, key)
    if at < s.tail_count[side] and s.tail_keys[side, at] == key:
        return s.tail_lots[side, at]
    return 0


@entry
def shown_lots(states: Any, index: int, side: int, tick: int) -> Any:
    """Return `level_lots` of one record of an array: from Python a whole array crosses the boundary 40 times cheaper than a record."""
    return level_lots(states[index], side, tick)


@entry
def shown_levels(states: Any, index: int, side: int, n: int, ticks_out: Any, lots_out: Any) -> int:
    """Return `top_levels` of one record of an array."""
    return top_levels(states[index], side, n, ticks_out, lots_out)


@entry
def clear(s: Any) -> None:
    """Remove every level of both sides. Cost is proportional to the occupied words; the window stays where it is."""
    for side in range(2):
        words = s.occupied[side]
        lots = s.window_lots[side]
        for w in range(WORDS):
            if words[w] != _NONE:
                words[w] = _NONE
                for k in range(w << 6, (w + 1) << 6):
                    lots[k] = 0
        s.tail_count[side] = 0
    s.best_bid_tick = -1
    s.best_ask_tick = -1


@entry
def top_levels(s: Any, side: int, n: int, ticks_out: Any, lots_out: Any) -> int:
    """Write up to `n` levels, best first, into the two arrays and return their number. Crosses window and tail."""
    count = s.tail_count[side]
    keys = s.tail_keys[side]
    quantities = s.tail_lots[side]
    base = s.base_tick
    first_key_inside = -(base + WINDOW - 1) if side == 0 else base
    written = 0
    at = 0
    while written < n and at < count and keys[at] < first_key_inside:
        ticks_out[written] = -keys[at] if side == 0 else keys[at]
        lots_out[written] = quantities[at]
        written += 1
        at += 1
    lots = s.window_lots[side]
    if written == 0:
        offset = (s.best_bid_tick if side == 0 else s.best_ask_tick) - base
        if not (0 <= offset < WINDOW):
            offset = -1
    else:
        offset = occupied_at_or_below(s, BID_SIDE, _LAST_OFFSET) if side == 0 else occupied_at_or_above(s, ASK_SIDE, _FIRST_OFFSET)
    while written < n and offset >= 0:
        ticks_out[written] = base + offset
        lots_out[written] = lots[offset]
        written += 1
        offset = occupied_at_or_below(s, BID_SIDE, offset - 1) if side == 0 else occupied_at_or_above(s, ASK_SIDE, offset + 1)
    while written < n and at < count:
        ticks_out[written] = -keys[at] if side == 0 else keys[at]
        lots_out[written] = quantities[at]
        written += 1
        at += 1
    return written


@entry
def lots_within(s: Any, side: int, limit_tick: int) -> int:
    """Return the sum of lots from the touch to `limit_tick`, inclusive (bids at or above it, asks at or below it)."""
    total = 0
    base = s.base_tick
    count = s.tail_count[side]
    keys = s.tail_keys[side]
    limit_key = -limit_tick if side == 0 else limit_tick
    at = 0
    while at < count and keys[at] <= limit_key:
        total += s.tail_lots[side, at]
        at += 1
    best = s.best_bid_tick if side == 0 else s.best_ask_tick
    if best < 0:
        return total
    lots = s.window_lots[side]
    offset = occupied_at_or_below(s, BID_SIDE, best - base) if side == 0 else occupied_at_or_above(s, ASK_SIDE, best - base)
    stop = limit_tick - base
    while offset >= 0 and (offset >= stop if side == 0 else offset <= stop):
        total += lots[offset]
        offset = occupied_at_or_below(s, BID_SIDE, offset - 1) if side == 0 else occupied_at_or_above(s, ASK_SIDE, offset + 1)
    return total


@entry
def level_count(s: Any, side: int) -> Any:
    """Return how many levels a side has. Reads the whole bitmap: for rebuilds and displays, not per frame."""
    total = s.tail_count[side]
    words = s.occupied[side]
    for w in range(WORDS):
        word = words[w]
        while word != _NONE:
            word &= word - _ONE
            total += 1
    return total


@inner
def window_base(centre_tick: int) -> int:
    """Return the first tick of a window around a price."""
    return max(centre_tick - WINDOW // 2, 0)


@allocating
def rebase(s: Any, centre_tick: int) -> None:
    """Move the dense window so that it is centred on a price, carrying every level across its edges. Allocates; about 0.1 ms."""
    base = window_base(centre_tick)
    if base == s.base_tick:
        return
    bids = level_count(s, BID_SIDE)
    levels = bids + level_count(s, ASK_SIDE)
    ticks = np.empty(levels, np.int64)
    lots = np.empty(levels, np.int64)
    top_levels(s, BID_SIDE, bids, ticks, lots)
    top_levels(s, ASK_SIDE, levels - bids, ticks[bids:], lots[bids:])
    clear(s)
    s.base_tick = base
    s.rebases += 1
    # Best first, so that the tail grows at its end.
    for k in range(levels):
        set_level(s, BID_SIDE if k < bids else ASK_SIDE, ticks[k], lots[k])


@inlined
def follow_touch(s: Any) -> None:
    """Re-base the window when the touch has come near its edge, or left it. Call after each applied frame."""
    bid = s.best_bid_tick
    ask = s.best_ask_tick
    if bid < 0 and ask < 0:
        return
    low = bid if bid >= 0 else ask
    high = ask if ask >= 0 else bid
    if low > high:
        low, high = high, low
    start = s.base_tick
    if low - start >= _EDGE and start + WINDOW - high > _EDGE:
        return
    centre = (low + high) >> 1
    if abs(window_base(centre) - start) >= _MOVE_MIN:
        rebase(s, centre)

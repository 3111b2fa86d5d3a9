"""Keep a book's ladder around the market: move it when the market has moved away, changing no price and no priority."""

from typing import Any

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.bits import clear_bit, int64, next_bit, previous_bit, set_bit
from smartmoney.simulation.ladder import LADDER, NIL, append, append_overflow, unlink_overflow

_LAST = int64(LADDER - 1)


@entry
def recentre(b: Any, centre_tick: int) -> None:
    """Move the ladder so that a tick is in its middle; every order keeps its price and its place in its queue."""
    base = max(1, centre_tick - LADDER // 2)
    shift = base - b.base
    if shift == 0:
        return
    b.recentred += 1
    b.base = base
    i = next_bit(b.words, b.summary, NIL) if shift > 0 else previous_bit(b.words, b.summary, _LAST)
    while i >= 0:
        move_level(b, i, i - shift)
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
            unlink_overflow(b, slot)
            append(b, slot)
        else:
            b.over_count[b.order_sides[slot], 1 if tick >= base else 0] += 1
        slot = after


@inner
def move_level(b: Any, i: int, target: int) -> None:
    """Move a whole queue within the ladder, or out of it into the overflow."""
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
        append_overflow(b, slot)
        slot = after


@inner
def keep_centred(b: Any) -> None:
    """Re-centre the ladder once the market has moved a quarter of it away."""
    bid, ask = b.best_bid, b.best_ask
    if bid < 0 and ask < 0:
        return
    reference = ask if bid < 0 else bid if ask < 0 else (bid + ask) // 2
    centre = b.base + LADDER // 2
    if abs(reference - centre) > LADDER // 4 and not (b.base == 1 and reference < centre):
        recentre(b, reference)

"""How a resting order moves up in its queue, as far as the public book and its trades tell. The paper venue's, frame by frame or compiled.

What trades at the level comes off the front of the queue at once, and off what the level showed only when the book says so. What leaves
without trading left from behind as long as it can have ("careful"), or from all of the queue alike ("even").

Invariants: no more is ever ahead than is shown; nobody moves back.
"""

from smartmoney.core.book.typed import entry, inner

_PLAIN_MAX = 1 << 31
"""Two numbers below it have a product that fits."""
_HIGHEST_BIT = 62


@inner
def _share(part: int, shown: int, before: int) -> int:
    """Return `part * shown // before`, whatever the product; `shown` is less than `before`."""
    if part < _PLAIN_MAX and shown < _PLAIN_MAX:
        return part * shown // before
    found = part // before * shown
    part %= before
    whole = rest = 0
    for bit in range(_HIGHEST_BIT, -1, -1):
        whole <<= 1
        rest <<= 1
        if shown >> bit & 1:
            rest += part
        while rest >= before:
            rest -= before
            whole += 1
    return found + whole


@entry
def move_up(ahead: int, before: int, traded: int, lots: int, shown: int, is_even: int) -> tuple[int, int]:
    """Return what is ahead of an order, and what traded at its level and is not taken off it yet, after one frame. All in lots.

    Args:
        ahead: of the order before.
        before: what the level showed.
        traded: there and not taken off what it showed.
        lots: of this frame's trade at the level, by an aggressor that the order waits for; 0: there was none.
        shown: what the level shows now.
        is_even: 1: what leaves without trading leaves from all of the queue alike.
    """
    ahead = max(0, ahead - lots)
    traded += lots
    explained = min(traded, max(0, before - shown))
    left = before - explained
    if is_even != 0 and 0 < shown < left:
        ahead = _share(ahead, shown, left)
    return min(ahead, shown), traded - explained

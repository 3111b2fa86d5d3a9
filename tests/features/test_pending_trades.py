"""Trades that may explain a smaller queue: what is counted by the residue of a price finds no more and no fewer than a look at all of them."""

from collections import deque

import numpy as np

from smartmoney.core.book.typed import entry
from smartmoney.core.features.book_changes import PENDING_MAX, PRICES, expire_pending, take_traded, trade_book_changes
from smartmoney.core.features.horizons import PENDING_NS
from smartmoney.core.features.state import STATE

TRADE, LEAVE, PASS = 0, 1, 2


@entry
def told(states, events, taken):
    """Take in events (what, ns, side, tick, lots); write what was taken for each that leaves."""
    s = states[0]
    for row in range(len(events)):
        what, now_ns, side, tick, lots = events[row]
        expire_pending(s, now_ns)
        if what == TRADE:
            trade_book_changes(s, now_ns, tick, lots, 1 if side == 1 else -1)
        elif what == LEAVE:
            taken[row] = take_traded(s, side, tick, lots)


def expected(events):
    """The same by looking at each of the latest trades."""
    pending, taken = deque(maxlen=PENDING_MAX), []
    for what, now_ns, side, tick, lots in events:
        pending = deque((one for one in pending if now_ns - one[0] <= PENDING_NS), maxlen=PENDING_MAX)
        left = lots
        if what == TRADE:
            pending.append([now_ns, side, tick, lots])
        for one in pending if what == LEAVE else ():
            if one[1:3] == [side, tick]:
                part = min(one[3], left)
                one[3] -= part
                left -= part
        taken.append(lots - left if what == LEAVE else 0)
    return taken


def test_what_was_traded_is_found_by_price_and_used_up_once():
    random = np.random.default_rng(5)
    # Prices half the residues apart share one, and those of the two sides stand beside each other.
    ticks = 600_000 + np.array([-1, 0, 1, PRICES // 2 - 1, PRICES // 2, PRICES // 2 + 1])
    events, now_ns = [], 1
    for _ in range(20_000):
        now_ns += int(random.choice([0, 10**6, PENDING_NS // 40, PENDING_NS // 2], p=[0.9, 0.06, 0.035, 0.005]))
        what = int(random.choice([TRADE, LEAVE, PASS], p=[0.75, 0.2, 0.05]))
        events.append((what, now_ns, int(random.integers(2)), int(random.choice(ticks)), int(random.integers(1, 30))))
    states, taken = np.zeros(1, STATE), np.zeros(len(events), np.int64)
    told(states, np.array(events), taken)
    assert taken.tolist() == expected(events)
    assert np.count_nonzero(taken) > 1_000
    told(states, np.array([(PASS, now_ns + PENDING_NS + 1, 0, 0, 0)]), taken)
    assert states["f_pending_count"].item() == states["f_pending_near"].any() == 0

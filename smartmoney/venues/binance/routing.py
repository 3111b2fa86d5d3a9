"""Whose a scanned frame is, and when it happened on the venue's clock: read from the scratch of record 0, nothing is changed."""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714

from typing import Any

import numpy as np

from smartmoney.core.book.state import ROUTES
from smartmoney.core.book.typed import entry, inner, int64
from smartmoney.venues.binance.event_types import EVENT_AGGREGATE, EVENT_DEPTH, EVENT_TRADE
from smartmoney.venues.binance.scan import (
    SEEN_ENVELOPE,
    SEEN_EVENT,
    SEEN_EVENT_TIME,
    SEEN_PARTIAL,
    SEEN_SNAPSHOT_ID,
    SEEN_SYMBOL,
    SEEN_TRANSACTION_TIME,
)

_NONE = int64(0)


@inner
def route(states: Any, symbol: int, hint: int) -> Any:
    """Return the index of the record that follows a symbol, -1 if none does. A hint that fits is taken."""
    if 0 <= hint < len(states) and states[hint].symbol_hash == symbol:
        return hint
    s0 = states[0]
    slot = np.int64(symbol & np.uint64(ROUTES - 1))
    for _ in range(ROUTES):
        index = s0.route_index[slot]
        if index < 0 or index >= len(states):
            return -1
        if s0.route_hash[slot] == symbol:
            return index
        slot = (slot + 1) & (ROUTES - 1)
    return -1


@inner
def stamp_ns(stamp: int) -> Any:
    """Return a stamp of milli- or microseconds in ns, -1 if it is out of range."""
    if 0 < stamp < 9_000_000_000_000:
        return stamp * 1_000_000
    if 100_000_000_000_000 <= stamp < 9_000_000_000_000_000:
        return stamp * 1_000
    return -1


@inner
def event_time_ns(s0: Any) -> Any:
    """Return the frame's exchange time in ns (`T`, else `E`), 0 if it has none, -1 if it is out of range. Milli- or microseconds."""
    if s0.scan_seen & SEEN_TRANSACTION_TIME != 0:
        return stamp_ns(s0.scan_transaction_time)
    if s0.scan_seen & SEEN_EVENT_TIME != 0:
        return stamp_ns(s0.scan_event_time)
    return 0


@entry
def scanned_event_ns(states: Any, instrument_hint: int) -> Any:
    """Return the exchange time (ns) of the frame in record 0's scratch, 0 unless it is depth, a trade or a snapshot of someone followed."""
    s0 = states[0]
    seen = s0.scan_seen
    if seen & SEEN_EVENT != 0:
        event = s0.scan_event
        if event != EVENT_DEPTH and event != EVENT_TRADE and event != EVENT_AGGREGATE:
            return 0
        if seen & SEEN_PARTIAL != 0 or seen & SEEN_SYMBOL == 0 or route(states, s0.scan_symbol, instrument_hint) < 0:
            return 0
        return max(event_time_ns(s0), _NONE)
    if seen & SEEN_SNAPSHOT_ID != 0 and seen & SEEN_ENVELOPE == 0 and 0 <= instrument_hint < len(states):
        return max(event_time_ns(s0), _NONE)
    return 0

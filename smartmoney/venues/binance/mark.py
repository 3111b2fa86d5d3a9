"""What a perpetual's mark price stream says of funding: the price and the rate it is paid at, and when. Kept for those who hold something.

Source: Binance USD-M and COIN-M "Mark Price Stream" (2026-07): `p` mark price, `r` rate of funding, `T` next time of payment, `E` event
time; every three seconds or every second. A frame may still name a time that its own clock has just passed: its rate is the final one.

Invariants: a frame older than the one before it changes nothing (two connections overlap at times), nor does one whose clock is far beyond
the time that it names; what is settled is what was said last of a time before the venue's clock had passed it and another was named.
"""

from typing import Any

from smartmoney.core.book.codes import IGNORED, INDEX_SHIFT, NO_INSTRUMENT
from smartmoney.core.book.typed import inner
from smartmoney.venues.binance.routing import stamp_ns
from smartmoney.venues.binance.scan import SEEN_EVENT_TIME, SEEN_RATE, SEEN_TRANSACTION_TIME

_LATE_NS = 60_000_000_000
"""A time that is over may still be named, but not for long: a frame that does has a wrong clock, and would shut out all after it."""
_EARLY_NS = 1_000_000_000
"""The venue's machines have clocks of their own: the next time may be named so long before the one before it is over."""
_FIELDS = SEEN_RATE | SEEN_EVENT_TIME | SEEN_TRANSACTION_TIME


@inner
def note_mark(s0: Any, s: Any) -> int:
    """Note the scanned mark price of `s`. It says nothing of how the book's feed is, so it is ignored in nobody's name."""
    s.frames += 1
    s.ignored += 1
    if s0.scan_seen & _FIELDS == _FIELDS:
        _note(s0, s, stamp_ns(s0.scan_event_time), stamp_ns(s0.scan_transaction_time))
    return IGNORED | (NO_INSTRUMENT << INDEX_SHIFT)


@inner
def _note(s0: Any, s: Any, event_ns: int, next_ns: int) -> None:
    if event_ns <= 0 or next_ns <= 0 or next_ns < event_ns - _LATE_NS or event_ns < s.mark_event_ns:
        return
    due_ns = s.funding_next_ns
    if next_ns != due_ns:
        if 0 < due_ns <= event_ns + _EARLY_NS:
            s.settled_ns = due_ns
            s.settled_mark = s.mark
            s.settled_mark_decimals = s.mark_decimals
            s.settled_rate = s.funding_rate
            s.settled_rate_decimals = s.funding_rate_decimals
        s.funding_next_ns = next_ns
        s.funding_since_ns = event_ns
        s0.funding_turns += 1
    s.mark_event_ns = event_ns
    s.mark = s0.scan_mark
    s.mark_decimals = s0.scan_mark_decimals
    s.funding_rate = s0.scan_rate
    s.funding_rate_decimals = s0.scan_rate_decimals

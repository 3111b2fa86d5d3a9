"""What frames say of how far a feed can be trusted: how late they come, and whether trades happen where the book says.

Invariants: lateness is beyond the least that there was within the last five to ten minutes, so a clock that is wrong by a constant neither
makes nor hides it; trades are compared with the touches before and after them, so that neither stream has to be the first.
"""

from typing import Any

from smartmoney.core.book.typed import inner

_AGE_BUCKET_NS = 300 * 1_000_000_000
_OUTSIDE_TICKS = 2
_OUTSIDE_WEIGHT = 1.0 / 64.0


@inner
def note_clocks(s: Any, event_ns: int, wall_ns: int) -> None:
    """Note both clocks of a frame and keep the rolling minimum of their difference (two buckets of five minutes)."""
    s.last_event_ns = max(s.last_event_ns, event_ns)
    if wall_ns <= 0:
        return
    s.last_wall_ns = wall_ns
    if event_ns <= 0:
        return
    age = wall_ns - event_ns
    if s.age_bucket_start_ns == 0:
        s.age_bucket_start_ns = wall_ns
        s.age_bucket_min_ns = age
        s.age_previous_min_ns = age
    elif wall_ns - s.age_bucket_start_ns >= _AGE_BUCKET_NS:
        s.age_previous_min_ns = s.age_bucket_min_ns
        s.age_bucket_min_ns = age
        s.age_bucket_start_ns = wall_ns
    elif age < s.age_bucket_min_ns:
        s.age_bucket_min_ns = age
    s.age_offset_ns = min(s.age_bucket_min_ns, s.age_previous_min_ns)
    s.lag_ns = age - s.age_offset_ns


@inner
def forget_touches(s: Any) -> None:
    """Start comparing trades with the book afresh: what is known of the touch is no more."""
    s.trade_low = -1
    s.trade_high = -1
    s.judged_low = -1
    s.judged_high = -1
    for k in range(len(s.touch_bids)):
        s.touch_bids[k] = -1
        s.touch_asks[k] = -1


@inner
def judge_trades(s: Any) -> None:
    """Compare the trades of the interval before last with the touches around it, then move on by one depth frame."""
    bid = s.best_bid_tick
    ask = s.best_ask_tick
    low_bid = min(s.touch_bids[0], s.touch_bids[1])
    low_ask = min(s.touch_asks[0], s.touch_asks[1])
    high_ask = max(s.touch_asks[0], s.touch_asks[1])
    if bid >= 0 and ask >= 0 and low_bid >= 0 and low_ask >= 0 and s.judged_low >= 0:
        low = min(bid, low_bid) - _OUTSIDE_TICKS
        high = max(ask, high_ask) + _OUTSIDE_TICKS
        outside = s.judged_low < low or s.judged_high > high
        s.trade_outside += _OUTSIDE_WEIGHT * ((1.0 if outside else 0.0) - s.trade_outside)
    s.judged_low = s.trade_low
    s.judged_high = s.trade_high
    s.trade_low = -1
    s.trade_high = -1
    s.touch_bids[1] = s.touch_bids[0]
    s.touch_asks[1] = s.touch_asks[0]
    s.touch_bids[0] = bid
    s.touch_asks[0] = ask

"""Level changes near the touch, split into what was added, what was cancelled and what was traded.

A smaller queue is first explained by what was lately traded at that price and side; the rest was cancelled. The pending trades are a ring,
`f_pending_head` the oldest of `f_pending_count`; a dropped book forgets them.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add, decay, is_warm_book
from smartmoney.core.features.horizons import COVER_BOOK, H10, H120, HALF_LIVES_S, HORIZONS, PENDING_NS
from smartmoney.core.features.spec import EVEN, ODD, OWN, POSITIVE, SHARE, SIGNED_SHARE, Bounds, FeatureSpec, after_frames, swaps

GROUP = "book_changes"
PENDING_MAX = 256
PRICES = 1024
BUCKETS_BPS = (2, 5, 10)
"""Upper ends of the distance buckets; the first begins at the mid."""
BUCKETS = len(BUCKETS_BPS)

_ADD = int64(0)  # + side * BUCKETS + bucket
_CANCEL = int64(2 * BUCKETS)
_TRADED = int64(4 * BUCKETS)
_EVENTS = int64(4 * BUCKETS + 1)
_SUMS = 4 * BUCKETS + 2
_LN2 = math.log(2.0)
_PER_S_10 = _LN2 / HALF_LIVES_S[H10]

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_change_sums", "f8", (_SUMS, HORIZONS)),
    ("f_frame_changes", "f8", (_SUMS,)),  # of the frame in hand; 0 between frames
    ("f_added_kept", "f8", (2, HORIZONS)),  # added lots per side; survive a drop
    ("f_pending_head", "i8"),
    ("f_pending_count", "i8"),
    ("f_pending_near", "i8", (PRICES,)),  # trades with lots left per residue of their prices, to tell most prices that have none at once
    ("f_pending_side", "i8", (PENDING_MAX,)),
    ("f_pending_tick", "i8", (PENDING_MAX,)),
    ("f_pending_lots", "i8", (PENDING_MAX,)),
    ("f_pending_ns", "i8", (PENDING_MAX,)),
]

_IMBALANCE_HORIZONS = (H10, H120)


def _feature(name: str, h: int, unit: str, parity: str, bounds: Bounds, text: str, scale: int | None = 0) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit=unit,
        parity=parity,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        bounds=bounds,
        resets=True,
        source=OWN,
        scale=scale,
        description=text.format(h=f"{seconds:g}"),
    )


_RATIO = (
    "Level changes within 10 bps of the mid before the frame, both sides: more lots are an add; fewer are first what was traded at "
    "that price and side in the 300 ms before the frame and not yet used up (the latest 256 trades), the rest a cancel. "
    "Cancelled lots / (added lots + 1), both decayed by 2^(-t/{h})."
)


def _of_bucket(side: str, other: str, b: int) -> FeatureSpec:
    low, high = (0, *BUCKETS_BPS)[b], BUCKETS_BPS[b]
    where = f"at most {high} bps from" if b == 0 else f"more than {low} and at most {high} bps from"
    text = f"As cancel_add_ratio_{{h}}s, of {side}s {where} the mid before the frame alone."
    name = "cancel_add_ratio_{}_{}bps"
    return _feature(name.format(side, high), H10, "ratio", swaps(name.format(other, high) + "_10s"), POSITIVE, text, None)


_ADDS = "(Lots added to bids - to asks) / lots added, as in cancel_add_ratio_10s, decayed by 2^(-t/{h}); 0 when none."
_CANCELS = "(Lots cancelled of asks - of bids) / lots cancelled, as in cancel_add_ratio_10s, decayed by 2^(-t/{h}); 0 when none."
_TRADES = "Of the lots that left within 10 bps, the share that was traded, as in cancel_add_ratio_{h}s; 0 when none left."
_RATE = "Level changes within 10 bps of the mid before the frame, per second: sum of 2^(-t/{h}) * ln 2 / {h} / cover."

FEATURES: tuple[FeatureSpec, ...] = (
    _feature("cancel_add_ratio", H10, "ratio", EVEN, POSITIVE, _RATIO, None),
    *(_of_bucket(side, other, b) for b in range(BUCKETS) for side, other in (("bid", "ask"), ("ask", "bid"))),
    _feature("traded_share", H10, "ratio", EVEN, SHARE, _TRADES),
    _feature("book_event_rate", H10, "1/s", EVEN, POSITIVE, _RATE),
    *(_feature("add_imbalance", h, "ratio", ODD, SIGNED_SHARE, _ADDS) for h in _IMBALANCE_HORIZONS),
    *(_feature("cancel_imbalance", h, "ratio", ODD, SIGNED_SHARE, _CANCELS) for h in _IMBALANCE_HORIZONS),
)
COUNT = len(FEATURES)
_BUCKETS_AT = 1
_TRADED_AT = _BUCKETS_AT + 2 * BUCKETS
_RATE_AT = _TRADED_AT + 1
_ADDS_AT = _RATE_AT + 1
_CANCELS_AT = _ADDS_AT + len(_IMBALANCE_HORIZONS)


@inlined
def step_book_changes(s: Any) -> None:
    """Decay."""
    decay(s.f_change_sums, s.f_keep)
    decay(s.f_added_kept, s.f_keep)


@inner
def bucket_of(distance_bps: float) -> int:
    """Return the distance bucket of a change within 10 bps."""
    if distance_bps <= 2.0:
        return 0
    return 1 if distance_bps <= 5.0 else 2


@inner
def _residue(side: int, tick: int) -> Any:
    return (2 * tick + side) & (PRICES - 1)


@inner
def _drop_oldest(s: Any) -> None:
    at = s.f_pending_head
    if s.f_pending_lots[at] > 0:
        s.f_pending_near[_residue(s.f_pending_side[at], s.f_pending_tick[at])] -= 1
    s.f_pending_head = at + 1 if at + 1 < PENDING_MAX else 0
    s.f_pending_count -= 1


@inner
def _drop_pending(s: Any, now_ns: int) -> None:
    while s.f_pending_count > 0 and now_ns - s.f_pending_ns[s.f_pending_head] > PENDING_NS:
        _drop_oldest(s)


@inlined
def expire_pending(s: Any, now_ns: int) -> None:
    """Forget trades too old to explain a smaller queue."""
    if s.f_pending_count > 0 and now_ns - s.f_pending_ns[s.f_pending_head] > PENDING_NS:
        _drop_pending(s, now_ns)


@inner
def take_traded(s: Any, side: int, tick: int, lots: int) -> int:
    """Return how many of `lots` that left a price were traded there lately, and use those trades up. At most `PENDING_MAX` steps."""
    taken = 0
    residue = _residue(side, tick)
    # Of the trades with lots left that may be of this price: none after them adds anything.
    left = s.f_pending_near[residue]
    at = s.f_pending_head
    for _ in range(s.f_pending_count if left > 0 else 0):
        if s.f_pending_tick[at] == tick and s.f_pending_side[at] == side and s.f_pending_lots[at] > 0:
            part = min(s.f_pending_lots[at], lots - taken)
            s.f_pending_lots[at] -= part
            taken += part
            left -= 1
            if s.f_pending_lots[at] == 0:
                s.f_pending_near[residue] -= 1
            if taken == lots or left == 0:
                break
        at = at + 1 if at + 1 < PENDING_MAX else 0
    return taken


@inner
def level_book_changes(s: Any, side: int, bucket: int, change: int, traded: int) -> None:
    """Take in one level's change near the mid, of which `traded` lots were traded."""
    s.f_frame_changes[_EVENTS] += 1.0
    if change > 0:
        s.f_frame_changes[_ADD + side * BUCKETS + bucket] += change
        return
    s.f_frame_changes[_CANCEL + side * BUCKETS + bucket] += -change - traded
    s.f_frame_changes[_TRADED] += traded


@inner
def frame_book_changes(s: Any) -> None:
    """Move the changes of the frame into the decayed sums, which stand at its time."""
    changes = s.f_frame_changes
    for side in range(2):
        added = 0.0
        for b in range(BUCKETS):
            added += changes[_ADD + side * BUCKETS + b]
        add(s.f_added_kept, side, added)
    for q in range(_SUMS):
        add(s.f_change_sums, q, changes[q])
        changes[q] = 0.0


@inner
def trade_book_changes(s: Any, now_ns: int, tick: int, lots: int, sign: int) -> None:
    """Remember a public trade: it may explain a smaller queue in the next frames."""
    if s.f_pending_count == PENDING_MAX:
        _drop_oldest(s)
    at = (s.f_pending_head + s.f_pending_count) % PENDING_MAX
    side = 1 if sign > 0 else 0
    if lots > 0:
        s.f_pending_near[_residue(side, tick)] += 1
    s.f_pending_side[at] = side
    s.f_pending_tick[at] = tick
    s.f_pending_lots[at] = lots
    s.f_pending_ns[at] = now_ns
    s.f_pending_count += 1


@inlined
def reset_book_changes(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_change_sums[:] = 0.0
    s.f_pending_count = 0
    s.f_pending_near[:] = 0


@inner
def _of_side(s: Any, what: int, side: int, h: int) -> Any:
    """Return added (`_ADD`) or cancelled (`_CANCEL`) lots of one side."""
    total = 0.0
    for b in range(BUCKETS):
        total += s.f_change_sums[what + side * BUCKETS + b, h]
    return total


@inner
def cancel_add_ratio(s: Any, keep: float) -> Any:
    """Return lots cancelled per lot added near the mid, with the sums decayed by a further factor; one lot keeps it finite."""
    cancelled = (_of_side(s, _CANCEL, 0, H10) + _of_side(s, _CANCEL, 1, H10)) * keep
    added = (_of_side(s, _ADD, 0, H10) + _of_side(s, _ADD, 1, H10)) * keep
    return cancelled / (added + 1.0)


@inner
def _skew(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b > 0.0 else 0.0


@inner
def _read_quick(s: Any, out: Any) -> None:
    sums = s.f_change_sums
    keep = s.f_keep[H10]
    out[0] = cancel_add_ratio(s, keep)
    for b in range(BUCKETS):
        for side in range(2):
            q = side * BUCKETS + b
            out[_BUCKETS_AT + 2 * b + side] = sums[_CANCEL + q, H10] * keep / (sums[_ADD + q, H10] * keep + 1.0)
    left = sums[_TRADED, H10] + (_of_side(s, _CANCEL, 0, H10) + _of_side(s, _CANCEL, 1, H10))
    out[_TRADED_AT] = sums[_TRADED, H10] / left if left > 0.0 else 0.0
    out[_RATE_AT] = sums[_EVENTS, H10] * keep / s.f_known[COVER_BOOK, H10] * _PER_S_10


@inner
def read_book_changes(s: Any, out: Any) -> None:
    """Write the group's features."""
    if is_warm_book(s, H10):
        _read_quick(s, out)
    for at, h in enumerate(_IMBALANCE_HORIZONS):
        if is_warm_book(s, h):
            out[_ADDS_AT + at] = _skew(_of_side(s, _ADD, 0, h), _of_side(s, _ADD, 1, h))
            out[_CANCELS_AT + at] = _skew(_of_side(s, _CANCEL, 1, h), _of_side(s, _CANCEL, 0, h))

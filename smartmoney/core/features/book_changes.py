"""Level changes near the touch, split into what was added, what was cancelled and what was traded.

A smaller queue is first explained by what was lately traded at that price and side; the rest was cancelled. The pending trades are a ring,
`f_pending_head` the oldest of `f_pending_count`; a dropped book forgets them.
"""

from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add, decay, is_warm_book
from smartmoney.core.features.horizons import H10, HORIZONS, PENDING_NS
from smartmoney.core.features.spec import EVEN, OWN, POSITIVE, FeatureSpec, after_frames

GROUP = "book_changes"
PENDING_MAX = 256

_ADD = int64(0)  # + side
_CANCEL = int64(2)
_SUMS = 4

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_change_sums", "f8", (_SUMS, HORIZONS)),
    ("f_added_kept", "f8", (2, HORIZONS)),  # added lots per side; survive a drop
    ("f_pending_head", "i8"),
    ("f_pending_count", "i8"),
    ("f_pending_side", "i8", (PENDING_MAX,)),
    ("f_pending_tick", "i8", (PENDING_MAX,)),
    ("f_pending_lots", "i8", (PENDING_MAX,)),
    ("f_pending_ns", "i8", (PENDING_MAX,)),
]

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="cancel_add_ratio_10s",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=10.0,
        warm_up=after_frames(10.0),
        bounds=POSITIVE,
        resets=True,
        source=OWN,
        scale=None,
        description=(
            "Level changes within 10 bps of the mid before the frame, both sides: more lots are an add; fewer are first what was traded at "
            "that price and side in the 300 ms before the frame and not yet used up (the latest 256 trades), the rest a cancel. "
            "Cancelled lots / (added lots + 1), both decayed by 2^(-t/10)."
        ),
    ),
)
COUNT = len(FEATURES)
_RATIO = 0


@inlined
def step_book_changes(s: Any) -> None:
    """Decay."""
    decay(s.f_change_sums, s.f_keep)
    decay(s.f_added_kept, s.f_keep)


@inlined
def expire_pending(s: Any, now_ns: int) -> None:
    """Forget trades too old to explain a smaller queue."""
    while s.f_pending_count > 0 and now_ns - s.f_pending_ns[s.f_pending_head] > PENDING_NS:
        s.f_pending_head = s.f_pending_head + 1 if s.f_pending_head + 1 < PENDING_MAX else 0
        s.f_pending_count -= 1


@inner
def take_traded(s: Any, side: int, tick: int, lots: int) -> int:
    """Return how many of `lots` that left a price were traded there lately, and use those trades up. At most `PENDING_MAX` steps."""
    taken = 0
    at = s.f_pending_head
    for _ in range(s.f_pending_count):
        if s.f_pending_tick[at] == tick and s.f_pending_side[at] == side:
            part = min(s.f_pending_lots[at], lots - taken)
            s.f_pending_lots[at] -= part
            taken += part
            if taken == lots:
                break
        at = at + 1 if at + 1 < PENDING_MAX else 0
    return taken


@inlined
def level_book_changes(s: Any, side: int, change: int, traded: int, distance_bps: float) -> None:  # noqa: ARG001
    """Take in one level's change near the mid, of which `traded` lots were traded."""
    if change > 0:
        add(s.f_change_sums, _ADD + side, float(change))
        add(s.f_added_kept, side, float(change))
    else:
        add(s.f_change_sums, _CANCEL + side, float(-change - traded))


@inner
def trade_book_changes(s: Any, now_ns: int, tick: int, lots: int, sign: int) -> None:
    """Remember a public trade: it may explain a smaller queue in the next frames."""
    if s.f_pending_count == PENDING_MAX:
        s.f_pending_head = s.f_pending_head + 1 if s.f_pending_head + 1 < PENDING_MAX else 0
        s.f_pending_count -= 1
    at = (s.f_pending_head + s.f_pending_count) % PENDING_MAX
    s.f_pending_side[at] = 1 if sign > 0 else 0
    s.f_pending_tick[at] = tick
    s.f_pending_lots[at] = lots
    s.f_pending_ns[at] = now_ns
    s.f_pending_count += 1


@inlined
def reset_book_changes(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_change_sums[:] = 0.0
    s.f_pending_count = 0


@inner
def cancel_add_ratio(s: Any, keep: float) -> Any:
    """Return lots cancelled per lot added near the mid, with the sums decayed by a further factor; one lot keeps it finite."""
    sums = s.f_change_sums
    cancelled = (sums[_CANCEL, H10] + sums[_CANCEL + 1, H10]) * keep
    added = (sums[_ADD, H10] + sums[_ADD + 1, H10]) * keep
    return cancelled / (added + 1.0)


@inner
def read_book_changes(s: Any, out: Any) -> None:
    """Write the group's features."""
    if is_warm_book(s, H10):
        out[_RATIO] = cancel_add_ratio(s, s.f_keep[H10])

"""Spoof-like walls: large quotes behind the best price that go away untraded.

A small table follows quotes much larger than what usually stands at their distance. All of it but the usual sizes is derived from the
book and goes when the book is dropped.
"""

from typing import Any

from smartmoney.core.book.kernel import level_lots
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner, int64
from smartmoney.core.features.basis import add, decay, is_warm_book
from smartmoney.core.features.book_changes import BUCKETS
from smartmoney.core.features.horizons import COVER_BOOK, H10, H120, HALF_LIVES_S, HORIZONS, SECOND_NS, WARM_EVENTS
from smartmoney.core.features.order_flow import depth_before
from smartmoney.core.features.spec import ANY, AT_ONCE, ODD, SIGNED_SHARE, FeatureSpec, after_frames

GROUP = "walls"
WALLS_MAX = 32
PRICES = 1024
TIMES_USUAL = 5.0
LIFE_MAX_NS = 2 * SECOND_NS
TRADED_MAX = 0.05
MEDIAN_STEP = 1.02
_ALL = int64(0)
_TRADED = int64(1)
_SUMS = 2

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_wall_sums", "f8", (_SUMS, HORIZONS)),
    ("f_wall_usual", "f8", (BUCKETS,)),  # running median of lots after an addition
    ("f_wall_adds", "i8", (BUCKETS,)),
    ("f_wall_trades", "i8", (2,)),  # public trades so far by the aggressor's side: buys, sells
    ("f_wall_count", "i8"),
    ("f_wall_near", "i8", (PRICES,)),  # open walls per residue of their prices, to tell most prices that have none at once
    ("f_wall_side", "i8", (WALLS_MAX,)),
    ("f_wall_tick", "i8", (WALLS_MAX,)),
    ("f_wall_ns", "i8", (WALLS_MAX,)),
    ("f_wall_peak", "i8", (WALLS_MAX,)),
    ("f_wall_traded", "i8", (WALLS_MAX,)),
    ("f_wall_before", "i8", (WALLS_MAX,)),  # trades of the side that the wall drives, at its opening
]

_HORIZONS = (H10, H120)
_SPOOF = (
    "Sum of side * q / D * 2^(-t/{h}) / cover over walls that vanished like a spoof: + bids, - asks; q their peak lots, D the mean depth "
    "of ofi_l1_10s as of the event before. A wall opens when lots added at a price within 10 bps of the mid, other than its side's best "
    "of the frame before, leave it with more than 5 m, m the usual lots per distance bucket of cancel_add_ratio, both sides: the lots "
    "after the first addition, then * 1.02 or / 1.02 for each addition that leaves more or fewer (a running median; the wall is judged "
    "before it counts), from the 51st on. It closes when a change within 10 bps leaves less than half of its peak: like a spoof when it "
    "lived under 2 s and under 5 % of its peak was traded in changes at its price. 32 walls at most, the one that opened first goes."
)
_DRIVEN = (
    "As spoof_{h}s, only walls during whose life something was traded in the direction that they drive: a public trade with a buyer as the "
    "aggressor for a bid, a seller for an ask."
)


def _spoof(name: str, h: int, text: str) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit="mean depths",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        bounds=ANY,
        resets=True,
        source="Fabre, Challet 2025 (size and posting distance); own",
        description=text.format(h=f"{seconds:g}"),
    )


FEATURES: tuple[FeatureSpec, ...] = (
    *(_spoof("spoof", h, _SPOOF) for h in _HORIZONS),
    *(_spoof("spoof_traded", h, _DRIVEN) for h in _HORIZONS),
    FeatureSpec(
        name="wall_imbalance",
        group=GROUP,
        unit="ratio",
        parity=ODD,
        warm_up=AT_ONCE,
        bounds=SIGNED_SHARE,
        resets=True,
        source="own",
        description=(
            "(B - A) / (B + A), B and A the lots that now stand at the open walls of spoof_10s among bids and asks, those below half of "
            "their peak left out; 0 when there are none."
        ),
    ),
)
COUNT = len(FEATURES)
_TRADED_AT = len(_HORIZONS)
_IMBALANCE = COUNT - 1


@inlined
def step_walls(s: Any) -> None:
    """Decay."""
    decay(s.f_wall_sums, s.f_keep)


@inner
def _residue(side: int, tick: int) -> Any:
    return (2 * tick + side) & (PRICES - 1)


@inner
def _remove(s: Any, k: int) -> None:
    """Take a wall off the table, which stays in the order of opening."""
    s.f_wall_near[_residue(s.f_wall_side[k], s.f_wall_tick[k])] -= 1
    last = s.f_wall_count - 1
    for table in (s.f_wall_side, s.f_wall_tick, s.f_wall_ns, s.f_wall_peak, s.f_wall_traded, s.f_wall_before):
        for other in range(k, last):
            table[other] = table[other + 1]
    s.f_wall_count = last


@inner
def _open(s: Any, side: int, tick: int, lots: int) -> None:
    if s.f_wall_count == WALLS_MAX:
        _remove(s, 0)
    k = s.f_wall_count
    s.f_wall_count += 1
    s.f_wall_side[k] = side
    s.f_wall_tick[k] = tick
    s.f_wall_ns[k] = s.f_now_ns
    s.f_wall_peak[k] = lots
    s.f_wall_traded[k] = 0
    s.f_wall_before[k] = s.f_wall_trades[side]
    s.f_wall_near[_residue(side, tick)] += 1


@inner
def _close(s: Any, k: int) -> None:
    """Judge a wall that is gone and take it off the table."""
    side = s.f_wall_side[k]
    peak = s.f_wall_peak[k]
    depth = depth_before(s)
    if s.f_now_ns - s.f_wall_ns[k] < LIFE_MAX_NS and s.f_wall_traded[k] < TRADED_MAX * peak and depth > 0.0:
        size = peak / depth if side == 0 else -peak / depth
        add(s.f_wall_sums, _ALL, size)
        if s.f_wall_trades[side] > s.f_wall_before[k]:
            add(s.f_wall_sums, _TRADED, size)
    _remove(s, k)


@inner
def _find(s: Any, side: int, tick: int) -> int:
    """Return the place of the wall at a price, -1 if there is none."""
    if s.f_wall_near[_residue(side, tick)] == 0:
        return -1
    for k in range(s.f_wall_count):
        if s.f_wall_tick[k] == tick and s.f_wall_side[k] == side:
            return k
    return -1


@inner
def level_walls(s: Any, side: int, tick: int, old_lots: int, new_lots: int, traded: int, bucket: int) -> None:
    """Take in one level's change near the mid, of which `traded` lots were traded."""
    found = _find(s, side, tick)
    if found >= 0:
        s.f_wall_traded[found] += traded
        s.f_wall_peak[found] = max(s.f_wall_peak[found], new_lots)
        if 2 * new_lots < s.f_wall_peak[found]:
            _close(s, found)
    if new_lots <= old_lots:
        return
    usual = s.f_wall_usual[bucket]
    if found < 0 and s.f_wall_adds[bucket] >= WARM_EVENTS and new_lots > TIMES_USUAL * usual:
        best = s.f_bid_tick if side == 0 else s.f_ask_tick
        if tick != best:
            _open(s, side, tick, new_lots)
    size = float(new_lots)
    if s.f_wall_adds[bucket] == 0:
        s.f_wall_usual[bucket] = size
    elif size > usual:
        s.f_wall_usual[bucket] = usual * MEDIAN_STEP
    elif size < usual:
        s.f_wall_usual[bucket] = usual / MEDIAN_STEP
    s.f_wall_adds[bucket] += 1


@inlined
def trade_walls(s: Any, sign: int) -> None:
    """Take in one public trade."""
    s.f_wall_trades[0 if sign > 0 else 1] += 1


@inlined
def reset_walls(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_wall_sums[:] = 0.0
    s.f_wall_count = 0
    s.f_wall_near[:] = 0


@inner
def _standing(s: Any, side: int) -> Any:
    total = 0
    for k in range(s.f_wall_count):
        if s.f_wall_side[k] == side:
            lots = level_lots(s, side, s.f_wall_tick[k])
            if 2 * lots >= s.f_wall_peak[k]:
                total += lots
    return float(total)


@inner
def read_walls(s: Any, out: Any) -> None:
    """Write the group's features."""
    for at, h in enumerate(_HORIZONS):
        if is_warm_book(s, h):
            factor = s.f_keep[h] / s.f_known[COVER_BOOK, h]
            out[at] = s.f_wall_sums[_ALL, h] * factor
            out[_TRADED_AT + at] = s.f_wall_sums[_TRADED, h] * factor
    if s.f_valid != 0:
        bid = _standing(s, BID_SIDE)
        ask = _standing(s, ASK_SIDE)
        out[_IMBALANCE] = (bid - ask) / (bid + ask) if bid + ask > 0.0 else 0.0

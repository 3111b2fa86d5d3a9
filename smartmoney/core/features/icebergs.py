"""Icebergs and refills: queues that come back after they were traded.

A small table follows the prices that were lately traded at. A trade that the latest frame cannot hold yet (its time is later) waits for
the next frame: what stands there then, beyond what the trade left, came in after it and is a refill, up to what was traded. All of it is
derived from the book and goes when the book is dropped.
"""

from typing import Any

from smartmoney.core.book.kernel import level_lots
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner, int64
from smartmoney.core.features.basis import add, decay, is_warm_book
from smartmoney.core.features.horizons import COVER_BOOK, H120, HORIZONS, PENDING_NS
from smartmoney.core.features.refills import outcome_refills
from smartmoney.core.features.spec import ANY, EVEN, ODD, POSITIVE, SHARE, SIGNED_SHARE, Bounds, FeatureSpec, after_frames, swaps

GROUP = "icebergs"
PRICES_MAX = 32
AWAY_TICKS = 10
CYCLES_MIN = 3
SCORE_MIN = 3
_REFILLED = int64(0)  # + side
_MATCHED = int64(2)  # + side
_ABSORBED = int64(4)
_SUMS = 5

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_ice_sums", "f8", (_SUMS, HORIZONS)),
    ("f_frame_ns", "i8"),  # time of the latest frame with a valid top; 0 none since the drop
    ("f_ice_count", "i8"),
    ("f_ice_side", "i8", (PRICES_MAX,)),
    ("f_ice_tick", "i8", (PRICES_MAX,)),
    ("f_ice_executed", "i8", (PRICES_MAX,)),
    ("f_ice_cycles", "i8", (PRICES_MAX,)),
    ("f_ice_peak", "i8", (PRICES_MAX,)),
    ("f_ice_shown", "i8", (PRICES_MAX,)),  # as of the latest frame
    ("f_ice_waiting", "i8", (PRICES_MAX,)),  # traded since that frame
    ("f_ice_waiting_ns", "i8", (PRICES_MAX,)),  # time of the first such trade
    ("f_ice_traded_ns", "i8", (PRICES_MAX,)),
]


def _feature(name: str, unit: str, parity: str, bounds: Bounds, scale: int, half_life_s: float, description: str) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        group=GROUP,
        unit=unit,
        parity=parity,
        half_life_s=half_life_s,
        warm_up=after_frames(120.0),
        bounds=bounds,
        resets=True,
        source="Zotikov, Antonov 2021 (refills after trades as synthetic icebergs); own",
        scale=scale,
        description=description,
    )


_ICEBERG = (
    "Largest executed / peak lots over the flagged prices among {side}s, 0 without one. A price enters a table of 32 (the one traded "
    "longest ago goes, of several the one that entered first) at a trade against it, and leaves it at a frame in which it lies more "
    "than 10 ticks from its side's best. "
    "executed: lots traded there since; peak: most lots shown there, at entry and at later frames; a cycle: a frame with a refill "
    "(refill_ratio_120s). Flagged: executed > 3 peak, peak > 0, at least 3 cycles."
)

FEATURES: tuple[FeatureSpec, ...] = (
    _feature(
        "refill_imbalance_120s",
        "ratio",
        ODD,
        SIGNED_SHARE,
        0,
        120.0,
        "(Rb - Ra) / (Rb + Ra), R the refilled lots of refill_ratio_120s per side, bids and asks; 0 when none.",
    ),
    _feature(
        "refill_ratio_120s",
        "ratio",
        EVEN,
        SHARE,
        0,
        120.0,
        "Refilled / traded lots, both sides, decayed by 2^(-t/120). Trades at a price, later than the latest frame with a valid top, wait "
        "for the next one; there v = lots traded, refill = min(v, max(0, q - q' + v)), q and q' the lots at that price now and at the "
        "frame before; neither counts when the first of the trades is older than 300 ms. A trade not later than the latest frame is in "
        "it. 0 when none.",
    ),
    _feature("iceberg_bid", "ratio", swaps("iceberg_ask"), POSITIVE, 0, 0.0, _ICEBERG.format(side="bid")),
    _feature("iceberg_ask", "ratio", swaps("iceberg_bid"), POSITIVE, 0, 0.0, _ICEBERG.format(side="ask")),
    _feature(
        "iceberg_flow_120s",
        "quote",
        ODD,
        ANY,
        1,
        120.0,
        "Sum of notional traded at prices flagged as in iceberg_bid before the trade, + against bids, - against asks, * 2^(-t/120) / "
        "cover.",
    ),
)
COUNT = len(FEATURES)
_IMBALANCE, _RATIO, _BID, _ASK, _FLOW = range(COUNT)


@inlined
def step_icebergs(s: Any) -> None:
    """Decay."""
    decay(s.f_ice_sums, s.f_keep)


@inner
def _is_flagged(s: Any, k: int) -> Any:
    peak = s.f_ice_peak[k]
    return s.f_ice_cycles[k] >= CYCLES_MIN and peak > 0 and s.f_ice_executed[k] > SCORE_MIN * peak


@inner
def _move(s: Any, k: int, to: int) -> None:
    for table in (
        s.f_ice_side,
        s.f_ice_tick,
        s.f_ice_executed,
        s.f_ice_cycles,
        s.f_ice_peak,
        s.f_ice_shown,
        s.f_ice_waiting,
        s.f_ice_waiting_ns,
        s.f_ice_traded_ns,
    ):
        table[to] = table[k]


@inner
def _remove(s: Any, k: int) -> None:
    """Take a price off the table, which stays in the order of entry."""
    last = s.f_ice_count - 1
    for other in range(k, last):
        _move(s, other + 1, other)
    s.f_ice_count = last


@inner
def _entry_of(s: Any, side: int, tick: int) -> int:
    """Return the table's entry of a price, a new one if there is none yet."""
    oldest = 0
    for k in range(s.f_ice_count):
        if s.f_ice_tick[k] == tick and s.f_ice_side[k] == side:
            return k
        if s.f_ice_traded_ns[k] < s.f_ice_traded_ns[oldest]:
            oldest = k
    if s.f_ice_count == PRICES_MAX:
        _remove(s, oldest)
    new: int = s.f_ice_count
    s.f_ice_count += 1
    s.f_ice_side[new] = side
    s.f_ice_tick[new] = tick
    s.f_ice_executed[new] = 0
    s.f_ice_cycles[new] = 0
    s.f_ice_waiting[new] = 0
    s.f_ice_shown[new] = level_lots(s, side, tick)
    s.f_ice_peak[new] = s.f_ice_shown[new]
    return new


@inner
def trade_icebergs(s: Any, tick: int, lots: int, sign: int, value: float) -> None:
    """Take in one public trade. Without a frame since the drop there is no book to refill."""
    if s.f_frame_ns == 0:
        return
    side = BID_SIDE if sign < 0 else ASK_SIDE
    k = _entry_of(s, side, tick)
    if _is_flagged(s, k):
        add(s.f_ice_sums, _ABSORBED, value if side == 0 else -value)
    s.f_ice_executed[k] += lots
    s.f_ice_traded_ns[k] = s.f_now_ns
    if s.f_now_ns > s.f_frame_ns:
        if s.f_ice_waiting[k] == 0:
            s.f_ice_waiting_ns[k] = s.f_now_ns
        s.f_ice_waiting[k] += lots


@inner
def _look_again(s: Any, k: int) -> None:
    """Compare what stands at a price after a frame with what its trades left."""
    side = s.f_ice_side[k]
    lots = level_lots(s, side, s.f_ice_tick[k])
    traded = s.f_ice_waiting[k]
    if traded > 0 and s.f_now_ns - s.f_ice_waiting_ns[k] <= PENDING_NS:
        refill = min(traded, max(0, lots - s.f_ice_shown[k] + traded))
        add(s.f_ice_sums, _MATCHED + side, float(traded))
        if refill > 0:
            add(s.f_ice_sums, _REFILLED + side, float(refill))
            s.f_ice_cycles[k] += 1
        shown = s.f_ice_shown[k]
        if shown > 0 and (lots == shown or lots == shown - traded):
            outcome_refills(s, side, 1 if lots == shown else 0)
    s.f_ice_waiting[k] = 0
    s.f_ice_shown[k] = lots
    s.f_ice_peak[k] = max(s.f_ice_peak[k], lots)


@inner
def frame_icebergs(s: Any) -> None:
    """End a frame with a valid top: find refills, drop prices that the market has left. At most `PRICES_MAX` look-ups."""
    kept = 0
    for k in range(s.f_ice_count):
        best = s.f_bid_tick if s.f_ice_side[k] == 0 else s.f_ask_tick
        if abs(s.f_ice_tick[k] - best) <= AWAY_TICKS:
            if kept < k:
                _move(s, k, kept)
            _look_again(s, kept)
            kept += 1
    s.f_ice_count = kept
    s.f_frame_ns = s.f_now_ns


@inlined
def reset_icebergs(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_ice_sums[:] = 0.0
    s.f_ice_count = 0
    s.f_frame_ns = 0


@inner
def _largest(s: Any, side: int) -> Any:
    largest = 0.0
    for k in range(s.f_ice_count):
        if s.f_ice_side[k] == side and _is_flagged(s, k):
            largest = max(largest, s.f_ice_executed[k] / s.f_ice_peak[k])
    return largest


@inner
def read_icebergs(s: Any, out: Any) -> None:
    """Write the group's features."""
    if not is_warm_book(s, H120):
        return
    sums = s.f_ice_sums
    bid = sums[_REFILLED, H120]
    ask = sums[_REFILLED + 1, H120]
    traded = sums[_MATCHED, H120] + sums[_MATCHED + 1, H120]
    out[_IMBALANCE] = (bid - ask) / (bid + ask) if bid + ask > 0.0 else 0.0
    out[_RATIO] = min(1.0, (bid + ask) / traded) if traded > 0.0 else 0.0
    out[_BID] = _largest(s, BID_SIDE)
    out[_ASK] = _largest(s, ASK_SIDE)
    out[_FLOW] = sums[_ABSORBED, H120] * s.f_keep[H120] / s.f_known[COVER_BOOK, H120]

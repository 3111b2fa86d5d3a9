"""Resilience: how fast the depth near the touch comes back after it was taken.

Sampled once a second with the liquidity sample (depth within 5 bps), and at each frame (a side's best five levels). Survives a dropped
book, but no pair of samples and no depletion reaches over a drop.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add, decay, is_warm_kept
from smartmoney.core.features.horizons import H600, HORIZONS, SECOND_NS
from smartmoney.core.features.order_flow import near_lots
from smartmoney.core.features.spec import EVEN, OWN, SHARE, FeatureSpec, WarmUp, after_frames

GROUP = "liquidity_patterns"
DEPLETED = 0.7
"""A side is depleted when a frame leaves less than this share of its best five levels' lots."""
DEPLETIONS_MIN = 5
HALF_LIFE_MAX_S = 3600.0
GAP_MAX_NS = 2 * SECOND_NS
"""Samples further apart are no pair."""
_CROSS = int64(0)
_SQUARES = int64(1)
_BACK = int64(2)  # + 2 * which delay + side: per side, so that the mirror image is exact
_SEEN = int64(6)  # + which delay
_SUMS = 8
DELAYS_S = (1, 5)

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_back_sums", "f8", (_SUMS, HORIZONS)),
    ("f_back_last", "f8"),  # depth at the sample before; NaN none
    ("f_back_last_ns", "i8"),
    ("f_back_deviation", "f8"),  # its usual value less that depth, as known then
    ("f_side_lots", "i8", (2,)),  # best five levels as of the frame before; -1 none
    ("f_hole_ns", "i8", (2,)),  # time of the depletion in hand; 0 none
    ("f_hole_before", "i8", (2,)),
    ("f_hole_after", "i8", (2,)),
    ("f_hole_stage", "i8", (2,)),  # delays that have been measured
    ("f_hole_count", "i8", (2,)),  # depletions measured, per delay
]


def _recovery(delay_s: int) -> FeatureSpec:
    return FeatureSpec(
        name=f"recovery_{delay_s}s_share",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=600.0,
        warm_up=WarmUp(seconds=10.0, events=DEPLETIONS_MIN, event="depletions"),
        bounds=SHARE,
        source=OWN,
        description=(
            f"q = lots of a side's best five levels at frames with a valid top. A frame that leaves less than 0.7 of the q before "
            f"depletes the side, unless a depletion of the last 5 s is in hand. At the first frame at least {delay_s} s later: clip((q - "
            f"q_after) / (q_before - q_after), 0, 1). Mean over depletions of both sides, decayed by 2^(-t/600), from 5 on. A dropped "
            f"book, and a frame without a valid top, ends the depletions in hand."
        ),
    )


FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="resilience_half_life_s",
        group=GROUP,
        unit="s",
        parity=EVEN,
        half_life_s=600.0,
        warm_up=after_frames(600.0),
        bounds=(0.0, HALF_LIFE_MAX_S),
        source=OWN,
        description=(
            "D = lots of both sides within 5 bps at the samples of liquidity_stress, U its mean decayed by 2^(-t/600). Over successive "
            "samples at most 2 s apart with no drop between: c = sum of (D - D') (U' - D') / sum of (U' - D')^2, decayed alike, a prime "
            "the sample before. min(3600, -ln 2 / ln(1 - c)) seconds, c at most 1 - 2^-10; 3600 when c <= 0; NaN before a pair."
        ),
    ),
    *(_recovery(delay_s) for delay_s in DELAYS_S),
)
COUNT = len(FEATURES)


@inlined
def step_resilience(s: Any) -> None:
    """Decay."""
    decay(s.f_back_sums, s.f_keep)


@inner
def sample_depth(s: Any, now_ns: int, lots: float, usual: float) -> None:
    """Take the once-a-second sample of the depth and what is usual."""
    if not math.isnan(s.f_back_last) and now_ns - s.f_back_last_ns <= GAP_MAX_NS:
        add(s.f_back_sums, _CROSS, (lots - s.f_back_last) * s.f_back_deviation)
        add(s.f_back_sums, _SQUARES, s.f_back_deviation * s.f_back_deviation)
    s.f_back_last = lots
    s.f_back_last_ns = now_ns
    s.f_back_deviation = usual - lots


@inner
def _measure(s: Any, side: int, now_ns: int, lots: int) -> None:
    """Measure the depletion in hand where a delay is over."""
    while s.f_hole_ns[side] > 0:
        stage = s.f_hole_stage[side]
        if now_ns < s.f_hole_ns[side] + DELAYS_S[stage] * SECOND_NS:
            return
        share = (lots - s.f_hole_after[side]) / (s.f_hole_before[side] - s.f_hole_after[side])
        add(s.f_back_sums, _BACK + 2 * stage + side, max(0.0, min(1.0, share)))
        add(s.f_back_sums, _SEEN + stage, 1.0)
        s.f_hole_count[stage] += 1
        s.f_hole_stage[side] = stage + 1
        if stage + 1 == len(DELAYS_S):
            s.f_hole_ns[side] = 0


@inner
def frame_resilience(s: Any, now_ns: int) -> None:
    """End a frame with a valid top, after the best five levels were noted."""
    for side in range(2):
        lots = near_lots(s, side)
        before = s.f_side_lots[side]
        _measure(s, side, now_ns, lots)
        if s.f_hole_ns[side] == 0 and lots < DEPLETED * before:
            s.f_hole_ns[side] = now_ns
            s.f_hole_before[side] = before
            s.f_hole_after[side] = lots
            s.f_hole_stage[side] = 0
        s.f_side_lots[side] = lots


@inner
def forget_depletions(s: Any) -> None:
    """End the depletions in hand."""
    for side in range(2):
        s.f_side_lots[side] = -1
        s.f_hole_ns[side] = 0


@inlined
def reset_resilience(s: Any) -> None:
    """Let no pair reach over the drop."""
    s.f_back_last = math.nan
    forget_depletions(s)


@inner
def read_resilience(s: Any, out: Any) -> None:
    """Write the group's features."""
    sums = s.f_back_sums
    squares = sums[_SQUARES, H600]
    if squares > 0.0 and is_warm_kept(s, H600):
        pull = min(1.0 - 2.0**-10, sums[_CROSS, H600] / squares)
        out[0] = min(HALF_LIFE_MAX_S, -math.log(2.0) / math.log1p(-pull)) if pull > 0.0 else HALF_LIFE_MAX_S
    for k in range(len(DELAYS_S)):
        if s.f_hole_count[k] >= DEPLETIONS_MIN and sums[_SEEN + k, H600] > 0.0:
            out[1 + k] = min(1.0, (sums[_BACK + 2 * k, H600] + sums[_BACK + 2 * k + 1, H600]) / sums[_SEEN + k, H600])

"""Whether a price that was traded stands whole again at the next frame: who refills it shows only what the book shows, and more is behind.

Only frames that leave no doubt count: the lots at the price are exactly what they were, or exactly that less what was traded. Anything
else means that others came or went in between. Told by `icebergs`, which follows the prices. Sums are decayed lazily, at an outcome. Side
0 bids, 1 asks. All of it is derived from the book and goes when the book is dropped.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner
from smartmoney.core.features.basis import is_warm_book
from smartmoney.core.features.horizons import H60, H600, RATES
from smartmoney.core.features.spec import OWN, POSITIVE, SHARE, Bounds, FeatureSpec, after_frames, swaps

GROUP = "refills"
EXTRA = 0.3
"""Share of the prices that would not have been refilled and that a refiller would fill up."""
ODDS_MAX = 1e12
_RATE_60 = float(RATES[H60])
_RATE_600 = float(RATES[H600])

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_refill_ns", "i8"),  # time of the latest outcome; 0 none since the drop
    ("f_refill_near", "f8", (2, 2)),  # per side: left, refilled; half-life 60 s
    ("f_refill_base", "f8", (2,)),  # left, refilled, both sides; half-life 600 s
    ("f_refill_odds", "f8", (2,)),
]

_OUTCOME = (
    "Outcomes: a price whose trades wait for the frame (refill_ratio_120s, within 300 ms) and at which something stood at the frame "
    "before, with q, q' and v as there, is refilled when q = q', left when q = q' - v, and else no outcome. "
)
_SHARE_OF = _OUTCOME + (
    "(R + p) / (R + L + 1), R and L the numbers of {side}s refilled and left, 2^(-t/60); p = (r + 1) / (r + l + 2), r and l the same of "
    "both sides with 2^(-t/600)."
)
_EVIDENCE = _OUTCOME + (
    "ln(1 + C): C = 1 at first and tends to 1 with half-life 60 s; at an outcome among {side}s C <- min(10^12, C f), f = (p + 0.3 (1 - "
    "p)) / p if refilled, 0.7 if left, p of refill_share_{side} just before. ln 2 after a long time without an outcome."
)


def _pair(name: str, unit: str, bounds: Bounds, half_life_s: float, text: str) -> list[FeatureSpec]:
    return [
        FeatureSpec(
            name=f"{name}_{side}",
            group=GROUP,
            unit=unit,
            parity=swaps(f"{name}_{other}"),
            half_life_s=half_life_s,
            warm_up=after_frames(60.0),
            bounds=bounds,
            resets=True,
            source=f"Zotikov, Antonov 2021 (refills after trades as synthetic icebergs); {OWN}",
            description=text.format(side=side),
        )
        for side, other in (("bid", "ask"), ("ask", "bid"))
    ]


FEATURES: tuple[FeatureSpec, ...] = (
    *_pair("refill_share", "ratio", SHARE, 60.0, _SHARE_OF),
    *_pair("refill_evidence", "nats", POSITIVE, 0.0, _EVIDENCE),
)
COUNT = len(FEATURES)
_SHARE_AT, _EVIDENCE_AT = 0, 2


@inner
def outcome_refills(s: Any, side: int, is_refilled: int) -> None:
    """Take in that a traded price stands whole again (1), or was left as the trades left it (0)."""
    elapsed_s = (s.f_now_ns - s.f_refill_ns) * 1e-9 if s.f_refill_ns > 0 else 0.0
    near = math.exp(-_RATE_60 * elapsed_s)
    base = math.exp(-_RATE_600 * elapsed_s)
    s.f_refill_ns = s.f_now_ns
    for k in range(2):
        s.f_refill_near[0, k] *= near
        s.f_refill_near[1, k] *= near
        s.f_refill_base[k] *= base
        s.f_refill_odds[k] = 1.0 + (s.f_refill_odds[k] - 1.0) * near
    usual = (s.f_refill_base[1] + 1.0) / (s.f_refill_base[0] + s.f_refill_base[1] + 2.0)
    factor = (usual + EXTRA * (1.0 - usual)) / usual if is_refilled == 1 else 1.0 - EXTRA
    s.f_refill_odds[side] = min(ODDS_MAX, s.f_refill_odds[side] * factor)
    s.f_refill_near[side, is_refilled] += 1.0
    s.f_refill_base[is_refilled] += 1.0


@inlined
def reset_refills(s: Any) -> None:
    """Forget what was derived from the dropped book."""
    s.f_refill_ns = 0
    s.f_refill_near[:] = 0.0
    s.f_refill_base[:] = 0.0
    s.f_refill_odds[:] = 1.0


@inner
def read_refills(s: Any, out: Any) -> None:
    """Write the group's features."""
    if not is_warm_book(s, H60):
        return
    elapsed_s = (s.f_read_ns - s.f_refill_ns) * 1e-9 if s.f_refill_ns > 0 else 0.0
    near = math.exp(-_RATE_60 * elapsed_s)
    base = math.exp(-_RATE_600 * elapsed_s)
    left = s.f_refill_base[0] * base
    refilled = s.f_refill_base[1] * base
    usual = (refilled + 1.0) / (left + refilled + 2.0)
    for side in range(2):
        whole = s.f_refill_near[side, 1] * near
        both = whole + s.f_refill_near[side, 0] * near
        out[_SHARE_AT + side] = (whole + usual) / (both + 1.0)
        out[_EVIDENCE_AT + side] = math.log(2.0 + (s.f_refill_odds[side] - 1.0) * near)

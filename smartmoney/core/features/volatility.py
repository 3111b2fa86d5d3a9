"""Volatility of the mid on a grid of whole seconds, as squares per second and as a path's efficiency.

A bar is one whole second of exchange time whose two ends had a valid top; an event at the very second belongs to the next one. Bars survive
a dropped book; the bar in which it was dropped does not count.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add_aged, decay, is_warm_kept
from smartmoney.core.features.horizons import H120, H600, HALF_LIVES_S, HORIZONS, PER_BAR
from smartmoney.core.features.spec import EVEN, OWN, POSITIVE, SHARE, FeatureSpec, after_frames

GROUP = "volatility"
_RETURNS = int64(0)
_SQUARES = int64(1)
_PATH = int64(2)
_SUMS = 3

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_bar_s", "f8"),
    ("f_return_sums", "f8", (_SUMS, HORIZONS)),
]

_RV_HORIZONS = (H120, H600)
_BNS = "Barndorff-Nielsen, Shephard 2004"


def _rv(h: int) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"rv_{seconds:g}s",
        group=GROUP,
        unit="bps^2",
        parity=EVEN,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        bounds=POSITIVE,
        source=_BNS,
        description=(
            "r = change of mid / old mid * 10^4 over each whole second of exchange time whose two ends had a valid top (an event at the very "
            f"second belongs to the next). Sum of r^2 / number of seconds / (1 - 2^(-1/{seconds:g})), both decayed by 2^(-t/{seconds:g})."
        ),
    )


FEATURES: tuple[FeatureSpec, ...] = (
    *(_rv(h) for h in _RV_HORIZONS),
    FeatureSpec(
        name="efficiency_120s",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_frames(120.0),
        bounds=SHARE,
        source="Kaufman 1995",
        description="|sum of r| / sum of |r|, both decayed by 2^(-t/120), r as in rv_120s; 0 when nothing moved.",
    ),
    FeatureSpec(
        name="sigma_bar_bps",
        group=GROUP,
        unit="bps",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_frames(120.0),
        bounds=POSITIVE,
        source=OWN,
        description="Volatility of a bar of bar_s seconds: sqrt(bar_s * sum of r^2 / number of seconds), decayed as in rv_120s.",
    ),
)
COUNT = len(FEATURES)
_EFFICIENCY = len(_RV_HORIZONS)
_SIGMA = _EFFICIENCY + 1


@inlined
def step_volatility(s: Any) -> None:
    """Decay."""
    decay(s.f_return_sums, s.f_keep)


@inlined
def bar_volatility(s: Any, r: float) -> None:
    """Take in the return of a second that ended `f_aged` ago; seconds without a move need not be told."""
    add_aged(s.f_return_sums, _RETURNS, r, s.f_aged)
    add_aged(s.f_return_sums, _SQUARES, r * r, s.f_aged)
    add_aged(s.f_return_sums, _PATH, abs(r), s.f_aged)


@inner
def squares_per_second(s: Any, h: int) -> Any:
    """Return the weighted mean of squared one-second returns, in bps^2."""
    return s.f_return_sums[_SQUARES, h] / s.f_bar_counts[h]


@inner
def read_volatility(s: Any, out: Any) -> None:
    """Write the group's features."""
    at = 0
    for h in _RV_HORIZONS:
        if s.f_bar_counts[h] > 0.0 and is_warm_kept(s, h):
            out[at] = squares_per_second(s, h) / PER_BAR[h]
        at += 1
    if s.f_bar_counts[H120] > 0.0 and is_warm_kept(s, H120):
        path = s.f_return_sums[_PATH, H120]
        out[_EFFICIENCY] = min(1.0, abs(s.f_return_sums[_RETURNS, H120]) / path) if path > 0.0 else 0.0
        out[_SIGMA] = math.sqrt(squares_per_second(s, H120) * s.f_bar_s)

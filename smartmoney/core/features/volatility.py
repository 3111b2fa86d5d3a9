"""Volatility of the mid: squares per second, jumps, how straight its path was. Bars are those of `bars`; they survive a dropped book."""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add_aged, decay, is_warm_kept
from smartmoney.core.features.horizons import H10, H120, H600, H3600, HALF_LIVES_S, HORIZONS, PER_BAR
from smartmoney.core.features.spec import EVEN, OWN, POSITIVE, SHARE, Bounds, FeatureSpec, after_frames

GROUP = "volatility"
RETURNS = int64(0)
SQUARES = int64(1)
_PATH = int64(2)
_TEN_SQUARES = int64(3)
_TEN_PRODUCTS = int64(4)
_SUMS = 5
_ONE, _TEN, _TEN_PAIRS = range(3)
_HALF_PI = math.pi / 2.0

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_bar_s", "f8"),
    ("f_return_sums", "f8", (_SUMS, HORIZONS)),
]

_RV_HORIZONS = (H10, H120, H600, H3600)
_SLOW_HORIZONS = (H120, H600)
_BNS = "Barndorff-Nielsen, Shephard 2004"


def _feature(name: str, h: int, unit: str, source: str, bounds: Bounds, description: str) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit=unit,
        parity=EVEN,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        bounds=bounds,
        source=source,
        description=description.format(h=f"{seconds:g}"),
    )


_RV = (
    "r = change of mid / old mid * 10^4 over each whole second of exchange time at whose two ends the mid was known and in which the book "
    "was not dropped (an event at the very second belongs to the next). Sum of r^2 / number of seconds / (1 - 2^(-1/{h})), both decayed by "
    "2^(-t/{h})."
)
_BIPOWER = (
    "R = change of mid / old mid * 10^4 over each ten seconds (whole multiples of exchange time) that count as the seconds of rv_120s do. "
    "pi/2 * sum of |R| |R before it| / (10 * number of such pairs) / (1 - 2^(-1/{h})), both decayed by 2^(-t/{h}): without jumps about the "
    "rv of that half-life. Ten seconds, because one second in two sees no move, which would look like jumps. NaN before the first pair."
)
_JUMPS = (
    "max(0, 1 - BV / RV), BV = pi/2 * mean of |R| |R before it|, RV = mean of R^2, both decayed by 2^(-t/{h}), R of bipower_120s; 0 when "
    "nothing moved, NaN before the first pair. Noisy at the shorter half-life: above 0 most of the time with no jump at all."
)
_EFFICIENCY = "|sum of r| / sum of |r|, both decayed by 2^(-t/{h}), r as in rv_120s; 0 when nothing moved."

FEATURES: tuple[FeatureSpec, ...] = (
    *(_feature("rv", h, "bps^2", _BNS, POSITIVE, _RV) for h in _RV_HORIZONS),
    *(_feature("bipower", h, "bps^2", _BNS, POSITIVE, _BIPOWER) for h in _SLOW_HORIZONS),
    *(_feature("jump_share", h, "ratio", _BNS, SHARE, _JUMPS) for h in _SLOW_HORIZONS),
    *(_feature("efficiency", h, "ratio", "Kaufman 1995", SHARE, _EFFICIENCY) for h in _SLOW_HORIZONS),
    FeatureSpec(
        name="sigma_bar_bps",
        group=GROUP,
        unit="bps",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_frames(120.0),
        bounds=POSITIVE,
        source=OWN,
        description="Volatility of a bar of bar_s seconds: sqrt(bar_s * sum of r^2 / number of seconds), r and decay as in rv_120s.",
    ),
)
COUNT = len(FEATURES)
_BIPOWER_AT = len(_RV_HORIZONS)
_JUMPS_AT = _BIPOWER_AT + len(_SLOW_HORIZONS)
_EFFICIENCY_AT = _JUMPS_AT + len(_SLOW_HORIZONS)
_SIGMA_AT = COUNT - 1


@inlined
def step_volatility(s: Any) -> None:
    """Decay."""
    decay(s.f_return_sums, s.f_keep)


@inlined
def bar_volatility(s: Any, r: float) -> None:
    """Take in the return of a second that ended `f_aged` ago; seconds without a move need not be told."""
    add_aged(s.f_return_sums, RETURNS, r, s.f_aged)
    add_aged(s.f_return_sums, SQUARES, r * r, s.f_aged)
    add_aged(s.f_return_sums, _PATH, abs(r), s.f_aged)


@inlined
def ten_volatility(s: Any, r: float, before: float) -> None:
    """Take in the return of ten seconds that ended `f_aged` ago, and of the ten before them (NaN unknown)."""
    add_aged(s.f_return_sums, _TEN_SQUARES, r * r, s.f_aged)
    if not math.isnan(before):
        add_aged(s.f_return_sums, _TEN_PRODUCTS, abs(r) * abs(before), s.f_aged)


@inner
def _squares_per_second(s: Any, h: int) -> Any:
    """Return the weighted mean of squared one-second returns, in bps^2."""
    return s.f_return_sums[SQUARES, h] / s.f_bar_counts[_ONE, h]


@inner
def _read_slow(s: Any, out: Any, at: int, h: int) -> None:
    sums = s.f_return_sums
    if s.f_bar_counts[_TEN_PAIRS, h] > 0.0:
        variance = sums[_TEN_SQUARES, h] / s.f_bar_counts[_TEN, h]
        bipower = _HALF_PI * sums[_TEN_PRODUCTS, h] / s.f_bar_counts[_TEN_PAIRS, h]
        out[_BIPOWER_AT + at] = bipower / 10.0 / PER_BAR[h]
        out[_JUMPS_AT + at] = max(0.0, 1.0 - bipower / variance) if variance > 0.0 else 0.0
    if s.f_bar_counts[_ONE, h] > 0.0:
        path = sums[_PATH, h]
        out[_EFFICIENCY_AT + at] = min(1.0, abs(sums[RETURNS, h]) / path) if path > 0.0 else 0.0


@inner
def read_volatility(s: Any, out: Any) -> None:
    """Write the group's features."""
    for at, h in enumerate(_RV_HORIZONS):
        if s.f_bar_counts[_ONE, h] > 0.0 and is_warm_kept(s, h):
            out[at] = _squares_per_second(s, h) / PER_BAR[h]
    for at, h in enumerate(_SLOW_HORIZONS):
        if is_warm_kept(s, h):
            _read_slow(s, out, at, h)
    if s.f_bar_counts[_ONE, H120] > 0.0 and is_warm_kept(s, H120):
        out[_SIGMA_AT] = math.sqrt(_squares_per_second(s, H120) * s.f_bar_s)

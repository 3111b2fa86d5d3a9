"""Impact: what flow does to the price, what it costs to move it, and what flow was absorbed.

Regressions are over the one-second bars of `bars`, flow in millions of quote; Roll's spread is over successive aggressors' orders. All
of it survives a dropped book.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add_aged, bps_base, decay, is_warm_kept, is_warm_orders
from smartmoney.core.features.horizons import H60, H120, H600, HALF_LIVES_S, HORIZONS, WARM_EVENTS
from smartmoney.core.features.spec import ANY, EVEN, ODD, OWN, POSITIVE, SHARE, Bounds, FeatureSpec, after_frames, after_orders
from smartmoney.core.features.volatility import RETURNS, SQUARES

GROUP = "impact"
_MILLION = 1e6
_FLOW = int64(0)
_XX = int64(1)
_XY = int64(2)
_YY = int64(3)
_ILLIQUID = int64(4)
_TRADED = int64(5)
_SUMS = 6
_PAIRS = int64(0)
_PRODUCTS = int64(1)
_ROLL_SUMS = 2

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_impact_sums", "f8", (_SUMS, HORIZONS)),
    ("f_roll_sums", "f8", (_ROLL_SUMS, HORIZONS)),
    ("f_roll_tick", "i8"),  # price of the order before; 0 none
    ("f_roll_epoch", "i8"),
    ("f_roll_change", "f8"),  # change of price to it, in bps; NaN unknown
]


def _feature(
    name: str, h: int, unit: str, bounds: Bounds, source: str, description: str, *, scale: int = 0, parity: str = EVEN
) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit=unit,
        parity=parity,
        half_life_s=seconds,
        warm_up=after_frames(seconds),
        bounds=bounds,
        source=source,
        scale=scale,
        description=description.format(h=f"{seconds:g}"),
    )


_LAMBDA = (
    "Over the one-second bars of rv_120s: F = signed notional of the public trades of the second in millions, r its return in bps. "
    "Sum of F r / sum of F^2, both decayed by 2^(-t/{h}); 0 when nothing was traded. Also needs 50 trades. COIN-M: per million contracts."
)
_FROM = "r, F and decay as in kyle_lambda_{h}s. "
FEATURES: tuple[FeatureSpec, ...] = (
    _feature("kyle_lambda", H120, "bps per million", ANY, "Kyle 1985", _LAMBDA, scale=-1),
    _feature("kyle_lambda", H600, "bps per million", ANY, "Kyle 1985", _LAMBDA, scale=-1),
    _feature("kyle_r2", H120, "ratio", SHARE, "Kyle 1985", _FROM + "(sum of F r)^2 / (sum of F^2 * sum of r^2); 0 when one of them is 0."),
    _feature(
        "amihud",
        H120,
        "bps per million",
        POSITIVE,
        "Amihud 2002",
        _FROM + "Mean of |r| / notional in millions over the seconds in which something was traded, decayed by 2^(-t/{h}); NaN before one.",
        scale=-1,
    ),
    _feature(
        "absorption",
        H120,
        "sigma",
        ANY,
        OWN,
        _FROM + "-sgn(F) (M - L F) / S: how far the move fell short of what the flow should have done. M = sum of r, F = sum of F, L = "
        "kyle_lambda_{h}s, S = the deviation of M: the root of the sum of r^2 4^(-t/{h}); 0 when F or S is 0.",
    ),
    _feature(
        "impact_residual",
        H120,
        "sigma",
        ANY,
        OWN,
        "(M - L F) / S with the numbers of absorption_{h}s: above 0 the price rose by more, or fell by less, than the flow explains "
        "(passive buyers absorb); 0 when S is 0.",
        parity=ODD,
    ),
    FeatureSpec(
        name="roll_120s",
        group=GROUP,
        unit="bps",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_orders(120.0),
        bounds=POSITIVE,
        source="Roll 1984",
        description=(
            "d = change of the last price from one aggressor's order to the next, in bps of the former; c = mean of d times the d before "
            "it, decayed by 2^(-t/120), not centred; 2 sqrt(max(0, -c)). Orders between which the book was dropped have no d. NaN before "
            "a pair."
        ),
    ),
)
COUNT = len(FEATURES)
_LAMBDA_120, _LAMBDA_600, _R2, _AMIHUD, _ABSORPTION, _RESIDUAL, _ROLL = range(COUNT)


@inlined
def step_impact(s: Any) -> None:
    """Decay."""
    decay(s.f_impact_sums, s.f_keep)
    decay(s.f_roll_sums, s.f_keep)


@inlined
def bar_impact(s: Any, r: float) -> None:
    """Take in a second that ended `f_aged` ago: its return, and `f_bar_flow` and `f_bar_volume` of it."""
    flow = s.f_bar_flow / _MILLION
    sums = s.f_impact_sums
    add_aged(sums, _YY, r * r, s.f_aged)
    if s.f_bar_volume > 0.0:
        add_aged(sums, _FLOW, flow, s.f_aged)
        add_aged(sums, _XX, flow * flow, s.f_aged)
        add_aged(sums, _XY, flow * r, s.f_aged)
        add_aged(sums, _ILLIQUID, abs(r) / (s.f_bar_volume / _MILLION), s.f_aged)
        add_aged(sums, _TRADED, 1.0, s.f_aged)


@inlined
def order_impact(s: Any) -> None:
    """Take in the aggressor's order that was closed."""
    change = math.nan
    if s.f_roll_tick > 0 and s.f_roll_epoch == s.f_order_epoch:
        change = (s.f_order_tick - s.f_roll_tick) / bps_base(s, float(s.f_roll_tick)) * 1e4
        if not math.isnan(s.f_roll_change):
            add_aged(s.f_roll_sums, _PAIRS, 1.0, s.f_aged)
            add_aged(s.f_roll_sums, _PRODUCTS, change * s.f_roll_change, s.f_aged)
    s.f_roll_tick = s.f_order_tick
    s.f_roll_epoch = s.f_order_epoch
    s.f_roll_change = change


@inner
def has_flow_bars(s: Any, h: int) -> Any:
    """Tell whether regressions over bars are warm at this half-life, by the covers of the read."""
    return s.f_trade_events >= WARM_EVENTS and is_warm_kept(s, h)


@inner
def kyle_lambda(s: Any, h: int) -> Any:
    """Return the price impact in bps per million of quote; 0 when nothing was traded."""
    xx = s.f_impact_sums[_XX, h]
    return s.f_impact_sums[_XY, h] / xx if xx > 0.0 else 0.0


@inner
def _read_regression(s: Any, out: Any) -> None:
    sums = s.f_impact_sums
    slope = kyle_lambda(s, H120)
    out[_LAMBDA_120] = slope
    both = sums[_XX, H120] * sums[_YY, H120]
    out[_R2] = min(1.0, sums[_XY, H120] * sums[_XY, H120] / both) if both > 0.0 else 0.0
    if sums[_TRADED, H120] > 0.0:
        out[_AMIHUD] = sums[_ILLIQUID, H120] / sums[_TRADED, H120]
    keep = s.f_keep[H120]
    flow = sums[_FLOW, H120] * keep
    # The deviation of a sum with weights w is the root of the sum with weights w^2, which decays twice as fast.
    deviation = math.sqrt(s.f_return_sums[SQUARES, H60] * s.f_keep[H60])
    residual = (s.f_return_sums[RETURNS, H120] * keep - slope * flow) / deviation if deviation > 0.0 else 0.0
    out[_RESIDUAL] = residual
    out[_ABSORPTION] = 0.0
    if flow > 0.0:
        out[_ABSORPTION] = -residual
    elif flow < 0.0:
        out[_ABSORPTION] = residual


@inner
def read_impact(s: Any, out: Any) -> None:
    """Write the group's features."""
    if has_flow_bars(s, H600):
        out[_LAMBDA_600] = kyle_lambda(s, H600)
    if has_flow_bars(s, H120):
        _read_regression(s, out)
    if s.f_roll_sums[_PAIRS, H120] > 0.0 and is_warm_orders(s, H120):
        out[_ROLL] = 2.0 * math.sqrt(max(0.0, -s.f_roll_sums[_PRODUCTS, H120] / s.f_roll_sums[_PAIRS, H120]))

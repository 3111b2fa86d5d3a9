"""Large orders of one aggressor, and sweeps: an adaptive 99 % threshold with a floor, the signed flow above it, prices eaten up."""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add_aged, decay, is_warm_orders
from smartmoney.core.features.horizons import COVER_TRADE, H10, H120, H600, HALF_LIVES_S, HORIZONS, TINY
from smartmoney.core.features.spec import ANY, EVEN, ODD, OWN, POSITIVE, SHARE, FeatureSpec, after_orders

GROUP = "large_trades"
QUANTILE = 0.99
QUANTILE_STEP_MIN = 0.05
QUANTILE_STEP_MAX = 1.0
QUANTILE_ORDERS = 50.0
"""The n-th order moves the quantile by step clip(50 / n, 0.05, 1)."""
_LARGE = int64(0)
_LARGE_SIZE = int64(1)
_SIZE = int64(2)
_SWEPT = int64(3)
_SLIPPED = int64(4)
_SUMS = 5

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_large_floor", "f8"),
    ("f_quantile", "f8"),  # of ln notional
    ("f_large_sums", "f8", (_SUMS, HORIZONS)),
]

_LARGE_HORIZONS = (H10, H120, H600)
_SWEEP_HORIZONS = (H10, H120)


def _flow(name: str, h: int, unit: str, scale: int | None, description: str) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit=unit,
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_orders(seconds),
        bounds=ANY,
        source=OWN,
        scale=scale,
        description=description.format(h=f"{seconds:g}"),
    )


_LARGE_TRADE = (
    "Sum of sign * notional * 2^(-t/{h}) / cover over aggressors' orders above both quantile and floor of large_trade_threshold, as it "
    "stood before the order; t since the order's last trade."
)
_SWEEP = "Sum of sign * n * 2^(-t/{h}) / cover over aggressors' orders that traded at n >= 2 different prices; t since the last trade."
_SLIP = "As sweep_{h}s, with the distance from the order's first to its last price, in ticks, for n."

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="large_trade_threshold",
        group=GROUP,
        unit="quote",
        parity=EVEN,
        warm_up=after_orders(10.0),
        bounds=POSITIVE,
        source=OWN,
        scale=None,
        description=(
            "max(e^z, large_order_threshold), z the 99 % quantile of ln notional of aggressors' orders by stochastic approximation: "
            "the first sets z; the n-th moves it by +0.99 h when above z, else by -0.01 h, h = min(1, max(0.05, 50 / n))."
        ),
    ),
    FeatureSpec(
        name="large_trade_share_120s",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_orders(120.0),
        bounds=SHARE,
        source=OWN,
        scale=None,
        description="Notional of the orders that count in large_trade_120s, unsigned, / notional of all; both decayed; 0 below 1e-9.",
    ),
    *(_flow("large_trade", h, "quote", None, _LARGE_TRADE) for h in _LARGE_HORIZONS),
    *(_flow("sweep", h, "levels", 0, _SWEEP) for h in _SWEEP_HORIZONS),
    *(_flow("sweep_slip", h, "ticks", 0, _SLIP) for h in _SWEEP_HORIZONS),
)
COUNT = len(FEATURES)
_THRESHOLD, _SHARE, _LARGE_AT = range(3)
_SWEEP_AT = _LARGE_AT + len(_LARGE_HORIZONS)
_SLIP_AT = _SWEEP_AT + len(_SWEEP_HORIZONS)


@inlined
def step_large_trades(s: Any) -> None:
    """Decay."""
    decay(s.f_large_sums, s.f_keep)


@inner
def _count_large(s: Any) -> None:
    """Count the order when it is large, and move the quantile of order sizes."""
    size = s.f_order_notional
    log_size = math.log(size)
    if s.f_order_events == 1:
        s.f_quantile = log_size
        return
    above = log_size > s.f_quantile
    if above and size > s.f_large_floor:
        add_aged(s.f_large_sums, _LARGE, s.f_order_sign * size, s.f_aged)
        add_aged(s.f_large_sums, _LARGE_SIZE, size, s.f_aged)
    step = min(QUANTILE_STEP_MAX, max(QUANTILE_STEP_MIN, QUANTILE_ORDERS / s.f_order_events))
    s.f_quantile += step * QUANTILE if above else -step * (1.0 - QUANTILE)


@inlined
def order_large_trades(s: Any) -> None:
    """Take in the aggressor's order that was closed."""
    add_aged(s.f_large_sums, _SIZE, s.f_order_notional, s.f_aged)
    _count_large(s)
    if s.f_order_prices > 1:
        add_aged(s.f_large_sums, _SWEPT, float(s.f_order_sign * s.f_order_prices), s.f_aged)
        # Prices never improve for the aggressor, so their difference has its sign.
        add_aged(s.f_large_sums, _SLIPPED, float(s.f_order_tick - s.f_order_first_tick), s.f_aged)


@inner
def read_large_trades(s: Any, out: Any) -> None:
    """Write the group's features."""
    sums = s.f_large_sums
    if is_warm_orders(s, H10):
        out[_THRESHOLD] = max(math.exp(s.f_quantile), s.f_large_floor)
    if is_warm_orders(s, H120):
        whole = sums[_SIZE, H120]
        out[_SHARE] = min(1.0, sums[_LARGE_SIZE, H120] / whole) if whole * s.f_keep[H120] > TINY else 0.0
    for at, h in enumerate(_LARGE_HORIZONS):
        if is_warm_orders(s, h):
            out[_LARGE_AT + at] = sums[_LARGE, h] * s.f_keep[h] / s.f_known[COVER_TRADE, h]
    for at, h in enumerate(_SWEEP_HORIZONS):
        if is_warm_orders(s, h):
            out[_SWEEP_AT + at] = sums[_SWEPT, h] * s.f_keep[h] / s.f_known[COVER_TRADE, h]
            out[_SLIP_AT + at] = sums[_SLIPPED, h] * s.f_keep[h] / s.f_known[COVER_TRADE, h]

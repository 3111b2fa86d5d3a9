"""Large orders of one aggressor: an adaptive 99 % threshold with a configured floor, and the signed flow above it."""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add_aged, decay, is_warm_orders, is_warm_trades
from smartmoney.core.features.horizons import COVER_TRADE, H10, H120, HORIZONS
from smartmoney.core.features.spec import EVEN, ODD, OWN, POSITIVE, FeatureSpec, after_orders, after_trades

GROUP = "large_trades"
QUANTILE = 0.99
QUANTILE_STEP_MIN = 0.05
QUANTILE_STEP_MAX = 1.0
QUANTILE_ORDERS = 50.0
"""The n-th order moves the quantile by step clip(50 / n, 0.05, 1)."""
_LARGE = int64(0)
_SUMS = 1

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_large_floor", "f8"),
    ("f_quantile", "f8"),  # of ln notional
    ("f_large_sums", "f8", (_SUMS, HORIZONS)),
]

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
        name="large_trade_120s",
        group=GROUP,
        unit="quote",
        parity=ODD,
        half_life_s=120.0,
        warm_up=after_trades(120.0),
        source=OWN,
        scale=None,
        description=(
            "Sum of sign * notional * 2^(-t/120) / cover over aggressors' orders above both quantile and floor of large_trade_threshold, "
            "as it stood before the order."
        ),
    ),
)
COUNT = len(FEATURES)
_THRESHOLD, _LARGE_120 = range(COUNT)


@inlined
def step_large_trades(s: Any) -> None:
    """Decay."""
    decay(s.f_large_sums, s.f_keep)


@inner
def order_large_trades(s: Any) -> None:
    """Take in the order that was closed: count it when it is large, and move the quantile of order sizes."""
    size = s.f_order_notional
    log_size = math.log(size)
    if s.f_order_events == 1:
        s.f_quantile = log_size
        return
    above = log_size > s.f_quantile
    if above and size > s.f_large_floor:
        add_aged(s.f_large_sums, _LARGE, s.f_order_sign * size, s.f_aged)
    step = min(QUANTILE_STEP_MAX, max(QUANTILE_STEP_MIN, QUANTILE_ORDERS / s.f_order_events))
    s.f_quantile += step * QUANTILE if above else -step * (1.0 - QUANTILE)


@inner
def read_large_trades(s: Any, out: Any) -> None:
    """Write the group's features."""
    if is_warm_orders(s, H10):
        out[_THRESHOLD] = max(math.exp(s.f_quantile), s.f_large_floor)
    if is_warm_trades(s, H120):
        out[_LARGE_120] = s.f_large_sums[_LARGE, H120] * s.f_keep[H120] / s.f_known[COVER_TRADE, H120]

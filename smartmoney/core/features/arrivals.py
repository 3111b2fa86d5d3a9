"""Arrivals of aggressors' orders: self-excitation per side, and the times between them. Nothing here reads the book.

States are decayed lazily, when an order comes: between orders they cost nothing.
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner, int64
from smartmoney.core.features.basis import is_warm_orders
from smartmoney.core.features.horizons import H10, H60, H120, H600, RATES
from smartmoney.core.features.spec import ANY, EVEN, ODD, OWN, POSITIVE, SIGNED_SHARE, Bounds, FeatureSpec, after_orders
from smartmoney.core.features.trade_flow import order_rate

GROUP = "arrivals"
HAWKES_HALF_LIVES_S = (0.1, 1.0, 10.0, 60.0)
_KERNELS = len(HAWKES_HALF_LIVES_S)
_BETA = math.log(2.0) / np.array(HAWKES_HALF_LIVES_S)
_RATE_120 = float(RATES[H120])
_WARM = (H10, H10, H10, H60)
_BUY = int64(0)
_SELL = int64(1)

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_hawkes", "f8", (2, _KERNELS)),  # buys, sells: sums of e^(-beta t), as of `f_hawkes_ns`
    ("f_hawkes_ns", "i8"),
    # Times between orders: weighted mean and sum of squares about it, as of the latest order.
    ("f_gap_start_ns", "i8"),
    ("f_gap_epoch", "i8"),
    ("f_gap_count", "i8"),
    ("f_gap_ns", "i8"),
    ("f_gap_weight", "f8"),
    ("f_gap_mean", "f8"),
    ("f_gap_squares", "f8"),
]

_HAWKES = (
    "ln(Lb / Ls), L = m + b R per side: R = sum of e^(-b t) over the side's aggressors' orders, t since the last trade of each, b = ln 2 "
    "/ {t} per second; m = half of the orders per second (both sides, half-life 600 s, computed as order_rate_120s is). Silence gives 0."
)


def _hawkes(name: str, seconds: float, warm: int) -> FeatureSpec:
    return FeatureSpec(
        name=f"hawkes_log_ratio_{name}",
        group=GROUP,
        unit="nats",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_orders((10.0, 60.0)[int(warm == H60)]),
        bounds=ANY,
        source="Bacry, Mastromatteo, Muzy 2015",
        description=_HAWKES.format(t=f"{seconds:g}"),
    )


def _gaps(name: str, unit: str, bounds: Bounds, description: str) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        group=GROUP,
        unit=unit,
        parity=EVEN,
        half_life_s=120.0,
        warm_up=after_orders(120.0),
        bounds=bounds,
        source=OWN if name != "burstiness_120s" else "Goh, Barabasi 2008",
        description=description,
    )


FEATURES: tuple[FeatureSpec, ...] = (
    *(_hawkes(name, t, w) for name, t, w in zip(("100ms", "1s", "10s", "60s"), HAWKES_HALF_LIVES_S, _WARM, strict=True)),
    _gaps(
        "interarrival_mean_120s",
        "s",
        POSITIVE,
        "Mean time between the first trades of successive aggressors' orders, each weighed by 2^(-a/120), a its age at the latest order "
        "(from last trade to last trade). Times in which the book was dropped are left out: trades may have been missed. NaN before one.",
    ),
    _gaps(
        "interarrival_cv_120s",
        "ratio",
        POSITIVE,
        "Standard deviation / mean of the times of interarrival_mean_120s, weighed alike; 1 for a Poisson flow; 0 when the mean is 0.",
    ),
    _gaps("burstiness_120s", "ratio", SIGNED_SHARE, "(c - 1) / (c + 1), c = interarrival_cv_120s: -1 a clock, 0 Poisson, to 1 bursts."),
)
COUNT = len(FEATURES)
_MEAN_AT = _KERNELS


@inner
def _excite(s: Any, side: int) -> None:
    elapsed_s = (s.f_order_ns - s.f_hawkes_ns) * 1e-9
    for k in range(_KERNELS):
        keep = math.exp(-_BETA[k] * elapsed_s)
        s.f_hawkes[_BUY, k] *= keep
        s.f_hawkes[_SELL, k] *= keep
        s.f_hawkes[side, k] += 1.0
    s.f_hawkes_ns = s.f_order_ns


@inner
def _add_gap(s: Any, gap_s: float) -> None:
    """Take a time into an exponentially weighted mean and variance (West's update: no sum of squares that could cancel)."""
    keep = math.exp(-_RATE_120 * (s.f_order_ns - s.f_gap_ns) * 1e-9)
    weight = keep * s.f_gap_weight + 1.0
    off = gap_s - s.f_gap_mean
    mean = s.f_gap_mean + off / weight
    s.f_gap_squares = keep * s.f_gap_squares + off * (gap_s - mean)
    s.f_gap_mean = mean
    s.f_gap_weight = weight
    s.f_gap_ns = s.f_order_ns
    s.f_gap_count += 1


@inner
def order_arrivals(s: Any) -> None:
    """Take in the aggressor's order that was closed."""
    _excite(s, _BUY if s.f_order_sign > 0 else _SELL)
    if s.f_gap_start_ns > 0 and s.f_gap_epoch == s.f_order_epoch:
        _add_gap(s, (s.f_order_start_ns - s.f_gap_start_ns) * 1e-9)
    s.f_gap_start_ns = s.f_order_start_ns
    s.f_gap_epoch = s.f_order_epoch


@inner
def read_arrivals(s: Any, out: Any) -> None:
    """Write the group's features."""
    base = 0.5 * order_rate(s, H600)
    elapsed_s = (s.f_read_ns - s.f_hawkes_ns) * 1e-9
    for k in range(_KERNELS):
        if is_warm_orders(s, _WARM[k]):
            rate = _BETA[k] * math.exp(-_BETA[k] * elapsed_s)
            buys = base + rate * s.f_hawkes[_BUY, k]
            sells = base + rate * s.f_hawkes[_SELL, k]
            out[k] = math.log(buys) - math.log(sells) if min(buys, sells) > 0.0 else 0.0
    if s.f_gap_count > 0 and is_warm_orders(s, H120):
        mean = s.f_gap_mean
        cv = math.sqrt(max(0.0, s.f_gap_squares / s.f_gap_weight)) / mean if mean > 0.0 else 0.0
        out[_MEAN_AT] = mean
        out[_MEAN_AT + 1] = cv
        out[_MEAN_AT + 2] = (cv - 1.0) / (cv + 1.0)

"""Traces of one large order that is sent in pieces: clockwork, repeated sizes, runs of signs. All on aggressors' orders alone.

States are decayed lazily, when an order comes: between orders they cost nothing. Side 0 buys, 1 sells.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.basis import is_warm_orders
from smartmoney.core.features.horizons import H10, H600, RATES, SECOND_NS, TINY
from smartmoney.core.features.spec import ODD, OWN, POSITIVE, SHARE, SIGNED_SHARE, Bounds, FeatureSpec, WarmUp, after_orders, swaps

GROUP = "splitting"
PERIODS_S = (1, 2, 5, 10, 15, 30, 60, 120)
_PERIODS = len(PERIODS_S)
SIZES_MAX = 16
LAGS = 6
LEARNING_RATE = 0.02
SHARES = (0.05, 0.1, 0.2)
_SHARES = len(SHARES)
_OTHER = tuple(math.log(1.0 - share) for share in SHARES)
CUSUM_MAX = 50.0
PREDICTION_MAX = 0.9
_RATE_600 = float(RATES[H600])
_TWO_PI = 2.0 * math.pi
_LONGEST_NS = 120 * SECOND_NS

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_split_ns", "i8"),  # time of the latest order
    ("f_phase_cos", "f8", (2, _PERIODS)),
    ("f_phase_sin", "f8", (2, _PERIODS)),
    ("f_phase_squares", "f8", (2,)),  # sum of squared weights
    ("f_size_lots", "i8", (2, SIZES_MAX)),
    ("f_size_weight", "f8", (2, SIZES_MAX)),
    ("f_size_error", "f8", (2, SIZES_MAX)),
    ("f_size_count", "i8", (2,)),
    ("f_size_total", "f8", (2,)),
    ("f_sign_lags", "f8", (LAGS,)),  # the latest first
    ("f_sign_weights", "f8", (LAGS,)),
    ("f_cusum", "f8", (2, _SHARES)),
]


def _feature(name: str, parity: str, warm_up: WarmUp, unit: str, bounds: Bounds, source: str, description: str) -> FeatureSpec:
    half_life_s = 600.0 if name.endswith("_600s") else 0.0
    return FeatureSpec(
        name=name,
        group=GROUP,
        unit=unit,
        parity=parity,
        half_life_s=half_life_s,
        warm_up=warm_up,
        bounds=bounds,
        source=source,
        description=description,
    )


_CLOCK = (
    "Over the aggressors' {side} orders, w = 2^(-t/600) with t since the last trade of each, p the time of its first trade: the largest, "
    "over T in 1, 2, 5, 10, 15, 30, 60, 120 s, of |sum of w e^(2 pi i p / T)|^2 / sum of w^2 (Rayleigh). Each is exponential with mean 1 "
    "when p is uniform in the period, the largest of eight is then 2.7 on average and above 6.7 in 1 % of cases; 0 without such an order."
)
_SIZES = (
    "Space-Saving over the sizes in lots of the aggressors' {side} orders with 16 counters, all decayed by 2^(-t/600): an order of a size "
    "that is counted adds 1; another takes a free counter with 1, or replaces the first smallest one c with c + 1 and error c (errors "
    "decay too). Largest count less error / sum of all orders' weights; 0 when that is below 1e-9."
)
_CUSUM = (
    "Largest, over f in 0.05, 0.1, 0.2, of C <- min(50, max(0, C + ln(q / p))) per aggressor's order of sign s: p = (1 + s y) / 2 the "
    "chance of s, q = (1 - f) p + f 1[s is a {side}]. y = clip(sum of a_k s_k, -0.9, 0.9) over the last 6 signs; then a_k <- a_k + 0.02 "
    "(s - sum of a_k s_k) s_k / 6, from a = 0."
)
_TSAKNAKI = "Tsaknaki, Lillo, Mazzarisi 2024 (the idea); own"


def _pair(
    name: str, suffix: str, warm_up: WarmUp, unit: str, bounds: Bounds, source: str, description: str
) -> tuple[FeatureSpec, FeatureSpec]:
    buy, sell = f"{name}_buy{suffix}", f"{name}_sell{suffix}"
    return (
        _feature(buy, swaps(sell), warm_up, unit, bounds, source, description.format(side="buy")),
        _feature(sell, swaps(buy), warm_up, unit, bounds, source, description.format(side="sell")),
    )


_SLOW = after_orders(600.0)
_QUICK = after_orders(10.0)
_BALANCE = "(B - S) / (B + S), B = clockwork_buy_600s, S = clockwork_sell_600s; 0 when both are."
_LEAN = "(B - S) / (B + S + 1), B = splitting_cusum_buy, S = splitting_cusum_sell."

FEATURES: tuple[FeatureSpec, ...] = (
    *_pair("clockwork", "_600s", _SLOW, "Rayleigh score", POSITIVE, OWN, _CLOCK),
    _feature("clockwork_imbalance_600s", ODD, _SLOW, "ratio", SIGNED_SHARE, OWN, _BALANCE),
    *_pair("repeated_size", "_600s", _SLOW, "ratio", SHARE, "Metwally, Agrawal, El Abbadi 2005 (the counters); own", _SIZES),
    *_pair("splitting_cusum", "", _QUICK, "nats", (0.0, CUSUM_MAX), _TSAKNAKI, _CUSUM),
    _feature("splitting_cusum_imbalance", ODD, _QUICK, "ratio", SIGNED_SHARE, _TSAKNAKI, _LEAN),
)
COUNT = len(FEATURES)
(_CLOCK_BUY, _CLOCK_SELL, _CLOCK_IMBALANCE, _SIZE_BUY, _SIZE_SELL, _CUSUM_BUY, _CUSUM_SELL, _CUSUM_IMBALANCE) = range(COUNT)


@inner
def _decay_to(s: Any, now_ns: int) -> None:
    elapsed_s = (now_ns - s.f_split_ns) * 1e-9
    keep = math.exp(-_RATE_600 * elapsed_s)
    squares = keep * keep
    for side in range(2):
        s.f_phase_squares[side] *= squares
        s.f_size_total[side] *= keep
        for k in range(_PERIODS):
            s.f_phase_cos[side, k] *= keep
            s.f_phase_sin[side, k] *= keep
        for k in range(s.f_size_count[side]):
            s.f_size_weight[side, k] *= keep
            s.f_size_error[side, k] *= keep
    s.f_split_ns = now_ns


@inner
def _add_phase(s: Any, side: int) -> None:
    s.f_phase_squares[side] += 1.0
    angle = _TWO_PI * ((s.f_order_start_ns % _LONGEST_NS) / _LONGEST_NS)
    # Every period divides the longest, so its phase is a power of that one's.
    z120 = complex(math.cos(angle), math.sin(angle))
    z60 = z120 * z120
    z30 = z60 * z60
    z15 = z30 * z30
    z10 = z15 * z30
    z5 = z10 * z10
    z2 = z5 * z5 * z10
    phases = (z2 * z2, z2, z5, z10, z15, z30, z60, z120)
    for k in range(_PERIODS):
        s.f_phase_cos[side, k] += phases[k].real
        s.f_phase_sin[side, k] += phases[k].imag


@inner
def _add_size(s: Any, side: int, lots: int) -> None:
    s.f_size_total[side] += 1.0
    count = s.f_size_count[side]
    least = 0
    for k in range(count):
        if s.f_size_lots[side, k] == lots:
            s.f_size_weight[side, k] += 1.0
            return
        if s.f_size_weight[side, k] < s.f_size_weight[side, least]:
            least = k
    error = 0.0
    if count < SIZES_MAX:
        least = count
        s.f_size_count[side] += 1
    else:
        error = s.f_size_weight[side, least]
    s.f_size_lots[side, least] = lots
    s.f_size_weight[side, least] = error + 1.0
    s.f_size_error[side, least] = error


@inner
def _add_sign(s: Any, sign: float) -> None:
    lags = s.f_sign_lags
    weights = s.f_sign_weights
    told = 0.0
    for k in range(LAGS):
        told += weights[k] * lags[k]
    chance = 0.5 * (1.0 + sign * max(-PREDICTION_MAX, min(PREDICTION_MAX, told)))
    for f in range(_SHARES):
        same = math.log(1.0 - SHARES[f] + SHARES[f] / chance)
        other = _OTHER[f]
        buys = same if sign > 0.0 else other
        sells = other if sign > 0.0 else same
        s.f_cusum[0, f] = min(CUSUM_MAX, max(0.0, s.f_cusum[0, f] + buys))
        s.f_cusum[1, f] = min(CUSUM_MAX, max(0.0, s.f_cusum[1, f] + sells))
    step = LEARNING_RATE * (sign - told) / LAGS
    for k in range(LAGS):
        weights[k] += step * lags[k]
    for k in range(LAGS - 1, 0, -1):
        lags[k] = lags[k - 1]
    lags[0] = sign


@inner
def order_splitting(s: Any) -> None:
    """Take in the aggressor's order that was closed. About 0.3 us, most of it sines and cosines."""
    side = 0 if s.f_order_sign > 0 else 1
    _decay_to(s, s.f_order_ns)
    _add_phase(s, side)
    _add_size(s, side, s.f_order_lots)
    _add_sign(s, float(s.f_order_sign))


@inner
def _clockwork(s: Any, side: int) -> Any:
    """Return the side's largest score; it needs no decay, for both parts of the ratio decay alike."""
    squares = s.f_phase_squares[side]
    largest = 0.0
    for k in range(_PERIODS):
        largest = max(largest, s.f_phase_cos[side, k] ** 2 + s.f_phase_sin[side, k] ** 2)
    return largest / squares if squares > TINY * TINY else 0.0


@inner
def _repeated(s: Any, side: int) -> Any:
    total = s.f_size_total[side]
    largest = 0.0
    for k in range(s.f_size_count[side]):
        largest = max(largest, s.f_size_weight[side, k] - s.f_size_error[side, k])
    return min(1.0, largest / total) if total > TINY else 0.0


@inner
def _cusum(s: Any, side: int) -> Any:
    largest = 0.0
    for f in range(_SHARES):
        largest = max(largest, s.f_cusum[side, f])
    return largest


@inner
def read_splitting(s: Any, out: Any) -> None:
    """Write the group's features."""
    if is_warm_orders(s, H600):
        buy = _clockwork(s, 0)
        sell = _clockwork(s, 1)
        out[_CLOCK_BUY] = buy
        out[_CLOCK_SELL] = sell
        out[_CLOCK_IMBALANCE] = (buy - sell) / (buy + sell) if buy + sell > 0.0 else 0.0
        out[_SIZE_BUY] = _repeated(s, 0)
        out[_SIZE_SELL] = _repeated(s, 1)
    if is_warm_orders(s, H10):
        buy = _cusum(s, 0)
        sell = _cusum(s, 1)
        out[_CUSUM_BUY] = buy
        out[_CUSUM_SELL] = sell
        out[_CUSUM_IMBALANCE] = (buy - sell) / (buy + sell + 1.0)

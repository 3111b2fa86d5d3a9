"""The untrained prior, compiled: the rules of `core.regime.prior` and `core.alpha.prior`, which Python keeps in readable form.

Its record is a MIND, of which it uses time, posterior (`smoothed`), label and its beginning, and `window` for the averaged evidence:
pressure, efficiency, volatility, stress. Its forecast is that of head 0.
Invariant: every number is the one that Python comes to, bit for bit: terms are added in the same order, and what is fsum there is exact.
"""

import math
from typing import Any

from smartmoney.core.alpha import prior as alpha
from smartmoney.core.book.typed import inner
from smartmoney.core.domain.signals import Regime
from smartmoney.core.regime import prior as regime

_REGIMES = len(Regime)
_BUYING, _SELLING = list(Regime).index(Regime.ACCUMULATION), list(Regime).index(Regime.DISTRIBUTION)
_VOLATILE, _NEUTRAL = list(Regime).index(Regime.VOLATILE), list(Regime).index(Regime.NEUTRAL)

READ = ("tfi_10s", "tfi_120s", "ofi_l1_10s", "large_trade_120s", "large_trade_threshold", "efficiency_120s", "rv_120s", "rv_600s")
"""Features that the prior reads beside those of `following`, whose columns are in its record."""
PRIOR = [
    ("is_prior", "<i8"),
    ("window_s", "<f8"),
    ("smoothing", "<f8"),
    ("duration_ns", "<f8"),
    ("regime_large_order", "<f8"),  # in quote, where no threshold was learned yet
    ("flow_large_order", "<f8"),
    ("stop_base", "<f8", _REGIMES),
    ("target_base", "<f8", _REGIMES),
    ("stop_factor", "<f8", _REGIMES),
    ("target_factor", "<f8", _REGIMES),
    ("stress_threshold", "<f8"),
    ("stressed_stop", "<f8"),
    ("stressed_target", "<f8"),
    ("two", "<f8"),  # an exponent that no compiler knows: x ** 2 shall be what pow says
    *((f"{name}_at", "<i8") for name in READ),
]
"""Fields of the record by which the prior judges; those of `following` (columns, stress) are read, too."""

_W_TFI, _W_IMBALANCE, _W_OFI, _W_LARGE = regime.PRESSURE_WEIGHTS.values()
_F_IMBALANCE, _F_TFI_120, _F_TFI_10, _F_OFI, _F_LARGE = alpha.FLOW_WEIGHTS.values()
_PRESSURE_SLOPE, _PRESSURE_EDGE = regime.PRESSURE_SLOPE, regime.PRESSURE_EDGE
_EFFICIENCY_SLOPE, _EFFICIENCY_EDGE = regime.EFFICIENCY_SLOPE, regime.EFFICIENCY_EDGE
_VOLATILITY_SLOPE, _VOLATILITY_EDGE = regime.VOLATILITY_SLOPE, regime.VOLATILITY_EDGE
_STRESS_SLOPE, _STRESS_EDGE = regime.STRESS_SLOPE, regime.STRESS_EDGE
_NEUTRAL_LOGIT, _SWITCH_MARGIN = regime.NEUTRAL_LOGIT, regime.SWITCH_MARGIN
_LARGE_TRADES, _OFI_HALF = regime.LARGE_TRADES, regime.OFI_HALF
_FLOW_LARGE_TRADES, _FLOW_OFI_HALF = alpha.LARGE_TRADES, alpha.OFI_HALF
_FLOW_SCALE, _CONFIDENCE_SPAN = alpha.FLOW_SCALE, alpha.CONFIDENCE_MAX - 0.5
_AGREES, _OPPOSES, _IN_DANGER = alpha.AGREES, alpha.OPPOSES, alpha.VOLATILE


@inner
def _soft(value: float, half: float) -> float:
    return value / (abs(value) + half)


@inner
def _threshold(value: float, otherwise: float) -> float:
    return value if value > 0.0 and not math.isinf(value) else max(otherwise, 1.0)


@inner
def _add_up(p: Any, terms: Any, count: int) -> float:
    """Return the sum of `terms`, rounded once, as `math.fsum` does (Shewchuk 1997); `p` is scratch."""
    n = 0
    for k in range(count):
        x = terms[k]
        kept = 0
        for j in range(n):
            y = p[j]
            if abs(x) < abs(y):
                x, y = y, x
            high = x + y
            low = y - (high - x)
            if low != 0.0:
                p[kept] = low
                kept += 1
            x = high
        p[kept] = x
        n = kept + 1
    n -= 1
    total = p[n]
    low = 0.0
    while n > 0 and low == 0.0:
        n -= 1
        x = total
        total = x + p[n]
        low = p[n] - (total - x)
    # Half-way cases: what lies below decides.
    if n > 0 and ((low < 0.0 and p[n - 1] < 0.0) or (low > 0.0 and p[n - 1] > 0.0)):
        twice = low * 2.0
        up = total + twice
        if up - total == twice:
            total = up
    return float(total)


@inner
def _log_variance_ratio(fast: float, slow: float) -> float:
    if not (slow > 0.0 and fast > 0.0) or math.isinf(slow):
        return 0.0
    return math.log(min(max(600.0 / 120.0 * fast / slow, 0.05), 20.0))


@inner
def _score(mind: Any, pressure: float, efficiency: float, volatility: float, stress: float) -> None:
    """Write the posterior of some evidence to `posterior_now`."""
    now = mind.posterior_now
    now[0] = _PRESSURE_SLOPE * (pressure - _PRESSURE_EDGE)
    now[1] = _PRESSURE_SLOPE * (-pressure - _PRESSURE_EDGE)
    now[2] = _EFFICIENCY_SLOPE * (efficiency - _EFFICIENCY_EDGE)
    now[3] = _VOLATILITY_SLOPE * (volatility - _VOLATILITY_EDGE) + _STRESS_SLOPE * (stress - _STRESS_EDGE)
    now[4] = _NEUTRAL_LOGIT
    top = now[0]
    for k in range(1, _REGIMES):
        top = max(top, now[k])
    for k in range(_REGIMES):
        now[k] = math.exp(now[k] - top)
    total = _add_up(mind.log, now, _REGIMES)
    for k in range(_REGIMES):
        now[k] = now[k] / total


@inner
def _likeliest(p: Any) -> int:
    best = 0
    for k in range(1, _REGIMES):
        if p[k] > p[best]:
            best = k
    # Accumulation and distribution level at the top say nothing about direction.
    return _NEUTRAL if best == 0 and p[1] == p[0] else best


@inner
def step_prior(q: Any, mind: Any, row: Any, ts_event_ns: int) -> None:
    """Take a row whose features are finite, at a time after the record's own (`regime.step_regime`)."""
    large = _soft(row[q.large_trade_120s_at], _LARGE_TRADES * _threshold(row[q.large_trade_threshold_at], q.regime_large_order))
    ofi = _soft(row[q.ofi_l1_10s_at], _OFI_HALF)
    pressure = _W_TFI * row[q.tfi_120s_at] + _W_IMBALANCE * row[q.imbalance_at] + _W_OFI * ofi + _W_LARGE * large
    efficiency, stress = row[q.efficiency_120s_at], row[q.stress_at]
    volatility = _log_variance_ratio(row[q.rv_120s_at], row[q.rv_600s_at])
    seen = mind.window
    is_first = mind.ts_event_ns == 0
    keep = 0.0 if is_first else math.exp(-2.0 * ((ts_event_ns - mind.ts_event_ns) / 1e9) / (q.window_s + 1.0))
    if is_first:
        seen[0], seen[1], seen[2], seen[3] = pressure, efficiency, volatility, stress
    else:
        seen[0] = keep * seen[0] + (1.0 - keep) * pressure
        seen[1] = keep * seen[1] + (1.0 - keep) * efficiency
        seen[2] = keep * seen[2] + (1.0 - keep) * volatility
        seen[3] = keep * seen[3] + (1.0 - keep) * stress
    _score(mind, seen[0], seen[1], seen[2], seen[3])
    for k in range(_REGIMES):
        now = mind.posterior_now[k]
        mind.smoothed[k] = now if is_first else q.smoothing * mind.smoothed[k] + (1.0 - q.smoothing) * now
    best = _likeliest(mind.smoothed)
    is_clear = mind.smoothed[best] - mind.smoothed[mind.label] > _SWITCH_MARGIN
    is_due = best == _VOLATILE or ts_event_ns - mind.label_since_ns >= q.duration_ns
    if is_first or (best != mind.label and is_clear and is_due):
        mind.label = best
        mind.label_since_ns = ts_event_ns
    mind.ts_event_ns = ts_event_ns


@inner
def _agreement(label: int, sign: int, probability: float) -> float:
    if label == _VOLATILE:
        return 1.0 - _IN_DANGER * probability
    if label != _BUYING and label != _SELLING:  # noqa: PLR1714 - compiles to branches
        return 1.0
    agrees = (label == _BUYING) == (sign > 0)
    return 1.0 + _AGREES * probability if agrees else 1.0 - _OPPOSES * probability


@inner
def prior_head(q: Any, mind: Any, row: Any) -> int:
    """Write the prior's forecast (`alpha.opportunities`) as that of head 0; return 0, or -1 where there is no flow."""
    large = _soft(row[q.large_trade_120s_at], _FLOW_LARGE_TRADES * _threshold(row[q.large_trade_threshold_at], q.flow_large_order))
    ofi = _soft(row[q.ofi_l1_10s_at], _FLOW_OFI_HALF)
    trades = _F_TFI_120 * row[q.tfi_120s_at]
    flow = _F_IMBALANCE * row[q.imbalance_at] + trades + _F_TFI_10 * row[q.tfi_10s_at] + _F_OFI * ofi + _F_LARGE * large
    if flow == 0.0:
        return -1
    label = mind.label
    sign = 1 if flow > 0.0 else -1
    lean = flow * _agreement(label, sign, mind.smoothed[label])
    belief = 0.5 + _CONFIDENCE_SPAN * (1.0 - math.exp(-math.pow(lean / _FLOW_SCALE, q.two)))
    stop, target = q.stop_base[label], q.target_base[label]
    if row[q.stress_at] > q.stress_threshold:
        stop, target = stop * q.stressed_stop, target * q.stressed_target
    stop_bps, target_bps = 1e4 * (stop * q.stop_factor[label]), 1e4 * (target * q.target_factor[label])
    mind.lean[0] = float(sign)
    mind.confidence[0] = belief
    mind.gross[0] = belief * target_bps - (1.0 - belief) * stop_bps
    return 0

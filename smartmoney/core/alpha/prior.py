"""The untrained prior's opinion: fixed rules that turn flow into at most one opportunity, until a model is trained.

It claims no skill: every opportunity carries its name, and live mode refuses it. Invariants: confidence lies in [0.5, 0.95] and grows with
the strength of the flow; mirroring buys and sells mirrors the side and changes nothing else; no flow, no opportunity.
"""

import math
from collections.abc import Mapping

import msgspec

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Opportunity, Regime

MODEL_NAME = "untrained-prior-1"

FEATURES_REQUIRED = (
    "tfi_10s",
    "tfi_120s",
    "weighted_imbalance",
    "ofi_l1_10s",
    "large_trade_120s",
    "liquidity_score",
    "sigma_bar_bps",
)
"""What must be finite for an opinion; `large_trade_threshold` is used when it is."""

FLOW_WEIGHTS = {"weighted_imbalance": 0.7, "tfi_120s": 0.5, "tfi_10s": 0.25, "ofi_l1_10s": 0.2, "large_trade_120s": 0.1}
"""What the parts of the flow score weigh, heaviest first; the prior's only notion of importance."""

CONFIDENCE_MAX = 0.95
FLOW_SCALE = 0.38
AGREES, OPPOSES, VOLATILE = 0.15, 0.4, 0.3
LARGE_TRADES, OFI_HALF = 4.0, 5.0
_RISK_LOW_BPS, _RISK_HIGH_BPS = 4.0, 12.0
"""Volatility per minute that separates low, medium and high risk."""


class PriorParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the prior: horizon and bar in seconds, `large_order_threshold` in quote."""

    horizon_s: float = 900.0
    bar_s: float = 60.0
    large_order_threshold: float = 1000.0


def flow_score(features: Mapping[str, float], large_order_threshold: float) -> float:
    """Return how strongly flow leans: positive towards buying, odd under the mirror, NaN when a feature is missing."""
    threshold = features.get("large_trade_threshold", math.nan)
    if not threshold > 0 or math.isinf(threshold):
        threshold = max(large_order_threshold, 1.0)
    part = {name: features.get(name, math.nan) for name in FLOW_WEIGHTS}
    part["large_trade_120s"] = _soft(part["large_trade_120s"], LARGE_TRADES * threshold)
    part["ofi_l1_10s"] = _soft(part["ofi_l1_10s"], OFI_HALF)
    total = 0.0
    for name, weight in FLOW_WEIGHTS.items():  # in this order, and no compensated sum, whatever `sum` is today
        total += weight * part[name]
    return total


def confidence(score: float) -> float:
    """Return the confidence of a score: 0.5 for none, rising with its size, never above 0.95."""
    return 0.5 + (CONFIDENCE_MAX - 0.5) * (1.0 - math.exp(-((score / FLOW_SCALE) ** 2)))


def opportunities(
    features: Mapping[str, float],
    regime: Regime,
    regime_probability: float,
    *,
    stop_bps: float,
    target_bps: float,
    cost_bps: float,
    parameters: PriorParameters,
) -> tuple[Opportunity, ...]:
    """Return what the prior sees: one opportunity on the side of the flow, or none without flow or with a feature not finite.

    Gross return is what a bracket of these distances pays at this confidence; expected return is gross less the round trip's cost.
    """
    if not all(math.isfinite(features.get(name, math.nan)) for name in FEATURES_REQUIRED):
        return ()
    flow = flow_score(features, parameters.large_order_threshold)
    if flow == 0.0:
        return ()
    side = Side.BUY if flow > 0 else Side.SELL
    belief = confidence(flow * _agreement(side, regime, regime_probability))
    gross = belief * target_bps - (1.0 - belief) * stop_bps
    return (
        Opportunity(
            side=side,
            confidence=belief,
            liquidity_score=features["liquidity_score"],
            gross_return_bps=gross,
            expected_return_bps=gross - cost_bps,
            risk_level=risk_level(features["sigma_bar_bps"], parameters.bar_s),
            horizon_s=parameters.horizon_s,
            model=MODEL_NAME,
        ),
    )


def risk_level(sigma_bar_bps: float, bar_s: float) -> str:
    """Return low, medium or high by the volatility per minute."""
    per_minute = sigma_bar_bps * math.sqrt(60.0 / bar_s)
    if per_minute < _RISK_LOW_BPS:
        return "low"
    return "medium" if per_minute < _RISK_HIGH_BPS else "high"


def _agreement(side: Side, regime: Regime, probability: float) -> float:
    if regime is Regime.VOLATILE:
        return 1.0 - VOLATILE * probability
    if regime not in {Regime.ACCUMULATION, Regime.DISTRIBUTION}:
        return 1.0
    agrees = (regime is Regime.ACCUMULATION) == (side is Side.BUY)
    return 1.0 + AGREES * probability if agrees else 1.0 - OPPOSES * probability


def _soft(value: float, half: float) -> float:
    return value / (abs(value) + half)

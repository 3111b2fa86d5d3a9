"""What of the configuration the strategy needs; `settings` builds these, and the built-in strategy reads them from a plain mapping too.

Invariants: weights are non-negative and sum to 1; the parameters of every regime are worked out once, not at decisions.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from smartmoney.core.domain.signals import Regime
from smartmoney.core.strategy.rules import Weights

WEIGHT_KEYS = ("regime_weight", "imbalance_weight", "liquidity_weight")
_SUM_TOLERANCE = 1e-6

REGIME_KEYS = (
    "confidence_threshold",
    "max_position_size",
    "min_liquidity_score",
    "regime_weight",
    "imbalance_weight",
    "liquidity_weight",
    "stop_loss_base",
    "take_profit_base",
)
"""The keys that `regime_overrides` may give another value per regime."""


class StrategyParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the strategy and the gates that use its keys.

    Units: sizes and distances are fractions (of equity, of price); `large_order_threshold` in quote; `update_frequency` seconds between
    decisions; `rebalance_band` is the share of a held position (or its target, if larger) below which a difference is not worth an order.
    `overrides` holds, per regime, the keys of `REGIME_KEYS` that differ there.
    """

    symbol: str = "BTC/USD"
    timeframe: str = "1m"
    confidence_threshold: float = 0.75
    max_position_size: float = 0.1
    min_liquidity_score: float = 0.6
    regime_weight: float = 0.4
    imbalance_weight: float = 0.3
    liquidity_weight: float = 0.3
    max_drawdown: float = 0.05
    stop_loss_base: float = 0.02
    take_profit_base: float = 0.04
    large_order_threshold: float = 1000.0
    update_frequency: float = 1.0
    rebalance_band: float = 0.5
    overrides: dict[str, dict[str, float]] = {}

    @property
    def weights(self) -> Weights:
        """Return the market score's weights."""
        return Weights(regime=self.regime_weight, imbalance=self.imbalance_weight, liquidity=self.liquidity_weight)

    def for_regime(self, regime: str) -> "StrategyParameters":
        """Return the parameters that hold in a regime, its overrides applied. Cost: a copy where there are any."""
        changes = self.overrides.get(regime)
        if not changes:
            return self
        return msgspec.structs.replace(self, **{**changes, **balanced_weights(changes, self)})


class SignalParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure signal generation. `signal_decay_time` in seconds; the rate holds in any sliding 60 s."""

    min_confidence: float = 0.65
    max_signals_per_minute: int = 10
    signal_decay_time: float = 300.0


class FeatureEngineParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the analyzer: the least confidence it offers, and how far gross return must exceed cost."""

    enable_parallel_processing: bool = True
    feature_interaction_depth: int = 2
    confidence_threshold: float = 0.6
    risk_adjustment_factor: float = 1.2


class DeskParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Hold all that a desk needs. `analysis_interval_s`: seconds between analyses; `horizon_s`: how far the prior's forecast reaches."""

    strategy: StrategyParameters = StrategyParameters()
    signals: SignalParameters = SignalParameters()
    engine: FeatureEngineParameters = FeatureEngineParameters()
    mm_confidence_threshold: float = 0.3
    liquidity_stress_threshold: float = 0.7
    large_order_threshold: float = 1000.0
    analysis_interval_s: float = 1.0
    bar_s: float = 60.0
    horizon_s: float = 900.0


def balanced_weights(given: Mapping[str, Any], base: StrategyParameters) -> dict[str, float]:
    """Return all three weights after some were given: the others keep their proportion and are scaled so that the sum is 1.

    Returns an empty mapping when none was given.

    Raises:
        ValueError: a weight is negative or not finite, or those given leave no way to a sum of 1.
    """
    chosen = {key: float(given[key]) for key in WEIGHT_KEYS if key in given}
    if not chosen:
        return {}
    for key, value in chosen.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{key} must be a number of at least 0, not {value}")
    total = sum(chosen.values())
    others = [key for key in WEIGHT_KEYS if key not in chosen]
    rest = 1.0 - total
    if not others:
        if not abs(rest) <= _SUM_TOLERANCE:
            raise ValueError(f"{', '.join(WEIGHT_KEYS)} must sum to 1, not {total:g}")
        return chosen
    if rest < -_SUM_TOLERANCE:
        raise ValueError(f"{' + '.join(chosen)} must not exceed 1, but is {total:g}")
    standing = sum(getattr(base, key) for key in others)
    for key in others:
        share = getattr(base, key) / standing if standing > 0 else 1.0 / len(others)
        chosen[key] = max(0.0, rest) * share
    return chosen


def strategy_parameters(config: Mapping[str, Any]) -> StrategyParameters:
    """Return the parameters of a plain mapping such as a strategy's constructor takes; keys that are not the strategy's are left alone.

    Raises:
        ValueError: a value is of the wrong kind, or the weights cannot sum to 1.
    """
    known = {name: config[name] for name in StrategyParameters.__struct_fields__ if name in config}
    known.update(balanced_weights(config, StrategyParameters()))
    overrides = config.get("regime_overrides", {})
    known["overrides"] = {str(Regime(name)): dict(values) for name, values in overrides.items()}
    try:
        return msgspec.convert(known, StrategyParameters, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"strategy: {error}") from error

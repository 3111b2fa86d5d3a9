"""The analyzer: what a strategy may ask about the market. It shows what the engine bound to it and computes nothing of its own.

The market's numbers have one implementation, the feature kernels; the engine binds their evidence before each decision, so a strategy's
own arguments (`order_book_data` and so on, kept for programs written for them) change nothing. Every answer is a fresh dictionary.
"""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from smartmoney.core.domain.signals import Opportunity
from smartmoney.core.regime.reading import RegimeReading

_OUTCOMES_KEPT = 1000

_IMBALANCE = {
    "weighted_imbalance": "weighted_imbalance",
    "momentum": "imbalance_momentum",
    "queue_imbalance": "queue_imbalance",
    "order_flow_imbalance": "ofi_l1_10s",
    "trade_flow_imbalance": "tfi_120s",
    "large_trade_flow": "large_trade_120s",
}
_LIQUIDITY = {
    "liquidity_stress": "liquidity_stress",
    "liquidity_score": "liquidity_score",
    "mm_confidence": "mm_presence",
    "spread_bps": "spread_bps",
    "depth_bid": "depth_bid_5bps",
    "depth_ask": "depth_ask_5bps",
}
_NAN = float("nan")


class ModelsNotTrainedError(LookupError):
    """Report that there is no trained model to load: the untrained prior decides until there is one."""


class AnalyzerUnboundError(RuntimeError):
    """Report that the analyzer was asked before the engine had shown it a market."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Carry what is known at one decision, from the engine to the analyzer. `opportunities` are already above the analyzer's threshold."""

    features: Mapping[str, float]
    regime: RegimeReading
    opportunities: tuple[Opportunity, ...]
    model: str
    is_trained: bool
    liquidity_stress_threshold: float
    importance: Mapping[str, float]


class OrderFlowAnalyzer:
    """Answer a strategy's questions about regime, imbalance, liquidity and opportunities. Takes the mapping that strategies give it."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config = dict(config or {})
        self.enable_advanced_features = bool(self.config.get("enable_advanced_features", True))
        self.outcomes: deque[dict[str, Any]] = deque(maxlen=_OUTCOMES_KEPT)
        """Results of closed trades, newest last: what a later training may weigh."""
        self._evidence: Evidence | None = None

    def bind(self, evidence: Evidence) -> None:
        """Show the analyzer the evidence of this decision; the engine calls it."""
        self._evidence = evidence

    async def load_model(self, path: str | None = None) -> None:
        """Confirm that a trained model is bound; `path` is not read, since the engine loads models.

        Raises:
            ModelsNotTrainedError: only the untrained prior is there.
        """
        del path
        if self._evidence is None or not self._evidence.is_trained:
            raise ModelsNotTrainedError("no trained model is active; the untrained prior decides, and models are trained on incoming data")

    def get_advanced_analysis(
        self, order_book_data: Any = None, trade_data: Any = None, market_data: Any = None
    ) -> dict[str, dict[str, Any]]:
        """Return regime, imbalance and liquidity at this decision.

        Raises:
            AnalyzerUnboundError: nothing was bound yet.
        """
        del order_book_data, trade_data, market_data
        evidence = self._bound()
        features, regime = evidence.features, evidence.regime
        return {
            "regime": {
                "current_regime": regime.label.value,
                "regime_probability": regime.probability,
                "probabilities": regime.probabilities(),
                "age_s": regime.age_s,
                "entropy": regime.entropy,
                "model": evidence.model,
            },
            "imbalance": {key: features.get(name, _NAN) for key, name in _IMBALANCE.items()},
            "liquidity": {
                **{key: features.get(name, _NAN) for key, name in _LIQUIDITY.items()},
                "liquidity_stress_threshold": evidence.liquidity_stress_threshold,
            },
        }

    def get_alpha_opportunities(self, order_book_data: Any = None, trade_data: Any = None, market_data: Any = None) -> list[dict[str, Any]]:
        """Return the opportunities at this decision, the best first, each a fresh dictionary with `signal` buy or sell.

        Raises:
            AnalyzerUnboundError: nothing was bound yet.
        """
        del order_book_data, trade_data, market_data
        return [opportunity.as_mapping() for opportunity in self._bound().opportunities]

    async def update_performance(self, trade_result: Mapping[str, Any]) -> None:
        """Keep the result of a closed trade, up to the newest thousand."""
        self.outcomes.append(dict(trade_result))

    def is_advanced_features_available(self) -> bool:
        """Tell whether the advanced features are enabled."""
        return self.enable_advanced_features

    def get_feature_status(self) -> dict[str, bool]:
        """Tell which modules speak: enabled, and (once something is bound) with a finite headline number."""
        headline = {"imbalance_enabled": "weighted_imbalance", "regime_enabled": "efficiency_120s", "liquidity_enabled": "liquidity_stress"}
        return {key: self.enable_advanced_features and self._is_finite(name) for key, name in headline.items()}

    def get_feature_importance(self) -> dict[str, float]:
        """Return each feature's share of the decision, largest first; empty before anything is bound."""
        return dict(self._evidence.importance) if self._evidence is not None else {}

    def _is_finite(self, name: str) -> bool:
        if self._evidence is None:
            return True
        return math.isfinite(self._evidence.features.get(name, _NAN))

    def _bound(self) -> Evidence:
        if self._evidence is None:
            raise AnalyzerUnboundError("the analyzer has no market yet: the engine binds one before each decision")
        return self._evidence

"""The built-in strategy: follow informed money, size by conditions, stop by regime. The rules are `core.strategy.rules`.

Invariants: pure, as everything in the core; an opportunity is never changed, its confidence is discounted on a copy; every opportunity
passed by leaves its reason in `declined`.
"""

from collections.abc import Mapping
from typing import Any

from smartmoney.core.domain.signals import RefusalCode, Signal, SignalType
from smartmoney.core.strategy import rules
from smartmoney.core.strategy.analyzer import ModelsNotTrainedError
from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.core.strategy.parameters import StrategyParameters, strategy_parameters

BELOW_THRESHOLD = "confidence below confidence_threshold"
STRATEGY_NAME = "smart_money_follower"


class SmartMoneyFollowerStrategy(OrderFlowStrategy):
    """Follow accumulation and distribution by informed money.

    Takes a plain mapping with the strategy's keys (and `regime_overrides`); unknown keys are left to others.

    Raises:
        ValueError: a value is of the wrong kind, or the weights cannot sum to 1.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.parameters: StrategyParameters = strategy_parameters(config)

    async def initialize(self) -> None:
        """Load the models, or announce that they will be trained on incoming data."""
        await super().initialize()
        try:
            await self.analyzer.load_model()
            self.announcement = "trained models loaded"
        except ModelsNotTrainedError as missing:
            self.announcement = str(missing)

    async def analyze_market_conditions(self) -> dict[str, Any]:
        """Return the analysis, the market score and the three condition flags; the regime goes into the history."""
        analysis = self.analyzer.get_advanced_analysis(
            order_book_data=self.order_book, trade_data=self.recent_trades, market_data=self.market_data
        )
        regime = analysis["regime"]["current_regime"]
        self.performance.record_regime(regime)
        found = rules.conditions(
            regime,
            analysis["regime"]["regime_probability"],
            analysis["imbalance"]["weighted_imbalance"],
            analysis["liquidity"]["liquidity_stress"],
            self.parameters.for_regime(regime).weights,
        )
        return {
            "analysis": analysis,
            "market_score": found.market_score,
            "regime_stable": found.regime_stable,
            "liquidity_healthy": found.liquidity_healthy,
            "imbalance_significant": found.imbalance_significant,
        }

    def pass_by(self, regime: str, signalled: float | None = None) -> None:
        """Take note of a decision as `generate_signals` would, of whose signal only the confidence is wanted; None: it gives none."""
        self.performance.record_regime(regime)
        if signalled is not None:
            self.performance.record_signal(signalled)

    async def generate_signals(self) -> list[Signal]:
        """Return a signal for each opportunity that is confident and liquid enough."""
        conditions = await self.analyze_market_conditions()
        opportunities = self.analyzer.get_alpha_opportunities(
            order_book_data=self.order_book, trade_data=self.recent_trades, market_data=self.market_data
        )
        signals = [signal for opportunity in opportunities if (signal := self._consider(opportunity, conditions)) is not None]
        for signal in signals:
            self.performance.record_signal(signal.confidence)
        return signals

    def _consider(self, opportunity: Mapping[str, Any], conditions: Mapping[str, Any]) -> Signal | None:
        analysis = conditions["analysis"]
        chosen = self.parameters.for_regime(analysis["regime"]["current_regime"])
        confidence, liquidity = opportunity["confidence"], opportunity["liquidity_score"]
        if not confidence >= chosen.confidence_threshold:
            self.decline(RefusalCode.LOW_CONFIDENCE, BELOW_THRESHOLD, confidence, chosen.confidence_threshold)
            return None
        if not (liquidity >= chosen.min_liquidity_score or self._closes(opportunity["signal"])):
            self.decline(RefusalCode.LOW_LIQUIDITY, "liquidity score below min_liquidity_score", liquidity, chosen.min_liquidity_score)
            return None
        if not conditions["regime_stable"]:
            confidence *= rules.UNSTABLE_FACTOR
        return self._signal(opportunity, confidence, conditions, chosen)

    def _closes(self, side: str) -> bool:
        # Getting out of a position must not wait for liquidity.
        return self.portfolio.position > 0 if side == "sell" else self.portfolio.position < 0

    def _signal(
        self, opportunity: Mapping[str, Any], confidence: float, conditions: Mapping[str, Any], chosen: StrategyParameters
    ) -> Signal:
        analysis, score = conditions["analysis"], conditions["market_score"]
        regime, liquidity = analysis["regime"]["current_regime"], analysis["liquidity"]
        stress = liquidity["liquidity_stress"]
        stop, target = rules.stop_and_target(
            opportunity["signal"],
            self.current_price,
            regime,
            stress,
            chosen.stop_loss_base,
            chosen.take_profit_base,
            liquidity["liquidity_stress_threshold"],
        )
        return Signal(
            signal_type=SignalType(opportunity["signal"]),
            symbol=self.symbol,
            price=self.current_price,
            quantity=rules.position_size(confidence, regime, stress, score, chosen.max_position_size),
            confidence=confidence,
            stop_loss=stop,
            take_profit=target,
            metadata={
                "strategy": STRATEGY_NAME,
                "regime": regime,
                "imbalance": analysis["imbalance"]["weighted_imbalance"],
                "liquidity_stress": stress,
                "market_score": score,
                "expected_return": opportunity["expected_return"],
                "risk_level": opportunity["risk_level"],
            },
        )

"""The strategy's record of itself: counters, running averages, and bounded histories."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

REGIMES_KEPT = 100
SIGNALS_KEPT = 100


class Performance:
    """Count signals, executions and wins. Averages are over all signals; the regime distribution is over the last 100 decisions."""

    def __init__(self) -> None:
        self.signals_generated = 0
        self.signals_executed = 0
        self.profitable_signals = 0
        self.recent_signals: deque[float] = deque(maxlen=SIGNALS_KEPT)
        """Confidences of the latest signals."""
        self.recent_regimes: deque[str] = deque(maxlen=REGIMES_KEPT)
        self._confidence_sum = 0.0

    def record_regime(self, regime: str) -> None:
        """Note the regime of one decision."""
        self.recent_regimes.append(str(regime))

    def record_signal(self, confidence: float) -> None:
        """Note a signal that was given."""
        self.signals_generated += 1
        self._confidence_sum += confidence
        self.recent_signals.append(confidence)

    def record_executed(self) -> None:
        """Note that a signal's order was filled."""
        self.signals_executed += 1

    def record_closed(self, trade_result: Mapping[str, Any]) -> None:
        """Note a closed trade: a win when its net `profit` is positive."""
        if trade_result.get("profit", 0) > 0:
            self.profitable_signals += 1

    def regime_distribution(self) -> dict[str, float]:
        """Return the share of each regime among the last 100 decisions, the most frequent first."""
        total = len(self.recent_regimes)
        return {regime: count / total for regime, count in Counter(self.recent_regimes).most_common()}

    def summary(self) -> dict[str, Any]:
        """Return the record as a fresh dictionary; rates are 0 before there is anything to divide by."""
        executed = self.signals_executed
        return {
            "signals_generated": self.signals_generated,
            "signals_executed": executed,
            "profitable_signals": self.profitable_signals,
            "win_rate": self.profitable_signals / executed if executed else 0.0,
            "average_confidence": self._confidence_sum / self.signals_generated if self.signals_generated else 0.0,
            "regime_distribution": self.regime_distribution(),
            "recent_signals": len(self.recent_signals),
        }

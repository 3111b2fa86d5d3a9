"""What the models see (Opportunity), what the strategy says (Signal), and what it declined to say (Refusal).

`SignalType`, `Signal` and `MarketData` are public names of the package: a user's strategy constructs them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from smartmoney.core.domain.orders import Side


class Regime(StrEnum):
    """Name the five market regimes, in the order of every posterior array."""

    ACCUMULATION = "accumulation"
    DISTRIBUTION = "distribution"
    TRENDING = "trending"
    VOLATILE = "volatile"
    NEUTRAL = "neutral"


class FeedTrust(StrEnum):
    """Say how far a book can be vouched for; only SYNCED lets risk increase."""

    SYNCED = "synced"
    SUSPECT = "suspect"
    STALE = "stale"
    RESYNCING = "resyncing"


class RefusalCode(StrEnum):
    """Name every reason for which no order left: a closed set, each counted."""

    WARMING = "warming"
    NOT_WARM = "not_warm"
    FEED_NOT_SYNCED = "feed_not_synced"
    NO_OPPORTUNITY = "no_opportunity"
    LOW_CONFIDENCE = "low_confidence"
    LOW_LIQUIDITY = "low_liquidity"
    MAKERS_ABSENT = "makers_absent"
    BELOW_MIN_CONFIDENCE = "below_min_confidence"
    EDGE_TOO_SMALL = "edge_too_small"
    AT_TARGET = "at_target"
    RATE_LIMITED = "rate_limited"
    NO_POSITION = "no_position"
    HALTED = "halted"
    OPERATOR_PAUSED = "operator_paused"
    MODEL_UNTRAINED = "model_untrained"
    ORDER_IN_FLIGHT = "order_in_flight"
    BELOW_MIN_NOTIONAL = "below_min_notional"
    ABOVE_MAX_ORDER = "above_max_order"
    ABOVE_MAX_POSITION = "above_max_position"
    ABOVE_GROSS_CAP = "above_gross_cap"
    OUTSIDE_COLLAR = "outside_collar"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    ORDER_RATE = "order_rate"
    DAILY_LOSS = "daily_loss"
    OFF_GRID = "off_grid"
    WOULD_INCREASE_RISK = "would_increase_risk"
    SIZE_SHRUNK = "size_shrunk"
    STRATEGY_FAULT = "strategy_fault"


class SignalType(StrEnum):
    """Say what a signal asks for."""

    BUY = "buy"
    SELL = "sell"

    @property
    def side(self) -> Side:
        """Return the order side that the signal asks for."""
        return Side.BUY if self is SignalType.BUY else Side.SELL


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    """State a forecast: side, calibrated confidence in [0.5, 1], returns in bps (gross before cost, expected after it)."""

    side: Side
    confidence: float
    liquidity_score: float
    gross_return_bps: float
    expected_return_bps: float
    risk_level: str
    horizon_s: float
    model: str

    def as_mapping(self) -> dict[str, Any]:
        """Return the fresh dictionary form that a user's strategy reads (`signal` is buy or sell)."""
        return {
            "signal": self.side.value,
            "confidence": self.confidence,
            "liquidity_score": self.liquidity_score,
            "gross_return": self.gross_return_bps,
            "expected_return": self.expected_return_bps,
            "risk_level": self.risk_level,
            "horizon_s": self.horizon_s,
            "model": self.model,
        }


class Signal(msgspec.Struct, kw_only=True):
    """Publish a strategy's decision.

    `quantity` is the target position as a fraction of equity (notional), in (0, 1]; prices are in quote currency. Mutable because the
    engine completes `signal_id` and the metadata of a user's signal after it was made.
    """

    signal_type: SignalType
    symbol: str
    price: float
    quantity: float
    confidence: float
    stop_loss: float
    take_profit: float
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    signal_id: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Say why a decision did not become an order: code, the number that was compared, and the limit it missed."""

    code: RefusalCode
    instrument: int
    detail: str = ""
    value: float | None = None
    limit: float | None = None


class MarketData(msgspec.Struct, frozen=True, kw_only=True):
    """Show a strategy the market at a decision: top of book in quote currency, features by schema name, exchange time."""

    symbol: str
    ts_event_ns: int
    bid: float
    ask: float
    bid_quantity: float
    ask_quantity: float
    trust: FeedTrust
    features: Mapping[str, float]

    @property
    def mid(self) -> float:
        """Return the mid price."""
        return 0.5 * (self.bid + self.ask)

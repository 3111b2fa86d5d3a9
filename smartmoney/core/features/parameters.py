"""What of the configuration the feature kernels need; `settings` builds these from `advanced_features:`."""

import msgspec


class ImbalanceParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure order-book imbalance momentum (strategy.md, `order_book_imbalance`). Interval in seconds of exchange time."""

    max_depth_levels: int = 10
    distance_decay_rate: float = 0.1
    momentum_window: int = 20
    exponential_decay_factor: float = 0.95
    min_update_interval: float = 1.0


class LiquidityParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure liquidity provision patterns. `update_frequency` is the seconds between samples, `order_notional_max` is in quote."""

    spread_window: int = 50
    depth_levels: int = 5
    mm_confidence_threshold: float = 0.3
    liquidity_stress_threshold: float = 0.7
    update_frequency: float = 5.0
    order_notional_max: float = 1000.0


class FeatureParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure every feature kernel. `large_order_threshold` in quote; `bar_s` is the bar of the volatility estimate, in seconds."""

    imbalance: ImbalanceParameters = ImbalanceParameters()
    liquidity: LiquidityParameters = LiquidityParameters()
    large_order_threshold: float = 1000.0
    bar_s: float = 60.0

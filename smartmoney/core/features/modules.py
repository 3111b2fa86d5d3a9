"""The three modules of the strategy as named groups of features, each with the configuration keys that shape it (strategy.md).

A feature may serve several modules; its group in the schema says how it is computed, a module what it is used for.
"""

import msgspec


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """Name a group of `advanced_features:` and what belongs to it."""

    name: str
    features: tuple[str, ...]
    keys: tuple[str, ...]


MODULES: tuple[Module, ...] = (
    Module(
        name="order_book_imbalance",
        features=("weighted_imbalance", "imbalance_momentum"),
        keys=("max_depth_levels", "distance_decay_rate", "momentum_window", "exponential_decay_factor", "min_update_interval"),
    ),
    Module(
        name="liquidity_patterns",
        features=(
            "spread_median_bps",
            "liquidity_stress",
            "liquidity_score",
            "mm_presence",
            "resilience_half_life_s",
            "recovery_1s_share",
            "recovery_5s_share",
        ),
        keys=("spread_window", "depth_levels", "mm_confidence_threshold", "liquidity_stress_threshold", "update_frequency"),
    ),
    Module(
        name="regime_classification",
        features=(
            "tfi_10s",
            "tfi_120s",
            "ofi_decayed_10s",
            "ofi_decayed_120s",
            "impact_residual_120s",
            "refill_imbalance_120s",
            "rv_120s",
            "rv_600s",
            "efficiency_120s",
            "liquidity_stress",
            "order_rate_10s",
        ),
        keys=("hmm_components", "feature_window", "min_regime_duration", "transition_smoothing", "gb_n_estimators", "gb_max_depth"),
    ),
)

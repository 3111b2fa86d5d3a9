"""What of the configuration the regime model needs; `settings` builds it from `regime_classification:`."""

import msgspec


class RegimeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure regime classification.

    Units: `feature_window` in seconds (bars of one second), `min_regime_duration` in seconds. `transition_smoothing` is the weight that the
    previous posterior keeps at each step. `hmm_components`, `gb_n_estimators` and `gb_max_depth` shape the models that training makes.
    `large_order_threshold` (quote) is what large trades are measured with until their own quantile is warm.
    """

    hmm_components: int = 5
    feature_window: int = 100
    min_regime_duration: float = 30.0
    transition_smoothing: float = 0.1
    gb_n_estimators: int = 100
    gb_max_depth: int = 6
    large_order_threshold: float = 1000.0

"""Models of `config/ml/advanced_features_config.yaml`: every key, its range, its default."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Be the base of every part of the configuration: frozen, finite, and no key that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OrderBookImbalance(Section):
    """Order-book imbalance momentum."""

    max_depth_levels: int = Field(default=10, ge=1, le=100)
    """How many levels of each side are weighed."""
    distance_decay_rate: float = Field(default=0.1, ge=0, le=10)
    """How fast the weight falls from level to level: exp(-rate x level)."""
    momentum_window: int = Field(default=20, ge=1, le=1000)
    """Momentum is the change over so many updates."""
    exponential_decay_factor: float = Field(default=0.95, gt=0, lt=1)
    """Weight that the running mean keeps per update."""
    min_update_interval: float = Field(default=1.0, gt=0, le=3600)
    """Seconds between updates of the running mean."""


class RegimeClassification(Section):
    """Regimes: the label's debouncing, and the shape of the models that training makes."""

    hmm_components: int = Field(default=5, ge=2, le=20)
    """Hidden states of the Markov model."""
    feature_window: int = Field(default=100, ge=2, le=100_000)
    """Bars of one second that the evidence is averaged over. A trained model decides with those that it learned with."""
    min_regime_duration: float = Field(default=30.0, ge=0, le=86_400)
    """Seconds that a label must stand before the next (volatile is believed at once)."""
    transition_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Weight that the previous posterior keeps at each analysis."""
    gb_n_estimators: int = Field(default=100, ge=1, le=10_000)
    """Trees of the boosted classifier."""
    gb_max_depth: int = Field(default=6, ge=1, le=16)
    """Depth of its trees."""


class LiquidityPatterns(Section):
    """Spread, depth and market makers."""

    spread_window: int = Field(default=50, ge=2, le=1000)
    """Samples behind the median spread."""
    depth_levels: int = Field(default=5, ge=1, le=100)
    """Levels of each side that count as near depth."""
    mm_confidence_threshold: float = Field(default=0.3, ge=0, le=1)
    """Below this market-maker presence nothing is entered (makers_absent)."""
    liquidity_stress_threshold: float = Field(default=0.7, ge=0, le=1)
    """Above this stress, stops and targets are widened."""
    update_frequency: float = Field(default=5.0, gt=0, le=3600)
    """Seconds between liquidity samples."""


class FeatureEngine(Section):
    """The analyzer's engine."""

    enable_parallel_processing: bool = True
    """Batch features and training use all cores."""
    feature_interaction_depth: int = Field(default=2, ge=1, le=10)
    """How many features may interact in a trained model."""
    confidence_threshold: float = Field(default=0.6, ge=0, le=1)
    """Opportunities below this confidence are not offered."""
    risk_adjustment_factor: float = Field(default=1.2, ge=0, le=100)
    """Gross return must reach the round trip's cost times this."""


class SignalGeneration(Section):
    """From opportunity to signal."""

    min_confidence: float = Field(default=0.65, ge=0, le=1)
    """Least confidence of a signal, after the discount for an unstable regime."""
    max_signals_per_minute: int = Field(default=10, ge=1, le=10_000)
    """Most signals in any sliding 60 s, over all instruments."""
    signal_decay_time: float = Field(default=300.0, gt=0, le=86_400)
    """Seconds after which a signal is void; its confidence halves each half of that."""


class AdvancedFeatures(Section):
    """Everything under `advanced_features:`; the global settings stand directly under it."""

    enable_logging: bool = True
    """Log analyses and signals."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged, unless logging.level says otherwise."""
    update_frequency: float = Field(default=1.0, gt=0, le=3600)
    """Seconds between analyses."""
    order_book_imbalance: OrderBookImbalance = OrderBookImbalance()
    regime_classification: RegimeClassification = RegimeClassification()
    liquidity_patterns: LiquidityPatterns = LiquidityPatterns()
    feature_engine: FeatureEngine = FeatureEngine()
    signal_generation: SignalGeneration = SignalGeneration()

"""What a configuration comes to: the thresholds that really apply, its hash, its schema."""

import hashlib
import json
from typing import Any

from smartmoney.core.strategy import rules
from smartmoney.settings.meanings import described_schema
from smartmoney.settings.models import Settings


def effective_settings(settings: Settings) -> dict[str, Any]:
    """Return every key with its effective value, as JSON types: money as text, so that it stays exact."""
    return settings.model_dump(mode="json")


def effective_thresholds(settings: Settings) -> dict[str, float]:
    """Return the confidence that an opportunity really needs, by regime stability, and for how long such a signal lives.

    An unstable regime discounts the confidence before `min_confidence` is asked, so it needs more: 0.8125 at the defaults.
    """
    generation = settings.advanced_features.signal_generation
    offered = max(settings.strategy.confidence_threshold, settings.advanced_features.feature_engine.confidence_threshold)
    stable = max(offered, generation.min_confidence)
    unstable = max(offered, generation.min_confidence / rules.UNSTABLE_FACTOR)
    decay = generation.signal_decay_time
    return {
        "confidence_stable": stable,
        "confidence_unstable": unstable,
        "signal_life_stable_s": rules.signal_life_s(stable, decay),
        "signal_life_unstable_s": rules.signal_life_s(unstable * rules.UNSTABLE_FACTOR, decay),
        "max_position_size": settings.strategy.max_position_size,
        "regime_weight": settings.strategy.regime_weight,
        "imbalance_weight": settings.strategy.imbalance_weight,
        "liquidity_weight": settings.strategy.liquidity_weight,
    }


def config_hash(settings: Settings) -> str:
    """Return the SHA-256 of the effective settings: the same for two files that mean the same. Names of files and logging are left out."""
    meant = effective_settings(settings)
    for name in ("advanced_features_config_path", "profile", "logging", "api_key"):
        meant.pop(name)
    return hashlib.sha256(json.dumps(meant, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file, for editors and checks."""
    return described_schema(Settings)

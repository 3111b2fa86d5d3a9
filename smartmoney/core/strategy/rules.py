"""The strategy's arithmetic as pure functions: floats in, floats out. The rules are those of the strategy page, to the letter.

Invariants: no state, no rounding; a regime that is not one of the five counts as neutral; every threshold is strict where the page says
"above" or "below".
"""

import math

import msgspec

_REGIME_BASE = {"accumulation": 0.9, "trending": 0.8, "distribution": 0.7, "neutral": 0.5, "volatile": 0.3}
_REGIME_SIZE = {"accumulation": 1.2, "distribution": 0.8, "volatile": 0.6}
STRESSED_STOP, STRESSED_TARGET = 1.5, 1.3
_REGIME_EXIT = {"volatile": (1.3, 1.2), "accumulation": (0.8, 0.9), "distribution": (0.8, 0.9)}

SIZE_FLOOR = 0.01
"""The smallest target, a fraction of equity (unless the configured maximum is smaller still)."""
STABLE_PROBABILITY = 0.8
HEALTHY_STRESS = 0.5
SIGNIFICANT_IMBALANCE = 0.1
UNSTABLE_FACTOR = 0.8
"""What a confidence is multiplied with while the regime is not stable."""
VOID_CONFIDENCE = 0.5
"""A signal whose effective confidence is below this says no more than a coin."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the market score's weights: non-negative, summing to 1."""

    regime: float = 0.4
    imbalance: float = 0.3
    liquidity: float = 0.3


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """State what the analysis says about the market as a whole."""

    market_score: float
    regime_stable: bool
    liquidity_healthy: bool
    imbalance_significant: bool


def regime_score(regime: str, probability: float) -> float:
    """Return how much opportunity a regime offers, in [0, 0.9]: its base value times the probability of the label."""
    return _REGIME_BASE.get(regime, 0.5) * probability


def imbalance_score(weighted_imbalance: float) -> float:
    """Return how one-sided the book is, in [0, 1]."""
    return min(1.0, 2.0 * abs(weighted_imbalance))


def market_score(regime: str, probability: float, weighted_imbalance: float, liquidity_stress: float, weights: Weights) -> float:
    """Return the overall opportunity score in [0, 1]: regime, imbalance and liquidity, weighted."""
    liquidity_score = max(0.0, 1.0 - liquidity_stress)
    return (
        regime_score(regime, probability) * weights.regime
        + imbalance_score(weighted_imbalance) * weights.imbalance
        + liquidity_score * weights.liquidity
    )


def conditions(regime: str, probability: float, weighted_imbalance: float, liquidity_stress: float, weights: Weights) -> Conditions:
    """Return the market score and the three flags that go with it."""
    return Conditions(
        market_score=market_score(regime, probability, weighted_imbalance, liquidity_stress, weights),
        regime_stable=is_stable(probability),
        liquidity_healthy=liquidity_stress < HEALTHY_STRESS,
        imbalance_significant=abs(weighted_imbalance) > SIGNIFICANT_IMBALANCE,
    )


def is_stable(probability: float) -> bool:
    """Tell whether a regime of that probability is stable: an unstable one asks for more confidence."""
    return probability > STABLE_PROBABILITY


def size_factor(regime: str) -> float:
    """Return how much of a full size a regime is worth."""
    return _REGIME_SIZE.get(regime, 1.0)


def position_size(confidence: float, regime: str, liquidity_stress: float, market_score: float, max_position_size: float) -> float:
    """Return the target position as a fraction of equity, within [0.01, max_position_size]."""
    size = max_position_size * confidence * size_factor(regime) * max(0.5, 1.0 - liquidity_stress) * market_score
    return min(max(SIZE_FLOOR, size), max_position_size)


def exit_factors(regime: str) -> tuple[float, float]:
    """Return what the distances of stop and target are multiplied with in a regime."""
    return _REGIME_EXIT.get(regime, (1.0, 1.0))


def exit_fractions(
    regime: str, liquidity_stress: float, stop_loss_base: float, take_profit_base: float, stress_threshold: float = 0.7
) -> tuple[float, float]:
    """Return the distances of stop and target from the price, as fractions: wider in stress and volatility, tighter in steady flow."""
    stop, target = stop_loss_base, take_profit_base
    if liquidity_stress > stress_threshold:
        stop, target = stop * STRESSED_STOP, target * STRESSED_TARGET
    stop_factor, target_factor = exit_factors(regime)
    return stop * stop_factor, target * target_factor


def stop_and_target(
    side: str,
    price: float,
    regime: str,
    liquidity_stress: float,
    stop_loss_base: float,
    take_profit_base: float,
    stress_threshold: float = 0.7,
) -> tuple[float, float]:
    """Return stop and target prices of a "buy" or a "sell" at `price`: for a buy the stop lies below, for a sell above."""
    stop, target = exit_fractions(regime, liquidity_stress, stop_loss_base, take_profit_base, stress_threshold)
    if side == "buy":
        return price * (1.0 - stop), price * (1.0 + target)
    return price * (1.0 + stop), price * (1.0 - target)


def decayed_confidence(confidence: float, age_s: float, decay_time_s: float) -> float:
    """Return a signal's effective confidence at `age_s`: it halves each half of `decay_time_s`. An age below zero counts as zero."""
    return float(confidence * 2.0 ** (-max(0.0, age_s) / (0.5 * decay_time_s)))


def is_void(confidence: float, age_s: float, decay_time_s: float) -> bool:
    """Tell whether a signal has lost its force: effective confidence below 0.5, or age at or past `decay_time_s`. NaN is void."""
    return not (age_s < decay_time_s and decayed_confidence(confidence, age_s, decay_time_s) >= VOID_CONFIDENCE)


def signal_life_s(confidence: float, decay_time_s: float) -> float:
    """Return for how many seconds a signal of this confidence lives before it is void."""
    if not confidence >= VOID_CONFIDENCE:
        return 0.0
    return min(decay_time_s, 0.5 * decay_time_s * math.log2(confidence / VOID_CONFIDENCE))

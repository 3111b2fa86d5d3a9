"""What compiled decisions need to know of the built-in strategy and its desk (`core.models.following`), and the refusals they come to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.signals import Refusal, RefusalCode, Regime
from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models import following as compiled
from smartmoney.core.models import untrained
from smartmoney.core.strategy import gates, rules
from smartmoney.core.strategy.follower import BELOW_THRESHOLD, SmartMoneyFollowerStrategy
from smartmoney.core.strategy.model import PriorModel
from smartmoney.core.strategy.target import AWAY_TOO_LITTLE, NO_SHORTS, TOO_SMALL

if TYPE_CHECKING:
    from smartmoney.core.strategy.desk import StrategyDesk

NOTHING_ABOVE = "none above feature_engine.confidence_threshold"
_GATES = {gate.code: gate.detail for gate in gates.GATES}
_REFUSALS = {
    int(compiled.LOW_CONFIDENCE): (RefusalCode.LOW_CONFIDENCE, BELOW_THRESHOLD),
    int(compiled.LOW_LIQUIDITY): (RefusalCode.LOW_LIQUIDITY, _GATES[RefusalCode.LOW_LIQUIDITY]),
    int(compiled.MAKERS_ABSENT): (RefusalCode.MAKERS_ABSENT, _GATES[RefusalCode.MAKERS_ABSENT]),
    int(compiled.BELOW_MIN_CONFIDENCE): (RefusalCode.BELOW_MIN_CONFIDENCE, _GATES[RefusalCode.BELOW_MIN_CONFIDENCE]),
    int(compiled.EDGE_TOO_SMALL): (RefusalCode.EDGE_TOO_SMALL, _GATES[RefusalCode.EDGE_TOO_SMALL]),
    int(compiled.NO_POSITION): (RefusalCode.NO_POSITION, NO_SHORTS),
    int(compiled.BELOW_MIN_NOTIONAL): (RefusalCode.BELOW_MIN_NOTIONAL, TOO_SMALL),
    int(compiled.AT_TARGET): (RefusalCode.AT_TARGET, AWAY_TOO_LITTLE),
}


def refusal(code: int, instrument: int, value: float, limit: float) -> Refusal:
    """Return the refusal that an offer came to."""
    name, detail = _REFUSALS[code]
    return Refusal(code=name, instrument=instrument, detail=detail, value=value, limit=limit)


def nothing_offered(instrument: int) -> Refusal:
    """Return the refusal of a decision at which the model offers nothing."""
    return Refusal(code=RefusalCode.NO_OPPORTUNITY, instrument=instrument, detail=NOTHING_ABOVE)


def not_warm(instrument: int, missing: str) -> Refusal:
    """Return the refusal of a decision that lacks an input."""
    return Refusal(code=RefusalCode.NOT_WARM, instrument=instrument, detail=missing)


def _prior_numbers(desk: "StrategyDesk", model: PriorModel) -> Mapping[str, Any]:
    """Return the fields PRIOR."""
    gated = [desk.parameters.strategy.for_regime(regime.value) for regime in Regime]
    factors = [rules.exit_factors(regime.value) for regime in Regime]
    return {
        "is_prior": 1,
        "window_s": model.regime.feature_window,
        "smoothing": model.regime.transition_smoothing,
        "duration_ns": model.regime.min_regime_duration * 1e9,
        "regime_large_order": model.regime.large_order_threshold,
        "flow_large_order": model.alpha.large_order_threshold,
        "stop_base": [one.stop_loss_base for one in gated],
        "target_base": [one.take_profit_base for one in gated],
        "stop_factor": [stop for stop, _ in factors],
        "target_factor": [target for _, target in factors],
        "stress_threshold": desk.parameters.liquidity_stress_threshold,
        "stressed_stop": rules.STRESSED_STOP,
        "stressed_target": rules.STRESSED_TARGET,
        "two": 2.0,
        **{f"{name}_at": FEATURE_INDEX[name] for name in untrained.READ},
    }


def terms(instrument: Instrument) -> tuple[float, float, float, int, bool]:
    """Return the fields TERMS."""
    tick, lot, least = float(instrument.tick_size), float(instrument.lot_size), float(instrument.min_notional)
    return tick, lot, least, instrument.min_lots, instrument.allows_short


def numbers(desk: "StrategyDesk") -> Mapping[str, Any]:
    """Return the fields FOLLOWING of a desk with the built-in strategy, and PRIOR where the prior decides."""
    assert isinstance(desk.strategy, SmartMoneyFollowerStrategy)
    parameters = desk.parameters
    own = [desk.strategy.parameters.for_regime(regime.value) for regime in Regime]
    gated = [parameters.strategy.for_regime(regime.value) for regime in Regime]
    exits = [
        2.0 * max(*rules.exit_fractions(regime.value, 1.0, one.stop_loss_base, one.take_profit_base, 0.0))
        for regime, one in zip(Regime, own, strict=True)
    ]
    # A strategy whose stops do not enclose the price gives no usable signal.
    is_plain = all(
        min(one.stop_loss_base, one.take_profit_base) > 0.0 and wide < 1.0 and 0.0 < one.max_position_size <= 1.0
        for one, wide in zip(own, exits, strict=True)
    )
    return {
        "threshold": [one.confidence_threshold for one in own],
        "min_liquidity": [one.min_liquidity_score for one in own],
        "gate_liquidity": [one.min_liquidity_score for one in gated],
        "is_plain": is_plain,
        "weights": [(one.weights.regime, one.weights.imbalance, one.weights.liquidity) for one in own],
        "base_score": [rules.regime_score(regime.value, 1.0) for regime in Regime],
        "size_factor": [rules.size_factor(regime.value) for regime in Regime],
        "max_size": [one.max_position_size for one in own],
        "band": [one.rebalance_band for one in gated],
        "stable": rules.STABLE_PROBABILITY,
        "unstable_factor": rules.UNSTABLE_FACTOR,
        "size_floor": rules.SIZE_FLOOR,
        "min_makers": parameters.mm_confidence_threshold,
        "min_confidence": parameters.signals.min_confidence,
        "cost_factor": parameters.engine.risk_adjustment_factor,
        "imbalance_at": FEATURE_INDEX["weighted_imbalance"],
        "stress_at": FEATURE_INDEX["liquidity_stress"],
        "liquidity_at": FEATURE_INDEX["liquidity_score"],
        "makers_at": FEATURE_INDEX["mm_presence"],
        **(_prior_numbers(desk, desk.model) if isinstance(desk.model, PriorModel) else {}),
    }

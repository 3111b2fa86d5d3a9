"""From settings to the small parameter objects that each component defines for itself."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.core.execution.parameters import AttachedStops, EntryStyle, ExecutionParameters
from smartmoney.core.features.parameters import FeatureParameters, ImbalanceParameters, LiquidityParameters
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.core.strategy.parameters import DeskParameters, FeatureEngineParameters, SignalParameters, StrategyParameters
from smartmoney.settings.models import Settings, timeframe_seconds
from smartmoney.simulation.paper_parameters import PaperParameters

_FEES = {"spot": (Decimal(10), Decimal(10)), "usdm": (Decimal(2), Decimal(5))}
"""Maker and taker, in bps: Binance's published base rates."""
_ATTACHED = {("ccxt:bybit", "usdm"): AttachedStops.POSITION, ("ccxt:okx", "usdm"): AttachedStops.ORDER}
"""What becomes of the stop that an entry carries, by venue and market."""
_STOPS_ALONE = frozenset({("ccxt:bybit", "spot")})
"""Where what is to be sold is held for the stop alone, so that the target is watched by the daemon."""
_POSITION_FRACTION_MIN = Decimal("0.25")
_POSITION_ROOM = Decimal("1.25")


class BuiltParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Hold every component's parameters."""

    desk: DeskParameters
    regime: RegimeParameters
    features: FeatureParameters
    execution: ExecutionParameters
    risk: RiskLimits
    paper: PaperParameters


def build_parameters(settings: Settings) -> BuiltParameters:
    """Return every component's parameters, effective."""
    return BuiltParameters(
        desk=desk_parameters(settings),
        regime=regime_parameters(settings),
        features=feature_parameters(settings),
        execution=execution_parameters(settings),
        risk=risk_limits(settings),
        paper=paper_parameters(settings),
    )


def fees_bps(settings: Settings) -> tuple[Decimal, Decimal]:
    """Return maker and taker fee in bps: as configured, else the market's published base rate."""
    maker, taker = _FEES[settings.market]
    fees = settings.fees
    return maker if fees.maker_bps is None else fees.maker_bps, taker if fees.taker_bps is None else fees.taker_bps


def strategy_digest(settings: Settings) -> str:
    """Return the SHA-256, in hexadecimal, of the strategy's keys and their overrides per regime."""
    keys = {
        "strategy": settings.strategy.model_dump(),
        "regimes": {one.value: own.given() for one, own in settings.regime_overrides.items()},
    }
    return hashlib.sha256(json.dumps(keys, sort_keys=True, default=str).encode()).hexdigest()


def strategy_parameters(settings: Settings) -> StrategyParameters:
    """Return the strategy's keys with the overrides per regime; the symbol is the first instrument."""
    return StrategyParameters(
        symbol=settings.instruments[0],
        overrides={regime.value: override.given() for regime, override in settings.regime_overrides.items()},
        **settings.strategy.model_dump(),
    )


def strategy_config(settings: Settings) -> dict[str, Any]:
    """Return the plain mapping that a strategy's constructor takes."""
    return {
        **settings.strategy.model_dump(),
        "symbol": settings.instruments[0],
        "advanced_features_config_path": settings.advanced_features_config_path,
        "regime_overrides": {regime.value: override.given() for regime, override in settings.regime_overrides.items()},
    }


def desk_parameters(settings: Settings) -> DeskParameters:
    """Return what the desk needs."""
    advanced = settings.advanced_features
    return DeskParameters(
        strategy=strategy_parameters(settings),
        signals=SignalParameters(**advanced.signal_generation.model_dump()),
        engine=FeatureEngineParameters(**advanced.feature_engine.model_dump()),
        mm_confidence_threshold=advanced.liquidity_patterns.mm_confidence_threshold,
        liquidity_stress_threshold=advanced.liquidity_patterns.liquidity_stress_threshold,
        large_order_threshold=settings.strategy.large_order_threshold,
        analysis_interval_s=advanced.update_frequency,
        bar_s=timeframe_seconds(settings.strategy.timeframe),
    )


def regime_parameters(settings: Settings) -> RegimeParameters:
    """Return what the regime model needs."""
    return RegimeParameters(
        large_order_threshold=settings.strategy.large_order_threshold,
        **settings.advanced_features.regime_classification.model_dump(),
    )


def feature_parameters(settings: Settings) -> FeatureParameters:
    """Return what the feature kernels need, with the largest order that this configuration can send."""
    return FeatureParameters(
        imbalance=ImbalanceParameters(**settings.advanced_features.order_book_imbalance.model_dump()),
        liquidity=LiquidityParameters(
            **settings.advanced_features.liquidity_patterns.model_dump(),
            order_notional_max=float(settings.equity_start) * _largest_size(settings),
        ),
        large_order_threshold=settings.strategy.large_order_threshold,
        bar_s=timeframe_seconds(settings.strategy.timeframe),
    )


def execution_parameters(settings: Settings) -> ExecutionParameters:
    """Return how orders are worked."""
    maker, taker = fees_bps(settings)
    is_live, where = settings.mode == "live", (settings.venue, settings.market)
    given = settings.execution.model_dump()
    given["entry"] = EntryStyle(given["entry"])
    return ExecutionParameters(
        maker_bps=maker,
        taker_bps=taker,
        signal_decay_time_s=settings.advanced_features.signal_generation.signal_decay_time,
        default_stop_fraction=Decimal(str(settings.strategy.stop_loss_base)),
        default_target_fraction=Decimal(str(settings.strategy.take_profit_base)),
        linked_pairs=not (is_live and settings.market == "usdm"),
        attached=_ATTACHED.get(where, AttachedStops.NONE) if is_live else AttachedStops.NONE,
        watched_targets=is_live and where in _STOPS_ALONE,
        **given,
    )


def risk_limits(settings: Settings) -> RiskLimits:
    """Return the limits. Spot venues exempt nothing from their minimum notional."""
    given = settings.risk.model_dump()
    if given["max_position_fraction"] is None:
        given["max_position_fraction"] = max(_POSITION_FRACTION_MIN, _POSITION_ROOM * Decimal(str(_largest_size(settings))))
    return RiskLimits(max_drawdown=Decimal(str(settings.strategy.max_drawdown)), reduce_only_exempt=settings.market == "usdm", **given)


def paper_parameters(settings: Settings) -> PaperParameters:
    """Return the paper venue's model."""
    maker, taker = fees_bps(settings)
    return PaperParameters(maker_bps=maker, taker_bps=taker, leverage=settings.leverage, **settings.paper.model_dump())


def _largest_size(settings: Settings) -> float:
    overridden = [override.max_position_size for override in settings.regime_overrides.values()]
    return max(settings.strategy.max_position_size, *(size for size in overridden if size is not None), 0.0)

from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.execution.parameters import AttachedStops, EntryStyle
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.settings import Settings, build_parameters, load_settings, strategy_config
from smartmoney.settings.build import execution_parameters, fees_bps
from smartmoney.venues.ccxt_terms import VENUES


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield ".".join(path)


def built_with(key, value, **more):
    return msgspec.to_builtins(build_parameters(load_settings(overrides={key: value, **more})))


BASE = msgspec.to_builtins(build_parameters(Settings()))
CHANGED = {
    "leverage": (2, {"market": "usdm"}),
    "capital": (500, {}),
    "paper_balance": (500, {}),
    "fees.maker_bps": (1, {}),
    "fees.taker_bps": (1, {}),
    "paper.fee_in_base": (True, {}),
    "paper.queue": ("even", {}),
    "execution.entry": ("maker", {}),
    "execution.max_holding_s": (77, {}),
    "risk.max_order_notional": (55, {}),
    "risk.max_position_fraction": (0.9, {}),
    "risk.max_orders_per_minute": (100, {}),
    "strategy.timeframe": ("5m", {}),
    "advanced_features.feature_engine.enable_parallel_processing": (False, {}),
    "regime_overrides.volatile.max_position_size": (0.04, {}),
    "advanced_features.regime_classification.transition_smoothing": (0.5, {}),
}
# Read by the runtime itself, from the settings: no component has a parameter for them.
ELSEWHERE = {
    "mode",
    "venue",
    "market",
    "instruments",
    "api_key.key_file",
    "api_key.secret_file",
    "api_key.passphrase_file",
    "endpoints.rest",
    "endpoints.sapi",
    "endpoints.ws_api",
    "endpoints.ws",
    "model",
    "strategy_class",
    "profile",
    "advanced_features_config_path",
    "advanced_features.enable_logging",
    "advanced_features.log_level",
    "alerts.urls",
    "alerts.events",
    "alerts.interval_s",
    "alerts.feed_loss_s",
    "alerts.timeout_s",
    "alerts.queue_max",
    "guard.lease_s",
    "guard.start_s",
    "guard.action",
    "guard.timer_s",
    "guard.key_file",
    "guard.secret_file",
    "guard.passphrase_file",
    "drift.action",
    "drift.watch_size",
    "drift.act_size",
    "drift.recover_h",
    "training.every_h",
    "training.on_drift",
    "training.promote",
    "training.min_hours",
    "training.max_hours",
    "training.memory_mb",
    "training.limit_h",
    "capture.retention_days",
    "capture.retention_gb",
    "caches.recordings_gb",
    "caches.training_rows_gb",
    "caches.tuned_models_gb",
    "logging.level",
    "logging.format",
    "regime_overrides",
    "sim.scenario",
    "sim.seed",
    "sim.prerun_s",
}


def keys():
    return sorted(set(leaves(Settings().model_dump(mode="json"))) - ELSEWHERE)


def other(key):
    value = Settings().model_dump()
    for part in key.split("."):
        value = value[part]
    return value // 2 if isinstance(value, int) else float(value) * 0.5


@pytest.mark.parametrize("key", sorted({*keys(), *CHANGED}))
def test_every_key_reaches_a_component(key):
    value, more = CHANGED.get(key) or (other(key), {})
    more = {**more, **({"strategy.regime_weight": 0.4} if key.endswith("imbalance_weight") else {})}
    base = msgspec.to_builtins(build_parameters(load_settings(overrides=more))) if more else BASE
    assert built_with(key, value, **more) != base


def test_largest_order_is_the_largest_size_of_what_may_be_used():
    built = build_parameters(load_settings(overrides={"capital": 2000, "regime_overrides.accumulation.max_position_size": 0.5}))
    assert built.features.liquidity.order_notional_max == 1000.0
    assert built.risk.max_position_fraction == Decimal("0.625")


def test_fees_follow_the_market_unless_given():
    assert fees_bps(Settings()) == (Decimal(10), Decimal(10))
    assert fees_bps(Settings(market="usdm")) == (Decimal(2), Decimal(5))
    assert fees_bps(load_settings(overrides={"fees.taker_bps": 7.5})) == (Decimal(10), Decimal("7.5"))


def test_components_get_what_the_configuration_says():
    built = build_parameters(load_settings(profile="aggressive", overrides={"execution.entry": "maker"}))
    assert built.desk.strategy.imbalance_weight == 0.4
    assert built.desk.signals.min_confidence == 0.55
    assert built.execution.entry is EntryStyle.MAKER
    assert built.execution.signal_decay_time_s == 300
    assert built.risk.max_drawdown == Decimal("0.05")
    assert built.regime.min_regime_duration == 30
    assert built.paper.latency_ms == 50


def test_strategy_constructed_from_settings_has_their_parameters():
    settings = load_settings(profile="conservative", overrides={"regime_overrides.volatile.max_position_size": 0.01})
    strategy = SmartMoneyFollowerStrategy(strategy_config(settings))
    assert strategy.parameters == build_parameters(settings).desk.strategy


def test_entries_carry_a_stop_live_at_each_venue_that_makes_one_and_nowhere_else():
    def attached(venue, mode="live", market="usdm"):
        return execution_parameters(Settings(venue=venue, market=market, mode=mode, capital=500)).attached

    for name, terms in VENUES.items():
        makes = any(row.attach is not None for row in terms.markets.values())
        assert (attached(f"ccxt:{name}") is not AttachedStops.NONE) == makes, name
    assert attached("ccxt:bybit", mode="paper") is AttachedStops.NONE
    assert attached("binance") is AttachedStops.NONE
    assert attached("ccxt:bybit", market="spot") is AttachedStops.NONE


def test_a_target_is_watched_only_where_the_venue_holds_what_is_to_be_sold_for_the_stop_alone():
    def watched(venue, market, mode="live"):
        parameters = execution_parameters(Settings(venue=venue, market=market, mode=mode, capital=500))
        return parameters.watched_targets, parameters.linked_pairs

    assert watched("ccxt:bybit", "spot") == (True, True)
    assert watched("ccxt:bybit", "usdm") == (False, False)
    assert watched("binance", "spot") == (False, True)
    assert watched("ccxt:bybit", "spot", mode="paper") == (False, True)

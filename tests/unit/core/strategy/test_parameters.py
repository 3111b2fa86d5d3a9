import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.strategy.parameters import WEIGHT_KEYS, StrategyParameters, balanced_weights, strategy_parameters


def test_defaults_are_the_documented_ones():
    p = StrategyParameters()
    assert (p.symbol, p.timeframe, p.confidence_threshold, p.max_position_size, p.min_liquidity_score) == ("BTC/USD", "1m", 0.75, 0.1, 0.6)
    assert (p.regime_weight, p.imbalance_weight, p.liquidity_weight) == (0.4, 0.3, 0.3)
    assert (p.max_drawdown, p.stop_loss_base, p.take_profit_base, p.large_order_threshold) == (0.05, 0.02, 0.04, 1000.0)


def test_one_weight_given_scales_the_others():
    assert balanced_weights({"regime_weight": 0.5}, StrategyParameters()) == pytest.approx(
        {"regime_weight": 0.5, "imbalance_weight": 0.25, "liquidity_weight": 0.25}
    )


@given(st.dictionaries(st.sampled_from(WEIGHT_KEYS[:2]), st.floats(0, 0.5), min_size=1))
def test_weights_always_sum_to_one_and_keep_what_was_given(given_weights):
    weights = balanced_weights(given_weights, StrategyParameters())
    assert sum(weights.values()) == pytest.approx(1)
    assert all(value >= 0 for value in weights.values())
    assert {key: weights[key] for key in given_weights} == given_weights


@pytest.mark.parametrize(
    "weights",
    [
        {"regime_weight": 0.5, "imbalance_weight": 0.3, "liquidity_weight": 0.3},
        {"regime_weight": -0.1},
        {"regime_weight": 0.8, "imbalance_weight": 0.3},
        {"regime_weight": float("nan")},
    ],
)
def test_weights_that_cannot_sum_to_one_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        balanced_weights(weights, StrategyParameters())


def test_mapping_of_a_strategy_is_read_and_foreign_keys_are_left_alone():
    p = strategy_parameters({"symbol": "ETH/USD", "max_position_size": 0.2, "advanced_features_config_path": "x", "anything": 1})
    assert (p.symbol, p.max_position_size) == ("ETH/USD", 0.2)


def test_wrong_kind_of_value_is_refused():
    with pytest.raises(ValueError, match="strategy"):
        strategy_parameters({"max_position_size": "plenty"})


def test_regime_override_holds_in_its_regime_only():
    p = strategy_parameters({"regime_overrides": {"volatile": {"max_position_size": 0.02, "regime_weight": 0.7}}})
    assert p.for_regime("neutral") is p
    there = p.for_regime("volatile")
    assert there.max_position_size == 0.02
    assert there.weights.regime + there.weights.imbalance + there.weights.liquidity == pytest.approx(1)
    with pytest.raises(ValueError):
        strategy_parameters({"regime_overrides": {"sideways": {}}})

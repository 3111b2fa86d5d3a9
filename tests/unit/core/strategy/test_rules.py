import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.signals import Regime
from smartmoney.core.strategy import rules
from smartmoney.core.strategy.rules import Weights

REGIMES = [regime.value for regime in Regime]
unit = st.floats(0, 1)


def test_the_documented_example_comes_out():
    score = rules.market_score("accumulation", 0.9, 0.3, 0.2, Weights())
    assert score == pytest.approx(0.744, abs=1e-12)
    assert rules.position_size(0.8, "accumulation", 0.2, score, 0.1) == pytest.approx(0.0571392, abs=1e-12)


@pytest.mark.parametrize(
    ("regime", "base"), [("accumulation", 0.9), ("trending", 0.8), ("distribution", 0.7), ("neutral", 0.5), ("volatile", 0.3), ("odd", 0.5)]
)
def test_regime_score_is_base_times_probability(regime, base):
    assert rules.regime_score(regime, 0.5) == pytest.approx(0.5 * base)


def test_regime_enum_counts_as_its_name():
    assert rules.regime_score(Regime.ACCUMULATION, 1.0) == 0.9


def test_conditions_are_strict_at_their_edges():
    at = rules.conditions("neutral", 0.8, 0.1, 0.5, Weights())
    assert (at.regime_stable, at.liquidity_healthy, at.imbalance_significant) == (False, False, False)
    past = rules.conditions("neutral", 0.81, -0.11, 0.49, Weights())
    assert (past.regime_stable, past.liquidity_healthy, past.imbalance_significant) == (True, True, True)


@given(unit, st.sampled_from(REGIMES), unit, unit, st.floats(0.001, 1))
def test_size_stays_between_floor_and_maximum(confidence, regime, stress, score, largest):
    size = rules.position_size(confidence, regime, stress, score, largest)
    assert min(rules.SIZE_FLOOR, largest) <= size <= largest


def test_size_of_a_tiny_maximum_is_the_maximum_not_the_floor():
    assert rules.position_size(1.0, "accumulation", 0.0, 1.0, 0.002) == 0.002


@pytest.mark.parametrize(
    ("regime", "stress", "stop", "target"),
    [
        ("neutral", 0.2, 0.02, 0.04),
        ("trending", 0.7, 0.02, 0.04),
        ("neutral", 0.71, 0.03, 0.052),
        ("volatile", 0.2, 0.026, 0.048),
        ("volatile", 0.8, 0.02 * 1.5 * 1.3, 0.04 * 1.3 * 1.2),
        ("accumulation", 0.2, 0.016, 0.036),
        ("distribution", 0.8, 0.02 * 1.5 * 0.8, 0.04 * 1.3 * 0.9),
    ],
)
def test_stop_and_target_widen_and_tighten(regime, stress, stop, target):
    assert rules.stop_and_target("buy", 100.0, regime, stress, 0.02, 0.04) == pytest.approx((100 * (1 - stop), 100 * (1 + target)))
    assert rules.stop_and_target("sell", 100.0, regime, stress, 0.02, 0.04) == pytest.approx((100 * (1 + stop), 100 * (1 - target)))


def test_stress_threshold_is_the_callers():
    assert rules.exit_fractions("neutral", 0.6, 0.02, 0.04, 0.5) == pytest.approx((0.03, 0.052))


def test_confidence_halves_each_half_of_the_decay_time():
    assert rules.decayed_confidence(0.8, 150.0, 300.0) == pytest.approx(0.4)
    assert rules.decayed_confidence(0.8, 0.0, 300.0) == 0.8
    assert rules.decayed_confidence(0.8, -5.0, 300.0) == 0.8


@given(st.floats(0.5, 1), st.floats(1, 3600))
def test_signal_is_void_just_after_its_life_and_not_before(confidence, decay):
    life = rules.signal_life_s(confidence, decay)
    assert rules.is_void(confidence, life * 1.001 + 1e-6, decay)
    if life > 0.01:
        assert not rules.is_void(confidence, life * 0.999 - 1e-9, decay)


def test_void_at_the_decay_time_however_confident_and_for_nan():
    assert rules.is_void(1.0, 300.0, 300.0)
    assert rules.is_void(math.nan, 1.0, 300.0)
    assert rules.is_void(0.9, math.nan, 300.0)


def test_life_of_a_signal_at_the_default_threshold():
    assert rules.signal_life_s(0.75, 300.0) == pytest.approx(150 * math.log2(1.5))
    assert rules.signal_life_s(0.4, 300.0) == 0.0

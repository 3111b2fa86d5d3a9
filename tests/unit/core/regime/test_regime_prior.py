import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.signals import Regime
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.regime.prior import FEATURES_REQUIRED, RegimeState, step_regime

S = 1_000_000_000
CALM = {
    "tfi_120s": 0.0,
    "weighted_imbalance": 0.0,
    "ofi_l1_10s": 0.0,
    "large_trade_120s": 0.0,
    "large_trade_threshold": 1000.0,
    "efficiency_120s": 0.1,
    "rv_120s": 120.0,
    "rv_600s": 600.0,
    "liquidity_stress": 0.12,
}
ODD = ("tfi_120s", "weighted_imbalance", "ofi_l1_10s", "large_trade_120s")
BUYING = {**CALM, "tfi_120s": 0.5, "weighted_imbalance": 0.3, "large_trade_120s": 6000.0, "ofi_l1_10s": 4.0}
PARAMETERS = RegimeParameters()


def mirrored(features):
    return {name: -value if name in ODD else value for name, value in features.items()}


def run(features, seconds=300, state=None, parameters=PARAMETERS, start=1):
    state = state or RegimeState()
    for second in range(start, start + seconds):
        state = step_regime(state, features, second * S, parameters)
    return state


@pytest.mark.parametrize(
    ("features", "regime"),
    [
        (CALM, Regime.NEUTRAL),
        (BUYING, Regime.ACCUMULATION),
        (mirrored(BUYING), Regime.DISTRIBUTION),
        ({**CALM, "efficiency_120s": 0.8}, Regime.TRENDING),
        ({**CALM, "rv_120s": 120.0 * 5, "liquidity_stress": 0.7}, Regime.VOLATILE),
    ],
)
def test_clear_conditions_give_a_stable_regime(features, regime):
    state = run(features)
    assert state.current_regime is regime
    assert state.regime_probability > 0.8
    assert sum(state.posterior) == pytest.approx(1)


def test_cold_slow_variance_is_not_volatility():
    state = run({**CALM, "rv_600s": math.nan})
    assert state.current_regime is Regime.NEUTRAL
    assert state.posterior == run({name: value for name, value in CALM.items() if name != "rv_600s"}).posterior


@pytest.mark.parametrize("name", FEATURES_REQUIRED)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_feature_that_is_not_finite_changes_nothing(name, value):
    state = run(CALM, 10)
    assert step_regime(state, {**CALM, name: value}, 99 * S, PARAMETERS) is state


def test_a_clock_that_stands_or_falls_back_a_little_changes_nothing():
    state = run(CALM, 100)
    assert step_regime(state, BUYING, state.ts_event_ns, PARAMETERS) is state
    assert step_regime(state, BUYING, state.ts_event_ns - 59 * S, PARAMETERS) is state


def test_another_clock_starts_the_state_afresh():
    state = step_regime(run(CALM, 100), BUYING, S, PARAMETERS)
    assert (state.label, state.ts_event_ns, state.age_s) == (Regime.ACCUMULATION, S, 0)


def test_label_stands_for_the_minimum_duration():
    quick = RegimeParameters(feature_window=2, min_regime_duration=30)
    state = run(BUYING, 1, parameters=quick)
    began = state.label_since_event_ns
    for second in range(2, 80):
        state = step_regime(state, mirrored(BUYING), second * S, quick)
        if state.label is Regime.DISTRIBUTION:
            break
    assert state.label is Regime.DISTRIBUTION
    assert state.label_since_event_ns - began == 30 * S
    assert state.age_s == 0


def test_a_lagging_label_reports_its_own_low_probability():
    quick = RegimeParameters(feature_window=2, min_regime_duration=1000)
    state = run(mirrored(BUYING), 20, run(BUYING, 1, parameters=quick), quick, start=2)
    assert state.label is Regime.ACCUMULATION
    assert state.regime_probability < 0.1


def test_volatility_is_believed_at_once():
    quick = RegimeParameters(feature_window=2, min_regime_duration=1000)
    wild = {**CALM, "rv_120s": 1200.0, "liquidity_stress": 0.8}
    assert run(wild, 20, run(CALM, 1, parameters=quick), quick, start=2).label is Regime.VOLATILE


def test_transition_smoothing_slows_the_posterior():
    def after_two(smoothing):
        p = RegimeParameters(feature_window=2, transition_smoothing=smoothing)
        return run(BUYING, 2, run(CALM, 1, parameters=p), p, start=2).posterior[0]

    assert after_two(0.9) < after_two(0.1)


def test_feature_window_slows_the_evidence():
    def pressure(window):
        p = RegimeParameters(feature_window=window)
        return run(BUYING, 5, run(CALM, 1, parameters=p), p, start=2).evidence.pressure

    assert pressure(200) < pressure(20)


finite = st.floats(-1, 1)
market = st.fixed_dictionaries(
    {
        "tfi_120s": finite,
        "weighted_imbalance": finite,
        "ofi_l1_10s": st.floats(-50, 50),
        "large_trade_120s": st.floats(-1e6, 1e6),
        "large_trade_threshold": st.one_of(st.just(math.nan), st.floats(0, 1e5)),
        "efficiency_120s": st.floats(0, 1),
        "rv_120s": st.floats(0, 1e6),
        "rv_600s": st.one_of(st.just(math.nan), st.floats(0, 1e6)),
        "liquidity_stress": st.floats(0, 1),
    }
)


@given(st.lists(market, min_size=1, max_size=40))
def test_mirror_swaps_accumulation_with_distribution(markets):
    swap = {Regime.ACCUMULATION: Regime.DISTRIBUTION, Regime.DISTRIBUTION: Regime.ACCUMULATION}
    one, other = RegimeState(), RegimeState()
    for second, features in enumerate(markets, 1):
        one = step_regime(one, features, 10 * second * S, PARAMETERS)
        other = step_regime(other, mirrored(features), 10 * second * S, PARAMETERS)
        a, d, *rest = one.posterior
        assert other.posterior == (d, a, *rest)
        assert other.label is swap.get(one.label, one.label)
        assert 0 <= one.entropy <= math.log(5) + 1e-9

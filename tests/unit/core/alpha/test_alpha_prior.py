import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.alpha.prior import FEATURES_REQUIRED, MODEL_NAME, PriorParameters, confidence, flow_score, opportunities, risk_level
from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Regime

FLOW = {
    "tfi_10s": 0.4,
    "tfi_120s": 0.45,
    "weighted_imbalance": 0.2,
    "ofi_l1_10s": 3.0,
    "large_trade_120s": 4000.0,
    "large_trade_threshold": 1000.0,
    "liquidity_score": 0.8,
    "sigma_bar_bps": 6.0,
}
ODD = ("tfi_10s", "tfi_120s", "weighted_imbalance", "ofi_l1_10s", "large_trade_120s")


def see(features, regime=Regime.NEUTRAL, probability=0.9, **changes):
    given_arguments = {"stop_bps": 200.0, "target_bps": 400.0, "cost_bps": 20.0, "parameters": PriorParameters(), **changes}
    return opportunities(features, regime, probability, **given_arguments)


def mirrored(features):
    return {name: -value if name in ODD else value for name, value in features.items()}


def test_persistent_buying_gives_a_confident_buy_that_says_it_is_untrained():
    (found,) = see(FLOW, Regime.ACCUMULATION)
    assert found.side is Side.BUY
    assert found.confidence > 0.75
    assert found.model == MODEL_NAME == "untrained-prior-1"
    assert found.horizon_s == 900


def test_noise_stays_below_the_threshold():
    (found,) = see({**FLOW, "tfi_10s": 0.3, "tfi_120s": 0.1, "weighted_imbalance": 0.05, "large_trade_120s": 500.0, "ofi_l1_10s": 0.0})
    assert found.confidence < 0.6


def test_returns_are_those_of_the_bracket():
    (found,) = see(FLOW)
    assert found.gross_return_bps == pytest.approx(found.confidence * 400 - (1 - found.confidence) * 200)
    assert found.expected_return_bps == pytest.approx(found.gross_return_bps - 20)


def test_regime_against_the_flow_lowers_confidence_and_with_it_raises():
    def belief(regime):
        return see(FLOW, regime)[0].confidence

    assert belief(Regime.DISTRIBUTION) < belief(Regime.VOLATILE) < belief(Regime.NEUTRAL) < belief(Regime.ACCUMULATION)


@pytest.mark.parametrize("name", FEATURES_REQUIRED)
def test_a_feature_that_is_not_finite_gives_no_opinion(name):
    assert see({**FLOW, name: math.nan}) == ()
    assert see({key: value for key, value in FLOW.items() if key != name}) == ()


def test_no_flow_gives_no_opinion():
    assert see(dict.fromkeys(FLOW, 0.0) | {"liquidity_score": 1.0, "sigma_bar_bps": 5.0}) == ()


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_confidence_is_bounded_and_monotone_in_strength(one, other):
    assert 0.5 <= confidence(one) <= 0.95
    if abs(one) <= abs(other):
        assert confidence(one) <= confidence(other)


@given(st.fixed_dictionaries({name: st.floats(-1e4, 1e4) for name in ODD}))
def test_mirror_mirrors_the_side_and_nothing_else(flow):
    features = {**FLOW, **flow}
    assert flow_score(mirrored(features), 1000.0) == -flow_score(features, 1000.0)
    swap = {Regime.ACCUMULATION: Regime.DISTRIBUTION, Regime.NEUTRAL: Regime.NEUTRAL}
    for regime, other in swap.items():
        one, two = see(features, regime), see(mirrored(features), other)
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert a.side is b.side.opposite
            assert (a.confidence, a.gross_return_bps, a.risk_level) == (b.confidence, b.gross_return_bps, b.risk_level)


def test_risk_level_is_by_volatility_per_minute():
    assert [risk_level(sigma, 60.0) for sigma in (3.9, 4.0, 12.0)] == ["low", "medium", "high"]
    assert risk_level(12.0, 3600.0) == "low"

import math

import pytest

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Opportunity, Regime
from smartmoney.core.regime.reading import RegimeReading
from smartmoney.core.strategy.analyzer import AnalyzerUnboundError, Evidence, ModelsNotTrainedError, OrderFlowAnalyzer
from smartmoney.core.strategy.driving import drive

OPPORTUNITY = Opportunity(
    side=Side.SELL,
    confidence=0.8,
    liquidity_score=0.9,
    gross_return_bps=200.0,
    expected_return_bps=180.0,
    risk_level="low",
    horizon_s=900.0,
    model="m",
)


def evidence(**changes):
    fields = {
        "features": {
            "weighted_imbalance": -0.2,
            "imbalance_momentum": 0.1,
            "liquidity_stress": 0.3,
            "mm_presence": 0.6,
            "efficiency_120s": 0.1,
        },
        "regime": RegimeReading(
            label=Regime.DISTRIBUTION, probability=0.85, posterior=(0.05, 0.85, 0.05, 0.03, 0.02), age_s=12.0, entropy=0.5
        ),
        "opportunities": (OPPORTUNITY,),
        "model": "m",
        "is_trained": False,
        "liquidity_stress_threshold": 0.7,
        "importance": {"tfi_120s": 1.0},
    }
    return Evidence(**{**fields, **changes})


def bound(**changes):
    analyzer = OrderFlowAnalyzer({"enable_advanced_features": True})
    analyzer.bind(evidence(**changes))
    return analyzer


def test_analysis_shows_regime_imbalance_and_liquidity():
    analysis = bound().get_advanced_analysis(order_book_data={}, trade_data=[], market_data=None)
    assert analysis["regime"]["current_regime"] == "distribution"
    assert analysis["regime"]["regime_probability"] == 0.85
    assert analysis["regime"]["probabilities"]["distribution"] == 0.85
    assert (analysis["imbalance"]["weighted_imbalance"], analysis["imbalance"]["momentum"]) == (-0.2, 0.1)
    assert (analysis["liquidity"]["liquidity_stress"], analysis["liquidity"]["mm_confidence"]) == (0.3, 0.6)
    assert math.isnan(analysis["liquidity"]["liquidity_score"])


def test_opportunities_cross_as_dictionaries_with_buy_or_sell():
    (found,) = bound().get_alpha_opportunities()
    assert found["signal"] == "sell"
    assert found["expected_return"] == 180.0


def test_every_answer_is_fresh():
    analyzer = bound()
    for ask in (analyzer.get_advanced_analysis, analyzer.get_feature_importance, analyzer.get_feature_status):
        keys = set(ask())
        ask().clear()
        assert set(ask()) == keys
    analyzer.get_advanced_analysis()["regime"]["probabilities"].clear()
    assert analyzer.get_advanced_analysis()["regime"]["probabilities"]
    analyzer.get_alpha_opportunities()[0]["confidence"] = 0.0
    assert analyzer.get_alpha_opportunities()[0]["confidence"] == 0.8


def test_loading_says_that_only_the_untrained_prior_is_there():
    with pytest.raises(ModelsNotTrainedError, match="untrained"):
        drive(bound().load_model())
    with pytest.raises(ModelsNotTrainedError):
        drive(OrderFlowAnalyzer().load_model())
    assert drive(bound(is_trained=True).load_model()) is None


def test_unbound_analyzer_says_so_and_still_reports_its_status():
    analyzer = OrderFlowAnalyzer({})
    with pytest.raises(AnalyzerUnboundError):
        analyzer.get_advanced_analysis()
    with pytest.raises(AnalyzerUnboundError):
        analyzer.get_alpha_opportunities()
    assert analyzer.get_feature_importance() == {}
    assert all(analyzer.get_feature_status().values())


def test_status_shows_a_module_that_is_silent_or_switched_off():
    assert bound(features={"weighted_imbalance": 0.1}).get_feature_status() == {
        "imbalance_enabled": True,
        "regime_enabled": False,
        "liquidity_enabled": False,
    }
    off = OrderFlowAnalyzer({"enable_advanced_features": False})
    assert not off.is_advanced_features_available()
    assert not any(off.get_feature_status().values())


def test_outcomes_are_kept_and_bounded():
    analyzer = OrderFlowAnalyzer()
    for profit in range(1500):
        drive(analyzer.update_performance({"profit": profit}))
    assert len(analyzer.outcomes) == 1000
    assert analyzer.outcomes[-1] == {"profit": 1499}

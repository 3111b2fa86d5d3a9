import asyncio
import math
from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.domain.entries import ScaleState
from smartmoney.core.domain.signals import FeedTrust, Refusal, RefusalCode, Signal, SignalType
from smartmoney.core.strategy import rules
from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.core.strategy.desk import Accepted, StrategyDesk
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.core.strategy.parameters import DeskParameters, FeatureEngineParameters, SignalParameters, StrategyParameters

from .markets import BUYING, CALM, LEANING, USDM, S, mirrored, view

C = RefusalCode
UNSTABLE = {**BUYING, "efficiency_120s": 0.88}
"""Strong buying in which trending is nearly as likely: no regime is stable."""


def desk(user=None, /, **changes):
    parameters = DeskParameters(**changes)
    config = msgspec.structs.asdict(parameters.strategy)
    config["regime_overrides"] = config.pop("overrides")
    made = StrategyDesk(user or SmartMoneyFollowerStrategy(config), parameters)
    made.initialize()
    return made


def code(decision):
    assert isinstance(decision, Refusal), decision
    return decision.code


def test_persistent_buying_becomes_a_signal_sized_and_stopped_by_the_rules():
    decision = desk().decide(view())
    assert isinstance(decision, Accepted)
    signal = decision.signal
    assert (signal.signal_type, signal.symbol, signal.signal_id) == (SignalType.BUY, "BTC/USDT", "s-1000.0")
    meta = signal.metadata
    assert meta["strategy"] == "smart_money_follower"
    assert meta["regime"] == "accumulation"
    assert meta["model"] == "untrained-prior-1"
    assert meta["effective_confidence"] == signal.confidence > 0.75
    assert {"imbalance", "liquidity_stress", "market_score", "expected_return", "risk_level", "explanation", "features_at"} <= set(meta)
    expected = rules.position_size(signal.confidence, "accumulation", 0.12, meta["market_score"], 0.1)
    assert signal.quantity == expected
    assert (signal.stop_loss, signal.take_profit) == rules.stop_and_target("buy", signal.price, "accumulation", 0.12, 0.02, 0.04)
    lots = int(Decimal(repr(signal.quantity)) * 10_000 / Decimal("60000.01") / Decimal("0.00001"))
    assert (decision.target_lots, decision.delta_lots, decision.reduces) == (lots, lots, False)
    assert decision.outlook.horizon_s == 900


def test_selling_mirrors_buying_on_futures():
    buy, sell = desk().decide(view(grid=USDM)), desk().decide(view(mirrored(BUYING), grid=USDM))
    assert sell.signal.signal_type is SignalType.SELL
    assert sell.signal.confidence == buy.signal.confidence
    assert sell.delta_lots < 0 < buy.delta_lots
    assert sell.signal.stop_loss > sell.signal.price > sell.signal.take_profit


def test_calm_market_offers_nothing():
    assert code(desk().decide(view(CALM))) is C.NO_OPPORTUNITY


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        (C.WARMING, {"warming": True}),
        (C.MODEL_UNTRAINED, {"untrained_in_live": True}),
        (C.FEED_NOT_SYNCED, {"trust": FeedTrust.SUSPECT}),
        (C.FEED_NOT_SYNCED, {"trust": FeedTrust.STALE}),
        (
            C.LOW_CONFIDENCE,
            {"features": {**BUYING, **LEANING}},
        ),
        (C.LOW_LIQUIDITY, {"features": {**BUYING, "liquidity_score": 0.59}}),
        (C.MAKERS_ABSENT, {"features": {**BUYING, "mm_presence": 0.29}}),
        (C.EDGE_TOO_SMALL, {"cost_bps": 400.0}),
        (C.AT_TARGET, {"working_lots": 1_000_000}),
        (C.NO_POSITION, {"features": mirrored(BUYING)}),
        (C.BELOW_MIN_NOTIONAL, {"equity": Decimal(10)}),
        (C.NOT_WARM, {"equity": None}),
        (C.HALTED, {"halted": True}),
    ],
)
def test_each_gate_refuses_with_its_code(expected, changes):
    assert code(desk().decide(view(**changes))) is expected


def test_gates_are_asked_in_the_documented_order():
    """Everything wrong at once: mending the first cause uncovers the next."""
    features = {
        **BUYING,
        **LEANING,
        "liquidity_score": 0.1,
        "mm_presence": 0.1,
        "efficiency_120s": math.nan,
    }
    state = {"trust": FeedTrust.STALE, "cost_bps": 400.0, "working_lots": 10**6, "halted": True, "warming": True, "untrained_in_live": True}
    desk_ = desk(signals=SignalParameters(max_signals_per_minute=0, min_confidence=0.945))
    seen, at = [], 1000.0

    def ask():
        nonlocal at
        at += 1000
        seen.append(code(desk_.decide(view(features, at_s=at, **state))))

    ask()
    state["warming"] = False
    ask()
    features["efficiency_120s"] = 0.1
    ask()
    state["untrained_in_live"] = False
    ask()
    state["trust"] = FeedTrust.SYNCED
    ask()
    features |= {name: BUYING[name] for name in LEANING}
    ask()
    features["liquidity_score"] = 0.8
    ask()
    features["mm_presence"] = 0.7
    ask()
    features |= {"tfi_120s": 0.9, "tfi_10s": 0.9, "weighted_imbalance": 0.8}
    ask()
    state["cost_bps"] = 20.0
    ask()
    state["working_lots"] = 0
    ask()
    desk_.rate = desk().rate
    ask()
    assert seen == [
        C.WARMING,
        C.NOT_WARM,
        C.MODEL_UNTRAINED,
        C.FEED_NOT_SYNCED,
        C.LOW_CONFIDENCE,
        C.LOW_LIQUIDITY,
        C.MAKERS_ABSENT,
        C.BELOW_MIN_CONFIDENCE,
        C.EDGE_TOO_SMALL,
        C.AT_TARGET,
        C.RATE_LIMITED,
        C.HALTED,
    ]


REQUIRED = sorted({*desk().model.features_required, "mm_presence", "liquidity_score", "liquidity_stress", "weighted_imbalance"})


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_an_input_that_is_not_finite_is_named(name, value):
    features = {key: item for key, item in BUYING.items() if key != name} if value is None else {**BUYING, name: value}
    refusal = desk().decide(view(features))
    assert (code(refusal), refusal.detail) == (C.NOT_WARM, name)


@pytest.mark.parametrize(("name", "value"), [("bid", math.nan), ("ask", 0.0), ("ask", -1.0), ("cost_bps", math.nan)])
def test_a_price_or_cost_that_is_not_usable_is_named(name, value):
    refusal = desk().decide(view(**{name: value}))
    assert (code(refusal), refusal.detail) == (C.NOT_WARM, name)


def test_unstable_regime_discounts_the_confidence_and_never_the_opportunity():
    made = desk()
    decision = made.decide(view(UNSTABLE))
    (offered,) = made.strategy.analyzer.get_alpha_opportunities()
    assert made.regime(0).probability <= 0.8
    assert isinstance(decision, Accepted)
    assert decision.signal.confidence == offered["confidence"] * 0.8
    assert made.strategy.analyzer.get_alpha_opportunities() == [offered]


def test_unstable_regime_needs_the_effective_threshold():
    made = desk(signals=SignalParameters(min_confidence=0.8))
    refusal = made.decide(view(UNSTABLE))
    assert code(refusal) is C.BELOW_MIN_CONFIDENCE
    assert refusal.value < refusal.limit == 0.8


def test_the_analyzers_own_threshold_decides_what_is_offered():
    made = desk(engine=FeatureEngineParameters(confidence_threshold=0.94))
    assert code(made.decide(view())) is C.NO_OPPORTUNITY


@pytest.mark.parametrize(
    "changes",
    [
        {"trust": FeedTrust.STALE},
        {"features": {**mirrored(BUYING), "liquidity_score": 0.01}},
        {"features": {**mirrored(BUYING), "mm_presence": 0.01}},
        {"cost_bps": 5000.0},
        {"equity": None},
    ],
)
def test_getting_out_skips_feed_liquidity_cost_and_equity(changes):
    decision = desk().decide(view(**{"features": mirrored(BUYING), "position_lots": 1000, **changes}))
    assert isinstance(decision, Accepted)
    assert (decision.target_lots, decision.delta_lots, decision.reduces) == (0, -1000, True)


def test_getting_out_skips_the_rate_and_counts_in_it():
    made = desk(signals=SignalParameters(max_signals_per_minute=1))
    assert isinstance(made.decide(view(mirrored(BUYING), position_lots=1000)), Accepted)
    assert isinstance(made.decide(view(mirrored(BUYING), position_lots=1000, at_s=1001)), Accepted)
    # A minute on, so that the regime and the flow agree again.
    assert code(desk_decide_buy(made, 1050)) is C.RATE_LIMITED
    assert isinstance(desk_decide_buy(made, 1062), Accepted)


def desk_decide_buy(made, at_s):
    return made.decide(view(BUYING, at_s=at_s, instrument=1))


def test_getting_out_still_needs_confidence_and_no_halt():
    weak = {name: value * 0.5 if abs(value) < 1 else value for name, value in mirrored(BUYING).items()}
    weak |= {"liquidity_score": 0.8, "mm_presence": 0.7, "large_trade_120s": 0.0}
    assert code(desk().decide(view(weak, position_lots=1000))) in {C.LOW_CONFIDENCE, C.NO_OPPORTUNITY}
    assert code(desk().decide(view(mirrored(BUYING), position_lots=1000, halted=True))) is C.HALTED


def test_unsynced_feed_with_a_position_still_refuses_more_of_it():
    assert code(desk().decide(view(position_lots=100, trust=FeedTrust.SUSPECT))) is C.FEED_NOT_SYNCED


def test_rate_is_shared_by_all_instruments():
    made = desk(signals=SignalParameters(max_signals_per_minute=3))
    decisions = [made.decide(view(instrument=index)) for index in range(5)]
    assert [isinstance(decision, Accepted) for decision in decisions] == [True, True, True, False, False]
    assert code(decisions[3]) is C.RATE_LIMITED


def test_a_decision_that_a_later_gate_refuses_uses_no_rate():
    made = desk(signals=SignalParameters(max_signals_per_minute=1))
    for at_s in range(1000, 1020):
        made.decide(view(at_s=at_s, halted=True))
    assert isinstance(made.decide(view(at_s=1021)), Accepted)


def test_analysis_is_made_no_more_often_than_its_interval():
    made = desk(analysis_interval_s=10.0)
    made.decide(view(CALM, at_s=1000))
    assert code(made.decide(view(BUYING, at_s=1005))) is C.NO_OPPORTUNITY
    assert made.regime(0).age_s == 0
    made.decide(view(BUYING, at_s=1010))
    assert made.regime(0).age_s == 10


def test_a_monotonic_clock_that_starts_over_after_warm_up_stops_no_analysis():
    made = desk(analysis_interval_s=1.0)
    made.decide(view(at_s=5000, warming=True))
    later = msgspec.structs.replace(view(at_s=5010), now_mono_ns=3 * S)
    assert isinstance(made.decide(later), Accepted)
    assert made.regime(0).age_s == 10


def test_regime_is_kept_going_while_warming():
    made = desk()
    for second in range(1000, 1040):
        assert code(made.decide(view(at_s=second, warming=True))) is C.WARMING
    assert made.regime(0).age_s == 39


def test_regime_overrides_hold_in_their_regime():
    strategy = StrategyParameters(overrides={"accumulation": {"max_position_size": 0.02, "stop_loss_base": 0.01}})
    signal = desk(strategy=strategy).decide(view()).signal
    assert signal.quantity <= 0.02
    assert signal.stop_loss == pytest.approx(signal.price * (1 - 0.008))
    strict = StrategyParameters(overrides={"accumulation": {"confidence_threshold": 0.95}})
    assert code(desk(strategy=strict).decide(view())) is C.LOW_CONFIDENCE


def test_appending_the_future_changes_no_past_decision():
    def decisions(n):
        made = desk()
        return [made.decide(view(BUYING if i % 50 < 30 else CALM, at_s=1000 + i)) for i in range(n)]

    assert decisions(60) == decisions(120)[:60]


def saying(answer):
    class Saying(OrderFlowStrategy):
        async def generate_signals(self):
            return answer(self)

    return Saying({})


def good(strategy, **changes):
    price = strategy.current_price
    fields = {
        "signal_type": SignalType.BUY,
        "symbol": strategy.symbol,
        "price": price,
        "quantity": 0.05,
        "confidence": 0.8,
        "stop_loss": price * 0.98,
        "take_profit": price * 1.04,
    }
    return Signal(**{**fields, **changes})


def test_a_users_signal_passes_the_same_gates():
    assert isinstance(desk(saying(lambda s: [good(s)])).decide(view(CALM)), Accepted)
    assert code(desk(saying(lambda s: [good(s)])).decide(view({**CALM, "liquidity_score": 0.5}))) is C.LOW_LIQUIDITY
    assert code(desk(saying(lambda s: [good(s)])).decide(view({**CALM, "mm_presence": 0.1}))) is C.MAKERS_ABSENT
    assert code(desk(saying(lambda s: [good(s, confidence=0.6)])).decide(view(CALM))) is C.BELOW_MIN_CONFIDENCE
    close = lambda s: [good(s, take_profit=s.current_price * 1.004, stop_loss=s.current_price * 0.996)]  # noqa: E731
    assert code(desk(saying(close)).decide(view(CALM))) is C.EDGE_TOO_SMALL


@pytest.mark.parametrize(
    "answer",
    [
        lambda s: [good(s, quantity=0.0)],
        lambda s: [good(s, quantity=-0.1)],
        lambda s: [good(s, quantity=1.5)],
        lambda s: [good(s, quantity=math.nan)],
        lambda s: [good(s, confidence=math.nan)],
        lambda s: [good(s, confidence=1.2)],
        lambda s: [good(s, price="high")],
        lambda s: [good(s, symbol="DOGE/USDT")],
        lambda s: [good(s, stop_loss=s.current_price * 1.1)],
        lambda s: [good(s, signal_type=SignalType.SELL)],
        lambda s: [good(s, signal_type="buy")],
        lambda s: [good(s, metadata=[1])],
        lambda s: ["buy"],
        lambda s: 7,
        lambda s: 1 / 0,
        lambda s: s.nonsense,
    ],
)
def test_a_users_fault_is_a_coded_refusal_never_a_crash(answer):
    refusal = desk(saying(answer)).decide(view())
    assert code(refusal) is C.STRATEGY_FAULT
    assert refusal.detail


def test_a_coroutine_that_really_waits_is_a_fault():
    class Waiting(OrderFlowStrategy):
        async def generate_signals(self):
            await asyncio.sleep(0)
            return []

    refusal = desk(Waiting({})).decide(view())
    assert code(refusal) is C.STRATEGY_FAULT
    assert "waited" in refusal.detail


def test_a_users_strategy_that_is_silent_or_not_async_is_fine():
    class Plain(OrderFlowStrategy):
        def generate_signals(self):
            return None

    assert code(desk(Plain({})).decide(view())) is C.NO_OPPORTUNITY


def test_most_confident_of_several_signals_speaks():
    answer = lambda s: [good(s, confidence=0.7), good(s, confidence=0.9), good(s, confidence=0.8)]  # noqa: E731
    assert desk(saying(answer)).decide(view(CALM)).signal.confidence == 0.9


def test_what_a_user_keeps_cannot_change_what_was_accepted():
    kept = []

    def answer(strategy):
        kept.append(good(strategy, metadata={"note": "mine", "thing": object(), "list": [1, 2]}))
        return list(kept)

    accepted = desk(saying(answer)).decide(view(CALM))
    kept[0].quantity = 1.0
    kept[0].metadata["note"] = "changed"
    assert accepted.signal.quantity == 0.05
    assert accepted.signal.metadata["note"] == "mine"
    assert accepted.signal.metadata["thing"] == "<object>"
    msgspec.msgpack.encode(accepted.signal)


def test_a_user_cannot_write_to_the_market_it_is_shown():
    def answer(strategy):
        strategy.market_data.features["tfi_10s"] = 1.0

    assert code(desk(saying(answer)).decide(view())) is C.STRATEGY_FAULT


def test_faults_in_the_other_methods_are_told_not_thrown():
    class Bad(OrderFlowStrategy):
        async def initialize(self):
            raise RuntimeError("no")

        async def generate_signals(self):
            return []

        async def on_signal_executed(self, signal, execution_result):
            raise RuntimeError("no")

        async def on_trade_closed(self, trade_result):
            raise RuntimeError("no")

        def get_performance_summary(self):
            raise RuntimeError("no")

    made = StrategyDesk(Bad({}), DeskParameters())
    assert "no" in made.initialize()
    signal = desk().decide(view()).signal
    assert "no" in made.on_signal_executed(signal, {})
    assert "no" in made.on_trade_closed({"profit": 1})
    assert made.performance() == {"fault": "RuntimeError: no"}


def test_life_cycle_is_counted():
    made = desk(signals=SignalParameters(max_signals_per_minute=100))
    assert "no trained model" in made.initialize()
    accepted = [made.decide(view(at_s=1000 + i)) for i in range(3)]
    made.decide(view(CALM, at_s=1010))
    for decision in accepted[:2]:
        assert made.on_signal_executed(decision.signal, {"price": 60_000.0}) is None
    made.on_trade_closed({"profit": 3.0})
    made.on_trade_closed({"profit": 0.0})
    summary = made.performance()
    assert summary["signals_generated"] == 3
    assert summary["signals_executed"] == 2
    assert summary["profitable_signals"] == 1
    assert summary["win_rate"] == 0.5
    assert summary["recent_signals"] == 3
    assert summary["average_confidence"] == pytest.approx(sum(d.signal.confidence for d in accepted) / 3)
    assert summary["regime_distribution"] == {"accumulation": 1.0}
    assert len(made.strategy.analyzer.outcomes) == 2
    assert made.feature_status() == {"imbalance_enabled": True, "regime_enabled": True, "liquidity_enabled": True}
    importance = made.feature_importance()
    assert sum(importance.values()) == pytest.approx(1)
    assert list(importance.values()) == sorted(importance.values(), reverse=True)


def test_histories_stay_bounded_and_the_distribution_is_of_the_last_hundred():
    made = desk()
    for i in range(150):
        made.decide(view(CALM, at_s=1000 + i))
    for i in range(400):
        made.decide(view(BUYING, at_s=2000 + i))
    assert len(made.strategy.performance.recent_regimes) == 100
    assert made.performance()["regime_distribution"] == {"accumulation": 1.0}
    assert len(made.strategy.performance.recent_signals) == 100
    assert made.performance()["signals_generated"] > 100


def test_entries_that_drift_has_shrunk_say_so_and_by_how_much():
    whole, half, none = desk(), desk(), desk()
    half.scale = ScaleState(factor=0.5, reason="drift: made up")
    none.scale = ScaleState(factor=0.0, reason="drift: made up")
    full, shrunk = whole.decide(view()), half.decide(view())
    assert shrunk.delta_lots == full.delta_lots // 2
    assert shrunk.signal.quantity == full.signal.quantity
    assert shrunk.signal.metadata["size_factor"] == 0.5
    assert shrunk.signal.metadata["explanation"].endswith("; size x 0.5: drift: made up")
    assert "size_factor" not in full.signal.metadata
    refusal = none.decide(view())
    assert (refusal.code, refusal.detail) == (C.SIZE_SHRUNK, "drift: new entries are scaled by 0")

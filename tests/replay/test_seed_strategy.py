"""The program that the product grew from runs here with only its import lines changed, and says what the built-in strategy says."""

import math
import random
import re

import msgspec
import pytest

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.signals import FeedTrust, MarketData, Refusal, RefusalCode
from smartmoney.core.strategy.desk import Accepted, DecisionView, StrategyDesk
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.core.strategy.parameters import DeskParameters, SignalParameters, StrategyParameters

S = 1_000_000_000
DECISIONS = 1500
CONFIG = {"symbol": "BTC/USDT", "confidence_threshold": 0.75, "max_position_size": 0.1, "min_liquidity_score": 0.6}
COMPARED = ("signal_type", "symbol", "price", "quantity", "confidence", "stop_loss", "take_profit")


@pytest.fixture(scope="module")
def seed_program(seed_document):
    """Run the document's first code block with its imports pointed here."""
    block = re.search(r"```python\n(.*?)```", seed_document.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    source, changed = re.subn(r"^from src\.[\w.]+ import ", "from smartmoney import ", block[1], flags=re.MULTILINE)
    assert changed == 4
    namespace = {"__name__": "seed_program"}
    exec(compile(source, str(seed_document), "exec"), namespace)
    return namespace


def views(grid, *, position=0, seed=7):
    """Walk a market through regimes, imbalances and stresses; a new target is wanted at every decision."""
    chance, flow, stress, wild = random.Random(seed), 0.0, 0.2, 1.0
    for index in range(DECISIONS):
        if index % 60 == 0:
            flow, stress, wild = chance.uniform(-0.9, 0.9), chance.uniform(0.0, 1.0), chance.choice([0.5, 1.0, 1.0, 6.0])
        lean = lambda spread: max(-1.0, min(1.0, flow + chance.gauss(0.0, spread)))  # noqa: B023, E731
        features = {
            "spread_bps": 0.2,
            "imbalance_momentum": chance.uniform(-1, 1),
            "weighted_imbalance": lean(0.1),
            "ofi_l1_10s": 10 * lean(0.2),
            "tfi_10s": lean(0.2),
            "tfi_120s": lean(0.05),
            "large_trade_120s": 1e4 * lean(0.1),
            "large_trade_threshold": 1000.0,
            "efficiency_120s": chance.uniform(0.0, 0.6),
            "rv_120s": 120.0 * wild,
            "rv_600s": 600.0,
            "sigma_bar_bps": chance.uniform(1, 20),
            "liquidity_stress": stress,
            "liquidity_score": chance.uniform(0.5, 1.0),
            "mm_presence": 0.7,
        }
        bid = 60_000 + 10 * chance.randint(0, 100)
        market = MarketData(
            symbol="BTCUSDT",
            ts_event_ns=(index + 1) * S,
            bid=float(bid),
            ask=bid + 0.1,
            bid_quantity=1.0,
            ask_quantity=1.0,
            trust=FeedTrust.SYNCED,
            features=features,
        )
        yield DecisionView(
            instrument=0,
            grid=grid,
            market=market,
            warming=False,
            halted=False,
            untrained_in_live=False,
            position_lots=position,
            working_lots=0,
            equity=100_000,
            now_mono_ns=(index + 1) * S,
            now_event_ns=(index + 1) * S,
            cost_bps=10.1,
            next_signal_id=f"s{index}",
        )


def grid_of(market):
    from decimal import Decimal

    return Instrument(
        venue="sim",
        market=market,
        symbol="BTCUSDT",
        name="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.00001"),
    )


def desk_of(strategy):
    from decimal import Decimal

    parameters = DeskParameters(
        strategy=StrategyParameters(**CONFIG), signals=SignalParameters(max_signals_per_minute=10_000, min_confidence=0.5)
    )
    made = StrategyDesk(strategy, parameters)
    made.initialize()
    return lambda view: made.decide(msgspec.structs.replace(view, equity=Decimal(view.equity))), made


def test_the_seed_programs_class_says_what_the_built_in_one_says(seed_program):
    ask_seed, seed = desk_of(seed_program["SmartMoneyFollowerStrategy"](dict(CONFIG)))
    ask_own, own = desk_of(SmartMoneyFollowerStrategy(dict(CONFIG)))
    accepted, sides, regimes, levels = 0, set(), set(), set()
    for view in views(grid_of(Market.USDM)):
        theirs, ours = ask_seed(view), ask_own(view)
        assert type(theirs) is type(ours)
        if isinstance(ours, Refusal):
            # The seed does not say why it is silent; the built-in strategy does.
            assert theirs.code is ours.code or (
                theirs.code is RefusalCode.NO_OPPORTUNITY and ours.code in {RefusalCode.LOW_CONFIDENCE, RefusalCode.LOW_LIQUIDITY}
            )
            continue
        assert isinstance(theirs, Accepted)
        for name in COMPARED:
            said, expected = getattr(theirs.signal, name), getattr(ours.signal, name)
            assert said == expected or math.isclose(said, expected, rel_tol=1e-12), name
        assert theirs.signal.metadata.keys() == ours.signal.metadata.keys()
        for name, expected in ours.signal.metadata.items():
            said = theirs.signal.metadata[name]
            assert said == expected or math.isclose(said, expected, rel_tol=1e-12), name
        assert (theirs.target_lots, theirs.delta_lots) == (ours.target_lots, ours.delta_lots)
        accepted += 1
        sides.add(ours.signal.signal_type)
        regimes.add(ours.signal.metadata["regime"])
        levels.add(ours.signal.metadata["liquidity_stress"] > 0.7)
    assert accepted > 200
    assert len(sides) == 2
    assert regimes >= {"accumulation", "distribution"}
    assert levels == {True, False}
    theirs, ours = seed.performance(), own.performance()
    for name in ("signals_generated", "signals_executed", "profitable_signals", "win_rate", "recent_signals"):
        assert theirs[name] == ours[name], name
    assert theirs["regime_distribution"] == pytest.approx(ours["regime_distribution"])


def test_the_seed_programs_class_lives_its_whole_life(seed_program):
    ask, desk = desk_of(seed_program["SmartMoneyFollowerStrategy"](dict(CONFIG)))
    signal = next(found.signal for view in views(grid_of(Market.USDM)) if isinstance(found := ask(view), Accepted))
    assert desk.on_signal_executed(signal, {"price": 60_000.0}) is None
    assert desk.on_trade_closed({"profit": 5.0}) is None
    summary = desk.performance()
    assert (summary["signals_executed"], summary["profitable_signals"], summary["win_rate"]) == (1, 1, 1.0)
    assert len(desk.strategy.analyzer.outcomes) == 1


def test_the_seed_programs_own_configuration_constructs_both(seed_program):
    strategy = seed_program["create_smart_money_strategy"]()
    assert strategy.symbol == "BTC/USD"
    assert strategy.analyzer.is_advanced_features_available()
    assert set(strategy.analyzer.get_feature_status()) == {"imbalance_enabled", "regime_enabled", "liquidity_enabled"}
    assert strategy.get_performance_summary()["win_rate"] == 0


def test_the_seed_programs_advanced_configuration_is_the_packages_default(seed_program, tmp_path):
    from smartmoney.settings import load_settings

    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "advanced_features_config.yaml").write_text(seed_program["ADVANCED_FEATURES_CONFIG"])
    (tmp_path / "paper.yaml").write_text("mode: paper\n")
    assert load_settings(tmp_path / "paper.yaml").advanced_features == load_settings().advanced_features

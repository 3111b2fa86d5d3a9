"""The seed's class, run as a user's strategy through the whole engine, orders what the built-in strategy orders."""

import re

import pytest

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.commands import RecordSignal, SubmitOrder
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.replay_frames import frame_replay
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket

SECONDS = 900
EAGER = {
    "model": "prior",
    "market": "usdm",
    "strategy.rebalance_band": 0.0,
    "strategy.confidence_threshold": 0.6,
    "advanced_features.signal_generation.min_confidence": 0.5,
    "advanced_features.feature_engine.confidence_threshold": 0.5,
}
SAME = ("signal_type", "symbol", "price", "quantity", "confidence", "stop_loss", "take_profit")
SAME_METADATA = ("strategy", "regime", "imbalance", "liquidity_stress", "market_score", "expected_return", "risk_level")


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    base = tmp_path_factory.mktemp("seed") / "market"
    prerun(SyntheticMarket(5, symbols=("BTCUSDT",)), 1_700_000_000_000_000_000, SECONDS, base)
    return capture_path(base, Market.USDM, "BTCUSDT")


@pytest.fixture(scope="module")
def configuration(seed_document, tmp_path_factory):
    """Write the seed's class to a module beside a configuration that names it; only its import lines are changed."""
    block = re.search(r"```python\n(.*?)```", seed_document.read_text(encoding="utf-8"), re.DOTALL)
    source, changed = re.subn(r"^from src\.[\w.]+ import ", "from smartmoney import ", block[1], flags=re.MULTILINE)
    assert changed == 4
    folder = tmp_path_factory.mktemp("user")
    (folder / "seed_strategy_of_a_user.py").write_text(source)
    (folder / "paper.yaml").write_text("mode: paper\nstrategy_class: seed_strategy_of_a_user:SmartMoneyFollowerStrategy\n")
    return folder / "paper.yaml"


def run(recording, settings):
    assert sum(1 for _ in read_recording(recording)) > 10_000
    replay, frames = frame_replay([recording], "usdm", settings)
    commands, step = [], replay.engine.step

    def listening(entry):
        done = step(entry)
        commands.extend(done)
        return done

    replay.engine.step = listening
    replay.run(frames)
    return replay.engine, commands


def said(commands):
    return [
        {name: getattr(command.signal, name) for name in SAME} | {name: command.signal.metadata[name] for name in SAME_METADATA}
        for command in commands
        if isinstance(command, RecordSignal)
    ]


def ordered(commands):
    intents = [command.approved.intent for command in commands if isinstance(command, SubmitOrder)]
    return [(intent.client_order_id, intent.side, intent.type, intent.lots, intent.price_ticks, intent.stop_ticks) for intent in intents]


def test_the_seed_class_signals_and_orders_as_the_built_in_strategy_does(recording, configuration):
    built_in, ours = run(recording, load_settings(None, overrides=EAGER))
    user, theirs = run(recording, load_settings(configuration, overrides=EAGER))
    assert type(user.brain.desk.strategy) is not type(built_in.brain.desk.strategy)
    assert {signal["signal_type"].value for signal in said(ours)} == {"buy", "sell"}
    assert said(theirs) == said(ours)
    assert ordered(theirs) == ordered(ours)
    assert user.counters.decisions == built_in.counters.decisions

"""Which model a run decides by, how it changes while it runs, and that a replay has the same one."""

import asyncio
import contextlib
import re
import shutil
from decimal import Decimal

import msgspec
import pytest
from structlog.testing import capture_logs

from smartmoney.adapters.journal import Checkpoint, Journal, RunHeader, record
from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import AccountReported, EntryKind, ModelActivated, WarmUpEnded
from smartmoney.core.models.bundle import Gate
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.doctor import _window
from smartmoney.runtime.explaining import Explainer
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.models import PRIOR_NAME, ModelNotFitForLive, ModelNotFound, Models, check_fit
from smartmoney.runtime.modes import is_rehearsal
from smartmoney.runtime.replay import ReplayRefused, replay_run
from smartmoney.runtime.storage import open_run
from smartmoney.settings.load import load_settings
from smartmoney.settings.models import Settings

from .market import items_of, loop_of
from .market import record as record_market

HEADER = {
    "mode": "paper",
    "venue": "sim",
    "market": "spot",
    "build": "",
    "config_hash": "",
    "config": "",
    "model": "",
    "seed": 0,
    "started_wall_ns": 0,
}


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed")
    recordings, instruments = record_market(folder, 300, now().wall_ns)
    return list(items_of(recordings["BTCUSDT"])), instruments


def lived(state, feed, model, activations=(), bundles=()):
    """Live a run that starts with a model and activates others at some items; return its layout, id, engine and what each decision said."""
    items, instruments = feed
    state.mkdir()
    layout = StateLayout(state)
    models = Models(layout.models)
    for bundle in bundles:
        models.store.add(bundle)
    names = []
    with open_run(load_settings(), layout, instruments, model) as run:
        engine, loop = loop_of(instruments, run.capture, run.started.run_id, model, models.bundle)
        stamp = Stamp(items[0].stamp.wall_ns, items[0].stamp.mono_ns)
        loop.process(Item(EntryKind.EVENT, stamp, payload=WarmUpEnded()))
        loop.process(Item(EntryKind.EVENT, stamp, payload=AccountReported(orders=(), positions=())))
        for k, item in enumerate(items):
            for at, hash_ in activations:
                if at == k:
                    loop.process(Item(EntryKind.EVENT, item.stamp, payload=ModelActivated(model=hash_)))
            loop.process(item)
            names.append(engine.brain.model_name)
        run.journal.commit([record(loop.seq, now().wall_ns, Checkpoint(engine.digest))])
        run.journal.end_run(now().wall_ns, loop.seq, engine.digest)
    return layout, run.started.run_id, engine, names


def test_a_run_with_a_trained_model_and_a_change_replays_to_the_same_digest(tmp_path, feed, bundles):
    first, second = (
        bundles.small_bundle(return_scale=30.0, calibrated=(0.94, 0.97, 0.99)),
        bundles.small_bundle(name="second", return_scale=40.0),
    )
    half = len(feed[0]) // 2
    layout, run_id, engine, names = lived(tmp_path / "a", feed, first.hash, [(half, second.hash)], (first, second))
    assert (names[half - 1], names[half]) == (first.name, second.name)
    assert engine.view().model_hash == second.hash
    assert engine.counters.decisions > 100
    assert engine.brain.regime(0) is not None
    asyncio.run(the_signals_are_explained(engine, layout))
    again, comparison = replay_run(layout, run_id)
    assert comparison.is_identical
    assert again.digest == engine.digest
    assert again.brain.model_name == second.name


async def the_signals_are_explained(engine, layout):
    outbox = asyncio.Queue()
    assert engine.counters.signals > 0, engine.counters.refusals
    batch = await Explainer(engine, outbox, lambda: 77).explained()
    assert (batch.last_seq, batch.commands, batch.has_orders) == (77, (), False)
    assert await Explainer(engine, outbox, lambda: 78).explained() is None
    with contextlib.closing(Journal.open(layout.journal, "paper", "sim:spot", initial_cash=Decimal(1))) as journal:
        journal.begin_run(RunHeader(**{**HEADER, "run_id": "another"}), engine.market.instruments)
        journal.commit([record(line.seq, line.wall_ns, line.what) for line in batch.lines])
        for line in batch.lines:
            found = journal.reader.explanation(line.what.signal_id)
            assert found == line.what.parts
            assert 0 < len(found) <= 20
        assert journal.reader.explanation("unheard-of") is None


def test_another_model_decides_otherwise_and_a_replay_without_its_bundle_says_which(tmp_path, feed, bundles):
    first = bundles.small_bundle(return_scale=30.0)
    layout, run_id, trained, _ = lived(tmp_path / "a", feed, first.hash, (), (first,))
    _, _, untrained, _ = lived(tmp_path / "b", feed, PRIOR_NAME)
    assert trained.digest != untrained.digest
    shutil.rmtree(layout.models / first.hash)
    with pytest.raises(ReplayRefused, match=f"{first.hash}, which cannot be had: no model .* put it back to replay"):
        replay_run(layout, run_id)


def test_the_configuration_chooses_and_what_a_run_used_is_kept(tmp_path, bundles):
    small = bundles.small_bundle()
    elsewhere = ModelStore(tmp_path / "elsewhere").add(small)
    models = Models(tmp_path / "models")
    assert models.start(Settings(model="prior")) == PRIOR_NAME
    assert models.start(Settings(model=str(elsewhere))) == small.hash
    shutil.rmtree(elsewhere)
    assert Models(tmp_path / "models").start(Settings(model="small")) == small.hash
    with pytest.raises(ModelNotFound, match="models list"):
        models.start(Settings(model="unheard-of"))
    assert models.prepare("prior", Settings()) == PRIOR_NAME
    assert models.prepare(small.hash[:10], Settings()) == small.hash


JUDGED = Gate(
    passed=True, venue="binance", market="spot", instruments=("BTC/USDT",), at="2026-01-01", text="", maker_bps=10.0, taker_bps=10.0
)  # fmt: skip


def live(**changes):
    given = {"mode": "live", "venue": "binance", "capital": 1000, "endpoints": {"rest": "https://example.org", "ws": "wss://example.org"}}
    return Settings(**{**given, **changes})


def test_live_takes_only_what_passed_the_gate_on_its_venue_market_and_every_instrument(tmp_path, bundles):
    store = ModelStore(tmp_path / "models")
    real = bundles.small_bundle(name="real", venue="binance")
    store.add(real)
    with pytest.raises(ModelNotFitForLive, match="untrained prior; train on recordings"):
        check_fit(live(), None)
    with pytest.raises(ModelNotFitForLive, match="trained on the built-in market"):
        check_fit(live(), bundles.small_bundle())
    with pytest.raises(ModelNotFitForLive, match="has not passed the gate on binance spot BTC/USDT"):
        check_fit(live(), store.load("real"))
    store.record_gate(real.hash, JUDGED)
    check_fit(live(), store.load("real"))
    with pytest.raises(ModelNotFitForLive, match="spot ETH/USDT"):
        check_fit(live(instruments=("BTC/USDT", "ETH/USDT")), store.load("real"))
    with pytest.raises(ModelNotFitForLive, match="usdm BTC/USDT"):
        check_fit(live(market="usdm"), store.load("real"))
    check_fit(Settings(), None)


@pytest.mark.parametrize(
    ("judged", "fees", "says"),
    [
        ({"maker_bps": 0.0}, {}, "was judged with a maker fee of 0 bps, and `fees.maker_bps` is 10 here"),
        ({"taker_bps": 0.0}, {}, "was judged with a taker fee of 0 bps, and `fees.taker_bps` is 10 here"),
        ({"taker_bps": 7.5}, {"taker_bps": "7.6"}, "was judged with a taker fee of 7.5 bps, and `fees.taker_bps` is 7.6 here"),
        ({"maker_bps": None, "taker_bps": None}, {}, "does not tell with which fees it was judged"),
        ({"taker_bps": 7.5}, {"taker_bps": "7.5"}, None),
        ({}, {"maker_bps": "-1", "taker_bps": 1}, None),
    ],
)
def test_live_refuses_fees_above_those_that_the_gate_judged_with(tmp_path, bundles, judged, fees, says):
    store = ModelStore(tmp_path / "models")
    real = bundles.small_bundle(name="real", venue="binance")
    store.add(real)
    store.record_gate(real.hash, msgspec.structs.replace(JUDGED, **judged))
    configured = live(fees=fees)
    if says is None:
        check_fit(configured, store.load("real"))
        return
    with pytest.raises(ModelNotFitForLive, match=re.escape(says)) as refused:
        check_fit(configured, store.load("real"))
    assert "its gate of 2026-01-01 on binance spot BTC/USDT" in str(refused.value)
    assert f"run `smartmoney models gate {real.name}` again" in str(refused.value)


def test_a_rehearsal_takes_a_bundle_of_the_built_in_market_and_the_prior(bundles):
    at_home = live(endpoints={"rest": "http://127.0.0.1:9000", "ws": "ws://localhost:9000"})
    assert is_rehearsal(at_home)
    assert not is_rehearsal(live())
    assert not is_rehearsal(live(endpoints={"rest": "http://127.0.0.1:9000", "ws": "wss://example.org"}))
    check_fit(at_home, bundles.small_bundle())
    check_fit(at_home, None)


def test_a_window_that_the_model_did_not_learn_with_is_told_by_log_status_and_doctor(tmp_path, bundles):
    """It decides with its own; who configures another would think that it acts."""
    layout, bundle = StateLayout(tmp_path), bundles.small_bundle()
    store = ModelStore(layout.models)
    store.add(bundle)
    key = "advanced_features.regime_classification.feature_window"
    says = f"feature_window is 1000 in the configuration, and {bundle.name} decides with 100"
    chosen = load_settings(overrides={key: 1000, "model": bundle.hash})
    models = Models(layout.models)
    with capture_logs() as logs:
        assert models.start(chosen) == bundle.hash
        models.prepare(bundle.hash, chosen)
    assert [one["problem"].startswith(says) for one in logs] == [True, True]
    assert "or train with 1000" in models.note(chosen, bundle.hash)
    [check] = _window(chosen, layout)
    assert (check.name, check.ok) == ("window", None)
    assert check.found.startswith(says)
    for settings in (load_settings(overrides={"model": bundle.hash}), load_settings(overrides={key: 1000, "model": "prior"})):
        with capture_logs() as logs:
            found = models.start(settings)
        assert (logs, models.note(settings, found), _window(settings, layout)) == ([], "", [])

"""A training from captures, whole, in this process: what it learns from, what it is judged on, what it keeps."""

import shutil
import time
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.capture_segment import segments_of
from smartmoney.adapters.journal import record
from smartmoney.adapters.journal_rows import TrainingNote
from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import BUILT_IN_VENUE
from smartmoney.learning.fitting.export import learned_span
from smartmoney.learning.recorded import venue_of
from smartmoney.learning.sets.rows import Rows
from smartmoney.runtime import retraining
from smartmoney.runtime.models import PRIOR_NAME, place_of
from smartmoney.runtime.modes import whose_market
from smartmoney.runtime.retraining import Past, _validated, gather, retrain
from smartmoney.runtime.retraining_child import RetrainJob
from smartmoney.runtime.storage import open_run
from smartmoney.runtime.training_jobs import captured_rows
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.load import load_settings
from smartmoney.settings.training import DAY_NS
from tests.captured_past import INSTRUMENT, capture_past

TERMS = {"training.every_h": 1, "training.min_hours": 1.5, "training.max_hours": 5, "model": "prior", "training.promote": "validated"}
SECONDS = 10_800


def quiet(_what, _done, _total):
    """Show nothing."""


def job_of(state, now_ns, champion=PRIOR_NAME):
    return RetrainJob(state=str(state), settings="", directory=None, champion=champion, now_wall_ns=now_ns, name="trained-x")


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    layout, now_ns = StateLayout(tmp_path_factory.mktemp("state")), time.time_ns()
    capture_past(layout, load_settings(overrides=TERMS), SECONDS, now_ns)
    return layout, now_ns


def test_it_gathers_the_runs_of_this_market_and_keeps_the_newest_fifth_from_learning(past):
    layout, now_ns = past
    found = gather(layout, load_settings(overrides=TERMS), now_ns)
    assert found.hours(now_ns) == pytest.approx(SECONDS / 3600, abs=0.01)
    learned, judged = found.learned(), found.judged()
    assert len(learned[0]) / (len(learned[0]) + len(judged[0])) == pytest.approx(0.8, abs=0.001)
    assert int(learned[0].times[-1]) < found.cut_ns <= int(judged[0].times[0])
    shorter = gather(layout, load_settings(overrides={**TERMS, "training.max_hours": 2}), now_ns)
    assert shorter.hours(now_ns) == pytest.approx(2.0, abs=0.01)
    assert gather(layout, load_settings(overrides={**TERMS, "market": "usdm"}), now_ns).pieces == ()
    assert gather(layout, load_settings(overrides={**TERMS, "instruments": ["ETH/USDT"]}), now_ns).pieces == ()


HERE = {"venue": "binance", "endpoints.rest": "http://127.0.0.1:9", "endpoints.ws": "ws://[::1]:9"}


def test_what_an_exchange_on_this_machine_showed_is_of_no_venue(tmp_path):
    """It speaks as Binance does; a model that learned there, or passed a gate there, has seen nothing of Binance."""
    layout, now_ns = StateLayout(tmp_path), time.time_ns()
    capture_past(layout, load_settings(overrides=TERMS | HERE), 900, now_ns)
    (folder,) = layout.captures.iterdir()
    assert venue_of([folder]) == BUILT_IN_VENUE
    assert {one.venue for one, _ in captured_rows(folder, feature_parameters(load_settings()))} == {BUILT_IN_VENUE}
    assert gather(layout, load_settings(overrides=TERMS | HERE), now_ns).pieces
    assert gather(layout, load_settings(overrides={**TERMS, "venue": "binance"}), now_ns).pieces == ()


@pytest.mark.parametrize(
    ("given", "whose"),
    [
        ({}, "sim"),
        ({"venue": "binance"}, "binance"),
        (HERE, "sim"),
        ({**HERE, "endpoints.ws": "wss://stream.binance.com:9443"}, "binance"),
        ({"venue": "binance", "endpoints.rest": "http://127.0.0.1:9"}, "binance"),
        ({**HERE, "endpoints.sapi": "https://api.binance.com"}, "binance"),
        ({"venue": "ccxt:kraken"}, "ccxt:kraken"),
        ({"venue": "ccxt:kraken", "endpoints.ccxt_urls": {"api": {"rest": "http://127.0.0.1:9"}}}, "sim"),
        (
            {"venue": "ccxt:kraken", "endpoints.ccxt_urls": {"api": {"rest": "http://127.0.0.1:9", "ws": "wss://ws.kraken.com"}}},
            "ccxt:kraken",
        ),
    ],
)
def test_a_venue_is_itself_unless_this_machine_alone_answers_for_it(given, whose):
    settings = load_settings(overrides=given)
    assert whose_market(settings) == place_of(settings).venue == whose


def test_a_capture_that_cannot_be_read_is_left_out(past, tmp_path):
    shutil.copytree(past[0].captures, StateLayout(tmp_path).captures)
    (whole,) = StateLayout(tmp_path).captures.iterdir()
    damaged = shutil.copytree(whole, whole.with_name("0damaged"))
    for segment in segments_of(damaged):
        segment.write_bytes(bytes(segment.stat().st_size))
    found = gather(StateLayout(tmp_path), load_settings(overrides=TERMS), past[1])
    assert {one.run_id for one in found.pieces} == {whole.name}


def test_what_came_after_the_start_of_the_training_is_not_learned_from(past):
    layout, now_ns = past
    earlier_ns = now_ns - 3_600_000_000_000
    found = gather(layout, load_settings(overrides=TERMS), earlier_ns)
    assert max(int(one.rows.times[-1]) for one in found.pieces) < earlier_ns


def test_a_gate_keeps_five_whole_days():
    settings = load_settings(overrides={**TERMS, "training.promote": "gate"})
    for into_day in (1, DAY_NS // 2, DAY_NS - 1):
        now_ns = 20_000 * DAY_NS + into_day
        rows = _rows(now_ns)
        cut = retraining._cut_ns([rows], settings, now_ns)
        assert cut % DAY_NS == 0
        assert (20_000 * DAY_NS - cut) // DAY_NS == 5


def test_too_little_is_said_with_what_is_needed_and_nothing_is_kept(past, tmp_path):
    settings = load_settings(overrides={**TERMS, "training.min_hours": 4})
    found = retrain(job_of(past[0].root, past[1]), settings, quiet)
    assert (found.act, found.is_short) == ("refused", True)
    assert "4 h are needed (training.min_hours)" in found.text
    empty = retrain(job_of(tmp_path, past[1]), settings, quiet)
    assert (empty.act, empty.is_short) == ("refused", True)
    assert not past[0].models.exists()


@pytest.mark.slow
def test_a_challenger_that_foretells_better_passes_on_paper_and_one_against_itself_does_not(past):
    layout, now_ns = past
    settings = load_settings(overrides=TERMS)
    found = retrain(job_of(layout.root, now_ns), settings, quiet)
    assert found.act == "passed", found.text
    bundle = ModelStore(layout.models).load(found.model)
    cut_ns = gather(layout, settings, now_ns).cut_ns
    assert learned_span(bundle.spec)[1] < cut_ns
    assert ModelStore(layout.models).champion() is None
    # The same training again is the same bundle: judged against itself it gains nothing.
    again = retrain(job_of(layout.root, now_ns, champion=found.model), settings, quiet)
    assert again.act == "kept"
    assert "gain of log-loss over the champion's: 0, needed above 0" in again.text


@pytest.mark.slow
def test_by_the_gate_every_condition_is_measured_and_recorded(past):
    layout, now_ns = past
    settings = load_settings(overrides={**TERMS, "training.promote": "gate"})
    fifth = gather(layout, load_settings(overrides=TERMS), now_ns)
    stage = retraining.stage_champion(layout.models)
    made = retraining._learn(fifth, settings, "gated", stage, quiet)
    retraining.keep_training(made, layout.models)
    passed, text = retraining._gated(fifth, made, None, settings, layout, now_ns, quiet)
    assert not passed
    # Half an hour is no five days, and nobody noted features: what was not measured fails.
    assert "untouched_days: 0, needed at least 5" in text
    assert "shadow_hours: not measured" in text
    assert "log_loss_against_base_rate" in text
    assert [one.passed for one in ModelStore(layout.models).load(made.bundle.hash).gates] == [False]


def test_a_challenger_that_can_never_trade_is_kept_with_that_reason(bundles):
    bundle = bundles.small_bundle()
    heads = tuple(msgspec.structs.replace(head, tradable=False) for head in bundle.spec.heads)
    shown = replace(bundle, spec=msgspec.structs.replace(bundle.spec, heads=heads))
    passed, text = _validated(Past(pieces=(), cut_ns=0), shown, None, load_settings())
    assert not passed
    assert "no horizon that can be traded" in text


def test_old_challengers_are_forgotten_but_not_who_ever_decided(tmp_path, bundles):
    layout = StateLayout(tmp_path)
    store = ModelStore(layout.models)
    made = [bundles.small_bundle(rounds=2, depth=1, name=f"m{k}") for k in range(5)]
    for one in made:
        store.add(one)
    store.promote(made[0].hash, "once", 1)
    notes = [TrainingNote(act="kept", reason="schedule", model=one.hash) for one in made]
    with open_run(load_settings(), layout, (INSTRUMENT,), made[1].hash) as run:
        run.journal.commit([record(k + 1, k + 1, note) for k, note in enumerate(notes)])
    # The first was champion once, a run began with the second, and the newest stay.
    assert retraining.forget_old(layout, kept=2) == [made[2].hash]
    assert {one.hash for one in store.listed() if one.origin == "store"} == {one.hash for one in made if one is not made[2]}
    assert retraining.forget_old(layout, kept=2) == []
    assert not any(one.name.startswith(".") for one in layout.models.iterdir())


def _rows(now_ns):
    times = now_ns - np.arange(100, 0, -1) * 1_000_000_000
    return Rows(name="x", family="x", times=times, values=np.zeros((100, 1), np.float32), mid_after=np.ones(100), truth=None)

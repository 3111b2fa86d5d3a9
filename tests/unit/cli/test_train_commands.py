"""`smartmoney train`, `evaluate` and `models importance`: what they refuse, where rows come from, what a killed training leaves."""

import json
import os
import signal
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.dataset_reader import chosen_of
from smartmoney.adapters.ledger import entries
from smartmoney.adapters.model_files import assemble, read_bundle, write_bundle
from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.cli.train import _recordings
from smartmoney.core.models.bundle import Calibrator
from smartmoney.learning.trainer import data_hash
from smartmoney.runtime.training_jobs import captured_rows, stored_rows
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.load import load_settings
from tests.captured_past import capture_past
from tests.waiting import SCENE_S, wait_until


def test_exactly_one_kind_of_rows_has_to_be_named(call):
    for words in (("train",), ("train", "--built-in", "--run", "x"), ("train", "a.gz", "--built-in")):
        code, _, said = call(*words)
        assert code == 2
        assert "exactly one" in " ".join(said.replace("│", " ").split())


def test_a_folder_that_exists_is_not_written_to(call, tmp_path):
    code, _, said = call("train", "--built-in", "--out", tmp_path)
    assert code == 2
    assert "name a new folder" in " ".join(said.replace("│", " ").split())


def test_a_recording_that_is_not_there_is_named(call, tmp_path):
    code, _, said = call("train", tmp_path / "nothing.gz", "--state-dir", tmp_path / "state")
    assert code == 1
    assert "nothing.gz: no such file" in said


@pytest.mark.campaign
def test_a_training_that_is_killed_half_way_leaves_the_store_and_its_champion_as_they_were(tmp_path, bundles):
    store = ModelStore(tmp_path / "state" / "models")
    bundle = bundles.small_bundle()
    store.add(bundle)
    store.promote(bundle.hash, "first", 1)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    words = [
        sys.executable,
        "-m",
        "smartmoney",
        "train",
        "--built-in",
        "--worlds",
        "1",
        "--hours",
        "0.5",
        "--state-dir",
        tmp_path / "state",
    ]
    cache = {**os.environ, "SMARTMONEY_CACHE_DIR": str(tmp_path.parent / "killed-cache"), "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]}
    running = subprocess.Popen(words, env=cache, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    # It is killed while it makes its first world: as soon as the first rows are there.
    rows = tmp_path.parent / "killed-cache" / "training-rows"
    wait_until(lambda: running.poll() is not None or (rows.is_dir() and any(rows.iterdir())), "rows are there", patience_s=SCENE_S)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert store.champion() == bundle.hash
    assert store.load(bundle.hash).hash == bundle.hash


def test_an_alarm_cannot_be_set_on_less_than_a_day(call, tmp_path):
    code, _, said = call("evaluate", "default", "--quiet-days", "0.5", "--state-dir", tmp_path)
    assert code == 2
    assert "less than a day" in said
    assert not list(tmp_path.iterdir())


def test_the_prior_cannot_be_evaluated(call, tmp_path):
    code, _, said = call("evaluate", "prior", "--state-dir", tmp_path)
    assert code == 78
    assert "no bundle to evaluate" in said


def test_a_bundle_is_not_held_against_itself(call, tmp_path):
    code, _, said = call("evaluate", "default", "--against", "default", "--state-dir", tmp_path)
    assert code == 2
    assert "the same bundle" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_bundles_are_scored_on_the_same_worlds_and_the_ledger_says_so(call, tmp_path):
    default = ModelStore(None).load("default")
    heads = tuple(msgspec.structs.replace(head, calibrator=Calibrator(kind="platt", parameters=(0.5, 0.0))) for head in default.spec.heads)
    doubtful = assemble(msgspec.structs.replace(default.spec, name="doubtful", heads=heads), default.forests, default.card)
    write_bundle(tmp_path / "doubtful", doubtful)
    call("sim", "--record", tmp_path / "worlds" / "thin", "--scenario", "thin_book", "--symbols", "BTCUSDT", "--seconds", "900")
    nothing = [word for part in ("windows", "targets", "nulls", "planted", "told") for word in (f"--{part}", 0)]
    words = ("evaluate", "default", "--against", tmp_path / "doubtful", "--worlds", tmp_path / "worlds", *nothing)
    state = ("--state-dir", tmp_path / "state")
    code, out, said = call(*words, *state, "--json", "--out", tmp_path / "page")
    assert code == 0, said
    told = json.loads(out)
    assert (told["bundle"], told["against"]["bundle"]) == (default.hash, doubtful.hash)
    assert (told["holdout_runs"], told["against"]["holdout_runs"]) == (1, 2)
    found = {(one["part"], one["name"]): one for one in told["differences"]}
    assert found["regimes", "macro F1"]["difference"]["value"] == 0.0
    assert found["60 s", "AUC"]["difference"]["value"] == pytest.approx(0.0, abs=0.02)
    assert found["60 s", "slope"]["other"]["value"] == pytest.approx(told["against"]["calibration"]["heads"][0]["quality"]["slope"])
    assert found["60 s, unseen families", "slope"]["units"] == 2
    assert "Against doubtful" in (tmp_path / "page" / "evaluation.html").read_text(encoding="utf-8")
    ledger = entries(tmp_path / "state" / "models" / "holdouts.jsonl")
    assert [(one["bundle"], one["against"]) for one in ledger] == [(default.hash, doubtful.hash), (doubtful.hash, default.hash)]
    code, out, _ = call(*words, *state)
    assert code == 0
    assert "on the same worlds" in out
    assert "60 s, unseen families, slope" in out


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    """Give a state directory with a captured run of three hours, and the run's id."""
    layout = StateLayout(tmp_path_factory.mktemp("state"))
    return layout, capture_past(layout, load_settings(), 10_800, 20_000 * 86_400 * 10**9)


@pytest.mark.slow
def test_a_dataset_gives_the_rows_of_the_capture_that_it_was_made_of(call, captured, tmp_path):
    layout, run_id = captured
    code, _, said = call("export", run_id, "--out", tmp_path / "data", "--state-dir", layout.root)
    assert code == 0, said
    parameters = feature_parameters(load_settings())
    [(instrument, from_capture)] = captured_rows(layout.capture(run_id), parameters)
    [stored] = chosen_of(tmp_path / "data", None, [])
    assert chosen_of(tmp_path / "data", None, ["BTCUSDT", "btcusdt", ""]) == [stored], "however often it is named, it is one"
    from_dataset = stored_rows(stored, parameters)
    assert stored.instrument.symbol == instrument.symbol == "BTCUSDT"
    assert np.array_equal(from_dataset.times, from_capture.times)
    assert np.array_equal(from_dataset.values, from_capture.values, equal_nan=True)
    assert np.array_equal(from_dataset.mid_after, from_capture.mid_after, equal_nan=True)


@pytest.mark.slow
def test_a_training_from_a_dataset_is_of_what_a_training_from_its_recording_would_be(call, captured, tmp_path):
    layout, run_id = captured
    assert call("export", run_id, "--out", tmp_path / "data", "--state-dir", layout.root)[0] == 0
    words = ("--dataset", tmp_path / "data", "--symbol", "BTCUSDT", "--json", "--out", tmp_path / "bundle", "--state-dir", layout.root)
    code, out, said = call("train", *words)
    assert code == 0, said
    assert json.loads(out)["heads"]
    # The same rows give the same bytes: tests/unit/runtime/test_training_determinism.py.
    rows, _ = _recordings([layout.capture(run_id)], "binance", None, [], load_settings())
    assert read_bundle(tmp_path / "bundle").spec.trained.data_hash == data_hash(rows)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("--from", "2025-01-01", "--built-in"), 2, "belong to --dataset"),
        (("--dataset", "nowhere"), 1, "no dataset"),
        (("--dataset", "nowhere", "--built-in"), 2, "exactly one"),
    ],
)
def test_what_is_asked_of_a_dataset_wrongly_is_answered(call, tmp_path, monkeypatch, words, code, expected):
    monkeypatch.chdir(tmp_path)
    found, _, said = call("train", *words, "--state-dir", tmp_path / "state")
    assert found == code
    assert expected in " ".join(said.replace("│", " ").split())


@pytest.mark.slow
def test_what_features_are_worth_by_training_and_by_shuffling(call, captured, bundles):
    layout, run_id = captured
    small = bundles.small_bundle()
    ModelStore(layout.models).add(small)
    code, out, said = call("models", "importance", "small", "--state-dir", layout.root, "--json")
    assert code == 0, said
    by_gain = json.loads(out)
    assert [(one["feature"], one["gain"], one["loss_more"]) for one in by_gain["features"]] == [
        ("tfi_120s", 0.75, None),
        ("tfi_10s", 0.25, None),
    ]
    words = ("models", "importance", small.hash[:12], "--run", run_id, "--hours", 0.5, "--state-dir", layout.root)
    code, out, said = call(*words, "--json")
    assert code == 0, said
    shuffled = json.loads(out)
    assert shuffled["rows"] == 1801
    assert {"tfi_120s", "queue_imbalance", "spread_bps"} <= {one["feature"] for one in shuffled["features"]}
    assert any(one["loss_more"] for one in shuffled["features"])
    code, out, _ = call(*words)
    assert code == 0
    assert "shuffled over 1801 rows" in out
    code, _, said = call("models", "importance", "prior", "--state-dir", layout.root)
    assert code == 78
    assert "no trees to weigh" in said

"""`smartmoney train` and `evaluate`: what they refuse before anything is made, and what a killed training leaves."""

import os
import signal
import subprocess
import sys
import time

import pytest

from smartmoney.adapters.model_store import ModelStore


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
    deadline = time.monotonic() + 300
    while not (rows.is_dir() and any(rows.iterdir())) and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
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

"""A daemon that trains by itself: it promotes what proved itself and its run replays; a training that is killed changes nothing."""

import json
import os
import signal
import sqlite3
import time

import pytest

from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.settings.load import load_settings
from tests.captured_past import capture_past

from .daemons import Daemon, has_ended, smartmoney, status

pytestmark = pytest.mark.slow
TRAINING = "every_h: 0.0028, promote: {promote}, min_hours: 1.9, max_hours: 4, memory_mb: 2048"


@pytest.fixture
def state(tmp_path):
    """Give a state directory that holds two captured hours, and a configuration that learns from them."""
    layout = StateLayout(tmp_path / "state")
    layout.root.mkdir(mode=0o700)

    def prepared(promote="validated"):
        config = tmp_path / "paper.yaml"
        config.write_text(f"mode: paper\nmodel: prior\nsim: {{prerun_s: 120}}\ntraining: {{{TRAINING.format(promote=promote)}}}\n")
        capture_past(layout, load_settings(config), 10_800, time.time_ns())
        return layout, config

    return prepared


def training(act):
    return lambda line: line.get("act") == act


def test_it_starts_untrained_trains_promotes_and_replays_to_the_digest(state):
    layout, config = state()
    ask = lambda *words: smartmoney(*words, "--state-dir", layout.root)  # noqa: E731
    with Daemon("-c", config, "--json", "--state-dir", layout.root) as daemon:
        daemon.wait_for("ready")
        began = daemon.wait_for("training", training("started"))
        assert (began["reason"], began["text"]) == ("first", "against untrained-prior-1")
        child = daemon.wait_for("training process")["pid"]
        assert child in daemon.children()
        shown = status(layout.root)
        assert shown["model"] == "untrained-prior-1"
        assert shown["training"]["state"] == "training"
        promoted = daemon.wait_for("training", lambda line: line["act"] != "started")
        assert promoted["act"] == "promoted", daemon.said()[-3000:]
        assert has_ended(child)
        shown = status(layout.root)
        assert shown["model"].startswith("trained-")
        daemon.shows(layout.root, lambda now: now["decisions"] > shown["decisions"], "the trained one decides")
        assert daemon.stop() == 0
        summary = daemon.summary()
    store = ModelStore(layout.models)
    assert store.champion().startswith(promoted["model"])
    assert store.champions().log[-1].reason.startswith("training: ")
    assert summary["model"] == store.load(store.champion()).name
    with sqlite3.connect(layout.journal) as journal:
        acts = [act for (act,) in journal.execute("SELECT act FROM trainings WHERE run_id = ? ORDER BY id", (summary["run_id"],))]
    assert acts[:2] == ["started", "promoted"]
    replayed = ask("replay", summary["run_id"], "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["digest"] == summary["digest"]


def test_a_killed_training_changes_nothing_is_tried_again_and_ends_with_the_daemon(state):
    layout, config = state()
    with Daemon("-c", config, "--json", "--state-dir", layout.root) as daemon:
        os.kill(daemon.wait_for("training process")["pid"], signal.SIGKILL)
        failed = daemon.wait_for("training", training("failed"))
        assert "signal SIGKILL" in failed["text"]
        assert ModelStore(layout.models).champion() is None
        assert status(layout.root)["model"] == "untrained-prior-1"
        second = daemon.wait_for("training process")["pid"]
        assert daemon.stop() == 0
        assert has_ended(second)
        assert daemon.summary()["halted"] is False
    assert [one for one in layout.models.iterdir() if one.name.startswith(".making")] == [] if layout.models.is_dir() else True
    assert ModelStore(layout.models).champion() is None


def test_a_training_does_not_outlive_a_killed_daemon(state):
    layout, config = state(promote="never")
    with Daemon("-c", config, "--json", "--state-dir", layout.root) as daemon:
        child = daemon.wait_for("training process")["pid"]
        daemon.stop(signal.SIGKILL)
        assert has_ended(child)

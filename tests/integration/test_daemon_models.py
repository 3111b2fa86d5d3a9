"""A daemon that decides by a trained bundle: no learning library in its process, another model while it runs, a replay with the same ones."""

import json
import signal
import sys

import pytest

from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.state_directory import StateLayout

from .daemons import Daemon, smartmoney

pytestmark = pytest.mark.slow

PROBE = """
import json, sys
from smartmoney.cli.main import main
sys.argv = ["smartmoney", *sys.argv[1:]]
code = None
try:
    main()
except SystemExit as ended:
    code = ended.code
print(json.dumps({"code": code, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""
LEARNING = {"xgboost", "sklearn", "hmmlearn", "pandas", "polars"}
"""numba loads scipy where it finds it; a daemon without the training extra has none to find."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "paper.yaml"
    path.write_text("mode: paper\nmodel: small\nsim: {prerun_s: 120}\n")
    return path


def test_a_trained_daemon_loads_no_learning_library(tmp_path, config, bundles):
    small = bundles.small_bundle()
    ModelStore(StateLayout(tmp_path).models).add(small)
    with Daemon("-c", config, "--json", "--state-dir", tmp_path, program=(sys.executable, "-c", PROBE)) as daemon:
        daemon.shows(tmp_path, lambda status: status["decisions"] > 0, "it decides")
        daemon.stop(signal.SIGTERM)
    *_, summary, probed = (json.loads(line) for line in daemon.printed().splitlines() if line.startswith("{"))
    assert probed["code"] in {None, 0}, daemon.said()
    assert "numba" in probed["loaded"]
    assert LEARNING & set(probed["loaded"]) == set()
    assert summary["model"] == small.name


@pytest.mark.slow
def test_promote_reaches_a_running_daemon_and_its_run_replays(tmp_path, config, bundles):
    store = ModelStore(StateLayout(tmp_path).models)
    first, second = bundles.small_bundle(), bundles.small_bundle(name="second")
    for bundle in (first, second):
        store.add(bundle)
    ask = lambda *words: smartmoney(*words, "--state-dir", tmp_path)  # noqa: E731
    with Daemon("-c", config, "--json", "--state-dir", tmp_path) as daemon:
        daemon.wait_for("ready")
        assert json.loads(ask("status", "--json").stdout)["model"] == first.name
        promoted = ask("models", "promote", "second", "--ungated", "--reason", "better", "--json")
        assert promoted.returncode == 0, promoted.stderr
        assert json.loads(promoted.stdout)["daemon"]["model"] == second.name
        status = json.loads(ask("status", "--json").stdout)
        assert (status["model"], status["drift"]["psi_rows"]) == (second.name, "the model has no reference.json")
        decided = status["decisions"]
        damaged = store.folder / first.hash / "head-900.nodes.npy"
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[:-1])
        refused = ask("models", "promote", first.hash)
        assert refused.returncode == 78
        assert "head-900.nodes.npy" in refused.stderr
        damaged.write_bytes(whole)
        daemon.shows(tmp_path, lambda status: status["decisions"] > decided, "the second decides")
        assert daemon.stop(signal.SIGTERM) == 0
        summary = daemon.summary()
    assert store.champion() == second.hash
    replayed = ask("replay", summary["run_id"], "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["digest"] == summary["digest"]


def test_a_daemon_does_not_start_with_a_bundle_that_was_tampered_with(tmp_path, config, bundles):
    folder = ModelStore(StateLayout(tmp_path).models).add(bundles.small_bundle())
    spec = folder / "bundle.json"
    spec.write_text(spec.read_text().replace('"switch_bars": 3', '"switch_bars": 1'))
    refused = smartmoney("run", "-c", config, "--for", 1, "--state-dir", tmp_path)
    assert refused.returncode == 78
    line = refused.stderr.strip().splitlines()[-1]
    assert str(spec) in line
    assert "not what was written" in line

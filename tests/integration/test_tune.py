"""`smartmoney tune` as it is used: the command over a recording, in several processes, on a real cluster whose worker is killed."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("optuna")
pytest.importorskip("distributed")

from smartmoney.adapters import recording_blocks
from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.trial_log import TrialLog
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.backtest import BacktestJob, Recordings
from smartmoney.runtime.tuning import TunePlan, tune
from smartmoney.runtime.tuning_worker import EvaluationRefused
from smartmoney.runtime.workers import ClusterFailed, cluster_workers, local_workers
from smartmoney.settings.load import load_settings
from smartmoney.settings.search_space import load_space
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_latency import OrderLatency
from tests.waiting import PATIENCE_S

from .daemons import environment

SECONDS = 100
EAGER = {
    "execution.max_holding_s": 10,
    "strategy.min_liquidity_score": 0.01,
    "advanced_features.signal_generation.min_confidence": 0.5,
    "advanced_features.feature_engine.confidence_threshold": 0.5,
    "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.01,
}
SPACE = "strategy.confidence_threshold: {low: 0.5, high: 0.8, step: 0.05}\nstrategy.rebalance_band: {low: 0.1, high: 0.9, step: 0.1}\n"
TRIALS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("tuned")
    market = SyntheticMarket(3, symbols=("BTCUSDT",), markets=(Market.SPOT,))
    prerun(market, 1_700_000_000_000_000_000, SECONDS, base / "feed")
    shutil.copy(capture_path(base / "feed", Market.SPOT, "BTCUSDT"), base / "day.gz")
    (base / "space.yaml").write_text(SPACE)
    return base


@pytest.fixture(scope="module")
def search(folder):
    """Search over the recording with these workers, in a state folder of its own."""
    settings = load_settings(overrides=EAGER)
    latency = OrderLatency(median_ms=settings.paper.latency_ms)
    job = BacktestJob(name="day.gz", source=Recordings((str(folder / "day.gz"),), "spot"), settings=settings, latency=latency)

    def run(name, workers, on_progress=lambda _done, _of: None, **changes):
        given = {"trials": TRIALS, "folds": 2, "batch": 1, "seed": 1, "storage": f"sqlite:///{folder / name / 'studies.db'}"}
        plan = TunePlan(**{"jobs": (job,), "space": load_space(folder / "space.yaml", settings), **given, **changes})
        with TrialLog.open(folder / name / "trials.db") as log:
            return tune(plan, log, workers, on_progress)

    return run


@pytest.fixture(scope="module")
def alone(search):
    """Be the result of this process alone."""
    with local_workers(1) as workers:
        return search("alone", workers)


def test_the_bar_moves_within_a_trial_and_never_back(search, monkeypatch):
    monkeypatch.setattr(recording_blocks, "BLOCK_BYTES", 1 << 16)
    told = []
    with local_workers(1) as workers:
        search("bar", workers, lambda done, of: told.append((done, of)))
    # The settings as they are come first, and are no trial of the plan.
    begins = [0, *(at for at in range(1, len(told)) if told[at][0] < told[at - 1][0])]
    assert len(begins) == 2
    shares = [done for done, _ in told[begins[1] :]]
    assert {of for _, of in told} == {TRIALS}
    assert len({done for done in shares if done % 1.0}) > 2 * TRIALS
    assert shares[-1] == TRIALS


@contextlib.contextmanager
def cluster(folder, workers=2):
    """Run a real scheduler and workers on loopback; give its address and the processes, the scheduler's last."""
    file = folder / f"scheduler-{len(list(folder.glob('scheduler-*')))}.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    dask = (sys.executable, "-m", "dask")
    local = ("--host", "127.0.0.1", "--no-dashboard")
    with contextlib.ExitStack() as ends:

        def start(*words):
            process = subprocess.Popen((*dask, *words), **quiet)
            ends.callback(lambda: (process.kill(), process.wait()))
            return process

        scheduler = start("scheduler", "--port", "0", "--scheduler-file", str(file), *local)
        ones = [
            start("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--local-directory", str(folder), *local)
            for _ in range(workers)
        ]
        from distributed import Client

        with Client(scheduler_file=str(file), timeout=PATIENCE_S, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=PATIENCE_S) if workers else None
            address = client.scheduler.address
        yield address, [*ones, scheduler]


@pytest.mark.slow
def test_a_cluster_whose_worker_is_killed_in_the_middle_gives_the_same_result(search, folder, alone):
    with cluster(folder) as (address, processes), cluster_workers(address) as workers:
        killed = []

        def kill_one(done, of):
            busy = [info["pid"] for info in pids(address).values() if info["busy"]]
            if done >= 1 and not killed and busy:
                killed.append(next(one for one in processes if one.pid == busy[0]))
                killed[0].kill()

        result = search("cluster", workers, kill_one)
        assert len(killed) == 1
        assert killed[0].wait(PATIENCE_S) != 0
    assert msgspec.json.encode(result) == msgspec.json.encode(alone)


@pytest.mark.campaign
def test_a_scheduler_that_dies_ends_the_search_in_words_and_the_same_call_goes_on(search, folder, alone):
    made = []
    with cluster(folder, workers=1) as (address, processes), cluster_workers(address) as workers:

        def kill_scheduler(done, _of):
            made.append(done)
            if done == 1:
                processes[-1].kill()

        with pytest.raises(ClusterFailed, match="run the same command again: it goes on"):
            search("broken", workers, kill_scheduler)
    assert 1 in made
    with local_workers(1) as workers:
        assert msgspec.json.encode(search("broken", workers)) == msgspec.json.encode(alone)


def pids(address):
    """Return each worker's process, and whether it works on something."""
    from distributed import Client

    with Client(address, timeout=PATIENCE_S, set_as_default=False) as client:
        busy = client.processing()
        return {name: {"pid": pid, "busy": bool(busy.get(name))} for name, pid in client.run(os.getpid).items()}


@pytest.mark.slow
def test_two_processes_give_the_result_of_one_and_nothing_is_done_twice(search, alone):
    with local_workers(2) as workers:
        two = search("two", workers)
        assert msgspec.json.encode(two) == msgspec.json.encode(alone)

    class Nobody:
        def run(self, work, on_result, on_share):
            assert not work

    assert msgspec.json.encode(search("two", Nobody())) == msgspec.json.encode(two)


def test_a_worker_without_the_recording_says_which_one(search, folder, alone, tmp_path):
    with local_workers(1) as workers:

        class Elsewhere:
            """Be a machine whose shared folder is not there, and then one that has another file of that name."""

            def __init__(self, change):
                self.change = change

            def run(self, work, on_result, on_share):
                with self.change():
                    workers.run(work, on_result, on_share)

        @contextlib.contextmanager
        def away():
            (folder / "day.gz").rename(tmp_path / "day.gz")
            try:
                yield
            finally:
                (tmp_path / "day.gz").rename(folder / "day.gz")

        @contextlib.contextmanager
        def other():
            with away():
                (folder / "day.gz").write_bytes(b"another day")
                try:
                    yield
                finally:
                    (folder / "day.gz").unlink()

        with pytest.raises(EvaluationRefused, match=r"cannot read day.gz .*share the folder"):
            search("elsewhere", Elsewhere(away))
        with pytest.raises(EvaluationRefused, match=r"holds something else in .*day\.gz"):
            search("elsewhere", Elsewhere(other))


def test_a_scheduler_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr("smartmoney.runtime.workers._CONNECT_S", 0.5)
    with pytest.raises(ClusterFailed, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"), cluster_workers("tcp://127.0.0.1:9"):
        pass


def run_command(folder, *words):
    done = subprocess.run(
        (sys.executable, "-m", "smartmoney", "tune", *map(str, words)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S * 2,
        env=environment(),
        cwd=folder,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_command_over_a_recording_says_its_verdict_first_and_writes_a_report(folder, alone):
    overrides = [word for key, value in EAGER.items() for word in ("--set", f"{key}={value}")]
    words = ("day.gz", "--space", "space.yaml", "--trials", TRIALS, "--folds", 2, "--batch", 1, "--state-dir", "state", *overrides)
    code, said, errors = run_command(folder, *words, "--out", "report", "--processes", 1)
    assert code == 0, errors
    assert said.startswith("no edge found: too little data")
    assert "not a recommendation, since no edge was found" in said
    page = (folder / "report" / "tune.html").read_text()
    assert page.index("no edge found") < page.index("Folds") < page.index("Trials")
    assert "http" not in page
    for word in ('name="viewport"', "prefers-color-scheme: dark"):
        assert word in page
    written = json.loads((folder / "report" / "tune.json").read_text())
    assert written == json.loads(msgspec.json.encode(alone))
    # The same search again, from the log: the same words.
    code, again, _ = run_command(folder, *words, "--json")
    assert code == 0
    assert json.loads(again) == written


def test_without_the_extra_the_command_says_what_to_install(folder, tmp_path):
    (tmp_path / "optuna.py").write_text("raise ImportError('not here')\n")
    done = subprocess.run(
        (
            sys.executable,
            "-m",
            "smartmoney",
            "tune",
            "day.gz",
            "--space",
            "space.yaml",
            "--state-dir",
            str(tmp_path / "state"),
            "--trials",
            "1",
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"),
        cwd=folder,
    )
    assert done.returncode == 1
    assert "optuna is not installed: it is in the `research` extra; run `make research`" in done.stderr
    assert Path(tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--space", "missing.yaml", "day.gz"), 78, "does not exist"),
        (("--scenario", "no_information", "day.gz"), 2, "one of the four"),
        (("day.gz", "--scheduler", "tcp://x:1", "--processes", 2), 2, "has its own workers"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(folder, words, code, says):
    got, _, errors = run_command(folder, *words)
    assert got == code
    assert says in errors.replace("\n", " ")


@pytest.mark.campaign
def test_a_market_without_information_holds_no_edge_though_it_was_traded_enough_to_tell(folder):
    # The model that ships is silent there, as it should be; the prior is not.
    changed = {**EAGER, "execution.max_holding_s": 20, "model": "prior"}
    overrides = [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
    words = ("--scenario", "no_information", "--hours", 0.5, "--trials", 9, "--folds", 2, "--batch", 1, "--space", "space.yaml")
    code, said, errors = run_command(folder, *words, "--state-dir", "nothing", "--json", *overrides)
    assert code == 0, errors
    verdict = json.loads(said)["verdict"]
    assert not verdict["is_edge"]
    assert verdict["lacking"] == []
    assert verdict["headline"].startswith("no edge found: net out of sample lower bound -")
    assert verdict["out_of_sample"]["low"] < 0.0

"""`kill -9` at any time: the next start reconciles and goes on, what was halted stays halted, and the killed run replays."""

import contextlib
import json
import os
import signal
import sqlite3
from decimal import Decimal

import msgspec
import pytest

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import RunStarted

from .daemons import Daemon, has_ended, long_only, smartmoney

pytestmark = pytest.mark.slow


class Killed(msgspec.Struct):
    """Three lives of one account: killed while it holds, killed while halted, ended in order."""

    layout: StateLayout
    holding: dict = {}
    exchange_ended: bool = False
    replay: object = None
    second: dict = {}
    halt: object = None
    last_code: int = -1
    last: dict = {}
    replay_of_halted: object = None
    runs: list = []


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    config, state = long_only(folder / "config"), folder / "state"
    told = Killed(layout=StateLayout(state))
    run = ("-c", config, "--json", "--state-dir", state)
    with Daemon(*run, PYTHONHASHSEED="1") as daemon:
        daemon.shows(state, lambda status: status["fills"] > 0, "it trades")
        told.holding = json.loads(smartmoney("status", "--json", "--state-dir", state).stdout)
        (exchange,) = daemon.children()
        daemon.stop(signal.SIGKILL)
        told.exchange_ended = has_ended(exchange)
    told.replay = smartmoney("replay", "last", "-c", config, "--json", "--state-dir", state, PYTHONHASHSEED="2")
    with Daemon(*run) as daemon:
        daemon.wait_for("ready")
        told.second = daemon.shows(state, lambda status: status["feed_trust"] == "synced" and status["decisions"] > 0, "it decides")
        told.halt = smartmoney("halt", "--reason", "pulled the plug", "--state-dir", state)
        daemon.stop(signal.SIGKILL)
    with Daemon(*run, "--for", 1) as daemon:
        told.last_code = daemon.finish()
        told.last = daemon.summary()
    with JournalReader.open(told.layout.journal) as journal:
        told.runs = sorted(journal.runs(), key=lambda header: header.started_wall_ns)
    told.replay_of_halted = smartmoney("replay", told.runs[1].run_id, "-c", config, "--json", "--state-dir", state)
    return told


def test_a_killed_daemon_takes_the_exchange_along(killed):
    assert killed.exchange_ended


def test_a_killed_daemon_leaves_no_scratch_behind_its_successor(killed):
    assert list(killed.layout.cache.iterdir()) == []


def test_a_killed_run_has_no_end_and_replays_to_its_last_checkpoint(killed):
    assert killed.runs[0].ended_wall_ns is None
    assert killed.replay.returncode == 0, killed.replay.stderr
    found = json.loads(killed.replay.stdout)
    assert found["replay"]["is_identical"]
    assert found["replay"]["seq"] > 1000
    assert found["fills"] > 0


def test_the_position_its_stop_and_its_target_survive(killed):
    before, after = killed.holding, killed.second
    assert before["position"] > 0
    assert after["position"] == pytest.approx(before["position"], abs=1e-12)
    (was,), (now,) = before["instruments"].values(), after["instruments"].values()
    assert now["stop"] == was["stop"]
    assert now["target"] == was["target"]


def test_the_successor_does_not_buy_what_is_held_already(killed):
    assert killed.second["fills"] == 0
    assert not killed.second["halted"]
    assert killed.second["refusals"].keys() <= {"at_target", "not_warm", "order_in_flight", "feed_not_synced"}


def test_the_account_is_what_the_journal_says(killed):
    with JournalReader.open(killed.layout.journal) as journal:
        fills = journal.fills()
    held = sum((Decimal(1 if row.side == "buy" else -1) * row.quantity for row in fills), Decimal(0))
    assert float(held) == pytest.approx(killed.second["position"], abs=1e-12)
    assert float(sum(row.fee for row in fills)) > 0


def test_the_high_water_mark_survives(killed):
    assert killed.second["high_water_mark"] >= killed.holding["high_water_mark"] - 1e-9
    assert killed.last["high_water_mark"] == pytest.approx(killed.second["high_water_mark"], abs=50)


def test_a_halt_that_was_answered_survives_the_kill(killed):
    assert killed.halt.returncode == 0
    assert killed.last_code == 0
    assert killed.last["halted"]
    assert killed.last["halt_reason"] == "operator: pulled the plug"
    assert killed.last["position"] > 0, "a halt keeps the position and its protection"
    assert json.loads(killed.replay_of_halted.stdout)["replay"]["is_identical"]


def test_each_run_starts_from_the_account_that_the_one_before_left(killed):
    starts = [next(iter(read_capture(killed.layout.capture(header.run_id)))).payload for header in killed.runs]
    assert all(isinstance(start, RunStarted) for start in starts)
    assert starts[0].positions == ()
    assert starts[1].positions == starts[2].positions != ()
    assert [start.halt.halted for start in starts] == [False, False, True]
    assert len({start.run_id for start in starts}) == 3
    assert starts[1].order_count > 0


@pytest.mark.parametrize("moment", ["built-in exchange is up", pytest.param("warm start done", marks=pytest.mark.slow)])
def test_a_kill_during_the_start_loses_nothing(tmp_path, moment):
    state = tmp_path / "state"
    quick = ("--set", "sim.prerun_s=30", "--state-dir", state)
    with Daemon(*quick) as daemon:
        daemon.wait_for(moment)
        (exchange,) = daemon.children()
        daemon.stop(signal.SIGKILL)
        assert has_ended(exchange)
    with Daemon(*quick, "--for", 0.5, "--json") as daemon:
        assert daemon.finish() == 0, daemon.said()
        assert daemon.summary()["equity"] == 10_000
        assert "Traceback" not in daemon.said()


def test_a_dead_exchange_ends_the_daemon_with_one_clear_line(tmp_path):
    with Daemon("--set", "sim.prerun_s=0", "--state-dir", tmp_path / "state", "--json") as daemon:
        daemon.wait_for("ready")
        (exchange,) = daemon.children()
        os.kill(exchange, signal.SIGKILL)
        assert daemon.finish() == 1
        assert "the built-in exchange ended with code -9" in daemon.said().strip().splitlines()[-1]
        assert json.loads(daemon.printed())["error"] == "RestartIntensityExceeded"
        assert "Traceback" not in daemon.said()


def test_a_journal_that_takes_nothing_more_ends_the_daemon_and_the_next_one_starts_halted(tmp_path):
    layout = StateLayout(tmp_path / "state")
    quick = ("--set", "sim.prerun_s=0", "--state-dir", layout.root, "--json")
    with Daemon(*quick) as daemon:
        daemon.wait_for("ready")
        with contextlib.closing(sqlite3.connect(layout.journal)) as thief:
            thief.execute("BEGIN IMMEDIATE")
            assert daemon.finish() == 1
        assert "Traceback" not in daemon.said()
        assert json.loads(daemon.printed())["error"] == "JournalFailed"
    assert layout.latch.exists()
    with Daemon(*quick, "--for", 0.5) as daemon:
        assert daemon.finish() == 0
        summary = daemon.summary()
    assert summary["halted"]
    assert "journal could not be written" in summary["halt_reason"]

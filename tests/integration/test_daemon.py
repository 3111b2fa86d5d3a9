"""The daemon as a user has it: one process, the built-in exchange, the command line. Its story is lived once, and told test by test."""

import json
import signal
from decimal import Decimal

import msgspec
import pytest

from smartmoney.adapters.control import ControlRequest, request
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout
from tests.waiting import PATIENCE_S

from .daemons import Daemon, has_ended, long_only, smartmoney

PROMISED = (
    *("run_id", "mode", "venue", "build", "config_hash", "model", "uptime_s", "synced_after_s", "frames", "trades", "gaps", "resyncs"),
    *("feed_trust", "decisions", "signals", "refusals", "orders", "fills", "position", "equity", "high_water_mark", "drawdown"),
    *("halted", "digest", "rss_mb", "loop_lag_p99_ms"),
)


class Story(msgspec.Struct):
    """What happened to one daemon and its successor."""

    layout: StateLayout
    config: object
    rival: object = None
    status: object = None
    status_text: object = None
    check: object = None
    halt: object = None
    halted_check: object = None
    resume: object = None
    resume_again: object = None
    flatten: object = None
    latched: bool = False
    socket_mode: int = 0
    exchange: int = 0
    code: int = -1
    summary: dict = {}
    log: str = ""
    replay: object = None
    next_code: int = -1
    next_summary: dict = {}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("daemon")
    config, state = long_only(folder / "config"), folder / "state"
    told = Story(layout=StateLayout(state), config=config)
    ask = lambda *words: smartmoney(*words, "--state-dir", state)  # noqa: E731
    with Daemon("-c", config, "--json", "--state-dir", state, PYTHONHASHSEED="1") as daemon:
        daemon.wait_for("ready")
        told.rival = ask("run", "-c", config, "--for", 1)
        told.socket_mode = told.layout.control_socket.stat().st_mode & 0o777
        (told.exchange,) = daemon.children()
        daemon.shows(state, lambda status: status["fills"] > 0, "it trades")
        told.status, told.status_text, told.check = ask("status", "--json"), ask("status"), ask("status", "--check")
        told.halt = ask("halt", "--reason", "lunch", "--json")
        told.halted_check, told.latched = ask("status", "--check"), told.layout.latch.exists()
        told.resume = ask("resume", "--reason", "back from lunch", "--json")
        told.resume_again = ask("resume", "--reason", "twice")
        told.flatten = ask("flatten", "--reason", "end of the day", "--json")
        told.code = daemon.stop(signal.SIGTERM)
        told.summary, told.log = daemon.summary(), daemon.said()
    told.replay = smartmoney("replay", told.summary["run_id"], "-c", config, "--state-dir", state, "--json", PYTHONHASHSEED="2")
    with Daemon("-c", config, "--for", 2, "--json", "--state-dir", state) as daemon:
        told.next_code = daemon.finish(PATIENCE_S)  # its start is in it
        told.next_summary = daemon.summary()
    return told


def test_the_summary_has_every_promised_key(story):
    assert set(PROMISED) <= set(story.summary)
    assert (story.summary["mode"], story.summary["venue"]) == ("paper", "sim")
    assert story.summary["model"].startswith("default-")
    assert story.summary["drift"]["level"] == "ok"


def test_it_synced_decided_and_traded(story):
    summary = story.summary
    assert summary["feed_trust"] == "synced"
    assert summary["synced_after_s"] > 0
    assert (summary["gaps"], summary["resyncs"]) == (0, 1)
    assert summary["frames"] > 50
    assert summary["trades"] > 0
    assert summary["decisions"] >= summary["signals"] > 0
    assert summary["orders"] >= summary["fills"] > 0


def test_decisions_are_signals_and_refusals_and_nothing_else(story):
    assert sum(story.summary["refusals"].values()) + story.summary["signals"] >= story.summary["decisions"]


def test_status_while_running_has_the_same_keys_and_shows_the_position(story):
    shown = json.loads(story.status.stdout)
    assert story.status.returncode == 0
    assert shown.keys() == story.summary.keys()
    assert shown["run_id"] == story.summary["run_id"]
    assert shown["position"] > 0
    assert not shown["halted"]
    (seen,) = shown["instruments"].values()
    assert seen["stop"] < seen["bid"] < seen["target"]


def test_status_for_people_names_the_essentials(story):
    assert story.status_text.returncode == 0
    for word in ("equity", "feed_trust", "synced", "BTC/USDT", story.summary["run_id"]):
        assert word in story.status_text.stdout


def test_status_check_is_an_exit_code(story):
    assert (story.check.returncode, story.check.stdout, story.check.stderr) == (0, "", "")
    assert story.halted_check.returncode == 1


def test_a_second_instance_on_the_same_state_directory_is_refused_with_78_and_one_line(story):
    assert story.rival.returncode == 78
    line = story.rival.stderr.strip().splitlines()[-1]
    assert "in use by process" in line
    assert "--state-dir" in line
    assert "Traceback" not in story.rival.stderr


def test_halt_holds_the_position_and_sets_the_latch(story):
    assert story.halt.returncode == 0
    answer = json.loads(story.halt.stdout)
    assert answer["halted"]
    assert answer["halt_reason"] == "operator: lunch"
    assert answer["positions"]["BTC/USDT"] > 0
    assert story.latched


def test_resume_rearms_once_and_refuses_when_there_is_nothing_to_resume(story):
    assert json.loads(story.resume.stdout)["halted"] is False
    assert story.resume_again.returncode == 1
    assert "not halted" in story.resume_again.stderr


def test_flatten_closes_everything_and_stays_halted(story):
    assert story.flatten.returncode == 0
    answer = json.loads(story.flatten.stdout)
    assert answer["halted"]
    assert answer["positions"]["BTC/USDT"] == 0
    assert story.summary["halted"]
    assert story.summary["position"] == 0


def test_sigterm_stops_cleanly_and_takes_the_exchange_along(story):
    assert story.code == 0
    assert "Traceback" not in story.log
    assert has_ended(story.exchange)
    assert not story.layout.control_socket.exists()
    with JournalReader.open(story.layout.journal) as journal:
        header = journal.run(story.summary["run_id"])
        assert header.ended_wall_ns is not None
        assert header.digest == story.summary["digest"]


def test_the_control_socket_is_the_users_own(story):
    assert story.socket_mode == 0o600
    assert story.layout.root.stat().st_mode & 0o777 == 0o700


def test_replay_in_another_process_with_another_hash_seed_has_the_same_digest(story):
    assert story.replay.returncode == 0, story.replay.stderr
    replayed = json.loads(story.replay.stdout)
    assert replayed["replay"]["is_identical"]
    assert replayed["replay"]["is_whole"]
    assert replayed["digest"] == story.summary["digest"]
    for key in ("run_id", "config_hash", "frames", "trades", "decisions", "signals", "refusals", "orders", "fills", "position", "equity"):
        assert replayed[key] == story.summary[key], key


def test_halted_stays_halted_over_a_restart(story):
    after = story.next_summary
    assert story.next_code == 0
    assert after["run_id"] != story.summary["run_id"]
    assert after["halted"]
    assert after["halt_reason"] == "flatten: end of the day"
    assert after["decisions"] > 0
    assert (after["signals"], after["orders"]) == (0, 0)
    assert after["uptime_s"] >= 2


def test_the_account_goes_on_over_a_restart(story):
    assert story.next_summary["equity"] == pytest.approx(story.summary["equity"], abs=1e-9)
    with JournalReader.open(story.layout.journal) as journal:
        fills = journal.fills()
    spent = sum((Decimal(-1 if row.side == "buy" else 1) * row.price * row.quantity - row.fee for row in fills), Decimal(10_000))
    assert float(spent) == pytest.approx(story.summary["equity"], abs=1e-9)


def test_a_command_without_a_daemon_says_so(story):
    result = smartmoney("status", "--state-dir", story.layout.root, "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"] == "DaemonNotRunning"
    assert result.stderr.count("\n") == 1
    with pytest.raises(Exception, match="running"):
        request(story.layout.control_socket, ControlRequest(command="status"))


@pytest.mark.slow
def test_halt_without_a_daemon_makes_the_next_one_start_halted(story, tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    assert smartmoney("halt", "--reason", "not today", "--state-dir", state).returncode == 0
    with Daemon("--set", "sim.prerun_s=0", "--for", 0.5, "--json", "--state-dir", state) as daemon:
        assert daemon.finish() == 0
        summary = daemon.summary()
    assert summary["halted"]
    assert summary["halt_reason"] == "operator: not today"
    with JournalReader.open(StateLayout(state).journal) as journal:
        assert journal.halt_state().halted, "the latch became a halt of the journal"


@pytest.mark.slow
def test_sigterm_during_the_start_ends_with_zero_and_leaves_no_process(tmp_path):
    with Daemon("--set", "sim.prerun_s=0", "--state-dir", tmp_path / "state") as daemon:
        exchange = daemon.wait_for("built-in exchange is up")["pid"]
        code = daemon.stop(signal.SIGTERM)
        said = daemon.said()
    assert code == 0
    assert "Traceback" not in said
    assert has_ended(exchange)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("strategy_class=no_such_module:Mine", "cannot be imported"),
        pytest.param('instruments=["DOGE/USDT"]', "no profile for DOGEUSDT", marks=pytest.mark.slow),
    ],
)
def test_what_only_the_start_can_find_wrong_with_a_configuration_ends_with_78_and_one_line(tmp_path, setting, words):
    result = smartmoney("run", "--set", "sim.prerun_s=0", "--set", setting, "--state-dir", tmp_path / "state")
    assert result.returncode == 78
    assert words in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.stderr

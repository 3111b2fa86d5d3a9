"""What the command line says to what it cannot use: one line with key and remedy, and the exit code that a service manager understands."""

import contextlib
import json
import socket
import sqlite3
from decimal import Decimal

import pytest

from smartmoney.adapters.journal import Journal
from smartmoney.cli import main as command_line
from smartmoney.settings.errors import ConfigurationError


@pytest.fixture
def config(tmp_path):
    """Write a configuration file; return its path."""

    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("strategy: {confidence_treshold: 0.7}", ("strategy.confidence_treshold", "did you mean confidence_threshold?")),
        ("wobble: 1", ("wobble", "unknown key")),
        ("strategy: {regime_weight: 0.5, imbalance_weight: 0.3, liquidity_weight: 0.3}", ("strategy.regime_weight", "sum to 1")),
        ("strategy: {max_position_size: -0.1}", ("strategy.max_position_size", "greater than 0")),
        ("strategy: {max_position_size: .nan}", ("strategy.max_position_size",)),
        ("paper_balance: 0", ("paper_balance",)),
        ("venue: kraken", ("venue",)),
        ("mode: live", ("mode", "add --live")),
        ("mode: [paper", ("not valid YAML",)),
        ("- a list", ("config",)),
        ("instruments: []", ("instruments",)),
    ],
)
def test_a_wrong_configuration_ends_with_78_and_one_line_naming_key_and_remedy(call, config, text, words):
    code, out, err = call("run", "-c", config(text))
    assert code == 78
    assert out == ""
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert ";" in err, "the remedy follows the problem"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "-c", "/nowhere/paper.yaml"), "does not exist"),
        (("run", "--paper", "--live"), "choose one"),
        (("run", "--live"), "mode: live"),
        (("run", "--profile", "reckless"), "choose one of: aggressive, conservative, high_frequency"),
        (("run", "--set", "nonsense"), "key=value"),
        (("run", "--warm", "/nowhere/a.gz"), "name a recording"),
        (("replay", "--frames", "/nowhere/a.gz"), "name recordings"),
        (("replay", "--frames", __file__, "--market", "swaps"), "one of spot, usdm, coinm"),
        (("replay", "--frames", __file__, "--venue", "kraken"), "binance"),
        (("replay", "--frames", __file__, "--emit", "trades"), "bbo"),
    ],
)
def test_wrong_words_of_a_command_end_with_78_and_one_line(call, words, expected):
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (78, "", 1)
    assert expected in err


def test_paper_file_with_live_flag_and_live_file_without_it_are_both_refused(call, config):
    for words, text in ((("--live",), "mode: paper"), (("--paper",), "mode: live"), ((), "mode: live")):
        code, _, err = call("run", *words, "-c", config(text))
        assert (code, err.startswith("smartmoney: mode: ")) == (78, True)


def test_live_is_refused_while_there_is_no_model_that_passed_its_gate(call, config):
    code, _, err = call("run", "--live", "-c", config("mode: live\ncapital: 100\nvenue: binance"))
    assert code == 78
    assert "model" in err


def test_with_json_the_problem_is_one_object_too(call):
    code, out, err = call("run", "--set", "strategy.max_drawdown=2", "--json")
    found = json.loads(out)
    assert code == 78
    assert found["error"] == "ConfigurationError"
    assert found["message"] in err


@pytest.mark.parametrize("words", [("run", "--for", "soon"), ("frobnicate",), ("resume",), ("replay",), ("run", "--for", "0")])
def test_wrong_usage_ends_with_2(call, words):
    assert call(*words)[0] == 2


def test_a_state_directory_that_cannot_be_used_ends_with_78(call, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "below", "/proc/nowhere"):
        for words in (("replay", "last"), ("run",)):
            code, _, err = call(*words, "--state-dir", place)
            assert code == 78
            assert "--state-dir" in err.splitlines()[-1]
            assert "Traceback" not in err


def test_a_state_directory_open_to_others_with_foreign_files_is_left_alone(call, tmp_path):
    place = tmp_path / "home"
    place.mkdir(mode=0o755)
    (place / "letter.txt").write_text("dear")
    code, _, err = call("run", "--state-dir", place)
    assert code == 78
    assert "--state-dir" in err.strip().splitlines()[-1]
    assert [entry.name for entry in place.iterdir()] == ["letter.txt"]


def test_a_journal_of_a_newer_schema_or_of_something_else_is_refused_and_untouched(call, tmp_path):
    newer, other = tmp_path / "newer", tmp_path / "other"
    for place in (newer, other):
        place.mkdir(mode=0o700)
    Journal.open(newer / "journal.db", "paper", "sim:spot", initial_cash=Decimal(1)).close()
    with contextlib.closing(sqlite3.connect(newer / "journal.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
        connection.execute("PRAGMA journal_mode = delete")
    (other / "journal.db").write_text("shopping list")
    for place, word in ((newer, "newer smartmoney"), (other, "not a database")):
        before = (place / "journal.db").read_bytes()
        code, _, err = call("replay", "last", "--state-dir", place)
        assert code == 78, err
        assert word in err
        assert (place / "journal.db").read_bytes() == before


def test_a_port_in_use_is_one_line_with_the_remedy(call):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = call("sim", "--port", taken.getsockname()[1], "--symbols", "BTCUSDT")
    assert code == 1
    assert "Choose another --port" in err.strip().splitlines()[-1]


def test_an_unknown_symbol_of_the_exchange_is_wrong_usage(call):
    code, _, err = call("sim", "--symbols", "DOGEUSDT")
    assert code == 2
    assert "BTCUSDT" in err


def test_the_scenarios_of_the_exchange_are_listed(call):
    code, out, _ = call("sim", "scenarios", "--json")
    listed = {entry["name"]: entry for entry in json.loads(out)["scenarios"]}
    assert code == 0
    assert len(listed) >= 12
    assert listed["first_run"]["edge_planted"]
    assert not listed["no_information"]["edge_planted"]
    code, out, _ = call("sim", "scenarios")
    assert code == 0
    assert len(out.splitlines()) == len(listed)


def test_an_unknown_scenario_is_a_matter_of_configuration(call):
    code, _, err = call("sim", "--scenario", "moon")
    assert code == 78
    assert "there is no scenario 'moon'; choose one of" in err


def test_halting_nothing_is_not_called_halted(call, tmp_path):
    code, out, err = call("halt", "--state-dir", tmp_path / "nowhere")
    assert (code, out) == (1, "")
    assert "could not be written" in err


def test_operating_without_a_daemon_names_the_remedy(call, tmp_path):
    for words in (("status",), ("status", "--check"), ("resume", "--reason", "x"), ("flatten",)):
        code, _, err = call(*words, "--state-dir", tmp_path)
        assert code == 1
        assert "start it, or name its --state-dir" in err


def test_a_bug_keeps_its_traceback_and_a_group_has_its_worst_code():
    assert command_line.exit_code(ZeroDivisionError()) is None
    assert command_line.exit_code(ConfigurationError("a", "b", "c")) == 78
    assert command_line.exit_code(OSError("disk")) == 1
    assert command_line.exit_code(ExceptionGroup("", [OSError("disk"), ConfigurationError("a", "b", "c")])) == 78
    assert command_line.exit_code(ExceptionGroup("", [OSError("disk"), ZeroDivisionError()])) is None


def test_version_is_printed(call):
    code, out, _ = call("--version")
    assert code == 0
    assert out.startswith("smartmoney 0.")

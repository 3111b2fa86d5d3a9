"""`smartmoney sim check`: what it prints, how it ends, and that the number of processes changes nothing."""

import json
import sys

import msgspec
import pytest

from smartmoney.cli import main as command_line
from smartmoney.learning.realism_bands import BANDS
from smartmoney.runtime import realism_jobs
from smartmoney.runtime.realism_jobs import CheckJob, run_check
from smartmoney.simulation.scenario import FIRST_RUN

SHORT = ("--seeds", "2", "--hours", "0.0834", "--base", "5", "--processes", "1")


@pytest.fixture
def call(monkeypatch, capsys):
    """Run one command in this process; return exit code, standard output, standard error."""
    monkeypatch.delenv("SMARTMONEY_CAPTURES", raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["smartmoney", "sim", "check", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, " ".join(said.err.replace("│", " ").split())

    return run


def outcome_of(processes):
    done = []
    job = CheckJob(scenario=FIRST_RUN, seeds=2, base=5, hours=1 / 12, processes=processes, captures=None)
    outcome = run_check(job, lambda now, of: done.append((now, of)))
    assert done == [(n, 10) for n in range(1, 11)]  # two seeds, eight worlds
    return outcome


@pytest.fixture(scope="module")
def outcome():
    return outcome_of(1)


@pytest.mark.slow
def test_the_number_of_processes_changes_no_number(outcome):
    other = outcome_of(2)
    timeless = [msgspec.json.encode(msgspec.structs.replace(one.report, cpu_s_per_day=0.0)) for one in (outcome, other)]
    assert timeless[0] == timeless[1]


@pytest.mark.slow
def test_json_has_every_band_and_a_miss_ends_with_one(call, tmp_path):
    code, out, err = call("--scenario", "mixed_day", *SHORT, "--json", "--out", tmp_path / "made")
    printed = json.loads(out)
    assert code == 1
    assert (printed["scenario"], printed["seeds"], printed["base"]) == ("mixed_day", 2, 5)
    assert [band["key"] for band in printed["bands"]] == [band.key for band in BANDS]
    for band in printed["bands"]:
        assert {"name", "low", "high", "values", "share_inside", "real"} <= set(band)
        assert len(band["values"]) == 2
        assert 0.0 <= band["share_inside"] <= 1.0
        assert band["passes"] or band["reason"]
    by_key = {band["key"]: band for band in printed["bands"]}
    assert "SMARTMONEY_CAPTURES" in by_key["likeness"]["reason"]
    assert "4000" in by_key["impact_exponent"]["reason"]
    assert by_key["cancelled_share"]["passes"]
    written = {path.name for path in (tmp_path / "made").iterdir()}
    assert written == {"check.json", "moves.png", "memory.png", "signs.png", "spreads.png", "day.png"}
    assert all((tmp_path / "made" / name).read_bytes()[:4] == b"\x89PNG" for name in written - {"check.json"})
    assert json.loads((tmp_path / "made" / "check.json").read_text()) == printed
    assert "wrote" in err


@pytest.mark.parametrize("passes", [True, False])
def test_the_exit_code_is_the_verdict_and_the_table_says_why(call, monkeypatch, outcome, passes):
    bands = tuple(msgspec.structs.replace(band, passes=passes, reason="" if passes else band.reason) for band in outcome.report.bands)
    judged = msgspec.structs.replace(outcome, report=msgspec.structs.replace(outcome.report, passes=passes, bands=bands))
    monkeypatch.setattr(realism_jobs, "run_check", lambda job, on_done: judged)
    code, out, _ = call("--scenario", "first_run", *SHORT)
    assert code == (0 if passes else 1)
    assert all(band.name in out for band in BANDS)
    assert ("MISS" in out) is not passes
    assert ("are needed: more seeds or hours" in out) is not passes
    assert "base 5" in out
    assert "CPU seconds a simulated day" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", 0), "--seeds"),
        (("--hours", 0), "--hours"),
        (("--processes", 0), "--processes"),
        (("--base", -1), "--base"),
        (("--captures", "nowhere"), "no folder of recordings"),
    ],
)
def test_what_it_cannot_do_is_a_usage_error_that_names_the_option(call, words, said):
    code, _, err = call(*words)
    assert code == 2
    assert said in err


def test_a_scenario_that_there_is_not_is_a_configuration_error(call):
    code, _, err = call("--scenario", "marsh")
    assert code == 78
    assert "marsh" in err


def test_out_must_not_be_a_file(call, tmp_path):
    (tmp_path / "x").write_text("")
    code, _, err = call(*SHORT, "--out", tmp_path / "x")
    assert code == 2
    assert "is no folder" in err

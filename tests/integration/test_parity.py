"""The same minutes three times: run on paper in real time, replayed from its capture, and backtested from its capture."""

import json

import pytest

from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout

from .daemons import Daemon, long_only, smartmoney

pytestmark = pytest.mark.slow

PRICES_WITHIN_BPS = 0.2


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    config, state = long_only(folder / "config"), folder / "state"
    with Daemon("-c", config, "--json", "--state-dir", state) as daemon:
        daemon.shows(state, lambda status: status["fills"] > 0, "it trades")
        assert daemon.stop() == 0
        live = daemon.summary()
    same = ("-c", config, "--state-dir", state, "--json")
    replay = smartmoney("replay", live["run_id"], *same)
    backtest = smartmoney("backtest", "--run", live["run_id"], *same)
    assert backtest.returncode == 0, backtest.stderr
    differs = [
        smartmoney("diff", live["run_id"], *same, "--build-only"),
        smartmoney("diff", live["run_id"], *same, "--set", "strategy.min_liquidity_score=1.0"),
    ]
    fitted = smartmoney("backtest", "--run", live["run_id"], "--fills", "measured", *same)
    exported = smartmoney("export", live["run_id"], "--out", folder / "data", "--state-dir", state, "--json")
    stored = smartmoney("backtest", "--dataset", folder / "data", "-c", config, "--json")
    with JournalReader.open(StateLayout(state).journal) as journal:
        fills, waits = journal.fills(live["run_id"]), journal.acknowledgements_ms(live["run_id"])
    recorded = smartmoney("backtest", "--run", live["run_id"], "--latency", "recorded", *same)
    assert recorded.returncode == 0, recorded.stderr
    tested = json.loads(backtest.stdout), json.loads(recorded.stdout)
    return live, replay, tested, fills, waits, differs, (fitted, exported, stored)


def test_the_replay_is_the_run_bit_for_bit(story):
    live, replay, *_ = story
    assert replay.returncode == 0, replay.stderr
    assert json.loads(replay.stdout)["digest"] == live["digest"]


def test_the_backtest_fills_what_the_run_filled(story):
    """With the configured latency the same fills; with the waits that the run's orders had, at the same prices, however busy the machine."""
    _, _, backtests, fills, *_ = story
    for backtest in backtests:
        tested = backtest["jobs"][0]["fills"]
        assert [fill["side"] for fill in tested] == [fill.side for fill in fills]
        assert sum(float(fill["quantity"]) for fill in tested) == pytest.approx(float(sum(fill.quantity for fill in fills)), rel=1e-9)
        assert any(line.startswith(f"beside the run itself: the same {len(fills)} fills") for line in backtest["assumptions"])
    for ours, theirs in zip(tested, fills, strict=True):
        assert float(ours["price"]) == pytest.approx(float(theirs.price), rel=PRICES_WITHIN_BPS / 1e4)


def test_acknowledgements_were_measured_about_as_long_as_paper_makes_them_wait(story):
    live, *_, waits, _, _ = story
    assert len(waits) > 0
    assert min(waits) >= 50.0
    assert live["orders"] >= len(waits)


def test_this_build_would_have_journaled_what_the_run_did(story):
    *_, (build, _), _ = story
    assert build.returncode == 0, build.stdout + build.stderr
    found = json.loads(build.stdout)
    assert found["identical"]
    assert found["first_difference"] is None
    assert found["counts"]["orders"]["recorded"] == found["counts"]["orders"]["today"] > 0
    assert found["counts"]["fills"]["recorded"] > 0


def test_other_settings_are_told_apart_with_both_sides(story):
    *_, (_, other), _ = story
    assert other.returncode == 1, other.stderr
    found = json.loads(other.stdout)
    assert not found["identical"]
    first = found["first_difference"]
    assert first["recorded"] != first["today"]
    assert first["table"] in {"equity", "orders", "refusals", "signals"}
    assert found["counts"]["fills"]["recorded"] > 0


def test_too_few_fills_of_a_run_are_told_and_the_default_stands(story):
    _, _, (backtest, _), *_, (fitted, _, _) = story
    assert fitted.returncode == 0, fitted.stderr
    found = json.loads(fitted.stdout)
    assert any("30 are wanted; the default stands" in line for line in found["assumptions"])
    assert found["fills"] == backtest["fills"]


def test_a_captured_run_becomes_a_dataset_that_can_be_tested(story):
    live, *_, (_, exported, stored) = story
    assert exported.returncode == 0, exported.stderr
    [written] = json.loads(exported.stdout)["instruments"]
    assert not written["provisional_grid"]
    assert stored.returncode == 0, stored.stderr
    assert json.loads(stored.stdout)["decisions"] > 0
    assert live["frames"] > 0


def test_recording_captures_a_venue_and_never_orders(tmp_path):
    with Daemon("--set", "sim.prerun_s=0", "--json", "--state-dir", tmp_path, command="record") as daemon:
        daemon.shows(tmp_path / "record", lambda status: status["frames"] > 20, "it captures")
        assert daemon.stop() == 0, daemon.said()
        summary = daemon.summary()
    assert (summary["orders"], summary["signals"]) == (0, 0)
    assert summary["frames"] > 20
    verified = smartmoney("record", "verify", "last", "--state-dir", tmp_path, "--json")
    assert verified.returncode == 0, verified.stdout
    assert [one["run_id"] for one in json.loads(smartmoney("record", "ls", "--state-dir", tmp_path, "--json").stdout)] == [
        summary["run_id"]
    ]

"""The same minutes three times: run on paper in real time, replayed from its capture, and backtested from its capture."""

import json

import pytest

from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout

from .daemons import Daemon, long_only, smartmoney

PRICES_WITHIN_BPS = 0.2


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    config, state = long_only(folder / "config"), folder / "state"
    with Daemon("-c", config, "--json", "--state-dir", state) as daemon:
        daemon.wait_for("status", lambda line: line["fills"] > 0)
        assert daemon.stop() == 0
        live = daemon.summary()
    same = ("-c", config, "--state-dir", state, "--json")
    replay = smartmoney("replay", live["run_id"], *same)
    backtest = smartmoney("backtest", "--run", live["run_id"], *same)
    assert backtest.returncode == 0, backtest.stderr
    with JournalReader.open(StateLayout(state).journal) as journal:
        fills, waits = journal.fills(live["run_id"]), journal.acknowledgements_ms(live["run_id"])
    return live, replay, json.loads(backtest.stdout), fills, waits


def test_the_replay_is_the_run_bit_for_bit(story):
    live, replay, _, _, _ = story
    assert replay.returncode == 0, replay.stderr
    assert json.loads(replay.stdout)["digest"] == live["digest"]


def test_the_backtest_fills_what_the_run_filled(story):
    _, _, backtest, fills, _ = story
    tested = backtest["jobs"][0]["fills"]
    assert [fill["side"] for fill in tested] == [fill.side for fill in fills]
    assert sum(float(fill["quantity"]) for fill in tested) == pytest.approx(float(sum(fill.quantity for fill in fills)), rel=1e-9)
    for ours, theirs in zip(tested, fills, strict=True):
        assert float(ours["price"]) == pytest.approx(float(theirs.price), rel=PRICES_WITHIN_BPS / 1e4)


def test_acknowledgements_were_measured_about_as_long_as_paper_makes_them_wait(story):
    live, _, _, _, waits = story
    assert len(waits) > 0
    assert min(waits) >= 50.0
    assert live["orders"] >= len(waits)

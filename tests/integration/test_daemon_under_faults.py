"""The whole daemon, as a process, against an exchange that misbehaves in every way that a feed knows; its run replays to the same digest."""

import json
import urllib.request

import pytest

from .daemons import Daemon, smartmoney

FAULTS = """
seed: 4
faults:
  - {kind: gap, skip: 15, every: 25, count: 3}
  - {kind: duplicate, probability: 0.2}
  - {kind: reorder, probability: 0.04}
  - {kind: truncate, probability: 0.03}
  - {kind: garbage, form: nan, probability: 0.05, instead: false}
  - {kind: garbage, form: binary, size: 2000, probability: 0.05, instead: false}
  - {kind: garbage, form: deep, size: 100000, probability: 0.02, instead: false}
  - {kind: garbage, form: large, skip: 40, count: 1}
  - {kind: price_spike, skip: 5, every: 10, count: 3}
  - {kind: disconnect, life_s: 4, count: 2}
  - {kind: server_error, call: GET depth, status: 502, code: 0, every: 2}
  - {kind: slow_answer, call: GET depth, delay_s: 0.5}
"""


@pytest.mark.slow
def test_a_daemon_lives_through_a_feed_full_of_faults_and_its_run_can_be_replayed(tmp_path):
    (tmp_path / "faults.yaml").write_text(FAULTS)
    state = tmp_path / "state"
    words = ("--seed", 3, "--port", 0, "--symbols", "BTCUSDT", "--faults", tmp_path / "faults.yaml", "--json")
    with Daemon(*words, command="sim") as exchange:
        usdm = exchange.first_printed()["binance"]["usdm"]
        settings = ("venue=binance", "market=usdm", f"endpoints.rest={usdm['rest']}", f"endpoints.ws={usdm['ws']}")
        arguments = [word for setting in settings for word in ("--set", setting)]

        def idle():
            with urllib.request.urlopen(usdm["rest"] + "/sim/faults") as answer:
                return [fault["name"] for fault in json.load(answer)["faults"] if not fault["acted"]]

        with Daemon(*arguments, "--json", "--state-dir", state) as daemon:
            daemon.until(lambda: set(idle()) <= {"garbage-7"}, "all of them act")
            daemon.shows(state, lambda status: status["gaps"] >= 3 and status["decisions"] >= 5, "it saw the gaps and decided all the same")
            assert daemon.stop() == 0, daemon.said()
            summary = daemon.summary()
        assert exchange.process.poll() is None, exchange.said()
        assert exchange.stop() == 0
    assert json.loads(smartmoney("replay", "last", "--json", "--state-dir", state).stdout)["digest"] == summary["digest"]

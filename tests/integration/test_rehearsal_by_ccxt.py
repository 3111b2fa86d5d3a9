"""A live daemon whose market and account both go through ccxt.pro, rehearsed at the built-in exchange: the exchange's ledger is the judge."""

import json
import signal

import pytest
import yaml

from tests.waiting import wait_until

from .daemons import smartmoney
from .rehearsals import SECRET, rehearsal
from .test_rehearsal import by_hand

MARKETS = pytest.mark.parametrize("market", ["usdm", pytest.param("spot", marks=pytest.mark.campaign)])


def by_ccxt(stage):
    """Turn the stage's native configuration into one through ccxt's own class of the same exchange."""
    spot, here = stage.spot, stage.here
    api = {"public": spot["rest"] + "/api/v3", "private": spot["rest"] + "/api/v3", "sapi": spot["rest"] + "/sapi/v1"}
    for name, version in (("", "v1"), ("V2", "v2"), ("V3", "v3")):
        api["fapiPublic" + name] = api["fapiPrivate" + name] = f"{here['rest']}/fapi/{version}"
    api["ws"] = {"spot": spot["ws"] + "/stream", "linear": here["ws"] + "/ws", "ws-api": {"spot": spot["ws"] + "/ws-api/v3"}}
    given = yaml.safe_load(stage.config.read_text())
    given["venue"] = "ccxt:binance" if stage.market == "spot" else "ccxt:binanceusdm"
    given["endpoints"] = {"ccxt_urls": {"api": api}}
    stage.config.write_text(yaml.safe_dump(given))


@MARKETS
@pytest.mark.slow
def test_a_daemon_by_ccxt_trades_protects_survives_a_kill_and_halts_at_a_stranger(tmp_path, market):
    with rehearsal(tmp_path, market) as stage:
        by_ccxt(stage)
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready", lambda line: line["mode"] == "rehearsal")
            daemon.shows(stage.state, lambda status: status["fills"] > 0, "it trades")
            assert stage.settles() == []
            daemon.stop(signal.SIGKILL)
            said = daemon.said()
        before = stage.ledger()
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready")
            daemon.shows(stage.state, lambda status: status["feed_trust"] == "synced" and status["decisions"] > 1, "it decides")
            assert stage.settles() == []
            assert stage.held(stage.ledger()) == stage.held(before), "what is held already is not bought again"
            by_hand(stage, "0.001" if market == "spot" else "0.005")
            wait_until(lambda: stage.status()["halted"])
            assert daemon.stop(signal.SIGTERM) == 0
            said += daemon.said() + daemon.printed()
        replayed = smartmoney("replay", "last", "--json", "-c", stage.config, "--state-dir", stage.state)
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)["replay"]["is_identical"]
        assert SECRET not in said

"""A live daemon as a user has it, rehearsed against the built-in exchange as a process of its own, its faults on, its ledger the judge."""

import json
import signal
from decimal import Decimal

import pytest

from tests.waiting import wait_until

from .daemons import smartmoney
from .rehearsals import ACCOUNTS, KEY, SECRET, rehearsal

MARKETS = pytest.mark.parametrize("market", ["spot", pytest.param("usdm", marks=pytest.mark.campaign)])


@MARKETS
@pytest.mark.slow
def test_a_rehearsal_trades_survives_kill_and_human_and_shows_no_secret(tmp_path, market):
    with rehearsal(tmp_path, market) as stage:
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready", lambda line: line["mode"] == "rehearsal")
            daemon.shows(stage.state, lambda status: status["fills"] > 0, "it trades")
            assert stage.settles() == []
            shown = stage.status()
            assert shown["mode"] == "rehearsal"
            assert shown["position"] == pytest.approx(float(stage.held(stage.ledger())), abs=1e-12)
            rival = smartmoney("run", "--live", "-c", stage.config, "--for", 1, "--state-dir", tmp_path / "other")
            assert rival.returncode == 78
            assert "another daemon on this machine trades the account" in rival.stderr
            daemon.stop(signal.SIGKILL)
            said = daemon.said()
        before = stage.ledger()
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready")
            daemon.shows(stage.state, lambda status: status["feed_trust"] == "synced" and status["decisions"] > 1, "it decides")
            assert stage.settles() == []
            assert stage.held(stage.ledger()) == stage.held(before), "what is held already is not bought again"
            quantity = "0.001" if market == "spot" else "0.005"
            by_hand(stage, quantity)
            wait_until(lambda: stage.status()["halted"])
            assert daemon.stop(signal.SIGTERM) == 0
            said += daemon.said() + daemon.printed() + json.dumps(daemon.summary())
        replayed = smartmoney("replay", "last", "--json", "-c", stage.config, "--state-dir", stage.state)
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)["replay"]["is_identical"]
        for path in sorted(stage.state.rglob("*")):
            if path.is_file():
                assert SECRET.encode() not in path.read_bytes(), path
        assert SECRET not in said
        assert KEY not in said


def by_hand(stage, quantity, side="BUY"):
    """Trade on the account as a human at the exchange's web page would."""
    import hashlib
    import hmac
    import urllib.request
    from urllib.parse import urlencode

    root = "/api/v3/" if stage.market == "spot" else "/fapi/v1/"
    with urllib.request.urlopen(stage.here["rest"] + root + "time") as answer:
        at = json.load(answer)["serverTime"]
    text = urlencode({"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity, "timestamp": at})
    signature = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    url = f"{stage.here['rest']}{root}order?{text}&signature={signature}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": KEY})) as answer:
        assert json.load(answer)["status"] in {"FILLED", "NEW"}


FAULTS = (
    {
        "kind": "server_error",
        "call": "POST order|POST algoOrder|POST orderList/*",
        "accepted": True,
        "status": 503,
        "code": -1007,
        "every": 3,
    },
    {"kind": "lost_answer", "call": "POST order|POST algoOrder|POST orderList/*", "accepted": True, "skip": 1, "every": 4},
    {"kind": "lost_answer", "call": "POST order|POST algoOrder|POST orderList/*", "accepted": False, "skip": 2, "every": 5},
    {"kind": "lost_answer", "call": "DELETE *", "accepted": True, "every": 3},
    {"kind": "slow_answer", "call": "GET *", "delay_s": 0.4, "every": 5},
    {"kind": "lost_fill", "probability": 0.3, "count": 0},
    {"kind": "duplicate_fill", "probability": 0.4, "count": 0},
    {"kind": "late_fill", "delay_s": 2, "probability": 0.2, "count": 0},
    {"kind": "fill_before_ack", "probability": 0.4, "count": 0},
    {"kind": "disconnect", "life_s": 7, "count": 3},
    {"kind": "vanished_stop", "after_s": 12, "told": False},
    {"kind": "reject_stop", "after_s": 6, "count": 1},
)
FAULTS_MET = 9
"""Kinds that must have struck before it counts."""
ORDERS_AFTER = 10
"""Orders that go on through all of them together after that."""
DECISIONS_AFTER = 6
"""Decisions after a halt in which an order that must not be would have been made."""


@MARKETS
@pytest.mark.campaign
def test_a_rehearsal_full_of_faults_ends_with_ledger_and_journal_agreed(tmp_path, market):
    with rehearsal(tmp_path, market) as stage:
        stage.configure(strategy="churn_for_tests:Churn", every=0.5)
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready")
            daemon.wait_for("status", lambda line: line["orders"] > 0)
            names = [stage.fault(**fault) for fault in FAULTS]
            wait_until(lambda: sum(stage.acted(name) > 0 for name in names) >= FAULTS_MET, "the faults strike")
            met = len(stage.ours(stage.ledger()))
            wait_until(lambda: len(stage.ours(stage.ledger())) >= met + ORDERS_AFTER, "it goes on ordering")
            for name in names:
                stage.clear(name)
            wait_until(lambda: stage.problems() == [], "all is well", seen=stage.problems)
            smartmoney("halt", "--reason", "enough", "--state-dir", stage.state)
            orders = len(stage.ours(stage.ledger()))
            assert stage.settles() == []
            wait_until(lambda: stage.status()["halted"])
            decided = stage.status()["decisions"]
            wait_until(lambda: stage.status()["decisions"] >= decided + DECISIONS_AFTER)
            account = stage.ledger()
            assert len(stage.ours(account)) - orders <= 2, "after a halt only protection may be placed"
            assert stage.open_entries(account) == []
            shown = stage.status()
            assert Decimal(str(shown["position"])) == pytest.approx(stage.held(account), abs=Decimal("1e-9"))
            assert daemon.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("accounts", "change", "words"),
    [
        (ACCOUNTS.replace("addresses: [127.0.0.1]", "withdraw: true, addresses: [127.0.0.1]"), {}, "the key may withdraw"),
        (ACCOUNTS.replace("addresses: [127.0.0.1]", "addresses: []"), {}, "the key may be used from any address"),
        (ACCOUNTS.replace("USDT: 10000, BTC: 0.5", "USDT: 100, BTC: 0.5"), {}, "of its capital of 5000 USDT should be there"),
        (ACCOUNTS, {"mode": 0o640}, "others may read"),
        (ACCOUNTS, {"secret": "wrong"}, "cannot be read"),
    ],
    ids=["withdraw", "address", "money", "rights", "secret"],
)
@pytest.mark.slow
def test_the_door_stays_shut_with_78_and_one_line_that_says_why(tmp_path, accounts, change, words):
    with rehearsal(tmp_path, accounts=accounts) as stage:
        if "mode" in change:
            (tmp_path / "secret").chmod(change["mode"])
        if "secret" in change:
            (tmp_path / "secret").write_text(change["secret"])
        with stage.daemon("--for", 1) as daemon:
            assert daemon.finish(300) == 78, daemon.said()
        assert words in daemon.said().strip().splitlines()[-1]
        assert "Traceback" not in daemon.said()
        assert SECRET not in daemon.said()
        assert stage.ledger()["orders"] == []


def test_no_other_host_is_ever_asked(tmp_path):
    config = tmp_path / "live.yaml"
    for rest in ("https://api.binance.com", "http://10.0.0.1:9000"):
        config.write_text(f"mode: live\nvenue: binance\ncapital: 100\nendpoints: {{rest: '{rest}', ws: 'ws://127.0.0.1:1'}}\n")
        said = smartmoney("run", "--live", "-c", config, "--state-dir", tmp_path / "state")
        assert said.returncode == 78
        assert "`smartmoney models gate`" in said.stderr

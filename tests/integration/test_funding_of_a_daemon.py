"""Funding of a live daemon as a user has it: charged by the exchange while it lives, while it is dead and while it is frozen in between."""

import json
import os
import signal
from decimal import Decimal

import pytest

from smartmoney.adapters.journal import JournalReader
from tests.waiting import wait_until

from .daemons import smartmoney
from .rehearsals import rehearsal


def charged(stage):
    rows = [one for one in stage.ledger()["income"] if one["kind"] == "FUNDING_FEE"]
    return {f"FUNDING_FEE-{one['number']}": Decimal(one["amount"]) for one in rows}


def booked(stage):
    with JournalReader.open(stage.layout.journal) as journal:
        rows = [row for row in journal.cash_movements() if row.kind == "funding"]
    assert len({row.reference for row in rows}) == len(rows)
    return {row.reference: row.amount for row in rows}


def charge(stage, count=1):
    name = stage.fault("funding", rate=0.002, count=count)
    wait_until(lambda: stage.acted(name) == count)


@pytest.mark.campaign
def test_each_payment_is_booked_once_over_kills_and_is_part_of_equity_and_replay(tmp_path):
    with rehearsal(tmp_path, "usdm") as stage:
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready")
            daemon.wait_for("status", lambda line: line["fills"] > 0)
            before = stage.status()
            charge(stage, 2)
            wait_until(lambda: booked(stage) == charged(stage) != {})
            shown = stage.status()
            assert shown["funding"] == pytest.approx(-float(sum(charged(stage).values())))
            assert shown["funding"] > 0
            assert shown["high_water_mark"] == before["high_water_mark"]
            # Charged while it cannot move, and killed before it could book: the next life has it to find.
            os.kill(daemon.process.pid, signal.SIGSTOP)
            charge(stage)
            assert booked(stage) != charged(stage)
            assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
        charge(stage)
        with stage.daemon("--json") as daemon:
            daemon.wait_for("ready")
            wait_until(lambda: booked(stage) == charged(stage))
            assert len(charged(stage)) == 4
            charge(stage)
            wait_until(lambda: booked(stage) == charged(stage))
            stage.ask("/sim/deposit", {"account": "trader", "wallet": "usdm", "asset": "USDT", "amount": "123"})
            moved = daemon.wait_for("money moved")
            assert "123" in moved["text"]
            assert "smartmoney transfer" in moved["text"]
            assert daemon.stop(signal.SIGTERM) == 0
        replayed = smartmoney("replay", "last", "--json", "-c", stage.config, "--state-dir", stage.state)
        assert replayed.returncode == 0, replayed.stderr
        assert json.loads(replayed.stdout)["replay"]["is_identical"]
        assert booked(stage) == charged(stage)
        assert stage.problems() == []

"""The doctor: a table that names what is wrong and what to do, on this machine and at the built-in exchange."""

import json
import os
import stat
from pathlib import Path

import msgspec
import pytest

from smartmoney.adapters.service import set_latch
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.doctor import examine
from smartmoney.runtime.doctor_machine import machine_checks
from smartmoney.settings.load import load_settings
from smartmoney.simulation.exchange.accounts import ApiKey, Permissions

from .daemons import smartmoney
from .tradable import DEMO, KEY, SECRET, exchange

MEASURED = {"free space", "fsync", "memory", "state directory"}
"""What says how this machine is at the moment, and not how the doctor is."""


def by_name(checks):
    return {check.name: check for check in checks}


def test_a_machine_that_is_well_has_nothing_wrong(tmp_path):
    checks = by_name(machine_checks(StateLayout(tmp_path), is_live=False))
    assert {name for name, check in checks.items() if check.ok is False} <= MEASURED
    assert {"python", "sqlite", "kernels", "state directory", "free space", "fsync", "open files", "memory", "guard"} <= checks.keys()
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(
    ("limit", "least", "most", "name"),
    [
        ("FSYNC_MS_MAX", -1.0, 1e9, "fsync"),
        ("FREE_BYTES_MIN", 1 << 62, 0, "free space"),
        ("MEMORY_MB_MIN", 1 << 62, 0, "memory"),
    ],
)
def test_what_is_measured_of_the_machine_is_held_against_its_limit(tmp_path, monkeypatch, limit, least, most, name):
    for value, is_well in ((least, False), (most, True)):
        monkeypatch.setattr(f"smartmoney.runtime.doctor_machine.{limit}", value)
        check = by_name(machine_checks(StateLayout(tmp_path), is_live=False))[name]
        assert check.ok is is_well
        assert check.remedy


def test_live_wants_a_real_disk_and_a_guard(tmp_path):
    if not os.path.ismount("/dev/shm"):
        pytest.skip("no memory file system here")
    checks = by_name(machine_checks(StateLayout(Path("/dev/shm") / f"smartmoney-doctor-test-{os.getpid()}"), is_live=True))
    assert checks["state directory"].ok is False
    assert "tmpfs" in checks["state directory"].found
    assert checks["guard"].ok is False
    assert "smartmoney guard" in checks["guard"].remedy


def test_a_halt_that_stands_is_told_with_its_reason(tmp_path):
    set_latch(tmp_path / "HALT", "drawdown: much", 1)
    check = by_name(machine_checks(StateLayout(tmp_path), is_live=False))["halt"]
    assert check.ok is None
    assert check.found == "drawdown: much"


def test_the_command_says_what_is_wrong_with_a_configuration(tmp_path):
    (tmp_path / "bad.yaml").write_text("mode: paper\nvenu: sim\n")
    said = smartmoney("doctor", "-c", tmp_path / "bad.yaml", "--state-dir", tmp_path, "--json")
    assert said.returncode == 1
    (check,) = [check for check in json.loads(said.stdout)["checks"] if check["ok"] is False]
    assert check["name"] == "configuration"
    assert "venue" in check["found"]


async def test_a_venue_that_is_not_there_is_wrong_and_no_traceback(tmp_path):
    dead = {"venue": "binance", "endpoints.rest": "http://127.0.0.1:9", "endpoints.ws": "ws://127.0.0.1:9"}
    checks = by_name(await examine(load_settings(overrides=dead), StateLayout(tmp_path)))
    assert checks["venue"].ok is False
    assert "network" in checks["venue"].remedy


def account(**changes):
    permissions = Permissions(**{"addresses": ("127.0.0.1",), **changes})
    return msgspec.structs.replace(DEMO, keys=(ApiKey(key=KEY, secret=SECRET, permissions=permissions),))


async def live_checks(tmp_path, endpoints, capital=1000):
    for name, text in (("key", KEY), ("secret", SECRET)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRUSR | stat.S_IWUSR)
    spot = endpoints[Market.SPOT]
    overrides = {
        "venue": "binance",
        "capital": capital,
        "endpoints.rest": spot.rest,
        "endpoints.ws": spot.ws,
        "api_key.key_file": str(tmp_path / "key"),
        "api_key.secret_file": str(tmp_path / "secret"),
    }
    (tmp_path / "live.yaml").write_text("mode: live\n")
    return by_name(await examine(load_settings(tmp_path / "live.yaml", None, "live", overrides), StateLayout(tmp_path / "state")))


async def test_an_account_that_is_right_passes_the_door(tmp_path):
    async with exchange(account()) as (_, endpoints):
        checks = await live_checks(tmp_path, endpoints)
    assert {name for name, check in checks.items() if check.ok is False} - MEASURED == {"guard"}
    assert checks["clock"].ok
    assert checks["instruments"].found.startswith("BTC/USDT tick")
    assert {"door: key", "door: clock", "door: market", "door: money"} <= checks.keys()
    assert SECRET not in repr(checks)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"withdraw": True}, "may withdraw"), ({"addresses": ()}, "from any address"), ({"trade": False}, "may not trade")],
)
async def test_a_key_that_may_too_much_or_too_little_is_refused(tmp_path, changes, word):
    async with exchange(account(**changes)) as (_, endpoints):
        checks = await live_checks(tmp_path, endpoints)
    assert checks["door: key"].ok is False
    assert word in checks["door: key"].found
    assert checks["door: key"].remedy


async def test_more_capital_than_there_is_is_wrong(tmp_path):
    async with exchange(account()) as (_, endpoints):
        checks = await live_checks(tmp_path, endpoints, capital=10**9)
        assert checks["door: money"].ok is False

"""The guard as a process beside a real daemon: a frozen daemon, a killed one, one that stops in order; on paper."""

import json
import os
import signal

import pytest

from smartmoney.adapters.control import ControlRequest, request
from smartmoney.adapters.heartbeat import read_heartbeat
from smartmoney.adapters.service import is_latched, read_latch
from smartmoney.adapters.state_directory import StateLayout
from tests.waiting import wait_until

from .daemons import Daemon, long_only, smartmoney

pytestmark = pytest.mark.slow

LEASE = ("--set", "guard.lease_s=8")
"""Long enough for a daemon that lives on a machine that is busy."""


def protected(beat):
    """Return a beat that shows something held, and both orders that protect it."""
    is_so = beat is not None and beat.carried and beat.carried[0].position > 0 and len(beat.orders) == 2
    return beat if is_so else None


def guards(layout, lease):
    """Return a guard's status once it has seen that the lease is so: it looks a few times a second."""
    ask = lambda: request(layout.guard_socket, ControlRequest(command="status"))  # noqa: E731
    wait_until(lambda: ask()["lease"] == lease, f"the lease is {lease}", seen=ask)
    return ask()


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A daemon that holds a position, frozen; a halt asked of the frozen one; thawed, and ended."""
    folder = tmp_path_factory.mktemp("frozen")
    config, layout = long_only(folder / "config"), StateLayout(folder / "state")
    state = ("--state-dir", layout.root)
    told = {"layout": layout}
    with Daemon("-c", config, *state, "--set", "guard.lease_s=60", command="guard") as guard:
        line = guard.wait_for("guard watches")
        told["rss_mb"] = line["rss_mb"]
        told["second"] = smartmoney("guard", *state)
        with Daemon("-c", config, "--json", *state) as daemon:
            told["beat"] = daemon.until(lambda: protected(read_heartbeat(layout.heartbeat)), "a beat shows a position with stop and target")
            told["before"] = guards(layout, "fresh")
            os.kill(daemon.process.pid, signal.SIGSTOP)
            told["halt"] = smartmoney("halt", "--reason", "it hangs", "--json", *state)
            told["latch"] = read_latch(layout.latch)
            os.kill(daemon.process.pid, signal.SIGCONT)
            daemon.wait_for("halted")
            told["status"] = json.loads(smartmoney("status", "--json", *state).stdout)
            told["daemon_code"] = daemon.stop()
        told["after"] = guards(layout, "none")
        told["code"] = guard.stop()
        told["said"] = guard.said()
    return told


def test_the_guard_is_small_and_alone(frozen):
    assert frozen["rss_mb"] < 60
    assert frozen["second"].returncode == 78
    assert "another guard" in frozen["second"].stderr


def test_the_heartbeat_shows_what_is_held_and_what_protects_it(frozen):
    (held,) = frozen["beat"].carried
    assert held.position > 0
    assert held.stop < held.bid < held.ask
    assert [order.is_entry for order in frozen["beat"].orders] == [False, False]
    assert frozen["before"]["lease"] == "fresh"
    assert not frozen["before"]["halted"]


def test_a_halt_of_a_frozen_daemon_is_answered_by_the_guard(frozen):
    assert frozen["halt"].returncode == 0, frozen["halt"].stderr
    answer = json.loads(frozen["halt"].stdout)
    assert answer["halted"]
    assert answer["is_settled"]
    assert "it hangs" in frozen["latch"].reason


def test_a_daemon_that_thaws_finds_itself_halted(frozen):
    assert frozen["status"]["halted"]
    assert "it hangs" in frozen["status"]["halt_reason"]
    assert frozen["status"]["position"] > 0
    assert frozen["daemon_code"] == 0


def test_a_daemon_that_stops_in_order_needs_no_guard(frozen):
    assert frozen["after"]["lease"] == "none"
    assert "stopped in order" in frozen["after"]["why"]
    assert frozen["code"] == 0
    assert "Traceback" not in frozen["said"]


def test_a_killed_daemon_is_halted_when_its_lease_runs_out(tmp_path):
    layout = StateLayout(tmp_path / "state")
    quick = ("--set", "sim.prerun_s=0", "--state-dir", layout.root)
    with Daemon(*LEASE, *quick, command="guard") as guard, Daemon(*quick) as daemon:
        guard.wait_for("guard watches")
        daemon.wait_for("ready")
        daemon.wait_for("status")
        assert not is_latched(layout.latch)
        daemon.stop(signal.SIGKILL)
        guard.wait_for("GUARD ACTS")
        guard.wait_for("guard is done")
        assert "has not shown progress" in read_latch(layout.latch).reason
    with Daemon(*quick, "--for", 0.5, "--json") as daemon:
        assert daemon.finish() == 0
        assert daemon.summary()["halted"]
        assert daemon.summary()["halt_reason"].startswith("guard: ")

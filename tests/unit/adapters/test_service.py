"""systemd's notify socket, and the halt latch."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from smartmoney.adapters import service
from smartmoney.adapters.service import LatchFailed, ServiceNotifier, clear_latch, is_latched, prepare_latch, read_latch, set_latch
from tests.waiting import PATIENCE_S


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """Stand where systemd stands: a datagram socket."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def heard(listener):
    listener.setblocking(False)
    messages = []
    try:
        while True:
            messages.append(listener.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_life_cycle_is_told_in_systemds_words(manager):
    notifier = ServiceNotifier()
    notifier.status("synced\nREADY=0  now")
    notifier.status("synced READY=0 now")
    notifier.ready()
    notifier.stopping()
    notifier.close()
    assert heard(manager) == ["STATUS=synced READY=0 now\n", "READY=1\n", "STOPPING=1\n"]


def test_watchdog_is_fed_at_half_its_time_out(manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = ServiceNotifier()
    assert notifier.beat_interval_ns == 5_000_000_000
    fed = [notifier.beat(second * 1_000_000_000) for second in range(100, 112)]
    assert [index for index, was_fed in enumerate(fed) if was_fed] == [0, 5, 10]
    assert heard(manager) == ["WATCHDOG=1\n"] * 3
    notifier.close()


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}])
def test_no_watchdog_of_ours_means_no_feeding(manager, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    notifier = ServiceNotifier()
    assert notifier.beat_interval_ns is None
    assert not notifier.beat(10**18)
    assert heard(manager) == []
    notifier.close()


def test_abstract_socket_addresses_are_understood(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0smartmoney-test-{os.getpid()}@x")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@smartmoney-test-{os.getpid()}@x")
        notifier = ServiceNotifier()
        notifier.ready()
        assert heard(listener) == ["READY=1\n"]
        notifier.close()


def test_outside_systemd_everything_is_a_no_op(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    notifier = ServiceNotifier()
    notifier.ready()
    notifier.status("x")
    notifier.stopping()
    assert not notifier.is_enabled
    assert not notifier.beat(10**18)
    assert notifier.failures == 0
    notifier.close()


def test_a_manager_that_is_gone_or_full_is_counted_and_never_waited_for(manager):
    notifier = ServiceNotifier()
    for _ in range(10_000):
        notifier.ready()
        if notifier.failures:
            break
    assert notifier.failures
    manager.close()
    before = notifier.failures
    notifier.stopping()
    assert notifier.failures == before + 1
    notifier.close()


def test_a_latch_holds_until_it_is_cleared(tmp_path):
    path = tmp_path / "HALT"
    assert read_latch(path) is None
    assert not is_latched(path)
    set_latch(path, "drawdown 21 %", 3)
    latch = read_latch(path)
    assert (latch.reason, latch.epoch) == ("drawdown 21 %", 3)
    assert is_latched(path)
    set_latch(path, "operator", 4)
    assert read_latch(path).reason == "operator"
    clear_latch(path)
    clear_latch(path)
    assert read_latch(path) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\x00", b'{"reason": 3}', b"[]"])
def test_a_latch_that_tells_nothing_is_in_force(tmp_path, content):
    path = tmp_path / "HALT"
    path.write_bytes(content)
    assert read_latch(path).reason
    assert is_latched(path)


def test_a_latch_that_cannot_be_looked_at_is_in_force(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "HALT"
    assert is_latched(path)
    assert read_latch(path).reason
    with pytest.raises(LatchFailed):
        set_latch(path, "x", 1)
    (tmp_path / "HALT").mkdir()
    with pytest.raises(LatchFailed, match="could not be removed"):
        clear_latch(tmp_path / "HALT")


def test_a_full_disk_takes_the_spare_latch_and_the_halt_holds(tmp_path, monkeypatch):
    path = tmp_path / "HALT"
    prepare_latch(path)
    assert not is_latched(path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(service, "write_durably", full)
    set_latch(path, "drawdown", 3)
    assert is_latched(path)
    assert "full disk" in read_latch(path).reason
    clear_latch(path)
    with pytest.raises(LatchFailed, match="No space left"):
        set_latch(path, "no spare is left", 5)


def test_a_real_disk_that_takes_not_one_byte_more_still_takes_a_halt(tmp_path):
    path = tmp_path / "HALT"
    prepare_latch(path)
    # No file may grow: what a write meets on a full disk, without filling one.
    code = (
        "import resource, signal, sys, pathlib\n"
        "from smartmoney.adapters.service import set_latch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "set_latch(pathlib.Path(sys.argv[1]), 'drawdown', 3)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=PATIENCE_S)
    assert "full disk" in read_latch(path).reason

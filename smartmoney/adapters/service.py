"""What the service manager is told (systemd notify and watchdog), and the latch file that keeps a halt in force.

Invariants: telling systemd never blocks and never fails the daemon; outside systemd it does nothing. The latch fails closed: a latch that
cannot be read is a halt, and only `clear_latch` removes one.
"""

import errno
import os
import socket
import time
from pathlib import Path

import msgspec
from systemd_watchdog.systemd_watchdog import WatchDog

from smartmoney.adapters.state_directory import sync_folder, write_durably


class LatchFailed(Exception):
    """Report that the latch could not be set or cleared durably; the caller must treat itself as halted."""

    exit_code = 1


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """Say why nothing that increases risk may be sent. `epoch` counts halts and resumes; -1 where the file does not tell."""

    reason: str
    epoch: int = -1
    set_wall_ns: int = 0


def prepare_latch(path: Path) -> None:
    """Lay a spare latch beside the path, so that a full disk cannot prevent a halt: putting it in force takes a rename, no space.

    Raises:
        LatchFailed: it could not be written.
    """
    try:
        write_durably(_spare(path), msgspec.json.encode(Latch(reason="a halt whose reason the full disk did not take")) + b"\n")
    except OSError as error:
        raise LatchFailed(f"{_spare(path)} could not be written: {error.strerror or error}") from error


def _spare(path: Path) -> Path:
    return path.with_name(f".{path.name}.spare")


def _use_spare(path: Path) -> bool:
    try:
        _spare(path).replace(path)
        sync_folder(path.parent)
    except OSError:
        return False
    return True


def set_latch(path: Path, reason: str, epoch: int) -> None:
    """Put the latch in force, durable (file and folder) at return. Setting it again keeps it in force under the newer reason.

    Where the disk takes no file, the spare of `prepare_latch` serves, and the reason is lost, not the halt.

    Raises:
        LatchFailed: it could not be written; the halt holds in memory only.
    """
    latch = Latch(reason=reason, epoch=epoch, set_wall_ns=time.time_ns())
    try:
        write_durably(path, msgspec.json.encode(latch) + b"\n")
        if os.geteuid() == 0:
            # Root may halt a daemon that runs as somebody else, who must be able to read why.
            owner = path.parent.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        if not _use_spare(path):
            raise LatchFailed(f"{path} could not be written: {error.strerror or error}") from error


def read_latch(path: Path) -> Latch | None:
    """Return the latch in force, None when there is none. An empty file (`touch HALT`) and an unreadable one are in force too."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return Latch(reason=f"{path} cannot be read: {error.strerror or error}")
    if not raw.strip():
        return Latch(reason=f"{path} was set by hand")
    try:
        return msgspec.json.decode(raw, type=Latch)
    except msgspec.MsgspecError:
        return Latch(reason=f"{path} cannot be understood")


def is_latched(path: Path) -> bool:
    """Tell whether the latch is in force: one `stat`, about 2 us, for the sender to ask before every send."""
    try:
        os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, before every send
    except OSError as error:
        return error.errno != errno.ENOENT
    return True


def clear_latch(path: Path) -> None:
    """Take the latch out of force, durable at return; nothing happens where there is none.

    Raises:
        LatchFailed: it is still in force.
    """
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise LatchFailed(f"{path} could not be removed: {error.strerror or error}") from error


class ServiceNotifier:
    """Tell systemd how the daemon is, when there is a systemd (`NOTIFY_SOCKET`); otherwise every call does nothing.

    The watchdog is paced on the caller's monotonic clock: a wall clock that jumps neither starves nor floods it. Messages that the socket
    does not take at once are dropped and counted in `failures`.
    """

    def __init__(self) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._watchdog = WatchDog(sock=self._socket)
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        # The package answers a day where systemd set no time-out for this process.
        self._watched = self.is_enabled and 0 < self._watchdog.timeout < 86_400_000_000
        self._beat_due_ns = 0
        self._status = ""
        self.failures = 0

    @property
    def is_enabled(self) -> bool:
        """Tell whether anybody listens."""
        return bool(self._watchdog.is_enabled)

    @property
    def beat_interval_ns(self) -> int | None:
        """Return half the watchdog's time-out in ns, None when systemd does not watch this process."""
        return self._watchdog.timeout * 1_000 // 2 if self._watched else None

    def ready(self) -> None:
        """Say that start-up (recovery included) is done."""
        self._send("READY=1\n")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; a line that is already shown is not sent again."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}\n")

    def stopping(self) -> None:
        """Say that the orderly end has begun."""
        self._send("STOPPING=1\n")

    def beat(self, mono_ns: int) -> bool:
        """Feed the watchdog if half its time-out has passed since the last feed; return whether it was fed.

        Call it only after checking that feeds, loop and journal made progress: that is what the watchdog stands for.
        """
        interval = self.beat_interval_ns
        if interval is None or mono_ns < self._beat_due_ns:
            return False
        self._beat_due_ns = mono_ns + interval
        return self._send("WATCHDOG=1\n")

    def close(self) -> None:
        """Close the socket; the notifier must not be used after it."""
        self._socket.close()

    def _send(self, text: str) -> bool:
        if not self._address:
            return False
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            self.failures += 1
            return False
        return True

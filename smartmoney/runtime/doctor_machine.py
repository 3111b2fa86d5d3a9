"""What the doctor asks of this machine: Python, kernels, disk, limits, the processes around the daemon. It writes a probe file only."""

import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import apsw
import msgspec

from smartmoney.adapters.control import ControlError, ControlRequest, DaemonNotRunning, request
from smartmoney.adapters.journal import SQLITE_MIN
from smartmoney.adapters.service import read_latch
from smartmoney.adapters.state_directory import StateLayout, lock_holder
from smartmoney.runtime import kernel_cache

FREE_BYTES_MIN = 2_000_000_000
FILES_MIN = 1024
FSYNC_MS_MAX = 100.0
MEMORY_MB_MIN = 500
_PROBES = 15
_VOLATILE = frozenset({"tmpfs", "ramfs", "overlay"})


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Be one line of the doctor's table. `ok` None: not wrong, but worth knowing."""

    name: str
    ok: bool | None
    found: str
    remedy: str = ""


def machine_checks(layout: StateLayout, *, is_live: bool) -> list[Check]:
    """Return everything that can be told without a network."""
    return [_python(), _sqlite(), _kernels(), *_disk(layout.root, is_live=is_live), _files(), _memory(), *_around(layout, is_live=is_live)]


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Check(name="python", ok=(3, 11) <= sys.version_info[:2] <= (3, 13), found=found, remedy="use Python 3.11, 3.12 or 3.13")


def _sqlite() -> Check:
    found = apsw.sqlite_lib_version()
    is_good = tuple(int(part) for part in found.split(".")) >= SQLITE_MIN
    return Check(name="sqlite", ok=is_good, found=found, remedy="install from deploy/requirements.lock")


def _kernels() -> Check:
    directory = kernel_cache.prepare()
    if kernel_cache.is_warm(directory):
        return Check(name="kernels", ok=True, found=f"compiled, in {directory}")
    return Check(name="kernels", ok=None, found="not compiled for this build yet", remedy="the first start compiles them: a minute or two")


def _disk(root: Path, *, is_live: bool) -> list[Check]:
    place = next((folder for folder in (root, *root.parents) if folder.is_dir()), Path("/"))
    kind = _filesystem(place)
    volatile = Check(
        name="state directory",
        ok=True if kind not in _VOLATILE else (False if is_live else None),
        found=f"{root} on {kind}",
        remedy="name a directory on a real disk with --state-dir: what is said must survive a power cut",
    )
    free = shutil.disk_usage(place).free
    space = Check(
        name="free space", ok=free >= FREE_BYTES_MIN, found=f"{free / 1e9:.1f} GB", remedy="free some, or lower capture.retention_gb"
    )
    return [volatile, space, _fsync(place)]


def _fsync(place: Path) -> Check:
    remedy = "give the daemon's user a directory that it may write, on a disk that syncs within 100 ms"
    times = []
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            for _ in range(_PROBES):
                began = time.perf_counter()
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
                times.append((time.perf_counter() - began) * 1e3)
    except OSError as error:
        return Check(name="fsync", ok=False, found=f"{place} takes no file: {error.strerror or error}", remedy=remedy)
    times.sort()
    median, worst = times[len(times) // 2], times[-1]
    return Check(name="fsync", ok=median <= FSYNC_MS_MAX, found=f"median {median:.2f} ms, worst {worst:.2f} ms", remedy=remedy)


def _filesystem(place: Path) -> str:
    """Return the type of the file system that holds a folder: that of the longest mount point above it."""
    best, kind = "", "unknown"
    path = os.path.realpath(place)
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in lines:
        _, mount, found, *_ = line.split()
        if (path == mount or path.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, found
    return kind


def _files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Check(
        name="open files", ok=soft >= FILES_MIN, found=f"limit {soft}", remedy=f"ulimit -n {FILES_MIN}, or LimitNOFILE= in the unit"
    )


def _memory() -> Check:
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free_mb = int(fields["MemAvailable"].split()[0]) // 1024
    except (OSError, KeyError, ValueError):
        return Check(name="memory", ok=None, found="cannot be told here")
    return Check(name="memory", ok=free_mb >= MEMORY_MB_MIN, found=f"{free_mb} MB available", remedy="give it 1 GB")


def _around(layout: StateLayout, *, is_live: bool) -> list[Check]:
    pid = lock_holder(layout)
    daemon = Check(name="daemon", ok=None, found="not running" if pid is None else f"running, pid {pid}")
    latch = read_latch(layout.latch)
    halt = Check(name="halt", ok=True, found="none")
    if latch is not None:
        halt = Check(name="halt", ok=None, found=latch.reason, remedy='find out why; then smartmoney resume --reason "…"')
    return [daemon, halt, _guard(layout, is_live=is_live)]


def _guard(layout: StateLayout, *, is_live: bool) -> Check:
    remedy = "start `smartmoney guard` beside the daemon (systemd/smartmoney-guard.service)"
    try:
        status = request(layout.guard_socket, ControlRequest(command="status"), timeout=3.0)
    except DaemonNotRunning:
        return Check(name="guard", ok=False if is_live else None, found="not running", remedy=remedy)
    except ControlError as error:
        return Check(name="guard", ok=False, found=str(error), remedy=remedy)
    if is_live and not status.get("has_venue"):
        return Check(name="guard", ok=False, found="it watches a paper daemon", remedy="start it with --live and the same configuration")
    return Check(name="guard", ok=True, found=f"lease {status['lease']}")

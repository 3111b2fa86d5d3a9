"""The one directory that holds everything a daemon must not lose, and the lock that keeps it to one daemon.

Invariants: the directory is 0700 before anything is put in it; a folder that holds somebody's files is never taken over; at most one
process holds the lock, and the kernel releases it however that process dies, so there is no stale lock to clean up.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

STATE_DIR_VARIABLE = "SMARTMONEY_STATE_DIR"
SOCKET_PATH_BYTES_MAX = 107
"""Longest path of a unix socket: `sun_path` has 108 bytes on Linux, one of them the closing zero (unix(7))."""
PROBE_BYTES = 1 << 20
"""A start needs at least this much free space, in bytes: less cannot hold a minute of journal."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOCK = struct.Struct("@hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length (0: the whole file), pid. Open-file-description locks, because unlike
flock(2) they can be asked about, and unlike plain record locks closing another descriptor of the file does not drop them."""
_FOREIGN_FILES_ALLOWED = frozenset({"lost+found"})
"""The root of a freshly mounted file system is not empty, and is still nobody's."""


class StateDirectoryError(Exception):
    """Report a state directory that cannot be used: what is wrong, and what to do about it."""

    exit_code = 78

    def __init__(self, problem: str, remedy: str) -> None:
        """Build the one-line message from both halves."""
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class StateDirectoryLocked(StateDirectoryError):
    """Report that another process uses the directory; `pid` is None when it could not be read."""

    def __init__(self, path: Path, pid: int | None) -> None:
        """Name the holder."""
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is in use by {holder}", "stop that daemon, or give this one its own --state-dir")
        self.pid = pid


def resolve_state_directory(flag: Path | None, environ: Mapping[str, str]) -> Path:
    """Return where state lives: flag, then SMARTMONEY_STATE_DIR, then systemd's STATE_DIRECTORY, then the XDG state folder.

    systemd may hand over several directories, separated by colons: the first is ours. An empty variable counts as unset, and a relative
    XDG_STATE_HOME is ignored, as the XDG specification demands. Nothing is created.
    """
    if flag is not None:
        return flag.expanduser().absolute()
    for value in (environ.get(STATE_DIR_VARIABLE, ""), environ.get("STATE_DIRECTORY", "").split(":")[0]):
        if value:
            return Path(value).expanduser().absolute()
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg) / "smartmoney"
    home = environ.get("HOME", "")
    return (Path(home) if home else Path.home()) / ".local" / "state" / "smartmoney"


class StateLayout(msgspec.Struct, frozen=True):
    """Name the files of a state directory. Holding one proves nothing: readers and the command line use it without the lock."""

    root: Path

    @property
    def journal(self) -> Path:
        """Return the path of the journal."""
        return self.root / "journal.db"

    @property
    def studies(self) -> Path:
        """Return the path of the parameter searches' studies."""
        return self.root / "studies.db"

    @property
    def trials(self) -> Path:
        """Return the path of the log of all trials."""
        return self.root / "trials.db"

    @property
    def captures(self) -> Path:
        """Return the folder that holds one folder per run."""
        return self.root / "captures"

    def capture(self, run_id: str) -> Path:
        """Return the folder of one run's capture.

        Raises:
            ValueError: the run id is not a plain file name.
        """
        if not run_id or run_id in {".", ".."} or "/" in run_id or "\0" in run_id:
            raise ValueError(f"run id {run_id!r} is not a file name")
        return self.captures / run_id

    @property
    def models(self) -> Path:
        """Return the folder of the model store."""
        return self.root / "models"

    @property
    def latch(self) -> Path:
        """Return the path of the halt latch: while that file exists, nothing that increases risk is sent."""
        return self.root / "HALT"

    @property
    def heartbeat(self) -> Path:
        """Return the path of the file in which the daemon tells the guard that it lives."""
        return self.root / "heartbeat"

    @property
    def guard_journal(self) -> Path:
        """Return the path of the guard's own journal."""
        return self.root / "guard.journal"

    @property
    def guard_lock(self) -> Path:
        """Return the path of the file that one guard holds."""
        return self.root / "guard.lock"

    @property
    def guard_socket(self) -> Path:
        """Return the path of the guard's socket: beside the daemon's."""
        own = self.root / "guard.sock"
        return own if fits_socket(own) else self.control_socket.with_name(f"guard-{self.control_socket.name}")

    @property
    def cache(self) -> Path:
        """Return the folder of things that can be made again (compiled kernels)."""
        return self.root / "cache"

    @property
    def lock(self) -> Path:
        """Return the path of the lock file."""
        return self.root / "lock"

    @property
    def control_redirect(self) -> Path:
        """Return the file that names the control socket when the directory's own path is too long for one."""
        return self.root / "control.path"

    @property
    def control_socket(self) -> Path:
        """Return the path of the control socket, following the redirection that a long directory path needs."""
        own = self.root / "control.sock"
        if fits_socket(own):
            return own
        try:
            return Path(self.control_redirect.read_text().strip() or own)
        except OSError:
            return own


class StateDirectory:
    """Hold the locked state directory of this process. Make one with `open`; close it, or leave its `with` block, to release it."""

    def __init__(self, layout: StateLayout, lock_fd: int) -> None:
        """Take over an acquired lock; use `open`."""
        self.layout = layout
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the directory if need be, check that it can be written, and lock it.

        Raises:
            StateDirectoryLocked: another process has it.
            StateDirectoryError: it cannot be made, is not ours, cannot be written, or its disk is full.
        """
        layout = StateLayout(path.expanduser().absolute())
        lock_fd = -1
        try:
            _make_private(layout)
            lock_fd = _acquire(layout)
            _probe_space(layout.root)
            for folder in (layout.captures, layout.cache):
                folder.mkdir(mode=0o700, exist_ok=True)
            _place_socket(layout)
        except OSError as error:
            _close(lock_fd)
            raise _explain(layout.root, error) from error
        except StateDirectoryError:
            _close(lock_fd)
            raise
        return cls(layout, lock_fd)

    @property
    def is_locked(self) -> bool:
        """Tell whether this object still holds the lock."""
        return self._lock_fd >= 0

    def close(self) -> None:
        """Release the lock. The lock file stays: removing it would let two processes lock two different files of that name."""
        _close(self._lock_fd)
        self._lock_fd = -1

    def __enter__(self) -> Self:
        """Return the directory itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the lock."""
        self.close()


def lock_holder(layout: StateLayout) -> int | None:
    """Return the pid of the process that holds the lock, None when nobody does (0 when it cannot be read).

    It asks without taking the lock for a moment, so that looking never makes a starting daemon fail.
    """
    try:
        fd = os.open(layout.lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return None if _LOCK.unpack(answer)[0] == fcntl.F_UNLCK else _read_pid(fd) or 0
    finally:
        os.close(fd)


def fits_socket(path: Path) -> bool:
    """Tell whether a unix socket can have this path."""
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX


_OWN = 0o600
"""The rights of a file that is this user's alone."""


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a new or renamed file survives a power cut only after this. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and every missing one above it, for this user alone: a state directory may begin with a model. Raises OSError."""
    for one in reversed([folder, *folder.parents]):
        if not one.exists():
            one.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Have what is read from a folder's files and then written to oneself: whoever else asks, process or thread, waits meanwhile.

    The folder itself is locked, so there is no file to leave behind, and a person and the daemon's user can both ask. Not re-entrant.

    Raises:
        OSError: there is no such folder, or its file system has no locks.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def write_durably(path: Path, content: bytes, mode: int = _OWN) -> None:
    """Replace a small file so that a crash at any point leaves the old content or the new one. Raises OSError.

    `mode` are its rights, less the umask. Whoever does the same meanwhile (daemon, guard and a person may all halt at once) writes a file
    of his own first: the last wins.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.new")
    try:
        write_whole(fresh, content, mode)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_whole(path: Path, content: bytes, mode: int = _OWN) -> None:
    """Write a file and wait until it is on the disk; `mode` are its rights, less the umask. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_private(layout: StateLayout) -> None:
    root = layout.root
    root.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
    status = root.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise StateDirectoryError(f"{root} is not a directory", "name another one with --state-dir")
    if stat.S_IMODE(status.st_mode) == 0o700:
        return
    # Taking rights away from a folder that is somebody's (a home, /tmp) would break more than it protects.
    foreign = {entry.name for entry in root.iterdir()} - _FOREIGN_FILES_ALLOWED
    if foreign and layout.lock.name not in foreign:
        remedy = "name an empty directory with --state-dir, or make this one private yourself (chmod 700)"
        raise StateDirectoryError(f"{root} is open to other users and holds files that are not smartmoney's", remedy)
    root.chmod(0o700)


def _acquire(layout: StateLayout) -> int:
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        pid = _read_pid(fd)
        os.close(fd)
        raise StateDirectoryLocked(layout.root, pid) from None
    except OSError:
        os.close(fd)
        raise
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


def _read_pid(fd: int) -> int | None:
    try:
        text = os.pread(fd, 32, 0).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _probe_space(root: Path) -> None:
    # Written, not asked for: quotas and limits of the process do not show in statvfs.
    fd, name = tempfile.mkstemp(prefix=".probe-", dir=root)
    try:
        view = memoryview(bytes(PROBE_BYTES))
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
        Path(name).unlink()


def _place_socket(layout: StateLayout) -> None:
    if fits_socket(layout.root / "control.sock"):
        layout.control_redirect.unlink(missing_ok=True)
        return
    recorded = layout.control_socket
    if fits_socket(recorded) and _is_private(recorded.parent):
        return
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    short = runtime / f"smartmoney-{hashlib.sha256(os.fsencode(layout.root)).hexdigest()[:12]}.sock"
    if not (runtime.is_absolute() and fits_socket(short) and _is_private(runtime)):
        # A fresh random folder: nobody else can have prepared it.
        short = Path(tempfile.mkdtemp(prefix="smartmoney-", dir="/tmp")) / "control.sock"
    write_durably(layout.control_redirect, f"{short}\n".encode())


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077 == 0


def _explain(root: Path, error: OSError) -> StateDirectoryError:
    if error.errno in _FULL:
        return StateDirectoryError(f"the disk of {root} is full", "free space there, or name another directory with --state-dir")
    if error.errno == errno.ENOLCK:
        return StateDirectoryError(f"{root} is on a file system without locks", "name a directory on a local disk with --state-dir")
    problem = f"{root} cannot be used: {error.strerror or error}"
    return StateDirectoryError(problem, "name a directory that this user may write with --state-dir")


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)

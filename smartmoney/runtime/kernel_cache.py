"""Where compiled kernels are kept between runs.

numba keys its cache by the file of a function and does not notice a callee that changed in another file. So the cache directory's name
is a hash of everything that can change compiled code: every kernel source and what those import, numba's and numpy's versions, Python's,
and the CPU; and of where the sources lie, because numba looks for a function under its file's path: another copy's kernels are not this
one's.
`prepare` must run before the first import of numba, because numba reads its settings then. Where the directory cannot be written (a
read-only image), a copy in a temporary directory serves for the life of the process: numba refuses to read a cache that it cannot write.
"""

import atexit
import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_ROOMS_WITH_KERNELS = ("core/book", "core/features", "core/regime", "core/alpha", "core/models", "venues", "simulation")
_BAKED_IN = ("core/domain/instruments.py", "core/domain/orders.py", "core/domain/signals.py")
"""What kernels import from elsewhere: the order of the regimes, for one, is a constant in their code."""
_KEPT = 3
"""Generations of kernels kept: the running one, and two for switching back."""


def cache_root() -> Path:
    """Return the cache directory of the product: `SMARTMONEY_CACHE_DIR`, else systemd's, else the XDG one."""
    for variable in ("SMARTMONEY_CACHE_DIR", "CACHE_DIRECTORY"):
        if found := os.environ.get(variable):
            return Path(found.split(":", maxsplit=1)[0])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartmoney"


def fingerprint() -> str:
    """Return the hash that names a generation of compiled kernels."""
    digest = hashlib.sha256()
    for part in (version("numba"), version("numpy"), sys.version, platform.machine(), _cpu_name(), str(_PACKAGE)):
        digest.update(part.encode() + b"\0")
    # Every source, constants and all: a kernel bakes in what it imports.
    digest.update(source_digest(sources()))
    return digest.hexdigest()[:16]


def source_digest(paths: Iterable[Path]) -> bytes:
    """Return the SHA-256 of some of the package's sources and their names."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.digest()


def sources() -> list[Path]:
    """Return every source that compiled code may depend on."""
    rooms = [source for room in _ROOMS_WITH_KERNELS for source in sorted((_PACKAGE / room).rglob("*.py"))]
    return [*rooms, *(_PACKAGE / name for name in _BAKED_IN)]


def prepare() -> Path:
    """Point numba at this generation's directory (an existing `NUMBA_CACHE_DIR` wins), or at a writable copy of it, and return it.

    Raises:
        OSError: not even a temporary directory can be made.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    directory = Path(chosen) if chosen else cache_root() / "kernels" / fingerprint()
    is_new = not directory.is_dir()
    if not _can_be_written(directory):
        directory = _copy_of(directory)
    elif is_new and not chosen:
        _forget_old_generations(directory)
    os.environ["NUMBA_CACHE_DIR"] = str(directory)
    return directory


def is_warm(directory: Path, kernels: str = "complete") -> bool:
    """Tell whether a generation's kernels (`complete`: the daemon's) were compiled to the end before (`mark_warm`)."""
    return (directory / kernels).exists()


def mark_warm(directory: Path, kernels: str = "complete") -> None:
    """Note that every kernel of this kind and generation is compiled."""
    (directory / kernels).touch()


def _can_be_written(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def _copy_of(directory: Path) -> Path:
    copy = Path(tempfile.mkdtemp(prefix="smartmoney-kernels-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    if directory.is_dir():
        shutil.copytree(directory, copy, dirs_exist_ok=True)
    # The rights were copied too, and numba writes beside what it reads.
    for folder in (copy, *(entry for entry in copy.iterdir() if entry.is_dir())):
        folder.chmod(0o700)
    return copy


def _forget_old_generations(current: Path) -> None:
    generations = sorted((d for d in current.parent.iterdir() if d.is_dir() and d != current), key=lambda d: d.stat().st_mtime)
    for directory in generations[: max(0, len(generations) - _KEPT + 1)]:
        shutil.rmtree(directory, ignore_errors=True)


def _cpu_name() -> str:
    if pinned := os.environ.get("NUMBA_CPU_NAME"):
        return pinned
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part"))), platform.processor())

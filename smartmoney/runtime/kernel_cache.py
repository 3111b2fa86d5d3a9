"""Where compiled kernels are kept between runs.

numba keys its cache by the file of a function and does not notice a callee that changed in another file. So the cache directory's name
is a hash of everything that can change compiled code: every kernel source, numba's and numpy's versions, Python's, and the CPU.
`prepare` must run before the first import of numba, because numba reads its settings then.
"""

import hashlib
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_ROOMS_WITH_KERNELS = ("core/book", "core/features", "venues", "simulation")
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
    for part in (version("numba"), version("numpy"), sys.version, platform.machine(), _cpu_name()):
        digest.update(part.encode() + b"\0")
    for room in _ROOMS_WITH_KERNELS:
        for source in sorted((_PACKAGE / room).rglob("*.py")):
            # Every source, constants and all: a kernel bakes in what it imports.
            digest.update(source.relative_to(_PACKAGE).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def prepare() -> Path:
    """Point numba at this generation's directory (an existing `NUMBA_CACHE_DIR` wins) and return it.

    Raises:
        OSError: the directory cannot be made.
    """
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    directory = cache_root() / "kernels" / fingerprint()
    is_new = not directory.is_dir()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ["NUMBA_CACHE_DIR"] = str(directory)
    if is_new:
        _forget_old_generations(directory)
    return directory


def is_warm(directory: Path) -> bool:
    """Tell whether a generation was compiled to the end before (`mark_warm`)."""
    return (directory / "complete").exists()


def mark_warm(directory: Path) -> None:
    """Note that every kernel of this generation is compiled."""
    (directory / "complete").touch()


def _forget_old_generations(current: Path) -> None:
    import shutil

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

"""A folder of what can be made again, within a size: what was not used for the longest goes first.

What belongs together has one name up to the first dot, files and folders alike, was used when the newest of it was written or touched, and
goes together. Invariants: what was used within the hour stays, else runs that need more than fits would each take away what the next one
needs; what somebody is still writing (`.part`, or a name that begins with a dot) stays for a day.
"""

import contextlib
import os
import shutil
import time
from pathlib import Path

import msgspec

USED_NS = 3_600_000_000_000
"""What was used so recently stays."""
PART = ".part"
_PART_NS_MAX = 86_400_000_000_000


class _Kept(msgspec.Struct):
    """Be what belongs together: when it was used, its size, where it lies."""

    used_ns: int
    size: int
    paths: list[Path]


class BoundedFolder:
    """Keep a folder within `bytes_max`."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Take a folder; it need not be there."""
        self.folder = folder
        self._bytes_max = bytes_max

    def room(self) -> int:
        """Return how large something new may be."""
        # A daemon may keep its journal on the same disk, and halts where that is full.
        return min(self._bytes_max, shutil.disk_usage(self.folder).free // 2)

    def make_room(self, newest: str = "") -> None:
        """Remove what was not used for the longest; where all was used just now, `newest`, if it is named (who has it open reads on)."""
        now, kept = time.time_ns(), self._kept()
        total = sum(one.size for one in kept.values())
        old = sorted((one.used_ns, name) for name, one in kept.items() if now - one.used_ns > USED_NS and name != newest)
        for name in [*(name for _, name in old), *([newest] if newest in kept else [])]:
            if total <= self._bytes_max:
                return
            for path in sorted(kept[name].paths, key=lambda one: one.is_dir()):
                _remove(path)
            total -= kept[name].size

    def _kept(self) -> dict[str, _Kept]:
        """Look at what is there; what a process that was killed left unfinished goes."""
        kept: dict[str, _Kept] = {}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):
                changed_ns = path.stat().st_mtime_ns
                if path.suffix == PART or path.name.startswith("."):
                    if time.time_ns() - changed_ns > _PART_NS_MAX:
                        _remove(path)
                    continue
                one = kept.setdefault(path.name.partition(".")[0], _Kept(0, 0, []))
                one.used_ns = max(one.used_ns, changed_ns)
                one.size += sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size
                one.paths.append(path)
        return kept


def note_use(path: Path) -> None:
    """Note that a file is used, unless that was noted lately."""
    with contextlib.suppress(OSError):  # another's file, or a folder that may only be read, is as good
        if time.time_ns() - path.stat().st_mtime_ns > USED_NS:
            os.utime(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another's, perhaps: what was made is there for all that
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

"""A folder of what can be made again, within a size: what was not used for the longest goes first.

What belongs together has one name up to the first dot, files and folders alike, was used when the newest of it was written or touched, and
goes together. Invariants: only what is named as the caches name it is ours: anything else that lies there is somebody's, not counted, and
stays; no link is followed; what was used within the hour stays, else runs that need more than fits would each take away what the next one
needs; what somebody is still writing (`.….part`, `.….new`, `.making-…`) stays for a day.
"""

import contextlib
import os
import re
import shutil
import stat
import time
from pathlib import Path

import msgspec

USED_NS = 3_600_000_000_000
"""What was used so recently stays."""
PART = ".part"
_PART_NS_MAX = 86_400_000_000_000
_NOTED_NS = USED_NS // 12
"""A use that follows another so soon is not noted: what was last noted an hour ago may have been used since."""
_NAMES = (
    r"[0-9a-f]{40}\.frames"  # prepared recordings
    r"|[0-9a-f]{24}\.npz|past-[0-9a-f]{24}\.[0-9]+-of-[0-9]+\.npz"  # rows of worlds, and of stretches of past
    r"|[0-9a-f]{64}(?:\.json)?"  # models that a search trained, and what they took
)
_OURS = re.compile(_NAMES)
_UNFINISHED = re.compile(rf"\.making-.+|\.[a-z0-9_]{{8}}\.part|\.(?:{_NAMES})\.[0-9]+(?:\.part|-[0-9]+\.new)")


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
        self.bytes_max = bytes_max

    def room(self) -> int:
        """Return how large something new may be."""
        # A daemon may keep its journal on the same disk, and halts where that is full.
        return min(self.bytes_max, shutil.disk_usage(self.folder).free // 2)

    def make_room(self, newest: str = "") -> None:
        """Remove what was not used for the longest; where all was used just now, `newest`, if it is named (who has it open reads on)."""
        since_ns, kept = time.time_ns() - USED_NS - _NOTED_NS, self._kept()
        total = sum(one.size for one in kept.values())
        old = sorted((one.used_ns, name) for name, one in kept.items() if one.used_ns < since_ns and name != newest)
        for name in [*(name for _, name in old), *([newest] if newest in kept else [])]:
            if total <= self.bytes_max:
                return
            is_gone = [_remove(path) for path in sorted(kept[name].paths, key=_is_folder)]
            total -= kept[name].size if all(is_gone) else 0

    def held(self) -> tuple[int, int]:
        """Return how many things are there, and their size in bytes."""
        kept = self._kept().values()
        return len(kept), sum(one.size for one in kept)

    def clear(self) -> int:
        """Remove all that is ours, however lately it was used (who has it open reads on); return the bytes that went."""
        before = self.held()[1]
        for one in self._kept().values():
            for path in sorted(one.paths, key=_is_folder):
                _remove(path)
        return before - self.held()[1]

    def _kept(self) -> dict[str, _Kept]:
        """Look at what is there; what a process that was killed left unfinished goes."""
        kept: dict[str, _Kept] = {}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            with contextlib.suppress(OSError):
                state, name = path.lstat(), path.name.partition(".")[0]
                if _UNFINISHED.fullmatch(path.name) and time.time_ns() - state.st_mtime_ns > _PART_NS_MAX:
                    _remove(path)
                if not _OURS.fullmatch(path.name):
                    continue
                size = sum(file.lstat().st_size for file in path.iterdir()) if stat.S_ISDIR(state.st_mode) else state.st_size
                one = kept.setdefault(name, _Kept(0, 0, []))
                one.used_ns = max(one.used_ns, state.st_mtime_ns)
                one.size += size
                one.paths.append(path)
        return kept


def note_use(path: Path) -> None:
    """Note that a file is used, unless that was noted lately."""
    with contextlib.suppress(OSError):  # another's file, or a folder that may only be read, is as good
        if time.time_ns() - path.stat().st_mtime_ns > _NOTED_NS:
            os.utime(path)


def _remove(path: Path) -> bool:
    """Remove a file, a link or a folder, and tell whether it is gone: it may be another's, and what was made is there for all that."""
    with contextlib.suppress(OSError):
        if _is_folder(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not os.path.lexists(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()

"""An append-only list of JSON objects, a line each: every training that was made, every run on held-out worlds. Nothing is ever removed.

Invariant: a line is on the disk before `append` returns, and several processes may append at once; a half-written last line (a power cut)
is skipped when reading, and never hides a whole one.
"""

import fcntl
import os
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.adapters.state_directory import make_private_folder


def append(path: Path, entry: dict[str, Any]) -> int:
    """Add an entry, durably, and return how many there are now.

    Raises:
        OSError: it cannot be written.
    """
    make_private_folder(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        # A torn line must not swallow ours.
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, (b"\n" if torn else b"") + msgspec.json.encode(entry) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    return len(entries(path))


def entries(path: Path) -> list[dict[str, Any]]:
    """Return every whole entry, oldest first; none where there is no file."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            entry = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found

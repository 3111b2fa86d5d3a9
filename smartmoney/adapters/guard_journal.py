"""The guard's own journal: one JSON object a line, on disk before what it says is done.

Invariants: a line that was acknowledged survives a power cut; the file is private and bounded (the one before it is kept as `.1`); a disk
that takes nothing stops nobody: a daemon that died of a full disk is just when the guard must act.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger("guard")

BYTES_MAX = 4 << 20


class GuardJournal:
    """Append lines. `close` it."""

    def __init__(self, path: Path) -> None:
        """Open the file, private. Raises OSError."""
        self._path = path
        self._fd = self._open()
        self.failures = 0

    def write(self, what: str, **details: Any) -> bool:
        """Append a line; tell whether it is durable."""
        line = json.dumps({"wall_ns": time.time_ns(), "what": what, **details}, default=str) + "\n"
        try:
            if os.fstat(self._fd).st_size > BYTES_MAX:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                os.close(self._fd)
                self._fd = self._open()
            os.write(self._fd, line.encode())
            os.fsync(self._fd)
        except OSError as error:
            self.failures += 1
            if self.failures == 1:
                log.critical("the guard's journal takes nothing", path=str(self._path), problem=error.strerror or str(error))
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

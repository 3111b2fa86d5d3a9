"""How a file tells that it is what it was: by its place, its size and its times, once these have stood still for a while."""

import os
import time

SETTLED_NS = 2_000_000_000
"""A file that changed longer ago than this cannot change again without showing it in its times."""

Stamp = tuple[int, ...]


def stamp(state: os.stat_result) -> Stamp | None:
    """Return what no other content of a file has; None where it changed so lately that its times may not tell."""
    if time.time_ns() - max(state.st_ctime_ns, state.st_mtime_ns) <= SETTLED_NS:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns

"""The process's two clocks, read in one place: wall time for stamps, monotonic time for deadlines."""

import time

import msgspec


class Stamp(msgspec.Struct, frozen=True):
    """Hold one reading of both clocks, in ns."""

    wall_ns: int
    mono_ns: int


def now() -> Stamp:
    """Read both clocks."""
    return Stamp(time.time_ns(), time.monotonic_ns())

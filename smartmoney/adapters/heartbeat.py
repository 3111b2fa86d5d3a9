"""The heartbeat file: what a running daemon tells the guard twice a second, and how it is read.

One small file in the state directory, written in place (a rename a second would wear a disk out for nothing; it need not survive a power
cut, for the guard treats another boot's heartbeat as a daemon that is gone).

Invariants: a torn or foreign file reads as no heartbeat, never as a wrong one; writing never waits for a disk.
"""

import os
import struct
import zlib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Side
from smartmoney.core.execution.guard_plan import GUARD_PREFIX, OUR_PREFIX

BYTES_MAX = 256 << 10
_HEAD = struct.Struct("<4sII")
_MAGIC = b"SMH1"
_READS = 3
TOLD_MS = 15_000
"""A daemon that lives knows by then what the guard did on its account: it reads that every 10 s."""


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """Show one instrument: what is held (signed, base), the stop that protects it, and the last touch, all in quote per base."""

    instrument: Instrument
    position: Decimal
    stop: Decimal | None
    bid: Decimal | None
    ask: Decimal | None


class WorkingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Show one order that may be at the venue. Quantities in base; `number` is the venue's own, empty before it was acknowledged."""

    client_order_id: str
    symbol: str
    side: Side
    is_entry: bool
    filled: Decimal
    number: str = ""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Be one beat. `starting`: the daemon recovers and trades nothing yet; `ended`: it stopped in order and wants no guard.

    `seq` is the last entry that this picture holds; `mono_ns` and `wall_ns` when it was taken; `boot` names this start of the machine.
    """

    state: Literal["starting", "running", "ended"]
    pid: int
    run_id: str
    mode: str
    boot: str
    mono_ns: int
    wall_ns: int
    seq: int = 0
    halted: bool = False
    carried: tuple[Carried, ...] = ()
    orders: tuple[WorkingOrder, ...] = ()


_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder = msgspec.msgpack.Decoder(Heartbeat)


class HeartbeatFile:
    """Write beats at a path. `close` it."""

    def __init__(self, path: Path) -> None:
        """Open the file, private. Raises OSError."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, beat: Heartbeat) -> None:
        """Replace the beat. Raises OSError."""
        body = _encoder.encode(beat)
        os.pwrite(self._fd, _HEAD.pack(_MAGIC, len(body), zlib.crc32(body)) + body, 0)

    def close(self) -> None:
        """Close the file; the last beat stays."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def read_heartbeat(path: Path) -> Heartbeat | None:
    """Return the last beat; None where there is none, or none that can be read."""
    for _ in range(_READS):
        try:
            with path.open("rb") as file:
                raw = file.read(BYTES_MAX)
        except OSError:
            return None
        if len(raw) < _HEAD.size:
            return None
        magic, size, check = _HEAD.unpack_from(raw)
        body = raw[_HEAD.size : _HEAD.size + size]
        if magic == _MAGIC and zlib.crc32(body) == check:
            try:
                return _decoder.decode(body)
            except msgspec.MsgspecError:
                return None
    return None


def counted(beat: Heartbeat, known: Mapping[str, Decimal], client_id: str, made_ms: int, since_ms: int) -> Decimal | None:
    """Return how much of an order's fills a beat's position holds; None when it holds all of them.

    A client id carries the run and the entry that made the order: what was made after the picture is not in it, what was made before and
    does not work any more is. What the guard did shortly before a picture may not be in it yet, and counts as if it were not: else it would
    sell once more, out of what is its owner's. `made_ms` and `since_ms` (the beat's) are the venue's time; `known`: the beat's orders and
    their fills.
    """
    if client_id in known:
        return known[client_id]
    run, _, rest = client_id.removeprefix(OUR_PREFIX).partition("-")
    seq = rest.partition("-")[0]
    if run == beat.run_id and seq.isdecimal():
        return Decimal(0) if int(seq) > beat.seq else None
    late_ms = TOLD_MS if client_id.startswith(GUARD_PREFIX) else 0
    return Decimal(0) if made_ms >= since_ms - late_ms else None


def boot_id() -> str:
    """Return what names this start of the machine, empty where it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""

"""Measure a restart: a live daemon is rehearsed on the built-in exchange, killed, and started again over a journal of ten thousand events.

Time passes from the start of the process to READY; processor time is that of the process alone, because a busy machine stretches the other.
"""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

import msgspec

from smartmoney.runtime.bench_safety import lengthen
from smartmoney.runtime.drill_stage import Running, open_stage

RESTARTS = 5
_MARKET = "spot"
_SEED = 7


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Be one restart, in ms: `ready_ms` on the clock, `cpu_ms` of the processor, user and system."""

    ready_ms: float
    cpu_ms: float


def measure_restarts() -> list[Restart]:
    """Return what each of some restarts took.

    Raises:
        DrillFailed: exchange or daemon did not start.
    """
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        return asyncio.run(_restarts(Path(folder)))


async def _restarts(folder: Path) -> list[Restart]:
    async with open_stage(folder, _MARKET, _SEED) as stage:
        first = await stage.daemon()
        await first.wait_for("ready")
        await first.end()
        lengthen(stage.layout.journal)
        found = []
        for _ in range(RESTARTS):
            daemon = await stage.daemon()
            ready = await daemon.wait_for("ready")
            found.append(Restart(ready_ms=(ready - daemon.started) * 1e3, cpu_ms=_cpu_ms(daemon)))
            await daemon.end(signal.SIGKILL)
        return found


def _cpu_ms(running: Running) -> float:
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")

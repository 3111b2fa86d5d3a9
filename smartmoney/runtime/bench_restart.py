"""Measure a restart: a live daemon is rehearsed on the built-in exchange, killed, and started again over a journal of ten thousand events.

Time passes from the start of the process to READY (account reconciled, position protected) and to the end of its warm start; processor time
is that of the process alone, until READY, because a busy machine stretches the other.
"""

import asyncio
import os
import signal
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from smartmoney.adapters.capture import CaptureWriter, read_capture
from smartmoney.adapters.capture_segment import index_path, segments_of
from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.recording_blocks import read_blocks
from smartmoney.core.domain.entries import Entry, EntryKind, Payload, WarmUpEnded
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.bench_safety import lengthen
from smartmoney.runtime.drill_stage import Running, Stage, open_stage
from smartmoney.runtime.storage import new_run_id
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.recorded_lines import SNAPSHOTS

RESTARTS = 5
BUSY_RESTARTS = 3
FRAMES = 116_000
SPAN_NS = 1800 * 1_000_000_000
_MARKET_S = 7_000
"""The built-in market takes so long for that many frames: they are told in half an hour, as a busier one would."""
_CUT_BYTES = 1_000
_SEED = 7


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Be one restart, in ms: `ready_ms` and `warm_ms` on the clock, `cpu_ms` of the processor, user and system, until READY."""

    ready_ms: float
    warm_ms: float
    cpu_ms: float


def measure_restarts() -> list[Restart]:
    """Return what each of some restarts took over a small past.

    Raises:
        DrillFailed: exchange or daemon did not start.
    """
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        return asyncio.run(_restarts(Path(folder)))


def measure_busy_restarts(*, is_torn: bool) -> list[Restart]:
    """Return what each of some restarts took after half a busy hour: of a run that ended in order, or of one that was killed in it.

    Raises:
        DrillFailed: exchange or daemon did not start.
    """
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        return asyncio.run(_busy_restarts(Path(folder), is_torn=is_torn))


async def _restarts(folder: Path) -> list[Restart]:
    async with open_stage(folder, "spot", _SEED) as stage:
        await _first_life(stage)
        return [await _restart(stage) for _ in range(RESTARTS)]


async def _busy_restarts(folder: Path, *, is_torn: bool) -> list[Restart]:
    async with open_stage(folder, "usdm", _SEED) as stage:
        stage.is_warmed = False
        await _first_life(stage)
        started = next(entry.payload for entry in read_capture(next(stage.layout.captures.iterdir())))
        found = []
        for _ in range(BUSY_RESTARTS):
            await asyncio.to_thread(live_through, stage.layout.captures, started, folder / "feed", is_torn=is_torn)
            found.append(await _restart(stage))
        return found


async def _first_life(stage: Stage) -> None:
    first = await stage.daemon()
    await first.wait_for("ready")
    await first.end()
    lengthen(stage.layout.journal)


async def _restart(stage: Stage) -> Restart:
    daemon = await stage.daemon()
    ready = await daemon.wait_for("ready")
    cpu_ms = _cpu_ms(daemon)
    warm = await daemon.wait_for("warm start done")
    await daemon.end(signal.SIGKILL)
    return Restart(ready_ms=(ready - daemon.started) * 1e3, warm_ms=(warm - daemon.started) * 1e3, cpu_ms=cpu_ms)


def live_through(captures: Path, started: Payload | None, feed: Path, *, is_torn: bool) -> None:
    """Leave the capture of a run, in place of all others, that lived through half a busy hour until now.

    Args:
        captures: the folder of all runs.
        started: the run's first entry.
        feed: where the market's recording is kept from one call to the next.
        is_torn: it was killed, in the middle of a write.
    """
    path = capture_path(feed, Market.USDM, "BTCUSDT")
    if not path.exists():
        prerun(SyntheticMarket(_SEED, symbols=("BTCUSDT",), markets=(Market.USDM,)), time.time_ns() - _MARKET_S * 10**9, _MARKET_S, feed)
    for segment in (segment for run in captures.iterdir() for segment in segments_of(run)):
        segment.unlink()
        index_path(segment).unlink(missing_ok=True)
    begins_ns = time.time_ns() - SPAN_NS
    folder = captures / new_run_id(begins_ns)
    with CaptureWriter(folder, queue_bytes=1 << 30) as writer:
        for seq, payload in enumerate((started, WarmUpEnded()), 1):
            writer.append(Entry(seq=seq, kind=EntryKind.EVENT, ts_wall_ns=begins_ns, ts_mono_ns=0, payload=payload))
        seq = 2
        for block in read_blocks(path):
            snapshots = set(np.flatnonzero(block.rows[SNAPSHOTS]).tolist())
            for at in range(min(len(block), FRAMES + 2 - seq)):
                seq += 1
                kind = EntryKind.SNAPSHOT if at in snapshots else EntryKind.FRAME
                wall_ns = begins_ns + SPAN_NS * (seq - 2) // FRAMES
                entry = Entry(seq=seq, kind=kind, ts_wall_ns=wall_ns, ts_mono_ns=0, instrument=0, frame=block.frame(at))
                assert writer.append(entry), "the queue holds half an hour"
    if is_torn:
        segment = segments_of(folder)[-1]
        index_path(segment).unlink()
        os.truncate(segment, segment.stat().st_size - _CUT_BYTES)


def _cpu_ms(running: Running) -> float:
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e3 / os.sysconf("SC_CLK_TCK")

"""The care of earlier captures while the daemon runs: close what a kill left open, then let go of what is too old or too much.

A kill leaves the last segment of its run without an index, torn perhaps. Reading it takes a second where the market was busy: that is no
work for a start. It is done when the daemon is up and warm, in a thread that works for a few milliseconds and then leaves the processor to
the loop for ten times as long. Until then everybody reads such a segment as it is, to its last whole entry.

Invariants: the running capture is never touched; a process that ends in the middle of it loses nothing, and the next one begins anew.
"""

import asyncio
import threading
from pathlib import Path
from time import perf_counter

import msgspec
import structlog

from smartmoney.adapters.capture import CaptureDamaged, apply_retention, close_torn_segments
from smartmoney.runtime.clock import now
from smartmoney.runtime.supervisor import Beat
from smartmoney.settings.models import Capture

log = structlog.get_logger("captures")

EVERY_S = 3600.0
WORK_S = 0.005
PAUSE_S = 0.05


class _Stopped(Exception):
    """End the work in the middle: the daemon ends."""


class CaptureCare:
    """Look after the captures of one state directory, but for those of the run that writes."""

    def __init__(self, captures: Path, own_run: str, keeping: Capture, *, pause_s: float = PAUSE_S) -> None:
        self._captures = captures
        self._own_run = own_run
        self._keeping = keeping
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._since_s = 0.0

    async def run(self, begin: asyncio.Event, beat: Beat) -> None:
        """Close once, when `begin` is set; let old ones go then and every hour."""
        del beat
        await begin.wait()
        # Not by the thread: one that begins only after the end has been told would take that back, and hold the process up.
        self._is_over.clear()
        try:
            await asyncio.to_thread(self.close_torn)
            while True:
                await asyncio.to_thread(self._let_go)
                await asyncio.sleep(EVERY_S)
        finally:
            # A thread cannot be cancelled; this one ends at its next pause.
            self._is_over.set()

    def close_torn(self) -> None:
        """Close every segment of an earlier run that is open. What cannot be mended is no failure: retention takes it away in time."""
        self._since_s = perf_counter()
        for folder in sorted(self._captures.iterdir()) if self._captures.is_dir() else ():
            if folder.name == self._own_run:
                continue
            try:
                cut = close_torn_segments(folder, self._turn)
            except _Stopped:
                return
            except (CaptureDamaged, msgspec.MsgspecError, OSError) as error:
                log.warning("an earlier capture cannot be closed", capture=folder.name, problem=str(error))
            else:
                for one in cut:
                    log.info("an earlier capture was closed", capture=folder.name, bytes_cut=one.plain_bytes)

    def _turn(self) -> None:
        """Pause after a few milliseconds of work."""
        if perf_counter() - self._since_s < WORK_S:
            return
        if self._is_over.wait(self._pause_s):
            raise _Stopped
        self._since_s = perf_counter()

    def _let_go(self) -> None:
        try:
            retain(self._captures, self._keeping)
        except OSError as error:
            log.warning("old captures could not be removed", error=str(error))


def retain(captures: Path, keeping: Capture) -> None:
    """Let go of what the settings do not keep.

    Raises:
        OSError: a file could not be removed.
    """
    apply_retention(captures, days=keeping.retention_days, bytes_max=int(keeping.retention_gb * 1e9), now_wall_ns=now().wall_ns)

"""The capture: everything that entered the inbox, in inbox order, in zstd segments that survive the process.

The loop only puts a reference into a queue (`append`); a thread encodes, compresses and writes. The loop never waits: when the queue is
full, entries are left out, a gap record says how many and where, and `lost` counts them for the rest of the run (such a run replays up to
its first gap). A zstd frame ends at least each second, so that `kill -9` costs at most that second; `ensure_durable` makes everything up to
an entry durable before an order that depends on it leaves. Errors of the disk are never retried: they end the capture.

Invariants: segments hold entries in the order of `append`; a closed segment has an index with its SHA-256; memory is bounded.
"""

import struct
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import zstandard

from smartmoney.adapters.capture_format import GAP_KIND, CaptureDamaged, Gap, encode_entry, encode_frames, encode_gap
from smartmoney.adapters.capture_reader import CaptureReader, read_capture
from smartmoney.adapters.capture_segment import COMPRESSION_LEVEL, SegmentWriter, segment_path, segments_of
from smartmoney.adapters.capture_store import CaptureVerdict, RetentionReport, apply_retention, close_torn_segments, verify_capture
from smartmoney.core.domain.entries import Entry
from smartmoney.core.engine.stretch import Frames

__all__ = [
    "CaptureDamaged",
    "CaptureFailed",
    "CaptureReader",
    "CaptureVerdict",
    "CaptureWriter",
    "Gap",
    "RetentionReport",
    "apply_retention",
    "close_torn_segments",
    "read_capture",
    "verify_capture",
]

BATCH_ENTRIES = 64
"""Entries encoded between two releases of the interpreter lock: about 0.2 ms, so that the loop is never kept waiting for long."""
POLL_S = 0.05
"""How often the thread looks into the queue when nobody wakes it, in seconds."""
_WAKE_MASK = 1023
"""The thread is woken at each multiple of 1,024 waiting entries: waking it at each entry would cost more than the entry."""


class CaptureFailed(Exception):
    """Report that entries could not be made durable: no order that depends on them may leave."""

    exit_code = 1


class _Row(msgspec.Struct, frozen=True):
    """Be frames that wait together: from `at` on, before `end`, the first of them entry `first_seq`."""

    frames: Frames
    at: int
    end: int
    first_seq: int
    size: int


class CaptureWriter:
    """Write one run's capture into its own folder. `append` and `ensure_durable` may be called from different threads."""

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = 64 << 20,
        segment_s: float = 3600.0,
        flush_s: float = 1.0,
        queue_entries: int = 1 << 18,
        queue_bytes: int = 256 << 20,
        level: int = COMPRESSION_LEVEL,
    ) -> None:
        """Make the folder and start the thread.

        Args:
            folder: the run's own; segments that it holds already stay.
            segment_bytes: compressed size at which a segment ends.
            segment_s: time after which a segment ends.
            flush_s: the most time that `kill -9` can cost.
            queue_entries: entries that may wait.
            queue_bytes: bytes of frames that may wait.
            level: zstd's.

        Raises:
            OSError: the folder or the first segment cannot be made.
        """
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segment_s = segment_s
        self._flush_s = flush_s
        self._queue_entries = queue_entries
        self._queue_bytes = queue_bytes
        self._level = level
        self._queue: deque[Entry | Gap | _Row] = deque()
        self._bytes_in = 0
        self._bytes_out = 0
        self._lost_pending = 0
        self._last_seq = -1
        self._taken_seq = -1
        self._durable_seq = -1
        self._wanted_seq = -1
        self._failure: str | None = None
        self._is_closing = False
        self._has_ended = False
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self.lost = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        existing = segments_of(folder)
        self._number = int(existing[-1].name[8:14]) + 1 if existing else 1
        self._segment = self._new_segment()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Return why the capture has ended early, None while it has not."""
        return self._failure

    @property
    def is_incomplete(self) -> bool:
        """Tell whether entries were left out: the run cannot be replayed completely."""
        return self.lost > 0 or self._failure is not None

    @property
    def waiting(self) -> int:
        """Return how many entries wait in the queue."""
        return len(self._queue)

    def append(self, entry: Entry) -> bool:
        """Put an entry into the queue (0.5 us, never waits); return False if it had to be left out."""
        if not self._has_room(entry.seq, 1, len(entry.frame)):
            return False
        self._queue.append(entry)
        if len(self._queue) & _WAKE_MASK == 0:
            self._wake.set()
        return True

    def append_frames(self, frames: Frames, at: int, end: int, first_seq: int) -> bool:
        """Do `append` with the frames from `at` on, before `end`, as entries of no known connection, in one go."""
        size = int((frames.rows[1, at:end] - frames.rows[0, at:end]).sum())
        if not self._has_room(first_seq, end - at, size):
            return False
        self._queue.append(_Row(frames, at, end, first_seq, size))
        self._wake.set()
        return True

    def _has_room(self, first_seq: int, count: int, size: int) -> bool:
        """Count entries in, or count them as lost."""
        waiting = len(self._queue)
        self._last_seq = first_seq + count - 1
        if waiting >= self._queue_entries or self._bytes_in - self._bytes_out + size > self._queue_bytes or self._failure is not None:
            self.lost += count
            self._lost_pending += count
            return False
        if self._lost_pending:
            self._queue.append(Gap(first_seq, self._lost_pending))
            self._lost_pending = 0
        self._bytes_in += size
        return True

    def ensure_durable(self, seq: int, timeout_s: float = 10.0) -> None:
        """Wait until every entry up to `seq` that was taken is durable; call it off the loop, after `append` of that entry.

        Raises:
            CaptureFailed: it is not, and the orders that wait for it must not leave.
        """
        with self._changed:
            if self._durable_seq >= seq and self._failure is None:
                return
            self._wanted_seq = max(self._wanted_seq, seq)
            self._wake.set()
            met = self._changed.wait_for(lambda: self._durable_seq >= seq or self._has_ended or self._failure is not None, timeout_s)
            if self._failure is not None:
                raise CaptureFailed(f"the capture has failed: {self._failure}")
            if self._durable_seq < seq:
                raise CaptureFailed(f"entry {seq} is not durable: {'the capture is closed' if met else f'no answer in {timeout_s:g} s'}")

    def close(self) -> None:
        """Write what waits, close the segment with its index, end the thread; safe to call twice.

        Raises:
            CaptureFailed: not everything is durable.
        """
        if self._lost_pending and self._failure is None:
            self._queue.append(Gap(self._last_seq + 1, self._lost_pending))
            self._lost_pending = 0
        self._is_closing = True
        self._wake.set()
        self._thread.join()
        if self._failure is not None:
            raise CaptureFailed(f"the capture has failed: {self._failure}")

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def _run(self) -> None:
        failure: str | None = "its thread has died"
        try:
            while not self._is_closing or self._queue:
                if not self._queue:
                    self._wake.wait(POLL_S)
                self._wake.clear()
                self._take_batch()
                self._meet_deadlines()
            self._segment.close()
            failure = None
        except OSError as error:
            failure = error.strerror or str(error)
        except (zstandard.ZstdError, struct.error, msgspec.MsgspecError) as error:
            failure = f"{type(error).__name__}: {error}"
        finally:
            self._segment.abandon()
            with self._changed:
                self._failure = failure
                self._has_ended = True
                if failure is None:
                    self._durable_seq = max(self._taken_seq, self._wanted_seq)
                else:
                    self._queue.clear()
                self._changed.notify_all()

    def _take_batch(self) -> None:
        pieces: list[bytes] = []
        for _ in range(min(BATCH_ENTRIES, len(self._queue))):
            item = self._queue.popleft()
            if isinstance(item, Gap):
                pieces.extend(encode_gap(item, 0, 0))
                self._segment.note(GAP_KIND, item.before_seq, time.time_ns(), item.count)
            elif isinstance(item, _Row):
                pieces.extend(self._encoded(item))
                break
            else:
                pieces.extend(encode_entry(item))
                self._bytes_out += len(item.frame)
                self._taken_seq = item.seq
                self._segment.note(int(item.kind), item.seq, item.ts_wall_ns)
        if pieces:
            if not self._segment.has_open_frame:
                self._frame_mono_s = time.monotonic()
            self._segment.add(b"".join(pieces))

    def _encoded(self, row: _Row) -> list[bytes]:
        walls = row.frames.rows[2]
        self._segment.note_frames(row.first_seq, row.end - row.at, int(walls[row.at]), int(walls[row.end - 1]))
        self._bytes_out += row.size
        self._taken_seq = row.first_seq + row.end - row.at - 1
        return encode_frames(row.frames, row.at, row.end, row.first_seq)

    def _meet_deadlines(self) -> None:
        wanted = self._wanted_seq
        if wanted > self._durable_seq and (self._taken_seq >= wanted or not self._queue):
            self._segment.sync()
            with self._changed:
                self._durable_seq = max(self._taken_seq, wanted)
                self._changed.notify_all()
        now_s = time.monotonic()
        if self._segment.has_open_frame and now_s - self._frame_mono_s >= self._flush_s:
            self._segment.end_frame()
        is_due = self._segment.file_bytes >= self._segment_bytes or now_s - self._segment_mono_s >= self._segment_s
        if is_due and not self._segment.is_empty:
            self._segment.close()
            self._number += 1
            self._segment = self._new_segment()

    def _new_segment(self) -> SegmentWriter:
        self._frame_mono_s = self._segment_mono_s = time.monotonic()
        return SegmentWriter(segment_path(self._folder, self._number), level=self._level)

"""Warm start: the recent past, folded with entries off, so that slow features are warm when the live feed begins.

The source is the recording that the built-in exchange hands over, or a file of the user's, and the captures of earlier runs, if they end
recently enough. What lies between their end and now counts as a gap: the books are dropped, the slow means stay. A past that cannot be read
is no reason not to start. Half an hour of a busy market is more than a hundred thousand frames: they stay bytes in blocks, and are folded
in stretches.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import structlog

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.capture_format import Records, Row, read_records
from smartmoney.adapters.capture_segment import read_index, segments_of
from smartmoney.adapters.recording_blocks import Block, merge_blocks, named, read_blocks
from smartmoney.adapters.recordings import RecordingDamaged
from smartmoney.core.domain.entries import EntryKind, RunStarted, Tick, WarmUpEnded, encode_payload
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.engine.stretch import Frames, Timer
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.inbox import Item
from smartmoney.venues.recorded_lines import BEGINS, ENDS, ROWS, SNAPSHOTS, WALLS

log = structlog.get_logger("warm")

_S = 1_000_000_000
SPAN_NS = 1800 * _S
"""How much of the past is folded: thirty minutes, the longest reference of any feature."""
BOOK_SPAN_NS = 1800 * _S
"""How much further back a snapshot is looked for, because a book can be built from a snapshot only."""
BEFORE_SNAPSHOT_NS = 5 * _S
"""Frames so long before a snapshot may be those that it needs."""
TICK_NS = _S
HOLE_NS_MAX = 5 * _S
"""Ticks jump over a pause that is longer."""
AGE_NS_MAX = 3600 * _S
"""A past that ended longer ago says nothing of the present."""
_FRAME, _SNAPSHOT, _EVENT = int(EntryKind.FRAME), int(EntryKind.SNAPSHOT), int(EntryKind.EVENT)
_WARM_UP_ENDED = encode_payload(WarmUpEnded())
_NOTHING = Block(buffer=b"", rows=np.zeros((ROWS, 0), np.int64))


class WarmLoop(Protocol):
    """Step the past."""

    def process(self, item: Item) -> None:
        """Step one item."""

    def process_frames(self, frames: Frames, at: int, end: int, timer: Timer) -> int:
        """Step frames from `at` on, before `end`, up to the next tick; return the next frame."""


def warm_up(loop: WarmLoop, instruments: tuple[Instrument, ...], blocks: Iterable[Block]) -> Iterator[None]:
    """Step the frames of the past at their own times, with a tick each second; yield before each block and after each tick.

    The past lies on our monotonic clock (where it may be negative), and none of it in the future.
    """
    at = now()
    index_of = {instrument.symbol.upper(): index for index, instrument in enumerate(instruments)}
    timer, latest_ns = Timer(0, TICK_NS, HOLE_NS_MAX), 0
    for block in blocks:
        yield
        if not len(block):
            continue
        rows = block.rows.copy()
        rows[WALLS] = np.maximum.accumulate(np.maximum(np.minimum(rows[WALLS], at.wall_ns), latest_ns))
        latest_ns = int(rows[WALLS, -1])
        frames = Frames(buffer=block.buffer, rows=rows, origin_ns=at.wall_ns - at.mono_ns)
        here = 0
        for snapshot in [*np.flatnonzero(rows[SNAPSHOTS]).tolist(), len(block)]:
            while here < snapshot:
                yield from _tick(loop, timer, frames, here)
                here = loop.process_frames(frames, here, snapshot, timer)
            if snapshot < len(block):
                yield from _tick(loop, timer, frames, snapshot)
                index = index_of.get(block.symbols.get(snapshot, "").upper(), 0 if len(instruments) == 1 else -1)
                if index >= 0:
                    loop.process(Item(EntryKind.SNAPSHOT, _stamp(frames, snapshot), instrument=index, frame=block.frame(snapshot)))
                here = snapshot + 1


def _tick(loop: WarmLoop, timer: Timer, frames: Frames, at: int) -> Iterator[None]:
    """Step the ticks that are due before a frame."""
    wall_ns = int(frames.rows[WALLS, at])
    while timer.next_ns <= wall_ns:
        if wall_ns - timer.next_ns > timer.hole_ns:
            timer.next_ns = wall_ns
        loop.process(Item(EntryKind.EVENT, Stamp(timer.next_ns, timer.next_ns - frames.origin_ns), payload=Tick()))
        timer.next_ns += timer.step_ns
        yield


def _stamp(frames: Frames, at: int) -> Stamp:
    wall_ns = int(frames.rows[WALLS, at])
    return Stamp(wall_ns, wall_ns - frames.origin_ns)


def warm_blocks(instruments: tuple[Instrument, ...], recordings: Mapping[str, Path], captures: Path, current_run: str) -> Iterator[Block]:
    """Yield the frames of the recent past in blocks, oldest first. Yields nothing when there is no past.

    A block is empty where something was read that is older than what matters: so nobody waits for long.

    Args:
        instruments: of the run that begins.
        recordings: files by symbol (the empty symbol: a file that names its own).
        captures: folder of the captures of earlier runs; where there are recordings, only what is later than they are is read.
        current_run: the run that begins, whose own capture is no past.
    """
    recorded_ns = 0
    for block in merge_blocks([_from_recording(path, symbol) for symbol, path in recordings.items()]) if recordings else ():
        recorded_ns = max(recorded_ns, int(block.rows[WALLS].max()))
        yield block
    runs = [run for run in _recent_runs(captures, current_run) if run.last_wall_ns > recorded_ns]
    if not runs:
        return
    since_ns = max(recorded_ns + 1, max(run.last_wall_ns for run in runs) - SPAN_NS)
    log.info("warm start from earlier captures", runs=[run.folder.name for run in runs])
    for run in runs:
        yield from _from_run(run, since_ns, instruments)


def _from_recording(path: Path, symbol: str) -> Iterator[Block]:
    try:
        yield from named(read_blocks(path), symbol)
    except RecordingDamaged as damage:
        log.warning("the recording ends early", file=str(path), problem=str(damage))


class _Segment(msgspec.Struct, frozen=True):
    """Name a segment and when it ended. One that a kill left open may be torn."""

    path: Path
    last_wall_ns: int
    is_open: bool


class _Run(msgspec.Struct, frozen=True):
    """Name an earlier run's capture: its segments that matter, and when it ended."""

    folder: Path
    first_segment: Path
    segments: tuple[_Segment, ...]
    last_wall_ns: int


def _recent_runs(captures: Path, current_run: str) -> list[_Run]:
    """Return the earlier runs that reach into the past that matters, oldest first."""
    folders = [folder for folder in captures.iterdir() if folder.is_dir() and folder.name != current_run] if captures.is_dir() else []
    runs = [run for folder in folders if (run := _run_of(folder)) is not None]
    newest = max((run.last_wall_ns for run in runs), default=0)
    if now().wall_ns - newest > AGE_NS_MAX:
        return []
    return sorted((run for run in runs if run.last_wall_ns > newest - SPAN_NS), key=lambda run: run.last_wall_ns)


def _run_of(folder: Path) -> _Run | None:
    """Describe a run's capture by its segments; None where there is none, or an index is damaged."""
    try:
        segments = [_segment_of(path) for path in segments_of(folder)]
    except (msgspec.MsgspecError, OSError) as error:
        log.warning("an earlier capture cannot be read", capture=folder.name, problem=str(error))
        return None
    if not segments:
        return None
    last_ns = segments[-1].last_wall_ns
    wanted = tuple(segment for segment in segments if segment.last_wall_ns >= last_ns - SPAN_NS - BOOK_SPAN_NS)
    return _Run(folder, segments[0].path, wanted, last_ns)


def _segment_of(path: Path) -> _Segment:
    """Describe a segment by its index; one that a kill left open ended when it was last written to."""
    index = read_index(path)
    return _Segment(path, path.stat().st_mtime_ns if index is None else index.last_wall_ns, index is None)


def _from_run(run: _Run, since_ns: int, instruments: tuple[Instrument, ...]) -> Iterator[Block]:
    """Yield a run's frames since a time; before that, what is needed to have the books at that time."""
    try:
        symbols = _symbols(run, instruments)
        for found in _since(_records(run), since_ns, symbols):
            if found is None:
                yield _NOTHING
                continue
            records, start_ns = found
            rows = [row for row in records.rows if row[7] >= start_ns and (row[2] == _FRAME or (row[2] == _SNAPSHOT and row[4] in symbols))]
            if rows:
                yield _block(records.plain, rows, symbols)
    except (CaptureDamaged, msgspec.MsgspecError, OSError) as error:
        # One that another version wrote, too: features that warm up later are better than a daemon that ends at each start.
        log.warning("an earlier capture cannot be read", capture=run.folder.name, problem=str(error))


def _since(source: Iterator[Records], since_ns: int, symbols: Mapping[int, str]) -> Iterator[tuple[Records, int] | None]:
    """Yield records with the time from which to fold them, a little before the last snapshots that lie before `since_ns`; None before that.

    Until then they are held back, so that nothing is read twice: ten minutes of them, which is how far apart bookmarks lie.
    """
    latest: dict[int, int] = {}
    held: deque[Records] = deque()
    start_ns = 0
    for records in source:
        if start_ns:
            yield records, start_ns
            continue
        for row in records.rows:
            if row[2] == _SNAPSHOT and row[4] in symbols and since_ns - BOOK_SPAN_NS <= row[7] < since_ns:
                latest[row[4]] = row[7]
        held.append(records)
        ends_ns = records.rows[-1][7] if records.rows else 0
        needed_ns = min(latest.values(), default=min(ends_ns, since_ns)) - BEFORE_SNAPSHOT_NS
        while held and (not held[0].rows or held[0].rows[-1][7] < needed_ns):
            held.popleft()
        if ends_ns >= since_ns:
            start_ns = needed_ns if latest else since_ns
            yield from ((one, start_ns) for one in held)
            held.clear()
        else:
            yield None


def _block(plain: bytes, rows: list[Row], symbols: Mapping[int, str]) -> Block:
    columns = np.zeros((ROWS, len(rows)), np.int64)
    columns[BEGINS] = [row[0] for row in rows]
    columns[ENDS] = [row[1] for row in rows]
    columns[WALLS] = [row[7] for row in rows]
    columns[SNAPSHOTS] = [row[2] == _SNAPSHOT for row in rows]
    return Block(buffer=plain, rows=columns, symbols={at: symbols[row[4]] for at, row in enumerate(rows) if row[2] == _SNAPSHOT})


def _symbols(run: _Run, instruments: tuple[Instrument, ...]) -> dict[int, str]:
    """Return the symbols, by an earlier run's number of them, that this run trades too."""
    ours = {instrument.symbol for instrument in instruments}
    first = next(iter(read_capture(run.first_segment)), None)
    if first is None or not isinstance(first.payload, RunStarted):
        return {}
    return {number: instrument.symbol for number, instrument in enumerate(first.payload.instruments) if instrument.symbol in ours}


def _records(run: _Run) -> Iterator[Records]:
    """Yield what a run lived through itself: its own warm start was the end of the run before it."""
    is_live = run.segments[0].path != run.first_segment
    for segment in run.segments:
        for records in read_records(segment.path, may_be_torn=segment.is_open):
            if is_live:
                yield records
                continue
            for number, row in enumerate(records.rows):
                if row[2] == _EVENT and records.payload(row) == _WARM_UP_ENDED:
                    is_live = True
                    yield Records(records.plain, records.rows[number + 1 :])
                    break

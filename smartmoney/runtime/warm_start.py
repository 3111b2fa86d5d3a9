"""Warm start: the recent past, folded with entries off, so that slow features are warm when the live feed begins.

The source is the recording that the built-in exchange hands over, a file of the user's, or the captures of earlier runs if they end
recently enough. What lies between their end and now counts as a gap: the books are dropped, the slow means stay. A past that cannot be read
is no reason not to start.
"""

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import structlog

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.capture_segment import read_index, segments_of
from smartmoney.adapters.recordings import RecordingDamaged, read_recording
from smartmoney.core.domain.entries import Entry, EntryKind, RunStarted, Tick, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.inbox import Item

log = structlog.get_logger("warm")

_S = 1_000_000_000
SPAN_NS = 1800 * _S
"""How much of the past is folded: thirty minutes, the longest reference of any feature."""
BOOK_SPAN_NS = 1800 * _S
"""How much further back a snapshot is looked for, because a book can be built from a snapshot only."""
BEFORE_SNAPSHOT_NS = 5 * _S
"""Frames so long before a snapshot may be those that it needs."""
TICK_NS = _S
AGE_NS_MAX = 3600 * _S
"""A past that ended longer ago says nothing of the present."""


def warm_items(instruments: tuple[Instrument, ...], recordings: Mapping[str, Path], captures: Path, current_run: str) -> Iterator[Item]:
    """Yield the frames of the recent past at their own times, with a tick each second. Yields nothing when there is no past.

    Args:
        instruments: of the run that begins.
        recordings: files by symbol (the empty symbol: a file that names its own); they win over the captures.
        captures: folder of the captures of earlier runs.
        current_run: the run that begins, whose own capture is no past.
    """
    if recordings:
        each = [_from_recording(path, symbol, instruments) for symbol, path in recordings.items()]
        yield from _with_ticks(heapq.merge(*each, key=lambda item: item.stamp.wall_ns), 0)
        return
    runs = _recent_runs(captures, current_run)
    if not runs:
        return
    since_ns = max(run.last_wall_ns for run in runs) - SPAN_NS
    log.info("warm start from earlier captures", runs=[run.folder.name for run in runs])
    for run in runs:
        yield from _with_ticks(_from_run(run, since_ns, instruments), since_ns)


def _with_ticks(items: Iterator[Item], ticks_from_ns: int) -> Iterator[Item]:
    """Put a tick in front of the first item of each second, and the past on our monotonic clock (where it may be negative)."""
    at = now()
    tick_ns = ticks_from_ns
    for item in items:
        wall_ns = item.stamp.wall_ns
        stamp = Stamp(wall_ns, at.mono_ns - max(0, at.wall_ns - wall_ns))
        if wall_ns >= tick_ns:
            tick_ns = wall_ns + TICK_NS
            yield Item(EntryKind.EVENT, stamp, payload=Tick())
        yield Item(item.kind, stamp, item.connection, item.instrument, item.frame)


def _from_recording(path: Path, symbol: str, instruments: tuple[Instrument, ...]) -> Iterator[Item]:
    index_of = {instrument.symbol.upper(): index for index, instrument in enumerate(instruments)}
    try:
        for frame in read_recording(path):
            stamp = Stamp(frame.ts_wall_ns, 0)
            if not frame.is_snapshot:
                yield Item(EntryKind.FRAME, stamp, frame=frame.frame)
                continue
            index = index_of.get((frame.symbol or symbol).upper(), 0 if len(instruments) == 1 else -1)
            if index >= 0:
                yield Item(EntryKind.SNAPSHOT, stamp, instrument=index, frame=frame.frame)
    except RecordingDamaged as damage:
        log.warning("the recording ends early", file=str(path), problem=str(damage))


class _Run(msgspec.Struct, frozen=True):
    """Name an earlier run's capture: its segments that matter, and when it ended."""

    folder: Path
    first_segment: Path
    segments: tuple[Path, ...]
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
    """Describe a run's capture by the indices of its closed segments; None where nothing is closed, or an index is damaged."""
    segments = segments_of(folder)
    try:
        indices = [(segment, index) for segment in segments if (index := read_index(segment)) is not None]
    except (msgspec.MsgspecError, OSError) as error:
        log.warning("an earlier capture cannot be read", capture=folder.name, problem=str(error))
        return None
    if not indices:
        return None
    last_ns = indices[-1][1].last_wall_ns
    wanted = tuple(segment for segment, index in indices if index.last_wall_ns >= last_ns - SPAN_NS - BOOK_SPAN_NS)
    return _Run(folder, segments[0], wanted, last_ns)


def _from_run(run: _Run, since_ns: int, instruments: tuple[Instrument, ...]) -> Iterator[Item]:
    """Yield a run's frames since a time; before that, what is needed to have the books at that time."""
    try:
        renumbered = _renumbering(run, instruments)
        start_ns = _start_of(run, since_ns, renumbered)
        for entry in _entries(run):
            if entry.kind is EntryKind.EVENT or entry.ts_wall_ns < start_ns:
                continue
            index = renumbered.get(entry.instrument, -1)
            if entry.kind is EntryKind.FRAME or index >= 0:
                yield Item(entry.kind, Stamp(entry.ts_wall_ns, 0), entry.connection, index, entry.frame)
    except (CaptureDamaged, OSError) as error:
        log.warning("an earlier capture cannot be read", capture=run.folder.name, problem=str(error))


def _renumbering(run: _Run, instruments: tuple[Instrument, ...]) -> dict[int, int]:
    """Return this run's number of each instrument of an earlier run."""
    index_of = {instrument.symbol: index for index, instrument in enumerate(instruments)}
    first = next(iter(read_capture(run.first_segment)), None)
    if first is None or not isinstance(first.payload, RunStarted):
        return {}
    symbols = [instrument.symbol for instrument in first.payload.instruments]
    return {old: index_of[symbol] for old, symbol in enumerate(symbols) if symbol in index_of}


def _start_of(run: _Run, since_ns: int, renumbered: Mapping[int, int]) -> int:
    """Return the time from which to fold: a little before the last snapshots that lie before `since_ns`."""
    latest: dict[int, int] = {}
    for entry in _entries(run):
        if entry.ts_wall_ns >= since_ns:
            break
        if entry.kind is EntryKind.SNAPSHOT and entry.instrument in renumbered and entry.ts_wall_ns >= since_ns - BOOK_SPAN_NS:
            latest[entry.instrument] = entry.ts_wall_ns
    return min((at - BEFORE_SNAPSHOT_NS for at in latest.values()), default=since_ns)


def _entries(run: _Run) -> Iterator[Entry]:
    """Yield what a run lived through itself: its own warm start was the end of the run before it."""
    is_live = run.segments[0] != run.first_segment
    for segment in run.segments:
        for entry in read_capture(segment):
            if is_live:
                yield entry
            else:
                is_live = isinstance(entry.payload, WarmUpEnded)

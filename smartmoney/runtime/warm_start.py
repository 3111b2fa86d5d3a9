"""Warm start: the recent past, folded with entries off, so that slow features are warm when the live feed begins.

The source is the recording that the built-in exchange hands over, a file of the user's, or the newest capture of this state directory if
it ends recently enough. What lies between its end and now counts as a gap: the books are dropped, the slow means stay.
"""

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.entries import EntryKind, RunStarted, Tick
from smartmoney.core.domain.instruments import Instrument
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.inbox import Item

log = structlog.get_logger("warm")

SPAN_NS = 1800 * 1_000_000_000
"""How much of the past is folded: thirty minutes, the longest reference of any feature."""
TICK_NS = 1_000_000_000
AGE_NS_MAX = 3600 * 1_000_000_000
"""A capture that ended longer ago says nothing of the present."""


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
        yield from _with_ticks(heapq.merge(*each, key=lambda item: item.stamp.wall_ns))
    elif (newest := _newest_capture(captures, current_run)) is not None:
        yield from _with_ticks(_from_capture(newest, instruments))


def _with_ticks(items: Iterator[Item]) -> Iterator[Item]:
    """Put a tick in front of the first item of each second, and the past on our monotonic clock."""
    at = now()
    tick_ns = 0
    for item in items:
        wall_ns = item.stamp.wall_ns
        stamp = Stamp(wall_ns, max(1, at.mono_ns - max(0, at.wall_ns - wall_ns)))
        if wall_ns >= tick_ns:
            tick_ns = wall_ns + TICK_NS
            yield Item(EntryKind.EVENT, stamp, payload=Tick())
        yield Item(item.kind, stamp, item.connection, item.instrument, item.frame)


def _from_recording(path: Path, symbol: str, instruments: tuple[Instrument, ...]) -> Iterator[Item]:
    index_of = {instrument.symbol.upper(): index for index, instrument in enumerate(instruments)}
    for frame in read_recording(path):
        stamp = Stamp(frame.ts_wall_ns, 0)
        if not frame.is_snapshot:
            yield Item(EntryKind.FRAME, stamp, frame=frame.frame)
            continue
        index = index_of.get((frame.symbol or symbol).upper(), 0 if len(instruments) == 1 else -1)
        if index >= 0:
            yield Item(EntryKind.SNAPSHOT, stamp, instrument=index, frame=frame.frame)


def _newest_capture(captures: Path, current_run: str) -> Path | None:
    if not captures.is_dir():
        return None
    folders = [folder for folder in captures.iterdir() if folder.is_dir() and folder.name != current_run]
    return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)


def _from_capture(folder: Path, instruments: tuple[Instrument, ...]) -> Iterator[Item]:
    index_of = {instrument.symbol: index for index, instrument in enumerate(instruments)}
    at = now()
    last_wall_ns = 0
    renumbered: dict[int, int] = {}
    recent: list[Item] = []
    for entry in read_capture(folder):
        if isinstance(entry.payload, RunStarted):
            symbols = [instrument.symbol for instrument in entry.payload.instruments]
            renumbered = {old: index_of[symbol] for old, symbol in enumerate(symbols) if symbol in index_of}
        last_wall_ns = max(last_wall_ns, entry.ts_wall_ns)
        if entry.kind is EntryKind.EVENT or entry.ts_wall_ns < at.wall_ns - SPAN_NS:
            continue
        index = renumbered.get(entry.instrument, -1)
        if entry.kind is EntryKind.FRAME or index >= 0:
            recent.append(Item(entry.kind, Stamp(entry.ts_wall_ns, 0), entry.connection, index, entry.frame))
    if at.wall_ns - last_wall_ns > AGE_NS_MAX:
        log.info("no warm start: the newest capture is too old", capture=folder.name)
        return
    log.info("warm start from the last run's capture", capture=folder.name, frames=len(recent))
    yield from recent

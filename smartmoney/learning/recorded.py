"""One continuous recording out of one or more files: other people's raw frames, or captures of the product's own runs.

Invariants: frames come out in order of receive time, each file's own order kept; a place where frames may be missing, as far as a capture
tells, is an `Interruption`; nothing here judges a frame. What a damaged file holds before the damage comes out, and the damage is noted.
Recordings are read from their prepared form where there is a store of those; what comes of them is the same.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.capture_format import SEGMENT_SUFFIX
from smartmoney.adapters.capture_segment import segments_of
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.adapters.recorded_session import RecordedSession
from smartmoney.adapters.recording_blocks import Block, blocks_of
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.domain.entries import Entry, EntryKind, FeedDisconnected, FeedOverflowed, RunStarted, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters


class RecordingRefused(Exception):
    """Say why no table can be made of some files, and what to do. The process ends with 1."""

    exit_code = 1


class RecordedCodec(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the offline fold needs of a venue: pure functions of `venues/<name>`.

    `fold` and `fold_batch` are as in `venues.binance.codec`, of recorded frames, which may be packed; `scanned_event_ns` tells the exchange
    time of the frame that it stopped before; `infer` guesses instruments from `(frame, symbol or None)` and a market.
    """

    name: str
    markets: tuple[str, ...]
    new_states: Callable[[Sequence[Instrument], FeatureParameters], Any]
    fold: Callable[[bytes, Any, int, int], int]
    fold_batch: Callable[..., tuple[int, int]]
    scanned_event_ns: Callable[[Any, int], int]
    drop_book: Callable[[Any, int], None]
    infer: Callable[[Iterable[tuple[bytes, str | None]], Market], tuple[Instrument, ...]]


class Interruption(msgspec.Struct, frozen=True):
    """Say that frames may be missing here, so that the books of `symbols` (None: of all) are no longer to be trusted."""

    ts_wall_ns: int
    symbols: tuple[str, ...] | None


Recorded = RecordedFrame | Interruption


def check_files(files: Sequence[Path]) -> None:
    """Refuse what is no recording by its name alone.

    Raises:
        RecordingRefused: a file is missing, or a folder holds no capture.
    """
    for path in files:
        if not path.exists():
            raise RecordingRefused(f"{path}: no such file; name recordings, or the folder of a run's capture")
        if path.is_dir() and not segments_of(path):
            raise RecordingRefused(f"{path} is a folder without a capture; name recordings, or the folder of a run's capture")


def read_files(
    files: Sequence[Path], problems: list[str] | None = None, store: PreparedRecordings | None = None
) -> Iterator[Block | Interruption]:
    """Yield what some files of one session hold, by receive time. Damage ends its file and is appended to `problems`.

    Raises:
        RecordingRefused: a file is missing, or a folder holds no capture.
        OSError: a file cannot be read.
    """
    check_files(files)
    if any(map(_is_capture, files)):
        return in_blocks(read_frames(files, problems))
    return _session(files, problems if problems is not None else [], store).blocks()


def read_frames(files: Sequence[Path], problems: list[str] | None = None) -> Iterator[Recorded]:
    """Yield the same frame by frame, each as it was recorded.

    Raises:
        RecordingRefused, OSError: as `read_files`.
    """
    check_files(files)
    noted = problems if problems is not None else []
    recordings = _session([path for path in files if not _is_capture(path)], noted, None).each()
    # By receive time: a session may keep its replies and its streams in separate files.
    return heapq.merge(*(_frames(path, position, recordings, noted) for position, path in enumerate(files)), key=lambda one: one.ts_wall_ns)


def in_blocks(recorded: Iterable[Recorded | Block]) -> Iterator[Block | Interruption]:
    """Put what comes frame by frame into blocks, of which none reaches over an interruption."""
    rest = iter(recorded)
    for one in rest:
        if not isinstance(one, RecordedFrame):
            yield one
            continue
        after: list[Interruption | Block] = []
        yield from blocks_of(_frames_until(itertools.chain((one,), rest), after))
        yield from after


def _frames_until(recorded: Iterable[Recorded | Block], after: list[Interruption | Block]) -> Iterator[RecordedFrame]:
    """Yield frames up to something else, which is put into `after`."""
    for one in recorded:
        if not isinstance(one, RecordedFrame):
            after.append(one)
            return
        yield one


def _session(files: Sequence[Path], problems: list[str], store: PreparedRecordings | None) -> RecordedSession:
    return RecordedSession(files, store, partial(_note, problems))


def _note(problems: list[str], _path: Path, damage: Exception) -> None:
    problems.append(str(damage))


def find_instruments(
    files: Sequence[Path], codec: RecordedCodec, market: Market, store: PreparedRecordings | None = None
) -> tuple[Instrument, ...]:
    """Return the instruments of some files: as a capture's run had them, else guessed from every frame.

    Raises:
        RecordingRefused: there are none, or a capture is of another market.
        OSError: a file cannot be read.
    """
    known: dict[str, Instrument] = {}
    for path in files:
        for one in _run_instruments(path) if _is_capture(path) else ():
            if one.market is not market:
                raise RecordingRefused(
                    f"{path}: a capture of market {one.market.value}, not {market.value}; say --market {one.market.value}"
                )
            known.setdefault(one.symbol, one)
    if known:
        return tuple(known.values())
    problems: list[str] = []
    names = ", ".join(path.name for path in files)
    count, found = _inferred(files, codec, market, problems, store)
    if not count:
        raise RecordingRefused(f"empty: no frame in {'; '.join(problems) or names}; name a recording that holds some")
    if not found:
        raise RecordingRefused(f"no depth or trade frame of {codec.name} in {names}; name a recording of that venue's raw frames")
    return found


def _inferred(
    files: Sequence[Path], codec: RecordedCodec, market: Market, problems: list[str], store: PreparedRecordings | None
) -> tuple[int, tuple[Instrument, ...]]:
    """Return the instruments guessed from the frames of some files, and before them 0 if there are no frames."""
    check_files(files)
    if any(map(_is_capture, files)):
        frames = (one for one in read_frames(files, problems) if isinstance(one, RecordedFrame))
        if (first := next(frames, None)) is None:
            return 0, ()
        return 1, codec.infer(((one.frame, one.symbol) for one in itertools.chain((first,), frames)), market)
    session = _session(files, problems, store)
    try:
        return session.frames, session.instruments(market, codec.name)
    finally:
        session.close()


def market_of(files: Sequence[Path]) -> Market | None:
    """Return the market that captured runs among some files were of, None if there is no run among them."""
    for path in files:
        for one in _run_instruments(path) if _is_capture(path) else ():
            return one.market
    return None


def venue_of(files: Sequence[Path]) -> str | None:
    """Return the venue of whose market captured runs among some files tell, None if there is no run among them.

    Instruments do not say: an exchange on this machine speaks as another venue does, and is not that venue.
    """
    for path in files:
        started = _run_started(path) if _is_capture(path) else None
        if started is not None:
            return started.whose_market
    return None


def _is_capture(path: Path) -> bool:
    return path.is_dir() or path.name.endswith(SEGMENT_SUFFIX)


def _frames(path: Path, position: int, recordings: list[Iterator[Block]], problems: list[str]) -> Iterator[Recorded]:
    if not _is_capture(path):
        return (block.recorded(at) for block in recordings.pop(0) for at in range(len(block)))
    return _until_damaged(path, position, problems)


def _until_damaged(capture: Path, position: int, problems: list[str]) -> Iterator[Recorded]:
    try:
        # The warm start of a later run repeats the end of the one before it.
        yield from _from_capture(capture, with_warm_up=position == 0)
    except CaptureDamaged as damage:
        problems.append(str(damage))


def _run_started(path: Path) -> RunStarted | None:
    folder = path if path.is_dir() else path.parent
    first = next(iter(segments_of(folder)), path)
    opening = next(iter(read_capture(first)), None)
    return opening.payload if opening is not None and isinstance(opening.payload, RunStarted) else None


def _run_instruments(path: Path) -> tuple[Instrument, ...]:
    try:
        started = _run_started(path)
    except CaptureDamaged:
        return ()
    return started.instruments if started is not None else ()


def _from_capture(path: Path, *, with_warm_up: bool) -> Iterator[Recorded]:
    symbols = tuple(one.symbol.upper() for one in _run_instruments(path))
    is_live = with_warm_up or (path.is_file() and path != next(iter(segments_of(path.parent)), path))
    for entry in read_capture(path):
        if entry.kind is EntryKind.EVENT:
            is_live = is_live or isinstance(entry.payload, WarmUpEnded)
            interruption = _interruption(entry, symbols)
            if interruption is not None and is_live:
                yield interruption
        elif is_live:
            is_snapshot = entry.kind is EntryKind.SNAPSHOT
            symbol = symbols[entry.instrument] if is_snapshot and 0 <= entry.instrument < len(symbols) else None
            yield RecordedFrame(ts_wall_ns=entry.ts_wall_ns, frame=entry.frame, is_snapshot=is_snapshot, symbol=symbol)


def _interruption(entry: Entry, symbols: tuple[str, ...]) -> Interruption | None:
    """Return what the engine drops books for at this entry, None for any other entry."""
    match entry.payload:
        case RunStarted() | WarmUpEnded() | FeedOverflowed():
            return Interruption(entry.ts_wall_ns, None)
        case FeedDisconnected(instruments=numbers):
            return Interruption(entry.ts_wall_ns, tuple(symbols[number] for number in numbers if 0 <= number < len(symbols)))
    return None

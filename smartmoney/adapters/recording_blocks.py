"""Read recordings in blocks: thousands of frames in one buffer, split by one compiled call, in the order in which `recordings` reads them.

Invariants: the frames of the blocks are those of `read_recording` (of several files: merged by receive time, as `read_session` does), to
the last one before a damage; memory is a block or two a file.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.recordings import (
    DAMAGE,
    LINE_BYTES_MAX,
    RecordedFrame,
    RecordingDamaged,
    is_stamped,
    open_recording,
    read_recording,
)
from smartmoney.venues.recorded_lines import BEGINS, ENDS, KIND_COUNT, KIND_FRAME, KINDS_MAX, ROWS, SNAPSHOTS, WALLS, classify, split_lines

BLOCK_BYTES = 4 << 20
BLOCK_FRAMES = 1 << 15
_READ_BYTES = 1 << 18


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Hold frames: `rows` as `venues.recorded_lines` has them, one column a frame; `symbols` names those that a reply's address names."""

    buffer: bytes
    rows: NDArray[np.int64]
    symbols: dict[int, str] = {}

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    def frame(self, at: int) -> bytes:
        """Return the bytes of one frame."""
        return self.buffer[int(self.rows[BEGINS, at]) : int(self.rows[ENDS, at])]

    def recorded(self, at: int) -> RecordedFrame:
        """Return one frame as `read_recording` would."""
        wall_ns, is_snapshot = int(self.rows[WALLS, at]), bool(self.rows[SNAPSHOTS, at])
        return RecordedFrame(ts_wall_ns=wall_ns, frame=self.frame(at), is_snapshot=is_snapshot, symbol=self.symbols.get(at))


def read_blocks(path: Path) -> Iterator[Block]:
    """Yield the frames of a recording in blocks.

    Raises:
        RecordingDamaged: as `read_recording`, after everything before the damage was yielded.
        OSError: the file cannot be read.
    """
    done = 0
    if is_stamped(path):
        reader = _StampedBlocks(path)
        for block in reader:
            done += len(block)
            yield block
        if reader.is_complete:
            return
    # Other forms, and what stands around a damage: line by line, which says exactly what is wrong.
    yield from blocks_of(itertools.islice(read_recording(path), done, None))


def named(blocks: Iterable[Block], symbol: str) -> Iterator[Block]:
    """Yield blocks whose snapshots are of `symbol` where they do not say whose they are."""
    for block in blocks:
        unnamed = [at for at in np.flatnonzero(block.rows[SNAPSHOTS]).tolist() if at not in block.symbols]
        yield msgspec.structs.replace(block, symbols={**block.symbols, **dict.fromkeys(unnamed, symbol)}) if unnamed else block


def blocks_of(frames: Iterable[RecordedFrame]) -> Iterator[Block]:
    """Put frames into blocks. What `frames` raises comes after the frames before it."""
    source = iter(frames)
    failure: RecordingDamaged | None = None
    while failure is None:
        batch: list[RecordedFrame] = []
        size = 0
        try:
            for one in source:
                batch.append(one)
                size += len(one.frame)
                if len(batch) >= BLOCK_FRAMES or size >= BLOCK_BYTES:
                    break
            else:
                failure = _END
        except RecordingDamaged as damage:
            failure = damage
        if batch:
            yield _joined(batch)
    if failure is not _END:
        raise failure


_END = RecordingDamaged("the end")


def _joined(batch: Sequence[RecordedFrame]) -> Block:
    rows = np.zeros((ROWS, len(batch)), np.int64)
    ends = np.cumsum([len(one.frame) for one in batch])
    rows[ENDS] = ends
    rows[BEGINS, 1:] = ends[:-1]
    rows[WALLS] = [one.ts_wall_ns for one in batch]
    rows[SNAPSHOTS] = [one.is_snapshot for one in batch]
    symbols = {at: one.symbol for at, one in enumerate(batch) if one.symbol is not None}
    return Block(buffer=b"".join(one.frame for one in batch), rows=rows, symbols=symbols)


class _StampedBlocks:
    """Read the form with a stamp a line; `is_complete` once the file has ended without anything that has to be looked at line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_complete = False

    def __iter__(self) -> Iterator[Block]:
        rest = b""
        with closing(open_recording(self._path)) as stream:
            while True:
                buffer = _read(stream, rest)
                if buffer is None:
                    return
                is_end = len(buffer) == len(rest)
                if is_end and buffer and not buffer.endswith(b"\n"):
                    buffer += b"\n"
                at = 0
                while True:
                    rows = np.zeros((ROWS, BLOCK_FRAMES), np.int64)
                    count, at, odd = split_lines(buffer, at, rows)
                    if count:
                        rows = np.ascontiguousarray(rows[:, :count])
                        yield Block(buffer=buffer, rows=_marked(buffer, rows))
                    if odd >= 0:
                        return
                    if count < BLOCK_FRAMES:
                        break
                rest = buffer[at:]
                if len(rest) >= LINE_BYTES_MAX:
                    return
                if is_end:
                    self.is_complete = True
                    return


def _marked(buffer: bytes, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    kinds = np.zeros((KINDS_MAX, 3), np.int64)
    at = 0
    while at < rows.shape[1]:
        at, _ = classify(buffer, rows, at, kinds, True)
    return rows


def _read(stream: IO[bytes], rest: bytes) -> bytes | None:
    """Return the next bytes behind `rest`, none at the end; None where the archive is damaged."""
    parts = [rest]
    size = 0
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    try:
        while size < BLOCK_BYTES and (part := read(_READ_BYTES)):
            parts.append(part)
            size += len(part)
    except DAMAGE:
        return None
    return b"".join(parts)


def count_kinds(block: Block) -> Iterator[tuple[int, int]]:
    """Yield (row of the first, how many) for each kind of frame in a block; a kind may come more than once."""
    kinds = np.zeros((KINDS_MAX, 3), np.int64)
    at = 0
    while at < len(block):
        at, known = classify(block.buffer, block.rows, at, kinds, False)
        for row in kinds[:known].tolist():
            yield row[KIND_FRAME], row[KIND_COUNT]


class _Source:
    """Be one file of a session: what is loaded of it and not taken yet. `keys` are its receive times, made to never fall."""

    def __init__(self, blocks: Iterator[Block]) -> None:
        self._blocks = blocks
        self._latest = 0
        self.block: Block | None = None
        self.keys: NDArray[np.int64] = np.zeros(0, np.int64)
        self.at = 0
        self.load()

    def load(self) -> None:
        """Take the next block."""
        self.block, self.at = next(self._blocks, None), 0
        if self.block is not None:
            self.keys = np.maximum.accumulate(np.maximum(self.block.rows[WALLS], self._latest))
            self._latest = int(self.keys[-1])


def merge_blocks(sources: Sequence[Iterator[Block]]) -> Iterator[Block]:
    """Merge by receive time, as `heapq.merge` would: files of equal times in the order given."""
    if len(sources) == 1:
        yield from sources[0]
        return
    files = [_Source(one) for one in sources]
    while any(one.block is not None for one in files):
        live = [one for one in files if one.block is not None]
        if len(live) == 1:
            yield _part(live[0], len(live[0].keys))
            continue
        # Everything before the earliest end of a block is there; of equal times, only the first file's are sure to be.
        horizon = min(int(one.keys[-1]) for one in live)
        closing_one = next(one for one in live if int(one.keys[-1]) == horizon)
        is_before = True
        parts: list[tuple[_Source, int]] = []
        for one in live:
            # A file before the one whose block ends first may still hold equal times, and so may that one's next block.
            is_before = is_before and one is not closing_one
            side: Any = "right" if is_before or one is closing_one else "left"
            parts.append((one, int(np.searchsorted(one.keys, horizon, side))))
        yield _merged(parts)


def _part(one: _Source, end: int) -> Block:
    """Take the frames of a file before `end`."""
    block, at = one.block, one.at
    assert block is not None
    rows = np.ascontiguousarray(block.rows[:, at:end])
    symbols = {row - at: name for row, name in block.symbols.items() if at <= row < end}
    one.at = end
    if end == len(block):
        one.load()
    return Block(buffer=block.buffer, rows=rows, symbols=symbols)


def _merged(parts: Sequence[tuple[_Source, int]]) -> Block:
    keys = [one.keys[one.at : end] for one, end in parts]
    blocks = [_part(one, end) for one, end in parts if end > one.at]
    order = np.argsort(np.concatenate(keys), kind="stable")
    # Of a block that is longer than the others only what is taken now is copied.
    spans = [(int(block.rows[BEGINS].min()), int(block.rows[ENDS].max())) for block in blocks]
    bases = np.cumsum([0, *(end - begin for begin, end in spans)])
    firsts = np.cumsum([0, *(len(block) for block in blocks)])
    rows = np.concatenate([block.rows for block in blocks], axis=1)
    for base, (begin, _), first, last in zip(bases.tolist(), spans, firsts.tolist(), firsts[1:].tolist(), strict=False):
        rows[BEGINS, first:last] += base - begin
        rows[ENDS, first:last] += base - begin
    symbols: dict[int, str] = {}
    if any(block.symbols for block in blocks):
        places = np.argsort(order, kind="stable")
        for first, block in zip(firsts.tolist(), blocks, strict=False):
            symbols |= {int(places[first + row]): name for row, name in block.symbols.items()}
    buffer = b"".join(memoryview(block.buffer)[begin:end] for block, (begin, end) in zip(blocks, spans, strict=True))
    return Block(buffer=buffer, rows=np.ascontiguousarray(rows[:, order]), symbols=symbols)

"""Prepared recordings: what a run needs of a recording, scanned once and kept in the cache, so that later runs read no text.

One file a recording: blocks of frames in the venue's packed form with their times, then an index of them with the grid that the frames
showed, then a digest of it all. Invariants: a file is named by a digest of the recording's bytes, its suffix and the sources that prepare,
so whatever changes is another name; it is written beside its name and put there whole; it is believed only if its digest is right; damaged
recordings are not prepared; the folder stays within a size, from where the files go that were not used for the longest. Nothing here is
needed: where it cannot be had, the recording itself is read.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from smartmoney.adapters.bounded_folder import PART, BoundedFolder, note_use
from smartmoney.adapters.file_times import Stamp, stamp
from smartmoney.adapters.recording_blocks import Block, read_blocks
from smartmoney.adapters.recordings import RecordingDamaged
from smartmoney.core.book.state import SCAN_LEVELS
from smartmoney.venues.binance.grid_inference import GridNeeds
from smartmoney.venues.binance.kernel import FRAME_BYTES_MAX
from smartmoney.venues.binance.packer import Packer
from smartmoney.venues.recorded_lines import BEGINS, ENDS, PACKED, ROWS, SNAPSHOTS, WALLS

log = structlog.get_logger("prepared")
Rows = NDArray[np.int64]

SUFFIX = ".frames"
_WORDS = 1 << 17
_BLOCK_BYTES = 2 << 20
"""Large enough that what each block costs a run, some calls, is little; small enough to lie where the block before last did, in memory that
the process has already: to be given fresh pages for each costs as much as reading it."""
_HASHED_BYTES = 1 << 20
_DIGEST_BYTES, _LENGTH_BYTES = 32, 8
_REMEMBERED = 4096
_PACKAGE = Path(__file__).resolve().parent.parent
_MADE_BY = (
    "adapters/prepared_recordings.py",
    "adapters/recording_blocks.py",
    "adapters/recordings.py",
    "core/book/words.py",
    "venues/recorded_lines.py",
    *(
        f"venues/binance/{name}.py"
        for name in ("codec", "event_types", "grid_inference", "packed", "packer", "packing", "scan", "scan_text")
    ),
)
"""Sources that a prepared file depends on."""


class PreparedChanged(Exception):
    """Say that a prepared file was written to while a run read it."""

    exit_code = 1


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """Say where a block lies, and what it holds; `symbols` as of a `Block`."""

    at: int
    size: int
    words_bytes: int
    frames: int
    check: int
    symbols: dict[int, str]


class _Index(msgspec.Struct, frozen=True):
    blocks: tuple[_Stored, ...]
    needs: GridNeeds


_indices = msgspec.json.Decoder(_Index)


class Prepared:
    """Be one prepared recording, open: what its frames need, and whether an earlier run had made it."""

    def __init__(self, file: BinaryIO, index: _Index, *, was_ready: bool) -> None:
        self._file = file
        self._blocks = index.blocks
        self.needs = index.needs
        self.was_ready = was_ready

    def blocks(self) -> Iterator[Block]:
        """Yield the frames, as `read_blocks` does of the recording, once; memory is a block.

        Raises:
            PreparedChanged: the file changed since it was opened.
        """
        with self._file as file:
            for stored in self._blocks:
                file.seek(stored.at)
                buffer = file.read(stored.size)
                if len(buffer) != stored.size or zlib_ng.crc32(buffer) != stored.check:
                    raise PreparedChanged(f"{file.name} changed while it was read; run again, it is made anew")
                yield Block(buffer=buffer, rows=_rows(buffer, stored), symbols=stored.symbols)

    def close(self) -> None:
        """Give up a recording that is not read."""
        self._file.close()


class PreparedRecordings:
    """Keep prepared recordings in a folder of at most `bytes_max`."""

    def __init__(self, folder: Path, bytes_max: int = sys.maxsize) -> None:
        self._folder = folder
        self._bound = BoundedFolder(folder, bytes_max)

    def open(self, path: Path) -> Prepared | None:
        """Return the prepared form of a recording, made now where there is none; None if it cannot be had."""
        try:
            digest = _file_digest(path)
            target = self._folder / (_name(digest, path.suffix) + SUFFIX)
            return _opened(target, was_ready=True) or self._made(path, digest, target)
        except RecordingDamaged:
            return None  # it is said when the recording itself is read
        except OSError as failure:
            log.info("a recording is read as it is", file=path.name, problem=str(failure))
            return None

    def forget(self, path: Path) -> None:
        """Remove the prepared form of a recording, if there is one.

        Raises:
            OSError: the recording cannot be read, or its prepared form not removed.
        """
        (self._folder / (_name(_file_digest(path), path.suffix) + SUFFIX)).unlink(missing_ok=True)

    def _made(self, path: Path, digest: bytes, target: Path) -> Prepared | None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=PART)
        part = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                if not _write(path, out, self._bound.room()) or _file_digest(path) != digest:
                    return None
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        made = _opened(target, was_ready=False)
        self._bound.make_room(target.stem)
        return made


def _write(path: Path, out: BinaryIO, bytes_max: int) -> bool:
    """Write the prepared form of a recording; False, given up, where it grows beyond `bytes_max`."""
    packer, digest, stored, at = Packer(_WORDS), hashlib.sha256(), [], 0
    for words, rows, symbols in _gathered(packer, path):
        columns = (rows[WALLS], rows[BEGINS].astype(np.uint32), rows[ENDS].astype(np.uint32))
        forms = (rows[SNAPSHOTS] | rows[PACKED] << 1).astype(np.uint8)
        body = b"".join((words, *(column.tobytes() for column in columns), forms.tobytes()))
        stored.append(_Stored(at, len(body), len(words), rows.shape[1], zlib_ng.crc32(body), symbols))
        digest.update(body)
        out.write(body)
        at += len(body)
        if at > bytes_max:
            return False
    index = msgspec.json.encode(_Index(tuple(stored), packer.inference.needed()))
    index += len(index).to_bytes(_LENGTH_BYTES, "little")
    digest.update(index)
    out.write(index + digest.digest())
    return True


def _gathered(packer: Packer, path: Path) -> Iterator[tuple[bytes, Rows, dict[int, str]]]:
    """Yield a recording's frames in blocks that are larger than what is read at once: each block costs a run some calls."""
    parts: list[tuple[bytes, Rows]] = []
    symbols: dict[int, str] = {}
    size = count = 0
    for block in read_blocks(path):
        for words, rows, first in packer.pack(block.buffer, block.rows, block.symbols):
            rows[[BEGINS, ENDS]] += size
            symbols |= {row - first + count: name for row, name in block.symbols.items() if first <= row < first + rows.shape[1]}
            parts.append((words, rows))
            size += len(words)
            count += rows.shape[1]
            if size >= _BLOCK_BYTES:
                yield _joined(parts, symbols)
                parts, symbols, size, count = [], {}, 0, 0
    if parts:
        yield _joined(parts, symbols)


def _joined(parts: Sequence[tuple[bytes, Rows]], symbols: dict[int, str]) -> tuple[bytes, Rows, dict[int, str]]:
    return b"".join(words for words, _ in parts), np.concatenate([rows for _, rows in parts], axis=1), symbols


def _opened(target: Path, *, was_ready: bool) -> Prepared | None:
    """Return a prepared recording that is there and whole, None for any other."""
    try:
        file = target.open("rb")
    except FileNotFoundError:
        return None
    try:
        state = os.fstat(file.fileno())
        note_use(target)
        index = _index(file, state.st_size)
    except BaseException:
        file.close()
        raise
    if index is None:
        log.warning("a prepared recording is damaged and made anew", file=target.name)
        file.close()
        return None
    return Prepared(file, index, was_ready=was_ready)


def _index(file: BinaryIO, size: int) -> _Index | None:
    ends = size - _DIGEST_BYTES - _LENGTH_BYTES
    if ends < 0:
        return None
    digest = _digest(file, _DIGEST_BYTES)
    file.seek(ends)
    tail = file.read()
    length = int.from_bytes(tail[:_LENGTH_BYTES], "little")
    if tail[_LENGTH_BYTES:] != digest or length > ends:
        return None
    file.seek(ends - length)
    try:
        return _indices.decode(file.read(length))
    except msgspec.MsgspecError:
        return None


def _rows(buffer: bytes, stored: _Stored) -> Rows:
    count, at = stored.frames, stored.words_bytes
    rows = np.empty((ROWS, count), np.int64)
    rows[WALLS] = np.frombuffer(buffer, np.int64, count, at)
    rows[BEGINS] = np.frombuffer(buffer, np.uint32, count, at + 8 * count)
    rows[ENDS] = np.frombuffer(buffer, np.uint32, count, at + 12 * count)
    forms = np.frombuffer(buffer, np.uint8, count, at + 16 * count)
    rows[SNAPSHOTS], rows[PACKED] = forms & 1, forms >> 1
    return rows


def _name(digest: bytes, suffix: str) -> str:
    return hashlib.sha256(_made_by() + digest + suffix.encode()).hexdigest()[:40]


def _made_by() -> bytes:
    if not _sources:
        digest = hashlib.sha256(f"{SCAN_LEVELS} {FRAME_BYTES_MAX}".encode())
        for name in _MADE_BY:
            digest.update((_PACKAGE / name).read_bytes())
        _sources.append(digest.digest())
    return _sources[0]


_sources: list[bytes] = []
_digests: dict[tuple[Stamp, int], bytes] = {}


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return _digest(file, 0)


def _digest(file: BinaryIO, tail: int) -> bytes:
    """Return the SHA-256 of a file but for its last `tail` bytes; once a process, as long as its times and its place stay the same."""
    state = os.fstat(file.fileno())
    known_by = stamp(state)
    if known_by is not None and (known := _digests.get((known_by, tail))) is not None:
        return known
    digest, left = hashlib.sha256(), state.st_size - tail
    file.seek(0)
    while left > 0 and (part := file.read(min(left, _HASHED_BYTES))):
        digest.update(part)
        left -= len(part)
    if known_by is not None:
        if len(_digests) >= _REMEMBERED:
            _digests.clear()
        _digests[known_by, tail] = digest.digest()
    return digest.digest()

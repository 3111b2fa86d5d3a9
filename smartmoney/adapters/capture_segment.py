"""One segment of a capture, while it is written, and the index that is left beside it when it is closed.

Invariants: a segment without an index was not closed and may be torn; one with an index is complete and has that SHA-256.
"""

import hashlib
import os
from pathlib import Path

import msgspec
import zstandard

from smartmoney.adapters.capture_format import GAP_KIND, MAGIC, SEGMENT_SUFFIX
from smartmoney.adapters.state_directory import sync_folder, write_durably
from smartmoney.core.domain.entries import EntryKind

FORMAT_VERSION = 1
_FRAME = int(EntryKind.FRAME)
COMPRESSION_LEVEL = 1
"""zstd's fastest ordinary level: frames shrink about eightfold, at several hundred MB/s."""


class SegmentIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a closed segment. `kinds` counts entries by kind, `lost` those that gap records stand for; sizes are in bytes."""

    version: int
    segment: str
    first_seq: int
    last_seq: int
    first_wall_ns: int
    last_wall_ns: int
    entries: int
    kinds: dict[str, int]
    lost: int
    plain_bytes: int
    file_bytes: int
    sha256: str


def segment_path(folder: Path, number: int) -> Path:
    """Return the path of a run's segment of this number."""
    return folder / f"segment-{number:06d}{SEGMENT_SUFFIX}"


def segment_number(segment: Path) -> int:
    """Return the number in a segment's name."""
    return int(segment.name.removesuffix(SEGMENT_SUFFIX).rpartition("-")[2])


def index_path(segment: Path) -> Path:
    """Return the path of a segment's index."""
    return segment.with_name(segment.name.removesuffix(SEGMENT_SUFFIX) + ".json")


def segments_of(folder: Path) -> list[Path]:
    """Return a run's segments, in order."""
    return sorted(folder.glob(f"segment-*{SEGMENT_SUFFIX}"))


def read_index(segment: Path) -> SegmentIndex | None:
    """Return a segment's index, None when it has none (it was not closed). Raises msgspec.MsgspecError for one that is damaged."""
    try:
        return msgspec.json.decode(index_path(segment).read_bytes(), type=SegmentIndex)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error


def last_wall_ns(folder: Path) -> int:
    """Return the wall time of a capture's last entry; of one that is not closed, of the last writing.

    Raises:
        OSError: there is no capture.
        msgspec.MsgspecError: the last segment's index is damaged.
    """
    segments = segments_of(folder)
    if not segments:
        raise FileNotFoundError(f"{folder} holds no segments")
    index = read_index(segments[-1])
    return segments[-1].stat().st_mtime_ns if index is None else index.last_wall_ns


class SegmentWriter:
    """Write one segment. Every method may raise OSError (disk full, for one); the segment must not be written after that."""

    def __init__(self, path: Path, *, level: int = COMPRESSION_LEVEL) -> None:
        """Create the file (it must not exist) and make its name durable."""
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sync_folder(path.parent)
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._frame: zstandard.ZstdCompressionObj | None = None
        self._hash = hashlib.sha256()
        self._kinds: dict[int, int] = {}
        self._first: tuple[int, int] | None = None
        self._last = (0, 0)
        self._lost = 0
        self._plain_bytes = 0
        self.file_bytes = 0
        self._add_plain(MAGIC)

    @property
    def has_open_frame(self) -> bool:
        """Tell whether bytes wait in the compressor that a crash would lose."""
        return self._frame is not None

    @property
    def is_empty(self) -> bool:
        """Tell whether no record was noted yet."""
        return self._first is None

    def add(self, records: bytes) -> None:
        """Append encoded records; `note` each of them."""
        self._add_plain(records)

    def note(self, kind: int, seq: int, wall_ns: int, lost: int = 0) -> None:
        """Count one record for the index."""
        if self._first is None:
            self._first = (seq, wall_ns)
        self._last = (seq, wall_ns)
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        self._lost += lost

    def note_frames(self, first_seq: int, count: int, first_wall_ns: int, last_wall_ns: int) -> None:
        """Count so many websocket frames in a row."""
        if self._first is None:
            self._first = (first_seq, first_wall_ns)
        self._last = (first_seq + count - 1, last_wall_ns)
        self._kinds[_FRAME] = self._kinds.get(_FRAME, 0) + count

    def end_frame(self) -> None:
        """Hand everything to the operating system: `kill -9` cannot lose it any more."""
        if self._frame is not None:
            self._write(self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
            self._frame = None

    def sync(self) -> None:
        """Make everything durable: a power cut cannot lose it any more."""
        self.end_frame()
        os.fsync(self._fd)

    def close(self) -> SegmentIndex:
        """Make everything durable, close the file, and write its index."""
        self.sync()
        self.abandon()
        first = self._first or (0, 0)
        index = SegmentIndex(
            version=FORMAT_VERSION,
            segment=self.path.name,
            first_seq=first[0],
            last_seq=self._last[0],
            first_wall_ns=first[1],
            last_wall_ns=self._last[1],
            entries=sum(count for kind, count in self._kinds.items() if kind != GAP_KIND),
            kinds={str(kind): count for kind, count in sorted(self._kinds.items())},
            lost=self._lost,
            plain_bytes=self._plain_bytes,
            file_bytes=self.file_bytes,
            sha256=self._hash.hexdigest(),
        )
        write_durably(index_path(self.path), msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")
        return index

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _add_plain(self, plain: bytes) -> None:
        if self._frame is None:
            self._frame = self._compressor.compressobj()
        self._plain_bytes += len(plain)
        self._write(self._frame.compress(plain))

    def _write(self, compressed: bytes) -> None:
        if not compressed:
            return
        self._hash.update(compressed)
        self.file_bytes += len(compressed)
        view = memoryview(compressed)
        while view:
            view = view[os.write(self._fd, view) :]

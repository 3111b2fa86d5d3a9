"""The capture's bytes: how an inbox entry is written into a segment, and how a segment is read back, torn or whole.

A segment is a zstd stream of: 8 bytes magic, then records. A record is a little-endian header (payload length u32, kind u8, connection
u32, instrument i16, seq u64, ts_event_ns i64, ts_wall_ns i64, ts_mono_ns i64), the payload (raw frame, or `encode_payload` bytes), and the
CRC-32 of both (u32). Kind 127 is a gap: its payload is the number of entries (u64) that were lost before `seq`.

Invariants: bytes that are not a whole record with a right checksum are never turned into an entry; memory is bounded by one record.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import zstandard

from smartmoney.core.domain.entries import Entry, EntryKind, decode_payload, encode_payload
from smartmoney.core.engine.stretch import Frames

MAGIC = b"SMCAP\x00\x00\x01"
"""Name and version of the format: the first bytes of every segment, inside the compression."""
SEGMENT_SUFFIX = ".smc.zst"
GAP_KIND = 127
PAYLOAD_BYTES_MAX = 64 << 20
"""A longer payload is damage, not data (frames are capped at 8 MiB, in bytes)."""

_HEADER = struct.Struct("<IBIhQqqq")
_CRC = struct.Struct("<I")
_COUNT = struct.Struct("<Q")
_READ_BYTES = 1 << 18
_KINDS = {int(kind): kind for kind in EntryKind}


class CaptureDamaged(Exception):
    """Report a capture that is damaged elsewhere than at a torn end, or is not one."""

    exit_code = 1


class Gap(msgspec.Struct, frozen=True):
    """Say that `count` entries before `before_seq` are missing: the writer could not keep up."""

    before_seq: int
    count: int


class TornTail(msgspec.Struct, frozen=True):
    """Say that a segment was not closed: `file_bytes` follow its last whole zstd frame, and `plain_bytes` of what they held are no record.

    Whole records among those bytes have been read all the same.
    """

    path: Path
    file_bytes: int
    plain_bytes: int


Damage = Gap | TornTail

Row = tuple[int, int, int, int, int, int, int, int, int]
"""A record: where its payload begins and ends, then kind, connection, instrument, seq, ts_event_ns, ts_wall_ns, ts_mono_ns."""


class Records(msgspec.Struct, frozen=True):
    """Hold whole records, one after the other: their bytes, and a row for each entry (gaps have none)."""

    plain: bytes
    rows: list[Row]

    def payload(self, row: Row) -> bytes:
        """Return the payload of one of them."""
        return self.plain[row[0] : row[1]]

    def entry(self, row: Row) -> Entry:
        """Return one of them as the entry that was written."""
        kind, payload = _KINDS[row[2]], self.payload(row)
        return Entry(
            seq=row[5],
            kind=kind,
            ts_wall_ns=row[7],
            ts_mono_ns=row[8],
            ts_event_ns=row[6],
            connection=row[3],
            instrument=row[4],
            frame=b"" if kind is EntryKind.EVENT else payload,
            payload=decode_payload(payload) if kind is EntryKind.EVENT else None,
        )


def encode_frames(frames: Frames, at: int, end: int, first_seq: int) -> list[bytes]:
    """Return the pieces of websocket frames of no known connection, as `encode_entry` makes them of one."""
    pieces: list[bytes] = []
    pack, size, crc, kind = _HEADER.pack, _CRC.pack, zlib.crc32, int(EntryKind.FRAME)
    buffer, origin_ns = frames.buffer, frames.origin_ns
    for seq, (begin, stop, wall_ns) in enumerate(frames.rows[:3, at:end].T.tolist(), first_seq):
        payload = buffer[begin:stop]
        header = pack(stop - begin, kind, 0, -1, seq, 0, wall_ns, wall_ns - origin_ns)
        pieces += (header, payload, size(crc(payload, crc(header))))
    return pieces


def encode_entry(entry: Entry) -> tuple[bytes, bytes, bytes]:
    """Return header, payload and checksum of an entry, in the order they are written.

    Raises:
        struct.error: a field is out of the format's range.
    """
    payload = encode_payload(entry.payload) if entry.payload is not None else entry.frame
    header = _HEADER.pack(
        len(payload), entry.kind, entry.connection, entry.instrument, entry.seq, entry.ts_event_ns, entry.ts_wall_ns, entry.ts_mono_ns
    )
    return header, payload, _CRC.pack(zlib.crc32(payload, zlib.crc32(header)))


def encode_gap(gap: Gap, ts_wall_ns: int, ts_mono_ns: int) -> tuple[bytes, bytes, bytes]:
    """Return header, payload and checksum of a gap."""
    payload = _COUNT.pack(gap.count)
    header = _HEADER.pack(len(payload), GAP_KIND, 0, -1, gap.before_seq, 0, ts_wall_ns, ts_mono_ns)
    return header, payload, _CRC.pack(zlib.crc32(payload, zlib.crc32(header)))


def read_segment(path: Path, *, may_be_torn: bool, on_damage: Callable[[Damage], None] | None = None) -> Iterator[Entry]:
    """Yield the entries of one segment, in order; arguments and errors as `read_records`."""
    for records in read_records(path, may_be_torn=may_be_torn, on_damage=on_damage):
        for row in records.rows:
            yield records.entry(row)


def read_records(path: Path, *, may_be_torn: bool, on_damage: Callable[[Damage], None] | None = None) -> Iterator[Records]:
    """Yield the records of one segment, some thousands at a time. Cost: some 1.5 us a record.

    Args:
        path: the segment.
        may_be_torn: the segment was never closed: stop at its last whole record instead of raising.
        on_damage: called with each gap, and with the torn tail if there is one.

    Raises:
        CaptureDamaged: it is not a segment, or it is damaged though it was closed.
        OSError: it cannot be read.
    """
    rest = b""
    source = _Decompressed(path)
    has_magic = False
    for chunk in source:
        plain = rest + chunk
        if not has_magic:
            if len(plain) < len(MAGIC):
                rest = plain
                continue
            if plain[: len(MAGIC)] != MAGIC:
                raise CaptureDamaged(f"{path} is not a capture segment of this version")
            plain = plain[len(MAGIC) :]
            has_magic = True
        position, is_damaged, rows = _whole_records(path, plain, on_damage)
        yield Records(plain[:position], rows)
        rest = plain[position:]
        if is_damaged:
            source.fault = "a record's checksum is wrong"
            break
    if rest or source.fault or not has_magic:
        if not may_be_torn:
            raise CaptureDamaged(f"{path}: {source.fault or 'it ends in the middle of a record'}")
        if on_damage is not None:
            on_damage(TornTail(path, path.stat().st_size - source.frames_end, len(rest)))


class _Decompressed:
    """Yield the plain bytes of a zstd file; `fault` says why it stopped early, `frames_end` where its last whole frame ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fault: str | None = None
        self.frames_end = 0

    def __iter__(self) -> Iterator[bytes]:
        context = zstandard.ZstdDecompressor()
        frame = context.decompressobj()
        is_inside = False
        with self._path.open("rb") as file:
            pending = b""
            while pending or (pending := file.read(_READ_BYTES)):
                try:
                    plain = frame.decompress(pending)
                except zstandard.ZstdError as error:
                    self.fault = f"its compression is damaged ({error})"
                    return
                is_inside = not frame.eof
                pending = frame.unused_data if frame.eof else b""
                if frame.eof:
                    self.frames_end = file.tell() - len(pending)
                    frame = context.decompressobj()
                if plain:
                    yield plain
        if is_inside:
            self.fault = "its compression ends in the middle"


def _whole_records(path: Path, plain: bytes, on_damage: Callable[[Damage], None] | None) -> tuple[int, bool, list[Row]]:
    """Return where the rest starts, whether it starts with a damaged record, and the entries' rows before it."""
    rows: list[Row] = []
    position, end, view = 0, len(plain), memoryview(plain)
    unpack, read_crc, crc, known, sizes = _HEADER.unpack_from, _CRC.unpack_from, zlib.crc32, _KINDS, (_HEADER.size, _CRC.size)
    while end - position >= sizes[0]:
        length, kind, connection, instrument, seq, event_ns, wall_ns, mono_ns = unpack(plain, position)
        if length > PAYLOAD_BYTES_MAX:
            return position, True, rows
        start = position + sizes[0]
        after = start + length
        if end - after < sizes[1]:
            break
        if read_crc(plain, after)[0] != crc(view[position:after]):
            return position, True, rows
        position = after + sizes[1]
        if kind in known:
            rows.append((start, after, kind, connection, instrument, seq, event_ns, wall_ns, mono_ns))
        elif kind != GAP_KIND:
            raise CaptureDamaged(f"{path}: entry {seq} has the unknown kind {kind}")
        elif on_damage is not None:
            on_damage(Gap(seq, _COUNT.unpack_from(plain, start)[0]))
    return position, False, rows

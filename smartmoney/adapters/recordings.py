"""Read recorded raw frames: other people's files and plain ones, one iterator for all.

Forms, told apart by their first line: hftbacktest text (`<receive time> <json>`, ns or us), cryptofeed v2 (a JSON object a line with
`t`), cryptofeed v1 text (`ts: {…}` received, `https://… -> ts: {…}` REST reply), a bare frame a line, one JSON document (also over
several lines).
Plain, .gz, .bz2, .zst and .xz. A file is read as a stream; lines above 16 MiB are refused.
"""

import bz2
import heapq
import io
import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import zstandard
from zlib_ng import gzip_ng, zlib_ng

_GZIP_ERROR: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # its stub says that it is an instance
DAMAGE = (EOFError, OSError, _GZIP_ERROR, lzma.LZMAError, zstandard.ZstdError)
"""What reading an archive raises that ends early or is corrupt."""
_GZIP_MAGIC = b"\x1f\x8b\x08"
LINE_BYTES_MAX = 16 * 1024 * 1024
_US_BELOW = 100_000_000_000_000_000
"""A receive time below this is in microseconds (in ns it would lie before 1973)."""
_STAMPED = re.compile(rb"([0-9]{15,19}) ([{\[].*)", re.DOTALL)
_COARSE = re.compile(rb"[0-9]+ [{\[]")
_TEXT_LINE = re.compile(rb"([0-9]{9,11}\.[0-9]+): (.*)", re.DOTALL)
_TEXT_REPLY = re.compile(rb"(https?://\S+) -> ([0-9]{9,11}\.[0-9]+): (.*)", re.DOTALL)
_TEXT_OTHER = re.compile(rb"(?:configuration: |wss?://\S+ <?->? )")
_SNAPSHOT = re.compile(rb'\s*\{\s*(?:"[a-zA-Z]+"\s*:\s*(?:-?[0-9.]+|"[^"]*")\s*,\s*)*?"lastUpdateId"\s*:')


class RecordingDamaged(Exception):
    """Say that a recording ends early or holds something unreadable. What was whole came out before."""

    exit_code = 1


class RecordedFrame(msgspec.Struct, frozen=True):
    """Be one recorded frame. `symbol` is known for REST replies only; `is_snapshot` marks a bare depth snapshot body."""

    ts_wall_ns: int
    frame: bytes
    is_snapshot: bool
    symbol: str | None


class _Line(msgspec.Struct):
    t: str
    ts: float = 0.0
    url: str = ""
    data: str | None = None
    b64: bytes | None = None


_line_decoder = msgspec.json.Decoder(_Line)


def read_recording(path: Path) -> Iterator[RecordedFrame]:
    """Yield every received frame and depth reply of a recording, in file order. Wall times in ns, 0 where the form has none.

    Raises:
        RecordingDamaged: the archive is truncated or corrupt, or a line is unreadable (after everything before it was yielded).
        OSError: the file cannot be read.
    """
    with closing(open_recording(path)) as stream:
        lines = _lines(stream, path)
        reader: Callable[[bytes, Path], RecordedFrame | None] | None = None
        for line in lines:
            stripped = line.strip()
            if not stripped:
                continue
            if reader is None:
                reader = _reader_of(stripped, path)
                if reader is None:
                    yield _document(line, lines, path)
                    return
            frame = reader(stripped, path)
            if frame is not None:
                yield frame


def is_stamped(path: Path) -> bool:
    """Tell whether a recording has a receive time and a frame a line; False also where its beginning cannot be read.

    Raises:
        OSError: the file cannot be opened.
    """
    with closing(open_recording(path)) as stream:
        try:
            first = next((line.strip() for line in _lines(stream, path) if line.strip()), b"")
        except RecordingDamaged:
            return False
    return _STAMPED.fullmatch(first) is not None


def open_lines(path: Path) -> Iterator[bytes]:
    """Yield the raw lines of a file, decompressed as its suffix says.

    Raises:
        RecordingDamaged: the archive is truncated or corrupt, or a line is too long (after everything before it was yielded).
        OSError: the file cannot be read.
    """
    with closing(open_recording(path)) as stream:
        yield from _lines(stream, path)


def read_session(paths: Sequence[Path]) -> Iterator[RecordedFrame]:
    """Yield the frames of several files of one session in order of receive time (files of equal times in the order given).

    Raises:
        RecordingDamaged, OSError: as `read_recording`.
    """
    return heapq.merge(*(read_recording(path) for path in paths), key=lambda one: one.ts_wall_ns)


def open_recording(path: Path) -> IO[bytes]:
    """Open a recording for reading, decompressed as its suffix says; gzip is known by its first bytes where that says nothing."""
    opened: Any
    match path.suffix:
        case ".gz":
            opened = gzip_ng.open(path, "rb")  # type: ignore[no-untyped-call]  # it has no types
        case ".bz2":
            opened = bz2.open(path, "rb")  # noqa: SIM115 - the caller closes it
        case ".xz":
            opened = lzma.open(path, "rb")  # noqa: SIM115 - the caller closes it
        case ".zst":
            opened = io.BufferedReader(_ZstandardReader(path), 1 << 17)
        case _ if _is_gzip(path):
            opened = gzip_ng.open(path, "rb")  # type: ignore[no-untyped-call]  # it has no types
        case _:
            opened = path.open("rb")
    stream: IO[bytes] = opened
    return stream


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


class _ZstandardReader(io.RawIOBase):
    """Decompress concatenated frames; a file that ends inside one is an error, which the library's own reader does not say."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._pending = b""
        self._is_inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._pending:
            chunk = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._is_inside = False
            chunk = chunk or self._file.read(1 << 17)
            if not chunk:
                if self._is_inside:
                    raise EOFError("the file ends inside a compressed frame")
                return 0
            self._is_inside = True
            self._pending = self._frame.decompress(chunk)
        size = min(len(target), len(self._pending))
        target[:size] = self._pending[:size]
        self._pending = self._pending[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(LINE_BYTES_MAX)
        except DAMAGE as failure:
            raise RecordingDamaged(f"{path}: damaged before line {number}: {failure}") from None
        if not line:
            return
        if len(line) >= LINE_BYTES_MAX:
            raise RecordingDamaged(f"{path}: line {number} is longer than {LINE_BYTES_MAX} bytes")
        yield line


def _reader_of(line: bytes, path: Path) -> Callable[[bytes, Path], RecordedFrame | None] | None:
    """Return the reader for a file that begins with this line; None for a document that spans lines."""
    if _STAMPED.fullmatch(line):
        return _read_stamped
    if _COARSE.match(line):
        stamp = line.partition(b" ")[0].decode()
        raise RecordingDamaged(f"{path}: receive time {stamp} is neither ns nor us since 1970; is the unit right?")
    if _TEXT_LINE.fullmatch(line) or _TEXT_REPLY.fullmatch(line) or _TEXT_OTHER.match(line):
        return _read_text
    try:
        decoded = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None if line[:1] in b"{[" else _read_bare
    if isinstance(decoded, dict) and isinstance(decoded.get("t"), str) and ("format" in decoded or "conn" in decoded):
        return _read_jsonl
    return _read_bare


def _read_stamped(line: bytes, path: Path) -> RecordedFrame | None:
    found = _STAMPED.fullmatch(line)
    if found is None:
        raise RecordingDamaged(f"{path}: not `<receive time> <json>`: {line[:80]!r}")
    stamp = int(found.group(1))
    return _frame(stamp * 1000 if stamp < _US_BELOW else stamp, found.group(2), None)


def _read_text(line: bytes, path: Path) -> RecordedFrame | None:
    found = _TEXT_LINE.fullmatch(line)
    if found:
        return _frame(_nanoseconds(found.group(1)), found.group(2), None)
    reply = _TEXT_REPLY.fullmatch(line)
    if reply:
        return _depth_reply(_nanoseconds(reply.group(2)), reply.group(1).decode(errors="replace"), reply.group(3))
    if _TEXT_OTHER.match(line):
        return None
    raise RecordingDamaged(f"{path}: not a line of a cryptofeed recording: {line[:80]!r}")


def _read_jsonl(line: bytes, path: Path) -> RecordedFrame | None:
    try:
        parsed = _line_decoder.decode(line)
    except (msgspec.DecodeError, RecursionError) as failure:
        raise RecordingDamaged(f"{path}: {failure}: {line[:80]!r}") from None
    body = parsed.b64 if parsed.b64 is not None else (parsed.data or "").encode()
    stamp = _nanoseconds(repr(parsed.ts).encode())
    if parsed.t == "recv":
        return _frame(stamp, body, None)
    return _depth_reply(stamp, parsed.url, body) if parsed.t == "http" else None


def _read_bare(line: bytes, path: Path) -> RecordedFrame | None:
    del path
    return _frame(0, line, None)


def _document(first: bytes, rest: Iterator[bytes], path: Path) -> RecordedFrame:
    parts = [first]
    size = len(first)
    for line in rest:
        parts.append(line)
        size += len(line)
        if size > LINE_BYTES_MAX:
            raise RecordingDamaged(f"{path}: one document of more than {LINE_BYTES_MAX} bytes")
    return _frame(0, b"".join(parts), None)


def _depth_reply(stamp: int, url: str, body: bytes) -> RecordedFrame | None:
    """Return the frame of a REST depth reply; None for every other reply, which is no market data."""
    split = urlsplit(url)
    if not split.path.endswith("/depth"):
        return None
    symbols = parse_qs(split.query).get("symbol", [])
    return _frame(stamp, body, symbols[0].upper() if symbols else None)


def _frame(stamp: int, body: bytes, symbol: str | None) -> RecordedFrame:
    return RecordedFrame(ts_wall_ns=stamp, frame=body, is_snapshot=_SNAPSHOT.match(body) is not None, symbol=symbol)


def _nanoseconds(text: bytes) -> int:
    """Return a decimal number of seconds in ns, exactly as written."""
    whole, _, fraction = text.partition(b".")
    return int(whole) * 1_000_000_000 + int((fraction[:9] or b"0").ljust(9, b"0"))

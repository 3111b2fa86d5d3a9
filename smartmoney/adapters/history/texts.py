"""Lines and members of archives, read as streams; an archive that ends early gives what is whole and says so."""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Self

from smartmoney.adapters.history.events import Events, FileRefused, HistoryRefused, Repairs
from smartmoney.adapters.recordings import RecordingDamaged, open_lines

ENDS_EARLY = "archives that end early; what was whole is kept"


NO_END = "last lines of plain files that have no end and may be cut short, left out"
_COMPRESSED = {".gz", ".bz2", ".xz", ".zst"}


def text_lines(path: Path, repairs: Repairs, *, only_ended: bool = False) -> Iterator[str]:
    """Yield the lines of a plain file, of a .gz, .bz2, .xz or .zst, or of the members of a .zip in order of their names.

    `only_ended` leaves out a plain file's last line if nothing ends it: nothing else would tell that its last number was cut short.

    Raises:
        HistoryRefused: it is not what its suffix says.
        OSError: it cannot be read.
    """
    if path.suffix != ".zip":
        try:
            for line in open_lines(path):
                if only_ended and path.suffix not in _COMPRESSED and not line.endswith(b"\n"):
                    repairs.note(NO_END)
                    return
                yield line.decode("utf-8", errors="replace").rstrip("\r\n")
        except RecordingDamaged:
            repairs.note(ENDS_EARLY)
        return
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as problem:
        raise HistoryRefused(f"{path}: no whole zip archive ({problem}); download it again") from None
    with archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                with archive.open(name) as member:
                    yield from _member_lines(member, repairs)


class CsvRows:
    """Iterate over the rows of a CSV file, all at least as wide as the first; empty lines, shorter rows and the header again are left out.

    Raises FileRefused where a quote is not closed, or a field is longer than any can be.
    """

    def __init__(self, path: Path, repairs: Repairs) -> None:
        self.path = path
        self._rows = csv.reader(text_lines(path, repairs, only_ended=True))
        self._repairs = repairs
        self._width = 0
        self._header: list[str] | None = None

    @property
    def line(self) -> int:
        """Return the number of the line that was read last, from 1."""
        return self._rows.line_num

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[str]:
        while True:
            row = self._next()
            if row == self._header:
                self._repairs.note("headers again, as of files put together, passed over")
                continue
            if not self._width and row and not any(map(_is_number, row)):
                self._header = row
            self._width = self._width or len(row)
            if len(row) >= self._width > 0:
                return row
            if row:
                self._repairs.note("rows cut short, left out")

    def _next(self) -> list[str]:
        begins = self.line + 1
        try:
            row = next(self._rows)
        except csv.Error as problem:
            raise FileRefused(f"{self.path}: line {self.line} is no line of a table ({problem}); mend it, or leave it out") from None
        if self.line > begins:
            raise FileRefused(f"{self.path}: line {begins} has a quote that is not closed in it; mend that line, or leave it out")
        return row


def header_of(path: Path, rows: CsvRows) -> list[str]:
    """Return the first row.

    Raises:
        HistoryRefused: there is none.
    """
    first = next(rows, None)
    if first is None:
        raise HistoryRefused(f"{path}: empty, or damaged at its very beginning; download it again")
    return first


def located(events: Events, rows: CsvRows) -> Events:
    """Yield events; a refusal says at which line.

    Raises:
        HistoryRefused: the events' own.
    """
    try:
        yield from events
    except FileRefused:
        raise
    except HistoryRefused as refused:
        if rows.path.suffix == ".zip" and (damaged := _damaged_member(rows.path)):
            raise HistoryRefused(f"{rows.path}: {damaged} in it is damaged; download the archive again") from None
        raise HistoryRefused(f"{refused} (about line {rows.line}: mend that row, or leave it out)") from None


def _is_number(field: str) -> bool:
    return field.replace(".", "", 1).isdecimal()


def _damaged_member(path: Path) -> str | None:
    """Return the first member of an archive that is not what was put into it; costs reading all of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return path.stem


def _member_lines(member: IO[bytes], repairs: Repairs) -> Iterator[str]:
    try:
        for line in io.TextIOWrapper(member, encoding="utf-8", errors="replace"):
            yield line.rstrip("\r\n")
    except (zipfile.BadZipFile, zlib.error, EOFError):
        repairs.note(ENDS_EARLY)

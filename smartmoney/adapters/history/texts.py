"""Lines and members of archives, read as streams; an archive that ends early gives what is whole and says so."""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from smartmoney.adapters.history.events import HistoryRefused, Repairs
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


def csv_rows(path: Path, repairs: Repairs) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, all at least as wide as the first; empty lines and shorter rows are left out."""
    width = 0
    for row in csv.reader(text_lines(path, repairs, only_ended=True)):
        width = width or len(row)
        if len(row) >= width > 0:
            yield row
        elif row:
            repairs.note("rows cut short, left out")


def _member_lines(member: IO[bytes], repairs: Repairs) -> Iterator[str]:
    try:
        for line in io.TextIOWrapper(member, encoding="utf-8", errors="replace"):
            yield line.rstrip("\r\n")
    except (zipfile.BadZipFile, zlib.error, EOFError):
        repairs.note(ENDS_EARLY)

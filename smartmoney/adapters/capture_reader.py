"""Reading a capture: a run's folder, or one segment, as the entries that went in.

Invariants: entries come out in order, each once; only a segment that was never closed may end torn, and only as the last one.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from smartmoney.adapters.capture_format import CaptureDamaged, Damage, Gap, TornTail, read_segment
from smartmoney.adapters.capture_segment import read_index, segments_of
from smartmoney.core.domain.entries import Entry


class CaptureReader:
    """Iterate over a capture's entries; the attributes tell what was wrong with it once the iteration is over.

    `gaps` are entries that the writer had to leave out; `torn` is the end that a crash left (None for a capture that was closed);
    `bytes_cut` is the plain bytes of that end that are no whole record.
    """

    def __init__(self, path: Path) -> None:
        """Name a run's folder, or one segment.

        Raises:
            CaptureDamaged: there is no segment there.
        """
        self.path = path
        self.segments = segments_of(path) if path.is_dir() else [path]
        self.gaps: list[Gap] = []
        self.torn: TornTail | None = None
        self.entries = 0
        if not self.segments or not self.segments[0].is_file():
            raise CaptureDamaged(f"{path} holds no capture")

    @property
    def bytes_cut(self) -> int:
        """Return how many plain bytes at the torn end could not be read as entries."""
        return self.torn.plain_bytes if self.torn is not None else 0

    @property
    def is_complete(self) -> bool:
        """Tell whether every entry of the run came out: no gap, and no torn end."""
        return not self.gaps and self.torn is None

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries.

        Raises:
            CaptureDamaged: a closed segment is damaged, or entries are out of order.
            OSError: a segment cannot be read.
        """
        self.gaps.clear()
        self.torn = None
        self.entries = 0
        last_seq = -1
        for number, segment in enumerate(self.segments):
            may_be_torn = number == len(self.segments) - 1 and not _is_closed(segment)
            for entry in read_segment(segment, may_be_torn=may_be_torn, on_damage=self._note):
                if entry.seq <= last_seq:
                    raise CaptureDamaged(f"{segment}: entry {entry.seq} follows entry {last_seq}")
                last_seq = entry.seq
                self.entries += 1
                yield entry

    def _note(self, damage: Damage) -> None:
        if isinstance(damage, Gap):
            self.gaps.append(damage)
        else:
            self.torn = damage


def read_capture(path: Path) -> CaptureReader:
    """Return the entries of a run's folder or of one segment, to be iterated over (once more after a new call of `iter`).

    Raises:
        CaptureDamaged: there is no capture there.
    """
    return CaptureReader(path)


def _is_closed(segment: Path) -> bool:
    try:
        return read_index(segment) is not None
    except msgspec.MsgspecError as error:
        raise CaptureDamaged(f"{segment}: its index cannot be read ({error})") from error

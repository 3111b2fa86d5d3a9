"""Reading a capture: a run's folder, or one segment, as the entries that went in.

Invariants: entries come out in order, each once; only a segment that was never closed may end torn, and only as the last one.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from smartmoney.adapters.capture_format import CaptureDamaged, Damage, Gap, TornTail, read_segment
from smartmoney.adapters.capture_segment import read_index, segment_number, segments_of
from smartmoney.core.domain.entries import Entry


class CaptureReader:
    """Iterate over a capture's entries; the attributes tell what was wrong with it once the iteration is over.

    `gaps` are entries that the writer had to leave out; `torn` is the end that a crash left (None for a capture that was closed);
    `bytes_cut` is the plain bytes of that end that are no whole record.
    """

    def __init__(self, path: Path, since_wall_ns: int = 0) -> None:
        """Name a run's folder, or one segment. What ended before `since_wall_ns` is passed over, but for the first segment.

        Raises:
            CaptureDamaged: there is no segment there.
        """
        self.path = path
        self._there = segments_of(path) if path.is_dir() else [path]
        self.segments = segments_since(path, since_wall_ns) if since_wall_ns and path.is_dir() else self._there
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
            is_cut_off = number > 0 and self._removed_between(self.segments[number - 1], segment)
            for entry in read_segment(segment, may_be_torn=may_be_torn, on_damage=self._note):
                if entry.seq <= last_seq:
                    raise CaptureDamaged(f"{segment}: entry {entry.seq} follows entry {last_seq}")
                if is_cut_off:
                    self.gaps.append(Gap(entry.seq, entry.seq - last_seq - 1))
                    is_cut_off = False
                last_seq = entry.seq
                self.entries += 1
                yield entry

    def _removed_between(self, before: Path, after: Path) -> bool:
        """Tell whether segments were there once, and retention took them."""
        there = len([one for one in self._there if before < one < after])
        return segment_number(after) - segment_number(before) - 1 > there

    def _note(self, damage: Damage) -> None:
        if isinstance(damage, Gap):
            self.gaps.append(damage)
        else:
            self.torn = damage


def read_capture(path: Path, since_wall_ns: int = 0) -> CaptureReader:
    """Return the entries of a run's folder or of one segment, to be iterated over (once more after a new call of `iter`).

    Segments that ended before `since_wall_ns` are passed over, but for the first, which says what the run is.

    Raises:
        CaptureDamaged: there is no capture there.
    """
    return CaptureReader(path, since_wall_ns)


def segments_since(folder: Path, wall_ns: int) -> list[Path]:
    """Return a run's first segment, and those that may hold something since a time.

    Raises:
        CaptureDamaged: an index cannot be read.
    """
    return [one for number, one in enumerate(segments_of(folder)) if number == 0 or not _ended_before(one, wall_ns)]


def _ended_before(segment: Path, wall_ns: int) -> bool:
    try:
        index = read_index(segment)
    except msgspec.MsgspecError as error:
        raise CaptureDamaged(f"{segment}: its index cannot be read ({error})") from error
    return index is not None and index.last_wall_ns < wall_ns


def _is_closed(segment: Path) -> bool:
    try:
        return read_index(segment) is not None
    except msgspec.MsgspecError as error:
        raise CaptureDamaged(f"{segment}: its index cannot be read ({error})") from error

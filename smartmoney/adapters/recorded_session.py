"""The recordings of one session: what grid their frames show, whose their snapshots are, and the frames of all, merged by receive time.

Each file is read from its prepared form where there is a store and that can be had, else as it is, and then kept in memory as long as all
that is kept is small, because a file is looked through for its grid before its frames are wanted. Invariants: what comes out is the same
either way; a snapshot that names no symbol is of the only one that its file speaks of; damage ends its file, and is told once.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from smartmoney.adapters.prepared_recordings import Prepared, PreparedRecordings
from smartmoney.adapters.recording_blocks import Block, merge_blocks, named, read_blocks
from smartmoney.adapters.recordings import RecordingDamaged
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance.grid_inference import GridNeeds, Inference, instruments_of

KEPT_BYTES_MAX = 256 << 20
"""Recordings that take no more than this in memory are read once; longer ones are read a second time after their grid was inferred."""
FRAMES_READ, FRAMES_PREPARED, FRAMES_PREPARED_NOW = "recording", "prepared", "recording, prepared now"
"""Where the frames of a session come from: read as they are, prepared by an earlier run, or prepared by this one."""

OnDamage = Callable[[Path, RecordingDamaged], None]


class RecordedSession:
    """Be some recordings that belong together, open. `instruments` come before `blocks`, or not at all; take `blocks` once, or `close`."""

    def __init__(self, files: Sequence[Path], store: PreparedRecordings | None, on_damage: OnDamage) -> None:
        """Open the files; those that there is no `store` for, or that cannot be prepared, are read as they are.

        Raises:
            OSError: a file cannot be read.
        """
        self._is_several = len(files) > 1
        room = _Room(KEPT_BYTES_MAX)
        self._sources: list[_Source] = []
        try:
            for path in files:
                prepared = store.open(path) if store is not None else None
                self._sources.append(prepared or _Text(path, room, on_damage))
        except BaseException:
            self.close()
            raise

    @property
    def origin(self) -> str:
        """Return where the frames come from; a session of which any file is read as it is, is."""
        prepared = [one for one in self._sources if isinstance(one, Prepared)]
        if len(prepared) < len(self._sources):
            return FRAMES_READ
        return FRAMES_PREPARED if all(one.was_ready for one in prepared) else FRAMES_PREPARED_NOW

    @property
    def frames(self) -> int:
        """Return how many frames there are."""
        return sum(one.needs.frames for one in self._sources)

    def instruments(self, market: Market, venue: str = "binance") -> tuple[Instrument, ...]:
        """Return what `grid_inference` finds in the frames, in order of first appearance.

        Raises:
            OSError: a file cannot be read.
        """
        return instruments_of([one.needs for one in self._sources], market, venue)

    def blocks(self) -> Iterator[Block]:
        """Yield the frames, merged by receive time; memory is a block or two a file, and what is kept.

        Raises:
            OSError: a file cannot be read; PreparedChanged: a prepared one changed meanwhile.
        """
        yield from merge_blocks(self.each())

    def each(self) -> list[Iterator[Block]]:
        """Return the frames of each file.

        Raises:
            OSError: a file cannot be read.
        """
        # Alone, a file's snapshots need no name: whoever reads it knows what it is about.
        return [_named(one) if self._is_several else one.blocks() for one in self._sources]

    def close(self) -> None:
        """Give up a session that is not read."""
        for one in self._sources:
            one.close()


class _Source(Protocol):
    """Be one file: what its frames need, and its frames, which are taken once."""

    @property
    def needs(self) -> GridNeeds: ...

    def blocks(self) -> Iterator[Block]: ...

    def close(self) -> None: ...


def _named(one: _Source) -> Iterator[Block]:
    owner = one.needs.owner
    return one.blocks() if owner is None else named(one.blocks(), owner)


class _Room:
    """Count what all files of a session may still keep in memory."""

    def __init__(self, left: int) -> None:
        self.left = left


class _Text:
    """Read one recording as it is."""

    def __init__(self, path: Path, room: _Room, on_damage: OnDamage) -> None:
        self._path = path
        self._room = room
        self._on_damage: OnDamage | None = on_damage
        self._needs: GridNeeds | None = None
        self._kept: deque[Block] | None = None

    @property
    def needs(self) -> GridNeeds:
        if self._needs is None:
            inference = Inference()
            for block in self._keeping():
                inference.take_block(block.buffer, block.rows, block.symbols)
            self._needs = inference.needed()
        return self._needs

    def blocks(self) -> Iterator[Block]:
        if self._kept is None:
            yield from self._whole()
        else:
            while self._kept:
                yield self._kept.popleft()

    def close(self) -> None:
        self._kept = None

    def _keeping(self) -> Iterator[Block]:
        """Yield the blocks, and keep them as long as all of them fit."""
        kept: deque[Block] | None = deque()
        used = 0
        before = b""
        for block in self._whole():
            # Blocks in a row may share their buffer.
            size = block.rows.nbytes + (0 if block.buffer is before else len(block.buffer))
            before = block.buffer
            if kept is not None and self._room.left >= size:
                self._room.left -= size
                used += size
                kept.append(block)
            elif kept is not None:
                self._room.left += used
                kept = None
            yield block
        self._kept = kept

    def _whole(self) -> Iterator[Block]:
        try:
            yield from read_blocks(self._path)
        except RecordingDamaged as damage:
            tell, self._on_damage = self._on_damage, None
            if tell is not None:
                tell(self._path, damage)

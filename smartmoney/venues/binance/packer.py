"""Pack a whole recording: what `packing` leaves to be looked at is measured here and stays text."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.book.words import WORD_BYTES
from smartmoney.core.features.state import STATE
from smartmoney.venues.binance.grid_inference import Inference
from smartmoney.venues.binance.packing import pack_frames, words_for
from smartmoney.venues.recorded_lines import BEGINS, ENDS, PACKED, SNAPSHOTS, WALLS


class Packer:
    """Pack one recording, block by block, in order; `inference` holds what its grid needs."""

    def __init__(self, words: int) -> None:
        """Prepare to write blocks of so many words at most, but for a frame that is longer by itself."""
        self.inference = Inference()
        self._states = np.zeros(1, STATE)
        self._out = np.zeros(words, np.int64)

    def pack(self, buffer: bytes, rows: NDArray[np.int64], symbols: Mapping[int, str]) -> Iterator[tuple[bytes, NDArray[np.int64], int]]:
        """Yield the frames of a block as (buffer, rows, number of the first in the block); `symbols` are known from outside, by frame."""
        marked = rows.copy()
        marked[SNAPSHOTS, list(symbols)] = 1  # to be looked at here
        times = self.inference.times_of(rows[WALLS])
        placed = np.zeros((3, rows.shape[1]), np.int64)
        first = at = words = 0
        while at < rows.shape[1]:
            names, needs = self.inference.needs()
            at, words = pack_frames(buffer, marked, at, self._states, needs, len(names), self._out, words, placed)
            self.inference.raise_to(names, needs)
            if at == rows.shape[1]:
                break
            begin, end = int(rows[BEGINS, at]), int(rows[ENDS, at])
            room = words_for(end - begin)
            if words + room <= len(self._out):
                self.inference.take(buffer[begin:end], symbols.get(at), int(times[at]))
                words = self._copy(buffer[begin:end], words, placed[:, at])
                at += 1
                continue
            if at > first:
                yield self._block(rows, placed, first, at, words)
            first, words = at, 0
            if room > len(self._out):
                self._out = np.zeros(room, np.int64)
        if at > first:
            yield self._block(rows, placed, first, at, words)

    def _copy(self, frame: bytes, words: int, place: NDArray[np.int64]) -> int:
        after = words + (len(frame) + WORD_BYTES - 1) // WORD_BYTES
        self._out[words:after] = np.frombuffer(frame.ljust((after - words) * WORD_BYTES, b"\0"), np.int64)
        place[:] = words * WORD_BYTES, words * WORD_BYTES + len(frame), 0
        return after

    def _block(
        self, rows: NDArray[np.int64], placed: NDArray[np.int64], first: int, end: int, words: int
    ) -> tuple[bytes, NDArray[np.int64], int]:
        made = np.ascontiguousarray(rows[:, first:end])
        made[[BEGINS, ENDS, PACKED]] = placed[:, first:end]
        return self._out[:words].tobytes(), made, first

"""The offline fold: recorded frames through the live compiled fold, stopped on a grid of exchange time.

The row at `t` is due when the first followed frame stamped after `t` is about to be applied: it holds what arrived before that frame, all
of it stamped at or before `t`, decayed to `t`. So nothing looks ahead, later frames change no earlier row, and the last grid point, after
which nothing came, has no row. Frames come in order of arrival; exchange time may step back between streams, and a frame stamped before `t`
that arrives after the row at `t` counts from its arrival on, as it does live.

Depth before a snapshot is kept and folded after it, as the engine does. Where nobody followed says anything for longer than `HOLE_NS`, the
rows end so long after the last word and begin again after the hole.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from smartmoney.adapters.recording_blocks import Block
from smartmoney.core.book.codes import BUFFER, CODE_MASK, GAP, IGNORED, INDEX_SHIFT, NO_INSTRUMENT, SNAPSHOT
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.recorded import Recorded, RecordedCodec, in_blocks
from smartmoney.venues.recorded_lines import SNAPSHOTS, WALLS

HOLE_NS = 60 * 1_000_000_000
"""Silence for which rows are still written: longer than any quiet spell of a followed market, shorter than a pause between recordings."""
KEPT_FRAMES_MAX = 6000
KEPT_BYTES_MAX = 32 << 20
_STEP = re.compile(r"([1-9][0-9]{0,5})(ms|s|m|h)")
_UNIT_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
_FOREVER = 2**62
_STOPPED = IGNORED | (NO_INSTRUMENT << INDEX_SHIFT)


def parse_step(text: str) -> int:
    """Return the ns of a step such as 100ms, 1s, 5s or 1m.

    Raises:
        ValueError: it is no whole number of ms, s, m or h, with the remedy.
    """
    found = _STEP.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no step of time; give a whole number and ms, s, m or h, as in 100ms, 1s, 5s or 1m")
    return int(found[1]) * _UNIT_NS[found[2]]


class Watch(Protocol):
    """Look at the state after every frame."""

    def note(self, states: Any) -> None:
        """Take note of what one frame, or an interruption, changed."""


class GridFold:
    """Fold one instrument's frames; call `on_row(t)` at every multiple of `step_ns`, with `states[0]` as of then.

    With a `watch` the frames are folded one at a time, which costs some 5 µs each and gives the same states.
    """

    def __init__(
        self,
        codec: RecordedCodec,
        instrument: Instrument,
        parameters: FeatureParameters,
        step_ns: int,
        on_row: Callable[[int], None],
        watch: Watch | None = None,
    ) -> None:
        self.states = codec.new_states((instrument,), parameters)
        self.frames = 0
        self.holes = 0
        self._codec = codec
        self.symbol = instrument.symbol.upper()
        self._step_ns = step_ns
        self._on_row = on_row
        self._watch = watch
        self._due_ns = 1  # stops before the first frame that has a time
        self._kept: list[tuple[bytes, int]] = []
        self._kept_bytes = 0

    def run(self, recorded: Iterable[Recorded | Block]) -> None:
        """Fold everything. Memory: one block of frames, and the depth kept for a snapshot."""
        for one in in_blocks(recorded):
            if isinstance(one, Block):
                self._fold(self._followed(one))
            elif one.symbols is None or self.symbol in one.symbols:
                self._drop()

    def _followed(self, block: Block) -> Block:
        """Return a block without the snapshots of other symbols."""
        others = [at for at, symbol in block.symbols.items() if block.rows[SNAPSHOTS, at] and symbol.upper() != self.symbol]
        rows = np.delete(block.rows, others, axis=1) if others else block.rows
        return Block(buffer=block.buffer, rows=np.ascontiguousarray(rows))

    def _fold(self, block: Block) -> None:
        count = len(block)
        self.frames += count
        hints = np.where(block.rows[SNAPSHOTS] != 0, np.int64(0), np.int64(-1))
        at = 0
        while at < count:
            allowed = hints if self._watch is None else hints[: at + 1]
            start = at
            at, folded = self._codec.fold_batch(block.buffer, block.rows, allowed, self.states, at, _FOREVER, self._due_ns)
            if at < len(allowed) and folded == _STOPPED:
                self._reach(self._codec.scanned_event_ns(self.states, int(hints[at])))
            elif at > start:
                self._after(folded & CODE_MASK, block, at - 1)

    def _reach(self, event_ns: int) -> None:
        """Write the rows that are due before a frame of this exchange time."""
        step = self._step_ns
        next_ns = -(-event_ns // step) * step
        if self._due_ns > 1:
            last_ns = min(event_ns - 1, max(int(self.states[0]["last_event_ns"]), self._due_ns - step) + HOLE_NS)
            for ts_ns in range(self._due_ns, last_ns + 1, step):
                self._on_row(ts_ns)
            self.holes += last_ns < event_ns - step
        self._due_ns = next_ns

    def _after(self, code: int, block: Block, at: int) -> None:
        if self._watch is not None:
            self._watch.note(self.states)
        if code == BUFFER:
            self._keep(block.frame(at), int(block.rows[WALLS, at]))
        elif code == GAP:
            self._forget_kept()
            self._keep(block.frame(at), int(block.rows[WALLS, at]))
        elif code == SNAPSHOT:
            self._fold_kept()

    def _fold_kept(self) -> None:
        kept = self._kept
        self._forget_kept()
        for position, (frame, wall_ns) in enumerate(kept):
            code = self._codec.fold(frame, self.states, 0, wall_ns) & CODE_MASK
            if self._watch is not None:
                self._watch.note(self.states)
            if code == GAP:
                for later, wall in kept[position:]:
                    self._keep(later, wall)
                return

    def _keep(self, frame: bytes, wall_ns: int) -> None:
        if len(self._kept) >= KEPT_FRAMES_MAX or self._kept_bytes + len(frame) > KEPT_BYTES_MAX:
            self._forget_kept()
        self._kept.append((frame, wall_ns))
        self._kept_bytes += len(frame)

    def _forget_kept(self) -> None:
        self._kept = []
        self._kept_bytes = 0

    def _drop(self) -> None:
        self._codec.drop_book(self.states, 0)
        self._forget_kept()
        if self._watch is not None:
            self._watch.note(self.states)

"""Fold frames into training rows: features each second, and the mid that the fold knew 150 ms later.

One fold serves synthetic markets and recordings. It stops every 50 ms, the coarsest grid that holds both whole seconds and 150 ms after
them, so that no label needs a second path through the book.
"""

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.recording_blocks import Block
from smartmoney.core.book.state import PHASE_SYNCED
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.feature_table import check_fold
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.recorded import Recorded, RecordedCodec
from smartmoney.learning.sets.rows import LATENCY_NS, SECOND_NS

STEP_NS = 50_000_000
_BLOCK = 4096
_NAN = float("nan")


class FoldedRows:
    """Collect rows while a fold runs."""

    def __init__(self, codec: RecordedCodec, instrument: Instrument, parameters: FeatureParameters) -> None:
        self.fold = GridFold(codec, instrument, parameters, STEP_NS, self._on_row)
        self._row = np.empty(len(FEATURES))
        self._times = array("q")
        self._mids: dict[int, float] = {}
        self._block = np.empty((_BLOCK, len(FEATURES)), np.float32)
        self._blocks: list[NDArray[np.float32]] = []

    def run(
        self, recorded: Iterable[Recorded | Block], problems: list[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """Fold everything and return times, values, and mids after the latency in ticks (NaN where there was no book or no later frame).

        Raises:
            RecordingRefused: there is nothing to make rows of.
        """
        self.fold.run(recorded)
        check_fold(self.fold, self.fold.symbol, len(self._times), problems)
        times = np.frombuffer(self._times, np.int64).copy()
        held = len(times) % _BLOCK
        values = np.concatenate([*self._blocks, self._block[:held]])
        mids = np.array([self._mids.get(at + LATENCY_NS, _NAN) for at in times.tolist()])
        return times, values, mids

    def _on_row(self, ts_ns: int) -> None:
        phase = ts_ns % SECOND_NS
        if phase == LATENCY_NS:
            self._mids[ts_ns] = _mid(self.fold.states)
        elif phase == 0:
            read_row(self.fold.states, 0, ts_ns, self._row)
            place = len(self._times) % _BLOCK
            self._block[place] = self._row
            self._times.append(ts_ns)
            if place == _BLOCK - 1:
                self._blocks.append(self._block.copy())


def _mid(states: Any) -> float:
    state = states[0]
    if int(state["phase"]) != PHASE_SYNCED:
        return _NAN
    bid, ask = int(state["best_bid_tick"]), int(state["best_ask_tick"])
    return 0.5 * (bid + ask) if 0 < bid < ask else _NAN

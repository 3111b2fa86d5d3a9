"""Rows of a synthetic market with all of its truth bars beside them: for scores of what only bars tell, such as spoofers and traps.

`extras` holds a value per row for each of `TOLD` (the bar that ends at the row; NaN where none does).
"""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.recorded import RecordedCodec
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.sets.synthetic import ORIGIN_NS, World, bar_at, simulate_with_bars

FORM = 1
TOLD = ("spoof_lots", "maker_lots", "is_trap", "efficient_ticks", "mid_ticks")


class ToldWorld(msgspec.Struct, frozen=True, kw_only=True):
    """Name a world whose bars are wanted, too."""

    world: World

    @property
    def name(self) -> str:
        """Return a short name for people."""
        return self.world.name

    def key(self, parameters: FeatureParameters) -> str:
        """Return the identity of the rows, in hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(("told", FORM, __version__, self.world.key(parameters)))).hexdigest()[:24]


def simulate_told(asked: ToldWorld, codec: RecordedCodec, parameters: FeatureParameters) -> Rows:
    """Return the rows of a world and, beside them, its bars."""
    rows, bars = simulate_with_bars(asked.world, codec, parameters)
    return msgspec.structs.replace(rows, extras=told_at(rows.times, bars, ORIGIN_NS))


def told_at(times: NDArray[np.int64], bars: NDArray[np.void], origin_ns: int) -> dict[str, NDArray[np.float64]]:
    """Return the columns `TOLD` of the bar that ends at each time; NaN where none does."""
    known, chosen = bar_at(times, bars, origin_ns)
    return {name: np.where(known, chosen[name].astype(np.float64), np.nan) for name in TOLD}

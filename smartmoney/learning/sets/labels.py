"""What a row is to foretell, and how much each row says.

A label at horizon h is the sign of mid(t + 150 ms + h) − mid(t + 150 ms); where the mid did not move there is none. Neighbouring labels
overlap: a row's weight is the mean of one over how many labels live in each second of its own label's life (López de Prado 2018,
chapter 4), times a decay with age; the sum of the first factor is the effective number of rows, which all intervals and calibrators go by.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.validation.uniqueness import uniqueness

HORIZONS_S = (60, 300, 900, 1800, 3600)
"""60 s is for display; the others can be traded."""
TRADABLE_S = (300, 900, 1800, 3600)

Floats = NDArray[np.float64]


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one horizon's labels of one source. `rows` are row numbers; the other arrays belong to those.

    `sign` is ±1; `moved_bps` the move; `uniqueness` in (0, 1]; `ends_s` the second in which each label is known.
    """

    horizon_s: int
    rows: NDArray[np.int64]
    sign: NDArray[np.int8]
    moved_bps: Floats
    uniqueness: Floats
    starts_s: NDArray[np.int64]
    ends_s: NDArray[np.int64]

    @property
    def effective(self) -> float:
        """Return how many labels without overlap would say as much."""
        return float(self.uniqueness.sum())


def moves_bps(rows: Rows, horizon_s: int) -> Floats:
    """Return the move of the mid from `times + 150 ms` over a horizon, `(rows,)` in bps; NaN where it is not known."""
    ends = rows.times + horizon_s * SECOND_NS
    place = np.minimum(np.searchsorted(rows.times, ends), len(rows.times) - 1)
    known = rows.times[place] == ends
    before = rows.mid_after
    after = np.where(known, before[place], np.nan)
    return np.asarray((after - before) / before * 1e4, np.float64)


def labels_of(rows: Rows, horizon_s: int, every_s: int = 1) -> Labels:
    """Return a horizon's labels of every `every_s`-th second. Rows without a move, or without a book at either end, are left out."""
    move = moves_bps(rows, horizon_s)
    second = (rows.times - rows.times[0]) // SECOND_NS if len(rows) else rows.times
    usable = np.isfinite(move) & (move != 0.0) & (second % every_s == 0)
    chosen = np.flatnonzero(usable)
    starts = second[chosen]
    ends = starts + horizon_s
    # Bars of the thinned grid: a life covers the bars that begin in it.
    weights = uniqueness(starts // every_s, (ends - 1) // every_s) if len(chosen) else np.empty(0)
    return Labels(
        horizon_s=horizon_s,
        rows=chosen,
        sign=np.sign(move[chosen]).astype(np.int8),
        moved_bps=move[chosen],
        uniqueness=weights,
        starts_s=starts,
        ends_s=ends,
    )


def age_weights(times: NDArray[np.int64], half_life_s: float) -> Floats:
    """Return `(rows,)` weights that halve with each `half_life_s` before the last row; ones where it is infinite.

    Raises:
        ValueError: the half-life is not above 0.
    """
    if not half_life_s > 0.0:
        raise ValueError(f"half_life_s is {half_life_s!r}; give more than 0, or infinity for no decay")
    if not len(times) or half_life_s == float("inf"):
        return np.ones(len(times))
    return np.asarray(0.5 ** ((times[-1] - times) / SECOND_NS / half_life_s), np.float64)

"""The one form in which a market is looked at for its realism, whether it was simulated or recorded.

Bars are of the book after each depth frame that the venue publishes, spreads of each change of its best quote. Trades are fills merged per
aggressor, by the rule that the recordings allow (nobody prints whose order took): same side, within ten milliseconds of the first fill, at
prices that only get worse. Times are ns, prices ticks, sizes lots; returns are of the mid, in bps. Nothing here knows where the market came
from.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.feature_study import SECOND_NS, moves_bps
from smartmoney.learning.resampling import Floats
from smartmoney.learning.top_watch import Bars

Ints = NDArray[np.int64]

MERGE_NS = 10_000_000
SPREADS = 64
"""Spreads told apart, in ticks; the last place counts all wider ones."""
INFORMED, MISTAKEN, SPLITTER = 1, 2, 3
"""Kinds of parents: precedes a drift; looks like one that does; knows nothing."""


class Fills(msgspec.Struct, frozen=True, kw_only=True):
    """Hold takers' orders in order of time: `signs` +1 for a buyer, `lots` in all, ticks of the first and the last fill."""

    times: Ints
    signs: Ints
    lots: Ints
    first_ticks: Ints
    last_ticks: Ints


class Parents(msgspec.Struct, frozen=True, kw_only=True):
    """Hold large orders that are known to have been split: `signs` +1 for buying, `lots` that each was to do.

    What was done in the end depends on where the price went: sizes by what was done would be small where it ran away.
    """

    kinds: Ints
    signs: Ints
    starts: Ints
    ends: Ints
    lots: Ints


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a market showed. `removed_lots` left the book by trades or cancels; `parents` is None where nobody knows."""

    name: str
    bars: Bars
    spreads: Ints
    """Changes of the best quote by the spread that they left, in ticks (`SPREADS` places; place 0 is a book without a valid top)."""
    fills: Fills
    removed_lots: int
    traded_lots: int
    parents: Parents | None = None


def merged(times: Ints, signs: Ints, lots: Ints, ticks: Ints) -> Fills:
    """Merge fills of one aggressor. Shapes `(n,)` in, `(m,)` out."""
    if not len(times):
        return Fills(times=times, signs=signs, lots=lots, first_ticks=ticks, last_ticks=ticks)
    worse = (ticks[1:] - ticks[:-1]) * signs[1:] >= 0
    follows = (signs[1:] == signs[:-1]) & (times[1:] - times[:-1] <= MERGE_NS) & worse
    starts = np.flatnonzero(np.concatenate(([True], ~follows)))
    starts = _not_longer(times, starts)
    last = np.concatenate((starts[1:], [len(times)])) - 1
    return Fills(
        times=times[starts],
        signs=signs[starts],
        lots=np.add.reduceat(lots, starts),
        first_ticks=ticks[starts],
        last_ticks=ticks[last],
    )


def _not_longer(times: Ints, starts: Ints) -> Ints:
    """Cut chains of fills that reach further than `MERGE_NS` from their first."""
    while True:
        first = times[starts[np.searchsorted(starts, np.arange(len(times)), "right") - 1]]
        late = np.flatnonzero(times - first > MERGE_NS)
        if not len(late):
            return starts
        chain = np.searchsorted(starts, late, "right")
        cuts = late[np.concatenate(([True], chain[1:] != chain[:-1]))]
        starts = np.union1d(starts, cuts)


def returns_bps(bars: Bars, step_s: int) -> Floats:
    """Return the mid's moves over consecutive steps, NaN where a mid is missing. Shape `(steps,)`."""
    step_ns = step_s * SECOND_NS
    first, last = -(-int(bars.times[0]) // step_ns) * step_ns, int(bars.times[-1])
    ends = np.arange(first + step_ns, last + 1, step_ns, dtype=np.int64)
    return moves_bps(bars, ends - step_ns, ends)


def summed(fills: Fills, values: Ints, bars: Bars, step_s: int) -> Floats:
    """Return sums over fills in the same steps as `returns_bps`; a step is (end - step, end]."""
    step_ns = step_s * SECOND_NS
    first, last = -(-int(bars.times[0]) // step_ns) * step_ns, int(bars.times[-1])
    count = max(0, (last - first) // step_ns)
    place = -(-(fills.times - first) // step_ns) - 1
    inside = (place >= 0) & (place < count)
    return np.bincount(place[inside], values[inside].astype(np.float64), count).astype(np.float64)

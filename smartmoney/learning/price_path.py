"""A price path of bounded size: the last mid of every step of time, on a grid that halves its resolution whenever it is full.

Invariants: memory is constant, however long the stretch; a step without a price is NaN; the path depends on the prices and their times
alone. Times are ns on one clock.
"""

import itertools
import math

import numpy as np

from smartmoney.learning.resampling import Floats

STEP_NS = 1_000_000_000
CAPACITY = 1 << 17
"""Steps kept: one second each for the first 36 hours, two up to 73, and so on; 1 MiB."""
_FIRST = 1 << 12
"""Steps that there is room for to begin with."""


class PricePath:
    """Take prices in the order of their times, and give them back on a grid."""

    def __init__(self, capacity: int = CAPACITY, step_ns: int = STEP_NS) -> None:
        self.step_ns = step_ns
        self.origin_ns = 0
        self._capacity = capacity
        self._mids = np.full(min(capacity, _FIRST), np.nan)
        self._used = 0

    def __len__(self) -> int:
        """Return the number of steps from the first price to the last."""
        return self._used

    @property
    def mids(self) -> Floats:
        """Return the price at the end of each step, NaN where there was none; a view, not to be kept."""
        return self._mids[: self._used]

    def add(self, at_ns: int, mid: float) -> None:
        """Take a price. One that is not finite and positive, or older than the path, is left out."""
        if not 0.0 < mid < math.inf:
            return
        step = (at_ns - self.origin_ns) // self.step_ns
        if self._used == 0 or not 0 <= step < len(self._mids):
            step = self._make_room(at_ns)
        if step >= 0:
            self._mids[step] = mid
            if step >= self._used:
                self._used = step + 1

    def coarsen(self, step_ns: int) -> None:
        """Halve the resolution until a step is at least this long."""
        while self.step_ns < step_ns:
            self._halve()

    def thinned(self, points: int) -> list[tuple[int, float | None]]:
        """Return about `points` (time, price), lowest and highest of equal stretches of time, for drawing. A hole is one None."""
        mids = self.mids
        wide = max(1, -(-2 * len(mids) // max(points, 2)))
        if wide == 1:
            return self._all()
        chosen: list[tuple[int, float | None]] = []
        for first in range(0, len(mids), wide):
            part = mids[first : first + wide]
            known = np.flatnonzero(np.isfinite(part))
            if len(known):
                ends = {int(known[np.argmin(part[known])]), int(known[np.argmax(part[known])])}
                chosen += [(self._time(first + at), float(part[at])) for at in sorted(ends)]
            elif chosen and chosen[-1][1] is not None:
                chosen.append((self._time(first), None))
        return chosen

    def _all(self) -> list[tuple[int, float | None]]:
        chosen: list[tuple[int, float | None]] = []
        times = itertools.count(self.origin_ns, self.step_ns)
        for at_ns, mid in zip(times, self.mids.tolist(), strict=False):
            if math.isfinite(mid):
                chosen.append((at_ns, mid))
            elif chosen and chosen[-1][1] is not None:
                chosen.append((at_ns, None))
        return chosen

    def _time(self, step: int) -> int:
        return self.origin_ns + step * self.step_ns

    def _make_room(self, at_ns: int) -> int:
        """Return the step of a time for which there is no room as yet, -1 for one before the path begins."""
        if self._used == 0:
            # Whole steps of the clock, so that paths of one stretch share their grid.
            self.origin_ns = at_ns - at_ns % self.step_ns
        if at_ns < self.origin_ns:
            return -1
        while (at_ns - self.origin_ns) // self.step_ns >= self._capacity:
            self._halve()
        step = (at_ns - self.origin_ns) // self.step_ns
        if step >= len(self._mids):
            self._grow(step + 1)
        return step

    def _grow(self, steps: int) -> None:
        """Make room for so many steps, at most the capacity."""
        wider = np.full(min(self._capacity, max(steps, 2 * len(self._mids))), np.nan)
        wider[: self._used] = self.mids
        self._mids = wider

    def _halve(self) -> None:
        """Keep the last price of every two steps, each twice as long; their edges stay edges of the clock."""
        mids = self.mids
        if self.origin_ns % (2 * self.step_ns):
            self.origin_ns -= self.step_ns
            mids = np.concatenate(([np.nan], mids))
        if len(mids) % 2:
            mids = np.concatenate((mids, [np.nan]))
        first, second = mids[0::2], mids[1::2]
        merged = np.where(np.isfinite(second), second, first)
        self.step_ns *= 2
        self._used = len(merged)
        self._mids[: self._used] = merged
        self._mids[self._used :] = np.nan

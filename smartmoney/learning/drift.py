"""Has the market, or the model, left where it was trained? Three monitors, pure; each is fed by whoever watches a model.

* PSI of each feature against its distribution in training: from .10 watch, from .25 act.
* ADWIN (Bifet and Gavaldà 2007, "Learning from time-changing data with adaptive windowing", SDM) on log-loss: a window that grows while
  nothing changes and drops its old part when two parts of it differ by more than chance.
  A jump stands until the mean is back, within its own error, at what it was before.
* Calibration: the mean of outcome minus probability over the newest thousand forecasts, against its own error.

Faults of the feed come first: a stale or gapped book drifts, too, and means something else.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PSI_WATCH, PSI_ACT = 0.10, 0.25
CALIBRATION_WINDOW = 1_000
"""Off by four standard errors of so many surer forecasts is off by some five in a hundred."""
ROOM = 0.25
DELTA = 0.002
CLOCK = 32
_BUCKETS_A_ROW = 5
_WINDOW_MIN = 5
_GRACE = 10
_SHARE_MIN = 1e-4
_SELDOM = 2.0
"""Standard deviations above the mean."""


def deciles(values: Floats) -> tuple[float, ...]:
    """Return the nine inner deciles of a feature's known values in training, rising strictly (equal ones are one)."""
    known = values[np.isfinite(values)]
    return tuple(np.unique(np.quantile(known, np.arange(1, 10) / 10.0)).tolist()) if len(known) else ()


def bin_edges(values: Floats) -> tuple[float, ...]:
    """Return the edges between which a feature's values in training are counted: its deciles, but none within a quarter of its median.

    A feature that hardly moves (a one-tick spread in bps is the tick over the price) would else drift with every per cent of the price.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return ()
    middle = float(np.median(known))
    low, high = sorted((middle * (1.0 - ROOM), middle * (1.0 + ROOM)))
    tenths = np.array(deciles(known))
    below, above = tenths[tenths < middle], tenths[tenths >= middle]
    return tuple(np.unique(np.concatenate((np.minimum(below, low), [low, high], np.maximum(above, high)))).tolist())


def shares(values: Floats, edges: tuple[float, ...]) -> Floats:
    """Return the share of values in each bin between edges, the unknown ones last."""
    known = np.isfinite(values)
    counts = np.bincount(np.searchsorted(np.array(edges), values[known], side="right"), minlength=len(edges) + 1)
    return np.append(counts, (~known).sum()) / max(len(values), 1)


def psi_of_shares(expected: Floats, found: Floats) -> float:
    """Return the PSI of what `shares` says: over known values, and of the unknown ones only where they became more.

    A recording begins with features that are not warm yet; that a running daemon's are is no drift.
    """
    more = max(float(found[-1]), float(expected[-1]))
    known = [one[:-1] * (1.0 - more) / max(float(one[:-1].sum()), _SHARE_MIN) for one in (expected, found)]
    return psi(np.append(known[0], expected[-1]), np.append(known[1], more))


def chance_psi(stretches: Sequence[Floats], bins: int, rows: int) -> float:
    """Return the PSI that two samples of one law seldom exceed: of these stretches of evenly spaced values, and of one of so many rows.

    E[PSI] is about (bins − 1) (1/n + 1/m), its variance twice that squared over bins − 1; n and m count independent values, by the
    correlation of neighbours: a day holds 1,440 minutes, and twelve independent values of an hour's sum.
    """
    centred = [one - np.nanmean(one) for one in stretches if np.isfinite(one).any()]
    pairs = [(one[:-1] * one[1:])[np.isfinite(one[:-1] * one[1:])] for one in centred]
    known = [one[np.isfinite(one)] for one in centred]
    variance = float(np.concatenate([one**2 for one in known]).mean()) if known else 0.0
    if not variance > 0.0:
        return 0.0
    memory = float(np.concatenate(pairs).mean()) / variance if sum(map(len, pairs)) else 0.0
    independent = (1.0 - min(max(memory, 0.0), 0.999)) / (1.0 + min(max(memory, 0.0), 0.999))
    mean = (bins - 1) * (1.0 / (rows * independent) + 1.0 / (sum(map(len, known)) * independent))
    return mean * (1.0 + _SELDOM * math.sqrt(2.0 / (bins - 1)))


def psi(expected: Floats, found: Floats) -> float:
    """Return the population stability index Σ(p−q) ln(p/q) of two histograms over the same bins; empty bins count as 1e-4."""
    p, q = np.maximum(found, _SHARE_MIN), np.maximum(expected, _SHARE_MIN)
    return float(((p - q) * np.log(p / q)).sum())


class _Row:
    """Hold the buckets of one size: totals and sums of squared deviations, oldest first."""

    __slots__ = ("totals", "variances")

    def __init__(self) -> None:
        self.totals: list[float] = []
        self.variances: list[float] = []


class Adwin:
    """Watch one number. Memory O(log n); amortised O(log n) an update.

    Row r of the histogram holds buckets of 2^r values, at most five a row; the two oldest of a full row become one of the next.
    """

    def __init__(self, delta: float = DELTA, clock: int = CLOCK) -> None:
        """Begin with nothing. Smaller `delta`, fewer alarms; cuts are looked for every `clock` values.

        Raises:
            ValueError: delta is not within (0, 1), or the clock is below 1.
        """
        if not 0.0 < delta < 1.0 or clock < 1:
            raise ValueError(f"delta {delta!r} must lie between 0 and 1, and clock {clock!r} be 1 or more")
        self._delta, self._clock = delta, clock
        self._rows: list[_Row] = [_Row()]
        self._ticks = 0
        self.width = 0
        self.total = 0.0
        self._variance = 0.0
        self.detections = 0

    @property
    def mean(self) -> float:
        """Return the mean of the window, 0 while it is empty."""
        return self.total / self.width if self.width else 0.0

    @property
    def variance(self) -> float:
        """Return the variance of the window."""
        return self._variance / self.width if self.width else 0.0

    @property
    def error(self) -> float:
        """Return the standard error of the mean."""
        return math.sqrt(self.variance / self.width) if self.width else 0.0

    def update(self, value: float) -> bool:
        """Take a value and tell whether the window was cut: what came before is not like what comes now.

        Raises:
            ValueError: the value is not finite.
        """
        if not math.isfinite(value):
            raise ValueError(f"{value!r} cannot be watched; leave out what is not a number")
        self._insert(value)
        self._ticks += 1
        if self._ticks % self._clock or self.width <= _GRACE:
            return False
        is_cut = False
        while self._cut_once():
            is_cut = True
        self.detections += is_cut
        return is_cut

    def _insert(self, value: float) -> None:
        if self.width:
            self._variance += self.width * (value - self.mean) ** 2 / (self.width + 1)
        self.width += 1
        self.total += value
        self._rows[0].totals.append(value)
        self._rows[0].variances.append(0.0)
        for r in range(len(self._rows)):
            row = self._rows[r]
            if len(row.totals) <= _BUCKETS_A_ROW:
                break
            if r + 1 == len(self._rows):
                self._rows.append(_Row())
            size = 1 << r
            one, two = row.totals[0], row.totals[1]
            apart = one / size - two / size
            self._rows[r + 1].totals.append(one + two)
            self._rows[r + 1].variances.append(row.variances[0] + row.variances[1] + apart * apart * size / 2.0)
            del row.totals[:2], row.variances[:2]

    def _buckets(self) -> Iterable[tuple[int, float]]:
        """Yield (size, total) from the oldest bucket to the newest."""
        for r in range(len(self._rows) - 1, -1, -1):
            for total in self._rows[r].totals:
                yield 1 << r, total

    def _cut_once(self) -> bool:
        """Drop the oldest bucket if any cut of the window tells its parts apart."""
        old_n, old_total = 0, 0.0
        for size, total in self._buckets():
            old_n += size
            old_total += total
            new_n = self.width - old_n
            if new_n < _WINDOW_MIN:
                break
            if old_n < _WINDOW_MIN:
                continue
            if abs(old_total / old_n - (self.total - old_total) / new_n) > cut_bound(old_n, new_n, self.width, self.variance, self._delta):
                self._drop_oldest()
                return True
        return False

    def _drop_oldest(self) -> None:
        r = max(k for k, row in enumerate(self._rows) if row.totals)
        row = self._rows[r]
        size, total, variance = 1 << r, row.totals.pop(0), row.variances.pop(0)
        self.width -= size
        self.total -= total
        apart = total / size - self.mean
        self._variance = max(0.0, self._variance - variance - size * self.width * apart * apart / (size + self.width))


def cut_bound(old_n: int, new_n: int, width: int, variance: float, delta: float) -> float:
    """Return ε of a cut: the difference of means that chance exceeds with probability δ/ln n (the paper's equation 3.1)."""
    m = 1.0 / (old_n - _WINDOW_MIN + 1) + 1.0 / (new_n - _WINDOW_MIN + 1)
    d = math.log(2.0 * math.log(width) / delta)
    return math.sqrt(2.0 * m * variance * d) + 2.0 / 3.0 * d * m


class CalibrationWatch:
    """Hold the newest forecasts whose outcome is known: outcome − p, and p(1−p).

    Only so many: over all there ever were, every model that is off by a little is off by any number of standard errors at last, and one
    that was off never recovers.
    """

    def __init__(self, window: int = CALIBRATION_WINDOW) -> None:
        self._newest: deque[tuple[float, float]] = deque(maxlen=window)

    def took(self, p: float, outcome: float) -> None:
        """Take one more forecast. What is not a number changes nothing."""
        if math.isfinite(p) and math.isfinite(outcome):
            self._newest.append((outcome - p, p * (1.0 - p)))

    @property
    def z(self) -> float:
        """Return by how many standard errors outcomes were above (below: negative) what was said; 0 with fewer than 20 forecasts."""
        chance = math.fsum(one for _, one in self._newest)
        return math.fsum(gap for gap, _ in self._newest) / math.sqrt(chance) if len(self._newest) >= 20 and chance > 0.0 else 0.0


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """Sum up the monitors: the worst feature and its PSI, jumps of the log-loss that stand, the calibration's z.

    `level` is ok, watch or act.
    """

    feature: str
    psi: float
    cuts: int
    calibration_z: float
    level: str


def report(features: dict[str, float], cuts: int, calibration_z: float) -> DriftReport:
    """Return what PSIs by feature, the jumps that ADWIN found and the calibration's z come to."""
    worst = max(features, key=features.__getitem__, default="")
    value = features.get(worst, 0.0)
    acts = value >= PSI_ACT or cuts > 0 or abs(calibration_z) >= 4.0
    watches = value >= PSI_WATCH or abs(calibration_z) >= 3.0
    return DriftReport(
        feature=worst, psi=value, cuts=cuts, calibration_z=calibration_z, level="act" if acts else "watch" if watches else "ok"
    )

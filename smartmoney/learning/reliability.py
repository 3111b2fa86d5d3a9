"""Calibration of directional forecasts: of those said with confidence 0.7, did seven in ten come true?

Counts are kept in ten bins of confidence, so that memory does not grow with the forecasts. Forecasts made within one horizon look at the
same move: a bin's interval therefore counts one independent forecast per horizon that it was heard in (Wilson 1927), which is the careful
reading. Invariants: `added` in any order of stretches gives the same sums; a move of exactly zero proves nothing and is counted apart.
"""

import math
from collections.abc import Sequence

import msgspec

BIN_WIDTH = 0.05
BINS = 10
"""From 0.5 to 1 in steps of 0.05: a forecast of less than 0.5 is one of the other side."""
_Z = 1.959963984540054


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one bin: forecasts, how many came true, horizons that they were heard in, and sums of confidence and of squared error."""

    n: int = 0
    hits: int = 0
    horizons: int = 0
    confidence_sum: float = 0.0
    squared_error_sum: float = 0.0

    @property
    def confidence(self) -> float:
        """Return the mean confidence; NaN when empty."""
        return self.confidence_sum / self.n if self.n else math.nan

    @property
    def share(self) -> float:
        """Return the share that came true; NaN when empty."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Return Wilson's 95 % interval of the share, counting one forecast per horizon."""
        return wilson(self.share, min(self.n, self.horizons))


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what became of forecasts. `ties` did not move, `lost` had no price at their end, `pending` had not reached it."""

    bins: tuple[ReliabilityBin, ...] = (ReliabilityBin(),) * BINS
    horizons: int = 0
    """Horizons of which at least one forecast came due: the independent ones, at most."""
    ties: int = 0
    lost: int = 0
    pending: int = 0

    @property
    def n(self) -> int:
        """Return the number of forecasts that were judged."""
        return sum(one.n for one in self.bins)

    @property
    def brier(self) -> float | None:
        """Return the mean squared error of the confidence; a coin that says 0.5 has 0.25. None without forecasts."""
        return sum(one.squared_error_sum for one in self.bins) / self.n if self.n else None

    @property
    def accuracy(self) -> float | None:
        """Return the share that came true; None without forecasts."""
        return sum(one.hits for one in self.bins) / self.n if self.n else None

    @property
    def ece(self) -> float | None:
        """Return the expected calibration error: |share − confidence| over bins, weighted by count. None without forecasts."""
        return sum(one.n * abs(one.share - one.confidence) for one in self.bins if one.n) / self.n if self.n else None

    @property
    def ece_of_chance(self) -> float | None:
        """Return about the ECE that a perfectly calibrated forecaster would show on as few horizons. None without forecasts."""
        if not self.n:
            return None
        told = (one for one in self.bins if one.n)
        return sum(one.n * _mean_error(one.confidence, min(one.n, one.horizons)) for one in told) / self.n


class ReliabilityCount:
    """Take forecasts as they come due, and count."""

    def __init__(self) -> None:
        self._bins = [ReliabilityBin()] * BINS
        self._heard: dict[tuple[int, int], int] = {}
        self._horizons = 0
        self.ties = 0
        self.lost = 0

    def add(self, confidence: float, outcome: int, source: int, said_ns: int, horizon_ns: int) -> None:
        """Count a forecast: `outcome` > 0 came true, < 0 did not, 0 a tie. In the order of the times said, for each `source`."""
        if outcome == 0:
            self.ties += 1
            return
        index = bin_of(confidence)
        hit, one = outcome > 0, self._bins[index]
        self._bins[index] = ReliabilityBin(
            n=one.n + 1,
            hits=one.hits + hit,
            horizons=one.horizons + self._is_new(source, index, said_ns, horizon_ns),
            confidence_sum=one.confidence_sum + confidence,
            squared_error_sum=one.squared_error_sum + (confidence - hit) ** 2,
        )
        self._horizons += self._is_new(source, -1, said_ns, horizon_ns)

    def told(self, pending: int = 0) -> Reliability:
        """Return the counts; `pending` forecasts have not come due."""
        return Reliability(bins=tuple(self._bins), horizons=self._horizons, ties=self.ties, lost=self.lost, pending=pending)

    def _is_new(self, source: int, index: int, said_ns: int, horizon_ns: int) -> bool:
        """Tell whether a whole horizon has passed since the last forecast that counted as independent."""
        last = self._heard.get((source, index))
        if last is not None and said_ns - last < horizon_ns:
            return False
        self._heard[source, index] = said_ns
        return True


def added(parts: Sequence[Reliability]) -> Reliability:
    """Return the counts of several stretches as one."""
    bins = tuple(
        ReliabilityBin(
            n=sum(one.n for one in same),
            hits=sum(one.hits for one in same),
            horizons=sum(one.horizons for one in same),
            confidence_sum=math.fsum(one.confidence_sum for one in same),
            squared_error_sum=math.fsum(one.squared_error_sum for one in same),
        )
        for same in ([part.bins[index] for part in parts] for index in range(BINS))
    )
    return Reliability(
        bins=bins,
        horizons=sum(part.horizons for part in parts),
        ties=sum(part.ties for part in parts),
        lost=sum(part.lost for part in parts),
        pending=sum(part.pending for part in parts),
    )


def bin_of(confidence: float) -> int:
    """Return the bin of a confidence in [0.5, 1]; the edges belong to the upper bin, 1 to the last."""
    return min(max(int((confidence - 0.5) / BIN_WIDTH + 1e-9), 0), BINS - 1)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share seen in n independent trials; (0, 1) with none."""
    if not n > 0 or not math.isfinite(share):
        return 0.0, 1.0
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _mean_error(share: float, n: int) -> float:
    """Return the mean of |seen − true| over n trials, by the normal approximation, at most what a single trial gives."""
    single = 2.0 * share * (1.0 - share)
    return min(single, math.sqrt(2.0 / math.pi * share * (1.0 - share) / n)) if n else single

"""Latency samples of the running daemon: bounded, cheap to add to, percentiles when asked."""

from collections import deque

import msgspec

SAMPLES_MAX = 4096


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Hold percentiles of the recent samples, in ms; None where there were none."""

    count: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class LatencyRecorder:
    """Keep the last samples of one stage."""

    def __init__(self) -> None:
        self._samples: deque[int] = deque(maxlen=SAMPLES_MAX)
        self._count = 0

    def add(self, duration_ns: int) -> None:
        """Add a sample in ns."""
        self._samples.append(duration_ns)
        self._count += 1

    def percentiles(self) -> Percentiles:
        """Return the percentiles of the last samples (nearest rank)."""
        ordered = sorted(self._samples)
        if not ordered:
            return Percentiles(count=0, p50_ms=None, p99_ms=None, max_ms=None)
        return Percentiles(count=self._count, p50_ms=_rank(ordered, 0.50), p99_ms=_rank(ordered, 0.99), max_ms=_rank(ordered, 1.0))


def _rank(ordered: list[int], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6, 3)

"""Remember what was forecast until its horizon has passed, and then whether the mid went that way.

Invariants: memory is bounded by `PENDING_MAX`; a forecast that cannot be judged (no price then, or a hole in the data) is counted as lost,
never guessed.
"""

import heapq
from collections.abc import Sequence

from smartmoney.core.domain.signals import Opportunity
from smartmoney.learning.reliability import Reliability, ReliabilityCount

PENDING_MAX = 50_000
LATE_NS_MAX = 2_000_000_000
"""A price that comes later than this after the horizon does not judge a forecast."""


class ForecastWatch:
    """Take forecasts when they are made and prices as time passes."""

    def __init__(self) -> None:
        self._count = ReliabilityCount()
        self._pending: list[tuple[int, int, int, int, int, float, float]] = []
        self._number = 0
        self._last: dict[int, tuple[Opportunity, ...]] = {}

    def said(self, index: int, forecasts: tuple[Opportunity, ...], mid: float | None, now_ns: int) -> None:
        """Take an instrument's forecasts, of which the best counts; the same ones again are not new."""
        if not forecasts or self._last.get(index) is forecasts:
            return
        self._last[index] = forecasts
        best = forecasts[0]
        self.offered(index, best.horizon_s, best.side.sign, best.confidence, mid, now_ns)

    def heard(self, index: int, forecasts: tuple[Opportunity, ...]) -> None:
        """Know an instrument's forecasts, of which `offered` was told already."""
        if forecasts:
            self._last[index] = forecasts

    def offered(self, index: int, horizon_s: float, sign: int, confidence: float, mid: float | None, now_ns: int) -> None:
        """Take a new forecast of an instrument."""
        if mid is None or len(self._pending) >= PENDING_MAX:
            self._count.lost += 1
            return
        self._number += 1
        due_ns = now_ns + round(horizon_s * 1e9)
        heapq.heappush(self._pending, (due_ns, self._number, now_ns, index, sign, confidence, mid))

    def look(self, mids: Sequence[float | None], now_ns: int) -> None:
        """Judge what has come due; `mids` by instrument, None where there is no book."""
        while self._pending and self._pending[0][0] <= now_ns:
            due_ns, _, said_ns, index, sign, confidence, before = heapq.heappop(self._pending)
            mid = mids[index]
            if mid is None or now_ns - due_ns > LATE_NS_MAX:
                self._count.lost += 1
                continue
            outcome = sign * ((mid > before) - (mid < before))
            self._count.add(confidence, outcome, index, said_ns, due_ns - said_ns)

    def told(self) -> Reliability:
        """Return what became of the forecasts so far."""
        return self._count.told(pending=len(self._pending))

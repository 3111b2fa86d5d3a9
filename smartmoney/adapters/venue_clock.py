"""A venue's clock, as well as it is known from probes: how far it is from ours, and whether two measurements in a row agree.

Invariants: of several probes the one with the shortest way there and back counts; measurements do not run side by side; a measurement that
fails changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable

from smartmoney.adapters.clock import Clock
from smartmoney.adapters.order_side import Answer, left_alone
from smartmoney.venues.outcomes import Outcome

PROBES = 3
DRIFT_MAX_MS = 1_000
"""Measurements that are further apart do not agree."""


class VenueClock:
    """Keep the difference between the venue's clock and ours."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms: int | None = None
        self._is_steady = True
        self._measuring = asyncio.Lock()

    @property
    def offset_ms(self) -> int | None:
        """Return the venue's clock less ours, in ms; None before it was measured."""
        return self._offset_ms

    @property
    def is_good(self) -> bool:
        """Tell whether the last two measurements agree."""
        return self._offset_ms is not None and self._is_steady

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""
        return self._clock.wall_ns() // 1_000_000 + (self._offset_ms or 0)

    async def measure(self, ask: Callable[[], Awaitable[tuple[Answer, int | None]]], quiet_s: Callable[[], float]) -> Answer:
        """Measure it; return the last answer, or the one that ended it.

        Args:
            ask: asks the venue for its time; the answer, and the time in ms if it holds one.
            quiet_s: for how long the venue wants to be left alone; it is not asked meanwhile.
        """
        async with self._measuring:
            quiet = quiet_s()
            if quiet > 0:
                return left_alone(quiet)
            best: tuple[int, int] | None = None
            answer = Answer(outcome=Outcome.UNKNOWN, message="no probe of the clock")
            for _ in range(PROBES):
                sent_ns = self._clock.wall_ns()
                answer, venue_ms = await ask()
                came_ns = self._clock.wall_ns()
                if not answer.is_done:
                    return answer
                if venue_ms is None:
                    return Answer(outcome=Outcome.UNKNOWN, message="the venue tells no time")
                if best is None or came_ns - sent_ns < best[0]:
                    best = (came_ns - sent_ns, venue_ms - (sent_ns + came_ns) // 2_000_000)
            assert best is not None
            self._is_steady = self._offset_ms is None or abs(best[1] - self._offset_ms) <= DRIFT_MAX_MS
            self._offset_ms = best[1]
            return answer

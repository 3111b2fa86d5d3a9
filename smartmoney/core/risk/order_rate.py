"""How many orders left in the last minute.

Invariants: memory is bounded by `capacity`; when it is full the count is `capacity`, which is at or above any limit it serves.
"""

from collections import deque

MINUTE_NS = 60 * 1_000_000_000


class OrderRate:
    """Count events in a sliding window of the monotonic clock."""

    def __init__(self, capacity: int, window_ns: int = MINUTE_NS) -> None:
        self._stamps: deque[int] = deque(maxlen=capacity)
        self._window_ns = window_ns

    def add(self, now_mono_ns: int) -> None:
        """Count one event now."""
        self._stamps.append(now_mono_ns)

    def count(self, now_mono_ns: int) -> int:
        """Return the events of the window that ends now; one exactly a window old is out."""
        while self._stamps and now_mono_ns - self._stamps[0] >= self._window_ns:
            self._stamps.popleft()
        return len(self._stamps)

    def below_from_ns(self, count: int) -> int:
        """Return the time from which fewer than `count` (at least 1) events count, if none is added; 0, if there were never as many."""
        at = len(self._stamps) - count
        return self._stamps[at] + self._window_ns if at >= 0 else 0

"""The sliding rate limit of signals, shared by all instruments of a run."""

from collections import deque

WINDOW_NS = 60_000_000_000


class SlidingRate:
    """Allow at most `per_minute_max` risk-raising signals in any 60 s, both ends included.

    Only the newest `per_minute_max` stamps are kept: when the oldest of them has left the window, there is room for one more.
    """

    __slots__ = ("_stamps", "per_minute_max")

    def __init__(self, per_minute_max: int) -> None:
        self.per_minute_max = per_minute_max
        self._stamps: deque[int] = deque(maxlen=max(0, per_minute_max))

    def allows(self, now_mono_ns: int) -> bool:
        """Tell whether one more signal may be given now."""
        if self.per_minute_max <= 0:
            return False
        return len(self._stamps) < self.per_minute_max or now_mono_ns - self._stamps[0] > WINDOW_NS

    def record(self, now_mono_ns: int) -> None:
        """Count a signal. One that reduces risk is counted too, though it is never held back."""
        self._stamps.append(now_mono_ns)

"""Two budgets that a venue counts per address: connection attempts in a window, and request weight per minute.

Invariant: over any window the attempts let through never exceed the budget, and the weight let through never exceeds what the bucket holds
plus what it gained meanwhile, however many tasks ask. Share one budget among everything on the same address.
"""

import asyncio
from collections import deque

from smartmoney.adapters.clock import Clock

_NS = 1_000_000_000


class ConnectionBudget:
    """Let at most `attempts` through in any `window_s`; the rest wait their turn.

    Binance allows 300 attempts in 5 minutes for an address and bans it beyond. The default takes a third: other programs of the operator
    may share the address.
    """

    def __init__(self, clock: Clock, *, attempts: int = 100, window_s: float = 300.0) -> None:
        if attempts < 1:
            raise ValueError("a connection budget must allow at least one attempt")
        self._clock = clock
        self._attempts = attempts
        self._window_ns = round(window_s * _NS)
        self._times: deque[int] = deque(maxlen=attempts)
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when an attempt is allowed, and count it."""
        async with self._turn:
            while len(self._times) == self._attempts:
                left_ns = self._times[0] + self._window_ns - self._clock.monotonic_ns()
                if left_ns <= 0:
                    self._times.popleft()
                else:
                    await self._clock.sleep(left_ns / _NS)
            self._times.append(self._clock.monotonic_ns())


class WeightBudget:
    """Be a token bucket over the venue's request weight, corrected by what the venue itself reports.

    Holds `share` of the limit, so that what else runs on the address has room.
    """

    def __init__(self, clock: Clock, *, per_minute: int, share: float = 0.8) -> None:
        self._clock = clock
        self._limit = float(per_minute)
        self._capacity = max(1.0, per_minute * share)
        self._tokens = self._capacity
        self._then_ns = clock.monotonic_ns()
        self._turn = asyncio.Lock()

    @property
    def available(self) -> float:
        """Return the weight that could be spent now."""
        self._refill()
        return self._tokens

    async def acquire(self, weight: int) -> None:
        """Return when `weight` may be spent, and spend it. A weight beyond the capacity waits for a full bucket and leaves a debt."""
        async with self._turn:
            wanted = min(float(weight), self._capacity)
            self._refill()
            while self._tokens < wanted:
                # A nanosecond more than needed: rounding must not make this loop spin.
                await self._clock.sleep((wanted - self._tokens) * 60.0 / self._capacity + 1e-9)
                self._refill()
            self._tokens -= weight

    def note_used(self, used: int) -> None:
        """Lower the bucket to what the venue's count leaves; it never raises it, since the venue counts whole minutes and we do not."""
        self._refill()
        self._tokens = min(self._tokens, self._capacity - used)

    def _refill(self) -> None:
        now_ns = self._clock.monotonic_ns()
        gained = (now_ns - self._then_ns) / _NS * self._capacity / 60.0
        self._then_ns = now_ns
        self._tokens = min(self._capacity, self._tokens + gained)

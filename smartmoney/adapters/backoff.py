"""How long to wait before trying again: exponential, capped, jittered.

Invariants: a delay is at least half its nominal value, so a flapping venue is never hammered, and at most the cap; randomness comes from
the generator given from outside, so a run can be repeated.
"""

from random import Random

import msgspec


class BackoffPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Configure waiting, in seconds. A connection that lived for `stable_s` forgives all failures before it."""

    first_s: float = 0.5
    factor: float = 2.0
    cap_s: float = 30.0
    stable_s: float = 60.0


class Backoff:
    """Count failures and say how long to wait after each."""

    def __init__(self, policy: BackoffPolicy, jitter: Random) -> None:
        self._policy = policy
        self._jitter = jitter
        self.failures = 0

    def next_delay_s(self) -> float:
        """Return the wait after one more failure: uniform in the upper half of min(cap, first × factor^failures)."""
        policy = self._policy
        exponent = min(self.failures, 64)  # beyond it the cap holds anyway, and floats overflow
        nominal = min(policy.cap_s, policy.first_s * policy.factor**exponent)
        self.failures += 1
        return nominal * (0.5 + 0.5 * self._jitter.random())

    def note_lived(self, seconds: float) -> None:
        """Forgive earlier failures when a connection lived long enough to be called stable."""
        if seconds >= self._policy.stable_s:
            self.failures = 0

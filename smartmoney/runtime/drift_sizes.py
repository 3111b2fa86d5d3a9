"""Smaller entries while the model drifts: which share of their size the monitors leave them, and when they grow again. Pure.

Invariants: entries shrink at once and grow late: only after the monitors have been calmer for a while, up to what they allowed at the
worst of it, and have judged enough to know; another model begins with what the monitors say of it.
"""

import msgspec

JUDGED_MIN = 50
"""Forecasts that must have come due before calm monitors are believed: after a restart they know nothing yet."""


class SizePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the share of its size that an entry keeps at each level of drift, and the seconds of less drift before it grows."""

    watch: float = 0.5
    act: float = 0.0
    recover_s: float = 3600.0

    def at(self, level: str) -> float:
        """Return the share at a level of `learning.drift.DriftReport`."""
        return {"ok": 1.0, "watch": self.watch, "act": self.act}[level]


class EntrySize:
    """Follow one daemon's monitors."""

    def __init__(self, plan: SizePlan) -> None:
        self._plan = plan
        self._calm_since_ns: int | None = None
        self._least = 1.0
        self._is_new = False

    def begin_anew(self) -> None:
        """Forget: what was said was said of another model."""
        self._calm_since_ns = None
        self._is_new = True

    def change(self, level: str, now: float, judged: int, mono_ns: int) -> float | None:
        """Return what entries are to be scaled by from here on, None where that is what they are scaled by `now`."""
        wanted = self._plan.at(level)
        if wanted <= now or self._is_new:
            self._calm_since_ns, self._is_new = None, False
            return wanted if wanted != now else None
        if self._calm_since_ns is None:
            self._calm_since_ns, self._least = mono_ns, 1.0
        self._least = min(self._least, wanted)
        if mono_ns - self._calm_since_ns < self._plan.recover_s * 1e9 or judged < JUDGED_MIN:
            return None
        self._calm_since_ns = None
        return self._least

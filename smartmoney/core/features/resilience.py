"""Resilience: how fast the depth near the touch comes back after it was taken."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "liquidity_patterns"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_resilience(s: Any) -> None:
    """Decay."""


@inner
def sample_resilience(s: Any, now_ns: int) -> None:
    """Take every sample that is due, after a book frame. The book must have a valid top."""


@inner
def reset_resilience(s: Any) -> None:
    """Forget what was derived from the dropped book."""


@inner
def read_resilience(s: Any, out: Any) -> None:
    """Write the group's features."""

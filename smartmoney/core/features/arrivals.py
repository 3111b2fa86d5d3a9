"""Arrivals of aggressors' orders: self-excitation per side and the times between them."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "arrivals"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_arrivals(s: Any) -> None:
    """Decay."""


@inner
def order_arrivals(s: Any) -> None:
    """Take in the aggressor's order that was closed."""


@inner
def read_arrivals(s: Any, out: Any) -> None:
    """Write the group's features."""

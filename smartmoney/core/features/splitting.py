"""Traces of one large order that is sent in pieces: clockwork, repeated sizes, runs of signs."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "splitting"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_splitting(s: Any) -> None:
    """Decay."""


@inner
def order_splitting(s: Any) -> None:
    """Take in the aggressor's order that was closed."""


@inner
def read_splitting(s: Any, out: Any) -> None:
    """Write the group's features."""

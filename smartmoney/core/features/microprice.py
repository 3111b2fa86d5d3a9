"""Microprice: the mid corrected by what the queues and the spread say of the next moves (Stoikov 2018), from a table learned on the way."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "top"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_microprice(s: Any) -> None:
    """Decay."""


@inner
def top_microprice(s: Any, bid_tick: int, bid_lots: int, ask_tick: int, ask_lots: int) -> None:
    """Take in the new top against the one before, both valid."""


@inner
def reset_microprice(s: Any) -> None:
    """Forget what was derived from the dropped book."""


@inner
def read_microprice(s: Any, out: Any, has_top: bool) -> None:
    """Write the group's features."""

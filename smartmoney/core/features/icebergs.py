"""Icebergs and refills: queues that come back after they were traded."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "icebergs"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_icebergs(s: Any) -> None:
    """Decay."""


@inner
def level_icebergs(s: Any, side: int, tick: int, old_lots: int, new_lots: int, traded: int) -> None:
    """Take in one level's change near the mid, of which `traded` lots were traded."""


@inner
def trade_icebergs(s: Any, tick: int, lots: int, sign: int) -> None:
    """Take in one public trade."""


@inner
def reset_icebergs(s: Any) -> None:
    """Forget what was derived from the dropped book."""


@inner
def read_icebergs(s: Any, out: Any, has_top: bool) -> None:
    """Write the group's features."""

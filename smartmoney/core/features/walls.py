"""Spoof-like walls: large quotes that go away untraded."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "walls"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_walls(s: Any) -> None:
    """Decay."""


@inner
def level_walls(s: Any, side: int, tick: int, old_lots: int, new_lots: int, traded: int, distance_bps: float) -> None:
    """Take in one level's change near the mid, of which `traded` lots were traded."""


@inner
def trade_walls(s: Any, tick: int, lots: int, sign: int) -> None:
    """Take in one public trade."""


@inner
def reset_walls(s: Any) -> None:
    """Forget what was derived from the dropped book."""


@inner
def read_walls(s: Any, out: Any) -> None:
    """Write the group's features."""

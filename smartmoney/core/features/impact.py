"""Impact: what flow does to the price, and what it does not."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.spec import FeatureSpec

GROUP = "impact"

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = []

FEATURES: tuple[FeatureSpec, ...] = ()
COUNT = len(FEATURES)


@inner
def step_impact(s: Any) -> None:
    """Decay."""


@inner
def bar_impact(s: Any, r: float) -> None:
    """Take in a second that ended `f_aged` ago: its return, and `f_bar_flow` and `f_bar_volume` of it."""


@inner
def order_impact(s: Any) -> None:
    """Take in the aggressor's order that was closed."""


@inner
def trade_impact(s: Any, sign: int, value: float) -> None:
    """Take in one public trade of so much notional."""


@inner
def reset_impact(s: Any) -> None:
    """Forget what was derived from the dropped book."""


@inner
def read_impact(s: Any, out: Any) -> None:
    """Write the group's features."""

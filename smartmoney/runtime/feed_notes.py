"""Say in words what was wrong with frames from the past: what a result over them has to be read with."""

from collections.abc import Mapping

from smartmoney.core.book.codes import FoldCode
from smartmoney.core.engine.engine import Engine

_COUNTED = ("depthUpdate", "trade", "snapshot")
_APPLIED_SHARE_MIN = 0.01


def feed_notes(engine: Engine, message_types: Mapping[str, int] | None = None, backwards: int = 0) -> tuple[str, ...]:
    """Return a line for each kind of trouble that the frames gave.

    Args:
        engine: the one that folded them.
        message_types: how many frames there were of each type, where that was counted.
        backwards: how many were received before the one above them.
    """
    codes = engine.market.codes
    told = {
        "frames received before the one above them, stamped with its time": backwards,
        "frames malformed, or without a field that they need, left out": codes[FoldCode.MALFORMED],
        "frames off the tick or lot size, left out": codes[FoldCode.OFF_GRID],
        "gaps in the updates, no book from there to the next snapshot": codes[FoldCode.GAP],
        "updates and trades that book and tape had already, left out": _seen_before(engine, message_types),
    }
    lines = [f"{what}: {count:,}" for what, count in told.items() if count > 0]
    depth = 0 if message_types is None else message_types.get("depthUpdate", 0)
    if depth and not codes[FoldCode.SNAPSHOT]:
        lines.append("no snapshot of the book, so there was none: put the venue's depth reply before the updates")
    elif codes[FoldCode.GAP] and codes[FoldCode.APPLIED] < _APPLIED_SHARE_MIN * depth:
        lines.append("next to none of the updates follows the one before it: is the market (--market) the one that was recorded?")
    return tuple(lines)


def _seen_before(engine: Engine, message_types: Mapping[str, int] | None) -> int:
    """Return how many depth and trade frames changed nothing; at least so many, where other streams hold trades too."""
    if message_types is None:
        return 0
    others = sum(count for kind, count in message_types.items() if kind not in _COUNTED)
    return engine.market.codes[FoldCode.IGNORED] - others

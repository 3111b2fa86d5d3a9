"""Say in words what was wrong with frames from the past: what a result over them has to be read with."""

import datetime as dt
from collections.abc import Iterator, Mapping

from smartmoney.core.book.codes import FoldCode
from smartmoney.core.engine.engine import Engine

_COUNTED = ("depthUpdate", "trade", "snapshot")
_APPLIED_SHARE_MIN = 0.01
_BOOKLESS_S_MIN = 10
"""Every recording has some updates before its first snapshot, and every run some after a gap."""
_OTHER_MARKET = "is the market (--market) the one that was recorded?"
_MEND = "put the venue's depth reply before the updates, or begin with a day of the dataset that holds a book"


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
        "updates and trades that book and tape had already, or had passed by their ids, left out": _seen_before(engine, message_types),
    }
    lines = [f"{what}: {count:,}" for what, count in told.items() if count > 0]
    lines += _bookless(engine)
    depth = 0 if message_types is None else message_types.get("depthUpdate", 0)
    if depth and not engine.market.codes[FoldCode.TRADE]:
        lines.append("no trades: flows are unknown, and what a model decides rests on missing flows")
    if (codes[FoldCode.GAP] or _joins_nothing(engine)) and codes[FoldCode.APPLIED] < _APPLIED_SHARE_MIN * depth:
        lines.append(f"next to none of the updates follows the one before it: {_OTHER_MARKET}")
    return tuple(lines)


def _bookless(engine: Engine) -> Iterator[str]:
    """Yield a line for each instrument whose updates found no book for long, or never."""
    instruments = engine.market.instruments
    for index, instrument in enumerate(instruments):
        whose = f"{instrument.symbol}: " if len(instruments) > 1 else ""
        found = engine.market.bookless(index)
        if found.updates and found.is_for_good:
            why = f"none of {found.updates:,} updates joins a snapshot" if _joins_nothing(engine) else "no snapshot of the book"
            yield f"{whose}{why}, so there was none: {_MEND}"
        elif found.lasted_ns >= _BOOKLESS_S_MIN * 10**9:
            lasted = dt.timedelta(seconds=round(found.lasted_ns / 10**9))
            yield f"{whose}no book for {lasted} in which {found.updates:,} updates came, for want of a snapshot before them: {_MEND}"


def _joins_nothing(engine: Engine) -> bool:
    """Tell whether there were snapshots, and updates that went on waiting for another: those of another market never join."""
    codes = engine.market.codes
    snapshots = codes[FoldCode.SNAPSHOT] + codes[FoldCode.SNAPSHOT_TOO_OLD]
    return bool(snapshots and codes[FoldCode.BUFFER] and not codes[FoldCode.APPLIED])


def _seen_before(engine: Engine, message_types: Mapping[str, int] | None) -> int:
    """Return how many depth and trade frames changed nothing; at least so many, where other streams hold trades too."""
    if message_types is None:
        return 0
    others = sum(count for kind, count in message_types.items() if kind not in _COUNTED)
    return engine.market.codes[FoldCode.IGNORED] - others

"""The sequence rules of the venue's local-book algorithm, per market: what may be applied to a book, and what proves a gap."""

from typing import Any

from smartmoney.core.book.codes import APPLIED, GAP, IGNORED
from smartmoney.core.book.state import SPOT
from smartmoney.core.book.typed import inner


@inner
def judge_sequence(s: Any, first_id: int, final_id: int, previous_id: int, has_previous: bool) -> int:
    """Judge one depth frame for a synced book: APPLIED (apply it), IGNORED (seen) or GAP."""
    last = s.last_update_id
    if s.market == SPOT:
        if final_id <= last:
            return IGNORED
        return APPLIED if first_id <= last + 1 else GAP
    if s.first_pending != 0:
        if final_id < last:
            return IGNORED
        # A frame that continues exactly where the snapshot ends bridges it as well as one that contains its id.
        bridges = first_id <= last or (has_previous and previous_id == last)
        return APPLIED if bridges else GAP
    if final_id <= last:
        return IGNORED
    return APPLIED if has_previous and previous_id == last else GAP


@inner
def is_too_old(s: Any, snapshot_id: int) -> Any:
    """Tell whether a snapshot ends before the first frame that the caller was told to keep."""
    if s.buffered_first_id < 0:
        return False
    if s.market == SPOT:
        return snapshot_id + 1 < s.buffered_first_id
    return snapshot_id < s.buffered_first_id and snapshot_id != s.buffered_previous_id

"""Codes that a fold returns for one frame: what happened, and therefore what the caller must do.

A fold returns `code | (instrument_index << 8)`; the index is `NO_INSTRUMENT` where the frame names none that we follow.
The module-level integers are what compiled kernels use (they cannot hold an enumeration cheaply); `FoldCode` names the same values.
"""

from enum import IntEnum

APPLIED = 0
TRADE = 1
IGNORED = 2
UNKNOWN = 3
MALFORMED = 4
GAP = 5
BUFFER = 6
SNAPSHOT = 7
SNAPSHOT_TOO_OLD = 8
OFF_GRID = 9

NO_INSTRUMENT = 255
CODE_MASK = 255
INDEX_SHIFT = 8


class FoldCode(IntEnum):
    """Name what a fold did with a frame."""

    APPLIED = APPLIED
    """Depth was applied to a synced book."""
    TRADE = TRADE
    """A public trade was counted."""
    IGNORED = IGNORED
    """Known and without effect: another stream, an acknowledgement, depth or a trade seen before, a symbol that we do not follow."""
    UNKNOWN = UNKNOWN
    """The fast scanner does not recognise the frame (take the slow path); from the slow path: valid JSON of no known form."""
    MALFORMED = MALFORMED
    """Not a frame: nothing but counters changed."""
    GAP = GAP
    """The sequence is broken: the book was dropped and needs a snapshot."""
    BUFFER = BUFFER
    """Depth for a book that awaits its snapshot: keep the raw frame and fold it again after the snapshot."""
    SNAPSHOT = SNAPSHOT
    """A snapshot was applied; the book is synced."""
    SNAPSHOT_TOO_OLD = SNAPSHOT_TOO_OLD
    """The snapshot ends before the first buffered frame begins: fetch another."""
    OFF_GRID = OFF_GRID
    """A price or a quantity is not a whole number of ticks or lots: nothing but counters changed."""


def code_of(folded: int) -> FoldCode:
    """Return the code in a fold's return value."""
    return FoldCode(folded & CODE_MASK)


def instrument_of(folded: int) -> int:
    """Return the instrument index in a fold's return value, -1 where it names none."""
    index = folded >> INDEX_SHIFT
    return -1 if index == NO_INSTRUMENT else index

"""A stretch: the frames between two moments at which Python has to look, folded in one compiled call.

Invariants: what comes of a stretch is, bit for bit, what comes of its frames and ticks one by one; where that cannot be shown beforehand
the stretch is one frame long. While something is held or wanted a stretch ends at the first frame that changes a level where an order waits,
touches its price, or marks what is held outside the bounds within which the kill switch has nothing to say.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.book.stretch import CONTROL_FIELDS, FEED_FIELDS, NEVER, NOTHING, WATCH_FIELDS

Fold = Callable[[bytes, NDArray[np.int64], Any, Any, Any, Any], None]
"""`fold(buffer, rows, control, feeds, watches, states)`, as `venues.binance.codec.fold_stretch`."""


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """Hold raw frames: row `k` of each column is frame `k`.

    `rows[0]` and `rows[1]` are where it begins and ends in `buffer`, `rows[2]` is our wall clock (ns), which never falls; the monotonic
    clock is that less `origin_ns`. Depth snapshots may stand between them; a stretch ends before.
    """

    buffer: bytes
    rows: NDArray[np.int64]
    origin_ns: int

    def frame(self, at: int) -> bytes:
        """Return the bytes of one frame."""
        return self.buffer[int(self.rows[0, at]) : int(self.rows[1, at])]


class WaitedPrice(msgspec.Struct, frozen=True):
    """Be a price at which an order waits.

    Trades, and the touch of `touch_side`, at or beyond it in `direction` (+1 up) matter; so do other `lots` shown there on `side`, unless -1.
    """

    instrument: int
    direction: int
    ticks: int
    touch_side: int
    side: int = 0
    lots: int = -1


class Mark(msgspec.Struct, frozen=True):
    """Be the side of the book that prices what is held, and the ticks within which its touch may move without a look."""

    instrument: int
    side: int
    low_ticks: int
    high_ticks: int


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Say what the venue of our orders waits for. `each`: every entry matters to it. `due_mono_ns`: the next request arrives."""

    each: bool = False
    prices: tuple[WaitedPrice, ...] = ()
    due_mono_ns: int = NEVER

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing works or travels."""
        return not self.each and not self.prices and self.due_mono_ns == NEVER


class Until(msgspec.Struct, frozen=True, kw_only=True):
    """Say where a stretch ends at the latest. Times are monotonic ns.

    `each`: after one frame. `watched`: instruments in which something is held or wanted, `prices`: at which orders wait there, `marks`: of
    what is held. The first
    frame that moves a market at or after `act_mono_ns` needs a look; ticks before `tick_mono_ns` have nothing to do unless the feeds are
    amiss.
    """

    each: bool = False
    watched: tuple[int, ...] = ()
    prices: tuple[WaitedPrice, ...] = ()
    marks: tuple[Mark, ...] = ()
    act_mono_ns: int = NEVER
    tick_mono_ns: int = 0


class Timer(msgspec.Struct):
    """Plan ticks: the next one, on our wall clock in ns; the step; the pause that is a hole in the recording, over which they jump."""

    next_ns: int
    step_ns: int
    hole_ns: int


class Touch(msgspec.Struct, frozen=True):
    """Be the touch of one instrument."""

    instrument: int
    bid_ticks: int
    ask_ticks: int


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a stretch passed over: the frames before `at`, and so many ticks among them.

    `folded` is what the fold of frame `at` returned, None where the stretch ended before one: that frame is folded and nothing else is done
    with it. `moved_wall_ns` is when a frame last moved a market, `ticked_wall_ns` the last tick; `ticked` are the latest whole touches at the
    ticks, `touches` those of the watched instruments after the last frame, `trade_ids` the last trades of all instruments.
    """

    at: int
    frames: int
    ticks: int
    folded: int | None
    last_wall_ns: int
    moved_wall_ns: int | None
    ticked_wall_ns: int | None
    ticked: tuple[Touch, ...]
    touches: tuple[Touch, ...]
    trade_ids: tuple[int, ...]


class FeedStamps(msgspec.Struct, frozen=True):
    """Hold when a feed was last heard, in wall ns, -1 for never; `is_probed`: depth that goes quiet asks for a tick."""

    frame_ns: int
    depth_ns: int
    is_probed: bool


class Limits(msgspec.Struct, frozen=True):
    """Bound a stretch: what the feeds' watch needs (ns), and beyond what a watched book is not trusted."""

    quiet_ns: int
    silence_ns: int
    lag_max_ns: float
    outside_max: float


class StretchFold:
    """Own the records through which a compiled fold of many frames is told where to stop."""

    def __init__(self, fold: Fold, states: Any, limits: Limits) -> None:
        self._fold = fold
        self._states = states
        self.control = np.zeros(1, CONTROL_FIELDS)
        self.feeds = np.zeros(len(states), FEED_FIELDS)
        self._watches = np.zeros(0, WATCH_FIELDS)
        self._prices: tuple[WaitedPrice, ...] = ()
        control = self.control
        control["quiet_ns"], control["silence_ns"] = limits.quiet_ns, limits.silence_ns
        control["lag_max"], control["outside_max"] = limits.lag_max_ns, limits.outside_max

    def note_feeds(self, stamps: Sequence[FeedStamps]) -> None:
        """Say when each feed was last heard."""
        feeds = self.feeds
        feeds["frame_ns"] = [one.frame_ns for one in stamps]
        feeds["depth_ns"] = [one.depth_ns for one in stamps]
        feeds["is_probed"] = [one.is_probed for one in stamps]
        feeds["tick_bid"] = NOTHING
        feeds["trade_id"] = self._states["last_trade_id"]

    def watch(self, until: Until) -> None:
        """Say which prices and marks end a stretch."""
        self.control["watched"] = bool(until.watched)
        if not until.watched:
            return
        feeds, states = self.feeds, self._states
        feeds["is_watched"] = 0
        feeds["is_watched"][list(until.watched)] = 1
        feeds["bid_tick"] = states["best_bid_tick"]
        feeds["ask_tick"] = states["best_ask_tick"]
        feeds["mark_side"] = NOTHING
        for mark in until.marks:
            feed = feeds[mark.instrument]
            feed["mark_side"], feed["mark_min"], feed["mark_max"] = mark.side, mark.low_ticks, mark.high_ticks
        if until.prices != self._prices:
            self._prices = until.prices
            rows = [(one.instrument, one.direction, one.touch_side, one.ticks, one.side, one.lots) for one in until.prices]
            self._watches = np.array(rows, WATCH_FIELDS)

    def run(self, frames: Frames, at: int, end: int, timer: Timer, *, each: bool, act_ns: int, tick_due_ns: int) -> Passed:
        """Fold frames from `at` on, before `end`; move the timer over the ticks that were passed. Times are of the wall clock."""
        control = self.control
        control["at"], control["end"], control["each"] = at, end, each
        control["act_ns"], control["tick_due_ns"] = act_ns, tick_due_ns
        control["tick_ns"], control["tick_step_ns"], control["hole_ns"] = timer.next_ns, timer.step_ns, timer.hole_ns
        self._fold(frames.buffer, frames.rows, control, self.feeds, self._watches, self._states)
        now: dict[str, Any] = dict(zip(control.dtype.names or (), control[0].tolist(), strict=True))
        timer.next_ns = now["tick_ns"]
        is_seen, ticks = now["folded"] != NOTHING, now["ticks"]
        rows = self.feeds[["is_watched", "bid_tick", "ask_tick", "tick_bid", "tick_ask"]].tolist() if ticks or now["watched"] else []
        return Passed(
            at=now["at"] - is_seen,
            frames=now["applied"] + now["trades"] + now["ignored"],
            ticks=ticks,
            folded=now["folded"] if is_seen else None,
            last_wall_ns=now["last_ns"],
            moved_wall_ns=None if now["moved_ns"] == NOTHING else now["moved_ns"],
            ticked_wall_ns=timer.next_ns - timer.step_ns if ticks else None,
            ticked=tuple(Touch(index, row[3], row[4]) for index, row in enumerate(rows) if row[3] != NOTHING),
            touches=tuple(Touch(index, row[1], row[2]) for index, row in enumerate(rows) if row[0]) if now["watched"] else (),
            trade_ids=tuple(self.feeds["trade_id"].tolist()) if now["watched"] else (),
        )

"""A stretch: the frames between two moments at which Python has to look, folded in one compiled call.

Invariants: what comes of a stretch is, bit for bit, what comes of its frames and ticks one by one; where that cannot be shown beforehand
the stretch is one frame long. While somebody holds or wants something, ticks are never passed over and a stretch ends at the first frame
that moves a touch, changes a level or prints a price that matters to them.
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
    """Be a price at which an order waits. Trades at or beyond it in `direction` (+1 up) matter; so does `lots` changing, unless -1."""

    instrument: int
    direction: int
    ticks: int
    side: int
    lots: int


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

    `each`: after one frame. `watched`: instruments in which something is held or wanted, `prices`: at which orders wait there. The first
    frame that moves a market at or after `act_mono_ns` needs a look; ticks before `tick_mono_ns` have nothing to do unless the feeds are
    amiss.
    """

    each: bool = False
    watched: tuple[int, ...] = ()
    prices: tuple[WaitedPrice, ...] = ()
    act_mono_ns: int = NEVER
    tick_mono_ns: int = 0


class Timer(msgspec.Struct):
    """Plan ticks: the next one, on our wall clock in ns; the step; the pause that is a hole in the recording, over which they jump."""

    next_ns: int
    step_ns: int
    hole_ns: int


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a stretch passed over: the frames before `at`, and so many ticks among them.

    `folded` is what the fold of frame `at` returned, None where the stretch ended before one: that frame is folded and nothing else is done
    with it. `touches` are the latest whole touches at the ticks passed over, by instrument. `trade_ids` are the last trades passed over.
    """

    at: int
    frames: int
    ticks: int
    folded: int | None
    last_wall_ns: int
    moved_mono_ns: int | None
    touches: tuple[tuple[int, int, int], ...]
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

    def watch(self, instruments: Sequence[int], prices: tuple[WaitedPrice, ...]) -> None:
        """Say whose touch, and which prices, end a stretch."""
        self.control["watched"] = bool(instruments)
        if not instruments:
            return
        self.feeds["is_watched"] = 0
        self.feeds["is_watched"][list(instruments)] = 1
        self.feeds["bid_tick"] = self._states["best_bid_tick"]
        self.feeds["ask_tick"] = self._states["best_ask_tick"]
        if prices != self._prices:
            self._prices = prices
            rows = [(one.instrument, one.direction, one.ticks, one.side, one.lots) for one in prices]
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
        is_seen = now["folded"] != NOTHING
        touches = [
            (index, bid, ask) for index, (bid, ask) in enumerate(self.feeds[["tick_bid", "tick_ask"]].tolist()) if bid != NOTHING
        ] if now["ticks"] else []
        return Passed(
            at=now["at"] - is_seen,
            frames=now["applied"] + now["trades"] + now["ignored"],
            ticks=now["ticks"],
            folded=now["folded"] if is_seen else None,
            last_wall_ns=now["last_ns"],
            moved_mono_ns=None if now["moved_ns"] == NOTHING else now["moved_ns"] - frames.origin_ns,
            touches=tuple(touches),
            trade_ids=tuple(self.feeds["trade_id"].tolist()) if now["watched"] else (),
        )

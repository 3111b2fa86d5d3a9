"""A stretch: the frames between two moments at which Python has to look, folded in one compiled call.

Invariants: what comes of a stretch is, bit for bit, what comes of its frames and ticks one by one; where that cannot be shown beforehand
the stretch is one frame long. While something is held or wanted a stretch ends at the first frame that fills or triggers an order, or marks
what is held outside the bounds within which the kill switch has nothing to say; orders that rest move up in their queues on the way.
"""

import itertools
from collections.abc import Callable, Sequence
from decimal import Decimal
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.book.stretch import CONTROL_FIELDS, FEED_FIELDS, NEVER, NOTHING, WATCH_FIELDS
from smartmoney.core.domain.signals import Refusal, Regime
from smartmoney.core.execution.view import Chase

if TYPE_CHECKING:
    from smartmoney.core.engine.quiet import QuietDesk

Fold = Callable[[bytes, NDArray[np.int64], Any, Any, Any, Any, Any, Any], None]
"""`fold(buffer, rows, control, feeds, watches, states, desk, model)`, as `venues.binance.codec.fold_stretch`."""


class Frames(msgspec.Struct, frozen=True, kw_only=True):
    """Hold raw frames: row `k` of each column is frame `k`.

    `rows[0]` and `rows[1]` are where it begins and ends in `buffer`, `rows[2]` is our wall clock (ns), which never falls; the monotonic
    clock is that less `origin_ns`. Depth snapshots (`rows[3]`) may stand between them; a stretch ends before. `rows[4]` is 1 where a frame
    is in the venue's packed form.
    """

    buffer: bytes
    rows: NDArray[np.int64]
    origin_ns: int

    def frame(self, at: int) -> bytes:
        """Return the bytes of one frame."""
        return self.buffer[int(self.rows[0, at]) : int(self.rows[1, at])]


class WaitedPrice(msgspec.Struct, frozen=True):
    """Be a price at which an order waits.

    Trades, and the touch of `touch_side`, at or beyond it in `direction` (+1 up) matter. Unless `shown` is -1, it rests in the queue of
    `side`, in a place as of `core.book.queue`, and trades at the price matter once they use up what is ahead.
    """

    instrument: int
    direction: int
    ticks: int
    touch_side: int
    side: int = 0
    shown: int = -1
    ahead: int = 0
    traded: int = 0
    is_even: int = 0


class Place(NamedTuple):
    """Be where an order stands in its queue: what its level showed last, what is ahead, what traded and is not taken off yet. In lots."""

    shown: int
    ahead: int
    traded: int


class Mark(msgspec.Struct, frozen=True):
    """Be the side of the book that prices what is held, and the ticks within which its touch may move without a look."""

    instrument: int
    side: int
    low_ticks: int
    high_ticks: int


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """Say what the venue of our orders waits for.

    `each`: every entry matters to it. `due_mono_ns`: the next request arrives; `pay_wall_ns`: funding is paid, on our wall clock.
    """

    each: bool = False
    prices: tuple[WaitedPrice, ...] = ()
    due_mono_ns: int = NEVER
    pay_wall_ns: int = NEVER


EACH_TICK = -NEVER
"""Each tick has something to do, before the monotonic clock began, too: a warm start folds what was then."""


class Until(msgspec.Struct, frozen=True, kw_only=True):
    """Say where a stretch ends at the latest. Times are monotonic ns.

    `each`: after one frame. `watched`: instruments in which something is held or wanted; `prices`: at which orders wait there; `marks`:
    of what is held; `chases`: entries that follow the touch. The first frame that moves a market at or after `act_mono_ns` needs a look;
    ticks before `tick_mono_ns` have nothing to do unless the feeds are amiss, or a round of decisions is due (`round_mono_ns`; None: that
    is a part of `tick_mono_ns`).
    """

    each: bool = False
    watched: tuple[int, ...] = ()
    prices: tuple[WaitedPrice, ...] = ()
    marks: tuple[Mark, ...] = ()
    chases: tuple[Chase, ...] = ()
    act_mono_ns: int = NEVER
    tick_mono_ns: int = EACH_TICK
    round_mono_ns: int | None = None


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


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a model offered: how far ahead in s, +1 to buy and -1 to sell, how confident."""

    horizon_s: float
    sign: int
    confidence: float


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """Be a quiet decision: a refusal at a tick that was passed over. Those of one tick follow each other in the order of instruments.

    `entries` are the stretch's up to that tick, it included; `body` is the command that journals the refusal, encoded; `is_asked`: the
    strategy was, of `offer`, if there was one, and gave a signal of so much confidence (`signalled`) that led to nothing; `label` and
    `probability` are the regime's (None: unknown as yet). The touch is that of the refusal's instrument, and the one before it the latest
    whole one at the ticks since the round before, of which the last was at `before_ns` (None: there was none).
    """

    entries: int
    wall_ns: int
    refusal: Refusal
    body: bytes
    is_asked: bool
    offer: Offer | None
    signalled: float | None
    label: Regime | None
    probability: float
    bid_ticks: int
    ask_ticks: int
    before_ns: int | None
    bid_before: int
    ask_before: int


class Glance(msgspec.Struct, frozen=True):
    """Be the touch of an instrument at a tick that was passed over, and the latest whole one before it, as of a `Decided`."""

    bid_ticks: int
    ask_ticks: int
    bid_before: int
    ask_before: int


class Valued(msgspec.Struct, kw_only=True):
    """Be a tick that was passed over, at which equity is to be journaled, by what was seen of each instrument; else as of a `Decided`.

    `equity` is written by the engine.
    """

    entries: int
    wall_ns: int
    before_ns: int | None
    glances: tuple[Glance, ...]
    equity: Decimal | None = None


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a stretch passed over: the frames before `at`, and so many ticks among them.

    `folded` is what the fold of frame `at` returned, None where the stretch ended before one: that frame is folded and nothing else is done
    with it. `moved_wall_ns` is when a frame last moved a market, `ticked_wall_ns` the last tick; `ticked` are the latest whole touches at
    the ticks since the last round of decisions, `touches` those of the watched instruments after the last frame, `trade_ids` the last
    trades of all instruments, `places` those of the orders that are waited for, in their order. `heard` is when each feed's latest frame
    and depth came, NOTHING for never; `decided` is what was decided at the ticks.
    """

    at: int
    applied: int
    trades: int
    ignored: int
    ticks: int
    folded: int | None
    last_wall_ns: int
    moved_wall_ns: int | None
    ticked_wall_ns: int | None
    ticked: tuple[Touch, ...]
    touches: tuple[Touch, ...]
    trade_ids: tuple[int, ...]
    places: tuple[Place, ...]
    heard: tuple[tuple[int, int], ...]
    decided: tuple[Decided | Valued, ...] = ()

    @property
    def frames(self) -> int:
        """Return how many frames were passed over."""
        return self.applied + self.trades + self.ignored


class FeedStamps(msgspec.Struct, frozen=True):
    """Hold when a feed was last heard, in wall ns, -1 for never; `is_probed`: depth that goes quiet asks for a tick."""

    frame_ns: int
    depth_ns: int
    is_probed: bool


class Limits(msgspec.Struct, frozen=True):
    """Bound a stretch: what the feeds' watch needs (ns), and beyond what a watched book is not trusted."""

    quiet_ns: int
    silence_ns: int
    fresh_ns: int
    lag_max_ns: float
    outside_max: float


class StretchFold:
    """Own the records through which a compiled fold of many frames is told where to stop.

    Python writes and reads them as packed integers, in the order of `core.book.stretch`, which is ten times cheaper than by field.
    """

    def __init__(self, fold: Fold, states: Any, limits: Limits) -> None:
        self._fold = fold
        self._states = states
        self._trade_ids, self._bids, self._asks = (states[name] for name in ("last_trade_id", "best_bid_tick", "best_ask_tick"))
        self._control = np.zeros(1, CONTROL_FIELDS)
        self._feeds = np.zeros(len(states), FEED_FIELDS)
        self._room = np.zeros(0, WATCH_FIELDS)
        self._watches = self._room[:0]
        self._waiting: Any = self._room.view(np.uint8)
        self._told: Any = self._control.view(np.uint8)
        self._rows: Any = self._feeds.view(np.uint8)
        self._limits = (limits.quiet_ns, limits.silence_ns, limits.fresh_ns)
        self._control["lag_max"], self._control["outside_max"] = limits.lag_max_ns, limits.outside_max

    def run(
        self, frames: Frames, at: int, end: int, timer: Timer, until: Until, stamps: Sequence[FeedStamps], quiet: "QuietDesk"
    ) -> Passed:
        """Fold frames from `at` on, before `end`; move the timer over the ticks that were passed.

        `stamps` say when each feed was last heard; `quiet` has been told of the stretch.
        """
        origin_ns = frames.origin_ns
        is_watched = bool(until.watched)
        _TELL.pack_into(
            self._told,
            0,
            at,
            end,
            until.each,
            is_watched,
            until.act_mono_ns + origin_ns,
            timer.next_ns,
            timer.step_ns,
            until.tick_mono_ns + origin_ns,
            timer.hole_ns,
            *self._limits,
        )
        if is_watched:
            self._tell_watched(until, stamps, origin_ns)
            self._tell_waiting(until.prices)
        else:
            for index, one in enumerate(stamps):
                _FEED.pack_into(self._rows, index * _FEED.size, one.frame_ns, one.depth_ns, one.is_probed, *_UNWATCHED)
        self._fold(frames.buffer, frames.rows, self._control, self._feeds, self._watches, self._states, quiet.records, quiet.model)
        return self._heard(timer, quiet.hear(origin_ns), is_watched=is_watched)

    def _tell_waiting(self, prices: Sequence[WaitedPrice]) -> None:
        if len(prices) > len(self._room):
            self._room = np.zeros(len(prices), WATCH_FIELDS)
            self._waiting = self._room.view(np.uint8)
        if len(prices) != len(self._watches):
            self._watches = self._room[: len(prices)]
        for at, one in enumerate(prices):
            where = (one.instrument, one.direction, one.touch_side, one.ticks, one.side)
            _WATCH.pack_into(self._waiting, at * _WATCH.size, *where, one.shown, one.ahead, one.traded, one.is_even)

    def _tell_watched(self, until: Until, stamps: Sequence[FeedStamps], origin_ns: int) -> None:
        marks = {mark.instrument: (mark.side, mark.low_ticks, mark.high_ticks) for mark in until.marks}
        chases = {one.instrument: (one.side, one.ticks, one.from_mono_ns + origin_ns) for one in until.chases}
        trade_ids, bids, asks = self._trade_ids.tolist(), self._bids.tolist(), self._asks.tolist()
        for index, one in enumerate(stamps):
            heard = (one.frame_ns, one.depth_ns, one.is_probed, index in until.watched, bids[index], asks[index])
            mark = marks.get(index, (NOTHING, 0, 0))
            chase = chases.get(index, _NO_CHASE)
            _FEED.pack_into(self._rows, index * _FEED.size, *heard, *mark, *chase, trade_ids[index], NOTHING, NOTHING)

    def _heard(self, timer: Timer, decided: tuple[Decided | Valued, ...], *, is_watched: bool) -> Passed:
        at, timer.next_ns, folded, ticks, applied, trades, ignored, last_ns, moved_ns = _HEAR.unpack_from(self._told)
        rows = list(_FEED.iter_unpack(self._rows))
        return Passed(
            at=at - (folded != NOTHING),
            applied=applied,
            trades=trades,
            ignored=ignored,
            ticks=ticks,
            folded=None if folded == NOTHING else folded,
            last_wall_ns=last_ns,
            moved_wall_ns=None if moved_ns == NOTHING else moved_ns,
            ticked_wall_ns=timer.next_ns - timer.step_ns if ticks else None,
            ticked=tuple([Touch(index, row[-2], row[-1]) for index, row in enumerate(rows) if row[-1] != NOTHING]) if ticks else (),
            touches=tuple([Touch(index, row[_BID], row[_ASK]) for index, row in enumerate(rows) if row[_WATCHED]]) if is_watched else (),
            trade_ids=tuple([row[_TRADE] for row in rows]) if is_watched else (),
            places=self._places() if is_watched else (),
            heard=tuple([row[:2] for row in rows]),
            decided=decided,
        )

    def _places(self) -> tuple[Place, ...]:
        return tuple([Place(*_PLACE.unpack_from(self._waiting, at * _WATCH.size)) for at in range(len(self._watches))])


def _packed(fields: Sequence[str], chosen: Sequence[str]) -> Struct:
    """Return the packing of some fields of eight bytes each, in their order; those between them are passed over."""
    wanted = [index for index, name in enumerate(fields) if name in chosen]
    gaps = [after - before - 1 for before, after in itertools.pairwise([-1, *wanted])]
    return Struct("<" + "".join("8x" * gap + "q" for gap in gaps))


_CONTROL_NAMES = [name for name, _ in CONTROL_FIELDS]
_FEED_NAMES = [name for name, _ in FEED_FIELDS]
_TELL = _packed(_CONTROL_NAMES, _CONTROL_NAMES[: _CONTROL_NAMES.index("folded")])
_HEAR = _packed(_CONTROL_NAMES, ("at", "tick_ns", "folded", "ticks", "applied", "trades", "ignored", "last_ns", "moved_ns"))
_FEED = _packed(_FEED_NAMES, _FEED_NAMES)
_WATCH_NAMES = [name for name, _ in WATCH_FIELDS]
_WATCH = _packed(_WATCH_NAMES, _WATCH_NAMES)
_PLACE = _packed(_WATCH_NAMES, Place._fields)
_NO_CHASE = (NOTHING, 0, NEVER)
_UNWATCHED = (*[0] * 6, *_NO_CHASE, 0, NOTHING, NOTHING)
_WATCHED, _BID, _ASK, _TRADE = (_FEED_NAMES.index(name) for name in ("is_watched", "bid_tick", "ask_tick", "trade_id"))

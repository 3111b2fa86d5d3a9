"""The raw material of the slow reference: everything that ever happened, in plain lists, and sums over it from the definitions.

Nothing here is incremental. A reference of a group is a function `(history, t) -> {name: value}` in `references.py` and its like; it may use
everything of a `History` and must not import a kernel.
"""

import math
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import NamedTuple

MS = 1_000_000
SECOND = 1_000_000_000
LEVEL, FRAME, TRADE, RESET = range(4)


class Top(NamedTuple):
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int

    @property
    def mid(self):
        return (self.bid + self.ask) / 2


class Stretch(NamedTuple):
    """Give a time between two events, and what held during it."""

    start: int
    end: int
    top: Top | None
    blind: bool
    epoch: int
    deep: float  # mean lots of the best five levels of both sides, absent ones 0


class Change(NamedTuple):
    """Give one level's change while the book was synced and had a valid top before the frame; within 10 bps with its traded part."""

    t: int
    epoch: int
    side: int
    tick: int
    old: int
    new: int
    bps: float
    traded: int
    mid: float


class Frame(NamedTuple):
    """Give one book frame: tops (None without one) and best 20 levels of both sides after it, best first."""

    t: int
    epoch: int
    before: Top | None
    after: Top | None
    bids: tuple
    asks: tuple
    levels_before: tuple  # (bids, asks) of the frame before it in this epoch, or None


class Trade(NamedTuple):
    t: int
    sign: int
    tick: int
    lots: int
    value: float
    mid: float | None  # before it, in ticks
    epoch: int


@dataclass
class Order:
    """Give one aggressor's order."""

    sign: int
    fills: list = field(default_factory=list)

    @property
    def start(self):
        return self.fills[0].t

    @property
    def t(self):
        return self.fills[-1].t

    @property
    def value(self):
        return sum(fill.value for fill in self.fills)

    @property
    def lots(self):
        return sum(fill.lots for fill in self.fills)

    @property
    def ticks(self):
        return [fill.tick for fill in self.fills]


class Bar(NamedTuple):
    """Give one whole second that ended at `t`: its return in bps, None when the mid was unknown at an end, and what was traded."""

    t: int
    r: float | None
    flow: float
    volume: float


class Sample(NamedTuple):
    """Give what the once-a-second sample of the book saw."""

    t: int
    epoch: int
    top: Top
    near: tuple  # lots within 5 bps, bid and ask
    spread: float
    ratio: float | None  # lots cancelled per lot added, None before ten seconds of the book are known
    impact: float | None  # Kyle's lambda, None before it is warm


class History:
    """Remember everything."""

    def __init__(self, parameters, *, lot=0.001, tick=0.05, is_inverse=False, observers=(), slope=None):
        self.slope = lambda t: slope(self, t, 120) if slope else None
        self.observers = [observer() for observer in observers]
        self.p = parameters
        self.lot = lot
        self.tick = tick
        self.is_inverse = is_inverse
        self.book = ({}, {})
        self.synced = False
        self.now = None
        self.blind = False
        self.top = None
        self.deep = 0.0
        self.epoch = 0
        self.stretches, self.resets, self.changes, self.frames, self.trades, self.samples = [], [], [], [], [], []
        self._pending, self._last_levels = [], None
        self._bars, self._mids = {}, {}

    def notional(self, lots, tick):
        """Give the quote value of lots at a price in ticks; of an inverse contract, the contracts."""
        return lots * self.lot * (1.0 if self.is_inverse else tick * self.tick)

    def feed_all(self, rows):
        """Take in rows of a stream."""
        for row in rows:
            self.feed(*row)

    def feed(self, kind, ts, side, tick, lots):
        """Take in one row of a stream."""
        if kind == LEVEL:
            old = self.book[side].get(tick, 0)
            if self.synced and old != lots:
                self._level(self._clock(ts), side, tick, old, lots)
            self.book[side][tick] = lots
            if lots == 0:
                del self.book[side][tick]
        elif kind == FRAME:
            self.synced = True
            self._frame(self._clock(ts))
        elif kind == TRADE:
            now = self._clock(ts)
            self.trades.append(Trade(now, side, tick, lots, self.notional(lots, tick), self.top.mid if self.top else None, self.epoch))
            self.tell("trade", self, self.trades[-1])
            self._pending = [*self._pending, [now, 1 if side > 0 else 0, tick, lots]][-256:]
        else:
            self.synced, self.top, self.blind = False, None, True
            self.book[0].clear()
            self.book[1].clear()
            self._pending, self._last_levels = [], None
            self.epoch += 1
            self.resets.append(self.now)
            self.tell("reset")

    def tell(self, what, *arguments):
        """Tell the observers what happened; one that does not care has no such method."""
        for observer in self.observers:
            if method := getattr(observer, what, None):
                method(*arguments)

    def _clock(self, ts):
        if self.now is None:
            self.now = ts
        elif ts > self.now:
            self.stretches.append(Stretch(self.now, ts, self.top, self.blind, self.epoch, self.deep))
            self.now = ts
        self.blind = False
        return self.now

    def _level(self, now, side, tick, old, new):
        if self.top is None:
            return
        mid = self.top.mid
        bps = abs(tick - mid) * (1e4 / mid)
        traded = 0
        if new < old and bps <= 10:
            for trade in self._pending:
                if now - trade[0] <= 300 * MS and trade[1] == side and trade[2] == tick:
                    part = min(trade[3], old - new - traded)
                    trade[3] -= part
                    traded += part
        self.changes.append(Change(now, self.epoch, side, tick, old, new, bps, traded, mid))
        if bps <= 10:
            self.tell("level", self, now, side, tick, old, new, bps, traded)

    def _frame(self, now):
        bids = tuple(sorted(self.book[0].items(), reverse=True)[:20])
        asks = tuple(sorted(self.book[1].items())[:20])
        top = Top(*bids[0], *asks[0]) if bids and asks and bids[0][0] < asks[0][0] else None
        self.frames.append(Frame(now, self.epoch, self.top, top, bids, asks, self._last_levels))
        before = self.top
        self._last_levels = (bids, asks)
        self.top = top
        self.deep = sum(lots for side in (bids, asks) for _, lots in side[:5]) / 10
        if top:
            self.tell("frame", self, now, before)
        else:
            self.tell("no_top")
        if top and (not self.samples or now >= self.samples[-1].t + SECOND):
            ratio = self.cancel_add(now) if self.cover(10, now, "book") >= 0.5 - 1e-9 else None
            impact = self.slope(now) if len(self.trades) >= 50 and self.is_warm(120, now, "kept") else None
            spread = (top.ask - top.bid) / top.mid * 1e4
            self.samples.append(Sample(now, self.epoch, top, (self.near(0), self.near(1)), spread, ratio, impact))
            self.tell("sampled", self, now, sum(self.samples[-1].near))

    # ------------------------------------------------------------------------------------------------- what was known, and when

    def stretches_until(self, t):
        """Give every stretch, the one from the latest event to `t` included."""
        return [*self.stretches, Stretch(self.now, t, self.top, self.blind, self.epoch, self.deep)]

    def cover(self, half, t, kind):
        """Give the weight of the known time: `kind` is book (since the last drop), kept (book, drops or not) or trades."""
        total = 0.0
        for part in self.stretches_until(t):
            known = {
                "book": part.top is not None and part.epoch == self.epoch,
                "kept": part.top is not None,
                "trades": not part.blind,
            }[kind]
            if known:
                total += 0.5 ** ((t - part.end) / SECOND / half) - 0.5 ** ((t - part.start) / SECOND / half)
        return total

    def is_warm(self, half, t, kind):
        """Tell whether a sum of this half-life is warm: max(10 s, H/2) of known time, and 50 frames, trades or orders."""
        seen = {
            "book": sum(1 for f in self.good_frames() if f.epoch == self.epoch),
            "kept": len(self.good_frames()),
            "trades": len(self.trades),
            "orders": len(self.orders()) if kind == "orders" else 0,
        }[kind]
        cover = self.cover(half, t, "trades" if kind == "orders" else kind)
        return seen >= 50 and cover >= 1 - 0.5 ** (max(10, half / 2) / half) - 1e-9

    def good_frames(self):
        """Give the frames that had a valid top before and after."""
        return [f for f in self.frames if f.before and f.after]

    def mean_held(self, half, t, value):
        """Give the time-weighted mean of `value(stretch)` over the time with a valid top, drops or not; 0 without any."""
        total = 0.0
        for part in self.stretches_until(t):
            if part.top:
                weight = 0.5 ** ((t - part.end) / SECOND / half) - 0.5 ** ((t - part.start) / SECOND / half)
                total += weight * value(part)
        cover = self.cover(half, t, "kept")
        return total / cover if cover > 0 else 0.0

    def mean_depth(self, t):
        """Give the mean lots at a best price, half-life 600 s."""
        return self.mean_held(600, t, lambda part: (part.top.bid_lots + part.top.ask_lots) / 2)

    def mean_deep(self, t):
        """Give the mean lots at one of the best five prices, half-life 600 s."""
        return self.mean_held(600, t, lambda part: part.deep)

    # -------------------------------------------------------------------------------------------------------- derived lists

    def mid(self):
        return self.top.mid

    def value(self, lots):
        """Give the quote value of lots at the mid."""
        return self.notional(lots, self.mid())

    def near(self, side, bps=5):
        """Give the lots of one side within so many bps of the mid, as the book is now."""
        mid = self.mid()
        return sum(lots for tick, lots in self.book[side].items() if abs(tick - mid) * 10_000 <= mid * bps)

    def cancel_add(self, t):
        """Give the ratio of cancelled to added lots near the mid since the last drop, half-life 10 s."""
        mine = [c for c in self.changes if c.epoch == self.epoch and c.bps <= 10]
        cancelled = weighted([(c.t, max(c.old - c.new, 0) - c.traded) for c in mine], t, 10)
        return cancelled / (weighted([(c.t, max(c.new - c.old, 0)) for c in mine], t, 10) + 1)

    def orders(self):
        """Give the aggressors' orders that are closed."""
        orders = []
        for trade in self.trades:
            last = orders[-1] if orders else None
            same = last and last.sign == trade.sign and trade.t - last.t <= 10 * MS
            if same and (trade.tick - last.fills[-1].tick) * trade.sign >= 0:
                last.fills.append(trade)
            else:
                orders.append(Order(trade.sign, [trade]))
        if orders and self.now - orders[-1].t <= 10 * MS:
            orders.pop()
        return orders

    def mid_before(self, t):
        """Give the mid that held just before a time, None without one."""
        for part in reversed(self.stretches):
            if part.start < t <= part.end:
                return part.top.mid if part.top else None
        return None

    def bars(self, seconds=1):
        """Give every bar of so many seconds that has ended, in order, on the grid of their whole multiples; the first one has no return.

        A bar that has ended never changes, so those of the last call are kept.
        """
        if not self.stretches:
            return []
        step = seconds * SECOND
        bars = self._bars.setdefault(seconds, [])
        begin = bars[-1].t if bars else self.stretches[0].start // step * step
        for end in range(begin + step, self.now // step * step + 1, step):
            mid = self.mid_before(end)
            before = self._mids.get((seconds, end - step))
            self._mids[seconds, end] = mid
            dropped = any(end - step <= at < end for at in self.resets if at is not None)
            r = None if dropped or mid is None or before is None else (mid - before) / before * 1e4
            inside = list(
                takewhile(
                    lambda trade, start=end - step: trade.t >= start,
                    dropwhile(lambda trade, end=end: trade.t >= end, reversed(self.trades)),
                )
            )
            flow = math.fsum(trade.sign * trade.value for trade in inside)
            bars.append(Bar(end, r, flow, math.fsum(trade.value for trade in inside)))
        return bars


def weighted(points, t, half):
    """Sum values, each weighed by 2^(-age / half-life)."""
    return math.fsum(x * 0.5 ** ((t - at) / SECOND / half) for at, x in points)

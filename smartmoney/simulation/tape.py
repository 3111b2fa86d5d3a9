"""Cut a book's rows into what a venue publishes: windows of level changes, prints, touches, candles.

Pure folds over the rows of `matching`; every window carries the update ids that its subscribers need to prove contiguity.
"""

from collections import deque
from collections.abc import Iterator

import msgspec
import numpy as np

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.ladder import BID, ID, KIND, LEVEL, LOTS, MAKER, SIDE, TAKER, TICK, TIME, TOUCH, TRADE
from smartmoney.simulation.market import Rows

MINUTE_NS = 60_000_000_000


class DepthWindow(msgspec.Struct, frozen=True):
    """Be the levels that changed in one publishing interval: rows of (ticks, last lots), best first."""

    ends_ns: int
    last_change_ns: int
    first_id: int
    last_id: int
    previous_id: int
    bids: Rows
    asks: Rows


class Print(msgspec.Struct, frozen=True):
    """Be one public trade."""

    time_ns: int
    trade_id: int
    ticks: int
    lots: int
    buyer_is_maker: bool
    maker_order: int
    taker_order: int


class Aggregate(msgspec.Struct, frozen=True):
    """Be the prints of one taker order at one price."""

    aggregate_id: int
    first_id: int
    last_id: int
    time_ns: int
    ticks: int
    lots: int
    buyer_is_maker: bool


class Touch(msgspec.Struct, frozen=True):
    """Be the best prices after one change of them."""

    time_ns: int
    update_id: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int


class DepthCutter:
    """Collect level changes and close a window at each multiple of an interval in which something changed."""

    def __init__(self, interval_ns: int, last_id: int, now_ns: int = 0) -> None:
        self.interval_ns = interval_ns
        self._due_ns = (now_ns // interval_ns + 1) * interval_ns
        self._previous_id = last_id
        self._parts: list[Rows] = []

    def feed(self, levels: Rows, now_ns: int) -> Iterator[DepthWindow]:
        """Take level rows up to a time and yield the windows that closed by then."""
        start = 0
        while self._due_ns <= now_ns:
            end = int(np.searchsorted(levels[:, TIME], self._due_ns, side="left"))
            if end > start:
                self._parts.append(levels[start:end])
                start = end
            if self._parts:
                yield self._close()
                self._due_ns += self.interval_ns
            else:
                # Nothing to say: skip to the boundary after the next change, or after now.
                ahead = int(levels[start, TIME]) if start < len(levels) else now_ns
                self._due_ns = max(self._due_ns + self.interval_ns, (ahead // self.interval_ns + 1) * self.interval_ns)
        if start < len(levels):
            self._parts.append(levels[start:])

    def _close(self) -> DepthWindow:
        rows = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._parts.clear()
        bids, asks = np.empty((len(rows), 2), np.int64), np.empty((len(rows), 2), np.int64)
        bid_count, ask_count = net_changes(rows, bids, asks)
        previous, self._previous_id = self._previous_id, int(rows[-1, ID])
        return DepthWindow(
            self._due_ns,
            int(rows[-1, TIME]),
            int(rows[0, ID]),
            self._previous_id,
            previous,
            bids[:bid_count],
            asks[:ask_count],
        )


@entry
def net_changes(rows: Rows, bids: Rows, asks: Rows) -> tuple[int, int]:
    """Write the last lots of each changed level, best first, and return how many there are a side."""
    bid_count = 0
    ask_count = 0
    for i in range(rows.shape[0]):
        if rows[i, SIDE] == BID:
            bid_count = _put(bids, bid_count, rows[i, TICK], rows[i, LOTS], -1)
        else:
            ask_count = _put(asks, ask_count, rows[i, TICK], rows[i, LOTS], 1)
    return bid_count, ask_count


@inner
def _put(levels: Rows, count: int, tick: int, lots: int, order: int) -> int:
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if levels[middle, 0] * order < tick * order:
            low = middle + 1
        else:
            high = middle
    if low < count and levels[low, 0] == tick:
        levels[low, 1] = lots
        return count
    for i in range(count, low, -1):
        levels[i, 0] = levels[i - 1, 0]
        levels[i, 1] = levels[i - 1, 1]
    levels[low, 0] = tick
    levels[low, 1] = lots
    return count + 1


def levels_of(rows: Rows) -> Rows:
    """Return the rows that change a level."""
    changed: Rows = rows[rows[:, KIND] == LEVEL]
    return changed


def prints_of(rows: Rows) -> list[Print]:
    """Return the public trades among rows."""
    trades = rows[rows[:, KIND] == TRADE]
    columns = trades[:, [TIME, ID, TICK, LOTS, SIDE, MAKER, TAKER]].tolist()
    return [Print(time, number, tick, lots, bool(side != BID), maker, taker) for time, number, tick, lots, side, maker, taker in columns]


def touches_of(rows: Rows) -> list[Touch]:
    """Return the changes of the best prices among rows, while both sides stand."""
    touches = rows[(rows[:, KIND] == TOUCH) & (rows[:, TICK] > 0) & (rows[:, MAKER] > 0)]
    return [Touch(*columns) for columns in touches[:, [TIME, ID, TICK, LOTS, MAKER, TAKER]].tolist()]


class TradeTape:
    """Remember recent prints, their aggregates and one-minute candles. Bounded."""

    def __init__(self, first_aggregate: int = 1, kept: int = 1000, candles: int = 1500) -> None:
        self.prints: deque[Print] = deque(maxlen=kept)
        self.aggregates: deque[Aggregate] = deque(maxlen=kept)
        self.candles: deque[Candle] = deque(maxlen=candles)
        self._next_aggregate = first_aggregate

    def feed(self, prints: list[Print]) -> list[Aggregate]:
        """Take prints in order and return the aggregates they make."""
        made: list[Aggregate] = []
        open_order = 0
        for p in prints:
            self._add_to_candle(p)
            last = made[-1] if made else None
            if last is not None and p.taker_order == open_order and p.ticks == last.ticks:
                made[-1] = msgspec.structs.replace(last, last_id=p.trade_id, lots=last.lots + p.lots)
                continue
            open_order = p.taker_order
            made.append(Aggregate(self._next_aggregate, p.trade_id, p.trade_id, p.time_ns, p.ticks, p.lots, p.buyer_is_maker))
            self._next_aggregate += 1
        self.prints.extend(prints)
        self.aggregates.extend(made)
        return made

    def _add_to_candle(self, p: Print) -> None:
        start = p.time_ns // MINUTE_NS * MINUTE_NS
        if not self.candles or self.candles[-1].start_ns != start:
            self.candles.append(Candle(start, p.ticks, p.ticks, p.ticks, p.ticks, 0, 0, 0, 0, 0, p.trade_id))
        c = self.candles[-1]
        c.high = max(c.high, p.ticks)
        c.low = min(c.low, p.ticks)
        c.close = p.ticks
        c.lots += p.lots
        c.tick_lots += p.lots * p.ticks
        c.trades += 1
        if not p.buyer_is_maker:
            c.bought_lots += p.lots
            c.bought_tick_lots += p.lots * p.ticks


class Candle(msgspec.Struct):
    """Sum up the prints of one minute. Prices in ticks, volumes in lots, turnovers in ticks times lots."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    tick_lots: int
    trades: int
    bought_lots: int
    bought_tick_lots: int
    first_id: int

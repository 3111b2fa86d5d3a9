"""Turn what happens in a synthetic market into the frames of each Binance stream.

A `Desk` stands for one symbol of one market; `open_stream` gives the writer of one stream of it. Writers take a `Batch` (everything that
happened since the last one, on the wall clock) and return timed frames. No IO here: the server and the capture writer both drive it.
"""

from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np

from smartmoney.simulation import tape
from smartmoney.simulation.ladder import TIME
from smartmoney.simulation.market import Rows, SimulatedBook
from smartmoney.venues.binance import wire

_MS = 1_000_000
_FUNDING_NS = 8 * 3_600_000_000_000
FUNDING_RATE = 0.0001
_FASTEST_NS = 20 * _MS

TimedFrame = tuple[int, str]


class Batch:
    """Hold what one advance of a book brought, times on the wall clock, in ns. What no stream asks for is never computed."""

    def __init__(self, now_ns: int, rows: Rows, prints: list[tape.Print], aggregates: list[tape.Aggregate]) -> None:
        self.now_ns = now_ns
        self.prints = prints
        self.aggregates = aggregates
        self._rows = rows

    @cached_property
    def levels(self) -> Rows:
        """Return the rows that change a level."""
        return tape.levels_of(self._rows)

    @cached_property
    def touches(self) -> list[tape.Touch]:
        """Return the changes of the best prices."""
        return tape.touches_of(self._rows)


def quiet(now_ns: int) -> Batch:
    """Return the batch of a step in which nothing happened."""
    return Batch(now_ns, np.zeros((0, 12), np.int64), [], [])


StreamWriter = Callable[[Batch], list[TimedFrame]]


class Desk:
    """Serve one symbol of one market: its book, its tape and its streams."""

    def __init__(self, book: SimulatedBook, origin_ns: int) -> None:
        self.book = book
        self.grid = wire.grid_of(book.instrument)
        self.origin_ns = origin_ns
        self.tape = tape.TradeTape(first_aggregate=1_000_000)

    @property
    def now_ns(self) -> int:
        """Return the wall time up to which the book has run."""
        return self.origin_ns + self.book.now_ns

    def take(self, rows: Rows) -> Batch:
        """Fold the rows of one advance into tape and batch."""
        rows[:, TIME] += self.origin_ns
        prints = tape.prints_of(rows)
        return Batch(self.now_ns, rows, prints, self.tape.feed(prints))

    def snapshot(self, limit: int) -> str:
        """Return the depth body of this moment."""
        depth = self.book.snapshot(limit)
        return wire.depth_snapshot(self.grid, depth.update_id, depth.bids, depth.asks, event_ns=self.now_ns, transaction_ns=self.now_ns)

    def mark_price(self) -> tuple[float, float]:
        """Return mark and index price in quote: the index is what the public knows of the efficient price, the mark leans to the middle."""
        tick = float(self.book.instrument.tick_size)
        index = self.book.index_ticks * tick
        bid, _, ask, _ = self.book.touch
        middle = (bid + ask) / 2 * tick if bid > 0 and ask > 0 else index
        return index + 0.5 * (middle - index), index

    def next_funding_ns(self) -> int:
        """Return the next funding time."""
        return (self.now_ns // _FUNDING_NS + 1) * _FUNDING_NS

    def open_stream(self, kind: str) -> StreamWriter | None:
        """Return a new writer of a stream (`depth@100ms`, `trade`, …), or None for one that this exchange does not have."""
        name, _, speed = kind.partition("@")
        if name in _SIMPLE:
            return _SIMPLE[name](self)
        if name == "depth":
            interval = _interval_ns(speed, 1000 if self.grid.is_spot else 250)
            return _depth(self, interval) if interval else None
        if name in {"depth5", "depth10", "depth20"}:
            interval = _interval_ns(speed, 1000 if self.grid.is_spot else 250)
            return _partial_depth(self, int(name[5:]), interval) if interval else None
        if name == "markPrice" and not self.grid.is_spot:
            return _every(self, 1_000 * _MS if speed == "1s" else 3_000 * _MS, _mark_price_frame)
        return None


def _interval_ns(speed: str, default_ms: int) -> int:
    if not speed:
        return default_ms * _MS
    if not speed.endswith("ms") or not speed[:-2].isdigit():
        return 0
    return max(int(speed[:-2]) * _MS, _FASTEST_NS)


def _trades(desk: Desk) -> StreamWriter:
    def write(batch: Batch) -> list[TimedFrame]:
        return [
            (
                p.time_ns,
                wire.trade(
                    desk.grid,
                    event_ns=p.time_ns,
                    time_ns=p.time_ns,
                    trade_id=p.trade_id,
                    ticks=p.ticks,
                    lots=p.lots,
                    buyer_is_maker=p.buyer_is_maker,
                ),
            )
            for p in batch.prints
        ]

    return write


def _aggregates(desk: Desk) -> StreamWriter:
    def write(batch: Batch) -> list[TimedFrame]:
        return [
            (
                a.time_ns,
                wire.aggregate_trade(
                    desk.grid,
                    event_ns=a.time_ns,
                    time_ns=a.time_ns,
                    aggregate_id=a.aggregate_id,
                    first_id=a.first_id,
                    last_id=a.last_id,
                    ticks=a.ticks,
                    lots=a.lots,
                    buyer_is_maker=a.buyer_is_maker,
                ),
            )
            for a in batch.aggregates
        ]

    return write


def _touches(desk: Desk) -> StreamWriter:
    def write(batch: Batch) -> list[TimedFrame]:
        return [
            (
                t.time_ns,
                wire.book_ticker(
                    desk.grid,
                    event_ns=t.time_ns,
                    update_id=t.update_id,
                    bid_ticks=t.bid_ticks,
                    bid_lots=t.bid_lots,
                    ask_ticks=t.ask_ticks,
                    ask_lots=t.ask_lots,
                ),
            )
            for t in batch.touches
        ]

    return write


def _depth(desk: Desk, interval_ns: int) -> StreamWriter:
    cutter = tape.DepthCutter(interval_ns, desk.book.update_id, desk.now_ns)

    def write(batch: Batch) -> list[TimedFrame]:
        return [
            (
                w.ends_ns,
                wire.depth_update(
                    desk.grid,
                    event_ns=w.ends_ns,
                    transaction_ns=w.last_change_ns,
                    # Spot's ids have no holes, so a window begins where the last one ended; futures ids jump.
                    first_id=w.previous_id + 1 if desk.grid.is_spot else w.first_id,
                    last_id=w.last_id,
                    previous_id=w.previous_id,
                    bids=w.bids,
                    asks=w.asks,
                ),
            )
            for w in cutter.feed(batch.levels, batch.now_ns)
        ]

    return write


def _every(desk: Desk, interval_ns: int, frame: Callable[[Desk, int], str]) -> StreamWriter:
    due_ns = (desk.now_ns // interval_ns + 1) * interval_ns

    def write(batch: Batch) -> list[TimedFrame]:
        nonlocal due_ns
        if batch.now_ns < due_ns:
            return []
        # A state, not a change: after a long step the latest one is enough.
        at_ns = batch.now_ns // interval_ns * interval_ns
        due_ns = at_ns + interval_ns
        return [(at_ns, frame(desk, at_ns))]

    return write


def _partial_depth(desk: Desk, levels: int, interval_ns: int) -> StreamWriter:
    previous_id = desk.book.update_id

    def frame(desk: Desk, at_ns: int) -> str:
        nonlocal previous_id
        depth = desk.book.snapshot(levels)
        if desk.grid.is_spot:
            return wire.depth_snapshot(desk.grid, depth.update_id, depth.bids, depth.asks)
        before, previous_id = previous_id, depth.update_id
        return wire.depth_update(
            desk.grid,
            event_ns=at_ns,
            transaction_ns=at_ns,
            first_id=before,
            last_id=depth.update_id,
            previous_id=before,
            bids=depth.bids,
            asks=depth.asks,
        )

    return _every(desk, interval_ns, frame)


def _mark_price_frame(desk: Desk, at_ns: int) -> str:
    mark, index = desk.mark_price()
    funding_ns = desk.next_funding_ns()
    return wire.mark_price(desk.grid, event_ns=at_ns, mark=mark, index=index, funding_rate=FUNDING_RATE, next_funding_ns=funding_ns)


_SIMPLE: dict[str, Callable[[Desk], StreamWriter]] = {"trade": _trades, "aggTrade": _aggregates, "bookTicker": _touches}


def in_time_order(frames: Iterable[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """Return (time, stream, frame) triples sorted by time; equal times keep their order."""
    return sorted(frames, key=lambda item: item[0])

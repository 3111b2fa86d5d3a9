"""Measure the matching engine alone, and the whole synthetic market, in events a second of one core.

The engine's stream is recorded beforehand by a Santa-Fe flow (limit orders at geometric distances, cancels in proportion to what rests,
market orders), so that the timed loop does engine work only, and so that the peer, the book that anyone would write first in Python (a
dictionary of queues and two heaps of prices), can run the very same events. Both must trade the same lots. Times are CPU times of the best
round: other processes on the machine then cost nothing but cache.
"""

import heapq
from collections import deque
from time import process_time
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from numba import njit

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation import ladder
from smartmoney.simulation.bits import int64
from smartmoney.simulation.flow import WORLD
from smartmoney.simulation.ladder import BID, CROWD, OUT_ROWS, reset
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.matching import GTC, IOC, MARKET_PRICE, MAY_TAKE, NO_PARENT, cancel, submit
from smartmoney.simulation.random import draw, seed_stream

EVENTS = 1_000_000
"""A fifth of a second or less: short rounds, of which the best is the least disturbed."""
PEER_EVENTS = 100_000
ROUNDS = 7
POPULATION_S = 300
_WARM_S = 60
_SECOND = 1_000_000_000
_LIMIT, _MARKET, _CANCEL = int64(0), int64(1), int64(2)
_KIND, _SIDE, _TICK, _LOTS, _OF = range(5)
CENTRE = int64(1_000_000)
_STRIDE = int64(1)
_RESTING_TARGET = 600.0

Stream = npt.NDArray[np.int64]


class MarketSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """Tell how fast: events a second, and rows that the population's market published; `mix`: shares of limit, market, cancel."""

    engine: float
    engine_with_rows: float
    python: float
    mix: tuple[float, float, float]
    population: float
    population_rows: float


def measure_speed() -> MarketSpeed:
    """Measure engine, peer and population.

    Raises:
        AssertionError: engine and peer, or two ways of running the engine, did not trade the same lots.
    """
    book = np.zeros(1, WORLD)
    stream = recorded(book, EVENTS)
    ids = np.zeros(EVENTS, np.int64)
    quiet: list[float] = []
    telling: list[float] = []
    lots: set[int] = set()
    for _ in range(ROUNDS):
        for is_quiet, times in ((1, quiet), (0, telling)):
            reset(book[0], CENTRE, _STRIDE)
            book["quiet"] = is_quiet
            started = process_time()
            lots.add(int(replay(book, stream, ids)))
            times.append(process_time() - started)
    assert len(lots) == 1, lots
    peer = stream[:PEER_EVENTS]
    reset(book[0], CENTRE, _STRIDE)
    same = int(replay(book, peer, ids))
    seconds, traded = run_python(peer)
    assert traded == same, (traded, same)
    population = _population()
    counts = np.bincount(stream[:, _KIND], minlength=3) / EVENTS
    return MarketSpeed(
        engine=EVENTS / min(quiet),
        engine_with_rows=EVENTS / min(telling),
        python=PEER_EVENTS / seconds,
        mix=(float(counts[0]), float(counts[1]), float(counts[2])),
        population=population[0],
        population_rows=population[1],
    )


def recorded(book: Any, count: int) -> Stream:
    """Return the events of a Santa-Fe flow: rows of kind, side, tick, lots, and for a cancel the event of its order. Uses the book up."""
    words = np.zeros(4, np.uint64)
    seed_stream(words, 7, 11)
    stream = np.zeros((count, 5), np.int64)
    events_of = np.zeros(ladder.POOL, np.int64)
    reset(book[0], CENTRE, _STRIDE)
    record(book, stream, words, events_of)
    return stream


@njit(cache=True, nogil=True)
def record(worlds: Any, stream: Stream, words: npt.NDArray[np.uint64], events_of: Stream) -> None:
    """Let a Santa-Fe flow trade and write down what it did: kind, side, tick, lots, and for a cancel the event of its order."""
    b = worlds[0]
    for i in range(stream.shape[0]):
        b.out_len = 0
        side = int(2.0 * draw(words))
        lots = 1 + int(10.0 * draw(words))
        u = draw(words)
        if u < 0.45 * b.crowd_count / _RESTING_TARGET and b.crowd_count > 0:
            slot = b.crowd[int(draw(words) * b.crowd_count)]
            stream[i, 0] = _CANCEL
            stream[i, 4] = events_of[slot]
            cancel(b, b.order_ids[slot])
        elif u > 0.92:
            stream[i, 0] = _MARKET
            stream[i, 1] = side
            stream[i, 3] = 2 * lots
            submit(b, side, MARKET_PRICE, 2 * lots, IOC, MAY_TAKE, CROWD, NO_PARENT)
        else:
            away = 1
            while draw(words) < 0.85 and away < 60:
                away += 1
            opposite = b.best_ask if side == BID else b.best_bid
            if opposite < 0:
                opposite = CENTRE
            tick = opposite - away if side == BID else opposite + away
            stream[i, 0] = _LIMIT
            stream[i, 1] = side
            stream[i, 2] = tick
            stream[i, 3] = lots
            submit(b, side, tick, lots, GTC, MAY_TAKE, CROWD, NO_PARENT)
            events_of[b.order_id & 0xFFFF] = i


@njit(cache=True, nogil=True)
def replay(worlds: Any, stream: Stream, ids: Stream) -> Any:
    """Run recorded events through the engine and return the lots traded. Rows are written over when `out` is half full."""
    b = worlds[0]
    for i in range(stream.shape[0]):
        if b.out_len > OUT_ROWS // 2:
            b.out_len = 0
        kind = stream[i, 0]
        if kind == _CANCEL:
            cancel(b, ids[stream[i, 4]])
        elif kind == _MARKET:
            submit(b, stream[i, 1], MARKET_PRICE, stream[i, 3], IOC, MAY_TAKE, CROWD, NO_PARENT)
        else:
            submit(b, stream[i, 1], stream[i, 2], stream[i, 3], GTC, MAY_TAKE, CROWD, NO_PARENT)
            ids[i] = b.order_id
    return b.lots_traded


class PythonBook:
    """Match by price, then time, with a dictionary of queues and a heap of prices a side; cancelled orders stay behind as empty ones."""

    def __init__(self) -> None:
        self.queues: tuple[dict[int, deque[list[int]]], dict[int, deque[list[int]]]] = ({}, {})
        self.heaps: tuple[list[int], list[int]] = ([], [])
        self.orders: dict[int, list[int]] = {}
        self.traded = 0

    def take(self, number: int, side: int, tick: int, lots: int) -> None:
        """Trade an order (tick 0: a market order) and let the rest of a limit order rest."""
        queues, heap = self.queues[1 - side], self.heaps[1 - side]
        while lots and heap:
            best = -heap[0] if side else heap[0]
            if tick and (best < tick if side else best > tick):
                break
            queue = queues[best]
            while lots and queue:
                order = queue[0]
                part = min(lots, order[0])
                self.traded += part
                lots -= part
                order[0] -= part
                if not order[0]:
                    queue.popleft()
            if not queue:
                heapq.heappop(heap)
                del queues[best]
        if lots and tick:
            self._rest(number, side, tick, lots)

    def _rest(self, number: int, side: int, tick: int, lots: int) -> None:
        order = self.orders[number] = [lots]
        queue = self.queues[side].get(tick)
        if queue is None:
            self.queues[side][tick] = deque((order,))
            heapq.heappush(self.heaps[side], tick if side else -tick)
        else:
            queue.append(order)

    def cancel(self, number: int) -> None:
        """Empty an order."""
        self.orders.pop(number)[0] = 0


def run_python(stream: Stream) -> tuple[float, int]:
    """Return the CPU seconds of the best of three rounds through the plain Python book, and the lots traded."""
    rows = stream.tolist()
    best = float("inf")
    traded = 0
    for _ in range(3):
        book = PythonBook()
        started = process_time()
        for number, (kind, side, tick, lots, of) in enumerate(rows):
            if kind == _CANCEL:
                book.cancel(of)
            else:
                book.take(number, side, tick, lots)
        best = min(best, process_time() - started)
        traded = book.traded
    return best, traded


def _population() -> tuple[float, float]:
    """Return events and published rows a second of CPU of one book with everybody in it, rows collected, in the best of some stretches."""
    book = SyntheticMarket(7, symbols=("BTCUSDT",), markets=(Market.SPOT,)).books[Market.SPOT, "BTCUSDT"]
    book.advance(_WARM_S * _SECOND)
    best = (0.0, 0.0)
    for part in range(1, ROUNDS + 1):
        before = int(book.worlds["events"][0])
        started = process_time()
        rows = book.advance((_WARM_S + POPULATION_S * part) * _SECOND)
        seconds = process_time() - started
        best = max(best, ((int(book.worlds["events"][0]) - before) / seconds, len(rows) / seconds))
    return best

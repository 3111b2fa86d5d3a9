"""Write recorded frames down as a dataset: each message with its ids, receive time and levels, in whole ticks and lots.

Invariants: what is written is what was received, in order; what cannot be is left out and counted, never changed in silence; each day
begins with the book as it stands, so that it can be read alone. Memory: one row group per table, the book, and the latest updates.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec
import numpy as np

from smartmoney.adapters.dataset import (
    BEGINS,
    DAY_NS,
    GROUP_ROWS,
    MARK_DECIMALS,
    RATE_DECIMALS,
    TABLES,
    InstrumentDataset,
    date_of,
    instrument_folder,
)
from smartmoney.adapters.history.binance_frames import OTHER, Frame, parsed
from smartmoney.adapters.history.events import HistoryRefused, Repairs, nanoseconds
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.book.grid import step_of
from smartmoney.core.domain.instruments import Instrument, Market

PAUSE_NS = 60_000_000_000
_MS = 1_000_000
_US_FROM = 100_000_000_000_000
_TEXTS_KEPT = 1 << 17
_IDS_KEPT = 100_000
_UPDATES_KEPT = 4_096
_SCALED_MAX = 10**18

_Levels = Sequence[tuple[int, int]]


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """Say what was written of one instrument. Times in ns."""

    folder: str
    venue: str
    market: str
    symbol: str
    days: tuple[str, ...]
    rows: dict[str, int]
    first_wall_ns: int
    last_wall_ns: int
    provisional_grid: bool


def export_frames(frames: Iterable[RecordedFrame], instruments: Sequence[Instrument], root: Path, repairs: Repairs) -> list[Exported]:
    """Write the frames of the given instruments below `root`, a folder each; frames of others are counted and left out.

    Cost: some 30 µs a frame.

    Raises:
        HistoryRefused: a day stands there already, there is nothing to write, or a receive time cannot be.
        OSError: it cannot be written.
    """
    writers = {one.symbol.upper(): _Writer(root, one, repairs) for one in instruments}
    only = next(iter(writers.values())) if len(writers) == 1 else None
    last_ns = 0
    try:
        for frame in frames:
            found = parsed(frame, repairs)
            if found is None:
                continue
            last_ns = found.wall_ns = _received(found, last_ns, repairs)
            name = (found.s or frame.symbol or "").upper()
            writer = writers.get(name) if name else only
            if last_ns and writer is not None:
                writer.take(found)
            else:
                repairs.note("frames of other instruments, left out" if last_ns else "frames before any time was known, left out")
        for writer in writers.values():
            writer.close()
    finally:
        for writer in writers.values():
            writer.abandon()
    done = [writer.exported() for writer in writers.values() if writer.first_ns]
    if not done:
        raise HistoryRefused("no depth and no trade to write; name recordings of that venue and symbol")
    return done


def _received(found: Frame, last_ns: int, repairs: Repairs) -> int:
    """Return when a frame was received, never before the one above it."""
    wall_ns = found.wall_ns
    if wall_ns <= 0:
        repairs.note("frames without a receive time, stamped with the venue's")
        wall_ns = _event_ns(found)
    else:
        nanoseconds(wall_ns, "receive time")
        if wall_ns < _US_FROM * 1000:
            raise HistoryRefused(f"receive time {wall_ns} is not in ns; is the unit of the recording's first column right?")
    if wall_ns < last_ns:
        repairs.note("frames received before the one above them, stamped with its time")
    elif last_ns and wall_ns - last_ns > PAUSE_NS:
        repairs.note("pauses of more than a minute")
    return max(wall_ns, last_ns)


def _event_ns(found: Frame) -> int:
    # Of a mark price the other time is that of the next payment.
    stamp = found.E if found.e == "markPriceUpdate" else found.T or found.E
    return stamp * (1_000 if stamp >= _US_FROM else _MS)


class _Grid:
    """Turn decimal texts into whole steps, exactly or not at all. Texts repeat, so what they were is remembered."""

    def __init__(self, size: Decimal) -> None:
        self._decimals, self._step = step_of(size)
        self._known: dict[str, int | None] = {}

    def steps(self, text: str, *, is_shown: bool = False) -> int | None:
        """Return the steps, None off the grid; a quantity that a book shows is rounded down, but not to nothing, as the fold does."""
        try:
            return self._known[text]
        except KeyError:
            if len(self._known) > _TEXTS_KEPT:
                self._known.clear()
            found = self._known[text] = self._steps(text, is_shown=is_shown)
            return found

    def _steps(self, text: str, *, is_shown: bool) -> int | None:
        whole, _, fraction = text.partition(".")
        fraction = fraction.rstrip("0")
        if not whole.isdecimal() or not (fraction.isdecimal() or not fraction):
            return None
        more = max(len(fraction) - self._decimals, 0)
        value = int(whole + fraction.ljust(self._decimals, "0"))
        unit: int = self._step * 10**more
        steps, rest = divmod(value, unit)
        if rest and not is_shown:
            return None
        return max(steps, 1) if rest else steps


class _Writer:
    """Write one instrument, and follow its book for the beginnings of days."""

    def __init__(self, root: Path, instrument: Instrument, repairs: Repairs) -> None:
        self.first_ns = self._last_ns = 0
        self._instrument = instrument
        self._folder = instrument_folder(root, instrument)
        self._dataset = InstrumentDataset(root, instrument)
        self._repairs = repairs
        # A snapshot's quantity and a trade's are judged differently, so each has its own memory.
        self._price, self._shown, self._traded = map(_Grid, (instrument.tick_size, instrument.lot_size, instrument.lot_size))
        self._columns: dict[str, list[list[int]]] = {name: [[] for _ in columns] for name, columns in TABLES.items()}
        self._book = _Book(is_spot=instrument.market is Market.SPOT)
        self._days: list[str] = []
        self._begins_ns = 0
        self._day = -1
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._prints = ""
        self._silent: dict[int, tuple[int, int]] = {}

    def take(self, found: Frame) -> None:
        """Write what one frame says."""
        if found.wall_ns // DAY_NS != self._begins_ns // DAY_NS:
            self._begins_ns = found.wall_ns
        if found.e == "depthUpdate" and not _is_partial(found.stream):
            self._update(found)
        elif found.lastUpdateId >= 0 and isinstance(found.bids, list) and not found.stream:
            self._snapshot(found)
        elif found.e in {"trade", "aggTrade"}:
            self._trade(found)
        elif found.e == "markPriceUpdate" and found.r and self._instrument.market is not Market.SPOT:
            self._funding(found)
        elif isinstance(found.b, str) and isinstance(found.B, str):
            self._quote(found)
        else:
            self._repairs.note(OTHER)

    def close(self) -> None:
        """Write the rest."""
        self._flush()
        self._dataset.close()

    def abandon(self) -> None:
        """Leave nothing unfinished behind; what was closed stays."""
        for table in self._dataset.tables.values():
            table.abandon()

    def exported(self) -> Exported:
        """Say what was written."""
        one = self._instrument
        return Exported(
            folder=str(self._folder),
            venue=one.venue,
            market=one.market.value,
            symbol=one.symbol,
            days=tuple(self._days),
            rows=self._dataset.rows,
            first_wall_ns=self.first_ns,
            last_wall_ns=self._last_ns,
            provisional_grid=one.provisional,
        )

    def _update(self, found: Frame) -> None:
        bids, asks = self._levels(found.b), self._levels(found.a)
        previous = found.U - 1 if self._instrument.market is Market.SPOT else found.pu
        if bids is None or asks is None or not 0 <= found.U <= found.u or previous < 0 or _event_ns(found) <= 0:
            self._repairs.note("book updates that are malformed or off the grid, left out")
            return
        if self._is_repeated("u", found.u):
            self._repairs.note("book updates seen twice, left out")
            return
        self._turn(found.wall_ns)
        if not self._book.apply(found.U, previous, found.u, bids, asks):
            self._repairs.note("gaps in the sequence of book updates, kept as they are")
        first, previous = self._silent.pop(previous, (found.U, previous))
        self._silent.clear()
        if bids or asks:
            self._depth(found, (first, previous, found.u), bids, asks)
        else:
            # A message without levels has no row: the next one continues from where it began.
            self._silent[found.u] = (first, previous)

    def _snapshot(self, found: Frame) -> None:
        bids, asks = self._levels(found.bids), self._levels(found.asks)
        if bids is None or asks is None:
            self._repairs.note("book snapshots that are malformed or off the grid, left out")
            return
        self._turn(found.wall_ns)
        own = found.lastUpdateId
        self._depth(found, (own, -1, own), bids, asks, is_snapshot=True)
        self._book.begin(own, bids, asks)

    def _trade(self, found: Frame) -> None:
        self._prints = self._prints or found.e
        number = found.t if found.e == "trade" else found.a
        if found.e != self._prints:
            self._repairs.note("trades of a second stream of trades, left out")
            return
        ticks, lots = self._price.steps(found.p), self._traded.steps(found.q)
        if not isinstance(number, int) or number < 0 or not ticks or not lots or _event_ns(found) <= 0:
            self._repairs.note("trades without a price or size, or off the grid, left out")
        elif self._is_repeated("t", number):
            self._repairs.note("trades seen twice, left out")
        else:
            self._put("trades", found, number, int(found.m), ticks, lots)

    def _quote(self, found: Frame) -> None:
        ticks = [self._price.steps(found.b), self._price.steps(str(found.a))]
        lots = [self._shown.steps(found.B, is_shown=True), self._shown.steps(str(found.A), is_shown=True)]
        if None in ticks or None in lots:
            self._repairs.note("best quotes that are malformed or off the grid, left out")
            return
        self._put("touch", found, found.u, ticks[0] or 0, lots[0] or 0, ticks[1] or 0, lots[1] or 0)

    def _funding(self, found: Frame) -> None:
        rate, mark = _scaled(found.r, RATE_DECIMALS), _scaled(found.p, MARK_DECIMALS)
        if rate is None or mark is None or abs(rate) >= 10**RATE_DECIMALS or mark < 0 or found.T <= 0 or found.E <= 0:
            self._repairs.note("mark prices without a rate of funding and its time, left out")
            return
        self._turn(found.wall_ns)
        self._row("funding", (found.wall_ns, found.E * _MS, found.T * _MS, rate, mark))

    def _levels(self, pairs: object) -> list[tuple[int, int]] | None:
        levels = []
        if not isinstance(pairs, list):
            return None
        for pair in pairs:
            if not (isinstance(pair, list) and len(pair) >= 2 and isinstance(pair[0], str) and isinstance(pair[1], str)):
                return None
            ticks, lots = self._price.steps(pair[0]), self._shown.steps(pair[1], is_shown=True)
            if not ticks or lots is None:
                return None
            levels.append((ticks, lots))
        return levels

    def _is_repeated(self, kind: str, number: int) -> bool:
        key = (kind, number)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > _IDS_KEPT:
            self._seen.popitem(last=False)
        return False

    def _depth(self, found: Frame, ids: tuple[int, int, int], bids: _Levels, asks: _Levels, *, is_snapshot: bool = False) -> None:
        wall_ns, event_ns = found.wall_ns, _event_ns(found) or found.wall_ns
        for side, levels in ((0, bids), (1, asks)):
            for ticks, lots in levels:
                self._row("depth", (wall_ns, event_ns, *ids, side, ticks, lots, is_snapshot))

    def _put(self, table: str, found: Frame, *values: int) -> None:
        self._turn(found.wall_ns)
        self._row(table, (found.wall_ns, _event_ns(found) or found.wall_ns, *values))

    def _row(self, table: str, values: tuple[int, ...]) -> None:
        columns = self._columns[table]
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        if len(columns[0]) >= GROUP_ROWS:
            self._write(table)

    def _turn(self, wall_ns: int) -> None:
        """Begin another day with the book that stands."""
        self.first_ns = self.first_ns or wall_ns
        self._last_ns = wall_ns
        if wall_ns // DAY_NS == self._day:
            return
        self._flush()
        self._day = wall_ns // DAY_NS
        date = date_of(self._day)
        if (self._folder / date).exists():
            raise HistoryRefused(f"{self._folder / date} is there already; remove it, or choose another --out")
        self._days.append(date)
        for table in self._dataset.tables.values():
            table.metadata[BEGINS] = str(self._begins_ns)
        self._repairs.note("days begun with the book carried over from the day before", int(self._book.is_whole))
        own = self._book.update_id
        for side, levels in enumerate(self._book.levels()):
            for ticks, lots in levels:
                self._row("depth", (wall_ns, wall_ns, own, own, own, side, ticks, lots, True))

    def _flush(self) -> None:
        for name in self._columns:
            self._write(name)

    def _write(self, table: str) -> None:
        columns = self._columns[table]
        if columns[0]:
            kinds = TABLES[table]
            self._dataset.tables[table].write(
                {name: np.array(values, kind) for (name, kind), values in zip(kinds.items(), columns, strict=True)}
            )
            self._columns[table] = [[] for _ in columns]


class _Book:
    """Follow a book by its sequence: whole from a snapshot until a gap. A snapshot may be older than updates that came before it."""

    def __init__(self, *, is_spot: bool) -> None:
        self.is_whole = False
        self.update_id = -1
        self._is_spot = is_spot
        self._is_fresh = False
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._recent: deque[tuple[int, int, int, _Levels, _Levels]] = deque(maxlen=_UPDATES_KEPT)

    def apply(self, first: int, previous: int, last: int, bids: _Levels, asks: _Levels) -> bool:
        """Take an update; return False where the sequence breaks, after which a snapshot is needed."""
        self._recent.append((first, previous, last, bids, asks))
        return self._fold(first, previous, last, bids, asks)

    def begin(self, update_id: int, bids: _Levels, asks: _Levels) -> None:
        """Take a snapshot and the updates that are newer; one that ends before what is known is passed over."""
        if self.is_whole and update_id <= self.update_id:
            return
        self.is_whole = self._is_fresh = True
        self.update_id = update_id
        self._sides = ({ticks: lots for ticks, lots in bids if lots}, {ticks: lots for ticks, lots in asks if lots})
        for update in [one for one in self._recent if one[2] > update_id]:
            if not self._fold(*update):
                return

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return both sides, best first; nothing while the book is not whole."""
        if not self.is_whole:
            return [], []
        return sorted(self._sides[0].items(), reverse=True), sorted(self._sides[1].items())

    def _fold(self, first: int, previous: int, last: int, bids: _Levels, asks: _Levels) -> bool:
        if not self.is_whole or last <= self.update_id:
            return True
        reached = self.update_id
        fits = first <= reached + 1 if self._is_spot else previous == reached or (self._is_fresh and first <= reached)
        self._is_fresh = False
        if not fits:
            self.is_whole = False
            self._recent.clear()
            self._recent.append((first, previous, last, bids, asks))
            return False
        self.update_id = last
        for side, levels in zip(self._sides, (bids, asks), strict=True):
            for ticks, lots in levels:
                if lots:
                    side[ticks] = lots
                else:
                    side.pop(ticks, None)
        return True


def _scaled(text: str, decimals: int) -> int | None:
    """Return a number in units of its last decimal, None for what is none or has more of them."""
    try:
        value = Decimal(text).scaleb(decimals)
    except InvalidOperation:
        return None
    return int(value) if value.is_finite() and value == value.to_integral_value() and abs(value) < _SCALED_MAX else None


def _is_partial(stream: str) -> bool:
    place = stream.find("@depth")
    return place >= 0 and stream[place + 6 : place + 7].isdecimal()

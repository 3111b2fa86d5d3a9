"""Write the dataset form: Parquet by venue, market, instrument and UTC day, whole numbers of ticks and lots.

`<root>/<venue>/<market>/<SYMBOL>/<YYYY-MM-DD>/<table>.parquet`. Polars and DuckDB read the files as they are. Bytes depend on the rows and
on pyarrow's version only: no clock, and row groups of a fixed size. A day's file has its name once it is whole. Memory: one row group per
open table.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.simulation import ladder
from smartmoney.simulation.market import Depth, Rows

DATASET_VERSION = 2
GROUP_ROWS = 1 << 16
DAY_NS = 86_400_000_000_000
FRAME_NS = 100_000_000
"""How often the built-in exchange's depth stream speaks: its rows are received at the end of such an interval."""
BEGINS = "first_wall_ns"
"""Metadata: when the first frame of the recording, or of its day, was received, whatever it said."""

Columns = Mapping[str, npt.NDArray[Any]]

DEPTH_COLUMNS = {
    "ts_wall_ns": "i8",
    "ts_event_ns": "i8",
    "first_update_id": "i8",
    "prev_update_id": "i8",
    "update_id": "i8",
    "side": "i1",
    "price_ticks": "i8",
    "lots": "i8",
    "is_snapshot": "?",
}
TRADE_COLUMNS = {"ts_wall_ns": "i8", "ts_event_ns": "i8", "trade_id": "i8", "aggressor_side": "i1", "price_ticks": "i8", "lots": "i8"}
TOUCH_COLUMNS = {
    "ts_wall_ns": "i8",
    "ts_event_ns": "i8",
    "update_id": "i8",
    "bid_ticks": "i8",
    "bid_lots": "i8",
    "ask_ticks": "i8",
    "ask_lots": "i8",
}
TABLES = {"depth": DEPTH_COLUMNS, "trades": TRADE_COLUMNS, "touch": TOUCH_COLUMNS}
"""Public tables. `ts_wall_ns` is when it was received, `ts_event_ns` the venue's time. Sides: 0 is bid or buy, 1 is ask or sell.

`lots` of a depth row is what the level holds from then on; 0 removes it. Rows of one message share their ids, or follow each other without
a hole at one receive time. `prev_update_id` of a snapshot: -1 the venue sent it; its own `update_id`: the book carried over into this day.
"""


class ParquetTable:
    """Write one table, a file a day, in row groups of `GROUP_ROWS`. The first column is the time by which days are told."""

    def __init__(self, folder: Path, name: str, columns: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        import pyarrow as pa

        self._folder = folder
        self._name = name
        self._columns = {column: np.dtype(kind) for column, kind in columns.items()}
        fields = [pa.field(column, pa.from_numpy_dtype(kind), nullable=False) for column, kind in self._columns.items()]
        self._schema = pa.schema(fields)
        self.metadata = {"dataset_version": str(DATASET_VERSION), **metadata}
        """What the next day's file says of itself."""
        self._writer: Any = None
        self._path = self._unfinished = folder
        self._day = -1
        self._waiting: list[dict[str, npt.NDArray[Any]]] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, columns: Columns) -> None:
        """Append rows, ordered by time."""
        times = next(iter(columns.values()))
        start = 0
        while start < len(times):
            day = int(times[start]) // DAY_NS
            if day != self._day:
                self._turn_to(day)
            end = int(np.searchsorted(times, (day + 1) * DAY_NS, side="left"))
            self._waiting.append({name: np.asarray(columns[name][start:end], kind) for name, kind in self._columns.items()})
            self._waiting_rows += end - start
            self.rows += end - start
            start = end
            self._write_groups(GROUP_ROWS)

    def close(self) -> None:
        """Write what waits and close the file, which then has its name."""
        self._write_groups(1)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._unfinished.replace(self._path)

    def abandon(self) -> None:
        """Leave the day that is being written unnamed and unfinished."""
        self._waiting, self._waiting_rows = [], 0
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._unfinished.unlink(missing_ok=True)

    def _turn_to(self, day: int) -> None:
        from pyarrow import parquet

        self.close()
        self._day = day
        self._path = self._folder / date_of(day) / f"{self._name}.parquet"
        self._unfinished = self._path.with_name(f".{self._path.name}.part")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = parquet.ParquetWriter(self._unfinished, self._schema.with_metadata(self.metadata), compression="zstd")

    def _write_groups(self, least: int) -> None:
        import pyarrow as pa

        while self._waiting_rows >= least:
            whole = {name: np.concatenate([part[name] for part in self._waiting]) for name in self._columns}
            count = min(self._waiting_rows, GROUP_ROWS)
            group = [pa.array(values[:count]) for values in whole.values()]
            table = pa.Table.from_arrays(group, schema=self._writer.schema)
            self._writer.write_table(table, row_group_size=GROUP_ROWS)
            self._waiting_rows -= count
            self._waiting = [{name: values[count:] for name, values in whole.items()}] if self._waiting_rows else []


class InstrumentDataset:
    """Write the public tables of one instrument: level changes, trades, touch."""

    def __init__(self, root: Path, instrument: Instrument) -> None:
        folder = instrument_folder(root, instrument)
        metadata = metadata_of(instrument)
        self.tables = {name: ParquetTable(folder, name, columns, metadata) for name, columns in TABLES.items()}
        self._is_spot = instrument.market is Market.SPOT
        self._update_id = 0
        self._day = -1
        self._book: dict[int, dict[int, int]] = {ladder.BID: {}, ladder.ASK: {}}
        """Lots by tick, for the days that begin with it."""

    def start(self, depth: Depth, at_ns: int) -> None:
        """Write the book as it stands, before its changes."""
        self._update_id, self._day = depth.update_id, at_ns // DAY_NS
        for side, levels in ((ladder.BID, depth.bids), (ladder.ASK, depth.asks)):
            self._book[side].update(levels.tolist())
            self._write_side(side, levels, at_ns, -1)

    def write(self, rows: Rows) -> None:
        """Append a book's public rows, times on the wall clock. Of a trade's columns only the public ones are read."""
        of = {kind: rows[rows[:, ladder.KIND] == kind] for kind in (ladder.LEVEL, ladder.TRADE, ladder.TOUCH)}
        levels, trades, touch = of[ladder.LEVEL], of[ladder.TRADE], of[ladder.TOUCH]
        # As the public stream tells them: at the end of their interval.
        walls = (levels[:, ladder.TIME] // FRAME_NS + 1) * FRAME_NS
        for day in np.unique(walls // DAY_NS).tolist():
            is_of = walls // DAY_NS == day
            self._write_levels(day, levels[is_of], walls[is_of])
        self._write("trades", *(trades[:, c] for c in (ladder.TIME, ladder.TIME, ladder.ID, ladder.SIDE, ladder.TICK, ladder.LOTS)))
        best = (ladder.TIME, ladder.TIME, ladder.ID, ladder.TICK, ladder.LOTS, ladder.MAKER, ladder.TAKER)
        self._write("touch", *(touch[:, c] for c in best))

    def _write_levels(self, day: int, levels: Rows, walls: npt.NDArray[np.int64]) -> None:
        """Append level changes of one day, which begins with the book that stands."""
        if day != self._day:
            self._day = day
            for side, best_first in ((ladder.BID, -1), (ladder.ASK, 1)):
                held = [one for one in sorted(self._book[side].items(), key=lambda one: best_first * one[0]) if one[1]]
                self._book[side] = dict(held)
                self._write_side(side, np.array(held, np.int64).reshape(-1, 2), int(walls[0]), self._update_id)
        time, ids = levels[:, ladder.TIME], levels[:, ladder.ID]
        before = np.concatenate([[self._update_id], ids[:-1]])
        self._update_id = int(ids[-1])
        plain = [levels[:, c] for c in (ladder.ID, ladder.SIDE, ladder.TICK, ladder.LOTS)]
        # Spot's ids have no holes, futures ids jump.
        first = before + 1 if self._is_spot else ids
        self._write("depth", walls, time, first, before, *plain, np.zeros(len(levels), np.bool_))
        for side, book in self._book.items():
            is_side = levels[:, ladder.SIDE] == side
            book.update(zip(levels[is_side, ladder.TICK].tolist(), levels[is_side, ladder.LOTS].tolist(), strict=True))

    def _write_side(self, side: int, levels: npt.NDArray[np.int64], at_ns: int, previous_id: int) -> None:
        """Append one side of the book as it stands: `levels` are (tick, lots)."""
        count = len(levels)
        stamps, own = np.full(count, at_ns), np.full(count, self._update_id)
        ids = (own, np.full(count, previous_id), own)
        self._write("depth", stamps, stamps, *ids, np.full(count, side), levels[:, 0], levels[:, 1], np.ones(count, np.bool_))

    def close(self) -> None:
        """Close every file."""
        for table in self.tables.values():
            table.close()

    @property
    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return {name: table.rows for name, table in self.tables.items()}

    def _write(self, name: str, *columns: npt.NDArray[Any]) -> None:
        self.tables[name].write(dict(zip(TABLES[name], columns, strict=True)))


def date_of(day: int) -> str:
    """Return the date of a UTC day, counted from 1970."""
    return dt.datetime.fromtimestamp(day * 86_400, tz=dt.UTC).date().isoformat()


def instrument_folder(root: Path, instrument: Instrument) -> Path:
    """Return the folder of an instrument's days."""
    return root / instrument.venue / instrument.market.value / instrument.symbol


def metadata_of(instrument: Instrument) -> dict[str, str]:
    """Return what a file says of its instrument: names, and what a tick and a lot are worth."""
    return {
        "venue": instrument.venue,
        "market": instrument.market.value,
        "symbol": instrument.symbol,
        "tick_size": str(instrument.tick_size),
        "lot_size": str(instrument.lot_size),
        "instrument": msgspec.json.encode(instrument).decode(),
    }

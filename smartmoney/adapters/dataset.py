"""Write the dataset form: Parquet by venue, market, instrument and UTC day, whole numbers of ticks and lots.

`<root>/<venue>/<market>/<SYMBOL>/<YYYY-MM-DD>/<table>.parquet`. Polars and DuckDB read the files as they are. Bytes depend on the rows and
on pyarrow's version only: no clock, and row groups of a fixed size. Memory: one row group per open table.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.core.domain.instruments import Instrument
from smartmoney.simulation import ladder
from smartmoney.simulation.market import Depth, Rows

DATASET_VERSION = 1
GROUP_ROWS = 1 << 16
_DAY_NS = 86_400_000_000_000

Columns = Mapping[str, npt.NDArray[Any]]

DEPTH_COLUMNS = {"ts_event_ns": "i8", "update_id": "i8", "side": "i1", "price_ticks": "i8", "lots": "i8", "is_snapshot": "?"}
TRADE_COLUMNS = {"ts_event_ns": "i8", "trade_id": "i8", "aggressor_side": "i1", "price_ticks": "i8", "lots": "i8"}
TOUCH_COLUMNS = {"ts_event_ns": "i8", "update_id": "i8", "bid_ticks": "i8", "bid_lots": "i8", "ask_ticks": "i8", "ask_lots": "i8"}
"""Public tables. Sides: 0 is bid or buy, 1 is ask or sell. `lots` of a depth row is what the level holds from then on; 0 removes it."""


class ParquetTable:
    """Write one table, a file a day, in row groups of `GROUP_ROWS`. The first column is the time by which days are told."""

    def __init__(self, folder: Path, name: str, columns: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        import pyarrow as pa

        self._folder = folder
        self._name = name
        self._columns = {column: np.dtype(kind) for column, kind in columns.items()}
        fields = [pa.field(column, pa.from_numpy_dtype(kind), nullable=False) for column, kind in self._columns.items()]
        self._schema = pa.schema(fields, metadata={"dataset_version": str(DATASET_VERSION), **metadata})
        self._writer: Any = None
        self._day = -1
        self._waiting: list[dict[str, npt.NDArray[Any]]] = []
        self._waiting_rows = 0
        self.rows = 0

    def write(self, columns: Columns) -> None:
        """Append rows, ordered by time."""
        times = next(iter(columns.values()))
        start = 0
        while start < len(times):
            day = int(times[start]) // _DAY_NS
            if day != self._day:
                self._turn_to(day)
            end = int(np.searchsorted(times, (day + 1) * _DAY_NS, side="left"))
            self._waiting.append({name: np.asarray(columns[name][start:end], kind) for name, kind in self._columns.items()})
            self._waiting_rows += end - start
            self.rows += end - start
            start = end
            self._write_groups(GROUP_ROWS)

    def close(self) -> None:
        """Write what waits and close the file."""
        self._write_groups(1)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _turn_to(self, day: int) -> None:
        from pyarrow import parquet

        self.close()
        self._day = day
        date = dt.datetime.fromtimestamp(day * 86_400, tz=dt.UTC).date().isoformat()
        path = self._folder / date / f"{self._name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def _write_groups(self, least: int) -> None:
        import pyarrow as pa

        while self._waiting_rows >= least:
            whole = {name: np.concatenate([part[name] for part in self._waiting]) for name in self._columns}
            count = min(self._waiting_rows, GROUP_ROWS)
            group = [pa.array(values[:count]) for values in whole.values()]
            self._writer.write_table(pa.Table.from_arrays(group, schema=self._schema), row_group_size=GROUP_ROWS)
            self._waiting_rows -= count
            self._waiting = [{name: values[count:] for name, values in whole.items()}] if self._waiting_rows else []


class InstrumentDataset:
    """Write the public tables of one instrument: level changes, trades, touch."""

    def __init__(self, root: Path, instrument: Instrument) -> None:
        folder = instrument_folder(root, instrument)
        metadata = metadata_of(instrument)
        self._depth = ParquetTable(folder, "depth", DEPTH_COLUMNS, metadata)
        self._trades = ParquetTable(folder, "trades", TRADE_COLUMNS, metadata)
        self._touch = ParquetTable(folder, "touch", TOUCH_COLUMNS, metadata)

    def start(self, depth: Depth, at_ns: int) -> None:
        """Write the book as it stands, before its changes."""
        for side, levels in ((ladder.BID, depth.bids), (ladder.ASK, depth.asks)):
            count = len(levels)
            columns = (np.full(count, at_ns), np.full(count, depth.update_id), np.full(count, side), levels[:, 0], levels[:, 1])
            self._depth.write(dict(zip(DEPTH_COLUMNS, (*columns, np.ones(count, np.bool_)), strict=True)))

    def write(self, rows: Rows) -> None:
        """Append a book's public rows, times on the wall clock. Of a trade's columns only the public ones are read."""
        of = {kind: rows[rows[:, ladder.KIND] == kind] for kind in (ladder.LEVEL, ladder.TRADE, ladder.TOUCH)}
        levels, trades, touch = of[ladder.LEVEL], of[ladder.TRADE], of[ladder.TOUCH]
        plain = (ladder.TIME, ladder.ID, ladder.SIDE, ladder.TICK, ladder.LOTS)
        columns = [*(levels[:, c] for c in plain), np.zeros(len(levels), np.bool_)]
        self._depth.write(dict(zip(DEPTH_COLUMNS, columns, strict=True)))
        self._trades.write(dict(zip(TRADE_COLUMNS, (trades[:, c] for c in plain), strict=True)))
        best = (ladder.TIME, ladder.ID, ladder.TICK, ladder.LOTS, ladder.MAKER, ladder.TAKER)
        self._touch.write(dict(zip(TOUCH_COLUMNS, (touch[:, c] for c in best), strict=True)))

    def close(self) -> None:
        """Close every file."""
        for table in (self._depth, self._trades, self._touch):
            table.close()

    @property
    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        return {"depth": self._depth.rows, "trades": self._trades.rows, "touch": self._touch.rows}


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
    }

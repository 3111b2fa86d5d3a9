"""The feature table of a recording: a row per grid point of exchange time, a column per feature, in a file.

Invariants: rows come from the live compiled fold (`grid_fold`); not warm is NaN, never null and never 0; a file appears under its name
whole or not at all; memory is bounded by a block of rows, however long the recording.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH, VERSION
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.recorded import RecordedCodec, RecordingRefused, read_files

TIME_COLUMN = "ts_event_ns"
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
SUFFIXES = (".parquet", ".csv")
_BLOCK_ROWS = 4096
_METADATA = "smartmoney."
"""Prefix of this product's keys in a Parquet file's metadata."""


class TableJob(msgspec.Struct, frozen=True, kw_only=True):
    """Say what table to make: whose frames, on which grid (ns of exchange time), with which parameters, where to."""

    files: tuple[Path, ...]
    instrument: Instrument
    every_ns: int
    parameters: FeatureParameters
    out: Path


class TableSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Report a table that was made. `columns` counts the features, not the time; `frames` are those read, `levels` those applied."""

    symbol: str
    rows: int
    columns: int
    first_ts_event_ns: int
    last_ts_event_ns: int
    frames: int
    levels: int
    holes: int
    seconds: float
    out: str
    process: int
    provisional_grid: bool
    problems: tuple[str, ...]


class RowSink(Protocol):
    """Take rows in blocks."""

    def write(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Take `n` times and an `n` by features block; both belong to the caller, who reuses them."""


class RowBuffer:
    """Read a row of features per call of `take`, and hand blocks of them to a sink."""

    def __init__(self, sink: RowSink) -> None:
        self.rows = 0
        self.first_ns = 0
        self.last_ns = 0
        self._sink = sink
        self._times = np.zeros(_BLOCK_ROWS, np.int64)
        self._values = np.full((_BLOCK_ROWS, len(FEATURE_NAMES)), np.nan)
        self._held = 0

    def take(self, states: Any, ts_event_ns: int) -> None:
        """Read the row of `states[0]` as of a time."""
        self._times[self._held] = ts_event_ns
        read_row(states, 0, ts_event_ns, self._values[self._held])
        self._held += 1
        self.first_ns = self.first_ns or ts_event_ns
        self.last_ns = ts_event_ns
        self.rows += 1
        if self._held == _BLOCK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Hand over what is held."""
        if self._held:
            self._sink.write(self._times[: self._held], self._values[: self._held])
        self._held = 0


def check_fold(fold: GridFold, symbol: str, rows: int, problems: list[str]) -> None:
    """Refuse what gave no row, or never had a book.

    Raises:
        RecordingRefused: with what is missing, and what to do.
    """
    damage = f" ({'; '.join(problems)})" if problems else ""
    state = fold.states[0]
    if fold.frames == 0:
        raise RecordingRefused(f"the recordings are empty: they hold no frame{damage}")
    if int(state["depth"]) + int(state["trades"]) == 0:
        raise RecordingRefused(f"{symbol}: no depth or trade frame in the recordings{damage}; is --market right?")
    if int(state["snapshots"]) == 0:
        raise RecordingRefused(
            f"{symbol}: no depth snapshot in the recordings that reaches their depth frames{damage}; a book is built from a snapshot only: "
            "name the file that holds one as well, before the others"
        )
    unfit = int(state["malformed"]) + int(state["off_grid"]) + int(state["gaps"])
    if int(state["levels"]) == 0 and unfit > 0:
        raise RecordingRefused(f"{symbol}: no depth frame continues the snapshot, {unfit} do not fit{damage}; is --market right?")
    if rows == 0:
        raise RecordingRefused(f"{symbol}: the recordings end before the first row{damage}; choose a shorter --every")
    problems.extend(_losses(state))


def _losses(state: Any) -> list[str]:
    """Return what was lost of the recordings' frames, in words."""
    gaps, unreadable = int(state["gaps"]), int(state["malformed"]) + int(state["off_grid"])
    found = []
    if gaps:
        found.append(f"{gaps} gaps in the sequence of depth frames; from each to the next snapshot there is no book")
    if unreadable:
        found.append(f"{unreadable} unreadable depth or trade frames, which changed nothing")
    return found


def compute_table(job: TableJob, codec: RecordedCodec, store: PreparedRecordings | None = None) -> TableSummary:
    """Write one table; the file appears when it is whole. Recordings are read from their prepared form where there is a `store` of those.

    Raises:
        RecordingRefused: there is nothing to make a table of.
        OSError: a file cannot be read or written.
    """
    started = perf_counter()
    problems: list[str] = []
    with _open_sink(job, codec) as sink:
        rows = RowBuffer(sink)
        fold = GridFold(codec, job.instrument, job.parameters, job.every_ns, lambda ts_ns: rows.take(fold.states, ts_ns))
        fold.run(read_files(job.files, problems, store))
        check_fold(fold, job.instrument.symbol, rows.rows, problems)
        rows.flush()
    return TableSummary(
        symbol=job.instrument.symbol,
        rows=rows.rows,
        columns=len(FEATURE_NAMES),
        first_ts_event_ns=rows.first_ns,
        last_ts_event_ns=rows.last_ns,
        frames=fold.frames,
        levels=int(fold.states[0]["levels"]),
        holes=fold.holes,
        seconds=round(perf_counter() - started, 3),
        out=str(job.out),
        process=os.getpid(),
        provisional_grid=job.instrument.provisional,
        problems=tuple(problems),
    )


def metadata_of(job: TableJob, codec: RecordedCodec) -> dict[str, str]:
    """Return what a table says of itself, as text."""
    one = job.instrument
    found = {
        "schema_hash": SCHEMA_HASH,
        "schema_version": str(VERSION),
        "version": __version__,
        "venue": codec.name,
        "market": one.market.value,
        "symbol": one.symbol,
        "every_ns": str(job.every_ns),
        "tick_size": f"{one.tick_size:f}",
        "lot_size": f"{one.lot_size:f}",
        "provisional_grid": str(one.provisional).lower(),
        "parameters": msgspec.json.encode(job.parameters).decode(),
    }
    return {_METADATA + key: value for key, value in found.items()}


@contextmanager
def _open_sink(job: TableJob, codec: RecordedCodec) -> Iterator[RowSink]:
    """Give a sink that writes beside the table's name; the file takes the name at the end, or goes."""
    if not job.out.parent.is_dir():
        raise RecordingRefused(f"{job.out.parent}: no such folder to write {job.out.name} to; make it first")
    if job.out.is_dir():
        raise RecordingRefused(f"{job.out} is a folder; name a file to write to with --out")
    beside = job.out.with_name(f".{job.out.name}.{os.getpid()}.part")
    try:
        with _ArrowSink(beside, job.out.suffix, metadata_of(job, codec)) as sink:
            yield sink
        beside.replace(job.out)
    finally:
        beside.unlink(missing_ok=True)


class _ArrowSink:
    """Write Parquet or CSV with pyarrow, which is imported when a table is written and not before."""

    def __init__(self, path: Path, suffix: str, metadata: Mapping[str, str]) -> None:
        import pyarrow as pa

        fields = [pa.field(TIME_COLUMN, pa.int64(), nullable=False)]
        fields += [pa.field(name, pa.float64(), nullable=False) for name in FEATURE_NAMES]
        self._schema = pa.schema(fields, metadata=dict(metadata))
        if suffix == ".parquet":
            from pyarrow import parquet

            self._writer: Any = parquet.ParquetWriter(path, self._schema, compression="zstd")
        else:
            from pyarrow import csv

            self._writer = csv.CSVWriter(path, self._schema)

    def __enter__(self) -> "_ArrowSink":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._writer.close()

    def write(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        import pyarrow as pa

        # Copies: the caller reuses its block. NaN stays NaN, which a conversion through pandas would make null.
        columns = [pa.array(times.copy()), *(pa.array(np.ascontiguousarray(values[:, k])) for k in range(values.shape[1]))]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

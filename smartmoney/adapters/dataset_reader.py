"""Read a dataset: what it holds, and its rows, checked. `dataset_messages` and `dataset_frames` make of them what any recording holds.

Invariants: what is mended is counted, what cannot be is refused with file and column. Memory: one row group per table.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.adapters.dataset import BEGINS, DATASET_VERSION, GROUP_ROWS, TABLES, Columns
from smartmoney.adapters.history.events import Repairs
from smartmoney.core.book.grid import step_of
from smartmoney.core.domain.instruments import Instrument

_YEARS_NS = (1_230_768_000 * 1_000_000_000, 2_524_608_000 * 1_000_000_000)
_UNITS = (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000))


class DatasetRefused(Exception):
    """Say what is wrong with a dataset, and the remedy."""

    exit_code = 1


class StoredInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Be one instrument of a dataset and the days that there are of it."""

    folder: Path
    instrument: Instrument
    days: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return its place below the root."""
        return "/".join(self.folder.parts[-3:])

    def is_of(self, market: str | None, symbol: str | None) -> bool:
        """Tell whether it is of a market and a symbol; None is any."""
        one = self.instrument
        return (market or one.market.value) == one.market.value and (symbol or one.symbol).upper() == one.symbol.upper()

    def missing_days(self) -> tuple[str, ...]:
        """Return the days between the first and the last that are not there."""
        first, last = (dt.date.fromisoformat(self.days[place]) for place in (0, -1))
        every = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
        return tuple(day.isoformat() for day in every if day.isoformat() not in self.days)

    def between(self, first: str | None, last: str | None) -> "StoredInstrument":
        """Return it with the days of a stretch alone, both ends included.

        Raises:
            DatasetRefused: an end is no date, or no day is left.
        """
        for text in (first, last):
            try:
                dt.date.fromisoformat(text or "2000-01-01")
            except ValueError:
                raise DatasetRefused(f"{text!r} is no day; YYYY-MM-DD is wanted") from None
        days = tuple(day for day in self.days if (first or day) <= day <= (last or day))
        if not days:
            raise DatasetRefused(
                f"{self.folder}: no day from {first or 'the first'} to {last or 'the last'}; there are {spoken(self.days)}"
            )
        return msgspec.structs.replace(self, days=days)


def spoken(days: Sequence[str]) -> str:
    """Return days in words."""
    return days[0] if len(days) == 1 else f"{len(days)} from {days[0]} to {days[-1]}"


def stored_instruments(root: Path) -> list[StoredInstrument]:
    """Return what a dataset holds, by folder.

    Raises:
        DatasetRefused: there is nothing, or a file does not say whose it is.
    """
    found = []
    for folder in sorted(path for path in root.glob("*/*/*") if path.is_dir()):
        days = tuple(sorted(day.name for day in folder.iterdir() if _is_date(day.name) and any(day.glob("*.parquet"))))
        if any((folder / day / f"{table}.parquet").is_file() for day in days for table in TABLES):
            found.append(StoredInstrument(folder=folder, instrument=_instrument(folder, days), days=days))
    if not found:
        raise DatasetRefused(f"{root}: no dataset; VENUE/MARKET/SYMBOL/YYYY-MM-DD/depth.parquet is looked for below it")
    return found


def choose(root: Path, market: str | None = None, symbol: str | None = None) -> StoredInstrument:
    """Return the one instrument that is meant.

    Raises:
        DatasetRefused: there is none such, or several.
    """
    every = stored_instruments(root)
    found = [one for one in every if one.is_of(market, symbol)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(one.key for one in (found or every))
    raise DatasetRefused(f"{root} holds {there}; choose one of them with --symbol and --market, or all of a market with --symbol all")


def chosen_of(root: Path, market: str | None, symbols: Sequence[str]) -> list[StoredInstrument]:
    """Return the instruments of one venue and market that are meant: those named, all of them for `all`, the only one for none.

    Raises:
        DatasetRefused: one is not there, several are meant by one name, or they are of several venues or markets.
    """
    if any(symbol.lower() == "all" for symbol in symbols):
        found = [one for one in stored_instruments(root) if one.is_of(market, None)]
    else:
        named = (choose(root, market, symbol) for symbol in (symbols or (None,)))
        # However often one is named, in whatever letters, it is one.
        found = list({one.key: one for one in named}.values())
    if len({(one.instrument.venue, one.instrument.market) for one in found}) != 1:
        there = ", ".join(one.key for one in found) or "nothing of that market"
        raise DatasetRefused(f"{root}: {there} is meant, and one venue and market belong together; choose with --symbol and --market")
    return found


def together(root: Path, market: str | None, symbols: str, first: str | None, last: str | None) -> list[StoredInstrument]:
    """Return the instruments of one stretch, named with commas between them, each with the days that it has of it.

    Raises:
        DatasetRefused: as `chosen_of`, or one has no day of the stretch.
    """
    return [one.between(first, last) for one in chosen_of(root, market, [name.strip() for name in symbols.split(",")])]


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _instrument(folder: Path, days: Sequence[str]) -> Instrument:
    """Return the instrument that all days agree on."""
    known: Instrument | None = None
    for day in days:
        for path in sorted((folder / day).glob("*.parquet")):
            if path.stem not in TABLES:
                continue
            said = _said_in(path)
            if (said.venue, said.market.value, said.symbol) != folder.parts[-3:]:
                raise DatasetRefused(
                    f"{path}: of {said.venue}/{said.market.value}/{said.symbol}, which is another instrument than its folder's"
                )
            if known is not None and (said.tick_size, said.lot_size) != (known.tick_size, known.lot_size):
                grids = [f"tick {one.tick_size:f}, lot {one.lot_size:f}" for one in (known, said)]
                raise DatasetRefused(f"{path}: {grids[1]}, but {grids[0]} before it; keep days of different grids in different roots")
            known = known or said
    if known is None:
        raise DatasetRefused(f"{folder}: no table")
    return known


def _said_in(path: Path) -> Instrument:
    metadata = open_table(path).schema_arrow.metadata or {}
    try:
        version = int(metadata[b"dataset_version"])
        said: Instrument = msgspec.json.decode(metadata[b"instrument"], type=Instrument)
        step_of(said.tick_size), step_of(said.lot_size)
    except (KeyError, ValueError, msgspec.MsgspecError) as problem:
        raise DatasetRefused(f"{path}: its metadata does not say what it is ({problem}); write it with `smartmoney export`") from None
    if version != DATASET_VERSION:
        raise DatasetRefused(f"{path}: version {version} of the dataset form, {DATASET_VERSION} is read; write it anew")
    return said


def open_table(path: Path) -> Any:
    """Open one file and check its columns.

    Raises:
        DatasetRefused: it is no whole Parquet file, or a column is missing or of another kind.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # What is fetched ahead would stay until the file is closed.
        opened = parquet.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as problem:
        raise DatasetRefused(f"{path}: no whole Parquet file ({str(problem).splitlines()[0]}); write that day again") from None
    wanted = TABLES[path.stem]
    missing = [name for name in wanted if name not in opened.schema_arrow.names]
    if missing:
        raise DatasetRefused(f"{path}: no column {', '.join(missing)}; there are {', '.join(opened.schema_arrow.names)}")
    for name, kind in wanted.items():
        if opened.schema_arrow.field(name).type != pa.from_numpy_dtype(np.dtype(kind)):
            raise DatasetRefused(f"{path}: column {name} is {opened.schema_arrow.field(name).type}; {np.dtype(kind)} is wanted")
    return opened


def batches(path: Path, repairs: Repairs) -> Iterator[Columns]:
    """Yield a table's columns a row group at a time, checked: whole numbers that can be, times in order.

    Raises:
        DatasetRefused: a value cannot be, with its column.
    """
    import pyarrow as pa

    last_ns = 0
    try:
        for batch in open_table(path).iter_batches(batch_size=GROUP_ROWS, columns=list(TABLES[path.stem])):
            if any(column.null_count for column in batch.columns):
                raise DatasetRefused(f"{path}: empty cells; every column must have a value in each row")
            columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in TABLES[path.stem]}
            if len(batch):
                columns["ts_wall_ns"] = _in_order(columns["ts_wall_ns"], last_ns, path, repairs)
                last_ns = int(columns["ts_wall_ns"][-1])
                _check(columns, path)
                yield columns
    except (pa.ArrowException, OSError) as problem:
        raise DatasetRefused(f"{path}: damaged ({str(problem).splitlines()[0]}); write that day again") from None


def _in_order(times: npt.NDArray[np.int64], last_ns: int, path: Path, repairs: Repairs) -> npt.NDArray[np.int64]:
    low, high = int(times.min()), int(times.max())
    if not _YEARS_NS[0] <= low <= high < _YEARS_NS[1]:
        odd = low if low < _YEARS_NS[0] else high
        unit = next((name for name, per in _UNITS if _YEARS_NS[0] <= odd * per < _YEARS_NS[1]), None)
        raise DatasetRefused(f"{path}: ts_wall_ns {odd} is {f'in {unit}' if unit else 'no time between 2009 and 2050'}; ns are wanted")
    steps = np.diff(times, prepend=last_ns)
    backwards = int((steps < 0).sum())
    if not backwards:
        return times
    repairs.note(f"{path.stem} rows received before the one above them, stamped with its time", backwards)
    ordered: npt.NDArray[np.int64] = np.maximum(np.maximum.accumulate(times), last_ns)
    return ordered


_AT_LEAST = {
    "price_ticks": 1,
    "trade_id": 0,
    "ts_event_ns": 0,
    "prev_update_id": -1,
    "update_id": 0,
    "first_update_id": 0,
    "bid_ticks": -1,
    "next_ns": 1,
    "mark_e8": 0,
}


def _check(columns: Columns, path: Path) -> None:
    for name, least in (*_AT_LEAST.items(), ("lots", 1 if path.stem == "trades" else 0)):
        if name in columns and int(columns[name].min()) < least:
            raise DatasetRefused(f"{path}: {name} {int(columns[name].min())}; at least {least} is wanted")
    for name in ("side", "aggressor_side"):
        if name in columns and not np.isin(columns[name], (0, 1)).all():
            raise DatasetRefused(f"{path}: a {name} that is neither 0 (bid, buy) nor 1 (ask, sell)")
    events = columns["ts_event_ns"]
    known = events[events > 0]
    if len(known) and not _YEARS_NS[0] <= int(known.min()) <= int(known.max()) < _YEARS_NS[1]:
        raise DatasetRefused(f"{path}: ts_event_ns {int(known.min())} is no time in ns between 2009 and 2050; is the unit right?")


def span_ns(stored: StoredInstrument) -> tuple[int, int]:
    """Return when the first row was received and when the last, as the footers of the files tell it; 0 and 0 where they do not."""
    times: list[int] = []
    for day in (stored.days[0], stored.days[-1]):
        for path in filter(Path.is_file, (stored.folder / day / f"{table}.parquet" for table in ("depth", "trades"))):
            footer = open_table(path).metadata
            for group in (0, footer.num_row_groups - 1) if footer.num_row_groups else ():
                told = footer.row_group(group).column(footer.schema.names.index("ts_wall_ns")).statistics
                times += [told.min, told.max] if told is not None and told.has_min_max else []
    return min(times, default=0), max(times, default=0)


def begins_ns(stored: StoredInstrument) -> int:
    """Return when the first day's recording began, 0 if its files do not say."""
    for table in TABLES:
        path = stored.folder / stored.days[0] / f"{table}.parquet"
        if path.is_file():
            said = (open_table(path).schema_arrow.metadata or {}).get(BEGINS.encode(), b"0")
            return int(said) if said.isdigit() else 0
    return 0

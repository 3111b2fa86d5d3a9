"""hftbacktest's npz: events of 64 bytes with flags, exchange and local time in ns, price and quantity as floats; read and written.

Only events marked LOCAL are what the recorder saw; a snapshot is a run of SNAPSHOT rows after a CLEAR. Source: hftbacktest,
`py-hftbacktest/hftbacktest/types.py` and "Data Preparation" (2.4).
"""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.adapters.history.events import (
    Event,
    Events,
    HistoryRefused,
    Level,
    LevelsChanged,
    Printed,
    Repairs,
    decimal_text,
)

EVENT = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
DEPTH, TRADE, CLEAR, SNAPSHOT, TOUCH = 1, 2, 3, 4, 5
BUY, SELL = 1 << 29, 1 << 28
EXCHANGE, LOCAL = 1 << 31, 1 << 30
_OWN = ("ns",)
_KIND = 0xFF
_ROWS_AT_ONCE = 1 << 16


def read_hftbacktest(path: Path, repairs: Repairs, symbol: str | None = None) -> Events:
    """Yield the events of a file; such files name no symbol: without one it is the word that the file's name begins with.

    Raises:
        HistoryRefused: it is no such file.
        OSError: it cannot be read.
    """
    rows = _rows(path)
    symbol = name_of(path) if symbol is None else symbol.upper()
    message: list[Any] = []
    last: tuple[int, bool] = (0, False)
    first_ns = _first_time(rows)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        for row in rows[start : start + _ROWS_AT_ONCE].tolist():
            kind = row[0] & _KIND
            if not row[0] & LOCAL:
                repairs.note("events that only the exchange saw, left out")
                continue
            if kind not in (DEPTH, TRADE, CLEAR, SNAPSHOT):
                repairs.note("best quotes beside the book, left out" if kind == TOUCH else f"events of kind {kind}, left out")
                continue
            # The snapshot of the day before may have no time of its own.
            stamped = row if row[2] > 0 else (row[0], first_ns, first_ns, *row[3:])
            key = (stamped[2], kind in (CLEAR, SNAPSHOT))
            if message and (key != last or kind == TRADE):
                yield _levels(message, symbol, path, repairs)
                message = []
            last = key
            if kind == TRADE:
                yield _printed(stamped, symbol, path, repairs)
            else:
                message.append(stamped)
    if message:
        yield _levels(message, symbol, path, repairs)


def name_of(path: Path) -> str:
    """Return the word that a file's name begins with."""
    return path.name.partition("_")[0].partition("-")[0].partition(".")[0].upper()


def write_hftbacktest(events: Iterable[Event], path: Path) -> int:
    """Write events, ordered by receive time, as an npz; return its rows. Memory: all rows, some 300 bytes each.

    Raises:
        OSError: it cannot be written.
    """
    parts: list[npt.NDArray[Any]] = []
    waiting: list[tuple[int, int, int, float, float, int, int, float]] = []
    for event in events:
        waiting.extend(_rows_of(event))
        if len(waiting) >= _ROWS_AT_ONCE:
            parts.append(np.array(waiting, EVENT))
            waiting.clear()
    parts.append(np.array(waiting, EVENT))
    rows = _both_in_order(np.concatenate(parts))
    np.savez_compressed(path, data=rows)
    return len(rows)


def _both_in_order(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return rows that are in order for the exchange and for the recorder alike: a row that is not is given twice, once to each."""
    by_exchange = np.argsort(rows["exch_ts"], kind="stable").tolist()
    by_local = np.argsort(rows["local_ts"], kind="stable").tolist()
    times = rows["exch_ts"].tolist()
    chosen: list[int] = []
    marks: list[int] = []
    i = j = 0
    count = len(times)
    while i < count or j < count:
        if i < count and j < count and by_exchange[i] == by_local[j]:
            mark, row, i, j = EXCHANGE | LOCAL, by_exchange[i], i + 1, j + 1
        elif j >= count or (i < count and times[by_exchange[i]] <= times[by_local[j]]):
            mark, row, i = EXCHANGE, by_exchange[i], i + 1
        else:
            mark, row, j = LOCAL, by_local[j], j + 1
        chosen.append(row)
        marks.append(mark)
    found = rows[chosen]
    found["ev"] = (found["ev"] & np.uint64(0xFFFF_FFFF ^ EXCHANGE ^ LOCAL)) | np.array(marks, np.uint64)
    return found


def _rows(path: Path) -> npt.NDArray[Any]:
    if not zipfile.is_zipfile(path):
        raise HistoryRefused(f"{path}: no npz of hftbacktest; is it whole, and saved by np.savez?")
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            rows: npt.NDArray[Any] = archive["data" if "data" in names else names[0]]
    except (ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as problem:
        raise HistoryRefused(f"{path}: no npz of hftbacktest ({problem}); is it whole?") from None
    if not isinstance(rows, np.ndarray):
        raise HistoryRefused(f"{path}: no npz of hftbacktest, but an archive of {names[0]}; which form is it? `smartmoney import --help`")
    missing = [name for name in ("ev", "exch_ts", "local_ts", "px", "qty") if name not in (rows.dtype.names or ())]
    if missing:
        raise HistoryRefused(f"{path}: its rows lack {', '.join(missing)}; version 2 of hftbacktest's form is wanted")
    return rows


def _first_time(rows: npt.NDArray[Any]) -> int:
    timed = rows["local_ts"] > 0
    return int(rows["local_ts"][int(np.argmax(timed))]) if timed.any() else 0


def _levels(rows: list[Any], symbol: str, path: Path, repairs: Repairs) -> LevelsChanged:
    """Return what one message did; a CLEAR makes its side whole, what a snapshot then says of it included."""
    sides: tuple[list[Level], list[Level]] = ([], [])
    whole: set[int] = set()
    for row in rows:
        side = 0 if row[0] & BUY else 1
        kind = row[0] & _KIND
        if kind in (CLEAR, SNAPSHOT):
            whole.add(side)
        if kind != CLEAR:
            sides[side].append((_text(row[3], path, may_be_zero=False), _text(row[4], path, may_be_zero=True)))
    first = rows[0]
    wall, event = repairs.time(first[2], f"{path}: local_ts", _OWN), repairs.time(first[1] or first[2], f"{path}: exch_ts", _OWN)
    only = next(iter(whole)) if len(whole) == 1 else -1
    return LevelsChanged(wall, event, symbol, bool(whole), tuple(sides[0]), tuple(sides[1]), only)


def _printed(row: Any, symbol: str, path: Path, repairs: Repairs) -> Printed:
    wall, event = repairs.time(row[2], f"{path}: local_ts", _OWN), repairs.time(row[1], f"{path}: exch_ts", _OWN)
    price, size = _text(row[3], path, may_be_zero=False), _text(row[4], path, may_be_zero=False)
    return Printed(wall, event, symbol, -1, price, size, not row[0] & BUY)


def _text(value: float, path: Path, *, may_be_zero: bool) -> str:
    return decimal_text(repr(value), f"{path}: px or qty", may_be_zero=may_be_zero)


def _rows_of(event: Event) -> Iterator[tuple[int, int, int, float, float, int, int, float]]:
    both = EXCHANGE | LOCAL
    if isinstance(event, Printed):
        side = SELL if event.buyer_is_maker else BUY
        yield both | side | TRADE, event.event_ns, event.wall_ns, float(event.price), float(event.quantity), 0, 0, 0.0
        return
    if not isinstance(event, LevelsChanged):
        return  # that form has no place for funding
    kind = SNAPSHOT if event.is_whole else DEPTH
    for side, levels in ((BUY, event.bids), (SELL, event.asks)):
        if event.is_whole and levels:
            yield both | side | CLEAR, event.event_ns, event.wall_ns, float(levels[-1][0]), 0.0, 0, 0, 0.0
        for price, quantity in levels:
            yield both | side | kind, event.event_ns, event.wall_ns, float(price), float(quantity), 0, 0, 0.0

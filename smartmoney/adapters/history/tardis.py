"""Tardis CSV: incremental_book_L2, trades, book_snapshot_5 and _25, derivative_ticker, told apart by their columns.

Times are in us. Rows of one message stand together and share `local_timestamp`; rows marked `is_snapshot` are a whole book, which begins
anew after a reconnection. Source: Tardis documentation, "CSV data types" (2026).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from smartmoney.adapters.history.events import (
    Event,
    Events,
    FundingTold,
    HistoryRefused,
    Level,
    LevelsChanged,
    Printed,
    Repairs,
    columns_of,
    decimal_text,
    lacking,
    level_of,
    signed_text,
)
from smartmoney.adapters.history.texts import CsvRows, header_of, located

_BOOK = ("symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount")
_TRADES = ("symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
_FUNDING = ("symbol", "timestamp", "local_timestamp", "funding_timestamp", "funding_rate", "mark_price")
_STAMPS = ("symbol", "timestamp", "local_timestamp")
_OWN = ("us",)
_SIDES = {"bid": 0, "ask": 1}
_LEVEL = re.compile(r"(asks|bids)\[(\d+)\]\.(price|amount)")


def read_tardis(path: Path, repairs: Repairs, market: str | None = None) -> Events:
    """Yield the events of a file; `market` is the one that is meant.

    Raises:
        HistoryRefused: it is none of these, of another market or exchange, or holds something that cannot be.
        OSError: it cannot be read.
    """
    table = CsvRows(path, repairs)
    header = header_of(path, table)
    names = [name.strip().lower() for name in header]
    rows = _of_one_exchange(table, names, market, path, repairs)
    if "is_snapshot" in names:
        repairs.agree("books", "incremental_book_L2", str(path))
        yield from located(_book(rows, columns_of(names, _BOOK, str(path)), path, repairs), table)
    elif any(_LEVEL.fullmatch(name) for name in names):
        repairs.agree("books", "book_snapshot", str(path))
        places = columns_of(names, _STAMPS, str(path))
        yield from located(_snapshots(rows, names, places, path, repairs), table)
    elif "funding_rate" in names:
        yield from located(_funding(rows, columns_of(names, _FUNDING, str(path)), path, repairs), table)
    elif "id" in names:
        yield from located(_trades(rows, columns_of(names, _TRADES, str(path)), path, repairs), table)
    else:
        closest = lacking(header, {"incremental_book_L2": _BOOK, "trades": _TRADES})
        kinds = "neither incremental_book_L2, trades, derivative_ticker nor book_snapshot"
        raise HistoryRefused(f"{path}: {kinds}{closest}; its columns are {', '.join(header)}")


def _of_one_exchange(
    rows: Iterator[list[str]], names: Sequence[str], market: str | None, path: Path, repairs: Repairs
) -> Iterator[list[str]]:
    if "exchange" not in names:
        yield from rows
        return
    at, known = names.index("exchange"), ""
    for row in rows:
        if row[at] != known:
            known = row[at]
            repairs.exchange(known, market, str(path))
        yield row


def _book(rows: Iterator[list[str]], at: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    symbol, stamp, local, whole, side, price, amount = at
    for key, message in groupby(rows, key=lambda row: (row[symbol], row[local], row[whole].lower() == "true")):
        sides: tuple[list[Level], list[Level]] = ([], [])
        event_ns = 0
        for row in message:
            event_ns = repairs.time(row[stamp], f"{path}: timestamp", _OWN)
            name = row[side].lower()
            if name not in _SIDES:
                raise HistoryRefused(f"{path}: side {row[side]!r}; bid or ask is wanted")
            sides[_SIDES[name]].append(level_of(row[price], row[amount], str(path)))
        yield LevelsChanged(
            repairs.time(key[1], f"{path}: local_timestamp", _OWN), event_ns, key[0], key[2], tuple(sides[0]), tuple(sides[1])
        )


def _snapshots(rows: Iterator[list[str]], names: Sequence[str], stamps: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    symbol, stamp, local = stamps
    places: dict[str, dict[int, dict[str, int]]] = {"bids": {}, "asks": {}}
    for number, name in enumerate(names):
        found = _LEVEL.fullmatch(name)
        if found:
            places[found[1]].setdefault(int(found[2]), {})[found[3]] = number

    def levels(row: Sequence[str], side: str) -> tuple[Level, ...]:
        pairs = ((row[place["price"]], row[place["amount"]]) for _, place in sorted(places[side].items()))
        return tuple(level_of(price, amount, f"{path}: {side}") for price, amount in pairs if price)

    for row in rows:
        wall, event = repairs.time(row[local], f"{path}: local_timestamp", _OWN), repairs.time(row[stamp], f"{path}: timestamp", _OWN)
        yield LevelsChanged(wall, event, row[symbol], True, levels(row, "bids"), levels(row, "asks"))


def _trades(rows: Iterator[list[str]], at: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    symbol, stamp, local, name, side, price, amount = at
    for row in rows:
        aggressor = row[side].lower()
        if aggressor not in {"buy", "sell"}:
            repairs.note("trades whose side is unknown, left out")
            continue
        yield Printed(
            repairs.time(row[local], f"{path}: local_timestamp", _OWN),
            repairs.time(row[stamp], f"{path}: timestamp", _OWN),
            row[symbol],
            int(row[name]) if row[name].isdecimal() else -1,
            decimal_text(row[price], f"{path}: price", may_be_zero=False),
            decimal_text(row[amount], f"{path}: amount", may_be_zero=False),
            aggressor == "sell",
            "" if row[name].isdecimal() else row[name],
        )


def _funding(rows: Iterator[list[str]], at: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    symbol, stamp, local, due, rate, mark = at
    for row in rows:
        if not (row[due] and row[rate] and row[mark]):
            repairs.note("rows of derivative_ticker without a rate, its time or a mark price, left out")
            continue
        yield FundingTold(
            repairs.time(row[local], f"{path}: local_timestamp", _OWN),
            repairs.time(row[stamp], f"{path}: timestamp", _OWN),
            row[symbol],
            decimal_text(row[mark], f"{path}: mark_price", may_be_zero=False),
            signed_text(row[rate], f"{path}: funding_rate"),
            repairs.time(row[due], f"{path}: funding_timestamp", _OWN),
        )

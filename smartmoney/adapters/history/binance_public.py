"""Binance's public data: trades, aggTrades, bookTicker and fundingRate in zips, and T_DEPTH book updates with their snapshots.

Spot files have no header, and times in us since 2025-01-01 (ms before); futures files have a header since 2022. bookDepth holds depth by
percent from the mid and no prices, from which no book can be made. Source: binance-public-data, README (2026).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

from smartmoney.adapters.history.binance_funding import COLUMNS as _FUNDING
from smartmoney.adapters.history.binance_funding import read_funding
from smartmoney.adapters.history.events import (
    Event,
    Events,
    HistoryRefused,
    Level,
    LevelsChanged,
    Printed,
    Repairs,
    columns_of,
    decimal_text,
    lacking,
    level_of,
    whole_number,
)
from smartmoney.adapters.history.texts import CsvRows, header_of, located

_TRADES = ("id", "price", "qty", "time", "is_buyer_maker")
_TRADES_WITHOUT_HEADER = (0, 1, 2, 4, 5)
_AGGREGATED = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")
_TICKER = ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time")
_DEPTH = ("symbol", "timestamp", "last_update_id", "side", "update_type", "price", "qty")
_PREVIOUS = "pu"
"""Column of T_DEPTH that futures have: the id that an update must follow."""
_OWN = ("ms", "us")
_NAMED = re.compile(r"(.+?)[-_](?:trades|aggTrades|bookTicker|bookDepth|fundingRate|T_DEPTH)", re.IGNORECASE)
_PERCENT = ("timestamp", "percentage", "depth", "notional")


def read_binance_public(path: Path, repairs: Repairs, symbol: str | None = None) -> Events:
    """Yield the events of a file; the symbol is that of the file's name, as Binance names them, else `symbol`.

    Raises:
        HistoryRefused: it is of another kind, or holds something that cannot be.
        OSError: it cannot be read.
    """
    rows = CsvRows(path, repairs)
    first = header_of(path, rows)
    kind, places = _kind_of(first, path)
    repairs.agree(_TELLS[kind], kind, str(path))
    read_from: Iterator[list[str]] = chain([first], rows) if _is_row(first) else rows
    yield from located(_READERS[kind](read_from, places, path, _symbol(path, symbol), repairs), rows)


def _is_row(first: Sequence[str]) -> bool:
    return first[0].isdecimal()


def _kind_of(first: Sequence[str], path: Path) -> tuple[str, Sequence[int]]:
    """Return what kind of file begins with a row, and where its columns are."""
    names = [name.strip().lower() for name in first]
    if set(_PERCENT) <= set(names):
        raise HistoryRefused(f"{path}: bookDepth has depth by percentage, no prices, so no book: take bookTicker or T_DEPTH")
    for kind, wanted in _COLUMNS.items():
        if set(wanted) <= set(names):
            return kind, columns_of(names, [*wanted, _PREVIOUS] if _PREVIOUS in names else wanted, str(path))
    if _is_row(first) and "aggtrades" in path.name.lower():
        return "aggTrades", range(7)
    if _is_row(first) and "trades" in path.name.lower():
        return "trades", _TRADES_WITHOUT_HEADER
    if _is_row(first):
        raise HistoryRefused(f"{path}: no header, and neither trades nor aggTrades in its name; name it as Binance does")
    raise HistoryRefused(f"{path}: no header of {', '.join(_COLUMNS)}{lacking(first, _COLUMNS)}; its columns are {', '.join(first)}")


def plain_name(path: Path) -> str | None:
    """Return the name of a file that is not named as Binance does, None of one that is."""
    return None if _NAMED.match(path.name) else path.name.partition(".")[0].upper()


def _symbol(path: Path, chosen: str | None) -> str:
    found = _NAMED.match(path.name)
    return (found[1] if found else chosen or path.name.partition(".")[0]).upper()


def _trades(rows: Iterator[list[str]], at: Sequence[int], path: Path, symbol: str, repairs: Repairs) -> Iterator[Event]:
    name, price, quantity, time, maker = at
    for row in rows:
        yield from _printed(path, symbol, repairs, row[time], row[name], row[price], row[quantity], row[maker])


def _aggregated(rows: Iterator[list[str]], at: Sequence[int], path: Path, symbol: str, repairs: Repairs) -> Iterator[Event]:
    name, price, quantity, first, last, time, maker = at
    for row in rows:
        more = whole_number(row[last], f"{path}: last_trade_id") - whole_number(row[first], f"{path}: first_trade_id")
        repairs.note("prints that an aggregated trade stands for beyond itself", more)
        yield from _printed(path, symbol, repairs, row[time], row[name], row[price], row[quantity], row[maker])


def _printed(path: Path, symbol: str, repairs: Repairs, time: str, name: str, price: str, quantity: str, maker: str) -> Iterator[Printed]:
    at = repairs.time(time, f"{path}: time", _OWN)
    if maker.lower() not in {"true", "false"}:
        raise HistoryRefused(f"{path}: is_buyer_maker {maker!r}; true or false is wanted")
    cost = decimal_text(price, f"{path}: price", may_be_zero=True)
    size = decimal_text(quantity, f"{path}: quantity", may_be_zero=True)
    if "0" in (cost, size):
        repairs.note("trades without a price or size, left out")
        return
    yield Printed(at, at, symbol, whole_number(name, f"{path}: id"), cost, size, maker.lower() == "true")


def _ticker(rows: Iterator[list[str]], at: Sequence[int], path: Path, symbol: str, repairs: Repairs) -> Iterator[Event]:
    _, bid, bid_size, ask, ask_size, transaction, event = at
    for row in rows:
        texts = [decimal_text(row[place], f"{path}: quote", may_be_zero=True) for place in (bid, bid_size, ask, ask_size)]
        if "0" in texts:
            repairs.note("quotes without a price or size, left out")
            continue
        wall = repairs.time(row[event], f"{path}: event_time", _OWN)
        stamp = repairs.time(row[transaction], f"{path}: transaction_time", _OWN)
        yield LevelsChanged(wall, stamp, symbol, True, ((texts[0], texts[1]),), ((texts[2], texts[3]),))


def _depth(rows: Iterator[list[str]], at: Sequence[int], path: Path, _symbol: str, repairs: Repairs) -> Iterator[Event]:
    symbol, time, last, side, kind, price, quantity, *rest = at
    for key, message in groupby(rows, key=lambda row: (row[symbol], row[time], row[last], row[kind] == "snap", *(row[k] for k in rest))):
        sides: dict[str, list[Level]] = {"b": [], "a": []}
        for row in message:
            if row[side] not in sides:
                raise HistoryRefused(f"{path}: side {row[side]!r}; a or b is wanted")
            sides[row[side]].append(level_of(row[price], row[quantity], str(path)))
        wall = repairs.time(key[1], f"{path}: timestamp", _OWN)
        own = whole_number(key[2], f"{path}: last_update_id")
        before = whole_number(key[4] or "-1", f"{path}: pu") if rest else -1
        levels = (tuple(sides["b"]), tuple(sides["a"]))
        yield LevelsChanged(wall, wall, key[0], key[3], *levels, update_id=own, previous_id=-1 if key[3] else before)


_Reader = Callable[[Iterator[list[str]], Sequence[int], Path, str, Repairs], Iterator[Event]]
_COLUMNS: dict[str, Sequence[str]] = {
    "aggTrades": _AGGREGATED,
    "trades": _TRADES,
    "bookTicker": _TICKER,
    "T_DEPTH": _DEPTH,
    "fundingRate": _FUNDING,
}
_READERS: dict[str, _Reader] = {
    "aggTrades": _aggregated,
    "trades": _trades,
    "bookTicker": _ticker,
    "T_DEPTH": _depth,
    "fundingRate": read_funding,
}
_TELLS = {"aggTrades": "trades", "trades": "trades", "bookTicker": "books", "T_DEPTH": "books", "fundingRate": "funding"}
"""What a kind of file tells: two kinds that tell the same are not put together."""

"""Binance's public data: trades, aggTrades and bookTicker in zips, and T_DEPTH book updates with their snapshots.

Spot files have no header, and times in us since 2025-01-01 (ms before); futures files have a header since 2022. bookDepth holds depth by
percent from the mid and no prices, from which no book can be made. Source: binance-public-data, README (2026).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

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
    level_of,
    nanoseconds,
    whole_number,
)
from smartmoney.adapters.history.texts import csv_rows

_TRADES = ("id", "price", "qty", "time", "is_buyer_maker")
_TRADES_WITHOUT_HEADER = (0, 1, 2, 4, 5)
_AGGREGATED = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker")
_TICKER = ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time", "event_time")
_DEPTH = ("symbol", "timestamp", "last_update_id", "side", "update_type", "price", "qty")
_PREVIOUS = "pu"
"""Column of T_DEPTH that futures have: the id that an update must follow."""
_NAMED = re.compile(r"(.+?)[-_](?:trades|aggTrades|bookTicker|bookDepth|T_DEPTH)", re.IGNORECASE)
_PERCENT = ("timestamp", "percentage", "depth", "notional")


def read_binance_public(path: Path, repairs: Repairs) -> Events:
    """Yield the events of a file; the symbol is that of the file's name, as Binance names them.

    Raises:
        HistoryRefused: it is of another kind, or holds something that cannot be.
        OSError: it cannot be read.
    """
    rows = csv_rows(path, repairs)
    first = next(rows, None)
    if first is None:
        raise HistoryRefused(f"{path}: empty")
    names = [name.strip().lower() for name in first]
    if set(_PERCENT) <= set(names):
        raise HistoryRefused(f"{path}: bookDepth has depth by percentage, no prices, so no book: take bookTicker or T_DEPTH")
    for wanted, read in _KINDS:
        if set(wanted) <= set(names):
            places = columns_of(names, wanted, str(path))
            yield from read(rows, [*places, *columns_of(names, [_PREVIOUS], str(path))] if _PREVIOUS in names else places, path, repairs)
            return
    if first[0].isdecimal() and "aggtrades" in path.name.lower():
        yield from _aggregated(chain([first], rows), range(7), path, repairs)
    elif first[0].isdecimal() and "trades" in path.name.lower():
        yield from _trades(chain([first], rows), _TRADES_WITHOUT_HEADER, path, repairs)
    else:
        raise HistoryRefused(f"{path}: no header of trades, aggTrades, bookTicker or T_DEPTH, and none of these words in its name")


def _symbol(path: Path) -> str:
    found = _NAMED.match(path.name)
    return (found[1] if found else path.name.partition(".")[0]).upper()


def _trades(rows: Iterator[list[str]], at: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    name, price, quantity, time, maker = at
    for row in rows:
        yield from _printed(path, repairs, row[time], row[name], row[price], row[quantity], row[maker])


def _aggregated(rows: Iterator[list[str]], at: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    name, price, quantity, first, last, time, maker = at
    for row in rows:
        more = whole_number(row[last], f"{path}: last_trade_id") - whole_number(row[first], f"{path}: first_trade_id")
        repairs.note("prints that an aggregated trade stands for beyond itself", more)
        yield from _printed(path, repairs, row[time], row[name], row[price], row[quantity], row[maker])


def _printed(path: Path, repairs: Repairs, time: str, name: str, price: str, quantity: str, maker: str) -> Iterator[Printed]:
    at = nanoseconds(time, f"{path}: time")
    if maker.lower() not in {"true", "false"}:
        raise HistoryRefused(f"{path}: is_buyer_maker {maker!r}; true or false is wanted")
    cost = decimal_text(price, f"{path}: price", may_be_zero=True)
    size = decimal_text(quantity, f"{path}: quantity", may_be_zero=True)
    if "0" in (cost, size):
        repairs.note("trades without a price or size, left out")
        return
    yield Printed(at, at, _symbol(path), whole_number(name, f"{path}: id"), cost, size, maker.lower() == "true")


def _ticker(rows: Iterator[list[str]], at: Sequence[int], path: Path, repairs: Repairs) -> Iterator[Event]:
    _, bid, bid_size, ask, ask_size, transaction, event = at
    for row in rows:
        texts = [decimal_text(row[place], f"{path}: quote", may_be_zero=True) for place in (bid, bid_size, ask, ask_size)]
        if "0" in texts:
            repairs.note("quotes without a price or size, left out")
            continue
        wall = nanoseconds(row[event], f"{path}: event_time")
        stamp = nanoseconds(row[transaction], f"{path}: transaction_time")
        yield LevelsChanged(wall, stamp, _symbol(path), True, ((texts[0], texts[1]),), ((texts[2], texts[3]),))


def _depth(rows: Iterator[list[str]], at: Sequence[int], path: Path, _repairs: Repairs) -> Iterator[Event]:
    symbol, time, last, side, kind, price, quantity, *rest = at
    for key, message in groupby(rows, key=lambda row: (row[symbol], row[time], row[last], row[kind] == "snap", *(row[k] for k in rest))):
        sides: dict[str, list[Level]] = {"b": [], "a": []}
        for row in message:
            if row[side] not in sides:
                raise HistoryRefused(f"{path}: side {row[side]!r}; a or b is wanted")
            sides[row[side]].append(level_of(row[price], row[quantity], str(path)))
        wall = nanoseconds(key[1], f"{path}: timestamp")
        own = whole_number(key[2], f"{path}: last_update_id")
        before = whole_number(key[4] or "-1", f"{path}: pu") if rest else -1
        levels = (tuple(sides["b"]), tuple(sides["a"]))
        yield LevelsChanged(wall, wall, key[0], key[3], *levels, update_id=own, previous_id=-1 if key[3] else before)


_Reader = Callable[[Iterator[list[str]], Sequence[int], Path, Repairs], Iterator[Event]]
_KINDS: tuple[tuple[tuple[str, ...], _Reader], ...] = (
    (_AGGREGATED, _aggregated),
    (_TRADES, _trades),
    (_TICKER, _ticker),
    (_DEPTH, _depth),
)

"""Guess instruments from recorded frames where no exchangeInfo was recorded: fit to replay, never to trade.

The tick is one unit of the last decimal that any price of the symbol uses, the lot likewise; base and quote are guessed from the symbol.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from smartmoney.core.book.typed import entry, inner, int64
from smartmoney.core.book.words import pointer_of
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.state import STATE
from smartmoney.venues.binance.codec import MalformedFrameError, fill_scratch
from smartmoney.venues.binance.event_types import EVENT_AGGREGATE, EVENT_DEPTH, EVENT_TRADE, fnv
from smartmoney.venues.binance.scan import SEEN_SNAPSHOT_ID, SEEN_SYMBOL, scan

_QUOTES = (
    "FDUSD",
    "USDT",
    "USDC",
    "BUSD",
    "TUSD",
    "USDP",
    "USDD",
    "BIDR",
    "BKRW",
    "IDRT",
    "BVND",
    "DAI",
    "USD",
    "EUR",
    "GBP",
    "AUD",
    "TRY",
    "RUB",
    "UAH",
    "BRL",
    "NGN",
    "ZAR",
    "JPY",
    "PLN",
    "RON",
    "ARS",
    "MXN",
    "CZK",
    "COP",
    "BTC",
    "ETH",
    "BNB",
    "XRP",
    "TRX",
    "SOL",
    "DOGE",
)
_START = int64(0)
_SYMBOL = re.compile(rb'"s"\s*:\s*"([^"\\]+)"')


@inner
def _significant(count: int, values: Any, decimals: Any, most: int) -> int:
    """Return the largest number of decimals that any of `values` needs, at least `most`."""
    for k in range(count):
        need: Any = np.int64(decimals[k])
        value = values[k]
        if need > most and value != 0:
            while need > most and value % 10 == 0:
                value //= 10
                need -= 1
            most = max(most, need)
    return most


@entry
def measure(s: Any) -> None:
    """Leave the decimals that the scanned levels and trade need in `scan_first_id` (prices) and `scan_final_id` (quantities)."""
    is_trade = s.scan_event == EVENT_TRADE or s.scan_event == EVENT_AGGREGATE  # noqa: PLR1714 - compiles to branches
    if is_trade:
        s.scan_prices[0, 0] = s.scan_trade_price
        s.scan_price_decimals[0, 0] = s.scan_trade_price_decimals
        s.scan_quantities[0, 0] = s.scan_trade_quantity
        s.scan_quantity_decimals[0, 0] = s.scan_trade_quantity_decimals
        s.scan_count[0] = 1
    prices = 0
    quantities = 0
    if is_trade or s.scan_event == EVENT_DEPTH or s.scan_seen & SEEN_SNAPSHOT_ID != 0:
        for side in range(2):
            prices = _significant(s.scan_count[side], s.scan_prices[side], s.scan_price_decimals[side], prices)
            quantities = _significant(s.scan_count[side], s.scan_quantities[side], s.scan_quantity_decimals[side], quantities)
    s.scan_first_id = prices
    s.scan_final_id = quantities


@entry
def _scan_and_measure(frame: bytes, states: Any) -> bool:
    s = states[0]
    if not scan(pointer_of(frame), _START, len(frame), s):
        return False
    measure(s)
    return True


@entry
def _measure_many(buffer: bytes, rows: Any, first: int, states: Any, needs: Any, known: int) -> Any:
    """Measure frames from `first` on, up to one that has to be looked at; return that one.

    `needs` holds (symbol hash, decimals of prices, of quantities) of the first `known` symbols, raised here.
    """
    s = states[0]
    text = pointer_of(buffer)
    for row in range(first, rows.shape[1]):
        if not scan(text, rows[0, row], rows[1, row], s):
            return row
        if s.scan_seen & SEEN_SYMBOL == 0:
            if s.scan_seen & SEEN_SNAPSHOT_ID != 0:
                return row
            continue
        k = 0
        while k < known and needs[k, 0] != s.scan_symbol:
            k += 1
        if k == known:
            return row
        measure(s)
        needs[k, 1] = max(needs[k, 1], np.uint64(s.scan_first_id))
        needs[k, 2] = max(needs[k, 2], np.uint64(s.scan_final_id))
    return rows.shape[1]


class SymbolNeeds(msgspec.Struct, frozen=True, array_like=True):
    """Be a symbol of a recording: the decimals that its prices and quantities need, the receive time in ns at which it first appeared."""

    name: str
    price_decimals: int
    lot_decimals: int
    first_ns: int


class GridNeeds(msgspec.Struct, frozen=True):
    """Say what the `frames` of a recording need: each symbol in order of appearance, the most that snapshots which name none need."""

    frames: int
    symbols: tuple[SymbolNeeds, ...]
    orphans: tuple[tuple[int, int], ...]

    @property
    def owner(self) -> str | None:
        """Return the only symbol, whose are the snapshots that name none; None where there are several symbols, or none."""
        return self.symbols[0].name if len(self.symbols) == 1 else None


class Inference:
    """Collect what the frames of each symbol need."""

    def __init__(self) -> None:
        self.decimals: dict[str, tuple[int, int]] = {}
        self._first_ns: dict[str, int] = {}
        self._latest_ns = 0
        self._frames = 0
        self._states = np.zeros(1, STATE)
        self._names: dict[int, str] = {}
        self.orphans: list[tuple[int, int]] = []
        """What snapshots that name no symbol need."""

    def take(self, frame: bytes, known: str | None, time_ns: int = 0) -> None:
        """Take one frame, received at a time, with the symbol that is known for it from outside."""
        first = self._states[0]
        if not _scan_and_measure(frame, self._states):
            try:
                fill_scratch(frame, first)
            except (MalformedFrameError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                return
            measure(first)
        found = (int(first["scan_first_id"]), int(first["scan_final_id"]))
        symbol = known.upper() if known else _name_of(frame, first, self._names)
        if symbol is not None:
            self.raise_one(symbol, found)
            self._first_ns.setdefault(symbol, time_ns)
        elif int(first["scan_seen"]) & SEEN_SNAPSHOT_ID:
            self.orphans.append(found)

    def take_block(self, buffer: bytes, rows: Any, symbols: Mapping[int, str]) -> None:
        """Take many frames, `buffer[rows[0, k]:rows[1, k]]` received at `rows[2, k]`; `symbols` are known from outside, by `k`."""
        times = self.times_of(rows[2])
        at = 0
        for stop in [*sorted(symbols), rows.shape[1]]:
            ahead = np.ascontiguousarray(rows[:2, :stop])
            while at < stop:
                at = self._measure_known(buffer, ahead, at)
                if at < stop:
                    self.take(buffer[int(rows[0, at]) : int(rows[1, at])], None, int(times[at]))
                    at += 1
            if stop < rows.shape[1]:
                self.take(buffer[int(rows[0, stop]) : int(rows[1, stop])], symbols[stop], int(times[stop]))
                at = stop + 1

    def times_of(self, walls: Any) -> Any:
        """Return the receive times of the frames that come next, made to never fall."""
        self._frames += len(walls)
        times = np.maximum.accumulate(np.maximum(walls, self._latest_ns))
        self._latest_ns = int(times[-1]) if len(times) else self._latest_ns
        return times

    def needed(self) -> GridNeeds:
        """Return what the frames so far need."""
        orphans = self.orphans
        most = ((max(one[0] for one in orphans), max(one[1] for one in orphans)),) if orphans else ()
        symbols = tuple(SymbolNeeds(name, *found, self._first_ns.get(name, 0)) for name, found in self.decimals.items())
        return GridNeeds(self._frames, symbols, most)

    def needs(self) -> tuple[list[str], Any]:
        """Return the symbols that were seen so far, and what they need: rows of (symbol hash, decimals of prices, of quantities)."""
        known = [(code, name) for code, name in self._names.items() if name in self.decimals]
        needs = np.zeros((max(len(known), 1), 3), np.uint64)
        for row, (code, name) in enumerate(known):
            needs[row] = (code, *self.decimals[name])
        return [name for _, name in known], needs

    def raise_to(self, names: Sequence[str], needs: Any) -> None:
        """Take what these symbols were found to need."""
        for name, (_, prices, quantities) in zip(names, needs.tolist(), strict=False):
            self.raise_one(name, (prices, quantities))

    def _measure_known(self, buffer: bytes, rows: Any, at: int) -> int:
        """Measure frames of symbols that were seen before, up to another frame; return that one."""
        names, needs = self.needs()
        at = int(_measure_many(buffer, rows, at, self._states, needs, len(names)))
        self.raise_to(names, needs)
        return at

    def instruments(self, market: Market, venue: str) -> tuple[Instrument, ...]:
        """Return what was found, in order of first appearance."""
        decimals = self.decimals
        if len(decimals) == 1:
            symbol, (prices, quantities) = next(iter(decimals.items()))
            orphans = self.orphans
            decimals[symbol] = (max([prices, *(one[0] for one in orphans)]), max([quantities, *(one[1] for one in orphans)]))
        return tuple(_instrument(symbol, prices, quantities, market, venue) for symbol, (prices, quantities) in decimals.items())

    def raise_one(self, symbol: str, found: tuple[int, int]) -> None:
        """Take what a symbol was found to need: decimals of prices, of quantities."""
        before = self.decimals.get(symbol, (0, 0))
        self.decimals[symbol] = (max(before[0], found[0]), max(before[1], found[1]))


def infer_grid(frames: Iterable[tuple[bytes, str | None]], market: Market, venue: str = "binance") -> tuple[Instrument, ...]:
    """Return a provisional instrument per symbol, in order of first appearance. One compiled call per frame.

    Each frame comes with the symbol that is known for it from outside (a depth reply names none), else None. A snapshot without any counts
    for the only symbol, if there is just one. Unreadable frames are passed over.
    """
    inference = Inference()
    for frame, known in frames:
        inference.take(frame, known)
    return inference.instruments(market, venue)


def instruments_of(recordings: Sequence[GridNeeds], market: Market, venue: str = "binance") -> tuple[Instrument, ...]:
    """Return the instruments of the recordings of one session, in the order in which they appear where those are merged by receive time."""
    inference = Inference()
    first = [(symbol.first_ns, number, symbol) for number, one in enumerate(recordings) for symbol in one.symbols]
    for _, _, symbol in sorted(first, key=lambda one: one[:2]):
        inference.raise_one(symbol.name, (symbol.price_decimals, symbol.lot_decimals))
    for one in recordings:
        if one.owner is None:
            inference.orphans += one.orphans
        for orphan in one.orphans if one.owner is not None else ():
            inference.raise_one(one.owner or "", orphan)
    return inference.instruments(market, venue)


def _name_of(frame: bytes, first: Any, names: dict[int, str]) -> str | None:
    if not int(first["scan_seen"]) & SEEN_SYMBOL:
        return None
    symbol_hash = int(first["scan_symbol"])
    if symbol_hash not in names:
        for found in _SYMBOL.findall(frame):
            text = found.decode(errors="replace").upper()
            names[fnv(text)] = text
    return names.get(symbol_hash)


def _instrument(symbol: str, price_decimals: int, lot_decimals: int, market: Market, venue: str) -> Instrument:
    base, quote = split_symbol(symbol)
    return Instrument(
        venue=venue,
        market=market,
        symbol=symbol,
        name=f"{base}/{quote}" if quote else symbol,
        base=base,
        quote=quote,
        tick_size=Decimal(1).scaleb(-price_decimals),
        lot_size=Decimal(1).scaleb(-lot_decimals),
        provisional=True,
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return the likely (base, quote) of a symbol: BTCUSDT -> BTC, USDT; BTCUSD_PERP -> BTC, USD; quote empty if no known one ends it."""
    pair, is_contract, _ = symbol.upper().partition("_")
    if is_contract and pair.endswith("USD"):
        return pair[:-3], "USD"
    for quote in _QUOTES:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair[: -len(quote)], quote
    return pair, ""

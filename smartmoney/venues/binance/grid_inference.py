"""Guess instruments from recorded frames where no exchangeInfo was recorded: fit to replay, never to trade.

The tick is one unit of the last decimal that any price of the symbol uses, the lot likewise; base and quote are guessed from the symbol.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from smartmoney.core.book.typed import entry, inner
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
def _measure(s: Any) -> None:
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
    if not scan(frame, 0, len(frame), s):
        return False
    _measure(s)
    return True


def infer_grid(frames: Iterable[tuple[bytes, str | None]], market: Market, venue: str = "binance") -> tuple[Instrument, ...]:
    """Return a provisional instrument per symbol, in order of first appearance. One compiled call per frame.

    Each frame comes with the symbol that is known for it from outside (a depth reply names none), else None. A snapshot without any counts
    for the only symbol, if there is just one. Unreadable frames are passed over.
    """
    states = np.zeros(1, STATE)
    first = states[0]
    decimals: dict[str, tuple[int, int]] = {}
    names: dict[int, str] = {}
    orphans: list[tuple[int, int]] = []
    for frame, known in frames:
        if not _scan_and_measure(frame, states):
            try:
                fill_scratch(frame, first)
            except (MalformedFrameError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                continue
            _measure(first)
        found = (int(first["scan_first_id"]), int(first["scan_final_id"]))
        symbol = known.upper() if known else _name_of(frame, first, names)
        if symbol is not None:
            before = decimals.get(symbol, (0, 0))
            decimals[symbol] = (max(before[0], found[0]), max(before[1], found[1]))
        elif int(first["scan_seen"]) & SEEN_SNAPSHOT_ID:
            orphans.append(found)
    if len(decimals) == 1:
        symbol, (prices, quantities) = next(iter(decimals.items()))
        decimals[symbol] = (max([prices, *(one[0] for one in orphans)]), max([quantities, *(one[1] for one in orphans)]))
    return tuple(_instrument(symbol, prices, quantities, market, venue) for symbol, (prices, quantities) in decimals.items())


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

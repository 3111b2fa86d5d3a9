"""What Binance publishes about its symbols, turned into instruments on an exact integer grid. Pure.

Invariants: an instrument comes out only when it is TRADING and every filter that orders need is there, finite and positive; a name is
resolved by the venue's own base and quote assets, never by gluing strings. Source: binance-spot-api-docs filters.md, USD-M exchange
information page, 2026-09.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance.protocol import VENUE, ProtocolError


class SymbolUnavailableError(ProtocolError):
    """Say that a configured symbol cannot be traded at the venue; the text names the remedy."""


class ExchangeInfoError(ProtocolError):
    """Say that an exchangeInfo body cannot be trusted."""


_PROTECTION: Mapping[Market, frozenset[str]] = {
    Market.SPOT: frozenset({"LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS"}),
    Market.USDM: frozenset({"LIMIT", "MARKET", "STOP_MARKET"}),
}
"""The order types that a position is entered, protected and left with."""


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    base_asset: str
    quote_asset: str
    status: str = ""
    contract_status: str = ""
    contract_type: str = ""
    filters: list[dict[str, Any]] = []
    order_types: list[str] = []
    oco_allowed: bool = False


class _ExchangeInfo(msgspec.Struct):
    symbols: list[_Symbol]


def parse_exchange_info(body: bytes, symbols: Sequence[str], market: Market = Market.SPOT) -> tuple[Instrument, ...]:
    """Return the instruments that `symbols` name, in that order, with the venue's filters as an integer grid.

    A name is a venue symbol (`BTCUSDT`) or a pair (`BTC/USDT`, also `BTC/USDT:USDT`); a pair is resolved by base and quote asset, on
    futures to the perpetual. `max_lots` honours LOT_SIZE and MARKET_LOT_SIZE, since an exit may have to be a market order.

    Raises:
        SymbolUnavailableError: unknown, or not TRADING.
        ExchangeInfoError: not an exchangeInfo, or a filter is missing or senseless.
    """
    try:
        parsed = msgspec.json.decode(body, type=_ExchangeInfo)
    except (msgspec.DecodeError, RecursionError) as failure:
        raise ExchangeInfoError(f"{VENUE} {market}: not an exchangeInfo: {failure}") from None
    by_symbol = {entry.symbol: entry for entry in parsed.symbols}
    by_pair: dict[tuple[str, str], _Symbol] = {}
    for entry in parsed.symbols:
        if entry.contract_type in {"", "PERPETUAL"}:
            by_pair.setdefault((entry.base_asset.upper(), entry.quote_asset.upper()), entry)
    return tuple(_instrument(name, _resolve(name, by_symbol, by_pair, market), market) for name in symbols)


def protection_missing(body: bytes, instruments: Sequence[Instrument]) -> dict[str, str]:
    """Return, by instrument, what the venue does not offer of the orders that a position is protected with.

    Raises:
        ExchangeInfoError: not an exchangeInfo.
    """
    try:
        parsed = msgspec.json.decode(body, type=_ExchangeInfo)
    except (msgspec.DecodeError, RecursionError) as failure:
        raise ExchangeInfoError(f"{VENUE}: not an exchangeInfo: {failure}") from None
    found = {entry.symbol: entry for entry in parsed.symbols}
    missing: dict[str, str] = {}
    for instrument in instruments:
        entry = found.get(instrument.symbol)
        lacks = sorted(_PROTECTION[instrument.market] - set(entry.order_types if entry else ()))
        if instrument.market is Market.SPOT and not (entry and entry.oco_allowed):
            lacks.append("OCO")
        if lacks:
            missing[instrument.name] = ", ".join(lacks)
    return missing


def _resolve(name: str, by_symbol: Mapping[str, _Symbol], by_pair: Mapping[tuple[str, str], _Symbol], market: Market) -> _Symbol:
    base, slash, rest = name.upper().partition("/")
    found = by_pair.get((base, rest.split(":")[0])) if slash else by_symbol.get(name.upper())
    if found is None:
        raise SymbolUnavailableError(f"{name}: {VENUE} {market} has no such symbol; check spelling (BTC/USDT, BTCUSDT) and market")
    status = found.status or found.contract_status
    if status != "TRADING":
        raise SymbolUnavailableError(f"{name}: {VENUE} {market} has it as {status or 'of unknown status'}, not TRADING; choose another")
    return found


def _instrument(name: str, entry: _Symbol, market: Market) -> Instrument:
    filters = {str(one.get("filterType", "")): one for one in entry.filters}
    tick = _positive(filters, "PRICE_FILTER", "tickSize", name)
    lot = _positive(filters, "LOT_SIZE", "stepSize", name)
    smallest = _number(filters, "LOT_SIZE", "minQty", name)
    largest = [
        value for kind in ("LOT_SIZE", "MARKET_LOT_SIZE") if kind in filters and (value := _number(filters, kind, "maxQty", name)) > 0
    ]
    notional = Decimal(0)
    for kind, key in (("NOTIONAL", "minNotional"), ("MIN_NOTIONAL", "minNotional"), ("MIN_NOTIONAL", "notional")):
        if key in filters.get(kind, {}):
            notional = max(notional, _number(filters, kind, key, name))
    return Instrument(
        venue=VENUE,
        market=market,
        symbol=entry.symbol,
        name=f"{entry.base_asset}/{entry.quote_asset}",
        base=entry.base_asset,
        quote=entry.quote_asset,
        tick_size=tick,
        lot_size=lot,
        min_lots=max(1, int((smallest / lot).to_integral_value(rounding=ROUND_CEILING))),
        max_lots=min(10**15, int((min(largest) / lot).to_integral_value(rounding=ROUND_FLOOR))) if largest else 10**15,
        min_notional=notional,
    )


def _positive(filters: Mapping[str, Mapping[str, Any]], kind: str, key: str, name: str) -> Decimal:
    value = _number(filters, kind, key, name)
    if value <= 0:
        raise ExchangeInfoError(f"{name}: {kind}.{key} is {value}; a grid must be positive")
    return value


def _number(filters: Mapping[str, Mapping[str, Any]], kind: str, key: str, name: str) -> Decimal:
    text = filters.get(kind, {}).get(key)
    try:
        value = Decimal(text) if isinstance(text, str) else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not (value.is_finite() and 0 <= value <= 10**18):
        raise ExchangeInfoError(f"{name}: the venue's filter {kind}.{key} is missing or not a number: {text!r}")
    return _plain(value)


def _plain(value: Decimal) -> Decimal:
    """Return the value without trailing zeros and without a positive exponent: 0.01000000 -> 0.01, 10.0 -> 10."""
    short = value.normalize()
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else short

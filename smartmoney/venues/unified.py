"""Any exchange that ccxt knows, spoken as the frames that the Binance decoder reads. Pure.

A ccxt order book becomes a depth snapshot body with a number of our own, the next ones become `depthUpdate` frames of what has changed
since (a snapshot each time would make every feature begin anew), a ccxt trade becomes a `trade` frame. ccxt hands out floats:
they go back onto the instrument's published grid as decimal strings, so that everything behind the decoder stays exact.

Invariants: prices and quantities are whole multiples of tick and lot; nothing non-finite or negative passes; `m` says that the taker sold,
whatever the venue calls its side. No sequence can be proven from what ccxt shows: trust must be conservative.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market

LEVELS_MAX = 1000

MAKER_SIDE_VENUES = frozenset({"coinbase", "coinbaseadvanced"})
"""Where ccxt passes on the maker's side as `side`. coinbaseexchange inverts it itself. Source: reference/venues.md section 6."""

_DECIMAL_PLACES, _SIGNIFICANT_DIGITS, _TICK_SIZE = 2, 3, 4
"""ccxt's precision modes, by their public constants."""

_VALUE_MAX = 1e15
_SYMBOL_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/:.@")


_LARGEST_AT_MARKET = ("maxMktOrderQty", "maxMarketOrderQty")
_LARGEST_CONTRACTS = ("maxMktSz", "maxStopSz")
"""Raw names of the most that an order at market, or one that a stop sends, may be: Bybit's, and those of OKX's contracts (on its spot they
are in quote currency), in ccxt's amounts. ccxt tells the limit order's."""


class UnifiedError(ValueError):
    """Say that a ccxt market, trade or setting cannot be used; the text says why."""

    exit_code = 78


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Put floats on an instrument's grid. A quantity from ccxt is in `contract_size` base units (1 on spot and inverse markets).

    `price_decimals` and `quantity_decimals` are -1 where the step is no power of ten, which takes the slower exact way.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    contract_size: Decimal
    price_decimals: int
    quantity_decimals: int

    def price_text(self, value: object) -> str | None:
        """Return the nearest on-grid price as a decimal string; None for what is no positive number or rounds to zero."""
        return _text(value, self.tick_size, self.price_decimals, Decimal(1))

    def quantity_text(self, value: object) -> str | None:
        """Return the nearest on-grid quantity, in base units; None for what is no positive number or below half a lot."""
        return _text(value, self.lot_size, self.quantity_decimals, self.contract_size)


def grid_of(instrument: Instrument, contract_size: Decimal = Decimal(1)) -> Grid:
    """Return the grid of an instrument that `instrument_of` made."""
    return Grid(
        symbol=instrument.symbol,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        contract_size=contract_size,
        price_decimals=_power_of_ten(instrument.tick_size),
        quantity_decimals=_power_of_ten(instrument.lot_size) if contract_size == 1 else -1,
    )


def _power_of_ten(step: Decimal) -> int:
    """Return n for a step of 10^-n (n >= 0), else -1."""
    _, digits, exponent = step.normalize().as_tuple()
    return -exponent if digits == (1,) and isinstance(exponent, int) and exponent <= 0 else -1


def _text(value: object, step: Decimal, decimals: int, scale: Decimal) -> str | None:
    # ccxt floats are parsed decimals: the shortest repr gives the venue's digits back, and so does formatting to the grid's places.
    if not isinstance(value, int | float) or not (0 < value < _VALUE_MAX):
        return None
    if decimals >= 0:
        text = f"{value:.{decimals}f}"
        return text if text.strip("0.") else None
    count = (Decimal(repr(value)) * scale / step).to_integral_value(rounding=ROUND_HALF_EVEN)
    return f"{count * step:f}" if count > 0 else None


# Instruments ----------------------------------------------------------------------------------------------------------------------


def instrument_of(venue: str, market: Mapping[str, Any], precision_mode: int) -> tuple[Instrument, Decimal]:
    """Return the instrument that a ccxt market describes, and the base units of one ccxt amount (its contract size).

    Linear contracts are counted in base units, inverse ones in contracts. `max_lots` is the most that an order of any kind may be: an exit,
    and what a stop sends, are orders at market.

    Raises:
        UnifiedError: inactive, an option, or without a usable grid.
    """
    name = str(market.get("symbol", "?"))
    if market.get("active") is False:
        raise UnifiedError(f"{name}: {venue} says that it does not trade; choose another instrument")
    kind = _market_kind(name, market)
    symbol = str(market.get("id", "")).upper()
    if not symbol or not _SYMBOL_CHARACTERS.issuperset(symbol):
        raise UnifiedError(f"{name}: {venue} has an identifier that frames cannot carry: {symbol!r}")
    contract_size = _decimal(market.get("contractSize")) if kind is Market.USDM else Decimal(1)
    if contract_size is None or contract_size <= 0:
        raise UnifiedError(f"{name}: {venue} publishes no contract size")
    precision = market.get("precision") or {}
    tick = _step(precision.get("price"), precision_mode)
    step = _step(precision.get("amount"), precision_mode)
    if tick is None or step is None:
        raise UnifiedError(f"{name}: {venue} publishes no price and quantity steps; without a grid there is no exact book")
    lot = _plain(step * contract_size)
    limits = market.get("limits") or {}
    smallest = _limit(limits, "amount", "min") * contract_size
    largest = _largest(market, kind, _limit(limits, "amount", "max")) * contract_size
    instrument = Instrument(
        venue=venue,
        market=kind,
        symbol=symbol,
        name=name,
        base=str(market.get("base", "")),
        quote=str(market.get("quote", "")),
        tick_size=_plain(tick),
        lot_size=lot,
        min_lots=max(1, int((smallest / lot).to_integral_value(rounding=ROUND_CEILING))),
        max_lots=min(10**15, int((largest / lot).to_integral_value(rounding=ROUND_FLOOR))) if largest > 0 else 10**15,
        min_notional=_limit(limits, "cost", "min"),
    )
    return instrument, contract_size


def unified_names(names: Sequence[str], market: Market) -> tuple[str, ...]:
    """Return names as ccxt writes them: BASE/QUOTE of a derivatives market is the perpetual that is settled in its quote."""
    return tuple(
        f"{name}:{name.partition('/')[2]}" if market is Market.USDM and ":" not in name and "/" in name else name for name in names
    )


def _market_kind(name: str, market: Mapping[str, Any]) -> Market:
    if market.get("spot"):
        return Market.SPOT
    if market.get("option") or not market.get("contract"):
        raise UnifiedError(f"{name}: neither spot nor a future; choose a spot pair (BTC/USDT) or a swap (BTC/USDT:USDT)")
    return Market.COINM if market.get("inverse") else Market.USDM


def _largest(market: Mapping[str, Any], kind: Market, limit: Decimal) -> Decimal:
    """Return the largest order in ccxt's amounts, 0 where there is no bound."""
    raw = market.get("info")
    rows = [raw, raw.get("lotSizeFilter")] if isinstance(raw, dict) else []
    names = _LARGEST_AT_MARKET if kind is Market.SPOT else (*_LARGEST_AT_MARKET, *_LARGEST_CONTRACTS)
    told = [_decimal(row.get(name)) for row in rows if isinstance(row, dict) for name in names]
    return min((bound for bound in (limit, *told) if bound is not None and bound > 0), default=Decimal(0))


def _step(value: object, mode: int) -> Decimal | None:
    if mode == _SIGNIFICANT_DIGITS:
        return None
    number = _decimal(value)
    if number is None or number < 0 or (mode == _TICK_SIZE and number == 0):
        return None
    return Decimal(1).scaleb(-int(number)) if mode == _DECIMAL_PLACES else number


def _limit(limits: Mapping[str, Any], group: str, key: str) -> Decimal:
    number = _decimal((limits.get(group) or {}).get(key))
    return number if number is not None and number >= 0 else Decimal(0)


def _decimal(value: object) -> Decimal | None:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < Decimal(10) ** 18 else None


def _plain(value: Decimal) -> Decimal:
    return Decimal(f"{value.normalize():f}")


# Frames ---------------------------------------------------------------------------------------------------------------------------


class _Snapshot(msgspec.Struct):
    lastUpdateId: int  # noqa: N815 (the wire's spelling, here and below)
    E: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _SpotChange(msgspec.Struct):
    e: str
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _FuturesChange(msgspec.Struct):
    e: str
    E: int
    T: int
    s: str
    U: int
    u: int
    pu: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Trade(msgspec.Struct):
    e: str
    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


_encoder = msgspec.json.Encoder()


def encode_book(grid: Grid, bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]], *, number: int, ts_event_ms: int) -> bytes:
    """Return a depth snapshot body: `number` as lastUpdateId, at most `LEVELS_MAX` levels a side, best first as they came.

    Levels that are no numbers, or vanish on the grid, are left out. Cost: about 1 µs a level.
    """
    return encode_shown(shown_book(grid, bids, asks, number=number), ts_event_ms=ts_event_ms)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Be a book as it was sent: quantity by price, both as texts on the grid, and its number."""

    number: int
    bids: Mapping[str, str]
    asks: Mapping[str, str]


def shown_book(grid: Grid, bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]], *, number: int) -> Shown:
    """Return what `encode_book` would send of a book, to tell later ones from it."""
    return Shown(number=number, bids=dict(_levels(grid, bids)), asks=dict(_levels(grid, asks)))


def encode_shown(shown: Shown, *, ts_event_ms: int) -> bytes:
    """Return a book as a depth snapshot body."""
    return _encoder.encode(_Snapshot(shown.number, ts_event_ms, list(shown.bids.items()), list(shown.asks.items())))


def encode_change(grid: Grid, market: Market, before: Shown, after: Shown, *, ts_event_ms: int) -> bytes:
    """Return the `depthUpdate` frame that leads from one book to another, in the market's form; it may be without levels."""
    bids, asks = _changed(before.bids, after.bids), _changed(before.asks, after.asks)
    first = before.number + 1
    if market is Market.SPOT:
        return _encoder.encode(_SpotChange("depthUpdate", ts_event_ms, grid.symbol, first, after.number, bids, asks))
    return _encoder.encode(
        _FuturesChange("depthUpdate", ts_event_ms, ts_event_ms, grid.symbol, first, after.number, before.number, bids, asks)
    )


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str]]:
    gone = [(price, "0") for price in before if price not in after]
    return gone + [(price, quantity) for price, quantity in after.items() if before.get(price) != quantity]


def _levels(grid: Grid, side: Iterable[Sequence[Any]]) -> list[tuple[str, str]]:
    levels: list[tuple[str, str]] = []
    for level in side:
        if len(levels) == LEVELS_MAX:
            break
        price, quantity = grid.price_text(level[0]), grid.quantity_text(level[1])
        if price is not None and quantity is not None:
            levels.append((price, quantity))
    return levels


def encode_trade(grid: Grid, trade: Mapping[str, Any], *, number: int, ts_event_ms: int, side_is_makers: bool = False) -> bytes | None:
    """Return a `trade` frame, or None for a trade without a side, price or quantity that can be used.

    `m` is true when the taker sold. ccxt's `side` is the taker's, except where `side_is_makers` (see `MAKER_SIDE_VENUES`).
    """
    side = trade.get("side")
    price, quantity = grid.price_text(trade.get("price")), grid.quantity_text(trade.get("amount"))
    if side not in {"buy", "sell"} or price is None or quantity is None:
        return None
    taker_sold = (side == "sell") is not side_is_makers
    return _encoder.encode(_Trade("trade", ts_event_ms, grid.symbol, number, price, quantity, ts_event_ms, taker_sold))


class RecentIds:
    """Remember the last `size` trade ids of an instrument, so that a trade that ccxt shows twice counts once."""

    def __init__(self, size: int = 5000) -> None:
        self._size = size
        self._seen: dict[str, None] = {}

    def is_new(self, identifier: str) -> bool:
        """Tell whether an id was not seen lately, and remember it."""
        if identifier in self._seen:
            return False
        if len(self._seen) >= self._size:
            del self._seen[next(iter(self._seen))]
        self._seen[identifier] = None
        return True


# Addresses ------------------------------------------------------------------------------------------------------------------------


def merge_urls(known: Mapping[str, Any], override: Mapping[str, Any], path: str = "urls") -> dict[str, Any]:
    """Return ccxt's addresses with an override laid over them, key by key.

    Raises:
        UnifiedError: a key that the exchange has not, or text where it has a group (or the reverse): a misspelt override would silently
            leave the real address in use.
    """
    merged = dict(known)
    for key, value in override.items():
        place = f"{path}.{key}"
        if key not in known:
            raise UnifiedError(f"{place}: this exchange has no such address; it has {', '.join(sorted(map(str, known)))}")
        if isinstance(known[key], Mapping) != isinstance(value, Mapping):
            raise UnifiedError(f"{place}: must be {'a group of addresses' if isinstance(known[key], Mapping) else 'an address'}")
        merged[key] = merge_urls(known[key], value, place) if isinstance(value, Mapping) else value
    return merged


def addresses(tree: Mapping[str, Any]) -> list[str]:
    """Return every address in an override, for checking."""
    found: list[str] = []
    for value in tree.values():
        found.extend(addresses(value) if isinstance(value, Mapping) else [str(value)])
    return found

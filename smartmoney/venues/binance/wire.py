"""Write what Binance writes: spot and USD-M frames and REST bodies, from integers on an instrument's grid.

Pure; the encoder side of the protocol, for the built-in exchange and for tests. Spot prices and quantities have 8 decimals (a deleted
level reads "0.00000000", and clients compare that text), USD-M ones as many as the venue prints for the grid. Times are ns, printed as ms.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance.level_text import LEVEL_BYTES, write_levels

_MS = 1_000_000

Levels = npt.NDArray[np.int64]
"""Rows of (ticks, lots)."""


class Grid(msgspec.Struct, frozen=True):
    """Print ticks and lots of one instrument as the venue does."""

    symbol: str
    is_spot: bool
    price_decimals: int
    price_step: int
    lot_decimals: int
    lot_step: int

    def price(self, ticks: int) -> str:
        """Return a price's text."""
        return fixed(ticks * self.price_step, self.price_decimals)

    def quantity(self, lots: int) -> str:
        """Return a quantity's text."""
        return fixed(lots * self.lot_step, self.lot_decimals)

    def turnover(self, tick_lots: int) -> str:
        """Return the text of a sum of price times quantity."""
        return fixed(tick_lots * self.price_step * self.lot_step, self.price_decimals + self.lot_decimals)

    def levels(self, levels: Levels) -> str:
        """Return a JSON array of [price, quantity] pairs."""
        out = np.empty(2 + LEVEL_BYTES * len(levels), np.uint8)
        length = write_levels(levels, self.price_step, self.price_decimals, self.lot_step, self.lot_decimals, out)
        return out[:length].tobytes().decode("ascii")


def grid_of(instrument: Instrument) -> Grid:
    """Return the printing rules of an instrument."""
    if instrument.market is Market.SPOT:
        price_decimals = lot_decimals = 8
    else:
        price_decimals = max(2, -_exponent(instrument.tick_size))
        lot_decimals = max(0, -_exponent(instrument.lot_size))
    return Grid(
        instrument.symbol,
        instrument.market is Market.SPOT,
        price_decimals,
        int(instrument.tick_size.scaleb(price_decimals)),
        lot_decimals,
        int(instrument.lot_size.scaleb(lot_decimals)),
    )


def fixed(value: int, decimals: int) -> str:
    """Return a non-negative integer of 10**-decimals as decimal text."""
    if decimals == 0:
        return str(value)
    text = str(value).zfill(decimals + 1)
    return f"{text[:-decimals]}.{text[-decimals:]}"


def envelope(stream: str, frame: str) -> str:
    """Wrap a frame as the combined endpoint does."""
    return f'{{"stream":"{stream}","data":{frame}}}'


def depth_update(
    grid: Grid,
    *,
    event_ns: int,
    transaction_ns: int,
    first_id: int,
    last_id: int,
    previous_id: int,
    bids: Levels,
    asks: Levels,
) -> str:
    """Return a depth diff (or, on USD-M, a partial book)."""
    b, a = grid.levels(bids), grid.levels(asks)
    if grid.is_spot:
        return f'{{"e":"depthUpdate","E":{event_ns // _MS},"s":"{grid.symbol}","U":{first_id},"u":{last_id},"b":{b},"a":{a}}}'
    return (
        f'{{"e":"depthUpdate","E":{event_ns // _MS},"T":{transaction_ns // _MS},"s":"{grid.symbol}",'
        f'"U":{first_id},"u":{last_id},"pu":{previous_id},"b":{b},"a":{a}}}'
    )


def depth_snapshot(grid: Grid, update_id: int, bids: Levels, asks: Levels, *, event_ns: int = 0, transaction_ns: int = 0) -> str:
    """Return the body of the depth request, which is also spot's partial-book frame."""
    levels = f'"bids":{grid.levels(bids)},"asks":{grid.levels(asks)}}}'
    if grid.is_spot:
        return f'{{"lastUpdateId":{update_id},{levels}'
    return f'{{"lastUpdateId":{update_id},"E":{event_ns // _MS},"T":{transaction_ns // _MS},{levels}'


def trade(grid: Grid, *, event_ns: int, time_ns: int, trade_id: int, ticks: int, lots: int, buyer_is_maker: bool) -> str:
    """Return a trade frame; `m` says that the taker sold."""
    maker = "true" if buyer_is_maker else "false"
    tail = f'"m":{maker},"M":true}}' if grid.is_spot else f'"X":"MARKET","m":{maker}}}'
    times = f'"E":{event_ns // _MS},"s"' if grid.is_spot else f'"E":{event_ns // _MS},"T":{time_ns // _MS},"s"'
    middle = f'"T":{time_ns // _MS},' if grid.is_spot else ""
    return f'{{"e":"trade",{times}:"{grid.symbol}","t":{trade_id},"p":"{grid.price(ticks)}","q":"{grid.quantity(lots)}",{middle}{tail}'


def aggregate_trade(
    grid: Grid, *, event_ns: int, time_ns: int, aggregate_id: int, first_id: int, last_id: int, ticks: int, lots: int, buyer_is_maker: bool
) -> str:
    """Return an aggTrade frame."""
    maker = "true" if buyer_is_maker else "false"
    quantity = grid.quantity(lots)
    extra = "" if grid.is_spot else f'"nq":"{quantity}",'
    tail = ',"M":true}' if grid.is_spot else "}"
    return (
        f'{{"e":"aggTrade","E":{event_ns // _MS},"s":"{grid.symbol}","a":{aggregate_id},"p":"{grid.price(ticks)}","q":"{quantity}",{extra}'
        f'"f":{first_id},"l":{last_id},"T":{time_ns // _MS},"m":{maker}{tail}'
    )


def book_ticker(grid: Grid, *, event_ns: int, update_id: int, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int) -> str:
    """Return a bookTicker frame; spot's has no event type and no time."""
    touch = (
        f'"s":"{grid.symbol}","b":"{grid.price(bid_ticks)}","B":"{grid.quantity(bid_lots)}",'
        f'"a":"{grid.price(ask_ticks)}","A":"{grid.quantity(ask_lots)}"'
    )
    if grid.is_spot:
        return f'{{"u":{update_id},{touch}}}'
    return f'{{"e":"bookTicker","u":{update_id},{touch},"T":{event_ns // _MS},"E":{event_ns // _MS}}}'


def mark_price(grid: Grid, *, event_ns: int, mark: float, index: float, funding_rate: float, next_funding_ns: int) -> str:
    """Return a markPriceUpdate frame (USD-M)."""
    return (
        f'{{"e":"markPriceUpdate","E":{event_ns // _MS},"s":"{grid.symbol}","p":"{mark:.8f}","P":"{index:.8f}","i":"{index:.8f}",'
        f'"r":"{funding_rate:.8f}","T":{next_funding_ns // _MS}}}'
    )


def exchange_info(instruments: Sequence[Instrument], now_ns: int) -> dict[str, Any]:
    """Return the exchangeInfo body of one market's instruments."""
    is_spot = all(instrument.market is Market.SPOT for instrument in instruments)
    weight = 6000 if is_spot else 2400
    limits: list[dict[str, Any]] = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight}]
    if is_spot:
        limits.append({"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100})
        limits.append({"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000})
        limits.append({"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000})
    else:
        limits.append({"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200})
        limits.append({"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300})
    body: dict[str, Any] = {"timezone": "UTC", "serverTime": now_ns // _MS, "rateLimits": limits, "exchangeFilters": []}
    if not is_spot:
        body["futuresType"] = "U_MARGINED"
        quotes = dict.fromkeys(i.quote for i in instruments)
        body["assets"] = [{"asset": quote, "marginAvailable": True, "autoAssetExchange": "-10000"} for quote in quotes]
    body["symbols"] = [_spot_symbol(i) if is_spot else _usdm_symbol(i) for i in instruments]
    return body


def error(code: int, message: str) -> dict[str, Any]:
    """Return an error body."""
    return {"code": code, "msg": message}


def _spot_symbol(i: Instrument) -> dict[str, Any]:
    def text(value: Decimal) -> str:
        return f"{value:.8f}"

    least, most, most_at_market = text(i.quantity(i.min_lots)), text(i.quantity(i.max_lots)), text(i.quantity(i.max_lots) / 100)
    return {
        "symbol": i.symbol,
        "status": "TRADING",
        "baseAsset": i.base,
        "baseAssetPrecision": 8,
        "quoteAsset": i.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": text(i.tick_size), "maxPrice": "1000000.00000000", "tickSize": text(i.tick_size)},
            {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": text(i.lot_size)},
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": most_at_market, "stepSize": "0.00000000"},
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": text(i.min_notional),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _usdm_symbol(i: Instrument) -> dict[str, Any]:
    grid = grid_of(i)

    def lots(count: int) -> str:
        return f"{i.quantity(count).normalize():f}"

    return {
        "symbol": i.symbol,
        "pair": i.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": i.base,
        "quoteAsset": i.quote,
        "marginAsset": i.quote,
        "pricePrecision": grid.price_decimals,
        "quantityPrecision": grid.lot_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": f"{i.tick_size}", "maxPrice": "4529764", "tickSize": f"{i.tick_size}"},
            {"filterType": "LOT_SIZE", "minQty": lots(i.min_lots), "maxQty": lots(i.max_lots), "stepSize": lots(1)},
            {"filterType": "MARKET_LOT_SIZE", "minQty": lots(i.min_lots), "maxQty": lots(i.max_lots // 8), "stepSize": lots(1)},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": f"{i.min_notional.normalize():f}"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise TypeError(f"{value} is not a finite number")
    return exponent

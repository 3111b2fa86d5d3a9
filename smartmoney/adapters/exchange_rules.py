"""Read the rules that orders are checked against from the very body that is published, so that the two cannot differ."""

from decimal import Decimal
from typing import Any

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.simulation.exchange.rules import Rules
from smartmoney.venues.binance import wire


def rules_of(instrument: Instrument) -> Rules:
    """Return an instrument's rules as its exchangeInfo entry says them."""
    symbol = wire.exchange_info([instrument], 0)["symbols"][0]
    filters: dict[str, dict[str, Any]] = {entry["filterType"]: entry for entry in symbol["filters"]}
    market_lots = int(Decimal(filters["MARKET_LOT_SIZE"]["maxQty"]) / instrument.lot_size)
    max_price = Decimal(filters["PRICE_FILTER"]["maxPrice"])
    if instrument.market is Market.SPOT:
        percent = filters["PERCENT_PRICE_BY_SIDE"]
        return Rules(
            instrument=instrument,
            max_price=max_price,
            max_market_lots=market_lots,
            max_notional=Decimal(filters["NOTIONAL"]["maxNotional"]),
            price_up=Decimal(percent["bidMultiplierUp"]),
            price_down=Decimal(percent["bidMultiplierDown"]),
            max_orders=filters["MAX_NUM_ORDERS"]["maxNumOrders"],
            max_algo_orders=filters["MAX_NUM_ALGO_ORDERS"]["maxNumAlgoOrders"],
            max_lists=filters["MAX_NUM_ORDER_LISTS"]["maxNumOrderLists"],
            iceberg_parts=filters["ICEBERG_PARTS"]["limit"],
        )
    percent = filters["PERCENT_PRICE"]
    return Rules(
        instrument=instrument,
        max_price=max_price,
        max_market_lots=market_lots,
        price_up=Decimal(percent["multiplierUp"]),
        price_down=Decimal(percent["multiplierDown"]),
        max_orders=filters["MAX_NUM_ORDERS"]["limit"],
        max_algo_orders=filters["MAX_NUM_ALGO_ORDERS"]["limit"],
        market_take_bound=Decimal(symbol["marketTakeBound"]),
    )

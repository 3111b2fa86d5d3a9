"""Bybit v5 spot of a unified account on loopback: what an order is to sell or to pay is held for it, and a stop has no direction of its own.

Sources: bybit-exchange/docs "Place Order" (`orderFilter`), "Cancel Order", "Get Wallet Balance" (2026-07-24).
"""

import uuid
from decimal import Decimal

from smartmoney.core.domain.instruments import Market

from .bybit_venue import BybitVenue
from .scripted_venue import Order

MARKET = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "innovation": "0",
    "status": "Trading",
    "marginTrading": "utaOnly",
    "lotSizeFilter": {
        "basePrecision": "0.000001",
        "quotePrecision": "0.0000001",
        "minOrderQty": "0.000011",
        "maxOrderQty": "83",
        "minOrderAmt": "5",
        "maxOrderAmt": "8000000",
    },
    "priceFilter": {"tickSize": "0.1"},
    "riskParameters": {"priceLimitRatioX": "0.005", "priceLimitRatioY": "0.01"},
}
FEE = Decimal("0.001")


class BybitSpotVenue(BybitVenue):
    """Hold inventory for what is to be sold. `price` is the last trade's; it says on which side of a trigger the market is."""

    trades_on = Market.SPOT
    symbol_name, lot = "BTC/USDT", "0.000001"

    def __init__(self):
        super().__init__()
        self.market = MARKET
        self.key["permissions"] = {"Spot": ["SpotTrade"], "ContractTrade": [], "Wallet": [], "Options": []}
        self.coins = {"BTC": Decimal(0), "USDT": Decimal(100_000)}
        self.price = Decimal(60_000)
        self.fee_coin = ""
        """Left empty, a fee is taken from what was bought."""

    def answer(self, path, params):
        if path != "v5/market/time" and "category" in params:
            assert params["category"] == "spot", (path, params)
        return super().answer(path, params)

    def _market_instruments_info(self, _params):
        return self._ok({"category": "spot", "list": [self.market]})

    def _market_tickers(self, _params):
        return self._ok({"category": "spot", "list": [{"symbol": "BTCUSDT", "lastPrice": f"{self.price:f}"}]})

    def position_base(self):
        return self.coins["BTC"]

    def _account_wallet_balance(self, _params):
        def coin(name, has):
            sizes = {"walletBalance": f"{has:f}", "equity": f"{has:f}", "locked": f"{self.held_for_orders(name):f}"}
            return {"coin": name, **sizes, "totalOrderIM": "0", "totalPositionIM": "0", "availableToWithdraw": "", "borrowAmount": "0"}

        coins = [coin(name, has) for name, has in self.coins.items() if has]
        return self._ok({"list": [{"accountType": "UNIFIED", "totalEquity": "100000", "coin": coins}]})

    def held_for_orders(self, name, *, without=None):
        """Return what orders hold of a coin: a stop as well, before it acts."""
        live = [order for order in self.orders.values() if order.is_live and order is not without]
        if name == "BTC":
            return sum((order.quantity - order.filled for order in live if order.side == "Sell"), Decimal(0))
        return sum(((order.quantity - order.filled) * Decimal(order.price or 0) for order in live if order.side == "Buy"), Decimal(0))

    def _order_create(self, params):
        assert "reduceOnly" not in params, "valid for contracts only"
        assert "triggerDirection" not in params, "valid for contracts only"
        assert not params.get("isLeverage"), "nothing is borrowed"
        if any(order.client_id == params["orderLinkId"] for order in self.orders.values()):
            return self._no(170141, "Duplicate clientOrderId")
        is_stop, side = "triggerPrice" in params, params["side"]
        assert is_stop == (params.get("orderFilter") == "tpslOrder"), params
        assert params["orderType"] == "Limit" or params.get("marketUnit") == "baseCoin", "else it is an amount of quote currency"
        number, quantity = str(uuid.uuid4()), Decimal(params["qty"])
        needs, coin = (quantity, "BTC") if side == "Sell" else (quantity * Decimal(params["price"]), "USDT")
        if needs > self.coins[coin] - self.held_for_orders(coin):
            return self._no(170131, "Insufficient balance.")
        order = Order(
            params["orderLinkId"],
            number=number,
            side=side,
            kind=params["orderType"],
            quantity=quantity,
            price=params.get("price", ""),
            trigger=params.get("triggerPrice", ""),
            force="IOC" if params["orderType"] == "Market" else params.get("timeInForce", "GTC"),
            reduces=False,
            status="Untriggered" if is_stop else "New",
            waits_for_rise=is_stop and Decimal(params["triggerPrice"]) > self.price,
        )
        self.orders[number] = order
        if self.fills_markets and not is_stop and order.force == "IOC":
            self.execute(order, quantity, str(self.price))
        return self._ok({"orderId": number, "orderLinkId": params["orderLinkId"]})

    def _order_cancel(self, params):
        order = next(iter(self._chosen(params)), None)
        wanted = params.get("orderFilter", "Order")
        if order is None or not order.is_live or wanted != ("tpslOrder" if order.trigger and order.status == "Untriggered" else "Order"):
            return self._no(170213, "Order does not exist.")
        order.is_live, order.status = False, "Cancelled"
        return self._ok({"orderId": order.number, "orderLinkId": order.client_id})

    def row(self, order):
        row = {**super().row(order), "category": "spot", "isLeverage": "0", "marketUnit": "baseCoin" if order.kind == "Market" else ""}
        row |= {"stopOrderType": "tpslOrder" if order.trigger else "", "reduceOnly": False}
        return {key: value for key, value in row.items() if key not in {"tpslMode", "createType", "parentOrderLinkId"}}

    def execute(self, order, quantity, price, kind="Trade"):
        """Trade, and move the coins: the fee is taken from what was bought, unless it is paid in another coin."""
        trade = super().execute(order, quantity, price, kind)
        quantity, value = Decimal(quantity), Decimal(quantity) * Decimal(price)
        bought, amount = ("BTC", quantity) if order.side == "Buy" else ("USDT", value)
        fee = amount * FEE
        self.coins["BTC"] += quantity if order.side == "Buy" else -quantity
        self.coins["USDT"] += value if order.side == "Sell" else -value
        self.coins[self.fee_coin or bought] = self.coins.get(self.fee_coin or bought, Decimal(0)) - fee
        trade |= {"category": "spot", "execFee": f"{fee:f}", "feeCurrency": self.fee_coin or bought, "isLeverage": "0"}
        del trade["createType"]
        return trade

    def _keep_position_stop(self, order):
        """Make nothing: spot has no positions."""

    async def move(self, price):
        """Let the last price go somewhere; stops that wait on that way act."""
        self.price = Decimal(price)
        for stop in [order for order in self.stops() if order.status == "Untriggered"]:
            trigger = Decimal(stop.trigger)
            if self.price >= trigger if stop.waits_for_rise else self.price <= trigger:
                await self.trigger(stop, str(self.price))

"""Answer spot's private calls: orders, order lists, account, trades. Parameters are read and refused as Binance reads and refuses them.

Source: binance-spot-api-docs, rest-api.md "Trading endpoints" and "Account endpoints" (2026-07).
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from smartmoney.adapters import exchange_private_spot_wire as form
from smartmoney.adapters.exchange_private import Body, Handler, Route
from smartmoney.adapters.exchange_private_spot_orders import client_id, order_request
from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import OrderList
from smartmoney.simulation.exchange.orders import Order
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.venues.binance.wire import Grid, grid_of

_FORMS = ("ACK", "RESULT", "FULL")
_FULL_BY_DEFAULT = frozenset({"MARKET", "LIMIT"})
_MS = 1_000_000


class SpotCalls:
    """Hold the handlers of spot's private calls."""

    def __init__(self, venue: TradingVenue) -> None:
        self._venue = venue
        self._desk = venue.spot
        self.grids = {symbol: grid_of(rules.instrument) for symbol, rules in venue.spot.rules.items()}

    def routes(self) -> dict[tuple[str, ...], Route]:
        """Return the routes by (method, family, call)."""
        table: tuple[tuple[str, str, Handler, str, int, bool], ...] = (
            ("POST", "order", self.place, "TRADE", 1, True),
            ("POST", "order/test", self.test, "TRADE", 1, False),
            ("DELETE", "order", self.cancel, "TRADE", 1, True),
            ("GET", "order", self.query, "USER_DATA", 4, False),
            ("POST", "order/cancelReplace", self.replace, "TRADE", 1, True),
            ("GET", "openOrders", self.open_orders, "USER_DATA", 6, False),
            ("DELETE", "openOrders", self.cancel_all, "TRADE", 1, True),
            ("GET", "allOrders", self.all_orders, "USER_DATA", 20, False),
            ("POST", "orderList/oco", self.place_oco, "TRADE", 1, True),
            ("POST", "orderList/oto", self.place_oto, "TRADE", 1, True),
            ("POST", "orderList/otoco", self.place_otoco, "TRADE", 1, True),
            ("DELETE", "orderList", self.cancel_list, "TRADE", 1, True),
            ("GET", "orderList", self.query_list, "USER_DATA", 4, False),
            ("GET", "openOrderList", self.open_lists, "USER_DATA", 6, False),
            ("GET", "allOrderList", self.all_lists, "USER_DATA", 20, False),
            ("GET", "myTrades", self.trades, "USER_DATA", 20, False),
            ("GET", "account", self.account, "USER_DATA", 20, False),
            ("GET", "account/commission", self.commission, "USER_DATA", 20, False),
            ("GET", "rateLimit/order", self.order_rate, "USER_DATA", 40, False),
        )
        routes: dict[tuple[str, ...], Route] = {
            (method, "api", call): Route(handler=handler, security=security, weight=weight, counts=counts)
            for method, call, handler, security, weight, counts in table
        }
        restrictions = Route(handler=self.restrictions)
        return routes | {
            ("GET", "sapi", "account/apiRestrictions"): restrictions,
            ("GET", "sapi", "capital/config/getall"): Route(handler=self.coins, weight=10),
            # Clients that load everything ask for margin pairs too: there are none.
            ("GET", "sapi", "margin/allPairs"): Route(handler=lambda _account, _p: [], signed=False),
            ("GET", "sapi", "margin/isolated/allPairs"): Route(handler=lambda _account, _p: []),
        }

    # ---- orders

    def place(self, account: Account, p: Parameters) -> Any:
        """Place an order."""
        symbol = p.needed("symbol")
        asked = order_request(self._desk.rules_of(symbol), p)
        response = self._form(p, asked.kind)
        p.refuse_unread()
        order = self._desk.place(account, asked)
        return form.placed(self.grids[symbol], order, response)

    def test(self, account: Account, p: Parameters) -> Any:
        """Check an order and place nothing."""
        asked = order_request(self._desk.rules_of(p.needed("symbol")), p)
        self._form(p, asked.kind)
        with_rates = p.flag("computeCommissionRates")
        p.refuse_unread()
        self._desk.check(account, asked)
        if not with_rates:
            return {}
        rates = form.commission(account, asked.symbol)
        return {"standardCommissionForOrder": rates["standardCommission"], "taxCommissionForOrder": rates["taxCommission"]}

    def cancel(self, account: Account, p: Parameters) -> Any:
        """Cancel an order; of one that belongs to a list, the list."""
        symbol = p.needed("symbol")
        order = self._find(account, symbol, p, "orderId", "origClientOrderId")
        name, restriction = client_id(p, "newClientOrderId"), self._restriction(p)
        p.refuse_unread()
        found = self._desk.cancel(order, name, restriction)
        if found.list_id >= 0:
            made = self._venue.lists.find(account.owner, found.list_id, None)
            if made is not None:
                return self._list_answer(made, form.cancelled)
        return form.cancelled(self.grids[symbol], found)

    def replace(self, account: Account, p: Parameters) -> Any:
        """Cancel one order and place another."""
        symbol = p.needed("symbol")
        mode = p.choice("cancelReplaceMode", ("STOP_ON_FAILURE", "ALLOW_FAILURE"), (-1145, "Invalid cancelReplaceMode."))
        asked = order_request(self._desk.rules_of(symbol), p)
        response = self._form(p, asked.kind)
        order = self._find(account, symbol, p, "cancelOrderId", "cancelOrigClientOrderId")
        name, restriction = client_id(p, "cancelNewClientOrderId"), self._restriction(p)
        p.refuse_unread()
        grid = self.grids[symbol]
        cancelled: Any = None
        placed: Any = None
        words = ["SUCCESS", "NOT_ATTEMPTED"]
        try:
            cancelled = form.cancelled(grid, self._desk.cancel(order, name, restriction))
        except Refusal as refused:
            words[0], cancelled = "FAILURE", {"code": refused.code, "msg": refused.message}
        if words[0] == "SUCCESS" or mode == "ALLOW_FAILURE":
            try:
                placed = form.placed(grid, self._desk.place(account, asked), response)
                words[1] = "SUCCESS"
            except Refusal as refused:
                words[1], placed = "FAILURE", {"code": refused.code, "msg": refused.message}
        told = {"cancelResult": words[0], "newOrderResult": words[1], "cancelResponse": cancelled, "newOrderResponse": placed}
        if words == ["SUCCESS", "SUCCESS"]:
            return told
        if "SUCCESS" in words:
            return Body(409, {"code": -2021, "msg": "Order cancel-replace partially failed.", "data": told})
        return Body(400, {"code": -2022, "msg": "Order cancel-replace failed.", "data": told})

    def cancel_all(self, account: Account, p: Parameters) -> Any:
        """Cancel every open order of a symbol, lists included."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        p.refuse_unread()
        orders = self._desk.log.open_of(account.owner, symbol)
        if not orders:
            raise Refusal(*refusals.UNKNOWN_ORDER)
        answers = []
        seen: set[int] = set()
        for order in orders:
            if not order.is_open or order.list_id in seen:
                continue
            self._desk.cancel(order)
            if order.list_id < 0:
                answers.append(form.cancelled(self.grids[symbol], order))
                continue
            seen.add(order.list_id)
            made = self._venue.lists.find(account.owner, order.list_id, None)
            if made is not None:
                answers.append(self._list_answer(made, form.cancelled))
        return answers

    def query(self, account: Account, p: Parameters) -> Any:
        """Return one order."""
        symbol = p.needed("symbol")
        order = self._find(account, symbol, p, "orderId", "origClientOrderId")
        if order is None:
            raise Refusal(*refusals.NO_SUCH_ORDER)
        return form.queried(self.grids[symbol], order)

    def open_orders(self, account: Account, p: Parameters) -> Any:
        """Return the open orders, of one symbol or all."""
        symbol = p.text("symbol")
        if symbol:
            self._desk.rules_of(symbol)
        return [form.queried(self.grids[o.asked.symbol], o) for o in self._desk.log.open_of(account.owner, symbol)]

    def all_orders(self, account: Account, p: Parameters) -> Any:
        """Return a symbol's orders, the latest or from an id or time on."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        first = p.whole("orderId")
        found = [o for o in self._desk.log.all_of(account.owner, symbol) if first is None or o.id >= first]
        found = within(p, found, lambda o: o.time_ns, from_start=first is not None)
        return [form.queried(self.grids[symbol], order) for order in found]

    # ---- lists

    def place_oco(self, account: Account, p: Parameters) -> Any:
        """Place a pair of which one cancels the other."""
        rules = self._desk.rules_of(p.needed("symbol"))
        legs = (order_request(rules, p, "above"), order_request(rules, p, "below"))
        name, response = client_id(p, "listClientOrderId"), self._form(p, "")
        p.refuse_unread()
        made = self._venue.lists.place_pair(account, legs, name)
        return self._list_answer(made, lambda grid, order: form.placed(grid, order, response))

    def place_oto(self, account: Account, p: Parameters) -> Any:
        """Place an order behind another."""
        return self._place_triggered(account, p, ("pending",))

    def place_otoco(self, account: Account, p: Parameters) -> Any:
        """Place a pair behind an order."""
        return self._place_triggered(account, p, ("pendingAbove", "pendingBelow"))

    def _place_triggered(self, account: Account, p: Parameters, pending: tuple[str, ...]) -> Any:
        rules = self._desk.rules_of(p.needed("symbol"))
        working = order_request(rules, p, "working")
        legs = tuple(order_request(rules, p, prefix) for prefix in pending)
        if working.kind not in {"LIMIT", "LIMIT_MAKER"}:
            raise Refusal(-1116, "Invalid orderType.")
        name, response = client_id(p, "listClientOrderId"), self._form(p, "")
        p.refuse_unread()
        made = self._venue.lists.place_triggered(account, working, legs, name)
        return self._list_answer(made, lambda grid, order: form.placed(grid, order, response))

    def cancel_list(self, account: Account, p: Parameters) -> Any:
        """Cancel a list."""
        symbol = p.needed("symbol")
        made = self._find_list(account, p, "listClientOrderId")
        name = client_id(p, "newClientOrderId") or self._desk.log.next_name()
        p.refuse_unread()
        if made is None or made.symbol != symbol or made.status == "ALL_DONE":
            raise Refusal(*refusals.UNKNOWN_ORDER)
        self._venue.lists.cancel(made.id, name)
        return self._list_answer(made, form.cancelled)

    def query_list(self, account: Account, p: Parameters) -> Any:
        """Return one list."""
        made = self._find_list(account, p, "origClientOrderId")
        if made is None:
            raise Refusal(-2018, "Order list does not exist.")
        return form.listed(made)

    def open_lists(self, account: Account, _p: Parameters) -> Any:
        """Return the open lists."""
        return [form.listed(made) for made in self._venue.lists.all_of(account.owner) if made.status != "ALL_DONE"]

    def all_lists(self, account: Account, p: Parameters) -> Any:
        """Return the latest lists, or those from an id or time on."""
        first = p.whole("fromId")
        found = [made for made in self._venue.lists.all_of(account.owner) if first is None or made.id >= first]
        return [form.listed(made) for made in within(p, found, lambda made: made.time_ns, from_start=first is not None)]

    def _list_answer(self, made: OrderList, write: Callable[[Grid, Order], dict[str, Any]]) -> dict[str, Any]:
        orders = [order for order in (self._desk.log.of_id(number) for number in made.orders) if order is not None]
        return {**form.listed(made), "orderReports": [write(self.grids[made.symbol], order) for order in orders]}

    # ---- account

    def trades(self, account: Account, p: Parameters) -> Any:
        """Return a symbol's trades: the latest, of an order, or from an id or time on."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        order_id, first = p.whole("orderId"), p.whole("fromId")
        found = [
            fill
            for fill in self._desk.fills[account.owner]
            if fill.symbol == symbol and (order_id is None or fill.order_id == order_id) and (first is None or fill.trade_id >= first)
        ]
        found = within(p, found, lambda fill: fill.time_ns, from_start=first is not None)
        return [form.trade(self.grids[symbol], fill, self._list_of(fill.order_id)) for fill in found]

    def account(self, account: Account, p: Parameters) -> Any:
        """Return balances, rates and permissions."""
        omits_zero = p.flag("omitZeroBalances")
        assets = dict.fromkeys([a for r in self._desk.rules.values() for a in (r.instrument.base, r.instrument.quote)])
        assets |= dict.fromkeys(account.spec.spot)
        rows = [(a, self._desk.free(account, a), account.locked.get(a, Decimal(0))) for a in sorted(assets)]
        kept = [row for row in rows if row[1] or row[2] or not omits_zero]
        permissions = [key.permissions for key in account.spec.keys]
        return form.account(account, kept, can_withdraw=any(x.withdraw for x in permissions), can_trade=any(x.trade for x in permissions))

    def commission(self, account: Account, p: Parameters) -> Any:
        """Return commission rates."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        return form.commission(account, symbol)

    def order_rate(self, account: Account, _p: Parameters) -> Any:
        """Return the counts of new orders."""
        rate = account.spot_rate
        return [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": limit, "count": count}
            for (interval, number, _, limit), count in zip(rate.windows, rate.counts(self._desk.now_ns()), strict=True)
        ]

    def restrictions(self, account: Account, p: Parameters) -> Any:
        """Return what the key may do, as `sapi/v1/account/apiRestrictions` says it."""
        may = p.permissions
        return {
            "ipRestrict": bool(may.addresses),
            "createTime": account.opened_ns // _MS,
            "enableReading": may.read,
            "enableWithdrawals": may.withdraw,
            "enableInternalTransfer": False,
            "enableMargin": False,
            "enableFutures": may.trade,
            "permitsUniversalTransfer": False,
            "enableVanillaOptions": False,
            "enableFixApiTrade": False,
            "enableFixReadOnly": False,
            "enableSpotAndMarginTrading": may.trade,
            "enablePortfolioMarginTrading": False,
        }

    def coins(self, account: Account, _p: Parameters) -> Any:
        """Return the coins of the venue, without networks: nothing is sent anywhere from here."""
        assets = dict.fromkeys(a for r in self._desk.rules.values() for a in (r.instrument.base, r.instrument.quote))
        return [
            {
                "coin": asset,
                "depositAllEnable": False,
                "withdrawAllEnable": False,
                "name": asset,
                "free": form.money(self._desk.free(account, asset)),
                "locked": form.money(account.locked.get(asset, Decimal(0))),
                "freeze": "0",
                "withdrawing": "0",
                "ipoing": "0",
                "ipoable": "0",
                "storage": "0",
                "isLegalMoney": False,
                "trading": True,
                "networkList": [],
            }
            for asset in assets
        ]

    # ---- reading

    def _find(self, account: Account, symbol: str, p: Parameters, by_id: str, by_name: str) -> Order | None:
        self._desk.rules_of(symbol)
        number, name = p.whole(by_id), p.text(by_name)
        if number is None and not name:
            raise Refusal(-1102, f"Param '{by_name}' or '{by_id}' must be sent, but both were empty/null!")
        return self._desk.log.find(account.owner, symbol, number, name or None)

    def _find_list(self, account: Account, p: Parameters, by_name: str) -> OrderList | None:
        number, name = p.whole("orderListId"), p.text(by_name)
        if number is None and not name:
            raise Refusal(-1102, f"Param '{by_name}' or 'orderListId' must be sent, but both were empty/null!")
        return self._venue.lists.find(account.owner, number, name or None)

    def _list_of(self, order_id: int) -> int:
        order = self._desk.log.of_id(order_id)
        return order.list_id if order is not None else -1

    def _form(self, p: Parameters, kind: str) -> str:
        default = "FULL" if kind in _FULL_BY_DEFAULT else "RESULT" if not kind else "ACK"
        return p.choice("newOrderRespType", _FORMS, (-1130, "Data sent for parameter 'newOrderRespType' is not valid."), default)

    def _restriction(self, p: Parameters) -> str:
        value = p.text("cancelRestrictions")
        if value not in {"", "ONLY_NEW", "ONLY_PARTIALLY_FILLED"}:
            raise Refusal(-1145, "Invalid cancelRestrictions")
        return value


def within(p: Parameters, found: Iterable[Any], time_of: Callable[[Any], int], *, from_start: bool, default: int = 500) -> list[Any]:
    """Return what lies between startTime and endTime: the first `limit` from a start, else the latest."""
    start, end = p.whole("startTime"), p.whole("endTime")
    limit = min(p.whole("limit", default) or default, 1000)
    if start is not None and end is not None and end < start:
        raise Refusal(-1127, "Lookup interval is too big.")
    chosen = [x for x in found if (start is None or time_of(x) // _MS >= start) and (end is None or time_of(x) // _MS <= end)]
    return chosen[:limit] if from_start or start is not None else chosen[-limit:]

"""Answer USD-M's private calls about orders and conditional orders. Parameters are read and refused as Binance reads and refuses them.

Sources: Binance USD-M REST pages and error codes (2026-07).
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from smartmoney.adapters import exchange_private_usdm_wire as form
from smartmoney.adapters.exchange_private import Handler, Route
from smartmoney.adapters.exchange_private_spot import within
from smartmoney.adapters.exchange_private_usdm_account import UsdmAccountCalls
from smartmoney.adapters.exchange_private_usdm_orders import algo_request, order_request
from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import Algo
from smartmoney.simulation.exchange.orders import Order
from smartmoney.simulation.exchange.refusals import Refusal, mandatory
from smartmoney.venues.binance.wire import grid_of

_BATCH_MAX = 5
_COUNTDOWN_MAX_MS = 86_400_000


class UsdmCalls:
    """Hold the handlers of USD-M's private calls."""

    def __init__(self, venue: TradingVenue) -> None:
        self._venue = venue
        self._desk = venue.usdm
        self._account = UsdmAccountCalls(venue)
        self.grids = {symbol: grid_of(rules.instrument) for symbol, rules in venue.usdm.rules.items()}

    def routes(self) -> dict[tuple[str, ...], Route]:
        """Return the routes by (method, family, call) or (method, family, version, call)."""
        table: tuple[tuple[str, str, Handler, str, int, bool], ...] = (
            ("POST", "order", self.place, "TRADE", 0, True),
            ("POST", "order/test", self.test, "TRADE", 0, False),
            ("DELETE", "order", self.cancel, "TRADE", 1, True),
            ("GET", "order", self.query, "USER_DATA", 1, False),
            ("GET", "openOrder", self.query_open, "USER_DATA", 1, False),
            ("GET", "openOrders", self.open_orders, "USER_DATA", 1, False),
            ("GET", "allOrders", self.all_orders, "USER_DATA", 5, False),
            ("DELETE", "allOpenOrders", self.cancel_all, "TRADE", 1, True),
            ("POST", "batchOrders", self.place_batch, "TRADE", 5, True),
            ("DELETE", "batchOrders", self.cancel_batch, "TRADE", 1, True),
            ("POST", "countdownCancelAll", self.count_down, "TRADE", 10, False),
            ("POST", "algoOrder", self.place_algo, "TRADE", 0, True),
            ("DELETE", "algoOrder", self.cancel_algo, "TRADE", 1, True),
            ("GET", "algoOrder", self.query_algo, "USER_DATA", 1, False),
            ("GET", "openAlgoOrders", self.open_algos, "USER_DATA", 1, False),
            ("GET", "allAlgoOrders", self.all_algos, "USER_DATA", 5, False),
            ("DELETE", "algoOpenOrders", self.cancel_algos, "TRADE", 1, True),
            ("GET", "userTrades", self.trades, "USER_DATA", 5, False),
        )
        routes: dict[tuple[str, ...], Route] = {
            (method, "fapi", call): Route(handler=handler, security=security, weight=weight, counts=counts)
            for method, call, handler, security, weight, counts in table
        }
        return routes | self._account.routes()

    # ---- orders

    def place(self, account: Account, p: Parameters) -> Any:
        """Place an order."""
        symbol = p.needed("symbol")
        asked = order_request(self._desk.rules_of(symbol), p, self._desk.now_ns())
        refusal = (-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
        response = p.choice("newOrderRespType", ("ACK", "RESULT"), refusal, "ACK")
        order = self._desk.place(account, asked)
        return form.order(self.grids[symbol], order, is_ack=response == "ACK")

    def test(self, account: Account, p: Parameters) -> Any:
        """Check an order and place nothing."""
        asked = order_request(self._desk.rules_of(p.needed("symbol")), p, self._desk.now_ns())
        self._desk.check(account, asked, asked.lots)
        return {}

    def cancel(self, account: Account, p: Parameters) -> Any:
        """Cancel an order."""
        order = self._desk.cancel(self._find(account, p))
        return form.order(self.grids[order.asked.symbol], order)

    def query(self, account: Account, p: Parameters) -> Any:
        """Return one order."""
        order = self._find(account, p)
        if order is None:
            raise Refusal(*refusals.NO_SUCH_ORDER)
        return form.order(self.grids[order.asked.symbol], order, with_time=True)

    def query_open(self, account: Account, p: Parameters) -> Any:
        """Return one order while it is open."""
        order = self._find(account, p)
        if order is None or not order.is_open:
            raise Refusal(*refusals.NO_SUCH_ORDER)
        return form.order(self.grids[order.asked.symbol], order, with_time=True)

    def open_orders(self, account: Account, p: Parameters) -> Any:
        """Return the open orders, of one symbol or all."""
        symbol = p.text("symbol")
        if symbol:
            self._desk.rules_of(symbol)
        return [form.order(self.grids[o.asked.symbol], o, with_time=True) for o in self._desk.log.open_of(account.owner, symbol)]

    def all_orders(self, account: Account, p: Parameters) -> Any:
        """Return a symbol's orders, the latest or from an id or time on."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        first = p.whole("orderId")
        found = [o for o in self._desk.log.all_of(account.owner, symbol) if first is None or o.id >= first]
        found = within(p, found, lambda o: o.time_ns, from_start=first is not None)
        return [form.order(self.grids[symbol], o, with_time=True) for o in found]

    def cancel_all(self, account: Account, p: Parameters) -> Any:
        """Cancel every open order of a symbol; conditional orders stay."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        for order in self._desk.log.open_of(account.owner, symbol):
            self._desk.cancel(order)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def place_batch(self, account: Account, p: Parameters) -> Any:
        """Place up to five orders; each succeeds or fails by itself."""
        orders = _listed(p.needed("batchOrders"), "batchOrders", dict)
        return self._each(orders, lambda fields: self.place(account, Parameters({k: _text(v) for k, v in fields.items()}, p.permissions)))

    def cancel_batch(self, account: Account, p: Parameters) -> Any:
        """Cancel up to ten orders; each succeeds or fails by itself."""
        symbol = p.needed("symbol")
        name = "orderIdList" if p.text("orderIdList") else "origClientOrderIdList"
        numbers = _listed(p.needed(name), name, (int, str), most=10)
        key = "orderId" if name == "orderIdList" else "origClientOrderId"
        return self._each(numbers, lambda n: self.cancel(account, Parameters({"symbol": symbol, key: str(n)}, p.permissions)))

    def _each(self, items: Iterable[Any], act: Callable[[Any], Any]) -> list[Any]:
        answers = []
        for item in items:
            try:
                answers.append(act(item))
            except Refusal as refused:
                answers.append({"code": refused.code, "msg": refused.message})
        return answers

    def count_down(self, account: Account, p: Parameters) -> Any:
        """Start, restart or stop the timer after which a symbol's orders are cancelled."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        wait_ms = p.whole("countdownTime")
        if wait_ms is None:
            raise mandatory("countdownTime")
        if wait_ms > _COUNTDOWN_MAX_MS:
            raise Refusal(-1130, "Data sent for parameter 'countdownTime' is not valid.")
        self._venue.clock.count_down(account, symbol, wait_ms)
        return {"symbol": symbol, "countdownTime": str(wait_ms)}

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
        return [form.trade(self.grids[symbol], fill) for fill in found]

    # ---- conditional orders

    def place_algo(self, account: Account, p: Parameters) -> Any:
        """Place a conditional order."""
        rules = self._desk.rules_of(p.needed("symbol"))
        request = algo_request(rules, p, self._desk.now_ns())
        made = self._venue.algos.place(account, request.asked, callback_rate=request.callback_rate, activate_tick=request.activate_tick)
        return form.algo(self.grids[made.asked.symbol], made, None)

    def cancel_algo(self, account: Account, p: Parameters) -> Any:
        """Cancel a conditional order."""
        found = self._venue.algos.cancel(self._find_algo(account, p))
        return {"algoId": found.id, "clientAlgoId": found.client_id, "code": "200", "msg": "success"}

    def query_algo(self, account: Account, p: Parameters) -> Any:
        """Return one conditional order."""
        found = self._find_algo(account, p)
        if found is None:
            raise Refusal(*refusals.NO_SUCH_ORDER)
        return self._algo(found)

    def open_algos(self, account: Account, p: Parameters) -> Any:
        """Return the conditional orders that wait."""
        return [self._algo(found) for found in self._venue.algos.open_of(account.owner, p.text("symbol"))]

    def all_algos(self, account: Account, p: Parameters) -> Any:
        """Return a symbol's conditional orders."""
        first = p.whole("algoId")
        found = [a for a in self._venue.algos.all_of(account.owner, p.needed("symbol")) if first is None or a.id >= first]
        return [self._algo(a) for a in within(p, found, lambda a: a.time_ns, from_start=first is not None)]

    def cancel_algos(self, account: Account, p: Parameters) -> Any:
        """Cancel every conditional order of a symbol."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        self._venue.algos.cancel_all(account.owner, symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _algo(self, found: Algo) -> dict[str, Any]:
        return form.algo(self.grids[found.asked.symbol], found, self._desk.log.of_id(found.actual_id))

    def _find(self, account: Account, p: Parameters) -> Order | None:
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        number, name = p.whole("orderId"), p.text("origClientOrderId")
        if number is None and not name:
            raise Refusal(-1102, "Mandatory parameter 'orderId' was not sent, was empty/null, or malformed.")
        return self._desk.log.find(account.owner, symbol, number, name or None)

    def _find_algo(self, account: Account, p: Parameters) -> Algo | None:
        number, name = p.whole("algoId"), p.text("clientAlgoId")
        if number is None and not name:
            raise Refusal(-1102, "Mandatory parameter 'algoId' was not sent, was empty/null, or malformed.")
        return self._venue.algos.find(account.owner, number, name or None)


def _listed(text: str, name: str, kind: type | tuple[type, ...], most: int = _BATCH_MAX) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.") from None
    if not isinstance(found, list) or not 0 < len(found) <= most or not all(isinstance(item, kind) for item in found):
        raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
    return found


def _text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)

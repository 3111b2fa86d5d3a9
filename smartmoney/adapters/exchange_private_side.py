"""Bundle what one market's site needs for accounts: private routes, private streams, and how to act at the present time."""

from collections.abc import Callable
from typing import Any

from smartmoney.adapters.exchange_client import StreamClient
from smartmoney.adapters.exchange_private import Arrived, PrivateRest, Route
from smartmoney.adapters.exchange_private_spot import SpotCalls
from smartmoney.adapters.exchange_private_streams import PrivateStreams
from smartmoney.adapters.exchange_private_usdm import UsdmCalls
from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.adapters.exchange_weights import Answer, Weights
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.fault_events import PrivateLine
from smartmoney.simulation.faults import FaultPlan

Act = Callable[[Callable[[], Any]], Any]
"""Runs something at the market's present time, after everything before it, and publishes what it brought."""

_API_CALLS = {
    "order.place": ("POST", "order"),
    "order.test": ("POST", "order/test"),
    "order.status": ("GET", "order"),
    "order.cancel": ("DELETE", "order"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "openOrders.status": ("GET", "openOrders"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "orderList.place.oco": ("POST", "orderList/oco"),
    "orderList.place.oto": ("POST", "orderList/oto"),
    "orderList.place.otoco": ("POST", "orderList/otoco"),
    "orderList.status": ("GET", "orderList"),
    "orderList.cancel": ("DELETE", "orderList"),
    "openOrderLists.status": ("GET", "openOrderList"),
    "allOrderLists": ("GET", "allOrderList"),
    "myTrades": ("GET", "myTrades"),
    "account.status": ("GET", "account"),
    "account.commission": ("GET", "account/commission"),
    "account.rateLimits.orders": ("GET", "rateLimit/order"),
}
"""Methods of spot's WebSocket API and the REST calls that they are."""


class PrivateSide:
    """Serve one market's accounts."""

    def __init__(
        self, venue: TradingVenue, weights: Weights, plan: FaultPlan, market: Market, *, now_ns: Callable[[], int], act: Act, salt: str
    ) -> None:
        self.act = act
        self._venue = venue
        self._plan = plan
        self._market = market
        is_spot = market is Market.SPOT
        calls = SpotCalls(venue) if is_spot else UsdmCalls(venue)
        self.streams = PrivateStreams(calls.grids, is_spot=is_spot, now_ns=now_ns, salt=salt)
        routes = calls.routes()
        if not is_spot:
            handlers = (("POST", self._new_key), ("PUT", self._keep_key), ("DELETE", self._drop_key))
            for method, handler in handlers:
                routes[method, "fapi", "listenKey"] = Route(handler=handler, security="USER_STREAM", signed=False)
        self.rest = PrivateRest(venue, weights, routes, is_spot=is_spot, now_ns=now_ns)

    def answer(self, arrived: Arrived, route: Route) -> Answer:
        """Return the answer to a private REST request, carried out now."""
        answer: Answer = self.act(lambda: self.rest.answer(arrived, route))
        return answer

    def api_call(self, method: str) -> tuple[str, str, Route] | None:
        """Return HTTP method, call and route of a WebSocket API method, or None."""
        verb, call = _API_CALLS.get(method, ("", ""))
        route = self.rest.route(verb, "api", "v3", call)
        return (verb, call, route) if route is not None else None

    def answer_api(self, route: Route, params: dict[str, str], address: str) -> Answer:
        """Return the answer to a private WebSocket API request, carried out now."""
        answer: Answer = self.act(lambda: self.rest.answer_api(route, params, address))
        return answer

    def subscribe(self, client: StreamClient, number: int, params: dict[str, str], address: str) -> int:
        """Subscribe a connection, its market's n-th, to the account of a signed request, and return the subscription's id.

        Raises:
            Refusal: the request is not in order, or there is a subscription already.
        """
        account, _ = self.rest.identify_api(params, address, "USER_STREAM")
        return self.streams.subscribe(client, lambda: self._line(number), account)

    def attach(self, client: StreamClient, number: int, words: list[str], only: str) -> None:
        """Tell a connection, its market's n-th, the events of a listen key in its address."""
        self.streams.attach(client, lambda: self._line(number), words, only)

    def publish(self) -> None:
        """Tell what happened to accounts since the last call."""
        self.streams.publish(self._venue.take_events(self._market))

    def _line(self, number: int) -> PrivateLine:
        return PrivateLine(self._plan, self._market.value, number)

    def _new_key(self, account: Account, _p: Parameters) -> Any:
        return {"listenKey": self.streams.listen_key(account)}

    def _keep_key(self, account: Account, _p: Parameters) -> Any:
        return {"listenKey": self.streams.keep_alive(account)}

    def _drop_key(self, account: Account, _p: Parameters) -> Any:
        self.streams.drop_key(account)
        return {}

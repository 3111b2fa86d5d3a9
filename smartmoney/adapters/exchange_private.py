"""Answer signed requests of one market: find the route, check key, time and signature, run the handler, write the headers.

A route says its method, call, security, request weight, and how many new orders it may count as; handlers are pure functions of account and
parameters, over the venue. Both doors, REST and the WebSocket API, end here.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from smartmoney.adapters.exchange_signing import Parameters, check_signature, fields_of, identify, signed_params, signed_text
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.adapters.exchange_weights import Answer, Weights
from smartmoney.simulation.exchange.accounts import Account, OrderRate, Permissions
from smartmoney.simulation.exchange.refusals import Refusal

Handler = Callable[[Account, Parameters], Any]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Be one private call. `signed` is false for the few that a key alone opens; `counts` marks those whose answers tell order counts."""

    handler: Handler
    security: str = "USER_DATA"
    weight: int = 1
    signed: bool = True
    counts: bool = False


class Body(msgspec.Struct, frozen=True):
    """Be a handler's answer that is not an ordinary 200."""

    status: int
    body: Any


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """Be a REST request as it arrived: raw query and body, the key's header, and from where."""

    method: str
    family: str
    version: str
    call: str
    query: str = ""
    body: str = ""
    key: str = ""
    address: str = "127.0.0.1"


class PrivateRest:
    """Hold one market's private routes, by (method, family, call) or (method, family, version, call)."""

    def __init__(
        self,
        venue: TradingVenue,
        weights: Weights,
        routes: Mapping[tuple[str, ...], Route],
        *,
        is_spot: bool,
        now_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._weights = weights
        self._routes = routes
        self._is_spot = is_spot
        self._now_ns = now_ns

    def route(self, method: str, family: str, version: str, call: str) -> Route | None:
        """Return the route of a request, or None."""
        return self._routes.get((method, family, version, call)) or self._routes.get((method, family, call))

    def answer(self, arrived: Arrived, route: Route) -> Answer:
        """Return the answer to a request of a known route."""

        def run() -> tuple[Account, Any]:
            fields = fields_of(arrived.query, arrived.body)
            account, may = identify(self._venue.accounts, arrived.key, arrived.address, route.security)
            if route.signed:
                signed = signed_text(arrived.query, arrived.body)
                check_signature(self._venue.accounts, arrived.key, signed, fields, self._now_ns())
            return account, route.handler(account, Parameters(fields, may))

        return self._answered(route, run)

    def answer_api(self, route: Route, params: Mapping[str, str], address: str) -> Answer:
        """Return the answer to a WebSocket API request, whose key and signature are among its parameters."""

        def run() -> tuple[Account, Any]:
            account, may = self.identify_api(params, address, route.security)
            return account, route.handler(account, Parameters(params, may))

        return self._answered(route, run)

    def identify_api(self, params: Mapping[str, str], address: str, security: str) -> tuple[Account, Permissions]:
        """Return the account and the permissions of the key of a WebSocket API request.

        Raises:
            Refusal: key, time or signature are not in order.
        """
        key = params.get("apiKey", "")
        found = identify(self._venue.accounts, key, address, security)
        check_signature(self._venue.accounts, key, signed_params(params), params, self._now_ns())
        return found

    def _answered(self, route: Route, run: Callable[[], tuple[Account, Any]]) -> Answer:
        refusal = self._weights.charge(route.weight)
        if refusal is not None:
            return refusal
        account: Account | None = None
        status, body = 200, None
        try:
            account, body = run()
        except Refusal as refused:
            status, body = refused.status, {"code": refused.code, "msg": refused.message}
        if isinstance(body, Body):
            status, body = body.status, body.body
        if self._is_spot and route.counts and status == 200:
            # Orders that succeed weigh nothing on spot since 2026-04-02.
            self._weights.give_back(route.weight)
        headers = self._weights.used()
        if account is not None and route.counts:
            headers |= order_counts(account.spot_rate if self._is_spot else account.usdm_rate, self._now_ns())
        return Answer(status, json.dumps(body, separators=(",", ":")), headers)


def order_counts(rate: OrderRate, now_ns: int) -> dict[str, str]:
    """Return the headers of an account's order counts."""
    return {
        f"X-MBX-ORDER-COUNT-{number}{interval[0]}": str(count)
        for (interval, number, _, _), count in zip(rate.windows, rate.counts(now_ns), strict=True)
    }

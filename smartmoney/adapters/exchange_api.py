"""Answer the WebSocket API of one connection: public calls, signed calls, and subscriptions to user data.

Numbers of a request are kept as the text that was sent, because a signature covers that text. Source: binance-spot-api-docs,
web-socket-api.md (2026-07).
"""

import json
from collections.abc import Callable
from typing import Any

from smartmoney.adapters.exchange_client import StreamClient
from smartmoney.adapters.exchange_fault_requests import Asked
from smartmoney.adapters.exchange_faults import SiteFaults
from smartmoney.adapters.exchange_private_side import PrivateSide
from smartmoney.adapters.exchange_rest import Rest
from smartmoney.adapters.exchange_weights import Answer
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.venues.binance import wire

_SUBSCRIBE, _UNSUBSCRIBE = "userDataStream.subscribe.signature", "userDataStream.unsubscribe"
_ORDERS_HEADER = "X-MBX-ORDER-COUNT-"
_INTERVALS = {"S": "SECOND", "M": "MINUTE", "D": "DAY"}
_PUBLIC = {
    "ping": "ping",
    "time": "time",
    "exchangeInfo": "exchangeInfo",
    "depth": "depth",
    "trades.recent": "trades",
    "trades.aggregate": "aggTrades",
    "klines": "klines",
    "ticker.24hr": "ticker/24hr",
    "ticker.price": "ticker/price",
    "ticker.book": "ticker/bookTicker",
}


class ApiSession:
    """Serve one connection of the WebSocket API."""

    def __init__(
        self, rest: Rest, private: PrivateSide, faults: SiteFaults, client: StreamClient, address: str, order_limits: dict[str, int]
    ) -> None:
        self._rest = rest
        self._private = private
        self._faults = faults
        self._client = client
        self._address = address
        self._order_limits = order_limits

    async def reply(self, text: str) -> str:
        """Return the reply to a message; empty if a fault loses it."""
        try:
            asked = json.loads(text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            return json.dumps({"id": None, "status": 400, "error": wire.error(-1135, "JSON error.")})
        if not isinstance(asked, dict):
            return json.dumps({"id": None, "status": 400, "error": wire.error(-1135, "JSON error.")})
        method, number = str(asked.get("method")), _id_of(asked.get("id"), text)
        params = asked.get("params") or {}
        fields = {str(name): _text(value) for name, value in params.items()} if isinstance(params, dict) else {}
        found = self._execution(method, fields)
        if found is None:
            return json.dumps({"id": number, "status": 400, "error": wire.error(-1100, "Illegal method.")})
        verb, call, execute = found
        request = Asked(method=verb, call=call, query=fields, has_key="apiKey" in fields)
        answer = await self._faults.answer(request, execute, self._rest.weights.used)
        if answer is None:
            return ""
        body = self._faults.api_body(answer)
        outcome = {"result": body} if answer.status == 200 else {"error": body}
        return json.dumps({"id": number, "status": answer.status, **outcome, "rateLimits": self._limits(answer)}, separators=(",", ":"))

    def _execution(self, method: str, fields: dict[str, str]) -> tuple[str, str, Callable[[], Answer]] | None:
        """Return (HTTP method, call, what carries it out)."""
        if method in _PUBLIC:
            call = _PUBLIC[method]
            return "GET", call, lambda: self._rest.answer("", call, fields)
        if method in {_SUBSCRIBE, _UNSUBSCRIBE}:
            return "POST", "userDataStream", lambda: self._subscription(method, fields)
        found = self._private.api_call(method)
        if found is None:
            return None
        verb, call, route = found
        return verb, call, lambda: self._private.answer_api(route, fields, self._address)

    def _subscription(self, method: str, fields: dict[str, str]) -> Answer:
        refusal = self._rest.weights.charge(2)
        if refusal is not None:
            return refusal
        try:
            if method == _SUBSCRIBE:
                number = self._private.subscribe(self._client, self._faults.number_of(self._client), fields, self._address)
                body: dict[str, Any] = {"subscriptionId": number}
            else:
                only = fields.get("subscriptionId", "")
                self._private.streams.unsubscribe(self._client, int(only) if only.isdigit() else None)
                body = {}
            return Answer(200, json.dumps(body), self._rest.weights.used())
        except Refusal as refused:
            return Answer(refused.status, json.dumps(wire.error(refused.code, refused.message)), self._rest.weights.used())

    def _limits(self, answer: Answer) -> list[dict[str, Any]]:
        used = int(answer.headers.get("X-MBX-USED-WEIGHT", "0"))
        limits: list[dict[str, Any]] = []
        for name, count in answer.headers.items():
            if name.startswith(_ORDERS_HEADER):
                window = name.removeprefix(_ORDERS_HEADER)
                limits.append(
                    {
                        "rateLimitType": "ORDERS",
                        "interval": _INTERVALS[window[-1]],
                        "intervalNum": int(window[:-1]),
                        "limit": self._order_limits[window],
                        "count": int(count),
                    }
                )
        weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self._rest.weights.limit}
        return [*limits, {**weight, "count": used}]


def _id_of(number: Any, text: str) -> Any:
    """Return a request's id as it was sent: a number stays a number."""
    if isinstance(number, str) and number.lstrip("-").isdigit() and f'"{number}"' not in text:
        return int(number)
    return number


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

"""Serve one market of a synthetic venue on a port: REST, market streams, the WebSocket API, private streams, control.

A client that cannot keep up is disconnected, never waited for. Whatever a fault plan says stands between this site and its clients.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from smartmoney.adapters.exchange_api import ApiSession
from smartmoney.adapters.exchange_client import StreamClient
from smartmoney.adapters.exchange_control import AccountControl
from smartmoney.adapters.exchange_fault_control import FaultControl
from smartmoney.adapters.exchange_fault_requests import Asked
from smartmoney.adapters.exchange_faults import SiteFaults, response
from smartmoney.adapters.exchange_feed import Desk, StreamWriter, in_time_order
from smartmoney.adapters.exchange_paths import StreamPath, channel_of, rest_path, stream_path
from smartmoney.adapters.exchange_private import Arrived
from smartmoney.adapters.exchange_private_side import PrivateSide
from smartmoney.adapters.exchange_rest import Rest
from smartmoney.adapters.exchange_weights import Answer
from smartmoney.simulation.exchange.accounts import SPOT_WINDOWS
from smartmoney.venues.binance import wire

_SPOT_PING_S = 20.0
_USDM_PING_S = 180.0
_BODY_MAX = 1 << 16
_API_MESSAGES_PER_S = 500
_ORDER_LIMITS = {f"{number}{interval[0]}": limit for interval, number, _, limit in SPOT_WINDOWS}


class Endpoints(msgspec.Struct, frozen=True):
    """Name where one market of a venue is served."""

    rest: str
    ws: str
    ws_api: str


class MarketSite:
    """Serve one market (spot or USD-M): its REST calls, its streams, its subscribers."""

    def __init__(
        self,
        desks: Mapping[str, Desk],
        rest: Rest,
        private: PrivateSide,
        faults: SiteFaults,
        controls: tuple[FaultControl, AccountControl],
        *,
        is_spot: bool,
    ) -> None:
        self.desks = desks
        self.is_spot = is_spot
        self.clients: set[StreamClient] = set()
        # Dictionaries, not sets: clients are served in the order in which they subscribed.
        self._by_stream: dict[str, dict[StreamClient, None]] = {}
        self._writers: dict[str, tuple[Desk, StreamWriter]] = {}
        self.rest = rest
        self.private = private
        self._faults = faults
        self._fault_control, self._account_control = controls
        self.port = 0

    @property
    def endpoints(self) -> Endpoints:
        """Return the base URLs; valid once the site listens."""
        host = f"127.0.0.1:{self.port}"
        path = "ws-api/v3" if self.is_spot else "ws-fapi/v1"
        return Endpoints(rest=f"http://{host}", ws=f"ws://{host}", ws_api=f"ws://{host}/{path}")

    def subscribe(self, client: StreamClient, stream: str) -> None:
        """Deliver a stream to a client; a stream that does not exist, or flows on another route, stays silent."""
        client.streams[stream] = None
        if client.channel and channel_of(stream) != client.channel:
            return
        symbol, _, kind = stream.partition("@")
        desk = self.desks.get(symbol.upper())
        if desk is None or symbol != symbol.lower():
            return
        if stream not in self._writers:
            writer = desk.open_stream(kind)
            if writer is None:
                return
            self._writers[stream] = (desk, writer)
        self._by_stream.setdefault(stream, {})[client] = None

    def unsubscribe(self, client: StreamClient, stream: str) -> None:
        """Stop delivering a stream to a client, and writing it once nobody listens."""
        client.streams.pop(stream, None)
        listeners = self._by_stream.get(stream)
        if listeners is None:
            return
        listeners.pop(client, None)
        if not listeners:
            del self._by_stream[stream]
            del self._writers[stream]

    def publish(self, batches: Mapping[str, Any], now_ns: int) -> None:
        """Write what a step until `now_ns` brought to everyone who listens, in the order of event time."""
        frames = [
            (at_ns, stream, frame) for stream, (desk, write) in self._writers.items() for at_ns, frame in write(batches[desk.grid.symbol])
        ]
        touched = self._faults.touches_frames
        for at_ns, stream, frame in in_time_order(frames):
            if touched:
                for client in self._by_stream[stream]:
                    self._faults.carry(client, stream, at_ns, frame, self._writers[stream][0])
                continue
            wrapped = ""
            for client in self._by_stream[stream]:
                if client.is_combined:
                    wrapped = wrapped or wire.envelope(stream, frame)
                    client.offer(wrapped)
                else:
                    client.offer(frame)
        self._faults.step(now_ns)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request that reaches this market's port."""
        if request.path.startswith("/sim/"):
            is_fault = request.path == "/sim/faults" or request.path.startswith("/sim/faults/")
            return await (self._fault_control if is_fault else self._account_control).handle(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            place = stream_path(request.path, request.query.get("streams", ""))
            refusal = await self._faults.refusal("api" if place.is_api else "stream", request)
            return refusal or await (self._serve_api(request) if place.is_api else self._serve_streams(request, place))
        path = rest_path(request.path)
        body = (await request.content.read(_BODY_MAX)).decode("latin-1") if request.can_read_body else ""
        arrived = Arrived(
            method=request.method,
            family=path.family,
            version=path.version,
            call=path.call,
            query=request.raw_path.partition("?")[2],
            body=body,
            key=request.headers.get("X-MBX-APIKEY", ""),
            address=request.remote or "",
        )
        asked = Asked(method=arrived.method, call=path.call, query=_merged(request.query, body), has_key=bool(arrived.key))
        answer = await self._faults.answer(asked, lambda: self.answer(arrived, request.query), self.rest.weights.used)
        return response(answer, request)

    def answer(self, arrived: Arrived, query: Mapping[str, str]) -> Answer:
        """Return the answer to a REST request, carried out now: a private one if there is such a route, else a public one."""
        route = self.private.rest.route(arrived.method, arrived.family, arrived.version, arrived.call)
        if route is not None:
            return self.private.answer(arrived, route)
        if arrived.method != "GET":
            return Answer(404, json.dumps(wire.error(-5000, f"Path /{arrived.call}, Method {arrived.method} is invalid")), {})
        return self.rest.answer(arrived.family, arrived.call, query)

    async def _serve_streams(self, request: web.Request, path: StreamPath) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 16)
        await socket.prepare(request)
        client = StreamClient(
            socket,
            request.transport,
            is_combined=path.is_combined,
            channel="" if self.is_spot else path.channel,
            ping_every_s=_SPOT_PING_S if self.is_spot else _USDM_PING_S,
            messages_per_s=5 if self.is_spot else 10,
        )
        self.clients.add(client)
        self._faults.opened(client)
        for stream in path.streams:
            self.subscribe(client, stream)
        if not self.is_spot:
            words = [*request.path.split("/"), request.query.get("listenKey", ""), *request.query.get("streams", "").split("/")]
            self.private.attach(client, self._faults.number_of(client), words, request.query.get("events", ""))
        try:
            await client.run(lambda text: self._command(client, text))
        finally:
            self.clients.discard(client)
            self._faults.closed(client)
            self.private.streams.detach(client)
            for stream in list(client.streams):
                self.unsubscribe(client, stream)
        return socket

    def _command(self, client: StreamClient, text: str) -> str:
        try:
            message = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return json.dumps({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return json.dumps({"error": {"code": 2, "msg": "Invalid request: missing field `method`"}})
        method, params, number = message["method"], message.get("params", []), message.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            return json.dumps({"result": list(client.streams), "id": number})
        if method in {"SET_PROPERTY", "GET_PROPERTY"}:
            return json.dumps({"result": client.is_combined if method == "GET_PROPERTY" else None, "id": number})
        change = {"SUBSCRIBE": self.subscribe, "UNSUBSCRIBE": self.unsubscribe}.get(method)
        if change is None:
            return json.dumps({"error": {"code": 2, "msg": f"Invalid request: unknown variant `{method}`"}, "id": number})
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            return json.dumps({"error": {"code": 2, "msg": "Invalid request: invalid type for field `params`"}, "id": number})
        if len(client.streams) + len(params) > 1024:
            return json.dumps({"error": {"code": 2, "msg": "Too many streams"}, "id": number})
        for name in params:
            change(client, name)
        return json.dumps({"result": None, "id": number})

    async def _serve_api(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 16)
        await socket.prepare(request)
        client = StreamClient(
            socket,
            request.transport,
            is_combined=False,
            channel="",
            ping_every_s=_SPOT_PING_S if self.is_spot else _USDM_PING_S,
            messages_per_s=_API_MESSAGES_PER_S,
        )
        self.clients.add(client)
        self._faults.opened(client)
        session = ApiSession(self.rest, self.private, self._faults, client, request.remote or "", _ORDER_LIMITS)
        try:
            await client.run(session.reply)
        finally:
            self.clients.discard(client)
            self._faults.closed(client)
            self.private.streams.detach(client)
        return socket


def _merged(query: Mapping[str, str], body: str) -> dict[str, str]:
    return {**dict(parse_qsl(body, keep_blank_values=True)), **query}

"""Serve a synthetic market as Binance spot and USD-M, on loopback, over real sockets.

One `ExchangeServer` runs one clock: it advances every book, writes the frames of every subscribed stream, and hands them to bounded
per-client queues. A client that cannot keep up is disconnected, never waited for. Spot and USD-M listen on separate ports.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from smartmoney.adapters.exchange_client import StreamClient
from smartmoney.adapters.exchange_fault_control import FaultControl, FaultReader
from smartmoney.adapters.exchange_fault_requests import Asked
from smartmoney.adapters.exchange_faults import HaltedBooks, SiteFaults, response
from smartmoney.adapters.exchange_feed import Desk, StreamWriter, in_time_order, quiet
from smartmoney.adapters.exchange_paths import StreamPath, channel_of, rest_path, stream_path
from smartmoney.adapters.exchange_rest import Rest
from smartmoney.adapters.exchange_weights import Answer
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.faults import FaultPlan
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.binance import wire

_PUMP_S = 0.02
_SLICE_NS = 500_000_000
_MS = 1_000_000
_SPOT_PING_S = 20.0
_USDM_PING_S = 180.0


class Endpoints(msgspec.Struct, frozen=True):
    """Name where one market of a venue is served."""

    rest: str
    ws: str
    ws_api: str


class MarketSite:
    """Serve one market (spot or USD-M): its REST calls, its streams, its subscribers."""

    def __init__(
        self, desks: Mapping[str, Desk], faults: SiteFaults, control: FaultControl, *, is_spot: bool, now_ns: Callable[[], int]
    ) -> None:
        self.desks = desks
        self.is_spot = is_spot
        self.clients: set[StreamClient] = set()
        # Dictionaries, not sets: clients are served in the order in which they subscribed.
        self._by_stream: dict[str, dict[StreamClient, None]] = {}
        self._writers: dict[str, tuple[Desk, StreamWriter]] = {}
        self.rest = Rest(desks, is_spot=is_spot, now_ns=lambda: now_ns() + faults.offset_ns())
        self._faults = faults
        self._control = control
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
            return await self._control.handle(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            place = stream_path(request.path, request.query.get("streams", ""))
            refusal = await self._faults.refusal("api" if place.is_api else "stream", request)
            return refusal or await (self._serve_api(request) if place.is_api else self._serve_streams(request, place))
        path = rest_path(request.path)

        def execute() -> Answer:
            if request.method != "GET":
                return Answer(404, json.dumps(wire.error(-5000, f"Path {request.path}, Method {request.method} is invalid")), {})
            return self.rest.answer(path.family, path.call, request.query)

        asked = Asked(method=request.method, call=path.call, query=request.query, has_key="X-MBX-APIKEY" in request.headers)
        return response(await self._faults.answer(asked, execute, self.rest.weights.used), request)

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
        try:
            await client.run(lambda text: self._command(client, text))
        finally:
            self.clients.discard(client)
            self._faults.closed(client)
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
        socket = web.WebSocketResponse(autoping=True, heartbeat=_SPOT_PING_S, compress=False, max_msg_size=1 << 16)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                reply = await self._api_reply(message.data)
                if reply:
                    await socket.send_str(reply)
        return socket

    async def _api_reply(self, text: str) -> str:
        try:
            asked = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError:
            return json.dumps({"id": None, "status": 400, "error": wire.error(-1135, "JSON error.")})
        call = _API_CALLS.get(str(asked.get("method")))
        if call is None:
            return json.dumps({"id": asked.get("id"), "status": 400, "error": wire.error(-1100, "Illegal method.")})
        params = asked.get("params") or {}
        query = {str(key): str(value) for key, value in params.items()} if isinstance(params, dict) else {}
        request = Asked(method="GET", call=call, query=query, has_key="apiKey" in query)
        answer = await self._faults.answer(request, lambda: self.rest.answer("", call, query), self.rest.weights.used)
        if answer is None:
            return ""
        body = self._faults.api_body(answer)
        outcome = {"result": body} if answer.status == 200 else {"error": body}
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000 if self.is_spot else 2400}
        limits = [{**limit, "count": int(answer.headers.get("X-MBX-USED-WEIGHT", "0"))}]
        return json.dumps({"id": asked.get("id"), "status": answer.status, **outcome, "rateLimits": limits})


_API_CALLS = {
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


class ExchangeServer:
    """Run a synthetic market on the wall clock and serve it.

    `origin_ns` is the wall time of the market's time 0; the market runs `speed` simulated seconds a second. At `start` a market that is
    behind the wall clock makes the difference up first; one that was run ahead of it goes on from there.
    """

    def __init__(
        self,
        market: SyntheticMarket,
        origin_ns: int,
        *,
        speed: float = 1.0,
        desks: dict[tuple[Market, str], Desk] | None = None,
        faults: FaultPlan | None = None,
        read_fault: FaultReader | None = None,
    ) -> None:
        self.market = market
        self._speed = speed
        self._desks = desks or {key: Desk(book, origin_ns) for key, book in market.books.items()}
        self._origin_ns = origin_ns
        self._started_at = 0
        self._start_ns = 0
        self._advanced_ns = 0
        self.faults = faults or FaultPlan()
        self._halts = HaltedBooks(self.faults, origin_ns)
        control = FaultControl(self.faults, self.now_ns, read_fault)
        self.sites = {which: self._site(which, control) for which in dict.fromkeys(key[0] for key in market.books)}
        self._runners: list[web.AppRunner] = []
        self._pump: asyncio.Task[None] | None = None

    def _site(self, which: Market, control: FaultControl) -> MarketSite:
        desks = {symbol: desk for (owner, symbol), desk in self._desks.items() if owner is which}
        is_spot = which is Market.SPOT
        faults = SiteFaults(self.faults, which.value, desks, is_spot=is_spot, now_ns=self.now_ns, speed=self._speed)
        return MarketSite(desks, faults, control, is_spot=is_spot, now_ns=self.now_ns)

    def now_ns(self) -> int:
        """Return the exchange's clock: wall time, faster if `speed` is."""
        return self._origin_ns + self._market_ns()

    def _market_ns(self) -> int:
        if not self._started_at:
            return self._reached_ns()
        return self._start_ns + int((time.monotonic_ns() - self._started_at) * self._speed)

    async def start(self, port: int = 0) -> dict[Market, Endpoints]:
        """Listen (the first market on `port`, the next on `port + 1`; 0 chooses free ones) and start the clock.

        Raises:
            OSError: a port is in use; nothing is left listening.
        """
        try:
            for place, site in enumerate(self.sites.values()):
                site.port = await self._listen(site.handle, port + place if port else 0)
        except OSError:
            await self.stop()
            raise
        self._start_ns = max(self._reached_ns(), time.time_ns() - self._origin_ns)
        self._started_at = time.monotonic_ns()
        # Not the wall's time: what the market has to make up first is sent to clients too, and must find the faults standing.
        self.faults.begin(self._origin_ns + self._reached_ns())
        self._pump = asyncio.create_task(self._run(), name="exchange clock")
        return {which: site.endpoints for which, site in self.sites.items()}

    def _reached_ns(self) -> int:
        return max(self._advanced_ns, *(book.now_ns for book in self.market.books.values()))

    async def stop(self) -> None:
        """Disconnect everybody and close the ports."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
            self._pump = None
        for site in self.sites.values():
            await asyncio.gather(*(client.close(1001, b"going away") for client in list(site.clients)), return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def wait(self) -> None:
        """Wait until the clock stops; a fault in it is raised here."""
        if self._pump is not None:
            await asyncio.shield(self._pump)

    async def _listen(self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int) -> int:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        return int(runner.addresses[0][1])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_PUMP_S)
            target_ns = self._market_ns()
            reached_ns = self._reached_ns()
            while reached_ns < target_ns:
                # After a long pause the past is made up in slices, and clients are served in between.
                reached_ns = min(target_ns, reached_ns + _SLICE_NS)
                self.advance(reached_ns)
                await asyncio.sleep(0)

    def advance(self, to_ns: int) -> None:
        """Advance every book to a market time and publish what happened."""
        self._advanced_ns = max(self._advanced_ns, to_ns)
        batches: dict[Market, dict[str, Any]] = {which: {} for which in self.sites}
        for (which, symbol), book in self.market.books.items():
            rows = self._halts.advance(which.value, symbol, book, to_ns)
            batches[which][symbol] = self._desks[which, symbol].take(rows) if rows is not None else quiet(self._origin_ns + to_ns)
        for which, site in self.sites.items():
            site.publish(batches[which], self._origin_ns + to_ns)

"""A small venue on loopback that answers in documented payloads, and does what a test says: refuse, stay silent, push twice, push late.

It keeps a ledger of its own (orders by client id, trades, positions), which is the judge; subclasses speak a venue's protocol.
"""

import asyncio
import itertools
import json
import time
from contextlib import asynccontextmanager
from decimal import Decimal

from aiohttp import WSMsgType, web

from smartmoney.core.domain.instruments import Market
from tests.steady_clock import CLOCK
from tests.waiting import SCENE_S, until

KEY, SECRET, PASSPHRASE = "KeyOfTheTrader1", "canary4711secretcanary", "canary4711passphrase"
_numbers = itertools.count(1)


class Script:
    """Say once what comes of the next call of a path. `does`: whether the venue carries it out all the same; `status` 0 says nothing."""

    def __init__(self, code=None, message="", *, status=200, does=False, headers=None, body=None):
        self.code = code
        self.message = message
        self.status = status
        self.does = does
        self.headers = headers or {}
        self.body = body


class Order:
    def __init__(self, client_id, **fields):
        self.client_id = client_id
        self.filled = Decimal(0)
        self.value = Decimal(0)
        self.is_live = True
        self.reason = ""
        self.triggered = False
        self.carried = None
        """What the order says of a stop that is to be made out of it."""
        self.parent = None
        self.made_ms = now_ms()
        self.__dict__.update(fields)


def now_ms():
    return time.time_ns() // 1_000_000


class ScriptedVenue:
    """Serve until `stop`. `calls` holds every request as (path, parameters, headers)."""

    """`attaches`: it makes stops out of the entries that carry one. `naked` are the fills that left something held without a
    stop, `lost_cover` what was covered and is so no more, `bare_ms` for how long something was without. `fills_markets`: an order at market trades at once."""

    trades_on = Market.USDM
    symbol_name, lot = "BTC/USDT:USDT", "0.001"
    skew_ms = 0
    attaches = True
    attached_reduce = True
    fills_markets = False

    def __init__(self):
        self.orders = {}
        self.trades = []
        self.position = Decimal(0)
        self.scripts = {}
        self.calls = []
        self.sockets = []
        self.pushes = []
        self.is_muted = False
        self.naked, self.lost_cover, self.bare_ms = [], [], []
        self._covered, self._bare_since = 0, None
        self.leverage = "1"
        self._holding = asyncio.Event()

    def script(self, path, *scripts):
        self.scripts.setdefault(path, []).extend(scripts)

    def made(self, name):
        """Return how many orders bear a client id."""
        return sum(order.client_id == name for order in self.orders.values())

    def named(self, name):
        return next(order for order in self.orders.values() if order.client_id == name)

    def stops(self):
        """Return the stops that stand."""
        return [order for order in self.orders.values() if order.is_live and order.trigger]

    def note_cover(self, order):
        """Take note of a fill that leaves something held without a stop for it."""
        self.look_at_cover()
        if self._bare_since is not None:
            self.naked.append((order.client_id, self.position))

    def look_at_cover(self):
        """Take note of cover that was taken away from what is still held, and of how long some of it is without."""
        held = abs(self.position_base())
        covered = min(held, sum(self.base(stop.quantity - stop.filled) for stop in self.stops()))
        if covered < min(self._covered, held):
            self.lost_cover.append((self._covered, covered, held))
        self._covered = covered
        if covered < held and self._bare_since is None:
            self._bare_since = time.monotonic()
        elif covered == held and self._bare_since is not None:
            self.bare_ms.append(round((time.monotonic() - self._bare_since) * 1000))
            self._bare_since = None

    def position_base(self):
        return self.base(self.position)

    def base(self, quantity):
        return quantity

    def asked(self, path):
        return [params for known, params, _ in self.calls if known == path]

    def clock_ms(self):
        return now_ms() + self.skew_ms

    def number(self):
        return next(_numbers)

    async def start(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._any)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.rest, self.ws = f"http://127.0.0.1:{self.port}", f"ws://127.0.0.1:{self.port}"

    async def stop(self):
        self._holding.set()
        for socket in self.sockets:
            await socket.close()
        await self._runner.cleanup()

    async def _any(self, request):
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request)
        text = await request.text()
        params = json.loads(text) if text else dict(request.query)
        path = request.path.removeprefix("/")
        self.calls.append((path, params, dict(request.headers)))
        waiting = self.scripts.get(path)
        script = waiting.pop(0) if waiting else None
        refused = self.why_unsigned(request, text)
        if script is None or script.does:
            answer = refused or self.answer(path, params)
            self.look_at_cover()
            if script is None:
                return web.json_response(answer, headers=self.headers())
        if script.status == 0:
            await self._holding.wait()
        if isinstance(script.body, str):
            return web.Response(text=script.body, content_type="text/html", status=script.status, headers=script.headers)
        body = script.body if script.body is not None else self.fault(path, script)
        return web.json_response(body, status=script.status, headers={**self.headers(), **script.headers})

    async def _socket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        socket.topics = set()
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self.told(socket, message.data)
        return socket

    async def push(self, topic, frame, *, times=1):
        """Send a frame to everybody who subscribed, or keep it while the stream is muted."""
        self.pushes.append((topic, frame))
        if self.is_muted:
            return
        for _ in range(times):
            for socket in self.sockets:
                if topic in socket.topics and not socket.closed:
                    await socket.send_str(json.dumps(frame))

    async def subscribed(self, count):
        await until(lambda: sum(len(socket.topics) for socket in self.sockets if not socket.closed) >= count, "they are subscribed")

    async def drop_sockets(self):
        for socket in self.sockets:
            await socket.close()
        self.sockets.clear()

    def headers(self):
        return {}


@asynccontextmanager
async def serving(venue, patience_s=SCENE_S):
    CLOCK.begin()
    await venue.start()
    try:
        async with asyncio.timeout(patience_s):
            yield venue
    finally:
        await venue.stop()

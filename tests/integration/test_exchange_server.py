"""The built-in exchange over real sockets: its books can be followed, its rules are the venue's, and it never waits for a slow client."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import pytest
import websockets

from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.market import SyntheticMarket
from tests.waiting import PATIENCE_S, SCENE_S

START = 10_000_000_000


@asynccontextmanager
async def exchange(seed=5, speed=1.0):
    server = ExchangeServer(SyntheticMarket(seed), time.time_ns() - START, speed=speed)
    server.advance(START)
    endpoints = await server.start()
    try:
        async with asyncio.timeout(SCENE_S):
            yield server, endpoints
    finally:
        await server.stop()


async def get(url, **query):
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as response:
        return response.status, await response.json(content_type=None), response.headers


async def messages(socket, count):
    return [json.loads(await socket.recv()) for _ in range(count)]


def apply(book, frame):
    for side, key in ((0, "b"), (1, "a")):
        for price, quantity in frame[key]:
            if float(quantity) == 0:
                assert set(quantity) <= set("0.")
                book[side].pop(price, None)
            else:
                book[side][price] = quantity


def top(book, count=20):
    return [
        sorted(book[0].items(), key=lambda level: -float(level[0]))[:count],
        sorted(book[1].items(), key=lambda level: float(level[0]))[:count],
    ]


@pytest.mark.parametrize(("market", "path"), [(Market.SPOT, "/ws/btcusdt@depth@100ms"), (Market.USDM, "/public/ws/btcusdt@depth@100ms")])
async def test_a_book_followed_over_the_socket_equals_the_engines_at_the_same_update_id(market, path):
    async with exchange(speed=4.0) as (server, endpoints), websockets.connect(endpoints[market].ws + path) as socket:
        buffered = await messages(socket, 2)
        prefix = "/api/v3" if market is Market.SPOT else "/fapi/v1"
        _, snapshot, _ = await get(endpoints[market].rest + prefix + "/depth", symbol="BTCUSDT", limit=1000)
        last = snapshot["lastUpdateId"]
        book = [dict(snapshot["bids"]), dict(snapshot["asks"])]
        known = server.market.books[market, "BTCUSDT"]
        desk = server.sites[market].desks["BTCUSDT"]
        applied, compared, previous = 0, 0, None
        while compared < 3:
            frame = buffered.pop(0) if buffered else json.loads(await socket.recv())
            if previous is not None:
                assert frame["U"] == previous + 1 if market is Market.SPOT else frame["pu"] == previous
            previous = frame["u"]
            if frame["u"] <= last and not applied:
                continue
            if not applied:
                assert (
                    frame["U"] <= last + 1 <= frame["u"] + 1
                    if market is Market.SPOT
                    else frame["U"] <= last <= frame["u"] or frame["pu"] <= last
                )
            apply(book, frame)
            applied += 1
            if applied > 20 and known.update_id == frame["u"]:
                compared += 1
                now = json.loads(desk.snapshot(20))
                assert [[list(level) for level in side] for side in top(book)] == [now["bids"], now["asks"]]


async def test_subscriptions_are_acknowledged_listed_and_ended():
    async with exchange() as (_, endpoints), websockets.connect(endpoints[Market.SPOT].ws + "/stream") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms", "ethusdt@trade"], "id": 7}))
        assert json.loads(await socket.recv()) == {"result": None, "id": 7}
        frame = json.loads(await socket.recv())
        assert set(frame) == {"stream", "data"}
        await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 8}))
        while (frame := json.loads(await socket.recv())).get("id") != 8:
            assert frame["stream"] in {"btcusdt@depth@100ms", "ethusdt@trade"}
        assert frame["result"] == ["btcusdt@depth@100ms", "ethusdt@trade"]
        await socket.send(json.dumps({"method": "UNSUBSCRIBE", "params": ["btcusdt@depth@100ms", "ethusdt@trade"], "id": 9}))
        while json.loads(await socket.recv()).get("id") != 9:
            pass
        await socket.send("not json")
        assert json.loads(await socket.recv())["error"]["code"] == 3
        await socket.send(json.dumps({"method": "DANCE", "id": 10}))
        assert json.loads(await socket.recv())["error"]["code"] == 2


async def test_every_public_stream_speaks():
    kinds = {
        Market.SPOT: ["depth", "depth@100ms", "depth5@100ms", "trade", "aggTrade", "bookTicker"],
        Market.USDM: ["depth", "depth@0ms", "depth@500ms", "depth20", "trade", "aggTrade", "bookTicker", "markPrice@1s"],
    }
    async with exchange(speed=5.0) as (_, endpoints):
        for market, wanted in kinds.items():
            streams = [f"btcusdt@{kind}" for kind in wanted]
            async with websockets.connect(endpoints[market].ws + "/stream?streams=" + "/".join(streams)) as socket:
                missing = set(streams)
                while missing:
                    missing.discard(json.loads(await socket.recv())["stream"])


async def test_a_futures_stream_on_the_wrong_route_is_silent():
    async with exchange(speed=5.0) as (_, endpoints):
        async with websockets.connect(endpoints[Market.USDM].ws + "/market/stream?streams=btcusdt@depth@100ms/btcusdt@aggTrade") as socket:
            assert {frame["stream"] for frame in await messages(socket, 10)} == {"btcusdt@aggTrade"}


@pytest.mark.parametrize("path", ["/api/v3/depth", "/api/v3/api/v3/depth", "/depth"])
async def test_doubled_and_missing_prefixes_work(path):
    async with exchange() as (_, endpoints):
        status, body, headers = await get(endpoints[Market.SPOT].rest + path, symbol="BTCUSDT", limit=5)
        assert status == 200
        assert len(body["bids"]) == 5
        assert int(headers["X-MBX-USED-WEIGHT-1M"]) == int(headers["X-MBX-USED-WEIGHT"]) == 5


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/api/v3/depth", {"symbol": "NOPE"}, 400, -1121),
        ("/api/v3/depth", {}, 400, -1102),
        ("/api/v3/depth", {"symbol": "BTCUSDT", "limit": "many"}, 400, -1130),
        ("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "7m"}, 400, -1120),
        ("/api/v3/ticker/price", {"symbols": "["}, 400, -1100),
        ("/api/v3/nothing", {}, 404, -5000),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT"}, 404, -5000),
    ],
)
async def test_bad_requests_get_the_venues_error(path, query, status, code):
    async with exchange() as (_, endpoints):
        answered, body, _ = await get(endpoints[Market.SPOT].rest + path, **query)
        assert (answered, body["code"]) == (status, code)


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
async def test_every_rest_call_answers_for_one_symbol_and_where_the_venue_does_for_all(market):
    prefix = "/api/v3/" if market is Market.SPOT else "/fapi/v1/"
    calls = ["ping", "time", "exchangeInfo", "depth", "trades", "aggTrades", "klines", "ticker/24hr", "ticker/price", "ticker/bookTicker"]
    async with exchange() as (_, endpoints):
        for call in [*calls, *(["premiumIndex"] if market is Market.USDM else [])]:
            status, body, _ = await get(endpoints[market].rest + prefix + call, symbol="BTCUSDT", interval="1m")
            assert (status, isinstance(body, (dict, list))) == (200, True), call
            if call.startswith("ticker") or call in {"trades", "aggTrades", "klines", "premiumIndex"}:
                assert body
        for call in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
            _, body, _ = await get(endpoints[market].rest + prefix + call)
            assert [entry["symbol"] for entry in body] == ["BTCUSDT", "ETHUSDT"]


async def test_too_much_weight_is_answered_429_with_retry_after():
    async with exchange() as (_, endpoints):
        statuses = set()
        for _ in range(60):
            status, body, headers = await get(endpoints[Market.SPOT].rest + "/api/v3/depth", symbol="BTCUSDT", limit=5000)
            statuses.add(status)
            if status == 429:
                assert body["code"] == -1003
                assert 0 < int(headers["Retry-After"]) <= 60
                break
        assert statuses == {200, 429}


async def test_the_request_api_answers():
    async with exchange() as (_, endpoints), websockets.connect(endpoints[Market.SPOT].ws_api) as socket:
        for number, (method, params, key) in enumerate(
            [
                ("ping", {}, None),
                ("time", {}, "serverTime"),
                ("depth", {"symbol": "BTCUSDT", "limit": 5}, "bids"),
                ("exchangeInfo", {}, "symbols"),
            ]
        ):
            await socket.send(json.dumps({"id": number, "method": method, "params": params}))
            reply = json.loads(await socket.recv())
            assert (reply["id"], reply["status"]) == (number, 200)
            assert key is None or key in reply["result"]
        await socket.send(json.dumps({"id": "x", "method": "depth", "params": {"symbol": "NOPE"}}))
        reply = json.loads(await socket.recv())
        assert (reply["status"], reply["error"]["code"]) == (400, -1121)


async def test_a_client_that_does_not_read_is_disconnected_and_others_are_not():
    async with exchange() as (server, endpoints):
        url = endpoints[Market.SPOT].ws + "/stream?streams=btcusdt@depth@0ms/btcusdt@bookTicker/btcusdt@trade"
        async with websockets.connect(url, max_queue=1) as slow, websockets.connect(url, max_queue=None) as healthy:
            site = server.sites[Market.SPOT]
            at = server.market.books[Market.SPOT, "BTCUSDT"].now_ns
            while len(site.clients) == 2:
                # Drive the market much faster than the clock, so that the idle reader's buffers fill.
                at += 1_000_000_000
                server.advance(at)
                for _ in range(50):
                    await asyncio.sleep(0)
            assert len(site.clients) == 1
            await healthy.recv()
            with pytest.raises(websockets.ConnectionClosed):
                await messages(slow, 1_000_000)


async def test_a_flood_of_messages_ends_the_connection():
    async with exchange() as (_, endpoints), websockets.connect(endpoints[Market.SPOT].ws + "/ws") as socket:
        for number in range(6):
            await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        with pytest.raises(websockets.ConnectionClosed):
            await messages(socket, 1_000_000)


@contextmanager
def sim(*arguments):
    command = [sys.executable, "-c", "from smartmoney.cli.sim import app; app()", *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_the_command_prints_one_line_when_ready_and_ends_cleanly_on_sigterm(tmp_path):
    with sim("--seed", "3", "--json", "--prerun", "60", "--warm-out", str(tmp_path / "warm")) as process:
        ready = json.loads(process.stdout.readline())
        assert set(ready["binance"]) == {"spot", "usdm"}
        assert set(ready["binance"]["spot"]) == {"rest", "ws", "ws_api"}
        assert {symbol for files in ready["warm"].values() for symbol in files} == {"BTCUSDT", "ETHUSDT"}
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (0, "")
        assert err == "smartmoney sim: synthetic market, edge planted: proves nothing about yours\n"


def test_the_command_ends_with_its_parents_stdin():
    with sim("--json", "--symbols", "BTCUSDT", "--die-with-parent") as process:
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0


def test_a_port_in_use_is_one_clear_line_and_exit_one():
    with sim("--json", "--symbols", "BTCUSDT") as first:
        port = json.loads(first.stdout.readline())["binance"]["spot"]["rest"].rpartition(":")[2]
        with sim("--port", port, "--symbols", "BTCUSDT") as second:
            assert second.wait(PATIENCE_S) == 1
            lines = second.stderr.read().splitlines()
            assert len(lines) == 2
            assert port in lines[1]


def test_an_unknown_symbol_is_a_usage_error():
    with sim("--symbols", "DOGEUSDT") as process:
        assert process.wait(PATIENCE_S) == 2
        assert "DOGEUSDT" in process.stderr.read()


async def test_the_live_feed_continues_the_capture_without_a_hole(tmp_path):
    import gzip

    from smartmoney.adapters.exchange_warm import capture_path, prerun

    market = SyntheticMarket(8, symbols=("BTCUSDT",))
    origin = time.time_ns() - 30_000_000_000
    desks = prerun(market, origin, 30, tmp_path / "warm")
    for which, rule in ((Market.SPOT, "U"), (Market.USDM, "pu")):
        last, snapshots, trades = None, 0, []
        with gzip.open(capture_path(tmp_path / "warm", which, "BTCUSDT"), "rt") as lines:
            for line in lines:
                stamp, _, raw = line.partition(" ")
                message = json.loads(raw)
                assert origin <= int(stamp) <= origin + 30_000_000_000
                if "lastUpdateId" in message:
                    snapshots += 1
                elif message["data"]["e"] == "depthUpdate":
                    frame = message["data"]
                    assert last is None or frame[rule] == last + (1 if rule == "U" else 0)
                    last = frame["u"]
                else:
                    trades.append(message["data"]["t"])
        assert snapshots == 1
        assert trades == list(range(trades[0], trades[0] + len(trades)))
        writer = desks[which, "BTCUSDT"].open_stream("depth@100ms")
        rows = market.books[which, "BTCUSDT"].advance(31_000_000_000)
        first = json.loads(writer(desks[which, "BTCUSDT"].take(rows))[0][1])
        # Only the window that was still open at the end lies between file and feed.
        assert last <= (first["pu"] if rule == "pu" else first["U"] - 1) <= last + 500

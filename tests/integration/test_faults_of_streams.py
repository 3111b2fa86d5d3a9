"""Faults of stream frames and connections, on real sockets, in the venue's own form."""

import asyncio
import json
import time
from itertools import pairwise

import pytest
import websockets

from smartmoney.core.domain.instruments import Market
from tests.waiting import until

from .faulty import acted, ask, exchange, frames

DEPTH = {Market.SPOT: "/ws/btcusdt@depth@100ms", Market.USDM: "/public/ws/btcusdt@depth@100ms"}
MARKETS = [Market.SPOT, Market.USDM]


def joins(market, before, after):
    return after["U"] == before["u"] + 1 if market is Market.SPOT else after["pu"] == before["u"]


async def test_silence_stops_frames_while_pings_and_acknowledgements_go_on():
    async with exchange({"kind": "silence", "stream": "*@depth*"}) as (server, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker") as socket:
            seen = []
            while acted(server) < 6:
                seen += await frames(socket, 1)
            pong = await socket.ping()
            await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
            while not pong.done() or not any("id" in frame for frame in seen):
                seen += await frames(socket, 1)
            seen.remove({"result": ["btcusdt@depth@100ms", "btcusdt@bookTicker"], "id": 1})
            assert {frame["stream"] for frame in seen} == {"btcusdt@bookTicker"}


@pytest.mark.parametrize("market", MARKETS)
async def test_a_gap_breaks_the_sequence_exactly_where_it_acts(market):
    async with exchange({"kind": "gap", "skip": 3, "count": 1}) as (server, endpoints):
        async with websockets.connect(endpoints[market].ws + DEPTH[market]) as socket:
            got = await frames(socket, 8)
        assert [joins(market, a, b) for a, b in pairwise(got)] == [True, True, False, True, True, True, True]
        assert acted(server) == 1


async def test_duplicates_reordering_and_bursts_repeat_the_venues_own_frames():
    async with exchange(
        {"kind": "duplicate", "connection": 1, "skip": 1, "count": 1, "times": 2},
        {"kind": "reorder", "connection": 2, "skip": 1, "count": 1, "by": 2},
        {"kind": "burst", "connection": 3, "skip": 1, "count": 1},
    ) as (_, endpoints):
        url = endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]
        async with websockets.connect(url) as socket:
            got = [await socket.recv() for _ in range(5)]
        assert got[1] == got[2] == got[3]
        assert len(set(got)) == 3
        async with websockets.connect(url) as socket:
            ids = [frame["U"] for frame in await frames(socket, 5)]
        assert sorted(ids).index(ids[3]) == 1
        assert [n for n in ids if n != ids[3]] == sorted(n for n in ids if n != ids[3])
        async with websockets.connect(url) as socket:
            got = [await socket.recv() for _ in range(102)]
        assert len(set(got[1:101])) == 1
        assert len(set(got)) == 3


async def test_a_backlog_is_held_back_and_then_sent_at_once_in_order():
    async with exchange({"kind": "backlog", "after_s": 1, "for_s": 5, "hold_s": 5}) as (server, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]) as socket:
            got = []
            while len(got) < 80:
                (frame,) = await frames(socket, 1)
                got.append((frame, server.now_ns() / 1e6 - frame["E"]))
        start = next(n for n, (_, age_ms) in enumerate(got) if age_ms > 4_000)
        assert all(joins(Market.SPOT, a, b) for (a, _), (b, _) in pairwise(got)), "nothing is lost"
        held = [frame["E"] for frame, _ in got[start : start + 45]]
        assert max(held) - min(held) > 3_500, "a burst of several seconds of frames"
        assert 40 <= acted(server) <= 51


async def test_a_delay_makes_every_frame_late():
    async with exchange({"kind": "delay", "delay_s": 3}) as (server, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]) as socket:
            for _ in range(5):
                (frame,) = await frames(socket, 1)
                assert server.now_ns() / 1e6 - frame["E"] >= 2_999


@pytest.mark.parametrize("path", ["/ws/btcusdt@depth@100ms", "/stream?streams=btcusdt@depth@100ms"])
async def test_a_truncated_message_is_half_a_frame(path):
    async with exchange({"kind": "truncate", "skip": 1, "count": 1}) as (_, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + path) as socket:
            whole, cut = await socket.recv(), await socket.recv()
        assert cut[:20] == whole[:20]
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut)


@pytest.mark.parametrize(
    ("form", "size", "judge"),
    [
        ("binary", 5000, lambda m: isinstance(m, bytes) and len(m) == 5000),
        ("large", 10_000_000, lambda m: len(m) == 10_000_000 and len(json.loads(m)["x"]) > 9_999_000),
        ("deep", 200_000, lambda m: m == "[" * 200_000),
        ("empty", 1, lambda m: m == ""),
        ("not_json", 1, lambda m: m.startswith("<html>")),
        ("nan", 1, lambda m: '["NaN","' in m),
        ("bare_nan", 1, lambda m: "[NaN," in m),
        ("infinity", 1, lambda m: '["Infinity","' in m),
        ("bare_infinity", 1, lambda m: "[Infinity," in m),
        ("exponent", 1, lambda m: '["1e30","' in m),
        ("negative", 1, lambda m: '["-1.00000000","' in m),
        ("zero", 1, lambda m: json.loads(m)["b"][0][0] == "0.00000000"),
        ("off_grid", 1, lambda m: '["1.2345678901234567","' in m),
    ],
)
async def test_garbage_in_every_form(form, size, judge):
    async with exchange({"kind": "garbage", "form": form, "size": size, "count": 1}) as (_, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT], max_size=None) as socket:
            assert judge(await socket.recv())
            assert json.loads(await socket.recv())["e"] == "depthUpdate"


class Book:
    """Follow diffs as a client does."""

    def __init__(self, snapshot):
        self.sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        self.last = snapshot["lastUpdateId"]

    def apply(self, frame):
        if frame["u"] <= self.last:
            return
        for key, side in self.sides.items():
            for price, quantity in frame[key]:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def best(self):
        return max(map(float, self.sides["b"]), default=None), min(map(float, self.sides["a"]), default=None)


async def followed(server, endpoints, market, socket, fault):
    """Follow a book while a fault stands and after it was taken away; return the touches meanwhile, and compare the book at the end."""
    rest = endpoints[market].rest + ("/api/v3" if market is Market.SPOT else "/fapi/v1")
    first = await frames(socket, 1)
    _, text, _ = await ask("GET", rest + "/depth", symbol="BTCUSDT", limit="1000")
    book = Book(json.loads(text))
    touches, waiting = [], first
    while len(touches) < 11:
        frame = waiting.pop() if waiting else (await frames(socket, 1))[0]
        if frame["u"] > book.last:  # what the snapshot holds already shows nothing of the fault
            book.apply(frame)
            touches.append(book.best())
    assert acted(server) >= 10
    server.faults.remove(fault)
    removed_ms = server.now_ns() / 1e6
    known, desk = server.market.books[market, "BTCUSDT"], server.sites[market].desks["BTCUSDT"]
    for _ in range(200):
        (frame,) = await frames(socket, 1)
        book.apply(frame)
        if known.update_id == frame["u"] and frame["E"] > removed_ms:
            now = json.loads(desk.snapshot(20))
            for key, side in (("bids", "b"), ("asks", "a")):
                ours = sorted(book.sides[side].items(), key=lambda level: float(level[0]), reverse=side == "b")[:20]
                assert [list(level) for level in ours] == now[key]
            return touches
    raise AssertionError("the book never stood at a frame's end")


@pytest.mark.parametrize(("ticks", "market"), [(3, Market.SPOT), (0, Market.USDM)])
async def test_a_crossed_or_locked_book_comes_right_after_the_fault(ticks, market):
    async with exchange({"kind": "crossed_book", "name": "x", "ticks": ticks}) as (server, endpoints):
        async with websockets.connect(endpoints[market].ws + DEPTH[market]) as socket:
            touches = await followed(server, endpoints, market, socket, "x")
        assert sum(bid >= ask for bid, ask in touches) >= 7


async def test_a_crossed_book_is_crossed_in_tickers_and_partial_books_too():
    async with exchange({"kind": "crossed_book"}) as (_, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + "/stream?streams=btcusdt@bookTicker/btcusdt@depth5@100ms") as socket:
            seen = {}
            while len(seen) < 2:
                (frame,) = await frames(socket, 1)
                seen[frame["stream"]] = frame["data"]
        ticker, partial = seen["btcusdt@bookTicker"], seen["btcusdt@depth5@100ms"]
        assert set(ticker) == {"u", "s", "b", "B", "a", "A"}
        assert float(ticker["b"]) > float(ticker["a"])
        assert len(partial["bids"]) == 5
        assert float(partial["bids"][0][0]) > float(partial["asks"][0][0])


@pytest.mark.parametrize("side", ["both", "asks"])
async def test_an_emptied_book_is_given_back_after_the_fault(side):
    async with exchange({"kind": "empty_book", "name": "x", "side": side}) as (server, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]) as socket:
            touches = await followed(server, endpoints, Market.SPOT, socket, "x")
        assert sum(ask is None and (bid is None) == (side == "both") for bid, ask in touches) >= 1


async def test_one_trade_prints_far_away():
    async with exchange({"kind": "price_spike", "percent": -50, "skip": 1}) as (server, endpoints):
        async with websockets.connect(endpoints[Market.USDM].ws + "/public/ws/btcusdt@trade") as socket:
            prices = [float(frame["p"]) for frame in await frames(socket, 6)]
        assert [price < 0.6 * prices[0] for price in prices] == [False, True, False, False, False, False]
        assert acted(server) == 1


async def test_stale_timestamps_and_a_wrong_clock_in_frames_and_answers():
    since_ms = time.time_ns() // 1_000_000  # the exchange begins after that
    async with exchange({"kind": "stale_timestamps", "market": "spot"}, {"kind": "clock_offset", "market": "usdm"}) as (server, endpoints):

        def was_said(stamp_ms, offset_ms=0):
            """Say whether a stamp, but for an offset, is of the time since the beginning: whoever reads it may read it late."""
            return since_ms <= stamp_ms - offset_ms <= server.now_ns() / 1e6

        async with websockets.connect(endpoints[Market.SPOT].ws + "/ws/btcusdt@trade") as socket:
            (frame,) = await frames(socket, 1)
            assert was_said(frame["E"], -60_000)
            assert frame["T"] == frame["E"]
        _, text, _ = await ask("GET", endpoints[Market.SPOT].rest + "/api/v3/time")
        assert was_said(json.loads(text)["serverTime"])
        async with websockets.connect(endpoints[Market.USDM].ws + "/stream?streams=btcusdt@depth@100ms/btcusdt@markPrice@1s") as socket:
            seen = {}
            while len(seen) < 2:
                (frame,) = await frames(socket, 1)
                seen[frame["stream"]] = frame["data"]
        assert all(was_said(frame["E"], 30_000) for frame in seen.values())
        assert was_said(seen["btcusdt@depth@100ms"]["T"], 30_000)
        assert seen["btcusdt@markPrice@1s"]["T"] % 28_800_000 == 0
        _, text, _ = await ask("GET", endpoints[Market.USDM].rest + "/fapi/v1/time")
        assert was_said(json.loads(text)["serverTime"], 30_000)


async def test_half_open_neither_reads_nor_writes_nor_closes_until_the_fault_ends():
    async with exchange({"kind": "half_open", "name": "dead", "connection": 1, "life_s": 1}) as (server, endpoints):
        url = endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]
        # What it still has to read would keep the other one from seeing that it is closed.
        async with (
            websockets.connect(url, ping_interval=None, close_timeout=0.2) as socket,
            websockets.connect(url, close_timeout=0.2) as other,
        ):
            await frames(socket, 1)
            await until(lambda: acted(server) == 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(frames(socket, 1_000_000), 0.5)
            await frames(other, 2)
            pong = await socket.ping()
            await frames(other, 10)
            assert not pong.done()
            assert socket.transport is not None
            assert not socket.transport.is_closing()
            server.faults.remove("dead")
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await socket.recv()
            assert caught.value.rcvd is None, "no close frame"
            await frames(other, 1)


async def test_a_half_open_connection_is_forgotten_when_its_peer_leaves():
    async with exchange({"kind": "half_open"}) as (server, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT], ping_interval=None, close_timeout=0.1):
            await until(lambda: acted(server) == 1)
            assert len(server.sites[Market.SPOT].clients) == 1
        await until(lambda: not server.sites[Market.SPOT].clients)


async def test_a_storm_of_resets_and_a_close_with_code_and_reason():
    async with exchange(
        {"kind": "disconnect", "market": "spot", "life_s": 0.2, "count": 5},
        {"kind": "disconnect", "market": "usdm", "how": "close", "code": 1008, "reason": "disconnected"},
    ) as (server, endpoints):
        for _ in range(5):
            async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]) as socket:
                with pytest.raises(websockets.ConnectionClosedError) as caught:
                    await frames(socket, 1000)
                assert caught.value.rcvd is None
        async with websockets.connect(endpoints[Market.SPOT].ws + DEPTH[Market.SPOT]) as socket:
            await frames(socket, 10)
        async with websockets.connect(endpoints[Market.USDM].ws + DEPTH[Market.USDM]) as socket:
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await frames(socket, 1000)
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1008, "disconnected")
        assert acted(server, "disconnect-1") == 5


@pytest.mark.parametrize("path", ["/ws", "/stream"])
async def test_spot_announces_its_shutdown_and_usdm_closes_without_a_word(path):
    async with exchange({"kind": "server_shutdown", "lead_s": 1}) as (_, endpoints):
        async with websockets.connect(endpoints[Market.SPOT].ws + path) as socket:
            (event,) = await frames(socket, 1)
            if path == "/stream":
                assert event["stream"] == "!serverShutdown"
                event = event["data"]
            assert set(event) == {"e", "E"}
            assert event["e"] == "serverShutdown"
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd.code == 1001
        async with websockets.connect(endpoints[Market.USDM].ws + path) as socket:
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd.code == 1001


async def test_a_halted_symbol_is_silent_and_opens_without_a_gap_where_it_has_got_to():
    async with exchange(
        {"kind": "symbol_halt", "symbol": "BTCUSDT", "market": "spot", "after_s": 2, "for_s": 6}, symbols=("BTCUSDT", "ETHUSDT")
    ) as (
        server,
        endpoints,
    ):
        rest = endpoints[Market.SPOT].rest + "/api/v3"
        streams = "btcusdt@depth@100ms/btcusdt@trade/ethusdt@depth@100ms"
        async with websockets.connect(endpoints[Market.SPOT].ws + "/stream?streams=" + streams) as socket:
            await until(lambda: acted(server, "symbol_halt-1") >= 1)
            _, text, _ = await ask("GET", rest + "/exchangeInfo")
            assert {entry["symbol"]: entry["status"] for entry in json.loads(text)["symbols"]} == {"BTCUSDT": "BREAK", "ETHUSDT": "TRADING"}
            status, text, _ = await ask("POST", rest + "/order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
            assert (status, json.loads(text)) == (400, {"code": -2010, "msg": "Market is closed."})
            _, before, _ = await ask("GET", rest + "/depth", symbol="BTCUSDT", limit="5")
            got, etherium = [], 0
            while len(got) < 60:
                (frame,) = await frames(socket, 1)
                if frame["data"]["s"] == "BTCUSDT":
                    got.append(frame["data"])
                elif got and server.faults.is_open("symbol_halt-1", server.now_ns()):
                    etherium += 1
        assert etherium > 10
        depth = [frame for frame in got if frame["e"] == "depthUpdate"]
        assert all(joins(Market.SPOT, a, b) for a, b in pairwise(depth))
        pauses = [b["E"] - a["E"] for a, b in pairwise(depth)]
        assert 5_500 < max(pauses) < 7_500
        opened = next(b["E"] for a, b in pairwise(depth) if b["E"] - a["E"] == max(pauses))
        assert not [f for f in got if f["e"] == "trade" and opened - max(pauses) + 200 < f["T"] < opened - 200]
        assert any(f["e"] == "trade" and f["T"] >= opened - 200 for f in got)
        assert json.loads(before)["lastUpdateId"] < depth[-1]["u"]


async def test_maintenance_closes_and_refuses_everything_and_returns_cleanly():
    async with exchange({"kind": "maintenance", "after_s": 2, "for_s": 4}) as (server, endpoints):
        url, rest = endpoints[Market.USDM].ws + DEPTH[Market.USDM], endpoints[Market.USDM].rest + "/fapi/v1/time"
        async with websockets.connect(url) as socket:
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await frames(socket, 1000)
            assert caught.value.rcvd.code == 1001
        status, text, _ = await ask("GET", rest)
        assert (status, json.loads(text)) == (503, {"code": -1016, "msg": "This service is no longer available."})
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url)
        assert refused.value.response.status_code == 503
        await until(lambda: not server.faults.is_open("maintenance-1", server.now_ns()))
        assert (await ask("GET", rest))[0] == 200
        async with websockets.connect(url) as socket:
            await frames(socket, 3)

"""Faults of requests, and the endpoint that asks for faults, on real sockets, in the venue's own form."""

import asyncio
import json
import os
import subprocess
import sys

import aiohttp
import pytest
import websockets

from smartmoney.core.domain.instruments import Market
from tests.waiting import PATIENCE_S, until

from .faulty import acted, ask, exchange
from .moments import in_a_new_minute

PREFIX = {Market.SPOT: "/api/v3/", Market.USDM: "/fapi/v1/"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "stopPrice": "50000", "quantity": "1"}


def place(endpoints, market, call):
    return endpoints[market].rest + PREFIX[market] + call


async def refused(method, url, **query):
    status, text, _ = await ask(method, url, **query)
    return status, json.loads(text)


async def test_a_rate_limit_is_429_and_going_on_asking_is_418():
    async with exchange({"kind": "rate_limit", "retry_after_s": 1000, "patience": 2, "ban_s": 180}) as (server, endpoints):
        for _ in range(3):
            status, text, headers = await ask("GET", place(endpoints, Market.SPOT, "time"))
            assert (status, headers["Retry-After"], headers["X-MBX-USED-WEIGHT-1M"]) == (429, "1000", "0")
            assert json.loads(text) == {
                "code": -1003,
                "msg": "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API.",
            }
        since_ms = server.now_ns() // 1_000_000
        status, text, headers = await ask("GET", place(endpoints, Market.SPOT, "time"))
        assert (status, headers["Retry-After"]) == (418, "180")
        until_ms = int(json.loads(text)["msg"].split("IP banned until ")[1].split(".")[0])
        assert since_ms <= until_ms - 180_000 <= server.now_ns() / 1e6
        with pytest.raises(websockets.InvalidStatus) as handshake:
            await websockets.connect(endpoints[Market.SPOT].ws + "/ws/btcusdt@trade")
        assert handshake.value.response.status_code == 418
        assert handshake.value.response.headers["Retry-After"] == "180"
        assert acted(server) == 5


async def test_a_rate_limit_of_the_request_api_says_until_when_in_its_data():
    async with exchange({"kind": "rate_limit", "call": "GET *", "retry_after_s": 30}) as (server, endpoints):
        since_ms = server.now_ns() // 1_000_000
        async with websockets.connect(endpoints[Market.SPOT].ws_api) as socket:
            await socket.send(json.dumps({"id": "a", "method": "time"}))
            reply = json.loads(await socket.recv())
        assert (reply["id"], reply["status"], reply["error"]["code"]) == ("a", 429, -1003)
        data = reply["error"]["data"]
        assert data["retryAfter"] == data["serverTime"] + 30_000
        assert since_ms <= data["serverTime"] <= server.now_ns() / 1e6


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (-1006, "An unexpected response was received from the message bus. Execution status unknown."),
        (-1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."),
    ],
)
async def test_a_server_error_with_and_without_the_request_carried_out(code, text, accepted):
    fault = {"kind": "server_error", "status": 503, "code": code, "accepted": accepted, "call": "GET depth"}
    async with exchange(fault, speed=1.0, begins=in_a_new_minute) as (_, endpoints):
        answer = await refused("GET", place(endpoints, Market.USDM, "depth"), symbol="BTCUSDT", limit="100")
        assert answer == (503, {"code": code, "msg": text})
        _, _, headers = await ask("GET", place(endpoints, Market.USDM, "ping"))
        assert int(headers["X-MBX-USED-WEIGHT-1M"]) == (6 if accepted else 1), "what was carried out was charged for"


async def test_a_proxys_page_is_html():
    async with exchange({"kind": "server_error", "status": 502, "code": 0}) as (_, endpoints):
        status, text, headers = await ask("GET", place(endpoints, Market.SPOT, "time"))
        assert (status, headers["Content-Type"].partition(";")[0]) == (502, "text/html")
        assert "502 Bad Gateway" in text
        assert not [name for name in headers if name.upper().startswith("X-MBX")]


async def test_slow_answers_before_and_after_the_request_was_carried_out():
    async with exchange(
        {"kind": "slow_answer", "market": "spot", "delay_s": 3, "accepted": "before"},
        {"kind": "slow_answer", "market": "usdm", "delay_s": 3, "accepted": "after"},
    ) as (server, endpoints):
        for market, late_ms in ((Market.SPOT, 0), (Market.USDM, 3_000)):
            began_ms = server.now_ns() / 1e6
            _, text, _ = await ask("GET", place(endpoints, market, "time"))
            assert server.now_ns() / 1e6 - began_ms >= 3_000
            said_ms = json.loads(text)["serverTime"] - began_ms
            assert said_ms >= late_ms - 1
            assert late_ms or server.now_ns() / 1e6 - began_ms - said_ms >= 2_900


async def test_lost_answers_cut_or_hang_the_connection():
    async with exchange(
        {"kind": "lost_answer", "market": "spot", "accepted": True}, {"kind": "lost_answer", "market": "usdm", "how": "hang"}
    ) as (server, endpoints):
        with pytest.raises(aiohttp.ClientError):
            await ask("GET", place(endpoints, Market.SPOT, "time"))
        hanging = asyncio.create_task(ask("GET", place(endpoints, Market.USDM, "time")))
        await until(lambda: acted(server, "lost_answer-2") == 1, "the answer is lost")
        await asyncio.wait({hanging}, timeout=0.5)
        assert not hanging.done()
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        assert acted(server, "lost_answer-1") in {1, 2}, "the client library asks again by itself"
        assert acted(server, "lost_answer-2") == 1


async def test_refusals_of_orders_and_queries():
    async with exchange(
        {"kind": "reject_stop"},
        {"kind": "not_found", "name": "later"},
        {"kind": "reject", "code": -2019, "message": "Margin is insufficient.", "market": "usdm", "call": "POST order"},
    ) as (server, endpoints):
        assert await refused("POST", place(endpoints, Market.SPOT, "order"), **STOP) == (
            400,
            {"code": -2010, "msg": "Order would trigger immediately."},
        )
        algo = {"symbol": "BTCUSDT", "type": "STOP_MARKET", "triggerPrice": "1", "algoType": "CONDITIONAL"}
        assert await refused("POST", place(endpoints, Market.USDM, "algoOrder"), **algo) == (
            400,
            {"code": -2021, "msg": "Order would immediately trigger."},
        )
        plain = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
        assert await refused("POST", place(endpoints, Market.USDM, "order"), **plain) == (
            400,
            {"code": -2019, "msg": "Margin is insufficient."},
        )
        assert (await refused("POST", place(endpoints, Market.SPOT, "order"), **plain))[1]["code"] != -2010
        assert acted(server, "reject_stop-1") == 2
        query = {"symbol": "BTCUSDT", "origClientOrderId": "x"}
        assert await refused("GET", place(endpoints, Market.SPOT, "order"), **query) == (
            400,
            {"code": -2013, "msg": "Order does not exist."},
        )
        assert await refused("DELETE", place(endpoints, Market.SPOT, "order"), **query) == (
            400,
            {"code": -2011, "msg": "Unknown order sent."},
        )
        server.faults.remove("later")
        assert (await refused("GET", place(endpoints, Market.SPOT, "order"), **query))[1]["msg"] != "Order does not exist."


async def test_a_revoked_key_and_a_skewed_clock_concern_those_who_use_them_only():
    async with exchange(
        {"kind": "key_revoked", "call": "GET account"},
        {"kind": "clock_skew", "market": "spot"},
        {"kind": "clock_skew", "market": "usdm", "ahead": True},
    ) as (_, endpoints):
        for market, text in (
            (Market.SPOT, "Invalid API-key, IP, or permissions for action."),
            (Market.USDM, "Invalid API-key, IP, or permissions for action, request ip: 127.0.0.1"),
        ):
            status, body, _ = await ask("GET", place(endpoints, market, "account"), headers={"X-MBX-APIKEY": "k"})
            assert (status, json.loads(body)) == (401, {"code": -2015, "msg": text})
            assert (await ask("GET", place(endpoints, market, "time")))[0] == 200
        signed = {"timestamp": "1", "signature": "ab"}
        assert await refused("GET", place(endpoints, Market.SPOT, "openOrders"), **signed) == (
            400,
            {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."},
        )
        assert (await refused("GET", place(endpoints, Market.USDM, "openOrders"), **signed))[1] == {
            "code": -1021,
            "msg": "Timestamp for this request was 1000ms ahead of the server's time.",
        }


@pytest.mark.parametrize(
    ("market", "tick", "step", "least", "refusals"),
    [
        (
            Market.SPOT,
            "0.10000000",
            "0.00002000",
            "10.00000000",
            [(-1013, "Filter failure: PRICE_FILTER"), (-1013, "Filter failure: LOT_SIZE")],
        ),
        (Market.USDM, "1.00", "0.002", "200", [(-4014, "Price not increased by tick size."), (-1111, None)]),
    ],
)
async def test_filters_change_in_exchange_info_and_for_orders(market, tick, step, least, refusals):
    async with exchange({"kind": "filter_change", "symbol": "BTCUSDT", "tick_times": 10, "lot_times": 2, "notional_times": 2}) as (
        _,
        endpoints,
    ):
        _, text, _ = await ask("GET", place(endpoints, market, "exchangeInfo"))
        filters = {rule["filterType"]: rule for rule in json.loads(text)["symbols"][0]["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == tick
        assert filters["LOT_SIZE"]["stepSize"] == filters["LOT_SIZE"]["minQty"] == step
        assert (filters["NOTIONAL"]["minNotional"] if market is Market.SPOT else filters["MIN_NOTIONAL"]["notional"]) == least
        lot = "0.00001" if market is Market.SPOT else "0.001"
        orders = [{"price": "60000.01" if market is Market.SPOT else "60000.10", "quantity": "0.002"}, {"price": "60000", "quantity": lot}]
        for order, (code, text) in zip(orders, refusals, strict=True):
            status, body = await refused("POST", place(endpoints, market, "order"), symbol="BTCUSDT", side="BUY", type="LIMIT", **order)
            assert (status, body["code"]) == (400, code)
            assert text is None or body["msg"] == text
        status, body = await refused(
            "POST", place(endpoints, market, "order"), symbol="BTCUSDT", side="BUY", type="LIMIT", price="60000", quantity="1"
        )
        assert body["code"] not in {-1013, -4014, -1111, -4164}


async def test_faults_are_listed_added_and_taken_away_while_the_exchange_runs():
    async with exchange({"kind": "gap", "name": "old"}) as (server, endpoints):
        url = endpoints[Market.USDM].rest + "/sim/faults"
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json={"kind": "rate_limit", "market": "spot", "retry_after_s": 5}) as added:
                assert (added.status, await added.json()) == (201, {"added": ["rate_limit-1"]})
            assert (await ask("GET", place(endpoints, Market.SPOT, "time")))[0] == 429
            async with session.get(url) as listed:
                body = await listed.json()
            assert [(f["name"], f["kind"], f["acted"], f["active"]) for f in body["faults"]] == [
                ("old", "gap", 0, True),
                ("rate_limit-1", "rate_limit", 1, True),
            ]
            assert body["faults"][1]["retry_after_s"] == 5
            async with session.delete(url + "/rate_limit-1") as removed:
                assert await removed.json() == {"removed": ["rate_limit-1"]}
            assert (await ask("GET", place(endpoints, Market.SPOT, "time")))[0] == 200
            async with session.delete(url + "/nothing") as missing:
                assert missing.status == 404
            async with session.post(url, json={"faults": [{"kind": "silence"}, {"kind": "gap", "name": "old"}]}) as refused_list:
                assert refused_list.status == 400
                assert "'old'" in (await refused_list.json())["problem"]
            assert [r.fault.name for r in server.faults.reports(0)] == ["old"], "all or none"
            async with session.delete(url) as removed:
                assert await removed.json() == {"removed": ["old"]}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{"kind": "gap", "evry": 2}', "evry: unknown key; did you mean every?"),
        ('{"kind": "gapp"}', "kind: there is no kind 'gapp'; did you mean gap?"),
        ("[1", "the body is not JSON"),
        ('{"faults": 3}', "faults: is no list; "),
        ("[" * 100_000, "the body is not JSON"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_the_remedy(body, problem):
    async with exchange() as (_, endpoints), aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
        async with session.post(endpoints[Market.SPOT].rest + "/sim/faults", data=body) as answer:
            assert answer.status == 400
            assert (await answer.json())["problem"].startswith(problem)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": "[bad"},
    ],
)
async def test_another_site_is_refused_without_effect(headers):
    async with exchange({"kind": "gap", "name": "old"}) as (server, endpoints):
        url = endpoints[Market.SPOT].rest + "/sim/faults"
        async with aiohttp.ClientSession(headers=headers) as session:
            for send in (session.get(url), session.post(url, json={"kind": "silence"}), session.delete(url)):
                async with send as answer:
                    assert answer.status == 403
        assert len(server.faults.reports(0)) == 1


async def test_a_form_that_a_web_page_could_send_and_other_paths_are_refused():
    async with exchange() as (server, endpoints), aiohttp.ClientSession() as session:
        async with session.post(endpoints[Market.SPOT].rest + "/sim/faults", data={"kind": "silence"}) as answer:
            assert answer.status == 415
        async with session.post(
            endpoints[Market.SPOT].rest + "/sim/faults", data=b"x" * 300_000, headers={"Content-Type": "application/json"}
        ) as answer:
            assert answer.status == 413
        assert (await ask("GET", endpoints[Market.SPOT].rest + "/sim/other"))[0] == 404
        assert (await ask("PUT", endpoints[Market.SPOT].rest + "/sim/faults"))[0] == 405
        assert not server.faults.reports(0)


COMMAND = [sys.executable, "-m", "smartmoney", "sim", "--symbols", "BTCUSDT", "--json"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd()}


def test_the_command_reads_a_file_and_takes_faults_while_it_runs(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("seed: 9\nfaults:\n  - {kind: server_error, call: GET time, status: 500, code: -1000}\n")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, "--faults", str(path), "--die-with-parent"], text=True, env=ENVIRONMENT, **pipes) as process:
        try:
            asyncio.run(use(json.loads(process.stdout.readline())["binance"]))
        finally:
            process.kill()


async def use(endpoints):
    rest = endpoints["spot"]["rest"]
    assert await refused("GET", rest + "/api/v3/time") == (
        500,
        {"code": -1000, "msg": "An unknown error occurred while processing the request."},
    )
    async with aiohttp.ClientSession() as session:
        async with session.post(rest + "/sim/faults", json={"kind": "gap", "evry": 3}) as answer:
            assert (answer.status, (await answer.json())["problem"]) == (400, "evry: unknown key; did you mean every?")
        async with session.get(endpoints["usdm"]["rest"] + "/sim/faults") as answer:
            listed = await answer.json()
    assert (listed["seed"], [fault["acted"] for fault in listed["faults"]]) == (9, [1])


def test_the_command_refuses_a_file_that_is_wrong_with_one_line(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("faults: [{kind: silense}]\n")
    done = subprocess.run(
        [*COMMAND, "--faults", str(path)], capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines()[-1] == "smartmoney sim: faults.0.kind: there is no kind 'silense'; did you mean silence?"

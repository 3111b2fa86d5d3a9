"""The private doors of the built-in exchange over real sockets: WebSocket API, listen keys, limits, rights, control."""

import json

import aiohttp
import pytest
import websockets

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.accounts import AccountSpec, ApiKey, Permissions
from tests.integration.moments import in_a_new_minute
from tests.integration.tradable import DEMO, KEY, ask, exchange, signed


async def call(socket, number, method, params):
    await socket.send(json.dumps({"id": number, "method": method, "params": params}))
    while True:
        reply = json.loads(await socket.recv())
        if "id" in reply:
            return reply


async def event_of(socket, kind):
    while True:
        message = json.loads(await socket.recv())
        event = message.get("event", message)
        if event.get("e") == kind:
            return message


async def test_orders_by_the_websocket_api_and_their_events_on_the_same_connection():
    async with exchange() as (server, endpoints), websockets.connect(endpoints[Market.SPOT].ws_api) as socket:
        subscribed = await call(socket, "a", "userDataStream.subscribe.signature", signed(server))
        assert subscribed["result"] == {"subscriptionId": 0}
        again = await call(socket, "b", "userDataStream.subscribe.signature", signed(server))
        assert again["error"]["code"] == -2035
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "59000.00"}
        placed = await call(socket, 7, "order.place", signed(server, **order, newClientOrderId="ws-1", newOrderRespType="RESULT"))
        assert (placed["id"], placed["status"], placed["result"]["status"]) == (7, 200, "NEW")
        assert {(r["rateLimitType"], r["interval"]) for r in placed["rateLimits"]} == {
            ("ORDERS", "SECOND"),
            ("ORDERS", "DAY"),
            ("REQUEST_WEIGHT", "MINUTE"),
        }
        status = await call(socket, 8, "order.status", signed(server, symbol="BTCUSDT", origClientOrderId="ws-1"))
        assert status["result"]["orderId"] == placed["result"]["orderId"]
        cancelled = await call(socket, 9, "order.cancel", signed(server, symbol="BTCUSDT", origClientOrderId="ws-1"))
        assert cancelled["result"]["status"] == "CANCELED"
        account = await call(socket, 10, "account.status", signed(server))
        assert account["result"]["accountType"] == "SPOT"
        ended = await call(socket, 11, "userDataStream.unsubscribe", {})
        assert ended["status"] == 200


async def test_a_number_in_a_websocket_request_is_signed_as_it_was_sent():
    async with exchange() as (server, endpoints), websockets.connect(endpoints[Market.SPOT].ws_api) as socket:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "59000.00"}
        params = signed(server, **order)
        text = json.dumps({"id": 1, "method": "order.test", "params": params}).replace('"59000.00"', "59000.00")
        await socket.send(text)
        assert json.loads(await socket.recv())["status"] == 200
        await socket.send(text.replace("59000.00", "59000.0"))
        assert json.loads(await socket.recv())["error"]["code"] == -1022


async def test_user_data_goes_to_who_subscribed_and_a_deposit_is_told():
    async with exchange() as (server, endpoints), websockets.connect(endpoints[Market.SPOT].ws_api) as socket:
        rest = endpoints[Market.SPOT].rest
        await call(socket, 1, "userDataStream.subscribe.signature", signed(server))
        async with aiohttp.ClientSession() as session:
            deposit = {"account": "demo", "wallet": "spot", "asset": "USDT", "amount": "12.5"}
            async with session.post(rest + "/sim/deposit", json=deposit) as response:
                assert response.status == 200
        told = await event_of(socket, "balanceUpdate")
        assert (told["subscriptionId"], told["event"]["d"]) == (0, "12.50000000")
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        await ask(server, rest + "/api/v3/order", "POST", **order)
        assert (await event_of(socket, "executionReport"))["event"]["x"] == "NEW"
        assert (await event_of(socket, "executionReport"))["event"]["x"] == "TRADE"
        assert (await event_of(socket, "outboundAccountPosition"))["event"]["B"]


@pytest.mark.parametrize(
    ("path", "wrapped"),
    [
        ("/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE", False),
        ("/private/ws/{key}", False),
        ("/ws/{key}", False),
        ("/private/stream?streams={key}", True),
    ],
)
async def test_a_listen_key_opens_the_private_stream_in_every_form(path, wrapped):
    async with exchange() as (server, endpoints):
        usdm = endpoints[Market.USDM]
        status, body, _ = await ask(server, usdm.rest + "/fapi/v1/listenKey", "POST")
        key = body["listenKey"]
        assert (status, len(key)) == (200, 64)
        assert (await ask(server, usdm.rest + "/fapi/v1/listenKey", "POST"))[1]["listenKey"] == key
        async with websockets.connect(usdm.ws + path.format(key=key)) as socket:
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
            await ask(server, usdm.rest + "/fapi/v1/order", "POST", **order)
            kinds = []
            # New, wallet and position, trade; and the trade's lite form for who did not choose.
            for _ in range(3 if "events=" in path else 4):
                message = json.loads(await socket.recv())
                assert ("stream" in message) == wrapped
                kinds.append((message["data"] if wrapped else message)["e"])
            assert kinds[0] == "ORDER_TRADE_UPDATE"
            assert ("TRADE_LITE" in kinds) == ("events=" not in path)
        await ask(server, usdm.rest + "/fapi/v1/listenKey", "DELETE")
        assert (await ask(server, usdm.rest + "/fapi/v1/listenKey", "PUT"))[1]["code"] == -1125


async def test_a_listen_key_that_is_not_kept_alive_expires_and_says_so():
    async with exchange(speed=1000.0) as (server, endpoints):
        usdm = endpoints[Market.USDM]
        key = (await ask(server, usdm.rest + "/fapi/v1/listenKey", "POST"))[1]["listenKey"]
        async with websockets.connect(f"{usdm.ws}/private/ws/{key}") as socket:
            assert (await event_of(socket, "listenKeyExpired"))["listenKey"] == key


async def test_headers_count_orders_and_weight():
    async with exchange(speed=0.01, begins=in_a_new_minute) as (server, endpoints):
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        url = endpoints[Market.SPOT].rest + "/api/v3/order"
        _, _, first = await ask(server, url, "POST", **order, price="59000.00")
        assert (first["X-MBX-ORDER-COUNT-10S"], first["X-MBX-ORDER-COUNT-1D"], first["X-MBX-USED-WEIGHT-1M"]) == ("1", "1", "0")
        _, body, second = await ask(server, url, "POST", **order, price="59000.001")
        assert body == {"code": -1013, "msg": "Filter failure: PRICE_FILTER"}
        assert second["X-MBX-USED-WEIGHT-1M"] == "1"
        assert (await ask(server, endpoints[Market.SPOT].rest + "/api/v3/rateLimit/order"))[1][0]["count"] == 1
        url = endpoints[Market.USDM].rest + "/fapi/v1/order"
        _, _, usdm = await ask(server, url, "POST", **order, price="59000.0")
        assert (usdm["X-MBX-ORDER-COUNT-10S"], usdm["X-MBX-ORDER-COUNT-1M"]) == ("1", "1")


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        ("order", {"type": "STOP_MARKET", "stopPrice": "50000", "quantity": "0.01"}, -4120),
        ("order", {"type": "LIMIT", "price": "59000.0", "quantity": "0.01"}, -1102),
        ("order", {"type": "LIMIT", "price": "59000.001", "quantity": "0.01", "timeInForce": "GTC"}, -1111),
        ("order", {"type": "LIMIT", "price": "59000.05", "quantity": "0.01", "timeInForce": "GTC"}, -4014),
        ("order", {"type": "LIMIT", "price": "59000.0", "quantity": "0.0101", "timeInForce": "GTC"}, -1111),
        ("order", {"type": "MARKET", "price": "59000.0", "quantity": "0.01"}, -1106),
        ("order", {"type": "MARKET", "quantity": "0.01", "newClientOrderId": "white space"}, -1100),
        ("order", {"type": "MARKET", "quantity": "0.01", "positionSide": "LONG"}, -4061),
        ("algoOrder", {"type": "STOP_MARKET", "quantity": "0.01", "triggerPrice": "50000"}, -1102),
        ("algoOrder", {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "quantity": "0.01", "triggerPrice": "50000"}, -2021),
    ],
)
async def test_usdm_refuses_what_the_venue_refuses(call, params, code):
    async with exchange() as (server, endpoints):
        url = f"{endpoints[Market.USDM].rest}/fapi/v1/{call}"
        status, body, _ = await ask(server, url, "POST", symbol="BTCUSDT", side="BUY", **params)
        assert (status, body["code"]) == (400, code)


async def test_cancel_replace_says_which_half_failed():
    async with exchange() as (server, endpoints):
        url = endpoints[Market.SPOT].rest + "/api/v3/order"
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "59000.00"}
        first = (await ask(server, url, "POST", **order))[1]
        mode = {"cancelReplaceMode": "STOP_ON_FAILURE"}
        both = await ask(server, url + "/cancelReplace", "POST", **order, **mode, cancelOrderId=first["orderId"])
        assert (both[0], both[1]["cancelResult"], both[1]["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
        none = await ask(server, url + "/cancelReplace", "POST", **order, **mode, cancelOrderId=first["orderId"])
        assert (none[0], none[1]["code"], none[1]["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")
        poor = {**order, "quantity": "100"}
        half = await ask(server, url + "/cancelReplace", "POST", **poor, **mode, cancelOrderId=both[1]["newOrderResponse"]["orderId"])
        assert (half[0], half[1]["code"], half[1]["data"]["newOrderResponse"]["code"]) == (409, -2021, -2010)


async def test_a_key_may_do_what_it_is_permitted_and_no_more():
    reader = ApiKey(key="READER", secret="r", permissions=Permissions(trade=False, withdraw=True, addresses=("127.0.0.1",)))
    remote = ApiKey(key="REMOTE", secret="x", permissions=Permissions(addresses=("10.0.0.1",)))
    async with exchange(DEMO, AccountSpec(name="other", keys=(reader, remote), spot=DEMO.spot)) as (server, endpoints):
        rest = endpoints[Market.SPOT].rest
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        assert (await ask(server, rest + "/api/v3/account", key="READER", secret="r"))[0] == 200
        status, body, _ = await ask(server, rest + "/api/v3/order", "POST", key="READER", secret="r", **order)
        assert (status, body["code"]) == (401, -2015)
        assert (await ask(server, rest + "/api/v3/account", key="REMOTE", secret="x"))[1]["code"] == -2015
        told = (await ask(server, rest + "/sapi/v1/account/apiRestrictions", key="READER", secret="r"))[1]
        assert (told["ipRestrict"], told["enableWithdrawals"], told["enableSpotAndMarginTrading"]) == (True, True, False)
        async with aiohttp.ClientSession() as session:
            await session.post(rest + "/sim/revoke", json={"key": KEY})
        assert (await ask(server, rest + "/api/v3/account"))[1]["code"] == -2015


async def test_the_control_door_is_for_this_machine_and_no_web_page():
    async with exchange() as (_, endpoints), aiohttp.ClientSession() as session:
        rest = endpoints[Market.SPOT].rest
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            async with session.get(rest + "/sim/ledger", headers=headers) as response:
                assert response.status == 403
        async with session.post(rest + "/sim/deposit", data="x=1") as response:
            assert response.status == 415
        for body in ({}, {"account": "demo", "wallet": "spot", "asset": "USDT", "amount": "NaN"}, {"account": "nobody"}):
            async with session.post(rest + "/sim/deposit", json=body) as response:
                assert response.status == 400


async def test_a_shock_moves_the_price():
    async with exchange(speed=20.0) as (server, endpoints), aiohttp.ClientSession() as session:
        book = server.market.books[Market.SPOT, "BTCUSDT"]
        before = book.touch[0]
        await session.post(endpoints[Market.SPOT].rest + "/sim/shock", json={"market": "spot", "symbol": "BTCUSDT", "bps": -300})
        async with websockets.connect(endpoints[Market.SPOT].ws + "/ws/btcusdt@bookTicker") as socket:
            while float(json.loads(await socket.recv())["b"]) * 100 > before * 0.985:
                pass

"""Faults of accounts and of private streams, as a client meets them: over real sockets, signed, in the venue's own form.

One exchange serves them all, five times as fast as the wall's clock. Each test asks for its faults at the exchange's own door and takes
them away.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio
import websockets

from smartmoney.core.domain.instruments import Market
from tests.steady_clock import SteadyClock
from tests.waiting import PATIENCE_S, until

from .faulty import reader
from .moments import far_from_funding
from .tradable import ask, exchange, signed

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOTH = pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
ROOT = {Market.SPOT: "/api/v3/", Market.USDM: "/fapi/v1/"}
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
SELL = {**BUY, "side": "SELL"}
FAR = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}


class Venue:
    """Speak to one exchange as a client does."""

    def __init__(self, server, endpoints):
        self.server = server
        self.endpoints = endpoints
        self.ids = 0

    async def rest(self, method, call, market, **params):
        root = ROOT[market].replace("v1", "v3") if call == "positionRisk" else ROOT[market]
        # The widest window that there is: the exchange's clock goes five times as fast, and a request may have to wait.
        status, body, _ = await ask(self.server, self.endpoints[market].rest + root + call, method, **params, recvWindow=60_000)
        return status, body

    async def order(self, market, asked, call="order", **more):
        """Send a new order under a client id of its own; return status, body and the id."""
        self.ids += 1
        name = f"p-{market.value}-{self.ids}"
        key = "clientAlgoId" if call == "algoOrder" else "newClientOrderId"
        status, body = await self.rest("POST", call, market, **asked, **more, **{key: name})
        return status, body, name

    async def state(self, market, name):
        """Return an order as a query shows it."""
        return (await self.rest("GET", "order", market, symbol="BTCUSDT", origClientOrderId=name))[1]

    async def becomes(self, market, name, status, call="order"):
        """Ask until an order, or a conditional one, has a status."""
        names = ("origClientOrderId", "status") if call == "order" else ("clientAlgoId", "algoStatus")
        shown = {}

        async def has_it():
            shown.update((await self.rest("GET", call, market, symbol="BTCUSDT", **{names[0]: name}))[1])
            assert names[1] in shown, shown
            return shown[names[1]] == status

        await until(has_it, f"{name} is {status}", seen=lambda: shown)

    def far(self, market):
        """Return a bid that nobody reaches."""
        book = self.server.market.books[market, "BTCUSDT"]
        return {**FAR, "price": str(book.instrument.price(int(book.touch[0] * 0.97) // 10 * 10))}

    def below(self, market, share=0.8):
        book = self.server.market.books[market, "BTCUSDT"]
        return str(book.instrument.price(int(book.touch[0] * share) // 10 * 10))

    @asynccontextmanager
    async def fault(self, kind, market, **keys):
        """Let a fault stand while a block runs; it must have acted by its end."""
        url = self.endpoints[market].rest + "/sim/faults"
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json={"kind": kind, "market": market.value, **keys}) as answer:
                assert answer.status == 201, await answer.text()
                (name,) = (await answer.json())["added"]
            try:
                yield
                async with session.get(url) as listed:
                    (found,) = [each for each in (await listed.json())["faults"] if each["name"] == name]
                assert found["acted"] >= 1
            finally:
                await session.delete(f"{url}/{name}")

    @asynccontextmanager
    async def stream(self, market):
        """Open an account's private stream; yield what reads its events."""
        if market is Market.SPOT:
            async with websockets.connect(self.endpoints[market].ws_api) as socket:
                request = {"id": 1, "method": "userDataStream.subscribe.signature", "params": signed(self.server)}
                await socket.send(json.dumps(request))
                assert json.loads(await socket.recv())["status"] == 200
                yield Events(socket)
            return
        _, body = await self.rest("POST", "listenKey", market)
        async with websockets.connect(f"{self.endpoints[market].ws}/private/ws/{body['listenKey']}") as socket:
            yield Events(socket)


class Events:
    """Read the events of one private stream."""

    def __init__(self, socket):
        self._socket = socket

    async def next(self):
        message = json.loads(await self._socket.recv())
        return message.get("event", message)

    async def until(self, matches):
        """Return every event up to the first that matches, that one last."""
        seen = []
        async with asyncio.timeout(PATIENCE_S):
            while True:
                seen.append(await self.next())
                if matches(seen[-1]):
                    return seen


def report(event):
    """Return (execution, status, client id, trade id) of an order's event on either market, None of another event."""
    if event["e"] == "executionReport":
        return event["x"], event["X"], event["C"] if event["x"] == "CANCELED" else event["c"], event["t"]
    if event["e"] == "ORDER_TRADE_UPDATE":
        order = event["o"]
        return order["x"], order["X"], order["c"], order["t"]
    return None


def reports_of(events, name):
    return [found for event in events if (found := report(event)) is not None and found[2] == name]


def is_about(name, execution):
    def matches(event):
        found = report(event)
        return found is not None and (found[0], found[2]) == (execution, name)

    return matches


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue():
    # One scene for the whole module.
    clock = SteadyClock()
    async with exchange(speed=5.0, read_fault=reader, begins=far_from_funding, patience_s=3600, mono_ns=clock.monotonic_ns) as (
        server,
        endpoints,
    ):
        yield Venue(server, endpoints)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def still_sound(venue):
    """Whatever was told, the exchange's own books balance; no order is left to the next test, even by one that failed."""
    yield
    for call, market in (("openOrders", Market.SPOT), ("allOpenOrders", Market.USDM), ("algoOpenOrders", Market.USDM)):
        await venue.rest("DELETE", call, market, symbol="BTCUSDT")
    assert all(total == 0 for total in venue.server.venue.ledger.totals().values())


@BOTH
async def test_a_lost_fill_is_not_told_while_the_stream_lives_and_rest_knows_it(venue, market):
    async with venue.stream(market) as events:
        async with venue.fault("lost_fill", market):
            _, _, lost = await venue.order(market, BUY)
            _, _, resting = await venue.order(market, venue.far(market))
            seen = await events.until(is_about(resting, "NEW"))
        assert [(x, status) for x, status, _, _ in reports_of(seen, lost)] == [("NEW", "NEW")]
        moved = [each for each in seen if each["e"] == "outboundAccountPosition" and each["B"][0]["a"] == "BTC"]
        assert not moved, "the base that it bought is not told either"
        assert not [each for each in seen if each["e"] in {"ACCOUNT_UPDATE", "TRADE_LITE"}]
        assert (await venue.state(market, lost))["status"] == "FILLED"
        call = "myTrades" if market is Market.SPOT else "userTrades"
        _, trades = await venue.rest("GET", call, market, symbol="BTCUSDT", orderId=(await venue.state(market, lost))["orderId"])
        assert sum(float(trade["qty"]) for trade in trades) == pytest.approx(0.01)


@BOTH
async def test_a_fill_of_a_resting_order_is_lost_with_what_it_changed(venue, market):
    book = venue.server.market.books[market, "BTCUSDT"]
    async with venue.stream(market) as events:
        async with venue.fault("lost_fill", market, count=0):
            price = str(book.instrument.price(book.touch[0]))
            _, _, resting = await venue.order(market, {**FAR, "price": price, "quantity": "0.01"})
            await venue.becomes(market, resting, "FILLED")
        _, _, marker = await venue.order(market, venue.far(market))
        seen = await events.until(is_about(marker, "NEW"))
        assert [x for x, _, _, _ in reports_of(seen, resting)] == ["NEW"]
        assert not [each for each in seen if each["e"] == "ACCOUNT_UPDATE"]
        assert not [each for each in seen if each["e"] == "outboundAccountPosition" and "BTC" in {row["a"] for row in each["B"]}]


@BOTH
async def test_a_duplicated_fill_comes_again_under_the_same_trade_id(venue, market):
    async with venue.stream(market) as events, venue.fault("duplicate_fill", market, times=2):
        _, _, name = await venue.order(market, BUY)
        _, _, marker = await venue.order(market, venue.far(market))
        seen = await events.until(is_about(marker, "NEW"))
        trades = [trade for x, _, _, trade in reports_of(seen, name) if x == "TRADE"]
        assert [trades.count(trade) for trade in dict.fromkeys(trades)] == [3] * len(set(trades))
        assert trades
    fills = (await venue.state(market, name))["executedQty"]
    assert float(fills) == pytest.approx(0.01), "it happened once"


@BOTH
async def test_a_late_fill_comes_after_what_happened_later(venue, market):
    async with venue.stream(market) as events, venue.fault("late_fill", market, delay_s=8):
        _, _, late = await venue.order(market, SELL)
        _, _, marker = await venue.order(market, venue.far(market))
        before = await events.until(is_about(marker, "NEW"))
        early = [event for event in before if is_about(late, "TRADE")(event)]
        told = early[0] if early else (await events.until(is_about(late, "TRADE")))[-1]
        # On a busy machine the second order may come too late itself.
        assert not early or before[-1]["E"] - told["T"] >= 8_000
        assert reports_of(before, late)[0][0] == "NEW"
        assert venue.server.now_ns() // 1_000_000 - told["T"] >= 8_000, "under the time at which it happened"


@BOTH
async def test_an_early_fill_comes_before_the_acknowledgement(venue, market):
    async with venue.stream(market) as events, venue.fault("fill_before_ack", market, wait_s=20, count=1):
        _, _, name = await venue.order(market, BUY)
        seen = await events.until(is_about(name, "NEW"))
        assert [x for x, _, _, _ in reports_of(seen, name)] == ["TRADE", "NEW"]


@pytest.mark.parametrize("told", [False, True])
async def test_a_spot_stop_vanishes(venue, told):
    market = Market.SPOT
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.01", "stopPrice": venue.below(market)}
    async with venue.stream(market) as events:
        _, _, name = await venue.order(market, stop)
        await events.until(is_about(name, "NEW"))
        async with venue.fault("vanished_stop", market, told=told):
            await venue.becomes(market, name, "CANCELED")
        _, _, marker = await venue.order(market, venue.far(market))
        seen = await events.until(is_about(marker, "NEW"))
        assert [x for x, _, _, _ in reports_of(seen, name)] == (["CANCELED"] if told else [])
        assert [row["clientOrderId"] for row in (await venue.rest("GET", "openOrders", market))[1]] == [marker]
        again = await venue.rest("DELETE", "order", market, symbol="BTCUSDT", origClientOrderId=name)
        assert again == (400, {"code": -2011, "msg": "Unknown order sent."})


@pytest.mark.parametrize("told", [False, True])
async def test_a_conditional_order_of_usdm_vanishes(venue, told):
    market = Market.USDM
    stop = {"symbol": "BTCUSDT", "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01"}
    async with venue.stream(market) as events:
        _, _, name = await venue.order(market, stop, "algoOrder", triggerPrice=venue.below(market))
        await events.until(lambda e: e["e"] == "ALGO_UPDATE" and (e["o"]["caid"], e["o"]["X"]) == (name, "NEW"))
        async with venue.fault("vanished_stop", market, told=told):
            await venue.becomes(market, name, "CANCELED", "algoOrder")
        _, _, marker = await venue.order(market, venue.far(market))
        seen = await events.until(is_about(marker, "NEW"))
        assert [each["o"]["X"] for each in seen if each["e"] == "ALGO_UPDATE"] == (["CANCELED"] if told else [])
        assert (await venue.rest("GET", "openAlgoOrders", market))[1] == []


async def test_a_stop_is_rejected_and_nothing_stands(venue):
    spot = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.01", "stopPrice": venue.below(Market.SPOT)}
    async with venue.fault("reject_stop", Market.SPOT, count=1):
        status, body, name = await venue.order(Market.SPOT, spot)
        assert (status, body) == (400, {"code": -2010, "msg": "Order would trigger immediately."})
        assert (await venue.state(Market.SPOT, name))["code"] == -2013
        status, _, name = await venue.order(Market.SPOT, spot)
        assert status == 200, "the next one is taken"
        await venue.rest("DELETE", "order", Market.SPOT, symbol="BTCUSDT", origClientOrderId=name)
    algo = {"symbol": "BTCUSDT", "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01"}
    async with venue.fault("reject_stop", Market.USDM):
        status, body, _ = await venue.order(Market.USDM, algo, "algoOrder", triggerPrice=venue.below(Market.USDM))
        assert (status, body) == (400, {"code": -2021, "msg": "Order would immediately trigger."})
        assert (await venue.rest("GET", "openAlgoOrders", Market.USDM))[1] == []


@BOTH
async def test_an_order_whose_acknowledgement_is_lost_was_taken_all_the_same(venue, market):
    async with venue.stream(market) as events:
        async with venue.fault("server_error", market, call="POST order", accepted=True, status=503, code=-1007, count=1):
            status, body, name = await venue.order(market, BUY)
            assert (status, body["code"]) == (503, -1007)
        seen = await events.until(is_about(name, "TRADE"))
        assert reports_of(seen, name)[0][0] == "NEW"
        assert (await venue.state(market, name))["status"] == "FILLED"
        async with venue.fault("lost_answer", market, call="POST order", accepted=True, how="reset", count=1):
            with pytest.raises(aiohttp.ClientError):
                await venue.order(market, SELL)
        name = f"p-{market.value}-{venue.ids}"
        await events.until(is_about(name, "TRADE"))
        assert (await venue.state(market, name))["status"] == "FILLED"


async def test_a_position_is_taken_over(venue):
    market = Market.USDM
    async with venue.stream(market) as events:
        _, _, name = await venue.order(market, {**BUY, "quantity": "0.02"})
        await events.until(is_about(name, "TRADE"))
        async with venue.fault("liquidation", market):
            seen = await events.until(
                lambda e: (found := report(e)) is not None and found[2].startswith("autoclose-") and found[1] == "FILLED"
            )
        update = next(each for each in seen if each["e"] == "ACCOUNT_UPDATE" and each["a"]["P"] and float(each["a"]["P"][0]["pa"]) == 0)
        assert update["a"]["m"] == "ORDER"
        assert seen[-1]["o"]["x"] in {"TRADE", "CALCULATED"}
        _, held = await venue.rest("GET", "positionRisk", market)
        assert [row for row in held if float(row["positionAmt"])] == []
        _, incomes = await venue.rest("GET", "income", market, incomeType="INSURANCE_CLEAR")
        assert incomes


async def test_funding_is_charged_out_of_turn(venue):
    market = Market.USDM
    async with venue.stream(market) as events:
        _, _, name = await venue.order(market, {**BUY, "quantity": "0.02"})
        await events.until(is_about(name, "TRADE"))
        async with venue.fault("funding", market, rate=0.01):
            seen = await events.until(lambda e: e["e"] == "ACCOUNT_UPDATE" and e["a"]["m"] == "FUNDING_FEE")
        paid = float(seen[-1]["a"]["B"][0]["bc"])
        assert paid < 0, "longs pay a positive rate"
        _, incomes = await venue.rest("GET", "income", market, incomeType="FUNDING_FEE")
        assert float(incomes[-1]["income"]) == pytest.approx(paid)
        await venue.order(market, {**SELL, "quantity": "0.02", "reduceOnly": "true"})


async def test_a_revoked_key_opens_nothing_while_public_calls_go_on(venue):
    words = "Invalid API-key, IP, or permissions for action."
    for market, text in ((Market.SPOT, words), (Market.USDM, words[:-1] + ", request ip: 127.0.0.1")):
        async with venue.fault("key_revoked", market):
            refusal = {"code": -2015, "msg": text}
            assert await venue.rest("GET", "openOrders", market) == (401, refusal)
            assert (await venue.order(market, BUY))[:2] == (401, refusal)
            async with aiohttp.ClientSession() as session, session.get(venue.endpoints[market].rest + ROOT[market] + "time") as answer:
                assert answer.status == 200
            if market is Market.SPOT:
                async with websockets.connect(venue.endpoints[market].ws_api) as socket:
                    request = {"id": 1, "method": "userDataStream.subscribe.signature", "params": signed(venue.server)}
                    await socket.send(json.dumps(request))
                    reply = json.loads(await socket.recv())
                    assert (reply["status"], reply["error"]["code"]) == (401, -2015)
        assert (await venue.rest("GET", "openOrders", market))[0] == 200

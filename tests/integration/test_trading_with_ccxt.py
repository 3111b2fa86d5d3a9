"""Unmodified ccxt and ccxt.pro trade at the built-in exchange: what they place stands in the book, and what they ask is answered."""

import asyncio
import json

import ccxt
import pytest
import websockets

from smartmoney.core.domain.instruments import Market
from tests.integration.tradable import ask, ccxt_client, exchange
from tests.waiting import until

SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"


async def last(client, symbol):
    return (await client.fetch_ticker(symbol))["last"]


async def test_spot_orders_of_every_kind_are_placed_found_and_cancelled():
    async with exchange() as (server, endpoints), ccxt_client(endpoints, "spot") as client:
        price = await last(client, SPOT)
        rests = await client.create_order(SPOT, "limit", "buy", 0.01, round(price * 0.99, 2), {"clientOrderId": "mine-1"})
        assert (rests["status"], rests["clientOrderId"]) == ("open", "mine-1")
        with pytest.raises(ccxt.InvalidOrder, match="Duplicate order sent"):
            await client.create_order(SPOT, "limit", "buy", 0.01, round(price * 0.99, 2), {"clientOrderId": "mine-1"})
        stop = await client.create_order(
            SPOT, "stop_loss_limit", "sell", 0.01, round(price * 0.97, 2), {"stopPrice": round(price * 0.98, 2)}
        )
        assert {o["id"] for o in await client.fetch_open_orders(SPOT)} == {rests["id"], stop["id"]}
        assert (await client.cancel_order(rests["id"], SPOT))["status"] == "canceled"
        assert (await client.fetch_order(rests["id"], SPOT))["status"] == "canceled"
        with pytest.raises(ccxt.OrderNotFound):
            await client.cancel_order(rests["id"], SPOT)
        bought = await client.create_order(SPOT, "market", "buy", 0.02)
        assert (bought["status"], bought["filled"]) == ("closed", 0.02)
        assert bought["fee"]["currency"] == "BTC"
        trades = await client.fetch_my_trades(SPOT)
        assert sum(t["amount"] for t in trades) == pytest.approx(0.02)
        balance = await client.fetch_balance()
        assert balance["BTC"]["total"] == pytest.approx(1 + 0.02 - 0.00002)
        assert balance["BTC"]["used"] == pytest.approx(0.01)
        assert all(total == 0 for total in server.venue.ledger.totals().values())


async def test_a_pair_is_placed_and_cancelled_through_the_implicit_calls():
    async with exchange() as (_, endpoints), ccxt_client(endpoints, "spot") as client:
        price = await last(client, SPOT)
        made = await client.private_post_orderlist_oco(
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "quantity": "0.01",
                "aboveType": "LIMIT_MAKER",
                "abovePrice": f"{price * 1.01:.2f}",
                "belowType": "STOP_LOSS",
                "belowStopPrice": f"{price * 0.98:.2f}",
            }
        )
        assert [report["status"] for report in made["orderReports"]] == ["NEW", "NEW"]
        found = await client.private_get_orderlist({"orderListId": made["orderListId"]})
        assert found["listOrderStatus"] == "EXECUTING"
        await client.cancel_all_orders(SPOT)
        assert await client.fetch_open_orders(SPOT) == []
        behind = await client.private_post_orderlist_otoco(
            {
                "symbol": "BTCUSDT",
                "workingType": "LIMIT",
                "workingSide": "BUY",
                "workingPrice": f"{price * 0.99:.2f}",
                "workingQuantity": "0.01",
                "workingTimeInForce": "GTC",
                "pendingSide": "SELL",
                "pendingQuantity": "0.009",
                "pendingAboveType": "LIMIT_MAKER",
                "pendingAbovePrice": f"{price * 1.01:.2f}",
                "pendingBelowType": "STOP_LOSS_LIMIT",
                "pendingBelowStopPrice": f"{price * 0.98:.2f}",
                "pendingBelowPrice": f"{price * 0.97:.2f}",
                "pendingBelowTimeInForce": "GTC",
            }
        )
        assert [report["status"] for report in behind["orderReports"]] == ["NEW", "PENDING_NEW", "PENDING_NEW"]
        await client.private_delete_orderlist({"symbol": "BTCUSDT", "orderListId": behind["orderListId"]})
        assert await client.fetch_open_orders(SPOT) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("limit", "buy", 20, 50_000.0), ccxt.InsufficientFunds),
        (("limit", "buy", 0.01, 0.01), ccxt.InvalidOrder),
        (("limit", "buy", 0.01, 90_000.0, {"postOnly": True}), ccxt.OrderImmediatelyFillable),
    ],
)
async def test_refusals_become_the_errors_that_ccxt_has_for_them(arguments, error):
    async with exchange() as (_, endpoints), ccxt_client(endpoints, "spot") as client:
        with pytest.raises(error):
            await client.create_order(SPOT, *arguments)


async def test_perpetual_orders_positions_and_conditional_orders():
    async with exchange() as (server, endpoints), ccxt_client(endpoints, "swap") as client:
        price = await last(client, SWAP)
        await client.set_leverage(5, SWAP)
        await client.set_margin_mode("isolated", SWAP)
        rests = await client.create_order(SWAP, "limit", "buy", 0.01, round(price * 0.98, 1), {"clientOrderId": "mine-2"})
        assert [o["clientOrderId"] for o in await client.fetch_open_orders(SWAP)] == ["mine-2"]
        await client.cancel_order(rests["id"], SWAP)
        bought = await client.create_order(SWAP, "market", "buy", 0.1)
        assert bought["filled"] == 0.1
        assert (await client.fetch_order(bought["id"], SWAP))["status"] == "closed"
        stop = await client.create_order(
            SWAP, "market", "sell", 0.1, None, {"stopLossPrice": round(price * 0.97, 1), "reduceOnly": True, "clientOrderId": "stop-1"}
        )
        await client.cancel_all_orders(SWAP)
        assert [o["clientOrderId"] for o in await client.fetch_open_orders(SWAP, params={"trigger": True})] == ["stop-1"]
        (position,) = await client.fetch_positions([SWAP])
        assert (position["contracts"], position["side"], position["marginMode"]) == (0.1, "long", "isolated")
        assert position["liquidationPrice"] == pytest.approx(price * 0.8, rel=0.02)
        assert (await client.cancel_order(stop["id"], SWAP, {"trigger": True}))["info"]["msg"] == "success"
        closed = await client.create_order(SWAP, "market", "sell", 0.3, None, {"reduceOnly": True})
        assert closed["filled"] == 0.1
        assert await client.fetch_positions([SWAP]) == [] or (await client.fetch_positions([SWAP]))[0]["contracts"] == 0
        assert len(await client.fetch_my_trades(SWAP)) >= 2
        kinds = {row["incomeType"] for row in await client.fapiprivate_get_income({"symbol": "BTCUSDT"})}
        assert {"REALIZED_PNL", "COMMISSION"} <= kinds
        # ccxt chooses its table of errors by the stock address, so that an override leaves the bare class.
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await client.create_order(SWAP, "market", "sell", 0.1, None, {"reduceOnly": True})
        assert server.venue.usdm.positions[192]["BTCUSDT"].lots == 0


@pytest.mark.parametrize(("symbol", "kind"), [(SPOT, "spot"), (SWAP, "swap")])
async def test_ccxt_pro_watches_orders_balance_and_trades(symbol, kind):
    async with exchange() as (server, endpoints), ccxt_client(endpoints, kind) as client:
        watched = [
            asyncio.create_task(watch) for watch in (client.watch_orders(symbol), client.watch_my_trades(symbol), client.watch_balance())
        ]
        which = Market.SPOT if kind == "spot" else Market.USDM
        await until(lambda: server.sites[which].private.streams.listeners, "the subscription came through its socket")
        placed = await client.create_order(symbol, "market", "buy", 0.01)
        orders, trades, balance = await asyncio.gather(*watched)
        assert orders[0]["id"] == placed["id"]
        assert trades[0]["order"] == placed["id"]
        assert balance["USDT"]["total"] is not None


async def test_orders_move_the_book_that_everybody_sees():
    async with exchange() as (_, endpoints), ccxt_client(endpoints, "spot") as client:
        price = round(await last(client, SPOT) * 0.995, 2)
        path = endpoints[Market.SPOT].ws + "/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
        async with websockets.connect(path) as public:
            await client.create_order(SPOT, "limit", "buy", 0.12345, price)
            sold = asyncio.create_task(client.create_order(SPOT, "market", "sell", 0.00789))
            seen = set()
            while seen < {"level", "trade"}:
                frame = json.loads(await public.recv())["data"]
                if frame["e"] == "depthUpdate" and any(p == f"{price:.8f}" and float(q) >= 0.12345 for p, q in frame["b"]):
                    seen.add("level")
                if frame["e"] == "trade" and frame["m"] and frame["q"] == "0.00789000":
                    seen.add("trade")
            await sold


async def test_a_client_that_comes_again_finds_everything_as_it_was():
    async with exchange() as (_, endpoints):
        async with ccxt_client(endpoints, "spot") as client:
            price = await last(client, SPOT)
            first = await client.create_order(SPOT, "limit", "buy", 0.01, round(price * 0.99, 2), {"clientOrderId": "before"})
            await client.create_order(SPOT, "market", "buy", 0.02)
        async with ccxt_client(endpoints, "spot") as client:
            (found,) = await client.fetch_open_orders(SPOT)
            assert (found["id"], found["clientOrderId"]) == (first["id"], "before")
            assert sum(t["amount"] for t in await client.fetch_my_trades(SPOT)) == pytest.approx(0.02)
            same = await client.fetch_order(None, SPOT, {"origClientOrderId": "before"})
            assert same["id"] == first["id"]


async def test_the_ledger_tells_what_clients_did():
    async with exchange() as (server, endpoints), ccxt_client(endpoints, "spot") as client:
        await client.create_order(SPOT, "market", "buy", 0.02, None, {"clientOrderId": "judged"})
        status, body, _ = await ask(server, endpoints[Market.SPOT].rest + "/sim/ledger")
        assert status == 200
        (account,) = body["accounts"]
        assert [(o["client_id"], o["status"]) for o in account["orders"]] == [("judged", "FILLED")]
        assert sum(f["lots"] for f in account["fills"]) == 2000
        assert all(float(total) == 0 for total in body["totals"].values())

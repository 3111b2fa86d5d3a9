"""Unmodified ccxt and ccxt.pro, pointed at the built-in exchange by their documented URL override, must work against it."""

import asyncio
import time
from contextlib import asynccontextmanager

import ccxt.pro
import pytest

from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.market import SyntheticMarket
from tests.waiting import SCENE_S


@asynccontextmanager
async def exchange(seed=5):
    server = ExchangeServer(SyntheticMarket(seed), time.time_ns() - 20_000_000_000)
    # A few seconds of history, so that there are trades to fetch.
    server.advance(20_000_000_000)
    endpoints = await server.start()
    try:
        yield endpoints, server
    finally:
        await server.stop()


@asynccontextmanager
async def ccxt_client(endpoints, types, default_type):
    client = ccxt.pro.binance({"options": {"defaultType": default_type, "fetchMarkets": {"types": types}}, "enableRateLimit": True})
    spot, usdm = endpoints[Market.SPOT], endpoints[Market.USDM]
    api = client.urls["api"]
    api["public"] = spot.rest + "/api/v3"
    api["fapiPublic"] = usdm.rest + "/fapi/v1"
    api["dapiPublic"] = usdm.rest + "/dapi/v1"
    api["ws"]["spot"] = spot.ws + "/stream"
    api["ws"]["linear"] = usdm.ws + "/ws"
    api["ws"]["ws-api"]["spot"] = spot.ws_api
    try:
        yield client
    finally:
        await client.close()


async def test_ccxt_loads_markets_and_fetches_books_and_trades_of_spot_and_swap():
    async with exchange() as (endpoints, _), ccxt_client(endpoints, ["spot", "linear", "inverse"], "spot") as client:
        markets = await client.load_markets()
        assert {"BTC/USDT", "ETH/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"} <= set(markets)
        assert markets["BTC/USDT"]["precision"]["price"] == 0.01
        assert markets["BTC/USDT"]["precision"]["amount"] == 1e-05
        assert markets["BTC/USDT:USDT"]["precision"]["price"] == 0.1
        for symbol in ("BTC/USDT", "BTC/USDT:USDT"):
            book = await client.fetch_order_book(symbol, 50)
            assert len(book["bids"]) == len(book["asks"]) == 50
            assert book["bids"][0][0] < book["asks"][0][0]
            trades = await client.fetch_trades(symbol)
            assert trades
            assert {trade["side"] for trade in trades} <= {"buy", "sell"}
            ticker = await client.fetch_ticker(symbol)
            assert ticker["low"] <= ticker["last"] <= ticker["high"]
            candles = await client.fetch_ohlcv(symbol, "1m")
            assert candles[-1][2] >= candles[-1][3]


async def test_ccxt_pro_watches_the_spot_book_and_trades():
    await _watch("BTC/USDT", ["spot", "linear"], "spot")


async def test_ccxt_pro_watches_the_perpetual_book_and_trades():
    await _watch("BTC/USDT:USDT", ["spot", "linear"], "swap")


async def _watch(symbol, types, default_type):
    async with exchange() as (endpoints, _), ccxt_client(endpoints, types, default_type) as client, asyncio.timeout(SCENE_S):
        nonces = []
        for _ in range(8):
            book = await client.watch_order_book(symbol)
            assert book["bids"][0][0] < book["asks"][0][0]
            nonces.append(book["nonce"])
        assert nonces == sorted(nonces)
        assert nonces[-1] > nonces[0]
        trades = await client.watch_trades(symbol)
        assert trades[-1]["symbol"] == symbol
        assert trades[-1]["amount"] > 0


async def test_an_unknown_symbol_is_refused_with_the_venues_own_error():
    async with exchange() as (endpoints, _), ccxt_client(endpoints, ["spot"], "spot") as client:
        await client.load_markets()
        with pytest.raises(ccxt.BadSymbol, match="-1121"):
            await client.publicGetDepth({"symbol": "NOPEUSDT"})

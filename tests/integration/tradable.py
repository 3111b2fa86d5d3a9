"""An exchange with accounts, served on loopback, and unmodified ccxt clients of it by their documented URL overrides."""

import asyncio
import hashlib
import hmac
import time
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import aiohttp
import ccxt.pro

from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.core.domain.instruments import Market
from smartmoney.settings.accounts import demo_account
from smartmoney.simulation.market import SyntheticMarket
from tests.waiting import SCENE_S

START = 10_000_000_000
DEMO = demo_account(5)
KEY, SECRET = DEMO.keys[0].key, DEMO.keys[0].secret


@asynccontextmanager
async def exchange(
    *accounts, speed=1.0, symbols=("BTCUSDT",), read_fault=None, patience_s=SCENE_S, begins=lambda now_ns: now_ns, mono_ns=time.monotonic_ns
):
    market = SyntheticMarket(5, symbols=symbols)
    server = ExchangeServer(
        market, begins(time.time_ns()) - START, speed=speed, accounts=accounts or (DEMO,), read_fault=read_fault, mono_ns=mono_ns
    )
    server.advance(START)
    endpoints = await server.start()
    try:
        async with asyncio.timeout(patience_s):
            yield server, endpoints
    finally:
        await server.stop()


@asynccontextmanager
async def ccxt_client(endpoints, default_type, key=KEY, secret=SECRET):
    client = ccxt.pro.binance(
        {"apiKey": key, "secret": secret, "options": {"defaultType": default_type, "fetchMarkets": {"types": ["spot", "linear"]}}}
    )
    spot, usdm = endpoints[Market.SPOT], endpoints[Market.USDM]
    api = client.urls["api"]
    api["public"] = api["private"] = spot.rest + "/api/v3"
    api["sapi"] = spot.rest + "/sapi/v1"
    for name, version in (("", "v1"), ("V2", "v2"), ("V3", "v3")):
        api["fapiPublic" + name] = api["fapiPrivate" + name] = f"{usdm.rest}/fapi/{version}"
    api["ws"]["spot"] = spot.ws + "/stream"
    api["ws"]["linear"] = api["ws"]["future"] = usdm.ws + "/ws"
    api["ws"]["ws-api"]["spot"] = spot.ws_api
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()


def sign(text, secret=SECRET):
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


async def ask(server, url, method="GET", key=KEY, secret=SECRET, **params):
    """Send a signed request and return (status, body, headers)."""
    query = urlencode({**params, "timestamp": server.now_ns() // 1_000_000})
    url = f"{url}?{query}&signature={sign(query, secret)}"
    async with aiohttp.ClientSession() as session, session.request(method, url, headers={"X-MBX-APIKEY": key}) as response:
        return response.status, await response.json(content_type=None), response.headers


def signed(server, **params):
    """Return parameters of a signed WebSocket API request."""
    params = {**params, "apiKey": KEY, "timestamp": server.now_ns() // 1_000_000}
    return {**params, "signature": sign("&".join(f"{name}={params[name]}" for name in sorted(params)))}

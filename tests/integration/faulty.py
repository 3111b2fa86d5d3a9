"""An exchange that misbehaves as it is told, and what tests need to look at it."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import aiohttp

from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.faults import read_fault
from smartmoney.simulation.faults import FaultPlan
from smartmoney.simulation.market import SyntheticMarket
from tests.steady_clock import SteadyClock
from tests.waiting import SCENE_S

START = 10_000_000_000


def reader(entry):
    try:
        return read_fault(entry)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


@asynccontextmanager
async def exchange(*faults, seed=5, speed=5.0, symbols=("BTCUSDT",), begins=lambda now_ns: now_ns, clock=None):
    """Serve a market with faults (dictionaries, as in a file); `begins` says when it is there, by its own clock."""
    plan = FaultPlan([read_fault(fault) for fault in faults])
    origin_ns = begins(time.time_ns()) - START
    clock = clock or SteadyClock()
    market = SyntheticMarket(seed, symbols=symbols)
    server = ExchangeServer(market, origin_ns, speed=speed, faults=plan, read_fault=reader, mono_ns=clock.monotonic_ns)
    server.advance(START)
    endpoints = await server.start()
    try:
        async with asyncio.timeout(SCENE_S):
            yield server, endpoints
    finally:
        await server.stop()


def acted(server, name=""):
    """Return how often a fault (or all together) acted."""
    return sum(r.acted for r in server.faults.reports(server.now_ns()) if name in {"", r.fault.name})


async def ask(method, url, *, headers=None, **query):
    """Return status, text and headers of a request."""
    async with aiohttp.ClientSession() as session, session.request(method, url, params=query, headers=headers) as response:
        return response.status, await response.text(), response.headers


async def frames(socket, count):
    return [json.loads(await socket.recv()) for _ in range(count)]

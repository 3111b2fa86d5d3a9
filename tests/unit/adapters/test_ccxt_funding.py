"""Following funding through ccxt, against a hand-written exchange and a jump clock: what is watched, what is asked for, and when."""

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal as D
from random import Random

import ccxt
import pytest
from structlog.testing import capture_logs

from smartmoney.adapters.ccxt_funding import CcxtFunding
from smartmoney.adapters.clock import JumpClock
from smartmoney.core.domain.instruments import Instrument, Market

S = 1_000
START_MS = 1_680_652_800_000 + 100 * S
NEXT_MS = START_MS + 4 * 3_600 * S


class Exchange:
    """Answer as ccxt does: what is asked for at once, what is watched when it is given."""

    def __init__(self, clock, has, exchange_id="gate"):
        self.id = exchange_id
        self.has = dict.fromkeys(has, True)
        self.clock = clock
        self.markets = {"BTC/USDT:USDT": {"swap": True}, "BTC/USDT:USDT-991231": {"swap": False}, "BTC/USDT": {"swap": False}}
        self.asked = []
        self.answers = {}
        self.closed = False
        self.sockets_closed = self.watches = 0
        self.pushes = asyncio.Queue()

    def now_ms(self):
        return self.clock.wall_ns() // 10**6

    async def fetch_funding_rate(self, name):
        return self._answer("rate", name)

    async def fetch_mark_price(self, name):
        return self._answer("mark", name)

    async def watch_funding_rate(self, name):
        self.watches += 1
        pushed = await self.pushes.get()
        if isinstance(pushed, Exception):
            raise pushed
        return pushed

    def _answer(self, what, name):
        self.asked.append((what, self.now_ms() - START_MS, name))
        answer = self.answers.get(what, self.rate() if what == "rate" else {"markPrice": 60_000.5, "timestamp": self.now_ms(), "info": {}})
        if isinstance(answer, Exception):
            raise answer
        return answer

    def rate(self, at_ms=NEXT_MS, **more):
        return {"fundingRate": 0.0001, "fundingTimestamp": at_ms, "markPrice": None, "timestamp": self.now_ms(), "info": {}, **more}

    async def close_ws_clients(self):
        self.sockets_closed += 1

    async def close(self):
        self.closed = True


def instrument(name="BTC/USDT:USDT", market=Market.USDM):
    return Instrument(
        venue="ccxt:gate", market=market, symbol="BTC_USDT", name=name, base="BTC", quote="USDT", tick_size=D("0.1"), lot_size=D("0.001")
    )


async def turn():
    for _ in range(20):
        await asyncio.sleep(0)


async def pass_s(clock, seconds):
    for _ in range(seconds):
        await clock.advance(1.0)
        await turn()


PERPETUAL = instrument()


@asynccontextmanager
async def following(exchange, clock, instruments=(PERPETUAL,)):
    frames = []
    follower = CcxtFunding(exchange, instruments, lambda _, raw: not frames.append(json.loads(raw)), clock=clock, jitter=Random(3))
    task = asyncio.create_task(follower.run())
    await turn()
    try:
        yield frames, task
    finally:
        await follower.close()
        await task
        assert exchange.closed


@pytest.fixture
def clock():
    return JumpClock(wall_ns=START_MS * 10**6)


async def test_where_there_are_requests_alone_they_are_made_each_minute(clock):
    exchange = Exchange(clock, ["fetchFundingRate", "fetchMarkPrice"])
    async with following(exchange, clock) as (frames, _):
        await pass_s(clock, 600)
    rates = [at for what, at, _ in exchange.asked if what == "rate"]
    assert rates[0] == 0
    assert len(rates) == 11 == len(exchange.asked) / 2
    assert frames[-1] == {"e": "markPriceUpdate", "E": frames[-1]["E"], "s": "BTC_USDT", "p": "60000.5", "r": "0.0001", "T": NEXT_MS}


async def test_around_a_payment_is_asked_just_before_and_until_the_next_time_is_named(clock):
    exchange = Exchange(clock, ["fetchFundingRate", "fetchMarkPrice"])
    soon = START_MS + 100 * S
    exchange.answers["rate"] = exchange.rate(soon, timestamp=None)
    async with following(exchange, clock) as (frames, _):
        await pass_s(clock, 112)
        exchange.answers["rate"] = exchange.rate(NEXT_MS, timestamp=None)
        await pass_s(clock, 100)
    rates = [at // S for what, at, _ in exchange.asked if what == "rate"]
    assert rates[:6] == [0, 60, 97, 103, 108, 113], "not again before the next minute once the next time is named"
    assert rates[6] >= 170
    assert [one["T"] for one in frames] == sorted(one["T"] for one in frames)
    assert frames[-1]["T"] == NEXT_MS


async def test_what_fails_is_logged_and_asked_again_more_and_more_seldom(clock):
    exchange = Exchange(clock, ["fetchFundingRate"])
    exchange.answers["rate"] = ccxt.NetworkError("gone")
    with capture_logs() as logs:
        async with following(exchange, clock) as (frames, task):
            await pass_s(clock, 1_000)
            assert not task.done()
            assert frames == []
            failures = len(exchange.asked)
            exchange.answers["rate"] = KeyError("data")
            await pass_s(clock, 100)
            exchange.answers["rate"] = {"fundingRate": None, "info": {}}
            await pass_s(clock, 100)
            del exchange.answers["rate"]
            await pass_s(clock, 130)
            assert frames[-1]["T"] == NEXT_MS
    assert 5 < failures < 20
    reasons = [one["reason"] for one in logs if one["event"] == "funding_feed_failed"]
    assert {reason.partition(":")[0] for reason in reasons} == {
        "NetworkError",
        "ccxt could not read a message",
        "no rate or no time of funding in it",
    }


async def test_a_push_that_fails_or_falls_silent_is_replaced_by_requests(clock):
    exchange = Exchange(clock, ["watchFundingRate", "fetchFundingRate"], "okx")
    async with following(exchange, clock) as (frames, task):
        exchange.pushes.put_nowait(exchange.rate(markPrice=1.5))
        await pass_s(clock, 100)
        assert len(exchange.asked) == 1, "at the beginning"
        exchange.pushes.put_nowait(ccxt.ExchangeError("60018"))
        await pass_s(clock, 400)
        assert len(exchange.asked) == 5
        assert exchange.sockets_closed == 3, "each two minutes of silence"
        assert exchange.watches == 3 + 3, "and subscribed to anew each time"
        exchange.pushes.put_nowait(exchange.rate(markPrice=2.5))
        await pass_s(clock, 10)
        assert not task.done()
    assert frames[-1]["p"] == "2.5"


async def test_a_venue_that_tells_nothing_is_named_once_and_asked_nothing(clock):
    exchange = Exchange(clock, ["fetchMarkPrice", "watchTicker"], "kraken")
    with capture_logs() as logs:
        async with following(exchange, clock) as (frames, task):
            await pass_s(clock, 300)
            assert task.done()
    assert [one["event"] for one in logs] == ["funding_not_told"]
    assert exchange.asked == frames == []


@pytest.mark.parametrize("other", [instrument("BTC/USDT", Market.SPOT), instrument("BTC/USDT:USDT-991231")], ids=["spot", "dated"])
async def test_what_is_no_perpetual_is_not_followed(clock, other):
    exchange = Exchange(clock, ["fetchFundingRate", "fetchMarkPrice"])
    with capture_logs() as logs:
        async with following(exchange, clock, (other,)) as (frames, task):
            await pass_s(clock, 300)
            assert task.done()
    assert exchange.asked == frames == logs == []

"""Signed requests over a real socket to a scripted venue: outcomes, clock, budgets, and nothing secret in anything that is said."""

import asyncio
import logging
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest
from aiohttp import web

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.clock import JumpClock
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.websocket_transport import InsecureAddressError
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime import live
from smartmoney.runtime.live_door import DoorTerms, live_door
from smartmoney.venues.binance.order_calls import Call
from smartmoney.venues.binance.protocol import Endpoints
from smartmoney.venues.outcomes import Outcome
from tests.grids import SPOT_BTC as SPOT
from tests.waiting import SCENE_S

KEY, SECRET = "PublicHalf", "canary-secret"
ENTRY = Call(section="private", method="POST", path="order", params={"symbol": "BTCUSDT", "newClientOrderId": "sm1-1-0"}, orders=1)
STOP = Call(section="private", method="POST", path="order", params={"newClientOrderId": "sm1-1-1"}, orders=1, is_urgent=True)
READ = Call(section="private", method="GET", path="openOrders", params={"symbol": "BTCUSDT"})


class Venue:
    """Answer what a test says of a path, else in turn; the last answer is kept."""

    def __init__(self):
        self.asked = []
        self.times = 0
        self.script = [(200, {}, {})]
        self.of_path = {}
        self.offset_ms = 0
        self.clock = JumpClock()

    async def handle(self, request):
        if request.path.endswith("/time"):
            self.times += 1
            return web.json_response({"serverTime": self.clock.wall_ns() // 1_000_000 + self.offset_ms})
        body = await request.text()
        self.asked.append((request.method, request.path, request.query_string or body))
        said = self.of_path.get(request.path) or (self.script.pop(0) if len(self.script) > 1 else self.script[0])
        status, answer, headers = said
        if isinstance(answer, str):
            return web.Response(status=status, text=answer, headers=headers, content_type="text/html")
        return web.json_response(answer, status=status, headers=headers)


@asynccontextmanager
async def account_at(*script):
    venue = Venue()
    venue.script = list(script) or venue.script
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", venue.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    where = Endpoints(rest=f"http://127.0.0.1:{runner.addresses[0][1]}", stream="ws://127.0.0.1:1", ws_api="ws://127.0.0.1:1")
    account = BinanceAccount(Market.SPOT, where, Credentials(KEY, SECRET), clock=venue.clock)
    try:
        async with asyncio.timeout(SCENE_S):
            yield venue, account
    finally:
        await account.close()
        await runner.cleanup()


async def test_what_is_sent_is_signed_ours_and_nothing_else():
    async with account_at() as (venue, account):
        assert (await account.ask(ENTRY)).is_done
        ((method, path, text),) = venue.asked
        assert (method, path) == ("POST", "/api/v3/order")
        names = [pair.split("=")[0] for pair in text.split("&")]
        assert sorted(names) == sorted(["timestamp", "symbol", "newClientOrderId", "recvWindow", "signature"])
        assert "newClientOrderId=sm1-1-0" in text


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((400, {"code": -2010, "msg": "Duplicate order sent."}, {}), Outcome.DUPLICATE),
        ((400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}, {}), Outcome.FUNDS),
        ((400, {"code": -1013, "msg": "Filter failure: NOTIONAL"}, {}), Outcome.REFUSED),
        ((503, {"code": -1007, "msg": "Timeout"}, {}), Outcome.UNKNOWN),
        ((502, "<html>bad gateway</html>", {}), Outcome.UNKNOWN),
        ((200, "<html>welcome</html>", {}), Outcome.UNKNOWN),
        ((401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, {}), Outcome.KEY),
    ],
)
async def test_an_answer_is_judged_by_its_code_whatever_ccxt_makes_of_it(answer, outcome):
    async with account_at(answer) as (venue, account):
        assert (await account.ask(ENTRY)).outcome is outcome
        assert len(venue.asked) == 1, "an order is never sent again by itself"


async def test_a_refused_timestamp_measures_the_clock_and_sends_once_more():
    skewed = (400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, {})
    async with account_at(skewed, (200, {"orderId": 1}, {})) as (venue, account):
        venue.offset_ms = 7_000
        assert (await account.ask(ENTRY)).is_done
        stamps = [int(text.split("timestamp=")[1].split("&")[0]) for _, _, text in venue.asked]
        assert 6_900 <= stamps[1] - stamps[0] <= 7_100
        assert account.clock_offset_ms == pytest.approx(7_000, abs=50)
    async with account_at(skewed) as (venue, account):
        assert (await account.ask(ENTRY)).outcome is Outcome.CLOCK
        assert len(venue.asked) == 2


async def test_a_clock_that_jumped_between_two_measurements_is_not_good():
    async with account_at() as (venue, account):
        assert not account.is_clock_good
        await account.sync_clock()
        assert account.is_clock_good
        venue.offset_ms = 1_500
        await account.sync_clock()
        assert not account.is_clock_good
        await account.sync_clock()
        assert account.is_clock_good


async def test_a_retry_after_silences_entries_at_once_and_lets_a_stop_wait_for_its_end():
    busy = (429, {"code": -1003, "msg": "Too many requests."}, {"Retry-After": "5"})
    async with account_at(busy, (200, {"orderId": 1}, {})) as (venue, account):
        assert (await account.ask(ENTRY)).outcome is Outcome.LIMITED
        refused = await account.ask(ENTRY)
        assert (refused.outcome, refused.is_local) == (Outcome.LIMITED, True)
        waiting = [asyncio.ensure_future(account.ask(call)) for call in (STOP, READ)]
        await venue.clock.advance(4.0)
        assert len(venue.asked) == 1
        await venue.clock.advance(2.0)
        assert [(await each).is_done for each in waiting] == [True, True]
        assert len(venue.asked) == 3


async def test_a_ban_longer_than_patience_is_an_answer_at_once():
    async with account_at((418, {"code": -1003, "msg": "banned"}, {"Retry-After": "600"})) as (venue, account):
        await account.ask(READ)
        for call in (STOP, READ, ENTRY):
            answer = await account.ask(call)
            assert (answer.outcome, answer.is_local) == (Outcome.LIMITED, True)
        assert len(venue.asked) == 1


async def test_the_clock_is_not_measured_while_the_venue_asked_to_be_left_alone():
    async with account_at((418, {"code": -1003, "msg": "banned"}, {"Retry-After": "600"})) as (venue, account):
        await account.ask(READ)
        answer = await account.sync_clock()
        assert (answer.outcome, answer.is_local, venue.times) == (Outcome.LIMITED, True, 0)
        await venue.clock.advance(601)
        assert (await account.sync_clock()).is_done


async def test_what_is_sent_again_for_its_timestamp_is_looked_at_again():
    skewed = (400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, {})
    reasons = [None, "halted meanwhile"]
    async with account_at(skewed, (200, {"orderId": 1}, {})) as (venue, account):
        answer = await account.ask(ENTRY, lambda: reasons.pop(0))
        assert (answer.is_local, answer.why()) == (True, "halted meanwhile")
        assert len(venue.asked) == 1


async def test_entries_leave_room_for_stops_in_the_venue_s_limit_of_orders():
    async with account_at() as (venue, account):
        sent = [await account.ask(ENTRY) for _ in range(70)]
        assert sum(each.is_done for each in sent) == 60
        assert all(each.is_local for each in sent[60:])
        assert (await account.ask(STOP)).is_done
        await venue.clock.advance(10.5)
        assert (await account.ask(ENTRY)).is_done


async def test_a_last_look_stops_a_request_before_it_leaves():
    async with account_at() as (venue, account):
        answer = await account.ask(ENTRY, lambda: "halted meanwhile")
        assert (answer.is_local, answer.why()) == (True, "halted meanwhile")
        assert venue.asked == []


async def test_nothing_that_is_said_holds_a_key_a_secret_or_a_signature(caplog):
    caplog.set_level(logging.DEBUG)
    async with account_at() as (_, account):
        await account.ask(ENTRY)
        shown = repr(account)
    where = Endpoints(rest="http://127.0.0.1:9", stream="ws://127.0.0.1:9", ws_api="ws://127.0.0.1:9")
    lost = BinanceAccount(Market.USDM, where, Credentials(KEY, SECRET), clock=JumpClock())
    answer = await lost.ask(Call(section="fapiPrivate", method="GET", path="order"))
    await lost.close()
    assert answer.outcome is Outcome.UNKNOWN
    for text in (answer.why(), repr(answer), caplog.text, shown):
        assert SECRET not in text
        assert KEY not in text
        assert "signature=" not in text


def test_no_plain_address_but_this_machine_s():
    where = Endpoints(rest="http://10.0.0.1", stream="ws://10.0.0.1")
    with pytest.raises(InsecureAddressError):
        BinanceAccount(Market.SPOT, where, Credentials(KEY, SECRET), clock=JumpClock())


async def test_the_door_of_a_start_does_not_wait_for_a_budget_that_others_have_spent():
    busy = (200, {}, {"X-MBX-USED-WEIGHT-1M": "5000"})
    may = {
        **dict.fromkeys(("enableReading", "enableSpotAndMarginTrading", "ipRestrict"), True),
        **dict.fromkeys(("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"), False),
    }
    wallet = {"uid": 5, "balances": [{"asset": "USDT", "free": "7", "locked": "0"}]}
    async with account_at(busy) as (venue, account):
        venue.of_path = {"/sapi/v1/account/apiRestrictions": (200, may, {}), "/api/v3/account": (200, wallet, {})}
        await account.ask(READ)
        before_ns = venue.clock.monotonic_ns()
        assert await live._identify(account, Endpoints(rest="https://here", stream="")) == "binance:spot:here:5"
        terms = DoorTerms(capital=Decimal(5), money_needed=Decimal(5), largest_position=Decimal(5), leverage=1)
        problems = await live_door(account, (SPOT,), b"{}", terms)
        assert [problem.check for problem in problems] == ["market"], "it is not described there; all else was asked, and is well"
        assert venue.clock.monotonic_ns() == before_ns
        assert len(venue.asked) == 4

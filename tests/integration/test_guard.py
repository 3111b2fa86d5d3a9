"""The guard's hands at the built-in exchange, over real sockets; the exchange's own ledger is the judge."""

import asyncio
import contextlib
import json
import time
from decimal import Decimal

import aiohttp
import pytest

from smartmoney.adapters.control import ControlRequest
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.guard_account import GuardAccount
from smartmoney.adapters.guard_binance import BinanceGuard
from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.guard_wires import BinanceWire
from smartmoney.adapters.heartbeat import Carried, Heartbeat, HeartbeatFile, WorkingOrder, boot_id
from smartmoney.adapters.service import ServiceNotifier, read_latch
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import Side
from smartmoney.runtime.guard import Guard, GuardTerms
from smartmoney.runtime.guard_hands import Hands
from smartmoney.venues.binance.exchange_info import parse_exchange_info
from smartmoney.venues.followed import OURS
from tests.waiting import PATIENCE_S, until

from .faulty import reader
from .tradable import KEY, SECRET, ask, exchange

RUN = "1abcdefghjk"
BOTH = pytest.mark.parametrize("market", [Market.SPOT, pytest.param(Market.USDM, marks=pytest.mark.slow)])


class Venue:
    """The exchange as a person with the same key sees it, and as its own ledger does."""

    def __init__(self, server, endpoints, market, folder):
        self.server, self.market = server, market
        self.rest = endpoints[market].rest
        self.account = GuardAccount(BinanceWire(market), self.rest, Credentials(KEY, SECRET))
        self.journal = GuardJournal(folder / "guard.journal")
        self.hands = Hands(BinanceGuard(self.account, market), self.journal, Decimal("0.02"))
        self.layout = StateLayout(folder)
        self.path = "/api/v3/" if market is Market.SPOT else "/fapi/v1/"

    async def start(self):
        async with aiohttp.ClientSession() as session, session.get(f"{self.rest}{self.path}exchangeInfo") as response:
            raw = await response.read()
        (self.instrument,) = parse_exchange_info(raw, ["BTC/USDT"], self.market)
        async with aiohttp.ClientSession() as session, session.get(f"{self.rest}{self.path}ticker/bookTicker?symbol=BTCUSDT") as response:
            touch = await response.json()
        self.bid, self.ask = Decimal(touch["bidPrice"]), Decimal(touch["askPrice"])

    async def call(self, method, path, **params):
        status, body, _ = await ask(self.server, f"{self.rest}{self.path}{path}", method, **params)
        assert status == 200, body
        return body

    def price(self, factor):
        return self.instrument.price(int(self.bid * Decimal(factor) / self.instrument.tick_size))

    async def buy(self, quantity="0.01", name=f"sm{RUN}-5-0"):
        return await self.call("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity=quantity, newClientOrderId=name)

    async def rest_entry(self, name=f"sm{RUN}-6-0"):
        return await self.call(
            "POST",
            "order",
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.01",
            price=str(self.price("0.9")),
            newClientOrderId=name,
        )

    async def stop(self, quantity="0.01", name=f"sm{RUN}-7-0", factor="0.95"):
        if self.market is Market.SPOT:
            return await self.call(
                "POST",
                "order",
                symbol="BTCUSDT",
                side="SELL",
                type="STOP_LOSS",
                quantity=quantity,
                stopPrice=str(self.price(factor)),
                newClientOrderId=name,
            )
        return await self.call(
            "POST",
            "algoOrder",
            algoType="CONDITIONAL",
            symbol="BTCUSDT",
            side="SELL",
            type="STOP_MARKET",
            quantity=quantity,
            triggerPrice=str(self.price(factor)),
            reduceOnly="true",
            clientAlgoId=name,
        )

    async def open(self):
        found = [(row["clientOrderId"], row["type"], Decimal(row["origQty"])) for row in await self.call("GET", "openOrders")]
        if self.market is Market.USDM:
            rows = await self.call("GET", "openAlgoOrders")
            found += [(row["clientAlgoId"], row["orderType"], Decimal(row["quantity"])) for row in rows]
        return sorted(found)

    async def held(self):
        if self.market is Market.SPOT:
            rows = (await self.call("GET", "account"))["balances"]
            return next((Decimal(row["free"]) + Decimal(row["locked"]) for row in rows if row["asset"] == "BTC"), Decimal(0))
        status, body, _ = await ask(self.server, f"{self.rest}/fapi/v2/positionRisk")
        assert status == 200
        return sum((Decimal(row["positionAmt"]) for row in body if row["symbol"] == "BTCUSDT"), Decimal(0))

    def beat(self, position="0.01", stop="0.95", orders=(), age_s=0.0, state="running", seq=10):
        carried = Carried(
            instrument=self.instrument,
            position=Decimal(position),
            stop=None if stop is None else self.price(stop),
            bid=self.bid,
            ask=self.ask,
        )
        return Heartbeat(
            state=state,
            pid=1,
            run_id=RUN,
            mode="rehearsal",
            boot=boot_id(),
            mono_ns=time.monotonic_ns() - round(age_s * 1e9),
            wall_ns=time.time_ns() - round(age_s * 1e9),
            seq=seq,
            carried=(carried,),
            orders=orders,
        )

    async def settle(self, beat, *, flatten=False):
        async with asyncio.timeout(PATIENCE_S):
            while not await self.hands.settle(beat, flatten=flatten):
                pass


@contextlib.asynccontextmanager
async def venue_of(market, tmp_path):
    async with exchange(read_fault=reader) as (server, endpoints):
        venue = Venue(server, endpoints, market, tmp_path)
        await venue.start()
        try:
            yield venue
        finally:
            venue.account.close()
            venue.journal.close()


@BOTH
async def test_entries_go_and_the_stop_stays(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        await venue.buy()
        await venue.rest_entry()
        await venue.stop()
        await venue.settle(venue.beat())
        ((name, kind, quantity),) = await venue.open()
        assert (name, quantity) == (f"sm{RUN}-7-0", Decimal("0.01"))
        assert kind in {"STOP_LOSS", "STOP_MARKET"}
        assert venue.hands.cancelled == 1
        assert venue.hands.placed == 0


@BOTH
async def test_a_position_without_a_stop_gets_one_where_it_was(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        await venue.buy()
        await venue.settle(venue.beat())
        ((name, _, quantity),) = await venue.open()
        assert name.startswith("smg")
        assert quantity <= Decimal("0.01")
        assert venue.hands.placed == 1
        assert await venue.hands.settle(venue.beat(), flatten=False), "and it is not placed twice"
        assert len(await venue.open()) == 1
        written = [json.loads(line)["what"] for line in venue.layout.guard_journal.read_text().splitlines()]
        assert written == ["order"]


@BOTH
async def test_a_stop_whose_level_nobody_knows_is_put_around_the_touch(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        await venue.buy()
        await venue.settle(venue.beat(stop=None))
        assert len(await venue.open()) == 1


@BOTH
async def test_a_stop_of_another_size_is_replaced_and_a_second_one_goes(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        await venue.buy("0.02")
        await venue.stop("0.005")
        await venue.stop("0.005", name=f"sm{RUN}-8-0")
        await venue.settle(venue.beat("0.02"))
        ((name, _, quantity),) = await venue.open()
        assert name.startswith("smg")
        assert quantity == Decimal("0.02")


@BOTH
async def test_a_flatten_leaves_nothing_and_orders_of_others_alone(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        before = await venue.held()
        await venue.buy()
        await venue.stop()
        await venue.rest_entry()
        await venue.rest_entry(name="byhand")
        await venue.settle(venue.beat(), flatten=True)
        assert [name for name, _, _ in await venue.open()] == ["byhand"]
        assert abs(await venue.held() - before) < Decimal("0.0001")
        assert venue.hands.closed == 1


@BOTH
async def test_a_stop_that_the_market_has_passed_is_a_close(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        before = await venue.held()
        await venue.buy()
        await venue.settle(venue.beat(stop="1.05"))
        assert await venue.open() == []
        assert abs(await venue.held() - before) < Decimal("0.0001")


async def test_spot_counts_what_was_bought_after_the_last_heartbeat_and_nothing_else(tmp_path):
    async with venue_of(Market.SPOT, tmp_path) as venue:
        await venue.buy("0.03", name=f"sm{RUN}-4-0")
        await venue.buy("0.02", name="byhand")
        beat = venue.beat("0.03", seq=10)
        await venue.buy("0.01", name=f"sm{RUN}-12-0")
        seen = await venue.hands.look(beat, beat.carried[0])
        # What is older than the picture is in it; the fee of the newer one was kept in what was bought.
        assert seen.position == Decimal("0.04") - Decimal("0.01") * Decimal("0.001")
        working = WorkingOrder(client_order_id=f"sm{RUN}-4-0", symbol="BTCUSDT", side=Side.BUY, is_entry=True, filled=Decimal("0.01"))
        beat = venue.beat("0.01", seq=12, orders=(working,))
        seen = await venue.hands.look(beat, beat.carried[0])
        assert Decimal("0.0299") < seen.position <= Decimal("0.03"), "an order that worked then has filled since"


@BOTH
async def test_an_order_whose_answer_is_lost_is_placed_once(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        await venue.buy()
        call = "POST order" if market is Market.SPOT else "POST algoOrder"
        fault = {"kind": "server_error", "market": market.value, "call": call, "accepted": True, "code": -1007, "count": 1}
        async with aiohttp.ClientSession() as session, session.post(f"{venue.rest}/sim/faults", json=fault) as response:
            assert response.status == 201, await response.text()
        await venue.settle(venue.beat())
        assert len(await venue.open()) == 1
        written = [json.loads(line)["what"] for line in venue.layout.guard_journal.read_text().splitlines()]
        assert written == ["order", "not proven"]


async def test_the_venues_timer_is_set_while_entries_rest_and_taken_away_after(tmp_path):
    async with venue_of(Market.USDM, tmp_path) as venue:
        guard = Guard(GuardTerms(timer_s=30.0), venue.layout, venue.hands, venue.journal, lambda _: None, timer="symbol")
        entry = WorkingOrder(client_order_id="x", symbol="BTCUSDT", side=Side.BUY, is_entry=True, filled=Decimal(0))
        await guard._keep_timers(venue.hands, venue.beat(orders=(entry,)))
        assert guard._status()["timers"] == ["BTCUSDT"]
        await guard._keep_timers(venue.hands, venue.beat())
        assert guard._status()["timers"] == []


class Watching:
    """A guard that runs in this process, and the alerts that it told."""

    def __init__(self, venue, **terms):
        self.told = []
        hands = venue.hands if venue is not None else None
        self.guard = Guard(GuardTerms(**terms), venue.layout, hands, venue.journal, self.told.extend, timer="")

    async def __aenter__(self):
        self.notifier = ServiceNotifier()
        self.task = asyncio.create_task(self.guard.run(self.notifier))
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.notifier.close()

    async def until(self, test, meanwhile=lambda: None):
        """Wait until its status passes a test; `meanwhile` is done before each look."""

        def passes():
            meanwhile()
            return test(self.guard._status())

        await until(passes, seen=self.guard._status, every_s=0.02)


@BOTH
async def test_a_lease_that_runs_out_latches_cancels_protects_and_tells(market, tmp_path, monkeypatch):
    monkeypatch.setattr("smartmoney.runtime.guard.HAND_OVER_S", 1.0)
    async with venue_of(market, tmp_path) as venue:
        await venue.buy()
        await venue.rest_entry()
        file = HeartbeatFile(venue.layout.heartbeat)
        file.write(venue.beat())
        async with Watching(venue, lease_s=600.0) as watch:
            await watch.until(lambda status: status["lease"] == "fresh")
            assert not watch.guard._status()["halted"]
            # The time that it is silent for, without waiting for it.
            watch.guard._terms = GuardTerms(lease_s=0.6)
            await watch.until(lambda status: status["is_settled"])
            assert "has not shown progress" in read_latch(venue.layout.latch).reason
            assert [name[:3] for name, _, _ in await venue.open()] == ["smg"]
            assert [alert.subject for alert in watch.told] == ["GUARD ACTS", "guard is done"]
            # The daemon comes back and does not adopt it: then its own stop takes the guard's place, where that does not lock what it sells.
            await watch.until(lambda status: not status["is_acting"], lambda: file.write(venue.beat()))
            if market is Market.USDM:
                await venue.stop()
            left = []

            async def has_gone():
                file.write(venue.beat())
                left[:] = [name for name, _, _ in await venue.open() if name.startswith("smg")]
                return not left

            await until(has_gone, "the guard's stop has gone", seen=lambda: left, every_s=0.1)
            assert watch.guard._status()["halted"], "only a person clears it"
        file.close()


@BOTH
async def test_a_person_may_ask_a_guard_while_the_daemon_seems_well(market, tmp_path):
    async with venue_of(market, tmp_path) as venue:
        before = await venue.held()
        await venue.buy()
        await venue.rest_entry()
        file = HeartbeatFile(venue.layout.heartbeat)
        file.write(venue.beat())
        async with Watching(venue, lease_s=60.0) as watch:
            answer = await watch.guard.handle(ControlRequest(command="halt", reason="news"))
            assert answer["halted"]
            assert answer["cancelled"] == 1
            assert len(await venue.open()) == 1
            assert read_latch(venue.layout.latch).reason == "operator: news"
            await watch.guard.handle(ControlRequest(command="flatten", reason="enough"))
            assert await venue.open() == []
            assert abs(await venue.held() - before) < Decimal("0.0001")
        file.close()


async def test_a_venue_that_is_down_is_tried_until_it_is_back(tmp_path):
    async with venue_of(Market.USDM, tmp_path) as venue:
        await venue.buy()
        await venue.rest_entry()
        fault = {"kind": "server_error", "market": "usdm", "call": "*", "accepted": False, "code": -1001, "count": 0, "name": "down"}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{venue.rest}/sim/faults", json=fault) as response:
                assert response.status == 201, await response.text()
            file = HeartbeatFile(venue.layout.heartbeat)
            file.write(venue.beat(age_s=10.0))
            async with Watching(venue, lease_s=1.0) as watch:
                await watch.until(lambda status: status["problem"] != "")
                assert watch.guard._status()["halted"], "the latch does not wait for the venue"
                async with session.delete(f"{venue.rest}/sim/faults/down") as response:
                    assert response.status == 200
                await watch.until(lambda status: status["is_settled"])
                assert [name[:3] for name, _, _ in await venue.open()] == ["smg"]
            file.close()


async def test_an_order_of_the_guard_that_the_daemon_adopts_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("smartmoney.runtime.guard.HAND_OVER_S", 0.5)
    async with venue_of(Market.USDM, tmp_path) as venue:
        await venue.buy()
        file = HeartbeatFile(venue.layout.heartbeat)
        file.write(venue.beat(age_s=10.0))
        async with Watching(venue, lease_s=2.0) as watch:
            await watch.until(lambda status: status["is_settled"])
            ((name, _, _),) = await venue.open()
            assert OURS.fullmatch(name), "in the form of the daemon's own ids: a daemon takes it over by that"
            adopted = WorkingOrder(client_order_id=name, symbol="BTCUSDT", side=Side.SELL, is_entry=False, filled=Decimal(0))
            beat = lambda: file.write(venue.beat(orders=(adopted,)))  # noqa: E731
            await watch.until(lambda status: status["lease"] == "fresh" and not status["is_acting"], beat)
            await watch.until(lambda _: watch.guard._handing_over is None, beat)
            assert [kept for kept, _, _ in await venue.open()] == [name]
        file.close()

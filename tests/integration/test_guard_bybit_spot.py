"""The guard's hands on Bybit's spot: it sells what our orders bought and nothing else, and knows a stop that would not act."""

import time
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from smartmoney.adapters.guard_venue import LookFailed
from smartmoney.adapters.heartbeat import WorkingOrder
from smartmoney.core.domain.orders import Side
from smartmoney.runtime.terms import guard_options
from smartmoney.settings.models import Settings
from tests.waiting import until

from .bybit_spot_venue import BybitSpotVenue
from .scripted_venue import Script
from .test_guard_perpetuals import RUN, Guarded, guarded

BOUGHT = Decimal("0.011988")
"""What 0.012 are without the fee."""


class Spot(Guarded):
    def put(self, name, base, *, price="", trigger="", side="Buy"):
        """Let an order of the daemon's, or of a person, stand at the venue."""
        params = {"orderLinkId": name, "side": side, "qty": str(base), "orderType": "Limit" if price else "Market"}
        params |= {"price": price} if price else {"marketUnit": "baseCoin"}
        params |= {"triggerPrice": trigger, "orderFilter": "tpslOrder"} if trigger else {}
        return self.venue.orders[self.venue._order_create(params)["result"]["orderId"]]

    def buy(self, name=f"sm{RUN}-5-0", base="0.012"):
        """Buy through a resting order of ours that trades now."""
        order = self.put(name, base, price="60000")
        self.venue.execute(order, base, "60000")
        return order

    def beat(self, stop="58000", orders=(), position=BOUGHT):
        said = super().beat(stop, orders)
        (carried,) = said.carried
        return type(said)(**{**as_fields(said), "carried": (type(carried)(**{**as_fields(carried), "position": position}),)})

    async def position(self, beat):
        return await self.there.position(beat, beat.carried[0])


def as_fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@asynccontextmanager
async def spot(tmp_path):
    async with guarded("bybit", tmp_path, Spot, BybitSpotVenue) as here:
        yield here


async def test_entries_go_the_stop_stays_and_what_is_of_others_is_left_alone(tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.put(f"sm{RUN}-7-0", BOUGHT, trigger="58000", side="Sell")
        here.put(f"sm{RUN}-6-0", "0.01", price="50000")
        here.put("byhand", "0.01", price="50000")
        await here.settle()
        assert here.live() == ["byhand", f"sm{RUN}-7-0"]
        assert (here.hands.cancelled, here.hands.placed) == (1, 0)


async def test_what_has_no_stop_gets_one_where_it_was_for_all_of_it(tmp_path):
    async with spot(tmp_path) as here:
        here.venue.coins["BTC"] = Decimal(2)  # its owner's
        here.buy()
        await here.settle()
        (stop,) = here.venue.stops()
        assert (stop.quantity, stop.trigger, stop.client_id[:3]) == (BOUGHT, "58000", "smg")
        await here.settle()
        assert here.hands.placed == 1


async def test_a_stop_of_another_size_makes_room_for_the_right_one(tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.put(f"sm{RUN}-7-0", "0.01", trigger="58000", side="Sell")
        await here.settle()
        (stop,) = here.venue.stops()
        assert stop.quantity == BOUGHT
        assert here.venue.held_for_orders("BTC") == BOUGHT


async def test_a_stop_that_waits_for_a_rise_is_none_and_what_it_should_have_sold_is_sold(tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.venue.price = Decimal(57_900)
        idle = here.put(f"sm{RUN}-7-0", BOUGHT, trigger="58000", side="Sell")
        assert idle.waits_for_rise
        await here.settle()
        assert here.venue.coins["BTC"] == 0
        assert here.live() == []
        assert (here.hands.closed, here.hands.placed) == (1, 0)


async def test_a_flatten_sells_ours_and_not_a_coin_more_though_a_daemon_that_lives_does_not_know_of_it_yet(tmp_path):
    """Each round is told by a fresh heartbeat, with the position from before the sale."""
    async with spot(tmp_path) as here:
        here.venue.coins["BTC"] = Decimal(2)
        here.buy()
        here.put(f"sm{RUN}-7-0", BOUGHT, trigger="58000", side="Sell")
        for _ in range(5):
            last_ms = time.time_ns() // 10**6
            await until(lambda last_ms=last_ms: time.time_ns() // 10**6 > last_ms, "pictures are told apart by milliseconds", every_s=0.001)
            await here.hands.settle(here.beat(), flatten=True)
        assert here.venue.coins["BTC"] == 2
        assert here.live() == []
        assert here.hands.closed == 1


async def test_what_our_orders_traded_after_the_picture_is_counted_and_what_it_holds_is_not(tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.venue.price = Decimal(60_000)
        working = here.put(f"sm{RUN}-9-0", "0.02", price="59000")
        here.venue.execute(working, "0.004", "59000")
        order = {"client_order_id": f"sm{RUN}-9-0", "symbol": "BTCUSDT", "side": Side.BUY, "is_entry": True}
        picture = here.beat(orders=(WorkingOrder(**order, filled=Decimal("0.004")),), position=BOUGHT + Decimal("0.003996"))
        assert await here.position(picture) == BOUGHT + Decimal("0.003996")
        here.venue.execute(working, "0.006", "59000")
        assert await here.position(picture) == BOUGHT + Decimal("0.003996") + Decimal("0.005994")
        late = here.put(f"sm{RUN}-11-0", "0.01", price="59000")  # made by an entry after the picture
        here.venue.execute(late, "0.01", "59000")
        assert await here.position(picture) == BOUGHT + Decimal("0.003996") + Decimal("0.005994") + Decimal("0.00999")
        sold = here.put("smg1a2b-1-0", "0.01", price="60000", side="Sell")
        here.venue.execute(sold, "0.01", "60000")
        assert await here.position(picture) == BOUGHT + Decimal("0.003996") + Decimal("0.005994") - Decimal("0.00001")


async def test_a_fee_in_another_coin_is_not_taken_off_what_was_bought(tmp_path):
    async with spot(tmp_path) as here:
        here.venue.fee_coin, here.venue.coins["MNT"] = "MNT", Decimal(1000)
        order = here.put(f"sm{RUN}-11-0", "0.01", price="60000")
        here.venue.execute(order, "0.01", "60000")
        assert await here.position(here.beat(position=Decimal(0))) == Decimal("0.01")


async def test_more_is_not_ours_than_there_is(tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.venue.coins["BTC"] = Decimal("0.005")  # somebody sold it
        assert await here.position(here.beat()) == Decimal("0.005")


@pytest.mark.parametrize("path", ["v5/market/tickers", "v5/account/wallet-balance", "v5/execution/list", "v5/order/realtime"])
async def test_what_cannot_be_read_is_not_seen(path, tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.put(f"sm{RUN}-7-0", BOUGHT, trigger="58000", side="Sell")
        for body in ({"retCode": 0, "result": {"list": [{}]}}, {"retCode": 10016, "retMsg": "server error"}):
            here.venue.script(path, Script(body=body))
            with pytest.raises(LookFailed):
                await here.hands.settle(here.beat(), flatten=False)
        assert here.hands.cancelled == here.hands.placed == 0


async def test_an_order_whose_answer_is_lost_is_placed_once(tmp_path):
    async with spot(tmp_path) as here:
        here.buy()
        here.venue.script("v5/order/create", Script(status=502, body="<html>", does=True))
        await here.settle()
        assert len(here.venue.stops()) == 1
        assert here.hands.placed == 0


def test_the_guard_goes_to_spot_where_the_daemon_does(tmp_path):
    options = guard_options(Settings(mode="live", venue="ccxt:bybit", market="spot", capital=500), tmp_path)
    assert (options.access.venue, options.access.market.value, options.access.rest) == ("bybit", "spot", "https://api.bybit.com")

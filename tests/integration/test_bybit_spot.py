"""Spot at Bybit: the stop stands alone and holds what it is to sell; the target is watched and taken; fees stay in what was bought."""

from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec

from smartmoney.core.domain.entries import OrderAccepted, OrderRejected
from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderType, PositionReport, Purpose, Side
from smartmoney.core.execution.parameters import EntryStyle
from tests.waiting import until

from .bybit_spot_venue import BybitSpotVenue
from .ccxt_gateways import CcxtUnder, trading
from .ccxt_trader import Trader, trader_at
from .scripted_venue import Script, serving

LOTS = 12_000
"""0.012 BTC in lots of a millionth."""


def spot():
    return trading(BybitSpotVenue, "bybit")


def stop_of(under, lots):
    intent = under.intent(Side.SELL, OrderType.STOP_MARKET, lots, stop_ticks=580_000, reduce_only=True, purpose=Purpose.STOP)
    return msgspec.structs.replace(intent, oco_group=intent.client_order_id)


@asynccontextmanager
async def holding():
    """Yield a trader that has bought and is protected."""
    async with trader_at(BybitSpotVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(LOTS)
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: venue.stops() and trader.executor.is_protected(0))
        yield trader, venue


async def test_what_is_bought_less_the_fee_is_held_and_the_stop_is_for_exactly_that():
    async with holding() as (trader, venue):
        held = trader.executor.portfolio
        assert venue.coins["BTC"] == Decimal("0.011988") == held.position(0).quantity
        (stop,) = venue.stops()
        assert (stop.quantity, stop.trigger, stop.side) == (Decimal("0.011988"), "58000", "Sell")
        assert venue.coins["BTC"] == venue.held_for_orders("BTC"), "the stop holds all of it"
        assert [order for order in venue.orders.values() if order.is_live] == [stop], "the target is none of the venue's orders"
        assert trader.sent[-1].target_ticks == 660_000
        assert held.fees_other == {}
        assert trader.halted is None


async def test_the_target_is_taken_when_the_price_reaches_it_and_the_stop_makes_room_first():
    async with holding() as (trader, venue):
        (stop,) = venue.stops()
        venue.fills_markets = True
        await venue.move("66000")
        trader.bid, trader.ask = 660_000, 660_001
        await trader.until(lambda: trader.executor.is_flat)
        exit_order = trader.sent[-1]
        assert (exit_order.purpose, exit_order.type, exit_order.lots) == (Purpose.EXIT, OrderType.LIMIT, 11_988)
        assert not stop.is_live
        assert venue.coins["BTC"] == 0
        assert trader.executor.take_closed_trades()[-1].reason == "target"
        assert trader.halted is None


async def test_a_stop_that_acts_keeps_its_number_and_ends_the_position():
    async with holding() as (trader, venue):
        await venue.move("57990")
        await trader.until(lambda: trader.executor.is_flat)
        assert venue.coins["BTC"] == 0
        assert trader.executor.take_closed_trades()[-1].reason == "stop"
        await trader.for_a_while()
        assert trader.halted is None


async def test_a_stop_that_came_when_the_market_had_passed_it_does_nothing_and_what_is_held_is_closed():
    async with trader_at(BybitSpotVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(LOTS)
        venue.price = Decimal(57_900)  # while the stop is on its way
        venue.fills_markets = True
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: venue.stops() and trader.executor.is_protected(0))
        (stop,) = venue.stops()
        assert stop.waits_for_rise
        trader.bid, trader.ask = 579_000, 579_001
        await trader.until(lambda: trader.executor.is_flat)
        assert not stop.is_live
        assert venue.coins["BTC"] == 0
        assert trader.executor.take_closed_trades()[-1].reason == "stop_passed"


async def test_an_addition_replaces_the_stop_and_never_asks_for_more_than_there_is():
    async with holding() as (trader, venue):
        (old,) = venue.stops()
        entry = trader.enter(20_000)
        await trader.until(lambda: trader.executor.ledger.get(entry.client_order_id).venue_order_id)
        record = trader.under.record(entry)
        await venue.fill(entry.client_order_id, f"{record.quantity:f}", "60000")
        await trader.until(lambda: trader.is_covered and not old.is_live)
        (stop,) = venue.stops()
        assert venue.coins["BTC"] - stop.quantity < Decimal("0.000001"), "all but what is less than a lot"
        assert not [each for each in trader.under.said.all if isinstance(each, OrderRejected)]


async def test_a_fee_that_is_paid_in_another_coin_leaves_what_was_bought_alone():
    async with trader_at(BybitSpotVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        venue.fee_coin = "MNT"
        venue.coins["MNT"] = Decimal(1000)
        entry = await trader.resting(LOTS)
        venue.is_muted = True  # by the list, where ccxt does not say in what it was paid
        await venue.fill(entry.client_order_id, "0.012", "60000")
        trader.under.gateway.request_account(0)
        await trader.until(venue.stops)
        assert venue.stops()[0].quantity == Decimal("0.012")
        assert list(trader.executor.portfolio.fees_other) == ["MNT"]


async def test_a_lost_answer_to_a_stop_leaves_one_stop_and_a_cancel_finds_it_among_the_stops():
    async with spot() as under:
        bought = await under.resting()
        await under.venue.fill(bought.client_order_id, f"{under.record(bought).quantity:f}", "59000")
        under.venue.script("v5/order/create", Script(status=502, body="<html>", does=True))
        stop = stop_of(under, 11)
        await under.accepted(stop)
        assert under.venue.made(stop.client_order_id) == 1
        assert len(under.said.of(stop.client_order_id, OrderAccepted)) == 1
        under.cancel(stop.client_order_id)
        await under.until(lambda: "OrderCanceled" in under.kinds(stop.client_order_id))
        assert not under.record(stop).is_live


async def test_what_lay_on_the_account_before_is_not_ours_and_a_stop_by_hand_is_left_alone():
    async with serving(BybitSpotVenue()) as venue:
        venue.coins["BTC"] = Decimal(3)
        under = CcxtUnder(venue, "bybit")
        await under.make()
        async with under.running():
            trader = Trader(under, entry=EntryStyle.TAKER)
            entry = await trader.resting(LOTS)
            await venue.fill(entry.client_order_id, "0.012", "60000")
            await trader.until(lambda: trader.executor.is_protected(0) and venue.stops())
            (report,) = (await under.report()).positions
            assert report.quantity == Decimal("0.011988")
            assert trader.halted is None


class Overtaken(BybitSpotVenue):
    """Let something happen, and be told, after the balances were looked up and before they arrive."""

    meanwhile = None

    async def _any(self, request):
        response = await super()._any(request)
        if self.meanwhile is not None and request.path == "/v5/account/wallet-balance":
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return response


async def test_what_is_of_others_is_not_measured_while_an_order_of_ours_trades():
    async with serving(Overtaken()) as venue:
        venue.coins["BTC"] = Decimal(3)
        under = CcxtUnder(venue, "bybit")
        entry = OrderIntent(
            client_order_id="smold-1-0",
            instrument=0,
            side=Side.BUY,
            type=OrderType.LIMIT,
            lots=LOTS,
            purpose=Purpose.ENTRY,
            price_ticks=600_000,
        )
        params = {"orderLinkId": "smold-1-0", "side": "Buy", "orderType": "Limit", "qty": "0.012", "price": "60000", "category": "spot"}
        number = venue._order_create(params)["result"]["orderId"]

        async def happens():
            await venue.subscribed(2)
            await venue.fill("smold-1-0", "0.012")
            await until(lambda: under.said.filled("smold-1-0"), "the stream tells of the fill")

        venue.meanwhile = happens
        await under.make(orders=(OrderReport(intent=entry, venue_order_id=number),))
        async with under.running():
            assert venue.meanwhile is None
            assert [each.quantity for each in (await under.report()).positions] == [Decimal("0.011988")]


async def test_a_restart_takes_the_stop_over_with_its_target():
    async with holding() as (trader, venue):
        (report,) = trader.executor.ledger.reports()
        held = trader.executor.portfolio.position(0)
        later = CcxtUnder(venue, "bybit")
        await later.make(since_ms=venue.clock_ms() + 1, orders=(report,))
        later.gateway._reader._ours[0] = held.quantity
        async with later.running():
            second = Trader(later, positions=(PositionReport(instrument=0, quantity=held.quantity, cost=held.cost),))
            second.carry_out(second.executor.restore((report,), second.view()))
            later.gateway.request_account(0)
            await second.for_a_while()
            assert second.executor.plan(0).target_ticks == 660_000
            assert len(venue.stops()) == 1
            assert second.halted is None

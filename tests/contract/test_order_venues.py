"""What every order venue promises the executor, held against each: paper, a live account on the built-in exchange, natively and by ccxt.pro,
and Bybit and OKX by ccxt.pro on venues that answer as their pages say."""

import asyncio

import pytest

from smartmoney.core.domain.entries import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    SendRefused,
)
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import OrderType, Purpose, Side, TimeInForce
from tests.contract.venues import under_test

EVERY = pytest.mark.parametrize(
    "name", ["paper-spot", "paper-usdm", "live-spot", "live-usdm", "ccxt-spot", "ccxt-usdm", "bybit", "okx", "bybit-spot"]
)
ENDS = (OrderCanceled, OrderExpired, OrderRejected, SendRefused)


@EVERY
async def test_c1_a_resting_order_is_accepted_once_reported_and_cancelled_once(name):
    async with under_test(name) as venue:
        order = venue.intent(price_ticks=venue.touch()[0] - 30_000)
        await venue.accepted(order)
        report = await venue.report()
        assert [each.intent for each in report.orders] == [order]
        assert report.orders[0].venue_order_id
        assert report.orders[0].filled_lots == 0
        venue.cancel(order.client_order_id)
        await venue.until(lambda: venue.said.of(order.client_order_id, OrderCanceled))
        assert (await venue.report()).orders == ()
        assert [type(each) for each in venue.said.of(order.client_order_id)] == [OrderAccepted, OrderCanceled]
        assert await venue.working() == []


@EVERY
async def test_c2_an_immediate_order_fills_exactly_and_the_position_is_its_fills(name):
    async with under_test(name) as venue:
        order = await venue.bought(700)
        fills = venue.said.of(order.client_order_id, OrderFilled)
        assert sum(each.fill.lots for each in fills) == venue.lots(700)
        assert len({each.fill.trade_id for each in fills}) == len(fills)
        assert all(each.fill.side is Side.BUY and each.fill.fee > 0 for each in fills)
        assert type(venue.said.of(order.client_order_id)[0]) is OrderAccepted
        report = await venue.report()
        assert report.orders == ()
        quantity = next((each.quantity for each in report.positions), 0)
        fees = sum(each.fill.fee for each in fills if each.fill.fee_asset == venue.instrument.base)
        assert quantity == venue.instrument.quantity(venue.lots(700)) - fees
        assert await venue.held_lots() == venue.instrument.floor_lots(quantity)


@EVERY
async def test_c3_what_an_immediate_order_does_not_find_expires(name):
    async with under_test(name) as venue:
        order = venue.intent(price_ticks=venue.touch()[0] - 500, time_in_force=TimeInForce.IOC)
        venue.submit(order)
        await venue.until(lambda: venue.said.of(order.client_order_id, OrderExpired))
        assert not venue.said.of(order.client_order_id, OrderFilled)
        assert await venue.held_lots() == 0


@EVERY
async def test_c4_an_order_that_makes_no_sense_is_refused_and_leaves_nothing(name):
    async with under_test(name) as venue:
        bid, ask = venue.touch()
        for order in (
            venue.intent(lots=1, price_ticks=bid - 30_000),  # below the smallest notional
            venue.intent(price_ticks=ask + 1_000, post_only=True),  # would take
            venue.intent(lots=10**9, price_ticks=bid - 10),  # nobody has so much money
        ):
            venue.submit(order)
            await venue.until(lambda order=order: venue.said.of(order.client_order_id, *ENDS))
            # Binance takes a post-only order of USD-M and lets it expire; what counts is that it is over and has not traded.
            assert not venue.said.of(order.client_order_id, OrderFilled)
        assert await venue.working() == []


@EVERY
async def test_c5_the_cancel_of_an_order_that_is_not_there_says_so(name):
    async with under_test(name) as venue:
        venue.cancel("smnobody-1-0")
        await venue.until(lambda: venue.said.of("smnobody-1-0", CancelRejected))


@EVERY
async def test_c6_a_client_id_is_one_order_whatever_is_sent(name):
    async with under_test(name) as venue:
        order = venue.intent(price_ticks=venue.touch()[0] - 30_000)
        await venue.accepted(order)
        venue.submit(order)
        for _ in range(20):
            await venue.turn()
        assert await venue.orders_named(order.client_order_id) == 1
        venue.cancel(order.client_order_id)
        await venue.until(lambda: venue.said.of(order.client_order_id, OrderCanceled))
        assert await venue.working() == []


@EVERY
async def test_c7_a_stop_and_its_target_or_the_stop_alone_stand_and_go_together(name):
    async with under_test(name) as venue:
        await venue.bought(1000)
        held = await venue.held_lots()
        bid, ask = venue.touch()
        orders = venue.protection(held, bid - 30_000, ask + 30_000)
        venue.submit(*orders)
        names = sorted(each.client_order_id for each in orders)
        await venue.until(lambda: all(venue.said.of(name, OrderAccepted) for name in names))
        assert await venue.working() == names
        report = await venue.report()
        assert sorted(each.intent.client_order_id for each in report.orders) == names
        venue.cancel(*names)
        await venue.until(lambda: all(venue.said.of(name, OrderCanceled) for name in names))
        assert await venue.working() == []
        assert await venue.held_lots() == held


@EVERY
async def test_c8_a_stop_that_is_reached_sells_what_it_protects_and_nothing_more(name):
    async with under_test(name) as venue:
        await venue.bought(1000)
        held = await venue.held_lots()
        bid, ask = venue.touch()
        orders = venue.protection(held, bid - 1_500, ask + 50_000)
        venue.submit(*orders)
        await venue.until(lambda: all(venue.said.of(each.client_order_id, OrderAccepted) for each in orders))
        await venue.shift(-30)
        stop, *targets = orders
        await venue.until(lambda: venue.said.filled(stop.client_order_id) == held)
        for target in targets:
            if venue.market is Market.USDM:
                venue.cancel(target.client_order_id)
            await venue.until(lambda target=target: venue.said.of(target.client_order_id, OrderCanceled, OrderExpired))
            assert venue.said.filled(target.client_order_id) == 0
        assert await venue.held_lots() == 0
        assert await venue.working() == []
        report = await venue.report()
        assert all(abs(each.quantity) < venue.instrument.lot_size for each in report.positions)


@EVERY
async def test_c9_a_position_is_closed_at_market_to_the_lot(name):
    async with under_test(name) as venue:
        await venue.bought(900)
        held = await venue.held_lots()
        order = venue.intent(Side.SELL, OrderType.MARKET, held, reduce_only=True, purpose=Purpose.FLATTEN, time_in_force=TimeInForce.IOC)
        venue.submit(order)
        await venue.until(lambda: venue.said.filled(order.client_order_id) == held)
        assert await venue.held_lots() == 0


@pytest.mark.parametrize("name", ["paper-usdm", "live-usdm", "ccxt-usdm", "bybit", "okx"])
async def test_c10_what_reduces_never_opens(name):
    async with under_test(name) as venue:
        order = venue.intent(Side.SELL, OrderType.MARKET, venue.lots(500), reduce_only=True, time_in_force=TimeInForce.IOC)
        venue.submit(order)
        await venue.until(lambda: venue.said.of(order.client_order_id, OrderRejected))
        await venue.bought(300)
        more = venue.intent(Side.SELL, OrderType.MARKET, venue.lots(500), reduce_only=True, time_in_force=TimeInForce.IOC)
        venue.submit(more)
        await venue.until(lambda: venue.said.filled(more.client_order_id) == venue.lots(300))
        await venue.until(lambda: venue.said.of(more.client_order_id, *ENDS))
        assert await venue.held_lots() == 0


@EVERY
async def test_c11_orders_sent_side_by_side_each_come_to_their_own_end(name):
    async with under_test(name) as venue:
        bid = venue.touch()[0]
        orders = [venue.intent(price_ticks=bid - 20_000 - 100 * n, lots=venue.lots(200)) for n in range(venue.at_once)]
        venue.submit(*orders)
        await venue.until(lambda: all(venue.said.of(each.client_order_id, OrderAccepted) for each in orders))
        assert await venue.working() == sorted(each.client_order_id for each in orders)
        venue.cancel(*[each.client_order_id for each in orders])
        await venue.until(lambda: all(venue.said.of(each.client_order_id, OrderCanceled) for each in orders))
        await asyncio.sleep(0)
        assert await venue.working() == []
        for each in orders:
            assert [type(said) for said in venue.said.of(each.client_order_id)] == [OrderAccepted, OrderCanceled]

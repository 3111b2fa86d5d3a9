"""A live gateway meets everything that an exchange does wrong, over real sockets; the exchange's own ledger judges.

Whatever happened, at the end: no client id is more than one order, what was told as fills is what the ledger has, and what is reported as
held and working is what is held and works.
"""

import asyncio
from contextlib import asynccontextmanager

import pytest

from smartmoney.core.domain.entries import (
    CancelRejected,
    HaltRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
    SendRefused,
)
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import OrderType, Purpose, Side, TimeInForce
from tests.contract.venues import live_under
from tests.waiting import until

pytestmark = pytest.mark.slow

_USDM = pytest.param(Market.USDM, marks=pytest.mark.campaign, id="usdm")
BOTH = pytest.mark.parametrize("market", [pytest.param(Market.SPOT, id="spot"), _USDM])
ORDERS = "POST order|POST algoOrder|POST orderList/*"


@asynccontextmanager
async def trading(market, with_stream=True):
    """Yield a running live gateway; at the end everything that it said must agree with the exchange's ledger."""
    async with live_under(market) as venue:
        venue.make()
        async with venue.running(with_stream=with_stream):
            yield venue
            await agrees(venue)


async def agrees(venue):
    """Wait until what was told is what the ledger has, and check that no id became two orders."""
    ours = {each.client_order_id for each in venue.said.all if isinstance(each, OrderAccepted)}
    ours |= {each.fill.client_order_id for each in venue.said.all if isinstance(each, OrderFilled)}
    for name in ours:
        assert await venue.orders_named(name) <= 1, name
    told = [each.fill.trade_id for each in venue.said.all if isinstance(each, OrderFilled)]
    assert len(told) == len(set(told)), "a trade was told twice"
    report = await venue.report()
    assert sorted(told) == sorted(str(fill["trade_id"]) for fill in await venue.fills())
    held = next((each.quantity for each in report.positions), 0)
    assert venue.instrument.floor_lots(abs(held)) == abs(await venue.held_lots())
    assert sorted(each.intent.client_order_id for each in report.orders) == await venue.working()


def taker(venue, lots=None, side=Side.BUY, **more):
    bid, ask = venue.touch()
    price = round(ask * 1.004) if side is Side.BUY else round(bid * 0.996)
    return venue.intent(side, lots=lots or venue.lots(300), price_ticks=price, time_in_force=TimeInForce.IOC, **more)


def filled_whole(venue, order):
    return lambda: venue.said.filled(order.client_order_id) == order.lots


@BOTH
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("server_error", {"accepted": True, "status": 503, "code": -1007}),
        ("server_error", {"accepted": True, "status": 502, "code": 0}),
        ("lost_answer", {"accepted": True, "how": "reset"}),
        ("lost_answer", {"accepted": True, "how": "hang"}),
        ("slow_answer", {"delay_s": 8.0}),
    ],
    ids=["503", "proxy", "reset", "hang", "slow"],
)
async def test_an_order_whose_answer_is_lost_is_found_by_its_id_and_never_sent_again(market, kind, keys):
    async with trading(market, with_stream=False) as venue:
        async with venue.fault(kind, call=ORDERS, count=1, **keys) as acted:
            order = taker(venue)
            venue.submit(order)
            await venue.until(filled_whole(venue, order))
            assert acted() == 1
        assert venue.said.of(order.client_order_id, OutcomeUnknown)
        assert await venue.orders_named(order.client_order_id) == 1


@BOTH
async def test_an_order_that_never_arrived_leaves_the_report_and_nothing_is_sent_again(market):
    async with trading(market) as venue:
        async with venue.fault("lost_answer", call=ORDERS, count=1, accepted=False, how="reset"):
            order = venue.intent(price_ticks=venue.touch()[0] - 30_000)
            venue.submit(order)
            await venue.until(lambda: venue.said.of(order.client_order_id, OutcomeUnknown))
        assert (await venue.report()).orders == ()
        assert await venue.orders_named(order.client_order_id) == 0
        assert not venue.said.of(order.client_order_id, OrderRejected, OrderCanceled), "not there yet is no proof"


@BOTH
async def test_a_stop_that_never_arrived_is_sent_again_under_its_own_id(market):
    async with trading(market) as venue:
        await venue.bought(1000)
        stop, target = venue.protection(await venue.held_lots(), round(venue.touch()[0] * 0.98), round(venue.touch()[1] * 1.02))
        async with venue.fault("lost_answer", call="POST algoOrder|POST orderList/*", count=1, accepted=False, how="reset") as acted:
            venue.submit(stop, target)
            await venue.until(lambda: venue.said.of(stop.client_order_id, OrderAccepted), 3)
            assert acted() == 1
        await venue.until(lambda: venue.said.of(target.client_order_id, OrderAccepted))
        assert venue.said.of(stop.client_order_id, OutcomeUnknown)
        assert await venue.working() == sorted([stop.client_order_id, target.client_order_id])


@BOTH
async def test_a_stop_that_is_there_and_not_visible_yet_stays_one(market):
    async with trading(market, with_stream=False) as venue:
        await venue.bought(1000)
        stop, target = venue.protection(await venue.held_lots(), round(venue.touch()[0] * 0.98), round(venue.touch()[1] * 1.02))
        async with (
            venue.fault("lost_answer", call="POST algoOrder|POST orderList/*", count=1, accepted=True, how="reset"),
            venue.fault("not_found", call="GET order|GET algoOrder") as hidden,
        ):
            venue.submit(stop, target)
            await venue.until(hidden)
        await venue.until(lambda: venue.said.of(stop.client_order_id, OrderAccepted))
        assert await venue.orders_named(stop.client_order_id) == 1
        assert await venue.working() == sorted([stop.client_order_id, target.client_order_id])


@BOTH
async def test_a_stop_that_is_not_wanted_any_more_is_not_sent_again(market):
    async with trading(market) as venue:
        await venue.bought(1000)
        stop, _ = venue.protection(await venue.held_lots(), round(venue.touch()[0] * 0.98), round(venue.touch()[1] * 1.02))
        async with venue.fault("lost_answer", call="POST algoOrder|POST order", count=1, accepted=False, how="reset"):
            venue.submit(stop)
            venue.cancel(stop.client_order_id)
            await venue.until(lambda: venue.said.of(stop.client_order_id, CancelRejected))
        await venue.report()
        assert await venue.orders_named(stop.client_order_id) == 0


@BOTH
async def test_an_order_that_is_not_visible_yet_is_not_thought_dead(market):
    async with trading(market, with_stream=False) as venue:
        async with (
            venue.fault("server_error", call=ORDERS, count=1, accepted=True, status=503, code=-1006),
            venue.fault("not_found", call="GET order|GET algoOrder|GET openOrder"),
        ):
            order = venue.intent(price_ticks=venue.touch()[0] - 30_000)
            venue.submit(order)
            await venue.until(lambda: venue.said.of(order.client_order_id, OutcomeUnknown))
        await venue.until(lambda: venue.said.of(order.client_order_id, OrderAccepted))
        assert [each.intent for each in (await venue.report()).orders] == [order]
        venue.cancel(order.client_order_id)
        await venue.until(lambda: venue.said.of(order.client_order_id, OrderCanceled))


@BOTH
async def test_fills_that_the_stream_loses_are_found_by_the_answer_and_by_polling(market):
    async with trading(market) as venue, venue.fault("lost_fill", count=0) as acted:
        order = taker(venue)
        venue.submit(order)
        await venue.until(filled_whole(venue, order))
        resting = venue.intent(price_ticks=venue.touch()[0] - 400)
        await venue.accepted(resting)
        await venue.shift(-20)
        await venue.until(filled_whole(venue, resting))
        assert acted() >= 1


@BOTH
async def test_fills_that_are_told_twice_or_late_count_once(market):
    async with trading(market) as venue:
        async with venue.fault("duplicate_fill", times=3, count=0), venue.fault("late_fill", delay_s=2, count=0, every=2):
            for side in (Side.BUY, Side.BUY, Side.BUY):
                order = taker(venue, side=side)
                venue.submit(order)
                await venue.until(filled_whole(venue, order))
        await asyncio.sleep(0)


@BOTH
async def test_a_fill_before_its_acknowledgement_is_a_fill_of_an_accepted_order(market):
    async with trading(market) as venue, venue.fault("fill_before_ack", wait_s=3, count=0):
        order = taker(venue)
        venue.submit(order)
        await venue.until(filled_whole(venue, order))
        assert [type(each) for each in venue.said.of(order.client_order_id, OrderAccepted)] == [OrderAccepted]


@BOTH
async def test_a_silent_stream_hides_nothing_for_long(market):
    async with trading(market) as venue, venue.fault("private_silence"):
        order = venue.intent(price_ticks=venue.touch()[0] - 300)
        await venue.accepted(order)
        await venue.shift(-20)
        await venue.until(filled_whole(venue, order))


@BOTH
async def test_a_stream_that_is_cut_comes_back_and_what_happened_meanwhile_is_told(market):
    async with trading(market) as venue:
        order = venue.intent(price_ticks=venue.touch()[0] - 300)
        await venue.accepted(order)
        ups = len(venue.said.reports())
        for client in list(venue.server.sites[market].clients):
            await client.close(1001, b"cut")
        await venue.shift(-20)
        await venue.until(filled_whole(venue, order))
        await venue.until(lambda: venue.gateway.is_stream_up and len(venue.said.reports()) > ups)


@BOTH
async def test_a_cancel_that_comes_too_late_finds_the_fill(market):
    async with trading(market, with_stream=False) as venue:
        order = venue.intent(price_ticks=venue.touch()[0] - 200)
        await venue.accepted(order)
        await venue.shift(-20)
        held = []

        async def is_filled():
            held[:] = [await venue.held_lots()]
            return held[0] >= order.lots * 0.99

        await until(is_filled, "the exchange fills it", seen=lambda: held)
        venue.cancel(order.client_order_id)
        await venue.until(filled_whole(venue, order))
        assert not venue.said.of(order.client_order_id, OrderCanceled, CancelRejected)


@BOTH
async def test_a_cancel_whose_answer_is_lost_is_found_out(market):
    async with trading(market, with_stream=False) as venue:
        order = venue.intent(price_ticks=venue.touch()[0] - 30_000)
        await venue.accepted(order)
        async with venue.fault("lost_answer", call="DELETE *", accepted=True, how="reset", count=1):
            venue.cancel(order.client_order_id)
            await venue.until(lambda: venue.said.of(order.client_order_id, OutcomeUnknown, OrderCanceled))
        await venue.report()
        assert venue.said.of(order.client_order_id, OrderCanceled)


@BOTH
@pytest.mark.parametrize("told", [True, False])
async def test_a_stop_that_vanishes_is_missed_in_the_next_report(market, told):
    async with trading(market) as venue:
        await venue.bought(1000)
        held = await venue.held_lots()
        bid, _ = venue.touch()
        stop = venue.intent(Side.SELL, OrderType.STOP_MARKET, held, stop_ticks=bid - 30_000, reduce_only=True, purpose=Purpose.STOP)
        await venue.accepted(stop)
        async with venue.fault("vanished_stop", told=told):
            await venue.until(lambda: venue.said.of(stop.client_order_id, OrderCanceled))
        assert (await venue.report()).orders == ()


@BOTH
async def test_a_human_who_trades_is_noticed(market):
    async with trading(market) as venue:
        await venue.bought(500)
        quantity = f"{venue.instrument.quantity(venue.lots(100)):f}"
        done = await venue.by_hand("POST", "order", side="BUY", type="MARKET", quantity=quantity, newClientOrderId="web_by-hand")
        assert done["clientOrderId"] == "web_by-hand"
        if market is Market.SPOT:
            # What somebody else buys on spot is not ours: it is not booked, but nothing is entered any more.
            await venue.until(lambda: any(isinstance(each, HaltRequested) for each in venue.said.all))
            assert "somebody else" in next(each.reason for each in venue.said.all if isinstance(each, HaltRequested))
            before = await venue.report()
            assert before.positions[0].quantity > venue.instrument.quantity(venue.lots(500))
            left = f"{venue.instrument.quantity(venue.lots(100) * 999 // 1000):f}"  # the purchase has paid its fee
            await venue.by_hand("POST", "order", side="SELL", type="MARKET", quantity=left)
        else:
            await venue.until(lambda: venue.said.filled("web_by-hand") == venue.lots(100))
        venue.said.all = [each for each in venue.said.all if not isinstance(each, HaltRequested)]
        report = await venue.report()
        if market is Market.USDM:
            assert report.positions[0].quantity == venue.instrument.quantity(venue.lots(500) + venue.lots(100))
        venue.fills = lambda: _only_told(venue)


async def _only_told(venue):
    told = {each.fill.trade_id for each in venue.said.all if isinstance(each, OrderFilled)}
    return [fill for fill in await type(venue).fills(venue) if str(fill["trade_id"]) in told]


@BOTH
async def test_a_stranger_s_resting_order_is_left_alone(market):
    async with trading(market) as venue:
        price = f"{venue.instrument.price(venue.touch()[0] // 2 * 2 - 30_000):f}"
        params = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": price}
        quantity = f"{venue.instrument.quantity(venue.lots(200)):f}"
        await venue.by_hand("POST", "order", quantity=quantity, newClientOrderId="web_rests", **params)
        assert (await venue.report()).orders == ()
        assert await venue.working() == ["web_rests"]
        await venue.by_hand("DELETE", "order", origClientOrderId="web_rests")


@BOTH
async def test_money_that_does_not_suffice_is_refused_once_and_then_not_asked_for(market):
    async with trading(market) as venue:
        async with venue.fault(
            "reject", code=-2010 if market is Market.SPOT else -2019, message="Account has insufficient balance", count=1
        ):
            order = taker(venue)
            venue.submit(order)
            await venue.until(lambda: venue.said.of(order.client_order_id, OrderRejected))
        again = taker(venue)
        venue.submit(again)
        await venue.until(lambda: venue.said.of(again.client_order_id, SendRefused))
        assert await venue.orders_named(again.client_order_id) == 0


@BOTH
async def test_a_busy_venue_is_left_alone_but_for_what_protects(market):
    async with trading(market) as venue:
        await venue.bought(1000)
        held = await venue.held_lots()
        bid, _ = venue.touch()
        async with venue.fault("rate_limit", call=ORDERS, count=1, retry_after_s=2):
            entry = taker(venue)
            venue.submit(entry)
            await venue.until(lambda: venue.said.of(entry.client_order_id, OrderRejected, SendRefused))
            asked = venue.account.requests
            stop = venue.intent(Side.SELL, OrderType.STOP_MARKET, held, stop_ticks=bid - 30_000, reduce_only=True, purpose=Purpose.STOP)
            venue.submit(stop)
            await venue.until(lambda: venue.said.of(stop.client_order_id, OrderAccepted))
            assert venue.account.requests > asked
        venue.cancel(stop.client_order_id)
        await venue.until(lambda: venue.said.of(stop.client_order_id, OrderCanceled))


@BOTH
async def test_a_refused_key_halts_once_and_is_not_asked_in_a_loop(market):
    async with live_under(market) as venue:
        venue.make()
        async with venue.running():
            async with venue.fault("key_revoked"):
                order = taker(venue)
                venue.submit(order)
                await venue.until(lambda: venue.said.of(order.client_order_id, OrderRejected))
                asked = venue.account.requests
                for _ in range(20):
                    await venue.turn()
                assert venue.account.requests - asked <= 4
            assert len([each for each in venue.said.all if isinstance(each, HaltRequested)]) == 1
            await venue.report()


@BOTH
async def test_a_refused_timestamp_is_measured_anew_and_the_order_sent_once_more(market):
    async with trading(market) as venue:
        async with venue.fault("clock_skew", call=ORDERS, count=1) as acted:
            order = taker(venue)
            venue.submit(order)
            await venue.until(filled_whole(venue, order))
            assert acted() == 1
        assert await venue.orders_named(order.client_order_id) == 1


@BOTH
async def test_a_clock_that_jumps_stops_entries_and_nothing_else(market):
    async with trading(market) as venue:
        await venue.bought(500)
        held = await venue.held_lots()
        async with venue.fault("clock_offset", offset_s=20):
            await venue.account.sync_clock()
            entry = taker(venue)
            venue.submit(entry)
            await venue.until(lambda: venue.said.of(entry.client_order_id, SendRefused))
            exit_order = venue.intent(Side.SELL, OrderType.MARKET, held, reduce_only=True, time_in_force=TimeInForce.IOC)
            venue.submit(exit_order)
            await venue.until(filled_whole(venue, exit_order))
        await venue.account.sync_clock()


@BOTH
async def test_nothing_is_entered_once_the_latch_stands(market):
    async with trading(market) as venue:
        await venue.bought(500)
        held = await venue.held_lots()
        venue.latched = True
        entry = taker(venue)
        venue.submit(entry)
        await venue.until(lambda: venue.said.of(entry.client_order_id, SendRefused))
        assert await venue.orders_named(entry.client_order_id) == 0
        exit_order = venue.intent(Side.SELL, OrderType.MARKET, held, reduce_only=True, time_in_force=TimeInForce.IOC)
        venue.submit(exit_order)
        await venue.until(filled_whole(venue, exit_order))


async def test_a_refused_target_does_not_cost_the_stop():
    async with trading(Market.SPOT) as venue:
        await venue.bought(1000)
        held = await venue.held_lots()
        bid, _ = venue.touch()
        stop, target = venue.protection(held, bid - 30_000, bid - 20_000)  # a target below the market: the venue refuses the pair
        venue.submit(stop, target)
        await venue.until(lambda: venue.said.of(stop.client_order_id, OrderAccepted))
        assert venue.said.of(target.client_order_id, OrderRejected)
        assert await venue.working() == [stop.client_order_id]


async def test_a_position_that_the_venue_takes_over_is_booked():
    async with trading(Market.USDM) as venue:
        await venue.bought(1000)
        async with venue.fault("liquidation"):
            await venue.until(
                lambda: sum(each.fill.lots * each.fill.side.sign for each in venue.said.all if isinstance(each, OrderFilled)) == 0
            )
        names = {each.fill.client_order_id for each in venue.said.all if isinstance(each, OrderFilled)}
        assert any(name.startswith("autoclose-") for name in names)
        assert (await venue.report()).positions[0].quantity == 0


@BOTH
async def test_maintenance_is_waited_for_and_everything_is_as_it_was(market):
    async with trading(market) as venue:
        resting = venue.intent(price_ticks=venue.touch()[0] - 30_000)
        await venue.accepted(resting)
        async with venue.fault("maintenance"):
            await venue.until(lambda: not venue.gateway.is_stream_up)
            order = taker(venue)
            venue.submit(order)
            await venue.until(lambda: venue.said.of(order.client_order_id, OutcomeUnknown))
        await venue.until(lambda: venue.gateway.is_stream_up)
        assert [each.intent for each in (await venue.report()).orders] == [resting]
        assert not venue.said.of(resting.client_order_id, OrderCanceled, OrderExpired)

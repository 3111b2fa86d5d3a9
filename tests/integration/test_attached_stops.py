"""Stops that travel with their entries at Bybit and OKX: no fill is naked there, and what the venue made is the one stop that there is."""

from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.domain.entries import OrderRejected
from smartmoney.core.domain.orders import OrderType, PositionReport, Purpose, attached_id
from smartmoney.core.execution.parameters import AttachedStops, EntryStyle
from smartmoney.runtime.live_attached import SHOWS_S

from .bybit_venue import BybitVenue
from .ccxt_gateways import CcxtUnder
from .ccxt_trader import Trader, trader_at
from .okx_venue import OkxVenue

CREATE, PLACE, PLACE_STOP = "v5/order/create", "api/v5/trade/order", "api/v5/trade/order-algo"


def plain(trader):
    """Return the stops that were placed by themselves."""
    return [each for each in trader.sent if each.type is OrderType.STOP_MARKET and not each.is_attached]


def targets(venue):
    return [order for order in venue.orders.values() if order.is_live and order.reduces and not order.trigger]


# ---- Bybit: the position's own stop


async def test_bybit_an_entry_carries_its_stop_and_no_fill_is_ever_naked():
    async with trader_at(BybitVenue, "bybit") as (trader, venue):
        entry = await trader.resting(12)
        (sent,) = venue.asked(CREATE)
        assert (sent["stopLoss"], sent["tpslMode"], sent["slTriggerBy"], sent["slOrderType"]) == ("58000", "Full", "LastPrice", "Market")
        await venue.fill(entry.client_order_id, "0.005", "60000")
        await trader.until(lambda: trader.is_covered and len(targets(venue)) == 1)
        await venue.fill(entry.client_order_id, "0.007", "60000")
        await trader.until(lambda: trader.is_covered and [order.quantity for order in targets(venue)] == [venue.position])
        assert venue.naked == []
        assert plain(trader) == [], "what the venue made is enough"
        assert len(venue.position_stops()) == 1
        assert trader.executor.ledger.get(attached_id(entry.client_order_id)).leaves == 12
        assert trader.halted is None


@pytest.mark.parametrize("names_parents", [True, False])
async def test_bybit_a_stop_without_a_name_is_known_by_its_parent_or_by_where_it_lies(names_parents):
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        venue.names_parents = names_parents
        entry = await trader.resting(12)
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered)
        (stop,) = venue.position_stops()
        await venue.trigger(stop, "57990")
        await trader.until(lambda: trader.executor.is_flat)
        (closed,) = trader.executor.take_closed_trades()
        assert closed.reason == "stop"
        assert trader.halted is None
        assert venue.stops() == targets(venue) == []


async def test_bybit_a_target_that_is_cut_has_the_stop_resized_by_the_venue_and_by_nobody_else():
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered and targets(venue))
        (target,) = targets(venue)
        await venue.fill(target.client_id, "0.004", "66000")
        await trader.until(lambda: trader.is_covered and [order.quantity - order.filled for order in targets(venue)] == [venue.position])
        assert plain(trader) == []
        (stop,) = venue.position_stops()
        assert stop.is_live
        assert trader.halted is None


async def test_bybit_a_position_that_grows_keeps_its_one_stop():
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        first = await trader.resting(12)
        await venue.fill(first.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered and targets(venue))
        second = await trader.resting(20)
        assert "stopLoss" not in venue.asked(CREATE)[-1]
        await venue.fill(second.client_order_id, "0.008", "60000")
        await trader.until(lambda: trader.is_covered and [order.quantity for order in targets(venue)] == [venue.position])
        assert venue.naked == []
        assert plain(trader) == []


async def test_bybit_a_stop_that_somebody_took_away_is_replaced_by_one_of_ours():
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered and targets(venue))
        (stop,) = venue.position_stops()
        stop.is_live, stop.status = False, "Deactivated"
        await venue.push("order", venue.order_frame(stop))
        await trader.until(lambda: trader.is_covered)
        (own,) = plain(trader)
        assert (own.lots, own.stop_ticks, venue.stops()[0].client_id) == (12, 580_000, own.client_order_id)
        # … and the next entry, into what that one covers, carries the stop for all of it, upon which ours goes.
        second = await trader.resting(20)
        assert venue.asked(CREATE)[-1]["stopLoss"] == "58000"
        await venue.fill(second.client_order_id, "0.008", "60000")
        assert venue.naked == []
        await trader.until(lambda: trader.is_covered)
        assert venue.stops() == [order for order in venue.position_stops() if order.is_live]


@pytest.mark.parametrize(("make", "name"), [(BybitVenue, "bybit"), (OkxVenue, "okx")])
async def test_a_venue_that_makes_no_stop_gets_one_within_the_second(make, name):
    async with trader_at(make, name, entry=EntryStyle.TAKER) as (trader, venue):
        venue.attaches = False
        entry = await trader.resting(12)
        order = trader.under.record(entry)
        await venue.fill(order if name == "okx" else order.client_id, order.quantity, "60000")
        await trader.until(lambda: trader.is_covered)
        (own,) = plain(trader)
        assert own.stop_ticks == 580_000
        # The first list that was read after the half second decided it, however slow the machine is, and nobody waited for more.
        assert SHOWS_S <= 0.5
        assert [type(each) for each in trader.under.said.of(attached_id(entry.client_order_id))] == [OrderRejected]
        assert trader.halted is None


@pytest.mark.parametrize(("make", "name"), [(BybitVenue, "bybit"), (OkxVenue, "okx")])
async def test_an_entry_that_follows_the_touch_is_one_order_at_a_time_and_covered_by_one_stop_in_the_end(make, name):
    async with trader_at(make, name) as (trader, venue):
        first = await trader.resting(12)
        order = trader.under.record(first)
        await venue.fill(order if name == "okx" else order.client_id, "0.5" if name == "okx" else "0.005", "60000")
        await trader.until(lambda: trader.is_covered)
        trader.bid, trader.ask = trader.bid + 30, trader.ask + 30

        def entries():
            return [each for each in trader.sent if each.purpose is Purpose.ENTRY]

        await trader.until(lambda: len(entries()) == 2 and trader.executor.ledger.get(entries()[1].client_order_id).venue_order_id)
        second = entries()[1]
        assert not trader.under.record(first).is_live, "the one before it was proven gone"
        assert (second.lots, second.price_ticks, second.signal_id) == (7, first.price_ticks + 30, first.signal_id)
        order = trader.under.record(second)
        await venue.fill(order if name == "okx" else order.client_id, "0.7" if name == "okx" else "0.007", "60003")
        await trader.until(lambda: trader.is_covered)
        await trader.for_a_while()
        assert trader.is_covered
        assert (trader.executor.portfolio.position_lots(0), len(entries())) == (12, 2)
        assert not trader.executor.is_entering(0)
        assert trader.halted is None


@pytest.mark.parametrize(("make", "name", "reason"), [(BybitVenue, "bybit", "EC_PostOnlyWillTakeLiquidity"), (OkxVenue, "okx", "31")])
async def test_an_entry_that_would_have_crossed_is_cancelled_by_the_venue_and_sent_again_and_a_persons_cancel_ends_it(make, name, reason):
    async with trader_at(make, name) as (trader, venue):

        async def cancelled(intent, why):
            order = trader.under.record(intent)
            order.is_live, order.reason = False, why
            order.state, order.status = "canceled", "Cancelled"
            await venue.tell_order(order if name == "okx" else order.client_id)

        first = await trader.resting(12)
        await cancelled(first, reason)
        await trader.until(lambda: len(trader.sent) == 2)
        second = trader.sent[-1]
        assert (second.lots, second.post_only, second.signal_id) == (12, True, first.signal_id)
        await trader.until(lambda: trader.executor.ledger.get(second.client_order_id).venue_order_id)
        await cancelled(second, "1" if name == "okx" else "EC_PerCancelRequest")
        await trader.until(lambda: not trader.executor.is_entering(0))
        await trader.for_a_while()
        assert len(trader.sent) == 2
        assert trader.halted is None


@pytest.mark.parametrize(("make", "name"), [(BybitVenue, "bybit"), (OkxVenue, "okx")])
async def test_a_flatten_takes_away_what_the_venue_made_and_leaves_nothing(make, name):
    async with trader_at(make, name, entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        order = trader.under.record(entry)
        await venue.fill(order if name == "okx" else order.client_id, order.quantity, "60000")
        await trader.until(lambda: trader.is_covered)
        trader.carry_out(trader.executor.flatten("enough", trader.view()))

        def closing():
            return [o for o in venue.orders.values() if o.is_live and o.kind.lower() in {"market", "optimal_limit_ioc"} and not o.trigger]

        await trader.until(closing)
        assert venue.stops() == []
        (leaving,) = closing()
        await venue.fill(leaving if name == "okx" else leaving.client_id, leaving.quantity, "60000")
        await trader.until(lambda: trader.executor.is_flat)
        assert venue.position == 0


@pytest.mark.parametrize(("make", "name"), [(BybitVenue, "bybit"), (OkxVenue, "okx")])
async def test_a_new_life_that_knows_of_no_order_adopts_the_stop_that_the_last_ones_entry_carried(make, name):
    async with trader_at(make, name, entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        order = trader.under.record(entry)
        await venue.fill(order if name == "okx" else order.client_id, order.quantity, "60000")
        await trader.until(lambda: trader.is_covered)
        later = CcxtUnder(venue, name)
        await later.make(since_ms=venue.clock_ms() + 1)
        async with later.running():
            held = PositionReport(instrument=0, quantity=Decimal("0.012"), cost=Decimal(720))
            second = Trader(later, positions=(held,))
            second.carry_out(second.executor.restore((), second.view()))
            await second.until(lambda: second.is_covered)
            assert plain(second) == []
            assert second.executor.ledger.get(attached_id(entry.client_order_id)).is_working
            assert second.executor.plan(0).stop_ticks == 580_000
            assert second.halted is None


async def test_bybit_a_persons_stop_at_our_price_is_left_alone_told_once_and_ours_stands():
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        venue.attaches = False
        entry = await trader.resting(12)
        by_hand = {"orderLinkId": "", "side": "Sell", "orderType": "Market", "qty": "0.012", "triggerPrice": "58000", "reduceOnly": True}
        theirs = venue.orders[venue._order_create(by_hand)["result"]["orderId"]]
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await venue.push("order", venue.order_frame(theirs))
        await trader.until(lambda: len(venue.stops()) == 2 and trader.executor.is_protected(0))
        (own,) = plain(trader)
        assert [order.client_id for order in venue.stops()] == ["", own.client_order_id]
        trader.under.gateway.request_account(0)
        await trader.until(lambda: trader.told("somebody else's order"))
        await trader.for_a_while()
        (said,) = trader.told("somebody else's order")
        assert "trigger at 58000" in said.text
        assert theirs.is_live
        assert trader.halted is None


@pytest.mark.parametrize(("make", "name"), [(BybitVenue, "bybit"), (OkxVenue, "okx")])
async def test_a_stop_that_somebody_moves_is_replaced_where_it_was(make, name):
    async with trader_at(make, name, entry=EntryStyle.TAKER) as (trader, venue):
        order = trader.under.record(await trader.resting(12))
        await venue.fill(order if name == "okx" else order.client_id, order.quantity)
        await trader.until(lambda: trader.is_covered and targets(venue))
        (stop,) = venue.stops()
        stop.trigger = "50000"
        trader.under.gateway.request_account(0)
        await trader.until(lambda: not stop.is_live and trader.is_covered)
        (own,) = plain(trader)
        assert (own.stop_ticks, own.lots, [each.trigger for each in venue.stops()]) == (580_000, 12, ["58000"])
        assert len(trader.told("stop moved by somebody")) == 1
        assert venue.lost_cover == []
        assert trader.halted is None


@pytest.mark.parametrize("was_acknowledged", [True, False])
async def test_bybit_a_new_life_takes_a_nameless_stop_for_its_own_only_by_its_number(was_acknowledged):
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        venue.names_parents = False
        entry = await trader.resting(12)
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered and targets(venue))
        (theirs,) = venue.position_stops()
        reports = tuple(each for each in trader.executor.ledger.reports() if each.intent.is_attached)
        if not was_acknowledged:
            reports = tuple(msgspec.structs.replace(each, venue_order_id="") for each in reports)
        later = CcxtUnder(venue, "bybit")
        await later.make(since_ms=venue.clock_ms() + 1, orders=reports)
        async with later.running():
            second = Trader(later, positions=(PositionReport(instrument=0, quantity=Decimal("0.012"), cost=Decimal(720)),))
            second.carry_out(second.executor.restore(reports, second.view()))
            await second.until(lambda: second.executor.is_protected(0) and not second.executor.is_in_doubt)
            await second.for_a_while()
            own = plain(second)
            assert [order.number == theirs.number for order in venue.stops()] == ([True] if was_acknowledged else [True, False])
            assert [each.stop_ticks for each in own] == ([] if was_acknowledged else [580_000])
            assert len(second.told("somebody else's order")) == (not was_acknowledged)
            assert second.halted is None


# ---- OKX: an algo order under a name of ours, once the entry has ended


async def test_okx_an_immediate_entry_carries_its_stop_and_no_fill_is_naked_though_it_is_cut():
    async with trader_at(OkxVenue, "okx", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        (carried,) = next(each for each in venue.asked(PLACE) if "sz" in each)["attachAlgoOrds"]
        assert trader.under.terms.from_wire(carried["attachAlgoClOrdId"]) == attached_id(entry.client_order_id)
        assert (carried["slTriggerPx"], carried["slOrdPx"], carried["slTriggerPxType"]) == ("58000", "-1", "last")
        order = trader.under.record(entry)
        # Its fill and its end are one thing at the venue.
        _, pushed = venue.execute(order, "0.5", "60000", is_cut=True)
        assert venue.naked == []
        await venue.push("orders", venue.frame(pushed))
        await venue.tell_stops()
        await trader.until(lambda: trader.is_covered and targets(venue))
        assert plain(trader) == []
        assert [stop.client_id for stop in venue.stops()] == [carried["attachAlgoClOrdId"]]
        assert trader.halted is None


async def test_okx_a_resting_entry_that_is_filled_bit_by_bit_ends_with_one_stop():
    async with trader_at(OkxVenue, "okx") as (trader, venue):
        entry = await trader.resting(12)
        order = trader.under.record(entry)
        await venue.fill(order, "0.5")
        await trader.until(lambda: trader.is_covered)
        (own,) = plain(trader)
        assert own.lots == 5, "until the entry has ended the venue makes none: ours stands meanwhile"
        await venue.fill(order, "0.7")
        await trader.until(lambda: trader.is_covered)
        await trader.for_a_while()
        assert trader.is_covered
        (stop,) = venue.stops()
        assert trader.under.terms.from_wire(stop.client_id) == attached_id(entry.client_order_id)
        assert len(plain(trader)) == 1


async def test_okx_a_resting_entry_has_every_part_covered_by_one_stop_and_none_is_uncovered_again():
    async with trader_at(OkxVenue, "okx") as (trader, venue):
        order = trader.under.record(await trader.resting(12))
        for contracts, lots in (("0.3", 3), ("0.3", 6), ("0.2", 8), ("0.4", 12)):
            await venue.fill(order, contracts)
            await trader.until(lambda lots=lots: trader.executor.portfolio.position_lots(0) == lots and trader.is_covered)
        assert venue.lost_cover == []
        assert [held for _, held in venue.naked] == [Decimal("0.3"), Decimal("0.6"), Decimal("0.8")], (
            "each until ours was there, the last never"
        )
        assert len(venue.bare_ms) == 3
        assert trader.halted is None


async def test_okx_what_is_bought_beyond_a_stop_carries_its_own_until_one_for_all_of_it_stands():
    async with trader_at(OkxVenue, "okx", entry=EntryStyle.TAKER) as (trader, venue):
        first = trader.under.record(await trader.resting(12))
        await venue.fill(first, first.quantity)
        await trader.until(lambda: trader.is_covered and targets(venue))
        second = trader.under.record(await trader.resting(20))
        await venue.fill(second, second.quantity)
        await trader.until(lambda: trader.is_covered and [order.quantity for order in targets(venue)] == [venue.position])
        assert venue.naked == venue.lost_cover == []
        (own,) = plain(trader)
        assert own.lots == 20
        assert trader.halted is None


async def test_okx_a_stop_that_does_not_only_reduce_halts_before_anything_is_added():
    async with trader_at(OkxVenue, "okx", entry=EntryStyle.TAKER) as (trader, venue):
        venue.attached_reduce = False
        order = trader.under.record(await trader.resting(12))
        await venue.fill(order, order.quantity)
        await trader.until(lambda: trader.halted is not None and trader.is_covered)
        assert "does not only reduce" in trader.halted


async def test_okx_a_target_that_is_cut_has_the_right_stop_before_the_old_one_goes():
    async with trader_at(OkxVenue, "okx", entry=EntryStyle.TAKER) as (trader, venue):
        order = trader.under.record(await trader.resting(12))
        await venue.fill(order, order.quantity)
        await trader.until(lambda: trader.is_covered and targets(venue))
        await venue.fill(targets(venue)[0], "0.5", "66000")
        await trader.until(lambda: trader.is_covered and len(venue.stops()) == 1)
        assert venue.naked == venue.lost_cover == []
        assert trader.halted is None


async def test_okx_an_entry_that_is_withdrawn_half_filled_ends_with_one_stop():
    async with trader_at(OkxVenue, "okx") as (trader, venue):
        entry = await trader.resting(12)
        await venue.fill(trader.under.record(entry), "0.5")
        await trader.until(lambda: trader.is_covered)
        trader.carry_out(trader.executor.cancel_entries("a signal that is void", trader.view()))
        await trader.until(lambda: not trader.executor.ledger.get(entry.client_order_id).is_working)
        await trader.until(lambda: trader.is_covered)
        await trader.for_a_while()
        assert trader.is_covered
        assert trader.executor.portfolio.position_lots(0) == 5


async def test_okx_the_stop_that_it_carried_acts_and_closes_the_position():
    async with trader_at(OkxVenue, "okx", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        await venue.fill(trader.under.record(entry), "1.2")
        await trader.until(lambda: trader.is_covered)
        algo, child = venue.trigger(trader.under.terms.to_wire(attached_id(entry.client_order_id)))
        await venue.tell_order(algo)
        await venue.fill(child, "1.2", "57990")
        await trader.until(lambda: trader.executor.is_flat)
        (closed,) = trader.executor.take_closed_trades()
        assert closed.reason == "stop"
        assert trader.halted is None


async def test_bybit_a_stop_of_which_the_stream_said_nothing_is_found_by_asking():
    async with trader_at(BybitVenue, "bybit", entry=EntryStyle.TAKER) as (trader, venue):
        entry = await trader.resting(12)
        venue.is_muted = True
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered)
        assert plain(trader) == []
        assert any(each.purpose is Purpose.STOP and each.attached_to == entry.client_order_id for each in trader.sent)


async def test_without_the_venues_help_entries_carry_nothing():
    async with trader_at(BybitVenue, "bybit", attached=AttachedStops.NONE) as (trader, venue):
        entry = await trader.resting(12)
        assert "stopLoss" not in venue.asked(CREATE)[-1]
        await venue.fill(entry.client_order_id, "0.012", "60000")
        await trader.until(lambda: trader.is_covered)
        assert len(plain(trader)) == 1


async def test_okx_a_stop_that_comes_after_it_was_given_up_does_not_stay_beside_ours():
    async with trader_at(OkxVenue, "okx", entry=EntryStyle.TAKER) as (trader, venue):
        venue.attaches = False
        order = trader.under.record(await trader.resting(12))
        await venue.fill(order, order.quantity, "60000")
        await trader.until(lambda: trader.is_covered)
        late = venue.attach(order)
        await venue.tell_stops()
        trader.under.gateway.request_account(0)
        await trader.until(lambda: len(venue.stops()) == 1 and trader.is_covered)
        assert [late.is_live, *(each.is_live for each in venue.stops())].count(True) == 1
        assert trader.halted is None

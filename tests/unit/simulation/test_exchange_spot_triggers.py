"""Spot stops and order lists act in the instant of the trade that reaches them, not when the exchange looks again."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.events import ListEvent, OrderEvent
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.ladder import KIND, TICK, TIME, TRADE
from tests.unit.simulation.trading import GRID, ORIGIN, SYMBOL, S, Trading

SPOT = (Market.SPOT, SYMBOL)


@pytest.fixture
def venue():
    return Trading()


def orders_of(venue, made):
    return [venue.spot.log.of_id(number) for number in made.orders]


def legs_for(venue, lots, away=4000):
    """Return a sell pair far from the market."""
    low, high = venue.around(Market.SPOT)
    above = venue.ask_for("SELL", "LIMIT_MAKER", lots, tick=high + away)
    return above, venue.ask_for("SELL", "STOP_LOSS", lots, stop_tick=low - away)


def behind(venue, lots=1000, pending=900, tick=None, who=None):
    """Place a pair behind a working bid inside the spread, which nobody takes before the test does."""
    tick = venue.gap() if tick is None else tick
    working = venue.ask_for("BUY", "LIMIT", lots, tick=tick)
    made = venue.lists.place_triggered(who or venue.a, working, legs_for(venue, pending), "")
    return tick, made, orders_of(venue, made)


def sell(venue, lots, tick):
    """Let `b` sell into the bids."""
    return venue.spot.place(venue.b, venue.ask_for("SELL", "LIMIT", lots, tick=tick, tif="IOC"))


def told_of(events, order):
    return [(e.execution, e.order.status) for e in events if isinstance(e, OrderEvent) and e.order.id == order.id]


def test_a_stop_fires_at_the_trade_that_reaches_it_and_not_at_the_next_look(venue):
    low, _ = venue.around(Market.SPOT)
    stop = venue.spot.place(venue.a, venue.ask_for("SELL", "STOP_LOSS", 1000, stop_tick=low - 30))
    assert (stop.status, stop.working_ns) == ("NEW", -1)
    reached = []
    while not reached:
        assert stop.status == "NEW"
        venue.now += GRID
        found = venue.market.advance(venue.now)
        rows = found[SPOT]
        reached = rows[(rows[:, KIND] == TRADE) & (rows[:, TICK] <= low - 30)][:, TIME].tolist()
        venue.venue.settle(found)
    assert (stop.status, stop.working_ns, stop.fills[0].time_ns) == ("FILLED", ORIGIN + reached[0], ORIGIN + reached[0])
    assert reached[0] % GRID, "the trade came between two looks"
    venue.check()


def test_a_stop_of_one_account_fires_within_the_order_of_another_that_reaches_it(venue):
    tick = venue.gap()
    bid = venue.touch(Market.SPOT)[0]
    stop = venue.spot.place(venue.a, venue.ask_for("SELL", "STOP_LOSS_LIMIT", 1000, stop_tick=bid, tick=tick))
    sold = sell(venue, 100, bid)
    assert told_of(venue.told(), stop) == [("NEW", "NEW"), ("NEW", "NEW")], "taken, then at work"
    assert (stop.status, stop.working_ns) == ("NEW", sold.fills[0].time_ns)
    assert venue.market.books[SPOT].touch[2:] == (tick, 1000)
    venue.check()


def test_a_stop_that_a_trade_of_this_very_instant_has_reached_is_refused(venue):
    venue.gap()
    bid = venue.touch(Market.SPOT)[0]
    sell(venue, 100, bid)
    with pytest.raises(Refusal) as caught:
        venue.spot.place(venue.a, venue.ask_for("SELL", "STOP_LOSS", 1000, stop_tick=bid))
    assert (caught.value.code, caught.value.message) == (-2010, "Order would trigger immediately.")
    assert not venue.spot.log.open_of(venue.a.owner)


def test_a_stop_that_buys_at_market_pays_no_more_than_it_locked(venue):
    high = venue.around(Market.SPOT)[1]
    stop = venue.spot.place(venue.a, venue.ask_for("BUY", "STOP_LOSS", 1000, stop_tick=high + 1))
    dearest = (high + 1) * 105 // 100
    assert venue.a.locked["USDT"] == dearest * 1000 * Decimal("1e-7")
    venue.check()
    asks = venue.market.books[SPOT].snapshot(50).asks.tolist()
    lots = sum(lots for tick, lots in asks if tick <= high + 1)
    venue.spot.place(venue.b, venue.ask_for("BUY", "LIMIT", lots + 1, tick=next(tick for tick, _ in asks if tick > high), tif="IOC"))
    assert stop.status == "FILLED"
    assert venue.a.locked["USDT"] == 0
    venue.check()


@pytest.mark.parametrize("lots", [1, 1000])
def test_a_trade_of_one_leg_ends_the_other_in_the_same_instant(venue, lots):
    low, high = venue.around(Market.SPOT)
    above = venue.ask_for("SELL", "LIMIT_MAKER", 1000, tick=high + 1)
    below = venue.ask_for("SELL", "STOP_LOSS", 1000, stop_tick=low - 4000)
    made = venue.lists.place_pair(venue.a, (above, below), "")
    stop, limit = orders_of(venue, made)
    before = sum(level for tick, level in venue.market.books[SPOT].snapshot(50).asks.tolist() if tick <= high + 1) - 1000
    bought = venue.spot.place(venue.b, venue.ask_for("BUY", "LIMIT", before + lots, tick=high + 1, tif="IOC"))
    assert (limit.filled_lots, limit.status) == (lots, "FILLED" if lots == 1000 else "PARTIALLY_FILLED")
    assert (stop.status, stop.expiry_reason, stop.updated_ns) == ("EXPIRED", "OCO_TRIGGER", bought.fills[-1].time_ns)
    assert (made.status == "ALL_DONE") == (lots == 1000)
    assert venue.a.locked["BTC"] == Decimal(1000 - lots) * Decimal("0.00001")
    venue.check()


def test_a_trigger_of_one_leg_ends_the_other_before_it_trades(venue):
    venue.gap()
    bid, high = venue.touch(Market.SPOT)[0], venue.around(Market.SPOT)[1]
    above = venue.ask_for("SELL", "LIMIT_MAKER", 1000, tick=high + 40)
    made = venue.lists.place_pair(venue.a, (above, venue.ask_for("SELL", "STOP_LOSS", 1000, stop_tick=bid)), "")
    stop, limit = orders_of(venue, made)
    venue.told()
    sell(venue, 100, bid)
    assert (stop.status, limit.status, limit.expiry_reason, made.status) == ("FILLED", "EXPIRED", "OCO_TRIGGER", "ALL_DONE")
    events = venue.told()
    assert told_of(events, stop)[0] == ("NEW", "NEW")
    ours = [e.execution for e in events if isinstance(e, OrderEvent) and e.owner == venue.a.owner]
    assert ours.index("EXPIRED") < ours.index("TRADE")
    venue.check()


def test_the_pair_behind_a_working_order_appears_when_that_is_filled_whole_and_not_before(venue):
    tick, made, (working, stop, limit) = behind(venue)
    sell(venue, 400, tick)
    assert (working.status, stop.status, limit.status) == ("PARTIALLY_FILLED", "PENDING_NEW", "PENDING_NEW")
    assert venue.a.locked.get("BTC", 0) == 0
    venue.told()
    sold = sell(venue, 600, tick)
    assert (working.status, stop.status, limit.status) == ("FILLED", "NEW", "NEW")
    assert (limit.working_ns, stop.working_ns) == (sold.fills[-1].time_ns, -1)
    assert venue.a.locked["BTC"] == Decimal("0.009")
    events = venue.told()
    assert told_of(events, stop) == told_of(events, limit) == [("NEW", "NEW")]
    assert made.status == "EXECUTING"
    venue.check()


def test_a_working_order_that_expires_takes_the_pair_with_it(venue):
    bid, _ = venue.touch(Market.SPOT)
    working = venue.ask_for("BUY", "LIMIT", 1000, tick=bid - 900, tif="IOC")
    made = venue.lists.place_triggered(venue.a, working, legs_for(venue, 900), "")
    first, *rest = orders_of(venue, made)
    assert (first.status, first.expiry_reason) == ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED")
    assert {(o.status, o.expiry_reason) for o in rest} == {("EXPIRED", "OTO_PHASE_ONE_EXPIRED")}
    assert [e.what.status for e in venue.told() if isinstance(e, ListEvent)] == ["EXECUTING", "ALL_DONE"]
    venue.check()


def test_a_pair_that_the_market_has_passed_when_its_turn_comes_is_rejected(venue):
    tick = venue.gap()
    working = venue.ask_for("BUY", "LIMIT", 1000, tick=tick)
    high = venue.around(Market.SPOT)[1]
    legs = (venue.ask_for("SELL", "LIMIT_MAKER", 900, tick=high + 900), venue.ask_for("SELL", "STOP_LOSS", 900, stop_tick=tick))
    made = venue.lists.place_triggered(venue.a, working, legs, "")
    sell(venue, 1000, tick)
    first, *rest = orders_of(venue, made)
    assert first.status == "FILLED"
    assert {(o.status, o.expiry_reason) for o in rest} == {("EXPIRED", "REJECTED")}
    assert made.status == "ALL_DONE"
    venue.check()


def test_a_pair_without_the_money_for_it_is_rejected_when_its_turn_comes(venue):
    # All the base that the account has, and more than the working order brings.
    tick, made, (working, *rest) = behind(venue, lots=1000, pending=1_001_000)
    assert working.status == "NEW"
    sell(venue, 1000, tick)
    assert working.status == "FILLED"
    assert {(o.status, o.expiry_reason) for o in rest} == {("EXPIRED", "REJECTED")}, "the fee is paid in base: one lot is missing"
    assert made.status == "ALL_DONE"
    venue.check()


@pytest.mark.parametrize("comes_back", [True, False])
def test_money_that_goes_elsewhere_before_its_turn_comes_is_missing_then(venue, comes_back):
    tick, _, (working, *rest) = behind(venue, lots=1000, pending=1_000_000)
    venue.spot.transfer(venue.a, "BTC", Decimal(-1))
    venue.check()
    if comes_back:
        venue.spot.transfer(venue.a, "BTC", Decimal(1))
    sell(venue, 1000, tick)
    assert working.status == "FILLED"
    assert {o.status for o in rest} == ({"NEW"} if comes_back else {"EXPIRED"})
    venue.check()


def test_what_one_pair_counts_on_another_cannot_count_on(venue):
    tick, _, (_, *first) = behind(venue, lots=1000, pending=900_000)
    _, _, (_, *second) = behind(venue, lots=1000, pending=900_000, tick=tick)
    sell(venue, 2000, tick)
    assert [{o.status for o in legs} for legs in (first, second)] == [{"NEW"}, {"EXPIRED"}]
    venue.check()


def test_one_order_behind_another_is_placed_once_that_is_filled_whole(venue):
    tick = venue.gap()
    target = venue.ask_for("SELL", "LIMIT", 900, tick=venue.around(Market.SPOT)[1] + 500)
    made = venue.lists.place_triggered(venue.a, venue.ask_for("BUY", "LIMIT", 1000, tick=tick), (target,), "")
    working, pending = orders_of(venue, made)
    sell(venue, 800, tick)
    assert (working.status, pending.status) == ("PARTIALLY_FILLED", "PENDING_NEW")
    sell(venue, 200, tick)
    assert (working.status, pending.status) == ("FILLED", "NEW")
    venue.check()


def test_cancelling_a_list_takes_all_of_it_from_the_book(venue):
    _, made, orders = behind(venue)
    venue.spot.cancel(orders[1])
    assert {o.status for o in orders} == {"CANCELED"}
    assert made.status == "ALL_DONE"
    venue.check()
    venue.run(S // 2)
    venue.check()

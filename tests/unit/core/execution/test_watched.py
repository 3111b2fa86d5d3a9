"""Targets that the daemon watches because the venue holds what is to be sold for the stop alone."""

import msgspec
import pytest

from smartmoney.core.domain.entries import OrderCanceled, OrderExpired
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.domain.signals import FeedTrust, SignalType

from .test_executor import Bench, D, PositionReport, cancels, intents


def bench(**more):
    return Bench(watched_targets=True, **more)


def held(made, side=SignalType.BUY, stop=98.0, target=104.0):
    """Enter and be protected; return the stop."""
    (entry,) = intents(made.open(side, stop=stop, target=target))
    commands = made.fill(entry)
    (order,) = intents(commands)
    made.accept(*commands)
    return order


def reached(made, bid=10_400):
    made.bid, made.ask = bid, bid + 2


def test_the_stop_stands_alone_and_says_where_the_target_is():
    made = bench()
    stop = held(made)
    assert (stop.purpose, stop.lots, stop.stop_ticks, stop.target_ticks) == (Purpose.STOP, 1000, 9_800, 10_400)
    assert made.tick() == []
    assert made.executor.settled_until_ns(0, is_halted=False) == 0, "any tick may reach the target: none may be passed over"


@pytest.mark.parametrize(
    ("side", "stop", "target", "short_of", "at"),
    [(SignalType.BUY, 98.0, 104.0, (10_399, 10_401), (10_400, 10_402)), (SignalType.SELL, 102.0, 96.0, (9_599, 9_601), (9_598, 9_600))],
)
def test_a_target_is_taken_at_the_first_tick_at_which_we_would_get_it(side, stop, target, short_of, at):
    made = bench()
    order = held(made, side, stop, target)
    made.bid, made.ask = short_of
    assert made.tick() == []
    made.bid, made.ask = at
    assert cancels(made.tick()) == [order.client_order_id], "what is to be sold is held by the stop: it goes first"
    assert made.tick() == [], "and nothing is sold before it is proven gone"
    (taken,) = intents(made.reply(OrderCanceled(client_order_id=order.client_order_id)))
    assert (taken.purpose, taken.type, taken.time_in_force) == (Purpose.EXIT, OrderType.LIMIT, TimeInForce.IOC)
    assert (taken.lots, taken.reduce_only) == (1000, True)
    made.fill(taken, ticks=taken.price_ticks)
    (closed,) = made.executor.take_closed_trades()
    assert closed.reason == "target"
    assert made.executor.is_flat
    assert made.executor.take_halt_request() is None


def test_what_the_limit_did_not_get_is_taken_at_market_and_the_rest_is_protected_no_more():
    made = bench()
    order = held(made)
    reached(made)
    made.tick()
    (taken,) = intents(made.reply(OrderCanceled(client_order_id=order.client_order_id)))
    made.fill(taken, lots=400, ticks=10_400)
    reached(made, 10_300)
    made.reply(OrderExpired(client_order_id=taken.client_order_id))
    (rest,) = intents(made.tick(0.3))
    assert (rest.type, rest.lots) == (OrderType.MARKET, 600)


def test_a_stop_that_fills_while_it_is_withdrawn_ends_the_position_and_nothing_is_sold_twice():
    made = bench()
    order = held(made)
    reached(made)
    made.tick()
    assert intents(made.fill(order, ticks=9_800)) == []
    assert made.executor.is_flat
    assert made.executor.take_closed_trades()[0].reason == "stop"


@pytest.mark.parametrize("trust", [each for each in FeedTrust if each is not FeedTrust.SYNCED])
def test_an_untrusted_book_reaches_no_target(trust):
    made = bench()
    held(made)
    reached(made)
    made.trust = trust
    assert made.tick() == []


def test_a_target_that_is_passed_before_there_is_a_stop_is_taken_at_once():
    made = bench()
    (entry,) = intents(made.open())
    reached(made)
    (taken,) = intents(made.fill(entry))
    assert (taken.purpose, taken.type) == (Purpose.EXIT, OrderType.MARKET)


@pytest.mark.parametrize(
    ("side", "stop", "target", "beyond"), [(SignalType.BUY, 98.0, 104.0, (9_799, 9_801)), (SignalType.SELL, 102.0, 96.0, (10_199, 10_201))]
)
def test_a_stop_that_the_market_has_passed_and_that_does_not_act_is_replaced_by_an_exit_at_market(side, stop, target, beyond):
    """The venue may have taken its level, above the market when it came, for one that waits for a rise."""
    made = bench()
    order = held(made, side, stop, target)
    before = made.bid, made.ask
    made.bid, made.ask = beyond
    assert made.tick() == []
    assert made.tick(2.5) == [], "the venue looks at the last trade, which may not have been there yet"
    made.bid, made.ask = before
    assert made.tick(1.0) == []
    made.bid, made.ask = beyond
    assert made.tick() == []
    assert made.tick(2.9) == [], "the time begins anew"
    assert cancels(made.tick(0.2)) == [order.client_order_id]
    (taken,) = intents(made.reply(OrderCanceled(client_order_id=order.client_order_id)))
    assert (taken.type, taken.lots) == (OrderType.MARKET, 1000)
    made.fill(taken, ticks=beyond[0])
    assert made.executor.take_closed_trades()[0].reason == "stop_passed"


def test_where_the_venue_knows_which_way_a_stop_works_it_is_left_to_act():
    made = Bench()
    made.long()
    made.bid, made.ask = 9_799, 9_801
    made.tick()
    assert made.tick(60.0) == []


def test_a_restart_knows_the_target_by_the_stop():
    made = bench()
    stop = held(made)
    (report,) = made.executor.ledger.reports()
    again = bench(positions=(PositionReport(instrument=0, quantity=D(10), cost=D(1000)),), run="run2")
    again.executor.restore([msgspec.structs.replace(report, venue_order_id="v1")], again.view())
    assert again.executor.plan(0).target_ticks == 10_400
    reached(again)
    assert cancels(again.tick()) == [stop.client_order_id]


def test_an_addition_brings_a_stop_with_the_newer_target():
    made = bench()
    old = held(made)
    (more,) = intents(made.open(lots=1500, target=105.0, signal_id="two"))
    assert cancels(made.fill(more)) == [old.client_order_id]
    (stop,) = intents(made.reply(OrderCanceled(client_order_id=old.client_order_id)))
    assert (stop.lots, stop.target_ticks) == (1500, 10_500)


def test_a_target_that_lies_at_the_venue_all_the_same_is_withdrawn_with_what_stands_beside_it():
    """The settings may have changed between two lives."""
    before = Bench()
    before.long()
    later = bench(positions=(PositionReport(instrument=0, quantity=D(10), cost=D(1000)),), run="run2")
    later.executor.restore(before.executor.ledger.reports(), later.view())
    gone = cancels(later.tick())
    assert len(gone) == 2
    for name in gone[:-1]:
        assert intents(later.reply(OrderCanceled(client_order_id=name))) == []
    (stop,) = intents(later.reply(OrderCanceled(client_order_id=gone[-1])))
    assert (stop.purpose, stop.target_ticks) == (Purpose.STOP, 10_400)


def test_an_order_without_such_a_target_is_encoded_as_before_there_were_any():
    """Digests of older runs hold its bytes."""
    plain = OrderIntent(client_order_id="sma-1-0", instrument=0, side=Side.SELL, type=OrderType.STOP_MARKET, lots=1, purpose=Purpose.STOP)
    assert b"target_ticks" not in msgspec.msgpack.encode(plain)
    marked = msgspec.structs.replace(plain, target_ticks=7)
    assert msgspec.json.decode(msgspec.json.encode(marked), type=OrderIntent) == marked

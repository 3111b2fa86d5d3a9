"""Spot accounts of the built-in exchange: what orders lock, pay and earn, how lists behave, and which words refuse them."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.events import BalancesEvent, ListEvent, OrderEvent
from smartmoney.simulation.exchange.refusals import Refusal
from tests.unit.simulation.trading import S, Trading


@pytest.fixture
def venue():
    return Trading()


def refusal(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code, caught.value.message


def test_a_market_buy_pays_the_book_and_the_fee_in_base(venue):
    before = venue.spot.total(venue.a, "USDT"), venue.spot.total(venue.a, "BTC")
    order = venue.spot.place(venue.a, venue.ask_for("BUY", "MARKET", 1000))
    assert order.status == "FILLED"
    value = Decimal(order.tick_lots) * Decimal("0.01") * Decimal("0.00001")
    assert venue.spot.total(venue.a, "USDT") == before[0] - value
    assert venue.spot.total(venue.a, "BTC") == before[1] + Decimal("0.01") - Decimal("0.00001")
    assert {f.commission_asset for f in order.fills} == {"BTC"}
    venue.check()


def test_a_sell_pays_its_fee_in_quote(venue):
    order = venue.spot.place(venue.a, venue.ask_for("SELL", "MARKET", 1000))
    assert {f.commission_asset for f in order.fills} == {"USDT"}
    venue.check()


def test_an_open_order_locks_what_it_may_cost_and_a_cancel_gives_it_back(venue):
    bid, _ = venue.touch(Market.SPOT)
    order = venue.spot.place(venue.a, venue.ask_for("BUY", "LIMIT", 1000, tick=bid - 500))
    assert venue.a.locked["USDT"] == Decimal(bid - 500) * 1000 * Decimal("1e-7")
    venue.spot.cancel(order)
    assert venue.a.locked["USDT"] == 0
    events = venue.told(Market.SPOT)
    assert [e.execution for e in events if isinstance(e, OrderEvent)] == ["NEW", "CANCELED"]
    assert events[-1].balances[0][2] == 0
    venue.check()


def test_an_order_moves_the_public_book(venue):
    tick = venue.gap()
    venue.spot.place(venue.a, venue.ask_for("BUY", "LIMIT", 90, tick=tick))
    assert venue.market.books[Market.SPOT, "BTCUSDT"].touch[:2] == (tick, 90)


def test_two_accounts_trade_with_each_other_and_the_ledger_balances(venue):
    tick = venue.gap()
    maker = venue.spot.place(venue.a, venue.ask_for("BUY", "LIMIT", 700, tick=tick))
    taker = venue.spot.place(venue.b, venue.ask_for("SELL", "LIMIT", 700, tick=tick, tif="IOC"))
    assert maker.status == taker.status == "FILLED"
    assert maker.fills[0].is_maker
    assert not taker.fills[0].is_maker
    assert maker.fills[0].trade_id == taker.fills[0].trade_id
    venue.check()


def test_own_orders_do_not_trade_with_each_other(venue):
    tick = venue.gap()
    resting = venue.spot.place(venue.a, venue.ask_for("BUY", "LIMIT", 700, tick=tick))
    venue.spot.place(venue.a, venue.ask_for("SELL", "LIMIT", 700, tick=tick, stp="EXPIRE_MAKER", tif="IOC"))
    assert resting.status == "EXPIRED_IN_MATCH"
    other = venue.spot.place(venue.b, venue.ask_for("BUY", "LIMIT", 700, tick=tick))
    taker = venue.spot.place(venue.b, venue.ask_for("SELL", "LIMIT", 700, tick=tick, stp="EXPIRE_TAKER"))
    assert (other.status, taker.status) == ("NEW", "EXPIRED_IN_MATCH")
    venue.check()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"kind": "LIMIT", "lots": 100_000_000, "tick": -1}, (-1013, "Filter failure: NOTIONAL")),
        ({"kind": "LIMIT", "lots": 14_000_000, "tick": -1}, (-2010, "Account has insufficient balance for requested action.")),
        ({"kind": "LIMIT", "lots": 1, "tick": -1}, (-1013, "Filter failure: NOTIONAL")),
        ({"kind": "LIMIT", "lots": 100_000, "tick": 1}, (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")),
        ({"kind": "LIMIT_MAKER", "lots": 1000, "tick": +9_999}, (-2010, "Order would immediately match and take.")),
        ({"kind": "STOP_LOSS", "lots": 1000, "stop_tick": -9_999}, (-2010, "Order would trigger immediately.")),
        ({"kind": "TAKE_PROFIT", "lots": 1000, "stop_tick": +9_999}, (-2010, "Order would trigger immediately.")),
    ],
)
def test_orders_are_refused_with_the_venues_words_and_change_nothing(venue, asked, expected):
    bid, ask = venue.touch(Market.SPOT)
    for name in ("tick", "stop_tick"):
        if asked.get(name, 1) not in {1, 0}:
            asked = {**asked, name: (ask if asked[name] > 0 else bid) + asked[name]}
    before = venue.venue.ledger.balances()
    if asked["lots"] == 100_000_000:
        asked["lots"] = 20_000_000_000
    assert refusal(venue.spot.place, venue.a, venue.ask_for("BUY", **asked)) == expected
    assert venue.venue.ledger.balances() == before
    assert not list(venue.spot.log.all_of(venue.a.owner))
    assert venue.told() == []


def test_a_client_id_is_unique_among_open_orders_only(venue):
    bid, _ = venue.touch(Market.SPOT)
    asked = venue.ask_for("BUY", "LIMIT", 1000, tick=bid - 500, client_id="mine")
    first = venue.spot.place(venue.a, asked)
    assert refusal(venue.spot.place, venue.a, asked) == (-2010, "Duplicate order sent.")
    venue.spot.place(venue.b, asked)
    venue.spot.cancel(first)
    assert venue.spot.place(venue.a, asked).id != first.id
    assert refusal(venue.spot.cancel, first) == (-2011, "Unknown order sent.")


def test_the_order_rate_is_limited_for_each_account(venue):
    bid, _ = venue.touch(Market.SPOT)
    asked = venue.ask_for("BUY", "LIMIT", 100, tick=bid - 500)
    for _ in range(100):
        venue.spot.cancel(venue.spot.place(venue.a, asked))
    assert refusal(venue.spot.place, venue.a, asked) == (-1015, "Too many new orders; current limit is 100 orders per 10 SECOND.")
    venue.spot.place(venue.b, asked)


def test_immediate_orders_say_why_they_expired(venue):
    bid, _ = venue.touch(Market.SPOT)
    ioc = venue.spot.place(venue.a, venue.ask_for("BUY", "LIMIT", 1000, tick=bid, tif="IOC"))
    fok = venue.spot.place(venue.a, venue.ask_for("BUY", "LIMIT", 1000, tick=bid, tif="FOK"))
    assert (ioc.status, ioc.expiry_reason) == ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED")
    assert (fok.status, fok.expiry_reason) == ("EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED")


def test_a_quote_quantity_buys_what_it_can_pay(venue):
    order = venue.spot.place(venue.a, venue.ask_for("BUY", "MARKET", 0, quote_amount=Decimal(1000)))
    spent = Decimal(order.tick_lots) * Decimal("1e-7")
    assert order.status == "FILLED"
    assert Decimal(999) < spent <= 1000
    venue.check()


def pair(venue, lots=1000, away=40):
    bid, ask = venue.around(Market.SPOT)
    above = venue.ask_for("SELL", "LIMIT_MAKER", lots, tick=ask + away)
    below = venue.ask_for("SELL", "STOP_LOSS", lots, stop_tick=bid - away)
    return venue.lists.place_pair(venue.a, (above, below), "pair")


def test_a_pair_locks_once_and_ends_together(venue):
    made = pair(venue)
    assert venue.a.locked["BTC"] == Decimal("0.01")
    assert refusal(pair, venue)[0] == -2010
    for _ in range(600):
        venue.run(S // 10)
        venue.check()
        if made.status == "ALL_DONE":
            break
    stop, limit = (venue.spot.log.of_id(number) for number in made.orders)
    assert {stop.status, limit.status} == {"FILLED", "EXPIRED"}
    assert next(o for o in (stop, limit) if o.status == "EXPIRED").expiry_reason == "OCO_TRIGGER"
    assert venue.a.locked["BTC"] == 0
    lists = [e for e in venue.told(Market.SPOT) if isinstance(e, ListEvent)]
    assert [e.what.status for e in lists] == ["EXECUTING", "ALL_DONE"]


def test_cancelling_a_leg_cancels_the_pair(venue):
    made = pair(venue, away=4000)
    venue.spot.cancel(venue.spot.log.of_id(made.orders[0]))
    assert {venue.spot.log.of_id(number).status for number in made.orders} == {"CANCELED"}
    assert made.status == "ALL_DONE"
    venue.check()


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (("LIMIT_MAKER", "LIMIT_MAKER"), -1168),
        (("STOP_LOSS", "STOP_LOSS"), -1158),
        (("STOP_LOSS", "LIMIT_MAKER"), -1197),
        (("LIMIT", "STOP_LOSS"), -1158),
        (("MARKET", "STOP_LOSS"), -1158),
    ],
)
def test_a_pair_must_be_one_stop_below_and_one_target_above(venue, kinds, code):
    bid, ask = venue.touch(Market.SPOT)
    above, below = (
        venue.ask_for("SELL", kind, 1000, tick=tick if kind == "LIMIT_MAKER" else 0, stop_tick=0 if kind == "LIMIT_MAKER" else tick)
        for kind, tick in zip(kinds, (ask + 99, bid - 99), strict=True)
    )
    assert refusal(venue.lists.place_pair, venue.a, (above, below), "")[0] == code


def test_prices_of_a_pair_stand_around_the_market(venue):
    bid, ask = venue.touch(Market.SPOT)
    above = venue.ask_for("SELL", "LIMIT_MAKER", 1000, tick=ask + 9_999)
    below = venue.ask_for("SELL", "STOP_LOSS", 1000, stop_tick=bid + 5_000)
    assert refusal(venue.lists.place_pair, venue.a, (above, below), "")[1] == "Order would trigger immediately."


def test_pending_orders_wait_for_the_working_order_and_then_stand(venue):
    bid, ask = venue.touch(Market.SPOT)
    working = venue.ask_for("BUY", "LIMIT", 1000, tick=ask)
    legs = (venue.ask_for("SELL", "LIMIT_MAKER", 900, tick=ask + 4000), venue.ask_for("SELL", "STOP_LOSS", 900, stop_tick=bid - 4000))
    made = venue.lists.place_triggered(venue.a, working, legs, "")
    orders = [venue.spot.log.of_id(number) for number in made.orders]
    assert [o.status for o in orders] == ["FILLED", "NEW", "NEW"]
    assert venue.a.locked["BTC"] == Decimal("0.009")
    venue.check()


def test_an_end_of_the_working_order_ends_the_list(venue):
    bid, ask = venue.touch(Market.SPOT)
    working = venue.ask_for("BUY", "LIMIT", 1000, tick=bid - 900)
    legs = (venue.ask_for("SELL", "LIMIT_MAKER", 900, tick=ask + 4000), venue.ask_for("SELL", "STOP_LOSS", 900, stop_tick=bid - 4000))
    made = venue.lists.place_triggered(venue.a, working, legs, "")
    orders = [venue.spot.log.of_id(number) for number in made.orders]
    assert [o.status for o in orders] == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    assert venue.a.locked.get("BTC", 0) == 0
    venue.spot.cancel(orders[0])
    assert {o.status for o in orders} == {"CANCELED"}
    assert made.status == "ALL_DONE"


def test_a_deposit_is_told_and_a_withdrawal_needs_what_is_free(venue):
    venue.spot.transfer(venue.a, "USDT", Decimal(5))
    delta, balances = venue.told(Market.SPOT)
    assert delta.amount == 5
    assert isinstance(balances, BalancesEvent)
    assert refusal(venue.spot.transfer, venue.a, "USDT", Decimal(-2_000_000))[0] == -2010
    venue.check()

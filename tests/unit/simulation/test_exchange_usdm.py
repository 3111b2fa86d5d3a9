"""USD-M accounts of the built-in exchange: positions, margins, conditional orders, funding, liquidation, timers."""

import itertools
from decimal import Decimal

import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.events import AccountEvent, AlgoEvent, OrderEvent
from smartmoney.simulation.exchange.positions import BRACKETS, Position, liquidation_price, symbol_margin
from smartmoney.simulation.exchange.refusals import Refusal
from tests.unit.simulation.trading import SYMBOL, S, Trading


@pytest.fixture
def venue():
    return Trading()


def refusal(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code


def position(venue):
    return venue.usdm.positions[venue.a.owner][SYMBOL]


def test_a_round_trip_pays_spread_and_commission_and_leaves_no_position(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    assert position(venue).lots == 100
    venue.usdm.place(venue.a, venue.ask_for("SELL", "MARKET", 100, reduce_only=True))
    assert (position(venue).lots, position(venue).cost) == (0, 0)
    assert venue.usdm.wallet(venue.a) < 1_000_000
    assert [i.kind for i in venue.usdm.incomes[venue.a.owner]].count("REALIZED_PNL") >= 1
    venue.check()


def test_a_position_turns_over_with_its_cost_exact(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 70))
    venue.usdm.place(venue.a, venue.ask_for("SELL", "MARKET", 30))
    venue.usdm.place(venue.a, venue.ask_for("SELL", "MARKET", 90))
    assert position(venue).lots == -50
    assert position(venue).entry > 0
    venue.check()


def test_reduce_only_needs_something_to_reduce_and_never_opens(venue):
    assert refusal(venue.usdm.place, venue.a, venue.ask_for("SELL", "MARKET", 10, reduce_only=True)) == -2022
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 10))
    order = venue.usdm.place(venue.a, venue.ask_for("SELL", "MARKET", 30, reduce_only=True))
    assert (order.filled_lots, position(venue).lots) == (10, 0)
    venue.check()


def test_a_resting_reduce_only_order_goes_when_the_position_goes(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 10))
    _, ask = venue.touch(Market.USDM)
    resting = venue.usdm.place(venue.a, venue.ask_for("SELL", "LIMIT", 10, tick=ask + 500, reduce_only=True))
    venue.usdm.place(venue.a, venue.ask_for("SELL", "MARKET", 10))
    venue.run(S // 10)
    assert resting.status == "EXPIRED"
    venue.check()


def test_margin_and_leverage_bound_what_can_be_opened():
    venue = Trading(usdm=Decimal(1000))
    assert refusal(venue.usdm.place, venue.a, venue.ask_for("BUY", "MARKET", 400)) == -2019
    bid, _ = venue.touch(Market.USDM)
    venue.usdm.place(venue.a, venue.ask_for("BUY", "LIMIT", 300, tick=bid - 100))
    assert refusal(venue.usdm.place, venue.a, venue.ask_for("BUY", "LIMIT", 300, tick=bid - 100)) == -2019
    # The other side of a book opens nothing beyond what is tied up already.
    venue.usdm.place(venue.a, venue.ask_for("SELL", "LIMIT", 290, tick=bid + 500))


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"kind": "LIMIT", "lots": 1, "tick": 0}, -4164),
        ({"kind": "LIMIT", "lots": 100, "tick": 0.06}, -4016),
        ({"kind": "LIMIT", "lots": 100, "tick": 0.001, "tif": "GTX"}, -5022),
        ({"kind": "LIMIT", "lots": 1_700_000, "tick": 0.001, "tif": "FOK"}, -2027),
        ({"kind": "LIMIT", "lots": 250_000, "tick": 0.00001, "tif": "FOK"}, -5021),
    ],
)
def test_orders_are_refused_with_the_venues_codes(asked, code):
    venue = Trading(usdm=Decimal(10) ** 10)
    bid, _ = venue.touch(Market.USDM)
    tick = int(bid * (1 + asked["tick"]))
    assert refusal(venue.usdm.place, venue.a, venue.ask_for("BUY", **{**asked, "tick": tick})) == code
    assert not list(venue.usdm.log.all_of(venue.a.owner))


def test_a_stop_market_closes_the_position_once_reached_and_tells_its_life(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    low, _ = venue.around(Market.USDM)
    stop = venue.algos.place(venue.a, venue.ask_for("SELL", "STOP_MARKET", 0, stop_tick=low - 20, close_position=True))
    venue.told()
    for _ in range(900):
        venue.run(S // 10)
        if stop.status == "FINISHED":
            break
    assert stop.status == "FINISHED"
    assert position(venue).lots == 0
    events = venue.told(Market.USDM)
    assert [e.algo.status for e in events if isinstance(e, AlgoEvent)] == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    assert venue.usdm.log.of_id(stop.actual_id).client_id == stop.client_id
    venue.check()


def low_bids(venue):
    """Return the best bid, below the last trade: `b` has just bought the asks."""
    levels = venue.market.books[Market.USDM, SYMBOL].snapshot(3).asks.tolist()
    venue.usdm.place(venue.b, venue.ask_for("BUY", "LIMIT", sum(lots for _, lots in levels), tick=levels[-1][0], tif="IOC"))
    return venue.touch(Market.USDM)[0]


def test_a_closing_stop_fires_within_the_order_that_reaches_it(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    bid = low_bids(venue)
    stop = venue.algos.place(venue.a, venue.ask_for("SELL", "STOP_MARKET", 500, stop_tick=bid, reduce_only=True))
    venue.told()
    sold = venue.usdm.place(venue.b, venue.ask_for("SELL", "LIMIT", 2, tick=bid, tif="IOC"))
    order = venue.usdm.log.of_id(stop.actual_id)
    assert (stop.status, stop.triggered_ns) == ("TRIGGERED", sold.fills[0].time_ns)
    assert (order.status, order.lots, order.filled_lots, order.client_id) == ("FILLED", 100, 100, stop.client_id)
    assert position(venue).lots == 0
    told = [e for e in venue.told(Market.USDM) if e.owner == venue.a.owner]
    assert [e.execution for e in told if isinstance(e, OrderEvent)][:2] == ["NEW", "TRADE"]
    assert {e.order.lots for e in told if isinstance(e, OrderEvent)} == {100}, "as much as there was to close"
    assert [e.algo.status for e in told if isinstance(e, AlgoEvent)] == ["TRIGGERING", "TRIGGERED"]
    venue.run(S // 100)
    assert stop.status == "FINISHED"
    venue.check()


def test_two_closing_stops_of_one_instant_share_what_there_is_to_close(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 150))
    bid = low_bids(venue)
    stops = [
        venue.algos.place(venue.a, venue.ask_for("SELL", "STOP_MARKET", lots, stop_tick=bid, reduce_only=True)) for lots in (100, 100, 100)
    ]
    venue.usdm.place(venue.b, venue.ask_for("SELL", "LIMIT", 2, tick=bid, tif="IOC"))
    assert [s.status for s in stops] == ["TRIGGERED", "TRIGGERED", "REJECTED"]
    assert [venue.usdm.log.of_id(s.actual_id).filled_lots for s in stops[:2]] == [100, 50]
    assert stops[2].reason == "ReduceOnly Order is rejected."
    assert position(venue).lots == 0
    venue.check()


def test_a_cancelled_closing_stop_is_gone_from_the_book(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    bid = low_bids(venue)
    stop = venue.algos.place(venue.a, venue.ask_for("SELL", "STOP_MARKET", 0, stop_tick=bid, close_position=True))
    venue.algos.cancel(stop)
    venue.usdm.place(venue.b, venue.ask_for("SELL", "LIMIT", 2, tick=bid, tif="IOC"))
    assert (stop.status, position(venue).lots) == ("CANCELED", 100)
    assert refusal(venue.algos.cancel, stop) == -2011
    venue.check()


def test_cancelling_all_orders_leaves_conditional_ones(venue):
    bid, _ = venue.touch(Market.USDM)
    venue.algos.place(venue.a, venue.ask_for("SELL", "STOP_MARKET", 10, stop_tick=bid - 5000))
    for order in venue.usdm.log.open_of(venue.a.owner, SYMBOL):
        venue.usdm.cancel(order)
    assert len(venue.algos.open_of(venue.a.owner)) == 1
    venue.algos.cancel_all(venue.a.owner, SYMBOL)
    assert venue.algos.open_of(venue.a.owner) == []


def test_conditional_orders_are_refused_with_the_venues_codes(venue):
    bid, ask = venue.touch(Market.USDM)
    place = venue.algos.place
    assert refusal(place, venue.a, venue.ask_for("SELL", "STOP_MARKET", 10, stop_tick=ask + 5000)) == -2021
    assert refusal(place, venue.a, venue.ask_for("SELL", "TAKE_PROFIT_MARKET", 10, stop_tick=bid - 5000)) == -2021
    place(venue.a, venue.ask_for("SELL", "STOP_MARKET", 10, stop_tick=bid - 5000, client_id="x"))
    assert refusal(place, venue.a, venue.ask_for("SELL", "STOP_MARKET", 10, stop_tick=bid - 5000, client_id="x")) == -4116


def test_a_trailing_stop_follows_the_price_and_triggers_when_it_turns(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    made = venue.algos.place(venue.a, venue.ask_for("SELL", "TRAILING_STOP_MARKET", 100, reduce_only=True), callback_rate=Decimal("0.1"))
    best = 0
    for _ in range(2000):
        venue.run(S // 10)
        best = max(best, made.best_tick)
        if made.status != "NEW":
            break
    order = venue.usdm.log.of_id(made.actual_id)
    assert order.tick_lots / order.filled_lots < best * (1 - 0.0009)
    assert position(venue).lots == 0


def test_funding_is_paid_by_longs_every_eight_hours(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    venue.usdm.place(venue.b, venue.ask_for("SELL", "MARKET", 100))
    venue.told()
    clock = venue.venue.clock
    clock.pay_funding(venue.a, SYMBOL, Decimal("0.0001"))
    clock.pay_funding(venue.b, SYMBOL, Decimal("0.0001"))
    paid, earned = (venue.usdm.incomes[x.owner][-1] for x in (venue.a, venue.b))
    assert paid.kind == earned.kind == "FUNDING_FEE"
    assert paid.amount == -earned.amount < 0
    assert [e.reason for e in venue.told() if isinstance(e, AccountEvent)] == ["FUNDING_FEE"] * 2
    venue.check()


def test_the_schedule_of_funding_is_eight_hours_of_the_exchanges_clock(venue):
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 100))
    now = venue.venue.now_ns()
    funded = []
    for at in (now, (now // (8 * 3600 * S) + 1) * 8 * 3600 * S - 1, (now // (8 * 3600 * S) + 1) * 8 * 3600 * S):
        venue.usdm.now_ns = lambda at=at: at
        venue.venue.clock.tick()
        funded.append(sum(i.kind == "FUNDING_FEE" for i in venue.usdm.incomes[venue.a.owner]))
    assert funded == [0, 0, 1]


@pytest.mark.parametrize("is_isolated", [False, True])
def test_a_position_without_margin_is_taken_over_in_the_book(is_isolated):
    venue = Trading(usdm=Decimal(1000))
    position(venue).leverage = 125
    position(venue).is_isolated = is_isolated
    venue.usdm.place(venue.a, venue.ask_for("BUY", "MARKET", 800))
    bid, _ = venue.touch(Market.USDM)
    venue.algos.place(venue.a, venue.ask_for("SELL", "STOP_MARKET", 800, stop_tick=bid // 2))
    venue.run(S // 10)
    assert position(venue).lots == 800
    venue.told()
    book = venue.market.books[Market.USDM, SYMBOL]
    price = Decimal(str(liquidation_price(position(venue), venue.usdm.margin(venue.a), venue.usdm.part(venue.a, SYMBOL))))
    real = venue.usdm.mark
    venue.usdm.mark = lambda _symbol: price * Decimal("1.0005")
    venue.run(S // 100)
    assert position(venue).lots == 800, "above its liquidation price it stays"
    venue.usdm.mark = lambda _symbol: price * Decimal("0.9995")
    venue.run(S // 100)
    venue.usdm.mark = real
    assert position(venue).lots == 0
    assert int(book.worlds["position"][0][venue.a.owner]) == 0
    told = venue.told(Market.USDM)
    orders = [e for e in told if isinstance(e, OrderEvent) and e.order.client_id.startswith("autoclose-")]
    assert orders[-1].order.status == "FILLED"
    assert venue.algos.open_of(venue.a.owner) == []
    assert venue.usdm.wallet(venue.a) >= 0
    assert "INSURANCE_CLEAR" in {i.kind for i in venue.usdm.incomes[venue.a.owner]}
    venue.check()


def test_the_dead_mans_timer_cancels_everything_of_its_symbol_unless_refreshed(venue):
    bid, _ = venue.touch(Market.USDM)
    order = venue.usdm.place(venue.a, venue.ask_for("BUY", "LIMIT", 100, tick=bid - 2000))
    clock = venue.venue.clock
    clock.count_down(venue.a, SYMBOL, 500)
    venue.run(S * 4 // 10)
    clock.count_down(venue.a, SYMBOL, 500)
    venue.run(S * 4 // 10)
    assert order.status == "NEW"
    venue.run(S * 2 // 10)
    assert order.status == "CANCELED"
    again = venue.usdm.place(venue.a, venue.ask_for("BUY", "LIMIT", 100, tick=bid - 2000))
    clock.count_down(venue.a, SYMBOL, 100)
    clock.count_down(venue.a, SYMBOL, 0)
    venue.run(S)
    assert again.status == "NEW"


def test_good_till_date_orders_end_at_their_date(venue):
    bid, _ = venue.touch(Market.USDM)
    date = venue.venue.now_ns() + S // 2
    order = venue.usdm.place(venue.a, venue.ask_for("BUY", "LIMIT", 100, tick=bid - 2000, tif="GTD", good_till_ns=date))
    venue.run(S * 4 // 10)
    assert order.status == "NEW"
    venue.run(S * 2 // 10)
    assert order.status == "EXPIRED"


def test_brackets_join_and_the_published_liquidation_price_is_where_margin_ends():
    for lower, upper in itertools.pairwise(BRACKETS):
        assert lower.cap * lower.ratio - lower.cum == lower.cap * upper.ratio - upper.cum
    venue = Trading(usdm=Decimal(5000))
    venue.usdm.place(venue.a, venue.ask_for("SELL", "MARKET", 800))
    held = position(venue)
    margin = venue.usdm.margin(venue.a)
    price = liquidation_price(held, margin, venue.usdm.part(venue.a, SYMBOL))
    part = symbol_margin(held, [], price)
    assert abs(margin.cross_wallet + part.unrealised - part.maintenance) < Decimal("0.0001")
    assert isinstance(held, Position)

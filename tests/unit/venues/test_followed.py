"""However the news come (late, twice, shuffled, some lost), what is told converges to what the venue's own record says."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.entries import HaltRequested, OrderAccepted, OrderCanceled, OrderExpired, OrderFilled, OrderRejected
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, Side
from smartmoney.venues.binance.order_calls import is_algo
from smartmoney.venues.followed import FollowedOrders
from smartmoney.venues.order_news import NewsError, OrderNews, OrderState, TradeNews

ENDS = (OrderCanceled, OrderExpired, OrderRejected)
NAME = "smrun-1-0"


def grid(market=Market.SPOT):
    return Instrument(
        venue="binance",
        market=market,
        symbol="BTCUSDT",
        name="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
    )


def intent(kind=OrderType.LIMIT, lots=10, **more):
    return OrderIntent(client_order_id=NAME, instrument=0, side=Side.BUY, type=kind, lots=lots, purpose=Purpose.ENTRY, **more)


def trade(number, lots, client_id=NAME, order_id="77"):
    return TradeNews(
        symbol="BTCUSDT",
        trade_id=str(number),
        order_id=order_id,
        client_id=client_id,
        side=Side.BUY,
        price=Decimal("60000.01"),
        quantity=Decimal("0.001") * lots,
        fee=Decimal("0.01"),
        fee_asset="USDT",
        is_maker=False,
        time_ms=5,
    )


def news(state, filled=0, trades=(), *, client_id=NAME, order_id="77", lots=10, **more):
    return OrderNews(
        symbol="BTCUSDT",
        client_id=client_id,
        order_id=order_id,
        state=state,
        side=Side.BUY,
        kind="LIMIT",
        quantity=Decimal("0.001") * lots,
        filled=Decimal("0.001") * filled,
        price=Decimal(60000),
        stop_price=Decimal(0),
        trades=tuple(trades),
        **more,
    )


@st.composite
def lives(draw):
    """Return the true life of an order: its trades, its end, and the news that tell it, in the venue's order."""
    parts = draw(st.lists(st.integers(1, 4), max_size=4))
    total, told = 0, [news(OrderState.WORKING)]
    for number, lots in enumerate(parts):
        total += lots
        whole = total >= 20
        told.append(news(OrderState.FILLED if whole else OrderState.WORKING, total, [trade(number, lots)], lots=20))
    if total < 20:
        told.append(news(draw(st.sampled_from([OrderState.CANCELED, OrderState.EXPIRED])), total, lots=20))
    return parts, told


@given(lives(), st.data())
def test_any_order_of_telling_with_losses_and_repeats_tells_each_thing_once(life, data):
    parts, told = life
    kept = [each for each in told if data.draw(st.booleans())]
    heard = data.draw(st.permutations(kept + kept))
    orders = FollowedOrders([grid()], is_algo)
    order = orders.follow(intent(lots=20))
    said = [payload for each in heard for payload in orders.learn(each)]
    # What polling does in the end: the order as it is now, and its trades.
    said += orders.learn(msgspec_last(told))
    replies, unknown = orders.learn_trades([trade(number, lots, client_id="") for number, lots in enumerate(parts)])
    said += replies
    assert unknown == []
    fills = [each.fill for each in said if isinstance(each, OrderFilled)]
    assert sorted((fill.trade_id, fill.lots) for fill in fills) == sorted((str(n), lots) for n, lots in enumerate(parts))
    assert sum(isinstance(each, OrderAccepted) for each in said) == 1
    ends = [each for each in said if isinstance(each, ENDS)]
    assert len(ends) == (0 if sum(parts) >= 20 else 1)
    if ends:
        assert said.index(ends[0]) == len(said) - 1, "an end is never told before the fills that the venue counts into it"
    assert order.is_ended


def msgspec_last(told):
    return news(told[-1].state, int(told[-1].filled / Decimal("0.001")), lots=20)


def test_an_end_waits_for_the_fills_that_the_venue_counts():
    orders = FollowedOrders([grid()], is_algo)
    order = orders.follow(intent())
    assert [type(each) for each in orders.learn(news(OrderState.EXPIRED, filled=4))] == [OrderAccepted]
    assert order.is_behind
    replies, _ = orders.learn_trades([trade(1, 4, client_id="")])
    assert [type(each) for each in replies] == [OrderFilled, OrderExpired]


def test_an_order_cut_by_the_venue_ends_though_it_is_called_filled():
    orders = FollowedOrders([grid(Market.USDM)], is_algo)
    orders.follow(intent())
    said = orders.learn(news(OrderState.FILLED, 6, [trade(1, 6)]))
    assert [type(each) for each in said] == [OrderAccepted, OrderFilled, OrderExpired]


def test_an_algo_order_s_trades_are_its_own_by_the_number_of_the_order_that_it_sent():
    orders = FollowedOrders([grid(Market.USDM)], is_algo)
    order = orders.follow(intent(OrderType.STOP_MARKET, stop_ticks=5, reduce_only=True))
    accepted = orders.learn(news(OrderState.WORKING, order_id="2000001", is_algo=True))
    assert [each.venue_order_id for each in accepted] == ["algo-2000001"]
    assert orders.learn(news(OrderState.TRIGGERED, order_id="2000001", is_algo=True, actual_order_id="99")) == []
    assert order.needs_look
    said = orders.learn(
        news(OrderState.FILLED, 10, [trade(5, 10, "somebody-elses-name", "99")], client_id="somebody-elses-name", order_id="99")
    )
    assert [each.fill.client_order_id for each in said if isinstance(each, OrderFilled)] == [NAME]
    assert order.is_ended


def test_what_was_booked_by_an_earlier_run_is_not_booked_again():
    orders = FollowedOrders([grid()], is_algo, known_trades=[(0, "3")])
    orders.follow(intent(), "77", filled_lots=4)
    replies, unknown = orders.learn_trades([trade(3, 4, client_id=""), trade(4, 6, client_id="")])
    assert [each.fill.trade_id for each in replies] == ["4"]
    assert unknown == []


@pytest.mark.parametrize(
    ("market", "name", "kind"),
    [(Market.SPOT, "web_1", HaltRequested), (Market.USDM, "web_1", OrderFilled), (Market.SPOT, "smlost-3-1", OrderFilled)],
)
def test_a_stranger_s_trade_is_noticed_and_booked_only_where_the_position_is_shared(market, name, kind):
    orders = FollowedOrders([grid(market)], is_algo)
    said = orders.learn(news(OrderState.FILLED, 5, [trade(9, 5, name, "5")], client_id=name, order_id="5"))
    assert [type(each) for each in said] == [kind]
    assert orders.learn(news(OrderState.FILLED, 5, [trade(9, 5, name, "5")], client_id=name, order_id="5")) == []


def test_a_trade_off_the_grid_is_said_and_not_rounded():
    orders = FollowedOrders([grid()], is_algo)
    orders.follow(intent())
    with pytest.raises(NewsError, match="cannot be booked"):
        orders.learn(news(OrderState.WORKING, 1, [trade(1, Decimal("0.5"))]))


def test_an_order_of_ours_without_a_record_is_reported_with_what_it_must_have_been():
    orders = FollowedOrders([grid()], is_algo)
    stop = news(OrderState.WORKING, client_id="smold-1-0", order_id="1", list_id="4")
    stop = type(stop)(
        **{**{f: getattr(stop, f) for f in stop.__struct_fields__}, "side": Side.SELL, "stop_price": Decimal(59000), "price": Decimal(0)}
    )
    target = news(OrderState.WORKING, client_id="smold-1-1", order_id="2", list_id="4")
    target = type(target)(**{**{f: getattr(target, f) for f in target.__struct_fields__}, "side": Side.SELL})
    reports = [orders.report_of(each, [stop, target]) for each in (stop, target)]
    assert [(r.intent.purpose, r.intent.reduce_only, r.intent.oco_group) for r in reports] == [
        (Purpose.STOP, True, "smold-1-0"),
        (Purpose.TARGET, True, "smold-1-0"),
    ]
    assert orders.report_of(news(OrderState.WORKING, client_id="web_2", order_id="3"), []) is None


def carried_stop(**more):
    return OrderIntent(
        client_order_id="smrun-1-1",
        instrument=0,
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        lots=10,
        purpose=Purpose.STOP,
        stop_ticks=5_800_000,
        reduce_only=True,
        attached_to=NAME,
        **more,
    )


def nameless(order_id="900", **more):
    shown = {"client_id": "", "order_id": order_id, "side": Side.SELL, "stop_price": Decimal(58_000), "is_reduce_only": True}
    return msgspec.structs.replace(news(OrderState.WORKING), **{**shown, "is_positions_own": True, **more})


def test_a_stop_without_a_name_is_known_by_side_and_level_and_then_by_its_number():
    followed = FollowedOrders([grid(Market.USDM)], lambda *_: False)
    order = followed.follow(carried_stop())
    assert followed.learn(nameless()) == [], "of an earlier life, and nothing says that it is this one"
    order.is_expected = True
    lies_elsewhere = (nameless(stop_price=Decimal(57_000)), nameless(side=Side.BUY))
    for other in (*lies_elsewhere, nameless(is_reduce_only=False), nameless(client_id="web"), nameless(is_positions_own=False)):
        assert followed.learn(other) == []
    (accepted,) = followed.learn(nameless())
    assert (accepted.client_order_id, accepted.venue_order_id) == ("smrun-1-1", "900")
    assert followed.learn(nameless("901")) == [], "another one at the same level is not it any more"
    ended = followed.learn(msgspec.structs.replace(nameless(), state=OrderState.CANCELED, stop_price=Decimal(0)))
    assert [type(each) for each in ended] == [OrderCanceled]


def test_a_stop_without_a_name_of_an_earlier_life_is_known_by_the_number_that_was_written_down():
    followed = FollowedOrders([grid(Market.USDM)], lambda *_: False)
    followed.follow(carried_stop(), "900")
    assert followed.report_of(nameless("901"), []) is None
    assert followed.report_of(nameless(), []).intent.client_order_id == "smrun-1-1"


def test_a_carried_stop_of_which_nothing_was_written_down_is_ours_by_its_name():
    followed = FollowedOrders([grid(Market.USDM)], lambda *_: False)
    listed = nameless(client_id="smrun-1-1", attached_to=NAME)
    report = followed.report_of(listed, [listed])
    assert (report.intent.purpose, report.intent.attached_to, report.intent.stop_ticks) == (Purpose.STOP, NAME, 5_800_000)


def test_a_carried_stop_that_is_listed_before_it_is_asked_for_is_then_what_was_asked_for():
    # As OKX lists it: by our name, and without the entry that carried it.
    followed = FollowedOrders([grid(Market.USDM)], is_algo)
    listed = nameless(client_id="smrun-1-1", is_algo=True, is_reduce_only=False)
    assert followed.report_of(listed, [listed]).intent.attached_to is msgspec.UNSET
    followed.follow(carried_stop())
    assert followed.report_of(listed, [listed]).intent == carried_stop()
    # What was meant stays, whatever is said of it later.
    followed.follow(msgspec.structs.replace(carried_stop(), lots=1))
    assert followed.get("smrun-1-1").intent == carried_stop()


def test_a_stop_of_ours_that_is_kept_apart_reduces_whatever_the_venue_says_of_it():
    followed = FollowedOrders([grid(Market.USDM)], is_algo)
    listed = nameless(client_id="smrun-1-1", is_algo=True, is_reduce_only=False)
    report = followed.report_of(listed, [listed])
    assert (report.intent.purpose, report.intent.reduce_only) == (Purpose.STOP, True)


def test_a_carried_stop_that_comes_after_it_was_given_up_is_followed_anew():
    followed = FollowedOrders([grid(Market.USDM)], lambda *_: False)
    followed.follow(carried_stop())
    followed.drop("smrun-1-1")
    late = nameless(client_id="smrun-1-1", attached_to=NAME)
    assert followed.learn(late) == [], "the executor hears of it from the list of working orders"
    report = followed.report_of(late, [late])
    assert (report.intent.client_order_id, report.venue_order_id) == ("smrun-1-1", "900")
    assert [order.is_ended for order in followed.working()] == [False]
    ended = followed.learn(msgspec.structs.replace(late, state=OrderState.CANCELED))
    assert [type(each) for each in ended] == [OrderAccepted, OrderCanceled]
    # What is said of the end of that one again brings nothing back.
    assert followed.learn(msgspec.structs.replace(late, state=OrderState.CANCELED)) == []


def test_one_more_stop_of_an_entry_whose_first_has_traded_is_followed_anew():
    followed = FollowedOrders([grid(Market.USDM)], lambda *_: False)
    followed.follow(carried_stop())
    first = nameless(client_id="smrun-1-1", attached_to=NAME)
    followed.learn(first)
    followed.learn(msgspec.structs.replace(first, state=OrderState.CANCELED))
    assert followed.report_of(first, [first]).venue_order_id == "900", "an old list says again what has ended"
    assert list(followed.working()) == []
    more = msgspec.structs.replace(first, order_id="901")
    assert followed.report_of(more, [more]).venue_order_id == "901"
    followed.learn(more)
    assert [order.order_id for order in followed.working()] == ["901"]


def test_a_stop_that_was_seen_elsewhere_is_reported_there_until_it_is_seen_somewhere_else():
    """What is reported without a listing must not tell that it was moved back."""
    orders = FollowedOrders([grid()], is_algo)
    order = orders.follow(
        OrderIntent(
            client_order_id=NAME,
            instrument=0,
            side=Side.SELL,
            type=OrderType.STOP_MARKET,
            lots=10,
            purpose=Purpose.STOP,
            stop_ticks=5_900_000,
            reduce_only=True,
        )
    )
    listed = msgspec.structs.replace(news(OrderState.WORKING), side=Side.SELL, kind="STOP", stop_price=Decimal(59000))
    assert orders.report_of(listed, ()).intent.stop_ticks == 5_900_000
    assert orders.report_of(msgspec.structs.replace(listed, stop_price=Decimal("50000.019")), ()).intent.stop_ticks == 5_000_001
    assert orders.report(order).intent.stop_ticks == 5_000_001, "it is not listed, and is not known to have been moved back"
    assert orders.report_of(listed, ()).intent.stop_ticks == 5_900_000
    assert orders.report(order).intent == order.intent

"""The guard's plan against a venue that does what it is told: it ends, and what it leaves is what was promised."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Side
from smartmoney.core.execution.guard_plan import Cancel, Close, PlaceStop, SeenOrder, guard_plan, hand_over_plan, stop_price

D = Decimal
LOT = D("0.001")


def grid(market):
    return Instrument(
        venue="binance",
        market=market,
        symbol="BTCUSDT",
        name="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick_size=D("0.1"),
        lot_size=LOT,
    )


@st.composite
def venues(draw):
    market = draw(st.sampled_from([Market.SPOT, Market.USDM]))
    lots = draw(st.integers(0 if market is Market.SPOT else -30, 30))
    orders = []
    for number in range(draw(st.integers(0, 6))):
        side = draw(st.sampled_from(Side))
        is_stop = draw(st.booleans())
        orders.append(
            SeenOrder(
                client_id=f"{draw(st.sampled_from(['sm1abc-', 'smg1-', 'byhand']))}{number}",
                side=side,
                quantity=draw(st.sampled_from([abs(lots), 5, 9])) * LOT or LOT,
                is_stop=is_stop,
                is_algo=is_stop and market is Market.USDM,
                reduces=side is Side.SELL if market is Market.SPOT else draw(st.booleans()),
            )
        )
    return grid(market), lots * LOT, orders, draw(st.booleans())


def carried_out(instrument, position, orders, actions, number):
    """Be a venue that does what it is told; return position and orders after it."""
    orders = [order for order in orders if not any(isinstance(a, Cancel) and a.order is order for a in actions)]
    for action in actions:
        if isinstance(action, PlaceStop):
            new = SeenOrder(
                client_id=f"smg9-{number}",
                side=action.side,
                quantity=instrument.quantity(action.lots),
                is_stop=True,
                is_algo=instrument.market is Market.USDM,
                reduces=True,
            )
            orders = [*orders, new]
        elif isinstance(action, Close):
            position += action.side.sign * instrument.quantity(action.lots)
    return position, orders


@pytest.mark.parametrize("flatten", [False, True])
def test_nothing_is_bought_on_spot_though_more_seems_sold_than_was_bought(flatten):
    assert guard_plan(grid(Market.SPOT), D("-0.02"), [], flatten=flatten) == []
    working = SeenOrder(client_id="sm1abc-7-0", side=Side.SELL, quantity=D("0.01"), is_stop=True, is_algo=False, reduces=True)
    (only,) = guard_plan(grid(Market.SPOT), D("-0.02"), [working], flatten=flatten)
    assert isinstance(only, Cancel)


@given(venues())
def test_it_ends_and_leaves_what_was_promised(venue):
    instrument, position, orders, flatten = venue
    strangers = [order for order in orders if not order.is_ours]
    was_covered = False
    for number in range(12):
        actions = guard_plan(instrument, position, orders, flatten=flatten)
        if not actions:
            break
        before = abs(position)
        position, orders = carried_out(instrument, position, orders, actions, number)
        assert abs(position) <= before, "nothing raises risk"
        ours = [order for order in orders if order.is_ours]
        is_covered = any(order.is_stop and order.quantity == abs(position) for order in ours if order.reduces)
        if instrument.market is Market.USDM and was_covered and not flatten and position:
            assert is_covered, "a right stop is never given up"
        was_covered = is_covered
    assert not guard_plan(instrument, position, orders, flatten=flatten)
    ours = [order for order in orders if order.is_ours]
    assert [order for order in orders if not order.is_ours] == strangers
    if flatten or position == 0:
        assert position == 0
        assert ours == []
        return
    exit_side = Side.SELL if position > 0 else Side.BUY
    assert all(order.reduces and order.side is exit_side for order in ours)
    assert [order.quantity for order in ours if order.is_stop] == [abs(position)]


def seen(name, quantity="0.010", *, is_stop=True, market=Market.USDM):
    return SeenOrder(client_id=name, side=Side.SELL, quantity=D(quantity), is_stop=is_stop, is_algo=market is Market.USDM, reduces=True)


def test_at_the_hand_over_usdm_waits_for_the_daemons_stop_and_spot_makes_room():
    own, theirs = seen("smg1-1"), seen("sm1abc-1-0")
    assert hand_over_plan(grid(Market.USDM), D("0.01"), [own]) == []
    assert [action.order for action in hand_over_plan(grid(Market.USDM), D("0.01"), [own, theirs])] == [own]
    assert hand_over_plan(grid(Market.USDM), D("0.01"), [own, seen("sm1abc-1-0", "0.004")]) == []
    assert [action.order for action in hand_over_plan(grid(Market.USDM), D(0), [own])] == [own]
    assert [action.order for action in hand_over_plan(grid(Market.SPOT), D("0.01"), [own])] == [own]


@pytest.mark.parametrize(
    ("market", "position", "side", "loose", "tight"),
    [
        (Market.SPOT, "0.01", Side.SELL, "57000", "58000"),
        (Market.USDM, "0.01", Side.SELL, "57000", "58000"),
        (Market.USDM, "-0.01", Side.BUY, "63000", "62000"),
    ],
)
def test_of_two_stops_for_all_of_it_the_tighter_one_stays(market, position, side, loose, tight):
    def stop(name, level):
        return SeenOrder(
            client_id=name, side=side, quantity=D("0.010"), is_stop=True, is_algo=False, reduces=True, trigger=D(level), number=name
        )

    one, other = stop("sm1abc-1-0", loose), stop("sm1abc-2-0", tight)
    for orders in ([one, other], [other, one]):
        assert [action.order for action in guard_plan(grid(market), D(position), orders, flatten=False)] == [one]


def test_a_stop_goes_where_it_was_else_around_the_touch_and_never_looser_than_meant():
    spot = grid(Market.SPOT)
    assert stop_price(spot, D(1), D("95.5"), D(100), D("0.02")) == D("95.5")
    assert stop_price(spot, D(1), None, D("100.15"), D("0.02")) == D("98.2")
    assert stop_price(spot, D(-1), None, D("100.15"), D("0.02")) == D("102.1")
    assert stop_price(spot, D(1), None, None, D("0.02")) is None

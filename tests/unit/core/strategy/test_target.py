from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import RefusalCode
from smartmoney.core.strategy.target import Holding, is_tradable, plan_order

from .markets import SPOT, USDM

PRICE = Decimal(50_000)


def plan(side, size, position=0, working=0, grid=USDM, equity=Decimal(10_000), band=0.5, scale=1.0):
    holding = Holding(position_lots=position, working_lots=working, equity=equity)
    return plan_order(side, size, PRICE, grid, holding, band, scale)


def test_target_is_size_times_equity_in_whole_lots():
    found = plan(Side.BUY, 0.0571392)
    assert (found.target_lots, found.delta_lots, found.reduces) == (11, 11, False)
    assert plan(Side.SELL, 0.0571392).delta_lots == -11


def test_buy_after_buy_does_not_pyramid():
    found = plan(Side.BUY, 0.1, position=20)
    assert (found.refusal, found.delta_lots) == (RefusalCode.AT_TARGET, 0)
    assert plan(Side.BUY, 0.1, working=20).refusal is RefusalCode.AT_TARGET


def test_small_difference_on_a_held_position_is_not_worth_an_order():
    assert plan(Side.BUY, 0.1, position=16).refusal is RefusalCode.AT_TARGET
    assert plan(Side.BUY, 0.1, position=16, band=0.0).delta_lots == 4
    assert plan(Side.BUY, 0.1, position=10).delta_lots == 10
    assert plan(Side.BUY, 0.1, position=11).refusal is RefusalCode.AT_TARGET
    assert plan(Side.BUY, 0.1, position=39).refusal is RefusalCode.AT_TARGET


def test_smaller_target_gives_back_what_is_too_much():
    found = plan(Side.BUY, 0.05, position=20)
    assert (found.target_lots, found.delta_lots, found.reduces) == (10, -10, True)


def test_opposite_signal_closes_and_does_not_reverse():
    found = plan(Side.SELL, 0.1, position=7)
    assert (found.target_lots, found.delta_lots, found.reduces) == (0, -7, True)
    assert plan(Side.BUY, 0.1, position=-7).delta_lots == 7


def test_close_counts_what_is_closing_already_and_not_what_still_opens():
    assert plan(Side.SELL, 0.1, position=7, working=-7).refusal is RefusalCode.AT_TARGET
    assert plan(Side.SELL, 0.1, position=7, working=-3).delta_lots == -4
    assert plan(Side.SELL, 0.1, position=7, working=5).delta_lots == -7


def test_spot_sell_without_a_position_is_refused():
    found = plan(Side.SELL, 0.1, grid=SPOT)
    assert found.refusal is RefusalCode.NO_POSITION


def test_dust_below_the_minimum_order_counts_as_flat():
    assert plan(Side.SELL, 0.1, position=5, grid=SPOT).refusal is RefusalCode.NO_POSITION
    assert plan(Side.SELL, 0.1, position=10, grid=SPOT).delta_lots == -10


def test_a_sell_on_spot_takes_back_an_entry_that_works():
    found = plan(Side.SELL, 0.1, working=12, grid=SPOT)
    assert (found.refusal, found.target_lots, found.delta_lots, found.reduces) == (None, 0, -12, True)
    assert plan(Side.SELL, 0.1, working=5, grid=SPOT).refusal is RefusalCode.NO_POSITION


def test_target_below_the_minimum_order_says_so():
    assert plan(Side.BUY, 0.01, grid=SPOT, equity=Decimal(400)).refusal is RefusalCode.BELOW_MIN_NOTIONAL


def test_unknown_equity_refuses_an_entry_but_not_an_exit():
    found = plan(Side.BUY, 0.1, equity=None)
    assert (found.refusal, found.detail) == (RefusalCode.NOT_WARM, "equity")
    assert plan(Side.SELL, 0.1, position=7, equity=None).delta_lots == -7


def test_negative_equity_gives_no_order():
    assert plan(Side.BUY, 0.1, equity=Decimal(-5)).refusal is RefusalCode.BELOW_MIN_NOTIONAL


lots = st.integers(-50, 50)


@given(st.sampled_from(list(Side)), st.floats(0.01, 1), lots, lots, st.decimals(0, 10**6, places=2), st.sampled_from([SPOT, USDM]))
def test_orders_never_overshoot(side, size, position, working, equity, grid):
    if grid is SPOT:
        position = abs(position)
    found = plan(side, size, position, working, grid, equity)
    if found.refusal is not None:
        assert found.delta_lots == 0
        return
    assert is_tradable(found.delta_lots, PRICE, grid)
    after = position + found.delta_lots
    if found.reduces and grid is SPOT and not is_tradable(position, PRICE, grid):
        assert (found.target_lots, found.delta_lots) == (0, -working), "it takes back an entry that works"
        assert side is Side.SELL
        assert working > 0
        return
    if found.reduces:
        assert position * found.delta_lots < 0
        assert abs(after) < abs(position)
        assert after * position >= 0
    else:
        assert found.delta_lots * side.sign > 0
        assert abs(found.target_lots) * grid.lot_size * PRICE <= Decimal(repr(size)) * equity
        assert side.sign * (after + working) <= abs(found.target_lots)
    if grid is SPOT:
        assert after >= 0


@pytest.mark.parametrize(("lots_", "tradable"), [(9, False), (10, True), (-10, True), (0, False)])
def test_tradable_is_the_venues_minimum(lots_, tradable):
    assert is_tradable(lots_, PRICE, SPOT) is tradable


def test_a_scale_makes_entries_smaller_and_lets_what_is_held_be():
    assert plan(Side.BUY, 0.1, scale=0.5).delta_lots == 10
    assert plan(Side.SELL, 0.1, scale=0.5).delta_lots == -10
    found = plan(Side.BUY, 0.1, position=15, scale=0.5)
    assert (found.refusal, found.target_lots) == (RefusalCode.SIZE_SHRUNK, 15)
    assert plan(Side.BUY, 0.1, position=4, scale=0.5).delta_lots == 6
    for position in (0, 7):
        assert plan(Side.BUY, 0.1, position=position, scale=0.0).refusal is RefusalCode.SIZE_SHRUNK
    assert plan(Side.BUY, 0.1, working=10, scale=0.5).refusal is RefusalCode.SIZE_SHRUNK
    # A smaller wish still gives back, and an opposite one still closes.
    assert plan(Side.BUY, 0.05, position=20, scale=0.0).delta_lots == -10
    assert plan(Side.SELL, 0.1, position=7, scale=0.0).delta_lots == -7


@given(
    size=st.floats(0.001, 1.0),
    scale=st.floats(0.0, 1.0),
    position=st.integers(-300, 300),
    working=st.integers(-300, 300),
    side=st.sampled_from(list(Side)),
)
def test_a_scale_never_sells_what_would_be_kept_and_never_orders_more(size, scale, position, working, side):
    whole = plan(side, size, position, working, band=0.0)
    scaled = plan(side, size, position, working, band=0.0, scale=scale)
    if whole.reduces or whole.delta_lots * side.sign < 0:
        assert scaled == whole
        return
    assert 0 <= scaled.delta_lots * side.sign <= whole.delta_lots * side.sign or (scaled.refusal, whole.refusal) != (None, None)
    if scaled.delta_lots:
        assert side.sign * (position + working + scaled.delta_lots) <= scale * side.sign * whole.target_lots

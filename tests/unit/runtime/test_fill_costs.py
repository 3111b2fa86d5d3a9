"""What a fill cost adds up to what it was filled at, whatever the market did in between."""

from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.commands import SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, OrderFilled
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Approved, Liquidity, OrderIntent, OrderType, Purpose, Side
from smartmoney.runtime.fill_costs import FillCosts
from tests.fills import fill_of

D = Decimal
GRID = Instrument(venue="v", market=Market.SPOT, symbol="A", name="A/Q", base="A", quote="Q", tick_size=D("0.01"), lot_size=D("0.1"))
ticks = st.integers(9_000, 11_000)
spreads = st.integers(1, 50)
sides = st.sampled_from(Side)


class Desk:
    """A watcher beside an engine of which it sees the books alone."""

    def __init__(self):
        self.state = {"best_bid_tick": 0, "best_ask_tick": 0}
        self.costs = FillCosts()
        self.costs.use(SimpleNamespace(market=SimpleNamespace(touch=lambda _index: tuple(self.state.values()), instruments=[GRID])))

    def quote(self, bid, spread):
        self.state.update(best_bid_tick=bid, best_ask_tick=bid + spread)

    def decide(self, name, side, stop=None, price=None, purpose=Purpose.ENTRY):
        kind = OrderType.LIMIT if price is not None else OrderType.MARKET if stop is None else OrderType.STOP_MARKET
        purpose = Purpose.STOP if kind is OrderType.STOP_MARKET else purpose
        asked = {"stop_ticks": stop, "price_ticks": price}
        intent = OrderIntent(client_order_id=name, instrument=0, side=side, type=kind, lots=10, purpose=purpose, **asked)
        self.costs.asked(SubmitOrder(approved=Approved(intent=intent, valid_until_mono_ns=1, halt_epoch=0)), 0)

    def fill(self, name, side, price, liquidity=Liquidity.TAKER, lots=10, fee="0.1", fee_asset="Q"):
        fill = fill_of(side, lots, price, name, fee, fee_asset=fee_asset, liquidity=liquidity)
        self.costs.append(Entry(seq=1, kind=EntryKind.EVENT, ts_wall_ns=2, ts_mono_ns=3, payload=OrderFilled(fill=fill)))
        return self.costs.fills[-1]


@given(ticks, spreads, ticks, spreads, ticks, sides, st.sampled_from(Liquidity))
def test_delay_spread_and_impact_sum_to_the_whole_shortfall(bid, spread, later, wider, price, side, liquidity):
    desk = Desk()
    desk.quote(bid, spread)
    desk.decide("a", side)
    desk.quote(later, wider)
    cost = desk.fill("a", side, price, liquidity)
    decided = bid + 0.5 * spread
    whole = side.sign * (price - decided) / decided * 1e4
    assert cost.delay_bps + cost.spread_bps + cost.impact_bps == pytest.approx(whole, abs=1e-6)


def test_each_part_has_its_own_name():
    desk = Desk()
    desk.quote(9_999, 2)
    desk.decide("a", Side.BUY)
    desk.quote(10_009, 2)
    cost = desk.fill("a", Side.BUY, 10_014)
    assert (cost.delay_bps, cost.spread_bps, cost.impact_bps) == pytest.approx((10.0, 1.0, 3.0))
    assert cost.fee_bps == pytest.approx(0.1 / (100.14 * 1.0) * 1e4)
    desk.decide("b", Side.SELL)
    earned = desk.fill("b", Side.SELL, 10_011, Liquidity.MAKER)
    assert (earned.delay_bps, earned.impact_bps) == (0.0, 0.0)
    assert earned.spread_bps == pytest.approx(-1.0, rel=0.01)


def test_a_stop_is_decided_at_its_trigger():
    desk = Desk()
    desk.quote(9_999, 2)
    desk.decide("stop", Side.SELL, stop=9_900)
    desk.quote(9_894, 2)
    cost = desk.fill("stop", Side.SELL, 9_894)
    assert cost.delay_bps == pytest.approx(5 / 9_900 * 1e4)
    assert cost.purpose is Purpose.STOP


def test_an_entry_that_carries_a_stop_is_decided_at_the_market_and_not_there():
    desk = Desk()
    desk.quote(9_999, 2)
    desk.decide("plain", Side.BUY, price=10_011)
    desk.decide("carries", Side.BUY, price=10_011, stop=9_800)
    plain, carries = (desk.fill(name, Side.BUY, 10_005) for name in ("plain", "carries"))
    assert (carries.delay_bps, carries.spread_bps, carries.impact_bps) == (plain.delay_bps, plain.spread_bps, plain.impact_bps)


def test_a_fee_in_base_counts_at_the_price_of_the_fill():
    desk = Desk()
    desk.quote(9_999, 2)
    desk.decide("a", Side.BUY)
    assert desk.fill("a", Side.BUY, 10_001, fee="0.001", fee_asset="A").fee_bps == pytest.approx(10.0)


def test_averages_are_weighted_by_notional_and_zero_without_fills():
    desk = Desk()
    assert desk.costs.total().shares().fee == 0.0
    desk.quote(9_999, 2)
    desk.decide("a", Side.BUY)
    desk.fill("a", Side.BUY, 10_001, lots=30)
    desk.fill("a", Side.BUY, 10_021, lots=10)
    assert desk.costs.total().shares().impact == pytest.approx(20 * 10_021 * 10 / (10_001 * 30 + 10_021 * 10), rel=1e-6)


def test_a_target_is_decided_at_its_price():
    desk = Desk()
    desk.quote(9_999, 2)
    desk.decide("target", Side.SELL, price=10_100, purpose=Purpose.TARGET)
    desk.quote(10_100, 2)
    cost = desk.fill("target", Side.SELL, 10_100, Liquidity.MAKER)
    assert cost.delay_bps == pytest.approx(-1 / 10_100 * 1e4)
    assert cost.delay_bps + cost.spread_bps == pytest.approx(0.0)


def test_an_exit_decided_without_a_book_is_measured_from_the_last_one():
    desk = Desk()
    desk.quote(9_999, 2)
    desk.decide("entry", Side.BUY)
    desk.state.update(best_bid_tick=-1, best_ask_tick=-1)
    desk.decide("exit", Side.SELL)
    desk.quote(9_989, 2)
    assert desk.fill("exit", Side.SELL, 9_989).delay_bps == pytest.approx(10.0)


def test_a_fill_without_any_book_has_no_costs_but_its_fee():
    desk = Desk()
    desk.state.update(best_bid_tick=-1, best_ask_tick=-1)
    desk.decide("a", Side.BUY)
    desk.quote(9_999, 2)
    cost = desk.fill("a", Side.BUY, 10_001, fee="0.1")
    assert (cost.delay_bps, cost.spread_bps, cost.impact_bps) == (None, None, None)
    assert desk.costs.total().shares().fee > 0.0
    assert desk.costs.total().shares().delay == 0.0

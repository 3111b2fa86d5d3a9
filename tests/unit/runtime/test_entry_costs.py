"""What an entry came to: over all of its orders, late fills too, with what it missed at the price of crossing."""

from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.commands import SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, OrderFilled
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Approved, Liquidity, OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.execution.parameters import EntryStyle, ExecutionParameters
from smartmoney.runtime import entry_costs
from smartmoney.runtime.entry_costs import EntryCosts
from tests.fills import fill_of

D = Decimal
S = 1_000_000_000
GRID = Instrument(venue="v", market=Market.USDM, symbol="A", name="A/Q", base="A", quote="Q", tick_size=D("0.01"), lot_size=D("0.1"))


class Desk:
    """A watcher beside an engine of which it sees books, and whether an entry goes on."""

    def __init__(self):
        self.touch = (10_000, 10_002)
        self.entering = set()
        self.now = 0
        self.costs = EntryCosts()
        market = SimpleNamespace(touch=lambda _index: self.touch, instruments=[GRID])
        executor = SimpleNamespace(is_entering=lambda index: index in self.entering, parameters=ExecutionParameters(taker_bps=D(5)))
        self.costs.use(SimpleNamespace(market=market, executor=executor))

    def order(self, name, signal_id, lots=10, side=Side.BUY, *, waits=True, why=msgspec.UNSET):
        self.entering.add(0)
        intent = OrderIntent(
            client_order_id=name,
            instrument=0,
            side=side,
            type=OrderType.LIMIT,
            lots=lots,
            purpose=Purpose.ENTRY,
            price_ticks=10_000,
            time_in_force=TimeInForce.GTC if waits else TimeInForce.IOC,
            signal_id=signal_id,
            why=why,
        )
        self.costs.asked(SubmitOrder(approved=Approved(intent=intent, valid_until_mono_ns=1, halt_epoch=0)), self.now)

    def fill(self, name, lots, price, side=Side.BUY, fee="0", liquidity=Liquidity.MAKER):
        fill = fill_of(side, lots, price, name, fee, trade_id=f"{name}-{self.now}", fee_asset="Q", liquidity=liquidity)
        entry = Entry(seq=1, kind=EntryKind.EVENT, ts_wall_ns=0, ts_mono_ns=self.now, payload=OrderFilled(fill=fill))
        self.costs.look()
        self.costs.append(entry)

    def end(self, touch):
        self.entering.clear()
        self.touch = touch
        self.costs.look()


def test_orders_that_follow_one_another_for_a_signal_are_one_entry():
    desk = Desk()
    desk.order("a", "s1", why="maker: waiting is expected to cost 2.50 bps (filled 91%), crossing 5.03")
    desk.now = 2 * S
    desk.fill("a", 4, 10_000, fee="0.008")  # 2 bps of 40
    desk.order("b", "s1", lots=6)
    desk.now = 5 * S
    desk.fill("b", 4, 10_011, liquidity=Liquidity.TAKER)
    desk.end((10_020, 10_022))
    (entry,) = desk.costs.told()
    assert (entry.style, entry.lots, entry.filled, entry.expected_bps) == (EntryStyle.MAKER, 10, 0.8, 2.5)
    assert entry.rested == 0.4, "the second one crossed"
    assert entry.wait_s == pytest.approx(3.5)
    assert entry.price_bps == pytest.approx((-1 + 10) / 2 / 10_001 * 1e4)
    assert entry.missed_bps == pytest.approx(21 / 10_001 * 1e4)
    assert entry.fee_bps == pytest.approx((0.4 * 2 + 0.2 * 5), abs=1e-3)
    assert entry.cost_bps == pytest.approx(0.8 * entry.price_bps + 0.2 * entry.missed_bps + entry.fee_bps)


def test_a_late_fill_is_its_entrys_and_is_not_missed_any_more():
    desk = Desk()
    desk.order("a", "s1")
    desk.end((10_050, 10_052))
    assert desk.costs.told()[0].filled == 0.0
    desk.fill("a", 10, 10_000)
    (entry,) = desk.costs.told()
    assert (entry.filled, entry.missed_bps) == (1.0, 0.0)
    assert entry.cost_bps == pytest.approx(-1 / 10_001 * 1e4)


def test_the_next_signal_ends_the_one_before_and_what_goes_on_is_left_out():
    desk = Desk()
    desk.order("a", "s1", side=Side.SELL, waits=False)
    desk.fill("a", 10, 10_000, Side.SELL)
    desk.touch = (9_000, 9_002)
    desk.order("b", "s2")
    (entry,) = desk.costs.told()
    assert (entry.signal_id, entry.style, entry.missed_bps) == ("s1", EntryStyle.TAKER, 0.0)
    assert entry.price_bps == pytest.approx(1 / 10_001 * 1e4), "a sell below the mid is a loss"
    desk.end((0, 0))
    assert [one.signal_id for one in desk.costs.told()] == ["s1", "s2"]
    assert desk.costs.told()[1].missed_bps == 0.0, "without a book nothing is known of it"


def test_one_that_is_not_kept_ends_the_one_before_all_the_same(monkeypatch):
    monkeypatch.setattr(entry_costs, "ENTRIES_MAX", 1)
    desk = Desk()
    desk.order("a", "s1")
    desk.order("b", "s2")
    desk.end((10_100, 10_102))
    (entry,) = desk.costs.told()
    assert entry.signal_id == "s1"
    assert entry.missed_bps == pytest.approx(1 / 10_001 * 1e4), "priced when the next signal came"


def test_what_is_no_entry_of_a_signal_or_has_no_book_is_not_kept():
    desk = Desk()
    desk.order("a", None)
    desk.touch = (0, 0)
    desk.order("b", "s1")
    desk.end((10_000, 10_002))
    assert desk.costs.told() == ()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(9_900, 10_100)), max_size=5), st.sampled_from(Side), st.integers(9_900, 10_100))
def test_the_cost_is_what_was_paid_for_all_of_it_over_the_mid(fills, side, cross):
    desk = Desk()
    lots = 10 + sum(one for one, _ in fills)
    desk.order("a", "s1", lots=lots, side=side)
    for number, (one, price) in enumerate(fills):
        desk.now = number * S
        desk.fill("a", one, price, side)
    desk.end((cross, cross))
    (entry,) = desk.costs.told()
    paid = sum(one * price for one, price in fills) + 10 * cross
    assert entry.shortfall_bps == pytest.approx(side.sign * (paid / lots - 10_001) / 10_001 * 1e4, abs=1e-6)

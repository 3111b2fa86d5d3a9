"""Funding of a paper account: when it is paid, on what, how often, and that nothing is paid twice or forgotten."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.orders import PositionReport
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.simulation.paper_funding import EVERY_NS, FundingClock

from .test_paper import PERP, SPOT, Book

START_NS = 2_000 * EVERY_NS + 123


class Held:
    """A perpetual position of an account whose funding clock is driven by hand."""

    def __init__(self, quantity="2", rate="1", since=START_NS, fundings=(), instrument=PERP):
        self.book = Book({9_999: 10}, {10_001: 10})
        positions = [PositionReport(instrument=0, quantity=D(quantity), cost=D(0))] if D(quantity) else []
        self.account = Portfolio([instrument], D(1_000), positions, fundings)
        self.clock = FundingClock(D(rate), [instrument], since)

    def pay(self, at_ns):
        return self.clock.pay(at_ns, self.account, [self.book], 7)


def test_a_long_pays_and_a_short_receives_the_rate_of_its_notional_at_the_mid():
    mid = PERP.price(10_000)
    for quantity, rate, amount in (("2", "1", -2), ("-2", "1", 2), ("2", "-1", 2)):
        held = Held(quantity, rate)
        assert held.pay(START_NS + 1) == []
        (paid,) = held.pay(held.clock.due_wall_ns)
        assert paid.amount == amount * mid * D("0.0001")
        assert held.account.cash == 1_000 + paid.amount
        assert held.account.funding_paid == -paid.amount


def test_times_are_00_08_and_16_utc():
    due_ns = Held().clock.due_wall_ns
    assert START_NS < due_ns <= START_NS + EVERY_NS
    assert due_ns % 86_400_000_000_000 in {0, EVERY_NS, 2 * EVERY_NS}


@given(st.lists(st.integers(0, 3 * EVERY_NS), max_size=20), st.integers(1, 5))
def test_each_time_is_paid_once_however_time_passes_and_whatever_is_restarted(steps, every):
    held, now, references, cash = Held(), START_NS, [], D(1_000)
    for number, step in enumerate(steps):
        now += step
        references += [paid.reference for paid in held.pay(now)]
        if number % every == 0:
            # A crash: the journal knows what was booked, and when the run was last heard of, which may be earlier.
            cash = held.account.cash
            held = Held(since=now - step, fundings=references)
            held.account.cash = cash
    times = now // EVERY_NS - START_NS // EVERY_NS
    assert len(references) == len(set(references)) == times
    assert held.account.cash == 1_000 - times * 2 * PERP.price(10_000) * D("0.0001")


def test_what_no_touch_can_value_is_paid_as_soon_as_one_can():
    held = Held()
    held.book.synced = False
    due_ns = held.clock.due_wall_ns
    assert held.pay(due_ns + 5) == []
    assert held.clock.due_wall_ns < due_ns, "asked again at every entry"
    held.book.synced = True
    assert len(held.pay(due_ns + 9)) == 1
    assert held.clock.due_wall_ns == due_ns + EVERY_NS


def test_each_instrument_pays_for_what_was_held_at_the_time_whenever_its_touch_is_known():
    known, unknown = Book({9_999: 10}, {10_001: 10}), Book({9_999: 10}, {10_001: 10})
    unknown.synced = False
    account = Portfolio([PERP, PERP], D(1_000), [PositionReport(instrument=0, quantity=D(2), cost=D(0))])
    clock = FundingClock(D(1), [PERP, PERP], START_NS)
    due_ns = clock.due_wall_ns
    assert clock.pay(due_ns, account, [unknown, known], 7) == []
    account = Portfolio([PERP, PERP], D(1_000), [PositionReport(instrument=1, quantity=D(5), cost=D(0))])
    unknown.synced = True
    (paid,) = clock.pay(due_ns + 5, account, [unknown, known], 7)
    assert (paid.instrument, paid.amount) == (0, -2 * PERP.price(10_000) * D("0.0001"))


def test_an_account_that_begins_owes_nothing_for_the_time_before():
    held = Held(since=None)
    assert held.pay(START_NS) == []
    assert held.clock.due_wall_ns == Held().clock.due_wall_ns


def test_nothing_held_pays_nothing_and_needs_no_book():
    held = Held("0")
    held.book.synced = False
    assert held.pay(START_NS + 9 * EVERY_NS) == []
    assert held.clock.due_wall_ns > START_NS + 9 * EVERY_NS


@pytest.mark.parametrize("held", [Held(rate="0"), Held(instrument=SPOT)], ids=["no rate", "spot"])
def test_where_nothing_is_ever_paid_nothing_is_ever_due(held):
    assert held.clock.due_wall_ns == NEVER

"""Marks: the bid for longs and the ask for shorts, from a synced book only; the last one within its grace; cash when nothing is held."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.entries import HaltState
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import PositionReport
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine.money import Money
from smartmoney.core.execution.view import Quote
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.core.risk.parameters import RiskLimits

from .bench import MS, WALL, S, instrument

LIMITS = RiskLimits(max_drawdown=Decimal("0.05"), breach_hold_ms=250, mark_grace_s=30.0)


def money_of(*quantities, market=Market.USDM, halt=HaltState()):  # noqa: B008 - frozen
    names = ("BTCUSDT", "ETHUSDT")[: len(quantities)]
    grids = [instrument(name, market) for name in names]
    positions = [
        PositionReport(instrument=index, quantity=Decimal(quantity), cost=Decimal(quantity) * 100)
        for index, quantity in enumerate(quantities)
        if Decimal(quantity)
    ]
    cash = Decimal(1000) - sum(position.cost for position in positions)
    return Money(grids, Portfolio(grids, cash, positions), LIMITS, halt)


def quote(bid, ask, trust=FeedTrust.SYNCED):
    return Quote(best_bid_ticks=bid, best_ask_ticks=ask, trust=trust)


def look(money, *quotes, at_ms=0):
    return money.observe(quotes, at_ms * MS, WALL + at_ms * MS)


@pytest.mark.parametrize(("quantity", "equity"), [("1", 1000), ("-1", 999), ("0", 1000)])
def test_a_long_is_marked_at_the_bid_and_a_short_at_the_ask(quantity, equity):
    money = money_of(quantity)
    look(money, quote(200, 202))
    assert money.equity == equity


@pytest.mark.parametrize("trust", [FeedTrust.SUSPECT, FeedTrust.STALE, FeedTrust.RESYNCING])
def test_a_book_that_is_not_synced_marks_nothing_but_the_last_mark_serves_for_sizing(trust):
    money = money_of("1")
    look(money, quote(210, 212))
    look(money, quote(100, 102, trust), at_ms=29_000)
    assert money.equity == 1005
    look(money, quote(100, 102, trust), at_ms=30_001)
    assert money.equity is None
    assert money.drawdown is None


def test_a_crossed_or_empty_book_marks_nothing():
    for bad in (quote(202, 200), quote(-1, 200), quote(200, -1), quote(200, 200)):
        money = money_of("1")
        look(money, bad)
        assert money.equity is None


def test_being_blind_while_holding_trips_after_the_grace_and_does_not_flatten():
    money = money_of("1")
    look(money, quote(200, 202))
    assert look(money, quote(-1, -1, FeedTrust.STALE), at_ms=1_000) is None
    assert look(money, quote(-1, -1, FeedTrust.STALE), at_ms=31_000) is None
    event = look(money, quote(-1, -1, FeedTrust.STALE), at_ms=31_001)
    assert event is not None
    assert not event.must_flatten
    assert not money.must_be_flat


def test_without_a_position_equity_is_cash_and_blindness_trips_nothing():
    money = money_of("0")
    for at_ms in (0, 60_000, 600_000):
        assert look(money, quote(-1, -1, FeedTrust.RESYNCING), at_ms=at_ms) is None
        assert money.equity == 1000


def test_one_blind_instrument_of_two_makes_equity_unknown_in_the_end():
    money = money_of("1", "1")
    look(money, quote(200, 202), quote(200, 202))
    assert money.equity == 1000
    look(money, quote(220, 222), quote(1, 2, FeedTrust.STALE), at_ms=1000)
    assert money.equity == 1010
    look(money, quote(220, 222), quote(1, 2, FeedTrust.STALE), at_ms=40_000)
    assert money.equity is None


def test_a_breach_must_hold_and_then_flattens():
    money = money_of("1")
    look(money, quote(200, 202))
    assert look(money, quote(100, 102), at_ms=100) is None
    assert look(money, quote(100, 102), at_ms=349) is None
    event = look(money, quote(100, 102), at_ms=350)
    assert (event.must_flatten, event.equity, event.peak) == (True, 950, 1000)
    assert money.state.halted
    assert money.must_be_flat
    assert look(money, quote(1, 2), at_ms=9_000) is None, "once"


def test_drawdown_and_the_days_loss_are_fractions():
    money = money_of("1", halt=HaltState(peak=Decimal(2000)))
    look(money, quote(200, 202))
    assert money.drawdown == Decimal("0.5")
    look(money, quote(100, 102), at_ms=1)
    assert money.daily_loss == Decimal("0.05")
    money.observe((quote(100, 102),), 86_400 * S, WALL + 86_400 * S)
    assert money.daily_loss == 0, "a new day"


HAPPENINGS = st.tuples(st.sampled_from(["look", "fund", "transfer", "halt", "resume"]), st.integers(-60, 60), st.integers(1, 50_000_000))


@given(st.lists(HAPPENINGS, max_size=30))
def test_a_look_that_is_spared_with_nothing_held_would_have_found_nothing(happenings):
    spared, full = money_of("0"), money_of("0")
    now_ms = 0
    for number, (what, amount, later_ms) in enumerate(happenings):
        now_ms += later_ms
        said = []
        for money in (spared, full):
            match what:
                case "fund":
                    money._portfolio.apply_funding(Decimal(amount), str(number))
                case "transfer":
                    money.transfer(Decimal(amount), "why")
                case "halt":
                    money.halt("operator")
                case "resume":
                    money.resume("looked")
            if money is full:
                money._at_rest = None
            said.append((look(money, quote(200, 202), at_ms=now_ms), money.take_day(), money.equity, money.drawdown, money.daily_loss))
            said[-1] += (money.state, money.is_steady, money.is_new_day(WALL + now_ms * MS))
        assert said[0] == said[1]


@given(
    st.lists(st.sampled_from(["1", "-1", "0.37", "-2.5"]), min_size=1, max_size=2),
    st.lists(st.integers(1000, 1200), min_size=2, max_size=2),
    st.lists(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=2), min_size=1, max_size=4),
)
def test_within_the_bounds_of_all_marks_the_kill_switch_hears_nothing_new(quantities, ticks, moves):
    money = money_of(*quantities)

    def look_at(marks):
        quotes = [quote(at, at + 1) if float(one) > 0 else quote(at - 1, at) for at, one in zip(marks, quantities, strict=True)]
        return look(money, *quotes)

    look_at(ticks[: len(quantities)])
    ranges = money.bounds(dict(enumerate(ticks[: len(quantities)])))
    before = money.state
    if not all(low <= high for low, high in ranges):
        return
    for where in moves:
        marks = [low + round((high - low) * at) for (low, high), at in zip(ranges, where[: len(ranges)], strict=True)]
        assert look_at(marks) is None
        assert money.state is before
        assert money.is_steady
        assert money.bounds(dict(enumerate(marks))) == ranges

"""Funding as the venue said it: its times, its rate, its mark price; and what is assumed where it said nothing."""

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.orders import Fill, Liquidity, PositionReport, Side
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.simulation.paper_depth import FundingTerms, FundingTold
from smartmoney.simulation.paper_funding import AS_RECORDED, AT_MID, EVERY_NS, SETTLED_WITHIN_NS, FundingClock, Traded

from .test_paper import PERP, Book

S = 1_000_000_000
HOUR = 3_600 * S
T0 = 2_000 * EVERY_NS
START_NS = T0 - 600 * S


def terms(at_ns, rate="0.0003", mark="101.5"):
    return FundingTerms(at_ns, D(rate), D(mark))


class Venue:
    """A perpetual of an account whose funding clock is driven by hand, and what its venue says."""

    def __init__(self, quantity="2", rate="1", since=START_NS, fundings=(), traded=()):
        self.book = Book({9_999: 10}, {10_001: 10})
        positions = [PositionReport(instrument=0, quantity=D(quantity), cost=D(0))] if D(quantity) else []
        self.account = Portfolio([PERP], D(1_000), positions, fundings)
        self.clock = FundingClock(D(rate), [PERP], since, traded)
        self.trades = 0

    def hold(self, lots):
        """Trade to a position, without a fee."""
        change = lots - self.account.position_lots(0)
        side = Side.BUY if change > 0 else Side.SELL
        names = {"trade_id": f"{self.trades}", "client_order_id": f"{self.trades}", "fee_asset": "Q", "liquidity": Liquidity.TAKER}
        self.trades += 1
        if change:
            self.account.apply(Fill(instrument=0, side=side, price_ticks=10_000, lots=abs(change), fee=D(0), ts_event_ns=1, **names))

    def say(self, following, since_ns=START_NS, settled=None):
        """Say something of funding; the clock hears of it, as it does of another time."""
        self.book.told = FundingTold(following, since_ns, since_ns, settled)
        return self.pay(since_ns)

    def pay(self, at_ns):
        return self.clock.pay(at_ns, self.account, [self.book], 7)


def test_the_rate_and_the_mark_price_that_are_settled_are_paid_on_what_was_held_at_the_time():
    for quantity, rate, amount in (("2", "0.0003", "-0.0609"), ("-2", "0.0003", "0.0609"), ("2", "-0.0003", "0.0609")):
        venue = Venue(quantity)
        assert venue.say(terms(T0, "0.9")) == []
        assert venue.clock.due_wall_ns == T0
        assert venue.pay(T0) == [], "the venue has not settled it yet"
        venue.hold(77)
        (paid,) = venue.say(terms(T0 + 8 * HOUR, "0.7"), T0 + S, terms(T0, rate))
        assert paid.amount == D(amount)
        assert paid.reference == f"paper {PERP.name} {T0 // S}{AS_RECORDED}"
        assert venue.account.funding_paid == -paid.amount
        assert venue.clock.due_wall_ns == T0 + 8 * HOUR


def test_a_venue_that_falls_silent_is_paid_what_it_said_last_and_then_what_is_assumed():
    venue = Venue()
    venue.say(terms(T0))
    assert venue.pay(T0 + 5) == []
    assert venue.clock.due_wall_ns == T0 + SETTLED_WITHIN_NS
    assert venue.pay(T0 + SETTLED_WITHIN_NS - 1) == []
    (paid,) = venue.pay(T0 + SETTLED_WITHIN_NS)
    assert paid.amount == D("-0.0609")
    (assumed,) = venue.pay(T0 + EVERY_NS)
    assert assumed.amount == -2 * PERP.price(10_000) * D("0.0001")
    assert not assumed.reference.endswith(AS_RECORDED)


def test_the_venues_own_times_are_those_that_count():
    venue = Venue()
    venue.say(terms(T0 - 300 * S))
    assert venue.clock.due_wall_ns == T0 - 300 * S
    venue.pay(T0 - 300 * S)
    (paid,) = venue.say(terms(T0 + 4 * HOUR), T0 - 299 * S, terms(T0 - 300 * S))
    assert paid.amount == D("-0.0609")
    assert venue.pay(T0 + 1) == [], "00 o'clock is no time of this venue's"
    venue.say(terms(T0 + HOUR), T0 + 600 * S)
    assert venue.clock.due_wall_ns == T0 + HOUR, "it names an earlier time"


def test_a_clock_of_ours_that_is_late_pays_when_it_shows_the_time():
    venue = Venue()
    venue.say(terms(T0))
    assert venue.say(terms(T0 + 8 * HOUR), T0 - S, terms(T0)) == []
    assert venue.clock.due_wall_ns == T0
    assert [paid.amount for paid in venue.pay(T0)] == [D("-0.0609")]
    assert venue.pay(T0 + HOUR) == []


def test_a_time_that_went_by_before_the_venue_was_heard_is_assumed():
    venue = Venue()
    (paid,) = venue.say(terms(T0 + 8 * HOUR), T0 + 60 * S)
    assert paid.amount == -2 * PERP.price(10_000) * D("0.0001")
    assert venue.clock.due_wall_ns == T0 + 8 * HOUR


def test_a_time_that_was_paid_at_the_assumed_rate_is_not_paid_again_as_recorded():
    venue = Venue(fundings=[f"paper {PERP.name} {T0 // S}"])
    assert venue.say(terms(T0 + 8 * HOUR), T0 + S, terms(T0)) == []
    again = Venue(fundings=[f"paper {PERP.name} {T0 // S}{AS_RECORDED}"])
    assert again.pay(T0 + 1) == []
    assert again.account.cash == 1_000


def test_no_assumed_rate_is_no_reason_not_to_pay_the_venues():
    venue = Venue(rate="0")
    assert venue.clock.due_wall_ns == NEVER
    venue.say(terms(T0))
    assert venue.clock.due_wall_ns == T0
    venue.pay(T0)
    assert len(venue.say(terms(T0 + 8 * HOUR), T0 + S, terms(T0))) == 1


def test_who_holds_nothing_pays_nothing():
    venue = Venue("0")
    venue.say(terms(T0))
    venue.pay(T0)
    assert venue.say(terms(T0 + 8 * HOUR), T0 + S, terms(T0)) == []
    assert venue.account.cash == 1_000
    assert venue.clock.due_wall_ns == T0 + 8 * HOUR


def test_a_rate_of_nothing_is_booked_so_that_a_restart_does_not_assume_another():
    venue = Venue()
    venue.say(terms(T0))
    venue.pay(T0)
    (paid,) = venue.say(terms(T0 + 8 * HOUR), T0 + S, terms(T0, "0"))
    assert (paid.amount, venue.account.cash) == (0, 1_000)
    assert not paid.amount.is_signed()
    again = Venue(fundings=[paid.reference])
    assert again.say(terms(T0 + 8 * HOUR), T0 + 4 * HOUR) == []
    assert again.account.cash == 1_000


def test_what_was_said_long_before_a_time_is_not_its_rate():
    venue = Venue(since=T0 - 7 * HOUR)
    venue.say(terms(T0), START_NS - 1)
    assert venue.pay(T0 + SETTLED_WITHIN_NS - 1) == []
    (paid,) = venue.pay(T0 + SETTLED_WITHIN_NS)
    assert paid.amount == -2 * PERP.price(10_000) * D("0.0001")
    assert not paid.reference.endswith(AS_RECORDED)


RATES = st.integers(-75_000, 75_000).map(lambda n: D(n).scaleb(-8))
MARKS = st.integers(1, 10**9).map(lambda n: D(n).scaleb(-4))
STEPS = st.tuples(st.sampled_from([1, 2, 4, 8]), RATES, MARKS, st.integers(-5, 5), st.integers(-2_000, 70_000))


@given(st.lists(STEPS, min_size=1, max_size=12))
def test_payments_are_the_sum_of_rate_times_notional_and_two_sides_of_it_cancel(steps):
    """Whatever the venue's times are, and however late or early our clock is: each once, on what was held, at what was settled."""
    long, short = Venue("0", since=T0), Venue("0", since=T0)
    owed, due, settled, references = D(0), T0 + HOUR, None, []
    for each in (long, short):
        each.say(terms(due), T0, settled)
    for hours, rate, mark, lots, late_ms in steps:
        for each, sign in ((long, 1), (short, -1)):
            each.hold(lots * sign)
        settled, following = terms(due, rate, mark), due + hours * HOUR
        turn = due + late_ms * 1_000_000
        for each in (long, short):
            seen = sorted((("ours", due), ("theirs", turn)), key=lambda one: one[1])
            for kind, at in seen:
                if kind == "theirs":
                    each.book.told = FundingTold(terms(following), at, at, settled)
                elif late_ms > 0:
                    each.book.told = FundingTold(terms(due, rate, mark), T0, due, None)
                paid = each.pay(at)
                references += [one.reference for one in paid] if each is long else []
            each.pay(max(due, turn) + SETTLED_WITHIN_NS)
        owed += PERP.quantity(lots) * rate * mark
        due = following
    assert long.account.funding_paid == owed == -short.account.funding_paid
    assert len(set(references)) == len(references)


def test_without_a_mark_price_the_venues_rate_is_paid_on_the_mid_and_the_reference_says_so():
    venue = Venue()
    venue.say(terms(T0))
    venue.pay(T0)
    venue.book.synced = False
    assert venue.say(terms(T0 + 8 * HOUR), T0 + S, terms(T0, mark="0")) == []
    venue.book.synced = True
    (paid,) = venue.pay(T0 + 2 * S)
    assert paid.amount == -2 * PERP.price(10_000) * D("0.0003")
    assert paid.reference == f"paper {PERP.name} {T0 // S}{AT_MID}"
    again = Venue(fundings=[paid.reference])
    assert again.say(terms(T0 + 8 * HOUR), T0 + S, terms(T0, mark="0")) == []
    assert again.account.cash == 1_000


def test_what_an_earlier_run_traded_after_a_time_was_not_held_at_it():
    """It bought 2, then 1 after the time, and was killed before the venue said what was settled."""
    traded = [Traded(T0 - 300 * S, 0, D(2)), Traded(T0 + S, 0, D(1)), Traded(T0 + S, 1, D(50))]
    venue = Venue("3", traded=traded)
    (paid,) = venue.say(terms(T0 + 8 * HOUR), T0 + 5 * S, terms(T0))
    assert paid.amount == D("-0.0609")
    assert venue.pay(T0 + 8 * HOUR) == []
    (paid,) = venue.say(terms(T0 + 16 * HOUR), T0 + 8 * HOUR + S, terms(T0 + 8 * HOUR))
    assert paid.amount == D("-0.09135"), "from then on what is held"

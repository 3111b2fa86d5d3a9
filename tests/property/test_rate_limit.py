from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.strategy.rate_limit import WINDOW_NS, SlidingRate

gaps = st.lists(st.one_of(st.integers(0, WINDOW_NS * 2), st.sampled_from([0, WINDOW_NS, WINDOW_NS + 1])), max_size=300)


@given(gaps, st.integers(0, 12))
def test_no_sliding_minute_ever_holds_more_than_the_limit(waits, most):
    rate, now, given_at = SlidingRate(most), 0, []
    for wait in waits:
        now += wait
        if rate.allows(now):
            rate.record(now)
            given_at.append(now)
    for start in given_at:
        assert sum(start <= stamp <= start + WINDOW_NS for stamp in given_at) <= most


@given(gaps, st.integers(1, 12))
def test_a_signal_is_held_back_only_when_the_minute_is_full(waits, most):
    rate, now, given_at = SlidingRate(most), 0, []
    for wait in waits:
        now += wait
        if rate.allows(now):
            rate.record(now)
            given_at.append(now)
        else:
            assert sum(now - WINDOW_NS <= stamp for stamp in given_at) == most


@given(st.lists(st.tuples(st.integers(0, WINDOW_NS), st.booleans()), max_size=200), st.integers(1, 8))
def test_signals_that_reduce_risk_use_up_the_rate_but_are_never_held_back(events, most):
    rate, now, all_at = SlidingRate(most), 0, []
    for wait, reduces in events:
        now += wait
        if reduces:
            rate.record(now)
            all_at.append(now)
        elif rate.allows(now):
            rate.record(now)
            all_at.append(now)
            assert sum(now - WINDOW_NS <= stamp for stamp in all_at) <= most

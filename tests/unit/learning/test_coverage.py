"""Coverage of conformal sets, and the guarantee of the adaptive ones, whatever comes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.learning.calibration import conformal_thresholds
from smartmoney.learning.coverage import GAMMA, Coverage


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0, 0.999), st.sampled_from((GAMMA, 0.05, 0.3)), st.floats(0.02, 0.5))
def test_adaptive_sets_miss_as_often_as_they_may_whatever_comes(p_true, q, gamma, miss):
    watched = Coverage(gamma, miss)
    for one in p_true:
        watched.took(60, "neutral", q, one)
    found = watched.report()
    assert found.judged == len(p_true)
    assert abs((1.0 - found.adaptive_share) - miss) <= (1.0 + 2.0 * gamma) / (gamma * len(p_true)) + 1e-9


def test_sets_cover_what_they_promise_while_nothing_changes_and_adapt_when_it_does():
    rng = np.random.default_rng(5)
    past, same = rng.beta(5, 3, 4000), rng.beta(5, 3, 4000)
    (q,) = conformal_thresholds(past, np.zeros(len(past), np.int64), np.ones(len(past)), 1)
    watched = Coverage()
    for one in same:
        watched.took(300, "volatile", q, float(one))
    calm = watched.report()
    assert calm.share == pytest.approx(0.9, abs=0.02)
    assert abs(calm.moved) < 0.05
    for one in rng.beta(3, 5, 4000):
        watched.took(300, "volatile", q, float(one))
    after = watched.report()
    assert after.share < 0.8
    assert after.adaptive_share == pytest.approx(0.9, abs=0.03)
    assert after.moved > 0.05
    assert after.where == "300 s, volatile"


def test_a_set_of_both_sides_promises_nothing_and_what_is_no_number_is_not_counted():
    watched = Coverage()
    for q, p_true in ((1.0, 0.2), (math.nan, 0.5), (0.4, math.nan)):
        watched.took(60, "neutral", q, p_true)
    found = watched.report()
    assert found.judged == 0
    assert math.isnan(found.share)
    assert found.where == ""


def test_horizons_and_regimes_adapt_apart():
    watched = Coverage(0.1)
    watched.took(60, "neutral", 0.3, 0.1)
    watched.took(300, "neutral", 0.3, 0.9)
    assert watched.report().moved == pytest.approx(0.1 * 0.9)
    assert watched.report().where == "60 s, neutral"


def test_a_watch_that_cannot_adapt_is_refused():
    with pytest.raises(ValueError, match="gamma"):
        Coverage(0.0)
    with pytest.raises(ValueError, match="miss"):
        Coverage(0.1, 1.0)

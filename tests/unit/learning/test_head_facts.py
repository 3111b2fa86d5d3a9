"""What is fitted on out-of-fold rows: a family counts as the root of its rows, and one alone makes no law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.learning.fitting.heads import by_family, common_scale, return_scale


@given(st.lists(st.tuples(st.floats(0.01, 1.0), st.integers(0, 4)), min_size=1, max_size=40))
def test_families_count_as_the_root_of_their_rows_and_the_sum_is_what_their_mean_is_worth(rows):
    weight, family = np.array([w for w, _ in rows]), np.array([f for _, f in rows])
    found = by_family(weight, family)
    totals, sums = np.bincount(family, weight), np.bincount(family, found)
    held = totals > 0.0
    np.testing.assert_allclose(sums[held] / np.sqrt(totals[held]), sums[held][0] / np.sqrt(totals[held][0]))
    # The variance of a weighted mean of family means: one over the independent rows.
    share = sums[held] / sums.sum()
    assert found.sum() == pytest.approx(1.0 / (share**2 / totals[held]).sum())
    assert found.sum() <= weight.sum() * (1 + 1e-12)


def test_one_family_is_left_as_it_is():
    weight = np.array([0.5, 1.0, 0.25])
    np.testing.assert_allclose(by_family(weight, np.zeros(3, np.int64)), weight)
    np.testing.assert_array_equal(by_family(np.zeros(3), np.arange(3)), np.zeros(3))


def _foretold(families, known, rows=400):
    """Return forecasts of as many families, of which the first `known` move as foretold."""
    rng = np.random.default_rng(4)
    family = np.repeat(np.arange(families), rows)
    p = rng.uniform(0.2, 0.8, len(family))
    sigma = np.full(len(family), 10.0)
    lean = np.where(p >= 0.5, 1.0, -1.0)
    moved = np.where(family < known, lean * 6.0, 0.0) + rng.standard_normal(len(family))
    return p, moved, np.ones(len(family)), sigma, family


def test_what_one_family_makes_is_no_scale_of_returns():
    *one, family = _foretold(5, 1)
    assert return_scale(*one) > 0.1
    assert common_scale(*one, family) < 0.05
    *most, family = _foretold(5, 4)
    assert common_scale(*most, family) == return_scale(*most) > 0.5
    *alone, family = _foretold(1, 1)
    assert common_scale(*alone, family) == return_scale(*alone) > 0.5

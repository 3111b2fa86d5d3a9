"""What is fitted on out-of-fold rows: a family counts as the root of its rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.learning.fitting.heads import by_family


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

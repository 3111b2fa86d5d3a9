"""Labels that can be acted on, and weights that count overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.sets.labels import age_weights, labels_of, moves_bps
from smartmoney.learning.sets.rows import SECOND_NS, Rows


def rows_of(mids, times=None):
    count = len(mids)
    at = np.arange(count) * SECOND_NS if times is None else np.asarray(times) * SECOND_NS
    values = np.zeros((count, len(FEATURES)), np.float32)
    return Rows(name="x", family="x", times=at.astype(np.int64), values=values, mid_after=np.asarray(mids, float), truth=None)


def test_a_label_is_the_move_from_150_ms_after_the_row_to_the_horizon():
    move = moves_bps(rows_of([100.0, 101.0, 99.0, 100.0]), 2)
    assert move[0] == pytest.approx(-100.0)
    assert move[1] == pytest.approx((100.0 - 101.0) / 101.0 * 1e4)
    assert np.isnan(move[2:]).all()


def test_rows_without_a_move_have_no_label():
    labels = labels_of(rows_of([100.0, 100.0, 101.0, 101.0]), 1)
    assert labels.rows.tolist() == [1]
    assert labels.sign.tolist() == [1]


def test_a_hole_in_time_is_no_move():
    labels = labels_of(rows_of([100.0, 101.0, 102.0], times=[0, 1, 61]), 1)
    assert labels.rows.tolist() == [0]


def test_an_empty_book_is_no_move():
    assert labels_of(rows_of([100.0, np.nan, 101.0]), 1).rows.tolist() == []


def test_labels_that_overlap_are_worth_less_and_their_sum_is_what_fits_in():
    rng = np.random.default_rng(0)
    mids = 1e4 + np.cumsum(rng.standard_normal(3000))
    labels = labels_of(rows_of(mids), 100)
    assert labels.effective == pytest.approx(2900 / 100, rel=0.05)
    assert labels_of(rows_of(mids), 1).effective == pytest.approx(2999, rel=0.01)


@given(st.integers(1, 20), st.integers(1, 30))
def test_thinning_rows_keeps_the_effective_number_of_long_horizons(every, horizon):
    mids = 1e4 + np.cumsum(np.random.default_rng(1).standard_normal(1200))
    thin = labels_of(rows_of(mids), horizon * every, every)
    assert 0 < thin.effective <= len(thin.rows) + 1e-9
    assert thin.effective == pytest.approx((1200 - horizon * every) / (horizon * every), rel=0.15, abs=2.0)


def test_weights_halve_with_age():
    times = np.array([0, 10, 20]) * SECOND_NS
    assert age_weights(times, 10.0).tolist() == [0.25, 0.5, 1.0]
    assert age_weights(times, float("inf")).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="half_life_s"):
        age_weights(times, 0.0)

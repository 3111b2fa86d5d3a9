"""The statistics against slow obvious ones, and the bootstrap against data whose truth is known."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from smartmoney.learning.resampling import (
    BLOCKS_MIN,
    LEVELS,
    auc,
    block_starts,
    correlations,
    interval,
    lagged_correlations,
    mean_interval,
    resampled_sums,
)

NO_BLOCKS = np.empty((0, 0), np.int64)
small = st.floats(-1e6, 1e6, width=32)


def autoregressive(rng, count, rows, coefficient):
    """Return `count` stationary AR(1) series with variance 1, a series a row."""
    noise = rng.standard_normal((count, rows)) * np.sqrt(1 - coefficient**2)
    series = np.empty_like(noise)
    series[:, 0] = rng.standard_normal(count)
    for t in range(1, rows):
        series[:, t] = coefficient * series[:, t - 1] + noise[:, t]
    return series


def covered(x, y, truth, length, seed):
    _, samples, _ = correlations(x[:, None], y, block_starts(len(y), length, 300, seed), length)
    low, high = interval(samples)
    return low[0] <= truth <= high[0]


def test_intervals_cover_a_known_correlation_as_often_as_they_say():
    rng = np.random.default_rng(7)
    worlds, rows, truth = 200, 1500, 0.4
    x = autoregressive(rng, worlds, rows, 0.6)
    y = truth * x + np.sqrt(1 - truth**2) * autoregressive(rng, worlds, rows, 0.6)
    share = np.mean([covered(x[k], y[k], truth, 30, k) for k in range(worlds)])
    # 95 % in the limit; blocks of 30 out of 1,500 rows are a little short of it. Three deviations of 200 trials are 4.6 %.
    assert 0.88 <= share <= 0.99


@pytest.mark.slow
def test_blocks_are_needed_where_rows_depend_on_each_other():
    rng = np.random.default_rng(8)
    worlds, rows = 100, 1500
    x, y = autoregressive(rng, worlds, rows, 0.95), autoregressive(rng, worlds, rows, 0.95)
    single = np.mean([covered(x[k], y[k], 0.0, 1, k) for k in range(worlds)])
    blocked = np.mean([covered(x[k], y[k], 0.0, 75, k) for k in range(worlds)])
    assert single < 0.65
    assert blocked > 0.8


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(4, 40), st.integers(1, 4)), elements=small),
    st.integers(0, 2**32),
)
def test_correlation_is_that_of_numpy_over_the_known_rows(x, seed):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(len(x))
    x[rng.random(x.shape) < 0.2] = np.nan
    values, _, count = correlations(x, y, NO_BLOCKS, 1)
    for column, value, n in zip(x.T, values, count, strict=True):
        known = np.isfinite(column)
        assert n == known.sum()
        spread = column[known].std() if known.any() else 0.0
        if n < 3 or spread <= 1e-9 * np.abs(column[known]).max(initial=0.0):
            assert np.isnan(value) or -1 <= value <= 1
            continue
        assert value == pytest.approx(np.corrcoef(column[known], y[known])[0, 1], abs=1e-6)


def test_a_constant_has_no_correlation_however_large_it_is():
    y = np.random.default_rng(1).standard_normal(50)
    x = np.stack((np.full(50, 1e12), np.zeros(50), np.full(50, np.nan)), axis=1)
    values, _, _ = correlations(x, y, NO_BLOCKS, 1)
    assert np.isnan(values).all()


@given(hnp.arrays(np.float64, st.tuples(st.integers(20, 60), st.just(2)), elements=small), st.integers(1, 2), st.integers(0, 99))
def test_sums_of_blocks_are_the_sums_of_their_rows(values, length, seed):
    starts = block_starts(len(values), length, 5, seed)
    assert starts.shape == (5, round(len(values) / length))
    sums = resampled_sums(values, starts, length)
    for chosen, total in zip(starts, sums, strict=True):
        rows = np.concatenate([values[start : start + length] for start in chosen])
        np.testing.assert_allclose(total, rows.sum(axis=0), rtol=1e-9, atol=1e-6 * max(1.0, np.abs(values).sum()))


def test_too_few_blocks_give_no_interval_and_the_seed_gives_the_same_ones():
    assert block_starts(100, 100 // (BLOCKS_MIN - 1), 10, 0).shape == (10, 0)
    assert (block_starts(100, 10, 10, 3) == block_starts(100, 10, 10, 3)).all()
    assert (block_starts(100, 10, 10, 3) != block_starts(100, 10, 10, 4)).any()
    x, y = np.arange(20.0), np.arange(20.0) ** 2
    value, samples, _ = correlations(x[:, None], y, block_starts(20, 10, 50, 0), 10)
    low, high = interval(samples)
    assert value[0] > 0.9
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_a_column_known_for_too_few_rows_has_no_interval():
    rng = np.random.default_rng(2)
    y = rng.standard_normal(300)
    x = np.stack((y + rng.standard_normal(300), y + rng.standard_normal(300)), axis=1)
    x[: 300 - 10 * BLOCKS_MIN + 1, 1] = np.nan
    starts = block_starts(300, 10, 50, 0)
    value, samples, count = correlations(x, y, starts, 10)
    assert count.tolist() == [300, 10 * BLOCKS_MIN - 1]
    assert np.isfinite(value).all()
    assert np.isfinite(samples[:, 0]).all()
    assert np.isnan(samples[:, 1]).all()
    assert len(auc(x[:, 0], y, starts, 10)[1]) == 50
    assert len(auc(x[:, 1], y, starts, 10)[1]) == 0


def test_an_interval_needs_nine_tenths_of_the_resamples():
    samples = np.tile(np.linspace(0.0, 1.0, 101)[:, None], (1, 2))
    samples[:20, 1] = np.nan
    low, high = interval(samples)
    assert (low[0], high[0]) == pytest.approx((0.025, 0.975))
    assert np.isnan(low[1])
    assert np.isnan(high[1])


@given(hnp.arrays(np.float64, st.integers(2, 60), elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0, np.nan])), st.integers(0, 2**32))
def test_auc_is_that_of_sklearn_ties_and_all(x, seed):
    y = np.random.default_rng(seed).choice([-1.0, 0.0, 2.0, np.nan], len(x))
    area, _, count = auc(x, y, NO_BLOCKS, 1)
    known = np.isfinite(x) & np.isfinite(y) & (y != 0)
    assert count == known.sum()
    if len(set(y[known] > 0)) < 2:
        assert np.isnan(area)
        return
    assert area == pytest.approx(roc_auc_score(y[known] > 0, x[known]), abs=1e-12)
    assert auc(-x, y, NO_BLOCKS, 1)[0] == pytest.approx(1 - area, abs=1e-12)
    assert auc(x, -y, NO_BLOCKS, 1)[0] == pytest.approx(1 - area, abs=1e-12)
    assert auc(x**3, y, NO_BLOCKS, 1)[0] == pytest.approx(area, abs=1e-12)


def test_linearised_auc_interval_is_that_of_ranking_every_resample_anew():
    rng = np.random.default_rng(5)
    rows, length = 900, 30
    x = autoregressive(rng, 1, rows, 0.5)[0]
    y = np.where(rng.random(rows) < 0.3, 0.0, 0.5 * x + rng.standard_normal(rows))
    starts = block_starts(rows, length, 400, 1)
    _, samples, _ = auc(x, y, starts, length)
    again = []
    for chosen in starts:
        at = np.concatenate([np.arange(start, start + length) for start in chosen])
        moved = at[y[at] != 0]
        again.append(roc_auc_score(y[moved] > 0, x[moved]))
    np.testing.assert_allclose(interval(samples), interval(np.array(again)), atol=0.006)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(0, 2**32))
def test_autocorrelation_is_over_pairs_exactly_that_far_apart(lag, seed):
    rng = np.random.default_rng(seed)
    times = np.arange(80, dtype=np.int64)
    times[40:] += 7  # a hole
    x = rng.standard_normal((80, 1)).cumsum(axis=0)
    x[rng.random(80) < 0.1] = np.nan
    [value] = lagged_correlations(x, times, lag, lag)
    column = dict(zip(times.tolist(), x[:, 0].tolist(), strict=True))
    pairs = np.array([(v, column[t - lag]) for t, v in column.items() if t - lag in column])
    # The hole is longer than some lags: only rows that stand `lag` positions apart are paired.
    pairs = pairs[np.isfinite(pairs).all(axis=1)] if lag < 7 else None
    if pairs is not None and len(pairs) > 3:
        assert value == pytest.approx(np.corrcoef(pairs.T)[0, 1], abs=1e-9)
    assert -1 <= value <= 1


def test_a_lag_beyond_the_rows_is_unknown():
    x = np.ones((5, 2))
    assert np.isnan(lagged_correlations(x, np.arange(5), 5, 5)).all()
    assert np.isnan(lagged_correlations(x, np.arange(5), 0, 0)).all()


def test_the_interval_of_a_mean_takes_the_memory_of_one_resample():
    values = np.random.default_rng(1).normal(2.0, 1.0, 3_000)
    tracemalloc.start()
    try:
        low, high = mean_interval(values)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert low < values.mean() < high
    drawn = block_starts(3_000, 1, 2_000, 7)
    assert (low, high) == tuple(np.quantile([values[chosen].mean() for chosen in drawn], LEVELS))

"""Uniqueness, Sharpe ratios, overfitting and gains: values by hand, references written anew, and what must hold of any input."""

from itertools import combinations
from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from smartmoney.learning.validation.gains import mean_gain, paired_gain
from smartmoney.learning.validation.overfitting import overfitting
from smartmoney.learning.validation.sharpe import (
    SharpeEstimate,
    deflated_sharpe,
    estimate_sharpe,
    luckiest_sharpe,
    probabilistic_sharpe,
    sharpe_ratios,
)
from smartmoney.learning.validation.uniqueness import effective_count, uniqueness


def test_uniqueness_by_hand():
    # Bars 0..3 hold 1, 2, 2, 1 labels.
    weights = uniqueness(np.array([0, 1]), np.array([2, 3]))
    assert weights == pytest.approx([(1 + 0.5 + 0.5) / 3] * 2)
    assert effective_count(weights) == pytest.approx(4 / 3)
    assert list(uniqueness(np.array([0, 5]), np.array([1, 7]))) == [1.0, 1.0]
    assert uniqueness(np.empty(0, np.int64), np.empty(0, np.int64)).shape == (0,)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=40))
def test_uniqueness_is_what_counting_bar_by_bar_gives(lives):
    first = np.array([begin for begin, _ in lives])
    last = np.array([begin + life for begin, life in lives])
    weights = uniqueness(first, last)
    for one in range(len(lives)):
        bars = range(first[one], last[one] + 1)
        alive = [sum(first[other] <= bar <= last[other] for other in range(len(lives))) for bar in bars]
        assert weights[one] == pytest.approx(np.mean([1 / count for count in alive]))
    assert 0 < effective_count(weights) <= len(lives) + 1e-9


def test_uniqueness_refuses_lives_that_end_before_they_begin():
    with pytest.raises(ValueError, match="not before it"):
        uniqueness(np.array([3]), np.array([2]))


def test_a_sharpe_ratio_is_estimated_with_its_moments():
    returns = stats.skewnorm.rvs(4, loc=0.1, size=500, random_state=1)
    found = estimate_sharpe(returns)
    assert found.ratio == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert (found.skewness, found.kurtosis) == pytest.approx((stats.skew(returns), stats.kurtosis(returns, fisher=False)))
    assert estimate_sharpe(np.zeros(50)).ratio == 0.0
    assert isnan(estimate_sharpe(np.ones(1)).ratio)


def test_probabilistic_and_deflated_ratios_are_the_papers_formulas():
    found = SharpeEstimate(0.1, 1250, -0.4, 5.0)
    spread = np.sqrt(1 + 0.4 * 0.1 + (5.0 - 1) / 4 * 0.1**2)
    assert probabilistic_sharpe(found, 0.05) == pytest.approx(stats.norm.cdf(0.05 * np.sqrt(1249) / spread))
    star = 0.03 * ((1 - 0.5772156649) * stats.norm.ppf(1 - 1 / 100) + 0.5772156649 * stats.norm.ppf(1 - 1 / (100 * np.e)))
    assert luckiest_sharpe(100, 0.03**2) == pytest.approx(star)
    assert deflated_sharpe(found, 100, 0.03**2) == pytest.approx(stats.norm.cdf((0.1 - star) * np.sqrt(1249) / spread))
    # The paper's own example: SR 2.5 a year, T = 1250 days, skewness -3, kurtosis 10, 100 trials with variance 1/2 a year: about 0.90.
    example = SharpeEstimate(2.5 / np.sqrt(250), 1250, -3.0, 10.0)
    assert deflated_sharpe(example, 100, 0.5 / 250) == pytest.approx(0.9004, abs=1e-3)


@given(st.floats(-0.5, 0.5), st.integers(20, 5000), st.integers(1, 400), st.integers(1, 400), st.floats(1e-6, 0.1))
def test_a_deflated_ratio_never_rises_with_the_number_of_trials(ratio, count, trials, more, variance):
    found = SharpeEstimate(ratio, count, 0.0, 3.0)
    assert deflated_sharpe(found, trials + more, variance) <= deflated_sharpe(found, trials, variance)


def test_more_trials_deflate_a_good_ratio_strictly_and_one_trial_not_at_all():
    found = SharpeEstimate(0.08, 1000, 0.0, 3.0)
    seen = [deflated_sharpe(found, trials, 0.02**2) for trials in (1, 2, 10, 100, 1000)]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)
    assert seen[0] == probabilistic_sharpe(found)


def test_the_luckiest_of_many_without_skill_shows_what_is_expected_of_it():
    ratios = np.random.default_rng(3).normal(0.0, 0.02, (4000, 50))
    assert luckiest_sharpe(50, 0.02**2) == pytest.approx(ratios.max(axis=1).mean(), rel=0.03)


def test_moments_that_no_sample_has_refuse_a_verdict():
    assert isnan(probabilistic_sharpe(SharpeEstimate(2.0, 10, 3.0, 1.0)))
    assert isnan(deflated_sharpe(SharpeEstimate(0.1, 100, 0.0, 3.0), 10, float("nan")))


def slow_overfitting(returns, blocks):
    """Bailey's recipe word by word, for trials without ties."""
    parts = np.array_split(returns, blocks)
    below = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[block] for block in chosen])
        outside = np.concatenate([parts[block] for block in range(blocks) if block not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        rank = stats.rankdata(outside.mean(axis=0) / outside.std(axis=0, ddof=1))[best] / (returns.shape[1] + 1)
        below.append(0.5 if abs(rank - 0.5) < 1e-9 else float(rank < 0.5))
    return np.mean(below), len(below)


@pytest.mark.parametrize(("periods", "trials", "blocks"), [(90, 5, 6), (200, 12, 8), (67, 4, 4)])
def test_overfitting_is_what_the_recipe_gives_word_by_word(periods, trials, blocks):
    returns = np.random.default_rng(periods).normal(0.02, 1.0, (periods, trials))
    found = overfitting(returns, blocks)
    assert (found.pbo, found.combinations) == pytest.approx(slow_overfitting(returns, blocks))


@pytest.mark.slow
def test_noise_is_overfitted_one_time_in_two_and_a_planted_edge_never():
    chance = np.random.default_rng(11)
    of_noise = [overfitting(chance.normal(size=(480, 20))).pbo for _ in range(24)]
    assert np.mean(of_noise) == pytest.approx(0.5, abs=0.1)
    planted = chance.normal(size=(480, 20))
    planted[:, 7] += 0.5
    found = overfitting(planted)
    assert found.combinations == 12_870
    assert found.pbo < 0.01
    assert found.rank > 0.9


def test_trials_that_never_trade_say_nothing():
    found = overfitting(np.zeros((64, 4)))
    assert (found.pbo, found.loss) == (0.5, 0.0)
    twice = np.random.default_rng(2).normal(size=(64, 3))
    assert 0.0 <= overfitting(np.concatenate((twice, twice), axis=1)).pbo <= 1.0
    assert sharpe_ratios(np.column_stack((np.zeros(9), np.full(9, 0.1), np.arange(9.0))))[:2] == pytest.approx([0.0, 0.0])


@given(st.integers(0, 2**31), st.floats(1e-6, 1e6))
def test_overfitting_depends_neither_on_scale_nor_on_the_order_of_trials(seed, scale):
    chance = np.random.default_rng(seed)
    returns = chance.normal(size=(40, 5))
    found = overfitting(returns, 4)
    assert overfitting(scale * returns, 4).pbo == pytest.approx(found.pbo)
    assert overfitting(returns[:, chance.permutation(5)], 4).pbo == pytest.approx(found.pbo)


@pytest.mark.parametrize(("shape", "blocks", "says"), [((31, 4), 16, "32 periods"), ((64, 1), 16, "2 trials"), ((64, 4), 7, "even")])
def test_overfitting_says_what_it_lacks(shape, blocks, says):
    with pytest.raises(ValueError, match=says):
        overfitting(np.ones(shape), blocks)


def dependent(rows, seed, mean):
    noise = np.random.default_rng(seed).normal(size=rows + 4)
    return mean + np.convolve(noise, np.ones(5) / np.sqrt(5), "valid")


def test_a_gain_is_found_where_there_is_one_and_covers_zero_where_there_is_none():
    real = mean_gain(dependent(4000, 1, 0.3), 20, seed=5)
    assert real.low > 0.0
    assert real.p_value < 0.01
    assert real.low < real.mean < real.high
    false = [mean_gain(dependent(1000, seed, 0.0), 20, seed=5, resamples=400) for seed in range(100)]
    assert sum(one.low > 0.0 for one in false) <= 8
    assert sum(one.p_value < 0.05 for one in false) <= 13


def test_blocks_widen_the_interval_of_dependent_rows():
    values = dependent(2000, 3, 0.0)
    alone, together = mean_gain(values, 1, seed=1), mean_gain(values, 25, seed=1)
    assert together.high - together.low > 1.7 * (alone.high - alone.low)
    # An independent reference: the mean's deviation is sqrt(5/rows) here, the sum of all autocovariances over the rows.
    assert together.high - together.low == pytest.approx(2 * 1.96 * np.sqrt(5 / 2000), rel=0.2)


def test_paired_scores_are_compared_row_by_row_and_too_few_rows_say_nothing():
    common = np.random.default_rng(1).normal(0.0, 10.0, 500)
    found = paired_gain(common + 0.1, common, 5, seed=2)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    few = mean_gain(np.ones(9), 1, seed=1)
    assert few.mean == 1.0
    assert isnan(few.low)
    assert isnan(few.p_value)
    with pytest.raises(ValueError, match="no pairs"):
        paired_gain(np.ones(3), np.ones(4), 1, seed=1)
    assert mean_gain(common, 5, seed=2) == mean_gain(common, 5, seed=2)

"""Calibrated forecasts look calibrated, boastful ones do not, and a few of one moment prove nothing."""

import math

import numpy as np
import pytest

from smartmoney.learning.reliability import BINS, ReliabilityCount, added, bin_of, wilson

S = 1_000_000_000


def heard(n, seed=1, boast=0.0, apart_s=60, source=0):
    count = ReliabilityCount()
    random = np.random.default_rng(seed)
    for number in range(n):
        truth = random.uniform(0.5, 0.9)
        count.add(min(truth + boast, 1.0), 1 if random.uniform() < truth else -1, source, number * apart_s * S, 60 * S)
    return count.told()


def test_the_calibrated_lie_on_the_diagonal():
    told = heard(4_000)
    assert told.n == told.horizons == 4_000
    inside = [one for one in told.bins if one.n and one.interval[0] <= one.confidence <= one.interval[1]]
    assert len(inside) >= 7
    assert told.ece < 0.03
    assert told.ece_of_chance == pytest.approx(told.ece, abs=0.02)
    assert told.brier == pytest.approx(0.2, abs=0.02)


def test_the_boastful_do_not():
    told = heard(4_000, boast=0.15)
    assert told.ece == pytest.approx(0.15, abs=0.03)
    assert told.ece > 3 * told.ece_of_chance


def test_forecasts_of_one_moment_count_as_one():
    told = heard(600, apart_s=1)
    assert (told.n, told.horizons) == (600, 10)
    fullest = max(told.bins, key=lambda one: one.n)
    assert fullest.horizons <= 10
    low, high = fullest.interval
    assert high - low > 0.4
    assert told.ece_of_chance > 0.08


def test_ties_prove_nothing_and_nothing_is_said_of_nothing():
    count = ReliabilityCount()
    count.add(0.7, 0, 0, 0, S)
    told = count.told(pending=3)
    assert (told.n, told.ties, told.pending) == (0, 1, 3)
    assert (told.brier, told.ece, told.accuracy, told.ece_of_chance) == (None, None, None, None)
    assert told.bins[0].interval == (0.0, 1.0)
    assert math.isnan(told.bins[0].share)


def test_stretches_add_up():
    one, two = heard(500, 1), heard(700, 2)
    both = added([one, two])
    assert (both.n, both.horizons) == (1_200, 1_200)
    assert both.brier == pytest.approx((one.brier * 500 + two.brier * 700) / 1_200)
    assert added([one, two]) == added([two, one])


@pytest.mark.parametrize(("confidence", "index"), [(0.5, 0), (0.549, 0), (0.55, 1), (0.7, 4), (0.95, 9), (1.0, 9), (0.3, 0)])
def test_bins_have_their_lower_edge(confidence, index):
    assert bin_of(confidence) == index
    assert 0 <= bin_of(confidence) < BINS


def test_wilson_is_wide_for_few_and_narrow_for_many():
    assert wilson(0.5, 0) == (0.0, 1.0)
    assert wilson(1.0, 3)[0] < 0.5
    low, high = wilson(0.5, 10_000)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.5098, abs=1e-3))

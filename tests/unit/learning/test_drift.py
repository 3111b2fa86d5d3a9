"""The drift monitors: ADWIN against a reference that keeps every value, PSI against its formula, the calibration watch against chance."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.learning.drift import Adwin, CalibrationWatch, bin_edges, chance_psi, cut_bound, deciles, psi, psi_of_shares, report, shares


class Reference:
    """Keep the values of every bucket, and look at every cut between buckets with plain means and variances."""

    def __init__(self, delta, clock):
        self.delta, self.clock, self.ticks = delta, clock, 0
        self.buckets = []  # newest last: lists of values whose sizes are powers of two

    def update(self, value):
        self.buckets.append([value])
        size = 1
        while True:
            same = [k for k, bucket in enumerate(self.buckets) if len(bucket) == size]
            if len(same) <= 5:
                break
            first, second = same[0], same[1]
            self.buckets[first : second + 1] = [self.buckets[first] + self.buckets[second]]
            size *= 2
        self.ticks += 1
        if self.ticks % self.clock or self.width <= 10:
            return False
        found = False
        while self._cut():
            found = True
        return found

    def _cut(self):
        everything = [value for bucket in self.buckets for value in bucket]
        variance = float(np.var(everything))
        for k in range(1, len(self.buckets)):
            old = [value for bucket in self.buckets[:k] for value in bucket]
            new = everything[len(old) :]
            if len(old) < 5 or len(new) < 5:
                continue
            if abs(np.mean(old) - np.mean(new)) > cut_bound(len(old), len(new), len(everything), variance, self.delta):
                del self.buckets[0]
                return True
        return False

    @property
    def width(self):
        return sum(map(len, self.buckets))


@pytest.mark.slow
@given(st.integers(0, 10_000), st.sampled_from([1, 8, 32]), st.sampled_from([0.002, 0.05]), st.floats(-2, 2))
@settings(max_examples=25, deadline=None)
def test_adwin_is_the_reference_value_for_value(seed, clock, delta, shift):
    rng = np.random.default_rng(seed)
    values = np.concatenate((rng.normal(0.0, 1.0, 250), rng.normal(shift, 1.0, 250)))
    ours, theirs = Adwin(delta, clock), Reference(delta, clock)
    for value in values.tolist():
        assert ours.update(value) == theirs.update(value)
        assert ours.width == theirs.width
    everything = [value for bucket in theirs.buckets for value in bucket]
    assert ours.mean == pytest.approx(np.mean(everything), abs=1e-9)
    assert ours.variance == pytest.approx(np.var(everything), abs=1e-9)


def test_a_change_is_found_soon_and_the_window_forgets_what_was_before():
    rng = np.random.default_rng(1)
    watch = Adwin()
    for value in rng.normal(0.65, 0.1, 2000).tolist():
        watch.update(value)
    assert watch.detections == 0
    found = [k for k, value in enumerate(rng.normal(0.8, 0.1, 400).tolist()) if watch.update(value)]
    assert found[0] < 100
    assert watch.mean == pytest.approx(0.8, abs=0.03)


def test_false_alarms_are_rare():
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(20):
        watch = Adwin()
        for value in rng.normal(0.0, 1.0, 2000).tolist():
            watch.update(value)
        alarms += watch.detections > 0
    assert alarms <= 2


@pytest.mark.parametrize("bad", [{"delta": 0.0}, {"delta": 1.0}, {"clock": 0}])
def test_settings_that_mean_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="delta"):
        Adwin(**bad)


def test_what_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="cannot be watched"):
        Adwin().update(float("nan"))


def test_psi_is_its_formula_zero_for_the_same_and_large_for_a_shift():
    rng = np.random.default_rng(3)
    trained = rng.normal(size=20_000)
    edges = deciles(trained)
    expected = shares(trained, edges)
    assert expected[:-1].tolist() == pytest.approx([0.1] * 10, abs=0.001)
    assert psi(expected, expected) == 0.0
    assert psi(expected, shares(rng.normal(size=20_000), edges)) < 0.01
    assert psi(expected, shares(rng.normal(0.6, size=20_000), edges)) > 0.25
    assert psi(np.array([0.5, 0.5]), np.array([0.9, 0.1])) == pytest.approx(0.4 * math.log(1.8) - 0.4 * math.log(0.2))


def test_a_feature_that_went_missing_drifts():
    edges = deciles(np.arange(1000.0))
    expected = shares(np.arange(1000.0), edges)
    assert psi(expected, shares(np.where(np.arange(1000) % 2, np.nan, np.arange(1000.0)), edges)) > 0.25


def test_the_calibration_watch_is_quiet_for_the_calibrated_and_loud_for_the_overconfident():
    rng = np.random.default_rng(4)
    calm, loud = CalibrationWatch(), CalibrationWatch()
    for p in rng.uniform(0.5, 0.9, 3000).tolist():
        calm.took(p, float(rng.random() < p))
        loud.took(p, float(rng.random() < 0.5))
    assert abs(calm.z) < 3
    assert loud.z < -10
    before = loud.z
    loud.took(float("nan"), 1.0)
    assert loud.z == before


def test_calibration_that_mends_is_quiet_again():
    rng = np.random.default_rng(5)
    watch = CalibrationWatch(500)
    for _ in range(2000):
        watch.took(0.8, float(rng.random() < 0.5))
    assert watch.z < -10
    for _ in range(500):
        watch.took(0.8, float(rng.random() < 0.8))
    assert abs(watch.z) < 3


def test_the_report_acts_on_any_monitor():
    assert report({}, 0, 0.0).level == "ok"
    assert report({"a": 0.12, "b": 0.01}, 0, 0.0).level == "watch"
    assert report({"a": 0.3}, 0, 0.0).level == "act"
    assert report({}, 1, 0.0).level == "act"
    assert report({}, 0, -4.5).level == "act"
    assert report({"a": 0.3, "b": 0.4}, 0, 0.0).feature == "b"


def test_a_feature_that_hardly_moves_drifts_by_a_quarter_and_not_by_a_hundredth():
    """A one-tick spread in bps is the tick over the price."""
    rng = np.random.default_rng(6)
    trained = 1.6 + 0.004 * rng.standard_normal(5000)
    edges = bin_edges(trained)
    expected = shares(trained, edges)
    for times, drifts in ((1.0, False), (1.03, False), (0.9, False), (1.4, True), (0.6, True), (0.0, True)):
        assert (psi_of_shares(expected, shares(trained * times, edges)) > 0.25) == drifts, times


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_a_feature_of_either_sign_keeps_its_deciles(shift):
    rng = np.random.default_rng(7)
    trained = rng.standard_normal(20_000)
    edges = bin_edges(trained)
    assert set(deciles(trained)) - set(edges) <= {edge for edge in deciles(trained) if abs(edge) < 0.05}
    assert (psi_of_shares(shares(trained, edges), shares(rng.standard_normal(1440) + shift, edges)) > 0.25) == bool(shift)


def test_features_that_are_warm_where_training_was_not_are_no_drift_and_the_other_way_they_are():
    values = np.random.default_rng(8).standard_normal(2000)
    edges = bin_edges(values)
    warm, cold = shares(values, edges), shares(np.where(np.arange(2000) < 300, np.nan, values), edges)
    assert psi_of_shares(cold, warm) < 0.01
    assert psi_of_shares(warm, cold) > 0.25


def test_nothing_known_has_no_edges():
    assert bin_edges(np.full(5, np.nan)) == ()


def test_chance_allows_a_slow_feature_more_than_a_quick_one_and_is_seldom_exceeded():
    rng = np.random.default_rng(9)
    noise = rng.standard_normal(40 * 1440)
    quick, slow = noise, np.convolve(noise, np.ones(60), "same")
    assert chance_psi([slow[:1440]], 11, 1440) > 20 * chance_psi([quick[:1440]], 11, 1440)
    for values in (quick, slow):
        days = values.reshape(40, 1440)
        edges = bin_edges(days[0])
        limit = chance_psi([days[0]], len(edges) + 1, 1440)
        expected = shares(days[0], edges)
        assert np.mean([psi_of_shares(expected, shares(day, edges)) > 1.25 * limit for day in days[1:]]) <= 0.15
    assert chance_psi([np.full(50, np.nan)], 11, 1440) == chance_psi([np.ones(50)], 11, 1440) == chance_psi([], 11, 1440) == 0.0

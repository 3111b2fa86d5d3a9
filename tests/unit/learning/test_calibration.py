"""Calibrators by effective size, the honest calibration error, conformal thresholds."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartmoney.learning.calibration import (
    apply,
    calibrate,
    calibrated_apart,
    conformal_thresholds,
    fit_temperature,
    log_loss,
    reliability,
    weighted_auc,
)


def forecasts(rows, seed=0, sharpen=2.0):
    """Return overconfident probabilities and outcomes that follow the true ones."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0.0, 0.8, rows)
    outcome = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    return 1 / (1 + np.exp(-sharpen * logit)), outcome


@pytest.mark.parametrize(("effective", "kind"), [(300, "platt"), (999, "platt"), (1001, "beta"), (4999, "beta"), (5001, "isotonic")])
def test_the_calibrator_follows_the_effective_number_of_rows(effective, kind):
    p, outcome = forecasts(20_000)
    assert calibrate(p, outcome, np.full(len(p), effective / len(p))).kind == kind


@pytest.mark.parametrize("effective", [500, 3000, 20_000])
def test_calibration_undoes_overconfidence_on_new_rows(effective):
    p, outcome = forecasts(20_000, 1)
    calibrator = calibrate(p, outcome, np.full(len(p), effective / len(p)))
    fresh, came = forecasts(20_000, 2)
    ones = np.ones(len(fresh))
    before = reliability(fresh, came, ones, np.arange(len(fresh)) % 20)
    after = reliability(apply(calibrator, fresh), came, ones, np.arange(len(fresh)) % 20)
    assert before.ece > 0.05
    assert after.ece < 0.02
    assert after.slope == pytest.approx(1.0, abs=0.1)


def test_a_calibrator_never_turns_a_forecast_round():
    p, outcome = forecasts(2000, 3)
    flipped = calibrate(p, 1.0 - outcome, np.full(len(p), 0.3))
    assert flipped.kind == "platt"
    assert flipped.parameters[0] == 0.0


def test_a_calibrator_of_noise_looks_right_on_its_own_rows_and_not_on_groups_that_it_has_not_seen():
    own, apart, skill = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(20), 10)
        # A group's outcomes go together, so that 200 rows are not 200 proofs.
        outcome = (rng.random(200) < rng.uniform(0.1, 0.9, 20)[groups]).astype(float)
        noise, ones = rng.uniform(0.01, 0.99, 200), np.ones(200)
        own.append(reliability(apply(calibrate(noise, outcome, ones), noise), outcome, ones, groups).skill)
        honest = reliability(calibrated_apart(noise, outcome, ones, groups), outcome, ones, groups)
        apart.append(honest.skill)
        skill.append(honest.ece_squared)
    assert min(own) > -1e-3  # it makes the log-loss least, not the Brier score
    assert np.mean(apart) < -0.01
    assert np.mean(skill) > 0.03**2


def test_a_row_is_calibrated_by_other_groups_alone():
    p, outcome = forecasts(400, 6)
    groups, ones = np.arange(400) // 40, np.ones(400)
    found = calibrated_apart(p, outcome, ones, groups, 5)
    changed = np.where(groups == 3, 1.0 - outcome, outcome)
    again = calibrated_apart(p, changed, ones, groups, 5)
    # Groups 2 and 3 stay together, and every other row's calibrator saw them.
    assert np.array_equal(found[(groups == 2) | (groups == 3)], again[(groups == 2) | (groups == 3)])
    assert not np.isclose(found[groups == 5], again[groups == 5]).any()
    assert np.isnan(calibrated_apart(p, outcome, ones, np.zeros(400))).all()


def test_one_class_needs_no_calibrator():
    assert calibrate(np.linspace(0.1, 0.9, 50), np.ones(50), np.ones(50)).kind == "identity"


@pytest.mark.parametrize("rows", [500, 9000])
def test_a_perfect_forecaster_has_no_debiased_error_though_the_plain_one_grows_with_noise(rows):
    plain, honest = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.2, 0.8, rows)
        found = reliability(p, (rng.random(rows) < p).astype(float), np.ones(rows), np.arange(rows) // (rows // 50))
        plain.append(found.ece_plain)
        honest.append(found.ece)
    assert np.mean(honest) < 0.6 * np.mean(plain)
    assert np.mean(plain) > (0.04 if rows == 500 else 0.01)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_area_is_sklearns(seed):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    score, outcome, weight = rng.integers(0, 8, 200) / 8.0, rng.integers(0, 2, 200).astype(float), rng.random(200)
    outcome[:2] = (0.0, 1.0)
    assert weighted_auc(score, outcome, weight) == pytest.approx(roc_auc_score(outcome, score, sample_weight=weight))


def test_the_temperature_that_blunted_margins_is_found():
    rng = np.random.default_rng(5)
    margins = rng.normal(0, 1.5, (20_000, 5))
    p = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    classes = (p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1)
    assert fit_temperature(3.0 * margins, classes, np.ones(len(p))) == pytest.approx(3.0, rel=0.05)


def test_conformal_sets_cover_what_they_promise_per_group():
    rng = np.random.default_rng(6)
    p_up = rng.uniform(0.3, 0.7, 40_000)
    up = rng.random(len(p_up)) < p_up
    group = rng.integers(0, 2, len(p_up))
    p_true = np.where(up, p_up, 1.0 - p_up)
    q = conformal_thresholds(p_true[:20_000], group[:20_000], np.ones(20_000), 5)
    for k in range(2):
        inside = group[20_000:] == k
        assert (p_true[20_000:][inside] >= 1.0 - q[k]).mean() == pytest.approx(0.9, abs=0.01)
    assert q[2:] == (1.0, 1.0, 1.0)


def test_scarce_rows_that_count_for_many_are_no_more_evidence():
    rows = np.full(60, 1.0)
    few = conformal_thresholds(np.full(60, 0.9), np.zeros(60, np.int64), rows, 1, counted=np.full(60, 0.1))
    enough = conformal_thresholds(np.full(60, 0.9), np.zeros(60, np.int64), rows, 1, counted=rows)
    assert few == (1.0,)
    assert enough == pytest.approx((0.1,))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200), st.sampled_from((6.0, 10.0)), st.sampled_from((2.5, 4.0)))
@example(seed=28, sharpness=6.0, gain=2.5)
def test_a_calibrator_is_never_worse_than_the_share_that_came_true(seed, sharpness, gain):
    # The two columns of the beta map nearly agree where hardly any confidence is far from one half.
    rng = np.random.default_rng(seed)
    p = 0.5 + 0.45 * rng.beta(1.0, sharpness, 2000)
    came = (rng.random(2000) < 1.0 / (1.0 + np.exp(0.1 - gain * (np.log(p) - np.log1p(-p))))).astype(np.float64)
    weights = np.ones(2000)
    said = apply(calibrate(p, came, weights), p)
    assert log_loss(said, came, weights) <= log_loss(np.full(2000, came.mean()), came, weights) + 1e-9

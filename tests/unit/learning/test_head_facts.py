"""What is fitted on out-of-fold rows: a family counts as the root of its rows, and one alone makes no law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX
from smartmoney.learning.boosting.models import calibrated_up
from smartmoney.learning.fitting.heads import SIGMA_FEATURES, Calibrating, HeadRows, by_family, common_scale, fit_facts, return_scale
from smartmoney.learning.fitting.plan import Sample


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


def _said(known_unseen, rows=1200, families=6, seed=8):
    """Return labelled rows, their sample and families, and what both kinds of folds said: fresh worlds are well foretold.

    Of unseen families the first `known_unseen` are foretold, but half as well.
    """
    rng = np.random.default_rng(seed)
    count = rows * families
    family = np.repeat(np.arange(families), rows)
    raw = rng.uniform(0.2, 0.8, count)
    up = (rng.random(count) < raw).astype(float)
    # Where folds know the family they say what is; where not, they say it of half of the rows.
    blind = (rng.random(count) < 0.5) | (family >= known_unseen)
    unseen = np.where(blind, rng.permutation(raw), raw)
    x = np.zeros((count, len(COLUMNS)), np.float32)
    x[:, [FEATURE_INDEX[name] for name in SIGMA_FEATURES]] = rng.uniform(1.0, 3.0, (count, 1))
    at = np.arange(count)
    made = Sample(x=x, source=family, row=at, times=at, group=family, is_world=family >= 0)
    lean = np.where(raw >= 0.5, 1.0, -1.0) * (2 * np.abs(raw - 0.5))
    head = HeadRows(at=at, up=up, moved_bps=lean * 5.0 + rng.standard_normal(count), weight=np.full(count, 0.2))
    return head, made, family, unseen, raw


def _fitted(share, known_unseen=6):
    head, made, family, unseen, fresh = _said(known_unseen)
    regime = np.full(len(head.at), 4)
    told = Calibrating(raw_up=(unseen, fresh), regime=(regime, regime), share=(share, 1.0 - share))
    return fit_facts(told, head, made, family)


def test_confidence_lies_between_what_it_is_in_known_and_in_unseen_families():
    sure = [float(calibrated_up(_fitted(share).calibrator, np.array([0.75]))[0]) for share in (0.0, 0.25, 0.5, 1.0)]
    assert sure == sorted(sure, reverse=True)
    assert sure[0] == pytest.approx(0.75, abs=0.03)
    assert sure[-1] == pytest.approx(0.63, abs=0.03)


def test_one_kind_with_all_of_the_weight_is_that_kind_alone():
    head, made, family, unseen, _ = _said(6)
    regime = np.full(len(head.at), 4)
    alone = fit_facts(Calibrating(raw_up=(unseen,), regime=(regime,), share=(1.0,)), head, made, family)
    assert _fitted(1.0) == alone


def test_a_head_whose_returns_are_gone_in_unseen_families_keeps_silent():
    assert _fitted(0.25).return_scale > 0.3
    assert _fitted(0.25, known_unseen=0).return_scale == 0.0
    assert _fitted(0.0, known_unseen=0).return_scale > 0.3


@given(st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_kinds_share_the_weight_and_what_was_not_said_counts_nothing(share, seed):
    rng = np.random.default_rng(seed)
    raw = [np.where(rng.random(30) < 0.3, np.nan, rng.random(30)) for _ in range(2)]
    weight, family = rng.uniform(0.1, 1.0, 30), rng.integers(0, 3, 30)
    told = Calibrating(raw_up=tuple(raw), regime=(family, family), share=(share, 1.0 - share))
    weights = told.weights(weight, family).reshape(2, -1)
    assert (weights[np.isnan(raw)] == 0.0).all()
    for one, of_kind, worth in zip(raw, weights, (share, 1.0 - share), strict=True):
        known = np.isfinite(one)
        np.testing.assert_allclose(of_kind[known], worth * by_family(weight[known], family[known]))

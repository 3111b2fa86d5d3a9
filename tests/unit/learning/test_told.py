"""How many trees are enough, and what folds of fresh worlds leave out."""

import numpy as np
import pytest

from smartmoney.learning.fitting.plan import FOREVER_NS, family_folds, world_folds
from smartmoney.learning.fitting.told import Told, binary_losses, enough, margin_losses, steps_of
from smartmoney.learning.sets.rows import Rows


def rows(family, name):
    nothing = np.zeros(0)
    return Rows(name=name, family=family, times=np.zeros(0, np.int64), values=np.zeros((0, 0), np.float32), mid_after=nothing, truth=None)


SOURCES = [rows(family, f"{family}{n}") for family in ("a", "b", "c") for n in range(3)]


def test_steps_ascend_to_the_whole_forest():
    for rounds in (1, 2, 7, 100):
        steps = steps_of(rounds)
        assert steps[-1] == rounds
        assert list(steps) == sorted(set(steps))
        assert steps[0] >= 1


def test_the_fewest_trees_that_keep_nearly_all_of_the_gain_are_enough():
    assert enough([[0.60, 0.50, 0.4990, 0.4991, 0.70]], 1000.0) == 1
    assert enough([[0.60, 0.50, 0.45, 0.40, 0.70]], 1000.0) == 3


def test_both_kinds_of_folds_have_a_say():
    assert enough([[0.60, 0.50, 0.70], [0.60, 0.80, 0.70]], 1000.0) == 0


def test_a_forest_that_gains_no_more_than_chance_keeps_the_fewest():
    assert enough([[0.6931, 0.6929, 0.6928, 0.6931]], 1000.0) == 0
    assert enough([[0.72, 0.75, 0.80, 0.6931]], 1000.0) == 0


def test_losses_fall_with_what_is_known_and_end_with_the_base():
    rng = np.random.default_rng(2)
    came = (rng.random(4000) < 0.5).astype(float)
    shown = 1.5 * (2.0 * came - 1.0) + 2.0 * rng.standard_normal(4000)
    guess = np.stack([1.0 / (1.0 + np.exp(-share * shown - (1.0 - share) * rng.standard_normal(4000))) for share in (0.0, 0.5, 1.0)])
    guess[:, :100] = np.nan
    *steps, base = binary_losses(guess, came, np.ones(4000))
    assert base == pytest.approx(np.log(2.0), abs=1e-3)
    assert steps[0] == pytest.approx(base, abs=2e-3)
    assert steps[0] > steps[1] > steps[2]


def test_a_wrong_temperature_is_no_loss():
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 5, 3000)
    margins = rng.standard_normal((3000, 5)) + 1.5 * np.eye(5)[classes]
    one, other, base = margin_losses(np.stack((margins, 3.0 * margins)), classes, np.ones(3000))
    assert one == pytest.approx(other, abs=1e-6)
    assert one < base


def test_folds_of_fresh_worlds_leave_out_some_of_every_family_and_each_once():
    folds = world_folds(SOURCES, 3)
    assert len(folds) == 3
    left_out = np.array([[until == 0 for until in fold.train_until] for fold in folds])
    assert (left_out.sum(axis=0) == 1).all()
    for fold in folds:
        assert {one.family for one, until in zip(SOURCES, fold.train_until, strict=True) if until == 0} == {"a", "b", "c"}
        assert {one.family for one, until in zip(SOURCES, fold.train_until, strict=True) if until == FOREVER_NS} == {"a", "b", "c"}
        assert all((start == 0) == (until == 0) for start, until in zip(fold.test_from, fold.train_until, strict=True))
    for fold in family_folds(SOURCES, 3):
        known = {one.family for one, until in zip(SOURCES, fold.train_until, strict=True) if until == FOREVER_NS}
        assert not known & {one.family for one, until in zip(SOURCES, fold.train_until, strict=True) if until == 0}


def test_with_one_world_of_each_family_none_can_be_fresh():
    assert world_folds([rows("a", "a"), rows("b", "b")], 2) == ()
    assert world_folds(SOURCES, 1) == ()


def test_answers_keep_their_places_and_nobody_was_asked_is_neutral():
    told = Told()
    assert told.is_empty
    test = np.array([True, False, True])
    told.take_filter(test, np.array([[0.1, 0.6, 0.1, 0.1, 0.1], [0.9, 0.0, 0.0, 0.1, 0.0]]))
    assert told.regimes(-1).tolist() == [1, 4, 0]
    told.take_margins(test, np.array([[[0.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0, 0.0]]]))
    assert told.regimes(-1).tolist() == [2, 4, 3]
    told.take_up(60, test, np.array([[0.2, 0.7]]))
    assert np.isnan(told.up[60][0, 1])
    assert told.up[60][0, [0, 2]].tolist() == [0.2, 0.7]

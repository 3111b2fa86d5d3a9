"""The learning curve: worlds in turn, a point for each doubling, and more skill from more worlds where there is something to learn."""

import msgspec
import numpy as np
import pytest

from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.evaluation.curve import in_turn, learning_curve
from smartmoney.learning.fitting.plan import Recipe

from .made_rows import made_rows

RECIPE = Recipe(gb_n_estimators=12, gb_max_depth=3, interaction_depth=1, every_s=10, horizons_s=(60, 300), hmm_rows=4000)


def test_families_come_in_turn():
    worlds = [made_rows(seed, family, 60) for family in ("a", "b") for seed in range(3)]
    assert [one.family for one in in_turn(worlds)] == ["a", "b"] * 3
    assert in_turn([]) == []


def test_every_doubling_and_the_whole_are_points_of_skill():
    training = [made_rows(seed, family, 1200) for family in ("a", "b", "c") for seed in range(1)]
    held_out = [made_rows(50, "other", 1200)]
    found = learning_curve(training, held_out, RECIPE)
    assert [one.worlds for one in found] == [2, 3]
    assert all(0.35 < one.macro_f1 <= 1.0 for one in found)
    assert all(0.5 < one.auc <= 1.0 for one in found)


def test_a_training_that_is_refused_is_a_point_that_says_why():
    """Few worlds need not hold every regime: nobody's whole evaluation ends with it."""
    calm = [made_rows(seed, "a", 1200) for seed in range(2)]
    neutral = [
        msgspec.structs.replace(one, truth=msgspec.structs.replace(one.truth, regime=np.zeros_like(one.truth.regime))) for one in calm
    ]
    (found,) = learning_curve(neutral, [made_rows(50, "other", 1200)], RECIPE)
    assert found.refused
    assert np.isnan(found.macro_f1)


def test_one_world_or_none_held_out_makes_no_curve():
    with pytest.raises(TrainingRefused, match="at least two worlds"):
        learning_curve([made_rows(1, "a", 60)], [made_rows(2, "b", 60)], Recipe())
    with pytest.raises(TrainingRefused, match="held out"):
        learning_curve([made_rows(1, "a", 60)] * 2, [], Recipe())

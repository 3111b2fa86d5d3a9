"""What the detector learns from windows of oracle worlds: small teachers' answers, of the rows that it may learn from alone."""

import numpy as np
import pytest

from smartmoney.learning.boosting.trees import TreeSettings, grow, margins
from smartmoney.learning.fitting.teachers import NO_WAY, WAYS, taught, way_of
from smartmoney.simulation.oracle_world import KINDS

WINDOWS = 400


def noisy_windows(seed):
    """Return rows of windows, one each: column k leans up where a target of way k is there; twenty more columns say nothing."""
    rng, ways = np.random.default_rng(seed), len(WAYS)
    way = np.arange(WINDOWS) % ways
    has_target = rng.random(WINDOWS) < 0.5
    x = rng.standard_normal((WINDOWS, ways + 20))
    x[np.arange(WINDOWS), way] += 1.5 * has_target
    return x.astype(np.float32), has_target, way


def told(x, has_target, way):
    """Return what teachers say when every target buys."""
    return taught(x, has_target, has_target, way, np.ones(len(x)))


def test_every_kind_of_target_has_one_way_and_nothing_else_has():
    assert sorted(kind for kinds in WAYS for kind in kinds) == sorted(KINDS)
    assert all(way_of(f"oracle_{kind}") == number for number, kinds in enumerate(WAYS) for kind in kinds)
    assert way_of("lively") == way_of("oracle_quiet") == NO_WAY


def test_teachers_lean_to_the_labels_without_repeating_them():
    x, has_target, way = noisy_windows(1)
    p = told(x, has_target, way)
    assert ((p > 0.0) & (p < 1.0)).all()
    assert p[has_target].mean() > p[~has_target].mean() + 0.2
    # A row that looks as if nobody were there is told so, whatever its label is.
    plain = has_target & (x[np.arange(WINDOWS), way] < 0.0)
    assert plain.sum() > 5
    assert p[plain].mean() < p[has_target].mean() - 0.1


def test_a_large_forest_that_learns_from_teachers_knows_more_of_fresh_windows_than_one_that_learns_labels():
    settings = TreeSettings(rounds=80, depth=4, rate=0.15)
    gains = []
    for seed in range(4):
        x, has_target, way = noisy_windows(seed)
        fresh, there, _ = noisy_windows(100 + seed)
        areas = []
        for y in (has_target.astype(np.float64), told(x, has_target, way)):
            score = margins(grow(x, y, np.ones(WINDOWS), settings), fresh)
            areas.append(float((score[there][:, None] > score[~there][None, :]).mean()))
        gains.append(areas[1] - areas[0])
    assert np.mean(gains) > 0.01


def test_a_way_without_targets_has_no_teacher_and_its_windows_speak_for_the_others():
    x, has_target, way = noisy_windows(2)
    has_target[way == 2] = False
    p = told(x, has_target, way)
    assert ((p > 0.0) & (p < 1.0)).all()


@pytest.mark.parametrize("all_there", [False, True])
def test_with_one_label_only_the_labels_stay(all_there):
    x, _, way = noisy_windows(3)
    has_target = np.full(WINDOWS, all_there)
    assert told(x, has_target, way).tolist() == has_target.tolist()


def test_rows_of_no_weight_teach_nothing():
    x, has_target, way = noisy_windows(4)
    weights = np.ones(WINDOWS)
    weights[::4] = 0.0
    first = taught(x, has_target, has_target, way, weights)
    changed = has_target.copy()
    changed[::4] = ~changed[::4]
    assert taught(x, changed, changed, way, weights).tolist() == first.tolist()

"""Splits: no label that was trained on touches one that is tested, and every path is a whole history."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.learning.validation.splits import combinatorial, walk_forward


def spans(rows, life=0):
    starts = np.arange(rows, dtype=np.int64)
    return starts, starts + life


@st.composite
def labelled(draw):
    gaps = draw(st.lists(st.integers(0, 20), min_size=9, max_size=60))
    starts = np.cumsum(np.array(gaps, np.int64))
    lives = draw(st.lists(st.integers(0, 40), min_size=len(gaps), max_size=len(gaps)))
    return starts, starts + np.array(lives, np.int64)


def leaks(starts, ends, split, embargo):
    """Look at every pair, which the implementation does not."""
    return [
        (train, test)
        for train in split.train
        for test in split.test
        if starts[train] <= ends[test] + embargo and starts[test] <= ends[train] + embargo
    ]


@given(labelled(), st.integers(1, 6), st.integers(0, 30))
def test_walk_forward_never_trains_on_a_label_that_reaches_its_test(labels, folds, embargo):
    starts, ends = labels
    splits = walk_forward(starts, ends, folds, embargo)
    assert len(splits) == folds
    for split in splits:
        assert leaks(starts, ends, split, embargo) == []
        assert all(ends[split.train] < starts[split.test[0]])


@given(labelled(), st.integers(3, 6), st.integers(1, 2), st.integers(0, 30))
def test_combinatorial_never_trains_on_a_label_near_its_test(labels, groups, tested, embargo):
    starts, ends = labels
    for split in combinatorial(starts, ends, groups, tested, embargo).splits:
        assert leaks(starts, ends, split, embargo) == []
        assert not set(split.train) & set(split.test)


def test_walk_forward_tests_each_row_after_the_first_block_once():
    starts, ends = spans(10, life=1)
    splits = walk_forward(starts, ends, 4)
    assert [list(split.test) for split in splits] == [[2, 3], [4, 5], [6, 7], [8, 9]]
    # Row 1's label is known at 2, which is when the first test begins.
    assert [list(split.train) for split in splits] == [[0], [0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]]


def test_an_embargo_takes_more_away_and_a_rolling_window_forgets():
    starts, ends = spans(12)
    kept = walk_forward(starts, ends, 3, embargo=1)
    assert [list(split.train) for split in kept] == [[0, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6, 7]]
    rolling = walk_forward(starts, ends, 3, embargo=1, train_span=4)
    assert [list(split.train) for split in rolling] == [[0, 1], [2, 3, 4], [5, 6, 7]]


def test_eight_groups_with_two_tested_make_28_splits_and_7_paths():
    starts, ends = spans(80, life=3)
    made = combinatorial(starts, ends, 8, 2, embargo=2)
    assert len(made.splits) == comb(8, 2) == 28
    assert made.paths.shape == (7, 8)
    used = set()
    for path in made.paths:
        for group, split in enumerate(path):
            assert group in made.splits[split].groups
            used.add((split, group))
    assert len(used) == 56


def test_nothing_is_purged_that_need_not_be():
    starts, ends = spans(12, life=1)
    split = combinatorial(starts, ends, 4, 1, embargo=1).splits[1]
    assert list(split.test) == [3, 4, 5]
    # Tested spans are 3 to 6; with the embargo nothing may touch 2 to 7.
    assert list(split.train) == [0, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: walk_forward(*spans(3), 3), "cannot be cut"),
        (lambda: walk_forward(np.array([2, 1, 3]), np.array([4, 4, 4]), 1), "ascend"),
        (lambda: walk_forward(np.array([1, 2]), np.array([0, 3]), 1), "not before it"),
        (lambda: combinatorial(*spans(9), 4, 4), "at least one of each"),
        (lambda: combinatorial(*spans(90), 40, 20), "fewer groups"),
    ],
)
def test_what_cannot_be_split_is_refused_in_words(make, says):
    with pytest.raises(ValueError, match=says):
        make()

"""Splits of labelled rows in time: walk-forward, and combinatorial purged cross-validation.

A row's label is known at its end only: it spans from `starts[i]` to `ends[i]`, both included. Invariant of every split: between the span of
any train row and the span of any test row lies more than the embargo, on either side (López de Prado, Advances in Financial Machine
Learning, 2018, chapters 7 and 12). On the side before the test that is purging; features remember too, so the embargo holds on both sides.
"""

from itertools import combinations, pairwise
from math import comb

import msgspec
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

SPLITS_MAX = 10_000


class Split(msgspec.Struct, frozen=True):
    """Be row numbers to learn from and to test on, ascending; `groups` are the numbers of the blocks that are tested."""

    train: Integers
    test: Integers
    groups: tuple[int, ...]


class Combinatorial(msgspec.Struct, frozen=True):
    """Be the splits of combinatorial cross-validation.

    `paths` is `(paths, groups)`: the split whose test gives a path its part in that group. Each path is one history of the whole, and no
    two paths share a part.
    """

    splits: tuple[Split, ...]
    paths: Integers


def walk_forward(starts: Integers, ends: Integers, folds: int, embargo: int = 0, train_span: int | None = None) -> tuple[Split, ...]:
    """Return `folds` splits, each testing on one block of rows and training on what was known before it.

    Args:
        starts: `(rows,)` when labels begin, ascending, in any one unit of time.
        ends: `(rows,)` when they are known.
        folds: test blocks; the rows are cut into one more block than that, since the first can only be trained on.
        embargo: time between train and test spans, in that unit.
        train_span: train only on rows that start at most this long before the test does; None is everything.

    A fold for which the embargo leaves nothing to train on has an empty `train`.

    Raises:
        ValueError: the spans are no spans, or there are fewer rows than blocks.
    """
    bounds = _blocks(starts, ends, folds + 1)
    splits = []
    for fold in range(1, folds + 1):
        test = np.arange(bounds[fold], bounds[fold + 1])
        first = int(starts[test[0]])
        is_known = ends < first - embargo
        if train_span is not None:
            is_known &= starts >= first - train_span
        splits.append(Split(np.flatnonzero(is_known), test, (fold,)))
    return tuple(splits)


def combinatorial(starts: Integers, ends: Integers, groups: int = 8, tested: int = 2, embargo: int = 0) -> Combinatorial:
    """Return every way to test on `tested` of `groups` blocks and train on the others, purged; and the paths that they make.

    Eight groups and two tested give 28 splits and 7 paths.

    Raises:
        ValueError: the spans are no spans, there are fewer rows than blocks, not 0 < tested < groups, or more than `SPLITS_MAX` splits.
    """
    if not 0 < tested < groups:
        raise ValueError(f"{tested} of {groups} groups cannot be tested: leave at least one of each kind")
    if comb(groups, tested) > SPLITS_MAX:
        raise ValueError(f"{tested} of {groups} groups are {comb(groups, tested)} splits; have at most {SPLITS_MAX}: fewer groups")
    bounds = _blocks(starts, ends, groups)
    members = [np.arange(low, high) for low, high in pairwise(bounds)]
    is_apart = [_apart(starts, ends, rows, embargo) for rows in members]
    splits = []
    uses: list[list[int]] = [[] for _ in range(groups)]
    for number, chosen in enumerate(combinations(range(groups), tested)):
        keep = np.logical_and.reduce([is_apart[group] for group in chosen])
        splits.append(Split(np.flatnonzero(keep), np.concatenate([members[group] for group in chosen]), chosen))
        for group in chosen:
            uses[group].append(number)
    # Every group is tested equally often, so the n-th use of each makes the n-th path.
    return Combinatorial(tuple(splits), np.array(uses, np.int64).T)


def _blocks(starts: Integers, ends: Integers, blocks: int) -> Integers:
    """Return the `blocks + 1` bounds of blocks of nearly equal row counts."""
    rows = len(starts)
    if len(ends) != rows or np.any(ends < starts) or np.any(np.diff(starts) < 0):
        raise ValueError("label spans must have an end for each start, not before it, and ascend by start")
    if blocks < 2 or rows < blocks:
        raise ValueError(f"{rows} rows cannot be cut into {blocks} blocks; have at least 2 blocks and a row for each")
    return np.arange(blocks + 1, dtype=np.int64) * rows // blocks


def _apart(starts: Integers, ends: Integers, tested: Integers, embargo: int) -> NDArray[np.bool_]:
    """Return which rows are further than the embargo from all spans of one block of test rows."""
    first, last = int(starts[tested[0]]), int(ends[tested].max())
    return (ends < first - embargo) | (starts > last + embargo)

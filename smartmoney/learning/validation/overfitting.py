"""The probability of backtest overfitting, by combinatorially symmetric cross-validation.

Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting, Journal of Computational Finance 20 (4), 2017. Its value
without any edge is one half, not zero: then the best trial of one half of the periods lands anywhere in the other half.
"""

from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCKS = 16
_CHUNK_BYTES = 64 << 20


class Overfitting(msgspec.Struct, frozen=True):
    """Say how choosing by the past did: `pbo` is the share of choices that were in the lower half afterwards, `loss` that lost money.

    `rank` is the mean relative rank of the chosen, 1 the best.
    """

    pbo: float
    loss: float
    rank: float
    combinations: int


def overfitting(returns: Floats, blocks: int = BLOCKS) -> Overfitting:
    """Return what choosing the best Sharpe ratio is worth, from `(periods, trials)` returns of all trials.

    Every half of the blocks chooses, the other half judges. Trials with the same ratio share their rank, a choice among equals is the mean
    of all of them, and a rank exactly in the middle counts half. O(C(blocks, blocks/2) · trials); 12,870 combinations for 16 blocks.

    Raises:
        ValueError: the number of blocks is odd, there are fewer than two trials, or fewer than two periods a block.
    """
    periods, trials = returns.shape
    if blocks < 2 or blocks % 2:
        raise ValueError(f"{blocks} blocks have no halves; choose an even number")
    if trials < 2 or periods < 2 * blocks:
        raise ValueError(f"{periods} periods of {trials} trials; needed are {2 * blocks} periods and 2 trials at least")
    # Deviations lose no digits where sums of squares do, and are made for each trial over the whole.
    centre = returns.mean(axis=0)
    scale = returns.std(axis=0)
    scale[scale <= 1e-12 * np.maximum(np.abs(returns).max(axis=0), 1e-300)] = 0.0
    standard = (returns - centre) / np.where(scale > 0.0, scale, 1.0)
    parts = np.array_split(standard, blocks)
    counts = np.array([len(part) for part in parts], float)
    sums, squares = np.array([part.sum(axis=0) for part in parts]), np.array([(part**2).sum(axis=0) for part in parts])
    offset = np.where(scale > 0.0, centre / np.where(scale > 0.0, scale, 1.0), 0.0)
    halves = np.array([[block in chosen for block in range(blocks)] for chosen in combinations(range(blocks), blocks // 2)])
    at_once = max(1, _CHUNK_BYTES // (8 * 8 * trials))
    judged = [
        _judge(_ratios(half.astype(float), counts, sums, squares, offset), _ratios((~half).astype(float), counts, sums, squares, offset))
        for half in np.array_split(halves, max(1, -(-len(halves) // at_once)))
    ]
    below, lost, rank = (float(np.concatenate(column).mean()) for column in zip(*judged, strict=True))
    return Overfitting(below, lost, rank, len(halves))


def _ratios(half: Floats, counts: Floats, sums: Floats, squares: Floats, offset: Floats) -> Floats:
    """Return the Sharpe ratios `(halves, trials)` over the chosen blocks; 0 where a trial does not move."""
    count = (half @ counts)[:, None]
    mean = half @ sums / count
    variance = np.maximum(half @ squares / count - mean**2, 0.0) * count / (count - 1.0)
    moves = variance > 1e-12
    ratios: Floats = np.where(moves, (mean + offset) / np.sqrt(np.where(moves, variance, 1.0)), 0.0)
    return ratios


def _judge(chosen_by: Floats, judged_by: Floats) -> tuple[Floats, Floats, Floats]:
    """Return for each row how far the choice counts as below the middle, as a loss, and its relative rank."""
    trials = chosen_by.shape[1]
    is_best = chosen_by >= chosen_by.max(axis=1, keepdims=True) - 1e-12
    share = is_best / is_best.sum(axis=1, keepdims=True)
    rank = _mean_ranks(judged_by) / (trials + 1.0)
    below = np.where(np.abs(rank - 0.5) < 1e-9, 0.5, (rank < 0.5).astype(float))
    return (share * below).sum(axis=1), (share * (judged_by < 0.0)).sum(axis=1), (share * rank).sum(axis=1)


def _mean_ranks(values: Floats) -> Floats:
    """Return ranks along rows from 1, equals sharing the mean of theirs."""
    rows, columns = values.shape
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    is_new = np.ones((rows, columns), bool)
    is_new[:, 1:] = ordered[:, 1:] > ordered[:, :-1]
    places = np.arange(columns)
    low = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)
    # The last of a group of equals: the same from the other end.
    is_last = np.ones((rows, columns), bool)
    is_last[:, :-1] = is_new[:, 1:]
    high = np.minimum.accumulate(np.where(is_last, places, columns)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty((rows, columns))
    np.put_along_axis(ranks, order, 0.5 * (low + high) + 1.0, axis=1)
    return ranks

"""Is a mean above zero, given that neighbours depend on each other? Moving-block bootstrap (Künsch 1989), seeded.

With fewer than `resampling.BLOCKS_MIN` blocks nothing can be said: bounds and p-value are NaN.
"""

from math import nan

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.resampling import block_starts, interval, resampled_sums

Floats = NDArray[np.float64]

RESAMPLES = 2000


class Gain(msgspec.Struct, frozen=True):
    """Be a mean with its 95 % interval, and the probability of one at least as large if the true mean were zero."""

    mean: float
    low: float
    high: float
    p_value: float
    rows: int
    blocks: int


def mean_gain(values: Floats, block_rows: int, seed: int, resamples: int = RESAMPLES) -> Gain:
    """Return the mean of `(rows,)` serially dependent values, in time order; `block_rows` should be longer than their dependence.

    The test is one-sided: the resampled means, centred, against the mean that was seen.

    Raises:
        ValueError: `block_rows` is below 1.
    """
    if block_rows < 1:
        raise ValueError(f"blocks of {block_rows} rows; have at least 1")
    rows = len(values)
    mean = float(values.mean()) if rows else nan
    starts = block_starts(rows, block_rows, resamples, seed)
    blocks = starts.shape[1]
    if not blocks or not np.isfinite(mean):
        return Gain(mean, nan, nan, nan, rows, 0)
    samples = resampled_sums(values[:, None], starts, block_rows) / (blocks * block_rows)
    low, high = interval(samples)
    as_large = int((samples[:, 0] - samples.mean() >= mean).sum())
    return Gain(mean, float(low[0]), float(high[0]), (1 + as_large) / (1 + resamples), rows, blocks)


def paired_gain(better: Floats, worse: Floats, block_rows: int, seed: int, resamples: int = RESAMPLES) -> Gain:
    """Return by how much the first of two scores of the same rows is above the second, as `mean_gain` of the differences.

    Raises:
        ValueError: the scores are not of the same rows, or `block_rows` is below 1.
    """
    if better.shape != worse.shape:
        raise ValueError(f"scores of {better.shape} and {worse.shape} rows are no pairs")
    return mean_gain(better - worse, block_rows, seed, resamples)

"""Statistics of serially dependent rows with moving-block-bootstrap intervals, vectorised over columns.

Blocks of consecutive rows are drawn with replacement (Künsch 1989), so that dependence shorter than a block is kept; an interval is the 2.5
to 97.5 % range of the resampled statistic. Invariants: seeded, so the same rows give the same numbers; NaN in a column leaves that
row out of that column only; what cannot be computed is NaN.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS = (0.025, 0.975)
BLOCKS_MIN = 10
"""With fewer blocks there is no interval: on unrelated series with the memory of our features, intervals from six blocks exclude zero in
one case of six, from a dozen in one of ten, from a hundred in one of fifteen, where one of twenty is meant."""
_CHUNK_BYTES = 64 << 20
_VARIANCE_MIN = 1e-12
"""Of standardised values: below it a resample is taken to be constant."""
_USABLE_MIN = 0.9
_MEAN_RESAMPLES = 2_000
_MEAN_SEED = 7


def block_starts(rows: int, length: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return `(resamples, blocks)` first rows of blocks, uniformly drawn; no columns where the rows hold fewer than `BLOCKS_MIN` blocks."""
    blocks = round(rows / length)
    if blocks < BLOCKS_MIN:
        return np.empty((resamples, 0), np.int64)
    return np.random.default_rng(seed).integers(0, rows - length + 1, (resamples, blocks))


def resampled_sums(values: Floats, starts: NDArray[np.int64], length: int) -> Floats:
    """Return the sums of `values` `(rows, …)` over each resample's blocks, `(resamples, …)`."""
    totals = np.concatenate((np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)))
    blocks = totals[length:] - totals[:-length]
    return np.stack([blocks[chosen].sum(axis=0) for chosen in starts])


def interval(samples: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5 and 97.5 % quantiles over the first axis; NaN where more than a tenth of the resamples could not be computed."""
    if samples.shape[0] == 0:
        nothing = np.full(samples.shape[1:], np.nan)
        return nothing, nothing
    usable = np.isfinite(samples).mean(axis=0) >= _USABLE_MIN
    filled = np.where(usable, samples, 0.0)
    low, high = np.nanquantile(filled, LEVELS, axis=0)
    return np.where(usable, low, np.nan), np.where(usable, high, np.nan)


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of a mean; None with fewer than ten values. Deterministic. Memory: one resample at a time."""
    count = len(values)
    if count < BLOCKS_MIN:
        return None
    known, rng = np.asarray(values, float), np.random.default_rng(_MEAN_SEED)
    low, high = np.quantile([known[rng.integers(0, count, count)].mean() for _ in range(_MEAN_RESAMPLES)], LEVELS)
    return float(low), float(high)


def correlations(x: Floats, y: Floats, starts: NDArray[np.int64], length: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return Pearson's r of each column of `x` `(rows, columns)` with `y` `(rows,)`, resamples `(resamples, columns)`, and rows used."""
    columns = x.shape[1]
    known = np.isfinite(x) & np.isfinite(y)[:, None]
    count = known.sum(axis=0)
    value = np.full(columns, np.nan)
    samples = np.full((starts.shape[0] if starts.shape[1] else 0, columns), np.nan)
    at_once = max(1, _CHUNK_BYTES // (8 * 6 * max(1, x.shape[0])))
    for first in range(0, columns, at_once):
        part = slice(first, first + at_once)
        moments = _moments(x[:, part], y, known[:, part])
        value[part] = _pearson(moments.sum(axis=0))
        if starts.shape[1]:
            samples[:, part] = _pearson(resampled_sums(moments, starts, length))
    # A column that is known for a part of the rows has fewer blocks than they.
    samples[:, count < BLOCKS_MIN * length] = np.nan
    return value, samples, count


def _standardised(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Return columns with mean 0 and deviation 1 over what is known, 0 elsewhere: sums of squares then keep their digits."""
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    centred = np.where(known, values - mean, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    # A column that is constant up to rounding has no correlation, not that of its rounding.
    is_constant = deviation <= 1e-12 * np.abs(mean)
    scaled: Floats = np.where(is_constant, 0.0, centred / np.where(is_constant | (deviation == 0.0), 1.0, deviation))
    return scaled


def _moments(x: Floats, y: Floats, known: NDArray[np.bool_]) -> Floats:
    a = _standardised(x, known)
    b = _standardised(np.broadcast_to(y[:, None], x.shape), known)
    return np.stack((known.astype(np.float64), a, b, a * a, b * b, a * b), axis=1)


def _pearson(sums: Floats) -> Floats:
    """Return r from sums `(…, 6, columns)` of 1, x, y, x², y², xy."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -2, 0)
    n = np.where(n > 2.0, n, np.nan)
    var_x = xx / n - (x / n) ** 2
    var_y = yy / n - (y / n) ** 2
    product = np.where((var_x > _VARIANCE_MIN) & (var_y > _VARIANCE_MIN), var_x * var_y, np.nan)
    r: Floats = np.clip((xy / n - x * y / n**2) / np.sqrt(product), -1.0, 1.0)
    return r


def auc(x: Floats, y: Floats, starts: NDArray[np.int64], length: int) -> tuple[float, Floats, int]:
    """Return the area under the ROC curve of `x` for y > 0 against y < 0 (y = 0 and NaN left out), its resamples, and the rows used.

    Ties count half. The resamples are those of the linearised statistic (DeLong's components per row), so that a block bootstrap needs
    sums only and no ranks.
    """
    known = np.isfinite(x) & np.isfinite(y) & (y != 0.0)
    is_up, is_down = known & (y > 0.0), known & (y < 0.0)
    up, down = np.sort(x[is_up]), np.sort(x[is_down])
    nothing = np.empty(0)
    if not len(up) or not len(down):
        return float("nan"), nothing, int(known.sum())
    beats = 0.5 * (np.searchsorted(down, x[is_up], "left") + np.searchsorted(down, x[is_up], "right")) / len(down)
    area = float(beats.mean())
    if not starts.shape[1] or (np.isfinite(x) & np.isfinite(y)).sum() < BLOCKS_MIN * length:
        return area, nothing, int(known.sum())
    beaten = 1.0 - 0.5 * (np.searchsorted(up, x[is_down], "left") + np.searchsorted(up, x[is_down], "right")) / len(up)
    influence = np.zeros(len(x))
    influence[is_up] = (beats - area) * (len(x) / len(up))
    influence[is_down] = (beaten - area) * (len(x) / len(down))
    shift = resampled_sums(influence, starts, length) / (starts.shape[1] * length)
    return area, np.clip(area + shift, 0.0, 1.0), int(known.sum())


def lagged_correlations(x: Floats, times: NDArray[np.int64], lag_rows: int, lag_ns: int) -> Floats:
    """Return each column's correlation with itself `lag_rows` rows earlier, over pairs exactly `lag_ns` apart. NaN where there are none."""
    if not 0 < lag_rows < len(x):
        return np.full(x.shape[1], np.nan)
    apart = (times[lag_rows:] - times[:-lag_rows]) == lag_ns
    now, before = x[lag_rows:], x[:-lag_rows]
    known = np.isfinite(now) & np.isfinite(before) & apart[:, None]
    a, b = _standardised(now, known), _standardised(before, known)
    ones = known.astype(np.float64)
    return _pearson(np.stack((ones, a, b, a * a, b * b, a * b), axis=1).sum(axis=0))

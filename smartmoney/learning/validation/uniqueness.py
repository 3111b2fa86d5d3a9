"""How much each of many overlapping labels says that the others do not (López de Prado 2018, chapter 4)."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def uniqueness(first: Integers, last: Integers) -> Floats:
    """Return each label's weight, `(labels,)` in (0, 1]: the mean over the bars of its life of 1/(labels alive in that bar).

    `first` and `last` are the numbers of the bars in which a label's life begins and ends, both included. Two cumulative sums, O(n) in
    labels and bars.

    Raises:
        ValueError: a life ends before it begins, or a bar's number is negative.
    """
    if len(first) != len(last) or np.any(last < first) or np.any(first < 0):
        raise ValueError("each label needs a first bar of at least 0 and a last bar not before it")
    if not len(first):
        return np.empty(0)
    bars = int(last.max()) + 1
    alive = np.cumsum(np.bincount(first, minlength=bars + 1) - np.bincount(last + 1, minlength=bars + 1))[:bars]
    shares = np.concatenate(([0.0], np.cumsum(1.0 / np.maximum(alive, 1))))
    weights: Floats = (shares[last + 1] - shares[first]) / (last + 1 - first)
    return weights


def effective_count(weights: Floats) -> float:
    """Return how many labels without overlap would say as much: the sum of the weights."""
    return float(weights.sum())

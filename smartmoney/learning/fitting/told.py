"""What folds said of rows that they had not learned from, at every size that a forest could have, and which size is enough.

A forest is grown whole in each fold and asked after some of its rounds. The fewest rounds that keep nearly all of what the best number
gains out of fold are enough: a tree that adds nothing there costs time in every decision and every backtest.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.boosting.models import softmax
from smartmoney.learning.calibration import fit_temperature, log_loss

Floats = NDArray[np.float64]

_SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0)
"""Shares of a forest's rounds after which it is asked."""
_KEEP = 0.98
"""Share of the best gain that is enough."""
_CHANCE_NATS = 2.0
"""A gain of less than this many nats over all independent rows is what chance gives: such a forest knows nothing."""


def steps_of(rounds: int) -> tuple[int, ...]:
    """Return after which rounds a forest of so many is asked, ascending; the last is all of them."""
    return tuple(sorted({max(1, round(share * rounds)) for share in _SHARES}))


class Told:
    """Keep answers by row of the sample, NaN where no fold was tested. The first axis of forests' answers are the steps of `steps_of`."""

    def __init__(self) -> None:
        self.filtered: Floats | None = None
        self.margins: Floats | None = None
        self.flow: Floats | None = None
        self.up: dict[int, Floats] = {}
        self.folds = 0
        self.left_out: dict[int, dict[int, str]] = {}
        """By horizon the folds, from 1 on, that were too small to fit its head, and why."""

    @property
    def is_empty(self) -> bool:
        """Tell whether no fold has said anything."""
        return self.filtered is None

    def take_filter(self, test: NDArray[np.bool_], posterior: Floats) -> None:
        """Note the filter's five regimes on the rows `test`."""
        if self.filtered is None:
            self.filtered = np.full((len(test), 5), np.nan)
        self.filtered[test] = posterior

    def take_margins(self, test: NDArray[np.bool_], margins: Floats) -> None:
        """Note the classifier's `(steps, tested, 5)` margins."""
        if self.margins is None:
            self.margins = np.full((len(margins), len(test), 5), np.nan)
        self.margins[:, test] = margins

    def take_flow(self, test: NDArray[np.bool_], flow: Floats) -> None:
        """Note the detector's `(steps, tested, 2)` probabilities of buying and selling."""
        if self.flow is None:
            self.flow = np.full((len(flow), len(test), 2), np.nan)
        self.flow[:, test] = flow

    def take_up(self, horizon_s: int, test: NDArray[np.bool_], up: Floats) -> None:
        """Note a head's `(steps, tested)` probabilities of up."""
        found = self.up.setdefault(horizon_s, np.full((len(up), len(test)), np.nan))
        found[:, test] = up

    def regimes(self, step: int) -> NDArray[np.int64]:
        """Return each row's likeliest regime by the classifier of a size, else by the filter; neutral where nobody was asked."""
        found = self.filtered if self.margins is None else self.margins[step]
        assert found is not None
        known = np.isfinite(found[:, 0])
        return np.where(known, np.nan_to_num(found, nan=-9.0).argmax(axis=1), 4)


def margin_losses(margins: Floats, classes: NDArray[np.int64], weights: Floats) -> list[float]:
    """Return the log-loss of `(steps, rows, classes)` margins at each step, with the temperature that suits it, then that of the base."""
    known = np.isfinite(margins[0, :, 0]) & (weights > 0.0)
    y, w = classes[known], weights[known]
    share = np.bincount(y, w, margins.shape[2]) / w.sum()
    base = float(-(share[share > 0.0] * np.log(share[share > 0.0])).sum())
    found = []
    for one in margins[:, known]:
        p = softmax(one / fit_temperature(one, y, w))[np.arange(len(y)), y]
        found.append(log_loss(p, np.ones(len(y)), w))
    return [*found, base]


def binary_losses(p: Floats, outcome: Floats, weights: Floats) -> list[float]:
    """Return what `margin_losses` does for `(steps, rows)` probabilities of an outcome 0 or 1."""
    held = np.clip(p, 1e-6, 1.0 - 1e-6)
    logit = np.log(held) - np.log1p(-held)
    return margin_losses(np.stack((0.0 * logit, logit), axis=2), outcome.astype(np.int64), weights)


def enough(losses: Sequence[Sequence[float]], effective: float) -> int:
    """Return the smallest step that keeps nearly all of the best gain.

    Args:
        losses: of each kind of folds the loss at each step, then that of the base rates; their mean counts.
        effective: independent rows that a loss is a mean of.
    """
    *steps, base = np.mean(losses, axis=0).tolist()
    gains = base - np.array(steps)
    best = float(gains.max())
    if not best * effective > _CHANCE_NATS:
        return 0
    return int(np.flatnonzero(gains >= _KEEP * best)[0])

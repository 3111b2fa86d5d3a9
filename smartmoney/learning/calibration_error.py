"""How far probabilities are from what comes, less what chance makes of it, where labels overlap.

A bin's gap is a mean of outcomes that go together: labels of one window look at the same move, and lie in several bins at once. What chance
makes of the gaps is therefore taken from how whole blocks of time (or worlds) scatter around them, never from a count of labels. Blocks
that follow each other may still go together a little, as labels on both sides of an edge do: their product counts by half (Bartlett's
weights, as Newey and West 1987); where they are independent that costs some noise and nothing else.

Invariants: only sums over blocks are used, so rows may be in any order; weights matter by their ratios only.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 15
BLOCKS_MIN = 8.0
"""Fewer equally heavy blocks do not tell what chance makes of the gaps: then nothing is told of the error."""
HIDDEN_MAX = 0.1
"""Where chance can hide an error as large as this, so that probabilities that know nothing look right, nothing is told either."""
BLOCK_REACHES = 2
TOO_FEW = "too few independent labels to tell"
_DRAWS = 1000
_LEVELS = (0.025, 0.975)
_STRETCH_MAX = 4.0


class CalibrationError(msgspec.Struct, frozen=True):
    """Be an error with its 95 % interval, all NaN where too few independent labels tell it.

    `squared` is the error's square before it is held at 0: what to compare resamples by.
    """

    error: float
    low: float
    high: float
    squared: float


class Gaps(msgspec.Struct, frozen=True):
    """Hold `(blocks, bins)` sums of weight, of weighted probability and of weighted outcome, bins without weight left out."""

    weight: Floats
    said: Floats
    came: Floats

    @property
    def blocks(self) -> float:
        """Return how many blocks of equal weight would be as many."""
        total = self.weight.sum(axis=1)
        return float(total.sum() ** 2 / (total**2).sum())

    @property
    def gap(self) -> Floats:
        """Return what came less what was said, a mean per bin."""
        return np.asarray((self.came - self.said).sum(axis=0) / self.weight.sum(axis=0), np.float64)

    @property
    def share(self) -> Floats:
        """Return each bin's share of the weight."""
        return np.asarray(self.weight.sum(axis=0) / self.weight.sum(), np.float64)

    @property
    def bins(self) -> tuple[tuple[float, float, float], ...]:
        """Return mean probability, share that came true and weight of each bin."""
        weight, said, came = (one.sum(axis=0) for one in (self.weight, self.said, self.came))
        return tuple(zip((said / weight).tolist(), (came / weight).tolist(), weight.tolist(), strict=True))

    @property
    def plain(self) -> float:
        """Return the mean absolute gap, chance and all."""
        return float((self.share * np.abs(self.gap)).sum())

    @property
    def squared(self) -> float:
        """Return the mean squared gap less what chance makes of it: below 0 where gaps happen to be smaller than that."""
        scatter = self._scatter()
        chance = (scatter**2).sum(axis=0) + (scatter[1:] * scatter[:-1]).sum(axis=0)
        return float((self.share * (self.gap**2 - chance)).sum())

    def told(self, seed: int, hidden_max: float = HIDDEN_MAX) -> CalibrationError:
        """Return the error with the interval of those under which the mean squared gap that was seen is nothing unusual.

        Chance's part is drawn anew by factors that neighbouring blocks share by half (Shao 2010). Gaps smaller than chance alone makes on
        average say no more than those: the upper end is of the larger of the two. Cost: a millisecond for a hundred blocks.
        """
        squared = self.squared
        if self.blocks < BLOCKS_MIN:
            return CalibrationError(math.nan, math.nan, math.nan, squared)
        scatter, share, gap = self._scatter(), self.share, self.gap
        mixed = np.random.default_rng(seed).standard_normal((_DRAWS, len(scatter) + 1))
        noise = (mixed[:, 1:] + mixed[:, :-1]) / math.sqrt(2.0) @ scatter
        seen = float((share * gap**2).sum())
        along = noise @ (share * gap) / math.sqrt(seen) if seen > 0.0 else np.zeros(_DRAWS)
        size = noise**2 @ share
        usual = float(size.mean())
        if math.sqrt(max(0.0, float(np.quantile(size, _LEVELS[1])) - usual)) > hidden_max:
            return CalibrationError(math.nan, math.nan, math.nan, squared)
        low, high = (
            float(np.quantile(_reached(one, along, size), level)) for one, level in zip((seen, max(seen, usual)), _LEVELS, strict=True)
        )
        return CalibrationError(math.sqrt(max(0.0, squared)), low, high, squared)

    def _scatter(self) -> Floats:
        """Return what each block adds to each gap by chance `(blocks, bins)`, scaled for the gap's having been fitted to them."""
        total = self.weight.sum(axis=0)
        held = self.weight / total
        found = (self.came - self.said) / total - held * self.gap
        squared = (held**2).sum(axis=0)
        expected = (held**2 * (1.0 - 2.0 * held + squared)).sum(axis=0)
        expected += (held[1:] * held[:-1] * (squared - held[1:] - held[:-1])).sum(axis=0)
        # A bin that hardly more than one block fills does not scatter; it must not outweigh all others for that.
        stretch = np.minimum(squared / np.maximum(expected, 1e-12), _STRETCH_MAX)
        return np.asarray(found * np.sqrt(stretch), np.float64)


def in_words(error: float, low: float, high: float) -> str:
    """Return an error with its interval; words where it is not told."""
    return TOO_FEW if math.isnan(error) else f"{error:.3f} [{low:.3f}, {high:.3f}]"


def time_blocks(times_ns: NDArray[np.int64], reach_s: float) -> NDArray[np.int64]:
    """Return the number of each time's block of twice what labels reach ahead; instruments of one time share it, as they go together."""
    return np.asarray(times_ns // round(BLOCK_REACHES * reach_s * 1e9), np.int64)


def rooted(squared: float) -> float:
    """Return the root of a `squared` error with its sign, for resamples: held at 0, all of a good model's would be the same."""
    return math.copysign(math.sqrt(abs(squared)), squared)


def gaps_of(p: Floats, outcome: Floats, weights: Floats, blocks: NDArray[np.int64]) -> Gaps:
    """Return the sums of rows; `blocks` `(rows,)` number what is independent, in the order of time."""
    place = _bins(p, weights)
    named, number = np.unique(blocks, return_inverse=True)
    at, cells = number * BINS + place, len(named) * BINS
    sums = [
        np.bincount(at, column, cells).astype(np.float64).reshape(len(named), BINS) for column in (weights, weights * p, weights * outcome)
    ]
    used = sums[0].sum(axis=0) > 0.0
    return Gaps(sums[0][:, used], sums[1][:, used], sums[2][:, used])


def _reached(seen: float, along: Floats, size: Floats) -> Floats:
    """Return for each draw of chance the error with which it makes the mean squared gap that was seen; 0 where chance alone makes more."""
    inside = np.maximum(along**2 + seen - size, 0.0)
    return np.asarray(np.maximum(np.where(size >= seen, 0.0, np.sqrt(inside) - along), 0.0), np.float64)


def _bins(p: Floats, weights: Floats) -> NDArray[np.int64]:
    """Return each row's bin of equal mass; equal probabilities share a bin."""
    order = np.argsort(p, kind="stable")
    mass = np.cumsum(weights[order])
    place = np.empty(len(p), np.int64)
    place[order] = np.minimum((mass / mass[-1] * BINS).astype(np.int64), BINS - 1)
    values, first = np.unique(p[order], return_index=True)
    return np.asarray(place[order][first][np.searchsorted(values, p)], np.int64)

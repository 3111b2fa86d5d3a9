"""Two bundles on the same worlds: how much does each number of the skill table differ, and is that more than which worlds were drawn?

A bootstrap draws worlds (windows, quiet hours and targets, trades' worlds: whatever is independent) anew and asks both bundles about the
very same draw, so that what a world makes easy or hard for both falls out of the difference. Values are those of the table, by the same
formulas. Intervals are 95 %, and say nothing about families that nobody drew. Draws of few units vary less than the units do, by n - 1
for n, and normal quantiles are too narrow for few: the difference's interval is stretched by both (as the expanded percentile
interval of T. Hesterberg, "What teachers should know about the bootstrap", 2015), else every fourth number of three worlds without any
difference would be told apart. Of shares and areas, which lie between 0 and 1, it ends where no difference can be. Many numbers are
compared: of twenty without any difference one leaves out zero by chance.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Draw = TypeVar("Draw")

RESAMPLES = 300
_LEVELS = (0.025, 0.975)
_KNOWN_MIN = 0.9
"""Share of draws in which a number must be known for an interval."""


class Ranged(msgspec.Struct, frozen=True):
    """Be a number with its 95 % interval, NaN where there is none."""

    value: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Compare one number of two bundles: what each has, the first less the other, and of how many independent units it is."""

    part: str
    name: str
    first: Ranged
    other: Ranged
    difference: Ranged
    units: int

    @property
    def is_told_apart(self) -> bool:
        """Tell whether the interval of the difference leaves out zero."""
        return self.difference.low > 0.0 or self.difference.high < 0.0


class Contest(msgspec.Struct, Generic[Draw], frozen=True, kw_only=True):
    """Hold one part of the table: its numbers' names, and how both bundles get them from a draw of units.

    `whole` is the draw of every unit once; `draw` draws as many with replacement. `shares` are the names of what lies between 0 and 1.
    """

    part: str
    names: Sequence[str]
    first: Callable[[Draw], Sequence[float]]
    other: Callable[[Draw], Sequence[float]]
    whole: Draw
    draw: Callable[[np.random.Generator], Draw]
    units: int
    shares: Collection[str] = ()


def judge(contest: Contest[Draw], resamples: int = RESAMPLES, seed: int = 31) -> Iterator[Difference]:
    """Yield the differences of a part's numbers; one that neither bundle has is left out. With a single unit there are no intervals."""
    mine, others = (np.array(one(contest.whole), np.float64) for one in (contest.first, contest.other))
    rng = np.random.default_rng(seed)
    count = resamples if contest.units > 1 else 0
    again = np.full((2, count, len(contest.names)), np.nan)
    for number in range(count):
        draw = contest.draw(rng)
        again[:, number] = contest.first(draw), contest.other(draw)
    # An endless delay less an endless delay is not known.
    with np.errstate(invalid="ignore"):
        gaps, gap = again[0] - again[1], mine - others
    for k, name in enumerate(contest.names):
        if math.isnan(mine[k]) and math.isnan(others[k]):
            continue
        yield Difference(
            part=contest.part,
            name=name,
            first=ranged(float(mine[k]), again[0, :, k]),
            other=ranged(float(others[k]), again[1, :, k]),
            difference=_within(ranged(float(gap[k]), gaps[:, k], stretch(contest.units)), 1.0 if name in contest.shares else math.inf),
            units=contest.units,
        )


def counts_of(units: int) -> tuple[Floats, Callable[[np.random.Generator], Floats]]:
    """Return how often each unit counts as a whole, and how often when as many are drawn with replacement."""

    def draw(rng: np.random.Generator) -> Floats:
        return np.bincount(rng.integers(0, units, units), minlength=units).astype(np.float64)

    return np.ones(units), draw


def ranged(value: float, again: Floats, wider: float = 1.0) -> Ranged:
    """Return a number with the 95 % interval of its draws, `wider` by a factor about their middle."""
    known = again[~np.isnan(again)]
    if math.isnan(value) or not len(known) or len(known) < _KNOWN_MIN * len(again):
        return Ranged(value, math.nan, math.nan)
    low, middle, high = np.quantile(known, (_LEVELS[0], 0.5, _LEVELS[1]), method="nearest").tolist()
    if math.isinf(middle):
        return Ranged(value, low, high)
    return Ranged(value, middle - wider * (middle - low), middle + wider * (high - middle))


def _within(found: Ranged, most: float) -> Ranged:
    """Return a difference whose interval ends where none can be; what few units do not tell is told by all of what is possible."""
    return found if math.isnan(found.low) else Ranged(found.value, max(found.low, -most), min(found.high, most))


def stretch(units: int) -> float:
    """Return by which factor the quantiles of draws of few units are too close to their middle."""
    from scipy.special import ndtri, stdtrit  # a second to import, and only evaluations of two need it

    if units < 2:
        return 1.0
    return math.sqrt(units / (units - 1)) * float(stdtrit(units - 1, _LEVELS[1]) / ndtri(_LEVELS[1]))

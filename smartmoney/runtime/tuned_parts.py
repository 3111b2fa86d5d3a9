"""Where in a past each part of it begins whose model is trained on what came before it.

Invariants: a part's model learns from nothing that lies after its beginning less the embargo, on any clock that both share; parts begin
with the periods of returns that the search's folds begin with. That a model decides nothing before its beginning holds where stretches
follow each other: `overlap_s` tells.
"""

import math
from collections.abc import Sequence

import msgspec

from smartmoney.adapters.trial_log import Span

LABELS_MIN = 4
"""Independent labels that the first inner fold of a training needs at a horizon, as `learning.fitting.stages` has it."""
_S = 1_000_000_000


class Reach(msgspec.Struct, frozen=True):
    """Say of a stretch, by its number, until which wall time in ns it may be learned from (0: all of it)."""

    stretch: int
    until_ns: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Be a part: its first period, the stretch and wall time in ns at which that begins, and what may be learned from before it."""

    period: int
    stretch: int
    since_ns: int
    learned: tuple[Reach, ...]


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Be a past in periods. `mark_s` and `period_s` are lengths in s; `is_shared`: stretches lie on one clock, as worlds do not."""

    spans: tuple[Span, ...]
    mark_s: int
    period_s: float
    embargo_s: float
    is_shared: bool

    @property
    def starts(self) -> list[tuple[int, int]]:
        """Return the stretch and the wall time in ns at which each period begins."""
        size = round(self.period_s / self.mark_s)
        step = round(self.period_s * _S)
        return [
            (number, span.first_wall_ns + at * step) for number, span in enumerate(self.spans) for at in range(max(1, span.marks // size))
        ]

    @property
    def overlap_s(self) -> float:
        """Return for how long at most a stretch goes on while the next one lasts already; 0 where each begins after all before it."""
        ends = [span.first_wall_ns + span.marks * self.mark_s * _S for span in self.spans]
        return max((0, *(ends[at] - later.first_wall_ns for at in range(len(ends)) for later in self.spans[at + 1 :]))) / _S

    def part(self, period: int) -> Part:
        """Return the part that begins with a period."""
        stretch, wall_ns = self.starts[period]
        until_ns = wall_ns - round(self.embargo_s * _S)
        earlier = [Reach(number, until_ns if self.is_shared else 0) for number in range(stretch)]
        known = [one for one in (*earlier, Reach(stretch, until_ns)) if self._held_s(one) > 0.0]
        return Part(period=period, stretch=stretch, since_ns=wall_ns, learned=tuple(known))

    def learned_s(self, part: Part) -> float:
        """Return how many seconds of past a part's model learns from."""
        return sum(self._held_s(one) for one in part.learned)

    def lead(self, folds: int, least_s: float) -> int | None:
        """Return how many periods come before the first part: as many as in each of the others, more if its model needs more.

        None: there are never that many.
        """
        periods = len(self.starts)
        first = math.ceil(periods / (folds + 2))
        return next((one for one in range(first, periods) if self.learned_s(self.part(one)) >= least_s), None)

    def _held_s(self, reach: Reach) -> float:
        span = self.spans[reach.stretch]
        whole_s = float(span.marks * self.mark_s)
        return whole_s if not reach.until_ns else min(whole_s, max(0.0, (reach.until_ns - span.first_wall_ns) / _S))


def least_learned_s(folds: int, horizons_s: Sequence[int]) -> float:
    """Return what a training needs in seconds: in each of its parts, one more than inner folds, some labels beside twice their reach."""
    return float((folds + 1) * (LABELS_MIN + 2) * min(horizons_s))

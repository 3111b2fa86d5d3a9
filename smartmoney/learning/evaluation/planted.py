"""Worlds with an edge that is worth its costs: which share of what an oracle makes through the same engine and gates does the model make?

The oracle knows side and start of every parent from truth (`parent_oracle`), which is more than anybody outside could, so the share is of
an upper bound. Where the oracle itself earns nothing there is nothing to have a share of.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.evaluation.nulls import pbo_of
from smartmoney.learning.evaluation.passed_by import Way, ways_of
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.evaluation.trades import TradeSums, WorldTraded, sums_of
from smartmoney.learning.sets.rows import Rows

_RESAMPLES = 1000


class PlantedScore(msgspec.Struct, frozen=True, kw_only=True):
    """Compare nets, in quote over all worlds, positions that are still open included; `share` is NaN where the oracle does not earn.

    Intervals of shares are 95 %, over worlds. `opened` are the model's trades with the gates forced open; `ways` say what became of the
    oracle's trades, and what either made in them. `size` is what the model held in shares of what the oracle did while both held the same;
    `share_at_size` is what the share would be if it had held as much throughout.
    """

    worlds: int
    net_model: float
    net_oracle: float
    share: float
    share_low: float
    share_high: float
    model: TradeSums
    oracle: TradeSums
    opened: TradeSums
    pbo_mean: float
    pbo_worlds: int
    ways: tuple[Way, ...] = ()
    size: float = math.nan
    share_at_size: float = math.nan
    share_at_size_low: float = math.nan
    share_at_size_high: float = math.nan

    @property
    def beside(self) -> tuple[float, float]:
        """Return what the model and the oracle made outside of those trades."""
        return (
            self.net_model - sum(one.net_model for one in self.ways),
            self.net_oracle - sum(one.net_oracle for one in self.ways),
        )


def score_planted(bundle: Bundle, rows: Sequence[tuple[Rows, Said]], traded: Sequence[WorldTraded], seed: int = 17) -> PlantedScore:
    """Score planted worlds, of which rows, and what model and oracle traded, are given."""
    oracle = [one.oracle for one in traded if one.oracle is not None]
    exposed = [[sum(getattr(one, name) for one in world.chances) for name in ("exposed", "exposed_oracle")] for world in traded]
    table = np.column_stack(([one.normal.net for one in traded], [one.net for one in oracle], np.array(exposed)))
    drawn = np.random.default_rng(seed).integers(0, len(table), (_RESAMPLES, len(table)))
    again = [_shares(table[pick].sum(axis=0)) for pick in drawn] if len(table) > 1 else []
    share, size, at_size = _shares(table.sum(axis=0))
    (low, high), (low_at_size, high_at_size) = (_interval([one[k] for one in again], whole) for k, whole in ((0, share), (2, at_size)))
    mean, worlds = pbo_of(bundle, rows)
    return PlantedScore(
        worlds=len(traded),
        net_model=float(table[:, 0].sum()),
        net_oracle=float(table[:, 1].sum()),
        share=share,
        share_low=low,
        share_high=high,
        model=sums_of([one.normal for one in traded]),
        oracle=sums_of(oracle),
        opened=sums_of([one.opened for one in traded]),
        pbo_mean=mean,
        pbo_worlds=worlds,
        ways=ways_of([one for world in traded for one in world.chances]),
        size=size,
        share_at_size=at_size,
        share_at_size_low=low_at_size,
        share_at_size_high=high_at_size,
    )


def _shares(sums: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the share of the oracle's net, the size in shares of the oracle's, and the share at its size, of four sums over worlds."""
    mine, best, exposed, oracles = sums.tolist()
    share = mine / best if best > 0.0 else math.nan
    size = exposed / oracles if oracles > 0.0 else math.nan
    return share, size, share / size if size > 0.0 else math.nan


def _interval(again: Sequence[float], whole: float) -> tuple[float, float]:
    known = [one for one in again if math.isfinite(one)]
    if not (math.isfinite(whole) and known):
        return math.nan, math.nan
    low, high = np.quantile(known, (0.025, 0.975)).tolist()
    return low, high

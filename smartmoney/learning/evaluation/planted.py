"""Worlds with an edge that is worth its costs: which share of what an oracle makes through the same engine and gates does the model make?

The oracle knows side and start of every parent from truth (`parent_oracle`), which is more than anybody outside could, so the share is of
an upper bound. Where the oracle itself earns nothing there is nothing to have a share of.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.evaluation.nulls import pbo_of
from smartmoney.learning.evaluation.passed_by import Way, ways_of
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.evaluation.trades import TradeSums, WorldTraded, sums_of
from smartmoney.learning.sets.rows import Rows

_RESAMPLES = 1000


class PlantedScore(msgspec.Struct, frozen=True, kw_only=True):
    """Compare nets, in quote over all worlds, positions that are still open included; `share` is NaN where the oracle does not earn.

    The share's interval is 95 %, over worlds. `opened` are the model's trades with the gates forced open; `ways` say what became of the
    oracle's trades, and what either made in them.
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
    mine, best = np.array([one.normal.net for one in traded]), np.array([one.net for one in oracle])
    drawn = np.random.default_rng(seed).integers(0, len(mine), (_RESAMPLES, len(mine)))
    again = [one for pick in drawn if math.isfinite(one := _share(float(mine[pick].sum()), float(best[pick].sum())))]
    share = _share(float(mine.sum()), float(best.sum()))
    is_known = math.isfinite(share) and len(mine) > 1 and bool(again)
    low, high = np.quantile(again, (0.025, 0.975)).tolist() if is_known else (math.nan, math.nan)
    mean, worlds = pbo_of(bundle, rows)
    return PlantedScore(
        worlds=len(traded),
        net_model=float(mine.sum()),
        net_oracle=float(best.sum()),
        share=share,
        share_low=low,
        share_high=high,
        model=sums_of([one.normal for one in traded]),
        oracle=sums_of(oracle),
        opened=sums_of([one.opened for one in traded]),
        pbo_mean=mean,
        pbo_worlds=worlds,
        ways=ways_of([one for world in traded for one in world.chances]),
    )


def _share(mine: float, best: float) -> float:
    return mine / best if best > 0.0 else math.nan

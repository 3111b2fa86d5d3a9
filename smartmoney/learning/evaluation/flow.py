"""The detector against the exact public oracle, on oracle worlds that neither has seen: who was there a target in?

Efficiency is (d′ of the model / d′ of the oracle)², scored only where the oracle's AUC lies in [.70, .97]: below, there is nothing to find,
above, everybody finds it. A model above the oracle has looked at what it must not see.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.sets.rows import Rows
from smartmoney.simulation.oracle_report import auc, d_prime

Floats = NDArray[np.float64]

ORACLE_AUC = (0.70, 0.97)
_RESAMPLES = 400


class FlowScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score one kind of target. Intervals are 95 %, over worlds. `efficiency` is NaN outside the oracle's scored range."""

    kind: str
    worlds: int
    auc: float
    auc_low: float
    auc_high: float
    auc_oracle: float
    efficiency: float
    efficiency_low: float
    efficiency_high: float
    direction: float
    """Share of the targets of windows that score above the median of the empty ones whose side is told right."""


class Windows(msgspec.Struct, frozen=True):
    """Hold of each window what the detector says of the surer side, the oracle's log-likelihood ratio, and truth.

    `is_right` tells whether the side that the detector leans to is the target's.
    """

    model: Floats
    oracle: Floats
    has_target: NDArray[np.bool_]
    is_right: NDArray[np.bool_]


def windows_of(sources: Sequence[tuple[Rows, Said]]) -> Windows:
    """Return the windows of some batches of one kind."""
    model, oracle, target, right = [], [], [], []
    for rows, said in sources:
        end = rows.extras["end"].astype(np.int64)
        buying, selling = said.buying[end], said.selling[end]
        model.append(np.fmax(np.nan_to_num(buying), np.nan_to_num(selling)))
        oracle.append(rows.extras["llr"])
        target.append(rows.extras["target"] > 0.5)
        right.append((buying > selling) == (rows.extras["side"] < 0.5))
    return Windows(*(np.concatenate(column) for column in (model, oracle, target, right)))


def score_flow(kind: str, sources: Sequence[tuple[Rows, Said]], seed: int = 5) -> FlowScore:
    """Score the windows of some batches of one kind."""
    found_windows = windows_of(sources)
    m, o, t, r = found_windows.model, found_windows.oracle, found_windows.has_target, found_windows.is_right
    found = auc(m[~t], m[t])
    best = auc(o[~t], o[t])
    rng = np.random.default_rng(seed)
    with_target, without = np.flatnonzero(t), np.flatnonzero(~t)
    areas, shares = [], []
    for _ in range(_RESAMPLES):
        one, other = rng.choice(with_target, len(with_target)), rng.choice(without, len(without))
        areas.append(auc(m[other], m[one]))
        shares.append(efficiency(areas[-1], auc(o[other], o[one])))
    alarmed = t & (m > np.median(m[~t]))
    low, high = np.quantile(areas, (0.025, 0.975)).tolist()
    known = [one for one in shares if math.isfinite(one)]
    scored = is_scored(best)
    ends = np.quantile(known, (0.025, 0.975)).tolist() if known and scored else [float("nan")] * 2
    return FlowScore(
        kind=kind,
        worlds=len(t),
        auc=found,
        auc_low=low,
        auc_high=high,
        auc_oracle=best,
        efficiency=efficiency(found, best) if scored else float("nan"),
        efficiency_low=ends[0],
        efficiency_high=ends[1],
        direction=float(r[alarmed].mean()) if alarmed.any() else float("nan"),
    )


def with_efficiency(flow: Sequence[FlowScore]) -> tuple[FlowScore, ...]:
    """Return the kinds that have an efficiency: whose oracle leaves something to find, and does not find everything."""
    return tuple(one for one in flow if math.isfinite(one.efficiency))


def is_scored(best: float) -> bool:
    """Tell whether an oracle of that AUC leaves something to find, and not everything."""
    return ORACLE_AUC[0] <= best <= ORACLE_AUC[1]


def efficiency(area: float, best: float) -> float:
    """Return (d′/d′ of the oracle)²; 0 for a model at or below chance, NaN where the oracle is."""
    if best <= 0.5:
        return float("nan")
    mine, oracles = d_prime(area), d_prime(best)
    if math.isinf(oracles):
        return float("nan")
    return max(0.0, mine) ** 2 / oracles**2

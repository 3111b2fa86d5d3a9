"""Worlds with nothing to find, gates forced open: whoever trades there must earn nothing before costs, and lose the costs.

A trade enters at the mid 150 ms after the row, on the side that the head leans to, whatever its confidence, and leaves after the horizon;
trades of one head do not overlap. Costs are two fees and one spread. The probability of overfitting is that of choosing among variants
(each head, at each of some thresholds of confidence) by the past: one half where there is nothing to choose.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.sets.labels import moves_bps
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.validation.overfitting import overfitting

Floats = NDArray[np.float64]

TRADES_MIN = 1000
_QUANTILES = (0.0, 0.25, 0.5, 0.75)
_PBO_BLOCKS = 8
_RESAMPLES = 1000


class NullScore(msgspec.Struct, frozen=True, kw_only=True):
    """Report trades of worlds with nothing to find, in bps of notional; the interval is 95 %, over worlds."""

    worlds: int
    trades: int
    gross: float
    gross_ci_low: float
    gross_ci_high: float
    net: float
    cost: float
    net_plus_cost_bps: float
    pbo_mean: float
    pbo_worlds: int


def score_nulls(bundle: Bundle, worlds: Sequence[tuple[Rows, Said]], fee_bps: float) -> NullScore:
    """Trade every world with gates forced open, by the head of the shortest horizon."""
    shortest = min(range(len(bundle.spec.heads)), key=lambda k: bundle.spec.heads[k].horizon_s)
    horizon = bundle.spec.heads[shortest].horizon_s
    gross, cost, world, pbos = [], [], [], []
    for number, (rows, said) in enumerate(worlds):
        made, paid = _trades(rows, said.up[:, shortest], horizon, fee_bps)
        gross.append(made)
        cost.append(paid)
        world.append(np.full(len(made), number))
        table = _variants(bundle, rows, said)
        if table.shape[0] >= 2 * _PBO_BLOCKS and (table.std(axis=0) > 0.0).sum() >= 2:
            pbos.append(overfitting(table[:, table.std(axis=0) > 0.0], _PBO_BLOCKS).pbo)
    earned, paid_all, of = (np.concatenate(column) for column in (gross, cost, world))
    sums = np.bincount(of, earned, len(worlds))
    counts = np.bincount(of, minlength=len(worlds)).astype(np.float64)
    drawn = np.random.default_rng(3).integers(0, len(worlds), (_RESAMPLES, len(worlds)))
    means = sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1.0)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    net = earned - paid_all
    return NullScore(
        worlds=len(worlds),
        trades=len(earned),
        gross=float(earned.mean()),
        gross_ci_low=low,
        gross_ci_high=high,
        net=float(net.mean()),
        cost=float(paid_all.mean()),
        net_plus_cost_bps=float(net.mean() + paid_all.mean()),
        pbo_mean=float(np.mean(pbos)) if pbos else float("nan"),
        pbo_worlds=len(pbos),
    )


def _trades(rows: Rows, up: Floats, horizon_s: int, fee_bps: float) -> tuple[Floats, Floats]:
    move = moves_bps(rows, horizon_s)
    second = (rows.times - rows.times[0]) // SECOND_NS
    spread = rows.values[:, FEATURE_INDEX["spread_bps"]].astype(np.float64)
    usable = np.isfinite(move) & np.isfinite(up) & np.isfinite(spread) & (second % horizon_s == 0)
    side = np.where(up[usable] >= 0.5, 1.0, -1.0)
    return side * move[usable], 2.0 * fee_bps + spread[usable]


def _variants(bundle: Bundle, rows: Rows, said: Said) -> Floats:
    """Return gross bps `(periods, variants)`: a period is a second of the shortest horizon's grid, 0 where a variant does not trade.

    Gross, since net of costs whoever trades least is best, before as after: that is no luck to be found out.
    """
    shortest = min(head.horizon_s for head in bundle.spec.heads)
    second = (rows.times - rows.times[0]) // SECOND_NS
    grid = np.flatnonzero(second % shortest == 0)
    move = moves_bps(rows, shortest)[grid]
    columns = []
    for k in range(len(bundle.spec.heads)):
        up = said.up[grid, k]
        sure = np.abs(up - 0.5)
        known = np.isfinite(up) & np.isfinite(move)
        if not known.any():
            continue
        for level in _QUANTILES:
            takes = known & (sure >= np.quantile(sure[known], level))
            columns.append(np.where(takes, np.where(up >= 0.5, move, -move), 0.0))
    return np.nan_to_num(np.column_stack(columns)) if columns else np.empty((0, 0))

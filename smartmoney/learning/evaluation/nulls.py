"""Worlds with nothing to find: who trades there through the real engine must earn nothing before costs, and lose the costs.

Trades are those of `runtime.evaluation_trades`: the model behind the engine, the gates and the paper venue, once with its gates forced
open, once as configured. The probability of overfitting is that of choosing among variants (each head, at each of some thresholds of
confidence) by the past: one half where there is nothing to choose. A variant enters at the mid 150 ms after the row and leaves after the
horizon.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.evaluation.trades import TradeSums, WorldTraded, sums_of
from smartmoney.learning.sets.labels import moves_bps
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.validation.overfitting import overfitting

Floats = NDArray[np.float64]

TRADES_MIN = 1000
_QUANTILES = (0.0, 0.25, 0.5, 0.75)
_PBO_BLOCKS = 8


class NullScore(msgspec.Struct, frozen=True, kw_only=True):
    """Report worlds with nothing to find: trades with the gates forced open, and with the gates as configured."""

    worlds: int
    opened: TradeSums
    normal: TradeSums
    pbo_mean: float
    pbo_worlds: int


def score_nulls(bundle: Bundle, rows: Sequence[tuple[Rows, Said]], traded: Sequence[WorldTraded]) -> NullScore:
    """Score worlds with nothing to find, of which rows, and what was traded, are given."""
    mean, worlds = pbo_of(bundle, rows)
    return NullScore(
        worlds=len(traded),
        opened=sums_of([one.opened for one in traded]),
        normal=sums_of([one.normal for one in traded]),
        pbo_mean=mean,
        pbo_worlds=worlds,
    )


def pbo_of(bundle: Bundle, worlds: Sequence[tuple[Rows, Said]]) -> tuple[float, int]:
    """Return the mean probability of overfitting over worlds, and how many have one; NaN where none has."""
    found = [one for one in pbos(bundle, worlds) if math.isfinite(one)]
    return (float(np.mean(found)) if found else float("nan")), len(found)


def pbos(bundle: Bundle, worlds: Sequence[tuple[Rows, Said]]) -> list[float]:
    """Return each world's probability of overfitting; NaN where there is nothing to choose among."""
    found = []
    for rows, said in worlds:
        table = _variants(bundle, rows, said)
        moves = table.std(axis=0) > 0.0
        is_enough = table.shape[0] >= 2 * _PBO_BLOCKS and moves.sum() >= 2
        found.append(overfitting(table[:, moves], _PBO_BLOCKS).pbo if is_enough else math.nan)
    return found


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

"""Our learner against a logistic regression of queue imbalance, order-flow and trade-flow imbalance, on recordings, walking forward.

Both learn what was before each fold and are tested on the fold; the AUC is of the direction of the next move of the mid, from 150 ms
after the row, given that it moved. Beside it the log-loss of all three outcomes: it fell, it stood, it rose. Most public captures are
minutes long: the intervals, by blocks of time, say how little that is.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.learning.boosting.models import softmax
from smartmoney.learning.boosting.trees import TrainingRefused, TreeSettings, grow, margins
from smartmoney.learning.calibration import logistic, weighted_auc
from smartmoney.learning.sets.labels import Labels, labels_of, moves_bps
from smartmoney.learning.sets.mirror import mirror
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.validation.splits import walk_forward
from smartmoney.learning.validation.uniqueness import uniqueness

Floats = NDArray[np.float64]

HORIZONS_S = (1, 5, 30)
BASE = ("queue_imbalance", "ofi_l1_1s", "tfi_1s")
_TREES = TreeSettings(rounds=60, depth=3, rate=0.06, leaf_rows_min=10.0, penalty=5.0, columns_max=24)
_FOLDS = 4
_BLOCK_S = 60
_RESAMPLES = 400
_THREE_ROWS = 6_000
"""Rows of a recording that the three outcomes are learned from and judged on, evenly over it: three times the trees, on all of the rows."""


class RecordedScore(msgspec.Struct, frozen=True, kw_only=True):
    """Compare on one recording at one horizon."""

    name: str
    hours: float
    auc: float
    auc_logistic: float
    effective: float
    is_grown: bool = True
    """False where no fold's forest found anything to split at: it leans to neither side, and its AUC is one half exactly."""


class BaselineScore(msgspec.Struct, frozen=True, kw_only=True):
    """Compare at one horizon, pooled over recordings. The gain's interval is 95 %, over blocks of a minute.

    `three_…` are log-losses in nats of fell, stood, rose: ours, of logistic regressions (does it move, and whither), of base rates.
    """

    horizon_s: int
    auc: float
    auc_logistic: float
    gain: float
    gain_low: float
    gain_high: float
    best_single: float
    rows: int
    effective: float
    three: float
    three_logistic: float
    three_base: float
    recordings: tuple[RecordedScore, ...]


def score_baseline(recordings: Sequence[Rows]) -> tuple[BaselineScore, ...]:
    """Compare on every recording that is long enough, by horizon."""
    found = []
    for horizon in HORIZONS_S:
        parts = [part for rows in recordings if (part := _walk(rows, horizon)) is not None]
        if parts:
            three = [one for rows in recordings if (one := _three(rows, horizon)) is not None]
            found.append(_pooled(horizon, parts, three))
    return tuple(found)


class _Tested(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    hours: float
    ours: Floats
    logistic: Floats
    singles: Floats
    up: Floats
    weight: Floats
    block: NDArray[np.int64]


_BY_ROW = ("ours", "logistic", "singles", "up", "weight", "block")


def _walk(rows: Rows, horizon: int) -> _Tested | None:
    labels = labels_of(rows, horizon)
    if len(labels.rows) < 10 * _FOLDS:
        return None
    x = rows.values[labels.rows]
    up = (labels.sign > 0).astype(np.float64)
    ours, logistic = np.full(len(up), np.nan), np.full(len(up), np.nan)
    base = based(x)
    for split in walk_forward(labels.starts_s, labels.ends_s, _FOLDS, horizon):
        if len(split.train) < 30 or len(np.unique(up[split.train])) < 2:
            continue
        ours[split.test] = _ours(x, up, labels, split.train, split.test)
        logistic[split.test] = base[split.test] @ direction(base[split.train], up[split.train], labels.uniqueness[split.train])
    if not np.isfinite(ours).any():
        return None
    return _Tested(
        name=rows.name,
        hours=len(rows) / 3600.0,
        ours=ours,
        logistic=logistic,
        singles=base,
        up=up,
        weight=labels.uniqueness,
        block=labels.starts_s // _BLOCK_S,
    )


def _ours(x: NDArray[np.float32], up: Floats, labels: Labels, train: NDArray[np.int64], test: NDArray[np.int64]) -> Floats:
    both = np.concatenate((x[train], mirror(x[train])))
    y = np.concatenate((up[train], 1.0 - up[train])).astype(np.int64)
    weight = np.concatenate((labels.uniqueness[train],) * 2) / 2.0
    try:
        grown = grow(both, y, weight, _TREES)
    except TrainingRefused:
        return np.full(len(test), np.nan)
    return margins(grown, x[test]) - margins(grown, mirror(x[test]))


def _three(rows: Rows, horizon: int) -> Floats | None:
    """Return log-losses of the three outcomes times weight (ours, logistic, base rates), and the weight; None with too few rows."""
    move = moves_bps(rows, horizon)
    at = np.flatnonzero(np.isfinite(move))
    at = at[:: max(1, -(-len(at) // _THREE_ROWS))]
    if len(at) < 10 * _FOLDS:
        return None
    starts = (rows.times[at] - rows.times[0]) // SECOND_NS
    step = max(1, int(np.median(np.diff(starts))))
    weight = uniqueness(starts // step, (starts + horizon - 1) // step)
    x, y = rows.values[at], np.sign(move[at]).astype(np.int64) + 1
    base, total = based(x), np.zeros(4)
    for split in walk_forward(starts, starts + horizon, _FOLDS, horizon):
        train, test = split.train, split.test
        if len(train) < 30 or len(np.unique(y[train])) < 3:
            continue
        ours = _ours_of_three(x[train], y[train], weight[train], x[test])
        if ours is None:
            continue
        share = np.bincount(y[train], weight[train], 3) / weight[train].sum()
        for place, p in enumerate((ours, _logistic_of_three(base, y, weight, train, test), np.tile(share, (len(test), 1)))):
            total[place] += (weight[test] * -np.log(np.clip(p[np.arange(len(test)), y[test]], 1e-9, 1.0))).sum()
        total[3] += weight[test].sum()
    return total if total[3] > 0.0 else None


def _ours_of_three(x: NDArray[np.float32], y: NDArray[np.int64], weight: Floats, asked: NDArray[np.float32]) -> Floats | None:
    """Return probabilities `(rows, 3)` of a forest that learned rows and their mirrors, averaged; None where none can be grown."""
    both, labels = np.concatenate((x, mirror(x))), np.concatenate((y, 2 - y))
    try:
        grown = grow(both, labels, np.concatenate((weight, weight)) / 2.0, _TREES, classes=3)
    except TrainingRefused:
        return None
    return np.asarray(0.5 * (softmax(margins(grown, asked)) + softmax(margins(grown, mirror(asked)))[:, ::-1]), np.float64)


def _logistic_of_three(base: Floats, y: NDArray[np.int64], weight: Floats, train: NDArray[np.int64], test: NDArray[np.int64]) -> Floats:
    """Return probabilities `(rows, 3)` of two regressions: whether it moves, on sizes, and whither, on the columns themselves."""
    moved = y != 1
    *slopes, intercept = logistic(np.abs(base[train]), moved[train].astype(np.float64), weight[train])
    moves = 1.0 / (1.0 + np.exp(-(np.abs(base[test]) @ slopes + intercept)))
    going = train[moved[train]]
    up = 1.0 / (1.0 + np.exp(-base[test] @ direction(base[going], (y[going] > 1).astype(np.float64), weight[going])))
    return np.column_stack((moves * (1.0 - up), 1.0 - moves, moves * up))


def based(x: NDArray[np.float32]) -> Floats:
    """Return the baseline's columns `(rows, 3)` of feature rows, on one scale; what is unknown is 0."""
    base = x[:, [FEATURE_INDEX[name] for name in BASE]].astype(np.float64)
    signed = np.sign(base) * np.log1p(np.abs(base))
    spread = np.nanstd(signed, axis=0)
    return np.nan_to_num(signed / np.where(spread > 0.0, spread, 1.0))


def direction(x: Floats, up: Floats, weight: Floats) -> Floats:
    """Return the coefficients of a logistic regression without intercept: odd in, odd out."""
    beta = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-x @ beta))
        hessian = (x * (weight * p * (1.0 - p))[:, None]).T @ x + np.eye(len(beta))
        beta = beta + np.linalg.solve(hessian, x.T @ (weight * (up - p)) - beta)
    return beta


def _pooled(horizon: int, parts: Sequence[_Tested], three: Sequence[Floats]) -> BaselineScore:
    """Return the mean over recordings, each weighted by its independent rows."""
    share = np.array([part.weight[np.isfinite(part.ours)].sum() for part in parts])
    mine, theirs = (float(np.nansum(share * _areas(parts, name)) / share.sum()) for name in ("ours", "logistic"))
    singles = [
        float(
            np.nansum(share * [weighted_auc(np.where(np.isfinite(p.ours), p.singles[:, k], np.nan), p.up, p.weight) for p in parts])
            / share.sum()
        )
        for k in range(len(BASE))
    ]
    rng = np.random.default_rng(4)
    gains = []
    for _ in range(_RESAMPLES):
        drawn = [_redrawn(part, rng) for part in parts]
        areas = _areas(drawn, "ours") - _areas(drawn, "logistic")
        gains.append(float(np.nansum(share * areas) / share.sum()))
    low, high = np.quantile(gains, (0.025, 0.975)).tolist()
    losses = np.sum(three, axis=0) if three else np.full(4, np.nan)
    of = zip(parts, _areas(parts, "ours").tolist(), _areas(parts, "logistic").tolist(), share.tolist(), strict=True)
    return BaselineScore(
        horizon_s=horizon,
        auc=mine,
        auc_logistic=theirs,
        gain=mine - theirs,
        gain_low=low,
        gain_high=high,
        best_single=max(singles),
        rows=int(sum(np.isfinite(part.ours).sum() for part in parts)),
        effective=float(share.sum()),
        three=float(losses[0] / losses[3]),
        three_logistic=float(losses[1] / losses[3]),
        three_base=float(losses[2] / losses[3]),
        recordings=tuple(
            RecordedScore(
                name=part.name,
                hours=part.hours,
                auc=one,
                auc_logistic=other,
                effective=rows,
                is_grown=bool(np.nanmax(np.abs(part.ours)) > 0.0),
            )
            for part, one, other, rows in of
        ),
    )


def _areas(parts: Sequence[_Tested], name: str) -> Floats:
    found = []
    for part in parts:
        both = np.isfinite(part.ours) & np.isfinite(part.logistic)
        found.append(weighted_auc(np.where(both, getattr(part, name), np.nan), part.up, part.weight))
    return np.array(found)


def _redrawn(part: _Tested, rng: np.random.Generator) -> _Tested:
    blocks = np.unique(part.block)
    chosen = np.concatenate([np.flatnonzero(part.block == block) for block in rng.choice(blocks, len(blocks))])
    return msgspec.structs.replace(part, **{name: getattr(part, name)[chosen] for name in _BY_ROW})

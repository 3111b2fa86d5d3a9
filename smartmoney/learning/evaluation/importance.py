"""What each feature is worth on held-out worlds: how much worse regimes and forecasts become when it tells of another time.

A feature is shifted around within its world by more than ten minutes, not shuffled row by row: its values and its own memory stay what
they are, and only what it has to do with the market is gone. What hidden stages pass on of it goes with it.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.calibration import row_losses
from smartmoney.learning.drift_monitors import features_of
from smartmoney.learning.evaluation.said import Said, ask
from smartmoney.learning.fitting.stages import TRUTH_TO_REGIME
from smartmoney.learning.sets.labels import labels_of
from smartmoney.learning.sets.rows import Rows

ROWS_MAX = 3_600
WORLDS_MAX = 4
_SHIFT_MIN = 600
_THIN_S = 10
_EPS = 1e-9


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """Say how much log-loss, in nats, a feature saves: of the regime, and of the side at the shortest horizon. Below zero: it harms."""

    feature: str
    regime: float
    forecast: float


def permutation_importance(bundle: Bundle, worlds: Sequence[Rows], parameters: RegimeParameters, seed: int = 29) -> tuple[Worth, ...]:
    """Return the worth of every feature that the bundle reads, the largest sum first. Cost: some 20 µs a row and feature."""
    chosen = [_head_of(one) for one in worlds if one.truth is not None and len(one) > 2 * _SHIFT_MIN][:WORLDS_MAX]
    if not chosen or not bundle.spec.heads:
        return ()
    rng = np.random.default_rng(seed)
    shifts = [int(rng.integers(_SHIFT_MIN, len(one) - _SHIFT_MIN)) for one in chosen]
    usual = _losses(bundle, chosen, parameters)
    found = []
    for name in features_of(bundle.spec):
        moved = [_shifted(one, name, shift) for one, shift in zip(chosen, shifts, strict=True)]
        regime, forecast = (np.array(_losses(bundle, moved, parameters)) - np.array(usual)).tolist()
        found.append(Worth(feature=name, regime=regime, forecast=forecast))
    return tuple(sorted(found, key=lambda one: -(one.regime + one.forecast)))


def _head_of(rows: Rows) -> Rows:
    truth = rows.truth
    assert truth is not None
    count = min(len(rows), ROWS_MAX)
    return msgspec.structs.replace(
        rows,
        times=rows.times[:count],
        values=rows.values[:count],
        mid_after=rows.mid_after[:count],
        truth=type(truth)(**{name: getattr(truth, name)[:count] for name in truth.__struct_fields__}),
    )


def _shifted(rows: Rows, name: str, shift: int) -> Rows:
    values = rows.values.copy()
    column = FEATURE_INDEX[name]
    values[:, column] = np.roll(values[:, column], shift)
    return msgspec.structs.replace(rows, values=values)


def _losses(bundle: Bundle, worlds: Sequence[Rows], parameters: RegimeParameters) -> tuple[float, float]:
    """Return the mean log-loss of the regime and of the side at the shortest horizon."""
    shortest = min(range(len(bundle.spec.heads)), key=lambda k: bundle.spec.heads[k].horizon_s)
    horizon = bundle.spec.heads[shortest].horizon_s
    regimes, sides = [], []
    for rows in worlds:
        said = ask(bundle, rows, parameters)
        regimes.append(_regime_losses(rows, said))
        labels = labels_of(rows, horizon, _THIN_S)
        losses = row_losses(said.up[labels.rows, shortest], (labels.sign > 0).astype(np.float64))
        sides.append(losses[np.isfinite(losses)])
    return float(np.concatenate(regimes).mean()), float(np.concatenate(sides).mean())


def _regime_losses(rows: Rows, said: Said) -> NDArray[np.float64]:
    assert rows.truth is not None
    at = np.flatnonzero(rows.truth.regime >= 0)[::_THIN_S]
    p = said.posterior[at, TRUTH_TO_REGIME[rows.truth.regime[at]]]
    return np.asarray(-np.log(np.maximum(p, _EPS)), np.float64)

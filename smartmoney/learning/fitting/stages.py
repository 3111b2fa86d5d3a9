"""Fit the forests of one fold, or of everything: detector, classifier, heads, each on its own rows, with mirrored copies."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import HiddenMarkov
from smartmoney.learning.boosting.models import MIRRORED, FlowDetector, HeadModel, Layout, RegimeClassifier, layout_of
from smartmoney.learning.boosting.trees import Grown, Labels, Matrix, TrainingRefused, TreeSettings, grow
from smartmoney.learning.fitting.heads import HeadRows
from smartmoney.learning.fitting.plan import Recipe, Sample
from smartmoney.learning.fitting.teachers import NO_WAY, taught, way_of
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.staging import stage_spec
from smartmoney.simulation import truth

Floats = NDArray[np.float64]

TRUTH_TO_REGIME = np.array([4, 0, 1, 2, 3])
"""From `simulation.truth.REGIMES` to the order of `Regime`."""
assert truth.REGIMES == ("neutral", "accumulation", "distribution", "trending", "volatile")
BEFORE_DETECTOR = ("window:", "hmm:")
"""Columns of earlier stages that the detector reads; classifier and heads read what it said, too."""
_TRUTH_REACH_S = 60
"""Truth of neighbouring seconds is the same for about this long, the trailing minute of participation."""
_SETTLED_S = 15
"""A target's first seconds are hardly in the features yet; such rows teach noise."""
LABELS_MIN = 4.0
"""Independent labels, of both directions, without which a head is not fitted, nor calibrated."""


class TruthRows(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the rows of a sample that have truth: numbers in the sample, regime (index of `Regime`), and who is at work."""

    at: NDArray[np.int64]
    regime: NDArray[np.int64]
    buying: NDArray[np.bool_]
    selling: NDArray[np.bool_]
    weight: Floats
    is_window: NDArray[np.bool_]
    """Rows of oracle worlds, which have no regime."""
    has_target: NDArray[np.bool_]
    """Rows of oracle worlds while a target acts."""
    way: NDArray[np.int64]
    """How the target of an oracle world acts, or would (`teachers.WAYS`)."""


def layout(hmm: HiddenMarkov, recipe: Recipe) -> Layout:
    """Return the layout of the wide rows of a recipe."""
    return layout_of(stage_spec(hmm, recipe.feature_window, recipe.products()), recipe.products())


def truth_rows(sources: Sequence[Rows], made: Sample, every_s: int) -> TruthRows:
    """Return the rows with truth, weighted by how long neighbouring seconds say the same."""
    parts = []
    for place, one in enumerate(sources):
        if one.truth is None:
            continue
        at = np.flatnonzero(made.source == place)
        rows = made.row[at]
        regime = one.truth.regime[rows]
        is_window = "target" in one.extras
        buying, selling = one.truth.informed_buying[rows], one.truth.informed_selling[rows]
        known = regime >= 0
        labelled = np.where(known, TRUTH_TO_REGIME[np.maximum(regime, 0)], -1)
        weight = _window_weights(one, rows) if is_window else np.where(known, min(1.0, every_s / _TRUTH_REACH_S), 0.0)
        way = np.full(len(at), way_of(one.family) if is_window else NO_WAY)
        parts.append((at, labelled, buying, selling, weight, np.full(len(at), is_window), is_window & (buying | selling), way))
    if not parts:
        raise TrainingRefused("none of the rows has truth; the regime part needs a synthetic market, or a champion to stand on")
    columns: list[NDArray[Any]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return TruthRows(**dict(zip(TruthRows.__struct_fields__, columns, strict=True)))


def _window_weights(one: Rows, rows: NDArray[np.int64]) -> Floats:
    """Weigh rows of oracle worlds by the square of how much of their window has passed, so that each window is worth one row.

    Evidence grows with time, and windows without a target are there for the same seconds, so that nothing but evidence tells them apart.
    """
    assert one.truth is not None
    ends, targets = one.extras["end"].astype(np.int64), one.extras["target"] > 0.5
    acting = one.truth.informed_buying | one.truth.informed_selling
    length = acting.sum() / max(1, targets.sum())
    window = np.minimum(np.searchsorted(ends, rows), len(ends) - 1)
    passed = length - (ends[window] - rows)
    weight = np.where((passed > _SETTLED_S) & (passed <= length), (passed / max(length, 1.0)) ** 2, 0.0)
    sums = np.bincount(window, weight, len(ends))
    return np.asarray(weight / np.maximum(sums, 1e-12)[window], np.float64)


def fit_classifier(
    made: Sample, rows: TruthRows, usable: NDArray[np.bool_], shape: Layout, settings: TreeSettings, rounds: int | None = None
) -> RegimeClassifier:
    """Fit the regime classifier on usable rows of the sample and their mirrors.

    Flow columns must be of detectors that had not seen the rows' worlds.

    Raises:
        TrainingRefused: only one regime is there.
    """
    chosen = usable[rows.at] & (rows.regime >= 0)
    at, y, weight = rows.at[chosen], rows.regime[chosen], rows.weight[chosen]
    columns = shape.columns((*BEFORE_DETECTOR, "flow:"))
    x, labels, weights = _doubled(made.x[at], shape, y, MIRRORED[y], weight)
    return RegimeClassifier(grown=_grown(x, columns, labels, weights, settings, 5, rounds), layout=shape)


def fit_detector(
    made: Sample, rows: TruthRows, usable: NDArray[np.bool_], shape: Layout, settings: TreeSettings, rounds: int | None = None
) -> FlowDetector:
    """Fit the detector of informed buying; half of the weight is on oracle worlds where there are some, of which teachers tell.

    Raises:
        TrainingRefused: nobody informed buys or sells in the rows, or always somebody does.
    """
    chosen = usable[rows.at] & (rows.weight > 0.0)
    at, buying, selling, weight = rows.at[chosen], rows.buying[chosen], rows.selling[chosen], rows.weight[chosen]
    window = rows.is_window[chosen]
    columns = shape.columns(BEFORE_DETECTOR)
    x, there, weights = _doubled(made.x[at], shape, buying.astype(np.int64), selling.astype(np.int64), weight)
    labels, twice = there.astype(np.float64), np.tile(window, 2)
    if window.any():
        target, way = np.tile(rows.has_target[chosen], 2), np.tile(rows.way[chosen], 2)
        labels[twice] = taught(x[twice][:, columns], there[twice] > 0, target[twice], way[twice], weights[twice])
    if window.any() and not window.all():
        weights[twice] *= weights[~twice].sum() / weights[twice].sum()
    return FlowDetector(grown=_grown(x, columns, labels, weights, settings, 2, rounds), layout=shape)


def lacking(up: Floats, weight: Floats) -> str:
    """Say why labels are too few to fit or to calibrate a head, or of one direction only; empty where they are enough."""
    if weight.sum() < LABELS_MIN:
        return f"{weight.sum():.1f} independent labels, at least {LABELS_MIN:.0f} are needed"
    return "the mid only ever moved one way" if len(np.unique(up)) < 2 else ""


def fit_head(
    made: Sample,
    rows: HeadRows,
    usable: NDArray[np.bool_],
    shape: Layout,
    settings: TreeSettings,
    horizon_s: int,
    rounds: int | None = None,
) -> HeadModel:
    """Fit one horizon's forest on usable rows and their mirrors.

    Flow columns must be of detectors that had not seen the rows' worlds.

    Raises:
        TrainingRefused: there are too few independent rows, or only one direction.
    """
    chosen = usable[rows.at]
    at, up, weight = rows.at[chosen], rows.up[chosen].astype(np.int64), rows.weight[chosen]
    if lack := lacking(rows.up[chosen], weight):
        raise TrainingRefused(f"{horizon_s} s ahead: {lack}; give a longer recording")
    columns = shape.columns((*BEFORE_DETECTOR, "flow:"), products=True)
    x, labels, weights = _doubled(made.x[at], shape, up, 1 - up, weight)
    return HeadModel(grown=_grown(x, columns, labels, weights, settings, 2, rounds), layout=shape, horizon_s=horizon_s)


def _doubled(
    x: Matrix, shape: Layout, y: NDArray[np.int64], mirrored: NDArray[np.int64], weight: Floats
) -> tuple[Matrix, NDArray[np.int64], Floats]:
    """Return rows and their mirrors; each pair is worth what the row was."""
    return np.concatenate((x, shape.mirror(x))), np.concatenate((y, mirrored)), np.concatenate((weight, weight)) / 2.0


def _grown(
    x: Matrix, columns: NDArray[np.int64], y: Labels, weights: Floats, settings: TreeSettings, classes: int, rounds: int | None
) -> Grown:
    grown = grow(x[:, columns], y, weights, settings, classes=classes, rounds=rounds)
    return msgspec.structs.replace(grown, columns=columns[grown.columns])

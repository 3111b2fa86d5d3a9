"""The learning curve: skill on held-out worlds against the number of worlds that were learned from.

Each point is a training of its own, by the recipe of `smartmoney train --built-in`: the hidden Markov stage, the detector as others read
it, the classifier and the head of the shortest horizon, on the first so many training worlds, families in turn. What it says is scored raw:
without the smoothing, debouncing and calibration that a bundle adds. So it tells whether more worlds would help, not how good the bundle
is. Few worlds may not hold every regime; then the training is refused as any other, and the point says why.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.calibration import weighted_auc
from smartmoney.learning.fitting.heads import head_rows
from smartmoney.learning.fitting.plan import Recipe, sample, whole
from smartmoney.learning.fitting.run import f1_scores, fit_stage
from smartmoney.learning.fitting.stacked import asked, can_cross, cross_fit, crossed, write_flow
from smartmoney.learning.fitting.stages import fit_classifier, fit_detector, fit_head, layout, truth_rows
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.regimes.observations import ObservationRefused
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Be one training's skill: macro-F1 of regimes, AUC of the side at the shortest horizon; NaN where it was `refused`, and why."""

    worlds: int
    macro_f1: float
    auc: float
    refused: str = ""


def in_turn(worlds: Sequence[Rows]) -> list[Rows]:
    """Return worlds with their families in turn: any first few are as various as can be."""
    by_family: dict[str, list[Rows]] = {}
    for one in worlds:
        by_family.setdefault(one.family, []).append(one)
    deepest = max((len(rows) for rows in by_family.values()), default=0)
    return [rows[k] for k in range(deepest) for rows in by_family.values() if k < len(rows)]


def learning_curve(training: Sequence[Rows], held_out: Sequence[Rows], recipe: Recipe) -> tuple[CurvePoint, ...]:
    """Return a point for 2, 4, 8 … of the training worlds, and for all of them.

    Raises:
        TrainingRefused: there are too few worlds for a curve.
    """
    if len(training) < 2 or not held_out:
        raise TrainingRefused("a learning curve takes at least two worlds to learn from, and one that is held out")
    ordered = in_turn(training)
    counts = sorted({2**power for power in range(1, len(ordered).bit_length()) if 2**power <= len(ordered)} | {len(ordered)})
    return tuple(_point(ordered[:count], held_out, recipe) for count in counts)


def _point(training: Sequence[Rows], held_out: Sequence[Rows], recipe: Recipe) -> CurvePoint:
    try:
        return _skill(training, held_out, recipe)
    except (TrainingRefused, FitRefused, ObservationRefused) as refused:
        return CurvePoint(worlds=len(training), macro_f1=math.nan, auc=math.nan, refused=str(refused))


def _skill(training: Sequence[Rows], held_out: Sequence[Rows], recipe: Recipe) -> CurvePoint:
    horizon = min(recipe.horizons_s)
    staged = [np.full(len(one), one.family not in recipe.stage_without) for one in training]
    fitted, _ = fit_stage(training, staged, recipe, None, has_truth=True)
    assert fitted is not None
    shape = layout(fitted.hmm, recipe)
    learned, tested = sample(training, fitted.hmm, recipe), sample(held_out, fitted.hmm, recipe)
    everything = np.ones(len(learned.row), np.bool_)
    known_truth = truth_rows(training, learned, recipe.every_s)
    inner = crossed(training, whole(training), recipe.flow_parts)
    if can_cross(learned, known_truth, inner):
        said, step, calibrator = cross_fit(learned, known_truth, inner, shape, recipe)
        settings = recipe.detector_trees()
        detector = fit_detector(learned, known_truth, everything, shape, settings)
        write_flow(learned, shape, calibrator, said[step])
        write_flow(tested, shape, calibrator, asked(detector, tested.x, settings.rounds)[step])
    classifier = fit_classifier(learned, known_truth, everything, shape, recipe.classifier_trees())
    labels = head_rows(training, learned, horizon, recipe.every_s, recipe.half_life_s)
    head = fit_head(learned, labels, everything, shape, recipe.head_trees(), horizon)
    truth = truth_rows(held_out, tested, recipe.every_s)
    known = truth.regime >= 0
    at, weight = truth.at[known], truth.weight[known]
    told = classifier.margins(tested.x[at]).argmax(axis=1)
    came = head_rows(held_out, tested, horizon, recipe.every_s, recipe.half_life_s)
    return CurvePoint(
        worlds=len(training),
        macro_f1=float(f1_scores(told, truth.regime[known], weight).mean()),
        auc=weighted_auc(head.raw(tested.x[came.at]), came.up, came.weight),
    )

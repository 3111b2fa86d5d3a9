"""What the detector says of rows that classifier and heads learn from: always a detector that has not seen the row's world.

A forest knows its own training rows by heart, so that what it says of them is worth more than what it will ever say again; a forest that
learned from that would trust it too much (Wolpert 1992, "Stacked generalization"). So in each fold detectors of the other parts speak of
each part of what is learned from, and the fold's own detector of what is tested, both through a calibrator that is fitted on the former.
The whole training takes what the folds said. Serving does the same with the bundle's detector and calibrator.

Invariants: the parts of a fold are whole sources, families spread over them; every row of a sample gets an answer, or none does.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Calibrator
from smartmoney.core.models.columns import FLOW_BUYING, FLOW_SELLING
from smartmoney.learning.boosting.models import FlowDetector, Layout
from smartmoney.learning.boosting.trees import Matrix, cut
from smartmoney.learning.calibration import apply, calibrate
from smartmoney.learning.fitting.plan import Fold, Recipe, Sample
from smartmoney.learning.fitting.stages import TruthRows, fit_detector
from smartmoney.learning.fitting.told import Told, binary_losses, enough, steps_of
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]


def crossed(sources: Sequence[Rows], fold: Fold, parts: int) -> tuple[Fold, ...]:
    """Return folds inside a fold: each leaves out a part of the sources that it learns from, and is tested on that.

    None below two parts, or where the fold learns from one source only.
    """
    learned = [place for place, until in enumerate(fold.train_until) if until > 0]
    count = min(parts, len(learned))
    if count < 2:
        return ()
    members: dict[str, int] = {}
    for place in learned:
        members[sources[place].family] = members.get(sources[place].family, 0) + 1
    # A stretch of each family, for its scenarios take turns; those of few worlds begin where the one before ended.
    turn, numbers, first = {}, dict.fromkeys(members, 0), dict(zip(members, np.cumsum([0, *members.values()]).tolist(), strict=False))
    for place in learned:
        family = sources[place].family
        turn[place] = (first[family] + numbers[family] * count // max(members[family], count)) % count
        numbers[family] += 1
    return tuple(
        Fold(
            train_until=tuple(0 if turn.get(place) == part else until for place, until in enumerate(fold.train_until)),
            test_from=tuple(0 if turn.get(place) == part else until for place, until in enumerate(fold.train_until)),
            test_until=fold.train_until,
        )
        for part in range(count)
    )


def can_cross(made: Sample, rows: TruthRows, inner: Sequence[Fold]) -> bool:
    """Tell whether every fold inside a fold knows both times in which somebody informed acts and times in which nobody does."""
    return len(inner) > 1 and all(_knows_both(rows, made.train(one, 0.0)) for one in inner)


def _knows_both(rows: TruthRows, usable: NDArray[np.bool_]) -> bool:
    chosen = usable[rows.at] & (rows.weight > 0.0)
    there = np.concatenate((rows.buying[chosen], rows.selling[chosen]))
    return bool(there.any() and not there.all())


def asked(detector: FlowDetector, x: Matrix, rounds: int) -> Floats:
    """Return `(steps, rows, 2)` raw probabilities of buying and selling by a detector of so many rounds, after each step of `steps_of`."""
    sizes = [FlowDetector(grown=cut(detector.grown, n), layout=detector.layout) for n in steps_of(rounds)]
    return np.stack([np.column_stack(one.raw(x)) for one in sizes])


def cross_fit(made: Sample, rows: TruthRows, inner: Sequence[Fold], shape: Layout, recipe: Recipe) -> tuple[Floats, int, Calibrator]:
    """Return what detectors say of each other's parts, `(steps, rows, 2)`, the step that is enough, and the calibrator of that.

    Rows that are in no part are NaN.
    """
    told, settings = Told(), recipe.detector_trees()
    for one in inner:
        test = made.test(one)
        detector = fit_detector(made, rows, made.train(one, 0.0), shape, settings)
        told.take_flow(test, asked(detector, made.x[test], settings.rounds))
    assert told.flow is not None
    step = flow_step(rows, [told.flow])
    _, *scores = flow_scores(rows, told.flow[step])
    return told.flow, step, calibrate(*scores)


def stack(
    made: Sample, rows: TruthRows, inner: Sequence[Fold], shape: Layout, recipe: Recipe, test: NDArray[np.bool_], whole: Floats
) -> None:
    """Write the flow columns of a fold's rows; `whole` is what the fold's own detector says of the rows `test`, `(steps, tested, 2)`."""
    said, step, calibrator = cross_fit(made, rows, inner, shape, recipe)
    raw = said[step].copy()
    raw[test] = whole[step]
    write_flow(made, shape, calibrator, raw)


def write_flow(made: Sample, shape: Layout, calibrator: Calibrator, raw: Floats) -> None:
    """Write `(rows, 2)` raw probabilities of buying and selling into a sample's flow columns as serving does: calibrated.

    In place, for a sample is as large as everything else together.
    """
    for side, name in enumerate((FLOW_BUYING, FLOW_SELLING)):
        made.x[:, shape.names.index(name)] = apply(calibrator, raw[:, side])


def flow_step(rows: TruthRows, flows: Sequence[Floats]) -> int:
    """Return the step at which a detector is large enough, by what each kind of folds said, `(steps, rows, 2)`."""
    losses = []
    for one in flows:
        flow = np.concatenate((one[:, rows.at, 0], one[:, rows.at, 1]), axis=1)
        came = np.concatenate((rows.buying, rows.selling)).astype(np.float64)
        losses.append(binary_losses(flow, came, np.tile(rows.weight, 2) / 2.0))
    return enough(losses, float(rows.weight.sum()))


def flow_scores(rows: TruthRows, raw: Floats) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
    """Return which truth rows count, and of buying, then of selling: score, what came true, weight. Full markets where there are some."""
    flow = raw[rows.at]
    chosen = (rows.weight > 0.0) & np.isfinite(flow[:, 0]) & ~rows.is_window
    if not chosen.any():
        chosen = (rows.weight > 0.0) & np.isfinite(flow[:, 0])
    score = np.concatenate((flow[chosen, 0], flow[chosen, 1]))
    came = np.concatenate((rows.buying[chosen], rows.selling[chosen])).astype(np.float64)
    return chosen, score, came, np.tile(rows.weight[chosen], 2) / 2.0

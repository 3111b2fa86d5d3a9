"""How much of a head's skill is the luck of which past it was tested on: combinatorial purged cross-validation of a recording.

Walking forward gives one history, and decides. Here the past is cut into eight blocks; every two of them test a forest of the other six,
whose labels reach no nearer to a tested block than one horizon. Each block is tested seven times, which makes seven histories of the whole
past, and their spread is what is told (López de Prado 2018, chapter 12). Some blocks are foretold by a forest that knows what came after:
none of these numbers is a forecast's.

The hidden Markov stage and the detector are the champion's, which have not seen the blocks; fitting one stage per split would take the most
time by far.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import HiddenMarkov
from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.calibration import weighted_auc
from smartmoney.learning.fitting.heads import HeadRows, head_rows
from smartmoney.learning.fitting.plan import Recipe, Sample, sample
from smartmoney.learning.fitting.stages import fit_head, layout
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.staging import StandingDetector
from smartmoney.learning.validation.splits import Split, combinatorial

BLOCKS, TESTED = 8, 2
ROUNDS = 30
"""Trees of each of the 28 forests; those that ship are seldom more."""


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Report the AUC of each history, ascending, at a horizon; empty where the recording is too short for every split."""

    horizon_s: int
    splits: int
    aucs: tuple[float, ...]


def combinatorial_paths(
    sources: Sequence[Rows], stage: HiddenMarkov, recipe: Recipe, horizon_s: int, standing: StandingDetector | None = None
) -> Paths:
    """Return the AUCs of all histories of recordings at one horizon; instruments of the same time are in the same block."""
    made = sample(sources, stage, recipe, standing)
    rows = head_rows(sources, made, horizon_s, recipe.every_s, recipe.half_life_s)
    order = np.argsort(made.times[rows.at], kind="stable")
    starts = made.times[rows.at][order] // SECOND_NS
    if len(order) < BLOCKS:
        return Paths(horizon_s=horizon_s, splits=0, aucs=())
    found = combinatorial(starts, starts + horizon_s, BLOCKS, TESTED, horizon_s)
    bounds = np.arange(BLOCKS + 1) * len(order) // BLOCKS
    said = [_said(made, rows, order, split, stage, recipe, horizon_s) for split in found.splits]
    if any(one is None for one in said):
        return Paths(horizon_s=horizon_s, splits=len(said), aucs=())
    aucs = []
    for path in found.paths.tolist():
        raw = np.full(len(order), np.nan)
        for block, number in enumerate(path):
            inside = slice(bounds[block], bounds[block + 1])
            one = said[number]
            assert one is not None
            raw[inside] = one[inside]
        aucs.append(weighted_auc(raw, rows.up[order], rows.weight[order]))
    return Paths(horizon_s=horizon_s, splits=len(said), aucs=tuple(sorted(aucs)))


def _said(
    made: Sample, rows: HeadRows, order: NDArray[np.int64], split: Split, stage: HiddenMarkov, recipe: Recipe, horizon_s: int
) -> NDArray[np.float64] | None:
    """Return what a forest of a split's train rows says of its test rows, in the order of time, NaN elsewhere; None where none grows."""
    usable = np.zeros(len(made.row), np.bool_)
    usable[rows.at[order[split.train]]] = True
    settings = recipe.head_trees()
    try:
        head = fit_head(made, rows, usable, layout(stage, recipe), settings, horizon_s, min(ROUNDS, settings.rounds))
    except TrainingRefused:
        return None
    raw = np.full(len(order), np.nan)
    raw[split.test] = head.raw(made.x[rows.at[order[split.test]]])
    return raw

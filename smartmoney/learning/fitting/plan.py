"""What a training is told, and which rows each fold learns from and is tested on.

Invariant: a train row's label is known before the test of its own source begins, by more than the embargo; no world is on both sides, and
in the folds by which skill is told no family is.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.interactions import Interaction, interactions
from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX, FEATURES
from smartmoney.core.models.bundle import HiddenMarkov
from smartmoney.learning.boosting.trees import Matrix, TrainingRefused, TreeSettings, usable_columns
from smartmoney.learning.calibration_error import BLOCK_REACHES, time_blocks
from smartmoney.learning.sets.labels import HORIZONS_S
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.staging import StandingDetector, stage, stage_spec

FOREVER_NS = 2**62
BLOCK_S = 1800
"""Seconds of a block of a recording: what counts as one independent group in its intervals."""
ROWS_MIN = 600
"""Fewer seconds than ten minutes cannot even be staged."""
WINDOW_EVERY_S = 5
"""Seconds between rows of oracle worlds at most: a window is as short as 45 s, and its last seconds hold most of what can be known."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Configure a training; the first five are the configuration's keys of the same names.

    `folds` leave out families of worlds, or walk forward in time; `world_folds` leave out worlds of every family, and calibrate; heads are
    calibrated with `unseen_share` of the weight on the former. Inside each fold detectors of `flow_parts` parts speak of each other's rows,
    for classifier and heads to learn from; below 2 neither reads the detector. `every_s` thins rows that say the same; `half_life_s` is
    that of a row's weight with age, infinite for worlds, which have no age. `stage_without` names families that the hidden Markov stage is
    not fitted on.
    """

    hmm_components: int = 5
    feature_window: int = 100
    gb_n_estimators: int = 100
    gb_max_depth: int = 6
    interaction_depth: int = 2
    every_s: int = 20
    folds: int = 4
    world_folds: int = 3
    unseen_share: float = 0.15
    flow_parts: int = 3
    half_life_s: float = float("inf")
    horizons_s: tuple[int, ...] = HORIZONS_S
    hmm_rows: int = 16_000
    stage_without: tuple[str, ...] = ()
    seed: int = 11

    def products(self) -> tuple[Interaction, ...]:
        """Return the products of features that heads may choose from."""
        return interactions(self.interaction_depth)

    def classifier_trees(self) -> TreeSettings:
        """Return the most that the regime classifier's forest may be."""
        return TreeSettings(rounds=self.gb_n_estimators, depth=self.gb_max_depth, rate=0.3, leaf_rows_min=12.0, columns_max=32)

    def detector_trees(self) -> TreeSettings:
        """Return the most that the flow detector's forest may be."""
        return TreeSettings(rounds=80, depth=4, rate=0.15, leaf_rows_min=8.0, columns_max=32)

    def head_trees(self) -> TreeSettings:
        """Return the most that a head's forest may be: few of its labels are independent."""
        return TreeSettings(rounds=100, depth=5, leaf_rows_min=4.0, columns_max=32)


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """Say per source until when rows may be learned from (0: not at all), and what is tested: [from, until). Times in ns."""

    train_until: tuple[int, ...]
    test_from: tuple[int, ...]
    test_until: tuple[int, ...]


def family_folds(sources: Sequence[Rows], folds: int) -> tuple[Fold, ...]:
    """Return folds that leave out whole families.

    Raises:
        TrainingRefused: fewer than two families.
    """
    families = list(dict.fromkeys(one.family for one in sources))
    if len(families) < 2:
        raise TrainingRefused("all rows are of one family; give at least two, so that one can be left out")
    count = min(folds, len(families))
    made = []
    for fold in range(count):
        out = {family for place, family in enumerate(families) if place % count == fold}
        tested = [one.family in out for one in sources]
        made.append(
            Fold(
                train_until=tuple(0 if is_out else FOREVER_NS for is_out in tested),
                test_from=tuple(0 if is_out else FOREVER_NS for is_out in tested),
                test_until=tuple(FOREVER_NS for _ in tested),
            )
        )
    return tuple(made)


def world_folds(sources: Sequence[Rows], folds: int) -> tuple[Fold, ...]:
    """Return folds that leave out a stretch of each family's sources, so that worlds are fresh and families known.

    Scenarios of a family take turns, so that a stretch holds all of them. None where every family has one source, or below two folds.
    """
    members: dict[str, int] = {}
    place = []
    for one in sources:
        place.append(members.get(one.family, 0))
        members[one.family] = place[-1] + 1
    if folds < 2 or max(members.values(), default=0) < 2:
        return ()
    turn = [number * folds // max(members[one.family], folds) for number, one in zip(place, sources, strict=True)]
    return tuple(
        Fold(
            train_until=tuple(0 if own == fold else FOREVER_NS for own in turn),
            test_from=tuple(0 if own == fold else FOREVER_NS for own in turn),
            test_until=tuple(FOREVER_NS for _ in turn),
        )
        for fold in range(max(turn) + 1)
    )


def walk_forward_folds(sources: Sequence[Rows], folds: int) -> tuple[Fold, ...]:
    """Return folds that test on one stretch of time of all sources, and learn from what was before it."""
    first = min(int(one.times[0]) for one in sources)
    last = max(int(one.times[-1]) for one in sources) + 1
    bounds = np.linspace(first, last, folds + 2).astype(np.int64).tolist()
    return tuple(
        Fold(
            train_until=tuple(bounds[k + 1] for _ in sources),
            test_from=tuple(bounds[k + 1] for _ in sources),
            test_until=tuple(bounds[k + 2] for _ in sources),
        )
        for k in range(folds)
    )


def whole(sources: Sequence[Rows]) -> Fold:
    """Return the fold that learns from everything and tests nothing."""
    count = len(sources)
    return Fold(train_until=(FOREVER_NS,) * count, test_from=(FOREVER_NS,) * count, test_until=(FOREVER_NS,) * count)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the chosen rows of all sources: wide columns `x`, source and row numbers, times, and `group`, what is learned from apart.

    `is_world` tells rows of worlds from those of recordings.
    """

    x: Matrix
    source: NDArray[np.int64]
    row: NDArray[np.int64]
    times: NDArray[np.int64]
    group: NDArray[np.int64]
    is_world: NDArray[np.bool_]

    def blocks(self, at: NDArray[np.int64], reach_s: float) -> NDArray[np.int64]:
        """Return what of the rows `at` is independent where labels reach so far ahead: worlds, and of recordings blocks of time.

        Instruments that were recorded at one time share a block.
        """
        numbers = time_blocks(self.times[at], max(reach_s, BLOCK_S / BLOCK_REACHES))
        return np.where(self.is_world[at], -1 - self.source[at], numbers)

    def train(self, fold: Fold, reach_s: float) -> NDArray[np.bool_]:
        """Tell which rows a fold may learn from, with labels that reach so many seconds ahead, and as much embargo."""
        until = np.array(fold.train_until)[self.source]
        free = until >= FOREVER_NS
        return (until > 0) & (free | (self.times + round(2 * reach_s * SECOND_NS) < until))

    def test(self, fold: Fold) -> NDArray[np.bool_]:
        """Tell which rows a fold is tested on."""
        return (self.times >= np.array(fold.test_from)[self.source]) & (self.times < np.array(fold.test_until)[self.source])


def sample(sources: Sequence[Rows], hmm: HiddenMarkov, recipe: Recipe, standing: StandingDetector | None = None) -> Sample:
    """Stage every source and choose every `every_s`-th second of it. Flow columns are what a standing detector says, else NaN."""
    numbers, rows, times, groups, worlds = [], [], [], [], []
    group = 0
    for place, one in enumerate(sources):
        seconds = (one.times - one.times[0]) // SECOND_NS
        chosen = np.flatnonzero(seconds % (min(recipe.every_s, WINDOW_EVERY_S) if "target" in one.extras else recipe.every_s) == 0)
        numbers.append(np.full(len(chosen), place))
        rows.append(chosen)
        times.append(one.times[chosen])
        # A world is one draw; a recording is as many as it has blocks.
        blocks = seconds[chosen] // BLOCK_S if one.truth is None else np.zeros(len(chosen), np.int64)
        groups.append(group + blocks)
        worlds.append(np.full(len(chosen), one.truth is not None))
        group = int(groups[-1][-1]) + 1 if len(chosen) else group
    spec = stage_spec(hmm, recipe.feature_window, recipe.products())
    return Sample(
        x=np.concatenate([one.x for one in stage(sources, spec, rows, standing)]),
        source=np.concatenate(numbers),
        row=np.concatenate(rows),
        times=np.concatenate(times),
        group=np.concatenate(groups),
        is_world=np.concatenate(worlds),
    )


def check_sources(sources: Sequence[Rows], observed: Sequence[str] = ()) -> tuple[str, ...]:
    """Refuse what is too little to learn from; return the features that are constant or unknown in every source.

    Args:
        sources: what is to be learned from.
        observed: the features that the regime stage needs, which must not be among them, unless what they count never happens.

    Raises:
        TrainingRefused: no source, or one that is too short or holds no feature that varies; or a feature of `observed` stands still.
    """
    if not sources:
        raise TrainingRefused("there is nothing to learn from; name recordings, a run, or --built-in")
    for one in sources:
        if len(one) < ROWS_MIN:
            raise TrainingRefused(f"{one.name}: {len(one)} seconds of rows, at least {ROWS_MIN} are needed; give a longer recording")
        if not np.isfinite(one.mid_after).any():
            raise TrainingRefused(f"{one.name}: there is never a book, so nothing can be foretold; is --market right?")
    varies = [frozenset(usable_columns(one.values).tolist()) for one in sources]
    for one, found in zip(sources, varies, strict=True):
        if not found:
            raise TrainingRefused(f"{one.name}: every feature is constant or unknown; is the recording whole?")
    still = tuple(name for k, name in enumerate(COLUMNS) if not any(k in found for found in varies))
    for name in observed:
        if name in still and not _is_absent(sources, name):
            raise TrainingRefused(
                f"{name} is constant or unknown in all rows, and regimes are told by it; a feed that stands still says nothing: "
                "give another recording"
            )
    return still


def _is_absent(sources: Sequence[Rows], name: str) -> bool:
    """Tell whether an odd feature is known and always 0: nothing of its kind ever happens there (no refills, say), which is no fault."""
    column = np.concatenate([one.values[:, FEATURE_INDEX[name]] for one in sources])
    known = column[np.isfinite(column)]
    return FEATURES[FEATURE_INDEX[name]].parity == "odd" and len(known) > 0 and not known.any()

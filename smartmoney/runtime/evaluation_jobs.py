"""Make what bundles are evaluated on: fresh worlds whose seeds follow from them, their rows, and trades on those that are traded.

Two bundles that are compared get the same worlds, whose seeds follow from both, so that neither can be tuned to them.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.evaluation.curve import CurvePoint, learning_curve
from smartmoney.learning.evaluation.evaluate import HeldOut
from smartmoney.learning.evaluation.filter_score import Filtered
from smartmoney.learning.evaluation.filter_worlds import recorded_world
from smartmoney.learning.evaluation.trades import WorldTraded
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.sets.families import (
    held_out_feeds,
    held_out_nulls,
    held_out_planted,
    held_out_told,
    held_out_windows,
    held_out_worlds,
    training_worlds,
)
from smartmoney.learning.sets.recorded_worlds import read_world, world_folders
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.sets.synthetic import World
from smartmoney.runtime.cached_files import prepared_recordings
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.runtime.evaluation_trades import trade_worlds
from smartmoney.runtime.filter_jobs import filter_regimes
from smartmoney.runtime.training_jobs import Progress, Source, world_rows
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.models import Settings

LASTS_S = 1800
"""A target that is watched lasts so long; whoever has not noticed it by then never will."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """Say how much to evaluate on; 0 leaves a part out.

    `per_family`, `nulls`, `planted`, `told` (of spoofers, and as many of traps) are worlds of `hours` each; `windows` and `targets` are per
    kind of target; `curve` is how many worlds per family the learning curve goes up to; `filter` is how many worlds of a scored one's law
    its filter of regimes is learned from.
    """

    per_family: int = 1
    hours: float = 2.0
    windows: int = 50
    quiet_days: float = 1.0
    targets: int = 20
    nulls: int = 10
    planted: int = 4
    told: int = 1
    curve: int = 0
    filter: int = 8

    @property
    def seconds(self) -> int:
        """Return the length of a world."""
        return round(self.hours * 3600)


def seed_of(bundles: Sequence[Bundle]) -> str:
    """Return what the seeds of held-out worlds follow from: the bundle's hash; of several all hashes, in whatever order they are named."""
    return "+".join(sorted(one.hash for one in bundles))


class Maker:
    """Make held-out material for one bundle, or the same for several."""

    def __init__(self, bundles: Sequence[Bundle], suite: str, sizes: Sizes, settings: Settings, progress: Progress) -> None:
        self._bundles, self._suite, self._sizes, self._settings, self._progress = bundles, suite, sizes, settings, progress
        self._seed = seed_of(bundles)
        self._parameters: FeatureParameters = feature_parameters(settings)

    def held_out(self, folder: Path | None, recordings: Sequence[Rows], recipe: Recipe) -> list[HeldOut]:
        """Return everything, of each bundle with what it traded.

        `folder` holds recorded worlds that take the place of fresh full markets, and of spoofers and traps.

        Raises:
            RowsRefused, RecordingRefused: the folder holds no such worlds.
            TrainingRefused: there are too few worlds for a learning curve.
            OSError: something cannot be read or written.
        """
        sizes, of = self._sizes, (self._seed, self._suite)
        found = self._worlds(folder)
        worlds = [rows for rows, _ in found]
        has_watch = bool(sizes.windows and sizes.quiet_days and sizes.targets)
        quiet, targets = held_out_feeds(*of, round(24 * sizes.quiet_days), sizes.targets, LASTS_S) if has_watch else ((), ())
        told = sizes.told if folder is None else 0
        nulls, planted = (
            make(*of, count, sizes.seconds) for make, count in ((held_out_nulls, sizes.nulls), (held_out_planted, sizes.planted))
        )
        held = HeldOut(
            worlds=worlds,
            filtered=self._filtered(found),
            windows=self._rows("windows", held_out_windows(*of, sizes.windows) if sizes.windows else ()),
            quiet=self._rows("quiet hours", quiet),
            targets=self._rows("watched targets", targets),
            spoofs=self._rows("spoofers", held_out_told(*of, "spoof", told, sizes.seconds)),
            traps=self._rows("traps", held_out_told(*of, "trap", told, sizes.seconds)),
            nulls=self._rows("nothing to find", nulls),
            planted=self._rows("planted worlds", planted),
            recordings=recordings,
            curve=self._curve(worlds, recipe),
        )
        traded = zip(self._trades(nulls, has_oracle=False), self._trades(planted, has_oracle=True), strict=True)
        return [msgspec.structs.replace(held, null_trades=of_nulls, planted_trades=of_planted) for of_nulls, of_planted in traded]

    def _worlds(self, folder: Path | None) -> list[tuple[Rows, World | None]]:
        """Return full markets, and which worlds they are; None where somebody else made one that no family's law knows."""
        if folder is not None:
            codec, store = recorded_binance(), prepared_recordings(self._settings.caches)
            return [
                (rows, recorded_world(one, rows))
                for one in world_folders(folder)
                for rows in read_world(one, codec, self._parameters, store)
            ]
        sizes = self._sizes
        fresh = held_out_worlds(self._seed, self._suite, sizes.per_family, sizes.seconds)
        return list(zip(self._rows("worlds", fresh), fresh, strict=True))

    def _filtered(self, scored: Sequence[tuple[Rows, World | None]]) -> Filtered | None:
        if not self._sizes.filter:
            return None
        seeded, caches = (self._seed, self._suite), self._settings.caches
        return filter_regimes(seeded, scored, self._sizes.filter, self._parameters, self._progress, parallel=True, caches=caches)

    def _rows(self, what: str, sources: Sequence[Source]) -> list[Rows]:
        def progress(_what: str, done: int, of: int) -> None:
            self._progress(what, done, of)

        return list(world_rows(sources, self._parameters, progress, parallel=True, caches=self._settings.caches))

    def _trades(self, worlds: Sequence[World], *, has_oracle: bool) -> list[list[WorldTraded]]:
        able = [one for one in self._bundles if one.spec.heads]
        if not worlds or not able:
            return [[] for _ in self._bundles]
        found = iter(trade_worlds(worlds, able, self._settings, self._progress, has_oracle=has_oracle))
        return [next(found) if one.spec.heads else [] for one in self._bundles]

    def _curve(self, worlds: Sequence[Rows], recipe: Recipe) -> tuple[CurvePoint, ...]:
        if not self._sizes.curve:
            return ()
        learned_from = self._rows("worlds to learn from", training_worlds(self._sizes.curve, self._sizes.seconds))
        self._progress("learning curve", 0, 1)
        found = learning_curve(learned_from, worlds, recipe)
        self._progress("learning curve", 1, 1)
        return found

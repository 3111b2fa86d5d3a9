"""The models of a search that trains: which one decides in which part of the past, what each is called, and what they cost.

Invariants: a model's key is made of all that it depends on, so what is on the shelf is never stale and nothing is trained twice; the first
part's model is trained from what came before the search begins to count, which nobody trades.
"""

import hashlib
import math
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.adapters.bounded_folder import BoundedFolder, note_use
from smartmoney.adapters.model_files import BundleRefused, assemble, read_bundle, replace_durably, write_bundle
from smartmoney.adapters.state_directory import make_private_folder
from smartmoney.adapters.trial_log import Span
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.sets.families import training_windows, training_worlds
from smartmoney.learning.sets.oracle_windows import OracleBatch
from smartmoney.learning.sets.synthetic import World
from smartmoney.runtime.backtest import BacktestJob
from smartmoney.runtime.cached_files import AS_IT_COMES, MODELS, bytes_max
from smartmoney.runtime.evaluations import Content, code_hash
from smartmoney.runtime.models import Turn
from smartmoney.runtime.training_jobs import recipe_of, stage_champion
from smartmoney.runtime.tuned_parts import Part, Past
from smartmoney.runtime.tuned_training import BaseWork, RowsWork, Stretch, TrainedModel, TrainingWork
from smartmoney.runtime.workers import Workers
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.caches import CacheSettings
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.settings.search_space import BASE_KEYS, Dimension, SearchSpace, with_parameters

OnPart = Callable[[str, int, int], None]
"""Gets what is being made, how many are done, how many there are."""
WINDOW_PAIRS = 30


class TrainingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Say how models are trained.

    `store` is the model store whose champion names regimes, where no key of `BASE_KEYS` is searched; else models of the built-in market do,
    of `worlds` worlds a family and `hours` each. `shelf` is the folder where what was trained is kept, within the bounds `caches`.
    """

    store: str
    shelf: str
    worlds: int = 1
    hours: float = 1.0
    caches: CacheSettings = AS_IT_COMES


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Say what training costs at most, in seconds of a core: models on recordings, of the first part and the last, and those below them."""

    models: int
    first_s: float
    last_s: float
    bases: int
    base_s: float
    all_s: float

    def words(self) -> str:
        """Return it in words."""
        below = f" and {self.bases} of the built-in market below them, of about {self.base_s:.0f} s," if self.bases else ""
        return (
            f"trains at most {self.models} models, of about {self.first_s:.0f} s of a core in the first part to {self.last_s:.0f} s in the "
            f"last,{below} in all {self.all_s / 60.0:.0f} min of a core; what was trained before is not trained again"
        )


class Shelf:
    """Keep what was trained, by key, within a size: a bundle's folder, and beside it what it took, or why there is none."""

    def __init__(self, folder: Path, bytes_max: int = sys.maxsize) -> None:
        """Take a folder, which is made when something is put there."""
        self._folder = folder
        self._bound = BoundedFolder(folder, bytes_max)
        self._bound.make_room()

    def find(self, key: str) -> TrainedModel | None:
        """Return what came of a training, None if it was never made or is damaged."""
        try:
            told = msgspec.json.decode((self._folder / f"{key}.json").read_bytes(), type=_Told)
            bundle = None if told.why else read_bundle(self._folder / key)
        except (OSError, msgspec.MsgspecError, BundleRefused):
            return None
        note_use(self._folder / f"{key}.json")
        return TrainedModel(key=key, bundle=bundle, why=told.why, took_s=told.took_s)

    def put(self, made: TrainedModel) -> None:
        """Keep what came of a training.

        Raises:
            OSError: it cannot be written.
        """
        make_private_folder(self._folder)
        if made.bundle is not None:
            self._put_bundle(self._folder / made.key, made.bundle)
        replace_durably(self._folder / f"{made.key}.json", msgspec.json.encode(_Told(why=made.why, took_s=made.took_s)))
        self._bound.make_room()

    @staticmethod
    def _put_bundle(folder: Path, bundle: Bundle) -> None:
        if not _holds(folder, bundle):
            shutil.rmtree(folder, ignore_errors=True)
            try:
                write_bundle(folder, bundle)
            except OSError:
                if not _holds(folder, bundle):  # unless another search has put it there meanwhile
                    raise


def _holds(folder: Path, bundle: Bundle) -> bool:
    try:
        return read_bundle(folder).hash == bundle.hash
    except (BundleRefused, OSError):
        return False


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    why: str
    took_s: float


class ModelTrainer:
    """Train models for settings, one for each part of a past."""

    def __init__(
        self,
        terms: TrainingTerms,
        space: SearchSpace,
        stretches: Sequence[tuple[BacktestJob, Content]],
        past: Past,
        parts: Sequence[Part],
        workers: Workers,
        on_part: OnPart,
    ) -> None:
        """Take the stretches in the order of the past's spans.

        Raises:
            ModelNotFound, BundleRefused: there is no model whose regimes recordings could be read with.
        """
        self._space = space
        self._stretches = [Stretch(name=job.name, source=job.source, content=content) for job, content in stretches]
        self._past, self.parts = past, tuple(parts)
        self._workers, self._on_part = workers, on_part
        self._shelf = Shelf(Path(terms.shelf), bytes_max(terms.caches, MODELS.key))
        self._caches = terms.caches
        self._champion = None if any(one.key in BASE_KEYS for one in space.dimensions) else stage_champion(Path(terms.store))
        seconds = round(terms.hours * 3600)
        self._worlds: tuple[World | OracleBatch, ...] = ()
        if self._champion is None:
            self._worlds = (*training_worlds(terms.worlds, seconds), *training_windows(WINDOW_PAIRS))
        self._rows_made: set[bytes] = set()
        self._models: dict[str, tuple[TrainedModel, ...]] = {}

    @property
    def base(self) -> Bundle | None:
        """Return the one model on whose regimes all are trained; None where each has its own."""
        return self._champion

    def place(self, content: Content) -> int:
        """Return the number of the stretch that holds this."""
        return next(number for number, one in enumerate(self._stretches) if one.content == content)

    def span(self, content: Content) -> Span:
        """Return when the stretch that holds this began, and how long it is."""
        return self._past.spans[self.place(content)]

    def identity(self, settings: Settings) -> str:
        """Return what names the models that these settings come to, all parts together."""
        parts = [(self._key(settings, part), part.stretch, part.since_ns) for part in self.parts]
        return f"trained:{_hash(parts)}"

    def train(self, several: Sequence[Settings]) -> None:
        """Train what these settings need and nobody made yet.

        Raises:
            EvaluationRefused, ClusterFailed: as the workers.
            OSError: a model cannot be kept.
        """
        wanted = {name: one for one in several if (name := self.identity(one)) not in self._models}
        self._make_rows(list(wanted.values()))
        bases = self._bases(list(wanted.values()))
        keys = {name: [self._key(one, part) for part in self.parts] for name, one in wanted.items()}
        known: dict[str, TrainedModel] = {}
        works: dict[str, TrainingWork] = {}
        for name, one in wanted.items():
            base = bases[self._base_key(one)]
            for key, part in zip(keys[name], self.parts, strict=True):
                found = self._shelf.find(key)
                if base.bundle is None:
                    known[key] = TrainedModel(key=key, bundle=None, why=f"the model below: {base.why}", took_s=0.0)
                elif found is not None:
                    known[key] = found
                else:
                    works[key] = self._work(key, one, part, base.bundle)
        known |= self._run("models", works)
        self._models |= {name: tuple(known[key] for key in keys[name]) for name in wanted}

    def failure(self, settings: Settings) -> str:
        """Return why settings have no models, of the first part that lacks one; empty where each part has."""
        return next((one.why for one in self._models[self.identity(settings)] if one.bundle is None), "")

    def turns(self, settings: Settings, stretch: int) -> tuple[Turn, ...]:
        """Return which models decide in a stretch, by time; nothing where it ends before the first part begins.

        Where that begins within the stretch, its model stands from the start, and says nothing to trade by until then.
        """
        models = self._models[self.identity(settings)]
        begun = [one.bundle for part, one in zip(self.parts, models, strict=True) if part.stretch < stretch]
        turns = [
            Turn(part.since_ns, one.bundle)
            for part, one in zip(self.parts, models, strict=True)
            if part.stretch == stretch and one.bundle is not None
        ]
        first_ns = self._past.spans[stretch].first_wall_ns
        if turns and turns[0].since_ns <= first_ns:
            return tuple(turns)
        if begun and begun[-1] is not None:
            return (Turn(first_ns, begun[-1]), *turns)
        return (Turn(first_ns, silent(turns[0].bundle)), *turns) if turns else ()

    def cost(self, settings: Settings, trials: int) -> Cost:
        """Return what training costs for so many trials at most, by what it took under these settings, which were trained."""
        models = self._models[self.identity(settings)]
        seconds = [self._past.learned_s(part) for part in self.parts]
        each_s = [models[0].took_s * one / seconds[0] for one in seconds]
        shaping = [one for one in self._space.dimensions if self._shapes(settings, one)]
        sets = min(trials, math.prod(map(_count, shaping)))
        base_s, bases = 0.0, 0.0
        if self._champion is None:
            found = self._shelf.find(self._base_key(settings))
            base_s = found.took_s if found is not None else 0.0
            bases = min(sets, math.prod(_count(one) for one in shaping if one.key in BASE_KEYS))
        return Cost(
            models=int(sets) * len(self.parts),
            first_s=each_s[0],
            last_s=each_s[-1],
            bases=int(bases),
            base_s=base_s,
            all_s=sets * sum(each_s) + bases * base_s,
        )

    def _shapes(self, settings: Settings, dimension: Dimension) -> bool:
        return any(self.identity(one) != self.identity(settings) for one in _ends(settings, dimension))

    def _key(self, settings: Settings, part: Part) -> str:
        learned = [
            ([digest for _, digest in self._stretches[one.stretch].content], getattr(self._stretches[one.stretch].source, "market", ""))
            for one in part.learned
        ]
        recipe = recipe_of(settings, built_in=False)
        untils = [one.until_ns for one in part.learned]
        return _hash((code_hash(), self._base_key(settings), recipe, feature_parameters(settings), learned, untils))

    def _base_key(self, settings: Settings) -> str:
        if self._champion is not None:
            return self._champion.hash
        features = feature_parameters(settings)
        return _hash((code_hash(), self._base_recipe(settings), features, [one.key(features) for one in self._worlds]))

    @staticmethod
    def _base_recipe(settings: Settings) -> Any:
        # Only its regimes are stood on, so nothing that they do not depend on is trained, nor makes another of it.
        return msgspec.structs.replace(recipe_of(settings, built_in=True), horizons_s=(), interaction_depth=1)

    def _work(self, key: str, settings: Settings, part: Part, base: Bundle) -> TrainingWork:
        learned = tuple(msgspec.structs.replace(self._stretches[one.stretch], until_ns=one.until_ns) for one in part.learned)
        recipe, features = recipe_of(settings, built_in=False), feature_parameters(settings)
        return TrainingWork(code=code_hash(), key=key, stretches=learned, recipe=recipe, features=features, base=base, caches=self._caches)

    def _bases(self, several: Sequence[Settings]) -> dict[str, TrainedModel]:
        if self._champion is not None:
            return {self._champion.hash: TrainedModel(key=self._champion.hash, bundle=self._champion, why="", took_s=0.0)}
        known, works = {}, {}
        for one in several:
            key = self._base_key(one)
            found = self._shelf.find(key)
            if found is not None:
                known[key] = found
                continue
            recipe, features = self._base_recipe(one), feature_parameters(one)
            works[key] = BaseWork(code=code_hash(), key=key, worlds=self._worlds, recipe=recipe, features=features, caches=self._caches)
        return known | self._run("models below", works)

    def _make_rows(self, several: Sequence[Settings]) -> None:
        """Let every source's rows be made, once for each way to make features."""
        for one in several:
            features = feature_parameters(one)
            name = msgspec.json.encode(features)
            if name in self._rows_made:
                continue
            sources = [self._stretches[number] for number in sorted({reach.stretch for part in self.parts for reach in part.learned})]
            wanted: tuple[Stretch | World | OracleBatch, ...] = (*sources, *self._worlds)
            works = {str(at): RowsWork(code=code_hash(), of=of, features=features, caches=self._caches) for at, of in enumerate(wanted)}
            self._run("rows", works)
            self._rows_made.add(name)

    def _run(self, what: str, works: dict[str, Any]) -> dict[str, Any]:
        if not works:
            return {}
        keys = list(works)
        made: dict[str, Any] = {}
        self._on_part(what, 0, len(keys))

        def came(number: int, encoded: bytes) -> None:
            found = pickle.loads(encoded)  # noqa: S301  # of our own workers
            made[keys[number]] = found
            if isinstance(found, TrainedModel):
                self._shelf.put(found)
            self._on_part(what, len(made), len(keys))

        self._workers.run([pickle.dumps(works[key]) for key in keys], came)
        return made


def silent(bundle: Bundle) -> Bundle:
    """Return a bundle that knows what this one knows and offers nothing to trade by."""
    heads = tuple(msgspec.structs.replace(head, tradable=False) for head in bundle.spec.heads)
    return assemble(msgspec.structs.replace(bundle.spec, name=f"{bundle.spec.name}, silent", heads=heads), bundle.forests, bundle.card)


def _ends(settings: Settings, dimension: Dimension) -> Iterator[Settings]:
    # One of two different values differs from the settings' own.
    for value in dimension.choices[:: max(1, len(dimension.choices) - 1)] or (dimension.low, dimension.high):
        try:
            yield with_parameters(settings, {dimension.key: int(value) if dimension.is_whole else value})
        except ConfigurationError:
            continue


def _count(dimension: Dimension) -> float:
    """Return how many values a dimension has."""
    if dimension.choices:
        return float(len(dimension.choices))
    step = dimension.step or (1.0 if dimension.is_whole else 0.0)
    return math.inf if not step else math.floor((dimension.high - dimension.low) / step + 1e-9) + 1.0


def _hash(of: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(of)).hexdigest()

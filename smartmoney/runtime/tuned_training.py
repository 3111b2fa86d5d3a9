"""Train one of a search's models on a worker: on what came before a moment, and on nothing else.

Invariants: rows are cut before anything looks at them, so that no label, scale, state or tree knows what came after; what comes out depends
on the work alone, not on the worker; rows are made once a machine and kept by what they depend on; a training that is refused is an answer.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.adapters.bounded_folder import note_use
from smartmoney.adapters.dataset_reader import together
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import SCHEMA_HASH
from smartmoney.core.models.bundle import BUILT_IN_VENUE, Bundle
from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.fitting.plan import ROWS_MIN, Recipe
from smartmoney.learning.recorded import RecordingRefused, find_instruments
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.regimes.observations import ObservationRefused
from smartmoney.learning.sets.oracle_windows import OracleBatch
from smartmoney.learning.sets.rows import Rows, RowsRefused, load_rows, save_rows
from smartmoney.learning.sets.synthetic import World
from smartmoney.learning.trainer import Origin, Training
from smartmoney.runtime.backtest import BuiltIn, CapturedRun, Recordings, Source, StoredDays
from smartmoney.runtime.cached_files import AS_IT_COMES, bound_rows, prepared_recordings, rows_folder
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.runtime.evaluations import Content, Evaluation, check_build, check_content, code_hash, recorded, run_evaluation
from smartmoney.runtime.stretch_shares import OnShare
from smartmoney.runtime.training_jobs import between, captured_rows, recorded_rows, stored_rows, train_apart, world_rows
from smartmoney.runtime.tuning_worker import EvaluationRefused
from smartmoney.settings.caches import CacheSettings

NAME = "tuned"
_REFUSALS = (RowsRefused, TrainingRefused, FitRefused, ObservationRefused)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Name a stretch of past, what it holds, and the wall time in ns before which it is looked at (0: all of it)."""

    name: str
    source: Source
    content: Content
    until_ns: int = 0


class RowsWork(msgspec.Struct, frozen=True, kw_only=True):
    """Be a stretch or a synthetic world whose rows are to be made and kept."""

    code: str
    of: Stretch | World | OracleBatch
    features: FeatureParameters
    caches: CacheSettings = AS_IT_COMES


class BaseWork(msgspec.Struct, frozen=True, kw_only=True):
    """Be a training on the built-in market, whose truth names regimes: what a training on recordings stands on."""

    code: str
    key: str
    worlds: tuple[World | OracleBatch, ...]
    recipe: Recipe
    features: FeatureParameters
    caches: CacheSettings = AS_IT_COMES


class TrainingWork(msgspec.Struct, frozen=True, kw_only=True):
    """Be a training on what some stretches held before a moment, standing on the regimes of `base`."""

    code: str
    key: str
    stretches: tuple[Stretch, ...]
    recipe: Recipe
    features: FeatureParameters
    base: Bundle
    caches: CacheSettings = AS_IT_COMES


class TrainedModel(msgspec.Struct, frozen=True, kw_only=True):
    """Be what came of a training: a bundle, or why there is none; CPU seconds that it took, the rows without their making."""

    key: str
    bundle: Bundle | None
    why: str
    took_s: float


def perform(work: Any, on_share: OnShare) -> Any:
    """Do whatever a search wants of a worker; `on_share` is told how much of an evaluation's stretch is done.

    Raises:
        EvaluationRefused: this machine lacks a source or has another build, or there is nothing to test or to learn from.
    """
    return run_evaluation(work, on_share) if isinstance(work, Evaluation) else _DOERS[type(work)](work)


def make_rows(work: RowsWork) -> None:
    """Make a source's rows, unless they are there."""
    check_build(work.code)
    if isinstance(work.of, Stretch):
        stretch_rows(work.of, work.features, work.caches)
    else:
        list(world_rows([work.of], work.features, _quiet, parallel=False, caches=work.caches))


def stretch_rows(stretch: Stretch, features: FeatureParameters, caches: CacheSettings = AS_IT_COMES) -> list[Rows]:
    """Return the rows of a stretch before its moment, one for each instrument; made if need be, and kept whole.

    Raises:
        EvaluationRefused: this machine lacks the source, or it holds nothing to learn from.
    """
    key = _rows_key(stretch, features)
    kept = _kept(key)
    if not kept:
        check_content(stretch.name, stretch.source, stretch.content)
        try:
            made = _made(stretch.source, features, caches)
        except (RecordingRefused, OSError) as problem:
            raise EvaluationRefused(f"{stretch.name}: {problem}") from None
        for number, one in enumerate(made):
            save_rows(one, rows_folder() / f"{key}.{number}-of-{len(made)}.npz")
        bound_rows(rows_folder(), caches)
        kept = made
    return [between(one, 0, stretch.until_ns) for one in kept]


def run_training(work: TrainingWork) -> TrainedModel:
    """Train on recordings."""
    check_build(work.code)
    rows = [one for stretch in work.stretches for one in stretch_rows(stretch, work.features, work.caches) if len(one) >= ROWS_MIN]
    return _told(work.key, lambda: train_apart(rows, work.recipe, NAME, _origin(work, rows), _quiet, work.base))


def run_base_training(work: BaseWork) -> TrainedModel:
    """Train on worlds whose truth is known."""
    check_build(work.code)
    rows = list(world_rows(work.worlds, work.features, _quiet, parallel=False, caches=work.caches))
    origin = Origin(venue=BUILT_IN_VENUE, market="usdm", instruments=("BTC/USDT",))
    return _told(work.key, lambda: train_apart(rows, work.recipe, NAME, origin, _quiet), has_heads=False)


def _origin(work: TrainingWork, rows: Sequence[Rows]) -> Origin:
    source = work.stretches[-1].source
    if isinstance(source, StoredDays):
        names = [name for stretch in work.stretches for name in getattr(stretch.source, "symbol", "").split(",")]
        return Origin(venue="binance", market=source.market, instruments=tuple(dict.fromkeys(names)))
    # Rows of recordings are named after symbol and market.
    symbols, markets = zip(*[(one.name.rpartition(".")[0], one.name.rpartition(".")[2]) for one in rows], strict=True) if rows else ((), ())
    venue = BUILT_IN_VENUE if isinstance(source, BuiltIn) else "binance"
    return Origin(venue=venue, market=markets[0] if markets else "", instruments=tuple(dict.fromkeys(symbols)))


def _told(key: str, train: Callable[[], Training], *, has_heads: bool = True) -> TrainedModel:
    begun = time.process_time()
    bundle: Bundle | None = None
    why = ""
    try:
        made = train()
    except _REFUSALS as refused:
        why = str(refused)
    else:
        if not has_heads or any(head.tradable for head in made.bundle.spec.heads):
            bundle = made.bundle
        else:
            why = f"nothing to trade by could be learned: {'; '.join(dict.fromkeys(made.report.skipped.values()))}"
    return TrainedModel(key=key, bundle=bundle, why=why, took_s=round(time.process_time() - begun, 3))


def _rows_key(stretch: Stretch, features: FeatureParameters) -> str:
    market = getattr(stretch.source, "market", "")
    parts = (code_hash(), SCHEMA_HASH, [digest for _, digest in stretch.content], market, features)
    return f"past-{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:24]}"


def _kept(key: str) -> list[Rows]:
    """Return the rows that are kept, nothing unless all are there and whole."""
    found = sorted(rows_folder().glob(f"{key}.*-of-*.npz"), key=_number)
    if not found or any(path.name.rpartition("-of-")[2] != f"{len(found)}.npz" for path in found):
        return []
    try:
        kept = [load_rows(path) for path in found]
    except (RowsRefused, FileNotFoundError):
        return []
    for path in found:
        note_use(path)
    return kept


def _number(path: Path) -> int:
    return int(path.name.split(".")[1].partition("-of-")[0])


def _made(source: Source, features: FeatureParameters, caches: CacheSettings) -> list[Rows]:
    if isinstance(source, CapturedRun):
        return [rows for _, rows in captured_rows(Path(source.folder), features, source.since_ns, source.until_ns)]
    if isinstance(source, StoredDays):
        stored = together(Path(source.root), source.market, source.symbol, source.first, source.last)
        return [stored_rows(one, features) for one in stored]
    files, market = _files_of(source)
    found = find_instruments(files, recorded_binance(), Market(market), prepared_recordings(caches))
    return [recorded_rows(files, one, "binance", features, caches) for one in found]


def _files_of(source: Recordings | BuiltIn) -> tuple[Sequence[Path], str]:
    files = recorded(source).files if isinstance(source, BuiltIn) else source.files
    return [Path(file) for file in files], source.market


def _quiet(_what: str, _done: int, _of: int) -> None:
    """Show nothing: a worker has no terminal."""


_DOERS: dict[type, Callable[[Any], Any]] = {
    RowsWork: make_rows,
    TrainingWork: run_training,
    BaseWork: run_base_training,
}

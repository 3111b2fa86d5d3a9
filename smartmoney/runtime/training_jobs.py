"""The rows that training and evaluation are made of, each source in a process of its own, kept in the cache by what they depend on.

Invariants: a source's rows depend on its job alone; a file in the cache is whole or absent, and its name is the hash of everything that
the rows depend on, so that nothing in it is ever stale; workers run at low priority.
"""

import functools
import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import smartmoney
from smartmoney.adapters.bounded_folder import note_use
from smartmoney.adapters.capture_reader import segments_since
from smartmoney.adapters.dataset_frames import blocks_of_days
from smartmoney.adapters.dataset_reader import StoredInstrument
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.ledger import append
from smartmoney.adapters.model_reference import write_reference
from smartmoney.adapters.model_store import DEFAULT, ModelNotFound, ModelStore
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.recorded import RecordedCodec, RecordingRefused, find_instruments, market_of, read_files, venue_of
from smartmoney.learning.sets.families import NOT_STAGED
from smartmoney.learning.sets.folding import FoldedRows
from smartmoney.learning.sets.oracle_feeds import QuietHours, WatchedTargets, simulate_quiet, simulate_targets
from smartmoney.learning.sets.oracle_windows import OracleBatch, simulate_windows
from smartmoney.learning.sets.rows import Rows, RowsRefused, load_rows, save_rows
from smartmoney.learning.sets.synthetic import World, simulate
from smartmoney.learning.sets.told_worlds import ToldWorld, simulate_told
from smartmoney.learning.trainer import Origin, Training, train
from smartmoney.runtime.backtest_sources import WARM_NS
from smartmoney.runtime.cached_files import AS_IT_COMES, bound_rows, prepared_recordings, rows_folder
from smartmoney.runtime.codecs import RECORDED_CODECS, recorded_binance
from smartmoney.runtime.feature_jobs import worker_count
from smartmoney.runtime.kernel_cache import prepare, source_digest, sources
from smartmoney.runtime.worker_ends import end_with_the_parent
from smartmoney.settings.build import build_parameters
from smartmoney.settings.caches import CacheSettings
from smartmoney.settings.models import Settings

TRAININGS = "trainings.jsonl"
"""Every training that was made, in the model store's folder; nothing is ever removed."""
NICE = 10
"""What a worker adds to its niceness: training gives way to everything."""

Source = World | ToldWorld | OracleBatch | QuietHours | WatchedTargets

_MAKERS: dict[type, Callable[[Any, RecordedCodec, FeatureParameters], Rows]] = {
    World: simulate,
    ToldWorld: simulate_told,
    OracleBatch: simulate_windows,
    QuietHours: simulate_quiet,
    WatchedTargets: simulate_targets,
}

Progress = Callable[[str, int, int], None]
"""Gets what is being made, how many are done, how many there are."""


def world_rows(
    worlds: Sequence[Source],
    parameters: FeatureParameters,
    progress: Progress,
    *,
    parallel: bool,
    folder: Path | None = None,
    caches: CacheSettings = AS_IT_COMES,
) -> Iterator[Rows]:
    """Yield the rows of every world, in their order, made if need be.

    Raises:
        OSError: the cache cannot be written.
    """
    kept = folder or rows_folder()
    jobs = [(world, parameters, kept / f"{_rows_name(world, parameters)}.npz") for world in worlds]
    _make_all([job for job in jobs if not _is_whole(job[2])], progress, parallel)
    bound_rows(kept, caches)
    for job in jobs:
        try:
            rows = load_rows(job[2])
        except FileNotFoundError:  # it took so long to come here that they made room for others
            _make(*job)
            rows = load_rows(job[2])
        yield rows


def _rows_name(source: Source, parameters: FeatureParameters) -> str:
    return hashlib.sha256(_made_by() + source.key(parameters).encode()).hexdigest()[:24]


@functools.cache
def _made_by() -> bytes:
    """Return the hash of the sources that the rows of a world depend on: those of its market and feed, of the fold and of what it takes."""
    home = Path(smartmoney.__file__).resolve().parent
    also = [home / "adapters" / f"{name}.py" for name in ("exchange_feed", "recording_blocks", "recordings")]
    also += [home / "learning" / f"{name}.py" for name in ("feature_table", "grid_fold", "recorded")]
    return source_digest([*sources(), *also, *sorted((home / "learning" / "sets").glob("*.py"))])


def _make_all(jobs: Sequence[tuple[Source, FeatureParameters, Path]], progress: Progress, parallel: bool) -> None:
    workers = worker_count(len(jobs), parallel=parallel)
    if not jobs:
        return
    if workers == 1:
        for done, job in enumerate(jobs):
            progress("worlds", done, len(jobs))
            _make(*job)
    else:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=spawn, initializer=begin_worker) as pool:
            waiting = [pool.submit(_make, *job) for job in jobs]
            for done, future in enumerate(as_completed(waiting)):
                progress("worlds", done, len(jobs))
                future.result()
    progress("worlds", len(jobs), len(jobs))


def begin_worker() -> None:
    """Begin a worker process: low priority, the kernel cache found; it ends with its parent."""
    end_with_the_parent()
    _give_way()
    prepare()


def _make(source: Source, parameters: FeatureParameters, path: Path) -> None:
    save_rows(_MAKERS[type(source)](source, recorded_binance(), parameters), path)


def _is_whole(path: Path) -> bool:
    try:
        load_rows(path)
    except FileNotFoundError:
        return False
    except RowsRefused:
        path.unlink(missing_ok=True)  # another may have found it out as well
        return False
    note_use(path)
    return True


def recorded_rows(
    files: Sequence[Path], instrument: Instrument, venue: str, parameters: FeatureParameters, caches: CacheSettings = AS_IT_COMES
) -> Rows:
    """Return the rows of one instrument of one recording, which knows no truth.

    Raises:
        RecordingRefused: there is nothing to make rows of.
        OSError: a file cannot be read.
    """
    problems: list[str] = []
    folded = FoldedRows(RECORDED_CODECS[venue](), instrument, parameters)
    times, values, mids = folded.run(read_files(files, problems, prepared_recordings(caches)), problems)
    name = f"{instrument.symbol}.{instrument.market.value}"
    return Rows(name=name, family=name, times=times, values=values, mid_after=mids, truth=None)


def captured_rows(folder: Path, parameters: FeatureParameters, since_ns: int = 0, until_ns: int = 0) -> list[tuple[Instrument, Rows]]:
    """Return each instrument of a run's capture with its rows between two wall times (0: no bound, its warm start included).

    Raises:
        RecordingRefused: it is no run's capture, or there is nothing to make rows of.
        CaptureDamaged, OSError: it cannot be read.
    """
    market, venue = market_of([folder]), venue_of([folder])
    if market is None or venue is None:
        raise RecordingRefused(f"{folder}: the first entry is not a run's start; was its first segment removed by retention?")
    files = segments_since(folder, since_ns - WARM_NS) if since_ns else [folder]
    found = []
    for one in find_instruments([folder], recorded_binance(), market):
        rows = recorded_rows(files, one, "binance", parameters)
        found.append((msgspec.structs.replace(one, venue=venue), between(rows, since_ns, until_ns)))
    return found


def between(rows: Rows, since_ns: int, until_ns: int) -> Rows:
    """Return the rows of a source without truth that lie between two times (0: no bound)."""
    first = int(np.searchsorted(rows.times, since_ns))
    last = int(np.searchsorted(rows.times, until_ns)) if until_ns else len(rows)
    return msgspec.structs.replace(rows, times=rows.times[first:last], values=rows.values[first:last], mid_after=rows.mid_after[first:last])


def stored_rows(stored: StoredInstrument, parameters: FeatureParameters) -> Rows:
    """Return the rows of an instrument's days of a dataset, by the same fold as a recording's.

    Raises:
        DatasetRefused, RecordingRefused: a file is damaged, or there is nothing to make rows of.
    """
    problems: list[str] = []
    folded = FoldedRows(recorded_binance(), stored.instrument, parameters)
    times, values, mids = folded.run(blocks_of_days(stored, Repairs()), problems)
    return Rows(name=stored.key, family=stored.key, times=times, values=values, mid_after=mids, truth=None)


def stage_champion(models: Path, asked: str | None = None) -> Bundle:
    """Return the bundle on whose regimes a training without truth stands: the one asked for, else the champion, else the package's own.

    Raises:
        ModelNotFound: there is none.
        BundleRefused: it is damaged.
    """
    found = ModelStore(models).find(asked or DEFAULT)
    if found is None:
        raise ModelNotFound(
            "there is no champion whose regimes a recording could be read with; train with --built-in first, and promote it (--ungated)"
        )
    return found


def recipe_of(settings: Settings, *, built_in: bool) -> Recipe:
    """Return how a training is done under a configuration, from the built-in market's worlds or from a real past."""
    built = build_parameters(settings)
    regime = built.regime
    return Recipe(
        hmm_components=regime.hmm_components,
        feature_window=regime.feature_window,
        gb_n_estimators=regime.gb_n_estimators,
        gb_max_depth=regime.gb_max_depth,
        interaction_depth=built.desk.engine.feature_interaction_depth,
        every_s=20 if built_in else 5,
        half_life_s=float("inf") if built_in else 14 * 86_400.0,
        stage_without=NOT_STAGED if built_in else (),
    )


def keep_training(made: Training, store: Path) -> Path:
    """Put a training's bundle into a model store, by one rename, and note the training; return the bundle's folder.

    Raises:
        OSError: it cannot be written; the store is as it was.
    """
    folder = ModelStore(store).add(made.bundle)
    write_reference(folder, made.reference)
    append(store / TRAININGS, msgspec.to_builtins(made.report))
    return folder


def train_apart(
    sources: Sequence[Rows], recipe: Recipe, name: str, origin: Origin, progress: Progress, champion: Bundle | None = None
) -> Training:
    """Train in this process at low priority. The daemon is another process: neither its memory nor its time is touched.

    Raises:
        RowsRefused, TrainingRefused, FitRefused, ObservationRefused: the rows cannot be learned from.
    """
    _give_way()
    return train(sources, recipe, name, origin, progress, champion)


def _give_way() -> None:
    # Setting, not adding: several trainings in one process stay at the same priority.
    if os.getpriority(os.PRIO_PROCESS, 0) < NICE:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)

"""The rows that training and evaluation are made of, each source in a process of its own, kept in the cache by what they depend on.

Invariants: a source's rows depend on its job alone; a file in the cache is whole or absent, and its name is the hash of everything that
the rows depend on, so that nothing in it is ever stale; workers run at low priority.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.recorded import RecordedCodec, read_files
from smartmoney.learning.sets.folding import FoldedRows
from smartmoney.learning.sets.oracle_feeds import QuietHours, WatchedTargets, simulate_quiet, simulate_targets
from smartmoney.learning.sets.oracle_windows import OracleBatch, simulate_windows
from smartmoney.learning.sets.rows import Rows, RowsRefused, load_rows, save_rows
from smartmoney.learning.sets.synthetic import World, simulate
from smartmoney.learning.sets.told_worlds import ToldWorld, simulate_told
from smartmoney.learning.trainer import Origin, Training, train
from smartmoney.runtime.codecs import RECORDED_CODECS, recorded_binance
from smartmoney.runtime.feature_jobs import worker_count
from smartmoney.runtime.kernel_cache import cache_root, prepare

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


def rows_folder() -> Path:
    """Return where rows are kept: a folder of the cache directory."""
    return cache_root() / "training-rows"


def world_rows(
    worlds: Sequence[Source], parameters: FeatureParameters, progress: Progress, *, parallel: bool, folder: Path | None = None
) -> Iterator[Rows]:
    """Yield the rows of every world, in their order, made if need be.

    Raises:
        OSError: the cache cannot be written.
    """
    kept = folder or rows_folder()
    paths = [kept / f"{world.key(parameters)}.npz" for world in worlds]
    _make_all([(world, parameters, path) for world, path in zip(worlds, paths, strict=True) if not _is_whole(path)], progress, parallel)
    for path in paths:
        yield load_rows(path)


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
    """Begin a worker process: low priority, the kernel cache found."""
    _give_way()
    prepare()


def _make(source: Source, parameters: FeatureParameters, path: Path) -> None:
    save_rows(_MAKERS[type(source)](source, recorded_binance(), parameters), path)


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        load_rows(path)
    except RowsRefused:
        path.unlink()
        return False
    return True


def recorded_rows(files: Sequence[Path], instrument: Instrument, venue: str, parameters: FeatureParameters) -> Rows:
    """Return the rows of one instrument of one recording, which knows no truth.

    Raises:
        RecordingRefused: there is nothing to make rows of.
        OSError: a file cannot be read.
    """
    problems: list[str] = []
    folded = FoldedRows(RECORDED_CODECS[venue](), instrument, parameters)
    times, values, mids = folded.run(read_files(files, problems), problems)
    name = f"{instrument.symbol}.{instrument.market.value}"
    return Rows(name=name, family=name, times=times, values=values, mid_after=mids, truth=None)


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

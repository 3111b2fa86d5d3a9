"""Offline tables and studies of recordings, as the command line asks for them: which instruments, which files, how many processes.

Invariants: a table depends on its job alone, not on how many processes share the jobs; each job has a process of its own when there are
several, which ends with it, so that memory does not add up.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.feature_study import FeatureStudy, StudyRows, collect_rows, study_features
from smartmoney.learning.feature_table import TableJob, TableSummary, compute_table
from smartmoney.learning.recorded import RecordingRefused, find_instruments, read_files
from smartmoney.runtime.cached_files import prepared_recordings
from smartmoney.runtime.codecs import RECORDED_CODECS
from smartmoney.runtime.worker_ends import end_with_the_parent
from smartmoney.settings.caches import CacheSettings

EVERY_SYMBOL = "all"


def chosen_instruments(
    files: Sequence[Path], venue: str, market: str, symbols: Sequence[str], caches: CacheSettings
) -> tuple[Instrument, ...]:
    """Return the instruments of some files that are asked for; no symbols means the only one there is.

    Raises:
        RecordingRefused: a symbol is not there, or there are several and none is asked for.
        OSError: a file cannot be read.
    """
    found = find_instruments(files, RECORDED_CODECS[venue](), Market(market), prepared_recordings(caches))
    if any(symbol.lower() == EVERY_SYMBOL for symbol in symbols):
        return found
    there = ", ".join(sorted(one.symbol for one in found))
    if not symbols and len(found) > 1:
        raise RecordingRefused(f"the recordings hold {len(found)} instruments: {there}; choose with --symbol")
    by_name = {name.upper(): one for one in found for name in (one.symbol, one.name)}
    missing = [symbol for symbol in symbols if symbol.upper() not in by_name]
    if missing:
        raise RecordingRefused(f"no {', '.join(missing)} in the recordings; --symbol can be {there}")
    return tuple(dict.fromkeys(by_name[symbol.upper()] for symbol in symbols)) or found


def table_jobs(
    files: Sequence[Path], instruments: Sequence[Instrument], every_ns: int, parameters: FeatureParameters, out: Path, *, one_file: bool
) -> list[TableJob]:
    """Return a job per instrument. Unless `one_file`, the symbol is put into each file's name, before the suffix."""
    return [
        TableJob(
            files=tuple(files),
            instrument=instrument,
            every_ns=every_ns,
            parameters=parameters,
            out=out if one_file else out.with_name(f"{out.stem}.{instrument.symbol}{out.suffix}"),
        )
        for instrument in instruments
    ]


def worker_count(jobs: int, *, parallel: bool) -> int:
    """Return how many processes work on so many jobs: one, or as many as there are cores and jobs."""
    return max(1, min(jobs, _cores())) if parallel else 1


def run_jobs(jobs: Sequence[TableJob], venue: str, caches: CacheSettings, *, parallel: bool) -> list[TableSummary]:
    """Make every table, in this process or, with more than one worker, each in a process of its own.

    Raises:
        RecordingRefused, OSError: as `compute_table`, of the first job that fails; tables that are whole stay.
    """
    workers = worker_count(len(jobs), parallel=parallel)
    if workers == 1:
        return [_compute(job, venue, caches) for job in jobs]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, max_tasks_per_child=1, initializer=end_with_the_parent) as pool:
        return [done.result() for done in [pool.submit(_compute, job, venue, caches) for job in jobs]]


def run_study(
    files: Sequence[Path], instrument: Instrument, venue: str, every_ns: int, parameters: FeatureParameters, caches: CacheSettings
) -> tuple[FeatureStudy, StudyRows]:
    """Study one instrument's recording; return the study and the rows that it was made of.

    Raises:
        RecordingRefused: there is nothing to study.
        OSError: a file cannot be read.
    """
    problems: list[str] = []
    recorded = read_files(files, problems, prepared_recordings(caches))
    rows = collect_rows(recorded, RECORDED_CODECS[venue](), instrument, parameters, every_ns, problems)
    return study_features(rows, instrument, venue, problems), rows


def _compute(job: TableJob, venue: str, caches: CacheSettings) -> TableSummary:
    return compute_table(job, RECORDED_CODECS[venue](), prepared_recordings(caches))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

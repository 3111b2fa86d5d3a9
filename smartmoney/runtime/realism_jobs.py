"""Run a realism check in several processes: a seed is a job, and what it gives does not depend on how many processes there are."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.learning.realism_check import Finding, Report, derived_seeds, find, report_on, without_leak
from smartmoney.learning.realism_curves import Curves, curves_of
from smartmoney.learning.realism_leak import Lives, lives_of
from smartmoney.learning.realism_likeness import likeness, second_rows, without_scale
from smartmoney.learning.realism_recorded import observe_captures
from smartmoney.learning.realism_simulated import observe_book
from smartmoney.learning.resampling import Floats
from smartmoney.runtime.cached_files import AS_IT_COMES, prepared_recordings
from smartmoney.runtime.codecs import RECORDED_CODECS
from smartmoney.runtime.worker_ends import end_with_the_parent
from smartmoney.settings.caches import CacheSettings
from smartmoney.simulation.market import SimulatedBook, SyntheticMarket
from smartmoney.simulation.scenario import Scenario

MARKET = Market.USDM
LEAK_HOURS = 4.0
"""Most hours of each world of band 14; there are as many worlds as seeds, but at least `LEAK_WORLDS_MIN`."""
LEAK_WORLDS_MIN = 8


class CheckJob(msgspec.Struct, frozen=True, kw_only=True):
    """Say what to check: `seeds` markets of a scenario, `hours` each, from a base; recordings in `captures`, or None.

    `caches` bounds where the recordings' grids are kept.
    """

    scenario: Scenario
    seeds: int
    base: int
    hours: float
    processes: int
    captures: Path | None
    caches: CacheSettings = AS_IT_COMES


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the report, and what pictures are drawn from."""

    report: Report
    findings: tuple[Finding, ...]
    real: tuple[Curves, ...]


def open_book(scenario: Scenario, seed: int) -> SimulatedBook:
    """Return the book of a scenario's first symbol at its beginning: by custom the most liquid one."""
    symbol = scenario.symbols[0].symbol
    return SyntheticMarket(seed, scenario, (symbol,), (MARKET,)).books[MARKET, symbol]


def run_check(job: CheckJob, on_done: Callable[[int, int], None]) -> Outcome:
    """Check a scenario; `on_done(done, of)` is called as jobs end.

    Raises:
        OSError: recordings cannot be read.
    """
    # Once here, so that kernels are compiled before many processes want them.
    open_book(job.scenario, 1).advance(1_000_000_000)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(job.processes, mp_context=spawn, initializer=end_with_the_parent) as pool:
        return _run(job, pool, on_done)


def _run(job: CheckJob, pool: Executor, on_done: Callable[[int, int], None]) -> Outcome:
    seeds = derived_seeds(job.base, job.scenario.name, job.seeds)
    level = without_leak(job.scenario)
    worlds = derived_seeds(job.base, f"{job.scenario.name}, no leak", max(job.seeds, LEAK_WORLDS_MIN))
    seconds = round(job.hours * 3600)
    recorded = [pool.submit(_observe_real, job.captures, job.caches)] if job.captures is not None else []
    days = [pool.submit(_find, job.scenario, seed, seconds) for seed in seeds]
    leaks = [pool.submit(_live, level, seed, round(min(LEAK_HOURS, job.hours) * 3600)) for seed in worlds]
    first: list[Future[Any]] = [*recorded, *days, *leaks]
    total = len(first) + (len(days) if recorded else 0)
    for done, _ in enumerate(as_completed(first), 1):
        on_done(done, total)
    findings = tuple(day.result() for day in days)
    rows, real = recorded[0].result() if recorded else ((), ())
    alike = [pool.submit(_compare, one.stretches, rows) for one in findings] if rows else []
    for done, _ in enumerate(as_completed(alike), 1):
        on_done(len(first) + done, total)
    report = report_on(job.scenario.name, job.base, job.hours, findings, [one.result() for one in alike], [leak.result() for leak in leaks])
    return Outcome(report=report, findings=findings, real=tuple(real))


def _find(scenario: Scenario, seed: int, seconds: int) -> Finding:
    return find(open_book(scenario, seed), seed, seconds)


def _live(scenario: Scenario, seed: int, seconds: int) -> Lives:
    return lives_of(observe_book(open_book(scenario, seed), scenario.name, seconds))


def _observe_real(captures: Path, caches: CacheSettings) -> tuple[list[Floats], list[Curves]]:
    observed = observe_captures(captures, RECORDED_CODECS["binance"](), store=prepared_recordings(caches))
    return [without_scale(second_rows(one)) for one in observed], [curves_of(one) for one in observed]


def _compare(stretches: Sequence[Floats], real: Sequence[Floats]) -> float:
    return likeness(stretches, real)["likeness"]

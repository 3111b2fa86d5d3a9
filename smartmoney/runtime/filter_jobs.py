"""Learn a filter of every law among scored worlds, each in a process of its own, and hear what it says of them.

Invariants: what a law's filter says depends on the worlds that are learned from, not on how many processes share the laws; rows come from
the cache, by the same names as all others.
"""

import functools
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import msgspec

from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.boosting.trees import Grown
from smartmoney.learning.evaluation.filter_score import Filtered
from smartmoney.learning.evaluation.filter_worlds import filter_worlds, law_of
from smartmoney.learning.evaluation.regime_filter import halves, is_symmetric, learn_filters, learn_stock
from smartmoney.learning.evaluation.said import RegimesSaid
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.sets.synthetic import World
from smartmoney.runtime.cached_files import AS_IT_COMES
from smartmoney.runtime.feature_jobs import worker_count
from smartmoney.runtime.training_jobs import Progress, begin_worker, world_rows
from smartmoney.settings.caches import CacheSettings

Found = TypeVar("Found")
Heard = list[tuple[RegimesSaid, RegimesSaid | None]]
"""Of each scored world of a law what its filter says, and what one of half as many worlds does."""


class LawJob(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a law's filter is learned from, on from which stocks, and what it is asked about."""

    learned: tuple[World, ...]
    stocks: tuple[Grown | None, Grown | None, Grown | None]
    scored: tuple[Rows, ...]
    parameters: FeatureParameters
    caches: CacheSettings


def filter_regimes(
    seeded: tuple[str, str],
    scored: Sequence[tuple[Rows, World | None]],
    per_law: int,
    parameters: FeatureParameters,
    progress: Progress,
    *,
    parallel: bool,
    caches: CacheSettings = AS_IT_COMES,
) -> Filtered:
    """Return what filters say of scored rows, each learned from `per_law` worlds of the law of those that it is asked about.

    `seeded` is what seeds follow from: a bundle's hash and the suite's name. Rows of no known world have no filter. Cost: some 2 s of a
    core for each hour of a learned world, and as much again to learn from it.

    Raises:
        OSError: the cache cannot be written.
    """
    learned = filter_worlds(*seeded, [world for _, world in scored if world is not None], per_law)

    def renamed(what: str) -> Progress:
        return lambda _what, done, of: progress(what, done, of)

    if not learned:
        return Filtered(per_law=per_law, said=[None] * len(scored), half=[None] * len(scored))
    # All cores make worlds at first, of whichever law; each law's job then finds its own.
    every = [one for worlds in learned.values() for one in worlds]
    for _ in world_rows(every, parameters, renamed("worlds of filters"), parallel=parallel, caches=caches):
        pass
    places: dict[World, list[int]] = {law: [] for law in learned}
    for place, (_, world) in enumerate(scored):
        if world is not None:
            places[law_of(world)].append(place)
    stocks = _stocks(list(learned.values()), parameters, caches, renamed("filters of all families"), parallel=parallel)
    jobs = []
    for law, mine in places.items():
        asked = tuple(scored[place][0] for place in mine)
        job = LawJob(learned=learned[law], stocks=stocks, scored=asked, parameters=parameters, caches=caches)
        jobs.append(functools.partial(_hear, job))
    whole: list[RegimesSaid | None] = [None] * len(scored)
    half = list(whole)
    for mine, heard in zip(places.values(), _by_all(jobs, renamed("filters"), parallel=parallel), strict=True):
        for place, one in zip(mine, heard, strict=True):
            whole[place], half[place] = one
    return Filtered(per_law=per_law, said=whole, half=half)


def _stocks(
    learned: Sequence[tuple[World, ...]], parameters: FeatureParameters, caches: CacheSettings, progress: Progress, *, parallel: bool
) -> tuple[Grown | None, Grown | None, Grown | None]:
    """Return the stocks of all worlds, of each law's first half of them and of its second."""
    apart = [halves(worlds) for worlds in learned]
    parts = (learned, [first for first, _ in apart], [second for _, second in apart])
    of = [[one for worlds in part for one in worlds] for part in parts]
    whole, first, second = _by_all([functools.partial(_stock, worlds, parameters, caches) for worlds in of], progress, parallel=parallel)
    return whole, first, second


def _by_all(jobs: Sequence[Callable[[], Found]], progress: Progress, *, parallel: bool) -> list[Found]:
    """Return what each job does, in their order, from as many processes as there are cores."""
    workers = worker_count(len(jobs), parallel=parallel)
    if workers == 1:
        return _in_turn(jobs, progress)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=begin_worker) as pool:
        return _in_turn([pool.submit(job).result for job in jobs], progress)


def _in_turn(jobs: Sequence[Callable[[], Found]], progress: Progress) -> list[Found]:
    found = []
    for done, job in enumerate(jobs):
        progress("", done, len(jobs))
        found.append(job())
    progress("", len(jobs), len(jobs))
    return found


def _stock(worlds: Sequence[World], parameters: FeatureParameters, caches: CacheSettings) -> Grown | None:
    return learn_stock(world_rows(worlds, parameters, _quietly, parallel=False, caches=caches)) if worlds else None


def _hear(job: LawJob) -> Heard:
    learned = list(world_rows(job.learned, job.parameters, _quietly, parallel=False, caches=job.caches))
    whole, half = learn_filters(learned, job.stocks, symmetric=is_symmetric(job.learned[0].scenario))
    return [(whole.ask(one), None if half is None else half.ask(one)) for one in job.scored]


def _quietly(_what: str, _done: int, _of: int) -> None:
    """Show nothing: the parent does."""

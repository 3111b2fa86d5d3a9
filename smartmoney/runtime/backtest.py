"""Backtest: the daemon's own engine, gates, risk and paper venue over recorded or simulated feeds, and what came of it.

A job is one stretch of market with an account of its own. Invariants: a job's result depends on the job alone, not on how many processes
share the jobs; every assumption under which it was made is in the result, in words.
"""

import hashlib
import math
import multiprocessing
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter

import msgspec

from smartmoney import __version__
from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.dataset_frames import blocks_of_days
from smartmoney.adapters.dataset_reader import begins_ns, span_ns, together
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.recording_blocks import merge_blocks
from smartmoney.core.domain.entries import RunStarted
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.learning.evaluation.passed_by import Moments
from smartmoney.learning.matched_null import NullTest, judged
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.backtest_sources import WARM_NS, by_turns, captured_items, end_of, record_built_in, split_start, stretch_of
from smartmoney.runtime.beside_the_run import OwnFills, recorded_latency, waits_in_words
from smartmoney.runtime.cached_files import prepared_recordings
from smartmoney.runtime.chronicle import Chronicle, cost_sums, counted
from smartmoney.runtime.chronicler import Chronicler
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.compile import load_backtest_kernels
from smartmoney.runtime.feed_notes import feed_notes
from smartmoney.runtime.fill_calibration import FillModel
from smartmoney.runtime.fill_costs import CostShares, CostSums, FillCost, summed
from smartmoney.runtime.funding_sources import FundingSources, added
from smartmoney.runtime.models import Models, Turn, TurnedModels
from smartmoney.runtime.offline import OfflineRun
from smartmoney.runtime.paper_words import paper_assumptions
from smartmoney.runtime.replay_frames import FrameReplay, frame_replay
from smartmoney.runtime.stretch_shares import LOOK_S, OnShare, begin_worker, by_frames, by_stamps, by_time, shares_of, teller
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.effective import config_hash
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper_parameters import PaperParameters

_NAME = "backtest"


class BacktestRefused(Exception):
    """Say why nothing was tested, and what to do."""

    exit_code = 1


class Recordings(msgspec.Struct, frozen=True, tag=True):
    """Name recorded raw frames of one session."""

    files: tuple[str, ...]
    market: str


class CapturedRun(msgspec.Struct, frozen=True, tag=True):
    """Name the folder of a run's capture, or a stretch of it between two wall times (0: no bound)."""

    folder: str
    since_ns: int = 0
    until_ns: int = 0


class BuiltIn(msgspec.Struct, frozen=True, tag=True):
    """Name a synthetic market: a scenario's first symbol, or the given ones, for so many simulated seconds."""

    scenario: str
    seed: int
    seconds: int
    market: str
    symbols: tuple[str, ...] = ()


class StoredDays(msgspec.Struct, frozen=True, tag=True):
    """Name days of an instrument of a dataset, by the dataset's folder, market and symbol; several symbols have commas between them."""

    root: str
    market: str
    symbol: str
    first: str
    last: str


Source = Recordings | CapturedRun | BuiltIn | StoredDays


class BacktestJob(msgspec.Struct, frozen=True, kw_only=True):
    """Be one stretch to test. `feed_latency_ms` is added to what the recording's receive times hold already; `fills` is as measured."""

    name: str
    source: Source
    settings: Settings
    latency: OrderLatency
    feed_latency_ms: float = 0.0
    models: str = ""
    """Folder of the model store that `settings.model` is looked for in; empty: none."""
    fills: FillModel | None = None
    prepares: bool = False
    """Whether recordings are read from their prepared form, kept in the cache, and a dataset without writing the text of its frames."""
    waits_ms: tuple[float, ...] = ()
    """What each request of a captured run took, in order, in place of `latency`; NaN where it got no answer."""
    turns: tuple[Turn, ...] = ()
    """Bundles that decide one after the other, by time, in place of the settings' model."""

    def paper(self) -> PaperParameters:
        """Return the paper venue's model: the settings', with what was fitted to fills."""
        given = paper_parameters(self.settings)
        return given if self.fills is None else self.fills.paper(given)


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of a backtest.

    Money is in quote currency, `fees` and `funding` as paid; `fundings` counts those payments by where their rate comes from; `seconds` is
    market time; `cost_bps` averages over fills by notional; `max_drawdown` is a fraction of the peak, at the journaled points;
    `frames_per_s` is of this machine and of the run alone, `reading_s` what it took to have recordings ready for it, `frames_from` how they
    came. Several jobs: sums, the worst drawdown, a digest of the digests.
    """

    frames: int
    frames_per_s: float
    seconds: float
    decisions: int
    signals: int
    refusals: Mapping[str, int]
    orders: int
    fills: int
    fills_by: Mapping[str, int]
    turnover: float
    fees: float
    funding: float = 0.0
    fundings: FundingSources = FundingSources()
    net_pnl: float
    net_return: float
    max_drawdown: float
    cost_bps: CostShares
    halted: bool
    halt_reason: str
    digest: str
    assumptions: tuple[str, ...]
    build: str = __version__
    reading_s: float = 0.0
    frames_from: str = ""
    null_test: NullTest | None = None
    jobs: tuple["JobResult", ...] = ()


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """Be one job's part: `equity` are (wall time in ns, equity) at journaled points, thinned when many; `fills` are the first 10,000."""

    name: str
    result: BacktestResult
    equity: tuple[tuple[int, float], ...]
    fills: tuple[FillCost, ...]
    chronicle: Chronicle = Chronicle()


def run_backtest(
    jobs: Sequence[BacktestJob], processes: int, on_done: Callable[[float, int], None] = lambda _done, _of: None
) -> BacktestResult:
    """Run jobs, in several processes if there are several; `on_done(done, of)` is called as they end, and with shares of them meanwhile.

    Raises:
        BacktestRefused, ReplayRefused: a job has nothing to test.
        OSError: a source cannot be read.
    """
    if processes <= 1 or len(jobs) <= 1:
        results = []
        for number, job in enumerate(jobs):
            results.append(run_job(job, on_share=partial(_add_share, on_done, number, len(jobs))))
            on_done(number + 1, len(jobs))
        return joined(results)
    spawn, shares = multiprocessing.get_context("spawn"), shares_of(len(jobs))
    with ProcessPoolExecutor(min(processes, len(jobs)), spawn, initializer=begin_worker, initargs=(shares,)) as pool:
        futures = [pool.submit(_run_sharing, number, job) for number, job in enumerate(jobs)]
        while wait(futures, LOOK_S).not_done:
            on_done(sum(1.0 if future.done() else share for future, share in zip(futures, shares, strict=True)), len(jobs))
        on_done(len(jobs), len(jobs))
        return joined([future.result() for future in futures])


def _add_share(on_done: Callable[[float, int], None], done: int, of: int, share: float) -> None:
    on_done(done + share, of)


def _run_sharing(number: int, job: BacktestJob) -> JobResult:
    return run_job(job, on_share=teller(number))


def run_job(
    job: BacktestJob,
    on_ready: Callable[[Engine], None] | None = None,
    on_share: OnShare = lambda _share: None,
    moments: Moments | None = None,
) -> JobResult:
    """Run one job. Fees and rules are those of its source's market, whatever the settings name.

    `on_ready` may hook into the engine once a run over recordings is open; `on_share` is told how much of its source is done; `moments` are
    told each of its decisions.

    Raises:
        BacktestRefused, DatasetRefused, ReplayRefused: it has nothing to test.
        OSError: its source cannot be read.
    """
    load_backtest_kernels()
    if isinstance(job.source, CapturedRun):
        return _run_capture(job, job.source, on_share)
    if isinstance(job.source, Recordings):
        return _run_recordings(job, job.source, on_ready, on_share, moments)
    if isinstance(job.source, StoredDays):
        return _run_stored(job, job.source, on_share)
    with tempfile.TemporaryDirectory(prefix="smartmoney-backtest-") as folder:
        files = record_built_in(
            job.source.scenario, job.source.seed, job.source.seconds, job.source.market, job.source.symbols, Path(folder)
        )
        # What is gone in a minute is not worth keeping.
        made = msgspec.structs.replace(job, prepares=False)
        return _run_recordings(made, Recordings(files, job.source.market), on_ready, on_share, moments)


def _on_market(job: BacktestJob, market: str) -> BacktestJob:
    settings = job.settings
    if market == settings.market:
        return job
    if market == "coinm":
        raise BacktestRefused(f"{job.name}: coin-margined contracts pay in coin, which no account here does; `replay --frames` reads them")
    if market == "spot" and settings.leverage != 1:
        raise BacktestRefused(f"{job.name}: leverage {settings.leverage:f} on spot; set leverage=1, or market=usdm for futures")
    return msgspec.structs.replace(job, settings=settings.model_copy(update={"market": market}))


def _run_recordings(
    job: BacktestJob, source: Recordings, on_ready: Callable[[Engine], None] | None, on_share: OnShare, moments: Moments | None
) -> JobResult:
    job = _on_market(job, source.market)
    watch = Chronicler(moments)
    opened = perf_counter()
    replay, frames = frame_replay(
        [Path(file) for file in source.files],
        source.market,
        job.settings,
        lambda instruments: FrameReplay(
            instruments,
            job.settings,
            run_id=_NAME,
            latency=_seen_latency(job),
            watcher=watch,
            models=models_of(job),
            paper=job.paper(),
            turns=job.turns[1:],
        ),
        prepared_recordings(job.settings.caches) if job.prepares else None,
    )
    watch.use(replay.engine)
    started = perf_counter()
    replay.run(by_frames(frames, replay.frames_ahead, on_share), on_ready)
    if not replay.is_stamped:
        raise BacktestRefused(f"{job.name}: its frames do not say when they were received; `<receive time, ns> <frame>` a line is wanted")
    speed = Speed(perf_counter() - started, started - opened, replay.origin)
    notes = [f"{one.symbol}: tick and lot size inferred from the frames" for one in replay.instruments if one.provisional]
    assumed = (*_assumptions(job, replay.engine), *notes, *_noted(job, replay), *replay.damage)
    return told(job.name, replay.engine, watch, job.settings.equity_start, speed, assumed)


def _run_stored(job: BacktestJob, source: StoredDays, on_share: OnShare) -> JobResult:
    job = _on_market(job, source.market)
    stored = together(Path(source.root), source.market, source.symbol, source.first, source.last)
    watch, repairs = Chronicler(), {one.instrument.symbol: Repairs() for one in stored}
    replay = FrameReplay(
        tuple(one.instrument for one in stored),
        job.settings,
        run_id=_NAME,
        latency=_seen_latency(job),
        watcher=watch,
        begins_ns=min(filter(None, map(begins_ns, stored)), default=0),
        models=models_of(job),
        paper=job.paper(),
        turns=job.turns[1:],
    )
    watch.use(replay.engine)
    started = perf_counter()
    days = [blocks_of_days(one, repairs[one.instrument.symbol], packs=job.prepares) for one in stored]
    firsts, lasts = zip(*map(span_ns, stored), strict=True)
    replay.run(by_time(merge_blocks(days), min(firsts), max(lasts), on_share))
    origin = "dataset" if job.prepares else "dataset, as text"
    inferred = [f"{one.symbol}: tick and lot size inferred from the frames" for one in replay.instruments if one.provisional]
    mended = [f"{symbol}: {line}" if len(stored) > 1 else line for symbol, of in repairs.items() for line in of.lines()]
    assumed = (*_assumptions(job, replay.engine), *inferred, *_noted(job, replay), *mended)
    return told(job.name, replay.engine, watch, job.settings.equity_start, Speed(perf_counter() - started, 0.0, origin), assumed)


def _noted(job: BacktestJob, replay: FrameReplay) -> list[str]:
    """Return what was wrong with a stretch's frames, which of the stretches it was first."""
    return [f"{job.name}: {line}" for line in feed_notes(replay.engine, replay.message_types, replay.backwards)]


def _run_capture(job: BacktestJob, source: CapturedRun, on_share: OnShare) -> JobResult:
    try:
        entries = read_capture(Path(source.folder), max(source.since_ns - WARM_NS, 0))
    except CaptureDamaged as damage:
        raise BacktestRefused(f"{job.name} cannot be tested: {damage}") from None
    start, rest = split_start(entries)
    if start is None:
        raise BacktestRefused(f"{source.folder}: the first entry is not a run's start; was its first segment removed by retention?")
    job = _on_market(job, start.instruments[0].market.value)
    watch = Chronicler()
    models = models_of(job)
    engine = Engine(codec_of(start.venue), strategy_factory(job.settings.directory), models.bundle)
    watch.use(engine)
    cash = job.settings.equity_start
    begun = begin_anew(start, job.settings, encode_parameters(engine_parameters(job.settings)), models.choose(job.settings))
    run = OfflineRun(engine, begun, job.paper(), latency=_seen_latency(job), watcher=watch)
    started = perf_counter()
    own = OwnFills(start.instruments)
    stretch = stretch_of(captured_items(own.noting(rest)), source.since_ns, source.until_ns)
    items = by_stamps(stretch, source.until_ns or end_of(Path(source.folder)), on_share)
    if not run.run(by_turns(items, [(one.since_ns, one.bundle.hash) for one in job.turns[1:]])):
        raise BacktestRefused(f"{source.folder} holds no frames")
    lost = sum(gap.count for gap in entries.gaps)
    noted = (f"{lost} captured entries are missing",) if lost else ()
    is_whole = not source.since_ns and not source.until_ns
    beside = (own.beside(watch.costs.fills, is_recorded=bool(job.waits_ms)),) if is_whole and watch.costs.is_whole else ()
    notes = (*noted, *feed_notes(engine), *beside, "what an operator did in that run is left out")
    return told(job.name, engine, watch, cash, Speed(perf_counter() - started, 0.0, "capture"), (*_assumptions(job, engine), *notes))


def models_of(job: BacktestJob) -> Models:
    """Return where a job's model comes from."""
    return TurnedModels(job.turns) if job.turns else Models(Path(job.models) if job.models else None)


def begin_anew(start: RunStarted, settings: Settings, parameters: bytes, model: str) -> RunStarted:
    """Return how a captured run begins once more: its instruments and venue, our settings, a flat account that is not halted."""
    return RunStarted(
        run_id=_NAME,
        mode=_NAME,
        venue=start.venue,
        build=__version__,
        config_hash=config_hash(settings),
        model=model,
        seed=0,
        instruments=start.instruments,
        parameters=parameters,
        cash=settings.equity_start,
    )


def _seen_latency(job: BacktestJob) -> OrderLatency:
    """Return the latency on the book as we see it: the book that an order meets at the venue is one that we see a feed latency later."""
    more = job.feed_latency_ms
    model = job.latency
    if job.waits_ms:
        return recorded_latency(job.waits_ms, model, more)
    if not more:
        return model
    if model.samples_ms:
        return msgspec.structs.replace(model, samples_ms=tuple(one + more for one in model.samples_ms))
    return msgspec.structs.replace(model, median_ms=model.median_ms + more, p99_ms=model.p99_ms + more if model.p99_ms else 0.0)


class Speed(msgspec.Struct, frozen=True):
    """Say how long a run and the reading before it took, and how its frames came. Not of a run as fast as time: that has no speed."""

    run_s: float = math.inf
    reading_s: float = 0.0
    frames_from: str = ""


def told(name: str, engine: Engine, watch: Chronicler, cash: Decimal, speed: Speed, assumptions: tuple[str, ...]) -> JobResult:
    """Return what came of a stretch that an engine went through, watched, from an equity of `cash`."""
    view, points = engine.view(), watch.equity.points
    if view.account.equity is not None:
        watch.equity.add(watch.last_wall, float(view.account.equity))
    end = points[-1][1] if points else float(cash)
    if view.account.equity is None:
        assumptions = (
            *assumptions,
            "a position was held when the book was last known: the end's equity is the last that could be computed",
        )
    if watch.costs.strangers:
        assumptions = (
            *assumptions,
            f"{watch.costs.strangers} fills of orders that this run did not send: their costs are not in the tables",
        )
    net = end - float(cash)
    total = watch.costs.total()
    result = BacktestResult(
        frames=view.frames,
        frames_per_s=round(view.frames / max(speed.run_s, 1e-9), 1),
        reading_s=round(speed.reading_s, 6),
        frames_from=speed.frames_from,
        seconds=round((watch.last_wall - watch.first_wall) / 1e9, 3),
        decisions=view.decisions,
        signals=view.signals,
        refusals=dict(sorted(view.refusals.items())),
        orders=view.orders,
        fills=view.fills,
        fills_by=_fills_by(watch.costs.sums),
        turnover=total.notional,
        fees=float(view.account.fees),
        funding=float(view.account.funding),
        fundings=watch.fundings,
        net_pnl=net,
        net_return=net / float(cash),
        max_drawdown=watch.equity.worst_drawdown,
        cost_bps=total.shares(),
        halted=view.account.halted,
        halt_reason=view.account.halt_reason,
        digest=view.digest,
        assumptions=assumptions,
    )
    return JobResult(name=name, result=result, equity=tuple(points), fills=tuple(watch.costs.fills), chronicle=watch.told(name))


def _fills_by(sums: Mapping[str, CostSums]) -> dict[str, int]:
    return {kind: one.fills for kind, one in sorted(sums.items())}


def _assumptions(job: BacktestJob, engine: Engine) -> tuple[str, ...]:
    settings = job.settings
    quote = settings.instruments[0].rpartition("/")[2].partition(":")[0]
    feed = f", {job.feed_latency_ms:g} ms added" if job.feed_latency_ms else ""
    market = (
        (f"market: synthetic, {job.source.scenario}, seed {job.source.seed}: proves nothing about yours",)
        if isinstance(job.source, BuiltIn)
        else ()
    )
    return (
        *market,
        f"account: {settings.equity_start:f} {quote}, flat at the start of each job",
        f"feed latency: as recorded{feed}",
        f"model: {engine.brain.model_name}" if not job.turns else "model: trained anew for each part, on what came before it",
        *paper_assumptions(job.paper(), waits_in_words(job.waits_ms) if job.waits_ms else job.latency.words(), settings.market),
        *(() if job.fills is None else job.fills.words),
    )


def joined(results: Sequence[JobResult]) -> BacktestResult:
    """Return one result for all jobs, whose order is that of the digests."""
    test = judged([one.chronicle.null for one in results])
    jobs = tuple(_without_draws(one) for one in results)
    parts = [one.result for one in results]
    fundings = added(part.fundings for part in parts)
    assumptions = (*dict.fromkeys(chain.from_iterable(part.assumptions for part in parts)), *fundings.words())
    if len(results) == 1:
        return msgspec.structs.replace(parts[0], assumptions=assumptions, null_test=test, jobs=jobs)
    seconds_of_machine = sum(part.frames / part.frames_per_s for part in parts if part.frames_per_s)
    total = cost_sums(one.chronicle.costs for one in results)
    halted = [f"{one.name}: {one.result.halt_reason}" for one in results if one.result.halted]
    return BacktestResult(
        frames=sum(part.frames for part in parts),
        frames_per_s=round(sum(part.frames for part in parts) / max(seconds_of_machine, 1e-9), 1),
        reading_s=sum(part.reading_s for part in parts),
        frames_from="; ".join(dict.fromkeys(part.frames_from for part in parts if part.frames_from)),
        seconds=sum(part.seconds for part in parts),
        decisions=sum(part.decisions for part in parts),
        signals=sum(part.signals for part in parts),
        refusals=counted(part.refusals for part in parts),
        orders=sum(part.orders for part in parts),
        fills=sum(part.fills for part in parts),
        fills_by=_fills_by(total),
        turnover=sum(part.turnover for part in parts),
        fees=sum(part.fees for part in parts),
        funding=sum(part.funding for part in parts),
        fundings=fundings,
        net_pnl=sum(part.net_pnl for part in parts),
        net_return=sum(part.net_return for part in parts) / len(parts),
        max_drawdown=max(part.max_drawdown for part in parts),
        cost_bps=summed(total.values()).shares(),
        halted=bool(halted),
        halt_reason="; ".join(halted),
        digest=hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(),
        assumptions=assumptions,
        null_test=test,
        jobs=jobs,
    )


def _without_draws(job: JobResult) -> JobResult:
    """Return a job without its random draws, which are in the test over all jobs."""
    null = msgspec.structs.replace(job.chronicle.null, same_side=(), any_side=())
    return msgspec.structs.replace(job, chronicle=msgspec.structs.replace(job.chronicle, null=null))

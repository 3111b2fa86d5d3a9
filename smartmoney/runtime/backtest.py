"""Backtest: the daemon's own engine, gates, risk and paper venue over recorded or simulated feeds, and what came of it.

A job is one stretch of market with an account of its own. Invariants: a job's result depends on the job alone, not on how many processes
share the jobs; every assumption under which it was made is in the result, in words.
"""

import hashlib
import multiprocessing
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from decimal import Decimal
from itertools import chain
from pathlib import Path
from time import perf_counter

import msgspec

from smartmoney import __version__
from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.core.domain.commands import Command, RecordEquity
from smartmoney.core.domain.entries import Entry, RunStarted
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.runtime import logs
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.backtest_sources import captured_items, record_built_in, split_start
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.fill_costs import CostShares, FillCost, FillCosts
from smartmoney.runtime.models import Models
from smartmoney.runtime.offline import OfflineRun
from smartmoney.runtime.replay_frames import FrameReplay, frame_replay
from smartmoney.settings.build import fees_bps, paper_parameters
from smartmoney.settings.effective import config_hash
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency

_NAME = "backtest"


class BacktestRefused(Exception):
    """Say why nothing was tested, and what to do."""

    exit_code = 1


class Recordings(msgspec.Struct, frozen=True, tag=True):
    """Name recorded raw frames of one session."""

    files: tuple[str, ...]
    market: str


class CapturedRun(msgspec.Struct, frozen=True, tag=True):
    """Name the folder of a run's capture."""

    folder: str


class BuiltIn(msgspec.Struct, frozen=True, tag=True):
    """Name a synthetic market: a scenario's first symbol, or the given ones, for so many simulated seconds."""

    scenario: str
    seed: int
    seconds: int
    market: str
    symbols: tuple[str, ...] = ()


Source = Recordings | CapturedRun | BuiltIn


class BacktestJob(msgspec.Struct, frozen=True, kw_only=True):
    """Be one stretch to test. `feed_latency_ms` is added to what the recording's receive times hold already."""

    name: str
    source: Source
    settings: Settings
    latency: OrderLatency
    feed_latency_ms: float = 0.0
    models: str = ""
    """Folder of the model store that `settings.model` is looked for in; empty: none."""


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of a backtest.

    Money is in quote currency; `seconds` is market time; `cost_bps` averages over fills by notional; `max_drawdown` is a fraction of the
    peak, at the journaled points; `frames_per_s` is of this machine. Several jobs: sums, the worst drawdown, a digest of the digests.
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
    net_pnl: float
    net_return: float
    max_drawdown: float
    cost_bps: CostShares
    halted: bool
    halt_reason: str
    digest: str
    assumptions: tuple[str, ...]
    build: str = __version__
    jobs: tuple["JobResult", ...] = ()


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """Be one job's part: `equity` are (wall time in ns, equity) at the journaled points."""

    name: str
    result: BacktestResult
    equity: tuple[tuple[int, float], ...]
    fills: tuple[FillCost, ...]


class _Watch:
    """Keep what a result is made of."""

    def __init__(self) -> None:
        self.costs = FillCosts()
        self.equity: list[tuple[int, float]] = []
        self.first_wall = self.last_wall = 0

    def append(self, entry: Entry) -> None:
        """See an entry."""
        self.first_wall = self.first_wall or entry.ts_wall_ns
        self.last_wall = entry.ts_wall_ns
        self.costs.append(entry)

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command."""
        self.costs.asked(command, mono_ns)
        if isinstance(command, RecordEquity):
            self.equity.append((self.last_wall, float(command.equity)))


def run_backtest(
    jobs: Sequence[BacktestJob], processes: int, on_done: Callable[[int, int], None] = lambda _done, _of: None
) -> BacktestResult:
    """Run jobs, in several processes if there are several; `on_done(done, of)` is called as they end.

    Raises:
        BacktestRefused, ReplayRefused: a job has nothing to test.
        OSError: a source cannot be read.
    """
    if processes <= 1 or len(jobs) <= 1:
        results = []
        for number, job in enumerate(jobs, 1):
            results.append(run_job(job))
            on_done(number, len(jobs))
        return joined(results)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=spawn, initializer=_be_quiet) as pool:
        futures = [pool.submit(run_job, job) for job in jobs]
        for done, _ in enumerate(as_completed(futures), 1):
            on_done(done, len(jobs))
        return joined([future.result() for future in futures])


def _be_quiet() -> None:
    """Keep a worker's log off the standard output, where the result goes."""
    logs.configure("WARNING", to_screen=False)


def run_job(job: BacktestJob) -> JobResult:
    """Run one job. Fees and rules are those of its source's market, whatever the settings name.

    Raises:
        BacktestRefused, ReplayRefused: it has nothing to test.
        OSError: its source cannot be read.
    """
    if isinstance(job.source, CapturedRun):
        return _run_capture(job, job.source)
    if isinstance(job.source, Recordings):
        return _run_recordings(job, job.source)
    with tempfile.TemporaryDirectory(prefix="smartmoney-backtest-") as folder:
        files = record_built_in(
            job.source.scenario, job.source.seed, job.source.seconds, job.source.market, job.source.symbols, Path(folder)
        )
        return _run_recordings(job, Recordings(files, job.source.market))


def _on_market(job: BacktestJob, market: str) -> BacktestJob:
    settings = job.settings
    if market == settings.market:
        return job
    if market == "coinm":
        raise BacktestRefused(f"{job.name}: coin-margined contracts pay in coin, which no account here does; `replay --frames` reads them")
    if market == "spot" and settings.leverage != 1:
        raise BacktestRefused(f"{job.name}: leverage {settings.leverage:f} on spot; set leverage=1, or market=usdm for futures")
    return msgspec.structs.replace(job, settings=settings.model_copy(update={"market": market}))


def _run_recordings(job: BacktestJob, source: Recordings) -> JobResult:
    job = _on_market(job, source.market)
    watch = _Watch()
    replay, frames = frame_replay(
        [Path(file) for file in source.files],
        source.market,
        job.settings,
        lambda instruments: FrameReplay(
            instruments, job.settings, run_id=_NAME, latency=_seen_latency(job), watcher=watch, models=models_of(job)
        ),
    )
    watch.costs.use(replay.engine)
    started = perf_counter()
    replay.run(frames)
    notes = [f"{one.symbol}: tick and lot size inferred from the frames" for one in replay.instruments if one.provisional]
    return _result(job, replay.engine, watch, job.settings.equity_start, perf_counter() - started, (*notes, *replay.damage))


def _run_capture(job: BacktestJob, source: CapturedRun) -> JobResult:
    try:
        entries = read_capture(Path(source.folder))
    except CaptureDamaged as damage:
        raise BacktestRefused(f"{job.name} cannot be tested: {damage}") from None
    start, rest = split_start(entries)
    if start is None:
        raise BacktestRefused(f"{source.folder}: the first entry is not a run's start; was its first segment removed by retention?")
    job = _on_market(job, start.instruments[0].market.value)
    watch = _Watch()
    models = models_of(job)
    engine = Engine(codec_of(start.venue), strategy_factory(job.settings.directory), models.bundle)
    watch.costs.use(engine)
    cash = job.settings.equity_start
    begun = begin_anew(start, job.settings, encode_parameters(engine_parameters(job.settings)), models.choose(job.settings))
    run = OfflineRun(engine, begun, paper_parameters(job.settings), latency=_seen_latency(job), watcher=watch)
    started = perf_counter()
    if not run.run(captured_items(rest)):
        raise BacktestRefused(f"{source.folder} holds no frames")
    lost = sum(gap.count for gap in entries.gaps)
    noted = (f"{lost} captured entries are missing",) if lost else ()
    return _result(job, engine, watch, cash, perf_counter() - started, (*noted, "what an operator did in that run is left out"))


def models_of(job: BacktestJob) -> Models:
    """Return where a job's model comes from."""
    return Models(Path(job.models) if job.models else None)


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
    if not more:
        return model
    if model.samples_ms:
        return msgspec.structs.replace(model, samples_ms=tuple(one + more for one in model.samples_ms))
    return msgspec.structs.replace(model, median_ms=model.median_ms + more, p99_ms=model.p99_ms + more if model.p99_ms else 0.0)


def _result(job: BacktestJob, engine: Engine, watch: _Watch, cash: Decimal, took_s: float, notes: tuple[str, ...]) -> JobResult:
    view = engine.view()
    end = float(view.account.equity) if view.account.equity is not None else watch.equity[-1][1] if watch.equity else float(cash)
    if view.account.equity is None:
        notes = (*notes, "a position was held when the book was last known: the end's equity is the last that could be computed")
    by: dict[str, int] = {}
    for fill in watch.costs.fills:
        key = f"{fill.purpose.value} {fill.liquidity.value}"
        by[key] = by.get(key, 0) + 1
    net = end - float(cash)
    result = BacktestResult(
        frames=view.frames,
        frames_per_s=round(view.frames / max(took_s, 1e-9), 1),
        seconds=round((watch.last_wall - watch.first_wall) / 1e9, 3),
        decisions=view.decisions,
        signals=view.signals,
        refusals=dict(sorted(view.refusals.items())),
        orders=view.orders,
        fills=view.fills,
        fills_by=dict(sorted(by.items())),
        turnover=sum(fill.notional for fill in watch.costs.fills),
        fees=float(view.account.fees),
        net_pnl=net,
        net_return=net / float(cash),
        max_drawdown=_worst_drawdown([equity for _, equity in watch.equity]),
        cost_bps=watch.costs.shares(),
        halted=view.account.halted,
        halt_reason=view.account.halt_reason,
        digest=view.digest,
        assumptions=(*_assumptions(job, engine), *notes),
    )
    return JobResult(name=job.name, result=result, equity=tuple(watch.equity), fills=tuple(watch.costs.fills))


def _worst_drawdown(equity: Sequence[float]) -> float:
    peak = worst = 0.0
    for value in equity:
        peak = max(peak, value)
        worst = max(worst, (peak - value) / peak if peak > 0 else 0.0)
    return worst


def _assumptions(job: BacktestJob, engine: Engine) -> tuple[str, ...]:
    settings = job.settings
    maker, taker = fees_bps(settings)
    quote = settings.instruments[0].rpartition("/")[2].partition(":")[0]
    feed = f", {job.feed_latency_ms:g} ms added" if job.feed_latency_ms else ""
    queue = {
        "careful": "cancels ahead of a resting order count only once less is shown than is ahead",
        "even": "cancels ahead of a resting order count as their share of the whole queue",
    }[settings.paper.queue]
    market = (
        (f"market: synthetic, {job.source.scenario}, seed {job.source.seed}: proves nothing about yours",)
        if isinstance(job.source, BuiltIn)
        else ()
    )
    return (
        *market,
        f"account: {settings.equity_start:f} {quote}, flat at the start of each job",
        f"orders act after {job.latency.words()}; replies come at once",
        f"feed latency: as recorded{feed}",
        f"fees: maker {maker:f} bps, taker {taker:f} bps; no funding",
        f"model: {engine.brain.model_name}",
        f"queue: {queue}; a trade through the price fills whole",
        "impact: takers walk the depth that is shown, once; others do not react to these orders",
    )


def joined(results: Sequence[JobResult]) -> BacktestResult:
    """Return one result for all jobs, whose order is that of the digests."""
    if len(results) == 1:
        return msgspec.structs.replace(results[0].result, jobs=tuple(results))
    parts = [one.result for one in results]
    seconds_of_machine = sum(part.frames / part.frames_per_s for part in parts if part.frames_per_s)
    turnover = sum(part.turnover for part in parts)

    def average(name: str) -> float:
        return sum(getattr(part.cost_bps, name) * part.turnover for part in parts) / turnover if turnover else 0.0

    def counts(name: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for part in parts:
            for key, value in getattr(part, name).items():
                total[key] = total.get(key, 0) + value
        return dict(sorted(total.items()))

    halted = [f"{one.name}: {one.result.halt_reason}" for one in results if one.result.halted]
    return BacktestResult(
        frames=sum(part.frames for part in parts),
        frames_per_s=round(sum(part.frames for part in parts) / max(seconds_of_machine, 1e-9), 1),
        seconds=sum(part.seconds for part in parts),
        decisions=sum(part.decisions for part in parts),
        signals=sum(part.signals for part in parts),
        refusals=counts("refusals"),
        orders=sum(part.orders for part in parts),
        fills=sum(part.fills for part in parts),
        fills_by=counts("fills_by"),
        turnover=turnover,
        fees=sum(part.fees for part in parts),
        net_pnl=sum(part.net_pnl for part in parts),
        net_return=sum(part.net_return for part in parts) / len(parts),
        max_drawdown=max(part.max_drawdown for part in parts),
        cost_bps=CostShares(delay=average("delay"), spread=average("spread"), impact=average("impact"), fee=average("fee")),
        halted=bool(halted),
        halt_reason="; ".join(halted),
        digest=hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(),
        assumptions=tuple(dict.fromkeys(chain.from_iterable(part.assumptions for part in parts))),
        jobs=tuple(results),
    )

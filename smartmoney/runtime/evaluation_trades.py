"""Let a model trade on held-out worlds: the backtest's own engine, gates, risk and paper venue, each world's market made once.

A world is traded by up to three: the model as configured; the model with its gates forced open, which trades whatever it leans to; and,
where an edge is planted, an oracle (`learning.evaluation.parent_oracle`) behind the same gates. Several models trade the very same market,
each for itself, and the oracle, which asks none of them, once. Invariants: what comes out depends on the
job alone; worlds are made in processes of their own at low priority, and nothing of them stays on the disk.
"""

import multiprocessing
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ProcessPoolExecutor, as_completed
from decimal import Decimal
from pathlib import Path

import msgspec

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.model_files import assemble
from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.engine.engine import Engine
from smartmoney.core.models.bundle import Bundle, Calibrator
from smartmoney.learning.evaluation.parent_oracle import Parent, ParentOracle, parents_of
from smartmoney.learning.evaluation.passed_by import Account, Held, Moments, chances
from smartmoney.learning.evaluation.trades import Trade, Traded, WorldTraded
from smartmoney.learning.sets.synthetic import ORIGIN_NS, World
from smartmoney.runtime import logs
from smartmoney.runtime.backtest import BacktestJob, JobResult, Recordings, run_job
from smartmoney.runtime.chronicle import RoundTrip
from smartmoney.runtime.feature_jobs import worker_count
from smartmoney.runtime.fill_costs import FillCost
from smartmoney.runtime.training_jobs import Progress, begin_worker
from smartmoney.settings.models import Settings
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper_funding import SETTLED_WITHIN_NS

_BPS = 1e4
OPEN_CONFIDENCE = 0.9
"""What every leaning is called where the gates are forced open: sure, so that no gate on confidence is left."""
_OPEN_SCALE = 10.0
_RATE_OPEN = 1_000_000


class TradeJob(msgspec.Struct, frozen=True, kw_only=True):
    """Name a world, the configuration, a store of models, and of each bundle the hash as it is and forced open.

    `has_oracle` where the oracle trades, too.
    """

    world: World
    settings: Settings
    store: str
    models: tuple[tuple[str, str], ...]
    has_oracle: bool


def trade_worlds(
    worlds: Sequence[World], bundles: Sequence[Bundle], settings: Settings, progress: Progress, *, has_oracle: bool, parallel: bool = True
) -> list[list[WorldTraded]]:
    """Trade every world by every bundle, and return of each bundle its worlds, both in their order.

    Raises:
        BacktestRefused, ReplayRefused: a world is too short to hold frames.
        OSError: the temporary folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="smartmoney-evaluate-") as folder:
        store = ModelStore(Path(folder))
        pairs = [(bundle, forced_open(bundle)) for bundle in bundles]
        for one in {each.hash: each for pair in pairs for each in pair}.values():
            store.add(one)
        models = tuple((bundle.hash, opened.hash) for bundle, opened in pairs)
        jobs = [TradeJob(world=world, settings=settings, store=folder, models=models, has_oracle=has_oracle) for world in worlds]
        found = list(_traded(jobs, progress, worker_count(len(jobs), parallel=parallel)))
    return [[world[place] for world in found] for place in range(len(bundles))]


def forced_open(bundle: Bundle) -> Bundle:
    """Return a bundle that says of its shortest horizon what this one leans to, and is always sure: its doubts and abstention are gone."""
    shortest = min(head.horizon_s for head in bundle.spec.heads)
    sure = Calibrator(kind="isotonic", x=(0.5, 1.0), y=(OPEN_CONFIDENCE, OPEN_CONFIDENCE))
    heads = tuple(
        msgspec.structs.replace(head, tradable=True, calibrator=sure, return_scale=_OPEN_SCALE, conformal=(0.5,) * 5)
        if head.horizon_s == shortest
        else msgspec.structs.replace(head, tradable=False)
        for head in bundle.spec.heads
    )
    return assemble(msgspec.structs.replace(bundle.spec, name=f"{bundle.name}, forced open", heads=heads), bundle.forests, bundle.card)


def with_gates_open(settings: Settings) -> Settings:
    """Return settings whose gates and limits let every opportunity pass; orders, fees and the venue stay."""
    advanced = settings.advanced_features
    return settings.model_copy(
        update={
            "regime_overrides": {},
            "strategy": settings.strategy.model_copy(
                update={"confidence_threshold": 0.5, "min_liquidity_score": 0.0, "max_drawdown": 0.99}
            ),
            "risk": settings.risk.model_copy(update={"max_daily_loss": type(settings.risk.max_daily_loss)(1)}),
            "advanced_features": advanced.model_copy(
                update={
                    "liquidity_patterns": advanced.liquidity_patterns.model_copy(update={"mm_confidence_threshold": 0.0}),
                    "feature_engine": advanced.feature_engine.model_copy(
                        update={"confidence_threshold": 0.0, "risk_adjustment_factor": 0.0}
                    ),
                    "signal_generation": advanced.signal_generation.model_copy(
                        update={"min_confidence": 0.0, "max_signals_per_minute": _RATE_OPEN}
                    ),
                }
            ),
        }
    )


def _traded(jobs: Sequence[TradeJob], progress: Progress, workers: int) -> Iterator[tuple[WorldTraded, ...]]:
    progress("traded worlds", 0, len(jobs))
    if workers <= 1:
        for number, job in enumerate(jobs, 1):
            yield trade_world(job)
            progress("traded worlds", number, len(jobs))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin) as pool:
        waiting = [pool.submit(trade_world, job) for job in jobs]
        for number, future in enumerate(as_completed(waiting), 1):
            future.result()
            progress("traded worlds", number, len(jobs))
        yield from (future.result() for future in waiting)


def _begin() -> None:
    # The log of a worker must stay off the standard output, where the result goes.
    logs.configure("WARNING", to_screen=False)
    begin_worker()


def trade_world(job: TradeJob) -> tuple[WorldTraded, ...]:
    """Make a world's market and let everybody trade on it. Cost: some 8 s per simulated hour of BTCUSDT on one core, with one bundle."""
    world = job.world
    settings = job.settings.model_copy(update={"venue": "binance", "market": world.market.value, "instruments": ("BTC/USDT",)})
    with tempfile.TemporaryDirectory(prefix="smartmoney-evaluate-") as folder:
        files, parents = _recorded(world, Path(folder))

        def run(
            model: str, chosen: Settings, on_ready: Callable[[Engine], None] | None = None, moments: Moments | None = None
        ) -> JobResult:
            made = BacktestJob(
                name=world.name,
                source=Recordings(files, world.market.value),
                settings=chosen.model_copy(update={"model": model}),
                latency=OrderLatency(median_ms=settings.paper.latency_ms),
                models=job.store,
            )
            return run_job(made, on_ready, moments=moments)

        def be_oracle(engine: Engine) -> None:
            engine.brain.desk.activate(ParentOracle(parents))

        # The oracle takes the model's place: whose it was makes no difference.
        oracle = run(job.models[0][0], settings, be_oracle) if job.has_oracle else None
        return tuple(_beside(oracle, run, names, settings, world) for names in job.models)


def _beside(
    oracle: JobResult | None, run: Callable[..., JobResult], names: tuple[str, str], settings: Settings, world: World
) -> WorldTraded:
    """Let a model trade, as it is and forced open, beside what the oracle made of the same market."""
    model, opened = names
    moments = Moments()
    normal = run(model, settings, moments=moments)
    return WorldTraded(
        normal=traded(normal, world),
        opened=traded(run(opened, with_gates_open(settings)), world),
        oracle=None if oracle is None else traded(oracle, world),
        chances=() if oracle is None else chances(account_of(oracle), account_of(normal), moments),
    )


def account_of(result: JobResult) -> Account:
    """Return what a run's account did: from flat to flat by its own books, and what it still holds, at what it is worth.

    Funding is of the trade that was held when it was paid.
    """
    trips = result.chronicle.trips
    funding = _funding_of(trips, result.chronicle.payments)
    held = [
        Held(sign=one.side.sign, entry_ns=one.entry_ns, exit_ns=one.exit_ns, net=one.net + paid)
        for one, paid in zip(trips, funding, strict=True)
    ]
    position, since = positions_of(result.fills, {one.exit_ns for one in trips})
    if position and position[-1][1]:
        rest = result.result.net_pnl - sum(one.net for one in held)
        held.append(Held(sign=1 if position[-1][1] > 0.0 else -1, entry_ns=since, exit_ns=result.chronicle.end_ns, net=rest))
    # Before the first fill nothing was held.
    return Account(held=held, worth=result.equity, position=[(0, 0.0), *position])


def _funding_of(trips: Sequence[RoundTrip], payments: Sequence[tuple[int, float]]) -> list[float]:
    """Return what each trade received in funding, while it was held or a moment after: the venue may be late to say at what it settled."""
    begun, received = [one.entry_ns for one in trips], [0.0] * len(trips)
    for at_ns, amount in payments:
        place = bisect_left(begun, at_ns) - 1
        if place >= 0 and at_ns <= trips[place].exit_ns + SETTLED_WITHIN_NS:
            received[place] += amount
    return received


def positions_of(fills: Sequence[FillCost], flat_ns: AbstractSet[int] = frozenset()) -> tuple[list[tuple[int, float]], int]:
    """Return the signed position in quote after each fill, and when the one after the last began; `flat_ns`: when the books were flat."""
    held, since = Decimal(0), 0
    path = []
    for place, fill in enumerate(fills):
        before, held = held, held + fill.side.sign * fill.quantity
        is_last = place + 1 == len(fills) or fills[place + 1].wall_ns != fill.wall_ns
        if is_last and fill.wall_ns in flat_ns and before * held > 0 and abs(held) < abs(before):
            held = Decimal(0)  # a fee in base, or less than the smallest order, is no position
        since = fill.wall_ns if before * held <= 0 else since
        path.append((fill.wall_ns, float(held * fill.price)))
    return path, since


def traded(result: JobResult, world: World) -> Traded:
    """Return what a run made, trade by trade."""
    part = result.result
    return Traded(
        world=world.name,
        family=world.family,
        seconds=part.seconds,
        signals=part.signals,
        trades=tuple(trades_of(result.fills, result.chronicle.trips)),
        net=part.net_pnl,
        turnover=part.turnover,
        halted=part.halted,
    )


def trades_of(fills: Sequence[FillCost], trips: Sequence[RoundTrip]) -> Iterator[Trade]:
    """Pair fills into trades from flat to flat; `trips` are the account's own books of the same fills, whose net result is taken.

    A trade with a fill whose costs nobody could tell (no book then) is left out.
    """
    closed = iter(trips)
    held = 0.0
    legs: list[tuple[float, FillCost]] = []
    for fill in fills:
        quantity = fill.side.sign * float(fill.quantity)
        if held * quantity < 0.0 and abs(quantity) >= abs(held) * (1.0 - 1e-9):
            trip = next(closed, None)
            if trip is None:
                return
            trade = _trade([*legs, (-held, fill)], trip)
            if trade is not None:
                yield trade
            held += quantity
            held = 0.0 if abs(held) < 1e-9 * abs(quantity) else held
            legs = [(held, fill)] if held else []
        else:
            held += quantity
            legs.append((quantity, fill))


def _trade(legs: Sequence[tuple[float, FillCost]], trip: RoundTrip) -> Trade | None:
    gross = spread = impact = fee = 0.0
    for quantity, fill in legs:
        if fill.delay_bps is None or fill.spread_bps is None or fill.impact_bps is None:
            return None
        price = float(fill.price)
        decided = price / (1.0 + fill.side.sign * (fill.delay_bps + fill.spread_bps + fill.impact_bps) / _BPS)
        size = abs(quantity) * decided
        # What a fill paid above the mid of its moment is its spread and impact.
        mid = price - fill.side.sign * (fill.spread_bps + fill.impact_bps) * decided / _BPS
        gross -= quantity * mid
        spread += fill.spread_bps * size
        impact += fill.impact_bps * size
        fee += fill.fee_bps * abs(quantity) * price
    paid = trip.notional
    return Trade(
        at_ns=trip.exit_ns, gross=_BPS * gross / paid, spread=spread / paid, impact=impact / paid, fee=fee / paid, net=trip.net_bps
    )


def _recorded(world: World, folder: Path) -> tuple[tuple[str, ...], tuple[Parent, ...]]:
    """Make a world's market; return the recording of its public feed, and its informed and mistaken parents."""
    market = SyntheticMarket(world.seed, world.scenario, (world.symbol,), (world.market,))
    book = market.books[world.market, world.symbol]
    prerun(market, ORIGIN_NS, world.seconds, folder / "feed")
    told = book.truth()
    parents = parents_of(told, world.scenario, float(book.worlds["lots_per_unit"][0]), ORIGIN_NS)
    return (str(capture_path(folder / "feed", world.market, world.symbol)),), parents

"""What happened in a live or paper run, in the form of a backtest's result, so that one report shows both.

Where the capture is there, the run is stepped again through the engine, watched: the numbers are those of the run, bit for bit, with the
prices, regimes and costs that no journal keeps. Where it is gone, the journal alone tells, and what it cannot tell is said.
"""

from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path

import msgspec

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.capture_reader import CaptureReader
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.journal_account import fills_on_one_grid
from smartmoney.adapters.journal_reader import CashRow, FillRow, HaltRow, RunHeader, SignalRow
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import RunStarted
from smartmoney.core.domain.orders import OrderIntent
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.assembly import simulated_words, strategy_factory
from smartmoney.runtime.backtest import BacktestResult, JobResult, Speed, joined, told
from smartmoney.runtime.backtest_sources import split_start
from smartmoney.runtime.chronicle import UNKNOWN, Chronicle, InstrumentChronicle, RoundTrip, decision_sums
from smartmoney.runtime.chronicler import SIGNAL, Chronicler, TripBook
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.equity_curve import EquityCurve
from smartmoney.runtime.fill_costs import CostSums, summed
from smartmoney.runtime.funding_sources import sources_of
from smartmoney.runtime.models import Models
from smartmoney.runtime.paper_words import paper_assumptions
from smartmoney.runtime.replay import ReplayRefused, kept_bundles
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.load import recorded_settings

_NOT_JOURNALED = (
    "the capture of this run is gone ({why}): there is no price path, so no regimes between signals, no calibration and no random trades",
    "delay, spread and impact of fills are not known, nor what entries came to: they need the book",
)


def told_run(layout: StateLayout, run_id: str, search: str | None = None) -> BacktestResult:
    """Return what happened in a run; `search` is where its own strategy class is looked for first.

    Raises:
        ReplayRefused: there is no such run.
        OSError: its capture cannot be read.
    """
    with JournalReader.open(layout.journal) as journal:
        header = journal.run(run_id)
        if header is None:
            known = ", ".join(run.run_id for run in journal.runs(limit=5)) or "none"
            raise ReplayRefused(f"no run {run_id!r} in {layout.journal}; the newest are: {known}")
        halts = [halt for halt in journal.halts() if halt.run_id == run_id]
        assumed = (*_assumptions(header), *_funding(journal, run_id), *_halt_words(halts))
        try:
            entries = read_capture(layout.capture(run_id))
            start, _ = split_start(entries)
            why = "its first segment was removed by retention"
        except CaptureDamaged as damage:
            start, why = None, str(damage)
        if start is not None:
            return joined([_watched(header, start, entries, assumed, search, Models(layout.models))])
        return joined([_journaled(journal, header, assumed, why)])


def _watched(
    header: RunHeader, start: RunStarted, entries: CaptureReader, assumed: Sequence[str], search: str | None, models: Models
) -> JobResult:
    watch = Chronicler()
    engine = Engine(codec_of(start.venue), strategy_factory(search), kept_bundles(models))
    watch.use(engine)
    notes: list[str] = []
    last = 0
    for entry in entries:
        if entries.gaps:
            notes.append(f"the capture lost entries after {last}: the run is told up to there")
            break
        last = entry.seq
        watch.append(entry)
        commands = engine.step(entry)
        watch.settled()
        for command in commands:
            watch.asked(command, entry.ts_mono_ns)
    if header.digest is not None and not notes and header.last_seq == last and header.digest != engine.digest:
        notes.append("this build does not repeat what the run did (`smartmoney diff` says where): what is told is this build's")
    cash = start.cash + sum((report.cost for report in start.positions), Decimal(0))
    return told(f"run {header.run_id}", engine, watch, cash, Speed(), (*assumed, *notes))


def _journaled(journal: JournalReader, header: RunHeader, assumed: Sequence[str], why: str) -> JobResult:
    run_id = header.run_id
    payments = _payments(journal, run_id)
    fills, equity, orders = journal.fills(run_id), journal.equity(run_id), journal.orders(run_id)
    signals, refusals = journal.signals(run_id), journal.refusal_counts(run_id)
    curve = EquityCurve()
    for row in equity:
        curve.add(row.wall_ns, float(row.equity))
    trips, exits, fees = _trips(journal, run_id)
    costs = _costs(journal, fills)
    total = summed(costs.values())
    net = curve.points[-1][1] - curve.points[0][1] if curve.points else 0.0
    ends = (*(row.wall_ns for row in equity), *(row.wall_ns for row in fills), *(row.wall_ns for row in signals))
    end_ns = header.ended_wall_ns or max(ends, default=header.started_wall_ns)
    halts = [halt for halt in journal.halts() if halt.run_id == run_id]
    is_halted = bool(halts) and halts[-1].kind == "halt"
    result = BacktestResult(
        frames=0,
        frames_per_s=0.0,
        seconds=(end_ns - header.started_wall_ns) / 1e9,
        decisions=len(signals) + sum(refusals.values()),
        signals=len(signals),
        refusals=refusals,
        orders=len(orders),
        fills=len(fills),
        fills_by={kind: one.fills for kind, one in costs.items()},
        turnover=total.notional,
        fees=fees,
        funding=-float(sum(row.amount for row in payments)),
        fundings=sources_of(row.reference for row in payments),
        net_pnl=net,
        net_return=net / curve.points[0][1] if curve.points and curve.points[0][1] else 0.0,
        max_drawdown=curve.worst_drawdown,
        cost_bps=total.shares(),
        halted=is_halted,
        halt_reason=halts[-1].reason if is_halted else "",
        digest=header.digest or "",
        assumptions=tuple(assumed),
    )
    missing = tuple(line.format(why=why) for line in _NOT_JOURNALED)
    quotes = {instrument.name: instrument.quote for instrument in journal.instruments()}
    chronicle = Chronicle(
        start_ns=header.started_wall_ns,
        end_ns=end_ns,
        quote=next((quotes[row.instrument] for row in fills if row.instrument in quotes), next(iter(quotes.values()), "")),
        instruments=tuple(InstrumentChronicle(name=name) for name in dict.fromkeys(row.instrument for row in fills)),
        trips=tuple(trips.trips),
        by_regime=dict(sorted(trips.by_regime.items())),
        exits=exits,
        decisions=_decisions(signals, refusals),
        costs=costs,
        missing=missing,
    )
    return JobResult(name=f"run {run_id}", result=result, equity=tuple(curve.points), fills=(), chronicle=chronicle)


def journaled_trips(journal: JournalReader, run_id: str) -> list[RoundTrip]:
    """Return the first 5,000 round trips that ended in a run, from its fills; why exits were sent is only known by their purpose."""
    return _trips(journal, run_id)[0].trips


def _trips(journal: JournalReader, run_id: str) -> tuple[TripBook, dict[str, int], float]:
    """Return a run's round trips, why they ended, and its fees. Positions of earlier runs are folded first."""
    instruments, fills = fills_on_one_grid(journal.instruments(), rows := journal.fills())
    signals = {row.signal_id: row for row in journal.signals(run_id)}
    book = TripBook()
    book.start_with(instruments)
    for order in journal.orders(run_id):
        intent = intent_of(order.encoded)
        said = signals.get(intent.signal_id or "")
        regime = UNKNOWN if said is None else str(metadata_of(said).get("regime", UNKNOWN))
        book.asked(intent, confidence=None if said is None else said.confidence, regime=regime, reason=intent.purpose.value)
    fees = 0.0
    is_of_run = False
    for fill, row in zip(fills, rows, strict=True):
        if row.run_id == run_id and not is_of_run:
            is_of_run = True
            book.forget_closed()
        if row.run_id == run_id or not is_of_run:
            book.fill(fill, row.wall_ns)
        fees += _fee(row) if row.run_id == run_id else 0.0
    if not is_of_run:
        book.forget_closed()
    return book, dict(sorted(book.exits.items())), fees


def _costs(journal: JournalReader, fills: Sequence[FillRow]) -> dict[str, CostSums]:
    costs: dict[str, CostSums] = {}
    for row in fills:
        event = journal.order(row.client_order_id)
        purpose = UNKNOWN if event is None else intent_of(event.encoded).purpose.value
        kind = f"{purpose} {row.liquidity}"
        one = CostSums(fills=1, notional=float(row.price * row.quantity), fee=_fee(row))
        costs[kind] = costs.get(kind, CostSums()).plus(one)
    return dict(sorted(costs.items()))


def _fee(row: FillRow) -> float:
    base, _, quote = row.instrument.partition("/")
    if row.fee_asset == base:
        return float(row.fee * row.price)
    return float(row.fee) if row.fee_asset == quote.partition(":")[0] else 0.0


def _decisions(signals: Sequence[SignalRow], refusals: dict[str, int]) -> dict[str, dict[str, int]]:
    said = ({SIGNAL: {str(metadata_of(row).get("regime", UNKNOWN)): 1}} for row in signals)
    return decision_sums(chain(said, ({code: {UNKNOWN: count}} for code, count in refusals.items())))


def metadata_of(row: SignalRow) -> dict[str, object]:
    """Return a signal's metadata as the journal keeps it."""
    found: dict[str, object] = msgspec.json.decode(row.metadata)
    return found


def intent_of(encoded: bytes) -> OrderIntent:
    """Return an order's intent as the journal keeps it."""
    return msgspec.msgpack.decode(encoded, type=OrderIntent)


def _payments(journal: JournalReader, run_id: str) -> list[CashRow]:
    return [row for row in journal.cash_movements() if row.run_id == run_id and row.kind == "funding"]


def _funding(journal: JournalReader, run_id: str) -> tuple[str, ...]:
    """Say what a run paid as funding, if it did: net and equity hold it, round trips do not."""
    amounts = [row.amount for row in _payments(journal, run_id)]
    return (f"funding: {sum(amounts):+,.4f} in {len(amounts)} payments, in net and in equity, in no round trip",) if amounts else ()


def _assumptions(header: RunHeader) -> tuple[str, ...]:
    ended = "ended in order" if header.ended_wall_ns is not None else "still running, or killed"
    run = f"run {header.run_id}: {header.mode} at {header.venue}, {ended}; configuration {header.config_hash[:12]}, build {header.build}"
    model = f"model: {header.model or 'none named'}"
    try:
        settings = recorded_settings(header.config, directory=Path())
    except ConfigurationError as problem:
        return run, model, f"its settings cannot be read by this build: {problem}"
    if header.mode != "paper":
        return run, model
    return (
        run,
        model,
        f"simulated: {simulated_words(settings)}",
        *paper_assumptions(paper_parameters(settings), f"{settings.paper.latency_ms:g} ms", settings.market),
    )


def _halt_words(halts: Sequence[HaltRow]) -> tuple[str, ...]:
    return tuple(f"{halt.kind}: {halt.reason}" for halt in halts)

"""Why a signal was said and what became of it: from the journal, and from a replay of the capture for what no journal keeps.

Invariants: nothing is guessed: a part that cannot be had is named in `missing`; what was known at the signal is read from the engine at
that entry, before anything that came later.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.journal_reader import SignalRow
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import RecordSignal
from smartmoney.core.domain.entries import Tick
from smartmoney.core.domain.orders import OrderIntent, Purpose
from smartmoney.core.domain.signals import Signal
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.execution.parameters import round_trip_cost_bps
from smartmoney.core.strategy.gates import Reading
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.backtest_sources import split_start
from smartmoney.runtime.chronicle import RoundTrip
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.models import Models
from smartmoney.runtime.replay import kept_bundles
from smartmoney.runtime.run_report import intent_of, journaled_trips, metadata_of

NEAREST = 5


class SignalUnknown(Exception):
    """Report that no run said such a signal, and which ids are nearest."""

    exit_code = 1


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Be one thing that happened to an order, so many ms after the signal."""

    after_ms: float
    kind: str
    detail: str


class OrderStory(msgspec.Struct, frozen=True, kw_only=True):
    """Tell one order of a signal: what was asked for, how much was filled at what average price, its fees, and what happened to it."""

    client_order_id: str
    purpose: str
    side: str
    type: str
    lots: int
    filled_lots: int
    average_price: float | None
    fees: Mapping[str, float]
    ended: str | None
    events: tuple[OrderEvent, ...]
    why: str = ""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was known at the signal: the touch, the feed, the regime and its posterior, forecasts, gates, features by name.

    Prices in quote, `cost_bps` of a round trip; `position` is the signed quantity held then, in base. `mid_later` is the mid once the
    forecast's horizon had passed and `move_bps` its move to the signal's side (None: the run or its capture ended before).
    """

    bid: float
    ask: float
    feed: str
    regime: str
    regime_probability: float
    posterior: Mapping[str, float]
    cost_bps: float
    equity: float | None
    position: float
    forecasts: tuple[Mapping[str, Any], ...]
    gates: tuple[Reading, ...]
    features: Mapping[str, float]
    mid_later: float | None = None
    move_bps: float | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Explain one signal. Times are wall-clock ns; `missing` says what could not be had and why."""

    signal_id: str
    run_id: str
    mode: str
    build: str
    wall_ns: int
    instrument: str
    side: str
    price: float | None
    quantity: float | None
    confidence: float | None
    stop_loss: float | None
    take_profit: float | None
    metadata: Mapping[str, Any]
    orders: tuple[OrderStory, ...]
    lowers_risk: bool
    outcome: str
    round_trip: RoundTrip | None
    known: Known | None
    missing: tuple[str, ...]
    parts: Mapping[str, float] = {}
    """What the largest columns added to the forecast, as the daemon computed it; empty where it did not (yet, or the model has none)."""


def explain_signal(layout: StateLayout, signal_id: str, search: str | None = None) -> Explanation:
    """Return why a signal was said and what became of it; `search` is where its run's own strategy class is looked for first.

    Raises:
        SignalUnknown: the journal has no such signal.
        OSError: the run's capture cannot be read.
    """
    with JournalReader.open(layout.journal) as journal:
        row = journal.signal(signal_id)
        if row is None:
            raise SignalUnknown(_nearest(journal, signal_id))
        header = journal.run(row.run_id)
        orders = tuple(_orders(journal, row))
        trips = [trip for trip in journaled_trips(journal, row.run_id) if trip.signal_id == signal_id]
        parts = journal.explanation(signal_id) or {}
    horizon_s = metadata_of(row).get("horizon_s")
    known, missing = _replayed(layout, row, float(horizon_s) if isinstance(horizon_s, (int, float)) else 0.0, search)
    return Explanation(
        signal_id=signal_id,
        run_id=row.run_id,
        mode="" if header is None else header.mode,
        build="" if header is None else header.build,
        wall_ns=row.wall_ns,
        instrument=row.instrument,
        side=row.signal_type,
        price=row.price,
        quantity=row.quantity,
        confidence=row.confidence,
        stop_loss=row.stop_loss,
        take_profit=row.take_profit,
        metadata=metadata_of(row),
        orders=orders,
        lowers_risk=bool(orders) and not any(order.purpose == Purpose.ENTRY for order in orders),
        outcome=_outcome(orders, trips),
        round_trip=trips[0] if trips else None,
        known=known,
        missing=missing,
        parts=parts,
    )


def _nearest(journal: JournalReader, signal_id: str) -> str:
    ids = journal.signal_ids()
    if not ids:
        return f"no signal {signal_id!r}: no run has said one yet"
    near = difflib.get_close_matches(signal_id, ids, NEAREST, 0.0)
    return f"no signal {signal_id!r}; the nearest are: {', '.join(near or ids[:NEAREST])}"


def _orders(journal: JournalReader, row: SignalRow) -> list[OrderStory]:
    """Return the orders of a signal: its entry, its exit, and the protection that belongs to it."""
    told = []
    fills = journal.fills(row.run_id)
    for order in journal.orders(row.run_id):
        intent: OrderIntent = intent_of(order.encoded)
        if intent.signal_id != row.signal_id:
            continue
        mine = [fill for fill in fills if fill.client_order_id == order.client_order_id]
        quantity = sum(fill.quantity for fill in mine)
        fees: dict[str, float] = {}
        for fill in mine:
            fees[fill.fee_asset] = fees.get(fill.fee_asset, 0.0) + float(fill.fee)
        events = journal.order_events(order.client_order_id)
        told.append(
            OrderStory(
                client_order_id=order.client_order_id,
                purpose=intent.purpose.value,
                side=intent.side.value,
                type=intent.type.value,
                lots=order.lots,
                filled_lots=order.filled_lots,
                average_price=float(sum(fill.price * fill.quantity for fill in mine) / quantity) if quantity else None,
                fees=fees,
                ended=order.closed,
                events=tuple(OrderEvent(after_ms=(one.wall_ns - row.wall_ns) / 1e6, kind=one.kind, detail=one.detail) for one in events),
                why="" if intent.why is msgspec.UNSET else intent.why,
            )
        )
    return told


def _outcome(orders: Sequence[OrderStory], trips: Sequence[RoundTrip]) -> str:
    if not orders:
        return "no order was sent for it: what was held or working was already enough, or a limit refused it"
    if trips:
        trip = trips[0]
        return f"a round trip of {trip.holding_s:.0f} s, closed by {trip.exit}: net {trip.net:+.4f} in quote, {trip.net_bps:+.2f} bps"
    entries = [order for order in orders if order.purpose == Purpose.ENTRY]
    if not entries:
        return "it reduced or closed a position that an earlier signal had opened"
    if not any(order.filled_lots for order in entries):
        return "its entry was not filled"
    return "its entry was filled; it added to a position of an earlier signal, or was still open when the journal was read"


def _replayed(layout: StateLayout, row: SignalRow, horizon_s: float, search: str | None) -> tuple[Known | None, tuple[str, ...]]:
    try:
        entries = read_capture(layout.capture(row.run_id))
        start, _ = split_start(entries)
    except CaptureDamaged as damage:
        return None, (f"what was known then: {damage}",)
    if start is None:
        return None, ("what was known then: retention has removed the first segment of the run's capture",)
    engine = Engine(codec_of(start.venue), strategy_factory(search), kept_bundles(Models(layout.models)))
    known: Known | None = None
    index = [instrument.name for instrument in start.instruments].index(row.instrument)
    due_ns = row.wall_ns + round(horizon_s * 1e9)
    for entry in entries:
        if entries.gaps:
            return known, ("the capture lost entries: what came after them is not known",)
        commands = engine.step(entry)
        if known is None and entry.seq >= row.seq:
            signal = next((one.signal for one in commands if isinstance(one, RecordSignal) and one.signal.signal_id == row.signal_id), None)
            if signal is None:
                return None, ("what was known then: this build does not say that signal there; `smartmoney diff` says what differs",)
            known = known_at(engine, index, signal)
        elif known is not None and isinstance(entry.payload, Tick) and entry.ts_wall_ns >= due_ns:
            return _later(engine, index, known, row), ()
    if known is None:
        return None, (f"what was known then: the capture ends before entry {row.seq}",)
    return known, ("the run ended, or goes on, before the forecast's horizon had passed",)


def known_at(engine: Engine, index: int, signal: Signal | None) -> Known:
    """Return what an engine knows of an instrument now; without a signal no gate is read."""
    market, desk = engine.market, engine.brain.desk
    features = engine.brain.features(market.states, index)
    cost_bps = round_trip_cost_bps(engine.parameters.execution, features["spread_bps"])
    reading = desk.regime(index)
    bid, ask = top_of_book(market.states[index])
    grid = market.instruments[index]
    return Known(
        bid=float(grid.price(bid)) if bid > 0 else math.nan,
        ask=float(grid.price(ask)) if ask > 0 else math.nan,
        feed=market.trust(index).state.value,
        regime="" if reading is None else reading.label.value,
        regime_probability=math.nan if reading is None else reading.probability,
        posterior={} if reading is None else reading.probabilities(),
        cost_bps=cost_bps,
        equity=None if engine.money.equity is None else float(engine.money.equity),
        position=float(engine.executor.portfolio.position(index).quantity),
        forecasts=tuple(one.as_mapping() for one in desk.opportunities(index)),
        gates=() if signal is None else desk.gates_at(signal, features, cost_bps),
        features={name: value for name, value in features.items() if math.isfinite(value)},
    )


def _later(engine: Engine, index: int, known: Known, row: SignalRow) -> Known:
    bid, ask = top_of_book(engine.market.states[index])
    if not 0 < bid <= ask:
        return known
    mid = 0.5 * (bid + ask) * float(engine.market.instruments[index].tick_size)
    before = 0.5 * (known.bid + known.ask)
    sign = 1 if row.signal_type == "buy" else -1
    return msgspec.structs.replace(known, mid_later=mid, move_bps=1e4 * sign * (mid / before - 1.0))

"""What the journal keeps, and how each command, reply and checkpoint becomes rows.

Invariants: nothing here opens or ends a transaction (`adapters.journal` does); intents, order events, fills, signals, halts and every
change of the high-water mark are kept completely; refusals and equity are thinned, their counts are not.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import apsw
import msgspec

from smartmoney.core.domain.commands import (
    CancelOrder,
    RecordCash,
    RecordDay,
    RecordEquity,
    RecordHalt,
    RecordOrderClosed,
    RecordRefusal,
    RecordResume,
    RecordScale,
    RecordSignal,
    SubmitOrder,
)
from smartmoney.core.domain.entries import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
    SendRefused,
)
from smartmoney.core.domain.instruments import Instrument

REFUSAL_EVERY_NS = 60_000_000_000
"""A refusal that repeats is written this often per instrument, in ns."""
EQUITY_EVERY_NS = 10_000_000_000
"""Equity without a new high-water mark is written this often, in ns."""
CHECKPOINT_LASTING_NS = 60_000_000_000
"""One checkpoint in so many ns is kept for good."""
CHECKPOINT_HOLD_NS = 3_600_000_000_000
"""All checkpoints of the last hour are kept, in ns."""
CHECKPOINTS_PER_PRUNE = 600
WITNESS_HOLD_NS = 30 * 86_400_000_000_000
"""Feature rows of the last thirty days are kept, in ns."""
WITNESSES_PER_PRUNE = 1_440


class Checkpoint(msgspec.Struct, frozen=True):
    """State the chained digest of decisions and commands after an entry, in hex."""

    digest: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Say what moved the forecast behind a signal: the parts of its lean by column, the largest first; above 0 speaks for buying."""

    signal_id: str
    parts: dict[str, float]


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """Hold an instrument's feature row after an entry, as the running daemon had it: little-endian float64, in the order of the schema."""

    instrument: int
    schema_hash: str
    feature_row: bytes


class TrainingNote(msgspec.Struct, frozen=True, kw_only=True):
    """Note what became of the daemon's training, or of a rollback: `act` is started, refused, failed, kept, promoted or rolled_back.

    `reason` says why it was begun, `model` is the hash that it is about (empty: none), `text` what was found.
    """

    act: str
    reason: str
    model: str = ""
    text: str = ""


class FillConflict(Exception):
    """Report a trade id that was journaled before with another content: the venue contradicts itself, or it is another account."""


class JournalRecord(msgspec.Struct, frozen=True):
    """Be one thing to journal: the entry during which it arose, its wall time, and the command, reply or checkpoint itself."""

    seq: int
    wall_ns: int
    item: Any


def record(seq: int, wall_ns: int, item: object) -> JournalRecord | None:
    """Return the record of a command, an event payload or a `Checkpoint`; None for what the journal does not keep (0.2 us)."""
    return JournalRecord(seq, wall_ns, item) if type(item) in RowWriter.HANDLERS else None


_metadata_encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="string")


class RowWriter:
    """Write rows of one run through the journal's connection, inside the caller's transaction."""

    def __init__(self, connection: apsw.Connection, run_id: str, instruments: Sequence[Instrument]) -> None:
        """Bind to a run; `instruments` in the order that the run's indices mean."""
        self._connection = connection
        self._run_id = run_id
        self._instruments = tuple(instruments)
        self._refusal_seen: dict[int, tuple[str, int]] = {}
        self._refusals_uncounted: dict[str, int] = {}
        self._equity_wall_ns: int | None = None
        self._peak: Decimal | None = None
        self._lasting_minute: int | None = None
        self._checkpoints = 0
        self._witnesses = 0

    def wants(self, entry: JournalRecord) -> bool:
        """Tell whether a record becomes a row now; a thinned refusal is counted all the same. Call it once per record."""
        if isinstance(entry.item, RecordRefusal):
            return self._wants_refusal(entry)
        if isinstance(entry.item, RecordEquity):
            return self._wants_equity(entry)
        return True

    def write(self, entry: JournalRecord) -> None:
        """Write a record's rows.

        Raises:
            apsw.Error, FillConflict, TypeError, ValueError, OverflowError: it cannot be written; roll the transaction back.
        """
        self.HANDLERS[type(entry.item)](self, entry)

    def write_refusal_counts(self) -> None:
        """Write the refusals counted since the last call."""
        for code, count in self._refusals_uncounted.items():
            self._connection.execute(
                "INSERT INTO refusal_counts VALUES (?, ?, ?) ON CONFLICT (run_id, code) DO UPDATE SET count = count + excluded.count",
                (self._run_id, code, count),
            )
        self._refusals_uncounted.clear()

    def _wants_refusal(self, entry: JournalRecord) -> bool:
        refusal = entry.item.refusal
        code = str(refusal.code)
        self._refusals_uncounted[code] = self._refusals_uncounted.get(code, 0) + 1
        seen = self._refusal_seen.get(refusal.instrument)
        if seen is not None and seen[0] == code and 0 <= entry.wall_ns - seen[1] < REFUSAL_EVERY_NS:
            return False
        self._refusal_seen[refusal.instrument] = (code, entry.wall_ns)
        return True

    def _wants_equity(self, entry: JournalRecord) -> bool:
        last = self._equity_wall_ns
        if last is not None and entry.item.peak == self._peak and 0 <= entry.wall_ns - last < EQUITY_EVERY_NS:
            return False
        self._equity_wall_ns = entry.wall_ns
        self._peak = entry.item.peak
        return True

    def _name(self, index: int) -> str:
        return self._instruments[index].name if index >= 0 else ""

    def _stamped(self, table: str, columns: str, entry: JournalRecord, *values: Any) -> None:
        marks = ", ".join("?" * (len(values) + 3))
        self._connection.execute(
            f"INSERT INTO {table} (run_id, seq, wall_ns, {columns}) VALUES ({marks})",  # noqa: S608
            (self._run_id, entry.seq, entry.wall_ns, *values),
        )

    def _submit(self, entry: JournalRecord) -> None:
        intent = entry.item.approved.intent
        instrument = self._instruments[intent.instrument]
        columns = "client_order_id, instrument, tick_size, lot_size, lots, encoded"
        grid = (instrument.name, str(instrument.tick_size), str(instrument.lot_size))
        self._stamped("intents", columns, entry, intent.client_order_id, *grid, intent.lots, msgspec.msgpack.encode(intent))

    def _event(self, entry: JournalRecord, detail: str) -> None:
        item = entry.item
        self._stamped("order_events", "client_order_id, kind, detail", entry, item.client_order_id, type(item).__name__, detail)

    def _noted(self, entry: JournalRecord) -> None:
        self._event(entry, entry.item.reason)

    def _accepted(self, entry: JournalRecord) -> None:
        self._event(entry, entry.item.venue_order_id)
        self._connection.execute(
            "UPDATE intents SET venue_order_id = ? WHERE client_order_id = ?", (entry.item.venue_order_id, entry.item.client_order_id)
        )

    def _closed(self, entry: JournalRecord) -> None:
        self._event(entry, entry.item.reason)
        self._connection.execute(
            "UPDATE intents SET closed = ? WHERE client_order_id = ? AND closed IS NULL",
            (_CLOSED_AS[type(entry.item)], entry.item.client_order_id),
        )

    def _filled(self, entry: JournalRecord) -> None:
        fill = entry.item.fill
        instrument = self._instruments[fill.instrument]
        if self._is_journaled(instrument.name, fill):
            return
        columns = (
            "ts_event_ns, instrument, base, quote, trade_id, client_order_id, side, price, quantity, price_ticks, lots, "
            "tick_size, lot_size, fee, fee_asset, liquidity"
        )
        self._stamped(
            "fills",
            columns,
            entry,
            fill.ts_event_ns,
            instrument.name,
            instrument.base,
            instrument.quote,
            fill.trade_id,
            fill.client_order_id,
            fill.side.value,
            str(instrument.price(fill.price_ticks)),
            str(instrument.quantity(fill.lots)),
            fill.price_ticks,
            fill.lots,
            str(instrument.tick_size),
            str(instrument.lot_size),
            str(fill.fee),
            fill.fee_asset,
            fill.liquidity.value,
        )
        self._stamped("order_events", "client_order_id, kind, detail", entry, fill.client_order_id, "OrderFilled", fill.trade_id)
        self._connection.execute(
            "UPDATE intents SET filled_lots = filled_lots + ?1, "
            "closed = CASE WHEN closed IS NULL AND filled_lots + ?1 >= lots THEN 'filled' ELSE closed END WHERE client_order_id = ?2",
            (fill.lots, fill.client_order_id),
        )

    def _is_journaled(self, name: str, fill: Any) -> bool:
        found = self._connection.execute(
            "SELECT client_order_id, side, price_ticks, lots FROM fills WHERE instrument = ? AND trade_id = ?", (name, fill.trade_id)
        ).fetchone()
        if found is not None and found != (fill.client_order_id, fill.side.value, fill.price_ticks, fill.lots):
            raise FillConflict(f"{name} trade {fill.trade_id} is in the journal with another content: {found}")
        return found is not None

    def _signal(self, entry: JournalRecord) -> None:
        signal = entry.item.signal
        numbers = (signal.price, signal.quantity, signal.confidence, signal.stop_loss, signal.take_profit)
        self._stamped(
            "signals",
            "signal_id, instrument, signal_type, price, quantity, confidence, stop_loss, take_profit, metadata",
            entry,
            signal.signal_id,
            self._name(entry.item.instrument),
            signal.signal_type.value,
            *(float(number) for number in numbers),
            _metadata_encoder.encode(signal.metadata).decode(),
        )

    def _explanation(self, entry: JournalRecord) -> None:
        parts = msgspec.json.encode(entry.item.parts).decode()
        self._stamped("explanations", "signal_id, parts", entry, entry.item.signal_id, parts)

    def _witness(self, entry: JournalRecord) -> None:
        item = entry.item
        self._connection.execute(
            "INSERT OR REPLACE INTO witnesses VALUES (?, ?, ?, ?, ?, ?)",
            (self._run_id, entry.seq, entry.wall_ns, self._name(item.instrument), item.schema_hash, item.feature_row),
        )
        self._witnesses += 1
        if self._witnesses % WITNESSES_PER_PRUNE == 0:
            self._connection.execute("DELETE FROM witnesses WHERE wall_ns < ?", (entry.wall_ns - WITNESS_HOLD_NS,))

    def _training(self, entry: JournalRecord) -> None:
        item = entry.item
        self._stamped("trainings", "act, reason, model, text", entry, item.act, item.reason, item.model, item.text)

    def _refusal(self, entry: JournalRecord) -> None:
        refusal = entry.item.refusal
        numbers = (None if number is None else float(number) for number in (refusal.value, refusal.limit))
        columns = "instrument, code, detail, value, bound"
        self._stamped("refusals", columns, entry, self._name(refusal.instrument), str(refusal.code), refusal.detail, *numbers)

    def _equity(self, entry: JournalRecord) -> None:
        self._stamped("equity", "equity, peak", entry, str(entry.item.equity), str(entry.item.peak))
        self._connection.execute("UPDATE account SET peak = ?", (str(entry.item.peak),))

    def _day(self, entry: JournalRecord) -> None:
        self._connection.execute("UPDATE account SET day = ?, day_opening = ?", (entry.item.day, str(entry.item.opening)))

    def _cash(self, entry: JournalRecord) -> None:
        item = entry.item
        if item.reference and self._connection.execute("SELECT 1 FROM cash WHERE reference = ?", (item.reference,)).fetchone():
            return
        values = (item.kind, str(item.amount), item.reason, item.reference, _text(item.peak), item.ts_event_ns)
        self._stamped("cash", "kind, amount, reason, reference, peak, ts_event_ns", entry, *values)
        self._connection.execute("UPDATE account SET peak = coalesce(?, peak)", (_text(item.peak),))

    def _halt(self, entry: JournalRecord) -> None:
        item = entry.item
        columns = "kind, reason, epoch, equity, old_peak, new_peak"
        peak = _text(item.peak)
        self._stamped("halts", columns, entry, "halt", item.reason, item.epoch, _text(item.equity), peak, peak)
        self._connection.execute(
            "UPDATE account SET halted = 1, halt_reason = ?, halt_epoch = ?, peak = coalesce(?, peak)", (item.reason, item.epoch, peak)
        )

    def _resume(self, entry: JournalRecord) -> None:
        item = entry.item
        columns = "kind, reason, epoch, equity, old_peak, new_peak"
        self._stamped("halts", columns, entry, "resume", item.reason, item.epoch, None, _text(item.old_peak), _text(item.new_peak))
        self._connection.execute(
            "UPDATE account SET halted = 0, halt_reason = '', halt_epoch = ?, peak = ?", (item.epoch, _text(item.new_peak))
        )
        self._peak = item.new_peak

    def _scale(self, entry: JournalRecord) -> None:
        self._stamped("scales", "factor, reason", entry, entry.item.factor, entry.item.reason)

    def _checkpoint(self, entry: JournalRecord) -> None:
        minute = entry.wall_ns // CHECKPOINT_LASTING_NS
        lasting = minute != self._lasting_minute
        self._lasting_minute = minute
        self._connection.execute(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?)",
            (self._run_id, entry.seq, entry.wall_ns, entry.item.digest, int(lasting)),
        )
        self._checkpoints += 1
        if self._checkpoints % CHECKPOINTS_PER_PRUNE == 0:
            oldest = entry.wall_ns - CHECKPOINT_HOLD_NS
            self._connection.execute(
                "DELETE FROM checkpoints WHERE run_id = ? AND wall_ns < ? AND lasting = 0 AND seq < ?", (self._run_id, oldest, entry.seq)
            )

    HANDLERS: ClassVar[dict[type, Callable[["RowWriter", JournalRecord], None]]] = {
        SubmitOrder: _submit,
        CancelOrder: _noted,
        OrderAccepted: _accepted,
        OrderRejected: _closed,
        OrderFilled: _filled,
        OrderCanceled: _closed,
        OrderExpired: _closed,
        SendRefused: _closed,
        CancelRejected: _noted,
        OutcomeUnknown: _noted,
        RecordSignal: _signal,
        Explanation: _explanation,
        Witness: _witness,
        TrainingNote: _training,
        RecordRefusal: _refusal,
        RecordEquity: _equity,
        RecordDay: _day,
        RecordCash: _cash,
        RecordHalt: _halt,
        RecordOrderClosed: _closed,
        RecordResume: _resume,
        RecordScale: _scale,
        Checkpoint: _checkpoint,
    }


_CLOSED_AS = {
    OrderRejected: "rejected",
    OrderCanceled: "canceled",
    OrderExpired: "expired",
    SendRefused: "denied",
    RecordOrderClosed: "missing",
}


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)

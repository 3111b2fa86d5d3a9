"""Queries over the journal, for recovery, the command line and reports. Nothing here writes.

Invariants: a reader of another process never makes the daemon wait and never changes the file; rows come out in the order they went in.
"""

import math
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import apsw
import msgspec

from smartmoney.adapters.migrations import APPLICATION_ID, SchemaTooNew, pending
from smartmoney.core.domain.entries import DayState, HaltState, ScaleState
from smartmoney.core.domain.instruments import Instrument

BUSY_MS_MAX = 2_000

_Row = TypeVar("_Row", bound=msgspec.Struct)


class JournalRefused(Exception):
    """Report a journal that this run must not use: what is wrong, and what to do about it."""

    exit_code = 78

    def __init__(self, problem: str, remedy: str) -> None:
        """Build the one-line message from both halves."""
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class RunHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Name a run and everything it stood on. `ended_wall_ns` is None while it runs, and for ever if it was killed."""

    run_id: str
    mode: str
    venue: str
    market: str
    build: str
    config_hash: str
    config: str
    model: str
    seed: int
    started_wall_ns: int
    ended_wall_ns: int | None = None
    last_seq: int | None = None
    digest: str | None = None


class FillRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one execution as the journal keeps it: exact decimals, no instrument needed to read it. `fee` is in `fee_asset`."""

    run_id: str
    seq: int
    wall_ns: int
    ts_event_ns: int
    instrument: str
    trade_id: str
    client_order_id: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    liquidity: str


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one order: its intent (msgpack), what is filled, and how it ended (None while it works)."""

    run_id: str
    seq: int
    wall_ns: int
    client_order_id: str
    instrument: str
    venue_order_id: str
    lots: int
    filled_lots: int
    closed: str | None
    encoded: bytes


class OrderEventRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one thing that happened to an order: the reply's type name, and its reason, venue order id or trade id."""

    run_id: str
    seq: int
    wall_ns: int
    client_order_id: str
    kind: str
    detail: str


class SignalRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one signal; numbers that were not finite are None. `metadata` is JSON."""

    signal_id: str
    run_id: str
    seq: int
    wall_ns: int
    instrument: str
    signal_type: str
    price: float | None
    quantity: float | None
    confidence: float | None
    stop_loss: float | None
    take_profit: float | None
    metadata: str


class RefusalRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one kept refusal (they are thinned; `RunSummary.refusals` has the full counts). `bound` is the limit it missed."""

    run_id: str
    seq: int
    wall_ns: int
    instrument: str
    code: str
    detail: str
    value: float | None
    bound: float | None


class EquityRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one point of the equity curve, in quote currency."""

    run_id: str
    seq: int
    wall_ns: int
    equity: Decimal
    peak: Decimal


class CashRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be money that moved without a trade (`kind` is transfer or funding), in quote currency, and the peak after it."""

    run_id: str
    seq: int
    wall_ns: int
    ts_event_ns: int
    kind: str
    amount: Decimal
    reason: str
    reference: str
    peak: Decimal | None


class HaltRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one halt or resume (`kind`), with the peaks before and after it."""

    run_id: str
    seq: int
    wall_ns: int
    kind: str
    reason: str
    epoch: int
    equity: Decimal | None
    old_peak: Decimal | None
    new_peak: Decimal | None


class CheckpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be the digest after one entry of a run."""

    run_id: str
    seq: int
    wall_ns: int
    digest: str


class WitnessRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be an instrument's feature row after one entry of a run: little-endian float64, in the order of the schema of that hash."""

    run_id: str
    seq: int
    wall_ns: int
    instrument: str
    schema_hash: str
    feature_row: bytes


class ScaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one change of what new entries are scaled by, see `core.domain.commands.RecordScale`."""

    run_id: str
    seq: int
    wall_ns: int
    factor: float
    reason: str


class TrainingRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one note of a training, see `journal_rows.TrainingNote`."""

    run_id: str
    seq: int
    wall_ns: int
    act: str
    reason: str
    model: str
    text: str


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Count what a run did, and say where it ended."""

    run: RunHeader
    orders: int
    fills: int
    signals: int
    refusals: dict[str, int]
    halts: int
    equity: Decimal | None
    peak: Decimal | None
    last_checkpoint: CheckpointRow | None


class JournalReader:
    """Ask a journal. `open` gives a read-only reader for another process; `Journal.reader` one over the writer's connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Read through an opened connection."""
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing journal read-only, also while a daemon writes it.

        Raises:
            JournalRefused: there is none, it is not a journal, or its schema is newer.
        """
        if not path.exists():
            raise JournalRefused(f"there is no journal at {path}", "run the daemon first, or name its --state-dir")
        connection: apsw.Connection | None = None
        try:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(BUSY_MS_MAX)
            _require_current(path, connection)
        except (apsw.Error, JournalRefused) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, JournalRefused):
                raise
            raise JournalRefused(f"{path} cannot be read: {error}", "check its rights, or restore it from a backup") from error
        return cls(connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file."""
        self.close()

    def owner(self) -> tuple[str, str]:
        """Return the mode and the account that the journal belongs to."""
        mode, account = self._connection.execute("SELECT mode, account FROM account").fetchone() or ("", "")
        return mode, account

    def runs(self, limit: int = 100) -> list[RunHeader]:
        """Return the newest runs, newest first."""
        return self._rows(RunHeader, "runs", "ORDER BY started_wall_ns DESC, rowid DESC LIMIT ?", limit)

    def run(self, run_id: str) -> RunHeader | None:
        """Return the header of a run, None when the journal has no such run."""
        found = self._rows(RunHeader, "runs", "WHERE run_id = ?", run_id)
        return found[0] if found else None

    def last_run(self) -> RunHeader | None:
        """Return the header of the newest run, None when there was none."""
        found = self.runs(1)
        return found[0] if found else None

    def instruments(self) -> list[Instrument]:
        """Return every instrument that a run had, as it was last, by name."""
        rows = self._connection.execute("SELECT encoded FROM instruments ORDER BY name")
        return [msgspec.msgpack.decode(encoded, type=Instrument) for (encoded,) in rows]

    def halt_state(self) -> HaltState:
        """Return the kill switch as it was last journaled."""
        row = self._connection.execute("SELECT halted, halt_reason, halt_epoch, peak FROM account").fetchone()
        if row is None:
            return HaltState()
        return HaltState(halted=bool(row[0]), reason=row[1], epoch=row[2], peak=None if row[3] is None else Decimal(row[3]))

    def day_state(self) -> DayState:
        """Return the day, and the equity that its loss is measured from, as they were last journaled."""
        row = self._connection.execute("SELECT day, day_opening FROM account").fetchone()
        if row is None:
            return DayState()
        return DayState(day=row[0], opening=None if row[1] is None else Decimal(row[1]))

    def scale_state(self) -> ScaleState:
        """Return what new entries are scaled by, as it was last journaled."""
        found = self._rows(ScaleRow, "scales", "ORDER BY id DESC LIMIT 1")
        return ScaleState(factor=found[0].factor, reason=found[0].reason) if found else ScaleState()

    def scales(self, limit: int = 1000) -> list[ScaleRow]:
        """Return the newest changes of what new entries are scaled by, oldest first."""
        return self._rows(ScaleRow, "scales", "ORDER BY id DESC LIMIT ?", limit)[::-1]

    def scales_of(self, run_id: str) -> list[ScaleRow]:
        """Return a run's changes of what new entries are scaled by, oldest first."""
        return self._rows(ScaleRow, "scales", "WHERE run_id = ? ORDER BY id", run_id)

    def cash_movements(self) -> list[CashRow]:
        """Return all money that moved without a trade, oldest first."""
        return self._rows(CashRow, "cash", "ORDER BY id")

    def orders(self, run_id: str) -> list[OrderRow]:
        """Return a run's orders, in the order of their intents."""
        return self._rows(OrderRow, "intents", "WHERE run_id = ? ORDER BY seq, rowid", run_id)

    def order(self, client_order_id: str) -> OrderRow | None:
        """Return one order, None when the journal has no such order."""
        found = self._rows(OrderRow, "intents", "WHERE client_order_id = ?", client_order_id)
        return found[0] if found else None

    def order_events(self, client_order_id: str) -> list[OrderEventRow]:
        """Return what happened to an order."""
        return self._rows(OrderEventRow, "order_events", "WHERE client_order_id = ? ORDER BY id", client_order_id)

    def acknowledgements_ms(self, run_id: str | None = None) -> list[float]:
        """Return how long each order waited from its decision to the venue's acceptance, in ms, of a run or of all, in journal order."""
        of_run = "" if run_id is None else " AND intents.run_id = ?"
        rows = self._connection.execute(
            "SELECT order_events.wall_ns - intents.wall_ns FROM order_events JOIN intents USING (client_order_id)"  # noqa: S608
            f" WHERE order_events.kind = 'OrderAccepted'{of_run} ORDER BY order_events.id",
            () if run_id is None else (run_id,),
        )
        return [max(row[0], 0) / 1e6 for row in rows]

    def request_waits_ms(self, run_id: str) -> list[float]:
        """Return how long each order and each cancel of a run waited for its answer, in ms, in order; NaN where it got none."""
        answered = "(SELECT min(e.wall_ns) FROM order_events e WHERE e.client_order_id = r.client_order_id AND e.kind IN"
        rows = self._connection.execute(
            f"SELECT r.seq, r.rowid, {answered} ('OrderAccepted', 'OrderRejected')) - r.wall_ns FROM intents r WHERE r.run_id = ?1"  # noqa: S608
            f" UNION ALL SELECT r.seq, 0, {answered} ('OrderCanceled', 'CancelRejected') AND e.id > r.id) - r.wall_ns"
            " FROM order_events r WHERE r.kind = 'CancelOrder' AND r.run_id = ?1 ORDER BY 1, 2",
            (run_id,),
        )
        return [math.nan if wait is None else max(wait, 0) / 1e6 for _, _, wait in rows]

    def fills(self, run_id: str | None = None) -> list[FillRow]:
        """Return the fills of a run, or of all runs, in journal order."""
        if run_id is None:
            return self._rows(FillRow, "fills", "ORDER BY id")
        return self._rows(FillRow, "fills", "WHERE run_id = ? ORDER BY id", run_id)

    def signals(self, run_id: str) -> list[SignalRow]:
        """Return a run's signals."""
        return self._rows(SignalRow, "signals", "WHERE run_id = ? ORDER BY seq", run_id)

    def signal(self, signal_id: str) -> SignalRow | None:
        """Return a signal, None when the journal has no such signal."""
        found = self._rows(SignalRow, "signals", "WHERE signal_id = ?", signal_id)
        return found[0] if found else None

    def explanation(self, signal_id: str) -> dict[str, float] | None:
        """Return what moved the forecast behind a signal, None when nothing was explained."""
        row = self._connection.execute("SELECT parts FROM explanations WHERE signal_id = ?", (signal_id,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=dict[str, float])

    def signal_ids(self, limit: int = 10_000) -> list[str]:
        """Return the ids of the newest signals, newest first."""
        return [row[0] for row in self._connection.execute("SELECT signal_id FROM signals ORDER BY wall_ns DESC LIMIT ?", (limit,))]

    def refusals(self, run_id: str) -> list[RefusalRow]:
        """Return a run's kept refusals."""
        return self._rows(RefusalRow, "refusals", "WHERE run_id = ? ORDER BY id", run_id)

    def refusal_counts(self, run_id: str) -> dict[str, int]:
        """Return how often each code refused in a run, thinned ones included (the last minute of a killed run may be missing)."""
        rows = self._connection.execute("SELECT code, count FROM refusal_counts WHERE run_id = ? ORDER BY code", (run_id,))
        return dict(rows)

    def equity(self, run_id: str) -> list[EquityRow]:
        """Return a run's equity curve."""
        return self._rows(EquityRow, "equity", "WHERE run_id = ? ORDER BY id", run_id)

    def halts(self) -> list[HaltRow]:
        """Return every halt and resume of the account, oldest first."""
        return self._rows(HaltRow, "halts", "ORDER BY id")

    def checkpoints(self, run_id: str) -> list[CheckpointRow]:
        """Return a run's digests: each second of its last hour, each minute before that."""
        return self._rows(CheckpointRow, "checkpoints", "WHERE run_id = ? ORDER BY seq", run_id)

    def last_checkpoint(self, run_id: str) -> CheckpointRow | None:
        """Return the digest after the last entry that is proven, None when there is none."""
        found = self._rows(CheckpointRow, "checkpoints", "WHERE run_id = ? ORDER BY seq DESC LIMIT 1", run_id)
        return found[0] if found else None

    def witnesses(self, run_id: str) -> list[WitnessRow]:
        """Return the feature rows that a run noted, oldest first; those of the last thirty days are kept."""
        return self._rows(WitnessRow, "witnesses", "WHERE run_id = ? ORDER BY seq, instrument", run_id)

    def newest_witnesses(self, instrument: str, schema_hash: str, venue: str, market: str, limit: int) -> list[WitnessRow]:
        """Return an instrument's newest feature rows of any run on a venue and market, oldest first."""
        tail = (
            "JOIN (SELECT run_id AS of_run FROM runs WHERE venue = ? AND market = ?) ON run_id = of_run "
            "WHERE instrument = ? AND schema_hash = ? ORDER BY wall_ns DESC LIMIT ?"
        )
        return self._rows(WitnessRow, "witnesses", tail, venue, market, instrument, schema_hash, limit)[::-1]

    def models(self) -> set[str]:
        """Return what the runs began with: hashes, and the prior's name."""
        return {model for (model,) in self._connection.execute("SELECT DISTINCT model FROM runs")}

    def trainings(self, limit: int = 1000) -> list[TrainingRow]:
        """Return the newest notes of trainings of any run, oldest first."""
        return self._rows(TrainingRow, "trainings", "ORDER BY id DESC LIMIT ?", limit)[::-1]

    def summary(self, run_id: str) -> RunSummary | None:
        """Return the counts of a run, None when the journal has no such run."""
        run = self.run(run_id)
        if run is None:
            return None
        last = self._rows(EquityRow, "equity", "WHERE run_id = ? ORDER BY id DESC LIMIT 1", run_id)
        return RunSummary(
            run=run,
            orders=self._count("intents", run_id),
            fills=self._count("fills", run_id),
            signals=self._count("signals", run_id),
            refusals=self.refusal_counts(run_id),
            halts=self._count("halts", run_id),
            equity=last[0].equity if last else None,
            peak=last[0].peak if last else None,
            last_checkpoint=self.last_checkpoint(run_id),
        )

    def _count(self, table: str, run_id: str) -> int:
        count: int = self._connection.execute(f"SELECT count(*) FROM {table} WHERE run_id = ?", (run_id,)).get  # noqa: S608
        return count

    def _rows(self, kind: type[_Row], table: str, tail: str, *bindings: Any) -> list[_Row]:
        names = kind.__struct_fields__
        rows = self._connection.execute(f"SELECT {', '.join(names)} FROM {table} {tail}", bindings)  # noqa: S608
        return [msgspec.convert(dict(zip(names, row, strict=True)), kind, strict=False) for row in rows]


def _require_current(path: Path, connection: apsw.Connection) -> None:
    if connection.pragma("application_id") != APPLICATION_ID:
        raise JournalRefused(f"{path} is not a journal of smartmoney", "name the daemon's --state-dir")
    try:
        missing = pending(connection)
    except SchemaTooNew as error:
        raise JournalRefused(f"{path} was written by a newer smartmoney", "install that version, or newer") from error
    if missing:
        raise JournalRefused(f"{path} was written by an older smartmoney", "start the daemon once: it migrates the file")

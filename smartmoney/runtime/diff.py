"""What differs between a recorded run and the same inbox today: with this build, or under other settings.

With this build alone, the run's journal is held against what a replay of its capture would journal, up to the last entry that both are
known to have, or the first that the capture lost: the feature rows that the daemon noted each minute, the rows of its tables, and the
chained digest of all that it decided and asked for, which knows of each refusal that the journal thinned. Under other settings the replies
that were captured belong to orders that need not exist any more; so both sides are then run on the captured feed against the paper venue
from a flat account, one under the settings that the run had, one under the new ones.

What drift scaled entries by was decided beside the loop, by the monitors of the model that decided, and captured as requests. They count on
the run's own side, and on the other where model and `drift:` are the same; else entries are whole there, and the difference is shown.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.journal_reader import CheckpointRow, OrderRow, WitnessRow
from smartmoney.adapters.shadow_journal import ShadowJournal
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import Command
from smartmoney.core.domain.entries import Entry, RunStarted, ScaleRequested, Tick
from smartmoney.core.domain.orders import OrderIntent
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.core.engine.stretch import Passed
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.backtest import begin_anew
from smartmoney.runtime.backtest_sources import captured_items, split_start
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.models import Models, drift_action
from smartmoney.runtime.offline import OfflineRun
from smartmoney.runtime.replay import NothingProven, ReplayRefused, kept_bundles
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.load import recorded_settings
from smartmoney.settings.models import Settings

Row = dict[str, Any]

TABLES = ("features", "scales", "signals", "refusals", "orders", "fills", "equity", "digests")
_UNKNOWN_SCALES = "how far drift would have scaled entries by another model, or under another drift:, nobody knows: they are whole today"
_OF_ONE_SIDE = ("run_id", "signal_id", "trade_id", "venue_order_id")
_MINUTE_NS = 60_000_000_000
_FEATURES_SHOWN = 8
_ONLY_DIGESTS = "all that is journaled agrees: what differs is a number of a refusal that was thinned, or how a command is written down"
_OUTCOMES = ("filled_lots", "closed", "encoded")
"""Of an order only what was asked for is compared; how it ended is told by the fills."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Be one difference: when, in which table, and both sides (None where one has nothing there); of features those that differ."""

    wall_ns: int
    table: str
    recorded: Row | None
    today: Row | None


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Count a table's rows: the recorded, today's, and those of either side that the other lacks."""

    recorded: int
    today: int
    different: int


class DiffReport(msgspec.Struct, frozen=True, kw_only=True):
    """Say what differs; `compared` is what stood against what, `notes` what limits it."""

    run_id: str
    compared: str
    identical: bool
    first_difference: Difference | None
    counts: Mapping[str, Count]
    notes: tuple[str, ...] = ()


class _Side(msgspec.Struct, frozen=True, kw_only=True):
    rows: dict[str, list[Row]]
    until: int
    notes: tuple[str, ...] = ()


def diff_build(layout: StateLayout, run_id: str, search: str | None = None) -> DiffReport:
    """Return in what this build would differ from a run; `search` is where the run's own strategy class is looked for first.

    Raises:
        ReplayRefused: there is no such run, or nothing that can be compared.
        OSError: its capture cannot be read.
    """
    start = _start_of(layout, run_id)
    with JournalReader.open(layout.journal) as journal:
        # The end first: a running daemon commits meanwhile, and what it adds then lies beyond.
        until = _journaled_until(journal, run_id)
        rows = _rows(journal, run_id, by_seq=True)
        noted = journal.witnesses(run_id)
        points = {point.seq: point for point in journal.checkpoints(run_id)}
    known = [one for one in noted if one.schema_hash == SCHEMA_HASH]
    rows["features"] = [_features(one.seq, one.wall_ns, one.instrument, one.feature_row) for one in known]
    rows["digests"] = [{"seq": point.seq, "wall_ns": point.wall_ns, "digest": point.digest} for point in points.values()]
    unread = len(noted) - len(known)
    notes = (f"{unread} feature rows are of another schema and cannot be compared",) if unread else ()
    recorded = _Side(rows=rows, until=until, notes=notes)
    what = "the run's journal, and a replay of its capture by this build"
    report = _report(run_id, what, recorded, _replayed(layout, start, search, _Stops(known, points)), "seq")
    if [table for table, count in report.counts.items() if count.different] != ["digests"]:
        return report
    return msgspec.structs.replace(report, notes=(*report.notes, _ONLY_DIGESTS))


def diff_settings(layout: StateLayout, run_id: str, settings: Settings) -> DiffReport:
    """Return in what a run would have differed under other settings.

    Raises:
        ReplayRefused: there is no such run, or nothing that can be compared.
        ConfigurationError: this build cannot use the settings that the run had.
        OSError: its capture cannot be read.
    """
    start = _start_of(layout, run_id)
    directory = None if settings.directory is None else Path(settings.directory)
    own = recorded_settings(encoded_settings(layout, run_id), directory=directory)
    models = Models(layout.models)
    recorded = _tested(layout, start, own, directory, models, is_scaled=True)
    changed = msgspec.structs.replace(start, parameters=encode_parameters(engine_parameters(settings)), model=models.choose(settings))
    is_scaled = (settings.drift, drift_action(settings), changed.model) == (own.drift, drift_action(own), start.model)
    today = _tested(layout, changed, settings, directory, models, is_scaled=is_scaled)
    if recorded.rows["scales"] and not is_scaled and drift_action(settings) == "shrink":
        today = msgspec.structs.replace(today, notes=(*today.notes, _UNKNOWN_SCALES))
    return _report(run_id, "the captured feed under the run's own settings, and under these", recorded, today, "wall_ns")


def encoded_settings(layout: StateLayout, run_id: str) -> str:
    """Return the settings that a run journaled, as JSON.

    Raises:
        ReplayRefused: there is no such run.
    """
    with JournalReader.open(layout.journal) as journal:
        header = journal.run(run_id)
    if header is None:
        raise ReplayRefused(f"no run {run_id!r} in {layout.journal}")
    return header.config


def _start_of(layout: StateLayout, run_id: str) -> RunStarted:
    try:
        start, _ = split_start(read_capture(layout.capture(run_id)))
    except CaptureDamaged as damage:
        raise ReplayRefused(f"run {run_id!r} cannot be compared: {damage}") from None
    if start is None:
        raise ReplayRefused(f"the capture of run {run_id!r} does not begin with its start: retention has taken its first segment")
    return start


def _journaled_until(journal: JournalReader, run_id: str) -> int:
    """Return the last entry that a run's journal is known to have: of its end, or of its last checkpoint."""
    header, last = journal.run(run_id), journal.last_checkpoint(run_id)
    if header is None:
        raise ReplayRefused(f"no run {run_id!r} in the journal")
    until = header.last_seq if header.last_seq is not None else 0 if last is None else last.seq
    if until <= 0:
        raise NothingProven(f"run {run_id!r} ended before its first checkpoint: there is nothing to compare with")
    return until


class _Stops:
    """Note in a replay what the run noted beside its tables, after the same entries."""

    def __init__(self, noted: Sequence[WitnessRow], points: Mapping[int, CheckpointRow]) -> None:
        self._noted: dict[int, list[WitnessRow]] = {}
        for one in noted:
            self._noted.setdefault(one.seq, []).append(one)
        self._points = points
        self.features: list[Row] = []
        self.digests: list[Row] = []

    def after(self, seq: int, engine: Engine) -> None:
        """Look at the engine after an entry."""
        for one in self._noted.get(seq, ()):
            index = [instrument.name for instrument in engine.market.instruments].index(one.instrument)
            row = _row_of(engine, index)
            # What is the same is kept once: a run of some weeks has a hundred thousand rows.
            self.features.append(_features(seq, one.wall_ns, one.instrument, one.feature_row if _same(row, one.feature_row) else row))
        point = self._points.get(seq)
        if point is not None:
            self.digests.append({"seq": seq, "wall_ns": point.wall_ns, "digest": engine.digest})


def _row_of(engine: Engine, index: int) -> bytes:
    row = np.empty(len(FEATURES))
    read_row(engine.market.states, index, 0, row)
    return row.astype("<f8").tobytes()


def _features(seq: int, wall_ns: int, instrument: str, row: bytes) -> Row:
    return {"seq": seq, "wall_ns": wall_ns, "instrument": instrument, "row": row}


def _same(row: bytes, other: bytes) -> bool:
    """Tell whether two rows hold the same values, however an unknown one is written."""
    return row == other or bool(np.array_equal(np.frombuffer(row, "<f8"), np.frombuffer(other, "<f8"), equal_nan=True))


def _replayed(layout: StateLayout, start: RunStarted, search: str | None, stops: _Stops) -> _Side:
    shadow = ShadowJournal(start.run_id, start.instruments)
    engine = Engine(codec_of(start.venue), strategy_factory(search), kept_bundles(Models(layout.models)))
    entries = read_capture(layout.capture(start.run_id))
    last = 0
    notes: tuple[str, ...] = ()
    for entry in entries:
        if entries.gaps:
            notes = (f"the capture lost entries after {last}: what follows cannot be compared",)
            break
        last = entry.seq
        shadow.take(entry.seq, entry.ts_wall_ns, entry.payload)
        for command in engine.step(entry):
            shadow.take(entry.seq, entry.ts_wall_ns, command)
        stops.after(last, engine)
    shadow.close()
    rows = {**_rows(shadow.reader, start.run_id, by_seq=True), "features": stops.features, "digests": stops.digests}
    return _Side(rows=rows, until=last, notes=notes)


class _Shadowing:
    """Watch an offline run and journal it in memory."""

    def __init__(self, start: RunStarted, engine: Engine) -> None:
        self.shadow = ShadowJournal(start.run_id, start.instruments)
        self.first = self.last = 0
        self.features: list[Row] = []
        """What was known at the first tick of each minute, as a daemon notes it."""
        self._names = [instrument.name for instrument in start.instruments]
        self._engine = engine
        self._seq = 0
        self._minute = 0

    def append(self, entry: Entry) -> None:
        """See an entry."""
        self.last, self._seq = entry.ts_wall_ns, entry.seq
        self.first = self.first or entry.ts_wall_ns
        self.shadow.take(entry.seq, entry.ts_wall_ns, entry.payload)
        minute = entry.ts_wall_ns // _MINUTE_NS
        if type(entry.payload) is Tick and minute != self._minute:
            self._minute = minute
            for index, name in enumerate(self._names):
                found = _features(0, entry.ts_wall_ns, name, _row_of(self._engine, index))
                self.features.append({key: value for key, value in found.items() if key != "seq"})

    def look(self) -> None:
        """See nothing: frames are shown one by one."""

    def pass_over(self, passed: Passed) -> None:
        """See that entries went by, of which nothing is journaled."""

    def settled(self) -> None:
        """See what an entry came to."""

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command."""
        del mono_ns
        self.shadow.take(self._seq, self.last, command)


def _tested(
    layout: StateLayout, start: RunStarted, settings: Settings, directory: Path | None, models: Models, *, is_scaled: bool
) -> _Side:
    begun = msgspec.structs.replace(begin_anew(start, settings, start.parameters, start.model), run_id=start.run_id)
    if is_scaled:
        begun = msgspec.structs.replace(begun, scale=start.scale)
    engine = Engine(codec_of(start.venue), strategy_factory(None if directory is None else str(directory)), kept_bundles(models))
    watch = _Shadowing(start, engine)
    entries = read_capture(layout.capture(start.run_id))
    _, rest = split_start(entries)
    items = captured_items(rest, (ScaleRequested,) if is_scaled else ())
    if not OfflineRun(engine, begun, paper_parameters(settings), watcher=watch).run(items):
        raise ReplayRefused(f"the capture of run {start.run_id!r} holds no frames")
    watch.shadow.close()
    lost = sum(gap.count for gap in entries.gaps)
    notes = (f"{lost} captured entries are missing on both sides",) if lost else ()
    rows = {**_rows(watch.shadow.reader, start.run_id, by_seq=False), "features": watch.features}
    if is_scaled and start.scale.factor != 1.0:
        rows["scales"].insert(0, {"wall_ns": watch.first, "factor": start.scale.factor, "reason": start.scale.reason})
    return _Side(rows=rows, until=watch.last, notes=notes)


def _rows(journal: JournalReader, run_id: str, *, by_seq: bool) -> dict[str, list[Row]]:
    """Return what is compared of a run, by table. Entries are numbered alike only where both sides had the same replies."""
    left_out = {*_OF_ONE_SIDE, *_OUTCOMES, *(() if by_seq else ("seq",))}

    def plain(row: msgspec.Struct) -> Row:
        return {key: value for key, value in msgspec.structs.asdict(row).items() if key not in left_out}

    def order(row: OrderRow) -> Row:
        return {**plain(row), "intent": msgspec.to_builtins(msgspec.msgpack.decode(row.encoded, type=OrderIntent))}

    return {
        "scales": [plain(row) for row in journal.scales_of(run_id)],
        "signals": [plain(row) for row in journal.signals(run_id)],
        "refusals": [plain(row) for row in journal.refusals(run_id)],
        "orders": [order(row) for row in journal.orders(run_id)],
        "fills": [plain(row) for row in journal.fills(run_id)],
        "equity": [plain(row) for row in journal.equity(run_id)],
    }


def _report(run_id: str, compared: str, recorded: _Side, today: _Side, clock: str) -> DiffReport:
    until = min(recorded.until, today.until)
    counts: dict[str, Count] = {}
    first: Difference | None = None
    for table in (table for table in TABLES if table in recorded.rows):
        ours, theirs = ([row for row in side.rows[table] if row[clock] <= until] for side in (recorded, today))
        missing, extra = _beyond(ours, theirs), _beyond(theirs, ours)
        counts[table] = Count(recorded=len(ours), today=len(theirs), different=max(len(missing), len(extra)))
        if missing or extra:
            at = min(row["wall_ns"] for row in (*missing, *extra))
            if first is None or at < first.wall_ns:
                first = _difference(table, at, _at(missing, at), _at(extra, at))
    notes = tuple(dict.fromkeys((*recorded.notes, *today.notes)))
    return DiffReport(run_id=run_id, compared=compared, identical=first is None, first_difference=first, counts=counts, notes=notes)


def _difference(table: str, wall_ns: int, recorded: Row | None, today: Row | None) -> Difference:
    if table == "features":
        if recorded is not None and today is not None:
            recorded, today = _apart(recorded, today)
        else:
            recorded, today = (None if side is None else _without_row(side) for side in (recorded, today))
    return Difference(wall_ns=wall_ns, table=table, recorded=recorded, today=today)


def _apart(recorded: Row, today: Row) -> tuple[Row, Row]:
    """Return two rows of features with those of them that differ, by name."""
    ours, theirs = (np.frombuffer(side["row"], "<f8") for side in (recorded, today))
    places = np.flatnonzero((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))).tolist()
    more = {"further": len(places) - _FEATURES_SHOWN} if len(places) > _FEATURES_SHOWN else {}

    def told(values: NDArray[np.float64]) -> Row:
        return {FEATURES[place].name: _finite(float(values[place])) for place in places[:_FEATURES_SHOWN]}

    return {**_without_row(recorded), **told(ours), **more}, {**_without_row(today), **told(theirs), **more}


def _without_row(side: Row) -> Row:
    return {key: value for key, value in side.items() if key != "row"}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _beyond(rows: list[Row], others: list[Row]) -> list[Row]:
    """Return the rows that the others lack, in order."""
    spare = Counter(_key(row) for row in others)
    found = []
    for row in rows:
        key = _key(row)
        if spare[key] > 0:
            spare[key] -= 1
        else:
            found.append(row)
    return found


def _key(row: Row) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(row, order="deterministic"), digest_size=16).digest()


def _at(rows: list[Row], wall_ns: int) -> Row | None:
    return next((row for row in rows if row["wall_ns"] == wall_ns), None)

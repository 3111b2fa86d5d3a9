"""The journal's schema, as a list of named migrations, each applied in a transaction of its own.

Invariants: a migration is applied completely or not at all; applied ones are never edited, new ones are appended; the file's
`user_version` is the number of migrations applied, so that an older build sees at once that a file is too new for it.
"""

from collections.abc import Sequence

import apsw
import msgspec

APPLICATION_ID = 0x534D4A31
"""SQLite's `application_id` of a journal ("SMJ1"): tells it from any other SQLite file."""


class Migration(msgspec.Struct, frozen=True):
    """Name one change of the schema, and the statements that make it."""

    name: str
    sql: str


_FIRST = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    mode TEXT NOT NULL, account TEXT NOT NULL, initial_cash TEXT NOT NULL, created_wall_ns INTEGER NOT NULL,
    halted INTEGER NOT NULL DEFAULT 0, halt_reason TEXT NOT NULL DEFAULT '', halt_epoch INTEGER NOT NULL DEFAULT 0, peak TEXT
) STRICT;
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, mode TEXT NOT NULL, venue TEXT NOT NULL, market TEXT NOT NULL, build TEXT NOT NULL,
    config_hash TEXT NOT NULL, config TEXT NOT NULL, model TEXT NOT NULL, seed TEXT NOT NULL,
    started_wall_ns INTEGER NOT NULL, ended_wall_ns INTEGER, last_seq INTEGER, digest TEXT
) STRICT;
CREATE TABLE instruments (
    name TEXT PRIMARY KEY, encoded BLOB NOT NULL
) STRICT;
CREATE TABLE intents (
    client_order_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    instrument TEXT NOT NULL, tick_size TEXT NOT NULL, lot_size TEXT NOT NULL, lots INTEGER NOT NULL, encoded BLOB NOT NULL,
    venue_order_id TEXT NOT NULL DEFAULT '', filled_lots INTEGER NOT NULL DEFAULT 0, closed TEXT
) STRICT;
CREATE INDEX intents_by_run ON intents (run_id, seq);
CREATE INDEX intents_working ON intents (client_order_id) WHERE closed IS NULL;
CREATE TABLE order_events (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    client_order_id TEXT NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
CREATE INDEX order_events_by_order ON order_events (client_order_id);
CREATE INDEX order_events_by_run ON order_events (run_id);
CREATE TABLE fills (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, ts_event_ns INTEGER NOT NULL,
    instrument TEXT NOT NULL, base TEXT NOT NULL, quote TEXT NOT NULL, trade_id TEXT NOT NULL, client_order_id TEXT NOT NULL,
    side TEXT NOT NULL, price TEXT NOT NULL, quantity TEXT NOT NULL, price_ticks INTEGER NOT NULL, lots INTEGER NOT NULL,
    tick_size TEXT NOT NULL, lot_size TEXT NOT NULL, fee TEXT NOT NULL, fee_asset TEXT NOT NULL, liquidity TEXT NOT NULL,
    UNIQUE (instrument, trade_id)
) STRICT;
CREATE INDEX fills_by_run ON fills (run_id);
CREATE TABLE signals (
    signal_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, instrument TEXT NOT NULL,
    signal_type TEXT NOT NULL, price REAL, quantity REAL, confidence REAL, stop_loss REAL, take_profit REAL, metadata TEXT NOT NULL
) STRICT;
CREATE INDEX signals_by_run ON signals (run_id, seq);
CREATE TABLE refusals (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, instrument TEXT NOT NULL,
    code TEXT NOT NULL, detail TEXT NOT NULL, value REAL, bound REAL
) STRICT;
CREATE INDEX refusals_by_run ON refusals (run_id, seq);
CREATE TABLE refusal_counts (
    run_id TEXT NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (run_id, code)
) STRICT, WITHOUT ROWID;
CREATE TABLE equity (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, equity TEXT NOT NULL, peak TEXT NOT NULL
) STRICT;
CREATE INDEX equity_by_run ON equity (run_id, seq);
CREATE TABLE halts (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, kind TEXT NOT NULL,
    reason TEXT NOT NULL, epoch INTEGER NOT NULL, equity TEXT, old_peak TEXT, new_peak TEXT
) STRICT;
CREATE TABLE checkpoints (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, digest TEXT NOT NULL, lasting INTEGER NOT NULL,
    PRIMARY KEY (run_id, seq)
) STRICT, WITHOUT ROWID;
"""

_EXPLANATIONS = """
CREATE TABLE explanations (
    signal_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, parts TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

_CASH_AND_DAY = """
CREATE TABLE cash (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    kind TEXT NOT NULL, amount TEXT NOT NULL, reason TEXT NOT NULL, reference TEXT NOT NULL, peak TEXT
) STRICT;
CREATE UNIQUE INDEX cash_by_reference ON cash (reference) WHERE reference <> '';
ALTER TABLE account ADD COLUMN day INTEGER NOT NULL DEFAULT -1;
ALTER TABLE account ADD COLUMN day_opening TEXT;
"""

_WITNESSES = """
CREATE TABLE witnesses (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, instrument TEXT NOT NULL, schema_hash TEXT NOT NULL,
    feature_row BLOB NOT NULL, PRIMARY KEY (run_id, seq, instrument)
) STRICT, WITHOUT ROWID;
CREATE INDEX witnesses_by_time ON witnesses (wall_ns);
"""

_CASH_EVENT_TIME = "ALTER TABLE cash ADD COLUMN ts_event_ns INTEGER NOT NULL DEFAULT 0;"
_TRAININGS = """
CREATE TABLE trainings (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, act TEXT NOT NULL,
    reason TEXT NOT NULL, model TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
"""

_SCALES = """
CREATE TABLE scales (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL, factor REAL NOT NULL,
    reason TEXT NOT NULL
) STRICT;
"""

MIGRATIONS: tuple[Migration, ...] = (
    Migration("first_schema", _FIRST),
    Migration("explanations", _EXPLANATIONS),
    Migration("cash_and_day", _CASH_AND_DAY),
    Migration("witnesses", _WITNESSES),
    Migration("cash_event_time", _CASH_EVENT_TIME),
    Migration("trainings", _TRAININGS),
    Migration("scales", _SCALES),
)


class SchemaTooNew(Exception):
    """Report a file whose schema this build does not know."""


def applied(connection: apsw.Connection) -> list[str]:
    """Return the names of the migrations that a file has, in order; empty for a fresh file. Changes nothing."""
    if connection.pragma("user_version") == 0:
        return []
    return [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY id")]


def pending(connection: apsw.Connection, known: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """Return the migrations that a file still needs. Changes nothing.

    Raises:
        SchemaTooNew: the file has migrations that are not in `known`, or in another order.
    """
    names = applied(connection)
    if connection.pragma("user_version") > len(known) or names != [migration.name for migration in known[: len(names)]]:
        raise SchemaTooNew(f"schema {names[-1] if names else connection.pragma('user_version')!r} is not known here")
    return list(known[len(names) :])


def migrate(connection: apsw.Connection, wall_ns: int, known: Sequence[Migration] = MIGRATIONS) -> list[str]:
    """Apply what is pending, each migration in one transaction; return the names applied.

    Raises:
        SchemaTooNew: the file is newer than `known`.
        apsw.Error: a migration failed; it left no trace, and the ones before it stay.
    """
    done = []
    for migration in pending(connection, known):
        connection.execute("BEGIN IMMEDIATE")
        try:
            _apply(connection, migration, wall_ns)
            connection.execute("COMMIT")
        except apsw.Error:
            # A full disk has already rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        done.append(migration.name)
    return done


def _apply(connection: apsw.Connection, migration: Migration, wall_ns: int) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, applied_wall_ns INTEGER NOT NULL) STRICT"
    )
    connection.execute(migration.sql)
    connection.execute("INSERT INTO migrations (name, applied_wall_ns) VALUES (?, ?)", (migration.name, wall_ns))
    version = connection.execute("SELECT count(*) FROM migrations").fetchone()
    assert version is not None
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", version[0])

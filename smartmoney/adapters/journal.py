"""The journal: one SQLite file (WAL, `synchronous=FULL`) that holds every intent, event, fill and halt of one account in one mode.

What `commit` acknowledged survives `kill -9` and a power cut. A commit that failed is never tried again: after a failed fsync the kernel
may have marked the lost pages clean, so that a second try would lie (Rebello et al., ATC 2020). Such a journal takes nothing more; the
process must halt, end and recover from the file. One connection, used from one thread at a time.

Invariants: one transaction per batch; a file of another mode, another account or a newer schema is refused and not changed.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Self

import apsw
import msgspec

from smartmoney.adapters.journal_account import AccountState, load_account
from smartmoney.adapters.journal_reader import JournalReader, JournalRefused, RunHeader
from smartmoney.adapters.journal_rows import Checkpoint, FillConflict, JournalRecord, RowWriter, record
from smartmoney.adapters.migrations import APPLICATION_ID, SchemaTooNew, applied, migrate, pending
from smartmoney.core.domain.instruments import Instrument

__all__ = [
    "AccountState",
    "Checkpoint",
    "Journal",
    "JournalFailed",
    "JournalReader",
    "JournalRecord",
    "JournalRefused",
    "RunHeader",
    "record",
]

SQLITE_MIN = (3, 51, 3)
"""The first SQLite without the WAL-reset bug, which loses commits when two connections use a file (sqlite.org/wal.html)."""
WAL_BYTES_MAX = 64 << 20
BUSY_MS_MAX = 5_000
"""How long a commit waits for a reader's checkpoint, in ms."""

_WRITE_ERRORS = (apsw.Error, FillConflict, TypeError, ValueError, OverflowError)


class JournalFailed(Exception):
    """Report a commit that is not durable. The journal takes nothing more: halt, end the process, recover from the file."""

    exit_code = 1


class Journal:
    """Write one account's journal. Make one with `open`, name the run with `begin_run`, then `commit` batches."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        """Take over an opened, migrated connection; use `open`."""
        self.path = path
        self._connection = connection
        self._writer: RowWriter | None = None
        self._run_id = ""
        self._failure: str | None = None

    @classmethod
    def open(cls, path: Path, mode: str, account: str, *, initial_cash: Decimal, vfs: str | None = None) -> Self:
        """Open the journal, making it if need be; `initial_cash` (quote currency) is stored then, and ignored afterwards.

        Args:
            path: the file; its folder exists.
            mode: paper, rehearsal or live.
            account: venue, market and account in one string, such as `binance:spot:paper`.
            initial_cash: the money that a new account starts with.
            vfs: name of a registered SQLite VFS, for fault injection.

        Raises:
            JournalRefused: it is another mode's or account's, of a newer schema, damaged, or cannot be opened; nothing was changed.
            JournalFailed: it could not be made or migrated (disk full, for one).
        """
        installed = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        if installed < SQLITE_MIN:
            raise JournalRefused(f"SQLite {apsw.sqlite_lib_version()} can lose commits", "install the apsw wheel from PyPI")
        connection = _connect(path, vfs)
        try:
            _check(path, connection, mode, account)
        except BaseException:
            # Closing would copy the write-ahead log into the file: refused means not touched.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            _close(connection)
            raise
        try:
            _prepare(connection, mode, account, initial_cash)
        except apsw.Error as error:
            _close(connection)
            raise JournalFailed(f"{path} could not be made ready: {_say(error)}") from error
        return cls(path, connection)

    @property
    def initial_cash(self) -> Decimal:
        """Return the money that the account started with, in quote currency."""
        row = self._connection.execute("SELECT initial_cash FROM account").fetchone()
        assert row is not None
        return Decimal(row[0])

    @property
    def failure(self) -> str | None:
        """Return why the journal takes nothing more, None while it does."""
        return self._failure

    @property
    def reader(self) -> JournalReader:
        """Return the queries, over this connection: to be used from the same thread."""
        return JournalReader(self._connection)

    def begin_run(self, run: RunHeader, instruments: Sequence[Instrument]) -> None:
        """Journal the header of a run, durable at return; later batches belong to it, their instrument indices mean `instruments`.

        Raises:
            JournalFailed: it is not durable, or the run id was used before.
        """
        columns = ("run_id", "mode", "venue", "market", "build", "config_hash", "config", "model", "seed", "started_wall_ns")
        values = tuple(str(run.seed) if column == "seed" else getattr(run, column) for column in columns)
        with self._transaction():
            self._connection.execute(f"INSERT INTO runs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", values)  # noqa: S608
            for instrument in instruments:
                encoded = msgspec.msgpack.encode(instrument)
                self._connection.execute("INSERT OR REPLACE INTO instruments VALUES (?, ?)", (instrument.name, encoded))
        self._writer = RowWriter(self._connection, run.run_id, instruments)
        self._run_id = run.run_id

    def commit(self, batch: Sequence[JournalRecord]) -> int:
        """Write a batch in one transaction, durable at return; return how many of its records became rows.

        A batch of which nothing is kept (thinned refusals and equity) costs no transaction. About 0.3 ms plus the disk's fsync.

        Raises:
            JournalFailed: nothing of the batch may be counted on, now or later; it must not be tried again.
        """
        writer = self._writer
        if writer is None:
            raise JournalFailed("no run has begun")
        kept = [entry for entry in batch if writer.wants(entry)]
        if not kept:
            self._require_usable()
            return 0
        with self._transaction():
            for entry in kept:
                writer.write(entry)
            writer.write_refusal_counts()
        return len(kept)

    def end_run(self, wall_ns: int, last_seq: int, digest: str) -> None:
        """Journal the orderly end of the run. A run without one was killed: its last checkpoint says how far it is proven.

        Raises:
            JournalFailed: it is not durable.
        """
        with self._transaction():
            if self._writer is not None:
                self._writer.write_refusal_counts()
            values = (wall_ns, last_seq, digest, self._run_id)
            self._connection.execute("UPDATE runs SET ended_wall_ns = ?, last_seq = ?, digest = ? WHERE run_id = ?", values)
        self._writer = None

    def load_account(self, instruments: Sequence[Instrument], now_wall_ns: int | None = None) -> AccountState:
        """Return what the account holds and has working, as a fold of its fills over the initial cash; orders have their age.

        Raises:
            JournalRefused: a position or a working order cannot be expressed in these instruments.
        """
        return load_account(self._connection, self.initial_cash, instruments, time.time_ns() if now_wall_ns is None else now_wall_ns)

    def close(self) -> None:
        """Close the file; safe to call twice. A disk that fails here loses nothing: the next opening reads the write-ahead log."""
        _close(self._connection)

    def _require_usable(self) -> None:
        if self._failure is not None:
            raise JournalFailed(f"the journal failed before and takes nothing more: {self._failure}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run the body in one transaction; any error rolls it back and ends the journal's life as a writer."""
        self._require_usable()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._failure = _say(error)
            self._roll_back()
            if isinstance(error, _WRITE_ERRORS):
                raise JournalFailed(f"{self.path}: {self._failure}") from error
            raise

    def _roll_back(self) -> None:
        # A full disk has rolled back already. A rollback that fails too is left to the next opening, which recovers.
        if self._connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._connection.execute("ROLLBACK")


def _connect(path: Path, vfs: str | None) -> apsw.Connection:
    try:
        # Made here, because SQLite gives its side files the rights of the main one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
        connection.set_busy_timeout(BUSY_MS_MAX)
        if vfs is not None:
            # A VFS written in Python has no shared memory; WAL does without it when nobody else may open the file.
            connection.pragma("locking_mode", "exclusive")
    except (OSError, apsw.Error) as error:
        raise JournalRefused(f"{path} cannot be opened: {_say(error)}", "check the file's owner and rights, and the disk") from error
    return connection


def _check(path: Path, connection: apsw.Connection, mode: str, account: str) -> None:
    other_directory = "give this one its own --state-dir"
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
        if tables == 0:
            return
        if connection.pragma("application_id") != APPLICATION_ID:
            raise JournalRefused(f"{path} is not a journal of smartmoney", other_directory)
        pending(connection)
        if not applied(connection):
            raise JournalRefused(f"{path} has no schema", "restore it from a backup, or move it away")
        verdict = connection.pragma("quick_check")
        if verdict != "ok":
            raise JournalRefused(f"{path} is damaged: {str(verdict).splitlines()[0]}", "restore it from a backup, or move it away")
        found = connection.execute("SELECT mode, account FROM account").fetchone()
    except SchemaTooNew as error:
        raise JournalRefused(f"{path} was written by a newer smartmoney: {error}", "install that version, or newer") from error
    except apsw.NotADBError as error:
        raise JournalRefused(f"{path} is not a journal", "move it away, or restore it from a backup") from error
    except apsw.Error as error:
        raise JournalRefused(f"{path} cannot be read: {_say(error)}", "restore it from a backup, or move it away") from error
    if found is not None and found[0] != mode:
        raise JournalRefused(f"{path} belongs to mode {found[0]!r}, not {mode!r}", other_directory)
    if found is not None and found[1] != account:
        raise JournalRefused(f"{path} belongs to account {found[1]!r}, not {account!r}", other_directory)


def _prepare(connection: apsw.Connection, mode: str, account: str, initial_cash: Decimal) -> None:
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("journal_size_limit", WAL_BYTES_MAX)
    migrate(connection, time.time_ns())
    connection.execute(
        "INSERT OR IGNORE INTO account (id, mode, account, initial_cash, created_wall_ns) VALUES (1, ?, ?, ?, ?)",
        (mode, account, str(initial_cash), time.time_ns()),
    )


def _close(connection: apsw.Connection) -> None:
    with contextlib.suppress(apsw.Error):
        connection.close()


def _say(error: BaseException) -> str:
    if isinstance(error, apsw.FullError):
        return "the disk is full"
    return f"{type(error).__name__}: {error}"

"""The log of trials: one SQLite file to which every evaluation of a parameter set on a stretch of past is added, and nothing ever removed.

It is what makes a verdict honest: the number of trials that a good result is deflated by is the number of rows here for that past,
whichever study they belonged to. Invariants: a row is durable before it counts, is never changed or deleted (triggers), and an
evaluation that is logged is not logged again.
"""

import fcntl
import os
from pathlib import Path
from typing import Any, Self

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

APPLICATION_ID = 0x534D5431
"""SQLite's `application_id` of a trial log ("SMT1")."""
_SCHEMA_VERSION = 1
_BUSY_MS_MAX = 10_000
_SCHEMA = """
CREATE TABLE trials (
    id INTEGER PRIMARY KEY, past TEXT NOT NULL, evaluation TEXT NOT NULL, wall_ns INTEGER NOT NULL, study TEXT NOT NULL,
    build TEXT NOT NULL, period_s REAL NOT NULL, parameters TEXT NOT NULL, outcome TEXT NOT NULL,
    returns BLOB NOT NULL, fills BLOB NOT NULL,
    UNIQUE (past, evaluation)
) STRICT;
CREATE TRIGGER trials_are_not_changed BEFORE UPDATE ON trials BEGIN SELECT RAISE(ABORT, 'trials are only added'); END;
CREATE TRIGGER trials_are_not_removed BEFORE DELETE ON trials BEGIN SELECT RAISE(ABORT, 'trials are only added'); END;
"""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class TrialLogRefused(Exception):
    """Say why the log cannot be used, and what to do."""

    exit_code = 1


class Span(msgspec.Struct, frozen=True):
    """Say when a stretch of a past began, by our clock in ns, and how many marks it holds; `content` is what names what it holds."""

    content: str
    first_wall_ns: int
    marks: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Sum up an evaluation: net and drawdown as fractions, counts, the digest of what was done, and under which assumptions, in words."""

    net: float
    max_drawdown: float
    orders: int
    fills: int
    halted: bool
    digest: str
    assumptions: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    """The stretches, in the order in which their periods stand."""
    failure: str = ""
    """Why there was nothing to trade by, in words; empty where there was."""


class LoggedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Be one evaluation.

    `past` names the recordings by content, `evaluation` all that the outcome depends on; `returns` `(periods,)` are net fractions of
    equity a period of `period_s`, `fills` `(periods,)` how many there were; `parameters` is JSON.
    """

    past: str
    evaluation: str
    wall_ns: int
    study: str
    build: str
    period_s: float
    parameters: str
    outcome: Outcome
    returns: Floats
    fills: Integers


class TrialLog:
    """Read and add to a log. Make one with `open`; close it, or leave its `with` block."""

    def __init__(self, connection: apsw.Connection, lock_fd: int) -> None:
        """Take over an opened connection and the lock; use `open`."""
        self._connection = connection
        self._lock_fd = lock_fd

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the log, making it (and its folder, 0700) if need be; one process at a time has it.

        Raises:
            TrialLogRefused: another process has it, it is another kind of file, of a newer schema, damaged, or cannot be written.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_fd = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock_fd)
            raise TrialLogRefused(f"{path} is in use by another search; wait for it, or give this one its own --state-dir") from None
        try:
            connection = apsw.Connection(str(path))
            _prepare(connection, path)
        except apsw.Error as error:
            os.close(lock_fd)
            raise TrialLogRefused(f"{path} cannot be used ({error}); name another --state-dir, and keep the file") from None
        except TrialLogRefused:
            os.close(lock_fd)
            raise
        return cls(connection, lock_fd)

    def add(self, trial: LoggedTrial) -> bool:
        """Add an evaluation; return False, and change nothing, if it is there already.

        Raises:
            TrialLogRefused: it cannot be made durable.
        """
        row = (
            trial.past,
            trial.evaluation,
            trial.wall_ns,
            trial.study,
            trial.build,
            trial.period_s,
            trial.parameters,
            msgspec.json.encode(trial.outcome).decode(),
            trial.returns.astype("<f8").tobytes(),
            trial.fills.astype("<i8").tobytes(),
        )
        before = self._connection.total_changes()
        columns = "past, evaluation, wall_ns, study, build, period_s, parameters, outcome, returns, fills"
        try:
            self._connection.execute(
                f"INSERT INTO trials ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608  # constants
                row,
            )
        except apsw.Error as error:
            raise TrialLogRefused(f"a trial could not be logged ({error}); free space or mend the disk, then run it again") from None
        return self._connection.total_changes() > before

    def find(self, past: str, evaluation: str) -> LoggedTrial | None:
        """Return one evaluation; None if it was never made."""
        return next(iter(self._rows("past = ? AND evaluation = ?", (past, evaluation))), None)

    def of_past(self, past: str) -> list[LoggedTrial]:
        """Return every evaluation ever made on a past, in an order that does not depend on when."""
        return self._rows("past = ?", (past,))

    def close(self) -> None:
        """Close the file and release the lock."""
        self._connection.close()
        os.close(self._lock_fd)

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _rows(self, condition: str, bindings: tuple[str, ...]) -> list[LoggedTrial]:
        columns = "past, evaluation, wall_ns, study, build, period_s, parameters, outcome, returns, fills"
        found = self._connection.execute(f"SELECT {columns} FROM trials WHERE {condition} ORDER BY evaluation", bindings)  # noqa: S608
        return [_trial(row) for row in found]


def _trial(row: tuple[Any, ...]) -> LoggedTrial:
    past, evaluation, wall_ns, study, build, period_s, parameters, outcome, returns, fills = row
    return LoggedTrial(
        past=past,
        evaluation=evaluation,
        wall_ns=wall_ns,
        study=study,
        build=build,
        period_s=period_s,
        parameters=parameters,
        outcome=msgspec.json.decode(outcome, type=Outcome),
        returns=np.frombuffer(returns, "<f8").astype(np.float64),
        fills=np.frombuffer(fills, "<i8").astype(np.int64),
    )


def _prepare(connection: apsw.Connection, path: Path) -> None:
    connection.set_busy_timeout(_BUSY_MS_MAX)
    kind, version = connection.pragma("application_id"), connection.pragma("user_version")
    tables = list(connection.execute("SELECT name FROM sqlite_schema"))
    if kind != APPLICATION_ID and tables:
        raise TrialLogRefused(f"{path} is no log of trials; name another --state-dir")
    if version > _SCHEMA_VERSION:
        raise TrialLogRefused(f"{path} is of a newer build; use that one")
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    if not tables:
        with connection:
            connection.execute(_SCHEMA)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", _SCHEMA_VERSION)

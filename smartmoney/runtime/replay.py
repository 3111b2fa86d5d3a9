"""Replay a captured run through the same engine.

A run replays to the digest that it had, in any process. A run that was killed compares up to the last checkpoint of its journal; orders
that the capture leads to beyond it are listed.
"""

from collections.abc import Iterable

import msgspec

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.codecs import codec_of

ORDERS_LISTED_MAX = 100


class ReplayRefused(Exception):
    """The run cannot be replayed, and why."""

    exit_code = 1


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Say whether a replay agreed with its run: digests after entry `seq`, and what the capture holds beyond it."""

    is_identical: bool
    seq: int
    recorded: str
    replayed: str
    entries_beyond: int
    orders_beyond: tuple[str, ...]


def named_run(layout: StateLayout, name: str) -> str:
    """Return a run id; `last` is the newest run's.

    Raises:
        ReplayRefused: there is no run at all.
    """
    if name != "last":
        return name
    with JournalReader.open(layout.journal) as journal:
        newest = journal.last_run()
    if newest is None:
        raise ReplayRefused(f"{layout.journal} holds no run")
    return newest.run_id


def replay_run(layout: StateLayout, run_id: str) -> tuple[Engine, Comparison]:
    """Step a run's capture through a fresh engine; return it and the comparison with what the run recorded.

    Raises:
        ReplayRefused: there is no such run, or nothing was captured.
    """
    with JournalReader.open(layout.journal) as journal:
        header = journal.run(run_id)
        if header is None:
            known = ", ".join(run.run_id for run in journal.runs(limit=5)) or "none"
            raise ReplayRefused(f"no run {run_id!r} in {layout.journal}; the newest are: {known}")
        checkpoint = journal.last_checkpoint(run_id)
    if header.digest is not None and header.last_seq is not None:
        seq, recorded = header.last_seq, header.digest
    elif checkpoint is not None:
        seq, recorded = checkpoint.seq, checkpoint.digest
    else:
        raise ReplayRefused(f"run {run_id!r} was killed before its first checkpoint: there is nothing to compare with")
    engine = Engine(codec_of(header.venue), strategy_factory(None))
    replayed, beyond, last = "", 0, 0
    orders: list[str] = []
    for entry in read_capture(layout.capture(run_id)):
        commands = engine.step(entry)
        last = entry.seq
        if last == seq:
            replayed = engine.digest
        elif last > seq:
            beyond += 1
            orders += _orders(commands)
    if last == 0:
        raise ReplayRefused(f"the capture of run {run_id!r} is empty or gone: {layout.capture(run_id)}")
    return engine, Comparison(
        is_identical=replayed == recorded,
        seq=seq,
        recorded=recorded,
        replayed=replayed or f"the capture ends at entry {last}",
        entries_beyond=beyond,
        orders_beyond=tuple(orders[:ORDERS_LISTED_MAX]),
    )


def _orders(commands: Iterable[Command]) -> list[str]:
    return [command.approved.intent.client_order_id for command in commands if isinstance(command, SubmitOrder)]

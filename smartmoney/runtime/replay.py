"""Replay a captured run through the same engine.

A run replays to the digest that it had, in any process. A run that was killed compares up to the last checkpoint of its journal that its
capture reaches (a kill can cost the capture a second); orders that the capture leads to beyond it are listed.
"""

from collections.abc import Iterable

import msgspec

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.capture_segment import segments_of
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.journal_reader import RunHeader
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.engine.brain import BundleSource
from smartmoney.core.engine.engine import Engine
from smartmoney.core.models.bundle import Bundle
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.models import BundleRefused, ModelNotFound, Models

ORDERS_LISTED_MAX = 100
_DAY_NS = 25 * 3_600_000_000_000
"""A night's work may begin later than the night's before it did."""


class ReplayRefused(Exception):
    """The run cannot be replayed, and why."""

    exit_code = 1


class NothingProven(ReplayRefused):
    """The run ended before anything of it was proven: there is nothing that could differ."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Say whether a replay agreed with its run at every checkpoint that the capture reaches.

    `recorded` and `replayed` are the digests after entry `seq`, the last one compared; `differs_at` is the first checkpoint that differs.
    `is_whole`: the capture reaches the run's last checkpoint, without a gap. What the capture holds beyond `seq` is counted.
    """

    is_identical: bool
    seq: int
    recorded: str
    replayed: str
    differs_at: int | None
    is_whole: bool
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


def runs_of_last_day(layout: StateLayout) -> list[str]:
    """Return the newest run, the one before it that is still captured, and those that reach into the day that ends with the newest.

    Raises:
        ReplayRefused: there is no run at all.
    """
    with JournalReader.open(layout.journal) as journal:
        runs = journal.runs()
        reached = [_reached_ns(journal, one) for one in runs]
    if not runs:
        raise ReplayRefused(f"{layout.journal} holds no run")
    meant = [one.run_id for one, at in zip(runs, reached, strict=True) if at >= reached[0] - _DAY_NS]
    # The machine may have been down for days: the one before the newest in any case, as long as retention has left something of it.
    earlier = [one.run_id for one in runs[1:2] if one.run_id not in meant and segments_of(layout.capture(one.run_id))]
    return [*meant, *earlier]


def _reached_ns(journal: JournalReader, run: RunHeader) -> int:
    """Return the last wall time that a run is known to have seen, however it ended."""
    last = journal.last_checkpoint(run.run_id)
    return max(run.started_wall_ns, run.ended_wall_ns or 0, 0 if last is None else last.wall_ns)


def replay_run(layout: StateLayout, run_id: str, search: str | None = None) -> tuple[Engine, Comparison]:
    """Step a run's capture through a fresh engine; return it and the comparison with what the run recorded.

    Args:
        layout: the state directory.
        run_id: one of its runs.
        search: folder where the run's own strategy class is looked for first.

    Raises:
        ReplayRefused: there is no such run, or nothing was captured, or nothing can be compared.
    """
    recorded, venue = _recorded(layout, run_id)
    try:
        entries = read_capture(layout.capture(run_id))
    except CaptureDamaged as damage:
        raise ReplayRefused(f"run {run_id!r} cannot be replayed: {damage}") from None
    engine = Engine(codec_of(venue), strategy_factory(search), kept_bundles(Models(layout.models)))
    compared = (0, "", "")
    differs_at: int | None = None
    beyond = last = 0
    orders: list[str] = []
    for entry in entries:
        if entries.gaps:
            break  # entries were left out: what follows cannot be reproduced
        commands = engine.step(entry)
        last = entry.seq
        if last in recorded:
            compared = (last, recorded[last], engine.digest)
            if differs_at is None and compared[1] != compared[2]:
                differs_at = last
            beyond, orders = 0, []
        else:
            beyond += 1
            orders += _orders(commands)
    if last == 0:
        raise ReplayRefused(f"the capture of run {run_id!r} is empty: {layout.capture(run_id)}")
    if compared[0] == 0:
        raise ReplayRefused(f"the capture of run {run_id!r} ends at entry {last}, before the first checkpoint: nothing to compare with")
    return engine, Comparison(
        is_identical=differs_at is None,
        seq=compared[0],
        recorded=compared[1],
        replayed=compared[2],
        differs_at=differs_at,
        is_whole=compared[0] == max(recorded) and not entries.gaps,
        entries_beyond=beyond,
        orders_beyond=tuple(orders[:ORDERS_LISTED_MAX]),
    )


def kept_bundles(models: Models) -> BundleSource:
    """Return the source of the bundles that runs were decided by; it says what to do about one that is missing.

    Raises (when called): ReplayRefused: the bundle cannot be had.
    """

    def load(model: str) -> Bundle:
        try:
            return models.bundle(model)
        except (ModelNotFound, BundleRefused) as error:
            raise ReplayRefused(f"the run decided by the model {model}, which cannot be had: {error}; put it back to replay") from None

    return load


def _recorded(layout: StateLayout, run_id: str) -> tuple[dict[int, str], str]:
    """Return a run's digests by entry, and its venue."""
    with JournalReader.open(layout.journal) as journal:
        header = journal.run(run_id)
        if header is None:
            known = ", ".join(run.run_id for run in journal.runs(limit=5)) or "none"
            raise ReplayRefused(f"no run {run_id!r} in {layout.journal}; the newest are: {known}")
        recorded = {point.seq: point.digest for point in journal.checkpoints(run_id)}
    if header.digest is not None and header.last_seq is not None:
        recorded[header.last_seq] = header.digest
    if not recorded:
        raise ReplayRefused(f"run {run_id!r} was killed before its first checkpoint: there is nothing to compare with")
    return recorded, header.venue


def _orders(commands: Iterable[Command]) -> list[str]:
    return [command.approved.intent.client_order_id for command in commands if isinstance(command, SubmitOrder)]

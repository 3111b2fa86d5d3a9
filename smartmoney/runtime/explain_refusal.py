"""Why a decision came to nothing: the run's capture is replayed up to it, and what the model saw there is taken apart.

Invariants: nothing is computed while the daemon decides, and nothing is guessed: it is read from the engine at that entry.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import RecordRefusal
from smartmoney.core.domain.entries import Entry
from smartmoney.core.domain.signals import Refusal
from smartmoney.core.engine.engine import Engine
from smartmoney.core.models.explanation import explain
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.backtest_sources import split_start
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.explain import Known, known_at
from smartmoney.runtime.models import Models
from smartmoney.runtime.replay import kept_bundles, named_run

PARTS_TOLD = 20


class RefusalUnknown(Exception):
    """Report that there is no such refusal, or that it cannot be replayed, and what can."""

    exit_code = 1


class RefusalStory(msgspec.Struct, frozen=True, kw_only=True):
    """Explain one refusal.

    `ups` are the probabilities of up by horizon in s, spoken or not; `parts` what each column added to the lean of the horizon that spoke
    or leaned furthest (`horizon_s`), the largest first, above 0 for buying; empty without a trained model.
    """

    run_id: str
    wall_ns: int
    instrument: str
    code: str
    detail: str
    value: float | None
    limit: float | None
    model: str
    ups: Mapping[str, float]
    horizon_s: int | None
    parts: Mapping[str, float]
    known: Known


def explain_refusal(
    layout: StateLayout, run: str, symbol: str | None = None, at_ns: int | None = None, search: str | None = None
) -> RefusalStory:
    """Return why the first decision at or after a wall time came to nothing; without one, the newest refusal that the journal keeps.

    `symbol` names the instrument, where a run has several; `search` is where its own strategy class is looked for first.

    Raises:
        RefusalUnknown: no such decision was refused, or the capture does not reach it.
        OSError: the run's capture cannot be read.
    """
    run_id = named_run(layout, run)
    with JournalReader.open(layout.journal) as journal:
        rows = [row for row in journal.refusals(run_id) if symbol is None or row.instrument == symbol]
    if not rows:
        of = "" if symbol is None else f" of {symbol}"
        raise RefusalUnknown(f"the journal keeps no refusal{of} in run {run_id!r}; `smartmoney report {run_id}` counts them")
    name = symbol or rows[-1].instrument
    least_seq = rows[-1].seq if at_ns is None else 0
    try:
        entries = read_capture(layout.capture(run_id))
        start, _ = split_start(entries)
    except CaptureDamaged as damage:
        raise RefusalUnknown(f"what was known then cannot be replayed: {damage}") from None
    if start is None:
        raise RefusalUnknown(f"retention has removed the first segment of run {run_id!r}'s capture: it cannot be replayed")
    engine = Engine(codec_of(start.venue), strategy_factory(search), kept_bundles(Models(layout.models)))
    index = [instrument.name for instrument in start.instruments].index(name)
    for entry in entries:
        commands = engine.step(entry)
        if engine.brain is not None:
            engine.brain.desk.keeps_seen = True
        if entry.seq < least_seq or entry.ts_wall_ns < (at_ns or 0):
            continue
        for command in commands:
            if isinstance(command, RecordRefusal) and command.refusal.instrument == index:
                return _story(engine, run_id, entry, command.refusal)
    latest = datetime.fromtimestamp(rows[-1].wall_ns / 1e9, UTC)
    raise RefusalUnknown(
        f"no decision on {name} was refused there in run {run_id!r}; the newest refusal kept is of {latest:%Y-%m-%d %H:%M:%S}"
    )


def _story(engine: Engine, run_id: str, entry: Entry, refusal: Refusal) -> RefusalStory:
    index, desk = refusal.instrument, engine.brain.desk
    seen = desk.seen(index)
    parts = {} if seen is None else explain(seen)
    return RefusalStory(
        run_id=run_id,
        wall_ns=entry.ts_wall_ns,
        instrument=engine.market.instruments[index].name,
        code=refusal.code.value,
        detail=refusal.detail,
        value=refusal.value,
        limit=refusal.limit,
        model=engine.brain.model_name,
        ups={f"{horizon_s:g}": up for horizon_s, up in desk.ups(index)},
        horizon_s=None if seen is None else seen.horizon_s,
        parts=dict(list(parts.items())[:PARTS_TOLD]),
        known=known_at(engine, index, None),
    )

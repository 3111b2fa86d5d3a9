"""Why a decision came to nothing: the run's capture is replayed up to it, and what the model saw there is taken apart.

Invariants: nothing is computed while the daemon decides, and nothing is guessed: it is read from the engine at that entry, as long as the
capture has lost nothing before it, and where the journal keeps what was refused there this build refuses the same.
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
        RefusalUnknown: no such decision was refused, or the capture does not lead to it.
        CaptureDamaged, OSError: the run's capture cannot be read.
    """
    run_id = named_run(layout, run)
    with JournalReader.open(layout.journal) as journal:
        rows = [row for row in journal.refusals(run_id) if symbol is None or row.instrument == symbol]
    if not rows:
        of = "" if symbol is None else f" of {symbol}"
        raise RefusalUnknown(f"the journal keeps no refusal{of} in run {run_id!r}; `smartmoney report {run_id}` counts them")
    name, newest = symbol or rows[-1].instrument, rows[-1]
    codes: dict[int, set[str]] = {}
    for row in rows:
        if row.instrument == name:
            codes.setdefault(row.seq, set()).add(row.code)
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
        if entries.gaps:
            raise RefusalUnknown(f"run {run_id!r}'s capture lost entries before {entry.seq}: what was known from there on cannot be told")
        refused = _refused(engine, entry, index)
        if not (entry.seq == newest.seq if at_ns is None else refused and entry.ts_wall_ns >= at_ns):
            continue
        # What the journal keeps of that entry is what the run did there.
        found = [one for one in refused if entry.seq not in codes or one.code.value in codes[entry.seq]]
        if found:
            return _story(engine, run_id, entry, found[0])
        raise RefusalUnknown(
            f"this build does not refuse for {', '.join(sorted(codes[entry.seq]))} at entry {entry.seq} of run {run_id!r}, as the run did; "
            f"`smartmoney diff {run_id}` says what differs"
        )
    latest = datetime.fromtimestamp(newest.wall_ns / 1e9, UTC)
    raise RefusalUnknown(
        f"no decision on {name} was refused there in run {run_id!r}, as far as its capture goes; the newest refusal kept is of "
        f"{latest:%Y-%m-%d %H:%M:%S}"
    )


def _refused(engine: Engine, entry: Entry, index: int) -> list[Refusal]:
    """Step and return what was refused of an instrument."""
    commands = engine.step(entry)
    if engine.brain is not None:
        engine.brain.desk.keeps_seen = True
    return [one.refusal for one in commands if isinstance(one, RecordRefusal) and one.refusal.instrument == index]


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

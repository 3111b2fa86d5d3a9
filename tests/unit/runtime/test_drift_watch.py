"""The daemon's drift watch and the shadow that its notes are for: rows of a real run, noted, replayed, held against each other."""

import asyncio

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.journal import Checkpoint, record
from smartmoney.adapters.journal_reader import JournalReader
from smartmoney.adapters.journal_rows import Witness
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import RecordHalt
from smartmoney.core.domain.entries import (
    AccountReported,
    EntryKind,
    FlattenRequested,
    HaltRequested,
    ModelActivated,
    ScaleRequested,
    ScaleState,
    WarmUpEnded,
)
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH
from smartmoney.learning.drift_monitors import WINDOW_ROWS, DriftMonitors, reference_of
from smartmoney.learning.recorded import venue_of
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.drift_watch import REASON, ROW_EVERY_NS, DriftWatch, forecasts_of
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.models import drift_action
from smartmoney.runtime.replay import ReplayRefused, replay_run
from smartmoney.runtime.shadow import shadow_run
from smartmoney.runtime.storage import open_run
from smartmoney.settings.load import load_settings
from smartmoney.settings.models import Settings
from tests.waiting import PATIENCE_S

from .market import items_of, loop_of, started
from .market import record as record_market

S = 1_000_000_000


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    recordings, instruments = record_market(tmp_path_factory.mktemp("market"), 150, now().wall_ns)
    return list(items_of(recordings["BTCUSDT"])), instruments


def watch_of(engine, loop, bundle=None, reference=None, *, action="halt"):
    """Return a watch and what it posts and tells."""
    posted, told = [], []
    note = lambda kind: lambda why: posted.append((kind, why))  # noqa: E731
    watch = DriftWatch(
        engine,
        lambda _model: reference,
        lambda: loop.seq,
        posted.append,
        told.extend,
        action=action,
        retrain=note("train"),
        roll_back=note("roll back"),
    )
    return watch, posted, told


def lived(market, state, bundle):
    """Live a run that a watch looks at each second of its recording; return its layout and id."""
    items, instruments = market
    layout = StateLayout(state)
    with open_run(load_settings(), layout, instruments, bundle.hash) as run:
        engine, loop = loop_of(instruments, run.capture, run.started.run_id, bundle.hash, lambda _hash: bundle)
        watch, posted, _ = watch_of(engine, loop)
        stamp = items[0].stamp
        loop.process(Item(EntryKind.EVENT, stamp, payload=WarmUpEnded()))
        loop.process(Item(EntryKind.EVENT, stamp, payload=AccountReported(orders=(), positions=())))
        due_ns = 0
        for item in items:
            loop.process(item)
            if item.stamp.mono_ns >= due_ns:
                due_ns = item.stamp.mono_ns + S
                batch = watch.look(item.stamp)
                if batch is not None:
                    run.ledger.commit([batch])
        run.journal.commit([record(loop.seq, items[-1].stamp.wall_ns, Checkpoint(engine.digest))])
        run.journal.end_run(items[-1].stamp.wall_ns, loop.seq, engine.digest)
        assert posted == []
        return layout, run.started.run_id, engine.digest


def test_a_shadow_sees_the_features_that_the_daemon_had_and_notices_one_that_differs(market, tmp_path, bundles):
    small, other = bundles.small_bundle(), bundles.small_bundle(name="second")
    layout, run_id, _ = lived(market, tmp_path, small)
    found = shadow_run(layout, run_id, other, load_settings())
    assert found.minutes == 3  # at once, after one minute, after two
    assert found.hours == pytest.approx(3 / 60.0)
    assert found.parity == 0.0
    assert found.decisions > 0
    assert (found.market, found.instruments) == ("spot", ("BTC/USDT",))
    assert venue_of([layout.capture(run_id)]) == started(market[1]).venue
    with JournalReader.open(layout.journal) as journal:
        noted = journal.witnesses(run_id)
    row = np.frombuffer(noted[-1].feature_row, "<f8").copy()
    place = int(np.flatnonzero(np.isfinite(row))[0])
    row[place] += 1e-6 * max(1.0, abs(row[place]))
    import apsw

    apsw.Connection(str(layout.journal)).execute("UPDATE witnesses SET feature_row = ? WHERE seq = ?", (row.tobytes(), noted[-1].seq))
    tampered = shadow_run(layout, run_id, other, load_settings())
    assert tampered.parity == pytest.approx(1e-6, rel=1e-3)
    assert tampered.worst == FEATURES[place].name


def test_a_run_without_notes_is_no_shadow(market, tmp_path, bundles):
    with open_run(load_settings(), StateLayout(tmp_path), market[1]) as run:
        run_id = run.started.run_id
    for name, says in ((run_id, "noted no feature row"), ("unheard-of", "no run 'unheard-of'")):
        with pytest.raises(ReplayRefused, match=says):
            shadow_run(StateLayout(tmp_path), name, bundles.small_bundle(), load_settings())


def test_watching_changes_no_digest(market, tmp_path, bundles):
    small = bundles.small_bundle()
    _, run_id, watched = lived(market, tmp_path, small)
    items, instruments = market
    engine, loop = loop_of(instruments, _Nowhere(), run_id, small.hash, lambda _hash: small)
    for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
        loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
    for item in items:
        loop.process(item)
    assert engine.digest == watched


def _noted_day(state, instruments, rows):
    """Journal a day of feature rows as an earlier run's."""
    with open_run(load_settings(), StateLayout(state), instruments) as run:
        lines = [
            record(k + 1, (k + 1) * ROW_EVERY_NS, Witness(instrument=0, schema_hash=SCHEMA_HASH, feature_row=row.tobytes()))
            for k, row in enumerate(rows)
        ]
        run.journal.commit(lines)
        return run.started.venue


@pytest.mark.parametrize(
    ("shift", "action"), [(0.0, "halt"), (2.0, "halt"), (2.0, "flat"), (2.0, "rollback"), (2.0, "warn"), (2.0, "shrink")]
)
def test_features_that_left_their_training_lead_once_to_what_is_configured(market, tmp_path, bundles, shift, action):
    items, instruments = market
    small = bundles.small_bundle()
    rng = np.random.default_rng(1)
    training = rng.standard_normal((20_000, len(FEATURES))).astype(np.float32)
    reference = msgspec.structs.replace(reference_of(small, [training]), usual={})
    venue = _noted_day(tmp_path, instruments, rng.standard_normal((WINDOW_ROWS, len(FEATURES))) + shift)
    engine, loop = loop_of(instruments, _Nowhere(), model=small.hash, bundles=lambda _hash: small)
    watch, posted, told = watch_of(engine, loop, small, reference, action=action)
    with JournalReader.open(StateLayout(tmp_path).journal) as journal:
        watch.remember(journal, venue, "spot")
    for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
        loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
    for item in items[:400]:
        loop.process(item)
    for k in range(3):
        watch.look(Stamp(items[400].stamp.wall_ns, items[400].stamp.mono_ns + k * (ROW_EVERY_NS + 1)))
    if not shift:
        assert (posted, told, watch.status()["level"]) == ([], [], "ok")
        return
    asked, *entries = posted
    assert asked[0] == "train"
    assert asked[1].startswith(REASON)
    assert (told[0].kind, told[0].severity) == ("drift", "critical")
    if action in {"halt", "flat"}:
        assert [type(one) for one in entries] == [HaltRequested if action == "halt" else FlattenRequested]
        assert entries[0].reason.startswith(REASON)
        # Begun anew: a person's resume is not undone by the day that made the halt.
        assert watch.status()["level"] == "ok"
        return
    if action == "shrink":
        # Nobody steps these entries here, so that it asks each minute.
        assert {(type(one), one.factor) for one in entries} == {(ScaleRequested, 0.0)}
        assert entries[0].reason == asked[1]
    else:
        assert entries == ([("roll back", asked[1])] if action == "rollback" else [])
    assert len(told) == 1


def test_what_another_model_drifts_from_is_news(market, tmp_path, bundles):
    items, instruments = market
    small, other = bundles.small_bundle(), bundles.small_bundle(name="second")
    rng = np.random.default_rng(1)
    training = rng.standard_normal((20_000, len(FEATURES))).astype(np.float32)
    reference = msgspec.structs.replace(reference_of(small, [training]), usual={})
    venue = _noted_day(tmp_path, instruments, rng.standard_normal((WINDOW_ROWS, len(FEATURES))) + 2.0)
    by_hash = {small.hash: small, other.hash: other}
    engine, loop = loop_of(instruments, _Nowhere(), model=small.hash, bundles=by_hash.__getitem__)
    watch, posted, _ = watch_of(engine, loop, small, reference, action="rollback")
    with JournalReader.open(StateLayout(tmp_path).journal) as journal:
        watch.remember(journal, venue, "spot")
    for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
        loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
    for item in items[:400]:
        loop.process(item)
    at = items[400].stamp
    watch.look(at)
    loop.process(Item(EntryKind.EVENT, at, payload=ModelActivated(model=other.hash)))
    watch.look(Stamp(at.wall_ns, at.mono_ns + ROW_EVERY_NS + 1))
    assert [kind for kind, _ in posted] == ["train", "roll back"] * 2


def test_a_day_before_a_halt_for_drift_is_not_remembered(market, tmp_path, bundles):
    small = bundles.small_bundle()
    rows = np.ones((50, len(FEATURES)))
    venue = _noted_day(tmp_path, market[1], rows)
    with open_run(load_settings(), StateLayout(tmp_path), market[1]) as run:
        halt = RecordHalt(reason=f"{REASON}made up", epoch=1, equity=None, peak=None)
        run.journal.commit([record(1, 30 * ROW_EVERY_NS, halt)])
    engine, loop = loop_of(market[1], _Nowhere())
    watch, *_ = watch_of(engine, loop, small, reference_of(small, [np.ones((100, len(FEATURES)), np.float32)]))
    with JournalReader.open(StateLayout(tmp_path).journal) as journal:
        watch.remember(journal, venue, "spot")
        assert len(journal.newest_witnesses("BTC/USDT", SCHEMA_HASH, venue, "spot", 10)) == 10
    assert watch._monitors.rows == 20


def test_real_money_halts_for_drift_unless_told_otherwise():
    settings = Settings()
    live = settings.model_copy(update={"mode": "live"})
    assert (drift_action(settings), drift_action(live)) == ("warn", "halt")
    for action in ("halt", "flat", "rollback", "shrink", "warn"):
        for mode in (settings, live):
            assert drift_action(mode.model_copy(update={"drift": settings.drift.model_copy(update={"action": action})})) == action


def test_the_child_hands_its_notes_to_the_outbox(market, bundles):
    items, instruments = market
    engine, loop = loop_of(instruments, _Nowhere())
    watch, *_ = watch_of(engine, loop)
    for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
        loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
    for item in items[:200]:
        loop.process(item)

    async def once():
        outbox = asyncio.Queue()
        task = asyncio.create_task(watch.run(lambda: None, outbox))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await outbox.get()
        finally:
            task.cancel()

    batch = asyncio.run(once())
    assert isinstance(batch.lines[0].what, Witness)
    assert batch.commands == ()


def test_forecasts_are_watched_with_the_sets_that_they_were_judged_by(market, bundles):
    items, instruments = market
    small = bundles.small_bundle(conformal=0.45)
    engine, loop = loop_of(instruments, _Nowhere(), model=small.hash, bundles=lambda _hash: small)
    watch, *_ = watch_of(engine, loop, small)
    assert watch.status()["coverage"] is None
    for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
        loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
    assert forecasts_of(engine.brain.desk, 0) == []
    for item in items:
        loop.process(item)
    told = forecasts_of(engine.brain.desk, 0)
    assert [(one.horizon_s, one.q) for one in told] == [(60, 0.45), (900, 0.45)]
    assert {one.regime for one in told} == {engine.brain.desk.regime(0).label.value}
    monitors = DriftMonitors(None)
    monitors.said(0, [msgspec.structs.replace(told[0], up=0.9)], 100.0, 0)
    monitors.look({0: 101.0}, 60 * S)
    monitors.said(0, [msgspec.structs.replace(told[0], up=0.9)], 101.0, 60 * S)
    monitors.look({0: 100.0}, 120 * S)
    found = monitors.coverage()
    assert (found.judged, found.share, found.where) == (2, 0.5, f"60 s, {told[0].regime}")


class _Nowhere:
    def append(self, entry):
        return True


def test_what_drift_shrank_replays_is_journaled_goes_into_the_next_run_and_grows_when_it_is_not_configured(market, tmp_path, bundles):
    items, instruments = market
    layout, settings = StateLayout(tmp_path), load_settings()
    with open_run(settings, layout, instruments) as run:
        engine, loop = loop_of(instruments, run.capture, run.started.run_id)
        for payload in (WarmUpEnded(), AccountReported(orders=(), positions=()), ScaleRequested(factor=0.5, reason="drift: x")):
            loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
        for item in items[:200]:
            loop.process(item)
        run.ledger.commit([loop.take()])
        run.capture.ensure_durable(loop.seq)
        run.journal.end_run(1, loop.seq, engine.digest)
    _, compared = replay_run(layout, run.started.run_id)
    assert compared.is_identical
    with JournalReader.open(layout.journal) as journal:
        assert [(one.factor, one.reason) for one in journal.scales()] == [(0.5, "drift: x")]
    with open_run(settings, layout, instruments) as run:
        assert run.started.scale == ScaleState(factor=0.5, reason="drift: x")
    for action, said in (("warn", [ScaleRequested(factor=1.0, reason="drift.action is not shrink")]), ("shrink", [])):
        engine, loop = loop_of(instruments, _Nowhere())
        engine.brain.desk.scale = run.started.scale
        watch, posted, _ = watch_of(engine, loop, action=action)
        for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
            loop.process(Item(EntryKind.EVENT, items[0].stamp, payload=payload))
        for item in items[:200]:
            loop.process(item)
        watch.look(items[200].stamp)
        assert posted == said, "monitors that know nothing yet let nothing grow"

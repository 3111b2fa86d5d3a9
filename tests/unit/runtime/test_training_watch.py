"""When a daemon trains, what it does with what came of it, and how it goes back: a real engine, a real store, trainings of our making."""

import asyncio
import contextlib
import time

import pytest

from smartmoney.adapters.control import ControlError
from smartmoney.adapters.journal_reader import JournalReader, TrainingRow
from smartmoney.adapters.journal_rows import TrainingNote
from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import AccountReported, EntryKind, HaltRequested, ModelActivated, WarmUpEnded
from smartmoney.core.models.bundle import Gate
from smartmoney.runtime.clock import now
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.models import PRIOR_NAME, Models
from smartmoney.runtime.retraining_child import RetrainOutcome, RetrainProgress
from smartmoney.runtime.rollback import Rollback
from smartmoney.runtime.storage import open_run
from smartmoney.runtime.training_watch import HOUR_NS, Notes, TrainingWatch, captured_hours
from smartmoney.settings.load import load_settings
from smartmoney.settings.training import DAY_NS
from tests.captured_past import INSTRUMENT, capture_past
from tests.waiting import PATIENCE_S

from .market import loop_of

ON_DRIFT = {"training.on_drift": True, "training.promote": "validated"}


class Nowhere:
    def append(self, entry):
        return True


class Desk:
    """An engine that has started, and what a control desk does to it."""

    def __init__(self, state, overrides=ON_DRIFT):
        self.settings = load_settings(overrides=overrides)
        self.layout = StateLayout(state)
        self.models = Models(self.layout.models)
        self.store = self.models.store
        self.engine, self.loop = loop_of((INSTRUMENT,), Nowhere(), bundles=self.models.bundle)
        for payload in (WarmUpEnded(), AccountReported(orders=(), positions=())):
            self.post(payload)
        self.outbox, self.told = asyncio.Queue(), []
        self.notes = Notes(lambda: self.loop.seq, self.told.extend, self.outbox)
        self.refuses = False

    def post(self, payload):
        self.loop.process(Item(EntryKind.EVENT, now(), payload=payload))

    async def activate(self, model):
        if self.refuses:
            raise ControlError("no", "the model that decides is unchanged")
        self.post(ModelActivated(model=self.models.prepare(model, self.settings)))

    def watch(self, train, past=()):
        return TrainingWatch(self.settings, self.layout, self.engine, self.activate, self.notes, past, train)

    async def trained(self, train, why="drift: made up"):
        """Ask for a training and return its notes."""
        watch = self.watch(train)
        watch.ask(why)
        task = asyncio.create_task(watch.run(lambda: None))
        try:
            async with asyncio.timeout(PATIENCE_S):
                notes = [(await self.outbox.get()).lines[0].what for _ in range(2)]
        finally:
            task.cancel()
        return watch, notes


def giving(outcome, before=lambda: None, jobs=None):
    async def train(job, complaints, limit_s, on_progress):
        on_progress(RetrainProgress("folds", 1, 5))
        if jobs is not None:
            jobs.append((job, complaints, limit_s))
        before()
        return outcome

    return train


def passed(bundle):
    return RetrainOutcome(act="passed", text="better", model=bundle.hash, name=bundle.name)


def test_what_passed_decides_and_is_the_champion_and_everybody_is_told(tmp_path, bundles):
    small, jobs = bundles.small_bundle(), []
    desk = Desk(tmp_path)
    desk.store.add(small)
    _, (started, promoted) = asyncio.run(desk.trained(giving(passed(small), jobs=jobs)))
    assert (started.act, started.reason, started.model) == ("started", "drift: made up", "")
    assert (promoted.act, promoted.model) == ("promoted", small.hash)
    assert desk.engine.brain.model_hash == small.hash == desk.store.champion()
    assert desk.store.champions().log[-1].reason == "training: better"
    assert [(one.kind, one.severity) for one in desk.told] == [("training", "info")] * 2
    [(job, complaints, limit_s)] = jobs
    assert (job.champion, job.state, limit_s) == (PRIOR_NAME, str(tmp_path), 12 * 3600)
    assert complaints == tmp_path / "training.log"


@pytest.mark.parametrize("act", ["refused", "failed", "kept"])
def test_anything_else_changes_nothing(tmp_path, bundles, act):
    desk = Desk(tmp_path)
    _, (_, note) = asyncio.run(desk.trained(giving(RetrainOutcome(act=act, text="because"))))
    assert (note.act, note.text) == (act, "because")
    assert desk.engine.brain.model_hash == PRIOR_NAME
    assert desk.store.champion() is None
    assert desk.told[-1].severity == ("warning" if act == "failed" else "info")


def test_a_challenger_waits_when_somebody_else_was_promoted_meanwhile(tmp_path, bundles):
    small, other = bundles.small_bundle(), bundles.small_bundle(name="second")
    desk = Desk(tmp_path)
    for one in (small, other):
        desk.store.add(one)
    meanwhile = lambda: desk.post(ModelActivated(model=other.hash))  # noqa: E731
    _, (_, note) = asyncio.run(desk.trained(giving(passed(small), meanwhile)))
    assert note.act == "kept"
    assert "another model decides since" in note.text
    assert desk.engine.brain.model_hash == other.hash


def test_a_model_that_decides_and_could_not_be_noted_as_champion_is_told_to_decide(tmp_path, bundles, monkeypatch):
    def full(_store, _model, _reason, _wall_ns, _place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ModelStore, "promote", full)
    small = bundles.small_bundle()
    desk = Desk(tmp_path)
    desk.store.add(small)
    _, (_, note) = asyncio.run(desk.trained(giving(passed(small))))
    assert desk.engine.brain.model_hash == small.hash
    assert note.act == "promoted"
    assert "only until the next start" in note.text
    assert "No space left" in note.text


@pytest.mark.parametrize("fault", ["daemon", "gate", "missing"])
def test_a_promotion_that_is_refused_leaves_who_decides(tmp_path, bundles, fault):
    small = bundles.small_bundle()
    desk = Desk(tmp_path)
    desk.refuses = fault == "daemon"
    if fault != "missing":
        desk.store.add(small)
    if fault == "gate":
        gate = Gate(passed=False, venue="sim", market="spot", instruments=("BTC/USDT",), at="2026-01-01", text="no")
        desk.store.record_gate(small.hash, gate)
    _, (_, note) = asyncio.run(desk.trained(giving(passed(small))))
    assert note.act == "kept"
    assert "could not be promoted" in note.text
    assert desk.engine.brain.model_hash == PRIOR_NAME
    assert desk.store.champion() is None


def test_drift_trains_only_where_it_is_configured_and_not_within_an_hour_of_the_last(tmp_path):
    recent = [_row("started", now().wall_ns - HOUR_NS // 2)]
    old = [_row("started", now().wall_ns - 2 * HOUR_NS)]
    for overrides, past, is_asked in (
        (ON_DRIFT, (), True),
        (ON_DRIFT, old, True),
        (ON_DRIFT, recent, False),
        ({"training.every_h": 24, "capture.retention_days": 30}, (), False),
    ):
        watch = Desk(tmp_path, overrides).watch(giving(None), past)
        watch.ask("drift: made up")
        assert watch._asked.is_set() == is_asked


@pytest.mark.parametrize(
    ("every_h", "past", "after_h"),
    [
        (24, ["started", "promoted"], 24),
        (24, ["started", "kept"], 24),
        (24, ["started", "refused"], 24),
        (24, ["started", "failed"], 1),
        (24, ["started"], 1),
        (24, ["started", "promoted", "rolled_back"], 24),
        (0.5, ["started", "failed"], 0.5),
    ],
)
def test_the_next_one_is_due_by_schedule_or_sooner_where_the_last_broke_off(tmp_path, every_h, past, after_h):
    desk = Desk(tmp_path, {"training.every_h": every_h, "training.promote": "never"})
    watch = desk.watch(giving(None), [_row(act, 1_000 * HOUR_NS + place) for place, act in enumerate(past)])
    assert watch._due_ns() == 1_000 * HOUR_NS + after_h * HOUR_NS
    assert desk.watch(giving(None))._due_ns() == 0


def test_the_first_training_begins_when_there_is_enough_and_the_schedule_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("smartmoney.runtime.training_watch.LOOK_S", 0.01)
    terms = {"training.every_h": 0.000_001, "training.min_hours": 0.9, "training.promote": "never", "model": "prior"}
    desk = Desk(tmp_path, terms)
    capture_past(desk.layout, desk.settings, 3_600, time.time_ns())

    async def two():
        task = asyncio.create_task(desk.watch(giving(RetrainOutcome(act="refused", text="no"))).run(lambda: None))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return [(await desk.outbox.get()).lines[0].what for _ in range(4)]
        finally:
            task.cancel()

    assert [(one.act, one.reason) for one in asyncio.run(two())] == [
        ("started", "first"),
        ("refused", "first"),
        ("started", "schedule"),
        ("refused", "schedule"),
    ]


def test_without_training_in_the_configuration_nothing_runs(tmp_path):
    desk = Desk(tmp_path, {})
    watch = desk.watch(giving(None))
    asyncio.run(watch.run(lambda: None))
    assert watch.status() == {"state": "off"}
    waiting = Desk(tmp_path, ON_DRIFT).watch(giving(None)).status()
    assert (waiting["state"], waiting["next"], waiting["captured_h"]) == ("waiting", "on drift", "0.0 of 24")


def test_hours_are_counted_over_runs_and_no_second_twice(tmp_path):
    settings = load_settings(overrides={"training.every_h": 1, "training.promote": "never", "training.min_hours": 0.1})
    layout, end_ns = StateLayout(tmp_path), time.time_ns()
    assert captured_hours(layout.captures, end_ns, settings) == 0.0
    capture_past(layout, settings, 1800, end_ns - HOUR_NS)
    capture_past(layout, settings, 1800, end_ns)
    assert captured_hours(layout.captures, end_ns, settings) == pytest.approx(1.0, abs=0.01)
    capture_past(layout, settings, 1800, end_ns)
    assert captured_hours(layout.captures, end_ns, settings) == pytest.approx(1.0, abs=0.01)
    short = settings.model_copy(update={"training": settings.training.model_copy(update={"max_hours": 0.25})})
    assert captured_hours(layout.captures, end_ns, short) == pytest.approx(0.25, abs=0.01)
    # What a gate keeps untouched is not counted: six days later it is.
    gate = settings.model_copy(update={"training": settings.training.model_copy(update={"promote": "gate"})})
    assert captured_hours(layout.captures, end_ns, gate) == 0.0
    assert captured_hours(layout.captures, (end_ns // DAY_NS + 6) * DAY_NS, gate) == pytest.approx(1.0, abs=0.01)


def test_notes_are_journaled(tmp_path):
    with open_run(load_settings(), StateLayout(tmp_path), (INSTRUMENT,)) as run:
        desk = Desk(tmp_path)
        asyncio.run(desk.notes.note("promoted", "first", "better", "abc"))
        run.ledger.commit([desk.outbox.get_nowait()])
    with JournalReader.open(StateLayout(tmp_path).journal) as journal:
        [kept] = journal.trainings()
    assert (kept.act, kept.reason, kept.text, kept.model) == ("promoted", "first", "better", "abc")


def rolled_back(desk):
    inbox = Inbox()
    back = Rollback(desk.store, desk.engine, desk.activate, desk.notes, inbox)
    asyncio.run(back.roll_back("drift: made up"))
    return [item.payload for item in inbox.take(len(inbox))]


def test_drift_goes_back_once_to_the_champion_before(tmp_path, bundles):
    first, second = bundles.small_bundle(), bundles.small_bundle(name="second")
    desk = Desk(tmp_path)
    for one in (first, second):
        desk.store.add(one)
        desk.store.promote(one.hash, "made up", 1)
    desk.post(ModelActivated(model=second.hash))
    assert rolled_back(desk) == []
    assert desk.engine.brain.model_hash == first.hash == desk.store.champion()
    note = desk.outbox.get_nowait().lines[0].what
    assert note == TrainingNote(act="rolled_back", reason="drift: made up", model=first.hash, text=f"{first.name} decides again")
    [halt] = rolled_back(desk)
    assert isinstance(halt, HaltRequested)
    assert halt.reason.startswith("drift: made up; no rollback: ")
    assert "by a rollback itself" in halt.reason


@pytest.mark.parametrize(("case", "says"), [("alone", "no champion stood before"), ("other", "not the champion"), ("refused", "no; the")])
def test_where_there_is_no_way_back_the_daemon_halts(tmp_path, bundles, case, says):
    first, second = bundles.small_bundle(), bundles.small_bundle(name="second")
    desk = Desk(tmp_path)
    for one in (second,) if case == "alone" else (first, second):
        desk.store.add(one)
        desk.store.promote(one.hash, "made up", 1)
    if case != "other":
        desk.post(ModelActivated(model=second.hash))
    desk.refuses = case == "refused"
    before = desk.engine.brain.model_hash
    [halt] = rolled_back(desk)
    assert says in halt.reason
    assert desk.engine.brain.model_hash == before
    assert desk.store.champion() == second.hash


@pytest.mark.parametrize("is_on", [False, True])
def test_the_prior_decides_until_a_training_promoted_somebody_and_a_restart_keeps_that(tmp_path, bundles, is_on):
    small = bundles.small_bundle()
    models = Models(tmp_path)
    settings = load_settings(overrides={"model": "prior", **(ON_DRIFT if is_on else {})})
    assert models.choose(settings) == PRIOR_NAME
    ModelStore(tmp_path).add(small)
    ModelStore(tmp_path).promote(small.hash, "training", 1)
    assert models.choose(settings) == (small.hash if is_on else PRIOR_NAME)


def _row(act, wall_ns):
    return TrainingRow(run_id="r", seq=1, wall_ns=wall_ns, act=act, reason="first", model="", text="")


def test_a_watch_that_was_stopped_is_not_said_to_have_failed_and_one_that_failed_is(tmp_path):
    desk = Desk(tmp_path)

    async def stopped():
        watch = desk.watch(giving(RetrainOutcome(act="kept", text="because")))
        task = asyncio.create_task(watch.run(lambda: None))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return watch.status()["state"]

    async def failed():
        def breaks():
            raise RuntimeError("made up")

        watch = desk.watch(giving(None, before=breaks))
        watch.ask("drift: made up")
        with pytest.raises(RuntimeError):
            await watch.run(lambda: None)
        return watch.status()["state"]

    assert asyncio.run(stopped()) == "stopped"
    assert asyncio.run(failed()) == "ended by a fault: see the log"

"""The daemon's own training: when one is due, the process that does it, and what comes of it. Beside the loop, never on its way.

A challenger that proved itself decides by the entry that an operator's promotion makes, so that the run replays; what became of each
training is in the journal. Invariants: one training at a time; one that fails, is killed or refused leaves who decides as they were; the
next is never sooner than an hour after; where somebody else promoted a model meanwhile, the challenger waits for a person.
"""

import asyncio
import contextlib
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.capture_segment import last_wall_ns
from smartmoney.adapters.control import ControlError
from smartmoney.adapters.journal_reader import TrainingRow
from smartmoney.adapters.journal_rows import TrainingNote
from smartmoney.adapters.model_store import GateNotPassed, ModelStore, Place, check_gate
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import EntryKind
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.alert_queue import Alert
from smartmoney.runtime.clock import now
from smartmoney.runtime.loop import Batch, Line
from smartmoney.runtime.models import BundleRefused, ModelNotFound, place_of
from smartmoney.runtime.retraining_child import RetrainJob, RetrainOutcome, RetrainProgress, retrain_apart
from smartmoney.runtime.supervisor import Beat
from smartmoney.settings.models import Settings

log = structlog.get_logger("training")

LOOK_S = 5.0
LOOK_S_MAX = 900.0
AGAIN_NS = 3_600_000_000_000
"""After a training that could not be done, the next attempt is so much later, or when the schedule says."""
HOUR_NS = 3_600_000_000_000
LOG = "training.log"
_SEVERITY = {"failed": "warning", "rolled_back": "warning"}

Activate = Callable[[str], Awaitable[object]]
"""Makes another model decide and returns when it does; raises ControlError where it cannot."""

Train = Callable[[RetrainJob, Path, float, Callable[[RetrainProgress], object]], Awaitable[RetrainOutcome]]


class Notes:
    """Tell of trainings and rollbacks: journal, log and people."""

    def __init__(self, last_seq: Callable[[], int], tell: Callable[[Sequence[Alert]], object], outbox: "asyncio.Queue[Batch]") -> None:
        self._last_seq, self._tell, self._outbox = last_seq, tell, outbox

    async def note(self, act: str, reason: str, text: str, model: str = "") -> None:
        """Note one act; returns when the journal's queue has it."""
        at, seq = now(), self._last_seq()
        log.info("training", act=act, reason=reason, model=model[:12], text=text)
        words = f"{act}{f' {model[:12]}' if model else ''} ({reason}): {text}"
        self._tell([Alert(kind="training", severity=_SEVERITY.get(act, "info"), subject="training", text=words)])
        line = Line(seq, at.wall_ns, TrainingNote(act=act, reason=reason, model=model, text=text))
        await self._outbox.put(
            Batch(lines=(line,), commands=(), checkpoint=None, last_seq=seq, decided_mono_ns=at.mono_ns, has_orders=False)
        )


class TrainingWatch:
    """Train when it is time to. Without `training` in the configuration it does nothing."""

    def __init__(
        self,
        settings: Settings,
        layout: StateLayout,
        engine: Engine,
        activate: Activate,
        notes: Notes,
        past: Sequence[TrainingRow],
        train: Train = retrain_apart,
    ) -> None:
        """Take what the journal knows of earlier trainings as `past`, oldest first."""
        self._train_apart = train
        self._settings, self._terms, self._layout = settings, settings.training, layout
        self._engine, self._activate, self._notes = engine, activate, notes
        self._store = ModelStore(layout.models)
        self._asked = asyncio.Event()
        self._why_asked = ""
        self._started_ns = max((one.wall_ns for one in past if one.act == "started"), default=0)
        own = [one for one in past if one.act != "rolled_back"]
        self._last = own[-1].act if own else ""
        self._words = f"{own[-1].act}: {own[-1].text}" if own else ""
        self._hours = 0.0
        self._progress: RetrainProgress | None = None
        self._is_running = self._has_ended = self._is_stopped = False

    def ask(self, why: str) -> None:
        """Ask for a training at once, because of drift, say; within an hour of another one it is passed over."""
        if self._terms.on_drift and not self._is_running and now().wall_ns - self._started_ns >= AGAIN_NS:
            self._why_asked = why
            self._asked.set()

    def status(self) -> Mapping[str, object]:
        """Return how things are, for people."""
        if not self._terms.is_on:
            return {"state": "off"}
        if self._is_stopped:
            return {"state": "stopped", "last": self._words or None}
        if self._has_ended:
            return {"state": "ended by a fault: see the log", "last": self._words or None}
        told = self._progress
        if self._is_running:
            return {"state": "training", "part": "starting" if told is None else f"{told.what} {told.done} of {told.total}"}
        return {
            "state": "waiting",
            "captured_h": f"{self._hours:.1f} of {self._terms.min_hours:g}",
            "next": self._next_words(),
            "last": self._words or None,
        }

    async def run(self, beat: Beat) -> None:
        """Watch and train until cancelled, which ends the process that trains. A fault here ends training, not the daemon."""
        self._is_stopped = False
        try:
            while self._terms.is_on:
                beat()
                why = await self._due()
                self._is_running, self._progress = True, None
                await self._train(why)
                self._is_running = False
        except asyncio.CancelledError:
            self._is_running, self._is_stopped = False, True
            raise
        finally:
            self._has_ended = self._terms.is_on and not self._is_stopped

    async def _due(self) -> str:
        """Wait until a training is due and return why."""
        pause_s = LOOK_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._asked.wait()
            if self._asked.is_set():
                self._asked.clear()
                return self._why_asked
            if self._engine.is_warming or not self._engine.is_reconciled or not self._terms.every_h:
                continue
            at_ns = now().wall_ns
            self._hours = await asyncio.to_thread(captured_hours, self._layout.captures, at_ns, self._settings)
            missing_s = max(3600.0 * (self._terms.min_hours - self._hours), (self._due_ns() - at_ns) / 1e9)
            if missing_s <= 0.0:
                return "first" if not self._started_ns else "schedule"
            pause_s = min(max(missing_s, LOOK_S), LOOK_S_MAX)

    def _due_ns(self) -> int:
        every_ns = round(self._terms.every_h * HOUR_NS)
        # One that broke off, or never said what came of it, is tried again sooner.
        again_ns = min(every_ns, AGAIN_NS) if self._last in {"started", "failed", "short"} else every_ns
        return self._started_ns + again_ns if self._started_ns else 0

    def _next_words(self) -> str:
        if not self._terms.every_h:
            return "on drift"
        due = dt.datetime.fromtimestamp(self._due_ns() / 1e9, dt.UTC)
        return due.strftime("%Y-%m-%d %H:%M UTC") if self._started_ns else "when enough is captured"

    async def _train(self, why: str) -> None:
        self._started_ns, self._last = now().wall_ns, "started"
        champion = self._engine.brain.model_hash
        await self._notes.note("started", why, f"against {self._engine.brain.model_name}")
        settings = self._settings
        job = RetrainJob(
            state=str(self._layout.root),
            settings=settings.model_dump_json(),
            directory=settings.directory,
            champion=champion,
            now_wall_ns=self._started_ns,
            name=dt.datetime.fromtimestamp(self._started_ns / 1e9, dt.UTC).strftime("trained-%Y%m%d-%H%M%S"),
        )
        try:
            found = await self._train_apart(job, self._layout.root / LOG, self._terms.limit_h * 3600.0, self._note_progress)
        except OSError as error:
            found = RetrainOutcome(act="failed", text=f"the process could not be started: {error.strerror or error}")
        act, text = (found.act, found.text) if found.act != "passed" else await self._promote(found, champion)
        self._last, self._words = "short" if found.is_short else act, f"{act}: {text}"
        await self._notes.note(act, why, text, found.model)

    def _note_progress(self, told: RetrainProgress) -> None:
        self._progress = told

    async def _promote(self, found: RetrainOutcome, champion: str) -> tuple[str, str]:
        """Make a challenger decide; return what to note."""
        if self._engine.brain.model_hash != champion:
            return "kept", f"another model decides since it was begun, and it was judged against {champion[:12]}; {found.text}"
        try:
            await promote(self._store, self._activate, found.model, f"training: {found.text}", place_of(self._settings))
        except (ControlError, GateNotPassed, ModelNotFound, BundleRefused, OSError) as error:
            if self._engine.brain.model_hash == found.model:
                said = f"{found.name} decides, but only until the next start: it could not be noted as champion ({error})"
                return "promoted", f"{said}; promote it by hand: {found.text}"
            return "kept", f"it could not be promoted: {error}"
        return "promoted", f"{found.name} decides: {found.text}"


async def promote(store: ModelStore, activate: Activate, model: str, reason: str, place: Place) -> None:
    """Make a bundle of the store decide, and then the champion: where its gate there failed or the daemon refuses, who stands stays.

    Raises:
        ControlError: the daemon refuses it.
        GateNotPassed, ModelNotFound, BundleRefused, OSError: the store does; where it cannot be written, the bundle decides already.
    """
    check_gate(await asyncio.to_thread(store.load, model), place)
    await activate(model)
    await asyncio.to_thread(store.promote, model, reason, now().wall_ns, place)


def captured_hours(captures: Path, now_wall_ns: int, settings: Settings) -> float:
    """Return the hours between the first and the last frame of every run, where a training may learn from them; an upper bound.

    Cost: the beginning of a file per run.
    """
    until_ns = settings.training.learned_until(now_wall_ns)
    reached_ns = until_ns - round(settings.training.max_hours * HOUR_NS)
    spans = []
    for folder in captures.iterdir() if captures.is_dir() else ():
        with contextlib.suppress(CaptureDamaged, msgspec.MsgspecError, OSError):
            spans.append(_span_ns(folder, now_wall_ns))
    total_ns = 0
    # By time, not by name: the names of runs that began within one second sort by chance.
    for begun_ns, ended_ns in sorted(spans):
        total_ns += max(0, min(ended_ns, until_ns) - max(begun_ns, reached_ns))
        reached_ns = max(reached_ns, ended_ns)
    return total_ns / HOUR_NS


def _span_ns(folder: Path, now_wall_ns: int) -> tuple[int, int]:
    """Return the wall times of a run's first frame, its warm start's included, and of its last entry; an open one's last writing."""
    first = next((entry.ts_wall_ns for entry in read_capture(folder) if entry.kind is EntryKind.FRAME), now_wall_ns)
    return first, last_wall_ns(folder)

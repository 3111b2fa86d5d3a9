"""One training from what a daemon captured, whole: gather, learn, keep as a challenger, judge. Runs in the process of its own.

The newest part of the past is kept from the learning and is what the challenger is judged on: a fifth of it on paper, six days for a gate.
Invariants: nothing here decides who is champion, the daemon does; what is refused has changed nothing; a bundle appears in the store by
one rename; the same captures up to the same time give the same bundle.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from smartmoney.adapters.capture import CaptureDamaged
from smartmoney.adapters.capture_segment import segments_of
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.model_store import ModelNotFound, ModelStore
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.evaluation.untouched import DaysTouched, check_untouched, score_forecasts
from smartmoney.learning.fitting.plan import ROWS_MIN
from smartmoney.learning.recorded import RecordingRefused, market_of, venue_of
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.regimes.observations import ObservationRefused
from smartmoney.learning.sets.rows import SECOND_NS, Rows, RowsRefused
from smartmoney.learning.trainer import Origin, Training
from smartmoney.learning.validated import NEWEST_SHARE, judge_on_paper
from smartmoney.runtime.backtest import BacktestJob, BacktestRefused, CapturedRun
from smartmoney.runtime.gate_jobs import Contest, GateRefused, judge_contest, live_began
from smartmoney.runtime.models import PRIOR_NAME
from smartmoney.runtime.modes import whose_market
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.runtime.retraining_child import RetrainJob, RetrainOutcome
from smartmoney.runtime.shadow import Shadowed, shadow_run
from smartmoney.runtime.training_jobs import between, captured_rows, keep_training, recipe_of, stage_champion, train_apart
from smartmoney.settings.build import feature_parameters, regime_parameters
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency

HOUR_NS = 3_600 * SECOND_NS
SHADOW_H = 24.0
CHALLENGERS_KEPT = 20
"""Challengers of the daemon's own that stay in the store without ever having decided."""
TRAININGS_LOOKED_AT = 10_000
_REFUSALS = (RowsRefused, TrainingRefused, FitRefused, ObservationRefused, RecordingRefused, ModelNotFound)

Progress = Callable[[str, int, int], None]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Be one run's rows of one instrument."""

    run_id: str
    instrument: Instrument
    rows: Rows


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Be what was captured, by run and instrument, oldest first, and where the part begins that is judged on."""

    pieces: tuple[Piece, ...]
    cut_ns: int

    def hours(self, until_ns: int) -> float:
        """Return the hours with a book before a time, of the instrument that has most."""
        seconds: dict[str, int] = {}
        for one in self.pieces:
            known = int(np.isfinite(between(one.rows, 0, until_ns).mid_after).sum())
            seconds[one.instrument.symbol] = seconds.get(one.instrument.symbol, 0) + known
        return max(seconds.values(), default=0) / 3600.0

    def learned(self) -> list[Rows]:
        """Return the rows before the cut, pieces that are too short to be staged left out."""
        return [rows for one in self.pieces if len(rows := between(one.rows, 0, self.cut_ns)) >= ROWS_MIN]

    def judged(self) -> list[Rows]:
        """Return the rows from the cut on."""
        return [rows for one in self.pieces if len(rows := between(one.rows, self.cut_ns, 0))]


def retrain(job: RetrainJob, settings: Settings, progress: Progress) -> RetrainOutcome:
    """Train and judge.

    Raises:
        BundleRefused: the champion is damaged.
        MemoryError: there is too little.
        OSError: a capture cannot be read, or the bundle not be written.
    """
    layout = StateLayout(Path(job.state))
    progress("captures", 0, 1)
    past = gather(layout, settings, job.now_wall_ns)
    progress("captures", 1, 1)
    needed, hours = settings.training.min_hours, past.hours(settings.training.learned_until(job.now_wall_ns))
    if hours < needed:
        text = f"{hours:.2f} h with a trusted book, {needed:g} h are needed (training.min_hours)"
        return RetrainOutcome(act="refused", text=text, is_short=True)
    try:
        champion = None if job.champion in {"", PRIOR_NAME} else ModelStore(layout.models).load(job.champion)
        made = _learn(past, settings, job.name, champion or stage_champion(layout.models), progress)
    except _REFUSALS as refused:
        return RetrainOutcome(act="refused", text=str(refused))
    keep_training(made, layout.models)
    forget_old(layout)
    passed, text = False, "for a person to promote (training.promote: never)"
    if settings.training.promote == "validated":
        passed, text = _validated(past, made.bundle, champion, settings)
    elif settings.training.promote == "gate":
        passed, text = _gated(past, made, champion, settings, layout, job.now_wall_ns, progress)
    return RetrainOutcome(act="passed" if passed else "kept", text=text, model=made.bundle.hash, name=made.bundle.name)


def forget_old(layout: StateLayout, kept: int = CHALLENGERS_KEPT) -> list[str]:
    """Remove the daemon's challengers that never decided, but for the newest; return their hashes.

    Raises:
        BundleRefused: nobody knows who was champion.
        OSError: one cannot be removed.
    """
    with JournalReader.open(layout.journal) as journal:
        mine = list(dict.fromkeys(one.model for one in journal.trainings(TRAININGS_LOOKED_AT) if one.act == "kept" and one.model))
        used = journal.models()
    store = ModelStore(layout.models)
    return [one for one in mine[: max(len(mine) - kept, 0)] if one not in used and store.forget(one)]


def gather(layout: StateLayout, settings: Settings, now_wall_ns: int) -> Past:
    """Return what the runs of this venue and market captured until now, as far back as the settings go.

    A capture that cannot be read is left out: others can.
    """
    since_ns = settings.training.learned_until(now_wall_ns) - round(settings.training.max_hours * HOUR_NS)
    pieces: list[Piece] = []
    for folder in sorted(one for one in layout.captures.iterdir() if one.is_dir()) if layout.captures.is_dir() else ():
        if not segments_of(folder) or segments_of(folder)[-1].stat().st_mtime_ns < since_ns:
            continue
        pieces += _pieces(folder, settings, since_ns, now_wall_ns, is_first=not pieces)
    return Past(pieces=tuple(pieces), cut_ns=_cut_ns([one.rows for one in pieces], settings, now_wall_ns))


def _pieces(folder: Path, settings: Settings, since_ns: int, now_wall_ns: int, *, is_first: bool) -> list[Piece]:
    files = [folder]
    try:
        market, venue = market_of(files), venue_of(files)
        if market is None or (market.value, venue) != (settings.market, whose_market(settings)):
            return []
        # What a later run was warmed with is the end of the one before; the built-in market's own past is nobody's else.
        live_ns = 0 if is_first else live_began(folder)
        found = captured_rows(folder, feature_parameters(settings), max(since_ns, live_ns), now_wall_ns)
    except (RecordingRefused, CaptureDamaged):
        return []
    wanted = {name.partition(":")[0] for name in settings.instruments}
    return [
        Piece(run_id=folder.name, instrument=one, rows=rows) for one, rows in found if len(rows) and one.name.partition(":")[0] in wanted
    ]


def _cut_ns(sources: Sequence[Rows], settings: Settings, now_wall_ns: int) -> int:
    times = np.concatenate([one.times for one in sources]) if sources else np.empty(0, np.int64)
    if not len(times) or settings.training.promote == "never":
        return now_wall_ns + 1
    if settings.training.promote == "gate":
        return settings.training.learned_until(now_wall_ns)
    times.sort()
    return int(times[int((1.0 - NEWEST_SHARE) * len(times))])


def _learn(past: Past, settings: Settings, name: str, stage: Bundle, progress: Progress) -> Training:
    whose = past.pieces[0].instrument
    names = tuple(dict.fromkeys(one.instrument.symbol for one in past.pieces))
    origin = Origin(venue=whose.venue, market=whose.market.value, instruments=names)
    return train_apart(past.learned(), recipe_of(settings, built_in=False), name, origin, progress, stage)


def _validated(past: Past, challenger: Bundle, champion: Bundle | None, settings: Settings) -> tuple[bool, str]:
    judged = past.judged()
    try:
        check_untouched(judged, [challenger, *([] if champion is None else [champion])])
    except DaysTouched as touched:
        return False, str(touched)
    score = score_forecasts(judged, challenger, champion, regime_parameters(settings))
    tradable = sum(head.tradable for head in challenger.spec.heads)
    if not tradable:
        return False, "it has no horizon that can be traded, so there is nothing to judge it by, and it would never trade"
    verdict = judge_on_paper(score, tradable=tradable, has_champion=champion is not None)
    held = "; ".join(one.text for one in verdict.conditions if one.holds)
    missed = "; ".join(one.text for one in verdict.failed)
    return verdict.passed, f"on {score.hours:.1f} h not learned from: " + (f"missed {missed}" if missed else held)


def _gated(
    past: Past, made: Training, champion: Bundle | None, settings: Settings, layout: StateLayout, now_wall_ns: int, progress: Progress
) -> tuple[bool, str]:
    runs = list(dict.fromkeys(one.run_id for one in past.pieces if len(one.rows) and int(one.rows.times[-1]) >= past.cut_ns))
    contest = Contest(
        challenger=made.bundle,
        champion=champion,
        reference=made.reference,
        jobs=tuple(_job_of(layout, run_id, past.cut_ns, now_wall_ns, settings) for run_id in runs),
        shadows=_shadows(layout, runs, made.bundle, settings),
        settings=settings,
    )
    try:
        found = judge_contest(contest, progress)
    except (GateRefused, DaysTouched, BacktestRefused, ReplayRefused) as refused:
        return False, str(refused)
    ModelStore(layout.models).record_gate(made.bundle.hash, found.gate)
    return found.verdict.passed, found.gate.text


def _job_of(layout: StateLayout, run_id: str, cut_ns: int, now_wall_ns: int, settings: Settings) -> BacktestJob:
    folder = layout.capture(run_id)
    since_ns = cut_ns if live_began(folder) < cut_ns else 0
    return BacktestJob(
        name=f"run {run_id}",
        source=CapturedRun(str(folder), since_ns, now_wall_ns),
        settings=settings,
        latency=OrderLatency(median_ms=settings.paper.latency_ms),
        models=str(layout.models),
    )


def _shadows(layout: StateLayout, runs: Sequence[str], challenger: Bundle, settings: Settings) -> tuple[Shadowed, ...]:
    """Return shadows of the newest runs, as many as make a day; a run that can be no measure is passed over."""
    found: list[Shadowed] = []
    for run_id in reversed(runs):
        if sum(one.hours for one in found) >= SHADOW_H:
            break
        try:
            found.append(shadow_run(layout, run_id, challenger, settings))
        except ReplayRefused:
            continue
    return tuple(found)

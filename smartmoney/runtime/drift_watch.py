"""Watch for drift beside the loop: each minute a feature row into the journal, and the monitors of `learning.drift_monitors`.

Nothing here is on the way of a decision or in a run's digest. Where drift says act, the configuration says what follows: an ordinary
`HaltRequested` or `FlattenRequested`, which is captured like an operator's and replays (entries are off until a person resumes), smaller
entries from watch on (`ScaleRequested`, captured as well), a rollback to the champion before, or only words; and, where that is
configured, a training.
Invariants: a row that is noted belongs to the entry that it names; a halt for drift begins the monitors anew, so that a resume is not
undone by what was known when a person decided it; a restart goes on with the rows that earlier runs noted since.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from smartmoney.adapters.journal_reader import JournalReader
from smartmoney.adapters.journal_rows import Witness
from smartmoney.core.domain.entries import FlattenRequested, HaltRequested, Payload, ScaleRequested
from smartmoney.core.domain.signals import FeedTrust, Regime
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH
from smartmoney.core.strategy.desk import StrategyDesk
from smartmoney.core.strategy.trained import TrainedModel
from smartmoney.learning.coverage import CoverageReport
from smartmoney.learning.drift import DriftReport
from smartmoney.learning.drift_monitors import ROW_S, WINDOW_ROWS, DriftMonitors, Forecast, Reference
from smartmoney.runtime.alert_queue import Alert
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.drift_sizes import EntrySize, SizePlan
from smartmoney.runtime.loop import Batch, Line
from smartmoney.runtime.supervisor import Beat

EVERY_S = 1.0
ROW_EVERY_NS = ROW_S * 1_000_000_000
_REGIMES = tuple(Regime)
REASON = "drift: "
"""How the reason of a halt for drift begins."""


class DriftWatch:
    """Watch the model that decides; what a run notes goes to the sender's outbox, so that one thread writes the journal."""

    def __init__(
        self,
        engine: Engine,
        references: Callable[[str], Reference | None],
        last_seq: Callable[[], int],
        post: Callable[[Payload], object],
        tell: Callable[[Sequence[Alert]], object],
        *,
        action: str,
        retrain: Callable[[str], object] = lambda _why: None,
        roll_back: Callable[[str], object] = lambda _why: None,
        sizes: SizePlan | None = None,
    ) -> None:
        """Take the loop's latest entry as `last_seq`, where entries go (`post`), whom to tell, and what act means: `drift.action`.

        `sizes` is what the action shrink does.
        """
        self._engine, self._references, self._last_seq = engine, references, last_seq
        self._post, self._tell = post, tell
        self._action, self._retrain, self._roll_back = action, retrain, roll_back
        self._size = EntrySize(sizes or SizePlan())
        self._model = ""
        self._monitors = DriftMonitors(None)
        self._row_due_ns = 0
        self._report = self._monitors.report()

    def remember(self, journal: JournalReader, venue: str, market: str) -> None:
        """Go on with the rows of earlier runs, as far as no halt for drift came after them."""
        halted_ns = max((halt.wall_ns for halt in journal.halts() if REASON in halt.reason and halt.kind == "halt"), default=0)
        for index, instrument in enumerate(self._engine.market.instruments):
            for kept in journal.newest_witnesses(instrument.name, SCHEMA_HASH, venue, market, WINDOW_ROWS):
                if kept.wall_ns > halted_ns:
                    self._monitors.row(index, np.frombuffer(kept.feature_row, "<f8"))

    def status(self) -> Mapping[str, object]:
        """Return how things are, for people."""
        found, monitors = self._report, self._monitors
        return {
            "level": found.level,
            "size_factor": self._engine.brain.desk.scale.factor,
            "feature": found.feature or None,
            "psi": round(found.psi, 4) if found.feature else None,
            "psi_rows": f"{monitors.rows} of {WINDOW_ROWS}" if monitors.has_reference else "the model has no reference.json",
            "log_loss_cuts": found.cuts,
            "calibration_z": round(found.calibration_z, 2),
            "forecasts_judged": monitors.judged,
            "forecasts_lost": monitors.lost,
            **_coverage(monitors.coverage()),
        }

    async def run(self, beat: Beat, outbox: "asyncio.Queue[Batch]") -> None:
        """Watch forever."""
        while True:
            beat()
            await asyncio.sleep(EVERY_S)
            if (batch := self.look(now())) is not None:
                await outbox.put(batch)

    def look(self, at: Stamp) -> Batch | None:
        """Look once; return what is to be journaled, None when there is nothing."""
        engine = self._engine
        if engine.is_warming or not engine.is_reconciled:
            return None
        if engine.brain.model_hash != self._model:
            is_another, self._model = bool(self._model), engine.brain.model_hash
            self._monitors = self._monitors.succeeded_by(self._references(self._model))
            # What was said was said of the model before: of this one it would be news.
            self._report = DriftMonitors(None).report()
            if is_another:
                self._size.begin_anew()
        mids = self._mids()
        self._monitors.look(mids, at.mono_ns)
        for index, mid in mids.items():
            self._monitors.said(index, forecasts_of(engine.brain.desk, index), mid, at.mono_ns)
        if at.mono_ns < self._row_due_ns:
            return None
        trusted = [index for index, mid in mids.items() if mid is not None]
        if not trusted:
            return None
        self._row_due_ns = at.mono_ns + ROW_EVERY_NS
        lines = self._noted(trusted, at)
        self._judge()
        self._resize(at.mono_ns)
        seq = self._last_seq()
        return Batch(lines=lines, commands=(), checkpoint=None, last_seq=seq, decided_mono_ns=at.mono_ns, has_orders=False)

    def _mids(self) -> dict[int, float | None]:
        """Return the mid of each instrument in ticks, None where its book cannot be vouched for."""
        market = self._engine.market
        found: dict[int, float | None] = {}
        for index in range(len(market.instruments)):
            bid, ask = top_of_book(market.states[index])
            is_known = market.trust(index).state is FeedTrust.SYNCED and 0 < bid < ask
            found[index] = 0.5 * (bid + ask) if is_known else None
        return found

    def _noted(self, indices: Sequence[int], at: Stamp) -> tuple[Line, ...]:
        seq, lines = self._last_seq(), []
        for index in indices:
            row = np.empty(len(FEATURES))
            read_row(self._engine.market.states, index, 0, row)
            self._monitors.row(index, row)
            witness = Witness(instrument=index, schema_hash=SCHEMA_HASH, feature_row=row.astype("<f8").tobytes())
            lines.append(Line(seq, at.wall_ns, witness))
        return tuple(lines)

    def _judge(self) -> None:
        before, found = self._report, self._monitors.report()
        self._report = found
        if found.level == before.level:
            return
        said = words(found)
        if found.level == "act":
            self._act(f"{REASON}{said}")
        severity = {"ok": "info", "watch": "warning", "act": "critical"}[found.level]
        self._tell([Alert(kind="drift", severity=severity, subject="drift", text=said)])

    def _resize(self, mono_ns: int) -> None:
        """Let entries shrink with drift, and grow when it is over; where that is not configured any more, they have their whole size."""
        standing = self._engine.brain.desk.scale.factor
        if self._action != "shrink":
            if standing < 1.0:
                self._post(ScaleRequested(factor=1.0, reason="drift.action is not shrink"))
            return
        factor = self._size.change(self._report.level, standing, self._monitors.judged, mono_ns)
        if factor is not None:
            self._post(ScaleRequested(factor=factor, reason=f"{REASON}{words(self._report)}"))

    def _act(self, why: str) -> None:
        self._retrain(why)
        match self._action:
            case "halt":
                self._post(HaltRequested(reason=f"{why}; resume when you have looked, or roll the model back first"))
            case "flat":
                self._post(FlattenRequested(reason=f"{why}; resume when you have looked"))
            case "rollback":
                self._roll_back(why)
                return
            case _:
                return
        self._monitors = DriftMonitors(self._references(self._model))


def forecasts_of(desk: StrategyDesk, index: int) -> list[Forecast]:
    """Return what the model said of every horizon at an instrument's latest analysis, each with the threshold of its conformal set."""
    model, reading = desk.model, desk.regime(index)
    sets = {head.horizon_s: head.conformal for head in model.bundle.spec.heads} if isinstance(model, TrainedModel) else {}
    if reading is None:
        return []
    place = _REGIMES.index(reading.label)
    return [
        Forecast(horizon_s, up, reading.label.value, sets[horizon_s][place] if horizon_s in sets else math.nan)
        for horizon_s, up in desk.ups(index)
    ]


def _coverage(found: CoverageReport) -> Mapping[str, object]:
    is_known = found.judged > 0
    return {
        "coverage": round(found.share, 4) if is_known else None,
        "coverage_wanted": round(found.wanted, 4),
        "coverage_adaptive": round(found.adaptive_share, 4) if is_known else None,
        "coverage_judged": found.judged,
        "coverage_moved": f"{found.moved:+.4f} ({found.where})" if is_known else None,
    }


def words(found: DriftReport) -> str:
    """Return a report in words."""
    if found.level == "ok":
        return "the monitors are quiet again"
    feature = (
        f"{found.feature} has PSI {found.psi:.2f} against training (scaled to what training itself had; 0.25 is act), "
        if found.feature
        else ""
    )
    calibration = f"calibration is off by {found.calibration_z:+.1f} standard errors"
    return f"{feature}log-loss stands above what it was at {found.cuts} horizons, {calibration}"

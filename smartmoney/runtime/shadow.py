"""The shadow of a challenger: what it would have decided in a daemon's runs, and whether the past looks to it as the daemon saw it.

A shadow run is a replay of the run's capture with the challenger in the champion's place, not a second model in the daemon: the capture
holds every input of the run in order, a replay of it is proven to be the run (`smartmoney replay`), and the loop that trades carries
nothing that it does not need. What a replay cannot prove by itself is that the features are those that the daemon had: for that the daemon
notes its row each minute while the book is vouched for (`runtime.drift_watch`), and the replayed row after the same entry is held against
it here. Hours count by those minutes alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.journal import JournalReader, RunHeader
from smartmoney.adapters.journal_reader import WitnessRow
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import RunStarted
from smartmoney.core.engine.engine import Engine
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH
from smartmoney.core.models.bundle import Bundle
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.backtest import begin_anew
from smartmoney.runtime.backtest_sources import captured_items
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.drift_watch import ROW_EVERY_NS
from smartmoney.runtime.offline import OfflineRun
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.models import Settings

HOUR_NS = 3_600_000_000_000


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of a run's shadow. `parity` is the largest difference of a feature, relative above 1, infinite where one is unknown."""

    run_id: str
    venue: str
    market: str
    instruments: tuple[str, ...]
    hours: float
    minutes: int
    parity: float
    worst: str
    """The feature of that difference."""
    decisions: int
    signals: int
    entries_lost: int


def shadow_run(layout: StateLayout, run_id: str, challenger: Bundle, settings: Settings) -> Shadowed:
    """Replay a run's capture with the challenger deciding, on paper, and hold features against what the daemon noted.

    Raises:
        ReplayRefused: there is no such run, no capture, or nothing was noted.
    """
    with JournalReader.open(layout.journal) as journal:
        header = journal.run(run_id)
        noted = journal.witnesses(run_id)
    if header is None:
        raise ReplayRefused(f"no run {run_id!r} in {layout.journal}; `--run last` is the newest")
    if not noted:
        raise ReplayRefused(f"run {run_id!r} noted no feature row (a minute of a trusted book is needed): it cannot be a shadow's measure")
    if any(one.schema_hash != SCHEMA_HASH for one in noted):
        raise ReplayRefused(f"run {run_id!r} noted features of another schema; a shadow needs a run of this version")
    return _Replay(layout.capture(run_id), header, challenger, settings).against(noted)


class _Replay:
    def __init__(self, folder: Path, header: RunHeader, challenger: Bundle, settings: Settings) -> None:
        self._folder, self._run_id, self._header = folder, header.run_id, header
        self._challenger, self._settings = challenger, settings
        self._worst, self._parity, self._lost = "", 0.0, 0
        self._venue = header.venue

    def against(self, noted: Sequence[WitnessRow]) -> Shadowed:
        by_seq: dict[int, list[WitnessRow]] = {}
        for one in noted:
            by_seq.setdefault(one.seq, []).append(one)
        run, names, met = self._run_through(by_seq)
        view = run.engine.view()
        return Shadowed(
            run_id=self._run_id,
            venue=self._venue,
            market=self._header.market,
            instruments=names,
            hours=len({one.seq for one in met}) * ROW_EVERY_NS / HOUR_NS,
            minutes=len(met),
            parity=self._parity if met else float("nan"),
            worst=self._worst,
            decisions=view.decisions,
            signals=view.signals,
            entries_lost=self._lost,
        )

    def _run_through(self, by_seq: dict[int, list[WitnessRow]]) -> tuple[OfflineRun, tuple[str, ...], list[WitnessRow]]:
        try:
            entries = read_capture(self._folder)
        except CaptureDamaged as damage:
            raise ReplayRefused(f"run {self._run_id!r} cannot be shadowed: {damage}") from None
        run: OfflineRun | None = None
        names: tuple[str, ...] = ()
        met: list[WitnessRow] = []
        for entry in entries:
            if isinstance(entry.payload, RunStarted):
                names = tuple(one.name for one in entry.payload.instruments)
                run, self._venue = self._begin(entry.payload), entry.payload.whose_market
                continue
            if run is None:
                raise ReplayRefused(f"{self._folder}: the first entry is not a run's start; was its first segment removed by retention?")
            for item in captured_items((entry,)):
                if run.items == 0:
                    run.open(item.stamp)
                run.step(item)
            for witness in by_seq.pop(entry.seq, ()) if not entries.gaps else ():
                self._compare(run.engine, names.index(witness.instrument), witness)
                met.append(witness)
        self._lost = sum(gap.count for gap in entries.gaps)
        if run is None or run.items == 0:
            raise ReplayRefused(f"the capture of run {self._run_id!r} is empty: {self._folder}")
        return run, names, met

    def _begin(self, started: RunStarted) -> OfflineRun:
        bundles: Callable[[str], Bundle] = lambda _model: self._challenger  # noqa: E731
        engine = Engine(codec_of(started.venue), strategy_factory(self._settings.directory), bundles)
        # The run's own parameters: features are folded by them.
        begun = begin_anew(started, self._settings, started.parameters, self._challenger.hash)
        return OfflineRun(engine, begun, paper_parameters(self._settings))

    def _compare(self, engine: Engine, index: int, witness: WitnessRow) -> None:
        row = np.empty(len(FEATURES))
        read_row(engine.market.states, index, 0, row)
        was = np.frombuffer(witness.feature_row, "<f8")
        apart = np.abs(row - was) / np.maximum(1.0, np.abs(was))
        apart = np.where(np.isnan(row) & np.isnan(was), 0.0, np.where(np.isnan(apart), np.inf, apart))
        place = int(apart.argmax())
        if not self._worst or apart[place] > self._parity:
            self._worst, self._parity = FEATURES[place].name, float(apart[place])

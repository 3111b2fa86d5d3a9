"""Collect the gate's evidence: forecasts on untouched days, the same engine's money at cost ×1 and ×2, shadows of runs, drift.

Every number is measured by the part that the product runs on: rows by the offline fold, forecasts by the compiled decision, money by the
backtest, features by the replay of a run. What could not be measured stays NaN, which the gate fails. Nothing here changes who decides.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.dataset_reader import together
from smartmoney.core.domain.entries import Entry, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.models.bundle import Bundle, Gate
from smartmoney.learning.drift import DriftReport
from smartmoney.learning.drift_monitors import Reference
from smartmoney.learning.evaluation.untouched import ForecastScore, check_untouched, drift_of, score_forecasts, states_kept
from smartmoney.learning.gate import GateEvidence, Verdict, judge
from smartmoney.learning.recorded import find_instruments, venue_of
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.validation.gains import mean_gain
from smartmoney.runtime.backtest import BacktestJob, BuiltIn, CapturedRun, JobResult, StoredDays, run_job
from smartmoney.runtime.cached_files import prepared_recordings
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.runtime.drift_watch import words
from smartmoney.runtime.models import pair_of
from smartmoney.runtime.shadow import Shadowed
from smartmoney.runtime.training_jobs import between, captured_rows, recorded_rows, stored_rows
from smartmoney.settings.build import feature_parameters, fees_bps, regime_parameters, strategy_digest
from smartmoney.settings.models import Settings

HOUR_NS = 3_600_000_000_000
BLOCK_HOURS = 6
_SEED = 23

Progress = Callable[[str, int, int], None]


class GateRefused(Exception):
    """Say why nothing was judged, and what to do."""

    exit_code = 1


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """Be a whole judgement: what was measured, the verdict, and the gate as it is recorded."""

    challenger: str
    champion: str
    rows: int
    forecasts: ForecastScore
    shadows: tuple[Shadowed, ...]
    drift: DriftReport | None
    evidence: GateEvidence
    verdict: Verdict
    gate: Gate


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """Name who is judged, against whom (None: a first champion), by what; `reference` is the challenger's, None where it has none."""

    challenger: Bundle
    champion: Bundle | None
    reference: Reference | None
    jobs: tuple[BacktestJob, ...]
    shadows: tuple[Shadowed, ...]
    settings: Settings


def judge_contest(contest: Contest, progress: Progress) -> Judgement:
    """Measure and judge.

    Raises:
        GateRefused, DaysTouched: there is nothing fit to judge on.
        RecordingRefused, DatasetRefused, BacktestRefused, ReplayRefused, OSError: a source cannot be read.
    """
    progress("rows", 0, 1)
    pairs = [pair for job in contest.jobs for pair in rows_of(job)]
    progress("rows", 1, 1)
    instruments, sources = [one for one, _ in pairs], [rows for _, rows in pairs]
    names = tuple(dict.fromkeys(pair_of(one.name) for one in instruments))
    venue, market = _one_market(instruments)
    for shadow in contest.shadows:
        if (shadow.venue, shadow.market) != (venue, market) or not set(names) <= {pair_of(name) for name in shadow.instruments}:
            raise GateRefused(f"run {shadow.run_id} is no shadow of {venue} {market} {', '.join(names)}; name runs that traded these")
    models = [contest.challenger, *([] if contest.champion is None else [contest.champion])]
    check_untouched(sources, models)
    parameters = regime_parameters(contest.settings)
    forecasts = score_forecasts(sources, contest.challenger, contest.champion, parameters)
    drift = drift_of(sources, contest.challenger, contest.reference, parameters)
    kept = states_kept(sources, contest.challenger, contest.champion)
    money = _Money(contest.jobs, progress, len(models) * 2)
    ours = [money.of(contest.challenger, times) for times in (1, 2)]
    theirs = [] if contest.champion is None else [money.of(contest.champion, times) for times in (1, 2)]
    evidence = _evidence(contest, forecasts, drift, ours, theirs, is_kept=kept)
    verdict = judge(evidence)
    maker, taker = fees_bps(contest.settings)
    gate = Gate(
        passed=verdict.passed,
        venue=venue,
        market=market,
        instruments=names,
        at=dt.datetime.now(dt.UTC).date().isoformat(),
        text=told(verdict) if drift is None else f"{told(verdict)} | monitors: {words(drift)}",
        maker_bps=float(maker),
        taker_bps=float(taker),
        strategy=strategy_digest(contest.settings),
        profile=contest.settings.profile or "",
    )
    gate = msgspec.structs.replace(gate, text=f"{gate.text} | judged with {gate.judged_with}")
    return Judgement(
        challenger=contest.challenger.name,
        champion="" if contest.champion is None else contest.champion.name,
        rows=sum(len(one) for one in sources),
        forecasts=forecasts,
        shadows=contest.shadows,
        drift=drift,
        evidence=evidence,
        verdict=verdict,
        gate=gate,
    )


def told(verdict: Verdict) -> str:
    """Return every condition with its number in one line, those that fail first."""
    held = "; ".join(one.text for one in verdict.conditions if one.holds)
    failed = "; ".join(one.text for one in verdict.failed)
    return " | ".join(part for part in (f"failed: {failed}" if failed else "", f"held: {held}" if held else "") if part)


def net_low(results: Sequence[JobResult], cash: float) -> float:
    """Return the lower end of a 95 % interval of the total net result, a fraction of `cash`, by blocks of hours; NaN with too few."""
    hourly = np.concatenate([_hourly(one.equity, cash) for one in results]) / cash
    return mean_gain(hourly, BLOCK_HOURS, _SEED).low * len(hourly) if len(hourly) else math.nan


def costs_times(settings: Settings, times: int) -> Settings:
    """Return the settings with every fee so many times as high; a rebate is not multiplied."""
    maker, taker = fees_bps(settings)
    fees = settings.fees.model_copy(update={"maker_bps": max(maker, maker * times), "taker_bps": taker * times})
    return settings.model_copy(update={"fees": fees})


class _Money:
    """Run the same stretches with one model after the other."""

    def __init__(self, jobs: Sequence[BacktestJob], progress: Progress, runs: int) -> None:
        self._jobs, self._progress, self._of, self._done = jobs, progress, runs * len(jobs), 0

    def of(self, bundle: Bundle, times: int) -> list[JobResult]:
        found = []
        for job in self._jobs:
            self._progress("backtests", self._done, self._of)
            settings = costs_times(job.settings, times).model_copy(update={"model": bundle.hash})
            found.append(run_job(msgspec.structs.replace(job, settings=settings)))
            self._done += 1
        self._progress("backtests", self._done, self._of)
        return found


def _evidence(
    contest: Contest,
    forecasts: ForecastScore,
    drift: DriftReport | None,
    ours: Sequence[list[JobResult]],
    theirs: Sequence[list[JobResult]],
    *,
    is_kept: bool,
) -> GateEvidence:
    nets = [[sum(one.result.net_return for one in results) for results in side] for side in (ours, theirs)]
    return GateEvidence(
        gain=forecasts.gain,
        untouched_days=float(forecasts.days),
        ece=forecasts.ece,
        regime_loss=forecasts.regime_loss,
        log_loss=forecasts.log_loss,
        base_rate_log_loss=forecasts.base_rate_log_loss,
        logistic_log_loss=forecasts.logistic_log_loss,
        states_kept=is_kept,
        shadow_hours=sum(one.hours for one in contest.shadows) if contest.shadows else math.nan,
        feature_parity=max((one.parity for one in contest.shadows), default=math.nan),
        net_low=net_low(ours[0], float(contest.settings.equity_start)),
        net=nets[0][0],
        net_double_cost=nets[0][1],
        # The untrained prior is always there to go back to.
        rollback_target=True,
        is_drifting=None if drift is None else drift.level == "act",
        has_champion=contest.champion is not None,
        champion_ece=forecasts.champion_ece,
        champion_regime_loss=forecasts.champion_regime_loss,
        champion_net=nets[1][0] if theirs else math.nan,
        champion_net_double_cost=nets[1][1] if theirs else math.nan,
    )


def rows_of(job: BacktestJob) -> list[tuple[Instrument, Rows]]:
    """Return each instrument of a stretch with its rows, a captured run's without what it was warmed with.

    Raises:
        GateRefused: it is a synthetic market.
        RecordingRefused, DatasetRefused, CaptureDamaged, OSError: it cannot be read.
    """
    source, parameters, caches = job.source, feature_parameters(job.settings), job.settings.caches
    if isinstance(source, StoredDays):
        stored = together(Path(source.root), source.market, source.symbol, source.first, source.last)
        return [(one.instrument, stored_rows(one, parameters)) for one in stored]
    if isinstance(source, BuiltIn):
        raise GateRefused("a synthetic market is nobody's untouched day; name runs, recordings or a dataset")
    if isinstance(source, CapturedRun):
        folder = Path(source.folder)
        live_ns = live_began(folder)
        found = captured_rows(folder, parameters, source.since_ns, source.until_ns)
        return [(one, between(rows, live_ns, 0)) for one, rows in found]
    files = [Path(file) for file in source.files]
    venue = venue_of(files)
    return [
        (one if venue is None else msgspec.structs.replace(one, venue=venue), recorded_rows(files, one, "binance", parameters, caches))
        for one in find_instruments(files, recorded_binance(), Market(source.market), prepared_recordings(caches))
    ]


def live_began(folder: Path) -> int:
    """Return the wall time at which a captured run's warm start ended, 0 where the capture does not say.

    Raises:
        CaptureDamaged, OSError: it cannot be read.
    """
    return live_from(read_capture(folder))


def live_from(entries: Iterable[Entry]) -> int:
    """Return the wall time at which a run's warm start ended: what it was warmed with is another run's, or nobody's, day."""
    return next((entry.ts_wall_ns for entry in entries if isinstance(entry.payload, WarmUpEnded)), 0)


def _one_market(instruments: Sequence[Instrument]) -> tuple[str, str]:
    found = {(one.venue, one.market.value) for one in instruments}
    if len(found) != 1:
        there = ", ".join(f"{venue} {market}" for venue, market in sorted(found)) or "none"
        raise GateRefused(f"one venue and market at a time is judged, and these days are of {there}; leave the others out")
    return found.pop()


def _hourly(points: Sequence[tuple[int, float]], cash: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Return what each whole hour brought, in quote."""
    if not points:
        return np.empty(0)
    at, equity = np.array([one[0] for one in points]), np.array([one[1] for one in points])
    hours = (at - at[0]) // HOUR_NS
    last = np.array([equity[hours <= hour][-1] for hour in range(int(hours[-1]) + 1)])
    return np.diff(last, prepend=cash)

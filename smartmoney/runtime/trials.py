"""Make trials: evaluate parameter sets on every stretch of a past, once each for good, and log them the moment they are whole."""

import hashlib
import pickle
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.adapters.trial_log import LoggedTrial, Outcome, TrialLog
from smartmoney.runtime.backtest import BacktestJob
from smartmoney.runtime.evaluations import MARK_S, Content, Evaluation, Marks, code_hash, content_of, model_of, past_of, strategy_hash
from smartmoney.runtime.workers import Workers
from smartmoney.settings.effective import config_hash
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.settings.search_space import Value, with_parameters

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PERIODS_MIN = 500
"""Periods are as long as they can be with so many of them: a Sharpe ratio needs many, and a minute says little more than ten seconds."""
_MARKS_A_PERIOD = (360, 90, 30, 6, 3)


class Evaluator:
    """Evaluate parameter sets on one past."""

    def __init__(self, jobs: Sequence[BacktestJob], log: TrialLog, workers: Workers, study: str) -> None:
        """Look at the stretches. Raises OSError: a source cannot be read."""
        self.study = study
        self._jobs = tuple(jobs)
        self._contents = [content_of(job.source) for job in jobs]
        self.past = past_of(jobs, self._contents)
        self._log = log
        self._workers = workers
        self._strategy = strategy_hash(jobs[0].settings)
        self._model = model_of(jobs[0])

    @property
    def stretches(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(job.name for job in self._jobs)

    def evaluate(self, sets: Sequence[Mapping[str, Value]], on_done: Callable[[int, int], None]) -> list[LoggedTrial | None]:
        """Return a trial for each parameter set, None where the settings refuse it; `on_done(done, of)` is called as they become whole.

        Raises:
            EvaluationRefused, ClusterFailed: as the workers.
            TrialLogRefused: a trial could not be logged.
        """
        settled = [self._settle(parameters) for parameters in sets]
        made: dict[str, LoggedTrial | None] = {}
        wanted: dict[str, tuple[Settings, Mapping[str, Value]]] = {}
        for found, parameters in zip(settled, sets, strict=True):
            if found is not None and found[0] not in made:
                name, settings = found
                made[name] = self._log.find(self.past, name)
                if made[name] is None:
                    wanted[name] = (settings, parameters)
        whole = len(sets) - len(wanted)
        on_done(whole, len(sets))
        parts: dict[str, dict[int, Marks]] = {name: {} for name in wanted}
        work = [(name, index) for name in wanted for index in range(len(self._jobs))]

        def came(number: int, encoded: bytes) -> None:
            nonlocal whole
            name, index = work[number]
            parts[name][index] = pickle.loads(encoded)  # noqa: S301  # of our own workers
            if len(parts[name]) == len(self._jobs):
                made[name] = self._keep(name, wanted[name][1], [parts[name][index] for index in range(len(self._jobs))])
                whole += 1
                on_done(whole, len(sets))

        self._workers.run([self._encoded(wanted[name][0], index) for name, index in work], came)
        return [None if found is None else made[found[0]] for found in settled]

    def every_trial(self) -> tuple[Floats, int]:
        """Return `(periods, trials)` returns of all that was ever evaluated on this past by any study, and how many that were.

        Trials of a build that cut time otherwise are counted, though their periods cannot be set beside the others'.
        """
        trials = self._log.of_past(self.past)
        newest = max(trials, key=lambda one: one.wall_ns)
        alike = [one.returns for one in trials if (one.period_s, len(one.returns)) == (newest.period_s, len(newest.returns))]
        return np.column_stack(alike), len(trials)

    def _settle(self, parameters: Mapping[str, Value]) -> tuple[str, Settings] | None:
        """Return what names an evaluation, and its settings."""
        settings = self._jobs[0].settings
        try:
            settings = with_parameters(settings, parameters) if parameters else settings
        except ConfigurationError:
            return None
        latency = [(job.latency, job.feed_latency_ms) for job in self._jobs]
        what = (config_hash(settings), latency, code_hash(), self._strategy, self._model)
        return hashlib.sha256(msgspec.json.encode(what)).hexdigest(), settings

    def _encoded(self, settings: Settings, index: int) -> bytes:
        job = msgspec.structs.replace(self._jobs[index], settings=settings)
        return pickle.dumps(
            Evaluation(job=job, content=self._contents[index], code=code_hash(), strategy=self._strategy, model=self._model)
        )

    def _keep(self, name: str, parameters: Mapping[str, Value], marks: list[Marks]) -> LoggedTrial:
        # By time, whatever order the stretches were named in; synthetic markets share a clock.
        marks = [one for _, _, one in sorted(zip(self._contents, self._jobs, marks, strict=True), key=_when)]
        total = sum(len(one.equity) for one in marks)
        size = next((size for size in _MARKS_A_PERIOD if total // size >= PERIODS_MIN), 1)
        trial = LoggedTrial(
            past=self.past,
            evaluation=name,
            wall_ns=time.time_ns(),
            study=self.study,
            build=f"{__version__}+{code_hash()[:12]}",
            period_s=float(size * MARK_S),
            parameters=msgspec.json.encode(dict(parameters)).decode(),
            outcome=_joined(marks),
            returns=np.concatenate([period_returns(one, size) for one in marks]),
            fills=np.concatenate([_period_fills(one, size) for one in marks]),
        )
        self._log.add(trial)
        return trial


def period_returns(marks: Marks, size: int) -> Floats:
    """Return the net fraction of equity that each period of `size` marks brought; the last period takes what is left over."""
    ends = _ends(len(marks.equity), size)
    equity = np.concatenate(([marks.cash], marks.equity[ends]))
    returns: Floats = equity[1:] / equity[:-1] - 1.0
    return returns


def _when(stretch: tuple[Content, BacktestJob, Marks]) -> tuple[int, list[str]]:
    content, _, marks = stretch
    return marks.first_wall_ns, [digest for _, digest in content]


def _period_fills(marks: Marks, size: int) -> Integers:
    ends = _ends(len(marks.fills), size)
    return np.diff(np.concatenate(([0], np.cumsum(marks.fills)[ends])))


def _ends(count: int, size: int) -> Integers:
    """Return the last mark of each period."""
    periods = max(1, count // size)
    ends = np.arange(1, periods + 1) * size - 1
    ends[-1] = count - 1
    return ends


def _joined(marks: Sequence[Marks]) -> Outcome:
    outcomes = [one.outcome for one in marks]
    return Outcome(
        net=sum(one.net for one in outcomes) / len(outcomes),
        max_drawdown=max(one.max_drawdown for one in outcomes),
        orders=sum(one.orders for one in outcomes),
        fills=sum(one.fills for one in outcomes),
        halted=any(one.halted for one in outcomes),
        digest=hashlib.sha256("".join(one.digest for one in outcomes).encode()).hexdigest(),
        assumptions=tuple(dict.fromkeys(line for one in outcomes for line in one.assumptions)),
    )

"""Make trials: evaluate parameter sets on every stretch of a past, once each for good, and log them the moment they are whole."""

import hashlib
import pickle
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.adapters.trial_log import LoggedTrial, Outcome, Span, TrialLog
from smartmoney.runtime.backtest import BacktestJob
from smartmoney.runtime.evaluations import MARK_S, Content, Evaluation, Marks, code_hash, content_of, model_of, past_of, strategy_hash
from smartmoney.runtime.tuned_models import ModelTrainer
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


class Unmade(msgspec.Struct, frozen=True):
    """Be a trial that could not be made, and why."""

    why: str


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
        self.model = model_of(jobs[0])
        self._trainer: ModelTrainer | None = None

    def in_time(self, spans: Sequence[Span]) -> list[tuple[BacktestJob, Content]]:
        """Return the stretches and what they hold in the order of some spans, which is that of the periods."""
        by_name = {_content_name(content): (job, content) for job, content in zip(self._jobs, self._contents, strict=True)}
        return [by_name[span.content] for span in spans]

    def use_models(self, trainer: ModelTrainer) -> None:
        """Let every set from here on be decided by models that are trained for it, part by part."""
        self._trainer = trainer

    @property
    def stretches(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(job.name for job in self._jobs)

    def evaluate(self, sets: Sequence[Mapping[str, Value]], on_done: Callable[[float, int], None]) -> list[LoggedTrial | Unmade]:
        """Return a trial for each parameter set, where there can be one; `on_done(done, of)` is called as they become whole, and between.

        Raises:
            EvaluationRefused, ClusterFailed: as the workers.
            TrialLogRefused: a trial could not be logged.
        """
        settled = [self._settle(parameters) for parameters in sets]
        made: dict[str, LoggedTrial | Unmade] = {}
        wanted: dict[str, tuple[Settings, Mapping[str, Value]]] = {}
        for found, parameters in zip(settled, sets, strict=True):
            if not isinstance(found, Unmade) and found[0] not in made and found[0] not in wanted:
                name, settings = found
                logged = self._log.find(self.past, name)
                if logged is None:
                    wanted[name] = (settings, parameters)
                else:
                    made[name] = Unmade(logged.outcome.failure) if logged.outcome.failure else logged
        made |= self._train(wanted)
        whole = len(sets) - len(wanted)
        on_done(whole, len(sets))
        parts: dict[str, dict[int, Marks]] = {name: {} for name in wanted}
        work = [(name, index) for name in wanted for index in range(len(self._jobs))]
        jobs = [self._job(wanted[name][0], index) for name, index in work]

        shares: dict[int, float] = {}

        def tell() -> None:
            parts_done = sum(len(of) for name, of in parts.items() if name not in made) + sum(shares.values())
            on_done(whole + parts_done / len(self._jobs), len(sets))

        def moved(number: int, share: float) -> None:
            shares[number] = share
            tell()

        def came(number: int, encoded: bytes) -> None:
            nonlocal whole
            name, index = work[number]
            shares.pop(number, None)
            parts[name][index] = pickle.loads(encoded)  # noqa: S301  # of our own workers
            if len(parts[name]) == len(self._jobs):
                made[name] = self._keep(name, wanted[name][1], [parts[name][index] for index in range(len(self._jobs))])
                whole += 1
            tell()

        idle = [number for number, job in enumerate(jobs) if job is None]
        for number in idle:
            came(number, pickle.dumps(self._idle(work[number][1])))
        run = [number for number, job in enumerate(jobs) if job is not None]
        encoded = [self._encoded(job, index) for job, (_, index) in zip(jobs, work, strict=True) if job is not None]
        self._workers.run(encoded, lambda number, told: came(run[number], told), lambda number, share: moved(run[number], share))
        return [found if isinstance(found, Unmade) else made[found[0]] for found in settled]

    def every_trial(self) -> tuple[Floats, int]:
        """Return `(periods, trials)` returns of all that was ever evaluated on this past by any study, and how many that were.

        Trials of a build that cut time otherwise, and those without a model to trade by, are counted, though their periods cannot be set
        beside the others'.
        """
        trials = self._log.of_past(self.past)
        traded = [one for one in trials if not one.outcome.failure]
        newest = max(traded, key=lambda one: one.wall_ns)
        alike = [one.returns for one in traded if (one.period_s, len(one.returns)) == (newest.period_s, len(newest.returns))]
        return np.column_stack(alike), len(trials)

    def _settle(self, parameters: Mapping[str, Value]) -> tuple[str, Settings] | Unmade:
        """Return what names an evaluation, and its settings."""
        settings = self._jobs[0].settings
        try:
            settings = with_parameters(settings, parameters) if parameters else settings
        except ConfigurationError:
            return Unmade("its parameters do not go together")
        latency = [(job.latency, job.feed_latency_ms) for job in self._jobs]
        what = (config_hash(settings), latency, code_hash(), self._strategy, self._model_for(settings))
        return hashlib.sha256(msgspec.json.encode(what)).hexdigest(), settings

    def _model_for(self, settings: Settings) -> str:
        return self.model if self._trainer is None else self._trainer.identity(settings)

    def _train(self, wanted: dict[str, tuple[Settings, Mapping[str, Value]]]) -> dict[str, Unmade]:
        """Train what is wanted; take out, and return, what cannot be trained."""
        if self._trainer is None:
            return {}
        self._trainer.train([settings for settings, _ in wanted.values()])
        failed = {name: why for name, (settings, _) in wanted.items() if (why := self._trainer.failure(settings))}
        unmade = {name: Unmade(f"its model could not be trained: {why}") for name, why in failed.items()}
        for name, one in unmade.items():
            # It was tried: a verdict that did not count it would be too kind to the others.
            _, parameters = wanted.pop(name)
            self._keep(name, parameters, [self._idle(index) for index in range(len(self._jobs))], one.why)
        return unmade

    def _job(self, settings: Settings, index: int) -> BacktestJob | None:
        """Return a stretch under some settings; None where no model decides in it yet."""
        job = msgspec.structs.replace(self._jobs[index], settings=settings)
        if self._trainer is None:
            return job
        turns = self._trainer.turns(settings, self._trainer.place(self._contents[index]))
        return msgspec.structs.replace(job, turns=turns) if turns else None

    def _idle(self, index: int) -> Marks:
        """Return a stretch in which nothing is traded."""
        assert self._trainer is not None
        span, cash = self._trainer.span(self._contents[index]), float(self._jobs[index].settings.equity_start)
        nothing = Outcome(net=0.0, max_drawdown=0.0, orders=0, fills=0, halted=False, digest="")
        return Marks(
            first_wall_ns=span.first_wall_ns,
            cash=cash,
            equity=np.full(span.marks, cash),
            fills=np.zeros(span.marks, np.int64),
            outcome=nothing,
        )

    def _encoded(self, job: BacktestJob, index: int) -> bytes:
        evaluation = Evaluation(
            job=job, content=self._contents[index], code=code_hash(), strategy=self._strategy, model=self._model_for(job.settings)
        )
        return pickle.dumps(evaluation)

    def _keep(self, name: str, parameters: Mapping[str, Value], marks: list[Marks], failure: str = "") -> LoggedTrial:
        # By time, whatever order the stretches were named in; synthetic markets share a clock.
        in_time = sorted(zip(self._contents, self._jobs, marks, strict=True), key=_when)
        marks = [one for _, _, one in in_time]
        spans = tuple(Span(_content_name(content), one.first_wall_ns, len(one.equity)) for content, _, one in in_time)
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
            outcome=msgspec.structs.replace(_joined(marks), spans=spans, failure=failure),
            returns=np.concatenate([period_returns(one, size) for one in marks]),
            fills=np.concatenate([_period_fills(one, size) for one in marks]),
        )
        self._log.add(trial)
        return trial


def _content_name(content: Content) -> str:
    return hashlib.sha256(msgspec.json.encode([digest for _, digest in content])).hexdigest()[:24]


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

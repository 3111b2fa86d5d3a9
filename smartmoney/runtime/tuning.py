"""Search parameters by walking forward, and say whether an edge was found.

The past is cut into folds in time. Each fold has a study of its own, which proposes by what its train part showed and never sees more; of
all that was proposed from no later than that, it chooses the best on its train part, and what counts is what the choice did on the
test part that follows. A last study, of the whole past, says what one would use from here on. Every trial is a backtest of the whole past,
so it is made once for all folds, and logged for good.

Where the search trains, each part of the past is decided by a model of what came before it, so that a trial is what a daemon would have
done that trains anew at the beginning of each part; the first part of all is only learned from. So all that a fold chooses by was foretold.

Invariants: nothing that chooses for a fold was touched by its test part or the embargo before it; the result depends on the plan and
the log alone, not on workers or interruptions.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.adapters.trial_log import LoggedTrial, TrialLog
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.fitting.export import learned_span
from smartmoney.learning.sets.labels import TRADABLE_S
from smartmoney.learning.validation.gains import Gain, paired_gain
from smartmoney.learning.validation.sharpe import sharpe_ratios
from smartmoney.learning.validation.splits import Split, walk_forward
from smartmoney.learning.validation.verdict import Verdict, judge
from smartmoney.runtime.backtest import BacktestJob, BuiltIn, models_of
from smartmoney.runtime.evaluations import MARK_S, code_hash
from smartmoney.runtime.models import PRIOR_NAME
from smartmoney.runtime.training_jobs import recipe_of
from smartmoney.runtime.trials import Evaluator, Unmade
from smartmoney.runtime.tuned_models import ModelTrainer, OnPart, TrainingTerms
from smartmoney.runtime.tuned_parts import Part, Past, least_learned_s
from smartmoney.runtime.tuned_words import train_commands
from smartmoney.runtime.tuning_study import Parameters, Studies, open_studies
from smartmoney.runtime.workers import Workers
from smartmoney.settings.build import desk_parameters
from smartmoney.settings.effective import config_hash
from smartmoney.settings.models import Settings
from smartmoney.settings.search_space import SearchSpace, Value, current_value

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CURRENT = -1
"""The number of the trial that is the settings as they are."""
OnProgress = Callable[[float, int], None]
Say = Callable[[str], None]
_S = 1_000_000_000
_LABELS_SAID = "four independent labels in the first of the five stretches that a training judges itself by"


class TuningRefused(Exception):
    """Say why nothing was searched, and what to do."""

    exit_code = 1


class TunePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is searched, where, and how.

    `jobs` are the stretches with the settings as they are; `trials` is how many the search has when it is done; `batch` is how many each
    study asks for before it learns of the last ones; `name` and `storage` None: after what is searched, and beside the journal; `training`:
    models are trained for each part of the past, on what came before it.
    """

    jobs: tuple[BacktestJob, ...]
    space: SearchSpace
    trials: int
    folds: int
    batch: int
    seed: int
    storage: str
    name: str | None = None
    training: TrainingTerms | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings as they are."""
        return self.jobs[0].settings


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """Be one fold: what it chose from its past, and what that did afterwards. Scores are Sharpe ratios a period; `test_net` a fraction."""

    fold: int
    train_periods: int
    test_periods: int
    chosen: int
    parameters: Mapping[str, Value]
    train_score: float
    test_score: float
    test_net: float
    test_fills: int


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """Be one trial; `study` is the fold that asked for it (0: the settings as they are; folds + 1: the whole past).

    `refused`: its parameters do not go together, or its models could not be trained, so it was never run; `why` says so.
    """

    number: int
    study: int
    parameters: Mapping[str, Value]
    refused: bool = False
    why: str = ""
    net: float = 0.0
    score: float = 0.0
    max_drawdown: float = 0.0
    fills: int = 0
    halted: bool = False


class TuneResult(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a search came to. `fitted` are the parameters that were best on the whole past: to be used only with an edge.

    Where models were trained, `lead_s` is how much of the past was only learned from, and `train_with` are the commands that make the model
    of `fitted` from all of it.
    """

    study: str
    past: str
    verdict: Verdict
    over_current: Gain
    folds: tuple[FoldResult, ...]
    fitted: Mapping[str, Value]
    importances: Mapping[str, float]
    trials: tuple[TrialResult, ...]
    stretches: tuple[str, ...]
    periods: int
    period_s: float
    embargo_s: float
    is_synthetic: bool
    assumptions: tuple[str, ...]
    is_current_best: bool = False
    """Whether `fitted` are the settings as they are, by the model that they have."""
    lead_s: float = 0.0
    train_with: tuple[str, ...] = ()
    build: str = __version__


class _Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Be a trial that a fold may choose, `study` being the first study that may."""

    number: int
    study: int
    parameters: Parameters
    made: LoggedTrial


def _nothing(*_: object) -> None:
    """Show nothing."""


def tune(
    plan: TunePlan,
    log: TrialLog,
    workers: Workers,
    on_progress: OnProgress = _nothing,
    on_part: OnPart = _nothing,
    say: Say = _nothing,
) -> TuneResult:
    """Search until the study has its trials, and judge. What was done before, in this study or any other on that past, is not done again.

    `on_progress(done, of)` counts trials, `on_part(what, done, of)` what training needs; `say` gets what that costs before it begins.

    Raises:
        TuningRefused, StudyRefused, ResearchMissing: nothing can be searched.
        EvaluationRefused, ClusterFailed: the search ended early; the same call goes on.
        TrialLogRefused: a trial could not be logged.
        OSError: a source cannot be read.
    """
    evaluator = Evaluator(plan.jobs, log, workers, plan.name or "")
    identity = _identity(plan, evaluator)
    name = plan.name or f"tune-{hashlib.sha256(identity.encode()).hexdigest()[:10]}"
    evaluator.study = name
    with open_studies(plan.storage, name, plan.folds + 1, plan.space, plan.seed, identity) as studies:
        search = _Search(plan, evaluator, studies, on_progress)
        search.prepare(workers, on_part, say)
        search.run()
        return search.result(name)


def longest_holding_s(settings: Settings, space: SearchSpace) -> float:
    """Return for how long a position may be held at most, in seconds, whatever of the space is chosen."""
    horizon_s = desk_parameters(settings).horizon_s
    found = next((one for one in space.dimensions if one.key == "execution.max_holding_s"), None)
    if found is None:
        return settings.execution.max_holding_s or horizon_s
    return max([float(choice) for choice in found.choices if isinstance(choice, int | float)] or [found.high])


def _identity(plan: TunePlan, evaluator: Evaluator) -> str:
    latency = msgspec.to_builtins([(job.latency, job.feed_latency_ms) for job in plan.jobs[:1]])
    parts = {
        "past": evaluator.past,
        "model": evaluator.model,
        "space": plan.space.hash,
        "settings": config_hash(plan.settings),
        "latency": latency,
        "folds": plan.folds,
        "batch": plan.batch,
        "seed": plan.seed,
        "build": code_hash(),
    }
    if plan.training is not None:
        parts["training"] = [plan.training.worlds, plan.training.hours]
    return msgspec.json.encode(parts, order="sorted").decode()


class _Search:
    """Run the rounds of one search, and make its result."""

    def __init__(self, plan: TunePlan, evaluator: Evaluator, studies: Studies, on_progress: OnProgress) -> None:
        self._plan = plan
        self._evaluator = evaluator
        self._studies = studies
        self._on_progress = on_progress
        self._embargo_s = longest_holding_s(plan.settings, plan.space)
        self._asked: dict[int, tuple[int, Parameters]] = {}
        self._why: dict[int, str] = {}
        self._candidates: list[_Candidate] = []
        current = {dimension.key: current_value(plan.settings, dimension.key) for dimension in plan.space.dimensions}
        [made] = evaluator.evaluate([{}], self._progress(0))
        assert not isinstance(made, Unmade)
        self._current = _Candidate(number=CURRENT, study=0, parameters=current, made=made)
        self._candidates.append(self._current)
        self._past = Past(
            spans=made.outcome.spans,
            mark_s=MARK_S,
            period_s=made.period_s,
            embargo_s=self._embargo_s,
            is_shared=not self._is_synthetic,
        )
        _check_untouched(plan, self._past)
        _check_order(self._past)
        self._lead = 0 if plan.training is None else self._find_lead(len(made.returns))
        self._splits = self._cut(len(made.returns), made.period_s)
        self._trains = [split.train for split in self._splits] + [np.arange(self._lead, len(made.returns))]

    @property
    def _is_synthetic(self) -> bool:
        return any(isinstance(job.source, BuiltIn) for job in self._plan.jobs)

    def _find_lead(self, periods: int) -> int:
        """Return how many periods are only learned from."""
        plan, past = self._plan, self._past
        recipe = recipe_of(plan.settings, built_in=False)
        least_s = least_learned_s(recipe.folds, [one for one in recipe.horizons_s if one in TRADABLE_S])
        lead = past.lead(plan.folds, least_s)
        needed_s = least_s + self._embargo_s + (plan.folds + 1) * (self._embargo_s + 2 * past.period_s)
        if lead is None or (periods - lead) * past.period_s < (plan.folds + 1) * (self._embargo_s + 2 * past.period_s):
            raise TuningRefused(
                f"no model can be trained: too little data: {periods * past.period_s / 60:.0f} min; the first one learns from "
                f"{least_s / 60:.0f} min at least ({_LABELS_SAID}), and {plan.folds} folds with an embargo of {self._embargo_s:g} s need "
                f"{(needed_s - least_s) / 60:.0f} min beside that: {needed_s / 60:.0f} min in all; give more recordings, or fewer --folds"
            )
        return lead

    def _cut(self, periods: int, period_s: float) -> tuple[Split, ...]:
        blocks = self._plan.folds + 1
        needed_s = blocks * (self._embargo_s + 2 * period_s)
        if periods < blocks or periods * period_s < needed_s:
            raise TuningRefused(
                f"no edge can be found: too little data: {periods * period_s / 60:.0f} min; {self._plan.folds} folds with an embargo of "
                f"{self._embargo_s:g} s, the longest holding, need {needed_s / 60:.0f} min at the very least; give more recordings, "
                "or fewer --folds, or a shorter execution.max_holding_s"
            )
        starts = np.arange(self._lead, periods, dtype=np.int64) * round(period_s * _S)
        splits = walk_forward(starts, starts + round(period_s * _S) - 1, self._plan.folds, round(self._embargo_s * _S))
        return tuple(Split(split.train + self._lead, split.test + self._lead, split.groups) for split in splits)

    def prepare(self, workers: Workers, on_part: OnPart, say: Say) -> None:
        """Where models are trained, train those of the settings as they are, so that it is known whether and at what cost that goes.

        Raises:
            TuningRefused: it does not.
        """
        plan = self._plan
        if plan.training is None:
            return
        spans = self._past.spans
        trainer = ModelTrainer(plan.training, plan.space, self._evaluator.in_time(spans), self._past, self._parts(), workers, on_part)
        if trainer.base is not None and not self._is_synthetic:
            _check_model(trainer.base, self._past, "the model whose regimes are stood on")
        say(f"models of {len(trainer.parts)} parts under the settings as they are come first, and say what the search will cost")
        trainer.train([plan.settings])
        if why := trainer.failure(plan.settings):
            raise TuningRefused(f"no model can be trained under the settings as they are: {why}")
        say(trainer.cost(plan.settings, plan.trials).words())
        self._evaluator.use_models(trainer)

    def _parts(self) -> list[Part]:
        return [self._past.part(first) for first in (self._lead, *(int(split.test[0]) for split in self._splits))]

    def run(self) -> None:
        """Ask, evaluate and tell, round by round. A round's size is the plan's, never the number of workers."""
        per_round = self._plan.batch * len(self._trains)
        for first in range(0, self._plan.trials, per_round):
            self._share()
            asked = []
            for number in range(first, min(first + per_round, self._plan.trials)):
                study = (number - first) // self._plan.batch
                asked.append((number, study, self._studies.ask(number, study)))
            made = self._evaluator.evaluate([parameters for _, _, parameters in asked], self._progress(first))
            for (number, study, parameters), trial in zip(asked, made, strict=True):
                self._asked[number] = (study, parameters)
                if isinstance(trial, Unmade):
                    self._why[number] = trial.why
                    self._studies.fail(number, trial.why)
                    continue
                self._studies.tell(number, self._score(trial, study))
                self._candidates.append(_Candidate(number=number, study=study, parameters=parameters, made=trial))
            self._on_progress(first + len(asked), self._plan.trials)

    def _progress(self, before: int) -> OnProgress:
        return lambda done, _of: self._on_progress(min(before + done, self._plan.trials), self._plan.trials)

    def _share(self) -> None:
        """Show each study what earlier ones tried: they knew no more than it does.

        Where models are trained the settings as they are stand for another model, which says nothing of those that have their values.
        """
        shown = self._candidates if self._plan.training is None else self._candidates[1:]
        for index in range(len(self._trains)):
            for one in shown:
                if one.number == CURRENT or one.study < index:
                    self._studies.show(index, one.number, one.parameters, self._score(one.made, index))

    def _score(self, trial: LoggedTrial, index: int) -> float:
        return _ratio(trial.returns[self._trains[index]])

    def _choose(self, index: int) -> _Candidate:
        """Return the best on a study's train part of what it may know; the first among equals."""
        known = [one for one in self._candidates if one.study <= index]
        return max(known, key=lambda one: (self._score(one.made, index), -one.number))

    def result(self, name: str) -> TuneResult:
        """Return what the search came to."""
        chosen = [self._choose(index) for index in range(len(self._splits))]
        rows = np.concatenate([split.test for split in self._splits])
        returns = np.concatenate([one.made.returns[split.test] for one, split in zip(chosen, self._splits, strict=True)])
        fills = sum(int(one.made.fills[split.test].sum()) for one, split in zip(chosen, self._splits, strict=True))
        period_s = self._current.made.period_s
        block_rows = max(1, round(self._embargo_s / period_s))
        every, count = self._evaluator.every_trial()
        every, rows = every[self._lead :], rows - self._lead
        fitted = self._choose(len(self._splits))
        return TuneResult(
            study=name,
            past=self._evaluator.past,
            verdict=judge(returns, rows, every, count=count, block_rows=block_rows, period_s=period_s, fills=fills, seed=self._plan.seed),
            over_current=paired_gain(returns, self._current.made.returns[self._lead :][rows], block_rows, self._plan.seed),
            folds=tuple(self._fold(number, split, one) for number, (split, one) in enumerate(zip(self._splits, chosen, strict=True), 1)),
            fitted=fitted.parameters,
            importances=self._studies.importances(),
            trials=tuple(self._trials()),
            stretches=self._evaluator.stretches,
            periods=len(self._current.made.returns),
            period_s=period_s,
            embargo_s=self._embargo_s,
            is_synthetic=self._is_synthetic,
            assumptions=fitted.made.outcome.assumptions,
            lead_s=self._lead * period_s,
            is_current_best=fitted.number == CURRENT,
            train_with=self._commands(fitted),
        )

    def _commands(self, fitted: _Candidate) -> tuple[str, ...]:
        plan = self._plan
        if plan.training is None or fitted.number == CURRENT:
            return ()
        return train_commands(plan.jobs, plan.training, plan.space, fitted.parameters)

    def _fold(self, number: int, split: Split, one: _Candidate) -> FoldResult:
        tested = one.made.returns[split.test]
        return FoldResult(
            fold=number,
            train_periods=len(split.train),
            test_periods=len(split.test),
            chosen=one.number,
            parameters=one.parameters,
            train_score=self._score(one.made, number - 1),
            test_score=_ratio(tested),
            test_net=float(np.prod(1.0 + tested) - 1.0),
            test_fills=int(one.made.fills[split.test].sum()),
        )

    def _trials(self) -> Sequence[TrialResult]:
        made = {one.number: one for one in self._candidates}
        rows = []
        for number, study, parameters in chain(
            [(CURRENT, -1, self._current.parameters)], ((number, *asked) for number, asked in sorted(self._asked.items()))
        ):
            one = made.get(number)
            if one is None:
                rows.append(TrialResult(number=number, study=study + 1, parameters=parameters, refused=True, why=self._why[number]))
                continue
            outcome = one.made.outcome
            rows.append(
                TrialResult(
                    number=number,
                    study=study + 1,
                    parameters=parameters,
                    net=float(np.prod(1.0 + one.made.returns[self._lead :]) - 1.0),
                    score=_ratio(one.made.returns[self._lead :]),
                    max_drawdown=outcome.max_drawdown,
                    fills=outcome.fills,
                    halted=outcome.halted,
                )
            )
        return rows


def _check_order(past: Past) -> None:
    """Refuse stretches of the same hours: what one taught would be tested on what another showed at that time."""
    if past.is_shared and past.overlap_s > past.embargo_s:
        raise TuningRefused(
            f"stretches overlap by {past.overlap_s / 60:.0f} min: what is chosen by one would be tested on the same hours of another; "
            "give what was recorded at the same time as one session (without --each), or one instrument at a time"
        )


def _check_untouched(plan: TunePlan, past: Past) -> None:
    """Refuse a past that the settings' own model learned from: what it foretells there, it was told."""
    if any(isinstance(job.source, BuiltIn) for job in plan.jobs):
        return
    models = models_of(plan.jobs[0])
    chosen = models.choose(plan.settings)
    if chosen != PRIOR_NAME:
        _check_model(models.bundle(chosen), past, "the model")


def _check_model(bundle: Bundle, past: Past, which: str) -> None:
    span = learned_span(bundle.spec)
    begins_ns = min(one.first_wall_ns for one in past.spans)
    if span is not None and span[1] >= begins_ns:
        raise TuningRefused(
            f"{which} {bundle.name} learned from recordings until {_date(span[1])}, and this past begins on {_date(begins_ns)}: it knows "
            "what it would be asked; search what came later, or set model: prior, or another model"
        )


def _date(wall_ns: int) -> str:
    return dt.datetime.fromtimestamp(wall_ns // _S, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _ratio(returns: Floats) -> float:
    return float(sharpe_ratios(returns[:, None])[0]) if len(returns) > 1 else 0.0

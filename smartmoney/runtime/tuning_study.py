"""The optuna side of a search: one study per fold and one for the whole past, each of which knows only what its own train part knew.

Invariants: what is proposed depends on the seed, the trial's number and what was told before its round, so that neither the number of
workers nor an interruption changes it; a trial that was asked for is never asked for twice.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from smartmoney.runtime.workers import ResearchMissing
from smartmoney.settings.search_space import Dimension, SearchSpace, Value

_NUMBER, _FROM, _IDENTITY, _FAILED = "smartmoney_number", "smartmoney_from", "smartmoney_identity", "smartmoney_failed"

Parameters = dict[str, Value]


class StudyRefused(Exception):
    """Say why a study cannot be used, and what to do."""

    exit_code = 1


class Studies:
    """Ask for parameter sets, and tell what came of them. Make them with `open_studies`."""

    def __init__(self, studies: list[Any], space: SearchSpace, seed: int) -> None:
        """Take opened studies, the last one being that of the whole past."""
        self._studies = studies
        self._distributions = {dimension.key: _distribution(dimension) for dimension in space.dimensions}
        self._seed = seed
        self._asked: dict[int, tuple[int, Any]] = {}
        self._known: list[set[int]] = []
        for index, study in enumerate(studies):
            self._known.append(set())
            for trial in study.get_trials(deepcopy=False):
                self._take_up(index, study, trial)

    def _take_up(self, index: int, study: Any, trial: Any) -> None:
        from optuna.trial import TrialState

        if _NUMBER in trial.user_attrs:
            self._asked[trial.user_attrs[_NUMBER]] = (index, trial)
        elif _FROM in trial.user_attrs:
            self._known[index].add(trial.user_attrs[_FROM])
        elif trial.state == TrialState.RUNNING:
            # Asked for in the instant in which the last search was killed: nobody knows its number.
            study.tell(trial.number, state=TrialState.FAIL)

    def ask(self, number: int, index: int) -> Parameters:
        """Return the parameters of trial `number`, which belongs to study `index`: those that it had, if it was asked for before."""
        from optuna.samplers import TPESampler

        if number not in self._asked:
            study = self._studies[index]
            study.sampler = TPESampler(seed=_seed_of(self._seed, number))
            trial = study.ask(self._distributions)
            trial.set_user_attr(_NUMBER, number)
            self._asked[number] = (index, trial)
        return dict(self._asked[number][1].params)

    def tell(self, number: int, score: float) -> None:
        """Say what a trial scored on its study's train part. Once said is enough."""
        index, trial = self._asked[number]
        if not self._is_told(number):
            self._studies[index].tell(trial.number, score)

    def fail(self, number: int, why: str) -> None:
        """Say that there can be no such trial, and why. Once said is enough."""
        from optuna.trial import TrialState

        index, trial = self._asked[number]
        if not self._is_told(number):
            self._studies[index].set_user_attr(f"{_FAILED} {number}", why)
            self._studies[index].tell(trial.number, state=TrialState.FAIL)

    def _is_told(self, number: int) -> bool:
        index, trial = self._asked[number]
        return bool(self._studies[index].get_trials(deepcopy=False)[trial.number].state.is_finished())

    def show(self, index: int, number: int, parameters: Mapping[str, Value], score: float) -> None:
        """Tell study `index` of a trial that another one asked for, with its score on this study's train part. Once shown is enough.

        Parameters outside the space are not shown: its sampler could not place them.
        """
        from optuna.trial import create_trial

        if number in self._known[index]:
            return
        self._known[index].add(number)
        if all(_holds(self._distributions[key], parameters.get(key)) for key in self._distributions):
            shown = {key: parameters[key] for key in self._distributions}
            made = create_trial(params=shown, distributions=self._distributions, value=score, user_attrs={_FROM: number})
            self._studies[index].add_trial(made)

    def importances(self) -> dict[str, float]:
        """Return each key's share in what made trials on the whole past good; nothing where that cannot be told."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        study = self._studies[-1]
        values = {trial.value for trial in study.get_trials(deepcopy=False) if trial.value is not None}
        if len(values) < 2:
            return {}
        return {key: float(share) for key, share in get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()).items()}


@contextmanager
def open_studies(storage: str, name: str, count: int, space: SearchSpace, seed: int, identity: str) -> Iterator[Studies]:
    """Open the studies of a search, making them if need be.

    Raises:
        ResearchMissing: the `research` extra is not installed.
        StudyRefused: the storage cannot be used, or the name belongs to a search of something else.
    """
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise ResearchMissing("optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        backend = optuna.storages.RDBStorage(storage)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as problem:
        raise _unusable(problem) from None
    _hurry(backend.engine)
    try:
        try:
            studies = [
                optuna.create_study(storage=backend, study_name=f"{name}/{index}", direction="maximize", load_if_exists=True)
                for index in range(count)
            ]
            for study in studies:
                _claim(study, name, identity)
            yield Studies(studies, space, seed)
        finally:
            backend.remove_session()
            backend.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as problem:
        raise _unusable(problem) from None


def _unusable(problem: Exception) -> StudyRefused:
    said = " ".join(str(problem).split())[:200]
    return StudyRefused(f"--storage cannot be used: {said}; give a SQLAlchemy URL such as sqlite:////folder/file.db")


def _hurry(engine: Any) -> None:
    """Let SQLite commit without waiting for the disk: after a power cut the last trials are asked for again, and found in the log."""
    from sqlalchemy import event

    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare)
        engine.dispose()


def _claim(study: Any, name: str, identity: str) -> None:
    standing = study.user_attrs.get(_IDENTITY)
    if standing is None:
        study.set_user_attr(_IDENTITY, identity)
    elif standing != identity:
        before, now = json.loads(standing), json.loads(identity)
        differs = ", ".join(key for key in now if now[key] != before.get(key))
        raise StudyRefused(f"study {name} is of another search (its {differs} differ); choose another name with --study, or leave it out")


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=int(dimension.step or 1))
    return FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log, step=dimension.step)


def _holds(distribution: Any, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))  # noqa: SLF001  # there is no public way to ask
    except (ValueError, TypeError):
        return False


def _seed_of(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "little")

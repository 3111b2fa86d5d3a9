"""A search that trains, whole and real but for a small recipe: each part's model knows its past alone, and nothing is trained twice."""

import gzip
import os
import pickle
import shutil
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("optuna")

from smartmoney.adapters.bounded_folder import USED_NS
from smartmoney.adapters.model_files import assemble, write_bundle
from smartmoney.adapters.trial_log import Span, TrialLog
from smartmoney.core.domain.entries import EntryKind
from smartmoney.learning.fitting.export import learned_span
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.trainer import data_hash
from smartmoney.runtime import tuned_models, tuned_training
from smartmoney.runtime import tuning as search
from smartmoney.runtime.backtest import BacktestJob, Recordings
from smartmoney.runtime.evaluations import Evaluation, content_of
from smartmoney.runtime.training_jobs import stage_champion
from smartmoney.runtime.tuned_models import ModelTrainer, Shelf, TrainingTerms
from smartmoney.runtime.tuned_parts import Past
from smartmoney.runtime.tuned_training import BaseWork, Stretch, TrainedModel, TrainingWork, stretch_rows
from smartmoney.runtime.tuned_words import train_commands
from smartmoney.runtime.tuning import CURRENT, TunePlan, TuningRefused, tune
from smartmoney.runtime.tuning_worker import evaluate
from smartmoney.runtime.workers import local_workers
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.load import load_settings
from smartmoney.settings.search_space import is_trained, load_space, with_parameters
from smartmoney.simulation.order_latency import OrderLatency
from tests.captured_past import market_frames
from tests.unit.learning.made_rows import made_rows

SECONDS = 7_800
BEGINS_NS = 1_700_000_000_000_000_000
HOLDING_S = 60
EAGER = {
    "strategy.confidence_threshold": 0.55,
    "execution.max_holding_s": HOLDING_S,
    "strategy.min_liquidity_score": 0.01,
    "advanced_features.signal_generation.min_confidence": 0.5,
    "advanced_features.feature_engine.confidence_threshold": 0.5,
    "advanced_features.feature_engine.risk_adjustment_factor": 0.0,
    "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.01,
}
DEPTH = "advanced_features.feature_engine.feature_interaction_depth"
SPACE = f"{DEPTH}: {{choices: [1, 2, 3]}}\nstrategy.confidence_threshold: {{low: 0.5, high: 0.7, step: 0.1}}\n"
TRIALS, FOLDS = 6, 2
UNTEACHABLE = 3
"""The depth of products for which the small recipe asks for what the recording cannot teach."""


def small_recipe(settings, *, built_in):
    depth = settings.advanced_features.feature_engine.feature_interaction_depth
    horizon = 3600 if depth == UNTEACHABLE else 300
    return Recipe(interaction_depth=depth, every_s=10, folds=2, horizons_s=(horizon,), hmm_rows=3000)


def recipe_with_regimes(settings, *, built_in):
    depth = settings.advanced_features.regime_classification.gb_max_depth
    horizons = () if built_in else (300,)
    return Recipe(gb_n_estimators=12, gb_max_depth=depth, every_s=10, folds=2, horizons_s=horizons, hmm_rows=4000)


def write_recording(path, seconds, seed=5, change_after=None):
    """Write a learnable market as raw frames; after `change_after` seconds it is another one's."""
    with gzip.open(path, "wt", compresslevel=1) as out:
        until_ns = BEGINS_NS + (change_after or seconds) * 1_000_000_000
        for kind, at_ns, text in market_frames(seconds, BEGINS_NS, seed):
            if at_ns >= until_ns and kind is EntryKind.FRAME:
                text = text.replace('"q":"0.0', '"q":"0.1')
            out.write(f"{at_ns} {text}\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("trained")
    write_recording(base / "day.gz", SECONDS)
    (base / "space.yaml").write_text(SPACE)
    return base


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        for module in (tuned_models, search):
            patch.setattr(module, "recipe_of", small_recipe)
        yield


class Counted:
    """Be workers that note what they are asked for, and break off before the n-th thing."""

    def __init__(self, dies_before=None):
        self.works, self.dies_before = [], dies_before

    def run(self, work, on_result, on_share=None):
        for number, encoded in enumerate(work):
            if len(self.works) == self.dies_before:
                raise KeyboardInterrupt
            self.works.append(pickle.loads(encoded))
            on_result(number, evaluate(encoded))

    def of(self, kind):
        return [one for one in self.works if isinstance(one, kind)]


def job_of(path, settings):
    return BacktestJob(name=path.name, source=Recordings((str(path),), "spot"), settings=settings, latency=OrderLatency())


@pytest.fixture(scope="module")
def run(folder):
    """Search in a state of its own; give the result and what was said."""
    settings = load_settings(overrides=EAGER)

    def made(name, workers, path=folder / "day.gz", **changes):
        terms = TrainingTerms(store=str(folder / name / "models"), shelf=str(folder / name / "shelf"))
        given = {"trials": TRIALS, "folds": FOLDS, "batch": 1, "seed": 1, "storage": f"sqlite:///{folder / name / 'studies.db'}"}
        plan = TunePlan(
            **{
                "jobs": (job_of(path, settings),),
                "space": load_space(folder / "space.yaml", settings),
                "training": terms,
                **given,
                **changes,
            }
        )
        said = []
        with TrialLog.open(folder / name / "trials.db") as log:
            return tune(plan, log, workers, say=said.append), said

    return made


@pytest.fixture(scope="module")
def alone(run):
    workers = Counted()
    result, said = run("alone", workers)
    return result, said, workers


@pytest.mark.slow
def test_each_parts_model_is_of_the_rows_before_it_and_of_no_others(alone, folder):
    _, _, workers = alone
    trainings = workers.of(TrainingWork)
    shelf = Shelf(folder / "alone" / "shelf")
    settings = load_settings(overrides=EAGER)
    source = Recordings((str(folder / "day.gz"),), "spot")
    [rows] = stretch_rows(Stretch(name="day", source=source, content=content_of(source)), feature_parameters(settings))
    evaluations = [one for one in workers.of(Evaluation) if one.job.turns]
    assert evaluations
    for evaluation in evaluations:
        turns = evaluation.job.turns
        assert len(turns) == FOLDS + 2
        assert not any(head.tradable for head in turns[0].bundle.spec.heads)
        for turn in turns[1:]:
            until_ns = turn.since_ns - HOLDING_S * 1_000_000_000
            known = rows.times < until_ns
            cut = msgspec.structs.replace(rows, times=rows.times[known], values=rows.values[known], mid_after=rows.mid_after[known])
            assert turn.bundle.spec.trained.data_hash == data_hash([cut])
            assert learned_span(turn.bundle.spec)[1] < until_ns
    assert all(shelf.find(one.key) is not None for one in trainings)


@pytest.mark.slow
def test_what_comes_after_a_part_begins_changes_nothing_of_its_model(alone, run, folder):
    """A recording that is another one from the second part on: the first part's model is the same to the last bit."""
    _, _, workers = alone
    first = next(one for one in workers.of(Evaluation) if one.job.turns).job.turns
    second_s = (first[2].since_ns - BEGINS_NS) // 1_000_000_000
    write_recording(folder / "changed.gz", SECONDS, change_after=second_s)
    changed = Counted()
    run("changed", changed, folder / "changed.gz", trials=1)
    turns = next(one for one in changed.of(Evaluation) if one.job.turns).job.turns
    assert [one.since_ns for one in turns] == [one.since_ns for one in first]
    depth = turns[1].bundle.spec.parameters["feature_interaction_depth"]
    same = next(
        one.job.turns
        for one in workers.of(Evaluation)
        if one.job.turns and one.job.turns[1].bundle.spec.parameters["feature_interaction_depth"] == depth
    )
    assert [a.bundle.hash == b.bundle.hash for a, b in zip(turns[1:], same[1:], strict=True)] == [True, True, False]


@pytest.mark.slow
def test_trials_with_the_same_model_train_once_and_a_model_that_cannot_be_trained_is_a_refused_trial(alone, folder):
    result, said, workers = alone
    trainings = workers.of(TrainingWork)
    assert len({one.key for one in trainings}) == len(trainings)
    depths = {trial.parameters[DEPTH] for trial in result.trials if trial.number != CURRENT}
    # The settings as they are were trained, too, to know what it costs.
    assert len(trainings) == (FOLDS + 1) * len(depths | {2})
    refused = {trial.number for trial in result.trials if trial.refused}
    assert refused == {trial.number for trial in result.trials if trial.parameters[DEPTH] == UNTEACHABLE and trial.number != CURRENT}
    assert refused
    with TrialLog.open(folder / "alone" / "trials.db") as log:
        logged = log.of_past(result.past)
    failed = [one for one in logged if one.outcome.failure]
    tried = [msgspec.json.encode(dict(trial.parameters)).decode() for trial in result.trials if trial.refused]
    assert {one.parameters for one in failed} == set(tried)
    assert all(not one.returns.any() and len(one.returns) == result.periods for one in failed)
    # They say nothing of luck with prices, and were tried all the same.
    assert result.verdict.trials == len(logged) == len({one.evaluation for one in logged})
    assert all("3600 s ahead" in trial.why for trial in result.trials if trial.refused)
    assert said[1].startswith(f"trains at most {3 * (FOLDS + 1)} models, of about ")
    # So little teaches models to keep silent; the default trades there. (tests/replay has models that trade by turns.)
    assert result.trials[0].fills > 0
    assert result.lead_s >= 5_400
    assert np.isfinite(result.verdict.sharpe)
    recording = workers.of(Evaluation)[0].job.source.files[0]
    chosen = " ".join(f"--set {key}={value}" for key, value in result.fitted.items())
    assert result.train_with == (f"smartmoney train {recording} --market spot {chosen}",)


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_and_makes_nothing_twice(alone, run):
    whole, _, workers = alone
    broken, rest = Counted(dies_before=len(workers.works) // 2), Counted()
    with pytest.raises(KeyboardInterrupt):
        run("broken", broken)
    result, _ = run("broken", rest)
    assert msgspec.json.encode(result) == msgspec.json.encode(whole)
    for kind in (TrainingWork, Evaluation):
        assert len(broken.of(kind)) + len(rest.of(kind)) == len(workers.of(kind))


@pytest.mark.campaign
def test_two_processes_come_to_the_same(alone, run):
    whole, _, _ = alone
    with local_workers(2) as two:
        assert msgspec.json.encode(run("two", two)[0]) == msgspec.json.encode(whole)


@pytest.mark.slow
def test_where_regimes_are_searched_each_has_a_model_of_the_built_in_market_below_it(folder, monkeypatch):
    """The worlds are made rows here, since real ones take minutes; what is learned from them, and stood on, is real."""
    monkeypatch.setattr(tuned_training, "world_rows", lambda *_, **__: [made_rows(seed, f"family{seed % 2}") for seed in range(4)])
    monkeypatch.setattr(tuned_models, "training_worlds", lambda *_: ())
    monkeypatch.setattr(tuned_models, "training_windows", lambda *_: ())
    monkeypatch.setattr(tuned_models, "recipe_of", recipe_with_regimes)
    (folder / "regimes.yaml").write_text("advanced_features.regime_classification.gb_max_depth: {choices: [2, 3]}\n")
    settings = load_settings(overrides=EAGER)
    space = load_space(folder / "regimes.yaml", settings)
    source = Recordings((str(folder / "day.gz"),), "spot")
    content = content_of(source)
    past = Past(spans=(Span("day", BEGINS_NS, SECONDS // 10),), mark_s=10, period_s=10.0, embargo_s=HOLDING_S, is_shared=True)
    terms = TrainingTerms(store=str(folder / "none"), shelf=str(folder / "regimes"))
    workers = Counted()
    stretches = [(job_of(folder / "day.gz", settings), content)]
    trainer = ModelTrainer(terms, space, stretches, past, [past.part(600)], workers, lambda *_: None)
    shallow, deep = (with_parameters(settings, {space.dimensions[0].key: depth}) for depth in (2, 3))
    trainer.train([shallow, deep, shallow])
    assert (len(workers.of(BaseWork)), len(workers.of(TrainingWork))) == (2, 2)
    (_, one), (_, other) = trainer.turns(shallow, 0), trainer.turns(deep, 0)
    assert one.bundle.forests["classifier"].nodes.tobytes() != other.bundle.forests["classifier"].nodes.tobytes()
    assert trainer.identity(shallow) != trainer.identity(deep)
    cost = trainer.cost(shallow, 100)
    assert (cost.models, cost.bases) == (2, 2)
    assert cost.base_s > 0.0


K, A, B, C, D = (letter * 64 for letter in "0abcd")
"""Keys as trainings have them."""


@pytest.fixture
def trained():
    bundle = stage_champion(Path("nowhere"))
    return TrainedModel(key=K, bundle=bundle, why="", took_s=1.5)


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed"])
def test_what_is_damaged_on_the_shelf_is_put_there_anew(trained, tmp_path, damage):
    shelf = Shelf(tmp_path)
    shelf.put(trained)
    assert shelf.find(K).bundle.hash == trained.bundle.hash
    nodes = tmp_path / K / "classifier.nodes.npy"
    if damage == "cut":
        nodes.write_bytes(nodes.read_bytes()[:-5])
    elif damage == "emptied":
        (tmp_path / K / "bundle.json").write_bytes(b"")
    else:
        shutil.rmtree(tmp_path / K)
    assert shelf.find(K) is None
    Shelf(tmp_path).put(trained)
    found = Shelf(tmp_path).find(K)
    assert (found.bundle.hash, found.took_s) == (trained.bundle.hash, 1.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [K, f"{K}.json"]


def test_the_shelf_stays_within_its_size_and_the_longest_unused_goes(trained, tmp_path):
    shelf = Shelf(tmp_path)
    for name in (A, B):
        shelf.put(msgspec.structs.replace(trained, key=name))
    size = sum(path.stat().st_size for path in (tmp_path / A).iterdir())
    shelf = Shelf(tmp_path, int(size * 2.5))
    now = time.time_ns()
    for name, hours in ((A, 30), (B, 20)):
        for path in (tmp_path / name, tmp_path / f"{name}.json"):
            os.utime(path, ns=(now - hours * USED_NS,) * 2)
    assert shelf.find(A) is not None
    shelf.put(msgspec.structs.replace(trained, key=C))
    assert sorted(path.name for path in tmp_path.iterdir()) == [A, f"{A}.json", C, f"{C}.json"]
    shelf.put(msgspec.structs.replace(trained, key=D))
    assert len(list(tmp_path.iterdir())) == 6, "what was used within the hour stays"


def test_rows_that_another_build_made_are_not_taken(monkeypatch):
    day = Stretch(name="day", source=Recordings(("day.gz",), "spot"), content=(("day.gz", "what it holds"),))
    features = feature_parameters(load_settings())
    before = tuned_training._rows_key(day, features)
    monkeypatch.setattr(tuned_training, "code_hash", lambda: "another build")
    assert tuned_training._rows_key(day, features) != before


def test_the_commands_for_a_choice_train_what_it_stands_on_first(folder):
    settings = load_settings(overrides=EAGER)
    (folder / "regimes.yaml").write_text("advanced_features.regime_classification.gb_max_depth: {choices: [2, 3]}\n")
    space = load_space(folder / "regimes.yaml", settings)
    key = space.dimensions[0].key
    commands = train_commands([job_of(folder / "day.gz", settings)], TrainingTerms(store="", shelf="", worlds=2), space, {key: 3})
    assert commands == (
        f"smartmoney train --built-in --worlds 2 --hours 1 --name below --set {key}=3",
        f"smartmoney train {folder / 'day.gz'} --market spot --base below --set {key}=3",
    )


def test_a_past_that_the_model_learned_from_is_refused(run, folder):
    told = msgspec.structs.replace(
        stage_champion(folder).spec, parameters={"learned_from_ns": 1, "learned_until_ns": BEGINS_NS + 60_000_000_000}
    )
    bundle = assemble(told, stage_champion(folder).forests, "")
    write_bundle(folder / "knows", bundle)
    settings = load_settings(overrides={**EAGER, "model": str(folder / "knows")})
    write_recording(folder / "short.gz", 900)
    with pytest.raises(TuningRefused, match=r"learned from recordings until 2023-11-14 22:14 UTC, and this past begins on 2023-11-14"):
        run("knows", Counted(), jobs=(job_of(folder / "short.gz", settings),), training=None)


def test_too_little_to_train_on_is_refused_before_anything_is_trained(run, folder):
    write_recording(folder / "short.gz", 900)
    workers = Counted()
    with pytest.raises(TuningRefused, match=r"no model can be trained: too little data: 15 min; the first one learns from 90 min at least"):
        run("short", workers, folder / "short.gz")
    assert not workers.of(TrainingWork)


def test_a_space_says_whether_models_are_trained(folder, tmp_path):
    settings = load_settings()
    assert is_trained(load_space(folder / "space.yaml", settings), settings)
    (tmp_path / "window.yaml").write_text("advanced_features.regime_classification.feature_window: {choices: [50, 100]}\n")
    window = load_space(tmp_path / "window.yaml", settings)
    assert is_trained(window, settings)
    assert not is_trained(window, load_settings(overrides={"model": "prior"}))
    (tmp_path / "plain.yaml").write_text("strategy.confidence_threshold: {low: 0.5, high: 0.7}\n")
    assert not is_trained(load_space(tmp_path / "plain.yaml", settings), settings)

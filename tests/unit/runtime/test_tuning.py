"""The search as a whole, on outcomes that are known: an edge that is there is found, one that is not is not, and nothing sees its future.

The workers here make an outcome from an evaluation's settings instead of a backtest; everything else is the real thing.
"""

import pickle
from itertools import pairwise

import msgspec
import numpy as np
import pytest

pytest.importorskip("optuna")

from smartmoney.adapters.trial_log import Outcome, TrialLog
from smartmoney.runtime.backtest import BacktestJob, Recordings
from smartmoney.runtime.evaluations import Marks
from smartmoney.runtime.tuning import CURRENT, TunePlan, TuningRefused, longest_holding_s, tune
from smartmoney.runtime.tuning_study import StudyRefused
from smartmoney.settings.load import load_settings
from smartmoney.settings.search_space import load_space
from smartmoney.simulation.order_latency import OrderLatency

MARKS = 1500
SPACE = "strategy.confidence_threshold: {low: 0.5, high: 0.9, step: 0.01}\nstrategy.rebalance_band: {low: 0.0, high: 0.9, step: 0.1}\n"


class Worlds:
    """Be workers: the return of each mark is noise, and an edge the nearer the threshold is to 0.6."""

    def __init__(self, edge=0.0, *, seed=1, backwards=False, dies_after=None, late=0.0):
        self.edge, self.seed, self.backwards, self.dies_after, self.late = edge, seed, backwards, dies_after, late
        self.evaluated = []

    def run(self, work, on_result, on_share):
        for index in reversed(range(len(work))) if self.backwards else range(len(work)):
            if self.dies_after is not None and len(self.evaluated) >= self.dies_after:
                raise KeyboardInterrupt
            on_result(index, pickle.dumps(self.marks(pickle.loads(work[index]))))

    def marks(self, evaluation):
        strategy = evaluation.job.settings.strategy
        key = (strategy.confidence_threshold, strategy.rebalance_band)
        self.evaluated.append(key)
        chance = np.random.default_rng([self.seed, *(round(1000 * part) for part in key)])
        returns = chance.normal(0.0, 1e-4, MARKS) + self.edge * max(0.0, 1.0 - 10.0 * abs(key[0] - 0.6))
        returns[MARKS * 4 // 5 :] += self.late * key[1]
        outcome = Outcome(net=0.0, max_drawdown=0.0, orders=50, fills=MARKS, halted=False, digest=str(key), assumptions=("made up",))
        equity = 10_000.0 * np.cumprod(1.0 + returns)
        return Marks(first_wall_ns=1, cash=10_000.0, equity=equity, fills=np.ones(MARKS, np.int64), outcome=outcome)


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "day.gz").write_bytes(b"a day")
    settings = load_settings(overrides={"execution.max_holding_s": 60})
    job = BacktestJob(name="day", source=Recordings((str(tmp_path / "day.gz"),), "spot"), settings=settings, latency=OrderLatency())

    def made(**changes):
        given = {"trials": 16, "folds": 4, "batch": 2, "seed": 1, "storage": f"sqlite:///{tmp_path / 'studies.db'}"}
        return TunePlan(**{"jobs": (job,), "space": load_space(tmp_path / "space.yaml", settings), **given, **changes})

    return made


@pytest.fixture
def search(plan, tmp_path):
    """Search in a state folder of its own, or go on in that of another."""

    def run(worlds, folder="state", **changes):
        with TrialLog.open(tmp_path / folder / "trials.db") as log:
            return tune(plan(**{"storage": f"sqlite:///{tmp_path / folder / 'studies.db'}", **changes}), log, worlds)

    return run


@pytest.mark.slow
def test_an_edge_that_is_there_is_found_and_so_is_where(search):
    result = search(Worlds(5e-5), trials=40)
    assert result.verdict.is_edge, result.verdict.headline
    assert result.fitted["strategy.confidence_threshold"] == pytest.approx(0.6, abs=0.05)
    assert result.over_current.low > 0.0
    assert result.importances["strategy.confidence_threshold"] > result.importances["strategy.rebalance_band"]
    assert [trial.number for trial in result.trials] == [CURRENT, *range(40)]


def test_noise_is_no_edge(search):
    result = search(Worlds())
    assert not result.verdict.is_edge
    assert result.verdict.headline.startswith("no edge found: ")
    assert "deflated Sharpe ratio" in result.verdict.headline
    assert result.verdict.lacking == ()


@pytest.mark.slow
def test_no_fold_chooses_or_asks_by_what_came_later(search):
    """An edge of the other key that begins with the last test part: until then everything must be as if it never came."""
    before, after = search(Worlds(seed=5), folder="a"), search(Worlds(seed=5, late=3e-4), folder="b")
    assert [fold.chosen for fold in before.folds] == [fold.chosen for fold in after.folds]
    asked_by_folds = [[trial for trial in result.trials if trial.study <= 4] for result in (before, after)]
    assert [trial.parameters for trial in asked_by_folds[0]] == [trial.parameters for trial in asked_by_folds[1]]
    # The study of the whole past sees it, so the change was there to be seen.
    assert after.fitted["strategy.rebalance_band"] > 0.7
    assert before.fitted != after.fitted


def test_a_fold_may_choose_what_earlier_folds_asked_for_and_nothing_of_later_ones(search):
    result = search(Worlds(5e-5))
    study_of = {trial.number: trial.study for trial in result.trials}
    assert all(study_of[fold.chosen] <= fold.fold for fold in result.folds)
    for fold, later in pairwise(result.folds):
        assert later.train_periods > fold.train_periods


def test_the_order_in_which_results_come_changes_nothing(search):
    assert search(Worlds(2e-5), folder="a") == search(Worlds(2e-5, backwards=True), folder="b")


def test_two_recordings_of_the_same_hours_are_refused(search, plan, tmp_path):
    (tmp_path / "eth.gz").write_bytes(b"the same day of another instrument")
    [btc] = plan().jobs
    eth = msgspec.structs.replace(btc, name="eth", source=Recordings((str(tmp_path / "eth.gz"),), "spot"))
    with pytest.raises(TuningRefused, match=r"stretches overlap by 250 min"):
        search(Worlds(), jobs=(btc, eth))


def test_an_interrupted_search_goes_on_where_it_was_and_makes_nothing_twice(search):
    whole, broken, rest = Worlds(2e-5), Worlds(2e-5, dies_after=9), Worlds(2e-5)
    uninterrupted = search(whole, folder="a", trials=16)
    with pytest.raises(KeyboardInterrupt):
        search(broken, folder="b", trials=16)
    assert search(rest, folder="b", trials=16) == uninterrupted
    assert sorted(broken.evaluated + rest.evaluated) == sorted(whole.evaluated)
    again = Worlds(2e-5)
    assert search(again, folder="b", trials=16) == uninterrupted
    assert again.evaluated == []


@pytest.mark.slow
def test_a_larger_number_of_trials_adds_what_lacks(search):
    first = search(Worlds(2e-5), trials=10)
    more = Worlds(2e-5)
    second = search(more, trials=20)
    assert second.trials[: len(first.trials)] == first.trials
    assert 0 < len(more.evaluated) <= 10
    assert second.verdict.trials == len(set(more.evaluated)) + first.verdict.trials


@pytest.mark.slow
def test_every_trial_on_a_past_counts_whatever_study_made_it(search):
    alone = search(Worlds(2e-5), folder="a", trials=6, seed=2)
    search(Worlds(2e-5), folder="b", trials=8, seed=1)
    after_another = search(Worlds(2e-5), folder="b", trials=6, seed=2)
    assert after_another.verdict.trials > alone.verdict.trials
    assert after_another.verdict.luckiest > 0
    assert [fold.chosen for fold in after_another.folds] == [fold.chosen for fold in alone.folds]


def test_another_search_cannot_take_a_studys_name(search):
    search(Worlds(), name="mine", trials=5)
    with pytest.raises(StudyRefused, match=r"another search \(its seed differ\)"):
        search(Worlds(), name="mine", trials=5, seed=2)


def test_a_past_too_short_for_its_folds_is_refused_with_what_it_needs(search):
    class Short(Worlds):
        def marks(self, evaluation):
            made = super().marks(evaluation)
            return Marks(first_wall_ns=1, cash=made.cash, equity=made.equity[:30], fills=made.fills[:30], outcome=made.outcome)

    with pytest.raises(TuningRefused, match=r"5 min; 4 folds with an embargo of 60 s.* need 7 min"):
        search(Short())


def test_parameters_that_do_not_go_together_are_noted_and_never_run(search, tmp_path):
    weights = "strategy.regime_weight: {low: 0.5, high: 1.0, step: 0.1}\nstrategy.imbalance_weight: {low: 0.3, high: 1.0, step: 0.1}\n"
    (tmp_path / "weights.yaml").write_text(weights)
    worlds = Worlds()
    result = search(worlds, trials=12, space=load_space(tmp_path / "weights.yaml", load_settings()))
    refused = [trial for trial in result.trials if trial.refused]
    assert refused
    assert len(worlds.evaluated) <= 13 - len(refused)
    assert all(sum(trial.parameters.values()) > 1.0 for trial in refused)


def test_a_storage_that_cannot_be_used_is_said(search):
    with pytest.raises(StudyRefused, match="--storage cannot be used"):
        search(Worlds(), storage="sqlite:////no/such/folder/studies.db")
    with pytest.raises(StudyRefused, match="SQLAlchemy URL"):
        search(Worlds(), storage="nonsense")


def test_the_embargo_is_the_longest_holding_that_the_space_allows(plan, tmp_path):
    assert longest_holding_s(plan().settings, plan().space) == 60
    (tmp_path / "holding.yaml").write_text("execution.max_holding_s: {choices: [30, 600]}\n")
    assert longest_holding_s(plan().settings, load_space(tmp_path / "holding.yaml", plan().settings)) == 600
    assert longest_holding_s(load_settings(), plan().space) == 900

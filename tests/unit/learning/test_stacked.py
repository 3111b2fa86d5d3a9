"""Classifier and heads read the detector: of worlds that it has not seen in training, and in decisions as the bundle's own says."""

import dataclasses

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.model_files import assemble
from smartmoney.core.models.bundle import Trained
from smartmoney.core.models.explanation import Seen, explain
from smartmoney.core.models.kernel import decide_table
from smartmoney.core.models.layout import MIND, fresh_mind, lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.boosting.trees import margins
from smartmoney.learning.calibration import weighted_auc
from smartmoney.learning.evaluation.said import ask
from smartmoney.learning.fitting import run
from smartmoney.learning.fitting.export import parts_of
from smartmoney.learning.fitting.plan import FOREVER_NS, Fold, Recipe, family_folds, sample, whole, world_folds
from smartmoney.learning.fitting.run import learn
from smartmoney.learning.fitting.stacked import asked, can_cross, cross_fit, crossed, write_flow
from smartmoney.learning.fitting.stages import fit_detector, layout, truth_rows
from smartmoney.learning.model_card import card_of
from smartmoney.learning.staging import standing_of
from smartmoney.learning.trainer import Origin, train

from .made_rows import made_rows

RECIPE = Recipe(gb_n_estimators=12, gb_max_depth=3, interaction_depth=1, every_s=10, folds=2, horizons_s=(300,), hmm_rows=4000)
FLOW = ("flow:buying", "flow:selling")


def quiet(_what, _done, _total):
    """Show nothing."""


def worlds(seconds=1800):
    return [made_rows(seed, family, seconds) for seed, family in enumerate(("a", "a", "a", "b", "b", "b"))]


def by_chance(rows, seed):
    """Return rows in which somebody informed buys in some blocks of ten seconds, sells in others, and no feature tells."""
    draw = np.repeat(np.random.default_rng((5, seed)).random(len(rows) // 10), 10)
    truth = msgspec.structs.replace(rows.truth, informed_buying=draw < 0.4, informed_selling=draw > 0.6)
    return msgspec.structs.replace(rows, truth=truth)


def auc_of_flow(made, rows, usable):
    """Return how well the flow columns of usable truth rows tell who is at work."""
    chosen = usable[rows.at]
    said = made.x[rows.at[chosen]][:, -2:].astype(float)
    came = np.concatenate((rows.buying[chosen], rows.selling[chosen])).astype(float)
    assert np.isfinite(said).all()
    return weighted_auc(said.T.ravel(), came, np.ones(len(came)))


@pytest.mark.parametrize("fold", [*family_folds(worlds(60), 2), *world_folds(worlds(60), 3), whole(worlds(60))])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_each_source_that_a_fold_learns_from_is_left_out_by_one_of_its_parts_and_none_other_is_touched(fold, parts):
    sources = worlds(60)
    learned = {place for place, until in enumerate(fold.train_until) if until > 0}
    inner = crossed(sources, fold, parts)
    assert len(inner) == min(parts, len(learned))
    out = []
    for one in inner:
        known = {place for place, until in enumerate(one.train_until) if until > 0}
        tested = {place for place, (first, last) in enumerate(zip(one.test_from, one.test_until, strict=True)) if first < last}
        assert known
        assert tested
        assert not known & tested
        assert known | tested == learned
        out += sorted(tested)
    assert sorted(out) == sorted(learned)


def test_parts_hold_some_of_every_family():
    sources = worlds(60)
    for one in crossed(sources, whole(sources), 3):
        assert sorted(source.family for source, until in zip(sources, one.train_until, strict=True) if until == 0) == ["a", "b"]
    few = [made_rows(k, family, 60) for k, family in enumerate("abcd")]
    assert [sum(until == 0 for until in one.train_until) for one in crossed(few, whole(few), 2)] == [2, 2]


def test_what_is_forgotten_after_a_time_is_forgotten_by_the_parts_too():
    sources = worlds(60)
    fold = Fold(train_until=(100,) * 6, test_from=(100,) * 6, test_until=(FOREVER_NS,) * 6)
    for one in crossed(sources, fold, 3):
        assert set(one.train_until) == {0, 100}
        assert one.test_until == fold.train_until


def test_one_source_or_one_part_cannot_be_crossed():
    sources = worlds(60)
    alone = Fold(train_until=(FOREVER_NS, 0, 0, 0, 0, 0), test_from=(FOREVER_NS,) * 6, test_until=(FOREVER_NS,) * 6)
    assert crossed(sources, alone, 3) == ()
    assert crossed(sources, whole(sources), 1) == ()
    assert crossed(sources, whole(sources), 0) == ()


def test_a_part_without_anybody_informed_cannot_teach_the_others(bundles):
    sources = worlds(700)
    hmm = bundles.hidden_markov()
    made = sample(sources, hmm, RECIPE)
    assert can_cross(made, truth_rows(sources, made, RECIPE.every_s), crossed(sources, whole(sources), 3))
    nobody = np.zeros(700, np.bool_)
    silent = [
        one
        if k == 0
        else msgspec.structs.replace(one, truth=msgspec.structs.replace(one.truth, informed_buying=nobody, informed_selling=nobody))
        for k, one in enumerate(sources)
    ]
    assert not can_cross(made, truth_rows(silent, made, RECIPE.every_s), crossed(silent, whole(silent), 3))
    assert not can_cross(made, truth_rows(sources, made, RECIPE.every_s), ())


@pytest.mark.slow
def test_what_is_learned_by_heart_is_not_what_others_learn_from(bundles):
    """Where who is informed is a matter of chance, a detector knows its own rows, and the columns must not."""
    sources = [by_chance(one, seed) for seed, one in enumerate(worlds())]
    hmm = bundles.hidden_markov()
    made, shape = sample(sources, hmm, RECIPE), layout(hmm, RECIPE)
    rows, everything = truth_rows(sources, made, RECIPE.every_s), np.ones(len(made.row), np.bool_)
    said, step, calibrator = cross_fit(made, rows, crossed(sources, whole(sources), 3), shape, RECIPE)
    write_flow(made, shape, calibrator, said[step])
    assert abs(auc_of_flow(made, rows, everything) - 0.5) < 0.07
    settings = RECIPE.detector_trees()
    own = asked(fit_detector(made, rows, everything, shape, settings), made.x, settings.rounds)
    write_flow(made, shape, calibrator, own[-1])
    assert auc_of_flow(made, rows, everything) > 0.8


@pytest.mark.slow
def test_no_forest_of_any_fold_learns_from_a_detector_that_has_seen_the_rows_world(monkeypatch):
    """Every classifier and head of a training is looked at: in folds of both kinds, and in the whole."""
    sources = [by_chance(one, seed) for seed, one in enumerate(worlds())]
    found, heads = [], []

    def watched_classifier(made, rows, usable, *rest):
        found.append(auc_of_flow(made, rows, usable))
        return fit_classifier(made, rows, usable, *rest)

    def watched_head(made, rows, usable, *rest):
        heads.append(auc_of_flow(made, truth_rows(sources, made, RECIPE.every_s), usable))
        return fit_head(made, rows, usable, *rest)

    fit_classifier, fit_head = run.fit_classifier, run.fit_head
    monkeypatch.setattr(run, "fit_classifier", watched_classifier)
    monkeypatch.setattr(run, "fit_head", watched_head)
    learned = learn(sources, RECIPE, quiet)
    assert (len(found), len(heads)) == (6, 6), "two folds by family, three by world, the whole"
    assert max(abs(one - 0.5) for one in (*found, *heads)) < 0.1
    assert learned.flow.shape == (6 * 180, 2)


@pytest.fixture(scope="module")
def sources():
    return worlds(3600)


@pytest.fixture(scope="module")
def learned(sources):
    return learn(sources, RECIPE, quiet)


def bundle_of(learned, sources, recipe=RECIPE):
    trained = Trained(venue="sim", market="usdm", instruments=("BTC/USDT",), data_hash="ab")
    return assemble(*parts_of(learned, recipe, "made", trained, sources), "")


@pytest.mark.slow
def test_a_bundle_whose_forests_read_the_detector_decides_in_service_what_was_learned(learned, sources):
    bundle = bundle_of(learned, sources)
    assert set(FLOW) & set(bundle.spec.inputs_of("classifier"))
    assert not set(FLOW) & set(bundle.spec.inputs_of("detector"))
    fresh = made_rows(77, "fresh", 1800)
    recipe = msgspec.structs.replace(RECIPE, every_s=1)
    made, shape = sample([fresh], learned.hmm, recipe), layout(learned.hmm, recipe)
    detector = learned.regime.detector
    write_flow(made, shape, detector.calibrator, np.column_stack(detector.raw(made.x)))
    said = ask(bundle, fresh, RegimeParameters(transition_smoothing=0.0))
    assert np.abs(np.column_stack((said.buying, said.selling)) - np.column_stack(detector.probabilities(made.x))).max() < 1e-6
    assert np.abs(said.posterior - learned.regime.classifier.probabilities(made.x)).max() < 1e-6
    # A forecast needs every feature, and a volatility: where there is one, it is the learned one.
    up = learned.heads[0].model.probabilities(made.x)
    known = np.isfinite(said.up[:, 0])
    assert known.mean() > 0.9
    assert np.abs(said.up[known, 0] - np.clip(up, 0.001, 0.999)[known]).max() < 1e-6


@pytest.mark.slow
def test_parts_of_a_forecast_name_the_detector_and_sum_to_its_lean(learned, sources):
    bundle = bundle_of(learned, sources)
    name = next(name for name in ("head-300", "classifier") if set(FLOW) & set(bundle.spec.inputs_of(name)))
    assert name == "head-300", "the head reads the detector as well"
    rows = made_rows(78, "fresh", 600)
    plan = lay_out(bundle, RegimeParameters())
    table, told, wide = np.empty((600, len(plan.columns.names)), np.float32), np.empty(600, MIND), plan.unseen()
    decide_table(fresh_mind(), rows.values.astype(float), rows.times, table, told, *plan.arguments(), wide)
    parts = explain(Seen(bundle=bundle, horizon_s=300, wide=wide))
    head = learned.heads[0].model
    x = table[-1:, : len(head.layout.names)]
    lean = 0.5 * (margins(head.grown, x) - margins(head.grown, head.layout.mirror(x)))
    assert sum(parts.values()) == pytest.approx(float(lean[0]), abs=1e-5)
    assert set(FLOW) <= set(parts)


@pytest.mark.slow
def test_the_card_says_who_reads_the_detector_and_what_it_is_to_them(sources):
    made = train(sources, RECIPE, "made", Origin(venue="sim", market="usdm", instruments=("BTC/USDT",)), quiet)
    shares = made.report.flow_gain
    assert set(shares) == {"classifier", "head-300"}
    assert 0.0 < shares["classifier"] < 1.0
    assert f"classifier {shares['classifier']:.1%}" in made.bundle.card
    assert set(FLOW) & set(made.bundle.spec.importance)
    assert "the champion's detector" in card_of(made.bundle, msgspec.structs.replace(made.report, has_truth=False))
    assert "No forest that was grown here reads" in card_of(made.bundle, msgspec.structs.replace(made.report, flow_gain={}))


@pytest.mark.slow
@pytest.mark.parametrize("has_detector", [True, False])
def test_heads_of_recordings_are_offered_the_champions_detector_in_every_fold(learned, sources, monkeypatch, has_detector):
    """Of a champion without one, as the untrained prior is, they are offered nothing, and read nothing."""
    champion, offered = bundle_of(learned, sources), []
    if not has_detector:
        champion = dataclasses.replace(champion, spec=msgspec.structs.replace(champion.spec, detector=None, classifier=None))

    def watched_head(made, *rest):
        offered.append(np.isfinite(made.x[:, -2:]).all())
        return fit_head(made, *rest)

    fit_head = run.fit_head
    monkeypatch.setattr(run, "fit_head", watched_head)
    real = Origin(venue="binance", market="usdm", instruments=("BTCUSDT",))
    found = train([made_rows(9, "real", 5400, truth=False)], RECIPE, "challenger", real, quiet, champion)
    assert offered == [has_detector] * 3, "two folds and the whole"
    read = {column for name in found.bundle.spec.forest_names() if name != "classifier" for column in found.bundle.spec.inputs_of(name)}
    assert has_detector or not set(FLOW) & read
    assert bool(found.report.flow_gain) == bool(set(FLOW) & read)


@pytest.mark.slow
def test_recordings_are_read_with_the_champions_detector_as_it_decides_on_that_stage(learned, sources):
    champion, rows = bundle_of(learned, sources), made_rows(9, "real", 900, truth=False)
    recipe = msgspec.structs.replace(RECIPE, every_s=1)
    made = sample([rows], learned.hmm, recipe, standing_of(champion))
    said = ask(champion, rows, RegimeParameters())
    assert np.array_equal(made.x[:, -2:], np.column_stack((said.buying, said.selling)).astype(np.float32))
    assert np.isnan(sample([rows], learned.hmm, recipe).x[:, -2:]).all()
    assert standing_of(dataclasses.replace(champion, spec=msgspec.structs.replace(champion.spec, detector=None))) is None
    assert standing_of(None) is None


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [RECIPE, msgspec.structs.replace(RECIPE, flow_parts=0)])
def test_where_nothing_can_be_crossed_no_forest_reads_the_detector(recipe):
    """Of two families with a world each every fold learns from one world: all or none of the forests must have read the same columns."""
    few = [made_rows(0, "a"), made_rows(1, "b")] if recipe is RECIPE else worlds(1800)
    found = learn(few, recipe, quiet)
    assert found.flow is None
    bundle = bundle_of(found, few, recipe)
    assert bundle.spec.detector is not None
    assert not any(set(FLOW) & set(bundle.spec.inputs_of(name)) for name in bundle.spec.forest_names())

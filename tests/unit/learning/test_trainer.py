"""A whole training on rows with a known answer: what it learns, what it refuses, that it notices when it looks ahead."""

import math

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.model_files import read_bundle, write_bundle
from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.kernel import decide_table
from smartmoney.core.models.layout import MIND, fresh_mind, lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.calibration_error import TOO_FEW
from smartmoney.learning.evaluation.said import ask
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.fitting.regime import fit_on_champion
from smartmoney.learning.fitting.run import learn
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.sets.mirror import mirror
from smartmoney.learning.sets.rows import RowsRefused
from smartmoney.learning.trainer import Origin, train

from .made_rows import made_rows

RECIPE = Recipe(gb_n_estimators=12, gb_max_depth=3, every_s=10, folds=2, horizons_s=(60, 300), hmm_rows=4000)
SIM = Origin(venue="sim", market="usdm", instruments=("BTC/USDT",))
REAL = Origin(venue="binance", market="usdm", instruments=("BTCUSDT",))


def quiet(_what, _done, _total):
    """Show nothing."""


pytestmark = pytest.mark.slow
"""Each test is a whole training."""


@pytest.fixture(scope="module")
def sources():
    return [made_rows(seed, f"family{seed % 2}") for seed in range(4)]


@pytest.fixture(scope="module")
def made(sources):
    return train(sources, RECIPE, "made", SIM, quiet)


def test_it_learns_what_is_there_out_of_fold(made):
    report = made.report
    assert report.macro_f1 > 0.8
    assert report.regime_log_loss < 0.6 * report.base_log_loss
    assert report.detector_auc > 0.9
    assert report.heads[0].auc > 0.6
    assert [one.horizon_s for one in report.heads] == [60, 300]
    assert report.naming_margin > 0.2


def test_its_canaries_were_all_caught(made):
    found = made.report.canaries
    assert found.problems == ()
    assert found.future_found
    assert found.reversed_auc > found.forward_auc


def test_the_bundle_reads_back_and_says_on_disk_what_it_said_in_memory(made, sources, tmp_path):
    write_bundle(tmp_path / "b", made.bundle)
    again = read_bundle(tmp_path / "b")
    assert again.hash == made.bundle.hash
    one, other = (ask(bundle, sources[0], RegimeParameters()) for bundle in (made.bundle, again))
    assert np.array_equal(one.posterior, other.posterior)
    assert np.array_equal(one.up, other.up, equal_nan=True)


def test_the_daemons_decision_is_the_trained_predictor(made, sources):
    """Held against xgboost itself: the classifier's and the heads' numbers of the compiled decision."""
    said = ask(made.bundle, sources[0], RegimeParameters(transition_smoothing=0.0))
    assert np.isfinite(said.up[200:]).all()
    regimes = said.posterior[200:].argmax(axis=1)
    truth = np.array([4, 0, 1, 2, 3])[sources[0].truth.regime[200:]]
    assert (regimes == truth).mean() > 0.8


def test_mirrored_rows_mirror_every_answer_exactly(made, sources):
    rows = sources[1]
    flipped = msgspec.structs.replace(rows, values=mirror(rows.values))
    one, other = ask(made.bundle, rows, RegimeParameters()), ask(made.bundle, flipped, RegimeParameters())
    assert np.array_equal(one.buying, other.selling, equal_nan=True)
    assert np.array_equal(one.posterior[:, [1, 0, 2, 3, 4]], other.posterior)
    assert np.allclose(one.up, 1.0 - other.up, atol=1e-12, equal_nan=True)


def test_later_rows_change_no_earlier_answer(made, sources):
    layout = lay_out(made.bundle, RegimeParameters())
    rows = sources[2]
    tables = []
    for count in (1000, 1500):
        table, told = np.empty((count, len(layout.columns.names)), np.float32), np.empty(count, MIND)
        decide_table(fresh_mind(), rows.values[:count].astype(float), rows.times[:count], table, told, *layout.arguments(), layout.unseen())
        tables.append(table)
    assert np.array_equal(tables[0], tables[1][:1000], equal_nan=True)


def test_the_same_rows_give_the_same_bundle(made, sources):
    assert train(sources, RECIPE, "made", SIM, quiet).bundle.hash == made.bundle.hash


def test_the_card_says_in_plain_words_what_it_is_worth(made):
    card = made.bundle.card
    assert "proves nothing about a real market" in card
    assert "live mode refuses it" in card
    assert f"{made.report.macro_f1:.2f}" in card
    assert "What it does not know" in card


def test_calibration_is_told_in_every_regime_that_holds_enough(made):
    head = made.report.heads[0]
    assert len(head.by_regime) >= 3
    # Each labelled row is of one regime; those of scarce ones are not told.
    assert sum(one.effective for one in head.by_regime.values()) <= head.effective + 1e-6
    for name, one in head.by_regime.items():
        assert math.isnan(one.ece) or 0.0 <= one.ece < 0.5
        error = TOO_FEW if math.isnan(one.ece) else f"{one.ece:.3f}"
        assert 0.0 < one.brier < 0.5
        assert f"| {head.horizon_s} s | {name} | {one.effective:.0f} | {error} | {one.brier:.3f} |" in made.bundle.card
    assert made.report.paths is None, "worlds are no one past"


def test_recordings_are_learned_on_the_champions_regimes(made):
    recorded = [made_rows(9, "real", 5400, truth=False)]
    found = train(recorded, RECIPE, "challenger", REAL, quiet, made.bundle)
    assert not found.report.has_truth
    assert found.bundle.spec.classifier == made.bundle.spec.classifier
    assert found.bundle.forests["detector"] is made.bundle.forests["detector"]
    assert found.bundle.spec.hmm.names == made.bundle.spec.hmm.names
    assert "Nobody knows the true regimes" in found.bundle.card
    assert "`smartmoney models gate` judges it" in found.bundle.card
    paths = found.report.paths
    assert (paths.horizon_s, paths.splits, len(paths.aucs)) == (300, 28, 7)
    assert list(paths.aucs) == sorted(paths.aucs)
    assert f"between {paths.aucs[0]:.3f} and {paths.aucs[-1]:.3f}" in found.bundle.card


def test_a_recording_is_learned_with_the_champions_window_and_says_so(made):
    recipe = msgspec.structs.replace(RECIPE, feature_window=30, horizons_s=(60,))
    rows = [made_rows(9, "real", 5400, truth=False)]
    found = train(rows, recipe, "challenger", REAL, quiet, made.bundle)
    assert found.bundle.spec.feature_window == made.bundle.spec.feature_window == 100
    assert found.report.note.startswith(f"feature_window is 100 as in {made.bundle.name}, not 30 as configured")
    assert found.report.note in found.bundle.card
    same = train(rows, msgspec.structs.replace(recipe, feature_window=100), "challenger", REAL, quiet, made.bundle)
    assert same.report.note == ""
    assert same.bundle.forests["head-60"].trees.tobytes() == found.bundle.forests["head-60"].trees.tobytes()


def test_thresholds_are_of_the_regimes_by_which_decisions_choose_them(made):
    """The filter's likeliest regime is another than the published one: by it a threshold would be of rows that it is never asked about."""
    recorded, stages = [made_rows(9, "real", 5400, truth=False)], []
    learned = learn(recorded, RECIPE, quiet, made.bundle.spec.hmm, lambda hmm: stages.append(hmm) or [np.full(5400, 4)])
    for head in learned.heads:
        assert head.facts.conformal[:4] == (1.0,) * 4
    assert learned.heads[0].facts.conformal[4] < 1.0
    assert stages == [learned.hmm], "those of the stage that was learned"


def test_recordings_without_a_champion_are_refused():
    with pytest.raises(FitRefused, match="--built-in first"):
        train([made_rows(9, "real", 3600, truth=False)], RECIPE, "x", REAL, quiet)


def test_a_stage_that_the_data_does_not_hold_stays_the_champions_and_says_why(made):
    calm = made_rows(10, "real", 3600, truth=False)
    # All but the last minutes.
    calm.values[:-300, FEATURE_INDEX["efficiency_120s"]] = 0.5
    found = train([calm], RECIPE, "challenger", REAL, quiet, made.bundle)
    assert found.bundle.spec.hmm == made.bundle.spec.hmm
    assert "champion's was kept" in found.report.stage
    assert "efficiency_120s: constant" in found.report.stage


def changed(rows, change):
    """Return a copy of rows with other values."""
    values = rows.values.copy()
    change(values)
    return msgspec.structs.replace(rows, values=values)


@pytest.mark.parametrize(
    ("columns", "value", "says"),
    [
        (slice(None), np.nan, "real-14: every feature is constant or unknown"),
        (slice(None), 1.0, "real-14: every feature is constant or unknown"),
        (FEATURE_INDEX["tfi_120s"], 3.0, "tfi_120s is constant or unknown in all rows.*give another recording"),
        (FEATURE_INDEX["rv_120s"], np.nan, "rv_120s is constant or unknown in all rows.*give another recording"),
    ],
)
def test_a_recording_whose_features_stand_still_is_refused(bundles, columns, value, says):
    def stand(values):
        values[:, columns] = value

    with pytest.raises(TrainingRefused, match=says):
        train([changed(made_rows(14, "real", 1800, truth=False), stand)], RECIPE, "x", REAL, quiet, bundles.small_bundle())


def test_an_imbalance_of_what_never_happens_is_no_feed_that_stands_still(made):
    def stand(values):
        values[:, FEATURE_INDEX["refill_imbalance_120s"]] = 0.0

    found = train([changed(made_rows(9, "real", 5400, truth=False), stand)], RECIPE, "challenger", REAL, quiet, made.bundle)
    assert "refill_imbalance_120s: constant" in found.report.stage
    assert "refill_imbalance_120s" in found.report.still


def test_one_feature_that_stands_still_and_is_not_needed_is_harmless_and_named(made):
    def stand(values):
        values[:, FEATURE_INDEX["vpin"]] = 0.4

    found = train([changed(made_rows(9, "real", 5400, truth=False), stand)], RECIPE, "challenger", REAL, quiet, made.bundle)
    assert found.report.still == ("spread_bps", "vpin"), "made rows have one spread"
    assert "nothing was learned from them: `spread_bps`, `vpin`." in found.bundle.card


def test_a_fold_that_is_too_small_for_a_horizon_is_left_out_and_the_head_is_learned_from_the_others(made):
    """Five hours at 900 s: the first fold learns from half an hour, two labels; there are twenty in all."""
    recipe = msgspec.structs.replace(RECIPE, folds=4, horizons_s=(300, 900, 3600))
    found = train([made_rows(15, "real", 18_000, truth=False)], recipe, "challenger", REAL, quiet, made.bundle)
    heads = {one.horizon_s: one for one in found.report.heads}
    assert list(heads) == [300, 900]
    assert heads[300].left_out == {}
    assert list(heads[900].left_out) == ["1"]
    assert heads[900].left_out["1"].endswith("independent labels, at least 4 are needed")
    assert 10.0 < heads[900].effective < 12.0
    assert 18.0 < heads[900].whole < 20.0
    assert "900 s: 1 of 4 folds could not be fitted and are left out (fold 1: 2." in found.bundle.card
    # What is said of an hour is said of the whole, and of what folds foretold of it.
    assert found.report.skipped["3600"].endswith("to be calibrated on; there are 5.0 in all; give a longer recording")


def test_a_refit_whose_states_are_the_champions_and_no_longer_what_they_are_called_is_refused(made):
    """Matching alone would let a name wander from its meaning, a step with each retraining: here both have."""
    champion, order = made.bundle.spec.hmm, [2, 3, 0, 1, 4, 5]
    wandered = msgspec.structs.replace(
        champion, means=tuple(champion.means[k] for k in order), variances=tuple(champion.variances[k] for k in order)
    )
    rows = made_rows(13, "real", 5400, truth=False)
    usable = [np.ones(len(rows), np.bool_)]
    assert fit_on_champion([rows], usable, champion, 4000, 1).match.of == tuple(range(6))
    with pytest.raises(FitRefused, match="state 0 was anchored as accumulation and looks like trending"):
        fit_on_champion([rows], usable, wandered, 4000, 1)


def test_too_little_is_refused_with_what_is_needed():
    with pytest.raises(TrainingRefused, match="at least 600"):
        train([made_rows(1, seconds=500)], RECIPE, "x", SIM, quiet)
    with pytest.raises(TrainingRefused, match="nothing to learn from"):
        train([], RECIPE, "x", SIM, quiet)


def test_one_family_cannot_be_left_out():
    with pytest.raises(TrainingRefused, match="at least two"):
        train([made_rows(1), made_rows(2)], RECIPE, "x", SIM, quiet)


def test_a_market_without_a_book_is_refused():
    rows = made_rows(1)
    with pytest.raises(TrainingRefused, match="never a book"):
        train([msgspec.structs.replace(rows, mid_after=np.full(len(rows), np.nan))], RECIPE, "x", SIM, quiet)


def test_another_schema_is_refused():
    with pytest.raises(RowsRefused, match="feature schema"):
        train([msgspec.structs.replace(made_rows(1), schema_hash="f" * 64)], RECIPE, "x", SIM, quiet)


def test_a_mid_that_only_rises_teaches_nothing_and_is_refused_with_why(made):
    rows = made_rows(11, "real", 3600, truth=False)
    rising = msgspec.structs.replace(rows, mid_after=60_000.0 + np.arange(len(rows)))
    with pytest.raises(TrainingRefused, match=r"no horizon could be learned.*60 s ahead: the mid only ever moved one way"):
        train([rising], RECIPE, "x", REAL, quiet, made.bundle)


def test_too_little_for_any_horizon_is_refused_with_what_is_needed(made):
    with pytest.raises(
        TrainingRefused, match=r"no horizon could be learned.*independent labels, at least 4 are needed.*; give a longer recording"
    ):
        train([made_rows(12, "real", 650, truth=False)], RECIPE, "x", REAL, quiet, made.bundle)


def test_columns_that_are_constant_or_unknown_are_not_used(sources):
    dead, never = FEATURE_INDEX["vpin"], FEATURE_INDEX["roll_120s"]
    changed = []
    for rows in sources:
        values = rows.values.copy()
        values[:, dead], values[:, never] = 1.0, np.nan
        changed.append(msgspec.structs.replace(rows, values=values))
    found = train(changed, RECIPE, "x", SIM, quiet)
    read = {column for name in found.bundle.spec.forest_names() for column in found.bundle.spec.inputs_of(name)}
    assert not {"vpin", "roll_120s"} & read
    assert "roll_120s" in found.bundle.spec.optional


def test_a_feature_that_knows_the_future_stops_the_training(sources):
    changed = []
    for rows in sources:
        values = rows.values.copy()
        ahead = np.minimum(np.arange(len(rows)) + 300, len(rows) - 1)
        values[:, FEATURE_INDEX["microprice_bps"]] = rows.mid_after[ahead] - rows.mid_after
        changed.append(msgspec.structs.replace(rows, values=values))
    with pytest.raises(TrainingRefused, match=r"leakage: .*microprice_bps.*nothing was kept"):
        train(changed, RECIPE, "x", SIM, quiet)


def test_components_window_and_trees_are_what_the_configuration_says(sources):
    recipe = msgspec.structs.replace(RECIPE, hmm_components=4, feature_window=40, gb_n_estimators=5, gb_max_depth=2, horizons_s=(60,))
    spec = train(sources, recipe, "x", SIM, quiet).bundle
    assert len(spec.spec.hmm.names) == 4
    assert spec.spec.feature_window == 40
    rounds = np.bincount(spec.forests["classifier"].trees["output"], minlength=5)
    assert len(set(rounds.tolist())) == 1
    assert 1 <= rounds[0] <= 5

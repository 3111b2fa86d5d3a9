"""Scores of an evaluation on cases whose answer is known."""

import msgspec
import numpy as np
import pytest

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.learning.evaluation.baseline import score_baseline
from smartmoney.learning.evaluation.flow import efficiency, score_flow
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.evaluation.worlds import score_heads, score_regimes
from smartmoney.learning.sets.labels import labels_of

from .made_rows import made_rows


def said_of(rows, label=None, up=None, buying=None, heads=1):
    count = len(rows)
    names = np.full(count, 4) if label is None else label
    posterior = np.full((count, 5), 0.05)
    posterior[np.arange(count), names] = 0.8
    nothing = np.zeros(count)
    return Said(
        label=names,
        posterior=posterior,
        buying=nothing if buying is None else buying,
        selling=nothing,
        up=np.full((count, heads), 0.5) if up is None else up,
        gross=np.zeros((count, heads)),
    )


def windows(seed, strength):
    """Return rows with window ends, an oracle of a known strength, and a model that is the oracle with noise."""
    rng = np.random.default_rng(seed)
    rows = made_rows(seed, "oracle_poisson", 700)
    count = 400
    target = np.arange(count) % 2 * 1.0
    llr = 2.0 * target + rng.standard_normal(count)
    model = llr * strength + rng.standard_normal(count) * (1.0 - strength)
    buying = np.zeros(len(rows))
    buying[:count] = 1 / (1 + np.exp(-model))
    extras = {"end": np.arange(count) * 1.0, "target": target, "side": np.zeros(count), "llr": llr, "llr_told": llr}
    return msgspec.structs.replace(rows, extras=extras), said_of(rows, buying=buying)


def test_the_oracle_itself_is_wholly_efficient_and_noise_is_not():
    best, none = score_flow("poisson", [windows(1, 1.0)]), score_flow("poisson", [windows(1, 0.0)])
    assert best.efficiency == pytest.approx(1.0)
    assert best.auc == pytest.approx(best.auc_oracle)
    assert best.direction == 1.0
    assert none.efficiency < 0.1
    assert none.auc_low < 0.5 < none.auc_high
    half = score_flow("poisson", [windows(1, 0.6)])
    assert none.efficiency < half.efficiency < best.efficiency


def test_efficiency_is_the_squared_ratio_of_separations():
    assert efficiency(0.5, 0.9) == pytest.approx(0.0, abs=1e-12)
    assert efficiency(0.4, 0.9) == 0.0
    assert efficiency(0.9, 0.9) == 1.0
    assert np.isnan(efficiency(0.6, 0.5))


def test_regimes_that_are_told_right_score_one_and_edges_are_left_out():
    rows = [made_rows(seed, f"f{seed}", 1800) for seed in range(3)]
    truth = [np.array([4, 0, 1, 2, 3])[one.truth.regime] for one in rows]
    right = score_regimes([(one, said_of(one, label)) for one, label in zip(rows, truth, strict=True)])
    assert right.macro_f1 == 1.0
    assert 0.2 < right.scored_share < 0.7
    late = score_regimes([(one, said_of(one, np.roll(label, 25))) for one, label in zip(rows, truth, strict=True)])
    assert late.macro_f1 == 1.0
    wrong = score_regimes([(one, said_of(one, np.full(len(one), 4))) for one in rows])
    assert wrong.macro_f1 < 0.2


def test_calibration_is_told_by_the_published_regime(bundles):
    """Where *volatile* is published the forecasts are wrong way round, elsewhere right: the whole hides what the parts show."""
    bundle, heard = bundles.small_bundle(), []
    for seed in range(6):
        rows = made_rows(seed, f"f{seed}", 1800)
        up, label = np.full((len(rows), len(bundle.spec.heads)), 0.5), np.full(len(rows), 4)
        label[900:] = 3
        labels = labels_of(rows, bundle.spec.heads[0].horizon_s, 1)
        up[labels.rows, 0] = np.where((labels.sign > 0) == (labels.rows < 900), 0.7, 0.3)
        heard.append((rows, said_of(rows, label=label, up=up, heads=len(bundle.spec.heads))))
    found = score_heads(bundle, heard)[0].by_regime
    assert list(found) == ["volatile", "neutral"]
    assert found["neutral"].slope > 1.0
    assert found["volatile"].slope < -1.0
    assert found["volatile"].brier > found["neutral"].brier


def _until(rows, count):
    return msgspec.structs.replace(rows, times=rows.times[:count], values=rows.values[:count], mid_after=rows.mid_after[:count])


@pytest.mark.slow
def test_a_learner_beats_the_logistic_where_there_is_more_to_learn_and_not_where_there_is_not():
    rows = made_rows(7, "real", 1500, truth=False)
    rng = np.random.default_rng(7)
    known = rows.values[:, FEATURE_INDEX["depth_imbalance_5bps"]]
    moves = np.concatenate(([0.0], 0.8 * known[:-1] + 0.4 * rng.standard_normal(len(rows) - 1)))
    # In steps of three ticks, so that it also stands.
    told = msgspec.structs.replace(rows, mid_after=3.0 * np.round(20_000.0 * np.exp(np.cumsum(moves) * 1e-4)))
    one = next(score for score in score_baseline([told]) if score.horizon_s == 1)
    assert one.gain > 0.1
    assert one.gain_low > 0.0
    assert one.three < one.three_logistic
    assert one.three < one.three_base - 0.1
    (recorded,) = one.recordings
    assert (recorded.name, recorded.auc, recorded.auc_logistic) == ("real-7", one.auc, one.auc_logistic)
    assert recorded.is_grown
    few = next(score for score in score_baseline([_until(told, 400)]) if score.horizon_s == 30)
    assert (few.recordings[0].is_grown, few.auc) == (False, 0.5)
    blind = msgspec.structs.replace(rows, mid_after=3.0 * np.round(20_000.0 * np.exp(np.cumsum(rng.standard_normal(len(rows))) * 1e-4)))
    other = next(score for score in score_baseline([blind]) if score.horizon_s == 1)
    assert abs(other.gain) < 0.06
    assert other.three > other.three_base - 0.02

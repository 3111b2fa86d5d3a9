"""The compiled decision: the filter against hmmlearn, nothing ahead, the mirror, and what the published regime means."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.interactions import DEPTH_MAX, compute, interactions
from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX, FEATURES
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.models.columns import columns_of
from smartmoney.core.models.layout import fresh_mind
from smartmoney.core.models.table import decide_rows
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.strategy.trained import TrainedModel

S = 1_000_000_000
PLAIN = RegimeParameters(transition_smoothing=0.0, min_regime_duration=0.001)


def alone(hmm, bundles):
    """Return a bundle of a hidden Markov model alone."""
    spec = msgspec.structs.replace(bundles.small_bundle().spec, hmm=hmm, detector=None, classifier=None, heads=(), products=())
    return Bundle(spec=spec, forests={}, card="", hash="0" * 64)


def at(count, first=1000):
    return (np.arange(count) + first) * S


def mirrored(rows):
    sign, partner = np.ones(len(COLUMNS)), np.arange(len(COLUMNS))
    for k, feature in enumerate(FEATURES):
        if feature.parity == "odd":
            sign[k] = -1.0
        elif feature.parity.startswith("swap:"):
            partner[k] = FEATURE_INDEX[feature.parity.removeprefix("swap:")]
    return np.ascontiguousarray(sign * rows[:, partner])


def observations(hmm, rows):
    z = np.empty((len(rows), len(hmm.observed)))
    for d, one in enumerate(hmm.observed):
        value = rows[:, FEATURE_INDEX[one.feature]]
        value = np.sign(value) * np.log1p(np.abs(value)) if one.signed_log else value
        z[:, d] = np.clip((value - one.median) / one.mad, -hmm.z_max, hmm.z_max)
    return z


def reference(hmm):
    from hmmlearn.hmm import GaussianHMM

    model = GaussianHMM(n_components=len(hmm.names), covariance_type="diag", implementation="log")
    model.startprob_, model.transmat_ = np.array(hmm.start), np.array(hmm.transitions)
    model.means_, model.covars_ = np.array(hmm.means), np.array(hmm.variances)
    model.n_features = len(hmm.observed)
    return model


def test_the_filter_is_the_last_row_of_hmmlearns_posterior_for_every_prefix(bundles):
    hmm = bundles.hidden_markov(temper=1.0, spread_max=None)
    rows = bundles.rows(300, seed=5)
    _, told = decide_rows(alone(hmm, bundles), PLAIN, rows, at(300))
    model, z = reference(hmm), observations(hmm, rows)
    for n in range(1, 301):
        assert np.abs(model.predict_proba(z[:n])[-1] - told["posterior"][n - 1, :6]).max() <= 1e-10, n


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 5.0), st.floats(0.5, 0.9999))
def test_the_filter_is_hmmlearns_for_any_sharpness_and_stickiness(bundles, seed, spread, stay):
    """Sharp states make likelihoods thousands of nats apart; sticky ones let hardly anything leave."""
    rng = np.random.default_rng(seed)
    plain = bundles.hidden_markov(temper=1.0, spread_max=None)
    variances = spread * np.exp(rng.normal(0.0, 0.5, (3, len(plain.observed))))
    leave = rng.dirichlet(np.ones(6), 6)
    swapped = list(plain.mirror)
    moves = stay * np.eye(6) + (1.0 - stay) * 0.5 * (leave + leave[np.ix_(swapped, swapped)])
    hmm = msgspec.structs.replace(
        plain,
        variances=tuple(tuple(variances[min(k, other) // 2].tolist()) for k, other in enumerate(plain.mirror)),
        transitions=tuple(tuple((row / row.sum()).tolist()) for row in moves),
    )
    rows = bundles.rows(60, seed=seed % 1000)
    _, told = decide_rows(alone(hmm, bundles), PLAIN, rows, at(60))
    model, z = reference(hmm), observations(hmm, rows)
    for n in range(1, 61):
        assert np.abs(model.predict_proba(z[:n])[-1] - told["posterior"][n - 1, :6]).max() <= 1e-10, n


def test_a_gap_of_k_bars_is_k_steps_of_which_nothing_is_known(bundles):
    hmm = bundles.hidden_markov(temper=1.0, spread_max=None)
    rows = bundles.rows(2, seed=6)
    for k in (1, 2, 3, 17, 1000, 10**9):
        _, told = decide_rows(alone(hmm, bundles), PLAIN, rows, np.array([1000 * S, (1000 + k) * S]))
        power = np.linalg.matrix_power(np.array(hmm.transitions), min(k, 10**6))
        prior = told["posterior"][0, :6] @ power
        z = observations(hmm, rows)[1]
        density = np.exp(
            -0.5 * ((z - np.array(hmm.means)) ** 2 / hmm.variances + np.log(2 * math.pi * np.array(hmm.variances))).sum(axis=1)
        )
        assert np.abs(prior * density / (prior * density).sum() - told["posterior"][1, :6]).max() <= 1e-10, k


def test_tempering_and_bounding_weaken_a_bar_as_they_say(bundles):
    rows = bundles.rows(1, seed=7)
    hmm = bundles.hidden_markov(temper=3.0, spread_max=2.0)
    _, told = decide_rows(alone(hmm, bundles), PLAIN, rows, at(1))
    z = observations(hmm, rows)[0]
    likelihood = -0.5 * ((z - np.array(hmm.means)) ** 2 / hmm.variances + np.log(2 * math.pi * np.array(hmm.variances))).sum(axis=1)
    weight = np.exp(np.maximum(likelihood - likelihood.max(), -2.0) / 3.0) / 6
    assert np.allclose(told["posterior"][0, :6], weight / weight.sum(), atol=1e-12)
    assert weight.max() / weight.min() == pytest.approx(math.exp(2 / 3))


def test_a_missing_dimension_is_left_out_and_with_none_left_only_time_passes(bundles):
    hmm = bundles.hidden_markov(temper=1.0, spread_max=None)
    rows = bundles.rows(2, seed=8)
    rows[1, FEATURE_INDEX["rv_120s"]] = np.nan
    _, told = decide_rows(alone(hmm, bundles), PLAIN, rows, at(2))
    z, kept = observations(hmm, rows)[1], [0, 1, 3]
    means, variances = np.array(hmm.means)[:, kept], np.array(hmm.variances)[:, kept]
    density = np.exp(-0.5 * ((z[kept] - means) ** 2 / variances + np.log(2 * math.pi * variances)).sum(axis=1))
    weight = told["posterior"][0, :6] @ np.array(hmm.transitions) * density
    assert np.allclose(told["posterior"][1, :6], weight / weight.sum(), atol=1e-12)
    rows[1, [FEATURE_INDEX[one.feature] for one in hmm.observed]] = np.nan
    _, told = decide_rows(alone(hmm, bundles), PLAIN, rows, at(2))
    assert np.allclose(told["posterior"][1, :6], told["posterior"][0, :6] @ np.array(hmm.transitions), atol=1e-12)


def test_what_comes_later_changes_nothing_that_was_said(bundles):
    rows = bundles.rows(400, seed=9, missing=0.03)
    wide, told = decide_rows(bundles.small_bundle(), RegimeParameters(), rows, at(400))
    for n in (1, 57, 399):
        other = rows.copy()
        other[n:] = bundles.rows(400 - n, seed=10)
        early_wide, early = decide_rows(bundles.small_bundle(), RegimeParameters(), other, at(400))
        assert early[:n].tobytes() == told[:n].tobytes()
        assert early_wide[:n].tobytes() == wide[:n].tobytes()


def test_one_call_a_row_says_what_the_table_says(bundles):
    rows = bundles.rows(200, seed=11, missing=0.02)
    _, told = decide_rows(bundles.small_bundle(), RegimeParameters(), rows, at(200))
    model = TrainedModel(bundles.small_bundle(), RegimeParameters())
    state = model.fresh_state()
    for k, row in enumerate(rows):
        state = model.step(state, row, {}, (1000 + k) * S)
        assert state.mind.tobytes() == told[k : k + 1].tobytes()


@pytest.mark.parametrize("depth", [2, 9, DEPTH_MAX])
def test_a_product_has_as_many_factors_as_it_names(bundles, depth):
    product = interactions(depth)[-1]
    assert len(product.factors) == depth
    plain = alone(bundles.small_bundle().spec.hmm, bundles)
    bundle = Bundle(spec=msgspec.structs.replace(plain.spec, products=(product.name,)), forests={}, card="", hash=plain.hash)
    rows = bundles.rows(50, seed=13, missing=0.0)
    wide, _ = decide_rows(bundle, PLAIN, rows, at(50))
    column = columns_of(bundle.spec).index[product.name]
    assert wide[:, column] == pytest.approx(compute(rows, [product])[:, 0], rel=1e-5)


SWAP = [1, 0, 2, 3, 4]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.0, 0.2))
def test_the_mirror_of_a_market_gives_the_mirror_of_every_answer(bundles, seed, missing):
    bundle = bundles.small_bundle()
    rows = bundles.rows(60, seed=seed, missing=missing)
    wide, told = decide_rows(bundle, RegimeParameters(), rows, at(60))
    other_wide, other = decide_rows(bundle, RegimeParameters(), mirrored(rows), at(60))
    columns = columns_of(bundle.spec)
    assert np.array_equal(other_wide, columns.sign.astype(np.float32) * wide[:, columns.partner], equal_nan=True)
    assert np.array_equal(other["smoothed"], told["smoothed"][:, SWAP])
    assert np.array_equal(other["posterior"][:, [1, 0, 3, 2, 4, 5]], told["posterior"][:, :6])
    assert np.array_equal(np.array(SWAP)[other["label"]], told["label"])
    assert np.array_equal(other["flow"], told["flow"][:, ::-1], equal_nan=True)
    assert np.array_equal(other["lean"], -told["lean"], equal_nan=True)
    for name in ("confidence", "sigma", "gross", "single"):
        assert np.array_equal(other[name], told[name], equal_nan=True), name


def published(bundles, rows, parameters, **spec):
    bundle = alone(bundles.hidden_markov(temper=1.0), bundles)
    bundle = Bundle(spec=msgspec.structs.replace(bundle.spec, **spec), forests={}, card="", hash="0" * 64)
    return decide_rows(bundle, parameters, rows, at(len(rows)))[1]


def of_regime(bundles, name, count):
    """Return rows that sit on the mean of a regime's first state."""
    hmm = bundles.hidden_markov()
    state = hmm.names.index(name)
    row = bundles.rows(1)[0]
    for d, one in enumerate(hmm.observed):
        value = hmm.means[state][d] * one.mad + one.median
        row[FEATURE_INDEX[one.feature]] = math.copysign(math.expm1(abs(value)), value) if one.signed_log else value
    return np.tile(row, (count, 1))


def labels(told):
    return [list(Regime)[k] for k in told["label"]]


def test_smoothing_keeps_its_share_of_the_posterior_before(bundles):
    rows = bundles.rows(40, seed=12)
    plain, smooth = published(bundles, rows, PLAIN), published(bundles, rows, msgspec.structs.replace(PLAIN, transition_smoothing=0.8))
    expected = plain["smoothed"][0]
    for k in range(1, 40):
        expected = 0.8 * expected + 0.2 * plain["smoothed"][k]
        assert np.allclose(smooth["smoothed"][k], expected, atol=1e-12)


def test_a_label_waits_for_its_bars_and_its_time_and_danger_does_not(bundles):
    calm, buying = of_regime(bundles, Regime.NEUTRAL, 10), of_regime(bundles, Regime.ACCUMULATION, 60)
    wild = of_regime(bundles, Regime.VOLATILE, 5)
    said = labels(published(bundles, np.vstack([calm, buying]), PLAIN, switch_bars=4))
    ahead = published(bundles, np.vstack([calm, buying]), PLAIN, switch_bars=1)
    first = labels(ahead).index(Regime.ACCUMULATION)
    assert said.index(Regime.ACCUMULATION) == first + 3
    slow = labels(published(bundles, np.vstack([calm, buying]), msgspec.structs.replace(PLAIN, min_regime_duration=45.0), switch_bars=1))
    assert slow.index(Regime.ACCUMULATION) == 45
    danger = labels(published(bundles, np.vstack([calm, wild]), msgspec.structs.replace(PLAIN, min_regime_duration=1e6), switch_bars=100))
    assert Regime.VOLATILE in danger[10:12]


def test_the_probability_is_that_of_the_debounced_label_not_of_the_likeliest(bundles):
    rows = np.vstack([of_regime(bundles, Regime.NEUTRAL, 10), of_regime(bundles, Regime.ACCUMULATION, 5)])
    bundle = alone(bundles.hidden_markov(temper=1.0), bundles)
    model = TrainedModel(bundle, msgspec.structs.replace(PLAIN, min_regime_duration=1e6))
    state = model.fresh_state()
    for k, row in enumerate(rows):
        state = model.step(state, row, {}, (1000 + k) * S)
    reading = model.reading(state)
    assert reading.label is Regime.NEUTRAL
    assert reading.probability == reading.posterior[4] < 0.5
    assert reading.age_s == 14.0
    assert sum(reading.posterior) == pytest.approx(1.0)


def test_a_clock_that_stands_changes_nothing_and_one_that_restarts_starts_afresh(bundles):
    model = TrainedModel(bundles.small_bundle(), RegimeParameters())
    rows = bundles.rows(3)
    state = model.step(model.fresh_state(), rows[0], {}, 5000 * S)
    before, seen = state.mind.tobytes(), state.wide.tobytes()
    assert model.step(state, rows[1], {}, 5000 * S).mind.tobytes() == before
    assert model.step(state, rows[1], {}, 4990 * S).mind.tobytes() == before
    assert state.wide.tobytes() == seen
    restarted = model.step(state, rows[1], {}, 100 * S).mind.copy()
    assert restarted.tobytes() == model.step(model.fresh_state(), rows[1], {}, 100 * S).mind.tobytes()
    assert fresh_mind()["ts_event_ns"][0] == 0


def test_the_window_is_the_mean_over_the_bundles_feature_window_whatever_is_configured(bundles):
    """In bars of a second; a forest learned means over that window, and would read another feature in those over another."""
    rows = bundles.rows(50, seed=13)
    bundle = alone(bundles.hidden_markov(), bundles)
    k = columns_of(bundle.spec).index["window:tfi_120s"]
    z = observations(bundle.spec.hmm, rows)[:, 0]
    for window in (10, 100):
        learned = replace(bundle, spec=msgspec.structs.replace(bundle.spec, feature_window=window))
        wide, _ = decide_rows(learned, RegimeParameters(feature_window=1000), rows, at(50))
        keep, mean = math.exp(-2.0 / (window + 1)), z[0]
        for value in z[1:]:
            mean = keep * mean + (1 - keep) * value
        assert wide[-1, k] == pytest.approx(mean, rel=1e-6)


def test_rows_without_their_own_rising_time_are_refused(bundles):
    with pytest.raises(ValueError, match="rising"):
        decide_rows(bundles.small_bundle(), PLAIN, bundles.rows(2), np.array([5, 5]))

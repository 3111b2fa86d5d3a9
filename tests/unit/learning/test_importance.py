"""What features are worth: gain is shared out whole, and shuffling costs where, and only where, a model reads."""

import dataclasses

import msgspec
import numpy as np
import pytest

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.drift_monitors import features_of
from smartmoney.learning.importance import gain_shares, worth_by_gain, worth_on

from .made_rows import made_rows


def quiet(_what, _done, _total):
    """Show nothing."""


def test_gain_goes_to_features_and_sums_to_one(bundles):
    spec = bundles.small_bundle().spec
    weighed = msgspec.structs.replace(
        spec, importance={"tfi_120s": 2.0, "window:tfi_120s": 2.0, "tfi_10s*tfi_120s": 4.0, "hmm:entropy": 2.0}
    )
    assert gain_shares(weighed) == pytest.approx({"tfi_120s": 0.6, "hmm:entropy": 0.2, "tfi_10s": 0.2})
    assert [one.feature for one in worth_by_gain(weighed)] == ["tfi_120s", "hmm:entropy", "tfi_10s"]
    assert gain_shares(msgspec.structs.replace(spec, importance={})) == {}


def test_shuffling_costs_what_the_forecasts_live_by_and_nothing_elsewhere(bundles):
    small = bundles.small_bundle()
    rows = made_rows(3, "real", 2400, truth=False)
    found = {one.feature: one for one in worth_on(small, [rows], RegimeParameters(), quiet, repeats=2)}
    assert set(found) == set(features_of(small.spec))
    assert any(one.loss_more != 0.0 for one in found.values())
    again = {one.feature: one for one in worth_on(small, [rows], RegimeParameters(), quiet, repeats=2)}
    assert again == found
    # What is the same in every row cannot be shuffled.
    values = rows.values.copy()
    values[:, FEATURE_INDEX["weighted_imbalance"]] = np.float32(0.25)
    still = {one.feature: one for one in worth_on(small, [msgspec.structs.replace(rows, values=values)], RegimeParameters(), quiet, 1)}
    assert (still["weighted_imbalance"].loss_more, still["weighted_imbalance"].relabelled) == (0.0, 0.0)


def test_without_a_move_there_is_no_loss_to_speak_of(bundles):
    rows = made_rows(3, "real", 700, truth=False)
    still = msgspec.structs.replace(rows, mid_after=np.full(len(rows), 60_000.0))
    found = worth_on(bundles.small_bundle(), [still], RegimeParameters(), quiet, repeats=1)
    assert all(np.isnan(one.loss_more) for one in found)


def test_shuffling_what_regimes_are_read_from_changes_regimes(bundles):
    small = bundles.small_bundle()
    # Without the classifier the filter alone names regimes.
    spec = msgspec.structs.replace(small.spec, classifier=None)
    rows, values = made_rows(3, "real", 900, truth=False), bundles.rows(900).astype(np.float32)
    side = np.where(np.arange(900) // 150 % 2, 1.0, -1.0)
    for name, column in (("tfi_120s", 0.3 * side), ("ofi_l1_10s", 0.65 * side), ("rv_120s", 1.7), ("efficiency_120s", 0.2)):
        values[:, FEATURE_INDEX[name]] = column
    rows = msgspec.structs.replace(rows, values=values)
    found = {one.feature: one for one in worth_on(dataclasses.replace(small, spec=spec), [rows], RegimeParameters(), quiet, repeats=1)}
    assert found["tfi_120s"].relabelled > 0.01
    assert found["spread_bps"].relabelled == 0.0  # heads alone read it

"""The file beside a bundle that says how its features were distributed: read back, refused when damaged or another bundle's."""

import numpy as np
import pytest

from smartmoney.adapters.model_files import BundleRefused, read_bundle
from smartmoney.adapters.model_reference import REFERENCE, write_reference
from smartmoney.adapters.model_store import BUNDLED, ModelStore
from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.drift_monitors import Reference, features_of, psi_by_feature, reference_of, unusual
from smartmoney.runtime.models import Models


def _reference(bundle, rng=None):
    rng = rng or np.random.default_rng(2)
    return reference_of(bundle, [rng.standard_normal((2_000, len(FEATURES))).astype(np.float32)])


def test_it_is_read_back_beside_a_bundle_that_stays_whole(tmp_path, bundles):
    store, small = ModelStore(tmp_path), bundles.small_bundle()
    folder = store.add(small)
    assert store.reference(small.hash, Reference) is None
    reference = _reference(small)
    write_reference(folder, reference)
    assert store.reference(small.hash, Reference) == reference
    assert read_bundle(folder).hash == small.hash
    assert store.add(small) == folder


def test_what_is_damaged_or_of_another_bundle_is_refused_and_a_daemon_goes_without(tmp_path, bundles):
    store, small, second = ModelStore(tmp_path), bundles.small_bundle(), bundles.small_bundle(name="second")
    folder = store.add(small)
    write_reference(folder, _reference(second))
    with pytest.raises(BundleRefused, match=f"belongs to the bundle {second.hash[:12]}"):
        store.reference(small.hash, Reference)
    (folder / REFERENCE).write_text("{")
    with pytest.raises(BundleRefused, match="remove it: the bundle works without"):
        store.reference(small.hash, Reference)
    assert Models(tmp_path).reference(small.hash) is None


def test_the_package_knows_how_the_features_of_its_own_bundle_were_distributed(tmp_path):
    bundle = read_bundle(BUNDLED)
    reference = ModelStore(tmp_path).reference(bundle.hash, Reference)
    assert reference is not None
    assert set(reference.edges) == set(reference.shares) == set(features_of(bundle.spec))
    assert all(abs(sum(shares) - 1.0) < 1e-9 for shares in reference.shares.values())


def test_what_training_itself_had_is_not_unusual(bundles):
    rng = np.random.default_rng(3)
    small = bundles.small_bundle()
    # Two kinds of days: each is unlike both together.
    days = [(rng.standard_normal((12_000, len(FEATURES))) + shift).astype(np.float32) for shift in (0.0, 1.5)]
    reference = reference_of(small, days)
    values = psi_by_feature(reference, days[0][::60].astype(np.float64))
    assert min(values.values()) > 0.25
    assert max(unusual(reference, values).values()) < 0.25
    elsewhere = psi_by_feature(reference, days[0][::60].astype(np.float64) - 6.0)
    assert min(unusual(reference, elsewhere).values()) > 0.25

"""Products of features: by name, as many as the depth says, with the parity of their factors, the same for a row and a table."""

from math import comb

import msgspec
import numpy as np
import pytest
import yaml

from smartmoney.core.features.interactions import BASE, compute, interactions, schema_hash
from smartmoney.core.features.modules import MODULES
from smartmoney.core.features.schema import COLUMNS, FEATURES, SCHEMA_HASH
from smartmoney.settings.advanced import AdvancedFeatures

from .streams import REFERENCE, mirrored, random_stream, table_of


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_there_is_a_product_for_each_choice_of_up_to_so_many_features(depth):
    products = interactions(depth)
    assert len(products) == sum(comb(len(BASE), size) for size in range(2, depth + 1))
    assert len({product.name for product in products}) == len(products)
    assert all(product.name == "*".join(product.factors) and len(product.factors) <= depth for product in products)


def test_the_configured_depth_decides_the_columns():
    text = "feature_engine: {feature_interaction_depth: 3}"
    depth = AdvancedFeatures.model_validate(yaml.safe_load(text)).feature_engine.feature_interaction_depth
    default = AdvancedFeatures().feature_engine.feature_interaction_depth
    assert len(interactions(depth)) > len(interactions(default)) > len(interactions(1)) == 0
    assert len({SCHEMA_HASH, schema_hash(default), schema_hash(depth)}) == 3
    assert schema_hash(1) == SCHEMA_HASH


@pytest.mark.slow
def test_products_obey_the_mirror_as_their_factors_do():
    rows = random_stream(3, 700, wild=False)
    products = interactions(3)
    here = compute(table_of(rows, reference=float(REFERENCE)), products)
    there = compute(table_of(mirrored(rows), reference=float(REFERENCE)), products)
    assert np.isfinite(here[-1]).mean() > 0.5
    for k, product in enumerate(products):
        np.testing.assert_array_equal(here[:, k], -there[:, k] if product.parity == "odd" else there[:, k], err_msg=product.name)


def test_a_table_gives_what_its_rows_give_and_nan_stays_nan():
    table = table_of(random_stream(4, 300, wild=True))
    products = interactions(2)
    whole = compute(table, products)
    np.testing.assert_array_equal(whole, np.array([compute(row, products) for row in table]))
    at = products[0]
    known = np.isfinite(table[:, [COLUMNS.index(name) for name in at.factors]]).all(axis=1)
    np.testing.assert_array_equal(np.isfinite(whole[:, 0]), known)


def test_a_bounded_factor_is_taken_as_it_is_and_another_as_its_signed_logarithm():
    row = np.full(len(COLUMNS), np.nan)
    row[COLUMNS.index("queue_imbalance")], row[COLUMNS.index("spread_bps")] = -0.5, np.e - 1
    product = next(one for one in interactions(2) if one.factors == ("spread_bps", "queue_imbalance"))
    assert compute(row, [product])[0] == pytest.approx(-0.5)


def test_bad_input_is_refused_by_name():
    with pytest.raises(ValueError, match="feature_interaction_depth"):
        interactions(0)
    with pytest.raises(ValueError, match=BASE[0]):
        interactions(2, [feature for feature in FEATURES if feature.name != BASE[0]])
    with pytest.raises(ValueError, match="features, not 3"):
        compute(np.zeros(3), interactions(2))


def test_the_modules_name_features_and_keys_that_exist():
    settings = AdvancedFeatures()
    for module in MODULES:
        assert set(module.features) <= set(COLUMNS)
        assert set(module.keys) == set(type(getattr(settings, module.name)).model_fields)
        assert module == msgspec.structs.replace(module)

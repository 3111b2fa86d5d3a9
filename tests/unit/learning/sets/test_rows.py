"""Files of training rows, and the fold that makes them, on a small synthetic world."""

import numpy as np
import pytest

from smartmoney.core.features.interactions import interactions
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX
from smartmoney.learning.sets.families import FAMILIES, UNSEEN, held_out_worlds, training_worlds
from smartmoney.learning.sets.mirror import mirror
from smartmoney.learning.sets.rows import RowsRefused, load_rows, save_rows
from smartmoney.learning.sets.synthetic import World, simulate
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.settings.scenario import load_scenario


@pytest.fixture(scope="module")
def world():
    return World(family="lively", scenario=load_scenario("first_run"), seed=3, seconds=420)


@pytest.fixture(scope="module")
def rows(world):
    return simulate(world, recorded_binance(), FeatureParameters())


def test_a_world_gives_a_row_a_second_with_truth_beside_it(rows):
    assert len(rows) == 419
    assert (np.diff(rows.times) == 1_000_000_000).all()
    assert set(np.unique(rows.truth.regime)) <= set(range(5))
    assert rows.truth.informed_buying.any() or rows.truth.informed_selling.any()
    assert np.isfinite(rows.values[-1, FEATURE_INDEX["tfi_120s"]])
    assert np.isfinite(rows.mid_after[10:-1]).all()


def test_a_longer_world_begins_with_the_same_rows(world, rows):
    import msgspec

    longer = simulate(msgspec.structs.replace(world, seconds=480), recorded_binance(), FeatureParameters())
    same = len(rows)
    assert np.array_equal(longer.values[:same], rows.values, equal_nan=True)
    assert np.array_equal(longer.mid_after[: same - 1], rows.mid_after[:-1], equal_nan=True)
    assert (longer.truth.regime[:same] == rows.truth.regime).all()


def test_rows_are_read_back_as_they_were(rows, tmp_path):
    save_rows(rows, tmp_path / "deep" / "a.npz")
    again = load_rows(tmp_path / "deep" / "a.npz")
    assert np.array_equal(again.values, rows.values, equal_nan=True)
    assert (again.truth.participation == rows.truth.participation).all()
    assert (again.name, again.family) == (rows.name, rows.family)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.npz"]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a file", b"text"])
def test_a_damaged_file_is_refused_with_the_remedy(tmp_path, damage):
    path = tmp_path / "a.npz"
    path.write_bytes(damage)
    with pytest.raises(RowsRefused, match="remove it"):
        load_rows(path)


def test_rows_of_another_schema_are_refused(rows, tmp_path):
    import msgspec

    save_rows(msgspec.structs.replace(rows, schema_hash="0" * 64), tmp_path / "a.npz")
    with pytest.raises(RowsRefused, match="schema 000000000000"):
        load_rows(tmp_path / "a.npz")


def test_the_mirror_of_the_mirror_is_the_row_and_products_follow(rows):
    products = interactions(2)
    from smartmoney.core.features.interactions import compute

    values = rows.values[200:260]
    wide = np.concatenate((values, compute(values.astype(float), products).astype(np.float32)), axis=1)
    assert np.array_equal(mirror(mirror(wide, products), products), wide, equal_nan=True)
    swapped = mirror(values)
    again = compute(swapped.astype(float), products).astype(np.float32)
    assert np.array_equal(mirror(wide, products)[:, len(COLUMNS) :], again, equal_nan=True)


def test_held_out_worlds_follow_from_the_bundle_and_include_unseen_families():
    one, same, other = (held_out_worlds(hash_, "standard", 1, 600) for hash_ in ("a" * 64, "a" * 64, "b" * 64))
    assert [world.seed for world in one] == [world.seed for world in same]
    assert not {world.seed for world in one} & {world.seed for world in other}
    assert {world.family for world in one} == {family.name for family in (*FAMILIES, *UNSEEN)}
    trained = {(world.scenario.name, world.seed) for world in training_worlds(4, 600)}
    assert not trained & {(world.scenario.name, world.seed) for world in one}


def test_a_cache_key_changes_with_everything_that_the_rows_depend_on(world):
    import msgspec

    keys = {
        world.key(FeatureParameters()),
        world.key(FeatureParameters(large_order_threshold=5.0)),
        msgspec.structs.replace(world, seed=4).key(FeatureParameters()),
        msgspec.structs.replace(world, seconds=421).key(FeatureParameters()),
        msgspec.structs.replace(world, scenario=load_scenario("calm")).key(FeatureParameters()),
    }
    assert len(keys) == 5

"""The schema as data: complete, consistent with the kernels, and printable."""

import hashlib
import json
from collections import Counter

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from smartmoney.cli.features import features
from smartmoney.core.features import row
from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX, FEATURES, READABLE_HASHES, SCHEMA_HASH, VERSION, as_mapping


def test_each_group_writes_its_own_columns_and_names_itself():
    assert [feature.name for feature in FEATURES] == list(COLUMNS)
    assert FEATURE_INDEX == {name: k for k, name in enumerate(COLUMNS)}
    for group in row.GROUPS:
        assert {feature.group for feature in group.FEATURES} == {group.GROUP}
        assert len(group.FEATURES) == group.COUNT


def test_swap_partners_point_at_each_other():
    partners = {f.name: f.parity.partition(":")[2] for f in FEATURES if f.parity.startswith("swap:")}
    assert partners
    assert all(partners[partner] == name for name, partner in partners.items())
    assert {f.parity for f in FEATURES if f.name not in partners} == {"odd", "even"}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_half_life_in_a_name_is_the_one_in_the_schema_and_odd_bounds_are_symmetric(feature):
    suffix = feature.name.rpartition("_")[2]
    if suffix.endswith("s") and suffix[:-1].isdigit():
        assert feature.half_life_s == int(suffix[:-1])
    if feature.parity == "odd" and feature.bounds[0] is not None:
        assert feature.bounds[0] == -feature.bounds[1]
    assert feature.description.endswith(".")


def test_names_are_unique_and_the_hash_is_sha256():
    assert max(Counter(COLUMNS).values()) == 1
    assert len(SCHEMA_HASH) == 64


def hash_of(version, features):
    return hashlib.sha256(msgspec.json.encode((version, features))).hexdigest()


def test_the_schema_before_its_last_groups_were_appended_can_be_read_and_no_other():
    before = FEATURES[: -row.GROUPS[-1].COUNT]
    assert {SCHEMA_HASH, hash_of(VERSION, before)} <= READABLE_HASHES
    reworded = (msgspec.structs.replace(before[0], description="Another formula."), *before[1:])
    for other in (before[1:], before[:-1], reworded, (before[1], before[0], *before[2:])):
        assert hash_of(VERSION, other) not in READABLE_HASHES
    assert hash_of(VERSION - 1, before) not in READABLE_HASHES


def test_a_row_of_the_wrong_length_is_refused():
    assert as_mapping(range(len(COLUMNS)))["mm_presence"] == COLUMNS.index("mm_presence")
    with pytest.raises(ValueError, match="shorter"):
        as_mapping([1.0])


@pytest.fixture
def app():
    application = typer.Typer()
    application.command()(features)
    return application


def test_the_command_prints_the_schema_as_json(app):
    found = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert found["schema_hash"] == SCHEMA_HASH
    assert [feature["name"] for feature in found["features"]] == list(COLUMNS)


def test_the_command_prints_every_feature_with_its_formula(app):
    printed = CliRunner().invoke(app, []).stdout
    assert all(name in printed for name in COLUMNS)

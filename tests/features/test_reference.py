"""The compiled features against a slow, obvious reference that keeps the whole history."""

import numpy as np
import pytest
from hypothesis import given, settings

from smartmoney.core.features.schema import COLUMNS, as_mapping
from tests.examples import examples

from .references import disagreements, new_history, reference_row
from .streams import LAWS, LEVEL, MS, PARAMETERS, START, apply_rows, fresh, random_stream, row_of, streams


def assert_agrees(states, history, t=None):
    ours, theirs = as_mapping(row_of(states)), reference_row(history, history.now if t is None else max(t, history.now))
    assert not disagreements(ours, theirs)


def compare_with_reference(rows, every):
    states, history = fresh(), new_history(PARAMETERS)
    for k, row in enumerate(rows):
        apply_rows(states, rows[k : k + 1])
        history.feed(*(int(x) for x in row))
        if row[0] != LEVEL and k % every == 0:
            assert_agrees(states, history)
    assert_agrees(states, history)
    later = int(states["last_event_ns"][0]) + 777 * MS
    states["last_event_ns"] = later
    assert_agrees(states, history, later)


@given(streams(250))
@settings(LAWS, max_examples=8)
def test_every_feature_equals_its_reference_on_a_random_stream(rows):
    compare_with_reference(rows, 97)


@pytest.mark.slow
@given(streams(500))
@settings(LAWS, max_examples=examples(60))
def test_every_feature_equals_its_reference_on_many_random_streams(rows):
    compare_with_reference(rows, 97)


def assert_warm_but_for(rows, slow):
    states, history = fresh(), new_history(PARAMETERS)
    apply_rows(states, rows)
    for row in rows:
        history.feed(*(int(x) for x in row))
    known = np.isfinite(row_of(states))
    assert {name for name, is_known in zip(COLUMNS, known, strict=True) if not is_known} <= slow
    assert_agrees(states, history)


SLOW = {"ofi_l1_3600s", "signed_volume_3600s", "tfi_3600s", "rv_3600s", "vpin"}
"""Features that need more than the seven minutes of the long stream."""


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.campaign)])
def test_every_feature_becomes_warm_and_equals_its_reference_on_a_long_stream(seed):
    assert_warm_but_for(random_stream(seed, 1500, wild=False), SLOW)


@pytest.mark.slow
def test_every_feature_that_is_warm_equals_its_reference_on_half_a_long_stream():
    assert_warm_but_for(random_stream(0, 750, wild=False), set(COLUMNS))  # some are not warm yet


def slowed(rows, times):
    """Give the stream in which everything takes so many times as long."""
    out = rows.copy()
    out[:, 1] = START + (rows[:, 1] - START) * times
    return out


@pytest.mark.parametrize("seed", [pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.campaign)])
def test_what_takes_an_hour_to_become_warm_equals_its_reference_too(seed):
    rows = slowed(random_stream(seed, 1500, wild=False), 10)
    states = fresh()
    apply_rows(states, rows)
    assert np.isfinite(row_of(states)[[COLUMNS.index(name) for name in SLOW]]).all()
    assert_warm_but_for(rows, set(COLUMNS))


@pytest.mark.parametrize(
    "seed", [10, pytest.param(11, marks=pytest.mark.slow), *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(12, 16))]
)
def test_every_feature_equals_its_reference_through_a_long_disorder(seed):
    compare_with_reference(random_stream(seed, 900, wild=True), 397)

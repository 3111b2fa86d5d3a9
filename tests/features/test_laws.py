"""The laws that every feature obeys: mirror, bounds, scale, nothing looks ahead, one way to fold, a record is all there is."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX, FEATURES
from smartmoney.core.features.state import FEATURE_FIELDS, STATE

from .streams import LAWS, LEVEL, PARAMETERS, REFERENCE, SCRATCH, apply_rows, fresh, mirrored, row_of, scaled, streams, table_of

WITHOUT_FLOOR = msgspec.structs.replace(PARAMETERS, large_order_threshold=0.0)


@given(streams(1000))
@LAWS
def test_the_mirror_negates_odd_features_exactly_and_swaps_partners(rows):
    here = table_of(rows, reference=float(REFERENCE))
    there = table_of(mirrored(rows), reference=float(REFERENCE))
    for feature in FEATURES:
        mine = here[:, FEATURE_INDEX[feature.name]]
        partner = feature.parity.partition(":")[2] or feature.name
        other = there[:, FEATURE_INDEX[partner]]
        np.testing.assert_array_equal(mine, -other if feature.parity == "odd" else other, err_msg=feature.name)


@given(streams(1000))
@LAWS
def test_every_value_is_within_the_bounds_of_the_schema(rows):
    table = table_of(rows)
    for feature in FEATURES:
        low, high = feature.bounds
        known = table[:, FEATURE_INDEX[feature.name]]
        known = known[~np.isnan(known)]
        assert np.isfinite(known).all(), feature.name
        assert low is None or (known >= low).all(), feature.name
        assert high is None or (known <= high).all(), feature.name


@given(streams(800), st.floats(0, 1))
@LAWS
def test_appending_the_future_changes_no_past_row(rows, share):
    cut = int(len(rows) * share)
    past = table_of(rows[:cut]) if cut else np.empty((0, len(COLUMNS)))
    assert past.tobytes() == table_of(rows)[: len(past)].tobytes()


@given(streams(800))
@LAWS
def test_one_row_at_a_time_equals_one_batch_and_reading_leaves_no_trace(rows):
    batch, single = fresh(), fresh()
    apply_rows(batch, rows)
    for k, row in enumerate(rows):
        apply_rows(single, rows[k : k + 1])
        if row[0] != LEVEL:
            row_of(single)
    for name, *_ in FEATURE_FIELDS:
        if name not in SCRATCH:
            assert batch[name].tobytes() == single[name].tobytes(), name


@given(streams(800), st.floats(0, 1))
@LAWS
def test_a_copied_record_goes_on_as_if_nothing_had_happened(rows, share):
    cut = int(len(rows) * share)
    whole, first = fresh(), fresh()
    apply_rows(whole, rows)
    apply_rows(first, rows[:cut])
    second = np.frombuffer(bytearray(first.tobytes()), STATE)
    apply_rows(second, rows[cut:])
    assert row_of(second).tobytes() == row_of(whole).tobytes()


@given(streams(1000), st.sampled_from([2, 8]))
@LAWS
def test_quantities_scale_what_the_schema_says_that_they_scale(rows, factor):
    here, there = table_of(rows, WITHOUT_FLOOR), table_of(scaled(rows, factor), WITHOUT_FLOOR)
    for feature in FEATURES:
        if feature.scale is not None:
            mine, other = here[:, FEATURE_INDEX[feature.name]], there[:, FEATURE_INDEX[feature.name]]
            np.testing.assert_allclose(other, mine * float(factor) ** feature.scale, rtol=1e-9, atol=1e-9, err_msg=feature.name)

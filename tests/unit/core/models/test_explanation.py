import math

import numpy as np
import pytest

from smartmoney.core.features.schema import as_mapping
from smartmoney.core.models.explanation import explain
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.strategy.trained import TrainedModel

from .test_kernel import S, mirrored


def spoken(bundles, rows):
    model = TrainedModel(bundles.small_bundle(), RegimeParameters())
    state = model.fresh_state()
    for k, row in enumerate(rows):
        model.step(state, row, as_mapping(row), (1000 + k) * S)
    return model.seen(state, 900.0), state.mind[0]


def test_the_parts_of_an_explanation_sum_to_the_lean_and_turn_with_the_market(bundles):
    rows = bundles.rows(20, seed=31)
    for n in (1, 7, 20):
        seen, mind = spoken(bundles, rows[:n])
        parts = explain(seen)
        margins = mind["margins"][:, 0].astype(float)  # of the last head asked, the one of 900 s
        assert math.fsum(parts.values()) == pytest.approx(0.5 * (margins[0] - margins[1]), abs=1e-5)
        assert list(parts) == sorted(parts, key=lambda name: -abs(parts[name]))
        other = explain(spoken(bundles, mirrored(rows[:n]))[0])
        swapped = {"flow:buying": "flow:selling", "regime:accumulation": "regime:distribution"}
        swapped |= {b: a for a, b in swapped.items()}
        for name, part in parts.items():
            assert other[swapped.get(name, name)] == pytest.approx(-part, abs=1e-6)


def test_what_was_seen_is_not_changed_by_the_next_step(bundles):
    rows = bundles.rows(2, seed=32)
    model = TrainedModel(bundles.small_bundle(), RegimeParameters())
    state = model.step(model.fresh_state(), rows[0], as_mapping(rows[0]), 1000 * S)
    seen = model.seen(state, 900.0)
    before = seen.wide.copy()
    model.step(state, rows[1], as_mapping(rows[1]), 1001 * S)
    assert np.array_equal(seen.wide, before, equal_nan=True)

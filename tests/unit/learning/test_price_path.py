"""A price path is as a plain list of last prices would be, in constant memory."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.learning import price_path
from smartmoney.learning.price_path import PricePath

S = 1_000_000_000


@given(
    st.lists(st.tuples(st.integers(0, 30 * S), st.floats(1, 1e6)), min_size=1, max_size=60),
    st.integers(0, 10**12),
    st.sampled_from([4, 7, 16]),
)
def test_it_holds_the_last_price_of_every_step_at_any_resolution(added, origin, capacity):
    path = PricePath(capacity)
    at = origin
    seen = []
    for wait, price in added:
        at += wait
        seen.append((at, price))
        path.add(at, price)
    assert len(path) <= capacity
    assert path.origin_ns % path.step_ns == 0
    last = {}
    for when, price in seen:
        last[(when - path.origin_ns) // path.step_ns] = price
    assert len(path) == max(last) + 1
    for step, price in enumerate(path.mids.tolist()):
        assert price == last[step] if step in last else math.isnan(price)


def test_room_for_a_longer_path_is_made_as_it_is_wanted(monkeypatch):
    monkeypatch.setattr(price_path, "_FIRST", 4)
    path = PricePath(64)
    rooms = []
    for second in (0, 3, 4, 40, 63, 64):
        path.add(second * S, 1.0 + second)
        rooms.append(len(path._mids))
    assert rooms == [4, 4, 8, 41, 64, 64]
    assert path.step_ns == 2 * S, "beyond its capacity a path halves its resolution"
    assert {step: mid for step, mid in enumerate(path.mids.tolist()) if not math.isnan(mid)} == {
        0: 1.0,
        1: 4.0,
        2: 5.0,
        20: 41.0,
        31: 64.0,
        32: 65.0,
    }


def test_prices_that_are_none_and_times_before_the_path_are_left_out():
    path = PricePath(8)
    for at, price in ((10 * S, 5.0), (11 * S, math.nan), (12 * S, 0.0), (12 * S, -1.0), (3 * S, 7.0)):
        path.add(at, price)
    assert path.mids.tolist() == [5.0]


def test_thinning_keeps_extremes_in_order_and_marks_a_hole():
    path = PricePath(4_096)
    values = 100.0 + np.random.default_rng(1).normal(0, 1, 3_000).cumsum() * 0.01
    for step, value in enumerate(values):
        if not 1_000 <= step < 1_400:
            path.add(step * S, value)
    points = path.thinned(200)
    assert len(points) <= 201
    known = [value for _, value in points if value is not None]
    kept = np.concatenate((values[:1_000], values[1_400:]))
    assert (min(known), max(known)) == (kept.min(), kept.max())
    assert [when for when, _ in points] == sorted(when for when, _ in points)
    assert sum(value is None for _, value in points) == 1


def test_coarsening_brings_paths_to_one_grid():
    path = PricePath(64)
    for step in range(40):
        path.add((7 + step) * S, float(step + 1))
    path.coarsen(4 * S)
    assert (path.step_ns, path.origin_ns) == (4 * S, 4 * S)
    assert path.mids.tolist()[:3] == [1.0, 5.0, 9.0]

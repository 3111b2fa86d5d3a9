"""The exact filter against slow peers that share none of its code, and the laws that an exact likelihood ratio obeys."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from smartmoney.simulation.oracle_filter import follow, intensity, move_to, open_filter, survival, take
from smartmoney.simulation.oracle_score import WindowScorer, score_windows
from smartmoney.simulation.oracle_world import (
    KINDS,
    SPLITTERS,
    OracleWorld,
    activity_generator,
    splitter_generator,
    stationary_splitters,
)

SECOND = 1_000_000_000
STATES = SPLITTERS * SPLITTERS * 3
EVENTS = np.array([[400, 0], [900, 1], [1700, 0], [2300, 0], [3100, 1], [3900, 0], [5200, 0], [6100, 0]], np.int64) * [1_000_000, 1]
UNTIL = 7 * SECOND


def world_of(kind, **changes):
    return OracleWorld(kind=kind, **{"target_per_s": 0.5, "warm_s": 0.0, **changes})


class Dense:
    """A world's killed chain as one 75 by 75 matrix, and the public excitation, written from the definitions."""

    def __init__(self, world, side):
        self.world, self.side = world, side
        eye5, eye3 = np.eye(SPLITTERS), np.eye(3)
        q5, q3 = splitter_generator(world), activity_generator(world)
        chain = np.kron(np.kron(q5, eye5), eye3) + np.kron(np.kron(eye5, q5), eye3) + np.kron(np.kron(eye5, eye5), q3)
        buyers, sellers, level = (grid.ravel() for grid in np.meshgrid(range(5), range(5), world.levels, indexing="ij"))
        self.rates = [world.base_per_s * level + world.splitter_per_s * n for n in (buyers, sellers)]
        self.killed = chain - np.diag(self.rates[0] + self.rates[1])
        p = stationary_splitters(world)
        self.start = np.kron(np.kron(p, p), np.full(3, 1 / 3))

    def excitation(self, events, at, side):
        total = 0.0
        for t, s in events:
            if t < at:
                jumps = self.world.excite_self if s == side else self.world.excite_cross
                total += sum(j * d * math.exp(-d * (at - t) * 1e-9) for j, d in zip(jumps, self.world.decay_per_s, strict=True))
        return total

    def likelihood(self, events, until, children=(), own=0.0):
        """Return P(events) density, up to the excitation's integral, if these events are the target's and it adds rate `own` to the rest."""
        p, now = self.start, 0
        for n, (t, s) in enumerate(events):
            p = p @ expm(self.killed * (t - now) * 1e-9) * math.exp(-own * (t - now) * 1e-9)
            if n not in children:
                p = p * (self.rates[s] + self.excitation(events, t, s) + (own if s == self.side else 0.0))
            now = t
        return (p @ expm(self.killed * (until - now) * 1e-9)).sum() * math.exp(-own * (until - now) * 1e-9)


@pytest.mark.slow
def test_a_poisson_target_is_as_likely_as_by_one_dense_matrix():
    world = world_of("poisson")
    for side in (0, 1):
        dense = Dense(world, side)
        found = follow(open_filter(world, side=side, under_h1=True), 0, EVENTS, UNTIL)
        assert found == pytest.approx(math.log(dense.likelihood(EVENTS, UNTIL, own=world.target_per_s)), abs=1e-10)
        found = follow(open_filter(world, with_parent=False), 0, EVENTS, UNTIL)
        assert found == pytest.approx(math.log(dense.likelihood(EVENTS, UNTIL)), abs=1e-10)


@pytest.mark.parametrize("kind", ["twap", "jittered"])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.slow
def test_a_target_that_keeps_a_distance_is_as_likely_as_the_sum_over_every_set_of_its_children(kind, side):
    world = world_of(kind)
    filters = open_filter(world, side=side, under_h1=True)
    low, high, mean = filters["shortest_s"][0], filters["longest_s"][0], 1 / world.target_per_s
    dense, total = Dense(world, side), 0.0
    own = [n for n, (_, s) in enumerate(EVENTS) if s == side]

    def left_over(age):
        # The tail of what is left of a distance, by summing the tail of a distance on a fine grid.
        grid = np.linspace(age, high, 200_001)
        tail = np.clip((high - grid) / (high - low), 0.0, 1.0)
        return float(np.trapezoid(tail, grid)) / mean if age < high else 0.0

    def tail(age):
        return min(1.0, max(0.0, (high - age) / (high - low)))

    for size in range(len(own) + 1):
        for children in itertools.combinations(own, size):
            times = EVENTS[list(children), 0] * 1e-9
            if size == 0:
                weight = left_over(UNTIL * 1e-9)
            else:
                weight = tail(times[0]) / mean * tail(UNTIL * 1e-9 - times[-1])
                for gap in np.diff(times):
                    weight *= 1 / (high - low) if low <= gap < high else 0.0
            if weight > 0.0:
                total += weight * dense.likelihood(EVENTS, UNTIL, children)
    found = follow(filters, 0, EVENTS, UNTIL)
    assert found == (pytest.approx(math.log(total), abs=1e-7) if total > 0 else -math.inf)


@pytest.mark.slow
def test_an_iceberg_is_as_likely_as_by_one_dense_matrix():
    world = world_of("iceberg")
    events = np.array([[400, 1], [405, 2], [900, 1], [905, 3], [1500, 0], [1505, 5], [1900, 0], [1905, 4]], np.int64) * [1_000_000, 1]
    orders_only = msgspec.structs.replace(world, splitter_per_s=0.0)
    dense = Dense(orders_only, 0)
    buyers, sellers, _ = (grid.ravel() for grid in np.meshgrid(range(5), range(5), range(3), indexing="ij"))
    p, now = dense.start, 0
    for t, kind in events:
        p = p @ expm(dense.killed * (t - now) * 1e-9)
        if kind <= 1:
            p = p * (dense.rates[kind] + dense.excitation([e for e in events if e[1] <= 1], t, kind))
        else:
            side = 0 if kind in (2, 3) else 1
            missed = (1 - world.refill_base) * (1 - world.refill_splitter) ** (buyers if side == 0 else sellers)
            missed = missed * (1 - world.refill_target if side == 0 else 1)
            p = p * (1 - missed if kind in (2, 4) else missed)
        now = t
    expected = math.log((p @ expm(dense.killed * (UNTIL - now) * 1e-9)).sum())
    assert follow(open_filter(world, side=0, under_h1=True), 0, events, UNTIL) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("kind", ["poisson", "jittered"])
def test_the_ratio_is_the_sum_of_log_intensities_less_the_integral_of_their_difference(kind):
    world = world_of(kind)
    with_target, without = open_filter(world, side=0, under_h1=True), open_filter(world, with_parent=False)
    total, now = 0.0, 0
    step = 500_000
    for at, event in [*EVENTS.tolist(), [UNTIL, -1]]:
        while now < at:
            # Midpoints on a fine grid: error of the order of step squared.
            for filters in (with_target, without):
                move_to(filters, 0, now + step // 2)
            total -= step * 1e-9 * sum(intensity(with_target, 0, s) - intensity(without, 0, s) for s in (0, 1))
            now += step
            for filters in (with_target, without):
                move_to(filters, 0, now)
        if event >= 0:
            total += math.log(intensity(with_target, 0, event) / intensity(without, 0, event))
            for filters in (with_target, without):
                take(filters, 0, at, event)
    assert total == pytest.approx(with_target["log_like"][0] - without["log_like"][0], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_the_ratio_is_a_martingale_without_a_target(kind):
    # A weak target and a short window, so that the mean is not carried by the rarest worlds.
    world = OracleWorld(kind=kind, target_per_s=0.1, refill_target=0.1, window_s=25.0, warm_s=60.0)
    ratios = np.exp([score.llr_sides for score in score_windows(world, 3, 700, under_h1=False)]).mean(axis=1)
    assert ratios.std() > 0.02
    assert abs(ratios.mean() - 1.0) < 4.0 * ratios.std() / math.sqrt(len(ratios))


events_of_any = st.lists(st.tuples(st.integers(1, 3 * SECOND), st.integers(0, 1)), min_size=1, max_size=25)


@settings(max_examples=30, deadline=None)
@given(steps=events_of_any, kind=st.sampled_from(["poisson", "twap", "jittered"]), cut=st.integers(0, 25))
def test_later_events_change_nothing_before_and_the_mirror_swaps_the_sides(steps, kind, cut):
    times = np.cumsum([gap for gap, _ in steps])
    events = np.column_stack([times, [side for _, side in steps]]).astype(np.int64)
    mirrored = events.copy()
    mirrored[:, 1] = 1 - mirrored[:, 1]
    world = world_of(kind)
    until = int(times[-1]) + SECOND
    for side in (0, 1):
        whole, parts = open_filter(world, side=side, under_h1=True), open_filter(world, side=side, under_h1=True)
        other = open_filter(world, side=1 - side, under_h1=True)
        assert follow(other, 0, mirrored, until) == pytest.approx(follow(whole, 0, events, until), rel=1e-9, abs=1e-9)
        first = events[:cut]
        at = int(first[-1, 0]) if len(first) else 0
        before = follow(parts, 0, first, at)
        alone = follow(open_filter(world, side=side, under_h1=True), 0, first, at)
        assert before == alone
        assert follow(parts, 0, events[cut:], until) == whole["log_like"][0]
        if math.isfinite(before):
            count = int(parts["count"][0])
            if math.isfinite(parts["log_like"][0]):
                assert parts["weight"][0, :count].sum() == pytest.approx(1.0)
            assert (parts["weight"][0, :count] >= 0.0).all()


@settings(max_examples=50, deadline=None)
@given(age=st.floats(0.0, 10.0), later=st.floats(0.0, 3.0), is_start=st.integers(0, 1))
def test_survival_falls_from_one_to_zero(age, later, is_start):
    f = open_filter(world_of("jittered"), under_h1=True)[0]
    now, then = (survival(f, x, is_start) for x in (age, age + later))
    assert 0.0 <= then <= now <= 1.0 == survival(f, 0.0, is_start)
    assert survival(f, float(f["longest_s"]), is_start) == 0.0


def test_more_candidates_than_a_filter_holds_is_an_error_and_not_an_approximation():
    world = OracleWorld(kind="jittered", target_per_s=0.01, window_s=100.0, warm_s=0.0)
    events = np.column_stack([np.arange(1, 400) * 100_000_000, np.zeros(399, np.int64)]).astype(np.int64)
    with pytest.raises(AssertionError, match="last child"):
        WindowScorer(world).score(events, 0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kind": "pov"}, "kind"),
        ({"base_per_s": 0.0}, "base_per_s"),
        ({"refill_target": 1.5}, "refill_target"),
        ({"levels": (1.0, math.nan, 1.0)}, "levels"),
        ({"excite_self": (0.6, 0.5)}, "branching"),
        ({"window_s": math.inf}, "window_s"),
    ],
)
def test_a_world_with_a_bad_parameter_is_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named):
        OracleWorld(**changes)

"""The oracle that trades by truth: what it knows of parents, what it foretells, and that it is as sure as that is large."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Regime
from smartmoney.learning.evaluation.parent_oracle import SIGMA_FEATURE, Parent, ParentOracle, parents_of
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation import ladder
from smartmoney.simulation.market import SyntheticMarket

S = 1_000_000_000
FEATURES = {"liquidity_score": 0.9, "liquidity_stress": 0.1, SIGMA_FEATURE: 4.0}


def parent(start_s, bps, wait_s=60, lasts_s=90):
    return Parent(
        start_ns=start_s * S,
        drift_ns=(start_s + wait_s) * S,
        ends_ns=(start_s + wait_s + lasts_s) * S,
        bps=bps,
        planned_end_ns=(start_s + 120) * S,
    )


def asked(oracle, at_s, cost_bps=10.0):
    state = oracle.step(oracle.fresh_state(), np.empty(0), FEATURES, at_s * S)
    reading = oracle.reading(state)
    return reading, oracle.opportunities(state, FEATURES, reading, stop_bps=200.0, target_bps=400.0, cost_bps=cost_bps)


def test_a_parent_is_known_from_its_start_and_not_before():
    oracle = ParentOracle([parent(100, 40.0)])
    before, none = asked(oracle, 99)
    assert (before.label, none) == (Regime.NEUTRAL, ())
    reading, (one,) = asked(oracle, 100)
    assert reading.label is Regime.ACCUMULATION
    assert (one.side, one.gross_return_bps) == (Side.BUY, pytest.approx(40.0))
    assert one.expected_return_bps == pytest.approx(30.0)
    over, nothing = asked(oracle, 251)
    assert (over.label, nothing) == (Regime.NEUTRAL, ())


def test_what_is_foretold_is_the_part_of_the_drift_within_the_horizon():
    oracle = ParentOracle([parent(0, 90.0)])
    assert oracle.foretold(0, 60.0) == pytest.approx(0.15)
    assert oracle.foretold(0, 105.0) == pytest.approx(45.15)
    assert oracle.foretold(100 * S, 30.0) == pytest.approx(30.0)


def test_parents_that_disagree_cancel_and_a_small_drift_is_little_sure():
    assert asked(ParentOracle([parent(0, 40.0), parent(0, -40.0)]), 1)[1] == ()
    (small,), (large,) = (asked(ParentOracle([parent(0, bps)]), 1)[1] for bps in (2.0, -40.0))
    assert small.confidence < 0.7 < large.confidence
    assert large.side is Side.SELL


@given(st.lists(st.tuples(st.integers(0, 600), st.floats(-50, 50)), max_size=8), st.integers(0, 900))
def test_the_mirror_of_parents_is_the_mirror_of_the_forecast(parents, at_s):
    said, mirrored = (asked(ParentOracle([parent(start, sign * bps) for start, bps in parents]), at_s)[1] for sign in (1.0, -1.0))
    assert len(said) == len(mirrored)
    for one, other in zip(said, mirrored, strict=True):
        assert one.side is other.side.opposite
        assert one.gross_return_bps == pytest.approx(other.gross_return_bps)
        assert one.confidence == pytest.approx(other.confidence)


def test_parents_of_a_market_are_its_informed_and_mistaken_ones_with_the_scenarios_mean_drift():
    scenario = load_scenario("first_run")
    market = SyntheticMarket(3, scenario, ("BTCUSDT",))
    book = next(iter(market.books.values()))
    book.advance(900 * S)
    told = book.truth()
    found = parents_of(told, scenario, float(book.worlds["lots_per_unit"][0]), 1000 * S)
    starts = told[told[:, ladder.KIND] == ladder.PARENT_STARTED]
    assert len(found) == (starts[:, ladder.TICK] != 3).sum() > 3
    assert all(abs(one.bps) == pytest.approx(scenario.informed.right_share * scenario.informed.drift_bps) for one in found)
    assert [one.start_ns for one in found] == sorted(one.start_ns for one in found)
    assert found[0].start_ns >= 1000 * S

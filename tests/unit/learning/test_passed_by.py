"""What became of the oracle's trades: taken, or passed by at which gate; the parts add up to what both made."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.signals import RefusalCode
from smartmoney.learning.evaluation.passed_by import (
    AGAINST,
    COLD,
    LATER,
    ORDERED,
    OTHER_SIDE,
    SILENT,
    TAKEN,
    WAYS,
    Account,
    Held,
    Moments,
    chances,
    ways_of,
)
from smartmoney.learning.evaluation.planted import score_planted

from .test_evaluation_trades import worlds

S = 1_000_000_000


def path(*points):
    return [(at_s * S, value) for at_s, value in points]


def held(sign, entry_s, exit_s, net=1.0):
    return Held(sign=sign, entry_ns=entry_s * S, exit_ns=exit_s * S, net=net)


def account(*trades, worth=(), size=100.0):
    """Return an account that held `size` in each trade."""
    steps = [(at, value) for one in trades for at, value in ((one.entry_ns, one.sign * size), (one.exit_ns, 0.0))]
    return Account(held=trades, worth=path(*worth), position=[(0, 0.0), *steps])


def moments(*said):
    made = Moments()
    for at_s, code, sign in said:
        made.note(at_s * S, code, sign)
    return made


def test_a_trade_that_was_taken_tells_for_how_long_and_how_large_it_was():
    oracle = account(held(1, 100, 400, net=3.0), worth=((0, 0.0), (150, 1.0), (300, 3.0)))
    (one,) = chances(oracle, account(held(1, 190, 420), size=50.0, worth=((0, 10.0), (395, 12.0), (410, 14.0))), moments())
    assert (one.way, one.net_oracle, one.net_model, one.lasts_s, one.held_s, one.net_held) == (TAKEN, 3.0, 2.0, 300.0, 210.0, 2.0)
    assert one.exposed == pytest.approx(0.5 * one.exposed_oracle)
    turned = account(held(-1, 190, 420), worth=((0, 10.0), (300, 8.0)))
    (against,) = chances(oracle, turned, moments((200, "signal", 1)))
    assert (against.way, against.net_model, against.held_s) == (AGAINST, -2.0, 0.0)


def test_a_trade_that_is_held_over_two_of_the_oracles_takes_both():
    mine = account(held(1, 50, 350), worth=((0, 10.0), (40, 10.0), (100, 11.0), (200, 8.0), (399, 12.0)))
    first, other = chances(account(held(1, 0, 100), held(1, 200, 400)), mine, moments())
    assert (first.way, first.net_model, first.held_s) == (TAKEN, 1.0, 50.0)
    assert (other.way, other.net_model, other.held_s) == (TAKEN, 4.0, 150.0)


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ([], SILENT),
        ([(120, "no_opportunity", 0), (99, "low_confidence", 1), (401, "signal", 1)], SILENT),
        ([(120, "no_opportunity", 0), (130, "low_confidence", 1), (140, "no_opportunity", 0)], "low_confidence"),
        ([(120, "low_confidence", 1), (130, "below_min_confidence", 1), (140, "low_confidence", 1)], "below_min_confidence"),
        ([(120, "edge_too_small", 1), (130, "makers_absent", 1)], "edge_too_small"),
        ([(120, "edge_too_small", -1), (130, "no_opportunity", 0)], OTHER_SIDE),
        ([(120, "edge_too_small", -1), (130, "low_confidence", 1)], "low_confidence"),
        ([(120, "not_warm", 0), (130, "warming", 1)], COLD),
        ([(120, "order_rate", 1), (130, "edge_too_small", 1)], LATER),
        ([(120, "signal", 1), (130, "order_in_flight", 1)], ORDERED),
    ],
)
def test_what_was_passed_by_ended_where_the_furthest_decision_did(said, way):
    (one,) = chances(account(held(1, 100, 400)), account(), moments(*sorted(said)))
    assert one.way == way


def test_every_refusal_after_the_gates_has_a_way():
    for code in RefusalCode:
        (one,) = chances(account(held(1, 100, 400)), account(), moments((200, code.value, 1)))
        assert one.way in WAYS


_TRADES = st.lists(st.tuples(st.sampled_from((-1, 1)), st.integers(0, 300), st.floats(-5.0, 5.0)), max_size=8)


def _one_after_the_other(found):
    made, at = [], 0
    for sign, lasts, net in found:
        made.append(held(sign, at + lasts // 2, at + lasts // 2 + lasts, net=net))
        at += lasts // 2 + lasts
    return made


@given(_TRADES, _TRADES, st.lists(st.floats(-5.0, 5.0), min_size=40, max_size=40))
def test_the_parts_add_up_to_what_both_made(oracle, model, steps):
    worth = np.cumsum([1000.0, *steps])
    points = [(100 * at, float(value)) for at, value in enumerate(worth)]
    best = account(*_one_after_the_other(oracle), worth=points)
    mine = account(*_one_after_the_other(model), worth=points)
    found = chances(best, mine, moments())
    ways = ways_of(found)
    assert sum(one.trades for one in ways) == len(best.held)
    assert sum(one.net_oracle for one in ways) == pytest.approx(sum(one.net for one in best.held))
    (whole,) = chances(account(held(1, 0, 100_000)), mine, moments())
    assert whole.net_model == pytest.approx(worth[-1] - 1000.0)
    for one in found:
        assert -1e-9 <= one.held_s <= one.lasts_s + 1e-9
        assert (one.way == TAKEN) == (one.held_s > 0.0)
        assert one.exposed == pytest.approx(one.exposed_oracle)
    for one in chances(best, best, moments()):
        if one.lasts_s == 0.0:
            continue
        assert (one.way, one.held_s, one.net_held) == (TAKEN, pytest.approx(one.lasts_s), pytest.approx(one.net_model))


def test_a_score_says_what_became_of_the_oracles_trades_and_what_is_beside_them(bundles):
    worth = ((0, 0.0), (50, 12.0), (150, 15.0))
    best = account(held(1, 0, 100, net=30.0), held(-1, 200, 300, net=10.0), worth=worth)
    of_one = chances(best, account(held(1, 10, 90), worth=worth), moments((250, "low_confidence", -1)))
    known = [msgspec.structs.replace(one, chances=of_one) for one in worlds(2)]
    found = score_planted(bundles.small_bundle(), [], known)
    assert [(one.way, one.trades, one.net_oracle, one.net_model) for one in found.ways] == [
        (TAKEN, 2, 60.0, 24.0),
        ("low_confidence", 2, 20.0, 0.0),
    ]
    assert (found.ways[0].held, found.ways[0].net_held, found.ways[0].size) == (pytest.approx(0.8), pytest.approx(24.0), pytest.approx(1.0))
    assert found.beside == (pytest.approx(-24.0), pytest.approx(20.0))

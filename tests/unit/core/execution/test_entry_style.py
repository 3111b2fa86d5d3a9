"""What waiting costs, and the choice between waiting and crossing."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.execution.entry_style import choose, expected_in, wait_for
from smartmoney.core.execution.parameters import EntryStyle, ExecutionParameters, round_trip, round_trip_cost_bps
from smartmoney.core.strategy.outlook import Outlook

AUTO = ExecutionParameters(entry=EntryStyle.AUTO, maker_bps=Decimal(2), taker_bps=Decimal(5))


def walk(distance, drift, sigma, wait_s, paths=4000, steps=1500):
    """Return what a simulated walk says of `wait_for`: paths that came, their mean time, the mean place of the others."""
    rng = np.random.default_rng(1)
    step_s = wait_s / steps
    place, came_s = np.zeros(paths), np.full(paths, np.inf)
    for step in range(steps):
        before = place.copy()
        place += drift * step_s + sigma * math.sqrt(step_s) * rng.standard_normal(paths)
        # Between two steps a bridge may have touched the level.
        room, after = np.clip(before + distance, 0, None), np.clip(place + distance, 0, None)
        touched = rng.random(paths) < np.exp(-2 * room * after / (sigma**2 * step_s))
        came_s[touched & np.isinf(came_s)] = (step + 0.5) * step_s
    came = np.isfinite(came_s)
    return came.mean(), came_s[came].mean(), place[~came].mean()


@pytest.mark.parametrize(("distance", "drift", "sigma", "wait_s"), [(0.5, 0.05, 0.8, 30.0), (1.0, 0.5, 1.0, 20.0), (3.0, 0.01, 0.6, 60.0)])
def test_the_closed_form_is_what_a_random_walk_does(distance, drift, sigma, wait_s):
    waiting = wait_for(distance, drift, sigma, wait_s)
    chance, mean_s, missed = walk(distance, drift, sigma, wait_s)
    assert waiting.chance == pytest.approx(chance, abs=0.03)
    assert waiting.mean_s == pytest.approx(mean_s, rel=0.12)
    # Optional stopping: what the filled gained and the others lost against the first price is the drift until either.
    stopped_s = waiting.chance * waiting.mean_s + (1 - waiting.chance) * wait_s
    assert -chance * distance + (1 - chance) * missed == pytest.approx(drift * stopped_s, abs=0.15)


positive = st.floats(1e-3, 1e3)


@given(positive, positive, positive, st.floats(0.1, 3600))
def test_waiting_is_always_a_chance_and_a_time_within_the_wait(distance, drift, sigma, wait_s):
    waiting = wait_for(distance, drift, sigma, wait_s)
    assert 0.0 <= waiting.chance <= 1.0
    assert 0.0 <= waiting.mean_s <= wait_s * (1 + 1e-9)


@given(positive, positive, positive, st.floats(0.1, 3600))
def test_more_time_is_never_less_chance(distance, drift, sigma, wait_s):
    assert wait_for(distance, drift, sigma, wait_s).chance <= wait_for(distance, drift, sigma, 2 * wait_s).chance + 1e-12


def test_a_patient_forecast_waits_and_an_urgent_one_crosses():
    patient = choose(Outlook(gross_bps=20.0, horizon_s=900.0, sigma_bps=0.8), 0.5, 0.1, AUTO)
    urgent = choose(Outlook(gross_bps=60.0, horizon_s=60.0, sigma_bps=0.8), 0.5, 0.1, AUTO)
    assert patient.style is EntryStyle.MAKER
    assert patient.maker_bps < patient.taker_bps == 5.25
    assert urgent.style is EntryStyle.TAKER
    assert urgent.maker_bps > urgent.taker_bps
    assert "filled" in patient.words
    assert urgent.words.startswith("taker:")


def test_queues_that_seldom_fill_and_dear_makers_make_it_cross():
    outlook = Outlook(gross_bps=20.0, horizon_s=300.0, sigma_bps=0.8)
    assert choose(outlook, 0.1, 0.01, AUTO).style is EntryStyle.MAKER
    seldom = ExecutionParameters(entry=EntryStyle.AUTO, maker_bps=Decimal(2), taker_bps=Decimal(5), passive_fill_share=0.1)
    assert choose(outlook, 0.1, 0.01, seldom).style is EntryStyle.TAKER
    dear = ExecutionParameters(entry=EntryStyle.AUTO, maker_bps=Decimal(5), taker_bps=Decimal(5))
    assert choose(outlook, 0.1, 0.01, dear).style is EntryStyle.TAKER


@pytest.mark.parametrize("missing", ["gross_bps", "horizon_s", "sigma_bps"])
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_what_is_not_known_crosses(missing, value):
    known = {"gross_bps": 20.0, "horizon_s": 900.0, "sigma_bps": 0.8, missing: value}
    choice = choose(Outlook(**known), 0.5, 0.1, AUTO)
    assert choice.style is EntryStyle.TAKER
    assert "not known" in choice.words
    assert choose(Outlook(**known), math.nan, 0.1, AUTO).style is EntryStyle.TAKER


@pytest.mark.parametrize("style", [EntryStyle.TAKER, EntryStyle.MAKER])
def test_a_configured_style_is_not_weighed(style):
    choice = choose(Outlook(gross_bps=20.0, horizon_s=900.0, sigma_bps=0.8), 0.5, 0.1, ExecutionParameters(entry=style))
    assert choice.style is style
    assert math.isnan(choice.maker_bps)


def test_what_is_chosen_later_has_to_pay_the_dearer_way():
    assert round_trip(AUTO) == (10.0, 1.0) == round_trip(AUTO, EntryStyle.TAKER)
    assert round_trip_cost_bps(AUTO, 2.0, EntryStyle.MAKER) == 8.0


def test_what_is_left_of_a_forecast_is_the_less_of_time_and_move():
    outlook = Outlook(gross_bps=30.0, horizon_s=300.0, sigma_bps=1.0)
    assert outlook.left_bps(30.0, 0.0) == pytest.approx(27.0)
    assert outlook.left_bps(30.0, 12.0) == pytest.approx(18.0)
    assert outlook.left_bps(30.0, -12.0) == pytest.approx(27.0)


@given(st.floats(0.1, 60), st.floats(0.01, 5), st.floats(1, 80), st.floats(0.01, 4))
def test_what_was_expected_is_read_from_the_words(horizon_s, sigma_bps, gross_bps, spread_bps):
    choice = choose(Outlook(horizon_s=horizon_s, sigma_bps=sigma_bps, gross_bps=gross_bps), spread_bps, 0.1, AUTO)
    taken = choice.maker_bps if choice.style is EntryStyle.MAKER else choice.taker_bps
    assert expected_in(choice.words) == pytest.approx(taken, abs=0.00501)


@pytest.mark.parametrize("words", ["taker: what waiting costs is not known", "goes on after a: repriced", ""])
def test_words_that_tell_no_expectation_have_none(words):
    assert expected_in(words) is None

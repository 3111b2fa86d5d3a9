"""Delays of alarms on watches whose answer is known, and the oracle's own watch beside the rows of real oracle worlds."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.evaluation.delay import POOLED, Watch, cusum, excursions, log_odds, score_delays, watch_for
from smartmoney.learning.sets.oracle_feeds import HOUR_S, QuietHours, WatchedTargets, simulate_quiet, simulate_targets
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.simulation.oracle_report import default_world
from smartmoney.simulation.oracle_score import climb

from .made_rows import made_rows
from .test_evaluation import said_of

S = 1_000_000_000


def watched(scores, family, begin, **extras):
    """Return rows and what is said of them: `scores` `(worlds, seconds, 2)` are log-odds of buying and selling."""
    worlds, seconds, _ = scores.shape
    rows = made_rows(1, family, worlds * seconds)
    first = np.arange(worlds) * float(seconds)
    flat = 1.0 / (1.0 + np.exp(-scores.reshape(-1, 2)))
    rows = msgspec.structs.replace(rows, extras={"first": first, "begin": first + begin, "end": first + seconds, **extras})
    return rows, msgspec.structs.replace(said_of(rows), buying=flat[:, 0], selling=flat[:, 1])


def case(strength, oracle_delay=30.0, hours=24, targets=40, seed=3):
    """Return windows, quiet hours and targets of a detector that says `strength` more log-odds while there is a target.

    The oracle's CUSUM never climbs above 1 in quiet hours, and is at 2 exactly `oracle_delay` after a target begins.
    """
    rng = np.random.default_rng(seed)
    quiet = rng.standard_normal((hours, 600, 2)) - 2.0
    sides = np.arange(targets) % 2
    there = rng.standard_normal((targets, 900, 2)) - 2.0
    there[np.arange(targets), 100:, sides] += strength
    windows = rng.standard_normal((200, 1, 2)) - 2.0
    is_target, side = np.arange(200) % 2, np.arange(200) // 2 % 2
    windows[np.arange(200), 0, side] += strength * is_target
    rows, said = watched(windows, "oracle_poisson", 0)
    rows = msgspec.structs.replace(rows, extras={"end": np.arange(200.0), "target": is_target * 1.0, "side": side * 1.0})
    peaks = np.column_stack([np.arange(hours * 1.0), np.ones(hours)])
    highs = np.column_stack([np.arange(targets * 1.0), np.full(targets, oracle_delay), np.full(targets, 2.0), sides])
    return (
        [(rows, said)],
        [watched(quiet, "oracle_quiet", 0, **{"peaks.poisson": peaks})],
        [watched(there, "oracle_poisson", 100, highs=highs, side=sides * 1.0)],
    )


def test_a_strong_detector_alarms_soon_and_on_the_right_side():
    (one,) = score_delays(*case(3.0))
    assert one.kind == "poisson"
    assert (one.oracle_s, one.oracle_caught_share) == (30.0, 1.0)
    assert one.caught_share == 1.0
    assert one.direction == 1.0
    assert one.median_s < 20.0
    assert one.ratio == one.median_s / 30.0
    assert one.ratio_low <= one.ratio <= one.ratio_high


def test_a_weaker_detector_is_later():
    strong, weak = (score_delays(*case(strength))[0] for strength in (3.0, 0.6))
    assert weak.median_s > 2.0 * strong.median_s
    assert weak.ratio > strong.ratio


def test_a_detector_that_says_nothing_has_an_endless_delay():
    (one,) = score_delays(*case(0.0))
    assert math.isinf(one.ratio)
    assert one.caught_share < 0.5


def test_a_detector_without_numbers_is_not_scored():
    windows, quiet, targets = case(1.0)
    rows, said = windows[0]
    nothing = np.full(len(rows), np.nan)
    assert watch_for([(rows, msgspec.structs.replace(said, buying=nothing, selling=nothing))]) is None
    assert score_delays([], quiet, targets) == ()


def test_kinds_together_count_in_units_of_their_own_oracle():
    windows, quiet, targets = case(3.0, oracle_delay=30.0)
    others = case(3.0, oracle_delay=300.0, seed=4)
    rows, said = others[2][0]
    named = [(msgspec.structs.replace(one, family="oracle_twap"), heard) for one, heard in (others[0][0], (rows, said))]
    calm = msgspec.structs.replace(quiet[0][0], extras={**quiet[0][0].extras, "peaks.twap": quiet[0][0].extras["peaks.poisson"]})
    first, second, pooled = score_delays([*windows, named[0]], [(calm, quiet[0][1])], [*targets, named[1]])
    assert (first.kind, second.kind, pooled.kind) == ("poisson", "twap", POOLED)
    assert second.ratio == pytest.approx(first.ratio / 10.0, rel=0.5)
    assert second.ratio <= pooled.ratio <= first.ratio
    assert pooled.worlds == first.worlds + second.worlds


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60))
def test_a_cusum_is_its_highest_sum_that_ends_now_and_excursions_are_its_peaks(values):
    x = np.array(values)
    watch = Watch(0.5, 2.0)
    total = cusum(x, watch)
    steps = (x - 0.5) / 2.0
    brute = [max(0.0, *(steps[k : n + 1].sum() for k in range(n + 1))) for n in range(len(x))]
    assert np.allclose(total, brute, atol=1e-9)
    found = excursions(total)
    assert (found > 0.0).all()
    assert (found.max() if len(found) else 0.0) == total.max()


def test_what_is_no_number_leaves_a_cusum_alone():
    assert cusum(np.array([2.0, np.nan, 1.0]), Watch(0.0, 1.0)).tolist() == [2.0, 2.0, 3.0]
    assert log_odds(np.array([0.0, 1.0])) == pytest.approx([-13.8155, 13.8155], abs=1e-3)
    assert np.isnan(log_odds(np.array([np.nan]))[0])


@pytest.mark.slow
def test_rows_of_watched_targets_have_the_oracles_own_climb_beside_them():
    batch = WatchedTargets(kind="poisson", seed=5, targets=2, lasts_s=240)
    rows = simulate_targets(batch, recorded_binance(), FeatureParameters())
    world = msgspec.structs.replace(default_world("poisson"), window_s=240.0)
    for n in range(2):
        expected = climb(world, 5 * 1_000_003 + n, n % 2, 240.0)
        found = rows.extras["highs"][rows.extras["highs"][:, 0] == n, 1:]
        assert np.allclose(found, expected)
        begin, end = (int(rows.extras[name][n]) for name in ("begin", "end"))
        assert end - begin == 240
        assert rows.times[begin] - rows.times[int(rows.extras["first"][n])] >= 299 * S
    assert np.isfinite(rows.values[int(rows.extras["begin"][1]) :, :]).mean() > 0.8


@pytest.mark.slow
def test_quiet_hours_have_the_excursions_of_every_kind_of_their_law():
    takers = simulate_quiet(QuietHours(is_iceberg=False, seed=5, hours=1), recorded_binance(), FeatureParameters())
    assert {name for name in takers.extras if name.startswith("peaks")} == {"peaks.poisson", "peaks.twap", "peaks.jittered"}
    begin, end = (int(takers.extras[name][0]) for name in ("begin", "end"))
    assert end - begin == HOUR_S
    for name in ("poisson", "twap", "jittered"):
        heights = takers.extras[f"peaks.{name}"][:, 1]
        assert len(heights) > 20
        assert 1.0 < heights.max() < 15.0

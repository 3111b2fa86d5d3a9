"""Oracle worlds: their public rows carry exactly the oracle's events, and its scores are what theory and rivals allow."""

import math

import msgspec
import numpy as np
import pytest

from smartmoney.simulation import ladder
from smartmoney.simulation.invariants import check
from smartmoney.simulation.oracle_flow import EVENT_ROWS
from smartmoney.simulation.oracle_market import OracleBook, public_events
from smartmoney.simulation.oracle_report import auc, d_prime, default_world, report
from smartmoney.simulation.oracle_score import (
    WindowScorer,
    alarm,
    climb,
    quiet_peaks,
    score_windows,
    sign_cusum,
    threshold_of,
    window_events,
)
from smartmoney.simulation.oracle_world import KINDS, OracleWorld

SECOND = 1_000_000_000
PLAIN = {
    "splitter_every_s": math.inf,
    "switch_per_s": 0.0,
    "levels": (1.0, 1.0, 1.0),
    "excite_self": (0.0, 0.0),
    "excite_cross": (0.0, 0.0),
}


def column(scores, name):
    return np.array([getattr(score, name) for score in scores])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_public_rows_of_a_book_hold_exactly_the_generators_events(kind):
    world = msgspec.structs.replace(default_world(kind), warm_s=60.0)
    ends = round((world.warm_s + world.window_s) * 1e9)
    book = OracleBook(world, 5, under_h1=True, side=1)
    rows = np.concatenate([book.advance(to_ns) for to_ns in (1, 17 * SECOND, 17 * SECOND + 5, ends)])
    made = book.events()
    bare = window_events(world, 5, under_h1=True, side=1, buffer=np.zeros((EVENT_ROWS, 4), np.int64))
    assert made.tolist() == bare.tolist()
    assert public_events(rows, world, ends).tolist() == made[:, :2].tolist()
    assert set(np.unique(rows[:, ladder.KIND])) == {ladder.TRADE, ladder.LEVEL, ladder.TOUCH}
    assert check(book.worlds[0]) == 0
    targets = made[made[:, 3] == 1]
    assert len(targets) > 2
    assert (targets[:, 0] > world.warm_s * 1e9).all()
    whole = OracleBook(world, 5, under_h1=True, side=1).advance(ends)
    assert whole.tobytes() == rows.tobytes()


def test_another_seed_gives_another_world_and_an_iceberg_buyer_stands_on_the_bid():
    world = default_world("iceberg")
    buffer = np.zeros((EVENT_ROWS, 4), np.int64)
    one, two = (window_events(world, seed, under_h1=True, side=0, buffer=buffer) for seed in (1, 2))
    assert one.tolist() != two.tolist()
    assert set(one[one[:, 3] == 1][:, 1]) == {2}


@pytest.mark.slow
def test_signs_and_counts_reach_the_analytic_limit_and_signs_alone_theirs():
    # φ = 10 %, n = 300, one rate known to both: d'² = 2φ²n/(1−φ), AUC .966 for normals; signs alone φ²n, AUC .890.
    world = OracleWorld(base_per_s=1.125, target_per_s=0.25, warm_s=0.0, **PLAIN)
    assert world.participation == pytest.approx(0.1)
    without, with_target = (score_windows(world, 2, 800, under_h1=h) for h in (False, True))
    pair = column(without, "llr_told"), column(with_target, "llr_told")
    limit = math.sqrt(2 * 0.1**2 * 300 / 0.9)
    moments = (pair[1].mean() - pair[0].mean()) / math.sqrt((pair[0].var() + pair[1].var()) / 2)
    assert moments == pytest.approx(limit, rel=0.06)
    assert 0.945 < auc(*pair) < 0.975
    assert 0.87 < auc(column(without, "imbalance"), column(with_target, "imbalance")) < 0.91


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in KINDS[:1])) for kind in KINDS])
def test_the_same_schedule_under_both_hypotheses_tells_nothing(kind):
    base = default_world(kind)
    world = msgspec.structs.replace(base, decoy_per_s=base.target_per_s, refill_decoy=base.refill_target)
    found = report(world, worlds=120, seed=4, quiet_days=0)
    assert abs(found.auc.value - 0.5) < 1e-9
    for one in (found.auc_imbalance, found.auc_sign_cusum):
        assert one.interval[0] <= 0.5 <= one.interval[1]


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in KINDS[:1])) for kind in KINDS])
def test_the_oracle_beats_obvious_detectors_and_is_within_reach(kind):
    found = report(default_world(kind), worlds=150, seed=1, quiet_days=0)
    assert found.gain_over_detectors.interval[0] > 0.0
    assert 0.70 < found.auc.value < 0.97
    assert found.auc.interval[0] <= found.auc.value <= found.auc.interval[1]
    assert found.auc_told.value > found.auc.value
    assert found.delay is None


@pytest.mark.slow
def test_an_alarm_at_one_a_day_comes_soon_and_names_the_side():
    world = default_world("twap")
    peaks = quiet_peaks(world, 9, 86_400.0)
    height = threshold_of(peaks[:, 1], 1.0)
    assert (peaks[:, 1] >= height).sum() == 1
    alarms = [alarm(climb(world, 50 + n, n % 2, 1800.0), height) for n in range(12)]
    assert np.median([delay for delay, _ in alarms]) < 600.0
    assert sum(side == n % 2 for n, (_, side) in enumerate(alarms)) >= 11
    with pytest.raises(ValueError, match="decoy"):
        quiet_peaks(msgspec.structs.replace(world, decoy_per_s=0.1), 1, 60.0)


def test_scores_and_reports_are_the_same_again():
    world = default_world("jittered")
    assert report(world, worlds=6, seed=3, quiet_days=0) == report(world, worlds=6, seed=3, quiet_days=0)
    book = OracleBook(world, 8, under_h1=True)
    ends = round((world.warm_s + world.window_s) * 1e9)
    rows = book.advance(ends)
    assert WindowScorer(world).score(public_events(rows, world, ends), 0) == WindowScorer(world).score(book.events()[:, :2], 0)


def test_small_numbers_by_hand():
    assert auc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0.875
    assert d_prime(0.5) == 0.0
    assert d_prime(1.0) == math.inf
    assert d_prime(0.76025) == pytest.approx(1.0, abs=1e-4)
    assert sign_cusum(np.array([1.0, 1.0, -1.0, 1.0, 1.0]), 0.0) == 3.0
    assert alarm(np.array([[1.0, 2.0, 0.0], [5.0, 4.0, 1.0]]), 3.0) == (5.0, 1)
    assert alarm(np.zeros((0, 3)), 3.0) == (math.inf, -1)
    with pytest.raises(ValueError, match="kind"):
        default_world("pov")

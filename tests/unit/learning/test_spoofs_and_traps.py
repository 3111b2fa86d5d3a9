"""Scores of what only truth bars tell, on cases whose answer is known and on a recorded market's own bars."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.learning.evaluation.spoofs import COMBINED, precision_area, score_spoofs
from smartmoney.learning.evaluation.traps import LABEL, events_of, score_traps
from smartmoney.learning.sets.families import held_out_told
from smartmoney.learning.sets.told_worlds import TOLD, simulate_told
from smartmoney.runtime.codecs import recorded_binance

from .made_rows import made_rows
from .test_evaluation import said_of

HOUR_S = 3600


def told_rows(seed, seconds=HOUR_S, **columns):
    """Return rows of which bars are known; what is not given is quiet."""
    rows = made_rows(seed, "told", seconds)
    nothing = np.zeros(seconds)
    told = {name: nothing for name in TOLD} | {"mid_ticks": np.full(seconds, 60_000.0)} | columns
    return msgspec.structs.replace(rows, values=rows.values.copy(), extras=told)


def spoofed(seed, column=None, strength=0.0):
    """Return rows in which a wall stands a fifth of the time, and one feature is larger then."""
    rng = np.random.default_rng(seed)
    stands = np.repeat(rng.random(HOUR_S // 20) < 0.2, 20)
    rows = told_rows(seed, spoof_lots=stands * 500.0)
    if column is not None:
        rows.values[:, FEATURE_INDEX[column]] = rng.standard_normal(HOUR_S) + strength * stands * rng.choice((-1, 1), HOUR_S)
    return rows


@pytest.mark.slow
def test_a_feature_that_shows_walls_on_either_side_is_found_to():
    found = score_spoofs([spoofed(seed, "wall_imbalance", 6.0) for seed in range(3)])
    by = {one.name: one for one in found.found_by}
    assert found.found_by[1].name == "wall_imbalance"
    assert by["wall_imbalance"].pr_auc > 0.95
    assert by[COMBINED].pr_auc > 0.9
    assert found.combined.name == COMBINED
    assert by["wall_imbalance"].low <= by["wall_imbalance"].pr_auc <= by["wall_imbalance"].high


@pytest.mark.slow
def test_features_that_know_nothing_have_the_base_rate():
    found = score_spoofs([spoofed(seed) for seed in range(3)])
    assert found.base_rate == pytest.approx(0.2, abs=0.05)
    assert all(abs(one.pr_auc - found.base_rate) < 0.06 for one in found.found_by)


def test_one_world_is_judged_by_its_other_half_and_no_wall_by_nothing():
    found = score_spoofs([spoofed(1, "spoof_10s", 6.0)])
    assert found.combined.pr_auc > 0.9
    assert score_spoofs([told_rows(1)]) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40))
def test_the_area_is_scikit_learns(pairs):
    from sklearn.metrics import average_precision_score

    score, there = np.array([one for one, _ in pairs], float), np.array([one for _, one in pairs])
    if there.any():
        assert precision_area(score, there) == pytest.approx(average_precision_score(there, score))


def trapped(seed, warns_after, hours=4):
    """Return rows with a trap every ten minutes that moves 20 bps in 20 s, of which the stress tells so many seconds after its start."""
    seconds = hours * HOUR_S
    active, mid = np.zeros(seconds), np.full(seconds, 60_000.0)
    rows = told_rows(seed, seconds)
    stress = np.random.default_rng(seed).uniform(0.1, 0.3, seconds)
    for first in range(600, seconds - 100, 600):
        active[first : first + 30] = 1.0
        mid[first : first + 20] = 60_000.0 * (1.0 + 20e-4 * np.arange(1, 21) / 20.0)
        mid[first + 20 : first + 30] = 60_000.0 * (1.0 + 20e-4)
        stress[first + warns_after : first + 30] = 0.9
    rows.values[:, FEATURE_INDEX["liquidity_stress"]] = stress
    return msgspec.structs.replace(rows, extras={**rows.extras, "is_trap": active, "mid_ticks": mid})


def test_a_warning_counts_only_before_the_move_is_mostly_over():
    soon, late = (trapped(1, after) for after in (3, 13))
    assert [event.late - event.first for event in events_of(soon)][:2] == [11, 11]
    for rows, share in ((soon, 1.0), (late, 0.0)):
        found = score_traps([(rows, said_of(rows))])
        warned = {one.name: one for one in found.warned_by}
        assert found.events == 23
        assert found.median_s == 11.0
        assert warned["liquidity_stress"].share == share
        assert 0.0 < warned["liquidity_stress"].false_per_hour < 1.5


def test_the_label_volatile_is_judged_as_it_stands():
    rows = trapped(1, 3)
    label = np.where(rows.extras["is_trap"] > 0.5, 3, 4)
    (always,) = [one for one in score_traps([(rows, said_of(rows, np.full(len(rows), 3)))]).warned_by if one.name == LABEL]
    (right,) = [one for one in score_traps([(rows, said_of(rows, label))]).warned_by if one.name == LABEL]
    assert (right.share, right.false_per_hour) == (1.0, 0.0)
    assert 50.0 < always.false_per_hour <= 60.0
    assert score_traps([(told_rows(1), said_of(told_rows(1)))]) is None


@pytest.mark.slow
def test_worlds_of_spoofers_and_traps_tell_of_them():
    spoof, trap = (held_out_told("ab", "test", name, 1, 1500)[0] for name in ("spoof", "trap"))
    assert spoof.world.seed != held_out_told("ac", "test", "spoof", 1, 1500)[0].world.seed
    walls = simulate_told(spoof, recorded_binance(), FeatureParameters())
    assert 0.005 < (walls.extras["spoof_lots"] > 0).mean() < 0.95
    traps = simulate_told(trap, recorded_binance(), FeatureParameters())
    assert list(events_of(traps))
    assert np.nanmax(np.abs(traps.extras["mid_ticks"] / traps.mid_after - 1.0)) < 0.01

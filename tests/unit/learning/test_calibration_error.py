"""The calibration error where labels overlap: its truth is known, for the worlds are made here."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtr

from smartmoney.learning.calibration import reliability
from smartmoney.learning.calibration_error import TOO_FEW, gaps_of, in_words, rooted, time_blocks
from smartmoney.learning.evaluation.misses import misses_of_head
from smartmoney.learning.evaluation.worlds import HeadScore
from smartmoney.learning.gate import GateEvidence, judge
from smartmoney.learning.validation.gains import Gain


def market(seed, horizon_s, labels, memory_s, error, steps=8):
    """Return forecasts that know nothing, their blocks, and the error of these very ones.

    A mid that walks at random, labels of `horizon_s` every `horizon_s / steps`, worth `labels` independent ones; probabilities that forget
    within `memory_s`, spread evenly around one half so that the root of their mean squared distance from it is `error`.
    """
    rng = np.random.default_rng(seed)
    rows, every_s = labels * steps, horizon_s / steps
    mid = np.concatenate(([0.0], np.cumsum(rng.standard_normal(rows + steps))))
    came = (mid[steps : steps + rows] > mid[:rows]).astype(float)
    kept = math.exp(-every_s / memory_s)
    shocks = rng.standard_normal(rows) * math.sqrt(1.0 - kept**2)
    shocks[0] = rng.standard_normal()
    # A trace of spread, so that probabilities without an error have bins, too.
    p = 0.5 + max(math.sqrt(3.0) * error, 1e-7) * (2.0 * ndtr(lfilter([1.0], [1.0, -kept], shocks)) - 1.0)
    blocks = time_blocks((np.arange(rows) * every_s * 1e9).astype(np.int64), horizon_s)
    return p, came, np.full(rows, 1.0 / steps), blocks, math.sqrt(((p - 0.5) ** 2).mean())


CASES = [
    (300, 100, 60), (300, 100, 3600), (300, 1000, 600), (300, 10_000, 3600), (3600, 100, 60), (3600, 1000, 3600), (900, 300, 600),
]  # fmt: skip


@pytest.mark.parametrize(("horizon_s", "labels", "memory_s"), CASES)
@pytest.mark.parametrize("error", [0.0, 0.03, 0.09])
def test_the_interval_holds_the_true_error_and_the_estimate_is_of_it(horizon_s, labels, memory_s, error):
    squares, inside, draws = [], [], 6 if labels > 5000 else 30
    for seed in range(draws):
        *rows, true = market(seed, horizon_s, labels, memory_s, error)
        found = gaps_of(*rows).told(seed, hidden_max=math.inf)
        squares.append(found.squared - true**2)
        inside.append(found.low - 1e-6 <= true <= found.high)
    # Nineteen in twenty are promised; thirty draws tell it to about .08.
    assert np.mean(inside) >= 0.83
    assert abs(np.mean(squares)) < 4.0 * np.std(squares) / math.sqrt(draws) + 1e-5


@pytest.mark.parametrize(("horizon_s", "labels", "memory_s"), [(300, 288, 60), (900, 480, 60), (3600, 300, 600), (3600, 300, 3600)])
def test_probabilities_that_know_nothing_are_not_called_right(horizon_s, labels, memory_s):
    found = [reliability(*market(seed, horizon_s, labels, memory_s, 0.087)[:4]) for seed in range(12)]
    assert np.median([abs(one.slope) for one in found]) < 0.4
    assert np.median([one.ece for one in found]) == pytest.approx(0.087, abs=0.03)
    assert sum(one.ece <= 0.03 for one in found) <= 2
    assert min(one.ece_high for one in found) > 0.08


def test_a_perfect_forecaster_of_independent_rows_is_called_right():
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.2, 0.8, 9000)
        found.append(reliability(p, (rng.random(9000) < p).astype(float), np.ones(9000), np.arange(9000) // 90))
    assert np.mean([one.ece for one in found]) < 0.0075
    assert np.mean([one.ece_low for one in found]) < 0.002


@pytest.mark.parametrize(("horizon_s", "labels"), [(300, 22), (3600, 40), (900, 14)])
def test_too_few_independent_labels_tell_nothing(horizon_s, labels):
    *rows, _ = market(3, horizon_s, labels, 600, 0.087)
    found = reliability(*rows)
    assert np.isnan([found.ece, found.ece_low, found.ece_high]).all()
    assert np.isfinite([found.slope, found.brier, found.ece_plain, found.ece_squared]).all()
    assert in_words(found.ece, found.ece_low, found.ece_high) == TOO_FEW
    said = list(misses_of_head(HeadScore(horizon_s=horizon_s, auc=0.5, effective=found.effective, quality=found)))
    assert said[0] == f"calibration, {horizon_s} s: {TOO_FEW} the error, goal 0.03 (better 0.015)"
    verdict = judge(GateEvidence(gain=Gain(0.1, 0.05, 0.2, 0.001, 9000, 40), ece=found.ece, champion_ece=0.02))
    assert "ece: not measured, needed at most 0.025" in [one.text for one in verdict.failed]


def test_labels_count_by_their_ratios_and_rows_in_any_order():
    p, came, weights, blocks, _ = market(5, 300, 400, 60, 0.087)
    whole = reliability(p, came, weights, blocks)
    order = np.random.default_rng(1).permutation(len(p))
    assert reliability(p[order], came[order], 40.0 * weights[order], blocks[order]).ece == pytest.approx(whole.ece)


def test_resamples_are_told_below_zero_where_gaps_are_smaller_than_chance_makes_them():
    signs = {np.sign(rooted(gaps_of(*market(seed, 300, 400, 60, 0.0)[:4]).squared)) for seed in range(12)}
    assert signs == {-1.0, 1.0}


def test_instruments_of_one_time_share_a_block_and_blocks_are_twice_as_long_as_labels_reach():
    times = np.array([0, 1199, 1200, 2399, 2400]) * 10**9
    assert time_blocks(np.concatenate((times, times)), 600).tolist() == [0, 0, 1, 1, 2] * 2

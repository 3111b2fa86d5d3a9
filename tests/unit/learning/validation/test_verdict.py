"""The verdict says `no edge found` unless everything speaks for one, and says when there was too little to tell."""

import numpy as np
import pytest

from smartmoney.learning.validation.verdict import judge

PERIODS, TESTED = 1500, np.arange(300, 1500)


def trials(seed, count=20, edge=0.0, of=7):
    returns = np.random.default_rng(seed).normal(0.0, 1e-4, (PERIODS, count))
    returns[:, of] += edge
    return returns


def judged(returns, chosen=7, **changes):
    given = {"count": returns.shape[1], "block_rows": 15, "period_s": 60.0, "fills": 400, "seed": 1}
    return judge(returns[TESTED, chosen], TESTED, returns, **{**given, **changes})


def test_a_planted_edge_is_found():
    verdict = judged(trials(1, edge=3e-5))
    assert verdict.is_edge
    assert verdict.headline == "edge found, out of sample, in this data"
    assert [check.is_met for check in verdict.checks] == [True, True, True]
    assert verdict.net == pytest.approx(3e-5 * len(TESTED), rel=0.3)


def test_noise_is_no_edge_and_what_failed_is_said_with_its_numbers():
    verdicts = [judged(trials(seed)) for seed in range(8)]
    assert not any(verdict.is_edge for verdict in verdicts)
    verdict = verdicts[0]
    assert verdict.headline.startswith(
        f"no edge found: net out of sample lower bound {1e4 * verdict.out_of_sample.low:+.3f} bps (needs above 0)"
    )
    net, deflated, _ = verdict.checks
    assert f"{1e4 * verdict.out_of_sample.low:+.3f}" in net.words
    assert f"deflated Sharpe ratio {deflated.value:.3f} (needs at least 0.95)" in verdict.headline
    assert "20 trials" in deflated.words
    assert verdict.lacking == ()


def test_the_same_result_is_no_edge_once_enough_was_tried_for_it():
    returns = trials(4, edge=1.1e-5)
    few, many = judged(returns, count=2), judged(returns, count=100_000)
    assert many.luckiest > few.luckiest
    assert many.checks[1].value < few.checks[1].value
    assert many.checks[1].value < 0.95
    assert not many.is_edge
    assert "(needs at least 0.95)" in many.headline


def test_an_overfitted_search_is_no_edge_however_good_its_choice():
    chance = np.random.default_rng(2)
    # Each trial is good in a part of its own: the best of one half of the past is the worst of the other.
    returns = chance.normal(0.0, 1e-5, (PERIODS, 16))
    part = np.arange(PERIODS) * 16 // PERIODS
    for one in range(16):
        returns[:, one] += np.where(part == one, 1e-4, -1e-6)
    good = np.full(len(TESTED), 1e-5) + chance.normal(0.0, 1e-5, len(TESTED))
    verdict = judge(good, TESTED, returns, count=16, block_rows=15, period_s=60.0, fills=400, seed=1)
    assert verdict.checks[0].is_met
    assert not verdict.checks[2].is_met
    assert not verdict.is_edge
    assert f"probability of overfitting {verdict.checks[2].value:.3f} (needs below 0.5)" in verdict.headline


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fills": 12}, "12 fills out of sample; at least 30"),
        ({"block_rows": 600}, "1200 min out of sample; the interval needs 6000"),
    ],
)
def test_too_little_data_is_said_and_is_no_edge_though_all_else_speaks_for_one(change, says):
    verdict = judged(trials(1, edge=3e-5), **change)
    assert not verdict.is_edge
    assert verdict.headline.startswith("no edge found: too little data")
    assert says in verdict.headline


def test_a_single_trial_and_a_few_periods_are_too_little():
    returns = np.full((20, 1), 1e-4)
    verdict = judge(returns[10:, 0], np.arange(10, 20), returns, count=1, block_rows=1, period_s=10.0, fills=50, seed=1)
    assert not verdict.is_edge
    assert any("needs 32" in lack for lack in verdict.lacking)
    assert any("a choice needs two" in lack for lack in verdict.lacking)
    assert verdict.checks[2].value is None


def test_what_never_trades_is_no_edge():
    verdict = judged(np.zeros((PERIODS, 4)), chosen=0, fills=0)
    assert not verdict.is_edge
    assert verdict.net == 0.0

"""Each statistic of realism on series whose answer is known beforehand."""

import numpy as np
import pytest

from smartmoney.learning.realism_book import cancelled, flow_and_queue, touch
from smartmoney.learning.realism_impact import Impacts, impact_statistics, impacts_of
from smartmoney.learning.realism_orders import branching_ratio, clustering, decay_exponent, sign_memory
from smartmoney.learning.realism_returns import (
    Slow,
    autocorrelation,
    excess_kurtosis,
    hill_index,
    return_memory,
    slow_part,
    slow_statistics,
    volume_volatility,
)
from smartmoney.learning.realism_series import SPLITTER, SPREADS, Fills, Observed, Parents, merged, returns_bps
from smartmoney.learning.top_watch import Bars

S = 1_000_000_000
START = 1_000 * S


def bars_of(half_second_mids, order_flow=None, queue=None):
    count = len(half_second_mids)
    zeros = np.zeros(count)
    times = START + (S // 2) * np.arange(count, dtype=np.int64)
    return Bars(
        times=times,
        mid=np.asarray(half_second_mids, float),
        queue_imbalance=zeros if queue is None else queue,
        order_flow=zeros if order_flow is None else order_flow,
        trade_flow=zeros,
    )


def bars_of_seconds(second_moves_bps, **columns):
    """Make half-second bars whose 1 s moves are these; the first half of each second stands still."""
    mids = 1e6 * np.cumprod(np.concatenate(([1.0], 1.0 + 1e-4 * np.asarray(second_moves_bps))))
    return bars_of(np.repeat(mids, 2)[:-1], **columns)


def fills_at(times_s, signs=None, lots=None):
    times = np.asarray(np.asarray(times_s) * 1e9, np.int64) + START
    ones = np.ones(len(times), np.int64)
    return Fills(
        times=times, signs=ones if signs is None else signs, lots=ones if lots is None else lots, first_ticks=ones, last_ticks=ones
    )


def observed(bars, fills=None, spreads=None, **more):
    quantities = {"removed_lots": 0, "traded_lots": 0} | more
    spreads = np.zeros(SPREADS, np.int64) if spreads is None else spreads
    return Observed(name="made", bars=bars, spreads=spreads, fills=fills_at([]) if fills is None else fills, **quantities)


def hawkes_times(rng, base, branching, decay, seconds):
    """Simulate a Hawkes process as a cascade of generations: immigrants, each with Poisson(branching) children after Exp(decay)."""
    generation = rng.uniform(0, seconds, rng.poisson(base * seconds))
    found = [generation]
    while len(generation):
        parents = np.repeat(generation, rng.poisson(branching, len(generation)))
        generation = parents + rng.exponential(1.0 / decay, len(parents))
        generation = generation[generation < seconds]
        found.append(generation)
    return np.sort(np.concatenate(found))


def test_fills_of_one_aggressor_are_merged_and_others_are_not():
    ms = 1_000_000
    times = np.array([0, 0, 5, 6, 7, 30, 30, 41]) * ms
    signs = np.array([1, 1, 1, -1, -1, -1, -1, -1])
    ticks = np.array([10, 11, 11, 9, 8, 8, 9, 9])
    lots = np.array([1, 2, 3, 4, 5, 6, 7, 8])
    found = merged(times, signs, lots, ticks)
    assert found.times.tolist() == [0, 6 * ms, 30 * ms, 30 * ms, 41 * ms]
    assert found.lots.tolist() == [6, 9, 6, 7, 8]
    assert found.first_ticks.tolist() == [10, 9, 8, 9, 9]
    assert found.last_ticks.tolist() == [11, 8, 8, 9, 9]


def test_a_chain_of_fills_ends_ten_milliseconds_after_its_first():
    times = np.arange(0, 40, 4) * 1_000_000
    found = merged(times, np.ones(10, np.int64), np.ones(10, np.int64), np.full(10, 7))
    assert (found.times // 1_000_000).tolist() == [0, 12, 24, 36]
    assert found.lots.tolist() == [3, 3, 3, 1]


def test_gaussian_moves_have_no_memory_and_no_tails():
    rng = np.random.default_rng(1)
    day = observed(bars_of_seconds(rng.normal(0, 1, 86_400)))
    memory = return_memory(day)
    assert abs(memory["return_acf_1"]) < 0.015
    assert memory["return_acf_2_30"] < 0.02
    slow = slow_statistics([slow_part(day)])
    assert abs(slow["kurtosis_1min"]) < 0.6
    assert slow["hill"] > 4.5
    assert abs(slow["abs_acf_1min"]) < 0.1
    assert slow["variance_ratio"] == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("memory", [-0.4, 0.15, 0.6])
def test_the_autocorrelation_of_an_autoregression_is_its_coefficient(memory):
    rng = np.random.default_rng(2)
    moves = np.zeros(50_000)
    shocks = rng.normal(0, 1, 50_000)
    for t in range(1, 50_000):
        moves[t] = memory * moves[t - 1] + shocks[t]
    found = return_memory(observed(bars_of_seconds(moves)))
    assert found["return_acf_1"] == pytest.approx(memory, abs=0.02)
    assert autocorrelation(moves, 3) == pytest.approx(memory**3, abs=0.02)


def test_holes_leave_out_the_pairs_that_they_break_only():
    values = np.array([1.0, -1.0, np.nan, 1.0, -1.0, 1.0])
    centred = np.array([1.0, -1.0, np.nan, 1.0, -1.0, 1.0]) - 0.2
    expected = np.nanmean(centred[1:] * centred[:-1]) / np.nanmean(centred**2)
    assert autocorrelation(values, 1) == pytest.approx(expected)


@pytest.mark.parametrize("exponent", [2.5, 3.0, 4.0])
def test_hill_finds_the_exponent_of_pareto_sizes(exponent):
    rng = np.random.default_rng(3)
    assert hill_index(1.0 + rng.pareto(exponent, 200_000)) == pytest.approx(exponent, rel=0.06)


def test_excess_kurtosis_of_known_distributions():
    rng = np.random.default_rng(4)
    assert excess_kurtosis(rng.normal(0, 3, 400_000)) == pytest.approx(0.0, abs=0.05)
    assert excess_kurtosis(rng.laplace(0, 3, 400_000)) == pytest.approx(3.0, abs=0.3)


def test_mean_reversion_inflates_the_variance_at_one_second():
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.normal(0, 1, 30_000))
    noisy = walk + rng.normal(0, 1, 30_000)  # variance of a 1 s move: 1 + 2
    slow = slow_statistics([slow_part(observed(bars_of_seconds(np.diff(noisy))))])
    assert slow["variance_ratio"] == pytest.approx(3.0, rel=0.35)


def test_pooling_counts_no_pair_across_two_seeds():
    first = Slow(minutes=np.full(200, 1.0) * np.resize([1.0, 3.0], 200), variance_1s=1.0, variance_5min=1.0)
    second = Slow(minutes=first.minutes, variance_1s=3.0, variance_5min=1.0)
    pooled = slow_statistics([first, second])
    assert pooled["abs_acf_1min"] == pytest.approx(slow_statistics([first])["abs_acf_1min"], rel=1e-9)
    assert pooled["variance_ratio"] == pytest.approx(2.0)


def test_too_few_minutes_tell_nothing():
    slow = slow_statistics([Slow(minutes=np.ones(50), variance_1s=1.0, variance_5min=1.0)])
    assert all(np.isnan(value) for value in slow.values())


def test_the_exponent_of_a_power_law_is_found():
    lags = np.arange(1, 111)
    assert decay_exponent(0.5 * lags**-0.6) == pytest.approx(0.6, abs=0.02)
    assert np.isnan(decay_exponent(-0.1 * np.ones(110)))


def test_signs_that_repeat_have_that_memory():
    rng = np.random.default_rng(6)
    repeats = rng.random(100_000) < 0.7
    signs = np.empty(100_000, np.int64)
    signs[0] = 1
    for t in range(1, len(signs)):
        signs[t] = signs[t - 1] if repeats[t] else -signs[t - 1]
    found = sign_memory(fills_at(np.arange(100_000) * 0.1, signs=signs))
    assert found["sign_acf_1"] == pytest.approx(0.4, abs=0.01)
    assert abs(found["sign_acf_100"]) < 0.01


@pytest.mark.parametrize("branching", [0.0, 0.5, 0.8])
def test_the_branching_ratio_of_a_hawkes_process_is_found(branching):
    times = hawkes_times(np.random.default_rng(7), 2.0, branching, 5.0, 40_000.0)
    assert branching_ratio(fills_at(times)) == pytest.approx(branching, abs=0.06)


def test_poisson_arrivals_have_a_coefficient_of_variation_of_one_and_hawkes_more():
    rng = np.random.default_rng(8)
    plain = clustering(fills_at(np.cumsum(rng.exponential(0.2, 50_000))))
    assert plain["arrival_cv"] == pytest.approx(1.0, abs=0.02)
    assert clustering(fills_at(hawkes_times(rng, 2.0, 0.8, 5.0, 10_000.0)))["arrival_cv"] > 1.5


def test_volume_that_makes_volatility_is_correlated_with_it():
    rng = np.random.default_rng(9)
    lots = rng.integers(1, 100, 20_000)
    level = np.repeat(rng.integers(1, 20, 2_000), 10)
    day = observed(bars_of_seconds(0.05 * level * rng.normal(0, 1, 20_000)), fills_at(np.arange(20_000) + 0.5, lots=lots * level))
    alone = observed(bars_of_seconds(rng.normal(0, 1, 20_000)), fills_at(np.arange(20_000) + 0.5, lots=lots))
    assert volume_volatility(day)["volume_volatility"] > 0.6
    assert abs(volume_volatility(alone)["volume_volatility"]) < 0.1


def test_order_flow_that_moves_the_price_explains_the_same_second_only():
    rng = np.random.default_rng(10)
    flow = rng.normal(0, 1, 20_000)
    moves = flow + rng.normal(0, 1, 20_000)  # R² 1/2
    column = np.zeros(40_001)
    column[2::2] = flow
    queue = np.zeros(40_001)
    queue[0:-2:2] = np.sign(moves)  # knows the next second, and no other
    found = flow_and_queue(observed(bars_of_seconds(moves, order_flow=column, queue=queue)))
    assert found["ofi_r2_same"] == pytest.approx(0.5, abs=0.02)
    assert found["ofi_r2_next"] < 0.002
    assert found["qi_auc_1s"] == pytest.approx(1.0)
    assert 0.6 < found["qi_auc_5s"] < 0.75


def test_shares_of_spreads_and_of_cancels():
    spreads = np.zeros(SPREADS, np.int64)
    spreads[[0, 1, 2, 5]] = (7, 90, 8, 2)
    made = observed(bars_of_seconds([0.0, 0.0]), spreads=spreads, removed_lots=1000, traded_lots=40)
    assert touch(made) == {"one_tick_share": 0.9}
    assert cancelled(made)["cancelled_share"] == pytest.approx(0.96)


def test_square_root_impact_is_found_with_its_prefactor_and_what_is_left():
    rng = np.random.default_rng(11)
    sizes = 10.0 ** rng.uniform(-6.0, -2.0, 40_000)
    at_end = 0.9 * np.sqrt(sizes) + rng.normal(0, 0.02, 40_000)
    part = Impacts(sizes=sizes, at_end=at_end, later=0.65 * at_end)
    found = impact_statistics([part])
    assert found["impact_exponent"] == pytest.approx(0.5, abs=0.04)
    assert found["impact_prefactor"] == pytest.approx(0.9, rel=0.05)
    assert found["impact_left"] == pytest.approx(0.65, abs=0.02)
    assert found["impact_decades"] == pytest.approx(4.0 * 15 / 16, abs=0.1)
    linear = impact_statistics([Impacts(sizes=sizes, at_end=50.0 * sizes, later=sizes)])
    assert linear["impact_exponent"] == pytest.approx(1.0, abs=0.01)


def test_too_few_large_orders_tell_nothing():
    few = Impacts(sizes=np.full(100, 1e-4), at_end=np.ones(100), later=np.ones(100))
    assert all(np.isnan(value) for value in impact_statistics([few]).values())


def test_the_move_of_an_order_is_taken_in_its_direction_over_the_days_volatility():
    rng = np.random.default_rng(12)
    moves = rng.normal(0, 1, 7_200)
    bars = bars_of_seconds(moves)
    at = START + np.array([1_000, 3_000]) * S
    parents = Parents(kinds=np.array([SPLITTER, 1]), signs=np.array([-1, 1]), starts=at, ends=at + 100 * S, lots=np.array([50, 70]))
    made = observed(bars, fills_at(np.arange(7_200.0), lots=np.full(7_200, 10)), parents=parents)
    found = impacts_of(made)
    mids = bars.mid[::2]
    minutes = returns_bps(bars, 60)
    volatility = np.sqrt((minutes**2).mean() * 1440)
    assert found.sizes.tolist() == pytest.approx([50 / (10 * 86_400)], rel=1e-3)
    assert found.at_end[0] == pytest.approx(-(mids[1_100] / mids[1_000] - 1) * 1e4 / volatility)
    assert found.later[0] == pytest.approx(-(mids[1_200] / mids[1_000] - 1) * 1e4 / volatility)

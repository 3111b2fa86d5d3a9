"""Random trades are not told from random trades, foresight is; mirrored, everything is the same."""

import numpy as np
import pytest

from smartmoney.learning.matched_null import Stretch, Trade, draw_null, judged, volatility_thirds

S = 1_000_000_000


def walk(seed, steps=3_000, instruments=1, drift=0.0):
    random = np.random.default_rng(seed)
    moves = random.normal(drift, 1e-4, (instruments, steps))
    return Stretch(origin_ns=0, step_ns=S, mids=60_000.0 * np.exp(np.cumsum(moves, axis=1)))


def trade(entry_s, exit_s, sign, weight=1.0, instrument=0):
    return Trade(instrument=instrument, legs=((entry_s * S, sign * weight), (exit_s * S, -sign * weight)))


def random_trades(seed, n=30, steps=3_000, hold=60, instrument=0):
    random = np.random.default_rng(10_000 + seed)
    starts = np.sort(random.choice(np.arange(10, steps - hold - 10, hold), n, replace=False))
    return [trade(int(at), int(at + hold), int(random.choice((-1, 1))), 100.0, instrument) for at in starts]


def test_random_trades_on_a_random_walk_have_an_even_p():
    found = [judged([draw_null(walk(seed), random_trades(seed), seed=seed, draws=200)]) for seed in range(200)]
    for name in ("same_side", "any_side"):
        p = np.array([getattr(one, name).p for one in found])
        assert (p < 0.05).mean() <= 0.10, name
        assert 0.35 < p.mean() < 0.65, name
    assert np.mean([one.p < 0.05 for one in found]) <= 0.06


def test_foresight_is_seen():
    stretch = walk(1)
    logs = np.log(stretch.mids[0])
    seeing = [trade(t, t + 60, 1 if logs[t + 60] > logs[t] else -1) for t in range(100, 2_800, 100)]
    test = judged([draw_null(stretch, seeing)])
    assert test.p < 0.005
    assert test.observed_bps > test.any_side.high_bps
    assert test.is_enough
    assert (test.trades, test.left_out) == (len(seeing), 0)


def test_a_drift_that_any_long_would_have_had_is_not_skill():
    stretch = walk(2, drift=3e-5)
    longs = [trade(t, t + 60, 1) for t in range(100, 2_800, 100)]
    test = judged([draw_null(stretch, longs)])
    assert test.any_side.p < 0.05
    assert test.same_side.p > 0.05
    assert test.p == test.same_side.p


@pytest.mark.parametrize("seed", range(5))
def test_mirrored_prices_and_sides_change_nothing(seed):
    stretch, trades = walk(seed), random_trades(seed)
    flipped = Stretch(origin_ns=0, step_ns=S, mids=1e9 / stretch.mids)
    others = [Trade(instrument=0, legs=tuple((at, -size) for at, size in t.legs)) for t in trades]
    one, two = judged([draw_null(stretch, trades)]), judged([draw_null(flipped, others)])
    assert one.observed_bps == pytest.approx(two.observed_bps)
    assert (one.same_side.p, one.any_side.p) == (two.same_side.p, two.any_side.p)


def test_the_same_seed_gives_the_same_numbers_and_stretches_add_up():
    stretch, trades = walk(3), random_trades(3)
    assert draw_null(stretch, trades) == draw_null(stretch, trades)
    assert draw_null(stretch, trades).same_side != draw_null(stretch, trades, seed=5).same_side
    half = judged([draw_null(stretch, trades[:15]), draw_null(stretch, trades[15:], seed=4)])
    assert half.observed_bps == pytest.approx(judged([draw_null(stretch, trades)]).observed_bps)
    assert half.trades == 30


def test_overlapping_trades_of_instruments_that_move_as_one_count_as_one():
    one = walk(4)
    twins = Stretch(origin_ns=0, step_ns=S, mids=np.repeat(one.mids, 5, axis=0))
    alone = random_trades(4)
    together = [Trade(instrument=i, legs=t.legs) for t in alone for i in range(5)]
    single, five = judged([draw_null(one, alone)]), judged([draw_null(twins, together)])
    assert (five.trades, five.groups) == (150, 30)
    assert five.p == pytest.approx(single.p, abs=0.05)
    assert five.any_side.high_bps == pytest.approx(single.any_side.high_bps, rel=0.1)


def test_a_match_keeps_to_its_third_of_volatility_where_there_is_one():
    random = np.random.default_rng(1)
    scale = np.repeat((1e-5, 1e-4, 1e-3), 2_000)
    stretch = Stretch(origin_ns=0, step_ns=S, mids=100.0 * np.exp(np.cumsum(random.normal(0, 1, 6_000) * scale))[None, :])
    thirds = volatility_thirds(np.log(stretch.mids[0]), S)
    assert set(thirds[:10].tolist()) == {-1}
    assert set(thirds[400:1_900].tolist()) == {0}
    assert set(thirds[4_400:].tolist()) == {2}
    calm = [trade(t, t + 30, 1) for t in range(400, 1_900, 60)]
    test = judged([draw_null(stretch, calm)])
    assert test.any_side.high_bps < 1.0
    assert test.widened == 0


def test_what_the_path_does_not_cover_is_left_out_and_said():
    stretch = walk(5)
    stretch.mids[0, 500:700] = np.nan
    inside = trade(550, 600, 1)
    after = trade(2_990, 4_000, 1)
    test = judged([draw_null(stretch, [inside, after])])
    assert (test.trades, test.left_out, test.p, test.same_side) == (0, 2, None, None)
    assert judged([]).observed_bps is None
    assert not test.is_enough


def test_a_trade_in_several_fills_is_worth_what_its_fills_are():
    stretch = walk(6)
    one = judged([draw_null(stretch, [trade(100, 200, 1, 2.0)])])
    scaled = Trade(instrument=0, legs=((100 * S, 2.0), (150 * S, 1.0), (180 * S, -1.5), (200 * S, -1.5)))
    logs = np.log(stretch.mids[0])
    assert one.observed_bps == pytest.approx(1e4 * (logs[200] - logs[100]))
    expected = (1.5 * logs[180] + 1.5 * logs[200] - 2.0 * logs[100] - logs[150]) / 3.0
    assert judged([draw_null(stretch, [scaled])]).observed_bps == pytest.approx(1e4 * expected)

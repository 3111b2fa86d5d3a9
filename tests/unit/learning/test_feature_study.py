"""A study of rows whose truth is planted."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.feature_study import FINE_NS, SECOND_NS, FeatureStudy, StudyRows, bar_sums, block_s, moves_bps, study_features
from smartmoney.learning.published import FACTS, published
from smartmoney.learning.top_watch import Bars

ODD = next(k for k, feature in enumerate(FEATURES) if feature.parity == "odd")
EVEN = next(k for k, feature in enumerate(FEATURES) if feature.parity == "even")
INSTRUMENT = Instrument(
    venue="binance", market=Market.SPOT, symbol="BTCUSDT", name="BTC/USDT", base="BTC", quote="USDT", tick_size="0.1", lot_size="0.1"
)


def bars_of(mid, **columns):
    count = len(mid)
    zeros = np.zeros(count)
    times = SECOND_NS * 1000 + np.arange(count, dtype=np.int64) * FINE_NS
    named = {"queue_imbalance": zeros, "order_flow": zeros, "trade_flow": zeros, **columns}
    return Bars(times=times, mid=np.asarray(mid, np.float64), **named)


@pytest.fixture(scope="module")
def planted():
    """Plant a foresight of the next second in one feature, a constant in another, and nothing (never warm) in the rest."""
    rng = np.random.default_rng(3)
    seconds = 900
    steps = rng.choice([-1.0, 0.0, 1.0], 2 * seconds + 1)
    mid = 10_000.0 + np.concatenate(([0.0], np.cumsum(steps)))[:-1]
    flow = np.concatenate(([0.0], steps[:-1])) * 5 + rng.standard_normal(2 * seconds + 1)
    bars = bars_of(mid, order_flow=flow, trade_flow=rng.standard_normal(2 * seconds + 1))
    times = bars.times[::2]
    values = np.full((len(times), len(FEATURES)), np.nan)
    ahead = moves_bps(bars, times, times + SECOND_NS)
    values[:, ODD] = np.nan_to_num(ahead) + 0.5 * rng.standard_normal(len(times))
    values[:60, ODD] = np.nan
    values[:, EVEN] = 7.0
    rows = StudyRows(times=times, values=values, bars=bars, every_ns=SECOND_NS, frames=1, holes=0)
    return study_features(rows, INSTRUMENT, "binance", ["nothing"])


def test_what_is_planted_is_found_with_its_interval(planted):
    one = planted.features[ODD]
    assert one.coverage == pytest.approx(1 - 60 / planted.rows)
    foresight = one.next_move["1"]
    assert foresight.low < foresight.value < foresight.high
    assert foresight.value > 0.85
    assert foresight.excludes_zero
    assert not one.same_1s.excludes_zero
    assert one.auc_next["1"].value > 0.95
    assert one.auc_next["1"].low > 0.9
    assert one.next_move["5"].value < foresight.value
    assert one.quantiles == tuple(sorted(one.quantiles))
    assert abs(one.autocorrelation["1"]) < 0.2


def test_constants_and_what_was_never_warm_have_no_relations(planted):
    constant = planted.features[EVEN]
    assert (constant.coverage, constant.mean, constant.sd) == (1.0, 7.0, 0.0)
    assert constant.same_1s.value is None
    assert not constant.same_1s.excludes_zero
    assert constant.auc_next == {}
    cold = [one for k, one in enumerate(planted.features) if k not in {ODD, EVEN}]
    assert {one.coverage for one in cold} == {0.0}
    assert {one.mean for one in cold} == {None}


def test_facts_are_measured_from_bars_and_stand_beside_what_was_published(planted):
    facts = {fact.key: fact for fact in planted.facts}
    assert list(facts) == [key for key, _ in FACTS]
    # Steps of variance 2/3, five times as large in a flow with noise of variance 1: 25 (2/3) / (25 (2/3) + 1).
    expected = 25 * (2 / 3) / (25 * (2 / 3) + 1)
    same = facts["r2_same_ofi"]
    assert same.measured.value == pytest.approx(expected, abs=0.02)
    assert same.measured.low < expected < same.measured.high
    assert same.published == 0.51
    assert facts["r2_same_tfi"].measured.value < 0.02
    assert facts["r2_next_ofi"].measured.value < 0.02
    assert facts["auc_1s_ofi"].published is None
    assert 0.4 < facts["auc_1s_ofi"].measured.value < 0.6


def test_a_study_is_the_same_each_time_and_goes_through_json(planted):
    assert msgspec.json.decode(msgspec.json.encode(planted), type=FeatureStudy) == planted
    assert planted.problems == ("nothing",)


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=40), st.integers(1, 6))
def test_moves_are_of_mids_at_those_times_only(mids, half_seconds):
    bars = bars_of(mids)
    at, span = bars.times, half_seconds * FINE_NS
    moves = moves_bps(bars, at, at + span)
    for k, move in enumerate(moves):
        if k + half_seconds < len(mids):
            assert move == pytest.approx((mids[k + half_seconds] / mids[k] - 1) * 1e4, rel=1e-9, abs=1e-6)
        else:
            assert np.isnan(move)
    assert np.isnan(moves_bps(bars, at + 1, at + 1 + span)).all()


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=40), st.integers(1, 6), st.integers(1, 38))
def test_bars_sum_over_whole_spans_only(flows, half_seconds, hole_at):
    bars = bars_of(np.ones(len(flows)), order_flow=np.array(flows, np.float64))
    holed = msgspec.structs.replace(bars, times=bars.times + np.where(np.arange(len(flows)) >= hole_at, 100 * SECOND_NS, 0))
    sums = bar_sums(holed, holed.order_flow, holed.times, half_seconds * FINE_NS)
    for k, value in enumerate(sums):
        first = k - half_seconds + 1
        if first < 0 or first < hole_at <= k:
            assert np.isnan(value)
        else:
            assert value == sum(flows[first : k + 1])


def test_blocks_are_longer_than_what_they_must_hold():
    assert [block_s(horizon) for horizon in (0.5, 1, 5, 30, 60)] == [30, 30, 30, 60, 120]


def test_published_figures_are_keyed_by_market_and_base():
    assert published("usdm", "btc")["r2_same_tfi"] == 0.52
    assert published("coinm", "ETH")["mean_move_bps"] == 1.6
    assert published("spot", "DOGE") == {}
    assert all(set(published(market, base)) <= dict(FACTS).keys() for market in ("spot", "usdm", "coinm") for base in ("BTC", "ETH"))

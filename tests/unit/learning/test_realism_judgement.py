"""Two markets told apart, a leak found and not found, a simulated day cut into what statistics take, and the verdicts."""

import math

import numpy as np
import pytest

from smartmoney.adapters.exchange_warm import prerun
from smartmoney.core.domain.instruments import Market
from smartmoney.learning.realism_bands import BANDS, Band, judge, judge_all
from smartmoney.learning.realism_check import derived_seeds, without_leak
from smartmoney.learning.realism_leak import Lives, detector_auc
from smartmoney.learning.realism_likeness import likeness, told_apart, without_scale
from smartmoney.learning.realism_recorded import observe_recording
from smartmoney.learning.realism_series import INFORMED, MISTAKEN
from smartmoney.learning.realism_simulated import observe_book
from smartmoney.runtime.codecs import RECORDED_CODECS
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.scenario import FIRST_RUN

NAN = float("nan")


def book(seed=3, scenario=FIRST_RUN):
    return SyntheticMarket(seed, scenario, ("BTCUSDT",), (Market.USDM,)).books[Market.USDM, "BTCUSDT"]


@pytest.mark.slow
def test_rows_of_one_kind_are_not_told_apart_and_of_two_are():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (600, 6)), rng.normal(0, 1, (600, 6))
    assert told_apart(a, b) == pytest.approx(0.5, abs=0.06)
    assert told_apart(a, b + 1.0) > 0.9
    assert told_apart(a, b + 1.0) == told_apart(a, b + 1.0)
    assert likeness([a], [b, b + 3.0])["likeness"] == pytest.approx((told_apart(a, b) + told_apart(a, b + 3.0)) / 2)
    assert math.isnan(likeness([a], [])["likeness"])


def test_scale_does_not_matter_to_rows_without_scale():
    rows = np.random.default_rng(2).normal(0, 1, (50, 6))
    scales = np.array([7.0, 7.0, 1.0, 100.0, 0.1, 3.0])  # all but the queue imbalance
    assert without_scale(rows * scales) == pytest.approx(without_scale(rows))


def worlds_with(shift):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(6):
        informed = rng.integers(0, 2, 300)
        found.append(Lives(rows=rng.normal(0, 1, (300, 18)) + shift * informed[:, None], informed=informed))
    return found


def test_a_detector_finds_what_leaks_and_nothing_where_nothing_does():
    _, low, high = detector_auc(worlds_with(0.0))
    assert low <= 0.5 <= high
    area, low, _ = detector_auc(worlds_with(0.3))
    assert area > 0.7
    assert low > 0.5


def test_too_few_worlds_or_parents_say_nothing():
    assert all(math.isnan(value) for value in detector_auc([]))
    assert all(math.isnan(value) for value in detector_auc(worlds_with(0.0)[:3]))


def test_worlds_without_leak_have_both_kinds_and_no_drift():
    level = without_leak(FIRST_RUN)
    assert level.informed.drift_bps == 0.0
    assert level.informed.right_share == 0.5
    assert level.splitters == FIRST_RUN.splitters
    parents = observe_book(book(5, level), "level", 3600).parents
    assert set(parents.kinds.tolist()) >= {INFORMED, MISTAKEN}


def test_a_simulated_day_is_observed_as_its_recording_is(tmp_path):
    """Run a market twice: straight into statistics, and through the public feed, a file, the live fold and the same statistics."""
    seconds = 600
    straight = observe_book(book(), "straight", seconds)
    market = SyntheticMarket(3, FIRST_RUN, ("BTCUSDT",), (Market.USDM,))
    prerun(market, 1_700_000_000_000_000_000, seconds, tmp_path / "feed")
    from smartmoney.adapters.exchange_warm import capture_path

    path = capture_path(tmp_path / "feed", Market.USDM, "BTCUSDT")
    recorded = observe_recording("recorded", [path], book().instrument, RECORDED_CODECS["binance"]())
    merged_seconds = slice(20, 2 * seconds - 20)
    count = min(len(recorded.bars.times), len(straight.bars.times))
    offset = (recorded.bars.times[0] - 1_700_000_000_000_000_000 - straight.bars.times[0]) // 500_000_000
    mine, theirs = straight.bars.mid[offset : offset + count][merged_seconds], recorded.bars.mid[: count - offset][merged_seconds]
    length = min(len(mine), len(theirs))
    assert length > seconds
    assert np.mean(mine[:length] == theirs[:length]) > 0.95
    assert recorded.traded_lots == pytest.approx(straight.traded_lots, rel=0.02)
    assert abs(len(recorded.fills.times) - len(straight.fills.times)) <= 0.02 * len(straight.fills.times) + 2


def test_what_is_observed_does_not_depend_on_what_ran_before():
    first = observe_book(book(8), "a", 600)
    observe_book(book(9), "b", 300)
    again = observe_book(book(8), "a", 600)
    assert first.bars.mid.tobytes() == again.bars.mid.tobytes()
    assert first.bars.order_flow.tobytes() == again.bars.order_flow.tobytes()
    assert first.fills.times.tobytes() == again.fills.times.tobytes()
    assert first.parents.lots.tobytes() == again.parents.lots.tobytes()


def test_parents_have_sizes_sides_and_times_and_fills_add_up():
    found = observe_book(book(4), "parents", 1200)
    assert (found.parents.lots > 0).all()
    assert (found.parents.ends > found.parents.starts).all()
    assert set(found.parents.signs.tolist()) == {-1, 1}
    assert (np.diff(found.fills.times) >= 0).all()
    assert int(found.fills.lots.sum()) == found.traded_lots
    assert found.bars.trade_flow.sum() == pytest.approx(float((found.fills.signs * found.fills.lots).sum()))


FAST = Band(number=1, key="x", name="x", low=0.0, high=1.0)


def test_eighteen_of_twenty_pass_and_seventeen_do_not():
    assert judge(FAST, [0.5] * 18 + [2.0, NAN], NAN).passes
    found = judge(FAST, [0.5] * 17 + [2.0, 2.0, NAN], NAN)
    assert not found.passes
    assert found.share_inside == pytest.approx(0.85)
    assert found.values[-1] is None
    assert "85% of seeds inside" in found.reason


def test_a_slow_band_is_judged_by_all_seeds_together():
    slow = Band(number=2, key="x", name="x", low=0.0, high=1.0, pooled=True)
    assert judge(slow, [5.0] * 20, 0.5).passes
    assert not judge(slow, [0.5] * 20, 5.0).passes
    assert judge(slow, [NAN], NAN, "no worlds").reason == "no worlds"


def test_bounds_are_inside_and_what_is_unknown_is_outside():
    assert FAST.contains(0.0)
    assert FAST.contains(1.0)
    assert not FAST.contains(1.0001)
    assert not FAST.contains(NAN)
    assert not FAST.contains(math.inf)
    assert Band(number=1, key="x", name="x", low=1.0).contains(1e9)


def test_all_fourteen_bands_are_there_and_their_keys_differ():
    assert {band.number for band in BANDS} == set(range(1, 15))
    assert len({band.key for band in BANDS}) == len(BANDS)
    verdicts = judge_all([{}], {}, {"leak": "why not"})
    assert len(verdicts) == len(BANDS)
    assert not any(verdict.passes for verdict in verdicts)
    assert verdicts[-1].reason == "why not"


def test_seeds_follow_from_the_base_and_the_scenario():
    assert derived_seeds(1, "a", 3) == derived_seeds(1, "a", 5)[:3]
    assert len({*derived_seeds(1, "a", 50), *derived_seeds(2, "a", 50), *derived_seeds(1, "b", 50)}) == 150

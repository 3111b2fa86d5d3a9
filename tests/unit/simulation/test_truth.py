"""Bars of truth: a telling market's feed is the silent one's, a bar is what its rows say, regimes follow the precedence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation import ladder
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.truth import (
    ACCUMULATION,
    BAR,
    DISTRIBUTION,
    NEUTRAL,
    REGIMES,
    TRENDING,
    VOLATILE,
    BarMaker,
    Dwell,
    regimes,
)

SECOND = 1_000_000_000
USDM_BTC = (Market.USDM, "BTCUSDT")


def bar(**changes):
    plain = {
        "vol_mult": 1.0,
        "sigma_60s_ticks": 10.0,
        "efficient_ticks": 1000.0,
        "mid_ticks": 1000.0,
        "buyer_left_share": 0.0,
        "seller_left_share": 0.0,
        "participation_60s": 0.0,
    }
    made = np.zeros(1, BAR)
    for name, value in {**plain, **changes}.items():
        made[name] = value
    return made


BOUGHT = {"participation_60s": 0.1, "buyer_left_share": 0.1, "is_informed_active": True}
SOLD = {"participation_60s": -0.1, "seller_left_share": 0.1, "is_informed_active": True}
AWAY = {"efficient_ticks": 1010.0}


@pytest.mark.parametrize(
    ("changes", "regime"),
    [
        ({}, NEUTRAL),
        ({"vol_mult": 2.0, **BOUGHT}, VOLATILE),
        ({"vol_mult": 1.99}, NEUTRAL),
        ({"is_cascade": True, **AWAY}, VOLATILE),
        ({"is_trap": True, **SOLD}, VOLATILE),
        (AWAY, TRENDING),
        ({"efficient_ticks": 990.0}, TRENDING),
        ({"efficient_ticks": 1009.9}, NEUTRAL),
        ({**AWAY, "is_informed_active": True}, NEUTRAL),
        ({**AWAY, **BOUGHT}, ACCUMULATION),
        ({"participation_60s": 0.2}, NEUTRAL),
        (BOUGHT, ACCUMULATION),
        ({**BOUGHT, "participation_60s": 0.099}, NEUTRAL),
        ({**BOUGHT, "buyer_left_share": 0.099}, NEUTRAL),
        ({**BOUGHT, "participation_60s": -0.1}, NEUTRAL),
        (SOLD, DISTRIBUTION),
        ({**SOLD, "seller_left_share": 0.05}, NEUTRAL),
        ({"mid_ticks": np.nan, "efficient_ticks": 5000.0}, NEUTRAL),
    ],
)
def test_regimes_follow_the_fixed_precedence(changes, regime):
    assert REGIMES[int(regimes(bar(**changes))[0])] == REGIMES[regime]


def row(kind, time, **columns):
    made = np.zeros(12, np.int64)
    made[ladder.KIND], made[ladder.TIME] = kind, time
    for name, value in columns.items():
        made[getattr(ladder, name)] = value
    return made


trades = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9), st.integers(0, 4), st.integers(0, 4)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(seconds=st.lists(trades, min_size=1, max_size=75), cuts=st.sets(st.integers(0, 300)))
def test_bars_are_a_slow_sum_over_their_trades_however_the_rows_are_cut(seconds, cuts):
    # Parents 1 to 3 are informed, mistaken and a splitter; 4 is one that never started.
    rows = [row(ladder.PARENT_STARTED, 0, ID=k, TICK=k) for k in (1, 2, 3)]
    for n, prints in enumerate(seconds, start=1):
        rows += [row(ladder.TRADE, n * SECOND - 1, SIDE=s, LOTS=q, TAKER_PARENT=t, MAKER_PARENT=m) for s, q, t, m in prints]
        rows.append(row(ladder.TRUTH_BAR, n * SECOND, ID=2001, TICK=1000 << 16))
    rows = np.array(rows)
    whole = BarMaker().feed(rows)
    maker = BarMaker()
    parts = [maker.feed(part) for part in np.split(rows, sorted(cut for cut in cuts if cut <= len(rows)))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    signed = [[(1 - 2 * s) * q for s, q, *_ in prints] for prints in seconds]
    of = {
        kind: [
            sum(x * ((t == kind) - (m == kind)) for x, (_, _, t, m) in zip(xs, ps, strict=True))
            for xs, ps in zip(signed, seconds, strict=True)
        ]
        for kind in (1, 2, 3)
    }
    traded = [sum(q for _, q, *_ in prints) for prints in seconds]
    for kind, name in ((1, "informed_lots"), (2, "mistaken_lots"), (3, "splitter_lots")):
        assert whole[name].tolist() == of[kind]
    assert whole["traded_lots"].tolist() == traded
    assert (whole["mid_ticks"] == 1000.5).all()
    for n in range(len(seconds)):
        window = slice(max(0, n - 59), n + 1)
        assert whole["participation_60s"][n] == sum(of[1][window]) / max(1, sum(traded[window]))
        assert whole["participation"][n] == of[1][n] / max(1, traded[n])


@pytest.fixture(scope="module")
def told():
    silent, telling = (SyntheticMarket(6, symbols=("BTCUSDT",), markets=(Market.USDM,)) for _ in range(2))
    telling.books[USDM_BTC].tell()
    rows = [market.advance(240 * SECOND)[USDM_BTC] for market in (silent, telling)]
    return rows, telling.books[USDM_BTC], telling.books[USDM_BTC].truth()


def test_a_market_that_tells_has_the_same_public_rows(told):
    (silent, telling), _, _ = told
    assert silent.tobytes() == telling.tobytes()


def test_each_second_has_a_bar_and_the_truth_repeats_every_trade(told):
    (rows, _), book, truth = told
    bars = BarMaker().feed(truth)
    assert bars["ts_event_ns"].tolist() == [n * SECOND for n in range(1, 241)]
    trades = rows[rows[:, ladder.KIND] == ladder.TRADE]
    assert truth[truth[:, ladder.KIND] == ladder.TRADE].tolist() == trades.tolist()
    assert bars["traded_lots"].sum() == trades[trades[:, ladder.TIME] <= 240 * SECOND][:, ladder.LOTS].sum()
    assert (bars["maker_lots"] > 0).all()
    assert (bars["spoof_lots"] == 0).all()
    assert bars["efficient_ticks"][-1] == pytest.approx(book.efficient_ticks, abs=1e-4)
    assert np.abs(bars["efficient_ticks"] / bars["mid_ticks"] - 1).max() < 0.005


def test_bars_see_the_informed_at_work(told):
    _, _, truth = told
    bars = BarMaker().feed(truth)
    active = bars["is_informed_active"]
    assert 0.1 < active.mean() < 1.0
    assert (bars["informed_left_lots"][~active] == 0).all()
    assert np.abs(bars["informed_lots"]).sum() > 0
    assert ((bars["buyer_left_share"] > 0) | (bars["seller_left_share"] > 0))[active].all()
    assert {ACCUMULATION, DISTRIBUTION} & set(bars["regime"].tolist())


def test_dwell_is_the_mean_stretch_over_parts():
    dwell = Dwell()
    for part in ([0, 0, 1], [1, 1, 0], [4], []):
        dwell.feed(np.array(part, np.int8))
    assert dwell.mean_s() == {"neutral": 1.5, "accumulation": 3.0, "distribution": None, "trending": None, "volatile": 1.0}

"""Trades of an evaluation through the real engine: fills paired into trades, a model forced open, and worlds that are really traded on."""

import math
from collections import Counter

import pytest

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import Side
from smartmoney.learning.evaluation.passed_by import Moments
from smartmoney.learning.sets.families import held_out_planted
from smartmoney.learning.sets.synthetic import World
from smartmoney.runtime.backtest import BacktestJob, BuiltIn, Recordings, run_job
from smartmoney.runtime.chronicle import RoundTrip
from smartmoney.runtime.evaluation_trades import (
    OPEN_CONFIDENCE,
    account_of,
    forced_open,
    positions_of,
    trade_worlds,
    trades_of,
    with_gates_open,
)
from smartmoney.settings.load import load_settings
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_latency import OrderLatency
from tests.fills import cost_of


def fill(side, price, quantity, mid, decided, fee_bps=5.0, at=0):
    """Return a taker's fill at a price, with the mids of its moment and of its decision."""
    delay, spread = (side.sign * (later - earlier) / decided * 1e4 for earlier, later in ((decided, mid), (mid, price)))
    return cost_of(side, price, quantity, delay_bps=delay, spread_bps=spread, fee_bps=fee_bps, ts_event_ns=at, wall_ns=at)


def trip(side, quantity, entry, exit_price, fee_bps=5.0):
    gross = side.sign * quantity * (exit_price - entry)
    fees = quantity * (entry + exit_price) * fee_bps / 1e4
    return RoundTrip(
        instrument="BTC/USDT", side=side, quantity=quantity, entry_ns=0, exit_ns=1, entry_price=entry, exit_price=exit_price,
        gross=gross, fees=fees, net=gross - fees, regime="neutral", confidence=0.9, exit="signal", signal_id="",
    )  # fmt: skip


def test_gross_is_what_the_mid_did_and_net_is_gross_less_what_was_charged():
    fills = [fill(Side.BUY, 100.1, 2, 100.0, 99.9), fill(Side.SELL, 101.9, 2, 102.0, 102.2)]
    (one,) = trades_of(fills, [trip(Side.BUY, 2, 100.1, 101.9)])
    assert one.gross == pytest.approx(2.0 * 2 / 200.2 * 1e4)
    assert one.spread == pytest.approx(2 * 0.1 * 2 / 200.2 * 1e4)
    assert one.net == pytest.approx(one.gross - one.cost)


def test_a_fill_that_turns_the_position_ends_one_trade_and_begins_another():
    fills = [fill(Side.BUY, 100.0, 1, 100.0, 100.0), fill(Side.SELL, 101.0, 3, 101.0, 101.0), fill(Side.BUY, 100.0, 2, 100.0, 100.0)]
    found = list(trades_of(fills, [trip(Side.BUY, 1, 100.0, 101.0), trip(Side.SELL, 2, 101.0, 100.0)]))
    assert [round(one.gross, 3) for one in found] == [100.0, pytest.approx(99.01, abs=0.01)]
    assert all(one.net == pytest.approx(one.gross - one.cost) for one in found)


def test_parts_add_up_and_an_open_position_is_no_trade():
    fills = [fill(Side.BUY, 100.0, 1, 100.0, 100.0), fill(Side.BUY, 102.0, 1, 102.0, 102.0), fill(Side.SELL, 103.0, 2, 103.0, 103.0)]
    (one,) = trades_of(fills, [trip(Side.BUY, 2, 101.0, 103.0)])
    assert one.gross == pytest.approx(4.0 / 202.0 * 1e4)
    assert list(trades_of(fills[:2], [])) == []


def test_positions_follow_fills_and_the_last_one_begins_where_it_was_opened():
    first = [fill(Side.BUY, 100.0, 2, 100.0, 100.0, at=1), fill(Side.SELL, 101.0, 3, 101.0, 101.0, at=2)]
    assert positions_of(first) == ([(1, 200.0), (2, -101.0)], 2)
    more = fill(Side.SELL, 99.0, 2, 99.0, 99.0, at=3)
    assert positions_of([*first, more]) == ([(1, 200.0), (2, -101.0), (3, -297.0)], 2)
    assert positions_of([]) == ([], 0)


def test_what_a_fee_in_base_leaves_of_a_position_is_none():
    sides = [(Side.BUY, 1), (Side.SELL, 0.999), (Side.BUY, 1), (Side.SELL, 0.5)]
    fills = [fill(side, 100.0, quantity, 100.0, 100.0, at=at) for at, (side, quantity) in enumerate(sides, 1)]
    assert positions_of(fills, {2}) == ([(1, 100.0), (2, 0.0), (3, 100.0), (4, 50.0)], 3)


def test_forced_open_keeps_the_side_and_takes_every_doubt(bundles):
    bundle = bundles.small_bundle()
    opened = forced_open(bundle)
    shortest, *others = sorted(opened.spec.heads, key=lambda head: head.horizon_s)
    assert opened.hash != bundle.hash
    assert shortest.tradable
    assert not any(head.tradable for head in others)
    assert shortest.calibrator.y == (OPEN_CONFIDENCE, OPEN_CONFIDENCE)
    settings = with_gates_open(load_settings())
    assert settings.strategy.min_liquidity_score == 0.0
    assert settings.advanced_features.feature_engine.risk_adjustment_factor == 0.0
    assert settings.fees == load_settings().fees


EAGER = {
    "model": "prior",
    "strategy.confidence_threshold": 0.05,
    "strategy.min_liquidity_score": 0.01,
    "advanced_features.signal_generation.min_confidence": 0.05,
    "advanced_features.feature_engine.confidence_threshold": 0.05,
    "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.01,
}
EIGHT_HOURS_NS = 8 * 3_600 * 10**9


def test_funding_is_of_the_trade_that_was_held_when_it_was_paid(tmp_path):
    settings = load_settings(overrides={"market": "usdm", **EAGER, "execution.max_holding_s": 20, "paper.funding_bps": 100})

    def run(origin_ns):
        prerun(SyntheticMarket(5, symbols=("BTCUSDT",), markets=(Market.USDM,)), origin_ns, 150, tmp_path / f"{origin_ns}")
        source = Recordings((str(capture_path(tmp_path / f"{origin_ns}", Market.USDM, "BTCUSDT")),), "usdm")
        return run_job(BacktestJob(name="w", source=source, settings=settings, latency=OrderLatency()))

    origin_ns = 1_700_000_000 * 10**9
    without = run(origin_ns)
    _, kept, *_ = without.chronicle.trips
    done = run(origin_ns - (kept.entry_ns + kept.exit_ns) // 2 % EIGHT_HOURS_NS)
    ((paid_ns, amount),) = done.chronicle.payments
    assert amount == pytest.approx(-done.result.funding)
    assert abs(amount) > 1.0
    account = account_of(done)
    assert sum(one.net for one in account.held) == pytest.approx(done.result.net_pnl)
    added = [one.net - trip.net for one, trip in zip(account.held, done.chronicle.trips, strict=False)]
    over = [one.entry_ns < paid_ns <= one.exit_ns for one in done.chronicle.trips]
    assert sum(over) == 1
    assert added == [pytest.approx(amount if was else 0.0) for was in over]


@pytest.mark.slow
def test_worlds_are_traded_through_the_engine_and_the_account_agrees_with_the_venue():
    bundle, settings = ModelStore(None).load("default"), load_settings()
    null = World(family="nothing", scenario=load_scenario("no_information"), seed=5, seconds=900)
    (planted,) = held_out_planted("ab", "test", 1, 1200)
    done = []
    ((empty,),) = trade_worlds([null], [bundle], settings, lambda *told: done.append(told), has_oracle=False, parallel=False)
    assert empty.oracle is None
    assert len(empty.opened.trades) > 5
    assert all(math.isclose(one.net, one.gross - one.cost, abs_tol=0.01) for one in empty.opened.trades)
    assert all(9.9 < one.fee < 10.1 for one in empty.opened.trades)
    assert done[-1] == ("traded worlds", 1, 1)
    ((known,),) = trade_worlds([planted], [bundle], settings, lambda *_: None, has_oracle=True, parallel=False)
    assert known.oracle.trades
    assert known.oracle.net > 0.0
    assert len(known.chances) >= len(known.oracle.trades)
    assert sum(one.net_oracle for one in known.chances) == pytest.approx(known.oracle.net)


@pytest.mark.slow
def test_every_decision_is_a_moment_whether_it_was_passed_over_in_a_stretch_or_not():
    moments = Moments()
    source = BuiltIn(scenario="first_run", seed=3, seconds=900, market="usdm")
    done = run_job(BacktestJob(name="w", source=source, settings=load_settings(), latency=OrderLatency()), moments=moments)
    heard = list(moments.between(0, 2**62))
    assert Counter(code for code, _ in heard) == Counter({**done.result.refusals, "signal": done.result.signals})
    assert {sign for code, sign in heard if code == "low_confidence"} == {-1, 1}
    assert {sign for code, sign in heard if code == "no_opportunity"} == {0}

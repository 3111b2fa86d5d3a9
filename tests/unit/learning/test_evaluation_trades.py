"""What trades of an evaluation come to, and what of it is missed."""

import math

import msgspec
import numpy as np
import pytest

from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.evaluate import HeldOut, evaluate
from smartmoney.learning.evaluation.misses import misses
from smartmoney.learning.evaluation.nulls import score_nulls
from smartmoney.learning.evaluation.passed_by import SILENT, TAKEN, Chance
from smartmoney.learning.evaluation.planted import score_planted
from smartmoney.learning.evaluation.summary import summary_of
from smartmoney.learning.evaluation.trades import Trade, Traded, WorldTraded, sums_of

from .made_rows import made_rows
from .test_evaluation import said_of

CHANCES = (
    Chance(way=TAKEN, net_oracle=30.0, net_model=12.0, lasts_s=300.0, held_s=240.0, net_held=28.0, exposed=6e4, exposed_oracle=1e5),
    Chance(way=SILENT, net_oracle=20.0, net_model=0.0, lasts_s=100.0, held_s=0.0, net_held=0.0, exposed=0.0, exposed_oracle=0.0),
)
"""What became of an oracle's two trades."""


def traded(seed, count=60, gross=0.0, net=None, spread=0.02):
    """Return a world's trades at ten bps of fees, around a gross result."""
    rng = np.random.default_rng(seed)
    made = gross + 3.0 * rng.standard_normal(count)
    trades = tuple(Trade(at_ns=k, gross=one, spread=spread, impact=0.0, fee=10.0, net=one - 10.0 - spread) for k, one in enumerate(made))
    total = sum(one.net for one in trades) if net is None else net
    return Traded(world=f"w{seed}", family="f", seconds=3600.0, signals=count, trades=trades, net=total, turnover=1.0)


def worlds(count, **given):
    nothing = Traded(world="w", family="f", seconds=3600.0, signals=0, trades=(), net=0.0, turnover=0.0)
    return [
        WorldTraded(normal=nothing, opened=traded(seed, **given), oracle=traded(seed, net=50.0), chances=CHANCES) for seed in range(count)
    ]


def test_sums_are_means_of_trades_with_intervals_over_worlds():
    found = sums_of([traded(seed, gross=2.0) for seed in range(20)])
    assert found.trades == 1200
    assert found.per_day == pytest.approx(60 * 24)
    assert found.gross_low < 2.0 < found.gross_high
    assert found.cost == pytest.approx(10.02)
    assert found.net == pytest.approx(found.gross - 10.02)
    assert found.unexplained == pytest.approx(0.0, abs=1e-9)
    assert found.net_plus_cost == pytest.approx(found.gross)
    assert (found.net_at(0), found.net_at(1)) == (pytest.approx(found.gross), pytest.approx(found.net))
    assert found.break_even_fee == pytest.approx((found.gross - 0.02) / 2.0)


def test_no_trade_and_a_single_world_have_no_interval():
    none = sums_of([traded(1, count=0)])
    assert (none.trades, none.per_day) == (0, 0.0)
    assert math.isnan(none.gross)
    assert math.isnan(sums_of([traded(1)]).gross_low)


def test_trades_where_nothing_can_be_known_earn_nothing_and_lose_the_costs(bundles):
    rng = np.random.default_rng(5)
    bundle = bundles.small_bundle()
    heads = len(bundle.spec.heads)
    rows = [made_rows(seed, "nothing", 5400, drift_bps=0.0) for seed in range(20)]
    heard = [(one, said_of(one, up=rng.uniform(0.3, 0.7, (len(one), heads)), heads=heads)) for one in rows]
    found = score_nulls(bundle, heard, worlds(20))
    assert found.opened.gross_low < 0.0 < found.opened.gross_high
    assert found.normal.trades == 0
    assert 0.3 < found.pbo_mean < 0.7


def test_the_share_of_the_oracles_net_has_both_sides_and_is_nothing_where_it_does_not_earn(bundles):
    bundle = bundles.small_bundle()
    earning = [msgspec.structs.replace(one, normal=traded(9, net=20.0)) for one in worlds(4)]
    found = score_planted(bundle, [], earning)
    assert (found.net_model, found.net_oracle, found.share) == (80.0, 200.0, pytest.approx(0.4))
    assert found.share_low == found.share_high == pytest.approx(0.4)
    assert (found.size, found.share_at_size) == (pytest.approx(0.6), pytest.approx(0.4 / 0.6))
    assert found.share_at_size_low == found.share_at_size_high == pytest.approx(0.4 / 0.6)
    assert math.isnan(score_planted(bundle, [], earning[:1]).share_low)
    poor = [msgspec.structs.replace(one, oracle=traded(9, net=-1.0)) for one in earning]
    assert math.isnan(score_planted(bundle, [], poor).share)


def test_an_evaluation_is_told_in_the_documented_form_and_names_what_it_misses(bundles):
    bundle = bundles.small_bundle()
    rows = [made_rows(seed, f"f{seed}", 1500) for seed in range(2)]
    held = HeldOut(worlds=rows, nulls=rows, null_trades=worlds(3, gross=3.0), planted=rows, planted_trades=worlds(3))
    found = evaluate(bundle, RegimeParameters(), held, suite="s", holdout_runs=7)
    told = msgspec.json.decode(msgspec.json.encode(summary_of(found)))
    assert told["planted_flow"]["delay_ratio"] is None
    assert {"efficiency", "auc", "auc_oracle"} <= set(told["planted_flow"])
    assert {"macro_f1", "macro_f1_filter"} <= set(told["regime"])
    assert {"ece", "ece_ci", "slope", "intercept"} <= set(told["calibration"])
    assert {"worlds", "trades", "gross_ci_low", "gross_ci_high", "net_plus_cost_bps", "pbo_mean"} <= set(told["null_worlds"])
    assert told["planted_worlds"]["share"] == 0.0
    assert [(one["way"], one["net_oracle"], one["size"]) for one in told["planted_worlds"]["oracle_trades"]] == [
        (TAKEN, 90.0, pytest.approx(0.6)),
        (SILENT, 60.0, None),
    ]
    assert told["planted_worlds"]["beside_them"] == {"net_model": -36.0, "net_oracle": 0.0}
    assert told["null_worlds"]["trades"] == 180
    said = "\n".join(misses(found))
    assert "180 trades, 1000 are needed" in said
    assert "leaves out 0" in said
    assert "is 0% of the +150.00" in said
    assert said == "\n".join(told["missed"])

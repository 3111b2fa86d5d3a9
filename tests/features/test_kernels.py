"""The feature kernels in particular situations: what the first minute looks like, which key moves what, and what bad input does."""

import math
import random
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.imbalance import RING_MAX
from smartmoney.core.features.kernel import on_trade
from smartmoney.core.features.parameters import FeatureParameters, ImbalanceParameters, LiquidityParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import COLUMNS, FEATURES, as_mapping
from smartmoney.core.features.spec import AT_ONCE
from smartmoney.core.features.state import LEVELS_MAX, STATE, configure

from .streams import FRAME, LEVEL, RESET, TRADE, apply_rows

MS = 1_000_000
S = 1000 * MS
START = 1_700_000_000 * S
MID = 20_000
INSTRUMENT = Instrument(
    venue="x", market=Market.SPOT, symbol="AB", name="A/B", base="A", quote="B", tick_size=Decimal("0.05"), lot_size=Decimal("0.001")
)


def trade(states, ts, tick, lots, sign):
    apply_rows(states, np.array([(TRADE, ts, sign, tick, lots)]))


def drop(states):
    apply_rows(states, np.array([(RESET, 0, 0, 0, 0)]))


def random_frame(draw, ts, n):
    """Give the rows of one of a two-sided book's frames, after every other one with a trade."""
    spread = 1 + int(draw.random() < 0.5)
    rows = [(LEVEL, ts, 0, MID - 1, 0 if spread == 2 else draw.randrange(20, 60))]
    for _ in range(3):
        side = draw.randrange(2)
        rows.append((LEVEL, ts, side, MID + (2 * side - 1) * draw.randrange(2, 15), draw.randrange(1, 60)))
    rows += [(LEVEL, ts, 0, MID - 2, draw.randrange(20, 60)), (LEVEL, ts, 1, MID + 1, draw.randrange(20, 60)), (FRAME, ts, 0, 0, 0)]
    if n % 2 == 0:
        sign = 1 if draw.random() < 0.6 else -1
        rows.append((TRADE, ts, sign, MID + sign, int(math.exp(draw.gauss(3.0, 1.5))) + 1))
    return rows


def fresh(parameters=None):
    states = np.zeros(1, STATE)
    for name in ("best_bid_tick", "best_ask_tick"):
        states[name] = -1
    configure(states[0], INSTRUMENT, FeatureParameters() if parameters is None else parameters)
    return states


def row(states):
    out = np.empty(len(COLUMNS))
    read_row(states, 0, 0, out)
    return as_mapping(out)


def run(states, seconds, *, start=START, seed=1):
    """Run a market with frames each 100 ms and trades each 200 ms; return a row of features per frame."""
    draw = random.Random(seed)
    out = np.empty((seconds * 10, len(COLUMNS)))
    for n in range(len(out)):
        apply_rows(states, np.array(random_frame(draw, start + (n + 1) * 100 * MS, n)))
        read_row(states, 0, 0, out[n])
    return out


def frame(states, ts, *levels):
    apply_rows(states, np.array([*((LEVEL, ts, *level) for level in levels), (FRAME, ts, 0, 0, 0)]))


def quiet_book(states, ts=START):
    frame(states, ts, (0, MID - 1, 10), (1, MID + 1, 30))


# ---------------------------------------------------------------------------------------------------------------- warm-up

SLOWEST_S = 1800
"""Half of the longest half-life."""


@pytest.fixture(scope="module")
def first_half_hour():
    return run(fresh(), SLOWEST_S + 10)


def conditional(feature):
    """Tell whether a feature waits for more than time and ordinary events: what it measures must have happened."""
    return feature.warm_up.event not in ("book frames", "trades", "aggressor orders", "samples, and 50 book frames")


@pytest.mark.parametrize("feature", [f for f in FEATURES if not conditional(f)], ids=lambda feature: feature.name)
def test_a_feature_is_nan_until_it_is_warm_and_known_from_then_on(feature, first_half_hour):
    known = np.isfinite(first_half_hour[:, COLUMNS.index(feature.name)])
    first = int(np.argmax(known))
    assert known[first:].all()
    assert not known[:first].any()
    seconds = feature.warm_up.seconds
    assert seconds <= first / 10 + 0.11 <= seconds + 1.3


def test_half_a_half_life_and_ten_seconds_at_least_is_the_warm_up_of_what_is_decayed():
    for feature in FEATURES:
        if feature.name.endswith(f"_{feature.half_life_s:g}s") and not conditional(feature):
            assert feature.warm_up.seconds == max(10.0, feature.half_life_s / 2), feature.name


def test_a_few_events_are_not_enough_however_long_they_take():
    states = fresh()
    for k in range(40):
        frame(states, START + k * 5 * S, (0, MID - 1, 10 + k % 7), (1, MID + 1, 30))
        trade(states, START + k * 5 * S, MID + 1, 5, 1)
    known = {name for name, value in row(states).items() if math.isfinite(value)}
    assert known - {f.name for f in FEATURES if conditional(f)} == {feature.name for feature in FEATURES if feature.warm_up == AT_ONCE}


def test_a_normal_market_shows_little_stress_a_good_score_and_makers_present():
    small = FeatureParameters(liquidity=LiquidityParameters(order_notional_max=5.0))
    table = run(fresh(small), 300)[800:]
    median = {name: np.median(table[:, COLUMNS.index(name)]) for name in ("liquidity_stress", "mm_presence", "liquidity_score")}
    assert 0.05 < median["liquidity_stress"] < 0.25
    assert median["mm_presence"] > 0.7
    assert median["liquidity_score"] > 0.9


# ------------------------------------------------------------------------------------------------------------------ reset


def test_a_dropped_book_takes_what_was_derived_from_it_and_leaves_slow_means():
    states = fresh()
    run(states, 310)
    before = row(states)
    drop(states)
    after = row(states)
    for feature in FEATURES:
        if feature.resets:
            assert math.isnan(after[feature.name]), feature.name
        elif not feature.name.startswith("liquidity_s"):
            np.testing.assert_equal(after[feature.name], before[feature.name], err_msg=feature.name)
    assert math.isnan(after["liquidity_stress"])
    assert math.isnan(after["liquidity_score"])
    run(states, 12, start=START + 311 * S, seed=2)
    again = row(states)
    assert math.isfinite(again["ofi_l1_10s"])
    assert math.isfinite(again["liquidity_stress"])
    assert math.isnan(again["ofi_l1_120s"])


def test_time_lost_in_a_gap_makes_slow_features_cold_again():
    states = fresh()
    run(states, 310)
    drop(states)
    run(states, 5, start=START + 2000 * S)
    assert all(math.isnan(row(states)[name]) for name in ("tfi_120s", "signed_volume_120s", "rv_120s", "rv_600s", "mm_presence"))
    run(states, 60, start=START + 2005 * S)
    assert all(math.isfinite(row(states)[name]) for name in ("tfi_120s", "signed_volume_120s", "rv_120s", "mm_presence"))


# --------------------------------------------------------------------------------------------------------------- formulas


def test_the_top_of_a_hand_made_book():
    states = fresh()
    frame(states, START, (0, MID - 1, 10), (0, MID - 10, 7), (0, MID - 11, 100), (1, MID + 1, 30), (1, MID + 10, 5), (1, MID + 11, 100))
    values = row(states)
    assert values["spread_bps"] == pytest.approx(1.0)
    assert values["queue_imbalance"] == -0.5
    assert values["weighted_mid_bps"] == pytest.approx(-0.25)
    assert values["depth_bid_5bps"] == pytest.approx(17 * 0.001 * 1000)
    assert values["depth_ask_5bps"] == pytest.approx(35 * 0.001 * 1000)


def test_depth_outside_the_dense_window_counts_like_any_other():
    states = fresh()
    states["base_tick"] = MID
    frame(states, START, (0, MID - 1, 10), (0, MID - 10, 7), (1, MID + 1, 30), (1, MID + 10, 5))
    assert row(states)["depth_bid_5bps"] == pytest.approx(17 * 0.001 * 1000)


def test_depth_at_prices_of_almost_as_many_ticks_as_a_venue_may_send():
    states, mid = fresh(), 9 * 10**14
    frame(states, START, (0, mid - 1, 10), (0, mid - 10**12, 7), (1, mid + 1, 30), (1, mid + 5 * 10**11, 5))
    values = row(states)
    assert values["depth_bid_10bps"] == pytest.approx(10 * 0.001 * mid * 0.05)
    assert values["depth_ask_10bps"] == pytest.approx(35 * 0.001 * mid * 0.05)
    assert values["depth_ask_5bps"] == pytest.approx(30 * 0.001 * mid * 0.05)


def traded_orders(states, sizes, *, gap_ns=S):
    ts = START
    for lots in sizes:
        ts += gap_ns
        trade(states, ts, MID, int(lots), 1)
    return ts


def test_fills_of_one_aggressor_are_one_large_order_and_others_are_not():
    states = fresh(FeatureParameters(large_order_threshold=50.0))
    ts = traded_orders(states, [10] * 100)
    for k in range(10):
        trade(states, ts + S + k * 5 * MS, MID + k, 10, 1)  # 100 lots at about 1,000, in pieces of 10
    trade(states, ts + 2 * S, MID, 10, -1)
    seen = 1 - 0.5 ** (101 / 120)
    value = sum(10 * 0.001 * (MID + k) * 0.05 for k in range(10))
    assert row(states)["large_trade_120s"] == pytest.approx(value * 0.5 ** ((1 - 0.045) / 120) / seen)

    states = fresh(FeatureParameters(large_order_threshold=50.0))
    ts = traded_orders(states, [10] * 100)
    for k in range(10):
        trade(states, ts + S + k * 5 * MS, MID - k, 10, 1)  # each better for the buyer than the last: no single order
    trade(states, ts + 2 * S, MID, 10, -1)
    assert row(states)["large_trade_120s"] == 0.0


def test_the_large_trade_threshold_finds_the_99_percent_quantile():
    rng = np.random.default_rng(7)
    sizes = np.exp(rng.normal(5.0, 1.2, 6000)).astype(int) + 1
    states = fresh(FeatureParameters(large_order_threshold=0.0))
    traded_orders(states, sizes)
    threshold = row(states)["large_trade_threshold"] / (MID * 0.05 * 0.001)
    assert 0.97 < (sizes < threshold).mean() < 0.998


def test_a_smaller_queue_after_a_trade_is_no_cancel():
    def ratio(*, traded):
        states = fresh()
        for k in range(200):
            ts = START + k * 100 * MS
            if traded and k % 2 == 0 and k:
                trade(states, ts - 50 * MS, MID + 1, 10, 1)
            frame(states, ts, (0, MID - 1, 10), (1, MID + 1, 20 if k % 2 == 0 else 30))
        return row(states)["cancel_add_ratio_10s"]

    assert ratio(traded=True) == 0.0
    assert ratio(traded=False) == pytest.approx(1.0, abs=0.05)


def test_stress_rises_when_the_spread_widens_and_depth_goes():
    states = fresh()
    run(states, 120)
    calm = row(states)
    frame(states, START + 121 * S, *((0, MID - d, 0) for d in range(1, 12)), *((1, MID + d, 0) for d in range(1, 12)))
    assert calm["liquidity_stress"] < 0.3
    assert row(states)["liquidity_stress"] > 0.9
    assert row(states)["liquidity_score"] < calm["liquidity_score"]


# ---------------------------------------------------------------------------------------------------------- configuration

CHANGES = [
    ("imbalance", "max_depth_levels", 3, {"weighted_imbalance", "imbalance_momentum"}),
    ("imbalance", "distance_decay_rate", 0.6, {"weighted_imbalance", "imbalance_momentum"}),
    ("imbalance", "exponential_decay_factor", 0.5, {"weighted_imbalance", "imbalance_momentum"}),
    ("imbalance", "min_update_interval", 0.35, {"weighted_imbalance", "imbalance_momentum"}),
    ("imbalance", "momentum_window", 7, {"imbalance_momentum"}),
    ("liquidity", "spread_window", 3, {"spread_median_bps", "liquidity_score"}),
    ("liquidity", "update_frequency", 0.4, {"spread_median_bps", "liquidity_score"}),
    ("liquidity", "depth_levels", 2, {"liquidity_score"}),
    ("liquidity", "order_notional_max", 3.0, {"liquidity_score"}),
    ("liquidity", "mm_confidence_threshold", 0.9, set()),
    ("liquidity", "liquidity_stress_threshold", 0.1, set()),
    (
        "",
        "large_order_threshold",
        700.0,
        {"large_trade_threshold", "large_trade_share_120s", "large_trade_10s", "large_trade_120s", "large_trade_600s"},
    ),
    ("", "bar_s", 300.0, {"sigma_bar_bps"}),
]

BASE = FeatureParameters(
    imbalance=ImbalanceParameters(), liquidity=LiquidityParameters(order_notional_max=50.0), large_order_threshold=10.0
)


@pytest.fixture(scope="module")
def unchanged():
    return run(fresh(BASE), 310)


@pytest.mark.parametrize(("group", "key", "value", "moved"), CHANGES, ids=[change[1] for change in CHANGES])
def test_a_key_moves_the_outputs_it_names_and_nothing_else(group, key, value, moved, unchanged):
    part = msgspec.structs.replace(getattr(BASE, group), **{key: value}) if group else value
    parameters = msgspec.structs.replace(BASE, **{group or key: part})
    there = run(fresh(parameters), 310)
    differ = {name for k, name in enumerate(COLUMNS) if not np.array_equal(unchanged[:, k], there[:, k], equal_nan=True)}
    assert differ == moved


def test_a_longer_bar_has_more_volatility_by_the_root_of_time():
    longer = msgspec.structs.replace(BASE, bar_s=240.0)
    here, there = run(fresh(BASE), 100)[-1], run(fresh(longer), 100)[-1]
    at = COLUMNS.index("sigma_bar_bps")
    assert there[at] == pytest.approx(2 * here[at])


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("imbalance", "max_depth_levels", LEVELS_MAX + 1),
        ("imbalance", "max_depth_levels", 0),
        ("imbalance", "momentum_window", RING_MAX),
        ("imbalance", "exponential_decay_factor", 1.5),
        ("imbalance", "exponential_decay_factor", math.nan),
        ("liquidity", "spread_window", 0),
        ("liquidity", "order_notional_max", -1.0),
    ],
)
def test_a_parameter_that_the_record_cannot_hold_is_refused_by_name(group, key, value):
    part = msgspec.structs.replace(getattr(BASE, group), **{key: value})
    with pytest.raises(ValueError, match=key):
        fresh(msgspec.structs.replace(BASE, **{group: part}))


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_the_extreme_smoothing_factors_give_the_latest_value_and_the_plain_mean(factor):
    parameters = msgspec.structs.replace(BASE, imbalance=ImbalanceParameters(exponential_decay_factor=factor, max_depth_levels=1))
    states = fresh(parameters)
    seen = []
    for k in range(120):
        frame(states, START + k * S, (0, MID - 1, 10 + k % 3), (1, MID + 1, 20))
        seen.append((k % 3 - 10) / (30 + k % 3))
    expected = seen[-1] if factor == 0.0 else np.mean(seen)
    assert row(states)["weighted_imbalance"] == pytest.approx(expected)


# -------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(("tick", "lots", "sign"), [(MID, 0, 1), (MID, -5, 1), (0, 5, 1), (-7, 5, -1), (MID, 5, 0)])
def test_a_trade_without_price_size_or_side_changes_nothing(tick, lots, sign):
    states = fresh()
    run(states, 70)
    before = states.tobytes()
    on_trade(states[0], START + 500 * S, tick, lots, sign)
    assert states.tobytes() == before


@pytest.mark.parametrize(
    "levels",
    [[(0, MID + 1, 5)], [(0, MID + 5, 5)], [(1, MID + 1, 0)], [(0, MID - 1, 0), (1, MID + 1, 0)]],
    ids=["locked", "crossed", "no asks", "empty"],
)
def test_a_book_without_a_proper_top_has_no_instantaneous_features_and_recovers(levels):
    states = fresh()
    quiet_book(states)
    frame(states, START + S, *levels)
    assert all(math.isnan(row(states)[name]) for name in ("spread_bps", "queue_imbalance", "depth_bid_5bps", "liquidity_score"))
    frame(states, START + 2 * S, (0, MID + 1, 0), (0, MID + 5, 0), (0, MID - 1, 10), (1, MID + 1, 30))
    assert row(states)["spread_bps"] == pytest.approx(1.0)


def test_time_going_back_counts_as_the_latest_time():
    here, there = fresh(), fresh()
    for states, late in ((here, START + 5 * S), (there, START)):
        quiet_book(states)
        frame(states, START + 5 * S, (0, MID - 1, 20))
        frame(states, late, (0, MID - 1, 25))
        trade(states, late, MID, 5, 1)
    assert here.tobytes() == there.tobytes()


@pytest.mark.parametrize("jump_s", [10**5, 8 * 10**9])
def test_a_jump_of_years_leaves_no_infinity_and_costs_no_loop(jump_s):
    states = fresh()
    run(states, 310)
    ts = min(START + jump_s * S, 2**63 - 1 - 600 * S)
    quiet_book(states, ts)
    trade(states, ts, MID, 5, 1)
    assert not any(math.isinf(value) for value in row(states).values())
    run(states, 100, start=ts)
    assert sum(math.isfinite(value) for value in row(states).values()) >= len(COLUMNS) - 1

"""Features in situations in which their value is known by reasoning: hidden size, a wall that vanishes, one-sided volume, a clock, a splitter."""

import math

import numpy as np
import pytest

from smartmoney.core.features.schema import as_mapping

from .streams import FRAME, LEVEL, MS, TRADE, apply_rows, fresh, row_of

S = 1000 * MS
T0 = 1_700_000_000 * S
MID = 20_000
BID, ASK = 0, 1


def values(rows):
    states = fresh()
    apply_rows(states, np.array(rows, np.int64))
    return as_mapping(row_of(states))


def quiet_book(lots=100):
    return [*((LEVEL, T0, side, MID + (2 * side - 1) * d, lots) for side in (BID, ASK) for d in range(1, 9)), (FRAME, T0, 0, 0, 0)]


def frames(seconds, *, every_ms=500, first_ms=500):
    return [(FRAME, T0 + ms * MS, 0, 0, 0) for ms in range(first_ms, seconds * 1000 + 1, every_ms)]


def in_order(rows):
    return sorted(rows, key=lambda row: row[1])


def test_a_bid_that_is_refilled_after_every_trade_is_an_iceberg_of_the_executed_size():
    rows = quiet_book() + frames(90)
    # Each second 50 of the 100 lots at the best bid are sold, and the next frame shows 100 again.
    rows += [(TRADE, T0 + (k * 1000 + 400) * MS, -1, MID - 1, 50) for k in range(10, 80)]
    found = values(in_order(rows))
    assert found["iceberg_bid"] == pytest.approx(70 * 50 / 100)
    assert found["iceberg_ask"] == 0.0
    assert found["refill_imbalance_120s"] == 1.0
    assert found["refill_ratio_120s"] == pytest.approx(1.0)
    assert found["iceberg_flow_120s"] > 0


def test_a_bid_that_is_traded_away_is_no_iceberg():
    rows = quiet_book(lots=10_000) + frames(90)
    for k in range(10, 80):
        rows.append((TRADE, T0 + (k * 1000 + 400) * MS, -1, MID - 1, 50))
        rows.append((LEVEL, T0 + (k * 1000 + 500) * MS, BID, MID - 1, 10_000 - 50 * (k - 9)))
    found = values(sorted(rows, key=lambda row: (row[1], row[0] != LEVEL)))
    assert found["iceberg_bid"] == 0.0
    assert found["refill_ratio_120s"] == 0.0


@pytest.mark.parametrize(("life_ms", "is_spoof"), [(1000, True), (5000, False)])
def test_a_wall_that_vanishes_untraded_within_two_seconds_is_spoof_like(life_ms, is_spoof):
    rows = quiet_book() + frames(70)
    for k in range(120):
        # Ordinary life two ticks behind the best ask: five lots come, and go.
        rows.append((LEVEL, T0 + (k * 500 + 500) * MS, ASK, MID + 3, 105 if k % 2 == 0 else 100))
    rows.append((LEVEL, T0 + 61_000 * MS, ASK, MID + 4, 5000))
    rows.append((LEVEL, T0 + (61_000 + life_ms) * MS, ASK, MID + 4, 100))
    found = values(sorted(rows, key=lambda row: (row[1], row[0] != LEVEL)))
    assert (found["spoof_120s"] < 0) == is_spoof
    assert found["spoof_traded_120s"] == 0.0
    assert found["wall_imbalance"] == 0.0


def test_one_sided_volume_fills_buckets_that_are_all_imbalance_and_balanced_volume_none():
    def of(sign_of):
        rows = quiet_book() + [(TRADE, T0 + k * S, sign_of(k), MID, 20) for k in range(1, 2400)]
        return values(in_order(rows))["vpin"]

    assert of(lambda k: 1) == pytest.approx(1.0)
    assert of(lambda k: 1 if k % 2 else -1) < 0.05


def test_orders_at_whole_ten_seconds_have_a_clock_and_random_ones_have_none():
    def of(times_ms):
        rows = quiet_book() + [(TRADE, T0 + int(ms) * MS, 1, MID, 20 + k % 7) for k, ms in enumerate(times_ms)]
        return values(in_order([*rows, (TRADE, T0 + 901 * S, -1, MID, 5)]))["clockwork_buy_600s"]

    random = np.sort(np.random.default_rng(5).integers(1000, 900_000, 90))
    assert of(range(10_000, 900_000, 10_000)) > 40
    assert of(random) < 10


@pytest.mark.parametrize("period_ms", [6670, 13_000, 27_000])
def test_a_clock_among_twice_as_many_random_orders_is_found_in_its_octave_and_on_its_side(period_ms):
    rng = np.random.default_rng(period_ms)
    last = 300_000 + 40 * period_ms
    noise = rng.uniform(1000, last, last // period_ms * 2)
    clock = np.arange(300_000, last, period_ms) + rng.uniform(-0.04, 0.04, 40) * period_ms

    def of(times):
        rows = [(TRADE, T0 + int(ms) * MS, 1, MID, 20) for ms in times]
        rows += [(TRADE, T0 + int(ms) * MS, -1, MID, 20) for ms in rng.uniform(1000, last, len(times))]
        return values(in_order([*quiet_book(), *rows, (TRADE, T0 + (last + 50) * MS, -1, MID, 5)]))

    found, plain = of(np.concatenate((noise, clock))), of(noise)
    octave = 2 ** int(math.log2(period_ms / 1000))
    assert found[f"clock_{octave}s_buy"] > 6
    assert found[f"clock_{octave}s_buy"] == max(found[f"clock_{k}s_{side}"] for k in (4, 8, 16) for side in ("buy", "sell"))
    assert all(plain[f"clock_{k}s_{side}"] < 4 for k in (4, 8, 16) for side in ("buy", "sell"))


def test_a_clock_that_stopped_is_soon_no_clock():
    def of(more):
        rows = [(TRADE, T0 + k * 5 * S, 1, MID, 20) for k in range(1, 100)]
        rows += [(TRADE, T0 + (k * 5000 + 1700) * MS, -1, MID, 20) for k in range(1, 100 + more)]
        return values(in_order([*quiet_book(), *rows]))["clock_4s_buy"]

    assert of(0) > 10
    assert of(3) < 1e-6


def refill_rows(is_refilled, seconds=200):
    """Give a bid that is sold into each second, and after some trades stands whole again at the next frame."""
    rows, lots = quiet_book(lots=100_000), 100_000
    for k in range(10, seconds):
        rows.append((TRADE, T0 + (k * 1000 + 450) * MS, -1, MID - 1, 50))
        if not is_refilled(k):
            lots -= 50
            rows.append((LEVEL, T0 + (k * 1000 + 500) * MS, BID, MID - 1, lots))
        rows.append((TRADE, T0 + (k * 1000 + 650) * MS, 1, MID + 1, 1000 - k))
        rows.append((LEVEL, T0 + (k * 1000 + 700) * MS, ASK, MID + 1, 200_000 - k))
    return sorted(rows + frames(seconds, every_ms=100, first_ms=100), key=lambda row: (row[1], row[0] != LEVEL))


def test_a_side_that_refills_more_than_it_did_is_told_and_an_outcome_in_doubt_is_none():
    rng = np.random.default_rng(8)
    draws = rng.random(200)
    usual = values(refill_rows(lambda k: draws[k] < 0.3))
    more = values(refill_rows(lambda k: draws[k] < (0.3 if k < 130 else 0.75)))
    assert more["refill_evidence_bid"] > 3
    assert usual["refill_evidence_bid"] < 1.5
    assert more["refill_share_bid"] > usual["refill_share_bid"] + 0.15
    # The ask never shows a number that its trades explain.
    assert more["refill_evidence_ask"] == pytest.approx(math.log(2))


def test_a_run_of_buys_raises_the_buyers_cusum_and_lowers_nothing_of_it_by_being_a_run():
    rng = np.random.default_rng(2)
    noise = [int(x) for x in rng.choice([-1, 1], 400)]
    planted = [1 if rng.random() < 0.3 else sign for sign in noise]

    def of(signs):
        rows = quiet_book() + [(TRADE, T0 + k * S, sign, MID, 20) for k, sign in enumerate(signs, 1)]
        return values(in_order([*rows, (TRADE, T0 + 500 * S, -1, MID, 5)]))

    assert of(planted)["splitting_cusum_buy"] > 5 > of(noise)["splitting_cusum_buy"]
    assert of(planted)["splitting_cusum_imbalance"] > 0.5


def test_bounce_between_two_prices_gives_rolls_spread():
    rng = np.random.default_rng(3)
    rows = quiet_book() + [(TRADE, T0 + k * S, int(sign), MID + int(sign), 20) for k, sign in enumerate(rng.choice([-1, 1], 3000), 1)]
    assert values(in_order(rows))["roll_120s"] == pytest.approx(2 / MID * 1e4, rel=0.2)


def test_price_that_follows_flow_gives_kyles_lambda_and_nothing_is_absorbed():
    rows, mid = quiet_book(), MID
    rng = np.random.default_rng(4)
    for k in range(1, 400):
        sign = int(rng.choice([-1, 1]))
        rows.append((TRADE, T0 + (k * 1000 + 300) * MS, sign, mid, 1000))
        away = [(LEVEL, T0 + (k * 1000 + 600) * MS, side, mid + (2 * side - 1) * d, 0) for side in (BID, ASK) for d in range(1, 9)]
        mid += sign
        back = [(LEVEL, T0 + (k * 1000 + 600) * MS, side, mid + (2 * side - 1) * d, 100) for side in (BID, ASK) for d in range(1, 9)]
        rows += [*away, *back, (FRAME, T0 + (k * 1000 + 600) * MS, 0, 0, 0)]
    found = values(rows)
    notional = 1000 * 0.001 * MID * 0.05 / 1e6
    assert found["kyle_lambda_120s"] == pytest.approx(1e4 / MID / notional, rel=0.02)
    assert found["kyle_r2_120s"] > 0.99
    assert abs(found["absorption_120s"]) < 0.1


def test_silence_of_one_side_leans_the_hawkes_ratio_and_poisson_has_no_burstiness():
    rng = np.random.default_rng(6)
    times = np.cumsum(rng.exponential(0.5, 2000))
    both = [(TRADE, T0 + int(t * 1e9), int(rng.choice([-1, 1])), MID, 20) for t in times]
    found = values(in_order(quiet_book() + both))
    assert abs(found["burstiness_120s"]) < 0.15
    assert found["interarrival_mean_120s"] == pytest.approx(0.5, rel=0.25)
    end = int(times[-1])
    buys = [(TRADE, T0 + (end + 1 + k) * S, 1, MID, 20) for k in range(30)]
    leaned = values(in_order(quiet_book() + both + buys))
    assert leaned["hawkes_log_ratio_10s"] > 0.5
    assert math.isfinite(leaned["hawkes_log_ratio_100ms"])


def test_a_wall_that_was_traded_away_is_not_spoof_like():
    def of(traded):
        rows = quiet_book() + frames(70)
        for k in range(120):
            rows.append((LEVEL, T0 + (k * 500 + 500) * MS, ASK, MID + 3, 105 if k % 2 == 0 else 100))
        rows.append((LEVEL, T0 + 61_000 * MS, ASK, MID + 4, 5000))
        if traded:
            rows.append((TRADE, T0 + 61_900 * MS, 1, MID + 4, traded))
        rows.append((LEVEL, T0 + 62_000 * MS, ASK, MID + 4, 100))
        return values(sorted(rows, key=lambda row: (row[1], row[0] != LEVEL)))["spoof_120s"]

    # A twentieth of the wall is the bound.
    assert of(249) == pytest.approx(of(0))
    assert of(0) < 0
    assert of(250) == 0.0


def test_a_trade_not_later_than_the_latest_frame_is_in_it_and_waits_for_no_refill():
    def of(late_ms):
        rows = quiet_book() + frames(90, every_ms=250, first_ms=250)
        rows += [(TRADE, T0 + (k * 1000 + late_ms) * MS, -1, MID - 1, 50) for k in range(10, 80)]
        return values(sorted(rows, key=lambda row: (row[1], row[0] == TRADE)))

    assert of(500)["refill_ratio_120s"] == of(500)["iceberg_bid"] == 0.0
    assert of(600)["refill_ratio_120s"] == pytest.approx(1.0)


@pytest.mark.parametrize("others", [31, 32])
def test_the_table_of_traded_prices_holds_32_and_the_one_traded_longest_ago_goes(others):
    rows = [*((LEVEL, T0, side, MID + (2 * side - 1) * d, 100) for side in (BID, ASK) for d in range(1, 12)), (FRAME, T0, 0, 0, 0)]
    rows += frames(90)
    rows += [(TRADE, T0 + (k * 1000 + 400) * MS, -1, MID - 1, 50) for k in range(10, 80)]
    # Prices more than ten ticks away from their best leave at the next frame; until then they take room.
    rows += [(TRADE, T0 + 89_600 * MS + k * MS, 1, MID + 1000 + k, 1) for k in range(others)]
    assert (values(in_order(rows))["iceberg_bid"] > 0) == (others == 31)


def test_the_microprice_does_not_fall_with_the_imbalance_and_stays_within_the_spread():
    rows, mid, ts = [], MID, T0

    def frame(bid, ask, spread):
        nonlocal ts
        ts += 100 * MS
        old = [(LEVEL, ts, side, tick, 0) for side in (BID, ASK) for tick in range(mid - 6, mid + 7)]
        return [*old, (LEVEL, ts, BID, mid - 1, bid), (LEVEL, ts, ASK, mid - 1 + spread, ask), (FRAME, ts, 0, 0, 0)]

    for _ in range(60):
        for _ in range(20):
            mid += 1
            rows += frame(30, 20, 1)  # a little more to buy: it rises, and goes on rising
        for _ in range(20):
            rows += frame(90, 10, 1)  # much more: nothing moves
        for _ in range(20):
            mid -= 1
            rows += frame(20, 30, 1)
    little, much = (values(rows + frame(bid, 100 - bid, 1))["microprice_bps"] for bid in (60, 90))
    assert little == pytest.approx(1 / (mid - 0.5) * 1e4)  # ten ticks are expected, one is between bid and ask
    assert much == little


def test_without_makers_the_score_falls_to_a_tenth_of_the_presence_and_not_further():
    rows = quiet_book() + frames(70)
    # One side has next to nothing near the mid most of the time.
    for k in range(1, 140):
        rows += [(LEVEL, T0 + k * 500 * MS, ASK, MID + d, 100 if k in {1, 139} else d == 1) for d in range(1, 9)]
    found = values(sorted(rows, key=lambda row: (row[1], row[0] != LEVEL)))
    assert found["mm_presence"] < 0.1
    room = 3 * 100 * 0.001 * MID * 0.05 / (10 * 40.0)
    assert found["liquidity_score"] == pytest.approx((min(1.0, room) * 0.1) ** (1 / 3))


@pytest.mark.parametrize(("age_ms", "share"), [(300, 1.0), (301, 0.0)])
def test_a_trade_explains_a_smaller_queue_for_300_ms(age_ms, share):
    rows = quiet_book() + frames(20, every_ms=250, first_ms=250)
    rows.append((TRADE, T0 + (15_000 - age_ms) * MS, 1, MID + 1, 40))
    rows.append((LEVEL, T0 + 15_000 * MS, ASK, MID + 1, 60))
    found = values(sorted(rows, key=lambda row: (row[1], row[0] != LEVEL)))
    assert found["traded_share_10s"] == share


def test_a_level_that_was_absent_is_as_far_away_as_can_be_on_either_side():
    def of(side):
        away = 2 * side - 1
        rows = [*((LEVEL, T0, s, MID + (2 * s - 1) * d, 100) for s in (BID, ASK) for d in (1, 2)), (FRAME, T0, 0, 0, 0)]
        rows.append((LEVEL, T0 + 25_000 * MS, side, MID + away * 5, 70))
        rows += frames(30)
        return values(sorted(rows, key=lambda row: (row[1], row[0] != LEVEL)))["ofi_multilevel_3_10s"]

    assert of(BID) > 0
    assert of(ASK) == -of(BID)

"""Who trades in the synthetic market: each kind does what its scenario says, as the truth shows."""

import functools
import hashlib

import msgspec
import numpy as np
import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.settings import ConfigurationError
from smartmoney.settings.scenario import load_scenario, scenario_from, scenario_model
from smartmoney.simulation import ladder
from smartmoney.simulation.latent import PARENTS
from smartmoney.simulation.makers import ARBITRAGE
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.parents import FIRST_PARENT_OWNER, ICEBERG, INFORMED, JITTERED, MISTAKEN, POISSON, POV, SPLITTER, TWAP
from smartmoney.simulation.scenario import FIRST_RUN, SECTIONS
from smartmoney.simulation.spoofers import FIRST_SPOOFER, SPOOFERS
from smartmoney.simulation.stops import STOPS
from smartmoney.simulation.trend import TREND

SECOND = 1_000_000_000
NAMES = (
    "first_run no_information calm trending accumulation distribution volatile trap spoof flash_crash thin_book mixed_day many_symbols"
).split()


def book_of(scenario, seed, market=Market.SPOT):
    """Return the first symbol's book."""
    chosen = load_scenario(scenario) if isinstance(scenario, str) else scenario
    symbol = chosen.symbols[0].symbol
    return SyntheticMarket(seed, chosen, symbols=(symbol,), markets=(market,)).books[market, symbol]


def lived(book, seconds):
    """Run second by second; return the trades, and the mids at each second's end in bps of the first price."""
    trades, mids = [], []
    for second in range(1, seconds + 1):
        rows = book.advance(second * SECOND)
        trades.append(rows[rows[:, ladder.KIND] == ladder.TRADE])
        bid, _, ask, _ = book.touch
        mids.append((bid + ask) / 2)
    return np.concatenate(trades), np.array(mids) / float(book.worlds["ticks_per_bp"][0])


def started(truth, *kinds):
    """Return the starts of parents of some kinds."""
    return [row for row in truth.tolist() if row[ladder.KIND] == ladder.PARENT_STARTED and row[ladder.TICK] in kinds]


def sign_of(row):
    return 1 if row[ladder.SIDE] == ladder.BID else -1


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_runs_and_its_books_stay_sound(name):
    scenario = load_scenario(name)
    market = SyntheticMarket(5, scenario, symbols=[profile.symbol for profile in scenario.symbols][-2:])
    for second in (1, 20, 60):
        for key, rows in market.advance(second * SECOND).items():
            assert market.books[key].fault == 0
            assert len(rows)
    assert all(book.touch[0] > 0 and book.touch[2] > 0 for book in market.books.values())


BUSY = {
    "price": {
        "volatility_times_s": [5, 20, 60, 100],
        "volatility_sds": [0.2, 0.2, 0.2, 0.2],
        "burst_every_s": 20,
        "burst_s": 15,
        "daily_swing": 0.5,
        "jump_every_s": 5,
        "jump_tail": 3,
        "wave_every_s": 15,
        "wave_s": 20,
    },
    "impact": {"volume_exponent": 0.5, "memory_exponent": 0.5, "longest_s": 60, "volatility_reaction": 0.5},
    "crowd": {"market_rate": 5, "spread_patience": 0.5},
    "takers": {"same_side": [0.2, 0.1, 0.1, 0.1], "other_side": [0.1, 0.05, 0.05, 0.05], "volatility_reaction": 0.5},
    "makers": {"requote_reaction": 0.3, "withdraw_above": 0.5},
    "trend": {"rate": 5, "threshold_bps": 1, "lookbacks_s": [5, 10, 20]},
    "stops": {"rate": 10, "least_bps": 1, "distance_bps": 4, "round_bps": 2, "cascade_orders": 3},
    "splitters": {
        "every_s": 2,
        "size": 0.3,
        "size_tail": 1.2,
        "size_most": 4,
        "duration_s": 12,
        "duration_exponent": 0.5,
        "duration_most_s": 14,
        "twap": 1,
        "pov": 1,
        "iceberg": 1,
        "jittered": 1,
    },
    "informed": {
        "every_s": 3,
        "size": 1,
        "size_tail": 1.2,
        "size_most": 4,
        "duration_s": 12,
        "duration_exponent": 0.5,
        "duration_most_s": 14,
        "drift_exponent": 0.5,
        "on_adverse": 0.5,
        "twap": 1,
        "pov": 1,
        "iceberg": 1,
        "jittered": 1,
    },
    "spoofers": {"every_s": 4, "hold_s": 2, "near_bps": 3, "real_size": 30},
    "traps": {"every_s": 12, "first_s": 4, "hold_s": 6, "run_s": 3, "recovery_share": 0.3, "recovery_s": 5},
}
"""Everything happens at once, so that each parameter has something to change within half a minute."""
KEYS = [(section, field) for section, defaults in SECTIONS.items() for field in defaults.__struct_fields__]


def changed(section, field):
    """Return the busy scenario with one key changed to another value in its range."""
    now = getattr(getattr(scenario_from(BUSY, "busy"), section), field)
    for factor, extra in ((1.7, 0.0), (0.6, 0.0), (0.95, 0.0), (1.0, 0.3)):
        value = _scaled(now, factor, extra)
        if value == now:
            continue
        try:
            return scenario_from({**BUSY, section: {**BUSY.get(section, {}), field: value}}, "busy")
        except ConfigurationError:
            continue
    raise AssertionError(f"no other value of {section}.{field} is in range")


def _scaled(value, factor, extra):
    if isinstance(value, tuple):
        return tuple(_scaled(part, factor, extra) for part in value)
    return max(round(value * factor), 1) if isinstance(value, int) else value * factor + extra


def digest(scenario, cuts=(30 * SECOND,), market=Market.SPOT, seed=11):
    book = book_of(scenario, seed, market)
    found = hashlib.sha256()
    for cut in cuts:
        found.update(book.advance(cut).tobytes())
    found.update(book.truth().tobytes())
    found.update(str(book.worlds["cascade_until"][0]).encode())
    return found.hexdigest()


@pytest.fixture(scope="module")
def busy():
    scenario = scenario_from(BUSY, "busy")
    return functools.cache(lambda market, seed: digest(scenario, market=market, seed=seed))


@pytest.mark.parametrize(("section", "field"), KEYS, ids=[".".join(key) for key in KEYS])
def test_every_key_changes_something(busy, section, field):
    market = Market.USDM if field.startswith("basis") else Market.SPOT
    other = changed(section, field)
    # A share decides something only now and then, so it may take another seed until it does.
    assert any(digest(other, market=market, seed=seed) != busy(market, seed) for seed in range(11, 23))


def test_the_key_table_covers_the_model():
    assert {section for section, _ in KEYS} == set(scenario_model().model_fields) - {"name", "title", "symbols"}


def test_a_busy_market_is_the_same_however_time_is_cut(busy):
    scenario = scenario_from(BUSY, "busy")
    assert digest(scenario, range(0, 30 * SECOND + 1, 50_000_000)) == busy(Market.SPOT, 11)
    assert digest(scenario, (1, 9 * SECOND + 7, 30 * SECOND)) == busy(Market.SPOT, 11)


def test_a_busy_market_stays_sound():
    book = book_of(scenario_from(BUSY, "busy"), 2)
    for second in range(1, 61):
        book.advance(second * SECOND)
        assert book.fault == 0


@pytest.mark.slow
def test_the_informed_precede_a_drift_and_splitters_and_the_mistaken_do_not():
    moves = {INFORMED: [], MISTAKEN: [], SPLITTER: []}
    for seed in range(8):
        book = book_of(FIRST_RUN, seed)
        _, mids = lived(book, 2400)
        for row in started(book.truth(), INFORMED, MISTAKEN, SPLITTER):
            begin = row[ladder.TIME] // SECOND
            if begin + 180 < len(mids):
                moves[row[ladder.TICK]].append(sign_of(row) * (mids[begin + 180] - mids[begin]))
    assert min(len(found) for found in moves.values()) > 20
    assert np.mean(moves[INFORMED]) > 6
    assert abs(np.mean(moves[SPLITTER])) < 3
    assert np.mean(moves[MISTAKEN]) < 4


@pytest.mark.slow
def test_in_the_first_run_the_informed_are_followed_by_more_than_a_round_trip_costs():
    moves = []
    for seed in range(4):
        book = book_of("first_run", seed)
        _, mids = lived(book, 2400)
        for row in started(book.truth(), INFORMED, MISTAKEN):
            # When the drift begins half of the parent's time is over.
            begin = (row[ladder.TIME] + row[ladder.TAKER]) // (2 * SECOND)
            if begin + 300 < len(mids):
                moves.append(sign_of(row) * (mids[begin + 300] - mids[begin]))
    error = np.std(moves) / np.sqrt(len(moves))
    assert len(moves) > 20
    assert np.mean(moves) - 2.0 * error > 12
    assert np.mean(moves) > 24


@pytest.mark.slow
def test_where_nothing_is_planted_signed_parent_flow_says_nothing_of_later_moves():
    after = []
    for seed in range(6):
        book = book_of("no_information", seed)
        _, mids = lived(book, 3600)
        for row in started(book.truth(), SPLITTER):
            end = row[ladder.TAKER] // SECOND
            if end + 120 < len(mids):
                after.append(sign_of(row) * (mids[end + 120] - mids[end]))
        assert not started(book.truth(), INFORMED)
    error = np.std(after) / np.sqrt(len(after))
    assert len(after) > 200
    assert abs(np.mean(after)) < 2.5 * error


@pytest.mark.parametrize("name", ["accumulation", "distribution"])
def test_accumulators_buy_and_distributors_sell(name):
    book = book_of(name, 3)
    lived(book, 3600)
    parents = started(book.truth(), INFORMED, MISTAKEN)
    assert len(parents) > 5
    assert {sign_of(row) for row in parents} == {1 if name == "accumulation" else -1}
    assert len({row[ladder.MAKER] for row in parents}) >= 3


def fills_of_parents(trades):
    """Return (parent, time, lots, is maker) of every fill of a parent."""
    found = []
    for owner, parent, is_maker in ((ladder.TAKER_OWNER, ladder.TAKER_PARENT, False), (ladder.MAKER_OWNER, ladder.MAKER_PARENT, True)):
        mine = trades[(trades[:, owner] >= FIRST_PARENT_OWNER) & (trades[:, owner] < FIRST_PARENT_OWNER + PARENTS)]
        found += [(row[parent], row[ladder.TIME], row[ladder.LOTS], is_maker) for row in mine.tolist()]
    return found


def test_parents_trade_what_they_have_within_their_time_and_mostly_finish():
    book = book_of("accumulation", 4)
    trades, _ = lived(book, 3600)
    truth = book.truth().tolist()
    starts = {row[ladder.ID]: row for row in truth if row[ladder.KIND] == ladder.PARENT_STARTED}
    ends = {row[ladder.ID]: row for row in truth if row[ladder.KIND] == ladder.PARENT_ENDED}
    filled = dict.fromkeys(starts, 0)
    for parent, time, lots, _ in fills_of_parents(trades):
        filled[parent] += lots
        assert starts[parent][ladder.TIME] <= time <= starts[parent][ladder.TAKER] + 50_000_000
    done = []
    for number, end in ends.items():
        total = starts[number][ladder.LOTS]
        assert filled[number] + end[ladder.LOTS] == total
        done.append(filled[number] / total)
    assert len(done) > 30
    assert np.mean(done) > 0.8


def paced(style):
    """Return a scenario whose splitters have one style, and nobody else is a parent."""
    weights = {name: 0 for name in ("twap", "pov", "poisson", "iceberg", "jittered")}
    shape = {"every_s": 400, "size": 6, "duration_s": 300, "duration_spread": 0, "passive": 0, "child_spread": 0.2, "on_adverse": 0}
    return scenario_from({"informed": {"every_s": 0}, "splitters": {**weights, **shape, style: 1}}, "paced")


def gaps_of(style, seeds=4):
    gaps, makers = [], []
    for seed in range(seeds):
        trades, _ = lived(book_of(paced(style), seed), 1500)
        fills = fills_of_parents(trades)
        makers += [is_maker for *_, is_maker in fills]
        for parent in {fill[0] for fill in fills}:
            times = np.unique([fill[1] for fill in fills if fill[0] == parent])
            gaps += (np.diff(times)[:-1] / np.mean(np.diff(times))).tolist()
    return np.array(gaps), np.mean(makers)


@pytest.mark.slow
def test_schedules_pace_their_children_as_they_are_called():
    spread = {style: np.std(gaps_of(style)[0]) for style in ("twap", "jittered", "poisson", "pov")}
    assert spread["twap"] < 0.25 < spread["jittered"] < 0.7 < spread["poisson"] < 1.4
    assert spread["pov"] > 0.7
    _, resting = gaps_of("iceberg")
    assert resting > 0.6


def test_what_runs_away_is_chased_by_one_and_awaited_by_the_other():
    # The same parents in the same market but for what they do when the price runs away from them.
    early = {}
    for reaction in (-3, 3):
        shape = {"every_s": 300, "size": 12, "duration_s": 280, "on_adverse": reaction, "right_share": 1, "drift_start": 0, "drift_bps": 20}
        book = book_of(scenario_from({"informed": shape, "splitters": {"every_s": 0}}, "chase"), 6)
        trades, _ = lived(book, 1500)
        starts = {row[ladder.ID]: row for row in started(book.truth(), INFORMED)}
        shares = []
        for number, row in starts.items():
            half = (row[ladder.TIME] + row[ladder.TAKER]) // 2
            mine = [(time, lots) for parent, time, lots, _ in fills_of_parents(trades) if parent == number]
            shares.append(sum(lots for time, lots in mine if time < half) / row[ladder.LOTS])
        early[reaction] = np.mean(shares[:4])
    assert early[3] > early[-3] + 0.1


def test_walls_are_put_up_and_taken_down_and_hardly_ever_traded():
    book = book_of("spoof", 1)
    trades, _ = lived(book, 1800)
    walls = [row for row in book.truth().tolist() if row[ladder.KIND] == ladder.SPOOF]
    up = [row for row in walls if row[ladder.TICK] == 1]
    down = [row for row in walls if row[ladder.TICK] == 0]
    assert len(up) > 50
    assert len(up) - len(down) <= SPOOFERS
    shown = sum(row[ladder.LOTS] for row in up)
    by_side = {row[ladder.ID]: row[ladder.SIDE] for row in up}
    assert set(by_side.values()) == {0, 1}
    mine = (trades[:, ladder.MAKER_OWNER] >= FIRST_SPOOFER) & (trades[:, ladder.MAKER_OWNER] < FIRST_SPOOFER + SPOOFERS)
    assert 0 < trades[mine, ladder.LOTS].sum() < 0.02 * shown
    # A wall stands for seconds, and its spoofer also wanted a little of the other side.
    ends = {row[ladder.ID]: row[ladder.TIME] for row in down}
    lives = [ends[row[ladder.ID]] - row[ladder.TIME] for row in up if row[ladder.ID] in ends]
    assert 0 < np.median(lives) < 60 * SECOND


def near_lots(book, bps):
    bid, _, ask, _ = book.touch
    reach = bps * float(book.worlds["ticks_per_bp"][0])
    snapshot = book.snapshot(5000)
    bids = snapshot.bids[snapshot.bids[:, 0] > bid - reach, 1].sum()
    return bids + snapshot.asks[snapshot.asks[:, 0] < ask + reach, 1].sum()


@pytest.mark.slow
def test_a_trap_removes_most_of_the_near_depth_within_a_fifth_of_a_second_and_then_the_price_moves():
    left, ran = [], []
    for seed in range(4):
        # Lived twice: once to learn when traps spring, once to look just before and after.
        foretold = book_of("trap", seed)
        lived(foretold, 1500)
        traps = [row for row in foretold.truth().tolist() if row[ladder.KIND] == ladder.TRAP]
        book, now = book_of("trap", seed), 0
        for row in traps:
            springs = row[ladder.TIME]
            if springs - 50_000_000 < now:
                continue
            book.advance(springs - 50_000_000)
            before, middle = near_lots(book, 8), book.touch[0] + book.touch[2]
            book.advance(springs + 200_000_000)
            left.append(near_lots(book, 8) / before)
            now = springs + 23 * SECOND
            book.advance(now)
            ran.append(sign_of(row) * (book.touch[0] + book.touch[2] - middle) / 2 / float(book.worlds["ticks_per_bp"][0]))
    assert len(left) > 8
    assert np.mean(left) < 0.4
    assert max(left) < 0.55
    assert np.mean(ran) > 6


def test_a_flash_crash_falls_sets_off_stops_and_recovers():
    book = book_of("flash_crash", 2)
    trades, mids = lived(book, 1500)
    before, low, after = mids[590], mids[600:760].min(), mids[1450:].mean()
    assert 120 < before - low < 900
    assert after - low > 0.4 * (before - low)
    kinds = {row[ladder.KIND] for row in book.truth().tolist()}
    assert {ladder.CASCADE, ladder.TRAP} <= kinds
    fired = trades[(trades[:, ladder.TAKER_OWNER] == STOPS) & (trades[:, ladder.TIME] > 600 * SECOND)]
    falling = fired[fired[:, ladder.TIME] < 700 * SECOND]
    assert len(falling) > 50
    assert np.mean(falling[:, ladder.SIDE] == ladder.ASK) > 0.8


def test_makers_show_less_where_it_has_just_been_wild():
    book = book_of("volatile", 3)
    calm, wild = [], []
    for second in range(1, 2401):
        book.advance(second * SECOND)
        world = book.worlds[0]
        mine = (world["order_ids"] != 0) & (world["order_owners"] >= 8) & (world["order_owners"] < 16)
        fright = float(world["vol_fast"])
        (wild if fright > 5 else calm if fright < 1 else []).append(world["order_lots"][mine].sum())
    assert min(len(calm), len(wild)) > 50
    assert np.mean(wild) < 0.7 * np.mean(calm)


def test_trend_followers_go_with_what_the_price_has_done():
    book = book_of("trending", 4)
    trades, mids = lived(book, 3600)
    agree = []
    for row in trades[trades[:, ladder.TAKER_OWNER] == TREND].tolist():
        now = row[ladder.TIME] // SECOND
        if now > 300:
            agree.append(sign_of(row) * (mids[now - 1] - mids[now - 120]) > 0)
    assert len(agree) > 100
    assert np.mean(agree) > 0.55


def test_takers_arrive_in_clusters_and_repeat_their_side():
    trades, _ = lived(book_of("mixed_day", 6), 3600)
    taken = trades[trades[:, ladder.TAKER_OWNER] != ARBITRAGE]
    first = np.concatenate(([True], taken[1:, ladder.TAKER] != taken[:-1, ladder.TAKER]))
    times, signs = taken[first, ladder.TIME] / SECOND, 1.0 - 2.0 * taken[first, ladder.SIDE]
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() > 1.2
    signs -= signs.mean()
    assert (signs[1:] * signs[:-1]).mean() / signs.var() > 0.15


def test_matched_sections_make_parents_that_differ_in_nothing_but_their_kind():
    shape = {
        "every_s": 60,
        "size": 4,
        "duration_s": 100,
        "child": 0.05,
        "passive": 0.2,
        "on_adverse": 0,
        "duration_spread": 0.3,
        "evenness": 0,
    }
    scenario = scenario_from({"informed": {**shape, "drift_bps": 0}, "splitters": shape}, "matched")
    assert not scenario.is_planted
    common = set(scenario.splitters.__struct_fields__)
    assert {name: getattr(scenario.informed, name) for name in common} == msgspec.structs.asdict(scenario.splitters)


def test_a_parent_keeps_its_slot_in_every_market_of_its_symbol():
    scenario = load_scenario("mixed_day")
    market = SyntheticMarket(3, scenario, symbols=("BTCUSDT",))
    market.advance(600 * SECOND)
    spot, usdm = (market.books[which, "BTCUSDT"].worlds[0] for which in (Market.SPOT, Market.USDM))
    for field in ("p_kind", "p_id", "p_side", "p_style", "p_start", "p_end", "efficient", "vol_mult"):
        factor = 10.0 if field == "efficient" else 1.0
        assert np.allclose(spot[field], factor * usdm[field])
    assert set(spot["p_style"]) <= {0, TWAP, POV, POISSON, ICEBERG, JITTERED}


def test_a_parent_too_slow_for_its_time_sends_nothing_rather_than_everything_at_once():
    """One lot in so many hours: the time to its first child is more than a number of nanoseconds holds."""
    splitters = msgspec.structs.replace(FIRST_RUN.splitters, every_s=2.0, size=1e-6, child=1000.0, child_spread=3.0, duration_s=80_000.0)
    slow = msgspec.structs.replace(splitters, twap=1.0, poisson=0.0, passive=0.0)
    informed = msgspec.structs.replace(FIRST_RUN.informed, every_s=0.0)
    book = book_of(msgspec.structs.replace(FIRST_RUN, splitters=slow, informed=informed), 3)
    book.advance(10 * SECOND)
    begun = book.worlds["p_lots"][0] > 0
    assert begun.any()
    assert (book.worlds["p_left"][0][begun] == book.worlds["p_lots"][0][begun]).all()

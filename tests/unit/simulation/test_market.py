"""The synthetic market: deterministic, sound at every step, and alive in the ways it promises."""

import hashlib

import numpy as np
import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation import ladder
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.tape import DepthCutter, TradeTape, levels_of, prints_of, touches_of

SECOND = 1_000_000_000
SPOT_BTC = (Market.SPOT, "BTCUSDT")
USDM_BTC = (Market.USDM, "BTCUSDT")


def digest(seed, cuts):
    market = SyntheticMarket(seed)
    hashes = {key: hashlib.sha256() for key in market.books}
    for cut in cuts:
        for key, rows in market.advance(cut).items():
            hashes[key].update(rows.tobytes())
    return {key: h.hexdigest() for key, h in hashes.items()}


def test_the_same_seed_gives_the_same_bytes_however_time_is_cut():
    whole = digest(11, [30 * SECOND])
    assert digest(11, [30 * SECOND]) == whole
    assert digest(11, range(0, 30 * SECOND + 1, 20_000_000)) == whole
    assert digest(11, [1, 7 * SECOND + 3, 7 * SECOND + 4, 29 * SECOND, 30 * SECOND]) == whole


def test_another_seed_gives_another_market():
    assert not set(digest(11, [5 * SECOND]).values()) & set(digest(12, [5 * SECOND]).values())


def test_spot_and_perpetual_follow_one_efficient_price_and_the_same_parents():
    market = SyntheticMarket(4, symbols=("BTCUSDT",))
    market.advance(400 * SECOND)
    spot, usdm = market.books[SPOT_BTC], market.books[USDM_BTC]
    spot_price = spot.efficient_ticks * float(spot.instrument.tick_size)
    assert usdm.efficient_ticks * float(usdm.instrument.tick_size) == pytest.approx(spot_price, rel=1e-12)
    columns = [ladder.KIND, ladder.TIME, ladder.ID, ladder.SIDE, ladder.TICK]
    told = [book.truth() for book in (spot, usdm)]
    spot_parents, usdm_parents = (truth[truth[:, ladder.KIND] <= ladder.PARENT_ENDED][:, columns].tolist() for truth in told)
    assert len(spot_parents) > 5
    assert spot_parents == usdm_parents
    middle = (spot.touch[0] + spot.touch[2]) / 2 * float(spot.instrument.tick_size)
    assert abs(middle / spot_price - 1) < 0.001


def test_public_rows_hold_no_truth_and_truth_is_told_once():
    market = SyntheticMarket(4, symbols=("BTCUSDT",))
    rows = market.advance(300 * SECOND)[SPOT_BTC]
    assert set(np.unique(rows[:, ladder.KIND])) == {ladder.TRADE, ladder.LEVEL, ladder.TOUCH}
    truth = market.books[SPOT_BTC].truth()
    assert {ladder.PARENT_STARTED, ladder.PARENT_ENDED} <= set(np.unique(truth[:, ladder.KIND])) <= set(range(8, 16))
    assert len(market.books[SPOT_BTC].truth()) == 0


@pytest.mark.parametrize("key", [SPOT_BTC, USDM_BTC, (Market.SPOT, "ETHUSDT"), (Market.USDM, "ETHUSDT")])
def test_the_book_stays_sound_and_is_the_fold_of_its_published_diffs(key):
    book = SyntheticMarket(9).books[key]
    cutter = DepthCutter(100_000_000, book.update_id)
    first = book.snapshot(5000)
    local = [dict(first.bids.tolist()), dict(first.asks.tolist())]
    last_id, published = first.update_id, 0
    for second in range(1, 61):
        rows = book.advance(second * SECOND)
        assert book.fault == 0
        for window in cutter.feed(levels_of(rows), second * SECOND):
            assert window.previous_id == last_id < window.first_id <= window.last_id
            if key[0] is Market.SPOT:
                assert window.first_id == last_id + 1
            last_id, published = window.last_id, published + 1
            for side, levels in ((0, window.bids), (1, window.asks)):
                for tick, lots in levels.tolist():
                    if lots:
                        local[side][tick] = lots
                    else:
                        local[side].pop(tick, None)
        snapshot = book.snapshot(5000)
        assert snapshot.update_id == last_id
        assert sorted(local[0].items(), reverse=True) == [tuple(level) for level in snapshot.bids.tolist()]
        assert sorted(local[1].items()) == [tuple(level) for level in snapshot.asks.tolist()]
    assert published > 400


def test_every_touch_agrees_with_the_book_folded_to_its_update_id():
    book = SyntheticMarket(9).books[SPOT_BTC]
    first = book.snapshot(5000)
    local = [dict(first.bids.tolist()), dict(first.asks.tolist())]
    rows = book.advance(20 * SECOND)
    touches = {touch.update_id: touch for touch in touches_of(rows)}
    checked = 0
    for row in levels_of(rows).tolist():
        side, tick, lots = row[ladder.SIDE], row[ladder.TICK], row[ladder.LOTS]
        if lots:
            local[side][tick] = lots
        else:
            local[side].pop(tick, None)
        touch = touches.get(row[ladder.ID])
        if touch is not None:
            checked += 1
            bid, ask = max(local[0]), min(local[1])
            assert (touch.bid_ticks, touch.bid_lots, touch.ask_ticks, touch.ask_lots) == (bid, local[0][bid], ask, local[1][ask])
    assert checked > 250


def test_money_and_lots_are_conserved_over_half_an_hour():
    market = SyntheticMarket(2, symbols=("BTCUSDT",))
    for step in range(1, 31):
        market.advance(step * 60 * SECOND)
        for book in market.books.values():
            assert book.fault == 0


@pytest.mark.parametrize("key", [SPOT_BTC, USDM_BTC])
def test_the_market_is_as_lively_and_liquid_as_a_first_run_needs(key):
    book = SyntheticMarket(21).books[key]
    per_bp = float(book.worlds["ticks_per_bp"][0])
    unit = float(book.worlds["lots_per_unit"][0])
    prints, middles, depths, one_tick = 0, [], [], 0
    for second in range(1, 1801):
        prints += len(prints_of(book.advance(second * SECOND)))
        bid, _, ask, _ = book.touch
        middles.append((bid + ask) / 2)
        one_tick += ask - bid == 1
        if second % 30 == 0:
            snapshot = book.snapshot(1000)
            depths.append(snapshot.bids[snapshot.bids[:, 0] > bid - 5 * per_bp, 1].sum() / unit)
            depths.append(snapshot.asks[snapshot.asks[:, 0] < ask + 5 * per_bp, 1].sum() / unit)
    assert 5 < prints / 1800 < 12
    assert 3 < np.diff(np.log(middles[::60])).std() * 1e4 < 12
    assert min(depths) > 3
    assert one_tick / 1800 > 0.8


def test_an_informed_parent_leans_on_the_flow_and_most_of_them_are_right():
    leaning, right, parents = [], 0, 0
    for seed in range(6):
        book = SyntheticMarket(seed, symbols=("BTCUSDT",)).books[USDM_BTC]
        rows = book.advance(1500 * SECOND)
        trades = rows[rows[:, ladder.KIND] == ladder.TRADE]
        truth = book.truth()
        begun = {r[ladder.ID]: r for r in truth.tolist() if r[ladder.KIND] == ladder.PARENT_STARTED and r[ladder.TICK] in {1, 2}}
        for row in truth.tolist():
            if row[ladder.KIND] != ladder.PARENT_ENDED or row[ladder.ID] not in begun:
                continue
            start = begun[row[ladder.ID]]
            sign = 1 if start[ladder.SIDE] == 0 else -1
            inside = trades[(trades[:, ladder.TIME] >= start[ladder.TIME]) & (trades[:, ladder.TIME] < row[ladder.TIME])]
            signs = np.where(inside[:, ladder.SIDE] == 0, 1, -1)
            leaning.append(sign * (signs * inside[:, ladder.LOTS]).sum() / inside[:, ladder.LOTS].sum())
            parents += 1
            right += start[ladder.TICK] == 1
    assert parents > 50
    assert np.mean(leaning) > 0.1
    assert 0.6 < right / parents < 0.95


def test_an_unknown_symbol_is_refused():
    with pytest.raises(ValueError, match="DOGEUSDT"):
        SyntheticMarket(1, symbols=("DOGEUSDT",))


def test_prints_of_one_taker_at_one_price_make_one_aggregate_and_candles_add_up():
    book = SyntheticMarket(3).books[SPOT_BTC]
    prints = prints_of(book.advance(300 * SECOND))
    tape = TradeTape(first_aggregate=10)
    aggregates = tape.feed(prints)
    assert [a.aggregate_id for a in aggregates] == list(range(10, 10 + len(aggregates)))
    assert sum(a.lots for a in aggregates) == sum(p.lots for p in prints) == sum(c.lots for c in tape.candles)
    assert len({(p.taker_order, p.ticks) for p in prints}) == len(aggregates)
    assert len(tape.prints) <= 1000
    assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in tape.candles)

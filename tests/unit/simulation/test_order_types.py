"""Each order type in the situation that shows what it is for."""

import numpy as np
import pytest

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation import entry, ladder, order_table
from smartmoney.simulation import matching as m
from smartmoney.simulation.client_orders import ALLOW_FAILURE, STOP_ON_FAILURE, NewOrder, place, place_list, place_pair, replace
from smartmoney.simulation.flow import WORLD
from smartmoney.simulation.invariants import CLIENT_POSITION, SOUND, VIOLATIONS, check, check_quickly
from smartmoney.simulation.ladder import ASK, BID
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_table import EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER, FALLS_TO, NO_STP, RISES_TO

P = 1_000_000
ME, OTHER = 200, 201
SECOND = 1_000_000_000

_world = np.zeros(1, WORLD)


@pytest.fixture
def book():
    """Give an empty book, and hold it to every invariant afterwards."""
    ladder.reset(_world[0], P, 1)
    yield _world[0]
    fault = check(_world[0])
    assert fault == SOUND, VIOLATIONS[int(fault)]
    assert check_quickly(_world[0]) == SOUND


def new(side, lots, tick=0, owner=ME, **more):
    return NewOrder(owner=owner, side=side, lots=lots, tick=tick, **more)


def rest(book, side, tick, lots, owner=OTHER, **more):
    placed = place(book, new(side, lots, tick, owner, **more))
    assert placed.status == m.RESTING
    return placed.order_id


def told(book, kind):
    rows = book["out"][: book["out_len"]]
    return rows[rows[:, ladder.KIND] == kind]


def fills(book):
    return told(book, ladder.TRADE)[:, [ladder.MAKER, ladder.TAKER, ladder.TICK, ladder.LOTS]].tolist()


def print_at(book, tick):
    """Make a trade of one lot at a tick between two others."""
    m.submit(book, ASK, tick, 1, m.GTC, m.MAY_TAKE, 1, 0)
    m.submit(book, BID, tick, 1, m.IOC, m.MAY_TAKE, 2, 0)


def test_a_stop_sells_at_market_once_a_trade_has_fallen_to_it_and_keeps_its_id(book):
    rest(book, BID, P - 5, 10)
    stop = place(book, new(ASK, 4, trigger=FALLS_TO, trigger_tick=P - 2))
    assert stop.status == entry.WAITING
    print_at(book, P - 1)
    assert book["position"][ME] == 0
    print_at(book, P - 2)
    assert book["position"][ME] == -4
    assert fills(book)[-1][1:] == [stop.order_id, P - 5, 4]
    assert told(book, ladder.ORDER_TRIGGERED)[0, [ladder.ID, ladder.TICK, ladder.LOTS]].tolist() == [stop.order_id, P - 2, 4]


def test_a_triggered_limit_order_rests_under_its_id_and_can_be_cancelled(book):
    stop = place(book, new(BID, 4, P + 1, trigger=RISES_TO, trigger_tick=P + 3))
    print_at(book, P + 3)
    assert ladder.lots_at(book, BID, P + 1) == 4
    assert m.cancel(book, stop.order_id) == 4
    assert m.cancel(book, stop.order_id) == m.UNKNOWN_ORDER


def test_a_trigger_that_the_last_trade_has_reached_already_is_refused(book):
    print_at(book, P)
    assert place(book, new(ASK, 4, trigger=FALLS_TO, trigger_tick=P)).status == entry.REJECTED_WOULD_TRIGGER
    assert place(book, new(ASK, 4, trigger=RISES_TO, trigger_tick=P)).status == entry.REJECTED_WOULD_TRIGGER
    assert book["s_used"] == 0


def test_a_take_profit_sells_when_the_price_has_risen(book):
    rest(book, BID, P - 1, 10)
    place(book, new(ASK, 4, trigger=RISES_TO, trigger_tick=P + 2))
    print_at(book, P + 2)
    assert book["position"][ME] == -4


def test_stops_trigger_nearest_first_then_oldest_first(book):
    rest(book, BID, P - 50, 100)
    ids = [place(book, new(ASK, 1, owner=192 + i, trigger=FALLS_TO, trigger_tick=P - at)).order_id for i, at in enumerate((5, 3, 5, 4))]
    m.submit(book, BID, P - 6, 1, m.GTC, m.MAY_TAKE, 1, 0)
    m.submit(book, ASK, P - 6, 1, m.IOC, m.MAY_TAKE, 2, 0)
    assert told(book, ladder.ORDER_TRIGGERED)[:, ladder.ID].tolist() == [ids[1], ids[3], ids[0], ids[2]]


def sell_below(book, tick):
    return m.place(book, ASK, m.MARKET_PRICE, 1, m.IOC, m.MAY_TAKE, 4, 0, order_table.NO_STP, m.ANY_POSITION, 0, FALLS_TO, tick)


def test_a_cascade_of_thousands_of_stops_runs_in_one_order_and_ends(book):
    count = 4000
    for i in range(count):
        m.submit(book, BID, P - i, 1, m.GTC, m.MAY_TAKE, 1, 0)
        book["out_len"] = 0
    for i in range(count - 1):
        assert sell_below(book, P - i) == entry.WAITING
    m.submit(book, ASK, m.MARKET_PRICE, 1, m.IOC, m.MAY_TAKE, 2, 0)
    while not m.settle(book):
        book["out_len"] = 0
    assert book["best_bid"] == -1
    assert book["s_used"] == 0
    assert book["position"][4] == 1 - count


def test_an_order_table_that_is_full_refuses(book):
    for _ in range(order_table.SPECIALS):
        assert sell_below(book, P - 9) == entry.WAITING
    assert sell_below(book, P - 9) == m.REJECTED_POOL_FULL
    assert m.submit(book, BID, P, 1, m.GTC, m.MAY_TAKE, 1, 0) == m.RESTING


def test_an_iceberg_shows_one_part_and_goes_to_the_back_with_each_refill(book):
    iceberg = rest(book, ASK, P, 10, display_lots=4)
    other = rest(book, ASK, P, 5, owner=9)
    assert ladder.lots_at(book, ASK, P) == 9
    assert book["lots_hidden"] == 6
    m.submit(book, BID, P, 12, m.IOC, m.MAY_TAKE, 2, 0)
    assert [(maker, lots) for maker, _, _, lots in fills(book)] == [(iceberg, 4), (other, 5), (iceberg, 3)]
    assert ladder.lots_at(book, ASK, P) == 1
    assert told(book, ladder.ORDER_REPLENISHED)[:, [ladder.LOTS, ladder.MAKER]].tolist() == [[4, 6]]
    assert m.cancel(book, iceberg) == 3


def test_an_iceberg_of_too_many_parts_is_refused(book):
    assert place(book, new(ASK, entry.PARTS_MAX * 2, P, display_lots=2)).status == m.RESTING
    assert place(book, new(ASK, entry.PARTS_MAX * 2 + 1, P, display_lots=2)).status == m.REJECTED_INPUT


def test_icebergs_cannot_fill_the_book_so_that_nothing_else_is_taken(book):
    statuses = [place(book, new(ASK, 100, P + i, display_lots=1)).status for i in range(90)]
    assert statuses.count(m.RESTING) == 82
    assert set(statuses[82:]) == {m.REJECTED_POOL_FULL}
    full = ladder.POOL + entry.PARTS_IN_BOOK_MAX + order_table.REDUCING
    assert 2 * full + 3 * order_table.SPECIALS + 16 <= ladder.OUT_ROWS
    assert place(book, new(BID, 1, P, owner=OTHER)).status == m.FILLED


def test_a_fill_or_kill_order_counts_hidden_lots(book):
    rest(book, ASK, P, 10, display_lots=2)
    assert place(book, new(BID, 11, P, tif=m.FOK)).status == m.EXPIRED
    assert place(book, new(BID, 10, P, tif=m.FOK)).status == m.FILLED


def test_a_reduce_only_order_is_refused_without_a_position_and_cut_to_it_otherwise(book):
    assert place(book, new(ASK, 4, P, reduce_only=True)).status == entry.REJECTED_REDUCE_ONLY
    rest(book, ASK, P, 6)
    place(book, new(BID, 6, P))
    assert place(book, new(BID, 4, P - 1, reduce_only=True)).status == entry.REJECTED_REDUCE_ONLY
    placed = place(book, new(ASK, 40, P + 1, reduce_only=True))
    assert ladder.lots_at(book, ASK, P + 1) == 6
    assert told(book, ladder.ORDER_REDUCED)[:, [ladder.ID, ladder.LOTS, ladder.MAKER]].tolist() == [[placed.order_id, 34, 6]]
    assert m.cancel(book, placed.order_id) == 6


def test_a_resting_reduce_only_order_shrinks_with_the_position_and_expires_with_it(book):
    rest(book, ASK, P, 6)
    place(book, new(BID, 6, P))
    resting = place(book, new(ASK, 6, P + 5, reduce_only=True)).order_id
    rest(book, BID, P - 1, 4)
    place(book, new(ASK, 4, P - 1))
    assert told(book, ladder.ORDER_REDUCED)[:, [ladder.ID, ladder.LOTS, ladder.MAKER]].tolist() == [[resting, 4, 2]]
    rest(book, BID, P - 1, 2)
    place(book, new(ASK, 2, P - 1))
    expired = told(book, ladder.ORDER_EXPIRED)[-1, [ladder.ID, ladder.TAKER]].tolist()
    assert expired == [resting, order_table.NOTHING_TO_REDUCE]
    assert book["best_ask"] == -1


def test_two_reduce_only_orders_hit_by_one_taker_never_flip_the_position(book):
    rest(book, ASK, P, 6)
    place(book, new(BID, 6, P))
    for tick in (P + 1, P + 2):
        rest(book, ASK, tick, 6, owner=ME, reduce_only=True)
    place(book, new(BID, 50, P + 9, owner=OTHER, tif=m.IOC))
    assert book["position"][ME] == 0


def test_a_reduce_only_stop_without_a_position_expires_when_it_triggers(book):
    stop = place(book, new(ASK, 4, trigger=FALLS_TO, trigger_tick=P, reduce_only=True))
    print_at(book, P)
    assert told(book, ladder.ORDER_EXPIRED)[0, [ladder.ID, ladder.TAKER]].tolist() == [stop.order_id, order_table.NOTHING_TO_REDUCE]


@pytest.mark.parametrize(
    ("stp", "status", "traded", "mine"),
    [(EXPIRE_TAKER, m.EXPIRED, 3, 5), (EXPIRE_MAKER, m.FILLED, 7, 0), (EXPIRE_BOTH, m.EXPIRED, 3, 0), (NO_STP, m.FILLED, 7, 1)],
)
def test_self_trade_prevention_expires_what_its_mode_says(book, stp, status, traded, mine):
    rest(book, ASK, P, 3)
    own = rest(book, ASK, P, 5, owner=ME)
    rest(book, ASK, P, 9)
    placed = place(book, new(BID, 7, P, tif=m.IOC, stp=stp))
    assert (placed.status, placed.filled) == (status, traded)
    assert max(0, m.cancel(book, own)) == mine


def oco(book, lots=5):
    pair = place_pair(book, new(ASK, lots, P + 5, post_only=True), new(ASK, lots, trigger=FALLS_TO, trigger_tick=P - 5))
    assert pair.status == m.RESTING
    return pair.order_ids


def test_a_partly_filled_limit_ends_the_stop_of_an_oco(book):
    limit, stop = oco(book)
    place(book, new(BID, 2, P + 5, owner=OTHER, tif=m.IOC))
    assert told(book, ladder.ORDER_EXPIRED)[0, [ladder.ID, ladder.TAKER]].tolist() == [stop, order_table.OTHER_ORDER]
    assert m.cancel(book, stop) == m.UNKNOWN_ORDER
    assert m.cancel(book, limit) == 3


def test_a_triggered_stop_ends_the_limit_of_an_oco(book):
    limit, _ = oco(book)
    print_at(book, P - 5)
    assert m.cancel(book, limit) == m.UNKNOWN_ORDER
    assert book["best_ask"] == -1


@pytest.mark.parametrize("leg", [0, 1])
def test_cancelling_one_leg_of_an_oco_withdraws_both(book, leg):
    ids = oco(book)
    assert m.cancel(book, ids[leg]) == 5
    assert sorted(told(book, ladder.ORDER_WITHDRAWN)[:, ladder.ID].tolist()) == sorted(ids)
    assert book["s_used"] == 0


def test_an_oco_stands_on_both_sides_of_the_last_trade_or_not_at_all(book):
    print_at(book, P + 5)
    limit = new(ASK, 5, P + 5, post_only=True)
    stop = new(ASK, 5, trigger=FALLS_TO, trigger_tick=P - 5)
    assert place_pair(book, limit, stop).status == entry.REJECTED_PRICES
    rest(book, BID, P + 7, 1)
    assert place_pair(book, new(ASK, 5, P + 6, post_only=True), stop).status == m.REJECTED_POST_ONLY
    assert place_pair(book, new(ASK, 5, P + 9), stop).status == m.REJECTED_INPUT
    assert place_pair(book, new(ASK, 5, P + 9, owner=OTHER, post_only=True), stop).status == m.REJECTED_INPUT
    assert book["s_used"] == 0


def otoco(book):
    exits = new(ASK, 6, P + 5, post_only=True), new(ASK, 6, trigger=FALLS_TO, trigger_tick=P - 5)
    placed = place_list(book, new(BID, 6, P), *exits)
    assert placed.working.status == m.RESTING
    return placed


def test_the_pair_of_an_otoco_is_placed_when_the_working_order_is_filled_whole(book):
    placed = otoco(book)
    place(book, new(ASK, 4, P, owner=OTHER))
    assert ladder.lots_at(book, ASK, P + 5) == 0
    place(book, new(ASK, 2, P, owner=OTHER))
    assert ladder.lots_at(book, ASK, P + 5) == 6
    rested = told(book, ladder.ORDER_RESTED)[-2:, [ladder.ID, ladder.TAKER]].tolist()
    assert rested == [[placed.pending_ids[0], 0], [placed.pending_ids[1], order_table.WAITS]]
    print_at(book, P - 5)
    assert ladder.lots_at(book, ASK, P + 5) == 0


def test_the_pair_of_an_otoco_whose_working_order_fills_at_once_is_placed_at_once(book):
    rest(book, ASK, P, 6)
    exits = new(ASK, 6, P + 5, post_only=True), new(ASK, 6, trigger=FALLS_TO, trigger_tick=P - 5)
    assert place_list(book, new(BID, 6, P), *exits).working.status == m.FILLED
    assert ladder.lots_at(book, ASK, P + 5) == 6


@pytest.mark.parametrize("which", [0, 1, 2])
def test_cancelling_any_order_of_an_otoco_withdraws_all_three(book, which):
    placed = otoco(book)
    ids = (placed.working.order_id, *placed.pending_ids)
    assert m.cancel(book, ids[which]) == 6
    assert book["s_used"] == 0
    assert book["live"] == 0


def test_a_pair_that_is_unacceptable_when_its_turn_comes_expires(book):
    otoco(book)
    rest(book, BID, P - 5, 1, owner=9)
    place(book, new(ASK, 7, P - 5, owner=OTHER))
    assert told(book, ladder.ORDER_EXPIRED)[:, ladder.TAKER].tolist() == [order_table.REFUSED, order_table.OTHER_ORDER]


def test_cancel_replace_stops_on_failure_or_goes_on(book):
    order = rest(book, BID, P, 5, owner=ME)
    done = replace(book, order, new(BID, 4, P - 1), STOP_ON_FAILURE)
    assert (done.cancelled, done.placed.status) == (5, m.RESTING)
    assert replace(book, order, new(BID, 3, P - 2), STOP_ON_FAILURE).placed is None
    failed = replace(book, order, new(BID, 3, P - 2), ALLOW_FAILURE)
    assert (failed.cancelled, failed.placed.status) == (m.UNKNOWN_ORDER, m.RESTING)


def test_an_amended_order_keeps_its_place_and_can_only_shrink(book):
    first, second = rest(book, ASK, P, 5), rest(book, ASK, P, 5, owner=9)
    assert m.amend(book, first, 5) == m.REJECTED_INPUT
    assert m.amend(book, first, 0) == m.REJECTED_INPUT
    assert m.amend(book, first, 2) == 2
    m.submit(book, BID, P, 4, m.IOC, m.MAY_TAKE, 2, 0)
    assert [(maker, lots) for maker, _, _, lots in fills(book)] == [(first, 2), (second, 2)]


def test_an_amended_iceberg_loses_hidden_lots_first(book):
    iceberg = rest(book, ASK, P, 10, display_lots=4)
    m.amend(book, iceberg, 5)
    assert (ladder.lots_at(book, ASK, P), int(book["lots_hidden"])) == (4, 1)
    m.amend(book, iceberg, 3)
    assert (ladder.lots_at(book, ASK, P), int(book["lots_hidden"])) == (3, 0)


def test_order_rows_are_for_clients_unless_the_book_tells_everything(book):
    m.submit(book, BID, P, 1, m.GTC, m.MAY_TAKE, 1, 0)
    assert len(told(book, ladder.ORDER_RESTED)) == 0
    book["tells"] = 1
    m.submit(book, BID, P, 1, m.GTC, m.MAY_TAKE, 1, 0)
    assert told(book, ladder.ORDER_RESTED)[:, ladder.MAKER_OWNER].tolist() == [1]


@pytest.fixture
def live():
    market = SyntheticMarket(4, symbols=("BTCUSDT",))
    book = market.books[Market.USDM, "BTCUSDT"]
    book.advance(20 * SECOND)
    return book


def test_a_client_trades_in_the_living_market_and_hears_of_its_own_orders_only(live):
    before, ask = live.position(ME), live.touch[2]
    bought = live.place(new(BID, 50))
    assert (bought.status, bought.filled) == (m.FILLED, 50)
    assert live.position(ME) == before + 50
    target = live.place(new(ASK, 50, ask + 3, reduce_only=True, display_lots=10))
    public = live.advance(60 * SECOND)
    assert public[0, ladder.TIME] == 20 * SECOND
    assert set(np.unique(public[:, ladder.KIND]).tolist()) <= {1, 2, 3}
    rows = live.client_rows()
    assert ((rows[:, ladder.MAKER_OWNER] == ME) | (rows[:, ladder.TAKER_OWNER] == ME)).all()
    assert target.order_id in rows[rows[:, ladder.KIND] == ladder.ORDER_RESTED][:, ladder.ID]
    assert len(live.client_rows()) == 0
    assert live.fault == 0


def test_client_orders_leave_the_market_the_same_however_time_is_cut():
    def run(cuts):
        book = SyntheticMarket(5, symbols=("BTCUSDT",)).books[Market.SPOT, "BTCUSDT"]
        parts = [book.advance(at) for at in (*cuts, 10 * SECOND)]
        bid, _, ask, _ = book.touch
        book.place(new(BID, 9_000))
        book.place(new(ASK, 9_000, trigger=FALLS_TO, trigger_tick=bid - 3))
        book.place_oco(new(ASK, 90, ask + 9, post_only=True), new(ASK, 90, trigger=FALLS_TO, trigger_tick=bid - 9))
        parts += [book.advance(10 * SECOND + at) for at in (*cuts, 30 * SECOND)]
        return np.concatenate(parts).tobytes(), book.client_rows().tobytes()

    assert run([]) == run([1, 3 * SECOND + 7, 9 * SECOND]) == run(range(SECOND // 10, 10 * SECOND, SECOND // 10))


@pytest.mark.parametrize(
    ("name", "fault"),
    [("lots_traded", 7), ("lots_hidden", 7), ("lots_waiting", 17), ("s_used", 13), ("rise_at", 14), ("reducing_count", 20)],
)
def test_a_broken_book_stops_the_market_and_names_what_is_broken(live, name, fault):
    live.place(new(BID, 5, trigger=RISES_TO, trigger_tick=live.touch[2] + 9000))
    live.worlds[name] += 1
    with pytest.raises(AssertionError, match=VIOLATIONS[fault]):
        live.place(new(BID, 1, 1))


def test_a_clients_position_is_held_against_its_trades(live):
    live.worlds["position"][0, ME] += 1
    live.worlds["position"][0, 0] -= 1
    with pytest.raises(AssertionError, match=VIOLATIONS[CLIENT_POSITION]):
        live.advance(61 * SECOND)


def test_a_cascade_that_does_not_fit_into_the_rows_pauses_and_goes_on_the_same():
    def run(room):
        ladder.reset(_world[0], P, 1)
        book, rows = _world[0], []
        for i in range(60):
            assert place(book, new(ASK, 2, P + 50 + i, trigger=FALLS_TO, trigger_tick=P)).status == entry.WAITING
        m.submit(book, BID, P, 1, m.GTC, m.MAY_TAKE, 1, 0)
        start = ladder.OUT_ROWS - room
        book["out_len"] = start
        assert m.submit(book, ASK, P, 1, m.IOC, m.MAY_TAKE, 2, 0) == m.FILLED
        pauses = 0
        while True:
            rows += book["out"][start : book["out_len"]].tolist()
            if book["due_head"] < 0:
                break
            pauses, start = pauses + 1, 0
            book["out_len"] = 0
            m.settle(book)
        assert check(book) == SOUND
        return pauses, rows

    needed = 2 * 1 + 3 * 60 + 16
    pauses, rows = run(needed)
    assert pauses == 1
    assert run(ladder.OUT_ROWS) == (0, rows)
    assert len(rows) == 2 + 60 + 2 * 60

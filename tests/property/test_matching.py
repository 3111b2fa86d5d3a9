"""Whatever orders arrive, the matching engine keeps price-time priority and loses nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.simulation import centring, ladder
from smartmoney.simulation import matching as m
from smartmoney.simulation.flow import WORLD
from smartmoney.simulation.invariants import SOUND, VIOLATIONS, check
from tests.examples import examples

CENTRE = 1_000_000
FAR = ladder.LADDER

_book = np.zeros(1, WORLD)


def fresh(stride=1):
    ladder.reset(_book[0], CENTRE, stride)
    return _book[0]


class NaiveBook:
    """The same rules as a plain list of orders, to compare with."""

    def __init__(self):
        self.orders = []

    def opposite(self, side, limit):
        found = [o for o in self.orders if o[1] != side and (o[2] <= limit if side == 0 else o[2] >= limit)]
        return sorted(found, key=lambda o: (o[2] if side == 0 else -o[2], o[0]))

    def submit(self, number, side, tick, lots, tif, post_only, owner):
        limit = tick or (10**15 if side == 0 else 0)
        queue = self.opposite(side, limit)
        if post_only and queue:
            return "post_only", []
        own = next((i for i, o in enumerate(queue) if owner >= 8 and o[4] == owner), len(queue))
        if tif == 2 and sum(o[3] for o in queue[:own]) < lots:
            return "expired", []
        fills, left = [], lots
        for order in queue[:own]:
            if left == 0:
                break
            part = min(left, order[3])
            fills.append((order[0], order[2], part))
            order[3] -= part
            left -= part
        self.orders = [o for o in self.orders if o[3] > 0]
        blocked = left > 0 and own < len(queue)
        if left and tif == 0 and not blocked:
            self.orders.append([number, side, tick, left, owner])
            return "resting", fills
        return "expired" if left else "filled", fills

    def levels(self, side):
        sums = {}
        for order in self.orders:
            if order[1] == side:
                sums[order[2]] = sums.get(order[2], 0) + order[3]
        return sorted(sums.items(), reverse=side == 0)


NAMES = {m.RESTING: "resting", m.FILLED: "filled", m.EXPIRED: "expired", m.REJECTED_POST_ONLY: "post_only"}

near = st.integers(-12, 12)
anywhere = st.one_of(near, near, near, st.integers(-3 * FAR, 3 * FAR))
orders = st.tuples(
    st.just("submit"),
    st.integers(0, 1),
    anywhere,
    st.integers(1, 50),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.booleans(),
    st.sampled_from([0, 0, 1, 8, 9]),
)
markets = st.tuples(st.just("market"), st.integers(0, 1), st.integers(1, 80), st.sampled_from([1, 2]), st.sampled_from([0, 8, 9]))
cancels = st.tuples(st.just("cancel"), st.integers(0, 1 << 30))
moves = st.tuples(st.just("recentre"), st.integers(-2 * FAR, 2 * FAR))


def top(book, side, count=400):
    ticks, lots = np.zeros(count, np.int64), np.zeros(count, np.int64)
    n = ladder.top(book, side, count, ticks, lots)
    return list(zip(ticks[:n].tolist(), lots[:n].tolist(), strict=True))


def trades(book):
    rows = book["out"][: book["out_len"]]
    return [(int(r[ladder.MAKER]), int(r[ladder.TICK]), int(r[ladder.LOTS])) for r in rows if r[ladder.KIND] == ladder.TRADE]


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.one_of(orders, orders, orders, markets, cancels, moves), max_size=60))
def test_the_engine_agrees_with_a_plain_list_of_orders_after_every_step(steps):
    book, naive = fresh(), NaiveBook()
    levels = ({}, {})
    for step in steps:
        book["out_len"] = 0
        if step[0] == "recentre":
            centring.recentre(book, CENTRE + step[1])
        elif step[0] == "cancel":
            if naive.orders:
                order = naive.orders.pop(step[1] % len(naive.orders))
                assert m.cancel(book, order[0]) == order[3]
                assert m.cancel(book, order[0]) == m.UNKNOWN_ORDER
        else:
            if step[0] == "submit":
                _, side, tick, lots, tif, post_only, owner = step
                tick, post_only = tick + CENTRE, post_only and tif == 0
            else:
                _, side, lots, tif, owner = step
                tick, post_only = 0, False
            status = m.submit(book, side, tick, lots, tif, int(post_only), owner, 0)
            outcome, fills = naive.submit(int(book["order_id"]), side, tick, lots, tif, post_only, owner)
            assert NAMES[status] == outcome
            assert trades(book) == fills
            assert int(book["filled"]) == sum(part for _, _, part in fills)
        fault = check(book)
        assert fault == SOUND, VIOLATIONS[fault]
        for side in (0, 1):
            assert top(book, side) == naive.levels(side)
        for row in book["out"][: book["out_len"]].tolist():
            if row[ladder.KIND] == ladder.LEVEL:
                levels[row[ladder.SIDE]][row[ladder.TICK]] = row[ladder.LOTS]
        for side in (0, 1):
            assert {t: q for t, q in levels[side].items() if q} == dict(naive.levels(side))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 400))
def test_a_fill_or_kill_order_fills_whole_or_not_at_all(sizes, lots):
    book = fresh()
    for i, size in enumerate(sizes):
        m.submit(book, ladder.ASK, CENTRE + i, size, m.GTC, m.POST_ONLY, 0, 0)
    status = m.submit(book, ladder.BID, CENTRE + len(sizes), lots, m.FOK, m.MAY_TAKE, 1, 0)
    assert int(book["filled"]) == (lots if status == m.FILLED else 0)
    assert (status == m.FILLED) == (lots <= sum(sizes))


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_a_post_only_order_never_takes(ask, bid):
    book = fresh()
    m.submit(book, ladder.ASK, CENTRE + ask, 10, m.GTC, m.POST_ONLY, 0, 0)
    status = m.submit(book, ladder.BID, CENTRE + bid, 10, m.GTC, m.POST_ONLY, 0, 0)
    assert (status == m.REJECTED_POST_ONLY) == (bid >= ask)
    assert int(book["trade_id"]) == 0
    assert check(book) == SOUND


@pytest.mark.parametrize(
    ("side", "tick", "lots", "tif", "post_only", "owner"),
    [
        (2, CENTRE, 1, 0, 0, 0),
        (-1, CENTRE, 1, 0, 0, 0),
        (0, CENTRE, 0, 0, 0, 0),
        (0, CENTRE, -5, 0, 0, 0),
        (0, -1, 1, 0, 0, 0),
        (0, ladder.MAX_TICK + 1, 1, 0, 0, 0),
        (0, 0, 1, 0, 0, 0),
        (0, CENTRE, 1, 3, 0, 0),
        (0, CENTRE, 1, 1, 1, 0),
        (0, CENTRE, 1, 0, 0, ladder.OWNERS),
        (0, CENTRE, 1, 0, 0, -1),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_and_changes_nothing(side, tick, lots, tif, post_only, owner):
    book = fresh()
    assert m.submit(book, side, tick, lots, tif, post_only, owner, 0) == m.REJECTED_INPUT
    assert int(book["out_len"]) == 0
    assert check(book) == SOUND


def test_a_full_pool_refuses_orders_that_could_rest_and_still_takes_market_orders():
    book = fresh()
    for i in range(ladder.POOL):
        book["out_len"] = 0
        assert m.submit(book, ladder.BID, CENTRE - i % 50, 1, m.GTC, m.POST_ONLY, 0, 0) == m.RESTING
    book["out_len"] = 0
    assert m.submit(book, ladder.BID, CENTRE, 1, m.GTC, m.POST_ONLY, 0, 0) == m.REJECTED_POOL_FULL
    assert m.submit(book, ladder.ASK, m.MARKET_PRICE, 1, m.IOC, m.MAY_TAKE, 1, 0) == m.FILLED
    assert m.submit(book, ladder.BID, CENTRE, 1, m.GTC, m.POST_ONLY, 0, 0) == m.RESTING
    assert check(book) == SOUND


def test_an_undrained_event_array_refuses_orders_instead_of_losing_events():
    book = fresh()
    first = ladder.OUT_ROWS - 10_000  # as if what came before were not drained either
    book["out_len"] = first
    while (status := m.submit(book, ladder.BID, CENTRE, 1, m.GTC, m.POST_ONLY, 0, 0)) == m.RESTING:
        assert m.cancel(book, book["order_id"]) == 1
    assert status == m.REJECTED_NO_ROOM
    changes = book["out"][first : book["out_len"], ladder.LOTS]
    assert len(changes) > 1000
    assert changes.tolist() == [1, 0] * (len(changes) // 2)
    book["out_len"] = 0
    assert m.submit(book, ladder.BID, CENTRE, 1, m.GTC, m.POST_ONLY, 0, 0) == m.RESTING
    assert check(book) == SOUND


@given(st.integers(2, 64))
def test_update_ids_rise_by_one_without_a_stride_and_leave_holes_with_one(stride):
    for chosen in (1, stride):
        book = fresh(chosen)
        for i in range(50):
            m.submit(book, ladder.BID, CENTRE - i, 1, m.GTC, m.POST_ONLY, 0, 0)
        steps = np.diff(book["out"][: book["out_len"], ladder.ID])
        assert steps.min() >= 1
        assert steps.max() <= chosen

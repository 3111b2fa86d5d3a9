"""Whatever mix of order types arrives, the engine and the plain reference trade the same, hold the same and stay sound."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.simulation import entry, ladder
from smartmoney.simulation import matching as m
from smartmoney.simulation.flow import WORLD
from smartmoney.simulation.invariants import SOUND, VIOLATIONS, check, check_quickly
from tests.examples import examples

from .reference_book import FALLS, GTC, RISES, Order, ReferenceBook

CENTRE = 1_000_000
_book = np.zeros(1, WORLD)

side, near, lots = st.integers(0, 1), st.integers(-6, 6), st.integers(1, 30)
owner = st.sampled_from([8, 9, 200])
stp = st.integers(0, 3)


@st.composite
def orders(draw, *, may_trigger=True):
    """Draw any order that makes sense."""
    is_market = draw(st.integers(0, 4)) == 0
    tif = draw(st.sampled_from([1, 2] if is_market else [0, 0, 0, 1, 2]))
    trigger = draw(st.sampled_from([0, 0, RISES, FALLS])) if may_trigger else 0
    size = draw(lots)
    return Order(
        side=draw(side),
        tick=0 if is_market else CENTRE + draw(near),
        lots=size,
        owner=draw(owner),
        tif=tif,
        post_only=tif == GTC and draw(st.integers(0, 3)) == 0,
        stp=draw(stp),
        reduce_only=draw(st.integers(0, 3)) == 0,
        display=draw(st.integers(0, size)) if tif == GTC and draw(st.booleans()) else 0,
        trigger=trigger,
        at=CENTRE + draw(near) if trigger else 0,
    )


@st.composite
def pairs(draw, of=None, at=None):
    """Draw two orders of one side and owner, on both sides of a price: a limit maker or a take-profit, and a stop."""
    whose, which, size = draw(owner) if of is None else of, draw(side), draw(lots)
    middle = CENTRE + draw(near)
    up, down = (middle + draw(st.integers(1, 8)) for _ in range(2))
    down = 2 * middle - down
    limit, stop = (down, up) if which == 0 else (up, down)
    stops = RISES if which == 0 else FALLS
    ends = draw(st.sampled_from([0, CENTRE + 20 if which == 0 else CENTRE - 20]))
    second = Order(which, ends, size, whose, tif=GTC if ends else 1, trigger=stops, at=stop)
    if draw(st.booleans()):
        return Order(which, limit, size, whose, post_only=True), second
    return Order(which, 0, size, whose, tif=1, trigger=FALLS if which == 0 else RISES, at=limit), second


@st.composite
def lists(draw):
    """Draw a working limit order and a pair of the same owner."""
    working = draw(orders(may_trigger=False).filter(lambda o: o.tick != 0))
    return (working, *draw(pairs(of=working.owner)))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), orders()),
        st.tuples(st.just("place"), orders()),
        st.tuples(st.just("place"), orders()),
        st.tuples(st.just("pair"), pairs()),
        st.tuples(st.just("list"), lists()),
        st.tuples(st.just("cancel"), st.integers(0, 99)),
        st.tuples(st.just("amend"), st.tuples(st.integers(0, 99), st.integers(0, 30))),
    ),
    max_size=40,
)


def held(book, o):
    plain = (o.side, o.tick, o.lots, o.tif, int(o.post_only), o.owner, 0)
    number = int(entry.hold(book, *plain, o.stp, int(o.reduce_only), o.display, o.trigger, o.at))
    assert number > 0
    o.number = number
    return number


def act(book, reference, step, argument):
    """Do one step in both books and compare what they answer."""
    if step == "place":
        assert entry.let_act(book, held(book, argument)) == reference.place(argument)
    elif step == "pair":
        assert entry.let_act_pair(book, *(held(book, o) for o in argument)) == reference.place_pair(*argument)
    elif step == "list":
        assert entry.let_act_list(book, *(held(book, o) for o in argument)) == reference.place_list(*argument)
    else:
        number = argument if step == "cancel" else argument[0]
        known = list(reference.orders)
        chosen = known[number % len(known)] if known else 77
        if step == "cancel":
            assert m.cancel(book, chosen) == reference.cancel(chosen)
        else:
            assert m.amend(book, chosen, argument[1]) == reference.amend(chosen, argument[1])


def shown(book, which):
    ticks, sizes = np.zeros(400, np.int64), np.zeros(400, np.int64)
    count = ladder.top(book, which, 400, ticks, sizes)
    return dict(zip(ticks[:count].tolist(), sizes[:count].tolist(), strict=True))


def trades(book):
    rows = book["out"][: book["out_len"]]
    rows = rows[rows[:, ladder.KIND] == ladder.TRADE]
    return [tuple(row) for row in rows[:, [ladder.MAKER, ladder.TAKER, ladder.TICK, ladder.LOTS]].tolist()]


def queue(book, which, tick):
    found, slot = [], int(ladder.first_at(book, tick))
    while slot >= 0:
        s = int(book["order_special"][slot]) - 1
        found.append((int(book["order_ids"][slot]), int(book["order_lots"][slot]), int(book["s_hidden"][s])))
        slot = int(ladder.following_at(book, slot, tick))
    return found


def compare(book, reference):
    """Compare everything that both know."""
    for fault in (check(book), check_quickly(book)):
        assert fault == SOUND, VIOLATIONS[int(fault)]
    for which in (0, 1):
        queues = {tick: q for tick, q in reference.levels[which].items() if q}
        assert shown(book, which) == {tick: sum(o.shown for o in q) for tick, q in queues.items()}
        for tick, q in queues.items():
            assert queue(book, which, tick) == [(o.number, o.shown, o.hidden) for o in q]
    assert int(book["s_used"]) == len(reference.orders)
    assert {o.number for o in reference.stops} == {
        int(book["s_id"][s]) for h in (0, 1) for s in book["heap"][h, : book["heap_count"][h]].tolist()
    }
    assert {k: int(book["position"][k]) for k in (8, 9, 200)} == {k: reference.position.get(k, 0) for k in (8, 9, 200)}


@settings(max_examples=examples(150), deadline=None)
@given(steps)
def test_the_engine_agrees_with_the_reference_after_every_step(sequence):
    ladder.reset(_book[0], CENTRE, 1)
    book, reference = _book[0], ReferenceBook()
    levels = ({}, {})
    for step, argument in sequence:
        book["out_len"] = 0
        reference.trades.clear()
        act(book, reference, step, argument)
        assert trades(book) == reference.trades
        compare(book, reference)
        for row in book["out"][: book["out_len"]].tolist():
            if row[ladder.KIND] == ladder.LEVEL:
                levels[row[ladder.SIDE]][row[ladder.TICK]] = row[ladder.LOTS]
        for which in (0, 1):
            assert {tick: size for tick, size in levels[which].items() if size} == shown(book, which)

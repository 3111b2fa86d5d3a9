"""Generate an oracle world: draw its hidden chain and its takers exactly, and let them trade in a real book against makers.

`run` is one compiled next-event loop (thinning for what excites itself, certain times for a target's children and for refills). Takers,
hidden chain and refills draw from `words`; sizes, makers and crowd from `maker_words`, and look at the book and at public orders only.
So the order flow is the same with a book and without one (`has_book` 0), which is how long quiet stretches are scored quickly.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.fair import FIRST_MAKER, NOISE
from smartmoney.simulation.ladder import ASK, BID, CROWD, OUT_ROWS, emit_touch, first_at, reset
from smartmoney.simulation.matching import GTC, IOC, MARKET_PRICE, MAY_TAKE, NO_PARENT, POST_ONLY, RESTING, cancel, submit
from smartmoney.simulation.oracle_filter import survival
from smartmoney.simulation.oracle_world import (
    ACTIVITIES,
    ASK_LEFT,
    ASK_REFILLED,
    BID_LEFT,
    BID_REFILLED,
    EXCITATIONS,
    LAW_FIELDS,
    MEMORYLESS,
    REFILLER,
    RENEWAL,
    SPLITTERS,
    OracleWorld,
    fill_law,
    stationary_splitters,
)
from smartmoney.simulation.parents import FIRST_PARENT_OWNER
from smartmoney.simulation.random import draw, exponential, normal, seed_stream

SLOTS = 256
"""Refills that may be awaited, or rest, at once."""
LAYERS = 10
EVENT_ROWS = 1 << 16
TARGET_PARENT = int64(1)
SPLITTER_OWNER = int64(FIRST_PARENT_OWNER + 1)
"""Owner of the hidden splitters of the buy side; those of the sell side are one owner on. The target is `FIRST_PARENT_OWNER`."""

FLOW = np.dtype(
    [
        *LAW_FIELDS,
        ("words", "u8", (4,)),
        ("maker_words", "u8", (4,)),
        ("clock", "f8"),
        ("pending_at", "f8"),
        ("pending_rate", "f8"),
        ("bound", "f8", (2,)),
        ("hawkes", "f8", (2, EXCITATIONS)),
        ("splitters", "i8", (2,)),
        ("activity", "i8"),
        ("side", "i8"),
        ("starts_at", "i8"),
        ("ends_at", "i8"),
        ("child_at", "i8"),
        ("fault", "i8"),
        ("len", "i8"),
        ("slot_first", "i8"),
        ("slot_count", "i8"),
        ("slot_at", "i8", (SLOTS,)),
        ("slot_side", "i8", (SLOTS,)),
        ("slot_tick", "i8", (SLOTS,)),
        ("slot_lots", "i8", (SLOTS,)),
        ("has_book", "i8"),
        ("requote_at", "i8"),
        ("fair", "f8"),
        ("lots_per_unit", "f8"),
        ("ticks_per_bp", "f8"),
        ("quotes", "i8", (2, LAYERS)),
        ("refills", "i8", (SLOTS,)),
        ("refill_count", "i8"),
    ],
    align=True,
)
"""The state of a generator. `starts_at` and `ends_at` bound the target's window."""

_NEVER = int64(1 << 62)
_REQUOTES_PER_S = 8.0
_CROWD_TARGET = 120
_SIZE = 0.012
_SIZE_SPREAD = 1.0
_SIZE_MAX = 0.5
_LAYER = 0.8
_IMPACT_BPS = 0.25
_NOISE_BPS = 0.12
_ONE_LOT = int64(1)
_NOBODY = int64(-1)


def open_flow(world: OracleWorld, seed: int, *, under_h1: bool, side: int, starts_ns: int, ends_ns: int) -> npt.NDArray[Any]:
    """Return a generator (an array of one record) without a book, its hidden chain drawn from the long run."""
    flows = np.zeros(1, FLOW)
    o = flows[0]
    fill_law(o, world, under_h1=under_h1)
    seed_stream(o["words"], seed, 1 << 40)
    seed_stream(o["maker_words"], seed, (1 << 40) + 1)
    counts = np.cumsum(stationary_splitters(world))
    o["splitters"] = [min(int(np.searchsorted(counts, draw(o["words"]), side="right")), SPLITTERS - 1) for _ in range(2)]
    o["activity"] = int(draw(o["words"]) * ACTIVITIES)
    o["side"], o["starts_at"], o["ends_at"] = side, starts_ns, ends_ns
    o["pending_at"], o["requote_at"], o["child_at"] = -1.0, _NEVER, _NEVER
    if o["style"] == RENEWAL:
        o["child_at"] = starts_ns + round(1e9 * float(first_distance(flows)))
    elif o["style"] == MEMORYLESS:
        o["child_at"] = starts_ns + round(1e9 * float(exponential(o["words"]) / o["target_per_s"]))
    return flows


@entry
def first_distance(flows: npt.NDArray[Any]) -> float:
    """Draw the time from a target's start to its first child: what is left of a distance in full swing (equilibrium)."""
    o = flows[0]
    u = draw(o.words)
    low, high = 0.0, o.longest_s
    for _ in range(80):
        middle = 0.5 * (low + high)
        if survival(o, middle, 1) > u:
            low = middle
        else:
            high = middle
    return low


@entry
def open_book(b: Any, flows: npt.NDArray[Any], anchor_tick: int, update_stride: int) -> None:
    """Give a generator a book: an empty one around a tick, filled with the makers' first quotes and a crowd."""
    o = flows[0]
    reset(b, anchor_tick, update_stride)
    o.has_book = 1
    o.fair = float(anchor_tick)
    o.requote_at = int(1e9 * exponential(o.maker_words) / _REQUOTES_PER_S)
    _requote(b, o)
    for _ in range(_CROWD_TARGET):
        _crowd(b, o)
    b.out_len = 0


@entry
def run(b: Any, flows: npt.NDArray[Any], until: int, events: npt.NDArray[np.int64]) -> bool:
    """Run to a time in ns and return True, or False when `b.out` or `events` must be drained first (`b.out_len`, `len` to 0; call again).

    `events` gets rows of (time, kind, owner, parent): the public events, in order, and whose they were.
    """
    o = flows[0]
    while True:
        if o.len + 4 > events.shape[0] or (o.has_book == 1 and OUT_ROWS - b.out_len < 4 * b.live + 512):
            return False
        if o.pending_at < 0.0:
            o.pending_rate = _total_rate(o)
            o.pending_at = o.clock + exponential(o.words) / o.pending_rate
        drawn_at = int(o.pending_at * 1e9)
        slot_at = o.slot_at[o.slot_first] if o.slot_count > 0 else _NEVER
        if drawn_at == slot_at:
            # One nanosecond holds one public thing, so that a reader of the feed can tell refills from takers.
            drawn_at += 1
        child_at = o.child_at if o.child_at < o.ends_at else _NEVER
        if child_at == slot_at and child_at != _NEVER:
            child_at += 1
        if o.slot_count > 0 and o.requote_at != _NEVER:
            # Makers wait for refills that are due, so that a refill always finds its price uncrossed.
            last = o.slot_at[(o.slot_first + o.slot_count - 1) % SLOTS]
            o.requote_at = max(o.requote_at, last + 1)
        at = min(drawn_at, slot_at, child_at, o.requote_at)
        if at > until:
            return True
        if o.has_book == 1:
            b.now = at
        if at == slot_at:
            _fill_up(b, o, events)
        elif at == child_at:
            _decay(o, at * 1e-9)
            _taker(b, o, events, at, o.side, FIRST_PARENT_OWNER, TARGET_PARENT)
            o.child_at = at + int(1e9 * _distance(o))
            o.pending_at = -1.0
        elif at == drawn_at:
            o.pending_at = -1.0
            _decay(o, at * 1e-9)
            _drawn(b, o, events, at)
        else:
            _requote(b, o)
            _crowd(b, o)
            o.requote_at = at + 1 + int(1e9 * exponential(o.maker_words) / _REQUOTES_PER_S)
        if o.has_book == 1:
            emit_touch(b)


@inner
def _distance(o: Any) -> Any:
    if o.style == MEMORYLESS:
        return exponential(o.words) / o.target_per_s
    return o.shortest_s + (o.longest_s - o.shortest_s) * draw(o.words)


@inner
def _total_rate(o: Any) -> Any:
    total = 2.0 * o.base_per_s * o.levels[o.activity]
    for side in range(2):
        o.bound[side] = o.hawkes[side, 0] + o.hawkes[side, 1]
        total += o.bound[side] + o.splitters[side] * (o.splitter_per_s + o.death_per_s)
        if o.splitters[side] < SPLITTERS - 1:
            total += o.birth_per_s
    total += o.switch_per_s if o.activity in (0, ACTIVITIES - 1) else 2.0 * o.switch_per_s
    return total


@inner
def _decay(o: Any, at: float) -> None:
    dt = at - o.clock
    for e in range(EXCITATIONS):
        shrink = math.exp(-o.decay_per_s[e] * dt)
        o.hawkes[0, e] *= shrink
        o.hawkes[1, e] *= shrink
    o.clock = at


@inner
def _drawn(b: Any, o: Any, events: npt.NDArray[np.int64], at: int) -> None:
    pick = draw(o.words) * o.pending_rate
    for side in range(2):
        pick -= o.splitters[side] * o.death_per_s
        if pick < 0.0:
            o.splitters[side] -= 1
            return
        if o.splitters[side] < SPLITTERS - 1:
            pick -= o.birth_per_s
            if pick < 0.0:
                o.splitters[side] += 1
                return
    for step in (-1, 1):
        if 0 <= o.activity + step < ACTIVITIES:
            pick -= o.switch_per_s
            if pick < 0.0:
                o.activity += step
                return
    for side in (BID, ASK):
        pick -= o.splitters[side] * o.splitter_per_s
        if pick < 0.0:
            _taker(b, o, events, at, side, SPLITTER_OWNER + side, NO_PARENT)
            return
        pick -= o.base_per_s * o.levels[o.activity]
        if pick < 0.0:
            _taker(b, o, events, at, side, NOISE, NO_PARENT)
            return
        # The bound was right when it was drawn; thinning keeps the share that the decayed excitation still has.
        if pick < o.bound[side]:
            if pick < o.hawkes[side, 0] + o.hawkes[side, 1]:
                _taker(b, o, events, at, side, NOISE, NO_PARENT)
            return
        pick -= o.bound[side]


@inner
def _note(o: Any, events: npt.NDArray[np.int64], at: int, kind: int, owner: int, parent: int) -> None:
    events[o.len, 0] = at
    events[o.len, 1] = kind
    events[o.len, 2] = owner
    events[o.len, 3] = parent
    o.len += 1


@inner
def _taker(b: Any, o: Any, events: npt.NDArray[np.int64], at: int, side: int, owner: int, parent: int) -> None:
    _note(o, events, at, side, owner, parent)
    for e in range(EXCITATIONS):
        o.hawkes[side, e] += o.excite_self[e] * o.decay_per_s[e]
        o.hawkes[1 - side, e] += o.excite_cross[e] * o.decay_per_s[e]
    tick = _ONE_LOT
    lots = _ONE_LOT
    if o.has_book == 1:
        units = min(_SIZE * math.exp(_SIZE_SPREAD * normal(o.maker_words)), _SIZE_MAX)
        lots = max(_ONE_LOT, int(units * o.lots_per_unit))
        tick = b.best_ask if side == BID else b.best_bid
        submit(b, side, MARKET_PRICE, lots, IOC, MAY_TAKE, owner, parent)
        if b.filled == 0:
            o.fault = 1
        push = _IMPACT_BPS * o.ticks_per_bp * min(1.0, units / _SIZE / 3.0)
        o.fair += push if side == BID else -push
    if o.refill_base > 0.0 or o.refill_splitter > 0.0 or o.refill_target > 0.0:
        if o.slot_count >= SLOTS:
            o.fault = 2
            return
        k = (o.slot_first + o.slot_count) % SLOTS
        o.slot_at[k] = at + o.refill_ns
        o.slot_side[k] = 1 - side
        o.slot_tick[k] = tick
        o.slot_lots[k] = lots
        o.slot_count += 1


@inner
def _fill_up(b: Any, o: Any, events: npt.NDArray[np.int64]) -> None:
    """Decide whether the price that a taker ate is filled up again, and by whom: the first of makers, splitters, target who will."""
    k = o.slot_first
    o.slot_first = (k + 1) % SLOTS
    o.slot_count -= 1
    side, at = o.slot_side[k], o.slot_at[k]
    owner, parent = _refiller(o, side, at)
    filled, left = (BID_REFILLED, BID_LEFT) if side == BID else (ASK_REFILLED, ASK_LEFT)
    if owner < 0:
        _note(o, events, at, left, owner, parent)
        return
    _note(o, events, at, filled, owner, parent)
    if o.has_book == 1:
        status = submit(b, side, o.slot_tick[k], o.slot_lots[k], GTC, POST_ONLY, owner, parent)
        if status != RESTING or o.refill_count >= SLOTS:
            o.fault = 3
            return
        o.refills[o.refill_count] = b.order_id
        o.refill_count += 1


@inner
def _refiller(o: Any, side: int, at: int) -> Any:
    is_on = o.style == REFILLER and side == o.side and o.starts_at <= at < o.ends_at
    found = (_NOBODY, NO_PARENT)
    if draw(o.words) < o.refill_base:
        found = (FIRST_MAKER, NO_PARENT)
    for _ in range(o.splitters[side]):
        if draw(o.words) < o.refill_splitter and found[0] < 0:
            found = (SPLITTER_OWNER + side, NO_PARENT)
    if is_on and draw(o.words) < o.refill_target and found[0] < 0:
        found = (FIRST_PARENT_OWNER, TARGET_PARENT)
    return found


@inner
def _requote(b: Any, o: Any) -> None:
    """Pull every quote and refill, and stand around the price that public orders and noise have moved."""
    o.fair += _NOISE_BPS * o.ticks_per_bp * normal(o.maker_words)
    for side in range(2):
        for j in range(LAYERS):
            cancel(b, o.quotes[side, j])
            o.quotes[side, j] = 0
    for k in range(o.refill_count):
        cancel(b, o.refills[k])
    o.refill_count = 0
    bid = max(int(LAYERS * LAYERS), math.floor(o.fair))
    _clear(b, BID, bid + 1)
    _clear(b, ASK, bid)
    for side in (BID, ASK):
        for j in range(LAYERS):
            away = int(0.15 * j * j * o.ticks_per_bp)
            units = _LAYER * math.exp(0.5 * normal(o.maker_words))
            tick = bid - away if side == BID else bid + 1 + away
            if submit(b, side, tick, max(_ONE_LOT, int(units * o.lots_per_unit)), GTC, POST_ONLY, FIRST_MAKER, NO_PARENT) == RESTING:
                o.quotes[side, j] = b.order_id


@inner
def _clear(b: Any, side: int, limit: int) -> None:
    """Withdraw the crowd's orders that would stand at a limit or beyond it, in the way of the makers of the other side."""
    for _ in range(4096):
        best = b.best_bid if side == BID else b.best_ask
        if best < 0 or (best < limit if side == BID else best > limit):
            return
        cancel(b, b.order_ids[first_at(b, best)])


@inner
def _crowd(b: Any, o: Any) -> None:
    words = o.maker_words
    if b.crowd_count >= _CROWD_TARGET:
        cancel(b, b.order_ids[b.crowd[int(draw(words) * b.crowd_count)]])
    side = BID if draw(words) < 0.5 else ASK
    away = int(3.0 * exponential(words) * o.ticks_per_bp)
    tick = b.best_bid - away if side == BID else b.best_ask + away
    units = 0.05 * exponential(words)
    if tick > 0:
        submit(b, side, tick, max(_ONE_LOT, int(units * o.lots_per_unit)), GTC, POST_ONLY, CROWD, NO_PARENT)

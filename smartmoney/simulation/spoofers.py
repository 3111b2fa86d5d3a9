"""Spoofers: layered walls that are never meant to trade, gone when the price nears, and a small real order on the other side."""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.fair import best_of, lots_of
from smartmoney.simulation.ladder import ASK, BID, NIL, SPOOF, emit, slot_of
from smartmoney.simulation.latent import wait
from smartmoney.simulation.matching import NO_PARENT, cancel_plain
from smartmoney.simulation.random import draw, exponential
from smartmoney.simulation.requests import FIRST_REAL, FIRST_WALL, JOIN, SPOOFERS, WALL_LAYERS, ask

FIRST_SPOOFER = int64(16)

SPOOF_FIELDS: list[Any] = [
    ("spoof_at", "i8"),
    ("spoof_seq", "i8"),
    ("spoof_ids", "i8", (SPOOFERS,)),
    ("spoof_sides", "i8", (SPOOFERS,)),
    ("spoof_until", "i8", (SPOOFERS,)),
    ("spoof_lots", "i8", (SPOOFERS,)),
    ("spoof_first", "i8", (SPOOFERS,)),
]
"""Per spoofer: its wall's number (0: none), side, end, lots and first tick."""


@inner
def start_spoofers(b: Any) -> None:
    """Plan the first wall."""
    b.spoof_ids[:] = 0
    b.spoof_seq = 0
    b.spoof_at = wait(b.spoofers_every_s, exponential(b.words4))


@inner
def watch_walls(b: Any) -> None:
    """Take walls down when their time is over, their real order is done, or the price is near; put a new one up. On the latent grid."""
    for k in range(SPOOFERS):
        if b.spoof_ids[k] == 0:
            continue
        if b.now >= b.spoof_until[k] or slot_of(b, b.kept[FIRST_REAL + k]) < 0 or _is_near(b, k, best_of(b, b.spoof_sides[k])):
            _take_down(b, k)
    if b.now >= b.spoof_at:
        b.spoof_at = b.now + wait(b.spoofers_every_s, exponential(b.words4))
        for k in range(SPOOFERS):
            if b.spoof_ids[k] == 0:
                _put_up(b, k)
                return


@inner
def flee(b: Any, bid: int, ask: int) -> None:
    """Take down the walls that new best prices would come near to; called before makers re-quote there."""
    for k in range(SPOOFERS):
        if b.spoof_ids[k] != 0 and _is_near(b, k, bid if b.spoof_sides[k] == BID else ask):
            _take_down(b, k)


@inner
def _is_near(b: Any, k: int, best: int) -> Any:
    away = best - b.spoof_first[k] if b.spoof_sides[k] == BID else b.spoof_first[k] - best
    return away < b.spoofers_flee_bps * b.ticks_per_bp


@inner
def _put_up(b: Any, k: int) -> None:
    words = b.words4
    side = BID if draw(words) < 0.5 else ASK
    other = ASK if side == BID else BID
    sign = -1.0 if side == BID else 1.0
    best = best_of(b, side)
    owner = FIRST_SPOOFER + k
    b.spoof_seq += 1
    b.spoof_ids[k] = b.spoof_seq
    b.spoof_sides[k] = side
    b.spoof_until[k] = b.now + wait(b.spoofers_hold_s, 0.5 + draw(words))
    b.spoof_lots[k] = 0
    b.spoof_first[k] = best + int(sign * b.spoofers_near_bps * b.ticks_per_bp)
    for j in range(b.spoofers_layers):
        tick = best + int(sign * (b.spoofers_near_bps + j * b.spoofers_step_bps) * b.ticks_per_bp)
        lots = lots_of(b, b.spoofers_layer_size * (0.7 + 0.6 * draw(words)))
        if tick > 0:
            ask(b, side, tick, lots, JOIN, owner, NO_PARENT, FIRST_WALL + k * WALL_LAYERS + j)
            b.spoof_lots[k] += lots
    ask(b, other, best_of(b, other), lots_of(b, b.spoofers_real_size), JOIN, owner, NO_PARENT, FIRST_REAL + k)
    emit(b, SPOOF, b.spoof_seq, side, NIL + 1, b.spoof_lots[k], NIL, NIL, owner, NIL, NIL, NIL)


@inner
def _take_down(b: Any, k: int) -> None:
    for j in range(WALL_LAYERS):
        place = FIRST_WALL + k * WALL_LAYERS + j
        if b.kept[place] != 0:
            cancel_plain(b, b.kept[place])
            b.kept[place] = 0
    cancel_plain(b, b.kept[FIRST_REAL + k])
    b.kept[FIRST_REAL + k] = 0
    emit(b, SPOOF, b.spoof_ids[k], b.spoof_sides[k], NIL, b.spoof_lots[k], NIL, NIL, FIRST_SPOOFER + k, NIL, NIL, NIL)
    b.spoof_ids[k] = 0

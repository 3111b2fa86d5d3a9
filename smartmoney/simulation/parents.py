"""Open and close parents: large orders that are split over minutes, some of them before a drift.

Part of the latent world: every market of a symbol opens the same parent in the same slot at the same time, so nothing here asks a book.
An informed parent starts before a drift in its direction; a mistaken one does all the same and no drift follows; a splitter knows
nothing. How the informed differ from the uninformed besides (size, urgency, passive share, what they do when the price runs away) is
what their two sections of the scenario say.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import ASK, BID, NIL, PARENT_ENDED, PARENT_STARTED, emit
from smartmoney.simulation.latent import PARENTS, add_news, wait
from smartmoney.simulation.random import draw, exponential

FIRST_PARENT_OWNER = int64(32)
FREE, INFORMED, MISTAKEN, SPLITTER = int64(0), int64(1), int64(2), int64(3)
"""Kinds of parents: precedes a drift; looks like one that does; knows nothing."""
TWAP, POV, POISSON, ICEBERG, JITTERED = int64(1), int64(2), int64(3), int64(4), int64(5)
"""How a parent paces its children."""
_FIRST_S = 8.0
_FIRST_SPREAD_S = 12.0

PARENT_FIELDS: list[Any] = [
    ("p_child", "f8", (PARENTS,)),
    ("p_child_spread", "f8", (PARENTS,)),
    ("p_passive", "f8", (PARENTS,)),
    ("p_on_adverse", "f8", (PARENTS,)),
    ("p_jitter", "f8", (PARENTS,)),
]
"""What a parent's children are like: median units, their spread, passive share, reaction to the price, jitter."""


@inner
def start_parents(b: Any) -> None:
    """Plan the first parents; an informed one comes soon."""
    words = b.latent_words
    b.last_side = 0 if draw(words) < 0.5 else 1
    b.informed_at = wait(1.0, _FIRST_S + _FIRST_SPREAD_S * draw(words)) if b.informed_every_s > 0.0 else wait(0.0, 1.0)
    b.splitter_at = wait(b.splitters_every_s, exponential(words))
    b.parent_seq = 0


@inner
def step_parents(b: Any, now: int) -> None:
    """End the parents whose time is over and start those whose time has come."""
    for k in range(PARENTS):
        if b.p_kind[k] != FREE and b.p_end[k] <= now:
            emit(b, PARENT_ENDED, b.p_id[k], b.p_side[k], b.p_kind[k], b.p_left[k], b.p_style[k], NIL, NIL, NIL, NIL, NIL)
            b.p_kind[k] = FREE
    if now >= b.informed_at:
        b.informed_at = now + wait(b.informed_every_s, _factor(b, b.informed_evenness))
        _start_informed(b, now)
    if now >= b.splitter_at:
        b.splitter_at = now + wait(b.splitters_every_s, _factor(b, b.splitters_evenness))
        _start_splitter(b, now)


@inner
def _factor(b: Any, evenness: float) -> float:
    """Return a wait of mean 1: the more even, the less of it is exponential."""
    u = draw(b.latent_words)
    return evenness * (0.75 + 0.5 * u) - (1.0 - evenness) * math.log(1.0 - u)


@inner
def _start_informed(b: Any, now: int) -> None:
    words = b.latent_words
    buys = b.informed_persistence if b.last_side == BID else 1.0 - b.informed_persistence
    odds = buys * b.informed_buy_share
    against = (1.0 - buys) * (1.0 - b.informed_buy_share)
    side = BID if draw(words) * (odds + against) < odds else ASK
    b.last_side = side
    kind = INFORMED if draw(words) < b.informed_right_share else MISTAKEN
    size = _size(b, b.informed_size, b.informed_size_tail, b.informed_size_most)
    growth = math.pow(size / b.informed_size, b.informed_duration_exponent)
    seconds = b.informed_duration_s * growth * (1.0 + b.informed_duration_spread * (2.0 * draw(words) - 1.0))
    seconds = min(seconds, b.informed_duration_most_s)
    style = _style(b, b.informed_twap, b.informed_pov, b.informed_poisson, b.informed_iceberg, b.informed_jittered)
    drift = b.informed_drift_bps * (0.6 + 0.8 * draw(words)) * math.pow(size / b.informed_size, b.informed_drift_exponent)
    k = _open_parent(b, now, kind, side, style, size, seconds)
    if k < 0:
        return
    b.p_child[k] = b.informed_child * math.pow(size / b.informed_size, b.informed_child_exponent)
    b.p_child_spread[k] = b.informed_child_spread
    b.p_passive[k] = b.informed_passive
    b.p_on_adverse[k] = b.informed_on_adverse
    b.p_jitter[k] = b.informed_jitter
    if kind == INFORMED and drift > 0.0:
        add_news(b, drift if side == BID else -drift, now + int(1e9 * b.informed_drift_start * seconds), b.informed_drift_s)


@inner
def _start_splitter(b: Any, now: int) -> None:
    words = b.latent_words
    side = BID if draw(words) < 0.5 else ASK
    size = _size(b, b.splitters_size, b.splitters_size_tail, b.splitters_size_most)
    growth = math.pow(size / b.splitters_size, b.splitters_duration_exponent)
    seconds = b.splitters_duration_s * growth * (1.0 + b.splitters_duration_spread * (2.0 * draw(words) - 1.0))
    seconds = min(seconds, b.splitters_duration_most_s)
    style = _style(b, b.splitters_twap, b.splitters_pov, b.splitters_poisson, b.splitters_iceberg, b.splitters_jittered)
    k = _open_parent(b, now, SPLITTER, side, style, size, seconds)
    if k >= 0:
        b.p_child[k] = b.splitters_child * math.pow(size / b.splitters_size, b.splitters_child_exponent)
        b.p_child_spread[k] = b.splitters_child_spread
        b.p_passive[k] = b.splitters_passive
        b.p_on_adverse[k] = b.splitters_on_adverse
        b.p_jitter[k] = b.splitters_jitter


@inner
def _size(b: Any, size: float, tail: float, most: float) -> float:
    u = draw(b.latent_words)
    if tail > 0.0:
        return size * min(math.pow(1.0 - u, -1.0 / tail), most)
    return size * (0.7 + 0.6 * u)


@inner
def _style(b: Any, twap: float, pov: float, poisson: float, iceberg: float, jittered: float) -> Any:
    pick = draw(b.latent_words) * (twap + pov + poisson + iceberg + jittered)
    if pick < twap:
        return TWAP
    if pick < twap + pov:
        return POV
    if pick < twap + pov + poisson:
        return POISSON
    return ICEBERG if pick < twap + pov + poisson + iceberg else JITTERED


@inner
def _open_parent(b: Any, now: int, kind: int, side: int, style: int, size: float, seconds: float) -> int:
    for k in range(PARENTS):
        if b.p_kind[k] == FREE:
            b.parent_seq += 1
            b.p_kind[k] = kind
            b.p_id[k] = b.parent_seq
            b.p_side[k] = side
            b.p_style[k] = style
            b.p_lots[k] = max(1, int(size * b.lots_per_unit))
            b.p_left[k] = b.p_lots[k]
            b.p_start[k] = now
            b.p_end[k] = now + int(1e9 * seconds)
            emit(b, PARENT_STARTED, b.p_id[k], side, kind, b.p_lots[k], style, b.p_end[k], NIL, NIL, NIL, NIL)
            return k
    return -1

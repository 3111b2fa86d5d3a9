"""Advance what nobody sees: the efficient price, its volatility, and the parents (large orders split over minutes).

The latent world of a symbol draws from its own random stream on its own fixed grid and hears nothing from any book, so every market of
that symbol, with the same seed, follows the same efficient price and the same parents. An informed parent starts before a drift in its
direction; some informed-looking parents are wrong, and splitters know nothing.
"""

import math
from typing import Any

from numba import njit

from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import ASK, BID, NIL, PARENT_ENDED, PARENT_STARTED, emit
from smartmoney.simulation.random import draw, exponential, normal

GRID_NS = 50_000_000
PARENTS = 12
FIRST_PARENT_OWNER = int64(32)
INFORMED, MISTAKEN, SPLITTER = int64(1), int64(2), int64(3)
"""Kinds of parents: precedes a drift; looks like one that does; knows nothing and is slower."""

LATENT_FIELDS = [
    ("grid_next", "i8"),
    ("latent_words", "u8", (4,)),
    ("log_price", "f8"),
    ("log_vol", "f8"),
    ("vol_fast", "f8"),
    ("anchor_ticks", "f8"),
    ("efficient", "f8"),
    ("parent_seq", "i8"),
    ("informed_at", "i8"),
    ("splitter_at", "i8"),
    ("last_side", "i8"),
    ("p_kind", "i8", (PARENTS,)),
    ("p_id", "i8", (PARENTS,)),
    ("p_side", "i8", (PARENTS,)),
    ("p_start", "i8", (PARENTS,)),
    ("p_end", "i8", (PARENTS,)),
    ("p_rate", "f8", (PARENTS,)),
    ("p_size", "f8", (PARENTS,)),
    ("p_passive", "f8", (PARENTS,)),
    ("p_order", "i8", (PARENTS,)),
    ("p_order_parent", "i8", (PARENTS,)),
    ("p_drift", "f8", (PARENTS,)),
    ("p_drift_start", "i8", (PARENTS,)),
    ("p_drift_end", "i8", (PARENTS,)),
    ("vol_bps_min", "f8"),
    ("jumps_per_s", "f8"),
    ("jump_bps", "f8"),
    ("informed_every_s", "f8"),
    ("informed_s", "f8"),
    ("informed_share", "f8"),
    ("informed_rate", "f8"),
    ("informed_size", "f8"),
    ("informed_passive", "f8"),
    ("drift_bps", "f8"),
    ("drift_s", "f8"),
    ("persistence", "f8"),
    ("splitter_every_s", "f8"),
    ("splitter_rate", "f8"),
    ("splitter_size", "f8"),
]


@njit(cache=True, nogil=True)
def start_latent(b: Any) -> None:
    """Set the latent world to its beginning; parameters and the random stream are set before."""
    b.log_price = 0.0
    b.log_vol = 0.0
    b.vol_fast = 1.0
    b.efficient = b.anchor_ticks
    b.grid_next = GRID_NS
    b.last_side = 0 if draw(b.latent_words) < 0.5 else 1
    b.informed_at = int(1e9 * (8.0 + 12.0 * draw(b.latent_words)))
    b.splitter_at = int(1e9 * b.splitter_every_s * exponential(b.latent_words))
    b.p_kind[:] = 0


@njit(cache=True, nogil=True)
def step_latent(b: Any) -> None:
    """Advance by one grid step, at `b.grid_next`."""
    now = b.grid_next
    dt = GRID_NS * 1e-9
    words = b.latent_words
    # Log volatility reverts over five minutes, so that calm and busy stretches alternate.
    b.log_vol += -b.log_vol * dt / 300.0 + 0.35 * math.sqrt(2.0 * dt / 300.0) * normal(words)
    shock = normal(words) * math.exp(b.log_vol)
    b.vol_fast += (shock * shock - b.vol_fast) * dt / 6.0
    move = 1e-4 * b.vol_bps_min * math.sqrt(dt / 60.0) * shock
    if draw(words) < b.jumps_per_s * dt:
        size = exponential(words) * b.jump_bps * 1e-4
        move += size if draw(words) < 0.5 else -size
        b.vol_fast += 3.0
    for k in range(PARENTS):
        if b.p_drift[k] != 0.0 and b.p_drift_start[k] <= now < b.p_drift_end[k]:
            move += 1e-4 * b.p_drift[k] * dt
    b.log_price += move
    b.efficient = b.anchor_ticks * math.exp(b.log_price)
    _end_parents(b, now)
    if now >= b.informed_at:
        _start_informed(b, now)
    if now >= b.splitter_at:
        _start_splitter(b, now)
    b.grid_next = now + GRID_NS


@njit(cache=True, nogil=True)
def _end_parents(b: Any, now: int) -> None:
    for k in range(PARENTS):
        if b.p_kind[k] == 0:
            continue
        if b.p_end[k] <= now and b.p_rate[k] > 0.0:
            b.p_rate[k] = 0.0
            emit(b, PARENT_ENDED, b.p_id[k], b.p_side[k], b.p_kind[k], NIL, NIL, NIL, NIL, NIL, NIL, NIL)
        if b.p_end[k] <= now and b.p_drift_end[k] <= now:
            b.p_kind[k] = 0
            b.p_drift[k] = 0.0


@njit(cache=True, nogil=True)
def _start_informed(b: Any, now: int) -> None:
    words = b.latent_words
    b.informed_at = now + int(1e9 * b.informed_every_s * (0.75 + 0.5 * draw(words)))
    side = b.last_side if draw(words) < b.persistence else 1 - b.last_side
    b.last_side = side
    kind = INFORMED if draw(words) < b.informed_share else MISTAKEN
    seconds = b.informed_s * (0.8 + 0.4 * draw(words))
    scale = 0.7 + 0.6 * draw(words)
    drift = b.drift_bps * (0.6 + 0.8 * draw(words))
    k = _open_parent(b, now, kind, side, seconds)
    if k < 0:
        return
    b.p_rate[k] = b.informed_rate * scale
    b.p_size[k] = b.informed_size
    b.p_passive[k] = b.informed_passive
    if kind == INFORMED:
        sign = 1.0 if side == 0 else -1.0
        b.p_drift[k] = sign * drift / b.drift_s
        b.p_drift_start[k] = now + int(0.5e9 * seconds)
        b.p_drift_end[k] = b.p_drift_start[k] + int(1e9 * b.drift_s)


@njit(cache=True, nogil=True)
def _start_splitter(b: Any, now: int) -> None:
    words = b.latent_words
    b.splitter_at = now + int(1e9 * b.splitter_every_s * exponential(words))
    side = BID if draw(words) < 0.5 else ASK
    seconds = 40.0 + 80.0 * draw(words)
    scale = 0.5 + draw(words)
    k = _open_parent(b, now, SPLITTER, side, seconds)
    if k >= 0:
        b.p_rate[k] = b.splitter_rate * scale
        b.p_size[k] = b.splitter_size
        b.p_passive[k] = 0.2


@njit(cache=True, nogil=True)
def _open_parent(b: Any, now: int, kind: int, side: int, seconds: float) -> int:
    for k in range(PARENTS):
        # Never ask the book here: every market must open the same parent in the same slot.
        if b.p_kind[k] == 0:
            b.parent_seq += 1
            b.p_kind[k] = kind
            b.p_id[k] = b.parent_seq
            b.p_side[k] = side
            b.p_start[k] = now
            b.p_end[k] = now + int(1e9 * seconds)
            b.p_drift[k] = 0.0
            b.p_drift_start[k] = 0
            b.p_drift_end[k] = 0
            emit(b, PARENT_STARTED, b.p_id[k], side, kind, NIL, NIL, NIL, NIL, NIL, NIL, NIL)
            return k
    return -1

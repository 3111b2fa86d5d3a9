"""Competing market makers: layers around one price, sizes that lean, withdrawal when it is wild, and re-quotes in blocks.

Real prices move by tens or hundreds of ticks a second while the spread stays at one tick, which moves of one tick could not give; so once
the makers' price has left the quoted one far enough, they pull what is in the way and quote around the new one together. An arbitrageur
takes what the others leave standing there. Each maker is an owner of its own, with its own distances, sizes and inventory.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.fair import FIRST_MAKER, fair, lots_of, off_centre
from smartmoney.simulation.ladder import ASK, BID, CROWD, NIL, slot_of
from smartmoney.simulation.latent import NEVER
from smartmoney.simulation.matching import NO_PARENT, cancel_plain
from smartmoney.simulation.random import draw, exponential, normal
from smartmoney.simulation.requests import CLEAR, FIRST_LAYER, NOT_KEPT, STEP_BACK, ask
from smartmoney.simulation.scenario import LAYERS, MAKERS_MAX
from smartmoney.simulation.spoofers import flee

ARBITRAGE = int64(2)
_LOWEST_CENTRE = int64(2)
_NOBODY, _ONE = int64(0), int64(1)
"""A set of makers as bits."""
_IN_THE_WAY_MAX = 4096
_WILDEST = 6.0

MAKER_FIELDS: list[Any] = [
    ("trigger_bps", "f8"),
    ("reprice_at", "i8"),
    ("reprices", "i8"),
    ("maker_centre", "i8", (MAKERS_MAX,)),
]
"""`reprice_at` is when the next block re-quote happens (NEVER: none is due)."""


@inner
def start_makers(b: Any) -> None:
    """Let every maker quote around the first price."""
    b.centre = int(b.anchor_ticks)
    b.trigger_bps = b.makers_requote_bps
    b.reprice_at = NEVER
    for k in range(b.maker_count):
        _quote(b, k)


@inner
def watch_price(b: Any) -> None:
    """Plan a re-quote, some milliseconds from now, once the makers' price has left the quoted one far enough."""
    off = abs(fair(b) - b.centre - 0.5)
    if off > b.trigger_bps * b.ticks_per_bp and b.reprice_at == NEVER:
        b.reprice_at = b.now + 1_000_000 + int(1e6 * b.makers_requote_ms * exponential(b.words4))


@inner
def requote(b: Any) -> None:
    """Move the makers' quotes as a block; what stands on the wrong side of the new price is pulled, or taken by the arbitrageur."""
    b.reprice_at = NEVER
    goal = fair(b)
    if b.makers_requote_reach < 1.0:
        goal -= (1.0 - b.makers_requote_reach) * (goal - b.centre - 0.5)
    target = max(_LOWEST_CENTRE, math.floor(goal))
    up = target > b.centre
    b.centre = target
    b.reprices += 1
    b.trigger_bps = b.makers_requote_bps + b.makers_requote_spread_bps * draw(b.words4)
    if b.makers_requote_reaction > 0.0:
        b.trigger_bps *= math.pow(b.vol_mult, b.makers_requote_reaction)
    flee(b, target, target + 1)
    moved = _NOBODY
    for k in range(b.maker_count):
        # The further from the touch a maker quotes, the more it lets the price move before it follows.
        patience = 4.0 * b.makers_layers_bps[k, 0]
        far = abs(target - b.maker_centre[k]) > patience * b.ticks_per_bp
        if far or _is_in_the_way(b, k, target):
            _pull_quotes(b, k)
            moved |= _ONE << k
    side = BID if up else ASK
    ask(b, side, target if up else target + 1, NIL + 1, CLEAR, ARBITRAGE, NO_PARENT, NOT_KEPT)
    for k in range(b.maker_count):
        if (moved >> k) & _ONE != _NOBODY:
            _quote(b, k)


@inner
def refresh(b: Any) -> None:
    """Let one maker look at one of its layers: replace it if it was eaten, or now and then anyway."""
    words = b.words4
    k = int(draw(words) * b.maker_count)
    side = BID if draw(words) < 0.5 else ASK
    j = int(draw(words) * draw(words) * LAYERS)
    place = place_of(k, side, j)
    if slot_of(b, b.kept[place]) >= 0:
        if draw(words) > 0.35:
            return
        cancel_plain(b, b.kept[place])
    b.kept[place] = 0
    _place(b, k, side, j)


@inner
def pull_layers(b: Any, share: float) -> None:
    """Withdraw each layer of each maker with a chance."""
    for k in range(b.maker_count):
        for side in range(2):
            for j in range(LAYERS):
                place = place_of(k, side, j)
                if b.kept[place] != 0 and draw(b.words4) < share:
                    cancel_plain(b, b.kept[place])
                    b.kept[place] = 0


@inner
def _is_in_the_way(b: Any, k: int, target: int) -> bool:
    for side in range(2):
        for j in range(LAYERS):
            slot = slot_of(b, b.kept[place_of(k, side, j)])
            if slot >= 0 and (b.order_ticks[slot] > target if side == BID else b.order_ticks[slot] <= target):
                return True
    return False


@inner
def next_in_the_way(b: Any, side: int, limit: int) -> Any:
    """Return the lots of the next order on the way to a price that the arbitrageur must take, 0 if none; the crowd withdraws some first."""
    for _ in range(_IN_THE_WAY_MAX):
        best = b.best_ask if side == BID else b.best_bid
        if best < 0 or (best > limit if side == BID else best < limit):
            return NIL
        slot = _first_of_best(b, best)
        if slot < 0:
            return NIL
        if b.order_owners[slot] != CROWD or draw(b.words4) >= b.makers_crowd_withdraws:
            return b.order_lots[slot]
        cancel_plain(b, b.order_ids[slot])
    return NIL


@inner
def _first_of_best(b: Any, tick: int) -> Any:
    i = tick - b.base
    return b.heads[i] if 0 <= i < b.heads.size else -1


@inner
def _pull_quotes(b: Any, k: int) -> None:
    for side in range(2):
        for j in range(LAYERS):
            place = place_of(k, side, j)
            if b.kept[place] != 0:
                cancel_plain(b, b.kept[place])
                b.kept[place] = 0


@inner
def _quote(b: Any, k: int) -> None:
    b.maker_centre[k] = b.centre
    for side in (BID, ASK):
        for j in range(LAYERS):
            _place(b, k, side, j)


@inner
def place_of(k: int, side: int, j: int) -> Any:
    """Return where the order of a maker's layer is kept."""
    return FIRST_LAYER + (k * 2 + side) * LAYERS + j


@inner
def _place(b: Any, k: int, side: int, j: int) -> None:
    words = b.words4
    wild = min(max(b.vol_fast - b.makers_withdraw_above, 0.0), _WILDEST)
    bps = b.makers_layers_bps[k, j]
    if bps > 0.0:
        bps *= 0.8 + 0.4 * draw(words)
    if wild > 0.0 and draw(words) < 0.5:
        bps += b.makers_withdraw_bps * wild * draw(words)
    away = int(bps * b.ticks_per_bp)
    held = math.tanh(b.position[FIRST_MAKER + k] / (b.makers_inventory * b.lots_per_unit))
    favour = b.makers_lean * off_centre(b, 0.4) - b.makers_inventory_lean * held
    if side == ASK:
        favour = -favour
    units = b.makers_size * b.makers_layers_size[k, j] * math.exp(b.makers_size_spread * normal(words) + favour)
    units /= 1.0 + b.makers_withdraw_size * wild
    if b.now < b.trap_until:
        units *= 1.0 - b.trap_share
    tick = b.centre - away if side == BID else b.centre + 1 + away
    ask(b, side, tick, lots_of(b, units), STEP_BACK, FIRST_MAKER + k, NO_PARENT, place_of(k, side, j))

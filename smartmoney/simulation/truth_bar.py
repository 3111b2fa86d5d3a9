"""Write down, at each whole second of a book that tells, what its latent world and its hidden owners are like.

One TRUTH_BAR row a second, made from latents and resting orders only; it draws nothing, so a market that tells is the market that does not.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import BID, NIL, POOL, TRUTH_BAR, emit
from smartmoney.simulation.latent import PARENTS
from smartmoney.simulation.parents import INFORMED

SECOND_NS = int64(1_000_000_000)
PRICE_ONE = 65536.0
"""A tick of the efficient price in a row's fixed point."""
MILLION = 1e6
CASCADE_ON, TRAP_ON, INFORMED_ON = int64(1), int64(2), int64(4)
"""Bits of a bar's SIDE: a cascade is active, a trap is, an informed parent is."""
FIRST_SPOOFER, SPOOFERS_END = int64(16), int64(20)
_FIRST_MAKER = int64(8)
_NOTHING = int64(-1)


@inner
def tell_bar(b: Any) -> None:
    """Emit the bar that ends now, if now is a whole second and the book tells.

    Columns: ID bid plus ask tick, or −1 while a side is empty; SIDE flags; TICK efficient price in 1/65536 ticks; LOTS what informed
    parents have left, bought minus sold; MAKER volatility multiplier and TAKER σ of 60 s in ticks, both in millionths; MAKER_OWNER and
    TAKER_OWNER resting lots of market makers and of spoofers; MAKER_PARENT and TAKER_PARENT the largest share that an informed buyer, or
    seller, has left, in millionths.
    """
    if b.tells == 0 or b.now % SECOND_NS != 0:
        return
    flags = NIL
    if b.now < b.cascade_until:
        flags |= CASCADE_ON
    if b.now < b.trap_until:
        flags |= TRAP_ON
    left = NIL
    buyer = 0.0
    seller = 0.0
    for k in range(PARENTS):
        lots = b.p_left[k]
        if b.p_kind[k] != INFORMED or lots <= 0:
            continue
        flags |= INFORMED_ON
        share = lots / b.p_lots[k]
        if b.p_side[k] == BID:
            left += lots
            buyer = max(buyer, share)
        else:
            left -= lots
            seller = max(seller, share)
    makers = NIL
    spoofers = NIL
    for slot in range(POOL):
        owner = b.order_owners[slot]
        if b.order_ids[slot] != 0 and _FIRST_MAKER <= owner < SPOOFERS_END:
            if owner < FIRST_SPOOFER:
                makers += b.order_lots[slot]
            else:
                spoofers += b.order_lots[slot]
    middle = b.best_bid + b.best_ask if b.best_bid >= 0 and b.best_ask >= 0 else _NOTHING
    efficient = math.floor(b.efficient * PRICE_ONE + 0.5)
    volatility, spread = int(b.vol_mult * MILLION), int(b.sigma_60s_ticks * MILLION)
    most_bought, most_sold = int(buyer * MILLION), int(seller * MILLION)
    emit(b, TRUTH_BAR, middle, flags, efficient, left, volatility, spread, makers, spoofers, most_bought, most_sold)

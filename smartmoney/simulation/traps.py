"""Carry a liquidity trap out in one market: within a fraction of a second most of the near depth is withdrawn, and stays away.

When traps come, where they run to and whether they are fake-outs is latent (`latent._start_trap`); here is what the makers and the crowd
do at that moment.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.fair import best_of
from smartmoney.simulation.ladder import ASK, BID
from smartmoney.simulation.latent import GRID_NS
from smartmoney.simulation.makers import pull_layers
from smartmoney.simulation.matching import cancel_plain
from smartmoney.simulation.random import draw

TRAP_FIELDS: list[Any] = [("trap_seen", "i8"), ("trap_steps", "i8")]
"""The trap that this market has begun to carry out, and the grid steps that its pull goes on for."""


@inner
def carry_out_trap(b: Any) -> None:
    """Pull this grid step's part of the near depth while a trap's pull goes on; called on the latent grid."""
    if b.trap_seen != b.trap_seq:
        b.trap_seen = b.trap_seq
        b.trap_steps = max(1, int(1e6 * b.traps_pull_ms) // GRID_NS)
    if b.trap_steps == 0:
        return
    steps = max(1, int(1e6 * b.traps_pull_ms) // GRID_NS)
    b.trap_steps -= 1
    share = 1.0 - math.pow(1.0 - b.trap_share, 1.0 / steps)
    bid, ask = best_of(b, BID), best_of(b, ASK)
    pull_layers(b, share)
    reach = b.traps_reach_bps * b.ticks_per_bp
    n = b.crowd_count
    # From the end: a cancel moves the last order into the gap.
    while n > 0:
        n -= 1
        slot = b.crowd[n]
        away = bid - b.order_ticks[slot] if b.order_sides[slot] == BID else b.order_ticks[slot] - ask
        if away < reach and draw(b.words4) < share:
            cancel_plain(b, b.order_ids[slot])

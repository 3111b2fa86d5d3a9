"""Hold what the population asks of the book: traders decide and ask, the flow carries out (`flow.carry_out`).

One place sends orders, so the matching engine is compiled once for all traders and not anew for each. Within one event requests are carried
out in the order in which they were made. The queue is empty between events.
"""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.latent import PARENTS
from smartmoney.simulation.scenario import LAYERS, MAKERS_MAX

REQUESTS = 256
"""More than any one event asks for: a re-quote of all makers is 51."""
R_SIDE, R_TICK, R_LOTS, R_MANNER, R_OWNER, R_PARENT, R_KEPT = range(7)
TAKE, JOIN, STEP_BACK, CLEAR = int64(0), int64(1), int64(2), int64(3)
"""Manners. TAKE: a market order. JOIN: post-only. STEP_BACK: post-only, at the nearest price that does not cross. CLEAR: the
arbitrageur takes what stands before the tick, but for what the crowd withdraws."""

NOT_KEPT = int64(0)
FIRST_LAYER = 1
FIRST_CHILD = FIRST_LAYER + MAKERS_MAX * 2 * LAYERS
FIRST_WALL = FIRST_CHILD + PARENTS
SPOOFERS = 4
WALL_LAYERS = 8
FIRST_REAL = FIRST_WALL + SPOOFERS * WALL_LAYERS
KEPT = FIRST_REAL + SPOOFERS
"""Places in `kept`, where traders find the orders that they left in the book: layers, children, walls, real orders."""

REQUEST_FIELDS: list[Any] = [("request_count", "i8"), ("requests", "i8", (REQUESTS, 7)), ("kept", "i8", (KEPT,))]
"""What is asked for now, and order ids by place (0: none)."""


@inner
def ask(b: Any, side: int, tick: int, lots: int, manner: int, owner: int, parent: int, kept: int) -> None:
    """Ask for an order; if it rests, its id will stand at the place `kept`."""
    n = b.request_count
    if n >= REQUESTS:
        return
    b.request_count = n + 1
    b.requests[n, R_SIDE] = side
    b.requests[n, R_TICK] = tick
    b.requests[n, R_LOTS] = lots
    b.requests[n, R_MANNER] = manner
    b.requests[n, R_OWNER] = owner
    b.requests[n, R_PARENT] = parent
    b.requests[n, R_KEPT] = kept

"""What the guard's hands can do at a venue, whichever it is. An implementation asks over `adapters.guard_account`.

Invariants: what cannot be seen raises `LookFailed`, it is never taken for nothing; orders bear our own names.
"""

from decimal import Decimal
from typing import Literal, Protocol

from smartmoney.adapters.guard_account import Reply
from smartmoney.adapters.heartbeat import Carried, Heartbeat
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent
from smartmoney.core.execution.guard_plan import SeenOrder


class LookFailed(Exception):
    """Say that the venue could not be seen."""


Timer = Literal["", "symbol", "account"]
"""Whose orders a venue's dead-man timer withdraws; empty where there is none."""


class GuardVenue(Protocol):
    """See and act on one account of one market."""

    market: Market
    timer: Timer
    acks_only: bool
    """An order that was taken note of may still be refused: it is looked for before anything else is sent."""

    async def open_orders(self, beat: Heartbeat, carried: Carried) -> tuple[SeenOrder, ...]:
        """Return what works of an instrument, stops included. Raises: LookFailed."""

    async def position(self, beat: Heartbeat, carried: Carried) -> Decimal:
        """Return what is ours of an instrument, signed, in base. Raises: LookFailed."""

    async def place(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Send a stop, or a close at market. Raises: LookFailed, where what it takes to say its size cannot be asked."""

    async def cancel(self, instrument: Instrument, order: SeenOrder) -> Reply:
        """Cancel an order."""

    async def find(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Ask what became of an order: DONE where the venue knows it, in whatever state."""

    async def count_down(self, symbol: str, wait_ms: int) -> bool:
        """Set the venue's dead-man timer, of a symbol where it is a symbol's; 0 stops it. Tell whether it is set."""

    def is_crossed(self, reply: Reply) -> bool:
        """Tell whether a stop was refused because the market is past it already."""

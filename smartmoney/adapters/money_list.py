"""A venue's own list of money that moved without a trade: one face for the native one and for those through ccxt.

Invariants: a list that could not be read to its end is no list; rows have names that are unique for ever.
"""

from typing import Protocol

import msgspec

from smartmoney.adapters.order_side import Answer
from smartmoney.venues.incomes import Income
from smartmoney.venues.outcomes import Outcome

PAGES_MAX = 100


class Incomes(msgspec.Struct, frozen=True, kw_only=True):
    """Be the rows of one kind in a window of time, oldest first, if the `answer` is done; else it is the one that failed."""

    answer: Answer
    rows: tuple[Income, ...] = ()


class MoneyList(Protocol):
    """Ask one account for what moved its money."""

    booked: tuple[str, ...]
    """Kinds that are profit or loss and that no trade tells; the first is funding."""
    moved: tuple[str, ...]
    """Kinds that are a person's, not the market's."""
    window_ms: int
    """So long a window the venue takes."""
    history_ms: int
    """So far back it remembers."""
    permission: str
    """Says what a key needs that may not read it, as a remedy."""

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""

    def kinds_of(self, reason: str) -> tuple[str, ...]:
        """Return the kinds among which what the account's stream told of will be listed."""

    async def incomes(self, kind: str, start_ms: int, end_ms: int, *, is_urgent: bool) -> Incomes:
        """Return the rows of a kind in a window, the last page included. Raises: NewsError."""


def too_many(kind: str) -> Incomes:
    """Return what a window with more pages than are read is: no list."""
    return Incomes(answer=Answer(outcome=Outcome.UNKNOWN, message=f"more than {PAGES_MAX} pages of {kind}"))

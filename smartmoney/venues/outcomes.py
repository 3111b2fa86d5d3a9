"""What is known after a private request, in the same words for every venue.

Each venue says by its own codes which of these an answer proves (`venues.binance.outcomes`, `venues.ccxt_terms`).
"""

from enum import StrEnum


class Outcome(StrEnum):
    """Name what is known after a request."""

    DONE = "done"
    """It was carried out; the body is the answer."""
    REFUSED = "refused"
    """It was not carried out, and asking again would not help."""
    FUNDS = "funds"
    """It was not carried out: balance or margin does not suffice."""
    UNKNOWN = "unknown"
    """It may have been carried out: ask for the order by its client id."""
    NOT_FOUND = "not_found"
    """The venue does not know the order: it never came, it has ended, or it is not visible yet."""
    DUPLICATE = "duplicate"
    """An order with this client id exists: ours, from an earlier try."""
    CLOCK = "clock"
    """It was not carried out: our timestamp is not the venue's time."""
    LIMITED = "limited"
    """It was not carried out: too much was asked; nothing may be asked until Retry-After is over."""
    KEY = "key"
    """It was not carried out: the key, its signature, its address or its permissions."""

"""Instruments: what is traded, and the exact integer grid its prices and quantities live on.

Invariants: a tick and a lot are positive; `price` and `quantity` are exact; an off-grid price is refused, never rounded in silence.
"""

from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum

import msgspec

BUILT_IN_VENUE = "sim"
"""The venue of a market that is made up: the built-in exchange, and whatever else answers on this machine."""


class Market(StrEnum):
    """Name a venue's market, because its sequence rules and its money differ."""

    SPOT = "spot"
    USDM = "usdm"
    COINM = "coinm"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one tradable symbol of one venue.

    Units: `tick_size` in quote per base, `lot_size` in base (contracts on COIN-M), `min_notional` in quote.
    `provisional` marks a grid that was inferred from frames, not published by the venue: fit to replay, never to trade.
    """

    venue: str
    market: Market
    symbol: str
    name: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_lots: int = 1
    max_lots: int = 10**15
    min_notional: Decimal = Decimal(0)
    provisional: bool = False

    @property
    def allows_short(self) -> bool:
        """Tell whether a position may be negative (derivatives only)."""
        return self.market is not Market.SPOT

    def price(self, ticks: int) -> Decimal:
        """Return the exact price of a tick number."""
        return self.tick_size * ticks

    def quantity(self, lots: int) -> Decimal:
        """Return the exact quantity of a lot number."""
        return self.lot_size * lots

    def notional(self, ticks: int, lots: int) -> Decimal:
        """Return price times quantity, exact, in quote currency."""
        return self.tick_size * ticks * self.lot_size * lots

    def ticks(self, price: Decimal) -> int:
        """Return the tick number of an on-grid price.

        Raises:
            ValueError: the price is not a whole number of ticks.
        """
        return _whole(price, self.tick_size, f"{self.symbol}: price")

    def lots(self, quantity: Decimal) -> int:
        """Return the lot number of an on-grid quantity.

        Raises:
            ValueError: the quantity is not a whole number of lots.
        """
        return _whole(quantity, self.lot_size, f"{self.symbol}: quantity")

    def floor_lots(self, quantity: Decimal) -> int:
        """Return the largest whole number of lots not above a non-negative quantity."""
        return int((quantity / self.lot_size).to_integral_value(rounding=ROUND_FLOOR))


def _whole(value: Decimal, step: Decimal, label: str) -> int:
    count = value / step
    whole = int(count)
    if whole * step != value:
        raise ValueError(f"{label} {value} is not a multiple of {step}")
    return whole

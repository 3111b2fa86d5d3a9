"""Numbers that went through binary floating point lose what that added: 0.30000000000000004 was 0.3.

A number of at most 15 digits comes out of such arithmetic as it went in; where that added something, 16 or 17 are printed, and all but the
first dozen are zeros or nines. Invariants: texts of fewer digits are never touched; once one of as many digits is no such noise, the grid
of the venue is as fine as that, and nothing is touched from there on.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from smartmoney.adapters.history.events import Event, Events, Level, LevelsChanged, Printed, Repairs

_DIGITS = 16
"""So many significant digits a double shows that is no number of fewer."""
_LENGTH = _DIGITS + 1
_KEPT = 12
_RELATIVE = Decimal("1e-14")
"""Some 45 units of the last place of a double: what sums and products of a few numbers leave."""
_NOTED = "numbers with the noise of binary floating point, rounded to what they were"


def without_noise(events: Events, repairs: Repairs) -> Events:
    """Yield events whose prices and quantities are rounded where they hold such noise; each is counted."""
    prices, quantities = _Numbers(repairs), _Numbers(repairs)
    for event in events:
        yield _mended(event, prices, quantities)


def _mended(event: Event, prices: "_Numbers", quantities: "_Numbers") -> Event:
    if isinstance(event, Printed):
        if max(len(event.price), len(event.quantity)) < _LENGTH:
            return event
        return msgspec.structs.replace(event, price=prices.mend(event.price), quantity=quantities.mend(event.quantity))
    if not isinstance(event, LevelsChanged) or not (_is_long(event.bids) or _is_long(event.asks)):
        return event
    bids, asks = (tuple((prices.mend(price), quantities.mend(size)) for price, size in side) for side in (event.bids, event.asks))
    return msgspec.structs.replace(event, bids=bids, asks=asks)


def _is_long(levels: Sequence[Level]) -> bool:
    return any(len(price) >= _LENGTH or len(size) >= _LENGTH for price, size in levels)


class _Numbers:
    """Judge the prices, or the quantities, of one instrument."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._is_fine = False

    def mend(self, text: str) -> str:
        """Return a plain decimal text without its noise."""
        if self._is_fine or len(text) < _LENGTH or len(text.replace(".", "").lstrip("0")) < _DIGITS:
            return text
        value = Decimal(text)
        rounded = round(value, _KEPT - 1 - value.adjusted())
        if abs(value - rounded) > _RELATIVE * value:
            self._is_fine = True
            return text
        self._repairs.note(_NOTED)
        return f"{rounded.normalize():f}"

"""Money that moved without a trade, as a venue lists it, in one form for every venue. Pure."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from smartmoney.venues.order_news import NewsError


class Income(msgspec.Struct, frozen=True, kw_only=True):
    """Be one row of the list: positive came, negative left; `time_ms` is the venue's. `symbol` is empty where it has none."""

    kind: str
    symbol: str
    amount: Decimal
    asset: str
    time_ms: int
    number: str

    @property
    def reference(self) -> str:
        """Return its name, unique for ever."""
        return f"{self.kind}-{self.number}"


def amount_of(text: object) -> Decimal:
    """Return an amount of money. Raises: NewsError, ArithmeticError."""
    amount = Decimal(str(text))
    if not amount.is_finite():
        raise NewsError(f"{text!r} is no amount")
    return amount


def oldest_first(rows: Iterable[Income]) -> tuple[Income, ...]:
    """Return rows in the order of their time, and of their numbers within one."""
    return tuple(sorted(rows, key=lambda row: (row.time_ms, row.number)))

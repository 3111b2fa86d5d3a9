"""USD-M's list of incomes, page by page."""

import msgspec

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.money_list import PAGES_MAX, Incomes, too_many
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.money_news import BOOKED, MOVED, MoneyEvent, read_incomes
from smartmoney.venues.incomes import Income

_DAY_MS = 86_400_000


class BinanceMoney:
    """Ask a USD-M account. The venue keeps three months; a look costs 30 of 2,400 a minute."""

    booked: tuple[str, ...] = BOOKED
    moved: tuple[str, ...] = MOVED
    window_ms = 7 * _DAY_MS
    history_ms = 89 * _DAY_MS
    permission = "enable reading (enableReading) for it"

    def __init__(self, account: BinanceAccount) -> None:
        self._account = account

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""
        return self._account.venue_ms()

    def kinds_of(self, reason: str) -> tuple[str, ...]:
        """Return the kinds among which it will be listed."""
        return MoneyEvent(reason=reason).kinds

    async def incomes(self, kind: str, start_ms: int, end_ms: int, *, is_urgent: bool) -> Incomes:
        """Return the rows of a kind in a window. Raises: NewsError."""
        found: list[Income] = []
        for page in range(1, PAGES_MAX + 1):
            call = msgspec.structs.replace(calls.incomes(kind, start_ms, end_ms, page), is_urgent=is_urgent)
            answer = await self._account.ask(call)
            if not answer.is_done:
                return Incomes(answer=answer)
            rows = read_incomes(answer.body)
            found += rows
            if len(rows) < calls.INCOMES_MAX:
                return Incomes(answer=answer, rows=tuple(found))
        return too_many(kind)

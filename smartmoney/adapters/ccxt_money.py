"""The list of money that moved, through ccxt's own calls of a venue (`venues.ccxt_money`), page by page."""

from functools import partial

from smartmoney.adapters.ccxt_account import CcxtAccount
from smartmoney.adapters.money_list import PAGES_MAX, Incomes, too_many
from smartmoney.venues.ccxt_money import MONEY, read_incomes
from smartmoney.venues.incomes import Income, oldest_first


class CcxtMoney:
    """Ask one account at a venue that has a row in `venues.ccxt_money`."""

    def __init__(self, account: CcxtAccount) -> None:
        self._account = account
        self._terms = MONEY[account.terms.venue]
        self._words = {**self._terms.booked, **self._terms.moved}
        self.booked, self.moved = tuple(self._terms.booked), tuple(self._terms.moved)
        self.window_ms, self.history_ms = self._terms.window_ms, self._terms.history_ms
        self.permission = self._terms.permission

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""
        return self._account.venue_ms()

    def kinds_of(self, reason: str) -> tuple[str, ...]:
        """Return the kinds among which it will be listed."""
        return (reason,) if reason in self._terms.booked else self.moved

    async def incomes(self, kind: str, start_ms: int, end_ms: int, *, is_urgent: bool) -> Incomes:
        """Return the rows of a kind in a window. Raises: NewsError."""
        terms, found = self._terms, list[Income]()
        is_recent = terms.recent_call and start_ms > self.venue_ms() - terms.recent_ms
        call = getattr(self._account.client, terms.recent_call if is_recent else terms.call)
        asked = dict(terms.params(self._words[kind], start_ms, end_ms))
        for _ in range(PAGES_MAX):
            answer = await self._account.ask(partial(call, dict(asked)), is_urgent=is_urgent)
            if not answer.is_done:
                return Incomes(answer=answer)
            found += read_incomes(terms, kind, answer.body)
            following = terms.cursor(answer.body)
            if following is None:
                return Incomes(answer=answer, rows=oldest_first(found))
            asked |= following
        return too_many(kind)

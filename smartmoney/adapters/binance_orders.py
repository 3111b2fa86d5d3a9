"""The order side of a native Binance account: calls of `venues.binance.order_calls`, read by `venues.binance.order_news`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.order_side import AccountSide, Answer, LastLook, PrivateNews, TradesMark, TradesPage
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.money_news import read_money_event
from smartmoney.venues.binance.order_news import read_algo, read_balances, read_event, read_list, read_order, read_positions, read_trades
from smartmoney.venues.order_news import NewsError, OrderNews
from smartmoney.venues.outcomes import Outcome

_DAY_MS = 86_400_000


class BinanceOrders(AccountSide[BinanceAccount]):
    """Ask a Binance account in the words of `adapters.order_side`."""

    def is_algo(self, instrument: Instrument, intent: OrderIntent) -> bool:
        """Tell whether an order lives among USD-M's algo orders."""
        return calls.is_algo(instrument, intent)

    def is_nameless(self, intent: OrderIntent) -> bool:
        """Tell that every order bears our id: entries carry no stops here."""
        del intent
        return False

    async def place(self, instrument: Instrument, intents: Sequence[OrderIntent], last_look: LastLook | None = None) -> Answer:
        """Send an order, or a spot pair. Raises: ValueError, NewsError."""
        first = intents[0]
        call = calls.place_pair(instrument, first, intents[1]) if len(intents) > 1 else calls.place(instrument, first)
        answer = await self.account.ask(call, last_look)
        return _with_orders(answer, read_algo if calls.is_algo(instrument, first) else _read_one)

    async def cancel(self, instrument: Instrument, client_id: str, *, is_algo: bool, number: str = "", is_stop: bool = False) -> Answer:
        """Cancel an order; of a spot pair it takes the other leg along. Raises: NewsError."""
        del number, is_stop
        answer = await self.account.ask(calls.cancel(instrument, client_id, as_algo=is_algo))
        if is_algo:
            return msgspec.structs.replace(answer, is_over=answer.is_done)
        return _with_orders(answer, _read_one)

    async def find(self, instrument: Instrument, client_id: str, *, is_algo: bool) -> Answer:
        """Ask for one order by our own id. Raises: NewsError."""
        answer = await self.account.ask(calls.query(instrument, client_id, as_algo=is_algo))
        return _with_orders(answer, read_algo if is_algo else _read_one)

    async def find_number(self, instrument: Instrument, order_id: str) -> Answer:
        """Ask for one order by the venue's number. Raises: NewsError."""
        return _with_orders(await self.account.ask(calls.query_number(instrument, order_id)), _read_one)

    async def open_orders(self, instrument: Instrument, *, is_urgent: bool) -> Answer:
        """List the working orders of an instrument, algo orders included. Raises: NewsError."""
        found: list[OrderNews] = []
        answer = Answer(outcome=Outcome.UNKNOWN)
        asked = calls.open_orders(instrument)
        for call, answer in zip(asked, await asyncio.gather(*(self._ask(call, is_urgent=is_urgent) for call in asked)), strict=True):
            if not answer.is_done:
                return answer
            read = read_algo if call.path == "openAlgoOrders" else read_order
            found += [read(one) for one in _rows(answer.body)]
        return msgspec.structs.replace(answer, news=tuple(found))

    async def order_trades(self, instrument: Instrument, order_id: str) -> Answer:
        """List the trades of an order. Raises: NewsError."""
        return _with_trades(await self.account.ask(calls.trades(instrument, order_id=order_id)))

    async def trades_since(self, instrument: Instrument, mark: TradesMark, *, is_urgent: bool) -> TradesPage:
        """Return a page of the account's trades in an instrument: by number once one is known, before by day. Raises: NewsError."""
        now_ms = self.venue_ms()
        if mark.from_id is not None:
            call = calls.trades(instrument, from_id=mark.from_id)
        else:
            # The venue looks at no more than a day at once.
            call = calls.trades(instrument, start_ms=mark.since_ms, end_ms=min(mark.since_ms + _DAY_MS - 1, now_ms + 60_000))
        answer = _with_trades(await self._ask(call, is_urgent=is_urgent))
        is_last = len(answer.trades) < calls.TRADES_MAX
        if answer.trades:
            mark = msgspec.structs.replace(mark, from_id=max(int(trade.trade_id) for trade in answer.trades) + 1)
        elif answer.is_done and mark.from_id is None and mark.since_ms + _DAY_MS < now_ms:
            mark, is_last = TradesMark(since_ms=mark.since_ms + _DAY_MS), False
        return TradesPage(answer=answer, mark=mark, is_last=is_last)

    async def holdings(self, *, is_urgent: bool) -> Answer:
        """Return balances on spot, positions on USD-M. Raises: NewsError."""
        answer = await self._ask(calls.holdings(self.market), is_urgent=is_urgent)
        if not answer.is_done:
            return answer
        held = read_balances(answer.body) if self.market is Market.SPOT else read_positions(answer.body)
        return msgspec.structs.replace(answer, held=held)

    def read_event(self, event: bytes) -> PrivateNews:
        """Return what an event of the stream says. Raises: NewsError."""
        kind, news = read_event(event)
        if news is not None:
            return PrivateNews(orders=(news,))
        moved = read_money_event(kind, event)
        return PrivateNews(moved=None if moved is None else moved.reason)

    async def _ask(self, call: calls.Call, *, is_urgent: bool) -> Answer:
        return await self.account.ask(msgspec.structs.replace(call, is_urgent=call.is_urgent or is_urgent))


def _with_orders(answer: Answer, read: Callable[[Any], OrderNews | tuple[OrderNews, ...]]) -> Answer:
    if not answer.is_done:
        return answer
    if not isinstance(answer.body, dict):
        raise NewsError("the answer is no object")
    news = read(answer.body)
    return msgspec.structs.replace(answer, news=news if isinstance(news, tuple) else (news,))


def _with_trades(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, trades=read_trades(answer.body)) if answer.is_done else answer


def _read_one(body: Any) -> tuple[OrderNews, ...]:
    """Return an order's answer, or a list's."""
    return read_list(body) if "orderReports" in body else (read_order(body),)


def _rows(body: object) -> list[dict[str, object]]:
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise NewsError("a list was expected")
    return body

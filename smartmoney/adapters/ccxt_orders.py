"""The order side of an account at any venue through ccxt's unified calls, in the words of `adapters.order_side`.

Invariants: every order carries a client id of ours, in the venue's alphabet; amounts and prices leave as exact texts on the instrument's
grid; a price never goes with a market order, which would make it an amount of quote currency at some venues; a list that may be cut short
is no answer; a trade is asked for in windows so small that none is left out; an entry that carries a stop says so in its own request.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from smartmoney.adapters.ccxt_account import CcxtAccount
from smartmoney.adapters.order_side import AccountSide, Answer, LastLook, PrivateNews, TradesMark, TradesPage
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, TimeInForce, attached_id
from smartmoney.venues.binance.order_calls import is_conditional, place_pair
from smartmoney.venues.ccxt_news import CcxtReader, Sized, read_balances
from smartmoney.venues.order_news import Held, NewsError, OrderNews, TradeNews
from smartmoney.venues.outcomes import Outcome

OVERLAP_MS = 60_000
"""Trades are looked for from so long before the last look: a venue may list one late. What is known is known by its id."""
PAGES_MAX = 20
"""A list with more full pages is not read to its end. Venues take fewer orders of an account than that."""
_LIMITS_MAX = 1_000
_WINDOW_MS_MIN = 1


class CcxtOrders(AccountSide[CcxtAccount]):
    """Ask one account at one venue about some instruments."""

    def __init__(self, account: CcxtAccount, instruments: Sequence[Sized]) -> None:
        super().__init__(account)
        self._terms = account.terms
        self._row = account.terms.markets[account.market]
        self._sized = {sized.instrument.symbol: sized for sized in instruments}
        self._reader = CcxtReader(account.terms, instruments, account.market)
        self._window_ms = account.terms.trades_window_ms

    def is_algo(self, instrument: Instrument, intent: OrderIntent) -> bool:
        """Tell whether the venue keeps an order apart."""
        del instrument
        return self._row.stops_apart and is_conditional(intent)

    def is_nameless(self, intent: OrderIntent) -> bool:
        """Tell whether the venue made an order out of an entry, and does not take a name for such a one."""
        return intent.is_attached and not self._row.names_attached

    async def place(self, instrument: Instrument, intents: Sequence[OrderIntent], last_look: LastLook | None = None) -> Answer:
        """Send an order, or a pair where the venue has pairs. Raises: ValueError, NewsError."""
        first = intents[0]
        if len(intents) > 1:
            return await self._place_pair(instrument, intents, last_look)
        call = self._order_call(instrument, first)
        answer = await self.account.ask(call, orders=1, is_urgent=first.reduce_only, last_look=last_look)
        return self._described(answer, is_apart=self.is_algo(instrument, first))

    async def cancel(self, instrument: Instrument, client_id: str, *, is_algo: bool, number: str = "", is_stop: bool = False) -> Answer:
        """Cancel an order; one that is nameless there by the venue's `number`. Raises: NewsError."""
        more = self._row.apart_params if is_algo else self._row.stop_cancel_params if is_stop else {}
        params = {**({} if number else self._named(client_id)), **more}
        client = self.account.client
        answer = await self.account.ask(lambda: client.cancel_order(number or None, instrument.name, params), is_urgent=True)
        return self._described(answer, is_apart=is_algo)

    async def find(self, instrument: Instrument, client_id: str, *, is_algo: bool) -> Answer:
        """Ask for one order by our own id. Raises: NewsError."""
        return await self._find(instrument, self._named(client_id), client_id, is_algo=is_algo)

    async def find_number(self, instrument: Instrument, order_id: str) -> Answer:
        """Ask for one order by the venue's identifier. Raises: NewsError."""
        return await self._find(instrument, {}, order_id, is_algo=False, number=order_id)

    async def open_orders(self, instrument: Instrument, *, is_urgent: bool) -> Answer:
        """List the working orders of an instrument, those apart too. Raises: NewsError."""
        found: list[OrderNews] = []
        answer = Answer(outcome=Outcome.UNKNOWN)
        for is_apart in (False, True) if self._row.stops_apart else (False,):
            params = dict(self._row.apart_list_params) if is_apart else {}
            answer = await self._pages("fetch_open_orders", instrument, params, self._terms.list_max, is_urgent=is_urgent)
            if not answer.is_done:
                return answer
            found += self._reader.orders(answer.body, is_apart=is_apart)
        return msgspec.structs.replace(answer, news=tuple(found))

    async def order_trades(self, instrument: Instrument, order_id: str) -> Answer:
        """List the trades of an order. Raises: NewsError."""
        found: list[TradeNews] = []
        answer = Answer(outcome=Outcome.UNKNOWN)
        for kind in self._row.trade_kinds:
            params = {**kind, self._terms.order_param: order_id}
            answer = await self._pages("fetch_my_trades", instrument, params, self._terms.trades_max, is_urgent=True)
            if not answer.is_done:
                return answer
            found += self._reader.trades(answer.body)
        return msgspec.structs.replace(answer, trades=tuple(found))

    async def trades_since(self, instrument: Instrument, mark: TradesMark, *, is_urgent: bool) -> TradesPage:
        """Return the account's trades of a window of time; a window that the venue fills is halved. Raises: NewsError."""
        now_ms = self.venue_ms()
        end_ms = min(mark.since_ms + self._window_ms - 1, now_ms + OVERLAP_MS)
        found: list[TradeNews] = []
        answer = Answer(outcome=Outcome.UNKNOWN)
        for kind in self._row.trade_kinds:
            listed = await self._window_of(instrument, mark.since_ms, {**kind, "until": end_ms}, is_urgent=is_urgent)
            if listed is None:
                return self._narrowed(mark, end_ms)
            answer = listed
            if not answer.is_done:
                return TradesPage(answer=answer, mark=mark, is_last=True)
            found += self._reader.trades(answer.body)
        self._window_ms = min(self._terms.trades_window_ms, self._window_ms * 2)
        is_last = end_ms >= now_ms
        # The venue may list a trade late: a short time is looked through again and again.
        next_ms = max(mark.since_ms, now_ms - OVERLAP_MS) if is_last else end_ms + 1
        done = msgspec.structs.replace(answer, trades=tuple(found))
        return TradesPage(answer=done, mark=TradesMark(since_ms=next_ms), is_last=is_last)

    async def holdings(self, *, is_urgent: bool) -> Answer:
        """Return balances on spot, positions on derivatives. Raises: NewsError."""
        client = self.account.client
        if self.market is Market.SPOT:
            answer = await self.account.ask(client.fetch_balance, is_urgent=is_urgent)
            return msgspec.structs.replace(answer, held=read_balances(answer.body)) if answer.is_done else answer
        held: list[Held] = []
        answer = Answer(outcome=Outcome.UNKNOWN)
        for sized in self._sized.values():
            names = [sized.instrument.name]
            # One symbol a call: that is all that some venues take, and what is not listed then is flat.
            answer = await self.account.ask(partial(client.fetch_positions, names), is_urgent=is_urgent)
            if not answer.is_done:
                return answer
            held += self._reader.positions(answer.body)
        return msgspec.structs.replace(answer, held=tuple(held))

    def read_event(self, event: tuple[str, Sequence[Mapping[str, Any]]]) -> PrivateNews:
        """Return what the stream says: `("orders" | "orders apart" | "trades", what ccxt shows)`. Raises: NewsError."""
        kind, shown = event
        if kind == "trades":
            paid = [one for one in shown if (one.get("info") or {}).get("execType") in self._terms.paid_as]
            moved = self._terms.paid_as[paid[0]["info"]["execType"]] if paid else None
            return PrivateNews(trades=self._reader.trades([one for one in shown if one not in paid]), moved=moved)
        return PrivateNews(orders=self._reader.orders(list(shown), is_apart=kind == "orders apart"))

    # ---- the calls

    def _order_call(self, instrument: Instrument, intent: OrderIntent) -> Callable[[], Awaitable[Any]]:
        """Return the call that sends an order. Raises: ValueError."""
        row, sized = self._row, self._sized[instrument.symbol]
        is_stop = is_conditional(intent)
        name = self._terms.to_wire(intent.client_order_id)
        params: dict[str, Any] = {self._terms.id_param: name, **(row.stop_params if is_stop else row.plain_params)}
        if is_stop and self._terms.stop_id_param:
            # Beside the plain one: left to itself ccxt puts a name of its own there.
            params[self._terms.stop_id_param] = name
        price = None
        if is_stop:
            params[self._trigger_param(intent)] = _price(instrument, intent.stop_ticks)
        elif intent.type is OrderType.LIMIT:
            price = _price(instrument, intent.price_ticks)
            if intent.post_only and intent.time_in_force is TimeInForce.GTC:
                params["postOnly"] = True
            else:
                params["timeInForce"] = intent.time_in_force.value.upper()
        if row.attach is not None and not is_stop and intent.stop_ticks is not None:
            params |= row.attach(_price(instrument, intent.stop_ticks), self._terms.to_wire(attached_id(intent.client_order_id)))
        if row.has_reduce_only and intent.reduce_only:
            params["reduceOnly"] = True
        kind = "limit" if intent.type is OrderType.LIMIT else "market"
        amount = sized.amount(intent.lots)
        client = self.account.client
        return lambda: client.create_order(instrument.name, kind, intent.side.value, amount, price, dict(params))

    def _trigger_param(self, intent: OrderIntent) -> str:
        return self._row.stop_price_param if intent.type is OrderType.STOP_MARKET else "takeProfitPrice"

    async def _place_pair(self, instrument: Instrument, intents: Sequence[OrderIntent], last_look: LastLook | None) -> Answer:
        """Send a spot pair, which ccxt knows as a venue's own call only. Raises: ValueError, NewsError."""
        if not self._row.has_pairs:
            raise ValueError(f"{self._terms.venue} has no pairs of a stop and a target")
        params = dict(place_pair(instrument, intents[0], intents[1]).params)
        client = self.account.client
        answer = await self.account.ask(lambda: client.privatePostOrderListOco(params), orders=2, is_urgent=True, last_look=last_look)
        if not answer.is_done:
            return answer
        legs = client.parse_orders(answer.body["orderReports"])
        return msgspec.structs.replace(answer, news=self._reader.orders(legs, is_apart=False))

    async def _find(
        self, instrument: Instrument, named: Mapping[str, Any], what: str, *, is_algo: bool, number: str | None = None
    ) -> Answer:
        params = {**named, **(self._row.apart_params if is_algo else {})}
        answer = Answer(outcome=Outcome.NOT_FOUND, message=f"the venue lists no {what}")
        for name in self._terms.find_by:
            call = getattr(self.account.client, name)
            if name == "fetch_order":
                answer = await self.account.ask(partial(call, number, instrument.name, params), is_urgent=True)
            else:
                wanted = params if number is None else {**params, self._terms.order_param: number}
                answer = await self.account.ask(partial(call, instrument.name, None, None, wanted), is_urgent=True)
            if not answer.is_done:
                return answer
            answer = self._described(answer, is_apart=is_algo)
            if answer.news:
                return answer
        return Answer(outcome=Outcome.NOT_FOUND, message=f"the venue lists no {what}")

    async def _pages(self, name: str, instrument: Instrument, params: Mapping[str, Any], page: int, *, is_urgent: bool) -> Answer:
        """Return a list of an instrument to its end; where pages are never short, one that is not full is the last."""
        call, rows, more = getattr(self.account.client, name), list[Any](), dict[str, Any]()
        limit = None if page > _LIMITS_MAX else page
        for _ in range(PAGES_MAX):
            answer = await self.account.ask(partial(call, instrument.name, None, limit, {**params, **more}), is_urgent=is_urgent)
            if not answer.is_done:
                return answer
            if not isinstance(answer.body, list):
                raise NewsError(f"{name}: not a list")
            rows += answer.body
            following = self._following(answer.body) if self._terms.has_short_pages or len(answer.body) >= page else {}
            if following is None:
                break
            if not following:
                return msgspec.structs.replace(answer, body=rows)
            more = dict(following)
        return Answer(outcome=Outcome.UNKNOWN, message=f"{name}: the list is longer than can be read ({len(rows)} rows)")

    def _following(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Return what to ask with for what comes after a page, empty where nothing does; None where it cannot be asked for."""
        if self._terms.next_page is None:
            return None
        try:
            return self._terms.next_page(rows)
        except (LookupError, TypeError, ValueError, AttributeError) as failure:
            raise NewsError(f"a list's end cannot be told: {type(failure).__name__}") from None

    async def _window_of(self, instrument: Instrument, since_ms: int, params: Mapping[str, Any], *, is_urgent: bool) -> Answer | None:
        """Return the trades of a window of time; None where they fill a page, behind which nothing can be told apart any more."""
        rows, more = list[Any](), dict[str, Any]()
        for _ in range(PAGES_MAX):
            answer = await self._trades_call(instrument, since_ms, {**params, **more}, is_urgent=is_urgent)
            if not answer.is_done:
                return answer
            if len(answer.body) >= self._terms.trades_max:
                return None
            rows += answer.body
            more = dict(self._following(answer.body) or {}) if self._terms.has_short_pages else {}
            if not more:
                return msgspec.structs.replace(answer, body=rows)
        return None

    async def _trades_call(self, instrument: Instrument, since_ms: int | None, params: Mapping[str, Any], *, is_urgent: bool) -> Answer:
        client, limit = self.account.client, self._terms.trades_max
        return await self.account.ask(lambda: client.fetch_my_trades(instrument.name, since_ms, limit, dict(params)), is_urgent=is_urgent)

    def _narrowed(self, mark: TradesMark, end_ms: int) -> TradesPage:
        """Ask for the same again in a smaller window."""
        self._window_ms = (end_ms + 1 - mark.since_ms) // 2
        if self._window_ms < _WINDOW_MS_MIN:
            self._window_ms = self._terms.trades_window_ms
            answer = Answer(outcome=Outcome.UNKNOWN, message="more trades in a millisecond than the venue lists")
            return TradesPage(answer=answer, mark=mark, is_last=True)
        return TradesPage(answer=Answer(outcome=Outcome.DONE), mark=mark, is_last=False)

    def _named(self, client_id: str) -> dict[str, Any]:
        """Return the parameter that names an order by our own id; one that the venue cannot have is asked for as it is."""
        with contextlib.suppress(ValueError):
            client_id = self._terms.to_wire(client_id)
        return {self._terms.find_param: client_id}

    def _described(self, answer: Answer, *, is_apart: bool) -> Answer:
        if not answer.is_done:
            return answer
        shown = answer.body if isinstance(answer.body, list) else [answer.body] if isinstance(answer.body, dict) else []
        return msgspec.structs.replace(answer, news=self._reader.orders(shown, is_apart=is_apart))


def _price(instrument: Instrument, ticks: int | None) -> str:
    if ticks is None or ticks <= 0:
        raise ValueError(f"{instrument.symbol}: an order without the price that its type needs")
    return f"{instrument.price(ticks).normalize():f}"

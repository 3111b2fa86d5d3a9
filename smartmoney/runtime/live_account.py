"""Read a live account to a fixed point: trades first, then what works and what is held, then trades again until nothing is new.

So every fill that a position contains was told before the position is, and a difference that remains is a real one. What a spot account
holds beside our own purchases is its owner's: it is measured once and left out ever after.

Invariants: a failed or partial read is no report (missing is not flat); an order that we know to be acknowledged is left out of a report
only when the venue says that it is gone; every loop is bounded.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
import structlog

from smartmoney.adapters.binance_account import Answer, BinanceAccount
from smartmoney.core.domain.entries import AccountReported, MoneyMoved, OrderFilled, Payload
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import OrderReport, PositionReport
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.followed import Followed, FollowedOrders
from smartmoney.venues.binance.order_news import (
    NewsError,
    OrderNews,
    TradeNews,
    read_algo,
    read_balances,
    read_list,
    read_order,
    read_positions,
    read_trades,
)
from smartmoney.venues.binance.outcomes import Outcome

log = structlog.get_logger("account")

ROUNDS_MAX = 6
"""Readings until trades stand still; a market in which they never do is read again at the next turn."""
PAGES_MAX = 200
MOVED_MIN = Decimal("0.01")
"""Quote currency that moved by less is rounding, until it adds up."""
_DAY_MS = 86_400_000


class ReadFailed(Exception):
    """Say that the account could not be read; nothing is reported then. `answer` is the one that failed, where there was one."""

    def __init__(self, what: str, answer: Answer | None = None) -> None:
        super().__init__(what if answer is None else f"{what}: {answer.why()}")
        self.answer = answer


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the journal knows: orders without an end, positions, and the venue's time in ms from which trades may be unknown."""

    orders: tuple[OrderReport, ...] = ()
    positions: tuple[PositionReport, ...] = ()
    since_ms: int = 0


class LiveAccount:
    """Read the account for the gateway. `tell` takes what is new, before anything that follows from it."""

    def __init__(
        self, account: BinanceAccount, followed: FollowedOrders, beginning: Beginning, tell: Callable[[Sequence[Payload]], None]
    ) -> None:
        self._account = account
        self._followed = followed
        self._tell_outside = tell
        self._instruments = followed.instruments
        held = {report.instrument: report.quantity for report in beginning.positions}
        self._ours = [held.get(index, Decimal(0)) for index in range(len(self._instruments))]
        self._since_ms = [beginning.since_ms for _ in self._instruments]
        self._cursor: list[int | None] = [None for _ in self._instruments]
        self._others: list[Decimal | None] = [None for _ in self._instruments]
        self._strangers: set[str] = set()
        self._quote = self._instruments[0].quote
        self._spent = Decimal(0)
        self._quote_held = Decimal(0)
        self._quote_of_others: Decimal | None = None
        self._is_urgent = False

    def tell(self, payloads: Sequence[Payload]) -> None:
        """Hand on what is new, keeping count of what our own fills hold."""
        for payload in payloads:
            if isinstance(payload, OrderFilled):
                fill = payload.fill
                instrument = self._instruments[fill.instrument]
                self._ours[fill.instrument] += instrument.quantity(fill.lots) * fill.side.sign
                self._spent += instrument.notional(fill.price_ticks, fill.lots) * fill.side.sign
                if fill.fee_asset == instrument.base:
                    self._ours[fill.instrument] -= fill.fee
                elif fill.fee_asset == self._quote:
                    self._spent += fill.fee
        if payloads:
            self._tell_outside(payloads)

    async def read(self, *, is_urgent: bool = False) -> AccountReported:
        """Return the account's report, everything that it contains being told.

        An urgent reading uses what the budgets keep for stops, exits and cancels: a start, and doubts, are about just these.

        Raises:
            ReadFailed: some part of it could not be read, or it would not stand still.
        """
        self._is_urgent = is_urgent
        await self._read_trades()
        for _ in range(ROUNDS_MAX):
            spent = self._spent
            listed = await self._open_orders()
            positions = await self._positions()
            reports = await self._reports(listed)
            if not await self._read_trades():
                if spent is self._spent:
                    # Nothing traded while this was read, so that what is held holds exactly what was told.
                    self._tell_moved_quote()
                return AccountReported(orders=tuple(reports), positions=tuple(self._position_reports(positions)))
        raise ReadFailed("the account did not stand still")

    def _tell_moved_quote(self) -> None:
        """Tell what of a spot account's quote currency came or went without a trade of ours, each time once."""
        if self._account.market is not Market.SPOT:
            return
        others = self._quote_held + self._spent
        moved = Decimal(0) if self._quote_of_others is None else others - self._quote_of_others
        if self._quote_of_others is None or abs(moved) >= MOVED_MIN:
            self._quote_of_others = others
        if abs(moved) >= MOVED_MIN:
            at_ns = self._account.venue_ms() * 1_000_000
            self._tell_outside([MoneyMoved(asset=self._quote, amount=moved, reason="balance", reference="", ts_event_ns=at_ns)])

    async def look_up(self, order: Followed) -> Answer:
        """Ask for one order by its client id and tell what is new; the answer says how that went."""
        instrument = self._instruments[order.intent.instrument]
        answer = await self._account.ask(calls.query(instrument, order.intent.client_order_id, as_algo=order.is_algo))
        if answer.is_done:
            self.tell(self._followed.learn(read_algo(answer.body) if order.is_algo else read_order(answer.body)))
        if order.needs_look and order.actual_order_id:
            found = await self._account.ask(calls.query_number(instrument, order.actual_order_id))
            if found.is_done:
                # The order that an algo order sent has a name of its own at some venues: it is known by its number.
                self.tell(self._followed.learn(read_order(found.body)))
        if order.is_behind:
            await self.catch_up(order)
        return answer

    async def catch_up(self, order: Followed) -> None:
        """Fetch the trades of an order whose fills were not all told."""
        if not order.trade_order_id:
            return
        instrument = self._instruments[order.intent.instrument]
        answer = await self._account.ask(calls.trades(instrument, order_id=order.trade_order_id))
        if answer.is_done:
            await self._take_trades(order.intent.instrument, read_trades(answer.body))

    async def _ask(self, call: calls.Call) -> Answer:
        answer = await self._account.ask(msgspec.structs.replace(call, is_urgent=call.is_urgent or self._is_urgent))
        if not answer.is_done:
            raise ReadFailed(f"{call.method} {call.path}", answer)
        return answer

    async def _read_trades(self) -> bool:
        """Fetch what has traded since the last look; tell whether anything was new."""
        is_new = False
        for index in range(len(self._instruments)):
            is_new = await self._read_trades_of(index) or is_new
        return is_new

    async def _read_trades_of(self, index: int) -> bool:
        is_new = False
        instrument = self._instruments[index]
        for _ in range(PAGES_MAX):
            cursor, since_ms = self._cursor[index], self._since_ms[index]
            now_ms = self._account.venue_ms()
            if cursor is not None:
                call = calls.trades(instrument, from_id=cursor)
            else:
                # The venue looks at no more than a day at once.
                end_ms = min(since_ms + _DAY_MS - 1, now_ms + 60_000)
                call = calls.trades(instrument, start_ms=since_ms, end_ms=end_ms)
            found = read_trades((await self._ask(call)).body)
            is_new = await self._take_trades(index, found) or is_new
            if found:
                self._cursor[index] = max(trade.trade_id for trade in found) + 1
            elif cursor is None and since_ms + _DAY_MS < now_ms:
                self._since_ms[index] = since_ms + _DAY_MS
                continue
            if len(found) < calls.TRADES_MAX:
                return is_new
        raise ReadFailed(f"{instrument.name}: more trades than can be read")

    async def _take_trades(self, index: int, trades: Sequence[TradeNews]) -> bool:
        fresh = [trade for trade in trades if not self._followed.knows_trade(index, trade.trade_id)]
        payloads, unknown = self._followed.learn_trades(fresh)
        self.tell(payloads)
        for trade in unknown:
            await self._name(index, trade)
        return bool(fresh)

    async def _name(self, index: int, trade: TradeNews) -> None:
        """Ask whose order a trade belongs to, and tell it."""
        answer = await self._ask(calls.query_number(self._instruments[index], trade.order_id))
        news = read_order(answer.body)
        named = msgspec.structs.replace(trade, client_id=news.client_id)
        order = self._followed.get(news.client_id)
        if order is None:
            self.tell(self._followed.learn_stranger(named))
            return
        self.tell(self._followed.learn(msgspec.structs.replace(news, trades=(named,))))

    async def _open_orders(self) -> list[OrderNews]:
        listed: list[OrderNews] = []
        for instrument in self._instruments:
            for call in calls.open_orders(instrument):
                answer = await self._ask(call)
                read = read_algo if call.path == "openAlgoOrders" else read_order
                listed += [read(one) for one in _listed(answer.body)]
        for news in listed:
            self.tell(self._followed.learn(news))
        return listed

    async def _positions(self) -> dict[int, Decimal]:
        body = (await self._ask(calls.holdings(self._account.market))).body
        if self._account.market is Market.SPOT:
            held = {one.name: one.quantity for one in read_balances(body)}
            self._quote_held = held.get(self._quote, Decimal(0))
            return {index: held.get(instrument.base, Decimal(0)) for index, instrument in enumerate(self._instruments)}
        found = {one.name: one.quantity for one in read_positions(body)}
        return {index: found.get(instrument.symbol, Decimal(0)) for index, instrument in enumerate(self._instruments)}

    async def _reports(self, listed: Sequence[OrderNews]) -> list[OrderReport]:
        reports = []
        seen: set[str] = set()
        for news in listed:
            report = self._followed.report_of(news, listed)
            if report is not None:
                reports.append(report)
                seen.add(report.intent.client_order_id)
            elif news.client_id not in self._strangers:
                self._strangers.add(news.client_id)
                log.warning("an order that is not ours stands on the account; it is left alone", client_order_id=news.client_id)
        for order in list(self._followed.working()):
            if order.intent.client_order_id in seen or not order.is_told:
                continue
            answer = await self.look_up(order)
            if not order.is_ended and (answer.is_done or answer.outcome is not Outcome.NOT_FOUND):
                reports.append(self._followed.report(order))
        # What was acknowledged while this was being read is there, too.
        told = {report.intent.client_order_id for report in reports}
        late = [order for order in self._followed.working() if order.is_told and order.intent.client_order_id not in told | seen]
        return [report for report in reports if not self._has_ended(report)] + [self._followed.report(order) for order in late]

    def _has_ended(self, report: OrderReport) -> bool:
        order = self._followed.get(report.intent.client_order_id)
        return order is not None and order.is_ended

    def _position_reports(self, positions: dict[int, Decimal]) -> list[PositionReport]:
        return [
            PositionReport(instrument=index, quantity=self._own_part(index, total), cost=Decimal(0)) for index, total in positions.items()
        ]

    def _own_part(self, index: int, total: Decimal) -> Decimal:
        """Return the part of a holding that is ours. What somebody else has there is measured at the first look."""
        if self._account.market is Market.USDM:
            return total
        others = self._others[index]
        if others is None:
            # Less there than we bought: somebody sold it, and that must show.
            others = self._others[index] = max(Decimal(0), total - self._ours[index])
        return total - others


def read_answer(answer: Answer, order: Followed) -> Sequence[OrderNews]:
    """Return what the answer to an order or a cancel says.

    Raises:
        NewsError: it cannot be read.
    """
    if not isinstance(answer.body, dict):
        raise NewsError("the answer is no object")
    if "orderReports" in answer.body:
        return read_list(answer.body)
    if order.is_algo:
        return (read_algo(answer.body),)
    return (read_order(answer.body),)


def _listed(body: object) -> list[dict[str, object]]:
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise ReadFailed("a list was expected")
    return body

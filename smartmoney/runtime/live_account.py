"""Read a live account to a fixed point: trades first, then what works and what is held, then trades again until nothing is new.

So every fill that a position contains was told before the position is, and a difference that remains is a real one. What a spot account
holds beside our own purchases is its owner's: it is measured once and left out ever after.

Invariants: a failed or partial read is no report (missing is not flat); an order that we know to be acknowledged is left out of a report
only when the venue says that it is gone; every loop is bounded.
"""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec
import structlog

from smartmoney.adapters.order_side import Answer, OrderSide, TradesMark
from smartmoney.core.domain.entries import AccountReported, HaltRequested, MoneyMoved, OrderFilled, Payload
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import OrderIntent, OrderReport, PositionReport
from smartmoney.venues.followed import Followed, FollowedOrders
from smartmoney.venues.order_news import OrderNews, TradeNews
from smartmoney.venues.outcomes import Outcome

log = structlog.get_logger("account")

ROUNDS_MAX = 6
"""Readings until trades stand still; a market in which they never do is read again at the next turn."""
PAGES_MAX = 200
MOVED_MIN = Decimal("0.01")
"""Quote currency that moved by less is rounding, until it adds up."""


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
        self, account: OrderSide, followed: FollowedOrders, beginning: Beginning, tell: Callable[[Sequence[Payload]], None]
    ) -> None:
        self._account = account
        self._followed = followed
        self._tell_outside = tell
        self._instruments = followed.instruments
        held = {report.instrument: report.quantity for report in beginning.positions}
        self._ours = [held.get(index, Decimal(0)) for index in range(len(self._instruments))]
        self._marks = [TradesMark(since_ms=beginning.since_ms) for _ in self._instruments]
        self._others: list[Decimal | None] = [None for _ in self._instruments]
        self._strangers: dict[tuple[str, str], str] = {}
        """Orders of others that stood at the last reading, by symbol and number."""
        self._strangers_told: set[tuple[str, str]] = set()
        self._opening: set[str] = set()
        self._quote = self._instruments[0].quote
        self._spent = Decimal(0)
        """What our fills cost; another object after each of them."""
        self._as_of = self._spent
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
            # Both to their end: one that ran on would write into the next reading.
            listed, positions = await asyncio.gather(self._open_orders(), self._positions(), return_exceptions=True)
            if isinstance(listed, BaseException):
                raise listed
            if isinstance(positions, BaseException):
                raise positions
            reports = await self._reports(listed)
            if not await self._read_trades() and self._stood_still(reports, spent):
                # Nothing traded while this was read, so that what is held holds exactly what was told.
                self._as_of = spent
                self._tell_moved_quote()
                new = tuple(text for key, text in self._strangers.items() if key not in self._strangers_told)
                return AccountReported(
                    orders=tuple(reports), positions=tuple(self._position_reports(positions)), strangers=new or msgspec.UNSET
                )
        raise ReadFailed("the account did not stand still")

    def still_holds(self, report: AccountReported) -> bool:
        """Tell whether nothing traded and none of its orders ended since a report was made."""
        return self._stood_still(report.orders, self._as_of)

    def _stood_still(self, reports: Sequence[OrderReport], spent: Decimal) -> bool:
        # The stream tells what the lists were read too early for: a report without it would bring dead orders back to life.
        return spent is self._spent and not any(self._has_ended(each) for each in reports)

    def note_reported(self) -> None:
        """Take note that the last report was handed on: the strangers in it are told."""
        self._strangers_told = set(self._strangers)

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
        if self._account.is_nameless(order.intent):
            return await self._look_up_nameless(order)
        answer = await self._account.find(instrument, order.intent.client_order_id, is_algo=order.is_algo)
        self._learn(answer.news)
        if order.needs_look and order.actual_order_id:
            # The order that an algo order sent has a name of its own at some venues: it is known by its number.
            self._learn((await self._account.find_number(instrument, order.actual_order_id)).news)
        if order.is_behind:
            await self.catch_up(order)
        return answer

    async def _look_up_nameless(self, order: Followed) -> Answer:
        """Ask for a stop that the venue made out of an entry: by its number, and before that is known in the list of what works."""
        instrument = self._instruments[order.intent.instrument]
        if order.order_id:
            answer = await self._account.find_number(instrument, order.order_id)
            self._learn(answer.news)
        else:
            answer = await self._account.open_orders(instrument, is_urgent=True)
            self._learn(answer.news)
            if answer.is_done and not order.order_id:
                return Answer(outcome=Outcome.NOT_FOUND, message="the venue lists no such stop")
        if order.is_behind:
            await self.catch_up(order)
        return answer

    def is_nameless(self, order: Followed) -> bool:
        """Tell whether the venue knows an order by its own number only."""
        return self._account.is_nameless(order.intent)

    async def catch_up(self, order: Followed) -> None:
        """Fetch the trades of an order whose fills were not all told."""
        if not order.trade_order_id:
            return
        instrument = self._instruments[order.intent.instrument]
        answer = await self._account.order_trades(instrument, order.trade_order_id)
        await self._take_trades(order.intent.instrument, answer.trades)

    def _learn(self, news: Sequence[OrderNews]) -> None:
        for one in news:
            self.tell(self._followed.learn(one))

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
            page = await self._account.trades_since(instrument, self._marks[index], is_urgent=self._is_urgent)
            found = _done(page.answer, f"trades of {instrument.name}").trades
            is_new = await self._take_trades(index, found) or is_new
            self._marks[index] = page.mark
            if page.is_last:
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
        """Ask whose order a trade belongs to, where it does not say so itself, and tell it."""
        if trade.client_id:
            self.tell(self._followed.learn_stranger(trade))
            return
        what = f"order {trade.order_id}"
        found = _done(await self._account.find_number(self._instruments[index], trade.order_id), what).news
        if not found:
            raise ReadFailed(f"{what} is not described")
        news = found[0]
        named = msgspec.structs.replace(trade, client_id=news.client_id)
        order = self._followed.get(news.client_id)
        if order is None:
            self.tell(self._followed.learn_stranger(named))
            return
        self.tell(self._followed.learn(msgspec.structs.replace(news, trades=(named,))))

    async def _open_orders(self) -> list[OrderNews]:
        listed: list[OrderNews] = []
        for instrument in self._instruments:
            answer = await self._account.open_orders(instrument, is_urgent=self._is_urgent)
            listed += _done(answer, f"open orders of {instrument.name}").news
        self._learn(listed)
        return listed

    async def _positions(self) -> dict[int, Decimal]:
        held = _done(await self._account.holdings(is_urgent=self._is_urgent), "holdings").held
        found = {one.name: one.quantity for one in held}
        is_spot = self._account.market is Market.SPOT
        if is_spot:
            self._quote_held = found.get(self._quote, Decimal(0))
        return {
            index: found.get(instrument.base if is_spot else instrument.symbol, Decimal(0))
            for index, instrument in enumerate(self._instruments)
        }

    async def _reports(self, listed: Sequence[OrderNews]) -> list[OrderReport]:
        reports = []
        seen: set[str] = set()
        self._strangers = {}
        for news in listed:
            report = self._followed.report_of(news, listed)
            if report is not None:
                reports.append(report)
                self._look_whether_it_reduces(report.intent, news)
                seen.add(report.intent.client_order_id)
            else:
                self._strangers[news.symbol, news.order_id] = _described(news)
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

    def _look_whether_it_reduces(self, intent: OrderIntent, news: OrderNews) -> None:
        """Halt, once, for a stop that the venue made of an entry and that could open a position: others are placed beside such stops."""
        if not (intent.is_attached and news.may_open) or intent.client_order_id in self._opening:
            return
        self._opening.add(intent.client_order_id)
        reason = f"the stop {intent.client_order_id}, which the venue made of an entry, does not only reduce: cancel it once another stands"
        self._tell_outside([HaltRequested(reason=reason)])

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


def _described(news: OrderNews) -> str:
    at = f" with its trigger at {news.stop_price:f}" if news.stop_price > 0 else f" at {news.price:f}" if news.price > 0 else ""
    return f"{news.side.value} {news.quantity:f} {news.symbol}{at} ({news.client_id or 'without a name'}, {news.order_id})"


def _done(answer: Answer, what: str) -> Answer:
    if not answer.is_done:
        raise ReadFailed(what, answer)
    return answer

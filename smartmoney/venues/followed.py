"""Follow our own orders through everything that the venue says of them, and say each thing once, in the executor's words. Pure.

News come by stream, by answers and by polling, late, twice, out of order or not at all; what comes out converges all the same: acceptance
once, each trade once (by its id), an end once, and an end never before the fills that the venue counts into it. Trades of orders that are
not ours are told apart: an id in our own form, a venue's own close-out, or a stranger.

Invariants: a trade id is booked once per instrument, whatever was said; an order ends once; what is remembered is bounded.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from smartmoney.core.domain.entries import (
    HaltRequested,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    Payload,
)
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Fill, Liquidity, OrderIntent, OrderReport, OrderType, Purpose, Side, TimeInForce
from smartmoney.venues.order_news import ENDED, NewsError, OrderNews, OrderState, TradeNews

OURS = re.compile(r"sm[A-Za-z0-9_]{1,16}-\d+-\d+")
"""The form of our client order ids (`core.execution.desk`)."""
ENDED_KEPT = 4096
TRADES_KEPT = 200_000
ALGO_PREFIX = "algo-"
"""Marks a venue order id as that of an algo order, which counts by itself."""


class Followed(msgspec.Struct, kw_only=True):
    """Follow one order. `filled_lots` is what was told as fills, `promised_lots` what the venue counts; `end` waits until both agree."""

    intent: OrderIntent
    is_algo: bool
    order_id: str = ""
    actual_order_id: str = ""
    filled_lots: int = 0
    promised_lots: int = 0
    is_told: bool = False
    end: OrderState | None = None
    reason: str = ""
    is_ended: bool = False
    is_recognised: bool = False
    """Its intent is what a listing shows of it, until somebody says what was meant."""
    is_expected: bool = False
    """The venue is making it out of an entry of this life: until it has a number it may be known by where it lies."""
    lies_ticks: int | None = None
    """Where a stop lay at the last listing: a person may have moved it. None while none has shown it."""
    needs_look: bool = False
    """Its conditional part is done: what became of the order that it sent is to be asked."""

    @property
    def venue_order_id(self) -> str:
        """Return the venue's name of it, empty while it has none."""
        return f"{ALGO_PREFIX}{self.order_id}" if self.is_algo and self.order_id else self.order_id

    @property
    def is_stop(self) -> bool:
        """Tell whether it waits for its trigger, as far as was asked for."""
        return self.intent.reduce_only and self.intent.stop_ticks is not None

    @property
    def trade_order_id(self) -> str:
        """Return the identifier under which its trades are listed, empty while there is none."""
        return self.actual_order_id if self.is_algo else self.order_id

    @property
    def is_behind(self) -> bool:
        """Tell whether the venue counts fills that were not told yet."""
        return self.promised_lots > self.filled_lots


class FollowedOrders:
    """Know every order of ours, and every trade that was told."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        is_algo: Callable[[Instrument, OrderIntent], bool],
        known_trades: Iterable[tuple[int, str]] = (),
    ) -> None:
        """Start with the trades (instrument, trade id) that were booked before.

        `is_algo` tells which orders the venue keeps apart from the others, under an identifier that is not that of their trades' order.
        """
        self.instruments = tuple(instruments)
        self._is_algo = is_algo
        self._index = {instrument.symbol: index for index, instrument in enumerate(self.instruments)}
        self._orders: dict[str, Followed] = {}
        self._numbers: dict[tuple[int, str], str] = {}
        self._ended: deque[str] = deque()
        self._trades: dict[tuple[int, str], None] = dict.fromkeys(known_trades)

    def __len__(self) -> int:
        return sum(1 for _ in self.working())

    def get(self, client_order_id: str) -> Followed | None:
        """Return an order, working or recently ended."""
        return self._orders.get(client_order_id)

    def working(self) -> Iterator[Followed]:
        """Yield the orders whose end was not told; it is safe to learn meanwhile."""
        return (order for order in tuple(self._orders.values()) if not order.is_ended)

    def index_of(self, symbol: str) -> int | None:
        """Return the instrument of a symbol, None for one that is not ours."""
        return self._index.get(symbol)

    def knows_trade(self, index: int, trade_id: str) -> bool:
        """Tell whether a trade was told."""
        return (index, trade_id) in self._trades

    def follow(self, intent: OrderIntent, venue_order_id: str = "", filled_lots: int = 0) -> Followed:
        """Follow an order: one that is being sent, or one of an earlier run.

        A stop that the venue makes out of an entry can be listed before the executor, which has yet to hear of the fill, asks for it.
        """
        order = self._orders.get(intent.client_order_id)
        if order is not None:
            if order.is_recognised:
                order.intent, order.is_recognised = intent, False
            return order
        order = Followed(
            intent=intent,
            is_algo=self._is_algo(self.instruments[intent.instrument], intent),
            order_id=venue_order_id.removeprefix(ALGO_PREFIX),
            filled_lots=filled_lots,
            promised_lots=filled_lots,
            is_told=bool(venue_order_id),
        )
        self._orders[intent.client_order_id] = order
        self._number(order)
        return order

    def drop(self, client_order_id: str) -> None:
        """Note that an order never came to be."""
        order = self._orders.get(client_order_id)
        if order is not None and not order.is_ended:
            self._close(order)

    def learn(self, news: OrderNews) -> list[Payload]:
        """Fold what the venue says about an order; return what is new, in the executor's words.

        Raises:
            NewsError: a trade does not fit the instrument's grid.
        """
        index = self._index.get(news.symbol)
        if index is None:
            return []
        order = self._find(index, news)
        if order is None:
            return [payload for trade in news.trades for payload in self._strange(index, trade)]
        replies = self._identify(order, news)
        for trade in news.trades:
            replies += self._trade(index, trade, order)
        if not news.is_algo:
            order.promised_lots = max(order.promised_lots, self._lots(index, news.filled))
        order.needs_look = order.is_algo and news.is_algo and news.state is OrderState.TRIGGERED and order.end is None
        if news.state in ENDED and order.end is None:
            order.end, order.reason = news.state, news.reason
        return replies + self._settle(order)

    def learn_trades(self, trades: Iterable[TradeNews]) -> tuple[list[Payload], list[TradeNews]]:
        """Fold listed trades; return what is new, and the trades of orders whose client id is not known yet.

        Raises:
            NewsError: a trade does not fit the instrument's grid.
        """
        replies: list[Payload] = []
        unknown: list[TradeNews] = []
        for trade in trades:
            index = self._index.get(trade.symbol)
            if index is None or self.knows_trade(index, trade.trade_id):
                continue
            order = self._orders.get(trade.client_id) or self._orders.get(self._numbers.get((index, trade.order_id), ""))
            if order is None:
                unknown.append(trade)
                continue
            replies += self._accept(order, trade)
            replies += self._trade(index, trade, order)
            replies += self._settle(order)
        return replies, unknown

    def learn_stranger(self, trade: TradeNews) -> list[Payload]:
        """Fold a trade whose order, now known by name, is none that we follow."""
        index = self._index.get(trade.symbol)
        return [] if index is None else self._strange(index, trade)

    def report_of(self, news: OrderNews, siblings: Sequence[OrderNews]) -> OrderReport | None:
        """Return a listed order as a report, following it if it is ours by name; None for a stranger's.

        `siblings` are all orders of the listing: the legs of a pair are told by them.
        """
        index = self._index.get(news.symbol)
        if index is None:
            return None
        order = self._find(index, news)
        if order is None:
            if not OURS.fullmatch(news.client_id):
                return None
            self._forget(news.client_id)
            order = self.follow(self._intent_of(index, news, siblings))
            order.is_recognised = True
        return self.report(order, news)

    def report(self, order: Followed, news: OrderNews | None = None) -> OrderReport:
        """Return a followed order as a report: a stop at the level that it has at the venue, or had when the venue last listed it."""
        intent = order.intent
        is_standing = news is not None and news.state is OrderState.WORKING and news.stop_price > 0
        if news is not None and is_standing and intent.purpose is Purpose.STOP:
            order.lies_ticks = int(news.stop_price / self.instruments[intent.instrument].tick_size)
        if order.lies_ticks is not None and order.lies_ticks != intent.stop_ticks:
            intent = msgspec.structs.replace(intent, stop_ticks=order.lies_ticks)
        filled = order.filled_lots if news is None else max(order.filled_lots, self._lots(order.intent.instrument, news.filled))
        number = order.venue_order_id or (news.order_id if news is not None else "")
        return OrderReport(intent=intent, venue_order_id=number, filled_lots=filled)

    def _identify(self, order: Followed, news: OrderNews) -> list[Payload]:
        if news.is_algo == order.is_algo:
            order.order_id = news.order_id or order.order_id
        elif order.is_algo:
            order.actual_order_id = news.order_id
        if news.actual_order_id:
            order.actual_order_id = news.actual_order_id
        self._number(order)
        if order.is_told or order.is_ended or news.state in {OrderState.REJECTED, OrderState.WAITING} or not order.order_id:
            return []
        order.is_told = True
        return [OrderAccepted(client_order_id=order.intent.client_order_id, venue_order_id=order.venue_order_id)]

    def _accept(self, order: Followed, trade: TradeNews) -> list[Payload]:
        """Tell the acceptance of an order that is first heard of by its trade."""
        if order.is_algo:
            order.actual_order_id = order.actual_order_id or trade.order_id
        else:
            order.order_id = order.order_id or trade.order_id
        self._number(order)
        if order.is_told or order.is_ended or not order.order_id:
            return []
        order.is_told = True
        return [OrderAccepted(client_order_id=order.intent.client_order_id, venue_order_id=order.venue_order_id)]

    def _number(self, order: Followed) -> None:
        if order.trade_order_id:
            self._numbers[order.intent.instrument, order.trade_order_id] = order.intent.client_order_id

    def _find(self, index: int, news: OrderNews) -> Followed | None:
        order = self._orders.get(news.client_id) or self._of_number(index, news) or self._of_level(index, news)
        return None if order is not None and _is_another(order, news) else order

    def _forget(self, client_order_id: str) -> None:
        """Make room for an order of the same name."""
        order = self._orders.pop(client_order_id, None)
        if order is not None:
            self._numbers.pop((order.intent.instrument, order.trade_order_id), None)
            self._ended.remove(client_order_id)

    def _of_level(self, index: int, news: OrderNews) -> Followed | None:
        """Return the stop that an entry of ours carried, which the venue shows without a name: known by instrument, side and trigger.

        Only the position's own one can be that: there is one at most, and it lies where the entry that has just filled told it to. An
        ordinary conditional order at the same price is a person's, and so is whatever an earlier life left without a number.
        """
        if news.client_id or not news.is_positions_own or not news.is_reduce_only or news.stop_price <= 0:
            return None
        for order in self.working():
            intent = order.intent
            is_it = order.is_expected and intent.instrument == index and intent.side is news.side
            if is_it and order.order_id in {"", news.order_id} and intent.stop_ticks == self._ticks(index, news.stop_price):
                return order
        return None

    def _of_number(self, index: int, news: OrderNews) -> Followed | None:
        return None if news.is_algo else self._orders.get(self._numbers.get((index, news.order_id), ""))

    def _trade(self, index: int, trade: TradeNews, order: Followed | None) -> list[Payload]:
        key = (index, trade.trade_id)
        if key in self._trades:
            return []
        fill = self._fill(index, trade, trade.client_id if order is None else order.intent.client_order_id)
        self._trades[key] = None
        if len(self._trades) > TRADES_KEPT:
            del self._trades[next(iter(self._trades))]
        if order is not None:
            order.filled_lots += fill.lots
            order.promised_lots = max(order.promised_lots, order.filled_lots)
        return [OrderFilled(fill=fill)]

    def _strange(self, index: int, trade: TradeNews) -> list[Payload]:
        """Judge a trade that no order of ours explains.

        In USD-M the position is one, whoever trades, so the trade is booked (the executor halts at it); on spot what somebody else buys or
        sells is not ours to protect or to sell, and only the halt is asked for.
        """
        instrument = self.instruments[index]
        if instrument.market is Market.USDM or OURS.fullmatch(trade.client_id):
            return self._trade(index, trade, None)
        key = (index, trade.trade_id)
        if key in self._trades:
            return []
        self._trades[key] = None
        what = f"{trade.side.value} {trade.quantity} {instrument.name} at {trade.price}"
        return [HaltRequested(reason=f"somebody else trades on this account: {what} (trade {trade.trade_id})")]

    def _fill(self, index: int, trade: TradeNews, client_order_id: str) -> Fill:
        instrument = self.instruments[index]
        try:
            return Fill(
                trade_id=trade.trade_id,
                client_order_id=client_order_id,
                instrument=index,
                side=trade.side,
                price_ticks=instrument.ticks(trade.price),
                lots=instrument.lots(trade.quantity),
                fee=trade.fee,
                fee_asset=trade.fee_asset,
                liquidity=Liquidity.MAKER if trade.is_maker else Liquidity.TAKER,
                ts_event_ns=trade.time_ms * 1_000_000,
            )
        except ValueError as failure:
            raise NewsError(f"trade {trade.trade_id} cannot be booked: {failure}") from None

    def _settle(self, order: Followed) -> list[Payload]:
        """Tell an order's end once every fill that the venue counts was told."""
        if order.end is None or order.is_ended or order.is_behind:
            return []
        self._close(order)
        name, reason = order.intent.client_order_id, order.reason
        if order.end is OrderState.REJECTED:
            return [OrderRejected(client_order_id=name, reason=reason or "rejected by the venue")]
        if order.end is OrderState.CANCELED:
            return [OrderCanceled(client_order_id=name, reason=reason)]
        if order.end is OrderState.FILLED and order.filled_lots >= order.intent.lots:
            return []
        return [OrderExpired(client_order_id=name, reason=reason or ("cut by the venue" if order.end is OrderState.FILLED else ""))]

    def _close(self, order: Followed) -> None:
        order.is_ended = True
        self._ended.append(order.intent.client_order_id)
        while len(self._ended) > ENDED_KEPT:
            gone = self._orders.pop(self._ended.popleft(), None)
            if gone is not None:
                self._numbers.pop((gone.intent.instrument, gone.trade_order_id), None)

    def _ticks(self, index: int, price: Decimal) -> int | None:
        ticks = price / self.instruments[index].tick_size
        return int(ticks) if ticks == int(ticks) else None

    def _lots(self, index: int, quantity: Decimal) -> int:
        return self.instruments[index].floor_lots(quantity)

    def _intent_of(self, index: int, news: OrderNews, siblings: Sequence[OrderNews]) -> OrderIntent:
        """Return the intent that an order of ours must have had, whose own record is lost."""
        instrument = self.instruments[index]
        waits = news.stop_price > 0
        is_market = news.kind == "MARKET"
        # Of ours nothing but stops is kept apart, whatever the venue says of one that it made itself.
        reduces = news.is_reduce_only or news.is_algo or (instrument.market is Market.SPOT and news.side is Side.SELL)
        purpose = Purpose.ENTRY
        if reduces:
            purpose = Purpose.STOP if waits else Purpose.EXIT if is_market else Purpose.TARGET
        pair = [one for one in siblings if news.list_id and one.list_id == news.list_id and one.stop_price > 0]
        return OrderIntent(
            client_order_id=news.client_id,
            instrument=index,
            side=news.side,
            type=OrderType.STOP_MARKET if waits else OrderType.MARKET if is_market else OrderType.LIMIT,
            lots=max(1, self._lots(index, news.quantity)),
            purpose=purpose,
            time_in_force=TimeInForce.IOC if is_market else TimeInForce.GTC,
            price_ticks=instrument.ticks(news.price) if news.price > 0 and not is_market else None,
            stop_ticks=instrument.ticks(news.stop_price) if waits else None,
            reduce_only=reduces,
            oco_group=pair[0].client_id if pair else (news.client_id if purpose is Purpose.STOP else None),
            attached_to=news.attached_to or msgspec.UNSET,
        )


def _is_another(order: Followed, news: OrderNews) -> bool:
    """Tell whether the venue shows a stop of its own making after it was given up, or one more of the same entry."""
    is_made_there = order.is_ended and order.intent.is_attached
    return is_made_there and news.state is OrderState.WORKING and news.order_id != order.order_id

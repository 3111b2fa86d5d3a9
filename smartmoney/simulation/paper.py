"""The paper venue: orders meet the live book after a latency, take real depth, wait in a real queue, and pay fees. A pure reducer.

What it assumes, on the careful side:

* An order or a cancel takes effect at the first entry at or after its latency, in the order of sending; its replies come at once.
* A marketable order takes what is shown, level by level; what it took stays taken until the venue shows another quantity there.
* A resting order waits behind all that is shown at its price. Trades at the price by the opposite aggressor use up that queue; a cancel
  ahead of it counts only once less is shown than is ahead (`queue` "careful"), or with its share of the whole queue ("even"). Lots that
  trade beyond the queue are ours, each lot once, oldest order first.
  A trade through the price fills it whole; an opposite touch at or through the price fills it with what is shown there.
* STOP_MARKET triggers on a later trade, or on the touch it would trade against, at or through its trigger; then it takes depth as a taker,
  and what finds no depth expires. TAKE_PROFIT_MARKET likewise, from the other side.
* Without a synced book nothing fills or triggers; orders wait, cancels work.
* Perpetual positions pay funding (`paper_funding.py`).

Invariants: reduce-only orders never flip a position; a fill of an oco order takes as many lots off its siblings; spot never sells more than
is held and never spends more cash than there is; trade ids never repeat.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from smartmoney.core.book.queue import move_up
from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.entries import (
    AccountReported,
    CancelRejected,
    FundingPaid,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReply,
)
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import (
    Fill,
    Liquidity,
    OrderIntent,
    OrderReport,
    OrderType,
    PositionReport,
    Side,
    TimeInForce,
)
from smartmoney.core.engine.stretch import Place, WaitedPrice, Waits
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.simulation.order_latency import OrderLatency, uniform
from smartmoney.simulation.paper_depth import ASK, BID, ConsumedDepth, DepthView, LastTrade
from smartmoney.simulation.paper_funding import FundingClock, Traded
from smartmoney.simulation.paper_orders import Request, Working, is_marketable, is_triggered, trigger_direction
from smartmoney.simulation.paper_parameters import PaperParameters

WORKING_ORDERS_MAX = 200
PENDING_REQUESTS_MAX = 1024
KNOWN_IDS_MAX = 16_384

_BP = Decimal("0.0001")
_EACH = Waits(each=True)


class PaperVenue:
    """Be the venue of a paper account. Call `advance` after every entry that was folded; its replies are entries of the same inbox."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        parameters: PaperParameters,
        *,
        run_id: str,
        cash: Decimal,
        positions: Sequence[PositionReport] = (),
        orders: Sequence[OrderReport] = (),
        fundings: Sequence[str] = (),
        funded_wall_ns: int | None = None,
        traded: Sequence[Traded] = (),
        trade_count: int = 0,
        latency: OrderLatency | None = None,
    ) -> None:
        """Open an account, or take one up: `fundings` are booked; none is missing until `funded_wall_ns`, `traded` is what was since."""
        self._instruments = tuple(instruments)
        self._parameters = parameters
        self._latency = latency or OrderLatency(median_ms=parameters.latency_ms)
        self._is_even = int(parameters.queue == "even")
        self._run_id = run_id
        self._account = Portfolio(instruments, cash, positions, fundings)
        self._funding = FundingClock(parameters.funding_bps, self._instruments, funded_wall_ns, traded)
        self._requests: deque[Request] = deque()
        self._working: dict[str, Working] = {}
        self._waited: list[Working] = []  # as of `waits`
        self._known: dict[str, None] = {}
        self._consumed = [ConsumedDepth() for _ in self._instruments]
        self._trade_seen = [-1] * len(self._instruments)
        self._trade_count = trade_count
        self._order_count = 0
        self._ts_event_ns = 0
        self._replies: list[OrderReply | FundingPaid] = []
        self.restore(orders)

    @property
    def trade_count(self) -> int:
        """Return the number of the last trade id, to start the next run from."""
        return self._trade_count

    @property
    def is_idle(self) -> bool:
        """Tell whether no order works or travels, so that `advance` has nothing to do."""
        return not self._working and not self._requests and not self._replies

    @property
    def account(self) -> Portfolio:
        """Return the account as the venue keeps it, to be read; money paid in or taken out is booked there too."""
        return self._account

    def restore(self, orders: Sequence[OrderReport]) -> None:
        """Take back orders that were working before a restart; they queue anew at the next synced book."""
        for report in orders:
            self._know(report.intent.client_order_id)
            self._working[report.intent.client_order_id] = Working(report.intent, report.venue_order_id, report.filled_lots)

    def submit(self, intent: OrderIntent, now_mono_ns: int) -> None:
        """Send an order."""
        if len(self._requests) >= PENDING_REQUESTS_MAX:
            self._replies.append(OrderRejected(client_order_id=intent.client_order_id, reason="too many requests"))
            return
        self._requests.append(Request(self._due(now_mono_ns, intent.client_order_id), intent.client_order_id, intent))

    def cancel(self, client_order_id: str, now_mono_ns: int) -> None:
        """Send a cancel."""
        if len(self._requests) >= PENDING_REQUESTS_MAX:
            self._replies.append(CancelRejected(client_order_id=client_order_id, reason="too many requests"))
            return
        self._requests.append(Request(self._due(now_mono_ns, f"cancel {client_order_id}"), client_order_id, None))

    def report(self) -> AccountReported:
        """Return what is working and held at the venue now; orders still on the way are not there yet."""
        orders = tuple(
            OrderReport(
                intent=msgspec.structs.replace(order.intent, lots=order.filled + order.leaves),
                venue_order_id=order.venue_order_id,
                filled_lots=order.filled,
            )
            for order in self._working.values()
        )
        return AccountReported(orders=orders, positions=self._account.reports())

    def advance(
        self, now_mono_ns: int, ts_event_ns: int, market: Sequence[DepthView], *, is_same: bool = False
    ) -> list[OrderReply | FundingPaid]:
        """Let the market reach resting orders, then what has arrived meanwhile reach the market; return the replies in order.

        `ts_event_ns` is the venue's clock as last seen; `is_same`: the market and its time are those of the call before, which has met the
        orders already. Cost: nothing while no order works or travels.
        """
        if self.is_idle:
            return []
        self._ts_event_ns = ts_event_ns
        for index in () if is_same else sorted({order.intent.instrument for order in self._working.values()}):
            self._meet_market(index, market[index])
        while self._requests and self._requests[0].due_mono_ns <= now_mono_ns:
            request = self._requests.popleft()
            if request.intent is None:
                self._cancel_now(request.client_order_id)
            else:
                self._arrive(request.intent, market[request.intent.instrument], market)
        replies, self._replies = self._replies, []
        return replies

    @property
    def pays_at_wall_ns(self) -> int:
        """Return the time on our wall clock before which `pay_funding` has nothing to do."""
        return self._funding.due_wall_ns

    def pay_funding(self, now_wall_ns: int, ts_event_ns: int, market: Sequence[DepthView]) -> None:
        """Pay or receive the funding that is due on what is held; `advance` tells it."""
        self._replies += self._funding.pay(now_wall_ns, self._account, market, ts_event_ns)

    def waits(self, market: Sequence[DepthView]) -> Waits:
        """Return what `advance` waits for: entries at which none of it happens it may be spared, save for `pass_over`."""
        self._waited = []
        traded_in = {order.intent.instrument for order in self._working.values()}
        if self._replies or not all(self._has_seen(index, market[index]) for index in traded_in):
            return _EACH
        prices = []
        for order in self._working.values():
            view, intent = market[order.intent.instrument], order.intent
            if order.waits:
                return _EACH
            if intent.type is OrderType.LIMIT and not self._is_ever_filled(order):
                continue  # it rests until it is withdrawn
            if intent.type is OrderType.LIMIT:
                if intent.price_ticks is None or order.queue_ahead is None or is_marketable(intent, view) or order.is_behind(view):
                    return _EACH
                own, other = (BID, ASK) if intent.side is Side.BUY else (ASK, BID)
                place = (order.shown, order.queue_ahead, order.traded, self._is_even)
                prices.append(WaitedPrice(intent.instrument, -intent.side.sign, intent.price_ticks, other, own, *place))
            elif intent.stop_ticks is None or is_triggered(order.intent, view, None):
                return _EACH
            else:
                other = ASK if intent.side is Side.BUY else BID
                prices.append(WaitedPrice(intent.instrument, trigger_direction(intent), intent.stop_ticks, other))
            self._waited.append(order)
        due_mono_ns = self._requests[0].due_mono_ns if self._requests else NEVER
        return Waits(prices=tuple(prices), due_mono_ns=due_mono_ns, pay_wall_ns=self._funding.due_wall_ns)

    def _has_seen(self, index: int, view: DepthView) -> bool:
        return view.synced and self._trade_seen[index] == view.last_trade().trade_id

    def pass_over(self, trade_ids: Sequence[int], places: Sequence[Place]) -> None:
        """Note that entries were spared up to these last trades, by instrument; orders moved up to `places`, in the order of `waits`."""
        for order in self._working.values():
            self._trade_seen[order.intent.instrument] = trade_ids[order.intent.instrument]
        for order, place in zip(self._waited, places, strict=True):
            if order.queue_ahead is not None:
                order.shown, order.queue_ahead, order.traded = place

    def _due(self, now_mono_ns: int, request: str) -> int:
        due = now_mono_ns + self._latency.delay_ns(request)
        # One connection: nothing overtakes what was sent before it.
        return max(due, self._requests[-1].due_mono_ns) if self._requests else due

    def _know(self, client_order_id: str) -> bool:
        if client_order_id in self._known:
            return False
        self._known[client_order_id] = None
        if len(self._known) > KNOWN_IDS_MAX:
            del self._known[next(iter(self._known))]
        return True

    def _cancel_now(self, client_order_id: str) -> None:
        if self._working.pop(client_order_id, None) is None:
            self._replies.append(CancelRejected(client_order_id=client_order_id, reason="unknown order"))
        else:
            self._replies.append(OrderCanceled(client_order_id=client_order_id, reason="requested"))

    def _arrive(self, intent: OrderIntent, view: DepthView, market: Sequence[DepthView]) -> None:
        problem = self._problem(intent, view, market)
        if problem is not None:
            self._replies.append(OrderRejected(client_order_id=intent.client_order_id, reason=problem))
            return
        self._order_count += 1
        order = Working(intent, f"paper-{self._run_id}-o{self._order_count}")
        self._working[intent.client_order_id] = order
        self._replies.append(OrderAccepted(client_order_id=intent.client_order_id, venue_order_id=order.venue_order_id))
        if intent.reduce_only:
            order.leaves = min(order.leaves, self._reducible(intent))
            order.trimmed = intent.lots - order.leaves
        if view.synced:
            self._trade_seen[intent.instrument] = view.last_trade().trade_id
            self._enter_book(order, view)

    def _problem(self, intent: OrderIntent, view: DepthView, market: Sequence[DepthView]) -> str | None:
        """Say why the venue refuses an order, or None."""
        if not self._know(intent.client_order_id):
            return "duplicate client order id"
        if len(self._working) >= WORKING_ORDERS_MAX:
            return "too many open orders"
        grid = self._instruments[intent.instrument]
        if not grid.min_lots <= intent.lots <= grid.max_lots:
            return "lot size"
        if intent.post_only and not view.synced:
            return "book not synced"
        if intent.post_only and is_marketable(intent, view):
            return "post only would cross"
        if intent.reduce_only and self._reducible(intent) <= 0:
            return "reduce only: nothing to reduce"
        if not intent.reduce_only and intent.price_ticks is not None and grid.notional(intent.price_ticks, intent.lots) < grid.min_notional:
            return "min notional"
        if grid.market is not Market.SPOT:
            return None if intent.reduce_only or self._has_margin(intent, market) else "insufficient margin"
        if intent.side is Side.SELL:
            free = max(0, self._account.position_lots(intent.instrument)) - self._locked_lots(intent)
            wanted = min(intent.lots, self._reducible(intent)) if intent.reduce_only else intent.lots
            return None if wanted <= free else "insufficient balance"
        cost = self._cost(intent, view)
        return None if cost is not None and cost <= self._account.cash - self._locked_cash() else "insufficient balance"

    def _reducible(self, intent: OrderIntent) -> int:
        return max(0, -intent.side.sign * self._account.position_lots(intent.instrument))

    def _locked_lots(self, intent: OrderIntent) -> int:
        """Return the lots that other sells hold locked: an oco_group locks once, with its largest member, and not against its own."""
        alone = 0
        groups: dict[str, int] = {}
        for order in self._orders_of(intent.instrument):
            group = order.intent.oco_group
            if order.intent.side is not Side.SELL:
                continue
            if group is None:
                alone += order.leaves
            elif group != intent.oco_group:
                groups[group] = max(groups.get(group, 0), order.leaves)
        return alone + sum(groups.values())

    def _locked_cash(self) -> Decimal:
        total = Decimal(0)
        for order in self._working.values():
            grid = self._instruments[order.intent.instrument]
            if order.intent.side is Side.BUY and grid.market is Market.SPOT and order.intent.price_ticks is not None:
                total += grid.notional(order.intent.price_ticks, order.leaves) * (1 + self._parameters.taker_bps * _BP)
        return total

    def _cost(self, intent: OrderIntent, view: DepthView) -> Decimal | None:
        """Return the most cash that a spot buy could take, fee included; None when it cannot be told."""
        grid = self._instruments[intent.instrument]
        fee = 1 + self._parameters.taker_bps * _BP
        if intent.price_ticks is not None:
            return grid.notional(intent.price_ticks, intent.lots) * fee
        if not view.synced or intent.type is not OrderType.MARKET:
            return None
        notional, left = Decimal(0), intent.lots
        for ticks, _, free in self._consumed[intent.instrument].offers(view, ASK, None):
            notional += grid.notional(ticks, min(free, left))
            left -= min(free, left)
            if left == 0:
                break
        return notional * fee

    def _has_margin(self, intent: OrderIntent, market: Sequence[DepthView]) -> bool:
        """Tell whether equity times leverage covers the position after the order and the others that may raise risk."""
        marks: list[Decimal | None] = []
        for grid, view in zip(self._instruments, market, strict=True):
            marks.append(grid.price(view.best_bid_ticks) if view.synced and view.best_bid_ticks > 0 else None)
        equity = self._account.equity(marks)
        if equity is None:
            return False
        grid, view = self._instruments[intent.instrument], market[intent.instrument]
        side_lots = sum(
            order.leaves
            for order in self._orders_of(intent.instrument)
            if order.intent.side is intent.side and not order.intent.reduce_only
        )
        after = abs(self._account.position_lots(intent.instrument) + intent.side.sign * (side_lots + intent.lots))
        ticks = max(intent.price_ticks or 0, view.best_ask_ticks)
        elsewhere = sum(
            (abs(self._account.position(index).quantity) * mark for index, mark in enumerate(marks) if mark and index != intent.instrument),
            Decimal(0),
        )
        return ticks > 0 and grid.notional(ticks, after) + elsewhere <= equity * self._parameters.leverage

    def _orders_of(self, index: int) -> Iterator[Working]:
        """Yield the working orders of an instrument, oldest first; those that end meanwhile are left out."""
        for order in tuple(self._working.values()):
            if order.intent.instrument == index and order.intent.client_order_id in self._working:
                yield order

    def _enter_book(self, order: Working, view: DepthView) -> None:
        """Match an order on its arrival and rest, expire or arm what is left."""
        order.waits = False
        intent = order.intent
        if intent.type in {OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET}:
            if is_triggered(order.intent, view, None):
                self._take(order, view, None)
                self._expire(order, "no more depth")
            return
        if intent.time_in_force is TimeInForce.FOK and not self._can_fill_whole(order, view):
            self._expire(order, "cannot be filled whole")
            return
        self._take(order, view, intent.price_ticks)
        if intent.type is OrderType.MARKET or intent.time_in_force is not TimeInForce.GTC:
            self._expire(order, "no more depth within the price")
        elif self._is_alive(order) and intent.price_ticks is not None:
            order.queue_ahead = order.shown = view.level_lots(BID if intent.side is Side.BUY else ASK, intent.price_ticks)

    def _can_fill_whole(self, order: Working, view: DepthView) -> bool:
        side = ASK if order.intent.side is Side.BUY else BID
        offers = self._consumed[order.intent.instrument].offers(view, side, order.intent.price_ticks)
        return sum(free for _, _, free in offers) >= order.leaves

    def _take(self, order: Working, view: DepthView, worst_ticks: int | None, resting_ticks: int | None = None) -> None:
        """Fill an order from shown depth, at the level's price as a taker, or at its own price when it was `resting_ticks` there first."""
        side = ASK if order.intent.side is Side.BUY else BID
        consumed = self._consumed[order.intent.instrument]
        for ticks, shown, free in consumed.offers(view, side, worst_ticks):
            lots = min(free, order.leaves)
            consumed.take(side, ticks, shown, lots)
            if resting_ticks is None:
                self._fill(order, ticks, lots, Liquidity.TAKER)
            else:
                self._fill(order, resting_ticks, lots, Liquidity.MAKER)
            if not self._is_alive(order):
                return

    def _is_alive(self, order: Working) -> bool:
        return order.intent.client_order_id in self._working

    def _meet_market(self, index: int, view: DepthView) -> None:
        if not view.synced:
            return
        last = view.last_trade()
        trade = last if last.trade_id != self._trade_seen[index] and last.lots > 0 else None
        self._trade_seen[index] = last.trade_id
        ours = 0
        for order in self._orders_of(index):
            if order.waits:
                self._enter_book(order, view)
            elif order.intent.type is not OrderType.LIMIT:
                if is_triggered(order.intent, view, trade):
                    self._take(order, view, None)
                    self._expire(order, "no more depth")
            else:
                ours += self._meet_resting(order, view, trade, ours)

    def _meet_resting(self, order: Working, view: DepthView, trade: LastTrade | None, ours: int) -> int:
        """Fill a resting order from a trade or a crossing touch; return the traded lots that it got. `ours` were given to older orders."""
        price = order.intent.price_ticks
        if price is None or order.queue_ahead is None or not self._is_ever_filled(order):
            return 0
        sign = order.intent.side.sign
        got = lots = 0
        if trade is not None and (trade.ticks - price) * sign < 0:
            self._fill(order, price, order.leaves, Liquidity.MAKER)
        elif trade is not None and trade.ticks == price and trade.sign == -sign:
            lots = trade.lots
            got = min(order.leaves, max(0, lots - order.queue_ahead - ours))
            if got > 0:
                self._fill(order, price, got, Liquidity.MAKER)
        if self._is_alive(order) and is_marketable(order.intent, view):
            self._take(order, view, price, resting_ticks=price)
        shown = view.level_lots(BID if sign > 0 else ASK, price)
        order.queue_ahead, order.traded = move_up(order.queue_ahead, order.shown, order.traded, lots, shown, self._is_even)
        order.shown = shown
        return got

    def _is_ever_filled(self, order: Working) -> bool:
        share = self._parameters.passive_share
        return share >= 1.0 or uniform(f"turn {order.intent.client_order_id}") < share

    def _fill(self, order: Working, ticks: int, lots: int, liquidity: Liquidity) -> None:
        intent = order.intent
        grid = self._instruments[intent.instrument]
        rate = (self._parameters.maker_bps if liquidity is Liquidity.MAKER else self._parameters.taker_bps) * _BP
        is_base_fee = self._parameters.fee_in_base and grid.market is Market.SPOT and intent.side is Side.BUY
        self._trade_count += 1
        fill = Fill(
            trade_id=f"paper-{self._run_id}-{self._trade_count}",
            client_order_id=intent.client_order_id,
            instrument=intent.instrument,
            side=intent.side,
            price_ticks=ticks,
            lots=lots,
            fee=(grid.quantity(lots) if is_base_fee else grid.notional(ticks, lots)) * rate,
            fee_asset=grid.base if is_base_fee else grid.quote,
            liquidity=liquidity,
            ts_event_ns=self._ts_event_ns,
        )
        self._account.apply(fill)
        self._replies.append(OrderFilled(fill=fill))
        order.filled += lots
        order.leaves -= lots
        if order.leaves == 0:
            self._finish(order)
        self._shrink_siblings(order, lots)
        self._trim_reduce_only(intent.instrument)

    def _finish(self, order: Working) -> None:
        self._working.pop(order.intent.client_order_id, None)
        self._account.order_closed(order.intent.client_order_id)
        if order.trimmed > 0:
            self._replies.append(OrderExpired(client_order_id=order.intent.client_order_id, reason="reduce only: nothing left to reduce"))

    def _expire(self, order: Working, reason: str) -> None:
        if self._working.pop(order.intent.client_order_id, None) is not None:
            self._account.order_closed(order.intent.client_order_id)
            self._replies.append(OrderExpired(client_order_id=order.intent.client_order_id, reason=reason))

    def _drop(self, order: Working, reason: str) -> None:
        self._working.pop(order.intent.client_order_id, None)
        self._account.order_closed(order.intent.client_order_id)
        self._replies.append(OrderCanceled(client_order_id=order.intent.client_order_id, reason=reason))

    def _shrink_siblings(self, order: Working, lots: int) -> None:
        group = order.intent.oco_group
        if group is None:
            return
        for sibling in self._orders_of(order.intent.instrument):
            if sibling is not order and sibling.intent.oco_group == group:
                sibling.leaves = max(0, sibling.leaves - lots)
                if sibling.leaves == 0 or order.leaves == 0:
                    self._drop(sibling, "oco")

    def _trim_reduce_only(self, index: int) -> None:
        for order in self._orders_of(index):
            if not order.intent.reduce_only:
                continue
            excess = order.leaves - self._reducible(order.intent)
            if excess > 0:
                order.trimmed += excess
                order.leaves -= excess
                if order.leaves == 0:
                    self._drop(order, "reduce only: nothing to reduce")

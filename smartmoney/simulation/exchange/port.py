"""Join accounts' orders with the books: what is submitted, which book order belongs to whom, and what happened to it.

The port speaks to `SimulatedBook` only; venues decide what may be sent and what a happening means. Triggers and order lists are the
book's own: they act in the instant of the trade that reaches them, and the port tells of it afterwards.
"""

from collections.abc import Mapping, Sequence

import msgspec

from smartmoney.simulation import matching
from smartmoney.simulation.client_orders import NewOrder
from smartmoney.simulation.exchange.orders import Order
from smartmoney.simulation.ladder import (
    ASK,
    BID,
    ID,
    KIND,
    LOTS,
    MAKER,
    ORDER_EXPIRED,
    ORDER_REDUCED,
    ORDER_RESTED,
    ORDER_TRIGGERED,
    TAKER,
    TICK,
    TIME,
    TRADE,
)
from smartmoney.simulation.market import Rows, SimulatedBook
from smartmoney.simulation.order_table import EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER, NO_STP, NO_TRIGGER

_TIFS = {"GTC": matching.GTC, "GTX": matching.GTC, "GTD": matching.GTC, "IOC": matching.IOC, "FOK": matching.FOK}
_STPS = {"EXPIRE_TAKER": EXPIRE_TAKER, "EXPIRE_MAKER": EXPIRE_MAKER, "EXPIRE_BOTH": EXPIRE_BOTH, "NONE": NO_STP}
_LEVELS = 5000


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Say how an order goes to its book: tick 0 is at market; with a trigger it waits there until a trade reaches `trigger_tick`."""

    tick: int
    tif: str
    post_only: bool = False
    reduce_only: bool = False
    trigger: int = NO_TRIGGER
    trigger_tick: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """Say what a book answered: a status of `entry` (negative: refused) and the lots that traded at once."""

    status: int
    filled_lots: int = 0

    @property
    def is_taken(self) -> bool:
        """Tell whether the book took the order."""
        return self.status >= 0

    @property
    def would_take(self) -> bool:
        """Tell whether a post-only order was refused because it would have traded."""
        return self.status == matching.REJECTED_POST_ONLY


class Execution(msgspec.Struct, frozen=True):
    """Be one side of a trade of a known order; `time_ns` is the wall's."""

    order: Order
    trade_id: int
    tick: int
    lots: int
    is_maker: bool
    time_ns: int


class Turn(msgspec.Struct, frozen=True):
    """Be an order's turn in its book: its trigger was reached, or it stands (or waits for its trigger) from now on."""

    order: Order
    is_triggered: bool
    time_ns: int


class Ending(msgspec.Struct, frozen=True):
    """Be the end, by the book, of what was left of an order, with the book's reason; `is_whole` is false where it lost some lots only."""

    order: Order
    lots: int
    why: int
    is_whole: bool
    time_ns: int


class Port:
    """Carry orders of one market's accounts into its books and bring back what happened to them."""

    def __init__(self, books: Mapping[str, SimulatedBook], origin_ns: int) -> None:
        self.books = books
        self._origin_ns = origin_ns
        self._orders: dict[tuple[str, int], Order] = {}

    def submit(self, order: Order, terms: Terms) -> Outcome:
        """Send an order to its book; what it does there comes with `happenings`."""
        placed = self.books[order.asked.symbol].place(_new_order(order, terms))
        if not placed.is_refused:
            self._link((order,), (placed.order_id,))
        return Outcome(placed.status, placed.filled)

    def submit_pair(self, legs: Sequence[tuple[Order, Terms]]) -> Outcome:
        """Send a pair of which one ends the other."""
        (first, _), (second, _) = legs
        placed = self.books[first.asked.symbol].place_oco(*(_new_order(order, terms) for order, terms in legs))
        if placed.status >= 0:
            self._link((first, second), placed.order_ids)
        return Outcome(placed.status)

    def submit_list(self, working: tuple[Order, Terms], legs: Sequence[tuple[Order, Terms]]) -> Outcome:
        """Send a working order with a pair behind it, which the book places when the working order is filled whole."""
        orders = (working[0], *(order for order, _ in legs))
        placed = self.books[working[0].asked.symbol].place_otoco(*(_new_order(order, terms) for order, terms in (working, *legs)))
        if not placed.working.is_refused:
            self._link(orders, (placed.working.order_id, *placed.pending_ids))
        return Outcome(placed.working.status, placed.working.filled)

    def untie(self, working: Order, legs: Sequence[Order]) -> bool:
        """Let a working order go on alone, and forget the pair behind it; False if the pair waits no more."""
        if self.books[working.asked.symbol].untie(working.book_id) < 0:
            return False
        for order in legs:
            self.forget(order)
        return True

    def _link(self, orders: Sequence[Order], numbers: Sequence[int]) -> None:
        for order, number in zip(orders, numbers, strict=True):
            order.book_id = number
            self._orders[order.asked.symbol, number] = order

    def withdraw(self, order: Order) -> None:
        """Take what rests of an order out of its book."""
        if order.book_id:
            number = order.book_id
            self.forget(order)
            self.books[order.asked.symbol].cancel(number)

    def forget(self, order: Order) -> None:
        """Drop the link of an order that is not in its book any more."""
        self._orders.pop((order.asked.symbol, order.book_id), None)
        order.book_id = 0

    def happenings(self, symbol: str) -> list[Execution | Ending | Turn]:
        """Return, once, what happened to accounts' orders in a book since the last call, in order."""
        found: list[Execution | Ending | Turn] = []
        for row in self.books[symbol].client_rows().tolist():
            kind, at_ns = row[KIND], self._origin_ns + row[TIME]
            if kind == TRADE:
                for number, is_maker in ((row[TAKER], False), (row[MAKER], True)):
                    order = self._orders.get((symbol, number))
                    if order is not None:
                        found.append(Execution(order, row[ID], row[TICK], row[LOTS], is_maker, at_ns))
                continue
            order = self._orders.get((symbol, row[ID]))
            if order is None:
                continue
            if kind in (ORDER_RESTED, ORDER_TRIGGERED):
                found.append(Turn(order, kind == ORDER_TRIGGERED, at_ns))
            elif kind in (ORDER_EXPIRED, ORDER_REDUCED):
                found.append(Ending(order, row[LOTS], row[TAKER], kind == ORDER_EXPIRED, at_ns))
        return found

    def cost(self, symbol: str, *, is_buy: bool, lots: int) -> tuple[int, int]:
        """Return (lots that would trade now, what they cost in ticks times lots) if a taker asked for `lots`."""
        depth = self.books[symbol].snapshot(_LEVELS)
        taken, cost = 0, 0
        for tick, level in (depth.asks if is_buy else depth.bids).tolist():
            part = min(level, lots - taken)
            taken += part
            cost += part * tick
            if taken == lots:
                break
        return taken, cost

    def lots_for(self, symbol: str, *, is_buy: bool, tick_lots: int) -> int:
        """Return the most lots that a taker gets for (or must give for) a value in ticks times lots."""
        depth = self.books[symbol].snapshot(_LEVELS)
        taken, left = 0, tick_lots
        for tick, level in (depth.asks if is_buy else depth.bids).tolist():
            part = min(level, left // tick)
            taken += part
            left -= part * tick
            if part < level:
                break
        return taken


def _new_order(order: Order, terms: Terms) -> NewOrder:
    # A market order never rests, whatever it asks for.
    tif = terms.tif if terms.tick or terms.tif == "FOK" else "IOC"
    return NewOrder(
        owner=order.owner,
        side=BID if order.is_buy else ASK,
        lots=order.lots,
        tick=terms.tick,
        tif=_TIFS[tif],
        post_only=terms.post_only,
        reduce_only=terms.reduce_only,
        display_lots=order.asked.display_lots if terms.tick else 0,
        trigger=terms.trigger,
        trigger_tick=terms.trigger_tick,
        stp=_STPS[order.asked.stp],
    )


class LastPrice:
    """Know a book's last trade price and the extremes since they were last looked at."""

    def __init__(self) -> None:
        self.tick = 0
        self.low = 0
        self.high = 0

    def see(self, rows: Rows) -> None:
        """Take public rows in order."""
        ticks = rows[rows[:, KIND] == TRADE, TICK]
        if len(ticks):
            low, high = int(ticks.min()), int(ticks.max())
            self.tick = int(ticks[-1])
            self.low = min(self.low or low, low)
            self.high = max(self.high, high)

    def look(self) -> tuple[int, int]:
        """Return lowest and highest trade since the last look."""
        found = (self.low or self.tick, self.high or self.tick)
        self.low = self.high = 0
        return found

"""Join accounts' orders with the books: what is submitted, which book order belongs to whom, and what happened to it.

The port speaks to `SimulatedBook` only; venues decide what may be sent and what a happening means.
"""

from collections.abc import Mapping

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
    TAKER,
    TICK,
    TIME,
    TRADE,
)
from smartmoney.simulation.market import Rows, SimulatedBook
from smartmoney.simulation.order_table import EXPIRE_BOTH, EXPIRE_MAKER, EXPIRE_TAKER, KILLED, NO_STP, SELF_TRADE

_TIFS = {"GTC": matching.GTC, "GTX": matching.GTC, "GTD": matching.GTC, "IOC": matching.IOC, "FOK": matching.FOK}
_STPS = {"EXPIRE_TAKER": EXPIRE_TAKER, "EXPIRE_MAKER": EXPIRE_MAKER, "EXPIRE_BOTH": EXPIRE_BOTH, "NONE": NO_STP}
_LEVELS = 5000


class Outcome(msgspec.Struct, frozen=True):
    """Say whether a book took an order; if not, whether because a post-only order would have traded, or nothing was to be reduced."""

    is_taken: bool
    filled_lots: int = 0
    would_take: bool = False


class Execution(msgspec.Struct, frozen=True):
    """Be one side of a trade of a known order; `time_ns` is the wall's."""

    order: Order
    trade_id: int
    tick: int
    lots: int
    is_maker: bool
    time_ns: int


class Ending(msgspec.Struct, frozen=True):
    """Be the end, by the book, of what was left of an order; `is_whole` is false where it lost some lots only."""

    order: Order
    lots: int
    is_prevented: bool
    is_killed: bool
    is_whole: bool


class Port:
    """Carry orders of one market's accounts into its books and bring back what happened to them."""

    def __init__(self, books: Mapping[str, SimulatedBook], origin_ns: int) -> None:
        self.books = books
        self._origin_ns = origin_ns
        self._orders: dict[tuple[str, int], Order] = {}

    def submit(self, order: Order, tick: int, tif: str, *, post_only: bool, reduce_only: bool = False) -> Outcome:
        """Send an order to its book, at tick 0 as a market order; what it does there comes with `happenings`."""
        asked = order.asked
        if not tick and tif != "FOK":
            tif = "IOC"
        placed = self.books[asked.symbol].place(
            NewOrder(
                owner=order.owner,
                side=BID if order.is_buy else ASK,
                lots=order.lots,
                tick=tick,
                tif=_TIFS[tif],
                post_only=post_only,
                reduce_only=reduce_only,
                display_lots=asked.display_lots if tick else 0,
                stp=_STPS[asked.stp],
            )
        )
        if placed.is_refused:
            return Outcome(False, would_take=placed.status == matching.REJECTED_POST_ONLY)
        order.book_id = placed.order_id
        self._orders[asked.symbol, placed.order_id] = order
        return Outcome(True, placed.filled)

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

    def happenings(self, symbol: str) -> list[Execution | Ending]:
        """Return, once, what happened to accounts' orders in a book since the last call, in order."""
        found: list[Execution | Ending] = []
        for row in self.books[symbol].client_rows().tolist():
            kind = row[KIND]
            if kind == TRADE:
                for number, is_maker in ((row[TAKER], False), (row[MAKER], True)):
                    order = self._orders.get((symbol, number))
                    if order is not None:
                        found.append(Execution(order, row[ID], row[TICK], row[LOTS], is_maker, self._origin_ns + row[TIME]))
                continue
            order = self._orders.get((symbol, row[ID])) if kind in (ORDER_EXPIRED, ORDER_REDUCED) else None
            if order is not None:
                why = row[TAKER]
                is_whole = kind == ORDER_EXPIRED
                found.append(Ending(order, row[LOTS], why == SELF_TRADE, why == KILLED, is_whole))
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

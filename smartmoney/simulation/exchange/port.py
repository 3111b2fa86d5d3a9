"""Join accounts' orders with the books: what is submitted, which book order belongs to whom, and what traded.

The port speaks to `SimulatedBook` only; venues decide what may be sent and what a trade means.
"""

from collections.abc import Mapping

import msgspec

from smartmoney.simulation import matching
from smartmoney.simulation.exchange.orders import Order
from smartmoney.simulation.ladder import ASK, BID, ID, KIND, LOTS, MAKER, MAKER_OWNER, TAKER, TAKER_OWNER, TICK, TIME, TRADE
from smartmoney.simulation.market import FIRST_CLIENT, NewOrder, Rows, SimulatedBook

_TIFS = {"GTC": matching.GTC, "GTX": matching.GTC, "GTD": matching.GTC, "IOC": matching.IOC, "FOK": matching.FOK}


class Outcome(msgspec.Struct, frozen=True):
    """Say what the book made of an order: `is_taken` unless refused, `rests` if something of it stands, `is_prevented` by its own maker."""

    is_taken: bool
    rests: bool
    is_prevented: bool
    would_take: bool


class Execution(msgspec.Struct, frozen=True):
    """Be one side of a trade of a known order; `time_ns` is the market's."""

    order: Order
    trade_id: int
    tick: int
    lots: int
    is_maker: bool
    time_ns: int


class Port:
    """Carry orders of one market's accounts into its books and bring back what happened to them."""

    def __init__(self, books: Mapping[str, SimulatedBook]) -> None:
        self.books = books
        self._orders: dict[tuple[str, int], Order] = {}

    def submit(self, order: Order, lots: int, tick: int, tif: str, *, post_only: bool) -> Outcome:
        """Send an order to its book; its trades come with `executions`."""
        book = self.books[order.asked.symbol]
        new = NewOrder(
            owner=order.owner,
            side=BID if order.is_buy else ASK,
            lots=lots,
            tick=tick,
            tif=_TIFS[tif] if tick else matching.IOC if tif != "FOK" else matching.FOK,
            post_only=post_only,
        )
        placed = book.place(new)
        if placed.status < 0:
            return Outcome(False, False, False, placed.status == matching.REJECTED_POST_ONLY)
        order.book_id = placed.order_id
        self._orders[order.asked.symbol, placed.order_id] = order
        return Outcome(True, placed.status == matching.RESTING, bool(book.worlds["prevented"][0]), False)

    def withdraw(self, order: Order) -> None:
        """Take what rests of an order out of its book."""
        if order.book_id:
            self.books[order.asked.symbol].cancel(order.book_id)
            self.forget(order)

    def forget(self, order: Order) -> None:
        """Drop the link of an order that is not in its book any more."""
        self._orders.pop((order.asked.symbol, order.book_id), None)
        order.book_id = 0

    def executions(self, symbol: str) -> list[Execution]:
        """Return, once, the accounts' sides of the trades since the last call, in order."""
        rows = self.books[symbol].client_rows()
        found = []
        for row in rows[rows[:, KIND] == TRADE].tolist():
            for owner, number, is_maker in ((row[TAKER_OWNER], row[TAKER], False), (row[MAKER_OWNER], row[MAKER], True)):
                order = self._orders.get((symbol, number)) if owner >= FIRST_CLIENT else None
                if order is not None:
                    found.append(Execution(order, row[ID], row[TICK], row[LOTS], is_maker, row[TIME]))
        return found

    def cost(self, symbol: str, *, is_buy: bool, lots: int, limit_tick: int = 0) -> tuple[int, int]:
        """Return (lots that would trade now, what they cost in ticks times lots) if a taker asked for `lots`."""
        depth = self.books[symbol].snapshot(5000)
        taken, cost = 0, 0
        for tick, level in (depth.asks if is_buy else depth.bids).tolist():
            if limit_tick and (tick > limit_tick if is_buy else tick < limit_tick):
                break
            part = min(level, lots - taken)
            taken += part
            cost += part * tick
            if taken == lots:
                break
        return taken, cost

    def lots_for(self, symbol: str, *, is_buy: bool, tick_lots: int) -> int:
        """Return the most lots that a taker gets for (or must give for) a value in ticks times lots."""
        depth = self.books[symbol].snapshot(5000)
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

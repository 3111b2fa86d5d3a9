"""Bitstamp's live streams as the ob-analytics package recorded them: lines of `<receive ms> <event> <json>`, order by order.

Events are order_created, order_changed and order_deleted (each resting order by itself), order_book (the best 20 levels, every few seconds)
and trade, which names no side. Levels are the sums of orders, begun by the first order_book: an order that stood before the recording is
known by its level only, so a level that no order event touched for a while is set to what order_book says.

An order that is priced through the other side shows for some ms before its trades do. It is left out of the book until nothing stands
against it, so the book is never crossed. Whoever came last of the two orders that became smaller by a trade's amount was the taker.

Source: Bitstamp websocket API v1 (live_orders, live_trades, order_book), as of 2015; amounts have 8 decimals, prices 2.
"""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from smartmoney.adapters.history.events import Events, HistoryRefused, Level, LevelsChanged, Printed, Repairs, decimal_text, nanoseconds
from smartmoney.adapters.history.texts import ENDS_EARLY, text_lines

SYMBOL = "BTCUSD"
_SETTLED_MS = 5_000
"""order_book is some 100 ms late and comes every 2 to 3 s: a level that orders touched within this is known better from them."""
_TRADED_MS = 2_000
"""How long before its trade two orders become smaller."""
_KINDS = ("order_created", "order_changed", "order_deleted")


class _Order(msgspec.Struct):
    price: str
    amount: str
    id: int
    order_type: int


class _Levels(msgspec.Struct):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Trade(msgspec.Struct):
    price: float
    amount: float
    id: int


class _Standing(msgspec.Struct):
    side: int
    price: Decimal
    amount: Decimal
    is_hidden: bool


class _Lessened(msgspec.Struct):
    at_ms: int
    order: int
    side: int
    amount: Decimal


_orders, _books, _trades = msgspec.json.Decoder(_Order), msgspec.json.Decoder(_Levels), msgspec.json.Decoder(_Trade)


def read_bitstamp(path: Path, repairs: Repairs) -> Events:
    """Yield the events of a file, from its first order_book on.

    Raises:
        HistoryRefused: a line is no event of it.
        OSError: it cannot be read.
    """
    book = _Book(repairs)
    broken = ""
    for number, text in enumerate(text_lines(path, repairs), 1):
        if not text.strip():
            continue
        if broken:
            raise HistoryRefused(broken)
        stamp, _, rest = text.partition(" ")
        kind, _, body = rest.partition(" ")
        try:
            wall = nanoseconds(stamp, f"{path}: line {number}")
            yield from book.take(wall, kind, body)
        except (msgspec.MsgspecError, HistoryRefused) as problem:
            # If it is the last one, the file was cut there.
            broken = f"{path}: line {number} is no event of Bitstamp's streams ({problem})"
            if number == 1:
                raise HistoryRefused(broken) from None
    if broken:
        repairs.note(ENDS_EARLY)


class _Book:
    """Follow orders and levels. Side 0 are bids, 1 asks."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._orders: dict[int, _Standing] = {}
        self._hidden: set[int] = set()
        self._levels: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        self._touched: dict[tuple[int, Decimal], int] = {}
        self._changed: tuple[set[Decimal], set[Decimal]] = (set(), set())
        self._lessened: deque[_Lessened] = deque(maxlen=64)
        self._has_begun = self._is_told = False

    def take(self, wall_ns: int, kind: str, body: str) -> Iterator[LevelsChanged | Printed]:
        """Yield what an event makes known."""
        now_ms = wall_ns // 1_000_000
        if kind in _KINDS:
            self._order(_orders.decode(body), kind, now_ms)
        elif kind == "order_book":
            self._whole(_books.decode(body), now_ms)
        elif kind == "trade":
            yield from self._trade(_trades.decode(body), wall_ns, now_ms)
            return
        else:
            raise HistoryRefused(f"its kind is {kind!r}; one of {', '.join(_KINDS)}, order_book and trade is wanted")
        self._unhide(now_ms)
        bids, asks = (self._take_changed(side) for side in (0, 1))
        if self._has_begun and (bids or asks):
            yield LevelsChanged(wall_ns, wall_ns, SYMBOL, not self._is_told, bids, asks)
            self._is_told = True

    def _order(self, told: _Order, kind: str, now_ms: int) -> None:
        if told.order_type not in (0, 1):
            raise HistoryRefused(f"order_type is {told.order_type}; 0 (bid) or 1 (ask) is wanted")
        side, price = told.order_type, Decimal(decimal_text(told.price, "price", may_be_zero=False))
        amount = Decimal(decimal_text(told.amount, "amount", may_be_zero=True))
        held = self._orders.pop(told.id, None)
        if kind != "order_created" and (held is None or held.amount > amount or not amount):
            before = held.amount if held is not None else Decimal(-1)
            # How large an order was that stood before the recording nobody knows: whatever was traded may have been it.
            if kind == "order_changed" or not amount:
                self._lessened.append(_Lessened(now_ms, told.id, side, before - amount if held is not None else Decimal(-1)))
        if held is not None and not held.is_hidden:
            self._add(held.side, held.price, -held.amount, now_ms)
        elif held is None and kind == "order_deleted" and amount:
            self._add(side, price, -amount, now_ms)
        self._hidden.discard(told.id)
        if kind == "order_deleted":
            return
        is_hidden = self._crosses(side, price)
        self._orders[told.id] = _Standing(side, price, amount, is_hidden)
        if is_hidden:
            self._hidden.add(told.id)
        elif held is not None or kind == "order_created":
            self._add(side, price, amount, now_ms)

    def _whole(self, told: _Levels, now_ms: int) -> None:
        for side, levels in enumerate((told.bids, told.asks)):
            wanted = {
                Decimal(decimal_text(price, "price", may_be_zero=False)): Decimal(decimal_text(amount, "amount", may_be_zero=True))
                for price, amount in levels
            }
            if not wanted:
                continue
            worst = min(wanted) if side == 0 else max(wanted)
            within = {price for price in self._levels[side] if (price >= worst if side == 0 else price <= worst)}
            for price in within | set(wanted):
                if not self._has_begun or now_ms - self._touched.get((side, price), 0) >= _SETTLED_MS:
                    self._set(side, price, wanted.get(price, Decimal(0)))
        self._has_begun = self._has_begun or all(self._levels)
        self._part()
        self._touched = {key: at for key, at in self._touched.items() if now_ms - at < _SETTLED_MS}

    def _part(self) -> None:
        """Take away what stands through the other side: of each pair that crosses, the level that was touched longer ago."""
        bids, asks = self._levels
        while bids and asks and max(bids) >= min(asks):
            bid, ask = max(bids), min(asks)
            is_bid_older = self._touched.get((0, bid), 0) <= self._touched.get((1, ask), 0)
            self._set(*((0, bid) if is_bid_older else (1, ask)), Decimal(0))
            self._repairs.note("levels that stood through the other side, taken away")

    def _trade(self, told: _Trade, wall_ns: int, now_ms: int) -> Iterator[Printed]:
        if not self._has_begun:
            return
        # Written with 17 digits: 236.61000000000001.
        price, amount = Decimal(f"{told.price:.2f}"), Decimal(f"{told.amount:.8f}")
        side = self._taker(amount, now_ms)
        if side is None or not (price > 0 and amount > 0):
            self._repairs.note("trades whose side is unknown, left out")
            return
        yield Printed(wall_ns, wall_ns, SYMBOL, told.id, _text(price), _text(amount), side == 1)

    def _taker(self, amount: Decimal, now_ms: int) -> int | None:
        """Return the side of the order that came last of those that a trade made smaller."""
        found = [one for one in self._lessened if now_ms - one.at_ms <= _TRADED_MS and one.amount in (amount, Decimal(-1))]
        exact = [one for one in found if one.amount == amount]
        if not exact:
            return None
        for one in exact:
            self._lessened.remove(one)
        if len({one.side for one in exact}) == 2:
            return max(exact, key=lambda one: one.order).side
        # The other one stood before the recording, or was never seen to rest: it is older, or came and went at once.
        other = [one for one in found if one.side != exact[0].side]
        return exact[0].side if other and max(one.order for one in other) < exact[0].order else None

    def _crosses(self, side: int, price: Decimal) -> bool:
        other = self._levels[1 - side]
        return bool(other) and (price >= min(other) if side == 0 else price <= max(other))

    def _unhide(self, now_ms: int) -> None:
        for name in sorted(self._hidden):
            one = self._orders[name]
            if not self._crosses(one.side, one.price):
                one.is_hidden = False
                self._hidden.discard(name)
                self._add(one.side, one.price, one.amount, now_ms)

    def _add(self, side: int, price: Decimal, amount: Decimal, now_ms: int) -> None:
        self._touched[side, price] = now_ms
        self._set(side, price, self._levels[side].get(price, Decimal(0)) + amount)

    def _set(self, side: int, price: Decimal, amount: Decimal) -> None:
        held = self._levels[side]
        if held.get(price, Decimal(0)) == max(amount, Decimal(0)):
            return
        if amount > 0:
            held[price] = amount
        else:
            del held[price]
        self._changed[side].add(price)

    def _take_changed(self, side: int) -> tuple[Level, ...]:
        if not self._has_begun or not self._changed[side]:
            return ()
        found = tuple((_text(price), _text(self._levels[side].get(price, Decimal(0)))) for price in sorted(self._changed[side]))
        self._changed[side].clear()
        return found


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}" if value else "0"

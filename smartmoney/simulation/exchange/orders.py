"""Keep the orders of accounts: what was asked, what became of it, and which ids are taken.

Prices are ticks, quantities lots. Status words and types are the venue's. A client id is unique among an account's open orders of a
symbol. Finished orders are kept up to a bound; the oldest go first.
"""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256

import msgspec

from smartmoney.simulation.exchange.ledger import ZERO

FINISHED_MAX = 20_000
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

NEW, PENDING_NEW, PARTIALLY_FILLED, FILLED = "NEW", "PENDING_NEW", "PARTIALLY_FILLED", "FILLED"
CANCELED, EXPIRED, EXPIRED_IN_MATCH, REJECTED = "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"
OPEN_STATUSES = frozenset({NEW, PENDING_NEW, PARTIALLY_FILLED})
BUY, SELL = "BUY", "SELL"


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for an order. `kind` is the venue's type; `tick` and `stop_tick` are 0 where they do not apply."""

    symbol: str
    side: str
    kind: str
    lots: int = 0
    tick: int = 0
    stop_tick: int = 0
    tif: str = "GTC"
    client_id: str = ""
    quote_amount: Decimal = ZERO
    display_lots: int = 0
    stp: str = "EXPIRE_MAKER"
    reduce_only: bool = False
    close_position: bool = False
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    good_till_ns: int = 0
    strategy_id: int = -1
    strategy_type: int = -1


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """Be one side of a trade: an account's."""

    trade_id: int
    order_id: int
    owner: int
    symbol: str
    side: str
    tick: int
    lots: int
    is_maker: bool
    commission: Decimal
    commission_asset: str
    realised: Decimal
    time_ns: int


class Order(msgspec.Struct, kw_only=True):
    """Be one order of an account, as it stands now."""

    id: int
    owner: int
    asked: OrderRequest
    client_id: str
    time_ns: int
    updated_ns: int
    lots: int
    status: str = NEW
    kind: str = ""
    list_id: int = -1
    working_ns: int = -1
    book_id: int = 0
    filled_lots: int = 0
    tick_lots: int = 0
    locked: Decimal = ZERO
    cancel_id: str = ""
    expiry_reason: str = ""
    reduce_only: bool = False
    algo_id: int = 0
    fills: list[Fill] = []

    @property
    def is_open(self) -> bool:
        """Tell whether something may still happen to the order."""
        return self.status in OPEN_STATUSES

    @property
    def is_buy(self) -> bool:
        """Tell the side."""
        return self.asked.side == BUY

    @property
    def left_lots(self) -> int:
        """Return the lots that have not traded."""
        return self.lots - self.filled_lots


class OrderLog:
    """Remember orders by id and by account. Ids begin at `first_id` and only rise."""

    def __init__(self, salt: str, first_id: int) -> None:
        self._salt = salt
        self._next_id = first_id
        self._names = 0
        self._orders: dict[int, Order] = {}
        self._finished: deque[int] = deque()
        self._open: dict[int, Order] = {}
        self._by_client: dict[tuple[int, str, str], Order] = {}

    def next_id(self) -> int:
        """Return a new order id."""
        self._next_id += 1
        return self._next_id

    def next_name(self) -> str:
        """Return a client id for whom the client gave none: 22 letters and digits, the same in every run."""
        self._names += 1
        value = int.from_bytes(sha256(f"{self._salt}:{self._names}".encode()).digest()[:17], "big")
        return "".join(_LETTERS[value // 62**place % 62] for place in range(22))

    def add(self, order: Order) -> None:
        """Remember a new order, open or not."""
        self._orders[order.id] = order
        self._by_client[order.owner, order.asked.symbol, order.client_id] = order
        if order.is_open:
            self._open[order.id] = order
        else:
            self.finish(order)

    def finish(self, order: Order) -> None:
        """Move an order that has come to an end to the history."""
        self._open.pop(order.id, None)
        self._finished.append(order.id)
        while len(self._finished) > FINISHED_MAX:
            old = self._orders.pop(self._finished.popleft())
            key = (old.owner, old.asked.symbol, old.client_id)
            if self._by_client.get(key) is old:
                del self._by_client[key]

    def find(self, owner: int, symbol: str, order_id: int | None, client_id: str | None) -> Order | None:
        """Return an account's order: the one of an id (whose client id must agree, if given), or the latest of a client id."""
        if order_id is not None:
            order = self._orders.get(order_id)
            if order is None or order.owner != owner or order.asked.symbol != symbol:
                return None
            return order if client_id is None or order.client_id == client_id else None
        return self._by_client.get((owner, symbol, client_id or ""))

    def has_open(self, owner: int, symbol: str, client_id: str) -> bool:
        """Tell whether a client id is taken by an open order."""
        order = self._by_client.get((owner, symbol, client_id))
        return order is not None and order.is_open

    def of_id(self, order_id: int) -> Order | None:
        """Return the order of an id, whoever has it."""
        return self._orders.get(order_id)

    def open_of(self, owner: int, symbol: str = "") -> list[Order]:
        """Return an account's open orders, oldest first; of one symbol, if named."""
        return [o for o in self._open.values() if o.owner == owner and (not symbol or o.asked.symbol == symbol)]

    def all_of(self, owner: int, symbol: str = "") -> Iterator[Order]:
        """Yield an account's orders that are remembered, oldest first."""
        for order in self._orders.values():
            if order.owner == owner and (not symbol or order.asked.symbol == symbol):
                yield order

"""What a venue says about an account's orders, trades and holdings, from whatever door, in one form. Pure.

Every venue's readers make these, and whoever follows orders folds them and need not know where they came from. Identifiers are the
venue's own texts: some count, some draw lots.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from smartmoney.core.domain.orders import Side


class NewsError(ValueError):
    """Say that something from the venue cannot be read."""


class OrderState(StrEnum):
    """Name what an order is, as the venue sees it."""

    WAITING = "waiting"
    """A leg that is not live yet (PENDING_NEW)."""
    WORKING = "working"
    TRIGGERED = "triggered"
    """An algo order whose own order is at work: `actual_order_id`."""
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


ENDED = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})


class TradeNews(msgspec.Struct, frozen=True, kw_only=True):
    """Be one trade of an account. `client_id` is empty where the venue tells only the order's number; times in ms of the venue."""

    symbol: str
    trade_id: str
    order_id: str
    client_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    time_ms: int


class OrderNews(msgspec.Struct, frozen=True, kw_only=True):
    """Be the state of one order. `filled` is cumulative; `order_id` of an algo order is its algo id, empty where it is not told."""

    symbol: str
    client_id: str
    order_id: str
    state: OrderState
    side: Side
    kind: str
    quantity: Decimal
    filled: Decimal
    price: Decimal
    stop_price: Decimal
    is_algo: bool = False
    is_reduce_only: bool = False
    may_open: bool = False
    """The venue says in so many words that it does not only reduce."""
    is_positions_own: bool = False
    """The venue's one stop for the whole position, whatever that becomes (Bybit's `StopLoss`); no conditional order of anybody's."""
    list_id: str = ""
    """Names the pair that it belongs to; empty outside one."""
    actual_order_id: str = ""
    attached_to: str = ""
    """The client id of the entry that carried it, where the venue made it and says so."""
    reason: str = ""
    trades: tuple[TradeNews, ...] = ()


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Be what is held of an asset (spot) or in a symbol (USD-M), and what one position cost a unit."""

    name: str
    quantity: Decimal
    entry_price: Decimal = Decimal(0)

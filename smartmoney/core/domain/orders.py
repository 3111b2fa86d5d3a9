"""Orders and fills: the words of the FIX protocol, exact integers on the instrument's grid.

An `OrderIntent` is what we want and carries our client id; an `Approved` intent is one that the risk gate let through (only
`core.risk.gate` makes it); a `Fill` is ours, a public print is a `Trade`.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec


class Side(StrEnum):
    """Say which way an order or a fill goes."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """Return +1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """Return the other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """Name the order types that every gateway must speak."""

    LIMIT = "limit"
    MARKET = "market"
    STOP_MARKET = "stop_market"
    TAKE_PROFIT_MARKET = "take_profit_market"


class TimeInForce(StrEnum):
    """Say how long an order may rest."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class Purpose(StrEnum):
    """Say why an order exists; only ENTRY can increase risk."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"
    FLATTEN = "flatten"


class Liquidity(StrEnum):
    """Say which fee a fill paid."""

    MAKER = "maker"
    TAKER = "taker"


class OrderStatus(StrEnum):
    """Name the states of an order's life; `core.execution.lifecycle` has the transitions."""

    INITIALIZED = "initialized"
    DENIED = "denied"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    FILLED = "filled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one order that we want to exist.

    Units: `price_ticks` and `stop_ticks` in ticks, `lots` in lots (> 0). `price_ticks` is None for market orders, `stop_ticks` is the
    trigger of STOP_MARKET and TAKE_PROFIT_MARKET. Orders of one `oco_group` cancel each other: a fill of one shrinks the others. A
    stop says in `ends_in_ns` after how long, from its making, its position is to end: a restart must not begin the horizon anew. An entry
    with `stop_ticks` carries a stop to the venue, which makes it out of the entry's fills; that stop is an order of its own here, named
    by `attached_id`, and says in `attached_to` whose it is. A stop whose position has a target that is not at the venue says in
    `target_ticks` where that is: a restart has to know.
    """

    client_order_id: str
    instrument: int
    side: Side
    type: OrderType
    lots: int
    purpose: Purpose
    time_in_force: TimeInForce = TimeInForce.GTC
    price_ticks: int | None = None
    stop_ticks: int | None = None
    reduce_only: bool = False
    post_only: bool = False
    oco_group: str | None = None
    signal_id: str | None = None
    ends_in_ns: int | None = None
    attached_to: str | msgspec.UnsetType = msgspec.UNSET
    target_ticks: int | msgspec.UnsetType = msgspec.UNSET
    """Unset, such a thing is left out of what is encoded: digests of runs from before there was one stay true."""
    why: str | msgspec.UnsetType = msgspec.UNSET
    """In words why an entry takes or waits; unset where the configuration says so, and of anything else."""

    @property
    def is_attached(self) -> bool:
        """Tell whether the venue makes it out of an entry."""
        return self.attached_to is not msgspec.UNSET


def attached_id(entry_id: str) -> str:
    """Return the client id of the stop that an entry carries: the next index of the same journal entry, reserved by whoever makes both.

    Raises:
        ValueError: it is no client id of ours.
    """
    head, dash, index = entry_id.rpartition("-")
    if not dash or not index.isdecimal():
        raise ValueError(f"{entry_id!r} carries no stop: it is no client order id of ours")
    return f"{head}-{int(index) + 1}"


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """Carry an intent that passed the risk gate, and what the sender must still check.

    Only `core.risk.gate.approve` constructs it. The sender refuses it when the clock is past `valid_until_mono_ns` or when the halt
    epoch has moved on (a risk-reducing order ignores the epoch).
    """

    intent: OrderIntent
    valid_until_mono_ns: int
    halt_epoch: int


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """Record one execution of one of our orders. `fee` is in `fee_asset`; `trade_id` is unique per venue and instrument."""

    trade_id: str
    client_order_id: str
    instrument: int
    side: Side
    price_ticks: int
    lots: int
    fee: Decimal
    fee_asset: str
    liquidity: Liquidity
    ts_event_ns: int


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a working order as the venue sees it, for reconciliation and restart.

    `age_ns` is how long ago its intent was journaled, as far as a restart knows: what the venue does not have by then comes no more.
    """

    intent: OrderIntent
    venue_order_id: str
    filled_lots: int = 0
    age_ns: int = 0


class PositionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a position: signed `quantity` in base, `cost` the signed quote amount paid for it, fees excluded."""

    instrument: int
    quantity: Decimal
    cost: Decimal

"""Say what happened to an account: what a private stream tells. Orders inside are copies as of the moment. Times are wall ns."""

from decimal import Decimal

import msgspec

from smartmoney.simulation.exchange.orders import Fill, Order, OrderRequest


class OrderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a change of an order; `execution` is the venue's word: NEW, TRADE, CANCELED, EXPIRED, TRADE_PREVENTION, CALCULATED."""

    owner: int
    order: Order
    execution: str
    time_ns: int
    number: int
    fill: Fill | None = None
    is_working: bool = False


class BalancesEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell the spot balances that a change touched: (asset, free, locked)."""

    owner: int
    time_ns: int
    balances: tuple[tuple[str, Decimal, Decimal], ...]


class DeltaEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a deposit, withdrawal or transfer of a spot wallet."""

    owner: int
    time_ns: int
    asset: str
    amount: Decimal


class OrderList(msgspec.Struct, kw_only=True):
    """Be a list of spot orders: a pair of which one cancels the other, and, with `working`, an order that must fill first."""

    id: int
    owner: int
    symbol: str
    contingency: str
    client_id: str
    time_ns: int
    orders: list[int]
    clients: list[str]
    working: int = 0
    status_type: str = "EXEC_STARTED"
    status: str = "EXECUTING"


class ListEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a change of an order list."""

    owner: int
    time_ns: int
    what: OrderList


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be a USD-M position as told: prices in quote, `lots` signed."""

    symbol: str
    lots: int
    entry: Decimal
    break_even: Decimal
    realised: Decimal
    unrealised: Decimal
    is_isolated: bool
    isolated_wallet: Decimal


class AccountEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a USD-M account's change: wallet, cross wallet, change that is neither profit nor commission; positions."""

    owner: int
    time_ns: int
    reason: str
    balances: tuple[tuple[str, Decimal, Decimal, Decimal], ...]
    positions: tuple[PositionRow, ...]


class Algo(msgspec.Struct, kw_only=True):
    """Be a conditional USD-M order, which lives outside the book until it triggers and places an order of its own."""

    id: int
    owner: int
    asked: OrderRequest
    client_id: str
    time_ns: int
    updated_ns: int
    status: str = "NEW"
    actual_id: int = 0
    triggered_ns: int = 0
    reason: str = ""
    callback_rate: Decimal = Decimal(0)
    activate_tick: int = 0
    best_tick: int = 0


class AlgoEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a change of a conditional order."""

    owner: int
    time_ns: int
    algo: Algo


class ConfigEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a change of a symbol's leverage."""

    owner: int
    time_ns: int
    symbol: str
    leverage: int


Event = OrderEvent | BalancesEvent | DeltaEvent | ListEvent | AccountEvent | AlgoEvent | ConfigEvent

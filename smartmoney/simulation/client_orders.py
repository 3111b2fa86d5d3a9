"""Place, cancel and replace orders of clients, from Python: what an exchange's front end calls, on one book record.

Everything acts at the book's present time. Refusals are statuses, never exceptions.
"""

from typing import Any

import msgspec

from smartmoney.simulation import matching
from smartmoney.simulation.bits import int64
from smartmoney.simulation.entry import hold, let_act_list, let_act_pair, let_go
from smartmoney.simulation.order_table import EXPIRE_TAKER, NO_TRIGGER

STOP_ON_FAILURE, ALLOW_FAILURE = int64(0), int64(1)
"""Modes of `replace`, as Binance spot's cancelReplace has them: whether the new order is placed when the old one could not be cancelled."""


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for an order. `tick` MARKET_PRICE is a market order; `display_lots` 0 shows all; a trigger makes it wait for `trigger_tick`."""

    owner: int
    side: int
    lots: int
    tick: int = matching.MARKET_PRICE
    tif: int = matching.GTC
    post_only: bool = False
    reduce_only: bool = False
    display_lots: int = 0
    trigger_tick: int = 0
    trigger: int = NO_TRIGGER
    stp: int = EXPIRE_TAKER
    parent: int = matching.NO_PARENT


class Placed(msgspec.Struct, frozen=True):
    """Be the answer to an order: a status of `entry` (negative: refused), its id (0 if refused) and the lots that it traded at once."""

    status: int
    order_id: int = 0
    filled: int = 0

    @property
    def is_refused(self) -> bool:
        """Tell whether there is no such order."""
        return self.status < 0


class PlacedPair(msgspec.Struct, frozen=True):
    """Be the answer to a pair (OCO): one status for both, and their ids in the order given."""

    status: int
    order_ids: tuple[int, int] = (0, 0)


class PlacedList(msgspec.Struct, frozen=True):
    """Be the answer to a working order with a pair behind it (OTOCO)."""

    working: Placed
    pending_ids: tuple[int, int] = (0, 0)


class Replaced(msgspec.Struct, frozen=True):
    """Be the answer to cancel-replace: the lots cancelled or a refusal, and the new order's answer if one was tried."""

    cancelled: int
    placed: Placed | None


def place(book: Any, order: NewOrder) -> Placed:
    """Place one order."""
    tif = _tif(order)
    is_plain = not (order.reduce_only or order.display_lots or order.trigger) and order.stp == EXPIRE_TAKER
    if is_plain:
        status = matching.submit(book, order.side, order.tick, order.lots, tif, int(order.post_only), order.owner, order.parent)
    else:
        status = matching.place(book, *_arguments(order))
    return _placed(book, int(status))


def place_pair(book: Any, first: NewOrder, second: NewOrder) -> PlacedPair:
    """Place a pair of which the first that acts ends the other (`entry.let_act_pair` says what is allowed)."""
    ids = _hold_all(book, (first, second))
    if isinstance(ids, int):
        return PlacedPair(ids)
    status = int(let_act_pair(book, *ids))
    return PlacedPair(status, (ids[0], ids[1])) if status >= 0 else PlacedPair(status)


def place_list(book: Any, working: NewOrder, first: NewOrder, second: NewOrder) -> PlacedList:
    """Place a working limit order, and a pair for when it has been filled whole."""
    ids = _hold_all(book, (working, first, second))
    if isinstance(ids, int):
        return PlacedList(Placed(ids))
    placed = _placed(book, int(let_act_list(book, *ids)))
    return PlacedList(placed, (ids[1], ids[2])) if placed.status >= 0 else PlacedList(placed)


def replace(book: Any, order_id: int, order: NewOrder, mode: int = STOP_ON_FAILURE) -> Replaced:
    """Cancel an order and place another one at once."""
    cancelled = int(matching.cancel(book, order_id))
    if cancelled < 0 and mode == STOP_ON_FAILURE:
        return Replaced(cancelled, None)
    return Replaced(cancelled, place(book, order))


def _hold_all(book: Any, orders: tuple[NewOrder, ...]) -> tuple[int, ...] | int:
    """Hold all of some orders and return their ids, or none and the refusal."""
    ids: list[int] = []
    for order in orders:
        order_id = int(hold(book, *_arguments(order)))
        if order_id < 0:
            for held in ids:
                let_go(book, held)
            return order_id
        ids.append(order_id)
    return tuple(ids)


def _arguments(order: NewOrder) -> tuple[int, ...]:
    post_only, reduce_only = int(order.post_only), int(order.reduce_only)
    plain = (order.side, order.tick, order.lots, _tif(order), post_only, order.owner, order.parent)
    return *plain, order.stp, reduce_only, order.display_lots, order.trigger, order.trigger_tick


def _tif(order: NewOrder) -> int:
    """Return the time in force; a market order never rests, whatever it asks for."""
    return matching.IOC if order.tick == matching.MARKET_PRICE and order.tif == matching.GTC else order.tif


def _placed(book: Any, status: int) -> Placed:
    return Placed(status, int(book["order_id"]), int(book["filled"])) if status >= 0 else Placed(status)

"""Hold conditional USD-M orders: they wait for a trade or mark price, then place an order of their own.

Source: Binance USD-M "new algo order" and ALGO_UPDATE pages (in force since 2025-12-09). Statuses: NEW, TRIGGERING, TRIGGERED, FINISHED,
CANCELED, REJECTED, EXPIRED. Cancelling all open orders leaves these alone.

What closes a position at market at a trade's price waits in the book and acts in the instant of that trade. The rest is watched here: the
book knows no mark price and no best price so far, and what may open a position or has a limit is held against margin and price filter when
it is triggered, which the book does not know either.
"""

from decimal import Decimal

import msgspec

from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import Algo, AlgoEvent
from smartmoney.simulation.exchange.orders import Order, OrderRequest
from smartmoney.simulation.exchange.port import Ending, Execution, Terms
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.exchange.usdm import UsdmDesk
from smartmoney.simulation.order_table import FALLS_TO, NOTHING_TO_REDUCE, REFUSED, RISES_TO

TRAILING = "TRAILING_STOP_MARKET"
_HISTORY_MAX = 10_000
_AT_MARKET = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})
_EVERYTHING = 1 << 40
"""Lots of an order that closes whatever there is: the book cuts it to the position when it acts."""


class Algos:
    """Place, watch and cancel the conditional orders of a desk."""

    def __init__(self, desk: UsdmDesk) -> None:
        self._desk = desk
        self._algos: dict[int, Algo] = {}
        self._next_id = 2_000_000
        self._waiting: dict[int, Algo] = {}
        self._in_book: dict[int, Order] = {}
        desk.conditionals = self

    def place(self, account: Account, asked: OrderRequest, *, callback_rate: Decimal = Decimal(0), activate_tick: int = 0) -> Algo:
        """Take a conditional order.

        Raises:
            Refusal: a duplicate id, too many of them, or a trigger price that is reached already (-2021).
        """
        desk = self._desk
        rules = desk.rules_of(asked.symbol)
        # Trades before it was placed must not trigger it.
        self.watch(asked.symbol)
        waiting = [a for a in self._waiting.values() if a.owner == account.owner]
        if asked.client_id and any(a.client_id == asked.client_id for a in waiting):
            raise Refusal(*refusals.DUPLICATE_CLIENT_ID)
        if sum(a.asked.symbol == asked.symbol for a in waiting) >= rules.max_algo_orders:
            raise Refusal(-4045, "Reach max stop order limit.")
        if asked.close_position and any(
            a.asked.close_position and a.asked.symbol == asked.symbol and a.asked.side == asked.side and a.asked.kind == asked.kind
            for a in waiting
        ):
            raise Refusal(-4130, "An open stop or take profit order with GTE and closePosition in the direction is existing.")
        tick = self._watched(asked)
        if asked.kind != TRAILING and is_reached(asked, tick, tick):
            raise Refusal(*refusals.WOULD_TRIGGER_USDM)
        account.usdm_rate.charge(desk.now_ns())
        now = desk.now_ns()
        self._next_id += 1
        algo = Algo(
            id=self._next_id,
            owner=account.owner,
            asked=asked,
            client_id=asked.client_id or desk.log.next_name(),
            time_ns=now,
            updated_ns=now,
            callback_rate=callback_rate,
            activate_tick=activate_tick,
        )
        if waits_in_book(asked):
            self._send(algo)
        self._algos[algo.id] = self._waiting[algo.id] = algo
        self._forget_old()
        self._tell(algo)
        return algo

    def cancel(self, algo: Algo | None) -> Algo:
        """Cancel a waiting conditional order.

        Raises:
            Refusal: it is not waiting (-2011).
        """
        if algo is None or algo.id not in self._waiting:
            raise Refusal(*refusals.UNKNOWN_ORDER)
        self._end(algo, "CANCELED")
        return algo

    def cancel_all(self, owner: int, symbol: str) -> None:
        """Cancel everything that waits in a symbol."""
        for algo in self.open_of(owner, symbol):
            self._end(algo, "CANCELED")

    def find(self, owner: int, algo_id: int | None, client_id: str | None) -> Algo | None:
        """Return an account's conditional order by id or by its latest client id."""
        if algo_id is not None:
            found = self._algos.get(algo_id)
            return found if found is not None and found.owner == owner else None
        return next((a for a in reversed(self._algos.values()) if a.owner == owner and a.client_id == client_id), None)

    def open_of(self, owner: int, symbol: str = "") -> list[Algo]:
        """Return what waits for an account, oldest first."""
        return [a for a in self._waiting.values() if a.owner == owner and (not symbol or a.asked.symbol == symbol)]

    def all_of(self, owner: int, symbol: str = "") -> list[Algo]:
        """Return an account's conditional orders that are remembered, oldest first."""
        return [a for a in self._algos.values() if a.owner == owner and (not symbol or a.asked.symbol == symbol)]

    def watch(self, symbol: str) -> None:
        """Trigger what the trades since the last look, or the mark price, have reached; finish what its order has finished."""
        low, high = self._desk.prices[symbol].look()
        mark = self._mark_tick(symbol)
        for algo in [a for a in self._waiting.values() if a.asked.symbol == symbol and a.id not in self._in_book]:
            lowest, highest = (mark, mark) if algo.asked.working_type == "MARK_PRICE" else (low, high)
            is_due = self._trails(algo, lowest, highest) if algo.asked.kind == TRAILING else is_reached(algo.asked, lowest, highest)
            if is_due and algo.id in self._waiting:
                self._trigger(algo)
        self._expire_closing(symbol)

    def finish(self) -> None:
        """Tell the end of conditional orders whose order came to its end."""
        for algo in self._algos.values():
            if algo.status != "TRIGGERED":
                continue
            order = self._desk.log.of_id(algo.actual_id)
            if order is None or not order.is_open:
                algo.status = "FINISHED"
                # When its order ended, not when that was noticed: how time is cut must not show.
                algo.updated_ns = self._desk.now_ns() if order is None else order.updated_ns
                self._tell(algo, algo.updated_ns)

    def triggered(self, order: Order, at_ns: int) -> None:
        """Tell that a conditional order that waits in the book was triggered."""
        algo = self._waiting.pop(order.algo_id)
        algo.triggered_ns = algo.updated_ns = at_ns
        algo.status = "TRIGGERING"
        self._tell(algo, at_ns)

    def acts(self, what: Execution | Ending) -> bool:
        """Make a triggered order known, or learn that there is nothing that it could close; return whether it is known."""
        order, algo = what.order, self._algos[what.order.algo_id]
        if isinstance(what, Ending) and not what.is_whole:
            order.lots -= what.lots
            return False
        del self._in_book[algo.id]
        if isinstance(what, Ending) and what.why in (NOTHING_TO_REDUCE, REFUSED):
            self._desk.port.forget(order)
            algo.reason = refusals.REDUCE_ONLY_REJECTED[1]
            algo.status = "REJECTED"
            self._tell(algo, what.time_ns)
            return False
        log = self._desk.log
        order.id = algo.actual_id = log.next_id()
        if log.has_open(order.owner, order.asked.symbol, order.client_id):
            order.client_id = log.next_name()
        order.time_ns = order.updated_ns = order.working_ns = what.time_ns
        log.add(order)
        self._desk.tell(order, "NEW", at_ns=what.time_ns)
        algo.status = "TRIGGERED"
        self._tell(algo, what.time_ns)
        return True

    def _send(self, algo: Algo) -> None:
        """Let a conditional order wait in the book."""
        asked = algo.asked
        order = Order(
            id=0,
            owner=algo.owner,
            asked=msgspec.structs.replace(asked, kind="MARKET", client_id=algo.client_id),
            client_id=algo.client_id,
            time_ns=algo.time_ns,
            updated_ns=algo.time_ns,
            lots=_EVERYTHING if asked.close_position else asked.lots,
            kind="MARKET",
            reduce_only=True,
            algo_id=algo.id,
            fills=[],
        )
        trigger = int(RISES_TO if rises(asked) else FALLS_TO)
        outcome = self._desk.port.submit(order, Terms(tick=0, tif="IOC", reduce_only=True, trigger=trigger, trigger_tick=asked.stop_tick))
        if not outcome.is_taken:
            raise Refusal(*refusals.WOULD_TRIGGER_USDM)
        self._in_book[algo.id] = order

    def _trigger(self, algo: Algo) -> None:
        desk = self._desk
        algo.triggered_ns = algo.updated_ns = desk.now_ns()
        algo.status = "TRIGGERING"
        del self._waiting[algo.id]
        self._tell(algo)
        is_limit = algo.asked.kind in {"STOP", "TAKE_PROFIT"}
        asked = msgspec.structs.replace(algo.asked, kind="LIMIT" if is_limit else "MARKET", client_id=algo.client_id)
        try:
            order = desk.place(desk.accounts.of_owner(algo.owner), asked, algo_id=algo.id)
        except Refusal as refused:
            algo.reason = refused.message
            algo.status = "REJECTED"
        else:
            algo.actual_id = order.id
            algo.status = "TRIGGERED"
        self._tell(algo)

    def _trails(self, algo: Algo, low: int, high: int) -> bool:
        """Follow the best price since activation and tell whether it has turned by the callback rate."""
        is_buy = algo.asked.side == "BUY"
        if low <= 0:
            return False
        if not algo.best_tick:
            is_active = not algo.activate_tick or (low <= algo.activate_tick if is_buy else high >= algo.activate_tick)
            algo.best_tick = (low if is_buy else high) if is_active else 0
            return False
        algo.best_tick = min(algo.best_tick, low) if is_buy else max(algo.best_tick, high)
        turn = algo.best_tick * algo.callback_rate / 100
        return high >= algo.best_tick + turn if is_buy else low <= algo.best_tick - turn

    def _expire_closing(self, symbol: str) -> None:
        """A close-position order without a position to close goes, as the venue lets it go, once there was one."""
        for algo in [a for a in self._waiting.values() if a.asked.symbol == symbol and a.asked.close_position]:
            position = self._desk.positions[algo.owner][symbol]
            if position.lots == 0 and position.updated_ns > algo.time_ns:
                self._end(algo, "EXPIRED")

    def _end(self, algo: Algo, status: str) -> None:
        self._waiting.pop(algo.id, None)
        order = self._in_book.pop(algo.id, None)
        if order is not None:
            self._desk.port.withdraw(order)
        algo.status = status
        algo.updated_ns = self._desk.now_ns()
        self._tell(algo)

    def _forget_old(self) -> None:
        while len(self._algos) > _HISTORY_MAX:
            oldest = next((number for number in self._algos if number not in self._waiting), None)
            if oldest is None:
                return
            del self._algos[oldest]

    def _watched(self, asked: OrderRequest) -> int:
        if asked.working_type == "MARK_PRICE":
            return self._mark_tick(asked.symbol)
        last = self._desk.port.books[asked.symbol].last_tick
        return last if last > 0 else self._mark_tick(asked.symbol)

    def _mark_tick(self, symbol: str) -> int:
        return int(self._desk.mark(symbol) / self._desk.instrument(symbol).tick_size)

    def _tell(self, algo: Algo, at_ns: int = 0) -> None:
        copy = msgspec.structs.replace(algo)
        self._desk.events.append(AlgoEvent(owner=algo.owner, time_ns=at_ns or self._desk.now_ns(), algo=copy))


def waits_in_book(asked: OrderRequest) -> bool:
    """Tell whether a conditional order can wait in the book: it closes at market, and at a trade's price."""
    return asked.kind in _AT_MARKET and asked.working_type == "CONTRACT_PRICE" and (asked.reduce_only or asked.close_position)


def rises(asked: OrderRequest) -> bool:
    """Tell whether the price must rise to a trigger: a stop is away from the position, a take-profit towards it."""
    return (asked.side == "BUY") == asked.kind.startswith("STOP")


def is_reached(asked: OrderRequest, low: int, high: int) -> bool:
    """Tell whether prices from low to high reach a trigger."""
    return high >= asked.stop_tick if rises(asked) else 0 < low <= asked.stop_tick

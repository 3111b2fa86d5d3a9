"""Hold spot order lists: OCO (one cancels the other), OTO and OTOCO (one triggers one, or a pair).

Source: binance-spot-api-docs, rest-api.md, order lists (2026-07). The first trade or the trigger of one leg of a pair ends the other;
pending orders go live once the working order is completely filled; an end of the working order ends the list.
"""

from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import ListEvent, OrderList
from smartmoney.simulation.exchange.ledger import ZERO
from smartmoney.simulation.exchange.orders import CANCELED, EXPIRED, FILLED, NEW, PENDING_NEW, Order, OrderRequest
from smartmoney.simulation.exchange.refusals import Refusal, filter_failure, rejected
from smartmoney.simulation.exchange.spot import STOPS, SpotDesk

_LISTS_MAX = 10_000


class SpotLists:
    """Place, watch and cancel the order lists of a desk."""

    def __init__(self, desk: SpotDesk) -> None:
        self._desk = desk
        self._lists: dict[int, OrderList] = {}
        self._next_id = 0
        self._ending: set[int] = set()
        desk.lists = self

    def place_pair(self, account: Account, legs: tuple[OrderRequest, OrderRequest], client_id: str) -> OrderList:
        """Place an OCO: the stop leg and the limit or take-profit leg.

        Raises:
            Refusal: the types or prices do not go together, or a leg is refused; nothing is placed then.
        """
        desk = self._desk
        stop, other = self._ordered(legs)
        self._check_list(account, legs[0].symbol, client_id, [stop, other])
        self._check_prices(stop, other)
        account.spot_rate.charge(desk.now_ns(), 2)
        orders = [desk.create(account, leg) for leg in (stop, other)]
        desk.demand(account, desk.asset_of(orders[0]), max(desk.need(order) for order in orders))
        if other.kind == "LIMIT_MAKER" and self._would_take(other):
            raise rejected(refusals.WOULD_TAKE)
        made = self._open(account, orders, "OCO", client_id)
        self._start_pair(orders)
        return made

    def place_triggered(self, account: Account, working: OrderRequest, pending: tuple[OrderRequest, ...], client_id: str) -> OrderList:
        """Place an OTO (one pending order) or OTOCO (a pair) behind a working limit order.

        Raises:
            Refusal: as for an order, and for a pair; nothing is placed then.
        """
        desk = self._desk
        legs = self._ordered((pending[0], pending[1])) if len(pending) == 2 else pending
        self._check_list(account, working.symbol, client_id, [working, *legs], pending=len(legs))
        desk.check(account, working)
        account.spot_rate.charge(desk.now_ns(), 1 + len(legs))
        orders = [desk.create(account, leg) for leg in (working, *legs)]
        desk.demand(account, desk.asset_of(orders[0]), desk.need(orders[0]))
        if working.kind == "LIMIT_MAKER" and self._would_take(working):
            raise rejected(refusals.WOULD_TAKE)
        for order in orders[1:]:
            order.status = PENDING_NEW
        made = self._open(account, orders, "OTO", client_id, working=orders[0].id)
        for order in orders[1:]:
            desk.add(order)
        desk.send(orders[0], is_new=True)
        return made

    def cancel(self, list_id: int, cancel_id: str) -> None:
        """Cancel what is open of a list."""
        found = self._lists[list_id]
        self._ending.add(list_id)
        for order in self._open_orders(found):
            self._desk.end(order, CANCELED, "CANCELED", cancel_id=cancel_id)
        self._finish(found)

    def find(self, owner: int, list_id: int | None, client_id: str | None) -> OrderList | None:
        """Return an account's list by id or by its latest client id."""
        if list_id is not None:
            found = self._lists.get(list_id)
            return found if found is not None and found.owner == owner and client_id in (None, found.client_id) else None
        return next((x for x in reversed(self._lists.values()) if x.owner == owner and x.client_id == client_id), None)

    def all_of(self, owner: int) -> list[OrderList]:
        """Return an account's lists that are remembered, oldest first."""
        return [found for found in self._lists.values() if found.owner == owner]

    def sibling_of(self, order: Order) -> Order | None:
        """Return the other leg of an order's pair while it is open and live."""
        found = self._lists.get(order.list_id)
        if found is None or order.id == found.working:
            return None
        others = [o for o in self._open_orders(found) if o.id not in (order.id, found.working) and o.status != PENDING_NEW]
        return others[0] if others else None

    def changed(self, order: Order) -> None:
        """React to a trade, a trigger or an end of an order of a list."""
        found = self._lists[order.list_id]
        if found.id in self._ending:
            return
        if order.id == found.working:
            if order.status == FILLED:
                self._activate(found)
            elif not order.is_open:
                self._end_rest(found, "OTO_PHASE_ONE_EXPIRED")
            return
        sibling = self.sibling_of(order)
        if sibling is not None:
            self._ending.add(found.id)
            self._desk.end(sibling, EXPIRED, "EXPIRED", reason="OCO_TRIGGER")
            self._ending.discard(found.id)
        if not self._open_orders(found):
            self._finish(found)

    def _activate(self, found: OrderList) -> None:
        desk = self._desk
        pending = [order for order in self._open_orders(found) if order.status == PENDING_NEW]
        account = desk.accounts.of_owner(found.owner)
        needed = max((desk.need(order) for order in pending), default=ZERO)
        now = desk.reference_tick(found.symbol)
        is_late = any(o.kind in STOPS and desk.is_reached(o.asked, now, now) for o in pending)
        is_taking = any(o.kind == "LIMIT_MAKER" and self._would_take(o.asked) for o in pending)
        if is_late or is_taking or (pending and desk.free(account, desk.asset_of(pending[0])) < needed):
            self._end_rest(found, "REJECTED")
            return
        for order in pending:
            order.status = NEW
        self._start_pair(pending, are_known=True)

    def _start_pair(self, orders: list[Order], *, are_known: bool = False) -> None:
        desk = self._desk
        for order in orders:
            if order.kind in STOPS:
                desk.sleep(order)
                if are_known:
                    desk.relock(order)
                    desk.tell(order, "NEW")
                else:
                    desk.add(order)
        for order in orders:
            if order.kind not in STOPS and order.is_open:
                if are_known:
                    desk.relock(order)
                desk.send(order, is_new=not are_known)

    def _end_rest(self, found: OrderList, reason: str) -> None:
        self._ending.add(found.id)
        for order in self._open_orders(found):
            self._desk.end(order, EXPIRED, "EXPIRED", reason=reason)
        self._finish(found)

    def _open(self, account: Account, orders: list[Order], contingency: str, client_id: str, working: int = 0) -> OrderList:
        self._next_id += 1
        found = OrderList(
            id=self._next_id,
            owner=account.owner,
            symbol=orders[0].asked.symbol,
            contingency=contingency,
            client_id=client_id or self._desk.log.next_name(),
            time_ns=self._desk.now_ns(),
            orders=[order.id for order in orders],
            clients=[order.client_id for order in orders],
            working=working,
        )
        for order in orders:
            order.list_id = found.id
        self._lists[found.id] = found
        while len(self._lists) > _LISTS_MAX:
            oldest = next((n for n, x in self._lists.items() if x.status == "ALL_DONE"), None)
            if oldest is None:
                break
            del self._lists[oldest]
        self._tell(found)
        return found

    def _finish(self, found: OrderList) -> None:
        self._ending.discard(found.id)
        if found.status == "ALL_DONE":
            return
        found.status_type = found.status = "ALL_DONE"
        found.time_ns = self._desk.now_ns()
        self._tell(found)

    def _tell(self, found: OrderList) -> None:
        copy = OrderList(**{name: getattr(found, name) for name in found.__struct_fields__})
        self._desk.events.append(ListEvent(owner=found.owner, time_ns=found.time_ns, what=copy))

    def _open_orders(self, found: OrderList) -> list[Order]:
        orders = (self._desk.log.of_id(number) for number in found.orders)
        return [order for order in orders if order is not None and order.is_open]

    def _check_list(self, account: Account, symbol: str, client_id: str, legs: list[OrderRequest], pending: int = 0) -> None:
        rules = self._desk.rules_of(symbol)
        lists = [found for found in self.all_of(account.owner) if found.symbol == symbol and found.status != "ALL_DONE"]
        if len(lists) >= rules.max_lists:
            raise filter_failure("MAX_NUM_ORDER_LISTS")
        if client_id and any(found.client_id == client_id for found in lists):
            raise rejected(refusals.DUPLICATE_ORDER)
        names = [leg.client_id for leg in legs if leg.client_id]
        if len(set(names)) < len(names):
            raise rejected(refusals.DUPLICATE_ORDER)
        for leg in legs[: len(legs) - pending] or legs:
            self._desk.check(account, leg)

    def _ordered(self, legs: tuple[OrderRequest, OrderRequest]) -> tuple[OrderRequest, OrderRequest]:
        """Return (stop leg, other leg) of (above, below), or refuse the combination."""
        above, below = legs
        stops = [leg for leg in legs if leg.kind.startswith("STOP_LOSS")]
        if not any(leg.kind in STOPS for leg in legs):
            raise Refusal(-1168, "At least one OCO order must be contingent.")
        if len(stops) != 1:
            raise Refusal(-1158, "Order type not supported in OCO.")
        is_buy = above.side == "BUY"
        if is_buy and stops[0] is below:
            raise Refusal(-1196, "A stop loss order in a buy OCO must be above.")
        if not is_buy and stops[0] is above:
            raise Refusal(-1197, "A stop loss order in a sell OCO must be below.")
        return stops[0], below if stops[0] is above else above

    def _check_prices(self, stop: OrderRequest, other: OrderRequest) -> None:
        last = self._desk.reference_tick(stop.symbol)
        target = other.tick if other.kind == "LIMIT_MAKER" else other.stop_tick
        low, high = (target, stop.stop_tick) if stop.side == "BUY" else (stop.stop_tick, target)
        if not low < last < high:
            raise rejected(refusals.BAD_PRICES)

    def _would_take(self, asked: OrderRequest) -> bool:
        bid, _, ask, _ = self._desk.port.books[asked.symbol].touch
        return 0 < ask <= asked.tick if asked.side == "BUY" else bid >= asked.tick

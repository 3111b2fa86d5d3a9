"""Hold spot order lists: OCO (one cancels the other), OTO and OTOCO (one triggers one, or a pair).

Source: binance-spot-api-docs, rest-api.md, order lists (2026-07). The first trade or the trigger of one leg of a pair ends the other;
pending orders go live once the working order is completely filled; an end of the working order ends the list.

Pairs are the book's own, and so is a pair behind a working order, as long as its account's money is sure to suffice when its turn comes:
the book knows no money. A pair for which it might not, and the one order of an OTO, are placed here at the settlement that learns of the
working order's fill, if the money suffices then.
"""

from collections.abc import Sequence
from decimal import Decimal

from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import ListEvent, OrderList
from smartmoney.simulation.exchange.ledger import ZERO
from smartmoney.simulation.exchange.orders import CANCELED, EXPIRED, FILLED, PENDING_NEW, Order, OrderRequest
from smartmoney.simulation.exchange.port import Outcome, Terms
from smartmoney.simulation.exchange.refusals import Refusal, filter_failure, rejected
from smartmoney.simulation.exchange.spot import STOPS, SpotDesk, terms_of
from smartmoney.simulation.order_table import OTHER_ORDER

_LISTS_MAX = 10_000


class SpotLists:
    """Place, watch and cancel the order lists of a desk."""

    def __init__(self, desk: SpotDesk) -> None:
        self._desk = desk
        self._lists: dict[int, OrderList] = {}
        self._next_id = 0
        # Lists whose pending orders wait: in the book, or here.
        self._tied: dict[int, OrderList] = {}
        self._loose: dict[int, OrderList] = {}
        desk.lists = self

    def place_pair(self, account: Account, legs: tuple[OrderRequest, OrderRequest], client_id: str) -> OrderList:
        """Place an OCO: the stop leg and the limit or take-profit leg.

        Raises:
            Refusal: the types or prices do not go together, or a leg is refused; nothing is placed then.
        """
        desk = self._desk
        stop, other = self._ordered(legs)
        self._check_list(account, legs[0].symbol, client_id, [stop, other])
        account.spot_rate.charge(desk.now_ns(), 2)
        orders = [desk.create(account, leg) for leg in (stop, other)]
        desk.demand(account, desk.asset_of(orders[0]), max(desk.need(order) for order in orders))
        desk.take(desk.port.submit_pair(_with_terms(orders)))
        made = self._open(account, orders, "OCO", client_id)
        for order in orders:
            desk.begin(order)
        desk.apply(made.symbol)
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
        first, rest = orders[0], orders[1:]
        desk.demand(account, desk.asset_of(first), desk.need(first))
        is_tied = len(rest) == 2 and self._is_sure(account, first, rest)
        sent = _with_terms(orders)
        desk.take(desk.port.submit_list(sent[0], sent[1:]) if is_tied else desk.port.submit(*sent[0]))
        for order in rest:
            order.status = PENDING_NEW
        made = self._open(account, orders, "OTO", client_id, working=first.id)
        (self._tied if is_tied else self._loose)[made.id] = made
        for order in rest:
            desk.add(order)
        desk.begin(first)
        desk.apply(made.symbol)
        return made

    def cancel(self, list_id: int, cancel_id: str) -> None:
        """Cancel what is open of a list."""
        self._tied.pop(list_id, None)
        self._loose.pop(list_id, None)
        for order in self._open_orders(self._lists[list_id]):
            self._desk.end(order, CANCELED, "CANCELED", cancel_id=cancel_id)

    def review(self, account: Account, asset: str, amount: Decimal) -> bool:
        """Take the pairs out of the book that might not be paid for any more once an amount of an asset is locked or gone.

        Returns False if one stands already, of which the news is still to come: the amount is not to be had then.
        """
        left = {asset: self._desk.free(account, asset) - amount}
        for found, working, pending in self._in_book(account):
            if self._set_aside(account, working, pending, left):
                continue
            if not self._desk.port.untie(working, pending):
                return False
            self._loose[found.id] = self._tied.pop(found.id)
        return True

    def _is_sure(self, account: Account, working: Order, pending: Sequence[Order]) -> bool:
        """Tell whether a pair's money is sure to be there when its working order, about to be placed, is filled."""
        desk = self._desk
        left = {desk.asset_of(working): desk.free(account, desk.asset_of(working)) - desk.need(working)}
        for _, first, rest in self._in_book(account):
            self._set_aside(account, first, rest, left)
        return self._set_aside(account, working, pending, left)

    def _in_book(self, account: Account) -> list[tuple[OrderList, Order, list[Order]]]:
        """Return an account's lists whose pair waits in the book, oldest first, with working order and pair."""
        found = []
        for each in [x for x in self._tied.values() if x.owner == account.owner]:
            working = self._desk.log.of_id(each.working)
            pending = [order for order in self._open_orders(each) if order.status == PENDING_NEW]
            # A pair counts until it is known to stand: its working order's fill comes first.
            if working is None or not pending:
                del self._tied[each.id]
            else:
                found.append((each, working, pending))
        return found

    def _set_aside(self, account: Account, working: Order, pending: Sequence[Order], left: dict[str, Decimal]) -> bool:
        """Take from what is left of an asset what a pair needs beyond its working order's proceeds; False if that is too much."""
        desk = self._desk
        asset = desk.asset_of(pending[0])
        has = left.setdefault(asset, desk.free(account, asset))
        missing = max(ZERO, max(desk.need(order) for order in pending) - self._proceeds(account, working, asset))
        if missing > has:
            return False
        left[asset] = has - missing
        return True

    def _proceeds(self, account: Account, working: Order, asset: str) -> Decimal:
        """Return the least of an asset that the rest of a working limit order brings."""
        i = self._desk.instrument(working.asked.symbol)
        kept = 1 - max(account.fees.spot_maker, account.fees.spot_taker)
        if asset != (i.base if working.is_buy else i.quote):
            return ZERO
        return kept * (i.quantity(working.left_lots) if working.is_buy else i.notional(working.asked.tick, working.left_lots))

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
        """React to a fill or an end of an order of a list."""
        if order.is_open:
            return
        found = self._lists[order.list_id]
        if order.id == found.working and self._loose.pop(found.id, None) is not None:
            if order.status == FILLED:
                self._activate(found)
            else:
                self._end_rest(found, "OTO_PHASE_ONE_EXPIRED")
        if not self._open_orders(found):
            self._finish(found)

    def why_ended(self, order: Order, why: int) -> str:
        """Return the venue's reason for an order of a list that its book ended."""
        if order.status == PENDING_NEW:
            working = self._desk.log.of_id(self._lists[order.list_id].working)
            return "REJECTED" if working is None or working.status == FILLED else "OTO_PHASE_ONE_EXPIRED"
        return "OCO_TRIGGER" if why == OTHER_ORDER else "REJECTED"

    def _activate(self, found: OrderList) -> None:
        desk = self._desk
        pending = self._open_orders(found)
        account = desk.accounts.of_owner(found.owner)
        try:
            desk.demand(account, desk.asset_of(pending[0]), max(desk.need(order) for order in pending))
            desk.take(self._submit(pending))
        except Refusal:
            self._end_rest(found, "REJECTED")
            return
        for order in pending:
            desk.begin(order)
        desk.apply(found.symbol)

    def _submit(self, orders: Sequence[Order]) -> Outcome:
        sent = _with_terms(orders)
        return self._desk.port.submit_pair(sent) if len(sent) == 2 else self._desk.port.submit(*sent[0])

    def _end_rest(self, found: OrderList, reason: str) -> None:
        for order in self._open_orders(found):
            self._desk.end(order, EXPIRED, "EXPIRED", reason=reason)

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
        if len(stops) != 1 or any(leg.kind in {"LIMIT", "MARKET"} for leg in legs):
            raise Refusal(-1158, "Order type not supported in OCO.")
        is_buy = above.side == "BUY"
        if is_buy and stops[0] is below:
            raise Refusal(-1196, "A stop loss order in a buy OCO must be above.")
        if not is_buy and stops[0] is above:
            raise Refusal(-1197, "A stop loss order in a sell OCO must be below.")
        return stops[0], below if stops[0] is above else above


def _with_terms(orders: Sequence[Order]) -> list[tuple[Order, Terms]]:
    return [(order, terms_of(order)) for order in orders]

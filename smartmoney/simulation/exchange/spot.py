"""Trade spot for accounts: check, lock, submit, settle. Money is exact; what an order may cost is locked while it is open.

Invariants: free and locked balances are never negative; a refusal changes nothing; a trade is applied once; what the books say traded is
what the ledger moved. Stops and pairs wait in the books and act in the instant of the trade that reaches them.
"""

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.simulation.entry import REJECTED_POST_ONLY, REJECTED_PRICES, REJECTED_WOULD_TRIGGER
from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account, Accounts
from smartmoney.simulation.exchange.events import BalancesEvent, DeltaEvent, Event, OrderEvent
from smartmoney.simulation.exchange.ledger import FEES, MARKET, OUTSIDE, ZERO, Ledger, spot_wallet, truncated
from smartmoney.simulation.exchange.orders import (
    CANCELED,
    EXPIRED,
    EXPIRED_IN_MATCH,
    FILLED,
    NEW,
    PARTIALLY_FILLED,
    PENDING_NEW,
    Fill,
    Order,
    OrderLog,
    OrderRequest,
)
from smartmoney.simulation.exchange.port import Ending, Execution, Outcome, Port, Terms, Turn
from smartmoney.simulation.exchange.refusals import Refusal, filter_failure, rejected
from smartmoney.simulation.exchange.rules import Rules, check_notional, check_spot_price
from smartmoney.simulation.order_table import FALLS_TO, KILLED, NO_TRIGGER, OTHER_ORDER, REFUSED, RISES_TO, SELF_TRADE, is_reached

STOPS = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
LIMITS = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
_EXPIRY = {"FOK": "UNFILLED_FOK_ORDER_EXPIRED", "IOC": "UNFILLED_IOC_QUANTITY_EXPIRED"}
_REFUSALS = {
    REJECTED_POST_ONLY: refusals.WOULD_TAKE,
    REJECTED_WOULD_TRIGGER: refusals.WOULD_TRIGGER,
    REJECTED_PRICES: refusals.BAD_PRICES,
}
"""The venue's words for what a book refuses; anything else is told as a closed market."""
FILLS_MAX = 20_000
STOP_BUYS_UP_TO_PCT = 5
"""A stop that buys at market locks, and pays, at most so many percent above its trigger; what is dearer expires."""


class Lists(Protocol):
    """Be told what happens to orders that belong to lists."""

    def sibling_of(self, order: Order) -> Order | None:
        """Return the other leg of an order's pair while it is open and may trade."""

    def changed(self, order: Order) -> None:
        """React to a fill or an end of an order of a list."""

    def why_ended(self, order: Order, why: int) -> str:
        """Return the venue's reason for an order of a list that its book ended."""

    def review(self, account: Account, asset: str, amount: Decimal) -> bool:
        """Be told that an account is about to lock or withdraw an amount of an asset; return whether it may."""

    def cancel(self, list_id: int, cancel_id: str) -> None:
        """Cancel what is open of a list."""


class SpotDesk:
    """Trade one venue's spot books for its accounts. Drive it: `settle` after each advance of a book."""

    lists: Lists

    def __init__(self, port: Port, rules: Mapping[str, Rules], accounts: Accounts, ledger: Ledger, now_ns: Callable[[], int]) -> None:
        self.port = port
        self.rules = dict(rules)
        self.accounts = accounts
        self.ledger = ledger
        self.log = OrderLog("spot", 10_000_000)
        self.fills: dict[int, deque[Fill]] = {account.owner: deque(maxlen=FILLS_MAX) for account in accounts.all}
        self.events: list[Event] = []
        self.now_ns = now_ns
        self._executions = 0
        for account in accounts.all:
            for asset, amount in account.spec.spot.items():
                ledger.move(asset, amount, source=OUTSIDE, target=spot_wallet(account.owner))

    # ---- what accounts ask

    def place(self, account: Account, asked: OrderRequest) -> Order:
        """Take an order, or refuse it with the venue's words.

        Raises:
            Refusal: a filter, a rate, a duplicate id, too little money, or a price that the type does not allow.
        """
        self.check(account, asked)
        account.spot_rate.charge(self.now_ns())
        order = self.create(account, asked)
        self._fund(account, order)
        self.take(self.port.submit(order, terms_of(order)))
        self.begin(order)
        self.apply(asked.symbol)
        return order

    def check(self, account: Account, asked: OrderRequest) -> None:
        """Refuse an order that breaks a filter, takes an open order's client id, or has a stop on the wrong side."""
        rules = self.rules_of(asked.symbol)
        if not rules.is_trading:
            raise rejected("Market is closed.")
        reference = rules.instrument.price(self.reference_tick(asked.symbol))
        if asked.kind in LIMITS:
            check_spot_price(rules, asked.tick, reference)
        if asked.quote_amount:
            check_notional(rules, asked.quote_amount)
        else:
            tick = asked.tick or asked.stop_tick or self.reference_tick(asked.symbol)
            check_notional(rules, rules.instrument.notional(tick, asked.lots))
        if asked.display_lots and -(-asked.lots // asked.display_lots) > rules.iceberg_parts:
            raise filter_failure("ICEBERG_PARTS")
        open_orders = self.log.open_of(account.owner, asked.symbol)
        if len(open_orders) >= rules.max_orders:
            raise filter_failure("MAX_NUM_ORDERS")
        if asked.kind in STOPS and sum(o.kind in STOPS for o in open_orders) >= rules.max_algo_orders:
            raise filter_failure("MAX_NUM_ALGO_ORDERS")
        if asked.client_id and self.log.has_open(account.owner, asked.symbol, asked.client_id):
            raise rejected(refusals.DUPLICATE_ORDER)
        if is_reached(trigger_of(asked), asked.stop_tick, self.reference_tick(asked.symbol)):
            raise rejected(refusals.WOULD_TRIGGER)

    def cancel(self, order: Order | None, cancel_id: str = "", restriction: str = "") -> Order:
        """Cancel an open order; one of a list takes the list with it.

        Raises:
            Refusal: it is not open (-2011), or the restriction does not hold.
        """
        if order is None or not order.is_open:
            raise Refusal(*refusals.UNKNOWN_ORDER)
        wanted = {"ONLY_NEW": NEW, "ONLY_PARTIALLY_FILLED": PARTIALLY_FILLED}.get(restriction)
        if wanted is not None and order.status != wanted:
            raise Refusal(*refusals.CANCEL_RESTRICTED)
        name = cancel_id or self.log.next_name()
        if order.list_id >= 0:
            self.lists.cancel(order.list_id, name)
        else:
            self.end(order, CANCELED, "CANCELED", cancel_id=name)
        return order

    def transfer(self, account: Account, asset: str, amount: Decimal) -> None:
        """Deposit (or, negative, withdraw) from outside.

        Raises:
            Refusal: less is free than is to be withdrawn.
        """
        if amount < 0:
            self.demand(account, asset, -amount)
        self.ledger.move(asset, amount, source=OUTSIDE, target=spot_wallet(account.owner))
        self.events.append(DeltaEvent(owner=account.owner, time_ns=self.now_ns(), asset=asset, amount=amount))
        self.tell_balances(account, (asset,))

    # ---- money

    def total(self, account: Account, asset: str) -> Decimal:
        """Return what an account has of an asset, locked or not."""
        return self.ledger.balance(spot_wallet(account.owner), asset)

    def free(self, account: Account, asset: str) -> Decimal:
        """Return what of it is not locked."""
        return self.total(account, asset) - account.locked.get(asset, ZERO)

    def need(self, order: Order) -> Decimal:
        """Return what an order's rest may take from its account."""
        i = self.instrument(order.asked.symbol)
        if not order.is_buy:
            return i.quantity(order.left_lots)
        if order.asked.quote_amount:
            return order.asked.quote_amount - i.notional(1, order.tick_lots)
        tick = terms_of(order).tick
        if tick:
            return i.notional(tick, order.left_lots)
        _, cost = self.port.cost(i.symbol, is_buy=True, lots=order.left_lots)
        return i.notional(1, cost)

    def relock(self, order: Order) -> None:
        """Lock what an order, and its pair, need now."""
        account = self.accounts.of_owner(order.owner)
        sibling = self.lists.sibling_of(order) if order.list_id >= 0 else None
        needs = self.need(order) if order.is_open and order.status != PENDING_NEW else ZERO
        if sibling is not None and order.is_open:
            other = self.need(sibling)
            # A pair is locked once, at the dearer leg.
            self._lock(account, sibling, other if other > needs else ZERO)
            needs = ZERO if other > needs else needs
        self._lock(account, order, needs)

    def _lock(self, account: Account, order: Order, amount: Decimal) -> None:
        asset = self.asset_of(order)
        account.locked[asset] = account.locked.get(asset, ZERO) + amount - order.locked
        order.locked = amount

    def _fund(self, account: Account, order: Order) -> None:
        if order.asked.quote_amount:
            i = self.instrument(order.asked.symbol)
            value = int(order.asked.quote_amount / i.notional(1, 1))
            order.lots = self.port.lots_for(i.symbol, is_buy=order.is_buy, tick_lots=value)
            if order.lots < i.min_lots:
                raise rejected("Order book liquidity is less than LOT_SIZE filter minimum quantity.")
        self.demand(account, self.asset_of(order), self.need(order))

    def demand(self, account: Account, asset: str, amount: Decimal) -> None:
        """Refuse if less than an amount is free; otherwise it is about to be locked or withdrawn."""
        if self.free(account, asset) < amount or not self.lists.review(account, asset, amount):
            raise rejected(refusals.INSUFFICIENT_BALANCE)

    # ---- an order's life

    def create(self, account: Account, asked: OrderRequest) -> Order:
        """Return an order that nobody knows yet."""
        now = self.now_ns()
        name = asked.client_id or self.log.next_name()
        return Order(
            id=self.log.next_id(),
            owner=account.owner,
            asked=asked,
            client_id=name,
            time_ns=now,
            updated_ns=now,
            lots=asked.lots,
            kind=asked.kind,
            fills=[],
        )

    def add(self, order: Order) -> None:
        """Make an order known and tell it."""
        self.log.add(order)
        self.relock(order)
        self.tell(order, "NEW")
        self.tell_balances(self.accounts.of_owner(order.owner), (self.asset_of(order),))

    def begin(self, order: Order, at_ns: int = 0) -> None:
        """Tell an order that its book has just taken, or that one which waited for another order now stands."""
        if order.kind not in STOPS:
            order.working_ns = at_ns or self.now_ns()
        if order.status != PENDING_NEW:
            self.add(order)
            return
        order.status = NEW
        order.updated_ns = at_ns or self.now_ns()
        self.relock(order)
        self.tell(order, "NEW", at_ns=at_ns)
        self.tell_balances(self.accounts.of_owner(order.owner), (self.asset_of(order),), at_ns=at_ns)

    def take(self, outcome: Outcome) -> None:
        """Refuse what a book refused; nothing of it is known then.

        Raises:
            Refusal: in the venue's words.
        """
        if not outcome.is_taken:
            raise rejected(_REFUSALS.get(outcome.status, "Market is closed."))

    def end(self, order: Order, status: str, execution: str, *, cancel_id: str = "", reason: str = "", at_ns: int = 0) -> None:
        """Bring an open order to its end and give back what it had locked."""
        self.port.withdraw(order)
        order.status = status
        order.cancel_id = cancel_id
        order.expiry_reason = reason
        order.updated_ns = at_ns or self.now_ns()
        sibling = self.lists.sibling_of(order) if order.list_id >= 0 else None
        self.log.finish(order)
        self.relock(order)
        if sibling is not None:
            self.relock(sibling)
        self.tell(order, execution, at_ns=at_ns)
        self.tell_balances(self.accounts.of_owner(order.owner), (self.asset_of(order),), at_ns=at_ns)
        if order.list_id >= 0:
            self.lists.changed(order)

    def settle(self, symbol: str) -> None:
        """Apply what an advance of a book did to orders that stood or waited there."""
        self.apply(symbol)

    def apply(self, symbol: str) -> None:
        """Apply what happened to orders in a book since the last time."""
        for what in self.port.happenings(symbol):
            if isinstance(what, Ending):
                self._ended(what)
            elif isinstance(what, Turn):
                self._turn(what)
            elif self.ledger.claim(spot_wallet(what.order.owner), symbol, what.trade_id):
                self._fill(what)

    def _turn(self, what: Turn) -> None:
        order = what.order
        if what.is_triggered:
            order.working_ns = order.updated_ns = what.time_ns
            self.tell(order, "NEW", at_ns=what.time_ns)
        elif order.status == PENDING_NEW:
            self.begin(order, what.time_ns)

    def _ended(self, what: Ending) -> None:
        order = what.order
        if not order.is_open:
            return
        self.port.forget(order)
        if what.why == SELF_TRADE:
            self.end(order, EXPIRED_IN_MATCH, "TRADE_PREVENTION", at_ns=what.time_ns)
            return
        if what.why in (OTHER_ORDER, REFUSED):
            reason = self.lists.why_ended(order, what.why) if order.list_id >= 0 else "REJECTED"
        else:
            tif = "FOK" if what.why == KILLED else order.asked.tif
            reason = _EXPIRY.get(tif, "INSUFFICIENT_LIQUIDITY") if order.kind in LIMITS else "INSUFFICIENT_LIQUIDITY"
        self.end(order, EXPIRED, "EXPIRED", reason=reason, at_ns=what.time_ns)

    def _fill(self, e: Execution) -> None:
        order, i = e.order, self.instrument(e.order.asked.symbol)
        account = self.accounts.of_owner(order.owner)
        wallet = spot_wallet(order.owner)
        value, quantity = i.notional(e.tick, e.lots), i.quantity(e.lots)
        rate = account.fees.spot_maker if e.is_maker else account.fees.spot_taker
        fee_asset, fee = (i.base, truncated(quantity * rate)) if order.is_buy else (i.quote, truncated(value * rate))
        sign = 1 if order.is_buy else -1
        self.ledger.move(i.quote, sign * value, source=wallet, target=MARKET)
        self.ledger.move(i.base, sign * quantity, source=MARKET, target=wallet)
        self.ledger.move(fee_asset, fee, source=wallet, target=FEES)
        order.filled_lots += e.lots
        order.tick_lots += e.lots * e.tick
        order.status = FILLED if order.left_lots == 0 else PARTIALLY_FILLED
        order.updated_ns = e.time_ns
        fill = Fill(
            trade_id=e.trade_id,
            order_id=order.id,
            owner=order.owner,
            symbol=i.symbol,
            side=order.asked.side,
            tick=e.tick,
            lots=e.lots,
            is_maker=e.is_maker,
            commission=fee,
            commission_asset=fee_asset,
            realised=ZERO,
            time_ns=order.updated_ns,
        )
        order.fills.append(fill)
        self.fills[order.owner].append(fill)
        if order.status == FILLED:
            self.port.forget(order)
            self.log.finish(order)
        self.relock(order)
        self.tell(order, "TRADE", fill)
        self.tell_balances(account, (i.base, i.quote), at_ns=e.time_ns)
        if order.list_id >= 0:
            self.lists.changed(order)

    # ---- telling

    def tell(self, order: Order, execution: str, fill: Fill | None = None, at_ns: int = 0) -> None:
        """Queue an execution report."""
        self._executions += 1
        self.events.append(
            OrderEvent(
                owner=order.owner,
                order=msgspec.structs.replace(order),
                execution=execution,
                time_ns=fill.time_ns if fill is not None else at_ns or self.now_ns(),
                number=self._executions,
                fill=fill,
                is_working=order.is_open and order.working_ns >= 0,
            )
        )

    def tell_balances(self, account: Account, assets: tuple[str, ...], at_ns: int = 0) -> None:
        """Queue the balances that changed."""
        account.updated_ns = at_ns or self.now_ns()
        rows = tuple((asset, self.free(account, asset), account.locked.get(asset, ZERO)) for asset in assets)
        self.events.append(BalancesEvent(owner=account.owner, time_ns=account.updated_ns, balances=rows))

    # ---- looking up

    def rules_of(self, symbol: str) -> Rules:
        """Return a symbol's rules, or refuse the symbol."""
        rules = self.rules.get(symbol)
        if rules is None:
            raise Refusal(*refusals.INVALID_SYMBOL)
        return rules

    def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's instrument."""
        return self.rules[symbol].instrument

    def asset_of(self, order: Order) -> str:
        """Return the asset that an order pays with."""
        i = self.instrument(order.asked.symbol)
        return i.quote if order.is_buy else i.base

    def reference_tick(self, symbol: str) -> int:
        """Return the last trade's tick, or the best price's before anything traded."""
        book = self.port.books[symbol]
        return book.last_tick if book.last_tick > 0 else max(book.touch[0], book.touch[2], 1)


def trigger_of(asked: OrderRequest) -> int:
    """Return which way the price must go to reach an order's trigger: a stop's against its holder, a take-profit's for him."""
    if asked.kind not in STOPS:
        return int(NO_TRIGGER)
    return int(RISES_TO if (asked.side == "BUY") == asked.kind.startswith("STOP_LOSS") else FALLS_TO)


def terms_of(order: Order) -> Terms:
    """Return how an order goes to its book."""
    asked = order.asked
    at_market = order.kind in {"MARKET", "STOP_LOSS", "TAKE_PROFIT"}
    # Nobody is there to look at the money when a stop buys at market: it pays at most what it has locked.
    dearest = asked.stop_tick * (100 + STOP_BUYS_UP_TO_PCT) // 100 if order.is_buy else 0
    return Terms(
        tick=dearest if at_market else asked.tick,
        tif="IOC" if at_market else asked.tif,
        post_only=order.kind == "LIMIT_MAKER",
        trigger=trigger_of(asked),
        trigger_tick=asked.stop_tick,
    )

"""Trade USD-M perpetuals for accounts: one-way positions on margin, with fills, funding and income told as the venue tells them.

Invariants: a position is the sum of its signed fills and equals the book's own count of its owner; wallets move by realised profit,
commission and funding only, each against a holder of the ledger; a reduce-only order never opens; a refusal changes nothing.
"""

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.accounts import Account, Accounts
from smartmoney.simulation.exchange.events import AccountEvent, Event, OrderEvent, PositionRow
from smartmoney.simulation.exchange.ledger import FEES, MARKET, OUTSIDE, ZERO, Ledger, truncated, usdm_wallet
from smartmoney.simulation.exchange.orders import (
    CANCELED,
    EXPIRED,
    EXPIRED_IN_MATCH,
    FILLED,
    PARTIALLY_FILLED,
    Fill,
    Order,
    OrderLog,
    OrderRequest,
)
from smartmoney.simulation.exchange.port import Ending, Execution, LastPrice, Port, Terms, Turn
from smartmoney.simulation.exchange.positions import (
    Margin,
    Position,
    SymbolMargin,
    account_margin,
    notional_max,
    symbol_margin,
)
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.exchange.rules import Rules, check_notional, check_usdm_price
from smartmoney.simulation.market import Rows
from smartmoney.simulation.order_table import SELF_TRADE

FILLS_MAX = 20_000
ASSET = "USDT"


class Income(msgspec.Struct, frozen=True, kw_only=True):
    """Be one movement of a USD-M wallet; `kind` is the venue's word."""

    owner: int
    symbol: str
    kind: str
    amount: Decimal
    time_ns: int
    number: int
    trade_id: int = 0


class Conditionals(Protocol):
    """Be told what the books do to conditional orders that wait in them; such an order has no id before it acts."""

    def triggered(self, order: Order, at_ns: int) -> None:
        """Learn that an order's trigger was reached."""

    def acts(self, what: Execution | Ending) -> bool:
        """Learn the first that a triggered order does, and tell whether that is to be applied to it."""


class UsdmDesk:
    """Trade one venue's perpetual books for its accounts. Drive it: `settle` each book after its advance, `tick` once after all."""

    conditionals: Conditionals

    def __init__(
        self,
        port: Port,
        rules: Mapping[str, Rules],
        accounts: Accounts,
        ledger: Ledger,
        now_ns: Callable[[], int],
        mark: Callable[[str], Decimal],
    ) -> None:
        self.port = port
        self.rules = dict(rules)
        self.accounts = accounts
        self.ledger = ledger
        self.log = OrderLog("usdm", 8_000_000_000)
        self.prices = {symbol: LastPrice() for symbol in rules}
        self.fills: dict[int, deque[Fill]] = {a.owner: deque(maxlen=FILLS_MAX) for a in accounts.all}
        self.incomes: dict[int, deque[Income]] = {a.owner: deque(maxlen=FILLS_MAX) for a in accounts.all}
        self.positions = {a.owner: {s: Position(instrument=r.instrument) for s, r in rules.items()} for a in accounts.all}
        self.events: list[Event] = []
        self.now_ns = now_ns
        self.mark = mark
        self._numbers = 0
        for account in accounts.all:
            for asset, amount in account.spec.usdm.items():
                ledger.move(asset, amount, source=OUTSIDE, target=usdm_wallet(account.owner))

    # ---- what accounts ask

    def place(self, account: Account, asked: OrderRequest, *, algo_id: int = 0) -> Order:
        """Take a LIMIT or MARKET order, or refuse it with the venue's words.

        Raises:
            Refusal: a filter, a rate, a duplicate id, too little margin, reduce-only without a position, or a price the type forbids.
        """
        lots = self._allowed_lots(account, asked)
        self.check(account, asked, lots)
        if not algo_id:
            account.usdm_rate.charge(self.now_ns())
        now = self.now_ns()
        order = Order(
            id=self.log.next_id(),
            owner=account.owner,
            asked=asked,
            client_id=asked.client_id or self.log.next_name(),
            time_ns=now,
            updated_ns=now,
            working_ns=now,
            lots=lots,
            kind=asked.kind,
            reduce_only=asked.reduce_only or asked.close_position,
            algo_id=algo_id,
            fills=[],
        )
        self.send(order)
        return order

    def check(self, account: Account, asked: OrderRequest, lots: int) -> None:
        """Refuse an order that breaks a filter, takes an open order's client id, or lacks margin."""
        rules = self.rules_of(asked.symbol)
        if not rules.is_trading:
            raise Refusal(-4141, "Symbol is closed.")
        if asked.client_id and self.log.has_open(account.owner, asked.symbol, asked.client_id):
            raise Refusal(*refusals.DUPLICATE_CLIENT_ID)
        mark = self.mark(asked.symbol)
        is_buy = asked.side == "BUY"
        if asked.kind == "LIMIT":
            check_usdm_price(rules, asked.tick, mark, is_buy=is_buy)
        price = rules.instrument.price(asked.tick) if asked.tick else mark
        reduces = asked.reduce_only or asked.close_position
        check_notional(rules, price * rules.instrument.quantity(lots), may_be_small=reduces)
        if len(self.log.open_of(account.owner, asked.symbol)) >= rules.max_orders:
            raise Refusal(-1015, "Too many new orders; current limit is 200 orders.")
        if not reduces:
            self._demand_margin(account, asked, lots)

    def cancel(self, order: Order | None) -> Order:
        """Cancel an open order.

        Raises:
            Refusal: it is not open (-2011).
        """
        if order is None or not order.is_open:
            raise Refusal(*refusals.UNKNOWN_ORDER)
        self.end(order, CANCELED, "CANCELED")
        return order

    def transfer(self, account: Account, asset: str, amount: Decimal) -> None:
        """Deposit (or, negative, withdraw) from outside.

        Raises:
            Refusal: less is available than is to be withdrawn.
        """
        if amount < 0 and (asset != ASSET or self.margin(account).available < -amount):
            raise Refusal(*refusals.MARGIN_INSUFFICIENT)
        self.ledger.move(asset, amount, source=OUTSIDE, target=usdm_wallet(account.owner))
        self.book_income(account, "", "TRANSFER", amount)
        self.tell_account(account, "DEPOSIT" if amount >= 0 else "WITHDRAW", (), change=amount)

    # ---- margin

    def wallet(self, account: Account) -> Decimal:
        """Return an account's wallet balance."""
        return self.ledger.balance(usdm_wallet(account.owner), ASSET)

    def part(self, account: Account, symbol: str) -> SymbolMargin:
        """Return what a symbol ties up for an account."""
        return symbol_margin(self.positions[account.owner][symbol], self.log.open_of(account.owner, symbol), self.mark(symbol))

    def margin(self, account: Account) -> Margin:
        """Return an account's sums at the present marks."""
        parts = [(position, self.part(account, symbol)) for symbol, position in self.positions[account.owner].items()]
        return account_margin(self.wallet(account), parts)

    def _demand_margin(self, account: Account, asked: OrderRequest, lots: int) -> None:
        i, position = self.instrument(asked.symbol), self.positions[account.owner][asked.symbol]
        mark, is_buy = self.mark(asked.symbol), asked.side == "BUY"
        if asked.tick:
            value = i.notional(asked.tick, lots)
        else:
            taken, cost = self.port.cost(i.symbol, is_buy=is_buy, lots=lots)
            value = i.notional(1, cost) + i.quantity(lots - taken) * mark
        orders = self.log.open_of(account.owner, asked.symbol)
        before = symbol_margin(position, orders, mark)
        after = symbol_margin(position, orders, mark, (value, ZERO) if is_buy else (ZERO, value))
        side = after.bids if is_buy else after.asks
        largest = abs(before.notional + (side if is_buy else -side))
        if largest > notional_max(position.leverage) and largest > abs(before.notional):
            raise Refusal(*refusals.POSITION_TOO_LARGE)
        opens = after.initial - before.initial
        fee = value * account.fees.usdm_taker if asked.kind == "MARKET" and opens > 0 else ZERO
        if opens + fee > 0 and self.margin(account).available < opens + fee:
            raise Refusal(*refusals.MARGIN_INSUFFICIENT)

    def _allowed_lots(self, account: Account, asked: OrderRequest) -> int:
        self.rules_of(asked.symbol)
        if not (asked.reduce_only or asked.close_position):
            return asked.lots
        held = self.positions[account.owner][asked.symbol].lots
        if held == 0 or (held > 0) == (asked.side == "BUY"):
            raise Refusal(*refusals.REDUCE_ONLY_REJECTED)
        return abs(held) if asked.close_position else min(asked.lots, abs(held))

    # ---- an order's life

    def send(self, order: Order) -> None:
        """Submit a new order to its book and settle what it did there.

        Raises:
            Refusal: post-only that would trade (-5022), fill-or-kill that cannot (-5021).
        """
        asked = order.asked
        tick, tif = (0, "IOC") if asked.kind == "MARKET" else (asked.tick, asked.tif)
        post_only = asked.tif == "GTX" and tick > 0
        outcome = self.port.submit(order, Terms(tick=tick, tif=tif, post_only=post_only, reduce_only=order.reduce_only))
        if not outcome.is_taken:
            if outcome.would_take:
                raise Refusal(*refusals.POST_ONLY_REJECTED)
            raise Refusal(*refusals.REDUCE_ONLY_REJECTED) if order.reduce_only else Refusal(-4141, "Symbol is closed.")
        is_killed = tif == "FOK" and not outcome.filled_lots
        if is_killed:
            self.port.forget(order)
        else:
            self.log.add(order)
            self.tell(order, "NEW")
        self._apply(asked.symbol)
        if is_killed:
            raise Refusal(*refusals.FOK_REJECTED)

    def end(self, order: Order, status: str, execution: str) -> None:
        """Bring an open order to its end."""
        self.port.withdraw(order)
        order.status = status
        order.updated_ns = self.now_ns()
        self.log.finish(order)
        self.tell(order, execution)

    def settle(self, symbol: str, rows: Rows) -> None:
        """Take the public rows of an advance and apply the fills of resting orders."""
        self.prices[symbol].see(rows)
        self._apply(symbol)

    def _apply(self, symbol: str) -> None:
        for what in self.port.happenings(symbol):
            if isinstance(what, Turn):
                if what.is_triggered:
                    self.conditionals.triggered(what.order, what.time_ns)
            elif not what.order.id and not self.conditionals.acts(what):
                continue
            elif isinstance(what, Ending):
                self._ended(what)
            elif self.ledger.claim(usdm_wallet(what.order.owner), symbol, what.trade_id):
                self._fill(what)

    def _ended(self, what: Ending) -> None:
        order = what.order
        if not what.is_whole:
            # A reduce-only order was cut to what is left to reduce.
            order.lots -= what.lots
        elif order.is_open:
            is_prevented = what.why == SELF_TRADE
            self.port.forget(order)
            self.end(order, EXPIRED_IN_MATCH if is_prevented else EXPIRED, "TRADE_PREVENTION" if is_prevented else "EXPIRED")

    def _fill(self, e: Execution) -> None:
        order = e.order
        i, account = self.instrument(order.asked.symbol), self.accounts.of_owner(order.owner)
        position = self.positions[order.owner][i.symbol]
        wallet = usdm_wallet(order.owner)
        price = i.price(e.tick)
        rate = account.fees.usdm_maker if e.is_maker else account.fees.usdm_taker
        fee = truncated(i.notional(e.tick, e.lots) * rate)
        realised = position.trade(e.lots if order.is_buy else -e.lots, price, fee)
        position.updated_ns = e.time_ns
        self.ledger.move(ASSET, realised, source=MARKET, target=wallet)
        self.ledger.move(ASSET, fee, source=wallet, target=FEES)
        order.filled_lots += e.lots
        order.tick_lots += e.lots * e.tick
        order.status = FILLED if order.left_lots == 0 else PARTIALLY_FILLED
        order.updated_ns = position.updated_ns
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
            commission_asset=ASSET,
            realised=realised,
            time_ns=order.updated_ns,
        )
        order.fills.append(fill)
        self.fills[order.owner].append(fill)
        if realised:
            self.book_income(account, i.symbol, "REALIZED_PNL", realised, e.trade_id, e.time_ns)
        if fee:
            self.book_income(account, i.symbol, "COMMISSION", -fee, e.trade_id, e.time_ns)
        if order.status == FILLED:
            self.port.forget(order)
            self.log.finish(order)
        self.tell_account(account, "ORDER", (i.symbol,), at_ns=e.time_ns)
        self.tell(order, "TRADE", fill)

    # ---- telling

    def book_income(self, account: Account, symbol: str, kind: str, amount: Decimal, trade_id: int = 0, at_ns: int = 0) -> None:
        """Write a movement of a wallet to the account's history."""
        income = Income(
            owner=account.owner,
            symbol=symbol,
            kind=kind,
            amount=amount,
            time_ns=at_ns or self.now_ns(),
            number=self.next_number(),
            trade_id=trade_id,
        )
        self.incomes[account.owner].append(income)

    def tell(self, order: Order, execution: str, fill: Fill | None = None, at_ns: int = 0) -> None:
        """Queue an order update."""
        copy = msgspec.structs.replace(order)
        at_ns = fill.time_ns if fill is not None else at_ns or self.now_ns()
        self.events.append(
            OrderEvent(owner=order.owner, order=copy, execution=execution, time_ns=at_ns, number=self.next_number(), fill=fill)
        )

    def tell_account(self, account: Account, reason: str, symbols: tuple[str, ...], change: Decimal = ZERO, at_ns: int = 0) -> None:
        """Queue the wallet and the positions that changed."""
        wallet = self.wallet(account)
        isolated = sum((p.isolated_wallet for p in self.positions[account.owner].values()), ZERO)
        account.updated_ns = at_ns or self.now_ns()
        rows = tuple(self.position_row(account, symbol) for symbol in symbols)
        balances = ((ASSET, wallet, wallet - isolated, change),)
        self.events.append(AccountEvent(owner=account.owner, time_ns=account.updated_ns, reason=reason, balances=balances, positions=rows))

    def position_row(self, account: Account, symbol: str) -> PositionRow:
        """Return a position as it is told."""
        p = self.positions[account.owner][symbol]
        return PositionRow(
            symbol=symbol,
            lots=p.lots,
            entry=p.entry,
            break_even=p.break_even,
            realised=p.realised,
            unrealised=p.unrealised(self.mark(symbol)),
            is_isolated=p.is_isolated,
            isolated_wallet=p.isolated_wallet,
        )

    def next_number(self) -> int:
        """Return a number that no event or transfer of this desk has had."""
        self._numbers += 1
        return self._numbers

    def rules_of(self, symbol: str) -> Rules:
        """Return a symbol's rules, or refuse the symbol."""
        rules = self.rules.get(symbol)
        if rules is None:
            raise Refusal(*refusals.INVALID_SYMBOL)
        return rules

    def instrument(self, symbol: str) -> Instrument:
        """Return a symbol's instrument."""
        return self.rules[symbol].instrument

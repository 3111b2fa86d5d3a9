"""Do what time does to USD-M accounts: funding every eight hours, liquidation, good-till-date, and the dead-man's timer.

Sources: Binance USD-M pages on funding, liquidation and "auto-cancel all open orders" (2026-07).
"""

from collections.abc import Callable
from decimal import Decimal

from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.ledger import INSURANCE, MARKET, ZERO, truncated, usdm_wallet
from smartmoney.simulation.exchange.orders import CANCELED, EXPIRED, OrderRequest
from smartmoney.simulation.exchange.positions import Position
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.exchange.usdm import ASSET, UsdmDesk
from smartmoney.simulation.exchange.usdm_algos import Algos

FUNDING_NS = 8 * 3_600_000_000_000
LIQUIDATION_FEE = Decimal("0.0125")
_MS = 1_000_000


class UsdmClock:
    """Run the timers of a desk; call `tick` after each advance."""

    def __init__(self, desk: UsdmDesk, algos: Algos, funding_rate: Callable[[str], Decimal]) -> None:
        self._desk = desk
        self._algos = algos
        self._funding_rate = funding_rate
        self._next_funding_ns = 0
        self._deadlines: dict[tuple[int, str], int] = {}

    def count_down(self, account: Account, symbol: str, wait_ms: int) -> None:
        """Cancel everything of a symbol after a time, unless called again before; 0 stops the timer."""
        key = (account.owner, symbol)
        self._deadlines.pop(key, None)
        if wait_ms:
            self._deadlines[key] = self._desk.now_ns() + wait_ms * _MS

    def tick(self) -> None:
        """Do everything that is due now."""
        self._fire_deadlines()
        self._expire_dated()
        self._fund()
        for account in self._desk.accounts.all:
            if any(position.lots for position in self._desk.positions[account.owner].values()):
                self._liquidate(account)
        self._algos.finish()

    def _fire_deadlines(self) -> None:
        now = self._desk.now_ns()
        for (owner, symbol), at_ns in list(self._deadlines.items()):
            if now < at_ns:
                continue
            del self._deadlines[owner, symbol]
            for order in self._desk.log.open_of(owner, symbol):
                self._desk.end(order, CANCELED, "CANCELED")
            # Whether the real timer reaches conditional orders is not written down; the harder case for a client is assumed.
            self._algos.cancel_all(owner, symbol)

    def _expire_dated(self) -> None:
        now = self._desk.now_ns()
        for account in self._desk.accounts.all:
            for order in self._desk.log.open_of(account.owner):
                if 0 < order.asked.good_till_ns <= now:
                    self._desk.end(order, EXPIRED, "EXPIRED")

    def _fund(self) -> None:
        now = self._desk.now_ns()
        if now < self._next_funding_ns:
            return
        is_first = self._next_funding_ns == 0
        self._next_funding_ns = (now // FUNDING_NS + 1) * FUNDING_NS
        if is_first:
            return
        for account in self._desk.accounts.all:
            for symbol, position in self._desk.positions[account.owner].items():
                if position.lots:
                    self.pay_funding(account, symbol, self._funding_rate(symbol))

    def pay_funding(self, account: Account, symbol: str, rate: Decimal) -> None:
        """Charge funding on a position at its mark price; a positive rate is paid by longs."""
        desk, position = self._desk, self._desk.positions[account.owner][symbol]
        amount = -truncated(position.quantity * desk.mark(symbol) * rate)
        desk.ledger.move(ASSET, amount, source=MARKET, target=usdm_wallet(account.owner))
        if position.is_isolated:
            position.isolated_wallet += amount
        desk.book_income(account, symbol, "FUNDING_FEE", amount)
        desk.tell_account(account, "FUNDING_FEE", (symbol,) if position.is_isolated else (), change=amount)

    def _liquidate(self, account: Account) -> None:
        desk = self._desk
        margin = desk.margin(account)
        held = {symbol: p for symbol, p in desk.positions[account.owner].items() if p.lots}
        due = [
            symbol
            for symbol, p in held.items()
            if p.is_isolated and p.isolated_wallet + p.unrealised(desk.mark(symbol)) <= desk.part(account, symbol).maintenance
        ]
        cross = [symbol for symbol, p in held.items() if not p.is_isolated]
        if cross and margin.cross_wallet + margin.cross_unrealised <= margin.cross_maintenance:
            due += cross
        for symbol in due:
            self._take_over(account, symbol, held[symbol])

    def liquidate(self, account: Account, symbol: str) -> None:
        """Take a position over whatever its margin: cancel its symbol's orders, close it at market, charge the fee."""
        self._take_over(account, symbol, self._desk.positions[account.owner][symbol])

    def _take_over(self, account: Account, symbol: str, position: Position) -> None:
        desk = self._desk
        for order in desk.log.open_of(account.owner, symbol):
            desk.end(order, CANCELED, "CANCELED")
        self._algos.cancel_all(account.owner, symbol)
        allowance = position.isolated_wallet
        is_isolated = position.is_isolated
        before = desk.wallet(account)
        asked = OrderRequest(
            symbol=symbol,
            side="SELL" if position.lots > 0 else "BUY",
            kind="MARKET",
            tif="IOC",
            lots=abs(position.lots),
            client_id=f"autoclose-{desk.now_ns() // _MS}-{desk.next_number()}",
            reduce_only=True,
        )
        try:
            order = desk.place(account, asked, algo_id=-1)
        except Refusal:
            # The book is empty or the symbol is halted: try again at the next tick.
            return
        fee = truncated(desk.instrument(symbol).notional(1, order.tick_lots) * LIQUIDATION_FEE)
        lost = before - desk.wallet(account)
        # The fund takes its fee from what is left, and covers what is not.
        floor = desk.wallet(account) if not is_isolated else allowance - lost
        fee = min(fee, max(floor, ZERO))
        charge = fee or min(floor, ZERO)
        if charge:
            desk.ledger.move(ASSET, charge, source=usdm_wallet(account.owner), target=INSURANCE)
            desk.book_income(account, symbol, "INSURANCE_CLEAR", -charge)
            desk.tell_account(account, "INSURANCE_CLEAR", (symbol,), change=-charge)

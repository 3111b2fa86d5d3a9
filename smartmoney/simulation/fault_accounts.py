"""Do to accounts what a plan of faults says: stops that vanish, liquidation, funding. Pure.

These change the truth: REST shows it from then on, and private streams tell it, except that a stop may vanish without a word.
"""

from collections.abc import Callable
from decimal import Decimal

from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.spot import STOPS, SpotDesk
from smartmoney.simulation.exchange.usdm import UsdmDesk
from smartmoney.simulation.exchange.usdm_algos import Algos
from smartmoney.simulation.exchange.usdm_clock import UsdmClock
from smartmoney.simulation.fault_kinds import Point
from smartmoney.simulation.faults import Fault, FaultPlan, Where


class AccountFaults:
    """Visit every account on a fixed grid of market time: call `act` where stops are watched."""

    def __init__(self, plan: FaultPlan, spot: SpotDesk, usdm: UsdmDesk, algos: Algos, clock: UsdmClock) -> None:
        self.spot = spot
        self.usdm = usdm
        self.algos = algos
        self.clock = clock
        self._plan = plan

    def act(self, now_ns: int) -> None:
        """Let the faults of accounts act that have something to act on."""
        if not self._plan.stands(Point.ACCOUNT):
            return
        for market, accounts, positions in (("spot", self.spot.accounts, {}), ("usdm", self.usdm.accounts, self.usdm.positions)):
            for account in accounts.all:
                symbols = dict.fromkeys([*positions.get(account.owner, {}), *self._symbols(market, account)])
                for symbol in symbols:
                    self._visit(market, account, symbol, now_ns)

    def _visit(self, market: str, account: Account, symbol: str, now_ns: int) -> None:
        def has_object(fault: Fault) -> bool:
            return _CONCERNS[fault.kind](self, market, account, symbol)

        for acting in self._plan.acting(Point.ACCOUNT, now_ns, Where(market=market, symbol=symbol), has_object):
            ACCOUNT_ACTS[acting.fault.kind](self, acting.fault, market, account, symbol)

    def _symbols(self, market: str, account: Account) -> list[str]:
        if market == "spot":
            return [order.asked.symbol for order in self.spot.log.open_of(account.owner)]
        return [algo.asked.symbol for algo in self.algos.open_of(account.owner)]

    def has_stop(self, market: str, account: Account, symbol: str) -> bool:
        """Tell whether a conditional order waits."""
        if market == "spot":
            return any(order.asked.kind in STOPS for order in self.spot.log.open_of(account.owner, symbol))
        return bool(self.algos.open_of(account.owner, symbol))

    def has_position(self, market: str, account: Account, symbol: str) -> bool:
        """Tell whether a USD-M position is held."""
        return market == "usdm" and bool(self.usdm.positions[account.owner][symbol].lots)


def _vanish(it: AccountFaults, fault: Fault, market: str, account: Account, symbol: str) -> None:
    desk = it.spot if market == "spot" else it.usdm
    before = len(desk.events)
    if market == "spot":
        stop = next(order for order in it.spot.log.open_of(account.owner, symbol) if order.asked.kind in STOPS)
        it.spot.cancel(stop)
    else:
        it.algos.cancel(it.algos.open_of(account.owner, symbol)[0])
    if not fault.value("told"):
        del desk.events[before:]


def _liquidate(it: AccountFaults, _fault: Fault, _market: str, account: Account, symbol: str) -> None:
    it.clock.liquidate(account, symbol)


def _fund(it: AccountFaults, fault: Fault, _market: str, account: Account, symbol: str) -> None:
    it.clock.pay_funding(account, symbol, Decimal(str(fault.value("rate"))))


_CONCERNS: dict[str, Callable[[AccountFaults, str, Account, str], bool]] = {
    "vanished_stop": AccountFaults.has_stop,
    "liquidation": AccountFaults.has_position,
    "funding": AccountFaults.has_position,
}
"""What an account must have in a symbol for a kind to act there."""

ACCOUNT_ACTS: dict[str, Callable[[AccountFaults, Fault, str, Account, str], None]] = {
    "vanished_stop": _vanish,
    "liquidation": _liquidate,
    "funding": _fund,
}
"""What each kind of fault does to an account."""

"""Join a synthetic market's books with the accounts that trade in them: one ledger, a spot and a USD-M side, one clock."""

from collections.abc import Mapping
from decimal import Decimal

from smartmoney.adapters.exchange_feed import FUNDING_RATE, Desk
from smartmoney.adapters.exchange_rules import rules_of
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.accounts import Accounts, AccountSpec
from smartmoney.simulation.exchange.events import Event
from smartmoney.simulation.exchange.ledger import Ledger
from smartmoney.simulation.exchange.port import Port
from smartmoney.simulation.exchange.spot import SpotDesk
from smartmoney.simulation.exchange.spot_lists import SpotLists
from smartmoney.simulation.exchange.usdm import UsdmDesk
from smartmoney.simulation.exchange.usdm_algos import Algos
from smartmoney.simulation.exchange.usdm_clock import UsdmClock
from smartmoney.simulation.market import Rows


class TradingVenue:
    """Hold the accounts of one venue. The server calls `settle` after each advance, and `watch` on a fixed grid of market time."""

    def __init__(self, desks: Mapping[tuple[Market, str], Desk], specs: tuple[AccountSpec, ...], origin_ns: int) -> None:
        self.desks = desks
        self.accounts = Accounts(specs)
        self.ledger = Ledger()
        by_market = {
            which: {symbol: desk for (owner, symbol), desk in desks.items() if owner is which} for which in (Market.SPOT, Market.USDM)
        }
        ports = {which: Port({s: d.book for s, d in found.items()}, origin_ns) for which, found in by_market.items()}
        rules = {which: {s: rules_of(d.book.instrument) for s, d in found.items()} for which, found in by_market.items()}
        self.spot = SpotDesk(ports[Market.SPOT], rules[Market.SPOT], self.accounts, self.ledger, self.now_ns)
        self.lists = SpotLists(self.spot)
        self.usdm = UsdmDesk(ports[Market.USDM], rules[Market.USDM], self.accounts, self.ledger, self.now_ns, self._mark)
        self.algos = Algos(self.usdm)
        self.clock = UsdmClock(self.usdm, self.algos, lambda _symbol: Decimal(str(FUNDING_RATE)))

    def now_ns(self) -> int:
        """Return the wall time that the books have reached."""
        return max(desk.now_ns for desk in self.desks.values())

    @property
    def is_busy(self) -> bool:
        """Tell whether something waits for a price or a time, so that time must not pass in large steps."""
        return any(
            self.spot.log.open_of(a.owner)
            or self.usdm.log.open_of(a.owner)
            or self.algos.open_of(a.owner)
            or any(p.lots for p in self.usdm.positions[a.owner].values())
            for a in self.accounts.all
        )

    def settle(self, rows: Mapping[tuple[Market, str], Rows]) -> None:
        """Apply what an advance of all books brought."""
        for (which, symbol), found in rows.items():
            if which is Market.SPOT:
                self.spot.settle(symbol)
            else:
                self.usdm.settle(symbol, found)

    def watch(self) -> None:
        """Trigger the conditional orders that were reached, and do what is due."""
        for which, symbol in self.desks:
            if which is Market.USDM:
                self.algos.watch(symbol)
        self.clock.tick()

    def take_events(self, which: Market) -> list[Event]:
        """Return, and forget, what happened to accounts of a market since the last call."""
        desk = self.spot if which is Market.SPOT else self.usdm
        events = list(desk.events)
        desk.events.clear()
        return events

    def _mark(self, symbol: str) -> Decimal:
        return Decimal(f"{self.desks[Market.USDM, symbol].mark_price()[0]:.8f}")

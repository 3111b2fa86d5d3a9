"""A venue with accounts on books that have run for some seconds, and what tests of it need."""

from decimal import Decimal

from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.accounts import AccountSpec
from smartmoney.simulation.exchange.ledger import ZERO
from smartmoney.simulation.exchange.orders import OrderRequest
from smartmoney.simulation.market import SyntheticMarket

S = 1_000_000_000
ORIGIN = 1_700_000_000 * S
SYMBOL = "BTCUSDT"
GRID = 10_000_000


class Trading:
    """Hold accounts `a` and `b` and a market that moves when `run` is called."""

    def __init__(self, seed=2, usdm=Decimal(1_000_000)):
        self.market = SyntheticMarket(seed, symbols=(SYMBOL,))
        desks = {key: Desk(book, ORIGIN) for key, book in self.market.books.items()}
        specs = tuple(
            AccountSpec(name=name, keys=(), spot={"BTC": Decimal(10), "USDT": Decimal(1_000_000)}, usdm={"USDT": usdm}) for name in "ab"
        )
        self.venue = TradingVenue(desks, specs, ORIGIN)
        self.a, self.b = self.venue.accounts.all
        self.spot, self.usdm, self.algos, self.lists = self.venue.spot, self.venue.usdm, self.venue.algos, self.venue.lists
        self.now = 0
        self.run(5 * S)
        self.told()

    def run(self, for_ns, step=GRID):
        until = self.now + for_ns
        while self.now < until:
            self.now = min(self.now + step, until)
            self.venue.settle(self.market.advance(self.now))
            self.venue.watch()

    def told(self, which=None):
        """Return, and forget, the events."""
        return [e for each in Market if each is not Market.COINM and which in (None, each) for e in self.venue.take_events(each)]

    def touch(self, which):
        bid, _, ask, _ = self.market.books[which, SYMBOL].touch
        return bid, ask

    def around(self, which):
        """Return what a fall and a rise must go beyond: the touch and the last trade can stand apart."""
        (bid, ask), last = self.touch(which), self.market.books[which, SYMBOL].last_tick
        return min(bid, last), max(ask, last)

    def gap(self):
        """Let `b` take the best three levels of spot's asks, and return a tick inside the spread that this opens."""
        levels = self.market.books[Market.SPOT, SYMBOL].snapshot(3).asks.tolist()
        lots = sum(lots for _, lots in levels)
        self.spot.place(self.b, self.ask_for("BUY", "LIMIT", lots, tick=levels[-1][0], tif="IOC"))
        self.told()
        return self.touch(Market.SPOT)[0] + 1

    def ask_for(self, side, kind, lots, **more):
        return OrderRequest(symbol=SYMBOL, side=side, kind=kind, lots=lots, **more)

    def check(self):
        """Assert everything that must always hold of money, positions and orders."""
        assert all(total == 0 for total in self.venue.ledger.totals().values())
        for account in (self.a, self.b):
            open_orders = self.spot.log.open_of(account.owner)
            for asset in ("BTC", "USDT"):
                locked = account.locked.get(asset, ZERO)
                assert locked == sum((o.locked for o in open_orders if self.spot.asset_of(o) == asset), ZERO)
                assert locked >= 0
                assert self.spot.free(account, asset) >= 0, (asset, self.spot.total(account, asset), locked)
            self._check_book(account, open_orders)
            for which, desk in ((Market.SPOT, self.spot), (Market.USDM, self.usdm)):
                fills = [f for f in desk.fills[account.owner] if f.symbol == SYMBOL]
                assert len({f.trade_id for f in fills}) == len(fills)
                signed = sum(f.lots if f.side == "BUY" else -f.lots for f in fills)
                assert signed == int(self.market.books[which, SYMBOL].worlds["position"][0][account.owner])
                for order in desk.log.all_of(account.owner):
                    assert 0 <= order.filled_lots <= order.lots
                    assert order.filled_lots == sum(f.lots for f in fills if f.order_id == order.id)
                    assert (order.status == "FILLED") == (order.filled_lots == order.lots)
            self._check_equity(account)

    def _check_book(self, account, open_orders):
        """The book has every open spot order but those that wait for a working order at the exchange, and has no other."""
        world = self.market.books[Market.SPOT, SYMBOL].worlds[0]
        # Whoever says EXPIRE_MAKER is in the table of special orders, whatever its type.
        kept = {int(n) for n in world["s_id"][(world["s_id"] != 0) & (world["s_owner"] == account.owner)]}
        known = {o.book_id for o in open_orders if o.asked.stp == "EXPIRE_MAKER" or o.asked.stop_tick}
        assert kept - {o.book_id for o in open_orders} == set()
        assert known - kept - {0} == set()
        assert all(o.status == "PENDING_NEW" for o in open_orders if not o.book_id)

    def _check_equity(self, account):
        """The wallet and the open position's cost are what deposits and trades made of them, to the last place."""
        position = self.usdm.positions[account.owner][SYMBOL]
        instrument = position.instrument
        fills = self.usdm.fills[account.owner]
        assert position.lots == sum(f.lots if f.side == "BUY" else -f.lots for f in fills)
        paid = sum((instrument.notional(f.tick, f.lots) * (1 if f.side == "BUY" else -1) for f in fills), ZERO)
        fees = sum((f.commission for f in fills), ZERO)
        incomes = self.usdm.incomes[account.owner]
        other = sum((i.amount for i in incomes if i.kind not in {"REALIZED_PNL", "COMMISSION"}), ZERO)
        opening = account.spec.usdm["USDT"]
        assert self.usdm.wallet(account) - position.cost == opening + other - fees - paid
        assert self.usdm.wallet(account) == opening + sum((i.amount for i in incomes), ZERO)

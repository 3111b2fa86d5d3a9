"""Faults of private streams and accounts: what is told differs, what is true does not, except where the venue really acts."""

import inspect
from decimal import Decimal

import pytest

from smartmoney.adapters.exchange_rules import rules_of
from smartmoney.core.domain.instruments import Market
from smartmoney.settings.faults import read_fault
from smartmoney.simulation.exchange.accounts import Accounts, AccountSpec
from smartmoney.simulation.exchange.events import AccountEvent, AlgoEvent, BalancesEvent, OrderEvent
from smartmoney.simulation.exchange.ledger import Ledger
from smartmoney.simulation.exchange.orders import OrderRequest
from smartmoney.simulation.exchange.port import Port
from smartmoney.simulation.exchange.spot import SpotDesk
from smartmoney.simulation.exchange.spot_lists import SpotLists
from smartmoney.simulation.exchange.usdm import UsdmDesk
from smartmoney.simulation.exchange.usdm_algos import Algos
from smartmoney.simulation.exchange.usdm_clock import UsdmClock
from smartmoney.simulation.fault_accounts import ACCOUNT_ACTS, AccountFaults
from smartmoney.simulation.fault_events import EVENT_ACTS, PrivateLine, is_fill
from smartmoney.simulation.fault_kinds import KINDS, Point
from smartmoney.simulation.faults import FaultPlan
from smartmoney.simulation.market import SyntheticMarket

S = 1_000_000_000
SYMBOL = "BTCUSDT"


class Venue:
    """Hold one account with money on both markets, on books that have run for some seconds."""

    def __init__(self):
        self.market = SyntheticMarket(2, symbols=(SYMBOL,))
        self.now = 5 * S
        self.market.advance(self.now)
        self.accounts = Accounts((AccountSpec(name="a", keys=(), spot={"BTC": Decimal(10)}, usdm={"USDT": Decimal(1_000_000)}),))
        (self.account,) = self.accounts.all
        ledger = Ledger()
        books = {which: {SYMBOL: self.market.books[which, SYMBOL]} for which in (Market.SPOT, Market.USDM)}
        rules = {which: {SYMBOL: rules_of(books[which][SYMBOL].instrument)} for which in books}
        extra = (0,) if "origin_ns" in inspect.signature(Port).parameters else ()
        self.spot = SpotDesk(Port(books[Market.SPOT], *extra), rules[Market.SPOT], self.accounts, ledger, lambda: self.now)
        SpotLists(self.spot)
        mark = self.price(Market.USDM)
        self.usdm = UsdmDesk(
            Port(books[Market.USDM], *extra), rules[Market.USDM], self.accounts, ledger, lambda: self.now, lambda _symbol: mark
        )
        self.algos = Algos(self.usdm)
        self.clock = UsdmClock(self.usdm, self.algos, lambda _symbol: Decimal(0))
        for which, desk in ((Market.SPOT, self.spot), (Market.USDM, self.usdm)):
            rows = self.market.books[which, SYMBOL].advance(self.now + S)
            desk.settle(SYMBOL, *([rows] if desk is self.usdm else []))
        self.now += S

    def price(self, which):
        book = self.market.books[which, SYMBOL]
        return book.instrument.price(book.touch[0])

    def faults(self, *faults):
        plan = FaultPlan([read_fault(fault) for fault in faults])
        return plan, AccountFaults(plan, self.spot, self.usdm, self.algos, self.clock)

    def take(self, desk):
        events = list(desk.events)
        desk.events.clear()
        return events


def bought(venue, lots=2000):
    asked = OrderRequest(symbol=SYMBOL, side="BUY", kind="MARKET", tif="GTC", lots=lots)
    venue.usdm.place(venue.account, asked)
    return venue.take(venue.usdm)


def kinds(events):
    return [event.execution if isinstance(event, OrderEvent) else type(event).__name__ for event in events]


@pytest.fixture(scope="module")
def told():
    """What an account is told of a market order: an acknowledgement, fills, and what they changed."""
    return bought(Venue())


def carried(events, *faults, seed=1):
    plan = FaultPlan([read_fault(fault) for fault in faults], seed)
    return PrivateLine(plan, "usdm", 1), plan, events


def test_without_faults_everything_is_told_at_once(told):
    line, _, events = carried(told)
    assert line.carry(events, 0) == events
    assert "TRADE" in kinds(events)
    assert "AccountEvent" in kinds(events)


@pytest.mark.parametrize("account", [True, False])
def test_a_lost_fill_is_not_told_and_nor_is_what_it_changed_unless_it_shall(told, account):
    line, plan, events = carried(told, {"kind": "lost_fill", "account": account})
    got = line.carry(events, 0)
    assert not any(is_fill(event) for event in got)
    assert any(isinstance(event, AccountEvent) for event in got) != account
    assert "NEW" in kinds(got)
    assert plan.reports(0)[0].acted == sum(is_fill(event) for event in events)


def test_a_duplicate_fill_has_the_same_trade_id(told):
    line, _, events = carried(told, {"kind": "duplicate_fill", "times": 2, "count": 1})
    got = [event.fill.trade_id for event in line.carry(events, 0) if is_fill(event)]
    first = next(event.fill.trade_id for event in events if is_fill(event))
    assert got[:3] == [first] * 3
    assert got.count(first) == 3


def test_a_late_fill_comes_when_it_is_due(told):
    line, _, events = carried(told, {"kind": "late_fill", "delay_s": 5})
    assert not any(is_fill(event) for event in line.carry(events, S))
    assert line.carry([], 6 * S - 1) == []
    assert line.carry([], 6 * S) == [event for event in events if is_fill(event)]


def test_a_fill_comes_before_its_acknowledgement(told):
    line, _, events = carried(told, {"kind": "fill_before_ack"})
    got = kinds([event for event in line.carry(events, 0) if isinstance(event, OrderEvent)])
    assert got[:2] == ["TRADE", "NEW"]
    assert sorted(got) == sorted(kinds([event for event in events if isinstance(event, OrderEvent)]))


def test_an_acknowledgement_that_nothing_overtakes_comes_after_its_wait(told):
    line, _, _ = carried(told, {"kind": "fill_before_ack", "wait_s": 2})
    (acknowledgement,) = [event for event in told if isinstance(event, OrderEvent) and event.execution == "NEW"]
    assert line.carry([acknowledgement], S) == []
    assert line.carry([], 3 * S - 1) == []
    assert line.carry([], 3 * S) == [acknowledgement]


def test_a_silent_private_stream_tells_nothing_until_the_fault_ends(told):
    line, plan, events = carried(told, {"kind": "private_silence", "name": "q", "for_s": 1})
    assert line.carry(events, 0) == []
    assert line.carry(events, S) == events
    assert plan.reports(0)[0].acted == len(events)


def test_the_same_seed_tells_the_same(told):
    faults = [{"kind": "lost_fill", "probability": 0.5}, {"kind": "duplicate_fill", "probability": 0.5}]
    first, second = (carried(told * 5, *faults) for _ in range(2))
    assert first[0].carry(first[2], 0) == second[0].carry(second[2], 0)


def stop(venue):
    tick = venue.market.books[Market.USDM, SYMBOL].touch[0] // 2
    return OrderRequest(symbol=SYMBOL, side="SELL", kind="STOP_MARKET", tif="GTC", lots=2000, stop_tick=tick, reduce_only=True)


@pytest.mark.parametrize("is_told", [False, True])
def test_one_stop_vanishes_with_or_without_a_word(is_told):
    venue = Venue()
    bought(venue)
    for _ in range(2):
        venue.algos.place(venue.account, stop(venue))
    venue.take(venue.usdm)
    plan, faults = venue.faults({"kind": "vanished_stop", "told": is_told})
    for _ in range(3):
        faults.act(venue.now)
    assert len(venue.algos.open_of(venue.account.owner)) == 1
    assert plan.reports(venue.now)[0].acted == 1
    events = venue.take(venue.usdm)
    assert [event.algo.status for event in events if isinstance(event, AlgoEvent)] == (["CANCELED"] if is_told else [])


def test_a_spot_stop_vanishes_and_gives_its_balance_back():
    venue = Venue()
    half = venue.market.books[Market.SPOT, SYMBOL].touch[0] // 2
    before = venue.spot.free(venue.account, "BTC")
    asked = OrderRequest(symbol=SYMBOL, side="SELL", kind="STOP_LOSS", tif="GTC", lots=100, stop_tick=half)
    venue.spot.place(venue.account, asked)
    assert venue.spot.free(venue.account, "BTC") < before
    venue.take(venue.spot)
    _, faults = venue.faults({"kind": "vanished_stop", "market": "spot"})
    faults.act(venue.now)
    assert not venue.spot.log.open_of(venue.account.owner)
    assert venue.spot.free(venue.account, "BTC") == before
    assert not [event for event in venue.take(venue.spot) if isinstance(event, (OrderEvent, BalancesEvent))]


def test_liquidation_closes_the_position_under_the_venues_own_name():
    venue = Venue()
    bought(venue)
    plan, faults = venue.faults({"kind": "liquidation"})
    faults.act(venue.now)
    assert venue.usdm.positions[venue.account.owner][SYMBOL].lots == 0
    orders = [event for event in venue.take(venue.usdm) if isinstance(event, OrderEvent)]
    assert orders
    assert all(event.order.client_id.startswith("autoclose-") for event in orders)
    faults.act(venue.now)
    assert plan.reports(venue.now)[0].acted == 1


def test_funding_is_charged_on_the_positions_notional():
    venue = Venue()
    bought(venue)
    before = venue.usdm.wallet(venue.account)
    notional = venue.usdm.positions[venue.account.owner][SYMBOL].quantity * venue.usdm.mark(SYMBOL)
    _, faults = venue.faults({"kind": "funding", "rate": 0.01})
    faults.act(venue.now)
    assert before - venue.usdm.wallet(venue.account) == pytest.approx(notional * Decimal("0.01"), abs=Decimal("1e-6"))
    (event,) = venue.take(venue.usdm)
    assert isinstance(event, AccountEvent)
    assert event.reason == "FUNDING_FEE"


def test_nothing_happens_to_an_account_that_has_nothing():
    venue = Venue()
    plan, faults = venue.faults({"kind": "liquidation"}, {"kind": "funding"}, {"kind": "vanished_stop"})
    faults.act(venue.now)
    assert [report.matched for report in plan.reports(venue.now)] == [0, 0, 0]


def test_every_kind_of_event_and_account_has_its_behaviour():
    assert set(EVENT_ACTS) | {"lost_fill"} == {name for name, kind in KINDS.items() if Point.EVENT in kind.points}
    assert set(ACCOUNT_ACTS) == {name for name, kind in KINDS.items() if Point.ACCOUNT in kind.points}

"""What a report is made of is kept in bounded memory, and is exact where it says so."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.entries import RunStarted
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Fill, Liquidity, OrderIntent, OrderType, PositionReport, Purpose, Side
from smartmoney.core.domain.signals import Opportunity
from smartmoney.runtime import forecast_watch
from smartmoney.runtime.chronicle import TRIPS_MAX, RegimeChange, TripSums, decision_sums
from smartmoney.runtime.chronicler import TripBook, without_shortest
from smartmoney.runtime.equity_curve import EquityCurve
from smartmoney.runtime.forecast_watch import ForecastWatch
from tests.fills import fill_of

D = Decimal
S = 1_000_000_000
GRID = Instrument(venue="v", market=Market.USDM, symbol="A", name="A/Q", base="A", quote="Q", tick_size=D("0.01"), lot_size=D("0.1"))


class Trading:
    """A trip book with fills at tick prices, one a second."""

    def __init__(self):
        self.book = TripBook()
        self.book.start_with([GRID])
        self.now = 0

    def fill(self, side, lots, ticks, name="o", fee="0.5"):
        self.now += S
        fill = fill_of(side, lots, ticks, name, fee, trade_id=str(self.now), fee_asset="Q", ts_event_ns=self.now)
        self.book.fill(fill, self.now)

    def ask(self, name, purpose=Purpose.ENTRY, signal_id=None, confidence=None, regime="unknown", reason=""):
        intent = OrderIntent(
            client_order_id=name, instrument=0, side=Side.BUY, type=OrderType.MARKET, lots=1, purpose=purpose, signal_id=signal_id
        )
        self.book.asked(intent, confidence=confidence, regime=regime, reason=reason)


def test_a_round_trip_carries_its_entrys_signal_and_its_exits_reason():
    trading = Trading()
    trading.ask("in", signal_id="s1", confidence=0.7, regime="accumulation")
    trading.ask("out", Purpose.STOP, reason="stop")
    trading.fill(Side.BUY, 10, 10_000, "in")
    trading.fill(Side.BUY, 10, 10_100, "in")
    trading.fill(Side.SELL, 20, 10_200, "out")
    [trip] = trading.book.trips
    assert (trip.side, trip.quantity, trip.entry_price, trip.exit_price) == (Side.BUY, 2.0, 100.5, 102.0)
    assert (trip.gross, trip.fees, trip.net) == (3.0, 1.5, 1.5)
    assert (trip.signal_id, trip.confidence, trip.regime, trip.exit) == ("s1", 0.7, "accumulation", "stop")
    assert (trip.holding_s, trip.net_bps) == (2.0, pytest.approx(1e4 * 1.5 / 201.0))
    [trade] = trading.book.trades
    assert trade.legs == ((S, 100.5), (2 * S, 100.5), (3 * S, -201.0))
    assert trading.book.by_regime["accumulation"] == TripSums(trips=1, wins=1, notional=201.0, gross=3.0, fees=1.5, net=1.5)


def test_a_fill_through_zero_closes_one_trip_and_opens_the_next():
    trading = Trading()
    trading.fill(Side.BUY, 10, 10_000)
    trading.fill(Side.SELL, 25, 10_100)
    trading.fill(Side.BUY, 15, 10_050)
    assert [(trip.side, trip.quantity, trip.entry_ns) for trip in trading.book.trips] == [(Side.BUY, 1.0, S), (Side.SELL, 1.5, 2 * S)]
    for trade in trading.book.trades:
        assert sum(size for _, size in trade.legs) == pytest.approx(0.0)


def test_trips_beyond_the_cap_are_in_the_sums():
    trading = Trading()
    for _ in range(TRIPS_MAX + 3):
        trading.fill(Side.BUY, 1, 10_000, fee="0")
        trading.fill(Side.SELL, 1, 10_001, fee="0")
    assert len(trading.book.trips) == len(trading.book.trades) == TRIPS_MAX
    total = trading.book.by_regime["unknown"]
    assert (total.trips, total.wins) == (TRIPS_MAX + 3, TRIPS_MAX + 3)
    assert total.net == pytest.approx(0.001 * (TRIPS_MAX + 3))


@given(st.lists(st.floats(1.0, 1e4), min_size=1, max_size=300))
def test_an_equity_curve_keeps_its_extremes_its_ends_and_its_worst_drawdown(values):
    curve = EquityCurve(40)
    for at, value in enumerate(values):
        curve.add(at, value)
    kept = [value for _, value in curve.points]
    assert len(kept) <= 40
    assert (kept[0], kept[-1], min(kept), max(kept)) == (values[0], values[-1], min(values), max(values))
    assert [at for at, _ in curve.points] == sorted(at for at, _ in curve.points)
    peak = worst = 0.0
    for value in values:
        peak = max(peak, value)
        worst = max(worst, (peak - value) / peak)
    assert curve.worst_drawdown == pytest.approx(worst)


def forecast(side=Side.BUY, confidence=0.7, horizon_s=60.0):
    return (
        Opportunity(
            side=side,
            confidence=confidence,
            liquidity_score=1.0,
            gross_return_bps=1.0,
            expected_return_bps=0.0,
            risk_level="low",
            horizon_s=horizon_s,
            model="m",
        ),
    )


def test_forecasts_are_judged_at_their_horizon_by_their_side():
    watch = ForecastWatch()
    same = forecast()
    watch.said(0, same, 100.0, 0)
    watch.said(0, same, 100.0, S)  # the same analysis again
    watch.said(1, forecast(Side.SELL, 0.8), 50.0, 0)
    watch.said(1, forecast(Side.SELL, 0.9), 50.0, S)
    watch.look([101.0, 49.0], 59 * S)
    assert watch.told().n == 0
    watch.look([101.0, 51.0], 60 * S)
    watch.look([101.0, 50.0], 61 * S)
    told = watch.told()
    assert (told.n, told.accuracy, told.ties, told.pending, told.lost) == (2, 0.5, 1, 0, 0)


def test_what_cannot_be_judged_is_lost_and_what_is_not_due_is_pending(monkeypatch):
    monkeypatch.setattr(forecast_watch, "PENDING_MAX", 3)
    watch = ForecastWatch()
    watch.said(0, forecast(), None, 0)
    watch.said(0, forecast(), 1.0, 1)
    watch.said(0, forecast(), 1.0, 30 * S)
    watch.said(0, forecast(horizon_s=900.0), 1.0, 2)
    watch.said(0, forecast(), 1.0, 3)  # one too many
    watch.look([2.0], 70 * S)  # a hole: the first was due ten seconds ago
    watch.look([None], 90 * S)
    told = watch.told()
    assert (told.n, told.lost, told.pending) == (0, 4, 1)


def test_regime_changes_are_thinned_by_their_length():
    changes = [
        RegimeChange(at, label, 0.5) for at, label in ((0, "a"), (100, "b"), (101, "a"), (200, "c"), (202, "a"), (400, "b"), (401, "a"))
    ]
    kept = without_shortest(changes)
    assert [(one.at_ns, one.label) for one in kept] == [(0, "a")]
    slow = [RegimeChange(at * at, "ab"[at % 2], 0.5) for at in range(100)]
    assert 30 < len(without_shortest(slow)) <= 60


def test_counts_of_stretches_add_up_by_code_and_regime():
    assert decision_sums([{"a": {"x": 1}}, {"a": {"x": 2, "y": 1}, "b": {"x": 1}}]) == {"a": {"x": 3, "y": 1}, "b": {"x": 1}}


def test_fees_in_base_leave_dust_and_the_trip_is_closed_all_the_same():
    spot = Instrument(venue="v", market=Market.SPOT, symbol="A", name="A/Q", base="A", quote="Q", tick_size=D("0.01"), lot_size=D("0.1"))
    book = TripBook()
    book.start_with([spot])
    asked = {"instrument": 0, "price_ticks": 10_000, "liquidity": Liquidity.TAKER}
    bought = Fill(trade_id="1", client_order_id="a", side=Side.BUY, lots=10, fee=D("0.05"), fee_asset="A", ts_event_ns=1, **asked)
    sold = Fill(trade_id="2", client_order_id="b", side=Side.SELL, lots=9, fee=D("0.09"), fee_asset="Q", ts_event_ns=2, **asked)
    book.fill(bought, 5 * S)
    book.fill(sold, 7 * S)
    [trip], [trade] = book.trips, book.trades
    assert (trip.quantity, trip.gross, trip.entry_ns, trip.exit_ns) == (0.9, 0.0, 5 * S, 7 * S)
    assert trip.fees == pytest.approx(5.0 * 0.9 / 0.95 + 0.09)
    assert trade.legs == ((5 * S, pytest.approx(90.0)), (7 * S, pytest.approx(-90.0)))


def test_a_position_of_an_earlier_run_closes_without_a_known_entry():
    trading = Trading()
    trading.fill(Side.BUY, 10, 10_000)
    trading.book.forget_closed()
    trading.fill(Side.SELL, 10, 10_100)
    assert [trip.entry_ns for trip in trading.book.trips] == [S]
    other = TripBook()
    other.start(
        RunStarted(
            run_id="r",
            mode="paper",
            venue="v",
            build="",
            config_hash="",
            model="",
            seed=0,
            instruments=(GRID,),
            parameters=b"",
            cash=D(900),
            positions=(PositionReport(instrument=0, quantity=D(1), cost=D(100)),),
        )
    )
    trading.book = other
    trading.fill(Side.SELL, 10, 10_100)
    [trip] = other.trips
    assert (trip.entry_ns, trip.regime, trip.confidence, trip.gross) == (0, "unknown", None, 1.0)
    assert other.trades == []

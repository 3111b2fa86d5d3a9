"""The portfolio against an independent ledger in fractions."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Fill, Liquidity, Side
from smartmoney.core.portfolio.portfolio import Portfolio
from tests.examples import examples

INSTRUMENTS = (
    Instrument(
        venue="v",
        market=Market.SPOT,
        symbol="A",
        name="A/Q",
        base="A",
        quote="Q",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.00001"),
        min_lots=7,
    ),
    Instrument(
        venue="v", market=Market.USDM, symbol="B", name="B/Q:Q", base="B", quote="Q", tick_size=Decimal("0.5"), lot_size=Decimal("0.003")
    ),
)
CASH = Decimal("12345.6789")

raw_fills = st.lists(
    st.tuples(
        st.integers(0, 40),  # trade id: small, so that duplicates happen
        st.integers(0, 1),
        st.sampled_from(Side),
        st.integers(1, 10**8),
        st.integers(1, 10**9),
        st.decimals(min_value="-0.01", max_value="5", places=9, allow_nan=False),
        st.sampled_from(["base", "quote", "other"]),
    ),
    max_size=40,
)


def as_fill(raw):
    trade_id, index, side, ticks, lots, fee, asset = raw
    grid = INSTRUMENTS[index]
    name = {"base": grid.base, "quote": grid.quote, "other": "BNB"}[asset]
    return Fill(
        trade_id=str(trade_id),
        client_order_id=f"o{trade_id % 5}",
        instrument=index,
        side=side,
        price_ticks=ticks,
        lots=lots,
        fee=fee,
        fee_asset=name,
        liquidity=Liquidity.TAKER,
        ts_event_ns=0,
    )


class FractionLedger:
    def __init__(self):
        self.cash = Fraction(CASH)
        self.quantity = [Fraction(0), Fraction(0)]
        self.seen = set()

    def apply(self, fill):
        if (fill.instrument, fill.trade_id) in self.seen:
            return
        self.seen.add((fill.instrument, fill.trade_id))
        grid = INSTRUMENTS[fill.instrument]
        quantity = fill.side.sign * fill.lots * Fraction(grid.lot_size)
        self.cash -= quantity * fill.price_ticks * Fraction(grid.tick_size)
        self.quantity[fill.instrument] += quantity
        if fill.fee_asset == grid.quote:
            self.cash -= Fraction(fill.fee)
        elif fill.fee_asset == grid.base:
            self.quantity[fill.instrument] -= Fraction(fill.fee)

    def equity(self, marks):
        return self.cash + sum(q * Fraction(m) for q, m in zip(self.quantity, marks, strict=True))


marks_of = st.lists(st.decimals(min_value="0.01", max_value="99999", places=2, allow_nan=False), min_size=2, max_size=2)


@given(raw_fills, marks_of)
@settings(max_examples=examples(300), deadline=None)
def test_cash_positions_and_equity_equal_an_independent_ledger_exactly(raws, marks):
    book, oracle = Portfolio(INSTRUMENTS, CASH), FractionLedger()
    for raw in raws:
        fill = as_fill(raw)
        book.apply(fill)
        oracle.apply(fill)
        assert Fraction(book.cash) == oracle.cash
        assert [Fraction(book.position(i).quantity) for i in (0, 1)] == oracle.quantity
        assert Fraction(book.equity(marks)) == oracle.equity(marks)


@given(raw_fills, marks_of)
@settings(max_examples=examples(200), deadline=None)
def test_equity_is_start_plus_realised_plus_open_profit_less_fees(raws, marks):
    book = Portfolio(INSTRUMENTS, CASH)
    for raw in raws:
        book.apply(as_fill(raw))
    opened = sum(Fraction(book.position(i).quantity) * Fraction(marks[i]) - Fraction(book.position(i).cost) for i in (0, 1))
    assert Fraction(book.equity(marks)) == Fraction(CASH) + Fraction(book.realised) - Fraction(book.fees_paid) + opened


@given(raw_fills)
@settings(max_examples=examples(200), deadline=None)
def test_net_profits_of_closed_trades_and_what_is_still_open_add_up(raws):
    book = Portfolio(INSTRUMENTS, CASH)
    closed = [trade for raw in raws if (trade := book.apply(as_fill(raw))) is not None]
    running = [trip for trip in book._trips if trip is not None]
    gross = sum(Fraction(t.gross_profit) for t in closed) + sum(Fraction(t.gross) for t in running)
    fees = sum(Fraction(t.fees) for t in closed) + sum(Fraction(t.fees) for t in running)
    assert gross == Fraction(book.realised)
    assert fees + sum(Fraction(book.position(i).entry_fees) for i in (0, 1)) == Fraction(book.fees_paid)
    for trade in closed:
        assert Fraction(trade.net_profit) == Fraction(trade.gross_profit) - Fraction(trade.fees)


@given(raw_fills)
@settings(max_examples=examples(100), deadline=None)
def test_every_fill_twice_is_every_fill_once(raws):
    once, twice = Portfolio(INSTRUMENTS, CASH), Portfolio(INSTRUMENTS, CASH)
    for raw in raws:
        once.apply(as_fill(raw))
        twice.apply(as_fill(raw))
        assert twice.apply(as_fill(raw)) is None
    assert (once.cash, once.reports(), once.fill_count) == (twice.cash, twice.reports(), twice.fill_count)

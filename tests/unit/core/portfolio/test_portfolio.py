from decimal import Decimal

import pytest

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import PositionReport, Side
from smartmoney.core.portfolio.portfolio import CLOSED_ORDERS_REMEMBERED, Portfolio, mark_price
from tests.fills import fill_of

D = Decimal
SPOT = Instrument(
    venue="binance",
    market=Market.SPOT,
    symbol="BTCUSDT",
    name="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.01"),
    lot_size=D("0.001"),
    min_lots=2,
)
PERP = Instrument(
    venue="binance",
    market=Market.USDM,
    symbol="BTCUSDT",
    name="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    tick_size=D("0.1"),
    lot_size=D("0.001"),
)


def fill(trade_id, side, ticks, lots, fee="0", asset="USDT", instrument=0, order="o", ts=1):
    return fill_of(side, lots, ticks, order, fee, trade_id=str(trade_id), fee_asset=asset, instrument=instrument, ts_event_ns=ts)


def test_round_trip_reports_net_profit_with_both_fees():
    book = Portfolio([SPOT], D(1000))
    assert book.apply(fill(1, Side.BUY, 10_000, 1000, "0.10", ts=5)) is None
    assert book.cash == D("899.90")
    closed = book.apply(fill(2, Side.SELL, 11_000, 1000, "0.11", order="x", ts=9))
    assert closed is not None
    assert (closed.gross_profit, closed.fees, closed.net_profit) == (D(10), D("0.21"), D("9.79"))
    assert (closed.side, closed.entry_price, closed.exit_price) == (Side.BUY, D(100), D(110))
    assert (closed.opened_by, closed.closed_by, closed.opened_ts_event_ns, closed.closed_ts_event_ns) == ("o", "x", 5, 9)
    assert book.cash == D("1009.79") == book.equity([None])
    assert book.position(0).quantity == 0


def test_partial_close_reports_only_at_the_end_and_shares_entry_fees():
    book = Portfolio([SPOT], D(1000))
    book.apply(fill(1, Side.BUY, 10_000, 900, "0.09"))
    assert book.apply(fill(2, Side.SELL, 10_100, 300, "0.03")) is None
    assert book.position(0).entry_fees == D("0.06")
    closed = book.apply(fill(3, Side.SELL, 10_200, 600, "0.06"))
    assert closed.net_profit == D("0.3") + D("1.2") - D("0.18")


def test_flip_closes_one_trade_and_opens_the_next_with_its_share_of_the_fee():
    book = Portfolio([PERP], D(1000))
    book.apply(fill(1, Side.BUY, 1000, 1000, "0.1"))
    closed = book.apply(fill(2, Side.SELL, 1100, 3000, "0.3"))
    assert closed.net_profit == D(10) - D("0.1") - D("0.1")
    assert book.position_lots(0) == -2000
    assert book.position(0).entry_fees == D("0.2")
    assert book.position(0).average_price == D(110)
    closed = book.apply(fill(3, Side.BUY, 1000, 2000))
    assert (closed.side, closed.net_profit) == (Side.SELL, D(20) - D("0.2"))


def test_fee_in_base_reduces_the_position_and_dust_counts_as_flat():
    book = Portfolio([SPOT], D(1000))
    book.apply(fill(1, Side.BUY, 10_000, 1000, "0.001", "BTC"))
    assert book.cash == D(900)
    assert book.position(0).quantity == D("0.999")
    assert book.position_lots(0) == 999
    closed = book.apply(fill(2, Side.SELL, 10_000, 998))
    assert book.position_lots(0) == 0, "one lot is below the smallest order of two"
    assert closed is not None
    assert book.position(0).quantity == D("0.001")
    assert not book.has_position()
    assert book.is_exposed
    assert book.equity([None]) == book.cash + D("0.1"), "dust without a mark counts at its cost"


def test_fee_in_a_third_asset_is_kept_apart():
    book = Portfolio([SPOT], D(1000))
    book.apply(fill(1, Side.BUY, 10_000, 1000, "0.01", "BNB"))
    assert book.fees_other == {"BNB": D("0.01")}
    assert book.cash == D(900)
    assert book.fees_paid == 0


def test_equity_is_none_without_a_mark_for_an_open_position():
    book = Portfolio([SPOT, PERP], D(1000))
    book.apply(fill(1, Side.SELL, 1000, 1000, instrument=1))
    assert book.equity([None, None]) is None
    assert book.equity([None, D("NaN")]) is None
    assert book.equity([None, D(90)]) == D(1010)


def test_duplicate_trade_id_changes_nothing_but_another_instrument_may_use_it():
    book = Portfolio([SPOT, PERP], D(1000))
    book.apply(fill(7, Side.BUY, 10_000, 10))
    cash = book.cash
    assert book.apply(fill(7, Side.BUY, 10_000, 10)) is None
    assert book.cash == cash
    book.apply(fill(7, Side.BUY, 1000, 10, instrument=1))
    assert book.position_lots(1) == 10


def test_trade_ids_of_open_orders_are_never_forgotten_and_those_of_old_orders_are():
    book = Portfolio([SPOT], D(1000))
    book.apply(fill("open", Side.BUY, 100, 10, order="open"))
    for n in range(CLOSED_ORDERS_REMEMBERED + 5):
        book.apply(fill(n, Side.BUY, 1, 1, order=f"o{n}"))
        book.order_closed(f"o{n}")
        book.order_closed(f"o{n}")
    assert book.is_known(fill("open", Side.BUY, 100, 10))
    assert book.is_known(fill(5, Side.BUY, 1, 1))
    assert not book.is_known(fill(4, Side.BUY, 1, 1))
    assert len(book._seen) == CLOSED_ORDERS_REMEMBERED + 1


def test_mark_is_the_bid_for_longs_the_ask_for_shorts_and_none_on_an_empty_side():
    assert mark_price(PERP, D(1), 1000, 1001) == D("100.0")
    assert mark_price(PERP, D(-1), 1000, 1001) == D("100.1")
    assert mark_price(PERP, D(1), -1, 1001) is None


def test_restored_position_closes_against_its_cost():
    book = Portfolio([PERP], D(500), [PositionReport(instrument=0, quantity=D(-2), cost=D(-200))])
    assert book.equity([D(90)]) == D(320)
    closed = book.apply(fill(1, Side.BUY, 900, 2000))
    assert (closed.side, closed.net_profit) == (Side.SELL, D(20))
    assert book.reports() == ()


def test_funding_moves_cash():
    book = Portfolio([PERP], D(500))
    assert book.apply_funding(D("-0.25"), "f1")
    assert not book.apply_funding(D("-0.25"), "f1")
    assert (book.cash, book.funding_paid) == (D("499.75"), D("0.25"))


@pytest.mark.parametrize("side", list(Side))
def test_division_remainders_stay_on_the_books(side):
    book = Portfolio([PERP], D(1000))
    book.apply(fill(1, side, 1000, 3, "0.01"))
    total = D(0)
    for n in range(3):
        closed = book.apply(fill(10 + n, side.opposite, 1000, 1))
        total += D(0) if closed is None else closed.net_profit
    assert total == D("-0.01")

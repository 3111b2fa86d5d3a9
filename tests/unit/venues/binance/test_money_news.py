"""Money that moves without a trade, as the venue writes it."""

import json
from decimal import Decimal

import pytest

from smartmoney.venues.binance.money_news import BOOKED, MOVED, read_incomes, read_money_event
from smartmoney.venues.binance.order_news import NewsError
from smartmoney.venues.incomes import Income

ROW = {
    "symbol": "BTCUSDT",
    "incomeType": "FUNDING_FEE",
    "income": "-0.13480000",
    "asset": "USDT",
    "time": 1_570_636_800_000,
    "info": "FUNDING_FEE",
    "tranId": 9_689_322_392,
    "tradeId": "",
}


def test_a_row_of_the_list_is_an_exact_amount_under_a_name_of_its_own():
    (found,) = read_incomes([ROW])
    assert found == Income(
        kind="FUNDING_FEE", symbol="BTCUSDT", amount=Decimal("-0.1348"), asset="USDT", time_ms=1_570_636_800_000, number="9689322392"
    )
    assert found.reference == "FUNDING_FEE-9689322392"


def test_rows_come_oldest_first_whatever_their_order():
    rows = [{**ROW, "time": time, "tranId": time} for time in (3, 1, 2)]
    assert [row.time_ms for row in read_incomes(rows)] == [1, 2, 3]


@pytest.mark.parametrize(
    "body",
    [{}, [1], [{**ROW, "income": "NaN"}], [{**ROW, "income": "much"}], [{**ROW, "tranId": "x"}], [{"income": "1"}]],
    ids=["object", "number", "nan", "text", "no-number", "nothing"],
)
def test_what_is_no_list_of_incomes_is_refused(body):
    with pytest.raises(NewsError):
        read_incomes(body)


@pytest.mark.parametrize(
    ("reason", "kinds"),
    [*((kind, (kind,)) for kind in BOOKED), ("DEPOSIT", MOVED), ("WITHDRAW", MOVED)],
)
def test_an_update_says_among_which_kinds_it_will_be_listed(reason, kinds):
    raw = json.dumps({"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": {"m": reason, "B": [], "P": []}}).encode()
    event = read_money_event("ACCOUNT_UPDATE", raw)
    assert event is not None
    assert event.kinds == kinds


def test_an_update_of_a_trade_moves_no_money_by_itself():
    assert read_money_event("ACCOUNT_UPDATE", b'{"a":{"m":"ORDER"}}') is None
    assert read_money_event("ORDER_TRADE_UPDATE", b"{}") is None
    assert read_money_event("balanceUpdate", b"{}") is not None
    with pytest.raises(NewsError):
        read_money_event("ACCOUNT_UPDATE", b'{"a":{}}')

"""Recorded private frames and answers of Binance, read to exact news: names, states, numbers and trades, not only without an error."""

import json
from decimal import Decimal

import pytest

from smartmoney.core.domain.orders import Side
from smartmoney.venues.binance.order_news import read_algo, read_balances, read_event, read_order, read_positions, read_trades
from smartmoney.venues.order_news import NewsError, OrderState

D = Decimal
EVENTS = [
    ("spot", "execution_report_new", "x-TD67BGP9-T0000000000000", OrderState.WORKING, D(0), ()),
    ("spot", "execution_report_canceled", "x-TD67BGP9-T0000000000000", OrderState.CANCELED, D(0), ()),
    ("spot", "execution_report_expired", "x-TD67BGP9-T0000000000000", OrderState.EXPIRED, D(0), ()),
    ("spot", "execution_report_stop_loss", "x-TD67BGP9-T0000000000001", OrderState.WORKING, D(0), ()),
    ("spot", "execution_report_wrapped", "mUvoqJxFIILMdfAW5iGSOW", OrderState.WORKING, D(0), ()),
    (
        "spot",
        "execution_report_trade",
        "x-TD67BGP9-T0000000000000",
        OrderState.FILLED,
        D(1),
        (("98765432", D(2500), D(1), D("0.001"), "ETH", True),),
    ),
    ("futures", "order_update_new", "TEST", OrderState.WORKING, D(0), ()),
    (
        "futures",
        "order_update_trade",
        "TEST",
        OrderState.WORKING,
        D("0.001"),
        (("12345678", D("7100.5"), D("0.001"), D("0.01"), "USDT", True),),
    ),
    (
        "futures",
        "order_update_calculated",
        "autoclose-1234567890",
        OrderState.FILLED,
        D("0.014"),
        (("12345999", D("9910.12"), D("0.014"), D("0.06937084"), "USDT", False),),
    ),
    (
        "futures",
        "order_update_adl",
        "adl_autoclose_12345",
        OrderState.WORKING,
        D("0.005"),
        (("12346001", D(42000), D("0.005"), D("0.105"), "USDT", False),),
    ),
    (
        "futures",
        "order_update_settlement",
        "settlement_autoclose-9999",
        OrderState.FILLED,
        D("0.01"),
        (("12346002", D(50000), D("0.01"), D("0.25"), "USDT", False),),
    ),
    ("futures", "algo_update_new", "Q5xaq5EGKgXXa0fD7fs0Ip", OrderState.WORKING, D(0), ()),
    ("futures", "algo_update_canceled", "Q5xaq5EGKgXXa0fD7fs0Ip", OrderState.CANCELED, D(0), ()),
]
OTHERS = [
    ("spot", "account_position", "outboundAccountPosition"),
    ("spot", "list_status_wrapped", "listStatus"),
    ("futures", "account_update", "ACCOUNT_UPDATE"),
    ("futures", "trade_lite", "TRADE_LITE"),
]


@pytest.fixture
def recorded(captures):
    base = captures / "nautilus_trader" / "adapters" / "binance"
    return lambda name: (base / name).read_bytes()


@pytest.mark.parametrize(("market", "name", "client_id", "state", "filled", "trades"), EVENTS, ids=[event[1] for event in EVENTS])
def test_an_order_s_event_is_read_exactly(recorded, market, name, client_id, state, filled, trades):
    _, news = read_event(recorded(f"{market}/user_data_json/{name}.json"))
    assert (news.client_id, news.state, news.filled) == (client_id, state, filled)
    assert news.is_algo is name.startswith("algo")
    found = tuple((t.trade_id, t.price, t.quantity, t.fee, t.fee_asset, t.is_maker) for t in news.trades)
    assert found == trades


@pytest.mark.parametrize(("market", "name", "kind"), OTHERS, ids=[event[1] for event in OTHERS])
def test_other_events_are_known_by_name_and_say_nothing_of_orders(recorded, market, name, kind):
    assert read_event(recorded(f"{market}/user_data_json/{name}.json")) == (kind, None)


def test_a_spot_cancel_is_told_under_the_order_s_own_id(recorded):
    event = json.loads(recorded("spot/user_data_json/execution_report_canceled.json"))
    event |= {"c": "the-cancel", "C": "the-order"}
    _, news = read_event(json.dumps(event).encode())
    assert news.client_id == "the-order"


def test_answers_are_read_exactly(recorded):
    full = read_order(json.loads(recorded("spot/http_json/new_order_full_response.json")))
    assert (full.state, full.filled, full.side) == (OrderState.FILLED, D(10), Side.SELL)
    assert next((t.trade_id, t.price, t.quantity, t.fee, t.fee_asset) for t in full.trades) == ("56", D(4000), D(1), D(4), "USDT")
    assert sum(t.quantity for t in full.trades) == 10
    cancelled = read_order(json.loads(recorded("spot/http_json/cancel_order_response.json")))
    assert (cancelled.client_id, cancelled.state) == ("myOrder1", OrderState.CANCELED)
    (trade,) = read_trades(json.loads(recorded("spot/http_json/account_trades_response.json")))
    assert (trade.trade_id, trade.order_id, trade.side, trade.fee_asset) == ("28457", "100234", Side.BUY, "BNB")
    (algo,) = [read_algo(one) for one in json.loads(recorded("futures/http_json/open_algo_orders.json"))]
    assert (algo.client_id, algo.order_id, algo.stop_price, algo.is_algo) == ("test-algo-order-1", "123456789", D(45000), True)
    (position,) = read_positions(json.loads(recorded("futures/http_json/position_risk.json")))
    assert (position.name, position.quantity) == ("BTCUSDT", D("0.001"))
    assert read_balances(json.loads(recorded("spot/http_json/account_response.json")))[0].quantity == D("4723846.89208129")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"e":"executionReport"}',
        b'{"e":"ORDER_TRADE_UPDATE","o":{}}',
        b'{"e":"ORDER_TRADE_UPDATE","o":7}',
        b'{"e":"ALGO_UPDATE","o":null}',
        b'{"e":"executionReport","x":"NEW","s":"A","i":1,"S":"BUY","c":"x","X":"NEW","o":"LIMIT","q":"NaN","z":"0","p":"1","P":"0"}',
        b'{"e":"executionReport","x":"NEW","s":"A","i":1,"S":"BUY","c":"x","X":"ODD","o":"LIMIT","q":"1","z":"0","p":"1","P":"0"}',
        b'{"e":"executionReport","x":"NEW","s":"A","i":1,"S":"BUY","c":"x","X":"NEW","o":"LIMIT","q":1.5,"z":"0","p":"1","P":"0"}',
        b"[" * 100_000,
    ],
)
def test_nonsense_is_refused_and_never_half_read(raw):
    with pytest.raises(NewsError):
        read_event(raw)

"""The exact parameters of every private request: exact texts, our ids, nothing that a market order must not carry."""

from decimal import Decimal

import pytest

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.venues.binance import order_calls as calls


def instrument(market):
    return Instrument(
        venue="binance",
        market=market,
        symbol="BTCUSDT",
        name="BTC/USDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal("0.01") if market is Market.SPOT else Decimal("0.1"),
        lot_size=Decimal("0.00001") if market is Market.SPOT else Decimal("0.001"),
    )


SPOT, USDM = instrument(Market.SPOT), instrument(Market.USDM)


def intent(**changes):
    base = {
        "client_order_id": "smrun-7-0",
        "instrument": 0,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "lots": 123,
        "purpose": Purpose.ENTRY,
        "price_ticks": 6_000_001,
    }
    return OrderIntent(**{**base, **changes})


STOP = intent(
    type=OrderType.STOP_MARKET,
    side=Side.SELL,
    price_ticks=None,
    stop_ticks=590_000,
    reduce_only=True,
    purpose=Purpose.STOP,
    oco_group="smrun-7-0",
)
MARKET = intent(type=OrderType.MARKET, price_ticks=None, reduce_only=True, side=Side.SELL, time_in_force=TimeInForce.IOC)
CASES = [
    (
        SPOT,
        intent(time_in_force=TimeInForce.IOC),
        "POST private/order",
        {"type": "LIMIT", "timeInForce": "IOC", "price": "60000.01", "quantity": "0.00123", "side": "BUY", "newOrderRespType": "FULL"},
    ),
    (SPOT, intent(post_only=True), "POST private/order", {"type": "LIMIT_MAKER", "price": "60000.01", "timeInForce": None}),
    (SPOT, MARKET, "POST private/order", {"type": "MARKET", "price": None, "quoteOrderQty": None, "reduceOnly": None, "timeInForce": None}),
    (SPOT, STOP, "POST private/order", {"type": "STOP_LOSS", "stopPrice": "5900.00", "price": None, "newClientOrderId": "smrun-7-0"}),
    (
        USDM,
        intent(post_only=True),
        "POST fapiPrivate/order",
        {"type": "LIMIT", "timeInForce": "GTX", "price": "600000.1", "reduceOnly": None},
    ),
    (USDM, intent(), "POST fapiPrivate/order", {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.123", "newOrderRespType": "RESULT"}),
    (USDM, MARKET, "POST fapiPrivate/order", {"type": "MARKET", "reduceOnly": "true", "price": None, "timeInForce": None}),
    (
        USDM,
        STOP,
        "POST fapiPrivate/algoOrder",
        {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "59000.0", "clientAlgoId": "smrun-7-0", "reduceOnly": "true"},
    ),
]


@pytest.mark.parametrize(("grid", "order", "where", "expected"), CASES)
def test_an_order_has_exactly_what_its_type_needs(grid, order, where, expected):
    call = calls.place(grid, order)
    assert f"{call.method} {call.section}/{call.path}" == where
    assert {name: call.params.get(name) for name in expected} == expected
    assert "smrun-7-0" in {call.params.get("newClientOrderId"), call.params.get("clientAlgoId")}
    assert call.is_urgent is order.reduce_only


def test_a_spot_pair_names_list_and_legs_and_puts_the_target_on_the_right_side():
    target = intent(
        side=Side.SELL, price_ticks=6_100_000, reduce_only=True, purpose=Purpose.TARGET, client_order_id="smrun-7-1", oco_group="smrun-7-0"
    )
    call = calls.place_pair(SPOT, STOP, target)
    assert (call.method, call.path, call.orders) == ("POST", "orderList/oco", 2)
    assert call.params == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.00123",
        "listClientOrderId": "smrun-7-0-p",
        "aboveType": "LIMIT_MAKER",
        "aboveClientOrderId": "smrun-7-1",
        "abovePrice": "61000.00",
        "belowType": "STOP_LOSS",
        "belowClientOrderId": "smrun-7-0",
        "belowStopPrice": "5900.00",
        "newOrderRespType": "RESULT",
    }


def test_what_is_no_pair_and_what_is_no_id_is_refused():
    with pytest.raises(ValueError, match="no pair"):
        calls.place_pair(SPOT, STOP, intent(side=Side.BUY, oco_group="smrun-7-0"))
    for name in ("", "x" * 37, "a b", "ä"):
        with pytest.raises(ValueError, match="client order id"):
            calls.place(SPOT, intent(client_order_id=name))
    with pytest.raises(ValueError, match="without the price"):
        calls.place(SPOT, intent(price_ticks=None))


def test_conditional_orders_of_usdm_are_asked_for_and_cancelled_by_their_own_calls():
    assert calls.is_algo(USDM, STOP)
    assert not calls.is_algo(SPOT, STOP)
    assert calls.query(USDM, "smrun-7-0", as_algo=True).params == {"clientAlgoId": "smrun-7-0"}
    assert calls.cancel(USDM, "smrun-7-0", as_algo=True).path == "algoOrder"
    assert [call.path for call in calls.open_orders(USDM)] == ["openOrders", "openAlgoOrders"]
    assert [call.path for call in calls.open_orders(SPOT)] == ["openOrders"]


def test_trades_are_asked_by_order_from_an_id_or_within_a_time():
    assert calls.trades(SPOT, order_id=9).params["orderId"] == "9"
    assert calls.trades(USDM, from_id=0).params["fromId"] == "0"
    assert calls.trades(SPOT, start_ms=5, end_ms=6).params.items() >= {"startTime": "5", "endTime": "6"}.items()

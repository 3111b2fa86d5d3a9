"""What ccxt shows becomes exact news, and what is no exact number is refused."""

from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.ccxt_news import CcxtReader, Sized, read_balances
from smartmoney.venues.ccxt_terms import VENUES
from smartmoney.venues.order_news import NewsError, OrderState

GRID = Instrument(
    venue="ccxt:okx",
    market=Market.USDM,
    symbol="BTC-USDT-SWAP",
    name="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
)
SIZED = Sized(instrument=GRID, contract_size=Decimal("0.01"))
OKX, BYBIT = CcxtReader(VENUES["okx"], [SIZED], Market.USDM), CcxtReader(VENUES["bybit"], [SIZED], Market.USDM)


def shown(**more):
    order = {"symbol": "BTC/USDT:USDT", "id": "7", "clientOrderId": "smaZ1Z0", "status": "open", "side": "buy", "type": "limit"}
    return {**order, "amount": "1.2", "filled": "0.5", "price": "59000.1", "reduceOnly": False, "info": {}, **more}


def test_contracts_become_base_units_and_ids_become_ours():
    news = OKX.order(shown(), is_apart=False)
    assert (news.symbol, news.client_id, news.order_id, news.state) == ("BTC-USDT-SWAP", "sma-1-0", "7", OrderState.WORKING)
    assert (news.quantity, news.filled, news.price, news.kind) == (Decimal("0.012"), Decimal("0.005"), Decimal("59000.1"), "LIMIT")
    assert SIZED.amount(12) == "1.2"
    assert SIZED.amount(1_000) == "100"


@pytest.mark.parametrize(
    ("status", "force", "is_apart", "raw", "state"),
    [
        ("closed", "GTC", False, {}, OrderState.FILLED),
        ("canceled", "GTC", False, {}, OrderState.CANCELED),
        ("canceled", "IOC", False, {}, OrderState.EXPIRED),
        ("canceled", "FOK", False, {}, OrderState.EXPIRED),
        ("rejected", None, False, {}, OrderState.REJECTED),
        ("canceling", None, False, {}, OrderState.WORKING),
        ("closed", None, True, {"state": "effective"}, OrderState.TRIGGERED),
        ("open", None, True, {"X": "TRIGGERED"}, OrderState.TRIGGERED),
        ("canceled", None, True, {"state": "canceled"}, OrderState.CANCELED),
    ],
)
def test_a_status_is_what_the_venue_means_by_it(status, force, is_apart, raw, state):
    assert OKX.order(shown(status=status, timeInForce=force, info=raw), is_apart=is_apart).state is state


@pytest.mark.parametrize(
    ("reader", "raw", "state"),
    [
        (BYBIT, {"orderStatus": "Cancelled", "rejectReason": "EC_PostOnlyWillTakeLiquidity"}, OrderState.EXPIRED),
        (BYBIT, {"orderStatus": "Cancelled", "rejectReason": "EC_PerCancelRequest"}, OrderState.CANCELED),
        (OKX, {"state": "canceled", "cancelSource": "31"}, OrderState.EXPIRED),
        (OKX, {"state": "canceled", "cancelSource": "1"}, OrderState.CANCELED),
    ],
)
def test_a_post_only_order_that_would_have_crossed_is_cancelled_by_the_venue_and_by_nobody_else(reader, raw, state):
    assert reader.order(shown(status="canceled", timeInForce="PO", filled="0", info=raw), is_apart=False).state is state


@pytest.mark.parametrize(("force", "state"), [("PO", OrderState.CANCELED), ("GTC", OrderState.CANCELED), ("IOC", OrderState.EXPIRED)])
def test_what_was_cancelled_with_a_part_of_it_traded_is_cancelled_though_ccxt_calls_it_closed(force, state):
    cut = shown(status="closed", timeInForce=force, info={"orderStatus": "PartiallyFilledCanceled", "rejectReason": "EC_PerCancelRequest"})
    assert BYBIT.order(cut, is_apart=False).state is state


def test_a_stop_that_is_withdrawn_is_cancelled_though_what_it_sends_is_immediate():
    stop = shown(status="canceled", timeInForce="IOC", triggerPrice="58000")
    assert BYBIT.order(stop, is_apart=False).state is OrderState.CANCELED


def test_a_stop_that_the_venue_made_out_of_an_entry_is_named_after_it_and_the_entry_has_no_trigger():
    raw = {"orderLinkId": "", "parentOrderLinkId": "sma-7-2", "stopOrderType": "StopLoss"}
    stop = BYBIT.order(shown(clientOrderId=None, side="sell", reduceOnly=True, triggerPrice="58000", info=raw), is_apart=False)
    assert (stop.client_id, stop.attached_to, stop.stop_price) == ("sma-7-3", "sma-7-2", Decimal(58_000))
    for other in ({"parentOrderLinkId": "web_4711"}, {"parentOrderLinkId": ""}, {"stopOrderType": "Stop"}):
        somebodys = BYBIT.order(shown(clientOrderId=None, triggerPrice="58000", info={**raw, **other}), is_apart=False)
        assert (somebodys.client_id, somebodys.attached_to) == ("", "")
    entry = BYBIT.order(shown(clientOrderId="sma-7-2", stopLossPrice="58000"), is_apart=False)
    assert (entry.client_id, entry.stop_price) == ("sma-7-2", 0)


def test_an_order_apart_tells_what_it_sent_and_what_it_sent_is_told_by_its_name():
    raw = {"algoClOrdId": "smaZ1Z0", "ordId": "99", "state": "effective"}
    algo = OKX.order(shown(clientOrderId=None, info=raw, status="closed", stopLossPrice="58000"), is_apart=True)
    assert (algo.client_id, algo.actual_order_id, algo.is_algo, algo.filled, algo.stop_price) == ("sma-1-0", "99", True, 0, Decimal(58_000))
    child = OKX.order(shown(id="99", clientOrderId=None, info={"algoClOrdId": "smaZ1Z0", "ordId": "99"}), is_apart=False)
    assert (child.client_id, child.order_id, child.is_algo) == ("sma-1-0", "99", False)


def test_what_merely_takes_note_or_is_not_ours_is_no_news():
    assert BYBIT.order(shown(status=None, side=None), is_apart=False) is None
    assert BYBIT.order(shown(symbol="ETH/USDT:USDT"), is_apart=False) is None
    assert BYBIT.trade({"symbol": "ETH/USDT:USDT"}) is None


def test_a_streamed_fee_of_okx_is_what_was_paid():
    trade = {"symbol": "BTC/USDT:USDT", "id": "5", "order": "7", "side": "buy", "price": "60000", "amount": "1.2", "timestamp": 5}
    streamed = OKX.trade({**trade, "fee": {"cost": "-0.36", "currency": "USDT"}, "info": {"fillFee": "-0.36", "clOrdId": "smaZ1Z0"}})
    listed = OKX.trade({**trade, "fee": {"cost": "0.36", "currency": "USDT"}, "info": {"fee": "-0.36"}})
    rebate = OKX.trade({**trade, "fee": {"cost": "0.1", "currency": "USDT"}, "info": {"fillFee": "0.1"}})
    assert (streamed.fee, listed.fee, rebate.fee) == (Decimal("0.36"), Decimal("0.36"), Decimal("-0.1"))
    assert (streamed.client_id, listed.client_id, streamed.quantity) == ("sma-1-0", "", Decimal("0.012"))


@pytest.mark.parametrize("value", [0.1, "nan", "inf", "1e", True, [], "x"])
def test_what_is_no_exact_number_is_refused(value):
    with pytest.raises(NewsError):
        OKX.order(shown(amount=value), is_apart=False)


@pytest.mark.parametrize("body", [None, {}, [None], "x"])
def test_what_is_no_list_is_refused(body):
    for read in (OKX.trades, OKX.positions, read_balances):
        with pytest.raises(NewsError):
            read(body)


def test_positions_are_signed_and_one_without_a_side_is_refused():
    row = {"symbol": "BTC/USDT:USDT", "contracts": "1.2", "side": "short", "entryPrice": "60000"}
    (held,) = OKX.positions([row, {"symbol": "ETH/USDT:USDT", "contracts": "1", "side": "long"}])
    assert (held.name, held.quantity) == ("BTC-USDT-SWAP", Decimal("-0.012"))
    assert OKX.positions([{**row, "contracts": "0", "side": None}])[0].quantity == 0
    with pytest.raises(NewsError, match="neither long nor short"):
        OKX.positions([{**row, "side": None}])
    assert read_balances({"total": {"USDT": "10000"}})[0].quantity == 10_000


def test_a_number_that_counts_as_true_is_not_one():
    with pytest.raises(NewsError):
        read_balances({"total": {"USDT": 0.5}})


def test_what_a_stream_tells_of_another_market_is_not_ours():
    """ccxt, which was told of one market only, takes a contract's row for the pair of the same name."""
    grid = msgspec.structs.replace(GRID, market=Market.SPOT, symbol="BTCUSDT", name="BTC/USDT")
    reader = CcxtReader(VENUES["bybit"], [Sized(instrument=grid, contract_size=Decimal(1))], Market.SPOT)
    trade = {"symbol": "BTC/USDT", "id": "1", "order": "7", "side": "buy", "price": "1", "amount": "1", "timestamp": 1}
    for category, is_ours in (("spot", True), ("linear", False), (None, True)):
        info = {} if category is None else {"category": category}
        assert (reader.order(shown(symbol="BTC/USDT", info=info), is_apart=False) is not None) is is_ours
        assert bool(reader.trades([{**trade, "info": info}])) is is_ours


def test_what_a_fee_was_taken_in_is_what_the_venue_says():
    trade = {"symbol": "BTC/USDT:USDT", "id": "1", "order": "7", "side": "buy", "price": "1", "amount": "1", "timestamp": 1}
    fee = {"cost": "0.1", "currency": "BTC"}
    for info, asset in (({"feeCurrency": "MNT"}, "MNT"), ({"feeCoin": "USDT"}, "USDT"), ({"feeCurrency": ""}, "BTC"), ({}, "BTC")):
        assert BYBIT.trade({**trade, "fee": fee, "info": info}).fee_asset == asset

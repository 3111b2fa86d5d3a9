"""What the built-in exchange says to accounts has the fields of what Binance said: recorded samples are the judge, field by field."""

import json
from decimal import Decimal

import pytest

from smartmoney.adapters import exchange_private_spot_wire as spot_form
from smartmoney.adapters import exchange_private_usdm_wire as usdm_form
from smartmoney.adapters.exchange_private_spot import SpotCalls
from smartmoney.adapters.exchange_private_usdm import UsdmCalls
from smartmoney.adapters.exchange_private_usdm_account import UsdmAccountCalls
from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.accounts import Permissions
from smartmoney.simulation.exchange.events import AccountEvent, AlgoEvent, BalancesEvent, DeltaEvent, ListEvent, OrderEvent
from tests.unit.simulation.trading import SYMBOL, Trading

OLD = {"newer": frozenset({"I", "M", "F", "g", "Y", "Q", "W", "V", "pm", "gtd", "er", "si", "ss"})}


@pytest.fixture
def recorded(captures):
    base = captures / "nautilus_trader" / "adapters" / "binance"
    return lambda name: json.loads((base / name).read_text())


@pytest.fixture(scope="module")
def said():
    """Return everything that a short life of an account made the exchange say."""
    t = Trading()
    spot, usdm = SpotCalls(t.venue), UsdmCalls(t.venue)
    bid, ask = t.touch(Market.SPOT)
    t.spot.place(t.a, t.ask_for("BUY", "LIMIT", 1000, tick=bid - 900, client_id="rests"))
    t.spot.cancel(t.spot.place(t.a, t.ask_for("BUY", "LIMIT", 1000, tick=bid - 900)))
    t.spot.place(t.a, t.ask_for("BUY", "LIMIT", 1000, tick=bid, tif="IOC"))
    t.spot.place(t.a, t.ask_for("BUY", "MARKET", 1000))
    t.spot.place(t.a, t.ask_for("SELL", "STOP_LOSS_LIMIT", 1000, tick=bid - 5000, stop_tick=bid - 4000))
    legs = (t.ask_for("SELL", "LIMIT_MAKER", 900, tick=ask + 4000), t.ask_for("SELL", "STOP_LOSS", 900, stop_tick=bid - 4000))
    t.lists.place_pair(t.a, legs, "")
    t.spot.transfer(t.a, "BTC", Decimal("0.001"))
    bid, ask = t.touch(Market.USDM)
    t.usdm.place(t.a, t.ask_for("BUY", "LIMIT", 100, tick=bid - 900, client_id="rests"))
    t.usdm.place(t.a, t.ask_for("BUY", "MARKET", 100))
    algo = t.algos.place(t.a, t.ask_for("SELL", "STOP_MARKET", 100, stop_tick=bid - 900))
    t.algos.cancel(algo)
    t.algos.place(t.a, t.ask_for("SELL", "STOP_MARKET", 100, stop_tick=bid - 900))
    t.venue.clock.liquidate(t.a, SYMBOL)
    spot_events, usdm_events = t.told(Market.SPOT), t.told(Market.USDM)
    return t, spot, usdm, spot_events, usdm_events


def frames(said, of, where=lambda e: True):
    _, spot, usdm, spot_events, usdm_events = said
    told = [spot_form.event(spot.grids, e) for e in spot_events if isinstance(e, of) and where(e)]
    return [f for f in told if f] + [f for e in usdm_events if isinstance(e, of) and where(e) for f in usdm_form.events(usdm.grids, e)]


@pytest.mark.parametrize(
    ("name", "execution"),
    [
        ("execution_report_new", "NEW"),
        ("execution_report_trade", "TRADE"),
        ("execution_report_canceled", "CANCELED"),
        ("execution_report_expired", "EXPIRED"),
        ("execution_report_stop_loss", "NEW"),
    ],
)
def test_execution_reports_have_every_recorded_field_of_the_same_type(said, recorded, name, execution):
    sample = recorded(f"spot/user_data_json/{name}.json")
    found = [f for f in frames(said, OrderEvent) if f["e"] == "executionReport" and f["x"] == execution and f["o"] == sample["o"]]
    found = found or [f for f in frames(said, OrderEvent) if f["e"] == "executionReport" and f["x"] == execution]
    assert set(sample) <= set(found[0])
    assert set(found[0]) - set(sample) <= OLD["newer"]
    types = {key: type(value) for key, value in sample.items() if value is not None}
    assert {key: type(found[0][key]) for key in types if found[0][key] is not None} == {
        key: kind for key, kind in types.items() if found[0][key] is not None
    }


def test_a_new_order_is_told_in_exactly_the_documented_fields_and_their_order(said, recorded):
    sample = recorded("spot/user_data_json/execution_report_wrapped.json")["event"]
    found = next(f for f in frames(said, OrderEvent) if f["e"] == "executionReport" and f["x"] == "NEW" and f["w"])
    assert list(found) == list(sample)


@pytest.mark.parametrize(
    ("name", "event"),
    [("account_position", BalancesEvent), ("balance_update", DeltaEvent), ("list_status", ListEvent)],
)
def test_other_events_of_spot_have_exactly_the_recorded_fields(said, recorded, name, event):
    sample = recorded(f"spot/user_data_json/{name}_wrapped.json")["event"]
    found = frames(said, event)[0]
    assert list(found) == list(sample)
    for key in ("B", "O"):
        if key in sample:
            assert set(found[key][0]) == set(sample[key][0])


@pytest.mark.parametrize(
    ("name", "execution"), [("order_update_new", "NEW"), ("order_update_trade", "TRADE"), ("order_update_calculated", "CALCULATED")]
)
def test_order_updates_of_usdm_have_every_recorded_field(said, recorded, name, execution):
    sample = recorded(f"futures/user_data_json/{name}.json")
    found = next(f for f in frames(said, OrderEvent) if f["e"] == "ORDER_TRADE_UPDATE" and f["o"]["x"] == execution)
    assert set(found) == set(sample)
    assert set(sample["o"]) <= set(found["o"])
    assert set(found["o"]) - set(sample["o"]) <= OLD["newer"]


@pytest.mark.parametrize(
    ("name", "event"), [("account_update", AccountEvent), ("algo_update_new", AlgoEvent), ("algo_update_canceled", AlgoEvent)]
)
def test_other_events_of_usdm_have_exactly_the_recorded_fields(said, recorded, name, event):
    sample = recorded(f"futures/user_data_json/{name}.json")
    status = sample.get("o", {}).get("X")
    found = next(f for f in frames(said, event) if (status is None and f["a"]["P"]) or (status and f["o"]["X"] == status))
    assert set(found) == set(sample)
    inner = "a" if "a" in sample else "o"
    assert set(found[inner]) == set(sample[inner])
    for key in ("B", "P"):
        if inner == "a":
            assert set(found["a"][key][0]) == set(sample["a"][key][0])


def test_the_lite_form_of_a_trade_has_exactly_the_recorded_fields(said, recorded):
    found = next(f for f in frames(said, OrderEvent) if f["e"] == "TRADE_LITE")
    assert set(found) == set(recorded("futures/user_data_json/trade_lite.json"))


def asked(**values):
    return Parameters({key: str(value) for key, value in values.items()}, Permissions())


def test_answers_of_spot_have_exactly_the_recorded_fields(said, recorded):
    t, calls, _, _, _ = said
    grid = calls.grids[SYMBOL]
    market = next(o for o in t.spot.log.all_of(t.a.owner) if o.kind == "MARKET")
    assert list(spot_form.placed(grid, market, "FULL")) == list(recorded("spot/http_json/new_order_full_response.json"))
    assert set(spot_form.placed(grid, market, "FULL")["fills"][0]) == set(
        recorded("spot/http_json/new_order_full_response.json")["fills"][0]
    )
    rests = calls.query(t.a, asked(symbol=SYMBOL, origClientOrderId="rests"))
    assert set(rests) == set(recorded("spot/http_json/order_response.json"))
    assert set(calls.open_orders(t.a, asked(symbol=SYMBOL))[0]) >= set(recorded("spot/http_json/open_orders_response.json")[0])
    gone = next(o for o in t.spot.log.all_of(t.a.owner) if o.status == "CANCELED")
    assert list(spot_form.cancelled(grid, gone)) == list(recorded("spot/http_json/cancel_order_response.json"))
    assert set(calls.trades(t.a, asked(symbol=SYMBOL))[0]) == set(recorded("spot/http_json/account_trades_response.json")[0])
    account = calls.account(t.a, asked())
    sample = recorded("spot/http_json/account_response.json")
    assert list(account) == list(sample)
    assert set(account["balances"][0]) == set(sample["balances"][0])


def test_a_cancelled_list_has_exactly_the_recorded_fields(recorded):
    t = Trading()
    calls = SpotCalls(t.venue)
    bid, ask = t.touch(Market.SPOT)
    legs = (
        t.ask_for("SELL", "LIMIT_MAKER", 900, tick=ask + 4000),
        t.ask_for("SELL", "STOP_LOSS_LIMIT", 900, tick=bid, stop_tick=bid - 4000),
    )
    t.lists.place_pair(t.a, legs, "")
    (found,) = calls.cancel_all(t.a, asked(symbol=SYMBOL))
    sample = recorded("spot/http_json/cancel_open_orders_response.json")[-1]
    assert list(found) == list(sample)
    for mine, theirs in zip(found["orderReports"], sample["orderReports"], strict=True):
        assert set(theirs) - set(mine) == {"icebergQty"}


def test_answers_of_usdm_have_exactly_the_recorded_fields(said, recorded):
    t, _, calls, _, _ = said
    account = UsdmAccountCalls(t.venue)
    order = calls.query(t.a, asked(symbol=SYMBOL, origClientOrderId="rests"))
    assert set(order) == set(recorded("futures/http_json/order_response.json"))
    assert set(account.balance(t.a, asked())[0]) == set(recorded("futures/http_json/balance.json")[0])
    assert set(account.position_risk(t.a, asked())[0]) == set(recorded("futures/http_json/position_risk.json")[0])
    body, sample = account.account(t.a, asked()), recorded("futures/http_json/account_info_v2.json")
    assert set(sample) <= set(body)
    assert set(body) - set(sample) == {"feeBurn"}
    assert set(body["assets"][0]) == set(sample["assets"][0])
    assert set(sample["positions"][0]) <= set(body["positions"][0])

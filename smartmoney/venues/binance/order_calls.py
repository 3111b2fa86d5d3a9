"""Private requests of Binance spot and USD-M as values: which call, which parameters, what it costs. Nothing here signs or sends.

Invariants: every order carries a client id of ours, and so does every list; prices and quantities are exact texts on the instrument's grid;
a price never goes with a market order (it would be read as an amount of quote currency). Sources: binance-spot-api-docs rest-api.md
(2026-07); USD-M "new order" and "new algo order" pages (conditional orders live on `algoOrder` since 2025-12-09).
"""

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Side, TimeInForce

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
"""What both markets take as a client id."""
LIST_SUFFIX = "-p"
"""A pair is named after its stop: the venue wants a list's id to differ from its legs'."""
TRADES_MAX = 1000
INCOMES_MAX = 1000

_SPOT, _USDM, _USDM2, _USDM3, _SAPI = "private", "fapiPrivate", "fapiPrivateV2", "fapiPrivateV3", "sapi"
_CONDITIONAL = frozenset({OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET})
_SPOT_CONDITIONAL = {OrderType.STOP_MARKET: "STOP_LOSS", OrderType.TAKE_PROFIT_MARKET: "TAKE_PROFIT"}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Be one private request. `section` names the interface; `is_urgent` may use what is reserved for stops, exits and cancels."""

    section: str
    method: str
    path: str
    params: Mapping[str, str] = {}
    weight: int = 1
    orders: int = 0
    """Orders that it counts as, for the venue's limits of orders in time."""
    is_urgent: bool = False


def is_conditional(intent: OrderIntent) -> bool:
    """Tell whether an order waits for a trigger."""
    return intent.type in _CONDITIONAL


def is_algo(instrument: Instrument, intent: OrderIntent) -> bool:
    """Tell whether an order lives among USD-M's algo orders, which are listed, asked for and cancelled by calls of their own."""
    return instrument.market is Market.USDM and is_conditional(intent)


def place(instrument: Instrument, intent: OrderIntent) -> Call:
    """Return the call that places an order.

    Raises:
        ValueError: its client id is none that the venue takes, or a price is missing.
    """
    params = {"symbol": instrument.symbol, "side": intent.side.value.upper(), "quantity": _text(instrument.quantity(intent.lots))}
    name = _checked(intent.client_order_id)
    if instrument.market is Market.SPOT:
        params |= {"newClientOrderId": name, "newOrderRespType": "FULL", **_spot_type(instrument, intent)}
        return Call(section=_SPOT, method="POST", path="order", params=params, orders=1, is_urgent=intent.reduce_only)
    if is_conditional(intent):
        params |= {
            "algoType": "CONDITIONAL",
            "type": intent.type.value.upper(),
            "triggerPrice": _price(instrument, intent.stop_ticks),
            "clientAlgoId": name,
            "reduceOnly": "true" if intent.reduce_only else "false",
        }
        return Call(section=_USDM, method="POST", path="algoOrder", params=params, orders=1, is_urgent=intent.reduce_only)
    params |= {"newClientOrderId": name, "newOrderRespType": "RESULT", **_plain_type(instrument, intent, maker="GTX")}
    if intent.reduce_only:
        params["reduceOnly"] = "true"
    return Call(section=_USDM, method="POST", path="order", params=params, orders=1, is_urgent=intent.reduce_only)


def place_pair(instrument: Instrument, stop: OrderIntent, target: OrderIntent) -> Call:
    """Return the call that places a spot stop and target which cancel each other and lock what they sell once.

    Raises:
        ValueError: they do not belong together.
    """
    if (stop.side, stop.lots, stop.oco_group) != (target.side, target.lots, target.oco_group):
        raise ValueError(f"{stop.client_order_id} and {target.client_order_id} are no pair")
    limit_above = stop.side is Side.SELL
    limit, trigger = ("above", "below") if limit_above else ("below", "above")
    params = {
        "symbol": instrument.symbol,
        "side": stop.side.value.upper(),
        "quantity": _text(instrument.quantity(stop.lots)),
        "listClientOrderId": list_id(stop),
        f"{limit}Type": "LIMIT_MAKER",
        f"{limit}ClientOrderId": _checked(target.client_order_id),
        f"{limit}Price": _price(instrument, target.price_ticks),
        f"{trigger}Type": "STOP_LOSS",
        f"{trigger}ClientOrderId": _checked(stop.client_order_id),
        f"{trigger}StopPrice": _price(instrument, stop.stop_ticks),
        "newOrderRespType": "RESULT",
    }
    return Call(section=_SPOT, method="POST", path="orderList/oco", params=params, orders=2, is_urgent=True)


def list_id(stop: OrderIntent) -> str:
    """Return the client id of the pair that a stop belongs to."""
    return _checked(stop.client_order_id + LIST_SUFFIX)


def cancel(instrument: Instrument, client_id: str, *, as_algo: bool) -> Call:
    """Return the call that cancels one order; of a spot pair it takes the other leg along."""
    if as_algo:
        return Call(section=_USDM, method="DELETE", path="algoOrder", params={"clientAlgoId": client_id}, is_urgent=True)
    params = {"symbol": instrument.symbol, "origClientOrderId": client_id}
    return Call(section=_section(instrument), method="DELETE", path="order", params=params, is_urgent=True)


def query(instrument: Instrument, client_id: str, *, as_algo: bool) -> Call:
    """Return the call that asks for one order by its client id."""
    if as_algo:
        return Call(section=_USDM, method="GET", path="algoOrder", params={"clientAlgoId": client_id}, is_urgent=True)
    params = {"symbol": instrument.symbol, "origClientOrderId": client_id}
    return Call(section=_section(instrument), method="GET", path="order", params=params, weight=4, is_urgent=True)


def query_number(instrument: Instrument, order_id: str) -> Call:
    """Return the call that asks for one order by the venue's number."""
    params = {"symbol": instrument.symbol, "orderId": order_id}
    return Call(section=_section(instrument), method="GET", path="order", params=params, weight=4, is_urgent=True)


def open_orders(instrument: Instrument) -> tuple[Call, ...]:
    """Return the calls that list an instrument's open orders: one on spot, two on USD-M (plain and algo)."""
    params = {"symbol": instrument.symbol}
    if instrument.market is Market.SPOT:
        return (Call(section=_SPOT, method="GET", path="openOrders", params=params, weight=6),)
    return (
        Call(section=_USDM, method="GET", path="openOrders", params=params),
        Call(section=_USDM, method="GET", path="openAlgoOrders", params=params),
    )


def trades(
    instrument: Instrument,
    *,
    order_id: str | None = None,
    from_id: int | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Call:
    """Return the call that lists an account's trades of an instrument: of an order, from a trade id, or within a time, oldest first."""
    params = {"symbol": instrument.symbol, "limit": str(TRADES_MAX)}
    wanted = {"orderId": order_id, "fromId": from_id, "startTime": start_ms, "endTime": end_ms}
    params |= {name: str(value) for name, value in wanted.items() if value is not None}
    if instrument.market is Market.SPOT:
        return Call(section=_SPOT, method="GET", path="myTrades", params=params, weight=5 if order_id else 20)
    return Call(section=_USDM, method="GET", path="userTrades", params=params, weight=5)


def holdings(market: Market) -> Call:
    """Return the call that tells what is held: balances on spot, positions on USD-M."""
    if market is Market.SPOT:
        return Call(section=_SPOT, method="GET", path="account", params={"omitZeroBalances": "false"}, weight=20)
    return Call(section=_USDM2, method="GET", path="positionRisk", weight=5)


def wallet(market: Market) -> Call:
    """Return the call that tells the money of an account."""
    return holdings(market) if market is Market.SPOT else Call(section=_USDM2, method="GET", path="balance", weight=5)


def incomes(kind: str, start_ms: int, end_ms: int, page: int) -> Call:
    """Return the call that lists what came into a USD-M wallet and left it, of one kind within a time; pages count from 1."""
    params = {"incomeType": kind, "startTime": str(start_ms), "endTime": str(end_ms), "limit": str(INCOMES_MAX), "page": str(page)}
    return Call(section=_USDM, method="GET", path="income", params=params, weight=30)


def restrictions() -> Call:
    """Return the call that tells what the key may do. It is spot's, for both markets."""
    return Call(section=_SAPI, method="GET", path="account/apiRestrictions")


def position_mode() -> Call:
    """Return the call that tells whether USD-M holds long and short beside each other."""
    return Call(section=_USDM, method="GET", path="positionSide/dual", weight=30)


def assets_mode() -> Call:
    """Return the call that tells whether USD-M takes several assets as margin."""
    return Call(section=_USDM, method="GET", path="multiAssetsMargin", weight=30)


def symbol_settings(instrument: Instrument) -> Call:
    """Return the call that tells margin type and leverage of a USD-M symbol."""
    return Call(section=_USDM, method="GET", path="symbolConfig", params={"symbol": instrument.symbol}, weight=5)


def set_leverage(instrument: Instrument, leverage: int) -> Call:
    """Return the call that sets a USD-M symbol's leverage."""
    params = {"symbol": instrument.symbol, "leverage": str(leverage)}
    return Call(section=_USDM, method="POST", path="leverage", params=params)


def set_isolated(instrument: Instrument) -> Call:
    """Return the call that sets a USD-M symbol to isolated margin."""
    params = {"symbol": instrument.symbol, "marginType": "ISOLATED"}
    return Call(section=_USDM, method="POST", path="marginType", params=params)


def listen_key(method: str) -> Call:
    """Return the call that makes (POST), keeps alive (PUT) or ends (DELETE) USD-M's listen key."""
    return Call(section=_USDM, method=method, path="listenKey", is_urgent=True)


def _section(instrument: Instrument) -> str:
    return _SPOT if instrument.market is Market.SPOT else _USDM


def _spot_type(instrument: Instrument, intent: OrderIntent) -> dict[str, str]:
    if is_conditional(intent):
        return {"type": _SPOT_CONDITIONAL[intent.type], "stopPrice": _price(instrument, intent.stop_ticks)}
    if intent.post_only:
        return {"type": "LIMIT_MAKER", "price": _price(instrument, intent.price_ticks)}
    return _plain_type(instrument, intent, maker="GTC")


def _plain_type(instrument: Instrument, intent: OrderIntent, *, maker: str) -> dict[str, str]:
    if intent.type is OrderType.MARKET:
        return {"type": "MARKET"}
    force = maker if intent.post_only and intent.time_in_force is TimeInForce.GTC else intent.time_in_force.value.upper()
    return {"type": "LIMIT", "timeInForce": force, "price": _price(instrument, intent.price_ticks)}


def _price(instrument: Instrument, ticks: int | None) -> str:
    if ticks is None or ticks <= 0:
        raise ValueError(f"{instrument.symbol}: an order without the price that its type needs")
    return _text(instrument.price(ticks))


def _text(value: Decimal) -> str:
    return f"{value:f}"


def _checked(client_id: str) -> str:
    if not CLIENT_ID.fullmatch(client_id):
        raise ValueError(f"{client_id!r} cannot be a client order id")
    return client_id

"""Write a spot account's orders, lists, trades, balances and events as Binance writes them.

Sources: binance-spot-api-docs, rest-api.md and user-data-stream.md (2026-07); field sets are held against recorded samples by a test.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import BalancesEvent, DeltaEvent, Event, ListEvent, OrderEvent, OrderList
from smartmoney.simulation.exchange.ledger import ZERO
from smartmoney.simulation.exchange.orders import Fill, Order
from smartmoney.simulation.exchange.spot import STOPS
from smartmoney.venues.binance.wire import Grid

_MS = 1_000_000


def money(amount: Decimal) -> str:
    """Return an amount with 8 decimals."""
    return f"{amount:.8f}"


def cumulative(grid: Grid, tick_lots: int) -> str:
    """Return a turnover with 8 decimals."""
    return money(Decimal(tick_lots) * grid.price_step * grid.lot_step / 10 ** (grid.price_decimals + grid.lot_decimals))


def _ms(at_ns: int) -> int:
    return at_ns // _MS if at_ns >= 0 else -1


def _shared(grid: Grid, order: Order) -> dict[str, Any]:
    asked = order.asked
    body: dict[str, Any] = {
        "price": grid.price(asked.tick),
        "origQty": grid.quantity(order.lots),
        "executedQty": grid.quantity(order.filled_lots),
        "origQuoteOrderQty": money(asked.quote_amount),
        "cummulativeQuoteQty": cumulative(grid, order.tick_lots),
        "status": order.status,
        "timeInForce": asked.tif,
        "type": order.kind,
        "side": asked.side,
    }
    if order.kind in STOPS:
        body["stopPrice"] = grid.price(asked.stop_tick)
    if asked.display_lots:
        body["icebergQty"] = grid.quantity(asked.display_lots)
    if asked.strategy_id >= 0:
        body["strategyId"] = asked.strategy_id
    if asked.strategy_type >= 0:
        body["strategyType"] = asked.strategy_type
    if order.expiry_reason:
        body["expiryReason"] = order.expiry_reason
    return body


def placed(grid: Grid, order: Order, form: str) -> dict[str, Any]:
    """Return the answer to a new order: ACK, RESULT or FULL."""
    body: dict[str, Any] = {
        "symbol": order.asked.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        "transactTime": _ms(order.updated_ns),
    }
    if form == "ACK":
        return body
    body |= _shared(grid, order)
    body |= {"workingTime": _ms(order.working_ns), "selfTradePreventionMode": order.asked.stp}
    if form == "FULL":
        body["fills"] = [
            {
                "price": grid.price(fill.tick),
                "qty": grid.quantity(fill.lots),
                "commission": money(fill.commission),
                "commissionAsset": fill.commission_asset,
                "tradeId": fill.trade_id,
            }
            for fill in order.fills
        ]
    return body


def cancelled(grid: Grid, order: Order) -> dict[str, Any]:
    """Return the answer to a cancel."""
    return {
        "symbol": order.asked.symbol,
        "origClientOrderId": order.client_id,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.cancel_id,
        "transactTime": _ms(order.updated_ns),
        **_shared(grid, order),
        "selfTradePreventionMode": order.asked.stp,
    }


def queried(grid: Grid, order: Order) -> dict[str, Any]:
    """Return an order as queries show it."""
    body = {
        "symbol": order.asked.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "clientOrderId": order.client_id,
        **_shared(grid, order),
    }
    return body | {
        "stopPrice": grid.price(order.asked.stop_tick),
        "icebergQty": grid.quantity(order.asked.display_lots),
        "time": _ms(order.time_ns),
        "updateTime": _ms(order.updated_ns),
        "isWorking": order.working_ns >= 0,
        "workingTime": _ms(order.working_ns),
        "selfTradePreventionMode": order.asked.stp,
    }


def trade(grid: Grid, fill: Fill, list_id: int) -> dict[str, Any]:
    """Return an account's trade."""
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "orderListId": list_id,
        "price": grid.price(fill.tick),
        "qty": grid.quantity(fill.lots),
        "quoteQty": cumulative(grid, fill.tick * fill.lots),
        "commission": money(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": _ms(fill.time_ns),
        "isBuyer": fill.side == "BUY",
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def listed(found: OrderList) -> dict[str, Any]:
    """Return an order list without its reports."""
    return {
        "orderListId": found.id,
        "contingencyType": found.contingency,
        "listStatusType": found.status_type,
        "listOrderStatus": found.status,
        "listClientOrderId": found.client_id,
        "transactionTime": _ms(found.time_ns),
        "symbol": found.symbol,
        "orders": [
            {"symbol": found.symbol, "orderId": number, "clientOrderId": name}
            for number, name in zip(found.orders, found.clients, strict=True)
        ],
    }


def account(who: Account, balances: Sequence[tuple[str, Decimal, Decimal]], *, can_withdraw: bool, can_trade: bool) -> dict[str, Any]:
    """Return the account body; balances are (asset, free, locked)."""
    fees = who.fees
    bps = [int(rate * 10_000) for rate in (fees.spot_maker, fees.spot_taker)]
    return {
        "makerCommission": bps[0],
        "takerCommission": bps[1],
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": money(fees.spot_maker),
            "taker": money(fees.spot_taker),
            "buyer": money(ZERO),
            "seller": money(ZERO),
        },
        "canTrade": can_trade,
        "canWithdraw": can_withdraw,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": _ms(who.updated_ns),
        "accountType": "SPOT",
        "balances": [{"asset": asset, "free": money(free), "locked": money(locked)} for asset, free, locked in balances],
        "permissions": ["SPOT"],
        "uid": 354_937_000 + who.owner,
    }


def commission(who: Account, symbol: str) -> dict[str, Any]:
    """Return an account's commission rates of a symbol."""
    nothing = dict.fromkeys(("maker", "taker", "buyer", "seller"), money(ZERO))
    return {
        "symbol": symbol,
        "standardCommission": {**nothing, "maker": money(who.fees.spot_maker), "taker": money(who.fees.spot_taker)},
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": money(Decimal("0.75"))},
    }


def event(grids: Mapping[str, Grid], what: Event) -> dict[str, Any] | None:
    """Return the private stream's form of an event, or None for one that spot does not tell."""
    if isinstance(what, OrderEvent):
        return report(grids[what.order.asked.symbol], what)
    if isinstance(what, BalancesEvent):
        rows = [{"a": asset, "f": money(free), "l": money(locked)} for asset, free, locked in what.balances]
        return {"e": "outboundAccountPosition", "E": _ms(what.time_ns), "u": _ms(what.time_ns), "B": rows}
    if isinstance(what, DeltaEvent):
        return {"e": "balanceUpdate", "E": _ms(what.time_ns), "a": what.asset, "d": money(what.amount), "T": _ms(what.time_ns)}
    return list_status(what) if isinstance(what, ListEvent) else None


def list_status(what: ListEvent) -> dict[str, Any]:
    """Return a listStatus event."""
    found = what.what
    return {
        "e": "listStatus",
        "E": _ms(what.time_ns),
        "s": found.symbol,
        "g": found.id,
        "c": found.contingency,
        "l": found.status_type,
        "L": found.status,
        "r": "NONE",
        "C": found.client_id,
        "T": _ms(found.time_ns),
        "O": [{"s": found.symbol, "i": number, "c": name} for number, name in zip(found.orders, found.clients, strict=True)],
    }


def report(grid: Grid, what: OrderEvent) -> dict[str, Any]:
    """Return an executionReport. On a cancel `c` is the cancel's id and `C` the order's."""
    order, fill = what.order, what.fill
    asked = order.asked
    is_cancel = what.execution == "CANCELED"
    body: dict[str, Any] = {
        "e": "executionReport",
        "E": _ms(what.time_ns),
        "s": asked.symbol,
        "c": order.cancel_id if is_cancel else order.client_id,
        "S": asked.side,
        "o": order.kind,
        "f": asked.tif,
        "q": grid.quantity(order.lots),
        "p": grid.price(asked.tick),
        "P": grid.price(asked.stop_tick),
        "F": grid.quantity(asked.display_lots),
        "g": order.list_id,
        "C": order.client_id if is_cancel else "",
        "x": what.execution,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": grid.quantity(fill.lots if fill else 0),
        "z": grid.quantity(order.filled_lots),
        "L": grid.price(fill.tick if fill else 0),
        "n": money(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": _ms(what.time_ns),
        "t": fill.trade_id if fill else -1,
        "I": what.number,
        "w": what.is_working,
        "m": fill.is_maker if fill else False,
        "M": bool(fill),
        "O": _ms(order.time_ns),
        "Z": cumulative(grid, order.tick_lots),
        "Y": cumulative(grid, fill.tick * fill.lots if fill else 0),
        "Q": money(asked.quote_amount),
    }
    if order.working_ns >= 0:
        body["W"] = _ms(order.working_ns)
    body["V"] = asked.stp
    if order.expiry_reason:
        body["eR"] = order.expiry_reason
    if asked.strategy_id >= 0:
        body["j"] = asked.strategy_id
    if asked.strategy_type >= 0:
        body["J"] = asked.strategy_type
    if what.execution == "TRADE_PREVENTION":
        body |= {"v": what.number, "A": grid.quantity(order.left_lots), "B": grid.quantity(order.left_lots), "u": 1}
    return body

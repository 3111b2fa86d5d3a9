"""Write a USD-M account's orders, conditional orders, positions, balances and events as Binance writes them.

Sources: Binance USD-M REST and user data stream pages (2026-07); field sets are held against recorded samples by a test.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from smartmoney.adapters.exchange_private_spot_wire import money
from smartmoney.simulation.exchange.events import AccountEvent, Algo, AlgoEvent, ConfigEvent, Event, OrderEvent, PositionRow
from smartmoney.simulation.exchange.orders import NEW, Fill, Order
from smartmoney.simulation.exchange.positions import Margin, Position, SymbolMargin, liquidation_price, notional_max
from smartmoney.simulation.exchange.usdm import ASSET, Income
from smartmoney.venues.binance.wire import Grid

_MS = 1_000_000
_LIQUIDATION = "autoclose-"


def plain(value: Decimal, decimals: int = 8) -> str:
    """Return a number with at most so many decimals, without trailing zeros."""
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"", "-0"} else text


def average(grid: Grid, order: Order) -> str:
    """Return an order's average price, as many decimals as the venue gives."""
    if not order.filled_lots:
        return "0.00"
    price = Decimal(order.tick_lots) / order.filled_lots * grid.price_step / 10**grid.price_decimals
    return f"{price:.5f}"


def cumulative(grid: Grid, order: Order) -> str:
    """Return what an order has turned over."""
    return plain(Decimal(order.tick_lots) * grid.price_step * grid.lot_step / 10 ** (grid.price_decimals + grid.lot_decimals))


def order(grid: Grid, o: Order, *, with_time: bool = False, is_ack: bool = False) -> dict[str, Any]:
    """Return an order; an ACK shows it as it was before it traded."""
    asked = o.asked
    filled = grid.quantity(0 if is_ack else o.filled_lots)
    body: dict[str, Any] = {
        "orderId": o.id,
        "symbol": asked.symbol,
        "status": NEW if is_ack else o.status,
        "clientOrderId": o.client_id,
        "price": grid.price(asked.tick),
        "avgPrice": "0.00" if is_ack else average(grid, o),
        "origQty": grid.quantity(o.lots),
        "executedQty": filled,
        "cumQty": filled,
        "cumQuote": "0.00000" if is_ack else cumulative(grid, o),
        "timeInForce": asked.tif,
        "type": o.kind,
        "reduceOnly": o.reduce_only,
        "closePosition": asked.close_position,
        "side": asked.side,
        "positionSide": "BOTH",
        "stopPrice": grid.price(0),
        "workingType": asked.working_type,
        "priceProtect": asked.price_protect,
        "origType": o.kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": asked.stp,
        "goodTillDate": asked.good_till_ns // _MS,
        "updateTime": o.updated_ns // _MS,
    }
    if with_time:
        del body["cumQty"]
        body["time"] = o.time_ns // _MS
    return body


def trade(grid: Grid, fill: Fill) -> dict[str, Any]:
    """Return an account's trade."""
    turnover = Decimal(fill.tick * fill.lots) * grid.price_step * grid.lot_step / 10 ** (grid.price_decimals + grid.lot_decimals)
    return {
        "symbol": fill.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": fill.side,
        "price": grid.price(fill.tick),
        "qty": grid.quantity(fill.lots),
        "realizedPnl": plain(fill.realised),
        "quoteQty": plain(turnover),
        "commission": money(fill.commission),
        "commissionAsset": fill.commission_asset,
        "time": fill.time_ns // _MS,
        "positionSide": "BOTH",
        "buyer": fill.side == "BUY",
        "maker": fill.is_maker,
    }


def algo(grid: Grid, a: Algo, actual: Order | None) -> dict[str, Any]:
    """Return a conditional order."""
    asked = a.asked
    return {
        "algoId": a.id,
        "clientAlgoId": a.client_id,
        "algoType": "CONDITIONAL",
        "orderType": asked.kind,
        "symbol": asked.symbol,
        "side": asked.side,
        "positionSide": "BOTH",
        "timeInForce": asked.tif,
        "quantity": grid.quantity(asked.lots),
        "algoStatus": a.status,
        "actualOrderId": str(a.actual_id) if a.actual_id else "",
        "actualPrice": average(grid, actual) if actual is not None else "0.00000",
        "actualQty": grid.quantity(actual.filled_lots if actual is not None else 0),
        "triggerPrice": grid.price(asked.stop_tick),
        "price": grid.price(asked.tick),
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        "selfTradePreventionMode": asked.stp,
        "workingType": asked.working_type,
        "priceMatch": "NONE",
        "closePosition": asked.close_position,
        "priceProtect": asked.price_protect,
        "reduceOnly": asked.reduce_only,
        "activatePrice": grid.price(a.activate_tick) if a.activate_tick else None,
        "callbackRate": plain(a.callback_rate) if a.callback_rate else None,
        "createTime": a.time_ns // _MS,
        "updateTime": a.updated_ns // _MS,
        "triggerTime": a.triggered_ns // _MS,
        "goodTillDate": asked.good_till_ns // _MS,
    }


def risk(position: Position, part: SymbolMargin, margin: Margin, mark: Decimal, *, is_v3: bool) -> dict[str, Any]:
    """Return a row of positionRisk."""
    isolated = position.isolated_wallet if position.is_isolated else Decimal(0)
    body: dict[str, Any] = {
        "symbol": position.instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": _lots(position),
        "entryPrice": plain(position.entry),
        "breakEvenPrice": plain(position.break_even),
        "markPrice": money(mark),
        "unRealizedProfit": money(part.unrealised),
        "liquidationPrice": plain(liquidation_price(position, margin, part)),
        "isolatedMargin": money(isolated + part.unrealised) if position.is_isolated and position.lots else money(Decimal(0)),
        "notional": plain(part.notional),
        "isolatedWallet": plain(isolated),
        "updateTime": position.updated_ns // _MS,
    }
    if not is_v3:
        return body | {
            "leverage": str(position.leverage),
            "maxNotionalValue": plain(notional_max(position.leverage)),
            "marginType": "isolated" if position.is_isolated else "cross",
            "isAutoAddMargin": "false",
        }
    return body | {
        "marginAsset": ASSET,
        "initialMargin": money(part.initial),
        "maintMargin": money(part.maintenance),
        "positionInitialMargin": money(part.position_initial),
        "openOrderInitialMargin": money(part.open_initial),
        "adl": 1,
        "bidNotional": plain(part.bids),
        "askNotional": plain(part.asks),
    }


def account_position(position: Position, part: SymbolMargin, *, is_v3: bool) -> dict[str, Any]:
    """Return a row of the account's positions."""
    shared: dict[str, Any] = {
        "symbol": position.instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": _lots(position),
        "unrealizedProfit": money(part.unrealised),
        "notional": plain(part.notional),
        "isolatedWallet": plain(position.isolated_wallet),
        "initialMargin": money(part.initial),
        "maintMargin": money(part.maintenance),
        "updateTime": position.updated_ns // _MS,
    }
    if is_v3:
        isolated = position.isolated_wallet + part.unrealised if position.is_isolated and position.lots else Decimal(0)
        return shared | {"isolatedMargin": money(isolated)}
    return shared | {
        "positionInitialMargin": money(part.position_initial),
        "openOrderInitialMargin": money(part.open_initial),
        "leverage": str(position.leverage),
        "isolated": position.is_isolated,
        "entryPrice": plain(position.entry),
        "breakEvenPrice": plain(position.break_even),
        "maxNotional": plain(notional_max(position.leverage)),
        "bidNotional": plain(part.bids),
        "askNotional": plain(part.asks),
    }


def sums(margin: Margin) -> dict[str, str]:
    """Return an account's totals."""
    return {
        "totalInitialMargin": money(margin.position_initial + margin.open_initial),
        "totalMaintMargin": money(margin.maintenance),
        "totalWalletBalance": money(margin.wallet),
        "totalUnrealizedProfit": money(margin.unrealised),
        "totalMarginBalance": money(margin.wallet + margin.unrealised),
        "totalPositionInitialMargin": money(margin.position_initial),
        "totalOpenOrderInitialMargin": money(margin.open_initial),
        "totalCrossWalletBalance": money(margin.cross_wallet),
        "totalCrossUnPnl": money(margin.cross_unrealised),
        "availableBalance": money(margin.available),
        "maxWithdrawAmount": money(min(margin.available, margin.cross_wallet)),
    }


def asset(margin: Margin, updated_ns: int) -> dict[str, Any]:
    """Return the account's only margin asset."""
    return {
        "asset": ASSET,
        "walletBalance": money(margin.wallet),
        "unrealizedProfit": money(margin.unrealised),
        "marginBalance": money(margin.wallet + margin.unrealised),
        "maintMargin": money(margin.maintenance),
        "initialMargin": money(margin.position_initial + margin.open_initial),
        "positionInitialMargin": money(margin.position_initial),
        "openOrderInitialMargin": money(margin.open_initial),
        "crossWalletBalance": money(margin.cross_wallet),
        "crossUnPnl": money(margin.cross_unrealised),
        "availableBalance": money(margin.available),
        "maxWithdrawAmount": money(min(margin.available, margin.cross_wallet)),
        "marginAvailable": True,
        "updateTime": updated_ns // _MS,
    }


def balance(margin: Margin, owner: int, updated_ns: int) -> dict[str, Any]:
    """Return a row of the balance call."""
    return {
        "accountAlias": f"Sim{owner}",
        "asset": ASSET,
        "balance": money(margin.wallet),
        "crossWalletBalance": money(margin.cross_wallet),
        "crossUnPnl": money(margin.cross_unrealised),
        "availableBalance": money(margin.available),
        "maxWithdrawAmount": money(min(margin.available, margin.cross_wallet)),
        "marginAvailable": True,
        "updateTime": updated_ns // _MS,
    }


def income(i: Income) -> dict[str, Any]:
    """Return a row of the income history."""
    return {
        "symbol": i.symbol,
        "incomeType": i.kind,
        "income": money(i.amount),
        "asset": ASSET,
        "time": i.time_ns // _MS,
        "info": str(i.trade_id) if i.trade_id else i.kind,
        "tranId": i.number,
        "tradeId": str(i.trade_id) if i.trade_id else "",
    }


def events(grids: Mapping[str, Grid], what: Event) -> list[dict[str, Any]]:
    """Return the private stream's forms of an event; a trade of an ordinary order is told twice, in full and lite."""
    if isinstance(what, OrderEvent):
        grid = grids[what.order.asked.symbol]
        full = order_update(grid, what)
        return [full, trade_lite(grid, what, what.fill)] if what.execution == "TRADE" and what.fill is not None else [full]
    if isinstance(what, AccountEvent):
        return [account_update(grids, what)]
    if isinstance(what, AlgoEvent):
        return [algo_update(grids[what.algo.asked.symbol], what)]
    return [config_update(what)] if isinstance(what, ConfigEvent) else []


def order_update(grid: Grid, what: OrderEvent) -> dict[str, Any]:
    """Return an ORDER_TRADE_UPDATE; trades of a liquidation are CALCULATED."""
    o, fill, asked = what.order, what.fill, what.order.asked
    is_liquidation = o.client_id.startswith(_LIQUIDATION)
    at_ms = what.time_ns // _MS
    body: dict[str, Any] = {
        "s": asked.symbol,
        "c": o.client_id,
        "S": asked.side,
        "o": "LIQUIDATION" if is_liquidation else o.kind,
        "f": asked.tif,
        "q": grid.quantity(o.lots),
        "p": grid.price(asked.tick),
        "ap": average(grid, o) if o.filled_lots else "0",
        "sp": "0",
        "x": "CALCULATED" if is_liquidation and what.execution == "TRADE" else what.execution,
        "X": o.status,
        "i": o.id,
        "l": grid.quantity(fill.lots if fill else 0),
        "z": grid.quantity(o.filled_lots),
        "L": grid.price(fill.tick) if fill else "0",
        "N": fill.commission_asset if fill else ASSET,
        "n": money(fill.commission) if fill else "0",
        "T": at_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": fill.is_maker if fill else False,
        "R": o.reduce_only,
        "wt": asked.working_type,
        "ot": "LIQUIDATION" if is_liquidation else o.kind,
        "ps": "BOTH",
        "cp": asked.close_position,
        "AP": "0",
        "cr": "0",
        "pP": asked.price_protect,
        "si": 0,
        "ss": 0,
        "rp": plain(fill.realised) if fill else "0",
        "V": asked.stp,
        "pm": "NONE",
        "gtd": asked.good_till_ns // _MS,
        "er": "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": at_ms, "E": at_ms, "o": body}


def trade_lite(grid: Grid, what: OrderEvent, fill: Fill) -> dict[str, Any]:
    """Return a TRADE_LITE."""
    o, at_ms = what.order, what.time_ns // _MS
    return {
        "e": "TRADE_LITE",
        "E": at_ms,
        "T": at_ms,
        "s": o.asked.symbol,
        "q": grid.quantity(o.lots),
        "p": grid.price(o.asked.tick),
        "m": fill.is_maker,
        "c": o.client_id,
        "S": o.asked.side,
        "L": grid.price(fill.tick),
        "l": grid.quantity(fill.lots),
        "t": fill.trade_id,
        "i": o.id,
    }


def account_update(grids: Mapping[str, Grid], what: AccountEvent) -> dict[str, Any]:
    """Return an ACCOUNT_UPDATE."""
    at_ms = what.time_ns // _MS
    balances = [{"a": a, "wb": money(wallet), "cw": money(cross), "bc": plain(change)} for a, wallet, cross, change in what.balances]
    positions = [_position(grids[row.symbol], row) for row in what.positions]
    return {"e": "ACCOUNT_UPDATE", "T": at_ms, "E": at_ms, "a": {"m": what.reason, "B": balances, "P": positions}}


def algo_update(grid: Grid, what: AlgoEvent) -> dict[str, Any]:
    """Return an ALGO_UPDATE."""
    a, at_ms = what.algo, what.time_ns // _MS
    asked = a.asked
    body: dict[str, Any] = {
        "caid": a.client_id,
        "aid": a.id,
        "at": "CONDITIONAL",
        "o": asked.kind,
        "s": asked.symbol,
        "S": asked.side,
        "ps": "BOTH",
        "f": asked.tif,
        "q": grid.quantity(asked.lots),
        "X": a.status,
        "ai": str(a.actual_id) if a.actual_id else "",
        "ap": "0.00000",
        "aq": "0.00000",
        "act": "0",
        "tp": grid.price(asked.stop_tick),
        "p": grid.price(asked.tick),
        "V": asked.stp,
        "wt": asked.working_type,
        "pm": "NONE",
        "cp": asked.close_position,
        "pP": asked.price_protect,
        "R": asked.reduce_only,
        "tt": a.triggered_ns // _MS,
        "gtd": asked.good_till_ns // _MS,
        "rm": a.reason,
    }
    return {"e": "ALGO_UPDATE", "T": at_ms, "E": at_ms, "o": body}


def config_update(what: ConfigEvent) -> dict[str, Any]:
    """Return an ACCOUNT_CONFIG_UPDATE."""
    at_ms = what.time_ns // _MS
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": at_ms, "T": at_ms, "ac": {"s": what.symbol, "l": what.leverage}}


def _position(grid: Grid, row: PositionRow) -> dict[str, Any]:
    return {
        "s": row.symbol,
        "pa": plain(Decimal(row.lots) * grid.lot_step / 10**grid.lot_decimals),
        "ep": plain(row.entry),
        "bep": plain(row.break_even),
        "cr": plain(row.realised),
        "up": plain(row.unrealised),
        "mt": "isolated" if row.is_isolated else "cross",
        "iw": money(row.isolated_wallet) if row.is_isolated else "0",
        "ps": "BOTH",
    }


def _lots(position: Position) -> str:
    return f"{position.quantity:f}"

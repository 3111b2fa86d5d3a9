"""What Binance says about an account's orders and trades, from whatever door, in the one form of `venues.order_news`.

An executionReport, an ORDER_TRADE_UPDATE, an ALGO_UPDATE and the answers of a dozen calls all become `OrderNews` and `TradeNews`; whoever
follows orders folds those and need not know where they came from. Pure.

Invariants: numbers come as exact decimals of the venue's own text; on a spot cancel the order's own id (`C`) counts, not the cancel's;
what cannot be read raises `NewsError` and changes nothing. Sources: binance-spot-api-docs user-data-stream.md and rest-api.md (2026-07);
USD-M user data streams, ORDER_TRADE_UPDATE and ALGO_UPDATE (2026-07).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.core.domain.orders import Side
from smartmoney.venues.order_news import Held, NewsError, OrderNews, OrderState, TradeNews

_STATES = {
    "NEW": OrderState.WORKING,
    "PENDING_NEW": OrderState.WAITING,
    "PARTIALLY_FILLED": OrderState.WORKING,
    "PENDING_CANCEL": OrderState.WORKING,
    # What the insurance fund or the deleveraging takes over, while it does.
    "NEW_INSURANCE": OrderState.WORKING,
    "NEW_ADL": OrderState.WORKING,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
_ALGO_STATES = {
    "NEW": OrderState.WORKING,
    "TRIGGERING": OrderState.TRIGGERED,
    "TRIGGERED": OrderState.TRIGGERED,
    "FINISHED": OrderState.TRIGGERED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "REJECTED": OrderState.REJECTED,
}


def read_event(raw: bytes) -> tuple[str, OrderNews | None]:
    """Return the type of a private event and its news of an order, if it has any. Spot's envelope is opened.

    Raises:
        NewsError: it is no event, or an order's event that cannot be read.
    """
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as failure:
        raise NewsError(f"not a private event: {failure}") from None
    inner = body.get("event", body.get("data", body))
    event = inner if isinstance(inner, dict) else body
    kind = str(event.get("e", ""))
    read = _EVENTS.get(kind)
    return kind, None if read is None else read(event)


def read_order(body: Mapping[str, Any]) -> OrderNews:
    """Return what an answer of a plain order's call says: placed, queried, cancelled or listed, on either market.

    Raises:
        NewsError: it is none.
    """
    try:
        symbol, order_id = str(body["symbol"]), _identifier(body["orderId"])
        client_id = str(body.get("origClientOrderId") or body["clientOrderId"])
        side = Side(str(body["side"]).lower())
        trades = tuple(_trade_of_answer(one, symbol, order_id, client_id, side, body) for one in body.get("fills") or ())
        return OrderNews(
            symbol=symbol,
            client_id=client_id,
            order_id=order_id,
            state=_STATES[str(body["status"])],
            side=side,
            kind=str(body["type"]),
            quantity=_number(body["origQty"]),
            filled=_number(body["executedQty"]),
            price=_number(body.get("price", "0")),
            stop_price=_number(body.get("stopPrice", "0")),
            is_reduce_only=bool(body.get("reduceOnly", False)),
            list_id=_list(body.get("orderListId", -1)),
            reason=str(body.get("expiryReason", "")),
            trades=trades,
        )
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not an order: {type(failure).__name__} {failure}") from None


def read_algo(body: Mapping[str, Any]) -> OrderNews:
    """Return what an answer about a conditional USD-M order says.

    Raises:
        NewsError: it is none.
    """
    try:
        return OrderNews(
            symbol=str(body["symbol"]),
            client_id=str(body["clientAlgoId"]),
            order_id=_identifier(body["algoId"]),
            state=_ALGO_STATES[str(body["algoStatus"])],
            side=Side(str(body["side"]).lower()),
            kind=str(body.get("orderType", "")),
            quantity=_number(body["quantity"]),
            filled=Decimal(0),
            price=_number(body.get("price") or "0"),
            stop_price=_number(body["triggerPrice"]),
            is_algo=True,
            is_reduce_only=bool(body.get("reduceOnly", False)),
            actual_order_id=_optional(body.get("actualOrderId")),
        )
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not an algo order: {type(failure).__name__} {failure}") from None


def read_list(body: Mapping[str, Any]) -> tuple[OrderNews, ...]:
    """Return the legs of an order list's answer. Raises: NewsError."""
    return tuple(read_order(one) for one in _rows(body.get("orderReports")))


def read_trades(body: object) -> tuple[TradeNews, ...]:
    """Return an account's trades, as listed (myTrades, userTrades). Raises: NewsError."""
    try:
        return tuple(_listed_trade(one) for one in _rows(body))
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not a trade: {type(failure).__name__} {failure}") from None


def read_balances(body: Mapping[str, Any]) -> tuple[Held, ...]:
    """Return spot balances, free and locked together. Raises: NewsError."""
    try:
        rows = _rows(body.get("balances"))
        return tuple(Held(name=str(one["asset"]), quantity=_number(one["free"]) + _number(one["locked"])) for one in rows)
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not balances: {type(failure).__name__} {failure}") from None


def read_positions(body: object) -> tuple[Held, ...]:
    """Return USD-M positions by symbol, signed. Raises: NewsError."""
    try:
        return tuple(
            Held(name=str(one["symbol"]), quantity=_number(one["positionAmt"]), entry_price=_number(one["entryPrice"]))
            for one in _rows(body)
        )
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not positions: {type(failure).__name__} {failure}") from None


def _spot_report(event: Mapping[str, Any]) -> OrderNews:
    try:
        execution = str(event["x"])
        symbol, order_id, side = str(event["s"]), _identifier(event["i"]), Side(str(event["S"]).lower())
        # On a cancel `c` is the cancel's id and `C` the order's own.
        client_id = str(event["C"]) if execution == "CANCELED" and event.get("C") else str(event["c"])
        trades: tuple[TradeNews, ...] = ()
        if execution == "TRADE":
            trades = (
                TradeNews(
                    symbol=symbol,
                    trade_id=_identifier(event["t"]),
                    order_id=order_id,
                    client_id=client_id,
                    side=side,
                    price=_number(event["L"]),
                    quantity=_number(event["l"]),
                    fee=_number(event["n"]),
                    fee_asset=str(event["N"] or ""),
                    is_maker=bool(event["m"]),
                    time_ms=int(event["T"]),
                ),
            )
        return OrderNews(
            symbol=symbol,
            client_id=client_id,
            order_id=order_id,
            state=_STATES[str(event["X"])],
            side=side,
            kind=str(event["o"]),
            quantity=_number(event["q"]),
            filled=_number(event["z"]),
            price=_number(event["p"]),
            stop_price=_number(event["P"]),
            list_id=_list(event.get("g", -1)),
            reason=_reason(event.get("r"), event.get("eR")),
            trades=trades,
        )
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not an executionReport: {type(failure).__name__} {failure}") from None


def _usdm_report(event: Mapping[str, Any]) -> OrderNews:
    try:
        body = event["o"]
        symbol, order_id, client_id = str(body["s"]), _identifier(body["i"]), str(body["c"])
        side = Side(str(body["S"]).lower())
        quantity = _number(body["l"])
        trades: tuple[TradeNews, ...] = ()
        # Liquidations trade too, under the word CALCULATED.
        if str(body["x"]) in {"TRADE", "CALCULATED"} and quantity > 0:
            trades = (
                TradeNews(
                    symbol=symbol,
                    trade_id=_identifier(body["t"]),
                    order_id=order_id,
                    client_id=client_id,
                    side=side,
                    price=_number(body["L"]),
                    quantity=quantity,
                    fee=_number(body.get("n") or "0"),
                    fee_asset=str(body.get("N") or ""),
                    is_maker=bool(body["m"]),
                    time_ms=int(body["T"]),
                ),
            )
        return OrderNews(
            symbol=symbol,
            client_id=client_id,
            order_id=order_id,
            state=_STATES[str(body["X"])],
            side=side,
            kind=str(body["o"]),
            quantity=_number(body["q"]),
            filled=_number(body["z"]),
            price=_number(body["p"]),
            stop_price=_number(body.get("sp") or "0"),
            is_reduce_only=bool(body.get("R", False)),
            trades=trades,
        )
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not an ORDER_TRADE_UPDATE: {type(failure).__name__} {failure}") from None


def _algo_report(event: Mapping[str, Any]) -> OrderNews:
    try:
        body = event["o"]
        return OrderNews(
            symbol=str(body["s"]),
            client_id=str(body["caid"]),
            order_id=_identifier(body["aid"]),
            state=_ALGO_STATES[str(body["X"])],
            side=Side(str(body["S"]).lower()),
            kind=str(body["o"]),
            quantity=_number(body["q"]),
            filled=Decimal(0),
            price=_number(body.get("p") or "0"),
            stop_price=_number(body["tp"]),
            is_algo=True,
            is_reduce_only=bool(body.get("R", False)),
            actual_order_id=_optional(body.get("ai")),
            reason=str(body.get("rm") or ""),
        )
    except (KeyError, ValueError, TypeError, ArithmeticError) as failure:
        raise NewsError(f"not an ALGO_UPDATE: {type(failure).__name__} {failure}") from None


_EVENTS = {"executionReport": _spot_report, "ORDER_TRADE_UPDATE": _usdm_report, "ALGO_UPDATE": _algo_report}


def _listed_trade(one: Mapping[str, Any]) -> TradeNews:
    is_buy = bool(one["isBuyer"] if "isBuyer" in one else one["buyer"])
    return TradeNews(
        symbol=str(one["symbol"]),
        trade_id=_identifier(one["id"]),
        order_id=_identifier(one["orderId"]),
        client_id="",
        side=Side.BUY if is_buy else Side.SELL,
        price=_number(one["price"]),
        quantity=_number(one["qty"]),
        fee=_number(one["commission"]),
        fee_asset=str(one["commissionAsset"]),
        is_maker=bool(one["isMaker"] if "isMaker" in one else one["maker"]),
        time_ms=int(one["time"]),
    )


def _trade_of_answer(one: Mapping[str, Any], symbol: str, order_id: str, client_id: str, side: Side, body: Mapping[str, Any]) -> TradeNews:
    """Return a trade of a FULL answer: what trades at once takes."""
    return TradeNews(
        symbol=symbol,
        trade_id=_identifier(one["tradeId"]),
        order_id=order_id,
        client_id=client_id,
        side=side,
        price=_number(one["price"]),
        quantity=_number(one["qty"]),
        fee=_number(one["commission"]),
        fee_asset=str(one["commissionAsset"]),
        is_maker=False,
        time_ms=int(body["transactTime"]),
    )


def _rows(body: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise NewsError("not a list of objects")
    return body


def _identifier(value: object) -> str:
    """Return a number of the venue as text."""
    return str(int(str(value)))


def _optional(value: object) -> str:
    """Return a number of the venue as text; empty where it gives none, or 0."""
    return _identifier(value) if value else ""


def _list(value: object) -> str:
    """Return the number of a list as text; the venue writes -1 outside one."""
    number = _identifier(value)
    return "" if number.startswith("-") else number


def _number(text: object) -> Decimal:
    """Return a finite decimal; the venue writes its numbers as texts."""
    if not isinstance(text, str):
        raise NewsError(f"{text!r} is no number in the venue's form")
    value = Decimal(text)
    if not value.is_finite():
        raise NewsError(f"{text!r} is not finite")
    return value


def _reason(refused: object, expired: object) -> str:
    words = [str(word) for word in (refused, expired) if word and word != "NONE"]
    return " ".join(words)

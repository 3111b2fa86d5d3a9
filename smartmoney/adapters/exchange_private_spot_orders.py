"""Read a spot order, or one leg of an order list, from request parameters: which must be there for its type, and which must not."""

from decimal import Decimal

from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.simulation.exchange.ledger import ZERO
from smartmoney.simulation.exchange.orders import OrderRequest
from smartmoney.simulation.exchange.refusals import Refusal, illegal_characters, mandatory, not_required, rejected
from smartmoney.simulation.exchange.rules import Rules, decimal_of, price_ticks, quantity_lots

_CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"
_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_CLIENT_ID_MAX = 36
TYPES = ("LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT", "LIMIT_MAKER")
_TIFS = ("GTC", "IOC", "FOK")
_PRICED = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
_TIMED = frozenset({"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
_TRIGGERED = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
_STPS = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_SHARED_BY = {"above": "", "below": "", "pendingAbove": "pending", "pendingBelow": "pending"}
"""Legs take side and quantity from their list's parameters of this prefix."""


def order_request(rules: Rules, p: Parameters, prefix: str = "") -> OrderRequest:
    """Return what the parameters of a prefix ask for.

    Raises:
        Refusal: something is missing, superfluous, unknown, or off the grid.
    """
    shared = _SHARED_BY.get(prefix, prefix)
    side = p.choice(_name(shared, "side"), ("BUY", "SELL"), (-1117, "Invalid side."))
    kind = p.choice(_name(prefix, "type"), TYPES, (-1116, "Invalid orderType."))
    tick = _price(rules, p, _name(prefix, "price"), is_needed=kind in _PRICED)
    stop = _price(rules, p, _name(prefix, "stopPrice"), is_needed=kind in _TRIGGERED)
    tif = _time_in_force(p, _name(prefix, "timeInForce"), kind)
    if p.text(_name(prefix, "trailingDelta")):
        raise rejected("Trailing stop orders are not supported for this symbol.")
    lots, amount = _size(rules, p, shared, kind)
    refusal = (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    stp = p.choice("selfTradePreventionMode", _STPS, refusal, "EXPIRE_MAKER")
    return OrderRequest(
        symbol=rules.instrument.symbol,
        side=side,
        kind=kind,
        lots=lots,
        tick=tick,
        stop_tick=stop,
        tif=tif,
        client_id=client_id(p, _name(prefix, "newClientOrderId" if not prefix else "clientOrderId")),
        quote_amount=amount,
        display_lots=_display(rules, p, _name(prefix, "icebergQty"), kind, tif, lots),
        stp=stp,
        strategy_id=_number(p, _name(prefix, "strategyId"), 0),
        strategy_type=_number(p, _name(prefix, "strategyType"), 1_000_000),
    )


def _name(prefix: str, name: str) -> str:
    return prefix + name[0].upper() + name[1:] if prefix else name


def _price(rules: Rules, p: Parameters, name: str, *, is_needed: bool) -> int:
    if not is_needed:
        if p.text(name):
            raise not_required(name)
        return 0
    return price_ticks(rules, name, p.needed(name))


def _time_in_force(p: Parameters, name: str, kind: str) -> str:
    if kind not in _TIMED:
        if p.text(name):
            raise not_required(name)
        return "GTC"
    return p.choice(name, _TIFS, (-1115, "Invalid timeInForce."))


def _size(rules: Rules, p: Parameters, prefix: str, kind: str) -> tuple[int, Decimal]:
    quantity, quote = p.text(_name(prefix, "quantity")), p.text("quoteOrderQty") if not prefix else ""
    if quote and kind != "MARKET":
        raise not_required("quoteOrderQty")
    if kind == "MARKET" and not quantity and not quote:
        raise Refusal(-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!")
    if quantity and quote:
        raise Refusal(-1128, "Combination of optional parameters invalid.")
    if quote:
        amount = decimal_of("quoteOrderQty", quote)
        if amount <= 0:
            raise rejected("Price * QTY is zero or less.")
        return 0, amount
    at_market = kind in {"MARKET", "STOP_LOSS", "TAKE_PROFIT"}
    return quantity_lots(rules, _name(prefix, "quantity"), p.needed(_name(prefix, "quantity")), at_market=at_market), ZERO


def _display(rules: Rules, p: Parameters, name: str, kind: str, tif: str, lots: int) -> int:
    text = p.text(name)
    if not text or decimal_of(name, text) == 0:
        return 0
    if kind not in _PRICED or tif != "GTC":
        raise not_required(name)
    shown = quantity_lots(rules, name, text, at_market=False)
    if shown >= lots:
        raise rejected("IcebergQty exceeds QTY.")
    return shown


def client_id(p: Parameters, name: str) -> str:
    """Return a client id, or an empty text if none was sent.

    Raises:
        Refusal: it has other characters, or too many (-1100), or is empty (-1102).
    """
    if not p.has(name):
        return ""
    value = p.text(name)
    if not value:
        raise mandatory(name)
    if len(value) > _CLIENT_ID_MAX or not set(value) <= _LEGAL:
        raise illegal_characters(name, _CLIENT_ID)
    return value


def _number(p: Parameters, name: str, least: int) -> int:
    value = p.whole(name)
    if value is None:
        return -1
    if value < least:
        raise Refusal(-1134, "`strategyType` was less than 1000000.")
    return value

"""Read a USD-M order, plain or conditional, from request parameters: which must be there for its type, and which must not."""

from decimal import Decimal

import msgspec

from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.simulation.exchange import refusals
from smartmoney.simulation.exchange.orders import OrderRequest
from smartmoney.simulation.exchange.refusals import Refusal, illegal_characters, mandatory, not_required
from smartmoney.simulation.exchange.rules import Rules, decimal_of, price_ticks, quantity_lots
from smartmoney.simulation.exchange.usdm_algos import TRAILING

_CLIENT_ID = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/")
_CLIENT_ID_MAX = 36
_TIFS = ("GTC", "IOC", "FOK", "GTX", "GTD")
_STPS = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_GTD_AFTER_MS = 600_000
_MS = 1_000_000
CONDITIONALS = ("STOP", "TAKE_PROFIT", "STOP_MARKET", "TAKE_PROFIT_MARKET", TRAILING)
_LIMIT_CONDITIONALS = frozenset({"STOP", "TAKE_PROFIT"})


class AlgoRequest(msgspec.Struct, frozen=True):
    """Ask for a conditional order."""

    asked: OrderRequest
    callback_rate: Decimal
    activate_tick: int


def order_request(rules: Rules, p: Parameters, now_ns: int) -> OrderRequest:
    """Return the LIMIT or MARKET order that parameters ask for.

    Raises:
        Refusal: something is missing, superfluous, unknown, or off the grid; -4120 for a conditional type.
    """
    side = p.choice("side", ("BUY", "SELL"), (-1117, "Invalid side."))
    kind = p.needed("type")
    if kind in CONDITIONALS:
        raise Refusal(*refusals.USE_ALGO_ENDPOINT)
    if kind not in {"LIMIT", "MARKET"}:
        raise Refusal(-1116, "Invalid orderType.")
    _check_position_side(p)
    tif, tick = "GTC", 0
    if kind == "LIMIT":
        tif = p.choice("timeInForce", _TIFS, (-1115, "Invalid timeInForce."))
        tick = price_ticks(rules, "price", p.needed("price"))
    else:
        for name in ("timeInForce", "price"):
            if p.text(name):
                raise not_required(name.lower() if name == "timeInForce" else name)
    if p.text("priceMatch") not in {"", "NONE"}:
        raise Refusal(-4120, "priceMatch is not supported by this exchange.")
    if p.flag("closePosition"):
        raise Refusal(*refusals.USE_ALGO_ENDPOINT)
    return OrderRequest(
        symbol=rules.instrument.symbol,
        side=side,
        kind=kind,
        lots=quantity_lots(rules, "quantity", p.needed("quantity"), at_market=kind == "MARKET"),
        tick=tick,
        tif=tif,
        client_id=client_id(p, "newClientOrderId"),
        reduce_only=p.flag("reduceOnly"),
        stp=_prevention(p),
        good_till_ns=_good_till(p, tif, now_ns),
    )


def algo_request(rules: Rules, p: Parameters, now_ns: int) -> AlgoRequest:
    """Return the conditional order that parameters ask for.

    Raises:
        Refusal: something is missing, superfluous, unknown, or off the grid.
    """
    p.choice("algoType", ("CONDITIONAL",), (-1130, "Data sent for parameter 'algoType' is not valid."))
    side = p.choice("side", ("BUY", "SELL"), (-1117, "Invalid side."))
    kind = p.choice("type", CONDITIONALS, (-1116, "Invalid orderType."))
    _check_position_side(p)
    is_limit = kind in _LIMIT_CONDITIONALS
    closes, reduces = p.flag("closePosition"), p.flag("reduceOnly")
    if closes and (reduces or p.text("quantity")):
        raise Refusal(-4138 if reduces else -4137, "Quantity must be zero with closePosition equals true.")
    if closes and kind not in {"STOP_MARKET", "TAKE_PROFIT_MARKET"}:
        raise Refusal(-4136, "Target strategy invalid for orderType " + kind + ", closePosition true.")
    tif = p.choice("timeInForce", _TIFS, (-1115, "Invalid timeInForce."), "GTC")
    asked = OrderRequest(
        symbol=rules.instrument.symbol,
        side=side,
        kind=kind,
        lots=0 if closes else quantity_lots(rules, "quantity", p.needed("quantity"), at_market=not is_limit),
        tick=price_ticks(rules, "price", p.needed("price")) if is_limit else 0,
        stop_tick=0 if kind == TRAILING else price_ticks(rules, "triggerPrice", p.needed("triggerPrice")),
        tif=tif,
        client_id=client_id(p, "clientAlgoId"),
        reduce_only=reduces,
        close_position=closes,
        stp=_prevention(p),
        working_type=p.choice(
            "workingType",
            ("CONTRACT_PRICE", "MARK_PRICE"),
            (-1130, "Data sent for parameter 'workingType' is not valid."),
            "CONTRACT_PRICE",
        ),
        price_protect=p.flag("priceProtect"),
        good_till_ns=_good_till(p, tif, now_ns),
    )
    rate, activate = _trailing(rules, p, kind)
    return AlgoRequest(asked, rate, activate)


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


def _check_position_side(p: Parameters) -> None:
    if p.text("positionSide") not in {"", "BOTH"}:
        raise Refusal(-4061, "Order's position side does not match user's setting.")


def _prevention(p: Parameters) -> str:
    refusal = (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    return p.choice("selfTradePreventionMode", _STPS, refusal, "EXPIRE_MAKER")


def _good_till(p: Parameters, tif: str, now_ns: int) -> int:
    date = p.whole("goodTillDate")
    if tif != "GTD":
        if date:
            raise not_required("goodTillDate")
        return 0
    if date is None:
        raise mandatory("goodTillDate")
    if date <= now_ns // _MS + _GTD_AFTER_MS:
        raise Refusal(-5040, "The goodTillDate is not valid: it must be later than the current time plus 600 seconds.")
    return date // 1000 * 1000 * _MS


def _trailing(rules: Rules, p: Parameters, kind: str) -> tuple[Decimal, int]:
    if kind != TRAILING:
        if p.text("callbackRate"):
            raise not_required("callbackRate")
        return Decimal(0), 0
    rate = decimal_of("callbackRate", p.needed("callbackRate"))
    if not Decimal("0.1") <= rate <= 10:
        raise Refusal(-2007, "Invalid callBack rate.")
    activate = p.text("activatePrice") or p.text("activationPrice")
    return rate, price_ticks(rules, "activatePrice", activate) if activate else 0

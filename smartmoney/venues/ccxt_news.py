"""What ccxt's unified orders, trades, positions and balances say, in the one form of `venues.order_news`. Pure.

ccxt must have been told to keep numbers as the venue's texts (`number = str`), so that nothing passes through a binary float. Its amounts
are contracts: they become base units here.

Invariants: an answer that only takes note of an order (no status) is no news; a quantity is exact; what cannot be read raises `NewsError`.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Side, attached_id
from smartmoney.venues.ccxt_terms import VenueTerms
from smartmoney.venues.followed import OURS
from smartmoney.venues.order_news import Held, NewsError, OrderNews, OrderState, TradeNews

_STATES = {
    "open": OrderState.WORKING,
    "canceling": OrderState.WORKING,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}
_APART_STATES = {**_STATES, "closed": OrderState.TRIGGERED}
"""An order apart that is `closed` has sent another one; what became of that is its own story."""
_RAW_TRIGGERED = frozenset({"TRIGGERING", "TRIGGERED", "FINISHED", "effective"})
_RAW_IDS = ("orderLinkId", "algoClOrdId", "clOrdId", "clientAlgoId", "caid", "clientOrderId", "c")
_RAW_SENT = ("actualOrderId", "ai", "ordId")
_RAW_LISTS = ("orderListId", "g")
_RAW_REASONS = ("rejectReason", "cancelSource", "failCode", "r")
_RAW_ATTACHED = frozenset({"StopLoss", "PartialStopLoss"})
"""Bybit's stops of a position: they have no client id, but name their entry's (`parentOrderLinkId`)."""
_RAW_POSITIONS_OWN = "StopLoss"
_RAW_FEE_ASSETS = ("feeCurrency", "feeCoin")
"""Bybit's word for what a fee was taken in; ccxt knows one of the two, and else reckons with what was bought."""
_NO_REASON = frozenset({"", "0", "NONE", "EC_NoError"})
_AT_ONCE = frozenset({"IOC", "FOK"})
_RAW_CUT = "PartiallyFilledCanceled"
"""Bybit's spot for what was cancelled when a part had traded, whoever did that; ccxt calls it closed, as if all had."""
_RAW_WOULD_TAKE = {"rejectReason": "EC_PostOnlyWillTakeLiquidity", "cancelSource": "31"}
"""Why Bybit and OKX end a post-only order that would have crossed: they accept it, and cancel it themselves."""


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """Be an instrument as ccxt has it. `contract_size` is in base units an amount of 1."""

    instrument: Instrument
    contract_size: Decimal

    def amount(self, lots: int) -> str:
        """Return lots as ccxt's amount, exact."""
        return f"{(self.instrument.quantity(lots) / self.contract_size).normalize():f}"


class CcxtReader:
    """Read what ccxt says of some instruments of one venue."""

    def __init__(self, terms: VenueTerms, instruments: Sequence[Sized], market: Market) -> None:
        self._terms = terms
        self._category = terms.markets[market].category
        self._by_name = {sized.instrument.name: sized for sized in instruments}

    def order(self, order: Mapping[str, Any], *, is_apart: bool) -> OrderNews | None:
        """Return what an order says; None for one that is merely taken note of, or of an instrument that is not ours.

        Args:
            order: ccxt's unified order.
            is_apart: whether it is of those that the venue keeps apart.

        Raises:
            NewsError: it cannot be read.
        """
        sized = self._by_name.get(str(order.get("symbol")))
        status = order.get("status")
        raw = order.get("info") or {}
        if sized is None or status is None or order.get("side") is None or self._is_elsewhere(raw):
            return None
        try:
            state = (_APART_STATES if is_apart else _STATES)[str(status)]
            if is_apart and _first(raw, ("state", "algoStatus", "X")) in _RAW_TRIGGERED:
                state = OrderState.TRIGGERED
            if raw.get("orderStatus") == _RAW_CUT:
                state = OrderState.CANCELED
            if state is OrderState.CANCELED and _never_rested(order, raw):
                state = OrderState.EXPIRED
            return OrderNews(
                symbol=sized.instrument.symbol,
                client_id=self._client_id(order, raw),
                attached_to=self._attached_to(raw),
                order_id=str(order.get("id") or ""),
                state=state,
                side=Side(str(order["side"]).lower()),
                kind=str(order.get("type") or "").upper(),
                quantity=_number(order.get("amount")) * sized.contract_size,
                filled=Decimal(0) if is_apart else _number(order.get("filled")) * sized.contract_size,
                price=_number(order.get("price")),
                # A plain order's stop-loss price is that of the stop which it carries, and no trigger of its own.
                stop_price=_number(order.get("triggerPrice") or (order.get("stopLossPrice") if is_apart else None)),
                is_algo=is_apart,
                is_reduce_only=bool(order.get("reduceOnly")),
                may_open=order.get("reduceOnly") is False,
                is_positions_own=raw.get("stopOrderType") == _RAW_POSITIONS_OWN,
                list_id=_list_id(raw),
                actual_order_id=_sent(raw) if is_apart else "",
                reason=_reason(raw) if state in {OrderState.REJECTED, OrderState.EXPIRED, OrderState.CANCELED} else "",
            )
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as failure:
            raise NewsError(f"not an order: {type(failure).__name__} {failure}") from None

    def orders(self, orders: object, *, is_apart: bool) -> tuple[OrderNews, ...]:
        """Return what a list of orders says. Raises: NewsError."""
        read = (self.order(one, is_apart=is_apart) for one in _rows(orders))
        return tuple(one for one in read if one is not None)

    def trade(self, trade: Mapping[str, Any]) -> TradeNews | None:
        """Return what a trade says; None for one of an instrument that is not ours. Raises: NewsError."""
        sized = self._by_name.get(str(trade.get("symbol")))
        raw = trade.get("info") or {}
        if sized is None or self._is_elsewhere(raw):
            return None
        try:
            fee = trade.get("fee") or {}
            return TradeNews(
                symbol=sized.instrument.symbol,
                trade_id=_present(trade.get("id"), "a trade's id"),
                order_id=_present(trade.get("order"), "a trade's order"),
                client_id=self._terms.from_wire(_first(raw, _RAW_IDS)),
                side=Side(str(trade["side"]).lower()),
                price=_number(trade["price"]),
                quantity=_number(trade["amount"]) * sized.contract_size,
                fee=self._fee(fee, raw),
                fee_asset=_first(raw, _RAW_FEE_ASSETS) or str(fee.get("currency") or ""),
                is_maker=trade.get("takerOrMaker") == "maker",
                time_ms=int(trade["timestamp"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError) as failure:
            raise NewsError(f"not a trade: {type(failure).__name__} {failure}") from None

    def trades(self, trades: object) -> tuple[TradeNews, ...]:
        """Return what a list of trades says. Raises: NewsError."""
        read = (self.trade(one) for one in _rows(trades))
        return tuple(one for one in read if one is not None)

    def positions(self, positions: object) -> tuple[Held, ...]:
        """Return signed positions by the venue's symbol, in base units. Raises: NewsError."""
        found = []
        try:
            for one in _rows(positions):
                sized = self._by_name.get(str(one.get("symbol")))
                if sized is None:
                    continue
                quantity = _number(one.get("contracts")) * sized.contract_size
                if quantity and one.get("side") not in {"long", "short"}:
                    raise NewsError(f"a position of {sized.instrument.name} that is neither long nor short")
                signed = -abs(quantity) if one.get("side") == "short" else abs(quantity)
                found.append(Held(name=sized.instrument.symbol, quantity=signed, entry_price=_number(one.get("entryPrice"))))
        except (ValueError, TypeError, AttributeError, ArithmeticError) as failure:
            raise NewsError(f"not positions: {type(failure).__name__} {failure}") from None
        return tuple(found)

    def _is_elsewhere(self, raw: Mapping[str, Any]) -> bool:
        """Tell whether a row is of another market: an account's stream tells of all, and ccxt, which knows ours only, takes it for ours."""
        return bool(self._category) and raw.get("category", self._category) != self._category

    def _fee(self, fee: Mapping[str, Any], raw: Mapping[str, Any]) -> Decimal:
        """Return what a trade cost; negative is a rebate."""
        signed = raw.get(self._terms.signed_fee)
        return -_number(signed) if signed else _number(fee.get("cost"))

    def _client_id(self, order: Mapping[str, Any], raw: Mapping[str, Any]) -> str:
        entry = self._attached_to(raw)
        return attached_id(entry) if entry else self._terms.from_wire(str(order.get("clientOrderId") or "") or _first(raw, _RAW_IDS))

    def _attached_to(self, raw: Mapping[str, Any]) -> str:
        """Return the entry of ours out of which the venue made an order, where it names the order after nothing else."""
        parent = str(raw.get("parentOrderLinkId") or "") if raw.get("stopOrderType") in _RAW_ATTACHED else ""
        return parent if parent and OURS.fullmatch(parent) else ""


def read_balances(body: object) -> tuple[Held, ...]:
    """Return the whole balance of each asset, free and locked. Raises: NewsError."""
    total = body.get("total") if isinstance(body, dict) else None
    if not isinstance(total, dict):
        raise NewsError("not balances: no totals")
    return tuple(Held(name=str(name), quantity=_number(value)) for name, value in total.items())


def _rows(body: object) -> Iterable[Mapping[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(one, dict) for one in body):
        raise NewsError("not a list of objects")
    return body


def _number(value: object) -> Decimal:
    """Return a decimal of ccxt's text; nothing counts as zero. A float is refused: its digits are not the venue's."""
    if value is None:
        return Decimal(0)
    if isinstance(value, float | bool) or not isinstance(value, str | int | Decimal):
        raise NewsError(f"{value!r} is no number in the venue's form")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise NewsError(f"{value!r} is no number") from None
    if not number.is_finite():
        raise NewsError(f"{value!r} is not finite")
    return number


def _present(value: object, what: str) -> str:
    if value is None or value == "":
        raise NewsError(f"{what} is missing")
    return str(value)


def _never_rested(order: Mapping[str, Any], raw: Mapping[str, Any]) -> bool:
    """Tell whether a cancel was nobody's: of what is immediate, whose rest was not found, or of a post-only order that would have crossed.

    A stop rests, though what it sends will not.
    """
    is_at_once = str(order.get("timeInForce")).upper() in _AT_ONCE and not order.get("triggerPrice")
    return is_at_once or any(str(raw.get(name)) == why for name, why in _RAW_WOULD_TAKE.items())


def _first(raw: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(raw[name]) for name in names if raw.get(name)), "")


def _sent(raw: Mapping[str, Any]) -> str:
    number = _first(raw, _RAW_SENT)
    return "" if number == "0" else number


def _list_id(raw: Mapping[str, Any]) -> str:
    number = next((str(raw[name]) for name in _RAW_LISTS if raw.get(name) is not None), "-1")
    return "" if number.startswith("-") else number


def _reason(raw: Mapping[str, Any]) -> str:
    return " ".join(text for text in (str(raw.get(name) or "") for name in _RAW_REASONS) if text not in _NO_REASON)

"""The guard's hands at Bybit and OKX perpetuals, in each venue's own requests: no library beside the standard one.

Bybit acknowledges an order before it is accepted, shows the stop that it made out of an entry without a name of ours (it names the entry
instead), and has no timer that an ordinary account could set. OKX counts in contracts, keeps stops apart, and has a timer for the account.

Invariants: what cannot be read, to the end of its list, is not seen (`LookFailed`); a stop that is ours is never taken for somebody else's
because it has no name.
Sources: bybit-exchange/docs "Get Open & Closed Orders", "Place Order", "Get Position Info" (2026-07-24); okx.com docs-v5 "Place order",
"Algo trading", "Get positions", "Cancel All After" (2026-07).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import unquote

from smartmoney.adapters.guard_account import GuardAccount, Reply
from smartmoney.adapters.guard_venue import LookFailed, Timer
from smartmoney.adapters.guard_wires import PathCall
from smartmoney.adapters.heartbeat import Carried, Heartbeat
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Side, attached_id
from smartmoney.core.execution.guard_plan import OUR_PREFIX, SeenOrder
from smartmoney.venues.ccxt_terms import VENUES
from smartmoney.venues.followed import OURS
from smartmoney.venues.outcomes import Outcome

_BYBIT_PAGE, _OKX_PAGE = 50, 100
PAGES_MAX = 20
"""A list with more full pages is not seen. Neither venue takes so many orders in a symbol."""
_BYBIT_CROSSED = frozenset({110092, 110093})
_OKX_CROSSED = frozenset({51278, 51280})
_OKX_TIMER_S = (10, 120)
READ_FAULTS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading an answer of another form raises."""


class _PerpetualGuard:
    """Ask by path, and see only what can be read."""

    market = Market.USDM

    def __init__(self, account: GuardAccount) -> None:
        self._account = account

    async def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        reply = await self._account.ask(PathCall(method="GET", path=path, params=params))
        if reply.outcome is not Outcome.DONE:
            raise LookFailed(f"GET {path}: {reply.why()}")
        return reply.body

    async def _rows(self, path: str, params: Mapping[str, Any], read: Callable[[Any], tuple[list[Any], Mapping[str, str]]]) -> list[Any]:
        """Return a list to its end: `read` takes a page, and returns its rows and what to ask with for those after it, if there may be any.

        Raises:
            LookFailed: it could not be read to its end; a part of it is nothing seen.
        """
        found, more = list[Any](), dict[str, str]()
        for _ in range(PAGES_MAX):
            body = await self._get(path, {**params, **more})
            try:
                rows, following = read(body)
            except READ_FAULTS as failure:
                raise LookFailed(f"GET {path}: it cannot be read ({type(failure).__name__} {failure})") from None
            found += rows
            if not following:
                return found
            more = dict(following)
        raise LookFailed(f"GET {path}: more than {len(found)} rows, which is more than can be looked through")

    async def _post(self, path: str, params: Mapping[str, Any] | tuple[Mapping[str, Any], ...]) -> Reply:
        return await self._account.ask(PathCall(method="POST", path=path, params=params))


class BybitGuard(_PerpetualGuard):
    """See and act on a unified account in one-way mode."""

    timer: Timer = ""
    acks_only = True
    _category = "linear"

    async def open_orders(self, beat: Heartbeat, carried: Carried) -> tuple[SeenOrder, ...]:
        """Return what works of an instrument; the position's own stop is ours if its entry was, or if the daemon knew its number."""
        params = {"category": self._category, "symbol": carried.instrument.symbol, "openOnly": "0", "limit": str(_BYBIT_PAGE)}
        rows = await self._rows("/v5/order/realtime", params, bybit_page)
        known = {order.number: order.client_order_id for order in beat.orders if order.number and order.symbol == carried.instrument.symbol}
        try:
            return tuple(_bybit_seen(row, known) for row in rows)
        except READ_FAULTS as failure:
            raise LookFailed(f"orders cannot be read ({type(failure).__name__} {failure})") from None

    async def position(self, beat: Heartbeat, carried: Carried) -> Decimal:
        """Return the symbol's position, signed, in base."""
        del beat
        body = await self._get("/v5/position/list", {"category": "linear", "symbol": carried.instrument.symbol})
        try:
            return sum((_signed(Decimal(str(row["size"])), row["side"]) for row in body["result"]["list"]), Decimal(0))
        except READ_FAULTS as failure:
            raise LookFailed(f"positions cannot be read ({type(failure).__name__} {failure})") from None

    async def place(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Send a stop, or a close at market."""
        params: dict[str, Any] = {
            "category": "linear",
            "symbol": instrument.symbol,
            "side": intent.side.value.capitalize(),
            "orderType": "Market",
            "qty": plain(instrument.quantity(intent.lots)),
            "positionIdx": 0,
            "reduceOnly": True,
            "orderLinkId": intent.client_order_id,
        }
        if intent.type is OrderType.STOP_MARKET and intent.stop_ticks is not None:
            direction = 1 if intent.side is Side.BUY else 2
            level = plain(instrument.price(intent.stop_ticks))
            params |= {"triggerPrice": level, "triggerDirection": direction, "triggerBy": "LastPrice"}
        return await self._post("/v5/order/create", params)

    async def cancel(self, instrument: Instrument, order: SeenOrder) -> Reply:
        """Cancel an order, by the venue's number: some have no name."""
        return await self._post("/v5/order/cancel", {"category": "linear", "symbol": instrument.symbol, "orderId": order.number})

    async def find(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Ask what became of an order: among those that work or ended lately, then in the history."""
        params = {"category": self._category, "symbol": instrument.symbol, "orderLinkId": intent.client_order_id}
        reply = Reply(outcome=Outcome.NOT_FOUND, message="the venue lists no such order")
        for path in ("/v5/order/realtime", "/v5/order/history"):
            reply = await self._account.ask(PathCall(method="GET", path=path, params=params))
            if reply.outcome is not Outcome.DONE:
                return reply
            try:
                if reply.body["result"].get("list"):
                    return reply
            except READ_FAULTS as failure:
                raise LookFailed(f"GET {path}: it cannot be read ({type(failure).__name__})") from None
        return Reply(outcome=Outcome.NOT_FOUND, message="the venue lists no such order")

    async def count_down(self, symbol: str, wait_ms: int) -> bool:
        """Set nothing: the venue's timer is for institutions, and goes with a connection."""
        del symbol, wait_ms
        return False

    def is_crossed(self, reply: Reply) -> bool:
        """Tell whether a stop was refused because the market is past it already."""
        return reply.code in _BYBIT_CROSSED


class OkxGuard(_PerpetualGuard):
    """See and act on an account in net mode, on isolated margin."""

    timer: Timer = "account"
    acks_only = False

    def __init__(self, account: GuardAccount) -> None:
        super().__init__(account)
        self._terms = VENUES["okx"]
        self._sizes: dict[str, Decimal] = {}

    async def open_orders(self, beat: Heartbeat, carried: Carried) -> tuple[SeenOrder, ...]:
        """Return what works of an instrument, and the stops that are kept apart."""
        del beat
        size = await self._size(carried.instrument)
        found: list[SeenOrder] = []
        common = {"instType": "SWAP", "instId": carried.instrument.symbol, "limit": str(_OKX_PAGE)}
        for path, more in (("/api/v5/trade/orders-pending", {}), ("/api/v5/trade/orders-algo-pending", {"ordType": "conditional"})):
            number = "algoId" if more else "ordId"
            rows = await self._rows(path, {**common, **more}, partial(_okx_page, number))
            try:
                found += [self._seen(row, size, is_algo=bool(more)) for row in rows]
            except READ_FAULTS as failure:
                raise LookFailed(f"orders cannot be read ({type(failure).__name__} {failure})") from None
        return tuple(found)

    async def position(self, beat: Heartbeat, carried: Carried) -> Decimal:
        """Return the symbol's position on isolated margin, signed, in base."""
        del beat
        size = await self._size(carried.instrument)
        body = await self._get("/api/v5/account/positions", {"instType": "SWAP", "instId": carried.instrument.symbol})
        try:
            mine = (row for row in body["data"] if row["mgnMode"] == "isolated")
            return sum((Decimal(str(row["pos"])) * size for row in mine), Decimal(0))
        except READ_FAULTS as failure:
            raise LookFailed(f"positions cannot be read ({type(failure).__name__} {failure})") from None

    async def place(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Send a stop, or a close at market."""
        size = await self._size(instrument)
        name = self._terms.to_wire(intent.client_order_id)
        params: dict[str, Any] = {
            "instId": instrument.symbol,
            "tdMode": "isolated",
            "side": intent.side.value,
            "sz": plain(instrument.quantity(intent.lots) / size),
            "reduceOnly": True,
        }
        if intent.type is OrderType.STOP_MARKET and intent.stop_ticks is not None:
            level = plain(instrument.price(intent.stop_ticks))
            stop = {"ordType": "conditional", "algoClOrdId": name, "slTriggerPx": level, "slOrdPx": "-1", "slTriggerPxType": "last"}
            return await self._post("/api/v5/trade/order-algo", {**params, **stop})
        return await self._post("/api/v5/trade/order", {**params, "ordType": "market", "clOrdId": name})

    async def cancel(self, instrument: Instrument, order: SeenOrder) -> Reply:
        """Cancel an order."""
        if order.is_algo:
            return await self._post("/api/v5/trade/cancel-algos", ({"instId": instrument.symbol, "algoId": order.number},))
        return await self._post("/api/v5/trade/cancel-order", {"instId": instrument.symbol, "ordId": order.number})

    async def find(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Ask what became of an order."""
        name = self._terms.to_wire(intent.client_order_id)
        if intent.type is OrderType.STOP_MARKET:
            return await self._account.ask(PathCall(method="GET", path="/api/v5/trade/order-algo", params={"algoClOrdId": name}))
        params = {"instId": instrument.symbol, "clOrdId": name}
        return await self._account.ask(PathCall(method="GET", path="/api/v5/trade/order", params=params))

    async def count_down(self, symbol: str, wait_ms: int) -> bool:
        """Set the account's timer, within what the venue takes; 0 stops it."""
        del symbol
        least, most = _OKX_TIMER_S
        seconds = 0 if wait_ms == 0 else min(most, max(least, round(wait_ms / 1000)))
        return (await self._post("/api/v5/trade/cancel-all-after", {"timeOut": str(seconds)})).outcome is Outcome.DONE

    def is_crossed(self, reply: Reply) -> bool:
        """Tell whether a stop was refused because the market is past it already."""
        return reply.code in _OKX_CROSSED

    async def _size(self, instrument: Instrument) -> Decimal:
        """Return what one contract is, in base; it is asked for once."""
        known = self._sizes.get(instrument.symbol)
        if known is None:
            body = await self._get("/api/v5/public/instruments", {"instType": "SWAP", "instId": instrument.symbol})
            try:
                (row,) = (row for row in body["data"] if row["instId"] == instrument.symbol)
                known = Decimal(row["ctVal"]) * Decimal(row.get("ctMult") or "1")
                if row["ctType"] != "linear" or known <= 0:
                    raise LookFailed(f"{instrument.symbol} is no linear swap")
            except READ_FAULTS as failure:
                raise LookFailed(f"{instrument.symbol}: its contract cannot be read ({type(failure).__name__})") from None
            self._sizes[instrument.symbol] = known
        return known

    def _seen(self, row: Mapping[str, Any], size: Decimal, *, is_algo: bool) -> SeenOrder:
        name = self._terms.from_wire(str(row["algoClOrdId" if is_algo else "clOrdId"] or ""))
        filled = Decimal(0) if is_algo else Decimal(str(row.get("accFillSz") or 0))
        return SeenOrder(
            client_id=name,
            side=Side(row["side"]),
            quantity=(Decimal(str(row["sz"])) - filled) * size,
            is_stop=is_algo,
            is_algo=is_algo,
            # Whatever it says of itself: of ours nothing but stops is kept apart.
            reduces=str(row["reduceOnly"]).lower() == "true" or (is_algo and name.startswith(OUR_PREFIX)),
            number=str(row["algoId" if is_algo else "ordId"]),
            trigger=Decimal(str(row.get("slTriggerPx") or 0)) if is_algo else Decimal(0),
        )


def bybit_page(body: Any) -> tuple[list[Any], dict[str, str]]:
    """Return a page's rows, and what to ask with for those after it. Raises: LookupError, TypeError."""
    rows, cursor = body["result"]["list"], str(body["result"].get("nextPageCursor") or "")
    # A short page may be followed by another: the cursor tells. It comes as it stands in a query, and is quoted again on its way there.
    return rows, ({"cursor": unquote(cursor)} if cursor and rows else {})


def _okx_page(number: str, body: Any) -> tuple[list[Any], dict[str, str]]:
    rows = body["data"]
    return rows, ({"after": str(min(int(row[number]) for row in rows))} if len(rows) >= _OKX_PAGE else {})


def _bybit_seen(row: Mapping[str, Any], known: Mapping[str, str]) -> SeenOrder:
    is_stop = bool(row["stopOrderType"]) and str(row["stopOrderType"]) != "UNKNOWN"
    return SeenOrder(
        client_id=_bybit_name(row, known),
        side=Side(str(row["side"]).lower()),
        quantity=Decimal(str(row["leavesQty"])),
        is_stop=is_stop,
        is_algo=False,
        reduces=row["reduceOnly"] is True,
        number=str(row["orderId"]),
        trigger=Decimal(str(row.get("triggerPrice") or 0)),
    )


def _bybit_name(row: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Return an order's name; of a position's own stop that of ours it is, by its entry or by its number, else none: it is a person's."""
    if row["orderLinkId"] or row["stopOrderType"] != "StopLoss":
        return str(row["orderLinkId"])
    parent = str(row.get("parentOrderLinkId") or "")
    return attached_id(parent) if OURS.fullmatch(parent) else known.get(str(row["orderId"]), "")


def _signed(size: Decimal, side: str) -> Decimal:
    if size and side not in {"Buy", "Sell"}:
        raise ValueError(f"a position on side {side!r}")
    return -size if side == "Sell" else size


def plain(number: Decimal) -> str:
    """Return a number as venues write it."""
    return f"{number.normalize():f}"

"""The guard's hands on Bybit's spot: ours is what the heartbeat said and what our orders traded since, never more than there is.

A stop there holds what it is to sell, and is told no direction: a level above the market waits for a rise. So the last price is asked for
before one is placed, and one that lies above it is no stop: it makes room for what it should have done.

Invariants: nothing is sold that our own fills did not buy; what cannot be read, to the end of its list, is not seen (`LookFailed`).
Sources: bybit-exchange/docs "Place Order" (`orderFilter`), "Cancel Order", "Get Trade History", "Get Wallet Balance", "Get Tickers"
(2026-07-24).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.adapters.guard_account import Reply
from smartmoney.adapters.guard_perpetuals import READ_FAULTS, BybitGuard, bybit_page, plain
from smartmoney.adapters.guard_venue import LookFailed
from smartmoney.adapters.heartbeat import Carried, Heartbeat, counted
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Side
from smartmoney.core.execution.guard_plan import OUR_PREFIX, SeenOrder, expected_position
from smartmoney.venues.outcomes import Outcome

_LOOK_BACK_MS = 60_000
_PAGE = 100
_PASSED = -1
"""Marks a stop that was not sent, because the market is past it."""
_STOPS = "tpslOrder"


class _Trade(msgspec.Struct, frozen=True, kw_only=True):
    """Be one trade of ours; `net` is signed, in base, without what was kept of it as a fee."""

    client_id: str
    quantity: Decimal
    net: Decimal
    time_ms: int


class BybitSpotGuard(BybitGuard):
    """See and act on the spot side of a unified account."""

    market = Market.SPOT
    _category = "spot"

    async def open_orders(self, beat: Heartbeat, carried: Carried) -> tuple[SeenOrder, ...]:
        """Return what works of an instrument; what waits for a rise is no stop."""
        del beat
        params = {"category": "spot", "symbol": carried.instrument.symbol, "openOnly": "0", "limit": "50"}
        rows = await self._rows("/v5/order/realtime", params, bybit_page)
        last = await self._last(carried.instrument) if any(row.get("stopOrderType") for row in rows) else None
        try:
            return tuple(_seen(row, last) for row in rows)
        except READ_FAULTS as failure:
            raise LookFailed(f"orders cannot be read ({type(failure).__name__} {failure})") from None

    async def position(self, beat: Heartbeat, carried: Carried) -> Decimal:
        """Return what is ours, in base: what the heartbeat said, and what our orders have traded since then; never more than there is."""
        instrument = carried.instrument
        since_ms = beat.wall_ns // 1_000_000 + self._account.offset_ms
        known = {order.client_order_id: order.filled for order in beat.orders if order.symbol == instrument.symbol}
        trades = await self._trades(instrument, {"startTime": str(since_ms - _LOOK_BACK_MS)})
        since = [trade for trade in trades if trade.client_id.startswith(OUR_PREFIX) and trade.client_id not in known]
        net = [trade.net for trade in since if counted(beat, known, trade.client_id, trade.time_ms, since_ms) is not None]
        for name, before in known.items():
            net += _after(await self._trades(instrument, {"orderLinkId": name}), before)
        executed = [(Side.BUY if one > 0 else Side.SELL, abs(one)) for one in net]
        return min(expected_position(carried.position, executed), await self._there(instrument.base))

    async def place(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Send a stop, or a sale at market; a stop that the market is past is not sent."""
        params: dict[str, Any] = {
            "category": "spot",
            "symbol": instrument.symbol,
            "side": intent.side.value.capitalize(),
            "orderType": "Market",
            "qty": plain(instrument.quantity(intent.lots)),
            "marketUnit": "baseCoin",
            "orderLinkId": intent.client_order_id,
        }
        if intent.type is OrderType.STOP_MARKET and intent.stop_ticks is not None:
            level = instrument.price(intent.stop_ticks)
            if await self._last(instrument) <= level:
                return Reply(outcome=Outcome.REFUSED, code=_PASSED, message="the market is past the stop already")
            params |= {"triggerPrice": plain(level), "orderFilter": _STOPS}
        return await self._post("/v5/order/create", params)

    async def cancel(self, instrument: Instrument, order: SeenOrder) -> Reply:
        """Cancel an order, among those of its kind."""
        params = {"category": "spot", "symbol": instrument.symbol, "orderId": order.number}
        return await self._post("/v5/order/cancel", {**params, "orderFilter": _STOPS if order.is_algo else "Order"})

    def is_crossed(self, reply: Reply) -> bool:
        """Tell whether a stop was not sent because the market is past it already."""
        return reply.code == _PASSED

    async def _trades(self, instrument: Instrument, more: Mapping[str, str]) -> list[_Trade]:
        """Return trades, oldest first."""
        params = {"category": "spot", "symbol": instrument.symbol, "execType": "Trade", "limit": str(_PAGE), **more}
        rows = await self._rows("/v5/execution/list", params, bybit_page)
        try:
            return sorted((_trade(row, instrument) for row in rows), key=lambda trade: trade.time_ms)
        except READ_FAULTS as failure:
            raise LookFailed(f"trades cannot be read ({type(failure).__name__} {failure})") from None

    async def _there(self, coin: str) -> Decimal:
        """Return how much of a coin is on the account, whoever it belongs to."""
        body = await self._get("/v5/account/wallet-balance", {"accountType": "UNIFIED"})
        try:
            (account,) = body["result"]["list"]
            return sum((Decimal(str(row["walletBalance"])) for row in account["coin"] if row["coin"] == coin), Decimal(0))
        except READ_FAULTS as failure:
            raise LookFailed(f"the balance cannot be read ({type(failure).__name__} {failure})") from None

    async def _last(self, instrument: Instrument) -> Decimal:
        """Return the price of the last trade, by which triggers go."""
        body = await self._get("/v5/market/tickers", {"category": "spot", "symbol": instrument.symbol})
        try:
            (row,) = body["result"]["list"]
            last = Decimal(str(row["lastPrice"]))
        except READ_FAULTS as failure:
            raise LookFailed(f"the last price cannot be read ({type(failure).__name__} {failure})") from None
        if not (last.is_finite() and last > 0):
            raise LookFailed(f"the last price is {last}")
        return last


def _seen(row: Mapping[str, Any], last: Decimal | None) -> SeenOrder:
    waits = row["orderStatus"] == "Untriggered"
    acts_below = last is not None and Decimal(str(row["triggerPrice"] or 0)) <= last
    return SeenOrder(
        client_id=str(row["orderLinkId"]),
        side=Side(str(row["side"]).lower()),
        quantity=Decimal(str(row["leavesQty"])),
        is_stop=waits and acts_below,
        is_algo=waits,
        # Spot knows no reduce-only, and no shorts: what sells there reduces.
        reduces=row["side"] == "Sell",
        number=str(row["orderId"]),
        trigger=Decimal(str(row.get("triggerPrice") or 0)),
    )


def _trade(row: Mapping[str, Any], instrument: Instrument) -> _Trade:
    quantity, fee = Decimal(str(row["execQty"])), Decimal(str(row["execFee"] or 0))
    sign = {"Buy": 1, "Sell": -1}[row["side"]]
    # Where it does not say in what, it is in what was bought.
    is_kept = str(row.get("feeCurrency") or (instrument.base if sign > 0 else "")) == instrument.base
    net = sign * quantity - (fee if is_kept else 0)
    return _Trade(client_id=str(row["orderLinkId"]), quantity=quantity, net=net, time_ms=int(row["execTime"]))


def _after(trades: list[_Trade], before: Decimal) -> list[Decimal]:
    """Return what an order's trades moved beyond its first `before` of base, in which the picture ended."""
    found, passed = list[Decimal](), Decimal(0)
    for trade in trades:
        passed += trade.quantity
        if passed > before:
            found.append(trade.net)
    return found

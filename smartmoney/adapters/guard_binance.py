"""The guard's hands at Binance: calls of `venues.binance.order_calls`.

On spot what is ours is what the heartbeat said and what our orders have done since; on USD-M it is the position of the symbol.
"""

from decimal import Decimal
from typing import Any

from smartmoney.adapters.guard_account import GuardAccount, Reply
from smartmoney.adapters.guard_venue import LookFailed, Timer
from smartmoney.adapters.heartbeat import Carried, Heartbeat, counted
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, Side
from smartmoney.core.execution.guard_plan import OUR_PREFIX, SeenOrder, expected_position
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.order_news import read_algo, read_balances, read_order, read_positions, read_trades
from smartmoney.venues.order_news import NewsError, OrderNews
from smartmoney.venues.outcomes import Outcome

_STOPS = frozenset({"STOP", "STOP_MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TRAILING_STOP_MARKET"})
_LOOK_BACK_MS = 60_000
_WOULD_TRIGGER = frozenset({-2021, -2010})


class BinanceGuard:
    """See and act on a Binance account."""

    acks_only = False

    def __init__(self, account: GuardAccount, market: Market) -> None:
        self._account = account
        self.market = market
        self.timer: Timer = "symbol" if market is Market.USDM else ""

    async def open_orders(self, beat: Heartbeat, carried: Carried) -> tuple[SeenOrder, ...]:
        """Return what works of an instrument."""
        del beat
        found: list[SeenOrder] = []
        for call in calls.open_orders(carried.instrument):
            is_algo = call.path == "openAlgoOrders"
            rows = await self._body(call)
            if not isinstance(rows, list):
                raise LookFailed(f"{call.path} is no list")
            found += [_seen(_algo(row) if is_algo else _order(row), carried.instrument) for row in rows]
        return tuple(found)

    async def position(self, beat: Heartbeat, carried: Carried) -> Decimal:
        """Return what is ours of an instrument, signed, in base."""
        if self.market is Market.SPOT:
            return await self._spot_position(beat, carried)
        held = read_positions(await self._body(calls.holdings(Market.USDM)))
        return sum((one.quantity for one in held if one.name == carried.instrument.symbol), Decimal(0))

    async def place(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Send a stop, or a close at market."""
        return await self._account.ask(calls.place(instrument, intent))

    async def cancel(self, instrument: Instrument, order: SeenOrder) -> Reply:
        """Cancel an order."""
        return await self._account.ask(calls.cancel(instrument, order.client_id, as_algo=order.is_algo))

    async def find(self, instrument: Instrument, intent: OrderIntent) -> Reply:
        """Ask what became of an order."""
        return await self._account.ask(calls.query(instrument, intent.client_order_id, as_algo=calls.is_algo(instrument, intent)))

    async def count_down(self, symbol: str, wait_ms: int) -> bool:
        """Set USD-M's dead-man timer of a symbol. It cancels conditional orders too, as far as anybody knows."""
        params = {"symbol": symbol, "countdownTime": str(wait_ms)}
        call = calls.Call(section="fapiPrivate", method="POST", path="countdownCancelAll", params=params, is_urgent=True)
        return (await self._account.ask(call)).outcome is Outcome.DONE

    def is_crossed(self, reply: Reply) -> bool:
        """Tell whether a stop was refused because the market is past it already."""
        return reply.code in _WOULD_TRIGGER and "trigger" in reply.message

    async def _spot_position(self, beat: Heartbeat, carried: Carried) -> Decimal:
        """Return what is ours: what the heartbeat said, and what our orders have done since then; never more than there is."""
        instrument = carried.instrument
        since_ms = beat.wall_ns // 1_000_000 + self._account.offset_ms
        known = {order.client_order_id: order.filled for order in beat.orders if order.symbol == instrument.symbol}
        news = await self._recent(instrument, since_ms)
        for name in known.keys() - news.keys():
            reply = await self._account.ask(calls.query(instrument, name, as_algo=False))
            if reply.outcome is Outcome.DONE:
                news[name] = (_order(reply.body), 0)
            elif reply.outcome is not Outcome.NOT_FOUND:
                raise LookFailed(f"order {name}: {reply.why()}")
        executed = [
            (order.side, await self._net(instrument, order, order.filled - before))
            for order, made_ms in news.values()
            if (before := counted(beat, known, order.client_id, made_ms, since_ms)) is not None and order.filled > before
        ]
        balances = read_balances(await self._body(calls.holdings(Market.SPOT)))
        there = next((one.quantity for one in balances if one.name == instrument.base), Decimal(0))
        return min(expected_position(carried.position, executed), there)

    async def _recent(self, instrument: Instrument, since_ms: int) -> dict[str, tuple[OrderNews, int]]:
        """Return our orders made around and after a time of the venue, with the time of each, in ms."""
        params = {"symbol": instrument.symbol, "startTime": str(since_ms - _LOOK_BACK_MS), "limit": "1000"}
        rows = await self._body(calls.Call(section="private", method="GET", path="allOrders", params=params, weight=20))
        if not isinstance(rows, list):
            raise LookFailed("allOrders is no list")
        found = ((_order(row), int(row["time"])) for row in rows)
        return {order.client_id: (order, made_ms) for order, made_ms in found if order.client_id.startswith(OUR_PREFIX)}

    async def _net(self, instrument: Instrument, order: OrderNews, quantity: Decimal) -> Decimal:
        """Return a quantity without what the venue kept of it as its fee."""
        if order.side is Side.SELL:
            return quantity
        trades = read_trades(await self._body(calls.trades(instrument, order_id=order.order_id)))
        fees = sum((one.fee for one in trades if one.fee_asset == instrument.base), Decimal(0))
        return quantity - min(fees, quantity)

    async def _body(self, call: calls.Call) -> Any:
        reply = await self._account.ask(call)
        if reply.outcome is not Outcome.DONE:
            raise LookFailed(f"{call.method} {call.path}: {reply.why()}")
        return reply.body


def _order(row: Any) -> OrderNews:
    try:
        return read_order(row)
    except (NewsError, AttributeError) as error:
        raise LookFailed(str(error)) from error


def _algo(row: Any) -> OrderNews:
    try:
        return read_algo(row)
    except (NewsError, AttributeError) as error:
        raise LookFailed(str(error)) from error


def _seen(news: OrderNews, instrument: Instrument) -> SeenOrder:
    # Spot knows no reduce-only, and no shorts: what sells there reduces.
    is_spot = instrument.market is Market.SPOT
    return SeenOrder(
        client_id=news.client_id,
        side=news.side,
        quantity=news.quantity - news.filled,
        is_stop=news.kind in _STOPS,
        is_algo=news.is_algo,
        reduces=news.side is Side.SELL if is_spot else news.is_reduce_only,
        trigger=news.stop_price,
    )

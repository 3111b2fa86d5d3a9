"""What the guard sees and does at the venue: looks, asks the plan, acts, looks again, until the plan has nothing to say.

Invariants: an order of the guard is in its journal before it leaves; while the outcome of one is unknown, no other of that symbol leaves;
`settle` says that all is well only after a look that showed it.
"""

import time
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.adapters.guard_account import GuardAccount, Reply
from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.heartbeat import Carried, Heartbeat
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.execution.guard_plan import (
    GUARD_PREFIX,
    OUR_PREFIX,
    Action,
    Cancel,
    Close,
    PlaceStop,
    SeenOrder,
    expected_position,
    guard_plan,
    hand_over_plan,
    stop_price,
)
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.order_news import read_algo, read_balances, read_order, read_positions, read_trades
from smartmoney.venues.order_news import NewsError, OrderNews
from smartmoney.venues.outcomes import Outcome

PROOF_S = 5.0
"""An order of unknown outcome that the venue does not know after so long never came: its receive window is over."""
_STOPS = frozenset({"STOP", "STOP_MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TRAILING_STOP_MARKET"})
_LOOK_BACK_MS = 60_000
_WOULD_TRIGGER = frozenset({-2021, -2010})


class LookFailed(Exception):
    """Say that the venue could not be seen."""


class _Doubt(msgspec.Struct, frozen=True):
    client_id: str
    is_algo: bool
    since: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a look showed of one instrument: the signed position in base, and the open orders."""

    position: Decimal
    orders: tuple[SeenOrder, ...]


class Hands:
    """Look at, and act on, the instruments that the last heartbeat showed."""

    def __init__(self, account: GuardAccount, journal: GuardJournal, stop_fraction: Decimal) -> None:
        self._account = account
        self._journal = journal
        self._stop_fraction = stop_fraction
        self._doubts: dict[str, _Doubt] = {}
        self._crossed: set[str] = set()
        self._count = 0
        self.cancelled = 0
        self.placed = 0
        self.closed = 0

    async def settle(self, beat: Heartbeat, *, flatten: bool) -> bool:
        """Do one round; tell whether a look showed that nothing is left to do.

        Raises:
            LookFailed: the venue cannot be seen, or the outcome of an order of ours is not known yet.
        """
        is_settled = True
        for carried in beat.carried:
            seen = await self.look(beat, carried)
            symbol = carried.instrument.symbol
            if self._account.market is Market.SPOT and _is_dust(carried, seen.position):
                seen = msgspec.structs.replace(seen, position=Decimal(0))
            must_close = flatten or symbol in self._crossed
            for action in guard_plan(carried.instrument, seen.position, seen.orders, flatten=must_close):
                is_settled = False
                await self._act(carried, seen.position, action)
        return is_settled

    async def hand_over(self, beat: Heartbeat, *, is_late: bool) -> bool:
        """Leave the guard's own orders to the daemon that is back: it adopts them; tell whether it has them all.

        What it has not adopted when it `is_late` is withdrawn.
        """
        is_done = True
        adopted = {order.client_order_id for order in beat.orders}
        for carried in beat.carried:
            orders = [order for order in await self._open_orders(carried.instrument) if order.client_id not in adopted]
            if not is_late:
                is_done = is_done and not any(order.client_id.startswith(GUARD_PREFIX) for order in orders)
                continue
            for action in hand_over_plan(carried.instrument, carried.position, orders):
                await self._act(carried, carried.position, action)
            is_done = is_done and not any(order.client_id.startswith(GUARD_PREFIX) for order in orders)
        self._crossed.clear()
        return is_done

    async def count_down(self, symbol: str, wait_ms: int) -> bool:
        """Set USD-M's dead-man timer of a symbol; 0 stops it. It cancels conditional orders too, as far as anybody knows."""
        params = {"symbol": symbol, "countdownTime": str(wait_ms)}
        call = calls.Call(section="fapiPrivate", method="POST", path="countdownCancelAll", params=params, is_urgent=True)
        return (await self._account.ask(call)).outcome is Outcome.DONE

    async def look(self, beat: Heartbeat, carried: Carried) -> Seen:
        """Return what the venue shows of an instrument."""
        await self._clear_doubt(carried.instrument)
        orders = await self._open_orders(carried.instrument)
        if self._account.market is Market.SPOT:
            return Seen(position=await self._spot_position(beat, carried), orders=orders)
        held = read_positions(await self._body(calls.holdings(Market.USDM)))
        mine = (one.quantity for one in held if one.name == carried.instrument.symbol)
        return Seen(position=sum(mine, Decimal(0)), orders=orders)

    async def _open_orders(self, instrument: Instrument) -> tuple[SeenOrder, ...]:
        found: list[SeenOrder] = []
        for call in calls.open_orders(instrument):
            is_algo = call.path == "openAlgoOrders"
            rows = await self._body(call)
            if not isinstance(rows, list):
                raise LookFailed(f"{call.path} is no list")
            found += [_seen(_algo(row) if is_algo else _order(row), instrument) for row in rows]
        return tuple(found)

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
            if (before := _counted(beat, known, order, made_ms, since_ms)) is not None and order.filled > before
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

    async def _act(self, carried: Carried, position: Decimal, action: Action) -> None:
        instrument = carried.instrument
        if isinstance(action, Cancel):
            order = action.order
            self._journal.write("cancel", symbol=instrument.symbol, client_id=order.client_id, why=action.why)
            reply = await self._account.ask(calls.cancel(instrument, order.client_id, as_algo=order.is_algo))
            self.cancelled += reply.outcome is Outcome.DONE
            return
        intent = self._intent(carried, position, action)
        if intent is None:
            raise LookFailed(f"no price is known for a stop of {instrument.name}")
        wanted = msgspec.to_builtins(intent, enc_hook=str)
        self._journal.write("order", symbol=instrument.symbol, **{key: wanted[key] for key in ("client_order_id", "side", "type", "lots")})
        reply = await self._account.ask(calls.place(instrument, intent))
        self._judge(instrument, intent, reply)

    def _judge(self, instrument: Instrument, intent: OrderIntent, reply: Reply) -> None:
        if reply.outcome in {Outcome.DONE, Outcome.DUPLICATE}:
            self.placed += intent.type is OrderType.STOP_MARKET
            self.closed += intent.type is OrderType.MARKET
            return
        self._journal.write("not proven", client_id=intent.client_order_id, outcome=reply.outcome.value, reply=reply.why())
        if reply.outcome is Outcome.UNKNOWN:
            doubt = _Doubt(intent.client_order_id, calls.is_algo(instrument, intent), time.monotonic())
            self._doubts[instrument.symbol] = doubt
        elif intent.type is OrderType.STOP_MARKET and reply.code in _WOULD_TRIGGER and "trigger" in reply.message:
            # The market is past the stop already: what it would have done is done now.
            self._crossed.add(instrument.symbol)

    def _intent(self, carried: Carried, position: Decimal, action: PlaceStop | Close) -> OrderIntent | None:
        instrument = carried.instrument
        self._count += 1
        # The form of the daemon's own ids, so that it takes the order over when it is back.
        name = f"{GUARD_PREFIX}{time.time_ns() // 1_000_000:x}-{self._count}-0"
        if isinstance(action, Close):
            return OrderIntent(
                client_order_id=name,
                instrument=0,
                side=action.side,
                type=OrderType.MARKET,
                lots=action.lots,
                purpose=Purpose.FLATTEN,
                time_in_force=TimeInForce.IOC,
                reduce_only=True,
            )
        known = carried.stop if position * carried.position > 0 else None
        touch = carried.bid if position > 0 else carried.ask
        price = stop_price(instrument, position, known, touch, self._stop_fraction)
        if price is None:
            return None
        return OrderIntent(
            client_order_id=name,
            instrument=0,
            side=action.side,
            type=OrderType.STOP_MARKET,
            lots=action.lots,
            purpose=Purpose.STOP,
            stop_ticks=instrument.ticks(price),
            reduce_only=True,
        )

    async def _clear_doubt(self, instrument: Instrument) -> None:
        doubt = self._doubts.get(instrument.symbol)
        if doubt is None:
            return
        reply = await self._account.ask(calls.query(instrument, doubt.client_id, as_algo=doubt.is_algo))
        is_gone = reply.outcome is Outcome.NOT_FOUND and time.monotonic() - doubt.since > PROOF_S
        if reply.outcome is Outcome.DONE or is_gone:
            del self._doubts[instrument.symbol]
            return
        raise LookFailed(f"the outcome of {doubt.client_id} is not known yet ({reply.why()})")

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
    )


def _counted(beat: Heartbeat, known: dict[str, Decimal], order: OrderNews, made_ms: int, since_ms: int) -> Decimal | None:
    """Return how much of an order's fills the heartbeat's position holds; None when it holds all of them.

    A client id carries the run and the entry that made the order: what was made after the picture is not in it, what was made before and
    does not work any more is.
    """
    if order.client_id in known:
        return known[order.client_id]
    run, _, rest = order.client_id.removeprefix(OUR_PREFIX).partition("-")
    seq = rest.partition("-")[0]
    if run == beat.run_id and seq.isdecimal():
        return Decimal(0) if int(seq) > beat.seq else None
    return Decimal(0) if made_ms >= since_ms else None


def _is_dust(carried: Carried, position: Decimal) -> bool:
    """Tell whether the venue would refuse to sell so little."""
    touch = carried.bid or carried.stop
    return touch is not None and abs(position) * touch < carried.instrument.min_notional

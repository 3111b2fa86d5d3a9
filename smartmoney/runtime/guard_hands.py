"""What the guard sees and does at the venue: looks, asks the plan, acts, looks again, until the plan has nothing to say.

Invariants: an order of the guard is in its journal before it leaves; while the outcome of one is unknown, no other of that symbol leaves;
`settle` says that all is well only after a look that showed it.
"""

import time
from decimal import Decimal

import msgspec

from smartmoney.adapters.guard_account import Reply
from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.guard_venue import GuardVenue, LookFailed
from smartmoney.adapters.heartbeat import Carried, Heartbeat
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, TimeInForce
from smartmoney.core.execution.guard_plan import (
    GUARD_PREFIX,
    Action,
    Cancel,
    Close,
    PlaceStop,
    SeenOrder,
    guard_plan,
    hand_over_plan,
    stop_price,
)
from smartmoney.venues.outcomes import Outcome

PROOF_S = 5.0
"""An order of unknown outcome that the venue does not know after so long never came: its receive window is over."""


class _Doubt(msgspec.Struct, frozen=True):
    intent: OrderIntent
    since: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a look showed of one instrument: the signed position in base, and the open orders."""

    position: Decimal
    orders: tuple[SeenOrder, ...]


class Hands:
    """Look at, and act on, the instruments that the last heartbeat showed."""

    def __init__(self, venue: GuardVenue, journal: GuardJournal, stop_fraction: Decimal) -> None:
        self._venue = venue
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
            if self._venue.market is Market.SPOT and _is_dust(carried, seen.position):
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
            orders = [order for order in await self._venue.open_orders(beat, carried) if order.client_id not in adopted]
            if not is_late:
                is_done = is_done and not any(order.client_id.startswith(GUARD_PREFIX) for order in orders)
                continue
            for action in hand_over_plan(carried.instrument, carried.position, orders):
                await self._act(carried, carried.position, action)
            is_done = is_done and not any(order.client_id.startswith(GUARD_PREFIX) for order in orders)
        self._crossed.clear()
        return is_done

    async def count_down(self, symbol: str, wait_ms: int) -> bool:
        """Set the venue's dead-man timer, of a symbol where it is a symbol's; 0 stops it."""
        return await self._venue.count_down(symbol, wait_ms)

    async def look(self, beat: Heartbeat, carried: Carried) -> Seen:
        """Return what the venue shows of an instrument."""
        await self._clear_doubt(carried.instrument)
        orders = await self._venue.open_orders(beat, carried)
        return Seen(position=await self._venue.position(beat, carried), orders=orders)

    async def _act(self, carried: Carried, position: Decimal, action: Action) -> None:
        instrument = carried.instrument
        if isinstance(action, Cancel):
            order = action.order
            self._journal.write("cancel", symbol=instrument.symbol, client_id=order.client_id, why=action.why)
            reply = await self._venue.cancel(instrument, order)
            self.cancelled += reply.outcome is Outcome.DONE
            return
        intent = self._intent(carried, position, action)
        if intent is None:
            raise LookFailed(f"no price is known for a stop of {instrument.name}")
        wanted = msgspec.to_builtins(intent, enc_hook=str)
        self._journal.write("order", symbol=instrument.symbol, **{key: wanted[key] for key in ("client_order_id", "side", "type", "lots")})
        reply = await self._venue.place(instrument, intent)
        self._judge(instrument, intent, reply)

    def _judge(self, instrument: Instrument, intent: OrderIntent, reply: Reply) -> None:
        if reply.outcome in {Outcome.DONE, Outcome.DUPLICATE}:
            self.placed += intent.type is OrderType.STOP_MARKET
            self.closed += intent.type is OrderType.MARKET
            if self._venue.acks_only:
                self._doubts[instrument.symbol] = _Doubt(intent, time.monotonic())
            return
        self._journal.write("not proven", client_id=intent.client_order_id, outcome=reply.outcome.value, reply=reply.why())
        if reply.outcome is Outcome.UNKNOWN:
            self._doubts[instrument.symbol] = _Doubt(intent, time.monotonic())
        elif intent.type is OrderType.STOP_MARKET and self._venue.is_crossed(reply):
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
        reply = await self._venue.find(instrument, doubt.intent)
        is_gone = reply.outcome is Outcome.NOT_FOUND and time.monotonic() - doubt.since > PROOF_S
        if reply.outcome is Outcome.DONE or is_gone:
            del self._doubts[instrument.symbol]
            return
        raise LookFailed(f"the outcome of {doubt.intent.client_order_id} is not known yet ({reply.why()})")


def _is_dust(carried: Carried, position: Decimal) -> bool:
    """Tell whether the venue would refuse to sell so little."""
    touch = carried.bid or carried.stop
    return touch is not None and abs(position) * touch < carried.instrument.min_notional

"""Do to the events of private streams what a plan of faults says: lose, repeat, delay and disorder what an account is told.

Only what is told changes: orders, balances and positions, and so whatever REST answers, stay true. Pure.
"""

import heapq
from collections.abc import Callable, Sequence

import msgspec

from smartmoney.simulation.exchange.events import AccountEvent, AlgoEvent, BalancesEvent, Event, ListEvent, OrderEvent
from smartmoney.simulation.fault_kinds import Point
from smartmoney.simulation.faults import Acting, Fault, FaultPlan, Where


class Told(msgspec.Struct, frozen=True):
    """Be an event on its way: how many copies are told, not before a time, or at that time unless the order's next event came first."""

    event: Event
    copies: int = 1
    due_ns: int = 0
    overtaken_until_ns: int = 0


class PrivateLine:
    """Carry the events of one private connection; `connection` is its number among its market's, from 1."""

    def __init__(self, plan: FaultPlan, market: str, connection: int) -> None:
        self._plan = plan
        self._where = Where(market=market, connection=connection)
        self._held: list[tuple[int, int, Event]] = []
        self._behind: list[tuple[int, OrderEvent]] = []
        self._silenced: set[tuple[int, int]] = set()
        self._numbered = 0

    def carry(self, events: Sequence[Event], now_ns: int) -> list[Event]:
        """Return what the connection is told now of what happened; call it in each step, with or without events."""
        told: list[Event] = []
        if not self._plan.stands(Point.EVENT) and not self._held and not self._behind:
            return list(events)
        while self._held and self._held[0][0] <= now_ns:
            told.append(heapq.heappop(self._held)[2])
        told += self._released(lambda until_ns, _order: until_ns <= now_ns)
        lost = {key for event in events if (key := self._lost_with(event, now_ns)) is not None}
        for event in events:
            if isinstance(event, (BalancesEvent, AccountEvent)) and (event.owner, event.time_ns) in lost:
                continue
            self._tell(event, now_ns, told)
        return told

    def _lost_with(self, event: Event, now_ns: int) -> tuple[int, int] | None:
        """Return owner and time of a fill that is lost along with what it changed, else None; decides for the fill."""
        if not is_fill(event):
            return None
        for acting in self._acting(event, now_ns, only=lambda fault: fault.kind == "lost_fill"):
            self._silenced.add((event.owner, id(event)))
            if acting.fault.value("account"):
                return event.owner, event.time_ns
        return None

    def _tell(self, event: Event, now_ns: int, told: list[Event]) -> None:
        if (event.owner, id(event)) in self._silenced:
            self._silenced.discard((event.owner, id(event)))
            return
        what = Told(event)
        for acting in self._acting(event, now_ns, only=lambda fault: fault.kind != "lost_fill" and _CONCERNS[fault.kind](event)):
            what = EVENT_ACTS[acting.fault.kind](acting, what, now_ns)
        if what.due_ns:
            for _ in range(what.copies):
                self._numbered += 1
                heapq.heappush(self._held, (what.due_ns, self._numbered, event))
        elif what.overtaken_until_ns and isinstance(event, OrderEvent):
            self._behind.append((what.overtaken_until_ns, event))
        else:
            told += [event] * what.copies
            if isinstance(event, OrderEvent):
                told += self._released(lambda _until_ns, order: order == event.order.id)

    def _released(self, is_due: Callable[[int, int], bool]) -> list[OrderEvent]:
        found = [event for until_ns, event in self._behind if is_due(until_ns, event.order.id)]
        self._behind = [(until_ns, event) for until_ns, event in self._behind if not is_due(until_ns, event.order.id)]
        return found

    def _acting(self, event: Event, now_ns: int, only: Callable[[Fault], bool]) -> list[Acting]:
        where = msgspec.structs.replace(self._where, symbol=_symbol_of(event))
        return self._plan.acting(Point.EVENT, now_ns, where, only)


def is_fill(event: Event) -> bool:
    """Tell whether an event is an order's trade."""
    return isinstance(event, OrderEvent) and event.execution in {"TRADE", "CALCULATED"}


def _symbol_of(event: Event) -> str:
    if isinstance(event, OrderEvent):
        return event.order.asked.symbol
    if isinstance(event, AlgoEvent):
        return event.algo.asked.symbol
    return event.what.symbol if isinstance(event, ListEvent) else ""


def _is_acknowledgement(event: Event) -> bool:
    return isinstance(event, OrderEvent) and event.execution == "NEW"


def _anything(_event: Event) -> bool:
    return True


_CONCERNS: dict[str, Callable[[Event], bool]] = {
    "duplicate_fill": is_fill,
    "late_fill": is_fill,
    "fill_before_ack": _is_acknowledgement,
    "private_silence": _anything,
}
"""Which events a kind is about; a lost fill is decided before, for the fill and what it changed together."""

EVENT_ACTS: dict[str, Callable[[Acting, Told, int], Told]] = {
    "duplicate_fill": lambda acting, told, _now: msgspec.structs.replace(
        told, copies=told.copies * (1 + int(acting.fault.number("times")))
    ),
    "late_fill": lambda acting, told, now: msgspec.structs.replace(told, due_ns=now + acting.fault.nanoseconds("delay_s")),
    "fill_before_ack": lambda acting, told, now: msgspec.structs.replace(told, overtaken_until_ns=now + acting.fault.nanoseconds("wait_s")),
    "private_silence": lambda _acting, told, _now: msgspec.structs.replace(told, copies=0),
}
"""What each kind of fault does to an event."""

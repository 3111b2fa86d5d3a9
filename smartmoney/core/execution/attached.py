"""Stops that travel with their entry: the venue makes them out of its fills, so that no fill is ever without one.

What the venue makes is an order like any other here, from the moment at which it must exist: it is journaled, followed, and takes part in
protection; whoever carries orders does not send it but looks for it, and refuses it when the venue has none, upon which an ordinary stop is
placed. Its name follows from the entry's, so that it is recognised even where nothing was written down before a crash.

Invariants: a name is expected once; one that the venue sizes by the position has the position's size here, too.
"""

import msgspec

from smartmoney.core.domain.commands import Command
from smartmoney.core.domain.orders import OrderIntent, OrderType, Purpose, Side, attached_id
from smartmoney.core.execution.desk import Desk
from smartmoney.core.execution.orders import OrderRecord
from smartmoney.core.execution.parameters import AttachedStops
from smartmoney.core.execution.view import ExecutionView


def next_id(desk: Desk, seq: int) -> str:
    """Return the next id for an entry, and keep the one after it for the stop that it may carry."""
    name = desk.ids.next(seq)
    if desk.parameters.attached is not AttachedStops.NONE:
        desk.ids.next(seq)
    return name


def carried_ticks(desk: Desk, index: int, side: Side, stop_ticks: int) -> int | None:
    """Return the level of the stop that an entry is to carry.

    None where the venue attaches none, or where what is held has one that grows by itself. Where one is made for each entry, a second one
    covers the new part until one for all of it stands.
    """
    mode = desk.parameters.attached
    if mode is AttachedStops.NONE:
        return None
    if desk.portfolio.position_lots(index) == 0:
        return stop_ticks
    if mode is AttachedStops.POSITION and any(record.intent.is_attached for record in _stops(desk, index)):
        return None
    in_force = desk.plans[index].stop_ticks
    tighter = max if side is Side.BUY else min
    return stop_ticks if in_force is None else tighter(in_force, stop_ticks)


def expect(desk: Desk, entry: OrderRecord, view: ExecutionView) -> list[Command]:
    """Take in the stop that the venue must have made of an entry by now; nothing while there is none to be expected."""
    intent, index = entry.intent, entry.intent.instrument
    if intent.purpose is not Purpose.ENTRY or intent.stop_ticks is None or entry.filled_lots == 0:
        return []
    by_position = desk.parameters.attached is AttachedStops.POSITION
    held = desk.portfolio.position_lots(index) * intent.side.sign
    name = attached_id(intent.client_order_id)
    if desk.ledger.get(name) is not None or (held <= 0 if by_position else entry.is_working):
        return []
    # What protects already, or is on its way out, is of one group with it: none of them adds to what it closes.
    group = next((record.intent.oco_group for record in desk.ledger.working(index) if record.intent.oco_group is not None), None)
    deadline_ns = desk.plans[index].deadline_mono_ns
    stop = OrderIntent(
        client_order_id=name,
        instrument=index,
        side=intent.side.opposite,
        type=OrderType.STOP_MARKET,
        lots=held if by_position else entry.filled_lots,
        purpose=Purpose.STOP,
        stop_ticks=intent.stop_ticks,
        reduce_only=True,
        oco_group=group or name,
        signal_id=intent.signal_id,
        ends_in_ns=None if deadline_ns is None else max(0, deadline_ns - view.now_mono_ns),
        attached_to=intent.client_order_id,
    )
    record, commands = desk.submit(stop, view)
    if record is None:
        # It stands all the same: the account's own list will say so, and what it is too much goes then.
        desk.wants_account = desk.wants_account or f"the stop that {intent.client_order_id} carried does not fit what is held"
        return []
    return commands


def resize(desk: Desk, index: int, held: int) -> None:
    """Give a stop that the venue sizes by the position the size that it has there."""
    if desk.parameters.attached is not AttachedStops.POSITION:
        return
    for record in _stops(desk, index):
        if record.intent.is_attached and record.intent.side.sign * held < 0 and record.leaves != abs(held):
            record.intent = msgspec.structs.replace(record.intent, lots=record.filled_lots + record.shrunk_lots + abs(held))


def _stops(desk: Desk, index: int) -> list[OrderRecord]:
    return [record for record in desk.ledger.working(index) if record.intent.purpose is Purpose.STOP]

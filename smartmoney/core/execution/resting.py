"""Until when an entry that waits needs no look: its own times, and the touch that it follows.

Invariants: what is answered here is never later than the first tick at which `core.execution.entering` would do anything at all, in a book
that stays usable, while nobody reports anything.
"""

from smartmoney.core.book.state import ASK, BID
from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.orders import OrderStatus, Side, TimeInForce
from smartmoney.core.execution import entering
from smartmoney.core.execution.desk import Desk
from smartmoney.core.execution.orders import OrderRecord
from smartmoney.core.execution.plan import EntryPlan, Pursuit
from smartmoney.core.execution.view import Chase
from smartmoney.core.strategy.rules import signal_life_s

_S = 1_000_000_000
_ROUNDING_NS = 1_000_000
"""Ages are compared as floats in s: so much earlier nobody can have come to another answer."""
_AT_THE_VENUE = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})


def order_due_ns(desk: Desk, record: OrderRecord) -> int:
    """Return the monotonic time before which a tick does nothing about an entry's order, 0 if it does, or might."""
    parameters, status = desk.parameters, record.status
    if status is OrderStatus.PENDING_CANCEL:
        return 0 if record.cancel_mono_ns is None else record.cancel_mono_ns + int(parameters.cancel_timeout_s * _S)
    if status is OrderStatus.SUBMITTED:
        due_ns = record.submitted_mono_ns + int(parameters.ack_timeout_s * _S)
    elif status in _AT_THE_VENUE:
        due_ns = NEVER
    else:
        return 0
    pursuit = desk.pursuits.get(record.intent.instrument)
    if pursuit is not None and (pursuit.blind_mono_ns is not None or (pursuit.withdrawn is not None and status in _AT_THE_VENUE)):
        return 0
    plan = desk.entry_plans.get(record.intent.client_order_id)
    since_ns = record.submitted_mono_ns if plan is None else plan.created_mono_ns
    if record.intent.time_in_force is TimeInForce.GTC:
        due_ns = min(due_ns, since_ns + int(parameters.entry_timeout_s * _S) - _ROUNDING_NS)
    return due_ns if plan is None else min(due_ns, _void_ns(desk, plan))


def pursuit_due_ns(desk: Desk, index: int, pursuit: Pursuit, now_mono_ns: int, *, is_halted: bool) -> int:
    """Return the same for what follows on an entry: nothing does while its order works, or before the pause after it is over."""
    if entering.is_working(desk, pursuit):
        return NEVER
    ended_ns = pursuit.ended_mono_ns
    if ended_ns is None or entering.next_style(desk, index, pursuit, now_mono_ns, is_halted=is_halted) is None:
        return 0
    due_ns = min(ended_ns + entering.pause_ns(desk, pursuit), _void_ns(desk, pursuit.plan))
    if entering.is_timed_out(desk, pursuit, now_mono_ns):
        return due_ns
    return min(due_ns, pursuit.plan.created_mono_ns + int(desk.parameters.entry_timeout_s * _S) - _ROUNDING_NS)


def chase(desk: Desk, index: int) -> Chase:
    """Return from when on a touch that has left an entry behind takes it back; never, where its order may stay behind."""
    pursuit = desk.pursuits[index]
    record = desk.ledger.get(pursuit.order_ids[-1])
    side = BID if pursuit.side is Side.BUY else ASK
    ticks = None if record is None else record.intent.price_ticks
    if record is None or ticks is None or record.status not in _AT_THE_VENUE or (pursuit.limit_ticks - ticks) * pursuit.side.sign <= 0:
        return Chase(index, side, ticks or 0, NEVER)
    spent = entering.orders_for_new_ones(desk)
    free_ns = desk.rate.below_from_ns(spent) if spent > 0 else NEVER
    return Chase(index, side, ticks, max(record.submitted_mono_ns + int(desk.parameters.reprice_s * _S), free_ns))


def _void_ns(desk: Desk, plan: EntryPlan) -> int:
    return plan.created_mono_ns + int(signal_life_s(plan.confidence, desk.parameters.signal_decay_time_s) * _S) - _ROUNDING_NS

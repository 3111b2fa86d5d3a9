"""Compare what the venue says with what we believe, and return what brings the two together.

Invariants: doing it twice changes nothing more than once; an order is only given up as missing when it was acknowledged before the
question or is too old to turn up still; a position that differs twice in a row by the same amount halts, because a fill was lost or a
stranger traded.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from smartmoney.core.domain.commands import Command, Notify, RecordOrderClosed
from smartmoney.core.domain.entries import AccountReported
from smartmoney.core.domain.orders import OrderReport, OrderStatus, Purpose
from smartmoney.core.execution.desk import Desk
from smartmoney.core.execution.lifecycle import ReportKind
from smartmoney.core.execution.orders import OrderRecord
from smartmoney.core.execution.view import ExecutionView

_S = 1_000_000_000
_UNASKED_AGE_NS = 5 * _S
"""A report that was not asked for proves nothing about orders younger than this."""
_STRANGERS_TOLD = 5


def reconcile(desk: Desk, reported: AccountReported, view: ExecutionView) -> list[Command]:
    """Fold a report of working orders and positions; the caller converges every instrument afterwards."""
    asked_ns = desk.account_cutoff_ns
    cutoff_ns = view.now_mono_ns - _UNASKED_AGE_NS if asked_ns is None else asked_ns
    desk.account_cutoff_ns = None
    desk.wants_account = None
    commands: list[Command] = []
    listed: set[str] = set()
    for report in reported.orders:
        listed.add(report.intent.client_order_id)
        commands += _found(desk, report, view)
    for record in tuple(desk.ledger.working()):
        is_acknowledged = record.venue_order_id != "" or record.filled_lots > 0
        window_ns = 0 if is_acknowledged else desk.parameters.proof_window_s * _S
        if record.intent.client_order_id not in listed and record.submitted_mono_ns + window_ns < cutoff_ns:
            commands += _missed(desk, record)
    for index, ours, theirs in _differences(desk, reported):
        commands += _mismatch(desk, index, ours, theirs)
    return commands + _tell_strangers(reported)


def _tell_strangers(reported: AccountReported) -> list[Command]:
    if reported.strangers is msgspec.UNSET or not reported.strangers:
        return []
    others = len(reported.strangers) - _STRANGERS_TOLD
    more = f", and {others} more" if others > 0 else ""
    text = f"left alone, and no protection of ours: {'; '.join(reported.strangers[:_STRANGERS_TOLD])}{more}"
    return [Notify(severity="warning", subject="somebody else's order", text=text)]


def adopt(desk: Desk, report: OrderReport, view: ExecutionView) -> list[Command]:
    """Take over an order of an earlier run: protection is kept, anything else is cancelled."""
    intent = report.intent
    record = desk.ledger.adopt(report, view.now_mono_ns)
    if not intent.reduce_only:
        return desk.cancel(record, "an entry of an earlier run", view)
    plan = desk.plans[intent.instrument]
    # The newest acknowledged order has the levels in force; one that was perhaps never sent speaks only where no other does.
    is_in_force = report.venue_order_id != ""
    if intent.stop_ticks is not None and (is_in_force or plan.stop_ticks is None):
        plan.stop_ticks = intent.stop_ticks
        plan.signal_id = plan.signal_id or intent.signal_id
        if plan.deadline_mono_ns is None or is_in_force:
            plan.deadline_mono_ns = view.now_mono_ns + _left_ns(desk, report)
        if intent.target_ticks is not msgspec.UNSET:
            plan.target_ticks = intent.target_ticks
    elif intent.stop_ticks is None and intent.price_ticks is not None and (is_in_force or plan.target_ticks is None):
        plan.target_ticks = intent.price_ticks
    return []


def _left_ns(desk: Desk, report: OrderReport) -> int:
    """Return how long the position of an adopted stop may still last: what its horizon has left, else the default."""
    if report.intent.ends_in_ns is None:
        return int(desk.parameters.adopted_holding_s * _S)
    return max(0, report.intent.ends_in_ns - report.age_ns)


def _found(desk: Desk, report: OrderReport, view: ExecutionView) -> list[Command]:
    client_order_id = report.intent.client_order_id
    record = desk.ledger.get(client_order_id)
    if record is None:
        text = f"{client_order_id} is working at the venue and was not known here"
        return [Notify(severity="warning", subject="order adopted", text=text), *adopt(desk, report, view)]
    if record.is_working:
        record.venue_order_id = report.venue_order_id or record.venue_order_id
        desk.ledger.report(client_order_id, ReportKind.FIND)
        return _moved(desk, record, report)
    late = desk.ledger.adopt(report, view.now_mono_ns)
    text = f"{client_order_id} was thought {record.status.value} and is working at the venue; it is cancelled"
    return [Notify(severity="warning", subject="late order", text=text), *desk.cancel(late, "thought to be dead", view)]


def _moved(desk: Desk, record: OrderRecord, report: OrderReport) -> list[Command]:
    """Take in that a stop lies elsewhere than it was sent to: it is not the right one any more, and the right one takes its place."""
    intent, ticks = record.intent, report.intent.stop_ticks
    if intent.purpose is not Purpose.STOP or ticks is None or ticks == intent.stop_ticks:
        return []
    record.intent = msgspec.structs.replace(intent, stop_ticks=ticks)
    grid = desk.instruments[intent.instrument]
    was = "nowhere" if intent.stop_ticks is None else f"{grid.price(intent.stop_ticks):f}"
    text = f"{grid.name}: {intent.client_order_id} was sent to {was} and lies at {grid.price(ticks):f}; it is replaced"
    return [Notify(severity="warning", subject="stop moved by somebody", text=text)]


def _missed(desk: Desk, record: OrderRecord) -> list[Command]:
    was = record.status
    if was is OrderStatus.SUBMITTED:
        return []
    client_order_id = record.intent.client_order_id
    if not desk.ledger.report(client_order_id, ReportKind.MISS, "not at the venue").is_legal:
        return []
    desk.portfolio.order_closed(client_order_id)
    if record.intent.purpose is Purpose.ENTRY:
        desk.pursuits.pop(record.intent.instrument, None)  # it may have been filled, and nobody has said so yet
    text = f"{client_order_id} ({record.intent.purpose.value}) was {was.value} and is not at the venue"
    return [
        RecordOrderClosed(client_order_id=client_order_id, reason="not at the venue"),
        Notify(severity="warning", subject="order missing", text=text),
    ]


def _differences(desk: Desk, reported: AccountReported) -> Iterator[tuple[int, Decimal, Decimal]]:
    theirs = {report.instrument: report.quantity for report in reported.positions}
    for index, grid in enumerate(desk.instruments):
        ours = desk.portfolio.position(index).quantity
        venue = theirs.get(index, Decimal(0))
        if abs(ours - venue) < grid.lot_size:
            desk.mismatches.pop(index, None)
        else:
            yield index, ours, venue


def _mismatch(desk: Desk, index: int, ours: Decimal, theirs: Decimal) -> list[Command]:
    seen = desk.mismatches.get(index)
    desk.mismatches[index] = (ours, theirs)
    if seen != (ours, theirs):
        desk.wants_account = "a position differs from the venue's"
        return []
    name = desk.instruments[index].name
    if desk.halt_request is not None:
        return []
    return [desk.request_halt(f"{name}: position is {ours} here and {theirs} at the venue")]

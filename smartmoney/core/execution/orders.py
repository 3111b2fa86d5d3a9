"""Our orders and what they could still do.

Invariants: `filled_lots` never falls; an order that is not proven dead counts with all of its leaves; orders of one oco_group shrink
together (where the venue links them); the memory of finished orders is bounded, that of working ones is bounded by the gate.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderStatus, Purpose, Side
from smartmoney.core.execution.lifecycle import TERMINAL, ReportKind, is_correction, next_status

FINISHED_ORDERS_KEPT = 4096
"""Finished orders that late reports are still matched against."""
_PROTECTIVE = frozenset({Purpose.STOP, Purpose.TARGET})


class OrderRecord(msgspec.Struct, kw_only=True):
    """Follow one order. Times are monotonic ns; `shrunk_lots` is what fills of its oco siblings took off it."""

    intent: OrderIntent
    status: OrderStatus
    submitted_mono_ns: int
    filled_lots: int = 0
    shrunk_lots: int = 0
    venue_order_id: str = ""
    cancel_mono_ns: int | None = None
    reason: str = ""

    @property
    def is_working(self) -> bool:
        """Tell whether the order may still fill, as far as is proven."""
        return self.status not in TERMINAL

    @property
    def is_doubtful_exit(self) -> bool:
        """Tell whether this is an immediate order that reduces, and nobody knows what became of it: a stop would be listed, this is not."""
        return self.status is OrderStatus.UNKNOWN and self.intent.purpose in {Purpose.EXIT, Purpose.FLATTEN}

    @property
    def leaves(self) -> int:
        """Return the lots that may still fill, 0 once the order has ended."""
        return max(0, self.intent.lots - self.filled_lots - self.shrunk_lots) if self.is_working else 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a report did: `is_legal` false changed nothing, `is_correction` is a fill after the end, `excess_lots` an over-fill."""

    is_legal: bool
    is_correction: bool = False
    excess_lots: int = 0


class OrderLedger:
    """Keep every working order and the last finished ones."""

    def __init__(self, *, linked_pairs: bool = True) -> None:
        self._linked_pairs = linked_pairs
        self._orders: dict[str, OrderRecord] = {}
        self._working: dict[str, OrderRecord] = {}
        self._finished: deque[str] = deque()
        self.illegal_reports = 0

    def __len__(self) -> int:
        return len(self._working)

    def get(self, client_order_id: str) -> OrderRecord | None:
        """Return an order, working or recently finished."""
        return self._orders.get(client_order_id)

    def working(self, instrument: int | None = None) -> Iterator[OrderRecord]:
        """Yield the orders that may still fill, oldest first; it is safe to change the ledger meanwhile."""
        for record in tuple(self._working.values()) if self._working else ():
            if record.is_working and (instrument is None or record.intent.instrument == instrument):
                yield record

    def add(self, intent: OrderIntent, now_mono_ns: int) -> OrderRecord:
        """Take in an order that is being sent."""
        return self._insert(OrderRecord(intent=intent, status=OrderStatus.SUBMITTED, submitted_mono_ns=now_mono_ns))

    def adopt(self, report: OrderReport, now_mono_ns: int) -> OrderRecord:
        """Take in an order of an earlier run, or one that was thought to be dead; unknown unless the venue acknowledged it."""
        status = OrderStatus.ACCEPTED if report.venue_order_id else OrderStatus.UNKNOWN
        if report.filled_lots > 0:
            status = OrderStatus.PARTIALLY_FILLED
        return self._insert(
            OrderRecord(
                intent=report.intent,
                status=status,
                submitted_mono_ns=now_mono_ns - report.age_ns,
                filled_lots=report.filled_lots,
                venue_order_id=report.venue_order_id,
            )
        )

    def report(self, client_order_id: str, kind: ReportKind, reason: str = "") -> Step:
        """Apply a report that is not a fill."""
        record = self._orders.get(client_order_id)
        after = None if record is None else next_status(record.status, kind)
        if record is None or after is None:
            self.illegal_reports += 1
            return Step(is_legal=False)
        record.reason = reason or record.reason
        self._move(record, after)
        return Step(is_legal=True)

    def fill(self, client_order_id: str, lots: int) -> Step:
        """Apply a fill and shrink the order's oco siblings by as much; an over-fill counts in `excess_lots` and ends the order."""
        record = self._orders.get(client_order_id)
        if record is None:
            self.illegal_reports += 1
            return Step(is_legal=False)
        total = record.filled_lots + lots
        excess = min(lots, max(0, total - record.intent.lots))
        is_complete = total + record.shrunk_lots >= record.intent.lots
        kind = ReportKind.FILL if is_complete else ReportKind.PARTIAL_FILL
        was_late = is_correction(record.status, kind)
        after = next_status(record.status, kind)
        record.filled_lots = total
        self._shrink_siblings(record, lots)
        if after is None:
            self.illegal_reports += 1
            return Step(is_legal=False, is_correction=True, excess_lots=excess)
        self._move(record, after)
        return Step(is_legal=True, is_correction=was_late, excess_lots=excess)

    def risk_lots(self, instrument: int) -> tuple[int, int]:
        """Return the worst case of the orders that may raise risk: lots bought, lots sold."""
        bought = sold = 0
        for record in self._working.values():
            intent = record.intent
            if intent.reduce_only or intent.instrument != instrument:
                continue
            if intent.side is Side.BUY:
                bought += record.leaves
            else:
                sold += record.leaves
        return bought, sold

    def reducing_lots(self, instrument: int, without_group: str | None) -> int:
        """Return the worst case of the orders that reduce: an oco_group counts once, with its largest member.

        Where the venue does not link pairs, it keeps what reduces from doing more by itself (reduce-only): an exit of unknown outcome does
        not keep the position from having a stop, nor does one protective order keep back another, which may be of another group or, taken
        over from an earlier life, of none.
        """
        is_protective = without_group is not None and not self._linked_pairs
        alone = 0
        groups: dict[str, int] = {}
        for record in self.working(instrument):
            if not record.intent.reduce_only or (record.is_doubtful_exit and not self._linked_pairs):
                continue
            if is_protective and record.intent.purpose in _PROTECTIVE:
                continue
            group = record.intent.oco_group
            if group is None:
                alone += record.leaves
            elif group != without_group:
                groups[group] = max(groups.get(group, 0), record.leaves)
        return alone + sum(groups.values())

    def reports(self) -> tuple[OrderReport, ...]:
        """Return the working orders in the form that a restart takes them back."""
        return tuple(
            OrderReport(
                intent=msgspec.structs.replace(record.intent, lots=record.intent.lots - record.shrunk_lots),
                venue_order_id=record.venue_order_id,
                filled_lots=record.filled_lots,
            )
            for record in self.working()
        )

    def entries(self, instrument: int | None = None) -> Iterator[OrderRecord]:
        """Yield the working orders that may raise risk."""
        return (record for record in self.working(instrument) if record.intent.purpose is Purpose.ENTRY)

    def _insert(self, record: OrderRecord) -> OrderRecord:
        self._orders[record.intent.client_order_id] = record
        self._working[record.intent.client_order_id] = record
        return record

    def _move(self, record: OrderRecord, after: OrderStatus) -> None:
        was_working = record.is_working
        record.status = after
        if was_working and not record.is_working:
            client_order_id = record.intent.client_order_id
            self._working.pop(client_order_id, None)
            self._finished.append(client_order_id)
            if len(self._finished) > FINISHED_ORDERS_KEPT:
                oldest = self._finished.popleft()
                if oldest not in self._working:
                    self._orders.pop(oldest, None)

    def _shrink_siblings(self, record: OrderRecord, lots: int) -> None:
        group = record.intent.oco_group
        if group is None or not self._linked_pairs:
            return
        for sibling in self.working(record.intent.instrument):
            if sibling is not record and sibling.intent.oco_group == group:
                sibling.shrunk_lots += min(lots, sibling.leaves)

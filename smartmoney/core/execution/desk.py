"""The desk: portfolio, order ledger and plans in one place, and the only way from a wish to a command.

Invariants: every order passes the risk gate here and is in the ledger before its command is returned; client order ids derive from run,
entry seq and index within the entry, and never repeat.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

from smartmoney.core.domain.commands import CancelOrder, Command, Notify, RecordRefusal, SubmitOrder
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import OrderIntent, Side
from smartmoney.core.domain.signals import Refusal
from smartmoney.core.execution.lifecycle import ReportKind
from smartmoney.core.execution.orders import OrderLedger, OrderRecord
from smartmoney.core.execution.parameters import ExecutionParameters
from smartmoney.core.execution.plan import EntryPlan, PositionPlan, Pursuit
from smartmoney.core.execution.view import ExecutionView, protective_ticks, target_ticks
from smartmoney.core.portfolio.portfolio import ClosedTrade, Portfolio
from smartmoney.core.risk.gate import GateContext, approve
from smartmoney.core.risk.order_rate import OrderRate
from smartmoney.core.risk.parameters import RiskLimits

CLIENT_ORDER_ID_MAX = 36
"""The longest client order id that every supported venue takes."""
ENTRY_PLANS_KEPT = 4096

_MS = 1_000_000
_S = 1_000_000_000
_RUN_ID = re.compile(r"[A-Za-z0-9_]{1,16}")


class ClientIds:
    """Name orders `sm<run>-<seq>-<index>`."""

    def __init__(self, run_id: str) -> None:
        """Start naming.

        Raises:
            ValueError: the run id would make ids too long or spell them in characters that venues refuse.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise ValueError(f"run id {run_id!r} must be 1 to 16 letters, digits or underscores")
        self._run_id = run_id
        self._seq = -1
        self._index = 0

    def next(self, seq: int) -> str:
        """Return the next id of an entry."""
        self._index = self._index + 1 if seq == self._seq else 0
        self._seq = seq
        name = f"sm{self._run_id}-{seq}-{self._index}"
        assert len(name) <= CLIENT_ORDER_ID_MAX, name
        return name


class Desk:
    """Hold what the executor works on."""

    def __init__(
        self, run_id: str, instruments: Sequence[Instrument], portfolio: Portfolio, parameters: ExecutionParameters, limits: RiskLimits
    ) -> None:
        self.instruments = tuple(instruments)
        self.portfolio = portfolio
        self.parameters = parameters
        self.limits = limits
        self.ledger = OrderLedger(linked_pairs=parameters.linked_pairs)
        self.plans = [PositionPlan() for _ in self.instruments]
        self.entry_plans: dict[str, EntryPlan] = {}
        self.pursuits: dict[int, Pursuit] = {}
        self.ids = ClientIds(run_id)
        self.rate = OrderRate(limits.max_orders_per_minute)
        self.flattening: str | None = None
        self.halt_request: str | None = None
        self.wants_account: str | None = None
        self.account_asked_ns: int | None = None
        self.account_cutoff_ns: int | None = None
        self.mismatches: dict[int, tuple[Decimal, Decimal]] = {}
        self.closed: list[ClosedTrade] = []
        self.executed: list[str] = []
        self.order_count = 0

    def held_lots(self, index: int, view: ExecutionView) -> int:
        """Return the signed lots that can be closed: dust, and what the venue would refuse to trade, is nothing."""
        held = self.portfolio.position_lots(index)
        if held == 0 or self.limits.reduce_only_exempt:
            return held
        ticks = view.quotes[index].best_bid_ticks
        grid = self.instruments[index]
        return 0 if ticks > 0 and grid.notional(ticks, abs(held)) < grid.min_notional else held

    def submit(self, intent: OrderIntent, view: ExecutionView) -> tuple[OrderRecord | None, list[Command]]:
        """Pass an intent through the gate; return its record and command, or None and the refusal."""
        verdict = approve(intent, self._context(intent, view), self.limits)
        if isinstance(verdict, Refusal):
            return None, [RecordRefusal(refusal=verdict)]
        self.rate.add(view.now_mono_ns)
        self.order_count += 1
        return self.ledger.add(intent, view.now_mono_ns), [SubmitOrder(approved=verdict)]

    def cancel(self, record: OrderRecord, reason: str, view: ExecutionView) -> list[Command]:
        """Ask for a cancel, at most once in `cancel_timeout_s`."""
        asked_ns = record.cancel_mono_ns
        if not record.is_working or (asked_ns is not None and view.now_mono_ns - asked_ns < self.parameters.cancel_timeout_s * _S):
            return []
        if asked_ns is not None:
            self.wants_account = self.wants_account or "a cancel had no effect"
        if not self.ledger.report(record.intent.client_order_id, ReportKind.CANCEL_REQUEST, reason).is_legal:
            return []
        record.cancel_mono_ns = view.now_mono_ns
        return [CancelOrder(client_order_id=record.intent.client_order_id, instrument=record.intent.instrument, reason=reason)]

    def cancel_entries(self, reason: str, view: ExecutionView, index: int | None = None) -> list[Command]:
        """Withdraw every order that may raise risk; none takes its place."""
        for one in tuple(self.pursuits) if index is None else (index,):
            self.pursuits.pop(one, None)
        return [command for record in self.ledger.entries(index) for command in self.cancel(record, reason, view)]

    def request_halt(self, reason: str) -> Command:
        """Ask the engine to halt, and tell the operator."""
        self.halt_request = self.halt_request or reason
        return Notify(severity="critical", subject="halt requested", text=reason)

    def remember_entry(self, client_order_id: str, plan: EntryPlan) -> None:
        """Keep what an entry's fills will want; the oldest of 4,096 is forgotten."""
        self.entry_plans[client_order_id] = plan
        if len(self.entry_plans) > ENTRY_PLANS_KEPT:
            del self.entry_plans[next(iter(self.entry_plans))]

    def complete_plan(self, index: int, held: int, view: ExecutionView) -> list[Command]:
        """Give a position whose own levels are not known the default ones, around what was paid for it."""
        plan = self.plans[index]
        if plan.stop_ticks is not None:
            return []
        side = Side.BUY if held > 0 else Side.SELL
        average = self.portfolio.position(index).average_price
        grid = self.instruments[index]
        if average is None or not average > 0:
            ticks = view.quotes[index].touch(side.opposite)
            if ticks <= 0:
                return []
            average = grid.price(ticks)
        plan.stop_ticks = protective_ticks(grid, side, average * (1 - side.sign * self.parameters.default_stop_fraction))
        plan.target_ticks = target_ticks(grid, side, average * (1 + side.sign * self.parameters.default_target_fraction))
        plan.deadline_mono_ns = view.now_mono_ns + int(self.parameters.adopted_holding_s * _S)
        text = f"{grid.name}: no levels are known for a position of {held} lots; default stop at tick {plan.stop_ticks}"
        return [Notify(severity="warning", subject="default protection", text=text)]

    def _context(self, intent: OrderIntent, view: ExecutionView) -> GateContext:
        index = intent.instrument
        quote = view.quotes[index]
        buys, sells = self.ledger.risk_lots(index)
        return GateContext(
            instrument=self.instruments[index],
            now_mono_ns=view.now_mono_ns,
            valid_ns=self.parameters.approval_valid_ms * _MS,
            halted=view.halted,
            halt_epoch=view.halt_epoch,
            trust=quote.trust,
            best_bid_ticks=quote.best_bid_ticks,
            best_ask_ticks=quote.best_ask_ticks,
            position_lots=self.portfolio.position_lots(index),
            working_buy_lots=buys,
            working_sell_lots=sells,
            reducing_lots=self.ledger.reducing_lots(index, intent.oco_group),
            equity=view.equity,
            gross_other=None if intent.reduce_only else self._gross_without(index, view),
            open_orders=len(self.ledger),
            orders_last_minute=self.rate.count(view.now_mono_ns),
            daily_loss=view.daily_loss,
        )

    def _gross_without(self, index: int, view: ExecutionView) -> Decimal | None:
        total = Decimal(0)
        for other, grid in enumerate(self.instruments):
            if other == index:
                continue
            held = self.portfolio.position_lots(other)
            buys, sells = self.ledger.risk_lots(other)
            worst = max(abs(held + buys), abs(held - sells))
            if worst == 0:
                continue
            ticks = view.quotes[other].best_ask_ticks
            if ticks <= 0:
                return None
            total += grid.notional(ticks, worst)
        return total

"""The executor: turns targets into orders, replies into positions, and keeps every position protected until it is closed.

Invariants (reference/safety.md): at most one stop per position, for exactly what is held whenever nothing is in flight; a stop never
loosens; reducing orders never add up to more than is held; after a halt nothing raises risk; a flatten goes on until nothing is held and
nothing works. Every method returns the commands to carry out, in order; time is what the view says.
"""

from collections.abc import Sequence

import msgspec

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.commands import Command, Notify, RequestAccount
from smartmoney.core.domain.entries import (
    AccountReported,
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReply,
    OutcomeUnknown,
    SendRefused,
)
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Fill, OrderReport, OrderStatus, Purpose
from smartmoney.core.domain.signals import RefusalCode, Signal
from smartmoney.core.execution import attached, entering, reconciliation, resting
from smartmoney.core.execution.desk import Desk
from smartmoney.core.execution.entering import refuse
from smartmoney.core.execution.guard_plan import GUARD_PREFIX
from smartmoney.core.execution.lifecycle import ReportKind
from smartmoney.core.execution.orders import OrderLedger, OrderRecord, Step
from smartmoney.core.execution.parameters import ExecutionParameters
from smartmoney.core.execution.plan import ExitPlan, PositionPlan
from smartmoney.core.execution.protection import converge, settled_until_ns
from smartmoney.core.execution.view import Chase, ExecutionView
from smartmoney.core.portfolio.portfolio import ClosedTrade, Portfolio
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.core.strategy.outlook import Outlook

NO_OUTLOOK = Outlook()
"""Of a signal that says nothing of what it forecasts."""

_S = 1_000_000_000

_KINDS: dict[type, ReportKind] = {
    OrderAccepted: ReportKind.ACCEPT,
    OrderRejected: ReportKind.REJECT,
    OrderCanceled: ReportKind.CANCEL,
    OrderExpired: ReportKind.EXPIRE,
    CancelRejected: ReportKind.CANCEL_REJECT,
    SendRefused: ReportKind.SEND_REFUSED,
    OutcomeUnknown: ReportKind.LOSE,
}
_REFUSED = frozenset({ReportKind.REJECT, ReportKind.SEND_REFUSED})


class Executor:
    """Work orders for every instrument of a run. It owns the portfolio that it is given: only it books fills."""

    def __init__(
        self,
        run_id: str,
        instruments: Sequence[Instrument],
        portfolio: Portfolio,
        parameters: ExecutionParameters,
        limits: RiskLimits,
    ) -> None:
        """Start with nothing working; see `restore`.

        Raises:
            ValueError: the run id cannot be part of a client order id.
        """
        self._desk = Desk(run_id, instruments, portfolio, parameters, limits)
        self._flat_told = False

    @property
    def portfolio(self) -> Portfolio:
        """Return the portfolio, to be read."""
        return self._desk.portfolio

    @property
    def ledger(self) -> OrderLedger:
        """Return the orders, to be read."""
        return self._desk.ledger

    @property
    def parameters(self) -> ExecutionParameters:
        """Return what it was set up with, to be read."""
        return self._desk.parameters

    @property
    def order_count(self) -> int:
        """Return how many orders were sent in this run."""
        return self._desk.order_count

    @property
    def is_flattening(self) -> bool:
        """Tell whether a flatten was asked for and is still in force (it stays in force while the view is halted)."""
        return self._desk.flattening is not None

    @property
    def is_flat(self) -> bool:
        """Tell whether nothing is held and nothing works."""
        return len(self._desk.ledger) == 0 and not self._desk.portfolio.has_position()

    def is_protected(self, index: int) -> bool:
        """Tell whether nothing is held of an instrument, or a stop that the venue acknowledged is working."""
        stops = (record for record in self._desk.ledger.working(index) if record.intent.purpose is Purpose.STOP)
        return self._desk.portfolio.position_lots(index) == 0 or any(record.venue_order_id for record in stops)

    @property
    def is_pressed(self) -> bool:
        """Tell whether `on_tick` has to go on with something that reduces: a stop was refused, an exit or a flatten is under way."""
        return self.is_flattening or any(plan.protect_failures > 0 or plan.exit is not None for plan in self._desk.plans)

    @property
    def is_in_doubt(self) -> bool:
        """Tell whether the venue's last report differed from what is believed, and the next one is waited for."""
        return bool(self._desk.mismatches) and self._desk.halt_request is None

    def settled_until_ns(self, now_mono_ns: int, *, is_halted: bool) -> int:
        """Return the monotonic time before which `on_tick` has nothing to do, 0 if it has, or might.

        Bids stay at `closable_ticks`, books are usable, and the touch does not leave `chases` behind.
        """
        desk = self._desk
        wishes = (desk.wants_account, desk.flattening, desk.halt_request)
        if desk.closed or desk.executed or wishes != (None, None, None):
            return 0
        due_ns = NEVER
        for index, plan in enumerate(desk.plans):
            reducing = []
            for record in desk.ledger.working(index):
                if record.intent.purpose is Purpose.ENTRY:
                    due_ns = min(due_ns, resting.order_due_ns(desk, record))
                else:
                    reducing.append(record)
            due_ns = min(due_ns, settled_until_ns(desk, index, reducing, now_mono_ns))
            if plan.exit is None and plan.deadline_mono_ns is not None:
                due_ns = min(due_ns, plan.deadline_mono_ns)
            if due_ns == 0:
                return 0
        for index, pursuit in desk.pursuits.items():
            due_ns = min(due_ns, resting.pursuit_due_ns(desk, index, pursuit, now_mono_ns, is_halted=is_halted))
        return due_ns

    def chases(self) -> tuple[Chase, ...]:
        """Return the entries whose order follows the touch, and from when on `on_tick` does something where it has left them behind."""
        return tuple([resting.chase(self._desk, index) for index in self._desk.pursuits])

    def rests(self) -> bool:
        """Tell whether nothing is held, works or is wanted, so that `on_tick` has nothing to do; old plans are forgotten, as it would."""
        desk = self._desk
        if (
            len(desk.ledger)
            or desk.pursuits
            or desk.wants_account is not None
            or desk.flattening is not None
            or desk.portfolio.has_position()
        ):
            return False
        for plan in desk.plans:
            plan.clear()
        return True

    def closable_ticks(self, index: int) -> int:
        """Return a bid at and above which what is held can be closed for sure."""
        held, grid = abs(self._desk.portfolio.position_lots(index)), self._desk.instruments[index]
        if held == 0 or self._desk.limits.reduce_only_exempt:
            return 1
        return int(grid.min_notional / grid.notional(1, held)) + 2

    def plan(self, index: int) -> PositionPlan:
        """Return what is wanted for an instrument (levels, deadline, exit), to be read."""
        return self._desk.plans[index]

    def working_lots(self, index: int) -> int:
        """Return the signed lots of working entries, for `order = target - position - working`."""
        bought, sold = self._desk.ledger.risk_lots(index)
        return bought - sold + entering.waiting_lots(self._desk, index)

    def is_entering(self, index: int) -> bool:
        """Tell whether an entry works, or one is between two orders."""
        return index in self._desk.pursuits or next(iter(self._desk.ledger.entries(index)), None) is not None

    def restore(self, orders: Sequence[OrderReport], view: ExecutionView) -> list[Command]:
        """Take over the working orders of an earlier run; positions came with the portfolio. Protection is adopted, entries are cancelled.

        Nothing is sent to the venue but cancels: the caller requests the account next, and `reconcile` restores what is missing.
        """
        self._desk.account_asked_ns = view.now_mono_ns
        self._desk.account_cutoff_ns = view.now_mono_ns + 1
        return [command for report in orders for command in reconciliation.adopt(self._desk, report, view)]

    def open(
        self, signal: Signal, index: int, target_lots: int, delta_lots: int, view: ExecutionView, outlook: Outlook = NO_OUTLOOK
    ) -> list[Command]:
        """Move the position toward a signal's target; `delta_lots` = target - position - working, signed.

        Toward zero or through it: a reduce-only exit (what lies beyond zero takes another signal, once flat). Away from zero: one entry; an
        entry of the opposite side that still works is withdrawn first.
        """
        held = self._desk.held_lots(index, view)
        if delta_lots == 0:
            return refuse(RefusalCode.AT_TARGET, index, "nothing to do")
        if held == 0 and entering.is_against(self._desk, signal.signal_type.side, index):
            given_up = self._desk.cancel_entries("an opposite signal", view, index)
            return given_up or refuse(RefusalCode.ORDER_IN_FLIGHT, index, "an entry of the opposite side is being withdrawn")
        if held != 0 and (target_lots * held <= 0 or abs(target_lots) < abs(held)):
            return self._reduce(signal, index, held, target_lots, view)
        if delta_lots * target_lots <= 0:
            return refuse(RefusalCode.AT_TARGET, index, "what is working will overshoot the target")
        plan = self._desk.plans[index]
        if plan.exit is not None or self._desk.flattening is not None:
            return refuse(RefusalCode.ORDER_IN_FLIGHT, index, "an exit is under way")
        if self.is_entering(index):
            return refuse(RefusalCode.ORDER_IN_FLIGHT, index, "an entry is working")
        return entering.enter(self._desk, signal, index, delta_lots, view, outlook)

    def on_reply(self, reply: OrderReply, view: ExecutionView) -> list[Command]:
        """Fold what the venue or the sender said about one of our orders."""
        if isinstance(reply, OrderFilled):
            return self._on_fill(reply.fill, view)
        record = self._desk.ledger.get(reply.client_order_id)
        kind = _KINDS[type(reply)]
        reason = "" if isinstance(reply, OrderAccepted) else reply.reason
        if record is not None and not record.is_working and kind is ReportKind.ACCEPT and record.status is not OrderStatus.FILLED:
            self._desk.wants_account = f"{reply.client_order_id} was thought {record.status.value} and is accepted"
        step = self._desk.ledger.report(reply.client_order_id, kind, reason)
        if record is None or not step.is_legal:
            return self._on_illegal(reply.client_order_id, record, kind)
        if isinstance(reply, OrderAccepted):
            record.venue_order_id = reply.venue_order_id
        if not record.is_working:
            self._desk.portfolio.order_closed(reply.client_order_id)
        if record.status is OrderStatus.UNKNOWN:
            self._desk.wants_account = self._desk.wants_account or f"the outcome of {reply.client_order_id} is unknown"
        commands = self._on_refused(record, kind, view) if kind in _REFUSED else []
        commands += attached.expect(self._desk, record, view)
        if kind is ReportKind.ACCEPT and record.intent.purpose is Purpose.STOP:
            self._desk.plans[record.intent.instrument].protect_failures = 0
        return commands + converge(self._desk, record.intent.instrument, view) + self._ask_account(view)

    def on_tick(self, view: ExecutionView) -> list[Command]:
        """Do what time asks for: time-outs, void signals, horizons, missing protection, retries, unknown outcomes."""
        commands = self._age_orders(view) + entering.go_on(self._desk, view)
        for index, plan in enumerate(self._desk.plans):
            is_due = plan.deadline_mono_ns is not None and view.now_mono_ns >= plan.deadline_mono_ns
            if is_due and plan.exit is None and self._desk.held_lots(index, view) != 0:
                plan.want_exit(ExitPlan(reason="horizon_exit", signal_id=plan.signal_id))
        commands += self._converge_all(view)
        return commands + self._ask_account(view) + self._end_flatten(view)

    def cancel_entries(self, reason: str, view: ExecutionView) -> list[Command]:
        """Withdraw every order that may raise risk; protection stays."""
        return self._desk.cancel_entries(reason, view)

    def flatten(self, reason: str, view: ExecutionView) -> list[Command]:
        """Cancel everything and close every position at market; `on_tick` goes on until `is_flat`, and while the view is halted."""
        self._desk.flattening = reason
        self._flat_told = False
        return self._desk.cancel_entries(reason, view) + self._converge_all(view)

    def reconcile(self, reported: AccountReported, view: ExecutionView) -> list[Command]:
        """Fold the venue's own list of working orders and positions."""
        return reconciliation.reconcile(self._desk, reported, view) + self._converge_all(view)

    def take_closed_trades(self) -> tuple[ClosedTrade, ...]:
        """Return the round trips closed since the last call."""
        taken = tuple(self._desk.closed)
        self._desk.closed.clear()
        return taken

    def take_executed_signals(self) -> tuple[str, ...]:
        """Return the ids of signals whose entry or exit had its first fill since the last call."""
        taken = tuple(self._desk.executed)
        self._desk.executed.clear()
        return taken

    def take_halt_request(self) -> str | None:
        """Return why the executor wants a halt, once."""
        taken = self._desk.halt_request
        self._desk.halt_request = None
        return taken

    def _reduce(self, signal: Signal, index: int, held: int, target_lots: int, view: ExecutionView) -> list[Command]:
        keep = abs(target_lots) if target_lots * held > 0 else 0
        if abs(held) - keep < self._desk.instruments[index].min_lots:
            return refuse(RefusalCode.AT_TARGET, index, "the difference is below the smallest order")
        plan = self._desk.plans[index]
        if plan.exit is not None and plan.exit.keep_lots <= keep:
            return refuse(RefusalCode.ORDER_IN_FLIGHT, index, "an exit is under way")
        plan.want_exit(ExitPlan(reason="signal", keep_lots=keep, signal_id=signal.signal_id))
        return converge(self._desk, index, view)

    def _on_fill(self, fill: Fill, view: ExecutionView) -> list[Command]:
        desk = self._desk
        if not 0 <= fill.instrument < len(desk.instruments):
            return [desk.request_halt(f"fill {fill.trade_id} names instrument {fill.instrument}, which is not ours")]
        if desk.portfolio.is_known(fill):
            return []
        index = fill.instrument
        record = desk.ledger.get(fill.client_order_id)
        before = desk.portfolio.position_lots(index)
        step = desk.ledger.fill(fill.client_order_id, fill.lots)
        closed = desk.portfolio.apply(fill)
        after = desk.portfolio.position_lots(index)
        if record is None or not record.is_working:
            desk.portfolio.order_closed(fill.client_order_id)
        commands = self._judge_fill(fill, record, step)
        if record is not None and step.is_correction:
            commands += entering.after_late_fill(desk, record, view)
        plan = desk.plans[index]
        followed = plan.signal_id
        if closed is not None and before != 0:  # else only dust was closed, which no signal opened, perhaps by the entry that goes on
            self._note_closed(closed, record, plan)
            commands += desk.cancel_entries("the position is closed", view, index)
        if before * after < 0:
            plan.clear()
        entry_plan = desk.entry_plans.get(fill.client_order_id)
        if entry_plan is not None and after * fill.side.sign > 0:
            plan.take(entry_plan, fill.side, view.now_mono_ns)
        self._note_executed(record, fill, plan, followed)
        if record is not None:
            commands += attached.expect(desk, record, view)
        return commands + converge(desk, index, view) + self._ask_account(view)

    def _judge_fill(self, fill: Fill, record: OrderRecord | None, step: Step) -> list[Command]:
        """Say aloud what a fill should not have been. It is booked in any case."""
        name = self._desk.instruments[fill.instrument].name
        if record is None and fill.client_order_id.startswith(GUARD_PREFIX):
            quantity = self._desk.instruments[fill.instrument].quantity(fill.lots)
            return [self._desk.request_halt(f"{name}: the guard traded while we did not: {fill.side.value} {quantity}")]
        if record is None:
            return [self._desk.request_halt(f"{name}: fill {fill.trade_id} of an order that is not ours: {fill.client_order_id}")]
        if record.intent.instrument != fill.instrument or record.intent.side is not fill.side:
            return [self._desk.request_halt(f"{name}: fill {fill.trade_id} contradicts order {fill.client_order_id}")]
        if step.excess_lots > 0:
            return [self._desk.request_halt(f"{name}: {fill.client_order_id} is over-filled by {step.excess_lots} lots")]
        if step.is_correction:
            text = f"{name}: {fill.client_order_id} had ended and filled {fill.lots} lots after all"
            return [Notify(severity="warning", subject="late fill", text=text)]
        return []

    def _note_executed(self, record: OrderRecord | None, fill: Fill, plan: PositionPlan, followed: str | None) -> None:
        """Note that a signal had its first fill: of its entry, or of the exit that it asked for; `followed` had one before."""
        if record is None or not record.intent.signal_id:
            return
        is_first = record.intent.purpose is Purpose.ENTRY and record.filled_lots == fill.lots and record.intent.signal_id != followed
        if record.intent.purpose is Purpose.EXIT and plan.exit is not None and plan.exit.reason == "signal":
            is_first = not plan.exit.is_told
            plan.exit.is_told = True
        if is_first:
            self._desk.executed.append(record.intent.signal_id)

    def _note_closed(self, closed: ClosedTrade, record: OrderRecord | None, plan: PositionPlan) -> None:
        reason = "unknown order" if record is None else record.intent.purpose.value
        if plan.exit is not None and record is not None and record.intent.purpose in {Purpose.EXIT, Purpose.FLATTEN}:
            reason = plan.exit.reason
        self._desk.closed.append(msgspec.structs.replace(closed, signal_id=plan.signal_id, reason=reason))

    def _on_illegal(self, client_order_id: str, record: OrderRecord | None, kind: ReportKind) -> list[Command]:
        if record is not None:
            return []
        text = f"{kind.value} for {client_order_id}, which is not known"
        return [Notify(severity="warning", subject="report of an unknown order", text=text)]

    def _on_refused(self, record: OrderRecord, kind: ReportKind, view: ExecutionView) -> list[Command]:
        """React to an order that will not exist: protection is tried again, and given up only by closing the position."""
        desk, index = self._desk, record.intent.instrument
        plan, held = desk.plans[index], desk.held_lots(index, view)
        text = f"{desk.instruments[index].name}: {record.intent.purpose.value} {kind.value}: {record.reason}"
        # What would have crossed is refused by design: the market moved, and the entry goes on. Where it does not, somebody is to know.
        severity = "info" if record.intent.post_only and entering.is_tried_again(desk, record) else "warning"
        commands: list[Command] = [Notify(severity=severity, subject="order refused", text=text)]
        if held == 0 or record.intent.purpose is Purpose.ENTRY:
            return commands
        desk.wants_account = desk.wants_account or "a reducing order was refused"
        if record.intent.purpose is Purpose.TARGET:
            plan.note_target_failure(view.now_mono_ns, desk.parameters.protect_attempts_max)
        if record.intent.purpose is Purpose.STOP and not record.intent.is_attached:
            plan.note_protect_failure(view.now_mono_ns)
            if plan.protect_failures >= desk.parameters.protect_attempts_max and plan.exit is None:
                plan.want_exit(ExitPlan(reason="unprotectable", at_market=True, signal_id=plan.signal_id))
                commands.append(desk.request_halt(f"{desk.instruments[index].name}: the venue refuses a stop: {record.reason}"))
        return commands

    def _age_orders(self, view: ExecutionView) -> list[Command]:
        commands: list[Command] = []
        parameters = self._desk.parameters
        for record in self._desk.ledger.working():
            age_ns = view.now_mono_ns - record.submitted_mono_ns
            if record.status is OrderStatus.SUBMITTED and age_ns >= parameters.ack_timeout_s * _S:
                self._desk.ledger.report(record.intent.client_order_id, ReportKind.LOSE, "no answer")
            elif record.status is OrderStatus.PENDING_CANCEL:
                commands += self._desk.cancel(record, record.reason, view)
            elif record.intent.purpose is Purpose.ENTRY:
                commands += entering.withdraw(self._desk, record, view)
            if record.status is OrderStatus.UNKNOWN:
                self._desk.wants_account = self._desk.wants_account or f"{record.intent.client_order_id} is unknown"
        return commands

    def _converge_all(self, view: ExecutionView) -> list[Command]:
        return [command for index in range(len(self._desk.instruments)) for command in converge(self._desk, index, view)]

    def _ask_account(self, view: ExecutionView) -> list[Command]:
        desk = self._desk
        if desk.wants_account is None:
            return []
        retry_ns = desk.parameters.account_retry_s * _S
        if desk.account_asked_ns is not None and view.now_mono_ns - desk.account_asked_ns < retry_ns:
            return []
        desk.account_asked_ns = view.now_mono_ns
        if desk.account_cutoff_ns is None:  # an answer may be to the oldest question that is open
            desk.account_cutoff_ns = view.now_mono_ns
        return [RequestAccount(reason=desk.wants_account)]

    def _end_flatten(self, view: ExecutionView) -> list[Command]:
        desk = self._desk
        is_held = any(desk.held_lots(index, view) != 0 for index in range(len(desk.instruments)))
        if desk.flattening is None or is_held or len(desk.ledger) > 0:
            return []
        reason = desk.flattening
        if not view.halted:
            desk.flattening = None
        if self._flat_told:
            return []
        self._flat_told = True
        return [Notify(severity="info", subject="flat", text=f"every position is closed and no order works ({reason})")]

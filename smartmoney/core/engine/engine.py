"""The engine: `step(entry)` folds one inbox entry into the state of a run and returns commands.

Invariants: no IO, no clock, no randomness: the same entries give the same commands, in any process; nothing is ordered before the run is
reconciled, while it warms up, or in a book that is not synced; the kill switch looks before any decision, and what it halts is recorded
before anything that follows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.commands import (
    Command,
    Notify,
    RecordCash,
    RecordEquity,
    RecordHalt,
    RecordRefusal,
    RecordResume,
    RecordScale,
    RecordSignal,
    RequestAccount,
)
from smartmoney.core.domain.entries import (
    AccountReported,
    CancelRejected,
    Entry,
    EntryKind,
    FeedConnected,
    FeedDisconnected,
    FeedOverflowed,
    FlattenRequested,
    FundingPaid,
    HaltRequested,
    ModelActivated,
    MoneyMoved,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
    ResumeRequested,
    RunStarted,
    RunStopping,
    ScaleRequested,
    ScaleState,
    SendRefused,
    SnapshotFailed,
    Tick,
    TransferRequested,
    WarmUpEnded,
)
from smartmoney.core.domain.signals import FeedTrust, Refusal
from smartmoney.core.engine import rest
from smartmoney.core.engine.brain import EQUITY_EVERY_NS, Brain, BundleSource, StrategyFactory
from smartmoney.core.engine.counters import Counters
from smartmoney.core.engine.digest import Digest
from smartmoney.core.engine.market import Market, VenueCodec
from smartmoney.core.engine.money import Money
from smartmoney.core.engine.parameters import EngineParameters, decode_parameters
from smartmoney.core.engine.stretch import EACH_TICK, Decided, Frames, Passed, Timer, Touch, Valued, Waits
from smartmoney.core.engine.view import EngineView
from smartmoney.core.engine.views import build_view
from smartmoney.core.execution.executor import Executor
from smartmoney.core.execution.view import ExecutionView, Quote
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.core.risk.kill_switch import FLATTEN, KillEvent, ResumeEvent

_S = 1_000_000_000
ACCOUNT_PATIENCE_NS = 10 * _S
"""After so long without an answer the first question about the account is asked again."""
_NO_FILL: tuple[type, ...] = (OrderAccepted, OrderRejected, OrderCanceled, OrderExpired, CancelRejected)
_OF_ORDERS = (*_NO_FILL, OrderFilled, SendRefused, OutcomeUnknown)
"""News of an order, which move no market."""
_NO_QUOTE = Quote(best_bid_ticks=-1, best_ask_ticks=-1, trust=FeedTrust.RESYNCING)


class NoBundleHere(LookupError):
    """Report that a run names a trained model where there is none to be had."""


def no_bundles(model: str) -> Bundle:
    """Be the source of a run that decides by the untrained prior alone.

    Raises:
        NoBundleHere: always.
    """
    raise NoBundleHere(f"the run's model is {model}, and no store of models was given")


class Engine:
    """Hold a run's whole state. Make one per run; the first entry must be a `RunStarted`."""

    def __init__(self, codec: VenueCodec, make_strategy: StrategyFactory, bundles: BundleSource = no_bundles) -> None:
        self._codec = codec
        self._make_strategy = make_strategy
        self._bundles = bundles
        self._digest = Digest()
        self._entry = Entry(seq=0, kind=EntryKind.EVENT, ts_wall_ns=0, ts_mono_ns=0)
        self._equity_recorded: tuple[object, int] = (None, 0)
        self._quotes: tuple[Quote, ...] | None = None
        self._account_asked_ns = 0
        self.counters = Counters()
        self.is_warming = True
        self.is_reconciled = False
        self.is_stopping = False
        self.has_looked = False
        """Whether the kill switch has seen the books and the account as they are."""
        self.synced_after_ns: int | None = None
        self.started_mono_ns = 0
        self.run: RunStarted
        self.parameters: EngineParameters
        self.market: Market
        self.executor: Executor
        self.money: Money
        self.brain: Brain

    @property
    def digest(self) -> str:
        """Return the digest of all commands so far."""
        return self._digest.hexdigest()

    def step(self, entry: Entry) -> list[Command]:
        """Fold one entry; return what to do, in order. Cost: a few µs for a frame, up to a few hundred for a tick with decisions."""
        self._entry = entry
        if type(entry.payload) not in _OF_ORDERS:
            self._quotes = None
        if entry.kind is EntryKind.FRAME:
            commands = self._after_frame(self.market.on_frame(entry))
        elif entry.kind is EntryKind.SNAPSHOT:
            commands = self.market.on_snapshot(entry)
            self.has_looked = False
        else:
            had_looked, self.has_looked = self.has_looked, False
            commands = self._HANDLERS[type(entry.payload)](self, entry.payload)
            # News of an order that is no fill leaves books and account as the kill switch saw them.
            self.has_looked |= had_looked and type(entry.payload) in _NO_FILL and not self.money.state.halted
        return self._asked(commands)

    def step_folded(self, entry: Entry, folded: int) -> list[Command]:
        """Do `step` with a frame that `pass_frames` has folded: everything but the fold."""
        self._entry, self._quotes = entry, None
        return self._asked(self._after_frame(self.market.on_folded(entry, folded)))

    def pass_frames(self, frames: Frames, at: int, end: int, timer: Timer, waits: Waits) -> Passed:
        """Step frames from `at` on, before `end`, and the ticks between them, in one compiled call, while none of them asks for anything.

        A frame at which it ends (`folded`) is left to `step_folded`. `waits` is what the venue of our orders waits for.
        """
        # What drift makes of a size, Python says.
        may_follow = self.money.equity is not None and self.brain.desk.scale.factor >= 1.0
        self.brain.quiet.hold(self.executor, may_follow=may_follow, value_ns=self._equity_recorded[1] + EQUITY_EVERY_NS)
        until = rest.until(self, waits, int(frames.rows[2, at]), frames.origin_ns)
        self._quotes = None
        passed = self.market.pass_frames(frames, at, end, timer, until, self.brain.quiet)
        if passed.decided:
            self._pass_rounds(passed.decided, frames.origin_ns)
        if frames_passed := passed.frames:
            wall_ns = passed.last_wall_ns
            seq = self._entry.seq + frames_passed + passed.ticks
            self._entry = Entry(seq=seq, kind=EntryKind.FRAME, ts_wall_ns=wall_ns, ts_mono_ns=wall_ns - frames.origin_ns)
        looked_ns = max(passed.moved_wall_ns or 0, passed.ticked_wall_ns or 0)
        if looked_ns and until.marks:
            self._look_back(passed.touches, looked_ns, looked_ns - frames.origin_ns)
        return passed

    def _pass_rounds(self, decided: Sequence[Decided | Valued], origin_ns: int) -> None:
        """Count and digest the quiet decisions of a stretch, and equity on the way, as their ticks would have."""
        seq, refusals, peak = self._entry.seq, self.counters.refusals, self.money.state.peak
        for one in decided:
            if isinstance(one, Valued):
                one.equity = self.money.equity_at(one.glances)
                if one.equity is None or peak is None:
                    raise AssertionError("equity was passed over where it was not known")
                self._equity_recorded = (peak, one.wall_ns - origin_ns)
                self._digest.add(seq + one.entries, RecordEquity(equity=one.equity, peak=peak))
                continue
            self.counters.decisions += 1
            self._digest.add_encoded(seq + one.entries, one.body)
            code = str(one.refusal.code)
            refusals[code] = refusals.get(code, 0) + 1
        self.brain.pass_rounds(decided, origin_ns)

    def tick_due_ns(self) -> int:
        """Return the monotonic time before which ticks have nothing to do but for the feeds'; EACH_TICK when each has, or might."""
        peak, recorded_at = self._equity_recorded
        is_busy = self.is_warming or self.is_stopping or not self.is_reconciled or self.synced_after_ns is None
        if is_busy or peak is None or peak != self.money.state.peak or not self.money.is_steady or self.money.has_day:
            return EACH_TICK
        value_ns = NEVER if self.brain.values_equity else recorded_at + EQUITY_EVERY_NS
        return min(self.brain.due_ns, value_ns, self.executor.settled_until_ns(self._entry.ts_mono_ns, is_halted=self.money.state.halted))

    def view(self) -> EngineView:
        """Return a picture of the state; made on request, not on the hot path."""
        return build_view(self, self._entry)

    def quotes(self) -> tuple[Quote, ...]:
        """Return the touch and the trust of every instrument. What is held is valued and traded at no price of a past that is folded."""
        if self._quotes is None:
            self._quotes = (_NO_QUOTE,) * len(self.market.instruments) if self.is_warming else self._touches()
        return self._quotes

    def _touches(self) -> tuple[Quote, ...]:
        market = self.market
        quotes = []
        for index in range(len(market.instruments)):
            bid, ask = market.touch(index)
            quotes.append(Quote(best_bid_ticks=bid, best_ask_ticks=ask, trust=market.trust_state(index)))
        return tuple(quotes)

    def _after_frame(self, commands: list[Command]) -> list[Command]:
        if self.market.is_moved and not self.is_warming and self.executor.portfolio.has_position():
            return commands + self._look(self.quotes())
        return commands

    def _asked(self, commands: list[Command]) -> list[Command]:
        entry = self._entry
        if self.is_warming and entry.kind is not EntryKind.EVENT:
            return []  # the past cannot be asked for anything
        for command in commands:
            self._digest.add(entry.seq, command)
        return commands

    def _on_run_started(self, started: RunStarted) -> list[Command]:
        self.run = started
        self.started_mono_ns = self._entry.ts_mono_ns
        self.parameters = decode_parameters(started.parameters)
        parameters = self.parameters
        self.market = Market(self._codec, started.instruments, parameters.features, parameters.trust)
        portfolio = Portfolio(started.instruments, started.cash, started.positions, started.fundings)
        self.executor = Executor(started.run_id, started.instruments, portfolio, parameters.execution, parameters.limits)
        self.money = Money(started.instruments, portfolio, parameters.limits, started.halt, started.day)
        self.brain = Brain(started, parameters, self._make_strategy, self._bundles)
        self.brain.desk.scale = started.scale
        commands = self.executor.restore(started.orders, self._execution_view(self.quotes()))
        return [*commands, RequestAccount(reason="start")]

    def _on_warm_up_ended(self, _ended: WarmUpEnded) -> list[Command]:
        self.is_warming = False
        self.brain.restart_clock()
        self.started_mono_ns = self._entry.ts_mono_ns
        self.market.on_feed_lost(range(len(self.market.instruments)), self._entry.ts_mono_ns)
        self.market.forget_counters()
        self._account_asked_ns = self._entry.ts_mono_ns
        return []

    def _on_tick(self, _tick: Tick) -> list[Command]:
        entry = self._entry
        if self.is_warming:
            self._keep_regimes_going()
            return []
        commands = self.market.on_tick(entry.ts_mono_ns)
        quotes = self.quotes()
        if self.synced_after_ns is None and any(quote.is_usable for quote in quotes):
            self.synced_after_ns = entry.ts_mono_ns - self.started_mono_ns
        halted = self._look(quotes)
        commands += self._record_equity() + self._record_day() + halted
        if self.is_reconciled:
            if not self.executor.rests():
                commands += self.executor.on_tick(self._execution_view(quotes))
            commands += self._after_execution(quotes)
            commands += self._decide(quotes)
        elif entry.ts_mono_ns - self._account_asked_ns > ACCOUNT_PATIENCE_NS:
            self._account_asked_ns = entry.ts_mono_ns
            commands.append(RequestAccount(reason="start, not answered"))
        return commands

    def _keep_regimes_going(self) -> None:
        """Let the models see the warm start as they will see the live market: a decision that cannot become one."""
        if self.brain.is_due(self._entry.ts_mono_ns):
            for index, quote in enumerate(self._touches()):
                self.brain.decide(self, index, quote, self._entry)

    def _decide(self, quotes: tuple[Quote, ...]) -> list[Command]:
        entry = self._entry
        if self.is_stopping or not self.brain.is_due(entry.ts_mono_ns):
            return []
        commands: list[Command] = []
        for index in range(len(quotes)):
            decision = self.brain.decide(self, index, quotes[index], entry)
            self.counters.decisions += 1
            if isinstance(decision, Refusal):
                commands += self._refused(decision)
                continue
            self.counters.signals += 1
            commands.append(RecordSignal(instrument=index, signal=decision.signal))
            opened = self.executor.open(
                decision.signal,
                index,
                decision.target_lots,
                decision.delta_lots,
                self._execution_view(quotes),
                decision.outlook,
            )
            commands += [command for command in opened if not isinstance(command, RecordRefusal)]
            for command in opened:
                if isinstance(command, RecordRefusal):
                    commands += self._refused(command.refusal)
        return commands

    def _refused(self, refusal: Refusal) -> list[Command]:
        code = refusal.code.value
        self.counters.refusals[code] = self.counters.refusals.get(code, 0) + 1
        self.brain.note_refusal(refusal, self._entry.ts_mono_ns)
        return [RecordRefusal(refusal=refusal)]

    def _on_order_reply(self, reply: Any) -> list[Command]:
        quotes = self.quotes()
        if isinstance(reply, OrderFilled):
            self.counters.fills += 1
        commands = self.executor.on_reply(reply, self._execution_view(quotes))
        commands += self._after_execution(quotes)
        # A fill changes equity at once: whoever asks, and the kill switch, must not see what it was before.
        return commands + self._look(quotes) if isinstance(reply, OrderFilled) else commands

    def _after_execution(self, quotes: tuple[Quote, ...]) -> list[Command]:
        """Hand on what the executor noticed: closed trades and executed signals to the strategy, a halt that it wants."""
        for trade in self.executor.take_closed_trades():
            self.brain.on_closed(trade)
        for signal_id in self.executor.take_executed_signals():
            self.brain.on_executed(signal_id)
        reason = self.executor.take_halt_request()
        return [] if reason is None else self._halt(reason, quotes, must_flatten=False)

    def _on_account_reported(self, reported: AccountReported) -> list[Command]:
        quotes = self.quotes()
        commands = self.executor.reconcile(reported, self._execution_view(quotes))
        if not self.is_reconciled and self.executor.is_in_doubt:
            # One report may have crossed a fill on its way; the next one decides, and until then nothing is ordered.
            return [*commands, RequestAccount(reason="start, once more: a position differs")]
        if not self.is_reconciled:
            self.is_reconciled = True
            if self.money.state.halted:
                text = f"still halted: {self.money.state.reason}"
                commands.append(Notify(severity="warning", subject="halted", text=text))
            if self.money.must_be_flat and not self.executor.is_flat:
                commands += self.executor.flatten(self.money.state.reason, self._execution_view(quotes))
        return commands + self._after_execution(quotes)

    def _on_halt_requested(self, request: HaltRequested) -> list[Command]:
        return self._halt(request.reason, self.quotes(), must_flatten=False)

    def _on_flatten_requested(self, request: FlattenRequested) -> list[Command]:
        """Close everything and stay halted: else the strategy would open the next position at once."""
        quotes = self.quotes()
        commands = self._halt(f"{FLATTEN}{request.reason}", quotes, must_flatten=True)
        if self.is_reconciled and not self.executor.is_flattening:
            commands += self.executor.flatten(request.reason, self._execution_view(quotes))
        return commands

    def _on_scale_requested(self, request: ScaleRequested) -> list[Command]:
        """Scale new entries from here on. What is held stays as it is; entries that wait for more than they may be are withdrawn."""
        desk = self.brain.desk
        factor = request.factor if 0.0 <= request.factor <= 1.0 else 0.0
        before, desk.scale = desk.scale.factor, ScaleState(factor=factor, reason=request.reason)
        if factor == before:
            return []
        text = f"new entries are {factor:.0%} of their size: {request.reason}"
        said = Notify(severity="info" if factor > before else "warning", subject="size", text=text)
        record = RecordScale(factor=factor, reason=request.reason)
        withdrawn = self.executor.cancel_entries(request.reason, self._execution_view(self.quotes())) if factor < before else []
        return [record, *withdrawn, said]

    def _on_resume_requested(self, request: ResumeRequested) -> list[Command]:
        self.money.observe(self.quotes(), self._entry.ts_mono_ns, self._entry.ts_wall_ns)
        outcome = self.money.resume(request.reason)
        if isinstance(outcome, ResumeEvent):
            return [RecordResume(reason=outcome.reason, epoch=outcome.epoch, old_peak=outcome.old_peak, new_peak=outcome.new_peak)]
        return [Notify(severity="warning", subject="resume refused", text=outcome.reason)]

    def _on_transfer_requested(self, request: TransferRequested) -> list[Command]:
        """Book money that a person moved: the peak and the day's opening move with it, for nothing was won or lost."""
        halted = self._look(self.quotes())
        denied = self.money.transfer(request.amount, request.reason)
        if denied is not None:
            return [*halted, Notify(severity="warning", subject="transfer refused", text=denied)]
        text = f"{request.amount} ({request.reason}); the peak is {self.money.state.peak} now"
        moved = RecordCash(kind="transfer", amount=request.amount, reason=request.reason, reference="", peak=self.money.state.peak)
        return [*halted, moved, *self._record_day(), Notify(severity="info", subject="transfer", text=text)]

    def _on_funding_paid(self, paid: FundingPaid) -> list[Command]:
        """Book funding, once: it is profit or loss like any other, and the kill switch looks at once."""
        if not self.executor.portfolio.apply_funding(paid.amount, paid.reference):
            return []
        name = self.market.instruments[paid.instrument].name
        peak, at_ns = self.money.state.peak, paid.ts_event_ns
        moved = RecordCash(kind="funding", amount=paid.amount, reason=name, reference=paid.reference, peak=peak, ts_event_ns=at_ns)
        return [moved, *self._look(self.quotes())]

    def _on_money_moved(self, moved: MoneyMoved) -> list[Command]:
        """Say that somebody moved money: it is neither profit nor loss, and only a person can say whether it was the daemon's."""
        amount = f"{moved.amount:f}"
        told = amount if moved.amount > 0 else f"-- {amount}"
        text = (
            f"{amount} {moved.asset} moved on the account without an order of ours ({moved.reason}): neither profit nor loss, not booked. "
            f'If it is money that may be used, or was, say so: smartmoney transfer --reason "…" {told}'
        )
        return [Notify(severity="warning", subject="money moved", text=text)]

    def _record_day(self) -> list[Command]:
        day = self.money.take_day()
        return [] if day is None else [day]

    def _halt(self, reason: str, quotes: tuple[Quote, ...], *, must_flatten: bool) -> list[Command]:
        event = self.money.halt(reason, must_flatten=must_flatten)
        return [] if event is None else self._halted(event, quotes)

    def _look(self, quotes: tuple[Quote, ...]) -> list[Command]:
        """Let the kill switch look at equity: on every tick, and on every frame that moved a market while something is held."""
        if self.is_warming:
            return []  # there is no market to value anything at, and none can be missing
        event = self.money.observe(quotes, self._entry.ts_mono_ns, self._entry.ts_wall_ns)
        self.has_looked = True
        return [] if event is None else self._halted(event, quotes)

    def _halted(self, event: KillEvent, quotes: tuple[Quote, ...]) -> list[Command]:
        record = RecordHalt(reason=event.reason, epoch=event.epoch, equity=event.equity, peak=event.peak)
        view = self._execution_view(quotes)
        # Before the venue has said what is held there, nothing is sold; `_on_account_reported` goes on from here.
        is_closing = event.must_flatten and self.is_reconciled
        follow = self.executor.flatten(event.reason, view) if is_closing else self.executor.cancel_entries(event.reason, view)
        return [record, *follow, Notify(severity="critical", subject="halted", text=event.reason)]

    def _look_back(self, touches: Sequence[Touch], wall_ns: int, mono_ns: int) -> None:
        """Look at equity as of the last frame or tick that was passed over: within the bounds no earlier look says more."""
        quotes = [_NO_QUOTE] * len(self.market.instruments)
        for touch in touches:
            quotes[touch.instrument] = Quote(best_bid_ticks=touch.bid_ticks, best_ask_ticks=touch.ask_ticks, trust=FeedTrust.SYNCED)
        if self.money.observe(quotes, mono_ns, wall_ns) is not None:
            raise AssertionError("the kill switch acted on a mark within its bounds")

    def _record_equity(self) -> list[Command]:
        equity, peak = self.money.equity, self.money.state.peak
        if equity is None or peak is None:
            return []
        now, (last_peak, last_at) = self._entry.ts_mono_ns, self._equity_recorded
        if peak == last_peak and now - last_at < EQUITY_EVERY_NS:
            return []
        self._equity_recorded = (peak, now)
        return [RecordEquity(equity=equity, peak=peak)]

    def _on_feed_connected(self, _connected: FeedConnected) -> list[Command]:
        return []

    def _on_feed_disconnected(self, lost: FeedDisconnected) -> list[Command]:
        self.market.on_feed_lost(lost.instruments, self._entry.ts_mono_ns)
        return []

    def _on_feed_overflowed(self, _overflowed: FeedOverflowed) -> list[Command]:
        return self.market.on_overflow(self._entry.ts_mono_ns)

    def _on_snapshot_failed(self, failed: SnapshotFailed) -> list[Command]:
        return self.market.on_snapshot_failed(failed.instrument, self._entry.ts_mono_ns, failed.reason)

    def _on_model_activated(self, activated: ModelActivated) -> list[Command]:
        self.brain.activate(activated.model)
        return [Notify(severity="info", subject="model", text=f"{self.brain.model_name} decides from here on")]

    def _on_run_stopping(self, stopping: RunStopping) -> list[Command]:
        self.is_stopping = True
        return self.executor.cancel_entries(f"stopping: {stopping.reason}", self._execution_view(self.quotes()))

    def _execution_view(self, quotes: tuple[Quote, ...]) -> ExecutionView:
        return ExecutionView(
            seq=self._entry.seq,
            now_mono_ns=self._entry.ts_mono_ns,
            quotes=quotes,
            equity=self.money.equity,
            halted=self.money.state.halted,
            halt_epoch=self.money.state.epoch,
            daily_loss=self.money.daily_loss,
        )

    _HANDLERS: Mapping[type, Callable[["Engine", Any], list[Command]]] = {
        RunStarted: _on_run_started,
        WarmUpEnded: _on_warm_up_ended,
        Tick: _on_tick,
        FeedConnected: _on_feed_connected,
        FeedDisconnected: _on_feed_disconnected,
        FeedOverflowed: _on_feed_overflowed,
        SnapshotFailed: _on_snapshot_failed,
        AccountReported: _on_account_reported,
        HaltRequested: _on_halt_requested,
        ResumeRequested: _on_resume_requested,
        FlattenRequested: _on_flatten_requested,
        ScaleRequested: _on_scale_requested,
        TransferRequested: _on_transfer_requested,
        FundingPaid: _on_funding_paid,
        MoneyMoved: _on_money_moved,
        ModelActivated: _on_model_activated,
        RunStopping: _on_run_stopping,
        **dict.fromkeys(_OF_ORDERS, _on_order_reply),
    }

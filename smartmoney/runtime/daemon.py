"""The daemon: opens the state directory, recovers the account, opens the venue, and supervises the loop until it is told to stop.

Start-up is crash recovery (law 5): the journal is folded, the venue is asked, the answers are reconciled, then READY is said. There is no
other way in, and no other way out than the one that a crash takes, plus a clean closing of files.
"""

import asyncio
import contextlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import structlog

from smartmoney.adapters.control import ControlServer
from smartmoney.adapters.recording_blocks import Block
from smartmoney.adapters.service import ServiceNotifier
from smartmoney.adapters.state_directory import StateDirectory
from smartmoney.core.domain.entries import EntryKind, HaltRequested, Payload, RunStopping, Tick
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.view import EngineView
from smartmoney.runtime import storage
from smartmoney.runtime.assembly import simulated_words, strategy_factory
from smartmoney.runtime.bookmarks import CONFIRM_S, Bookmarks
from smartmoney.runtime.bookmarks import EVERY_S as BOOKMARK_EVERY_S
from smartmoney.runtime.capture_care import CaptureCare
from smartmoney.runtime.clock import now
from smartmoney.runtime.control import ControlDesk
from smartmoney.runtime.drift_watch import DriftWatch
from smartmoney.runtime.explaining import Explainer
from smartmoney.runtime.gateway import NoGateway, OrderGateway, PaperGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.latency import LatencyRecorder
from smartmoney.runtime.live import LiveOrders, door_terms, open_live
from smartmoney.runtime.lookout import Lookout
from smartmoney.runtime.loop import Batch, Loop
from smartmoney.runtime.models import Models, drift_action, size_plan
from smartmoney.runtime.modes import run_mode
from smartmoney.runtime.rollback import Rollback
from smartmoney.runtime.sender import OUTBOX_MAX, Sender
from smartmoney.runtime.status_lines import log_line, service_line
from smartmoney.runtime.stopping import Stop, signals
from smartmoney.runtime.summary import Summary, summarise
from smartmoney.runtime.supervisor import Beat, ChildSpec, Restart, Supervisor
from smartmoney.runtime.training_watch import Notes, TrainingWatch
from smartmoney.runtime.venue_session import BinanceSession, VenueSession, open_venue
from smartmoney.runtime.warm_start import warm_blocks
from smartmoney.runtime.warming import Warming
from smartmoney.settings.models import Settings

log = structlog.get_logger("daemon")

TICK_S = 0.1
STATUS_EVERY_S = 5.0
MONITOR_EVERY_S = 300.0
WATCH_S = 0.5
READY_LOOK_S = 0.02
PROTECTED_S_MAX = 3.0
"""How long READY waits for the stop of what is held: guard and people look after one that is refused for longer."""
LATCH_ROUNDS = 4
"""Rounds of the watch that a latch may stand there without a halt in the engine."""
SENDER_SILENT_S_MAX = 60.0
LOOP_SILENT_S_MAX = 10.0
"""A loop that has not turned for so long is stuck: the process ends and is started again."""

LAST_ROUNDS = 3
"""Times that a live run waits for the answers to its last requests."""
_SCRATCH = "scratch-"

Screen = Callable[["Running"], None]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Be what a screen may look at while the daemon runs."""

    view: Callable[[], EngineView]
    simulated: str
    max_drawdown: float


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the command line decided. `seconds` None runs until a signal; `screen` is called a few times a second."""

    settings: Settings
    state_path: Path
    seconds: float | None = None
    warm: Path | None = None
    screen: Screen | None = None
    screen_every_s: float = 0.25


async def run_daemon(options: Options) -> Summary:
    """Run until a signal, the time limit or a failure; return the summary.

    Raises:
        StateDirectoryError, ModelNotFound, BundleRefused, ModelNotFitForLive, JournalRefused, StrategyLoadError, ExchangeFailed, RestError,
            ProtocolError: it could not start, and nothing was lost.
        CredentialsError, AccountTaken, DoorClosed: it may not trade live; nothing was sent.
        StoppedEarly: a signal came before it had started.
        BaseExceptionGroup: a child took the process down.
    """
    settings = options.settings
    async with signals() as stop:
        with StateDirectory.open(options.state_path) as state, _scratch(state.layout.cache) as scratch:
            inbox = Inbox()
            models = Models(state.layout.models)
            model = models.start(settings)
            async with open_live(settings) as live, open_venue(settings, inbox, scratch, settings.sim.seed) as venue:
                named = ("", "") if live is None else (run_mode(settings), live.identity)
                with storage.open_account(settings, state.layout, venue.instruments, *named) as account:
                    if live is not None:
                        await _enter(settings, live, venue, account)
                    with storage.open_run(settings, state.layout, venue.instruments, model, account) as run:
                        return await Daemon(options, state, inbox, venue, run, models, live).serve(stop)


class Daemon:
    """Wire one run together and supervise it."""

    def __init__(
        self,
        options: Options,
        state: StateDirectory,
        inbox: Inbox,
        venue: VenueSession,
        run: storage.OpenRun,
        models: Models,
        live: LiveOrders | None = None,
    ) -> None:
        self._options = options
        self._live = live
        self._state = state
        self._inbox = inbox
        self._venue = venue
        self._run = run
        self._models = models
        self._notifier = ServiceNotifier()
        self._lag = LatencyRecorder()
        self._ready = asyncio.Event()
        self._engine = Engine(venue.codec, strategy_factory(options.settings.directory), models.bundle)
        self._outbox = outbox = asyncio.Queue[Batch](OUTBOX_MAX)
        self._loop = Loop(self._engine, inbox, run.capture, NoGateway(), outbox)
        # The first entry makes the books, which the paper venue must be able to see.
        self._loop.process(_event(run.started))
        gateway = self._gateway()
        self._care = CaptureCare(state.layout.captures, run.started.run_id, options.settings.capture)
        self._explainer = Explainer(self._engine, outbox, lambda: self._loop.seq)
        self._lookout = Lookout(options.settings, run.started.instruments, self._engine, state.layout.heartbeat)
        is_known = (lambda: True) if live is None else (lambda: self._engine.is_reconciled)
        # Until there is an entry to step, the guard hears from here that the daemon recovers.
        recovers = self._lookout.heartbeats.starting
        pressed = lambda: self._engine.executor.is_pressed  # noqa: E731
        self._warming = Warming(self._loop, venue.instruments, self._past, run.capture, gateway, is_known, recovers, pressed)
        epoch = run.started.halt.epoch
        self._sender = Sender(outbox, run.ledger, run.latch, gateway, venue, inbox.post, epoch, self._lookout.on_batch)
        self._desk = ControlDesk(self._loop, self._sender, inbox.post, self._engine.view, self.summary, self._prepare_model)
        notes = Notes(lambda: self._loop.seq, self._lookout.tell, outbox)
        self._training = TrainingWatch(
            options.settings, state.layout, self._engine, self._desk.activate, notes, run.journal.reader.trainings()
        )
        self._rollback = Rollback(models.store, self._engine, self._desk.activate, notes, inbox)
        self._drift = DriftWatch(
            self._engine,
            models.reference,
            lambda: self._loop.seq,
            inbox.post,
            self._lookout.tell,
            action=drift_action(options.settings),
            retrain=self._training.ask,
            roll_back=self._rollback.ask,
            sizes=size_plan(options.settings),
        )
        self._drift.remember(run.journal.reader, run.started.venue, options.settings.market)
        if run.latched_for is not None:
            # The file stands there and the journal does not know why: a halt whose commit failed, or one while no daemon ran.
            self._loop.process(_event(HaltRequested(reason=run.latched_for)))

    def _gateway(self) -> OrderGateway:
        """Return where orders go: the account, or the paper venue."""
        if self._live is None:
            return PaperGateway(
                storage.paper_venue(self._options.settings, self._run), self._engine.market, self._engine.executor.portfolio
            )
        self._live.begin(self._run.account, self._inbox.post, self._run.latch.is_set)
        return self._live.gateway

    async def serve(self, stop: Stop) -> Summary:
        """Run until told to stop; close in order."""
        server = await ControlServer.start(self._state, self._desk.handle)
        self._supervisor = supervisor = Supervisor(self._children())
        is_clean = False
        try:
            stop.use(supervisor.stop)
            await supervisor.run()
            is_clean = True
        finally:
            self._notifier.stopping()
            await server.close()
            if is_clean:
                await self._finish()
            await self._lookout.on_end("stopped in order" if is_clean else "a part of it failed; see the log", is_clean=is_clean)
            self._notifier.close()
        return self.summary()

    def _prepare_model(self, asked: str) -> str:
        return self._models.prepare(asked, self._options.settings)

    def summary(self) -> Summary:
        """Sum the run up as of now."""
        lag = self._lag.percentiles()
        latency = {
            "inbox": self._loop.inbox_latency.percentiles(),
            "decision": self._loop.decision_latency.percentiles(),
            "commit": self._sender.commit_latency.percentiles(),
            "decision_to_send": self._sender.send_latency.percentiles(),
            "loop_lag": lag,
        }
        view = self._engine.view()
        return summarise(
            view,
            loop_lag=lag,
            latency=latency,
            alerts=self._lookout.alert_counts,
            drift=self._drift.status(),
            training=self._training.status(),
            model_note=self._models.note(self._options.settings, view.model_hash),
            market=self._options.settings.market,
        )

    def _past(self) -> Iterator[Block]:
        venue, layout = self._venue, self._state.layout
        recordings = venue.warm_recordings if self._options.warm is None else {"": self._options.warm}
        return warm_blocks(venue.instruments, recordings, layout.captures, self._run.started.run_id)

    async def _finish(self) -> None:
        """Stop as a crash would be recovered from: entries are withdrawn, protection stays, everything that was said is made durable."""
        await self._sender.drain()
        if (explained := await self._explainer.explained()) is not None:
            await self._sender.send([explained], is_queued=False)
        self._loop.process(_event(RunStopping(reason="stopped")))
        await self._hand_over()
        if self._live is not None:
            # What the venue says to the last cancels belongs to this run, and a fill among it still gets its stop.
            for _ in range(LAST_ROUNDS):
                await self._live.gateway.settle()
                for item in self._inbox.take(len(self._inbox)):
                    self._loop.process(item)
                await self._hand_over()
            await self._live.gateway.close()
        stamp = now()
        self._run.capture.ensure_durable(self._loop.seq)
        self._run.journal.end_run(stamp.wall_ns, self._loop.seq, self._engine.digest)

    async def _hand_over(self) -> None:
        if (batch := self._loop.take()) is not None:
            await self._sender.send([batch], is_queued=False)

    def _children(self) -> tuple[ChildSpec, ...]:
        children = [
            ChildSpec(name="loop", start=self._loop.run, restart=Restart.ESSENTIAL, beat_s_max=LOOP_SILENT_S_MAX),
            ChildSpec(name="sender", start=self._sender.run, restart=Restart.ESSENTIAL, beat_s_max=SENDER_SILENT_S_MAX),
            ChildSpec(name="ticker", start=self._tick, beat_s_max=LOOP_SILENT_S_MAX),
            # A past that was half folded cannot be folded again: what fails there ends the process.
            ChildSpec(name="warm start", start=self._warming.run, restart=Restart.TRANSIENT, restarts_max=0, beat_s_max=LOOP_SILENT_S_MAX),
            ChildSpec(name="feed", start=self._feed, beat_s_max=LOOP_SILENT_S_MAX),
            # What goes wrong there it tries again itself; a bug there costs the venue's rate of funding, and must not cost the daemon.
            ChildSpec(name="funding", start=self._follow_funding, restart=Restart.TEMPORARY),
            ChildSpec(name="watch", start=self._watch, restart=Restart.ESSENTIAL, beat_s_max=LOOP_SILENT_S_MAX),
            ChildSpec(name="ready", start=self._announce, restart=Restart.TRANSIENT, beat_s_max=LOOP_SILENT_S_MAX),
            ChildSpec(name="captures", start=lambda beat: self._care.run(self._warming.ended, beat)),
            ChildSpec(name="bookmarks", start=self._bookmark),
            ChildSpec(name="explainer", start=self._explainer.run),
            ChildSpec(name="drift", start=lambda beat: self._drift.run(beat, self._outbox)),
            ChildSpec(name="training", start=self._training.run, restart=Restart.TEMPORARY),
            ChildSpec(name="rollback", start=self._rollback.run),
            *self._lookout.children(self._loop, self._sender),
        ]
        if self._live is not None:
            children += self._live.children()
        if self._options.seconds is not None:
            children.append(ChildSpec(name="limit", start=self._limit, restart=Restart.TRANSIENT))
        if self._options.screen is not None:
            children.append(ChildSpec(name="screen", start=self._show, restart=Restart.TEMPORARY))
        return tuple(children)

    async def _feed(self, beat: Beat) -> None:
        """Follow the market from the end of the past on."""
        await self._warmed(beat)
        await self._venue.feed(beat)

    async def _follow_funding(self, beat: Beat) -> None:
        """Hear what the venue tells of funding from the end of the past on."""
        await self._warmed(beat)
        await self._venue.funding()

    async def _warmed(self, beat: Beat) -> None:
        while not self._warming.ended.is_set():
            beat()
            await asyncio.sleep(READY_LOOK_S)

    async def _tick(self, beat: Beat) -> None:
        """Post a tick each 100 ms from the end of the past on, and measure how late the event loop is."""
        await self._warmed(beat)
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due += TICK_S
            await asyncio.sleep(max(0.0, due - clock()))
            late = clock() - due
            self._lag.add(round(max(0.0, late) * 1e9))
            if late > TICK_S:
                due = clock()
            beat()
            self._inbox.post(Tick())

    async def _announce(self, beat: Beat) -> None:
        """Say READY as soon as the account is reconciled and what is held has its stop, which is waited for only so long."""
        clock = asyncio.get_running_loop().time
        patience_ends = math.inf
        while not self._engine.is_reconciled or (not self._is_protected() and clock() < patience_ends):
            beat()
            if self._engine.is_reconciled and patience_ends == math.inf:
                patience_ends = clock() + PROTECTED_S_MAX
            await asyncio.sleep(READY_LOOK_S)
        view = self._engine.view()
        self._ready.set()
        self._notifier.ready()
        self._lookout.on_ready(view)
        known = {} if view.account.equity is None else {"equity": view.account.equity}
        log.info("ready", run_id=view.run_id, mode=view.mode, halted=view.account.halted, **known)

    def _is_protected(self) -> bool:
        return all(self._engine.executor.is_protected(index) for index in range(len(self._venue.instruments)))

    async def _watch(self, beat: Beat) -> None:
        """Tell the service manager and the log how things are, while the loop makes progress."""
        status_due = monitor_due = 0.0
        clock = asyncio.get_running_loop().time
        seen = (-1, 0)
        lost = unexplained = 0
        while True:
            beat()
            view = self._engine.view()
            # A latch that somebody else set (a halt while we were starting, a guard, `touch HALT`) is a halt; one that a resume is about to
            # take away is gone within its commit.
            unexplained = unexplained + 1 if self._run.latch.is_set() and not view.account.halted else 0
            if unexplained >= LATCH_ROUNDS:
                self._inbox.post(HaltRequested(reason=self._run.latch.reason()))
            progress = (self._loop.seq, self._loop.turns if self._engine.is_warming else 0)
            if progress != seen:
                seen = progress
                self._notifier.beat(now().mono_ns)
            if self._run.capture.lost > lost:
                lost = self._run.capture.lost
                log.error("the capture could not keep up: this run replays up to there only", entries_lost=lost)
            if clock() >= status_due:
                status_due = clock() + STATUS_EVERY_S
                if self._options.screen is None:
                    log.info("status", **log_line(view))
                self._notifier.status(service_line(view))
            if clock() >= monitor_due:
                if monitor_due:
                    log.info("monitor", **view.performance)
                monitor_due = clock() + MONITOR_EVERY_S
            await asyncio.sleep(WATCH_S)

    async def _limit(self, beat: Beat) -> None:
        """Stop after the given time, counted from READY and the end of the past."""
        del beat
        assert self._options.seconds is not None
        await self._ready.wait()
        await self._warming.ended.wait()
        await asyncio.sleep(self._options.seconds)
        self._supervisor.stop()

    async def _bookmark(self, beat: Beat) -> None:
        """Leave a bookmark of every book in the capture, now and then."""
        del beat
        bookmarks = Bookmarks(self._engine.market, self._inbox)
        while True:
            await asyncio.sleep(BOOKMARK_EVERY_S)
            bookmarks.take()
            while not bookmarks.offer():  # noqa: ASYNC110 - frames move the book on, no event tells of it
                await asyncio.sleep(CONFIRM_S)

    async def _show(self, beat: Beat) -> None:
        screen = self._options.screen
        assert screen is not None
        running = Running(
            view=self._engine.view,
            simulated=simulated_words(self._options.settings),
            max_drawdown=float(self._engine.parameters.limits.max_drawdown),
        )
        while True:
            beat()
            screen(running)
            await asyncio.sleep(self._options.screen_every_s)


async def _enter(settings: Settings, live: LiveOrders, venue: VenueSession, account: storage.OpenAccount) -> None:
    """Pass the door of live trading. Raises: DoorClosed."""
    exchange_info = venue.exchange_info if isinstance(venue, BinanceSession) else b""
    invested = sum((report.cost for report in account.state.positions), Decimal(0))
    await live.enter(venue.instruments, exchange_info, door_terms(settings, account.state.cash, invested))
    log.info("the door is open", mode=account.mode, account=live.identity)


def _event(payload: Payload) -> Item:
    return Item(EntryKind.EVENT, now(), payload=payload)


@contextlib.contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """Give an empty folder for the life of the process, and remove what a killed one left. The state directory's lock must be held."""
    for left in cache.glob(f"{_SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=cache, ignore_cleanup_errors=True) as folder:
        yield Path(folder)

"""Run the engine over the past: items from any source, the paper venue, no clock but the items' own.

Invariant: what came out depends on the items, the settings and the latency model alone; nothing waits, nothing is read from this machine.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Protocol

from smartmoney.core.domain.commands import CancelOrder, Command, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, RunStarted
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.stretch import Frames, Passed, Timer
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.gateway import NoGateway, PaperGateway
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.steps import Recorder, Steps
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters

MONO_START_NS = 1_000_000_000
"""The monotonic time at which the past begins."""


class Watcher(Protocol):
    """Look at an offline run without changing it."""

    def append(self, entry: Entry) -> object:
        """See an entry, replies included, before the engine does."""

    def pass_over(self, passed: Passed) -> None:
        """See that entries went by of which nothing came."""

    def settled(self) -> None:
        """See what an entry and the replies to it came to, before anything else moves the market."""

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command before it is carried out."""


class Unwatched:
    """Look at nothing."""

    def append(self, entry: Entry) -> None:
        """See an entry."""

    def pass_over(self, passed: Passed) -> None:
        """See that entries went by."""

    def settled(self) -> None:
        """See what an entry came to."""

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command."""


class _OfflineSteps(Steps):
    """Keep the commands until somebody takes them."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        super().__init__(engine, recorder, NoGateway())
        self._commands: list[Command] = []

    def take(self) -> list[Command]:
        """Return the commands since the last call, in order."""
        taken = self._commands
        if taken:
            self._commands = []
        return taken

    def _stepped(self, entry: Entry, commands: Sequence[Command]) -> None:
        del entry
        self._commands += commands


class OfflineRun:
    """Step items through an engine whose orders go to the paper venue."""

    def __init__(
        self,
        engine: Engine,
        start: RunStarted,
        paper: PaperParameters,
        *,
        latency: OrderLatency | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        """Prepare a run."""
        self.engine = engine
        self._start = start
        self._watcher = watcher or Unwatched()
        self._venue = PaperVenue(start.instruments, paper, run_id=start.run_id, cash=start.cash, latency=latency)
        self._steps = _OfflineSteps(engine, self._watcher)
        self._gateway: PaperGateway
        self.items = 0

    def run(self, items: Iterable[Item]) -> bool:
        """Step everything; return False, having done nothing, if there are no items."""
        source = iter(items)
        first = next(source, None)
        if first is None:
            return False
        self.open(first.stamp)
        for item in itertools.chain((first,), source):
            self.step(item)
        return True

    def open(self, stamp: Stamp) -> None:
        """Start the run."""
        self._steps.process(Item(EntryKind.EVENT, stamp, payload=self._start))
        self._gateway = PaperGateway(self._venue, self.engine.market, self.engine.executor.portfolio)
        self._steps.use_gateway(self._gateway)
        self._settle(stamp.mono_ns)

    def step(self, item: Item) -> None:
        """Step one item of an open run, and what comes of it."""
        self.items += 1
        self._steps.process(item)
        self._settle(item.stamp.mono_ns)

    def step_frames(self, frames: Frames, at: int, end: int, timer: Timer) -> int:
        """Step frames from `at` on, before `end`, and the ticks between them that have nothing to do; return the next frame.

        It ends before a frame ahead of which a tick has to be run. What comes of it is what would come of the entries one by one.
        """
        while at < end:
            passed = self.engine.pass_frames(frames, at, end, timer, self._gateway.waits())
            entries = passed.frames + passed.ticks
            self.items += entries
            self._steps.pass_over(entries)
            self._gateway.pass_over(passed)
            self._watcher.pass_over(passed)
            at = passed.at
            if passed.folded is None:
                return at
            wall_ns = int(frames.rows[2, at])
            stamp = Stamp(wall_ns, wall_ns - frames.origin_ns)
            self.items += 1
            self._steps.process_folded(stamp, frames.frame(at), passed.folded)
            self._settle(stamp.mono_ns)
            at += 1
        return at

    def _settle(self, mono_ns: int) -> None:
        self._watcher.settled()
        for command in self._steps.take():
            self._watcher.asked(command, mono_ns)
            if isinstance(command, SubmitOrder):
                self._gateway.submit(command.approved, mono_ns)
            elif isinstance(command, CancelOrder):
                self._gateway.cancel(command.client_order_id, mono_ns)
            elif isinstance(command, RequestAccount):
                self._gateway.request_account(mono_ns)

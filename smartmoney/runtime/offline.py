"""Run the engine over the past: items from any source, the paper venue, no clock but the items' own.

Invariant: what came out depends on the items, the settings and the latency model alone; nothing waits, nothing is read from this machine.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

from smartmoney.core.domain.commands import CancelOrder, Command, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, RunStarted
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.gateway import NoGateway, PaperGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.loop import Batch, Loop
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_parameters import PaperParameters

MONO_START_NS = 1_000_000_000
"""The monotonic time at which the past begins."""


class Watcher(Protocol):
    """Look at an offline run without changing it."""

    def append(self, entry: Entry) -> object:
        """See an entry, replies included, before the engine does."""

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command before it is carried out."""


class Unwatched:
    """Look at nothing."""

    def append(self, entry: Entry) -> None:
        """See an entry."""

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command."""


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
        self.items = 0

    def run(self, items: Iterable[Item], *, after_start: Iterable[Item] = (), on_ready: Callable[[Engine], None] | None = None) -> bool:
        """Step everything; return False, having done nothing, if there are no items.

        `after_start` follows the start at once; `on_ready` may hook into the engine once its run is open.
        """
        source = iter(items)
        first = next(source, None)
        if first is None:
            return False
        loop = Loop(self.engine, Inbox(), self._watcher, NoGateway(), asyncio.Queue())
        loop.process(Item(EntryKind.EVENT, first.stamp, payload=self._start))
        if on_ready is not None:
            on_ready(self.engine)
        gateway = PaperGateway(self._venue, self.engine.market, self.engine.executor.portfolio)
        loop.use_gateway(gateway)
        self._carry_out(loop.take(), gateway, first.stamp.mono_ns)
        for item in itertools.chain(after_start, (first,), source):
            self.items += 1
            loop.process(item)
            while (batch := loop.take()) is not None:
                self._carry_out(batch, gateway, item.stamp.mono_ns)
        return True

    def _carry_out(self, batch: Batch | None, gateway: PaperGateway, mono_ns: int) -> None:
        for command in batch.commands if batch is not None else ():
            self._watcher.asked(command, mono_ns)
            if isinstance(command, SubmitOrder):
                gateway.submit(command.approved, mono_ns)
            elif isinstance(command, CancelOrder):
                gateway.cancel(command.client_order_id, mono_ns)
            elif isinstance(command, RequestAccount):
                gateway.request_account(mono_ns)

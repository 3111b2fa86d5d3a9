"""The sender: what the loop asked for is made durable, then carried out, in order.

Invariants: a batch's lines are in the journal before the first of its commands leaves; the capture holds an order's inputs before the
order leaves; a failed commit sets the latch and ends the process (a failed fsync is never retried); a halt sets the latch file before any
command that follows it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from smartmoney.adapters.capture import CaptureFailed
from smartmoney.adapters.journal import JournalFailed
from smartmoney.core.domain.commands import (
    CancelOrder,
    Command,
    Notify,
    ReconnectFeed,
    RecordHalt,
    RecordResume,
    RequestAccount,
    RequestSnapshot,
    SubmitOrder,
)
from smartmoney.core.domain.entries import SendRefused
from smartmoney.runtime.clock import now
from smartmoney.runtime.gateway import OrderGateway, refusal_before_send
from smartmoney.runtime.latency import LatencyRecorder
from smartmoney.runtime.loop import Batch
from smartmoney.runtime.supervisor import Beat

log = structlog.get_logger("sender")

OUTBOX_MAX = 1_000
"""Batches that may wait for the disk; beyond that the loop waits too."""
_IDLE_BEAT_S = 1.0


class Ledger(Protocol):
    """Make batches durable."""

    def commit(self, batches: Sequence[Batch]) -> None:
        """Commit all lines and checkpoints in one transaction; durable at return."""

    def ensure_captured(self, seq: int) -> None:
        """Make the capture durable up to an entry."""


class Latch(Protocol):
    """Keep the file that says halted, whatever else is lost."""

    def set(self, reason: str, epoch: int) -> None:
        """Put it in force, durably."""

    def clear(self) -> None:
        """Take it away."""

    def is_set(self) -> bool:
        """Tell whether it is in force."""


class Outside(Protocol):
    """Carry out what is neither an order nor a record."""

    def request_snapshot(self, instrument: int, reason: str) -> None:
        """Fetch a depth snapshot in the background."""

    def reconnect(self, instrument: int, reason: str) -> None:
        """Rebuild an instrument's feed."""


class Sender:
    """Drain the outbox. `halt_epoch` follows the records that pass through it."""

    def __init__(
        self,
        outbox: "asyncio.Queue[Batch]",
        ledger: Ledger,
        latch: Latch,
        gateway: OrderGateway,
        outside: Outside,
        refuse: Callable[[SendRefused], None],
        halt_epoch: int,
        tell: Callable[[Batch], None] = lambda _batch: None,
    ) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._latch = latch
        self._gateway = gateway
        self._outside = outside
        self._refuse = refuse
        self._halt_epoch = halt_epoch
        self._tell = tell
        self.turned_mono_ns = now().mono_ns
        """When it last looked for work: it stands still while a disk does not answer."""
        self.commit_latency = LatencyRecorder()
        self.send_latency = LatencyRecorder()
        """From the decision to the order's hand-over, the commit included."""

    async def run(self, beat: Beat) -> None:
        """Send forever."""
        while True:
            beat()
            self.turned_mono_ns = now().mono_ns
            try:
                async with asyncio.timeout(_IDLE_BEAT_S):
                    first = await self._outbox.get()
            except TimeoutError:
                continue
            await _to_the_end(self.send([first, *self._waiting()]))

    async def settled(self) -> None:
        """Wait until everything that was in the outbox is committed and carried out."""
        await self._outbox.join()

    async def drain(self) -> None:
        """Send what is waiting and return. Call it only once `run` has ended: the ledger is for one at a time."""
        while batches := self._waiting():
            await self.send(batches)

    async def send(self, batches: Sequence[Batch], *, is_queued: bool = True) -> None:
        """Commit some batches as one, then carry out their commands in order.

        Raises:
            JournalFailed, CaptureFailed: nothing was sent; the latch is set.
        """
        started = now().mono_ns
        try:
            await asyncio.to_thread(self._commit, batches)
        except (JournalFailed, CaptureFailed) as error:
            # A failed write is never tried again: the file that says halted is another file, and the process ends.
            self._latch.set(f"the journal could not be written: {error}", self._halt_epoch)
            raise
        self.commit_latency.add(now().mono_ns - started)
        for batch in batches:
            for command in batch.commands:
                self._carry_out(command, batch)
            self._tell(batch)
            if is_queued:
                self._outbox.task_done()

    def _commit(self, batches: Sequence[Batch]) -> None:
        if any(batch.has_orders for batch in batches):
            self._ledger.ensure_captured(batches[-1].last_seq)
        self._ledger.commit(batches)

    def _waiting(self) -> list[Batch]:
        return [self._outbox.get_nowait() for _ in range(self._outbox.qsize())]

    def _carry_out(self, command: Command, batch: Batch) -> None:
        match command:
            case SubmitOrder():
                self._submit(command, batch)
            case CancelOrder():
                self._gateway.cancel(command.client_order_id, now().mono_ns)
            case RequestSnapshot():
                self._outside.request_snapshot(command.instrument, command.reason)
            case RequestAccount():
                self._gateway.request_account(now().mono_ns)
            case ReconnectFeed():
                self._outside.reconnect(command.instrument, command.reason)
            case RecordHalt():
                self._halt_epoch = command.epoch
                self._latch.set(command.reason, command.epoch)
            case RecordResume():
                self._halt_epoch = command.epoch
                self._latch.clear()
                log.warning("resumed", reason=command.reason, old_peak=command.old_peak, new_peak=command.new_peak)
            case Notify():
                getattr(log, {"info": "info", "warning": "warning"}.get(command.severity, "critical"))(command.subject, text=command.text)
            case _:
                pass  # the other records were for the journal only

    def _submit(self, command: SubmitOrder, batch: Batch) -> None:
        at = now().mono_ns
        refusal = refusal_before_send(command.approved, at, self._halt_epoch, is_latched=self._latch.is_set())
        if refusal is not None:
            log.warning("order not sent", client_order_id=refusal.client_order_id, reason=refusal.reason)
            self._refuse(refusal)
            return
        self._gateway.submit(command.approved, at)
        self.send_latency.add(at - batch.decided_mono_ns)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish some work even when cancelled meanwhile: what is being committed must also be carried out, and nobody else may commit now."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        task.result()
        raise

"""The loop: items of the inbox become numbered entries, are captured, stepped, and their commands handed to the sender.

Invariants: entries are numbered in the order they are stepped, without holes; each is in the capture before the engine sees it; what the
paper venue answers to an entry is the next entry; commands leave in the order in which they were made.
"""

import asyncio
from typing import Protocol

import msgspec

from smartmoney.adapters.journal_rows import Explanation, TrainingNote, Witness
from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, OrderReply, Payload, Tick
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.gateway import OrderGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.latency import LatencyRecorder
from smartmoney.runtime.supervisor import Beat

ITEMS_PER_TURN = 256
"""Items stepped before the event loop gets a turn: bounds what one burst can delay the sockets by."""
CHECKPOINT_NS = 1_000_000_000


class Recorder(Protocol):
    """Take every entry, in order, without blocking."""

    def append(self, entry: Entry) -> object:
        """Take one entry."""


class Line(msgspec.Struct, frozen=True):
    """Be one thing to journal with the entry that it belongs to: a command of ours, a reply about our orders, what was noted beside."""

    seq: int
    wall_ns: int
    what: Command | OrderReply | Explanation | Witness | TrainingNote


class Checkpoint(msgspec.Struct, frozen=True):
    """Be the digest after the step of entry `seq`."""

    seq: int
    digest: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one turn of the loop asks of the world: journal the lines and the checkpoint, then carry the commands out in order."""

    lines: tuple[Line, ...]
    commands: tuple[Command, ...]
    checkpoint: Checkpoint | None
    last_seq: int
    decided_mono_ns: int
    has_orders: bool


class Loop:
    """Step entries. `outbox` is bounded: when the sender falls behind, the loop waits and the inbox applies its overflow policy."""

    def __init__(self, engine: Engine, inbox: Inbox, capture: Recorder, gateway: OrderGateway, outbox: "asyncio.Queue[Batch]") -> None:
        self._engine = engine
        self._inbox = inbox
        self._capture = capture
        self._gateway = gateway
        self._outbox = outbox
        self._seq = 0
        self._lines: list[Line] = []
        self._commands: list[Command] = []
        self._checkpoint_due = 0
        self._last_mono = 0
        self._turned = asyncio.Event()
        self.inbox_latency = LatencyRecorder()
        """From a frame's arrival to its fold."""
        self.decision_latency = LatencyRecorder()
        """From an entry's arrival to the end of the step that decided on it."""

    @property
    def seq(self) -> int:
        """Return the number of the last entry."""
        return self._seq

    async def run(self, beat: Beat) -> None:
        """Step forever."""
        while True:
            items = await self._inbox.drain(ITEMS_PER_TURN)
            beat()
            for item in items:
                self.process(item)
            await self._hand_over()
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()
            # A full inbox must not starve the sockets, the ticker and the control socket.
            await asyncio.sleep(0)

    def use_gateway(self, gateway: OrderGateway) -> None:
        """Send orders elsewhere from the next entry on: the paper venue needs books, which the first entry makes."""
        self._gateway = gateway

    async def next_turn(self) -> None:
        """Wait for the end of a turn."""
        await self._turned.wait()

    def process(self, item: Item) -> None:
        """Step one item, and whatever the paper venue answers to it."""
        self._step(item.kind, item.stamp, item.connection, item.instrument, item.frame, item.payload)

    def pass_over(self, entries: int) -> None:
        """Number entries that were stepped without being made, because none of them asked for anything."""
        self._seq += entries

    def process_folded(self, item: Item, folded: int) -> None:
        """Step one frame that is folded already, and whatever the paper venue answers to it."""
        self._step(item.kind, item.stamp, item.connection, item.instrument, item.frame, item.payload, folded)

    async def _hand_over(self) -> None:
        """Put what has gathered into the outbox, or keep it when cancelled meanwhile: the end of the run hands it over then."""
        batch = self.take()
        if batch is None:
            return
        try:
            await self._outbox.put(batch)
        except asyncio.CancelledError:
            self._lines[:0], self._commands[:0] = batch.lines, batch.commands
            raise

    def take(self) -> Batch | None:
        """Return what has gathered since the last call, None if nothing has."""
        if not self._lines and not self._commands:
            return None
        batch = Batch(
            lines=tuple(self._lines),
            commands=tuple(self._commands),
            checkpoint=self._checkpoint(),
            last_seq=self._seq,
            decided_mono_ns=self._last_mono,
            has_orders=SubmitOrder in map(type, self._commands),
        )
        self._lines.clear()
        self._commands.clear()
        return batch

    def _step(
        self,
        kind: EntryKind,
        stamp: Stamp,
        connection: int,
        instrument: int,
        frame: bytes,
        payload: Payload | None,
        folded: int | None = None,
    ) -> None:
        self._seq += 1
        entry = Entry(
            seq=self._seq,
            kind=kind,
            ts_wall_ns=stamp.wall_ns,
            ts_mono_ns=stamp.mono_ns,
            connection=connection,
            instrument=instrument,
            frame=frame,
            payload=payload,
        )
        self._capture.append(entry)
        commands = self._engine.step(entry) if folded is None else self._engine.step_folded(entry, folded)
        if payload is not None and type(payload) is not Tick and isinstance(payload, OrderReply):
            self._lines.append(Line(self._seq, stamp.wall_ns, payload))
        if commands:
            self._lines += [Line(self._seq, stamp.wall_ns, command) for command in commands]
            self._commands.extend(commands)
        self._measure(kind, stamp, has_decided=bool(commands) and type(payload) is Tick)
        for reply in self._gateway.advance(entry):
            self._step(EntryKind.EVENT, stamp, 0, -1, b"", reply)

    def _measure(self, kind: EntryKind, stamp: Stamp, *, has_decided: bool) -> None:
        self._last_mono = now().mono_ns
        if self._engine.is_warming:
            return
        if kind is EntryKind.FRAME:
            self.inbox_latency.add(self._last_mono - stamp.mono_ns)
        elif has_decided:
            self.decision_latency.add(self._last_mono - stamp.mono_ns)

    def _checkpoint(self) -> Checkpoint | None:
        if self._last_mono < self._checkpoint_due:
            return None
        self._checkpoint_due = self._last_mono + CHECKPOINT_NS
        return Checkpoint(self._seq, self._engine.digest)

"""The loop: items of the inbox become numbered entries, are captured, stepped, and their commands handed to the sender.

Invariants: entries are numbered in the order they are stepped, without holes; each is in the capture before the engine sees it; what the
paper venue answers to an entry is the next entry; commands leave in the order in which they were made.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from smartmoney.adapters.journal_rows import Explanation, TrainingNote, Witness
from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, OrderReply, Tick
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.stretch import Frames, Timer
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.gateway import OrderGateway
from smartmoney.runtime.inbox import Inbox
from smartmoney.runtime.latency import LatencyRecorder
from smartmoney.runtime.steps import Recorder, Steps
from smartmoney.runtime.supervisor import Beat

ITEMS_PER_TURN = 256
"""Items stepped before the event loop gets a turn: bounds what one burst can delay the sockets by."""
IDLE_S = 0.5
"""The loop turns so often though nothing comes: before the ticks begin (a warm start) nothing may come for long."""
CHECKPOINT_NS = 1_000_000_000


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


class FrameRecorder(Recorder, Protocol):
    """Take many frames at once, too."""

    def append_frames(self, frames: Frames, at: int, end: int, first_seq: int) -> object:
        """Take frames from `at` on, before `end`, as entries of which the first has this number."""


class Loop(Steps):
    """Step entries. `outbox` is bounded: when the sender falls behind, the loop waits and the inbox applies its overflow policy."""

    def __init__(self, engine: Engine, inbox: Inbox, capture: FrameRecorder, gateway: OrderGateway, outbox: "asyncio.Queue[Batch]") -> None:
        super().__init__(engine, capture, gateway)
        self._capture = capture
        self._inbox = inbox
        self._outbox = outbox
        self._lines: list[Line] = []
        self._commands: list[Command] = []
        self._checkpoint_due = 0
        self._last_mono = 0
        self._turned = asyncio.Event()
        self.turns = 0
        self.inbox_latency = LatencyRecorder()
        """From a frame's arrival to its fold."""
        self.decision_latency = LatencyRecorder()
        """From an entry's arrival to the end of the step that decided on it."""

    async def run(self, beat: Beat) -> None:
        """Step forever."""
        # What the opening of the run asks for (cancels of an earlier life's entries, a halt) waits for nobody's news.
        await self._hand_over()
        while True:
            items = await self._inbox.drain(ITEMS_PER_TURN, IDLE_S)
            beat()
            self.turns += 1
            for item in items:
                self.process(item)
            await self._hand_over()
            turned, self._turned = self._turned, asyncio.Event()
            turned.set()
            # A full inbox must not starve the sockets, the ticker and the control socket.
            await asyncio.sleep(0)

    def process_frames(self, frames: Frames, at: int, end: int, timer: Timer) -> int:
        """Step frames of the warm start from `at` on, before `end`, up to the next tick; return the next frame.

        What comes of it, capture included, is what would come of the frames one by one.
        """
        while at < end:
            passed = self._engine.pass_frames(frames, at, end, timer, self._gateway.waits())
            assert passed.ticks == 0, "in a warm start each tick has something to do"
            if passed.at > at:
                self._capture.append_frames(frames, at, passed.at, self._seq + 1)
                self.pass_over(passed.frames)
                self._gateway.pass_over(passed)
                at = passed.at
            if passed.folded is None:
                return at
            wall_ns = int(frames.rows[2, at])
            self.process_folded(Stamp(wall_ns, wall_ns - frames.origin_ns), frames.frame(at), passed.folded)
            at += 1
        return at

    async def next_turn(self) -> None:
        """Wait for the end of a turn."""
        await self._turned.wait()

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

    def _stepped(self, entry: Entry, commands: Sequence[Command]) -> None:
        payload = entry.payload
        if payload is not None and type(payload) is not Tick and isinstance(payload, OrderReply):
            self._lines.append(Line(entry.seq, entry.ts_wall_ns, payload))
        if commands:
            self._lines += [Line(entry.seq, entry.ts_wall_ns, command) for command in commands]
            self._commands.extend(commands)
        self._measure(entry, has_decided=bool(commands) and type(payload) is Tick)

    def _measure(self, entry: Entry, *, has_decided: bool) -> None:
        self._last_mono = now().mono_ns
        if self._engine.is_warming:
            return
        if entry.kind is EntryKind.FRAME:
            self.inbox_latency.add(self._last_mono - entry.ts_mono_ns)
        elif has_decided:
            self.decision_latency.add(self._last_mono - entry.ts_mono_ns)

    def _checkpoint(self) -> Checkpoint | None:
        if self._last_mono < self._checkpoint_due:
            return None
        self._checkpoint_due = self._last_mono + CHECKPOINT_NS
        return Checkpoint(self._seq, self._engine.digest)

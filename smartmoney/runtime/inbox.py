"""The inbox: frames, replies, timers and operator commands in one order, bounded.

Overflow policy (decisions: "the loop", 6): market frames are dropped when the inbox is full, and a `FeedOverflowed` event stands where they
would have been, so that every book is dropped and resynced; depth is never conflated. Events (replies, fills, operator) are never dropped:
their number is bounded by what we asked for.
"""

import asyncio
import contextlib
from collections import deque

import msgspec

from smartmoney.core.domain.entries import EntryKind, FeedOverflowed, Payload
from smartmoney.runtime.clock import Stamp, now

FRAMES_MAX = 50_000
"""About a minute of a busy feed; beyond that the loop is lost anyway and a resync is cheaper."""


class Item(msgspec.Struct, frozen=True):
    """Be one thing that happened, stamped on arrival, not yet numbered."""

    kind: EntryKind
    stamp: Stamp
    connection: int = 0
    instrument: int = -1
    frame: bytes = b""
    payload: Payload | None = None


class Inbox:
    """Collect items for the loop. Not thread-safe: everything runs on one event loop."""

    def __init__(self, frames_max: int = FRAMES_MAX) -> None:
        self._items: deque[Item] = deque()
        self._frames_max = frames_max
        self._dropped = 0
        self._ready = asyncio.Event()
        self.dropped_total = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer_frame(self, connection: int, frame: bytes) -> bool:
        """Take a raw frame if there is room; tell whether it was taken."""
        if len(self._items) >= self._frames_max:
            self._dropped += 1
            self.dropped_total += 1
            return False
        if self._dropped:
            self._note_overflow()
        self._items.append(Item(EntryKind.FRAME, now(), connection, -1, frame))
        self._ready.set()
        return True

    def offer_snapshot(self, instrument: int, frame: bytes, connection: int = 0) -> bool:
        """Take the body of a snapshot if there is room; tell whether it was taken. One that is not will be asked for again."""
        if len(self._items) >= self._frames_max:
            return False
        self._items.append(Item(EntryKind.SNAPSHOT, now(), connection, instrument, frame))
        self._ready.set()
        return True

    def post(self, payload: Payload) -> None:
        """Take an event; never refused."""
        self._items.append(Item(EntryKind.EVENT, now(), payload=payload))
        self._ready.set()

    async def drain(self, items_max: int, wait_s: float) -> list[Item]:
        """Wait for something, `wait_s` at most, then return up to `items_max` items in order; none where nothing came."""
        if not self._items:
            self._ready.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._ready.wait()
        return self.take(items_max)

    def take(self, items_max: int) -> list[Item]:
        """Return up to `items_max` items at once, without waiting."""
        items = self._items
        taken = [items.popleft() for _ in range(min(items_max, len(items)))]
        if self._dropped and len(items) < self._frames_max:
            self._note_overflow()
        return taken

    def _note_overflow(self) -> None:
        dropped, self._dropped = self._dropped, 0
        self.post(FeedOverflowed(dropped=dropped))

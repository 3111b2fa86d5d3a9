"""Explain signals beside the loop: in a thread, after they were sent, into the journal. Nothing waits for it, and no digest knows of it."""

import asyncio
from collections.abc import Callable

from smartmoney.adapters.journal_rows import Explanation
from smartmoney.core.engine.engine import Engine
from smartmoney.core.models.explanation import explain
from smartmoney.runtime.clock import now
from smartmoney.runtime.loop import Batch, Line
from smartmoney.runtime.supervisor import Beat

EVERY_S = 1.0
PARTS_KEPT = 20


class Explainer:
    """Explain what the engine's trained model said; explanations go to the sender's outbox, so that one thread writes the journal."""

    def __init__(self, engine: Engine, outbox: "asyncio.Queue[Batch]", last_seq: Callable[[], int]) -> None:
        """Take the loop's latest entry as `last_seq`: an order that is sent together with an explanation is captured up to there."""
        self._engine = engine
        self._outbox = outbox
        self._last_seq = last_seq

    async def run(self, beat: Beat) -> None:
        """Explain forever."""
        while True:
            beat()
            await asyncio.sleep(EVERY_S)
            if (batch := await self.explained()) is not None:
                await self._outbox.put(batch)

    async def explained(self) -> Batch | None:
        """Return the explanations of the signals that are new, as a batch for the sender; None when there are none."""
        lines = []
        for signal_id, seen in self._engine.brain.take_seen():
            parts = await asyncio.to_thread(explain, seen)
            kept = dict(list(parts.items())[:PARTS_KEPT])
            lines.append(Line(_entry_of(signal_id), now().wall_ns, Explanation(signal_id=signal_id, parts=kept)))
        if not lines:
            return None
        at = now().mono_ns
        return Batch(lines=tuple(lines), commands=(), checkpoint=None, last_seq=self._last_seq(), decided_mono_ns=at, has_orders=False)


def _entry_of(signal_id: str) -> int:
    """Return the entry in which a signal arose: ids are run, entry and instrument."""
    return int(signal_id.split("-")[1])

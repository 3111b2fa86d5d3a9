"""Drift that calls for an act, where the configuration says rollback: the champion before this one decides again, by a captured entry.

Invariants: it rolls back once: when the model that came back drifts too, or nobody stood before, the daemon halts; a promotion that is
refused halts as well. What happened is in the journal.
"""

import asyncio

from smartmoney.adapters.control import ControlError
from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.domain.entries import HaltRequested
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.clock import now
from smartmoney.runtime.inbox import Inbox
from smartmoney.runtime.models import BundleRefused, ModelNotFound
from smartmoney.runtime.supervisor import Beat
from smartmoney.runtime.training_watch import Activate, Notes


class Rollback:
    """Roll back when asked to."""

    def __init__(self, store: ModelStore, engine: Engine, activate: Activate, notes: Notes, inbox: Inbox) -> None:
        self._store, self._engine, self._activate, self._notes, self._inbox = store, engine, activate, notes, inbox
        self._asked: asyncio.Queue[str] = asyncio.Queue(1)

    def ask(self, why: str) -> None:
        """Ask for a rollback. Never waits; one that is asked for already is enough."""
        if not self._asked.full():
            self._asked.put_nowait(why)

    async def run(self, beat: Beat) -> None:
        """Serve forever."""
        while True:
            beat()
            await self.roll_back(await self._asked.get())

    async def roll_back(self, why: str) -> None:
        """Put the champion before this one back, else halt."""
        try:
            model = await asyncio.to_thread(self._before)
            await self._activate(model)
            bundle = await asyncio.to_thread(self._store.rollback, why, now().wall_ns)
        except (ControlError, ModelNotFound, BundleRefused, OSError) as error:
            self._inbox.post(HaltRequested(reason=f"{why}; no rollback: {error}"))
            return
        await self._notes.note("rolled_back", why, f"{bundle.name} decides again", model)

    def _before(self) -> str:
        champions = self._store.champions()
        if champions.standing[-1:] != (self._engine.brain.model_hash,):
            raise ModelNotFound("the model that decides is not the champion")
        if champions.log and champions.log[-1].act == "rollback":
            raise ModelNotFound("the champion came back by a rollback itself")
        if len(champions.standing) < 2:
            raise ModelNotFound("no champion stood before this one")
        return champions.standing[-2]

"""What stands around a running daemon: it tells people (alerts) and the guard (heartbeat) how things are.

Invariants: nothing here can hold the loop or the sender up, and nothing here trades.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.view import EngineView
from smartmoney.runtime.alert_events import AlertWatch, of_batch
from smartmoney.runtime.alert_queue import Alert
from smartmoney.runtime.alerts import HASTY_WORDS_S, LAST_WORDS_S, AlertDesk
from smartmoney.runtime.heartbeats import Heartbeats
from smartmoney.runtime.loop import Batch, Loop
from smartmoney.runtime.sender import Sender
from smartmoney.runtime.supervisor import Beat, ChildSpec
from smartmoney.runtime.terms import alert_terms
from smartmoney.settings.models import Settings

WATCH_S = 1.0


class Lookout:
    """Watch a daemon and tell of it."""

    def __init__(self, settings: Settings, instruments: Sequence[Instrument], engine: Engine, heartbeat: Path) -> None:
        self._instruments = instruments
        self._view = engine.view
        self.heartbeats = Heartbeats(heartbeat, engine)
        self.heartbeats.starting()
        self._alerts = AlertDesk(alert_terms(settings), f"smartmoney {settings.mode} {settings.venue}")
        self._watch = AlertWatch(settings.alerts.feed_loss_s)

    @property
    def alert_counts(self) -> dict[str, int]:
        """Return what became of the alerts so far."""
        return self._alerts.counts

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Tell of something that somebody else noticed. Never waits."""
        self._alerts.tell(alerts)

    def on_batch(self, batch: Batch) -> None:
        """Tell of what was committed. Never waits."""
        self._alerts.tell(of_batch(batch, self._instruments))

    def children(self, loop: Loop, sender: Sender) -> tuple[ChildSpec, ...]:
        """Return what must run beside the loop."""

        async def beating(beat: Beat) -> None:
            await self.heartbeats.run(beat, loop, sender)

        return (
            ChildSpec(name="heartbeat", start=beating),
            ChildSpec(name="alerts", start=self._alerts.run),
            ChildSpec(name="lookout", start=self._look),
        )

    def on_ready(self, view: EngineView) -> None:
        """Tell that the daemon is up."""
        state = f"HALTED: {view.account.halt_reason}" if view.account.halted else "trading"
        text = f"run {view.run_id} is ready; {state}; equity {view.account.equity}"
        self._alerts.tell([Alert(kind="start", severity="info", subject="started", text=text)])

    async def on_end(self, why: str, *, is_clean: bool) -> None:
        """Tell that the daemon ends, within a few seconds. Call it when the children have ended."""
        if is_clean:
            self.heartbeats.ended()
        else:
            self.heartbeats.close()
        severity = "info" if is_clean else "critical"
        last = Alert(kind="stop", severity=severity, subject="stopped", text=why)
        await self._alerts.last_words(last, LAST_WORDS_S if is_clean else HASTY_WORDS_S)

    async def _look(self, beat: Beat) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            beat()
            self._alerts.tell(self._watch.look(self._view(), clock()))
            await asyncio.sleep(WATCH_S)

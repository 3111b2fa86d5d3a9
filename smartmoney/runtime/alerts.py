"""The daemon's side of alerts: what happened is queued without waiting, and a task of its own sends it.

Invariants: `tell` never waits and never fails; a dead or hanging service costs the daemon nothing but a log line a minute; at the end
what is still waiting gets some seconds, no more.
"""

import asyncio
import contextlib
from collections.abc import Iterable

import structlog

from smartmoney.adapters.alert_channel import AlertChannel, AlertsUnusable
from smartmoney.runtime.alert_queue import Alert, AlertQueue, AlertTerms
from smartmoney.runtime.supervisor import Beat

log = structlog.get_logger("alerts")

QUIET_S = 120.0
"""The sending process is ended after so long without an alert."""
LAST_WORDS_S = 15.0
"""At an orderly end; one that is about to be started again has no time for more than `HASTY_WORDS_S`."""
HASTY_WORDS_S = 3.0
ATTEMPTS = 3
_RETRY_S = 5.0
_COMPLAIN_EVERY_S = 60.0


class AlertDesk:
    """Queue alerts and send them. Make it whether or not addresses are configured: without any it does nothing."""

    def __init__(self, terms: AlertTerms, source: str) -> None:
        self._queue = AlertQueue(terms.events, terms.interval_s, terms.queue_max)
        self._channel = AlertChannel(terms.urls, terms.timeout_s) if terms.urls else None
        self._source = source
        self._woken = asyncio.Event()
        self._complained_s = -_COMPLAIN_EVERY_S
        self.sent = 0
        self.failed = 0

    @property
    def counts(self) -> dict[str, int]:
        """Return what became of the alerts so far."""
        queue = self._queue
        return {"sent": self.sent, "failed": self.failed, "waiting": len(queue), "dropped": queue.dropped, "repeated": queue.repeated}

    def tell(self, alerts: Iterable[Alert]) -> None:
        """Queue alerts. Never waits."""
        if self._channel is None:
            return
        now_s = asyncio.get_running_loop().time()
        for alert in alerts:
            if self._queue.offer(alert, now_s):
                self._woken.set()

    async def run(self, beat: Beat) -> None:
        """Send forever. The sending process outlives this, for the last words."""
        if self._channel is None:
            await asyncio.Event().wait()
            return
        while True:
            beat()
            await self._send_due(self._channel)

    async def last_words(self, alert: Alert, patience_s: float = LAST_WORDS_S) -> None:
        """Send what is waiting and one alert more, within the patience. Call it when `run` has ended."""
        if self._channel is None:
            return
        self.tell([alert])
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while (waiting := self._queue.take(clock())) is not None:
                    await self._send(self._channel, waiting, attempts=1)
        await self._channel.close()

    async def close(self) -> None:
        """End the sending process."""
        if self._channel is not None:
            await self._channel.close()

    async def _send_due(self, channel: AlertChannel) -> None:
        clock = asyncio.get_running_loop().time
        alert = self._queue.take(clock())
        if alert is not None:
            try:
                await self._send(channel, alert, attempts=ATTEMPTS)
            except asyncio.CancelledError:
                self._queue.put_back(alert, clock())  # for the last words
                raise
            return
        due_s = self._queue.next_due_s()
        self._woken.clear()
        try:
            async with asyncio.timeout(QUIET_S if due_s is None else max(0.0, due_s - clock())):
                await self._woken.wait()
        except TimeoutError:
            if due_s is None:
                await channel.close()

    async def _send(self, channel: AlertChannel, alert: Alert, *, attempts: int) -> None:
        more = f" ({alert.more} more like it before)" if alert.more else ""
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(_RETRY_S)
            try:
                taken = await channel.send(f"{self._source}: {alert.subject}", alert.text + more, alert.severity)
            except AlertsUnusable as error:
                problem = str(error)
            else:
                if any(taken):
                    self.sent += 1
                    return
                problem = f"none of {len(taken)} addresses took it"
        self.failed += 1
        now_s = asyncio.get_running_loop().time()
        if now_s - self._complained_s >= _COMPLAIN_EVERY_S:
            self._complained_s = now_s
            log.error("alerts do not get out", problem=problem, **self.counts)

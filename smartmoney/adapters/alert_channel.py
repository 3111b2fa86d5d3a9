"""Alerts on their way out: a child process sends them, and nothing that it does can hold the daemon up.

The child is started when there is something to send and ended after a quiet time, so that it costs memory only then.

Invariants: `send` ends within its time-out, whatever the child or the services do; a child that does not answer is killed; no address and
no text of a service's answer reaches this process.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence

START_S_MAX = 30.0
"""For the child to read its addresses: it imports a large library, perhaps on a busy machine."""
_MARGIN_S = 2.0
_COMMAND = (sys.executable, "-m", "smartmoney.adapters.alert_process")


class AlertsUnusable(Exception):
    """Report that no alert can be sent: the addresses cannot be had, or the child does not work."""

    exit_code = 1


class AlertChannel:
    """Send alerts through the child. For one caller at a time."""

    def __init__(self, references: Sequence[str], timeout_s: float, command: Sequence[str] = _COMMAND) -> None:
        self._references = list(references)
        self._timeout_s = timeout_s
        self._command = tuple(command)
        self._child: asyncio.subprocess.Process | None = None
        self._channels = 0

    async def send(self, title: str, body: str, severity: str) -> list[bool]:
        """Send to every address; return who took it.

        Raises:
            AlertsUnusable: the child could not be used; it is gone, and the next call starts another.
        """
        try:
            child = await self._running()
            answer = await self._ask(child, {"title": title, "body": body, "severity": severity}, self._timeout_s + _MARGIN_S)
        except BaseException:
            await self.close()
            raise
        sent = answer.get("sent")
        if not isinstance(sent, list):
            await self.close()
            raise AlertsUnusable(str(answer.get("problem", "the process that sends alerts gave no answer")))
        return [bool(each) for each in sent]

    async def open(self) -> int:
        """Start the child and have it read the addresses; return how many there are.

        Raises:
            AlertsUnusable: it cannot.
        """
        try:
            await self._running()
        except BaseException:
            await self.close()
            raise
        return self._channels

    async def close(self) -> None:
        """End the child; the next `send` starts another."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._child is not None and self._child.returncode is None:
            return self._child
        await self.close()
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise AlertsUnusable(f"the process that sends alerts cannot be started: {error.strerror or error}") from error
        self._child = child
        answer = await self._ask(child, {"references": self._references, "timeout_s": self._timeout_s}, START_S_MAX)
        count = answer.get("channels")
        if not isinstance(count, int) or count < 1:
            raise AlertsUnusable(str(answer.get("problem", "the process that sends alerts ended at once")))
        self._channels = count
        return child

    async def _ask(self, child: asyncio.subprocess.Process, message: object, patience_s: float) -> dict[str, object]:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            async with asyncio.timeout(patience_s):
                child.stdin.write(json.dumps(message).encode() + b"\n")
                await child.stdin.drain()
                line = await child.stdout.readline()
            found = json.loads(line or "{}")
        except TimeoutError:
            raise AlertsUnusable(f"the process that sends alerts did not answer within {patience_s:g} s") from None
        except (OSError, ValueError) as error:
            raise AlertsUnusable("the process that sends alerts broke off") from error
        return found if isinstance(found, dict) else {}

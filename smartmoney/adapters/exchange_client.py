"""Keep one websocket client of the built-in exchange: a bounded queue out, pings on the venue's schedule, a message budget in."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web

_QUEUE_MAX = 4096
_PONG_WITHIN_S = 60.0
_FROZEN_LOOK_S = 0.05


Command = Callable[[str], str | Awaitable[str]]
"""Answers a text message, at once or after a while."""


class StreamClient:
    """Serve one connection. `offer` never blocks: when the queue is full the client is dropped."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        *,
        is_combined: bool,
        channel: str,
        ping_every_s: float,
        messages_per_s: int,
    ) -> None:
        self.is_combined = is_combined
        self.channel = channel
        self.streams: dict[str, None] = {}
        self._socket = socket
        self._transport = transport
        self._queue: asyncio.Queue[str | bytes] = asyncio.Queue(_QUEUE_MAX)
        self._ping_every_s = ping_every_s
        self._messages_per_s = messages_per_s
        self._arrivals: deque[float] = deque(maxlen=messages_per_s + 1)
        self._pinged_at = 0.0
        self._over = asyncio.Event()
        self._ending: tuple[int, str] = (WSCloseCode.OK, "")
        self._is_dropped = False
        self._is_frozen = False

    def offer(self, frame: str | bytes) -> None:
        """Queue a frame (bytes: a binary one), or give the client up as too slow. A frozen connection swallows it."""
        if self._is_frozen:
            return
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            self._is_dropped = True
            self.end(WSCloseCode.POLICY_VIOLATION, "")

    def end(self, code: int, reason: str) -> None:
        """Have the connection closed with a close frame."""
        if not self._over.is_set():
            self._ending = (code, reason)
            self._over.set()

    def abort(self) -> None:
        """Cut the connection: no close frame, and a peer that still sends is answered by a reset."""
        if self._transport is not None:
            self._transport.abort()
        self._over.set()

    def freeze(self) -> None:
        """Stop reading, writing and pinging, and leave the connection open: to its peer it is half-open. `abort` ends that."""
        self._is_frozen = True
        self._over.set()

    async def run(self, command: Command) -> None:
        """Serve until the connection ends; `command` answers each text message, or, with an empty text, does not."""
        tasks = [
            asyncio.create_task(self._write()),
            asyncio.create_task(self._ping()),
            asyncio.create_task(self._read(command)),
            asyncio.create_task(self._over.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        while self._is_frozen and self._transport is not None and not self._transport.is_closing():  # noqa: ASYNC110 (the peer's doing)
            await asyncio.sleep(_FROZEN_LOOK_S)
        code, reason = self._ending
        await self.close(code, reason.encode())

    async def close(self, code: int, reason: bytes) -> None:
        """Close the connection; a peer that does not answer is cut off."""
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close(code=code, message=reason, drain=not self._is_dropped)
        except (TimeoutError, ConnectionError):
            return

    async def _write(self) -> None:
        try:
            while True:
                frame = await self._queue.get()
                await (self._socket.send_str(frame) if isinstance(frame, str) else self._socket.send_bytes(frame))
        except ConnectionError:
            return

    async def _ping(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._ping_every_s)
                if self._pinged_at and time.monotonic() - self._pinged_at > _PONG_WITHIN_S:
                    return
                self._pinged_at = self._pinged_at or time.monotonic()
                await self._socket.ping(str(time.time_ns() // 1_000_000).encode())
        except ConnectionError:
            return

    async def _read(self, command: Command) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.PONG:
                self._pinged_at = 0.0
            elif message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                reply = command(message.data)
                text = reply if isinstance(reply, str) else await reply
                if text:
                    self.offer(text)
            if self._is_flooding():
                return

    def _is_flooding(self) -> bool:
        # Like the venue, pings and pongs count too.
        now = time.monotonic()
        self._arrivals.append(now)
        return len(self._arrivals) > self._messages_per_s and now - self._arrivals[0] < 1.0

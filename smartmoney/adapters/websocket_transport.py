"""The one seam to a websocket library: a connection that pumps raw messages into a callback.

`MarketFeed` knows only `Transport` and `Connector`; another library is measured against this one by writing another connector.

Invariants: messages arrive uncompressed and undecoded, exactly as sent; a message over the bound ends the connection, never the process;
every way in which a peer or network can fail comes out as `TransportError`, never as the library's own exceptions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

FRAME_SIZE_MAX = 8 * 1024 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_CLOSE_TIMEOUT_S = 2.0


class TransportError(Exception):
    """Say why a connection could not be made or used. `retry_after_s` is what the venue asked to wait, 0 when it did not."""

    def __init__(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Transport(Protocol):
    """Be one open websocket."""

    async def pump(self, on_message: Callable[[bytes], None]) -> str:
        """Call `on_message` with each message until the connection ends; return why it ended. `on_message` must not block."""
        ...

    async def send(self, message: bytes) -> None:
        """Send one text message.

        Raises:
            TransportError: the connection is gone.
        """
        ...

    async def ping(self) -> None:
        """Send a ping and return when its pong is there.

        Raises:
            TransportError: the connection is gone.
        """
        ...

    async def close(self) -> None:
        """Close orderly, within about two seconds of real time."""
        ...

    def abort(self) -> None:
        """Drop the connection at once, telling nobody."""
        ...


Connector = Callable[[str], Awaitable[Transport]]
"""Opens a connection to an address. Raises TransportError."""


class InsecureAddressError(ValueError):
    """Say that an address is neither encrypted nor on this machine."""


def check_address(address: str, secure_scheme: str, plain_scheme: str) -> None:
    """Refuse an unencrypted address unless it is loopback.

    Raises:
        InsecureAddressError: the scheme is wrong, or plain to another host.
    """
    parts = urlsplit(address)
    if parts.scheme == secure_scheme and parts.hostname:
        return
    if parts.scheme == plain_scheme and parts.hostname in LOOPBACK:
        return
    raise InsecureAddressError(f"{address}: must be {secure_scheme}://, or {plain_scheme}:// to this machine (127.0.0.1)")


async def connect_websockets(url: str) -> Transport:
    """Open a connection with the library `websockets`: no compression, no keepalive of its own (the feed pings by its own clock).

    Raises:
        TransportError: refused, unreachable, or not a websocket there.
    """
    loopback = urlsplit(url).hostname in LOOPBACK
    try:
        connection = await connect(
            url,
            compression=None,
            ping_interval=None,
            open_timeout=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=FRAME_SIZE_MAX,
            proxy=None if loopback else True,
        )
    except InvalidStatus as failure:
        response = failure.response
        wait = response.headers.get("Retry-After", "")
        wait_s = float(wait) if wait.isdecimal() and len(wait) < 10 else 0.0
        if response.status_code in {418, 429} and not wait_s:
            wait_s = 60.0
        raise TransportError(f"handshake refused with HTTP {response.status_code}", retry_after_s=wait_s) from failure
    except (OSError, WebSocketException, EOFError, ValueError) as failure:
        raise TransportError(f"cannot connect: {type(failure).__name__}: {failure}") from failure
    return _WebsocketsTransport(connection)


class _WebsocketsTransport:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def pump(self, on_message: Callable[[bytes], None]) -> str:
        receive = self._connection.recv
        try:
            while True:
                message = await receive(decode=False)
                on_message(message if type(message) is bytes else bytes(message))
        except ConnectionClosed as ending:
            return _reason(ending)

    async def send(self, message: bytes) -> None:
        try:
            await self._connection.send(message, text=True)
        except (ConnectionClosed, OSError) as failure:
            raise TransportError(f"cannot send: {failure}") from failure

    async def ping(self) -> None:
        try:
            await (await self._connection.ping())
        except (ConnectionClosed, OSError) as failure:
            raise TransportError(f"cannot ping: {failure}") from failure

    async def close(self) -> None:
        await self._connection.close()

    def abort(self) -> None:
        transport = self._connection.transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _reason(ending: ConnectionClosed) -> str:
    close = ending.rcvd or ending.sent
    by = "venue" if ending.rcvd is not None and not (ending.sent and not ending.rcvd_then_sent) else "us"
    if close is None:
        return "connection lost without a close frame"
    return f"closed by {by}: {close.code} {close.reason}".rstrip()

"""The control socket: one JSON line in, one JSON line out, between the command line and a running daemon on the same machine.

Request: `{"command": "status" | "halt" | "resume" | "flatten" | "activate", "reason": "...", "arguments": {...}}`.
Reply: `{"ok": true, "result": {...}}` or `{"ok": false, "problem": "...", "remedy": "..."}`.
A connection may carry several requests, one after the other.

Invariants: the socket is 0600 before it listens, and only its own user and root are answered (SO_PEERCRED); every line, wait and number of
connections is bounded; an old socket file is replaced only by the holder of the state directory's lock.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from smartmoney.adapters.state_directory import StateDirectory

REQUEST_BYTES_MAX = 64 << 10
REPLY_BYTES_MAX = 8 << 20
CONNECTIONS_MAX = 16
IDLE_S_MAX = 10.0
"""A connection that sends no request for so long is closed, in seconds."""
HANG_UP_S_MAX = 1.0
"""A closing connection may take so long to hand over its last bytes, in seconds."""
ANSWER_S_MAX = 60.0
"""The daemon gives up on an answer after so long, in seconds (a flatten waits for its fills)."""

_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): pid, uid, gid."""
_NEEDS_REASON = frozenset({"resume"})


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Be one request of an operator."""

    command: Literal["status", "halt", "resume", "flatten", "activate"]
    reason: str = ""
    arguments: dict[str, Any] = {}


class ControlReply(msgspec.Struct, frozen=True, kw_only=True):
    """Be the answer to one request: a result, or a problem and its remedy."""

    ok: bool
    result: dict[str, Any] = {}
    problem: str = ""
    remedy: str = ""


class ControlError(Exception):
    """Report a request that was not carried out, as far as is known: what is wrong, and what to do about it.

    A handler raises it to refuse; the client raises it, or one of the classes below.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        """Build the one-line message from both halves."""
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class DaemonNotRunning(ControlError):
    """Report that nobody listens."""


class ControlNotPermitted(ControlError):
    """Report that this user may not control the daemon."""


class DaemonSilent(ControlError):
    """Report that the daemon took the request and did not answer: whether it was carried out is not known."""


Handler = Callable[[ControlRequest], Awaitable[Mapping[str, Any]]]

_encoder = msgspec.json.Encoder(decimal_format="string", enc_hook=str)
_decode_request = msgspec.json.Decoder(ControlRequest).decode
_decode_reply = msgspec.json.Decoder(ControlReply).decode


class ControlServer:
    """Answer requests through a handler. `await start(...)`, later `await close()`."""

    def __init__(self, path: Path, server: asyncio.Server, inode: int, connections: set[asyncio.Task[None]]) -> None:
        """Take over a listening server; use `start`."""
        self.path = path
        self._server = server
        self._inode = inode
        self._connections = connections

    @classmethod
    async def start(cls, state: StateDirectory, handler: Handler, *, answer_s_max: float = ANSWER_S_MAX) -> "ControlServer":
        """Listen at the state directory's control socket.

        Args:
            state: the locked directory: the lock is what allows an old socket file to be replaced.
            handler: answers a request with a mapping that JSON can hold, or refuses with `ControlError`.
            answer_s_max: longest wait for the handler, in seconds.

        Raises:
            RuntimeError: the lock has been released.
            OSError: the socket cannot be made.
        """
        if not state.is_locked:
            raise RuntimeError("the control socket needs the state directory's lock")
        path = state.layout.control_socket
        listener = _bind(path)
        connections: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                if len(connections) > CONNECTIONS_MAX:
                    await _refuse(writer, "too many connections to the control socket", "try again")
                else:
                    await _serve(reader, writer, handler, answer_s_max)
            finally:
                await _hang_up(writer)
                connections.discard(task)

        server = await asyncio.start_unix_server(serve, sock=listener, limit=REQUEST_BYTES_MAX)
        return cls(path, server, path.lstat().st_ino, connections)

    async def close(self) -> None:
        """Stop listening, end the connections, and remove the socket file if it is still this one."""
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()


def request(path: Path, message: ControlRequest, timeout: float = ANSWER_S_MAX) -> dict[str, Any]:
    """Send one request to the daemon whose socket is at `path` and return its result. Blocks for at most `timeout` seconds.

    Raises:
        DaemonNotRunning: nobody listens there.
        ControlNotPermitted: this user may not.
        DaemonSilent: there was no answer.
        ControlError: the daemon refused.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(os.fspath(path))
        except OSError as error:
            raise _unreachable(path, error) from error
        # The daemon may have refused already and closed: its answer, if any, says why.
        with contextlib.suppress(OSError):
            connection.sendall(_encoder.encode(message) + b"\n")
        reply = _decode(_read_line(connection, timeout))
    if reply.ok:
        return reply.result
    raise (ControlNotPermitted if reply.problem == _NOT_PERMITTED else ControlError)(reply.problem, reply.remedy)


_NOT_PERMITTED = "this user may not control the daemon"


def _unreachable(path: Path, error: OSError) -> ControlError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ControlNotPermitted(_NOT_PERMITTED, f"use the daemon's own user, or root ({path})")
    if error.errno in {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR}:
        return DaemonNotRunning(f"no daemon is running with control socket {path}", "start it, or name its --state-dir")
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return DaemonSilent(f"the daemon at {path} does not take connections", "look at its log; `systemctl kill` if it hangs")
    return ControlError(f"{path} cannot be reached: {error}", "name the daemon's --state-dir")


def _read_line(connection: socket.socket, timeout: float) -> bytes:
    received = bytearray()
    remedy = "ask again for its status: whether the request was carried out is not known"
    try:
        while not received.endswith(b"\n"):
            chunk = connection.recv(1 << 16)
            if not chunk:
                raise DaemonSilent("the daemon closed the connection without an answer", remedy)
            received += chunk
            if len(received) > REPLY_BYTES_MAX:
                raise ControlError("the daemon's answer is too long", "update both sides to the same version")
    except TimeoutError as error:
        raise DaemonSilent(f"the daemon did not answer within {timeout:g} s", remedy) from error
    except OSError as error:
        raise DaemonSilent(f"the connection to the daemon broke: {error}", remedy) from error
    return bytes(received)


def _decode(line: bytes) -> ControlReply:
    try:
        return _decode_reply(line)
    except msgspec.MsgspecError as error:
        raise ControlError(f"the daemon's answer cannot be understood: {error}", "update both sides to the same version") from error


def _bind(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        # Bound, made private, and only then (by asyncio) told to listen: before that every connection is refused.
        listener.bind(os.fspath(path))
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler, answer_s_max: float) -> None:
    if _peer_uid(writer) not in {os.geteuid(), 0}:
        await _refuse(writer, _NOT_PERMITTED, "use the daemon's own user, or root")
        return
    while True:
        try:
            async with asyncio.timeout(IDLE_S_MAX):
                line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            await _refuse(writer, f"the request is longer than {REQUEST_BYTES_MAX} bytes", "send less")
            return
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        if not await _send(writer, await _answer(line, handler, answer_s_max)):
            return


async def _answer(line: bytes, handler: Handler, answer_s_max: float) -> ControlReply:
    try:
        message = _decode_request(line)
    except msgspec.MsgspecError as error:
        return ControlReply(ok=False, problem=f"the request cannot be understood: {error}", remedy="see `smartmoney --help`")
    if message.command in _NEEDS_REASON and not message.reason.strip():
        return ControlReply(ok=False, problem=f"{message.command} needs a reason", remedy="say why with --reason")
    try:
        async with asyncio.timeout(answer_s_max):
            return ControlReply(ok=True, result=dict(await handler(message)))
    except ControlError as error:
        return ControlReply(ok=False, problem=error.problem, remedy=error.remedy)
    except TimeoutError:
        return ControlReply(ok=False, problem=f"no result within {answer_s_max:g} s", remedy="ask for the status")


async def _refuse(writer: asyncio.StreamWriter, problem: str, remedy: str) -> None:
    await _send(writer, ControlReply(ok=False, problem=problem, remedy=remedy))


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(HANG_UP_S_MAX):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, reply: ControlReply) -> bool:
    """Send a reply; return False when the other side is gone or does not take it."""
    line = _encoder.encode(reply) + b"\n"
    if len(line) > REPLY_BYTES_MAX:
        line = _encoder.encode(ControlReply(ok=False, problem="the answer is too long", remedy="ask for less")) + b"\n"
    try:
        writer.write(line)
        async with asyncio.timeout(IDLE_S_MAX):
            await writer.drain()
    except (ConnectionError, TimeoutError):
        return False
    return True


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)

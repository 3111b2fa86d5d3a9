"""The guard's own connection to an account: signed requests over the standard library's HTTP, one at a time.

Its own, because what it stands for is that the daemon's has failed; and small, because it waits beside it all day. How a venue is signed
for, and what its answers prove, is said by its wire (`adapters.guard_wires`), by the same tables as in the daemon.

Invariants: a request's outcome is never better than what was proven; no message holds a key, a signature or an address with one; nothing
is sent but to the one host, encrypted, or on this machine.
"""

import asyncio
import http.client
import ssl
import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from smartmoney.adapters.credentials import Credentials, CredentialsError
from smartmoney.venues.outcomes import Outcome

TIMEOUT_S = 4.0
RECEIVE_WINDOW_MS = 3_000
BODY_BYTES_MAX = 8 << 20
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of a request; `body` is the decoded JSON of one that was carried out."""

    outcome: Outcome
    status: int = 0
    code: int = 0
    message: str = ""
    body: Any = None

    def why(self) -> str:
        """Return the refusal in words."""
        return f"{self.code} {self.message}".strip() if self.code else self.message or self.outcome.value


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Be a request as it leaves; `target` is its path below the venue's address, query included."""

    method: str
    target: str
    headers: Mapping[str, str] = {}
    body: str | None = None


class Wire(Protocol):
    """Sign requests to one venue, and say what its answers prove."""

    @property
    def time_call(self) -> Any:
        """Return the call that asks for the venue's clock."""

    def read_time(self, body: Any) -> int:
        """Return the venue's clock, in ms. Raises: LookupError, TypeError, ValueError."""

    def request(self, call: Any, credentials: Credentials, venue_ms: int) -> Request:
        """Return a call as it leaves, signed for a time of the venue."""

    def judge(self, status: int, headers: Mapping[str, str], raw: bytes) -> tuple[Reply, float]:
        """Return what an answer proves, and for how many seconds to be quiet. `headers` have small letters."""


class GuardAccount:
    """Ask one account. `close` it."""

    def __init__(self, wire: Wire, rest: str, credentials: Credentials) -> None:
        """Get ready; nothing is sent.

        Raises:
            CredentialsError: the key is not of the kind that this can sign with, or the address is neither encrypted nor on this machine.
        """
        parts = urlsplit(rest)
        host = parts.hostname or ""
        if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
            raise CredentialsError(f"the guard sends a key to https addresses or to this machine only, not to {parts.scheme}://{host}")
        if "PRIVATE KEY" in credentials.secret:
            raise CredentialsError("the guard signs with HMAC keys only; make one for it (docs/safety.md) and name it under guard.key_file")
        self._wire = wire
        self._is_tls, self._host, self._port = parts.scheme == "https", host, parts.port
        self._base = parts.path.rstrip("/")
        self._credentials = credentials
        self._connection: http.client.HTTPConnection | None = None
        self._one = asyncio.Lock()
        self._offset_ms: int | None = None
        self._quiet_until = 0.0

    @property
    def offset_ms(self) -> int:
        """Return the venue's clock less ours, in ms; 0 before it was measured."""
        return self._offset_ms or 0

    async def ask(self, call: Any) -> Reply:
        """Send a request and return what its answer proves; nothing is raised but a cancellation."""
        async with self._one:
            # A cancelled caller must not leave the thread with the connection: it is waited for, and it is bounded.
            task = asyncio.ensure_future(asyncio.to_thread(self._ask, call))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait({task})
                raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, call: Any) -> Reply:
        wait_s = self._quiet_until - time.monotonic()
        if wait_s > 0:
            if wait_s > TIMEOUT_S:
                return Reply(outcome=Outcome.LIMITED, message=f"the venue asked to be left alone for another {wait_s:.0f} s")
            time.sleep(wait_s)
        if self._offset_ms is None:
            self._sync()
        reply = self._send(call)
        if reply.outcome is Outcome.CLOCK and self._sync():
            reply = self._send(call)
        return reply

    def _sync(self) -> bool:
        """Measure the venue's clock."""
        sent_ns = time.time_ns()
        reply = self._send(self._wire.time_call)
        if reply.outcome is not Outcome.DONE:
            return False
        try:
            self._offset_ms = self._wire.read_time(reply.body) - (sent_ns + time.time_ns()) // 2_000_000
        except (LookupError, TypeError, ValueError):
            return False
        return True

    def _send(self, call: Any) -> Reply:
        request = self._wire.request(call, self._credentials, time.time_ns() // 1_000_000 + self.offset_ms)
        body = None if request.body is None else request.body.encode()
        try:
            connection = self._connected()
            connection.request(request.method, self._base + request.target, body=body, headers=dict(request.headers))
            response = connection.getresponse()
            raw = response.read(BODY_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException, ValueError) as failure:
            # Of what cannot be sent only the kind is told: its words may hold a key.
            self.close()
            return Reply(outcome=Outcome.UNKNOWN, message=f"no answer ({type(failure).__name__})")
        if len(raw) > BODY_BYTES_MAX:
            self.close()
            return Reply(outcome=Outcome.UNKNOWN, status=response.status, message="the answer is too long")
        reply, quiet_s = self._wire.judge(response.status, {name.lower(): value for name, value in response.getheaders()}, raw)
        self._quiet_until = max(self._quiet_until, time.monotonic() + quiet_s)
        return reply

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._is_tls:
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        return self._connection

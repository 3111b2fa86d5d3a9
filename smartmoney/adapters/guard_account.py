"""The guard's own connection to an account: signed requests over the standard library's HTTP, one at a time.

Its own, because what it stands for is that the daemon's has failed; and small, because it waits beside it all day. What an answer proves
is decided by the same table as in the daemon (`venues.binance.outcomes`).

Invariants: a request's outcome is never better than what was proven; no message holds a key, a signature or an address with one; nothing
is sent but to the one host, encrypted, or on this machine.
"""

import asyncio
import hashlib
import hmac
import http.client
import json
import ssl
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from smartmoney.adapters.credentials import Credentials, CredentialsError
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.order_calls import Call
from smartmoney.venues.binance.outcomes import classify
from smartmoney.venues.binance.protocol import parse_rejection, throttle
from smartmoney.venues.outcomes import Outcome

TIMEOUT_S = 4.0
RECEIVE_WINDOW_MS = 3_000
BODY_BYTES_MAX = 8 << 20
_PATHS = {
    "public": "/api/v3/",
    "private": "/api/v3/",
    "fapiPublic": "/fapi/v1/",
    "fapiPrivate": "/fapi/v1/",
    "fapiPrivateV2": "/fapi/v2/",
    "fapiPrivateV3": "/fapi/v3/",
    "sapi": "/sapi/v1/",
}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PUBLIC = frozenset({"public", "fapiPublic"})


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


class GuardAccount:
    """Ask one account of one market. `close` it."""

    def __init__(self, market: Market, rest: str, credentials: Credentials) -> None:
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
        self.market = market
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

    async def ask(self, call: Call) -> Reply:
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

    def _ask(self, call: Call) -> Reply:
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
        reply = self._send(Call(section="public" if self.market is Market.SPOT else "fapiPublic", method="GET", path="time"))
        if reply.outcome is not Outcome.DONE:
            return False
        self._offset_ms = int(reply.body["serverTime"]) - (sent_ns + time.time_ns()) // 2_000_000
        return True

    def _send(self, call: Call) -> Reply:
        query = urlencode(call.params)
        headers = {}
        if call.section not in _PUBLIC:
            stamps = {"recvWindow": RECEIVE_WINDOW_MS, "timestamp": time.time_ns() // 1_000_000 + self.offset_ms}
            query = urlencode({**call.params, **stamps})
            query += "&signature=" + hmac.new(self._credentials.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
            headers["X-MBX-APIKEY"] = self._credentials.key
        target = f"{self._base}{_PATHS[call.section]}{call.path}?{query}"
        try:
            connection = self._connected()
            connection.request(call.method, target, headers=headers)
            response = connection.getresponse()
            raw = response.read(BODY_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as failure:
            self.close()
            return Reply(outcome=Outcome.UNKNOWN, message=f"no answer ({type(failure).__name__})")
        if len(raw) > BODY_BYTES_MAX:
            self.close()
            return Reply(outcome=Outcome.UNKNOWN, status=response.status, message="the answer is too long")
        return self._judge(response.status, response.getheader("Retry-After"), raw)

    def _judge(self, status: int, retry_after: str | None, raw: bytes) -> Reply:
        demand = throttle(status, retry_after)
        if demand is not None:
            self._quiet_until = max(self._quiet_until, time.monotonic() + demand.wait_s)
        fault = parse_rejection(raw) if raw.startswith(b"{") else None
        code = fault.code if fault is not None and fault.code < 0 else 0
        message = fault.message if fault is not None and code else ""
        outcome = classify(status, code, message)
        if outcome is not Outcome.DONE:
            return Reply(outcome=outcome, status=status, code=code, message=message)
        try:
            return Reply(outcome=outcome, status=status, body=json.loads(raw))
        except ValueError:
            return Reply(outcome=Outcome.UNKNOWN, status=status, message="the answer is no JSON")

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._is_tls:
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=context)
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        return self._connection

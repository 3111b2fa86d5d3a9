"""How the guard signs for each venue, and what the answers prove: by the daemon's own tables. Pure.

Invariants: a body that is not the venue's own proves nothing; a signature covers exactly the bytes that leave. Sources:
binance-spot-api-docs rest-api.md (2026-07); bybit-exchange/docs "Integration Guidance" (2026-07-24); okx.com docs-v5 "REST
authentication" (2026-07).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.guard_account import RECEIVE_WINDOW_MS, Reply, Request
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.order_calls import Call
from smartmoney.venues.binance.outcomes import classify as classify_binance
from smartmoney.venues.binance.protocol import parse_rejection, throttle
from smartmoney.venues.ccxt_terms import VENUES, classify, is_answer, read_fault
from smartmoney.venues.outcomes import Outcome

_QUIET_S_MAX = 30.0
_PATHS = {
    "public": "/api/v3/",
    "private": "/api/v3/",
    "fapiPublic": "/fapi/v1/",
    "fapiPrivate": "/fapi/v1/",
    "fapiPrivateV2": "/fapi/v2/",
    "fapiPrivateV3": "/fapi/v3/",
    "sapi": "/sapi/v1/",
}
_PUBLIC = frozenset({"public", "fapiPublic"})


class PathCall(msgspec.Struct, frozen=True, kw_only=True):
    """Be a call of a venue that is asked by path: parameters go into the query of a GET, and as JSON into the body of a POST."""

    method: str
    path: str
    params: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = {}


class BinanceWire:
    """Sign for Binance, by the sections of `venues.binance.order_calls`."""

    def __init__(self, market: Market) -> None:
        self.time_call = Call(section="public" if market is Market.SPOT else "fapiPublic", method="GET", path="time")

    def read_time(self, body: Any) -> int:
        """Return the venue's clock, in ms."""
        return int(body["serverTime"])

    def request(self, call: Call, credentials: Credentials, venue_ms: int) -> Request:
        """Return a call as it leaves."""
        query, headers = urlencode(call.params), {}
        if call.section not in _PUBLIC:
            query = urlencode({**call.params, "recvWindow": RECEIVE_WINDOW_MS, "timestamp": venue_ms})
            query += "&signature=" + _hmac(credentials, query).hex()
            headers["X-MBX-APIKEY"] = credentials.key
        return Request(method=call.method, target=f"{_PATHS[call.section]}{call.path}?{query}", headers=headers)

    def judge(self, status: int, headers: Mapping[str, str], raw: bytes) -> tuple[Reply, float]:
        """Return what an answer proves."""
        demand = throttle(status, headers.get("retry-after"))
        quiet_s = 0.0 if demand is None else demand.wait_s
        fault = parse_rejection(raw) if raw.startswith(b"{") else None
        code = fault.code if fault is not None and fault.code < 0 else 0
        message = fault.message if fault is not None and code else ""
        outcome = classify_binance(status, code, message)
        if outcome is not Outcome.DONE:
            return Reply(outcome=outcome, status=status, code=code, message=message), quiet_s
        body = _decoded(raw)
        if body is None:
            return Reply(outcome=Outcome.UNKNOWN, status=status, message="the answer is no JSON"), quiet_s
        return Reply(outcome=outcome, status=status, body=body), quiet_s


class _PathWire:
    """Judge by a venue's row of `venues.ccxt_terms`."""

    def __init__(self, venue: str) -> None:
        self.terms = VENUES[venue]

    def judge(self, status: int, headers: Mapping[str, str], raw: bytes) -> tuple[Reply, float]:
        """Return what an answer proves."""
        body = _decoded(raw)
        fault = read_fault(self.terms.faults, body)
        if 200 <= status < 300 and fault is None:
            if not is_answer(self.terms.faults, body):
                return Reply(outcome=Outcome.UNKNOWN, status=status, message="the answer is none of the venue's"), 0.0
            return Reply(outcome=Outcome.DONE, status=status, body=body), 0.0
        code, message = fault or (0, "")
        outcome = classify(self.terms, status, code, message)
        is_busy = outcome is Outcome.LIMITED or status == 403
        return Reply(outcome=outcome, status=status, code=code, message=message[:300]), self._quiet_s(status, headers) if is_busy else 0.0

    def _quiet_s(self, status: int, headers: Mapping[str, str]) -> float:
        if status == 403 and self.terms.forbidden_s:
            return self.terms.forbidden_s
        told = headers.get("retry-after", "")
        return min(_QUIET_S_MAX, float(told)) if told.isdecimal() else self.terms.limited_s


class BybitWire(_PathWire):
    """Sign for Bybit v5."""

    time_call = PathCall(method="GET", path="/v5/market/time")

    def __init__(self) -> None:
        super().__init__("bybit")

    def read_time(self, body: Any) -> int:
        """Return the venue's clock, in ms."""
        return int(body["time"])

    def request(self, call: PathCall, credentials: Credentials, venue_ms: int) -> Request:
        """Return a call as it leaves."""
        query, body = _parts(call)
        signed = _hmac(credentials, f"{venue_ms}{credentials.key}{RECEIVE_WINDOW_MS}{query if body is None else body}").hex()
        headers = {
            "X-BAPI-API-KEY": credentials.key,
            "X-BAPI-TIMESTAMP": str(venue_ms),
            "X-BAPI-RECV-WINDOW": str(RECEIVE_WINDOW_MS),
            "X-BAPI-SIGN": signed,
            "Content-Type": "application/json",
        }
        return Request(method=call.method, target=_target(call.path, query), headers=headers, body=body)


class OkxWire(_PathWire):
    """Sign for OKX v5. What is posted is void after the receive window."""

    time_call = PathCall(method="GET", path="/api/v5/public/time")

    def __init__(self) -> None:
        super().__init__("okx")

    def read_time(self, body: Any) -> int:
        """Return the venue's clock, in ms."""
        return int(body["data"][0]["ts"])

    def request(self, call: PathCall, credentials: Credentials, venue_ms: int) -> Request:
        """Return a call as it leaves."""
        query, body = _parts(call)
        target = _target(call.path, query)
        stamp = datetime.fromtimestamp(venue_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        headers = {
            "OK-ACCESS-KEY": credentials.key,
            "OK-ACCESS-SIGN": base64.b64encode(_hmac(credentials, f"{stamp}{call.method}{target}{body or ''}")).decode(),
            "OK-ACCESS-TIMESTAMP": stamp,
            "OK-ACCESS-PASSPHRASE": credentials.passphrase,
            "Content-Type": "application/json",
        }
        if body is not None:
            headers["expTime"] = str(venue_ms + RECEIVE_WINDOW_MS)
        return Request(method=call.method, target=target, headers=headers, body=body)


def _parts(call: PathCall) -> tuple[str, str | None]:
    """Return query and body."""
    if call.method == "POST":
        return "", json.dumps(call.params, separators=(",", ":"))
    return (urlencode(call.params) if isinstance(call.params, Mapping) else ""), None


def _target(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _hmac(credentials: Credentials, text: str) -> bytes:
    return hmac.new(credentials.secret.encode(), text.encode(), hashlib.sha256).digest()


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None

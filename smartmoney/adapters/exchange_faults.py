"""Put a plan of faults between one market's site and its clients: frames, connections, requests and the clock.

With no faults in the plan every hook is one look-up, and what the exchange sends is byte for byte what it would send without.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from smartmoney.adapters.exchange_client import StreamClient
from smartmoney.adapters.exchange_fault_frames import Frame, Line
from smartmoney.adapters.exchange_fault_requests import Asked, Requests
from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.exchange_weights import Answer
from smartmoney.simulation.fault_kinds import KINDS, Point
from smartmoney.simulation.faults import Fault, FaultPlan, Where
from smartmoney.simulation.ladder import KIND, TIME, TRADE
from smartmoney.simulation.market import Rows, SimulatedBook
from smartmoney.venues.binance import fault_wire

_GOING_AWAY = 1001
_UPGRADE = Answer(101, "", {})
_HANG_S = 3600.0
"""A request without an answer is held for so long (in seconds of the exchange), unless its client gives up before."""


class _Link:
    """Hold what is known of one client's connection."""

    def __init__(self, client: StreamClient, where: Where, line: Line, opened_ns: int) -> None:
        self.client = client
        self.where = where
        self.line = line
        self.opened_ns = opened_ns
        self.decided: set[str] = set()
        self.frozen_by = ""
        self.ends_ns = 0


class SiteFaults:
    """Carry out a plan for one market. `now_ns` is the exchange's true clock, `speed` its seconds a second."""

    def __init__(
        self, plan: FaultPlan, market: str, desks: Mapping[str, Desk], *, is_spot: bool, now_ns: Callable[[], int], speed: float
    ) -> None:
        self.plan = plan
        self.market = market
        self._is_spot = is_spot
        self._now_ns = now_ns
        self._speed = speed
        self._requests = Requests(plan, market, desks, is_spot=is_spot, now_ns=now_ns)
        self._links: dict[StreamClient, _Link] = {}
        self._connections = 0

    # Connections and frames.

    def opened(self, client: StreamClient) -> None:
        """Take note of a new stream connection."""
        self._connections += 1
        where = Where(market=self.market, connection=self._connections)
        line = Line(self.plan, where, is_combined=client.is_combined, deliver=client.offer)
        self._links[client] = _Link(client, where, line, self._now_ns())

    def closed(self, client: StreamClient) -> None:
        """Forget a connection."""
        link = self._links.pop(client, None)
        if link is not None:
            self.plan.forget_connection(self.market, link.where.connection)

    def number_of(self, client: StreamClient) -> int:
        """Return a connection's number among its market's, from 1."""
        return self._links[client].where.connection

    @property
    def touches_frames(self) -> bool:
        """Tell whether frames must be carried one by one; else the site may write them as they are."""
        return self.plan.stands(Point.FRAME) or any(link.line.is_busy for link in self._links.values())

    def carry(self, client: StreamClient, stream: str, at_ns: int, text: str, desk: Desk) -> None:
        """Send a frame to a client, or what becomes of it."""
        self._links[client].line.carry(Frame(at_ns, stream, text, desk))

    def step(self, now_ns: int) -> None:
        """Let time pass: send what was held back, and end or freeze connections that fall to a fault."""
        watches = self.plan.stands(Point.CONNECTION)
        for link in list(self._links.values()):
            link.line.settle(now_ns)
            if watches or link.frozen_by or link.ends_ns:
                self._live(link, now_ns)

    def _live(self, link: _Link, now_ns: int) -> None:
        if link.frozen_by:
            if not self.plan.is_open(link.frozen_by, now_ns):
                link.client.abort()
            return
        if link.ends_ns and now_ns >= link.ends_ns:
            link.client.end(_GOING_AWAY, "")
            return
        for fault in self.plan.open(Point.CONNECTION, now_ns, link.where):
            lives_ns = fault.nanoseconds("life_s") if "life_s" in KINDS[fault.kind].parameters else 0
            if fault.name in link.decided or now_ns - link.opened_ns < lives_ns:
                continue
            link.decided.add(fault.name)
            if self.plan.meets(fault.name, link.where):
                CONNECTION_ACTS[fault.kind](self, link, fault, now_ns)

    def announce_shutdown(self, link: _Link, now_ns: int) -> None:
        """Tell a client of spot that its connection will end."""
        if self._is_spot:
            link.client.offer(fault_wire.server_shutdown(now_ns + self.offset_ns(), is_combined=link.client.is_combined))

    # Requests.

    async def answer(self, asked: Asked, execute: Callable[[], Answer], used: Callable[[], dict[str, str]] | None = None) -> Answer | None:
        """Return the answer to a request, after the waits that faults impose; None when it gets none.

        `used` gives the headers of used weight, which the venue puts on refusals too (a proxy's page has none).
        """
        if not self.plan.stands(Point.REQUEST):
            return execute()
        verdict = self._requests.judge(asked)
        await self._wait(verdict.before_s)
        answer = execute() if verdict.executes else None
        await self._wait(verdict.after_s)
        if verdict.lost:
            await self._wait(_HANG_S if verdict.lost == "hang" else 0.0)
            return None
        if verdict.answer is not None:
            is_page = "Content-Type" in verdict.answer.headers
            headers = used() if used is not None and not is_page else {}
            answer = msgspec.structs.replace(verdict.answer, headers={**headers, **verdict.answer.headers})
        assert answer is not None, "a request that is not carried out has an answer of its own"
        return verdict.change(answer) if verdict.change is not None else answer

    async def refusal(self, call: str, request: web.Request) -> web.Response | None:
        """Return the refusal of a websocket's handshake, or None when it may go on."""
        answer = await self.answer(Asked(method="WS", call=call), lambda: _UPGRADE)
        if answer is _UPGRADE:
            return None
        return response(answer, request)

    def api_body(self, answer: Answer) -> Any:
        """Return an answer's body as the request API words it: a limit says until when, a page is no JSON and becomes -1000."""
        if not answer.body.startswith(("{", "[")):
            return fault_wire.failure(-1000, is_spot=self._is_spot)
        body = json.loads(answer.body)
        return fault_wire.with_retry(body, self._now_ns(), answer.retry_after_s) if answer.retry_after_s else body

    async def _wait(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(seconds / self._speed)

    # The clock.

    def offset_ns(self) -> int:
        """Return by how much the exchange's clock is wrong, and count that it was read."""
        if not self.plan.stands(Point.CLOCK):
            return 0
        wrong = self.plan.open(Point.CLOCK, self._now_ns(), Where(market=self.market))
        for fault in wrong:
            self.plan.note(fault.name)
        return sum(fault.nanoseconds("offset_s") for fault in wrong)


def response(answer: Answer | None, request: web.Request) -> web.Response:
    """Return an answer as a response; a lost one cuts the connection that asked."""
    if answer is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    headers = dict(answer.headers)
    content_type = headers.pop("Content-Type", "application/json")
    return web.Response(status=answer.status, text=answer.body, content_type=content_type, headers=headers)


def _freeze(_site: SiteFaults, link: _Link, fault: Fault, _now_ns: int) -> None:
    link.frozen_by = fault.name
    link.client.freeze()


def _disconnect(_site: SiteFaults, link: _Link, fault: Fault, _now_ns: int) -> None:
    if fault.value("how") == "reset":
        link.client.abort()
    else:
        link.client.end(int(fault.number("code")), str(fault.value("reason")))


def _shut_down(site: SiteFaults, link: _Link, fault: Fault, now_ns: int) -> None:
    site.announce_shutdown(link, now_ns)
    link.ends_ns = now_ns + fault.nanoseconds("lead_s")


def _close(_site: SiteFaults, link: _Link, _fault: Fault, _now_ns: int) -> None:
    link.client.end(_GOING_AWAY, "")


CONNECTION_ACTS: dict[str, Callable[[SiteFaults, _Link, Fault, int], None]] = {
    "half_open": _freeze,
    "disconnect": _disconnect,
    "server_shutdown": _shut_down,
    "maintenance": _close,
}
"""What each kind of fault does to a connection."""


class HaltedBooks:
    """Advance books, and keep still those whose symbol a fault halts. `origin_ns` is the exchange's time of the market's 0."""

    def __init__(self, plan: FaultPlan, origin_ns: int) -> None:
        self._plan = plan
        self._origin_ns = origin_ns
        self._still: dict[tuple[str, str], str] = {}

    def advance(self, market: str, symbol: str, book: SimulatedBook, to_ns: int) -> Rows | None:
        """Return what a book publishes until a market time, None while it stands still.

        A book that opens again has gone on unseen: it shows where it has got to in one change, and none of the trades in between.
        """
        if not self._plan.stands(Point.BOOK) and not self._still:
            return book.advance(to_ns)
        key = (market, symbol)
        faults = self._plan.open(Point.BOOK, self._origin_ns + to_ns, Where(market=market, symbol=symbol))
        if not faults and key not in self._still:
            return book.advance(to_ns)
        if not faults:
            return self._reopened(book, to_ns, self._still.pop(key))
        if key in self._still:
            return None
        self._still[key] = faults[0].name
        self._plan.note(faults[0].name)
        starts_ns = min(self._plan.window(fault.name)[0] for fault in faults) - self._origin_ns
        return book.advance(starts_ns) if starts_ns > book.now_ns else None

    def _reopened(self, book: SimulatedBook, to_ns: int, fault: str) -> Rows:
        # A fault that was taken away ends when that is noticed.
        ends_ns = self._plan.window(fault)[1]
        opens_ns = to_ns if ends_ns is None else min(max(ends_ns - self._origin_ns, book.now_ns), to_ns)
        unseen = book.advance(opens_ns)
        unseen = unseen[unseen[:, KIND] != TRADE]
        unseen[:, TIME] = opens_ns
        return np.concatenate((unseen, book.advance(to_ns)))

"""Answer `/sim/faults` on a market's port: list the faults that stand, add some, take one away, while the exchange runs.

GET lists them with their counters; POST adds one fault, or `{"faults": [...]}`; DELETE `/sim/faults/NAME` takes one away, DELETE
`/sim/faults` all. Bodies and answers are JSON. Only this machine is answered, and no web page: a foreign Host or Origin is refused.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from smartmoney.simulation.faults import Fault, FaultPlan, Report

_BODY_MAX = 256 << 10
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_ROOT = "/sim/faults"

FaultReader = Callable[[Any], Fault]
"""Reads a fault from decoded JSON. Raises ValueError with one line that names the field and the remedy."""


class FaultControl:
    """Serve the control endpoint of a plan."""

    def __init__(self, plan: FaultPlan, now_ns: Callable[[], int], read: FaultReader | None) -> None:
        self._plan = plan
        self._now_ns = now_ns
        self._read = read
        self._methods = {"GET": self._list, "POST": self._add, "DELETE": self._remove}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request under `/sim/`."""
        refusal = foreign(request)
        if refusal:
            return problem(403, refusal)
        if request.path != _ROOT and not request.path.startswith(_ROOT + "/"):
            return problem(404, f"there is {_ROOT} only")
        method = self._methods.get(request.method)
        if method is None:
            return problem(405, "GET lists, POST adds, DELETE takes away")
        return await method(request)

    async def _list(self, _request: web.Request) -> web.Response:
        return answered(200, self._listing())

    async def _add(self, request: web.Request) -> web.Response:
        if self._read is None:
            return problem(404, "this exchange takes no faults while it runs; start it with `smartmoney sim`")
        if request.content_type != "application/json":
            return problem(415, "send Content-Type: application/json")
        body = bytearray()
        async for part in request.content.iter_any():
            body += part
            if len(body) > _BODY_MAX:
                return problem(413, f"at most {_BODY_MAX} bytes")
        try:
            asked = msgspec.json.decode(body)
            entries = asked["faults"] if isinstance(asked, dict) and list(asked) == ["faults"] else [asked]
            if not isinstance(entries, list):
                return problem(400, "faults: is no list; write [{...}, ...]")
            found = [self._read(entry) for entry in entries]
            self._check_names(found)
        except (msgspec.DecodeError, RecursionError):
            return problem(400, "the body is not JSON")
        except ValueError as error:
            return problem(400, str(error))
        return answered(201, {"added": [self._plan.add(fault, self._now_ns()).name for fault in found]})

    async def _remove(self, request: web.Request) -> web.Response:
        name = request.path.removeprefix(_ROOT).strip("/")
        names = [name] if name else [report.fault.name for report in self._plan.reports(0)]
        removed = [each for each in names if self._plan.remove(each)]
        if name and not removed:
            return problem(404, f"there is no fault named {name!r}; GET {_ROOT} lists them")
        return answered(200, {"removed": removed})

    def _check_names(self, faults: list[Fault]) -> None:
        # All or none: half of a list would be worse than a refusal.
        taken = {report.fault.name for report in self._plan.reports(0)}
        for fault in faults:
            if fault.name and fault.name in taken:
                raise ValueError(f"name: there is a fault named {fault.name!r} already; choose another")
            taken.add(fault.name)

    def _listing(self) -> dict[str, Any]:
        now_ns = self._now_ns()
        return {"now_ms": now_ns // 1_000_000, "seed": self._plan.seed, "faults": [_told(report) for report in self._plan.reports(now_ns)]}


def _told(report: Report) -> dict[str, Any]:
    fault = msgspec.to_builtins(report.fault)
    parameters = fault.pop("parameters")
    return {**fault, **parameters, "active": report.is_active, "matched": report.matched, "acted": report.acted}


def foreign(request: web.Request) -> str:
    """Return why a control request is not answered, empty if it is: only this machine is, and no web page."""
    if request.remote not in _LOOPBACK:
        return "only this machine is answered"
    if _host_name(request.headers.get("Host", "")) not in _LOOPBACK:
        return "the Host is not this machine"
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.headers['Host']}":
        return "the Origin is another site"
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        return "the request comes from another site"
    return ""


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def answered(status: int, body: dict[str, Any]) -> web.Response:
    """Return a control answer."""
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


def problem(status: int, what: str) -> web.Response:
    """Return a control refusal."""
    return answered(status, {"problem": what})

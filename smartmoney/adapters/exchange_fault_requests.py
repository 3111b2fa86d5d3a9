"""Do to requests what a plan of faults says: refuse, fail, delay and lose them, before or after they were carried out.

The table `REQUEST_ACTS` gives for each kind its verdict; `judge` folds the verdicts of all that act on one request. Handshakes of
websockets are requests too (`WS stream`, `WS api`).
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

import msgspec

from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.exchange_weights import Answer
from smartmoney.simulation.fault_kinds import Point
from smartmoney.simulation.faults import Acting, Fault, FaultPlan, Where
from smartmoney.venues.binance import fault_wire, wire

_S = 1_000_000_000
_MS = 1_000_000
_WEIGHT_LIMIT = {True: 6000, False: 2400}
_TRIGGERS = ("stopPrice", "triggerPrice", "trailingDelta", "belowStopPrice", "aboveStopPrice", "callbackRate", "activationPrice")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Be a request: method and call (`GET`, `depth`; `WS`, `stream`), its parameters, and whether it carries a key and a timestamp."""

    method: str
    call: str
    query: Mapping[str, str] = {}
    has_key: bool = False

    @property
    def is_signed(self) -> bool:
        """Tell whether the request is signed."""
        return "signature" in self.query or "timestamp" in self.query


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Say what becomes of a request: whether it is carried out, the waits before and after (s), and the answer.

    `answer` stands for the real one; `change` alters it; `lost` (reset or hang) means that there is none.
    """

    executes: bool = True
    before_s: float = 0.0
    after_s: float = 0.0
    answer: Answer | None = None
    change: Callable[[Answer], Answer] | None = None
    lost: str = ""


class Requests:
    """Judge one market's requests."""

    def __init__(self, plan: FaultPlan, market: str, desks: Mapping[str, Desk], *, is_spot: bool, now_ns: Callable[[], int]) -> None:
        self.plan = plan
        self.desks = desks
        self.is_spot = is_spot
        self.now_ns = now_ns
        self.quiet_until_ns: dict[str, tuple[int, int]] = {}
        """For each rate limit: until when it asked for quiet, and how many came all the same."""
        self._market = market

    def judge(self, asked: Asked) -> Verdict:
        """Return what becomes of a request: every fault that acts adds to it, until one answers."""
        where = Where(market=self._market, symbol=asked.query.get("symbol", ""), call=f"{asked.method} {asked.call}")

        def concerns(fault: Fault) -> bool:
            return _CONCERNS.get(fault.kind, _everything)(self, fault, asked)

        verdict = Verdict()
        for acting in self.plan.acting(Point.REQUEST, self.now_ns(), where, concerns):
            more = REQUEST_ACTS[acting.fault.kind](self, acting, asked)
            verdict = Verdict(
                executes=verdict.executes and more.executes,
                before_s=verdict.before_s + more.before_s,
                after_s=verdict.after_s + more.after_s,
                answer=more.answer,
                change=_both(verdict.change, more.change),
                lost=more.lost,
            )
            if more.answer is not None or more.lost:
                break
        return verdict


RequestAct = Callable[[Requests, Acting, Asked], Verdict]


def _both(first: Callable[[Answer], Answer] | None, then: Callable[[Answer], Answer] | None) -> Callable[[Answer], Answer] | None:
    if first is None or then is None:
        return first or then
    return lambda answer: then(first(answer))


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body, separators=(",", ":")), headers or {})


def _refusal(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Verdict:
    return Verdict(executes=False, answer=_answer(status, body, headers))


def _rate_limit(site: Requests, acting: Acting, _asked: Asked) -> Verdict:
    fault, now_ns = acting.fault, site.now_ns()
    until_ns, came = site.quiet_until_ns.get(fault.name, (0, 0))
    came = came + 1 if now_ns < until_ns else 0
    patience = int(fault.number("patience"))
    is_banned = bool(fault.value("banned")) or bool(patience and came > patience)
    wait_s = int(fault.number("ban_s" if is_banned else "retry_after_s"))
    site.quiet_until_ns[fault.name] = (max(until_ns, now_ns + wait_s * _S), came)
    headers = {"Retry-After": str(wait_s)}
    if is_banned:
        return _refusal(418, fault_wire.banned(now_ns // _MS + wait_s * 1000), headers)
    return _refusal(429, fault_wire.limited(_WEIGHT_LIMIT[site.is_spot]), headers)


def _server_error(site: Requests, acting: Acting, _asked: Asked) -> Verdict:
    fault = acting.fault
    status, code = int(fault.number("status")), int(fault.number("code"))
    if code:
        answer = _answer(status, fault_wire.failure(code, is_spot=site.is_spot))
    else:
        reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown Error"
        answer = Answer(status, fault_wire.proxy_page(status, reason), {"Content-Type": "text/html"})
    return Verdict(executes=bool(fault.value("accepted")), answer=answer)


def _slow(_site: Requests, acting: Acting, _asked: Asked) -> Verdict:
    delay_s = acting.fault.number("delay_s")
    return Verdict(after_s=delay_s) if acting.fault.value("accepted") == "before" else Verdict(before_s=delay_s)


def _lost(_site: Requests, acting: Acting, _asked: Asked) -> Verdict:
    return Verdict(executes=bool(acting.fault.value("accepted")), lost=str(acting.fault.value("how")))


def _reject(_site: Requests, acting: Acting, _asked: Asked) -> Verdict:
    fault = acting.fault
    return _refusal(int(fault.number("status")), wire.error(int(fault.number("code")), str(fault.value("message"))))


def _reject_stop(site: Requests, _acting: Acting, _asked: Asked) -> Verdict:
    return _refusal(400, fault_wire.would_trigger(is_spot=site.is_spot))


def _not_found(site: Requests, _acting: Acting, asked: Asked) -> Verdict:
    return _refusal(400, fault_wire.failure(-2011 if asked.method == "DELETE" else -2013, is_spot=site.is_spot))


def _revoked(site: Requests, _acting: Acting, _asked: Asked) -> Verdict:
    return _refusal(401, fault_wire.failure(-2015, is_spot=site.is_spot))


def _skewed(site: Requests, acting: Acting, _asked: Asked) -> Verdict:
    if acting.fault.value("ahead"):
        return _refusal(400, wire.error(-1021, fault_wire.AHEAD))
    return _refusal(400, fault_wire.failure(-1021, is_spot=site.is_spot))


def _maintained(site: Requests, _acting: Acting, _asked: Asked) -> Verdict:
    return _refusal(503, fault_wire.failure(-1016, is_spot=site.is_spot))


def _refiltered(site: Requests, acting: Acting, asked: Asked) -> Verdict:
    fault = acting.fault
    if asked.method != "GET":
        return _refusal(400, fault_wire.filter_failure(_broken_filter(site, fault, asked), is_spot=site.is_spot))
    times = {"tickSize": fault.number("tick_times"), "stepSize": fault.number("lot_times")}
    least = fault.number("notional_times")
    return Verdict(
        change=_rewritten(lambda body: fault_wire.coarser(body, fault.symbol, {**times, "minNotional": least, "notional": least}))
    )


def _halted(site: Requests, acting: Acting, asked: Asked) -> Verdict:
    if asked.method != "GET":
        return _refusal(400, fault_wire.closed_market(is_spot=site.is_spot))
    return Verdict(change=_rewritten(lambda body: fault_wire.halted(body, acting.fault.symbol, is_spot=site.is_spot)))


def _rewritten(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Answer], Answer]:
    def act(answer: Answer) -> Answer:
        if answer.status != HTTPStatus.OK:
            return answer
        return msgspec.structs.replace(answer, body=json.dumps(change(json.loads(answer.body))))

    return act


def _broken_filter(site: Requests, fault: Fault, asked: Asked) -> str:
    """Return the changed filter that an order does not meet; empty when it meets all, or says too little to judge."""
    desk = site.desks.get(asked.query.get("symbol", ""))
    if desk is None:
        return ""
    instrument = desk.book.instrument
    price, quantity = (_decimal(asked.query.get(name, "")) for name in ("price", "quantity"))
    if price is not None and price % (instrument.tick_size * int(fault.number("tick_times"))):
        return "PRICE_FILTER"
    if quantity is not None and quantity % (instrument.lot_size * int(fault.number("lot_times"))):
        return "LOT_SIZE"
    least = instrument.min_notional * Decimal(str(fault.number("notional_times")))
    return "NOTIONAL" if price is not None and quantity is not None and price * quantity < least else ""


def _decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _everything(_site: Requests, _fault: Fault, _asked: Asked) -> bool:
    return True


def _with_trigger(_site: Requests, _fault: Fault, asked: Asked) -> bool:
    return any(name in asked.query for name in _TRIGGERS)


_CONCERNS: dict[str, Callable[[Requests, Fault, Asked], bool]] = {
    "reject_stop": _with_trigger,
    "key_revoked": lambda _site, _fault, asked: asked.has_key,
    "clock_skew": lambda _site, _fault, asked: asked.is_signed,
    "filter_change": lambda site, fault, asked: asked.method == "GET" or bool(_broken_filter(site, fault, asked)),
}
"""Which of the requests in its scope a kind is about; the others are no match and are not counted."""

REQUEST_ACTS: dict[str, RequestAct] = {
    "rate_limit": _rate_limit,
    "server_error": _server_error,
    "slow_answer": _slow,
    "lost_answer": _lost,
    "reject": _reject,
    "reject_stop": _reject_stop,
    "not_found": _not_found,
    "key_revoked": _revoked,
    "clock_skew": _skewed,
    "filter_change": _refiltered,
    "symbol_halt": _halted,
    "maintenance": _maintained,
}
"""What each kind of fault does to a request."""

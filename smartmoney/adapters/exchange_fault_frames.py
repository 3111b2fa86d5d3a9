"""Do to stream frames what a plan of faults says: lose, repeat, hold back, disorder and falsify them, connection by connection.

A `Line` stands between the writers of streams and one client. What it sends depends on the frames and their times alone, never on how the
market's time was cut into steps; what it falsified in a book it puts right in the first frame after the fault.
"""

import heapq
from collections.abc import Callable
from typing import Any

import msgspec

from smartmoney.adapters.exchange_feed import Desk
from smartmoney.simulation.fault_kinds import Point
from smartmoney.simulation.faults import Acting, FaultPlan, Where
from smartmoney.venues.binance import fault_wire, wire

_LEVELS = 5000


class Frame(msgspec.Struct, frozen=True):
    """Be a frame on its way to a client: its time, stream and text, and the desk that it speaks of."""

    at_ns: int
    stream: str
    text: str
    desk: Desk

    @property
    def is_diff(self) -> bool:
        """Tell a depth diff, whose levels the client keeps, from frames that stand for themselves."""
        kind = self.stream.partition("@")[2].partition("@")[0]
        return kind == "depth"


class Out(msgspec.Struct, frozen=True, kw_only=True):
    """Be what leaves: a payload (`is_whole`: not to be wrapped), not before `due_ns`, and not before so many others of its stream."""

    payload: str | bytes
    is_whole: bool = False
    due_ns: int = 0
    overtaken_by: int = 0


class _Repair(msgspec.Struct, frozen=True):
    """Remember what a fault falsified: one bid price, or with none the whole book."""

    fault: str
    bid: str


class Line:
    """Carry one client's frames, with the faults that fall to it."""

    def __init__(self, plan: FaultPlan, where: Where, *, is_combined: bool, deliver: Callable[[str | bytes], None]) -> None:
        self.plan = plan
        self.where = where
        self.is_combined = is_combined
        self.repairs: dict[str, _Repair] = {}
        self._deliver = deliver
        self._held: list[tuple[int, int, str, str | bytes]] = []
        self._behind: list[tuple[int, str, str | bytes]] = []
        self._numbered = 0

    def carry(self, frame: Frame) -> None:
        """Send a frame, or what the faults make of it."""
        self.settle(frame.at_ns)
        where = msgspec.structs.replace(self.where, symbol=frame.desk.grid.symbol, stream=frame.stream)
        acting = self.plan.acting(Point.FRAME, frame.at_ns, where)
        frame = self._mended(frame, {act.fault.name for act in acting})
        outs = [Out(payload=frame.text)]
        for act in acting:
            outs = [made for out in outs for made in FRAME_ACTS[act.fault.kind](self, act, frame, out)]
        for out in outs:
            payload = self.whole(frame, out)
            if out.due_ns:
                self._numbered += 1
                heapq.heappush(self._held, (out.due_ns, self._numbered, frame.stream, payload))
            elif out.overtaken_by:
                self._behind.append((out.overtaken_by, frame.stream, payload))
            else:
                self._send(frame.stream, payload)

    @property
    def is_busy(self) -> bool:
        """Tell whether anything is held back, or to be put right."""
        return bool(self._held or self._behind or self.repairs)

    def settle(self, now_ns: int) -> None:
        """Send what was held back until now."""
        while self._held and self._held[0][0] <= now_ns:
            _, _, stream, payload = heapq.heappop(self._held)
            self._send(stream, payload)

    def whole(self, frame: Frame, out: Out) -> str | bytes:
        """Return the payload as the client's endpoint words it."""
        if out.is_whole or isinstance(out.payload, bytes) or not self.is_combined:
            return out.payload
        return wire.envelope(frame.stream, out.payload)

    def _send(self, stream: str, payload: str | bytes) -> None:
        self._deliver(payload)
        if self._behind:
            waiting = [(left - (whose == stream), whose, late) for left, whose, late in self._behind]
            self._behind = [each for each in waiting if each[0] > 0]
            for left, _, late in waiting:
                if left <= 0:
                    self._deliver(late)

    def _mended(self, frame: Frame, acting: set[str]) -> Frame:
        repair = self.repairs.get(frame.stream)
        if repair is None or repair.fault in acting or not frame.is_diff:
            return frame
        del self.repairs[frame.stream]
        bids, asks = _levels(frame.desk)
        if not repair.bid:
            return msgspec.structs.replace(frame, text=fault_wire.with_levels(frame.text, bids, asks, frame.desk.grid.quantity(0)))
        quantity = next((lots for price, lots in bids if price == repair.bid), frame.desk.grid.quantity(0))
        return msgspec.structs.replace(frame, text=fault_wire.with_level(frame.text, "b", repair.bid, quantity))


FrameAct = Callable[[Line, Acting, Frame, Out], list[Out]]


def _levels(desk: Desk) -> tuple[list[list[str]], list[list[str]]]:
    depth, grid = desk.book.snapshot(_LEVELS), desk.grid
    bids, asks = ([[grid.price(ticks), grid.quantity(lots)] for ticks, lots in side.tolist()] for side in (depth.bids, depth.asks))
    return bids, asks


def _rewritten(change: Callable[[Line, Acting, Frame, str], str], kinds: tuple[str, ...] = ("",)) -> FrameAct:
    """Return the act of a fault that changes a frame's text, of some kinds of streams; what is spoilt already stays as it is."""

    def act(line: Line, acting: Acting, frame: Frame, out: Out) -> list[Out]:
        if out.is_whole or not isinstance(out.payload, str) or not frame.stream.partition("@")[2].startswith(kinds):
            return [out]
        return [msgspec.structs.replace(out, payload=change(line, acting, frame, out.payload))]

    return act


def _lose(_line: Line, _acting: Acting, _frame: Frame, _out: Out) -> list[Out]:
    return []


def _repeat(extra: int) -> FrameAct:
    def act(_line: Line, acting: Acting, _frame: Frame, out: Out) -> list[Out]:
        return [out] * (int(acting.fault.number("times")) + extra)

    return act


def _reorder(_line: Line, acting: Acting, _frame: Frame, out: Out) -> list[Out]:
    return [msgspec.structs.replace(out, overtaken_by=int(acting.fault.number("by")))]


def _hold(_line: Line, acting: Acting, frame: Frame, out: Out) -> list[Out]:
    hold_ns = acting.fault.nanoseconds("hold_s")
    due_ns = acting.start_ns + ((frame.at_ns - acting.start_ns) // hold_ns + 1) * hold_ns
    return [msgspec.structs.replace(out, due_ns=max(due_ns, out.due_ns))]


def _delay(_line: Line, acting: Acting, frame: Frame, out: Out) -> list[Out]:
    return [msgspec.structs.replace(out, due_ns=max(out.due_ns, frame.at_ns) + acting.fault.nanoseconds("delay_s"))]


def _truncate(line: Line, acting: Acting, frame: Frame, out: Out) -> list[Out]:
    payload = line.whole(frame, out)
    return [msgspec.structs.replace(out, payload=payload[: int(len(payload) * acting.fault.number("keep"))], is_whole=True)]


def _garbage(line: Line, acting: Acting, frame: Frame, out: Out) -> list[Out]:
    form, size = str(acting.fault.value("form")), int(acting.fault.number("size"))
    if form in fault_wire.NUMBERS:
        if out.is_whole or not isinstance(out.payload, str):
            return [out]
        # Whole from here on: what follows in the plan must not read it as a frame again.
        spoilt = msgspec.structs.replace(out, payload=fault_wire.with_number(out.payload, form))
        spoilt = msgspec.structs.replace(spoilt, payload=line.whole(frame, spoilt), is_whole=True)
    else:
        spoilt = msgspec.structs.replace(out, payload=_JUNK[form](line.plan, acting, size), is_whole=True)
    return [spoilt] if acting.fault.value("instead") else [spoilt, out]


def _large(_plan: FaultPlan, _acting: Acting, size: int) -> str:
    head, tail = '{"e":"depthUpdate","x":"', '"}'
    return head + "x" * (size - len(head) - len(tail)) + tail


_JUNK: dict[str, Callable[[FaultPlan, Acting, int], str | bytes]] = {
    "not_json": lambda _plan, _acting, _size: "<html><head><title>502 Bad Gateway</title></head></html>",
    "binary": lambda plan, acting, size: plan.noise(acting, size),
    "large": _large,
    "deep": lambda _plan, _acting, size: "[" * size,
    "empty": lambda _plan, _acting, _size: "",
}


def _cross(line: Line, acting: Acting, frame: Frame, text: str) -> str:
    desk, grid = frame.desk, frame.desk.grid
    _, bid_lots, ask, _ = desk.book.touch
    price = grid.price(max(ask, 0) + int(acting.fault.number("ticks")))
    quantity = grid.quantity(max(bid_lots, 1))
    if not frame.is_diff:
        return fault_wire.with_best(text, price, quantity)
    before = line.repairs.get(frame.stream)
    if before is not None and before.bid and before.bid != price:
        text = fault_wire.with_level(text, "b", before.bid, grid.quantity(0))
    line.repairs[frame.stream] = _Repair(acting.fault.name, price)
    return fault_wire.with_level(text, "b", price, quantity)


def _empty(line: Line, acting: Acting, frame: Frame, text: str) -> str:
    sides, none = acting.fault.value("side"), frame.desk.grid.quantity(0)
    if not frame.is_diff:
        return fault_wire.altered(text, lambda body: body.update({key: [] for key in _keys(body, str(sides))}))
    bids, asks = _levels(frame.desk)

    def change(body: dict[str, Any]) -> None:
        for key, levels in (("b", bids), ("a", asks)):
            if key in _keys(body, str(sides)):
                prices = dict.fromkeys([price for price, _ in levels] + [price for price, _ in body[key]])
                body[key] = [[price, none] for price in prices]

    line.repairs[frame.stream] = _Repair(acting.fault.name, "")
    return fault_wire.altered(text, change)


def _keys(body: dict[str, Any], side: str) -> list[str]:
    wanted = {"bids": ("b", "bids"), "asks": ("a", "asks"), "both": ("b", "bids", "a", "asks")}[side]
    return [key for key in wanted if isinstance(body.get(key), list)]


def _spike(_line: Line, acting: Acting, frame: Frame, text: str) -> str:
    body = msgspec.json.decode(text)
    ticks = int(body["p"].replace(".", "")) // frame.desk.grid.price_step
    moved = max(1, round(ticks * (1.0 + acting.fault.number("percent") / 100.0)))
    return fault_wire.with_print(text, frame.desk.grid.price(moved))


def _age(_line: Line, acting: Acting, _frame: Frame, text: str) -> str:
    return fault_wire.shifted(text, -acting.fault.nanoseconds("age_s"))


def _shift(_line: Line, acting: Acting, _frame: Frame, text: str) -> str:
    return fault_wire.shifted(text, acting.fault.nanoseconds("offset_s"))


FRAME_ACTS: dict[str, FrameAct] = {
    "silence": _lose,
    "gap": _lose,
    "duplicate": _repeat(1),
    "burst": _repeat(0),
    "reorder": _reorder,
    "backlog": _hold,
    "delay": _delay,
    "truncate": _truncate,
    "garbage": _garbage,
    "crossed_book": _rewritten(_cross, ("depth", "bookTicker")),
    "empty_book": _rewritten(_empty, ("depth",)),
    "price_spike": _rewritten(_spike, ("trade", "aggTrade")),
    "stale_timestamps": _rewritten(_age),
    "clock_offset": _rewritten(_shift),
}
"""What each kind of fault does to a frame."""

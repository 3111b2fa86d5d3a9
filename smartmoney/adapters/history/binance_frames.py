"""Recorded Binance frames as events again, for export: depth updates, trades and depth replies, spot and futures."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from smartmoney.adapters.history.assembly import by_update_id
from smartmoney.adapters.history.events import Event, Events, Level, LevelsChanged, Printed, Repairs, decimal_text
from smartmoney.adapters.recordings import RecordedFrame

_MS = 1_000_000
_FRAMES_HELD = 100_000
OTHER = "frames that are no depth and no trade, left out"


class Frame(msgspec.Struct):
    """Be a frame with the venue's own names: depth, trade, best quote or depth reply, whatever it is."""

    e: str = ""
    s: str = ""
    E: int = 0
    T: int = 0
    b: Any = None
    a: Any = None
    B: Any = None
    A: Any = None
    p: str = ""
    q: str = ""
    r: str = ""
    t: int = -1
    m: bool = False
    U: int = -1
    u: int = -1
    pu: int = -1
    lastUpdateId: int = -1  # noqa: N815 - the venue's word
    bids: Any = None
    asks: Any = None
    data: Any = None
    stream: str = ""
    wall_ns: int = 0


def events_of(frames: Iterable[RecordedFrame], repairs: Repairs, symbol: str | None = None) -> Events:
    """Yield the events that frames stand for; other frames are counted and left out.

    `symbol` is whose a depth reply without a name is; None takes it for the first symbol that is named.
    """
    return by_update_id(_told(frames, repairs, symbol), repairs)


def _told(frames: Iterable[RecordedFrame], repairs: Repairs, symbol: str | None) -> Events:
    reading = _Reading(repairs)
    held: list[Frame] = []
    known = (symbol or "").upper()
    for frame in frames:
        found = parsed(frame, repairs)
        if found is None:
            continue
        known = known or (found.s or frame.symbol or "").upper()
        found.s = found.s or frame.symbol or ""
        held.append(found)
        if known or len(held) > _FRAMES_HELD:
            for one in held:
                yield from reading.events(one, (one.s or known).upper())
            held.clear()


def parsed(frame: RecordedFrame, repairs: Repairs) -> Frame | None:
    """Return a frame without its envelope, None if it is no object of that kind, which is counted."""
    try:
        found = _decoder.decode(frame.frame)
        if found.data is not None:
            stream, found = found.stream, msgspec.convert(found.data, Frame)
            found.stream = stream
    except msgspec.MsgspecError:
        repairs.note(OTHER)
        return None
    found.wall_ns = frame.ts_wall_ns
    return found


_decoder = msgspec.json.Decoder(Frame)


class _Reading:
    """Turn frames into events; of a symbol's two streams of trades the first one counts."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._prints: dict[str, str] = {}

    def events(self, found: Frame, symbol: str) -> Iterator[Event]:
        """Yield what one frame stands for."""
        wall, event = found.wall_ns, (found.T or found.E) * _MS or found.wall_ns
        if found.e == "depthUpdate":
            previous = found.pu if found.pu >= 0 else max(found.U - 1, -1)
            yield LevelsChanged(wall, event, symbol, False, _levels(found.b), _levels(found.a), update_id=found.u, previous_id=previous)
        elif found.lastUpdateId >= 0 and found.bids is not None:
            yield LevelsChanged(wall, event, symbol, True, _levels(found.bids), _levels(found.asks), update_id=found.lastUpdateId)
        elif found.e in {"trade", "aggTrade"} and self._prints.setdefault(symbol, found.e) == found.e:
            price, size = _text(found.p), _text(found.q)
            if "0" in (price, size):
                self._repairs.note("trades without a price or size, left out")
            else:
                yield Printed(wall, event, symbol, found.t if found.e == "trade" else found.a, price, size, found.m)
        else:
            self._repairs.note(OTHER)


def _levels(pairs: Any) -> tuple[Level, ...]:
    return tuple((_text(price), _text(quantity)) for price, quantity in pairs or ())


def _text(number: str) -> str:
    return decimal_text(number, "frame", may_be_zero=True)

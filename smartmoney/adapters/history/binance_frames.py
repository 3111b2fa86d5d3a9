"""Recorded Binance frames as events again, for export: depth updates, trades and depth replies, spot and futures."""

from collections.abc import Iterable
from typing import Any

import msgspec

from smartmoney.adapters.history.events import Events, Level, LevelsChanged, Printed, Repairs, decimal_text
from smartmoney.adapters.recordings import RecordedFrame

_MS = 1_000_000


class _Frame(msgspec.Struct):
    e: str = ""
    s: str = ""
    E: int = 0
    T: int = 0
    b: Any = None
    a: Any = None
    p: str = ""
    q: str = ""
    t: int = -1
    m: bool = False
    lastUpdateId: int = -1  # noqa: N815 - the venue's word
    bids: Any = None
    asks: Any = None
    data: Any = None


def events_of(frames: Iterable[RecordedFrame], repairs: Repairs) -> Events:
    """Yield the events that frames stand for; other frames are counted and left out."""
    symbol = ""
    for frame in frames:
        try:
            found = msgspec.json.decode(frame.frame, type=_Frame)
            if found.data is not None:
                found = msgspec.convert(found.data, _Frame)
        except msgspec.MsgspecError:
            repairs.note("frames that are no depth and no trade, left out")
            continue
        wall, event = frame.ts_wall_ns, (found.T or found.E) * _MS or frame.ts_wall_ns
        symbol = found.s or frame.symbol or symbol
        if found.e == "depthUpdate":
            yield LevelsChanged(wall, event, symbol, False, _levels(found.b), _levels(found.a))
        elif found.lastUpdateId >= 0 and found.bids is not None:
            yield LevelsChanged(wall, event, symbol, True, _levels(found.bids), _levels(found.asks))
        elif found.e == "trade":
            yield Printed(wall, event, symbol, found.t, _text(found.p), _text(found.q), found.m)
        else:
            repairs.note("frames that are no depth and no trade, left out")


def _levels(pairs: Any) -> tuple[Level, ...]:
    return tuple((_text(price), _text(quantity)) for price, quantity in pairs or ())


def _text(number: str) -> str:
    return decimal_text(number, "frame", may_be_zero=True)

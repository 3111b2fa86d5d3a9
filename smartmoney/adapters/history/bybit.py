"""Bybit's historical order-book files: JSON lines in a zip, `orderbook.500.<SYMBOL>` snapshots and deltas.

`ts` is when the gateway sent it, `cts` when the engine made it, both in ms. A snapshot in the middle of a file replaces the book; with
`u` 1 the venue began to count anew. `u` of each delta is one more than that before it: the documentation does not promise it,
files have it.
Source: Bybit, "Historical data" and API v5 "Orderbook" (2026).
"""

from pathlib import Path

import msgspec

from smartmoney.adapters.history.events import Events, HistoryRefused, Level, LevelsChanged, Repairs, level_of
from smartmoney.adapters.history.texts import ENDS_EARLY, text_lines


class _Book(msgspec.Struct):
    s: str
    b: list[Level]
    a: list[Level]
    u: int = -1


class _Line(msgspec.Struct):
    type: str
    ts: int
    data: _Book
    cts: int = 0


_OWN = ("ms",)
_decoder = msgspec.json.Decoder(_Line)


def read_bybit(path: Path, repairs: Repairs) -> Events:
    """Yield the events of a file.

    Raises:
        HistoryRefused: a line is no order-book message.
        OSError: it cannot be read.
    """
    broken = ""
    for number, text in enumerate(text_lines(path, repairs), 1):
        if not text.strip():
            continue
        if broken:
            raise HistoryRefused(broken)
        try:
            line = _decoder.decode(text)
        except msgspec.MsgspecError as problem:
            # If it is the last one, the file was cut there.
            broken = f"{path}: line {number} is no order-book message of Bybit ({problem})"
            if number == 1:
                raise HistoryRefused(broken) from None
            continue
        if line.type not in {"snapshot", "delta"}:
            raise HistoryRefused(f"{path}: line {number} has type {line.type!r}; snapshot or delta is wanted")
        where = f"{path}: line {number}"
        wall = repairs.time(line.ts, f"{where}: ts", _OWN)
        event = repairs.time(line.cts, f"{where}: cts", _OWN) if line.cts else wall
        bids, asks = (tuple(level_of(*level, where) for level in side) for side in (line.data.b, line.data.a))
        is_whole, own = line.type == "snapshot", line.data.u
        before = -1 if is_whole or own < 0 else own - 1
        yield LevelsChanged(wall, event, line.data.s, is_whole, bids, asks, update_id=own, previous_id=before, is_anew=is_whole)
    if broken:
        repairs.note(ENDS_EARLY)

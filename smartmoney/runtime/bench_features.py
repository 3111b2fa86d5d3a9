"""Measure the features against the two ways in which anyone else would compute them, in the same run.

The first peer is orjson, a sorted book and NumPy over the events of the last minutes at every event, for some of the features only (so its
figure is a lower bound of what all would cost). The second is this package's own source, run as plain scalar Python: the same features,
kept incrementally, by the interpreter. It runs in a process of its own, for numba is switched off by its environment.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
from numba import njit

from smartmoney.core.book.kernel import set_level
from smartmoney.core.domain.instruments import Instrument
from smartmoney.venues.binance.kernel import fold_many
from smartmoney.venues.recorded_lines import BEGINS, ENDS, ROWS, WALLS

PEER_FRAMES = 400
NUMPY_FEATURES = 31
"""Columns that the NumPy peer computes: top 13, order flow 5, trade flow 13."""
_HALF_LIVES = np.array([1.0, 10.0, 120.0, 600.0, 3600.0])
_KEPT = 2048


class PeerInput(msgspec.Struct, frozen=True, kw_only=True):
    """Hand the scalar peer its work: the frames are JSON, the first one the snapshot."""

    instrument: Instrument
    frames: tuple[bytes, ...]


class NumpyPeer:
    """Keep a sorted book and recent events, and compute features by NumPy at every event."""

    def __init__(self, opening: Any) -> None:
        from sortedcontainers import SortedDict

        self.sides = (SortedDict(), SortedDict())
        for side, levels in zip(self.sides, (opening["bids"], opening["asks"]), strict=True):
            for price, quantity in levels:
                side[float(price)] = float(quantity)
        self.flow: deque[tuple[float, float, float]] = deque(maxlen=_KEPT)
        self.trades: deque[tuple[float, float, float]] = deque(maxlen=_KEPT)
        self.top = self._touch()

    def _touch(self) -> tuple[float, float, float, float]:
        bid, ask = self.sides[0].peekitem(-1), self.sides[1].peekitem(0)
        return (*bid, *ask)

    def feed(self, data: Any) -> Any:
        """Take in one decoded frame and return the row."""
        now = data["T" if "T" in data else "E"] * 1e-3
        if data["e"] == "depthUpdate":
            for side, levels in zip(self.sides, (data["b"], data["a"]), strict=True):
                for price, quantity in levels:
                    amount = float(quantity)
                    if amount:
                        side[float(price)] = amount
                    else:
                        side.pop(float(price), None)
            pb, qb, pa, qa = self._touch()
            ob, nb, oa, na = self.top
            e = (pb >= ob) * qb - (pb <= ob) * nb - (pa <= oa) * qa + (pa >= oa) * na
            self.flow.append((now, e, 0.5 * (qb + qa)))
            self.top = (pb, qb, pa, qa)
        else:
            value = float(data["p"]) * float(data["q"])
            self.trades.append((now, value, -value if data["m"] else value))
        return self._row(now)

    def _row(self, now: float) -> Any:
        pb, qb, pa, qa = self.top
        mid = 0.5 * (pb + pa)
        row = [(pa - pb) / mid * 1e4, pa - pb, (qb - qa) / (qb + qa), (pa * qb + pb * qa) / (qb + qa) - mid]
        bids = np.array([(p, q) for p, q in zip(self.sides[0].keys()[-200:], self.sides[0].values()[-200:], strict=True)])
        asks = np.array([(p, q) for p, q in zip(self.sides[1].keys()[:200], self.sides[1].values()[:200], strict=True)])
        for levels in (bids, asks):
            row += [levels[np.abs(levels[:, 0] - mid) <= mid * band * 1e-4, 1].sum() * mid for band in (1, 2, 5, 10)]
        row.append((row[4] - row[8]) / max(row[4] + row[8], 1e-9))
        if self.flow:
            events = np.array(self.flow)
            weights = np.exp(-np.log(2.0) / _HALF_LIVES[:, None] * (now - events[:, 0]))
            row += list(weights @ events[:, 1] / events[:, 2].mean())
        if self.trades:
            trades = np.array(self.trades)
            weights = np.exp(-np.log(2.0) / _HALF_LIVES[:, None] * (now - trades[:, 0]))
            signed, volume = weights @ trades[:, 2], weights @ trades[:, 1]
            row += [*signed, *(signed / volume), *weights[1:4].sum(axis=1)]
        return row


def numpy_seconds(snapshot: bytes, frames: tuple[bytes, ...]) -> float:
    """Return the seconds a frame that the NumPy peer takes."""
    import orjson

    peer = NumpyPeer(orjson.loads(snapshot))
    started = perf_counter()
    for frame in frames:
        message = orjson.loads(frame)
        peer.feed(message.get("data", message))
    return (perf_counter() - started) / len(frames)


def scalar_seconds(instrument: Instrument, snapshot: bytes, frames: tuple[bytes, ...]) -> tuple[float, list[float]]:
    """Return the seconds a frame that the same source takes as scalar Python, and the row that it ends with."""
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        work = Path(folder) / "work"
        work.write_bytes(msgspec.msgpack.encode(PeerInput(instrument=instrument, frames=(snapshot, *frames))))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "smartmoney.runtime.bench_features", str(work)],
            capture_output=True,
            check=True,
            env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
            timeout=900,
        )
    seconds, row = msgspec.json.decode(done.stdout)
    return seconds, [float("nan") if value is None else value for value in row]


def _plain_record(instrument: Instrument) -> Any:
    """Return a record as a plain object: numbers of Python, arrays of NumPy, as one would write it without a compiler."""
    from smartmoney.core.features.parameters import FeatureParameters
    from smartmoney.core.features.state import STATE, configure

    record = np.zeros(1, STATE)[0]
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id"):
        record[name] = -1
    configure(record, instrument, FeatureParameters())
    names = STATE.names or ()
    return SimpleNamespace(**{name: record[name] if record[name].ndim else record[name].item() for name in names})


def _scalar_peer(path: Path) -> None:
    """Be the second peer: time the frames of a work file and print seconds a frame and the last row."""
    import orjson

    from smartmoney.core.book.kernel import level_lots, window_base
    from smartmoney.core.features.kernel import on_book, on_frame, on_level, on_trade
    from smartmoney.core.features.row import COLUMNS, read_features

    work = msgspec.msgpack.decode(path.read_bytes(), type=PeerInput)
    s = _plain_record(work.instrument)
    tick, lot = float(work.instrument.tick_size), float(work.instrument.lot_size)
    out = np.zeros(COLUMNS)
    opening = orjson.loads(work.frames[0])
    s.base_tick = window_base(round(float(opening["bids"][0][0]) / tick))
    for side, levels in enumerate((opening["bids"], opening["asks"])):
        for price, quantity in levels:
            set_level(s, side, round(float(price) / tick), round(float(quantity) / lot))
    if opened := opening.get("T", opening.get("E", 0)):
        on_frame(s, opened * 1_000_000)
        on_book(s)
    started = perf_counter()
    for frame in work.frames[1:]:
        message = orjson.loads(frame)
        data = message.get("data", message)
        now = data["T" if "T" in data else "E"] * 1_000_000
        s.last_event_ns = max(s.last_event_ns, now)
        if data["e"] == "depthUpdate":
            on_frame(s, now)
            for side, levels in enumerate((data["b"], data["a"])):
                for price, quantity in levels:
                    at, lots = round(float(price) / tick), round(float(quantity) / lot)
                    old = int(level_lots(s, side, at))
                    if old != lots:
                        on_level(s, side, at, old, lots)
                        set_level(s, side, at, lots)
            on_book(s)
        else:
            on_trade(s, now, round(float(data["p"]) / tick), round(float(data["q"]) / lot), -1 if data["m"] else 1)
        read_features(s, 0, out)
    total = perf_counter() - started
    sys.stdout.write(msgspec.json.encode((total / (len(work.frames) - 1), [float(value) for value in out])).decode())


@njit(nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _book_alone(states: Any, levels: Any) -> None:
    for k in range(len(levels)):
        set_level(states[0], levels[k, 0], levels[k, 1], levels[k, 2])


def book_seconds(states: Any, instrument: Instrument, depth: tuple[bytes, ...]) -> float:
    """Return the seconds a depth frame that storing its levels takes, already decoded, without features."""
    import orjson

    tick, lot = float(instrument.tick_size), float(instrument.lot_size)
    rows = []
    for frame in depth:
        data = orjson.loads(frame)
        data = data.get("data", data)
        for side, changes in enumerate((data["b"], data["a"])):
            rows += [(side, round(float(price) / tick), round(float(quantity) / lot)) for price, quantity in changes]
    levels = np.array(rows, np.int64)
    _book_alone(states.copy(), levels[:1])
    copies = [states.copy() for _ in range(3)]
    seconds = []
    for copy in copies:
        started = perf_counter()
        _book_alone(copy, levels)
        seconds.append(perf_counter() - started)
    return statistics.median(seconds) / len(depth)


class Batch:
    """Hold frames as one buffer, as a capture's segment does."""

    def __init__(self, frames: tuple[bytes, ...]) -> None:
        self.buffer = b"".join(frames)
        self.rows = np.zeros((ROWS, len(frames)), np.int64)
        self.rows[ENDS] = np.cumsum([len(frame) for frame in frames])
        self.rows[BEGINS, 1:] = self.rows[ENDS, :-1]
        self.rows[WALLS] = 1
        self.hints = np.full(len(frames), -1, np.int64)

    def seconds(self, states: Any) -> float:
        """Fold all frames; return the seconds a frame."""
        count, index = len(self.hints), 0
        started = perf_counter()
        while index < count:
            index, _ = fold_many(self.buffer, self.rows, self.hints, states, index, 1 << 62, 0)
        return (perf_counter() - started) / count


if __name__ == "__main__":
    _scalar_peer(Path(sys.argv[1]))

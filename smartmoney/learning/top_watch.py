"""The touch of a book and the flow per bar, watched frame by frame beside the fold: what a study holds features against.

The order-flow imbalance of a bar is the plain sum, in lots, of the events e = 1{Pb>=Pb'}qb - 1{Pb<=Pb'}qb' - 1{Pa<=Pa'}qa + 1{Pa>=Pa'}qa'
(Cont, Kukanov, Stoikov 2014) over the depth frames applied in it, both tops valid; the trade-flow imbalance is the sum of aggressor sign
times lots over its public trades. Both are taken from the book and the trades themselves, not from a decayed feature, so that no
half-life, coverage or normalisation stands between them and the published figures.
"""

from array import array
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.book.kernel import shown_lots
from smartmoney.core.book.state import ASK, BID, PHASE_SYNCED

_NAN = float("nan")


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one value per bar: `times` (its end, ns), mid in ticks (NaN without a valid top), queue imbalance, sums of the bar in lots."""

    times: NDArray[np.int64]
    mid: NDArray[np.float64]
    queue_imbalance: NDArray[np.float64]
    order_flow: NDArray[np.float64]
    trade_flow: NDArray[np.float64]


class _Top(msgspec.Struct, frozen=True):
    bid_tick: int
    bid_lots: int
    ask_tick: int
    ask_lots: int


class TopWatch:
    """Note the touch after each frame, and end a bar at each `sample`."""

    def __init__(self) -> None:
        self._top: _Top | None = None
        self._update_id = -1
        self._snapshots = 0
        self._trades = 0
        self._order_flow = 0
        self._trade_flow = 0
        self._times = array("q")
        self._columns = [array("d") for _ in range(4)]

    def note(self, states: Any) -> None:
        """Take note of one frame."""
        state = states[0]
        trades = int(state["trades"])
        if trades != self._trades:
            self._trades = trades
            self._trade_flow += int(state["last_trade_sign"]) * int(state["last_trade_lots"])
        if int(state["phase"]) != PHASE_SYNCED:
            self._top = None
            self._update_id = -1
            return
        update_id, snapshots = int(state["last_update_id"]), int(state["snapshots"])
        if update_id == self._update_id and snapshots == self._snapshots:
            return
        top = _top_of(states)
        if top is not None and self._top is not None and snapshots == self._snapshots:
            self._order_flow += _imbalance(self._top, top)
        self._top, self._update_id, self._snapshots = top, update_id, snapshots

    def sample(self, ts_event_ns: int) -> None:
        """End a bar at a time."""
        top = self._top
        mid, queue = _NAN, _NAN
        if top is not None:
            mid = 0.5 * (top.bid_tick + top.ask_tick)
            queue = (top.bid_lots - top.ask_lots) / (top.bid_lots + top.ask_lots)
        self._times.append(ts_event_ns)
        for column, value in zip(self._columns, (mid, queue, self._order_flow, self._trade_flow), strict=True):
            column.append(value)
        self._order_flow = self._trade_flow = 0

    def bars(self) -> Bars:
        """Return every bar so far."""
        mid, queue, order_flow, trade_flow = (np.frombuffer(column, np.float64).copy() for column in self._columns)
        times = np.frombuffer(self._times, np.int64).copy()
        return Bars(times=times, mid=mid, queue_imbalance=queue, order_flow=order_flow, trade_flow=trade_flow)


def _top_of(states: Any) -> _Top | None:
    bid_tick, ask_tick = int(states[0]["best_bid_tick"]), int(states[0]["best_ask_tick"])
    if not 0 < bid_tick < ask_tick:
        return None
    return _Top(bid_tick, int(shown_lots(states, 0, BID, bid_tick)), ask_tick, int(shown_lots(states, 0, ASK, ask_tick)))


def _imbalance(old: _Top, new: _Top) -> int:
    bid = (new.bid_lots if new.bid_tick >= old.bid_tick else 0) - (old.bid_lots if new.bid_tick <= old.bid_tick else 0)
    ask = (new.ask_lots if new.ask_tick <= old.ask_tick else 0) - (old.ask_lots if new.ask_tick >= old.ask_tick else 0)
    return bid - ask

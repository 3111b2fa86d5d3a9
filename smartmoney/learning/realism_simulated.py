"""A simulated book in the form of `realism_series`: its rows are cut into depth frames, bars and merged fills as it runs, and let go.

A depth frame ends every `FRAME_NS` in which a level changed, as the venue's fast stream does. Memory of a day: some 8 MB of bars, and 40
bytes a fill; the rows of one stretch are all that is ever held of the rest.
"""

from collections.abc import Callable

import numpy as np

from smartmoney.learning.feature_study import FINE_NS
from smartmoney.learning.realism_series import SPREADS, Ints, Observed, Parents, merged
from smartmoney.learning.resampling import Floats
from smartmoney.learning.top_watch import Bars
from smartmoney.simulation import ladder
from smartmoney.simulation.market import Rows, SimulatedBook

FRAME_NS = 50_000_000
STRETCH_NS = 300 * 1_000_000_000
_BARS = STRETCH_NS // FINE_NS


class _Tops:
    """Fold touches into bars; the last touch of a stretch is carried to the next."""

    def __init__(self, touch: tuple[int, int, int, int]) -> None:
        self.spreads = np.zeros(SPREADS, np.int64)
        self.columns: list[tuple[Floats, Floats, Floats]] = []
        self._top = np.array([touch], np.int64)

    def take(self, rows: Rows, begin_ns: int, bars: int) -> None:
        """Take the TOUCH rows of a stretch of so many bars."""
        times = rows[:, ladder.TIME]
        tops = rows[:, [int(ladder.TICK), int(ladder.LOTS), int(ladder.MAKER), int(ladder.TAKER)]]
        spread = np.where(tops[:, 0] > 0, tops[:, 2] - tops[:, 0], 0)
        self.spreads += np.bincount(np.clip(spread, 0, SPREADS - 1), minlength=SPREADS)
        # The last touch of each frame is what its reader sees.
        frame = -(-(times - begin_ns) // FRAME_NS)
        last = np.flatnonzero(np.concatenate((frame[1:] != frame[:-1], [True]))) if len(frame) else np.empty(0, np.int64)
        seen = np.concatenate((self._top, tops[last]))
        bar = np.maximum(-(-(times[last] - begin_ns) // FINE_NS) - 1, 0)
        flow = np.bincount(bar, _order_flow(seen[:-1], seen[1:]), bars).astype(np.float64)
        shown = seen[np.searchsorted(bar, np.arange(bars), "right")].astype(np.float64)
        valid = (shown[:, 0] > 0) & (shown[:, 2] > shown[:, 0])
        mid = np.where(valid, 0.5 * (shown[:, 0] + shown[:, 2]), np.nan)
        queue = np.where(valid, (shown[:, 1] - shown[:, 3]) / np.maximum(shown[:, 1] + shown[:, 3], 1.0), np.nan)
        self.columns.append((mid, queue, flow))
        self._top = seen[-1:]


def _order_flow(old: Ints, new: Ints) -> Floats:
    """Return the level-1 event of each change of the touch, in lots (as `top_watch`, over arrays)."""
    bid = np.where(new[:, 0] >= old[:, 0], new[:, 1], 0) - np.where(new[:, 0] <= old[:, 0], old[:, 1], 0)
    ask = np.where(new[:, 2] <= old[:, 2], new[:, 3], 0) - np.where(new[:, 2] >= old[:, 2], old[:, 3], 0)
    both = (old[:, 0] > 0) & (old[:, 2] > 0) & (new[:, 0] > 0) & (new[:, 2] > 0)
    flow: Floats = np.where(both, bid - ask, 0).astype(np.float64)
    return flow


def _fills(rows: Rows) -> Rows:
    """Return times (in whole milliseconds, as venues print them), signs, lots and ticks of TRADE rows, shape `(n, 4)`."""
    signs = np.where(rows[:, ladder.SIDE] == int(ladder.BID), 1, -1)
    times = rows[:, ladder.TIME] // 1_000_000 * 1_000_000
    return np.column_stack((times, signs, rows[:, ladder.LOTS], rows[:, ladder.TICK]))


def observe_book(book: SimulatedBook, name: str, seconds: int, on_stretch: Callable[[], None] | None = None) -> Observed:
    """Run a book for so many seconds from now and return what it showed, with its parents.

    `seconds` is rounded up to whole stretches of five minutes. `on_stretch` is called after each. Cost: some 10 s a day of BTCUSDT.
    """
    begin_ns = book.now_ns
    stretches = -(-seconds * 1_000_000_000 // STRETCH_NS)
    tops, trades, truth = _Tops(book.touch), [np.empty((0, 4), np.int64)], [np.empty((0, 12), np.int64)]
    withdrawn, traded = int(book.worlds["lots_withdrawn"][0]), int(book.worlds["lots_traded"][0])
    book.truth()
    for stretch in range(stretches):
        start_ns = begin_ns + stretch * STRETCH_NS
        rows = book.advance(start_ns + STRETCH_NS)
        tops.take(rows[rows[:, ladder.KIND] == int(ladder.TOUCH)], start_ns, _BARS)
        trades.append(_fills(rows[rows[:, ladder.KIND] == int(ladder.TRADE)]))
        truth.append(book.truth())
        if on_stretch is not None:
            on_stretch()
    times, signs, lots, ticks = np.concatenate(trades).T
    traded_lots = int(book.worlds["lots_traded"][0]) - traded
    mid, queue, flow = (np.concatenate(column) for column in zip(*tops.columns, strict=True))
    ends = begin_ns + FINE_NS * np.arange(1, len(mid) + 1, dtype=np.int64)
    return Observed(
        name=name,
        bars=Bars(
            times=ends, mid=mid, queue_imbalance=queue, order_flow=flow, trade_flow=_per_bar(times, signs * lots, begin_ns, len(ends))
        ),
        spreads=tops.spreads,
        fills=merged(*(np.ascontiguousarray(column) for column in (times, signs, lots, ticks))),
        removed_lots=int(book.worlds["lots_withdrawn"][0]) - withdrawn + traded_lots,
        traded_lots=traded_lots,
        parents=_parents(np.concatenate(truth)),
    )


def _per_bar(times: Ints, values: Ints, begin_ns: int, bars: int) -> Floats:
    place = np.clip(-(-(times - begin_ns) // FINE_NS) - 1, 0, bars - 1)
    return np.bincount(place, values.astype(np.float64), bars).astype(np.float64)


def _parents(truth: Rows) -> Parents:
    """Return the parents that both started and ended, in order of start. In truth rows TICK is the kind, LOTS the parent's size."""
    started = truth[truth[:, ladder.KIND] == int(ladder.PARENT_STARTED)]
    ended = truth[truth[:, ladder.KIND] == int(ladder.PARENT_ENDED)]
    end_of = dict(zip(ended[:, ladder.ID].tolist(), ended[:, ladder.TIME].tolist(), strict=True))
    kept = started[np.isin(started[:, ladder.ID], ended[:, ladder.ID])]
    return Parents(
        kinds=kept[:, ladder.TICK].copy(),
        signs=np.where(kept[:, ladder.SIDE] == int(ladder.BID), 1, -1),
        starts=kept[:, ladder.TIME].copy(),
        ends=np.array([end_of[number] for number in kept[:, ladder.ID].tolist()], np.int64),
        lots=kept[:, ladder.LOTS].copy(),
    )

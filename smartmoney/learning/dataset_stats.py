"""What the days of a dataset hold: rows, sequence, spread, trades, and whatever is wrong with them.

Every figure comes from the frames that the rows stand for, folded by the live kernels: a gap here is a gap to the engine. Days are read one
after the other, so the book goes on from day to day where the rows do.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from smartmoney.adapters.dataset import TABLES
from smartmoney.adapters.dataset_frames import blocks_of_days
from smartmoney.adapters.dataset_messages import MessageReader
from smartmoney.adapters.dataset_reader import DatasetRefused, StoredInstrument, batches, open_table
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.recording_blocks import Block
from smartmoney.core.book.state import PHASE_SYNCED
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.recorded import RecordedCodec
from smartmoney.venues.recorded_lines import WALLS

PAUSE_NS = 60_000_000_000
_HOUR_NS = 3_600_000_000_000
_COUNTERS = ("gaps", "snapshots", "depth", "buffered", "levels", "crossed", "trades", "trade_gaps", "malformed", "off_grid")


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Say what there is of one instrument, from the files' own footers."""

    venue: str
    market: str
    symbol: str
    days: int
    first_day: str
    last_day: str
    missing_days: tuple[str, ...]
    rows: dict[str, int]
    bytes: int
    tick_size: str
    lot_size: str
    provisional_grid: bool


class DayStats(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one day. Times in ns; `spread_ticks` over the updates of a synced book; volume in base, turnover in quote.

    `updates` reached a book; `gaps` are breaks of their sequence, `trade_gaps` of the trade ids, `pauses` receive times more than a minute
    apart, `crossed` the updates that left the book crossed or locked, `repairs` what reading had to mend.
    """

    day: str
    bytes: int
    rows: dict[str, int]
    first_wall_ns: int
    last_wall_ns: int
    updates: int
    levels: int
    snapshots: int
    gaps: int
    pauses: int
    longest_pause_s: float
    crossed: int
    spread_ticks_mean: float | None
    spread_ticks_median: int | None
    spread_bps_mean: float | None
    trades: int
    trade_gaps: int
    buy_share: float | None
    volume: str
    turnover: float
    repairs: tuple[str, ...]


def holding_of(stored: StoredInstrument) -> Holding:
    """Return what there is of one instrument.

    Raises:
        DatasetRefused: a file is damaged.
    """
    paths = list(_paths(stored))
    rows = dict.fromkeys(TABLES, 0)
    for path in paths:
        rows[path.stem] += open_table(path).metadata.num_rows
    one = stored.instrument
    return Holding(
        venue=one.venue,
        market=one.market.value,
        symbol=one.symbol,
        days=len(stored.days),
        first_day=stored.days[0],
        last_day=stored.days[-1],
        missing_days=stored.missing_days(),
        rows=rows,
        bytes=sum(path.stat().st_size for path in paths),
        tick_size=f"{one.tick_size:f}",
        lot_size=f"{one.lot_size:f}",
        provisional_grid=one.provisional,
    )


def stats_of(stored: StoredInstrument, codec: RecordedCodec) -> Iterator[DayStats]:
    """Yield the days' figures. Cost: some 6 µs a frame.

    Raises:
        DatasetRefused: a file is damaged, or holds what cannot be.
    """
    watch, reader = _Watch(), MessageReader(Repairs())
    fold = GridFold(codec, stored.instrument, FeatureParameters(), _HOUR_NS, lambda _ts_ns: None, watch)
    for day in stored.days:
        one, repairs = msgspec.structs.replace(stored, days=(day,)), Repairs()
        before = {name: int(fold.states[0][name]) for name in _COUNTERS}
        watch.begin()
        fold.run(watch.timed(blocks_of_days(one, repairs, reader=reader)))
        counts = {name: int(fold.states[0][name]) - before[name] for name in _COUNTERS}
        unfit = counts["malformed"] + counts["off_grid"]
        repairs.note("frames that the decoder refuses", unfit)
        yield _day_stats(one, watch, counts, repairs)


def problems_of(stored: StoredInstrument) -> list[str]:
    """Return what is wrong with the files of an instrument, each read completely; a missing day is no fault of the others."""
    problems: list[str] = []
    for day in stored.days:
        repairs = Repairs()
        try:
            for _ in blocks_of_days(msgspec.structs.replace(stored, days=(day,)), repairs):
                pass
            touch = stored.folder / day / "touch.parquet"
            for _ in batches(touch, repairs) if touch.is_file() else ():
                pass
        except DatasetRefused as problem:
            problems.append(str(problem))
        problems += [f"{stored.folder / day}: {line}" for line in repairs.lines()]
    return problems


def _paths(stored: StoredInstrument) -> Iterator[Path]:
    for day in stored.days:
        for table in TABLES:
            path = stored.folder / day / f"{table}.parquet"
            if path.is_file():
                yield path


def _day_stats(stored: StoredInstrument, watch: "_Watch", counts: dict[str, int], repairs: Repairs) -> DayStats:
    paths = list(_paths(stored))
    one, spreads = stored.instrument, watch.spreads
    seen = sum(spreads.values())
    mean = sum(ticks * count for ticks, count in spreads.items()) / seen if seen else None
    return DayStats(
        day=stored.days[0],
        bytes=sum(path.stat().st_size for path in paths),
        rows={path.stem: open_table(path).metadata.num_rows for path in paths},
        first_wall_ns=watch.first_ns,
        last_wall_ns=watch.last_ns,
        updates=counts["depth"] - counts["buffered"],
        levels=counts["levels"],
        snapshots=counts["snapshots"],
        gaps=counts["gaps"],
        pauses=watch.pauses,
        longest_pause_s=round(watch.longest_ns / 1e9, 3),
        crossed=counts["crossed"],
        spread_ticks_mean=mean,
        spread_ticks_median=_median(spreads) if seen else None,
        spread_bps_mean=None if mean is None else 1e4 * mean / (watch.mid_sum / seen),
        trades=counts["trades"],
        trade_gaps=counts["trade_gaps"],
        buy_share=watch.bought_lots / watch.lots if watch.lots else None,
        volume=f"{one.quantity(watch.lots).normalize():f}" if watch.lots else "0",
        turnover=float(one.notional(1, 1) * Decimal(watch.tick_lots)),
        repairs=tuple(repairs.lines()),
    )


def _median(counts: Counter[int]) -> int:
    half, below = sum(counts.values()) / 2, 0
    for value, count in sorted(counts.items()):
        below += count
        if below >= half:
            return value
    raise AssertionError("there is a median of what was counted")


class _Watch:
    """Sum up the touch and the trades of a day, frame by frame."""

    def __init__(self) -> None:
        self._update_id = -1
        self._trades = 0
        self.begin()

    def begin(self) -> None:
        """Start another day."""
        self.spreads: Counter[int] = Counter()
        self.mid_sum = 0.0
        self.lots = self.bought_lots = self.tick_lots = 0
        self.first_ns = self.last_ns = 0
        self.pauses = self.longest_ns = 0

    def timed(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """Pass frames on and look at when they came."""
        for block in blocks:
            walls = block.rows[WALLS]
            waited = np.diff(walls, prepend=self.last_ns or walls[0])
            self.longest_ns = max(self.longest_ns, int(waited.max()))
            self.pauses += int(np.count_nonzero(waited > PAUSE_NS))
            self.first_ns = self.first_ns or int(walls[0])
            self.last_ns = int(walls[-1])
            yield block

    def note(self, states: Any) -> None:
        """Take note of one frame."""
        state = states[0]
        trades = int(state["trades"])
        if trades != self._trades:
            self._trades = trades
            lots = int(state["last_trade_lots"])
            self.lots += lots
            self.tick_lots += lots * int(state["last_trade_tick"])
            self.bought_lots += lots if int(state["last_trade_sign"]) > 0 else 0
        update_id = int(state["last_update_id"])
        if update_id != self._update_id and int(state["phase"]) == PHASE_SYNCED:
            self._update_id = update_id
            bid, ask = int(state["best_bid_tick"]), int(state["best_ask_tick"])
            if 0 < bid < ask:
                self.spreads[ask - bid] += 1
                self.mid_sum += 0.5 * (bid + ask)

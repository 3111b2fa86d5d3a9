"""What a dataset's rows say: the venue's messages, whole row groups at a time.

Invariants: messages come in the order of their rows; of a level that one message tells several times the last word counts, as in the
venue's own; what came before among the last messages is left out and counted, across days too; a day whose first book begins to count
ids anew goes on from the days before it. Memory: one row group, and the ids of those last messages.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.dataset import Columns
from smartmoney.adapters.dataset_reader import batches
from smartmoney.adapters.history.events import Repairs

IDS_KEPT = 100_000
_FROM_THE_VENUE = -1
"""What a snapshot that the venue sent has for the id that it follows; a book that was carried into its day has another."""
_COUNTED_FROM = 1
"""The id of the first trade of an import that counted trades itself; imports of today begin with a time."""

Whole = NDArray[np.int64]


class Updates(msgspec.Struct, frozen=True, kw_only=True):
    """Hold updates and snapshots of a book.

    A value a message: `walls` and `events` in ns, ids of its first and last update and of the one that it follows. `counts` is
    (messages, 2): bids and asks. `ticks` and `lots` are of all levels, message by message, bids first.
    """

    walls: Whole
    events: Whole
    first_ids: Whole
    last_ids: Whole
    previous_ids: Whole
    is_snapshot: NDArray[np.bool_]
    counts: Whole
    ticks: Whole
    lots: Whole

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.walls)


class Prints(msgspec.Struct, frozen=True, kw_only=True):
    """Hold trades, a value each; times in ns."""

    walls: Whole
    events: Whole
    trade_ids: Whole
    is_sold: NDArray[np.bool_]
    ticks: Whole
    lots: Whole

    def __len__(self) -> int:
        """Return the number of trades."""
        return len(self.walls)


class Fundings(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was told of funding, a value each; times in ns, rates and mark prices as the table has them."""

    walls: Whole
    events: Whole
    next_ns: Whole
    rates: Whole
    marks: Whole

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.walls)


class MessageReader:
    """Read the days of one instrument, in order."""

    def __init__(self, repairs: Repairs) -> None:
        self.is_continued = False
        """Whether the day before was read, so that a book carried over is known already."""
        self.repairs = repairs
        """What takes note of what is mended."""
        self._trade_id = self._highest_trade = self._highest = -1
        self._shift = self._trade_shift = 0
        """What is added to ids: those of a part of the dataset that began to count anew go on from the days before it."""
        self._seen = _Seen()

    def updates(self, path: Path) -> Iterator[Updates]:
        """Yield what a day's depth says.

        Raises:
            DatasetRefused: the file is damaged, or holds what cannot be.
        """
        held: Columns | None = None
        for number, columns in enumerate(batches(path, self.repairs)):
            columns = self._numbered(columns, is_first=number == 0)
            if held is not None:
                columns = {name: np.concatenate([held[name], columns[name]]) for name in columns}
            starts = _message_starts(columns)
            # The last message may go on in the next row group.
            if len(starts) > 1:
                yield self._updates(columns, starts)
            held = {name: values[starts[-1] :] for name, values in columns.items()}
        if held is not None:
            yield self._updates(held, np.array([0, len(held["update_id"])]))

    def prints(self, path: Path) -> Iterator[Prints]:
        """Yield what a day's trades say.

        Raises:
            DatasetRefused: the file is damaged, or holds what cannot be.
        """
        for number, columns in enumerate(batches(path, self.repairs)):
            first = int(columns["trade_id"][0])
            if number == 0 and first == _COUNTED_FROM and first + self._trade_shift <= self._highest_trade:
                self._trade_shift = self._highest_trade + 1 - first
            ids = columns["trade_id"] + self._trade_shift
            self._highest_trade = max(self._highest_trade, int(ids.max()))
            is_new = np.diff(ids, prepend=self._trade_id) != 0
            self._trade_id = int(ids[-1])
            self.repairs.note("trades seen twice, left out", int(np.count_nonzero(~is_new)))
            yield Prints(
                walls=columns["ts_wall_ns"][is_new],
                events=columns["ts_event_ns"][is_new],
                trade_ids=ids[is_new],
                is_sold=columns["aggressor_side"][is_new] == 1,
                ticks=columns["price_ticks"][is_new],
                lots=columns["lots"][is_new],
            )

    def fundings(self, path: Path) -> Iterator[Fundings]:
        """Yield what a day's mark prices say of funding.

        Raises:
            DatasetRefused: the file is damaged, or holds what cannot be.
        """
        for columns in batches(path, self.repairs):
            names = ("ts_wall_ns", "ts_event_ns", "next_ns", "rate_e16", "mark_e8")
            walls, events, next_ns, rates, marks = (columns[name] for name in names)
            yield Fundings(walls=walls, events=events, next_ns=next_ns, rates=rates, marks=marks)

    def _numbered(self, columns: Columns, *, is_first: bool) -> Columns:
        """Return a batch of depth with ids that go on from those before it, where a day's first book begins to count anew."""
        ids, previous, whole = columns["update_id"], columns["prev_update_id"], columns["is_snapshot"]
        is_fresh = is_first and bool(whole[0]) and (previous[0] == _FROM_THE_VENUE or not self.is_continued)
        if is_fresh and int(ids[0]) + self._shift <= self._highest:
            updates = ids[~whole]
            # A book that came late is older, too, but what follows it is not.
            if len(updates) and int(updates[0]) + self._shift <= self._highest:
                self._shift = self._highest + 1 - int(ids[0])
        self._highest = max(self._highest, int(ids.max()) + self._shift)
        if not self._shift:
            return columns
        moved = {name: columns[name] + self._shift for name in ("update_id", "first_update_id")}
        return {**columns, **moved, "prev_update_id": np.where(previous < 0, previous, previous + self._shift)}

    def _updates(self, columns: Columns, starts: Whole) -> Updates:
        """Return the messages between `starts`."""
        begins, lasts = starts[:-1], starts[1:] - 1
        previous, ids, is_snapshot = columns["prev_update_id"][begins], columns["update_id"][lasts], columns["is_snapshot"][begins]
        is_kept = (previous == _FROM_THE_VENUE) | (not self.is_continued)
        is_new = self._seen.new_among(np.stack([previous, ids], axis=1)[~is_snapshot])
        self.repairs.note("book updates seen twice, left out", int(np.count_nonzero(~is_new)))
        is_kept[~is_snapshot] = is_new
        order, counts = _ordered(columns, starts, is_kept)
        return Updates(
            walls=columns["ts_wall_ns"][begins][is_kept],
            events=columns["ts_event_ns"][lasts][is_kept],
            first_ids=columns["first_update_id"][begins][is_kept],
            last_ids=ids[is_kept],
            previous_ids=previous[is_kept],
            is_snapshot=is_snapshot[is_kept],
            counts=counts[is_kept],
            ticks=columns["price_ticks"][: starts[-1]][order],
            lots=columns["lots"][: starts[-1]][order],
        )


def _message_starts(columns: Columns) -> Whole:
    """Return where each message begins: another receive time, another kind, or ids that neither repeat nor follow those above."""
    of = {name: columns[name] for name in ("ts_wall_ns", "update_id", "prev_update_id", "is_snapshot")}
    changes = np.flatnonzero(np.logical_or.reduce([values[1:] != values[:-1] for values in of.values()]))
    wall, update, previous, whole = ((values[changes], values[changes + 1]) for values in of.values())
    is_same = (update[1] == update[0]) & (previous[1] == previous[0])
    is_new = (wall[1] != wall[0]) | (whole[1] != whole[0]) | ~(is_same | (previous[1] == update[0]))
    starts: Whole = np.concatenate([[0], changes[is_new] + 1])
    return starts


def _ordered(columns: Columns, starts: Whole, is_kept: NDArray[np.bool_]) -> tuple[Any, Whole]:
    """Return which rows the messages that are kept tell, in their order, and how many bids and asks each message has."""
    begins, sizes = starts[:-1], np.diff(starts)
    side = columns["side"][: starts[-1]]
    is_joined = columns["update_id"][begins] != columns["update_id"][starts[1:] - 1]
    falls = side[1:] < side[:-1]
    falls[begins[1:] - 1] = False
    if is_joined.any() or falls.any():
        return _sorted(side, columns["price_ticks"][: starts[-1]], np.repeat(is_kept, sizes), np.repeat(is_joined, sizes), sizes)
    # As messages mostly are: bids first, then asks.
    asks = np.add.reduceat(side, begins, dtype=np.int64)
    order: Any = slice(None) if is_kept.all() else np.repeat(is_kept, sizes)
    return order, np.stack([sizes - asks, asks], axis=1)


def _sorted(side: Whole, ticks: Whole, is_told: NDArray[np.bool_], is_joined: NDArray[np.bool_], sizes: Whole) -> tuple[Any, Whole]:
    """Do `_ordered` with rows in any order; the booleans are of the row's message."""
    group = 2 * np.repeat(np.arange(len(sizes)), sizes) + side
    # A message of several updates has each price once, from the touch on; of others the rows stand as the venue told them.
    place = np.where(is_joined, np.where(side == 0, -ticks, ticks), 0)
    order = np.lexsort((place, group))
    place, group = place[order], group[order]
    is_last = np.ones(len(side), np.bool_)
    is_last[:-1] = (np.diff(group) != 0) | (np.diff(place) != 0) | ~is_joined[order][:-1]
    is_told = is_told[order] & is_last
    return order[is_told], np.bincount(group[is_told], minlength=2 * len(sizes)).reshape(-1, 2)


class _Seen:
    """Remember the ids of the last updates: (of the one before, of the last)."""

    def __init__(self) -> None:
        self._parts: deque[tuple[int, Whole]] = deque()
        """The highest id of each part, and its ids."""
        self._held = 0

    def new_among(self, ids: Whole) -> NDArray[np.bool_]:
        """Tell which of these updates did not come before, and remember them."""
        highest = max((most for most, _ in self._parts), default=-1)
        if len(ids) and int(ids[0, 1]) > highest and bool((np.diff(ids[:, 1]) > 0).all()):
            is_new = np.ones(len(ids), np.bool_)
        else:
            is_new = self._one_by_one(ids)
        if is_new.any():
            new = ids[is_new]
            self._parts.append((int(new[:, 1].max()), new))
            self._held += len(new)
        while self._parts and self._held - len(self._parts[0][1]) >= IDS_KEPT:
            self._held -= len(self._parts.popleft()[1])
        return is_new

    def _one_by_one(self, ids: Whole) -> NDArray[np.bool_]:
        last = np.concatenate([ids[:0], *(part for _, part in self._parts)])[-IDS_KEPT:]
        known = dict.fromkeys(map(_pair, last.tolist()))
        is_new = np.zeros(len(ids), np.bool_)
        for at, one in enumerate(map(_pair, ids.tolist())):
            if one not in known:
                is_new[at] = True
                known[one] = None
                if len(known) > IDS_KEPT:
                    del known[next(iter(known))]
        return is_new


def _pair(ids: list[int]) -> tuple[int, int]:
    return ids[0], ids[1]

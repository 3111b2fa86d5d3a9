"""A dataset's days as the frames of the feed that they came from: scanned beforehand, a row group at a time, or as the venue's text.

A row holds what a scanner would find in the text, so that none is written: columns go into the packed form (`venues.binance.packed`) that
prepared recordings have, and through the same folds. Invariants: packed and text fold to the same, bit for bit; what the packed form has
no place for is text; frames come out in order of receive time, those of one nanosecond depth first, then trades,
then mark prices; ids, times (in ms, as the venue tells them) and whole ticks and lots are those of the rows.
Memory: a row group or two of each table.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.dataset import MARK_DECIMALS, RATE_DECIMALS
from smartmoney.adapters.dataset_messages import Fundings, MessageReader, Prints, Updates, Whole
from smartmoney.adapters.dataset_reader import StoredInstrument
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.recording_blocks import Block, merge_blocks
from smartmoney.core.book.grid import step_of
from smartmoney.core.book.state import SCAN_LEVELS
from smartmoney.core.book.words import WORD_BYTES
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance import wire
from smartmoney.venues.binance.event_types import fnv
from smartmoney.venues.binance.packed import HALF, HALF_BITS, LOT_AT, MAKER_AT, MARK, PRICE_AT, SEEN_AT, UNIFORM_AT, WIDE_AT
from smartmoney.venues.binance.scan import (
    SEEN_ASKS,
    SEEN_BIDS,
    SEEN_ENVELOPE,
    SEEN_EVENT,
    SEEN_EVENT_TIME,
    SEEN_FINAL_ID,
    SEEN_FIRST_ID,
    SEEN_MAKER,
    SEEN_PREVIOUS_ID,
    SEEN_PRICE,
    SEEN_QUANTITY,
    SEEN_SYMBOL,
    SEEN_TRADE_ID,
    SEEN_TRANSACTION_TIME,
)
from smartmoney.venues.ccxt_funding import encode_mark
from smartmoney.venues.recorded_lines import BEGINS, ENDS, PACKED, ROWS, SNAPSHOTS, WALLS

_MS = 1_000_000
_LARGEST = 10**17
_DECIMALS_MAX = 16
"""Numbers within both have no more digits than the scanner reads; others it leaves to the slow path, and so does this."""
_PLAIN = re.compile(r"[0-9A-Za-z_.:-]+")
_SEEN_ALWAYS = SEEN_ENVELOPE | SEEN_EVENT | SEEN_SYMBOL | SEEN_EVENT_TIME
_SEEN_UPDATE = _SEEN_ALWAYS | SEEN_FIRST_ID | SEEN_FINAL_ID | SEEN_BIDS | SEEN_ASKS
_SEEN_TRADE = _SEEN_ALWAYS | SEEN_TRANSACTION_TIME | SEEN_TRADE_ID | SEEN_PRICE | SEEN_QUANTITY | SEEN_MAKER
_HEAD_WORDS = 3
_TRADE_WORDS = _HEAD_WORDS + 5
_SIDES = 2


def blocks_of_days(
    stored: StoredInstrument, repairs: Repairs, *, packs: bool = True, reader: MessageReader | None = None
) -> Iterator[Block]:
    """Yield the frames that the rows stand for; unless `packs`, each as text. The touch is not among them: no book is made of it.

    A book that was carried over is left out where the day before it was read. `reader` has read the days before these.
    Cost: about 1 µs a frame and 80 ns a level, text some 15 µs.

    Raises:
        DatasetRefused: a file is damaged, or holds what cannot be.
    """
    for day in stored.missing_days():
        repairs.note(f"no day {day}")
    before = ""
    reader = reader or MessageReader(repairs)
    reader.repairs = repairs
    feed = _Feed(stored.instrument, packs=packs)
    for day in stored.days:
        reader.is_continued = bool(before) and dt.date.fromisoformat(day) - dt.date.fromisoformat(before) == dt.timedelta(days=1)
        before = day
        depth, trades, funding = (stored.folder / day / f"{table}.parquet" for table in ("depth", "trades", "funding"))
        sources: list[Iterator[Block]] = []
        if depth.is_file():
            sources.append(feed.updates(one) for one in reader.updates(depth) if len(one))
        if trades.is_file():
            sources.append(feed.prints(one) for one in reader.prints(trades) if len(one))
        if funding.is_file():
            sources.append(feed.fundings(one) for one in reader.fundings(funding) if len(one))
        is_empty = True
        for block in merge_blocks(sources):
            is_empty = False
            yield block
        if is_empty:
            repairs.note(f"no row of depth or trades on {day}")


class _Feed:
    """Put one instrument's messages into blocks."""

    def __init__(self, instrument: Instrument, *, packs: bool) -> None:
        self._symbol = instrument.symbol
        self._is_spot = instrument.market is Market.SPOT
        (prices, self._price_step), (lots, self._lot_step) = step_of(instrument.tick_size), step_of(instrument.lot_size)
        self._grid = wire.Grid(instrument.symbol, self._is_spot, prices, self._price_step, lots, self._lot_step)
        self._packs = packs and max(prices, lots) <= _DECIMALS_MAX and _PLAIN.fullmatch(instrument.symbol) is not None
        self._decimals = prices << PRICE_AT | lots << LOT_AT
        self._symbol_word = _signed(fnv(instrument.symbol.upper()))

    def updates(self, of: Updates) -> Block:
        """Return updates and snapshots as frames."""
        prices, lots = self._values(of)
        levels = of.counts.sum(axis=1)
        firsts = np.cumsum(levels) - levels
        is_wide = np.logical_or.reduceat((prices > HALF_BITS) | (lots > HALF_BITS), firsts)
        fits = ~np.logical_or.reduceat((prices > _LARGEST) | (lots > _LARGEST), firsts)
        fits &= ~of.is_snapshot & (of.counts <= SCAN_LEVELS).all(axis=1) & _are_plain(of.first_ids, of.last_ids, of.previous_ids)
        times = of.events // _MS
        numbers = [times, of.first_ids, of.last_ids] if self._is_spot else [times, times, of.first_ids, of.last_ids, of.previous_ids]
        seen = _SEEN_UPDATE if self._is_spot else _SEEN_UPDATE | SEEN_TRANSACTION_TIME | SEEN_PREVIOUS_ID
        widths = np.where(is_wide[:, None], of.counts, (of.counts + 1) // 2)
        before_levels = _HEAD_WORDS + len(numbers) + 1
        packing = _Packing(fits if self._packs else np.zeros(len(of), np.bool_), before_levels + 2 * widths.sum(axis=1))
        head = np.where(is_wide, 1 << WIDE_AT, 1 << UNIFORM_AT) | MARK | seen << SEEN_AT | self._decimals
        counted = of.counts[:, 0] | of.counts[:, 1] << HALF
        packing.put(head, _DEPTH_WORD, self._symbol_word, *numbers, counted)
        packing.put_levels(before_levels, of.counts, is_wide, widths, prices, lots)
        return packing.block(
            of.walls, of.is_snapshot, lambda at: self._update_text(of, at, slice(firsts[at], firsts[at] + levels[at])), self._symbol
        )

    def prints(self, of: Prints) -> Block:
        """Return trades as frames."""
        prices, lots = self._values(of)
        fits = (prices <= _LARGEST) & (lots <= _LARGEST) & _are_plain(of.trade_ids)
        packing = _Packing(fits if self._packs else np.zeros(len(of), np.bool_), np.full(len(of), _TRADE_WORDS))
        is_wide = (prices > HALF_BITS) | (lots > HALF_BITS)
        head = (
            is_wide.astype(np.int64) << WIDE_AT | of.is_sold.astype(np.int64) << MAKER_AT | MARK | _SEEN_TRADE << SEEN_AT | self._decimals
        )
        times = of.events // _MS
        packing.put(head, _TRADE_WORD, self._symbol_word, times, times, of.trade_ids, prices, lots)
        return packing.block(of.walls, np.zeros(len(of), np.bool_), lambda at: self._trade_text(of, at), self._symbol)

    def fundings(self, of: Fundings) -> Block:
        """Return mark prices as frames. They are few, and none of them is packed."""
        none = np.zeros(len(of), np.bool_)
        return _Packing(none, np.zeros(len(of), np.int64)).block(of.walls, none, lambda at: self._funding_text(of, at), self._symbol)

    def _values(self, of: Updates | Prints) -> tuple[Whole, Whole]:
        """Return prices and quantities in units of their last decimal, what is larger than any that fits as one more than those."""
        return tuple(
            np.minimum(whole, _LARGEST // step + 1) * step for whole, step in ((of.ticks, self._price_step), (of.lots, self._lot_step))
        )  # type: ignore[return-value]

    def _update_text(self, of: Updates, at: int, levels: slice) -> bytes:
        pairs = np.stack([of.ticks[levels], of.lots[levels]], axis=1)
        bids, asks = pairs[: int(of.counts[at, 0])], pairs[int(of.counts[at, 0]) :]
        event_ns, last_id = int(of.events[at]), int(of.last_ids[at])
        if of.is_snapshot[at]:
            return wire.depth_snapshot(self._grid, last_id, bids, asks, event_ns=event_ns, transaction_ns=event_ns).encode()
        frame = wire.depth_update(
            self._grid,
            event_ns=event_ns,
            transaction_ns=event_ns,
            first_id=int(of.first_ids[at]),
            last_id=last_id,
            previous_id=int(of.previous_ids[at]),
            bids=bids,
            asks=asks,
        )
        return wire.envelope(f"{self._symbol.lower()}@depth@100ms", frame).encode()

    def _funding_text(self, of: Fundings, at: int) -> bytes:
        mark, rate = Decimal(int(of.marks[at])).scaleb(-MARK_DECIMALS), Decimal(int(of.rates[at])).scaleb(-RATE_DECIMALS)
        frame = encode_mark(self._symbol, int(of.events[at]) // _MS, mark, rate, int(of.next_ns[at]) // _MS)
        return wire.envelope(f"{self._symbol.lower()}@markPrice", frame.decode()).encode()

    def _trade_text(self, of: Prints, at: int) -> bytes:
        event_ns = int(of.events[at])
        frame = wire.trade(
            self._grid,
            event_ns=event_ns,
            time_ns=event_ns,
            trade_id=int(of.trade_ids[at]),
            ticks=int(of.ticks[at]),
            lots=int(of.lots[at]),
            buyer_is_maker=bool(of.is_sold[at]),
        )
        return wire.envelope(f"{self._symbol.lower()}@trade", frame).encode()


class _Packing:
    """Write the packed frames of one block: `is_packed` tells which frames are, `words` how many words each of those takes."""

    def __init__(self, is_packed: NDArray[np.bool_], words: Whole) -> None:
        self._is_packed = is_packed
        self._ends = np.cumsum(np.where(is_packed, words, 0))
        self._begins = self._ends - np.where(is_packed, words, 0)
        self._out = np.zeros(int(self._ends[-1]), np.int64)

    def put(self, *words: Whole | int) -> None:
        """Write the words that frames begin with, of each frame its own."""
        begins = self._begins[self._is_packed]
        for place, word in enumerate(words):
            self._out[begins + place] = word if isinstance(word, int) else word[self._is_packed]

    def put_levels(self, before: int, counts: Whole, is_wide: NDArray[np.bool_], widths: Whole, prices: Whole, lots: Whole) -> None:
        """Write the levels, which begin `before` words into a frame; prices or quantities of a side take `widths` words."""
        first = self._begins + before
        sides = np.stack([first, first + 2 * widths[:, 0]], axis=1)
        # Two to a word, or one: places are counted in what a number takes.
        to_a_word = np.where(is_wide, 1, 2)[:, None]
        shifts = (sides * to_a_word).ravel() - (np.cumsum(counts.ravel()) - counts.ravel())
        places = np.arange(len(prices)) + np.repeat(shifts, counts.ravel())
        beyond = np.repeat((widths * to_a_word).ravel(), counts.ravel())
        levels = counts.sum(axis=1)
        for out, is_one in ((self._out.view(np.uint32), self._is_packed & ~is_wide), (self._out, self._is_packed & is_wide)):
            if not is_one.any():
                continue
            chosen: Any = slice(None) if is_one.all() else np.repeat(is_one, levels)
            out[places[chosen]] = prices[chosen]
            out[places[chosen] + beyond[chosen]] = lots[chosen]

    def block(self, walls: Whole, is_snapshot: NDArray[np.bool_], text: Callable[[int], bytes], symbol: str) -> Block:
        """Return all frames, of which `text` returns those that are not packed."""
        rows = np.zeros((ROWS, len(walls)), np.int64)
        rows[BEGINS], rows[ENDS], rows[WALLS] = self._begins * WORD_BYTES, self._ends * WORD_BYTES, walls
        rows[SNAPSHOTS], rows[PACKED] = is_snapshot, self._is_packed
        parts, size = [self._out.tobytes()], self._out.nbytes
        for at in np.flatnonzero(~self._is_packed).tolist():
            parts.append(text(at))
            rows[[BEGINS, ENDS], at] = size, size + len(parts[-1])
            size += len(parts[-1])
        return Block(buffer=b"".join(parts), rows=rows, symbols=dict.fromkeys(np.flatnonzero(is_snapshot).tolist(), symbol))


def _are_plain(*ids: Whole) -> NDArray[np.bool_]:
    """Tell which numbers the scanner reads."""
    fits = np.ones(len(ids[0]), np.bool_)
    for one in ids:
        fits &= (one >= 0) & (one <= _LARGEST)
    return fits


def _signed(word: int) -> int:
    return int(np.uint64(word).astype(np.int64))


_DEPTH_WORD, _TRADE_WORD = (_signed(fnv(name)) for name in ("depthUpdate", "trade"))

"""Check a book against the independent bookTicker stream by update id: what the venue says the touch was, and what the fold made of it.

Pure. Feed it every frame and, after each, what the fold returned. What waits for its counterpart is bounded.
"""

import re
from collections import deque
from decimal import Decimal
from typing import Any

import msgspec

from smartmoney.core.book.codes import APPLIED, CODE_MASK, INDEX_SHIFT
from smartmoney.core.book.kernel import level_lots
from smartmoney.core.domain.instruments import Instrument
from smartmoney.venues.binance.event_types import fnv

_PENDING_MAX = 4096
_DISAGREEMENTS_MAX = 100
_ID = re.compile(rb'"u":([0-9]+)')
_FIELDS = re.compile(rb'"s":"([^"]+)".*?"b":"([0-9.]+)","B":"([0-9.]+)","a":"([0-9.]+)","A":"([0-9.]+)"')

Touch = tuple[int, int, int, int]
"""Bid ticks, bid lots, ask ticks, ask lots."""


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """Record one update id at which book and bookTicker differ; `ticker_id` is the id of the ticker compared with."""

    symbol: str
    update_id: int
    ticker_id: int
    book: Touch
    ticker: Touch


def touch(state: Any) -> Touch:
    """Return the best bid and ask of one state record with their quantities; -1 and 0 where a side is empty."""
    bid, ask = int(state["best_bid_tick"]), int(state["best_ask_tick"])
    return bid, int(level_lots(state, 0, bid)) if bid >= 0 else 0, ask, int(level_lots(state, 1, ask)) if ask >= 0 else 0


class _Side(msgspec.Struct):
    books: deque[tuple[int, Touch]]
    tickers: deque[tuple[int, Touch]]
    before: tuple[int, Touch] | None = None


class BookTickerOracle:
    """Compare the touches of one states array with bookTicker frames as both come by.

    A book at update id u must show what the latest bookTicker at or before u shows; that is known once a later bookTicker has come.
    `checks` counts comparisons, `exact` those of them whose ids are equal, `failed` and `failed_exact` those that differ;
    `disagreements` holds the first hundred.
    """

    def __init__(self, instruments: tuple[Instrument, ...]) -> None:
        self._instruments = instruments
        self._index = {fnv(one.symbol.upper()): k for k, one in enumerate(instruments)}
        self._sides = [_Side(deque(maxlen=_PENDING_MAX), deque(maxlen=_PENDING_MAX)) for _ in instruments]
        self.checks = 0
        self.exact = 0
        self.failed = 0
        self.failed_exact = 0
        self.disagreements: list[Disagreement] = []

    def observe(self, frame: bytes, folded: int, states: Any) -> None:
        """Take one frame and the fold's return value for it, right after the fold."""
        if folded & CODE_MASK == APPLIED:
            index = folded >> INDEX_SHIFT
            state = states[index]
            self._sides[index].books.append((int(state["last_update_id"]), touch(state)))
            self._settle(index)
        elif b"@bookTicker" in frame[:64] or b'"bookTicker"' in frame[:96]:
            self._observe_ticker(frame)

    def _observe_ticker(self, frame: bytes) -> None:
        fields, ident = _FIELDS.search(frame), _ID.search(frame)
        if fields is None or ident is None:
            return
        index = self._index.get(fnv(fields.group(1).decode()), -1)
        if index < 0:
            return
        one = self._instruments[index]
        bid, bid_lots, ask, ask_lots = (Decimal(text.decode()) for text in fields.groups()[1:])
        self._sides[index].tickers.append((int(ident.group(1)), (one.ticks(bid), one.lots(bid_lots), one.ticks(ask), one.lots(ask_lots))))
        self._settle(index)

    def _settle(self, index: int) -> None:
        """Compare every book for which a later ticker has come with the latest ticker not after it."""
        side = self._sides[index]
        while side.books and side.tickers:
            update_id, book = side.books[0]
            if side.tickers[0][0] <= update_id:
                side.before = side.tickers.popleft()
                continue
            side.books.popleft()
            if side.before is not None:
                self._compare(index, update_id, book, side.before)

    def _compare(self, index: int, update_id: int, book: Touch, before: tuple[int, Touch]) -> None:
        ticker_id, ticker = before
        self.checks += 1
        self.exact += ticker_id == update_id
        if book == ticker:
            return
        self.failed += 1
        self.failed_exact += ticker_id == update_id
        if len(self.disagreements) < _DISAGREEMENTS_MAX:
            symbol = self._instruments[index].symbol
            self.disagreements.append(Disagreement(symbol=symbol, update_id=update_id, ticker_id=ticker_id, book=book, ticker=ticker))

"""Make one recording of events: in order, each trade once, the book proven by a snapshot and numbered updates.

The recording has Binance's frames (venues/binance), a line `<receive ns> <frame>` each, whatever venue it came from, so that every command
reads it. Whole books after the first become the updates that lead to them: nothing is lost, and the sequence stays unbroken. Invariants:
the book that a reader holds after a line is the book that the events have made by then; ids that are made up here begin with the time of
their first event in µs and count on, so those of a later import are higher, and days imported one by one can be read together.
"""

import gzip
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from smartmoney.adapters.history.events import Event, Events, FundingTold, HistoryRefused, Level, LevelsChanged, Printed, Repairs
from smartmoney.core.domain.instruments import Market
from smartmoney.venues.binance.wire import envelope

_IDS_KEPT = 100_000
_MS = 1_000_000
_US = 1_000
_NO_TRADES = "recordings without trades: flows are unknown, and what a model decides rests on missing flows"
_LINES_AT_ONCE = 2_000
_UPDATES_KEPT = _TRADES_AT_ONCE = 4_096


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Say what became of some files. Times in ns; `repairs` are words with counts."""

    output: str
    symbol: str
    market: str
    first_wall_ns: int
    last_wall_ns: int
    updates: int
    trades: int
    repairs: tuple[str, ...]


def by_update_id(events: Iterable[Event], repairs: Repairs) -> Events:
    """Yield events with each symbol's updates in the order of their ids, where the format has any.

    A whole book is older than it looks: updates received before it can be newer. Those are told again after it, and an update that it holds
    already is left out (the venue's own rule for a local book). Updates that are missing are counted.
    """
    followed: dict[str, _Sequence] = {}
    for event in events:
        if not isinstance(event, LevelsChanged) or event.update_id < 0:
            yield event
        else:
            yield from followed.setdefault(event.symbol.upper(), _Sequence(repairs)).take(event)


def by_trade_id(events: Iterable[Event]) -> Events:
    """Yield events with trades of one receive time that follow each other in the order of their ids: so they were made.

    Files have them otherwise now and then, and a reader passes over a trade whose id is below the one before it.
    """
    waiting: list[Printed] = []
    for event in events:
        is_more = isinstance(event, Printed) and event.trade_id >= 0
        if waiting and (not is_more or event.wall_ns != waiting[0].wall_ns or len(waiting) >= _TRADES_AT_ONCE):
            yield from sorted(waiting, key=_trade_id)
            waiting.clear()
        if isinstance(event, Printed) and is_more:
            waiting.append(event)
        else:
            yield event
    yield from sorted(waiting, key=_trade_id)


def _trade_id(event: Printed) -> int:
    return event.trade_id


class _Sequence:
    """Follow the update ids of one symbol."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._recent: deque[LevelsChanged] = deque(maxlen=_UPDATES_KEPT)
        self._reached = self._last = -1

    def take(self, event: LevelsChanged) -> Iterator[LevelsChanged]:
        """Yield what an event adds."""
        if event.is_whole:
            self._reached = event.update_id
            if event.is_anew:
                self._last = event.update_id
                self._recent.clear()
            yield event
            for update in self._recent:
                if update.update_id > event.update_id:
                    yield msgspec.structs.replace(update, wall_ns=event.wall_ns)
            return
        if event.update_id <= self._reached:
            self._repairs.note("updates that a whole book held already, left out")
            return
        if event.update_id < self._last:
            self._repairs.note("updates that came after a later one, left out")
            return
        # One update may stand in several parts, which share its id.
        if event.update_id != self._last and -1 < self._last != event.previous_id > -1:
            self._repairs.note("gaps in the update ids, after which there is no book until a whole one")
            event = msgspec.structs.replace(event, follows_gap=True)
        self._last = event.update_id
        self._recent.append(event)
        yield event


def of_symbol(events: Iterable[Event], symbol: str | None) -> Events:
    """Yield the events of one symbol; None means the only one there is.

    Raises:
        HistoryRefused: there are several and none was chosen, or there is nothing of the chosen one.
    """
    only = symbol
    others: set[str] = set()
    is_there = False
    for event in events:
        if only is None:
            only = event.symbol
        if event.symbol.upper() == only.upper():
            is_there = True
            yield event
        elif symbol is None:
            raise HistoryRefused(f"the files hold {only} and {event.symbol}; choose one with --symbol")
        else:
            others.add(event.symbol.upper())
    if others and not is_there:
        raise HistoryRefused(f"the files hold nothing of {symbol}; --symbol may be {' or '.join(sorted(others))}")


def write_recording(events: Events, market: Market, path: Path, repairs: Repairs, *, trades_follow: bool = False) -> Imported:
    """Write a recording; the file has its name once it is whole. `trades_follow`: ids of trades are consecutive at that venue.

    Raises:
        HistoryRefused: there are no events.
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    scribe = _Scribe(market, repairs)
    try:
        with unfinished.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0) as file:
            lines: list[str] = []
            for event in events:
                lines.extend(scribe.lines(event))
                if len(lines) >= _LINES_AT_ONCE:
                    file.write("".join(lines).encode())
                    lines.clear()
            file.write("".join(lines).encode())
        if not scribe.symbol:
            told = "; ".join(repairs.lines())
            why = f"the files hold nothing that makes a book or a trade: {told}" if told else "the files hold no row"
            raise HistoryRefused(f"{why}: an empty day, a download that broke off, or another kind of file; take another one")
        if not scribe.has_book:
            repairs.note("recordings without a book, trades alone")
        elif not scribe.trades:
            repairs.note(_NO_TRADES)
        if trades_follow:
            repairs.note("trades whose ids are missing between those that are there", scribe.missing_ids())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return Imported(
        output=str(path),
        symbol=scribe.symbol,
        market=market.value,
        first_wall_ns=scribe.first_ns,
        last_wall_ns=scribe.last_ns,
        updates=scribe.updates,
        trades=scribe.trades,
        repairs=tuple(repairs.lines()),
    )


class _Scribe:
    """Turn events into lines; keeps the book as the events have made it."""

    def __init__(self, market: Market, repairs: Repairs) -> None:
        self.symbol = ""
        self.first_ns = self.last_ns = 0
        self.updates = self.trades = 0
        self.has_book = False
        self._is_broken = False
        """Whether updates are missing since the last whole book."""
        self._market = market
        self._repairs = repairs
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._update_id = 0
        self._trade_id = 0
        self._ids = (sys.maxsize, 0, 0)
        """The lowest and the highest id of a trade, and how many trades have one."""
        self._seen: set[int] = set()
        self._order: deque[int] = deque()

    def lines(self, event: Event) -> Iterator[str]:
        """Yield the lines of one event."""
        self.symbol = self.symbol or event.symbol.upper()
        self.first_ns = self.first_ns or event.wall_ns
        self.last_ns = event.wall_ns
        if isinstance(event, Printed):
            yield from self._trade(event)
        elif isinstance(event, FundingTold):
            yield from self._funding(event)
        else:
            yield from self._depth(event)

    def missing_ids(self) -> int:
        """Return how many ids there are between those of trades, whatever order these came in."""
        lowest, highest, count = self._ids
        return max(highest - lowest + 1 - count, 0) if count else 0

    def _depth(self, event: LevelsChanged) -> Iterator[str]:
        changes = self._whole(event) if event.is_whole else (event.bids, event.asks)
        for side, levels in zip(self._sides, changes, strict=True):
            for price, quantity in levels:
                if quantity != "0":
                    side[price] = quantity
                elif side.pop(price, None) is None:
                    self._repairs.note("removals of levels that were not there")
        if not self.has_book:
            if self._sides[0] and self._sides[1]:
                if not event.is_whole:
                    self._repairs.note("books without a snapshot at the beginning, grown from their updates")
                self.has_book = True
                self._update_id = event.wall_ns // _US
                yield f"{event.wall_ns} {self._snapshot(event)}\n"
            return
        if event.is_whole and self._is_broken:
            self._is_broken = False
            self._update_id += 1
            yield f"{event.wall_ns} {self._snapshot(event)}\n"
            return
        if event.follows_gap:
            # An id that nothing has: readers see the gap, and wait for a whole book as they do of the venue itself.
            self._is_broken = True
            self._update_id += 1
        if not changes[0] and not changes[1]:
            return
        self._update_id += 1
        self.updates += 1
        stream = f"{self.symbol.lower()}@depth@100ms"
        yield f"{event.wall_ns} {envelope(stream, self._update(event, changes))}\n"

    def _whole(self, event: LevelsChanged) -> tuple[list[Level], list[Level]]:
        """Return the changes that lead to a whole book."""
        found: tuple[list[Level], list[Level]] = ([], [])
        for number, (held, levels, changes) in enumerate(zip(self._sides, (event.bids, event.asks), found, strict=True)):
            if event.only_side not in (-1, number):
                continue
            wanted = {price: quantity for price, quantity in levels if quantity != "0"}
            changes += [(price, "0") for price in held if price not in wanted]
            changes += [(price, quantity) for price, quantity in wanted.items() if held.get(price) != quantity]
        return found

    def _snapshot(self, event: LevelsChanged) -> str:
        bids = _json(sorted(self._sides[0].items(), key=_price, reverse=True))
        asks = _json(sorted(self._sides[1].items(), key=_price))
        stamps = "" if self._market is Market.SPOT else f'"E":{event.event_ns // _MS},"T":{event.event_ns // _MS},'
        return f'{{"lastUpdateId":{self._update_id},{stamps}"bids":{bids},"asks":{asks}}}'

    def _update(self, event: LevelsChanged, changes: tuple[Sequence[Level], Sequence[Level]]) -> str:
        stamp, number = event.event_ns // _MS, self._update_id
        body = f'"U":{number},"u":{number},'
        if self._market is Market.SPOT:
            head = f'"E":{stamp},"s":"{self.symbol}",{body}'
        else:
            head = f'"E":{stamp},"T":{stamp},"s":"{self.symbol}",{body}"pu":{number - 1},'
        return f'{{"e":"depthUpdate",{head}"b":{_json(changes[0])},"a":{_json(changes[1])}}}'

    def _trade(self, event: Printed) -> Iterator[str]:
        if event.trade_id >= 0:
            if event.trade_id in self._seen:
                self._repairs.note("trades seen twice, left out")
                return
            self._remember(event.trade_id)
            if event.trade_id < self._ids[1]:
                self._repairs.note("trades that came after one of a higher id, which readers pass over")
            self._trade_id = event.trade_id
            self._ids = (min(self._ids[0], event.trade_id), max(self._ids[1], event.trade_id), self._ids[2] + 1)
        else:
            if event.name:
                named = hash(event.name)
                if named in self._seen:
                    self._repairs.note("trades seen twice, left out")
                    return
                self._remember(named)
            self._trade_id = self._trade_id + 1 if self._trade_id else event.wall_ns // _US
        self.trades += 1
        stamp = event.event_ns // _MS
        maker = "true" if event.buyer_is_maker else "false"
        tail = f'"m":{maker},"M":true' if self._market is Market.SPOT else f'"X":"MARKET","m":{maker}'
        frame = (
            f'{{"e":"trade","E":{stamp},"T":{stamp},"s":"{self.symbol}","t":{self._trade_id},'
            f'"p":"{event.price}","q":"{event.quantity}",{tail}}}'
        )
        yield f"{event.wall_ns} {envelope(f'{self.symbol.lower()}@trade', frame)}\n"

    def _funding(self, event: FundingTold) -> Iterator[str]:
        if self._market is Market.SPOT:
            self._repairs.note("rows of funding, which spot does not pay, left out")
            return
        frame = (
            f'{{"e":"markPriceUpdate","E":{event.event_ns // _MS},"s":"{self.symbol}","p":"{event.mark}","r":"{event.rate}",'
            f'"T":{event.next_ns // _MS}}}'
        )
        yield f"{event.wall_ns} {envelope(f'{self.symbol.lower()}@markPrice', frame)}\n"

    def _remember(self, trade_id: int) -> None:
        self._seen.add(trade_id)
        self._order.append(trade_id)
        if len(self._order) > _IDS_KEPT:
            self._seen.discard(self._order.popleft())


def _price(level: Level) -> Decimal:
    return Decimal(level[0])


def _json(levels: Iterable[Level]) -> str:
    return "[" + ",".join(f'["{price}","{quantity}"]' for price, quantity in levels) + "]"

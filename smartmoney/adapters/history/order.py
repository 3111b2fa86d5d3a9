"""Events of several files in the order in which they were received.

A file's own order is that of its recorder, and is kept where its clock alone steps back. What the venue's clock calls older, too, was put
into the wrong place by somebody, and goes back to its own; what stands in the file a second time is left out.
Invariants: receive time never runs backwards; memory is bounded, so what belongs further back than the window is stamped with the time
above it, and told.
"""

import datetime as dt
import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from smartmoney.adapters.history.binance_funding import NO_MARK
from smartmoney.adapters.history.events import Event, Events, FundingTold, LevelsChanged, Printed, Repairs

PAUSE_NS = 60_000_000_000
WINDOW = 4_096
"""How many events of a file are held at once, to put one that comes late back before them."""
LEVELS_HELD = 65_536
"""How many levels of books these have at most: of every file that is given some are held from the beginning."""


def in_order(sources: Sequence[Events], repairs: Repairs) -> Events:
    """Yield the events of several files by receive time; in a file time never runs backwards. What two files tell alike is told once."""
    if len(sources) == 1:
        return _monotonic(_sorted(sources[0], repairs), repairs)
    numbered = (_numbered(_monotonic(_sorted(source, repairs), repairs), number) for number, source in enumerate(sources))
    return _beside(_once(heapq.merge(*numbered, key=_wall_ns), repairs), repairs)


def _numbered(events: Events, number: int) -> Iterator[tuple[int, Event]]:
    return ((number, event) for event in events)


def _wall_ns(one: tuple[int, Event]) -> int:
    return one[1].wall_ns


def _once(merged: Iterable[tuple[int, Event]], repairs: Repairs) -> Events:
    """Yield events without those that a file before this one holds, equal in everything: as often as the file that has them most."""
    at_ns, counts = 0, dict[int, dict[int, int]]()
    for number, event in merged:
        if event.wall_ns != at_ns:
            at_ns = event.wall_ns
            counts.clear()
        held = counts.setdefault(hash(event), {})
        held[number] = held.get(number, 0) + 1
        # A merge gives what several have at one time file by file.
        if held[number] > max((count for other, count in held.items() if other != number), default=0):
            yield event
        else:
            repairs.note("rows or messages that another of the files holds alike, left out")


def _beside(events: Events, repairs: Repairs) -> Events:
    """Yield events; say where all files together pause, and of books and trades that never overlap."""
    spans: dict[str, tuple[int, int]] = {}
    last = 0
    for event in events:
        now = event.wall_ns
        if last and now - last > PAUSE_NS:
            repairs.note("pauses of more than a minute in all files together")
        last = now
        kind = "books" if isinstance(event, LevelsChanged) else "trades" if isinstance(event, Printed) else ""
        spans[kind] = (spans[kind][0] if kind in spans else now, now)
        yield event
    for one, other in (("books", "trades"), ("trades", "books")):
        if one in spans and other in spans and spans[one][1] < spans[other][0]:
            ends, begins = (dt.datetime.fromtimestamp(at // 10**9, dt.UTC) for at in (spans[one][1], spans[other][0]))
            repairs.note(f"{one} that end at {ends:%Y-%m-%d %H:%M:%S}, before any {other} begin at {begins:%Y-%m-%d %H:%M:%S}")


def _sorted(events: Events, repairs: Repairs) -> Events:
    """Yield the events of one file, what was misplaced by less than the window in its place, what stands there twice once."""
    waiting: list[tuple[int, int, Event]] = []
    seen: deque[int] = deque(maxlen=2 * WINDOW)
    newest_wall = newest_event = passed_wall = held = 0
    for number, event in enumerate(events):
        content = hash(event)
        if event.wall_ns < newest_wall:
            if _may_repeat(event) and content in seen:
                repairs.note("messages seen twice, left out")
                continue
            if event.event_ns >= newest_event:
                repairs.note("events received before the one above them, stamped with its time")
                event = msgspec.structs.replace(event, wall_ns=newest_wall)
            elif event.wall_ns >= passed_wall:
                repairs.note("events out of order, put back into their place")
        newest_wall, newest_event = max(newest_wall, event.wall_ns), max(newest_event, event.event_ns)
        seen.append(content)
        heapq.heappush(waiting, (event.wall_ns, number, event))
        held += _levels(event)
        while len(waiting) > WINDOW or held > LEVELS_HELD:
            passed_wall, _, first = heapq.heappop(waiting)
            held -= _levels(first)
            yield first
    while waiting:
        yield heapq.heappop(waiting)[2]


def _levels(event: Event) -> int:
    return len(event.bids) + len(event.asks) if isinstance(event, LevelsChanged) else 0


def _is_seldom(event: Event) -> bool:
    """Tell whether it is of a file that has hours between its rows."""
    return isinstance(event, FundingTold) and event.mark == NO_MARK


def _may_repeat(event: Event) -> bool:
    """Tell whether an event that was seen can be known by its content alone; trades with ids are known by these, later."""
    return not isinstance(event, Printed) or event.trade_id < 0


def _monotonic(events: Events, repairs: Repairs) -> Events:
    last = 0
    for event in events:
        if event.wall_ns < last:
            repairs.note("events received before the one above them, stamped with its time")
            event = msgspec.structs.replace(event, wall_ns=last)
        elif last and event.wall_ns - last > PAUSE_NS and not _is_seldom(event):
            repairs.note("pauses of more than a minute")
        last = event.wall_ns
        yield event

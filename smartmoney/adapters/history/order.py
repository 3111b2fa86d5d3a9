"""Events of several files in the order in which they were received.

A file's own order is that of its recorder, and is kept where its clock alone steps back. What the venue's clock calls older, too, was put
into the wrong place by somebody, and goes back to its own; what stands in the file a second time is left out.
Invariants: receive time never runs backwards; memory is bounded, so what belongs further back than the window is stamped with the time
above it, and told.
"""

import heapq
from collections import deque
from collections.abc import Sequence

import msgspec

from smartmoney.adapters.history.binance_funding import NO_MARK
from smartmoney.adapters.history.events import Event, Events, FundingTold, LevelsChanged, Printed, Repairs

PAUSE_NS = 60_000_000_000
WINDOW = 4_096
"""How many events of a file are held at once, to put one that comes late back before them."""
LEVELS_HELD = 65_536
"""How many levels of books these have at most: of every file that is given some are held from the beginning."""


def in_order(sources: Sequence[Events], repairs: Repairs) -> Events:
    """Yield the events of several files by receive time; within a file time never runs backwards."""
    return heapq.merge(*(_monotonic(_sorted(source, repairs), repairs) for source in sources), key=lambda event: event.wall_ns)


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

"""A stretch of a captured run: what warms it, where decisions begin, where it ends."""

from smartmoney.core.domain.entries import EntryKind, Tick, WarmUpEnded
from smartmoney.runtime.backtest_sources import WARM_NS, stretch_of
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.inbox import Item

MINUTE_NS = 60_000_000_000


def frame(minute):
    return Item(EntryKind.FRAME, Stamp(minute * MINUTE_NS, minute), frame=b"%d" % minute)


def event(minute, payload):
    return Item(EntryKind.EVENT, Stamp(minute * MINUTE_NS, minute), payload=payload)


RUN = [frame(1), frame(2), event(5, WarmUpEnded()), *(one for minute in range(6, 200) for one in (event(minute, Tick()), frame(minute)))]


def test_without_bounds_it_is_the_run():
    assert list(stretch_of(RUN, 0, 0)) == RUN


def test_it_is_warmed_by_half_an_hour_decides_from_its_beginning_and_ends_before_its_end():
    found = list(stretch_of(RUN, 100 * MINUTE_NS, 150 * MINUTE_NS))
    ends = [place for place, item in enumerate(found) if isinstance(item.payload, WarmUpEnded)]
    assert [found[place].stamp.wall_ns // MINUTE_NS for place in ends] == [100]
    assert all(item.stamp.wall_ns < 100 * MINUTE_NS for item in found[: ends[0]])
    assert all(item.stamp.wall_ns >= 100 * MINUTE_NS for item in found[ends[0] :])
    minutes = [item.stamp.wall_ns // MINUTE_NS for item in found]
    assert (minutes[0], minutes[-1]) == (100 - WARM_NS // MINUTE_NS, 149)


def test_nothing_is_left_of_a_run_that_ended_before():
    assert [item for item in stretch_of(RUN, 500 * MINUTE_NS, 0) if item.kind is EntryKind.FRAME] == []

"""How far the stretches of a backtest are, told by the processes that run them: a share of each, in memory that all of them see.

Invariants: nothing waits for whoever looks; what a stretch comes to depends on none of it.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from smartmoney.adapters.recording_blocks import Block
from smartmoney.runtime import logs
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.worker_ends import end_with_the_parent
from smartmoney.venues.recorded_lines import WALLS

LOOK_S = 0.2
"""How often shares are looked at."""
OnShare = Callable[[float], None]
"""Gets how much of a stretch is done, between 0 and 1."""

_shared: list[Any] = []


def shares_of(count: int) -> Any:
    """Return room for so many shares, to be handed to `begin_worker` of each process that is started."""
    return multiprocessing.get_context("spawn").Array("d", count, lock=False)


def begin_worker(shares: Any) -> None:
    """Begin a worker that tells its shares there; its log is kept off the standard output, where the result goes."""
    end_with_the_parent()
    logs.configure("WARNING", to_screen=False)
    _shared[:] = [shares]


def teller(number: int) -> OnShare:
    """Return what tells the share of one stretch, in a process that `begin_worker` began."""
    [shares] = _shared

    def tell(share: float) -> None:
        shares[number] = share

    return tell


def by_stamps(items: Iterable[Item], last_ns: int, on_share: OnShare) -> Iterator[Item]:
    """Pass on items that were received until `last_ns`, and tell how much of that time is done, each half a percent."""
    first_ns = due_ns = 0
    for item in items:
        yield item
        now_ns = item.stamp.wall_ns
        first_ns = first_ns or now_ns
        if now_ns >= due_ns and last_ns > first_ns:
            due_ns = now_ns + (last_ns - first_ns) // 200
            on_share(min((now_ns - first_ns) / (last_ns - first_ns), 1.0))


def by_frames(blocks: Iterable[Block], frames: int, on_share: OnShare) -> Iterator[Block]:
    """Pass on blocks that hold `frames` together, and tell how many of these are done."""
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        on_share(min(done / frames, 1.0))


def by_time(blocks: Iterable[Block], first_ns: int, last_ns: int, on_share: OnShare) -> Iterator[Block]:
    """Pass on blocks that were received between two times, and tell how much of that time is done; nothing where they are one."""
    for block in blocks:
        yield block
        if last_ns > first_ns:
            on_share(min(max((int(block.rows[WALLS, -1]) - first_ns) / (last_ns - first_ns), 0.0), 1.0))

"""The clock that adapters wait on: given from outside, so that tests drive hours in no time.

Invariant: nothing in the adapters waits for time except through a `Clock`.
"""

import asyncio
import heapq
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Be what adapters know of time."""

    def monotonic_ns(self) -> int:
        """Return a clock that never steps, in nanoseconds; only differences mean anything."""
        ...

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; at once, but not without giving way, when they are not positive."""
        ...


class SystemClock:
    """Be the clock of this machine."""

    def monotonic_ns(self) -> int:
        """Return the monotonic clock in nanoseconds."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(max(0.0, seconds))


async def first_of(*contenders: Coroutine[Any, Any, T]) -> T:
    """Run coroutines side by side and return (or raise) what the first to end gives; the others are cancelled and awaited.

    When several end at once, the earlier argument wins.
    """
    tasks = [asyncio.ensure_future(contender) for contender in contenders]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = [task for task in tasks if task.done()]
        await cancel(*tasks)
    for task in ended[1:]:
        if not task.cancelled():
            task.exception()  # marks it as seen: only the winner's outcome is wanted
    return ended[0].result()


async def cancel(*tasks: "asyncio.Task[T]") -> None:
    """Cancel tasks and wait until they are gone. Their outcomes are dropped: whoever cancels has decided not to want them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` gives, if it ends within `seconds` of `clock`.

    Raises:
        TimeoutError: it did not; it was cancelled.
    """

    async def expire() -> T:
        await clock.sleep(seconds)
        raise TimeoutError(f"no answer within {seconds:g} s")

    return await first_of(work, expire())


class JumpClock:
    """Be a clock that moves only when told to: for tests and rehearsals, where hours pass in milliseconds.

    Sleepers wake in the order of their deadlines, each at its own deadline, so a loop that sleeps again and again lives through every one.
    """

    TURNS = 25
    """Turns of the event loop after each wake-up: enough for a few exchanges over loopback sockets in the same loop."""

    def __init__(self, *, start_ns: int = 1_000_000_000, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = start_ns
        self._wall_offset_ns = wall_ns - start_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic_ns(self) -> int:
        """Return the time that was set, in nanoseconds."""
        return self._now_ns

    def wall_ns(self) -> int:
        """Return the same time as nanoseconds since 1970."""
        return self._now_ns + self._wall_offset_ns

    async def sleep(self, seconds: float) -> None:
        """Wait until somebody moved the clock so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now_ns + max(1, round(seconds * 1e9)), self._count, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the clock on, waking every sleeper on the way at its time."""
        until_ns = self._now_ns + round(seconds * 1e9)
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until_ns:
            deadline_ns, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._now_ns = max(self._now_ns, deadline_ns)
            future.set_result(None)
            await self._settle()
        self._now_ns = until_ns

    async def _settle(self) -> None:
        for _ in range(self.TURNS):
            await asyncio.sleep(0)

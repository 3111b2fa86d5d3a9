"""A clock for scenes that live in one process: it stands still while the process has to wait for its turn.

Limits of half a second are met or missed by what the code does then, and not by what else the machine is busy with. What the process itself
computes counts; what it waits for (a call that blocks, too) counts as at most a step.
"""

import asyncio
import time


class SteadyClock:
    """Go as the machine's clock does, but on by no more than `STEP_NS` and what was computed between two looks; many look in such scenes."""

    STEP_NS = 100_000_000

    def __init__(self):
        self.begin()

    def begin(self):
        """Show what the machine's clocks show: a scene begins, and nobody looked since the last one."""
        self._seen_ns = self._now_ns = time.monotonic_ns()
        self._cpu_ns = time.process_time_ns()
        self._offset_ns = time.time_ns() - self._now_ns

    def monotonic_ns(self):
        seen_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        self._now_ns += min(seen_ns - self._seen_ns, max(self.STEP_NS, cpu_ns - self._cpu_ns))
        self._seen_ns, self._cpu_ns = seen_ns, cpu_ns
        return self._now_ns

    def wall_ns(self):
        return self.monotonic_ns() + self._offset_ns

    async def sleep(self, seconds):
        until_ns = self.monotonic_ns() + round(seconds * 1e9)
        while True:
            left_ns = until_ns - self.monotonic_ns()
            await asyncio.sleep(min(max(0, left_ns), self.STEP_NS // 5) / 1e9)
            if left_ns <= 0:
                return


CLOCK = SteadyClock()
"""Of everybody in a scene of orders: who is late by it is late of himself."""

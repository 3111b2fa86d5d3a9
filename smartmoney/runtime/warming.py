"""The warm start of a daemon that is up: the account first, then the past, a few milliseconds at a time.

What is held and what protects it matter more than warm features. So a live account is asked, reconciled and protected before the past is
folded; and while that is folded the event loop has a turn after each slice: answers, fills and a person's halt are stepped in between. The
market's feed and the ticks begin where the past ends, so that the engine sees time go on from there.

Invariants: the venue of our orders sees nothing of the past (a paper stop does not trigger at what was paid before); an account that does
not answer holds the past up for a few seconds only; the capture gets no more than it can take; while the past is folded the executor has no
ticks, so that the past ends at once where something that reduces waits for one.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter

import structlog

from smartmoney.adapters.capture import CaptureWriter
from smartmoney.adapters.recording_blocks import Block
from smartmoney.core.domain.entries import EntryKind, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument
from smartmoney.runtime.clock import now
from smartmoney.runtime.gateway import OrderGateway
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.loop import Loop
from smartmoney.runtime.supervisor import Beat
from smartmoney.runtime.warm_start import warm_up

log = structlog.get_logger("warm")

ACCOUNT_S_MAX = 5.0
"""How long the past waits for the account."""
LOOK_S = 0.02
SLICE_S = 0.01
UNWRITTEN_MAX = 50_000
"""The past is folded faster than a disk may write: it waits for the capture while so many entries do."""


class Warming:
    """Fold the past of one run. `ended` is set when it is folded."""

    def __init__(
        self,
        loop: Loop,
        instruments: tuple[Instrument, ...],
        past: Callable[[], Iterable[Block]],
        capture: CaptureWriter,
        gateway: OrderGateway,
        is_known: Callable[[], bool] = lambda: True,
        while_unknown: Callable[[], None] = lambda: None,
        is_pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare.

        Args:
            loop: steps the past; it must have no gateway yet.
            instruments: the run's.
            past: gives its frames, once.
            capture: what takes the entries.
            gateway: where orders go from the end of the past on.
            is_known: tells whether the account is known.
            while_unknown: called again and again until it is.
            is_pressed: tells whether what is held needs time to go on: the past is cut short then.
        """
        self._loop = loop
        self._instruments = instruments
        self._past = past
        self._capture = capture
        self._gateway = gateway
        self._is_known = is_known
        self._while_unknown = while_unknown
        self._is_pressed = is_pressed
        self.ended = asyncio.Event()

    async def run(self, beat: Beat) -> None:
        """Wait for the account, fold the past, and say that it is over."""
        clock = asyncio.get_running_loop().time
        patience_ends = clock() + ACCOUNT_S_MAX
        while not self._is_known() and clock() < patience_ends:
            beat()
            self._while_unknown()
            await asyncio.sleep(LOOK_S)
        began = perf_counter()
        for _ in warm_up(self._loop, self._instruments, self._past()):
            if perf_counter() - began >= SLICE_S:
                await self._give_way(beat)
                if self._is_pressed():
                    log.warning("the past is cut short: a stop was refused, or an exit is under way")
                    break
                began = perf_counter()
        self._loop.use_gateway(self._gateway)
        self._loop.process(Item(EntryKind.EVENT, now(), payload=WarmUpEnded()))
        log.info("warm start done", entries=self._loop.seq)
        self.ended.set()

    async def _give_way(self, beat: Beat) -> None:
        """Let everything else have its turn, and the capture catch up: a slow disk is no reason to be taken for stuck."""
        beat()
        await asyncio.sleep(0)
        while self._capture.waiting > UNWRITTEN_MAX and self._capture.failure is None:
            beat()
            await asyncio.sleep(LOOK_S)

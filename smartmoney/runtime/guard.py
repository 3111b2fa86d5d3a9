"""The guard: a small process of its own that watches the daemon's heartbeat and does what must be done when it stops.

When the lease expires, or a person says so: latch first (durable), then entries are cancelled at the venue and every position is left with
exactly one stop, or closed, and it is looked at again until that is so. While all is well it does nothing but read a file, and set the
venue's dead-man timer while entries rest there.

Invariants: the latch is set before the venue is asked anything; it goes on until the venue shows what is wanted; it never clears a halt;
the venue's timer is refreshed only while the heartbeat is fresh and entries rest, because it takes stops along.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import structlog

from smartmoney.adapters.control import ControlError, ControlRequest
from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.guard_venue import LookFailed, Timer
from smartmoney.adapters.heartbeat import Heartbeat, boot_id, read_heartbeat
from smartmoney.adapters.service import LatchFailed, ServiceNotifier, is_latched, set_latch
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.runtime.alert_queue import Alert
from smartmoney.runtime.guard_hands import Hands
from smartmoney.runtime.guard_lease import Judgement, Lease, judge

log = structlog.get_logger("guard")

POLL_S = 0.2
AGAIN_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between looks at the venue until it shows what is wanted."""
WATCH_S = 5.0
"""While the daemon is gone, what was settled is looked at this often."""
_HAND_OVER_LOOK_S = 1.0
COMPLAIN_S = 10.0
_ACCOUNT = "account"
ASKED_S_MAX = 30.0
HAND_OVER_S = 25.0
"""The daemon adopts the guard's orders with its next report of the account; what it has not by then is withdrawn."""


class GuardTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the configuration says. Times in s; `action` is what an expired lease means beside the latch."""

    lease_s: float = 5.0
    start_s: float = 180.0
    action: Literal["cancel", "flatten"] = "cancel"
    timer_s: float = 60.0


class Guard:
    """Watch one state directory. `hands` is None on paper, where no order is at a venue."""

    def __init__(
        self,
        terms: GuardTerms,
        layout: StateLayout,
        hands: Hands | None,
        journal: GuardJournal,
        tell: Callable[[list[Alert]], None],
        *,
        timer: Timer,
    ) -> None:
        self._terms = terms
        self._layout = layout
        self._hands = hands
        self._journal = journal
        self._tell = tell
        self._timer = timer
        self._boot = boot_id()
        self._armed: dict[str, float] = {}
        self._work: asyncio.Task[None] | None = None
        self._flatten = False
        self._asked = False
        self._settled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._handing_over: float | None = None
        """Since when (monotonic s) the guard's own orders are left to a daemon that is back."""
        self._next_look = 0.0
        self._problem = ""
        self._beat: Heartbeat | None = None
        self._judgement = Judgement(lease=Lease.NONE, age_s=0.0, why="")
        self.episodes = 0

    async def run(self, notifier: ServiceNotifier) -> None:
        """Watch forever."""
        notifier.ready()
        try:
            while True:
                beat = self._last_beat()
                self._judgement = judge(beat, self._boot, time.monotonic_ns(), self._terms.lease_s, self._terms.start_s)
                await self._turn(beat, self._judgement)
                if self._work is not None and self._work.done():
                    self._work.result()  # a bug: end, and be started again
                notifier.beat(time.monotonic_ns())
                notifier.status(f"{self._judgement.lease.value} {self._judgement.why}{' acting' if self._work else ''}")
                await asyncio.sleep(POLL_S)
        finally:
            await self._rest()

    async def handle(self, request: ControlRequest) -> Mapping[str, Any]:
        """Answer a person: `status`, `halt`, `flatten`.

        Raises:
            ControlError: it was not done in time, or is not for the guard.
        """
        match request.command:
            case "status":
                return self._status()
            case "halt" | "flatten" as what:
                reason = f"operator: {request.reason.strip() or what}"
                self._begin(f"flatten: {reason}" if what == "flatten" else reason, flatten=what == "flatten", asked=True)
                try:
                    async with asyncio.timeout(ASKED_S_MAX):
                        await self._settled.wait()
                except TimeoutError:
                    problem = f"not proven within {ASKED_S_MAX:.0f} s: {self._problem or 'the venue still shows something else'}"
                    raise ControlError(problem, "the guard goes on trying; look at the exchange yourself") from None
                return self._status()
        raise ControlError("the guard takes status, halt and flatten only", "ask the daemon")

    async def _turn(self, beat: Heartbeat | None, judgement: Judgement) -> None:
        match judgement.lease:
            case Lease.EXPIRED:
                if self._work is None:
                    self._begin(judgement.why, flatten=self._terms.action == "flatten", asked=False)
            case Lease.FRESH if beat is not None:
                await self._while_fresh(beat)
            case Lease.STARTING if not self._asked:
                # It recovers by itself now, and would meet our orders half-way.
                await self._rest()
            case _:
                pass

    async def _while_fresh(self, beat: Heartbeat) -> None:
        if self._work is not None and (not self._asked or self._settled.is_set()):
            await self._rest()
            self._note(
                "guard", "warning", "daemon is back", f"run {beat.run_id} shows progress again; it stays halted until a person resumes"
            )
        if self._hands is None:
            return
        try:
            if self._handing_over is not None and time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + _HAND_OVER_LOOK_S
                is_late = time.monotonic() - self._handing_over > HAND_OVER_S
                if await self._hands.hand_over(beat, is_late=is_late):
                    self._handing_over = None
            if self._timer:
                await self._keep_timers(self._hands, beat)
        except LookFailed as error:
            self._problem = str(error)

    async def _keep_timers(self, hands: Hands, beat: Heartbeat) -> None:
        """Set the venue's timer while entries rest, refresh it at a third of its time, and take it away where none does.

        One is the symbol's, or one is the account's.
        """
        now = time.monotonic()
        resting = {order.symbol for order in beat.orders if order.is_entry}
        wanted = resting if self._timer == "symbol" or not resting else {_ACCOUNT}
        for symbol in wanted:
            if now >= self._armed.get(symbol, 0.0) and await hands.count_down(symbol, round(self._terms.timer_s * 1000)):
                self._armed[symbol] = now + self._terms.timer_s / 3
        for symbol in [*self._armed.keys() - wanted]:
            if await hands.count_down(symbol, 0):
                del self._armed[symbol]

    def _begin(self, reason: str, *, flatten: bool, asked: bool) -> None:
        """Latch, and start working at the venue; while it works already, only more can be asked of it."""
        is_more = flatten and not self._flatten
        self._asked = self._asked or asked
        if self._work is not None and not is_more:
            return
        self._flatten = self._flatten or flatten
        self._settled.clear()
        self._hurry.set()
        self._latch(reason)
        if self._work is None:
            self.episodes += 1
            self._work = asyncio.create_task(self._until_settled(), name="guard at work")

    def _latch(self, reason: str) -> None:
        text = reason if reason.startswith(("operator", "flatten")) else f"guard: {reason}"
        try:
            if not is_latched(self._layout.latch):
                set_latch(self._layout.latch, text, -1)
            self._journal.write("latched", reason=text)
        except (LatchFailed, OSError) as error:
            # The venue can still be made safe, and that counts more than the file.
            log.critical("the latch could not be set", problem=str(error))
        self._note("guard", "critical", "GUARD ACTS", text)

    async def _until_settled(self) -> None:
        started, attempt, complained = time.monotonic(), 0, False
        while True:
            is_settled = await self._round()
            if is_settled and not self._settled.is_set():
                self._settled.set()
                took_ms = round((time.monotonic() - started) * 1000)
                self._journal.write("settled", took_ms=took_ms, **self._done())
                self._note(
                    "guard", "warning", "guard is done", f"entries gone, positions covered or closed, after {took_ms} ms; {self._done()}"
                )
            elif not is_settled:
                self._settled.clear()
            if not is_settled and not complained and time.monotonic() - started > COMPLAIN_S:
                complained = True
                self._note(
                    "guard", "critical", "GUARD CANNOT", f"not settled after {COMPLAIN_S:.0f} s: {self._problem}; look at the exchange"
                )
            attempt = 0 if is_settled else attempt + 1
            await self._pause(WATCH_S if is_settled else AGAIN_S[min(attempt, len(AGAIN_S) - 1)])

    async def _pause(self, pause_s: float) -> None:
        """Wait, unless more is asked meanwhile."""
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()

    async def _round(self) -> bool:
        """Do one round at the venue; tell whether all is as wanted."""
        beat = self._last_beat()
        if self._hands is None or beat is None:
            return True
        try:
            is_settled = await self._hands.settle(beat, flatten=self._flatten)
            if is_settled:
                for symbol in list(self._armed):
                    if await self._hands.count_down(symbol, 0):
                        del self._armed[symbol]
        except LookFailed as error:
            self._problem = str(error)
            return False
        self._problem = ""
        return is_settled

    def _last_beat(self) -> Heartbeat | None:
        """Return the last heartbeat that could be read: one that cannot be is no sign that there never was a daemon. It grows old."""
        beat = read_heartbeat(self._layout.heartbeat)
        if beat is not None:
            self._beat = beat
        return self._beat

    async def _rest(self) -> None:
        """Stop working; the latch stays."""
        work, self._work = self._work, None
        self._flatten = self._asked = False
        if work is not None:
            self._handing_over = time.monotonic()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    def _done(self) -> dict[str, int]:
        hands = self._hands
        return {} if hands is None else {"cancelled": hands.cancelled, "stops_placed": hands.placed, "closes": hands.closed}

    def _status(self) -> dict[str, Any]:
        return {
            "lease": self._judgement.lease.value,
            "age_s": None if self._judgement.age_s == float("inf") else round(self._judgement.age_s, 3),
            "why": self._judgement.why,
            "halted": is_latched(self._layout.latch),
            "is_acting": self._work is not None,
            "is_settled": self._settled.is_set(),
            "has_venue": self._hands is not None,
            "problem": self._problem,
            "episodes": self.episodes,
            "timers": sorted(self._armed),
            **self._done(),
        }

    def _note(self, kind: str, severity: str, subject: str, text: str) -> None:
        getattr(log, {"info": "info", "warning": "warning"}.get(severity, "critical"))(subject, text=text)
        self._tell([Alert(kind=kind, severity=severity, subject=subject, text=text)])

"""The supervisor: children with a declared restart policy, restart intensity as in Erlang/OTP, heartbeats.

Invariants: a child that fails more often than its intensity allows takes the supervisor down, and the process with it (systemd then
restarts it, within its own limits); a permanent or essential child that returns counts as failed; a child that stops beating counts as
failed; a supervisor that ends leaves no task behind. Broad `except` stands here and nowhere else.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from time import monotonic

import msgspec
import structlog

log = structlog.get_logger("supervisor")

Beat = Callable[[], None]


class Restart(StrEnum):
    """Say what a child's end means."""

    PERMANENT = "permanent"
    """It must always run: any end restarts it."""
    TRANSIENT = "transient"
    """It may finish: only a failure restarts it."""
    TEMPORARY = "temporary"
    """It is never restarted; its failure is logged."""
    ESSENTIAL = "essential"
    """It cannot be restarted without losing the thread: its end ends the process."""


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Declare a child: `start` gets a function to call as a heartbeat; no beat within `beat_s_max` counts as a failure."""

    name: str
    start: Callable[[Beat], Awaitable[None]]
    restart: Restart = Restart.PERMANENT
    restarts_max: int = 5
    within_s: float = 600.0
    delay_s: float = 0.5
    beat_s_max: float | None = None


class RestartIntensityExceeded(RuntimeError):
    """A child failed more often than it may: the process must end and start afresh."""

    exit_code = 1


class ChildStalled(RuntimeError):
    """A child stopped beating."""

    exit_code = 1


class ChildFailed(RuntimeError):
    """An essential child failed in a way that nobody expected, or returned; the log holds its traceback."""

    exit_code = 1


class Supervisor:
    """Run children until `stop` is called or one of them takes the supervisor down."""

    def __init__(self, children: tuple[ChildSpec, ...], clock: Callable[[], float] = monotonic) -> None:
        self._children = children
        self._clock = clock
        self._stopping = asyncio.Event()
        self._beats: dict[str, float] = {}
        self.restarts: dict[str, int] = {child.name: 0 for child in children}

    def stop(self) -> None:
        """Ask every child to end, by cancellation."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Tell whether `stop` was called."""
        return self._stopping.is_set()

    def beat_ages(self) -> dict[str, float]:
        """Return the seconds since each beating child's last beat."""
        now = self._clock()
        return {name: now - at for name, at in self._beats.items()}

    async def run(self) -> None:
        """Supervise until stopped.

        Raises:
            ExceptionGroup: of `RestartIntensityExceeded` (a child failed too often), `ChildStalled`, `ChildFailed`, or of an essential
                child's own failure where that knows its exit code.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._supervise(child), name=child.name) for child in self._children]
            await self._stopping.wait()
            for task in tasks:
                task.cancel()

    async def _supervise(self, child: ChildSpec) -> None:
        failures: deque[float] = deque(maxlen=child.restarts_max + 1)
        while True:
            failure = await self._run_once(child)
            if child.restart is Restart.ESSENTIAL:
                raise _essential_end(child.name, failure)
            if failure is None and child.restart in {Restart.TRANSIENT, Restart.TEMPORARY}:
                return
            if child.restart is Restart.TEMPORARY:
                log.error("child failed, not restarted", child=child.name, exc_info=failure)
                return
            now = self._clock()
            failures.append(now)
            recent = [at for at in failures if now - at <= child.within_s]
            if len(recent) > child.restarts_max:
                raise RestartIntensityExceeded(f"{child.name} failed {len(recent)} times within {child.within_s:.0f} s; last: {failure!r}")
            self.restarts[child.name] += 1
            log.warning("child restarts", child=child.name, error=repr(failure), restarts=self.restarts[child.name], exc_info=_bug(failure))
            await asyncio.sleep(child.delay_s)

    async def _run_once(self, child: ChildSpec) -> Exception | None:
        """Run a child to its end; its failure is the return value, its cancellation passes through."""
        self._beats[child.name] = self._clock()
        task = asyncio.ensure_future(child.start(lambda: self._beats.__setitem__(child.name, self._clock())))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=child.beat_s_max)
                silent_s = self._clock() - self._beats[child.name]
                if not task.done() and child.beat_s_max is not None and silent_s > child.beat_s_max:
                    return ChildStalled(f"no heartbeat for {silent_s:.1f} s")
            return _failure(task)
        finally:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
            self._beats.pop(child.name, None)


def _essential_end(name: str, failure: Exception | None) -> Exception:
    """Return what an essential child's end is raised as: its own failure where that was foreseen, else one clear line."""
    log.critical("essential child failed", child=name, error=repr(failure), exc_info=_bug(failure))
    if failure is not None and hasattr(failure, "exit_code"):
        return failure
    ended = ChildFailed(f"{name} {'returned' if failure is None else f'failed: {failure!r}'}, and nothing can go on without it")
    ended.__cause__ = failure
    return ended


def _bug(failure: Exception | None) -> Exception | None:
    """Return a failure whose traceback is worth a look: one that nobody foresaw."""
    return None if failure is None or hasattr(failure, "exit_code") else failure


def _failure(task: "asyncio.Future[None]") -> Exception | None:
    if task.cancelled():
        return ChildStalled("the child was cancelled from within")
    error = task.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return error

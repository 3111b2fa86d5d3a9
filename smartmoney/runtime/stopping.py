"""How a daemon is told to stop: by SIGINT or SIGTERM, while it starts or when it runs."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable


class StoppedEarly(Exception):
    """The daemon was told to stop while it was starting."""

    exit_code = 0


class Stop:
    """Be what SIGINT and SIGTERM do: at first they cancel the start; once the children run, they end those in order."""

    def __init__(self, cancel_start: Callable[[], object]) -> None:
        self._act = cancel_start
        self.is_told = False
        self.is_starting = True

    def use(self, act: Callable[[], object]) -> None:
        """Do something else from now on."""
        self._act = act
        self.is_starting = False

    def tell(self) -> None:
        """Stop."""
        self.is_told = True
        self._act()


@contextlib.asynccontextmanager
async def signals() -> AsyncIterator[Stop]:
    """Turn SIGINT and SIGTERM into a stop.

    Raises:
        StoppedEarly: one came before the children ran.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    stop = Stop(task.cancel)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.tell)
    try:
        yield stop
    except asyncio.CancelledError:
        if not (stop.is_told and stop.is_starting):
            raise
        task.uncancel()
        raise StoppedEarly("stopped before the run had begun") from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

"""Run the exchange server as a process of its own: ready line, signals, and the parent's end."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Mapping

from smartmoney.adapters.exchange_server import ExchangeServer
from smartmoney.adapters.exchange_site import Endpoints
from smartmoney.core.domain.instruments import Market


async def serve_until_told(
    server: ExchangeServer, port: int, announce: Callable[[Mapping[Market, Endpoints]], None], *, die_with_parent: bool
) -> None:
    """Serve until SIGTERM, SIGINT or (with `die_with_parent`) the end of standard input.

    Raises:
        OSError: a port is in use.
    """
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if die_with_parent:
        threading.Thread(target=_watch_stdin, args=(loop, told), daemon=True).start()
    announce(await server.start(port))
    ends = [asyncio.create_task(told.wait()), asyncio.create_task(server.wait())]
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        await server.stop()


def _watch_stdin(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    try:
        loop.call_soon_threadsafe(told.set)
    except RuntimeError:
        # The loop is closed already: nobody is left to tell.
        return

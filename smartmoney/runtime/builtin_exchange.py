"""Start the built-in exchange as a process of its own and learn where it listens.

It is the same `smartmoney sim` that a user can start; it ends with its parent, so no exchange outlives a killed daemon.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger("exchange")

START_PATIENCE_S = 120.0
"""Covers the first compilation of the market's kernels on a slow machine."""
STOP_PATIENCE_S = 5.0


class ExchangeFailed(RuntimeError):
    """The built-in exchange did not start."""

    exit_code = 1


class MarketEndpoints(msgspec.Struct, frozen=True):
    """Hold the base addresses of one market."""

    rest: str
    ws: str
    ws_api: str = ""


class ExchangeReady(msgspec.Struct, frozen=True):
    """Be the line that the exchange prints: addresses by venue and market, and its pre-run's recordings by market and symbol."""

    binance: dict[str, MarketEndpoints]
    warm: dict[str, dict[str, str]] = {}


@contextlib.asynccontextmanager
async def builtin_exchange(symbols: Sequence[str], seed: int, prerun_s: int, warm_out: Path) -> AsyncIterator[ExchangeReady]:
    """Run the exchange while the context lasts; yield where it listens and what it recorded before.

    Raises:
        ExchangeFailed: it ended, or said nothing, before it was ready.
    """
    arguments = ["sim", "--seed", str(seed), "--port", "0", "--symbols", ",".join(symbols), "--json", "--die-with-parent"]
    if prerun_s:
        arguments += ["--prerun", str(prerun_s), "--warm-out", str(warm_out)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "smartmoney", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the daemon; the exchange ends when its standard input does
    )
    try:
        yield await _endpoints(process)
    finally:
        await _stop(process)


async def _endpoints(process: asyncio.subprocess.Process) -> ExchangeReady:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_PATIENCE_S)
    except TimeoutError:
        raise ExchangeFailed(f"the built-in exchange said nothing for {START_PATIENCE_S:.0f} s") from None
    if not line:
        raise ExchangeFailed(f"the built-in exchange ended with code {await process.wait()} before it was ready")
    ready = msgspec.json.decode(line, type=ExchangeReady)
    log.info("built-in exchange is up", pid=process.pid, markets=sorted(ready.binance))
    return ready


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_PATIENCE_S)
    except TimeoutError:
        log.warning("built-in exchange did not stop when asked; killed", pid=process.pid)
        process.kill()
        await process.wait()

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

from smartmoney.settings.errors import ConfigurationError

log = structlog.get_logger("exchange")

START_PATIENCE_S = 120.0
"""Covers the first compilation of the market's kernels on a slow machine."""
STOP_PATIENCE_S = 5.0
_REFUSED = 2
"""The exit code with which it refuses its arguments."""


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


class BuiltinExchange:
    """Hold a running exchange: where it listens, and the wait for its end."""

    def __init__(self, process: asyncio.subprocess.Process, ready: ExchangeReady, said: Path) -> None:
        self._process = process
        self._said = said
        self.ready = ready

    async def ended(self) -> None:
        """Wait for the end that nobody asked for.

        Raises:
            ExchangeFailed: it has ended.
        """
        code = await self._process.wait()
        raise ExchangeFailed(f"the built-in exchange ended with code {code}{_last_words(self._said)}")


@contextlib.asynccontextmanager
async def builtin_exchange(
    symbols: Sequence[str], scenario: str, seed: int, prerun_s: int, scratch: Path
) -> AsyncIterator[BuiltinExchange]:
    """Run the exchange while the context lasts; `scratch` takes the recordings of its pre-run, and what it says.

    Raises:
        ExchangeFailed: it ended, or said nothing, before it was ready.
        ConfigurationError: it does not have one of the symbols.
    """
    arguments = ["sim", "--scenario", scenario, "--seed", str(seed), "--port", "0", "--symbols", ",".join(symbols)]
    arguments += ["--json", "--die-with-parent"]
    if prerun_s:
        arguments += ["--prerun", str(prerun_s), "--warm-out", str(scratch / "warm")]
    said = scratch / "exchange.log"
    with said.open("wb") as log_file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "smartmoney", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log_file,
            start_new_session=True,  # Ctrl-C is for the daemon; the exchange ends when its standard input does
        )
    try:
        yield BuiltinExchange(process, await _endpoints(process, said), said)
    finally:
        await _stop(process)


async def _endpoints(process: asyncio.subprocess.Process, said: Path) -> ExchangeReady:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_PATIENCE_S):
            line = await process.stdout.readline()
    except TimeoutError:
        raise ExchangeFailed(f"the built-in exchange said nothing for {START_PATIENCE_S:.0f} s") from None
    if not line:
        code = await process.wait()
        if code == _REFUSED:
            raise ConfigurationError(
                "instruments", f"the built-in exchange refuses them{_last_words(said)}", "choose among those that it has"
            )
        raise ExchangeFailed(f"the built-in exchange ended with code {code} before it was ready{_last_words(said)}")
    ready = msgspec.json.decode(line, type=ExchangeReady)
    log.info("built-in exchange is up", pid=process.pid, markets=sorted(ready.binance))
    return ready


def _last_words(said: Path) -> str:
    lines = said.read_text(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_PATIENCE_S):
            await process.wait()
    except TimeoutError:
        log.warning("built-in exchange did not stop when asked; killed", pid=process.pid)
        process.kill()
        await process.wait()

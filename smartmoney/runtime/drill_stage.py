"""The stage of a drill: the built-in exchange, a daemon in rehearsal and a guard, each a real process, in a folder of their own.

Invariants: every process that was started is ended; nothing but this machine is reached.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from smartmoney.adapters.control import ControlError, ControlRequest, request
from smartmoney.adapters.state_directory import StateLayout

START_S = 240.0
RESUME_S = 120.0
KEY, SECRET = "DrillKey1", "drill-secret-of-no-worth"
OWNERS_BTC = 1
_ACCOUNTS = {
    "accounts": [
        {
            "name": "drill",
            "keys": [{"key": KEY, "secret": SECRET, "addresses": ["127.0.0.1"]}],
            # The coin is its owner's: neither daemon nor guard may sell it.
            "spot": {"USDT": 10_000, "BTC": OWNERS_BTC},
            "usdm": {"USDT": 10_000},
        }
    ]
}
LINES_KEPT = 64
"""Lines of a process's output that are kept; only the first, which says where it listens, is read."""
LOTS = {"spot": Decimal("0.00001"), "usdm": Decimal("0.001")}


class DrillFailed(Exception):
    """Report a drill that could not go on: what did not happen."""

    exit_code = 1


class Running:
    """Be one process of the drill, whose log lines can be waited for."""

    def __init__(self, process: asyncio.subprocess.Process, started: float) -> None:
        self.process = process
        self.started = started
        self.printed: asyncio.Queue[str] = asyncio.Queue(LINES_KEPT)
        self._lines: list[tuple[float, dict[str, Any]]] = []
        self._raw: list[str] = []
        self._more = asyncio.Condition()
        self._is_over = False
        self._tasks = [asyncio.create_task(self._read_log()), asyncio.create_task(self._read_out())]

    async def wait_for(self, event: str, test: Callable[[dict[str, Any]], bool] = lambda _: True, patience_s: float = START_S) -> float:
        """Wait for a log line; return when it came (monotonic s).

        Raises:
            DrillFailed: it did not come in time, or the process ended.
        """
        at = 0
        try:
            async with asyncio.timeout(patience_s), self._more:
                while True:
                    for came, line in self._lines[at:]:
                        if line.get("event") == event and test(line):
                            return came
                    at = len(self._lines)
                    if self._is_over:
                        break
                    await self._more.wait()
        except TimeoutError:
            raise DrillFailed(f"no {event!r} within {patience_s:.0f} s; last words: {self.last_words()}") from None
        raise DrillFailed(f"ended before {event!r}; last words: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what it said."""
        return " | ".join(self._raw[-3:])[-600:]

    async def end(self, number: int = signal.SIGTERM, patience_s: float = 60.0) -> None:
        """End it and wait for that."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        try:
            async with asyncio.timeout(patience_s):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            text = raw.decode(errors="replace").rstrip()
            self._raw.append(text)
            del self._raw[:-20]
            if text.startswith("{"):
                with contextlib.suppress(ValueError):
                    async with self._more:
                        self._lines.append((time.monotonic(), json.loads(text)))
                        self._more.notify_all()
        async with self._more:
            self._is_over = True
            self._more.notify_all()

    async def _read_out(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            if not self.printed.full():
                self.printed.put_nowait(raw.decode(errors="replace"))


class Stage:
    """Hold the folder, the exchange and what runs on it."""

    def __init__(self, folder: Path, market: str, ready: Mapping[str, Any]) -> None:
        self.market = market
        self.layout = StateLayout(folder / "state")
        self.lot = LOTS[market]
        self.rest = str(ready["binance"]["spot"]["rest"])
        self._config = folder / "live.yaml"
        self._warm = ready["warm"][market]["BTCUSDT"]
        self.is_warmed = True
        """Daemons warm up from the exchange's own past; else from what earlier ones have captured alone."""
        self._running: list[Running] = []
        here, spot = ready["binance"][market], ready["binance"]["spot"]
        written = {
            "mode": "live",
            "venue": "binance",
            "market": market,
            "capital": 5000,
            "endpoints": {"rest": here["rest"], "ws": here["ws"], "sapi": spot["rest"]},
            "api_key": {"key_file": str(folder / "key"), "secret_file": str(folder / "secret")},
            "strategy_class": "smartmoney.runtime.drill_strategies:Hold",
            "strategy": {"min_liquidity_score": 0.01, "rebalance_band": 0, "max_drawdown": 0.5, "update_frequency": 0.5},
            "risk": {"max_daily_loss": 0.9, "max_orders_per_minute": 1200, "reserved_orders_per_minute": 600},
            # What the model thinks of the moment must not keep the drill from trading.
            "advanced_features": {
                "feature_engine": {"risk_adjustment_factor": 0},
                "liquidity_patterns": {"mm_confidence_threshold": 0.01},
                "signal_generation": {"max_signals_per_minute": 1000},
            },
        }
        self._config.write_text(json.dumps(written))
        for name, text in (("key", KEY), ("secret", SECRET)):
            path = folder / name
            path.touch(0o600)
            path.write_text(text)

    async def daemon(self, **settings: object) -> Running:
        """Start a daemon with some settings changed (`strategy__max_drawdown=0.1`)."""
        changed = [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
        warm = ("--warm", self._warm) if self.is_warmed else ()
        return await self.start("run", "--live", "-c", str(self._config), "--state-dir", str(self.layout.root), "--json", *warm, *changed)

    async def guard(self, lease_s: float) -> Running:
        """Start a guard."""
        words = ("guard", "--live", "-c", str(self._config), "--state-dir", str(self.layout.root), "--set", f"guard.lease_s={lease_s}")
        found = await self.start(*words)
        await found.wait_for("guard watches")
        return found

    async def start(self, *words: str) -> Running:
        """Start a command of the product."""
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "smartmoney",
            *words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            limit=8 << 20,
        )
        running = Running(process, started)
        self._running.append(running)
        return running

    async def ask(self, command: Any, reason: str = "drill", patience_s: float = 60.0) -> dict[str, Any]:
        """Ask the running daemon."""
        return await asyncio.to_thread(request, self.layout.control_socket, ControlRequest(command=command, reason=reason), patience_s)

    async def resume(self) -> None:
        """Re-arm the daemon once it knows its equity: READY comes before its warm start, and that before the market."""
        ends = time.monotonic() + RESUME_S
        while time.monotonic() < ends:
            try:
                await self.ask("resume", "drill")
            except ControlError as error:
                if "not halted" in str(error):
                    return
                await asyncio.sleep(0.2)
            else:
                return
        raise DrillFailed("the daemon could not be re-armed")

    async def shock(self, bps: float) -> None:
        """Move the market at once."""
        body = {"market": self.market, "symbol": "BTCUSDT", "bps": bps}
        async with aiohttp.ClientSession() as session, session.post(f"{self.rest}/sim/shock", json=body) as response:
            if response.status != 200:
                raise DrillFailed(f"the market could not be moved: {await response.text()}")

    async def close(self) -> None:
        """End everything that runs."""
        for running in self._running:
            if running.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.process.pid, signal.SIGCONT)
                await running.end(signal.SIGKILL)


@contextlib.asynccontextmanager
async def open_stage(folder: Path, market: str, seed: int) -> AsyncIterator[Stage]:
    """Serve an exchange and yield the stage on it.

    Raises:
        DrillFailed: the exchange did not start.
    """
    accounts = folder / "accounts.yaml"
    accounts.write_text(json.dumps(_ACCOUNTS))
    words = ("sim", "--seed", str(seed), "--port", "0", "--symbols", "BTCUSDT", "--accounts", str(accounts))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "smartmoney",
        *words,
        "--prerun",
        "240",
        "--warm-out",
        str(folder / "warm"),
        "--json",
        "--die-with-parent",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        limit=8 << 20,
    )
    exchange = Running(process, time.monotonic())
    try:
        try:
            async with asyncio.timeout(START_S):
                ready = msgspec.json.decode(await exchange.printed.get())
        except TimeoutError:
            raise DrillFailed(f"the exchange did not start: {exchange.last_words()}") from None
        stage = Stage(folder, market, ready)
        try:
            yield stage
        finally:
            await stage.close()
    finally:
        await exchange.end()

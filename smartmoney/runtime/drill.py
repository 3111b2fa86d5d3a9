"""The safety drill: a real daemon in rehearsal is killed, halted, hurt and frozen; the exchange's own ledger says how long what took.

Invariants: only the built-in exchange is reached; a measure that could not be taken is None, never a guess.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec

from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.service import read_latch
from smartmoney.runtime.bench_safety import lengthen
from smartmoney.runtime.drill_stage import OWNERS_BTC, DrillFailed, Running, Stage, open_stage
from smartmoney.runtime.drill_watch import Watch, duplicates, of_others, orphans

SETTLE_S = 15.0
FIRST_S = 180.0
"""A first start compiles, warms up and waits for its book."""
LEASE_S = 5.0
FILLS = 50
"""Fills whose stops are timed before the first kill, if they come within `FILLS_S`."""
FILLS_S = 120.0
SHOCKS_MAX = 4
_MS = 1e3


class DrillReport(msgspec.Struct, kw_only=True):
    """Hold what was measured, in ms; None where it could not be. `problems` says what went wrong, in words.

    `breach_to_halt_ms`: from the step that found the drawdown (it had held 250 ms) to the halt on disk. `halt_to_cancelled_ms`: from an
    operator's word to no entry at the exchange. `halt_to_flat_ms`: from the drawdown's halt on disk to nothing held. `frozen_to_guard_ms`:
    from the freeze to entries gone and one stop, by the guard alone, its lease included; `frozen_halt_ms` the same by `smartmoney halt`.
    `fill_to_stop_ms`: the slowest. `restart_to_ready_ms`: the slowest, from the start of the process (`restart_p50_ms`: the median);
    `restart_long_ms`: the last, with a journal of 10,000 events more. `naked_ms_max`: while a daemon ran; `naked_dead_ms_max`: while it
    was killed or frozen.
    """

    market: str
    seed: int
    breach_to_halt_ms: float | None = None
    shock_to_halt_ms: float | None = None
    halt_to_cancelled_ms: float | None = None
    halt_to_flat_ms: float | None = None
    frozen_to_guard_ms: float | None = None
    frozen_halt_ms: float | None = None
    fill_to_stop_ms: float | None = None
    fill_to_stop_p99_ms: float | None = None
    fill_to_stop_p50_ms: float | None = None
    fills_covered: int = 0
    restart_to_ready_ms: float | None = None
    restart_p50_ms: float | None = None
    restart_long_ms: float | None = None
    kill_points: int = 0
    duplicates: int = 0
    orphans: int = 0
    naked_ms_max: float | None = None
    naked_dead_ms_max: float | None = None
    naked_worst: str = ""
    guard_rss_mb: float | None = None
    problems: list[str] = []


async def run_drill(market: str, *, seed: int, kills: int, say: Callable[[str], None]) -> DrillReport:
    """Run the whole drill; a phase that fails is told in `problems`, and the next one begins.

    Raises:
        DrillFailed: the exchange did not start.
    """
    report = DrillReport(market=market, seed=seed, problems=[])
    with tempfile.TemporaryDirectory(prefix="smartmoney-drill-") as folder:
        async with open_stage(Path(folder), market, seed) as stage:
            drill = _Drill(stage, report, random.Random(seed), say)
            looking = asyncio.create_task(drill.watch.run())
            try:
                for name, phase in (
                    ("kills", drill.kills(kills)),
                    ("halt", drill.halt()),
                    ("breach", drill.breach()),
                    ("frozen", drill.frozen()),
                ):
                    say(name)
                    await drill.attempt(name, phase)
                await drill.judge()
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
    return report


class _Drill:
    def __init__(self, stage: Stage, report: DrillReport, chance: random.Random, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._report = report
        self._chance = chance
        self._say = say
        self.watch = Watch(stage.rest, stage.market, stage.lot)

    async def attempt(self, name: str, phase: object) -> None:
        """Run a phase and clean up after it, whatever comes of it."""
        assert asyncio.iscoroutine(phase)
        try:
            await phase
        except (DrillFailed, OSError) as error:
            self._report.problems.append(f"{name}: {error}")
        finally:
            await self._stage.close()

    async def kills(self, count: int) -> None:
        """Kill a trading daemon again and again; each start must find its position, its stop and its orders."""
        daemon = await self._ready(strategy_class="smartmoney.runtime.drill_strategies:Churn")
        await self._wanted(lambda look: look.held != 0, "a first position", FIRST_S)
        await self.watch.until(lambda _: len(self.watch.covers_ms) >= FILLS, FILLS_S)
        restarts: list[float] = []
        for number in range(count):
            await asyncio.sleep(self._chance.uniform(0.2, 3.0))
            self.watch.phase = "dead"
            await daemon.end(signal.SIGKILL)
            self._report.kill_points += 1
            daemon, ready = await self._start(strategy_class="smartmoney.runtime.drill_strategies:Churn")
            restarts.append((ready - daemon.started) * _MS)
            # What the kill left open is closed or covered by the daemon that is ready now.
            if await self.watch.until(lambda look: look.is_covered, SETTLE_S) is None:
                self._report.problems.append(f"kill {number + 1}: not covered within {SETTLE_S:.0f} s: {self.watch.last}")
            self.watch.phase = "running"
        if restarts:
            self._report.restart_to_ready_ms, self._report.restart_p50_ms = round(max(restarts), 1), round(median(restarts), 1)
        self.watch.phase = "dead"
        await daemon.end(signal.SIGKILL)
        await asyncio.to_thread(lengthen, self._stage.layout.journal)
        daemon, ready = await self._start(strategy_class="smartmoney.runtime.drill_strategies:Churn")
        self._report.restart_long_ms = round((ready - daemon.started) * _MS, 1)
        if await self.watch.until(lambda look: look.is_covered, SETTLE_S) is None:
            self._report.problems.append(f"after the long journal: not covered within {SETTLE_S:.0f} s: {self.watch.last}")
        self.watch.phase = "running"
        await daemon.end()

    async def halt(self) -> None:
        """Halt while an entry rests."""
        daemon = await self._ready(execution__entry="maker", strategy__max_position_size=0.2)
        for _ in range(5):
            if await self.watch.until(lambda look: look.entries, 60.0) is None:
                raise DrillFailed("no entry came to rest")
            began = time.monotonic()
            await self._stage.ask("halt")
            gone = await self._wanted(lambda look: not look.entries, "the entry gone")
            self._report.halt_to_cancelled_ms = round((gone - began) * _MS, 1)
            if self._was_cancelled():
                break
            await self._stage.resume()
        await self._wanted(lambda look: look.is_covered, "one stop after the halt")
        await daemon.end()

    async def breach(self) -> None:
        """Move the market against a position until the kill switch trips."""
        daemon = await self._ready(strategy__max_position_size=0.2, strategy__max_drawdown=0.001)
        # Halted and re-armed: the peak is what is there now, whatever the kills have cost.
        await self._stage.ask("halt")
        await self._stage.resume()
        await self._wanted(lambda look: look.held != 0 and look.is_covered, "a covered position")
        await asyncio.sleep(1.0)
        began_ns, halted_ns = await self._shocked()
        # The latch is set when the journal has the halt; its wall time, on this process's monotonic clock:
        halted = time.monotonic() - (time.time_ns() - halted_ns) / 1e9
        flat = await self._wanted(lambda look: look.held == 0 or look.is_dust, "nothing held")
        self._report.shock_to_halt_ms = round((halted_ns - began_ns) / 1e6, 1)
        self._report.halt_to_flat_ms = round(max(0.0, flat - halted) * _MS, 1)
        await daemon.end()
        with JournalReader.open(self._stage.layout.journal) as journal:
            last = [row for row in journal.halts() if row.kind == "halt"][-1]
        if not last.reason.startswith("drawdown"):
            raise DrillFailed(f"it halted for another reason: {last.reason}")
        self._report.breach_to_halt_ms = round((halted_ns - last.wall_ns) / 1e6, 2)

    async def _shocked(self) -> tuple[int, int]:
        """Move the market until the daemon has halted; return when it was moved last and when the halt was durable, wall ns.

        A market that has others in it may take a move back before it has lasted.
        """
        for _ in range(SHOCKS_MAX):
            began_ns = time.time_ns()
            await self._stage.shock(-150.0)
            for _ in range(1_000):
                latch = read_latch(self._stage.layout.latch)
                if latch is not None and latch.set_wall_ns >= began_ns:
                    return began_ns, latch.set_wall_ns
                await asyncio.sleep(0.005)
        raise DrillFailed(f"the drawdown did not halt it: {await self._stage.ask('status')}"[:1500])

    async def frozen(self) -> None:
        """Freeze the daemon: once the guard acts by itself, once a person halts."""
        self._report.frozen_to_guard_ms = await self._frozen(0.2, LEASE_S, asked=False)
        self._report.frozen_halt_ms = await self._frozen(0.4, 60.0, asked=True)

    async def _frozen(self, size: float, lease_s: float, *, asked: bool) -> float:
        """Start daemon and guard, freeze the daemon, end both; return how long an entry was shown."""
        climb = "smartmoney.runtime.drill_strategies:Climb"
        daemon = await self._ready(strategy_class=climb, execution__entry="maker", strategy__max_position_size=size)
        guard = await self._stage.guard(lease_s)
        await self._stage.resume()
        took = await self._freeze(daemon, asked=asked)
        self._report.guard_rss_mb = _rss_mb(guard.process.pid)
        await daemon.end(signal.SIGTERM)
        await guard.end()
        return took

    async def _freeze(self, daemon: Running, *, asked: bool) -> float:
        """Stop the process while an entry rests, wait for the guard, let it go on; return how long the exchange showed an entry."""
        if await self.watch.until(lambda look: look.entries, 90.0) is None:
            self._report.problems.append("frozen: no entry came to rest; the daemon is frozen without one")
        self.watch.phase = "dead"
        began = time.monotonic()
        os.kill(daemon.process.pid, signal.SIGSTOP)
        if asked:
            command = await self._stage.start("halt", "--reason", "drill", "--json", "--state-dir", str(self._stage.layout.root))
            await command.process.wait()
            if command.process.returncode != 0:
                self._report.problems.append(f"frozen: smartmoney halt: {command.last_words()}")
        while not self._stage.layout.latch.exists():
            if time.monotonic() - began > 60:
                raise DrillFailed("the guard did not act")
            await asyncio.sleep(0.01)
        safe = await self._wanted(lambda look: not look.entries and look.is_covered, "entries gone and one stop, by the guard")
        os.kill(daemon.process.pid, signal.SIGCONT)
        await daemon.wait_for("halted")
        if await self.watch.until(lambda look: look.is_covered, SETTLE_S) is None:
            self._report.problems.append(f"frozen: after the thaw not covered: {self.watch.last}")
        self.watch.phase = "running"
        return round((safe - began) * _MS, 1)

    async def judge(self) -> None:
        """Hold the exchange's ledger against both journals."""
        ledger = await self.watch.ledger()
        market = self._stage.market
        with JournalReader.open(self._stage.layout.journal) as journal:
            intents = [order.client_order_id for run in journal.runs(1000) for order in journal.orders(run.run_id)]
        report = self._report
        twice, stray = duplicates(ledger, market), orphans(ledger, market, intents, _guard_orders(self._stage.layout.guard_journal))
        report.duplicates, report.orphans = len(twice), len(stray)
        report.problems += [f"{name} is several orders" for name in twice] + [f"{name} is in no journal" for name in stray]
        if market == "spot" and (left := of_others(ledger, self._stage.lot)) != OWNERS_BTC:
            report.problems.append(f"of the owner's {OWNERS_BTC} BTC {left} are left")
        covers = sorted(self.watch.covers_ms)
        report.fills_covered = len(covers)
        if covers:
            report.fill_to_stop_ms, report.fill_to_stop_p50_ms = round(covers[-1], 1), round(covers[len(covers) // 2], 1)
            report.fill_to_stop_p99_ms = round(covers[min(len(covers) - 1, int(0.99 * len(covers)))], 1)
        report.naked_ms_max = round(self.watch.naked_ms.get("running", 0.0), 1)
        report.naked_worst = self.watch.worst
        report.naked_dead_ms_max = round(self.watch.naked_ms.get("dead", 0.0), 1)

    async def _start(self, **settings: object) -> tuple[Running, float]:
        """Start a daemon and wait for READY; return it and when that was."""
        self.watch.is_idle = True
        daemon = await self._stage.daemon(**settings)
        ready = await daemon.wait_for("ready")
        self.watch.is_idle = False
        return daemon, ready

    async def _ready(self, **settings: object) -> Running:
        daemon, _ = await self._start(**settings)
        await daemon.wait_for("warm start done")
        self.watch.phase = "running"
        with suppress(DrillFailed):
            await self._stage.resume()
        return daemon

    async def _wanted(self, wanted: object, what: str, patience_s: float = 60.0) -> float:
        look = await self.watch.until(wanted, patience_s)
        if look is None:
            raise DrillFailed(f"{what} did not come within {patience_s:.0f} s: {self.watch.last}")
        return look.at

    def _was_cancelled(self) -> bool:
        """Tell whether the journal's last entry was cancelled, not filled, before the halt reached it."""
        with JournalReader.open(self._stage.layout.journal) as journal:
            rows: Sequence[object] = [order.closed for order in journal.orders(journal.runs(1)[0].run_id)]
        return "canceled" in rows


def _guard_orders(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    found = (msgspec.json.decode(line) for line in lines)
    return [line["client_order_id"] for line in found if line["what"] == "order"]


def _rss_mb(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)

"""`kill -9` of live daemons, life after life on one account: at every `await` of the order path, at the exact moments of a request's way to
the exchange and back, and at any moment at all, starts included. The exchange's own ledger judges: no id is two orders, no order without a
durable intent, the position is one, and it has exactly one stop within its limit of the next READY.

`SMARTMONEY_KILLS` says how many for each market, `SMARTMONEY_KILLS_LOG` a folder in which figures are kept: what was killed there before is
not killed again, so that a campaign may be interrupted and goes on.
"""

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from smartmoney.runtime import drill_watch
from smartmoney.runtime.drill_watch import Watch, duplicates, orphans
from tests.waiting import until

from .daemons import environment
from .rehearsals import rehearsal
from .trapped_daemons import Nursery, every_point
from .tripwire import Tripwire

KILLS = int(os.environ.get("SMARTMONEY_KILLS", "25"))
KILLS_A_LEG = 25
"""Then the next exchange and account: a ledger that grows without end would be all that the judge reads."""
PROTECTED_WITHIN_S = 10.0
PATIENCE_S = 120.0
CENSUS_ORDERS = 16
"""A life has met every point of its way by then: entries, stops, exits, cancels, looks and readings."""
SPRUNG_WITHIN_S = 20.0
WIRE = [
    (pattern, nth, phase)
    for nth in (1, 2)
    for pattern in (
        r"^POST .*/order$",
        r"^POST .*/(orderList/oco|algoOrder)$",
        r"^DELETE ",
        r"^GET .*/(openOrders|openAlgoOrders)$",
        r"^GET .*/(myTrades|userTrades)$",
    )
    for phase in ("before", "after", "heard")
]
TURNS = ("await", "wire", "await", "moment", "await at start")


class Log:
    """Keep one line a kill, in a folder that survives the test where one is named."""

    def __init__(self, folder, market):
        self._path = folder / f"kills-{market}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

    def kills(self):
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []

    def add(self, **line):
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


class Lives:
    """Daemons on one account, one after the other."""

    def __init__(self, stage, nursery, folder, watch, wire):
        self.stage, self.nursery, self.folder, self.watch, self.wire = stage, nursery, folder, watch, wire
        self.number = 0
        self.log = folder
        self.armed = folder / "armed"

    def start(self, **traps):
        self.number += 1
        self.log = self.folder / f"life-{self.number}.log"
        self.armed.unlink(missing_ok=True)
        words = ("run", "--live", "-c", self.stage.config, "--state-dir", self.stage.state, "--warm", self.stage.warm)
        self.nursery.start(words, self.log, TRAP_ARMED=str(self.armed), **traps)
        self.watch.is_idle = True

    async def is_ready(self, patience_s=PATIENCE_S):
        """Wait for READY; tell whether it came before an end."""
        end = time.monotonic() + patience_s
        while '"event": "ready"' not in self.said() and '"event":"ready"' not in self.said():
            if self.nursery.code(0) is not None:
                return False
            assert time.monotonic() < end, f"no READY: {self.said()[-3000:]}"
            await asyncio.sleep(0.02)
        self.watch.phase, self.watch.is_idle = "running", False
        return True

    async def ended(self, patience_s):
        """Wait for the end within a patience; return the exit code, None for none."""
        end = time.monotonic() + patience_s
        while True:
            code = self.nursery.code(0)
            if code is not None or time.monotonic() > end:
                return code
            await asyncio.sleep(0.01)

    async def kill(self):
        os.kill(self.nursery.pid, signal.SIGKILL)
        return await self.ended(30)

    def said(self):
        return self.log.read_text() if self.log.exists() else ""

    async def covered(self):
        """Wait for exactly one stop for what is held, within the limit; return how long that took."""
        began = time.monotonic()
        look = await self.watch.until(lambda look: look.is_covered, PROTECTED_WITHIN_S)
        assert look is not None, f"not protected {PROTECTED_WITHIN_S} s after READY: {self.watch.last}; {self.said()[-3000:]}"
        return time.monotonic() - began

    async def judged(self):
        """Hold the ledger against the journal."""
        ledger = await self.watch.ledger()
        return duplicates(ledger, self.stage.market), orphans(ledger, self.stage.market, self.stage.intents(), ())


async def census(lives):
    """Let a daemon live undisturbed and return the points that it passes, with how often."""
    counted = lives.folder / "census.json"
    lives.start(TRAP_CENSUS=str(counted))
    assert await lives.is_ready()

    async def trades():
        return counted.exists() and len(lives.stage.ours(await asyncio.to_thread(lives.stage.ledger))) >= CENSUS_ORDERS

    await until(trades, "it trades", seen=lambda: lives.said()[-3000:], every_s=0.1)
    met = json.loads(counted.read_text())
    assert await lives.kill() == -signal.SIGKILL
    return met


async def killed_once(lives, turn, chance, met, points):
    """Live until a kill of some kind; return what became of it."""
    began = time.monotonic()
    if turn.startswith("await"):
        point, nth = points, chance.randint(1, max(1, min(met[points] // 3, 8)))
        lives.start(TRAP_POINT=point, TRAP_NTH=str(nth))
    else:
        lives.start()
    at_start = turn == "await at start" or (turn == "moment" and chance.random() < 0.4)
    found = {"turn": turn, "point": points if turn.startswith("await") else ""}
    if at_start:
        lives.armed.touch()
        if turn == "moment":
            await asyncio.sleep(chance.uniform(0.0, 4.0))
            await lives.kill()
    if not await lives.is_ready():
        return {**found, "sprung": True, "ready_s": None, "at": "start"}
    ready_s = round(time.monotonic() - began, 2)
    protected_s = round(await lives.covered(), 2)
    if turn == "wire":
        pattern, nth, phase = points
        found["point"] = f"{phase} {pattern} {nth}"
        lives.wire.arm(pattern, nth, phase, lambda: os.kill(lives.nursery.pid, signal.SIGKILL))
    lives.armed.touch()
    code = await lives.ended(chance.uniform(0.2, 3.0) if turn == "moment" else SPRUNG_WITHIN_S)
    if code is None:
        code = await lives.kill()
        found["sprung"] = False
    else:
        found["sprung"] = True
    lives.watch.phase = "dead"
    assert code == -signal.SIGKILL, (code, lives.said()[-3000:])
    return {**found, "ready_s": ready_s, "protected_s": protected_s, "at": "running"}


async def leg(folder, nursery, market, numbers, log):
    """Kill on one fresh account; each kill is one line of the log."""
    with rehearsal(folder, market, seed=3 + numbers[0]) as stage:
        where = urlsplit(stage.here["rest"])
        with Tripwire(where.hostname, where.port) as wire:
            stage.configure(strategy="smartmoney.runtime.drill_strategies:Churn", every=0.5, rest=f"http://127.0.0.1:{wire.port}")
            watch = Watch(stage.spot["rest"], market, stage.lot)
            looking = asyncio.create_task(watch.run())
            lives = Lives(stage, nursery, folder, watch, wire)
            try:
                met = await census(lives)
                awaits = sorted(met)
                random.Random(market).shuffle(awaits)
                for number in numbers:
                    chance = random.Random(number)
                    turn = TURNS[number % len(TURNS)]
                    point = WIRE[number // len(TURNS) % len(WIRE)] if turn == "wire" else awaits[number % len(awaits)]
                    watch.naked_ms.clear()
                    line = await killed_once(lives, turn, chance, met, point)
                    watch.phase = "dead"
                    twice, stray = await lives.judged()
                    log.add(number=number, duplicates=twice, orphans=stray, naked_ms=watch.naked_ms, worst=watch.worst, **line)
                    assert (twice, stray) == ([], []), (number, line)
                await last_life(lives)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


async def last_life(lives):
    """Recover once more, halted, so that nothing but protection may be sent, and hold everything against the ledger."""
    stage = lives.stage
    (stage.state / "HALT").touch()
    lives.start()
    assert await lives.is_ready()
    assert await asyncio.to_thread(stage.settles, PROTECTED_WITHIN_S) == []
    assert stage.open_entries(stage.ledger()) == []
    shown = await asyncio.to_thread(stage.status)
    assert shown["position"] == pytest.approx(float(stage.held(stage.ledger())), abs=1e-12)
    os.kill(lives.nursery.pid, signal.SIGTERM)
    assert await lives.ended(60) == 0


def figures(market, kills):
    """Return a campaign's figures, in words."""
    ready = sorted(kill["ready_s"] for kill in kills if kill["ready_s"] is not None)
    protected = sorted(kill["protected_s"] for kill in kills if kill.get("protected_s") is not None)
    naked = [kill["naked_ms"].get("running", 0.0) for kill in kills]
    turns = {turn: sum(kill["turn"] == turn for kill in kills) for turn in TURNS}
    points = {kill["point"] for kill in kills if kill["sprung"] and kill["turn"].startswith("await")}
    return (
        f"{market}: {len(kills)} kills {turns}, {sum(kill['at'] == 'start' for kill in kills)} of them before READY, at {len(points)} different "
        f"awaits; duplicates {sum(len(kill['duplicates']) for kill in kills)}, orphans {sum(len(kill['orphans']) for kill in kills)}; "
        f"start to READY median {ready[len(ready) // 2]} s, slowest {ready[-1]} s; protected after READY median {protected[len(protected) // 2]} s, "
        f"slowest {protected[-1]} s; naked while running at most {max(naked):.0f} ms"
    )


@pytest.mark.campaign
@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.timeout(20_000)
async def test_killed_anywhere_nothing_is_doubled_lost_or_left_naked(tmp_path, market, monkeypatch):
    # The ledger of a whole leg is long: a look that takes the processor would be all that the machine does.
    monkeypatch.setattr(drill_watch, "LOOK_EVERY_S", 0.1)
    log = Log(Path(os.environ.get("SMARTMONEY_KILLS_LOG", tmp_path / "log")), market)
    with Nursery(environment()) as nursery:
        while (done := len(log.kills())) < KILLS:
            numbers = range(done, min(KILLS, (done // KILLS_A_LEG + 1) * KILLS_A_LEG))
            await leg(tmp_path / f"leg-{done}", nursery, market, numbers, log)
    kills = log.kills()
    print(figures(market, kills))
    assert len(kills) >= KILLS


def test_every_await_of_the_order_path_has_a_name_of_its_own():
    points = every_point()
    assert len(points) > 80
    assert len(set(points)) == len(points)

"""The daemon's side of the heartbeat: a picture of what the guard would have to look after, written while there is progress.

Invariants: a beat says that the event loop turns, that entries are stepped and that the journal takes batches; where one of them stands
still nothing is written, and the lease runs out.
"""

import asyncio
import os
from decimal import Decimal
from pathlib import Path
from typing import Literal

import structlog

from smartmoney.adapters.heartbeat import Carried, Heartbeat, HeartbeatFile, WorkingOrder, boot_id
from smartmoney.core.domain.orders import Purpose
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.market import top_of_book
from smartmoney.runtime.clock import now
from smartmoney.runtime.loop import Loop
from smartmoney.runtime.sender import Sender
from smartmoney.runtime.supervisor import Beat

log = structlog.get_logger("heartbeat")

EVERY_S = 0.5
SENDER_STILL_S_MAX = 2.5
"""The sender turns at least once a second; one that has not for so long waits for a disk."""
_NS = 1_000_000_000


class Heartbeats:
    """Write the beats of one run."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._file = HeartbeatFile(path)
        self._engine = engine
        self._boot = boot_id()
        self._written_ns = 0

    def starting(self) -> None:
        """Say, now and then, that the daemon recovers: the guard then waits longer, and leaves the orders to it."""
        if now().mono_ns - self._written_ns > EVERY_S * _NS:
            self._write("starting", 0)

    def ended(self) -> None:
        """Say that the daemon stopped in order, and close the file."""
        self._write("ended", 0)
        self._file.close()

    def close(self) -> None:
        """Close the file; the last beat goes on to grow old."""
        self._file.close()

    async def run(self, beat: Beat, loop: Loop, sender: Sender) -> None:
        """Write forever."""
        seen = (-1, 0)
        while True:
            beat()
            still_ns = now().mono_ns - sender.turned_mono_ns
            # While a past is looked for there are neither entries nor ticks: the loop turns all the same.
            progress = (loop.seq, loop.turns if self._engine.is_warming else 0)
            if progress != seen and still_ns < SENDER_STILL_S_MAX * _NS:
                seen = progress
                self._write("running" if self._engine.is_reconciled else "starting", loop.seq)
            await asyncio.sleep(EVERY_S)

    def _write(self, state: Literal["starting", "running", "ended"], seq: int) -> None:
        stamp = now()
        self._written_ns = stamp.mono_ns
        engine = self._engine
        beat = Heartbeat(
            state=state,
            pid=os.getpid(),
            run_id=engine.run.run_id,
            mode=engine.run.mode,
            boot=self._boot,
            mono_ns=stamp.mono_ns,
            wall_ns=stamp.wall_ns,
            seq=seq,
            halted=engine.money.state.halted,
            carried=carried(engine),
            orders=working_orders(engine),
        )
        try:
            self._file.write(beat)
        except OSError as error:
            log.error(  # noqa: TRY400 - one line, twice a second
                "the heartbeat could not be written", problem=error.strerror or str(error)
            )


def carried(engine: Engine) -> tuple[Carried, ...]:
    """Return what each instrument holds, and the stop that is in force for it."""
    found = []
    for index, instrument in enumerate(engine.market.instruments):
        # A book of the past that is being folded is no market: a stop must not be laid by it.
        bid, ask = (0, 0) if engine.is_warming else top_of_book(engine.market.states[index])
        stop = engine.executor.plan(index).stop_ticks
        found.append(
            Carried(
                instrument=instrument,
                position=engine.executor.portfolio.position(index).quantity,
                stop=None if stop is None else instrument.price(stop),
                bid=instrument.price(bid) if bid > 0 else None,
                ask=instrument.price(ask) if ask > 0 else None,
            )
        )
    return tuple(found)


def working_orders(engine: Engine) -> tuple[WorkingOrder, ...]:
    """Return the orders that may be at the venue, oldest first."""
    instruments = engine.market.instruments
    return tuple(
        WorkingOrder(
            client_order_id=record.intent.client_order_id,
            symbol=instruments[record.intent.instrument].symbol,
            side=record.intent.side,
            is_entry=record.intent.purpose is Purpose.ENTRY,
            filled=Decimal(record.filled_lots) * instruments[record.intent.instrument].lot_size,
            number=record.venue_order_id,
        )
        for record in engine.executor.ledger.working()
    )

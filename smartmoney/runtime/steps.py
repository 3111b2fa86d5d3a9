"""Steps: items become numbered entries, each is shown to a recorder and stepped, and what the paper venue answers is the next entry.

Invariants: entries are numbered in the order they are stepped, without holes; the recorder has each before the engine sees it.
"""

from collections.abc import Sequence
from typing import Protocol

from smartmoney.core.domain.commands import Command
from smartmoney.core.domain.entries import Entry, EntryKind, Payload
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.gateway import OrderGateway
from smartmoney.runtime.inbox import Item


class Recorder(Protocol):
    """Take every entry, in order, without blocking."""

    def append(self, entry: Entry) -> object:
        """Take one entry."""


class Steps:
    """Step entries one by one; a subclass says in `_stepped` what becomes of the commands."""

    def __init__(self, engine: Engine, recorder: Recorder, gateway: OrderGateway) -> None:
        self._engine = engine
        self._recorder = recorder
        self._gateway = gateway
        self._seq = 0

    @property
    def seq(self) -> int:
        """Return the number of the last entry."""
        return self._seq

    def use_gateway(self, gateway: OrderGateway) -> None:
        """Send orders elsewhere from the next entry on: the paper venue needs books, which the first entry makes."""
        self._gateway = gateway

    def pass_over(self, entries: int) -> None:
        """Number entries that were stepped without being made, because none of them asked for anything."""
        self._seq += entries

    def process(self, item: Item) -> None:
        """Step one item, and whatever the paper venue answers to it."""
        self._step(item.kind, item.stamp, item.connection, item.instrument, item.frame, item.payload)

    def process_folded(self, stamp: Stamp, frame: bytes, folded: int) -> None:
        """Step one frame that is folded already, and whatever the paper venue answers to it."""
        self._step(EntryKind.FRAME, stamp, 0, -1, frame, None, folded)

    def _step(
        self,
        kind: EntryKind,
        stamp: Stamp,
        connection: int,
        instrument: int,
        frame: bytes,
        payload: Payload | None,
        folded: int | None = None,
    ) -> None:
        self._seq += 1
        entry = Entry(
            seq=self._seq,
            kind=kind,
            ts_wall_ns=stamp.wall_ns,
            ts_mono_ns=stamp.mono_ns,
            connection=connection,
            instrument=instrument,
            frame=frame,
            payload=payload,
        )
        self._recorder.append(entry)
        self._stepped(entry, self._engine.step(entry) if folded is None else self._engine.step_folded(entry, folded))
        for reply in self._gateway.advance(entry):
            self._step(EntryKind.EVENT, stamp, 0, -1, b"", reply)

    def _stepped(self, entry: Entry, commands: Sequence[Command]) -> None:
        """Take the commands of one entry."""
        raise NotImplementedError

"""A journal in memory, written by the rows' own writer: what a run would have journaled, to be held against what one did."""

from collections.abc import Sequence

import apsw

from smartmoney.adapters.journal_reader import JournalReader
from smartmoney.adapters.journal_rows import RowWriter, record
from smartmoney.adapters.migrations import migrate
from smartmoney.core.domain.instruments import Instrument


class ShadowJournal:
    """Keep one run's rows in memory. Thinning is the journal's own, so that rows of equal runs are equal."""

    def __init__(self, run_id: str, instruments: Sequence[Instrument]) -> None:
        connection = apsw.Connection(":memory:")
        migrate(connection, 0)
        self._writer = RowWriter(connection, run_id, instruments)
        self.reader = JournalReader(connection)

    def take(self, seq: int, wall_ns: int, item: object) -> None:
        """Journal a command or a reply; anything else is not kept."""
        line = record(seq, wall_ns, item)
        if line is not None and self._writer.wants(line):
            self._writer.write(line)

    def close(self) -> None:
        """Count what was refused; nothing is taken afterwards."""
        self._writer.write_refusal_counts()

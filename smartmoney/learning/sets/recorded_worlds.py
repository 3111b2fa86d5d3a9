"""Worlds that somebody else made: folders written by `smartmoney sim --record`, their capture as rows, their bars as truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.recorded import RecordedCodec, find_instruments, read_files
from smartmoney.learning.sets.folding import FoldedRows
from smartmoney.learning.sets.rows import Rows, RowsRefused
from smartmoney.learning.sets.synthetic import truth_at
from smartmoney.learning.sets.told_worlds import told_at
from smartmoney.simulation.truth import BAR


def world_folders(folder: Path) -> list[Path]:
    """Return the recordings in a folder: itself, or those that lie in it.

    Raises:
        RowsRefused: there is none.
    """
    found = [one for one in (folder, *sorted(folder.iterdir())) if (one / "truth" / "meta.json").is_file()] if folder.is_dir() else []
    if not found:
        raise RowsRefused(f"{folder}: no recording with truth in it; make some with `smartmoney sim --record`")
    return found


def read_world(
    folder: Path, codec: RecordedCodec, parameters: FeatureParameters, store: PreparedRecordings | None = None
) -> Iterator[Rows]:
    """Yield the rows of every instrument of a recording, which is read from its prepared form where there is a store of those.

    Raises:
        RowsRefused: its files are not there; RecordingRefused, OSError: they cannot be read.
    """
    captures = sorted((folder / "feed" / "capture").glob("*.gz"))
    if not captures:
        raise RowsRefused(f"{folder}: no capture in feed/capture; record the world anew")
    for capture in captures:
        symbol, market = capture.name.removesuffix(".gz").rsplit(".", 1)
        instrument = find_instruments([capture], codec, Market(market), store)[0]
        folded = FoldedRows(codec, instrument, parameters)
        problems: list[str] = []
        times, values, mids = folded.run(read_files([capture], problems, store), problems)
        bars = _bars(folder, market, symbol)
        yield Rows(
            name=f"{folder.name}-{symbol}.{market}",
            family=folder.name,
            times=times,
            values=values,
            mid_after=mids,
            truth=truth_at(times, bars, 0),
            extras=told_at(times, bars, 0),
        )


def _bars(folder: Path, market: str, symbol: str) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    from pyarrow import parquet

    files = sorted(folder.glob(f"truth/*/{market}/{symbol}/*/bars.parquet"))
    if not files:
        raise RowsRefused(f"{folder}: no bars of truth for {symbol} {market}; record the world anew, with its truth")
    tables = [parquet.read_table(file) for file in files]
    bars = np.zeros(sum(table.num_rows for table in tables), BAR)
    for name in BAR.names or ():
        bars[name] = np.concatenate([table[name].to_numpy() for table in tables])
    return bars

"""The messages of an exported dataset, read with pyarrow alone: what every engine here is fed with, and how many there are.

A message is one depth update or one trade, in order of receive time; a level is one changed price of a depth update.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pyarrow import parquet


class Messages(NamedTuple):
    """Be one recording: depth rows with the first row of each message, trades, and the grid's decimals."""

    depth: dict[str, Any]
    starts: Any
    trades: dict[str, Any]
    price_decimals: int
    lot_decimals: int

    @property
    def counted(self) -> int:
        """Return how many messages count: depth updates and trades."""
        return int((~self.depth["is_snapshot"][self.starts[:-1]]).sum()) + len(self.trades["trade_id"])

    @property
    def levels(self) -> int:
        """Return how many levels the depth updates change."""
        return int((~self.depth["is_snapshot"]).sum())


def read_messages(root: Path) -> Messages:
    """Read the only instrument of a dataset, all of its days."""
    [folder] = [path for path in root.glob("*/*/*") if path.is_dir()]
    depth, metadata = _columns(folder, "depth")
    trades, _ = _columns(folder, "trades")
    keys = np.stack([depth["ts_wall_ns"], depth["update_id"], depth["is_snapshot"].astype(np.int64)])
    is_new = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    starts = np.concatenate([[0], np.flatnonzero(is_new) + 1, [len(depth["update_id"])]])
    decimals = [max(0, -_exponent(metadata[name].decode())) for name in (b"tick_size", b"lot_size")]
    return Messages(depth, starts, trades, *decimals)


def _columns(folder: Path, table: str) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    files = [parquet.ParquetFile(path) for path in sorted(folder.glob(f"*/{table}.parquet"))]
    tables = [file.read() for file in files]
    names = tables[0].schema.names
    # A book that was carried over midnight repeats what is known.
    kept = [
        np.ones(len(one), bool) if table != "depth" else one["prev_update_id"].to_numpy() != one["update_id"].to_numpy() for one in tables
    ]
    found = {name: np.concatenate([one[name].to_numpy()[rows] for one, rows in zip(tables, kept, strict=True)]) for name in names}
    return found, files[0].schema_arrow.metadata


def _exponent(size: str) -> int:
    return -len(size.partition(".")[2].rstrip("0"))

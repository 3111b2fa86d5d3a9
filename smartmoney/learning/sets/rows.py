"""What a training set holds: a row each second of exchange time, made by the live fold, the mid after the latency, truth if there is any.

Invariants: `mid_after` at row i is the mid that the fold knew `LATENCY_NS` after `times[i]`, so a label made of it can be acted on;
`values` are the features of `times[i]` and of nothing later; truth is all-empty for a recording. A file holds one source and is written
under its name only when it is whole.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH

SECOND_NS = 1_000_000_000
LATENCY_NS = 150_000_000
NO_TRUTH = -1
_EXTRA = "extra."


class RowsRefused(Exception):
    """Say why rows cannot be learned from, and what to do."""

    exit_code = 1


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a synthetic market knows at each row; every array is `(rows,)`.

    `regime` is an index of `simulation.truth.REGIMES`, −1 where nobody knows; `participation` is the informed share of the last 60 s of
    trading, bought minus sold; `informed_buying` and `informed_selling` tell that such a parent is at work; `splitter` is the uninformed
    parents' share of the last 60 s, bought minus sold; `efficient` is the latent price in ticks.
    """

    regime: NDArray[np.int8]
    participation: NDArray[np.float64]
    informed_buying: NDArray[np.bool_]
    informed_selling: NDArray[np.bool_]
    splitter: NDArray[np.float64]
    efficient: NDArray[np.float64]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one source's rows: `times` `(rows,)` ns, `values` `(rows, features)` float32, `mid_after` `(rows,)` ticks (NaN: no book)."""

    name: str
    family: str
    times: NDArray[np.int64]
    values: NDArray[np.float32]
    mid_after: NDArray[np.float64]
    truth: Truth | None
    schema_hash: str = SCHEMA_HASH
    extras: dict[str, NDArray[np.float64]] = {}
    """Further arrays of the source, of any length, by name (what an oracle said)."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.times)


def check_rows(rows: Rows) -> None:
    """Refuse rows that are not what this version's features are.

    Raises:
        RowsRefused: another schema, the wrong number of columns, or times that do not ascend.
    """
    if rows.schema_hash != SCHEMA_HASH:
        raise RowsRefused(
            f"{rows.name}: made with feature schema {rows.schema_hash[:12]}, this version has {SCHEMA_HASH[:12]}; make the rows again"
        )
    if rows.values.shape != (len(rows.times), len(FEATURES)):
        raise RowsRefused(f"{rows.name}: {rows.values.shape} values for {len(rows.times)} rows of {len(FEATURES)} features")
    if np.any(np.diff(rows.times) <= 0):
        raise RowsRefused(f"{rows.name}: times do not ascend; name the files of one session in their order")


def save_rows(rows: Rows, path: Path) -> None:
    """Write rows to one file, whole or not at all."""
    arrays: dict[str, NDArray[Any]] = {"times": rows.times, "values": rows.values, "mid_after": rows.mid_after}
    if rows.truth is not None:
        arrays |= {name: getattr(rows.truth, name) for name in Truth.__struct_fields__}
    arrays |= {_EXTRA + name: array for name, array in rows.extras.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, _about=np.array([rows.name, rows.family, rows.schema_hash]), **arrays)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load_rows(path: Path) -> Rows:
    """Read rows from a file that `save_rows` wrote.

    Raises:
        RowsRefused: it is not such a file, is damaged, or was made with other features.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            name, family, schema_hash = (str(one) for one in found["_about"])
            truth = Truth(**{key: found[key] for key in Truth.__struct_fields__}) if "regime" in found else None
            rows = Rows(
                name=name,
                family=family,
                times=found["times"],
                values=found["values"],
                mid_after=found["mid_after"],
                truth=truth,
                schema_hash=schema_hash,
                extras={key.removeprefix(_EXTRA): found[key] for key in found.files if key.startswith(_EXTRA)},
            )
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RowsRefused(f"{path}: not a file of training rows ({error}); remove it, it is made again") from None
    check_rows(rows)
    return rows

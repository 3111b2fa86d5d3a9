"""A trained decision over many rows at once: what training learns its later stages from is what a live run would have computed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Bundle
from smartmoney.core.models.kernel import decide_table
from smartmoney.core.models.layout import MIND, fresh_mind, lay_out
from smartmoney.core.regime.parameters import RegimeParameters


def decide_rows(
    bundle: Bundle, parameters: RegimeParameters, rows: NDArray[np.float64], times: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.void]]:
    """Return the wide rows (float32[n, columns], in the order of `columns_of`) and the MIND records after each row.

    Stages that the bundle does not have yet are left out: their columns are not numbers (`regime:*` are then the filter's).

    Args:
        bundle: one that `bundle_problem` has nothing against.
        parameters: the configuration's.
        rows: float64[n, features] in schema order, of one instrument.
        times: int64[n], exchange time in ns, rising strictly.

    Raises:
        ValueError: the shapes differ, or time does not rise.
    """
    if rows.ndim != 2 or times.shape != rows.shape[:1] or (len(times) and times[0] <= 0) or np.any(np.diff(times) <= 0):
        raise ValueError("rows and times: one time per row, above 0 and rising")
    layout = lay_out(bundle, parameters)
    table = np.empty((len(rows), len(layout.columns.names)), np.float32)
    told: NDArray[Any] = np.zeros(len(rows), MIND)
    decide_table(fresh_mind(), np.ascontiguousarray(rows), np.ascontiguousarray(times), table, told, *layout.arguments(), layout.unseen())
    return table, told

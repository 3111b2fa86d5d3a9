"""What regimes a bundle told of a world, second by second, beside truth and price: for a picture, thinned."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.learning.evaluation.said import Said
from smartmoney.learning.fitting.stages import TRUTH_TO_REGIME
from smartmoney.learning.sets.rows import Rows

_POINTS = 720
_WARM_S = 300
_REGIMES = tuple(one.value for one in Regime)


class Ribbon(msgspec.Struct, frozen=True, kw_only=True):
    """Show one world: seconds since its beginning, price (None: no book), and the regime by truth ("unknown" where none) and as told."""

    world: str
    seconds: tuple[int, ...]
    price: tuple[float | None, ...]
    truth: tuple[str, ...]
    told: tuple[str, ...]


def ribbons(worlds: Sequence[tuple[Rows, Said]], most: int = 3) -> tuple[Ribbon, ...]:
    """Return ribbons of the worlds whose truth changes most often, one of a family."""
    lively = sorted(worlds, key=lambda one: -_changes(one[0]))
    chosen: dict[str, Ribbon] = {}
    for rows, said in lively:
        if rows.truth is not None and rows.family not in chosen and len(chosen) < most and len(rows) > _WARM_S:
            chosen[rows.family] = _ribbon(rows, said)
    return tuple(chosen.values())


def _changes(rows: Rows) -> int:
    return 0 if rows.truth is None else int((np.diff(rows.truth.regime) != 0).sum())


def _ribbon(rows: Rows, said: Said) -> Ribbon:
    assert rows.truth is not None
    at = np.arange(_WARM_S, len(rows), max(1, (len(rows) - _WARM_S) // _POINTS))
    true = np.where(rows.truth.regime[at] >= 0, TRUTH_TO_REGIME[rows.truth.regime[at]], -1)
    return Ribbon(
        world=rows.name,
        seconds=tuple(((rows.times[at] - rows.times[0]) // 1_000_000_000).tolist()),
        price=tuple(value if np.isfinite(value) else None for value in rows.mid_after[at].tolist()),
        truth=_named(true),
        told=_named(said.label[at]),
    )


def _named(codes: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(_REGIMES[code] if code >= 0 else "unknown" for code in codes.tolist())

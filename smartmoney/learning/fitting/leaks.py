"""Which columns know the future? Each is held by itself against every horizon that is learned, in two ways.

* Its level against the direction of the label: no feature of the present tells minutes apart as well as that. Labels overlap, so where
  few are independent chance alone does, and the limit is raised by what chance allows.
* Its change from row to row against how the mid changes meanwhile at the label's far end. Those changes do not overlap, so an hour's
  recording judges an hour's horizon: a column that holds a future move changes with its end, one of the present has nothing to do with it.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.calibration import weighted_auc
from smartmoney.learning.fitting.heads import HeadRows
from smartmoney.learning.fitting.plan import Sample
from smartmoney.learning.sets.rows import SECOND_NS, Rows

Floats = NDArray[np.float64]

LEAK_FROM = 0.95
"""No feature of the present foretells the direction of minutes with such an AUC: a column that does knows the future. In a market that is
made so that most trades share its drift flow reaches .91 a minute ahead; real ones are far from that."""
LEVEL_SIGMAS = 4.0
"""Standard errors of an AUC of so many independent rows from one half, below which hundreds of columns come by chance."""
AGREES_FROM = 0.75
"""How much the signs of changes may go together; those of a column that is the future move itself do by 1. Drift that somebody plants is
foretold by what changes now, too, by less than half in the surest of the built-in markets."""
AGREES_SIGMAS = 7.0
_ROWS_MIN, _LABELS_MIN = 50, 5.0
_EACH_MIN = 20
"""Changes up, and changes down, of column and mid without which nothing is said."""
_BLOCK = 8_192


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """Name a column that knows the future of a horizon: `auc` of its level (NaN: unknown), `agrees` in −1 … 1 of its changes."""

    column: str
    horizon_s: int
    auc: float
    agrees: float


def find_leaks(sources: Sequence[Rows], made: Sample, rows: HeadRows, names: Sequence[str], horizon_s: int) -> tuple[Leak, ...]:
    """Return the columns of a sample that know the future of one horizon.

    Args:
        sources: what the sample is of.
        made: the sample.
        rows: its labelled rows at the horizon.
        names: of the sample's columns.
        horizon_s: the horizon.
    """
    agrees = agreement(made, *(_mids(sources, made, ahead_s) for ahead_s in (0, horizon_s)))
    found = []
    for k, name in enumerate(names):
        column = made.x[rows.at, k].astype(np.float64)
        area = level_auc(column, rows.up, rows.weight)
        limit = level_limit(float(rows.weight[np.isfinite(column)].sum()))
        if (np.isfinite(area) and max(area, 1.0 - area) >= limit) or np.isfinite(agrees[k]):
            found.append(Leak(column=name, horizon_s=horizon_s, auc=area, agrees=float(agrees[k])))
    return tuple(found)


def level_auc(column: Floats, up: Floats, weight: Floats) -> float:
    """Return the AUC of a column's level `(rows,)` for the direction; NaN where it is known of a handful of rows only."""
    known = np.isfinite(column)
    # A column that is hardly ever known is judged by what it is known of, but not by a handful of rows.
    if known.sum() < _ROWS_MIN or weight[known].sum() < _LABELS_MIN:
        return float("nan")
    return weighted_auc(column, up, weight)


def level_limit(effective: float) -> float:
    """Return the AUC, or one minus it, from which a level is a leak; above 1 where chance gives any with so few independent rows."""
    return max(LEAK_FROM, 0.5 + LEVEL_SIGMAS / float(np.sqrt(3.0 * max(effective, 1e-9))))


def agreement(made: Sample, near: Floats, far: Floats) -> Floats:
    """Return how each column's changes go with the mid's at the far end, `(columns,)`: the correlation of their signs; NaN where no leak.

    Only rows between which the mid moved more at the far end than twice what it did here: a future move is the one less the other.
    """
    first = np.flatnonzero((np.diff(made.source) == 0) & np.isfinite(np.diff(far)) & np.isfinite(np.diff(near)))
    first = first[np.diff(made.times)[first] == np.min(np.diff(made.times)[first], initial=2**62)]
    moves, here = (one[first + 1] - one[first] for one in (far, near))
    counts = (moves != 0.0) & (np.abs(moves) >= 2.0 * np.abs(here))
    first, came = first[counts], np.sign(moves[counts]).astype(np.float32)
    both, ours, theirs, moved = np.zeros((4, made.x.shape[1]))
    for at in range(0, len(first), _BLOCK):
        chosen, then = first[at : at + _BLOCK], came[at : at + _BLOCK]
        with np.errstate(invalid="ignore"):
            changes = np.nan_to_num(np.sign(made.x[chosen + 1] - made.x[chosen]))
        both += then @ changes
        ours += changes.sum(axis=0)
        theirs += then @ np.abs(changes)
        moved += np.abs(changes).sum(axis=0)
    # What hardly ever falls goes with a market that hardly ever falls, and knows nothing of it.
    judged = moved - np.maximum(np.abs(ours), np.abs(theirs)) >= 2.0 * _EACH_MIN
    spread = np.sqrt(np.where(judged, (moved**2 - ours**2) * (moved**2 - theirs**2), np.inf))
    agrees = (both * moved - ours * theirs) / spread
    limit = np.maximum(AGREES_FROM, AGREES_SIGMAS / np.sqrt(np.maximum(moved, 1.0)))
    return np.asarray(np.where(np.abs(agrees) >= limit, agrees, np.nan), np.float64)


def _mids(sources: Sequence[Rows], made: Sample, ahead_s: int) -> Floats:
    """Return the mid in ticks so long after each row of the sample, `(rows,)`; NaN where unknown, and in oracle worlds."""
    found = np.full(len(made.row), np.nan)
    for place, one in enumerate(sources):
        if "target" in one.extras or not len(one):
            continue
        at = np.flatnonzero(made.source == place)
        ends = one.times[made.row[at]] + ahead_s * SECOND_NS
        where = np.minimum(np.searchsorted(one.times, ends), len(one) - 1)
        found[at] = np.where(one.times[where] == ends, one.mid_after[where], np.nan)
    return found

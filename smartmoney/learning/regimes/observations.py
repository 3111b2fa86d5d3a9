"""What the hidden Markov model sees of a second: a few features, signed-log, scaled by a median and a MAD that are frozen in the model.

Few on purpose: regime accuracy falls when dozens of book features join. Invariants: an odd dimension has median 0, so that the mirror of an
observation is its negation; what is not warm is NaN; nothing is beyond ±`Z_MAX`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES
from smartmoney.core.models.bundle import Observed

OBSERVED: tuple[str, ...] = (
    "tfi_120s",
    "ofi_decayed_120s",
    "impact_residual_120s",
    "refill_imbalance_120s",
    "rv_120s",
    "efficiency_120s",
    "liquidity_stress",
    "trade_rate_120s",
)
"""Four odd dimensions (flow of trades and of the book, absorption, refills), four even ones (volatility, efficiency, stress, intensity)."""
Z_MAX = 5.0
_MAD_MIN = 1e-9
_MAD_ROWS_MIN = 100

Floats = NDArray[np.float64]


class ObservationRefused(Exception):
    """Say why no observations can be made of some rows, and what to do."""

    exit_code = 1


def parities(names: Sequence[str] = OBSERVED) -> Floats:
    """Return −1 for each odd dimension and 1 for each even one."""
    return np.array([-1.0 if FEATURES[FEATURE_INDEX[name]].parity == "odd" else 1.0 for name in names])


def fit_scales(values: NDArray[np.float32], names: Sequence[str] = OBSERVED) -> tuple[Observed, ...]:
    """Return the frozen scale of each dimension, from feature rows `(rows, features)`.

    Raises:
        ObservationRefused: a dimension is hardly ever warm, or constant.
    """
    found = []
    for name, parity in zip(names, parities(names), strict=True):
        column = _signed_log(values[:, FEATURE_INDEX[name]])
        known = column[np.isfinite(column)]
        if len(known) < _MAD_ROWS_MIN:
            raise ObservationRefused(
                f"{name}: warm in {len(known)} of {len(column)} rows, {_MAD_ROWS_MIN} are needed; give a longer recording"
            )
        median = 0.0 if parity < 0 else float(np.median(known))
        mad = float(np.median(np.abs(known - median)))
        # The MAD of an odd dimension is about 0: where it stands at 3, that is 3.
        if not (mad > _MAD_MIN and np.ptp(known) > 0.0):
            raise ObservationRefused(f"{name}: constant at {median:g}; a feed that stands still says nothing: give another recording")
        found.append(Observed(feature=name, signed_log=True, median=median, mad=mad))
    return tuple(found)


def observe(values: NDArray[np.float32], scales: Sequence[Observed], z_max: float = Z_MAX) -> Floats:
    """Return `(rows, dimensions)` observations of feature rows."""
    out = np.empty((len(values), len(scales)))
    for k, one in enumerate(scales):
        raw = values[:, FEATURE_INDEX[one.feature]].astype(np.float64)
        out[:, k] = ((_signed_log(raw) if one.signed_log else raw) - one.median) / one.mad
    return np.clip(out, -z_max, z_max)


def stretches(z: Floats, times: NDArray[np.int64], *, still_max: int = 20, least: int = 60, step_ns: int = 1_000_000_000) -> list[slice]:
    """Return the stretches of rows that a model may be fitted on: every dimension known, no hole in time, no feed that stands still.

    A run of more than `still_max` rows in which no dimension changes is a stale feed: it would teach a state of variance nothing.
    """
    if not len(z):
        return []
    usable = np.isfinite(z).all(axis=1)
    same = np.concatenate(([False], (np.diff(z, axis=0) == 0.0).all(axis=1)))
    # Length of the run of unchanged rows that each row ends, spread over the whole run.
    starts = np.flatnonzero(~same)
    lengths = np.diff(np.append(starts, len(z)))
    usable &= ~np.repeat(lengths > still_max, lengths)
    breaks = np.concatenate(([True], np.diff(times) != step_ns))
    number = np.cumsum(breaks | ~usable)
    found = []
    for part in np.split(np.arange(len(z)), np.flatnonzero(np.diff(number)) + 1):
        kept = part[usable[part]]
        if len(kept) >= least:
            found.append(slice(int(kept[0]), int(kept[-1]) + 1))
    return found


def _signed_log(values: NDArray[np.floating]) -> Floats:
    wide = values.astype(np.float64)
    return np.asarray(np.sign(wide) * np.log1p(np.abs(wide)), np.float64)

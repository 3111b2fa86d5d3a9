"""The fourteen acceptance bands: what a synthetic market must look like, and the verdict on what it did look like.

A row is one statistic. Fast ones are judged seed by seed: at least nine of ten must lie inside. Slow ones (`pooled`) are judged once, over
all seeds together, since a day is too short to know them. `real` is what the same code gives on the public recordings of Binance, one value
a session in the order of `realism_recorded.SESSIONS`; a test holds it to that. Where `real` is empty, minutes of recording cannot tell.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

SHARE_MIN = 0.9
"""Eighteen of twenty."""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a statistic and where it must lie; None is no bound. `published` says what was changed of the band as it was proposed."""

    number: int
    key: str
    name: str
    low: float | None = None
    high: float | None = None
    pooled: bool = False
    real: tuple[float, ...] = ()
    published: str = ""

    def contains(self, value: float) -> bool:
        """Tell whether a value lies inside; what is not known does not."""
        return math.isfinite(value) and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


BANDS: tuple[Band, ...] = (
    Band(
        number=1, key="return_acf_1", name="return ACF 1 s, lag 1", low=-0.10, high=0.10, real=(-0.091, -0.004, 0.014, 0.048, 0.136, 0.182)
    ),
    Band(
        number=1,
        key="return_acf_2_30",
        name="return ACF 1 s, largest of lags 2-30",
        high=0.05,
        real=(0.158, 0.127, 0.093, 0.065, 0.096, 0.073),
    ),
    Band(number=2, key="kurtosis_1min", name="excess kurtosis, 1 min", low=3.0, high=50.0, pooled=True),
    Band(number=2, key="kurtosis_rise", name="largest rise of kurtosis, 1 to 5 to 30 min", high=0.0, pooled=True),
    Band(number=2, key="hill", name="Hill index of 1 min moves", low=2.5, high=4.5, pooled=True),
    Band(number=3, key="abs_acf_1min", name="ACF of 1 min |r|, 1 min", low=0.1, high=0.4, pooled=True),
    Band(number=3, key="abs_acf_30min", name="ACF of 1 min |r|, 30 min", low=0.03, high=0.2, pooled=True),
    Band(
        number=4,
        key="sign_acf_1",
        name="sign ACF C(1), merged orders",
        low=0.05,
        high=0.40,
        real=(-0.045, 0.090, 0.080, 0.333, 0.169, 0.288),
        published=".2-.7 for single fills",
    ),
    Band(
        number=4,
        key="sign_decay",
        name="decay exponent of the sign ACF",
        low=0.3,
        high=0.95,
        real=(0.305, 0.467, 0.925, 0.886, 0.826, 0.795),
        published=".3-.8 for single fills",
    ),
    Band(number=4, key="sign_acf_100", name="sign ACF C(100)", low=0.01, real=(0.014, 0.017, 0.011, -0.021, 0.009, 0.024)),
    Band(
        number=5,
        key="one_tick_share",
        name="share of one-tick spreads",
        low=0.85,
        high=0.97,
        real=(0.942, 0.993, 0.953, 0.950, 0.893, 0.882),
    ),
    Band(number=6, key="ofi_r2_same", name="R² of OFI, same second", low=0.35, high=0.80, real=(0.536, 0.346, 0.536, 0.508, 0.404, 0.551)),
    Band(number=6, key="ofi_r2_next", name="R² of OFI, next second", high=0.06, real=(0.000, 0.017, 0.004, 0.020, 0.062, 0.056)),
    Band(
        number=7, key="qi_auc_1s", name="AUC of queue imbalance, 1 s", low=0.65, high=0.86, real=(0.811, 0.907, 0.709, 0.795, 0.866, 0.783)
    ),
    Band(number=7, key="qi_auc_5s", name="AUC of queue imbalance, 5 s", high=0.65, real=(0.619, 0.698, 0.530, 0.636, 0.622, 0.600)),
    Band(
        number=8,
        key="arrival_cv",
        name="CV of time between merged orders",
        low=1.15,
        real=(1.202, 1.269, 1.212, 1.618, 1.376, 1.527),
        published="above 1.5 for single fills",
    ),
    Band(
        number=8,
        key="branching",
        name="branching ratio, 10 s counts",
        low=0.55,
        high=0.95,
        real=(0.790, 0.656, 0.595, 0.631, 0.727, 0.767),
        published=".6-.95 for single fills",
    ),
    Band(number=9, key="impact_exponent", name="exponent of impact", low=0.4, high=0.6, pooled=True),
    Band(number=9, key="impact_decades", name="decades of size it is fitted over", low=1.5, pooled=True),
    Band(number=9, key="impact_prefactor", name="prefactor of impact", low=0.5, high=1.5, pooled=True),
    Band(number=9, key="impact_left", name="left of the impact at twice the time", low=0.5, high=0.8, pooled=True),
    Band(
        number=10,
        key="volume_volatility",
        name="volume-volatility correlation, 10 s",
        low=0.3,
        high=0.8,
        real=(0.837, 0.685, 0.307, 0.473, 0.654, 0.402),
    ),
    Band(number=11, key="cancelled_share", name="cancelled share of limit lots", low=0.85, real=(0.983, 0.993, 0.993, 0.999, 0.983, 0.992)),
    Band(number=12, key="variance_ratio", name="RV(1 s) / RV(5 min)", low=0.8, high=1.4, pooled=True),
    Band(number=13, key="likeness", name="two-sample AUC against the recordings", high=0.81, real=(0.763,)),
    Band(number=14, key="leak", name="detector's AUC interval off .50 by", high=0.0, pooled=True),
)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Judge one statistic. `values` are the seeds', None where unknown; `share_inside` is of all seeds; `judged` is the pooled value."""

    number: int
    key: str
    name: str
    low: float | None
    high: float | None
    values: tuple[float | None, ...]
    share_inside: float
    real: float | None
    real_by_session: tuple[float, ...]
    pooled: bool
    judged: float | None
    passes: bool
    published: str
    reason: str
    """Why it fails or cannot be said; empty where it passes."""


def judge(band: Band, values: Sequence[float], pooled: float, unmeasured: str = "") -> Verdict:
    """Return the verdict on one band: from the seeds' values, or from the pooled one. `unmeasured` says why there is none."""
    inside = [band.contains(value) for value in values]
    share = sum(inside) / len(inside) if inside else 0.0
    passes = band.contains(pooled) if band.pooled else share >= SHARE_MIN
    return Verdict(
        number=band.number,
        key=band.key,
        name=band.name,
        low=band.low,
        high=band.high,
        values=tuple(_known(value) for value in values),
        share_inside=share,
        real=float(np.median(band.real)) if band.real else None,
        real_by_session=band.real,
        pooled=band.pooled,
        judged=_known(pooled) if band.pooled else None,
        passes=passes,
        published=band.published,
        reason="" if passes else unmeasured or _miss(band, values, pooled, share),
    )


def judge_all(values: Sequence[Mapping[str, float]], pooled: Mapping[str, float], unmeasured: Mapping[str, str]) -> tuple[Verdict, ...]:
    """Return the verdict on every band, in order."""
    nan = float("nan")
    return tuple(
        judge(band, [one.get(band.key, nan) for one in values], pooled.get(band.key, nan), unmeasured.get(band.key, "")) for band in BANDS
    )


def bounds_text(low: float | None, high: float | None) -> str:
    """Return a band as text."""
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def _miss(band: Band, values: Sequence[float], pooled: float, share: float) -> str:
    if band.pooled:
        return f"pooled {pooled:.3g}, must be {bounds_text(band.low, band.high)}" if math.isfinite(pooled) else "too little to measure it"
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "too little to measure it"
    return f"{share:.0%} of seeds inside, {SHARE_MIN:.0%} wanted; median {np.median(known):.3g}, must be {bounds_text(band.low, band.high)}"


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

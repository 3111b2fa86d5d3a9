"""Measure the public oracle on many worlds: AUC, d′, CUSUM delay, obvious detectors, each with a bootstrap interval over worlds."""

import math
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.simulation.oracle_score import DAY_S, WindowScore, alarm, climb, quiet_peaks, score_windows, threshold_of
from smartmoney.simulation.oracle_world import KINDS, OracleWorld

REPLICATES = 400
_TAIL = 2.5
_DEFAULTS: dict[str, dict[str, Any]] = {
    "poisson": {"target_per_s": 0.4, "window_s": 120.0},
    "twap": {"target_per_s": 0.15, "window_s": 45.0},
    "iceberg": {"refill_target": 0.3, "window_s": 45.0},
    "jittered": {"target_per_s": 0.3, "window_s": 60.0},
}
"""Strength and window per kind, so that the oracle's AUC lies within [.70, .97], where efficiency can be scored."""

Interval = tuple[float, float]


class Measured(msgspec.Struct, frozen=True):
    """Be a figure and its 95 % bootstrap interval."""

    value: float
    interval: Interval


class Delay(msgspec.Struct, frozen=True):
    """Be how soon the CUSUM's alarm comes at one false alarm per 24 hours. Seconds; infinite where fewer than half were caught."""

    threshold: Measured
    quiet_days: float
    worlds: int
    lasts_s: float
    median_s: Measured
    caught_share: float
    right_side_share: float


class OracleReport(msgspec.Struct, frozen=True):
    """Be the oracle's scores on one kind of world. `told` scores are given the target's side, as the detectors below them are."""

    kind: str
    world: OracleWorld
    worlds: int
    seed: int
    participation: float
    events_per_s: float
    auc: Measured
    d_prime: Measured
    auc_told: Measured
    d_prime_told: Measured
    auc_imbalance: Measured
    auc_sign_cusum: Measured
    gain_over_detectors: Measured
    mean_ratio_h0: float
    delay: Delay | None


def default_world(kind: str) -> OracleWorld:
    """Return the world of a kind that `smartmoney sim oracle` scores.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is no kind of target; there are {', '.join(KINDS)}")
    return OracleWorld(kind=kind, **_DEFAULTS[kind])


def report(world: OracleWorld, *, worlds: int, seed: int, quiet_days: float, lasts_s: float = 1800.0) -> OracleReport:
    """Score so many worlds of each hypothesis; with `quiet_days` above 0 also the delay, on as many worlds."""
    without = score_windows(world, seed, worlds, under_h1=False)
    with_target = score_windows(world, seed, worlds, under_h1=True)
    scores = {name: (_column(without, name), _column(with_target, name)) for name in ("llr", "llr_told", "imbalance", "sign_cusum")}
    rng = np.random.default_rng(seed)
    picks = [(rng.integers(0, worlds, worlds), rng.integers(0, worlds, worlds)) for _ in range(REPLICATES)]
    aucs = {name: np.array([auc(h0[i], h1[j]) for i, j in picks]) for name, (h0, h1) in scores.items()}
    values = {name: auc(*pair) for name, pair in scores.items()}
    best = max("imbalance", "sign_cusum", key=values.__getitem__)
    return OracleReport(
        kind=world.kind,
        world=world,
        worlds=worlds,
        seed=seed,
        participation=world.participation,
        events_per_s=world.events_per_s,
        auc=_measured(values["llr"], aucs["llr"]),
        d_prime=_measured(d_prime(values["llr"]), [d_prime(a) for a in aucs["llr"]]),
        auc_told=_measured(values["llr_told"], aucs["llr_told"]),
        d_prime_told=_measured(d_prime(values["llr_told"]), [d_prime(a) for a in aucs["llr_told"]]),
        auc_imbalance=_measured(values["imbalance"], aucs["imbalance"]),
        auc_sign_cusum=_measured(values["sign_cusum"], aucs["sign_cusum"]),
        gain_over_detectors=_measured(
            values["llr_told"] - values[best], aucs["llr_told"] - np.maximum(aucs["imbalance"], aucs["sign_cusum"])
        ),
        mean_ratio_h0=float(np.exp(scores["llr"][0]).mean()),
        delay=_delay(world, worlds, seed, quiet_days, lasts_s, rng) if quiet_days > 0 else None,
    )


def _column(scores: list[WindowScore], name: str) -> npt.NDArray[np.float64]:
    return np.array([getattr(score, name) for score in scores], np.float64)


def auc(without: npt.NDArray[np.float64], with_target: npt.NDArray[np.float64]) -> float:
    """Return P(a world with a target scores higher than one without), ties counting half."""
    order = np.sort(without)
    below, up_to = np.searchsorted(order, with_target, side="left"), np.searchsorted(order, with_target, side="right")
    return float((below + up_to).mean() / (2.0 * len(without)))


def d_prime(area: float) -> float:
    """Return the separation of two unit normals that would have this AUC: √2 Φ⁻¹(AUC)."""
    if area <= 0.0 or area >= 1.0:
        return math.copysign(math.inf, area - 0.5)
    return math.sqrt(2.0) * NormalDist().inv_cdf(area)


def _measured(value: float, replicates: Any) -> Measured:
    # A whole quantile of replicates, as infinite ones must not be averaged with finite ones.
    low, high = np.percentile(np.asarray(replicates, np.float64), [_TAIL, 100.0 - _TAIL], method="nearest")
    return Measured(float(value), (float(low), float(high)))


def _delay(world: OracleWorld, worlds: int, seed: int, days: float, lasts_s: float, rng: np.random.Generator) -> Delay:
    peaks = quiet_peaks(world, seed * 1_000_003 + 500_009, days * DAY_S)
    climbs = [climb(world, seed * 1_000_003 + 600_011 + n, n % 2, lasts_s) for n in range(worlds)]
    height = threshold_of(peaks[:, 1], days)
    alarms = [alarm(highs, height) for highs in climbs]
    delays = np.array([delay for delay, _ in alarms])
    caught = np.isfinite(delays)
    # Quiet time is drawn again in blocks of an hour, worlds whole: both uncertainties are in the interval.
    hours = max(1, math.ceil(days * 24))
    by_hour = [peaks[(peaks[:, 0] // 3.6e12).astype(np.int64) == hour, 1] for hour in range(hours)]
    heights, medians = [], []
    for _ in range(REPLICATES):
        again = threshold_of(np.concatenate([by_hour[h] for h in rng.integers(0, hours, hours)]), days)
        heights.append(again)
        medians.append(_median([alarm(climbs[n], again)[0] for n in rng.integers(0, worlds, worlds)]))
    return Delay(
        threshold=_measured(height, heights),
        quiet_days=days,
        worlds=worlds,
        lasts_s=lasts_s,
        median_s=_measured(_median(delays), medians),
        caught_share=float(caught.mean()),
        right_side_share=float(np.mean([side == n % 2 for n, (_, side) in enumerate(alarms) if caught[n]])) if caught.any() else math.nan,
    )


def _median(delays: Any) -> float:
    """Return the lower median, which is infinite once half of the worlds were missed."""
    ordered = np.sort(np.asarray(delays, np.float64))
    return float(ordered[(len(ordered)) // 2])

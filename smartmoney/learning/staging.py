"""What the stages before the forests say of past rows: filtered posterior, its entropy and age, means over the window. Many sources at once.

The formulas are those of the bundle's format (`core/models/bundle.py`); a test holds them against the compiled ones of the daemon.
Invariants: causal, a later row changes no earlier one; sources do not touch each other; a hole in time is crossed with a power of the
transitions, and what is not known is left out of its bar.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.interactions import Interaction, compute
from smartmoney.core.models.bundle import HiddenMarkov
from smartmoney.core.models.columns import AGE_S_MAX
from smartmoney.learning.regimes.observations import observe
from smartmoney.learning.sets.rows import SECOND_NS, Rows

Floats = NDArray[np.float64]
REGIMES = tuple(Regime)


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one source's stage outputs, each `(rows, …)`: states' and regimes' posterior, entropy (nats), age (s), means over the window."""

    states: Floats
    regimes: Floats
    entropy: Floats
    age_s: Floats
    window: Floats


def stage(sources: Sequence[Rows], hmm: HiddenMarkov, feature_window: int) -> list[Staged]:
    """Return the stage outputs of every source. Cost: some 40 µs per second of the longest source, whatever the number of sources."""
    observed = [observe(one.values, hmm.observed, hmm.z_max) for one in sources]
    posteriors = filtered(observed, [one.times for one in sources], hmm)
    belongs = np.array([[name is regime for regime in REGIMES] for name in hmm.names], np.float64)
    found = []
    for rows, z, states in zip(sources, observed, posteriors, strict=True):
        regimes = states @ belongs
        found.append(
            Staged(
                states=states,
                regimes=regimes,
                entropy=entropy_of(regimes),
                age_s=_ages(regimes, rows.times),
                window=window_means(z, rows.times, feature_window, hmm.bar_s),
            )
        )
    return found


def filtered(observed: Sequence[Floats], times: Sequence[NDArray[np.int64]], hmm: HiddenMarkov) -> list[Floats]:
    """Return the forward filter's posterior `(rows, states)` of every source: p ∝ (Aᵏᵀp) ∘ exp(ℓ/τ), ℓ bounded to `spread_max` below its best.

    The row-wise log-likelihoods leave out what is NaN. Equal to hmmlearn's last row at τ = 1 without bound and holes (a test).
    """
    longest = max((len(one) for one in observed), default=0)
    count, states = len(observed), len(hmm.names)
    means, variances = np.array(hmm.means), np.array(hmm.variances)
    moves = np.array(hmm.transitions)
    out = np.zeros((count, longest, states))
    p = np.tile(np.array(hmm.start), (count, 1))
    likelihood = np.zeros((count, longest, states))
    bars = np.ones((count, longest), np.int64)
    for k, (z, at) in enumerate(zip(observed, times, strict=True)):
        likelihood[k, : len(z)] = _log_likelihoods(z, means, variances)
        bars[k, 1 : len(z)] = np.maximum(np.rint(np.diff(at) / (hmm.bar_s * SECOND_NS)), 1).astype(np.int64)
    if hmm.spread_max is not None:
        likelihood = np.maximum(likelihood, likelihood.max(axis=2, keepdims=True) - hmm.spread_max)
    likelihood = np.exp((likelihood - likelihood.max(axis=2, keepdims=True)) / hmm.temper)
    powers: dict[int, Floats] = {1: moves}
    for t in range(longest):
        if t:
            moved = p @ moves
            for k in np.flatnonzero(bars[:, t] > 1):
                step = int(bars[k, t])
                if step not in powers:
                    powers[step] = np.linalg.matrix_power(moves, step)
                moved[k] = p[k] @ powers[step]
            p = moved
        p = p * likelihood[:, t]
        p /= p.sum(axis=1, keepdims=True)
        out[:, t] = p
    return [out[k, : len(z)] for k, z in enumerate(observed)]


def entropy_of(posterior: Floats) -> Floats:
    """Return the entropy of each row in nats."""
    return np.asarray(-(posterior * np.log(np.maximum(posterior, 1e-300))).sum(axis=1), np.float64)


def window_means(z: Floats, times: NDArray[np.int64], feature_window: int, bar_s: float = 1.0) -> Floats:
    """Return each dimension's exponential mean, weight 2/(window + 1) a bar, from its first known value on; NaN before it."""
    out = np.full_like(z, np.nan)
    mean = np.full(z.shape[1], np.nan)
    keep = np.exp(-2.0 / (feature_window + 1.0))
    bars = np.concatenate(([1.0], np.maximum(np.rint(np.diff(times) / (bar_s * SECOND_NS)), 1.0))) if len(times) else np.empty(0)
    for t in range(len(z)):
        new = z[t]
        weight = keep ** bars[t]
        mean = np.where(np.isnan(new), mean, np.where(np.isnan(mean), new, weight * mean + (1.0 - weight) * new))
        out[t] = mean
    return out


def wide(rows: Rows, staged: Staged, chosen: NDArray[np.int64], products: Sequence[Interaction]) -> NDArray[np.float32]:
    """Return the columns that forests read of chosen rows: features, products, window means, the filter's regimes, entropy and age."""
    values = rows.values[chosen]
    parts = [values]
    if products:
        parts.append(compute(values.astype(np.float64), products))
    parts += [staged.window[chosen], staged.regimes[chosen], staged.entropy[chosen, None], staged.age_s[chosen, None]]
    return np.concatenate([np.asarray(part, np.float32) for part in parts], axis=1)


def _log_likelihoods(z: Floats, means: Floats, variances: Floats) -> Floats:
    out = np.zeros((len(z), len(means)))
    known = np.isfinite(z)
    filled = np.where(known, z, 0.0)
    for k, (mean, variance) in enumerate(zip(means, variances, strict=True)):
        each = -0.5 * (np.log(2.0 * np.pi * variance) + (filled - mean) ** 2 / variance)
        out[:, k] = np.where(known, each, 0.0).sum(axis=1)
    return out


def _ages(regimes: Floats, times: NDArray[np.int64]) -> Floats:
    """Return for how many seconds each row's likeliest regime has been the same, at most `AGE_S_MAX`."""
    if not len(regimes):
        return np.empty(0)
    best = regimes.argmax(axis=1)
    changed = np.concatenate(([True], best[1:] != best[:-1]))
    since = np.maximum.accumulate(np.where(changed, times, times[0]))
    return np.minimum((times - since) / SECOND_NS, AGE_S_MAX).astype(np.float64)

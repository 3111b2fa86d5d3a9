"""The hidden Markov model's forward filter, one bar at a time: the posterior given everything up to this bar, and nothing after it.

p <- (p A^k) * exp(l / temper), l bounded to `spread_max` below the best state's. k is the number of bars since the last one: what was
missed is unknown, not unchanged. A dimension without a number is left out. Equal to the last row of hmmlearn's `predict_proba` over the
same bars where temper is 1, nothing is bounded and nothing is missing; hmmlearn's earlier rows look ahead.

Invariants: mirroring buys and sells mirrors the posterior bit for bit, because sums run over pairs of mirrored states.
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner

STATES, DIMENSIONS, POWERS = 16, 12, 21
"""Capacity of a record; gaps count up to 2^POWERS - 1 bars (twelve days of seconds)."""

FILTER = [
    ("states", "<i8"),
    ("dimensions", "<i8"),
    ("column", "<i8", DIMENSIONS),
    ("signed_log", "<i8", DIMENSIONS),
    ("median", "<f8", DIMENSIONS),
    ("mad", "<f8", DIMENSIONS),
    ("z_max", "<f8"),
    ("mean", "<f8", (STATES, DIMENSIONS)),
    ("precision", "<f8", (STATES, DIMENSIONS)),
    ("log_norm", "<f8", (STATES, DIMENSIONS)),
    ("power", "<f8", (POWERS, STATES, STATES)),
    ("start", "<f8", STATES),
    ("regime", "<i8", STATES),
    ("pairs", "<i8"),
    ("one", "<i8", STATES),
    ("other", "<i8", STATES),
    ("temper", "<f8"),
    ("spread_max", "<f8"),
    ("bar_ns", "<i8"),
]
"""Fields of the model record: `power[b]` is A^(2^b); state `one[q]` is the mirror of `other[q]`, the same for those that have none."""

FILTERED = [("bar", "<i8"), ("posterior", "<f8", STATES), ("prior", "<f8", STATES), ("z", "<f8", DIMENSIONS), ("log", "<f8", STATES)]
"""Fields of an instrument's record: the bar last seen (0: none), the posterior, and scratch."""


@inner
def observe(m: Any, s: Any, row: Any) -> None:
    """Write the observation of a feature row to s.z; what is not a number stays one."""
    for d in range(m.dimensions):
        value = row[m.column[d]]
        if m.signed_log[d] != 0:
            value = math.copysign(math.log1p(abs(value)), value)
        z = (value - m.median[d]) / m.mad[d]
        s.z[d] = min(max(z, -m.z_max), m.z_max) if math.isfinite(z) else math.nan


@inner
def filter_bar(m: Any, s: Any, bar: int) -> None:
    """Take s.z as the observation of a bar later than s.bar; write s.posterior and s.bar. Cost: below 1 µs."""
    _predict(m, s, bar)
    best = -math.inf
    for i in range(m.states):
        likelihood = 0.0
        for d in range(m.dimensions):
            if math.isfinite(s.z[d]):
                off = s.z[d] - m.mean[i, d]
                likelihood += m.log_norm[i, d] - 0.5 * off * off * m.precision[i, d]
        s.log[i] = likelihood
        best = max(best, likelihood)
    top = -math.inf
    for i in range(m.states):
        bounded = max(s.log[i] - best, -m.spread_max) / m.temper
        s.log[i] = bounded + (math.log(s.prior[i]) if s.prior[i] > 0.0 else -math.inf)
        top = max(top, s.log[i])
    for i in range(m.states):
        s.prior[i] = math.exp(s.log[i] - top)
    total = pair_sum(m, s.prior)
    for i in range(m.states):
        s.posterior[i] = s.prior[i] / total
    s.bar = bar


@inner
def _predict(m: Any, s: Any, bar: int) -> None:
    """Write what is known of the states before a bar is seen to s.prior."""
    if s.bar == 0:
        for i in range(m.states):
            s.prior[i] = m.start[i]
        return
    for i in range(m.states):
        s.prior[i] = s.posterior[i]
    left = min(bar - s.bar, (1 << POWERS) - 1)
    for b in range(POWERS):
        if (left >> b) & 1 != 0:
            for j in range(m.states):
                total = 0.0
                for q in range(m.pairs):
                    i, k = m.one[q], m.other[q]
                    term = s.prior[i] * m.power[b, i, j]
                    total += term + s.prior[k] * m.power[b, k, j] if i != k else term
                s.log[j] = total
            for j in range(m.states):
                s.prior[j] = s.log[j]


@inner
def pair_sum(m: Any, values: Any) -> float:
    """Return the sum over states, mirrored ones together: the mirror does not change a bit of it."""
    total = 0.0
    for q in range(m.pairs):
        i, k = m.one[q], m.other[q]
        total += values[i] + values[k] if i != k else values[i]
    return total


def transition_powers(transitions: Any, one: Any, other: Any) -> Any:
    """Return A^(2^b) for b = 0..POWERS-1, float64[POWERS, K, K], summed over pairs, rows scaled to sum to 1."""
    power = np.empty((POWERS, *np.shape(transitions)))
    power[0] = transitions
    for b in range(1, POWERS):
        before, total = power[b - 1], np.zeros(np.shape(transitions))
        for i, k in zip(one, other, strict=True):
            term = before[:, i, None] * before[None, i, :]
            total = total + (term + before[:, k, None] * before[None, k, :] if i != k else term)
        rows = np.zeros(len(total))
        for i, k in zip(one, other, strict=True):
            rows = rows + (total[:, i] + total[:, k] if i != k else total[:, i])
        power[b] = total / rows[:, None]
    return power

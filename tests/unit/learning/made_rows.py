"""Rows that follow a hidden state, made without a market: quick, and with an answer that is known."""

import numpy as np

from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES
from smartmoney.learning.regimes.observations import OBSERVED
from smartmoney.learning.regimes.states import prototypes, states_for
from smartmoney.learning.sets.rows import SECOND_NS, Rows, Truth

STATES = states_for(5)
STATE_TO_TRUTH = np.array([1, 2, 3, 3, 0, 4])
DIRECTION = np.array([1.0, -1.0, 1.0, -1.0, 0.0, 0.0])
START_NS = 1_735_689_600_000_000_000


def made_rows(seed, family="one", seconds=3600, *, truth=True, drift_bps=0.25, dwell=90, name=None):
    """Return rows whose observed features show the state, and whose mid drifts with it."""
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.integers(0, 6, -(-seconds // dwell)), dwell)[:seconds]
    values = rng.standard_normal((seconds, len(FEATURES))).astype(np.float32)
    # What a bounded feature cannot be, a row does not have.
    for column, feature in enumerate(FEATURES):
        low, high = feature.bounds
        if low is not None:
            values[:, column] = (
                np.abs(values[:, column]) if high is None else np.tanh(np.abs(values[:, column]) if low == 0 else values[:, column])
            )
    shown = prototypes(STATES)[state] + 0.5 * rng.standard_normal((seconds, len(OBSERVED)))
    for k, feature in enumerate(OBSERVED):
        even = FEATURES[FEATURE_INDEX[feature]].parity == "even"
        z = 0.3 * shown[:, k] + (2.0 if even else 0.0)
        values[:, FEATURE_INDEX[feature]] = np.sign(z) * np.expm1(np.abs(z))
    values[:, FEATURE_INDEX["sigma_bar_bps"]] = 4.0 + np.abs(rng.standard_normal(seconds))
    values[:, FEATURE_INDEX["spread_bps"]] = 0.1
    moves = drift_bps * DIRECTION[state] + 0.5 * rng.standard_normal(seconds)
    mid = 60_000.0 * np.exp(np.cumsum(moves) * 1e-4)
    known = None
    if truth:
        regime = STATE_TO_TRUTH[state].astype(np.int8)
        known = Truth(
            regime=regime,
            participation=0.2 * DIRECTION[state] * (regime < 3),
            informed_buying=state == 0,
            informed_selling=state == 1,
            splitter=np.zeros(seconds),
            efficient=mid * (1.0 + 1e-3 * DIRECTION[state]),
        )
    times = START_NS + SECOND_NS * np.arange(seconds, dtype=np.int64)
    return Rows(name=name or f"{family}-{seed}", family=family, times=times, values=values, mid_after=mid, truth=known)

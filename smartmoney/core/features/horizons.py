"""The half-lives that every decayed sum is kept at, when such a sum is warm, and constants of time that several groups share.

Invariants: a decayed sum is a row of `HORIZONS` numbers, one per half-life, in the order of `HALF_LIVES_S`; to decay it is to multiply it
by a row of factors. Indexes are 64-bit integers, so that kernels take them as arguments without being compiled again for each.
"""

import math

import numpy as np

from smartmoney.core.book.typed import int64

HALF_LIVES_S = (1.0, 10.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
HORIZONS = len(HALF_LIVES_S)
H1 = int64(0)
H10 = int64(1)
H60 = int64(2)
H120 = int64(3)
H300 = int64(4)
H600 = int64(5)
H1800 = int64(6)
H3600 = int64(7)

RATES = np.array([math.log(2.0) / half_life for half_life in HALF_LIVES_S])
"""Natural decay rates per second, in the order of `HALF_LIVES_S`."""
PER_BAR = 1.0 - 2.0 ** (-1.0 / np.array(HALF_LIVES_S))
"""What one second weighs, long after the start: 1 over the decayed number of seconds."""

WARM_EVENTS = 50
"""Book frames, public trades or aggressors' orders that a feature must have seen."""
WARM_COVER = 1.0 - 2.0 ** (-np.array([max(10.0, h / 2.0) for h in HALF_LIVES_S]) / np.array(HALF_LIVES_S)) - 1e-9
"""Weight of max(10 s, H/2) of input without interruption, per half-life."""

COVERS = 3
COVER_BOOK = int64(0)
"""Time with a valid top since the book was last dropped."""
COVER_KEPT = int64(1)
"""Time with a valid top, drops notwithstanding."""
COVER_TRADE = int64(2)
"""Time in which no trade can have been missed."""

SECOND_NS = 1_000_000_000
TEN_SECONDS_NS = 10 * SECOND_NS
MERGE_NS = 10_000_000
"""Fills of one aggressor follow each other within this time."""
PENDING_NS = 300_000_000
"""A trade explains a smaller queue at its price, or a refilled one, for so long."""
DISTANCE_SCALE_BPS = 2.0
DISTANCE_MAX_BPS = 50.0
"""Beyond it a change weighs less than 2e-11 and is left out."""
NEAR_BPS = 10.0
"""Adds and cancels count this near to the mid."""
TINY = 1e-9
"""A decayed volume below it is none: a ratio of flows is 0 then."""

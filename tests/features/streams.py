"""Event streams for the feature kernels: random ones, their mirror image, and the compiled way through the kernels' hooks.

A stream is an int64 array of rows: kind, time, side or sign, tick, lots. LEVEL rows belong to the FRAME row that follows them and carry its
time.
"""

import fcntl
import os
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from numba import njit

from smartmoney.core.book.kernel import clear, level_lots, set_level
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.kernel import on_book, on_frame, on_level, on_reset, on_trade
from smartmoney.core.features.parameters import FeatureParameters, ImbalanceParameters, LiquidityParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import COLUMNS
from smartmoney.core.features.state import STATE, configure

LEVEL, FRAME, TRADE, RESET = range(4)
REFERENCE = 20_000
START = 1_700_000_000_123_000_000
MS = 1_000_000
SCRATCH = ("f_keep", "f_aged", "f_known", "f_read_ns", "f_level_ticks", "f_level_lots")
INSTRUMENT = Instrument(
    venue="x", market=Market.SPOT, symbol="AB", name="A/B", base="A", quote="B", tick_size=Decimal("0.05"), lot_size=Decimal("0.001")
)
PARAMETERS = FeatureParameters(
    imbalance=ImbalanceParameters(max_depth_levels=4, momentum_window=5, min_update_interval=0.7),
    liquidity=LiquidityParameters(spread_window=6, depth_levels=3, update_frequency=2.5, order_notional_max=40.0),
    large_order_threshold=2.0,
    bar_s=60.0,
)
LAWS = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@njit(cache=True)
def _apply(states, rows):
    s = states[0]
    for k in range(len(rows)):
        kind, ts, side, tick, lots = rows[k, 0], rows[k, 1], rows[k, 2], rows[k, 3], rows[k, 4]
        if kind == LEVEL:
            old = level_lots(s, side, tick)
            if old != lots:
                if s.phase == 1:
                    on_frame(s, ts)
                    on_level(s, side, tick, old, lots)
                set_level(s, side, tick, lots)
        elif kind == FRAME:
            s.last_event_ns = max(s.last_event_ns, ts)
            s.phase = 1
            on_frame(s, ts)
            on_book(s)
        elif kind == TRADE:
            s.last_event_ns = max(s.last_event_ns, ts)
            on_trade(s, ts, tick, lots, side)
        else:
            s.phase = 0
            clear(s)
            on_reset(s)


@cache
def _compiled():
    """Return the kernel when it is compiled: by whichever test process comes first, while the others wait for the cache."""
    with (Path(os.environ["NUMBA_CACHE_DIR"]) / "streams.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _apply(fresh(), np.zeros((0, 5), np.int64))
    return _apply


def apply_rows(states, rows):
    """Fold rows through the daemon's hooks. The only kernel of these tests: each holds all that it calls, and is long in compiling."""
    _compiled()(states, rows)


def fresh(parameters=PARAMETERS, *, instrument=INSTRUMENT, reference=0.0):
    states = np.zeros(1, STATE)
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id"):
        states[name] = -1
    configure(states[0], instrument, parameters)
    states["f_reference"] = reference
    return states


def row_of(states, ts=0):
    out = np.empty(len(COLUMNS))
    read_row(states, 0, ts, out)
    return out


def table_of(rows, parameters=PARAMETERS, *, reference=0.0):
    """Read after every row; between the levels of a frame the book is half changed, so those rows are left out."""
    states, table = fresh(parameters, reference=reference), np.empty((len(rows), len(COLUMNS)))
    for k in range(len(rows)):
        apply_rows(states, rows[k : k + 1])
        read_row(states, 0, 0, table[k])
    return table[rows[:, 0] != LEVEL]


def random_stream(seed, events, *, wild):
    """Give a stream: a drifting book and trades; `wild` adds gaps, bursts, time going back, empty sides, crossed books and resets."""
    rng = np.random.default_rng(seed)
    rows = []
    ts, mid = START, REFERENCE
    synced = False
    for _ in range(events):
        pick = rng.random()
        if wild:
            ts += int(rng.choice([0, 0, 1, 3, 10, 40, 100, 250, 999, 1000, 3100, -70], p=[0.1, 0.1, *[0.08] * 10])) * MS
            if pick < 0.004:
                ts += int(rng.integers(5, 400)) * 1000 * MS
        else:
            ts += int(rng.integers(100, 500)) * MS
        if wild and pick > 0.997:
            rows.append((RESET, ts, 0, 0, 0))
            synced = False
        elif pick < 0.45:
            rows += _trades(rng, ts, mid)
        else:
            mid += int(rng.choice([-1, 0, 0, 0, 1]))
            rows += _levels(rng, ts, mid, synced=synced, wild=wild)
            rows.append((FRAME, ts, 0, 0, 0))
            synced = True
    return np.array(rows, np.int64)


def _trades(rng, ts, mid):
    """Give the trades of one aggressor: mostly one, now and then a sweep of several prices and sizes, now and then a round size."""
    sign = int(rng.choice([-1, 1]))
    tick = mid + int(rng.integers(-3, 4))
    fills = int(rng.integers(2, 6)) if rng.random() < 0.15 else 1
    rows = []
    for _ in range(fills):
        lots = 100 if rng.random() < 0.1 else int(np.exp(rng.normal(3, 1.5))) + 1
        rows.append((TRADE, ts, sign, tick, lots))
        tick += sign * int(rng.integers(0, 3))
    return rows


def _levels(rng, ts, mid, *, synced, wild):
    rows = []
    if not synced or (wild and rng.random() < 0.05):
        rows += [(LEVEL, ts, side, mid + (2 * side - 1) * d, int(rng.integers(1, 60))) for side in (0, 1) for d in range(1, 25)]
    for side in (0, 1):
        away = 2 * side - 1
        if not (wild and rng.random() < 0.02):
            # The other side's levels that the mid has run over go; now and then they are left, and the book is crossed.
            rows += [(LEVEL, ts, side, mid - away * d, 0) for d in range(4)]
        if wild and rng.random() < 0.01:
            rows += [(LEVEL, ts, side, tick, 0) for tick in range(mid - 60, mid + 61)]
            continue
        for _ in range(int(rng.integers(1, 6))):
            distance = int(rng.integers(1, 120)) if rng.random() < 0.2 else int(rng.integers(1, 15))
            rows.append((LEVEL, ts, side, mid + away * distance, int(rng.choice([0, 0, *rng.integers(1, 60, 5)]))))
        if rng.random() < 0.02:
            # A wall, which the next frames take away again or leave.
            rows.append((LEVEL, ts, side, mid + away * int(rng.integers(1, 12)), int(rng.integers(300, 900))))
        if not wild:
            rows.append((LEVEL, ts, side, mid + away, int(rng.integers(1, 60))))
    return rows


def mirrored(rows):
    """Give the stream in which buys and sells have changed places and prices are mirrored about `REFERENCE`."""
    out = rows.copy()
    level = rows[:, 0] == LEVEL
    trade = rows[:, 0] == TRADE
    out[level, 2] = 1 - rows[level, 2]
    out[trade, 2] = -rows[trade, 2]
    out[level | trade, 3] = 2 * REFERENCE - rows[level | trade, 3]
    return out


def scaled(rows, factor):
    """Give the stream in which every quantity is a whole multiple of what it was."""
    out = rows.copy()
    out[:, 4] *= factor
    return out


def streams(most):
    return st.builds(random_stream, st.integers(0, 2**32 - 1), st.integers(1, most), wild=st.sampled_from([True, True, True, False]))

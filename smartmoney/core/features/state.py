"""Layout of the features' part of an instrument's record, and how a fresh record is configured.

Everything that a feature remembers is in these fields, so that copying a record copies its features. All are eight bytes wide or a
multiple of it; their names begin with `f_`, the book's do not. Times are exchange time in ns (0: never), prices in ticks, NaN is "none".
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.state import BOOK_FIELDS
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features import (
    arrivals,
    bars,
    basis,
    book_changes,
    clocks,
    icebergs,
    imbalance,
    impact,
    large_trades,
    liquidity,
    microprice,
    order_flow,
    orders,
    refills,
    resilience,
    splitting,
    trade_flow,
    volatility,
    vpin,
    walls,
)
from smartmoney.core.features.parameters import FeatureParameters

LEVELS_MAX = 128
"""Largest `max_depth_levels` and `depth_levels`."""

_COMMON: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    # A lot is worth `f_lot_value + f_lot_value_per_tick * price` in quote.
    ("f_lot_value", "f8"),
    ("f_lot_value_per_tick", "f8"),
    ("f_reference", "f8"),  # > 0: bps and notionals are taken against this price instead of the mid (mirror tests); 0 in the product
    # Clock. `f_blind`: 1 from a reset to the next event, a time in which trades may have been missed.
    ("f_now_ns", "i8"),
    ("f_blind", "i8"),
    ("f_epoch", "i8"),  # times that the book was dropped
    ("f_book_events", "i8"),  # since the reset
    ("f_book_events_kept", "i8"),
    ("f_trade_events", "i8"),
    # The top of the book as of the latest book frame; `f_valid` 1 when it has two sides that do not touch.
    ("f_valid", "i8"),
    ("f_bid_tick", "i8"),
    ("f_ask_tick", "i8"),
    ("f_bid_lots", "i8"),
    ("f_ask_lots", "i8"),
    ("f_mid", "f8"),
    ("f_bps_per_tick", "f8"),
]
_SCRATCH: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_level_ticks", "i8", (2, LEVELS_MAX)),
    ("f_level_lots", "i8", (2, LEVELS_MAX)),
]
_GROUPS = (
    basis,
    bars,
    orders,
    order_flow,
    trade_flow,
    large_trades,
    book_changes,
    volatility,
    impact,
    vpin,
    arrivals,
    splitting,
    icebergs,
    walls,
    liquidity,
    resilience,
    microprice,
    imbalance,
    clocks,
    refills,
)

FEATURE_FIELDS = _COMMON + [field for group in _GROUPS for field in group.FIELDS] + _SCRATCH
"""Field list that follows the book's in `STATE`."""

STATE = np.dtype(BOOK_FIELDS + FEATURE_FIELDS)
"""One instrument: book and features. Kernels take one record of it."""

_FRESH = {
    "f_mid": math.nan,
    "f_bps_per_tick": math.nan,
    "f_grid_mid": math.nan,
    "f_quantile": math.nan,
    "f_ten_mid": math.nan,
    "f_ten_return": math.nan,
    "f_roll_change": math.nan,
    "f_present": -1,
    "f_back_last": math.nan,
    "f_side_lots": -1,
    "f_refill_odds": 1.0,
}
"""Fields that do not begin at 0."""
_FEATURES_AT = int(STATE.fields[FEATURE_FIELDS[0][0]][1])  # type: ignore[index]  # it has fields
_FEATURES = np.dtype(
    {
        "names": ["features"],
        "formats": [(np.uint8, (STATE.itemsize - _FEATURES_AT,))],
        "offsets": [_FEATURES_AT],
        "itemsize": STATE.itemsize,
    }
)
"""A record of `STATE` with all fields of the features as one: to write each by its name takes sixty times as long."""


def _emptied() -> Any:
    """Return the bytes of the features of an empty record."""
    record = np.zeros(1, STATE)
    for name, value in _FRESH.items():
        record[name] = value
    return record.view(_FEATURES)["features"][0].copy()


_EMPTY = _emptied()


def configure(state: Any, instrument: Instrument, parameters: FeatureParameters) -> None:
    """Empty the features of one record and give them their instrument and parameters.

    COIN-M contracts have a fixed quote value that an `Instrument` does not hold: there, notionals are in contracts.

    Raises:
        ValueError: a parameter is outside what the record can hold.
    """
    seed, liquidity_patterns = parameters.imbalance, parameters.liquidity
    _check("max_depth_levels", seed.max_depth_levels, 1, LEVELS_MAX)
    _check("depth_levels", liquidity_patterns.depth_levels, 1, LEVELS_MAX)
    _check("momentum_window", seed.momentum_window, 1, imbalance.RING_MAX - 1)
    _check("spread_window", liquidity_patterns.spread_window, 1, liquidity.SPREADS_MAX)
    _check("distance_decay_rate", seed.distance_decay_rate, 0.0, 1e6)
    _check("exponential_decay_factor", seed.exponential_decay_factor, 0.0, 1.0)
    _check("min_update_interval", seed.min_update_interval, 0.0, 86_400.0)
    _check("liquidity_patterns.update_frequency", liquidity_patterns.update_frequency, 0.0, 86_400.0)
    _check("order_notional_max", liquidity_patterns.order_notional_max, 0.0, 1e18)
    _check("large_order_threshold", parameters.large_order_threshold, 0.0, 1e18)
    _check("bar_s", parameters.bar_s, 1e-3, 1e9)
    state.view(_FEATURES)["features"] = _EMPTY
    lot = float(instrument.lot_size)
    fixed = instrument.market is Market.COINM
    values: dict[str, float] = {
        "f_lot_value": lot if fixed else 0.0,
        "f_lot_value_per_tick": 0.0 if fixed else lot * float(instrument.tick_size),
        "f_imbalance_levels": seed.max_depth_levels,
        "f_imbalance_rate": seed.distance_decay_rate,
        "f_imbalance_factor": seed.exponential_decay_factor,
        "f_imbalance_interval_s": seed.min_update_interval,
        "f_momentum_window": seed.momentum_window,
        "f_spread_window": liquidity_patterns.spread_window,
        "f_spread_interval_s": liquidity_patterns.update_frequency,
        "f_score_levels": liquidity_patterns.depth_levels,
        "f_order_notional_max": liquidity_patterns.order_notional_max,
        "f_large_floor": parameters.large_order_threshold,
        "f_bar_s": parameters.bar_s,
    }
    for name, value in values.items():
        state[name] = value


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: {value} is not between {low:g} and {high:g}")

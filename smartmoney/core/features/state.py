"""Layout of the features' part of an instrument's record, and how a fresh record is configured.

Everything that a feature remembers is in these fields, so that copying a record copies its features. All are eight bytes wide or a
multiple of it; their names begin with `f_`, the book's do not. Times are exchange time in ns (0: never), prices in ticks, NaN is "none".
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.state import BOOK_FIELDS
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.slots import HALF_LIVES_S, LEVELS_MAX, PENDING_MAX, REFERENCES, RING_MAX, SLOTS

FEATURE_FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    # Parameters, written by `configure` alone. A lot is worth `f_lot_value + f_lot_value_per_tick * price` in quote.
    ("f_lot_value", "f8"),
    ("f_lot_value_per_tick", "f8"),
    ("f_reference", "f8"),  # > 0: bps and notionals are taken against this price instead of the mid (mirror tests); 0 in the product
    ("f_imbalance_levels", "i8"),
    ("f_imbalance_rate", "f8"),
    ("f_imbalance_factor", "f8"),
    ("f_imbalance_interval_s", "f8"),
    ("f_momentum_window", "i8"),
    ("f_spread_window", "i8"),
    ("f_spread_interval_s", "f8"),
    ("f_score_levels", "i8"),
    ("f_order_notional_max", "f8"),
    ("f_large_floor", "f8"),
    ("f_bar_s", "f8"),
    # Clock. `f_blind`: 1 from a reset to the next event, a time in which trades may have been missed.
    ("f_now_ns", "i8"),
    ("f_blind", "i8"),
    ("f_book_events", "i8"),  # since the reset
    ("f_book_events_kept", "i8"),
    ("f_trade_events", "i8"),
    ("f_order_events", "i8"),
    # The top of the book as of the latest book frame; `f_valid` 1 when it has two sides that do not touch.
    ("f_valid", "i8"),
    ("f_bid_tick", "i8"),
    ("f_ask_tick", "i8"),
    ("f_bid_lots", "i8"),
    ("f_ask_lots", "i8"),
    ("f_mid", "f8"),
    ("f_bps_per_tick", "f8"),
    ("f_grid_mid", "f8"),  # mid at the last whole second
    # Level changes of the frame in hand, per side, in lots; decayed sums take them over in `on_book`.
    ("f_new_distance", "f8", (2,)),
    ("f_new_add", "f8", (2,)),
    ("f_new_cancel", "f8", (2,)),
    # The aggressor's order in hand (`f_order_sign` 0: none) and the adaptive quantile of ln notional.
    ("f_order_sign", "i8"),
    ("f_order_tick", "i8"),
    ("f_order_ns", "i8"),
    ("f_order_notional", "f8"),
    ("f_quantile", "f8"),
    # Samples: when the next is due, and what they left.
    ("f_sample_due_ns", "i8"),
    ("f_imbalance_due_ns", "i8"),
    ("f_spread_due_ns", "i8"),
    ("f_imbalance_start_ns", "i8"),
    ("f_imbalance_last_ns", "i8"),
    ("f_imbalance_sum", "f8"),
    ("f_imbalance_weight", "f8"),
    ("f_imbalance_count", "i8"),
    ("f_spread_start_ns", "i8"),
    ("f_spread_count", "i8"),
    ("f_present", "i8"),  # market makers present at the last sample: 1, 0, -1 unknown
    ("f_ref_last_ns", "i8", (REFERENCES,)),
    ("f_ref_count", "i8", (REFERENCES,)),
    ("f_ref_weight", "f8", (REFERENCES,)),
    ("f_ref_mean", "f8", (REFERENCES,)),
    ("f_ref_squares", "f8", (REFERENCES,)),
    # Arrays. Pending trades are a ring: `f_pending_head` is the oldest of `f_pending_count`.
    ("f_keep", "f8", (len(HALF_LIVES_S),)),  # scratch: decay factors of one step
    ("f_sums", "f8", (SLOTS,)),
    ("f_pending_head", "i8"),
    ("f_pending_count", "i8"),
    ("f_pending_side", "i8", (PENDING_MAX,)),
    ("f_pending_tick", "i8", (PENDING_MAX,)),
    ("f_pending_lots", "i8", (PENDING_MAX,)),
    ("f_pending_ns", "i8", (PENDING_MAX,)),
    ("f_level_ticks", "i8", (2, LEVELS_MAX)),  # scratch
    ("f_level_lots", "i8", (2, LEVELS_MAX)),
    ("f_imbalance_ring", "f8", (RING_MAX,)),
    ("f_spread_ring", "f8", (RING_MAX,)),  # in order of time
    ("f_spread_sorted", "f8", (RING_MAX,)),
]
"""Field list that follows the book's in `STATE`."""

STATE = np.dtype(BOOK_FIELDS + FEATURE_FIELDS)
"""One instrument: book and features. Kernels take one record of it."""

_NONE = ("f_mid", "f_bps_per_tick", "f_grid_mid", "f_quantile")


def configure(state: Any, instrument: Instrument, parameters: FeatureParameters) -> None:
    """Empty the features of one record and give them their instrument and parameters.

    COIN-M contracts have a fixed quote value that an `Instrument` does not hold: there, notionals are in contracts.

    Raises:
        ValueError: a parameter is outside what the record can hold.
    """
    imbalance, liquidity = parameters.imbalance, parameters.liquidity
    _check("max_depth_levels", imbalance.max_depth_levels, 1, LEVELS_MAX)
    _check("depth_levels", liquidity.depth_levels, 1, LEVELS_MAX)
    _check("momentum_window", imbalance.momentum_window, 1, RING_MAX - 1)
    _check("spread_window", liquidity.spread_window, 1, RING_MAX)
    _check("distance_decay_rate", imbalance.distance_decay_rate, 0.0, 1e6)
    _check("exponential_decay_factor", imbalance.exponential_decay_factor, 0.0, 1.0)
    _check("min_update_interval", imbalance.min_update_interval, 0.0, 86_400.0)
    _check("liquidity_patterns.update_frequency", liquidity.update_frequency, 0.0, 86_400.0)
    _check("order_notional_max", liquidity.order_notional_max, 0.0, 1e18)
    _check("large_order_threshold", parameters.large_order_threshold, 0.0, 1e18)
    _check("bar_s", parameters.bar_s, 1e-3, 1e9)
    for name, *_ in FEATURE_FIELDS:
        state[name] = math.nan if name in _NONE else 0
    state["f_present"] = -1
    lot = float(instrument.lot_size)
    fixed = instrument.market is Market.COINM
    values: dict[str, float] = {
        "f_lot_value": lot if fixed else 0.0,
        "f_lot_value_per_tick": 0.0 if fixed else lot * float(instrument.tick_size),
        "f_imbalance_levels": imbalance.max_depth_levels,
        "f_imbalance_rate": imbalance.distance_decay_rate,
        "f_imbalance_factor": imbalance.exponential_decay_factor,
        "f_imbalance_interval_s": imbalance.min_update_interval,
        "f_momentum_window": imbalance.momentum_window,
        "f_spread_window": liquidity.spread_window,
        "f_spread_interval_s": liquidity.update_frequency,
        "f_score_levels": liquidity.depth_levels,
        "f_order_notional_max": liquidity.order_notional_max,
        "f_large_floor": parameters.large_order_threshold,
        "f_bar_s": parameters.bar_s,
    }
    for name, value in values.items():
        state[name] = value


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: {value} is not between {low:g} and {high:g}")

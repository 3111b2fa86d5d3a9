"""Numbers that the kernels and the state layout share: columns of a feature row, slots of the decayed sums, half-lives, constants.

Invariants: `COLUMNS` is the order of a row and of the schema; `SLOT_HALF_LIFE[i]` indexes the half-life that slot `i` decays with; slots
below `SLOTS_RESET` describe the book and are emptied when it is dropped, the others are slow means and stay. Kernels (`njit`) freeze these
numbers when they are compiled.
"""

import math

import numpy as np

COLUMNS: tuple[str, ...] = (
    "spread_bps",
    "queue_imbalance",
    "weighted_mid_bps",
    "depth_bid_5bps",
    "depth_ask_5bps",
    "weighted_imbalance",
    "imbalance_momentum",
    "ofi_l1_1s",
    "ofi_l1_10s",
    "ofi_l1_120s",
    "ofi_decayed_10s",
    "signed_volume_10s",
    "signed_volume_120s",
    "tfi_10s",
    "tfi_120s",
    "trade_rate_10s",
    "large_trade_120s",
    "large_trade_threshold",
    "cancel_add_ratio_10s",
    "rv_120s",
    "rv_600s",
    "efficiency_120s",
    "sigma_bar_bps",
    "spread_median_bps",
    "liquidity_stress",
    "liquidity_score",
    "mm_presence",
)
(
    SPREAD_BPS,
    QUEUE_IMBALANCE,
    WEIGHTED_MID_BPS,
    DEPTH_BID_5BPS,
    DEPTH_ASK_5BPS,
    WEIGHTED_IMBALANCE,
    IMBALANCE_MOMENTUM,
    OFI_L1_1S,
    OFI_L1_10S,
    OFI_L1_120S,
    OFI_DECAYED_10S,
    SIGNED_VOLUME_10S,
    SIGNED_VOLUME_120S,
    TFI_10S,
    TFI_120S,
    TRADE_RATE_10S,
    LARGE_TRADE_120S,
    LARGE_TRADE_THRESHOLD,
    CANCEL_ADD_RATIO_10S,
    RV_120S,
    RV_600S,
    EFFICIENCY_120S,
    SIGMA_BAR_BPS,
    SPREAD_MEDIAN_BPS,
    LIQUIDITY_STRESS,
    LIQUIDITY_SCORE,
    MM_PRESENCE,
) = range(len(COLUMNS))

HALF_LIVES_S = (1.0, 10.0, 120.0, 600.0, 1800.0)
H1, H10, H120, H600, H1800 = range(len(HALF_LIVES_S))
DECAY_RATES = np.array([math.log(2.0) / half_life for half_life in HALF_LIVES_S])
"""Natural decay rates per second, in the order of `HALF_LIVES_S`."""

_SLOTS: tuple[tuple[str, int], ...] = (
    # Book-derived: emptied by a reset.
    ("OFI_1", H1),
    ("OFI_10", H10),
    ("OFI_120", H120),
    ("DISTANCE_10", H10),
    ("ADD_BID_10", H10),
    ("ADD_ASK_10", H10),
    ("CANCEL_BID_10", H10),
    ("CANCEL_ASK_10", H10),
    ("BOOK_COVER_1", H1),
    ("BOOK_COVER_10", H10),
    ("BOOK_COVER_120", H120),
    # Slow means: these survive a reset.
    ("KEPT_COVER_120", H120),
    ("KEPT_COVER_600", H600),
    ("DEPTH_600", H600),
    ("ADD_BID_120", H120),
    ("ADD_ASK_120", H120),
    ("TRADE_COVER_10", H10),
    ("TRADE_COVER_120", H120),
    ("FLOW_10", H10),
    ("FLOW_120", H120),
    ("VOLUME_10", H10),
    ("VOLUME_120", H120),
    ("COUNT_10", H10),
    ("LARGE_120", H120),
    ("SQUARES_120", H120),
    ("SQUARES_600", H600),
    ("RETURNS_120", H120),
    ("PATH_120", H120),
    ("BARS_120", H120),
    ("BARS_600", H600),
    ("PRESENT_120", H120),
    ("TOGGLED_120", H120),
    ("SAMPLES_120", H120),
    ("NEAR_1800", H1800),
    ("SAMPLES_1800", H1800),
)
(
    OFI_1,
    OFI_10,
    OFI_120,
    DISTANCE_10,
    ADD_BID_10,
    ADD_ASK_10,
    CANCEL_BID_10,
    CANCEL_ASK_10,
    BOOK_COVER_1,
    BOOK_COVER_10,
    BOOK_COVER_120,
    KEPT_COVER_120,
    KEPT_COVER_600,
    DEPTH_600,
    ADD_BID_120,
    ADD_ASK_120,
    TRADE_COVER_10,
    TRADE_COVER_120,
    FLOW_10,
    FLOW_120,
    VOLUME_10,
    VOLUME_120,
    COUNT_10,
    LARGE_120,
    SQUARES_120,
    SQUARES_600,
    RETURNS_120,
    PATH_120,
    BARS_120,
    BARS_600,
    PRESENT_120,
    TOGGLED_120,
    SAMPLES_120,
    NEAR_1800,
    SAMPLES_1800,
) = range(len(_SLOTS))
SLOTS = len(_SLOTS)
SLOTS_RESET = KEPT_COVER_120
SLOT_NAMES = tuple(name for name, _ in _SLOTS)
SLOT_HALF_LIFE = np.array([index for _, index in _SLOTS], dtype=np.int64)

WARM_EVENTS = 50
"""Book frames or public trades that a feature must have seen."""
_SLACK = 1e-9
WARM_COVER_1 = 1.0 - 2.0 ** (-10.0 / 1.0) - _SLACK
WARM_COVER_10 = 1.0 - 2.0 ** (-10.0 / 10.0) - _SLACK
WARM_COVER_120 = 1.0 - 2.0 ** (-60.0 / 120.0) - _SLACK
WARM_COVER_600 = 1.0 - 2.0 ** (-300.0 / 600.0) - _SLACK
"""Coverage (bias-correcting weight) after max(10 s, H/2) without interruption."""

SECOND_NS = 1_000_000_000
MERGE_NS = 10_000_000
"""Fills of one aggressor follow each other within this time."""
PENDING_NS = 300_000_000
"""A trade explains a smaller queue at its price for so long."""
PENDING_MAX = 256
LEVELS_MAX = 128
RING_MAX = 4096
"""Largest `momentum_window` + 1 and `spread_window`."""

DISTANCE_SCALE_BPS = 2.0
DISTANCE_MAX_BPS = 50.0
"""Beyond it a change weighs less than 2e-11 and is left out."""
NEAR_BPS = 10.0
"""Adds and cancels count this near to the mid."""
DEPTH_BPS = 5.0
"""Depth and market makers are looked for this near to the mid."""
REFERENCES = 3
REF_SPREAD, REF_DEPTH, REF_CANCEL = range(REFERENCES)
REFERENCE_SAMPLES = 30
"""Samples (about one a second) after which a z-score's reference is used."""
DEPTH_SCALE_MIN = 0.25
CANCEL_SCALE_MIN = 0.25
PRESENCE_SHARE = 0.5
"""Share of a side's usual depth within `DEPTH_BPS` that counts as makers being there."""
SPREAD_SAMPLES_MIN = 3
QUANTILE = 0.99
QUANTILE_STEP_MIN = 0.05
QUANTILE_STEP_MAX = 1.0
QUANTILE_ORDERS = 50.0
"""The n-th order moves the quantile by step clip(50 / n, 0.05, 1)."""
VOLUME_MIN = 1e-9
"""Decayed quote volume below which a ratio of flows is 0."""

"""The feature schema as data: what each column of a row is, in which unit, when it is warm, and how it behaves under the mirror.

Invariants: `FEATURES[i]` describes column `i` of `read_features`; `SCHEMA_HASH` changes whenever any of this does, so that a model can
refuse a row that it was not made for. Common to all: exchange time only; NaN where not warm; `2^(-t/H)` is the weight of what is `t`
seconds old; "cover" is the weight of the time in which a feature's input was known, 1 after an uninterrupted long time, by which decayed
sums are divided, so that they are unbiased from the start; a book with a side missing, or crossed or locked, is no book.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from smartmoney.core.features.slots import COLUMNS, REFERENCE_SAMPLES, SPREAD_SAMPLES_MIN, WARM_EVENTS

VERSION = 1
"""Raise it when a formula changes and its description does not."""


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """Say when a feature is warm: seconds of known input (2^(-seconds/H) of the weight), a number of events, and of which."""

    seconds: float
    events: int
    event: str


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one feature.

    `parity` is its behaviour when buys and sells change places: odd, even, or `swap:<partner>`. `half_life_s` is 0 where there is none;
    `bounds` are inclusive, None is unbounded. `resets` tells whether a dropped book empties it.
    """

    name: str
    group: str
    unit: str
    parity: str
    half_life_s: float
    warm_up: WarmUp
    bounds: tuple[float | None, float | None]
    resets: bool
    source: str
    description: str


_AT_ONCE = WarmUp(seconds=0.0, events=1, event="book frames")
_BOOK_10 = WarmUp(seconds=10.0, events=WARM_EVENTS, event="book frames")
_BOOK_60 = WarmUp(seconds=60.0, events=WARM_EVENTS, event="book frames")
_BOOK_300 = WarmUp(seconds=300.0, events=WARM_EVENTS, event="book frames")
_TRADE_10 = WarmUp(seconds=10.0, events=WARM_EVENTS, event="trades")
_TRADE_60 = WarmUp(seconds=60.0, events=WARM_EVENTS, event="trades")
_ORDER_10 = WarmUp(seconds=10.0, events=WARM_EVENTS, event="aggressor orders")
_UP = (0.0, None)
_ANY = (None, None)
_UNIT = (0.0, 1.0)
_SIGNED_UNIT = (-1.0, 1.0)
_CKS = "Cont, Kukanov, Stoikov 2014"
_OWN = "own"
_SEED = "strategy.md"

_Row = tuple[str, str, str, str, float, WarmUp, tuple[float | None, float | None], bool, str, str]

_ROWS: tuple[_Row, ...] = (
    ("spread_bps", "top", "bps", "even", 0.0, _AT_ONCE, _UP, True, _OWN, "(best ask - best bid) / mid * 10^4."),
    (
        "queue_imbalance",
        "top",
        "ratio",
        "odd",
        0.0,
        _AT_ONCE,
        _SIGNED_UNIT,
        True,
        "Gould, Bonart 2016",
        "(bid lots - ask lots) / (bid lots + ask lots) of the best prices.",
    ),
    (
        "weighted_mid_bps",
        "top",
        "bps",
        "odd",
        0.0,
        _AT_ONCE,
        _ANY,
        True,
        _OWN,
        "(ask price * bid lots + bid price * ask lots) / (bid lots + ask lots) - mid, that is spread_bps / 2 * queue_imbalance.",
    ),
    (
        "depth_bid_5bps",
        "depth",
        "quote",
        "swap:depth_ask_5bps",
        0.0,
        _AT_ONCE,
        _UP,
        True,
        _OWN,
        "Base quantity of bids at or above mid * (1 - 5e-4), valued at the mid. COIN-M: contracts.",
    ),
    (
        "depth_ask_5bps",
        "depth",
        "quote",
        "swap:depth_bid_5bps",
        0.0,
        _AT_ONCE,
        _UP,
        True,
        _OWN,
        "Base quantity of asks at or below mid * (1 + 5e-4), valued at the mid. COIN-M: contracts.",
    ),
    (
        "weighted_imbalance",
        "order_book_imbalance",
        "ratio",
        "odd",
        0.0,
        _BOOK_10,
        _SIGNED_UNIT,
        True,
        _SEED,
        (
            "At the first book frame at least min_update_interval after the last update: x = sum e^(-r i)(b_i - a_i) / sum e^(-r "
            "i)(b_i + a_i) "
            "over ranks i < max_depth_levels, r = distance_decay_rate, an absent level counting 0; "
            "S <- k S + x, W <- k W + 1, k = exponential_decay_factor^(elapsed / min_update_interval); S / W. "
            "With the default factor the half-life is 13.5 s; warm after max(10 s, half of it)."
        ),
    ),
    (
        "imbalance_momentum",
        "order_book_imbalance",
        "ratio",
        "odd",
        0.0,
        WarmUp(seconds=20.0, events=WARM_EVENTS, event="book frames"),
        (-2.0, 2.0),
        True,
        _SEED,
        "weighted_imbalance less its value momentum_window updates ago; warm after momentum_window + 1 updates (20 s by default).",
    ),
    (
        "ofi_l1_1s",
        "order_flow",
        "mean depths",
        "odd",
        1.0,
        _BOOK_10,
        _ANY,
        True,
        _CKS,
        (
            "Per book frame e = 1{Pb>=Pb'}qb - 1{Pb<=Pb'}qb' - 1{Pa<=Pa'}qa + 1{Pa>=Pa'}qa', in lots; sum of e 2^(-t/1) / cover / D, "
            "D the time-weighted mean (half-life 600 s) of (qb + qa) / 2. A frame with no valid top before or after it adds nothing."
        ),
    ),
    ("ofi_l1_10s", "order_flow", "mean depths", "odd", 10.0, _BOOK_10, _ANY, True, _CKS, "As ofi_l1_1s with a half-life of 10 s."),
    ("ofi_l1_120s", "order_flow", "mean depths", "odd", 120.0, _BOOK_60, _ANY, True, _CKS, "As ofi_l1_1s with a half-life of 120 s."),
    (
        "ofi_decayed_10s",
        "order_flow",
        "mean depths",
        "odd",
        10.0,
        _BOOK_10,
        _ANY,
        True,
        _OWN,
        (
            "Per changed level: side * (new - old lots) * exp(-d / 2), d the distance in bps from the mid before the frame, d <= 50; "
            "decayed, / cover / D as in ofi_l1_1s."
        ),
    ),
    (
        "signed_volume_10s",
        "trade_flow",
        "quote",
        "odd",
        10.0,
        _TRADE_10,
        _ANY,
        False,
        "Silantyev 2019",
        "Sum over public trades of aggressor sign * notional * 2^(-t/10) / cover. COIN-M: contracts.",
    ),
    (
        "signed_volume_120s",
        "trade_flow",
        "quote",
        "odd",
        120.0,
        _TRADE_60,
        _ANY,
        False,
        "Silantyev 2019",
        "As signed_volume_10s with a half-life of 120 s.",
    ),
    (
        "tfi_10s",
        "trade_flow",
        "ratio",
        "odd",
        10.0,
        _TRADE_10,
        _SIGNED_UNIT,
        False,
        "Silantyev 2019",
        "Decayed signed notional / decayed notional; 0 when the latter is below 1e-9.",
    ),
    (
        "tfi_120s",
        "trade_flow",
        "ratio",
        "odd",
        120.0,
        _TRADE_60,
        _SIGNED_UNIT,
        False,
        "Silantyev 2019",
        "As tfi_10s with a half-life of 120 s.",
    ),
    (
        "trade_rate_10s",
        "trade_flow",
        "1/s",
        "even",
        10.0,
        _TRADE_10,
        _UP,
        False,
        _OWN,
        "Public trades, as printed, per second: sum of 2^(-t/10) * ln 2 / 10 / cover.",
    ),
    (
        "large_trade_120s",
        "large_trades",
        "quote",
        "odd",
        120.0,
        _TRADE_60,
        _ANY,
        False,
        _OWN,
        (
            "Trades of one side whose price never improves and that follow each other within 10 ms are one aggressor's order; it "
            "counts, at "
            "its last fill, once no fill can follow. Sum of sign * notional * 2^(-t/120) / cover over orders above both quantile "
            "and floor of "
            "large_trade_threshold, as it stood before the order."
        ),
    ),
    (
        "large_trade_threshold",
        "large_trades",
        "quote",
        "even",
        0.0,
        _ORDER_10,
        _UP,
        False,
        _OWN,
        (
            "max(e^z, large_order_threshold), z the 99 % quantile of ln notional of aggressor orders by stochastic approximation: "
            "the first sets "
            "z; the n-th moves it by +0.99 h when above z, else by -0.01 h, h = min(1, max(0.05, 50 / n))."
        ),
    ),
    (
        "cancel_add_ratio_10s",
        "liquidity",
        "ratio",
        "even",
        10.0,
        _BOOK_10,
        _UP,
        True,
        _OWN,
        (
            "Level changes within 10 bps of the mid before the frame, both sides: more lots are an add; fewer are first what was "
            "traded at "
            "that price and side and not yet used up, in the 300 ms before the preceding event (the latest 256 trades), the rest "
            "a cancel. "
            "Decayed cancelled lots / (decayed added lots + 1)."
        ),
    ),
    (
        "rv_120s",
        "volatility",
        "bps^2",
        "even",
        120.0,
        _BOOK_60,
        _UP,
        False,
        "Barndorff-Nielsen, Shephard 2004",
        (
            "r = change of mid / old mid * 10^4 over each whole second of exchange time whose two ends had a valid top (an event "
            "at the very "
            "second belongs to the next). Decayed sum of r^2 / decayed number of seconds / (1 - 2^(-1/120))."
        ),
    ),
    (
        "rv_600s",
        "volatility",
        "bps^2",
        "even",
        600.0,
        _BOOK_300,
        _UP,
        False,
        "Barndorff-Nielsen, Shephard 2004",
        "As rv_120s with a half-life of 600 s.",
    ),
    (
        "efficiency_120s",
        "volatility",
        "ratio",
        "even",
        120.0,
        _BOOK_60,
        _UNIT,
        False,
        "Kaufman 1995",
        "|decayed sum of r| / decayed sum of |r|, r as in rv_120s; 0 when nothing moved.",
    ),
    (
        "sigma_bar_bps",
        "volatility",
        "bps",
        "even",
        120.0,
        _BOOK_60,
        _UP,
        False,
        _OWN,
        "Volatility of a bar of bar_s seconds: sqrt(bar_s * decayed sum of r^2 / decayed number of seconds), r as in rv_120s.",
    ),
    (
        "spread_median_bps",
        "liquidity",
        "bps",
        "even",
        0.0,
        WarmUp(seconds=10.0, events=SPREAD_SAMPLES_MIN, event="samples, and 50 book frames"),
        _UP,
        False,
        _SEED,
        (
            "Median of spread_bps at the last spread_window samples, one at the first book frame at least update_frequency seconds after "
            "the last."
        ),
    ),
    (
        "liquidity_stress",
        "liquidity",
        "ratio",
        "even",
        1800.0,
        WarmUp(seconds=9.0 + REFERENCE_SAMPLES, events=REFERENCE_SAMPLES, event="samples, and 50 book frames"),
        _UNIT,
        False,
        _SEED,
        (
            "1 / (1 + exp(-2 (z - 1))), z the mean of z(spread_bps), -z(ln(1 + depth_bid_5bps + depth_ask_5bps)) and "
            "z(cancel_add_ratio_10s). "
            "Each against the weighted mean and deviation (half-life 1800 s) of samples at the first book frame at least a second "
            "after the "
            "last; the deviation is at least one tick, 0.25 and 0.25. 0.12 in normal times. For 10 s after a reset the ratio is neither "
            "sampled nor finite."
        ),
    ),
    (
        "liquidity_score",
        "liquidity",
        "ratio",
        "even",
        120.0,
        _BOOK_60,
        _UNIT,
        False,
        _SEED,
        (
            "(min(1, D / (10 order_notional_max)) * min(1, spread_median_bps / spread_bps) * max(mm_presence, 0.1))^(1/3), "
            "D the value at the mid of the best depth_levels levels of the thinner side."
        ),
    ),
    (
        "mm_presence",
        "liquidity",
        "ratio",
        "even",
        120.0,
        _BOOK_60,
        _UNIT,
        False,
        _OWN,
        (
            "presence * (1 - |Rb - Ra| / (Rb + Ra + 1)) * max(0, 1 - flicker). At each sample of liquidity_stress makers are there when "
            "both sides hold, within 5 bps of the mid, at least half of their average's weighted mean (half-life 1800 s), and "
            "something; presence "
            "is the decayed share of such samples, flicker that of samples unlike the one before. "
            "Rb, Ra: decayed lots added within 10 bps, per side."
        ),
    ),
)

FEATURES: tuple[FeatureSpec, ...] = tuple(
    FeatureSpec(
        name=name,
        group=group,
        unit=unit,
        parity=parity,
        half_life_s=half_life_s,
        warm_up=warm_up,
        bounds=bounds,
        resets=resets,
        source=source,
        description=description,
    )
    for name, group, unit, parity, half_life_s, warm_up, bounds, resets, source, description in _ROWS
)
"""Every feature, in the order of a row."""

FEATURE_INDEX: dict[str, int] = {feature.name: index for index, feature in enumerate(FEATURES)}
"""Column of each feature."""

if tuple(FEATURE_INDEX) != COLUMNS:
    raise AssertionError("the schema and the kernels disagree about the columns of a row")

SCHEMA_HASH: str = hashlib.sha256(msgspec.json.encode((VERSION, FEATURES))).hexdigest()
"""Identity of the schema, in hexadecimal."""


def as_mapping(values: Sequence[float]) -> dict[str, float]:
    """Return a row as a dictionary by name, plain floats.

    Raises:
        ValueError: the row has not one value per feature.
    """
    return {name: float(value) for name, value in zip(COLUMNS, values, strict=True)}

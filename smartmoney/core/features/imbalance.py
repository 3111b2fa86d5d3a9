"""Order-book imbalance momentum (strategy.md, `order_book_imbalance`): a smoothed, rank-weighted imbalance and its change.

Sampled at the first book frame at which an update is due; a dropped book forgets it all.
"""

import math
from typing import Any

from smartmoney.core.book.kernel import top_levels
from smartmoney.core.book.typed import ASK_SIDE, BID_SIDE, inlined, inner
from smartmoney.core.features.horizons import SECOND_NS, WARM_EVENTS
from smartmoney.core.features.spec import ODD, SIGNED_SHARE, STRATEGY, FeatureSpec, WarmUp, after_frames

GROUP = "order_book_imbalance"
RING_MAX = 4096
"""Largest `momentum_window` + 1."""

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_imbalance_levels", "i8"),
    ("f_imbalance_rate", "f8"),
    ("f_imbalance_factor", "f8"),
    ("f_imbalance_interval_s", "f8"),
    ("f_momentum_window", "i8"),
    ("f_imbalance_due_ns", "i8"),
    ("f_imbalance_start_ns", "i8"),
    ("f_imbalance_last_ns", "i8"),
    ("f_imbalance_sum", "f8"),
    ("f_imbalance_weight", "f8"),
    ("f_imbalance_count", "i8"),
    ("f_imbalance_ring", "f8", (RING_MAX,)),
]

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="weighted_imbalance",
        group=GROUP,
        unit="ratio",
        parity=ODD,
        warm_up=after_frames(10.0),
        bounds=SIGNED_SHARE,
        resets=True,
        source=STRATEGY,
        description=(
            "At the first book frame at least min_update_interval after the last update: x = sum e^(-r i)(b_i - a_i) / sum e^(-r i)(b_i + "
            "a_i) over ranks i < max_depth_levels, r = distance_decay_rate, an absent level counting 0; S <- k S + x, W <- k W + 1, "
            "k = exponential_decay_factor^(elapsed / min_update_interval); S / W. With the default factor the half-life is 13.5 s; "
            "warm after max(10 s, half of it)."
        ),
    ),
    FeatureSpec(
        name="imbalance_momentum",
        group=GROUP,
        unit="ratio",
        parity=ODD,
        warm_up=WarmUp(seconds=20.0, events=WARM_EVENTS, event="book frames"),
        bounds=(-2.0, 2.0),
        resets=True,
        source=STRATEGY,
        description=(
            "weighted_imbalance less its value momentum_window updates ago; warm after momentum_window + 1 updates (20 s by default)."
        ),
    ),
)
COUNT = len(FEATURES)
_IMBALANCE, _MOMENTUM = range(COUNT)


@inner
def _update(s: Any, now_ns: int) -> None:
    levels = s.f_imbalance_levels
    bids = top_levels(s, BID_SIDE, levels, s.f_level_ticks[0], s.f_level_lots[0])
    asks = top_levels(s, ASK_SIDE, levels, s.f_level_ticks[1], s.f_level_lots[1])
    difference = 0.0
    total = 0.0
    for i in range(max(bids, asks)):
        bid = s.f_level_lots[0, i] if i < bids else 0
        ask = s.f_level_lots[1, i] if i < asks else 0
        weight = math.exp(-s.f_imbalance_rate * i)
        difference += weight * (bid - ask)
        total += weight * (bid + ask)
    if s.f_imbalance_count == 0:
        s.f_imbalance_start_ns = now_ns
        keep = 0.0
    else:
        elapsed_s = (now_ns - s.f_imbalance_last_ns) * 1e-9
        # An interval of 0 means: at every book frame, one factor per frame.
        steps = elapsed_s / s.f_imbalance_interval_s if s.f_imbalance_interval_s > 0.0 else 1.0
        keep = s.f_imbalance_factor**steps
    s.f_imbalance_sum = keep * s.f_imbalance_sum + difference / total
    s.f_imbalance_weight = keep * s.f_imbalance_weight + 1.0
    s.f_imbalance_ring[s.f_imbalance_count % RING_MAX] = s.f_imbalance_sum / s.f_imbalance_weight
    s.f_imbalance_count += 1
    s.f_imbalance_last_ns = now_ns


@inlined
def sample_imbalance(s: Any, now_ns: int) -> None:
    """Update when due. The book must have a valid top."""
    if now_ns >= s.f_imbalance_due_ns:
        _update(s, now_ns)
        s.f_imbalance_due_ns = now_ns + int(s.f_imbalance_interval_s * SECOND_NS)


@inlined
def reset_imbalance(s: Any) -> None:
    """Forget every update."""
    s.f_imbalance_due_ns = 0
    s.f_imbalance_start_ns = 0
    s.f_imbalance_last_ns = 0
    s.f_imbalance_sum = 0.0
    s.f_imbalance_weight = 0.0
    s.f_imbalance_count = 0


@inner
def read_imbalance(s: Any, out: Any) -> None:
    """Write the group's features."""
    count = s.f_imbalance_count
    if count == 0 or s.f_book_events < WARM_EVENTS:
        return
    factor = s.f_imbalance_factor
    warm_s = 10.0
    if 0.0 < factor < 1.0:
        warm_s = max(warm_s, 0.5 * s.f_imbalance_interval_s * math.log(2.0) / -math.log(factor))
    if (s.f_read_ns - s.f_imbalance_start_ns) * 1e-9 < warm_s - 1e-9:
        return
    value = s.f_imbalance_ring[(count - 1) % RING_MAX]
    out[_IMBALANCE] = value
    if count > s.f_momentum_window:
        out[_MOMENTUM] = value - s.f_imbalance_ring[(count - 1 - s.f_momentum_window) % RING_MAX]

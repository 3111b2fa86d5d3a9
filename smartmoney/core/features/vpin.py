"""VPIN: how one-sided the trading was in buckets of equal volume (Easley, Lopez de Prado, O'Hara 2012), with true aggressor flags.

A bucket's size is fixed when it is begun: sixty seconds of the slow volume rate. Buckets live on trades, so a dropped book changes nothing.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.horizons import COVER_TRADE, H3600, WARM_EVENTS
from smartmoney.core.features.spec import EVEN, SHARE, FeatureSpec, WarmUp
from smartmoney.core.features.trade_flow import VOLUME

GROUP = "impact"
BUCKETS = 50
BUCKETS_MIN = 25
BUCKET_S = 60.0
_COVER_MIN = 1.0 - 2.0 ** (-60.0 / 3600.0) - 1e-9
_PER_SECOND = math.log(2.0) / 3600.0

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_bucket_size", "f8"),  # quote; 0: none begun
    ("f_bucket_volume", "f8"),
    ("f_bucket_flow", "f8"),
    ("f_bucket_count", "i8"),  # filled
    ("f_bucket_ring", "f8", (BUCKETS,)),
]

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="vpin",
        group=GROUP,
        unit="ratio",
        parity=EVEN,
        warm_up=WarmUp(seconds=60.0, events=BUCKETS_MIN, event="volume buckets"),
        bounds=SHARE,
        source="Easley, Lopez de Prado, O'Hara 2012; critique: Andersen, Bondarenko 2014",
        description=(
            "Public trades fill buckets of V quote, V = 60 s times the volume rate when the bucket is begun (sum of notional 2^(-t/3600) * "
            "ln 2 / 3600 / cover, the trade in hand included); the first is begun by the first trade after 60 s of cover and 49 trades. A "
            "trade is split over as many buckets as it fills, 50 at most (the rest is dropped). Mean of |bought - sold| / V over the last "
            "50 filled buckets, from the 25th on (the paper waits for 50). It moves with volume and volatility: no forecast by itself."
        ),
    ),
)
COUNT = len(FEATURES)


@inner
def _size(s: Any) -> Any:
    """Return the size of a bucket that is begun now, 0 while the rate is not known."""
    cover = s.f_cover[COVER_TRADE, H3600]
    if s.f_trade_events < WARM_EVENTS or cover < _COVER_MIN:
        return 0.0
    return BUCKET_S * s.f_trade_sums[VOLUME, H3600] * _PER_SECOND / cover


@inner
def trade_vpin(s: Any, sign: int, value: float) -> None:
    """Take in one public trade of so much notional, after it was taken into the volume rate."""
    if s.f_bucket_size <= 0.0:
        s.f_bucket_size = _size(s)
    left = value
    for _ in range(BUCKETS):
        if s.f_bucket_size <= 0.0 or left <= 0.0:
            return
        room = s.f_bucket_size - s.f_bucket_volume
        part = min(left, room)
        left -= part
        s.f_bucket_volume += part
        s.f_bucket_flow += sign * part
        if part < room:
            return
        s.f_bucket_ring[s.f_bucket_count % BUCKETS] = min(1.0, abs(s.f_bucket_flow) / s.f_bucket_size)
        s.f_bucket_count += 1
        s.f_bucket_volume = 0.0
        s.f_bucket_flow = 0.0
        s.f_bucket_size = _size(s)


@inner
def read_vpin(s: Any, out: Any) -> None:
    """Write the group's feature."""
    held = min(s.f_bucket_count, BUCKETS)
    if held >= BUCKETS_MIN:
        total = 0.0
        for k in range(held):
            total += s.f_bucket_ring[k]
        out[0] = total / held

"""Trade flow: signed volume and its share, counts, the cost that takers pay. Per public trade; survives a dropped book."""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add, decay, is_warm_trades
from smartmoney.core.features.horizons import COVER_TRADE, H1, H10, H120, H600, H3600, HALF_LIVES_S, HORIZONS, TINY
from smartmoney.core.features.spec import EVEN, ODD, OWN, POSITIVE, SIGNED_SHARE, FeatureSpec, after_trades

GROUP = "trade_flow"
_FLOW = int64(0)
_VOLUME = int64(1)
_COUNT = int64(2)
_SUMS = 3
_LN2 = math.log(2.0)

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_trade_sums", "f8", (_SUMS, HORIZONS)),
]

_HORIZONS = (H1, H10, H120, H600, H3600)
_RATE_HORIZONS = (H10, H120, H600)
_PRINTED = tuple(f"{HALF_LIVES_S[h]:g}" for h in _HORIZONS)


def _signed(h: int) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"signed_volume_{seconds:g}s",
        group=GROUP,
        unit="quote",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_trades(seconds),
        source="Silantyev 2019",
        scale=1,
        description=f"Sum over public trades of aggressor sign * notional * 2^(-t/{seconds:g}) / cover. COIN-M: contracts.",
    )


def _share(h: int) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"tfi_{seconds:g}s",
        group=GROUP,
        unit="ratio",
        parity=ODD,
        half_life_s=seconds,
        warm_up=after_trades(seconds),
        bounds=SIGNED_SHARE,
        source="Silantyev 2019",
        description=(f"Signed notional / notional of public trades, both decayed by 2^(-t/{seconds:g}); 0 when the latter is below 1e-9."),
    )


def _rate(h: int) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"trade_rate_{seconds:g}s",
        group=GROUP,
        unit="1/s",
        parity=EVEN,
        half_life_s=seconds,
        warm_up=after_trades(seconds),
        bounds=POSITIVE,
        source=OWN,
        description=f"Public trades, as printed, per second: sum of 2^(-t/{seconds:g}) * ln 2 / {seconds:g} / cover.",
    )


FEATURES: tuple[FeatureSpec, ...] = (
    *(_signed(h) for h in _HORIZONS),
    *(_share(h) for h in _HORIZONS),
    *(_rate(h) for h in _RATE_HORIZONS),
)
COUNT = len(FEATURES)
_SHARES = len(_HORIZONS)
_OTHERS = 2 * _SHARES


@inlined
def step_trade_flow(s: Any) -> None:
    """Decay."""
    decay(s.f_trade_sums, s.f_keep)


@inlined
def trade_trade_flow(s: Any, sign: int, value: float) -> None:
    """Take in one public trade of so much notional."""
    sums = s.f_trade_sums
    add(sums, _FLOW, sign * value)
    add(sums, _VOLUME, value)
    add(sums, _COUNT, 1.0)


@inner
def order_trade_flow(s: Any) -> None:
    """Take in the aggressor's order that was closed."""


@inner
def read_trade_flow(s: Any, out: Any) -> None:
    """Write the group's features."""
    sums = s.f_trade_sums
    at = 0
    for h in _HORIZONS:
        if is_warm_trades(s, h):
            keep = s.f_keep[h]
            flow = sums[_FLOW, h] * keep
            volume = sums[_VOLUME, h] * keep
            out[at] = flow / s.f_known[COVER_TRADE, h]
            out[_SHARES + at] = max(-1.0, min(1.0, flow / volume)) if volume > TINY else 0.0
        at += 1
    at = _OTHERS
    for h in _RATE_HORIZONS:
        if is_warm_trades(s, h):
            out[at] = sums[_COUNT, h] * s.f_keep[h] / s.f_known[COVER_TRADE, h] * (_LN2 / HALF_LIVES_S[h])
        at += 1

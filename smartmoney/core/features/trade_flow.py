"""Trade flow: signed volume and its share, counts, the cost that takers pay. Survives a dropped book.

Volumes and spreads are per public trade; counts and roots of sizes are per aggressor's order, because how a venue prints the fills of one
order says nothing of anybody's intent.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inlined, inner, int64
from smartmoney.core.features.basis import add, add_aged, bps_base, decay, is_warm_orders, is_warm_trades
from smartmoney.core.features.horizons import COVER_TRADE, H1, H10, H120, H600, H3600, HALF_LIVES_S, HORIZONS, TINY
from smartmoney.core.features.spec import ANY, EVEN, ODD, OWN, POSITIVE, SIGNED_SHARE, Bounds, FeatureSpec, after_orders, after_trades

GROUP = "trade_flow"
_FLOW = int64(0)
VOLUME = int64(1)
_COUNT = int64(2)
_COST = int64(3)
_COST_VOLUME = int64(4)
_SUMS = 5
_SIGNS = int64(0)
ORDERS = int64(1)
_SIGNED_ROOTS = int64(2)
_ROOTS = int64(3)
_ORDER_SUMS = 4
_LN2 = math.log(2.0)

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_trade_sums", "f8", (_SUMS, HORIZONS)),
    ("f_order_sums", "f8", (_ORDER_SUMS, HORIZONS)),
]

_HORIZONS = (H1, H10, H120, H600, H3600)
_RATE_HORIZONS = (H10, H120, H600)
_ORDER_HORIZONS = (H10, H120)


def _feature(name: str, h: int, unit: str, parity: str, bounds: Bounds, source: str, description: str, *, scale: int = 0) -> FeatureSpec:
    seconds = HALF_LIVES_S[h]
    return FeatureSpec(
        name=f"{name}_{seconds:g}s",
        group=GROUP,
        unit=unit,
        parity=parity,
        half_life_s=seconds,
        warm_up=after_orders(seconds) if "order" in name or "root" in name else after_trades(seconds),
        bounds=bounds,
        source=source,
        scale=scale,
        description=description.format(h=f"{seconds:g}"),
    )


_SILANTYEV = "Silantyev 2019"
_SIGNED_VOLUME = "Sum over public trades of aggressor sign * notional * 2^(-t/{h}) / cover. COIN-M: contracts."
_TFI = "Signed notional / notional of public trades, both decayed by 2^(-t/{h}); 0 when the latter is below 1e-9."
_RATE = "Public trades, as printed, per second: sum of 2^(-t/{h}) * ln 2 / {h} / cover."
_SPREAD = (
    "Mean of 2 * aggressor sign * (price - m) / m * 10^4 over public trades, weighted by notional and decayed by 2^(-t/{h}); m is the mid "
    "of the last book frame before the trade in order of arrival, trades without one are left out. Where depth lags behind trades it can "
    "be below 0. NaN before such a trade."
)
_COUNTS = "Aggressors' buy orders less sell orders / orders, both decayed by 2^(-t/{h}) from the last trade of each; 0 below 1e-9 orders."
_ROOT = "Sum of sign * sqrt(notional) / sum of sqrt(notional) over aggressors' orders, decayed as in order_count_imbalance_{h}s."
_ORDER_RATE = "Aggressors' orders per second: sum of 2^(-t/{h}) * ln 2 / {h} / cover, t since the last trade of each."

FEATURES: tuple[FeatureSpec, ...] = (
    *(_feature("signed_volume", h, "quote", ODD, ANY, _SILANTYEV, _SIGNED_VOLUME, scale=1) for h in _HORIZONS),
    *(_feature("tfi", h, "ratio", ODD, SIGNED_SHARE, _SILANTYEV, _TFI) for h in _HORIZONS),
    *(_feature("trade_rate", h, "1/s", EVEN, POSITIVE, OWN, _RATE) for h in _RATE_HORIZONS),
    *(_feature("effective_spread", h, "bps", EVEN, ANY, "Huang, Stoll 1996", _SPREAD) for h in _ORDER_HORIZONS),
    *(_feature("order_count_imbalance", h, "ratio", ODD, SIGNED_SHARE, OWN, _COUNTS) for h in _ORDER_HORIZONS),
    *(_feature("root_volume_imbalance", h, "ratio", ODD, SIGNED_SHARE, OWN, _ROOT) for h in _ORDER_HORIZONS),
    *(_feature("order_rate", h, "1/s", EVEN, POSITIVE, OWN, _ORDER_RATE) for h in _ORDER_HORIZONS),
)
COUNT = len(FEATURES)
_TFI_AT = len(_HORIZONS)
_RATE_AT = _TFI_AT + len(_HORIZONS)
_SPREAD_AT = _RATE_AT + len(_RATE_HORIZONS)
_COUNTS_AT = _SPREAD_AT + len(_ORDER_HORIZONS)
_ROOTS_AT = _COUNTS_AT + len(_ORDER_HORIZONS)
_ORDER_RATE_AT = _ROOTS_AT + len(_ORDER_HORIZONS)


@inlined
def step_trade_flow(s: Any) -> None:
    """Decay."""
    decay(s.f_trade_sums, s.f_keep)
    decay(s.f_order_sums, s.f_keep)


@inlined
def trade_trade_flow(s: Any, tick: int, sign: int, value: float) -> None:
    """Take in one public trade of so much notional."""
    sums = s.f_trade_sums
    add(sums, _FLOW, sign * value)
    add(sums, VOLUME, value)
    add(sums, _COUNT, 1.0)
    if not math.isnan(s.f_mid):
        add(sums, _COST, 2.0 * sign * (tick - s.f_mid) / bps_base(s, s.f_mid) * 1e4 * value)
        add(sums, _COST_VOLUME, value)


@inlined
def order_trade_flow(s: Any) -> None:
    """Take in the aggressor's order that was closed."""
    root = math.sqrt(s.f_order_notional)
    add_aged(s.f_order_sums, _SIGNS, float(s.f_order_sign), s.f_aged)
    add_aged(s.f_order_sums, ORDERS, 1.0, s.f_aged)
    add_aged(s.f_order_sums, _SIGNED_ROOTS, s.f_order_sign * root, s.f_aged)
    add_aged(s.f_order_sums, _ROOTS, root, s.f_aged)


@inner
def _share(part: float, whole: float, keep: float) -> float:
    """Return a signed share, 0 when the whole, decayed, is as good as nothing."""
    return max(-1.0, min(1.0, part / whole)) if whole * keep > TINY else 0.0


@inner
def order_rate(s: Any, h: int) -> Any:
    """Return the aggressors' orders per second at the time of the read, 0 when nothing is known."""
    known = s.f_known[COVER_TRADE, h]
    return s.f_order_sums[ORDERS, h] * s.f_keep[h] / known * (_LN2 / HALF_LIVES_S[h]) if known > 0.0 else 0.0


@inner
def read_trade_flow(s: Any, out: Any) -> None:
    """Write the group's features."""
    sums = s.f_trade_sums
    for at, h in enumerate(_HORIZONS):
        if is_warm_trades(s, h):
            out[at] = sums[_FLOW, h] * s.f_keep[h] / s.f_known[COVER_TRADE, h]
            out[_TFI_AT + at] = _share(sums[_FLOW, h], sums[VOLUME, h], s.f_keep[h])
    for at, h in enumerate(_RATE_HORIZONS):
        if is_warm_trades(s, h):
            out[_RATE_AT + at] = sums[_COUNT, h] * s.f_keep[h] / s.f_known[COVER_TRADE, h] * (_LN2 / HALF_LIVES_S[h])
    for at, h in enumerate(_ORDER_HORIZONS):
        if is_warm_trades(s, h) and sums[_COST_VOLUME, h] > 0.0:
            out[_SPREAD_AT + at] = sums[_COST, h] / sums[_COST_VOLUME, h]
        if is_warm_orders(s, h):
            orders = s.f_order_sums
            out[_COUNTS_AT + at] = _share(orders[_SIGNS, h], orders[ORDERS, h], s.f_keep[h])
            out[_ROOTS_AT + at] = _share(orders[_SIGNED_ROOTS, h], orders[_ROOTS, h], s.f_keep[h])
            out[_ORDER_RATE_AT + at] = order_rate(s, h)

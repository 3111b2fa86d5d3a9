"""References of the groups that describe what the mid does and what moves it: slow, obvious, from the definitions."""

import math
from itertools import pairwise

from .history import SECOND, weighted


def volatility(h, t):
    """Give the group `volatility`."""
    out = {}
    returns = [(bar.t, bar.r) for bar in h.bars() if bar.r is not None]
    tens = h.bars(10)
    squares = [(bar.t, bar.r**2) for bar in tens if bar.r is not None]
    pairs = [(b.t, abs(a.r * b.r)) for a, b in pairwise(tens) if a.r is not None and b.r is not None]
    for half in (10, 120, 600, 3600):
        if not h.is_warm(half, t, "kept"):
            continue
        if returns:
            per_second = mean([(at, r * r) for at, r in returns], t, half)
            out[f"rv_{half}s"] = per_second / (1 - 0.5 ** (1 / half))
            if half == 120:
                out["sigma_bar_bps"] = math.sqrt(per_second * h.p.bar_s)
            if half in (120, 600):
                path = weighted([(at, abs(r)) for at, r in returns], t, half)
                out[f"efficiency_{half}s"] = abs(weighted(returns, t, half)) / path if path > 0 else 0.0
        if half in (120, 600) and pairs:
            bipower, variance = math.pi / 2 * mean(pairs, t, half), mean(squares, t, half)
            out[f"bipower_{half}s"] = bipower / 10 / (1 - 0.5 ** (1 / half))
            out[f"jump_share_{half}s"] = max(0, 1 - bipower / variance) if variance > 0 else 0.0
    return out


def mean(points, t, half):
    """Give the weighted mean of values."""
    return weighted(points, t, half) / weighted([(at, 1) for at, _ in points], t, half)


def kyle(h, t, half):
    """Give sum of F F, of F r and of r r over the bars that count, F in millions."""
    bars = [(bar.t, bar.flow / 1e6, bar.r) for bar in h.bars() if bar.r is not None]
    return [weighted(points, t, half) for points in zip(*(((at, f * f), (at, f * r), (at, r * r)) for at, f, r in bars), strict=True)] or [
        0,
        0,
        0,
    ]


def slope(h, t, half):
    """Give Kyle's lambda."""
    xx, xy, _ = kyle(h, t, half)
    return xy / xx if xx > 0 else 0.0


def impact(h, t):
    """Give the group `impact` without VPIN."""
    out = {}
    for half in (120, 600):
        if len(h.trades) < 50 or not h.is_warm(half, t, "kept"):
            continue
        xx, xy, yy = kyle(h, t, half)
        out[f"kyle_lambda_{half}s"] = lam = slope(h, t, half)
        if half == 600:
            continue
        out["kyle_r2_120s"] = xy**2 / (xx * yy) if xx * yy > 0 else 0.0
        bars = [bar for bar in h.bars() if bar.r is not None]
        traded = [(bar.t, abs(bar.r) / (bar.volume / 1e6)) for bar in bars if bar.volume > 0]
        if traded:
            out["amihud_120s"] = mean(traded, t, half)
        flow = weighted([(bar.t, bar.flow / 1e6) for bar in bars], t, half)
        deviation = math.sqrt(math.fsum(bar.r**2 * 0.25 ** ((t - bar.t) / SECOND / half) for bar in bars))
        residual = (weighted([(bar.t, bar.r) for bar in bars], t, half) - lam * flow) / deviation if deviation > 0 else 0.0
        out["impact_residual_120s"] = residual
        out["absorption_120s"] = 0.0 if flow == 0 else -math.copysign(1, flow) * residual
    orders = h.orders()
    changes = [
        (b.t, (b.ticks[-1] - a.ticks[-1]) / a.ticks[-1] * 1e4 if a.fills[0].epoch == b.fills[0].epoch else None)
        for a, b in pairwise(orders)
    ]
    products = [(b[0], a[1] * b[1]) for a, b in pairwise(changes) if a[1] is not None and b[1] is not None]
    if products and h.is_warm(120, t, "orders"):
        out["roll_120s"] = 2 * math.sqrt(max(0, -mean(products, t, 120)))
    return out


REFERENCES = (volatility, impact)

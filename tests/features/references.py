"""References of the groups that describe the book, the flow through it and its liquidity: slow, obvious, from the definitions."""

import math
from itertools import pairwise

import numpy as np

from smartmoney.core.features.schema import COLUMNS

from . import reference_book, reference_prices, reference_trades
from .history import MS, SECOND, History, weighted


def top(h, t):
    """Give the group `top`."""
    if not h.top:
        return {}
    mid, spread = h.mid(), (h.top.ask - h.top.bid) / h.mid() * 1e4
    qb, qa = h.top.bid_lots, h.top.ask_lots
    out = {
        "spread_bps": spread,
        "spread_ticks": h.top.ask - h.top.bid,
        "queue_imbalance": (qb - qa) / (qb + qa),
        "weighted_mid_bps": ((h.top.ask * qb + h.top.bid * qa) / (qb + qa) - mid) / mid * 1e4,
    }
    weighed = []
    for levels in (sorted(h.book[0].items(), reverse=True)[:20], sorted(h.book[1].items())[:20]):
        weighed.append(sum(lots * math.exp(-abs(tick - mid) / mid * 1e4 / 2) for tick, lots in levels))
    out["queue_imbalance_decayed"] = (weighed[0] - weighed[1]) / sum(weighed)
    for band in (1, 2, 5, 10):
        bid, ask = h.near(0, band), h.near(1, band)
        out[f"depth_bid_{band}bps"], out[f"depth_ask_{band}bps"] = h.value(bid), h.value(ask)
        if band >= 5:
            out[f"depth_imbalance_{band}bps"] = (bid - ask) / (bid + ask) if bid + ask else 0.0
    return out


def order_book_imbalance(h, t):
    """Give the group `order_book_imbalance`."""
    p = h.p.imbalance
    updates = []
    for f in h.frames:
        if not f.after:
            continue
        mine = [u for u in updates if u[1] == f.epoch]
        if not mine or f.t >= mine[-1][0] + round(p.min_update_interval * 1000) * MS:
            w = [math.exp(-p.distance_decay_rate * i) for i in range(p.max_depth_levels)]
            b = sum(x * lots for x, (_, lots) in zip(w, f.bids, strict=False))
            a = sum(x * lots for x, (_, lots) in zip(w, f.asks, strict=False))
            updates.append((f.t, f.epoch, (b - a) / (b + a)))
    mine = [(at, x) for at, epoch, x in updates if epoch == h.epoch]
    half = p.min_update_interval * math.log(0.5) / math.log(p.exponential_decay_factor)
    seen = sum(1 for f in h.good_frames() if f.epoch == h.epoch)
    if not mine or seen < 50 or (t - mine[0][0]) / 1e9 < max(10, half / 2) - 1e-9:
        return {}

    def mean(k):
        w = [p.exponential_decay_factor ** ((mine[k][0] - at) / 1e9 / p.min_update_interval) for at, _ in mine[: k + 1]]
        return sum(a * x for a, (_, x) in zip(w, mine, strict=False)) / sum(w)

    out = {"weighted_imbalance": mean(len(mine) - 1)}
    if len(mine) > p.momentum_window:
        out["imbalance_momentum"] = mean(len(mine) - 1) - mean(len(mine) - 1 - p.momentum_window)
    return out


def order_flow(h, t):
    """Give the group `order_flow`."""
    out = {}
    good = [f for f in h.good_frames() if f.epoch == h.epoch]
    near = [(c.t, (1 - 2 * c.side) * (c.new - c.old) * math.exp(-c.bps / 2)) for c in h.changes if c.epoch == h.epoch and c.bps <= 50]
    vectors = {f: level_events(f) for f in h.good_frames()}
    w = weights(h, vectors)
    deep = h.mean_deep(t)
    for half in (1, 10, 120, 600, 3600):
        if not h.is_warm(half, t, "book"):
            continue
        cover = h.cover(half, t, "book")
        sums = [weighted([(f.t, vectors[f][m]) for f in good], t, half) / cover for m in range(5)]
        out[f"ofi_l1_{half}s"] = sums[0] / h.mean_depth(t)
        if half <= 600:
            out[f"ofi_decayed_{half}s"] = weighted(near, t, half) / cover / h.mean_depth(t)
        if half == 10:
            out |= {f"ofi_multilevel_{m + 1}_10s": sums[m] / deep for m in range(5)}
        if half in (10, 120) and w is not None:
            out[f"ofi_integrated_{half}s"] = float(w @ np.array(sums)) / deep
    return out


def level_events(f):
    """Give the events e of the best five levels of one frame."""
    events = []
    for m in range(5):
        e = 0
        for sign, new, old, worst in ((1, f.bids, f.levels_before[0], -math.inf), (-1, f.asks, f.levels_before[1], math.inf)):
            (p, q), (p0, q0) = ((*side[m],) if m < len(side) else (worst, 0) for side in (new, old))
            e += sign * ((sign * p >= sign * p0) * q - (sign * p <= sign * p0) * q0)
        events.append(e)
    return events


def weights(h, vectors):
    """Give the integrated flow's weights as fitted at the last whole minute, None before 30 bars."""
    if not h.stretches:
        return None
    step = 10 * SECOND
    minute = h.now // (6 * step) * 6 * step
    bars = []
    for end in range((h.stretches[0].start // step + 1) * step, minute + 1, step):
        inside = [f for f in vectors if end - step <= f.t < end]
        begun = h.stretches[0].start // step * step < end - step
        dropped = any(end - step <= at < end for at in h.resets if at is not None)
        if inside and begun and not dropped:
            bars.append((end, np.sum([vectors[f] for f in inside], axis=0)))
    if len(bars) < 30:
        return None
    moments = sum(0.5 ** ((minute - end) / SECOND / 3600) * np.outer(v, v) for end, v in bars)
    w = np.linalg.eigh(moments)[1][:, -1]
    return w / abs(w).sum() * np.sign(w.sum())


def book_changes(h, t):
    """Give the group `book_changes`."""
    out = {}
    mine = [c for c in h.changes if c.epoch == h.epoch and c.bps <= 10]

    def lots(what, half, side=None, low=-1.0, high=10.0):
        rows = [c for c in mine if side in (None, c.side) and low < c.bps <= high]
        sizes = {"add": lambda c: max(c.new - c.old, 0), "cancel": lambda c: max(c.old - c.new, 0) - c.traded, "traded": lambda c: c.traded}
        return weighted([(c.t, sizes[what](c)) for c in rows], t, half)

    for half in (10, 120):
        if not h.is_warm(half, t, "book"):
            continue
        for name, what, sides in (("add", "add", (0, 1)), ("cancel", "cancel", (1, 0))):
            a, b = lots(what, half, sides[0]), lots(what, half, sides[1])
            out[f"{name}_imbalance_{half}s"] = (a - b) / (a + b) if a + b > 0 else 0.0
        if half == 10:
            out["cancel_add_ratio_10s"] = h.cancel_add(t)
            for side, name in enumerate(("bid", "ask")):
                for low, high in ((-1, 2), (2, 5), (5, 10)):
                    ratio = lots("cancel", half, side, low, high) / (lots("add", half, side, low, high) + 1)
                    out[f"cancel_add_ratio_{name}_{high}bps_10s"] = ratio
            left = lots("traded", half) + lots("cancel", half)
            out["traded_share_10s"] = lots("traded", half) / left if left > 0 else 0.0
            out["book_event_rate_10s"] = weighted([(c.t, 1) for c in mine], t, half) / h.cover(half, t, "book") * math.log(2) / half
    return out


def liquidity_patterns(h, t):
    """Give the group `liquidity_patterns`."""
    out = {**_presence(h, t), **_median_spread(h, t)}
    if not h.top:
        return out
    p = h.p.liquidity
    bids = sorted(h.book[0].items(), reverse=True)[: p.depth_levels]
    asks = sorted(h.book[1].items())[: p.depth_levels]
    thin = min(h.value(sum(lots for _, lots in side)) for side in (bids, asks))
    if "spread_median_bps" in out and "mm_presence" in out:
        tight = min(1, out["spread_median_bps"] / ((h.top.ask - h.top.bid) / h.mid() * 1e4))
        out["liquidity_score"] = (min(1, thin / (10 * p.order_notional_max)) * tight * max(out["mm_presence"], 0.1)) ** (1 / 3)
    out.update(_stress(h, t))
    return out


def _presence(h, t):
    if not h.samples or not h.is_warm(120, t, "kept"):
        return {}
    present = []
    for k, sample in enumerate(h.samples):
        mean = [(s.t, sum(s.near) / 2) for s in h.samples[: k + 1]]
        usual = weighted(mean, sample.t, 1800) / weighted([(at, 1) for at, _ in mean], sample.t, 1800)
        present.append((sample.t, int(min(sample.near) >= 0.5 * usual and min(sample.near) > 0), sample.epoch))
    total = weighted([(at, 1) for at, _, _ in present], t, 120)
    toggles = [(b[0], 1) for a, b in pairwise(present) if a[2] == b[2] and a[1] != b[1]]
    rates = [
        weighted([(c.t, c.new - c.old) for c in h.changes if c.side == side and c.new > c.old and c.bps <= 10], t, 120) for side in (0, 1)
    ]
    balance = 1 - abs(rates[0] - rates[1]) / (rates[0] + rates[1] + 1)
    share = weighted([(at, x) for at, x, _ in present], t, 120) / total
    return {"mm_presence": share * balance * max(0, 1 - weighted(toggles, t, 120) / total)}


def _median_spread(h, t):
    taken = []
    for f in h.frames:
        if f.after and (not taken or f.t >= taken[-1][0] + round(h.p.liquidity.update_frequency * 1000) * MS):
            taken.append((f.t, (f.after.ask - f.after.bid) / f.after.mid * 1e4))
    held = [x for _, x in taken[-h.p.liquidity.spread_window :]]
    if len(held) < 3 or len(h.good_frames()) < 50 or t - taken[0][0] < 10**10:
        return {}
    return {"spread_median_bps": float(np.median(held))}


def _stress(h, t):
    if not h.is_warm(10, t, "book"):
        return {}
    depths = [(s.t, math.log(1 + sum(h.notional(lots, s.top.mid) for lots in s.near))) for s in h.samples]
    ratios = [(s.t, s.ratio) for s in h.samples if s.ratio is not None]
    parts = (
        ([(s.t, s.spread) for s in h.samples], (h.top.ask - h.top.bid) / h.mid() * 1e4, 1e4 / h.mid(), 1),
        (depths, math.log(1 + h.value(h.near(0)) + h.value(h.near(1))), 0.25, -1),
        (ratios, h.cancel_add(t), 0.25, 1),
    )
    total = 0.0
    if any(len(known) < 30 for known, *_ in parts):
        return {}
    impacts = [(s.t, s.impact) for s in h.samples if s.impact is not None]
    if len(impacts) >= 30 and len(h.trades) >= 50 and h.is_warm(120, t, "kept"):
        w = np.array([0.5 ** ((impacts[-1][0] - at) / 1.8e12) for at, _ in impacts])
        usual = (w * [x for _, x in impacts]).sum() / w.sum()
        parts = (*parts, (impacts, reference_prices.slope(h, t, 120), max(abs(usual) / 4, 1e-9), 1))
    for known, x, floor, sign in parts:
        w = np.array([0.5 ** ((known[-1][0] - at) / 1.8e12) for at, _ in known])
        v = np.array([value for _, value in known])
        mean = (w * v).sum() / w.sum()
        total += sign * (x - mean) / max(floor, math.sqrt((w * (v - mean) ** 2).sum() / w.sum()))
    return {"liquidity_stress": 1 / (1 + math.exp(-2 * (total / len(parts) - 1)))}


REFERENCES = (
    top,
    order_book_imbalance,
    order_flow,
    book_changes,
    liquidity_patterns,
    *reference_trades.REFERENCES,
    *reference_prices.REFERENCES,
)


def new_history(parameters, **more):
    """Give an empty history that everything can be computed from."""
    return History(parameters, observers=reference_book.OBSERVERS, slope=reference_prices.slope, **more)


def reference_row(history, t):
    """Give every feature by name, NaN where a reference says nothing."""
    out = dict.fromkeys(COLUMNS, math.nan)
    if history.now is not None:
        parts = [reference(history, t) for reference in REFERENCES] + [observer.row(history, t) for observer in history.observers]
        for part in parts:
            assert not set(part) - set(COLUMNS)
            out.update(part)
    return out


def disagreements(ours, theirs):
    """Give the features whose two values differ, with both."""
    same = {name: math.isclose(ours[name], theirs[name], rel_tol=1e-9, abs_tol=1e-9) for name in COLUMNS}
    return {
        name: (ours[name], theirs[name]) for name in COLUMNS if not same[name] and not (math.isnan(ours[name]) and math.isnan(theirs[name]))
    }

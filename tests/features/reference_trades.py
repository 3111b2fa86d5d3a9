"""References of the groups that describe trades and aggressors' orders: slow, obvious, from the definitions."""

import cmath
import math
from itertools import pairwise

import numpy as np

from .history import SECOND, weighted


def trade_flow(h, t):
    """Give the group `trade_flow`."""
    out = {}
    for half in (1, 10, 120, 600, 3600):
        if not h.is_warm(half, t, "trades"):
            continue
        cover = h.cover(half, t, "trades")
        flow = weighted([(x.t, x.sign * x.value) for x in h.trades], t, half)
        volume = weighted([(x.t, x.value) for x in h.trades], t, half)
        out[f"signed_volume_{half}s"] = flow / cover
        out[f"tfi_{half}s"] = flow / volume if volume > 1e-9 else 0.0
        if half in (10, 120, 600):
            out[f"trade_rate_{half}s"] = weighted([(x.t, 1) for x in h.trades], t, half) / cover * math.log(2) / half
        known = [x for x in h.trades if x.mid is not None]
        if half in (10, 120) and known:
            costs = [(x.t, 2 * x.sign * (x.tick - x.mid) / x.mid * 1e4 * x.value) for x in known]
            out[f"effective_spread_{half}s"] = weighted(costs, t, half) / weighted([(x.t, x.value) for x in known], t, half)
    orders = h.orders()
    for half in (10, 120):
        if not h.is_warm(half, t, "orders"):
            continue
        for name, size in (("order_count", lambda o: 1), ("root_volume", lambda o: math.sqrt(o.value))):
            whole = weighted([(o.t, size(o)) for o in orders], t, half)
            signed = weighted([(o.t, o.sign * size(o)) for o in orders], t, half)
            out[f"{name}_imbalance_{half}s"] = signed / whole if whole > 1e-9 else 0.0
        out[f"order_rate_{half}s"] = order_rate(h, t, half)
    return out


def order_rate(h, t, half):
    """Give the aggressors' orders per second."""
    return weighted([(o.t, 1) for o in h.orders()], t, half) / h.cover(half, t, "trades") * math.log(2) / half


def large_trades(h, t):
    """Give the group `large_trades`."""
    out, large, z = {}, [], 0.0
    orders = h.orders()
    for n, order in enumerate(orders, 1):
        x = math.log(order.value)
        if n == 1:
            z = x
            continue
        if x > z and order.value > h.p.large_order_threshold:
            large.append(order)
        z += min(1, max(0.05, 50 / n)) * (0.99 if x > z else -0.01)
    swept = [o for o in orders if len(set(o.ticks)) > 1]
    for half in (10, 120, 600):
        if not h.is_warm(half, t, "orders"):
            continue
        cover = h.cover(half, t, "trades")
        out[f"large_trade_{half}s"] = weighted([(o.t, o.sign * o.value) for o in large], t, half) / cover
        if half == 10:
            out["large_trade_threshold"] = max(math.exp(z), h.p.large_order_threshold)
        if half == 120:
            out["large_trade_share_120s"] = weighted([(o.t, o.value) for o in large], t, 120) / weighted(
                [(o.t, o.value) for o in orders], t, 120
            )
        if half <= 120:
            out[f"sweep_{half}s"] = weighted([(o.t, o.sign * len(set(o.ticks))) for o in swept], t, half) / cover
            out[f"sweep_slip_{half}s"] = weighted([(o.t, o.sign * abs(o.ticks[-1] - o.ticks[0])) for o in swept], t, half) / cover
    return out


def arrivals(h, t):
    """Give the group `arrivals`."""
    out = {}
    orders = h.orders()
    for name, half, warm in (("100ms", 0.1, 10), ("1s", 1, 10), ("10s", 10, 10), ("60s", 60, 60)):
        if h.is_warm(warm, t, "orders"):
            base = order_rate(h, t, 600) / 2
            sides = [
                math.fsum(0.5 ** ((t - o.t) / SECOND / half) for o in orders if o.sign == sign) * math.log(2) / half for sign in (1, -1)
            ]
            out[f"hawkes_log_ratio_{name}"] = math.log((base + sides[0]) / (base + sides[1]))
    gaps = [(b.t, (b.start - a.start) / SECOND) for a, b in pairwise(orders) if a.fills[0].epoch == b.fills[0].epoch]
    if gaps and h.is_warm(120, t, "orders"):
        w = np.array([0.5 ** ((gaps[-1][0] - at) / SECOND / 120) for at, _ in gaps])
        x = np.array([gap for _, gap in gaps])
        mean = (w * x).sum() / w.sum()
        cv = math.sqrt((w * (x - mean) ** 2).sum() / w.sum()) / mean if mean > 0 else 0.0
        out |= {"interarrival_mean_120s": mean, "interarrival_cv_120s": cv, "burstiness_120s": (cv - 1) / (cv + 1)}
    return out


def splitting(h, t):
    """Give the group `splitting`."""
    out = {}
    orders = h.orders()
    if h.is_warm(600, t, "orders"):
        for name, sign in (("buy", 1), ("sell", -1)):
            mine = [o for o in orders if o.sign == sign]
            out[f"clockwork_{name}_600s"] = _rayleigh(mine, t)
            out[f"repeated_size_{name}_600s"] = _heaviest(mine, t)
        a, b = out["clockwork_buy_600s"], out["clockwork_sell_600s"]
        out["clockwork_imbalance_600s"] = (a - b) / (a + b) if a + b > 0 else 0.0
    if h.is_warm(10, t, "orders"):
        buy, sell = _cusums([o.sign for o in orders])
        out |= {"splitting_cusum_buy": buy, "splitting_cusum_sell": sell, "splitting_cusum_imbalance": (buy - sell) / (buy + sell + 1)}
    return out


def _rayleigh(orders, t):
    if not orders:
        return 0.0
    weights = [0.5 ** ((t - o.t) / SECOND / 600) for o in orders]
    scores = []
    for period in (1, 2, 5, 10, 15, 30, 60, 120):
        turns = [(o.start % (period * SECOND)) / (period * SECOND) for o in orders]
        vector = sum(w * cmath.exp(2j * math.pi * turn) for w, turn in zip(weights, turns, strict=True))
        scores.append(abs(vector) ** 2 / sum(w * w for w in weights))
    return max(scores)


def _heaviest(orders, t):
    """Run Space-Saving with 16 counters in a dictionary: lots to [weight, error], in the order in which sizes took their counters."""
    if not orders:
        return 0.0
    counters, last = {}, orders[0].t
    for order in orders:
        for pair in counters.values():
            pair[:] = [x * 0.5 ** ((order.t - last) / SECOND / 600) for x in pair]
        last = order.t
        if order.lots in counters:
            counters[order.lots][0] += 1
        elif len(counters) < 16:
            counters[order.lots] = [1.0, 0.0]
        else:
            # The newcomer takes the place of the first smallest one.
            least = min(counters, key=lambda lots: counters[lots][0])
            smallest = counters[least][0]
            counters = {(order.lots if k == least else k): ([smallest + 1, smallest] if k == least else v) for k, v in counters.items()}
    sure = max(weight - error for weight, error in counters.values()) * 0.5 ** ((t - last) / SECOND / 600)
    total = weighted([(o.t, 1) for o in orders], t, 600)
    return sure / total if total > 1e-9 else 0.0


def clocks(h, t):
    """Give the group `clocks`, by the renewal equation over all past steps."""
    orders = h.orders()
    mine = [o for o in orders if o.fills[0].epoch == h.epoch]
    if not mine or mine[-1].t - mine[0].t < 60 * SECOND or not h.is_warm(60, t, "orders"):
        return {}
    out = {}
    for side, sign in (("buy", 1), ("sell", -1)):
        weights = _surprise([o.t for o in orders if o.sign == sign], [o.t for o in mine[1:] if o.sign == sign], mine[0].t)
        for shortest in (4, 8, 16):
            periods = [shortest * 2 ** (j / 5) for j in range(5)]
            out[f"clock_{shortest}s_{side}"] = math.log1p(sum(_renewals(weights, p, 32, 0.12, mine[-1].t - mine[0].t) for p in periods) / 5)
        out[f"pace_{side}"] = math.log1p(sum(_renewals(weights, 2 * 1.6**j, 10, 0.6, mine[-1].t - mine[0].t) for j in range(5)) / 5)
    return out


def _surprise(before, mine, first):
    """Give time since the first order and 1 / rate of each, the rate by the orders of its side before it."""
    found, before = [], np.array(before)
    place = len(before) - len(mine)
    for n, at in enumerate(mine, place):
        if at <= first:
            continue
        ages = (at - before[:n]) / SECOND
        r1, r10, r60 = ((0.5 ** (ages / half)).sum() * math.log(2) / half for half in (1, 10, 60))
        rate = r1 / 4 + r10 / 4 + r60 / 2 / (1 - 0.5 ** ((at - first) / SECOND / 60))
        if rate > 1e-4:
            found.append((at - first, 1 / rate))
    return found


def _renewals(weights, period, steps, spread, now):
    d = round(period * SECOND / steps)
    low, high, memory = steps * (1 - spread), steps * (1 + spread), max(60, 10 * period)

    def beyond(age):
        return min(1.0, max(0.0, (high - max(age, low)) / (high - low)))

    fresh, x = {}, {}
    for at, weight in weights:
        n = int(at * (1 / d))
        fresh[n] = fresh.get(n, 0.0) + weight
    for n in sorted(fresh):
        if n == int(now * (1 / d)):
            continue
        came = math.fsum(mass * (beyond(n - m) - beyond(n - m + 1)) for m, mass in x.items() if n - m <= high)
        x[n] = min(1e12, fresh[n] * (math.log(2) / memory + 0.5 ** (period / memory) / (d / SECOND) * came))
    return math.fsum(mass * beyond(int(now * (1 / d)) - m) for m, mass in x.items())


def _cusums(signs):
    a, lags = np.zeros(6), np.zeros(6)
    c = np.zeros((2, 3))
    shares = np.array([0.05, 0.1, 0.2])
    for sign in signs:
        told = float(a @ lags)
        chance = (1 + sign * min(0.9, max(-0.9, told))) / 2
        for k, side in enumerate((1, -1)):
            q = (1 - shares) * chance + shares * (sign == side)
            c[k] = np.clip(c[k] + np.log(q / chance), 0, 50)
        a += 0.02 * (sign - told) * lags / 6
        lags = np.array([sign, *lags[:-1]])
    return c[0].max(), c[1].max()


def vpin(h, t):
    """Give the feature `vpin`, by walking over all trades."""
    del t
    buckets, size, volume, flow = [], 0.0, 0.0, 0.0
    seen, before = 0.0, None
    for n, trade in enumerate(h.trades, 1):
        # The volume rate is a recursion here only to spare a sum over all earlier trades at each trade.
        seen = seen * 0.5 ** ((trade.t - before) / SECOND / 3600) + trade.value if before is not None else trade.value
        before = trade.t
        cover = _cover_at(h, trade.t)
        rate = 60 * seen * math.log(2) / 3600 / cover if n >= 50 and cover >= 1 - 0.5 ** (60 / 3600) - 1e-9 else 0.0
        size = size or rate
        left = trade.value
        for _ in range(50):
            if size == 0 or left <= 0:
                break
            room = size - volume
            part = min(left, room)
            left -= part
            volume += part
            flow += trade.sign * part
            if part < room:
                break
            buckets.append(abs(flow) / size)
            size, volume, flow = rate, 0.0, 0.0
    last = buckets[-50:]
    return {"vpin": sum(last) / len(last)} if len(last) >= 25 else {}


def _cover_at(h, at):
    return math.fsum(
        0.5 ** ((at - part.end) / SECOND / 3600) - 0.5 ** ((at - part.start) / SECOND / 3600)
        for part in h.stretches
        if not part.blind and part.end <= at
    )


REFERENCES = (trade_flow, large_trades, arrivals, splitting, clocks, vpin)

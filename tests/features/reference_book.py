"""References of what is defined as a walk through the book's events: icebergs, walls, depletions, the microprice's table.

They are observers of a `History`: it tells each what happened, in order, and lets it look at the plain dictionaries of the book.
"""

import math

import numpy as np

from .history import MS, SECOND, weighted


class Icebergs:
    """Follow the prices that were traded at."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.table, self.refilled, self.matched, self.absorbed, self.outcomes, self.latest = [], [], [], [], [], None

    def trade(self, h, trade):
        if self.latest is None:
            return
        side = 0 if trade.sign < 0 else 1
        entry = next((e for e in self.table if (e["side"], e["tick"]) == (side, trade.tick)), None)
        if entry is None:
            lots = h.book[side].get(trade.tick, 0)
            entry = {"side": side, "tick": trade.tick, "executed": 0, "cycles": 0, "peak": lots, "shown": lots, "waiting": 0, "since": 0}
            if len(self.table) == 32:
                self.table.remove(min(self.table, key=lambda e: e["last"]))
            self.table.append(entry)
        if self.flagged(entry):
            self.absorbed.append((trade.t, trade.value * (1 - 2 * side)))
        entry["executed"] += trade.lots
        entry["last"] = trade.t
        if trade.t > self.latest:
            entry["since"] = entry["since"] if entry["waiting"] else trade.t
            entry["waiting"] += trade.lots

    @staticmethod
    def flagged(entry):
        return entry["cycles"] >= 3 and entry["peak"] > 0 and entry["executed"] > 3 * entry["peak"]

    def frame(self, h, now, before):
        del before
        for entry in list(self.table):
            if abs(entry["tick"] - (h.top.ask if entry["side"] else h.top.bid)) > 10:
                self.table.remove(entry)
        for entry in self.table:
            lots, v = h.book[entry["side"]].get(entry["tick"], 0), entry["waiting"]
            if v and now - entry["since"] <= 300 * MS:
                r = min(v, max(0, lots - entry["shown"] + v))
                self.matched.append((now, v))
                if r:
                    self.refilled.append((now, entry["side"], r))
                    entry["cycles"] += 1
                if entry["shown"] and lots in (entry["shown"], entry["shown"] - v):
                    self.outcomes.append((now, entry["side"], lots == entry["shown"]))
            entry.update(waiting=0, shown=lots, peak=max(entry["peak"], lots))
        self.latest = now

    def row(self, h, t):
        return self.refills(t) | self.icebergs(h, t) if h.is_warm(60, t, "book") else {}

    def refills(self, t):
        def usual(known, at):
            refilled = weighted([(x, 1) for x, _, whole in known if whole], at, 600)
            return (refilled + 1) / (weighted([(x, 1) for x, *_ in known], at, 600) + 2)

        out = {}
        for side, name in ((0, "bid"), (1, "ask")):
            whole, both = (
                weighted([(x, 1) for x, s, is_whole in self.outcomes if s == side and (is_whole or every)], t, 60) for every in (0, 1)
            )
            out[f"refill_share_{name}"] = (whole + usual(self.outcomes, t)) / (both + 1)
            odds, last = 1.0, t
            for n, (x, s, is_whole) in enumerate(self.outcomes):
                odds, last = 1 + (odds - 1) * 0.5 ** (max(0, x - last) / SECOND / 60), x
                if s == side:
                    p = usual(self.outcomes[:n], x)
                    odds = min(1e12, odds * ((p + 0.3 * (1 - p)) / p if is_whole else 0.7))
            out[f"refill_evidence_{name}"] = math.log(2 + (odds - 1) * 0.5 ** ((t - last) / SECOND / 60))
        return out

    def icebergs(self, h, t):
        if not h.is_warm(120, t, "book"):
            return {}
        bid, ask = (weighted([(at, r) for at, side, r in self.refilled if side == which], t, 120) for which in (0, 1))
        matched = weighted(self.matched, t, 120)
        best = [max((e["executed"] / e["peak"] for e in self.table if e["side"] == s and self.flagged(e)), default=0.0) for s in (0, 1)]
        return {
            "refill_imbalance_120s": (bid - ask) / (bid + ask) if bid + ask else 0.0,
            "refill_ratio_120s": (bid + ask) / matched if matched else 0.0,
            "iceberg_bid": best[0],
            "iceberg_ask": best[1],
            "iceberg_flow_120s": weighted(self.absorbed, t, 120) / h.cover(120, t, "book"),
        }


class Walls:
    """Follow quotes much larger than usual."""

    def __init__(self):
        self.usual, self.adds = [0.0] * 3, [0] * 3
        self.trades = [0, 0]
        self.reset()

    def reset(self):
        self.walls, self.spoofs = [], []

    def trade(self, h, trade):
        del h
        self.trades[0 if trade.sign > 0 else 1] += 1

    def level(self, h, now, side, tick, old, new, bps, traded):
        wall = next((w for w in self.walls if (w["side"], w["tick"]) == (side, tick)), None)
        if wall:
            wall["traded"] += traded
            wall["peak"] = max(wall["peak"], new)
            if new < wall["peak"] / 2:
                self._close(h, now, wall)
        if new <= old:
            return
        b = 0 if bps <= 2 else 1 if bps <= 5 else 2
        best = h.top.ask if side else h.top.bid
        if not wall and self.adds[b] >= 50 and new > 5 * self.usual[b] and tick != best:
            entry = {"side": side, "tick": tick, "t": now, "peak": new, "traded": 0, "trades": self.trades[side]}
            self.walls = [*self.walls[-31:], entry]
        size = new
        if self.adds[b] == 0:
            self.usual[b] = size
        elif size > self.usual[b]:
            self.usual[b] *= 1.02
        elif size < self.usual[b]:
            self.usual[b] /= 1.02
        self.adds[b] += 1

    def _close(self, h, now, wall):
        depth = h.mean_depth(now)
        if now - wall["t"] < 2 * SECOND and wall["traded"] < 0.05 * wall["peak"] and depth > 0:
            driven = self.trades[wall["side"]] > wall["trades"]
            self.spoofs.append((now, (1 - 2 * wall["side"]) * wall["peak"] / depth, driven))
        self.walls.remove(wall)

    def row(self, h, t):
        out = {}
        for half in (10, 120):
            if h.is_warm(half, t, "book"):
                cover = h.cover(half, t, "book")
                out[f"spoof_{half}s"] = weighted([(at, x) for at, x, _ in self.spoofs], t, half) / cover
                out[f"spoof_traded_{half}s"] = weighted([(at, x) for at, x, driven in self.spoofs if driven], t, half) / cover
        if h.top:
            sums = [0, 0]
            for wall in self.walls:
                lots = h.book[wall["side"]].get(wall["tick"], 0)
                sums[wall["side"]] += lots if lots >= wall["peak"] / 2 else 0
            out["wall_imbalance"] = (sums[0] - sums[1]) / sum(sums) if sum(sums) else 0.0
        return out


class Depletions:
    """Follow a side's best five levels, and the once-a-second depth."""

    def __init__(self):
        self.shares, self.pairs = [], []
        self.reset()

    def reset(self):
        self.sample = None
        self.no_top()

    def no_top(self):
        self.before, self.holes = [None, None], [None, None]

    def sampled(self, h, now, lots):
        usual = weighted([(s.t, sum(s.near)) for s in h.samples], now, 600) / weighted([(s.t, 1) for s in h.samples], now, 600)
        if self.sample and now - self.sample[0] <= 2 * SECOND:
            self.pairs.append((now, lots - self.sample[1], self.sample[2]))
        self.sample = (now, lots, usual - lots)

    def frame(self, h, now, before):
        del before
        for side, levels in ((0, sorted(h.book[0].items(), reverse=True)), (1, sorted(h.book[1].items()))):
            lots = sum(size for _, size in levels[:5])
            hole = self.holes[side]
            if hole:
                for delay in [d for d in (1, 5) if d not in hole["done"] and now >= hole["t"] + d * SECOND]:
                    share = (lots - hole["after"]) / (hole["before"] - hole["after"])
                    self.shares.append((now, delay, min(1, max(0, share))))
                    hole["done"].add(delay)
                if len(hole["done"]) == 2:
                    self.holes[side] = hole = None
            was = self.before[side]
            if not hole and was is not None and lots < 0.7 * was:
                self.holes[side] = {"t": now, "before": was, "after": lots, "done": set()}
            self.before[side] = lots

    def row(self, h, t):
        out = {}
        squares = weighted([(at, x * x) for at, _, x in self.pairs], t, 600)
        if squares > 0 and h.is_warm(600, t, "kept"):
            c = min(1 - 2**-10, weighted([(at, dy * x) for at, dy, x in self.pairs], t, 600) / squares)
            out["resilience_half_life_s"] = min(3600, -math.log(2) / math.log(1 - c)) if c > 0 else 3600
        for delay in (1, 5):
            seen = [(at, share) for at, d, share in self.shares if d == delay]
            if len(seen) >= 5:
                out[f"recovery_{delay}s_share"] = weighted(seen, t, 600) / weighted([(at, 1) for at, _ in seen], t, 600)
        return out


class Microprice:
    """Count transitions and solve the full system with NumPy."""

    def __init__(self):
        self.counts, self.moves = np.zeros((33, 33)), np.zeros(33)
        self.moved, self.next_fit, self.table = 0, 200, None

    @staticmethod
    def bin(top):
        d = (top.bid_lots - top.ask_lots) / (top.bid_lots + top.ask_lots)
        return int(math.copysign(min(5, math.floor((11 * abs(d) + 1) / 2)), d))

    def state(self, top, sign=1):
        return (min(3, top.ask - top.bid) - 1) * 11 + 5 + sign * self.bin(top)

    def frame(self, h, now, before):
        del now
        if before is None:
            return
        move = min(1, max(-1, h.top.mid - before.mid))
        for sign in (1, -1):
            self.counts[self.state(before, sign), self.state(h.top, sign)] += 1
            self.moves[self.state(before, sign)] += sign * move
        if move:
            self.moved += 1
            if self.moved >= self.next_fit:
                self.next_fit = self.moved + min(self.moved, 20_000)
                self.fit()

    def fit(self):
        rows = self.counts.sum(axis=1)
        seen = np.where(rows > 0, rows, 1)
        transition, r = self.counts / seen[:, None], self.moves / seen
        # A basis of the odd vectors: +1 at a bin, -1 at its mirror image.
        odd = np.zeros((33, 15))
        for j in range(15):
            centre = (j // 5) * 11 + 5
            odd[centre + 1 + j % 5, j], odd[centre - 1 - j % 5, j] = 1, -1
        g = np.linalg.solve(odd.T @ (np.eye(33) - transition) @ odd / 2, odd.T @ r / 2).reshape(3, 5)
        self.table = np.maximum.accumulate(np.maximum(g, 0), axis=1)

    def row(self, h, t):
        del t
        if self.table is None or not h.top:
            return {}
        spread, k = h.top.ask - h.top.bid, self.bin(h.top)
        move = 0.0 if k == 0 else math.copysign(min(spread, self.table[min(3, spread) - 1, abs(k) - 1]), k)
        return {"microprice_bps": move / h.top.mid * 1e4}


OBSERVERS = (Icebergs, Walls, Depletions, Microprice)

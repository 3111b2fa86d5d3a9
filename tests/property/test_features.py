"""The compiled features against a slow, obvious reference that keeps the whole history, and against the laws that every feature obeys."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import njit

from smartmoney.core.book.kernel import clear, level_lots, set_level
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.kernel import on_book, on_level, on_reset, on_trade, read_features
from smartmoney.core.features.parameters import FeatureParameters, ImbalanceParameters, LiquidityParameters
from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES, as_mapping
from smartmoney.core.features.slots import COLUMNS
from smartmoney.core.features.state import FEATURE_FIELDS, STATE, configure

LEVEL, FRAME, TRADE, RESET = range(4)
REFERENCE = 20_000
START = 1_700_000_000_123_000_000
MS = 1_000_000
SCRATCH = ("f_keep", "f_level_ticks", "f_level_lots")
INSTRUMENT = Instrument(
    venue="x", market=Market.SPOT, symbol="AB", name="A/B", base="A", quote="B", tick_size=Decimal("0.05"), lot_size=Decimal("0.001")
)
PARAMETERS = FeatureParameters(
    imbalance=ImbalanceParameters(max_depth_levels=4, momentum_window=5, min_update_interval=0.7),
    liquidity=LiquidityParameters(spread_window=6, depth_levels=3, update_frequency=2.5, order_notional_max=40.0),
    large_order_threshold=2.0,
    bar_s=60.0,
)

# A stream is an int64 array of rows: kind, time, side or sign, tick, lots. LEVEL rows belong to the FRAME row that follows them.


@njit
def apply_row(s, row):
    kind = row[0]
    if kind == LEVEL:
        old = level_lots(s, row[2], row[3])
        if old != row[4]:
            if s.phase == 1:
                on_level(s, row[2], row[3], old, row[4])
            set_level(s, row[2], row[3], row[4])
    elif kind == FRAME:
        s.last_event_ns = max(s.last_event_ns, row[1])
        s.phase = 1
        on_book(s, row[1])
    elif kind == TRADE:
        s.last_event_ns = max(s.last_event_ns, row[1])
        on_trade(s, row[1], row[3], row[4], row[2])
    else:
        s.phase = 0
        clear(s)
        on_reset(s)


@njit
def apply_rows(states, rows):
    for k in range(len(rows)):
        apply_row(states[0], rows[k])


@njit
def read_after_each(states, rows, out):
    for k in range(len(rows)):
        apply_row(states[0], rows[k])
        read_features(states[0], 0, out[k])


@njit
def read(states, out):
    read_features(states[0], 0, out)


def fresh(parameters=PARAMETERS, *, reference=0.0):
    states = np.zeros(1, STATE)
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id"):
        states[name] = -1
    configure(states[0], INSTRUMENT, parameters)
    states["f_reference"] = reference
    return states


def row_of(states):
    out = np.empty(len(COLUMNS))
    read(states, out)
    return out


def table_of(rows, parameters=PARAMETERS, *, reference=0.0):
    """Read after every row; between the levels of a frame the book is half changed, so those rows are left out."""
    out = np.empty((len(rows), len(COLUMNS)))
    read_after_each(fresh(parameters, reference=reference), rows, out)
    return out[rows[:, 0] != LEVEL]


# ---------------------------------------------------------------------------------------------------------------- streams


def random_stream(seed, events, *, wild):
    """Give a stream: a drifting book and trades; `wild` adds gaps, bursts, time going back, empty sides, crossed books and resets."""
    rng = np.random.default_rng(seed)
    rows = []
    ts, mid = START, REFERENCE
    synced = False
    for _ in range(events):
        pick = rng.random()
        if wild:
            ts += int(rng.choice([0, 0, 1, 3, 10, 40, 100, 250, 999, 1000, 3100, -70], p=[0.1, 0.1, *[0.08] * 10])) * MS
            if pick < 0.004:
                ts += int(rng.integers(5, 400)) * 1000 * MS
        else:
            ts += int(rng.integers(100, 500)) * MS
        if wild and pick > 0.997:
            rows.append((RESET, ts, 0, 0, 0))
            synced = False
        elif pick < 0.45:
            tick = mid + int(rng.integers(-3, 4))
            rows.append((TRADE, ts, int(rng.choice([-1, 1])), tick, int(np.exp(rng.normal(3, 1.5))) + 1))
        else:
            mid += int(rng.choice([-1, 0, 0, 0, 1]))
            rows += _levels(rng, ts, mid, synced=synced, wild=wild)
            rows.append((FRAME, ts, 0, 0, 0))
            synced = True
    return np.array(rows, np.int64)


def _levels(rng, ts, mid, *, synced, wild):
    rows = []
    if not synced or (wild and rng.random() < 0.05):
        rows += [(LEVEL, ts, side, mid + (2 * side - 1) * d, int(rng.integers(1, 60))) for side in (0, 1) for d in range(1, 25)]
    for side in (0, 1):
        away = 2 * side - 1
        if not (wild and rng.random() < 0.02):
            # The other side's levels that the mid has run over go; now and then they are left, and the book is crossed.
            rows += [(LEVEL, ts, side, mid - away * d, 0) for d in range(4)]
        if wild and rng.random() < 0.01:
            rows += [(LEVEL, ts, side, tick, 0) for tick in range(mid - 60, mid + 61)]
            continue
        for _ in range(int(rng.integers(1, 6))):
            distance = int(rng.integers(1, 120)) if rng.random() < 0.2 else int(rng.integers(1, 15))
            rows.append((LEVEL, ts, side, mid + away * distance, int(rng.choice([0, 0, *rng.integers(1, 60, 5)]))))
        if not wild:
            rows.append((LEVEL, ts, side, mid + away, int(rng.integers(1, 60))))
    return rows


def streams(most):
    return st.builds(random_stream, st.integers(0, 2**32 - 1), st.integers(1, most), wild=st.sampled_from([True, True, True, False]))


LAWS = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


# -------------------------------------------------------------------------------------------------------------- reference


class Reference:
    """Remember everything, and compute each feature from its definition by sums over the whole history."""

    def __init__(self, parameters):
        self.p = parameters
        self.book = ({}, {})
        self.synced = False
        self.now = None
        self.blind = False
        self.top = None  # bid tick, bid lots, ask tick, ask lots
        self.stretches = []  # (from, to, top held, blind, epoch)
        self.resets = []
        self.epoch = 0
        self.level_changes, self.changes = [], []  # of this frame; (t, epoch, side, d, distance, cancelled)
        self.imbalances = []  # (t, epoch, e)
        self.frames = []  # epoch of each frame that had a top before and after it
        self.pending = []
        self.trades = []  # (t, value, sign, tick)
        self.samples, self.updates, self.spreads = [], [], []

    def feed(self, kind, ts, side, tick, lots):
        if kind == LEVEL:
            old = self.book[side].get(tick, 0)
            if self.synced and old != lots:
                self.level_changes.append((side, tick, lots - old))
            self.book[side][tick] = lots
            if lots == 0:
                del self.book[side][tick]
        elif kind == FRAME:
            self.synced = True
            self._frame(self._clock(ts))
        elif kind == TRADE:
            self._trade(self._clock(ts), side, tick, lots)
        else:
            self.synced, self.top, self.blind = False, None, True
            self.book[0].clear()
            self.book[1].clear()
            self.level_changes, self.pending = [], []
            self.epoch += 1
            self.resets.append(self.now)

    def _clock(self, ts):
        self.before = self.now
        if self.now is None:
            self.now = ts
        elif ts > self.now:
            self.stretches.append((self.now, ts, self.top, self.blind, self.epoch))
            self.now = ts
        self.blind = False
        return self.now

    def _trade(self, now, sign, tick, lots):
        self.trades.append((now, lots * 0.001 * tick * 0.05, sign, tick))
        self.pending.append([now, 1 if sign > 0 else 0, tick, lots])
        self.pending = self.pending[-256:]

    def _frame(self, now):
        book_top = None
        if self.book[0] and self.book[1] and max(self.book[0]) < min(self.book[1]):
            bid, ask = max(self.book[0]), min(self.book[1])
            book_top = (bid, self.book[0][bid], ask, self.book[1][ask])
        was = self.top
        split = [self._split(*change) for change in self.level_changes] if was else []
        self.level_changes = []
        if was and book_top:
            self.changes += [(now, self.epoch, *part) for part in split]
            pb, qb, pa, qa = book_top
            ob, nb, oa, na = was
            e = (pb >= ob) * qb - (pb <= ob) * nb - (pa <= oa) * qa + (pa >= oa) * na
            self.imbalances.append((now, self.epoch, e))
            self.frames.append(self.epoch)
        self.top = book_top
        if book_top:
            self._sample(now)

    def _split(self, side, tick, d):
        mid = self.mid()
        distance = abs(tick - mid) / mid * 1e4
        traded = 0
        if d < 0 and distance <= 10:
            for trade in self.pending:
                if self.before - trade[0] <= 300 * MS and trade[1] == side and trade[2] == tick:
                    part = min(trade[3], -d - traded)
                    trade[3] -= part
                    traded += part
        return side, d, distance, max(-d, 0) - traded

    def _sample(self, now):
        bid, _, ask, _ = self.top
        spread = (ask - bid) / self.mid() * 1e4
        if not self.samples or now >= self.samples[-1]["t"] + 1000 * MS:
            near = [self.near(0), self.near(1)]
            ratio = self.cancel_add(now) if self.cover(10, now, book=True, epoch=self.epoch) >= 0.5 - 1e-9 else None
            mean = [(t["t"], sum(t["near"]) / 2) for t in self.samples] + [(now, sum(near) / 2)]
            usual = weighted(mean, now, 1800) / weighted([(t, 1) for t, _ in mean], now, 1800)
            present = min(near) >= 0.5 * usual and min(near) > 0
            depth = math.log(1 + sum(self.value(lots) for lots in near))
            self.samples.append(
                {"t": now, "near": near, "ratio": ratio, "spread": spread, "depth": depth, "present": present, "epoch": self.epoch}
            )
        p = self.p.imbalance
        mine = [u for u in self.updates if u[1] == self.epoch]
        if not mine or now >= mine[-1][0] + round(p.min_update_interval * 1000) * MS:
            bids = sorted(self.book[0].items(), reverse=True)[: p.max_depth_levels]
            asks = sorted(self.book[1].items())[: p.max_depth_levels]
            w = [math.exp(-p.distance_decay_rate * i) for i in range(p.max_depth_levels)]
            b = sum(x * lots for x, (_, lots) in zip(w, bids, strict=False))
            a = sum(x * lots for x, (_, lots) in zip(w, asks, strict=False))
            self.updates.append((now, self.epoch, (b - a) / (b + a)))
        if not self.spreads or now >= self.spreads[-1][0] + round(self.p.liquidity.update_frequency * 1000) * MS:
            self.spreads.append((now, spread))

    def mid(self):
        return (self.top[0] + self.top[2]) / 2

    def value(self, lots):
        return lots * 0.001 * self.mid() * 0.05

    def near(self, side):
        mid = self.mid()
        return sum(lots for tick, lots in self.book[side].items() if abs(tick - mid) <= mid * 5e-4)

    def cover(self, half, t, *, book, epoch=None):
        total = 0.0
        tail = [] if self.now is None else [(self.now, t, self.top, self.blind, self.epoch)]
        for a, b, top, blind, e in self.stretches + tail:
            known = top is not None if book else not blind
            if known and (not book or epoch is None or e == epoch) and b > a:
                total += 0.5 ** ((t - b) / 1e9 / half) - 0.5 ** ((t - a) / 1e9 / half)
        return total

    def cancel_add(self, t):
        mine = [c for c in self.changes if c[1] == self.epoch and c[4] <= 10]
        cancelled = weighted([(c[0], c[5]) for c in mine], t, 10)
        return cancelled / (weighted([(c[0], max(c[3], 0)) for c in mine], t, 10) + 1)

    def row(self, t=None):
        out = dict.fromkeys(COLUMNS, math.nan)
        if self.now is None:
            return out
        t = self.now if t is None else max(t, self.now)
        if self.top:
            self._top(out)
        self._imbalance(out, t)
        self._order_flow(out, t)
        self._trade_flow(out, t)
        self._volatility(out, t)
        self._liquidity(out, t)
        return out

    def _top(self, out):
        bid, qb, ask, qa = self.top
        out["spread_bps"] = (ask - bid) / self.mid() * 1e4
        out["queue_imbalance"] = (qb - qa) / (qb + qa)
        out["weighted_mid_bps"] = ((ask * qb + bid * qa) / (qb + qa) - self.mid()) / self.mid() * 1e4
        out["depth_bid_5bps"] = self.value(self.near(0))
        out["depth_ask_5bps"] = self.value(self.near(1))

    def _imbalance(self, out, t):
        p = self.p.imbalance
        mine = [(at, x) for at, epoch, x in self.updates if epoch == self.epoch]
        half = p.min_update_interval * math.log(0.5) / math.log(p.exponential_decay_factor)
        if not mine or self.frames.count(self.epoch) < 50 or (t - mine[0][0]) / 1e9 < max(10, half / 2) - 1e-9:
            return

        def mean(k):
            w = [p.exponential_decay_factor ** ((mine[k][0] - at) / 1e9 / p.min_update_interval) for at, _ in mine[: k + 1]]
            return sum(a * x for a, (_, x) in zip(w, mine, strict=False)) / sum(w)

        out["weighted_imbalance"] = mean(len(mine) - 1)
        if len(mine) > p.momentum_window:
            out["imbalance_momentum"] = mean(len(mine) - 1) - mean(len(mine) - 1 - p.momentum_window)

    def _order_flow(self, out, t):
        if self.frames.count(self.epoch) < 50:
            return
        depth = 0.0
        for a, b, top, _, _ in [*self.stretches, (self.now, t, self.top, None, None)]:
            if top:
                depth += (0.5 ** ((t - b) / 6e11) - 0.5 ** ((t - a) / 6e11)) * (top[1] + top[3]) / 2
        depth /= self.cover(600, t, book=True)
        for half, warm in ((1, 10), (10, 10), (120, 60)):
            cover = self.cover(half, t, book=True, epoch=self.epoch)
            if cover < 1 - 0.5 ** (warm / half) - 1e-9:
                continue
            mine = [(at, e) for at, epoch, e in self.imbalances if epoch == self.epoch]
            out[f"ofi_l1_{half}s"] = weighted(mine, t, half) / cover / depth
            if half == 10:
                near = [
                    (at, (1 - 2 * side) * d * math.exp(-x / 2))
                    for at, epoch, side, d, x, _ in self.changes
                    if epoch == self.epoch and x <= 50
                ]
                out["ofi_decayed_10s"] = weighted(near, t, half) / cover / depth
                out["cancel_add_ratio_10s"] = self.cancel_add(t)

    def _orders(self):
        orders = []
        for at, value, sign, tick in self.trades:
            last = orders[-1] if orders else None
            if last and last["sign"] == sign and at - last["t"] <= 10 * MS and (tick - last["tick"]) * sign >= 0:
                last.update(t=at, tick=tick, value=last["value"] + value)
            else:
                orders.append({"t": at, "tick": tick, "sign": sign, "value": value})
        if orders and self.now - orders[-1]["t"] <= 10 * MS:
            orders.pop()
        return orders

    def _trade_flow(self, out, t):
        if len(self.trades) < 50:
            return
        large, z = [], 0.0
        orders = self._orders()
        for n, order in enumerate(orders, 1):
            x = math.log(order["value"])
            if n == 1:
                z = x
                continue
            if x > z and order["value"] > self.p.large_order_threshold:
                large.append((order["t"], order["sign"] * order["value"]))
            z += min(1, max(0.05, 50 / n)) * (0.99 if x > z else -0.01)
        for half, warm in ((10, 10), (120, 60)):
            cover = self.cover(half, t, book=False)
            if cover < 1 - 0.5 ** (warm / half) - 1e-9:
                continue
            flow = weighted([(at, value * sign) for at, value, sign, _ in self.trades], t, half)
            volume = weighted([(at, value) for at, value, _, _ in self.trades], t, half)
            out[f"signed_volume_{half}s"] = flow / cover
            out[f"tfi_{half}s"] = flow / volume if volume > 1e-9 else 0.0
            if half == 10:
                out["trade_rate_10s"] = weighted([(trade[0], 1) for trade in self.trades], t, half) / cover * math.log(2) / 10
                if len(orders) >= 50:
                    out["large_trade_threshold"] = max(math.exp(z), self.p.large_order_threshold)
            else:
                out["large_trade_120s"] = weighted(large, t, half) / cover

    def _mid_at(self, second):
        """Give the mid that held just before a whole second, None without one."""
        for a, b, top, _, _ in self.stretches:
            if a < second <= b:
                return (top[0] + top[2]) / 2 if top else None
        return None

    def _volatility(self, out, t):
        if len(self.frames) < 50:
            return
        seconds = range(self.stretches[0][0] // 10**9 + 1, self.now // 10**9 + 1) if self.stretches else []
        mids = {second: self._mid_at(second * 10**9) for second in seconds}
        returns = []
        for second in list(seconds)[1:]:
            a, b = mids[second - 1], mids[second]
            dropped = any((second - 1) * 10**9 <= at < second * 10**9 for at in self.resets if at is not None)
            if a and b and not dropped:
                returns.append((second * 10**9, (b - a) / a * 1e4))
        ones = [(at, 1) for at, _ in returns]
        for half, warm in ((120, 60), (600, 300)):
            if not returns or self.cover(half, t, book=True) < 1 - 0.5 ** (warm / half) - 1e-9:
                continue
            per_second = weighted([(at, r * r) for at, r in returns], t, half) / weighted(ones, t, half)
            out[f"rv_{half}s"] = per_second / (1 - 0.5 ** (1 / half))
            if half == 120:
                out["sigma_bar_bps"] = math.sqrt(per_second * self.p.bar_s)
                path = weighted([(at, abs(r)) for at, r in returns], t, half)
                out["efficiency_120s"] = abs(weighted(returns, t, half)) / path if path > 0 else 0.0

    def _liquidity(self, out, t):
        p = self.p.liquidity
        if len(self.frames) >= 50 and self.samples and self.cover(120, t, book=True) >= 1 - 0.5**0.5 - 1e-9:
            total = weighted([(x["t"], 1) for x in self.samples], t, 120)
            presence = weighted([(x["t"], x["present"]) for x in self.samples], t, 120) / total
            pairs = zip(self.samples, self.samples[1:], strict=False)
            toggles = [(b["t"], 1) for a, b in pairs if a["epoch"] == b["epoch"] and a["present"] != b["present"]]
            rates = [weighted([(c[0], c[3]) for c in self.changes if c[2] == side and c[3] > 0 and c[4] <= 10], t, 120) for side in (0, 1)]
            balance = 1 - abs(rates[0] - rates[1]) / (rates[0] + rates[1] + 1)
            out["mm_presence"] = presence * balance * max(0, 1 - weighted(toggles, t, 120) / total)
        held = [x for _, x in self.spreads[-p.spread_window :]]
        if len(held) >= 3 and len(self.frames) >= 50 and t - self.spreads[0][0] >= 10**10:
            out["spread_median_bps"] = float(np.median(held))
        if not self.top:
            return
        bids = sorted(self.book[0].items(), reverse=True)[: p.depth_levels]
        asks = sorted(self.book[1].items())[: p.depth_levels]
        thin = min(self.value(sum(lots for _, lots in side)) for side in (bids, asks))
        parts = min(1, thin / (10 * p.order_notional_max)), out["spread_median_bps"] / out["spread_bps"], out["mm_presence"]
        if not any(math.isnan(x) for x in parts):
            out["liquidity_score"] = (parts[0] * min(1, parts[1]) * max(parts[2], 0.1)) ** (1 / 3)
        now = (
            ("spread", out["spread_bps"], 1e4 / self.mid()),
            ("depth", math.log(1 + out["depth_bid_5bps"] + out["depth_ask_5bps"]), 0.25),
            ("ratio", out["cancel_add_ratio_10s"], 0.25),
        )
        z = []
        for key, x, floor in now:
            known = [(sample["t"], sample[key]) for sample in self.samples if sample[key] is not None]
            if len(known) < 30 or math.isnan(x):
                return
            w = np.array([0.5 ** ((known[-1][0] - at) / 1.8e12) for at, _ in known])
            v = np.array([value for _, value in known])
            mean = (w * v).sum() / w.sum()
            z.append((x - mean) / max(floor, math.sqrt((w * (v - mean) ** 2).sum() / w.sum())))
        out["liquidity_stress"] = 1 / (1 + math.exp(-2 * ((z[0] - z[1] + z[2]) / 3 - 1)))


def weighted(points, t, half):
    """Sum values, each weighed by 2^(-age / half-life)."""
    return math.fsum(x * 0.5 ** ((t - at) / 1e9 / half) for at, x in points)


# ------------------------------------------------------------------------------------------------------------------ tests


def assert_agrees(states, reference, t=None):
    ours, theirs = as_mapping(row_of(states)), reference.row(t)
    for name in COLUMNS:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-9, abs=1e-9, nan_ok=True), name


def compare_with_reference(rows):
    states, reference = fresh(), Reference(PARAMETERS)
    for k, row in enumerate(rows):
        apply_rows(states, rows[k : k + 1])
        reference.feed(*(int(x) for x in row))
        if row[0] != LEVEL and k % 97 == 0:
            assert_agrees(states, reference)
    assert_agrees(states, reference)
    later = int(states["last_event_ns"][0]) + 777 * MS
    states["last_event_ns"] = later
    assert_agrees(states, reference, later)


@given(streams(250))
@settings(LAWS, max_examples=8)
def test_every_feature_equals_its_reference_on_a_random_stream(rows):
    compare_with_reference(rows)


@pytest.mark.slow
@given(streams(500))
@settings(LAWS, max_examples=60)
def test_every_feature_equals_its_reference_on_many_random_streams(rows):
    compare_with_reference(rows)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_every_feature_becomes_warm_and_equals_its_reference_on_a_long_stream(seed):
    rows = random_stream(seed, 1500, wild=False)
    states, reference = fresh(), Reference(PARAMETERS)
    apply_rows(states, rows)
    for row in rows:
        reference.feed(*(int(x) for x in row))
    assert np.isfinite(row_of(states)).all()
    assert_agrees(states, reference)


@pytest.mark.parametrize("seed", [10, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(11, 16))])
def test_every_feature_equals_its_reference_through_a_long_disorder(seed):
    compare_with_reference(random_stream(seed, 900, wild=True))


def mirrored(rows):
    out = rows.copy()
    level = rows[:, 0] == LEVEL
    trade = rows[:, 0] == TRADE
    out[level, 2] = 1 - rows[level, 2]
    out[trade, 2] = -rows[trade, 2]
    out[level | trade, 3] = 2 * REFERENCE - rows[level | trade, 3]
    return out


@given(streams(1000))
@LAWS
def test_the_mirror_negates_odd_features_exactly_and_swaps_partners(rows):
    here = table_of(rows, reference=float(REFERENCE))
    there = table_of(mirrored(rows), reference=float(REFERENCE))
    for feature in FEATURES:
        mine = here[:, FEATURE_INDEX[feature.name]]
        partner = feature.parity.partition(":")[2] or feature.name
        other = there[:, FEATURE_INDEX[partner]]
        np.testing.assert_array_equal(mine, -other if feature.parity == "odd" else other, err_msg=feature.name)


@given(streams(1000))
@LAWS
def test_every_value_is_within_the_bounds_of_the_schema(rows):
    table = table_of(rows)
    for feature in FEATURES:
        low, high = feature.bounds
        known = table[:, FEATURE_INDEX[feature.name]]
        known = known[~np.isnan(known)]
        assert np.isfinite(known).all(), feature.name
        assert low is None or (known >= low).all(), feature.name
        assert high is None or (known <= high).all(), feature.name


@given(streams(800), st.floats(0, 1))
@LAWS
def test_appending_the_future_changes_no_past_row(rows, share):
    cut = int(len(rows) * share)
    past = table_of(rows[:cut]) if cut else np.empty((0, len(COLUMNS)))
    assert past.tobytes() == table_of(rows)[: len(past)].tobytes()


@given(streams(800))
@LAWS
def test_one_row_at_a_time_equals_one_batch_and_reading_leaves_no_trace(rows):
    batch, single = fresh(), fresh()
    apply_rows(batch, rows)
    out = np.empty(len(COLUMNS))
    for k, row in enumerate(rows):
        apply_rows(single, rows[k : k + 1])
        if row[0] != LEVEL:
            read(single, out)
    for name, *_ in FEATURE_FIELDS:
        if name not in SCRATCH:
            assert batch[name].tobytes() == single[name].tobytes(), name


@given(streams(800), st.floats(0, 1))
@LAWS
def test_a_copied_record_goes_on_as_if_nothing_had_happened(rows, share):
    cut = int(len(rows) * share)
    whole, first = fresh(), fresh()
    apply_rows(whole, rows)
    apply_rows(first, rows[:cut])
    second = np.frombuffer(bytearray(first.tobytes()), STATE)
    apply_rows(second, rows[cut:])
    assert row_of(second).tobytes() == row_of(whole).tobytes()

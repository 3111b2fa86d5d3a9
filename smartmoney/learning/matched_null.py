"""The matched-null test: did following the flow beat random trades of the same size, holding time, time of day and volatility?

A trade's return is what its fills would have made at the mids: what the direction was worth before spread, impact and fees. A mid is that
at the end of the step in which the fill came, which is after it and so never holds the move that made the signal.
Each random twin has the trade's size and holding time and enters at a random moment of the same stretch whose time of day is at most an
hour off and whose volatility lies in the same third. Two questions are asked of it: with the side kept (were the moments better than
others; a drift of the market helps both alike) and with a random side (was the direction better than a coin). The worse answer counts.

Invariants: pure and seeded: the same path, trades and seed give the same numbers; mirroring prices and sides changes nothing; trades of
several instruments that overlap in time move together, sides too, so that a move they share does not count as many.
After the randomisation test (Fisher 1935), p = (1 + draws at least as good) / (1 + draws) (Phipson and Smyth 2010, SAGMB 9:39).
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.resampling import LEVELS, Floats

DRAWS = 2_000
SEED = 20_260_801
TRADES_MIN = 20
"""With fewer trades that are apart in time, a p-value is said but nothing is concluded from it."""
VOLATILITY_S = 300.0
"""Volatility at a moment is that of the moves of so many seconds before it."""
VOLATILITY_SEEN_MIN = 20
CANDIDATES_MIN = 20
"""With fewer moments that match, the match is widened: first volatility, then the time of day is let go."""
_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS
_BINS = 41

Steps = NDArray[np.int64]


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """Be one round trip: its fills as (time on the path's clock in ns, signed size in quote, bought above 0), which sum to zero."""

    instrument: int
    legs: tuple[tuple[int, float], ...]

    @property
    def entry_ns(self) -> int:
        """Return the time of the first fill."""
        return self.legs[0][0]

    @property
    def exit_ns(self) -> int:
        """Return the time of the last fill."""
        return self.legs[-1][0]

    @property
    def weight(self) -> float:
        """Return what was entered, in quote: half of all that was traded."""
        return 0.5 * sum(abs(size) for _, size in self.legs)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the mids of one stretch on one grid, a row an instrument, NaN where unknown."""

    origin_ns: int
    step_ns: int
    mids: Floats


class NullDraws(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one stretch adds to the test: weighted sums in bps × weight, of the trades themselves and of every draw.

    `groups` counts trades that are apart in time, `widened` those whose match had to be, `left_out` those without a known path.
    """

    trades: int = 0
    groups: int = 0
    widened: int = 0
    left_out: int = 0
    weight: float = 0.0
    observed: float = 0.0
    same_side: tuple[float, ...] = ()
    any_side: tuple[float, ...] = ()
    step_s: float = 0.0


class Null(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one null distribution of the mean return per trade, in bps: mean, 95 % interval, one-sided p, and a histogram."""

    mean_bps: float
    low_bps: float
    high_bps: float
    p: float
    edges_bps: tuple[float, ...]
    counts: tuple[int, ...]


class NullTest(msgspec.Struct, frozen=True, kw_only=True):
    """Say how the trades did against their random twins; the two nulls are None without a trade. `p` is the larger of both."""

    trades: int
    groups: int
    widened: int
    left_out: int
    draws: int
    step_s: float
    observed_bps: float | None
    p: float | None
    same_side: Null | None
    any_side: Null | None

    @property
    def is_enough(self) -> bool:
        """Tell whether there are enough trades apart in time to conclude anything."""
        return self.groups >= TRADES_MIN


def draw_null(stretch: Stretch, trades: Sequence[Trade], *, seed: int = SEED, draws: int = DRAWS) -> NullDraws:
    """Return a stretch's part of the test. Cost: a pass over the stretch's steps per trade (a quarter ms for a day)."""
    with np.errstate(invalid="ignore"):
        logs = np.log(stretch.mids)
    random = np.random.default_rng(seed)
    same, either = np.zeros(draws), np.zeros(draws)
    groups = _groups(trades)
    buckets: dict[int, Steps] = {}
    kept = widened = grouped = 0
    weight = observed = 0.0
    for group in groups:
        members = _placed(group, stretch, logs)
        if not members:
            continue
        lead = members[0][0]
        bucket = buckets.get(lead.instrument)
        if bucket is None:
            bucket = buckets[lead.instrument] = volatility_thirds(logs[lead.instrument], stretch.step_ns)
        at, is_wide = _candidates(members, stretch, logs, bucket)
        kept, grouped, widened = kept + len(members), grouped + 1, widened + is_wide * len(members)
        start = members[0][1][0]
        weight += sum(trade.weight for trade, _ in members)
        observed += float(_returns(members, logs, np.array([start]), start)[0])
        drawn = _returns(members, logs, random.choice(at, draws), start)
        same += drawn
        either += drawn * random.choice((-1.0, 1.0), draws)
    return NullDraws(
        trades=kept,
        groups=grouped,
        widened=widened,
        left_out=len(trades) - kept,
        weight=weight,
        observed=observed,
        same_side=tuple(same.tolist()) if kept else (),
        any_side=tuple(either.tolist()) if kept else (),
        step_s=stretch.step_ns / 1e9,
    )


def judged(parts: Sequence[NullDraws]) -> NullTest:
    """Return the test over all stretches: their sums, draw by draw."""
    told = [part for part in parts if part.trades and part.weight > 0.0]
    weight = sum(part.weight for part in told)
    observed = sum(part.observed for part in told) / weight if told else None
    same, either = (_null([getattr(part, name) for part in told], weight, observed) for name in ("same_side", "any_side"))
    return NullTest(
        trades=sum(part.trades for part in told),
        groups=sum(part.groups for part in told),
        widened=sum(part.widened for part in told),
        left_out=sum(part.left_out for part in parts),
        draws=len(told[0].same_side) if told else 0,
        step_s=max((part.step_s for part in told), default=0.0),
        observed_bps=observed,
        p=None if same is None or either is None else max(same.p, either.p),
        same_side=same,
        any_side=either,
    )


def volatility_thirds(logs: Floats, step_ns: int) -> Steps:
    """Return for each step which third of the stretch's volatilities its own lies in (0, 1, 2), −1 where too little is known before it."""
    moves = np.diff(logs, prepend=np.nan)
    known = np.isfinite(moves)
    window = max(VOLATILITY_SEEN_MIN, round(VOLATILITY_S * 1e9 / step_ns))
    squares = _trailing(np.where(known, moves, 0.0) ** 2, window)
    counts = _trailing(known.astype(np.float64), window)
    enough = counts >= VOLATILITY_SEEN_MIN
    volatility = np.where(enough, squares / np.maximum(counts, 1.0), np.nan)
    thirds = np.full(len(logs), -1, np.int64)
    if enough.any():
        thirds[enough] = np.searchsorted(np.quantile(volatility[enough], (1 / 3, 2 / 3)), volatility[enough], "right")
    return thirds


def _trailing(values: Floats, window: int) -> Floats:
    totals = np.concatenate(([0.0], np.cumsum(values)))
    ends = np.arange(1, len(values) + 1)
    sums: Floats = totals[ends] - totals[np.maximum(ends - window, 0)]
    return sums


def _groups(trades: Sequence[Trade]) -> list[list[Trade]]:
    """Return the trades, those that overlap in time together, each group in the order of entry."""
    groups: list[list[Trade]] = []
    until = -1
    for trade in sorted(trades, key=lambda one: (one.entry_ns, one.instrument)):
        if groups and trade.entry_ns < until:
            groups[-1].append(trade)
        else:
            groups.append([trade])
        until = max(until, trade.exit_ns)
    return groups


_Member = tuple[Trade, tuple[int, ...]]
"""A trade with the steps of its fills."""


def _placed(group: Sequence[Trade], stretch: Stretch, logs: Floats) -> list[_Member]:
    """Return the trades of a group that the path covers."""
    steps = logs.shape[1]
    placed = []
    for trade in group:
        at = tuple((when - stretch.origin_ns) // stretch.step_ns for when, _ in trade.legs)
        if at[0] >= 0 and at[-1] < steps and all(math.isfinite(logs[trade.instrument, step]) for step in at):
            placed.append((trade, at))
    return placed


def _candidates(members: Sequence[_Member], stretch: Stretch, logs: Floats, thirds: Steps) -> tuple[Steps, bool]:
    """Return the steps at which a group could have begun, and whether the match had to be widened."""
    start = members[0][1][0]
    end = max(at[-1] for _, at in members)
    free = np.arange(logs.shape[1] - (end - start))
    possible = np.ones(len(free), np.bool_)
    for trade, at in members:
        for step in dict.fromkeys(at):
            possible &= np.isfinite(logs[trade.instrument, free + (step - start)])
    off = np.abs((free - start) * stretch.step_ns) % _DAY_NS
    near = possible & (np.minimum(off, _DAY_NS - off) <= _HOUR_NS)
    alike = near & (thirds[: len(free)] == thirds[start])
    for number, mask in enumerate((alike, near, possible)):
        found = np.flatnonzero(mask)
        if len(found) >= CANDIDATES_MIN or number == 2:
            return found, number > 0
    raise AssertionError("the own moment of a group is possible")


def _returns(members: Sequence[_Member], logs: Floats, at: Steps, start: int) -> Floats:
    """Return the weighted sums of a group's returns, had it begun at these steps."""
    total = np.zeros(len(at))
    for trade, steps in members:
        for step, (_, size) in zip(steps, trade.legs, strict=True):
            total -= 1e4 * size * logs[trade.instrument, at + (step - start)]
    return total


def _null(sums: Sequence[Sequence[float]], weight: float, observed: float | None) -> Null | None:
    if not sums or observed is None:
        return None
    draws = np.sum(np.asarray(sums, float), axis=0) / weight
    low, high = np.quantile(draws, LEVELS)
    counts, edges = np.histogram(draws, bins=_BINS)
    # Draws that are the trades themselves must not lose to them by their last digit.
    beaten = int((draws >= observed - 1e-9 * max(1.0, abs(observed))).sum())
    return Null(
        mean_bps=float(draws.mean()),
        low_bps=float(low),
        high_bps=float(high),
        p=(1 + beaten) / (1 + len(draws)),
        edges_bps=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )
